"""Which days make a picture: periods of the calendar, or of the time before each unit's treatment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.errors import ImageryError, explain
from eocausal.imagery.composite import COMPOSITES

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["FrameWindows", "Frames"]

Days = npt.NDArray[np.datetime64]

EACH = "each"
_DURATION = re.compile(r"([1-9]\d{0,3})([YMD])")
_MONTHS = {"Y": 12, "M": 1}
# What a date of so many characters counts in.
_UNITS = {4: "Y", 7: "M", 10: "D"}
# Longer sequences than this are a slip of the pen: ten years of days.
_MOST_FRAMES = 3660


@dataclass(frozen=True)
class Frames:
    """The pictures of a sequence: which days each is made of, and how.

    Parameters
    ----------
    windows : "each", or sequence of str, optional
        ``"each"``: every day with imagery is a frame. Or periods, ISO 8601 and in order: a year (``2005``), a
        month (``2005-06``), a day, or the first and last of them (``2005-06-01/2005-08-31``), both included.
    before : str, optional
        Instead: the time before each unit's treatment that the frames cover, such as ``3Y``, ``18M`` or
        ``90D``. The day of treatment is never in it.
    every : str, optional
        With ``before``: what one frame covers; ``before`` is a multiple of it. Default: all in one.
    otherwise : str, optional
        With ``before``: the day that stands in for the treatment of units that never had it.
    composite : {"median", "latest", "earliest"}
        How several days of a frame become one picture: the median of clear pixels band by band, or the last
        or first clear pixel.
    least : int
        Clear observations that a pixel of a frame needs; with fewer it is not valid.

    Raises
    ------
    ImageryError
        When periods cannot be read, overlap or are out of order, or arguments do not go together.

    Examples
    --------
    >>> Frames(["2005", "2006"]).names
    ('2005', '2006')
    >>> Frames(before="3Y", every="1Y").names
    ('-3Y', '-2Y', '-1Y')
    """

    windows: str | Sequence[str] | None = None
    _: KW_ONLY
    before: str | None = None
    every: str | None = None
    otherwise: str | None = None
    composite: str = "median"
    least: int = 1

    def __post_init__(self) -> None:
        if (self.windows is None) == (self.before is None):
            fix = 'Frames(["2005", "2006"]), Frames("each"), or Frames(before="3Y", every="1Y")'
            raise ImageryError(explain("Give exactly one of windows and before=.", fix=fix))
        one_of(self.composite, COMPOSITES, argument="composite", error=ImageryError)
        least = whole_number(self.least, argument="least", error=ImageryError, least=1)
        object.__setattr__(self, "least", least)
        if self.before is not None:
            _steps(self.before, self.every)
            _day_or_none(self.otherwise, "otherwise")
            return
        for name in ("every", "otherwise"):
            if getattr(self, name) is not None:
                raise ImageryError(explain(f"{name}= goes with before= only.", fix="Leave it out."))
        object.__setattr__(self, "windows", _listed(self.windows))

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the frames; None when each day is one."""
        if self.before is not None:
            count, step, unit = _steps(self.before, self.every)
            return tuple(f"-{(count - number) * step}{unit}" for number in range(count))
        return None if self.windows == EACH else tuple(self.windows or ())

    def for_keys(self, units: Units, keys: npt.NDArray[Any], days: Days) -> FrameWindows:
        """Return the days of each frame for each image key, given all days that have imagery.

        Raises
        ------
        ImageryError
            When frames before treatment are asked of units without a day of treatment.
        """
        if self.before is not None:
            return self._before(units, keys)
        periods = (
            [(day, day + 1) for day in np.unique(days)]
            if self.windows == EACH
            else [period(text) for text in self.windows or ()]
        )
        names = self.names or tuple(str(day) for day in np.unique(days))
        starts, ends = (np.array([list(edge)], dtype="datetime64[D]") for edge in zip(*periods))
        return FrameWindows(names, starts, ends)

    def _before(self, units: Units, keys: npt.NDArray[Any]) -> FrameWindows:
        count, step, unit = _steps(str(self.before), self.every)
        # Treatments are of few days, so that a million keys need one number each.
        treated, which = np.unique(_treated_on(units, keys, self.otherwise), return_inverse=True)
        back = [(count - number) * step for number in range(count + 1)]
        edges = np.stack([_shifted(treated, amount, unit) for amount in back], axis=1)
        return FrameWindows(self.names or (), edges[:, :-1], edges[:, 1:], which.astype(np.uint32))

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        said = {"before": self.before, "every": self.every, "otherwise": self.otherwise}
        windows = list(self.windows) if isinstance(self.windows, tuple) else self.windows
        how = {"composite": self.composite, "least": self.least}
        return {**({"windows": windows} if self.before is None else said), **how}


@dataclass(frozen=True, eq=False)
class FrameWindows:
    """Days of each frame, from ``firsts`` to before ``afters``, shape (kinds of keys, frames).

    ``which`` tells the kind of each key; None where all keys are of one.
    """

    names: tuple[str, ...]
    firsts: Days
    afters: Days
    which: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def starts(self) -> Days:
        """First day of each frame, shape (keys, frames), or (1, frames) where all keys are of one kind."""
        return self._of(slice(None))[0]

    @property
    def ends(self) -> Days:
        """First day after each frame, shaped as ``starts``."""
        return self._of(slice(None))[1]

    def within(self, rows: npt.NDArray[np.integer[Any]] | slice, days: Days) -> npt.NDArray[np.bool_]:
        """Tell which days lie in which frames of some keys, shape (keys, frames, days).

        The first axis has length 1 where all keys are of one kind.
        """
        return _between(*self._of(rows), days)

    def covering(self, rows: npt.NDArray[np.integer[Any]] | slice, days: Days) -> npt.NDArray[np.bool_]:
        """Tell which days lie in any frame of some keys, shape (keys, days), or (1, days)."""
        starts, ends = self._of(rows)
        if (starts[:, 1:] == ends[:, :-1]).all():
            # one frame begins where the other ends, as those before treatment do: all are one
            starts, ends = starts[:, :1], ends[:, -1:]
        found: npt.NDArray[np.bool_] = np.asarray(_between(starts, ends, days).any(axis=1))
        return found

    def _of(self, rows: npt.NDArray[np.integer[Any]] | slice) -> tuple[Days, Days]:
        if self.which is None or len(self.firsts) == 1:
            return self.firsts, self.afters
        kinds = self.which[rows]
        return self.firsts[kinds], self.afters[kinds]


def _between(starts: Days, ends: Days, days: Days) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (days >= starts[..., None]) & (days < ends[..., None])
    return found


def period(text: str) -> tuple[np.datetime64, np.datetime64]:
    """Return the first day of a period, and the first day after it.

    Examples
    --------
    >>> [str(day) for day in period("2005-06")]
    ['2005-06-01', '2005-07-01']
    >>> [str(day) for day in period("2005/2007-03-01")]
    ['2005-01-01', '2007-03-02']
    """
    first, between, last = text.partition("/")
    start, end = _span(first, text)[0], _span(last if between else first, text)[1]
    if start >= end:
        raise ImageryError(explain(f"Period {text!r} ends before it begins."))
    return start, end


def _listed(windows: object) -> str | tuple[str, ...]:
    """Return "each", or the periods, checked."""
    if isinstance(windows, str) and windows == EACH:
        return EACH
    if isinstance(windows, Iterable) and not isinstance(windows, (str, bytes, Mapping, Set)):
        named = tuple(map(str, windows))
        if named:
            _check_order(named)
            return named
    fix = f'Frames(["{windows if isinstance(windows, str) and windows else 2005}"]), or Frames("each")'
    raise ImageryError(explain(f"windows={windows!r} is not a list of periods.", fix=fix))


def _span(text: str, whole: str) -> tuple[np.datetime64, np.datetime64]:
    if re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text):
        try:
            start = np.array(text, dtype=f"datetime64[{_UNITS[len(text)]}]")
        except ValueError:
            start = np.array("NaT", dtype="datetime64[D]")
        if not np.isnat(start):
            first, after = np.array([start, start + np.timedelta64(1)]).astype("datetime64[D]")
            return first, after
    rule = "a year, month or day such as 2005, 2005-06 or 2005-06-30, or two of them with / between"
    raise ImageryError(explain(f"{whole!r} is not a period.", rule=rule))


def _check_order(windows: tuple[str, ...]) -> None:
    periods = [period(text) for text in windows]
    for (_, end), (start, _), text in zip(periods, periods[1:], windows[1:]):
        if start < end:
            what = f"Frame {text!r} begins before the one before it has ended."
            raise ImageryError(explain(what, rule="frames are in order of time and do not overlap"))


def _steps(before: str, every: str | None) -> tuple[int, int, str]:
    """Return the number of frames, and the length of one as number and unit."""
    long, unit = _duration(before, "before")
    step, step_unit = _duration(every or before, "every")
    if {unit, step_unit} == {"Y", "M"}:
        long, step = long * _MONTHS[unit], step * _MONTHS[step_unit]
        unit = step_unit = "M"
    if unit != step_unit or long % step or long // step > _MOST_FRAMES:
        rule = f"before is a multiple of every in years, months or days, at most {_MOST_FRAMES:,} times"
        raise ImageryError(explain(f"before={before!r} cannot be parted by every={every!r}.", rule=rule))
    return long // step, step, unit


def _duration(text: object, argument: str) -> tuple[int, str]:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        rule = "a number of years, months or days: 3Y, 18M, 90D"
        raise ImageryError(explain(f"{argument}={text!r} is not a length of time.", rule=rule))
    return int(found[1]), found[2]


def _day_or_none(text: object, argument: str) -> np.datetime64 | None:
    if text is None:
        return None
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return np.datetime64(text, "D")
        except ValueError:
            pass  # such as 30 February
    raise ImageryError(explain(f"{argument}={text!r} is not a day.", rule="ISO 8601, such as 2007-06-30"))


def _treated_on(units: Units, keys: npt.NDArray[Any], otherwise: str | None) -> Days:
    """Return the day of treatment of each image key: the first of its units' days."""
    if units.dates is None:
        fix = 'read_units(..., date="treated_on")'
        raise ImageryError(explain("Frames before treatment need units with a day of treatment.", fix=fix))
    days = units.dates
    standing = _day_or_none(otherwise, "otherwise")
    absent = np.isnat(days)
    if absent.any() and standing is None:
        raise ImageryError(
            explain(
                "Units have no day of treatment that frames could come before.",
                where=units.ids[absent],
                fix='Frames(before=..., otherwise="2007-01-01"), the day that stands in for the untreated',
            )
        )
    days = np.where(absent, standing, days) if standing is not None else days
    earliest = pd.Series(days.astype("datetime64[s]")).groupby(units.image_keys).min().reindex(keys)
    return earliest.to_numpy().astype("datetime64[D]")


def _shifted(days: Days, amount: int, unit: str) -> Days:
    """Return days moved back; where a month is too short for the day, its last day.

    Examples
    --------
    >>> _shifted(np.array(["2008-02-29", "2008-05-31"], dtype="datetime64[D]"), 3, "M").astype(str).tolist()
    ['2007-11-29', '2008-02-29']
    """
    if unit == "D":
        return days - np.timedelta64(amount, "D")
    months = days.astype("datetime64[M]")
    moved = months - np.timedelta64(amount * _MONTHS[unit], "M")
    last = (moved + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
    same: Days = moved.astype("datetime64[D]") + (days - months.astype("datetime64[D]"))
    return np.minimum(same, last)
