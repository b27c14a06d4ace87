"""The targeting operator characteristic and its averages, AUTOC and QINI. Pure arrays.

Units are ranked by a priority, highest first. ``TOC(q)`` is the average effect among the first share ``q`` minus
the average effect of all; ``AUTOC`` averages it over all shares, ``QINI`` averages ``q TOC(q)``. Yadlowsky et al.
(2025), JASA 120, "Evaluating treatment prioritization rules via rank-weighted average treatment effects",
definitions 1 and 2.

The finite-sample definitions are those of grf 2.6: tied units share the weighted mean score of their group, and the
averages are sums over units, not over the plotted grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DEFAULT_GRID = np.arange(1, 11) / 10
# what rounding leaves of an exact zero
SMALLEST = 1e-13


@dataclass(frozen=True)
class Ranking:
    """Units sorted by one priority, once, so that many reweightings of them are cheap.

    Attributes
    ----------
    order : array of shape (n,)
        Positions of units from the highest priority to the lowest; ties in the order of unit ids.
    starts : array of shape (g,)
        Where each group of tied units starts in ``order``.
    group : array of shape (n,)
        The group of each sorted unit.
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    group: npt.NDArray[np.intp]


def rank(priority: FloatArray, *, ids: npt.NDArray[Any] | None = None) -> Ranking:
    """Sort units by decreasing priority.

    Examples
    --------
    >>> rank(np.array([1.0, 3.0, 1.0])).order.tolist()
    [1, 0, 2]
    """
    place = np.arange(priority.size) if ids is None else np.argsort(np.argsort(ids, kind="stable"))
    order = np.lexsort((place, -priority))
    new_group = np.r_[True, np.diff(priority[order]) != 0]
    return Ranking(order, np.flatnonzero(new_group), np.cumsum(new_group) - 1)


def toc_and_rate(
    ranking: Ranking, dr_scores: FloatArray, weights: FloatArray, *, target: str, grid: FloatArray
) -> tuple[FloatArray, float]:
    """Return the TOC on a grid of shares and the AUTOC or QINI.

    Parameters
    ----------
    ranking : Ranking
    dr_scores : array of shape (n,)
        Doubly robust scores.
    weights : array of shape (n,)
        Sample weights; zero leaves a unit out.
    target : {"AUTOC", "QINI"}
    grid : array of shape (q,)
        Shares in (0, 1].

    Returns
    -------
    toc : array of shape (q,)
    rate : float

    Examples
    --------
    Twelve scores ranked from best to worst (reference values from grf 2.6.1):

    >>> gamma = np.array([3, -1, 2, .5, 4, -2, 1, 0, 2.5, -.5, 1.5, -3])
    >>> toc, autoc = toc_and_rate(rank(-np.arange(12.0)), gamma, np.ones(12), target="AUTOC", grid=DEFAULT_GRID)
    >>> round(autoc, 12), round(float(toc[0]), 10)
    (0.581531084656, 1.6666666667)
    """
    weight = weights[ranking.order]
    group_weight = np.add.reduceat(weight, ranking.starts)
    group_sum = np.add.reduceat(weight * dr_scores[ranking.order], ranking.starts)
    group_mean = np.divide(group_sum, group_weight, out=np.zeros_like(group_sum), where=group_weight > 0)
    score = group_mean[ranking.group]
    cumulative_weight = np.cumsum(weight)
    cumulative_sum = np.cumsum(weight * score)
    total = cumulative_weight[-1]
    average = cumulative_sum[-1] / total
    present = weight > 0
    toc_at_unit = np.zeros_like(score)
    np.divide(cumulative_sum, cumulative_weight, out=toc_at_unit, where=present)
    toc_at_unit -= average
    share = 1.0 if target == "AUTOC" else cumulative_weight / total
    rate = float((share * weight * toc_at_unit)[present].sum() / total)
    toc = _toc_on_grid(grid, weight[present], score[present], average)
    return toc, 0.0 if abs(rate) < SMALLEST else rate


def _toc_on_grid(grid: FloatArray, weight: FloatArray, score: FloatArray, average: float) -> FloatArray:
    """Average score of the first share of the total weight, taking a fraction of the unit that straddles it."""
    cumulative_weight = np.cumsum(weight)
    cumulative_sum = np.cumsum(weight * score)
    wanted = grid * cumulative_weight[-1]
    last = np.searchsorted(cumulative_weight, wanted + 1e-15 * cumulative_weight[-1], side="right") - 1
    following = np.minimum(last + 1, score.size - 1)
    whole_weight = np.where(last >= 0, cumulative_weight[last], 0.0)
    whole_sum = np.where(last >= 0, cumulative_sum[last], 0.0)
    toc = (whole_sum + (wanted - whole_weight) * score[following]) / wanted - average
    return np.where(np.abs(toc) < SMALLEST, 0.0, toc)


def rate_influence(
    ranking: Ranking, dr_scores: FloatArray, weights: FloatArray, *, target: str
) -> FloatArray:
    """Return centred influence values (n,) of the AUTOC or QINI, including that ranks are estimated.

    Let ``u`` be the share of weight ranked above a unit and ``m(u)`` the mean score there. The rate is the mean of
    ``score omega(u)`` with ``omega(u) = -log(u) - 1`` (AUTOC) or ``1/2 - u`` (QINI). Moving one unit also moves the
    ranks of those below it, which adds the integral of ``m`` up to the unit's ``u``, and for AUTOC subtracts the
    integral of ``m (1 - u) / u`` beyond it. Sums over sorted units stand for the integrals; tied units share.
    """
    order = ranking.order
    weight = weights[order] / weights.sum()
    group_weight = np.add.reduceat(weight, ranking.starts)

    def shared_by_ties(values: FloatArray) -> FloatArray:
        means: FloatArray = np.add.reduceat(weight * values, ranking.starts) / group_weight
        return means[ranking.group]

    mean_score = shared_by_ties(dr_scores[order])
    above = np.cumsum(weight) - weight / 2
    moved = np.cumsum(weight * mean_score) - weight * mean_score / 2
    if target == "AUTOC":
        beyond = weight * mean_score * (1 - above) / above
        moved = moved - (beyond[::-1].cumsum()[::-1] - beyond / 2)
        omega = -np.log(above) - 1
    else:
        omega = 0.5 - above
    value = dr_scores[order] * shared_by_ties(omega) + shared_by_ties(moved)
    influence = np.empty_like(value)
    influence[order] = (value - weight @ value) * weight * weight.size
    centred: FloatArray = influence - influence.mean()
    return centred
