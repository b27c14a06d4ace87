"""Quantiles of the outcome of an arm given the columns, and what lies beyond them: in the sample or out of fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.sensitivities.quantile_regression import quantile_coefficients

FloatArray = npt.NDArray[np.float64]
Predictor = Callable[[FloatArray], FloatArray]
Rows = npt.NDArray[np.intp]

# With fewer units in the tail for each column than this, quantiles of the sample itself fit its noise.
UNITS_A_COLUMN = 10
# And with fewer than this, columns from the last on are left out.
LEAST_UNITS_A_COLUMN = 5
# A spread that is a smaller share of the mean is rounding.
_ROUNDING = 1e-13
_TREES = {"max_leaf_nodes": 6, "min_samples_leaf": 20, "max_iter": 100, "early_stopping": False}


def _standard(columns: FloatArray, weights: FloatArray) -> Predictor:
    """Return what puts columns about their means in units of their spread, with a column of ones before them.

    A predicted outcome in the billions beside components near one would make these look like rounding.
    """
    middle = np.average(columns, axis=0, weights=weights)
    spread = np.sqrt(np.average((columns - middle) ** 2, axis=0, weights=weights))
    spread = np.where(spread > _ROUNDING * np.abs(middle), spread, np.inf)
    return lambda other: np.column_stack([np.ones(len(other)), (other - middle) / spread])


def _linear(columns: FloatArray, outcome: FloatArray, weights: FloatArray, level: float) -> Predictor:
    rows, middle = _standard(columns, weights), float(np.average(outcome, weights=weights))
    found = quantile_coefficients(rows(columns), outcome - middle, weights, level)
    return lambda other: np.asarray(middle + rows(other) @ found)


def _boosted(columns: FloatArray, outcome: FloatArray, weights: FloatArray, level: float) -> Predictor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(loss="quantile", quantile=level, random_state=0, **_TREES)
    fitted = model.fit(columns, outcome, sample_weight=weights)
    return lambda other: np.asarray(fitted.predict(other), dtype=float)


def _mean_linear(columns: FloatArray, values: FloatArray, weights: FloatArray) -> Predictor:
    rows, root = _standard(columns, weights), np.sqrt(weights)
    found = np.linalg.lstsq(rows(columns) * root[:, None], values * root, rcond=None)[0]
    return lambda other: np.asarray(rows(other) @ found)


def _mean_boosted(columns: FloatArray, values: FloatArray, weights: FloatArray) -> Predictor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    fitted = HistGradientBoostingRegressor(random_state=0, **_TREES).fit(
        columns, values, sample_weight=weights
    )
    return lambda other: np.asarray(fitted.predict(other), dtype=float)


# How quantiles are learned, and means of what lies beyond them.
LEARNERS = {"linear": (_linear, _mean_linear), "boosting": (_boosted, _mean_boosted)}


@dataclass(frozen=True, eq=False)
class Quantiles:
    """How quantiles of an arm are made.

    Attributes
    ----------
    columns : array of shape (n, p)
    outcome, weights : array of shape (n,)
    learner : {"linear", "boosting"}
    folds : array of shape (n,) or None
        With them a unit's quantile is predicted from the other folds; else it is of a fit to all units of the arm.
    """

    columns: FloatArray
    outcome: FloatArray
    weights: FloatArray
    learner: str = "linear"
    folds: Rows | None = None

    @one_blas_thread()
    def of(self, rows: Rows, level: float) -> FloatArray:
        """Return the quantile (m,) at a level of the outcome of units of one arm, given their columns."""
        fit = LEARNERS[self.learner][0]
        if self.folds is None or not self.columns.shape[1]:
            model = fit_or_flat(fit, self.columns[rows], self.outcome[rows], self.weights[rows], level)
            return model(self.columns[rows])
        found = np.empty(rows.size)
        for fold in np.unique(self.folds[rows]):
            own = self.folds[rows] == fold
            others = rows[~own]
            model = fit(self.columns[others], self.outcome[others], self.weights[others], level)
            found[own] = model(self.columns[rows[own]])
        return found


@dataclass(frozen=True, eq=False)
class Tail:
    """Out-of-fold quantile (n,) of the outcome in one arm, and the mean (n,) of what lies beyond it."""

    quantile: FloatArray
    beyond: FloatArray


@one_blas_thread()
def tail_out_of_fold(quantiles: Quantiles, arm: npt.NDArray[np.bool_], level: float, *, upper: bool) -> Tail:
    """Return for every unit the quantile in one arm and the mean of what lies beyond, from the other folds.

    Parameters
    ----------
    quantiles : Quantiles
        With folds.
    arm : boolean array of shape (n,)
        The units that are learned from.
    level : float
    upper : bool
        Beyond is above, else below.
    """
    fit, mean = LEARNERS[quantiles.learner]
    columns, outcome, weights, folds = (
        quantiles.columns,
        quantiles.outcome,
        quantiles.weights,
        quantiles.folds,
    )
    dealt = np.zeros(outcome.size, dtype=np.intp) if folds is None else folds
    found, beyond = np.empty(outcome.size), np.empty(outcome.size)
    sign = 1.0 if upper else -1.0
    for fold in np.unique(dealt):
        own = dealt == fold
        train = arm & ~own
        model = fit_or_flat(fit, columns[train], outcome[train], weights[train], level)
        excess = np.maximum(sign * (outcome[train] - model(columns[train])), 0.0)
        after = mean(columns[train], excess, weights[train])
        found[own] = model(columns[own])
        # what lies beyond is never less than nothing
        beyond[own] = np.maximum(after(columns[own]), 0.0)
    return Tail(found, beyond)


def fit_or_flat(
    fit: Callable[..., Predictor], columns: FloatArray, outcome: FloatArray, weights: FloatArray, level: float
) -> Predictor:
    """Return a quantile given the columns, or one for all where there are none."""
    return (
        _linear(columns, outcome, weights, level)
        if not columns.shape[1]
        else fit(columns, outcome, weights, level)
    )


def columns_that_fit(width: int, n_arm: int, level: float, *, each: int) -> int:
    """Return how many columns a quantile of an arm can have, with so many units in its tail for each.

    Examples
    --------
    >>> columns_that_fit(64, 600, 0.75, each=10)
    15
    """
    return min(width, int(n_arm * min(level, 1 - level) / each + 1e-9))
