"""Gains over budgets with several arms: maq's numbers, linear programmes, QINI for one arm, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import linprog

import eocausal as ec
from eocausal.effects.arm_effects import ArmEffects
from eocausal.errors import EstimationError, EvaluationError
from eocausal.evaluate.budget_path import budget_path
from eocausal.evaluate.toc import rank, rates_and_toc

BUDGETS = np.array([0.25, 0.5, 0.8, 1.0, 5.0])
# maq 0.2.2 (C++ core) on the table below: gains at BUDGETS
MAQ = {
    "by unit": [0.37566666666666665, 0.49045171339563864, 0.5495538057742784, 0.6058732876712329, 0.765],
    "by arm": [0.3729166666666666, 0.42666666666666664, 0.6255, 0.5675, 0.765],
}
MAQ_UNTARGETED = {
    "by unit": [-0.032527007984969464, -0.06505401596993893, -0.10408642555190228, -0.13010803193987786,
                -0.23083333333333336],
    "by arm": [-0.028854166666666667, -0.057708333333333334, -0.09233333333333334, -0.11541666666666667,
               -0.23083333333333336],
}  # fmt: skip
MAQ_SPENT = {"by unit": 1.4191666666666665, "by arm": 1.5}


def _table() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(20231)
    reward = np.round(rng.normal(0.3, 1, (12, 3)), 2)
    cost = np.round(rng.uniform(0.5, 3, (12, 3)), 2)
    score = np.round(reward + rng.normal(0, 1.0, (12, 3)), 2)
    return reward, {"by unit": cost, "by arm": np.tile([1.0, 2.0, 3.5], (12, 1))}, score


@pytest.mark.parametrize("costs", list(MAQ))
def test_gains_are_those_of_maq(costs: str) -> None:
    reward, cost, score = _table()
    gains, spent = budget_path(reward, cost[costs]).gains(score, np.ones(12), BUDGETS)
    assert gains == pytest.approx(MAQ[costs], abs=1e-12)
    assert spent[-1] == pytest.approx(MAQ_SPENT[costs], abs=1e-12)
    plain = budget_path(reward.mean(axis=0)[None], cost[costs].mean(axis=0)[None])
    gains, _ = plain.gains(score.mean(axis=0)[None], np.ones(1), BUDGETS)
    assert gains == pytest.approx(MAQ_UNTARGETED[costs], abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_plans_solve_the_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_arms = 7, 4
    reward, cost = rng.normal(0.2, 1, (n, n_arms)), rng.uniform(0.2, 2, (n, n_arms))
    weights = rng.uniform(0.5, 2, n)
    share = (weights / weights.sum())[:, None]
    path = budget_path(reward, cost)
    for budget in (0.05, 0.3, 0.7, 2.0):
        best = linprog(
            -(share * reward).ravel(),
            A_ub=np.vstack([(share * cost).ravel(), np.kron(np.eye(n), np.ones(n_arms))]),
            b_ub=np.r_[budget, np.ones(n)],
        )
        # judged by the predictions themselves, the gain is the optimum
        gain, _ = path.gains(reward, weights, np.array([budget]))
        assert gain[0] == pytest.approx(-best.fun, abs=1e-9)


def test_with_one_arm_the_curve_is_the_toc_and_the_area_qini() -> None:
    rng = np.random.default_rng(3)
    priority, score = np.exp(rng.normal(size=300)), rng.normal(size=300)
    grid = np.arange(1, 11) / 10
    rates, toc = rates_and_toc(rank(priority), score, np.ones(300), grid=grid, integration="exact")
    path = budget_path(priority[:, None], np.ones((300, 1)))
    gains, _ = path.gains(score[:, None], np.ones(300), grid)
    assert gains == pytest.approx(grid * (toc + score.mean()), abs=1e-12)
    fine = np.arange(301) / 300
    targeted, _ = path.gains(score[:, None], np.ones(300), fine)
    assert np.trapezoid(targeted - fine * score.mean(), fine) == pytest.approx(rates[1], abs=1e-12)


def test_ties_have_no_order_and_weights_are_copies() -> None:
    rng = np.random.default_rng(4)
    reward, cost = np.round(rng.normal(0.3, 1, (40, 2)), 0), np.tile([1.0, 2.0], (40, 1))
    score, weights = rng.normal(size=(40, 2)), rng.integers(1, 4, size=40).astype(float)
    budgets = np.array([0.1, 0.33, 0.9])
    gains, _ = budget_path(reward, cost).gains(score, weights, budgets)
    turned = rng.permutation(40)
    again, _ = budget_path(reward[turned], cost[turned]).gains(score[turned], weights[turned], budgets)
    copies = np.repeat(np.arange(40), weights.astype(int))
    copied, _ = budget_path(reward[copies], cost[copies]).gains(score[copies], np.ones(copies.size), budgets)
    assert gains == pytest.approx(again, abs=1e-12)
    assert gains == pytest.approx(copied, abs=1e-12)


def _study(n: int = 600) -> ec.Design:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"aid": np.tile(["none", "cash", "training"], n // 3), "village": np.arange(n) // 6})
    table[["age", "rain"]] = rng.normal(size=(n, 2))
    gain = (table["aid"] == "cash") * table["age"] + (table["aid"] == "training") * (0.3 + table["rain"])
    table["income"] = gain + rng.normal(size=n)
    return ec.Design(
        table, outcome="income", treatment="aid", treatment_type="categorical", control="none",
        covariates=["age", "rain"], cluster="village",
    )  # fmt: skip


@pytest.fixture(scope="module")
def effects() -> ArmEffects:
    return ec.arm_effects(_study(), learner="linear", folds=ec.Folds(k=3))


def test_effects_of_arms_are_those_of_the_arms_alone(effects: ArmEffects) -> None:
    design = _study()
    data = design.table.covariates
    assert np.corrcoef(effects.effect_values[:, 0], data[:, 0])[0, 1] > 0.9
    assert np.corrcoef(effects.effect_values[:, 1], data[:, 1])[0, 1] > 0.9
    average = ec.ate(design, folds=ec.Folds(k=3))
    assert effects.average.values == pytest.approx(average.values, abs=1e-12)
    assert effects.average.variance.matrix == pytest.approx(average.variance.matrix, rel=1e-9)
    assert np.isnan(effects.sequential_values).all(axis=1).sum() == (effects.folds == 0).sum()
    assert type(effects).from_dict(effects.to_dict(scores=True)) == effects


def test_units_do_not_reach_their_own_effects(effects: ArmEffects) -> None:
    design = _study()
    own = effects.folds == 2
    table = design.data.copy()
    rows = np.flatnonzero(own)
    table.loc[table.index[design.table.rows[rows]], "income"] += 100.0
    moved = ec.arm_effects(
        ec.Design(
            table, outcome="income", treatment="aid", treatment_type="categorical", control="none",
            covariates=["age", "rain"], cluster="village",
        ),
        learner="linear", folds=ec.Folds(k=3),
    )  # fmt: skip
    assert (moved.folds == effects.folds).all()
    assert np.abs(moved.effect_values[own] - effects.effect_values[own]).max() < 1e-10
    assert np.abs(moved.effect_values[~own] - effects.effect_values[~own]).max() > 1.0
    earlier = ~own & ~np.isnan(effects.sequential_values[:, 0])
    assert np.abs(moved.sequential_values[earlier] - effects.sequential_values[earlier]).max() < 1e-10


def test_targeting_by_true_modifiers_pays(effects: ArmEffects) -> None:
    found = ec.multi_arm_qini(effects, cost={"cash": 1.0, "training": 2.0}, replicates=200)
    assert found.area["estimate"] > 4 * found.area["std_error"]
    assert found.n == (effects.folds > 0).sum()
    curve = found.curve
    assert np.allclose(curve["gain"] - curve["untargeted"], curve["difference"])
    assert type(found).from_dict(found.to_dict()) == found
    by_unit = pd.DataFrame({"training": 2.0, "cash": 1.0}, index=effects.ids[::-1])
    assert ec.multi_arm_qini(effects, cost=by_unit, replicates=200) == found
    assert "mean difference over budgets" in found.summary()
    assert found.plot().get_xlabel().startswith("budget")


def test_intervals_are_of_the_t_distribution_and_warnings_of_the_effects_are_kept(
    effects: ArmEffects,
) -> None:
    told = replace(effects, average=replace(effects.average, warnings=("few units got cash",)))
    found = ec.multi_arm_qini(told, cost={"cash": 1.0, "training": 2.0}, replicates=200)
    assert found.warnings[0] == "few units got cash"
    assert found.assumptions[0] == effects.assumptions[0]
    smallest = min(np.unique(effects.group_codes[effects.folds == fold]).size for fold in (1, 2))
    curve, area = found.curve, found.area
    half = stats.t.ppf(0.975, smallest - 1) * curve["gain_std_error"]
    assert (curve["gain_conf_high"] - curve["gain"]).tolist() == pytest.approx(half.tolist())
    assert area["p_value"] == pytest.approx(
        2 * stats.t.sf(area["estimate"] / area["std_error"], smallest - 1)
    )


def test_arms_that_are_numbers_have_costs_by_number() -> None:
    table = _study().data.assign(aid=np.tile([0, 1, 2], 200))
    design = ec.Design(
        table, outcome="income", treatment="aid", treatment_type="categorical", control=0, covariates=["age"]
    )
    found = ec.arm_effects(design, learner="linear", folds=ec.Folds(k=3))
    by_number = ec.multi_arm_qini(found, cost={2: 2.0, 1: 1.0}, replicates=50)
    assert by_number == ec.multi_arm_qini(found, cost={"1": 1.0, "2": 2.0}, replicates=50)


def test_a_cate_is_one_arm() -> None:
    design = _study().pair("cash")
    found = ec.cate(design, learner="linear", folds=ec.Folds(k=3))
    curve = ec.multi_arm_qini(found, budgets=[0.5], replicates=50).curve
    assert len(curve) == 1
    assert curve["gain"].item() > curve["untargeted"].item()


BAD = {
    "cost of another arm": ({"cost": {"cash": 1.0, "food": 2.0}}, r"Costs are of \['cash', 'food'\]"),
    "free arm": ({"cost": {"cash": 0.0, "training": 2.0}}, r"zero or less[\s\S]*cost > 0"),
    "units without cost": (
        {"cost": pd.DataFrame({"cash": [1.0], "training": [1.0]}, index=[0])}, r"no row, or several",
    ),
    "cost for all": ({"cost": 2.0}, r"cost is a float[\s\S]*cost=\{'arm': 2.0"),
    "text as a cost": ({"cost": {"cash": "much", "training": 2.0}}, r"cost of 'cash' is not numeric"),
    "no cost": ({"cost": {"cash": None, "training": 2.0}}, r"missing, infinite"),
    "text as a budget": ({"budgets": "much"}, r"budgets is not numeric"),
    "budget of nothing": ({"budgets": [0.0, 1.0]}, r"not positive numbers"),
    "few replicates": ({"replicates": 5}, r"replicates"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_planned_is_refused(effects: ArmEffects, case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(EvaluationError, match=words):
        ec.multi_arm_qini(effects, **options)


def test_other_sources_and_doses_are_refused(effects: ArmEffects) -> None:
    with pytest.raises(EvaluationError, match=r"got a DataFrame[\s\S]*ec.arm_effects"):
        ec.multi_arm_qini(effects.effects)
    table = _study().data.assign(hours=np.linspace(0, 3, 600))
    dose = ec.Design(
        table, outcome="income", treatment="hours", treatment_type="continuous", covariates=["age"]
    )
    with pytest.raises(EstimationError, match="dose_response"):
        ec.arm_effects(dose)


def test_two_arms_and_arms_too_small_for_the_folds_are_refused() -> None:
    table = _study().data
    two = ec.Design(
        table.assign(got=(table["aid"] != "none").astype(int)),
        outcome="income",
        treatment="got",
        covariates=["age"],
    )
    with pytest.raises(EstimationError, match=r"treatment is binary[\s\S]*ec.cate\(design\)"):
        ec.arm_effects(two)
    small = table[(table["aid"] != "cash") | (np.arange(600) < 12)]
    design = ec.Design(
        small,
        outcome="income",
        treatment="aid",
        treatment_type="categorical",
        control="none",
        covariates=["age"],
    )
    with pytest.raises(EstimationError, match=r"With 5 folds[\s\S]*\(cash: [01]\)[\s\S]*fewer folds"):
        ec.arm_effects(design, folds=ec.Folds(k=5))
