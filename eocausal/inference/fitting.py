"""One fitted nuisance of one fold, whichever learner was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.models import (
    Predictor,
    Sample,
    constant,
    given_classifier,
    given_regressor,
    penalised_logit,
    ridge,
)

if TYPE_CHECKING:
    from eocausal.inference.training_folds import TrainingFold

FloatArray = npt.NDArray[np.float64]
Fit = Callable[[Sample], Predictor]

# A new learner is one function here and its name in eocausal.inference.learners.
OUTCOME_MODELS: dict[str, Fit] = {"ridge": ridge}
PROPENSITY_MODELS: dict[str, Fit] = {"penalised_logit": penalised_logit}


@dataclass(frozen=True)
class Fitted:
    """A model that predicts from columns, and the weights of its parts where it is a stack."""

    predict: Predictor
    weights: Mapping[str, float] = field(default_factory=dict)


def fitted_outcome(part: TrainingFold, rows: npt.NDArray[np.bool_]) -> Fitted:
    """Fit the outcome of one arm on its training rows."""
    sample = part.sample(rows, part.design.table.outcome)
    if sample.columns.shape[1] == 0:
        return Fitted(constant(float(np.average(sample.target, weights=sample.weights))))
    learner = part.learners.outcome
    if not isinstance(learner, str):
        return Fitted(given_regressor(learner, sample))
    return Fitted(_named(OUTCOME_MODELS, learner)(sample))


def fitted_propensity(part: TrainingFold) -> Fitted:
    """Fit the probability of treatment on all training rows."""
    sample = part.sample(part.rows, part.design.table.treatment)
    if sample.columns.shape[1] == 0:
        return Fitted(constant(float(np.average(sample.target, weights=sample.weights))))
    learner = part.learners.propensity
    if not isinstance(learner, str):
        return Fitted(given_classifier(learner, sample))
    return Fitted(_named(PROPENSITY_MODELS, learner)(sample))


def mean_weights(of_folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the weights of a stack, averaged over folds.

    Examples
    --------
    >>> mean_weights([{"linear": 1.0, "boosting": 0.0}, {"linear": 0.5, "boosting": 0.5}])
    {'linear': 0.75, 'boosting': 0.25}
    """
    return {name: float(np.mean([one[name] for one in of_folds])) for name in of_folds[0]}


def _named(models: dict[str, Fit], name: str) -> Fit:
    if name not in models:
        raise EstimationError(explain(f"The learner {name!r} is not built yet.", fix="leave it out"))
    return models[name]
