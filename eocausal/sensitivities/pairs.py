"""Pairs of treated units and controls that are as near as can be on one number, such as a logit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.errors import SensitivityError, explain

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

# Rows that are remembered at a time, and the most comparisons of one unit with another.
CHUNK = 256
LARGEST = 10**10


def nearest_pairs(
    score: FloatArray, treated: Mask, *, caliper: float | None, ids: npt.NDArray[np.object_]
) -> Codes:
    """Pair each unit of the smaller arm with one of the larger: as many pairs as can be, as near as can be.

    Among all ways to make the largest possible number of pairs within the caliper it is one with the smallest sum
    of distances. On a line such pairs need not cross, so that they are found unit by unit from left to right.

    Parameters
    ----------
    score : array of shape (n,)
    treated : boolean array of shape (n,)
    caliper : float or None
        The largest distance within a pair, in units of the score; None: no bound.
    ids : array of shape (n,)
        Orders units with equal scores, so that the order of rows does not matter.

    Returns
    -------
    array of shape (pairs, 2)
        Positions, the treated first, in the order of their scores.

    Raises
    ------
    SensitivityError
        More comparisons than 10,000,000,000.

    Examples
    --------
    >>> score, treated = np.array([0.0, 0.15, 0.2, 5.0]), np.array([True, False, True, False])
    >>> nearest_pairs(score, treated, caliper=None, ids=np.array(list("abcd"), dtype=object)).tolist()
    [[0, 1], [2, 3]]
    >>> nearest_pairs(score, treated, caliper=1.0, ids=np.array(list("abcd"), dtype=object)).tolist()
    [[2, 1]]
    """
    order = np.lexsort((np.array([str(one) for one in ids]), score))
    of_treated, of_controls = order[treated[order]], order[~treated[order]]
    if of_treated.size * of_controls.size > LARGEST:
        raise SensitivityError(
            explain(
                f"{of_treated.size:,} treated and {of_controls.size:,} control units are too many to pair.",
                rule=f"at most {LARGEST:,} comparisons",
                fix="strata=, a column of strata such as regions",
            )
        )
    few, many = sorted((of_treated, of_controls), key=len)
    partner = _partners(score[few], score[many], np.inf if caliper is None else float(caliper))
    has = partner >= 0
    pairs = np.column_stack([few[has], many[partner[has]]])
    return pairs if few is of_treated else pairs[:, ::-1]


def _partners(few: FloatArray, many: FloatArray, caliper: float) -> Codes:
    """Return the position in ``many`` (both ascending) of each of ``few``, or -1 for none.

    Dynamic programming over prefixes: ``cost[j]`` is the least for the units so far with the first j of the others,
    where leaving one out costs more than all distances together. Costs are kept at every ``CHUNK`` units, and
    choices are made again chunk by chunk on the way back, so that memory stays small.
    """
    reach = min(caliper, max(float(np.ptp(np.concatenate([few, many]))), np.finfo(float).tiny))
    # without a bound everyone finds a partner, because those of the other arm are as many or more
    alone = (few.size + 1.0) * reach if caliper < np.inf else np.inf
    kept = [np.zeros(many.size + 1)]
    starts = range(0, few.size, CHUNK)
    for start in starts:
        kept.append(_forward(kept[-1], few[start : start + CHUNK], many, caliper, alone))
    partner, place = np.full(few.size, -1, dtype=np.intp), many.size
    for start, cost in zip(reversed(starts), reversed(kept[:-1])):
        part = few[start : start + CHUNK]
        moved = np.zeros((part.size, many.size + 1), dtype=bool)
        paired = np.zeros((part.size, many.size + 1), dtype=bool)
        _forward(cost, part, many, caliper, alone, moved, paired)
        for row in reversed(range(part.size)):
            # the last place at or before this one where the cost is reached by a choice of its own
            place = int(np.flatnonzero(~moved[row, : place + 1])[-1])
            if paired[row, place]:
                place -= 1
                partner[start + row] = place
    return partner


def _forward(
    cost: FloatArray,
    few: FloatArray,
    many: FloatArray,
    caliper: float,
    alone: float,
    moved: Mask | None = None,
    paired: Mask | None = None,
) -> FloatArray:
    """Return costs after some more units; note where a cost is that of fewer others, and where a pair is made."""
    first = np.searchsorted(many, few - caliper, side="left")
    last = np.searchsorted(many, few + caliper, side="right")
    for row, (value, low, high) in enumerate(zip(few, first, last)):
        own = cost + alone
        with_pair = cost[low:high] + np.abs(many[low:high] - value)
        take = with_pair < own[low + 1 : high + 1]
        own[low + 1 : high + 1] = np.where(take, with_pair, own[low + 1 : high + 1])
        cost = np.minimum.accumulate(own)
        if moved is not None and paired is not None:
            moved[row] = cost < own
            paired[row, low + 1 : high + 1] = take
    return cost
