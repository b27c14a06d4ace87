"""Linear quantile regression, against a linear-programming solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from eocausal.sensitivities.quantile_regression import quantile_coefficients


def a_sample(n: int, p: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(n), rng.normal(size=(n, p))])
    return columns, columns.sum(axis=1) + rng.standard_t(3, size=n), rng.uniform(0.2, 3, n)


def by_programme(columns, outcome, weights, level) -> np.ndarray:
    rows = columns * weights[:, None]
    found = linprog(-weights * outcome, A_eq=rows.T, b_eq=(1 - level) * rows.sum(axis=0), bounds=(0, 1))
    return -found.eqlin.marginals


def loss(columns, outcome, weights, level, coefficients) -> float:
    left = outcome - columns @ coefficients
    return float(weights @ (left * (level - (left < 0))))


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.83])
@pytest.mark.parametrize(("n", "p"), [(40, 2), (300, 12)])
def test_coefficients_are_those_of_a_linear_programme(n, p, level):
    sample = a_sample(n, p)
    found, expected = quantile_coefficients(*sample, level), by_programme(*sample, level)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loss(*sample, level, found) == pytest.approx(loss(*sample, level, expected), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_outcome_and_columns_makes_no_difference(scale):
    columns, outcome, weights = a_sample(120, 3)
    plain = quantile_coefficients(columns, outcome, weights, 0.7)
    scaled = quantile_coefficients(columns / scale, scale * outcome, weights, 0.7)
    np.testing.assert_allclose(scaled, scale**2 * plain, rtol=1e-5)


def test_ties_and_columns_that_depend_on_others_have_a_least_loss():
    columns, outcome, weights = a_sample(200, 3)
    binary = (outcome > 1).astype(float)
    doubled = np.column_stack([columns, columns[:, 1] - columns[:, 2]])
    expected = by_programme(columns, binary, weights, 0.6)
    for rows in (columns, doubled):
        found = quantile_coefficients(rows, binary, weights, 0.6)
        assert loss(rows, binary, weights, 0.6, found) == pytest.approx(
            loss(columns, binary, weights, 0.6, expected), rel=1e-6
        )


def test_a_weight_of_two_is_a_row_twice_and_of_zero_none():
    columns, outcome, _ = a_sample(80, 2)
    times = np.arange(80) % 3
    rows = np.repeat(np.arange(80), times)
    np.testing.assert_allclose(
        quantile_coefficients(columns, outcome, times.astype(float), 0.35),
        quantile_coefficients(columns[rows], outcome[rows], np.ones(rows.size), 0.35),
        atol=1e-6,
    )


def test_the_share_of_outcomes_below_is_the_level():
    columns, outcome, _ = a_sample(3000, 5)
    for level in (0.1, 0.75):
        found = quantile_coefficients(columns, outcome, np.ones(3000), level)
        below = outcome < columns @ found - 1e-9
        assert abs(below.mean() - level) <= 6 / 3000


def test_outcomes_on_a_plane_are_met():
    columns, _, weights = a_sample(50, 2)
    expected = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(
        quantile_coefficients(columns, columns @ expected, weights, 0.4), expected, atol=1e-6
    )
