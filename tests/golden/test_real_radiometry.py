"""Declared units on real scenes: what fits is converted as published, what does not is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.radiometry import units_that_fit
from tests.golden.test_real_scenes import lonlat_of_pixels, only_batch, units_at

SENTINEL = ["s2_l1c_dn", "s2_l2a_dn", "reflectance_x10000"]


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("landsat5_para/LT52240631988227_7band.tif", ["uint8"]),
        ("landsat7_olinda/L7_ETMs.tif", ["uint8"]),
        ("rgb_byte/RGB.byte.tif", ["uint8"]),
        ("sentinel2_patches/patch_275979.tif", SENTINEL),
        ("sentinel2_patches/patch_502692.tif", SENTINEL),
        ("sentinel2_patches/patch_57755.tif", SENTINEL),
        ("sentinel2_patches/patch_8845.tif", SENTINEL),
    ],
)
def test_real_scenes_fit_their_own_unit_and_those_with_the_same_numbers(shared, file, fitting) -> None:
    with rasterio.open(shared / "data" / file) as scene:
        pixels = scene.read(masked=True).astype(float).filled(np.nan)
    assert units_that_fit(pixels) == fitting


def test_sentinel_patches_become_reflectance(shared) -> None:
    files = sorted((shared / "data/sentinel2_patches").glob("patch_*.tif"))
    places = [lonlat_of_pixels(file, [(128.0, 128.0)]) for file in files]
    units = units_at([lon[0] for lon, _ in places], [lat[0] for _, lat in places])
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=True)
    found = only_batch(ec.chips(units, files, size_m=640, bands=[4, 3, 2], pixel_unit=unit))
    for chip, file in enumerate(files):
        with rasterio.open(file) as scene:
            stored = scene.read([4, 3, 2])[:, 96:160, 96:160]
        assert stored.min() > 0
        np.testing.assert_allclose(found.pixels["640m"][chip, 0], stored / 1e4, rtol=1e-6)


def test_zeros_of_a_patch_without_a_nodata_tag_are_not_valid(shared) -> None:
    file = shared / "data/sentinel2_patches/patch_8845.tif"
    with rasterio.open(file) as scene:
        empty = (scene.read() == 0).any(axis=0)
    assert empty.any()
    row, column = np.argwhere(empty)[0].tolist()
    lon, lat = lonlat_of_pixels(file, [(row + 0.5, column + 0.5)])
    units = units_at(lon, lat)
    untyped = only_batch(ec.chips(units, file, size_px=1))
    assert untyped.status["1px"].tolist() == ["ok"]
    typed = only_batch(ec.chips(units, file, size_px=1, pixel_unit="s2_l2a_dn"))
    assert typed.status["1px"].tolist() == ["nodata"]


@pytest.mark.parametrize("declared", ["landsat_c2_dn", "reflectance", "s2_l2a_dn"])
def test_old_landsat_numbers_are_not_taken_for_reflectance(shared, declared: str) -> None:
    file = shared / "data/landsat7_olinda/L7_ETMs.tif"
    lon, lat = lonlat_of_pixels(file, [(170.0, 170.0)])
    cut = ec.chips(units_at(lon, lat), file, size_px=100, pixel_unit=declared)
    with pytest.raises(ImageryError, match=rf"L7_ETMs\.tif are not {declared}[\s\S]*pixel_unit='uint8'"):
        only_batch(cut)
