"""The reliability curve and what sums it up, by hand and by other software."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.interpolate import CubicSpline
from scipy.special import expit, logit

from eocausal.errors import EstimationError
from eocausal.nuisance.calibration import reliability
from eocausal.nuisance.reliability import KNOTS, logistic_coefficients, natural_spline


def _world(n: int = 600, *, seed: int = 0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    index = rng.normal(size=n)
    treatment = (rng.uniform(size=n) < expit(slope * index + 0.2)).astype(float)
    return expit(index), treatment, rng.uniform(0.5, 2, size=n)


def test_bins_by_hand() -> None:
    propensity = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    treatment = np.array([0.0, 1, 0, 0, 1, 0, 1, 1])
    weights = np.array([1.0, 3, 1, 1, 1, 1, 2, 1])
    found = reliability(propensity, treatment, weights, bins=2)
    np.testing.assert_allclose(found.predicted, [(0.1 + 0.6 + 0.3 + 0.4) / 6, (0.6 + 0.7 + 1.6 + 0.9) / 5])
    np.testing.assert_allclose(found.treated, [3 / 6, 4 / 5])
    assert found.counts.tolist() == [4, 4]
    # sum of squared weights times squared distances from the share, its root over the sum of the weights
    first = np.sqrt((1 + 9 + 1 + 1) * 0.25) / 6
    second = np.sqrt((1 + 4 + 1) * 0.04 + 0.64) / 5
    np.testing.assert_allclose(found.std_error, [first, second])
    assert found.in_the_large == pytest.approx((3 + 4) / 11 - (1.4 + 3.8) / 11)


def test_ties_share_a_bin() -> None:
    found = reliability(np.repeat([0.2, 0.5], [90, 10]), np.tile([0.0, 1.0], 50))
    assert found.counts.tolist() == [90, 10]
    np.testing.assert_allclose(found.predicted, [0.2, 0.5])


@pytest.mark.parametrize("slope", [0.4, 1.0, 1.8])
def test_slope_and_intercept_are_those_of_statsmodels(slope: float) -> None:
    propensity, treatment, weights = _world(slope=slope)
    found = reliability(propensity, treatment, weights)
    model = sm.GLM(
        treatment, sm.add_constant(logit(propensity)), family=sm.families.Binomial(), freq_weights=weights
    )
    expected = model.fit(tol=1e-12, maxiter=100).params
    np.testing.assert_allclose([found.intercept, found.slope], expected, rtol=1e-7)
    assert found.slope == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("slope", [0.4, 1.0])
def test_ici_is_that_of_a_natural_spline_made_by_scipy(slope: float) -> None:
    propensity, treatment, weights = _world(slope=slope, seed=3)
    odds = logit(propensity)
    knots = np.quantile(odds, KNOTS)
    columns = []
    for position in range(4):
        curve = CubicSpline(knots, np.eye(4)[position], bc_type="natural")
        inside = curve(np.clip(odds, knots[0], knots[-1]))
        below = np.minimum(odds - knots[0], 0) * curve(knots[0], 1)
        columns.append(inside + below + np.maximum(odds - knots[-1], 0) * curve(knots[-1], 1))
    model = sm.GLM(treatment, np.column_stack(columns), family=sm.families.Binomial(), freq_weights=weights)
    smooth = model.fit(tol=1e-12, maxiter=100).fittedvalues
    expected = np.average(np.abs(smooth - propensity), weights=weights)
    assert reliability(propensity, treatment, weights).ici == pytest.approx(expected, rel=1e-6)


def test_right_propensities_are_reliable_and_extreme_ones_are_not() -> None:
    right, treatment, _ = _world(20_000, slope=1.0)
    found = reliability(expit(logit(right) + 0.2), treatment)
    assert found.ici < 0.01
    assert found.slope == pytest.approx(1, abs=0.08)
    assert abs(found.in_the_large) < 0.01
    extreme = reliability(expit(3 * logit(right)), treatment)
    assert extreme.slope == pytest.approx(1 / 3, abs=0.03)
    assert extreme.ici > 0.1


def test_the_order_of_units_and_the_unit_of_weights_do_not_matter() -> None:
    propensity, treatment, weights = _world()
    order = np.random.default_rng(5).permutation(600)
    one = reliability(propensity, treatment, weights).to_dict()
    two = reliability(propensity[order], treatment[order], 7 * weights[order]).to_dict()
    for name in ("ici", "slope", "intercept", "in_the_large"):
        assert two[name] == pytest.approx(one[name], abs=1e-9)
    for name, column in one["bins"].items():
        np.testing.assert_allclose(two["bins"][name], column, rtol=1e-9)


@pytest.mark.parametrize(
    ("propensity", "why"),
    [
        (np.r_[0.0, np.linspace(0.1, 0.9, 99)], "a propensity of 0 has no log odds"),
        (np.full(100, 0.3), "all are equal"),
        (np.r_[np.linspace(0.1, 0.4, 50), np.linspace(0.6, 0.9, 50)], "they tell the arms apart"),
    ],
)
def test_what_has_no_line_says_none(propensity: np.ndarray, why: str) -> None:
    treatment = np.repeat([0.0, 1.0], 50) if "apart" in why else np.tile([0.0, 1.0], 50)
    found = reliability(propensity, treatment)
    assert found.slope is None, why
    assert found.intercept is None
    assert found.counts.sum() == 100
    if why == "all are equal":
        assert found.ici == pytest.approx(0.2)
    else:
        assert found.ici is None


def test_few_distinct_values_make_a_straight_line() -> None:
    assert natural_spline(np.repeat([0.0, 1.0], 20)).shape == (40, 2)
    assert natural_spline(np.zeros(9)).shape == (9, 1)
    assert natural_spline(np.arange(100.0)).shape == (100, 4)
    # linear beyond the outer knots: second differences vanish there
    far = natural_spline(np.r_[np.linspace(0, 1, 101), np.zeros(0)])
    np.testing.assert_allclose(np.diff(far[96:], n=2, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(far[:5], n=2, axis=0), 0, atol=1e-12)


def test_coefficients_of_shares_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    rows = np.column_stack([np.ones(50), rng.normal(size=(50, 2))])
    target, weights = rng.uniform(size=50), rng.uniform(0.5, 3, size=50)
    expected = sm.GLM(target, rows, family=sm.families.Binomial(), freq_weights=weights).fit(tol=1e-13).params
    np.testing.assert_allclose(logistic_coefficients(rows, target, weights), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.array([0.2, 1.2]), np.array([0.0, 1.0])), r"propensity has values out of range[\s\S]*Where: 1 \(1\)"),
        ((np.array([0.2, np.nan]), np.array([0.0, 1.0])), "propensity has values out of range"),
        ((np.array([0.2, 0.3]), np.array([1.0, 2.0])), r"treatment has values[\s\S]*0 = control, 1 = treated"),
        ((np.array([0.2, 0.3]), np.array([0.0, 1.0]), np.array([1.0, 0.0])), r"weights has[\s\S]*positive"),
        ((np.array([0.2, 0.3]), np.array([0.0])), r"shapes \(2,\), \(1,\) and \(2,\)"),
        ((np.zeros(0), np.zeros(0)), "one number for each unit"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_compared(arguments: tuple[np.ndarray, ...], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        reliability(*arguments)


def test_no_bins_are_refused() -> None:
    with pytest.raises(EstimationError, match=r"bins=0"):
        reliability(np.array([0.2, 0.4]), np.array([0.0, 1.0]), bins=0)
