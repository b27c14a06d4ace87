"""Effects that a test under hidden bias does not reject: estimates and limits by how large the bias may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eocausal.sensitivities.signed_rank_bounds import Extremes

# Share of the range of effects to which a limit is found, and the most steps that halve a range of gamma.
PRECISION = 1e-10
HALVINGS = 60
# The largest odds ratio that is looked at.
LARGEST_GAMMA = 1e6
# Odds ratios of a confounder with treatment, as multiples of gamma.
TIMES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

# A test of an effect and a gamma: the statistic of outcomes with the effect taken off, and its extremes.
Compare = Callable[[float, float], Extremes]


@dataclass(frozen=True)
class ByGamma:
    """What the data allow where hidden bias is at most gamma.

    Attributes
    ----------
    estimate_low, estimate_high : float
        Smallest and largest Hodges-Lehmann estimate of an effect that is the same for all; NaN where there is none.
    conf_low, conf_high : float
        Limits of the two-sided interval.
    """

    estimate_low: float
    estimate_high: float
    conf_low: float
    conf_high: float


def largest_p(compare: Compare, gamma: float) -> float:
    """Return the largest one-sided p-value of no effect."""
    from scipy.stats import norm

    return float(norm.sf(compare(0.0, gamma).above_most))


def by_gamma(compare: Compare, gamma: float, *, span: tuple[float, float], level: float) -> ByGamma:
    """Return estimates and limits at a gamma.

    Parameters
    ----------
    compare : callable
        Effect and gamma in, extremes out.
    gamma : float
    span : tuple of float
        Effects below and above which all comparisons within strata have one sign.
    level : float
    """
    from scipy.stats import norm

    z = float(norm.isf((1 - level) / 2))

    def crossing(value: Callable[[Extremes], float]) -> float:
        return _crossing(lambda effect: value(compare(effect, gamma)), span)

    return ByGamma(
        crossing(lambda found: found.statistic - found.most),
        crossing(lambda found: found.statistic - found.least),
        crossing(lambda found: found.above_most - z),
        crossing(lambda found: found.above_least + z),
    )


def estimate_alone(compare: Compare, *, span: tuple[float, float]) -> float:
    """Return the Hodges-Lehmann estimate without hidden bias."""

    def over(effect: float) -> float:
        found = compare(effect, 1.0)
        return found.statistic - found.most

    return float(_crossing(over, span))


def gamma_at(largest: Callable[[float], float], alpha: float) -> float:
    """Return the gamma at which a p-value, increasing in gamma, passes alpha; 1 where it is above from the start.

    Examples
    --------
    >>> round(gamma_at(lambda gamma: 1 - 1 / gamma, 0.5), 6)
    2.0
    """
    if largest(1.0) > alpha:
        return 1.0
    low, high = 0.0, float(np.log(LARGEST_GAMMA))
    if largest(LARGEST_GAMMA) <= alpha:
        return float("inf")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if largest(float(np.exp(middle))) > alpha else (middle, high)
        if high - low < 1e-10:
            break
    return float(np.exp(low))


def equal_amplification(gamma: float) -> float:
    """Return by how much a confounder must multiply both the odds of treatment and of a higher outcome.

    ``gamma = (a b + 1) / (a + b)`` at ``a = b`` (Rosenbaum and Silber 2009, JASA 104).

    Examples
    --------
    >>> equal_amplification(1.25)
    2.0
    """
    return float(gamma + np.sqrt(gamma**2 - 1))


def amplification(gamma: float) -> pd.DataFrame:
    """Return odds ratios with treatment and with the outcome that a confounder needs for a gamma."""
    if gamma <= 1 or not np.isfinite(gamma):
        return pd.DataFrame({"odds_treatment": np.zeros(0), "odds_outcome": np.zeros(0)})
    treatment = np.sort([*(gamma * time for time in TIMES), equal_amplification(gamma)])
    return pd.DataFrame(
        {"odds_treatment": treatment, "odds_outcome": (gamma * treatment - 1) / (treatment - gamma)}
    )


def _crossing(falls: Callable[[float], float], span: tuple[float, float]) -> float:
    """Return where a function that falls in steps passes zero; the middle of where it is zero."""
    low, high = span
    # zero up to rounding counts as zero
    slack = 1e-9 * max(abs(falls(low)), abs(falls(high)), 1e-300)
    upper = _boundary(lambda effect: falls(effect) > slack, low, high)
    if not np.isfinite(upper):
        return upper
    width = max(high - low, np.finfo(float).tiny)
    if falls(upper + 1e3 * PRECISION * width) < -slack:
        return upper
    lower = _boundary(lambda effect: falls(effect) >= -slack, low, high)
    return (upper + lower) / 2 if np.isfinite(lower) else lower


def _boundary(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the largest effect up to which something holds; infinite where it holds everywhere or nowhere."""
    if not holds(low):
        return -np.inf
    if holds(high):
        return np.inf
    width = high - low
    while high - low > PRECISION * width:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2
