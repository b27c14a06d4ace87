"""Bounds of effects with learned nuisances: golden values, twins, every kind of error, benchmarks, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.inference import scores
from eocausal.inference.assemble import assemble
from eocausal.inference.origin import Origin
from eocausal.sensitivities.benchmarks import Benchmark
from eocausal.sensitivities.bounded import LOWER, UPPER, bounded
from eocausal.sensitivities.dml_gains import pieces_of
from eocausal.sensitivities.dml_words import OF_TREATMENT, Finding, Needed, told
from eocausal.sensitivities.long_short import strength
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.strengths import robustness_value

FloatArray = npt.NDArray[np.float64]


def study(seed: int = 1, n: int = 300, **columns: Any) -> ec.Design:
    """Places whose pictures and age decide treatment and outcome; each image of one unit."""
    rng = np.random.default_rng(seed)
    seen, age = rng.normal(size=(n, 2)), rng.normal(size=n)
    treated = (0.9 * seen[:, 0] + 0.9 * age + rng.logistic(size=n) > 0).astype(int)
    outcome = 0.6 * treated + seen[:, 0] + 0.5 * age + rng.normal(size=n)
    table = pd.DataFrame(
        {
            "unit": np.arange(n),
            "lon": rng.uniform(30, 33, n),
            "lat": rng.uniform(-1, 2, n),
            "aid": treated,
            "dose": seen[:, 0] + age + rng.normal(size=n),
            "wealth": outcome,
            "age": age,
            "village": np.arange(n) // 6,
            "share": rng.uniform(0.5, 2, n),
        }
    )
    values = (seen @ rng.normal(size=(2, 8)) + 0.3 * rng.normal(size=(n, 8))).astype(np.float32)
    features = pd.DataFrame({"unit": np.arange(n), **{f"f{one}": values[:, one] for one in range(8)}})
    units = ec.read_units(table, id="unit", lon="lon", lat="lat")
    asked = {"outcome": "wealth", "treatment": "aid", "covariates": ["age"], **columns}
    if "features" not in asked:
        asked["features"] = ec.read_embeddings(features, key="unit")
    return ec.Design(units, **asked)


@pytest.fixture(scope="module")
def design() -> ec.Design:
    return study()


@pytest.fixture(scope="module")
def effect(design: ec.Design) -> ec.Estimate:
    return ec.ate(design)


@pytest.fixture(scope="module")
def found(effect: ec.Estimate) -> Sensitivity:
    return ec.sensitivity(effect, r2_treatment=[0.0, 0.05, 0.2], rho=0.5)


# ---- what it says


def test_bounds_at_no_strength_are_the_estimate_and_nest(effect: ec.Estimate, found: Sensitivity) -> None:
    given = found.frame[found.frame["benchmark"] == "given"]
    first = given.iloc[0]
    assert first["lower"] == first["upper"] == effect.estimate
    assert (first["conf_low"], first["conf_high"]) == pytest.approx(effect.ci())
    assert (first["conf_low_one_sided"], first["conf_high_one_sided"]) == pytest.approx(effect.ci(0.9))
    for name in ("lower", "conf_low_one_sided", "conf_low"):
        assert (np.diff(given[name]) < 0).all()
    for name in ("upper", "conf_high_one_sided", "conf_high"):
        assert (np.diff(given[name]) > 0).all()
    assert (given["conf_low"] < given["conf_low_one_sided"]).all()


def test_bounds_are_by_the_formula(effect: ec.Estimate, found: Sensitivity) -> None:
    table, predicted = effect.origin.entered.table, effect.origin.predicted[0]
    e, t = predicted["propensity"], table.treatment
    expected = np.where(t == 1, predicted["outcome_treated"], predicted["outcome_control"])
    sigma2 = np.mean((table.outcome - expected) ** 2)
    nu2 = np.mean(2 / (e * (1 - e)) - (t / e - (1 - t) / (1 - e)) ** 2)
    assert found.numbers["scale"] == pytest.approx(np.sqrt(sigma2 * nu2))
    row = found.frame.iloc[2]
    bias = 0.5 * np.sqrt(sigma2 * nu2 * 0.2 * 0.2 / 0.8)
    assert (row["lower"], row["upper"]) == pytest.approx((effect.estimate - bias, effect.estimate + bias))


def test_at_the_robustness_values_the_bounds_reach_zero(effect: ec.Estimate) -> None:
    one = ec.sensitivity(effect, rho=0.7)
    shares = [one.numbers[f"robustness_value{end}"] for end in ("", "_one_sided", "_two_sided")]
    again = ec.sensitivity(effect, rho=0.7, r2_treatment=shares).frame
    for row, name in enumerate(("lower", "conf_low_one_sided", "conf_low")):
        assert again[name][row] == pytest.approx(0.0, abs=1e-9)
    assert shares[0] > shares[1] > shares[2] > 0
    closed = robustness_value(effect.estimate / one.numbers["scale"] / 0.7)
    assert shares[0] == pytest.approx(closed, rel=1e-10)


def test_of_a_negative_estimate_the_upper_bound_is_the_one_that_counts(design: ec.Design) -> None:
    below = ec.sensitivity(ec.ate(design.with_changed_outcome(lambda y: -y)))
    above = ec.sensitivity(ec.ate(design))
    for name in ("robustness_value", "robustness_value_one_sided", "robustness_value_two_sided"):
        assert below.numbers[name] == pytest.approx(above.numbers[name], rel=1e-6)
    assert below.frame["upper"].to_numpy() == pytest.approx(-above.frame["lower"].to_numpy(), rel=1e-6)


def test_half_of_the_estimate_is_taken_away_sooner(effect: ec.Estimate) -> None:
    half, whole = ec.sensitivity(effect, q=0.5), ec.sensitivity(effect)
    needed = 0.5 * whole.numbers["estimate"] / whole.numbers["scale"]
    assert half.numbers["robustness_value"] == pytest.approx(robustness_value(needed))
    assert "take away 50% of the estimate" in half.sentence


def test_at_the_times_needed_of_a_benchmark_the_bound_is_zero(effect: ec.Estimate) -> None:
    first = ec.sensitivity(effect, benchmark="age", times=1)
    times = first.numbers["times_age"]
    again = ec.sensitivity(effect, benchmark="age", times=[times])
    assert again.frame["lower"][0] == pytest.approx(0.0, abs=1e-9)
    assert f"{times:.1f} times as strong as age" in first.sentence


def test_strengths_of_a_benchmark_are_those_of_the_estimate_without_it(effect: ec.Estimate) -> None:
    frame = ec.sensitivity(effect, benchmark="features", times=1).frame
    other = ec.ate(effect.origin.design.without(features=True))
    (long,), (short,) = pieces_of(effect), pieces_of(other)
    assert frame["change"][0] == pytest.approx(other.estimate - effect.estimate)
    assert frame["r2_outcome"][0] == pytest.approx(min(short.sigma2 / long.sigma2 - 1, 1))
    assert frame["r2_treatment"][0] == pytest.approx(max(long.nu2 / short.nu2 - 1, 0))


def test_rows_in_another_order_say_the_same(design: ec.Design) -> None:
    # with predictions given, nothing is left that the order could change
    effect = ec.ate(design)
    order = np.random.default_rng(0).permutation(len(design))
    origin = effect.origin
    moved = replace(
        effect,
        ids=effect.ids[order],
        score_values=effect.score_values[order],
        origin=replace(
            origin,
            entered=design.take(order),
            predicted=tuple({k: v[order] for k, v in one.items()} for one in origin.predicted),
        ),
    )
    one, other = (bounded(each, pieces_of(each)).at(0.1) for each in (effect, moved))
    assert one.values == pytest.approx(other.values)
    assert one.variance.matrix == pytest.approx(other.variance.matrix)


# ---- Darfur, and regressions


def fitted(design: ec.Design) -> ec.Estimate:
    """Return the partially linear estimate with residuals of least squares in the sample."""
    table = design.table
    columns = np.column_stack([np.ones(len(design)), table.covariates])
    parts = np.linalg.svd(columns, full_matrices=False)
    basis = parts[0][:, parts[1] > 1e-9 * parts[1][0]]
    means = [basis @ (basis.T @ values) for values in (table.outcome, table.assigned)]
    scored = scores.partially_linear(table.outcome - means[0], table.assigned - means[1], table.weights)
    options = {
        "method": "partially_linear", "estimand": "ato", "trim": None, "folds": ec.Folds(),
        "learners": ec.Learners(), "vcov": None, "seed": 0,
    }  # fmt: skip
    predicted = {"outcome_mean": means[0], "treatment_mean": means[1]}
    return assemble(
        design,
        [scored],
        estimand="ato",
        method="partially_linear",
        terms=(design.treatment,),
        provenance={},
        origin=Origin(design, design, ec.ate, options, (predicted,)),
    )


@pytest.fixture(scope="module")
def darfur(shared: Path) -> ec.Design:
    data = pd.read_csv(shared / "data/darfur/darfur.csv")
    villages = pd.get_dummies(data["village"], drop_first=True, dtype=float)
    villages.columns = [f"village_{one}" for one in range(villages.shape[1])]
    names = ["age", "farmer_dar", "herder_dar", "pastvoted", "hhsize_darfur", "female"]
    return ec.Design(
        pd.concat([data, villages], axis=1),
        outcome="peacefactor",
        treatment="directlyharmed",
        covariates=[*names, *villages.columns],
    )


def test_darfur_as_printed(darfur: ec.Design) -> None:
    line = bounded(fitted(darfur), pieces_of(fitted(darfur)))
    bounds = line.at(strength(0.124640923, 0.009164287))
    assert bounds.values == pytest.approx([0.07522027, 0.09731582, 0.11941137], abs=5e-9)
    # our factor n / (n - 1), and t for z
    assert bounds.std_error[1] == pytest.approx(0.022847 * np.sqrt(1276 / 1275), abs=5e-7)
    assert robustness_value(line.strength_to(0.0)) == pytest.approx(0.138776, abs=5e-7)
    assert line.confidence(strength(0.124640923, 0.009164287), LOWER, 0.9) == pytest.approx(0.03759, abs=4e-5)
    assert line.confidence(strength(0.124640923, 0.009164287), UPPER, 0.9) == pytest.approx(0.15697, abs=4e-5)
    # 0.0877088 elsewhere, with the errors of the two ends exchanged
    assert robustness_value(line.strength_to(0.0, level=0.9)) == pytest.approx(0.087436, abs=1e-4)


def test_linear_bounds_are_those_of_an_omitted_variable(darfur: ec.Design) -> None:
    regression = ec.sensitivity(
        ec.ate(darfur, method="ols"), kind="omitted", benchmark="female", r2_treatment=0.02, r2_outcome=0.1
    )
    assert regression.numbers["estimate"] == pytest.approx(0.09731582, abs=5e-9)
    line = bounded(fitted(darfur), pieces_of(fitted(darfur)))
    assert line.both.values[1] == pytest.approx(regression.numbers["scale"])
    assert robustness_value(line.strength_to(0.0)) == pytest.approx(regression.numbers["robustness_value"])
    row = regression.frame[regression.frame["r2_treatment"] == 0.02].iloc[0]
    assert line.bound(strength(0.1, 0.02), LOWER) == pytest.approx(row["estimate"])
    assert line.bound(strength(0.1, 0.02), UPPER) == pytest.approx(row["estimate_away"])


# ---- every kind of standard error, weights, repeats, estimands


@pytest.mark.parametrize(
    "vcov",
    [
        "iid",
        "hetero",
        {"conley": "40km"},
        "village",
        {"bootstrap": "wild", "cluster": "village", "draws": 199},
    ],
    ids=["iid", "hetero", "conley", "cluster", "wild"],
)
def test_errors_of_bounds_are_made_as_those_of_the_estimate(effect: ec.Estimate, vcov: Any) -> None:
    labels = pd.Series(np.arange(len(effect.ids)) // 6, index=effect.ids, name="village")
    if vcov == "village":
        vcov = {"cluster": labels}
    if isinstance(vcov, dict) and "bootstrap" in vcov:
        vcov = {**vcov, "cluster": labels}
    made = effect.with_vcov(vcov)
    line = bounded(made, pieces_of(made))
    bounds = line.at(0.1)
    assert bounds.vcov == made.vcov
    # a bound is an estimate of its own, with its own influence values
    twin = replace(
        made,
        values=made.values - 0.1 * line.both.values[1],
        score_values=made.score_values - 0.1 * line.both.score_values[:, 1:],
    ).with_vcov(made.variance.how)
    assert bounds.std_error[LOWER] == pytest.approx(twin.std_error)
    assert bounds.ci()[LOWER] == pytest.approx(twin.ci())
    assert line.confidence(0.1, LOWER, 0.95) == pytest.approx(twin.ci()[0])
    assert line.confidence(0.1, UPPER, 0.95) == pytest.approx(bounds.ci()[UPPER, 1])
    assert bounds.std_error[1] == pytest.approx(made.std_error)


@pytest.mark.parametrize(
    ("columns", "asked"),
    [
        ({}, {"estimand": "att"}),
        ({}, {"estimand": "atc"}),
        ({}, {"estimand": "ato"}),
        ({}, {"method": "partially_linear"}),
        ({"weights": "share"}, {}),
        ({"cluster": "village"}, {}),
        ({"treatment": "dose", "treatment_type": "continuous"}, {"method": "partially_linear"}),
        ({}, {"trim": ec.Trim("fixed", low=0.3, high=0.7)}),
    ],
    ids=["att", "atc", "ato", "linear", "weights", "clusters", "dose", "trimmed"],
)
def test_every_kind_of_effect_has_bounds(columns: dict[str, Any], asked: dict[str, Any]) -> None:
    result = ec.ate(study(**columns), **asked)
    one = ec.sensitivity(result, times=1)
    assert one.kind == "dml"
    # the pieces speak of the estimate that is bounded
    (piece,) = pieces_of(result)
    assert piece.estimate == pytest.approx(result.estimate, rel=1e-10)
    assert (one.frame["lower"] <= result.estimate).all()
    assert (one.frame["upper"] >= result.estimate).all()
    assert one.subject.vcov == result.vcov
    changes = one.frame.set_index("benchmark")["change"]
    assert changes["features"] > 0.05


def test_a_trimmed_estimate_is_compared_on_its_own_units() -> None:
    effect = ec.ate(study(), trim=ec.Trim("fixed", low=0.3, high=0.7))
    frame = ec.sensitivity(effect, benchmark="age", times=1).frame
    untrimmed = ec.ate(study().without(["age"]))
    rows = np.isin(untrimmed.ids, effect.ids)
    predicted = {name: values[rows] for name, values in untrimmed.origin.predicted[0].items()}
    table = effect.origin.entered.table
    by_hand = scores.doubly_robust(table.outcome, table.treatment, **predicted).mean()
    assert frame["change"][0] == pytest.approx(by_hand - effect.estimate)


def test_of_repeats_it_is_the_median() -> None:
    result = ec.ate(study(), folds=ec.Folds(repeats=3))
    one = ec.sensitivity(result, r2_treatment=0.1, benchmark="features")
    pieces = pieces_of(result)
    c = strength(0.1, 0.1)
    each = [value - c * piece.scale for value, piece in zip(result.repeats.values[:, 0], pieces)]
    assert one.frame["lower"][0] == pytest.approx(np.median(each))
    singles = [ec.ate(study(), seed=seed).with_vcov("iid") for seed in (0, 1, 2)]
    lone = [bounded(single, pieces_of(single)).at(c) for single in singles]
    squares = [bound.std_error[0] ** 2 + (bound.values[0] - np.median(each)) ** 2 for bound in lone]
    assert one.frame["std_error_lower"][0] == pytest.approx(np.sqrt(np.median(squares)))
    shares = [
        robustness_value(value / piece.scale) for value, piece in zip(result.repeats.values[:, 0], pieces)
    ]
    assert one.numbers["robustness_value"] == pytest.approx(np.median(shares))
    line = bounded(result, pieces)
    assert line.confidence(c, LOWER, 0.95) == pytest.approx(one.frame["conf_low"][0])


def test_a_corrected_effect_scales_the_error_of_its_calibration_with_the_bound() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=300)
    labels = pd.DataFrame({"map": 0.7 * truth + 0.3 * rng.normal(size=300), "measured": truth})
    corrector = ec.debias(labels, prediction="map", truth="measured", method="lcc")
    mapped = study().with_changed_outcome(lambda y: 0.7 * y)
    result = ec.ate(mapped, correct=corrector)
    one = ec.sensitivity(result, r2_treatment=0.1)
    plain = ec.sensitivity(ec.ate(mapped), r2_treatment=0.1)
    best = result.best
    assert result.chosen == "lcc"
    # a correction by a slope divides estimate, scale and bounds by it
    assert one.frame["lower"][0] == pytest.approx(plain.frame["lower"][0] / corrector.k)
    assert one.numbers["robustness_value"] == pytest.approx(plain.numbers["robustness_value"])
    # delta method: var(bound / k) = var(bound) / k^2 + bound^2 var(k) / k^4
    of_slope = best.std_error**2 - (ec.ate(mapped).std_error / corrector.k) ** 2
    own = plain.frame["std_error_lower"][0] / corrector.k
    share = one.frame["lower"][0] / best.estimate
    assert one.frame["std_error_lower"][0] == pytest.approx(np.sqrt(own**2 + of_slope * share**2))
    assert any("calibration" in text for text in one.warnings)


# ---- benchmarks


def test_coordinates_are_compared_with_as_what_is_omitted(effect: ec.Estimate) -> None:
    one = ec.sensitivity(effect, benchmark="coordinates", times=1)
    assert one.frame["benchmark"][0] == "coordinates"
    # where units lie says nothing here, and what is fitted to it makes predictions worse
    assert one.frame["r2_outcome"][0] == 0
    assert any("predicted worse" in text for text in one.warnings)


def test_coordinates_that_confound_have_strength() -> None:
    rng = np.random.default_rng(5)
    n = 500
    table = pd.DataFrame({"unit": range(n), "lon": rng.uniform(0, 1, n), "lat": rng.uniform(0, 1, n)})
    north = 3 * (table["lat"] - 0.5)
    table["aid"] = (north + rng.logistic(size=n) > 0).astype(int)
    table["age"] = rng.normal(size=n)
    table["wealth"] = 2 * north + rng.normal(size=n)
    units = ec.read_units(table, id="unit", lon="lon", lat="lat")
    design = ec.Design(units, outcome="wealth", treatment="aid", covariates=["age"])
    one = ec.sensitivity(ec.ate(design), benchmark="coordinates", times=1)
    row = one.frame.iloc[0]
    # north explains 4 of 5 parts of the variance that is left, given treatment a little less
    assert 0.5 < row["r2_outcome"] < 0.9
    assert 0.05 < row["r2_treatment"] < 0.5
    assert row["lower"] < ec.ate(design).estimate - row["change"] + 0.15
    assert row["rho_found"] > 0.5


def test_image_features_that_learners_cannot_use_in_full_are_told_of() -> None:
    rng = np.random.default_rng(0)
    n = 600
    seen, age = rng.normal(size=(n, 4)), rng.normal(size=n)
    hidden = seen[:, 0] ** 2 - 1 + seen[:, 1]
    table = pd.DataFrame({"unit": range(n), "age": age})
    table["aid"] = (0.8 * hidden + 0.5 * age + rng.logistic(size=n) > 0).astype(int)
    table["wealth"] = 0.5 * table["aid"] + 0.8 * hidden + 0.5 * age + rng.normal(size=n)
    told = []
    for seed in range(3):
        mix = np.random.default_rng(seed).normal(size=(4, 32))
        pixels = (
            pd.DataFrame(np.tanh(seen @ mix / 2).astype(np.float32)).add_prefix("f").assign(unit=range(n))
        )
        asked = ec.Design(
            table.set_index("unit", drop=False), outcome="wealth", treatment="aid", covariates=["age"],
            features=ec.read_embeddings(pixels, key="unit"),
        )  # fmt: skip
        effect = ec.ate(asked, method="partially_linear")
        found = ec.sensitivity(effect, benchmark="features", times=1)
        row = found.frame.iloc[0]
        beyond = row["change"] > effect.estimate - row["lower"] + 0.25 * effect.std_error
        assert beyond == any("promise too much" in text for text in found.warnings)
        told.append(bool(beyond))
    # some of these pictures are learned from well enough, and some are not
    assert set(told) == {True, False}


def test_blocks_and_groups_are_benchmarks(effect: ec.Estimate) -> None:
    one = ec.sensitivity(effect, benchmark={"all there is": ["features", "age"]}, times=2)
    assert one.frame["benchmark"].tolist() == ["all there is"]
    assert "times_all_there_is" in one.numbers


def test_a_known_propensity_leaves_benchmarks_no_strength_with_treatment() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"aid": rng.integers(0, 2, 200), "age": rng.normal(size=200)})
    table["wealth"] = table["aid"] + table["age"] + rng.normal(size=200)
    design = ec.Design(table, outcome="wealth", treatment="aid", covariates=["age"], propensity=0.5)
    one = ec.sensitivity(ec.ate(design), benchmark="age")
    assert (one.frame["r2_treatment"] == 0).all()
    assert any("propensity is known" in text for text in one.warnings)
    assert any("no yardstick" in text for text in one.warnings)
    assert "times_age" not in one.numbers


def test_learners_that_do_not_see_a_benchmark_are_told_of(design: ec.Design) -> None:
    effect = ec.ate(design, learners=ec.Learners(columns="covariates"))
    one = ec.sensitivity(effect, benchmark="features")
    assert any("did not see it" in text for text in one.warnings)


def test_no_benchmark_and_no_strength_has_the_usual_rows() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"aid": rng.integers(0, 2, 200)})
    table["wealth"] = table["aid"] + rng.normal(size=200)
    one = ec.sensitivity(ec.ate(ec.Design(table, outcome="wealth", treatment="aid")))
    assert one.frame["r2_treatment"].tolist() == [0.01, 0.05, 0.1]


def test_confounders_that_explain_all_leave_no_bound() -> None:
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame({"age": rng.normal(size=n)})
    table["aid"] = (0.8 * table["age"] + rng.logistic(size=n) > 0).astype(int)
    table["wealth"] = table["aid"] + table["age"] + rng.normal(size=n)
    effect = ec.ate(ec.Design(table, outcome="wealth", treatment="aid", covariates=["age"]))
    one = ec.sensitivity(effect, benchmark="age", times=[1, 50])
    last = one.frame.iloc[-1]
    assert (last["r2_treatment"], last["r2_outcome"], last["lower"], last["upper"]) == (1, 1, -np.inf, np.inf)
    assert any("leave no bound: 50 x age" in text for text in one.warnings)
    assert len(one.curves["points"]) == len(one.estimates) == len(one.frame) - 1
    assert Sensitivity.from_dict(one.to_dict(scores=True)) == one


# ---- what a result holds


def test_the_result_survives_a_file_and_draws(found: Sensitivity) -> None:
    content = found.to_dict(scores=True)
    again = Sensitivity.from_dict(json.loads(json.dumps(content, allow_nan=False)))
    assert again == found
    figure = again.plot()
    assert len(figure.axes) == 2
    assert "weights" in figure.axes[0].get_xlabel()
    # values by unit are written only where they are asked for
    assert len(json.dumps(found.to_dict())) < 0.5 * len(json.dumps(content))
    assert len(found.summary().splitlines()) <= 25
    assert repr(found).count("\n") == 0


def test_of_a_partially_linear_estimate_the_figure_speaks_of_treatment(design: ec.Design) -> None:
    figure = ec.sensitivity(ec.ate(design, method="partially_linear")).plot()
    assert "of treatment" in figure.axes[0].get_xlabel()


def test_the_grid_of_the_figure_holds_the_confidence_bound(effect: ec.Estimate, found: Sensitivity) -> None:
    line = bounded(effect, pieces_of(effect))
    limits = found.curves["limits"]
    for row in (0, 200, 700, len(limits) - 1):
        one = limits.iloc[row]
        c = strength(one["r2_outcome"], one["r2_treatment"], 0.5)
        assert one["limit"] == pytest.approx(line.confidence(c, LOWER, 0.95), abs=1e-3)


# ---- sentences


def finding(**changes: Any) -> Finding:
    usual = Finding(0.0973, 0.95, "for independent units", 1.0, 0.1388, 0.0741, OF_TREATMENT, (), 1.0)
    return replace(usual, **changes)


PICTURES, AGE = Benchmark("features", features=True), Benchmark("age", ("age",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "To bring the estimate of 0.0973 to zero, unobserved confounders would have to explain 13.9% both of "
             "what is left of the outcome and of what is left of treatment. From 7.4% of both on, its 95% "
             "interval, for independent units, would hold zero."),
        ({"needed": (Needed(PICTURES, 2.31, 1.0, 0.1), Needed(AGE, 0.4, 0.1, 0.1))}, "So could confounders 2.3 "
             "times as strong as all image features, or confounders 0.4 times as strong as age."),
        ({"needed": (Needed(AGE, 5.13, 2.0, 0.3),)}, "So could confounders that explain all of the outcome "
             "and are 5.1 times as strong with treatment as age. From"),
        ({"needed": (Needed(AGE, np.inf, np.inf, 0.0),)}, "of what is left of treatment. From"),
        ({"needed": (Needed(AGE, 1234.0, 900.0, 0.0),)}, "more than 1,000 times as strong as age"),
        ({"needed": (Needed(AGE, 0.07, 0.0, 0.1),)}, "less than 0.1 times as strong as age"),
        ({"estimate": -0.0973}, "bring the estimate of -0.0973 to zero"),
        ({"two_sided": 0.0}, "The 95% interval, for independent units, already holds zero, before any confounder "
             "is thought of. To bring the estimate of 0.0973 to zero"),
        ({"q": 0.5}, "To take away 50% of the estimate of 0.0973,"),
        ({"q": 2.0}, "To turn the estimate of 0.0973 into -0.0973,"),
        ({"q": 0.1, "two_sided": 0.0}, "The 95% interval, for independent units, already holds 0.0876"),
        ({"q": 0.5, "level": 0.9}, "its 90% interval, for independent units, would hold 0.0486"),
        ({"rho": 0.5}, "with a correlation of 0.5 of what they change in the two"),
        ({"robustness_value": 0.9999}, "more than 99.9% both"),
        ({"robustness_value": 0.0001}, "less than 0.1% both"),
        ({"estimate": 0.0}, "The estimate is zero as it is"),
    ],
)  # fmt: skip
def test_sentences(changes: dict[str, Any], words: str) -> None:
    assert words in told(finding(**changes))


# ---- bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"r2_treatment": 1.0}, "r2_treatment=1.0.*0 <= r2_treatment < 1"),
        ({"r2_treatment": -0.1}, "r2_treatment=-0.1"),
        ({"r2_treatment": "much"}, "r2_treatment='much'"),
        ({"r2_treatment": True}, "r2_treatment=True"),
        ({"r2_treatment": 0.1, "r2_outcome": 1.1}, "r2_outcome=1.1.*0 <= r2_outcome <= 1"),
        ({"r2_outcome": 0.1}, "without r2_treatment"),
        ({"r2_treatment": [0.1, 0.2], "r2_outcome": [0.1, 0.2, 0.3]}, "2 values and r2_outcome 3"),
        ({"rho": 0.0}, "rho=0.0.*above 0, at most 1"),
        ({"rho": 1.2}, "rho=1.2"),
        ({"q": -1}, "q=-1.*above 0"),
        ({"times": [1, np.nan]}, "times=.1, nan."),
        ({"times": 0}, "times=0"),
        ({"level": 0.4}, "level=0.4 leaves no one-sided bound"),
        ({"lambdas": 2}, "no option of this name"),
        ({"benchmark": "rain"}, "nothing that this estimate adjusts for"),
    ],
)
def test_bad_options_are_refused(effect: ec.Estimate, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SensitivityError, match=f"(?s){words}"):
        ec.sensitivity(effect, kind="dml", **options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: ec.ate(d, method="ols"), "method='ols'.*lacks them(.|\n)*kind='omitted'"),
        (lambda d: ec.ate(d, method="ipw"), "method='ipw'(.|\n)*kind='marginal'"),
        (lambda d: ec.ate(d, method="difference"), "method='difference'"),
    ],
)
def test_other_methods_are_refused(
    design: ec.Design, make: Callable[[ec.Design], ec.Estimate], words: str
) -> None:
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(make(design), kind="dml")


def test_several_arms_are_refused() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"aid": np.tile(["none", "roads", "wells"], 60), "age": rng.normal(size=180)})
    table["wealth"] = table["age"] + rng.normal(size=180)
    design = ec.Design(
        table,
        outcome="wealth",
        treatment="aid",
        treatment_type="categorical",
        control="none",
        covariates=["age"],
    )
    with pytest.raises(SensitivityError, match=r"several arms(.|\n)*design\.pair"):
        ec.sensitivity(ec.ate(design), kind="dml", term="roads")


def test_places_are_refused_where_learners_see_features_alone(design: ec.Design) -> None:
    effect = ec.ate(design, learners=ec.Learners(columns="features"))
    with pytest.raises(SensitivityError, match="see features alone"):
        ec.sensitivity(effect, benchmark="coordinates")


def test_a_panel_is_refused_with_what_to_ask_instead() -> None:
    rows = [(unit, year) for unit in range(40) for year in range(4)]
    table = pd.DataFrame(rows, columns=["village", "year"])
    table["treated"] = ((table["village"] < 20) & (table["year"] >= 2)).astype(int)
    table["wealth"] = table["village"] % 7 + table["year"] + np.random.default_rng(0).normal(size=len(table))
    panel = ec.PanelDesign(table, outcome="wealth", treatment="treated", unit="village", period="year")
    with pytest.raises(SensitivityError, match=r"method='twfe' lacks them(.|\n)*kind='omitted'"):
        ec.sensitivity(ec.panel(panel, method="twfe"), kind="dml")


def test_part_of_a_strong_benchmark_is_part_of_what_was_found() -> None:
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame({"age": rng.normal(size=n)})
    table["aid"] = (1.6 * table["age"] + rng.logistic(size=n) > 0).astype(int)
    table["wealth"] = table["aid"] + table["age"] + rng.normal(size=n)
    effect = ec.ate(ec.Design(table, outcome="wealth", treatment="aid", covariates=["age"]))
    one = ec.sensitivity(effect, benchmark="age", times=[0.1, 1])
    gain = one.diagnostics["gains"]["age"]["r2_treatment"]
    assert gain > 1
    assert one.frame["r2_treatment"].tolist() == pytest.approx([0.1 * gain, 1.0])
    assert any("would leave no bound" in text for text in one.warnings)
    again = ec.sensitivity(effect, benchmark="age", times=one.numbers["times_age"])
    assert again.frame["lower"][0] == pytest.approx(0.0, abs=1e-9)


def test_an_interval_without_an_end_leaves_the_second_panel_out() -> None:
    # with five clusters there are 16 distinct changes of sign, and none is rare enough at 95%
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"village": np.arange(100) // 20, "aid": np.tile([0, 1], 50)})
    table["wealth"] = table["aid"] + rng.normal(size=100)
    effect = ec.ate(ec.Design(table, outcome="wealth", treatment="aid", cluster="village"))
    one = ec.sensitivity(effect.with_vcov({"bootstrap": "wild", "weights": "rademacher"}), r2_treatment=0.1)
    assert one.frame["conf_low"][0] == -np.inf
    assert one.numbers["robustness_value_two_sided"] == 0
    assert "limits" not in one.curves
    assert len(one.plot().axes) == 1
    assert Sensitivity.from_dict(json.loads(json.dumps(one.to_dict(scores=True), allow_nan=False))) == one


def test_strengths_that_hardly_differ_keep_their_own_rows(effect: ec.Estimate) -> None:
    frame = ec.sensitivity(effect, r2_treatment=[0.1, 0.1 + 1e-8], times=1).frame
    assert frame["lower"][0] > frame["lower"][1]
