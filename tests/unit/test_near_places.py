"""Neighbours, rings and distances against all pairs of units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from eocausal.inference.spatial import EARTH_RADIUS_M
from eocausal.sensitivities.correlogram import correlogram, reach_km
from eocausal.sensitivities.near_places import (
    distance_of_share,
    distance_to_nearest,
    distances_to,
    nearest_neighbours,
    neighbours_within,
    places_of,
    ring_sums,
)

FloatArray = npt.NDArray[np.float64]


def _all_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Metres by the haversine formula."""
    lon, lat = np.radians(first).T[:, :, None]
    to_lon, to_lat = np.radians(second).T[:, None, :]
    half = np.sin((to_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(to_lat) * np.sin((to_lon - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half))


def _map(seed: int, n: int = 120) -> FloatArray:
    """Units around the date line, a third of them in villages."""
    rng = np.random.default_rng(seed)
    places = np.column_stack([rng.uniform(179, 181, n), rng.uniform(-18, -16, n)])
    places[: n // 3] = places[rng.integers(n // 3, n // 3 + 4, n // 3)]
    places[:, 0] = (places[:, 0] + 180) % 360 - 180
    return places


def _dense(weights: object) -> FloatArray:
    return weights.times(np.eye(len(weights.place)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 4, 15])
def test_nearest_neighbours_are_those_of_all_pairs(seed: int, count: int) -> None:
    coordinates = _map(seed)
    apart = _all_distances(coordinates, coordinates)
    np.fill_diagonal(apart, np.inf)
    farthest = np.sort(apart, axis=1)[:, count - 1]
    near = apart <= farthest[:, None] + 1e-2
    found = _dense(nearest_neighbours(places_of(coordinates), count))
    np.testing.assert_allclose(found, near / near.sum(axis=1, keepdims=True), atol=1e-12)
    # ties in villages make more neighbours than asked for, and never fewer
    assert near.sum(axis=1).min() == count
    assert near.sum(axis=1).max() > count or count == 15


def test_neighbours_within_a_distance_may_be_none() -> None:
    coordinates = _map(4)
    apart = _all_distances(coordinates, coordinates)
    np.fill_diagonal(apart, np.inf)
    near = apart <= 8000.0
    weights = neighbours_within(places_of(coordinates), 8000.0)
    each = near.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_dense(weights), near / np.maximum(each, 1), atol=1e-12)
    assert (each == 0).any()
    assert weights.total == pytest.approx((each > 0).sum())


@pytest.mark.parametrize("grouped", [False, True])
def test_ring_sums_are_those_of_all_pairs(grouped: bool) -> None:
    coordinates = _map(5)
    rng = np.random.default_rng(5)
    values = rng.normal(size=(120, 2))
    groups = rng.integers(0, 12, 120) if grouped else None
    edges = [3000.0, 20_000.0, 50_000.0]
    apart = _all_distances(coordinates, coordinates)
    other = ~np.eye(120, dtype=bool) if groups is None else groups[:, None] != groups
    found = ring_sums(coordinates, values, edges, apart=groups)
    for ring, (low, high) in enumerate(zip([-1.0, *edges], edges)):
        inside = (apart > low) & (apart <= high) & other
        np.testing.assert_allclose(found[:, ring], inside @ values, atol=1e-9)


def test_distances_to_others_and_to_neighbours_are_those_of_all_pairs() -> None:
    coordinates = _map(6)
    np.testing.assert_allclose(
        distances_to(coordinates, coordinates[:20]),
        _all_distances(coordinates, coordinates[:20]).min(axis=1),
        atol=1e-3,
    )
    places = places_of(coordinates)
    apart = np.sort(_all_distances(coordinates, coordinates), axis=1)[:, 5]
    np.testing.assert_allclose(distance_to_nearest(places, 5)[places.of], apart, atol=2e-2)
    assert (apart == 0).any()


def test_places_do_not_depend_on_the_order_of_units_or_on_how_longitude_is_written() -> None:
    coordinates = _map(7)
    order = np.random.default_rng(0).permutation(120)
    first, second = places_of(coordinates), places_of(coordinates[order] + [360.0, 0.0])
    np.testing.assert_allclose(first.points, second.points, atol=1e-2)
    np.testing.assert_array_equal(first.of[order], second.of)
    assert first.shared == 40 + np.unique(coordinates[:40], axis=0).shape[0]


def test_a_share_of_pairs_lies_within_its_distance() -> None:
    coordinates = _map(8)
    apart = _all_distances(coordinates, coordinates).ravel()
    found = distance_of_share(places_of(coordinates), 0.2)
    assert np.mean(apart <= found + 1e-2) == pytest.approx(0.2, abs=3e-3)


@pytest.mark.parametrize("seed", range(2))
def test_the_correlogram_is_that_of_all_pairs(seed: int) -> None:
    coordinates = _map(seed)
    values = np.random.default_rng(seed).standard_t(3, size=120)
    values -= values.mean()
    edges = [5000.0, 20_000.0, 60_000.0]
    found = correlogram(values, coordinates, edges)
    apart = _all_distances(coordinates, coordinates)
    upper = np.triu(np.ones((120, 120), dtype=bool), 1)
    products = np.outer(values, values)
    assert found["to_km"].tolist() == [0.0, 5.0, 20.0, 60.0]
    for row, (low, high) in zip(found.itertuples(), [(-1, 1e-3), (1e-3, 5e3), (5e3, 2e4), (2e4, 6e4)]):
        inside = upper & (apart > low) & (apart <= high)
        assert row.pairs == inside.sum()
        assert row.correlation == pytest.approx(products[inside].mean() / np.mean(values**2), rel=1e-9)
        error = np.sqrt((products[inside] ** 2).sum()) / inside.sum() / np.mean(values**2)
        assert row.std_error == pytest.approx(error, rel=1e-9)


def test_classes_without_pairs_are_left_out_and_reach_is_read_off() -> None:
    line = np.column_stack([34 + np.arange(6) * 0.1, np.zeros(6)])
    values = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    found = correlogram(values, line, [5000.0, 15_000.0, 25_000.0, 35_000.0])
    assert found["from_km"].tolist() == [5.0, 15.0, 25.0]
    assert found["correlation"].tolist() == pytest.approx([3 / 5, 0.0, -1.0])
    assert reach_km(found) == pytest.approx(20.0)
    assert np.isnan(reach_km(found.iloc[:1]))
    assert reach_km(found.iloc[2:]) == 0.0
    # a few unlike pairs of one place do not end what neighbours share, and alike ones begin it
    at_one = pd.DataFrame({"from_km": [0.0], "to_km": [0.0], "correlation": [-0.5]})
    assert reach_km(pd.concat([at_one, found])) == pytest.approx(20.0)
    assert reach_km(pd.concat([at_one.assign(correlation=1.0), found.iloc[2:]])) == pytest.approx(15.0)
