"""Scenes: whence the day and the sensor of a raster are known, and what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.scenes import DATE_TAGS, as_day
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene


def scene(folder: Path, name: str, **tags: str) -> Path:
    """Write a small raster; tags of other domains are named ``domain__name``."""
    file = write_scene(folder / name, np.ones((1, 8, 9), dtype="uint8"))
    with rasterio.open(file, "r+") as out:
        for key, value in tags.items():
            domain, _, name = key.rpartition("__")
            out.update_tags(ns=domain or None, **{name: value})
    return file


def days(scenes: ec.Scenes) -> list[str | None]:
    return scenes.table()["date"].tolist()


def test_a_day_said_for_all_is_that_of_all(tmp_path):
    for name in "ab":
        scene(tmp_path, f"{name}.tif")
    found = ec.scenes(str(tmp_path / "*.tif"), date="2005-06-14", sensor="LE07")
    assert days(found) == ["2005-06-14"] * 2
    assert found.table()["sensor"].tolist() == ["LE07"] * 2
    assert [tile.date for tile in found.tiles] == [np.datetime64("2005-06-14", "D")] * 2


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2005-06-14", "2005-06-14"),
        ("2005-06-14T23:59:59", "2005-06-14"),
        ("2005-06-14 10:11", "2005-06-14"),
        # of a time with a zone, the day as it is written
        ("2005-06-14T23:30:00-05:00", "2005-06-14"),
        ("2005-06-14T00:30:00.250Z", "2005-06-14"),
        (datetime.date(2005, 6, 14), "2005-06-14"),
        (datetime.datetime(2005, 6, 14, 23, 59), "2005-06-14"),
        (pd.Timestamp("2005-06-14 23:00", tz="Asia/Tokyo"), "2005-06-14"),
        (np.datetime64("2005-06-14T23:59"), "2005-06-14"),
        (np.datetime64("2008-02-29"), "2008-02-29"),
        (None, None),
        (pd.NaT, None),
        (pd.NA, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.datetime64("NaT"), None),
    ],
)
def test_days_are_read_from_text_and_timestamps(value, day):
    found = as_day(value)
    assert found == (None if day is None else np.datetime64(day, "D"))
    assert found is None or found.dtype == np.dtype("datetime64[D]")


@pytest.mark.parametrize(
    ("tags", "day"),
    [
        ({"TIFFTAG_DATETIME": "2005:06:14 10:11:12"}, "2005-06-14"),
        ({"ACQUISITION_DATE": "2005-06-14"}, "2005-06-14"),
        ({"acquisition_date": "20050614"}, "2005-06-14"),
        ({"SENSING_TIME": "2019-06-02T07:55:01.1234Z"}, "2019-06-02"),
        ({"IMAGERY__ACQUISITIONDATETIME": "2005-06-14 10:11:12"}, "2005-06-14"),
        ({"ODD_DOMAIN__date": "2005/06/14"}, "2005-06-14"),
        # when the scene was taken goes before when the file was written
        ({"TIFFTAG_DATETIME": "2021:03:04 00:00:00", "DATE_ACQUIRED": "2005-06-14"}, "2005-06-14"),
        # the general tags go before those of a domain
        ({"DATE_ACQUIRED": "2005-06-14", "OTHER__DATE_ACQUIRED": "2006-06-14"}, "2005-06-14"),
        # zeros are not a day, so the next tag is asked
        ({"ACQUISITION_DATE": "0000-00-00", "TIFFTAG_DATETIME": "2005:06:14 10:11:12"}, "2005-06-14"),
        ({"DATE_ACQUIRED": "unknown", "date": "2005-06-14"}, "2005-06-14"),
    ],
)
def test_days_are_read_from_tags(tmp_path, tags, day):
    assert days(ec.scenes(scene(tmp_path, "a.tif", **tags), date="tags")) == [day]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"TIFFTAG_DATETIME": "0000:00:00 00:00:00"},
        {"DATE_ACQUIRED": "2005-02-30"},
        {"DATE_ACQUIRED": "14/06/2005"},
        {"DATE_ACQUIRED": "2005-06/14"},
        {"TIFFTAG_SOFTWARE": "2005-06-14"},
    ],
)
def test_files_whose_tags_say_no_day_are_named(tmp_path, tags):
    good = scene(tmp_path, "good.tif", DATE_ACQUIRED="2005-06-14")
    bad = scene(tmp_path, "bad.tif", **tags)
    with pytest.raises(ImageryError, match=r"no tag[\s\S]*1 \(bad\.tif\)[\s\S]*DATE_ACQUIRED[\s\S]*pattern="):
        ec.scenes([good, bad], date="tags")


def test_every_tag_that_is_asked_is_found(tmp_path):
    for number, name in enumerate(DATE_TAGS, start=10):
        file = scene(tmp_path, f"{name}.tif", **{name: f"20{number}:03:04 10:00:00"})
        assert days(ec.scenes(file, date="tags")) == [f"20{number}-03-04"]


@pytest.mark.parametrize(
    ("name", "pattern", "day", "sensor"),
    [
        ("LE07_L2SP_177062_20050614_20200914_02_T1.tif", "LE07_*_{date:%Y%m%d}_*", "2005-06-14", None),
        ("LE07_2005-06-14.tif", "{sensor}_{date:%Y-%m-%d}.tif", "2005-06-14", "LE07"),
        # day 60 of a leap year is 29 February, of another year 1 March
        ("MOD_A2004060_h21.tif", "{sensor}_A{date:%Y%j}_*", "2004-02-29", "MOD"),
        ("MOD_A2005060_h21.tif", "{sensor}_A{date:%Y%j}_*", "2005-03-01", "MOD"),
        (
            "HLS.L30.T36NXG.2019153T075501.v2.0.tif",
            "HLS.{sensor}.*.{date:%Y%jT%H%M%S}.*",
            "2019-06-02",
            "L30",
        ),
        # path and row 177062 are no year: 17 is no century with pictures
        ("LE71770622005165LGN00.tif", "*{date:%Y%j}*", "2005-06-14", None),
        ("scene-14Jun2005.tif", "scene-{date:%d%b%Y}.tif", "2005-06-14", None),
        ("s_050614.tif", "s_{date:%y%m%d}*", "2005-06-14", None),
        # what is around the fields is text, not an expression
        ("a+(b).2005-06-14.tif", "a+(b).{date:%Y-%m-%d}.tif", "2005-06-14", None),
        ("S2A_x.tif", "{sensor}_*", None, "S2A"),
    ],
)
def test_days_and_sensors_are_read_from_names(tmp_path, name, pattern, day, sensor):
    table = ec.scenes(scene(tmp_path, name), pattern=pattern).table()
    assert (table["date"].tolist(), table["sensor"].tolist()) == ([day], [sensor])


def test_a_pattern_may_leave_the_sensor_or_the_day_to_an_argument(tmp_path):
    file = scene(tmp_path, "S2A_20050614.tif")
    table = ec.scenes(file, pattern="*_{date:%Y%m%d}.tif", sensor="msi").table()
    assert table.loc[0, ["date", "sensor"]].tolist() == ["2005-06-14", "msi"]
    table = ec.scenes(file, pattern="{sensor}_*", date="2001-02-03").table()
    assert table.loc[0, ["date", "sensor"]].tolist() == ["2001-02-03", "S2A"]


def test_names_that_do_not_fit_are_named_and_none_is_left_out(tmp_path):
    for name in ("s_20050614.tif", "s_20051345.tif", "other.tif"):
        scene(tmp_path, name)
    with pytest.raises(ImageryError, match=r"do not fit pattern=[\s\S]*2 \(other\.tif, s_20051345\.tif\)"):
        ec.scenes(str(tmp_path / "*.tif"), pattern="s_{date:%Y%m%d}.tif")


def test_a_table_says_day_and_sensor_of_each_file(tmp_path):
    files = [str(scene(tmp_path, f"{name}.tif")) for name in "cab"]
    text = pd.DataFrame(
        {"path": files, "day": ["2007-01-01", "2005-06-14T10:00:00", "2006-01-01"], "by": ["x", "y", "x"]},
        index=[7, 7, 2],
    )
    for table in (text, text.assign(day=pd.to_datetime(text["day"], format="ISO8601"))):
        before = table.copy()
        found = ec.scenes(table, file="path", date="day", sensor="by").table()
        assert found["scene"].tolist() == ["c.tif", "a.tif", "b.tif"]
        assert found["date"].tolist() == ["2007-01-01", "2005-06-14", "2006-01-01"]
        assert found["sensor"].tolist() == ["x", "y", "x"]
        pd.testing.assert_frame_equal(table, before)
    assert days(ec.scenes(text.rename(columns={"path": "file"}))) == [None] * 3


def test_a_table_with_a_pattern_takes_the_day_from_the_names(tmp_path):
    files = [str(scene(tmp_path, f"s_{day}.tif")) for day in ("20070101", "20050614")]
    table = pd.DataFrame({"file": files, "by": ["x", "y"]})
    found = ec.scenes(table, sensor="by", pattern="s_{date:%Y%m%d}.tif").table()
    assert found["date"].tolist() == ["2007-01-01", "2005-06-14"]
    assert found["sensor"].tolist() == ["x", "y"]


@pytest.mark.parametrize("missing", [None, pd.NaT, np.nan, pd.NA])
def test_rows_without_a_day_are_named(tmp_path, missing):
    files = [str(scene(tmp_path, f"{name}.tif")) for name in "ab"]
    table = pd.DataFrame({"file": files, "day": pd.Series(["2005-01-01", missing], dtype=object)})
    with pytest.raises(ImageryError, match=r"'day' is empty[\s\S]*1 \(b\.tif\)"):
        ec.scenes(table, date="day")
    table["day"] = ["2005-01-01", "2006-01-01"]
    table["by"] = pd.Series(["x", missing], dtype=object)
    with pytest.raises(ImageryError, match=r"'by' is empty[\s\S]*1 \(b\.tif\)[\s\S]*fillna"):
        ec.scenes(table, date="day", sensor="by")


def test_files_of_one_name_in_several_folders_are_several_scenes(tmp_path):
    rows = []
    for year, value in (("2005", 5), ("2006", 6)):
        (tmp_path / year).mkdir()
        file = write_scene(tmp_path / year / "B4.tif", np.full((1, 20, 20), value, dtype="uint8"))
        rows.append({"file": str(file), "day": f"{year}-07-01"})
    scenes = ec.scenes(pd.DataFrame(rows), date="day")
    assert scenes.table()[["scene", "date"]].to_numpy().tolist() == [
        ["B4.tif", "2005-07-01"],
        ["B4.tif", "2006-07-01"],
    ]
    cut = ec.chips(units_on([(10, 10)]), scenes, size_px=2, frames=ec.Frames("each"))
    assert read_all(cut).pixels["2px"][0, :, 0, 0, 0].tolist() == [5.0, 6.0]
    recipe = cut.recipe()["rasters"]
    assert [one["name"] for one in recipe] == ["B4.tif", "B4.tif"]
    assert [one["date"] for one in recipe] == ["2005-07-01", "2006-07-01"]
    assert str(tmp_path) not in str(recipe)


def test_the_table_tells_the_grid_of_each_raster(tmp_path):
    write_scene(tmp_path / "a.tif", numbered(1, 12, 10))
    turn = Affine.translation(WEST, NORTH) @ Affine.rotation(30) @ Affine.scale(30, -30)
    write_scene(tmp_path / "b.tif", numbered(1, 5, 6), transform=turn)
    table = ec.scenes([tmp_path / "a.tif", tmp_path / "b.tif"]).table()
    assert table.columns.tolist() == [
        "scene", "date", "sensor", "crs", "pixel_x", "pixel_y", "width", "height", "offset_applied",
    ]  # fmt: skip
    assert table["crs"].tolist() == ["EPSG:32636"] * 2
    np.testing.assert_allclose(table[["pixel_x", "pixel_y"]], 30.0)
    assert table[["width", "height"]].to_numpy().tolist() == [[10, 12], [6, 5]]
    assert table["date"].isna().all()
    assert table["sensor"].isna().all()


def test_displays_are_short_and_right(tmp_path):
    files = [scene(tmp_path, f"s_{day}.tif") for day in ("20060101", "20050614", "20060102")]
    named = ec.scenes(files, pattern="s_{date:%Y%m%d}.tif")
    assert repr(named) == "Scenes(3 rasters, 3 days from 2005-06-14 to 2006-01-02, bands band1)"
    assert len(named) == 3
    assert repr(ec.scenes(files[:1], date="2005-06-14")) == "Scenes(1 raster, of 2005-06-14, bands band1)"
    assert repr(ec.scenes(files)) == "Scenes(3 rasters, undated, bands band1)"
    none = ec.Scenes(())
    assert (repr(none), len(none.table()), "date" in none.table()) == ("Scenes(0 rasters)", 0, True)


def test_units_of_pixels_and_flags_are_said_once(tmp_path):
    pixels = np.stack([np.full((20, 20), 8000), np.full((20, 20), 12_000), np.full((20, 20), 21_824)])
    file = write_scene(tmp_path / "a.tif", pixels.astype("uint16"), descriptions=("red", "nir", "qa"))
    quality = ec.Quality("qa", scheme="landsat_qa_pixel")
    unit = ec.Radiometry("landsat_c2_dn", convert_to="reflectance")
    scenes = ec.scenes(file, date="2005-06-14", pixel_unit=unit, quality=quality)
    cut = ec.chips(units_on([(10, 10)]), scenes, size_px=2)
    assert (cut.bands, cut.pixel_unit, cut.date) == (("red", "nir"), "reflectance", "2005-06-14")
    # 8000 and 12000 by USGS' formula 2.75e-5 DN - 0.2
    np.testing.assert_allclose(read_all(cut).pixels["2px"][0, 0, :, 0, 0], [0.02, 0.13], rtol=1e-6)
    for name, value in (("date", "2005-06-14"), ("pixel_unit", "landsat_c2_dn"), ("quality", quality)):
        with pytest.raises(ImageryError, match=rf"have a {name} of their own[\s\S]*Leave out {name}="):
            ec.chips(units_on([(10, 10)]), scenes, size_px=2, **{name: value})
    bare = ec.scenes(file)
    told = ec.chips(
        units_on([(10, 10)]), bare, size_px=2, date="2005-06-14", pixel_unit=unit, quality=quality
    )
    assert told.recipe() == cut.recipe()


def test_a_day_or_sensor_said_twice_is_refused(tmp_path):
    file = scene(tmp_path, "S2A_20050614.tif")
    for said in ({"date": "2005-06-14"}, {"date": "tags"}, {"sensor": "S2A"}):
        name = next(iter(said))
        with pytest.raises(ImageryError, match=rf"{name}='[\s\S]*both say it[\s\S]*Leave out {name}="):
            ec.scenes(file, pattern="{sensor}_{date:%Y%m%d}.tif", **said)


def test_scenes_with_and_without_a_day_make_one_picture_but_no_sequence(tmp_path):
    dated = ec.scenes(scene(tmp_path, "a.tif"), date="2005-06-14")
    both = ec.Scenes((*dated.tiles, *ec.scenes(scene(tmp_path, "b.tif")).tiles))
    assert ec.chips(units_on([(4, 4)]), both, size_px=2).date == "2005-06-14"
    with pytest.raises(ImageryError, match=r"Frames need scenes with a day[\s\S]*1 \(b\.tif\)"):
        ec.chips(units_on([(4, 4)]), both, size_px=2, frames=ec.Frames("each"))
