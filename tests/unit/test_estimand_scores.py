"""Scores of the four averages: by hand, in a world small enough to enumerate, and by weighing single units."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from eocausal.inference import scores
from eocausal.inference.entropy import EXACT, balanced_means, out_of_reach, tilted_weights
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.tilting import ESTIMANDS, TILTS, balancing_weights

each = pytest.mark.parametrize("estimand", ESTIMANDS)

# Three kinds of place: how common they are, how often treated, and what they earn in each arm.
SHARE = np.array([0.5, 0.3, 0.2])
CHANCE = np.array([0.2, 0.5, 0.7])
CONTROL = np.array([1.0, -2.0, 0.5])
TREATED = np.array([2.0, 1.0, 0.0])
KIND, ARM = (np.array(axis) for axis in zip(*itertools.product(range(3), (0, 1))))
CELL = SHARE[KIND] * np.where(ARM == 1, CHANCE[KIND], 1 - CHANCE[KIND])
MEAN = np.where(ARM == 1, TREATED[KIND], CONTROL[KIND])


def _truth(estimand: str) -> float:
    tilt = SHARE * TILTS[estimand](CHANCE)
    return float(tilt @ (TREATED - CONTROL) / tilt.sum())


def _moment(estimand: str, chance: np.ndarray, control: np.ndarray, treated: np.ndarray) -> ScoredEstimate:
    """The estimate in the whole population, whose cells are weighed by their probability."""
    numerator, share = scores.augmented(
        MEAN, ARM.astype(float), estimand=estimand,
        propensity=chance[KIND], outcome_control=control[KIND], outcome_treated=treated[KIND],
    )  # fmt: skip
    return scores.ratio_of_means(numerator, share, CELL)


def test_the_four_averages_differ_in_this_world() -> None:
    found = [_truth(estimand) for estimand in ESTIMANDS]
    # by hand: gaps 1, 3, -0.5; tilts share x (1, e, 1 - e, e (1 - e))
    assert found[0] == pytest.approx(0.5 + 0.9 - 0.1)
    assert found[1] == pytest.approx((0.1 + 0.45 - 0.07) / (0.1 + 0.15 + 0.14))
    assert found[2] == pytest.approx((0.4 + 0.45 - 0.03) / (0.4 + 0.15 + 0.06))
    assert found[3] == pytest.approx((0.08 + 0.225 - 0.021) / (0.08 + 0.075 + 0.042))


@each
def test_right_nuisances_give_the_truth(estimand: str) -> None:
    assert _moment(estimand, CHANCE, CONTROL, TREATED).estimate == pytest.approx(_truth(estimand), rel=1e-12)


@each
def test_the_right_propensity_is_enough(estimand: str) -> None:
    wrong = _moment(estimand, CHANCE, np.array([3.0, 0.0, 1.0]), np.array([-1.0, 4.0, 2.0]))
    assert wrong.estimate == pytest.approx(_truth(estimand), rel=1e-12)


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_the_right_outcomes_are_enough(estimand: str) -> None:
    wrong = _moment(estimand, np.array([0.6, 0.3, 0.4]), CONTROL, TREATED)
    assert wrong.estimate == pytest.approx(_truth(estimand), rel=1e-12)


@each
@pytest.mark.parametrize("nuisance", [0, 1, 2])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_small_errors_in_a_nuisance_matter_only_to_second_order(
    estimand: str, nuisance: int, kind: int
) -> None:
    def shifted(by: float) -> float:
        parts = [CHANCE.copy(), CONTROL.copy(), TREATED.copy()]
        parts[nuisance][kind] += by
        return _moment(estimand, *parts).estimate

    assert (shifted(1e-4) - shifted(-1e-4)) / 2e-4 == pytest.approx(0, abs=1e-6)


def test_the_plain_tilt_of_the_overlap_is_not_insensitive() -> None:
    """What the term in h' is for: with h(e) alone, an error in the propensity moves the estimate."""

    def plain(by: float) -> float:
        chance = CHANCE + np.array([by, 0.0, 0.0])
        tilt = SHARE * TILTS["ato"](chance)
        return float(tilt @ (TREATED - CONTROL) / tilt.sum())

    assert abs(plain(1e-4) - plain(-1e-4)) / 2e-4 > 0.1


def _draw(seed: int, n: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 2))
    propensity = 1 / (1 + np.exp(-0.5 * columns[:, 0]))
    treatment = (rng.uniform(size=n) < propensity).astype(float)
    outcome = columns @ [1.0, -0.5] + treatment * (1 + columns[:, 0]) + rng.normal(size=n)
    return {
        "outcome": outcome, "treatment": treatment, "weights": rng.uniform(0.5, 2, size=n),
        "propensity": propensity, "columns": columns,
        "control": columns[:, 0] + 0.1, "treated": 1 + 1.5 * columns[:, 0],
    }  # fmt: skip


@each
@pytest.mark.parametrize("seed", range(3))
def test_augmented_scores_in_a_loop(estimand: str, seed: int) -> None:
    d = _draw(seed)
    numerator, share = scores.augmented(
        d["outcome"], d["treatment"], estimand=estimand, propensity=d["propensity"],
        outcome_control=d["control"], outcome_treated=d["treated"],
    )  # fmt: skip
    slope = {"ate": lambda e: 0.0, "att": lambda e: 1.0, "atc": lambda e: -1.0, "ato": lambda e: 1 - 2 * e}
    for i in range(60):
        t, e, y = d["treatment"][i], d["propensity"][i], d["outcome"][i]
        m0, m1 = d["control"][i], d["treated"][i]
        h = float(TILTS[estimand](np.array([e]))[0])
        part = h + slope[estimand](e) * (t - e)
        top = part * (m1 - m0) + h * (t * (y - m1) / e - (1 - t) * (y - m0) / (1 - e))
        assert share[i] == pytest.approx(part, rel=1e-12, abs=1e-14)
        assert numerator[i] == pytest.approx(top, rel=1e-11, abs=1e-13)


def test_the_overlap_score_is_the_residual_regression_of_robinson() -> None:
    d = _draw(5)
    e = d["propensity"]
    residual_treatment = d["treatment"] - e
    residual_outcome = d["outcome"] - e * d["treated"] - (1 - e) * d["control"]
    slope = (residual_treatment @ residual_outcome) / (residual_treatment @ residual_treatment)
    parts = scores.augmented(
        d["outcome"], d["treatment"], estimand="ato", propensity=e,
        outcome_control=d["control"], outcome_treated=d["treated"],
    )  # fmt: skip
    assert scores.ratio_of_means(*parts, np.ones(60)).estimate == pytest.approx(slope, rel=1e-12)


def test_weights_of_the_estimands_by_hand() -> None:
    t, e = np.array([1.0, 0.0]), np.array([0.25, 0.25])
    hand = {"ate": [4, 4 / 3], "att": [1, 1 / 3], "atc": [3, 1], "ato": [0.75, 0.25]}
    for estimand, expected in hand.items():
        np.testing.assert_allclose(balancing_weights(t, e, estimand), expected, rtol=1e-12)


def _balanced(d: dict[str, np.ndarray], weights: np.ndarray, estimand: str) -> ScoredEstimate:
    t, x = d["treatment"], d["columns"]
    target = {"ate": np.ones_like(t), "att": t, "atc": 1 - t}[estimand]
    centre = (weights * target) @ x / (weights * target).sum()
    found = [
        None
        if np.array_equal(target == 1, t == arm)
        else tilted_weights(x[t == arm] - centre, weights[t == arm])
        for arm in (0, 1)
    ]
    return balanced_means(d["outcome"], t, weights, columns=x, target=target, balanced=found)


def _augmented(d: dict[str, np.ndarray], weights: np.ndarray, estimand: str) -> ScoredEstimate:
    parts = scores.augmented(
        d["outcome"], d["treatment"], estimand=estimand, propensity=d["propensity"],
        outcome_control=d["control"], outcome_treated=d["treated"],
    )  # fmt: skip
    return scores.ratio_of_means(*parts, weights)


def _hajek(d: dict[str, np.ndarray], weights: np.ndarray, estimand: str) -> ScoredEstimate:
    tilted = weights * TILTS[estimand](d["propensity"])
    return scores.hajek(d["outcome"], d["treatment"], tilted, propensity=d["propensity"])


def _regression(d: dict[str, np.ndarray], weights: np.ndarray, estimand: str) -> ScoredEstimate:
    target = {"ate": None, "att": d["treatment"], "atc": 1 - d["treatment"]}[estimand]
    return scores.regression(d["outcome"], d["treatment"], weights, covariates=d["columns"], target=target)


WAYS: list[tuple[Callable[..., ScoredEstimate], str]] = [
    *[(way, estimand) for way in (_augmented, _hajek) for estimand in ESTIMANDS],
    *[(way, estimand) for way in (_balanced, _regression) for estimand in ("ate", "att", "atc")],
]


@pytest.mark.parametrize(("way", "estimand"), WAYS)
@pytest.mark.parametrize("seed", range(2))
def test_an_influence_value_is_what_a_little_more_weight_on_the_unit_does(
    way: Callable[..., ScoredEstimate], estimand: str, seed: int
) -> None:
    d = _draw(seed)
    whole = way(d, d["weights"], estimand)
    assert whole.scores.mean() == pytest.approx(0, abs=1e-10)
    for unit in range(0, 60, 7):
        step = np.zeros(60)
        step[unit] = 1e-4 * d["weights"][unit]
        more, less = (way(d, d["weights"] + sign * step, estimand).estimate for sign in (1, -1))
        assert 60 * (more - less) / 2e-4 == pytest.approx(whole.scores[unit], rel=1e-4, abs=1e-5)


def test_the_regression_effect_on_the_treated_is_their_mean_minus_what_the_controls_predict() -> None:
    d = _draw(2)
    t, x, y = d["treatment"] == 1, np.column_stack([np.ones(60), d["columns"]]), d["outcome"]
    slope = np.linalg.lstsq(x[~t], y[~t])[0]
    found = _regression(d, np.ones(60), "att")
    assert found.estimate == pytest.approx(y[t].mean() - (x[t] @ slope).mean(), rel=1e-12)


def test_balancing_one_indicator_is_poststratification() -> None:
    x = np.array([0.0, 0, 0, 1, 1])
    weights = tilted_weights((x - 0.7)[:, None], np.ones(5))
    np.testing.assert_allclose(weights, [0.1, 0.1, 0.1, 0.35, 0.35], rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_balancing_weights_meet_the_conditions_of_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns, base = rng.normal(size=(80, 5)) + 0.3, rng.uniform(0.5, 2, size=80)
    weights = tilted_weights(columns, base)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert np.abs(weights @ columns).max() <= EXACT
    # the logarithm of weight over base is linear in the columns: what a minimum of this convex problem must be
    rows = np.column_stack([np.ones(80), columns])
    logs = np.log(weights / base)
    np.testing.assert_allclose(rows @ np.linalg.lstsq(rows, logs)[0], logs, atol=1e-9)


def test_weights_that_do_not_exist_are_none_and_the_columns_are_named() -> None:
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(size=50), rng.uniform(0.1, 1, size=50), rng.normal(size=50)])
    assert tilted_weights(columns, np.ones(50)) is None
    assert out_of_reach(columns).tolist() == [False, True, False]


def test_repeated_columns_are_balanced_too() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=(60, 1)) + 0.2
    weights = tilted_weights(np.column_stack([one, one, -2 * one]), np.ones(60))
    np.testing.assert_allclose(weights, tilted_weights(one, np.ones(60)), rtol=1e-7)


def test_far_targets_are_reached_without_overflow() -> None:
    columns = np.linspace(-0.001, 40, 200)[:, None]
    weights = tilted_weights(columns, np.ones(200))
    assert np.abs(weights @ columns).max() <= EXACT
    assert weights[0] > 0.99
