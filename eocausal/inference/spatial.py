"""Sums over all pairs of units that lie near one another on the Earth. Pure arrays, in bounded memory.

Units are parted into small blocks of neighbours by halving along the longest axis, as a k-d tree does. Two blocks
that lie farther apart than the cutoff are passed over, two that lie wholly within it enter by their sums, and only
the pairs of the others are looked at, a bounded number at a time. No distance matrix is ever held.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

# mean radius of the Earth, IUGG
EARTH_RADIUS_M = 6_371_008.8
# Units this far beyond the cutoff still count as within it, so that rounding does not decide over units on a grid.
TIE_M = 1e-3
_BLOCK = 128
_PAIRS_AT_ONCE = 2**20


def _uniform(chord: FloatArray, cutoff_m: float, plane: bool) -> FloatArray:
    return (chord <= _reach_of(cutoff_m, plane)).astype(float)


def _bartlett(chord: FloatArray, cutoff_m: float, plane: bool) -> FloatArray:
    distance = chord
    if not plane:
        distance = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS_M), 1.0))
    return np.asarray(np.maximum(1 - distance / cutoff_m, 0.0))


# Weight of a pair from the straight line between its units in metres (through the Earth or on a plane).
KERNELS: dict[str, Callable[[FloatArray, float, bool], FloatArray]] = {
    "uniform": _uniform,
    "bartlett": _bartlett,
}


@one_blas_thread()
def kernel_sum(
    values: FloatArray,
    coordinates: FloatArray,
    *,
    cutoff_m: float,
    kernel: str = "uniform",
    plane: bool = False,
) -> FloatArray:
    """Return the sum over all ordered pairs of units, each with itself too, of weight times products of values.

    Parameters
    ----------
    values : array of shape (n, m)
    coordinates : array of shape (n, 2)
        Longitude and latitude in degrees. Distances are those of great circles on a sphere of mean radius.
        With ``plane`` easting and northing in metres, and flat distances.
    cutoff_m : float
        Distance in metres beyond which a pair has no weight.
    kernel : {"uniform", "bartlett"}
        ``uniform``: weight 1 up to the cutoff. ``bartlett``: weight falls linearly from 1 to 0 at the cutoff.
    plane : bool

    Returns
    -------
    array of shape (m, m)
        ``sum_ij K(d_ij) values_i values_j'``.

    Examples
    --------
    Two units 1.1 km apart, and one far away:

    >>> places = np.array([[34.0, 1.0], [34.01, 1.0], [36.0, 1.0]])
    >>> kernel_sum(np.ones((3, 1)), places, cutoff_m=2000.0).item()
    5.0
    """
    points = (
        np.column_stack([coordinates, np.zeros(len(coordinates))]) if plane else on_the_sphere(coordinates)
    )
    blocks = compact_blocks(points)
    order = np.concatenate(blocks)
    starts = np.concatenate([[0], np.cumsum([block.size for block in blocks])])
    points, values = points[order], values[order]
    lower = np.minimum.reduceat(points, starts[:-1])
    upper = np.maximum.reduceat(points, starts[:-1])
    sums = np.add.reduceat(values, starts[:-1])
    reach = _reach_of(cutoff_m, plane)
    weight = KERNELS[kernel]

    def weigh(chord: FloatArray) -> FloatArray:
        return weight(chord, cutoff_m, plane)

    total = np.zeros((values.shape[1], values.shape[1]))
    for block in range(len(blocks)):
        own = slice(starts[block], starts[block + 1])
        total += values[own].T @ _weighted(points[own], points[own], values[own], weigh)
        later = np.arange(block + 1, len(blocks))
        apart = np.maximum(lower[later] - upper[block], lower[block] - upper[later]).clip(min=0)
        across = np.maximum(upper[later] - lower[block], upper[block] - lower[later])
        near = np.linalg.norm(apart, axis=1) <= reach
        whole = near & (np.linalg.norm(across, axis=1) <= reach) & (kernel == "uniform")
        others = sums[later[whole]].sum(axis=0) * np.ones((starts[block + 1] - starts[block], 1))
        parts = [np.arange(starts[one], starts[one + 1]) for one in later[near & ~whole]]
        columns = np.concatenate([*parts, np.empty(0, dtype=np.intp)])
        others += _weighted(points[own], points[columns], values[columns], weigh)
        both = values[own].T @ others
        total += both + both.T
    return total


def on_the_sphere(coordinates: FloatArray) -> FloatArray:
    """Return points (n, 3) in metres from the centre of the Earth, from longitude and latitude in degrees."""
    lon, lat = np.radians(coordinates).T
    x, y = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon)
    return EARTH_RADIUS_M * np.column_stack([x, y, np.sin(lat)])


def compact_blocks(points: FloatArray, *, size: int = _BLOCK) -> list[Positions]:
    """Part points (n, 3) into blocks of at most ``size`` that lie close together.

    Examples
    --------
    >>> line = np.array([[3.0, 0, 0], [0, 0, 0], [2, 0, 0], [1, 0, 0]])
    >>> [sorted(block.tolist()) for block in compact_blocks(line, size=2)]
    [[1, 3], [0, 2]]
    """
    done: list[Positions] = []
    waiting = [np.arange(len(points))]
    while waiting:
        block = waiting.pop()
        if block.size <= size:
            done.append(block)
            continue
        axis = int(np.argmax(np.ptp(points[block], axis=0)))
        half = block.size // 2
        parted = np.argpartition(points[block, axis], half)
        waiting += [block[parted[half:]], block[parted[:half]]]
    return done


def _weighted(
    rows: FloatArray, columns: FloatArray, values: FloatArray, weigh: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Return for each row (r, 3) the weighted sum of the values (c, m) of the columns (c, 3)."""
    from scipy.spatial.distance import cdist

    total = np.zeros((len(rows), values.shape[1]))
    step = max(1, _PAIRS_AT_ONCE // len(rows))
    for start in range(0, len(columns), step):
        part = slice(start, start + step)
        total += weigh(cdist(rows, columns[part])) @ values[part]
    return total


def _reach_of(cutoff_m: float, plane: bool) -> float:
    """Return the straight line, in metres, between two places that lie a cutoff apart on the ground."""
    if plane:
        return cutoff_m + TIE_M
    half_angle = min((cutoff_m + TIE_M) / (2 * EARTH_RADIUS_M), np.pi / 2)
    return 2 * EARTH_RADIUS_M * float(np.sin(half_angle))
