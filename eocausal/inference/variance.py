"""Variances from influence values. Pure arrays: nothing here knows where the values come from.

An estimator hands over centred influence values ``scores`` such that its error is their mean, and every
standard error of the package is made from them here, by one formula and one stated finite-sample factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.spatial import kernel_sum

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# With fewer independent units of assignment than this, large-sample standard errors are too small.
FEW_CLUSTERS = 30
# A variance this small a share of that of independent units is rounding, where terms may cancel.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Vcov:
    """How a variance is made.

    Attributes
    ----------
    kind : str
        ``iid``, ``hetero``, ``cluster``, ``conley``; of RATE ``half-sample``.
    names : tuple of str
        Names of the clusters.
    cutoff_m : float or None
        Distance beyond which units are taken as independent, in metres.
    kernel : str or None
        How the weight of a pair falls with distance: ``uniform`` or ``bartlett``.
    """

    kind: str = "iid"
    names: tuple[str, ...] = ()
    cutoff_m: float | None = None
    kernel: str | None = None

    @property
    def label(self) -> str:
        """How it is printed.

        Examples
        --------
        >>> print(Vcov().label, Vcov("cluster", ("village", "image")).label)
        iid cluster(village & image)
        >>> Vcov("conley", cutoff_m=50_000.0, kernel="bartlett").label
        'conley(50 km, bartlett)'
        """
        if self.cutoff_m is not None:
            return f"{self.kind}({distance_text(self.cutoff_m)}, {self.kernel})"
        return f"{self.kind}({' & '.join(self.names)})" if self.names else self.kind


@dataclass(frozen=True)
class Variance:
    """Covariance of ``k`` estimates, with how it was made.

    Attributes
    ----------
    matrix : array of shape (k, k)
    df : float
        Degrees of freedom of the t distribution: ``G - 1`` with clusters, else ``n - n_params``.
    factor : float
        The finite-sample factor that was applied to the plain sum.
    n_clusters : int or None
        Of several kinds of clusters the smallest number.
    how : Vcov
    notes : tuple of str
        What a reader must know of it; they stand in the result's warnings.
    """

    matrix: FloatArray
    df: float
    factor: float
    n_clusters: int | None
    how: Vcov = Vcov()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    scores: FloatArray
    how: Vcov
    clusters: tuple[Labels, ...]
    coordinates: FloatArray | None
    n_params: int


def score_variance(
    scores: FloatArray,
    *,
    vcov: Vcov | str = "iid",
    clusters: Labels | Sequence[Labels] | None = None,
    coordinates: FloatArray | None = None,
    n_params: int = 1,
) -> Variance:
    """Return the covariance of estimates from their influence values.

    Parameters
    ----------
    scores : array of shape (n, k)
        Centred influence values: estimate minus truth is, to first order, their mean.
    vcov : Vcov or {"iid", "hetero", "cluster"}
        ``iid``: rows are independent draws, factor ``n / (n - 1)``. ``hetero``: the same with the factor of
        HC1, ``n / (n - n_params)``. ``cluster``: rows are summed within clusters first, factor
        ``G / (G - 1) * (n - 1) / (n - n_params)`` as in Stata and fixest; of several kinds of clusters by inclusion
        and exclusion, with ``G`` the smallest number. ``conley``: products of all pairs of rows within the cutoff,
        weighted by the kernel, factor ``(n - 1) / (n - n_params)`` as in fixest. None of them assumes equal
        variances in the two arms.
    clusters : array of shape (n,) or sequence of such arrays, optional
        Cluster labels, needed by ``cluster``.
    coordinates : array of shape (n, 2), optional
        Longitude and latitude in degrees, needed by ``conley``.
    n_params : int
        Number of coefficients the estimator fitted.

    Returns
    -------
    Variance

    Raises
    ------
    EstimationError
        Fewer than two clusters, no coordinates, no more rows than parameters, or a variance that is not positive.

    Notes
    -----
    Several kinds of clusters: Cameron, Gelbach and Miller (2011), Journal of Business & Economic Statistics 29.
    Spatial: Conley (1999), Journal of Econometrics 92.

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
    how = Vcov(vcov) if isinstance(vcov, str) else vcov
    labels = [] if clusters is None else [clusters] if isinstance(clusters, np.ndarray) else clusters
    return _KINDS[how.kind](_Asked(scores, how, tuple(labels), coordinates, n_params))


def _independent(asked: _Asked) -> Variance:
    scores, n = asked.scores, len(asked.scores)
    factor = n / (n - 1) if asked.how.kind == "iid" else n / (n - asked.n_params)
    return Variance(factor * scores.T @ scores / n**2, float(n - asked.n_params), factor, None, asked.how)


def _clustered(asked: _Asked) -> Variance:
    if not asked.clusters:
        raise EstimationError(
            explain(
                "vcov='cluster' was asked for, but there are no clusters.",
                fix="pass cluster= to Design, or with_vcov({'cluster': series_by_unit_id})",
            )
        )
    n = len(asked.scores)
    codes = [np.unique(labels, return_inverse=True)[1] for labels in asked.clusters]
    n_groups = min(int(one.max()) + 1 for one in codes)
    if n_groups < 2:
        raise EstimationError(
            explain("All units are in one cluster.", rule="at least two clusters", fix="vcov='iid'")
        )
    factor = n_groups / (n_groups - 1) * (n - 1) / (n - asked.n_params)
    total = np.zeros((asked.scores.shape[1],) * 2)
    for count in range(1, len(codes) + 1):
        for chosen in combinations(codes, count):
            sums = sum_within(asked.scores, reduce(_both, chosen))
            total += (-1) ** (count + 1) * sums.T @ sums
    made = Variance(factor * total / n**2, float(n_groups - 1), factor, n_groups, asked.how)
    return made if len(codes) == 1 else _usable(made, asked.scores)


def _conley(asked: _Asked) -> Variance:
    made, places = conley_variance(asked.scores, asked.how, asked.coordinates, n_params=asked.n_params)
    if places < FEW_CLUSTERS:
        note = (
            f"{made.how.label} lets each unit vary with {100 / places:.0f}% of all units, as if there were "
            f"{places:.0f} separate places: with fewer than {FEW_CLUSTERS}, Conley standard errors are too small"
        )
        made = replace(made, notes=(note,))
    return _usable(made, asked.scores)


def conley_variance(
    scores: FloatArray, how: Vcov, coordinates: FloatArray | None, *, n_params: int
) -> tuple[Variance, float]:
    """Return Conley's variance, which may not be positive, and how many separate places it sees.

    The second is ``n^2`` over the sum of the weights of all pairs: the number of clusters of equal size that would
    have as many pairs of dependent units.
    """
    if coordinates is None or how.cutoff_m is None or how.kernel is None:
        raise EstimationError(
            explain(
                "Conley standard errors were asked for, but this result does not know where its units are.",
                fix="pass units with coordinates to Design: ec.read_units(table, id=..., lon=..., lat=...)",
            )
        )
    n = len(scores)
    rows = np.column_stack([scores, np.ones(n)])
    total = kernel_sum(rows, coordinates, cutoff_m=how.cutoff_m, kernel=how.kernel)
    factor = (n - 1) / (n - n_params)
    made = Variance(factor * total[:-1, :-1] / n**2, float(n - n_params), factor, None, how)
    return made, n**2 / float(total[-1, -1])


_KINDS: dict[str, Callable[[_Asked], Variance]] = {
    "iid": _independent,
    "hetero": _independent,
    "cluster": _clustered,
    "conley": _conley,
}


def sum_within(values: FloatArray, clusters: Labels) -> FloatArray:
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


def distance_text(metres: float) -> str:
    """Return a distance as it is printed.

    Examples
    --------
    >>> distance_text(50_000.0), distance_text(250.0)
    ('50 km', '250 m')
    """
    return f"{metres / 1000:.12g} km" if metres >= 1000 else f"{metres:.12g} m"


def _both(first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return codes of the pairs of two codes, 0 to one less than their number."""
    return np.asarray(np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1])


def _usable(made: Variance, scores: FloatArray) -> Variance:
    """Return a variance whose terms may cancel without negative eigenvalues, or raise where one is not positive."""
    bad = ~positive(made, scores)
    if bad.any():
        raise EstimationError(
            explain(
                f"The variance by {made.how.label} is not positive, so there is no standard error.",
                where=[f"estimate {position + 1}" for position in np.flatnonzero(bad)],
                rule="the terms of several kinds of clusters, and of pairs of units within a cutoff, may cancel",
                fix="fewer or coarser clusters, a smaller cutoff, or kernel='bartlett'",
            )
        )
    values, vectors = np.linalg.eigh(made.matrix)
    if values[0] >= -_ROUNDING * values[-1]:
        return made
    mended = (vectors * np.maximum(values, 0)) @ vectors.T
    note = (
        f"the covariance matrix by {made.how.label} had {int((values < 0).sum())} negative eigenvalues, which were "
        "set to zero: some combinations of these estimates have no reliable standard error"
    )
    return replace(made, matrix=mended, notes=(*made.notes, note))


def positive(made: Variance, scores: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which variances (k,) are more than rounding, or those of estimates without any error."""
    alone = (scores**2).sum(axis=0) / len(scores) ** 2
    return np.asarray((np.diag(made.matrix) > _ROUNDING * alone) | (alone == 0))
