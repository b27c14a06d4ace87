"""One fitted nuisance of one fold, whichever learner was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.nuisance.boosting import boosted_mean, boosted_probability
from eocausal.nuisance.calibration import CALIBRATORS, Calibrator
from eocausal.nuisance.likelihood import logit, probit
from eocausal.nuisance.models import (
    Predictor,
    Sample,
    constant,
    given_classifier,
    given_regressor,
    penalised_logit,
    ridge,
)
from eocausal.nuisance.stacking import stacked
from eocausal.nuisance.training_folds import require_inner_arms

if TYPE_CHECKING:
    from eocausal.nuisance.training_folds import TrainingFold

FloatArray = npt.NDArray[np.float64]
Fit = Callable[[Sample], Predictor]

# A new learner is one function here and its name in eocausal.nuisance.learners; a stack needs inner folds as well.
OUTCOME_MODELS: dict[str, Fit] = {"ridge": ridge, "boosting": boosted_mean}
PROPENSITY_MODELS: dict[str, Fit] = {
    "penalised_logit": penalised_logit,
    "boosting": boosted_probability,
    "logit": logit,
    "probit": probit,
}
STACK = "stacking"


@dataclass(frozen=True)
class Fitted:
    """A model that predicts from columns, the weights of its parts where it is a stack, and its calibration."""

    predict: Predictor
    weights: Mapping[str, float] = field(default_factory=dict)
    calibrate: Calibrator | None = None


def fitted_outcome(part: TrainingFold, rows: npt.NDArray[np.bool_]) -> Fitted:
    """Fit the outcome of one arm on its training rows."""
    outcome, learner = part.design.table.outcome, part.learners.outcome
    sample = part.sample(rows, outcome)
    if sample.columns.shape[1] == 0:
        return Fitted(constant(float(np.average(sample.target, weights=sample.weights))))
    if isinstance(learner, str) and learner == STACK:
        stack = stacked(part, rows, outcome, whole=sample, treatment=False)
        return Fitted(stack.predict, stack.weights)
    if isinstance(learner, str):
        return Fitted(OUTCOME_MODELS[learner](sample))
    return Fitted(given_regressor(learner, sample))


def fitted_propensity(part: TrainingFold) -> Fitted:
    """Fit the probability of treatment on all training rows, and its calibration where that was asked for."""
    treatment, learner = part.design.table.treatment, part.learners.propensity
    sample = part.sample(part.rows, treatment)
    if sample.columns.shape[1] == 0:
        return Fitted(constant(float(np.average(sample.target, weights=sample.weights))))
    if isinstance(learner, str) and learner == STACK:
        stack = stacked(part, part.rows, treatment, whole=sample, treatment=True)
        return _calibrated(Fitted(stack.predict, stack.weights), part, lambda: stack.inner)
    fit = _propensity_model(part)
    return _calibrated(Fitted(fit(sample)), part, lambda: _held_out(part, fit))


def mean_weights(of_folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the weights of a stack, averaged over folds.

    Examples
    --------
    >>> mean_weights([{"linear": 1.0, "boosting": 0.0}, {"linear": 0.5, "boosting": 0.5}])
    {'linear': 0.75, 'boosting': 0.25}
    """
    return {name: float(np.mean([one[name] for one in of_folds])) for name in of_folds[0]}


def _propensity_model(part: TrainingFold) -> Fit:
    learner = part.learners.propensity
    if isinstance(learner, str):
        return PROPENSITY_MODELS[learner]
    return lambda sample: given_classifier(learner, sample)


def _calibrated(fitted: Fitted, part: TrainingFold, held_out: Callable[[], FloatArray]) -> Fitted:
    """Add the calibration, learned on what was predicted for training rows out of inner fold."""
    if part.learners.calibration is None:
        return fitted
    table, rows = part.design.table, part.rows
    learn = CALIBRATORS[part.learners.calibration]
    weights = table.weights[rows] / table.weights[rows].mean()
    return replace(fitted, calibrate=learn(held_out()[rows], table.treatment[rows], weights))


def _held_out(part: TrainingFold, fit: Fit) -> FloatArray:
    """Return the probability of treatment of the training rows (n,), each from inner folds without it."""
    treatment = part.design.table.treatment
    predicted = np.full(part.rows.size, np.nan)
    for inner in part.inner:
        require_inner_arms(part, inner.train)
        predict = fit(part.sample(inner.train, treatment, inner.reducer))
        predicted[inner.test] = predict(inner.reducer.transform(part.design, inner.test))
    return predicted
