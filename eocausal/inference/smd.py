"""Differences between two arms, column by column: means, spreads, distributions. Pure arrays, with weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Whose standard deviation a difference is measured in, by the average effect that is asked for: the share of the
# treated in the variance. Averages of both arms take the mean of both variances.
YARDSTICKS = {"ate": 0.5, "att": 1.0, "atc": 0.0, "ato": 0.5}


def standardised_differences(
    columns: FloatArray,
    treatment: FloatArray,
    *,
    weights: FloatArray,
    base_weights: FloatArray | None = None,
    estimand: str = "ate",
) -> FloatArray:
    """Return the standardised mean difference of each column, treated minus control.

    The denominator is fixed before weighting (with ``base_weights``), so that weighting cannot shrink the
    difference by changing the yardstick: the pooled standard deviation ``sqrt((s1^2 + s0^2) / 2)`` for the ``ate``
    and the ``ato``, that of the treated for the ``att`` and of the controls for the ``atc`` (Austin 2009,
    Statistics in Medicine 28; Stuart 2010, Statistical Science 25). A column that does not vary has difference 0
    when its means agree, else infinite.

    Parameters
    ----------
    columns : array of shape (n, p)
    treatment : array of shape (n,)
    weights : array of shape (n,)
        Weights of the comparison; zero leaves a unit out of it.
    base_weights : array of shape (n,), optional
        Weights of the yardstick; default all equal.
    estimand : {"ate", "att", "atc", "ato"}

    Returns
    -------
    array of shape (p,)

    Examples
    --------
    >>> x = np.array([[0.0], [2.0], [1.0], [5.0]])
    >>> arms, alike = np.array([0.0, 0, 1, 1]), np.ones(4)
    >>> standardised_differences(x, arms, weights=alike).tolist()
    [0.894...]
    >>> standardised_differences(x, arms, weights=alike, estimand="att").tolist()
    [0.707...]
    """
    # measured from the first unit, so that rounding makes no difference out of a constant column
    columns = columns - columns[0]
    base = np.ones(treatment.size) if base_weights is None else base_weights
    gap = np.zeros(columns.shape[1])
    spread = np.zeros(columns.shape[1])
    of_treated = YARDSTICKS[estimand]
    for sign, share, arm in ((1.0, of_treated, treatment == 1), (-1.0, 1 - of_treated, treatment == 0)):
        gap += sign * np.average(columns[arm], axis=0, weights=weights[arm])
        if share:
            spread += share * weighted_variance(columns[arm], base[arm])
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = gap / np.sqrt(spread)
    return np.where((spread == 0) & (np.abs(gap) < 1e-12), 0.0, smd)


def weighted_variance(columns: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the variance of each column with reliability weights; ``ddof=1`` when the weights are equal."""
    share = weights / weights.sum()
    shifted = columns - columns[0]  # exactly zero where a column is constant
    centred = shifted - share @ shifted
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(share @ centred**2 / (1 - share @ share))


def variance_ratios(columns: FloatArray, treatment: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted variance of the treated over that of the controls, by column.

    Examples
    --------
    >>> x = np.array([[0.0], [2.0], [1.0], [5.0]])
    >>> variance_ratios(x, np.array([0.0, 0, 1, 1]), np.ones(4)).tolist()
    [4.0]
    """
    centred = columns - columns[0]
    treated, control = (
        weighted_variance(centred[arm], weights[arm]) for arm in (treatment == 1, treatment == 0)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(treated / control)


def weighted_ks(columns: FloatArray, treatment: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the largest gap between the weighted distribution functions of the arms, by column.

    The two-sample Kolmogorov-Smirnov statistic, between 0 and 1. Of a column of 0 and 1 it is the absolute
    difference of the shares.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [1.0], [1.0]])
    >>> weighted_ks(x, np.array([0.0, 0, 1, 1]), np.ones(4)).tolist()
    [0.5]
    >>> weighted_ks(x, np.array([0.0, 0, 1, 1]), np.array([1.0, 3.0, 1.0, 1.0])).tolist()
    [0.25]
    """
    treated = treatment == 1
    signed = np.where(treated, weights / weights[treated].sum(), -weights / weights[~treated].sum())
    return np.array([_largest_gap(column, signed) for column in columns.T])


def _largest_gap(column: FloatArray, signed: FloatArray) -> float:
    order = np.argsort(column, kind="stable")
    climbed = np.abs(np.cumsum(signed[order]))
    last_of_ties = np.r_[np.diff(column[order]) != 0, True]
    # at the end both distributions are 1, whatever rounding says
    last_of_ties[-1] = False
    return float(climbed[last_of_ties].max(initial=0.0))


def effective_size(weights: FloatArray) -> float:
    """Return how many equally weighted units carry as much information: ``(sum of w)^2 / sum of w^2``.

    Examples
    --------
    >>> effective_size(np.array([1.0] * 10 + [3.0] * 10))
    16.0
    """
    return float(weights.sum() ** 2 / (weights**2).sum())
