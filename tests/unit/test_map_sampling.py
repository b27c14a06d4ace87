"""Reading a map at units: which pixel, means around it, and units that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform as warp_points

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.map_cards import sampling
from tests.scenes import NORTH, WEST, numbered, units_lonlat, units_on, write_scene


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(
        tmp_path / "map.tif", numbered(1), pixel=100.0, tiled=True, blockxsize=16, blockysize=16
    )


def _on(pixels: list[tuple[float, float]]) -> ec.Units:
    return units_on(pixels, pixel=100.0)


def test_the_pixel_that_a_unit_lies_in_is_read_in_the_units_order(scene: Path) -> None:
    found = ec.sample_map(scene, _on([(59.9, 79.9), (0.1, 0.1), (17.5, 40.2), (17.6, 40.9), (31.2, 2.0)]))
    assert found.prediction.tolist() == [10_000 + 100 * 59 + 79, 10_000, 11_740, 11_740, 13_102]
    assert found.frame["row"].tolist() == [59, 0, 17, 17, 31]
    assert found.frame["column"].tolist() == [79, 0, 40, 40, 2]
    assert found.frame["pixels"].tolist() == [1] * 5
    assert found.frame.index.tolist() == ["u0", "u1", "u2", "u3", "u4"]
    assert found.frame.index.name == "id"
    assert repr(found) == "MapSample(5 of 5 units have a prediction)"


def test_a_band_is_found_by_number_and_by_name(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "map.tif", numbered(2), descriptions=["mean", "sd"])
    units = units_on([(3.5, 4.5)])
    assert ec.sample_map(file, units, band=2).prediction.tolist() == [20_304]
    assert ec.sample_map(file, units, band="sd").prediction.tolist() == [20_304]
    assert ec.sample_map(file, units, band="mean").prediction.tolist() == [10_304]


def test_a_mean_is_of_pixels_whose_centres_are_near_and_of_the_units_own(scene: Path) -> None:
    pixels = numbered(1)[0].astype(float)
    units = _on([(20.5, 30.5), (0.5, 0.5), (20.1, 30.1)])
    cross = ec.sample_map(scene, units, radius_m=110).frame
    assert cross["pixels"].tolist() == [5, 3, 4]
    # a unit near a corner of its pixel has that pixel and the three that meet there
    near = [pixels[20, 30], pixels[19, 30], pixels[20, 29], pixels[19, 29]]
    assert cross["prediction"].tolist() == pytest.approx(
        [pixels[20, 30], (10_000 + 10_100 + 10_001) / 3, np.mean(near)]
    )
    square = ec.sample_map(scene, units, radius_m=145).frame
    assert square["pixels"].tolist()[:2] == [9, 4]
    alone = ec.sample_map(scene, units, radius_m=1).frame
    assert alone["pixels"].tolist() == [1, 1, 1]
    assert alone["prediction"].tolist() == [pixels[20, 30], pixels[0, 0], pixels[20, 30]]


def test_means_are_over_ground_metres_in_mercator_too(tmp_path: Path) -> None:
    """At 60 degrees north a metre of Mercator is half a metre on the ground."""
    values = np.arange(41 * 41, dtype="float32").reshape(1, 41, 41)
    north = 8_399_737.9
    place = Affine(100, 0, 1_000_000, 0, -100, north + 2_050)
    file = write_scene(tmp_path / "map.tif", values, crs="EPSG:3857", transform=place)
    x = [1_000_000 + 2_050.0]
    lon, lat = warp_points("EPSG:3857", "EPSG:4326", x, [north])
    assert lat[0] == pytest.approx(60, abs=0.01)
    found = ec.sample_map(file, units_lonlat(lon, lat), radius_m=105).frame.iloc[0]
    # pixels of 50 m: offsets (dy, dx) in pixels with a distance of at most 2.1 pixels
    steps = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if 50 * np.hypot(dy, dx) <= 105]
    assert found["pixels"] == len(steps) == 13
    assert found["prediction"] == pytest.approx(np.mean([values[0, 20 + dy, 20 + dx] for dy, dx in steps]))


def test_means_leave_out_pixels_without_a_value_and_do_not_depend_on_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = numbered(1)
    values[0, 20, 29:31] = np.nan
    file = write_scene(tmp_path / "map.tif", values, pixel=100.0)
    units = _on([(20.5, 30.5), (20.5, 28.5), (40.5, 40.5), (41.5, 40.5)])
    whole = ec.sample_map(file, units, radius_m=110).frame
    # left, middle and right in row 20 but two; those above and below
    assert whole["pixels"].tolist() == [3, 4, 5, 5]
    assert whole["prediction"].iloc[0] == pytest.approx(
        np.mean([values[0, 19, 30], values[0, 21, 30], values[0, 20, 31]])
    )
    monkeypatch.setattr(sampling, "_AT_ONCE", 1)
    pd.testing.assert_frame_equal(ec.sample_map(file, units, radius_m=110).frame, whole)


@pytest.mark.parametrize("west", [0.0, -180.0, 170.0])
def test_longitudes_of_any_turn_find_their_pixel(tmp_path: Path, west: float) -> None:
    place = Affine(1, 0, west, 0, -1, 10)
    values = np.arange(20 * 360, dtype="float32").reshape(1, 20, 360)
    file = write_scene(tmp_path / "map.tif", values, crs="EPSG:4326", transform=place)
    lon = np.array([-179.5, -0.5, 0.5, 169.5, 170.5, 179.5])
    found = ec.sample_map(file, units_lonlat(lon.tolist(), [5.5] * 6)).frame
    assert found["column"].tolist() == [int((one - west) % 360) for one in lon]


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_units_without_a_prediction_are_counted_and_kept_when_asked(
    tmp_path: Path, nodata: float | None
) -> None:
    values = numbered(1)
    values[0, 5, 5] = np.nan if nodata is None else nodata
    file = write_scene(tmp_path / "map.tif", values, nodata=nodata)
    units = units_on([(5.5, 5.5), (2.5, 2.5), (-0.5, 3.5), (3.5, 80.5), (60.5, 3.5), (3.5, -0.5)])
    with pytest.raises(
        ImageryError, match=r"lie outside of the map 'map.tif': 4 of 6[\s\S]*4 \(u2, u3, u4, u5\)"
    ):
        ec.sample_map(file, units)
    with pytest.raises(ImageryError, match=r"no value: 1 of 2[\s\S]*1 \(u0\)[\s\S]*missing=\"keep\""):
        ec.sample_map(file, units.take([0, 1]))
    found = ec.sample_map(file, units, missing="keep")
    assert found.prediction.isna().tolist() == [True, False, True, True, True, True]
    assert found.frame["row"].tolist() == [5, 2, -1, -1, -1, -1]
    assert found.frame["pixels"].tolist() == [0, 1, 0, 0, 0, 0]
    assert found.warnings == (
        "4 of 6 units lie outside of the map 'map.tif', and have no prediction (first: u2, u3, u4, u5)",
        "1 of 6 units lie on pixels of the map 'map.tif' that have no value, and have no prediction (first: u0)",
    )
    with pytest.raises(ImageryError, match="No unit has a prediction"):
        ec.sample_map(file, units.take([0, 2]), missing="keep")
    with pytest.raises(ImageryError, match="No unit has a prediction"):
        ec.sample_map(file, units.take([2, 3]), missing="keep", radius_m=90)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"radius_m": -1}, r"radius_m=-1[\s\S]*positive metres"),
        ({"radius_m": 1e6}, r"reaches over [\d,]+ pixels"),
        ({"missing": "drop"}, "missing='drop' is not known"),
        ({"band": 3}, "There is no band 3"),
        ({"band": "sd"}, "There is no band 'sd'"),
    ],
)
def test_what_cannot_be_read_is_told(scene: Path, how: dict[str, object], told: str) -> None:
    with pytest.raises(ImageryError, match=told):
        ec.sample_map(scene, _on([(1.5, 1.5)]), **how)


def test_files_that_are_no_map_are_refused(tmp_path: Path, scene: Path) -> None:
    units = _on([(1.5, 1.5)])
    other = write_scene(tmp_path / "more.tif", numbered(1), pixel=100.0)
    with pytest.raises(ImageryError, match=r"2 rasters are no one map[\s\S]*gdalbuildvrt"):
        ec.sample_map(tmp_path / "m*.tif", units)
    with pytest.raises(ImageryError, match="A map is not a list"):
        ec.sample_map([scene, other], units)
    with pytest.raises(ImageryError, match="not units as read_units gives them"):
        ec.sample_map(scene, pd.DataFrame({"id": [1]}))
    with pytest.raises(ImageryError, match="have no coordinates"):
        ec.sample_map(scene, ec.read_units(pd.DataFrame({"id": [1], "key": [1]}), id="id", image_key="key"))
    disguised = tmp_path / "disguised.tif"
    disguised.write_text("<VRTDataset></VRTDataset>")
    with pytest.raises(ImageryError, match="is not what its name says"):
        ec.sample_map(disguised, units)


def test_stored_numbers_that_are_to_be_scaled_are_refused(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "map.tif", numbered(1).astype("int32"))
    with rasterio.open(file, "r+") as out:
        out.scales = (0.01,)
    with pytest.raises(ImageryError, match=r"multiplied by 0.01[\s\S]*gdal_translate -unscale"):
        ec.sample_map(file, units_on([(1.5, 1.5)]))


def test_classes_are_refused(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "map.tif", np.ones((1, 4, 4), dtype="uint8"))
    with rasterio.open(file, "r+") as out:
        out.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(ImageryError, match="holds classes"):
        ec.sample_map(file, units_on([(1.5, 1.5)]))


def test_polygons_are_read_at_their_centroid_and_that_is_told(tmp_path: Path) -> None:
    import geopandas
    import shapely

    file = write_scene(tmp_path / "map.tif", numbered(1))
    square = shapely.box(WEST + 300, NORTH - 690, WEST + 390, NORTH - 600)
    frame = geopandas.GeoDataFrame({"id": ["a"]}, geometry=[square], crs="EPSG:32636")
    found = ec.sample_map(file, ec.read_units(frame, id="id"))
    assert found.prediction.tolist() == [10_000 + 100 * 21 + 11]
    assert found.warnings == ("1 of 1 units are polygons: their place is the centroid.",)


def test_a_tilted_map_is_read_where_its_pixels_lie(tmp_path: Path) -> None:
    # turned by 30 degrees
    along, aside = 50 * np.sqrt(3), 50.0
    place = Affine(along, aside, WEST, aside, -along, NORTH)
    file = write_scene(tmp_path / "map.tif", numbered(1), transform=place)
    row, column = np.array([(0, 0), (17, 40), (59, 79), (30, 2)]).T + 0.5
    x, y = WEST + along * column + aside * row, NORTH + aside * column - along * row
    units = ec.read_units(
        pd.DataFrame({"id": range(4), "x": x, "y": y}), id="id", lon="x", lat="y", crs="EPSG:32636"
    )
    assert ec.sample_map(file, units).prediction.tolist() == [10_000, 11_740, 15_979, 13_002]
    assert ec.sample_map(file, units, radius_m=110).frame["pixels"].tolist() == [3, 5, 3, 5]


def test_masked_and_infinite_pixels_have_no_value(tmp_path: Path) -> None:
    values, mask = numbered(1), np.full((60, 80), 255, dtype="uint8")
    values[0, 1, 1], mask[2, 2] = np.inf, 0
    file = write_scene(tmp_path / "map.tif", values, mask=mask)
    found = ec.sample_map(file, units_on([(1.5, 1.5), (2.5, 2.5), (3.5, 3.5)]), missing="keep")
    assert found.prediction.isna().tolist() == [True, True, False]


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("tiled") / "map.tif"
    return write_scene(where, numbered(1), tiled=True, blockxsize=16, blockysize=16)


@given(pixels=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 79)), min_size=1, max_size=30))
def test_every_unit_gets_its_own_pixel_in_any_order(tiled: Path, pixels: list[tuple[int, int]]) -> None:
    units = units_on([(row + 0.5, column + 0.5) for row, column in pixels])
    expected = [10_000 + 100 * row + column for row, column in pixels]
    assert ec.sample_map(tiled, units).prediction.tolist() == expected
    turned = units.take(np.arange(len(units))[::-1])
    assert ec.sample_map(tiled, turned).prediction.tolist() == expected[::-1]
