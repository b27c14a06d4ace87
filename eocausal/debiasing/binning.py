"""Predictions as counts in even cells, by one compiled pass: what scores of their density are fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.units_worth import units_worth
from eocausal.errors import DebiasError, explain
from eocausal.forests._compiled import compiled

FloatArray = npt.NDArray[np.float64]

FEWEST = 10
# cells are at least so many, and a multiple of the bins that are asked for
CELLS = 4096
# a range wider than so many standard deviations is cut at these shares, the first that makes it narrow enough
WIDEST_SD = 16
CUT_SHARES = (0.001, 0.005, 0.01, 0.025)
# a range cut to so many of its cells is known well enough, one that so much is left of is as good as not cut
CELLS_IN_RANGE, MOST_LEFT = 256, 0.98


@dataclass(frozen=True, eq=False)
class Binned:
    """Predictions as counts in even cells.

    Parameters
    ----------
    low, high : float
        Range of the cells, in units of the predictions.
    counts : ndarray, shape (cells,)
        Sum of weights in each cell.
    offsets : ndarray, shape (cells,)
        Sum over a cell of weights times the place within it, 0 at its lower edge and 1 at its upper.
    below, above : float
        Weight of predictions beyond the range.
    n : int
        Rows with a weight above 0.
    n_effective : float
        What so many weighted rows are worth, see :func:`units_worth`.
    mean, variance : float
        Of all predictions, the variance without a correction for small samples.
    smallest, largest : float
        Of all predictions.
    """

    low: float
    high: float
    counts: FloatArray
    offsets: FloatArray
    below: float
    above: float
    n: int
    n_effective: float
    mean: float
    variance: float
    smallest: float
    largest: float

    @property
    def width(self) -> float:
        """Width of a cell."""
        return (self.high - self.low) / self.counts.size

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.counts.sum()) + self.below + self.above

    def coarse(self, bins: int) -> FloatArray:
        """Return the weight in each of so many even bins, of which the cells must be a multiple."""
        return np.asarray(self.counts.reshape(bins, -1).sum(axis=1), dtype=float)

    def nodes(self) -> FloatArray:
        """Return weights (cells + 1,) of the edges of cells: each row shared by the two edges around it."""
        shared = np.zeros(self.counts.size + 1)
        shared[:-1] += self.counts - self.offsets
        shared[1:] += self.offsets
        return shared

    def quantile(self, share: float) -> float:
        """Return the value that a share of the weight lies below, even within a cell, in the middle of a gap.

        Examples
        --------
        >>> round(bin_values(np.linspace(0, 1, 1001)).quantile(0.25), 3)
        0.25
        """
        reached = self.below + np.concatenate([[0.0], np.cumsum(self.counts)])
        edges = np.linspace(self.low, self.high, reached.size)
        sides = share * self.total + np.array([-1e-9, 1e-9]) * self.total
        return float(np.interp(sides, reached, edges).mean())

    def variance_inside(self) -> float:
        """Return the variance of what lies within the range, from the middles of cells."""
        inside = self.counts.sum()
        places = np.arange(self.counts.size) + 0.5
        mean = float(self.counts @ places) / inside
        return float(self.counts @ (places - mean) ** 2 / inside) * self.width**2


def bin_values(values: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, bins: int = 120) -> Binned:
    """Put predictions into even cells over their range.

    A range that is wider than sixteen standard deviations of what lies in it is cut at quantiles, so that a few far
    predictions do not take the cells from all others; how much lies beyond is kept in ``below`` and ``above``.

    Parameters
    ----------
    values : array-like, shape (n,)
        Predictions.
    weights : array-like, shape (n,), optional
        Of rows, 0 or above; only their ratios matter.
    bins : int
        The number of cells is a multiple of this.

    Returns
    -------
    Binned

    Raises
    ------
    DebiasError
        Fewer than ten predictions, missing or infinite ones, all the same, or weights that are no weights.

    Examples
    --------
    >>> found = bin_values([0.0, 1.0, 2.0, 3.0, 4.0] * 2, bins=4)
    >>> found.coarse(4).tolist(), found.mean, found.variance
    ([2.0, 2.0, 2.0, 4.0], 2.0, 2.0)
    """
    array, given = checked_sample(values, weights)
    smallest, largest = float(array.min()), float(array.max())
    if smallest == largest:
        raise DebiasError(
            explain(
                f"All {array.size:,} predictions are {smallest:g}.",
                rule="predictions that differ",
                fix="look at the map at these places: a constant holds no information about the outcome",
            )
        )
    worth = units_worth(array, given)
    whole = fill_cells(array, given, smallest, largest, cells_for(bins))
    centre = (smallest + largest) / 2
    mean = float(whole.sums[0]) / whole.total
    found = {
        "n": array.size,
        "n_effective": worth,
        "mean": centre + mean,
        "variance": max(float(whole.sums[1]) / whole.total - mean**2, 0.0),
        "smallest": smallest,
        "largest": largest,
    }
    return _narrowed(array, given, whole, found)


def cells_for(bins: int) -> int:
    """Return how many cells there are with so many bins.

    Examples
    --------
    >>> cells_for(120), cells_for(128)
    (4200, 4096)
    """
    return bins * -(-CELLS // bins)


@dataclass(frozen=True, eq=False)
class Filled:
    """What one pass gives: cells, what lies beyond, sums of distances to the range's middle."""

    low: float
    high: float
    counts: FloatArray
    offsets: FloatArray
    beyond: FloatArray
    sums: FloatArray

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.counts.sum() + self.beyond.sum())


def fill_cells(
    values: npt.NDArray[Any], weights: FloatArray | None, low: float, high: float, cells: int
) -> Filled:
    """Count predictions in so many even cells from ``low`` to ``high``."""
    counts, offsets, beyond, sums = np.zeros(cells), np.zeros(cells), np.zeros(2), np.zeros(2)
    scale = cells / (high - low)
    if weights is None:
        _fill(values, low, high, scale, counts, offsets, beyond, sums)
    else:
        _fill_weighted(values, weights, low, high, scale, counts, offsets, beyond, sums)
    return Filled(low, high, counts, offsets, beyond, sums)


def checked_sample(
    values: npt.ArrayLike, weights: npt.ArrayLike | None, *, what: str = "predictions"
) -> tuple[npt.NDArray[Any], FloatArray | None]:
    """Return finite numbers in one row of memory and their weights; rows of weight 0 are no part of the sample."""
    array = np.ascontiguousarray(values)
    if array.dtype.kind in "biu":
        array = array.astype(float)
    if array.dtype not in (np.float32, np.float64) or array.ndim != 1:
        raise DebiasError(
            explain(f"The {what} are {array.dtype} of shape {array.shape}.", rule="one row of numbers")
        )
    given = None if weights is None else _checked_weights(weights, array.size)
    if given is not None and not given.all():
        array, given = array[given > 0], given[given > 0]
    if array.size < FEWEST:
        raise DebiasError(
            explain(f"There are {array.size} {what} to learn a density from.", rule=f"at least {FEWEST}")
        )
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = np.flatnonzero(~np.isfinite(array))
        raise DebiasError(
            explain(
                f"{bad.size:,} of {array.size:,} {what} are missing or infinite.",
                where=bad.tolist(),
                rule="finite numbers",
                fix="leave these rows out before, and say so, or sample the map where it has values",
            )
        )
    return array, given


def _checked_weights(weights: npt.ArrayLike, n: int) -> FloatArray:
    given = np.ascontiguousarray(weights, dtype=float)
    if given.shape != (n,):
        raise DebiasError(explain(f"weights have shape {given.shape}.", rule=f"one for each of {n:,} rows"))
    bad = np.flatnonzero(~(np.isfinite(given) & (given >= 0)))
    if bad.size:
        raise DebiasError(
            explain(
                f"{bad.size:,} weights are negative, missing or infinite.",
                where=bad.tolist(),
                rule="0 or above",
            )
        )
    if not given.any():
        raise DebiasError(explain("All weights are 0.", rule="some weight above 0"))
    return given


def _narrowed(
    values: npt.NDArray[Any], weights: FloatArray | None, whole: Filled, found: dict[str, Any]
) -> Binned:
    """Return the cells of the widest range that far predictions do not rule."""
    made = _binned(whole, found)
    for share in CUT_SHARES:
        if made.high - made.low <= WIDEST_SD * math.sqrt(made.variance_inside()):
            break
        made = _cut(values, weights, made, share, found)
    return made


def _cut(
    values: npt.NDArray[Any], weights: FloatArray | None, made: Binned, share: float, found: dict[str, Any]
) -> Binned:
    """Return cells between the quantiles at a share, filled again until there are cells enough to find these."""
    while True:
        low, high = made.quantile(share), made.quantile(1 - share)
        # a little more on both sides, so that densities at the quantiles know both of their sides
        extra = (high - low) / 10 + made.width
        first, last = max(low - extra, found["smallest"]), min(high + extra, found["largest"])
        narrower = (last - first) / (made.high - made.low)
        resolved = narrower * made.counts.size > CELLS_IN_RANGE
        if narrower > MOST_LEFT or (last - first) < 1e-12 * max(abs(first), abs(last)):
            return made
        made = _binned(fill_cells(values, weights, first, last, made.counts.size), found)
        if resolved:
            return made


def _binned(filled: Filled, found: dict[str, Any]) -> Binned:
    return Binned(
        low=filled.low,
        high=filled.high,
        counts=filled.counts,
        offsets=filled.offsets,
        below=float(filled.beyond[0]),
        above=float(filled.beyond[1]),
        **found,
    )


@compiled
def _fill(
    values: npt.NDArray[Any],
    low: float,
    high: float,
    scale: float,
    counts: FloatArray,
    offsets: FloatArray,
    beyond: FloatArray,
    sums: FloatArray,
) -> None:
    """Count rows in cells, and sum distances to the middle of the range and their squares."""
    last = counts.size - 1
    middle = (low + high) / 2
    first = 0.0
    second = 0.0
    for row in range(values.size):
        value = float(values[row])
        away = value - middle
        first += away
        second += away * away
        if value < low:
            beyond[0] += 1.0
        elif value > high:
            beyond[1] += 1.0
        else:
            place = (value - low) * scale
            cell = min(int(place), last)
            counts[cell] += 1.0
            offsets[cell] += place - cell
    sums[0] = first
    sums[1] = second


@compiled
def _fill_weighted(
    values: npt.NDArray[Any],
    weights: FloatArray,
    low: float,
    high: float,
    scale: float,
    counts: FloatArray,
    offsets: FloatArray,
    beyond: FloatArray,
    sums: FloatArray,
) -> None:
    """Add weights of rows to cells, and sum weighted distances to the middle of the range and their squares."""
    last = counts.size - 1
    middle = (low + high) / 2
    first = 0.0
    second = 0.0
    for row in range(values.size):
        value = float(values[row])
        weight = weights[row]
        away = value - middle
        first += weight * away
        second += weight * away * away
        if value < low:
            beyond[0] += weight
        elif value > high:
            beyond[1] += weight
        else:
            place = (value - low) * scale
            cell = min(int(place), last)
            counts[cell] += weight
            offsets[cell] += weight * (place - cell)
    sums[0] = first
    sums[1] = second
