"""Sequences from real files: pixels say when and where they were taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import cells, sequence
from tests.scenes import NORTH, WEST, numbered, read_all, units_lonlat, units_on, write_scene

PATTERN = "{sensor}_{date:%Y%m%d}*.tif"
# clear land, and cloud, in Landsat's quality band
CLEAR, CLOUD = 21_824, 22_280


def ground(height: int = 60, width: int = 80, top: int = 0, left: int = 0) -> np.ndarray:
    """Return what tells a place: 100 row + column, from some corner."""
    row, column = np.mgrid[top : top + height, left : left + width]
    return 100.0 * row + column


def taken(folder: Path, code: float, day: str, *, sensor: str = "s", name: str = "", **how: object) -> Path:
    """Write a scene of 10000 code + 100 row + column, wherever its corner is; ``holes`` are NaN."""
    top, left = how.pop("at", (0, 0))
    height, width = how.pop("shape", (60, 80))
    pixels = 10_000.0 * code + ground(height, width, top, left)[None]
    for rows, columns in how.pop("holes", ()):
        pixels[:, slice(*rows), slice(*columns)] = np.nan
    corner = (WEST + 30 * left, NORTH - 30 * top)
    file = folder / f"{sensor}_{day.replace('-', '')}{name}.tif"
    return write_scene(file, pixels.astype("float32"), corner=corner, **how)


def sequence_of(folder: Path, units: ec.Units, frames: ec.Frames, **options: object) -> ec.Chips:
    scenes = ec.scenes(str(folder / "*.tif"), pattern=PATTERN)
    return ec.chips(units, scenes, frames=frames, **{"size_m": 300, **options})


def code(pixels: np.ndarray, row: int, column: int, side: int = 10) -> np.ndarray:
    """Return pixels less their place, in units of a scene's code."""
    return (pixels - ground(side, side, row, column)) / 10_000


DAYS = ("2004-12-31", "2005-01-01", "2005-06-01", "2005-12-31", "2006-01-01", "2006-12-31", "2007-01-01")


@pytest.mark.parametrize(
    ("composite", "expected"),
    [("earliest", [1, 4]), ("latest", [3, 5]), ("median", [2, 4.5])],
)
def test_scenes_stand_in_the_frames_of_their_days(tmp_path, composite, expected):
    # written out of order, as files of a folder are
    for number in (3, 0, 6, 1, 5, 2, 4):
        taken(tmp_path, number, DAYS[number])
    cut = sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005", "2006"], composite=composite))
    assert (cut.frames, cut.date) == (("2005", "2006"), "2006-12-31")
    batch = read_all(cut)
    assert batch.pixels["300m"].shape == (1, 2, 1, 10, 10)
    for frame, one in enumerate(expected):
        np.testing.assert_array_equal(code(batch.pixels["300m"][0, frame, 0], 25, 35), one)
    assert batch.observations["300m"].tolist() == [[3, 2]]
    assert batch.status["300m"].tolist() == ["ok"]
    table = cut.table()
    assert table.loc[0, ["first_date", "last_date"]].tolist() == ["2005-01-01", "2006-12-31"]


def test_each_day_is_a_frame_in_order_of_time_whatever_the_order_of_files(tmp_path):
    files = [taken(tmp_path, number, DAYS[number]) for number in (2, 0, 1)]
    for given in (files, files[::-1]):
        scenes = ec.scenes(given, pattern=PATTERN)
        cut = ec.chips(units_on([(30, 40)]), scenes, size_px=4, frames=ec.Frames("each"))
        assert cut.frames == DAYS[:3]
        assert code(read_all(cut).pixels["4px"][0, :, 0], 28, 38, 4)[:, 0, 0].tolist() == [0, 1, 2]


def test_frames_without_a_scene_or_a_clear_pixel_are_never_filled(tmp_path):
    taken(tmp_path, 1, "2005-06-01")
    taken(tmp_path, 2, "2007-06-01", holes=[((0, 60), (0, 80))])
    taken(tmp_path, 3, "2008-06-01", holes=[((25, 35), (35, 38))])
    frames = ec.Frames(["2004", "2005", "2006", "2007", "2008", "2009"])
    batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), frames))
    pixels, mask = batch.pixels["300m"][0, :, 0], batch.mask["300m"][0]
    for frame in (0, 2, 3, 5):
        assert np.isnan(pixels[frame]).all()
        assert not mask[frame].any()
    assert (code(pixels[1], 25, 35) == 1).all()
    assert np.isnan(pixels[4, :, :3]).all()
    assert (code(pixels[4], 25, 35)[:, 3:] == 3).all()
    np.testing.assert_array_equal(mask, ~np.isnan(pixels))
    np.testing.assert_allclose(batch.observations["300m"], [[0, 1, 0, 0, 0.7, 0]])
    np.testing.assert_allclose(batch.valid_fraction["300m"], [1.7 / 6])
    assert batch.status["300m"].tolist() == ["partial"]


def test_observations_count_clear_days_and_least_asks_for_so_many(tmp_path):
    # columns 35 and 36 are clear on one day, 37 to 39 on two, 40 to 44 on three
    taken(tmp_path, 1, "2005-03-01", holes=[((0, 60), (0, 40))])
    taken(tmp_path, 2, "2005-06-01", holes=[((0, 60), (0, 37))])
    taken(tmp_path, 6, "2005-09-01")
    for least in (1, 2, 3, 4):
        frames = ec.Frames(["2005"], least=least)
        batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), frames))
        found = code(batch.pixels["300m"][0, 0, 0], 25, 35)
        expected = np.where(
            np.array([1, 1, 2, 2, 2, 3, 3, 3, 3, 3]) >= least, [6] * 2 + [4] * 3 + [2] * 5, np.nan
        )
        np.testing.assert_array_equal(found, np.tile(expected, (10, 1)))
        np.testing.assert_allclose(batch.observations["300m"], [[2.3]])
        assert batch.status["300m"].tolist() == ["ok" if least == 1 else "partial" if least < 4 else "nodata"]


def flagged(folder: Path, code: int, day: str, clouds: list[tuple[tuple[int, int], tuple[int, int]]]) -> Path:
    """Write a scene with a quality band; clouds are bright."""
    red, flags = 10_000.0 * code + ground(), np.full((60, 80), float(CLEAR))
    for rows, columns in clouds:
        red[slice(*rows), slice(*columns)] = 900_000
        flags[slice(*rows), slice(*columns)] = CLOUD
    pixels = np.stack([red, flags]).astype("float32")
    return write_scene(folder / f"s_{day}.tif", pixels, descriptions=("red", "qa"))


def test_clouds_are_dropped_before_days_are_put_together(tmp_path):
    flagged(tmp_path, 1, "20050301", [((0, 60), (0, 40))])
    flagged(tmp_path, 2, "20050601", [((0, 30), (0, 80))])
    flagged(tmp_path, 5, "20050901", [])
    flagged(tmp_path, 7, "20060301", [((0, 60), (0, 80))])
    quality = ec.Quality("qa", scheme="landsat_qa_pixel")
    units = units_on([(30, 40), (10, 10)])
    cut = sequence_of(tmp_path, units, ec.Frames(["2005", "2006"]), quality=quality)
    assert cut.bands == ("red",)
    batch = read_all(cut)
    found = code(batch.pixels["300m"][0, 0, 0], 25, 35)
    assert (found[:5, :5] == 5).all()  # only the last day is clear
    assert (found[:5, 5:] == 3).all()  # the first and the last
    assert (found[5:, :5] == 3.5).all()  # the second and the last
    assert (found[5:, 5:] == 2).all()  # all three
    np.testing.assert_allclose(batch.observations["300m"], [[2, 0], [1, 0]])
    assert np.isnan(batch.pixels["300m"][:, 1]).all()
    assert batch.status["300m"].tolist() == ["partial", "partial"]


def test_units_under_clouds_on_every_day_are_told_from_those_without_data(tmp_path):
    flagged(tmp_path, 1, "20050301", [((0, 60), (0, 40))])
    flagged(tmp_path, 2, "20050601", [((0, 60), (0, 40))])
    # a third scene beyond the others is empty: no data, no cloud
    nothing = np.full((2, 60, 40), np.nan, dtype="float32")
    write_scene(tmp_path / "s_20050702.tif", nothing, corner=(WEST + 2400, NORTH), descriptions=("red", "qa"))
    units = units_on([(30, 20), (30, 60), (30, 100), (30, 400)])
    quality = ec.Quality("qa", scheme="landsat_qa_pixel")
    batch = read_all(sequence_of(tmp_path, units, ec.Frames(["2005"]), quality=quality))
    assert batch.status["300m"].tolist() == ["cloudy", "ok", "nodata", "outside"]


def test_tiles_of_one_day_make_one_observation(tmp_path):
    # two adjacent tiles meet at column 40, and a later day covers both
    taken(tmp_path, 1, "2005-06-01", name="_west", shape=(60, 40))
    taken(tmp_path, 1, "2005-06-01", name="_east", shape=(60, 40), at=(0, 40))
    taken(tmp_path, 5, "2005-07-01")
    units = units_on([(30, 40), (30, 10), (30, 70)])
    batch = read_all(sequence_of(tmp_path, units, ec.Frames(["2005"])))
    for unit, column in enumerate((35, 5, 65)):
        np.testing.assert_array_equal(code(batch.pixels["300m"][unit, 0, 0], 25, column), 3)
    assert batch.observations["300m"].tolist() == [[2], [2], [2]]


def test_overlapping_tiles_of_one_day_do_not_count_twice(tmp_path):
    # within a day the first file wins, and a hole in it is filled from the other
    taken(tmp_path, 1, "2005-06-01", name="_a", holes=[((0, 60), (0, 37))])
    taken(tmp_path, 3, "2005-06-01", name="_b")
    batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005"])))
    found = code(batch.pixels["300m"][0, 0, 0], 25, 35)
    assert (found[:, :2] == 3).all()
    assert (found[:, 2:] == 1).all()
    assert batch.observations["300m"].tolist() == [[1]]


def test_tiles_taken_minutes_apart_are_of_one_day(tmp_path):
    tiles = []
    for name, minute, at in (("_west", "10:05", (0, 0)), ("_east", "10:09", (0, 40))):
        file = taken(tmp_path, 1, "2005-06-01", name=name, shape=(60, 40), at=at)
        when = np.datetime64(f"2005-06-01T{minute}")
        tiles.append(replace(ec.scenes(file, sensor="s").tiles[0], date=when))
    cut = ec.chips(units_on([(30, 40)]), ec.Scenes(tuple(tiles)), size_m=300, frames=ec.Frames("each"))
    assert cut.frames == ("2005-06-01",)
    batch = read_all(cut)
    np.testing.assert_array_equal(code(batch.pixels["300m"][0, 0, 0], 25, 35), 1)
    assert batch.observations["300m"].tolist() == [[1]]


def test_two_sensors_of_one_day_are_two_observations(tmp_path):
    taken(tmp_path, 1, "2005-06-01", sensor="a")
    taken(tmp_path, 3, "2005-06-01", sensor="b")
    batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005"])))
    np.testing.assert_array_equal(code(batch.pixels["300m"][0, 0, 0], 25, 35), 2)
    assert batch.observations["300m"].tolist() == [[2]]


def test_scenes_on_another_grid_are_interpolated_at_their_places(tmp_path):
    # The second scene's pixels lie half a pixel south and east. A plane is interpolated exactly.
    taken(tmp_path, 1, "2005-06-01")
    row, column = np.mgrid[0:60, 0:80]
    shifted = 20_000 + 100.0 * (row + 0.5) + column + 0.5
    corner = (WEST + 15, NORTH - 15)
    write_scene(tmp_path / "s_20060601.tif", shifted[None].astype("float32"), corner=corner)
    batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005", "2006"])))
    pixels = batch.pixels["300m"][0, :, 0]
    np.testing.assert_array_equal(code(pixels[0], 25, 35), 1)
    np.testing.assert_allclose(pixels[1], 20_000 + ground(10, 10, 25, 35), rtol=1e-6)
    assert batch.observations["300m"].tolist() == [[1, 1]]


def test_smaller_sizes_are_the_middle_of_larger_ones(tmp_path):
    for number in (1, 2, 3):
        taken(tmp_path, number, DAYS[number], holes=[((20, 30 + number), (30, 41))])
    cut = sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005", "2006"]), size_m=[300, 120, 60])
    batch = read_all(cut)
    large = batch.pixels["300m"]
    for block, start, side in (("120m", 3, 4), ("60m", 4, 2)):
        window = slice(start, start + side)
        np.testing.assert_array_equal(batch.pixels[block], large[..., window, window])
    # rows 29 and 30 and columns 39 and 40 are among the holes of every day
    assert batch.observations["60m"].tolist() == [[0, 0]]
    assert batch.status["60m"].tolist() == ["nodata"]
    assert batch.status["300m"].tolist() == ["partial"]


def test_units_off_all_scenes_are_told_from_those_without_one_in_the_frames(tmp_path):
    taken(tmp_path, 1, "2005-06-01", shape=(60, 40))
    taken(tmp_path, 2, "2009-06-01", shape=(60, 40), at=(0, 40), name="_east")
    units = units_on([(30, 20), (30, 60), (30, 40), (30, 200)])
    cut = sequence_of(tmp_path, units, ec.Frames(["2005", "2006"]))
    batch = read_all(cut)
    assert batch.status["300m"].tolist() == ["partial", "missing", "partial", "outside"]
    assert np.isnan(batch.pixels["300m"][[1, 3]]).all()
    # of the unit on the seam the west half, in the first of two frames
    np.testing.assert_allclose(batch.valid_fraction["300m"], [0.5, 0, 0.25, 0])
    assert cut.date == "2005-06-01"
    assert cut.table()["last_date"].tolist()[::2] == ["2005-06-01"] * 2
    assert cut.table()["last_date"].isna().tolist() == [False, True, False, True]


@pytest.fixture
def cloudy_years(tmp_path):
    """Return a folder with twelve scenes of three years with holes, in two tiles and two sensors."""
    rng = np.random.default_rng(5)
    for number in range(12):
        day = f"{2005 + number // 4}-{1 + 3 * (number % 4):02d}-15"
        for name, left in (("_a", 0), ("_b", 40)):
            corners = rng.integers(0, 40, (6, 2))
            holes = [((r, r + 12), (c, c + 9)) for r, c in corners.tolist()]
            taken(tmp_path, number, day, sensor="uv"[number % 2], name=name, at=(0, left), shape=(60, 45),
                  holes=holes, tiled=True, blockxsize=16, blockysize=16)  # fmt: skip
    return tmp_path


def by_hand(folder: Path, row: int, column: int, years: list[int], side: int = 10) -> np.ndarray:
    """Return the yearly medians of a window from whole scenes, put together with NumPy."""
    import rasterio

    layers: dict[tuple[int, str], np.ndarray] = {}
    for file in sorted(folder.glob("*.tif")):
        sensor, day = file.stem.split("_")[:2]
        whole = layers.setdefault((int(day[:4]), day + sensor), np.full((60, 85), np.nan, "float32"))
        with rasterio.open(file) as scene:
            left = round((scene.transform.c - WEST) / 30)
            part = whole[:, left : left + 45]
            np.copyto(part, scene.read(1), where=np.isnan(part))
    window = slice(row, row + side), slice(column, column + side)
    with np.errstate(all="ignore"):
        return np.stack(
            [
                np.nanmedian([whole[window] for (y, _), whole in layers.items() if y == year], axis=0)
                for year in years
            ]
        )


PLACES = [(30, 40), (12.4, 20.6), (45, 60), (20, 41), (31, 44), (8, 9)]


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
def test_frames_of_many_tiles_and_days_are_those_of_numpy(cloudy_years):
    cut = sequence_of(cloudy_years, units_on(PLACES), ec.Frames(["2005", "2007"]))
    batch = read_all(cut)
    for unit, (row, column) in enumerate(PLACES):
        top, left = (int(np.floor(centre - 4.5)) for centre in (row, column))
        expected = by_hand(cloudy_years, top, left, [2005, 2007])
        np.testing.assert_array_equal(batch.pixels["300m"][unit, :, 0], expected)
    assert np.isnan(batch.pixels["300m"]).any() or (batch.observations["300m"] < 4).any()


@pytest.mark.parametrize("composite", ["median", "latest", "earliest"])
def test_pixels_do_not_depend_on_how_much_is_held_nor_on_batches(cloudy_years, monkeypatch, composite):
    cut = sequence_of(
        cloudy_years, units_on(PLACES), ec.Frames(["2005", "2006", "2007"], composite=composite)
    )
    whole = read_all(cut)

    def same(keys: np.ndarray | None, size: int, **options: object) -> None:
        rows = np.arange(len(cut)) if keys is None else pd.Index(cut.keys).get_indexer(keys)
        read = list(cut.batches(size=size, keys=keys, **options))
        assert np.concatenate([batch.keys for batch in read]).tolist() == cut.keys[rows].tolist()
        for name in ("pixels", "mask", "observations", "status", "valid_fraction"):
            found = np.concatenate([getattr(batch, name)["300m"] for batch in read])
            np.testing.assert_array_equal(found, getattr(whole, name)["300m"][rows])

    for held, kept in ((None, None), (1, None), (None, 1), (3000, 2000)):
        if held is not None:
            monkeypatch.setattr(sequence, "_HELD_BYTES", held)
        if kept is not None:
            monkeypatch.setattr(cells, "KEPT_BYTES", kept)
        same(None, 1)
        same(None, 4)
        same(cut.keys[::-1], 6)
        same(np.array(["u3", "u0", "u5"]), 2)
    reading = [batch.keys for batch in cut.batches(order="reading", size=4)]
    assert np.concatenate(reading).tolist() == cut.reading_order().tolist()


def treated_units(
    places: list[tuple[float, float]], treated: list[str | None], **columns: object
) -> ec.Units:
    plain = units_on(places)
    table = plain.frame.assign(treated_on=treated, **columns)
    key = {"image_key": "key"} if "key" in columns else {}
    return ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636", date="treated_on", **key)


def test_units_see_what_came_before_their_own_treatment(tmp_path):
    for number in range(8):
        taken(tmp_path, number, f"200{number}-06-01")
    treated = ["2005-06-01", "2005-06-02", "2003-06-01", None]
    units = treated_units([(30, 40)] * 4, treated)
    frames = ec.Frames(before="3Y", every="1Y", otherwise="2008-01-01")
    cut = sequence_of(tmp_path, units, frames)
    assert cut.frames == ("-3Y", "-2Y", "-1Y")
    batch = read_all(cut)
    codes = code(batch.pixels["300m"][:, :, 0], 25, 35)
    assert (codes == codes[..., :1, :1]).all()
    # A scene of the day of treatment is not seen, one of the first day of the frames is.
    assert codes[..., 0, 0].tolist() == [[2, 3, 4], [3, 4, 5], [0, 1, 2], [5, 6, 7]]
    table = cut.table()
    assert table["first_date"].tolist() == ["2002-06-01", "2003-06-01", "2000-06-01", "2005-06-01"]
    assert table["last_date"].tolist() == ["2004-06-01", "2005-06-01", "2002-06-01", "2007-06-01"]
    assert table["frames_until"].tolist() == [*treated[:3], "2008-01-01"]
    assert cut.date == "2007-06-01"
    for keys in (["u2", "u0"], ["u3"]):
        (some,) = cut.batches(keys=keys)
        rows = [int(key[1]) for key in keys]
        np.testing.assert_array_equal(some.pixels["300m"], batch.pixels["300m"][rows])


def test_units_treated_on_one_day_each_have_their_row(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    units = treated_units([(30, 40), (20, 20), (10, 60)], ["2005-06-01"] * 3)
    cut = sequence_of(tmp_path, units, ec.Frames(before="2Y", every="1Y"))
    assert cut.table()["frames_until"].tolist() == ["2005-06-01"] * 3
    pixels = read_all(cut).pixels["300m"][:, :, 0]
    assert (pixels // 10_000)[..., 0, 0].tolist() == [[3, 4]] * 3
    (some,) = cut.batches(keys=["u2", "u0"])
    np.testing.assert_array_equal(some.pixels["300m"][:, :, 0], pixels[[2, 0]])


def test_units_treated_before_all_scenes_are_missing_and_not_shown_later_ones(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    units = treated_units([(30, 40)] * 3, ["2003-06-01", "2006-01-01", "2010-01-01"])
    batch = read_all(sequence_of(tmp_path, units, ec.Frames(before="2Y")))
    assert batch.status["300m"].tolist() == ["missing", "ok", "missing"]
    assert np.isnan(batch.pixels["300m"][[0, 2]]).all()
    assert batch.observations["300m"].tolist() == [[0], [2], [0]]
    np.testing.assert_array_equal(code(batch.pixels["300m"][1, 0, 0], 25, 35), 4.5)


def test_units_of_one_image_see_what_came_before_the_first_treatment(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    units = treated_units([(30, 40)] * 3, ["2006-01-01", "2005-06-01", "2005-06-02"], key=["a", "a", "b"])
    cut = sequence_of(tmp_path, units, ec.Frames(before="9Y", composite="latest"))
    assert cut.keys.tolist() == ["a", "b"]
    assert code(read_all(cut).pixels["300m"][:, 0, 0], 25, 35)[:, 0, 0].tolist() == [4, 5]


def test_other_days_of_treatment_make_another_recipe(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")

    def cut(treated: list[str], frames: ec.Frames) -> ec.Chips:
        return sequence_of(tmp_path, treated_units([(30, 40)] * 2, treated), frames)

    yearly = ec.Frames(before="2Y", every="1Y")
    one = cut(["2005-01-01", "2005-12-31"], yearly)
    # the same scenes, but the one of 2004-06-01 in another frame of the second unit
    other = cut(["2005-01-01", "2005-05-31"], yearly)
    assert one.recipe() != other.recipe()
    assert one.recipe() == cut(["2005-01-01", "2005-12-31"], yearly).recipe()
    # exchanged days are not the same either
    assert one.recipe() != cut(["2005-12-31", "2005-01-01"], yearly).recipe()
    # the same first and last scene for every unit, in one frame each
    late, later = (cut([day, day], ec.Frames(before="9Y")) for day in ("2005-07-01", "2005-08-01"))
    assert late.table()["last_date"].equals(later.table()["last_date"])
    assert late.recipe()["places"] != later.recipe()["places"]
    # calendar frames are the same for all, whenever they are treated
    calendar = ec.Frames(["2004", "2005"])
    assert cut(["2005-01-01"] * 2, calendar).recipe() == cut(["2006-01-01"] * 2, calendar).recipe()
    assert "frames_until" not in cut(["2005-01-01"] * 2, calendar).table()


def test_a_store_begun_with_other_days_of_treatment_is_not_gone_on_with(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    frames = ec.Frames(before="2Y", every="1Y")
    places = [(30, 40), (20, 20)]
    one = sequence_of(tmp_path, treated_units(places, ["2005-01-01", "2005-12-31"]), frames)
    other = sequence_of(tmp_path, treated_units(places, ["2005-01-01", "2005-05-31"]), frames)
    store = one.write(tmp_path / "store", progress=False)
    with pytest.raises(ImageryError, match="places"):
        other.write(store, progress=False)


def test_scenes_of_both_processing_baselines_make_one_reflectance(tmp_path):
    for name, stored in (("s_20210601.tif", 3000), ("s_20220601.tif", 4000)):
        write_scene(tmp_path / name, np.full((1, 60, 80), stored, dtype="uint16"))
    unit = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied="scene")
    plain = ec.scenes(str(tmp_path / "*.tif"), pattern=PATTERN)
    tiles = tuple(replace(t, offset_applied=told) for t, told in zip(plain.tiles, (True, False)))
    scenes = ec.Scenes(tiles, unit)
    for frames, count in ((ec.Frames("each"), 2), (ec.Frames(["2021/2022"]), 1)):
        batch = read_all(ec.chips(units_on([(30, 40)]), scenes, size_m=300, frames=frames))
        assert batch.pixels["300m"].shape[1] == count
        np.testing.assert_allclose(batch.pixels["300m"], 0.3, rtol=1e-6)


def test_sequences_come_back_from_a_store(cloudy_years):
    units = units_on([*PLACES, (30, 200)])
    cut = sequence_of(cloudy_years, units, ec.Frames(["2004", "2005", "2007"], least=2), size_m=[300, 120])
    opened = ec.open_chips(cut.write(cloudy_years / "store", progress=False), units)
    assert (opened.frames, opened.date, opened.blocks) == (cut.frames, cut.date, cut.blocks)
    assert opened.recipe() == cut.recipe()
    one, two = read_all(cut), read_all(opened)
    for name in ("pixels", "mask", "status", "valid_fraction", "observations"):
        for block in cut.blocks:
            np.testing.assert_array_equal(getattr(two, name)[block], getattr(one, name)[block])
    assert set(one.status["300m"]) > {"outside"}
    pd.testing.assert_frame_equal(opened.table(), cut.table())


def test_features_of_sequences_leave_missing_frames_out(tmp_path):
    taken(tmp_path, 1, "2005-06-01")
    taken(tmp_path, 3, "2007-06-01", shape=(60, 40))
    units = units_on([(30, 20), (30, 60)])
    gaps = sequence_of(tmp_path, units, ec.Frames(["2005", "2006", "2007"]))
    found = ec.embed(gaps, encoder="image_stats")
    means = found.to_frame().filter(like="_mean").to_numpy()
    place = [ground(10, 10, 25, left).mean() for left in (15, 55)]
    # of the first unit the mean of two years, of the second of one; 2006 is of neither
    np.testing.assert_allclose(means[:, 0], [20_000 + place[0], 10_000 + place[1]], rtol=1e-6)
    alone = sequence_of(tmp_path, units, ec.Frames(["2005", "2007"]))
    np.testing.assert_array_equal(found.values, ec.embed(alone, encoder="image_stats").values)


def test_a_sequence_of_one_unit_before_its_treatment_comes_back_from_a_store(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    units = treated_units([(30, 40)], ["2005-06-01"])
    cut = sequence_of(tmp_path, units, ec.Frames(before="2Y", every="1Y"))
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), units)
    assert opened.recipe() == cut.recipe()
    for chips in (cut, opened):
        assert code(read_all(chips).pixels["300m"][0, :, 0], 25, 35)[:, 0, 0].tolist() == [3, 4]
        assert chips.table().loc[0, ["last_date", "frames_until"]].tolist() == ["2004-06-01", "2005-06-01"]


def test_chips_of_units_whose_treatment_moved_are_not_appended(tmp_path):
    for number in (3, 4, 5):
        taken(tmp_path, number, f"200{number}-06-01")
    places, frames = [(30, 40), (20, 20)], ec.Frames(before="2Y", every="1Y")
    store = sequence_of(tmp_path, treated_units(places[:1], ["2005-01-01"]), frames).write(
        tmp_path / "store", progress=False
    )
    # the same scene for the first unit, but in the other frame
    moved = sequence_of(tmp_path, treated_units(places, ["2005-05-01", "2006-01-01"]), frames)
    with pytest.raises(ImageryError, match=r"had another frames_until: 2005-01-01, now 2005-05-01[\s\S]*u0"):
        moved.write(store, append=True, progress=False)
    both = sequence_of(tmp_path, treated_units(places, ["2005-01-01", "2006-01-01"]), frames)
    opened = ec.open_chips(both.write(store, append=True, progress=False), both.units)
    np.testing.assert_array_equal(read_all(opened).pixels["300m"], read_all(both).pixels["300m"])


def test_tiles_of_one_day_on_two_grids_make_one_observation(tmp_path):
    # the east tile's pixels lie half a pixel south and east of the west tile's, from column 40.5 on
    taken(tmp_path, 1, "2005-06-01", name="_west", shape=(60, 40))
    row, column = np.mgrid[0:60, 40:80]
    shifted = (10_000 + 100.0 * (row + 0.5) + column + 0.5)[None].astype("float32")
    write_scene(tmp_path / "s_20050601_east.tif", shifted, corner=(WEST + 40.5 * 30, NORTH - 15))
    taken(tmp_path, 3, "2005-07-01")
    batch = read_all(sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames(["2005"])))
    found = code(batch.pixels["300m"][0, 0, 0], 25, 35)
    np.testing.assert_allclose(found[:, :5], 2, rtol=1e-6)
    # column 40's centre is on the edge of the east tile, whose own first centre lies beyond it
    np.testing.assert_allclose(found[:, 6:], 2, rtol=1e-4)
    np.testing.assert_allclose(batch.observations["300m"], [[2]])


def test_a_cloud_in_one_tile_of_a_day_is_filled_from_another_of_that_day_only(tmp_path):
    clouds = [((0, 60), (0, 40))]
    for name, number, cloud in (("20050601_a", 1, clouds), ("20050601_b", 2, []), ("20060601", 7, clouds)):
        flagged(tmp_path, number, name, cloud)
    quality = ec.Quality("qa", scheme="landsat_qa_pixel")
    cut = sequence_of(tmp_path, units_on([(30, 40)]), ec.Frames("each"), quality=quality)
    batch = read_all(cut)
    found = code(batch.pixels["300m"][0, :, 0], 25, 35)
    assert (found[0, :, :5] == 2).all()
    assert (found[0, :, 5:] == 1).all()
    assert np.isnan(found[1, :, :5]).all()
    assert (found[1, :, 5:] == 7).all()
    np.testing.assert_allclose(batch.observations["300m"], [[1, 0.5]])


def test_sequences_cross_the_antimeridian(tmp_path):
    # 40 columns of 0.003 degrees on either side of 180 degrees, on two days, read as one lattice
    _, column = np.mgrid[0:40, 0:40]
    for number, day in ((1, "20050601"), (2, "20060601")):
        for name, left, west in (("_west", 0, 180 - 0.12), ("_east", 40, -180.0)):
            pixels = (10_000 * number + column + left)[None].astype("float32")
            place = Affine(0.003, 0, west, 0, -0.003, 0.06)
            write_scene(tmp_path / f"s_{day}{name}.tif", pixels, crs="EPSG:4326", transform=place)
    units = units_lonlat([180.0, -179.99], [0.0, 0.0])
    cut = sequence_of(tmp_path, units, ec.Frames(["2005", "2006"]), size_m=3340)
    batch = read_all(cut)
    (block,) = cut.blocks
    assert batch.status[block].tolist() == ["ok", "ok"]
    assert batch.observations[block].tolist() == [[1, 1], [1, 1]]
    for unit, centre in enumerate((40, 40 + 0.01 / 0.003)):
        for frame, number in enumerate((1, 2)):
            pixels = batch.pixels[block][unit, frame, 0] - 10_000 * number
            assert pixels.mean() == pytest.approx(centre - 0.5, abs=0.15)
            # from west to east, without a seam where the day line is
            assert (np.diff(pixels, axis=1) >= 0).all()
            assert np.diff(pixels, axis=1).max() < 2


def test_days_on_another_grid_are_refused_where_pixels_are_never_interpolated(tmp_path):
    write_scene(tmp_path / "s_20050101.tif", numbered())
    # half a pixel to the east
    write_scene(tmp_path / "s_20050201.tif", numbered(), corner=(600_015.0, 200_000.0))
    scenes = ec.scenes(str(tmp_path / "s_*.tif"), pattern="s_{date:%Y%m%d}.tif")
    units, frames = units_on([(30.5, 40.5)]), ec.Frames(["2005"])
    with pytest.raises(ImageryError, match=r"another grid[\s\S]*s_20050201\.tif[\s\S]*size_m="):
        ec.chips(units, scenes, size_px=4, frames=frames)
    assert read_all(ec.chips(units, scenes, size_m=120, frames=frames)).observations["120m"].tolist() == [
        [2.0]
    ]


def test_too_few_clear_days_are_not_called_clouds(tmp_path):
    for day in ("20050101", "20050201"):
        pixels = numbered(2)
        pixels[1] = 4 if day == "20050101" else 9
        write_scene(tmp_path / f"s_{day}.tif", pixels)
    quality = ec.Quality(2, scheme="sentinel2_scl")
    scenes = ec.scenes(str(tmp_path / "s_*.tif"), pattern="s_{date:%Y%m%d}.tif", quality=quality)
    cut = ec.chips(units_on([(30.5, 40.5)]), scenes, size_px=4, frames=ec.Frames(["2005"], least=2))
    batch = read_all(cut)
    assert batch.status["4px"].tolist() == ["nodata"]
    assert batch.observations["4px"].tolist() == [[1.0]]
