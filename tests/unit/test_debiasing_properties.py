"""What must hold of corrections whatever the data: scales, order, weights, clusters; and traps to keep out of.

Two more, of the binned score against the exact one and of its speed, are where that score is tested.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec

SCORES = ("lindsey", "kde", "gaussian")
METHODS = ("lcc", "tweedie")
COLUMNS = {"prediction": "prediction", "truth": "truth"}


def _world(kind: str = "mixture", seed: int = 0, **asked: Any) -> Any:
    return ec.simulate_map(kind, **{"n": 1200, "n_calibration": 400, "seed": seed, **asked})


def _fix(table: pd.DataFrame, **asked: Any) -> ec.Corrector:
    return ec.debias(table, **COLUMNS, **{"method": "tweedie", **asked})


def _effects(made: Any, fix: ec.Corrector, **roles: str) -> pd.DataFrame:
    design = ec.Design(made.trial, outcome="prediction", treatment="treatment", **roles)
    return ec.ate(design, method="difference", correct=fix).to_frame().set_index("term")


@pytest.mark.parametrize("score", SCORES)
def test_a_map_without_error_is_left_as_it_is(score: str) -> None:
    made = _world()
    tiny = 1e-6 * np.random.default_rng(0).normal(size=len(made.calibration))
    exact = made.calibration.assign(truth=made.calibration["prediction"] + tiny)
    applied = _fix(exact, score=score).apply(made.trial["prediction"])
    for method in METHODS:
        np.testing.assert_allclose(applied[method], made.trial["prediction"], atol=1e-4)


@settings(max_examples=12, deadline=None)
@given(
    shift=st.floats(-50, 50),
    scale=st.floats(0.01, 100),
    score=st.sampled_from(SCORES),
    noise=st.sampled_from(["constant", "spline"]),
)
def test_another_unit_of_measurement_changes_nothing_but_the_unit(
    shift: float, scale: float, score: str, noise: str
) -> None:
    made = _world()
    calibration = made.calibration.assign(
        prediction=shift + scale * made.calibration["prediction"],
        truth=shift + scale * made.calibration["truth"],
    )
    other = _world()
    other.trial["prediction"] = shift + scale * made.trial["prediction"]
    plain, moved = (
        _effects(world, _fix(table, score=score, noise=noise))
        for world, table in ((made, made.calibration), (other, calibration))
    )
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(moved[column], scale * plain[column], rtol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_corrections_keep_the_mean(score: str) -> None:
    made = _world(n=20_000, n_calibration=20_000)
    # the density is that of these predictions, and the score of a density has mean zero over it
    applied = _fix(made.calibration, score=score).apply(made.calibration["prediction"])
    truth = made.calibration["truth"].mean()
    assert applied["lcc"].mean() == pytest.approx(truth, abs=1e-9)
    exact = 1e-9 if score == "gaussian" else 0.02
    assert applied["tweedie"].mean() == pytest.approx(truth, abs=exact)


@pytest.mark.parametrize("kind", ["gaussian", "mixture", "over_shrunk", "over_dispersed", "surrogate"])
def test_corrected_predictions_have_slope_one_on_the_calibrations_truth(kind: str) -> None:
    table = _world(kind, n_calibration=3000).calibration
    applied = _fix(table).apply(table["prediction"])
    slopes = {name: np.polyfit(table["truth"], applied[name], 1)[0] for name in METHODS}
    assert slopes["lcc"] == pytest.approx(1.0, abs=1e-12)
    # by the same sample Tweedie's has it but for what its density misses
    assert slopes["tweedie"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["mixture", "over_shrunk", "surrogate"])
def test_a_normal_score_makes_tweedie_lcc_to_machine_precision(kind: str) -> None:
    n = 700
    table = _world(kind, n_calibration=n).calibration
    fix = _fix(table, score="gaussian")
    y = table["prediction"].to_numpy()
    # variances divide by n - 2 and by n; apart from that both are one line
    factor = n / (n - 2)
    mean, slope = y.mean(), fix.b + (1 / fix.k - fix.b) * factor
    expected = fix.a + fix.b * mean + slope * (y - mean)
    np.testing.assert_allclose(fix.apply(y)["tweedie"], expected, rtol=1e-9)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("noise", ["constant", "spline"])
def test_the_order_of_rows_does_not_matter(score: str, noise: str) -> None:
    made = _world()
    rng = np.random.default_rng(3)
    plain = _effects(made, _fix(made.calibration, score=score, noise=noise))
    mixed = _world()
    shuffled = made.trial.iloc[rng.permutation(len(made.trial))].reset_index(drop=True)
    object.__setattr__(mixed, "trial", shuffled)
    table = made.calibration.iloc[rng.permutation(len(made.calibration))].reset_index(drop=True)
    other = _effects(mixed, _fix(table, score=score, noise=noise))
    np.testing.assert_allclose(other[["estimate", "std_error"]], plain[["estimate", "std_error"]], rtol=1e-8)


@pytest.mark.parametrize("score", ["lindsey", "gaussian"])
def test_rows_twice_with_half_the_weight_are_the_rows_once(score: str) -> None:
    made = _world()
    once = made.calibration.assign(weight=1.0, place=np.arange(400))
    twice = pd.concat([once.assign(weight=0.5)] * 2, ignore_index=True)
    first, second = (_fix(table, weights="weight", cluster="place", score=score) for table in (once, twice))
    assert (second.k, second.m, second.a, second.b) == pytest.approx((first.k, first.m, first.a, first.b))
    # their clusters are as many, so errors are those of the rows once; degrees of freedom aside
    assert second.std_errors["k"] == pytest.approx(first.std_errors["k"], rel=0.003)
    assert second.n_drawn == first.n_drawn == 400


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("noise", ["constant", "spline"])
def test_equal_weights_are_no_weights(score: str, noise: str) -> None:
    made = _world()
    plain = _effects(made, _fix(made.calibration, score=score, noise=noise))
    weighted = made.calibration.assign(weight=7.5)
    other = _effects(made, _fix(weighted, weights="weight", score=score, noise=noise))
    np.testing.assert_allclose(other[["estimate", "std_error"]], plain[["estimate", "std_error"]], rtol=1e-8)


def test_weights_bring_a_skewed_calibration_back() -> None:
    made = _world(n_calibration=100_000)
    rng = np.random.default_rng(4)
    chance = 1 / (1 + np.exp(-(made.calibration["truth"] - 7) / 4))
    kept = made.calibration.assign(weight=1 / chance)[rng.random(100_000) < chance]
    whole, skewed, weighed = (
        _fix(table, **asked) for table, asked in (
            (made.calibration, {}), (kept, {}), (kept, {"weights": "weight"})
        )
    )  # fmt: skip
    assert weighed.k == pytest.approx(whole.k, abs=4 * weighed.std_errors["k"])
    assert abs(skewed.k - whole.k) > 4 * skewed.std_errors["k"]


def test_a_score_for_each_arm_gives_the_naive_effect_back() -> None:
    made = _world(n=100_000, n_calibration=20_000)
    fix = _fix(made.calibration)
    arms = [made.trial["prediction"][made.trial["treatment"] == arm].to_numpy() for arm in (1, 0)]
    together = fix.score_for(made.trial["prediction"].to_numpy())
    apart = [fix.correct(one, score=fix.score_for(one)).mean() for one in arms]
    pooled = [fix.correct(one, score=together).mean() for one in arms]
    naive = fix.b * (arms[0].mean() - arms[1].mean())
    # within an arm its own score has mean zero, so nothing is corrected
    assert apart[0] - apart[1] == pytest.approx(naive, abs=0.03)
    assert pooled[0] - pooled[1] == pytest.approx(made.tweedie, abs=0.1)
    assert pooled[0] - pooled[1] > naive + 0.5


def test_effects_are_corrected_by_the_score_of_both_arms_together() -> None:
    made = _world(n=3000)
    fix = _fix(made.calibration)
    found = _effects(made, fix)
    # whoever is called treated, units keep their corrected values
    values = fix.correct(made.trial["prediction"], score=fix.score_for(made.trial["prediction"].to_numpy()))
    for treatment in (made.trial["treatment"], 1 - made.trial["treatment"]):
        by_hand = values[treatment == 1].mean() - values[treatment == 0].mean()
        flipped = _world(n=3000)
        flipped.trial["treatment"] = treatment
        assert _effects(flipped, fix).loc["tweedie", "estimate"] == pytest.approx(by_hand)
    assert found.loc["tweedie", "estimate"] == pytest.approx(
        values[made.trial["treatment"] == 1].mean() - values[made.trial["treatment"] == 0].mean()
    )


def test_contrasts_cut_from_predictions_speak_against_corrections_that_are_right() -> None:
    table = ec.simulate_map("gaussian", effect=0.0, n=20, n_calibration=200_000, seed=5).calibration
    fix = _fix(table)
    by = {
        name: table["prediction"] > table["prediction"].quantile(q)
        for name, q in (("median", 0.5), ("top", 0.9))
    }
    applied = fix.apply(table["prediction"])
    for above in by.values():
        true = table["truth"][above].mean() - table["truth"][~above].mean()
        shares = {
            name: (applied[name][above].mean() - applied[name][~above].mean()) / true
            for name in ("naive", "lcc", "tweedie")
        }
        assert shares["naive"] == pytest.approx(1.0, abs=0.02)
        assert shares["lcc"] == pytest.approx(1.5, abs=0.02)
        assert shares["tweedie"] == pytest.approx(1.5, abs=0.03)
    # cut from what was measured, the same map is right with a correction and wrong without
    above = table["truth"] > table["truth"].median()
    true = table["truth"][above].mean() - table["truth"][~above].mean()
    share = (applied["lcc"][above].mean() - applied["lcc"][~above].mean()) / true
    assert share == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("noise", ["constant", "spline"])
def test_predictions_far_beyond_the_calibration_are_moved_by_no_more_than_within(
    score: str, noise: str
) -> None:
    made = _world()
    fix = _fix(made.calibration, score=score, noise=noise)
    y = made.calibration["prediction"]
    away = np.array([y.min() - 100 * y.std(), y.max() + 100 * y.std()])
    applied = fix.apply(away)
    assert not applied["in_support"].any()
    moved = (applied["tweedie"] - (fix.a + fix.b * away)).abs()
    if score == "gaussian":
        # a normal score is a line without an end, which is what LCC is too
        np.testing.assert_allclose(applied["tweedie"], applied["lcc"], rtol=0.1)
        return
    within = (fix.apply(y)["tweedie"] - (fix.a + fix.b * y)).abs().max()
    assert moved.max() <= 1.5 * within


def test_without_the_slope_of_the_variance_the_mean_would_be_off() -> None:
    made = _world("heteroscedastic", n=20, n_calibration=100_000)
    table = made.calibration
    fix = _fix(table, noise="spline")
    values = table["prediction"].to_numpy()
    found = fix.apply(values)["tweedie"].mean()
    slope = fix.noise.slope(values).mean()
    assert found == pytest.approx(table["truth"].mean(), abs=0.005)
    # what would be missing
    assert slope / fix.b == pytest.approx(0.091, abs=0.01)
    spread = np.array([fix.noise.at(one)[()] for one in (-1.0, 0.0, 1.0)])
    np.testing.assert_allclose(spread, 0.3 + 0.15 * np.tanh([-1, 0, 1]), atol=0.02)


def test_clusters_drawn_anew_keep_how_often_they_were_drawn() -> None:
    made = _world("gaussian", n=600, n_calibration=100)
    tables = {}
    for times in (1, 3):
        trial, calibration = (
            pd.concat([one.assign(place=np.arange(len(one)))] * times, ignore_index=True)
            for one in (made.trial, made.calibration)
        )
        fix = _fix(calibration, cluster="place", score="gaussian")
        design = ec.Design(trial, outcome="prediction", treatment="treatment", cluster="place")
        tables[times] = ec.ate(design, method="difference", correct=fix)
    once, thrice = (one.refit_bootstrap(draws=50, seed=1) for one in tables.values())
    np.testing.assert_allclose(thrice.values[:2], once.values[:2])
    # drawn once each, they would lose a quarter of their error; three copies of a place are one place
    np.testing.assert_allclose(thrice.std_error, once.std_error, rtol=0.01)
    by_formula = tables[1].to_frame()["std_error"].to_numpy()
    np.testing.assert_allclose(once.std_error, by_formula, rtol=0.3)
    np.testing.assert_allclose(tables[3].to_frame()["std_error"], by_formula, rtol=0.02)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["gaussian", "mixture", "proxy", "surrogate"]))
def test_of_a_fixed_slope_lcc_has_the_t_value_of_naive(seed: int, kind: str) -> None:
    made = _world(kind, seed=seed)
    design = ec.Design(made.trial, outcome="prediction", treatment="treatment")
    table = ec.ate(design, method="difference", correct=_fix(made.calibration)).table().set_index("term")
    ratio = table.loc["lcc", ["estimate", "se_trial"]] / table.loc["naive", ["estimate", "se_trial"]]
    assert ratio["estimate"] == pytest.approx(ratio["se_trial"])
    assert table.loc["lcc", "std_error"] >= table.loc["lcc", "se_trial"]
