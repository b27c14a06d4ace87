"""Who lies near whom on the Earth: nearest neighbours, units within a distance, units in rings. Pure arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.spatial import EARTH_RADIUS_M, TIE_M, on_the_sphere
from eocausal.sensitivities.moran import Weights

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

# Places whose neighbours are looked up together.
_PLACES_AT_ONCE = 256
# Pairs of so many units tell how far apart all are.
_SAMPLED = 1500


@dataclass(frozen=True, eq=False)
class Places:
    """Units by place: those less than a millimetre apart share one.

    Attributes
    ----------
    of : array of shape (n,)
        Code of the place of each unit, 0 to P - 1.
    points : array of shape (P, 3)
        In metres from the centre of the Earth, in an order that does not depend on that of the units.
    counts : array of shape (P,)
        Number of units.
    """

    of: Positions
    points: FloatArray
    counts: FloatArray

    @property
    def shared(self) -> int:
        """Number of units that are not alone at their place."""
        return int(self.counts[self.counts > 1].sum())


def places_of(coordinates: FloatArray) -> Places:
    """Return the places of units from longitude and latitude (n, 2) in degrees.

    Examples
    --------
    Two units of one village on either side of the date line, and a third:

    >>> places_of(np.array([[180.0, 1.0], [-180.0, 1.0], [179.0, 1.0]])).counts.tolist()
    [2.0, 1.0]
    """
    whole = on_the_sphere(coordinates).round(round(-np.log10(TIE_M)))
    points, of = np.unique(whole + 0.0, axis=0, return_inverse=True)
    return Places(of.ravel(), points, np.bincount(of.ravel()).astype(float))


def chord_of(distance_m: float | FloatArray) -> Any:
    """Return the straight line through the Earth, in metres, between places so far apart on the ground."""
    half = np.minimum(np.asarray(distance_m) / (2 * EARTH_RADIUS_M), np.pi / 2)
    return 2 * EARTH_RADIUS_M * np.sin(half)


def ground_of(chord: float | FloatArray) -> Any:
    """Return the distance on the ground, in metres, of places with a straight line between them."""
    return 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(np.asarray(chord) / (2 * EARTH_RADIUS_M), 1.0))


def distance_to_nearest(places: Places, neighbours: int) -> FloatArray:
    """Return metres on the ground (P,) to the nearest place with which there are enough neighbours.

    Enough are ``neighbours`` other units, those of the own place among them; 0 where these alone are enough.
    """
    from scipy.spatial import cKDTree

    most = min(neighbours + 1, len(places.points))
    found_at: Any = cKDTree(places.points).query(places.points, k=list(range(1, most + 1)))
    chords, found = found_at
    others = np.cumsum(places.counts[found], axis=1) - 1
    enough = np.argmax(others >= neighbours, axis=1)
    return np.asarray(ground_of(chords[np.arange(len(chords)), enough]))


def nearest_neighbours(places: Places, neighbours: int) -> Weights:
    """Return weights of the nearest neighbours of each unit, which sum to 1 for each.

    Units at the same distance as the last one count too, so that their order does not: a unit may have more
    neighbours than asked for, in a village with many units all of them.
    """
    return _even(places, distance_to_nearest(places, neighbours))


def neighbours_within(places: Places, distance_m: float) -> Weights:
    """Return weights of the units up to a distance, which sum to 1 for each unit that has any."""
    return _even(places, np.full(len(places.points), distance_m))


def pairs_of_places(
    places: Places, distance_m: float, *, rows: Positions | None = None
) -> Iterator[tuple[Positions, Positions, FloatArray]]:
    """Yield pairs of places up to a distance, each with itself too: codes of both, and metres on the ground.

    Parts hold all pairs of some of the places at a time, so that memory stays bounded.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(places.points)
    rows = np.arange(len(places.points)) if rows is None else rows
    reach = float(chord_of(distance_m + TIE_M))
    for start in range(0, rows.size, _PLACES_AT_ONCE):
        part = rows[start : start + _PLACES_AT_ONCE]
        found = cKDTree(places.points[part]).sparse_distance_matrix(tree, reach, output_type="ndarray")
        yield part[found["i"]], found["j"].astype(np.intp), np.asarray(ground_of(found["v"]))


def ring_sums(
    coordinates: FloatArray,
    values: FloatArray,
    edges_m: Sequence[float],
    *,
    apart: Positions | None = None,
) -> FloatArray:
    """Return sums of values (n, m) over the other units in rings around each unit.

    Parameters
    ----------
    coordinates : array of shape (n, 2)
    values : array of shape (n, m)
    edges_m : sequence of float, length b
        Outer edges of the rings in metres, rising. The first ring begins at the unit, with others of its place.
    apart : array of shape (n,), optional
        Codes of groups; units of the own group do not count.

    Returns
    -------
    array of shape (n, b, m)

    Examples
    --------
    Three units 1.1 km apart from one to the next:

    >>> row = np.array([[34.0, 0.0], [34.01, 0.0], [34.02, 0.0]])
    >>> ring_sums(row, np.ones((3, 1)), [1500.0, 3000.0])[:, :, 0].tolist()
    [[1.0, 1.0], [2.0, 0.0], [1.0, 1.0]]
    """
    # a place here is what units share that have the same place and the same group
    by_place = places_of(coordinates)
    groups = np.arange(len(values)) if apart is None else apart
    cells, of = np.unique(np.column_stack([by_place.of, groups]), axis=0, return_inverse=True)
    of = of.ravel()
    there = Places(of, by_place.points[cells[:, 0]], np.bincount(of).astype(float))
    sums = np.column_stack([np.bincount(of, weights=one) for one in values.T])
    edges = np.asarray(edges_m, dtype=float) + TIE_M
    found = np.zeros((len(cells), len(edges), values.shape[1]))
    for first, second, metres in pairs_of_places(there, float(edges_m[-1])):
        other = cells[first, 1] != cells[second, 1]
        rings = np.searchsorted(edges, metres)
        inside = other & (rings < len(edges))
        slot = first[inside] * len(edges) + rings[inside]
        for column in range(values.shape[1]):
            found[:, :, column] += np.bincount(
                slot, weights=sums[second[inside], column], minlength=found[:, :, 0].size
            ).reshape(len(cells), -1)
    return np.asarray(found[of])


def distances_to(coordinates: FloatArray, others: FloatArray) -> FloatArray:
    """Return the distance on the ground (n,), in metres, from each unit to the nearest of others (m, 2)."""
    from scipy.spatial import cKDTree

    chords, _ = cKDTree(on_the_sphere(others)).query(on_the_sphere(coordinates))
    return np.asarray(ground_of(chords))


def distance_of_share(places: Places, share: float) -> float:
    """Return the distance on the ground, in metres, within which this share of all pairs of units lies."""
    from scipy.spatial.distance import cdist

    # every so many units of all, in the order of places, which goes along an axis
    in_order = np.repeat(np.arange(len(places.points)), places.counts.astype(np.intp))
    chosen = in_order[np.unique(np.linspace(0, in_order.size - 1, _SAMPLED).round().astype(np.intp))]
    apart = np.sort(ground_of(cdist(places.points[chosen], places.points[chosen])).ravel())
    return float(apart[max(0, round(share * apart.size) - 1)])


def _even(places: Places, radius_m: FloatArray) -> Weights:
    """Return weights that are equal among the units up to a distance (P,) from each place, and sum to 1."""
    from scipy.sparse import coo_array, diags_array

    first, second = [], []
    farthest = float(radius_m.max(initial=0.0))
    # places with wide and with narrow reach apart, so that a few remote ones do not ask for all pairs of others
    for rows, reach in _by_reach(radius_m, farthest):
        for one, other, metres in pairs_of_places(places, reach, rows=rows):
            near = metres <= radius_m[one] + TIE_M
            first.append(one[near])
            second.append(other[near])
    rows, columns = np.concatenate(first), np.concatenate(second)
    shape = (len(places.points),) * 2
    there = coo_array((np.ones(rows.size), (rows, columns)), shape=shape).tocsr()
    others = np.asarray(there @ places.counts) - 1
    each = np.divide(1.0, others, out=np.zeros_like(others), where=others > 0)
    return Weights(places.of, (diags_array(each) @ there).tocsr())


def _by_reach(radius_m: FloatArray, farthest: float) -> Iterator[tuple[Positions, float]]:
    upper = farthest
    left = np.arange(radius_m.size)
    while left.size:
        lower = upper / 2 if upper > 1 else -1.0
        wide = radius_m[left] > lower
        if wide.any():
            yield left[wide], upper
        left, upper = left[~wide], upper / 2
