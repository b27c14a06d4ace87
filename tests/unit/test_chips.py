"""Chips from small rasters whose pixels say where they are."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from tests.scenes import NORTH, WEST, numbered, read_all, units_lonlat, units_on, write_scene


def window(rows: range, columns: range, bands: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """Return what :func:`numbered` holds there, NaN beyond its 60 x 80 pixels."""
    band, row, column = np.array(bands)[:, None, None], np.array(rows)[:, None], np.array(columns)
    inside = (row >= 0) & (row < 60) & (column >= 0) & (column < 80)
    return np.where(inside, 10_000 * band + 100 * row + column, np.nan)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", numbered(), descriptions=("red", "nir"))


def test_several_sizes_share_one_middle_whatever_their_parity(scene):
    chips = ec.chips(units_on([(30.3, 40.8)]), scene, size_m=[300, 150, 120, 30])
    pixels = read_all(chips).pixels
    # Start: the whole number nearest to 30.3 - side / 2 and 40.8 - side / 2.
    for block, side, row, column in (
        ("300m", 10, 25, 36),
        ("150m", 5, 28, 38),
        ("120m", 4, 28, 39),
        ("30m", 1, 30, 40),
    ):
        expected = window(range(row, row + side), range(column, column + side))
        np.testing.assert_array_equal(pixels[block][0, 0], expected)


def test_windows_beyond_the_edge_keep_their_place(scene):
    units = units_on([(1.5, 1.5), (59.5, 79.5), (-2.0, 40.0), (-9.0, 40.0), (30.0, 500.0)])
    batch = read_all(ec.chips(units, scene, size_px=[6, 2]))
    starts = [(-1, -1), (57, 77), (-5, 37), (-12, 37)]
    for chip, (row, column) in enumerate(starts):
        expected = window(range(row, row + 6), range(column, column + 6))
        np.testing.assert_array_equal(batch.pixels["6px"][chip, 0], expected)
        np.testing.assert_array_equal(batch.mask["6px"][chip, 0], ~np.isnan(expected[0]))
    assert batch.status["6px"].tolist() == ["partial", "partial", "partial", "outside", "outside"]
    assert batch.status["2px"].tolist() == ["ok", "partial", "outside", "outside", "outside"]
    np.testing.assert_allclose(batch.valid_fraction["6px"], [25 / 36, 9 / 36, 6 / 36, 0, 0])


def test_bands_by_number_and_name_come_in_the_order_asked(scene):
    units = units_on([(30, 40)])
    for bands, numbers, names in (
        ([2, 1], (2, 1), ("nir", "red")),
        (["nir"], (2,), ("nir",)),
        (1, (1,), ("red",)),
    ):
        chips = ec.chips(units, scene, size_px=4, bands=bands)
        assert chips.bands == names
        np.testing.assert_array_equal(
            read_all(chips).pixels["4px"][0, 0], window(range(28, 32), range(38, 42), numbers)
        )


def write_holes(folder: Path, kind: str) -> tuple[Path, np.ndarray]:
    """Write a scene with invalid pixels declared in one of the ways that rasters know."""
    pixels, hole = numbered(), np.zeros((60, 80), dtype=bool)
    hole[28:31, 38:40] = True
    if kind == "nan":
        pixels[1, hole] = np.nan
        return write_scene(folder / "s.tif", pixels), hole
    if kind == "infinite":
        pixels[0, hole] = np.inf
        return write_scene(folder / "s.tif", pixels), hole
    if kind == "nodata":
        pixels[0, hole] = -9999
        return write_scene(folder / "s.tif", pixels, nodata=-9999), hole
    if kind == "zero as nodata":
        whole = pixels.astype("uint16")
        whole[1, hole] = 0
        return write_scene(folder / "s.tif", whole, nodata=0), hole
    if kind == "mask":
        return write_scene(folder / "s.tif", pixels, mask=np.where(hole, 0, 255).astype("uint8")), hole
    alpha = np.where(hole, 0, 65535)[None]
    rgb = np.concatenate([numbered(3)[:, :60], alpha]).astype("uint16")
    return write_scene(folder / "s.tif", rgb, photometric="RGB", alpha="yes"), hole


@pytest.mark.parametrize("kind", ["nan", "infinite", "nodata", "zero as nodata", "mask", "alpha"])
def test_every_way_to_say_not_valid_becomes_nan_in_all_bands(tmp_path, kind):
    file, hole = write_holes(tmp_path, kind)
    chips = ec.chips(units_on([(30, 40), (29.5, 39.0), (10, 10)]), file, size_px=[8, 2])
    batch = read_all(chips)
    bands = (1, 2, 3) if kind == "alpha" else (1, 2)
    assert len(chips.bands) == len(bands)
    here = hole[26:34, 36:44]
    expected = np.where(here, np.nan, window(range(26, 34), range(36, 44), bands))
    np.testing.assert_array_equal(batch.pixels["8px"][0, 0], expected)
    np.testing.assert_array_equal(batch.mask["8px"][0, 0], ~here)
    assert batch.valid_fraction["8px"][0] == 1 - 6 / 64
    assert batch.status["8px"].tolist() == ["partial", "partial", "ok"]
    assert batch.status["2px"].tolist() == ["partial", "nodata", "ok"]


def test_a_chip_across_tiles_is_the_chip_of_the_whole(tmp_path, scene):
    pixels = numbered()
    left = write_scene(tmp_path / "left.tif", pixels[:, :, :42])
    right = write_scene(tmp_path / "right.tif", pixels[:, :, 39:], corner=(WEST + 39 * 30, NORTH))
    units = units_on([(30.2, 40.1), (10.2, 60.9), (58, 41)])
    whole = read_all(ec.chips(units, scene, size_m=[480, 90]))
    tiled = read_all(ec.chips(units, [left, right], size_m=[480, 90]))
    for block in ("480m", "90m"):
        np.testing.assert_array_equal(tiled.pixels[block], whole.pixels[block])
        assert tiled.status[block].tolist() == whole.status[block].tolist()
    assert repr(ec.chips(units, str(tmp_path / "[lr]*.tif"), size_m=90)).endswith("2 rasters, native grid)")


def test_the_first_valid_pixel_wins(tmp_path):
    first = np.full((1, 60, 80), 1, dtype="uint8")
    first[0, :, 40:] = 0
    a = write_scene(tmp_path / "a.tif", first, nodata=0)
    b = write_scene(tmp_path / "b.tif", np.full((1, 60, 80), 2, dtype="uint8"), nodata=0)
    units = units_on([(30, 40)])
    assert read_all(ec.chips(units, [a, b], size_px=4)).pixels["4px"][0, 0, 0, 0].tolist() == [1, 1, 2, 2]
    assert read_all(ec.chips(units, [b, a], size_px=4)).pixels["4px"][0, 0, 0, 0].tolist() == [2, 2, 2, 2]


def test_a_vrt_reads_like_its_file(tmp_path, scene):
    sources = "".join(
        f'<VRTRasterBand dataType="Float32" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">scene.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        '<SrcRect xOff="0" yOff="0" xSize="80" ySize="60"/><DstRect xOff="0" yOff="0" xSize="80" ySize="60"/>'
        "</SimpleSource></VRTRasterBand>"
        for band in (1, 2)
    )
    (tmp_path / "scene.vrt").write_text(
        '<VRTDataset rasterXSize="80" rasterYSize="60"><SRS>EPSG:32636</SRS>'
        f"<GeoTransform>{WEST}, 30, 0, {NORTH}, 0, -30</GeoTransform>{sources}</VRTDataset>"
    )
    units = units_on([(30, 40), (2, 2)])
    chips = ec.chips(units, tmp_path / "scene.vrt", size_m=300)
    expected = read_all(ec.chips(units, scene, size_m=300)).pixels["300m"]
    np.testing.assert_array_equal(read_all(chips).pixels["300m"], expected)
    assert [source["name"] for source in chips.recipe()["rasters"][0]["sources"]] == ["scene.tif"]


def test_units_that_share_an_image_share_a_chip(scene):
    units = units_on([(30, 40), (10, 10), (30, 40.02)], key=["b", "a", "b"])
    chips = ec.chips(units, scene, size_px=3)
    assert chips.keys.tolist() == ["b", "a"]
    assert chips.table()["n_units"].tolist() == [2, 1]
    assert chips.table().columns.tolist() == [
        "key", "block", "status", "valid_fraction", "n_units", "longitude", "latitude", "crs",
    ]  # fmt: skip


def test_batches_are_the_same_however_they_are_cut(scene):
    chips = ec.chips(units_on([(5 * i, 7 * i) for i in range(11)]), scene, size_m=[240, 90])
    whole = read_all(chips)
    parts = list(chips.batches(size=4))
    assert [len(part) for part in parts] == [4, 4, 3]
    for block in chips.blocks:
        np.testing.assert_array_equal(
            np.concatenate([part.pixels[block] for part in parts]), whole.pixels[block]
        )
    some = read_all(chips, keys=["u7", "u2"])
    assert some.keys.tolist() == ["u7", "u2"]
    np.testing.assert_array_equal(some.pixels["240m"], whole.pixels["240m"][[7, 2]])


def open_files(file: Path) -> int:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("open files cannot be counted on this system")
    return sum(os.path.realpath(entry) == str(file.resolve()) for entry in folder.iterdir())


def test_rasters_are_open_only_while_reading(scene):
    chips = ec.chips(units_on([(30, 40)] * 3), scene, size_px=3)
    assert open_files(scene) == 0
    reading = chips.batches(size=1)
    next(reading)
    assert open_files(scene) == 1
    reading.close()
    assert open_files(scene) == 0


def easting_plane(lattice: Affine, shape: tuple[int, int], crs: str) -> np.ndarray:
    """Return, for each pixel centre, its easting and northing in UTM zone 36 as two bands."""
    import pyproj

    row, column = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    x, y = lattice @ (column, row)
    utm = pyproj.Transformer.from_crs(crs, "EPSG:32636", always_xy=True).transform(x, y)
    return np.array([utm[0] - WEST, utm[1] - NORTH]).astype("float32")


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:4326", Affine(0.0003, 0, 33.9, 0, -0.0003, 1.81)),
        ("EPSG:3857", Affine(30, 0, 3_773_700, 0, -30, 201_600)),
        ("EPSG:32636", Affine(24, 18, WEST - 1500, 18, -24, NORTH - 500)),
        ("EPSG:32636", Affine(30, 0, WEST, 0, 30, NORTH - 6000)),
        ("EPSG:32638", Affine(30, 0, -743_000, 0, -30, 206_000)),
    ],
    ids=["degrees", "web mercator", "rotated", "south-up", "a zone far from its meridian"],
)
def test_other_grids_are_interpolated_around_the_unit_in_its_own_zone(tmp_path, crs, place):
    file = write_scene(
        tmp_path / "plane.tif", easting_plane(place, (200, 200), crs), crs=crs, transform=place
    )
    chips = ec.chips(units_on([(100.25, 70.5)]), file, size_m=[900, 300])
    assert repr(chips).endswith("utm grid)")
    batch = read_all(chips)
    assert batch.status["900m"].tolist() == ["ok"]
    pixel = chips.recipe()["pixel_m"]
    assert pixel == pytest.approx(30, abs=4)
    for block in chips.blocks:
        east, north = batch.pixels[block][0, 0]
        side = len(east)
        assert side == round(float(block[:-1]) / pixel)
        # With an odd difference of sides the smaller window's middle is half a pixel off.
        offset = (np.arange(side) + 0.5 - side / 2) * pixel
        drift = 0.5 * pixel if (side - batch.pixels["900m"].shape[-1]) % 2 else 0.0
        np.testing.assert_allclose(east - 70.5 * 30, np.broadcast_to(offset + drift, east.shape), atol=0.5)
        np.testing.assert_allclose(
            (north + 100.25 * 30).T, np.broadcast_to(-offset - drift, east.shape), atol=0.5
        )


def test_two_zones_meet_in_one_chip(tmp_path):
    """Tiles on both sides of 36 E: the unit's own zone gives the grid, the other fills by interpolation."""
    import pyproj

    x, y = pyproj.Transformer.from_crs(4326, 32636, always_xy=True).transform(35.999, 2.0)
    home = Affine(10, 0, round(x, -1) - 600, 0, -10, round(y, -1) + 400)
    x, y = pyproj.Transformer.from_crs(4326, 32637, always_xy=True).transform(35.999, 2.0)
    away = Affine(10, 0, round(x, -1) - 100, 0, -10, round(y, -1) + 500)
    a = write_scene(tmp_path / "a.tif", easting_plane(home, (80, 70), "EPSG:32636"), transform=home)
    b = write_scene(
        tmp_path / "b.tif", easting_plane(away, (100, 100), "EPSG:32637"), transform=away, crs="EPSG:32637"
    )
    chips = ec.chips(units_lonlat([35.999], [2.0]), [a, b], size_m=500)
    batch = read_all(chips)
    assert repr(chips).endswith("2 rasters, native grid)")
    assert batch.status["500m"].tolist() == ["ok"]
    east, north = batch.pixels["500m"][0, 0]
    np.testing.assert_allclose(np.diff(east, axis=1), 10, atol=0.3)
    np.testing.assert_allclose(np.diff(north, axis=0), -10, atol=0.3)


@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_chips_cross_the_antimeridian(tmp_path, west):
    step = 0.05
    lon = (west + (np.arange(7200) + 0.5) * step + 180) % 360 - 180
    world = np.broadcast_to(np.abs(lon), (1, 100, 7200)).astype("float32")
    place = Affine(step, 0, west, 0, -step, 50 * step)
    file = write_scene(tmp_path / "world.tif", world, crs="EPSG:4326", transform=place)
    units = units_lonlat([179.95, -179.95, -60.0], [0.0, 0.0, 0.0])
    batch = read_all(ec.chips(units, file, size_m=450_000))
    assert batch.status["450000m"].tolist() == ["ok"] * 3
    # |longitude| rises to 180 and falls again; a hole, or a mean of -180 and 180, would show.
    assert batch.pixels["450000m"][:2].min() > 177.5
    np.testing.assert_allclose(batch.pixels["450000m"][2].mean(), 60.0, atol=0.01)
    counted = read_all(ec.chips(units, file, size_px=4))
    assert counted.status["4px"].tolist() == ["ok"] * 3
    np.testing.assert_allclose(
        counted.pixels["4px"][0, 0, 0, 0], [179.875, 179.925, 179.975, 179.975], atol=1e-4
    )


def test_interpolated_chips_tell_outside_from_nodata_for_each_size(tmp_path):
    place = Affine(0.0003, 0, 33.9, 0, -0.0003, 1.81)
    pixels = np.ones((1, 100, 100), dtype="uint8")
    pixels[:, 40:60, :20] = 0
    file = write_scene(tmp_path / "s.tif", pixels, crs="EPSG:4326", transform=place, nodata=0)
    # Four pixels west of the raster; in the hole; in the middle.
    units = units_lonlat([33.9 - 0.0012, 33.903, 33.915], [1.795, 1.795, 1.795])
    batch = read_all(ec.chips(units, file, size_m=[1000, 150]))
    assert batch.status["1000m"].tolist() == ["partial", "partial", "ok"]
    assert batch.status["150m"].tolist() == ["outside", "nodata", "ok"]
    assert set(np.unique(batch.pixels["1000m"][~np.isnan(batch.pixels["1000m"])])) == {1.0}


def test_thumbnails_share_one_stretch(tmp_path):
    pixels = np.zeros((3, 60, 80), dtype="float32")
    pixels[:, :, :40], pixels[:, :, 40:] = 10, 30
    pixels[:, :5] = np.nan
    file = write_scene(tmp_path / "s.tif", pixels, descriptions=("blue", "green", "red"))
    chips = ec.chips(units_on([(30, 20), (30, 60), (0.5, 20)]), file, size_px=5)
    pictures = chips.thumbnails(["u0", "u1", "u2"])
    assert pictures.shape == (3, 5, 5, 3)
    assert pictures.dtype == np.uint8
    assert (pictures[0] == 0).all()
    assert (pictures[1] == 255).all()
    # Rows -2 to 2 of u2 lie beyond the edge and in the NaN rows: light grey.
    assert (pictures[2] == 235).all()


def test_contact_sheet_names_each_chip(scene):
    mpl.use("Agg")
    chips = ec.chips(units_on([(30, 40), (10, 10), (20, 20)]), scene, size_px=5)
    figure = chips.plot(["u2", "u0"], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["u2", "u0"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), chips.thumbnails(["u2", "u0"])[0])


def test_recipe_is_complete_json_without_paths(scene, tmp_path):
    units = units_on([(30, 40), (10, 10)])

    def recipe(**options: object) -> str:
        chips = ec.chips(units, scene, **{"size_m": [300, 90], "date": "2007-06-30", **options})
        return json.dumps(chips.recipe(), sort_keys=True)

    base = recipe()
    assert base == recipe()
    assert str(tmp_path) not in base
    content = json.loads(base)
    assert content["rasters"][0]["name"] == "scene.tif"
    assert content["sides_px"] == {"300m": 10, "90m": 3}
    assert (content["grid"], content["pixel_m"], content["date"]) == ("native", 30.0, "2007-06-30")
    changed = [recipe(size_m=[300]), recipe(bands=[1]), recipe(date=None), recipe(pixel_unit="dn")]
    write_scene(scene, numbered() + 1)
    changed.append(recipe())
    assert all(a != b for a, b in itertools.combinations([base, *changed], 2))


def test_pixels_on_another_grid_are_not_used_when_pixels_are_counted(tmp_path, scene):
    half = write_scene(tmp_path / "half.tif", numbered() + 1, corner=(WEST + 15 + 40 * 30, NORTH))
    batch = read_all(ec.chips(units_on([(30, 81)]), [scene, half], size_px=4))
    # The unit lies in the second file only, at column 81 - 40.5, so the window starts at 40.5 - 2 + 0.5.
    start = 39
    np.testing.assert_array_equal(
        batch.pixels["4px"][0, 0], window(range(28, 32), range(start, start + 4)) + 1
    )
    # A window of the first file that reaches into the second is not filled from there.
    edge = read_all(ec.chips(units_on([(30, 79)]), [scene, half], size_px=4))
    np.testing.assert_array_equal(edge.pixels["4px"][0, 0], window(range(28, 32), range(77, 81)))
    assert edge.status["4px"].tolist() == ["partial"]
    filled = read_all(ec.chips(units_on([(30, 79)]), [scene, half], size_m=120))
    # In metres it is: column 80 of the first lies half way between columns 39 and 40 of the second.
    np.testing.assert_array_equal(
        filled.pixels["120m"][0, 0, 0, :, 3], 100 * np.arange(28, 32) + 10_001 + 39.5
    )


def test_thumbnails_of_a_sequence_show_the_last_frame_or_the_one_asked_for(tmp_path):
    for day, value in (("20050101", 10.0), ("20060101", 90.0)):
        pixels = np.full((1, 60, 80), value, dtype="float32")
        pixels[0, 30, 40] = 50.0
        write_scene(tmp_path / f"s_{day}.tif", pixels)
    scenes = ec.scenes(str(tmp_path / "s_*.tif"), pattern="s_{date:%Y%m%d}.tif")
    cut = ec.chips(units_on([(30.5, 40.5)]), scenes, size_px=3, frames=ec.Frames(["2005", "2006"]))
    first, last = (cut.thumbnails(["u0"], frame=frame)[0, :, :, 0] for frame in ("2005", None))
    # the pixel in the middle is brighter than its surroundings in the first frame, darker in the last
    assert first[1, 1] > first[0, 0]
    assert last[1, 1] < last[0, 0]
    with pytest.raises(ImageryError, match="frame='2007' is not known"):
        cut.thumbnails(["u0"], frame="2007")


def test_smaller_sizes_are_parts_of_the_largest_and_cannot_be_written_to(tmp_path):
    file = write_scene(tmp_path / "scene.tif", numbered())
    batch = read_all(ec.chips(units_on([(30, 40), (20, 30)]), file, size_px=[16, 4, 8]))
    assert np.shares_memory(batch.pixels["4px"], batch.pixels["16px"])
    np.testing.assert_array_equal(batch.pixels["4px"], batch.pixels["16px"][..., 6:10, 6:10])
    with pytest.raises(ValueError, match="read-only"):
        batch.pixels["4px"][:] = 0
    # an odd side in an even one begins elsewhere for each chip, and is a copy
    odd = read_all(ec.chips(units_on([(30.2, 40), (20, 30.9)]), file, size_px=[16, 5]))
    assert not np.shares_memory(odd.pixels["5px"], odd.pixels["16px"])


def test_batches_grow_to_what_memory_should_hold(tmp_path):
    file = write_scene(tmp_path / "scene.tif", numbered())
    spots = [(30 + number % 7, 40 + number % 11) for number in range(900)]
    small = ec.chips(units_on(spots), file, size_px=4)
    assert [len(batch) for batch in small.batches()] == [64, 512, 324]
    assert [len(batch) for batch in small.batches(size=400)] == [400, 400, 100]
    large = ec.chips(units_on(spots[:200]), file, size_px=600)
    # 2.88 MB each: five fit into 16 MiB
    assert [len(batch) for batch in large.batches()][:3] == [64, 5, 5]
