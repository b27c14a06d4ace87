"""Several hypotheses at once: equality of means, bands that cover whole curves, p-values after many looks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]

# Draws of the largest t statistic: the 95% point then has an error of about 0.01.
DRAWS = 20_000
# Directions with less than this share of the largest variance are rounding.
_SMALLEST_EIGENVALUE = 1e-9
# ... and so are differences whose variance is less than this share of that of the estimates.
_ROUNDING = 1e-14


def t_draws(matrix: FloatArray, *, df: float, seed: int, draws: int = DRAWS) -> FloatArray:
    """Return draws (draws, k) of t statistics that vary together as estimates with this covariance (k, k) do.

    An estimate without error has a statistic of zero in every draw.
    """
    scale = np.sqrt(np.diag(matrix))
    scale = np.where(scale > 0, scale, 1.0)
    size, directions = np.linalg.eigh(matrix / np.outer(scale, scale))
    root = directions * np.sqrt(np.maximum(size, 0.0))
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((draws, scale.size)) @ root.T
    return np.asarray(normal / np.sqrt(rng.chisquare(df, size=(draws, 1)) / df))


def band_factor(matrix: FloatArray, *, df: float, level: float, seed: int = 0) -> float:
    """Return how many standard errors to either side a band has to reach to cover all estimates at once.

    The ``level`` quantile of the largest |t|; never below that of one estimate.

    Examples
    --------
    >>> one, ten = (band_factor(np.eye(k), df=1000, level=0.95) for k in (1, 10))
    >>> 1.93 < one < 2.0, 2.75 < ten < 2.85
    (True, True)
    """
    largest = np.abs(t_draws(matrix, df=df, seed=seed)).max(axis=1)
    return float(max(np.quantile(largest, level), stats.t.ppf(0.5 + level / 2, df)))


def step_down_p(values: FloatArray, matrix: FloatArray, *, df: float, seed: int = 0) -> FloatArray:
    """Return p-values (k,) that hold the chance of any false rejection, by the step-down max-t method.

    The largest statistic is compared with draws of the largest of all, the next with those of the largest of what
    is left, and so on. Romano and Wolf (2005), JASA 100; the draws are of a multivariate t distribution with the
    covariance of the estimates.

    Examples
    --------
    >>> found = step_down_p(np.array([4.0, 0.1]), np.eye(2), df=1000)
    >>> bool(found[0] < 0.001), bool(found[1] > 0.9)
    (True, True)
    """
    scale = np.sqrt(np.diag(matrix))
    found = np.divide(np.abs(values), scale, out=np.zeros_like(values), where=scale > 0)
    return step_down(found, 2 * stats.t.sf(found, df), np.abs(t_draws(matrix, df=df, seed=seed)))


def step_down(found: FloatArray, own: FloatArray, drawn: FloatArray) -> FloatArray:
    """Return p-values (k,) as :func:`step_down_p` does, from statistics that were drawn already.

    Parameters
    ----------
    found : array of shape (k,)
        Absolute t statistics.
    own : array of shape (k,)
        The p-value of each test alone.
    drawn : array of shape (draws, k)
        Absolute t statistics where no estimand differs from zero.
    """
    adjusted, least = np.ones_like(found), 0.0
    order = np.argsort(-found, kind="stable")
    # of each statistic and of all that are smaller the largest draw
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    for step, term in enumerate(order):
        share = (1 + int((largest[:, step] >= found[term]).sum())) / (1 + len(drawn))
        # neither below the p-value of the one test alone nor below that of a larger statistic
        least = max(least, share, float(own[term]))
        adjusted[term] = min(least, 1.0)
    return adjusted


def equality_p(values: FloatArray, matrix: FloatArray, *, df: float) -> float:
    """Return the p-value that all estimates (k,) are equal: Hotelling's F with the variance's degrees of freedom.

    Examples
    --------
    >>> round(equality_p(np.array([1.0, 1.0, 1.0]), np.eye(3), df=100), 6)
    1.0
    """
    contrasts = np.eye(values.size)[1:] - np.eye(values.size)[:1]
    least = _ROUNDING * float(np.diag(matrix).max())
    return zero_p(contrasts @ values, contrasts @ matrix @ contrasts.T, df=df, least=least)


def zero_p(gaps: FloatArray, matrix: FloatArray, *, df: float, least: float) -> float:
    """Return the p-value that all gaps (k,) are zero, by Hotelling's F; NaN where nothing is left to be tested.

    Directions with a variance of no more than ``least`` are left out. All gaps are in the same unit of measure.
    """
    return _hotelling(gaps, matrix, df=df, least=least).p_value


class Joint(NamedTuple):
    """Hotelling's F, its first degrees of freedom, and the p-value."""

    statistic: float
    rank: int
    p_value: float


def jointly_zero(values: FloatArray, matrix: FloatArray, *, df: float) -> Joint:
    """Test that all values (k,) are zero, each in a unit of measure of its own; NaN where ``df`` is too small.

    Values that follow from others do not count. One without variance that is not zero cannot be chance: p is 0.

    Examples
    --------
    One value is its t test:

    >>> found = jointly_zero(np.array([2.0]), np.array([[1.0]]), df=10.0)
    >>> found.statistic, found.rank, bool(np.isclose(found.p_value, 2 * stats.t.sf(2.0, 10)))
    (4.0, 1, True)
    """
    scale = np.sqrt(np.diag(matrix))
    varies = scale > 0
    if (values[~varies] != 0).any():
        return Joint(float("inf"), int(varies.sum()), 0.0)
    scale, values = scale[varies], values[varies]
    within = matrix[np.ix_(varies, varies)] / np.outer(scale, scale)
    return _hotelling(values / scale, within, df=df, least=0.0)


def _hotelling(values: FloatArray, matrix: FloatArray, *, df: float, least: float) -> Joint:
    size, direction = np.linalg.eigh(matrix)
    kept = size > max(_SMALLEST_EIGENVALUE * size.max(initial=0.0), least)
    rank = int(kept.sum())
    # as few directions as degrees of freedom, of more values, are those that few clusters could show
    if rank == 0 or df < rank or (df == rank < values.size):
        return Joint(float("nan"), rank, float("nan"))
    wald = float(((values @ direction)[kept] ** 2 / size[kept]).sum())
    statistic = wald * (df - rank + 1) / (df * rank)
    return Joint(statistic, rank, float(stats.f.sf(statistic, rank, df - rank + 1)))
