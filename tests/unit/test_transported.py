"""The average effect in a target from scores of a study: strata by hand, and what weights must not do."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.inference.scores import mean_of_scores
from eocausal.inference.transported import doubly_robust_transport, inverse_odds


def _two_strata(seed: int = 0):
    """30 units in stratum 0 and 10 in stratum 1; the target has 20 and 60."""
    rng = np.random.default_rng(seed)
    stratum, there = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [20, 60])
    odds = np.array([20 / 30, 60 / 10])[stratum]
    return stratum, there, odds, rng.normal(size=40) + 3 * stratum


def test_with_exact_odds_of_two_strata_both_forms_are_the_strata_means_by_shares_of_the_target() -> None:
    stratum, there, odds, scores = _two_strata()
    by_hand = 0.25 * scores[stratum == 0].mean() + 0.75 * scores[stratum == 1].mean()
    means = np.array([scores[stratum == 0].mean(), scores[stratum == 1].mean()])
    assert inverse_odds(scores, odds, n_target=80).estimate == pytest.approx(by_hand, abs=1e-12)
    for predicted in (means, np.array([5.0, -2.0])):
        made = doubly_robust_transport(
            scores, predicted[stratum], odds, target_effects=predicted[there], target_weights=np.ones(80)
        )
        # the odds are exact, so the predictions do not matter
        assert made.estimate == pytest.approx(by_hand, abs=1e-12)


def test_with_strata_means_as_predictions_the_variance_is_that_of_poststratification() -> None:
    stratum, there, odds, scores = _two_strata()
    means = np.array([scores[stratum == 0].mean(), scores[stratum == 1].mean()])
    made = doubly_robust_transport(
        scores, means[stratum], odds, target_effects=means[there], target_weights=np.ones(80)
    )
    within = [scores[stratum == one].var() / (stratum == one).sum() for one in (0, 1)]
    by_hand = 0.25**2 * within[0] + 0.75**2 * within[1]
    assert (made.scores**2).sum() / 40**2 == pytest.approx(by_hand, rel=1e-12)
    between = 0.25 * 0.75 * (means[1] - means[0]) ** 2 / 80
    assert (made.parts**2).sum() == pytest.approx(between, rel=1e-12)


def test_where_study_and_target_are_one_sample_it_is_the_aipw_estimate_with_its_influence() -> None:
    rng = np.random.default_rng(1)
    scores, predicted, weights = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.5, 2, size=50)
    made = doubly_robust_transport(
        scores, predicted, weights, target_effects=predicted, target_weights=weights
    )
    known = mean_of_scores(scores, weights)
    assert made.estimate == pytest.approx(known.estimate, abs=1e-13)
    np.testing.assert_allclose(made.scores + 50 * made.parts, known.scores, atol=1e-12)


@pytest.mark.parametrize("factor", [0.01, 7.0])
def test_odds_matter_up_to_a_factor(factor: float) -> None:
    rng = np.random.default_rng(2)
    scores, predicted, odds = rng.normal(size=30), rng.normal(size=30), rng.uniform(0.1, 4, size=30)
    asked = {"target_effects": rng.normal(size=20), "target_weights": np.ones(20)}
    one = doubly_robust_transport(scores, predicted, odds, **asked)
    other = doubly_robust_transport(scores, predicted, factor * odds, **asked)
    assert other.estimate == pytest.approx(one.estimate, abs=1e-12)
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-12)


def test_influence_values_are_the_derivatives_of_the_estimate() -> None:
    rng = np.random.default_rng(3)
    scores, predicted, odds = rng.normal(size=25), rng.normal(size=25), rng.uniform(0.1, 4, size=25)
    there, weights = rng.normal(size=15), rng.uniform(1, 2, size=15)

    def estimate(own: np.ndarray, other: np.ndarray) -> float:
        return doubly_robust_transport(
            scores, predicted, odds * own, target_effects=there, target_weights=weights * other
        ).estimate

    made = doubly_robust_transport(scores, predicted, odds, target_effects=there, target_weights=weights)
    step = 1e-6
    for unit in range(25):
        more = np.ones(25)
        more[unit] += step
        slope = (estimate(more, np.ones(15)) - estimate(np.ones(25), np.ones(15))) / step
        assert slope == pytest.approx(made.scores[unit] / 25, abs=1e-5)
    for place in range(15):
        more = np.ones(15)
        more[place] += step
        slope = (estimate(np.ones(25), more) - estimate(np.ones(25), np.ones(15))) / step
        assert slope == pytest.approx(made.parts[place], abs=1e-5)


def test_a_unit_that_weighs_nothing_has_no_influence() -> None:
    made = inverse_odds(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 0.0]), n_target=2)
    assert (made.estimate, made.scores[2]) == (1.5, 0.0)
    assert made.parts.tolist() == [0.0, 0.0]
