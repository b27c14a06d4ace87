"""Periods of the calendar and lengths of time, as specifications write them."""

from __future__ import annotations

import calendar
import re
from datetime import date

__all__ = ["EACH", "PERIOD", "length_of", "period_of"]

EACH = "each"
PERIOD = "a year, month or day such as 2005, 2005-06 or 2005-06-30, or two of them with / between"
_PART = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_LENGTH = re.compile(r"([1-9]\d{0,3})([YMD])")


def period_of(text: str) -> tuple[date, date] | None:
    """Return the first and the last day of a period; None when the text is none.

    Examples
    --------
    >>> [str(day) for day in period_of("2004-02")]
    ['2004-02-01', '2004-02-29']
    >>> [str(day) for day in period_of("2005/2007-03-01")]
    ['2005-01-01', '2007-03-01']
    >>> period_of("2005-13") is period_of("2006/2005") is None
    True
    """
    parts = text.split("/")
    ends = [_days(part) for part in parts]
    first, last = ends[0], ends[-1]
    if len(parts) > 2 or first is None or last is None or first[0] > last[1]:
        return None
    return first[0], last[1]


def _days(part: str) -> tuple[date, date] | None:
    found = _PART.fullmatch(part)
    if found is None:
        return None
    year, month, day = (None if number is None else int(number) for number in found.groups())
    try:
        first = date(year or 0, month or 1, day or 1)
    except ValueError:
        return None
    if day is not None:
        return first, first
    end = month or 12
    return first, date(first.year, end, calendar.monthrange(first.year, end)[1])


def length_of(text: str) -> tuple[int, str] | None:
    """Return a length of time as a number of months or of days; None when the text is none.

    Examples
    --------
    >>> length_of("3Y"), length_of("18M"), length_of("90D"), length_of("3 years")
    ((36, 'M'), (18, 'M'), (90, 'D'), None)
    """
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    number, unit = int(found[1]), found[2]
    return (number, "D") if unit == "D" else (number * (12 if unit == "Y" else 1), "M")
