"""Coefficients of a logit of predictions, put right by units whose truth was measured. Pure arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.labelled.rectified import BOUNDS
from eocausal.labelled.rectified_regression import Fit, Fits, Lambdas, Moves, Rows, is_singular, pieces

FloatArray = npt.NDArray[np.float64]

_NEWTON_STEPS = 100
_STILL = 1e-10
_HALVINGS = 50


def rectified_logistic(rows: Rows, choose: Lambdas, bounds: tuple[float, float] = BOUNDS) -> Fits:
    """Return coefficients of a logit that solve the rectified likelihood equations, each with its own lambda.

    With ``s`` for lambda they solve ``mean_labelled[(m - y - s (m - f)) x] + s mean_unlabelled[(m - f) x] = 0``,
    ``m`` the fitted probability, ``y`` the truth, ``f`` the prediction: a convex problem for ``s`` from 0 to 1.
    Coefficients whose lambdas differ are of different solutions.
    """
    n, width = rows.columns.shape
    labelled, (factor, factor_apart) = rows.labelled, rows.factors
    known, _ = _shares(rows)
    truth = np.where(labelled, rows.truth, 0.0)
    alone = solved(rows.columns[labelled], known[labelled], (known * truth)[labelled], np.zeros(width))
    everyone = rows.weights / rows.weights.sum()
    naive = solved(rows.columns, everyone, everyone * rows.prediction, alone)
    of_labelled = float(rows.weights[labelled].sum() / rows.weights.sum())
    asked = choose(_moves_at(rows, alone, of_labelled))
    lams = np.clip(asked, *bounds)
    values, scores = np.zeros(width), np.zeros((n, width))
    for lam in np.unique(lams):
        found = _rectified_at(rows, float(lam), alone)
        moves, terms = _moves_at(rows, found, 1.0 - float(lam)), lams == lam
        values[terms] = found[terms]
        scores[:, terms] = moves.apart[:, terms] * (-lam * n * factor_apart)
        scores[np.ix_(labelled, terms)] = (moves.truth - lam * moves.gap)[:, terms] * (n * factor)
    own = _moves_at(rows, alone, 1.0).truth
    return Fits(
        Fit(values, scores),
        Fit(naive, n * _influence(rows.columns, everyone, rows.prediction, naive)),
        Fit(alone, own * (len(own) * factor)),
        lams,
        asked,
    )


def solved(columns: FloatArray, counts: FloatArray, targets: FloatArray, start: FloatArray) -> FloatArray:
    """Return the coefficients (k,) at which ``columns' (counts m - targets)`` is zero, by Newton's method.

    Parameters
    ----------
    columns : array of shape (n, k)
    counts, targets : array of shape (n,)
        What the fitted probability ``m`` of each unit counts, and what it is compared with.
    start : array of shape (k,)

    Raises
    ------
    EstimationError
        Steps do not come to rest, as where columns tell all ones from all zeros.

    Examples
    --------
    >>> solved(np.ones((4, 1)), np.full(4, 0.25), 0.25 * np.array([1.0, 0, 0, 0]), np.zeros(1)).round(6).tolist()
    [-1.098612]
    """
    value, now = start, _loss(columns, counts, targets, start)
    for _ in range(_NEWTON_STEPS):
        gradient, hessian = _slopes(columns, counts, targets, value)
        if is_singular(hessian):
            raise _no_solution()
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step * np.sqrt(np.diag(hessian))).max() <= _STILL:
            return np.asarray(value - step)
        for halvings in range(_HALVINGS):
            tried = value - 0.5**halvings * step
            loss = _loss(columns, counts, targets, tried)
            if loss <= now + 1e-14 * (1 + abs(now)):
                break
        value, now = tried, loss
    raise _no_solution()


def _rectified_at(rows: Rows, lam: float, start: FloatArray) -> FloatArray:
    if lam == 0:
        return start
    known, others = _shares(rows)
    truth = np.where(rows.labelled, rows.truth, 0.0)
    targets = known * (truth - lam * rows.prediction) + lam * others * rows.prediction
    return solved(rows.columns, (1 - lam) * known + lam * others, targets, start)


def _shares(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return what each unit weighs (n,) among those with labels, and among those without; 0 for all others."""
    known, others = np.where(rows.labelled, rows.weights, 0.0), np.where(rows.labelled, 0.0, rows.weights)
    return known / known.sum(), others / others.sum()


def _moves_at(rows: Rows, value: FloatArray, of_labelled: float) -> Moves:
    """Return influence values at coefficients (k,), ``of_labelled`` the part of units with labels in the slope."""
    known, others = _shares(rows)
    labelled = rows.labelled
    fitted = _fitted(rows.columns, value)
    inverse = _inverse_slope(rows.columns, of_labelled * known + (1 - of_labelled) * others, fitted)
    columns, share, own = rows.columns[labelled], known[labelled], fitted[labelled]
    truth = _centred(columns, share, rows.truth[labelled] - own, inverse)
    gap = _centred(columns, share, rows.prediction[labelled] - own, inverse)
    apart = -_centred(rows.columns, others, rows.prediction - fitted, inverse)
    return Moves(truth, gap, apart, (apart**2).sum(axis=0))


def _influence(columns: FloatArray, share: FloatArray, outcome: FloatArray, value: FloatArray) -> FloatArray:
    fitted = _fitted(columns, value)
    return _centred(columns, share, outcome - fitted, _inverse_slope(columns, share, fitted))


def _centred(columns: FloatArray, share: FloatArray, residual: FloatArray, inverse: FloatArray) -> FloatArray:
    """Return ``share r x' inverse`` (m, k) less its mean by share: equations of a sample alone are not zero."""
    made = (columns * (share * residual)[:, None]) @ inverse
    return np.asarray(made - share[:, None] * made.sum(axis=0))


def _fitted(columns: FloatArray, value: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(columns @ value))


def _inverse_slope(columns: FloatArray, counts: FloatArray, fitted: FloatArray) -> FloatArray:
    curved = counts * fitted * (1 - fitted)
    slope = sum((columns[piece] * curved[piece, None]).T @ columns[piece] for piece in pieces(len(columns)))
    return np.asarray(np.linalg.inv(np.asarray(slope)), dtype=float)


def _slopes(
    columns: FloatArray, counts: FloatArray, targets: FloatArray, value: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradient (k,) and the second derivative (k, k) of the loss."""
    gradient, hessian = np.zeros_like(value), np.zeros((value.size, value.size))
    for piece in pieces(len(columns)):
        part, fitted = columns[piece], _fitted(columns[piece], value)
        gradient += (counts[piece] * fitted - targets[piece]) @ part
        hessian += (part * (counts[piece] * fitted * (1 - fitted))[:, None]).T @ part
    return gradient, hessian


def _loss(columns: FloatArray, counts: FloatArray, targets: FloatArray, value: FloatArray) -> float:
    index = columns @ value
    return float(counts @ np.logaddexp(0, index) - targets @ index)


def _no_solution() -> EstimationError:
    return EstimationError(
        explain(
            "The logit of the truth on the covariates has no solution on the labelled units.",
            rule="no combination of covariates tells all ones from all zeros",
            fix="fewer covariates, or model='linear' for differences of shares",
        )
    )
