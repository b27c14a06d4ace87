"""The targeting operator characteristic and its averages, AUTOC and QINI. Pure arrays.

Units are ranked by a priority, highest first. ``TOC(q)`` is the average effect among the first share ``q`` minus
the average effect of all; ``AUTOC`` averages it over all shares, ``QINI`` averages ``q TOC(q)``. Yadlowsky et al.
(2025), JASA 120, "Evaluating treatment prioritization rules via rank-weighted average treatment effects",
definitions 1 and 2.

With ``c`` the share of all weight that is ranked no lower, an average over shares is a weighted sum of scores: the
mean score of each group of tied units times the step of ``H`` over it, ``H(c) = -c log c`` for AUTOC and
``(c - c^2) / 2`` for QINI; a :class:`Weighting` of one's own tabulates its own. That is the ``exact``
integration. That of grf 2.6 sums over units instead, in the
order in which they are sorted; it misses the integral by terms of ``log(n) / n``, and with weights depends on the
order of units within a tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.evaluate.rate_weighting import NAMED, Weighting

FloatArray = npt.NDArray[np.float64]

TARGETS = NAMED
INTEGRATIONS = ("exact", "grf")
DEFAULT_GRID = np.arange(1, 11) / 10
# what rounding leaves of an exact zero, as a share of the largest score
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


@dataclass(frozen=True)
class Groups:
    """Groups of tied units, from the highest priority: what every rate is made of.

    Attributes
    ----------
    share : array of shape (g,)
        Share of all weight in each group.
    mean : array of shape (g,)
        Mean score of each group less the mean of all.
    reached : array of shape (g + 1,)
        Share of all weight before the first group, after it, after the second, ...: 0 to 1.
    """

    share: FloatArray
    mean: FloatArray
    reached: FloatArray


def rank(priority: FloatArray, *, ids: npt.NDArray[Any] | None = None) -> Ranking:
    """Sort units by decreasing priority.

    Examples
    --------
    >>> rank(np.array([1.0, 3.0, 1.0])).order.tolist()
    [1, 0, 2]
    """
    if ids is None:
        order = np.argsort(-priority, kind="stable")
    else:
        by_id = np.argsort(ids, kind="stable")
        order = by_id[np.argsort(-priority[by_id], kind="stable")]
    new_group = np.r_[True, np.diff(priority[order]) != 0]
    return Ranking(order, np.flatnonzero(new_group), np.cumsum(new_group) - 1)


def grouped(ranking: Ranking, dr_scores: FloatArray, weights: FloatArray) -> Groups:
    """Return shares and centred mean scores of the groups of tied units; a group without weight has mean 0."""
    weight = weights[ranking.order]
    total = np.add.reduceat(weight, ranking.starts)
    centred = dr_scores - weights @ dr_scores / weights.sum()
    summed = np.add.reduceat(weight * centred[ranking.order], ranking.starts)
    mean = np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
    reached = np.r_[0.0, np.cumsum(total)]
    return Groups(total / reached[-1], mean, reached / reached[-1])


def rates_and_toc(
    ranking: Ranking,
    dr_scores: FloatArray,
    weights: FloatArray,
    *,
    grid: FloatArray,
    integration: str = "exact",
    weighting: Weighting | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return AUTOC and QINI, and that of another weighting where one is given, and the TOC on a grid of shares.

    Parameters
    ----------
    ranking : Ranking
    dr_scores : array of shape (n,)
        Doubly robust scores.
    weights : array of shape (n,)
        Sample weights; zero leaves a unit out.
    grid : array of shape (q,)
        Shares in (0, 1].
    integration : {"exact", "grf"}
    weighting : Weighting, optional

    Returns
    -------
    rates : array of shape (2,) or (3,)
        In the order of ``TARGETS``, then that of the weighting.
    toc : array of shape (q,)

    Examples
    --------
    Twelve scores ranked from best to worst (the second line are values of grf 2.6.1):

    >>> gamma = np.array([3, -1, 2, .5, 4, -2, 1, 0, 2.5, -.5, 1.5, -3])
    >>> by = rank(-np.arange(12.0))
    >>> rates_and_toc(by, gamma, np.ones(12), grid=DEFAULT_GRID)[0].round(10).tolist()
    [0.6604963802, 0.2083333333]
    >>> rates_and_toc(by, gamma, np.ones(12), grid=DEFAULT_GRID, integration="grf")[0].round(10).tolist()
    [0.5815310847, 0.2083333333]
    """
    groups = grouped(ranking, dr_scores, weights)
    if integration == "exact":
        made = np.diff(heights(groups.reached, weighting)) @ groups.mean
    else:
        made = _over_units(ranking, groups, weights, weighting)
    none = SMALLEST * float(np.abs(groups.mean).max())
    toc = toc_of(groups, grid)
    return np.where(np.abs(made) <= none, 0.0, made), np.where(np.abs(toc) <= none, 0.0, toc)


def heights(reached: FloatArray, weighting: Weighting | None = None) -> FloatArray:
    """Return ``H`` of shares (m,) for each target, (2, m) or (3, m): a group's mean is weighed by its step."""
    logs = np.log(reached, out=np.zeros_like(reached), where=reached > 0)
    own = [] if weighting is None else [weighting.heights(reached)]
    return np.stack([-reached * logs, (reached - reached**2) / 2, *own])


def toc_of(groups: Groups, grid: FloatArray) -> FloatArray:
    """Return the TOC on a grid of shares, a part of the group that straddles each taken at the group's mean."""
    gathered = np.r_[0.0, np.cumsum(groups.share * groups.mean)]
    place = np.clip(np.searchsorted(groups.reached, grid, side="right") - 1, 0, groups.mean.size - 1)
    toc: FloatArray = (gathered[place] + (grid - groups.reached[place]) * groups.mean[place]) / grid
    return toc


def _over_units(
    ranking: Ranking, groups: Groups, weights: FloatArray, weighting: Weighting | None
) -> FloatArray:
    """Return the rates as sums over sorted units, each with the TOC at the share that ends with it."""
    weight = weights[ranking.order] / weights.sum()
    reached = np.cumsum(weight)
    gathered = np.cumsum(weight * groups.mean[ranking.group])
    present = weight > 0
    toc = np.divide(gathered, reached, out=np.zeros_like(reached), where=present)
    # rounding must not carry the last share past 1
    own = [] if weighting is None else [(weight * weighting.values(np.minimum(reached, 1.0))) @ toc]
    return np.array([weight @ toc, weight @ gathered, *own])
