"""Sharp means of an arm, against linear programmes that balance the quantile, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import norm

from eocausal.sensitivities.sharp_bounds import least_loss, levels_of, sharp_means
from eocausal.sensitivities.zsb_bounds import extreme_means


def by_programme(outcome, quantile, fixed, moving, bound, sign) -> float:
    """The extreme mean whose factors are 1 on average and balance the quantile."""
    balanced = np.array([moving, moving * quantile])
    found = linprog(
        -sign * moving * outcome, A_eq=balanced, b_eq=balanced.sum(axis=1), bounds=(1 / bound, bound)
    )
    weights = fixed + found.x * moving
    return float(weights @ outcome / weights.sum())


def an_arm(seed: int, m: int = 40):
    rng = np.random.default_rng(seed)
    outcome = rng.normal(size=m)
    if seed % 3 == 1:  # ties
        outcome = outcome.round(1)
    if seed % 3 == 2:
        outcome = (outcome > 0.3).astype(float)
    quantile = np.full(m, 0.4) if seed % 5 == 4 else 0.6 * outcome + rng.normal(size=m).round(2)
    return outcome, quantile, rng.uniform(0.5, 2, m), rng.uniform(0.1, 3, m)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bound", [1.2, 3.0, 8.0])
def test_extremes_are_those_of_a_linear_programme(seed, bound):
    outcome, quantile, fixed, moving = an_arm(seed)
    low, high = sharp_means(outcome, fixed, moving, bound=bound, low=quantile, high=quantile)
    assert low == pytest.approx(by_programme(outcome, quantile, fixed, moving, bound, -1), abs=1e-7)
    assert high == pytest.approx(by_programme(outcome, quantile, fixed, moving, bound, 1), abs=1e-7)


@pytest.mark.parametrize(("bound", "expected"), [(1.5, 0.583333), (2.0, 0.625), (3.0, 0.666667)])
def test_binary_outcomes_have_their_closed_form(bound, expected):
    outcome = np.repeat([0.0, 1.0], 60)
    ones, none = np.ones(120), np.zeros(120)
    low, high = sharp_means(outcome, ones, ones, bound=bound, low=none, high=none)
    assert high == pytest.approx(expected, abs=1e-6)
    assert low == pytest.approx(1 - expected, abs=1e-6)


@pytest.mark.parametrize(
    ("bound", "expected"), [(1.5, 0.321952), (2.0, 0.545400), (3.0, 0.847404), (5.0, 1.199285)]
)
def test_normal_outcomes_have_their_closed_form(bound, expected):
    """The mean of the other arm, and half of it where both arms are as large."""
    m = 400_001
    outcome = norm.ppf((np.arange(m) + 0.5) / m)
    ones, none = np.ones(m), np.zeros(m)
    assert sharp_means(outcome, none, ones, bound=bound, high=none)[1] == pytest.approx(expected, abs=1e-5)
    assert sharp_means(outcome, ones, ones, bound=bound, high=none)[1] == pytest.approx(
        expected / 2, abs=1e-5
    )


@given(st.integers(0, 10_000), st.floats(1.0, 20.0))
@settings(max_examples=40, deadline=None)
def test_sharp_bounds_lie_within_those_of_zhao_small_and_bhattacharya(seed, bound):
    outcome, quantile, fixed, moving = an_arm(seed, m=15)
    order = np.argsort(outcome)
    wide = extreme_means(outcome[order], fixed[order], moving[order], np.array([bound]))[0]
    low, high = sharp_means(outcome, fixed, moving, bound=bound, low=quantile, high=quantile)
    mean = np.average(outcome, weights=fixed + moving)
    assert wide[0] - 1e-7 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= wide[1] + 1e-7


def test_the_true_quantile_gives_narrower_bounds_than_one_for_all():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    outcome, ones = x + 0.5 * rng.normal(size=x.size), np.ones(x.size)
    for bound in (1.5, 4.0):
        own = sharp_means(outcome, ones, ones, bound=bound, low=x, high=x)
        flat = sharp_means(outcome, ones, ones, bound=bound, low=0 * x, high=0 * x)
        assert own[1] - own[0] < 0.6 * (flat[1] - flat[0])


def test_order_scale_and_a_line_in_the_quantile_make_no_difference():
    outcome, quantile, fixed, moving = an_arm(0)
    plain = sharp_means(outcome, fixed, moving, bound=2.5, low=quantile, high=quantile)
    rows = np.random.default_rng(1).permutation(outcome.size)
    again = sharp_means(
        outcome[rows], fixed[rows], moving[rows], bound=2.5, low=quantile[rows], high=quantile[rows]
    )
    other = sharp_means(
        7 + 1e4 * outcome, fixed, moving, bound=2.5, low=3 - 2e3 * quantile, high=5e5 + 40 * quantile
    )
    assert again == pytest.approx(plain, abs=1e-7)
    assert other == pytest.approx([7 + 1e4 * one for one in plain], abs=1e-3)
    tiny = sharp_means(1e-15 * outcome, fixed, moving, bound=2.5, low=1e-15 * quantile, high=1e-15 * quantile)
    assert tiny == pytest.approx([1e-15 * one for one in plain], rel=1e-6, abs=1e-30)


def test_an_end_without_its_quantile_is_not_computed():
    outcome, quantile, fixed, moving = an_arm(0)
    low, high = sharp_means(outcome, fixed, moving, bound=2.0, low=quantile)
    assert np.isfinite(low)
    assert np.isnan(high)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_the_least_loss_is_that_of_a_linear_programme(level):
    outcome, quantile, _, weights = an_arm(3)
    line = np.column_stack([np.ones(outcome.size), quantile]) * weights[:, None]
    found = linprog(-weights * outcome, A_eq=line.T, b_eq=(1 - level) * line.sum(axis=0), bounds=(0, 1))
    expected = -found.fun - (1 - level) * (weights @ outcome)
    assert least_loss(outcome, quantile, weights, level) == pytest.approx(expected, rel=1e-7)


def test_weights_of_zero_are_rows_left_out():
    outcome, quantile, _, weights = an_arm(0)
    some = weights * (np.arange(outcome.size) % 2)
    odd = slice(1, None, 2)
    assert least_loss(outcome, quantile, some, 0.7) == pytest.approx(
        least_loss(outcome[odd], quantile[odd], weights[odd], 0.7), rel=1e-7
    )


def test_levels_are_those_of_dorn_and_guo():
    assert levels_of(4.0) == (0.2, 0.8)
