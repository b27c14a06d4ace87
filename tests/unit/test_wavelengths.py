"""Wavelengths come from names that tell them or from the user; contradictions are refused with both sides."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from eocausal.encoding._bands import SENSORS, match_bands, meanings
from eocausal.encoding._prepare import prepare
from eocausal.encoding._wavelengths import (
    CENTRES,
    RANGES,
    ReadBand,
    agrees,
    bands_of_chips,
    check_named,
    silent_bands,
)
from eocausal.encoding.catalogue import all_specs, find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.spec import parse_spec
from eocausal.errors import EncoderError, ImageryError, SpecError
from tests.fake_chips import fake_chips

S2 = [f"B{n:02d}" for n in range(1, 13)]


def _read(given, **told):
    return [band for _, band in bands_of_chips(given, encoder="mine", **told)]


def test_the_tables_agree_with_each_other_and_with_every_row_of_the_catalogue():
    for sensor, centres in CENTRES.items():
        assert set(centres) == set(SENSORS[sensor]) or sensor == "sentinel-2-l2a"
        assert all(agrees(common, centre) for common, centre in centres.items())
    assert all(one.low < one.centre < one.high for one in RANGES.values() if one.centre is not None)
    checked = [
        agrees(band.common_name, band.wavelength_um)
        for spec in all_specs()
        for band in spec.bands or ()
        if band.wavelength_um is not None
    ]
    assert len(checked) > 200
    assert all(checked)


def test_names_of_one_band_tell_its_wavelength():
    assert _read(["red", "B8A", "B04", "VV", "hh"]) == [
        ReadBand("red", 0.66), ReadBand("nir08", 0.865), ReadBand("red", 0.665), ReadBand("vv", None),
        ReadBand("hh", None),
    ]  # fmt: skip
    # TM and ETM+ share the name, 0.830 and 0.835
    assert _read(["SR_B4", "SR_B3"], named={"nir08": "SR_B4"}) == [ReadBand("nir08", 0.8325)]
    assert _read(["SR_B3", "SR_B4"], named={"nir08": "SR_B4", "red": "SR_B3"}) == [
        ReadBand("nir08", 0.8325), ReadBand("red", 0.66),
    ]  # fmt: skip
    assert bands_of_chips(["x", "red"], encoder="e", named={"red": "red"}) == ((1, ReadBand("red", 0.66)),)


def test_all_names_together_tell_a_sensor_where_no_other_has_them():
    assert meanings(["B11"])["B11"] == {"lwir12", "swir16"}
    assert meanings(["B08", "B11"])["B11"] == {"swir16"}
    assert meanings(["B2", "B8A", "VV", "ndvi"]) == {
        "B2": {"blue"},
        "B8A": {"nir08"},
        "VV": {"vv"},
        "ndvi": frozenset(),
    }
    assert len(meanings(["B2", "B3", "B4"])["B4"]) == 2
    assert len(meanings(["SR_B4", "B8A"])["SR_B4"]) == 2  # two sensors at once tell nothing
    centres = [band.wavelength_um for band in _read([*S2, "B8A"])]
    assert centres == [0.443, 0.49, 0.56, 0.665, 0.704, 0.74, 0.783, 0.842, 0.945, 1.375, 1.61, 2.19, 0.865]
    wanted = [(band.name, band.common_name) for band in find_spec("softcon-s2-vits14").bands]
    assert match_bands(wanted, [*S2, "B8A"], encoder="e") == (0, 1, 2, 3, 4, 5, 6, 7, 12, 8, 9, 10, 11)


def test_numbers_of_harmonised_landsat_are_not_taken_for_those_of_sentinel_2():
    # B05 to B07 are nir08, swir16 and swir22 in the product L30, and written as red edges of Sentinel-2 are
    l30 = ["B02", "B03", "B04", "B05", "B06", "B07"]
    assert silent_bands(l30) == ("B05", "B06", "B07")
    with pytest.raises(EncoderError, match="do not tell it"):
        _read(l30)
    named = {"red": "B04", "nir08": "B05", "swir16": "B06", "swir22": "B07"}
    assert [band.common_name for band in _read(l30, named=named)] == list(named)
    assert _read(l30, named=named)[1] == ReadBand("nir08", 0.865)
    # no other sensor has these beside them
    assert silent_bands([*l30, "B08"]) == silent_bands([*l30, "B8A"]) == silent_bands([*l30, "B12"]) == ()


def test_what_the_user_says_is_taken_where_names_do_not_tell():
    assert _read(["B1", "q"], wavelengths={"B1": 0.485, "q": 11}) == [
        ReadBand("blue", 0.485),
        ReadBand("q", 11.0),
    ]
    assert _read(["B04"], wavelengths={"B04": 0.668}) == [ReadBand("red", 0.668)]
    assert _read(["pan"], wavelengths={"pan": 0.71}) == [ReadBand("pan", 0.71)]


@pytest.mark.parametrize(("given", "told", "words"), [
    (["red", "B4", "x"], {}, r"do not tell it[\s\S]*2 \(B4, x\)[\s\S]*have red, B4, x; a wave.* is never guessed"),
    (["pan"], {}, "do not tell it"),
    (["lwir"], {}, "do not tell it"),
    (["red"], {"wavelengths": {"red": 0.865}}, r"'red' lies at 0.865 micrometres, and its name says red \(0.6 to"),
    (["B4"], {"wavelengths": {"B4": 2.2}}, r"lies at 2.2 micrometres, and its name says nir08 \(.*\) or red \("),
    (["VV"], {"wavelengths": {"VV": 0.5}}, r"its name says vv \(radar, without a wavelength\)"),
    (["x"], {"wavelengths": {"x": 665}}, r"cannot be used[\s\S]*in micrometres, 0.2 to 20 \(0.665, not 665\)"),
    (["x"], {"wavelengths": {"x": True}}, "cannot be used"),
    (["x"], {"wavelengths": {"x": float("nan")}}, "cannot be used"),
    (["x"], {"wavelengths": {"y": 0.6}}, r"name bands that the chips do not have[\s\S]*1 \(y\)"),
    (["x"], {"named": {"red": "y"}}, r"name bands that the chips do not have[\s\S]*1 \(y\)"),
    (["B8A"], {"named": {"red": "B8A"}}, r"'B8A' is the red of 'mine', and its name says nir08 \(0.75 to 0.9"),
    (["x"], {"named": {"red": "x"}, "wavelengths": {"x": 1.6}}, r"lies at 1.6 micrometres, and its name says red"),
    (["x"], {"named": {"red": "x", "green": "x"}}, "gives one band of the chips two names"),
])  # fmt: skip
def test_what_is_missing_or_contradicts_itself_is_refused_with_both_sides(given, told, words):
    with pytest.raises(EncoderError, match=words):
        _read(given, **told)


@pytest.mark.parametrize(("common", "band", "fine"), [
    ("red", "SR_B3", True), ("red", "SR_B5", False), ("nir08", "B08", True), ("nir08", "nir", True),
    ("red", "x", True), ("mine", "B04", True), ("blue", "coastal", False),
    ("swir16", "B12", False), ("vv", "VH", False), ("vv", "red", False), ("red", "VV", False),
    ("rededge2", "B07", False),
])  # fmt: skip
def test_bands_that_are_told_to_be_others_than_their_names_say(common, band, fine):
    if fine:
        check_named({common: band}, [band], encoder="e")
        return
    with pytest.raises(EncoderError, match=f"'{band}' is the {common} of 'e', and its name says"):
        check_named({common: band}, [band], encoder="e")


def _chips(bands, unit="reflectance"):
    chips = fake_chips(3, px=8, bands=len(bands))
    chips.bands, chips.pixel_unit = tuple(bands), unit
    return chips


def test_encoders_of_named_bands_refuse_the_same_contradictions():
    chips = _chips(["B04", "B03", "B8A"], "uint8")
    with pytest.raises(EncoderError, match="'B8A' is the blue of 'resnet50-in1k', and its name says nir08"):
        prepare(find_spec("resnet50-in1k"), chips, bands={"blue": "B8A"})
    with pytest.raises(EncoderError, match=r"wavelengths= is given, and 'resnet50-in1k' reads bands by name"):
        Pretrained("resnet50-in1k", wavelengths={"B04": 0.66}).check(chips)
    prepared = prepare(find_spec("resnet50-in1k"), _chips(["x", "B03", "B04"], "uint8"), bands={"blue": "x"})
    assert [one.place for one in prepared.picked] == [2, 1, 0]


def test_settings_of_bands_are_checked_at_once_and_travel_to_other_processes():
    told = {"bands": {"red": "x"}, "wavelengths": {"x": np.float32(0.66)}, "units": {"x": "reflectance"}}
    encoder = Pretrained("dofa-base", pool="mean", **told)
    sent = pickle.loads(pickle.dumps(encoder))
    assert sent == encoder
    assert (sent.spec, dict(sent.units)) == (encoder.spec, told["units"])
    assert json.dumps(encoder._plain("wavelengths")) == json.dumps({"x": float(np.float32(0.66))})
    with pytest.raises(TypeError):
        encoder.units["x"] = "dn"
    with pytest.raises(EncoderError, match=r"wavelengths=\{'x': 665\} cannot be used[\s\S]*in micrometres"):
        Pretrained("dofa-base", wavelengths={"x": 665})
    with pytest.raises(ImageryError, match="units='kelvins' is not known"):
        Pretrained("dofa-base", units={"x": "kelvins"})


def test_an_encoder_of_any_bands_is_told_what_it_reads_and_remembers_it():
    chips = _chips(["SR_B4", "x", "red"], unit=None)
    encoder = Pretrained("dofa-base", wavelengths={"SR_B4": 0.83, "x": 1.6})
    prepared = encoder._prepared(chips)
    assert prepared.read == (ReadBand("nir08", 0.83), ReadBand("x", 1.6), ReadBand("red", 0.66))
    some = Pretrained("dofa-base", bands={"red": "red", "nir08": "SR_B4"})._prepared(chips)
    assert [(one.place, one.band.common_name) for one in some.picked] == [(2, "red"), (0, "nir08")]
    picked = some.pick(chips.pixels["960m"])
    np.testing.assert_array_equal(picked, chips.pixels["960m"][:, :, [2, 0]])
    assert encoder != Pretrained("dofa-base", wavelengths={"SR_B4": 0.83, "x": 1.7})
    with pytest.raises(EncoderError, match=r"do not tell it[\s\S]*SR_B4, x"):
        Pretrained("dofa-base").check(chips)


SPEC = """\
spec_version: 1
name: mine
title: ours
library: torchgeo
loader: dofa_base_patch16_224
licence: MIT
commercial_ok: true
bands:
  - {name: B04, common_name: red, wavelength_um: 0.665}
scaling:
  - standardise: chips
native_px: 224
dim: 768
citation: ours
"""


@pytest.mark.parametrize(("old", "new", "words"), [
    ("0.665", "0.865", r"mine.yaml:9:35 bands\[0\].wavelength_um: 0.865 is not a red: red lies at 0.6 to 0.7 mic"),
    ("red, wavelength_um: 0.665", "vv, wavelength_um: 0.6", r"0.6 is not a vv: radar has none"),
    ("  - standardise: chips", "  - divide: 2\n  - standardise: chips", r"\[1\].standardise: must be the first"),
    ("standardise: chips", "standardise: all", "'all' is not known. Choose from: chips"),
    ("standardise: chips", "divide: 2", "pixel_unit: this field is missing, and encoders of torchgeo need it"),
    ("citation: ours", 'citation: ours\npython: "3.12"', "python"),
])  # fmt: skip
def test_mistakes_in_specifications_are_told_at_their_line(tmp_path, old, new, words):
    assert parse_spec(SPEC, tmp_path / "mine.yaml").learns_scale
    assert old in SPEC
    with pytest.raises(SpecError, match=words):
        parse_spec(SPEC.replace(old, new), tmp_path / "mine.yaml")
