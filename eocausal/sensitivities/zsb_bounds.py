"""Largest and smallest mean of an arm whose odds of treatment may be off by a factor. Pure arrays, closed form.

The weight of a unit is ``fixed + z moving``, with ``z`` anywhere between ``1 / bound`` and ``bound``: of the
treated, for the average over all, ``w (1 + z (1 - e) / e)`` with ``w`` the sampling weight and ``e`` the
propensity. The mean under such weights is largest where ``z`` is ``bound`` above some outcome and ``1 / bound``
below it, so that one pass over sorted outcomes finds it: Zhao, Small and Bhattacharya (2019), JRSS B 81, 735-761.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled

FloatArray = npt.NDArray[np.float64]

# How a unit's weight in the mean of its arm is made, by what the average is over: how much of it counts whatever
# the unseen does, and the odds, as powers of e / (1 - e), that the unseen moves. None: the arm is the target.
PARTS: dict[str, tuple[tuple[float, float] | None, tuple[float, float] | None]] = {
    "ate": ((1.0, 1.0), (1.0, -1.0)),
    "att": ((0.0, 1.0), None),
    "atc": (None, (0.0, -1.0)),
}


@dataclass(frozen=True, eq=False)
class Arm:
    """Units of one arm by rising outcome.

    Attributes
    ----------
    rows : array of shape (m,)
        Their positions among all units.
    outcome : array of shape (m,)
    fixed : float
        Share of a sampling weight that counts whatever the unseen does: 1 or 0.
    power : float
        The unseen moves ``(e / (1 - e)) ** power``; 0 where it moves nothing.
    """

    rows: npt.NDArray[np.intp]
    outcome: FloatArray
    fixed: float
    power: float

    def weights(self, weights: FloatArray, index: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return fixed and moving weights (m,), from sampling weights (n,) and log odds (n,) of all units."""
        own = weights[self.rows]
        if self.power == 0:
            return own, np.zeros_like(own)
        return own * self.fixed, own * np.exp(self.power * index[self.rows])


def arms_of(outcome: FloatArray, treatment: FloatArray, estimand: str) -> tuple[Arm, Arm]:
    """Return controls and treated, with what moves their weights in an average effect.

    Examples
    --------
    >>> control, treated = arms_of(np.array([3.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0]), "att")
    >>> control.outcome.tolist(), control.power, treated.power
    ([2.0, 3.0], 1.0, 0.0)
    """
    made = []
    for arm, part in enumerate(PARTS[estimand]):
        rows = np.flatnonzero(treatment == arm)
        rows = rows[np.argsort(outcome[rows], kind="stable")]
        fixed, power = (1.0, 0.0) if part is None else part
        made.append(Arm(rows, outcome[rows], fixed, power))
    return made[0], made[1]


def extreme_means(
    outcome: FloatArray, fixed: FloatArray, moving: FloatArray, bounds: FloatArray
) -> FloatArray:
    """Return the smallest and the largest mean (k, 2) for each of k bounds on the odds.

    Parameters
    ----------
    outcome : array of shape (m,)
        Rising.
    fixed, moving : array of shape (m,)
        Parts of the weights.
    bounds : array of shape (k,)
        At least 1.

    Examples
    --------
    A binary outcome, half of it 1, with a propensity of one half: ``(1 + L) / 2`` over the sum of that and
    ``(1 + 1 / L) / 2``.

    >>> found = extreme_means(np.array([0.0, 1.0]), np.ones(2), np.ones(2), np.array([1.0, 2.0, 3.0]))
    >>> found[:, 1].round(4).tolist()
    [0.5, 0.6667, 0.75]
    """
    return np.asarray(_extremes(outcome, fixed, moving, np.asarray(bounds, dtype=float)))


@compiled
def _extremes(outcome: FloatArray, fixed: FloatArray, moving: FloatArray, bounds: FloatArray) -> FloatArray:
    m, k = outcome.size, bounds.size
    total_fixed, total_moving, sum_fixed, sum_moving = 0.0, 0.0, 0.0, 0.0
    for i in range(m):
        total_fixed += fixed[i]
        total_moving += moving[i]
        sum_fixed += fixed[i] * outcome[i]
        sum_moving += moving[i] * outcome[i]
    found = np.empty((k, 2))
    for one in range(k):
        most, least = bounds[one], 1.0 / bounds[one]
        # none of the smallest outcomes passed yet: all have the factor of those above the threshold
        low_top, low_all = sum_fixed + least * sum_moving, total_fixed + least * total_moving
        high_top, high_all = sum_fixed + most * sum_moving, total_fixed + most * total_moving
        low, high = low_top / low_all, high_top / high_all
        gap = most - least
        for i in range(m):
            step, weighed = gap * moving[i], gap * moving[i] * outcome[i]
            low_top += weighed
            low_all += step
            high_top -= weighed
            high_all -= step
            low = min(low, low_top / low_all)
            high = max(high, high_top / high_all)
        found[one, 0], found[one, 1] = low, high
    return found


def difference(control: FloatArray, treated: FloatArray) -> FloatArray:
    """Return the bounds (..., 2) of a difference from those of the means of both arms (..., 2)."""
    return np.stack([treated[..., 0] - control[..., 1], treated[..., 1] - control[..., 0]], axis=-1)
