"""More real scenes: edges, no data, classes, other reference systems, against indexing written out here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.warp import reproject

import eocausal as ec
from eocausal.errors import ImageryError
from tests.golden.test_real_scenes import lonlat_of_pixels, only_batch, units_at

SEMI_MAJOR = 6_378_137.0


def bilinear(whole: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Interpolate point by point among the four nearest pixels that hold a number, by plain loops.

    NaN where the pixel at the point itself holds none.
    """
    out = np.full(row.shape, np.nan)
    for place in np.ndindex(row.shape):
        i, j = row[place] - 0.5, column[place] - 0.5
        if np.isnan(whole[int(np.floor(row[place])), int(np.floor(column[place]))]):
            continue
        total = weights = 0.0
        for down in (0, 1):
            for right in (0, 1):
                r, c = int(np.floor(i)) + down, int(np.floor(j)) + right
                weight = (1 - abs(i - r)) * (1 - abs(j - c))
                value = whole[r, c]
                if not np.isnan(value):
                    total, weights = total + weight * value, weights + weight
        out[place] = total / weights
    return out


def square(whole: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """Cut a window that may reach over the edges, NaN there."""
    padded = np.pad(whole.astype(float), [(0, 0), (99, 99), (99, 99)], constant_values=np.nan)
    return padded[:, top + 99 : top + 99 + side, left + 99 : left + 99 + side]


def test_landsat5_bands_share_one_window_at_the_centre_and_the_edges(shared):
    file = shared / "data/landsat5_para/LT52240631988227_7band.tif"
    # 310 rows and 287 columns: middle, four corners, one pixel inside the south-east, outside.
    places = [(155.2, 143.6), (0.5, 0.5), (0.5, 286.5), (309.5, 0.5), (309.5, 286.5), (340.0, 143.0)]
    chips = ec.chips(units_at(*lonlat_of_pixels(file, places)), file, size_m=30 * 9)
    assert "native grid" in repr(chips)
    assert chips.bands == ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
    batch = only_batch(chips)
    with rasterio.open(file) as scene:
        whole = scene.read()
    # A side of 9: four pixels on either side of the one that holds the unit.
    corners = [(151, 139), (-4, -4), (-4, 282), (305, -4), (305, 282), (336, 139)]
    for chip, (top, left) in enumerate(corners):
        np.testing.assert_array_equal(batch.pixels["270m"][chip, 0], square(whole, top, left, 9))
    assert batch.status["270m"].tolist() == ["ok", *["partial"] * 4, "outside"]
    np.testing.assert_allclose(batch.valid_fraction["270m"], [1, *[25 / 81] * 4, 0], rtol=1e-12)
    # The scene lies south of the equator in a zone of the north; its own pixels are kept there.
    assert set(chips.table()["crs"]) == {"EPSG:32622"}
    assert batch.pixels["270m"][0, 0, 5].min() > 130, "B6 is thermal: 131 to 146 in this scene"


def test_landsat5_bands_come_by_name_in_the_order_asked(shared):
    file = shared / "data/landsat5_para/LT52240631988227_7band.tif"
    units = units_at(*lonlat_of_pixels(file, [(100.5, 100.5)]))
    found = only_batch(ec.chips(units, file, size_px=5, bands=["B6", "B3", 4])).pixels["5px"][0, 0]
    with rasterio.open(file) as scene:
        np.testing.assert_array_equal(found, scene.read()[[5, 2, 3], 98:103, 98:103])


def test_landsat5_nodata_in_one_band_is_not_valid_in_all(shared, tmp_path):
    """The scene names 255 as nodata and holds none, so a hole is put into one band of a copy."""
    file = shared / "data/landsat5_para/LT52240631988227_7band.tif"
    with rasterio.open(file) as scene:
        whole, profile = scene.read(), scene.profile
    whole[3, 100:103, 100:102] = 255
    with rasterio.open(tmp_path / "hole.tif", "w", **profile) as out:
        out.write(whole)
    units = units_at(*lonlat_of_pixels(file, [(101.5, 101.5)]))
    batch = only_batch(ec.chips(units, tmp_path / "hole.tif", size_px=9))
    expected = whole[:, 97:106, 97:106].astype(float)
    expected[:, 3:6, 3:5] = np.nan
    np.testing.assert_array_equal(batch.pixels["9px"][0, 0], expected)
    assert batch.valid_fraction["9px"][0] == pytest.approx(75 / 81)


def villages_around_nigeria(shared: Path) -> pd.DataFrame:
    table = pd.read_parquet(shared / "data/africa_wealth/clusters.parquet")
    near = table["lon"].between(1, 17) & table["lat"].between(2, 16)
    # and two hundred places on the map, of which many lie abroad or at sea
    rng = np.random.default_rng(5)
    more = pd.DataFrame({"lon": rng.uniform(2.7, 14.7, 200), "lat": rng.uniform(4.4, 13.8, 200)})
    more["cluster_id"] = -np.arange(1, 201)
    columns = ["cluster_id", "lon", "lat"]
    return pd.concat([table.loc[near, columns], more[columns]], ignore_index=True)


def mercator_pixel(lon: Any, lat: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return continuous (row, column) in the wealth maps by the formula of the spherical Mercator projection."""
    x = SEMI_MAJOR * np.radians(lon)
    y = SEMI_MAJOR * np.log(np.tan(math.pi / 4 + np.radians(lat) / 2))
    return (1_568_250 - y) / 7_650, (x - 290_700) / 7_650


@pytest.mark.parametrize("name", ["ms", "msnl", "nl"])
def test_wealth_map_is_read_at_every_village(shared, name):
    """The pixel under each village in and around Nigeria, whose map holds NaN abroad, by Mercator by hand."""
    file = shared / f"data/africa_wealth/nigeria_wealth_{name}_2012_2014.tif"
    villages = villages_around_nigeria(shared)
    units = ec.read_units(villages, id="cluster_id", lon="lon", lat="lat")
    chips = ec.chips(units, file, size_px=1)
    (batch,) = chips.batches(size=10_000)
    with rasterio.open(file) as scene:
        whole = scene.read(1)
    row, column = (np.floor(v).astype(int) for v in mercator_pixel(villages["lon"], villages["lat"]))
    inside = (row >= 0) & (row < 143) & (column >= 0) & (column < 176)
    expected = np.where(inside, whole[np.clip(row, 0, 142), np.clip(column, 0, 175)], np.nan)
    assert min(np.isfinite(expected).sum(), (np.isnan(expected) & inside).sum(), (~inside).sum()) > 50
    np.testing.assert_array_equal(batch.pixels["1px"].ravel(), expected)
    status = np.where(np.isfinite(expected), "ok", np.where(inside, "nodata", "outside"))
    np.testing.assert_array_equal(batch.status["1px"], status)


def test_wealth_map_of_mercator_metres_is_interpolated_on_the_ground(shared):
    """Metres of the Mercator map are 1 / cos(latitude) too long: squares on the ground need interpolation."""
    file = shared / "data/africa_wealth/nigeria_wealth_ms_2012_2014.tif"
    # In UTM zones 31, 32 and 33; the second near the coast, where pixels hold no number.
    lon, lat = [4.9, 7.0, 13.1], [9.1, 5.0, 11.8]
    chips = ec.chips(units_at(lon, lat), file, size_m=140_000)
    assert "utm grid" in repr(chips)
    table, batch = chips.table(), only_batch(chips)
    assert table["crs"].tolist() == ["EPSG:32631", "EPSG:32632", "EPSG:32633"]
    # One pixel on the ellipsoid at the unit of middle latitude, 9.1 N, by geodesics along both sides.
    row, column = mercator_pixel(lon[0], lat[0])
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    x, y = 290_700 + 7_650 * column, 1_568_250 - 7_650 * row
    corner, east, north = (to_degrees.transform(x + a, y + b) for a, b in ((0, 0), (7_650, 0), (0, 7_650)))
    ground = pyproj.Geod(ellps="WGS84")
    across, along = ground.inv(*corner, *east)[2], ground.inv(*corner, *north)[2]
    pixel_m = float(f"{math.sqrt(across * along):.3g}")
    side = round(140_000 / pixel_m)
    assert batch.pixels["140000m"].shape == (3, 1, 1, side, side)
    with rasterio.open(file) as scene:
        whole = scene.read(1).astype(float)
    for chip, zone in enumerate((32631, 32632, 32633)):
        to_utm = pyproj.Transformer.from_crs(4326, zone, always_xy=True)
        easting, northing = to_utm.transform(lon[chip], lat[chip])
        steps = (np.arange(side) + 0.5 - side / 2) * pixel_m
        degrees = to_utm.transform(*np.meshgrid(easting + steps, northing - steps), direction="INVERSE")
        expected = bilinear(whole, *mercator_pixel(*degrees))
        np.testing.assert_allclose(batch.pixels["140000m"][chip, 0, 0], expected, atol=2e-5)
    assert batch.status["140000m"].tolist() == ["ok", "partial", "ok"]


def classes(shared: Path) -> Path:
    return shared / "data/zion_terrain/nlcd2011.tif"


def test_land_cover_at_the_edge_keeps_its_classes(shared):
    file = classes(shared)
    # 1359 rows, 1073 columns; pixels of 31.530 x 31.525 m: round(630 / 31.5275) = 20 of them.
    places = [(2.2, 3.7), (1357.0, 1071.0), (700.3, 500.7)]
    chips = ec.chips(units_at(*lonlat_of_pixels(file, places)), file, size_m=630)
    assert "native grid" in repr(chips)
    pixels = only_batch(chips).pixels["630m"][:, 0]
    with rasterio.open(file) as scene:
        whole = scene.read()
    # Corners: the whole numbers nearest to the position less 10.
    for chip, (top, left) in enumerate([(-8, -6), (1347, 1061), (690, 491)]):
        np.testing.assert_array_equal(pixels[chip], square(whole, top, left, 20))
    codes = {11, 21, 22, 23, 31, 41, 42, 43, 52, 71, 81, 82, 90, 95}
    assert set(pixels[np.isfinite(pixels)].tolist()) <= codes


def test_land_cover_on_two_grids_is_never_mixed(shared, tmp_path):
    """The map is split in two and one half moved by half a pixel: it is left aside, not interpolated."""
    with rasterio.open(classes(shared)) as scene:
        whole, profile, colours = scene.read(), scene.profile, scene.colormap(1)
    halves = []
    for name, left, right, moved in (("west", 0, 500, 0.0), ("east", 500, 1073, 0.5)):
        place = profile["transform"] @ profile["transform"].translation(left + moved, 0)
        halves.append(tmp_path / f"{name}.tif")
        some = {**profile, "width": right - left, "transform": place}
        with rasterio.open(halves[-1], "w", **some) as out:
            out.write(whole[:, :, left:right])
            out.write_colormap(1, colours)
    units = units_at(*lonlat_of_pixels(classes(shared), [(700.5, 498.5)]))
    found = only_batch(ec.chips(units, halves, size_px=9)).pixels["9px"][0, 0, 0]
    # Columns 494 to 502: six in the west; the other three lie between the pixels of the east.
    np.testing.assert_array_equal(found[:, :6], whole[0, 696:705, 494:500])
    assert np.isnan(found[:, 6:]).all()


def test_land_cover_in_degrees_is_refused_in_metres_and_cut_in_pixels(shared, tmp_path):
    with rasterio.open(classes(shared)) as scene:
        whole, colours, source, at = scene.read(1), scene.colormap(1), scene.crs, scene.transform
    place = Affine(3e-4, 0, -113.1, 0, -3e-4, 37.4)
    degrees = np.zeros((400, 400), dtype="uint8")
    reproject(whole, degrees, src_transform=at, src_crs=source, dst_transform=place, dst_crs="EPSG:4326")
    profile = {"driver": "GTiff", "width": 400, "height": 400, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "cover.tif", "w", **profile, crs="EPSG:4326", transform=place) as out:
        out.write(degrees, 1)
        out.write_colormap(1, colours)
    units = units_at([-113.1 + 3e-4 * 200.5], [37.4 - 3e-4 * 200.5])
    with pytest.raises(
        ImageryError, match=r"(?s)classes.*cannot be interpolated.*EPSG:32612 -r near cover\.tif"
    ):
        ec.chips(units, tmp_path / "cover.tif", size_m=300)
    found = only_batch(ec.chips(units, tmp_path / "cover.tif", size_px=11)).pixels["11px"][0, 0, 0]
    np.testing.assert_array_equal(found, degrees[195:206, 195:206])


def test_elevation_in_degrees_is_cut_at_its_edge_in_pixels_and_judged_in_metres(shared):
    file = shared / "data/zion_terrain/srtm.tif"
    with rasterio.open(file) as scene:
        whole = scene.read()
    places = lonlat_of_pixels(file, [(456.5, 464.5), (228.5, 232.5)])
    found = only_batch(ec.chips(units_at(*places), file, size_px=5))
    np.testing.assert_array_equal(found.pixels["5px"][0, 0], square(whole, 454, 462, 5))
    np.testing.assert_array_equal(found.pixels["5px"][1, 0], whole[:, 226:231, 230:235])
    # 9 of 25 pixels at the corner; interpolated, its ground is valid as far as the pixels under it reach.
    assert found.valid_fraction["5px"][0] == pytest.approx(9 / 25)
    metres = only_batch(ec.chips(units_at(*places), file, size_m=900))
    assert metres.status["900m"].tolist() == ["partial", "ok"]
    assert 0.2 < metres.valid_fraction["900m"][0] < 0.35


def test_elevation_and_landsat_of_olinda_are_read_at_the_same_places(shared):
    """Two grids and two datums: the pixel under each unit, found by pyproj in each file's own system."""
    scene, model = (shared / "data/landsat7_olinda" / n for n in ("L7_ETMs.tif", "olinda_dem_utm25s.tif"))
    rng = np.random.default_rng(3)
    lon, lat = lonlat_of_pixels(scene, [tuple(p) for p in rng.uniform(2, 346, (60, 2)).tolist()])
    for file in (scene, model):
        with rasterio.open(file) as data:
            whole, inverse, crs = data.read(), ~data.transform, data.crs.to_wkt()
        to_grid = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        column, row = (
            np.floor(v).astype(int) for v in inverse @ to_grid.transform(np.array(lon), np.array(lat))
        )
        found = only_batch(ec.chips(units_at(lon, lat), file, size_px=1)).pixels["1px"]
        np.testing.assert_array_equal(found[:, 0, :, 0, 0], whole[:, row, column].T)


def test_landsat_of_olinda_at_its_corners(shared):
    file = shared / "data/landsat7_olinda/L7_ETMs.tif"
    # 352 rows, 349 columns; an even side, so the nearest boundary of pixels is the middle.
    places = [(0.2, 348.9), (351.9, 0.1), (351.6, 348.6)]
    batch = only_batch(ec.chips(units_at(*lonlat_of_pixels(file, places)), file, size_m=28.5 * 6))
    with rasterio.open(file) as scene:
        whole = scene.read()
    for chip, (top, left) in enumerate([(-3, 346), (349, -3), (349, 346)]):
        np.testing.assert_array_equal(batch.pixels["171m"][chip, 0], square(whole, top, left, 6))
    np.testing.assert_allclose(batch.valid_fraction["171m"], 0.25)


def test_bahamas_in_metres_of_several_sizes(shared):
    """Pixels of 300.038 x 300.042 m: 9,600 m are 32, 4,500 m are 15, and both have one middle."""
    file = shared / "data/rgb_byte/RGB.byte.tif"
    with rasterio.open(file) as scene:
        whole, valid = scene.read(), (scene.read() != 0).all(axis=0)
        tagged = (scene.read_masks() > 0).all(axis=0)
    np.testing.assert_array_equal(valid, tagged)
    chips = ec.chips(units_at(*lonlat_of_pixels(file, [(400.3, 420.8)])), file, size_m=[9600, 4500])
    assert "native grid" in repr(chips)
    batch = only_batch(chips)
    expected = np.where(valid, whole, np.nan)
    # round(400.3 - 16) and round(420.8 - 16); the middle pixel of 15 is the one that holds the unit.
    np.testing.assert_array_equal(batch.pixels["9600m"][0, 0], expected[:, 384:416, 405:437])
    np.testing.assert_array_equal(batch.pixels["4500m"][0, 0], expected[:, 393:408, 413:428])


def test_sentinel_patches_as_arrays_are_those_of_the_files(shared):
    files = sorted((shared / "data/sentinel2_patches").glob("patch_*.tif"))
    stack = []
    for file in files:
        with rasterio.open(file) as scene:
            stack.append(scene.read())
    names = np.array([file.stem.removeprefix("patch_") for file in files])
    places = [lonlat_of_pixels(file, [(128.0, 128.0)]) for file in files]
    lon, lat = ([float(place[axis][0]) for place in places] for axis in (0, 1))
    table = pd.DataFrame({"id": range(8), "patch": names[::-1], "lon": lon[::-1], "lat": lat[::-1]})
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="patch")
    bands_first = ec.chips_from_arrays(units, np.stack(stack), keys=names, date="2020-06-01")
    bands_last = ec.chips_from_arrays(units, np.moveaxis(np.stack(stack), 1, 3), keys=names)
    cut = ec.chips(units, files, size_px=256)
    assert bands_first.keys.tolist() == cut.keys.tolist() == names[::-1].tolist()
    for chips in (bands_first, bands_last, cut):
        found = only_batch(chips).pixels["256px"][:, 0]
        np.testing.assert_array_equal(found, np.stack(stack)[::-1].astype("float32"))


def test_zeros_of_sentinel_arrays_are_not_valid_once_their_unit_is_said(shared):
    file = shared / "data/sentinel2_patches/patch_8845.tif"
    with rasterio.open(file) as scene:
        stored = scene.read()
    empty = (stored == 0).any(axis=0)
    assert empty.any()
    units = ec.read_units(pd.DataFrame({"id": [1], "patch": ["a"]}), id="id", image_key="patch")
    batch = only_batch(ec.chips_from_arrays(units, stored[None], keys=["a"], pixel_unit="s2_l2a_dn"))
    expected = np.where(empty, np.nan, stored.astype("float32"))
    np.testing.assert_array_equal(batch.pixels["256px"][0, 0], expected)
    assert batch.valid_fraction["256px"][0] == pytest.approx(1 - empty.mean())
