"""Selection on the unseen, asked of results: mtcars, benchmarks, panels, weights, figures, refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities import oster, proportional_selection
from eocausal.sensitivities.kinds import Call
from eocausal.sensitivities.oster import EMPTY, USUAL
from eocausal.sensitivities.selection_moments import seen_controls

# Miles per gallon, horsepower, weight and quarter mile time of 32 cars (Henderson and Velleman 1981).
CARS = """
21.0 110 2.620 16.46|21.0 110 2.875 17.02|22.8 93 2.320 18.61|21.4 110 3.215 19.44|18.7 175 3.440 17.02
18.1 105 3.460 20.22|14.3 245 3.570 15.84|24.4 62 3.190 20.00|22.8 95 3.150 22.90|19.2 123 3.440 18.30
17.8 123 3.440 18.90|16.4 180 4.070 17.40|17.3 180 3.730 17.60|15.2 180 3.780 18.00|10.4 205 5.250 17.98
10.4 215 5.424 17.82|14.7 230 5.345 17.42|32.4 66 2.200 19.47|30.4 52 1.615 18.52|33.9 65 1.835 19.90
21.5 97 2.465 20.01|15.5 150 3.520 16.87|15.2 150 3.435 17.30|13.3 245 3.840 15.41|19.2 175 3.845 17.05
27.3 66 1.935 18.90|26.0 91 2.140 16.70|30.4 113 1.513 16.90|15.8 264 3.170 14.50|19.7 175 2.770 15.50
15.0 335 3.570 14.60|21.4 109 2.780 18.60
"""


@pytest.fixture(scope="module")
def cars() -> ec.Design:
    rows = [[float(one) for one in row.split()] for row in CARS.replace("\n", "|").split("|") if row]
    table = pd.DataFrame(rows, columns=["mpg", "hp", "wt", "qsec"])
    return ec.Design(
        table, outcome="mpg", treatment="wt", treatment_type="continuous", covariates=["hp", "qsec"]
    )


def linear_world(n: int = 400, seed: int = 0, images: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=["age", "land", "unseen"])
    table["grant"] = (table.age + 0.5 * table.land + 0.6 * table.unseen + rng.normal(size=n) > 0).astype(int)
    table["wealth"] = table.grant + table.age + 0.5 * table.land + 0.6 * table.unseen + rng.normal(size=n)
    table["village"] = np.arange(n) // 4
    table["weight"] = rng.choice([1.0, 2.0], size=n)
    return table


def designed(table: pd.DataFrame, **named: object) -> ec.Design:
    return ec.Design(table, outcome="wealth", treatment="grant", **{"covariates": ["age", "land"], **named})


@pytest.fixture(scope="module")
def result() -> ec.Estimate:
    return ec.ate(designed(linear_world()), method="ols")


def test_cars_as_printed(cars):
    found = ec.sensitivity(ec.ate(cars, method="ols"), kind="oster", r2_max=0.9)
    numbers = found.numbers
    expected = {
        "estimate": -4.3587972, "short": -5.3444716, "r2_short": 0.7528328, "r2_long": 0.8347678,
        "delta_star": 1.15113633, "beta_star": -2.00018494,
    }  # fmt: skip
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=5e-8)
    roots = found.frame[found.frame["quantity"] == "effect"]
    assert roots["value"].to_numpy() == pytest.approx([-7.01409514, -2.00018494], abs=5e-8)
    assert roots["note"].tolist() == ["another solution", USUAL]
    for delta, root in ((0.5, -3.51362232), (2.0, -6.40610686)):
        other = ec.sensitivity(ec.ate(cars, method="ols"), kind="oster", r2_max=0.9, delta=delta)
        assert other.numbers["beta_star"] == pytest.approx(root, abs=5e-8)
        assert other.numbers["roots"] == 1
    full = ec.sensitivity(ec.ate(cars, method="ols"), kind="oster", r2_max=1)
    assert full.numbers["delta_star"] == pytest.approx(0.83412641, abs=5e-8)
    values = full.frame.loc[full.frame["quantity"] == "effect", "value"].to_numpy()
    assert values == pytest.approx([-6.42862588, 3.30542196], abs=5e-8)


def test_moments_are_those_of_the_two_regressions(result):
    table = linear_world()
    seen = seen_controls(result, Call((), False, 0.95, 0, False))[0].moments
    y, t = table["wealth"], table["grant"]
    assert seen.total == pytest.approx(y.var(ddof=0))
    assert seen.short == pytest.approx(np.cov(y, t)[0, 1] / t.var())
    assert seen.r2_short == pytest.approx(np.corrcoef(y, t)[0, 1] ** 2)
    assert seen.long == pytest.approx(result.estimate)
    assert seen.r2_long == pytest.approx(result.diagnostics["r2"])


def test_ceiling_is_by_default_thirteen_tenths(result):
    found = ec.sensitivity(result, kind="oster")
    assert found.numbers["r2_max"] == pytest.approx(1.3 * result.diagnostics["r2"])
    assert "if all variables together explained" in found.sentence
    assert "(delta; 95% interval " in found.sentence
    wide = ec.sensitivity(result, kind="oster", level=0.99)
    assert "(delta; 99% interval " in wide.sentence
    assert wide.numbers["delta_star_low"] < found.numbers["delta_star_low"]
    assert wide.numbers["beta_star_high"] > found.numbers["beta_star_high"]


def test_errors_are_those_of_a_bootstrap():
    """Delta and the root by the delta method against 150 draws of units."""
    table = linear_world(600, seed=2)
    found = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="oster", benchmark="covariates")
    rng, draws = np.random.default_rng(0), []
    asked = oster.Asked(None, 1.0, 0.0)
    call = Call((), False, 0.95, 0, False)
    for _ in range(150):
        drawn = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        moments = seen_controls(ec.ate(designed(drawn), method="ols"), call)[0].moments
        ceiling = moments.ceiling(asked.r2_max)
        roots = proportional_selection.betas(moments, r2_max=ceiling)
        near = roots[np.abs(roots - found.numbers["beta_star"]).argmin()]
        draws.append([proportional_selection.delta_of(moments, r2_max=ceiling), near])
    errors = found.estimates["covariates"]
    spread = np.std(draws, axis=0)
    usual = found.frame.loc[found.frame["note"] == USUAL, "std_error"].iloc[0]
    assert errors.to_frame()["std_error"].iloc[0] == pytest.approx(spread[0], rel=0.2)
    assert usual == pytest.approx(spread[1], rel=0.2)


def test_clusters_of_the_estimate_are_those_of_delta():
    table = linear_world()
    doubled = pd.concat([table, table], ignore_index=True)
    doubled["pair"] = np.tile(np.arange(len(table)), 2)
    once = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="oster")
    twice = ec.sensitivity(ec.ate(designed(doubled, cluster="pair"), method="ols"), kind="oster")
    assert twice.numbers["delta_star"] == pytest.approx(once.numbers["delta_star"])
    errors = [one.estimates["all controls"] for one in (once, twice)]
    factors = [np.sqrt(one.variance.factor) for one in errors]
    assert errors[1].vcov == "cluster(pair)"
    assert np.ravel(errors[1].std_error) / factors[1] == pytest.approx(
        np.ravel(errors[0].std_error) / factors[0]
    )
    changed = errors[1].with_vcov("iid")
    assert np.ravel(changed.std_error)[0] < np.ravel(errors[1].std_error)[0]


def test_a_weight_of_two_is_a_row_twice():
    table = linear_world()
    repeated = table.loc[table.index.repeat(table["weight"].astype(int))].reset_index(drop=True)
    weighted = ec.sensitivity(ec.ate(designed(table, weights="weight"), method="ols"), kind="oster")
    plain = ec.sensitivity(ec.ate(designed(repeated), method="ols"), kind="oster")
    for name in ("delta_star", "beta_star", "r2_long", "r2_short", "beta_linear"):
        assert weighted.numbers[name] == pytest.approx(plain.numbers[name])


def test_order_of_rows_and_units_do_not_matter(result):
    table = linear_world()
    moved = table.sample(frac=1, random_state=1).reset_index(drop=True)
    moved["wealth"] *= 1000
    one, other = (
        ec.sensitivity(ec.ate(designed(rows), method="ols"), kind="oster").numbers for rows in (table, moved)
    )
    for name, factor in (
        ("delta_star", 1),
        ("delta_star_low", 1),
        ("beta_star", 1000),
        ("beta_star_high", 1000),
    ):
        assert other[name] == pytest.approx(factor * one[name], rel=1e-6)


def test_always_moves_controls_to_the_short_regression(result):
    found = ec.sensitivity(result, kind="oster", always="age")
    table = linear_world()
    columns = np.column_stack([table["grant"], np.ones(len(table)), table["age"]])
    fitted = np.linalg.lstsq(columns, table["wealth"], rcond=None)[0]
    assert found.numbers["short"] == pytest.approx(fitted[0])
    assert found.numbers["estimate"] == pytest.approx(result.estimate)
    assert "the other controls" in found.sentence
    alone = ec.sensitivity(result, kind="oster", benchmark="land")
    same = alone.frame[alone.frame["compared_with"] == "land"]["value"].to_numpy()
    assert same == pytest.approx(found.frame["value"].to_numpy())


def test_one_control_has_a_root_that_is_no_solution(result):
    found = ec.sensitivity(result, kind="oster", benchmark="age")
    notes = found.frame.loc[found.frame["compared_with"] == "age", "note"].tolist()
    assert notes.count(EMPTY) == 1


def test_images_are_what_the_unseen_is_compared_with():
    rng = np.random.default_rng(0)
    table = linear_world()
    features = (
        table[["age", "land"]].to_numpy() @ rng.normal(size=(2, 16)) + rng.normal(size=(400, 16))
    ).astype("f4")
    frame = pd.DataFrame(features, columns=[f"f{one}" for one in range(16)])
    frame.insert(0, "image_key", [f"p{one}" for one in range(400)])
    table["image_key"] = frame["image_key"]
    design = designed(table, features=ec.read_embeddings(frame, key="image_key"))
    made = ec.ate(design, method="ols")
    found = ec.sensitivity(made, kind="oster")
    assert set(found.frame["compared_with"]) == {"all controls", "features", "covariates"}
    only = ec.sensitivity(made, kind="oster", benchmark="features", always="covariates")
    assert "all image features" in only.sentence
    named = found.frame[found.frame["compared_with"] == "features"]["value"].to_numpy()
    assert only.frame["value"].to_numpy() == pytest.approx(named)


def test_it_is_read_back_as_it_was(result):
    found = ec.sensitivity(result, kind="oster", benchmark=["age", "land"])
    content = found.to_dict(scores=True)
    again = type(found).from_dict(json.loads(json.dumps(content, allow_nan=False)))
    assert again.to_dict(scores=True) == content
    pd.testing.assert_frame_equal(again.frame, found.frame)
    assert len(again.plot().axes[0].lines) == len(found.plot().axes[0].lines) > 4
    assert "oster" in repr(again)
    assert len(found.summary().splitlines()) <= 25


def test_sentence_of_controls_that_moved_the_estimate_away_from_zero():
    rng = np.random.default_rng(3)
    age = rng.normal(size=500)
    grant = (age + rng.normal(size=500) > 0).astype(int)
    table = pd.DataFrame({"age": age, "grant": grant, "wealth": 2 * grant - 1.2 * age + rng.normal(size=500)})
    found = ec.sensitivity(ec.ate(designed(table, covariates=["age"]), method="ols"), kind="oster")
    assert found.numbers["delta_star"] < 0
    assert (
        f"against all covariates, with selection {-found.numbers['delta_star']:.3g} times as"
        in found.sentence
    )


def test_sentence_of_an_estimate_that_is_not_told_from_zero():
    table = linear_world()
    table["wealth"] = np.random.default_rng(9).normal(size=len(table)) + table["age"]
    found = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="oster")
    assert found.sentence.endswith("The estimate itself cannot be told from zero.")


def test_sentence_names_all_solutions(cars):
    found = ec.sensitivity(ec.ate(cars, method="ols"), kind="oster", r2_max=0.9)
    assert (
        "the effect would be -7.01 or -2: the data do not tell which, the usual rule takes -2."
        in found.sentence
    )


def test_no_interval_where_the_denominator_may_be_zero():
    rng = np.random.default_rng(5)
    table = linear_world()
    table["age"], table["land"] = rng.normal(size=(2, len(table)))  # nothing to do with anything
    found = ec.sensitivity(ec.ate(designed(table), method="ols"), kind="oster")
    assert np.isnan(found.numbers["delta_star_low"])
    assert any(text.startswith("no interval for delta (all covariates)") for text in found.warnings)


def panel(n_units: int = 60, n_periods: int = 6, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    unit, year = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    start = rng.integers(2, 9, n_units)
    rain = rng.normal(size=unit.size) + 0.3 * (year >= start[unit])
    grant = (year >= start[unit]).astype(int)
    wealth = 0.5 * grant + rain + rng.normal(size=n_units)[unit] + 0.1 * year + rng.normal(size=unit.size)
    return pd.DataFrame({"unit": unit, "year": year, "grant": grant, "rain": rain, "wealth": wealth})


def test_of_a_panel_it_is_within_and_imputed_outcomes_are_told_of():
    table = panel()
    named = {
        "outcome": "wealth",
        "treatment": "grant",
        "unit": "unit",
        "period": "year",
        "covariates": ["rain"],
    }
    found = ec.sensitivity(ec.panel(ec.PanelDesign(table, **named), method="twfe"), kind="oster")
    within = table.copy()
    for column in ("wealth", "grant", "rain"):
        for _ in range(200):
            for group in ("unit", "year"):
                within[column] -= within.groupby(group)[column].transform("mean")
    y, t = within["wealth"], within["grant"]
    assert found.numbers["short"] == pytest.approx((y @ t) / (t @ t))
    assert found.numbers["r2_short"] == pytest.approx((y @ t) ** 2 / (t @ t) / (y @ y))
    assert found.estimates["all controls"].n == len(table)
    imputed = ec.PanelDesign(table, **named, outcome_imputed=ec.Imputed(from_sensor="landsat"))
    told = ec.sensitivity(ec.panel(imputed, method="twfe"), kind="oster").warnings
    assert any("should be the ceiling of the prediction" in text for text in told)


def test_of_a_corrected_outcome_it_is_the_believed_estimate():
    places, trial = linear_world(300, seed=4), linear_world(400, seed=5)
    for table in (places, trial):
        table["map"] = 0.6 * table["wealth"] + 0.3 * np.random.default_rng(len(table)).normal(size=len(table))
    fix = ec.debias(places, prediction="map", truth="wealth", method="lcc")
    design = ec.Design(trial, outcome="map", treatment="grant", covariates=["age", "land"])
    corrected = ec.ate(design, method="ols", correct=fix)
    found = ec.sensitivity(corrected, kind="oster")
    plain = ec.sensitivity(ec.ate(design, method="ols"), kind="oster")
    assert found.numbers["estimate"] == pytest.approx(corrected.best.estimate)
    assert any("calibration" in text for text in found.warnings)
    assert any("should be the ceiling of the prediction" in text for text in found.warnings)
    # a linear correction changes the unit of the outcome alone
    assert found.numbers["delta_star"] == pytest.approx(plain.numbers["delta_star"])


def test_sentence_of_a_root_on_the_other_side(result):
    found = ec.sensitivity(result, kind="oster", delta=2, r2_max=0.9)
    assert found.numbers["roots"] == 1
    assert found.sentence.endswith("the effect would be 4.61, away from where the controls moved it.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"r2_max": 1.2}, "at most 1"),
        ({"r2_max": 0.1}, "leaves the unseen nothing to explain"),
        ({"r2_max": "all"}, "a finite number"),
        ({"delta": np.nan}, "a finite number"),
        ({"beta": None}, "a finite number"),
        ({"always": ["age", "land"]}, "no controls that the unseen could be compared with"),
        ({"always": "rain"}, "nothing that this estimate adjusts for"),
        ({"benchmark": "rain"}, "nothing that this estimate adjusts for"),
        ({"benchmark": "age", "always": "age"}, "no control of this regression"),
        ({"q": 1}, "no option of this name"),
    ],
)
def test_refused(result, options, words):
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(result, kind="oster", **options)


@pytest.mark.parametrize(
    ("method", "words"), [("difference", "no controls"), ("aipw", "no coefficient of one regression")]
)
def test_methods_without_controls_or_regression_are_refused(method, words):
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(ec.ate(designed(linear_world()), method=method), kind="oster")


def test_interactions_of_a_regression_are_told_of():
    found = ec.sensitivity(ec.ate(designed(linear_world()), method="regression"), kind="oster")
    assert any("covariates times treatment" in text for text in found.warnings)
