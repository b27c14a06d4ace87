"""Who gets which arm as a budget grows: the best plan by predicted effects, and what it gains. Pure arrays.

At each budget the plan maximises the predicted gain subject to the mean cost by unit (a linear programme, in which
one unit at most is split). Its solutions are nested: each unit climbs the upper hull of its arms in the plane of
costs and gains, and the steps of all units are taken in the order of gain by cost. Sverdrup, Wu, Athey and Wager
(2025), "Qini curves for multi-armed treatment rules", Journal of Computational and Graphical Statistics 34,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# arm of a unit that gets none
NO_ARM = -1


@dataclass(frozen=True, eq=False)
class BudgetPath:
    """Steps of units from one arm to the next, the best predicted gain by cost first.

    Attributes
    ----------
    unit, arm, left : array of shape (m,)
        Who steps, to which arm, and from which (``NO_ARM`` at first).
    cost : array of shape (m,)
        What the step costs more.
    starts : array of shape (g,)
        Where each group of steps with one gain by cost starts; they are taken together, each by the same share.
    """

    unit: Codes
    arm: Codes
    left: Codes
    cost: FloatArray
    starts: Codes

    @property
    def last(self) -> Codes:
        """Where each group of steps ends in, (g,)."""
        return np.append(self.starts[1:], self.unit.size)[: self.starts.size] - 1

    def gains(
        self, scores: FloatArray, weights: FloatArray, budgets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return what is gained at each budget, and what is spent, both per unit.

        Parameters
        ----------
        scores : array of shape (n, K)
            Doubly robust scores of the arms against the control.
        weights : array of shape (n,)
            Sample weights; zero leaves a unit out.
        budgets : array of shape (b,)
            Beyond the whole path nothing more is spent.

        Returns
        -------
        gains, spent : array of shape (b,)
        """
        padded = np.column_stack([scores, np.zeros(len(scores))])
        weight = weights[self.unit] / weights.sum()
        step = weight * (padded[self.unit, self.arm] - padded[self.unit, self.left])
        # steps of equal gain by cost have no order: between their ends the gain is a straight line
        spent = np.r_[0.0, np.cumsum(weight * self.cost)[self.last]]
        gained = np.r_[0.0, np.cumsum(step)[self.last]]
        return np.interp(budgets, spent, gained), np.minimum(budgets, spent[-1])


def budget_path(reward: FloatArray, cost: FloatArray) -> BudgetPath:
    """Return the steps of the best plan.

    Parameters
    ----------
    reward : array of shape (n, K)
        Predicted gain of each arm over the control.
    cost : array of shape (n, K)
        Positive.

    Examples
    --------
    One unit: the second arm gains more but costs more by what it gains.

    >>> path = budget_path(np.array([[1.0, 1.5]]), np.array([[1.0, 3.0]]))
    >>> path.arm.tolist(), path.cost.tolist()
    ([0, 1], [1.0, 2.0])
    """
    n, n_arms = reward.shape
    units = np.arange(n)
    at, steepest = np.full(n, NO_ARM), np.full(n, np.inf)
    padded_reward, padded_cost = (np.column_stack([values, np.zeros(n)]) for values in (reward, cost))
    steps: list[tuple[Codes, Codes, Codes, FloatArray, FloatArray]] = []
    for _ in range(n_arms):
        more_cost = cost - padded_cost[units, at][:, None]
        more_gain = reward - padded_reward[units, at][:, None]
        onwards = (more_cost > 0) & (more_gain > 0)
        slopes = np.divide(more_gain, more_cost, out=np.full_like(reward, -np.inf), where=onwards)
        best = slopes.max(axis=1)
        moving = np.flatnonzero(best > 0)
        if not moving.size:
            break
        # of arms on one line from here, the nearest: the others follow at the same slope
        nearest = np.where(slopes == best[:, None], more_cost, np.inf).argmin(axis=1)[moving]
        # a hull never bends upwards; rounding must not put a later step of a unit before an earlier one
        steepest[moving] = np.minimum(steepest[moving], best[moving])
        steps.append((moving, nearest, at[moving], more_cost[moving, nearest], steepest[moving]))
        at[moving] = nearest
    if not steps:
        empty = np.zeros(0, dtype=np.intp)
        return BudgetPath(empty, empty, empty, np.zeros(0), empty)
    unit, arm, left, more, slope = (np.concatenate(column) for column in zip(*steps))
    order = np.argsort(-slope, kind="stable")
    new = np.r_[True, np.diff(slope[order]) != 0]
    return BudgetPath(unit[order], arm[order], left[order], more[order], np.flatnonzero(new))
