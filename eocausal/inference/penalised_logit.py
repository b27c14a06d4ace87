"""Logistic regression with a ridge penalty chosen by cross-validation, all training sets at once. Pure arrays.

The curvature of the likelihood costs rows times columns squared, its slope only rows times columns. So steps are
taken with a curvature that is out of date, corrected by how slopes turned on the last moves (Nocedal 1980,
Mathematics of Computation 35), and one pass over the rows serves all training sets. That changes how many steps
there are, not where they end. The curvature is made anew when steps stop getting shorter quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eocausal.errors import EstimationError, explain
from eocausal.inference.linear import FloatArray, LinearFit, Positions, compact, pieces

# A Newton step this short, in the norm of the curvature, moves no probability of a training row by half of it.
_TOLERANCE = 1e-7
# A curvature is made anew where a step is not this much shorter than the one before.
_SHORTER = 0.2
_MOST_STEPS = 200
_MOST_MOVES = 6
# A step has to lower the objective by this share of what its slope promises, up to rounding.
_ENOUGH = 1e-4
_ROUNDING = 1e-12


class _Sample(NamedTuple):
    """Rows, and which of them each fit sees and is judged on.

    Both hold weights: ``seen`` (n, k + 1) is 0 in the part that a fit leaves out, and the last fit leaves out none;
    ``judged`` (n, k) is 0 elsewhere.
    """

    columns: FloatArray
    treatment: FloatArray
    seen: FloatArray
    judged: FloatArray


class _Move(NamedTuple):
    """How far coefficients moved (q + 1, k + 1), and how the slope of the loss turned meanwhile."""

    gone: FloatArray
    turned: FloatArray


class _View(NamedTuple):
    """What one pass over the rows tells at coefficients (q + 1, k + 1): loss, its slope, and loss where judged."""

    loss: FloatArray
    slope: FloatArray
    judged: FloatArray


def fit_penalised_logit(
    columns: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    *,
    inverse_penalties: FloatArray,
    parts: Positions,
) -> LinearFit:
    """Return the penalised logit that best predicts, on average, the parts that it was not fitted on.

    It minimises ``sum w log(1 + exp(-s (a + x b))) + |b|^2 / (2 inverse_penalty)`` with ``s`` 1 for the treated
    and -1 for controls. The loss of a penalty in a part is the weighted mean of minus the log-likelihood.

    Parameters
    ----------
    columns : array of shape (n, p)
        On scales that one penalty is fair to.
    treatment : array of shape (n,)
        0 or 1.
    weights : array of shape (n,)
        Positive, with mean 1.
    inverse_penalties : array
        Positive, to choose from, best in rising order; the first of equals is taken.
    parts : array of shape (n,)
        0 to k - 1: the part that each row is left out with; -1: never left out.

    Returns
    -------
    LinearFit
        Of the log odds; ``penalty`` is the inverse penalty chosen.

    Raises
    ------
    EstimationError
        The steps do not come to an end.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]])
    >>> y = np.array([0.0, 0, 1, 0, 1, 1])
    >>> fit = fit_penalised_logit(x, y, np.ones(6), inverse_penalties=np.array([0.01, 1.0]),
    ...             parts=np.array([0, 0, 0, 1, 1, 1]))
    >>> fit.penalty, fit.coefficients.round(3).tolist()
    (1.0, [1.043])
    """
    few = compact(columns, np.zeros(columns.shape[1]))
    n_parts = int(parts.max()) + 1
    judged = (parts[:, None] == np.arange(n_parts)) * weights[:, None]
    seen = np.column_stack([weights[:, None] - judged, weights])
    sample = _Sample(few.columns, treatment, seen, judged)
    at = np.zeros((few.columns.shape[1] + 1, n_parts + 1))
    at[0] = _log_odds(treatment @ seen / seen.sum(axis=0))
    path = _Path(sample, at)
    losses, fits = [], []
    for inverse in inverse_penalties:
        path.descend(1.0 / inverse)
        losses.append(float((path.view.judged / judged.sum(axis=0)).mean()))
        fits.append(path.at[:, -1])
    best = int(np.argmin(losses))
    return LinearFit(
        few.slope(fits[best][1:]), float(fits[best][0]), float(inverse_penalties[best]), np.array(losses)
    )


class _Path:
    """Coefficients on their way from penalty to penalty, and what is known of the curvature on the way."""

    def __init__(self, sample: _Sample, at: FloatArray) -> None:
        self.sample = sample
        self.at = at
        self.view = _look(sample, at)
        self.curvatures = _curvatures(sample, at[:, -1])
        self.moves: list[_Move] = []

    def descend(self, penalty: float) -> None:
        """Move all fits to where their objectives are least at a penalty."""
        factors = [_factor(curvature, penalty) for curvature in self.curvatures]
        before = np.full(self.at.shape[1], np.inf)
        for _ in range(_MOST_STEPS):
            slope = self.view.slope + penalty * _without_intercept(self.at)
            step = _newton_like(factors, slope, self.moves, penalty)
            squared = (slope * step).sum(axis=0)
            open_ = squared > _TOLERANCE**2
            if not open_.any():
                self.at = self.at - step
                self.view = _look(self.sample, self.at)
                return
            if (open_ & (squared > _SHORTER**2 * before)).any() and open_[-1]:
                self.curvatures = _curvatures(self.sample, self.at[:, -1])
                factors = [_factor(curvature, penalty) for curvature in self.curvatures]
                self.moves = []
                step = _newton_like(factors, slope, self.moves, penalty)
                squared = (slope * step).sum(axis=0)
            self._step(step, squared, penalty)
            before = squared
        raise EstimationError(
            explain(
                f"The penalised logit of the propensity takes more than {_MOST_STEPS} steps.",
                rule="columns on like scales",
                fix="Learners(propensity=...) with another learner",
            )
        )

    def _step(self, step: FloatArray, squared: FloatArray, penalty: float) -> None:
        """Go along the steps as far as the objectives fall."""
        value = self._objective(self.view, self.at, penalty)
        length = np.ones(step.shape[1])
        for _ in range(_MOST_STEPS):
            there = self.at - length * step
            view = _look(self.sample, there)
            wanted = value - _ENOUGH * length * squared + _ROUNDING * value
            short = self._objective(view, there, penalty) > wanted
            if not short.any():
                break
            length[short] /= 2
        self.moves = [*self.moves[1 - _MOST_MOVES :], _Move(there - self.at, view.slope - self.view.slope)]
        self.at, self.view = there, view

    @staticmethod
    def _objective(view: _View, at: FloatArray, penalty: float) -> FloatArray:
        return np.asarray(view.loss + penalty / 2 * (at[1:] ** 2).sum(axis=0))


def _look(sample: _Sample, at: FloatArray) -> _View:
    """Pass over the rows once, for all fits."""
    n, width = sample.columns.shape
    n_fits = at.shape[1]
    loss, slope, judged = np.zeros(n_fits), np.zeros(at.shape), np.zeros(n_fits - 1)
    for piece in pieces(n, width):
        own, treated = sample.columns[piece], sample.treatment[piece, None]
        index = own @ at[1:] + at[0]
        odds = np.exp(-np.abs(index))
        losses = np.log(1 + odds) + np.maximum(index, 0) - treated * index
        residual = sample.seen[piece] * (np.where(index > 0, 1.0, odds) / (1 + odds) - treated)
        slope[1:] += own.T @ residual
        slope[0] += residual.sum(axis=0)
        loss += (sample.seen[piece] * losses).sum(axis=0)
        judged += (sample.judged[piece] * losses[:, :-1]).sum(axis=0)
    return _View(loss, slope, judged)


def _curvatures(sample: _Sample, at: FloatArray) -> list[FloatArray]:
    """Return the curvature of each fit's loss at coefficients (q + 1,) that are those of all."""
    parts = [_curvature(sample, at, np.flatnonzero(rows)) for rows in sample.judged.T]
    never = _curvature(sample, at, np.flatnonzero(~sample.judged.any(axis=1)))
    # summed, not taken from the total: what is left after subtraction need not be positive definite
    without = [sum(parts[:part] + parts[part + 1 :], never) for part in range(len(parts))]
    return [*without, sum(parts, never)]


def _curvature(sample: _Sample, at: FloatArray, rows: Positions) -> FloatArray:
    """Return the second derivative (q + 1, q + 1) of the weighted loss of some rows; the intercept comes first."""
    width = sample.columns.shape[1]
    total = np.zeros((width + 1, width + 1))
    for piece in pieces(rows.size, width):
        own = sample.columns[rows[piece]]
        odds = np.exp(-np.abs(own @ at[1:] + at[0]))
        root = np.sqrt(sample.seen[rows[piece], -1] * odds) / (1 + odds)
        scaled = own * root[:, None]
        total[1:, 1:] += scaled.T @ scaled
        total[0, 1:] += root @ scaled
        total[0, 0] += root @ root
    total[1:, 0] = total[0, 1:]
    return total


def _newton_like(factors: list[Any], slope: FloatArray, moves: Sequence[_Move], penalty: float) -> FloatArray:
    """Return steps by a curvature that is corrected by what was seen of it on the last moves."""
    left, shares = slope, []
    for gone, turned in reversed(moves):
        changed = turned + penalty * _without_intercept(gone)
        along = (gone * changed).sum(axis=0)
        share = np.where(along > 0, (gone * left).sum(axis=0) / np.where(along > 0, along, 1), 0.0)
        left = left - share * changed
        shares.append(share)
    step = _solve(factors, left)
    for (gone, turned), share in zip(moves, reversed(shares)):
        changed = turned + penalty * _without_intercept(gone)
        along = (gone * changed).sum(axis=0)
        back = np.where(along > 0, (changed * step).sum(axis=0) / np.where(along > 0, along, 1), 0.0)
        step = step + gone * (share - back)
    return step


def _factor(curvature: FloatArray, penalty: float) -> Any:
    from scipy.linalg import cho_factor

    whole = curvature.copy()
    whole[np.diag_indices_from(whole)] += np.r_[0.0, np.full(len(whole) - 1, penalty)]
    return cho_factor(whole, overwrite_a=True, check_finite=False)


def _solve(factors: list[Any], slope: FloatArray) -> FloatArray:
    from scipy.linalg import cho_solve

    return np.column_stack(
        [cho_solve(one, slope[:, fit], check_finite=False) for fit, one in enumerate(factors)]
    )


def _without_intercept(at: FloatArray) -> FloatArray:
    return np.vstack([np.zeros(at.shape[1]), at[1:]])


def _log_odds(share: FloatArray) -> FloatArray:
    return np.asarray(np.log(share / (1 - share)))
