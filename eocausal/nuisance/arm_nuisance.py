"""Out-of-fold predictions for several arms: the probability of each, and the outcome in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.columns import has_columns, require_columns_asked
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.fitting import fitted_outcome
from eocausal.nuisance.folds import group_splits
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.models import INNER_SPLITS, LOGIT_INVERSE_PENALTIES, Sample, fit_weighted
from eocausal.nuisance.training_folds import TrainingFold, training_folds

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Predictor = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class ArmPropensities:
    """The probability of each arm (n, K), the control first, and what a reader must know of it."""

    values: FloatArray
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArmNuisance:
    """Predictions for each unit from models that did not see its fold.

    Attributes
    ----------
    outcomes, propensities : array of shape (n, K)
        By arm, the control first; propensities sum to 1.
    folds : array of shape (n,)
    warnings : tuple of str
    """

    outcomes: FloatArray
    propensities: FloatArray
    folds: Codes
    warnings: tuple[str, ...] = ()


def cross_fit_arms(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> ArmNuisance:
    """Return all nuisance predictions on the same folds."""
    parts = _parts(design, folds, learners, seed=seed, groups=groups)
    chances = _propensities(design, folds, learners, parts, seed=seed, groups=groups)
    return ArmNuisance(_outcomes(design, parts), chances.values, folds, chances.warnings)


@one_blas_thread()
def _outcomes(design: Design, parts: list[TrainingFold]) -> FloatArray:
    """Return the predicted outcome in each arm (n, K), one model for each arm."""
    table = design.table
    predicted = np.zeros((len(design), len(table.arms)))
    for part in parts:
        columns = part.reducer.transform(design, ~part.rows)
        for code in range(len(table.arms)):
            rows = part.rows & (table.assigned == code)
            predicted[~part.rows, code] = fitted_outcome(part, rows).predict(columns)
    return predicted


def arm_propensities(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> ArmPropensities:
    """Return the probability of each arm.

    Two arms have the propensity that two arms have everywhere else. For more, the default learner is one
    multinomial logit with a ridge penalty, and a scikit-learn classifier learns all arms at once. Other learners,
    and all with calibration, predict each arm against all others; the probabilities are then divided by their sum.

    Raises
    ------
    EstimationError
        Predictions that were made beforehand, an arm with fewer than two units outside a fold, a probability of
        exactly 0 or 1, or a classifier that does not predict every arm.
    """
    parts = _parts(design, folds, learners, seed=seed, groups=groups)
    return _propensities(design, folds, learners, parts, seed=seed, groups=groups)


@one_blas_thread()
def _propensities(
    design: Design, folds: Codes, learners: Learners, parts: list[TrainingFold], *, seed: int, groups: Codes
) -> ArmPropensities:
    arms = design.table.arms
    options: dict[str, Any] = {"seed": seed, "groups": groups}
    if len(arms) == 2:
        found = propensities(design.against_rest(arms[1]), folds, learners, **options)
        return ArmPropensities(np.column_stack([1 - found.values, found.values]), found.warnings)
    notes: tuple[str, ...] = ()
    jointly = learners.calibration is None and not (
        isinstance(learners.propensity, str) and learners.propensity != "penalised_logit"
    )
    if jointly or not has_columns(design, learners.columns):
        chances = _joint(design, parts, learners)
    else:
        each = [propensities(design.against_rest(arm), folds, learners, **options) for arm in arms]
        chances = np.column_stack([one.values for one in each])
        notes = tuple(
            f"arm {arm!r} against all others: {text}" for arm, one in zip(arms, each) for text in one.warnings
        )
    chances = chances / chances.sum(axis=1, keepdims=True)
    _require_inside(chances, design)
    return ArmPropensities(np.asarray(chances), notes)


def _parts(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> list[TrainingFold]:
    """Return the training folds, each with two units of each arm at least."""
    _refuse_predictions(learners)
    require_columns_asked(design, learners.columns)
    table = design.table
    parts = training_folds(design, folds, learners, seed=seed, groups=groups)
    for part in parts:
        counts = [int((part.rows & (table.assigned == code)).sum()) for code in range(len(table.arms))]
        if min(counts) < 2:
            raise EstimationError(
                explain(
                    f"Outside fold {part.fold} some arms have fewer than 2 units.",
                    where=[f"{arm}: {count}" for arm, count in zip(table.arms, counts) if count < 2],
                    rule="at least 2 of each arm to learn from",
                    fix="fewer folds: Folds(k=2), put small arms together, or method='difference'",
                )
            )
    return parts


def _joint(design: Design, parts: list[TrainingFold], learners: Learners) -> FloatArray:
    """Return probabilities (n, K) of one model for all arms."""
    chances = np.zeros((len(design), len(design.table.arms)))
    for part in parts:
        sample = part.sample(part.rows, design.table.assigned)
        predict = _shares(sample) if not sample.columns.shape[1] else _classifier(sample, learners)
        chances[~part.rows] = predict(part.reducer.transform(design, ~part.rows))
    return chances


def _shares(sample: Sample) -> Predictor:
    shares = np.bincount(sample.target.astype(int), weights=sample.weights) / (
        sample.target.size if sample.weights is None else sample.weights.sum()
    )
    return lambda columns: np.tile(shares, (len(columns), 1))


def _classifier(sample: Sample, learners: Learners) -> Predictor:
    from sklearn.base import clone

    named = isinstance(learners.propensity, str)
    codes = sample.target.astype(int)
    model = fit_weighted(
        _logit(_best_penalty(sample)) if named else clone(learners.propensity), sample, codes
    )
    n_arms = int(codes.max()) + 1

    def predict(columns: FloatArray) -> FloatArray:
        chances = np.asarray(model.predict_proba(columns), dtype=float)
        if chances.shape != (len(columns), n_arms) or not np.isfinite(chances).all():
            raise EstimationError(
                explain(
                    f"The propensity learner {type(model).__name__} predicted shape {chances.shape} or values that "
                    "are not finite.",
                    rule=f"one probability for each of {n_arms} arms and {len(columns)} units",
                )
            )
        return chances

    return predict


def _logit(inverse_penalty: float, *, onwards: bool = False) -> Any:
    """Return a multinomial logit with a ridge penalty; ``onwards`` starts each fit where the last one ended."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=inverse_penalty, solver="newton-cholesky", max_iter=1000, warm_start=onwards)


def _best_penalty(sample: Sample) -> float:
    """Return the inverse penalty with the least log loss, weighted as units are, on the parts left out."""
    codes = sample.target.astype(int)
    losses = np.zeros(len(LOGIT_INVERSE_PENALTIES))
    for train, test in _splits_with_all_arms(sample):
        learned, model = sample.rows(train), _logit(1.0, onwards=True)
        for position, inverse in enumerate(LOGIT_INVERSE_PENALTIES):
            fit_weighted(model.set_params(C=inverse), learned, codes[train])
            own = model.predict_log_proba(sample.columns[test])[np.arange(test.size), codes[test]]
            losses[position] -= np.average(own, weights=sample.case_weights[test])
    return float(LOGIT_INVERSE_PENALTIES[np.argmin(losses)])


def _splits_with_all_arms(sample: Sample) -> list[Any]:
    """Return the inner splits whose training and test parts hold every arm."""
    n_arms = np.unique(sample.target).size
    splits = group_splits(sample.groups, k=INNER_SPLITS)
    usable = [
        split for split in splits if all(np.unique(sample.target[part]).size == n_arms for part in split)
    ]
    if not usable:
        raise EstimationError(
            explain(
                "No inner fold holds every arm, so the penalty of the propensities cannot be chosen.",
                rule="several clusters of each arm outside each fold",
                fix="fewer folds: Folds(k=2), put small arms together, or Learners(propensity=...) with a fixed "
                "penalty",
            )
        )
    return usable


def _refuse_predictions(learners: Learners) -> None:
    given = [role for role in ("outcome", "propensity") if isinstance(getattr(learners, role), OutOfFold)]
    if given:
        raise EstimationError(
            explain(
                "Predictions that were made beforehand are of two arms, and this treatment has several.",
                where=given,
                fix="compare two arms, design.pair(arm), or learn from features",
            )
        )


def _require_inside(chances: FloatArray, design: Design) -> None:
    bad = ~((chances > 0) & (chances < 1)).all(axis=1)
    if bad.any():
        raise EstimationError(
            explain(
                "The propensity learner predicts exactly 0 or 1 for an arm, so these units have no counterpart.",
                where=design.table.ids[bad],
                rule="0 < probability of each arm < 1",
                fix="use a smoother learner (the default logit), or leave these units out: design.take(rows)",
            )
        )
