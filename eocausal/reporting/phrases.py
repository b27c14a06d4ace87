"""Parts of sentences on a number: the number with its interval, and whether it can be told from zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.reporting.tables import decimals_for, interval, number

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

__all__ = ["first_of", "from_zero", "with_interval"]


def with_interval(value: float, error: float, low: float, high: float, *, covers: str = "") -> str:
    """Return a number with its 95% interval.

    Examples
    --------
    >>> with_interval(0.4211, 0.1, 0.2251, 0.6171)
    '0.42 (95% interval 0.23 to 0.62)'
    >>> with_interval(-0.4211, 0.1, -0.6171, -0.2251, covers="for all at once")
    '−0.42 (95% interval for all at once −0.62 to −0.23)'
    """
    decimals = decimals_for([error])
    name = " ".join(part for part in ("95% interval", covers) if part)
    return f"{number(value, decimals)} ({name} {interval(low, high, decimals)})"


def first_of(estimate: Estimate, place: int = 0) -> tuple[float, float, float, float]:
    """Return value, standard error and bounds of one term of an estimate."""
    low, high = np.asarray(estimate.ci()).reshape(-1, 2)[place]
    error = float(np.sqrt(estimate.variance.matrix[place, place]))
    return float(estimate.values[place]), error, float(low), float(high)


def from_zero(low: float, high: float, *, above: str, below: str, neither: str) -> str:
    """Return which of three things may be said of an interval.

    Examples
    --------
    >>> from_zero(0.1, 0.2, above="it helps", below="it harms", neither="nothing is shown")
    'it helps'
    """
    if low > 0:
        return above
    return below if high < 0 else neither
