"""What the penalised regressions share: a linear index, rows in pieces, and few columns in place of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

# Rows are worked on so many numbers at a time, which stay in the processor's cache.
_NUMBERS_AT_ONCE = 2**17


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear index of the columns, and how its penalty was chosen.

    Attributes
    ----------
    coefficients : array of shape (p,)
    intercept : float
    penalty : float
        Of the penalties offered, the one with the smallest loss.
    losses : array of shape (penalties,)
        Loss of each, out of its training rows, mean over parts.
    """

    coefficients: FloatArray
    intercept: float
    penalty: float
    losses: FloatArray

    def predict(self, columns: FloatArray) -> FloatArray:
        """Return the index (n,) of rows of columns (n, p)."""
        return np.asarray(self.intercept + columns @ self.coefficients)


class Compact(NamedTuple):
    """Columns (n, q) that have the cross-products of others (n, p), and the basis (p, q) that they stand on."""

    columns: FloatArray
    basis: FloatArray | None

    def slope(self, coefficients: FloatArray) -> FloatArray:
        """Return the coefficients (p,) of the columns that these stand for."""
        return coefficients if self.basis is None else self.basis @ coefficients


def compact(columns: FloatArray, centre: FloatArray) -> Compact:
    """Return as many columns as rows where there are more, the columns themselves elsewhere.

    A penalty on the sum of squares takes no notice of a rotation, and coefficients have no part outside the span of
    the rows. Columns are rotated about ``centre`` (p,).

    Examples
    --------
    >>> wide = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])
    >>> few = compact(wide, np.zeros(3))
    >>> few.columns.shape, np.allclose(few.columns @ few.columns.T, wide @ wide.T)
    ((2, 2), True)
    """
    if columns.shape[1] <= columns.shape[0]:
        return Compact(columns, None)
    basis, triangle = np.linalg.qr((columns - centre).T)
    return Compact(np.ascontiguousarray(triangle.T), basis)


def pieces(n_rows: int, width: int) -> Iterator[slice]:
    """Yield slices that cover all rows, each of a size that stays in cache at this width.

    Examples
    --------
    >>> [piece.stop - piece.start for piece in pieces(600, 1024)]
    [128, 128, 128, 128, 88]
    """
    step = max(1, _NUMBERS_AT_ONCE // max(width, 1))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def rows_by_part(parts: Positions) -> list[Positions]:
    """Return the positions of each part 0 to k - 1.

    Examples
    --------
    >>> [rows.tolist() for rows in rows_by_part(np.array([1, 0, 1]))]
    [[1], [0, 2]]
    """
    return [np.flatnonzero(parts == part) for part in range(int(parts.max()) + 1)]
