"""Several learners mixed with weights that predict best what none of them has seen (late fusion).

The weights are non-negative and sum to one: the super learner of van der Laan, Polley and Hubbard (2007),
Statistical Applications in Genetics and Molecular Biology 6, 25; the stacked regressions of Breiman (1996), Machine
Learning 24.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.nuisance.boosting import best_trees, boosted_mean, boosted_probability
from eocausal.nuisance.models import Predictor, Sample, penalised_logit, ridge
from eocausal.nuisance.training_folds import require_inner_arms, require_inner_rows

if TYPE_CHECKING:
    from eocausal.nuisance.training_folds import TrainingFold

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Probabilities nearer to 0 or 1 than this count as this near in the loss of a mixture.
NEAREST = 1e-12


@dataclass(frozen=True)
class Base:
    """A learner of a stack: its name, the columns that it sees, and how it is fitted."""

    name: str
    columns: slice
    fit: Callable[[Sample], Predictor]


@dataclass(frozen=True)
class Stack:
    """A fitted mixture.

    Attributes
    ----------
    predict : callable
    weights : dict of name to weight
    inner : array of shape (n,)
        What the mixture predicts for each row it was learned from, out of inner fold; NaN elsewhere.
    """

    predict: Predictor
    weights: dict[str, float]
    inner: FloatArray


def stacked(
    part: TrainingFold, rows: BoolArray, target: FloatArray, *, whole: Sample, treatment: bool
) -> Stack:
    """Fit a stack of the target (n,) on some training rows; ``whole`` is the sample of all of these."""
    bases = _bases(whole, part.reducer.n_covariates, treatment=treatment)
    predicted = np.full((rows.size, len(bases)), np.nan)
    dealt = np.full(rows.size, -1)
    for position, inner in enumerate(part.inner):
        train, test = rows & inner.train, rows & inner.test
        if treatment:
            require_inner_arms(part, train)
        else:
            require_inner_rows(part, train)
        if not test.any():  # no unit of this arm
            continue
        sample = part.sample(train, target, inner.reducer)
        columns = inner.reducer.transform(part.design, test)
        dealt[test] = position
        for column, base in enumerate(bases):
            predicted[test, column] = base.fit(sample.only(base.columns))(columns[:, base.columns])
    mix = partial(simplex_weights, treatment=treatment)
    table_weights = part.design.table.weights
    shares = mix(predicted[rows], target[rows], weights=table_weights[rows])
    held_out = np.full(rows.size, np.nan)
    for position in range(len(part.inner)):
        others, own = rows & (dealt != position), rows & (dealt == position)
        held_out[own] = predicted[own] @ mix(predicted[others], target[others], weights=table_weights[others])
    fitted = [(base.columns, base.fit(whole.only(base.columns))) for base in bases]

    def predict(columns: FloatArray) -> FloatArray:
        return np.column_stack([one(columns[:, seen]) for seen, one in fitted]) @ shares

    return Stack(predict, {base.name: float(share) for base, share in zip(bases, shares)}, held_out)


def simplex_weights(
    predicted: FloatArray, target: FloatArray, *, weights: FloatArray, treatment: bool
) -> FloatArray:
    """Return the mixture (k,) of predictions with the least loss: weights of at least 0 that sum to 1.

    Parameters
    ----------
    predicted : array of shape (m, k)
    target, weights : array of shape (m,)
    treatment : bool
        The loss is the log loss of probabilities; else it is the squared error.

    Examples
    --------
    >>> y = np.array([0.0, 1.0, 2.0, 3.0])
    >>> shares = simplex_weights(np.column_stack([y + 1, y - 1, -y]), y, weights=np.ones(4), treatment=False)
    >>> shares.round(6).tolist()
    [0.5, 0.5, 0.0]
    """
    from scipy.optimize import LinearConstraint, minimize

    share, k = weights / weights.sum(), predicted.shape[1]
    if not treatment:
        scale = float(np.sqrt(share @ (target - share @ target) ** 2)) or 1.0
        predicted, target = predicted / scale, target / scale
    loss, slope = (_log_loss, _log_slope) if treatment else (_squared_loss, _squared_slope)
    even: FloatArray = np.full(k, 1 / k)
    found = minimize(
        loss,
        even,
        args=(predicted, target, share),
        jac=slope,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * k,
        constraints=LinearConstraint(np.ones((1, k)), 1.0, 1.0),
        tol=1e-12,
        options={"maxiter": 500},
    )
    mix = np.clip(found.x, 0, None)
    # a single learner is a mixture too, and the search must not fall behind the best of them
    candidates = [mix / mix.sum(), *np.eye(k)]
    return np.asarray(min(candidates, key=lambda one: loss(one, predicted, target, share)))


def _bases(sample: Sample, n_covariates: int, *, treatment: bool) -> list[Base]:
    """Return the learners of a stack: linear ones on each source and on both, and boosted trees on all columns."""
    linear = penalised_logit if treatment else ridge
    # how many trees is chosen once, on all rows: to choose it anew in each inner fold would take five times as long
    boosted = partial(
        boosted_probability if treatment else boosted_mean, trees=best_trees(sample, treatment=treatment)
    )
    if 0 < n_covariates < sample.columns.shape[1]:
        first, rest, both = slice(0, n_covariates), slice(n_covariates, None), slice(None)
        return [
            Base("linear on covariates", first, linear),
            Base("linear on features", rest, linear),
            Base("linear on both", both, linear),
            Base("boosting on both", both, boosted),
        ]
    source = "covariates" if n_covariates else "features"
    return [
        Base(f"linear on {source}", slice(None), linear),
        Base(f"boosting on {source}", slice(None), boosted),
    ]


def _squared_loss(mix: FloatArray, predicted: FloatArray, target: FloatArray, share: FloatArray) -> float:
    return float(share @ (predicted @ mix - target) ** 2)


def _squared_slope(
    mix: FloatArray, predicted: FloatArray, target: FloatArray, share: FloatArray
) -> FloatArray:
    return np.asarray(2 * predicted.T @ (share * (predicted @ mix - target)))


def _log_loss(mix: FloatArray, predicted: FloatArray, target: FloatArray, share: FloatArray) -> float:
    probability = _probability(mix, predicted)
    return float(-share @ np.where(target == 1, np.log(probability), np.log1p(-probability)))


def _log_slope(mix: FloatArray, predicted: FloatArray, target: FloatArray, share: FloatArray) -> FloatArray:
    probability = _probability(mix, predicted)
    return np.asarray(predicted.T @ (share * (probability - target) / (probability * (1 - probability))))


def _probability(mix: FloatArray, predicted: FloatArray) -> FloatArray:
    return np.asarray(np.clip(predicted @ mix, NEAREST, 1 - NEAREST))
