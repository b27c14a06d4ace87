"""Average effects without a propensity: the difference in means and the interacted regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.effects.methods import RANDOMISED, Asked, Fitted
from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.inference.parametric import dependent_columns

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

# Under equal probabilities all averages agree; who asks for another one than the ate thinks them unequal.
LINEAR = "given the covariates, treatment is as good as random, and the outcome is linear in them in each arm"


def difference(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Compare the arms as they are, on every unit with an outcome."""
    plain = design.unadjusted()
    table = plain.table
    scored = scores.difference(table.outcome, table.treatment, table.weights)
    return Fitted(plain, scored, (RANDOMISED,), weights=table.weights)


def regression(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Regress the outcome on covariates in each arm and average the gap over the units asked for."""
    table = design.table
    _require_full_rank(design)
    warnings: tuple[str, ...] = ()
    if table.features.shape[1]:
        warnings = ("regression adjusts for covariates only; use method='aipw' to adjust for image features",)
    target = {"ate": None, "att": table.treatment, "atc": 1 - table.treatment}[asked.estimand]
    scored = scores.regression(
        table.outcome, table.treatment, table.weights, covariates=table.covariates, target=target
    )
    return Fitted(design, scored, (RANDOMISED if asked.estimand == "ate" else LINEAR,), warnings)


def _require_full_rank(design: Design) -> None:
    """Raise with the names of covariates that are collinear among the units of an arm."""
    table = design.table
    for arm, name in ((1, "treated"), (0, "control")):
        rows = table.covariates[table.treatment == arm]
        dependent = dependent_columns(rows)
        if dependent:
            names = ["(intercept)", *table.covariate_names]
            raise EstimationError(
                explain(
                    f"Covariates are collinear among the {name} units ({len(rows)} units).",
                    where=[names[position + 1] for position in dependent],
                    rule="covariates have full rank in each arm",
                    fix="leave these covariates out, or use method='aipw', which penalises them",
                )
            )
