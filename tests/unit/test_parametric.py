"""Propensities with coefficients against statsmodels; what their error does to estimates, by weighing units."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from eocausal.inference import scores
from eocausal.inference.parametric import FittedPropensity, dependent_columns, fit_propensity
from eocausal.inference.stacked import arm_mean, expanded_difference, normalised_difference, stack
from eocausal.inference.tilting import (
    ESTIMANDS,
    TILT_SLOPES,
    TILTS,
    balancing_slopes,
    balancing_weights,
    stabilised_weights,
)

MODELS = ["logit", "probit", *(f"balance {estimand}" for estimand in ESTIMANDS)]
DIFFERENCES = {"normalised": normalised_difference, "expanded": expanded_difference}


def _sample(n: int = 150, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 3)) * [1.0, 20.0, 0.01] + [0.0, 500.0, 3.0]
    index = 0.6 * columns[:, 0] - 0.03 * (columns[:, 1] - 500) - 0.3
    treatment = (rng.logistic(size=n) < index).astype(float)
    outcome = columns[:, 0] + 2 * treatment * columns[:, 0] + rng.normal(size=n)
    return columns, treatment, outcome, rng.uniform(0.5, 2.0, size=n)


@pytest.mark.parametrize(
    ("model", "link"), [("logit", sm.families.links.Logit()), ("probit", sm.families.links.Probit())]
)
def test_likelihood_agrees_with_statsmodels_with_sampling_weights(model: str, link: object) -> None:
    columns, treatment, _, weights = _sample()
    glm = sm.GLM(
        treatment, sm.add_constant(columns), family=sm.families.Binomial(link=link), freq_weights=weights
    ).fit(tol=1e-13, maxiter=200)
    fitted = fit_propensity(columns, treatment, weights, model=model)
    np.testing.assert_allclose(fitted.propensity, glm.predict(), rtol=1e-8)


@pytest.mark.parametrize("model", ["logit", "probit"])
def test_coefficients_have_the_robust_covariance_of_statsmodels(model: str) -> None:
    columns, treatment, _, _ = _sample()
    fitted = fit_propensity(columns, treatment, np.ones(150), model=model)
    discrete = {"logit": sm.Logit, "probit": sm.Probit}[model]
    found = discrete(treatment, fitted.rows).fit(disp=False, tol=1e-12, maxiter=200, cov_type="HC0")
    covariance = fitted.influence.T @ fitted.influence / 150**2
    np.testing.assert_allclose(covariance, found.cov_params(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_balancing_logits_balance_every_column_exactly(estimand: str) -> None:
    columns, treatment, _, weights = _sample()
    fitted = fit_propensity(columns, treatment, weights, model=f"balance {estimand}")
    each = weights * balancing_weights(treatment, fitted.propensity, estimand)
    gaps = (each * (2 * treatment - 1)) @ fitted.rows / each.sum()
    assert np.abs(gaps).max() < 1e-13


def test_overlap_weights_of_a_logit_by_likelihood_balance_exactly() -> None:
    columns, treatment, _, weights = _sample()
    fitted = fit_propensity(columns, treatment, weights, model="logit")
    each = weights * balancing_weights(treatment, fitted.propensity, "ato")
    means = [np.average(fitted.rows, axis=0, weights=each * (treatment == arm)) for arm in (0, 1)]
    np.testing.assert_allclose(means[1], means[0], atol=1e-14)
    same = fit_propensity(columns, treatment, weights, model="balance ato")
    np.testing.assert_array_equal(same.propensity, fitted.propensity)


def _estimate(model: str, estimand: str, how: str, sample: tuple[np.ndarray, ...]) -> scores.ScoredEstimate:
    columns, treatment, outcome, weights = sample
    fitted = fit_propensity(columns, treatment, weights, model=model)
    scored, pull = DIFFERENCES[how](
        outcome, treatment, weights, propensity=fitted.propensity, estimand=estimand
    )
    return stack(scored, pull, fitted)


@pytest.mark.parametrize("how", list(DIFFERENCES))
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("model", MODELS)
def test_influence_values_are_what_one_unit_more_does(model: str, estimand: str, how: str) -> None:
    """A unit that weighs a little more moves all that is fitted, and the estimate, by its influence value."""
    columns, treatment, outcome, weights = _sample(90)
    found = _estimate(model, estimand, how, (columns, treatment, outcome, weights))
    assert found.scores.mean() == pytest.approx(0, abs=1e-9)
    for unit in (0, 7, 31, 89):
        moved = []
        for step in (1e-5, -1e-5):
            changed = weights.copy()
            changed[unit] += step * weights[unit]
            moved.append(_estimate(model, estimand, how, (columns, treatment, outcome, changed)).estimate)
        assert found.scores[unit] == pytest.approx(90 * (moved[0] - moved[1]) / 2e-5, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("how", list(DIFFERENCES))
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_pulls_are_derivatives_by_the_propensity_of_each_unit(estimand: str, how: str) -> None:
    _, treatment, outcome, weights = _sample(40)
    propensity = np.random.default_rng(1).uniform(0.2, 0.8, size=40)

    def estimate(at: np.ndarray) -> float:
        return DIFFERENCES[how](outcome, treatment, weights, propensity=at, estimand=estimand)[0].estimate

    pull = DIFFERENCES[how](outcome, treatment, weights, propensity=propensity, estimand=estimand)[1]
    for unit in range(0, 40, 9):
        step = 1e-6 * (np.arange(40) == unit)
        by_hand = (estimate(propensity + step) - estimate(propensity - step)) / 2e-6
        assert pull[unit] == pytest.approx(by_hand, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_slopes_are_derivatives(estimand: str) -> None:
    e, step = np.array([0.1, 0.4, 0.4, 0.85]), 1e-6
    t = np.array([0.0, 1.0, 0.0, 1.0])
    tilt = (TILTS[estimand](e + step) - TILTS[estimand](e - step)) / (2 * step)
    np.testing.assert_allclose(TILT_SLOPES[estimand](e), tilt, rtol=1e-8, atol=1e-10)
    weight = balancing_weights(t, e + step, estimand) - balancing_weights(t, e - step, estimand)
    np.testing.assert_allclose(balancing_slopes(t, e, estimand), weight / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_normalised_difference_is_hajek_and_expanded_one_the_augmented_score_without_predictions(
    estimand: str,
) -> None:
    _, treatment, outcome, weights = _sample(60)
    propensity = np.random.default_rng(1).uniform(0.2, 0.8, size=60)
    options = {"propensity": propensity, "estimand": estimand}
    tilted = weights * TILTS[estimand](propensity)
    hajek = scores.hajek(outcome, treatment, tilted, propensity=propensity)
    found = normalised_difference(outcome, treatment, weights, **options)[0]
    assert found.estimate == pytest.approx(hajek.estimate, rel=1e-12)
    np.testing.assert_allclose(found.scores, hajek.scores, rtol=1e-10, atol=1e-12)
    if estimand == "ato":
        return
    zero = np.zeros(60)
    numerator, share = scores.augmented(
        outcome, treatment, outcome_control=zero, outcome_treated=zero, **options
    )
    augmented = scores.ratio_of_means(numerator, share, weights)
    found = expanded_difference(outcome, treatment, weights, **options)[0]
    assert found.estimate == pytest.approx(augmented.estimate, rel=1e-12)
    np.testing.assert_allclose(found.scores, augmented.scores, rtol=1e-10, atol=1e-12)


def test_expanded_difference_in_the_overlap_by_hand() -> None:
    y, t, e = np.array([2.0, 4.0, 1.0]), np.array([1.0, 1.0, 0.0]), np.array([0.5, 0.8, 0.25])
    # (0.5 x 2 + 0.2 x 4 - 0.25 x 1) / (0.25 + 0.16 + 0.1875)
    found = expanded_difference(y, t, np.ones(3), propensity=e, estimand="ato")[0]
    assert found.estimate == pytest.approx(1.55 / 0.5975, rel=1e-12)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_stabilised_weights_have_mean_one_where_the_propensity_is_right(estimand: str) -> None:
    # two kinds of place in their exact shares: 4 units with propensity 1/4, 4 with 3/4
    t = np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    e = np.repeat([0.25, 0.75], 4)
    found = stabilised_weights(t, e, estimand, weights=np.ones(8))
    assert found[t == 1].mean() == pytest.approx(1, rel=1e-12)
    assert found[t == 0].mean() == pytest.approx(1, rel=1e-12)


def test_a_wrong_propensity_shows_in_the_mean_of_stabilised_weights() -> None:
    t = np.array([1.0, 0, 0, 0])
    found = stabilised_weights(t, np.full(4, 0.5), "ate", weights=np.ones(4))
    assert found.tolist() == [0.5, 1.5, 1.5, 1.5]


@pytest.mark.parametrize("model", MODELS)
def test_arms_that_columns_tell_apart_have_no_solution(model: str) -> None:
    columns, treatment, _, weights = _sample()
    apart = np.column_stack([columns, np.where(treatment == 1, 5.0, -5.0) + columns[:, 0] / 10])
    assert fit_propensity(apart, treatment, weights, model=model) is None


@pytest.mark.parametrize("model", MODELS)
def test_a_category_of_one_arm_alone_has_no_solution(model: str) -> None:
    columns, treatment, _, weights = _sample()
    alone = ((treatment == 1) & (np.arange(150) % 3 == 0)).astype(float)
    assert fit_propensity(np.column_stack([columns, alone]), treatment, weights, model=model) is None


@pytest.mark.parametrize("model", MODELS)
def test_scale_and_origin_of_columns_do_not_matter(model: str) -> None:
    columns, treatment, _, weights = _sample()
    one = fit_propensity(columns, treatment, weights, model=model)
    other = fit_propensity(
        columns * [1e6, -1e-4, 3.0] + [5.0, 1e3, -7.0], treatment, weights * 40, model=model
    )
    np.testing.assert_allclose(other.propensity, one.propensity, rtol=1e-7)


def test_mean_of_one_arm_with_what_the_propensity_does_to_it() -> None:
    fitted = FittedPropensity(
        np.array([0.5, 0.5]), np.ones((2, 1)), np.array([0.25, 0.25]), np.array([[2.0], [-2.0]])
    )
    scored, pull = arm_mean(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([0.0, 4.0]))
    assert scored.estimate == 2
    assert pull.tolist() == [0.0, 2.0]  # 4 (3 - 2) / 2
    # influence 2 and -2 of a coefficient that moves the mean by 2 x 0.25
    np.testing.assert_allclose(stack(scored, pull, fitted).scores, [-1 + 1, 1 - 1])
    assert stack(scored, pull, fitted).n_params == 2


def test_dependent_columns_are_found() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert dependent_columns(x) == []
    assert dependent_columns(np.column_stack([x, x @ [1.0, 2.0]]))[0] in (0, 1, 2)
    assert dependent_columns(np.column_stack([x, np.full(20, 3.0)]))[0] in (-1, 2)
