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
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.linear import FloatArray, LinearFit, Positions, compact, pieces

# A Newton step this short, in the norm of the curvature, moves no probability of a training row by half of it. The
# first is for fits that only choose a penalty: it moves the mean loss of a part by less than its rows can tell.
_CHOOSING, _CHOSEN = 1e-4, 1e-8
# A curvature is made anew where a step is not this much shorter than the one before.
_SHORTER = 0.2
_MOST_STEPS, _MOST_HALVINGS = 200, 50
_MOST_MOVES = 6
# A step has to lower the objective by this share of what its slope promises, up to rounding.
_ENOUGH = 1e-4
_ROUNDING = 1e-12


class _Sample(NamedTuple):
    """Rows, and which of them each fit sees.

    ``seen`` (n, k + 1) and ``parts`` (n, k + 1) hold weights. A fit sees nothing of its part, and the last fit sees
    all; the last part is of rows that every fit sees.
    """

    columns: FloatArray
    treatment: FloatArray
    seen: FloatArray
    parts: FloatArray


class _Move(NamedTuple):
    """How far coefficients moved (q + 1, k + 1), and how the slope of the loss turned meanwhile."""

    gone: FloatArray
    turned: FloatArray


class _View(NamedTuple):
    """What one pass over the rows tells of fits: losses by part (k + 1, k + 1), and slopes of what each sees."""

    losses: FloatArray
    slope: FloatArray

    @property
    def seen(self) -> FloatArray:
        """Loss of each fit where it sees."""
        return np.asarray(self.losses.sum(axis=0) - np.r_[self.judged, 0.0])

    @property
    def judged(self) -> FloatArray:
        """Loss of each fit in the part that it leaves out."""
        return self.losses.diagonal()[:-1]


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
    part_of = np.where(parts < 0, parts.max() + 1, parts)[:, None]
    in_part = (part_of == np.arange(parts.max() + 2)) * weights[:, None]
    seen = weights[:, None] - in_part
    seen[:, -1] = weights
    at = np.zeros((few.columns.shape[1] + 1, seen.shape[1]))
    share = treatment @ seen / seen.sum(axis=0)
    at[0] = np.log(share / (1 - share))
    path = _Path(_Sample(few.columns, treatment, seen, in_part), at)
    losses, fits = [], []
    for inverse in inverse_penalties:
        path.descend(1.0 / inverse, _CHOOSING)
        losses.append(float((path.view.judged / in_part.sum(axis=0)[:-1]).mean()))
        fits.append(path.at[:, -1:])
    best = int(np.argmin(losses))
    whole = _Sample(few.columns, treatment, weights[:, None], weights[:, None])
    last = _Path(whole, fits[best], path.curvatures[-1:])
    last.descend(1.0 / inverse_penalties[best], _CHOSEN)
    intercept, coefficients = last.at[0, 0], last.at[1:, 0]
    return LinearFit(
        few.slope(coefficients), float(intercept), float(inverse_penalties[best]), np.array(losses)
    )


class _Path:
    """Coefficients on their way from penalty to penalty, and what is known of the curvature on the way."""

    def __init__(self, sample: _Sample, at: FloatArray, curvatures: list[FloatArray] | None = None) -> None:
        self.sample = sample
        self.at = at
        self.view = _look(sample, at)
        self.curvatures = _curvatures(sample, at[:, -1]) if curvatures is None else curvatures
        self.moves: list[_Move] = []

    def descend(self, penalty: float, tolerance: float) -> None:
        """Move all fits to where their objectives are least at a penalty."""
        ridge = np.full((len(self.at), 1), penalty)
        ridge[0] = 0.0
        factors = [_factor(curvature, ridge) for curvature in self.curvatures]
        before = np.full(self.at.shape[1], np.inf)
        for _ in range(_MOST_STEPS):
            slope = self.view.slope + ridge * self.at
            step = _newton_like(factors, slope, self.moves, ridge)
            squared = (slope * step).sum(axis=0)
            unfinished = squared > tolerance**2
            if not unfinished.any():
                self.at = self.at - step
                self.view = _look(self.sample, self.at)
                return
            slow = unfinished & (squared > _SHORTER**2 * before)
            if slow.any():
                self._renew(slow, shared=bool(unfinished[-1]))
                factors = [_factor(curvature, ridge) for curvature in self.curvatures]
                step = _newton_like(factors, slope, self.moves, ridge)
                squared = (slope * step).sum(axis=0)
            self._go(step, squared, ridge)
            before = squared
        raise EstimationError(
            explain(
                f"The penalised logit of the propensity takes more than {_MOST_STEPS} steps.",
                rule="columns on like scales",
                fix="Learners(propensity=...) with another learner",
            )
        )

    def _renew(self, slow: npt.NDArray[np.bool_], *, shared: bool) -> None:
        """Make curvatures anew: all at the fit to all rows, or those of slow fits where they are themselves."""
        self.moves = []
        if shared:
            self.curvatures = _curvatures(self.sample, self.at[:, -1])
            return
        for fit in np.flatnonzero(slow):
            rows = np.flatnonzero(self.sample.seen[:, fit])
            self.curvatures[fit] = _curvature(self.sample, self.at[:, fit], rows)

    def _go(self, step: FloatArray, squared: FloatArray, ridge: FloatArray) -> None:
        """Go along the steps as far as the objectives fall."""
        value = _objective(self.view, self.at, ridge)
        length = np.ones(step.shape[1])
        for _ in range(_MOST_HALVINGS):
            there = self.at - length * step
            view = _look(self.sample, there)
            wanted = value - _ENOUGH * length * squared + _ROUNDING * value
            short = _objective(view, there, ridge) > wanted
            if not short.any():
                break
            length[short] /= 2
        self.moves = [*self.moves[1 - _MOST_MOVES :], _Move(there - self.at, view.slope - self.view.slope)]
        self.at, self.view = there, view


def _objective(view: _View, at: FloatArray, ridge: FloatArray) -> FloatArray:
    return np.asarray(view.seen + (ridge / 2 * at**2).sum(axis=0))


def _look(sample: _Sample, at: FloatArray) -> _View:
    """Pass over the rows once, for all fits."""
    losses, slope = np.zeros((sample.parts.shape[1], at.shape[1])), np.zeros(at.shape)
    for piece in pieces(*sample.columns.shape):
        own, treated = sample.columns[piece], sample.treatment[piece, None]
        index = own @ at[1:] + at[0]
        odds = np.exp(-np.abs(index))
        residual = sample.seen[piece] * (np.where(index > 0, 1.0, odds) / (1 + odds) - treated)
        slope[1:] += own.T @ residual
        slope[0] += residual.sum(axis=0)
        losses += sample.parts[piece].T @ (np.log(1 + odds) + np.maximum(index, 0) - treated * index)
    return _View(losses, slope)


def _curvatures(sample: _Sample, at: FloatArray) -> list[FloatArray]:
    """Return the curvature of each fit's loss at coefficients (q + 1,) that are those of all."""
    parts = [_curvature(sample, at, np.flatnonzero(weights)) for weights in sample.parts.T]
    # summed, not taken from the total: what is left after subtraction need not be positive definite
    others = [parts[:part] + parts[part + 1 :] for part in range(len(parts) - 1)]
    return [np.asarray(sum(of_fit)) for of_fit in (*others, parts)]


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


def _newton_like(
    factors: list[Any], slope: FloatArray, moves: Sequence[_Move], ridge: FloatArray
) -> FloatArray:
    """Return steps by a curvature that is corrected by what was seen of it on the last moves."""
    left, shares = slope, []
    for gone, turned in reversed(moves):
        shares.append(_share(gone, left, turned + ridge * gone, gone))
        left = left - shares[-1] * (turned + ridge * gone)
    step = _solve(factors, left)
    for (gone, turned), share in zip(moves, reversed(shares)):
        changed = turned + ridge * gone
        step = step + gone * (share - _share(changed, step, changed, gone))
    return step


def _share(one: FloatArray, other: FloatArray, changed: FloatArray, gone: FloatArray) -> FloatArray:
    """Return one times other over changed times gone, by fit; 0 where a move was too short to tell."""
    along = (changed * gone).sum(axis=0)
    told = along > 0
    return np.where(told, (one * other).sum(axis=0) / np.where(told, along, 1.0), 0.0)


def _factor(curvature: FloatArray, ridge: FloatArray) -> Any:
    from scipy.linalg import cho_factor

    return cho_factor(curvature + np.diag(ridge[:, 0]), overwrite_a=True, check_finite=False)


def _solve(factors: list[Any], slope: FloatArray) -> FloatArray:
    from scipy.linalg import cho_solve

    return np.column_stack(
        [cho_solve(one, slope[:, fit], check_finite=False) for fit, one in enumerate(factors)]
    )
