"""How much of a difference in truth is left in predictions: between units, between groups, between two arms.

Pure arrays. The share that is left, the attenuation, is a slope of the prediction on the truth. Between
groups it is the instrumental-variable slope with the groups as instruments, from products of different units
only, so that what is noise within groups does not enter (Angrist, Imbens and Krueger 1999, Journal of Applied
Econometrics 14).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.linear_fit import line
from eocausal.errors import DebiasError, explain
from eocausal.inference.variance import score_variance

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

UNITS, GROUPS, CONTRAST, TREATMENT = "units", "groups", "contrast", "treatment"
# A column by which the truth differs less than this (F) is a weak instrument (Staiger and Stock 1997).
LEAST_F = 10.0
# A difference in truth of less than this share of its largest value is rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Attenuation:
    """How much of a difference in truth is left in predictions, at one level.

    Attributes
    ----------
    term : str
        ``units``, or the column by which places differ.
    kind : {"units", "groups", "contrast", "treatment"}
        Between units; between several groups; between two groups; between two arms.
    estimate, std_error, df : float
        The share that is left, its standard error and the degrees of freedom of its t distribution. The error
        is infinite where one of two groups is a single unit, or lies in one cluster: nothing tells how it varies.
    strength : float
        F statistic of the truth on the column: below 10 the groups hardly differ in truth.
    n, n_groups : int
    formed_from : {"", "prediction", "truth"}
        What the groups seem to have been cut from: their ranges of it do not overlap.
    left_out : int
        Units without another in their group.
    """

    term: str
    kind: str
    estimate: float
    std_error: float
    df: float
    strength: float
    n: int
    n_groups: int
    formed_from: str = ""
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Predictions and truth of the same places, arrays of shape (n,), with weights and clusters."""

    prediction: FloatArray
    truth: FloatArray
    weights: FloatArray
    clusters: Labels | None = None

    def error_of(
        self, scores: FloatArray, *, n_params: int, also: Labels | None = None
    ) -> tuple[float, float]:
        """Return standard error and degrees of freedom of what has influence values (n,).

        They are summed within clusters, or within the groups of ``also`` where these are coarser; where the
        two cross, the larger of both errors counts.
        """
        kinds = [one for one in (self.clusters, also) if one is not None]
        if len(kinds) == 2:
            finer = [nested(kinds[0], kinds[1]), nested(kinds[1], kinds[0])]
            kinds = [one for one, inside in zip(kinds, finer) if not inside] or kinds[:1]
        found = []
        for labels in kinds or (None,):
            how = "hetero" if labels is None else "cluster"
            made = score_variance(scores[:, None], vcov=how, clusters=labels, n_params=n_params)
            found.append((float(np.sqrt(made.matrix[0, 0])), made.df))
        return max(found)


def between_units(pairs: Pairs, *, label_noise_var: float = 0.0) -> Attenuation:
    """Return the slope of the prediction on the truth over all units, freed of noise in the truth of this variance.

    Examples
    --------
    >>> pairs = Pairs(np.array([1.5, 1.5, 3.5, 3, 4.5]), np.array([1.0, 2, 3, 4, 6]), np.ones(5))
    >>> round(between_units(pairs).estimate, 6)
    0.621622
    """
    fit = line(pairs.prediction, pairs.truth, pairs.weights, noise_in_on=label_noise_var)
    error, df = pairs.error_of(fit.scores[:, 0], n_params=2)
    n = pairs.truth.size
    return Attenuation(UNITS, UNITS, fit.slope, error, df, float("inf"), n, n)


def between_groups(pairs: Pairs, labels: Labels, *, term: str) -> Attenuation:
    """Return the attenuation between the groups of a column: of two groups as a contrast, else over all pairs.

    Raises
    ------
    DebiasError
        One group alone, or no two units, or clusters, that share a group.
    """
    names, codes = np.unique(labels, return_inverse=True)
    if names.size < 2:
        raise DebiasError(
            explain(f"groups column {term!r} holds one group: {names[0]!s}.", rule="at least two groups")
        )
    made = _contrast(pairs, codes, term) if names.size == 2 else _pairwise(pairs, codes, term)
    source = _formed_from(pairs, codes)
    return Attenuation(**{**vars(made), "formed_from": source})


def between_arms(pairs: Pairs, treatment: FloatArray) -> Attenuation:
    """Return the attenuation of the difference between treated (1) and controls (0), arrays of shape (n,)."""
    made = _contrast(pairs, treatment.astype(np.intp), TREATMENT)
    return Attenuation(**{**vars(made), "kind": TREATMENT})


def _contrast(pairs: Pairs, codes: npt.NDArray[np.intp], term: str) -> Attenuation:
    """Return the difference of mean predictions over that of mean truth, as an influence-value ratio."""
    first = (codes == 1).astype(float)
    totals = [float((pairs.weights * one).sum()) for one in (first, 1 - first)]
    share = pairs.weights * (first / totals[0] - (1 - first) / totals[1])
    in_truth, in_prediction = (float(share @ values) for values in (pairs.truth, pairs.prediction))
    n = codes.size
    if abs(in_truth) <= _ROUNDING * float(np.abs(pairs.truth).max()):
        return Attenuation(term, CONTRAST, float("nan"), float("inf"), float(n - 2), 0.0, n, 2)
    ratio = in_prediction / in_truth
    error, df = pairs.error_of(
        _centred(pairs.prediction - ratio * pairs.truth, share, codes) / in_truth, n_params=2
    )
    spread, _ = pairs.error_of(_centred(pairs.truth, share, codes), n_params=2)
    strength = (in_truth / spread) ** 2 if spread > 0 else float("inf")
    if _drawn_once(pairs, codes):
        error, strength = float("inf"), float("nan")
    return Attenuation(term, CONTRAST, ratio, error, df, strength, n, 2)


def _drawn_once(pairs: Pairs, codes: npt.NDArray[np.intp]) -> bool:
    """Tell whether one of two groups is a single unit, or lies in a single cluster."""
    drawn = np.arange(codes.size) if pairs.clusters is None else pairs.clusters
    return any(np.unique(drawn[codes == one]).size < 2 for one in (0, 1))


def _centred(values: FloatArray, share: FloatArray, codes: npt.NDArray[np.intp]) -> FloatArray:
    """Return influence values (n,) of a difference of weighted means."""
    means = np.bincount(codes, share * values) / np.bincount(codes, share)
    return np.asarray(values.size * share * (values - means[codes]))


def _pairwise(pairs: Pairs, codes: npt.NDArray[np.intp], term: str) -> Attenuation:
    """Return the slope from products of different units of one group, or of different clusters where these nest."""
    parts = _parts(pairs, codes)
    share = pairs.weights / pairs.weights.mean()
    of, on = (share * (values - float((share * values).mean())) for values in (pairs.prediction, pairs.truth))
    group_of_part = np.zeros(int(parts.max()) + 1, dtype=np.intp)
    group_of_part[parts] = codes
    whole, of_part = np.bincount(codes, share), np.bincount(parts, share)
    # as many pairs as units in each group: (n_g - 1) where all weigh the same
    free = whole - np.bincount(group_of_part, of_part**2) / whole
    alone = free < 1e-9 * whole
    if alone.all():
        raise DebiasError(
            explain(
                f"No two places share a group of column {term!r}.",
                rule="groups of several, so that what is common to a group can be told from noise",
                fix="coarser groups",
            )
        )
    factor = np.where(alone, 0.0, 1 / np.where(alone, 1.0, free))
    others = factor[codes] * (np.bincount(codes, on)[codes] - np.bincount(parts, on)[parts])
    total = float(on @ others)
    n, n_groups = codes.size, int((~alone).sum())
    left_out = int(alone[codes].sum())
    if total <= 0:
        return Attenuation(
            term, GROUPS, float("nan"), float("inf"), float(n_groups - 1), 0.0, n, n_groups, left_out=left_out
        )
    slope = float(of @ others) / total
    error, df = pairs.error_of(n * (of - slope * on) * others / total, n_params=1, also=codes)
    strength = _strength(pairs.truth, share, codes, parts)
    return Attenuation(term, GROUPS, slope, error, df, strength, n, n_groups, left_out=left_out)


def _parts(pairs: Pairs, codes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return what must differ in a pair (n,): units, or clusters where groups are made up of several."""
    if pairs.clusters is not None and nested(pairs.clusters, codes) and not nested(codes, pairs.clusters):
        return np.asarray(np.unique(pairs.clusters, return_inverse=True)[1])
    return np.arange(codes.size)


def _strength(
    truth: FloatArray, share: FloatArray, codes: npt.NDArray[np.intp], parts: npt.NDArray[np.intp]
) -> float:
    """Return the F statistic of the truth on groups, of means of clusters where these nest in groups."""
    weight = np.bincount(parts, share)
    value = np.bincount(parts, share * truth) / weight
    group = np.zeros(weight.size, dtype=np.intp)
    group[parts] = codes
    total = np.bincount(group, weight)
    mean = np.bincount(group, weight * value) / total
    overall = float((weight * value).sum() / weight.sum())
    df = weight.size - total.size
    within = float((weight * (value - mean[group]) ** 2).sum()) / max(df, 1)
    between = float((total * (mean - overall) ** 2).sum()) / (total.size - 1)
    return between / within if within > 0 else float("inf")


def nested(inner: Labels, outer: Labels) -> bool:
    """Tell whether each label of ``inner`` (n,) lies within one of ``outer`` (n,).

    Examples
    --------
    >>> nested(np.array([1, 1, 2]), np.array(["a", "a", "b"])), nested(np.array([1, 1]), np.array(["a", "b"]))
    (True, False)
    """
    fine = np.unique(inner, return_inverse=True)[1]
    coarse = np.unique(outer, return_inverse=True)[1]
    first = np.zeros(int(fine.max()) + 1, dtype=np.intp)
    first[fine] = coarse
    return bool((first[fine] == coarse).all())


def _formed_from(pairs: Pairs, codes: npt.NDArray[np.intp]) -> str:
    """Return what groups seem to have been cut from, where the ranges of the groups do not overlap."""
    for name in ("prediction", "truth"):
        values: FloatArray = getattr(pairs, name)
        least, most = np.full(int(codes.max()) + 1, np.inf), np.full(int(codes.max()) + 1, -np.inf)
        np.minimum.at(least, codes, values)
        np.maximum.at(most, codes, values)
        order = np.lexsort([most, least])
        gap, varies = least[order][1:] - most[order][:-1], (most > least)[order]
        # groups that hold one value are not cut at the value they share with the next
        apart = bool(((gap > 0) | ((gap == 0) & varies[1:] & varies[:-1])).all())
        # one prediction for a whole group is not a cut of predictions
        if apart and bool(varies.any()):
            return name
    return ""
