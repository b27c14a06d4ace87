"""Moves of a whole map: around a torus, and turned by half."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.sensitivities.map_moves import flat_map, independent_moves, random_moves, sides_of

SIDE = 12
GRID = np.array([[east, north] for east in range(SIDE) for north in range(SIDE)]) * 1000.0


def torus_distance(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    gap = np.abs(places - others)
    return np.hypot(*np.minimum(gap, SIDE * 1000.0 - gap).T)


def test_a_degree_is_111_km_north_and_shorter_east():
    places = flat_map(np.array([[10.0, 59.5], [11.0, 59.5], [10.0, 60.5]]))
    assert places[2, 1] == pytest.approx(111_195, rel=1e-4)
    middle = np.radians((59.5 + 59.5 + 60.5) / 3)
    assert places[1, 0] == pytest.approx(111_195 * np.cos(middle), rel=1e-4)
    assert places.min() == 0


def test_units_on_both_sides_of_the_180th_meridian_are_neighbours():
    assert np.ptp(flat_map(np.array([[179.95, 0.0], [-179.95, 0.0]]))[:, 0]) == pytest.approx(
        11_120, rel=1e-3
    )


def test_sides_are_the_extent_and_a_gap():
    assert sides_of(GRID).tolist() == [12_000.0, 12_000.0]
    # ten places on a line, 1 km apart
    assert sides_of(np.column_stack([np.arange(10) * 1000.0, np.zeros(10)])).tolist() == [10_000.0, 0.0]
    assert not sides_of(np.zeros((3, 2))).any()


def test_moves_of_a_lattice_are_whole_and_keep_neighbours():
    moved = random_moves(GRID, draws=30, shift_m=2000.0, seed=1)
    right = np.roll(np.arange(SIDE**2).reshape(SIDE, SIDE), -1, axis=0).ravel()
    for source in moved.sources:
        assert np.array_equal(np.sort(source), np.arange(SIDE**2))
        # neighbours stay neighbours, around the edge too
        np.testing.assert_allclose(torus_distance(GRID[source], GRID[source[right]]), 1000.0)
    assert moved.gaps_m.max() <= 1000 / np.sqrt(2) + 1e-6


def test_clumps_stay_as_clumped():
    field = (GRID[:, 0] < 4000).astype(float)
    table = field.reshape(SIDE, SIDE)
    alike = (table == np.roll(table, 1, axis=0)).sum() + (table == np.roll(table, 1, axis=1)).sum()
    for source in random_moves(GRID, draws=10, shift_m=2000.0, seed=3).sources:
        moved = field[source].reshape(SIDE, SIDE)
        found = (moved == np.roll(moved, 1, axis=0)).sum() + (moved == np.roll(moved, 1, axis=1)).sum()
        assert found == alike
        assert moved.sum() == field.sum()


def test_moves_without_a_turn_are_long_enough_and_the_same_for_all():
    moved = random_moves(GRID, draws=60, shift_m=3000.0, seed=2)
    assert 15 < moved.turned.sum() < 45
    for source in moved.sources[~moved.turned]:
        apart = torus_distance(GRID[source], GRID)
        np.testing.assert_allclose(apart, apart[0])
        # the nearest place is at most half a diagonal of a cell away
        assert apart[0] >= 3000 - 1000 / np.sqrt(2)
    # those with a turn are rotations: two places swap the way from one to the other
    source = moved.sources[moved.turned][0]
    way = (GRID[source[1]] - GRID[source[0]]) / 1000
    np.testing.assert_allclose((way + (GRID[1] - GRID[0]) / 1000) % SIDE, 0)


def test_places_on_a_line_move_along_it():
    line = np.column_stack([np.zeros(20), np.arange(20) * 500.0])
    for source in random_moves(line, draws=5, shift_m=1000.0, seed=0).sources:
        assert np.array_equal(np.sort(source), np.arange(20))


def test_where_the_map_begins_does_not_matter():
    one, other = (random_moves(GRID + by, draws=3, shift_m=1000.0, seed=5).sources for by in (0.0, 250_000.0))
    assert np.array_equal(one, other)


def test_moves_of_one_half_of_the_map_are_few():
    half = (GRID[:, 0] < 6000).astype(float)
    scattered = np.random.default_rng(0).permutation(half)
    moved = random_moves(GRID, draws=99, shift_m=1000.0, seed=5).sources
    assert independent_moves(half[moved]) < 6
    assert independent_moves(scattered[moved]) > 60
