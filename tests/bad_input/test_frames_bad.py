"""Frames and scenes that must be refused, and the words that help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from tests.scenes import numbered, units_on, write_scene

PERIOD = "a year, month or day such as 2005"

FRAMES: dict[str, tuple[dict[str, object], list[str]]] = {
    "nothing": ({}, ["exactly one of windows and before=", 'Frames("each")']),
    "both": ({"windows": ["2005"], "before": "1Y"}, ["exactly one of windows and before="]),
    "text": ({"windows": "2005"}, ["windows='2005' is not a list", 'Frames(["2005"])']),
    "a number": ({"windows": 2005}, ["windows=2005 is not a list"]),
    "bytes": ({"windows": b"2005"}, ["is not a list of periods"]),
    "a dict": ({"windows": {"2005": 1}}, ["is not a list of periods"]),
    "a set": ({"windows": {"2005", "2006"}}, ["is not a list of periods"]),
    "empty": ({"windows": []}, ["windows=[] is not a list"]),
    "empty text": ({"windows": ""}, ["windows='' is not a list"]),
    "empty array": ({"windows": np.array([])}, ["is not a list of periods"]),
    "Each": ({"windows": "Each"}, ["windows='Each' is not a list", 'Frames("each")']),
    "no period": ({"windows": ["summer"]}, ["'summer' is not a period", PERIOD]),
    "none in a list": ({"windows": [None]}, ["'None' is not a period", PERIOD]),
    "no such day": ({"windows": ["2005-02-29"]}, ["'2005-02-29' is not a period"]),
    "no such month": ({"windows": ["2005-13"]}, ["'2005-13' is not a period"]),
    "a date the other way": ({"windows": ["14/06/2005"]}, ["'14/06/2005' is not a period"]),
    "a time": ({"windows": [pd.Timestamp("2005-06-14")]}, ["'2005-06-14 00:00:00' is not a period"]),
    "open end": ({"windows": ["2005/"]}, ["'2005/' is not a period"]),
    "open beginning": ({"windows": ["/2005"]}, ["'/2005' is not a period"]),
    "two slashes": ({"windows": ["2005//2006"]}, ["'2005//2006' is not a period"]),
    "three parts": ({"windows": ["2005/2006/2007"]}, ["'2005/2006/2007' is not a period"]),
    "other digits": ({"windows": ["２００５"]}, ["is not a period"]),
    "backwards": ({"windows": ["2006/2005"]}, ["'2006/2005' ends before it begins"]),
    "overlap": ({"windows": ["2005", "2005-12-31"]}, ["Frame '2005-12-31' begins before", "do not overlap"]),
    "out of order": ({"windows": ["2006", "2005"]}, ["Frame '2005' begins before", "in order of time"]),
    "twice": ({"windows": ["2005", "2005"]}, ["Frame '2005' begins before"]),
    "every alone": ({"windows": ["2005"], "every": "1Y"}, ["every= goes with before= only", "Leave it out"]),
    "otherwise alone": ({"windows": "each", "otherwise": "2005-01-01"}, ["otherwise= goes with before="]),
    "zero": ({"before": "0Y"}, ["before='0Y' is not a length of time", "3Y, 18M, 90D"]),
    "weeks": ({"before": "2W"}, ["before='2W' is not a length of time"]),
    "small letters": ({"before": "2y"}, ["before='2y' is not a length of time"]),
    "negative": ({"before": "-1Y"}, ["before='-1Y' is not a length of time"]),
    "a bare number": ({"before": 3}, ["before=3 is not a length of time"]),
    "every nonsense": ({"before": "1Y", "every": "month"}, ["every='month' is not a length of time"]),
    "no multiple": ({"before": "3Y", "every": "2Y"}, ["before='3Y' cannot be parted by every='2Y'", "multiple"]),
    "every longer": ({"before": "1Y", "every": "2Y"}, ["before='1Y' cannot be parted"]),
    "days of a year": ({"before": "1Y", "every": "73D"}, ["before='1Y' cannot be parted by every='73D'"]),
    "too many": ({"before": "9999D", "every": "1D"}, ["at most 3,660 times"]),
    "stand-in of a year": ({"before": "1Y", "otherwise": "2007"}, ["otherwise='2007' is not a day", "2007-06-30"]),
    "stand-in not there": ({"before": "1Y", "otherwise": "2007-02-30"}, ["otherwise='2007-02-30' is not a day"]),
    "stand-in of ten signs": ({"before": "1Y", "otherwise": "2007-2-030"}, ["is not a day"]),
    "stand-in as a number": ({"before": "1Y", "otherwise": 20070630}, ["otherwise=20070630 is not a day"]),
    "composite": ({"windows": "each", "composite": "mediann"}, ["composite='mediann'", "Did you mean 'median'?"]),
    "least of none": ({"windows": "each", "least": 0}, ["least=0", "at least 1"]),
    "least of a half": ({"windows": "each", "least": 1.5}, ["least=1.5", "whole number"]),
    "least of True": ({"windows": "each", "least": True}, ["least=True", "whole number"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_refused(name):
    given, words = FRAMES[name]
    asked = dict(given)
    windows = asked.pop("windows", None)
    with pytest.raises(ImageryError) as refused:
        ec.Frames(windows, **asked)
    for word in words:
        assert word in str(refused.value)


PATTERNS = {
    "{date:%Y%d}": ["{date:%Y%d} is not a date's pattern", "month and day"],
    "{date:%Y%m}": ["{date:%Y%m} is not a date's pattern"],
    "{date:%m%d}": ["{date:%m%d} is not a date's pattern", "a year"],
    "{date}": ["{date:} is not a date's pattern", "{date:%Y%m%d}"],
    "{date:%Y%m%d%Q}": ["Where: 1 (%Q)"],
    "{date:%Y%m%d%%}": ["is not a date's pattern"],
    "{date:%Y%Y%m%d}": ["each once"],
    "{date:%Y%m%d}_{date:%Y%m%d}": ["Where: 2 (date, date)", "each once"],
    "{tile}_{date:%Y%m%d}": ["Where: 1 (tile)", 'pattern="LE07_*_{date:%Y%m%d}_*"'],
    "*.tif": ["does not say where {date:...} or {sensor} are"],
    "{}": ["does not say where"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_refused(tmp_path, pattern):
    file = write_scene(tmp_path / "a_20050614.tif", np.ones((1, 4, 4), dtype="uint8"))
    with pytest.raises(ImageryError) as refused:
        ec.scenes(file, pattern=pattern)
    for word in PATTERNS[pattern]:
        assert word in str(refused.value)


DAYS = {
    "other order": ("14.06.2005", "'14.06.2005' is not a date"),
    "a span": ("2005-06-14/2006", "'2005-06-14/2006' is not a date"),
    "no zeros": ("2005-6-14", "'2005-6-14' is not a date"),
    "not there": ("2005-06-31", "'2005-06-31' is not a date"),
    "a year": ("2005", "'2005' is not a date"),
    "empty": ("", "'' is not a date"),
    "words": ("today", "'today' is not a date"),
    "words after": ("2005-06-14 noon", "'2005-06-14 noon' is not a date"),
    "a number": (20050614, "date=20050614 is a number and not a date"),
    "NumPy's number": (np.int64(20050614), "is a number and not a date"),
    "a float": (2005.5, "date=2005.5 is a number"),
    "yes": (True, "date=True is a number"),
    "a list": (["2005-06-14"], "is not a date"),
}


@pytest.mark.parametrize("name", DAYS)
def test_days_are_refused(tmp_path, name):
    value, words = DAYS[name]
    file = str(write_scene(tmp_path / "a.tif", np.ones((1, 4, 4), dtype="uint8")))
    table = pd.DataFrame({"file": [file], "day": pd.Series([value], dtype=object)})
    for call in (lambda: ec.scenes(file, date=value), lambda: ec.scenes(table, date="day")):
        with pytest.raises(ImageryError) as refused:
            call()
        assert words in str(refused.value)
        assert "2007-06-30" in str(refused.value)


def test_tables_of_scenes_are_refused(tmp_path):
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.tif", np.ones((1, 4, 4), dtype="uint8"))
    one, other = str(tmp_path / "a.tif"), str(tmp_path / "b.tif")
    table = pd.DataFrame({"file": [one, other], "day": ["2005-01-01", "2006-01-01"]})
    cases: list[tuple[pd.DataFrame, dict[str, str], str]] = [
        (table, {"date": "days"}, r"'days' is not in the scenes[\s\S]*Did you mean 'day'"),
        (table, {"sensor": "by"}, r"'by' is not in the scenes"),
        (table, {"file": "path"}, r"'path' is not in the scenes"),
        (table.assign(file=one), {"date": "day"}, r"given more than once[\s\S]*a\.tif"),
        (table.assign(file=[one, str(tmp_path / "*.tif")]), {}, r"given more than once"),
        (table.assign(file=[str(tmp_path / "?.tif"), one])[:1], {}, r"1 rows of 'file' name 2 files"),
        (table.assign(file=[one, None]), {}, r"None|nan"),
        (table[:0], {}, r"No rasters are given"),
        (pd.concat([table, table["day"]], axis=1), {"date": "day"}, r"'day' appears 2 times"),
    ]
    for bad, said, words in cases:
        with pytest.raises(ImageryError, match=words):
            ec.scenes(bad, **said)


@pytest.fixture
def yearly(tmp_path):
    files = [write_scene(tmp_path / f"s_{day}.tif", numbered()) for day in ("20050601", "20060601")]
    return ec.scenes(files, pattern="s_{date:%Y%m%d}.tif")


def test_sequences_are_refused(yearly):
    plain = units_on([(30, 40), (20, 20)])
    dated = {"treated_on": ["2006-01-01", None]}
    table = plain.frame.assign(**dated)
    treated = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636", date="treated_on")
    cases = [
        (plain, None, r"of 2 days[\s\S]*2 \(2005-06-01, 2006-06-01\)[\s\S]*ec\.Frames\(\["),
        (
            plain,
            ec.Frames(before="1Y"),
            r"need units with a day of treatment[\s\S]*read_units\(\.\.\., date=",
        ),
        (treated, ec.Frames(before="1Y"), r"no day of treatment[\s\S]*1 \(u1\)[\s\S]*otherwise="),
        (plain, ec.Frames(["2007", "2008"]), r"No scene[\s\S]*2007, 2008[\s\S]*2005-06-01 to 2006-06-01"),
        (treated, ec.Frames(before="1M", otherwise="2001-01-01"), r"No scene[\s\S]*\(-1M\)"),
    ]
    for units, frames, words in cases:
        with pytest.raises(ImageryError, match=words):
            ec.chips(units, yearly, size_px=4, frames=frames)


def test_files_without_a_day_make_no_sequence(tmp_path):
    file = write_scene(tmp_path / "a.tif", numbered())
    units, frames = units_on([(30, 40)]), ec.Frames(["2005"])
    with pytest.raises(ImageryError, match=r"need scenes with a day[\s\S]*1 \(a\.tif\)[\s\S]*pattern="):
        ec.chips(units, file, size_px=4, frames=frames)
    # a day that is said of all will do
    for rasters in (file, ec.scenes(file)):
        assert ec.chips(units, rasters, size_px=4, frames=frames, date="2005-06-01").frames == ("2005",)


def test_no_scenes():
    with pytest.raises(ImageryError, match=r"scenes are empty[\s\S]*ec\.scenes"):
        ec.chips(units_on([(30, 40)]), ec.Scenes(()), size_px=4)
