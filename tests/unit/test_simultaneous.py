"""Bands and p-values for several estimates at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eocausal.inference.simultaneous import band_factor, equality_p, jointly_zero, step_down_p, t_draws


def test_the_band_of_independent_estimates_is_that_of_sidak() -> None:
    expected = stats.norm.ppf(0.5 + 0.95 ** (1 / 5) / 2)
    assert band_factor(np.diag([1.0, 4, 9, 1, 1]), df=1e6, level=0.95) == pytest.approx(expected, abs=0.03)


def test_the_band_of_equal_estimates_is_the_interval_of_one() -> None:
    matrix = np.full((6, 6), 2.5)
    assert band_factor(matrix, df=12, level=0.9) == pytest.approx(stats.t.ppf(0.95, 12), abs=0.03)
    assert band_factor(matrix, df=12, level=0.9) >= stats.t.ppf(0.95, 12)


def test_an_estimate_without_error_does_not_widen_the_band() -> None:
    matrix = np.zeros((2, 2))
    matrix[0, 0] = 3.0
    assert band_factor(matrix, df=40, level=0.95) == pytest.approx(stats.t.ppf(0.975, 40), abs=0.03)
    assert (t_draws(matrix, df=40, seed=1)[:, 1] == 0).all()


def test_step_down_p_values_of_independent_estimates_are_those_of_holm_and_sidak() -> None:
    values = np.array([0.5, -3.2, 2.1])
    own = 2 * stats.norm.sf(np.abs(values))
    # largest of three, then of two, then alone
    expected = np.array([own[0], 1 - (1 - own[1]) ** 3, 1 - (1 - own[2]) ** 2])
    np.testing.assert_allclose(step_down_p(values, np.eye(3), df=1e6), expected, atol=0.006)


def test_step_down_p_values_never_fall_below_those_of_one_test_and_keep_its_order() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(8, 8))
    matrix, values = root @ root.T, rng.normal(size=8) * 4
    adjusted = step_down_p(values, matrix, df=20)
    statistic = np.abs(values) / np.sqrt(np.diag(matrix))
    assert (adjusted >= 2 * stats.t.sf(statistic, 20) - 1e-12).all()
    assert (np.diff(adjusted[np.argsort(-statistic)]) >= 0).all()


def test_step_down_p_values_hold_the_chance_of_any_false_rejection() -> None:
    rng = np.random.default_rng(4)
    matrix = 0.5 * np.eye(5) + 0.5
    root = np.linalg.cholesky(matrix)
    draws = [step_down_p(root @ rng.normal(size=5), matrix, df=1e6, seed=seed).min() for seed in range(400)]
    # 99.9% binomial band of 0.05 with 400 draws
    assert 0.015 <= np.mean(np.array(draws) < 0.05) <= 0.09


def test_equality_of_two_means_is_the_t_test_of_their_difference() -> None:
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    statistic = (3.0 - 1.0) / np.sqrt(2 + 1 - 2 * 0.5)
    assert equality_p(np.array([1.0, 3.0]), matrix, df=25) == pytest.approx(2 * stats.t.sf(statistic, 25))


def test_a_joint_test_needs_as_many_degrees_of_freedom_as_directions() -> None:
    assert np.isnan(equality_p(np.arange(5.0), np.eye(5), df=3))
    assert 0 < equality_p(np.arange(5.0), np.eye(5), df=4) < 1
    assert np.isnan(jointly_zero(np.arange(2.0), np.eye(2), df=1).p_value)


def test_a_joint_test_of_more_values_than_clusters_could_tell_apart_is_none() -> None:
    # two clusters: one direction of three, by one degree of freedom
    sums = np.array([[1.0, 2.0, -1.0], [-1.0, -2.0, 1.0]])
    assert np.isnan(jointly_zero(np.arange(3.0), sums.T @ sums, df=1).p_value)
    assert jointly_zero(np.ones(1), np.eye(1), df=1).p_value == pytest.approx(0.5)


def test_all_zero_is_hotellings_test_of_draws() -> None:
    rng = np.random.default_rng(5)
    rejected = 0
    for _ in range(600):
        drawn = rng.normal(size=(12, 4)) * [1.0, 1e3, 1e-6, 5.0]
        found = jointly_zero(drawn.mean(axis=0), np.cov(drawn.T) / 12, df=11)
        rejected += found.p_value < 0.05
    # the plain F would reject in more than a tenth; 99.9% binomial band of 0.05 with 600 draws
    assert 0.02 <= rejected / 600 <= 0.085


def test_units_of_measure_do_not_matter_to_the_joint_test() -> None:
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 4.0]])
    values, units = np.array([1.0, -2.0, 0.5]), np.array([1e-9, 1.0, 1e9])
    by_hand = values @ np.linalg.inv(matrix) @ values * (30 - 3 + 1) / (30 * 3)
    for scale in (np.ones(3), units):
        found = jointly_zero(values * scale, matrix * np.outer(scale, scale), df=30)
        assert found.statistic == pytest.approx(by_hand)
        assert found.p_value == pytest.approx(stats.f.sf(by_hand, 3, 28))


def test_a_value_that_others_give_counts_once() -> None:
    matrix = np.array([[1.0, 0, 1.0], [0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    values = np.array([1.0, 2.0, 3.0])
    twice, once = jointly_zero(values, matrix, df=40), jointly_zero(values[:2], matrix[:2, :2], df=40)
    assert twice.rank == once.rank == 2
    assert twice.p_value == pytest.approx(once.p_value, rel=1e-6)


def test_a_value_without_variance_is_zero_or_no_chance() -> None:
    matrix = np.diag([1.0, 0.0])
    alone = jointly_zero(np.array([1.5]), np.eye(1), df=9)
    assert jointly_zero(np.array([1.5, 0.0]), matrix, df=9) == alone
    assert jointly_zero(np.array([1.5, 0.1]), matrix, df=9).p_value == 0.0
    assert np.isnan(jointly_zero(np.zeros(1), np.zeros((1, 1)), df=9).p_value)


def test_estimates_that_differ_by_rounding_alone_have_no_test_of_equality() -> None:
    matrix = np.full((3, 3), 0.1) + np.diag([0.0, 1e-18, 2e-18])
    assert np.isnan(equality_p(np.array([0.3, 0.1 + 0.2, 0.3]), matrix, df=100))
