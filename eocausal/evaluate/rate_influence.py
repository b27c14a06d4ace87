"""Influence values of rates and of the TOC, with the error of estimated ranks in them. Pure arrays.

Each is what a unit does to the estimate. A unit moves the mean of its own group of ties, and the share of all
weight that is ranked above every group below it; what the second does to a rate is the sum, over the boundaries
between groups that it moves, of the step of the mean there times ``H'``, with ``H`` of
:mod:`eocausal.evaluate.toc`. Yadlowsky et al. (2025), JASA 120, state the same for ranks that are known.

A unit, or a cluster that is one place in the ranking, is no small share of the few at the very top, where ``H'`` of
AUTOC is steep: taken at the boundary alone it knows too little of them. So ``H'`` is the mean slope over what a
boundary moves by were one place taken out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.evaluate.rate_weighting import Weighting
from eocausal.evaluate.toc import Groups, Ranking, grouped, heights

FloatArray = npt.NDArray[np.float64]


def rate_influence(
    ranking: Ranking,
    dr_scores: FloatArray,
    weights: FloatArray,
    weighting: Weighting | None = None,
    *,
    clusters: int | None = None,
) -> FloatArray:
    """Return influence values (n, 2) of AUTOC and QINI, or (n, 3) with a weighting; each averages to zero.

    ``clusters`` is how many clusters the units come from; by default each is its own.

    Examples
    --------
    >>> from eocausal.evaluate.toc import rank
    >>> values = rate_influence(rank(np.array([3.0, 2.0, 1.0])), np.array([3.0, 1.0, 2.0]), np.ones(3))
    >>> values.shape, values.sum(axis=0).round(12).tolist()
    ((3, 2), [0.0, 0.0])
    """
    groups = grouped(ranking, dr_scores, weights)
    inner = groups.reached[1:-1]
    # a group of ties that holds more than one cluster does not go as a whole
    place = np.minimum(groups.share[:-1], 1 / (clusters or weights.size))
    slopes = (heights(inner, weighting) - heights(np.maximum(inner - place, 0.0), weighting)) / place
    steps = -np.diff(groups.mean) * slopes
    beyond = np.concatenate([np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], np.zeros((len(steps), 1))], axis=1)
    of_group = beyond - (steps @ inner)[:, None]
    own_mean = np.diff(heights(groups.reached, weighting)) / groups.share
    order, group = ranking.order, ranking.group
    centred = dr_scores - weights @ dr_scores / weights.sum()
    from_mean = centred[order] - groups.mean[group]
    sorted_values = from_mean[:, None] * own_mean.T[group] + of_group.T[group]
    values = np.empty_like(sorted_values)
    values[order] = sorted_values
    found: FloatArray = values * (weights / weights.mean())[:, None]
    return found


def toc_influence(
    ranking: Ranking, dr_scores: FloatArray, weights: FloatArray, *, grid: FloatArray
) -> FloatArray:
    """Return influence values (n, q) of the TOC on a grid of shares.

    Who is just among the first share ``q`` depends on all units, which costs the mean score at its edge. That mean
    is taken over ``n^(2/3)`` units around the edge.
    """
    groups = grouped(ranking, dr_scores, weights)
    order, group = ranking.order, ranking.group
    at_edge = _mean_around(groups, grid, half_width=0.5 * dr_scores.size ** (-1 / 3))
    inside = np.clip((grid[None, :] - groups.reached[:-1, None]) / groups.share[:, None], 0.0, 1.0)
    centred = dr_scores - weights @ dr_scores / weights.sum()
    found = np.empty((dr_scores.size, grid.size))
    for column, share in enumerate(grid):
        taken = inside[:, column]
        mean = float(taken * groups.share @ (groups.mean - at_edge[column]))
        values = (taken[group] * (centred[order] - at_edge[column]) - mean) / share - centred[order]
        found[order, column] = values
    found *= (weights / weights.mean())[:, None]
    return found


def _mean_around(groups: Groups, grid: FloatArray, *, half_width: float) -> FloatArray:
    """Return the mean score (q,) within a share on both sides of each share of the grid."""
    gathered = np.r_[0.0, np.cumsum(groups.share * groups.mean)]
    low, high = np.maximum(grid - half_width, 0.0), np.minimum(grid + half_width, 1.0)
    at_low, at_high = (np.interp(one, groups.reached, gathered) for one in (low, high))
    mean: FloatArray = (at_high - at_low) / (high - low)
    return mean
