"""Units of single bands: told where chips cannot say them, converted by formula, refused where both disagree."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.encoding._chip_units import check_told_units
from eocausal.encoding._prepare import prepare
from eocausal.encoding.catalogue import find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError, ImageryError
from tests.fake_chips import fake_chips

TM = find_spec("ssl4eo-l-vits16-tm-toa")
NAMES = TM.common_names
TOLD = {name: "landsat_c2_st_dn" if name == "lwir" else "reflectance_x10000" for name in NAMES}


def _chips(unit="dn", bands=NAMES):
    chips = fake_chips(3, px=224, bands=len(bands))
    rng = np.random.default_rng(0)
    chips.pixels["960m"] = rng.uniform(-500, 5000, chips.pixels["960m"].shape).astype(np.float32)
    if "lwir" in bands:
        stored = rng.uniform(28_000, 52_000, (*chips.pixels["960m"].shape[:2], 224, 224))
        chips.pixels["960m"][:, :, list(bands).index("lwir")] = stored
    chips.bands, chips.pixel_unit = tuple(bands), unit
    return chips


def test_each_band_is_converted_from_its_own_unit_and_scaled_as_published():
    chips = _chips()
    prepared = prepare(TM, chips, units=TOLD)
    pictures, _ = prepared.frames(chips.pixels["960m"], chips.mask["960m"], "960m")
    for place, name in enumerate(NAMES):
        stored = chips.pixels["960m"][:, :, place].astype(float)
        quantity = stored * 0.00341802 + 149 if name == "lwir" else stored / 10_000
        share = (quantity - 248.15) / 70 if name == "lwir" else quantity / 0.4
        np.testing.assert_allclose(pictures[:, :, place], np.clip(share, 0, 1), atol=1e-5)
    assert 0.2 < pictures[:, :, NAMES.index("lwir")].mean() < 0.9


@pytest.mark.parametrize(("unit", "told", "words"), [
    (None, {}, r"reads reflectance, kelvin, and the chips do not say what a pixel is[\s\S]*7 \(blue"),
    (None, {"blue": "reflectance"}, r"do not say what a pixel is[\s\S]*6 \(green"),
    ("reflectance", {}, r"reads kelvin, and the chips hold reflectance\. No published formula"),
    ("reflectance", {"lwir": "kelvin"}, "says lwir kelvin, and the chips say that every band is reflectance"),
    ("dn", {**TOLD, "lwir": "reflectance"}, "reads kelvin, and the chips hold reflectance"),
    ("dn", {**TOLD, "b9": "kelvin"}, r"units= names bands that the chips do not have[\s\S]*1 \(b9\)"),
])  # fmt: skip
def test_units_that_are_missing_or_contradict_are_refused(unit, told, words):
    with pytest.raises(EncoderError, match=words):
        Pretrained(TM, units=told).check(_chips(unit))


def test_unknown_units_get_the_nearest():
    with pytest.raises(ImageryError, match=r"units='kelvins' is not known[\s\S]*kelvin"):
        Pretrained(TM, units={**TOLD, "lwir": "kelvins"}).check(_chips())


def test_told_units_are_checked_on_the_pixels_of_the_chips_that_may_be_learned_from():
    chips = _chips()
    check_told_units(chips, chips.keys, TOLD)
    assert len(chips.read) == 1
    with pytest.raises(ImageryError, match=r"Pixels of band 'lwir' are not kelvin"):
        check_told_units(chips, chips.keys, {**TOLD, "lwir": "kelvin"})
    check_told_units(chips, chips.keys, {})
    assert len(chips.read) == 2


def test_radar_is_read_in_decibels_even_where_bands_are_standardised():
    dofa = find_spec("dofa-base")
    chips = _chips(None, bands=("VV", "red"))
    with pytest.raises(
        EncoderError, match=r"reads sigma0_db, and the chips do not say what a pixel is[\s\S]*1 \(VV\)"
    ):
        prepare(dofa, chips)
    prepared = prepare(dofa, chips, units={"VV": "sigma0_db"})
    assert [(one.unit, one.wanted) for one in prepared.picked] == [("sigma0_db", "sigma0_db"), (None, None)]
    with pytest.raises(EncoderError, match="reads sigma0_db, and the chips hold reflectance"):
        prepare(dofa, _chips("reflectance", bands=("VV", "red")))
    np.testing.assert_array_equal(prepared.pick(chips.pixels["960m"]), chips.pixels["960m"])
