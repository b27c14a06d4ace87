"""Predictions by level of the truth, and how an effect on them is an effect on the truth. Pure arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


class LevelMeans(NamedTuple):
    """Means of columns by level of the truth (K, q), and what each unit weighs in the mean of its level (m,)."""

    means: FloatArray
    shares: FloatArray


class Recovery(NamedTuple):
    """What an effect on functions of the prediction is multiplied with.

    Attributes
    ----------
    loadings : array of shape (q,)
        The effect on the truth is the sum of effects on the functions times these.
    moved : array of shape (K,)
        By how much the effect changes the share of each level.
    parts : array of shape (m,)
        What each labelled unit adds to the error.
    """

    loadings: FloatArray
    moved: FloatArray
    parts: FloatArray


def level_means(columns: FloatArray, levels: Codes, weights: FloatArray) -> LevelMeans:
    """Return weighted means of columns (m, q) by level (m,), codes from 0.

    Examples
    --------
    >>> made = level_means(np.array([[0.0], [1.0], [1.0], [1.0]]), np.array([0, 0, 1, 1]), np.ones(4))
    >>> made.means.ravel().tolist()
    [0.5, 1.0]
    """
    totals = np.bincount(levels, weights=weights)
    shares = weights / totals[levels]
    means = np.column_stack(
        [np.bincount(levels, weights=shares * column, minlength=totals.size) for column in columns.T]
    )
    return LevelMeans(np.asarray(means, dtype=float), shares)


def recovery(
    effects: FloatArray, columns: FloatArray, truth: FloatArray, levels: Codes, weights: FloatArray
) -> Recovery:
    """Return how effects (q,) on functions of the prediction give the effect on the truth.

    With K levels there are ``q = K - 1`` functions (m, q). Their combination is sought whose mean in each level of
    the truth is the mean truth there, up to a constant. For a 0/1 truth and one function ``h`` this divides by
    ``E[h | 1] - E[h | 0]`` (Rogan and Gladen 1978, American Journal of Epidemiology 107).

    Raises
    ------
    DebiasError
        Functions whose means by level do not tell the levels apart.

    Examples
    --------
    Predictions that are right for 3 of 4 units of each kind, and an effect of 0.2 on them:

    >>> h, y = np.array([[0.0], [0], [0], [1], [1], [1], [1], [0]]), np.repeat([0.0, 1.0], 4)
    >>> recovery(np.array([0.2]), h, y, y.astype(int), np.ones(8)).loadings.tolist()
    [2.0]
    """
    made = level_means(np.column_stack([columns, truth]), levels, weights)
    steps = made.means[1:] - made.means[0]
    by_column, by_truth = steps[:, :-1], steps[:, -1]
    if np.linalg.matrix_rank(by_column, tol=1e-10 * max(np.abs(by_column).max(), 1e-300)) < by_truth.size:
        raise DebiasError(
            explain(
                "Predictions do not tell the levels of the truth apart.",
                rule="mean predictions differ between all levels",
                fix="fewer levels, or better predictions; there is no effect to recover",
            )
        )
    loadings = np.linalg.solve(by_column, by_truth)
    upper = np.linalg.solve(by_column.T, effects)
    moved = np.concatenate([[-upper.sum()], upper])
    residual = truth - columns @ loadings
    left = residual - np.bincount(levels, weights=made.shares * residual)[levels]
    return Recovery(loadings, moved, moved[levels] * made.shares * left)
