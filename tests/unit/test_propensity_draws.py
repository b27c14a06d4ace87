"""Bootstrap draws with the propensity fitted anew: each equals the slow way to the last digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from eocausal.inference.parametric import fit_propensity
from eocausal.sensitivities.propensity_draws import Propensity, drawn, newton
from eocausal.sensitivities.sharp_bounds import levels_of
from eocausal.sensitivities.tail_quantiles import Quantiles
from eocausal.sensitivities.weighted_bounds import SHARP, ZSB, WeightedBounds


def a_study(n: int = 160, seed: int = 0):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 2))
    treatment = (rng.uniform(size=n) < 1 / (1 + np.exp(-0.7 * columns[:, 0]))).astype(float)
    outcome = columns.sum(axis=1) + treatment + rng.normal(size=n)
    return columns, treatment, outcome, rng.uniform(0.5, 2, n)


def fitted(columns, treatment, weights, model: str) -> Propensity:
    found = fit_propensity(columns, treatment, weights, model=model)
    log_odds = np.log(found.propensity) - np.log1p(-found.propensity)
    return Propensity(log_odds, found.rows, model)


@pytest.mark.parametrize("model", ["logit", "probit", "balance ate", "balance att", "balance atc"])
def test_a_draw_has_the_propensity_of_a_fit_from_nothing(model):
    columns, treatment, _, weights = a_study()
    made = drawn(
        treatment, weights, fitted(columns, treatment, weights, model), np.arange(160), draws=8, seed=1
    )
    assert made.failed == 0
    for counts, (of_draw, log_odds) in zip(made.counts, made.each()):
        used = counts > 0
        np.testing.assert_allclose(of_draw, weights * counts)
        again = fit_propensity(columns[used], treatment[used], of_draw[used], model=model).propensity
        np.testing.assert_allclose(1 / (1 + np.exp(-log_odds[used])), again, atol=1e-8)


def by_programme(outcome, quantile, fixed, moving, bound, sign) -> float:
    balanced = np.array([moving, moving * quantile])
    found = linprog(
        -sign * moving * outcome, A_eq=balanced, b_eq=balanced.sum(axis=1), bounds=(1 / bound, bound)
    )
    weights = fixed + found.x * moving
    return float(weights @ outcome / weights.sum())


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_a_draw_has_the_bounds_of_a_linear_programme_on_the_rows_drawn(estimand):
    columns, treatment, outcome, weights = a_study()
    propensity = fitted(columns, treatment, weights, "logit")
    quantiles = Quantiles(columns, outcome, weights)
    bounds = WeightedBounds.of(
        outcome, treatment, weights, propensity.log_odds, estimand=estimand, quantiles=quantiles
    )
    made = drawn(treatment, weights, propensity, np.arange(160), draws=4, seed=2)
    found = bounds.drawn(made, np.array([2.5]), (SHARP,))[:, 0, 0]
    for place, counts in enumerate(made.counts):
        rows = np.repeat(np.arange(160), counts)  # the rows themselves, each as often as drawn
        e = fit_propensity(columns[rows], treatment[rows], weights[rows], model="logit").propensity
        means = {}
        for arm in (0, 1):
            own = treatment[rows] == arm
            odds = (e / (1 - e) if arm == 0 else (1 - e) / e)[own]
            weight, y = weights[rows][own], outcome[rows][own]
            target = {"ate": None, "att": 1, "atc": 0}[estimand]
            if arm == target:
                means[arm] = [np.average(y, weights=weight)] * 2
                continue
            fixed = weight * (estimand == "ate")
            arm_rows = np.flatnonzero(treatment == arm)
            means[arm] = []
            for level, sign in zip(levels_of(2.5), (-1, 1)):
                quantile = np.zeros(160)
                quantile[arm_rows] = quantiles.of(arm_rows, level)
                means[arm].append(by_programme(y, quantile[rows][own], fixed, weight * odds, 2.5, sign))
        expected = [means[1][0] - means[0][1], means[1][1] - means[0][0]]
        np.testing.assert_allclose(found[place], expected, atol=1e-6)


def test_sharp_bounds_lie_within_in_every_draw_and_begin_where_the_others_do():
    columns, treatment, outcome, weights = a_study()
    propensity = fitted(columns, treatment, weights, "logit")
    bounds = WeightedBounds.of(
        outcome, treatment, weights, propensity.log_odds, estimand="ate",
        quantiles=Quantiles(columns, outcome, weights),
    )  # fmt: skip
    made = drawn(treatment, weights, propensity, np.arange(160), draws=10, seed=0)
    found = bounds.drawn(made, np.array([1.0, 1.5, 4.0]), (ZSB, SHARP))
    np.testing.assert_allclose(found[:, 0, 0], found[:, 0, 1], atol=1e-10)
    assert (found[:, :, 0, 0] <= found[:, :, 1, 0] + 1e-8).all()
    assert (found[:, :, 0, 1] >= found[:, :, 1, 1] - 1e-8).all()


def test_whole_clusters_are_drawn_and_the_seed_decides():
    columns, treatment, _, weights = a_study()
    codes = np.arange(160) // 8
    propensity = fitted(columns, treatment, weights, "logit")
    made = drawn(treatment, weights, propensity, codes, draws=5, seed=3)
    assert made.counts.shape == (5, 20)
    assert (made.counts.sum(axis=1) == 20).all()
    for of_draw, _ in made.each():
        share = (of_draw / weights).reshape(20, 8)
        np.testing.assert_allclose(share, share[:, :1] * np.ones(8))
    again = drawn(treatment, weights, propensity, codes, draws=5, seed=3)
    assert made.coefficients.tobytes() == again.coefficients.tobytes()
    other = drawn(treatment, weights, propensity, codes, draws=5, seed=4)
    assert not np.array_equal(made.counts, other.counts)


def test_draws_that_columns_separate_are_counted():
    columns = np.array([[-2.0], [-1.5], [-1.0], [0.2], [-0.2], [1.0], [1.5], [2.0]])
    treatment = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    propensity = fitted(columns, treatment, np.ones(8), "logit")
    made = drawn(treatment, np.ones(8), propensity, np.arange(8), draws=40, seed=0)
    assert made.failed > 10
    assert len(made) == 40 - made.failed == len(made.coefficients)


def test_a_given_propensity_is_not_fitted():
    _, treatment, _, weights = a_study()
    log_odds = np.linspace(-1, 1, 160)
    made = drawn(treatment, weights, Propensity(log_odds), np.arange(160), draws=3, seed=0)
    for _, found in made.each():
        np.testing.assert_array_equal(found, log_odds)


def test_arms_that_are_apart_have_no_solution():
    rows = np.column_stack([np.ones(6), np.arange(6.0) - 2.5])
    treatment = (np.arange(6) > 2).astype(float)
    assert newton(rows, treatment, np.full(6, 1 / 6), np.zeros(2), model="logit") is None
