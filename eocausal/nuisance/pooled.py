"""What covariates and features predict whatever the treatment, over all units together."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.columns import require_columns_asked
from eocausal.nuisance.fitting import fitted_outcome, mean_weights
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.training_folds import training_folds

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


def outcome_over_arms(
    design: Design,
    folds: Codes,
    learners: Learners,
    *,
    seed: int,
    groups: Codes,
    propensity: FloatArray,
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the outcome that covariates and features predict whatever the treatment, (n,), out of fold.

    One model of the outcome learner on all units outside the fold. Predictions by arm that were made beforehand are
    averaged by the ``propensity``. The second value holds the weights of a stack.
    """
    if isinstance(learners.outcome, OutOfFold):
        control, treated = learners.outcome.out_of_fold(design, folds).T
        return propensity * treated + (1 - propensity) * control, {}
    values, mixed = _predicted_out_of_fold(design, folds, learners, seed=seed, groups=groups)
    return values, {"stack_outcome": mean_weights(mixed)} if mixed[0] else {}


def expected_out_of_fold(
    design: Design, target: FloatArray, folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> FloatArray:
    """Return what covariates and features predict of any target (n,), such as the dose, out of fold."""
    refuse_predictions_by_arm(learners)
    view = with_columns(design, outcome=target)
    return _predicted_out_of_fold(view, folds, learners, seed=seed, groups=groups)[0]


def with_columns(design: Design, **columns: Any) -> Design:
    """Return the design with columns of its table replaced, for learners alone."""
    view = copy(design)
    object.__setattr__(view, "table", replace(design.table, **columns))
    return view


def refuse_predictions_by_arm(learners: Learners) -> None:
    """Raise where the outcome was predicted beforehand: by arm, of which a dose has none."""
    if isinstance(learners.outcome, OutOfFold):
        raise EstimationError(
            explain(
                "The outcome was predicted beforehand by arm, and this treatment is a dose.",
                fix="Learners(outcome='ridge'), or a scikit-learn regressor",
            )
        )


@one_blas_thread()
def _predicted_out_of_fold(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> tuple[FloatArray, list[Mapping[str, float]]]:
    """Return the outcome of each unit (n,) predicted from all units outside its fold, and the weights of stacks."""
    require_columns_asked(design, learners.columns)
    values = np.zeros(len(design))
    mixed = []
    for part in training_folds(design, folds, learners, seed=seed, groups=groups):
        model = fitted_outcome(part, part.rows)
        values[~part.rows] = model.predict(part.reducer.transform(design, ~part.rows))
        mixed.append(model.weights)
    return values, mixed
