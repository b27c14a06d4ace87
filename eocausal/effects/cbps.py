"""Average effects by a logit whose coefficients are chosen for balance instead of likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.effects.balancing import balancing_assumption, columns_to_balance
from eocausal.effects.coefficients import fitted_propensity, idle_columns, many_coefficients
from eocausal.effects.ipw import weight_diagnostics
from eocausal.effects.methods import Asked, Fitted
from eocausal.inference.propensity import extreme_propensities, few_effective, propensity_diagnostics
from eocausal.inference.smd import standardised_differences
from eocausal.inference.stacked import normalised_difference, stack
from eocausal.inference.tilting import balancing_weights

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

# Besides the right logit, what makes an average right: arms balanced to the group asked for need outcomes that are
# linear in the arms that are weighed; arms balanced to one another, but to no given mean, need equal slopes too.
LINEAR = {
    "ate": "the outcome is linear in them with the same slopes in both arms",
    "att": "the outcome of controls is linear in them",
    "atc": "the outcome of the treated is linear in them",
    "ato": "the outcome is linear in them with the same slopes in both arms",
}


def cbps(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the arms by the logit whose weights give covariates and leading components equal means."""
    table = design.table
    columns = columns_to_balance(design, settings)
    fitted = fitted_propensity(
        design, columns, model=f"balance {asked.estimand}", what="The balancing logit",
        fix="fewer components (learners=ec.Learners(pca=5)), leave these covariates out, estimand='att' or 'atc' "
        "where one arm is small, or method='aipw', estimand='ato'",
    )  # fmt: skip
    propensity = fitted.propensity
    scored, pull = normalised_difference(
        table.outcome, table.treatment, table.weights, propensity=propensity, estimand=asked.estimand
    )
    weights = table.weights * balancing_weights(table.treatment, propensity, asked.estimand)
    smd = standardised_differences(
        columns.values, table.treatment, weights=weights, base_weights=table.weights
    )
    said = propensity_diagnostics(propensity, table.treatment, False, asked.estimand, weights=table.weights)
    either = f"their logit is the right form of the propensity or {LINEAR[asked.estimand]}"
    return Fitted(
        design,
        stack(scored, pull, fitted),
        (balancing_assumption(design, settings, asked.estimand, either=either),),
        (
            *extreme_propensities(propensity, table.treatment, asked.estimand),
            *idle_columns(columns),
            *many_coefficients(columns, table.treatment),
            *few_effective(said, table.treatment),
        ),
        {
            **said,
            "propensity": "logit (balances the arms)",
            "balanced_columns": len(columns.names),
            "largest_smd_after_weighting": float(np.abs(smd).max()),
            **weight_diagnostics(design, propensity, asked.estimand),
            "pca": settings.learners.pca,
        },
        weights,
        predicted={"propensity": propensity},
    )
