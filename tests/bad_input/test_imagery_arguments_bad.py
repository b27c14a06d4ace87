# ruff: noqa: E501 - a case is a line
"""Arguments of calls on imagery that are of the wrong kind, too large or in the wrong order."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EocausalError, ImageryError, UnitsError, explain
from tests.scenes import numbered, units_lonlat, units_on, write_scene

POINTS = [(30, 40), (10, 10)]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", numbered())


CUTS: dict[str, tuple[dict[str, object], list[str]]] = {
    "quality by name": ({"quality": "qa"}, ["quality='qa' does not say what its values mean", 'ec.Quality("QA_PIXEL"']),
    "empty quality": ({"quality": ""}, ["quality='' does not say"]),
    "frames as text": ({"frames": "2005"}, ["frames='2005' does not say which days", "ec.Frames("]),
    "frames as list": ({"frames": ["2005"]}, ["frames=['2005'] does not say which days"]),
    "no frames": ({"frames": []}, ["frames=[] does not say which days"]),
    "half a band": ({"bands": 1.5}, ["no band 1.5", "numbered 1 to 2"]),
    "band yes": ({"bands": True}, ["no band True"]),
    "text of bytes": ({"bands": b"red"}, ["no band 114"]),
    "a size beyond all": ({"size_px": 10**30}, ["is not a size", "at most 10,000,000"]),
    "a size beyond floats": ({"size_m": 10**400}, ["is not a size", "positive metres, at most 10,000,000"]),
    "a size just beyond": ({"size_m": 10_000_001}, ["size_m=10000001 is not a size"]),
    "a size far below": ({"size_m": -(10**400)}, ["is not a size"]),
    "one such size of two": ({"size_m": [960, 10**400]}, ["is not a size"]),
    "no size at all": ({"size_m": float("nan")}, ["size_m=nan is not a size"]),
    "a day of a week": ({"date": "2007-W01-1"}, ["date='2007-W01-1' is not a date", "2007-06-30"]),
    "a date without dashes": ({"date": "20070630"}, ["date='20070630' is not a date"]),
    "no such day": ({"date": "2007-02-30"}, ["date='2007-02-30' is not a date"]),
    "other digits": ({"date": "\u0662\u0660\u0660\u0667-06-30"}, ["is not a date"]),
    "a date as number": ({"date": 2007}, ["date=2007 is not a date"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
def test_arguments_of_chips_are_refused_in_our_words(name: str, scene: Path) -> None:
    options, words = CUTS[name]
    sizes = {} if {"size_m", "size_px"} & set(options) else {"size_px": 4}
    with pytest.raises(ImageryError, match=re.escape(words[0])) as caught:
        ec.chips(units_on(POINTS), scene, **sizes, **options)
    for word in words[1:]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "bands", [np.int64(1), np.uint8(1), np.array([1]), (number for number in [1]), "band1"]
)
def test_one_band_may_be_said_in_many_ways(bands: object, scene: Path) -> None:
    cut = ec.chips(units_on(POINTS), scene, size_px=1, bands=bands)
    assert cut.bands == ("band1",)
    (batch,) = cut.batches()
    # pixels say 10000 band + 100 row + column
    assert batch.pixels["1px"].ravel().tolist() == [13040.0, 11010.0]


@pytest.mark.parametrize("quality", ["qa", 3, {"band": "qa"}])
def test_scenes_take_a_quality_that_says_what_it_means(quality: object, scene: Path) -> None:
    with pytest.raises(ImageryError, match=r"does not say what its values mean[\s\S]*ec\.CloudModel"):
        ec.scenes(scene, quality=quality)


TABLE = pd.DataFrame({"id": ["a"], "lon": [34.0], "lat": [1.0]})


@pytest.mark.parametrize("units", [TABLE, "units.csv", None, [1, 2]])
def test_units_are_read_before_chips_are_cut_opened_or_taken_from_files(
    units: object, tmp_path: Path
) -> None:
    kind = type(units).__name__
    calls = [
        lambda: ec.chips(units, tmp_path / "scene.tif", size_px=4),
        lambda: ec.open_chips(tmp_path, units),
        lambda: ec.chips_from_files(units, tmp_path),
    ]
    for call in calls:
        with pytest.raises(
            ImageryError, match=rf"units is a {kind}, not units as read_units[\s\S]*ec\.read_units\("
        ):
            call()


FOLDERS = [
    (5, "cannot be named by a int"),
    (None, "cannot be named by a NoneType"),
    ("x" * 5000, "No folder can have this name of 5,000 characters: 'xxxx"),
    ("a\0b", "No folder can have this name: embedded null byte"),
]


@pytest.mark.parametrize(("folder", "words"), FOLDERS)
def test_folders_that_cannot_be(folder: object, words: str, scene: Path) -> None:
    units = units_on(POINTS)
    cut = ec.chips(units, scene, size_px=4)
    calls = [
        lambda: ec.open_chips(folder, units),
        lambda: ec.chips_from_files(units, folder),
        lambda: cut.write(folder, progress=False),
    ]
    for call in calls:
        with pytest.raises(ImageryError, match=re.escape(words)):
            call()


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    with pytest.raises(ImageryError, match=r"gone' is not a store of chips"):
        ec.open_chips(tmp_path / "gone", units_on(POINTS))


def test_longitude_and_latitude_that_look_swapped_are_counted(scene: Path) -> None:
    here = units_on([*POINTS, (20, 20)])
    assert here.longitude is not None
    assert here.latitude is not None
    # two of three lie on the raster when read the other way
    swapped = units_lonlat([*here.latitude[:2].tolist(), 50.0], [*here.longitude[:2].tolist(), 50.0])
    with pytest.raises(
        ImageryError,
        match=r"All 3 chips fall outside.* look swapped: 2 lie within[\s\S]*lon=<the column that is lat= now>",
    ):
        ec.chips(swapped, scene, size_px=4)
    away = units_lonlat([50.0, 51.0], [50.0, 51.0])
    with pytest.raises(ImageryError, match="All 2 chips fall outside") as caught:
        ec.chips(away, scene, size_px=4)
    assert "swapped" not in str(caught.value)


ESCAPES = [
    ("\x1b[31mred", "\\x1b[31mred"),
    ("a\nb", "a\\nb"),
    ("a\r", "a\\r"),
    ("\x9b2J", "\\x9b2J"),
    ("right\u202eto left", "right\\u202eto left"),
    ("line\u2028break", "line\\u2028break"),
    ("half\ud800", "half\\ud800"),
    ("Kamp\u00e1la \u4e2d", "Kamp\u00e1la \u4e2d"),
    (7, "7"),
]


@pytest.mark.parametrize(("place", "shown"), ESCAPES)
def test_ids_cannot_steer_a_terminal(place: object, shown: str) -> None:
    assert (
        explain("Ids are wrong.", where=[place], fix="one\ntwo")
        == f"Ids are wrong.\n  Where: 1 ({shown})\n  Mend: one\ntwo"
    )


def test_ids_of_a_table_cannot_steer_a_terminal() -> None:
    table = pd.DataFrame({"id": ["\x1b[2J", "\x1b[2J"], "lon": [34.0, 34.1], "lat": [1.0, 1.1]})
    with pytest.raises(UnitsError) as caught:
        ec.read_units(table, id="id", lon="lon", lat="lat")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[2J" in str(caught.value)
    assert isinstance(caught.value, EocausalError)
