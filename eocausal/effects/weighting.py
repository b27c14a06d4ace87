"""Average effects by a propensity and predicted outcomes, and what every method with a propensity shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import hash_arrays
from eocausal.effects.methods import Asked, Fitted, ignorability
from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.inference.propensity import (
    belied_propensity,
    extreme_propensities,
    few_effective,
    propensity_diagnostics,
)
from eocausal.inference.tilting import balancing_weights
from eocausal.nuisance.cross_fit import Learners, Nuisance, cross_fit
from eocausal.nuisance.settings import dealt

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]


def aipw(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the residuals of out-of-fold outcome predictions by the propensity."""
    nuisance = cross_fit(design, **dealt(design, settings))
    known = nuisance.known_propensity
    kept = kept_units(design, nuisance.propensity, asked)
    table, rows = kept.design.table, kept.rows
    numerator, share = scores.augmented(
        table.outcome,
        table.treatment,
        estimand=asked.estimand,
        propensity=nuisance.propensity[rows],
        outcome_control=nuisance.outcome_control[rows],
        outcome_treated=nuisance.outcome_treated[rows],
    )
    warnings = [
        *kept.warnings,
        *nuisance.warnings,
        *propensity_warnings(design, kept, nuisance.propensity, known, asked),
        *too_wide(design, settings.learners),
    ]
    return Fitted(
        kept.design,
        scores.ratio_of_means(numerator, share, table.weights),
        (ignorability(design, known, settings.learners, asked.estimand), *kept.assumptions),
        tuple(warnings),
        {**_diagnostics(kept, nuisance, settings.learners, asked.estimand), **kept.diagnostics},
        table.weights * balancing_weights(table.treatment, nuisance.propensity[rows], asked.estimand),
        predicted={
            "propensity": nuisance.propensity[rows],
            "outcome_control": nuisance.outcome_control[rows],
            "outcome_treated": nuisance.outcome_treated[rows],
        },
    )


@dataclass(frozen=True, eq=False)
class DoublyRobust:
    """Doubly robust scores (n,), what they were made from, and what a reader must know of them."""

    scores: FloatArray
    nuisance: Nuisance
    diagnostics: Mapping[str, Any]
    warnings: tuple[str, ...]


def doubly_robust_scores(design: Design, settings: Settings) -> DoublyRobust:
    """Return out-of-fold doubly robust scores; shared by ATE and CATE."""
    asked = Asked("ate")
    nuisance = cross_fit(design, **dealt(design, settings))
    propensity, known = nuisance.propensity, nuisance.known_propensity
    dr_scores = scores.doubly_robust(
        design.table.outcome,
        design.table.treatment,
        propensity=propensity,
        outcome_control=nuisance.outcome_control,
        outcome_treated=nuisance.outcome_treated,
    )
    kept = kept_units(design, propensity, asked)
    warnings = (
        *nuisance.warnings,
        *propensity_warnings(design, kept, propensity, known, asked),
        *too_wide(design, settings.learners),
    )
    return DoublyRobust(dr_scores, nuisance, _diagnostics(kept, nuisance, settings.learners, "ate"), warnings)


@dataclass(frozen=True)
class Kept:
    """The units that trimming left, and what a reader must know of it."""

    rows: npt.NDArray[np.bool_]
    design: Design
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def kept_units(design: Design, propensity: FloatArray, asked: Asked) -> Kept:
    """Leave out the units whose propensity the trimming does not allow, and say how many of each arm."""
    treatment = design.table.treatment
    if asked.trim is None:
        return Kept(np.ones(treatment.size, dtype=bool), design)
    low, high = asked.trim.bounds(propensity, treatment)
    rows = (propensity >= low) & (propensity <= high)
    left = {name: int((rows & (treatment == arm)).sum()) for arm, name in ((1, "treated"), (0, "control"))}
    out = {name: int((~rows & (treatment == arm)).sum()) for arm, name in ((1, "treated"), (0, "control"))}
    span = f"[{low:.4g}, {high:.4g}]"
    if min(left.values()) < 2:
        raise EstimationError(
            explain(
                f"Trimming to propensities in {span} leaves {left['treated']} treated and {left['control']} "
                "control units.",
                rule="at least 2 units in each arm",
                fix="wider bounds, or estimand='ato', which weighs units down instead",
            )
        )
    return Kept(
        rows,
        design if rows.all() else design.take(rows),
        (f"the effect is that of the units with a propensity in {span}; which they are is taken as given",),
        (
            f"trimming ({asked.trim.rule}) left out {out['treated']} treated and {out['control']} control units "
            f"with a propensity outside {span}",
        ),
        {
            "trim_low": low,
            "trim_high": high,
            "trimmed_treated": out["treated"],
            "trimmed_control": out["control"],
        },
    )


def propensity_warnings(
    design: Design, kept: Kept, propensity: FloatArray, known: bool, asked: Asked
) -> list[str]:
    """Return warnings: extremes and few left by arm among the units kept, and a known propensity that is belied."""
    treatment, weights = kept.design.table.treatment, kept.design.table.weights
    extreme = extreme_propensities(
        propensity[kept.rows], treatment, asked.estimand, trimmed=asked.trim is not None
    )
    sizes = propensity_diagnostics(propensity[kept.rows], treatment, known, asked.estimand, weights=weights)
    return [*extreme, *few_effective(sizes, treatment), *belied_propensity(design, propensity, known)]


def too_wide(design: Design, learners: Learners) -> list[str]:
    """Return a warning when columns that nothing makes fewer are many for the smaller arm."""
    table = design.table
    width = table.features.shape[1] if learners.columns != "covariates" else 0
    width += len(table.covariate_names) if learners.columns != "features" else 0
    smaller_arm = min(table.treatment.sum(), (1 - table.treatment).sum())
    if learners.pca is not None or width <= smaller_arm / 10:
        return []
    return [
        f"{width} columns for {int(smaller_arm)} units in the smaller arm and no reduction: "
        "more than one column for ten units; Learners(pca=50) reduces within folds"
    ]


def _diagnostics(kept: Kept, nuisance: Nuisance, learners: Learners, estimand: str) -> dict[str, Any]:
    table, rows = kept.design.table, kept.rows
    control, treated = nuisance.outcome_control[rows], nuisance.outcome_treated[rows]
    in_control, in_treated = table.treatment == 0, table.treatment == 1
    return {
        **propensity_diagnostics(
            nuisance.propensity[rows],
            table.treatment,
            nuisance.known_propensity,
            estimand,
            weights=table.weights,
        ),
        "r2_outcome_control": r_squared(table.outcome[in_control], control[in_control]),
        "r2_outcome_treated": r_squared(table.outcome[in_treated], treated[in_treated]),
        "folds_hash": hash_arrays(nuisance.folds),
        **learners.describe(),
        **nuisance.diagnostics,
    }


def r_squared(values: FloatArray, predicted: FloatArray) -> float:
    """Return the share of the variance of values that predictions explain; NaN where they do not vary."""
    residual, total = values - predicted, values - values.mean()
    return float(1 - residual @ residual / (total @ total)) if total @ total > 0 else float("nan")
