"""Means of an outcome that was measured for some units and predicted for all. Pure arrays.

What labelled units alone say (``classical``) is moved by what predictions say of other units and not of the
labelled (``shift``), times a number: ``classical + lambda * shift``. With ``lambda`` 0 it is the classical one,
with 1 prediction-powered inference, and with the ``lambda`` of :func:`tune` it has the smallest variance of all.
Every ``lambda`` is right where labelled units are drawn at random, however bad predictions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.variance import sum_within

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# Predictions that move nothing by more than rounding have no part in an estimate.
_ROUNDING = 1e-12
BOUNDS = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Part:
    """A mean from labelled units, and what predictions add to it, with centred influence values.

    Attributes
    ----------
    classical : float
        From truths of labelled units.
    shift : float
        The same mean of predictions of the reference units, less that of predictions of labelled units.
    classical_scores, shift_scores : array of shape (n,)
        Their influence values over all units; each error is, to first order, their mean.
    """

    classical: float
    shift: float
    classical_scores: FloatArray
    shift_scores: FloatArray

    def rectified(self, lam: float) -> tuple[float, FloatArray]:
        """Return ``classical + lam * shift`` with its influence values (n,)."""
        return self.classical + lam * self.shift, self.classical_scores + lam * self.shift_scores


def mean_part(
    truth: FloatArray,
    prediction: FloatArray,
    *,
    labelled_weights: FloatArray,
    reference_weights: FloatArray,
    ddof: int = 1,
    clusters: Labels | None = None,
) -> Part:
    """Return the weighted mean of truths, and what predictions of other units add to it.

    Parameters
    ----------
    truth : array of shape (n,)
        Not looked at where ``labelled_weights`` is 0, and may be NaN there.
    prediction : array of shape (n,)
    labelled_weights : array of shape (n,)
        What labelled units weigh; 0 for all others. Of unequal chances of being labelled their inverse.
    reference_weights : array of shape (n,)
        What units weigh whose predictions are averaged: those not labelled, or all. Where there are fewer than two
        such units, predictions add nothing.
    ddof : int
        With 1, influence values are divided by ``sqrt(1 - share)``, with the share that a unit, or its cluster, has
        in its mean, so that variances are unbiased where all vary alike (HC2); of ``m`` equal units they are over
        ``m - 1``.
    clusters : array of shape (n,), optional
        Units drawn together.

    Examples
    --------
    >>> truth = np.array([1.0, 2, 3, 4, 6, *[np.nan] * 8])
    >>> prediction = np.array([1.5, 1.5, 3.5, 3, 4.5, 0, 1, 2, 3, 4, 5, 2, 7])
    >>> labelled = np.isfinite(truth).astype(float)
    >>> part = mean_part(truth, prediction, labelled_weights=labelled, reference_weights=1 - labelled)
    >>> [round(part.rectified(lam)[0], 6) for lam in (0, 0.5, 1)]
    [3.2, 3.3, 3.4]
    """
    how: dict[str, Any] = {"ddof": ddof, "clusters": clusters}
    known = np.where(labelled_weights > 0, truth, 0.0)
    classical, classical_scores = weighted_mean(known, labelled_weights, **how)
    if (reference_weights > 0).sum() < 2:
        return Part(classical, 0.0, classical_scores, np.zeros_like(classical_scores))
    seen, seen_scores = weighted_mean(prediction, labelled_weights, **how)
    other, other_scores = weighted_mean(prediction, reference_weights, **how)
    return Part(classical, other - seen, classical_scores, other_scores - seen_scores)


def weighted_mean(
    values: FloatArray, weights: FloatArray, *, ddof: int = 1, clusters: Labels | None = None
) -> tuple[float, FloatArray]:
    """Return a weighted mean with its influence values (n,), 0 for units that weigh nothing.

    Examples
    --------
    >>> mean, scores = weighted_mean(np.array([1.0, 3.0, 9.0]), np.array([1.0, 1.0, 0.0]), ddof=0)
    >>> mean, scores.tolist()
    (2.0, [-1.5, 1.5, 0.0])
    """
    shares = weights / float(weights.sum())
    mean = float(shares @ values)
    of_all = shares
    if clusters is not None:
        codes = np.unique(clusters, return_inverse=True)[1]
        of_all = np.asarray(np.bincount(codes, weights=shares)[codes], dtype=float)
    # a share of 1 is that of a single unit, or cluster, which is its own mean
    left = np.where(of_all < 1 - _ROUNDING, 1 - ddof * of_all, 1.0)
    return mean, values.size * shares * (values - mean) / np.sqrt(left)


def tune(
    classical: FloatArray,
    shifts: FloatArray,
    *,
    clusters: Labels | None = None,
    bounds: tuple[float, float] = BOUNDS,
) -> FloatArray:
    """Return how much of each shift to add, so that the variance of the sum is smallest.

    Parameters
    ----------
    classical : array of shape (n,)
        Influence values of what labelled units alone say.
    shifts : array of shape (n, k)
        Influence values of what predictions would add, such as one shift for each arm.
    clusters : array of shape (n,), optional
        Units drawn together, whose influence values are summed first.
    bounds : (low, high)
        Between these the numbers lie.

    Returns
    -------
    array of shape (k,)
        0 for a shift that moves nothing.

    Notes
    -----
    The numbers minimise the very variance that is reported, as the power tuning of Angelopoulos, Duchi and Zrnic
    (2023, arXiv 2311.01453) does, for any kind of estimate with influence values: of one shift it is
    ``- cov(classical, shift) / var(shift)``, brought to the nearest bound. Where 0 and 1 lie within the bounds the
    variance is never above that of labels alone nor that of all of the shift.

    Examples
    --------
    >>> tune(np.array([1.0, -1.0, 0.0]), np.array([[-2.0], [2.0], [0.0]])).round(12).tolist()
    [0.5]
    """
    sums = np.column_stack([classical, shifts])
    sums = sums if clusters is None else sum_within(sums, clusters)
    first, rest = sums[:, 0], sums[:, 1:]
    size = np.linalg.norm(rest, axis=0)
    moves = size > _ROUNDING * max(float(np.linalg.norm(first)), float(size.max(initial=0.0)))
    lam = np.zeros(rest.shape[1])
    if not moves.any():
        return lam
    if moves.sum() == 1:
        best = -float(first @ rest[:, moves][:, 0]) / float(size[moves][0]) ** 2
        lam[moves] = np.clip(best, *bounds)
        return lam
    lam[moves] = _within(first, rest[:, moves], bounds)
    return lam


def _within(first: FloatArray, rest: FloatArray, bounds: tuple[float, float]) -> FloatArray:
    """Return the least-squares solution of ``first + rest @ lam = 0`` with every number within the bounds."""
    from scipy.optimize import lsq_linear

    # the triangle of a QR decomposition has the same solution in k rows
    orthogonal, triangle = np.linalg.qr(rest)
    if not np.isfinite(bounds).any():
        return np.asarray(np.linalg.lstsq(triangle, -orthogonal.T @ first, rcond=None)[0])
    solved = lsq_linear(triangle, -orthogonal.T @ first, bounds=bounds, method="bvls", tol=1e-14)
    return np.asarray(solved.x, dtype=float)


def pooled_lambda(
    truth: FloatArray, prediction: FloatArray, other_prediction: FloatArray, *, ddof: int = 1
) -> float:
    """Return the number of ``ppi_py`` for a mean, from predictions of labelled and other units as one sample.

    ``cov(truth, prediction) / ((1 + n / N) var(predictions))``, not brought to any bound, with ``n`` labelled and
    ``N`` other units, the covariance over ``n - ddof`` and the variance over ``n + N - 1``. With ``ddof=0`` it is
    that of ppi_py 0.2.3.

    Parameters
    ----------
    truth, prediction : array of shape (n,)
        Of labelled units.
    other_prediction : array of shape (N,)

    Examples
    --------
    >>> truth, prediction = np.array([1.0, 2, 3, 4, 6]), np.array([1.5, 1.5, 3.5, 3, 4.5])
    >>> others = np.array([0.0, 1, 2, 3, 4, 5, 2, 7])
    >>> [round(pooled_lambda(truth, prediction, others, ddof=one), 10) for one in (0, 1)]
    [0.3165591398, 0.3956989247]
    """
    n, others = truth.size, other_prediction.size
    covariance = float((truth - truth.mean()) @ (prediction - prediction.mean())) / (n - ddof)
    spread = float(np.concatenate([prediction, other_prediction]).var(ddof=1))
    return covariance / ((1 + n / others) * spread) if spread > 0 else 0.0
