"""Regression coefficients of predictions, put right by units whose truth was measured. Pure arrays.

Two regressions on two samples: predictions and truth where there are labels, predictions alone where there are
none. Pieces of the rows are read once for sums and once for influence values, and no products of rows are held, so
that a million units take a fraction of a second.
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
BoolArray = npt.NDArray[np.bool_]
Labels = npt.NDArray[Any]

# Rows at once: they and what is made of them stay in the processor's cache.
_PIECE = 2**13
# Columns whose Gram matrix, once scaled, has an eigenvalue below this tell nothing apart.
SINGULAR = 1e-10
_FREE = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Rows:
    """Units with labels and without: columns (n, k) with the intercept, and outcomes and weights (n,).

    ``truth`` is not looked at where ``labelled`` is false.
    """

    columns: FloatArray
    prediction: FloatArray
    truth: FloatArray
    labelled: BoolArray
    weights: FloatArray

    @property
    def factors(self) -> tuple[float, float]:
        """Roots of HC1's factors with labels and without: few labels are not hidden by many predictions."""
        n, width = self.columns.shape
        known = int(self.labelled.sum())
        return float(np.sqrt(known / (known - width))), float(np.sqrt((n - known) / (n - known - width)))


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients (k,), and influence values (m, k) of all units or those with labels: the error is their mean."""

    coefficients: FloatArray
    scores: FloatArray


@dataclass(frozen=True, eq=False)
class Fits:
    """Rectified coefficients, those of predictions of all units, and those of the truth where there are labels.

    ``lams`` (k,) is how much of the predictions each rectified coefficient uses, and ``asked`` what it would be
    without bounds.
    """

    rectified: Fit
    naive: Fit
    alone: Fit
    lams: FloatArray
    asked: FloatArray


@dataclass(frozen=True, eq=False)
class Moves:
    """Influence values whose sum is an error: of the truth's coefficients and of the gap, by sample.

    Attributes
    ----------
    truth : array of shape (n, k)
        Of units with labels.
    gap : array of shape (n, k)
        Of predictions' coefficients where there are labels, less those where there are none: units with labels.
    apart : array of shape (n + m, k)
        The same, the units without labels; 0 for those with.
    squares : array of shape (k,)
        Sums of squares of ``apart``.
    """

    truth: FloatArray
    gap: FloatArray
    apart: FloatArray
    squares: FloatArray


# From influence values to the lambda of each coefficient (k,).
Lambdas = Callable[[Moves], FloatArray]


def given_lambda(lam: float, width: int) -> Lambdas:
    """Use the same lambda whatever the data: 1 is PPI, 0 the labelled units alone."""
    return lambda moves: np.full(width, lam)


def tuned_lambda(labelled: BoolArray, clusters: Labels | None, *, each: bool) -> Lambdas:
    """Choose numbers that make variances smallest: of ``each`` coefficient, or one for the sum of all variances.

    Parameters
    ----------
    labelled : boolean array of shape (n + m,)
    clusters : array of shape (n + m,) or None
        Labels of units that vary together; variances are then those of whole clusters.
    """

    def chosen(moves: Moves) -> FloatArray:
        if clusters is None:
            # units without labels enter by their sum of squares alone
            truth = np.vstack([moves.truth, np.zeros_like(moves.squares)])
            shift = -np.vstack([moves.gap, np.sqrt(moves.squares)])
        else:
            truth, shift = np.zeros_like(moves.apart), -moves.apart
            truth[labelled], shift[labelled] = moves.truth, -moves.gap
            truth, shift = sum_within(truth, clusters), sum_within(shift, clusters)
        if each:
            found = [tune(one, other[:, None], bounds=_FREE)[0] for one, other in zip(truth.T, shift.T)]
            return np.array(found)
        return np.repeat(tune(truth.ravel(), shift.reshape(-1, 1), bounds=_FREE), truth.shape[1])

    return chosen


def rectified_linear(rows: Rows, choose: Lambdas, bounds: tuple[float, float] = BOUNDS) -> Fits:
    """Return least-squares coefficients: of the truth, less lambda times the gap between those of the predictions.

    The gap is that of units with labels to units without. Residuals are each regression's own.

    Examples
    --------
    On an indicator it is the difference of arms, rectified arm by arm:

    >>> arm = np.array([0.0, 0, 1, 1, 0, 0, 1, 1])
    >>> rows = Rows(
    ...     np.column_stack([np.ones(8), arm]), prediction=np.array([1.0, 1, 2, 2, 0, 2, 2, 4]),
    ...     truth=np.array([1.0, 2, 4, 5, 0, 0, 0, 0]), labelled=np.arange(8) < 4, weights=np.ones(8))
    >>> rectified_linear(rows, given_lambda(1.0, 2)).rectified.coefficients.round(6).tolist()
    [1.5, 4.0]
    """
    labelled = rows.labelled
    columns, weights = rows.columns[labelled], rows.weights[labelled]
    outcomes = np.column_stack([rows.truth[labelled], rows.prediction[labelled]])
    others = np.where(labelled, 0.0, rows.weights)
    gram, cross = _sums(columns, outcomes, weights)
    gram_apart, cross_apart = _sums(rows.columns, rows.prediction[:, None], others)
    inverse, inverse_apart = _inverse(gram, "with"), _inverse(gram_apart, "without")
    truth, predicted = (inverse @ cross).T
    apart = inverse_apart @ cross_apart[:, 0]
    everyone = _inverse(gram + gram_apart, "with and without")
    naive = everyone @ (cross[:, 1] + cross_apart[:, 0])
    known = _influence(columns, weights * (outcomes[:, 0] - columns @ truth), inverse)
    gap = _influence(columns, weights * (outcomes[:, 1] - columns @ predicted), inverse)
    n, (factor, factor_apart) = labelled.size, rows.factors
    scores, of_naive, squares = _both_influences(rows, others, apart, naive, inverse_apart, n * everyone)
    asked = choose(Moves(known, gap, scores, squares))
    lams = np.clip(asked, *bounds)
    scores *= -lams * n * factor_apart
    scores[labelled] = (known - lams * gap) * (n * factor)
    return Fits(
        Fit(truth - lams * (predicted - apart), scores),
        Fit(naive, of_naive),
        Fit(truth, known * (len(known) * factor)),
        lams,
        asked,
    )


def _both_influences(
    rows: Rows,
    others: FloatArray,
    apart: FloatArray,
    naive: FloatArray,
    inverse: FloatArray,
    whole: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return influence values (n, k) of units without labels on the gap, of the naive fit, and squares (k,)."""
    scores, of_naive = np.empty_like(rows.columns), np.empty_like(rows.columns)
    squares = np.zeros(apart.size)
    for piece in pieces(len(others)):
        columns, prediction = rows.columns[piece], rows.prediction[piece]
        residual = others[piece] * (columns @ apart - prediction)
        np.matmul(columns * residual[:, None], inverse, out=scores[piece])
        squares += np.einsum("ij,ij->j", scores[piece], scores[piece])
        residual = rows.weights[piece] * (prediction - columns @ naive)
        np.matmul(columns * residual[:, None], whole, out=of_naive[piece])
    return scores, of_naive, squares


def _sums(columns: FloatArray, outcomes: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Gram matrix (k, k) and products with outcomes (k, q)."""
    width = columns.shape[1]
    gram, cross = np.zeros((width, width)), np.zeros((width, outcomes.shape[1]))
    for piece in pieces(len(columns)):
        weighted = columns[piece] * weights[piece, None]
        gram += weighted.T @ columns[piece]
        cross += weighted.T @ outcomes[piece]
    return gram, cross


def _inverse(gram: FloatArray, which: str) -> FloatArray:
    if is_singular(gram):
        raise EstimationError(
            explain(
                f"The covariates of units {which} labels are combinations of one another.",
                rule="each column tells something that the others do not, with labels and without",
                fix="leave out columns that do not vary and one of shares that sum to one, and take the mean off "
                "columns that are far from zero",
            )
        )
    return np.asarray(np.linalg.inv(gram), dtype=float)


def is_singular(gram: FloatArray) -> bool:
    """Say whether columns with this Gram matrix (k, k) are combinations of one another."""
    scale = np.sqrt(np.diag(gram))
    return not (scale > 0).all() or bool(np.linalg.eigvalsh(gram / np.outer(scale, scale))[0] < SINGULAR)


def _influence(columns: FloatArray, residuals: FloatArray, inverse: FloatArray) -> FloatArray:
    return np.asarray((columns * residuals[:, None]) @ inverse)


def pieces(n: int) -> list[slice]:
    """Return slices of rows that stay in the processor's cache."""
    return [slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE)]
