"""Columns of numbers as 255 bins each, between which trees cut; bin 0 holds what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain

MOST_BINS = 255
# with more rows than this, edges are quantiles of rows at even steps
ROWS_FOR_EDGES = 200_000


@dataclass(frozen=True, eq=False)
class Bins:
    """Edges between the bins of each column.

    Attributes
    ----------
    edges : tuple of arrays
        For each column the values that part one bin from the next; a value that equals an edge lies below it.

    Examples
    --------
    >>> import numpy as np
    >>> columns = np.array([[1.0], [2.0], [np.nan], [4.0]])
    >>> bin_edges(columns).codes(columns)[:, 0].tolist()
    [1, 2, 0, 3]
    """

    edges: tuple[npt.NDArray[np.float64], ...]

    def codes(self, columns: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the bin of each value (n, p): 1 to 255, and 0 where it is missing.

        Raises
        ------
        EstimationError
            Another number of columns than the edges are of.
        """
        return np.ascontiguousarray(self.codes_by_column(columns).T)

    def codes_by_column(self, columns: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the same with a row for each column (p, n)."""
        from eocausal.forests._cuts import fill_codes

        if columns.ndim != 2 or columns.shape[1] != len(self.edges):
            raise EstimationError(
                explain(
                    f"An array of shape {columns.shape} for a forest of {len(self.edges)} columns.",
                    rule="the columns that the forest was grown on, in the same order",
                )
            )
        codes = np.empty(columns.shape[::-1], np.uint8)
        for place, edges in enumerate(self.edges):
            fill_codes(np.ascontiguousarray(columns[:, place], np.float64), edges, codes[place])
        return codes


def bin_edges(columns: npt.NDArray[Any]) -> Bins:
    """Return edges that part each column into at most 255 bins with about as many rows each.

    Parameters
    ----------
    columns : array of shape (n, p)
        Numbers of any float type; NaN is missing.

    Raises
    ------
    EstimationError
        Values that are infinite.
    """
    where = np.flatnonzero([np.isinf(columns[:, place]).any() for place in range(columns.shape[1])])
    if len(where):
        raise EstimationError(explain("Columns with infinite values.", where=where, rule="numbers or NaN"))
    step = -(-len(columns) // ROWS_FOR_EDGES)
    return Bins(tuple(_edges(columns[::step, place]) for place in range(columns.shape[1])))


def _edges(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return midpoints between neighbouring values, of all values where they are few, else of quantiles."""
    ordered = np.sort(column[~np.isnan(column)]).astype(np.float64)
    values = ordered[np.r_[True, np.diff(ordered) > 0]] if len(ordered) else ordered
    if len(values) <= MOST_BINS:
        middles: npt.NDArray[np.float64] = values[:-1] + np.diff(values) / 2
        return middles
    # a quantile that is shared by many rows is one edge
    places = np.arange(1, MOST_BINS) * len(ordered) // MOST_BINS
    below = np.unique(ordered[places - 1])
    below = below[below < values[-1]]
    above = values[np.searchsorted(values, below, side="right")]
    between: npt.NDArray[np.float64] = below + (above - below) / 2
    return between
