"""Average effects by the propensity: weighting, and weighting augmented by predicted outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import hash_arrays
from eocausal.effects.coefficients import ModelColumns, fitted_propensity, many_coefficients, model_columns
from eocausal.effects.methods import Asked, Fitted, ignorability
from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.inference.columns import ColumnReducer
from eocausal.inference.nuisance import (
    LEADING_COMPONENTS,
    Learners,
    Nuisance,
    cross_fit,
    propensities,
)
from eocausal.inference.parametric import FittedPropensity
from eocausal.inference.propensity import (
    belied_propensity,
    extreme_propensities,
    propensity_diagnostics,
)
from eocausal.inference.smd import standardised_differences
from eocausal.inference.stacked import expanded_difference, normalised_difference, stack
from eocausal.inference.tilting import balancing_weights, stabilised_weights

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.settings import Settings

FloatArray = npt.NDArray[np.float64]
_Difference = Callable[..., tuple[scores.ScoredEstimate, FloatArray]]

# Standardised mean difference above which a weighted comparison is called unbalanced.
BALANCED_SMD = 0.1
# An estimate that a constant added to the outcome moves by more than this share of it is told of.
UNEVEN = 0.01
KNOWN = "known"


def ipw(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the arms by the propensity, each to a mean of 1 (Hajek)."""
    return _weighted(design, settings, asked, difference=normalised_difference)


def horvitz_thompson(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the arms by the propensity, as the weights are."""
    return _weighted(design, settings, asked, difference=expanded_difference)


def _weighted(design: Design, settings: Settings, asked: Asked, *, difference: _Difference) -> Fitted:
    found = _assigned(design, settings, asked)
    kept, propensity, known = found.kept, found.propensity, found.source == KNOWN
    table = kept.design.table
    scored, pull = difference(
        table.outcome, table.treatment, table.weights, propensity=propensity, estimand=asked.estimand
    )
    warnings = [*kept.warnings, *propensity_warnings(design, kept, found.everywhere, known, asked)]
    warnings += found.warnings
    if found.fitted is not None:
        scored = stack(scored, pull, found.fitted)
    elif not known:
        warnings.append(
            "the propensity was learned, and this standard error takes it as known: IPW with a learned "
            "propensity has no valid interval in general; prefer method='aipw', or a propensity with few "
            "coefficients, Learners(propensity='logit')"
        )
    worst = _worst_weighted_smd(kept.design, propensity, asked.estimand, settings)
    if not known and worst > BALANCED_SMD:
        warnings.append(
            f"after weighting, the largest standardised mean difference is {worst:.2f} (bound {BALANCED_SMD}): "
            "the weights do not balance the arms"
        )
    if difference is expanded_difference:
        warnings += _uneven_totals(kept.design, propensity, asked.estimand)
    weighs_by = replace(settings.learners, outcome=None)  # no prediction of the outcome enters
    return Fitted(
        kept.design,
        scored,
        (ignorability(design, known, weighs_by, asked.estimand), *found.assumptions, *kept.assumptions),
        tuple(warnings),
        {
            **propensity_diagnostics(propensity, table.treatment, known, asked.estimand),
            "propensity": found.source,
            "largest_smd_after_weighting": worst,
            **weight_diagnostics(kept.design, propensity, asked.estimand),
            **kept.diagnostics,
            **found.diagnostics,
        },
        table.weights * balancing_weights(table.treatment, propensity, asked.estimand),
    )


@dataclass(frozen=True)
class _Assigned:
    """The propensity of the units kept and of all, where it is from, and its coefficients where it has some."""

    kept: Kept
    propensity: FloatArray
    everywhere: FloatArray
    source: str
    fitted: FittedPropensity | None = None
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def _assigned(design: Design, settings: Settings, asked: Asked) -> _Assigned:
    """Return the known propensity, else the one that the learners ask for."""
    model = settings.learners.parametric
    if design.table.propensity is None and model is not None:
        return _by_likelihood(design, settings, asked, model=model)
    found = propensities(design, **dealt(design, settings))
    kept = kept_units(design, found.values, asked)
    return _Assigned(
        kept,
        found.values[kept.rows],
        found.values,
        KNOWN if found.known else "learned out of fold",
        warnings=found.warnings,
        diagnostics=found.diagnostics,
    )


def _by_likelihood(design: Design, settings: Settings, asked: Asked, *, model: str) -> _Assigned:
    """Fit a propensity to all units by maximum likelihood; after trimming, again to those that are left.

    The second fit makes the propensity that of the units compared, and the stacked standard error one of a fit to
    them: Li, Thomas and Li (2019), American Journal of Epidemiology 188, 250-257.
    """
    columns, fitted = _likelihood_fit(design, settings, model=model)
    everywhere = fitted.propensity
    kept = kept_units(design, everywhere, asked)
    assumptions = [f"the {model} is the right form of the propensity"]
    if not kept.rows.all():
        columns, fitted = _likelihood_fit(kept.design, settings, model=model)
        assumptions.append(f"the {model} was fitted again to the units that trimming kept")
    return _Assigned(
        kept,
        fitted.propensity,
        everywhere,
        f"{model} (maximum likelihood on all units)",
        fitted,
        tuple(assumptions),
        tuple(many_coefficients(columns, kept.design.table.treatment)),
    )


def _likelihood_fit(
    design: Design, settings: Settings, *, model: str
) -> tuple[ModelColumns, FittedPropensity]:
    columns = model_columns(design, settings)
    fix = (
        "leave out what tells the arms apart, fewer components (Learners(pca=5)), or the penalised "
        "Learners(propensity='penalised_logit')"
    )
    return columns, fitted_propensity(design, columns, model=model, what=f"The {model}", fix=fix)


def weight_diagnostics(design: Design, propensity: FloatArray, estimand: str) -> dict[str, float]:
    """Return what stabilised weights are before any normalisation: about 1 on average where all is well."""
    table = design.table
    stabilised = stabilised_weights(table.treatment, propensity, estimand, weights=table.weights)
    return {
        "stabilised_weight_mean": float(np.average(stabilised, weights=table.weights)),
        "stabilised_weight_min": float(stabilised.min()),
        "stabilised_weight_max": float(stabilised.max()),
    }


def _uneven_totals(design: Design, propensity: FloatArray, estimand: str) -> list[str]:
    """Return a warning when weights that are not normalised make the estimate depend on the outcome's zero."""
    table = design.table
    sums, _ = expanded_difference(
        np.ones(len(design)), table.treatment, table.weights, propensity=propensity, estimand=estimand
    )
    if abs(sums.estimate) <= UNEVEN:
        return []
    return [
        "the weights of the two arms have unequal totals, so adding 1 to every outcome would move this estimate "
        f"by {sums.estimate:.3f}; method='ipw' normalises them"
    ]


def dealt(design: Design, settings: Settings) -> dict[str, Any]:
    """Return what makes out-of-fold predictions: folds, learners, seed, and what inner splits keep whole."""
    return {
        "folds": settings.folds.assign(design, seed=settings.seed),
        "learners": settings.learners,
        "seed": settings.seed,
        "groups": settings.folds.groups(design),
    }


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
    )


def doubly_robust_scores(design: Design, settings: Settings) -> tuple[FloatArray, dict[str, Any], list[str]]:
    """Return out-of-fold doubly robust scores (n,), diagnostics and warnings; shared by ATE and CATE."""
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
    warnings = [
        *nuisance.warnings,
        *propensity_warnings(design, kept, propensity, known, asked),
        *too_wide(design, settings.learners),
    ]
    return dr_scores, _diagnostics(kept, nuisance, settings.learners, "ate"), warnings


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
    """Return warnings: extremes by arm among the units kept, and a known propensity that the shares belie."""
    extreme = extreme_propensities(
        propensity[kept.rows], kept.design.table.treatment, asked.estimand, trimmed=asked.trim is not None
    )
    return [*extreme, *belied_propensity(design, propensity, known)]


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
    return {
        **propensity_diagnostics(
            nuisance.propensity[rows], table.treatment, nuisance.known_propensity, estimand
        ),
        "r2_outcome_control": r_squared(table.outcome, control, table.treatment == 0),
        "r2_outcome_treated": r_squared(table.outcome, treated, table.treatment == 1),
        "folds_hash": hash_arrays(nuisance.folds),
        **learners.describe(),
        **nuisance.diagnostics,
    }


def _worst_weighted_smd(design: Design, propensity: FloatArray, estimand: str, settings: Settings) -> float:
    """Largest difference left by the weights among covariates and the leading components of the features."""
    table, rows = design.table, np.arange(len(design))
    columns = (
        ColumnReducer(pca=LEADING_COMPONENTS, seed=settings.seed).fit(design, rows).transform(design, rows)
    )
    if columns.shape[1] == 0:
        return 0.0
    weights = table.weights * balancing_weights(table.treatment, propensity, estimand)
    smd = standardised_differences(columns, table.treatment, weights=weights, base_weights=table.weights)
    return float(np.abs(smd).max())


def r_squared(outcome: FloatArray, predicted: FloatArray, rows: npt.NDArray[np.bool_]) -> float:
    """Return the share of the outcome's variance among some rows that predictions explain."""
    residual = outcome[rows] - predicted[rows]
    total = outcome[rows] - outcome[rows].mean()
    return float(1 - residual @ residual / (total @ total)) if total @ total > 0 else float("nan")
