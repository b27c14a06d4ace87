"""The partially linear model: residuals of the outcome on residuals of the treatment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal._provenance import hash_arrays
from eocausal.effects.methods import Asked, Fitted, ignorability
from eocausal.effects.weighting import kept_units, propensity_warnings, r_squared, too_wide
from eocausal.inference import scores
from eocausal.inference.propensity import propensity_diagnostics
from eocausal.inference.tilting import balancing_weights
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.pooled import outcome_over_arms
from eocausal.nuisance.settings import dealt

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

AVERAGED = (
    "where effects differ, their average has weights e (1 - e): units that could have been in either arm "
    "count most"
)


def partially_linear(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Regress what is left of the outcome on what is left of the treatment, both out of fold."""
    how = dealt(design, settings)
    found = propensities(design, **how)
    everywhere, stacks = outcome_over_arms(design, **how, propensity=found.values)
    kept = kept_units(design, found.values, asked)
    table, propensity, predicted = kept.design.table, found.values[kept.rows], everywhere[kept.rows]
    scored = scores.partially_linear(table.outcome - predicted, table.treatment - propensity, table.weights)
    return Fitted(
        kept.design,
        scored,
        (ignorability(design, found.known, settings.learners, "ato"), AVERAGED, *kept.assumptions),
        (
            *kept.warnings,
            *found.warnings,
            *propensity_warnings(design, kept, found.values, found.known, asked),
            *too_wide(design, settings.learners),
        ),
        {
            **propensity_diagnostics(propensity, table.treatment, found.known, "ato", weights=table.weights),
            "r2_outcome": r_squared(table.outcome, predicted),
            "folds_hash": hash_arrays(how["folds"]),
            **settings.learners.describe(),
            **found.diagnostics,
            **stacks,
            **kept.diagnostics,
        },
        table.weights * balancing_weights(table.treatment, propensity, "ato"),
        predicted={"treatment_mean": propensity, "outcome_mean": predicted},
    )
