"""Formulas of omitted variables: printed figures, closed forms, and searches over what they are the worst of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eocausal.sensitivities.strengths import (
    Yardstick,
    adjusted_critical_value,
    adjusted_std_error,
    bias_factor,
    extreme_robustness_value,
    partial_r2,
    robustness_value,
    robustness_value_classical,
    robustness_value_interval,
)

SIZES = st.floats(0.001, 20.0)
SHARES = st.floats(0.0, 0.9)


@pytest.mark.parametrize(
    ("f", "printed"),
    [
        (0.1, 0.0951249220),
        (0.25, 0.2206955546),
        (0.5, 0.3903882032),
        (1.0, 0.6180339887),
        (2.0, 0.8284271247),
    ],
)
def test_closed_form_robustness_values(f: float, printed: float) -> None:
    assert robustness_value(f) == pytest.approx(printed, abs=5e-11)


@given(SIZES)
def test_a_robustness_value_is_where_the_bias_is_all_there_is(f: float) -> None:
    needed = robustness_value(f)
    assert bias_factor(needed, needed) == pytest.approx(f, rel=1e-9)
    extreme = extreme_robustness_value(f)
    assert bias_factor(extreme, 1.0) == pytest.approx(f, rel=1e-9)
    assert extreme <= needed


def test_large_and_small_distances_keep_their_digits() -> None:
    assert robustness_value(1e-9) == pytest.approx(1e-9, rel=1e-6)
    # the textbook difference of two large numbers gives 0 here
    assert 1 - robustness_value(1e5) == pytest.approx(1e-10, rel=1e-5)
    assert robustness_value(0.0) == robustness_value_interval(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("df", "printed"),
    [
        (100, [1.99421307, 2.09471685, 2.19624358, 2.29881692, 2.40246136, 2.50720225]),
        (1e6, [1.95996496, 12.01034312, 22.16301586, 32.42034992, 42.78479401, 53.25888257]),
    ],
)
def test_critical_values_that_allow_for_bias_are_those_printed(df: float, printed: list[float]) -> None:
    made = np.array([adjusted_critical_value(share, share, df=df) for share in np.arange(6) / 100])
    if df > 1000:
        # those of a million degrees of freedom were printed with the quantile of the normal distribution
        made -= (stats.t.ppf(0.975, df - 1) - stats.norm.ppf(0.975)) * np.sqrt(df / (df - 1))
    np.testing.assert_allclose(made, printed, rtol=0, atol=5.1e-9)


def test_the_extreme_robustness_value_is_the_partial_r2_of_the_treatment() -> None:
    assert extreme_robustness_value(3.0 / np.sqrt(50)) == pytest.approx(partial_r2(3.0, 50), rel=1e-12)
    assert partial_r2(-3.0, 50) == partial_r2(3.0, 50) == pytest.approx(9 / 59)


@given(st.floats(0.05, 30.0), st.sampled_from([5, 40, 1000]), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_classical_value_is_the_least_that_some_allowed_variable_needs(
    f: float, df: int, level: float
) -> None:
    """No search over all weaker variables finds one that is enough, and a little stronger one is."""
    found = robustness_value_classical(f, df=df, level=level)
    usual = stats.t.ppf(0.5 + level / 2, df - 1)

    def closest(strength: float) -> float:
        shares = np.linspace(0, strength, 4001)
        # a unit of scale: the classical standard error is 1 / sqrt(df)
        error = np.sqrt((1 - shares) / (1 - strength) / (df - 1))
        return float((f - np.sqrt(shares * strength / (1 - strength)) - usual * error).min())

    if found == 0:
        assert closest(0.0) <= 1e-12
        return
    assert closest(found * (1 - 1e-4)) > 0
    assert closest(found + 1e-3 * (1 - found)) < 1e-6 * f


@given(st.floats(0.001, 30.0), st.floats(0.0, 3.0))
def test_the_value_of_an_interval_solves_its_equation_and_is_below_that_of_the_estimate(
    f: float, reach: float
) -> None:
    found = robustness_value_interval(f, reach)
    assert 0 <= found <= robustness_value(f) + 1e-12
    if f <= reach:
        assert found == 0
    else:
        end = f - bias_factor(found, found) - reach / np.sqrt(1 - found)
        assert end == pytest.approx(0, abs=1e-8 * (1 + f))


def test_errors_are_those_of_a_longer_regression() -> None:
    assert adjusted_std_error(2.0, 0.0, 0.0, df=11) == pytest.approx(2 * np.sqrt(1.1))
    assert adjusted_std_error(2.0, 0.5, 0.75, df=11) == pytest.approx(2 * np.sqrt(0.5 * 1.1))


def _regressed(y: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]


def _share(y: np.ndarray, z: np.ndarray, given: np.ndarray) -> float:
    """Partial R2 of z with y given columns, from two regressions."""
    short, long = _regressed(y, given), _regressed(y, np.column_stack([given, z]))
    return float(1 - long @ long / (short @ short))


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_the_bound_by_a_benchmark_is_reached_by_a_variable_that_is_made_so(width: int, times: float) -> None:
    """A variable apart from the columns and as related as they are, against direct regressions.

    Of one column, and of several along the direction that matters, the bound is an equality for one sign.
    """
    rng = np.random.default_rng(3)
    n = 400
    raw = np.column_stack([np.ones(n), rng.normal(size=(n, width + 3))])
    basis = np.linalg.qr(raw)[0] * np.sqrt(n)
    columns, z, noise_d, noise_y = basis[:, 1 : width + 1], *basis[:, width + 1 :].T
    one = basis[:, :1]
    load = np.full(width, 0.4) / np.sqrt(width)
    treatment = columns @ load + np.sqrt(times) * 0.4 * z + noise_d

    def outcome(gamma_z: float) -> np.ndarray:
        return columns @ np.full(width, -0.5 / np.sqrt(width)) + gamma_z * z + treatment + 2 * noise_y

    def gap(gamma_z: float) -> float:
        y, given = outcome(gamma_z), np.column_stack([one, treatment])
        return _share(y, z, given) - times * _share(y, columns, given)

    # as strong with the outcome given treatment, before the columns are there: both signs do
    steps = np.linspace(-4, 4, 4001)
    signs = np.sign([gap(step) for step in steps])
    bounds = []
    for place in np.flatnonzero(signs[:-1] != signs[1:]):
        low, high = steps[place], steps[place + 1]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.sign(gap(middle)) == signs[place] else (low, middle)
        y = outcome(low)
        full = np.column_stack([one, columns])
        yardstick = Yardstick(
            _share(treatment, columns, one),
            _share(y, columns, np.column_stack([one, treatment])),
        )
        strength = yardstick.strength(times)
        bounds.append(
            (_share(treatment, z, full), _share(y, z, np.column_stack([full, treatment])), *strength)
        )
    assert bounds
    for found_d, found_y, bound_d, bound_y in bounds:
        assert found_d == pytest.approx(bound_d, rel=1e-8)
        assert found_y <= bound_y + 1e-8
    assert max(found_y / bound_y for _, found_y, _, bound_y in bounds) == pytest.approx(1.0, rel=1e-6)


def test_the_printed_bounds_of_one_covariate() -> None:
    female = Yardstick(0.00908107, 0.10903392)
    printed = {
        1: (0.009164287, 0.124640923),
        2: (0.018328573, 0.249324064),
        3: (0.027492860, 0.374050471),
    }
    for times, shares in printed.items():
        # the yardstick itself is printed with six digits
        np.testing.assert_allclose(female.strength(times), shares, rtol=1e-6)


@given(st.floats(0.001, 0.8), st.floats(0.001, 0.8), st.floats(0.01, 3.0), st.floats(0.0, 0.5), st.booleans())
def test_the_multiple_that_is_needed_is_where_the_interval_ends(
    treatment: float, outcome: float, f: float, reach: float, inside: bool
) -> None:
    yardstick = Yardstick(treatment, outcome, inside)
    needed = yardstick.times_needed(f, reach)

    def end(times: float) -> float:
        share = yardstick.strength(times)
        if share[0] >= 1:
            return -np.inf
        return f - bias_factor(*share) - reach / float(np.sqrt(1 - share[0]))

    if f <= reach:
        assert needed == 0
    else:
        assert end(needed * (1 - 1e-6)) > -1e-7
        assert end(needed * (1 + 1e-6)) < 1e-7


@given(st.floats(0.001, 0.9), st.floats(0.001, 0.9), st.booleans())
def test_strengths_rise_with_multiples_until_they_are_impossible(
    treatment: float, outcome: float, inside: bool
) -> None:
    yardstick = Yardstick(treatment, outcome, inside)
    made = [yardstick.strength(times) for times in np.linspace(0, 3, 31)]
    assert made[0] == (0.0, 0.0)
    for first, second in pairwise(made):
        assert second[0] >= first[0]
        assert 1 >= second[1] >= first[1]
    taken = [yardstick.takes_all(times) for times in np.linspace(0, 3, 31)]
    assert taken == sorted(taken)
    assert all(outcome == 1 for (_, outcome), all_of_it in zip(made, taken) if all_of_it)


def test_more_than_all_of_the_outcome_is_all_of_it_and_more_than_all_of_the_treatment_is_none() -> None:
    yardstick = Yardstick(0.2, 0.6)
    assert yardstick.takes_all(1.0)
    assert yardstick.strength(1.0) == (0.25, 1.0)
    assert yardstick.strength(4.0) == (np.inf, 1.0)
    # with all of the outcome the bias is sqrt(r / (1 - r)) of the treatment's share, 0.25 k
    assert yardstick.times_needed(1.0) == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("shares", [(0.0, 0.3), (0.3, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("inside", [True, False])
def test_of_what_explains_nothing_no_multiple_is_enough(shares: tuple[float, float], inside: bool) -> None:
    yardstick = Yardstick(*shares, inside)
    assert yardstick.empty
    assert yardstick.times_needed(0.1) == np.inf
    assert yardstick.times_needed(0.1, 0.2) == 0.0
    assert bias_factor(*yardstick.strength(1.0)) == 0.0


def test_columns_outside_of_the_regression_are_taken_as_they_are() -> None:
    assert Yardstick(0.1, 0.3, inside=False).strength(2.0) == (0.2, 0.6)
    assert Yardstick(0.1, 0.3, inside=False).strength(4.0) == (0.4, 1.0)
    assert Yardstick(0.1, 0.3, inside=False).strength(10.0)[0] == np.inf


@given(SHARES, SHARES, st.floats(0.0, 0.05))
def test_the_bias_rises_with_both_strengths(treatment: float, outcome: float, more: float) -> None:
    assert bias_factor(treatment + more, outcome) >= bias_factor(treatment, outcome)
    assert bias_factor(treatment, outcome + more) >= bias_factor(treatment, outcome)
