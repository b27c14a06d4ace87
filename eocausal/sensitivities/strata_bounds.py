"""Strata under hidden bias: the mean and variance of a sum of scores of the treated, at their extremes.

Within a stratum the number treated is given, and the odds of treatment of two units differ by at most gamma. Who is
treated is then a sample of the stratum, weighted by gamma to the power of an unseen number between 0 and 1; at the
extremes that is 1 for units with scores above some level and 0 for the rest (Rosenbaum and Krieger 1990, JASA 85;
Rosenbaum 2002, Observational Studies, chapter 4). Each stratum takes the level with the largest mean, and among
equals the largest variance (Gastwirth, Krieger and Rosenbaum 2000, JRSS B 62).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from eocausal.sensitivities.signed_rank_bounds import Extremes

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Up to this size of a stratum the number treated among units with the unseen has its exact distribution.
EXACT_SIZE = 1000
# Means this near, relative to the scores, are one.
TIED = 1e-10
# Steps from the separable choice towards the levels that are worst together.
STEPS = 20


@dataclass(frozen=True, eq=False)
class Block:
    """Strata of one size.

    Attributes
    ----------
    rows : array of shape (strata, size)
        Positions of units, the treated first.
    n_treated : array of shape (strata,)
    """

    rows: Codes
    n_treated: Codes

    @property
    def treated(self) -> npt.NDArray[np.bool_]:
        """Which places of ``rows`` hold treated units."""
        return np.arange(self.rows.shape[1]) < self.n_treated[:, None]


@dataclass(frozen=True, eq=False)
class Strata:
    """Units in strata with both arms, strata of the same size side by side.

    Attributes
    ----------
    blocks : tuple of Block
    """

    blocks: tuple[Block, ...]

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return sum(len(block.rows) for block in self.blocks)

    @property
    def paired(self) -> bool:
        """Whether every stratum is one treated unit and one control."""
        return all(block.rows.shape[1] == 2 for block in self.blocks)

    @property
    def members(self) -> Codes:
        """Positions of all units that are in a stratum."""
        return np.concatenate([np.zeros(0, dtype=np.intp), *(block.rows.ravel() for block in self.blocks)])

    def range_of(self, values: FloatArray) -> FloatArray:
        """Return the largest less the smallest value (strata,) within each."""
        return np.concatenate([np.zeros(0), *(np.ptp(values[block.rows], axis=1) for block in self.blocks)])

    def within(self, values: FloatArray) -> FloatArray:
        """Return values less the mean of their stratum; zero for units in none."""
        left = np.zeros(values.size)
        for block in self.blocks:
            left[block.rows] = values[block.rows] - values[block.rows].mean(axis=1, keepdims=True)
        return left

    def gaps(self, values: FloatArray) -> tuple[float, float]:
        """Return the smallest and largest difference of a treated unit to a control of its stratum."""
        lowest, highest = np.inf, -np.inf
        for block in self.blocks:
            own, treated = values[block.rows], block.treated
            least, most = (np.where(treated, own, fill) for fill in (np.inf, -np.inf))
            other_least, other_most = (np.where(treated, fill, own) for fill in (np.inf, -np.inf))
            lowest = min(lowest, float((least.min(axis=1) - other_most.max(axis=1)).min()))
            highest = max(highest, float((most.max(axis=1) - other_least.min(axis=1)).max()))
        return lowest, highest


def strata_of(labels: npt.NDArray[np.intp], treated: npt.NDArray[np.bool_]) -> Strata:
    """Return the strata of units with equal labels (n,); negative labels, and strata of one arm, are left out.

    Examples
    --------
    >>> found = strata_of(np.array([0, 0, 1, 1, 1, -1]), np.array([True, False, False, True, False, True]))
    >>> found.n_strata, [block.rows.tolist() for block in found.blocks]
    (2, [[[0, 1]], [[3, 2, 4]]])
    """
    order = np.lexsort((~treated, labels))
    order = order[labels[order] >= 0]
    if not order.size:
        return Strata(())
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    n_treated = np.add.reduceat(treated[order].astype(np.intp), starts)
    both = (n_treated > 0) & (n_treated < sizes)
    blocks = []
    for size in np.unique(sizes[both]):
        chosen = both & (sizes == size)
        blocks.append(Block(order[starts[chosen][:, None] + np.arange(size)], n_treated[chosen]))
    return Strata(tuple(blocks))


def sum_extremes(scores: FloatArray, strata: Strata, gamma: float) -> Extremes:
    """Return the sum of the scores of the treated, and its extremes where treatment has no effect.

    Parameters
    ----------
    scores : array of shape (n,)
        Functions of the outcomes alone, such as ranks.
    strata : Strata
    gamma : float
        At least 1.

    Examples
    --------
    >>> one = strata_of(np.zeros(3, dtype=int), np.array([True, False, False]))
    >>> found = sum_extremes(np.array([3.0, 1.0, 2.0]), one, 2.0)
    >>> found.statistic, found.most, found.least
    (3.0, 2.25, 1.75)
    """
    statistic = sum(float(scores[block.rows[block.treated]].sum()) for block in strata.blocks)
    most, most_variance = _largest(scores, strata, gamma, statistic)
    least, least_variance = _largest(-scores, strata, gamma, -statistic)
    return Extremes(statistic, most, most_variance, -least, least_variance)


def _largest(scores: FloatArray, strata: Strata, gamma: float, statistic: float) -> tuple[float, float]:
    """Return mean and variance of the sum at the levels that make a statistic as likely as can be."""
    tables = [_by_level(scores[block.rows], block.n_treated, gamma) for block in strata.blocks]
    slack = TIED * float(np.abs(scores).max(initial=0.0))
    mean = variance = 0.0
    for means, variances in tables:
        near = means >= means.max(axis=1, keepdims=True) - slack
        level = np.where(near, variances, -np.inf).argmax(axis=1)
        mean += float(np.take_along_axis(means, level[:, None], 1).sum())
        variance += float(np.take_along_axis(variances, level[:, None], 1).sum())
    return _worse_together(tables, statistic, mean, variance)


def _worse_together(
    tables: list[tuple[FloatArray, FloatArray]], statistic: float, mean: float, variance: float
) -> tuple[float, float]:
    """Return mean and variance with levels that give up some mean for variance where that makes p larger.

    Few large strata are not separable: the root of the variance is linearised at the levels so far, and each
    stratum chooses anew (the step of Rosenbaum 2018, Annals of Applied Statistics 12, repeated).
    """
    for _ in range(STEPS):
        if variance <= 0 or statistic <= mean:
            break
        price = (statistic - mean) / (2 * variance)
        new_mean = new_variance = 0.0
        for means, variances in tables:
            level = (means + price * variances).argmax(axis=1)[:, None]
            new_mean += float(np.take_along_axis(means, level, 1).sum())
            new_variance += float(np.take_along_axis(variances, level, 1).sum())
        better = new_variance > 0 and (statistic - new_mean) ** 2 * variance < (
            statistic - mean
        ) ** 2 * new_variance * (1 - 1e-12)
        if not better:
            break
        mean, variance = new_mean, new_variance
    return mean, variance


def _by_level(scores: FloatArray, n_treated: Codes, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance (strata, levels) of the sum, by how many of the highest scores have the unseen."""
    ascending = np.sort(scores, axis=1)
    size = scores.shape[1]
    high_mean, high_spread = _tail(ascending[:, ::-1])
    low_mean, low_spread = (one[:, ::-1] for one in _tail(ascending))
    kinds, which = np.unique(n_treated, return_inverse=True)
    moments = np.stack([_number_above(size, int(one), gamma) for one in kinds], axis=1)
    count, count_variance, high_part, low_part = moments[:, which]
    means = count * high_mean + (n_treated[:, None] - count) * low_mean
    variances = count_variance * (high_mean - low_mean) ** 2 + high_part * high_spread + low_part * low_spread
    return means, variances


def _tail(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and sample variance (strata, size + 1) of the first 0, 1, ... values of each row."""
    # measured from the middle of each row, so that squares do not cancel
    middle = values.mean(axis=1, keepdims=True)
    centred = values - middle
    zero = np.zeros((len(values), 1))
    count = np.arange(values.shape[1] + 1.0)
    total = np.hstack([zero, np.cumsum(centred, axis=1)])
    squares = np.hstack([zero, np.cumsum(centred**2, axis=1)])
    mean = total / np.maximum(count, 1)
    spread = np.maximum(squares - count * mean**2, 0.0) / np.maximum(count - 1, 1)
    return np.where(count > 0, mean + middle, 0.0), np.where(count > 1, spread, 0.0)


@lru_cache(maxsize=4096)
def _number_above(size: int, n_treated: int, gamma: float) -> FloatArray:
    """Return moments (4, size + 1) of how many of the first 0, 1, ... units are treated, their odds times gamma.

    Mean, variance, and what multiplies the sample variances of scores with and without the unseen: of a sample of h
    from b without replacement the sum has the variance h (1 - h / b) times theirs.
    """
    above = np.arange(size + 1.0)
    below = size - above
    moments = _exact_moments if size <= EXACT_SIZE else _large_moments
    mean, variance = moments(above, n_treated, gamma)
    second = variance + mean**2
    high = mean - np.divide(second, above, out=np.zeros(size + 1), where=above > 0)
    rest = n_treated - mean
    low = rest - np.divide(variance + rest**2, below, out=np.zeros(size + 1), where=below > 0)
    return np.array([mean, variance, np.maximum(high, 0.0), np.maximum(low, 0.0)])


def _exact_moments(above: FloatArray, n_treated: int, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of Fisher's noncentral hypergeometric distribution, one for each number above."""
    from scipy.special import gammaln

    below = above.size - 1 - above
    drawn = np.arange(n_treated + 1.0)
    b, a = above[:, None], below[:, None]
    rest = n_treated - drawn
    possible = (drawn <= b) & (rest <= a)
    left_high, left_low = np.where(possible, b - drawn, 0.0), np.where(possible, a - rest, 0.0)
    log_weight = drawn * np.log(gamma) - gammaln(drawn + 1) - gammaln(rest + 1)
    log_weight = np.where(possible, log_weight - gammaln(left_high + 1) - gammaln(left_low + 1), -np.inf)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ drawn
    return mean, (weight * (drawn - mean[:, None]) ** 2).sum(axis=1)


def _large_moments(above: FloatArray, n_treated: int, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return Cornfield's approximations: the mean whose table has the odds ratio gamma, and its variance."""
    below = above.size - 1 - above
    if gamma == 1:
        mean = n_treated * above / (above + below)
    else:
        # (gamma - 1) h^2 - (gamma (above + m) + below - m) h + gamma above m = 0
        linear = gamma * (above + n_treated) + below - n_treated
        root = np.sqrt(linear**2 - 4 * (gamma - 1) * gamma * above * n_treated)
        mean = 2 * gamma * above * n_treated / (linear + root)
    cells = np.array([mean, above - mean, n_treated - mean, below - n_treated + mean])
    empty = (cells <= 0).any(axis=0)
    variance = np.where(empty, 0.0, 1 / (1 / np.where(empty, 1.0, cells)).sum(axis=0))
    return mean, variance
