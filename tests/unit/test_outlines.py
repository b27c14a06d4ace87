"""Polygons as squares and masks, against centres tested one by one in longitude and latitude."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from shapely import MultiPolygon, Polygon, affinity, box

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.batches import ChipBatch
from eocausal.imagery.changed import ChangedSource
from eocausal.imagery.outlines import Outlines, bounding_square, inside
from eocausal.imagery.polygons import lonlat_polygons
from tests.scenes import NORTH, WEST, numbered, units_on, write_scene

RNG = np.random.default_rng(5)


def star(lon: float, lat: float, degrees: float, *, points: int = 23) -> Polygon:
    """Return a polygon with long and short arms and a hole."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    reach = degrees * np.where(np.arange(points) % 2, 0.4, 1.0)
    ring = np.column_stack(
        [lon + reach * np.cos(angle) / np.cos(np.radians(lat)), lat + reach * np.sin(angle)]
    )
    return Polygon(
        ring, [box(lon - degrees / 9, lat - degrees / 7, lon + degrees / 9, lat + degrees / 7).exterior]
    )


def centres_inside(polygon: Polygon, grid: dict) -> np.ndarray:
    """Take every pixel centre to longitude and latitude and ask for each whether the polygon holds it."""
    step = np.arange(grid["side"]) + 0.5
    x, y = np.meshgrid(grid["west"] + step * grid["x_size"], grid["north"] - step * grid["y_size"])
    lon, lat = pyproj.Transformer.from_crs(grid["crs"], "EPSG:4326", always_xy=True).transform(x, y)
    west, _, east, _ = polygon.bounds
    lon = (west + east) / 2 + (np.asarray(lon) - (west + east) / 2 + 180) % 360 - 180
    return shapely.contains_xy(polygon, lon, lat)


def grid_around(polygon: Polygon, crs: str, *, side: int, stretch: float = 1.1) -> dict:
    """Return a grid that holds a polygon."""
    dense = shapely.get_coordinates(shapely.segmentize(polygon, 0.001))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(dense[:, 0], dense[:, 1])
    size = stretch * max(np.ptp(x), np.ptp(y))
    middle = (np.min(x) + np.max(x)) / 2, (np.min(y) + np.max(y)) / 2
    corner = {"west": middle[0] - size / 2, "north": middle[1] + size / 2}
    return {"crs": crs, **corner, "x_size": size / side, "y_size": size / side, "side": side}


@pytest.mark.parametrize(
    ("lon", "lat", "degrees", "crs"),
    [
        (33.1, 1.2, 0.02, "EPSG:32636"),
        (-58.4, -34.6, 0.3, "EPSG:32721"),
        (24.9, 69.7, 0.5, "EPSG:32635"),
        (24.9, 69.7, 0.5, "EPSG:3857"),
        (10.0, 50.0, 1.5, "EPSG:3035"),
        (33.1, 1.2, 0.02, "EPSG:4326"),
        (-105.0, 40.0, 0.2, "EPSG:4269"),
        (-95.0, 31.0, 0.2, "EPSG:2277"),
    ],
)
def test_pixels_inside_are_those_whose_centre_is(lon, lat, degrees, crs) -> None:
    polygon = star(lon, lat, degrees)
    grid = grid_around(polygon, crs, side=90)
    expected = centres_inside(polygon, grid)
    got = inside(polygon, **grid)
    assert got.shape == (90, 90)
    # the brute force and the fill may differ where a centre is on an edge to within rounding
    assert (got != expected).sum() <= 1
    assert 0.1 < expected.mean() < 0.9


def test_long_edges_bend_as_they_do_on_the_ground() -> None:
    # a box along a parallel at 60 degrees: its edges are 1.9 km from the straight line between their ends
    polygon = box(10.0, 60.0, 17.0, 60.02)
    grid = {"crs": "EPSG:32632", "side": 60, "x_size": 50.0, "y_size": 50.0}
    lon, lat = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform(13.5, 60.01)
    grid |= {"west": lon - 1500, "north": lat + 1500}
    got = inside(polygon, **grid)
    np.testing.assert_array_equal(got, centres_inside(polygon, grid))
    assert got.any()
    assert not got.all()


def test_holes_and_parts_count_as_they_are() -> None:
    outer, hole, island = box(0, 0, 6, 6), box(1, 1, 5, 5), box(2, 2, 4, 4)
    polygon = MultiPolygon([outer.difference(hole), island])
    got = inside(polygon, crs="EPSG:4326", west=-1, north=7, x_size=1, y_size=1, side=8)
    expected = np.zeros((8, 8), dtype=bool)
    expected[1:7, 1:7], expected[2:6, 2:6], expected[3:5, 3:5] = True, False, True
    np.testing.assert_array_equal(got, expected)


def test_pixels_that_are_not_square_and_polygons_cut_by_the_grid() -> None:
    got = inside(box(0, 0, 4, 4), crs="EPSG:4326", west=2.0, north=6.0, x_size=1.0, y_size=2.0, side=3)
    assert got.astype(int).tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert not inside(box(20, 20, 24, 24), crs="EPSG:4326", west=2, north=6, x_size=1, y_size=2, side=3).any()


def test_a_polygon_without_a_centre_is_the_pixel_that_holds_it() -> None:
    grid = {"crs": "EPSG:4326", "west": 0.0, "north": 4.0, "x_size": 1.0, "y_size": 1.0, "side": 4}
    got = inside(box(2.6, 0.1, 2.8, 0.3), **grid)
    assert np.argwhere(got).tolist() == [[3, 2]]
    bent = Polygon([(0.05, 0.05), (0.95, 0.05), (0.95, 0.3), (0.9, 0.3), (0.9, 0.1), (0.05, 0.1)])
    assert np.argwhere(inside(bent, **grid)).tolist() == [[3, 0]]
    assert not inside(box(4.6, 0.1, 4.8, 0.3), **grid).any()


def test_a_grid_in_degrees_is_met_from_either_turn() -> None:
    polygon = box(179.0, -17.0, 181.0, -16.0)
    grid = {"crs": "EPSG:4326", "north": -15.0, "x_size": 0.5, "y_size": 0.5, "side": 12}
    expected = np.zeros((12, 12), dtype=bool)
    expected[2:4, 4:8] = True
    for west in (177.0, -183.0):
        np.testing.assert_array_equal(inside(polygon, west=west, **grid), expected)


def test_the_antimeridian_in_a_projected_system() -> None:
    polygon = affinity.translate(star(0.0, -17.0, 0.2), 180.02, 0)
    grid = grid_around(polygon, "EPSG:32760", side=64)
    assert (inside(polygon, **grid) != centres_inside(polygon, grid)).sum() <= 1
    with pytest.raises(ImageryError, match=r"torn apart in EPSG:3857[\s\S]*gdalwarp"):
        inside(polygon, **{**grid, "crs": "EPSG:3857"})


def test_the_square_of_a_box_in_its_zone_is_the_box() -> None:
    boxes = [box(600_000, 200_000, 600_300, 200_200), box(500_000, 10_000, 500_040, 10_900)]
    lon, lat, side = bounding_square(geopandas.GeoSeries(boxes, crs="EPSG:32636"))
    to_zone = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32636", always_xy=True)
    np.testing.assert_allclose(
        np.column_stack(to_zone.transform(lon, lat)), [(600_150, 200_100), (500_020, 10_450)], atol=1e-3
    )
    np.testing.assert_allclose(side, [300, 900], atol=1e-3)
    again = bounding_square(geopandas.GeoSeries(boxes, crs="EPSG:32636").to_crs("EPSG:4326"), margin_m=30)
    np.testing.assert_allclose(again[2], [360, 960], atol=0.05)


def zone_of(lon: float, lat: float) -> str:
    return f"EPSG:{(32700 if lat < 0 else 32600) + int((lon + 180) // 6) % 60 + 1}"


@pytest.mark.parametrize("middle", [35.99, 35.9999, 36.0, 36.0001, 36.02, -180.0, 179.999, -6.0])
@pytest.mark.parametrize("lat", [-0.01, 62.0, -45.0])
def test_the_square_holds_the_polygon_on_both_sides_of_a_zone(middle: float, lat: float) -> None:
    polygon = affinity.translate(star(0.0, lat, 0.3), middle + 0.0003, 0)
    lon, lat_, side = bounding_square([polygon])
    assert -180 <= lon[0] < 180
    zone = zone_of(lon[0], lat_[0])
    grid_points = shapely.get_coordinates(shapely.segmentize(polygon, 0.001))
    to_zone = pyproj.Transformer.from_crs("EPSG:4326", zone, always_xy=True)
    x, y = to_zone.transform(grid_points[:, 0], grid_points[:, 1])
    centre = to_zone.transform(lon[0], lat_[0])
    reach = max(np.abs(np.asarray(x) - centre[0]).max(), np.abs(np.asarray(y) - centre[1]).max())
    assert side[0] / 2 == pytest.approx(reach, rel=1e-4)
    assert side[0] / 2 >= reach - 0.1
    # not much larger than the box, though the zone may be the next one's
    assert side[0] <= 1.01 * max(np.ptp(x), np.ptp(y))


def test_polygons_across_the_antimeridian_come_in_one_piece_however_they_are_written() -> None:
    whole = box(179.0, -17.0, 180.5, -16.0)
    halves = MultiPolygon([box(179.0, -17.0, 180.0, -16.0), box(-180.0, -17.0, -179.5, -16.0)])
    eastern_first = MultiPolygon(list(halves.geoms)[::-1])
    jumping = Polygon([(179.0, -17.0), (-179.5, -17.0), (-179.5, -16.0), (179.0, -16.0)])
    lon, lat, side = bounding_square([whole, halves, eastern_first, jumping])
    np.testing.assert_allclose(lon, lon[0], atol=1e-9)
    np.testing.assert_allclose(lat, lat[0], atol=1e-9)
    np.testing.assert_allclose(side, side[0], rtol=1e-9)
    # 1.5 degrees of the parallel at 16 degrees south are 160.6 km, and the zone turns the box a little
    assert 160_500 < side[0] < 162_500
    areas = shapely.area(lonlat_polygons([whole, halves, eastern_first, jumping]))
    np.testing.assert_allclose(areas, 1.5)


def test_a_polygon_in_a_zone_that_crosses_the_antimeridian_and_its_hole_stay_together() -> None:
    ring = box(800_000, 8_100_000, 860_000, 8_160_000)
    polygon = ring.difference(box(805_000, 8_110_000, 812_000, 8_120_000))
    (got,) = lonlat_polygons(geopandas.GeoSeries([polygon], crs="EPSG:32760"))
    west, _, east, _ = got.bounds
    assert west < 180 < east or west < -180 < east
    assert east - west < 1
    back = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True)
    x, y = back.transform(*shapely.get_coordinates(got).T)
    np.testing.assert_allclose(
        [np.min(x), np.min(y), np.max(x), np.max(y)], [800_000, 8_100_000, 860_000, 8_160_000], atol=0.01
    )
    assert len(got.interiors) == 1
    assert Polygon(got.exterior).contains(Polygon(got.interiors[0]))


def test_systems_in_feet_are_cut_into_pieces_of_metres() -> None:
    line = box(3_000_000, 10_000_000, 3_100_000, 10_000_100)
    (got,) = lonlat_polygons(geopandas.GeoSeries([line], crs="EPSG:2277"))
    points = shapely.get_coordinates(got)
    ground = pyproj.Geod(ellps="GRS80")
    steps = np.asarray(ground.inv(points[:-1, 0], points[:-1, 1], points[1:, 0], points[1:, 1])[2])
    assert steps.max() < 1001
    assert steps.max() > 900


def _source(
    folder: Path, pixels: list[tuple[float, float]], sizes: list[int], polygons: list
) -> ChangedSource:
    """Return chips of a scene with a hole in its data, with polygons in its own system."""
    bands = numbered()
    bands[:, 10:20, 10:20] = -1
    cut = ec.chips(units_on(pixels), write_scene(folder / "scene.tif", bands, nodata=-1), size_px=sizes)
    shapes = lonlat_polygons(geopandas.GeoSeries(polygons, crs="EPSG:32636"))
    return ChangedSource(cut.source, Outlines(shapes))


def pixel_box(top: float, left: float, bottom: float, right: float) -> Polygon:
    """Return a box on the scene by rows and columns."""
    return box(WEST + 30 * left, NORTH - 30 * bottom, WEST + 30 * right, NORTH - 30 * top)


def test_pixels_outside_the_polygon_are_not_valid_and_do_not_count(tmp_path: Path) -> None:
    where = [(30, 40), (20, 20), (15, 15), (0, 40), (-500, 0)]
    polygons = [
        pixel_box(28.4, 37.4, 31.6, 44.6),  # rows 28 to 31, columns 37 to 44: those with centres inside
        pixel_box(18.4, 18.4, 21.6, 21.6),  # four of sixteen pixels hold no data
        pixel_box(13.4, 13.4, 15.6, 15.6),  # all in the hole
        pixel_box(-2.6, 38.4, 1.6, 39.6),  # half of it beyond the raster
        pixel_box(-502, -2, -498, 2),
    ]
    source = _source(tmp_path, where, [10, 4], polygons)
    rows = np.array([2, 0, 1, 3, 4])
    with source.reading() as read:
        batch = read(rows)
    with source.inner.reading() as read:
        plain = read(rows)
    assert batch.status["10px"].tolist() == ["nodata", "ok", "partial", "partial", "outside"]
    np.testing.assert_allclose(batch.valid_fraction["10px"], [0, 1, 0.75, 0.4, 0])
    # of the polygon's rows -3 to 1 (as it is rounded) the 4 px chip holds -2 to 1, two of them on the raster
    np.testing.assert_allclose(batch.valid_fraction["4px"], [0, 1, 0.75, 0.5, 0])
    expected = np.zeros((10, 10), dtype=bool)
    expected[3:7, 2:10] = True
    expected[:, 0:2] = False
    np.testing.assert_array_equal(batch.mask["10px"][1, 0], expected)
    for block in ("4px", "10px"):
        mask = batch.mask[block][:, :, None]
        np.testing.assert_array_equal(batch.pixels[block], np.where(mask, plain.pixels[block], np.nan))
        assert batch.mask[block].sum() < plain.mask[block].sum()


def test_a_house_is_one_pixel(tmp_path: Path) -> None:
    source = _source(tmp_path, [(30.2, 40.2)], [5], [pixel_box(30.1, 40.1, 30.3, 40.3)])
    with source.reading() as read:
        batch = read(np.array([0]))
    assert batch.status["5px"].tolist() == ["ok"]
    assert np.argwhere(batch.mask["5px"][0, 0]).tolist() == [[2, 2]]
    assert batch.pixels["5px"][0, 0, 0, 2, 2] == 13_040


def test_the_recipe_knows_the_polygons(tmp_path: Path) -> None:
    first, second = pixel_box(28, 38, 32, 42), pixel_box(28, 38, 32, 43)
    source = _source(tmp_path, [(30, 40), (30, 50)], [8], [first, second])
    about = source.recipe()["outlines"]
    assert (about["count"], about["inside"]) == (2, "pixel centres")
    assert {k: v for k, v in source.recipe().items() if k != "outlines"} == source.inner.recipe()
    other = ChangedSource(source.inner, Outlines(source.change.polygons[::-1]))
    assert other.recipe()["outlines"]["hash"] != about["hash"]
    again = ChangedSource(source.inner, Outlines(source.change.polygons.copy()))
    assert again.recipe()["outlines"]["hash"] == about["hash"]
    assert source.label() == source.inner.label()
    np.testing.assert_array_equal(source.reading_order(), source.inner.reading_order())
    np.testing.assert_array_equal(source.places()["longitude"], source.inner.places()["longitude"])


def test_every_date_is_cut_out_and_counted(tmp_path: Path) -> None:
    source = _source(tmp_path, [(30, 40)], [8], [pixel_box(28.4, 38.4, 31.6, 41.6)])

    class TwoDates:
        corners = staticmethod(source.inner.corners)

        def reading(self):
            from contextlib import contextmanager

            @contextmanager
            def both():
                with source.inner.reading() as read:
                    yield lambda rows: doubled(read(rows))

            return both()

    def doubled(batch: ChipBatch) -> ChipBatch:
        pixels = {b: np.repeat(p, 2, axis=1) for b, p in batch.pixels.items()}
        mask = {b: np.repeat(m, 2, axis=1) for b, m in batch.mask.items()}
        mask["8px"][0, 1, 4:] = False
        return ChipBatch(batch.keys, pixels, mask, {"8px": np.array(["partial"])}, {"8px": np.array([0.75])})

    with ChangedSource(TwoDates(), source.change).reading() as read:
        batch = read(np.array([0]))
    # sixteen pixels inside on each date; on the second the lower two of four rows are lost
    assert batch.mask["8px"].sum(axis=(2, 3)).tolist() == [[16, 8]]
    assert batch.valid_fraction["8px"].tolist() == [0.75]
    assert batch.status["8px"].tolist() == ["partial"]


def _districts() -> ec.Units:
    """Return two boxes of whole pixels of the scene: 4 x 6 and 10 x 10."""
    geometry = geopandas.GeoSeries([pixel_box(10, 20, 14, 26), pixel_box(30, 40, 40, 50)], crs="EPSG:32636")
    return ec.read_units(
        geopandas.GeoDataFrame({"district": ["small", "large"]}, geometry=geometry), id="district"
    )


def test_chips_of_polygons_hold_each_and_nothing_else(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", numbered())
    cut = ec.chips(_districts(), file, size_m="polygon")
    (batch,) = cut.batches()
    assert cut.blocks == ("polygon",)
    # ten pixels of the larger and one to spare on each side, whatever the projection adds
    assert batch.pixels["polygon"].shape[-1] in (12, 13)
    assert batch.mask["polygon"].sum(axis=(1, 2, 3)).tolist() == [4 * 6, 10 * 10]
    assert batch.status["polygon"].tolist() == ["ok", "ok"]
    assert batch.valid_fraction["polygon"].tolist() == [1.0, 1.0]
    # 10000 band + 100 row + column: exactly the pixels of rows 10 to 13 and columns 20 to 25
    found = batch.pixels["polygon"][0, 0, 0]
    expected = [10_000 + 100 * row + column for row in range(10, 14) for column in range(20, 26)]
    assert sorted(found[~np.isnan(found)].tolist()) == expected


def test_chips_of_polygons_can_be_resampled_and_keep_their_places(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", numbered())
    cut = ec.chips(_districts(), file, size_m="polygon")
    fine = cut.resampled(4 * cut.sides["polygon"])
    (batch,) = fine.batches()
    assert batch.pixels["polygon"].shape[-1] == 4 * cut.sides["polygon"]
    corners, coarse = fine.source.corners("polygon"), cut.source.corners("polygon")
    np.testing.assert_allclose(corners["x_size"], coarse["x_size"] / 4)
    np.testing.assert_array_equal(corners["west"], coarse["west"])
    assert batch.status["polygon"].tolist() == ["ok", "ok"]
    # sixteen small pixels for each of the large ones
    assert batch.mask["polygon"].sum(axis=(1, 2, 3)).tolist() == [16 * 4 * 6, 16 * 10 * 10]


@pytest.mark.parametrize(
    ("units", "size", "words"),
    [
        (units_on([(30, 40)]), "polygon", "needs units that are polygons"),
        (units_on([(30, 40)]), "district", "size_m='district' is not a size"),
    ],
)
def test_sizes_that_are_words(tmp_path: Path, units, size, words) -> None:
    file = write_scene(tmp_path / "scene.tif", numbered())
    with pytest.raises(ImageryError, match=words):
        ec.chips(units, file, size_m=size)
