"""A function tabled at even points with its slope: cubics between them, constant beyond, looked up in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled

FloatArray = npt.NDArray[np.float64]

CELLS = 1024


@dataclass(frozen=True, eq=False)
class EvenTable:
    """Values and slopes of a function at even points from ``low`` to ``high``.

    Between points stands the cubic with these values and slopes, beyond the ends the value at the end.

    Parameters
    ----------
    low, high : float
        The first and the last point.
    values, slopes : ndarray, shape (points,)
        The function and its derivative there.

    Examples
    --------
    >>> points = np.linspace(0.0, 2.0, 5)
    >>> cube = EvenTable(0.0, 2.0, points**3, 3 * points**2)
    >>> cube.at(np.array([-1.0, 0.7, 3.0])).round(6).tolist()
    [0.0, 0.343, 8.0]
    >>> cube.slope(np.array([-1.0, 0.7, 3.0])).round(6).tolist()
    [0.0, 1.47, 0.0]
    """

    low: float
    high: float
    values: FloatArray
    slopes: FloatArray

    @property
    def grid(self) -> FloatArray:
        """The points (points,)."""
        return np.linspace(self.low, self.high, self.values.size)

    def at(self, places: npt.ArrayLike) -> FloatArray:
        """Return the function at places of any shape; missing where a place is."""
        return self._looked_up(places, 0)

    def slope(self, places: npt.ArrayLike) -> FloatArray:
        """Return its derivative at places of any shape, 0 beyond the ends."""
        return self._looked_up(places, 1)

    def _looked_up(self, places: npt.ArrayLike, order: int) -> FloatArray:
        array = np.asarray(places)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(float)
        flat = np.ascontiguousarray(array).reshape(-1)
        found = np.empty(flat.size)
        scale = (self.values.size - 1) / (self.high - self.low)
        cubics = self._cubics(scale)
        if order == 0:
            _values(flat, self.low, self.high, scale, cubics, float(self.values[-1]), found)
        else:
            _slopes(flat, self.low, self.high, scale, cubics, found)
        return found.reshape(array.shape)

    def _cubics(self, scale: float) -> FloatArray:
        """Return the four coefficients of each cell's cubic (cells, 4), in the place within the cell."""
        start, rise = self.values[:-1], np.diff(self.values)
        left, right = self.slopes[:-1] / scale, self.slopes[1:] / scale
        return np.column_stack([start, left, 3 * rise - 2 * left - right, left + right - 2 * rise])


@compiled
def _values(
    places: npt.NDArray[Any],
    low: float,
    high: float,
    scale: float,
    cubics: FloatArray,
    end: float,
    found: FloatArray,
) -> None:
    last = cubics.shape[0] - 1
    for row in range(places.size):
        place = float(places[row])
        if place >= high:
            found[row] = end
        elif place > low:
            within = (place - low) * scale
            cell = min(int(within), last)
            within -= cell
            found[row] = cubics[cell, 0] + within * (
                cubics[cell, 1] + within * (cubics[cell, 2] + within * cubics[cell, 3])
            )
        elif place <= low:
            found[row] = cubics[0, 0]
        else:
            found[row] = np.nan


@compiled
def _slopes(
    places: npt.NDArray[Any], low: float, high: float, scale: float, cubics: FloatArray, found: FloatArray
) -> None:
    last = cubics.shape[0] - 1
    for row in range(places.size):
        place = float(places[row])
        if low <= place <= high:
            within = (place - low) * scale
            cell = min(int(within), last)
            within -= cell
            found[row] = scale * (
                cubics[cell, 1] + within * (2 * cubics[cell, 2] + within * 3 * cubics[cell, 3])
            )
        elif place == place:
            found[row] = 0.0
        else:
            found[row] = np.nan
