"""Variances from influence values. Pure arrays: nothing here knows where the values come from.

An estimator hands over centred influence values ``scores`` such that its error is their mean, and every
standard error of the package is made from them here, by one formula and one stated finite-sample factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain

FloatArray = npt.NDArray[np.float64]
Vcov = Literal["iid", "hetero", "cluster"]


@dataclass(frozen=True)
class Variance:
    """Covariance of ``k`` estimates, with how it was made.

    Attributes
    ----------
    matrix : array of shape (k, k)
    df : float
        Degrees of freedom of the t distribution: ``G - 1`` with clusters, else ``n - n_params``.
    factor : float
        The finite-sample factor that was applied to the plain sum of squares.
    n_clusters : int or None
    """

    matrix: FloatArray
    df: float
    factor: float
    n_clusters: int | None


def score_variance(
    scores: FloatArray,
    *,
    vcov: Vcov = "iid",
    clusters: npt.NDArray[Any] | None = None,
    n_params: int = 1,
) -> Variance:
    """Return the covariance of estimates from their influence values.

    Parameters
    ----------
    scores : array of shape (n, k)
        Centred influence values: estimate minus truth is, to first order, their mean.
    vcov : {"iid", "hetero", "cluster"}
        ``iid``: rows are independent draws, factor ``n / (n - 1)``. ``hetero``: the same with the factor of
        HC1, ``n / (n - n_params)``. ``cluster``: rows are summed within clusters first, factor
        ``G / (G - 1) * (n - 1) / (n - n_params)`` as in Stata and fixest. None of them assumes equal
        variances in the two arms.
    clusters : array of shape (n,), optional
        Cluster labels, needed by ``cluster``.
    n_params : int
        Number of coefficients the estimator fitted.

    Returns
    -------
    Variance

    Raises
    ------
    EstimationError
        Fewer than two clusters, or no more rows than parameters.

    Examples
    --------
    The standard error of a mean:

    >>> values = np.array([[1.0], [2.0], [3.0]])
    >>> float(score_variance(values - values.mean()).matrix[0, 0] ** 0.5)
    0.577...
    """
    n = scores.shape[0]
    if n <= n_params:
        raise EstimationError(
            explain(f"{n} units cannot carry {n_params} parameters.", rule="more units than parameters")
        )
    if vcov == "cluster":
        if clusters is None:
            raise EstimationError(
                explain(
                    "vcov='cluster' was asked for, but there are no clusters.",
                    fix="pass cluster= to Design, or with_vcov({'cluster': series_by_unit_id})",
                )
            )
        sums = sum_within(scores, clusters)
        n_groups = sums.shape[0]
        if n_groups < 2:
            raise EstimationError(
                explain("All units are in one cluster.", rule="at least two clusters", fix="vcov='iid'")
            )
        factor = n_groups / (n_groups - 1) * (n - 1) / (n - n_params)
        return Variance(factor * sums.T @ sums / n**2, float(n_groups - 1), factor, n_groups)
    factor = n / (n - 1) if vcov == "iid" else n / (n - n_params)
    return Variance(factor * scores.T @ scores / n**2, float(n - n_params), factor, None)


def sum_within(values: FloatArray, clusters: npt.NDArray[Any]) -> FloatArray:
    """Return the column sums of ``values`` within each cluster, clusters in sorted order.

    Examples
    --------
    >>> sum_within(np.array([[1.0], [2.0], [5.0]]), np.array(["b", "a", "b"])).ravel().tolist()
    [2.0, 6.0]
    """
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.zeros((codes.max() + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums
