"""Measures of predictions, against loops, statsmodels and what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from eocausal.evaluate.prediction_measures import (
    Ranked,
    Smoother,
    log_loss,
    logit,
    measures_of,
    outcome_r2,
    recalibration,
    roc_curve,
)
from eocausal.evaluate.roc import auc_by_fold


def _world(n: int = 400, seed: int = 0, stretch: float = 1.0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    treatment = (rng.uniform(size=n) < expit(x)).astype(float)
    return expit(stretch * np.round(x, 1)), treatment, rng.integers(0, 4, n), rng.uniform(0.2, 2, n)


@pytest.mark.parametrize("seed", range(3))
def test_the_sorted_auc_is_the_one_by_fold_under_any_weights(seed: int) -> None:
    predicted, treatment, folds, weights = _world(seed=seed)
    ranked = Ranked.of(predicted, treatment, folds)
    for one in (weights, np.ones(weights.size), weights * (folds != 2)):
        expected = auc_by_fold(predicted, treatment, folds, one).estimate
        assert ranked.auc(one) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(ranked.auc(treatment))


def test_the_area_under_the_curve_is_the_auc() -> None:
    predicted, treatment, folds, weights = _world()
    grid = np.linspace(0, 1, 20_001)
    curve = roc_curve(predicted, treatment, folds, weights, grid)
    area = np.trapezoid(curve, grid)
    assert area == pytest.approx(Ranked.of(predicted, treatment, folds).auc(weights), abs=1e-5)
    assert (np.diff(curve) >= -1e-12).all()


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_recalibration_is_that_of_two_logistic_regressions(stretch: float) -> None:
    predicted, treatment, _, weights = _world(stretch=stretch)
    logits = logit(predicted)
    intercept, slope = recalibration(logits, treatment, weights)
    family = sm.families.Binomial()
    both = sm.GLM(treatment, sm.add_constant(logits), family=family, freq_weights=weights).fit()
    one = sm.GLM(treatment, np.ones_like(logits), family=family, freq_weights=weights, offset=logits).fit()
    assert slope == pytest.approx(both.params[1], rel=1e-6)
    assert intercept == pytest.approx(one.params[0], abs=1e-6)


def test_recalibration_of_one_prediction_for_all_has_no_slope() -> None:
    intercept, slope = recalibration(np.zeros(8), np.array([1.0] * 6 + [0.0] * 2), np.ones(8))
    assert intercept == pytest.approx(np.log(3))
    assert np.isnan(slope)
    separated = recalibration(np.linspace(-1, 1, 10), (np.arange(10) > 4).astype(float), np.ones(10))
    assert np.isnan(separated[1])
    nearly = 1e-3 * np.random.default_rng(0).normal(size=8)
    assert np.isnan(recalibration(nearly, np.tile([0.0, 1], 4), np.ones(8))[1])


@pytest.mark.parametrize("guess", [(0.0, 1.0), (3.0, -5.0), (float("nan"), float("nan"))])
def test_recalibration_ends_at_the_maximum_where_whole_steps_leap_over_it(guess: tuple[float, float]) -> None:
    logits = np.array([-6.75, 0.01, 0.02, 0.03, 0.0, -5.45, -5.93, -5.35, -6.12, 0.92, 0.01, 0.02])
    treatment = np.array([0.0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1])
    found = recalibration(logits, treatment, np.ones(12), start=guess)
    both = sm.GLM(treatment, sm.add_constant(logits), family=sm.families.Binomial()).fit(tol=1e-12)
    assert found[1] == pytest.approx(both.params[1], abs=1e-7)
    # with the slope at 1 as many are treated as predicted
    assert expit(logits + found[0]).sum() == pytest.approx(treatment.sum(), abs=1e-6)


@pytest.mark.parametrize("stretch", [1.0, 2.0])
def test_the_smooth_curve_is_that_of_lowess(stretch: float) -> None:
    from statsmodels.nonparametric.smoothers_lowess import lowess

    predicted, treatment, _, _ = _world(3000, stretch=stretch)
    predicted = predicted + 1e-4 * np.random.default_rng(0).normal(size=3000)
    smooth = lowess(treatment, predicted, frac=0.75, it=0, return_sorted=False)
    found = Smoother.of(predicted, treatment).ici(np.ones(3000))
    assert found == pytest.approx(np.abs(smooth - predicted).mean(), abs=1e-3)


def test_the_index_of_constant_predictions_is_their_distance_from_the_share() -> None:
    treatment = np.array([1.0, 1, 1, 0])
    found = Smoother.of(np.full(4, 0.5), treatment)
    assert found.ici(np.ones(4)) == pytest.approx(0.25)
    assert found.ici(np.array([1.0, 0, 0, 3])) == pytest.approx(0.25)


def test_losses_and_r2_by_hand() -> None:
    treatment, weights = np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 2, 1])
    expected = -(np.log(0.8) + np.log(0.7) + 2 * np.log(0.5) + np.log(0.9)) / 5
    assert log_loss(np.array([0.8, 0.3, 0.5, 0.1]), treatment, weights) == pytest.approx(expected)
    outcome = np.array([4.0, 1, 7, 3])
    # weighted means of the arms are 6 and 2
    total = (4 - 6) ** 2 + 2 * (7 - 6) ** 2 + (1 - 2) ** 2 + (3 - 2) ** 2
    guess = np.array([5.0, 2, 7, 2])
    assert outcome_r2(outcome, guess, treatment, weights) == pytest.approx(1 - (1 + 1 + 0 + 1) / total)
    assert outcome_r2(outcome, outcome, treatment, weights) == 1.0


def test_skill_is_the_share_of_the_constant_loss_that_is_saved() -> None:
    predicted, treatment, folds, weights = _world()
    constant = np.full(treatment.size, 0.5)
    found = measures_of(predicted, constant, treatment, folds, (treatment, treatment))(weights)
    assert found["skill"] == pytest.approx(1 - found["log_loss"] / np.log(2))
    none = measures_of(constant, constant, treatment, folds, (treatment, treatment))(weights)
    assert (none["skill"], none["auc"]) == (0.0, pytest.approx(0.5))
