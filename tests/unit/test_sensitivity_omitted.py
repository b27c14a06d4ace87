"""Omitted variables: brute-force twins of every bound, benchmarks by direct regressions, words, and refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities.given_strengths import (
    number_names,
    read_q,
    read_rho,
    read_strengths,
    read_times,
    times_numbers,
)
from eocausal.sensitivities.linear_model import linear_model
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.strengths import (
    robustness_value,
    robustness_value_classical,
    robustness_value_interval,
)
from tests.studies import by_village, design, images, study

PANEL = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}


def _doses() -> ec.Design:
    table = study(150, seed=4)
    rng = np.random.default_rng(9)
    table["grant"] = 0.5 * table["age"] + rng.normal(size=150)
    table["income"] = table["income"] + 0.7 * table["grant"]
    return design(table, treatment_type="continuous")


def _panel_design(table: pd.DataFrame | None = None, **options: Any) -> ec.PanelDesign:
    if table is None:
        table = ec.simulate_panel(n_regions=20, units_per_region=3, effect=0.6, seed=3).frame
        rng = np.random.default_rng(0)
        table = table.assign(rain=rng.normal(size=len(table)), weight=rng.uniform(0.5, 2, size=len(table)))
    return ec.PanelDesign(table, **{**PANEL, "covariates": ["rain"], "cluster": "region", **options})


# what is estimated, and the same with one more covariate
ESTIMATES: dict[str, Any] = {
    "ols": lambda: ec.ate(design(study(150, seed=1, selected=True)), method="ols"),
    "ols, weights": lambda: ec.ate(design(study(150, seed=1), weights="weight"), method="ols"),
    "ols, features": lambda: ec.ate(
        design(by_village(), features=images()), method="ols", learners=ec.Learners(pca=4)
    ),
    "doses": lambda: ec.ate(_doses(), method="ols"),
    "twfe": lambda: ec.panel(_panel_design(), method="twfe"),
    "twfe, weights": lambda: ec.panel(_panel_design(weights="weight"), method="twfe"),
    "event study": lambda: ec.panel(_panel_design(), method="event_study"),
}


def _subject(name: str) -> tuple[ec.Estimate, str | None]:
    estimate = ESTIMATES[name]()
    return estimate, "event 0" if name == "event study" else None


def _made_so(estimate: ec.Estimate, strength: tuple[float, float], seed: int = 17) -> np.ndarray:
    """Return a column of the partial R2 asked for, which moves the estimate towards zero, row by row."""
    model = linear_model(estimate)
    noise = np.random.default_rng(seed).normal(size=model.outcome.size) * model.roots
    if model.absorbed:
        # take out of the noise what the effects take out of everything
        noise = _within(estimate, noise)
    treatment, outcome, noise = model.residuals(np.column_stack([model.treatment, model.outcome, noise])).T
    slope = treatment @ outcome / (treatment @ treatment)
    outcome = outcome - slope * treatment
    noise = noise - treatment * (treatment @ noise) / (treatment @ treatment)
    noise = noise - outcome * (outcome @ noise) / (outcome @ outcome)
    unit = [one / np.sqrt(one @ one) for one in (treatment, outcome, noise)]
    first, second = strength
    sign = 1.0 if slope > 0 else -1.0
    parts = [np.sqrt(first), sign * np.sqrt((1 - first) * second), np.sqrt((1 - first) * (1 - second))]
    return sum(size * one for size, one in zip(parts, unit)) / model.roots


def _within(estimate: ec.Estimate, values: np.ndarray) -> np.ndarray:
    from eocausal.inference.within import take_out_effects

    table = estimate.origin.entered.table
    model = linear_model(estimate)
    left = take_out_effects((values / model.roots)[:, None], table.unit_codes, table.steps, table.weights)
    return left[:, 0]


def _with_column(estimate: ec.Estimate, column: np.ndarray) -> ec.Estimate:
    """Fit the longer regression by the package's own verb."""
    origin = estimate.origin
    asked = origin.design
    if isinstance(asked, ec.PanelDesign):
        table = asked.table
        rows = pd.DataFrame({"unit": table.unit, "period": table.period, "unseen": column})
        longer = asked.data.merge(rows, on=["unit", "period"])
        roles = {name: getattr(asked, name) for name in ("cluster", "weights")}
        return origin.again(_panel_design(longer, covariates=["rain", "unseen"], **roles))
    longer = asked.data.assign(unseen=pd.Series(column, index=asked.table.ids))
    roles = {name: getattr(asked, name) for name in ("features", "weights", "cluster", "treatment_type")}
    return origin.again(design(longer, covariates=["age", "wealth", "unseen"], **roles))


@pytest.mark.parametrize("strength", [(0.05, 0.3), (0.4, 0.1), (0.2, 0.2), (0.3, 1.0)])
@pytest.mark.parametrize("name", [*ESTIMATES])
def test_a_variable_of_that_strength_moves_estimate_and_error_just_so(
    name: str, strength: tuple[float, float]
) -> None:
    estimate, term = _subject(name)
    found = ec.sensitivity(estimate, term=term, r2_treatment=strength[0], r2_outcome=strength[1])
    row = found.to_frame().query("benchmark == 'given'").iloc[0]
    one = estimate if term is None else _of(estimate, term)
    if strength[1] == 1.0:
        strength = (strength[0], 1 - 1e-9)
    longer = _with_column(one, _made_so(one, strength))
    moved = longer.values[longer.terms.index(one.terms[0])]
    assert row["estimate"] == pytest.approx(moved, abs=1e-4 if strength[1] > 0.99 else 1e-9)
    if strength[1] < 0.99:
        again = ec.sensitivity(longer, term=term, benchmark=[])
        assert row["std_error_classical"] == pytest.approx(again.numbers["std_error_classical"], rel=1e-8)
        half = stats.t.ppf(0.975, linear_model(one).df - 1) * again.numbers["std_error_classical"]
        assert row["conf_low_classical"] == pytest.approx(moved - half, abs=1e-8)
        assert row["conf_high_classical"] == pytest.approx(moved + half, abs=1e-8)
    # as far again on the other side
    assert row["estimate_away"] - one.values[0] == pytest.approx(one.values[0] - row["estimate"], rel=1e-12)


def _of(estimate: ec.Estimate, term: str) -> ec.Estimate:
    from eocausal.sensitivities.subject import one_estimate

    return one_estimate(estimate, term)


@pytest.mark.parametrize("name", [*ESTIMATES])
def test_a_variable_of_the_robustness_value_brings_the_estimate_to_zero(name: str) -> None:
    estimate, term = _subject(name)
    found = ec.sensitivity(estimate, term=term).numbers
    one = estimate if term is None else _of(estimate, term)
    longer = _with_column(one, _made_so(one, (found["robustness_value"],) * 2))
    assert longer.values[longer.terms.index(one.terms[0])] == pytest.approx(0, abs=1e-9)


def test_numbers_are_the_closed_forms_of_classical_and_own_errors() -> None:
    estimate = ec.ate(design(by_village(200), cluster="village"), method="ols")
    model = linear_model(estimate)
    plain = ec.sensitivity(estimate).numbers
    left = model.residuals(np.column_stack([model.treatment, model.outcome]))
    slope = left[:, 0] @ left[:, 1] / (left[:, 0] @ left[:, 0])
    rest = left[:, 1] - slope * left[:, 0]
    error = np.sqrt(rest @ rest / model.df / (left[:, 0] @ left[:, 0]))
    f = abs(slope) / error / np.sqrt(model.df)
    assert plain["std_error_classical"] == pytest.approx(error, rel=1e-12)
    assert plain["robustness_value"] == pytest.approx(robustness_value(f), rel=1e-12)
    classical = robustness_value_classical(f, df=model.df, level=0.95)
    assert plain["robustness_value_two_sided_classical"] == pytest.approx(classical, rel=1e-12)
    own = stats.t.ppf(0.975, 23) * estimate.std_error
    assert plain["reach"] == pytest.approx(own, rel=1e-12)
    by_own = robustness_value_interval(f, own / (error * np.sqrt(model.df)))
    assert plain["robustness_value_two_sided"] == pytest.approx(by_own, rel=1e-12)
    # at that strength the own interval ends at zero
    needed = plain["robustness_value_two_sided"]
    row = ec.sensitivity(estimate, r2_treatment=needed).to_frame().iloc[0]
    assert row["conf_low"] == pytest.approx(0, abs=1e-10)


def test_no_strength_leaves_estimate_and_own_interval_as_they_are() -> None:
    estimate = ec.ate(design(by_village(), cluster="village"), method="ols")
    row = ec.sensitivity(estimate, r2_treatment=0.0, level=0.9).to_frame().iloc[0]
    low, high = estimate.ci(0.9)
    assert row[["estimate", "std_error", "conf_low", "conf_high"]].tolist() == pytest.approx(
        [estimate.estimate, estimate.std_error, low, high], rel=1e-12
    )


def test_bounds_move_on_and_intervals_nest_as_strengths_rise() -> None:
    estimate = ec.ate(design(study(200, selected=True)), method="ols")
    strengths = np.linspace(0, 0.6, 13)
    both = ec.sensitivity(estimate, benchmark=[], r2_treatment=strengths.tolist()).to_frame()
    outcome = ec.sensitivity(
        estimate, benchmark=[], r2_treatment=0.2, r2_outcome=strengths.tolist()
    ).to_frame()
    for made in (both, outcome):
        assert (np.diff(made["estimate"]) < 0).all()
        assert (np.diff(made["conf_low"]) < 0).all()
        assert (np.diff(made["estimate_away"]) > 0).all()
    wide, narrow = (
        ec.sensitivity(estimate, benchmark=[], r2_treatment=0.1, level=level).to_frame().iloc[0]
        for level in (0.99, 0.9)
    )
    assert wide["conf_low"] < narrow["conf_low"] < narrow["conf_high"] < wide["conf_high"]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.assign(income=-3.5 * table["income"]),
        lambda table: table.assign(income=table["income"] + 100),
        lambda table: table.sample(frac=1, random_state=1),
        lambda table: table.assign(age=table["age"] * 1000),
    ],
)
def test_strengths_do_not_depend_on_scale_sign_or_order(change: Any) -> None:
    table = study(150, seed=2, selected=True)
    first, second = (ec.sensitivity(ec.ate(design(one), method="ols")) for one in (table, change(table)))
    for name in ("robustness_value", "robustness_value_two_sided", "partial_r2", "times_covariates"):
        assert second.numbers[name] == pytest.approx(first.numbers[name], rel=1e-7)


def test_a_weight_of_two_is_a_unit_twice_but_for_degrees_of_freedom() -> None:
    table = study(120, seed=5, selected=True)
    table["weight"] = np.where(np.arange(120) < 40, 2.0, 1.0)
    twice = pd.concat([table, table.iloc[:40].set_axis(np.arange(1000, 1040))])
    weighted = ec.sensitivity(ec.ate(design(table, weights="weight"), method="ols"))
    doubled = ec.sensitivity(ec.ate(design(twice), method="ols"))
    assert weighted.numbers["estimate"] == pytest.approx(doubled.numbers["estimate"], rel=1e-10)
    # shares are ratios of sums of squares, and so is the robustness value by way of f^2
    for name in ("partial_r2", "robustness_value", "times_covariates"):
        assert weighted.numbers[name] == pytest.approx(doubled.numbers[name], rel=1e-9)


def _direct(y: np.ndarray, columns: np.ndarray, kept: np.ndarray, weights: np.ndarray) -> float:
    """Partial R2 of all columns beyond those kept, from two weighted regressions."""
    import statsmodels.api as sm

    squares = [
        sm.WLS(y, np.column_stack([np.ones(len(y)), one]), weights=weights).fit().ssr
        for one in (kept, np.column_stack([kept, columns]))
    ]
    return 1 - squares[1] / squares[0]


@pytest.mark.parametrize("weights", [None, "weight"])
def test_benchmarks_against_direct_regressions(weights: str | None) -> None:
    table = by_village(240)
    features = images(width=5)
    asked = design(table, features=features, weights=weights)
    estimate = ec.ate(asked, method="ols", learners=ec.Learners(pca=3), vcov="iid")
    found = ec.sensitivity(
        estimate, benchmark={"age": "age", "both": ["age", "wealth"], "pictures": "features"}
    ).curves["yardsticks"]
    from eocausal.effects.coefficients import model_columns
    from eocausal.nuisance.settings import Settings

    columns = model_columns(asked, Settings(ec.Folds(), ec.Learners(pca=3), 0)).values
    assert columns.shape[1] == 5
    w = asked.table.weights
    groups = {"age": [0], "both": [0, 1], "pictures": [2, 3, 4]}
    assert found["benchmark"].tolist() == [*groups]
    assert found["columns"].tolist() == [1, 2, 3]
    for (_, row), members in zip(found.iterrows(), groups.values()):
        rest = np.delete(columns, members, axis=1)
        with_treatment = np.column_stack([rest, asked.table.assigned])
        treatment = _direct(asked.table.assigned, columns[:, members], rest, w)
        outcome = _direct(asked.table.outcome, columns[:, members], with_treatment, w)
        assert row["r2_treatment"] == pytest.approx(treatment, rel=1e-9)
        assert row["r2_outcome"] == pytest.approx(outcome, rel=1e-9)


def test_one_block_and_all_blocks_of_features() -> None:
    rng = np.random.default_rng(2)
    asked = design(by_village(240), features=images(width=7))
    blocks = {"near": (0, 3), "far": (3, 7)}
    asked = asked.narrowed(rng.normal(size=(240, 7)).astype(np.float32), blocks)
    estimate = ec.ate(asked, method="ols", learners=ec.Learners(pca=None), vcov="iid")
    found = ec.sensitivity(estimate, benchmark=["near", "far", "features"]).curves["yardsticks"]
    assert found["columns"].tolist() == [3, 4, 7]
    for name, (start, stop) in {**blocks, "features": (0, 7)}.items():
        rest = np.delete(asked.table.features, np.arange(start, stop), axis=1)
        rest = np.column_stack([asked.table.covariates, rest])
        direct = _direct(asked.table.assigned, asked.table.features[:, start:stop], rest, np.ones(240))
        row = found.set_index("benchmark").loc[name]
        assert row["r2_treatment"] == pytest.approx(direct, rel=1e-5)


def test_times_multiply_the_benchmark_and_the_multiple_needed_brings_it_to_zero() -> None:
    estimate = ec.ate(design(study(200, selected=True)), method="ols")
    found = ec.sensitivity(estimate, benchmark="age", times=(0.5, 1))
    assert found.to_frame()["times"].tolist() == [0.5, 1.0]
    needed, sooner = found.numbers["times_age"], found.numbers["times_age_two_sided"]
    assert 0 < sooner < needed
    there = ec.sensitivity(estimate, benchmark="age", times=(sooner, needed)).to_frame()
    assert there["conf_low"].iloc[0] == pytest.approx(0, abs=1e-8)
    assert there["estimate"].iloc[1] == pytest.approx(0, abs=1e-8)


def _places(seed: int = 0, n: int = 200) -> ec.Design:
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(10, 12, n), rng.uniform(-3, 1, n)
    east, north = lon - 11, lat + 1
    table = pd.DataFrame({"village": [f"v{i}" for i in range(n)], "lon": lon, "lat": lat})
    table["age"] = rng.normal(size=n)
    table["aid"] = (east - 0.3 * north + table["age"] + rng.normal(size=n) > 0).astype(int)
    table["growth"] = table["aid"] + east + 0.5 * north**2 + table["age"] + rng.normal(size=n)
    units = ec.read_units(table, id="village", lon="lon", lat="lat")
    return ec.Design(units, outcome="growth", treatment="aid", covariates=["age"])


@pytest.mark.parametrize("seed", range(4))
def test_coordinates_are_measured_as_if_added_and_bound_what_adding_them_does(seed: int) -> None:
    asked = _places(seed)
    estimate = ec.ate(asked, method="ols")
    found = ec.sensitivity(estimate, benchmark="coordinates", times=1)
    table = asked.table
    east, north = ((table.coordinates - table.coordinates.mean(axis=0)) / table.coordinates.std(axis=0)).T
    surface = np.column_stack([east, north, east**2, north**2, east * north])
    ones = np.ones(len(asked))
    row = found.to_frame().iloc[0]
    treatment = _direct(table.assigned, surface, table.covariates, ones)
    both = np.column_stack([table.covariates, table.assigned])
    assert row["r2_treatment"] == pytest.approx(treatment, rel=1e-9)
    assert row["r2_outcome"] == pytest.approx(_direct(table.outcome, surface, both, ones), rel=1e-9)
    import statsmodels.api as sm

    longer = sm.OLS(table.outcome, np.column_stack([table.assigned, ones, table.covariates, surface])).fit()
    assert row["estimate"] <= longer.params[0] <= row["estimate_away"]


def test_a_surface_that_follows_from_covariates_adds_only_what_is_new() -> None:
    asked = _places()
    frame = asked.data.frame.assign(east=asked.data.frame["lon"])
    units = ec.read_units(frame, id="village", lon="lon", lat="lat")
    estimate = ec.ate(
        ec.Design(units, outcome="growth", treatment="aid", covariates=["age", "east"]), method="ols"
    )
    row = ec.sensitivity(estimate, benchmark="coordinates", times=1).to_frame().iloc[0]
    table = estimate.origin.entered.table
    east, north = ((table.coordinates - table.coordinates.mean(axis=0)) / table.coordinates.std(axis=0)).T
    new = np.column_stack([north, east**2, north**2, east * north])
    direct = _direct(table.assigned, new, table.covariates, np.ones(len(table.ids)))
    assert row["r2_treatment"] == pytest.approx(direct, rel=1e-8)


def test_what_cannot_be_as_strong_is_said_and_not_missing_in_silence() -> None:
    table = study(150, seed=1)
    table["grant"] = (table["age"] + 0.3 * np.random.default_rng(1).normal(size=150) > 0).astype(int)
    found = ec.sensitivity(ec.ate(design(table), method="ols"), benchmark="age", times=(0.2, 0.5, 5))
    frame = found.to_frame()
    assert frame["note"].tolist() == ["", "explains all of the outcome", "impossible"]
    assert frame["estimate"].isna().tolist() == [False, False, True]
    assert frame["r2_outcome"].tolist()[1] == 1.0
    capped, empty = found.warnings[-2:]
    assert capped.startswith(
        "no omitted variable can be 0.5 times as strong as age with the outcome: these rows"
    )
    assert empty.startswith(
        "no omitted variable can be 5 times as strong as age with the treatment: it would"
    )
    assert found.curves["points"]["name"].tolist() == ["0.2 x age", "0.5 x age"]
    read = Sensitivity.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert read == found
    read.plot()


def test_interacted_regressions_take_the_interactions_of_a_benchmark_along() -> None:
    for estimand in ("ate", "att", "atc"):
        estimate = ec.ate(design(study(200), weights="weight"), method="regression", estimand=estimand)
        found = ec.sensitivity(estimate, benchmark="age")
        assert found.numbers["estimate"] == pytest.approx(estimate.estimate, rel=1e-12)
        assert found.curves["yardsticks"]["columns"].tolist() == [2]
        assert any("without interactions" in text for text in found.assumptions)


def test_of_a_difference_in_means_there_is_nothing_to_compare_with() -> None:
    estimate = ec.ate(design(study(150)), method="difference")
    found = ec.sensitivity(estimate)
    assert found.to_frame()["benchmark"].tolist() == ["usual"] * 3
    assert found.to_frame()["r2_treatment"].tolist() == [0.01, 0.05, 0.1]
    assert any("all covariates are no part of this regression" in text for text in found.warnings)
    assert "times as much" not in found.sentence
    with pytest.raises(SensitivityError, match=r"'age' is no part.*\n.*method='ols'"):
        ec.sensitivity(estimate, benchmark="age")
    assert Sensitivity.from_dict(found.to_dict()) == found


def test_image_features_that_the_regression_does_not_take_in_are_told_of() -> None:
    asked = design(by_village(240), features=images())
    width = asked.table.features.shape[1]
    few = ec.sensitivity(
        ec.ate(asked, method="ols", learners=ec.Learners(pca=3)), benchmark=["features", "age"]
    )
    assert f"all image features: of {width} columns 3 leading components are in" in " ".join(few.warnings)
    assert sum("leading components" in text for text in few.warnings) == 1
    every = ec.sensitivity(ec.ate(asked, method="ols", learners=ec.Learners(pca=width)), benchmark="features")
    assert not any("leading components" in text for text in every.warnings)


def test_unit_effects_hold_where_units_lie() -> None:
    table = ec.simulate_panel(n_regions=20, units_per_region=3, seed=3).frame
    estimate = ec.panel(_panel_design(table, covariates=[], coordinates=("lon", "lat")), method="twfe")
    with pytest.raises(SensitivityError, match="unit effects hold it already"):
        ec.sensitivity(estimate, benchmark="coordinates")


def test_a_panel_is_the_regression_on_dummies() -> None:
    estimate = ec.panel(_panel_design(), method="twfe")
    table = estimate.origin.entered.table
    dummies = pd.get_dummies(
        pd.DataFrame({"unit": table.unit_codes, "step": table.steps}).astype(str),
        drop_first=True,
        dtype=float,
    )
    columns = pd.concat([dummies, pd.Series(table.covariates[:, 0], name="rain")], axis=1)
    flat = columns.assign(outcome=table.outcome, treated=table.treatment)
    by_dummies = ec.ate(
        ec.Design(flat, outcome="outcome", treatment="treated", covariates=[*columns.columns]), method="ols"
    )
    first = ec.sensitivity(estimate, benchmark="rain")
    second = ec.sensitivity(by_dummies, benchmark="rain")
    for name in ("estimate", "std_error_classical", "df_classical", "robustness_value", "times_rain"):
        assert first.numbers[name] == pytest.approx(second.numbers[name], rel=1e-7)
    np.testing.assert_allclose(
        first.to_frame()[["r2_treatment", "r2_outcome", "estimate", "std_error_classical"]],
        second.to_frame()[["r2_treatment", "r2_outcome", "estimate", "std_error_classical"]],
        rtol=1e-7,
    )


@pytest.mark.parametrize("method", ["lcc", "tweedie", "none"])
def test_corrected_estimates_are_those_of_the_corrected_outcome_with_errors_of_the_calibration(
    method: str,
) -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=600)
    places = pd.DataFrame({"truth": truth, "map": 0.6 * truth + 0.4 * rng.normal(size=600)})
    fix = ec.debias(places, prediction="map", truth="truth", method=method)
    table = study(200, selected=True)
    table["income"] = 0.5 * table["income"]
    corrected = ec.ate(design(table), method="ols", correct=fix)
    plain = ec.sensitivity(ec.ate(design(table), method="ols"))
    found = ec.sensitivity(corrected)
    best = corrected.best
    assert found.numbers["estimate"] == pytest.approx(best.estimate, rel=1e-9)
    assert found.numbers["std_error"] == pytest.approx(best.std_error, rel=1e-12)
    if method != "tweedie":
        # a line changes no share
        for name in ("robustness_value", "robustness_value_two_sided_classical", "times_covariates"):
            assert found.numbers[name] == pytest.approx(plain.numbers[name], rel=1e-6)
    if method == "lcc":
        assert found.numbers["robustness_value_two_sided"] < plain.numbers["robustness_value_two_sided"]


@pytest.mark.parametrize("method", ["twfe", "event_study"])
def test_corrected_panels_are_those_of_the_corrected_outcome(method: str) -> None:
    asked = {"n_regions": 20, "units_per_region": 4, "imputed": (0.9, 0.5, 0.5)}
    labelled = ec.simulate_panel(**asked, effect=0.0, seed=9).frame
    fix = ec.debias(labelled, prediction="imputed", truth="outcome", unit="unit", period="period")
    predicted = ec.simulate_panel(**asked, seed=1).frame
    study_design = ec.PanelDesign(predicted, **{**PANEL, "outcome": "imputed"}, cluster="region")
    corrected = ec.panel(study_design, method=method, correct=fix)
    term = None if method == "twfe" else "event 0"
    found = ec.sensitivity(corrected, term=term)
    place = 0 if term is None else corrected.of.index(term)
    assert found.numbers["estimate"] == pytest.approx(corrected.best.values[place], rel=1e-9)
    assert found.subject.term == ("treated" if term is None else term)
    plain = ec.sensitivity(ec.panel(study_design, method=method), term=term)
    # a line changes no share, and the calibration adds to the errors
    assert found.numbers["robustness_value"] == pytest.approx(plain.numbers["robustness_value"], rel=1e-6)
    assert found.numbers["robustness_value_two_sided"] <= plain.numbers["robustness_value_two_sided"]


@pytest.mark.parametrize("vcov", ["hetero", {"bootstrap": "wild", "draws": 199}, {"conley": "50km"}])
def test_every_kind_of_own_error_is_taken(vcov: Any) -> None:
    estimate = ec.ate(_places(), method="ols")
    if "bootstrap" in vcov:
        vcov = {**vcov, "cluster": pd.Series(np.arange(200) % 20, index=estimate.ids)}
    estimate = estimate.with_vcov(vcov)
    found = ec.sensitivity(estimate, r2_treatment=0.05)
    low, _ = estimate.ci()
    assert found.numbers["reach"] == pytest.approx(estimate.estimate - low, rel=1e-12)
    row = found.to_frame().iloc[0]
    widened = (estimate.estimate - low) / np.sqrt(0.95)
    assert row["conf_low"] == pytest.approx(row["estimate"] - widened, rel=1e-9)
    assert found.subject.vcov == estimate.vcov
    found.plot()


def test_an_interval_without_an_end_holds_zero_and_survives_being_written() -> None:
    labels = pd.Series(np.arange(120) % 4, index=study().index)
    estimate = ec.ate(design(study()), method="ols").with_vcov(
        {"bootstrap": "wild", "cluster": labels, "weights": "rademacher"}
    )
    found = ec.sensitivity(estimate, benchmark=[], r2_treatment=0.1)
    assert np.isinf(found.to_frame()["conf_low"]).all()
    assert found.numbers["robustness_value_two_sided"] == 0.0
    assert found.sentence.startswith("The 95% interval, by a wild bootstrap over the clusters given,")
    read = Sensitivity.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert read == found
    assert np.isinf(read.to_frame()["conf_low"]).all()
    read.plot()


def test_it_reads_back_and_draws_the_same() -> None:
    estimate = ec.ate(design(by_village(), features=images()), method="ols", learners=ec.Learners(pca=3))
    found = ec.sensitivity(estimate, benchmark=["features", "age"], r2_treatment=[0.05, 0.1], r2_outcome=0.2)
    read = Sensitivity.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert read == found
    pd.testing.assert_frame_equal(read.to_frame(), found.to_frame())
    assert len(found.summary().splitlines()) <= 25
    assert found.to_frame()["benchmark"].tolist() == ["given"] * 2 + ["features"] * 3 + ["age"] * 3
    first, second = found.plot(), read.plot()
    texts = [[text.get_text() for ax in one.axes for text in ax.texts] for one in (first, second)]
    assert texts[0] == texts[1]
    assert {"1 x all image features", "1 x age", "given"} <= set(texts[0])
    assert len(first.axes) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"r2_outcome": 0.1}, "without r2_treatment"),
        ({"r2_treatment": 1.0}, "0 <= r2_treatment < 1"),
        ({"r2_treatment": -0.1}, "0 <= r2_treatment < 1"),
        ({"r2_treatment": "a"}, "no number"),
        ({"r2_treatment": float("nan")}, "0 <= r2_treatment < 1"),
        ({"r2_treatment": 0.1, "r2_outcome": 1.1}, "0 <= r2_outcome <= 1"),
        ({"r2_treatment": [0.1, 0.2], "r2_outcome": [0.1, 0.2, 0.3]}, "2 values and r2_outcome 3"),
        ({"r2_treatment": []}, "r2_treatment"),
        ({"times": 0}, "numbers above 0"),
        ({"times": (1, -2)}, "numbers above 0"),
        ({"times": True}, "numbers above 0"),
        ({"times": float("inf")}, "numbers above 0"),
        ({"q": 0}, "one number above 0"),
        ({"q": (0.5, 1)}, "one number above 0"),
        ({"q": None}, "q=None"),
        ({"rho": 1}, r"kind='omitted' has no option(.|\n)*rho(.|\n)*kind='dml'"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    estimate = ec.ate(design(study()), method="ols")
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(estimate, kind="omitted", **options)


def test_options_are_read_as_numbers_or_lists() -> None:
    assert read_strengths(None, None) == []
    assert read_strengths(0.1, None) == [(0.1, 0.1)]
    assert read_strengths((0.1, 0.2), 0.5) == [(0.1, 0.5), (0.2, 0.5)]
    assert read_strengths(0.1, np.array([0.2, 0.3])) == [(0.1, 0.2), (0.1, 0.3)]
    assert read_times(None) == []
    assert read_times(2) == [2.0]
    assert read_q(0.5) == 0.5
    assert read_rho(1) == 1.0
    for given in (["0.1"], [True], np.array([True]), "0.1", [None], {"a": 0.1}):
        with pytest.raises(SensitivityError, match="is no number"):
            read_strengths(given, 0.1)
    with pytest.raises(SensitivityError, match="is empty"):
        read_times([])


def test_numbers_of_benchmarks_never_take_the_name_of_another() -> None:
    names = number_names(["a b no 2", "A b", "a-b", "age", "age two sided", "-"])
    assert names == ["a_b_no_2", "a_b", "a_b_no_3", "age", "age_two_sided_no_2", "benchmark"]
    found = times_numbers(["age", "age_two_sided"], [1.0, 2.0], [3.0, np.inf])
    assert found == {"times_age": 1.0, "times_age_two_sided": 3.0, "times_age_two_sided_no_2": 2.0}


@pytest.mark.parametrize("method", ["ols", "partially_linear"])
def test_a_value_of_zero_has_no_sign(method: str) -> None:
    table = study(150)
    table["income"] = -table["income"] - 3 * table["grant"]
    found = ec.sensitivity(ec.ate(design(table), method=method), r2_treatment=0.1)
    assert found.numbers["estimate"] < 0
    assert np.copysign(1.0, found.numbers["null"]) == 1.0


def test_regressions_and_learned_effects_name_things_alike() -> None:
    asked = design(study(150, selected=True))
    one, other = (ec.sensitivity(ec.ate(asked, method=name), r2_treatment=0.1) for name in ("ols", "aipw"))
    shared = ["benchmark", "times", "r2_treatment", "r2_outcome", "note"]
    assert (
        one.frame["benchmark"].tolist() == other.frame["benchmark"].tolist() == ["given", *["covariates"] * 3]
    )
    assert set(shared) <= set(one.frame) & set(other.frame)
    assert one.curves["points"]["name"].tolist() == other.curves["points"]["name"].tolist()
    common = {
        "estimate", "null", "scale", "level", "robustness_value", "robustness_value_two_sided", "times_covariates",
        "times_covariates_two_sided",
    }  # fmt: skip
    assert common <= set(one.numbers) & set(other.numbers)


@pytest.mark.parametrize("method", ["aipw", "ipw"])
def test_other_methods_are_sent_elsewhere(method: str) -> None:
    estimate = ec.ate(design(study(), propensity="p"), method=method)
    with pytest.raises(SensitivityError, match="no coefficient of one regression"):
        ec.sensitivity(estimate, kind="omitted")


def test_a_panel_without_a_regression_is_sent_to_one() -> None:
    estimate = ec.panel(_panel_design(covariates=[]), method="did")
    with pytest.raises(SensitivityError, match=r"no coefficient(.|\n)*ec\.panel\(design, method='twfe'\)"):
        ec.sensitivity(estimate, kind="omitted")
    with pytest.raises(SensitivityError, match=r"has 1 term\."):
        ec.sensitivity(ec.ate(design(study()), method="ols"), term="age")


def test_several_arms_are_refused() -> None:
    table = study()
    table["grant"] = np.tile(["none", "small", "large"], 40)
    arms = design(table, treatment_type="categorical", control="none")
    estimate = ec.ate(arms, method="difference")
    with pytest.raises(SensitivityError, match=r"arms"):
        ec.sensitivity(estimate, kind="omitted", term=estimate.terms[0])


def test_a_regression_that_leaves_nothing_is_refused() -> None:
    table = study()
    table["income"] = 1 + 2 * table["grant"] + table["age"] - table["wealth"]
    with pytest.raises(SensitivityError, match="leaves nothing of the outcome to explain"):
        ec.sensitivity(ec.ate(design(table), method="ols"))


def test_names_that_become_one_keep_their_numbers_apart() -> None:
    estimate = ec.ate(design(study(200, selected=True)), method="ols")
    found = ec.sensitivity(estimate, benchmark={"A b": "age", "a-b": "wealth", "Größe": "age"})
    numbers, table = found.numbers, found.curves["yardsticks"]
    assert numbers["times_a_b"] == table["times"][0]
    assert numbers["times_a_b_no_2"] == table["times"][1]
    assert numbers["times_a_b_no_2_two_sided"] == table["times_two_sided"][1]
    assert numbers["times_größe"] == table["times"][2]


def test_an_estimate_of_exactly_zero_needs_nothing() -> None:
    table = pd.DataFrame({"grant": [0, 1] * 20, "income": np.repeat(np.tile([-1.0, 1.0], 10), 2)})
    estimate = ec.ate(ec.Design(table, outcome="income", treatment="grant"), method="difference")
    assert estimate.estimate == 0
    found = ec.sensitivity(estimate, r2_treatment=0.1)
    assert found.numbers["robustness_value"] == found.numbers["robustness_value_two_sided"] == 0.0
    assert found.sentence.startswith("The estimate is zero")
    found.plot()
