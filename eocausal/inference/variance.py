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
from eocausal.inference.blocks import cells
from eocausal.inference.bootstrap import Recentring, resampled, usual_weights, wild
from eocausal.inference.conley import GIVE_PLACES, NO_PLACES, conley_variance
from eocausal.inference.how import Variance, Vcov
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.serial import ALL_PERIODS

__all__ = ["FEW_CLUSTERS", "Variance", "Vcov", "positive", "score_variance", "sum_within", "unit_effects_of"]

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# With fewer independent units of assignment than this, large-sample standard errors are too small.
FEW_CLUSTERS = 30
# A variance this small a share of that of independent units is rounding, where terms may cancel.
_ROUNDING = 1e-10
_USUAL_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class _Asked:
    scores: FloatArray
    how: Vcov
    clusters: tuple[Labels, ...]
    coordinates: FloatArray | None
    n_params: int
    panel: PanelIndex | None
    recentring: Recentring


def score_variance(
    scores: FloatArray,
    *,
    vcov: Vcov | str = "iid",
    clusters: Labels | Sequence[Labels] | None = None,
    coordinates: FloatArray | None = None,
    n_params: int = 1,
    panel: PanelIndex | None = None,
    recentring: Recentring | None = None,
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
        variances in the two arms. ``wild``: as ``cluster``, with the t distribution replaced by that of the wild
        bootstrap. ``bootstrap``: the covariance of draws of whole clusters, times the factor of clusters.
    clusters : array of shape (n,) or sequence of such arrays, optional
        Cluster labels, needed by ``cluster``.
    coordinates : array of shape (n, 2), optional
        Longitude and latitude in degrees, needed by ``conley`` and by bootstraps of blocks.
    n_params : int
        Number of coefficients the estimator fitted.
    panel : PanelIndex, optional
        With it ``conley`` pairs rows of one period by distance and rows of one unit by time.
    recentring : Recentring, optional
        Which influence values bootstraps recentre together; default all.

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
    how = Vcov(vcov) if isinstance(vcov, str) else vcov
    labels = [] if clusters is None else [clusters] if isinstance(clusters, np.ndarray) else clusters
    n, n_params = scores.shape[0], n_params + unit_effects_of(how, labels, panel)
    if n <= n_params:
        raise EstimationError(
            explain(f"{n} units cannot carry {n_params} parameters.", rule="more units than parameters")
        )
    if how.kind not in _KINDS:
        text = f"Standard errors by {how.label} are not made from influence values alone."
        raise EstimationError(explain(text, fix="result.with_vcov('cluster') or with_vcov('iid') first"))
    together = Recentring(np.zeros(n, dtype=np.intp), np.ones(n)) if recentring is None else recentring
    return _KINDS[how.kind](_Asked(scores, how, tuple(labels), coordinates, n_params, panel, together))


def unit_effects_of(how: Vcov, labels: Sequence[Labels], panel: PanelIndex | None) -> int:
    """Return how many coefficients of units count: none where rows of a unit vary together freely."""
    if panel is None or not panel.unit_effects or how.block_m is not None:
        return 0
    if how.kind == "conley" and how.serial in (None, ALL_PERIODS):
        return 0
    units = np.unique(panel.unit, return_inverse=True)[1]
    coded = [np.unique(one, return_inverse=True)[1] for one in labels]
    whole = any(int(_both(units, one).max()) == int(units.max()) for one in coded)
    return 0 if whole else panel.unit_effects


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


def _wild(asked: _Asked) -> Variance:
    plain = _clustered(_of_one_kind(asked))
    how = replace(asked.how, weights=asked.how.weights or usual_weights(int(plain.n_clusters or 0)))
    reference = wild(
        asked.scores, _codes(asked), recentring=asked.recentring, factor=plain.factor,
        weights=str(how.weights), draws=int(how.draws or 0), seed=int(how.seed or 0),
    )  # fmt: skip
    notes = plain.notes
    if reference.exact and 2 / reference.draws > _USUAL_LEVEL:
        least = f"{reference.draws} changes of sign give no p-value below {2 / reference.draws:.4g}"
        notes = (*notes, f"{least}, so that 95% intervals have no end; weights='webb' make more draws")
    return replace(plain, how=how, reference=reference, notes=notes)


def _bootstrap(asked: _Asked) -> Variance:
    plain = _clustered(_of_one_kind(asked))
    how = asked.how
    matrix, reference = resampled(
        asked.scores, _codes(asked), recentring=asked.recentring, factor=plain.factor,
        draws=int(how.draws or 0), seed=int(how.seed or 0),
    )  # fmt: skip
    return replace(plain, how=how, matrix=matrix, reference=reference)


def _of_one_kind(asked: _Asked) -> _Asked:
    """Return what is asked with the clusters that a bootstrap draws: those named, or cells of a grid."""
    if asked.how.block_m is None:
        return asked
    if asked.coordinates is None:
        raise EstimationError(
            explain("A bootstrap of blocks was asked for, but " + NO_PLACES, fix=GIVE_PLACES)
        )
    return replace(asked, clusters=(cells(asked.coordinates, block_m=asked.how.block_m),))


def _codes(asked: _Asked) -> npt.NDArray[np.intp]:
    return np.unique(_of_one_kind(asked).clusters[0], return_inverse=True)[1]


def _conley(asked: _Asked) -> Variance:
    made, places = conley_variance(
        asked.scores, asked.how, asked.coordinates, n_params=asked.n_params, panel=asked.panel
    )
    if places < FEW_CLUSTERS:
        note = (
            f"{made.how.label} lets each unit vary with {100 / places:.0f}% of all units, as if there were "
            f"{min(round(places), FEW_CLUSTERS - 1)} separate places: with fewer than {FEW_CLUSTERS}, Conley "
            "standard errors are too small"
        )
        made = replace(made, notes=(note, *made.notes))
    return _usable(made, asked.scores)


_KINDS: dict[str, Callable[[_Asked], Variance]] = {
    "iid": _independent,
    "hetero": _independent,
    "cluster": _clustered,
    "conley": _conley,
    "bootstrap": _bootstrap,
    "wild": _wild,
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
