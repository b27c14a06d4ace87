"""Several estimates at once: intervals that hold together, and p-values that allow for how many there are.

Pure arrays. Draws of all t statistics at once, with the correlations of the estimates, say how large the largest of
them is by chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]


@one_blas_thread()
def t_draws(matrix: FloatArray, *, df: float, draws: int, seed: int) -> FloatArray:
    """Return draws (draws, k) of t statistics around zero, of estimates with a covariance matrix (k, k).

    One chi-square variable divides all estimates of a draw, so that each column is Student's t with ``df``. An
    estimate without any error has draws of 0.

    Examples
    --------
    >>> made = t_draws(np.array([[1.0, 1.0], [1.0, 1.0]]), df=30.0, draws=3, seed=0)
    >>> bool(np.allclose(made[:, 0], made[:, 1]))
    True
    """
    errors = np.sqrt(np.diag(matrix))
    scale = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    values, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((draws, errors.size)) @ root.T
    return _divided(normal, df, generator)


def t_of_draws(made: FloatArray, *, df: float, seed: int) -> FloatArray:
    """Return draws (draws, k) of estimates as t statistics: centred, over their spread, as Student's t."""
    errors = made.std(axis=0, ddof=1)
    scale = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    return _divided((made - made.mean(axis=0)) * scale, df, np.random.default_rng(seed))


def _divided(normal: FloatArray, df: float, generator: np.random.Generator) -> FloatArray:
    square = generator.chisquare(df, size=(len(normal), 1)) / df
    divided: FloatArray = normal / np.sqrt(square)
    return divided


def critical_value(drawn: FloatArray, *, level: float) -> float:
    """Return the size that the largest of the t statistics stays below in a share ``level`` of draws (draws, k)."""
    largest = np.sort(np.abs(drawn).max(axis=1))
    # what was found counts as one draw more
    place = min(int(np.ceil(level * (largest.size + 1))), largest.size) - 1
    return float(largest[place])


def step_down(statistics: FloatArray, drawn: FloatArray) -> FloatArray:
    """Return p-values (k,) that allow for all hypotheses at once, by stepping down from the largest statistic.

    The largest is held against the largest of all draws, the next against the largest of those that are left, and
    no p-value is smaller than one before it: Romano and Wolf (2005), Econometrica 73, with p-values as they give
    them in Statistics & Probability Letters 113 (2016). What was found counts as one draw more.

    Examples
    --------
    >>> step_down(np.array([0.5, 3.0]), np.array([[1.0, 0.2], [0.1, 2.0], [0.2, 0.1]])).tolist()
    [0.5, 0.25]
    """
    size = np.abs(statistics)
    order = np.argsort(-size, kind="stable")
    left = np.maximum.accumulate(np.abs(drawn)[:, order[::-1]], axis=1)[:, ::-1]
    many = (left >= size[order] * (1 - 1e-12)).sum(axis=0)
    p_values = np.empty_like(size)
    p_values[order] = np.maximum.accumulate((1 + many) / (1 + len(drawn)))
    p_values[size == 0] = 1.0
    return p_values
