"""E-values: how strongly an unseen confounder must go with treatment and outcome, as risk ratios. Pure formulas.

VanderWeele and Ding (2017), Annals of Internal Medicine 167. A confounder whose risk ratio with the treatment
is ``a`` and with the outcome ``b`` can move a risk ratio by at most ``a b / (a + b - 1)`` (Ding and VanderWeele
2016, Epidemiology 27); the E-value is the ``a = b`` at which that is enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Log of the risk ratio for one standard deviation of a continuous outcome (Chinn 2000; VanderWeele and Ding 2017).
LOG_RATIO_PER_SD = 0.91


class Ratio(NamedTuple):
    """A ratio with its limits."""

    value: float
    low: float = np.nan
    high: float = np.nan


class EValue(NamedTuple):
    """E-values of an estimate and of the limit of its interval that is nearer to the null."""

    point: float
    limit: float


def evalue_of_ratio(ratio: float, null: float = 1.0) -> float:
    """Return the E-value of a risk ratio: the joint strength at which it could be ``null`` in truth.

    Examples
    --------
    >>> round(evalue_of_ratio(3.9), 6), round(evalue_of_ratio(0.8), 7)
    (7.263034, 1.809017)
    """
    away = ratio / null
    away = away if away >= 1 else 1 / away
    return float(away + np.sqrt(away * (away - 1)))


def evalue_of_interval(ratio: Ratio, null: float = 1.0) -> EValue:
    """Return the E-values of a risk ratio and of its limit nearer to ``null``; 1 where the interval holds that.

    Examples
    --------
    >>> evalue_of_interval(Ratio(3.9, 1.8, 8.7))
    EValue(point=7.263..., limit=3.0)
    """
    point = evalue_of_ratio(ratio.value, null)
    if ratio.low <= null <= ratio.high:
        return EValue(point, 1.0)
    return EValue(point, evalue_of_ratio(ratio.low if ratio.value > null else ratio.high, null))


def of_odds(odds_ratio: float, *, rare: bool = False) -> float:
    """Return the risk ratio that an odds ratio stands for: its root, or itself where the outcome is rare."""
    return float(odds_ratio if rare else np.sqrt(odds_ratio))


def of_hazards(hazard_ratio: float, *, rare: bool = False) -> float:
    """Return the risk ratio that a hazard ratio stands for, where more than 15% have the outcome, or where few do.

    Examples
    --------
    >>> round(of_hazards(0.56), 6)
    0.670084
    """
    if rare:
        return float(hazard_ratio)
    return float((1 - 0.5 ** np.sqrt(hazard_ratio)) / (1 - 0.5 ** np.sqrt(1 / hazard_ratio)))


def of_difference(difference: float, sd: float) -> float:
    """Return the risk ratio that a difference of means stands for, about: ``exp(0.91 difference / sd)``.

    Examples
    --------
    >>> round(of_difference(0.5, 1.0), 6)
    1.576173
    """
    return float(np.exp(LOG_RATIO_PER_SD * difference / sd))


def moved_by(treatment: FloatArray | float, outcome: FloatArray | float) -> FloatArray:
    """Return the factor by which a confounder of these two risk ratios can move a risk ratio at most."""
    a, b = np.asarray(treatment, dtype=float), np.asarray(outcome, dtype=float)
    return np.asarray(a * b / (a + b - 1))


def enough_with(treatment: FloatArray, factor: float) -> FloatArray:
    """Return the risk ratio with the outcome that is enough to move by ``factor``, at each with the treatment.

    Examples
    --------
    >>> enough_with(np.array([2.0, 3.0]), 1.5).tolist()
    [3.0, 2.0]
    """
    a = np.asarray(treatment, dtype=float)
    return np.asarray(factor * (a - 1) / (a - factor))
