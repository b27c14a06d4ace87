"""From scores to a result: the one place where an estimate gets its standard error, counts and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.estimate import Estimate
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.inference.vcov import VcovChoice, resolve_vcov, variance_of

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


def assemble(
    design: Design,
    scored: Sequence[ScoredEstimate],
    *,
    vcov: VcovChoice | None = None,
    warnings: Sequence[str] = (),
    diagnostics: Mapping[str, Any] | None = None,
    **named: Any,
) -> Estimate:
    """Make a result of scored estimates on the units of a design.

    Parameters
    ----------
    design : Design
    scored : sequence of ScoredEstimate, length k
        One for each term, all with the same number of fitted coefficients.
    vcov : optional
        As in :func:`eocausal.ate`; default clustered where the design has clusters or shared images, else iid.
    warnings, diagnostics
        Added to what holds for every estimate: units left out, few clusters, counts by arm.
    **named
        ``estimand, method, terms, provenance`` and, if any, ``assumptions`` and ``weights`` of the
        :class:`Estimate`.
    """
    own = design.cluster_labels()
    chosen = vcov if vcov is not None else ("cluster" if own else "iid")
    how, groups = resolve_vcov(chosen, groups=own, ids=design.table.ids)
    labels = min((groups[name] for name in how.names), key=lambda one: np.unique(one).size, default=None)
    values = np.column_stack([one.scores for one in scored])
    n_params, places = scored[0].n_params, design.table.coordinates
    variance = variance_of(values, how, groups=groups, coordinates=places, n_params=n_params)
    return Estimate(
        values=np.array([one.estimate for one in scored]),
        ids=design.table.ids,
        score_values=values,
        variance=variance,
        groups=groups,
        coordinates=places,
        n_params=n_params,
        warnings=(*design.table.notes, *few_clusters(design, labels), *warnings, *variance.notes),
        diagnostics={**arm_counts(design, labels), **(diagnostics or {})},
        **named,
    )


def arm_counts(design: Design, labels: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return how many units, and how many clusters, the two arms have; of several kinds of clusters the fewest."""
    treatment = design.table.treatment
    counts: dict[str, Any] = {"n_treated": int(treatment.sum()), "n_control": int((1 - treatment).sum())}
    if labels is not None:
        share = _cluster_shares(labels, treatment)
        counts["clusters_treated_only"] = int((share == 1).sum())
        counts["clusters_control_only"] = int((share == 0).sum())
        counts["clusters_with_both_arms"] = int(((share > 0) & (share < 1)).sum())
    return counts


def few_clusters(design: Design, labels: npt.NDArray[Any] | None) -> list[str]:
    """Return a warning when an arm has few clusters; every clustered standard error carries it."""
    if labels is None:
        return []
    share = _cluster_shares(labels, design.table.treatment)
    treated, control = int((share > 0).sum()), int((share < 1).sum())
    if min(treated, control) >= FEW_CLUSTERS:
        return []
    return [
        f"{treated} clusters with treated and {control} with control units: with fewer than {FEW_CLUSTERS} in an "
        "arm, clustered standard errors are too small"
    ]


def _cluster_shares(labels: npt.NDArray[Any], treatment: FloatArray) -> FloatArray:
    codes = np.unique(labels, return_inverse=True)[1]
    return np.asarray(np.bincount(codes, weights=treatment) / np.bincount(codes))
