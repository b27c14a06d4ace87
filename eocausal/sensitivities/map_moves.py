"""A field moved over the map as a whole: shifted around a torus, or turned by half and shifted. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.inference.spatial import EARTH_RADIUS_M

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

# A side of the map is this much of the other, at least, to be a side that a field can be moved along.
_LINE = 1e-6


@dataclass(frozen=True, eq=False)
class Moved:
    """Where each place gets its value from, one row a move.

    Attributes
    ----------
    sources : array of shape (b, n)
        Position of the place that lies nearest to where the value comes from.
    gaps_m : array of shape (b, n)
        Metres between the two.
    turned : array of shape (b,)
        Whether the map was turned by half before it was shifted.
    """

    sources: Positions
    gaps_m: FloatArray
    turned: npt.NDArray[np.bool_]


def flat_map(coordinates: FloatArray) -> FloatArray:
    """Return places (n, 2) in metres east and north of the south-western corner of all, from degrees.

    A degree of longitude is as long as in the middle of the map. Places on both sides of the 180th meridian stay
    together.

    Examples
    --------
    >>> flat_map(np.array([[179.9, 0.0], [-179.9, 0.1]])).round(-2).tolist()
    [[0.0, 0.0], [22200.0, 11100.0]]
    """
    lon, lat = np.radians(coordinates).T
    middle = np.angle(np.exp(1j * lon).mean())
    east = (lon - middle + np.pi) % (2 * np.pi) - np.pi
    places = EARTH_RADIUS_M * np.column_stack([east * np.cos(lat.mean()), lat])
    return np.asarray(places - places.min(axis=0))


def sides_of(places: FloatArray) -> FloatArray:
    """Return the sides (2,) in metres of the map as a torus: its extent and the gap between neighbours.

    Examples
    --------
    A grid of four by four places, 1 km apart, repeats itself after 4 km:

    >>> grid = np.array([[east, north] for east in range(4) for north in range(4)]) * 1000.0
    >>> sides_of(grid).tolist()
    [4000.0, 4000.0]
    """
    extent = np.ptp(places, axis=0)
    n = np.unique(places, axis=0).shape[0]
    if n < 2:
        return np.asarray(extent)
    if extent.min() <= _LINE * extent.max():
        return np.where(extent == extent.max(), extent * n / (n - 1), 0.0)
    # the gap g of n places on a lattice: (width + g) (height + g) = n g^2
    width, height = extent
    gap = (width + height + np.sqrt((width + height) ** 2 + 4 * (n - 1) * width * height)) / (2 * (n - 1))
    return np.asarray(extent + gap)


def random_moves(places: FloatArray, *, draws: int, shift_m: float, seed: int) -> Moved:
    """Return moves of the whole map, each turned by half with a chance of one half, and shifted to a random place.

    Moves without a turn are those of at least ``shift_m`` metres, around the torus. Those with one are not bound:
    each place is moved by another distance.

    Parameters
    ----------
    places : array of shape (n, 2)
        Metres, as :func:`flat_map` gives them.
    draws : int
    shift_m : float
        Less than half of the diagonal of the torus.
    seed : int
    """
    from scipy.spatial import cKDTree

    generator, places = np.random.default_rng(seed), places - places.min(axis=0)
    sides = sides_of(places)
    # a side of no length has nothing to go around
    around = np.where(sides > 0, sides, 1.0)
    tree = cKDTree(np.where(sides > 0, places, 0.0), boxsize=around)
    turned = generator.random(draws) < 0.5
    sources, gaps = [], []
    for turn in turned:
        shift = _shift(generator, sides, 0.0 if turn else shift_m)
        origin = (-places if turn else places) + shift
        gap, source = tree.query(np.where(sides > 0, origin % around, 0.0) % around)
        sources.append(source)
        gaps.append(gap)
    return Moved(np.array(sources, dtype=np.intp), np.array(gaps), turned)


def _shift(generator: np.random.Generator, sides: FloatArray, least: float) -> FloatArray:
    """Return a shift (2,), evenly drawn among those that are long enough the short way around."""
    while True:
        shift: FloatArray = generator.random(2) * sides
        if np.hypot(*np.minimum(shift, sides - shift)) >= least:
            return shift


def independent_moves(values: FloatArray) -> float:
    """Return as how many unrelated fields the moved fields (b, n) count: one over their mean squared correlation.

    Examples
    --------
    >>> fields = np.random.default_rng(0).normal(size=(200, 50))
    >>> 45 < independent_moves(fields) < 55
    True
    """
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=1))
    alike = (centred / lengths[:, None]) @ (centred / lengths[:, None]).T
    b = len(values)
    return float(b * (b - 1) / max((alike**2).sum() - b, np.finfo(float).tiny))
