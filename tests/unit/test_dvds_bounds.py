"""Doubly valid, doubly sharp bounds: equal to AIPW at 1, orthogonal, and right in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from eocausal.inference import scores
from eocausal.sensitivities.dvds_bounds import Predicted, bounded_effect, predicted_reweighed, reweighed
from eocausal.sensitivities.sharp_bounds import sharp_means
from eocausal.sensitivities.tail_quantiles import Quantiles, Tail, tail_out_of_fold


def some_units(n: int = 200, seed: int = 0) -> Predicted:
    rng = np.random.default_rng(seed)
    treatment = (rng.uniform(size=n) < 0.4).astype(float)
    return Predicted(
        rng.normal(size=n), treatment, rng.uniform(1, 3, n), rng.uniform(0.2, 0.8, n),
        (rng.normal(size=n), rng.normal(size=n)),
    )  # fmt: skip


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_at_one_it_is_aipw(estimand):
    units = some_units()
    numerator, share = scores.augmented(
        units.outcome, units.treatment, estimand=estimand, propensity=units.propensity,
        outcome_control=units.means[0], outcome_treated=units.means[1],
    )  # fmt: skip
    expected = scores.ratio_of_means(numerator, share, units.weights)
    for upper in (False, True):
        found = bounded_effect(units, {}, estimand=estimand, bound=1.0, upper=upper)
        assert found.estimate == pytest.approx(expected.estimate, abs=1e-12)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-10)


def test_what_an_outcome_counts_for_at_a_normal_quantile_has_its_closed_form():
    """The mean of the other arm where the outcome is standard normal."""
    m = 400_001
    outcome = norm.ppf((np.arange(m) + 0.5) / m)
    for bound, expected in ((1.5, 0.321952), (2.0, 0.545400), (3.0, 0.847404), (5.0, 1.199285)):
        quantile = np.full(m, norm.ppf(bound / (bound + 1)))
        assert reweighed(outcome, quantile, bound, upper=True).mean() == pytest.approx(expected, abs=1e-5)
        assert reweighed(outcome, -quantile, bound, upper=False).mean() == pytest.approx(-expected, abs=1e-5)


def test_any_other_quantile_gives_a_wider_bound():
    outcome = np.random.default_rng(0).normal(size=20_001)
    best = reweighed(outcome, np.full(outcome.size, np.quantile(outcome, 2 / 3)), 2.0, upper=True).mean()
    for quantile in (-1.0, 0.0, 1.0, 2.0):
        assert reweighed(outcome, np.full(outcome.size, quantile), 2.0, upper=True).mean() > best


@pytest.mark.parametrize("upper", [False, True])
def test_the_prediction_is_the_mean_of_what_is_predicted(upper):
    outcome = np.random.default_rng(1).normal(size=5000)
    level = 0.75 if upper else 0.25
    quantile = np.full(outcome.size, np.quantile(outcome, level))
    beyond = np.maximum((outcome - quantile) * (1 if upper else -1), 0).mean()
    tail = Tail(quantile, np.full(outcome.size, beyond))
    mean = np.full(outcome.size, outcome.mean())
    expected = reweighed(outcome, quantile, 3.0, upper=upper).mean()
    np.testing.assert_allclose(predicted_reweighed(mean, tail, 3.0, upper=upper), expected, atol=1e-12)


def test_with_one_quantile_for_all_it_is_the_sharp_mean_of_the_sample():
    """Half of the units are treated by chance: AIPW without columns and weighting are one."""
    rng = np.random.default_rng(2)
    treatment = np.tile([0.0, 1.0], 1500)
    outcome = rng.normal(size=3000)
    means = tuple(np.full(3000, outcome[treatment == arm].mean()) for arm in (0, 1))
    units = Predicted(outcome, treatment, np.ones(3000), np.full(3000, 0.5), means)
    ends = {}
    for arm in (0, 1):
        own, ones = outcome[treatment == arm], np.ones(1500)
        ends[arm] = sharp_means(own, ones, ones, bound=2.0, low=0 * ones, high=0 * ones)
    for upper in (False, True):
        tails = {}
        for arm in (0, 1):
            side = upper if arm == 1 else not upper
            own = treatment == arm
            quantile = np.quantile(outcome[own], 2 / 3 if side else 1 / 3)
            sign = 1 if side else -1
            beyond = np.maximum(sign * (outcome[own] - quantile), 0).mean()
            tails[arm] = Tail(np.full(3000, quantile), np.full(3000, beyond))
        found = bounded_effect(units, tails, estimand="ate", bound=2.0, upper=upper)
        expected = ends[1][int(upper)] - ends[0][1 - int(upper)]
        assert found.estimate == pytest.approx(expected, abs=1e-6)


def test_errors_of_predictions_move_the_bound_in_second_order_only():
    """True nuisances off by a step: the bound moves by the step squared."""
    rng = np.random.default_rng(3)
    n = 200_000
    x = rng.normal(size=n)
    e = 1 / (1 + np.exp(-0.5 * x))
    treatment = (rng.uniform(size=n) < e).astype(float)
    outcome = x + treatment + rng.normal(size=n)
    z = norm.ppf(2 / 3)
    shift = np.sin(2 * x)

    def lowest(step: float) -> float:
        means = (x + step * shift, x + 1 + step * shift)
        beyond = np.full(n, norm.pdf(z) - z / 3) + step * shift
        tails = {0: Tail(x + z + step * shift, beyond), 1: Tail(x + 1 - z + step * shift, beyond)}
        off = 1 / (1 + np.exp(-0.5 * x - step * shift))
        units = Predicted(outcome, treatment, np.ones(n), off, means)
        return bounded_effect(units, tails, estimand="ate", bound=2.0, upper=False).estimate

    base = lowest(0.0)
    assert base == pytest.approx(1 - 0.5454, abs=0.02)
    # to first order a step of 0.1 in each would move it by about 0.1
    assert abs((lowest(0.1) - lowest(-0.1)) / 2) < 0.005


def test_out_of_fold_tails_do_not_see_their_own_fold():
    rng = np.random.default_rng(4)
    columns, outcome = rng.normal(size=(120, 1)), rng.normal(size=120)
    folds, arm = np.arange(120) % 3, np.arange(120) % 2 == 0
    made = Quantiles(columns, outcome, np.ones(120), "linear", folds)
    plain = tail_out_of_fold(made, arm, 0.7, upper=True)
    moved = Quantiles(columns, outcome + 100.0 * (folds == 1), np.ones(120), "linear", folds)
    other = tail_out_of_fold(moved, arm, 0.7, upper=True)
    same = folds == 1
    np.testing.assert_allclose(other.quantile[same], plain.quantile[same])
    np.testing.assert_allclose(other.beyond[same], plain.beyond[same])
    assert np.abs(other.quantile[~same] - plain.quantile[~same]).min() > 1


@pytest.mark.parametrize(("scale", "shift"), [(1e12, 0.0), (1e-12, 0.0), (1.0, 1e8)])
def test_the_currency_of_the_outcome_makes_no_difference(scale, shift):
    """A predicted outcome of billions stands beside columns near one, which are no rounding."""
    rng = np.random.default_rng(6)
    columns = rng.normal(size=(300, 2))
    outcome = columns.sum(axis=1) + rng.normal(size=300)
    mean, arm, folds = (
        0.5 * columns[:, 0] + 0.1 * rng.normal(size=300),
        np.arange(300) < 200,
        np.arange(300) % 3,
    )

    def tail(by: float, more: float) -> Tail:
        seen = np.column_stack([more + by * mean, columns])
        made = Quantiles(seen, more + by * outcome, np.ones(300), "linear", folds)
        return tail_out_of_fold(made, arm, 0.7, upper=True)

    plain, other = tail(1.0, 0.0), tail(scale, shift)
    np.testing.assert_allclose((other.quantile - shift) / scale, plain.quantile, atol=1e-5)
    np.testing.assert_allclose(other.beyond / scale, plain.beyond, atol=1e-5)


def test_a_column_that_is_constant_in_an_arm_is_left_out():
    rng = np.random.default_rng(7)
    seen, outcome = rng.normal(size=(60, 1)), rng.normal(size=60)
    rows = np.arange(60)
    plain = Quantiles(seen, outcome, np.ones(60)).of(rows, 0.3)
    more = Quantiles(np.column_stack([seen, np.full(60, 0.1)]), outcome, np.ones(60)).of(rows, 0.3)
    np.testing.assert_allclose(more, plain, atol=1e-7)


@pytest.mark.parametrize("learner", ["linear", "boosting"])
def test_learned_quantiles_leave_their_share_below(learner):
    rng = np.random.default_rng(5)
    columns = rng.normal(size=(1500, 2))
    outcome = columns[:, 0] + rng.normal(size=1500)
    made = Quantiles(columns, outcome, np.ones(1500), learner, np.arange(1500) % 2)
    found = made.of(np.arange(1500), 0.75)
    assert abs((outcome < found).mean() - 0.75) < 0.05
    assert np.corrcoef(found, columns[:, 0])[0, 1] > 0.8
