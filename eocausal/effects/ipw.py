"""Average effects by the propensity alone: each arm weighed to the group that is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.effects.coefficients import (
    ModelColumns,
    fitted_propensity,
    idle_columns,
    many_coefficients,
    model_columns,
)
from eocausal.effects.methods import Asked, Fitted, ignorability
from eocausal.effects.weighting import Kept, kept_units, propensity_warnings
from eocausal.inference.parametric import FittedPropensity
from eocausal.inference.propensity import propensity_diagnostics
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.smd import standardised_differences
from eocausal.inference.stacked import expanded_difference, normalised_difference, stack
from eocausal.inference.tilting import balancing_weights, stabilised_weights
from eocausal.nuisance.columns import ColumnReducer
from eocausal.nuisance.cross_fit import LEADING_COMPONENTS, propensities
from eocausal.nuisance.settings import dealt

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
_Difference = Callable[..., tuple[ScoredEstimate, FloatArray]]

# Standardised mean difference above which a weighted comparison is called unbalanced.
BALANCED_SMD = 0.1
# An estimate that a constant added to the outcome moves by more than this share of it is told of.
UNEVEN = 0.01
# Where a propensity is from.
KNOWN, LEARNED = "known", "learned out of fold"


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
    if found.fitted is not None:
        scored = stack(scored, pull, found.fitted)
    worst = _worst_weighted_smd(kept.design, propensity, asked.estimand, settings)
    warnings = [
        *kept.warnings,
        *propensity_warnings(design, kept, found.everywhere, known, asked),
        *found.warnings,
        *_not_to_be_trusted(found, worst),
    ]
    if difference is expanded_difference:
        warnings += _uneven_totals(kept.design, propensity, asked.estimand)
    weighs_by = replace(settings.learners, outcome=None)  # no prediction of the outcome enters
    return Fitted(
        kept.design,
        scored,
        (ignorability(design, known, weighs_by, asked.estimand), *found.assumptions, *kept.assumptions),
        tuple(warnings),
        {
            **propensity_diagnostics(
                propensity, table.treatment, known, asked.estimand, weights=table.weights
            ),
            "propensity": found.source,
            "largest_smd_after_weighting": worst,
            **weight_diagnostics(kept.design, propensity, asked.estimand),
            **kept.diagnostics,
            **found.diagnostics,
        },
        table.weights * balancing_weights(table.treatment, propensity, asked.estimand),
        predicted={"propensity": propensity},
    )


def _not_to_be_trusted(found: _Assigned, worst: float) -> list[str]:
    """Return warnings of a propensity that was not known: an interval without ground, arms that stay unlike."""
    told = []
    if found.source == LEARNED:
        told.append(
            "the propensity was learned, and this standard error takes it as known: IPW with a learned "
            "propensity has no valid interval in general; prefer method='aipw', or a propensity with few "
            "coefficients, Learners(propensity='logit')"
        )
    if found.source != KNOWN and worst > BALANCED_SMD:
        told.append(
            f"after weighting, the largest standardised mean difference is {worst:.2f} (bound {BALANCED_SMD}): "
            "the weights do not balance the arms"
        )
    return told


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
        KNOWN if found.known else LEARNED,
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
        (*idle_columns(columns), *many_coefficients(columns, kept.design.table.treatment)),
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
