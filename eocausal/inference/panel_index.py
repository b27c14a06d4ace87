"""Which unit and which period each row of a panel is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eocausal._checks import require_one_kind
from eocausal.errors import EstimationError, explain

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class PanelIndex:
    """Unit and period of each row of a panel.

    Parameters
    ----------
    unit : array of shape (n,)
        Labels of units: all numbers, or all text.
    period : array of shape (n,)
        Numbers of periods, such as years. How far apart two rows are in time is the difference of their numbers,
        not of their places in the table, so that a gap counts as a gap.
    unit_effects : int
        Coefficients of units that were fitted besides those an estimate counts. They count where rows of a unit are
        taken as independent, and not where clusters keep units whole.

    Raises
    ------
    EstimationError
        Lengths differ, a period is no finite number, labels are of several kinds, or a unit has a period twice.

    Examples
    --------
    >>> index = PanelIndex(np.array(["a", "a", "b"]), np.array([2001, 2004, 2001]))
    >>> index.period.tolist(), index.n_units
    ([2001.0, 2004.0, 2001.0], 2)
    """

    unit: Labels
    period: FloatArray
    unit_effects: int = 0

    def __post_init__(self) -> None:
        unit, period = np.asarray(self.unit), np.asarray(self.period)
        if unit.ndim != 1 or unit.shape != period.shape:
            raise EstimationError(
                explain(
                    f"unit has shape {unit.shape} and period has shape {period.shape}.",
                    rule="one of each for each row of the panel",
                )
            )
        if period.dtype.kind not in "iuf" or not np.isfinite(period.astype(float)).all():
            raise EstimationError(
                explain(
                    "period holds what is no finite number.", fix="years or numbers of periods: 2003, 2006"
                )
            )
        require_one_kind(unit, what="unit", error=EstimationError, fix="unit.astype(str)")
        period = period.astype(float)
        _require_once(unit, period)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "period", period)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(np.unique(self.unit).size)

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """Return the index of some rows, by position or by a boolean array."""
        return type(self)(self.unit[rows], self.period[rows], self.unit_effects)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {
            "unit": self.unit.tolist(),
            "period": self.period.tolist(),
            "unit_effects": self.unit_effects,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        return cls(
            np.array(content["unit"]), np.array(content["period"], dtype=float), content["unit_effects"]
        )


def _require_once(unit: Labels, period: FloatArray) -> None:
    codes = np.unique(unit, return_inverse=True)[1]
    order = np.lexsort((period, codes))
    again = (np.diff(codes[order]) == 0) & (np.diff(period[order]) == 0)
    if again.any():
        rows = order[1:][again]
        where = [f"{unit[row]} in {period[row]:g}" for row in rows[:5]]
        raise EstimationError(
            explain(
                f"{rows.size} rows have a unit and a period that another row has.",
                where=where,
                rule="one row for each unit and period",
            )
        )
