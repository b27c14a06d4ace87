"""Standardised mean differences. Pure arrays, shared by balance tables and weighted estimators."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def standardised_differences(
    columns: FloatArray,
    treatment: FloatArray,
    *,
    weights: FloatArray,
    base_weights: FloatArray | None = None,
) -> FloatArray:
    """Return the standardised mean difference of each column, treated minus control.

    The denominator is the pooled standard deviation ``sqrt((s1^2 + s0^2) / 2)`` before weighting (with
    ``base_weights``), so that weighting cannot shrink the difference by changing the yardstick (Austin 2009,
    Statistics in Medicine 28). A column that varies in neither arm has difference 0 when its means agree, else
    infinite.

    Parameters
    ----------
    columns : array of shape (n, p)
    treatment : array of shape (n,)
    weights : array of shape (n,)
        Weights of the comparison.
    base_weights : array of shape (n,), optional
        Weights of the yardstick; default all equal.

    Returns
    -------
    array of shape (p,)

    Examples
    --------
    >>> x = np.array([[0.0], [2.0], [1.0], [3.0]])
    >>> standardised_differences(x, np.array([0.0, 0, 1, 1]), weights=np.ones(4)).tolist()
    [0.707...]
    """
    # measured from the first unit, so that rounding makes no difference out of a constant column
    columns = columns - columns[0]
    base = np.ones(treatment.size) if base_weights is None else base_weights
    gap = np.zeros(columns.shape[1])
    pooled = np.zeros(columns.shape[1])
    for sign, arm in ((1.0, treatment == 1), (-1.0, treatment == 0)):
        gap += sign * np.average(columns[arm], axis=0, weights=weights[arm])
        pooled += weighted_variance(columns[arm], base[arm]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = gap / np.sqrt(pooled)
    return np.where((pooled == 0) & (np.abs(gap) < 1e-12), 0.0, smd)


def weighted_variance(columns: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the variance of each column with reliability weights; ``ddof=1`` when the weights are equal."""
    share = weights / weights.sum()
    shifted = columns - columns[0]  # exactly zero where a column is constant
    centred = shifted - share @ shifted
    return np.asarray(share @ centred**2 / (1 - share @ share))
