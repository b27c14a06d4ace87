"""Chips of real scenes against pixels found by other means: affine inverses, pyproj, scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from scipy.ndimage import map_coordinates

import eocausal as ec


def units_at(lon: list[float], lat: list[float]) -> ec.Units:
    table = pd.DataFrame({"place": [f"p{i}" for i in range(len(lon))], "lon": lon, "lat": lat})
    return ec.read_units(table, id="place", lon="lon", lat="lat")


def lonlat_of_pixels(file: Path, pixels: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return longitude and latitude of continuous (row, column) by the file's own affine and pyproj."""
    with rasterio.open(file) as scene:
        x, y = zip(*[scene.transform @ (column, row) for row, column in pixels])
        back = pyproj.Transformer.from_crs(scene.crs.to_wkt(), "EPSG:4326", always_xy=True)
        lon, lat = back.transform(x, y)
    return list(lon), list(lat)


def only_batch(chips: ec.Chips) -> object:
    (batch,) = chips.batches(size=1000)
    return batch


@pytest.mark.parametrize(
    ("pixel", "side", "start"),
    [
        # start = the whole number nearest to (position - side / 2)
        ((100.3, 200.7), 32, (84, 185)),
        ((100.6, 200.2), 32, (85, 184)),
        ((100.3, 200.7), 33, (84, 184)),
        ((250.0001, 60.9999), 5, (248, 58)),
    ],
)
def test_landsat_chip_is_the_window_found_by_the_affine_inverse(shared, pixel, side, start):
    file = shared / "data/landsat7_olinda/L7_ETMs.tif"
    chips = ec.chips(units_at(*lonlat_of_pixels(file, [pixel])), file, size_m=28.5 * side)
    assert "native grid" in repr(chips)
    batch = only_batch(chips)
    block = f"{28.5 * side:.10g}m"
    with rasterio.open(file) as scene:
        whole = scene.read()
    expected = whole[:, start[0] : start[0] + side, start[1] : start[1] + side]
    assert batch.pixels[block].shape == (1, 1, 6, side, side)
    np.testing.assert_array_equal(batch.pixels[block][0, 0], expected.astype("float32"))
    assert batch.status[block].tolist() == ["ok"]
    # The unit is within half a pixel of the window's middle.
    assert max(abs(np.add(start, side / 2) - pixel)) <= 0.5


def test_elevation_model_with_unnamed_reference_system_is_cut_from_its_own_pixels(shared):
    file = shared / "data/landsat7_olinda/olinda_dem_utm25s.tif"
    chips = ec.chips(units_at(*lonlat_of_pixels(file, [(40.4, 70.6), (1.2, 1.2)])), file, size_m=90 * 7)
    batch = only_batch(chips)
    with rasterio.open(file) as scene:
        whole = scene.read(1)
    # floor(40.4) - 3 = 37, floor(70.6) - 3 = 67
    np.testing.assert_array_equal(batch.pixels["630m"][0, 0, 0], whole[37:44, 67:74])
    # Row 1 and column 1 in the middle: two rows and columns of seven lie off the raster.
    assert batch.status["630m"].tolist() == ["ok", "partial"]
    assert batch.valid_fraction["630m"][1] == pytest.approx(25 / 49)
    assert np.isnan(batch.pixels["630m"][1, 0, 0, :2]).all()
    np.testing.assert_array_equal(batch.pixels["630m"][1, 0, 0, 2:, 2:], whole[:5, :5])


def test_nodata_border_is_never_zero_and_never_moved(shared):
    file = shared / "data/rgb_byte/RGB.byte.tif"
    with rasterio.open(file) as scene:
        whole, valid = scene.read(), (scene.read_masks() > 0).all(axis=0)
    border = next(c for c in range(16, 700) if 0.2 < valid[340:372, c - 16 : c + 16].mean() < 0.8)
    pixels = [(356.2, 400.2), (356.2, border + 0.2), (40.2, 40.2), (356.2, -400.0)]
    assert not valid[24:56, 24:56].any()
    batch = only_batch(ec.chips(units_at(*lonlat_of_pixels(file, pixels)), file, size_px=32))
    assert batch.status["32px"].tolist() == ["ok", "partial", "nodata", "outside"]
    for chip, column in ((0, 400), (1, border)):
        here = valid[340:372, column - 16 : column + 16]
        expected = np.where(here, whole[:, 340:372, column - 16 : column + 16], np.nan)
        np.testing.assert_array_equal(batch.pixels["32px"][chip, 0], expected)
        np.testing.assert_array_equal(batch.mask["32px"][chip, 0], here)
        assert batch.valid_fraction["32px"][chip] == here.mean()
    assert np.isnan(batch.pixels["32px"][2:]).all()
    assert not (batch.pixels["32px"] == 0).any()


def test_elevation_in_degrees_is_interpolated_into_the_units_utm_zone(shared):
    file = shared / "data/zion_terrain/srtm.tif"
    lon, lat = [-113.05, -112.95], [37.30, 37.20]
    chips = ec.chips(units_at(lon, lat), file, size_m=[2400, 800])
    assert "utm grid" in repr(chips)
    batch = only_batch(chips)
    assert set(chips.table()["crs"]) == {"EPSG:32612"}
    # Ground size of a 3-second pixel at the unit of middle latitude, by geodesics: 73.9 m x 92.5 m.
    ground = pyproj.Geod(ellps="WGS84")
    step = 0.0008333333332777796
    across = ground.inv(lon[1], lat[1], lon[1] + step, lat[1])[2]
    along = ground.inv(lon[1], lat[1], lon[1], lat[1] + step)[2]
    pixel_m = float(f"{(across * along) ** 0.5:.3g}")
    side = round(2400 / pixel_m)
    assert chips.recipe()["pixel_m"] == pixel_m
    assert batch.pixels["2400m"].shape == (2, 1, 1, side, side)
    with rasterio.open(file) as scene:
        whole, inverse = scene.read(1).astype("float64"), ~scene.transform
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32612", always_xy=True)
    for chip in range(2):
        x, y = to_utm.transform(lon[chip], lat[chip])
        offsets = (np.arange(side) + 0.5 - side / 2) * pixel_m
        degrees = to_utm.transform(*np.meshgrid(x + offsets, y - offsets), direction="INVERSE")
        column, row = inverse @ degrees
        expected = map_coordinates(whole, [row - 0.5, column - 0.5], order=1)
        np.testing.assert_allclose(batch.pixels["2400m"][chip, 0, 0], expected, atol=0.02)
    small = round(800 / pixel_m)
    cut = (side - small + 1) // 2
    np.testing.assert_array_equal(
        batch.pixels["800m"], batch.pixels["2400m"][..., cut : cut + small, cut : cut + small]
    )


def test_interpolation_of_a_plane_is_exact(shared, tmp_path):
    """Elevation replaced by its own easting: every interpolated pixel must hold the easting of its centre."""
    file = shared / "data/zion_terrain/srtm.tif"
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32612", always_xy=True)
    with rasterio.open(file) as scene:
        rows, columns = np.mgrid[0 : scene.height, 0 : scene.width] + 0.5
        easting = to_utm.transform(*(scene.transform @ (columns, rows)))[0]
        profile = {**scene.profile, "dtype": "float32", "nodata": None}
    with rasterio.open(tmp_path / "easting.tif", "w", **profile) as out:
        out.write((easting - 300_000).astype("float32"), 1)
    chips = ec.chips(units_at([-113.05], [37.3]), tmp_path / "easting.tif", size_m=8000)
    values = only_batch(chips).pixels["8000m"][0, 0, 0]
    side, pixel_m = len(values), chips.recipe()["pixel_m"]
    middle = to_utm.transform(-113.05, 37.3)[0] - 300_000
    expected = middle + (np.arange(side) + 0.5 - side / 2) * pixel_m
    np.testing.assert_allclose(values, np.broadcast_to(expected, (side, side)), atol=0.1)


def test_land_cover_classes_are_cut_and_never_mixed(shared):
    file = shared / "data/zion_terrain/nlcd2011.tif"
    chips = ec.chips(units_at(*lonlat_of_pixels(file, [(600.4, 500.6)])), file, size_m=31.5275 * 20)
    assert "native grid" in repr(chips)
    (pixels,) = only_batch(chips).pixels.values()
    with rasterio.open(file) as scene:
        whole = scene.read(1)
    # 600.4 - 10 = 590.4 -> 590, 500.6 - 10 = 490.6 -> 491
    np.testing.assert_array_equal(pixels[0, 0, 0], whole[590:610, 491:511])


def test_each_unit_gets_its_own_sentinel_patch_from_tiles_in_six_zones(shared):
    files = sorted((shared / "data/sentinel2_patches").glob("patch_*.tif"))
    assert len(files) == 8
    places = [lonlat_of_pixels(file, [(128.0, 128.0)]) for file in files]
    units = units_at([lon[0] for lon, _ in places], [lat[0] for _, lat in places])
    chips = ec.chips(units, files, size_m=[640, 150], bands=[4, 3, 2])
    batch = only_batch(chips)
    assert batch.status["640m"].tolist() == ["ok"] * 8
    for chip, file in enumerate(files):
        with rasterio.open(file) as scene:
            whole, crs = scene.read([4, 3, 2]), scene.crs.to_string()
        np.testing.assert_array_equal(batch.pixels["640m"][chip, 0], whole[:, 96:160, 96:160])
        # The unit is on a corner of pixels, where 15 pixels start half a pixel high or low: 121 by the rule.
        np.testing.assert_array_equal(batch.pixels["150m"][chip, 0], whole[:, 121:136, 121:136])
        assert chips.table()["crs"][chip] == crs


def test_uganda_chips_join_to_units_by_image_key(shared):
    folder = shared / "data/uganda_yop"
    units = ec.read_units(
        folder / "units.csv", id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key"
    )
    assert repr(units) == "Units(2082 units, 327 images, EPSG:4326)"
    chips = ec.chips_from_arrays(units, folder / "chips.npz", keys="image_key")
    assert repr(chips) == "Chips(327 keys, 35px, 3 bands, arrays)"
    pixels = np.concatenate([batch.pixels["35px"] for batch in chips.batches()])
    assert pixels.shape == (327, 1, 3, 35, 35)
    np.testing.assert_allclose(
        pixels.mean(axis=(0, 1, 3, 4), dtype="float64"), [122.37, 155.17, 114.71], atol=0.005
    )
    raw = np.load(folder / "chips.npz")
    key = int(chips.keys[100])
    expected = raw["chips"][list(raw["image_key"]).index(key)].transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels[100, 0], expected)
    table = chips.table()
    assert (table["status"] == "ok").all()
    assert table["n_units"].sum() == 2082
    assert table["n_units"].max() == 54
