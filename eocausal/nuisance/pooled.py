"""The outcome predicted from covariates and features alone, over all arms together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.nuisance.columns import require_columns_asked
from eocausal.nuisance.fitting import fitted_outcome, mean_weights
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.training_folds import TrainingFold

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@one_blas_thread()
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
    require_columns_asked(design, learners.columns)
    values = np.zeros(len(design))
    mixed = []
    for fold in range(int(folds.max()) + 1):
        part = TrainingFold(design, fold, folds != fold, groups=groups, learners=learners, seed=seed)
        model = fitted_outcome(part, part.rows)
        values[~part.rows] = model.predict(part.reducer.transform(design, ~part.rows))
        mixed.append(model.weights)
    return values, {"stack_outcome": mean_weights(mixed)} if mixed[0] else {}
