"""Extreme means of an arm, against linear programmes and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import norm

from eocausal.sensitivities.zsb_bounds import arms_of, difference, extreme_means

GRID = np.array([1.0, 1.25, 2.0, 5.0])


def an_arm(seed: int, m: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    outcome = np.sort(rng.normal(size=m).round(seed % 3))
    return outcome, rng.uniform(0.5, 2, m), rng.uniform(0.1, 3, m)


def by_programme(
    outcome: np.ndarray, fixed: np.ndarray, moving: np.ndarray, bound: float, sign: int
) -> float:
    """The extreme of a ratio of linear functions, as a linear programme (Charnes and Cooper)."""
    m = outcome.size
    cost = -sign * np.append(moving * outcome, fixed @ outcome)
    eye, ones = np.eye(m), np.ones((m, 1))
    found = linprog(
        cost,
        A_eq=[np.append(moving, fixed.sum())],
        b_eq=[1],
        A_ub=np.block([[eye, -bound * ones], [-eye, ones / bound]]),
        b_ub=np.zeros(2 * m),
        bounds=(None, None),
    )
    return -sign * found.fun


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bound", [1.3, 4.0])
@pytest.mark.parametrize("counts", [0.0, 1.0])
def test_extremes_are_those_of_a_linear_programme(seed, bound, counts):
    outcome, fixed, moving = an_arm(seed)
    low, high = extreme_means(outcome, counts * fixed, moving, np.array([bound]))[0]
    assert low == pytest.approx(by_programme(outcome, counts * fixed, moving, bound, -1), abs=1e-9)
    assert high == pytest.approx(by_programme(outcome, counts * fixed, moving, bound, 1), abs=1e-9)


@pytest.mark.parametrize(("bound", "expected"), [(2.0, 2 / 3), (3.0, 3 / 4)])
def test_binary_outcomes_have_their_closed_form(bound, expected):
    found = extreme_means(np.repeat([0.0, 1.0], 50), np.ones(100), np.ones(100), np.array([bound]))
    assert found[0, 1] == pytest.approx(expected)
    assert found[0, 0] == pytest.approx(1 - expected)


@pytest.mark.parametrize(
    ("bound", "expected"), [(1.5, 0.161657), (2.0, 0.276030), (3.0, 0.436326), (5.0, 0.636027)]
)
def test_normal_outcomes_have_their_closed_form(bound, expected):
    m = 400_001
    outcome = norm.ppf((np.arange(m) + 0.5) / m)
    found = extreme_means(outcome, np.ones(m), np.ones(m), np.array([bound]))
    assert found[0, 1] == pytest.approx(expected, abs=2e-6)
    assert found[0, 0] == pytest.approx(-expected, abs=2e-6)


@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_bounds_nest_begin_at_the_mean_and_move_with_the_scale(seed, shift, scale):
    outcome, fixed, moving = an_arm(seed, m=12)
    found = extreme_means(outcome, fixed, moving, GRID)
    assert found[0] == pytest.approx(np.average(outcome, weights=fixed + moving), abs=1e-9)
    assert (np.diff(found[:, 0]) <= 1e-12).all()
    assert (np.diff(found[:, 1]) >= -1e-12).all()
    moved = extreme_means(shift + scale * outcome, fixed, moving, GRID)
    np.testing.assert_allclose(moved, shift + scale * found, atol=1e-9 * scale + 1e-9)


def test_a_weight_of_two_is_a_row_twice():
    outcome, fixed, moving = an_arm(3)
    times = np.where(np.arange(outcome.size) % 2, 2, 1)
    rows = np.repeat(np.arange(outcome.size), times)
    np.testing.assert_allclose(
        extreme_means(outcome, times * fixed, times * moving, GRID),
        extreme_means(outcome[rows], fixed[rows], moving[rows], GRID),
        atol=1e-12,
    )


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_at_one_the_bounds_are_the_weighted_difference(estimand):
    from eocausal.inference.stacked import normalised_difference

    rng = np.random.default_rng(0)
    treatment, outcome = np.tile([0.0, 1.0, 1.0], 20), rng.normal(size=60)
    propensity, weights = rng.uniform(0.1, 0.9, 60), rng.uniform(1, 3, 60)
    log_odds = np.log(propensity / (1 - propensity))
    means = [
        extreme_means(arm.outcome, *arm.weights(weights, log_odds), np.array([1.0, 2.0]))
        for arm in arms_of(outcome, treatment, estimand)
    ]
    found = difference(*means)
    expected = normalised_difference(outcome, treatment, weights, propensity=propensity, estimand=estimand)[0]
    np.testing.assert_allclose(found[0], expected.estimate, atol=1e-12)
    assert found[1, 0] < expected.estimate < found[1, 1]


def test_the_arm_that_is_the_target_is_not_bounded():
    control, treated = arms_of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0]), "att")
    fixed, moving = treated.weights(np.ones(3), np.array([0.3, -0.2, 0.5]))
    assert (fixed == 1).all()
    assert (moving == 0).all()
    assert control.weights(np.ones(3), np.array([0.3, -0.2, 0.5]))[1] == pytest.approx(np.exp([0.5]))
