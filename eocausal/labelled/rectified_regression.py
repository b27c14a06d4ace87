"""Regression coefficients of predictions, put right by units whose truth was measured. Pure arrays.

Two regressions on two samples: predictions and truth where there are labels, predictions alone where there are
none. Sums run over pieces of the rows, and influence values are made without products of rows, so that a million
units take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.variance import sum_within
from eocausal.labelled.rectified import BOUNDS, tune

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

_PIECE = 2**16
# Columns whose Gram matrix, once scaled, has an eigenvalue below this tell nothing apart.
_SINGULAR = 1e-10
_NEWTON_STEPS = 100
_STILL = 1e-10


@dataclass(frozen=True, eq=False)
class Sample:
    """Units with labels, or without: columns (m, k) with the intercept, outcomes (m,) and weights (m,).

    ``truth`` is None where there are no labels.
    """

    columns: FloatArray
    prediction: FloatArray
    weights: FloatArray
    truth: FloatArray | None = None

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weights.sum())


@dataclass(frozen=True, eq=False)
class Rectified:
    """Coefficients (k,), how much of the predictions each uses: lambda (k,), and influence values of both samples.

    The error of the coefficients is the sum, not the mean, of ``labelled`` (n, k) and ``unlabelled`` (m, k).
    ``asked`` are the lambdas before they were brought into 0 to 1.
    """

    coefficients: FloatArray
    lams: FloatArray
    asked: FloatArray
    labelled: FloatArray
    unlabelled: FloatArray


@dataclass(frozen=True, eq=False)
class _Moves:
    """Influence values: of the truth's coefficients (n, k), and of the gap between the predictions' coefficients.

    The gap is labelled less unlabelled: (n, k) and (m, k).
    """

    truth: FloatArray
    gap_labelled: FloatArray
    gap_unlabelled: FloatArray


# From influence values to the lambda of each coefficient (k,).
Lambdas = Callable[[_Moves], FloatArray]


def given_lambda(lam: float, width: int) -> Lambdas:
    """Use the same lambda whatever the data: 1 is PPI, 0 the labelled units alone."""
    return lambda moves: np.full(width, lam)


def tuned_lambda(clusters: tuple[Labels, Labels] | None, *, each: bool) -> Lambdas:
    """Choose numbers that make variances smallest: of ``each`` coefficient, or one for the sum of all variances.

    Parameters
    ----------
    clusters : pair of arrays of shape (n,) and (m,), or None
        Labels of units that vary together, of both samples; variances are then those of whole clusters.
    """
    free = (-np.inf, np.inf)

    def chosen(moves: _Moves) -> FloatArray:
        truth = np.vstack([moves.truth, np.zeros_like(moves.gap_unlabelled)])
        shift = -np.vstack([moves.gap_labelled, moves.gap_unlabelled])
        if clusters is not None:
            labels = np.concatenate(clusters)
            truth, shift = sum_within(truth, labels), sum_within(shift, labels)
        if each:
            return np.array(
                [tune(one, other[:, None], bounds=free)[0] for one, other in zip(truth.T, shift.T)]
            )
        return np.repeat(tune(truth.ravel(), shift.reshape(-1, 1), bounds=free), truth.shape[1])

    return chosen


def rectified_linear(labelled: Sample, unlabelled: Sample, lams: Lambdas) -> Rectified:
    """Return least-squares coefficients: of the truth, less lambda times the gap between those of the predictions.

    The coefficients of the predictions are those of units with labels less those of units without. Residuals are
    each regression's own.

    Examples
    --------
    On an indicator it is the difference of arms, rectified arm by arm:

    >>> ones, arm = np.ones(4), np.array([0.0, 0, 1, 1])
    >>> columns = np.column_stack([ones, arm])
    >>> known = Sample(columns, np.array([1.0, 1, 2, 2]), ones, truth=np.array([1.0, 2, 4, 5]))
    >>> other = Sample(columns, np.array([0.0, 2, 2, 4]), ones)
    >>> rectified_linear(known, other, given_lambda(1.0, 2)).coefficients.round(6).tolist()
    [1.5, 4.0]
    """
    inverse, (truth, predicted) = _least_squares(labelled, [_truth(labelled), labelled.prediction])
    inverse_apart, (apart,) = _least_squares(unlabelled, [unlabelled.prediction])
    moves = _Moves(
        _influence(labelled, _truth(labelled) - labelled.columns @ truth, inverse),
        _influence(labelled, labelled.prediction - labelled.columns @ predicted, inverse),
        -_influence(unlabelled, unlabelled.prediction - unlabelled.columns @ apart, inverse_apart),
    )
    asked = lams(moves)
    used = np.clip(asked, *BOUNDS)
    return Rectified(
        truth - used * (predicted - apart), used, asked, *_moved(moves, used, labelled, unlabelled)
    )


def rectified_logistic(labelled: Sample, unlabelled: Sample, lams: Lambdas) -> Rectified:
    """Return coefficients of a logit that solve the rectified likelihood equations, each with its own lambda.

    With ``s`` for lambda they solve ``mean_labelled[(m - y - s (m - f)) x] + s mean_unlabelled[(m - f) x] = 0``,
    ``m`` the fitted probability, ``y`` the truth, ``f`` the prediction: a convex problem for ``s`` from 0 to 1.
    Coefficients whose lambdas differ are of different solutions.
    """
    width = labelled.columns.shape[1]
    start = solved(labelled, unlabelled, 0.0, np.zeros(width))
    asked = lams(_moves_at(labelled, unlabelled, start, labelled.total / (labelled.total + unlabelled.total)))
    used = np.clip(asked, *BOUNDS)
    values = np.zeros(width)
    known, other = np.zeros((len(labelled.columns), width)), np.zeros((len(unlabelled.columns), width))
    for lam in np.unique(used):
        found = solved(labelled, unlabelled, float(lam), start)
        moves = _moves_at(labelled, unlabelled, found, 1.0 - float(lam))
        terms = used == lam
        values[terms] = found[terms]
        moved = _moved(moves, used, labelled, unlabelled)
        known[:, terms], other[:, terms] = moved[0][:, terms], moved[1][:, terms]
    return Rectified(values, used, asked, known, other)


def solved(labelled: Sample, unlabelled: Sample, lam: float, start: FloatArray) -> FloatArray:
    """Return the coefficients (k,) of the rectified logit with one lambda, by Newton's method with halved steps.

    Raises
    ------
    EstimationError
        Steps do not come to rest, as where columns tell all labelled ones from all zeros.
    """
    from scipy.special import expit

    value = start
    now = _rectified_loss(labelled, unlabelled, lam, value)
    for _ in range(_NEWTON_STEPS):
        gradient, hessian = np.zeros_like(value), np.zeros((value.size, value.size))
        for sample, of_mean, of_outcome in _parts(labelled, unlabelled, lam):
            for piece in _pieces(len(sample.columns)):
                rows, weight = sample.columns[piece], sample.weights[piece] / sample.total
                fitted = np.asarray(expit(rows @ value))
                gradient += (weight * (of_mean * fitted - of_outcome[piece])) @ rows
                hessian += (rows * (weight * of_mean * fitted * (1 - fitted))[:, None]).T @ rows
        scale = np.sqrt(np.diag(hessian))
        if not (scale > 0).all() or np.linalg.eigvalsh(hessian / np.outer(scale, scale))[0] < _SINGULAR:
            raise _no_likelihood()
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step * scale).max() <= _STILL:
            return np.asarray(value - step)
        for halvings in range(50):
            tried = value - 0.5**halvings * step
            loss = _rectified_loss(labelled, unlabelled, lam, tried)
            if loss <= now + 1e-14 * (1 + abs(now)):
                break
        value, now = tried, loss
    raise _no_likelihood()


def _parts(labelled: Sample, unlabelled: Sample, lam: float) -> list[tuple[Sample, float, FloatArray]]:
    """Return samples, what the fitted probability counts in each, and the outcome (m,) that it is compared with."""
    known = (labelled, 1.0 - lam, _truth(labelled) - lam * labelled.prediction)
    return [known] if lam == 0 else [known, (unlabelled, lam, lam * unlabelled.prediction)]


def _rectified_loss(labelled: Sample, unlabelled: Sample, lam: float, value: FloatArray) -> float:
    total = 0.0
    for sample, of_mean, of_outcome in _parts(labelled, unlabelled, lam):
        index = sample.columns @ value
        total += (
            float(sample.weights @ (of_mean * np.logaddexp(0, index) - of_outcome * index)) / sample.total
        )
    return total


def _moves_at(labelled: Sample, unlabelled: Sample, value: FloatArray, of_labelled: float) -> _Moves:
    """Return influence values at coefficients of a logit, the second derivative a mean of both samples'."""
    from scipy.special import expit

    hessian = np.zeros((value.size, value.size))
    fitted = []
    for sample, counts in ((labelled, of_labelled), (unlabelled, 1.0 - of_labelled)):
        probability = np.asarray(expit(sample.columns @ value))
        fitted.append(probability)
        curvature = sample.weights * probability * (1 - probability) * (counts / sample.total)
        for piece in _pieces(len(sample.columns)):
            rows = sample.columns[piece]
            hessian += (rows * curvature[piece, None]).T @ rows
    inverse: FloatArray = np.asarray(np.linalg.inv(hessian), dtype=float)
    known, other = fitted
    return _Moves(
        _influence(labelled, _truth(labelled) - known, inverse / labelled.total, centre=True),
        _influence(labelled, labelled.prediction - known, inverse / labelled.total, centre=True),
        -_influence(unlabelled, unlabelled.prediction - other, inverse / unlabelled.total, centre=True),
    )


def _least_squares(sample: Sample, outcomes: list[FloatArray]) -> tuple[FloatArray, list[FloatArray]]:
    """Return the inverse of the Gram matrix (k, k) and the coefficients (k,) of each outcome (m,)."""
    there = np.column_stack(outcomes)
    width = sample.columns.shape[1]
    gram, cross = np.zeros((width, width)), np.zeros((width, there.shape[1]))
    for piece in _pieces(len(sample.columns)):
        rows = sample.columns[piece]
        weighted = rows * sample.weights[piece, None]
        gram += weighted.T @ rows
        cross += weighted.T @ there[piece]
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or np.linalg.eigvalsh(gram / np.outer(scale, scale))[0] < _SINGULAR:
        which = "without" if sample.truth is None else "with"
        raise EstimationError(
            explain(
                f"The covariates of units {which} labels are combinations of one another.",
                rule="each column tells something that the others do not, with labels and without",
                fix="leave out columns that do not vary and one of lams that sum to one, and take the mean off "
                "columns that are far from zero",
            )
        )
    inverse = np.asarray(np.linalg.inv(gram))
    return inverse, list((inverse @ cross).T)


def _influence(
    sample: Sample, residuals: FloatArray, inverse: FloatArray, *, centre: bool = False
) -> FloatArray:
    """Return ``w r x' inverse`` (m, k), less its weighted mean where that is not zero by construction."""
    made = np.empty_like(sample.columns)
    weighted = sample.weights * residuals
    for piece in _pieces(len(residuals)):
        np.matmul(sample.columns[piece] * weighted[piece, None], inverse, out=made[piece])
    if centre:
        made -= sample.weights[:, None] * (made.sum(axis=0) / sample.total)
    return made


def _moved(
    moves: _Moves, lams: FloatArray, labelled: Sample, unlabelled: Sample
) -> tuple[FloatArray, FloatArray]:
    """Return influence values of both samples with lambdas (k,), each with the factor of its own size."""
    known = moves.truth - lams * moves.gap_labelled
    other = moves.gap_unlabelled * -lams
    return known * _factor(labelled), other * _factor(unlabelled)


def _factor(sample: Sample) -> float:
    """Return the root of HC1's factor of one sample: what few labels need is not hidden by many predictions."""
    n, width = sample.columns.shape
    return float(np.sqrt(n / (n - width)))


def _truth(labelled: Sample) -> FloatArray:
    return np.zeros(0) if labelled.truth is None else labelled.truth


def _pieces(n: int) -> list[slice]:
    return [slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE)]


def _no_likelihood() -> EstimationError:
    return EstimationError(
        explain(
            "The logit of the truth on the covariates has no solution on the labelled units.",
            rule="no combination of covariates tells all ones from all zeros",
            fix="fewer covariates, or model='linear' for differences of lams",
        )
    )
