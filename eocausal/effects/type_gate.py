"""The gate: probabilities of types given the features of an image, by a Bayesian multinomial logit. Pure arrays."""

from __future__ import annotations

from functools import reduce
from itertools import combinations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Prior SD of the difference of two types' logits over images, whatever the number of components.
LOGIT_SD = 2.0
_NEWTON_STEPS = 2
_HALVINGS = 30
_ENOUGH = 1e-9


def gate_precision(width: int) -> FloatArray:
    """Return the prior precision (width,) of the coefficients of each type, the intercept first.

    Columns beyond the first have unit variance over images, so that the difference of two logits has the same
    spread a priori however many components there are.
    """
    components = max(width - 1, 1)
    precision: FloatArray = np.r_[2.0 / LOGIT_SD**2, np.full(width - 1, 2.0 * components / LOGIT_SD**2)]
    return precision


def log_softmax(columns: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Return the log probabilities (images, types) of columns (images, q) and coefficients (types, q).

    Examples
    --------
    >>> np.exp(log_softmax(np.ones((1, 1)), np.array([[0.0], [np.log(3.0)]]))).round(2).tolist()
    [[0.25, 0.75]]
    """
    return log_normalised(columns @ coefficients.T)


def log_normalised(values: FloatArray) -> FloatArray:
    """Return logs of positive numbers (images, types) less the log of their sum over types."""
    # column by column: numpy reduces rows of two or three numbers many times slower
    lowered = values - reduce(np.maximum, values.T)[:, None]
    return np.asarray(lowered - np.log(reduce(np.add, np.exp(lowered).T))[:, None])


def gate_objective(
    columns: FloatArray, coefficients: FloatArray, memberships: FloatArray, precision: FloatArray
) -> float:
    """Return the expected log probability of the types plus the log prior, up to a constant."""
    expected = float((memberships * log_softmax(columns, coefficients)).sum())
    return expected - 0.5 * float((precision * coefficients**2).sum())


def fit_gate(
    columns: FloatArray, memberships: FloatArray, start: FloatArray, precision: FloatArray
) -> FloatArray:
    """Return coefficients (types, q) at the mode, by Newton steps that never lower the objective.

    All types have coefficients, and the prior tells them apart: no type is a reference, so that their order is
    of no consequence.

    Parameters
    ----------
    columns : array of shape (images, q)
    memberships : array of shape (images, types)
        Rows sum to 1.
    start : array of shape (types, q)
    precision : array of shape (q,)
    """
    coefficients = start
    value = gate_objective(columns, coefficients, memberships, precision)
    for _ in range(_NEWTON_STEPS):
        probability = np.exp(log_softmax(columns, coefficients))
        slope = (memberships - probability).T @ columns - precision * coefficients
        step = np.linalg.solve(curvature(columns, probability, precision), slope.ravel())
        step = step.reshape(slope.shape)
        before, length = value, 1.0
        for _ in range(_HALVINGS):
            tried = coefficients + length * step
            value = gate_objective(columns, tried, memberships, precision)
            if value >= before:
                coefficients = tried
                break
            length /= 2
        else:
            return coefficients
        if value - before < _ENOUGH:
            break
    return coefficients


def curvature(columns: FloatArray, probability: FloatArray, precision: FloatArray) -> FloatArray:
    """Return the negative Hessian (types q, types q) of the log prior and of types that are seen."""
    types, width = probability.shape[1], columns.shape[1]
    made = np.zeros((types, width, types, width))
    for one, other in combinations(range(types), 2):
        weight = probability[:, one] * probability[:, other]
        block = (columns * weight[:, None]).T @ columns
        made[one, :, other] = made[other, :, one] = -block
        # probabilities sum to one, so blocks of a type sum to zero
        made[one, :, one] += block
        made[other, :, other] += block
    flat = made.reshape(types * width, types * width)
    return np.asarray(flat + np.diag(np.tile(precision, types)))
