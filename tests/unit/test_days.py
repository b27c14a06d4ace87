"""The day that a frame stands for: told, in the middle of a season, or refused."""

from __future__ import annotations

import datetime

import pytest

from eocausal.encoding._days import LONGEST, days_of
from eocausal.errors import EncoderError


@pytest.mark.parametrize(("frames", "date", "days"), [
    ([""], "2007-06-30", ["2007-06-30"]),
    (["2007-06-30"], "1999-01-01", ["2007-06-30"]),
    (["2005-02", "2005-04"], None, ["2005-02-14", "2005-04-15"]),
    (["2005-06-01/2005-08-31"], None, ["2005-07-16"]),
    (["2004-12-31/2005-01-01", "2005-01-02"], None, ["2004-12-31", "2005-01-02"]),
])  # fmt: skip
def test_the_middle_of_each_frame(frames, date, days):
    assert [str(day) for day in days_of(frames, date, encoder="mine")] == days


@pytest.mark.parametrize(("frames", "date", "words"), [
    ([""], None, r"chips do not say the day of some[\s\S]*the only one[\s\S]*date=\"2007-06-30\""),
    (["2005-06", ""], "2005-06-30", r"do not say the day of some[\s\S]*1 \(the only one\)"),
    (["wet", "dry"], "2005-06-30", r"do not say the day of some[\s\S]*2 \(wet, dry\)"),
    (["-2Y", "-1Y"], None, r"counted back from each unit's treatment[\s\S]*other months for other units"),
    (["-18M"], "2005-06-30", "counted back from each unit's treatment"),
    (["2005"], None, r"cover more than a season[\s\S]*1 \(2005\)[\s\S]*at most 92 days"),
    (["2005-06", "2006-01/2006-04"], None, r"more than a season[\s\S]*1 \(2006-01/2006-04\)"),
])  # fmt: skip
def test_frames_without_a_month_are_refused(frames, date, words):
    with pytest.raises(EncoderError, match=words):
        days_of(frames, date, encoder="mine")


def test_a_frame_as_long_as_may_be():
    first = datetime.date(2005, 1, 1)
    last, after = (first + datetime.timedelta(days=LONGEST + more) for more in (-1, 0))
    assert days_of([f"{first}/{last}"], None, encoder="mine") == (datetime.date(2005, 2, 15),)
    with pytest.raises(EncoderError, match="more than a season"):
        days_of([f"{first}/{after}"], None, encoder="mine")
