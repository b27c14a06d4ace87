"""The average effect of one more unit of a dose, where it is the same at every dose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import hash_arrays
from eocausal.effects.least_squares import COEFFICIENT, ols
from eocausal.effects.methods import LEADING, Asked, Fitted, Method
from eocausal.effects.weighting import r_squared
from eocausal.inference import scores
from eocausal.nuisance.pooled import expected_out_of_fold
from eocausal.nuisance.settings import dealt

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

SLOPE = "slope"
OF_PROPENSITIES = ("propensity_learner", "calibration")
AVERAGED = (
    "the outcome is linear in the dose with one slope; where slopes differ, their average has as weights the "
    "variance of the dose given what is known of the unit"
)
# When so little of the dose is left by the columns, few units say anything of its effect.
LITTLE_LEFT = 0.05


def partially_linear(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Regress what columns leave of the outcome on what they leave of the dose, both out of fold."""
    table, how = design.table, dealt(design, settings)
    outcome = expected_out_of_fold(design, table.outcome, **how)
    dose = expected_out_of_fold(design, table.assigned, **how)
    left = table.assigned - dose
    share = float(left @ left / np.sum((table.assigned - table.assigned.mean()) ** 2))
    warnings = set_aside(settings.learners)
    if share < LITTLE_LEFT:
        warnings.append(
            f"covariates and features predict the dose but for {100 * share:.1f}% of its variance: the slope rests "
            "on that little, and on a linear outcome"
        )
    return Fitted(
        design,
        scores.partially_linear(table.outcome - outcome, left, table.weights),
        (as_good_as_random(design, settings.learners), AVERAGED),
        tuple(warnings),
        {
            "r2_outcome": r_squared(table.outcome, outcome),
            "r2_dose": 1 - share,
            "folds_hash": hash_arrays(how["folds"]),
            **described(settings.learners),
        },
        predicted={"treatment_mean": dose, "outcome_mean": outcome},
    )


def described(learners: Learners) -> dict[str, Any]:
    """Return what a reader must know of the learners; a dose has no propensity, so none was learned."""
    return {name: value for name, value in learners.describe().items() if name not in OF_PROPENSITIES}


def set_aside(learners: Learners) -> list[str]:
    """Return a warning where a propensity learner or a calibration was chosen, which nothing here uses."""
    if not learners.chosen_propensity:
        return []
    said = learners.describe()
    how = f", calibration={learners.calibration!r}" if learners.calibration else ""
    return [
        f"a dose has no propensity, so the propensity learner asked for was not used "
        f"({said['propensity_learner']}{how}); the outcome learner predicts outcome and dose"
    ]


def as_good_as_random(design: Design, learners: Learners) -> str:
    """Return what must hold of the doses for an adjusted estimate to be causal."""
    table = design.table
    used = ["covariates"] if table.covariate_names and learners.columns != "features" else []
    used += ["image features"] if table.features.shape[1] and learners.columns != "covariates" else []
    if not used:
        return "the dose was randomised in the same way for all units"
    return f"given the {' and '.join(used)}, the dose is as good as random"


def _predicts(design: Design, learners: Learners) -> str:
    """Return nothing: outcome and dose are predicted out of fold."""
    return ""


DOSE_METHODS: dict[str, Method] = {
    "partially_linear": Method(
        partially_linear,
        estimands=(SLOPE,),
        why="of a dose it is the slope of the outcome; ec.dose_response(design) has the outcome at each dose",
        why_not_trimmed="of a dose has no propensity to trim by",
        still=_predicts,
    ),
    "ols": Method(
        ols,
        estimands=(COEFFICIENT,),
        why="it is the coefficient of the dose in one regression",
        why_not_trimmed="of a dose has no propensity to trim by",
        learners=LEADING,
    ),
}
