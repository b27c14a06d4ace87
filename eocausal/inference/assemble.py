"""From scores to a result: the one place where an estimate gets its standard error, counts and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.inference.arms import Arms
from eocausal.inference.estimate import Estimate
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.vcov import VcovChoice, resolve_vcov, variance_of

if TYPE_CHECKING:
    from eocausal.design import Design


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
    values = np.column_stack([one.scores for one in scored])
    arms = arms_of(design)
    counts = {} if arms is None else arms.counts(how, groups)
    n_params, places = scored[0].n_params, design.table.coordinates
    variance = variance_of(
        values,
        how,
        groups=groups,
        coordinates=places,
        n_params=n_params,
        arms=arms,
        weights=named.get("weights"),
    )
    return Estimate(
        values=np.array([one.estimate for one in scored]),
        ids=design.table.ids,
        score_values=values,
        variance=variance,
        groups=groups,
        coordinates=places,
        arms=arms,
        n_params=n_params,
        warnings=(*design.table.notes, *warnings, *variance.notes),
        diagnostics={**unit_counts(design), **counts, **(diagnostics or {})},
        **named,
    )


def arms_of(design: Design) -> Arms | None:
    """Return who was treated, and by what groups; None where the treatment is a dose."""
    if design.treatment_type == "continuous":
        return None
    return Arms(design.table.assigned, design.cluster)


def unit_counts(design: Design) -> dict[str, int]:
    """Return how many units the arms have: treated and control, or each of several; none of a dose."""
    table = design.table
    names = {code: f"n_{arm}" for code, arm in enumerate(table.arms)}
    order = [*range(1, len(names)), *range(min(1, len(names)))]
    return {names[code]: int((table.assigned == code).sum()) for code in order}
