"""Ratios of two estimates, and the interval of Fieller, which holds for small denominators. Pure arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class FiellerSet(NamedTuple):
    """All ratios that a test does not reject.

    Attributes
    ----------
    low, high : float
        Ends of the set. Of ``rays`` those of the gap: all up to ``low`` and all from ``high`` on.
    kind : {"interval", "rays", "line"}
        ``interval`` where the denominator can be told from zero; else two rays, or all numbers.
    """

    low: float
    high: float
    kind: str

    def holds(self, value: float) -> bool:
        """Tell whether a ratio is in the set."""
        if self.kind == "line":
            return True
        inside = self.low <= value <= self.high
        return inside if self.kind == "interval" else value <= self.low or value >= self.high


def ratio_loadings(top: float, bottom: float) -> FloatArray:
    """Return by how much a ratio moves with its numerator and denominator (2, 1).

    Examples
    --------
    >>> ratio_loadings(3.0, 2.0).ravel().tolist()
    [0.5, -0.75]
    """
    return np.array([[1 / bottom], [-top / bottom**2]])


def fieller(top: float, bottom: float, matrix: FloatArray, *, critical: float) -> FiellerSet:
    """Return the ratios ``t`` for which ``top - t bottom`` is within ``critical`` standard errors of zero.

    Parameters
    ----------
    top, bottom : float
    matrix : array of shape (2, 2)
        Their covariance.
    critical : float
        Quantile of the t distribution.

    Notes
    -----
    Fieller (1954), Some problems in interval estimation, JRSS B 16. The interval covers whatever the denominator
    is, which that of the delta method does not.

    Examples
    --------
    >>> found = fieller(1.0, 2.0, np.diag([0.01, 0.04]), critical=2.0)
    >>> found.kind, round(found.low, 4), round(found.high, 4)
    ('interval', 0.375, 0.6667)
    """
    squared = critical**2
    by_square = bottom**2 - squared * matrix[1, 1]
    by_one = top * bottom - squared * matrix[0, 1]
    alone = top**2 - squared * matrix[0, 0]
    inside = by_one**2 - by_square * alone
    if by_square == 0 or (by_square < 0 and inside <= 0):
        return FiellerSet(-np.inf, np.inf, "line")
    ends = sorted([(by_one - np.sqrt(inside)) / by_square, (by_one + np.sqrt(inside)) / by_square])
    return FiellerSet(float(ends[0]), float(ends[1]), "interval" if by_square > 0 else "rays")
