"""Units of pixels: published formulas by hand, conversions that are refused, and the check of range."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.radiometry import (
    CURVES,
    PIXEL_UNITS,
    Radiometry,
    check_range,
    find_unit,
    to_unit,
    units_that_fit,
)
from tests.scenes import read_all


def _spread(low: float, high: float, *, of: int = 10_001) -> np.ndarray:
    """Return pixels whose 1st and 99th percentiles are ``low`` and ``high``."""
    step = (high - low) / 98
    return np.linspace(low - step, high + step, of)


@pytest.mark.parametrize(
    ("source", "target", "stored", "wanted", "offset_applied"),
    [
        # 2.75e-5 * 10000 - 0.2 = 0.275 - 0.2
        ("landsat_c2_dn", "reflectance", 10_000, 0.075, None),
        ("landsat_c2_dn", "reflectance_x10000", 10_000, 750.0, None),
        # 0.00341802 * 44177 + 149 = 150.99787 + 149
        ("landsat_c2_st_dn", "kelvin", 44_177, 299.99787, None),
        ("s2_l2a_dn", "reflectance", 2500, 0.25, True),
        ("s2_l2a_dn", "reflectance", 2500, 0.15, False),
        ("s2_l1c_dn", "reflectance_x10000", 900, -100.0, False),
        ("s2_l1c_dn", "reflectance_x10000", 900, 900.0, True),
        ("reflectance", "reflectance_x10000", 0.1234, 1234.0, None),
        ("reflectance_x10000", "reflectance", 1234, 0.1234, None),
        # (127 / 127.5)**2 = 0.99608 * 0.99608
        ("alphaearth_int8", "unit_vector", 127, 0.992172241, None),
        ("alphaearth_int8", "unit_vector", -127, -0.992172241, None),
        ("alphaearth_int8", "unit_vector", 1, 1 / 16_256.25, None),
        ("alphaearth_int8", "unit_vector", 0, 0.0, None),
        ("uint8", "uint8", 17, 17, None),
        ("dn", "dn", -3, -3, None),
    ],
)
def test_conversions_follow_the_published_formulas(source, target, stored, wanted, offset_applied) -> None:
    found = to_unit(np.array([stored]), source, target, offset_applied=offset_applied)
    assert found.dtype == np.float64
    assert found[0] == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_nan_shape_and_float32_are_kept_and_the_input_is_not_changed() -> None:
    pixels = np.array([[[7273.0, np.nan]], [[43_636.0, 1.0]]], dtype=np.float32)
    before = pixels.copy()
    found = to_unit(pixels, "landsat_c2_dn", "reflectance")
    assert found.dtype == np.float32
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pixels))
    np.testing.assert_allclose(found[:, 0, 0], [7.5e-6, 0.99999], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(pixels, before)
    same = to_unit(pixels, "landsat_c2_dn", "landsat_c2_dn")
    assert not np.shares_memory(same, pixels)
    np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize(
    ("source", "target", "possible"),
    [
        ("s2_l1c_dn", "s2_l2a_dn", "reflectance, reflectance_x10000"),
        ("reflectance", "landsat_c2_dn", "reflectance_x10000"),
        ("landsat_c2_dn", "kelvin", "reflectance, reflectance_x10000"),
        ("landsat_c2_st_dn", "reflectance", "kelvin"),
        ("alphaearth_int8", "reflectance", "unit_vector"),
        ("unit_vector", "alphaearth_int8", "nothing else"),
        ("uint8", "reflectance", "nothing else"),
        ("dn", "reflectance", "nothing else"),
        ("sigma0_db", "uint8", "nothing else"),
    ],
)
def test_what_has_no_formula_is_refused_with_both_names(source, target, possible) -> None:
    told = True if source.startswith("s2") else None
    with pytest.raises(ImageryError, match=rf"leads from '{source}' to '{target}'[\s\S]*to {possible}"):
        to_unit(np.ones(1), source, target, offset_applied=told)
    with pytest.raises(ImageryError, match=f"from '{source}' to '{target}'"):
        Radiometry(source, convert_to=target, offset_applied=told)


def test_sentinel_2_is_not_converted_without_a_word_on_its_offset() -> None:
    with pytest.raises(
        ImageryError, match=r"offset of -1000 applied[\s\S]*04\.00[\s\S]*offset_applied=False"
    ):
        to_unit(np.ones(1), "s2_l2a_dn", "reflectance")
    with pytest.raises(ImageryError, match=r"'landsat_c2_dn' has no offset[\s\S]*only s2_l1c_dn, s2_l2a_dn"):
        to_unit(np.ones(1), "landsat_c2_dn", "reflectance", offset_applied=True)
    with pytest.raises(ImageryError, match="offset_applied='no' is not True, False or None"):
        Radiometry("s2_l2a_dn", offset_applied="no")
    assert Radiometry("s2_l2a_dn").subtracted == 0
    assert Radiometry("s2_l2a_dn", offset_applied=False).subtracted == -1000


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ImageryError, match=r"pixel_unit='landsat_c2' is not known[\s\S]*'landsat_c2_dn'"):
        find_unit("landsat_c2")
    with pytest.raises(ImageryError, match=r"target='reflectence'[\s\S]*'reflectance'"):
        to_unit(np.ones(1), "uint8", "reflectence")
    with pytest.raises(ImageryError, match=r"convert_to='kelvins'[\s\S]*'kelvin'"):
        Radiometry("landsat_c2_st_dn", convert_to="kelvins")


PLAUSIBLE = {
    "s2_l1c_dn": (700, 4200), "s2_l2a_dn": (150, 3800), "reflectance": (0.01, 0.45),
    "reflectance_x10000": (100, 4500), "landsat_c2_dn": (7500, 19_000), "landsat_c2_st_dn": (38_000, 50_000),
    "kelvin": (270, 325), "uint8": (12, 240), "sigma0_db": (-26, -4), "alphaearth_int8": (-70, 70),
    "unit_vector": (-0.3, 0.3),
}  # fmt: skip


@pytest.mark.parametrize("unit", PLAUSIBLE)
def test_land_of_every_unit_fits_its_own(unit: str) -> None:
    pixels = _spread(*PLAUSIBLE[unit])
    check_range(pixels, unit, "scene.tif")
    assert unit in units_that_fit(pixels)


SAME_NUMBERS = {"s2_l1c_dn", "s2_l2a_dn", "reflectance_x10000"}


@pytest.mark.parametrize("declared", PLAUSIBLE)
@pytest.mark.parametrize("true", PLAUSIBLE)
def test_land_of_every_unit_fits_no_other(declared: str, true: str) -> None:
    if declared == true or {declared, true} <= SAME_NUMBERS:
        return
    with pytest.raises(ImageryError, match=rf"are not {declared}[\s\S]*{true}"):
        check_range(_spread(*PLAUSIBLE[true]), declared, "scene.tif")


def test_the_error_prints_both_ranges_and_the_unit_that_fits() -> None:
    with pytest.raises(ImageryError) as caught:
        check_range(_spread(0.05, 0.4), "s2_l2a_dn", "chips.npz")
    text = str(caught.value)
    assert "Pixels of chips.npz are not s2_l2a_dn: their 1st to 99th percentile is 0.05 to 0.4." in text
    assert "a 1st percentile of -300 to 6500 and a 99th of 400 to 20000" in text
    assert "Declare pixel_unit='reflectance'." in text
    with pytest.raises(ImageryError, match="Declare pixel_unit='dn'"):
        check_range(_spread(-1e9, 1e9), "reflectance", "elevation.tif")


def test_an_offset_that_is_declared_but_not_there_is_found() -> None:
    with pytest.raises(ImageryError, match=r"700 to 7500[\s\S]*Say offset_applied=True"):
        check_range(_spread(150, 3800), "s2_l2a_dn", "scene.tif", offset_applied=False)
    check_range(_spread(1150, 4800), "s2_l2a_dn", "scene.tif", offset_applied=False)
    check_range(_spread(150, 3800), "s2_l2a_dn", "scene.tif", offset_applied=True)


def test_pixels_that_are_not_valid_and_one_percent_at_each_end_do_not_count() -> None:
    pixels = _spread(0.05, 0.4)
    pixels[:90], pixels[-90:] = -9999, 9999
    check_range(np.append(pixels, [np.nan, np.inf]), "reflectance", "scene.tif")
    pixels[:110] = -9999
    with pytest.raises(ImageryError, match="-9999 to"):
        check_range(pixels, "reflectance", "scene.tif")
    check_range(np.full(5, np.nan), "reflectance", "scene.tif")
    assert units_that_fit(np.full(5, np.nan)) == []
    check_range(_spread(-1e9, 1e9), "dn", "elevation.tif")


def test_a_large_sample_is_thinned_evenly() -> None:
    # a tenth is bright, always the first in ten; every pixel is looked at, or every seventh
    pixels = np.full(7_000_000, 0.1)
    pixels[::10] = 3.0
    with pytest.raises(ImageryError, match=r"0\.1 to 3\."):
        check_range(pixels, "reflectance", "scene.tif")


def test_the_table_is_frozen_and_complete() -> None:
    with pytest.raises(TypeError):
        PIXEL_UNITS["mine"] = PIXEL_UNITS["dn"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PIXEL_UNITS["dn"].scale = 2.0
    for name, unit in PIXEL_UNITS.items():
        assert unit.name == name
        assert unit.meaning
        assert unit.source
        assert (unit.first is None) == (unit.last is None) == (name == "dn")
        # what an archive stores has a published source and a value for fill
        assert unit.encoded == (unit.fill is not None) == (unit.source != "by definition")
        # a curve has no inverse here, so nothing may be converted to a unit that has one
        assert unit.decode in CURVES
        assert unit.decode == "linear" or unit.encoded


def test_vectors_stored_as_bytes_have_their_length_again_and_fill_is_not_valid() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(64, 8, 8))
    vectors /= np.linalg.norm(vectors, axis=0)
    stored = np.round(np.sign(vectors) * np.sqrt(np.abs(vectors)) * 127.5).astype("int8")
    stored[:, 0, 0] = -128
    units = ec.read_units(pd.DataFrame({"id": [1]}), id="id", image_key="id")
    unit = Radiometry("alphaearth_int8", convert_to="unit_vector")
    chips = ec.chips_from_arrays(units, stored[None], keys=[1], axes="nbhw", pixel_unit=unit)
    batch = read_all(chips)
    assert chips.pixel_unit == "unit_vector"
    assert batch.status["8px"].tolist() == ["partial"]
    assert batch.valid_fraction["8px"][0] == 63 / 64
    found = batch.pixels["8px"][0, 0]
    assert np.isnan(found[:, 0, 0]).all()
    np.testing.assert_allclose(found.reshape(64, -1)[:, 1:], vectors.reshape(64, -1)[:, 1:], atol=0.008)
    lengths = np.linalg.norm(found.reshape(64, -1)[:, 1:], axis=0)
    np.testing.assert_allclose(lengths, 1, atol=0.02)
