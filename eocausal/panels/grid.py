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
    """

    first: float
    step: float
    n_steps: int

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

    def missing(self, periods: FloatArray) -> list[float]:
        """Return periods of the grid that no unit has."""
        there = set(self.steps_of(np.unique(periods)).tolist())
        return [self.value_of(step) for step in range(self.n_steps) if step not in there]

    @property
    def in_years(self) -> bool:
        """Whether the periods look like years of the calendar."""
        return YEARS[0] <= self.first and self.value_of(self.n_steps - 1) <= YEARS[1]


def grid_of(periods: FloatArray) -> Grid:
    """Return the widest even grid that holds all periods, which are whole numbers.

    Examples
    --------
    >>> grid_of(np.array([2003.0, 2012.0, 2006.0]))
    Grid(first=2003.0, step=3.0, n_steps=4)
    """
    distinct = np.unique(periods)
    step = float(np.gcd.reduce(np.diff(distinct).astype(np.int64))) if distinct.size > 1 else 1.0
    return Grid(float(distinct[0]), step, round((distinct[-1] - distinct[0]) / step) + 1)


def read_periods(column: pd.Series, ids: npt.NDArray[np.object_]) -> FloatArray:
    """Return periods as whole numbers: those of a numeric column, or the ordinals of pandas Periods."""
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
        return np.asarray(column.array.asi8, dtype=float)
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


def period_text(value: float) -> str:
    """Return a period as it is printed.

    Examples
    --------
    >>> period_text(2003.0)
    '2003'
    """
    return f"{value:.0f}"
