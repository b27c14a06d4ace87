"""Frames: which days make which picture."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.imagery.frames import FrameWindows, period


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def units(treated: list[str | None], keys: list[str] | None = None) -> ec.Units:
    """Return units treated on these days; those with one key share an image."""
    table = pd.DataFrame(
        {"id": [f"u{i}" for i in range(len(treated))], "lon": 34.0, "lat": 1.0, "treated_on": treated}
    )
    if keys is not None:
        table["key"] = keys
    image_key = None if keys is None else "key"
    return ec.read_units(table, id="id", lon="lon", lat="lat", date="treated_on", image_key=image_key)


def before(how: ec.Frames, treated: list[str | None], **options: object) -> FrameWindows:
    asked = units(treated, **options)
    return how.for_keys(asked, pd.unique(asked.image_keys), days())


def edges(found: FrameWindows) -> list[list[str]]:
    """Return the first day of each frame of each key, and the day after the last."""
    assert (found.starts[:, 1:] == found.ends[:, :-1]).all()
    return np.concatenate([found.starts, found.ends[:, -1:]], axis=1).astype(str).tolist()


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2005", "2005-01-01", "2006-01-01"),
        ("2005-12", "2005-12-01", "2006-01-01"),
        ("2008-02", "2008-02-01", "2008-03-01"),
        ("2100-02", "2100-02-01", "2100-03-01"),
        ("2008-02-29", "2008-02-29", "2008-03-01"),
        ("2005-06-01/2005-08-31", "2005-06-01", "2005-09-01"),
        ("2005-11/2006-01", "2005-11-01", "2006-02-01"),
        ("2005/2007-03-01", "2005-01-01", "2007-03-02"),
        ("2005-03/2005", "2005-03-01", "2006-01-01"),
        ("2005/2005", "2005-01-01", "2006-01-01"),
    ],
)
def test_periods_hold_their_first_day_and_their_last(text, first, after):
    assert [str(day) for day in period(text)] == [first, after]


def test_calendar_frames_are_the_same_for_all_keys_and_hold_both_edges():
    how = ec.Frames(["2005", "2006-02", "2007-03-04/2007-03-06"])
    assert how.names == ("2005", "2006-02", "2007-03-04/2007-03-06")
    found = how.for_keys(units([None, None]), np.array(["u0", "u1"]), days("2005-06-01"))
    asked = days(
        "2004-12-31", "2005-01-01", "2005-12-31", "2006-01-01", "2006-01-31", "2006-02-01", "2006-02-28",
        "2006-03-01", "2007-03-03", "2007-03-04", "2007-03-06", "2007-03-07",
    )  # fmt: skip
    (inside,) = found.within(slice(None), asked)
    assert [np.flatnonzero(frame).tolist() for frame in inside] == [[1, 2], [5, 6], [9, 10]]
    assert found.within(np.array([1, 0, 1]), asked).shape == (1, 3, 12)


@pytest.mark.parametrize(
    "given",
    [
        ["2005", "2006"],
        ("2005", "2006"),
        [2005, 2006],
        np.array([2005, 2006]),
        np.array(["2005", "2006"]),
        np.array(["2005", "2006"], dtype="datetime64[Y]"),
        pd.Series(["2005", "2006"]),
        pd.period_range("2005", "2006", freq="Y"),
        (str(year) for year in (2005, 2006)),
    ],
)
def test_periods_may_come_in_any_kind_of_list(given):
    how = ec.Frames(given)
    assert how == ec.Frames(["2005", "2006"])
    assert hash(how) == hash(ec.Frames(["2005", "2006"]))
    assert how.names == ("2005", "2006")


def test_periods_may_be_days_and_leave_gaps_and_touch():
    how = ec.Frames([datetime.date(2005, 6, 30), "2005-07-01/2005-07-01", "2009"])
    assert how.names == ("2005-06-30", "2005-07-01/2005-07-01", "2009")


def test_each_day_with_imagery_is_a_frame():
    how = ec.Frames("each")
    assert how.names is None
    found = how.for_keys(
        units([None]), np.array(["u0"]), days("2006-07-03", "2005-06-14", "2006-07-03", "2005-06-15")
    )
    assert found.names == ("2005-06-14", "2005-06-15", "2006-07-03")
    asked = days("2005-06-13", "2005-06-14", "2005-06-15", "2005-06-16", "2006-07-03")
    (inside,) = found.within(slice(None), asked)
    assert [np.flatnonzero(frame).tolist() for frame in inside] == [[1], [2], [4]]


def test_the_day_of_treatment_is_in_no_frame_and_the_first_day_is_in_the_first():
    treated = ["2008-05-31", "2007-01-01"]
    found = before(ec.Frames(before="2Y", every="1Y"), treated)
    assert found.names == ("-2Y", "-1Y")
    asked = days(
        "2006-05-30", "2006-05-31", "2007-05-30", "2007-05-31", "2008-05-30", "2008-05-31", "2008-06-01"
    )
    inside = found.within(slice(None), asked)
    assert [np.flatnonzero(frame).tolist() for frame in inside[0]] == [[1, 2], [3, 4]]
    # of the unit treated at New Year 2007: 2005, then 2006
    assert [np.flatnonzero(frame).tolist() for frame in inside[1]] == [[], [0, 1]]
    np.testing.assert_array_equal(found.within(np.array([1, 0, 1]), asked), inside[[1, 0, 1]])


@pytest.mark.parametrize(
    ("how", "treated", "expected"),
    [
        ({"before": "1Y"}, "2007-06-15", ["2006-06-15", "2007-06-15"]),
        # leap days
        ({"before": "4Y", "every": "1Y"}, "2008-02-29",
         ["2004-02-29", "2005-02-28", "2006-02-28", "2007-02-28", "2008-02-29"]),
        ({"before": "1Y"}, "2009-02-28", ["2008-02-28", "2009-02-28"]),
        # 1900 was no leap year, 2000 was
        ({"before": "100Y"}, "2000-02-29", ["1900-02-28", "2000-02-29"]),
        # months that are too short for the day; each is counted from the day of treatment itself
        ({"before": "3M", "every": "1M"}, "2008-05-31", ["2008-02-29", "2008-03-31", "2008-04-30", "2008-05-31"]),
        ({"before": "3M", "every": "1M"}, "2007-05-31", ["2007-02-28", "2007-03-31", "2007-04-30", "2007-05-31"]),
        ({"before": "18M", "every": "6M"}, "2007-08-31", ["2006-02-28", "2006-08-31", "2007-02-28", "2007-08-31"]),
        ({"before": "1Y", "every": "6M"}, "2007-01-01", ["2006-01-01", "2006-07-01", "2007-01-01"]),
        ({"before": "24M", "every": "1Y"}, "2007-03-01", ["2005-03-01", "2006-03-01", "2007-03-01"]),
        ({"before": "90D", "every": "30D"}, "2008-03-15", ["2007-12-16", "2008-01-15", "2008-02-14", "2008-03-15"]),
        ({"before": "1D"}, "2008-03-01", ["2008-02-29", "2008-03-01"]),
        ({"before": "2Y"}, "1970-01-31", ["1968-01-31", "1970-01-31"]),
        ({"before": "1M"}, "1970-01-31", ["1969-12-31", "1970-01-31"]),
    ],
)  # fmt: skip
def test_frames_before_treatment_follow_the_calendar(how, treated, expected):
    assert edges(before(ec.Frames(**how), [treated])) == [expected]


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"before": "3Y"}, ("-3Y",)),
        ({"before": "3Y", "every": "1Y"}, ("-3Y", "-2Y", "-1Y")),
        ({"before": "1Y", "every": "6M"}, ("-12M", "-6M")),
        ({"before": "12M", "every": "1Y"}, ("-12M",)),
        ({"before": "90D", "every": "45D"}, ("-90D", "-45D")),
    ],
)
def test_frames_before_treatment_are_named_by_their_beginning(how, names):
    assert ec.Frames(**how).names == names


def test_months_before_never_overlap_whatever_the_day_of_treatment():
    asked = np.arange("2006-01-01", "2009-01-01", dtype="datetime64[D]")
    treated = [str(day) for day in np.arange("2007-12-25", "2008-04-05", dtype="datetime64[D]")]
    found = before(ec.Frames(before="12M", every="1M"), treated)
    inside = found.within(slice(None), asked)
    for unit, day in enumerate(days(*treated)):
        covered = inside[unit].sum(axis=0)
        assert covered.max() == 1
        year_before = pd.Timestamp(day) - pd.DateOffset(years=1)
        expected = (asked >= np.datetime64(year_before, "D")) & (asked < day)
        np.testing.assert_array_equal(covered == 1, expected)
        assert (inside[unit].sum(axis=1) >= 28).all()


def test_keys_treated_on_one_day_share_their_frames():
    found = before(ec.Frames(before="2Y", every="1Y"), ["2007-03-01"] * 3)
    assert edges(found) == [["2005-03-01", "2006-03-01", "2007-03-01"]]
    asked = days("2005-02-28", "2005-03-01", "2007-02-28", "2007-03-01")
    for rows in (slice(None), np.array([2, 0]), slice(1, 2)):
        assert found.within(rows, asked).tolist() == [
            [[False, True, False, False], [False, False, True, False]]
        ]
        assert found.covering(rows, asked).tolist() == [[False, True, True, False]]


def test_a_day_stands_in_for_units_never_treated():
    found = before(ec.Frames(before="1Y", otherwise="2007-03-01"), ["2008-01-01", None])
    assert edges(found) == [["2007-01-01", "2008-01-01"], ["2006-03-01", "2007-03-01"]]


def test_units_of_one_image_see_what_came_before_the_first_of_them():
    treated, keys = ["2008-01-01", "2006-05-01", "2007-01-01", None], ["b", "a", "b", "a"]
    found = before(ec.Frames(before="1Y", otherwise="2009-01-01"), treated, keys=keys)
    # keys as units name them first: b is treated in 2008 and 2007, a in 2006 or, instead of never, 2009
    assert edges(found) == [["2006-01-01", "2007-01-01"], ["2005-05-01", "2006-05-01"]]


def test_recipes_tell_what_was_asked():
    assert ec.Frames(["2005"], composite="latest", least=np.int64(2)).recipe() == {
        "windows": ["2005"], "composite": "latest", "least": 2,
    }  # fmt: skip
    assert ec.Frames("each").recipe() == {"windows": "each", "composite": "median", "least": 1}
    assert ec.Frames(before="1Y", otherwise="2007-01-01").recipe() == {
        "before": "1Y", "every": None, "otherwise": "2007-01-01", "composite": "median", "least": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        ec.Frames(["2005", "2006-02", "2007-03-04/2007-03-06"]),
        ec.Frames(["2005", "2006"]),
        ec.Frames("each"),
        ec.Frames(before="18M", every="6M", otherwise="2006-09-01"),
        ec.Frames(before="2Y"),
    ],
)
def test_days_in_any_frame_are_those_in_one_of_them(how):
    treated = ["2006-05-31", "2007-01-01", "2008-02-29" if how.otherwise is None else None]
    imagery = np.arange("2004-06-01", "2008-06-01", 9, dtype="datetime64[D]")
    found = how.for_keys(units(treated), np.array(["u0", "u1", "u2"]), imagery[::50])
    for rows in (slice(None), slice(1, 3), np.array([2, 0])):
        expected = found.within(rows, imagery).any(axis=1)
        np.testing.assert_array_equal(found.covering(rows, imagery), expected)
        assert expected.any()
        assert not expected.all()
