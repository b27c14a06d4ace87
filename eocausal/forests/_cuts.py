"""Where to cut a node: histograms over the bins of one feature, and the best cut of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled, lowest_bit

FloatArray = npt.NDArray[np.float64]

# columns of a histogram and of what is known of each unit in a node
RHO, WEIGHT, TREATMENT, SQUARE = 0, 1, 2, 3
# a tally counts in one word: units of the half that makes cuts, those of them at or above the mean treatment, and
# units of the half that fills leaves, 21 bits each
BITS = 21
LOWER = (np.int64(1) << np.int64(BITS)) - np.int64(1)
FAR = np.int64(1) << np.int64(BITS)
OTHER = np.int64(1) << np.int64(2 * BITS)
# from so many units on, bins are looked at in turn: most of them hold someone
DENSE = 256
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


# sums and tallies by bin, and a bit for each bin that holds someone
Histogram = tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.uint64]]
# tallies of units before it
Exact = tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64], npt.NDArray[np.uint64]]


@compiled
def fill_codes(column: FloatArray, edges: FloatArray, codes: npt.NDArray[np.uint8]) -> None:
    """Fill the bins of a column: one more than how many edges lie below a value, and 0 where it is missing."""
    ladder = np.full(255, np.inf)
    ladder[: edges.size] = edges
    for row in range(column.size):
        value, below = column[row], np.uint64(0)
        # no branch depends on the values, which would be guessed wrong half the time
        for step in (128, 64, 32, 16, 8, 4, 2, 1):
            below += np.uint64(step) * np.uint64(ladder[below + np.uint64(step - 1)] < value)
        codes[row] = np.uint64(value == value) * (below + np.uint64(1))


@compiled
def pseudo_outcomes(
    rows: npt.NDArray[np.int32],
    outcome: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    known: FloatArray,
) -> float:
    """Fill what cuts of a node are judged by; return the spread of its treatment. No weights: all are one.

    With the node's own effect and means, each unit's pseudo-outcome is how much it would pull the effect up: the
    gradient step of Athey, Tibshirani and Wager (2019), section 2.3, up to a factor that all units share.
    """
    total, mean_t, mean_y, square = 0.0, 0.0, 0.0, 0.0
    for place, row in enumerate(rows):
        y, t = outcome[np.uint32(row)], treatment[np.uint32(row)]
        weight = weights[np.uint32(row)] if weights.size > 0 else 1.0
        known[place, RHO], known[place, WEIGHT], known[place, TREATMENT] = y, weight, t
        total += weight
        square += weight * t * t
        mean_t += weight * t
        mean_y += weight * y
    if total <= 0:
        return 0.0
    mean_t /= total
    mean_y /= total
    spread, together = 0.0, 0.0
    for place in range(rows.size):
        away, weight = known[place, TREATMENT] - mean_t, known[place, WEIGHT]
        spread += weight * away * away
        together += weight * away * (known[place, RHO] - mean_y)
    if spread <= 1e-12 * square:
        return 0.0
    effect = together / spread
    for place in range(rows.size):
        away, weight = known[place, TREATMENT] - mean_t, known[place, WEIGHT]
        known[place, RHO] = weight * away * (known[place, RHO] - mean_y - effect * away)
        known[place, TREATMENT] = weight * away
        known[place, SQUARE] = weight * away * away
    return spread


@compiled
def goes_left(bin_: Any, cut: Any, side: int) -> Any:
    """Return whether a bin lies left of a cut; bin 0 is what is missing."""
    return bin_ <= cut and (bin_ > 0 or side == 0)


@compiled
def holds(
    column: npt.NDArray[np.uint8],
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    known: FloatArray,
    cut: Any,
    side: int,
    limits: tuple[int, int, float, float],
) -> tuple[bool, int]:
    """Return whether children of a cut are as large as they must be, and the side of missing values.

    Where nobody is missing here, later missing values go to the larger child.
    """
    min_leaf, min_side, least_spread, _ = limits
    weight, t, square, all_weight, all_t, all_square = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    count, far, all_far, others, missing = 0, 0, 0, 0, 0
    for place in range(halves[0].size):
        bin_ = column[np.uint32(halves[0][place])]
        left, above = int(goes_left(bin_, cut, side)), int(known[place, TREATMENT] >= 0)
        missing += int(bin_ == 0)
        count += left
        far += left & above
        all_far += above
        weight += left * known[place, WEIGHT]
        t += left * known[place, TREATMENT]
        square += left * known[place, SQUARE]
        all_weight += known[place, WEIGHT]
        all_t += known[place, TREATMENT]
        all_square += known[place, SQUARE]
    for row in halves[1]:
        bin_ = column[np.uint32(row)]
        missing += int(bin_ == 0)
        others += int(goes_left(bin_, cut, side))
    rest, rest_others = halves[0].size - count, halves[1].size - others
    if missing == 0:
        side = int(2 * count < halves[0].size)
    if min(min(count, rest), min(others, rest_others)) < min_leaf:
        return False, side
    if min(min(far, count - far), min(all_far - far, rest - all_far + far)) < min_side:
        return False, side
    left_spread = square - t * t / weight
    right_spread = all_square - square - (all_t - t) ** 2 / (all_weight - weight)
    return min(left_spread, right_spread) >= least_spread, side


@compiled
def tally_up(
    known: FloatArray, size: int, tally: npt.NDArray[np.int64], n_others: int
) -> tuple[FloatArray, Any]:
    """Fill the tally of a node's units; return their sums and the tally of the node."""
    total, all_of_them = np.zeros(4), OTHER * np.int64(n_others)
    for place in range(size):
        tally[place] = np.int64(1) + (FAR if known[place, TREATMENT] >= 0 else np.int64(0))
        all_of_them += tally[place]
        for kind in range(4):
            total[kind] += known[place, kind]
    return total, all_of_them


@compiled
def _fill(
    column: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int32],
    others: npt.NDArray[np.int32],
    known: FloatArray,
    tally: npt.NDArray[np.int64],
    histogram: Histogram,
) -> None:
    """Add the units of a node to the histogram of one feature, and mark the bins that hold someone."""
    sums, counts, held = histogram
    for place in range(rows.size):
        bin_ = column[np.uint32(rows[place])]
        counts[bin_] += tally[place]
        # all are read before any is written, so that four are added at once
        rho, weight = sums[bin_, 0] + known[place, 0], sums[bin_, 1] + known[place, 1]
        treatment, square = sums[bin_, 2] + known[place, 2], sums[bin_, 3] + known[place, 3]
        sums[bin_, 0] = rho
        sums[bin_, 1] = weight
        sums[bin_, 2] = treatment
        sums[bin_, 3] = square
    for row in others:
        counts[column[np.uint32(row)]] += OTHER
    if rows.size >= DENSE:
        held[:] = _ALL
        return
    held[:] = np.uint64(0)
    for half in (rows, others):
        for row in half:
            bin_ = column[np.uint32(row)]
            held[bin_ >> 6] |= np.uint64(1) << np.uint64(bin_ & 63)


@compiled
def _clear(sums: FloatArray, counts: npt.NDArray[np.int64], held: npt.NDArray[np.uint64]) -> None:
    for word in range(4):
        bits = held[word]
        if bits == _ALL:
            sums[64 * word : 64 * word + 64] = 0.0
            counts[64 * word : 64 * word + 64] = 0
            continue
        while bits != 0:
            bin_ = np.uint64(64 * word) + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            counts[bin_] = 0
            for kind in range(4):
                sums[bin_, kind] = 0.0


@compiled
def _too_few(tally: Any, min_leaf: int, min_side: int) -> Any:
    count, far, others = tally & LOWER, (tally >> BITS) & LOWER, tally >> (2 * BITS)
    return min(count, others) < min_leaf or far < min_side or count - far < min_side


@compiled
def _scan(
    sums: FloatArray,
    counts: npt.NDArray[np.int64],
    held: npt.NDArray[np.uint64],
    first: int,
    total: FloatArray,
    total_count: Any,
    limits: tuple[int, int, float, float],
) -> tuple[float, Any]:
    """Return the gain and the bin of the best cut; bins before ``first`` stand on the right."""
    min_leaf, min_side, least_spread, penalty = limits
    best, waits = 0.0, False
    cut = np.int64(-1)
    left_rho, left_weight, left_t, left_square = 0.0, 0.0, 0.0, 0.0
    left = np.int64(0)
    for word in range(4):
        bits = held[word]
        if word == 0 and first == 1:
            bits &= _ALL - np.uint64(1)
        while bits != 0:
            place = np.uint64(64 * word) + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            tally = counts[place]
            if tally == 0:
                continue
            bin_ = np.int64(place)
            if waits:
                # halfway to the next unit, but what is missing stays apart from values
                cut = (cut + bin_) // 2 if cut > 0 else cut
                waits = False
            left += tally
            left_rho += sums[place, 0]
            left_weight += sums[place, 1]
            left_t += sums[place, 2]
            left_square += sums[place, 3]
            right = total_count - left
            if _too_few(right, min_leaf, min_side):
                return best, cut
            if _too_few(left, min_leaf, min_side):
                continue
            right_weight, right_rho = total[1] - left_weight, total[0] - left_rho
            pulls = left_rho * left_rho * right_weight + right_rho * right_rho * left_weight
            # a division costs as much as all the rest, and most cuts are not better than the best so far
            if not pulls > best * left_weight * right_weight:
                continue
            gain = pulls / (left_weight * right_weight)
            left_spread = left_square - left_t * left_t / left_weight
            right_spread = total[3] - left_square - (total[2] - left_t) ** 2 / right_weight
            if left_spread < least_spread or right_spread < least_spread:
                continue
            if penalty > 0:
                gain -= penalty * (1 / left_spread + 1 / right_spread)
            if gain > best:
                best, cut, waits = gain, bin_, True
    return best, cut


@compiled
def best_cut(
    column: npt.NDArray[np.uint8],
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    known: FloatArray,
    tally: npt.NDArray[np.int64],
    node: tuple[FloatArray, Any],
    limits: tuple[int, int, float, float],
    histogram: Histogram,
) -> tuple[float, Any, int]:
    """Return gain, bin and side of missing values (0 left, 1 right) of one feature's best cut."""
    sums, counts, held = histogram
    total, total_count = node
    _fill(column, halves[0], halves[1], known, tally, histogram)
    missing = counts[0]
    gain, cut = _scan(sums, counts, held, 0, total, total_count, limits)
    side = 0
    if missing > 0:
        other, other_cut = _scan(sums, counts, held, 1, total, total_count, limits)
        if other > gain:
            gain, cut, side = other, other_cut, 1
    _clear(sums, counts, held)
    return gain, cut, side


@compiled
def exact_best(
    bins: npt.NDArray[np.uint8],
    halves: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    candidates: npt.NDArray[np.int32],
    known: FloatArray,
    limits: tuple[int, int, float, float],
    scratch: Exact,
) -> tuple[int, int, int]:
    """Return feature, cut and side of missing values of the best cut of a node; feature -1 where there is none."""
    tally, sums, counts, held = scratch
    node = tally_up(known, halves[0].size, tally, halves[1].size)
    feature, cut, side, best = -1, -1, 0, 0.0
    for candidate in candidates:
        found = best_cut(bins[candidate], halves, known, tally, node, limits, (sums, counts, held))
        if found[0] > best:
            best, cut, side = found
            feature = candidate
    return feature, cut, side
