"""Calibrations read, correctors fitted, written and applied; effects corrected: by hand, and with bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.corrector import OWN_DENSITY_FROM
from eocausal.debiasing.linear_fit import line
from eocausal.errors import DebiasError, DesignError, EstimationError

COLUMNS = {"prediction": "map", "truth": "wealth"}


def places(n: int = 400, seed: int = 0, noise: float = 0.7) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    mapped = rng.normal(size=n)
    table = pd.DataFrame({"map": mapped, "wealth": mapped + noise * rng.normal(size=n)})
    table["village"] = np.arange(n) // 5
    table["share"] = rng.uniform(0.5, 2, size=n)
    table.index = [f"p{one}" for one in range(n)]
    return table


def trial(n: int = 900, effect: float = 0.5, seed: int = 1) -> ec.Design:
    rng = np.random.default_rng(seed)
    treated = rng.integers(0, 2, size=n)
    wealth = effect * treated + rng.normal(size=n) * np.sqrt(1.49)
    k = 1 / 1.49
    table = pd.DataFrame({"aid": treated, "map": k * wealth + np.sqrt(k * 0.49) * rng.normal(size=n)})
    table["village"] = np.arange(n) // 3
    table["age"] = rng.normal(size=n)
    return ec.Design(table, outcome="map", treatment="aid", covariates=["age"])


def test_both_lines_are_those_of_the_worked_example() -> None:
    # five labelled pairs: the slope 23/37 and the intercept 30/37
    truth, mapped = np.array([1.0, 2, 3, 4, 6]), np.array([1.5, 1.5, 3.5, 3, 4.5])
    fit = line(mapped, truth, np.ones(5))
    assert fit.slope == pytest.approx(0.6216216216, abs=1e-10)
    assert fit.intercept == pytest.approx(0.8108108108, abs=1e-10)
    assert np.std(mapped - truth) == pytest.approx(0.8)


def test_a_line_with_noise_taken_off_has_the_influence_of_leaving_places_out() -> None:
    table = places(300)
    mapped, truth, w = (table[name].to_numpy() for name in ("map", "wealth", "share"))
    fit = line(mapped, truth, w, noise_in_on=0.2)
    step = 1e-6
    for row in (0, 17, 299):
        moved = w.copy()
        moved[row] += step * w.mean()
        again = line(mapped, truth, moved, noise_in_on=0.2)
        # one unit of weight more moves the estimate by its influence value over n, per unit of its own weight
        assert 300 * (again.slope - fit.slope) / step * w[row] / w.mean() == pytest.approx(
            fit.scores[row, 0], rel=1e-3, abs=1e-5
        )
        assert 300 * (again.intercept - fit.intercept) / step * w[row] / w.mean() == pytest.approx(
            fit.scores[row, 1], rel=1e-3, abs=1e-5
        )


def test_a_corrector_holds_the_lines_and_the_variance_that_hand_computation_gives() -> None:
    table = places()
    fix = ec.debias(table, **COLUMNS, method="lcc")
    forward = np.polyfit(table["wealth"], table["map"], 1)
    back = np.polyfit(table["map"], table["wealth"], 1)
    assert (fix.k, fix.m) == pytest.approx(tuple(forward))
    assert (fix.b, fix.a) == pytest.approx(tuple(back))
    residual = table["wealth"] - np.polyval(back, table["map"])
    assert fix.noise.coefficients[0] == pytest.approx((residual**2).sum() / (len(table) - 2))
    assert fix.r2 == pytest.approx(np.corrcoef(table["map"], table["wealth"])[0, 1] ** 2)
    made = fix.apply(table["map"])
    assert list(made) == ["naive", "lcc", "tweedie", "causal", "display", "in_support"]
    assert np.polyfit(table["wealth"], made["lcc"], 1)[0] == pytest.approx(1.0)
    assert made["display"].between(*fix.truth_range).all()
    assert made.index.equals(table.index)


def test_a_normal_density_makes_both_corrections_one_map() -> None:
    table = places(2000)
    fix = ec.debias(table, **COLUMNS, method="tweedie", score="gaussian")
    values = np.linspace(-3, 3, 7)
    v, s2 = table["map"].var(ddof=0), fix.noise.coefficients[0]
    expected = fix.a + fix.b * values + s2 / fix.b * (values - table["map"].mean()) / v
    assert fix.correct(values) == pytest.approx(expected, rel=1e-9)
    # the same slope but for the degrees of freedom of the variance
    assert fix.correct(values) == pytest.approx(fix.correct(values, method="lcc"), abs=0.01)


def test_without_recalibration_the_prediction_is_taken_as_it_is() -> None:
    table = places()
    fix = ec.debias(table, **COLUMNS, method="tweedie", recalibrate=False)
    assert (fix.a, fix.b) == (0.0, 1.0)
    assert fix.std_errors["b"] == 0
    off = table["wealth"] - table["map"]
    assert fix.noise.coefficients[0] == pytest.approx(off.var(ddof=1))


def test_label_noise_is_taken_off_both_corrections() -> None:
    table = places(3000)
    noisy = table.assign(wealth=table["wealth"] + 0.6 * np.random.default_rng(3).normal(size=len(table)))
    clean, told, untold = (
        ec.debias(table, **COLUMNS, method="lcc"),
        ec.debias(noisy, **COLUMNS, method="lcc", label_noise_var=0.36),
        ec.debias(noisy, **COLUMNS, method="lcc"),
    )
    assert told.k == pytest.approx(clean.k, abs=0.03)
    assert told.noise.coefficients[0] == pytest.approx(clean.noise.coefficients[0], abs=0.05)
    assert untold.k < clean.k - 0.1


def test_clusters_widen_the_error_of_the_slope_and_are_counted() -> None:
    table = places(400)
    shock = np.repeat(np.random.default_rng(5).normal(size=80), 5)
    together = table.assign(wealth=table["wealth"] + shock, map=table["map"] + shock)
    alone = ec.debias(together, **COLUMNS, method="lcc")
    clustered = ec.debias(together, **COLUMNS, method="lcc", cluster="village")
    assert clustered.n_drawn == 80
    assert clustered.std_errors["k"] > 1.3 * alone.std_errors["k"]
    few = ec.debias(together.assign(village=np.arange(400) // 20), **COLUMNS, method="lcc", cluster="village")
    assert any("20 clusters" in text for text in few.warnings)


def test_a_written_corrector_says_the_same_and_holds_no_outcome(tmp_path: Path) -> None:
    table = places()
    fix = ec.debias(table, **COLUMNS, method="tweedie", noise="spline")
    path = fix.to_json(tmp_path / "fix.json")
    again = ec.Corrector.from_json(path)
    values = np.linspace(-2, 2, 9)
    assert again.correct(values) == pytest.approx(fix.correct(values), rel=1e-12)
    assert again.key == fix.key
    assert again.sample is None
    assert ec.Corrector.from_dict(fix.to_dict(scores=True)) == fix
    numbers = _numbers(json.loads(path.read_text()))
    assert not numbers & set(table["wealth"])
    assert fix.truth_range[0] < table["wealth"].min() < table["wealth"].max() < fix.truth_range[1]
    with pytest.raises(DebiasError, match="read from a file"):
        again.diagnose()


def _numbers(content: object) -> set[float]:
    if isinstance(content, dict):
        return set().union(*(_numbers(one) for one in content.values()))
    if isinstance(content, list):
        return set().union(*(_numbers(one) for one in content))
    return {float(content)} if isinstance(content, int | float) else set()


def test_corrected_effects_are_the_naive_one_over_k_and_that_on_corrected_outcomes() -> None:
    fix = ec.debias(places(), **COLUMNS, method="lcc")
    design = trial()
    found = ec.ate(design, method="difference", correct=fix)
    naive = ec.ate(design, method="difference")
    assert found.terms == ("naive", "lcc", "tweedie")
    assert found.estimate[0] == naive.estimate
    assert found.std_error[0] == pytest.approx(naive.std_error)
    assert found.estimate[1] == pytest.approx(naive.estimate / fix.k)
    # the delta method by hand
    by_hand = np.hypot(naive.std_error / fix.k, naive.estimate * fix.std_errors["k"] / fix.k**2)
    assert found.std_error[1] == pytest.approx(by_hand)
    y = design.table.outcome
    score = fix.score_for(y, design.table.weights)
    shifted = fix.correct(y, method="tweedie", score=score)
    treated = design.table.treatment == 1
    assert found.estimate[2] == pytest.approx(shifted[treated].mean() - shifted[~treated].mean())
    assert found.chosen == "lcc"
    assert found.best.estimate == found.estimate[1]
    parts = found.table()
    assert (parts["se_trial"] ** 2 + parts["se_calibration"] ** 2).to_numpy() == pytest.approx(
        parts["std_error"].to_numpy() ** 2
    )


def test_few_predictions_are_corrected_by_the_density_of_the_calibration() -> None:
    fix = ec.debias(places(), **COLUMNS, method="tweedie")
    few = ec.ate(trial(OWN_DENSITY_FROM - 1), method="difference", correct=fix)
    many = ec.ate(trial(OWN_DENSITY_FROM), method="difference", correct=fix)
    assert few.diagnostics["density_of"] == "the calibration"
    assert many.diagnostics["density_of"] == "these predictions, arms together"


@pytest.mark.parametrize("method", ["aipw", "ipw", "regression", "partially_linear", "cbps"])
def test_every_method_can_be_corrected(method: str) -> None:
    fix = ec.debias(places(), **COLUMNS, method="lcc")
    design = trial()
    found = ec.ate(design, method=method, correct=fix)
    naive = ec.ate(design, method=method)
    assert found.estimate[0] == pytest.approx(naive.estimate)
    assert found.estimate[2] == pytest.approx(found.estimate[1], rel=0.25)
    assert (np.asarray(found.std_error) > 0).all()


def test_predictions_beyond_what_the_calibration_saw_are_told() -> None:
    fix = ec.debias(places(), **COLUMNS, method="lcc")
    design = trial().with_changed_outcome(lambda values: 3 * values)
    found = ec.ate(design, method="difference", correct=fix)
    assert any("lie outside of what the calibration saw" in text for text in found.warnings)
    assert found.diagnostics["variance_ratio"] == pytest.approx(
        design.table.outcome.var() / places()["map"].var(ddof=0), rel=1e-6
    )
    assert any("lcc and Tweedie cannot both be right" in text for text in found.warnings)
    same = ec.ate(trial(), method="difference", correct=fix)
    assert not any("cannot both be right" in text for text in same.warnings)


def test_a_changed_outcome_reaches_the_data_that_is_read_anew() -> None:
    design = trial()
    doubled = design.with_changed_outcome(lambda values: 2 * values)
    assert doubled.table.outcome == pytest.approx(2 * design.table.outcome)
    assert doubled.unadjusted().table.outcome == pytest.approx(2 * design.table.outcome)
    assert ec.ate(design, method="difference").estimate * 2 == ec.ate(doubled, method="difference").estimate


def test_rows_that_trained_the_map_are_left_out_and_counted() -> None:
    table = places(200).assign(seen=[True] * 50 + [False] * 150)
    fix = ec.debias(table, **COLUMNS, method="lcc", trained_on="seen")
    assert fix.n == 150
    assert any("50 places that the map was trained on are left out" in text for text in fix.warnings)


BAD = {
    "no table": (lambda t: t["map"], {}, DebiasError, "a pandas DataFrame"),
    "no column": (lambda t: t.rename(columns={"map": "mapp"}), {}, DebiasError, "mapp"),
    "short": (lambda t: t.iloc[:29], {}, DebiasError, "29 places"),
    "missing": (lambda t: t.assign(wealth=t["wealth"].mask(t["map"] > 2)), {}, DebiasError, "dropna"),
    "infinite": (lambda t: t.assign(map=t["map"].where(t["map"] < 2, np.inf)), {}, DesignError, "infinite"),
    "text": (lambda t: t.assign(map="rich"), {}, DesignError, "not numeric"),
    "constant": (lambda t: t.assign(map=1.0), {}, DebiasError, "same value everywhere: 1"),
    "reversed": (lambda t: t.assign(map=-t["map"]), {}, DebiasError, "opposite directions"),
    "useless": (
        lambda t: t.assign(map=np.random.default_rng(9).normal(size=len(t))),
        {},
        DebiasError,
        "hardly follow",
    ),
    "all trained on": (lambda t: t.assign(seen=1), {"trained_on": "seen"}, DebiasError, "out of fold"),
    "trained on what": (lambda t: t.assign(seen=2), {"trained_on": "seen"}, DebiasError, "true or false"),
    "weights": (lambda t: t.assign(share=-1.0), {"weights": "share"}, DesignError, "must be positive"),
    "clusters": (
        lambda t: t.assign(village=t["village"].mask(t["map"] > 2)),
        {"cluster": "village"},
        DesignError,
        "missing for some units",
    ),
    "noise": (lambda t: t, {"label_noise_var": 99.0}, DebiasError, "less noise than variance"),
    "noise sign": (lambda t: t, {"label_noise_var": -1.0}, DebiasError, "0 or above"),
    "method": (lambda t: t, {"method": "twedie"}, DebiasError, "tweedie"),
    "score": (lambda t: t, {"score": "kernel"}, DebiasError, "score"),
    "option": (lambda t: t, {"bandwidth": 1}, DebiasError, "no option of this name"),
    "recalibrate": (lambda t: t, {"recalibrate": 1}, DebiasError, "True or False"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_calibrations_are_refused(case: str) -> None:
    spoil, options, error, text = BAD[case]
    with pytest.raises(error, match=text):
        ec.debias(spoil(places()), **{**COLUMNS, "method": "lcc", **options})


def test_other_units_are_told() -> None:
    table = places().assign(map=lambda t: 100 * t["map"])
    fix = ec.debias(table, **COLUMNS, method="lcc")
    assert any("same unit" in text for text in fix.warnings)


def test_what_cannot_be_corrected_is_refused() -> None:
    fix = ec.debias(places(), **COLUMNS, method="lcc")
    design = trial()
    with pytest.raises(EstimationError, match=r"ec\.debias"):
        ec.ate(design, correct=0.7)
    with pytest.raises(EstimationError, match="repeated folds"):
        ec.ate(design, correct=fix, folds=ec.Folds(repeats=2))
    with pytest.raises(EstimationError, match="depends on where the outcome is zero"):
        ec.ate(design, method="horvitz_thompson", correct=fix)
    arms = pd.DataFrame({"aid": ["a", "b", "c"] * 40, "map": np.random.default_rng(0).normal(size=120)})
    several = ec.Design(arms, outcome="map", treatment="aid", treatment_type="categorical", control="a")
    with pytest.raises(EstimationError, match=r"design\.pair"):
        ec.ate(several, method="difference", correct=fix)
    with pytest.raises(DebiasError, match=r"prediction is missing for 1 places[\s\S]*Where: 1 \(1\)"):
        fix.apply(pd.Series([1.0, np.nan]))
    with pytest.raises(DebiasError, match="cannot be read as a corrector"):
        ec.Corrector.from_json("nowhere.json")


def test_a_tile_where_all_predictions_are_one_number_is_corrected_like_any_other() -> None:
    fix = ec.debias(places(), **COLUMNS, method="tweedie")
    made = fix.apply(np.full(OWN_DENSITY_FROM, 1.5))
    assert made["causal"].tolist() == pytest.approx(fix.correct([1.5] * OWN_DENSITY_FROM).tolist())


def surveyed(kind: str, seed: int = 4) -> tuple[pd.DataFrame, ec.Design]:
    """A trial whose units are places of the calibration: the survey was made in it."""
    made = ec.simulate_map(kind=kind, n=3000, seed=seed)
    table = made.trial.set_axis([f"v{one}" for one in range(3000)])
    return table, ec.Design(table, outcome="prediction", treatment="treatment")


@pytest.mark.parametrize(("kind", "believed"), [("gaussian", "lcc"), ("surrogate", "naive")])
def test_labels_of_the_study_decide_where_the_calibration_holds_them(kind: str, believed: str) -> None:
    table, design = surveyed(kind)
    fix = ec.debias(table.iloc[::2], prediction="prediction", truth="outcome")
    assert fix.method == "none"
    found = ec.ate(design, method="difference", correct=fix)
    assert found.chosen == believed
    assert "1500 places of the calibration are units of the study" in found.corrector.reasons[0]
    # the verdict without arms is not told beside that of labels, whose own warning is
    assert any("nothing tells whether" in text for text in fix.warnings)
    assert not any("nothing tells whether" in text for text in found.warnings)
    assert any("would overshoot" in text for text in found.warnings) == (believed == "naive")
    assert any(
        "1500 places of the calibration are units of the study: what their" in w for w in found.warnings
    )
    # what was asked for stands, and other places of the same names say nothing
    asked = ec.debias(table.iloc[::2], prediction="prediction", truth="outcome", method="tweedie")
    assert ec.ate(design, method="difference", correct=asked).chosen == "tweedie"
    strangers = table.iloc[::2].assign(prediction=table["prediction"].iloc[::2].to_numpy()[::-1].copy())
    strangers["outcome"] = strangers["prediction"] + strangers["outcome"].std() * 0.5
    away = ec.debias(strangers, prediction="prediction", truth="outcome")
    assert ec.ate(design, method="difference", correct=away).corrector.reasons == away.reasons


@pytest.mark.parametrize("decimals", [1, 0])
def test_rows_of_two_tables_that_are_numbered_alike_are_no_labels_of_the_study(decimals: int) -> None:
    trial, other = (
        ec.simulate_map(kind="gaussian", n=2000, seed=seed).trial.reset_index(drop=True) for seed in (4, 5)
    )
    for table in (trial, other):
        table["prediction"] = table["prediction"].round(decimals)
    alike = int((trial["prediction"] == other["prediction"]).sum())
    assert alike > 50
    fix = ec.debias(other, prediction="prediction", truth="outcome")
    design = ec.Design(trial, outcome="prediction", treatment="treatment")
    found = ec.ate(design, method="difference", correct=fix)
    assert found.corrector.reasons == fix.reasons
    assert not any("names of the study" in text for text in found.warnings)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_places_in_both_that_have_numbers_for_names_are_counted(precision: str) -> None:
    table, _ = surveyed("gaussian")
    table = table.reset_index(drop=True)
    design = ec.Design(table.astype({"prediction": precision}), outcome="prediction", treatment="treatment")
    fix = ec.debias(table.iloc[::2], prediction="prediction", truth="outcome")
    found = ec.ate(design, method="difference", correct=fix)
    assert found.chosen == "lcc"
    assert any(text.startswith("1500 places of the calibration are units") for text in found.warnings)


def test_labels_that_cannot_tell_leave_what_groups_of_the_calibration_say() -> None:
    rng = np.random.default_rng(2)
    town = rng.integers(0, 2, 2000)
    places = pd.DataFrame({"wealth": town + rng.normal(size=2000), "town": town})
    trial = pd.DataFrame({"aid": np.tile([0, 1], 200), "town": 0}, index=[f"v{one}" for one in range(400)])
    trial["wealth"] = 0.5 * trial["aid"] + rng.normal(size=400)
    for table in (places, trial):
        table["map"] = 0.5 * table["wealth"] + 0.35 * rng.normal(size=len(table))
    both = pd.concat([places.set_axis([f"p{one}" for one in range(2000)]), trial.iloc[:40]])
    fix = ec.debias(both, prediction="map", truth="wealth", groups="town")
    assert fix.method == "lcc"
    found = ec.ate(ec.Design(trial, outcome="map", treatment="aid"), method="difference", correct=fix)
    assert found.chosen == "lcc"
    assert "whose arms are known; labels reject neither" in found.corrector.reasons[0]
    assert found.corrector.reasons[1:] == fix.reasons


def test_labels_of_units_treated_together_are_no_evidence_each_for_itself() -> None:
    rng = np.random.default_rng(0)
    village = np.repeat(np.arange(40), 25)
    aid = np.repeat(rng.permutation(np.arange(40) % 2), 25)
    wealth = np.repeat(rng.normal(size=40), 25) + rng.normal(size=1000)
    # errors that a village shares
    error = np.repeat(0.3 * rng.normal(size=40), 25) + 0.2 * rng.normal(size=1000)
    table = pd.DataFrame({"map": 0.5 * wealth + error, "wealth": wealth, "aid": aid, "village": village})
    table.index = [f"h{one}" for one in range(1000)]
    fix = ec.debias(table, prediction="map", truth="wealth")

    def told(**named: str) -> str:
        design = ec.Design(table, outcome="map", treatment="aid", **named)
        found = ec.ate(design, method="difference", correct=fix).corrector
        return " ".join(found.reasons)

    assert "labels reject neither" in told(cluster="village")
    assert "labels reject neither" not in told()


@pytest.mark.parametrize("marked", [1, 20])
def test_marks_for_missing_values_that_make_the_slope_are_told(marked: int) -> None:
    table = places(300)
    table.loc[table.index[:marked]] = -9999.0
    fix = ec.debias(table.drop(columns="village"), **COLUMNS, method="lcc")
    for name in ("map", "wealth"):
        told = f"% of the variance of '{name}' is that of -9999 at {marked} of 300 places (first: p0)"
        assert any(told in text for text in fix.warnings)


def test_heavy_tails_and_rare_outcomes_are_no_marks_for_missing_values() -> None:
    rng = np.random.default_rng(0)
    heavy = places(1000)
    heavy["map"] += rng.standard_t(3, size=1000)
    heavy["wealth"] = heavy["map"] + rng.standard_t(3, size=1000)
    rare = places(1000).assign(wealth=lambda t: (t["map"] > 1.5).astype(float))
    for table in (heavy, rare):
        fix = ec.debias(table, **COLUMNS, method="lcc")
        assert not any("slopes follow" in text for text in fix.warnings)
