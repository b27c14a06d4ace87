"""What judges effects, against closed forms: many units with known effects, so that only sampling error is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from tests.judged import drawn_cate, given_cate

N = 20_000


@pytest.fixture(scope="module")
def exact() -> ec.Cate:
    """Effects N(0, 1) at the quantiles of their distribution, in two folds that are alike, without noise."""
    effect = np.repeat(stats.norm.ppf((np.arange(N // 2) + 0.5) / (N // 2)), 2)
    treatment = np.tile([0, 1, 1, 0], N // 4)
    table = pd.DataFrame({"treatment": treatment, "outcome": effect * (treatment - 0.5)})
    return given_cate(
        table,
        effects=effect,
        outcome_mean=np.zeros(N),
        propensity=np.full(N, 0.5),
        folds=np.tile([0, 1], N // 2),
        sequential=effect,
    )


@pytest.mark.parametrize(
    ("k", "expected"), [(4, [-1.27111, -0.32466, 0.32466, 1.27111]), (5, [-1.39981, -0.53190, 0, 0.53190, 1.39981])]
)  # fmt: skip
def test_averages_of_perfect_groups_of_normal_effects(exact: ec.Cate, k: int, expected: list[float]) -> None:
    found = ec.groups(exact, k=k, effects="out_of_fold")
    np.testing.assert_allclose(found.estimate[:k], expected, atol=5e-4)
    if k == 4:
        # the criterion by which learners are chosen: the mean square of group averages
        assert np.mean(found.estimate[:k] ** 2) == pytest.approx(0.860559, abs=5e-4)


def test_calibration_r2_of_right_halved_reversed_and_vanishing_predictions(exact: ec.Cate) -> None:
    for factor, expected in ((1.0, 1.0), (0.5, 0.5), (-1.0, -1.0), (1e-9, 0.0)):
        found = ec.groups(replace(exact, effect_values=factor * exact.effect_values), effects="out_of_fold")
        assert found.calibration_r2 == pytest.approx(expected, abs=1e-3)


def test_the_slope_of_calibration_is_how_much_predictions_shrink() -> None:
    for shrunk, expected in ((1.0, 1.0), (0.5, 2.0), (-1.0, -1.0)):
        found = ec.calibration(drawn_cate(1, n=N, shrunk=shrunk, noise=0.1))
        assert found.estimate[1] == pytest.approx(expected, rel=0.03)
        assert found.estimate[0] == pytest.approx(1.0, rel=0.03)


def test_the_projection_on_a_noisy_view_of_effects_has_the_slope_of_their_covariance() -> None:
    rng = np.random.default_rng(99)
    cate = drawn_cate(2, n=N, noise=0.1)
    effect = cate.effect_values - 1
    view = pd.Series(0.3 + 0.5 * effect + np.sqrt(0.75) * rng.normal(size=N), index=cate.ids, name="view")
    found = ec.best_linear_projection(cate, on=view)
    # covariance 0.5, variance 1
    assert found.estimate[1] == pytest.approx(0.5, abs=4 * found.std_error[1])
    assert found.std_error[1] < 0.01


def test_the_r_loss_beyond_that_of_the_truth_is_the_weighted_square_of_the_error() -> None:
    rng = np.random.default_rng(3)
    effect = rng.normal(size=N)
    treatment = (rng.uniform(size=N) < 0.3).astype(int)
    table = pd.DataFrame(
        {"treatment": treatment, "outcome": effect * (treatment - 0.3) + 0.1 * rng.normal(size=N)}
    )
    truth = given_cate(
        table, effects=effect, outcome_mean=np.zeros(N), propensity=np.full(N, 0.3), folds=np.arange(N) % 5
    )
    wrong = replace(truth, effect_values=0.5 * effect + 0.2)
    found = ec.effect_losses({"truth": truth, "wrong": wrong})
    excess = -found.differences("R-loss").estimate[0]
    # e (1 - e) E[(effect / 2 - 0.2)^2] = 0.21 (0.25 + 0.04)
    assert excess == pytest.approx(0.0609, abs=4 * found.differences("R-loss").std_error[0])
    assert found.differences("R-loss").std_error[0] < 0.002
    assert -found.differences("DR-loss").estimate[0] == pytest.approx(0.29, abs=0.03)


def test_the_value_of_the_top_of_normal_effects() -> None:
    cate = drawn_cate(4, n=N, noise=0.1)
    found = ec.policy_value(cate, shares=[0.1, 0.2, 0.5], cost=1.0)
    # cost takes away the average effect: share x TOC, which is the normal density at the cut
    np.testing.assert_allclose(found.estimate, [0.1754983, 0.2799620, 0.3989423, 0.0], atol=0.03)
    table = found.table().set_index(["against", "share"])["estimate"]
    assert table["random", 0.5] == pytest.approx(0.3989423, abs=0.03)
