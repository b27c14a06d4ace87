"""Cells of a grid on the Earth, as wide and as tall in metres wherever they lie. Pure arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.spatial import EARTH_RADIUS_M

FloatArray = npt.NDArray[np.float64]


def cells(coordinates: FloatArray, *, block_m: float) -> npt.NDArray[np.int64]:
    """Return the code (n,) of the cell of each place, on a grid of squares of ``block_m`` metres.

    Rows lie between parallels, from the south pole. Each row is parted into as many columns as its length at its
    middle allows, from the 180th meridian eastwards, so that no row has a sliver at its end and the meridian
    parts no cell. Heights and widths are the nearest to ``block_m`` that part the globe evenly.

    Parameters
    ----------
    coordinates : array of shape (n, 2)
        Longitude and latitude in degrees.
    block_m : float
        Side of a cell in metres.

    Examples
    --------
    Two places 1.1 km apart, and one 111 km north of them:

    >>> codes = cells(np.array([[34.505, 1.3], [34.515, 1.3], [34.505, 2.3]]), block_m=100_000)
    >>> bool(codes[0] == codes[1]), bool(codes[0] == codes[2])
    (True, False)
    """
    lon, lat = coordinates[:, 0], coordinates[:, 1]
    n_rows = max(1, round(np.pi * EARTH_RADIUS_M / block_m))
    row = np.minimum(np.floor((lat + 90) / 180 * n_rows), n_rows - 1)
    middle = np.radians((row + 0.5) / n_rows * 180 - 90)
    n_columns = np.maximum(1, np.rint(2 * np.pi * EARTH_RADIUS_M * np.cos(middle) / block_m))
    # a longitude of 180 is one of -180
    column = np.floor(((lon + 180) % 360) / 360 * n_columns)
    widest = round(2 * np.pi * EARTH_RADIUS_M / block_m) + 1
    return np.asarray(row * widest + np.minimum(column, n_columns - 1), dtype=np.int64)
