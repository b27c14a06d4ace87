"""Means over the units that rank highest, with influence values that know ranks are estimated. Pure arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.evaluate.toc import rank

FloatArray = npt.NDArray[np.float64]

# A cut moves units of about its rank; their mean is taken over this share of ranks to either side (wider than
# for the TOC, since folds are small), ...
_NEAR = 0.1
# ... and over no fewer than about so many units.
_FEWEST = 50


class TopMeans(NamedTuple):
    """For each share: the total of units above the cut, over all units (q,), and its influence values (n, q)."""

    values: FloatArray
    scores: FloatArray


def top_members(priority: FloatArray, weights: FloatArray, shares: FloatArray) -> FloatArray:
    """Return how much of each unit is among the first ``shares`` (q,) of the weight, shape (n, q).

    Units rank by decreasing priority. Tied units share their place, so that the unit or the tie that straddles a
    cut is in it by part, every share is met exactly, and the order of rows does not matter.

    Examples
    --------
    >>> top_members(np.array([3.0, 1.0, 1.0, 2.0]), np.ones(4), np.array([0.25, 0.75])).tolist()
    [[1.0, 1.0], [0.0, 0.5], [0.0, 0.5], [0.0, 1.0]]
    """
    ranking = rank(priority)
    weight = weights[ranking.order] / weights.sum()
    of_tie = np.add.reduceat(weight, ranking.starts)
    above = np.cumsum(of_tie) - of_tie
    part = np.clip((shares[None, :] - above[:, None]) / of_tie[:, None], 0.0, 1.0)
    # at 1 rounding may leave out a bit of the last
    part[:, shares >= 1] = 1.0
    members = np.empty((priority.size, shares.size))
    members[ranking.order] = part[ranking.group]
    return members


def ranks_from_top(priority: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the share of the weight that ranks above the middle of each unit, or of its tie (n,)."""
    ranking = rank(priority)
    weight = weights[ranking.order] / weights.sum()
    of_tie = np.add.reduceat(weight, ranking.starts)
    middle = np.empty(priority.size)
    middle[ranking.order] = (np.cumsum(of_tie) - of_tie / 2)[ranking.group]
    return middle


def top_totals(
    values: FloatArray,
    priority: FloatArray,
    *,
    weights: FloatArray,
    folds: npt.NDArray[np.intp],
    shares: FloatArray,
) -> TopMeans:
    """Rank units within each fold, and add up a column (n,) over those above each cut.

    The total is ``E[value 1{above}]``, averaged over folds by their weight. Its influence value is
    ``value 1{above} - m (1{above} - share)`` less the total, with ``m`` the mean of the column at the cut: a unit
    that is added above the cut pushes another below it. The total is that of all folds: that folds differ is
    chance, to which folds of few clusters give much room.

    Parameters
    ----------
    values, priority, weights : array of shape (n,)
    folds : array of shape (n,)
        Units are ranked among those of their own fold.
    shares : array of shape (q,)
        Rising, in (0, 1].
    """
    n, total = values.size, weights.sum()
    found, scores = np.zeros(shares.size), np.zeros((n, shares.size))
    for fold in np.unique(folds):
        rows = folds == fold
        weight, value = weights[rows], values[rows]
        members = top_members(priority[rows], weight, shares)
        at_cut = _means_at_cuts(value, ranks_from_top(priority[rows], weight), weight, shares)
        found += weight @ (members * value[:, None]) / total
        scores[rows] = members * value[:, None] - at_cut * (members - shares)
    return TopMeans(found, (scores - found) * (n * weights / total)[:, None])


def _means_at_cuts(
    value: FloatArray, ranks: FloatArray, weight: FloatArray, shares: FloatArray
) -> FloatArray:
    """Return the mean of a column among units that rank near each cut (q,)."""
    width = max(_NEAR, _FEWEST / (2 * value.size))
    near = np.abs(ranks[:, None] - shares[None, :]) <= width
    # a tie so large that no middle lies near: the units that rank nearest
    gap = np.abs(ranks[:, None] - shares[None, :])
    near = np.where(near.any(axis=0), near, gap == gap.min(axis=0))
    heavy = near * weight[:, None]
    return np.asarray((heavy * value[:, None]).sum(axis=0) / heavy.sum(axis=0))
