"""Sums over pairs of near units against a plain double loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eocausal.inference import spatial
from eocausal.inference.spatial import EARTH_RADIUS_M, KERNELS, compact_blocks, kernel_sum, on_the_sphere


def metres_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Haversine distance of two places."""
    (lon, lat), (lon2, lat2) = np.radians(one), np.radians(other)
    half = math.sin((lat2 - lat) / 2) ** 2 + math.cos(lat) * math.cos(lat2) * math.sin((lon2 - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(math.sqrt(half), 1))


def looped(values: np.ndarray, places: np.ndarray, cutoff_m: float, kernel: str) -> np.ndarray:
    total = np.zeros((values.shape[1],) * 2)
    for i in range(len(values)):
        for j in range(len(values)):
            distance = metres_apart(places[i], places[j])
            if distance <= cutoff_m:
                weight = 1.0 if kernel == "uniform" else 1 - distance / cutoff_m
                total += weight * np.outer(values[i], values[j])
    return total


@pytest.fixture(scope="module")
def units() -> tuple[np.ndarray, np.ndarray]:
    """Values and places: in a country, and a few at the 180th meridian and at the pole."""
    rng = np.random.default_rng(5)
    country = np.column_stack([rng.uniform(29, 35, 330), rng.uniform(-1, 4, 330)])
    odd = np.array([[179.9, 10.0], [-179.9, 10.0], [181.0, 10.2], [0.0, 89.9], [120.0, 89.8], [30.0, 2.0]])
    places = np.vstack([country, odd, odd[-1:]])
    return rng.normal(1, 1, size=(len(places), 2)), places


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("cutoff_m", [10.0, 30_000.0, 150_000.0, 700_000.0, 20_030_000.0])
def test_sums_agree_with_a_double_loop(
    units: tuple[np.ndarray, np.ndarray], cutoff_m: float, kernel: str
) -> None:
    values, places = units
    found = kernel_sum(values, places, cutoff_m=cutoff_m, kernel=kernel)
    np.testing.assert_allclose(found, looped(values, places, cutoff_m, kernel), rtol=1e-12)


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_few_pairs_at_once_give_the_same(
    units: tuple[np.ndarray, np.ndarray], kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, places = units
    whole = kernel_sum(values, places, cutoff_m=100_000, kernel=kernel)
    monkeypatch.setattr(spatial, "_PAIRS_AT_ONCE", 700)
    np.testing.assert_allclose(kernel_sum(values, places, cutoff_m=100_000, kernel=kernel), whole, rtol=1e-12)


def test_no_more_pairs_than_allowed_are_held(
    units: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def seen(chord: np.ndarray, cutoff_m: float, plane: bool) -> np.ndarray:
        held.append(chord.size)
        return np.ones_like(chord)

    monkeypatch.setattr(spatial, "_PAIRS_AT_ONCE", 1000)
    monkeypatch.setitem(KERNELS, "all", seen)
    values, places = units
    total = kernel_sum(values, places, cutoff_m=20_030_000, kernel="all")
    assert max(held) <= 1000
    np.testing.assert_allclose(total, np.outer(values.sum(axis=0), values.sum(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_units_at_one_place_are_one_cluster(kernel: str) -> None:
    values = np.random.default_rng(0).normal(size=(400, 2))
    found = kernel_sum(values, np.full((400, 2), [34.0, 1.0]), cutoff_m=1000, kernel=kernel)
    np.testing.assert_allclose(found, np.outer(values.sum(axis=0), values.sum(axis=0)), rtol=1e-12)


def test_units_on_a_grid_at_the_cutoff_count_as_within_it() -> None:
    # neighbours on the equator, a hundredth of a degree apart, and the cutoff exactly that far
    places = np.column_stack([30 + np.arange(200) / 100, np.zeros(200)])
    step = math.radians(0.01) * EARTH_RADIUS_M
    assert kernel_sum(np.ones((200, 1)), places, cutoff_m=step).item() == 200 + 2 * 199


def test_blocks_hold_every_unit_once_and_are_small() -> None:
    points = on_the_sphere(np.random.default_rng(1).uniform(-80, 80, size=(1001, 2)))
    blocks = compact_blocks(points, size=50)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(1001))
    assert max(block.size for block in blocks) <= 50
    # halved again and again: no block is less than half full
    assert min(block.size for block in blocks) >= 25


def test_points_lie_on_the_sphere_where_they_should() -> None:
    found = on_the_sphere(np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0], [180.0, 0.0]])) / EARTH_RADIUS_M
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], atol=1e-15)
