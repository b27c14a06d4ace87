"""Predictions that repeat: a spike at one value, where a density has no score, and values rounded to even steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.binning import Binned, cells_for, checked_sample, fill_cells
from eocausal.debiasing.units_worth import even_places

FloatArray = npt.NDArray[np.float64]

# one value with this share of the weight is told, or refused
TOLD, REFUSED = 0.02, 0.10
# of so many rows at least: fewer come by drawing rows again
ROWS = 12
# rows for each cell that holds any, before values are looked at for steps
ROWS_A_CELL = 20
# share of the cells in the middle that hold rows, above which values are not looked at
MOST_HELD = 0.75
FEWEST_STEPS = 20
# of so many rows values are looked at anyway, and are rounded where there are so many rows for each
MOST_SORTED, ROWS_A_VALUE = 20_000, 2


@dataclass(frozen=True, eq=False)
class Stepped:
    """Rounded predictions in bins that each hold the same number of steps, or why they have no density."""

    binned: Binned
    bins: int
    refused: str
    warnings: tuple[str, ...]


def spikes(
    binned: Binned, values: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[str, tuple[str, ...]]:
    """Return why one value leaves no score, where it has a tenth of the weight, and a warning where it has 2%.

    Values of rounded predictions have their share too: then only one that stands out from its neighbours counts.

    Examples
    --------
    >>> from eocausal.debiasing.binning import bin_values
    >>> smooth = np.random.default_rng(0).normal(size=1000)
    >>> spikes(bin_values(smooth), smooth, None)
    ('', ())
    """
    shares = binned.counts / binned.total
    cell = int(shares.argmax())
    if shares[cell] < TOLD or shares[cell] * binned.n_effective < ROWS:
        return "", ()
    array, given = checked_sample(values, weights)
    edges = binned.low + np.array([cell - 1e-6, cell + 1 + 1e-6]) * binned.width
    near = (array >= edges[0]) & (array <= edges[1])
    found, codes = np.unique(array[near], return_inverse=True)
    weight = np.bincount(codes, None if given is None else given[near])
    value, share = float(found[weight.argmax()]), float(weight.max() / binned.total)
    if share < TOLD or share * binned.n_effective < ROWS or share < 3 * _around(shares, cell):
        return "", ()
    what = f"{share:.1%} of the predictions are {value:g}"
    if share >= REFUSED:
        return f"{what}: their density has a spike there, and no score.", ()
    told = f"{what}: a spike that a smooth density does not follow, so that scores near it are rough."
    return "", (told,)


def _around(shares: FloatArray, cell: int) -> float:
    """Return the largest share of the nearest cells on both sides that hold any row."""
    held = np.flatnonzero(shares > 0)
    place = int(np.searchsorted(held, cell))
    return float(
        max((shares[held[other]] for other in (place - 1, place + 1) if 0 <= other < held.size), default=0.0)
    )


def even_steps(
    binned: Binned, values: npt.ArrayLike, weights: npt.ArrayLike | None, *, bins: int
) -> Stepped | None:
    """Return rounded predictions in bins between their steps, or None where they are not rounded.

    Bins that hold now one step and now two would look like waves of the density.

    Examples
    --------
    >>> from eocausal.debiasing.binning import bin_values
    >>> whole = np.random.default_rng(0).normal(50, 12, size=5000).round()
    >>> found = even_steps(bin_values(whole), whole, None, bins=120)
    >>> found.bins == int(whole.max() - whole.min()) + 1, found.binned.low % 1
    (True, 0.5)
    """
    few = binned.n <= MOST_SORTED
    if not (few or _gaps(binned)):
        return None
    array, given = checked_sample(values, weights)
    inside = (array >= binned.low) & (array <= binned.high)
    found = np.unique(array[inside]).astype(float)
    if few and found.size * ROWS_A_VALUE > binned.n and not _gaps(binned):
        return None
    if found.size < FEWEST_STEPS:
        why = f"The predictions take {found.size} values only ({FEWEST_STEPS} are the fewest that show a density)."
        return Stepped(binned, bins, why, ())
    even = even_places(found)
    if even is None:
        return None
    step, places = even
    count = int(places[-1].round()) + 1
    each = -(-count // bins)
    made = -(-count // each)
    low = float(found[0]) - step / 2
    high = low + made * each * step
    again = _again(binned, array, given, (low, high, made))
    return Stepped(again, made, "", (_rounded(step, found.size),))


def _gaps(binned: Binned) -> bool:
    """Say whether cells in the middle of the rows are empty although there are rows enough for all of them."""
    first, last = (int((binned.quantile(share) - binned.low) / binned.width) for share in (0.1, 0.9))
    middle = binned.counts[first : last + 1]
    held = np.count_nonzero(middle)
    return bool(held < MOST_HELD * middle.size and held * ROWS_A_CELL < 0.8 * binned.n)


def _again(
    binned: Binned, array: npt.NDArray[Any], given: FloatArray | None, asked: tuple[float, float, int]
) -> Binned:
    low, high, bins = asked
    filled = fill_cells(array, given, low, high, cells_for(bins))
    below, above = (float(weight) for weight in filled.beyond)
    return replace(
        binned, low=low, high=high, counts=filled.counts, offsets=filled.offsets, below=below, above=above
    )


def _rounded(step: float, count: int) -> str:
    return (
        f"The predictions are rounded: {count:,} values in steps of {step:g}. Scores are those of the smooth "
        "density behind them; predictions that are not rounded serve better."
    )
