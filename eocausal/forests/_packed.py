"""The best cut of a node by sums that are packed in words: one addition for each unit and feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import add_pair, compiled, lowest_bit, prefetch, where_set

FloatArray = npt.NDArray[np.float64]
Words = npt.NDArray[np.int64]

# columns of what is known of each unit in a node
RHO, WEIGHT, TREATMENT, SQUARE = 0, 1, 2, 3
# nodes of fewer units in both halves are small
SMALL = 128
# where the least share of spread is as much as this many smallest leaves, the half that fills leaves nearly always
# has enough units too, and is not counted while cuts are sought
AMPLE = 4
# so many bytes of bins stay in the near caches of a processor; of more, small nodes ask for the next feature ahead
NEAR = 1 << 20
_ONE = np.int64(1)
_FULL_RHO = 62
_LOWER_HALF = (np.int64(1) << np.int64(32)) - np.int64(1)
_FULL_SQUARE, _FULL_T, _FULL_WEIGHT = 2.0**31, 2.0**30, 2.0**40

# Where the parts of a word lie. From below: counts, each with a bit above that stays free, then the pseudo-outcome
# as a whole number. The bias added to the counts sets their free bits (the guard) where they are as large as they
# must be. Shift of the pseudo-outcome, mask of the count of units, bias, guard, word of a unit of the other half:
Layout = tuple[Any, Any, Any, Any, Any]
# smallest leaf, fewest units on a side of the mean treatment, least share of spread
Limits = tuple[int, int, float]
# words of the units of a node, their weights (none where all are one), sums
Units = tuple[Words, Words, Words]
# sums by bin of small nodes, of large ones, of weights (none where all are one); a byte, and a bit, for bins that
# hold someone
Histogram = tuple[Words, Words, Words, npt.NDArray[np.uint8], npt.NDArray[np.uint64]]


@compiled
def layout_of(n_rows: int, n_others: int, limits: Limits) -> Layout:
    """Return how the words of a node are laid out.

    Small nodes count units, those at or above the mean treatment, those below, and units of the other half.
    """
    min_leaf, min_side, alpha = limits
    if max(n_rows, n_others) < SMALL:
        leaf, side = np.int64(SMALL - min_leaf), np.int64(SMALL - min_side)
        bias = leaf | (side << np.int64(8)) | (side << np.int64(16)) | (leaf << np.int64(24))
        return np.int64(32), np.int64(127), bias, np.int64(0x80808080), _ONE << np.int64(24)
    bits = np.int64(1)
    while (max(n_rows, n_others) >> bits) > 0:
        bits += 1
    bias, guard = (_ONE << bits) - np.int64(min_leaf), _ONE << bits
    mask = guard - _ONE
    if alpha * min(n_rows, n_others) >= AMPLE * min_leaf:
        return bits + 1, mask, bias, guard, np.int64(0)
    above = bits + 1
    return 2 * above, mask, bias | (bias << above), guard | (guard << above), _ONE << above


@compiled
def pack(known: FloatArray, units: Units, layout: Layout, small: bool) -> None:
    """Fill words of a node's units and their sums: pseudo-outcomes and counts, treatment and square, weight.

    Whole numbers are scaled so that their sums fit, with the node's spread of treatment as one.
    """
    words, heavy, total = units
    size = words.shape[0]
    pulls, spread, weight = 0.0, 0.0, 0.0
    for place in range(size):
        pulls += abs(known[place, RHO])
        spread += known[place, SQUARE]
        weight += known[place, WEIGHT]
    shift = layout[0]
    total[:] = 0
    if not pulls > 1e-290:
        return
    scale = float(_ONE << (np.int64(_FULL_RHO) - shift)) / pulls
    square, t = _FULL_SQUARE / spread, _FULL_T / np.sqrt(weight * spread)
    far, near = _ONE, _ONE
    if small:
        far, near = _ONE + (_ONE << np.int64(8)), _ONE + (_ONE << np.int64(16))
    first, second = np.int64(0), np.int64(0)
    for place in range(size):
        whole = np.int64(np.rint(known[place, RHO] * scale)) << shift
        words[place, 0] = whole + (far if known[place, TREATMENT] >= 0 else near)
        words[place, 1] = (np.int64(np.rint(known[place, TREATMENT] * t)) << np.int64(32)) + np.int64(
            np.rint(known[place, SQUARE] * square)
        )
        first += words[place, 0]
        second += words[place, 1]
    for place in range(heavy.size):
        heavy[place] = np.int64(np.rint(known[place, WEIGHT] * (_FULL_WEIGHT / weight)))
        total[2] += heavy[place]
    total[0], total[1] = first, second


@compiled
def _share(sums: Any, part: float) -> float:
    """Return the spread of treatment among units with this part of the node's weight, as a share of the node's."""
    t = np.float64(sums >> np.int64(32)) / _FULL_T
    return np.float64(sums & _LOWER_HALF) / _FULL_SQUARE - t * t / part


@compiled
def _scan_large(
    histogram: Histogram, first: int, n_bins: int, total: Words, layout: Layout, alpha: float, best: float
) -> tuple[float, Any]:
    """Return the gain and the bin of the best cut above a gain; bins before ``first`` stand on the right."""
    _, sums, heavy, _, _ = histogram
    shift, mask, bias, guard, _ = layout
    weighs = heavy.size > 0
    all_words, all_weight = total[0], total[2]
    everyone = all_words & mask
    # what is too small on the right is so for all later cuts
    stop, right = n_bins - 1, np.int64(0)
    while stop > 0 and ((right + bias) & guard) != guard:
        right += sums[np.uint64(stop), 0]
        stop -= 1
    left, left_t, left_weight = np.int64(0), np.int64(0), np.int64(0)
    start, cut = first, np.int64(-1)
    while start <= stop:
        left += sums[np.uint64(start), 0]
        left_t += sums[np.uint64(start), 1]
        if weighs:
            left_weight += heavy[np.uint64(start)]
        if ((left + bias) & guard) == guard:
            part = left_weight / all_weight if weighs else (left & mask) / everyone
            if _share(left_t, part) >= alpha:
                break
        start += 1
    # the first cut is looked at with the others
    left -= sums[np.uint64(start), 0]
    left_t -= sums[np.uint64(start), 1]
    if weighs:
        left_weight -= heavy[np.uint64(start)]
    for bin_ in range(np.uint64(start), np.uint64(stop + 1)):
        left += sums[bin_, 0]
        left_t += sums[bin_, 1]
        count = left & mask
        product = np.float64(count * (everyone - count))
        if weighs:
            left_weight += heavy[bin_]
            product = np.float64(left_weight) * np.float64(all_weight - left_weight)
        pull = np.float64(left >> shift)
        # a division costs as much as all the rest, and most cuts are not better than the best so far
        if pull * pull > best * product:
            part = (all_weight - left_weight) / all_weight if weighs else (everyone - count) / everyone
            if _share(total[1] - left_t, part) < alpha:
                break
            best, cut = pull * pull / product, np.int64(bin_)
    return best, cut


@compiled
def _scan_small(
    histogram: Histogram, first: int, total: Words, layout: Layout, best: float
) -> tuple[float, Any]:
    """Return the same of a small node, whose spread is looked at afterwards, from bins that hold someone."""
    sums, _, heavy, _, held = histogram
    weighs = heavy.size > 0
    shift, mask, bias, guard, _ = layout
    everyone, all_words = total[0] & mask, total[0]
    left, left_weight = np.int64(0), np.int64(0)
    cut = np.int64(-1)
    for word in range(4):
        bits = held[word]
        if word == 0 and first == 1:
            bits &= ~np.uint64(1)
        while bits != 0:
            place = np.uint64(64 * word) + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            left += sums[place]
            if weighs:
                left_weight += heavy[place]
            if ((left + bias) & guard) != guard:
                continue
            if ((all_words - left + bias) & guard) != guard:
                return best, cut
            count = left & mask
            pull = np.float64(left >> shift)
            product = np.float64(count * (everyone - count))
            if weighs:
                product = np.float64(left_weight) * np.float64(total[2] - left_weight)
            if pull * pull > best * product:
                best, cut = pull * pull / product, np.int64(place)
    return best, cut


@compiled
def _of_small(
    column: npt.NDArray[np.uint8],
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    units: Units,
    layout: Layout,
    histogram: Histogram,
    best: float,
) -> tuple[float, Any, int]:
    """Return gain, cut and side of missing values of a feature's best cut above a gain, in a small node."""
    sums, _, heavy, marks, held = histogram
    words, weights, total = units
    other = layout[4]
    sums[:] = 0
    marks[:] = 0
    for place in range(halves[0].size):
        bin_ = column[np.uint32(halves[0][place])]
        sums[bin_] += words[place, 0]
        marks[bin_] = 1
    for row in halves[1]:
        bin_ = column[np.uint32(row)]
        sums[bin_] += other
        marks[bin_] = 1
    if heavy.size > 0:
        heavy[:] = 0
        for place in range(halves[0].size):
            heavy[column[np.uint32(halves[0][place])]] += weights[place]
    for word in range(4):
        held[word] = where_set(marks, word)
    gain, cut = _scan_small(histogram, 0, total, layout, best)
    side = 0
    if marks[0] > 0:
        second, second_cut = _scan_small(histogram, 1, total, layout, gain)
        if second_cut > 0:
            gain, cut, side = second, second_cut, 1
    if cut > 0:
        after = cut + 1
        while after < 255 and marks[after] == 0:
            after += 1
        # halfway to the next unit, but what is missing stays apart from values
        cut = (cut + after) // 2
    return gain, cut, side


@compiled
def _of_large(
    column: npt.NDArray[np.uint8],
    n_bins: int,
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    units: Units,
    layout: Layout,
    alpha: float,
    histogram: Histogram,
    best: float,
) -> tuple[float, Any, int]:
    """Return the same in a large node."""
    _, sums, heavy, _, _ = histogram
    words, weights, total = units
    other = layout[4]
    sums[:] = 0
    for place in range(halves[0].size):
        bin_ = column[np.uint32(halves[0][place])]
        add_pair(sums, bin_, words, place)
    if other > 0:
        for row in halves[1]:
            sums[column[np.uint32(row)], 0] += other
    if heavy.size > 0:
        heavy[:] = 0
        for place in range(halves[0].size):
            heavy[column[np.uint32(halves[0][place])]] += weights[place]
    gain, cut = _scan_large(histogram, 0, n_bins, total, layout, alpha, best)
    side = 0
    if sums[0, 0] != 0:
        second_gain, second_cut = _scan_large(histogram, 1, n_bins, total, layout, alpha, gain)
        if second_cut > 0:
            gain, cut, side = second_gain, second_cut, 1
    if cut > 0:
        after = cut + 1
        while after < 255 and sums[after, 0] == 0:
            after += 1
        cut = (cut + after) // 2
    return gain, cut, side


@compiled
def packed_best(
    bins: npt.NDArray[np.uint8],
    n_bins: npt.NDArray[np.int64],
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    candidates: npt.NDArray[np.int32],
    known: FloatArray,
    limits: Limits,
    scratch: tuple[Units, Histogram],
) -> tuple[int, int, int]:
    """Return feature, cut and side of missing values of the best cut that these sums tell; -1 where there is none.

    Some conditions are looked at afterwards (:func:`holds`): nearly always they hold.
    """
    size, alpha = halves[0].size, limits[2]
    words, weights, total = scratch[0]
    histogram = scratch[1]
    small = max(size, halves[1].size) < SMALL
    layout = layout_of(size, halves[1].size, limits)
    units = (words[:size], weights[:size], total)
    pack(known[:size], units, layout, small)
    if small and min((total[0] >> np.int64(8)) & 127, (total[0] >> np.int64(16)) & 127) < 2 * limits[1]:
        return -1, -1, 0
    total[0] += layout[4] * halves[1].size
    # sums of whole numbers are off by at most half a unit each
    alpha -= size / _FULL_SQUARE
    feature, cut, side, best = -1, -1, 0, 0.0
    ahead = small and bins.size > NEAR
    for number, candidate in enumerate(candidates):
        if ahead and number + 1 < candidates.size:
            following = bins[candidates[number + 1]]
            for half in halves:
                for row in half:
                    prefetch(following, np.uint64(row))
        if small:
            found = _of_small(bins[candidate], halves, units, layout, histogram, best)
        else:
            found = _of_large(
                bins[candidate], n_bins[candidate], halves, units, layout, alpha, histogram, best
            )
        if found[1] >= 0:
            best, cut, side = found
            feature = candidate
    return feature, cut, side
