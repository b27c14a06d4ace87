"""E-values asked of results: the mean without treatment by every method, intervals, benchmarks, refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities.association_ratios import evalue_of_ratio, of_difference
from eocausal.sensitivities.control_mean import mean_without_treatment

METHODS = [
    "aipw", "ipw", "horvitz_thompson", "cbps", "entropy_balancing", "regression", "ols", "partially_linear",
    "difference",
]  # fmt: skip


def jobs(n: int = 800, seed: int = 0, effect: float = 0.9) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["age", "land"])
    table["grant"] = (0.6 * table.age + 0.3 * table.land + rng.normal(size=n) > 0).astype(int)
    risk = 1 / (1 + np.exp(-(-1 + effect * table.grant + 0.6 * table.age)))
    table["job"] = (rng.random(n) < risk).astype(int)
    table["wealth"] = table.grant + table.age + rng.normal(size=n)
    table["weight"] = rng.choice([1.0, 2.0], size=n)
    table["village"] = np.arange(n) // 4
    return table


def designed(table: pd.DataFrame, outcome: str = "job", **named: object) -> ec.Design:
    return ec.Design(table, outcome=outcome, treatment="grant", **{"covariates": ["age", "land"], **named})


def test_a_difference_in_means_is_the_two_by_two_table():
    """Risk ratio and the delta-method interval of its log, sqrt((1 - p1) / n1 p1 + (1 - p0) / n0 p0)."""
    table = jobs()
    found = ec.sensitivity(ec.ate(designed(table, covariates=[]), method="difference"), kind="evalue")
    treated, control = table.loc[table.grant == 1, "job"], table.loc[table.grant == 0, "job"]
    ratio = treated.mean() / control.mean()
    assert found.numbers["risk_ratio"] == pytest.approx(ratio)
    assert found.numbers["control_mean"] == pytest.approx(control.mean())
    assert found.numbers["e_value"] == pytest.approx(evalue_of_ratio(ratio))
    errors = found.estimates["log risk ratio"]
    expected = sum((1 - one.mean()) / (one.size * one.mean()) for one in (treated, control))
    assert errors.std_error / np.sqrt(errors.variance.factor) == pytest.approx(np.sqrt(expected))
    low, high = np.exp(errors.ci())
    assert (found.numbers["risk_ratio_low"], found.numbers["risk_ratio_high"]) == pytest.approx((low, high))
    assert found.numbers["e_value_limit"] == pytest.approx(evalue_of_ratio(low))


@pytest.mark.parametrize("method", METHODS)
def test_means_of_both_arms_are_the_effect_apart(method):
    """Of weighting methods the control mean is the weighted mean of controls; all leave a plausible ratio."""
    made = ec.ate(designed(jobs()), method=method)
    mean = mean_without_treatment(made)
    found = ec.sensitivity(made, kind="evalue", benchmark="age") if method != "difference" else None
    if made.weights is not None and method not in ("aipw", "partially_linear", "horvitz_thompson"):
        table = jobs()
        control = table.grant.to_numpy() == 0
        assert mean.value == pytest.approx(np.average(table.job[control], weights=made.weights[control]))
    assert 0.15 < mean.value < 0.4
    assert abs(mean.scores.mean()) < 1e-8
    assert found is None or 1.3 < found.numbers["risk_ratio"] < 3.5


@pytest.mark.parametrize(
    ("method", "weights"),
    [("aipw", "weight"), ("ols", None), ("ols", "weight"), ("ipw", None), ("regression", "weight")],
)
def test_influence_values_of_the_mean_are_those_of_a_bootstrap(method, weights):
    table = jobs(500, seed=3)
    learners = {} if method != "ipw" else {"learners": ec.Learners(propensity="logit")}
    made = ec.ate(designed(table, weights=weights), method=method, **learners)
    mean, rng, draws = mean_without_treatment(made), np.random.default_rng(1), []
    for _ in range(40 if method == "aipw" else 100):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        draws.append(
            mean_without_treatment(ec.ate(designed(drawn, weights=weights), method=method, **learners)).value
        )
    assert mean.scores.std() / np.sqrt(len(table)) == pytest.approx(np.std(draws), rel=0.3)


def test_the_treated_have_the_mean_they_would_have_had():
    table = jobs(2000)
    made = ec.ate(designed(table), estimand="att")
    mean = mean_without_treatment(made)
    treated = table.loc[table.grant == 1, "job"].mean()
    assert mean.value + made.estimate == pytest.approx(treated)
    # and so the influence values of both add up to those of the mean of the treated
    share = table.grant / table.grant.mean()
    both = mean.scores + made.score_values[:, 0]
    assert both == pytest.approx((share * (table.job - treated)).to_numpy(), abs=1e-9)
    assert mean_without_treatment(ec.ate(designed(table), estimand="atc")).value == pytest.approx(
        table.loc[table.grant == 0, "job"].mean()
    )


def test_an_outcome_that_is_not_zero_or_one_goes_by_its_standard_deviation():
    table = jobs()
    made = ec.ate(designed(table, "wealth"), method="ols")
    found = ec.sensitivity(made, kind="evalue")
    sd = table["wealth"].std(ddof=0)
    low, high = made.ci()
    assert found.numbers["sd"] == pytest.approx(sd)
    assert found.numbers["risk_ratio"] == pytest.approx(np.exp(0.91 * made.estimate / sd))
    assert found.numbers["risk_ratio_low"] == pytest.approx(of_difference(low, sd))
    assert found.numbers["risk_ratio_high"] == pytest.approx(of_difference(high, sd))
    assert found.sentence.startswith("The effect is roughly, as the outcome is not 0/1, a risk ratio of ")
    assert any("rough" in text for text in found.warnings)
    scaled = designed(table.assign(wealth=100 * table["wealth"] + 7), "wealth")
    again = ec.sensitivity(ec.ate(scaled, method="ols"), kind="evalue")
    assert again.numbers["e_value"] == pytest.approx(found.numbers["e_value"])


def test_scale_and_null_can_be_chosen():
    made = ec.ate(designed(jobs()), method="ols")
    rough = ec.sensitivity(made, kind="evalue", scale="difference")
    assert np.isnan(rough.numbers["control_mean"])
    plain = ec.sensitivity(made, kind="evalue")
    other = ec.sensitivity(made, kind="evalue", null=1.2)
    assert other.numbers["e_value"] == pytest.approx(evalue_of_ratio(plain.numbers["risk_ratio"] / 1.2))
    moved = ec.sensitivity(made, kind="evalue", scale="difference", null=made.estimate)
    assert moved.numbers["e_value"] == pytest.approx(1.0)
    assert moved.numbers["e_value_limit"] == 1.0


def test_what_leaving_out_controls_does_stands_beside_it():
    table = jobs()
    made = ec.ate(designed(table), method="regression")
    found = ec.sensitivity(made, kind="evalue", benchmark=["age", "land"])
    without = ec.sensitivity(
        ec.ate(designed(table, covariates=["land"]), method="regression"), kind="evalue"
    ).numbers["risk_ratio"]
    row = found.frame[found.frame["what"] == "without age"].iloc[0]
    assert row["risk_ratio"] == pytest.approx(without)
    factor = max(without / found.numbers["risk_ratio"], found.numbers["risk_ratio"] / without)
    assert row["factor"] == pytest.approx(factor)
    assert row["e_value"] == pytest.approx(evalue_of_ratio(factor))
    assert found.sentence.endswith(f"Leaving out age changes the ratio as one of {row['e_value']:.3g} could.")


def test_factors_are_above_one_whichever_way_the_ratio_moves():
    table = jobs()
    table["job"] = 1 - table["job"]
    found = ec.sensitivity(ec.ate(designed(table), method="regression"), kind="evalue", benchmark="age")
    assert found.frame.loc[2, "risk_ratio"] < found.frame.loc[0, "risk_ratio"] < 1
    assert (found.frame["factor"] > 1).all()
    assert found.frame.loc[2, "e_value"] == pytest.approx(evalue_of_ratio(found.frame.loc[2, "factor"]))


def test_an_interval_that_holds_the_null_needs_no_confounder():
    found = ec.sensitivity(
        ec.ate(designed(jobs(300, seed=1, effect=0.0)), method="regression"), kind="evalue"
    )
    assert found.numbers["e_value_limit"] == 1.0
    assert "The interval holds 1 as it is." in found.sentence
    assert found.frame.loc[1, "e_value"] == 1.0


def test_a_protective_effect_goes_by_its_upper_limit():
    table = jobs(1500, effect=-1.2)
    found = ec.sensitivity(ec.ate(designed(table), method="regression"), kind="evalue")
    numbers = found.numbers
    assert numbers["risk_ratio_high"] < 1
    assert numbers["e_value_limit"] == pytest.approx(evalue_of_ratio(numbers["risk_ratio_high"]))
    # named the other way round it is as strong
    assert numbers["e_value"] == pytest.approx(evalue_of_ratio(1 / numbers["risk_ratio"]))


def test_a_weight_of_two_is_a_row_twice():
    table = jobs()
    twice = table.loc[table.index.repeat(table["weight"].astype(int))].reset_index(drop=True)
    for method in ("ols", "regression", "difference"):
        covariates = [] if method == "difference" else ["age", "land"]
        weighted = designed(table, weights="weight", covariates=covariates)
        one = ec.sensitivity(ec.ate(weighted, method=method), kind="evalue").numbers
        other = ec.sensitivity(
            ec.ate(designed(twice, covariates=covariates), method=method), kind="evalue"
        ).numbers
        assert one["risk_ratio"] == pytest.approx(other["risk_ratio"])
        assert one["control_mean"] == pytest.approx(other["control_mean"])


def test_errors_are_clustered_as_those_of_the_estimate():
    made = ec.ate(designed(jobs(), cluster="village"), method="regression")
    found = ec.sensitivity(made, kind="evalue")
    assert found.estimates["log risk ratio"].vcov == "cluster(village)"
    assert found.estimates["log risk ratio"].with_vcov("iid").vcov == "iid"


def test_repeats_of_folds_are_told_of():
    made = ec.ate(designed(jobs(300)), folds=ec.Folds(k=3, repeats=3))
    found = ec.sensitivity(made, kind="evalue")
    assert any("the dealing of folds" in text for text in found.warnings)
    treated = ec.ate(designed(jobs(300)), folds=ec.Folds(k=3, repeats=3), estimand="att")
    both = mean_without_treatment(treated).scores + treated.score_values[:, 0]
    grant, job = (jobs(300)[one].to_numpy() for one in ("grant", "job"))
    expected = grant / grant.mean() * (job - job[grant == 1].mean())
    assert both == pytest.approx(expected, abs=1e-9)
    assert 1 < found.numbers["risk_ratio"] < 4


def test_of_a_panel_the_mean_is_that_of_treated_rows():
    rng = np.random.default_rng(0)
    unit, year = np.repeat(np.arange(80), 5), np.tile(np.arange(5), 80)
    start = rng.integers(1, 8, 80)
    grant = (year >= start[unit]).astype(int)
    job = (rng.random(unit.size) < 0.3 + 0.25 * grant).astype(int)
    table = pd.DataFrame({"unit": unit, "year": year, "grant": grant, "job": job})
    design = ec.PanelDesign(table, outcome="job", treatment="grant", unit="unit", period="year")
    made = ec.panel(design, method="twfe")
    found = ec.sensitivity(made, kind="evalue")
    treated = table.loc[table.grant == 1, "job"].mean()
    mean = treated - made.estimate
    assert found.numbers["risk_ratio"] == pytest.approx(treated / mean)
    assert found.numbers["risk_ratio_low"] == pytest.approx((mean + made.ci()[0]) / mean)
    assert any("take as known" in text for text in found.warnings)


def test_of_an_event_study_the_mean_is_that_of_rows_at_that_time():
    rng = np.random.default_rng(0)
    unit, year = np.repeat(np.arange(80), 6), np.tile(np.arange(6), 80)
    start = rng.integers(2, 8, 80)
    since = year - start[unit]
    job = (rng.random(unit.size) < 0.3 + 0.15 * np.clip(since + 1, 0, 3)).astype(int)
    table = pd.DataFrame({"unit": unit, "year": year, "grant": (since >= 0).astype(int), "job": job})
    design = ec.PanelDesign(table, outcome="job", treatment="grant", unit="unit", period="year")
    made = ec.panel(design, method="event_study")
    effects = dict(zip(made.terms, made.values))
    for term, rows in (("event 1", since == 1), ("event -2", (since == -2) & (start[unit] <= 5))):
        found = ec.sensitivity(made, kind="evalue", term=term)
        mean = table.loc[rows, "job"].mean()
        assert found.numbers["control_mean"] == pytest.approx(mean - effects[term])
        assert found.numbers["risk_ratio"] == pytest.approx(mean / (mean - effects[term]))


def test_of_differences_in_differences_always_treated_units_are_not_in_the_mean():
    rng = np.random.default_rng(0)
    unit, year = np.repeat(np.arange(80), 5), np.tile(np.arange(5), 80)
    start = rng.integers(0, 8, 80)
    grant = (year >= start[unit]).astype(int)
    job = (rng.random(unit.size) < 0.3 + 0.25 * grant + 0.3 * (start[unit] == 0)).astype(int)
    table = pd.DataFrame({"unit": unit, "year": year, "grant": grant, "job": job})
    design = ec.PanelDesign(table, outcome="job", treatment="grant", unit="unit", period="year")
    made = ec.panel(design, method="did")
    mean = table.loc[(grant == 1) & (start[unit] > 0), "job"].mean()
    found = ec.sensitivity(made, kind="evalue")
    assert found.numbers["control_mean"] == pytest.approx(mean - made.estimate)
    dynamic = ec.panel(design, method="did", aggregate="dynamic")
    with pytest.raises(SensitivityError, match="not by aggregate='dynamic'"):
        ec.sensitivity(dynamic, kind="evalue", term="event 0")
    rough = ec.sensitivity(dynamic, kind="evalue", term="event 0", scale="difference")
    assert rough.diagnostics["scale"] == "difference"


def test_it_is_read_back_as_it_was():
    found = ec.sensitivity(
        ec.ate(designed(jobs()), method="regression"), kind="evalue", benchmark=["age", "land"]
    )
    content = found.to_dict(scores=True)
    again = type(found).from_dict(json.loads(json.dumps(content, allow_nan=False)))
    assert again.to_dict(scores=True) == content
    pd.testing.assert_frame_equal(again.frame, found.frame)
    assert len(again.plot().axes[0].lines) == len(found.plot().axes[0].lines) >= 6


def test_methods_that_need_columns_say_that_they_cannot_do_without():
    found = ec.sensitivity(ec.ate(designed(jobs()), method="cbps"), kind="evalue")
    assert any(
        text.startswith("the effect without all covariates could not be estimated") for text in found.warnings
    )


@pytest.mark.parametrize(
    ("outcome", "options", "words"),
    [
        ("wealth", {"scale": "risk_ratio"}, "is not 0/1"),
        ("job", {"scale": "odds"}, "scale"),
        ("job", {"null": 0.0}, "above 0"),
        ("job", {"null": "none"}, "a finite number"),
        ("job", {"r2_max": 1.0}, "no option of this name"),
    ],
)
def test_refused(outcome, options, words):
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(ec.ate(designed(jobs(), outcome), method="ols"), kind="evalue", **options)


def test_several_arms_doses_and_what_cannot_be_left_out():
    table = jobs()
    table["arm"] = np.where(table.grant == 0, "none", np.where(table.age > 0, "roads", "wells"))
    arms = ec.Design(table, outcome="job", treatment="arm", treatment_type="categorical", control="none")
    made = ec.ate(arms, method="difference")
    with pytest.raises(SensitivityError, match="one treatment against its absence"):
        ec.sensitivity(made, kind="evalue", term="roads")
    dose = ec.Design(table, outcome="job", treatment="age", treatment_type="continuous", covariates=["land"])
    with pytest.raises(SensitivityError, match="the treatment is a dose"):
        ec.sensitivity(ec.ate(dose, method="ols"), kind="evalue", scale="risk_ratio")
    assert ec.sensitivity(ec.ate(dose, method="ols"), kind="evalue").diagnostics["scale"] == "difference"
    with pytest.raises(SensitivityError, match="adjusts for nothing"):
        ec.sensitivity(ec.ate(designed(table), method="difference"), kind="evalue", benchmark="age")
