"""Moran's I and its moments: published values, dense matrices, and every order or sign enumerated."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from eocausal.sensitivities.moran import (
    Moments,
    Weights,
    moran,
    normal_moments,
    permuted_moments,
    residual_moments,
    signed_draws,
    uneven_moments,
)

FloatArray = npt.NDArray[np.float64]


def _rook(side: int, *, standardised: bool = False) -> Weights:
    cells = np.array(list(product(range(side), range(side))))
    near = (np.abs(cells[:, None] - cells).sum(axis=2) == 1).astype(float)
    near = near / near.sum(axis=1, keepdims=True) if standardised else near
    return Weights(np.arange(side**2), csr_array(near))


CHECKERBOARD = (np.indices((4, 4)).sum(axis=0) % 2 * 2.0 - 1).ravel()
HALVES = np.tile([-1.0, -1.0, 1.0, 1.0], 4)
GRADIENT = np.tile(np.arange(4) - 1.5, 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(CHECKERBOARD, -1.0), (HALVES, 2 / 3), (GRADIENT, 2 / 3)],
    ids=["board", "half", "slope"],
)
def test_the_grid_of_sixteen_has_its_known_values(values: FloatArray, expected: float) -> None:
    assert moran(values, _rook(4)) == pytest.approx(expected, abs=1e-12)


def test_its_normal_moments_are_those_of_esda() -> None:
    weights = _rook(4)
    found = normal_moments(weights)
    assert weights.total == 48
    assert found.expected == pytest.approx(-1 / 15, abs=1e-12)
    assert found.variance == pytest.approx(0.0325926, abs=5e-8)
    assert found.statistic(moran(HALVES, weights)) == pytest.approx(4.062019, abs=5e-7)
    assert moran(HALVES, _rook(4, standardised=True)) == pytest.approx(0.708333, abs=5e-7)


def test_normal_moments_follow_the_printed_formula() -> None:
    # Cliff and Ord 1981, 1.37, which knows nothing of a regression
    weights = _rook(5, standardised=True)
    dense = weights.between.toarray()
    n, s0 = 25, dense.sum()
    s1 = ((dense + dense.T) ** 2).sum() / 2
    s2 = ((dense.sum(axis=0) + dense.sum(axis=1)) ** 2).sum()
    square = (n**2 * s1 - n * s2 + 3 * s0**2) / ((n**2 - 1) * s0**2)
    assert normal_moments(weights).variance == pytest.approx(square - 1 / (n - 1) ** 2, rel=1e-12)


def _villages(seed: int, n: int = 30, places: int = 11) -> tuple[Weights, FloatArray]:
    """Units that share places, with uneven weights between places; and the same as a dense matrix."""
    rng = np.random.default_rng(seed)
    place = rng.permutation(np.r_[np.arange(places), rng.integers(0, places, n - places)])
    between = np.where(rng.uniform(size=(places, places)) < 0.4, rng.uniform(size=(places, places)), 0.0)
    dense = between[place][:, place]
    np.fill_diagonal(dense, 0.0)
    return Weights(place, csr_array(between)), dense


@pytest.mark.parametrize("seed", range(4))
def test_weights_by_place_are_those_of_the_dense_matrix(seed: int) -> None:
    weights, dense = _villages(seed)
    values = np.random.default_rng(seed + 9).normal(size=(30, 3))
    np.testing.assert_allclose(weights.times(values), dense @ values, atol=1e-12)
    assert weights.total == pytest.approx(dense.sum(), rel=1e-12)
    assert weights.squares == pytest.approx((dense**2).sum(), rel=1e-12)
    assert weights.n_neighbours.tolist() == (dense > 0).sum(axis=1).tolist()
    np.testing.assert_allclose(weights.row_sums, dense.sum(axis=0) + dense.sum(axis=1), rtol=1e-12)
    one = values[:, 0]
    assert moran(one, weights) == pytest.approx(30 / dense.sum() * one @ dense @ one / (one @ one), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_moments_of_residuals_are_those_of_dense_matrices(seed: int) -> None:
    # expectation and variance as spreg's MoranRes has them, with the whole n x n projection
    weights, dense = _villages(seed)
    columns = np.column_stack([np.ones(30), np.random.default_rng(seed).normal(size=(30, 3))])
    n, k = columns.shape
    keep = np.eye(n) - columns @ np.linalg.solve(columns.T @ columns, columns.T)
    first = np.trace(keep @ dense)
    expected = n / dense.sum() * first / (n - k)
    sums = np.trace(keep @ dense @ keep @ dense.T) + np.trace(keep @ dense @ keep @ dense) + first**2
    variance = (n / dense.sum()) ** 2 * sums / ((n - k) * (n - k + 2)) - expected**2
    found = residual_moments(weights, np.linalg.qr(columns)[0])
    assert found.expected == pytest.approx(expected, rel=1e-10)
    assert found.variance == pytest.approx(variance, rel=1e-10)


def test_moments_of_residuals_are_those_of_simulated_regressions() -> None:
    rng = np.random.default_rng(3)
    weights = _rook(6)
    columns = np.column_stack([np.ones(36), np.indices((6, 6))[0].ravel(), rng.normal(size=36)])
    basis = np.linalg.qr(columns)[0]
    drawn = rng.normal(size=(36, 4000))
    left = drawn - basis @ (basis.T @ drawn)
    found = [moran(one, weights) for one in left.T]
    moments = residual_moments(weights, basis)
    assert np.mean(found) == pytest.approx(moments.expected, abs=4 * np.std(found) / 4000**0.5)
    assert np.var(found) == pytest.approx(moments.variance, rel=0.1)
    # far from that of a plain mean: residuals of a trend over the map are unlike one another
    assert moments.expected < 1.5 * normal_moments(weights).expected


def test_permuted_moments_are_those_of_all_permutations() -> None:
    weights, _ = _villages(5, n=7, places=4)
    values = np.array([3.0, -1.0, 0.5, 0.2, -0.7, -4.0, 2.0])
    found = [moran(values[list(order)], weights) for order in permutations(range(7))]
    moments = permuted_moments(values, weights)
    assert np.mean(found) == pytest.approx(moments.expected, abs=1e-12)
    assert np.var(found) == pytest.approx(moments.variance, rel=1e-10)


def test_uneven_variance_is_that_of_all_signs() -> None:
    weights, dense = _villages(6, n=10, places=5)
    size = np.array([9.0, 0.1, 1.0, 2.0, 0.3, 5.0, 1.0, 1.0, 0.5, 3.0])
    signs = np.array(list(product([-1.0, 1.0], repeat=10)))
    found = [10 / dense.sum() * (one * size) @ dense @ (one * size) / (size @ size) for one in signs]
    assert np.mean(found) == pytest.approx(0.0, abs=1e-12)
    assert uneven_moments(size, weights).variance == pytest.approx(np.var(found), rel=1e-10)


def test_draws_keep_sizes_in_place_and_come_again_with_the_seed() -> None:
    weights = _rook(8)
    values = np.random.default_rng(0).standard_t(3, size=64)
    values -= values.mean()
    first = signed_draws(values, weights, draws=2000, seed=1)
    np.testing.assert_array_equal(first, signed_draws(values, weights, draws=2000, seed=1))
    assert not np.array_equal(first, signed_draws(values, weights, draws=2000, seed=2))
    moments = uneven_moments(values, weights)
    assert first.var() == pytest.approx(moments.variance, rel=0.2)
    assert first.mean() == pytest.approx(moments.expected, abs=0.02)


def test_draws_of_residuals_run_the_regression_again() -> None:
    rng = np.random.default_rng(4)
    weights = _rook(7)
    basis = np.linalg.qr(np.column_stack([np.ones(49), np.indices((7, 7))[0].ravel()]))[0]
    left = rng.normal(size=49)
    left -= basis @ (basis.T @ left)
    moments = residual_moments(weights, basis)
    drawn = signed_draws(left, weights, draws=3000, seed=0, basis=basis)
    assert drawn.mean() == pytest.approx(moments.expected, abs=0.015)
    assert drawn.var() == pytest.approx(moments.variance, rel=0.2)


def test_histories_are_compared_by_their_inner_products() -> None:
    weights, dense = _villages(7)
    values = np.random.default_rng(7).normal(size=(30, 4))
    inner = values @ values.T
    expected = 30 / dense.sum() * np.sum(dense * inner) / np.trace(inner)
    assert moran(values, weights) == pytest.approx(expected, rel=1e-12)
    # the same history in one period only is the plain statistic
    assert moran(values[:, :1], weights) == pytest.approx(moran(values[:, 0], weights), rel=1e-12)


def test_a_statistic_without_variance_is_missing() -> None:
    assert np.isnan(Moments(0.0, 0.0).statistic(0.3))


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
def test_scale_and_order_do_not_matter(scale: float, seed: int) -> None:
    weights, _ = _villages(8)
    rng = np.random.default_rng(seed)
    values = rng.normal(size=30)
    order = rng.permutation(30)
    moved = Weights(weights.place[order], weights.between)
    assert moran(scale * values[order], moved) == pytest.approx(moran(values, weights), rel=1e-9)
    first, second = uneven_moments(scale * values[order], moved), uneven_moments(values, weights)
    assert first.variance == pytest.approx(second.variance, rel=1e-9)
