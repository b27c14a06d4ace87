"""Rates of random halves of the clusters, compiled: units are sorted once, and each draw is one pass over them.

Which clusters a draw keeps depends on the key and the number of the draw alone, so that draws are the same in
whatever order, and for every priority that is judged on the same units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.evaluate.rate_weighting import Weighting
from eocausal.evaluate.toc import SMALLEST, Ranking, rates_and_toc
from eocausal.forests._compiled import below, compiled, mix, stream

FloatArray = npt.NDArray[np.float64]

_KIND = np.uint64(0x48414C46)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


class Sorted(NamedTuple):
    """Units from the highest priority to the lowest; ``table`` holds ``c log c`` where all weigh the same."""

    codes: npt.NDArray[np.int32]
    scores: FloatArray
    weights: FloatArray
    group: npt.NDArray[np.int32]
    table: FloatArray


def half_sample_draws(
    ranking: Ranking,
    dr_scores: FloatArray,
    weights: FloatArray,
    codes: npt.NDArray[np.intp],
    *,
    grid: FloatArray,
    integration: str,
    replicates: int,
    key: int,
    weighting: Weighting | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return rates (replicates, 2) and TOC (replicates, q) of halves of the clusters, ``codes`` from 0 to G - 1.

    A third column holds rates of a weighting, if one is given; they are not compiled.

    Each draw keeps ``G // 2`` clusters with all of their units, drawn without replacement, as grf does.
    """
    order = ranking.order
    centred = dr_scores - weights @ dr_scores / weights.sum()
    counted = bool((weights == weights[0]).all())
    size = order.size
    whole = np.arange(1.0, size + 1)
    table = np.r_[0.0, whole * np.log(whole)] if counted else np.zeros(1)
    rates, toc = np.empty((replicates, 2)), np.empty((replicates, grid.size))
    units = Sorted(
        codes[order].astype(np.int32),
        centred[order],
        np.ones(1) if counted else weights[order] / weights.mean(),
        ranking.group.astype(np.int32),
        table,
    )
    _draw(units, grid, integration == "exact", int(codes.max()) + 1, np.uint64(key), rates, toc)
    none = SMALLEST * float(np.abs(centred).max())
    rates, toc = np.where(np.abs(rates) <= none, 0.0, rates), np.where(np.abs(toc) <= none, 0.0, toc)
    if weighting is None:
        return rates, toc
    last, own = np.ones(1), np.empty(replicates)
    for draw, kept in enumerate(drawn_halves(int(codes.max()) + 1, replicates=replicates, key=key)):
        halved = weights * kept[codes]
        made, _ = rates_and_toc(
            ranking, dr_scores, halved, grid=last, integration=integration, weighting=weighting
        )
        own[draw] = made[-1]
    return np.column_stack([rates, own]), toc


def drawn_halves(n_groups: int, *, replicates: int, key: int) -> npt.NDArray[np.bool_]:
    """Return which clusters each draw keeps, (replicates, G).

    Examples
    --------
    >>> drawn_halves(5, replicates=3, key=1).sum(axis=1).tolist()
    [2, 2, 2]
    """
    kept = np.zeros((replicates, n_groups), dtype=bool)
    words = np.zeros((n_groups + 63) // 64, np.uint64)
    for draw in range(replicates):
        _keep_half(words, n_groups, np.uint64(key), np.uint64(draw))
        kept[draw] = np.unpackbits(words.view(np.uint8), bitorder="little")[:n_groups].astype(bool)
    return kept


@compiled
def _ones(word: np.uint64) -> Any:
    """Return how many bits of a word are set."""
    word = word - ((word >> _ONE) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _keep_half(words: npt.NDArray[np.uint64], n_groups: int, key: np.uint64, draw: np.uint64) -> None:
    """Set the bits of half of the groups, drawn without replacement.

    Each is kept with probability one half, then groups at random are added or taken out until their number is
    right; all sets of that many groups are as likely, since nothing tells groups apart.
    """
    state = stream(key, _KIND, draw)
    kept = 0
    for place in range(words.size):
        state[0] = state[0] + _GOLDEN
        word = mix(state[0])
        left = n_groups - 64 * place
        if left < 64:
            word = word & ((_ONE << np.uint64(left)) - _ONE)
        words[place] = word
        kept += int(_ones(word))
    half = n_groups // 2
    while kept != half:
        group = below(state, n_groups)
        bit = _ONE << np.uint64(group & 63)
        is_in = (words[group >> 6] & bit) != np.uint64(0)
        if is_in == (kept > half):
            words[group >> 6] ^= bit
            kept += -1 if is_in else 1


@compiled
def _draw(
    units: Sorted,
    grid: FloatArray,
    exact: bool,
    n_groups: int,
    key: np.uint64,
    rates: FloatArray,
    toc: FloatArray,
) -> None:
    """Fill rates (draws, 2) and TOC (draws, q)."""
    codes = units.codes
    words = np.zeros((n_groups + 63) // 64, np.uint64)
    rows = np.empty(codes.size + 1, np.int32)
    for draw in range(rates.shape[0]):
        _keep_half(words, n_groups, key, np.uint64(draw))
        kept = 0
        # every row is written down, and the next over it unless it is kept: no jump that cannot be foreseen
        for row in range(codes.size):
            code = codes[row]
            rows[kept] = row
            kept += int((words[code >> 6] >> np.uint64(code & 63)) & _ONE)
        total = float(kept)
        if units.table.size == 1:
            total = 0.0
            for place in range(kept):
                total += units.weights[rows[place]]
        if exact:
            _exact(units, rows, kept, grid, total, rates[draw], toc[draw])
        else:
            _over_units(units, rows, kept, grid, total, rates[draw], toc[draw])


@compiled
def _exact(
    units: Sorted,
    rows: npt.NDArray[np.int32],
    kept: int,
    grid: FloatArray,
    total: float,
    rates: FloatArray,
    toc: FloatArray,
) -> None:
    """Integrate over groups of ties: the mean of each times the step of ``H``."""
    counted = units.table.size > 1
    reached, gathered, logs, squares = 0.0, 0.0, 0.0, 0.0
    log_before, square_before = 0.0, 0.0
    share, next_share = 0, grid[0] * total
    place = 0
    while place < kept:
        weight, summed, place = _next_tie(units, rows, kept, place)
        mean = summed / weight
        after = reached + weight
        while share < grid.size and next_share <= after:
            toc[share] = (gathered + (next_share - reached) * mean) / next_share
            share += 1
            if share < grid.size:
                next_share = grid[share] * total
        log_after = units.table[int(after)] if counted else after * np.log(after)
        square_after = after * after
        logs += mean * (log_after - log_before)
        squares += mean * (square_after - square_before)
        log_before, square_before = log_after, square_after
        reached = after
        gathered += summed
    _finish(gathered, total, share, grid, toc)
    rates[0] = (np.log(total) * gathered - logs) / total
    rates[1] = (gathered / total - squares / (total * total)) / 2


@compiled
def _over_units(
    units: Sorted,
    rows: npt.NDArray[np.int32],
    kept: int,
    grid: FloatArray,
    total: float,
    rates: FloatArray,
    toc: FloatArray,
) -> None:
    """Sum over units, each with the TOC at the share that ends with it, ties at the mean of their group."""
    counted = units.table.size > 1
    reached, gathered, over, under, moment = 0.0, 0.0, 0.0, 0.0, 0.0
    share, next_share = 0, grid[0] * total
    place = 0
    while place < kept:
        first = place
        weight, summed, place = _next_tie(units, rows, kept, place)
        mean = summed / weight
        start, before = reached, gathered
        for one in range(first, place):
            more = 1.0 if counted else units.weights[rows[one]]
            reached += more
            gathered += more * mean
            over += more * gathered / reached
            under += more * gathered
            moment += more * reached
        while share < grid.size and next_share <= reached:
            toc[share] = (before + (next_share - start) * mean) / next_share
            share += 1
            if share < grid.size:
                next_share = grid[share] * total
    average = gathered / total
    _finish(gathered, total, share, grid, toc)
    rates[0] = over / total - average
    rates[1] = (under - average * moment) / (total * total)


@compiled
def _next_tie(units: Sorted, rows: npt.NDArray[np.int32], kept: int, place: int) -> Any:
    """Return weight and weighted sum of scores of the tie that starts at a place, and where the next starts."""
    counted = units.table.size > 1
    row = rows[place]
    tie = units.group[row]
    weight = 1.0 if counted else units.weights[row]
    summed = weight * units.scores[row]
    place += 1
    while place < kept and units.group[rows[place]] == tie:
        row = rows[place]
        more = 1.0 if counted else units.weights[row]
        weight += more
        summed += more * units.scores[row]
        place += 1
    return weight, summed, place


@compiled
def _finish(gathered: float, total: float, share: int, grid: FloatArray, toc: FloatArray) -> None:
    """Take the average of all off the curve; shares that rounding put past the last unit are the average itself."""
    average = gathered / total
    for one in range(grid.size):
        toc[one] = toc[one] - average if one < share else 0.0
