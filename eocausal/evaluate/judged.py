"""Estimates on the units of a `Cate`: which of its effects are judged, and results made of scores on its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.effects.cate import Cate
from eocausal.effects.effect_learners import beyond_single_effects
from eocausal.errors import EvaluationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import Variance, Vcov
from eocausal.inference.vcov import variance_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray = npt.NDArray[np.float64]

KINDS_OF_EFFECTS = ("sequential", "out_of_fold")
HC3 = "HC3"
GROWING = "the result is an average over models trained on growing shares of the folds"
POOLED = (
    "effects='out_of_fold' judges models that have learned from one another's folds: tests reject a true null too "
    "often; effects='sequential' does not"
)


class JudgedEffects(NamedTuple):
    """The predictions that are judged, and what a reader must know of them.

    Attributes
    ----------
    rows : array of shape (n,)
        Which units of the Cate are judged; the arrays below are of these alone, (m,).
    """

    rows: npt.NDArray[np.bool_]
    effects: FloatArray
    folds: npt.NDArray[np.intp]
    weights: FloatArray
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


def require_cate(cate: object, verb: str) -> Cate:
    """Return effects by unit, or raise for anything else."""
    if not isinstance(cate, Cate):
        raise EvaluationError(
            explain(f"{verb}() got a {type(cate).__name__}.", fix=f"ec.{verb}(ec.cate(design))")
        )
    return cate


def judged_effects(cate: Cate, kind: str) -> JudgedEffects:
    """Return the effects of a Cate that are asked to be judged: those of earlier folds, or of all other folds."""
    one_of(kind, KINDS_OF_EFFECTS, argument="effects", error=EvaluationError)
    told = tuple(beyond_single_effects(cate.warnings))
    assumed = tuple(cate.assumptions[:1])
    if kind == "out_of_fold":
        rows = np.ones(cate.ids.size, dtype=bool)
        return JudgedEffects(
            rows, cate.effect_values, cate.folds, cate.weights, assumed, (*told, POOLED)
        )  # fmt: skip
    rows = np.isfinite(cate.sequential_values)
    if not rows.any():
        raise EvaluationError(
            explain(
                "The Cate holds no sequential predictions.", fix="effects='out_of_fold', or ec.cate() again"
            )
        )
    note = f"the {int((~rows).sum())} units of the first fold only train; the rest is judged"
    return JudgedEffects(
        rows, cate.sequential_values[rows], cate.folds[rows], cate.weights[rows],
        (*assumed, GROWING), (*told, note),
    )  # fmt: skip


def estimate_on(
    base: Estimate,
    values: Sequence[float] | FloatArray,
    scores: FloatArray,
    *,
    rows: npt.NDArray[np.bool_] | None = None,
    n_params: int = 1,
    warnings: Sequence[str] = (),
    diagnostics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    **named: Any,
) -> Estimate:
    """Make a result of values (k,) and influence values (m, k) on the units of another result, or on some of them.

    Standard errors are of the kind that it has; those of the average effect of a Cate are clustered where units
    share clusters or images. ``named`` are ``estimand, method, terms, assumptions`` of the :class:`Estimate`.
    """
    kept = np.ones(base.n, dtype=bool) if rows is None else rows
    groups = {name: labels[kept] for name, labels in base.groups.items()}
    places = None if base.coordinates is None else base.coordinates[kept]
    arms = None if base.arms is None else replace(base.arms, treatment=base.arms.treatment[kept])
    how = base.variance.how
    variance = variance_of(
        scores, how, groups=groups, coordinates=places, n_params=n_params, arms=arms
    )  # fmt: skip
    counts = {} if arms is None else arms.counts(how, groups)
    return Estimate(
        values=np.asarray(values, dtype=float),
        ids=base.ids[kept],
        score_values=scores,
        variance=variance,
        groups=groups,
        coordinates=places,
        arms=arms,
        n_params=n_params,
        warnings=(
            *dict.fromkeys(text for text in warnings if text not in base.variance.notes),
            *variance.notes,
        ),
        diagnostics={**counts, **(diagnostics or {})},
        provenance={**base.provenance, **(provenance or {})},
        **named,
    )


def with_hc3(estimate: Estimate, matrix: FloatArray, *, df: float | None = None) -> Estimate:
    """Return a result with a covariance by HC3 in place of its own; warnings and clusters stay."""
    own = estimate.variance
    how = Vcov(HC3, own.how.names)
    made = Variance(
        matrix, own.df if df is None else df, 1.0, own.n_clusters, how=how, notes=own.notes
    )  # fmt: skip
    return replace(estimate, variance=made)


def hc3_clusters(cate: Cate, rows: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[Any] | None:
    """Return the clusters that standard errors of the Cate are made with (m,), or None where there are none."""
    names = cate.average.variance.how.names
    if not names:
        return None
    labels = cate.average.groups[names[0]]
    return labels if rows is None else labels[rows]
