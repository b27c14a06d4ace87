"""Suggestions follow the bands, the years, the licence and what can be loaded, and say so."""

from __future__ import annotations

import dataclasses

import pytest

import eocausal as ec
from eocausal.encoding import catalogue
from eocausal.encoding.catalogue import all_specs
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips

HLS = ["blue", "green", "red", "nir08", "swir16", "swir22"]


@pytest.fixture(autouse=True)
def _everything_installed(monkeypatch):
    real = catalogue.importlib.util.find_spec
    monkeypatch.setattr(
        catalogue.importlib.util, "find_spec", lambda name, *a: name == "transformers" or real(name, *a)
    )


def test_every_encoder_is_chosen_possible_or_ruled_out_once():
    found = ec.suggest_encoder(HLS, years=[2015, 2018])
    names = [found.name, *found.others, *(name for name, _ in found.ruled_out)]
    assert sorted(names) == [spec.name for spec in all_specs()]
    assert all(why for _, why in found.ruled_out)
    text = found.summary()
    assert text.startswith(f"Encoder: {found.name}\n")
    assert all(f"  {name}: {why}" in text for name, why in found.ruled_out)


def test_old_landsat_leaves_what_was_trained_on_old_landsat():
    old, new = ec.suggest_encoder("landsat", years=2005), ec.suggest_encoder("landsat", years=2018)
    assert dict(old.ruled_out)["prithvi-eo-2-300m-tl"] == "was trained on hls, which begins in 2013"
    assert "prithvi-eo-2-300m-tl" in new.later
    assert (old.name, new.name) == ("rcf", "rcf")
    assert "dinov2-base" in old.others
    assert old.later[0] == "ssl4eo-l-vits16-etm-sr"
    assert "prithvi-eo-2-300m-tl" not in old.later
    assert any("2005 is older than the sensors" in reason for reason in old.reasons)


def test_pictures_of_three_bands_get_a_network_of_pictures_and_others_all_their_bands():
    found = ec.suggest_encoder(["red", "green", "blue"], n_units=300)
    assert found.name == "dinov2-base"
    assert found.others[0] == "rcf"
    assert any("white=0.3" in reason for reason in found.reasons)
    assert any("300 units are few and 768 numbers" in reason for reason in found.reasons)
    assert dict(found.ruled_out)["terramind-base"].startswith(
        "needs bands that there are not: coastal, rededge1"
    )
    radar = ec.suggest_encoder("sentinel-1")
    assert radar.name == "rcf"
    assert "needs no download" in radar.reasons
    many = ec.suggest_encoder(["red", "green", "blue"], n_units=5000)
    assert not any("units are few" in reason for reason in many.reasons)


def test_names_that_stand_for_several_bands_count_for_none():
    found = ec.suggest_encoder(["B4", "B3", "B2"])
    assert found.name == "rcf"
    assert "red, green, blue" in dict(found.ruled_out)["dinov2-base"]


def test_licences_and_units_rule_out():
    free = ec.suggest_encoder(["red", "green", "blue"], commercial=True)
    assert "its licence does not clearly allow commercial use" in dict(free.ruled_out)["clip-vit-b32"]
    assert "clip-vit-b32" in ec.suggest_encoder(["red", "green", "blue"]).others
    chips = fake_chips(5, bands=3)
    chips.bands, chips.pixel_unit, chips.date = ("red", "green", "blue"), "sigma0_db", "2001-06-30"
    found = ec.suggest_encoder(chips)
    assert found.name == "rcf"
    assert dict(found.ruled_out)["dinov2-base"] == "reads uint8, and no formula leads there from sigma0_db"
    assert any("5 units are few" in reason for reason in found.reasons)


def test_embeddings_in_pixels_are_averaged_and_nothing_else():
    chips = fake_chips(5, bands=2)
    chips.pixel_unit = "unit_vector"
    found = ec.suggest_encoder(chips)
    assert (found.name, found.others) == ("pixel_mean", ())
    assert "embeddings already" in dict(found.ruled_out)["rcf"]


def test_series_put_encoders_of_series_first():
    chips = fake_chips(5, bands=6)
    chips.bands, chips.date, chips.frames = tuple(HLS), "2018-12-31", ("2016", "2017", "2018")
    assert ec.suggest_encoder(chips).later[0].startswith("prithvi")
    chips.frames = ("2018",)
    assert dict(ec.suggest_encoder(chips).ruled_out)["videomae-base"] == "needs 2 dates, and there are 1"


def test_what_is_not_installed_not_pinned_or_gated_says_so(monkeypatch):
    gated = ec.suggest_encoder("rgb")
    assert "a login and consent" in dict(gated.ruled_out)["dinov3-sat-vitl16"]
    assert "dinov3-sat-vitl16" in gated.later
    specs = {spec.name: spec for spec in all_specs()}
    specs["clip-rsicd-v2"] = specs["clip-rsicd-v2"].model_copy(update={"revision": None})
    monkeypatch.setattr("eocausal.encoding.suggest.all_specs", lambda: tuple(specs.values()))
    assert "no commit is pinned" in dict(ec.suggest_encoder("rgb").ruled_out)["clip-rsicd-v2"]
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda *a: None)
    found = ec.suggest_encoder("rgb")
    assert found.name == "rcf"
    assert dict(found.ruled_out)["dinov2-base"] == 'not installed: pip install "eocausal[encoders]"'


def test_nothing_to_choose_for():
    with pytest.raises(EncoderError, match="There are no bands"):
        ec.suggest_encoder([])
    with pytest.raises(EncoderError, match=r"'landsad' is not known"):
        ec.suggest_encoder("landsad")
    with pytest.raises(EncoderError, match="n_units"):
        ec.suggest_encoder("landsat", n_units=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ec.suggest_encoder("landsat").name = "other"


def test_encoders_of_any_bands_are_ruled_out_where_names_do_not_tell_wavelengths(monkeypatch):
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda name, *a: True)
    known, unknown = ec.suggest_encoder(["red", "B8A", "VV"]), ec.suggest_encoder(["red", "slope", "B4"])
    assert "panopticon-vitb14" in (known.name, *known.others)
    why = dict(unknown.ruled_out)["panopticon-vitb14"]
    assert why == "knows bands by wavelength, which these do not tell: slope, B4; wavelengths= does"
    assert "rcf" in (unknown.name, *unknown.others)


def test_thermal_bands_are_not_read_from_chips_that_are_all_reflectance():
    spec = next(one for one in all_specs() if one.name == "ssl4eo-l-vits16-tm-toa")
    chips = fake_chips(3, bands=7, pixel_unit="reflectance")
    chips.bands = spec.common_names
    why = dict(ec.suggest_encoder(chips).ruled_out)[spec.name]
    assert why == "reads bands in kelvin, and all of the chips are in reflectance"


def test_what_was_trained_on_another_sensor_does_not_come_first():
    def first(*asked, **more):
        found = ec.suggest_encoder(*asked, **more)
        return [*found.later, found.name]

    # Sentinel-2 has every band that an encoder of Landsat 7 reads, and others that tell it apart
    assert first("landsat", years=2005)[0] == "ssl4eo-l-vits16-etm-sr"
    assert not [name for name in first("sentinel-2") if name.startswith("ssl4eo-l")]
    # as the coastal band does Landsat 8
    oli = ["coastal", "blue", "green", "red", "nir08", "swir16", "swir22"]
    assert first(oli, years=2020)[0] == "ssl4eo-l-vits16-oli-sr"
    assert not [name for name in first(oli, years=2020) if "etm" in name]
