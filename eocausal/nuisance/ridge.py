"""Ridge regression with its penalty chosen by cross-validation, in one pass over the rows. Pure arrays.

What a fit needs of its rows are sums of products. Those of a training set are the sums of its parts, so each part
is multiplied out once, and every training set and penalty is solved from small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eocausal.nuisance.linear import FloatArray, LinearFit, Positions, compact, pieces, rows_by_part


class _Moments(NamedTuple):
    """Weighted sums over rows of 1, of the columns, of the outcome, and of products with columns."""

    weight: float
    columns: FloatArray
    outcome: float
    products: FloatArray
    with_outcome: FloatArray


class _Centred(NamedTuple):
    """Rows with columns and outcome moved near zero, so that sums of products keep their digits."""

    columns: FloatArray
    shift: FloatArray
    outcome: FloatArray
    weights: FloatArray


def fit_ridge(
    columns: FloatArray, outcome: FloatArray, weights: FloatArray, *, penalties: FloatArray, parts: Positions
) -> LinearFit:
    """Return the ridge regression whose penalty predicts best, on average, the parts that it was not fitted on.

    It minimises ``sum w (y - a - x b)^2 + penalty |b|^2``. The loss of a penalty in a part is the sum of squared
    errors over that around the part's own mean, ``1 - R2``, both weighted. Parts in which the outcome does not
    vary say nothing; where none says anything, the largest penalty is taken.

    Parameters
    ----------
    columns : array of shape (n, p)
        On scales that one penalty is fair to.
    outcome : array of shape (n,)
    weights : array of shape (n,)
        Positive, with mean 1.
    penalties : array
        Positive, to choose from; the first of equals is taken.
    parts : array of shape (n,)
        0 to k - 1: the part that each row is left out with.

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> line = fit_ridge(x, 1 + 3 * x[:, 0], np.ones(6), penalties=np.array([1e-9, 10.0]), parts=np.arange(6) % 2)
    >>> line.penalty, line.coefficients.round(6).tolist(), round(line.intercept, 6)
    (1e-09, [3.0], 1.0)
    """
    share = weights / weights.sum()
    centre, middle = share @ columns, float(share @ outcome)
    few = compact(columns, centre)
    shift = centre if few.basis is None else np.zeros(few.columns.shape[1])
    rows = _Centred(few.columns, shift, outcome - middle, weights)
    by_part = rows_by_part(parts)
    moments = [_moments(rows, own) for own in by_part]
    losses = np.array([
        _unexplained(rows, own, *_solve(_sum(moments[:part] + moments[part + 1 :]), penalties))
        for part, own in enumerate(by_part)
        if len(by_part) > 1 and np.ptp(outcome[own]) > 0
    ])  # fmt: skip
    mean = losses.mean(axis=0) if len(losses) else np.where(penalties == penalties.max(), 0.0, np.inf)
    best = int(np.argmin(mean))
    coefficients, intercepts = _solve(_sum(moments), penalties[best : best + 1])
    slope = few.slope(coefficients[:, 0])
    return LinearFit(slope, middle + float(intercepts[0] - centre @ slope), float(penalties[best]), mean)


def _moments(rows: _Centred, positions: Positions) -> _Moments:
    width = rows.columns.shape[1]
    products = np.zeros((width, width))
    sums = np.zeros((width, 2))
    for piece in pieces(positions.size, width):
        own = positions[piece]
        root = np.sqrt(rows.weights[own])
        scaled = (rows.columns[own] - rows.shift) * root[:, None]
        products += scaled.T @ scaled
        sums += scaled.T @ np.column_stack([root, root * rows.outcome[own]])
    weights = rows.weights[positions]
    return _Moments(
        float(weights.sum()), sums[:, 0], float(weights @ rows.outcome[positions]), products, sums[:, 1]
    )


def _sum(moments: Sequence[_Moments]) -> _Moments:
    weight, columns, outcome, products, with_outcome = zip(*moments)
    return _Moments(sum(weight), sum(columns), sum(outcome), sum(products), sum(with_outcome))


def _solve(of: _Moments, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coefficients (q, penalties) and intercepts (penalties,) of the shifted columns."""
    from scipy.linalg import cho_factor, cho_solve

    mean, middle = of.columns / of.weight, of.outcome / of.weight
    gram = of.products - of.weight * np.outer(mean, mean)
    target = of.with_outcome - of.weight * middle * mean
    diagonal = gram.diagonal().copy()
    coefficients = np.empty((mean.size, penalties.size))
    for number, penalty in enumerate(penalties):
        np.fill_diagonal(gram, diagonal + penalty)
        coefficients[:, number] = cho_solve(cho_factor(gram, check_finite=False), target, check_finite=False)
    return coefficients, middle - mean @ coefficients


def _unexplained(
    rows: _Centred, positions: Positions, coefficients: FloatArray, intercepts: FloatArray
) -> FloatArray:
    """Return for each penalty the share of the variance of the outcome that is not predicted."""
    total = np.zeros(intercepts.size)
    for piece in pieces(positions.size, rows.columns.shape[1]):
        own = positions[piece]
        index = (rows.columns[own] - rows.shift) @ coefficients + intercepts
        total += rows.weights[own] @ (rows.outcome[own, None] - index) ** 2
    outcome, weights = rows.outcome[positions], rows.weights[positions]
    return np.asarray(total / (weights @ (outcome - weights @ outcome / weights.sum()) ** 2))
