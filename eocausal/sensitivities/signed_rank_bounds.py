"""Pairs under hidden bias: the signed rank test and McNemar's, at the worst and the best that a bias can do.

Rosenbaum (2002), Observational Studies, sections 4.3 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Extremes:
    """A test statistic, and mean and variance it has without effect where hidden bias helps it most and least.

    Attributes
    ----------
    statistic : float
    most, most_variance : float
    least, least_variance : float
    """

    statistic: float
    most: float
    most_variance: float
    least: float
    least_variance: float

    @property
    def above_most(self) -> float:
        """Standard deviations by which the statistic exceeds the largest mean."""
        return _deviate(self.statistic - self.most, self.most_variance)

    @property
    def above_least(self) -> float:
        """Standard deviations by which the statistic exceeds the smallest mean."""
        return _deviate(self.statistic - self.least, self.least_variance)


def signed_ranks(differences: FloatArray) -> FloatArray:
    """Return ranks (n,) of absolute differences, ties at their average; a difference of zero has score 0.

    Zeros take part in the ranking and then count for nothing (Pratt 1959), as in Rosenbaum's tables.

    Examples
    --------
    >>> signed_ranks(np.array([3.0, -1.0, 0.0, 1.0])).tolist()
    [4.0, 2.5, 0.0, 2.5]
    """
    from scipy.stats import rankdata

    ranks: FloatArray = rankdata(np.abs(differences)).astype(float)
    return np.where(differences == 0, 0.0, ranks)


def signed_rank_extremes(differences: FloatArray, gamma: float) -> Extremes:
    """Return Wilcoxon's statistic of differences (n,), treated minus control, and its extremes without effect.

    Where the odds of treatment within pairs differ by at most ``gamma``, a difference is positive with a
    probability of at most ``gamma / (1 + gamma)`` and at least ``1 / (1 + gamma)``.

    Examples
    --------
    >>> signed_rank_extremes(np.array([1.0, 2.0, -3.0]), 2.0)
    Extremes(statistic=3.0, most=4.0, most_variance=3.11..., least=2.0, least_variance=3.11...)
    """
    ranks = signed_ranks(differences)
    chance = gamma / (1 + gamma)
    total, variance = float(ranks.sum()), chance * (1 - chance) * float((ranks**2).sum())
    statistic = float(ranks[differences > 0].sum())
    return Extremes(statistic, chance * total, variance, (1 - chance) * total, variance)


def mcnemar_p(favourable: int, discordant: int, gamma: float) -> tuple[float, float]:
    """Return the largest and smallest exact p-value of pairs with a 0/1 outcome.

    Parameters
    ----------
    favourable : int
        Pairs where only the treated unit has the outcome that treatment is thought to bring.
    discordant : int
        Pairs where the two outcomes differ.
    gamma : float
        At least 1.

    Examples
    --------
    >>> [round(p, 4) for p in mcnemar_p(110, 122, 5.0)]
    [0.0232, 0.0]
    """
    from scipy.stats import binom

    chance = gamma / (1 + gamma)
    most, least = (float(binom.sf(favourable - 1, discordant, one)) for one in (chance, 1 - chance))
    return most, least


def _deviate(gap: float, variance: float) -> float:
    if variance > 0:
        return gap / float(np.sqrt(variance))
    return 0.0 if gap == 0 else float(np.copysign(np.inf, gap))
