"""The account of sequences: which scenes made which picture, and whether days and sensors differ by arm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.account import COLUMNS
from eocausal.imagery.account_report import difference
from eocausal.imagery.origins import Origins, Scene, joined, origins_of
from tests.scenes import NORTH, WEST, numbered, units_on, write_scene

CLEAR, CLOUD = 21824, 22280  # QA_PIXEL: clear land; cloud with high confidence
NODATA = 0
# Files by sensor and day: the columns that are cloudy, those without data, and how far east the scene begins.
SCENES = {
    "LE07_20050110": ((0, 40), (0, 0), 0),
    "LT05_20050620": ((0, 20), (0, 0), 0),
    "LT05_20060301": ((0, 0), (60, 80), 0),
    "LE07_20061115": ((0, 0), (0, 0), 100),
}
# In the first two scenes: under cloud in both, in one, clear in both; no data in 2006; on the eastern scene alone;
# off all rasters.
PLACES = {
    "both": (30, 10),
    "one": (30, 30),
    "none": (30, 50),
    "gap": (30, 70),
    "east": (30, 150),
    "off": (30, 900),
}


@pytest.fixture
def scenes(tmp_path: Path) -> ec.Scenes:
    for name, (cloud, gap, east) in SCENES.items():
        pixels = np.concatenate([numbered(1).astype("uint16"), np.full((1, 60, 80), CLEAR, dtype="uint16")])
        pixels[1, :, slice(*cloud)] = CLOUD
        pixels[:, :, slice(*gap)] = NODATA
        corner = (WEST + 30 * east, NORTH)
        write_scene(
            tmp_path / f"{name}.tif", pixels, corner=corner, descriptions=("red", "qa"), nodata=NODATA
        )
    quality = ec.Quality("qa", scheme="landsat_qa_pixel")
    return ec.scenes(str(tmp_path / "L*.tif"), pattern="{sensor}_{date:%Y%m%d}.tif", quality=quality)


@pytest.fixture
def chips(scenes: ec.Scenes) -> ec.Chips:
    units = units_on(list(PLACES.values()), name=list(PLACES))
    return ec.chips(units, scenes, size_px=[4, 2], frames=ec.Frames(["2005", "2006", "2007"]))


def by_place(table: pd.DataFrame, column: str) -> dict[str, list[object]]:
    """Return a column of the first block, frame by frame, by the name of the place."""
    some = table[table["block"] == "4px"]
    values = some[column].astype(object).where(some[column].notna(), None)
    return {name: values[some["id"] == f"u{i}"].tolist() for i, name in enumerate(PLACES)}


def test_each_frame_has_a_row_with_its_scenes(chips: ec.Chips) -> None:
    table = chips.account(by="frame")
    assert len(table) == 2 * 6 * 3
    assert table["frame"].tolist() == ["2005", "2006", "2007"] * 12
    assert by_place(table, "status") == {
        "both": ["cloudy", "ok", "missing"],
        "one": ["ok", "ok", "missing"],
        "none": ["ok", "ok", "missing"],
        "gap": ["ok", "nodata", "missing"],
        "east": ["missing", "ok", "missing"],
        "off": ["outside", "outside", "outside"],
    }
    assert by_place(table, "observations") == {
        "both": [0, 1, 0], "one": [1, 1, 0], "none": [2, 1, 0], "gap": [2, 0, 0], "east": [0, 1, 0],
        "off": [0, 0, 0],
    }  # fmt: skip
    assert by_place(table, "valid_fraction")["gap"] == [1.0, 0.0, 0.0]
    two = "LE07_20050110.tif; LT05_20050620.tif"
    assert by_place(table, "scenes")["both"] == [two, "LT05_20060301.tif", ""]
    assert by_place(table, "scenes")["east"] == ["", "LE07_20061115.tif", ""]
    assert by_place(table, "n_scenes")["one"] == [2, 1, 0]
    assert by_place(table, "sensors")["one"] == ["LE07; LT05", "LT05", None]
    assert by_place(table, "first_date")["one"] == ["2005-01-10", "2006-03-01", None]
    assert by_place(table, "last_date")["one"] == ["2005-06-20", "2006-03-01", None]


def test_each_chip_has_a_row_with_those_of_all_its_frames(chips: ec.Chips) -> None:
    table = chips.account()
    assert by_place(table, "frames") == {
        "both": [1], "one": [2], "none": [2], "gap": [1], "east": [1], "off": [0],
    }  # fmt: skip
    assert by_place(table, "n_scenes") == {
        "both": [3], "one": [3], "none": [3], "gap": [3], "east": [1], "off": [0],
    }  # fmt: skip
    # the mean over three frames, of which that of 2007 has none
    assert by_place(table, "observations")["none"] == [1.0]
    assert by_place(table, "observations")["one"] == [pytest.approx(2 / 3)]
    three = "LE07_20050110.tif; LT05_20050620.tif; LT05_20060301.tif"
    assert by_place(table, "scenes")["gap"] == [three]
    assert by_place(table, "first_date")["east"] == by_place(table, "last_date")["east"] == ["2006-11-15"]
    assert by_place(table, "sensors")["off"] == [None]
    assert by_place(table, "status")["off"] == ["outside"]


@pytest.mark.parametrize("by", ["chip", "frame"])
def test_columns_come_in_the_order_that_is_documented(chips: ec.Chips, by: str) -> None:
    found = chips.account(by=by).columns.tolist()
    other = {"chip": "frame", "frame": "frames"}[by]
    assert found == ["id", *(name for name in COLUMNS if name != other)]
    page = (Path(__file__).parents[2] / "docs" / "imagery.md").read_text(encoding="utf-8")
    for name in [*COLUMNS, "n_treated", "n_control"]:
        assert f"| `{name}` |" in page, name


def test_the_store_tells_the_same_but_why_a_frame_is_empty(chips: ec.Chips, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    opened = ec.open_chips(chips.write(tmp_path / "store", progress=False), chips.units)
    pd.testing.assert_frame_equal(opened.account(), chips.account())
    mine, theirs = chips.account(by="frame"), opened.account(by="frame")
    pd.testing.assert_frame_equal(theirs.drop(columns="status"), mine.drop(columns="status"))
    other = mine["status"] != theirs["status"]
    assert set(mine["status"][other]) == {"cloudy"}
    assert set(theirs["status"][other]) == {"nodata"}
    more = ec.read_units(pd.DataFrame({"id": ["u2", "new"]}), id="id", image_key="id")
    gone = ec.open_chips(tmp_path / "store", more).account(by="frame")
    assert gone["n_scenes"].tolist() == [2, 1, 0, 0, 0, 0] * 2
    assert gone["status"].tolist() == ["ok", "ok", "missing", "missing", "missing", "missing"] * 2


def test_offsets_follow_each_scene(tmp_path: Path) -> None:
    tiles = []
    for name, applied in (("S2_20210601", True), ("S2_20220601", False), ("S2_20220801", False)):
        pixels = (numbered(1) / 4).astype("uint16")
        file = write_scene(tmp_path / f"{name}.tif", pixels)
        one = ec.scenes(str(file), pattern="S2_{date:%Y%m%d}.tif")
        tiles += [_told(tile, applied) for tile in one.tiles]
    said = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied="scene")
    given = ec.Scenes(tuple(tiles), pixel_unit=said)
    cut = ec.chips(units_on([(30, 40)]), given, size_px=2, frames=ec.Frames(["2021", "2022"]))
    assert cut.account(by="frame")["offset_added"].tolist() == [0.0, -1000.0]
    # of the chip as a whole there is not one offset
    assert cut.account()["offset_added"].isna().tolist() == [True]
    both = ec.chips(units_on([(30, 40)]), given, size_px=2, frames=ec.Frames(["2021/2022"]))
    assert both.account(by="frame")["offset_added"].isna().tolist() == [True]
    late = ec.chips(units_on([(30, 40)]), given, size_px=2, frames=ec.Frames(["2022"]))
    assert late.account()["offset_added"].tolist() == [-1000.0]


def _told(tile: object, applied: bool) -> object:
    from dataclasses import replace

    return replace(tile, offset_applied=applied)


def test_by_is_chip_or_frame(chips: ec.Chips) -> None:
    with pytest.raises(ImageryError, match=r"by='frames' is not known[\s\S]*'frame'"):
        chips.account(by="frames")


def _study(folder: Path, *, apart: int, n: int = 60) -> tuple[ec.Chips, pd.Series]:
    """Return chips of units in two rows of scenes; those of the treated are ``apart`` days later."""
    rng = np.random.default_rng(1)
    treated = np.arange(n) % 2
    for sensor, east, day in (("LE07", 0, 0), ("LT05", 100, apart)):
        date = str(np.datetime64("2006-01-01") + day).replace("-", "")
        pixels = (100 + 50 * rng.random((1, 60, 80))).astype("float32")
        write_scene(folder / f"{sensor}_{date}.tif", pixels, corner=(WEST + 30 * east, NORTH))
    points = [(rng.uniform(5, 55), 5 + 70 * rng.random() + 100 * arm) for arm in treated]
    given = ec.scenes(str(folder / "L*.tif"), pattern="{sensor}_{date:%Y%m%d}.tif")
    units = units_on(points)
    cut = ec.chips(units, given, size_px=[4, 2], frames=ec.Frames(["2006"]))
    return cut, pd.Series(treated, index=units.ids)


def test_days_and_sensors_that_differ_by_arm_are_warned_of_once(tmp_path: Path) -> None:
    chips, arm = _study(tmp_path, apart=45)
    found = chips.report(arm)
    assert found.warnings == (
        "the arms differ in the mean day of the last scene: treated 2006-02-15, control 2006-01-01 (p = 0, "
        "clustered by image)",
        "the arms differ in the share of scenes of LE07: treated 0.0%, control 100.0% (p = 0, clustered by image)",
    )
    tests = found.tests.set_index(["block", "term"])
    assert tests.loc[("4px", "last_date"), "estimate"] == 45.0
    assert tests.loc[("2px", "sensor LT05"), "estimate"] == 1.0
    assert tests.loc[("4px", "observations"), "estimate"] == 0.0
    table = found.by_arm[found.by_arm["block"] == "4px"].set_index("arm")
    assert table["last_date"].to_dict() == {"control": "2006-01-01", "treated": "2006-02-15"}
    assert table["sensor LE07"].to_dict() == {"control": 1.0, "treated": 0.0}


def test_days_less_than_a_month_apart_are_tested_and_not_warned_of(tmp_path: Path) -> None:
    chips, arm = _study(tmp_path, apart=29)
    found = chips.report(arm)
    assert not [text for text in found.warnings if "day" in text]
    test = found.tests.set_index(["block", "term"]).loc[("4px", "last_date")]
    assert (test["estimate"], test["p_value"]) == (29.0, 0.0)


def test_days_before_treatment_are_compared_where_all_have_a_day(tmp_path: Path) -> None:
    chips, arm = _study(tmp_path, apart=45)
    frame = chips.units.frame
    days = np.where(arm == 1, "2006-12-01", "2006-06-01")
    units = ec.read_units(frame.assign(on=days), id="id", lon="x", lat="y", crs="EPSG:32636", date="on")
    given = ec.scenes(str(tmp_path / "L*.tif"), pattern="{sensor}_{date:%Y%m%d}.tif")
    cut = ec.chips(units, given, size_px=4, frames=ec.Frames(before="1Y"))
    found = cut.report(arm)
    test = found.tests.set_index("term").loc["days_before_treatment"]
    # from 15 February to 1 December, and from 1 January to 1 June
    assert (test["treated"], test["control"]) == (289.0, 151.0)
    (text,) = [one for one in found.warnings if "to treatment" in one]
    assert "treated 289, control 151" in text
    never = ec.read_units(
        frame.assign(on=pd.Series(days).where(arm.to_numpy() == 1)), id="id", lon="x", lat="y", crs="EPSG:32636",
        date="on",
    )  # fmt: skip
    stood_in = ec.chips(never, given, size_px=4, frames=ec.Frames(before="1Y", otherwise="2006-06-01"))
    assert "days_before_treatment" not in set(stood_in.report(arm).tests["term"])


def test_clear_observations_are_compared_and_units_without_a_scene_left_out_of_days(
    scenes: ec.Scenes,
) -> None:
    points = [PLACES["none"], PLACES["one"], PLACES["both"], PLACES["off"]] * 3
    units = units_on([(row + i / 10, column) for i, (row, column) in enumerate(points)])
    arm = pd.Series([1, 0, 0, 0] * 3, index=units.ids)
    cut = ec.chips(units, scenes, size_px=2, frames=ec.Frames(["2005", "2006"]))
    tests = cut.report(arm).tests.set_index("term")
    seen = tests.loc["observations"]
    # two and one clear days a year, against (1, 1), (0, 1) and none
    assert (seen["treated"], seen["control"]) == (1.5, pytest.approx(0.5))
    wanted = difference(np.array([1.5, 1, 0.5, 0] * 3), arm.to_numpy() == 1, units.ids)
    assert seen["p_value"] == pytest.approx(wanted["p_value"])
    assert "last_date" not in tests.index
    shares = tests.loc["sensor LE07"]
    assert (shares["n"], shares["treated"]) == (9, pytest.approx(1 / 3))


def test_the_plot_has_panels_of_days_and_sensors_where_they_differ(tmp_path: Path) -> None:
    chips, arm = _study(tmp_path, apart=45)
    figure = chips.report(arm).plot()
    _, _, days, sensors = figure.axes
    assert days.get_xlabel() == "day of the last scene"
    assert [text.get_text() for text in days.get_legend().get_texts()] == [
        "control (30 units, mean 2006-01-01)", "treated (30 units, mean 2006-02-15)",
    ]  # fmt: skip
    outlines = [patch.get_data() for patch in days.patches]
    assert [data.values.sum() for data in outlines] == [100.0] * 4
    # the control arm's days are all in the first bin, those of the treated in the last
    assert [int(np.argmax(data.values)) for data in outlines] == [0, 0, 23, 23]
    assert [label.get_text() for label in sensors.get_xticklabels()] == ["LE07", "LT05"]
    heights = [[round(bar.get_height()) for bar in bars] for bars in sensors.containers]
    assert heights == [[100, 0], [0, 100]]
    figure.savefig(tmp_path / "figure.png")


def test_origins_of_a_million_pictures_are_numbers_of_few_sets(chips: ec.Chips) -> None:
    found = origins_of(chips.source)
    assert found is not None
    assert found.codes.shape == (6, 3)
    assert found.sets[0] == ()
    # two scenes of 2005, that of 2006, the eastern one, and none
    assert len(found.sets) == 4
    assert found.sensors == ["LE07", "LT05"]
    assert found.silent == []


def test_origins_of_some_chips_are_numbered_by_first_use() -> None:
    names = [Scene(name) for name in "abc"]
    found = Origins(
        tuple(names), ((), (0,), (1, 2), (2,)), np.array([[1, 2], [0, 3], [3, 0]], dtype=np.int32)
    )
    some = found.some(np.array([2, -1, 1]))
    assert (some.scenes, some.sets) == ((Scene("c"),), ((), (0,)))
    assert some.codes.tolist() == [[1, 0], [0, 0], [0, 1]]
    again = joined([found, some])
    assert [again.columns(frame)["scenes"].tolist() for frame in (0, 1)] == [
        ["a", "", "c", "c", "", ""], ["b; c", "c", "", "", "", "c"],
    ]  # fmt: skip
    assert found.whole().columns()["scenes"].tolist() == ["a; b; c", "c", "c"]
    assert Origins.read(found.written(), found.codes).columns(1)["n_scenes"].tolist() == [2, 1, 0]
