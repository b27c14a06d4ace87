"""Weighted least squares with influence values, and the variance HC3 of one or many clusters. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.variance import sum_within

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# Columns whose Gram matrix, once scaled, has an eigenvalue below this tell nothing apart.
_SINGULAR = 1e-10


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A fit: coefficients (k,), and for each unit its residual (n,) and influence values (n, k).

    Attributes
    ----------
    columns : array of shape (n, k)
    weights : array of shape (n,)
    inverse_gram : array of shape (k, k)
        Of ``columns' diag(weights) columns``.
    """

    coefficients: FloatArray
    residuals: FloatArray
    scores: FloatArray
    columns: FloatArray
    weights: FloatArray
    inverse_gram: FloatArray


def least_squares(outcome: FloatArray, columns: FloatArray, weights: FloatArray) -> LeastSquares:
    """Regress an outcome (n,) on columns (n, k), with positive weights (n,).

    Raises
    ------
    EstimationError
        Columns that are a combination of others.

    Examples
    --------
    >>> fit = least_squares(np.array([1.0, 3.0, 5.0]), np.array([[1.0, 0], [1, 1], [1, 2]]), np.ones(3))
    >>> fit.coefficients.round(6).tolist()
    [1.0, 2.0]
    """
    weighted = columns * weights[:, None]
    gram = weighted.T @ columns
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or np.linalg.eigvalsh(gram / np.outer(scale, scale))[0] < _SINGULAR:
        raise EstimationError(
            explain(
                f"The {columns.shape[1]} columns of a regression are combinations of one another.",
                rule="each column tells something that the others do not",
                fix="leave out columns that do not vary and one of shares that sum to one, and take the mean off "
                "columns that are far from zero",
            )
        )
    inverse = np.asarray(np.linalg.inv(gram), dtype=float)
    coefficients = inverse @ (weighted.T @ outcome)
    residuals = outcome - columns @ coefficients
    scores = outcome.size * (weighted * residuals[:, None]) @ inverse
    return LeastSquares(coefficients, residuals, scores, columns, weights, inverse)


def hc3_matrix(fit: LeastSquares, clusters: Labels | None = None) -> FloatArray:
    """Return the covariance (k, k) of the coefficients by HC3, of whole clusters where there are any.

    Residuals of a cluster are divided by what is left of it once its leverage is taken out:
    ``(I - X (X' W X)^-1 X' W)^-1 W r``. There is no other factor. With weights that differ within a cluster the
    matrix stands before the weighted residuals, as in sandwich 3.0 and hence in grf; else it is the jackknife that
    leaves out one cluster at a time. MacKinnon and White (1985), Journal of Econometrics 29; Bell and McCaffrey
    (2002), Survey Methodology 28.

    Raises
    ------
    EstimationError
        One cluster, or one unit, alone determines a coefficient.
    """
    labels = np.arange(fit.residuals.size) if clusters is None else clusters
    width = fit.columns.shape[1]
    outer = (fit.columns[:, :, None] * fit.columns[:, None, :]).reshape(-1, width**2)
    whole = np.linalg.inv(fit.inverse_gram)
    within = sum_within(outer * fit.weights[:, None], labels).reshape(-1, width, width)
    plain = sum_within(outer, labels).reshape(-1, width, width)
    weighted = fit.columns * (fit.weights * fit.residuals)[:, None]
    sums = sum_within(weighted, labels)
    again = sum_within(weighted * fit.weights[:, None], labels)
    if _least_left(fit, labels) < _SINGULAR:
        raise EstimationError(
            explain(
                "One cluster, or one unit, alone determines a coefficient, so HC3 cannot be made.",
                rule="every column varies in at least two clusters",
                fix="vcov='cluster' or 'hetero', or other columns",
            )
        )
    # (I - X B X' W)^-1 u = u + X (B^-1 - X' W X)^-1 X' W u, so that only k x k systems are solved
    moved = np.linalg.solve(whole - within, again[:, :, None])
    adjusted = sums + (plain @ moved)[:, :, 0]
    made = fit.inverse_gram @ (adjusted.T @ adjusted) @ fit.inverse_gram
    return np.asarray((made + made.T) / 2)


def rests_on_one(fit: LeastSquares, clusters: Labels | None = None) -> bool:
    """Tell whether one cluster, or one unit, alone determines a coefficient."""
    labels = np.arange(fit.residuals.size) if clusters is None else clusters
    return _least_left(fit, labels) < _SINGULAR


def _least_left(fit: LeastSquares, labels: Labels) -> float:
    """Return how much of the columns is left without the cluster that matters most: 0 nothing, 1 all."""
    width = fit.columns.shape[1]
    outer = (fit.columns[:, :, None] * fit.columns[:, None, :]).reshape(-1, width**2)
    whole = np.linalg.inv(fit.inverse_gram)
    scale = np.sqrt(np.diag(whole))
    within = sum_within(outer * fit.weights[:, None], labels).reshape(-1, width, width)
    return float(np.linalg.eigvalsh((whole - within) / np.outer(scale, scale))[:, 0].min())
