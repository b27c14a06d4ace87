"""Periods by their value: which step of an even grid each one is, and which steps nobody has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import DesignError, explain

FloatArray = npt.NDArray[np.float64]
Steps = npt.NDArray[np.intp]

# Whole numbers in this range are taken to be years of the calendar, which days of images can be compared with.
YEARS = (1900, 2100)
# Names, by version of pandas, of Periods that are years of the calendar; their numbers count from 1970.
CALENDAR_YEARS = ("Y-DEC", "A-DEC")
FIRST_YEAR = 1970


@dataclass(frozen=True)
class Grid:
    """An even grid of periods.

    Attributes
    ----------
    first : float
        The first period that there is.
    step : float
        The largest number that all distances between periods are multiples of.
    n_steps : int
        Steps from the first to the last period, both counted.
    frequency : str or None
        Of pandas Periods that are not years of the calendar, such as ``"Q-DEC"``: what their numbers count.
    """

    first: float
    step: float
    n_steps: int
    frequency: str | None = None

    def steps_of(self, periods: FloatArray) -> Steps:
        """Return the step (n,) that each period is.

        Examples
        --------
        >>> Grid(2003.0, 3.0, 4).steps_of(np.array([2012.0, 2003.0])).tolist()
        [3, 0]
        """
        return np.rint((np.asarray(periods) - self.first) / self.step).astype(np.intp)

    def value_of(self, step: int) -> float:
        """Return the period at a step."""
        return self.first + self.step * step

    def text(self, step: int) -> str:
        """Return the period at a step as it is printed."""
        return period_text(self.value_of(step), self.frequency)

    def missing(self, periods: FloatArray) -> list[float]:
        """Return periods of the grid that no unit has."""
        there = set(self.steps_of(np.unique(periods)).tolist())
        return [self.value_of(step) for step in range(self.n_steps) if step not in there]

    @property
    def in_years(self) -> bool:
        """Whether the periods look like years of the calendar."""
        return (
            self.frequency is None and YEARS[0] <= self.first and self.value_of(self.n_steps - 1) <= YEARS[1]
        )


def grid_of(periods: FloatArray, frequency: str | None = None) -> Grid:
    """Return the widest even grid that holds all periods, which are whole numbers.

    Examples
    --------
    >>> grid_of(np.array([2003.0, 2012.0, 2006.0]))
    Grid(first=2003.0, step=3.0, n_steps=4, frequency=None)
    """
    distinct = np.unique(periods)
    step = float(np.gcd.reduce(np.diff(distinct).astype(np.int64))) if distinct.size > 1 else 1.0
    return Grid(float(distinct[0]), step, round((distinct[-1] - distinct[0]) / step) + 1, frequency)


def frequency_of(column: pd.Series) -> str | None:
    """Return what the numbers of pandas Periods count, None for other columns and for years of the calendar.

    Examples
    --------
    >>> frequency_of(pd.Series(pd.PeriodIndex(["2003Q1"], freq="Q")))
    'Q-DEC'
    """
    if not isinstance(column.dtype, pd.PeriodDtype):
        return None
    # the name of the frequency itself is one that offsets take and Periods do not
    frequency = column.dtype.name.removeprefix("period[").removesuffix("]")
    return None if frequency in CALENDAR_YEARS else frequency


def read_periods(column: pd.Series, ids: npt.NDArray[np.object_]) -> FloatArray:
    """Return periods as whole numbers: those of a numeric column, or years or ordinals of pandas Periods."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise DesignError(
            explain(
                f"Period {column.name!r} is missing in some rows.",
                where=ids[missing],
                fix=f"data = data.dropna(subset=[{column.name!r}])",
            )
        )
    if isinstance(column.dtype, pd.PeriodDtype):
        first = FIRST_YEAR if frequency_of(column) is None else 0
        return np.asarray(column.array.asi8, dtype=float) + first
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    values = column.to_numpy(dtype=float) if numeric else np.full(len(column), np.nan)
    whole = np.isfinite(values) & (values == np.rint(values))
    if whole.all():
        return values
    fix = f"data[{column.name!r}] = data[{column.name!r}].astype(int)"
    if pd.api.types.is_datetime64_any_dtype(column):
        fix = f"data[{column.name!r}] = data[{column.name!r}].dt.year, or .dt.to_period('Q')"
    raise DesignError(
        explain(
            f"Period {column.name!r} is not in whole numbers.",
            where=[f"{value!r}" for value in column[~whole].head(5).tolist()],
            rule="whole numbers whose differences are distances in time (years, rounds), or pandas Periods",
            fix=fix,
        )
    )


def period_text(value: float, frequency: str | None = None) -> str:
    """Return a period as it is printed.

    Examples
    --------
    >>> period_text(2003.0), period_text(132.0, "Q-DEC")
    ('2003', '2003Q1')
    """
    return f"{value:.0f}" if frequency is None else str(pd.Period(ordinal=int(value), freq=frequency))


def row_names(
    unit: npt.NDArray[np.generic], period: FloatArray, frequency: str | None
) -> npt.NDArray[np.str_]:
    """Return the names (n,) of rows of a panel: unit and period.

    Examples
    --------
    >>> row_names(np.array(["a", "a"]), np.array([2003.0, 2006.0]), None).tolist()
    ['a 2003', 'a 2006']
    """
    distinct, codes = np.unique(period, return_inverse=True)
    texts = [period_text(one, frequency) for one in distinct.tolist()]
    return np.array([f"{one} {texts[code]}" for one, code in zip(unit, codes)])
