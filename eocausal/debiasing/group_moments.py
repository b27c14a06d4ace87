"""Means of groups, the errors of sampling in them, and how predictions follow them. Pure arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


class GroupSums(NamedTuple):
    """Means of groups (G,), and variances and covariance (G,) of the errors of sampling in them."""

    n: npt.NDArray[np.intp]
    prediction: FloatArray
    truth: FloatArray
    prediction_var: FloatArray
    truth_var: FloatArray
    covariance: FloatArray


class GroupLine(NamedTuple):
    """The line ``prediction = m + k truth`` between groups.

    Attributes
    ----------
    k, m : float
    scores : array of shape (G, 2)
        Influence values of k and m.
    signal : float
        Variance of true means between groups.
    spread : float
        Variance of what predictions of groups miss of the line, without errors of sampling; may be below 0 by
        chance.
    """

    k: float
    m: float
    scores: FloatArray
    signal: float
    spread: float


def group_sums(prediction: FloatArray, truth: FloatArray, weights: FloatArray, codes: Codes) -> GroupSums:
    """Return weighted means by group (codes (n,) from 0) and the sampling variances of these means.

    The variance within a group with two units or more is its own, ``n / (n - 1)`` times the weighted sum of
    squares; a group with one unit takes the mean variance within the others, NaN where there are none.

    Examples
    --------
    >>> made = group_sums(np.array([1.0, 3, 5]), np.array([0.0, 4, 1]), np.ones(3), np.array([0, 0, 1]))
    >>> made.truth.tolist(), made.truth_var.tolist()
    ([2.0, 1.0], [4.0, 8.0])
    """
    n = np.bincount(codes)
    total = np.bincount(codes, weights=weights)
    share = weights / total[codes]
    means = [
        np.asarray(np.bincount(codes, weights=share * values), dtype=float) for values in (prediction, truth)
    ]
    left = [share * (values - mean[codes]) for values, mean in zip((prediction, truth), means)]
    several = n > 1
    factor = np.where(several, n / np.maximum(n - 1, 1), np.nan)
    found = []
    for one, other in ((0, 0), (1, 1), (0, 1)):
        own = factor * np.bincount(codes, weights=left[one] * left[other])
        of_one = float((own * n)[several].mean()) if several.any() else np.nan
        found.append(np.where(several, own, of_one))
    return GroupSums(n, means[0], means[1], found[0], found[1], found[2])


def group_line(sums: GroupSums) -> GroupLine:
    """Return how means of predictions follow true means, with the errors of sampling taken off.

    ``k = (Cov(p, t) - mean c) / (Var(t) - mean v)`` over groups, with ``v`` the variance of the error in the
    mean truth of a group and ``c`` its covariance with the error in the mean prediction: Fuller (1987),
    Measurement Error Models, section 3.1, for error variances that are known and differ.

    Examples
    --------
    >>> t, nothing = np.array([0.0, 1.0, 2.0]), np.zeros(3)
    >>> made = group_line(GroupSums(np.ones(3, int), 1 + 0.5 * t, t, nothing, nothing, nothing))
    >>> made.k, made.m
    (0.5, 1.0)
    """
    n_groups = sums.truth.size
    factor = n_groups / (n_groups - 1)
    mean_p, mean_t = float(sums.prediction.mean()), float(sums.truth.mean())
    p, t = sums.prediction - mean_p, sums.truth - mean_t
    squares = factor * t**2 - sums.truth_var
    signal = float(squares.mean())
    products = factor * p * t - sums.covariance
    k = float(products.mean()) / signal if signal > 0 else np.nan
    by_slope = (products - k * squares) / signal if signal > 0 else np.full(n_groups, np.nan)
    by_intercept = p - k * t - mean_t * by_slope
    noise = sums.prediction_var - 2 * k * sums.covariance + k**2 * sums.truth_var
    spread = float(((p - k * t) ** 2).sum() / max(n_groups - 2, 1) - noise.mean())
    return GroupLine(k, mean_p - k * mean_t, np.column_stack([by_slope, by_intercept]), signal, spread)
