"""The day that each frame of chips stands for, for networks that are told it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from eocausal.errors import EncoderError, explain
from eocausal.specs._periods import period_of

__all__ = ["LONGEST", "days_of"]

LONGEST = 92
"""Days that a frame may cover to stand for one of them: a season. A year has no month."""
_BEFORE = re.compile(r"-\d+[YMD]")


def days_of(frames: Sequence[str], date: str | None, *, encoder: str) -> tuple[datetime.date, ...]:
    """Return the middle day of each frame, or the date of chips that are one picture each.

    Parameters
    ----------
    frames : sequence of str
        Names of the frames: periods of the calendar such as ``2005-06``; one empty name where there are none.
    date : str, optional
        Day of the chips, ISO 8601; it counts where there are no frames.
    encoder : str
        Its name, for the error.

    Raises
    ------
    EncoderError
        When no day is known, frames are of another day for each unit, or one covers more than a season.

    Examples
    --------
    >>> [str(day) for day in days_of(["2005-06", "2005-09-01/2005-11-30"], None, encoder="mine")]
    ['2005-06-15', '2005-10-16']
    >>> [str(day) for day in days_of([""], "2007-06-30", encoder="mine")]
    ['2007-06-30']
    """
    names = [date or ""] if tuple(frames) == ("",) else list(frames)
    months = 'months or seasons of the calendar: ec.Frames(["2005-06", "2005-09-01/2005-11-30"])'
    each = [name for name in names if _BEFORE.fullmatch(name)]
    if each:
        what = "and these are counted back from each unit's treatment"
        text = f"Encoder {encoder!r} is told the month of each frame, {what}."
        rule = "the same frame is of other months for other units"
        raise EncoderError(explain(text, where=each, rule=rule, fix=months))
    periods = [period_of(name) for name in names]
    unknown = [name or "the only one" for name, period in zip(names, periods) if period is None]
    if unknown:
        text = (
            f"Encoder {encoder!r} is told the month of each frame, and the chips do not say the day of some."
        )
        fix = f'date="2007-06-30" where chips are made, or {months}'
        raise EncoderError(explain(text, where=unknown, fix=fix))
    spans = [period for period in periods if period is not None]
    long = [name for name, (first, last) in zip(names, spans) if (last - first).days >= LONGEST]
    if long:
        text = f"Encoder {encoder!r} is told the month of each frame, and frames cover more than a season."
        raise EncoderError(explain(text, where=long, rule=f"a frame of at most {LONGEST} days", fix=months))
    return tuple(first + (last - first) // 2 for first, last in spans)
