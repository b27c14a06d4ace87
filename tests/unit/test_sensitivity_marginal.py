"""`kind="marginal"`: what is reported, what is refused, and what must hold whatever the data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities.crossing import first_crossing
from eocausal.sensitivities.kinds import sensitivity
from eocausal.sensitivities.marginal_sentence import sentence
from eocausal.sensitivities.odds_shifts import propensity_without
from eocausal.sensitivities.resampled_units import resampled_units
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.subject import Subject

LOGIT = ec.Learners(propensity="logit", pca=4)
QUICK = {"draws": 30, "lambdas": (1.5, 3)}


def table(n: int = 240, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(rng.normal(size=(n, 2)), columns=["age", "wealth"])
    made["aid"] = (rng.uniform(size=n) < 1 / (1 + np.exp(-0.8 * made["age"]))).astype(int)
    made["income"] = made["age"] + 1.5 * made["aid"] + rng.normal(size=n)
    made["place"] = np.arange(n)
    made["village"] = np.arange(n) // 6
    made["weight"] = rng.integers(1, 4, size=n).astype(float)
    made["lon"], made["lat"] = rng.uniform(30, 33, n), rng.uniform(-1, 2, n)
    return made


def design(
    made: pd.DataFrame | None = None, *, pictures: bool = False, places: bool = False, **options
) -> ec.Design:
    made = table() if made is None else made
    asked = {"outcome": "income", "treatment": "aid", "covariates": ["age", "wealth"], **options}
    if pictures:
        rng = np.random.default_rng(9)
        values = 0.6 * made[["age"]].to_numpy() + rng.normal(size=(len(made), 5))
        wide = pd.DataFrame(values.astype("float32"), columns=[f"f{one}" for one in range(5)])
        asked["features"] = ec.read_embeddings(wide.assign(place=made["place"].to_numpy()), key="place")
    data = made
    if places:
        data = ec.read_units(made, id="place", lon="lon", lat="lat")
    return ec.Design(data, **asked)


def weighted(made: ec.Design | None = None, **options) -> ec.Estimate:
    return ec.ate(design() if made is None else made, **{"method": "ipw", "learners": LOGIT, **options})


def analysed(estimate: ec.Estimate, **options) -> Sensitivity:
    return sensitivity(estimate, kind="marginal", **{**QUICK, **options})


# ---- what is reported


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
@pytest.mark.parametrize("method", ["ipw", "cbps"])
def test_at_one_the_bounds_are_the_estimate_and_beyond_they_nest(method, estimand):
    estimate = weighted(method=method, estimand=estimand, learners=LOGIT if method == "ipw" else None)
    frame = analysed(estimate, benchmark=[]).frame
    assert list(frame["bounds"].unique()) == ["zsb", "sharp"]
    for _, part in frame.groupby("bounds"):
        assert part["lambda"].tolist() == [1.0, 1.5, 3.0]
        np.testing.assert_allclose(part[["low", "high"]].iloc[0], estimate.estimate, atol=1e-9)
        assert (np.diff(part["low"]) < 0).all()
        assert (np.diff(part["high"]) > 0).all()
        assert (part["conf_low"] < part["low"]).all()
        assert (part["conf_high"] > part["high"]).all()
    wide, sharp = (frame[frame["bounds"] == one].reset_index() for one in ("zsb", "sharp"))
    assert (sharp["low"] >= wide["low"] - 1e-8).all()
    assert (sharp["high"] <= wide["high"] + 1e-8).all()


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_bounds_by_aipw_begin_with_the_estimate_and_its_interval(estimand):
    estimate = ec.ate(design(), estimand=estimand)
    found = analysed_aipw(estimate)
    frame = found.frame.set_index("lambda")
    np.testing.assert_allclose(frame.loc[1.0, ["low", "high"]].astype(float), estimate.estimate, atol=1e-10)
    np.testing.assert_allclose(
        frame.loc[1.0, ["conf_low", "conf_high"]].astype(float), estimate.ci(), atol=1e-8
    )
    assert (np.diff(frame["low"]) < 0).all()
    assert (np.diff(frame["high"]) > 0).all()
    inside = found.estimates["dvds"]
    assert inside.terms[:2] == ("low at 1", "high at 1")
    assert inside.score_values.shape == (240, 6)
    np.testing.assert_allclose(inside.score_values.mean(axis=0), 0, atol=1e-9)


def analysed_aipw(estimate: ec.Estimate, **options) -> Sensitivity:
    return sensitivity(estimate, kind="marginal", **{"lambdas": (1.5, 3), "benchmark": [], **options})


def test_bounds_by_aipw_take_the_standard_errors_of_the_estimate_and_the_median_of_repeats():
    estimate = ec.ate(design(cluster="village"), folds=ec.Folds(k=2, repeats=3))
    found = analysed_aipw(estimate)
    made = found.estimates["dvds"]
    assert made.vcov == "cluster(village)"
    assert made.repeats is not None
    np.testing.assert_allclose(made.values[0], estimate.estimate, atol=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(made.variance.matrix))[0], estimate.std_error, rtol=1e-6)
    np.testing.assert_allclose(made.score_values[:, 0], estimate.score_values[:, 0], atol=1e-9)
    again = analysed_aipw(estimate.with_vcov("iid")).estimates["dvds"]
    assert again.vcov == "iid"


def test_breakdown_is_where_the_bound_is_zero():
    estimate = weighted()
    asked = {"benchmark": [], "quantile": "linear"}  # whatever the largest factor
    first = analysed(estimate, **asked)
    for method in ("zsb", "sharp"):
        at = first.numbers[f"breakdown_{method}"]
        part = analysed(estimate, **asked, lambdas=(1.5, 3, at)).frame
        row = part[(part["bounds"] == method) & np.isclose(part["lambda"], at)]
        assert abs(float(row["low"].iloc[0])) < 5e-3
        assert 1 < first.numbers[f"breakdown_{method}_interval"] < at
    assert first.numbers["breakdown"] == first.numbers["breakdown_sharp"] >= first.numbers["breakdown_zsb"]


def test_the_sign_of_the_outcome_mirrors_the_bounds():
    made = table()
    plain = analysed(weighted(design(made)), benchmark=[])
    turned = analysed(weighted(design(made.assign(income=-made["income"]))), benchmark=[])
    np.testing.assert_allclose(turned.frame["low"], -plain.frame["high"], atol=1e-6)
    np.testing.assert_allclose(turned.frame["conf_low"], -plain.frame["conf_high"], atol=1e-6)
    assert turned.numbers["breakdown"] == pytest.approx(plain.numbers["breakdown"], rel=1e-3)
    assert "(-" in turned.sentence


def test_scale_and_order_of_rows_make_no_difference_to_bounds():
    made = table()
    plain = analysed(weighted(design(made)), benchmark=[], quantile="linear")
    other = made.assign(income=10 + 1000 * made["income"]).sample(frac=1, random_state=1)
    scaled = analysed(weighted(design(other)), benchmark=[], quantile="linear")
    np.testing.assert_allclose(scaled.frame[["low", "high"]], 1000 * plain.frame[["low", "high"]], rtol=1e-5)
    assert scaled.numbers["breakdown"] == pytest.approx(plain.numbers["breakdown"], rel=1e-3)


def test_a_weight_of_two_is_a_row_twice():
    made = table(120)
    twice = made.loc[made.index.repeat(made["weight"].astype(int))].reset_index(drop=True)
    by_weight = analysed(weighted(design(made, weights="weight")), benchmark=[], quantile="linear").frame
    by_rows = analysed(weighted(design(twice)), benchmark=[], quantile="linear").frame
    np.testing.assert_allclose(by_weight[["low", "high"]], by_rows[["low", "high"]], atol=1e-5)


def test_trimmed_units_are_out():
    estimate = weighted(trim=ec.Trim("fixed", low=0.2, high=0.8))
    found = analysed(estimate)
    assert found.n == estimate.n < 240
    assert found.frame["low"].iloc[0] == pytest.approx(estimate.estimate, abs=1e-9)
    aipw = ec.ate(design(), trim=ec.Trim("fixed", low=0.2, high=0.8))
    assert analysed_aipw(aipw).frame["low"].iloc[0] == pytest.approx(aipw.estimate, abs=1e-9)


def test_sharp_intervals_begin_with_that_of_the_estimate_whatever_the_luck_of_the_draws():
    estimate = weighted()
    for seed in range(3):
        frame = analysed(
            estimate, lambdas=(1.00001,), draws=20, seed=seed, benchmark=[], bounds="sharp"
        ).frame
        (low, high), (near_low, near_high) = frame[["conf_low", "conf_high"]].to_numpy()
        assert (near_low, near_high) == pytest.approx((low, high), abs=1e-3)


def test_the_seed_decides_the_draws():
    estimate = weighted()
    one, two, three = (analysed(estimate, benchmark=[], seed=seed).frame for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not np.allclose(one["conf_low"], three["conf_low"])


@pytest.mark.parametrize("method", ["ipw", "aipw"])
def test_what_is_written_is_read_back_and_draws_the_same(method):
    estimate = weighted() if method == "ipw" else ec.ate(design())
    found = analysed(estimate) if method == "ipw" else analysed_aipw(estimate, benchmark=None)
    text = json.dumps(found.to_dict(scores=True), allow_nan=False)
    again = Sensitivity.from_dict(json.loads(text))
    assert again == found
    for one in (found, again):
        figure = one.plot()
        assert figure.axes[-1].get_xscale() == "log"
        assert len(figure.axes) == 2
    assert len(found.summary().splitlines()) <= 25
    assert repr(found).count("\n") == 0


# ---- how draws are made


def test_clusters_of_the_design_and_blocks_of_ground_are_drawn():
    clustered = weighted(design(cluster="village"))
    unit = resampled_units(clustered)
    assert unit.name == "clusters (village)"
    assert unit.codes.max() == 39
    assert analysed(clustered, benchmark=[]).diagnostics["drawn"] == "clusters (village)"
    near = weighted(design(places=True)).with_vcov({"conley": "40km"})
    told = resampled_units(near)
    assert told.name == "blocks of 80 km"
    assert "by distance" in told.notes[0]
    assert "fewer than 30" in told.notes[1]
    asked = weighted(design(places=True)).with_vcov({"bootstrap": "block", "block": "30km"})
    assert resampled_units(asked).name == "blocks of 30 km"


def test_clusters_that_share_shocks_widen_the_intervals():
    made = table()
    shock = np.random.default_rng(5).normal(size=40)[made["village"]]
    made["aid"] = (np.arange(240) // 6 % 2).astype(int)
    made["income"] = made["income"] + 2 * shock
    by_unit = analysed(weighted(design(made)), benchmark=[], bounds="zsb", draws=200).frame
    by_village = analysed(
        weighted(design(made, cluster="village")), benchmark=[], bounds="zsb", draws=200
    ).frame
    width = [(one["conf_high"] - one["conf_low"]).iloc[0] for one in (by_unit, by_village)]
    assert width[1] > 1.5 * width[0]


def test_a_learned_propensity_is_taken_as_given_and_said_to_be():
    found = analysed(weighted(learners=None))
    assert any("taken as given in every draw" in text for text in found.warnings)
    known = table().assign(e=0.5)
    of_trial = analysed(weighted(design(known, propensity="e"), learners=None))
    assert any("known by design" in text for text in of_trial.warnings)
    assert of_trial.curves["benchmarks"].empty
    assert of_trial.frame["low"].iloc[0] == pytest.approx(of_trial.subject.estimate)


def test_draws_that_fail_are_counted_and_too_many_refused():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 0, 20), rng.uniform(0.0, 1, 20)])
    aid = np.repeat([0, 1], 20)
    aid[0], aid[-1] = 1, 0
    made = pd.DataFrame({"age": x, "aid": aid, "income": rng.normal(size=40)})
    estimate = weighted(design(made, covariates=["age"]))
    found = analysed(estimate, benchmark=[], draws=40)
    failed = found.diagnostics["draws_failed"]
    assert failed > 0
    assert any(text.startswith(f"{failed} of 40 draws are left out") for text in found.warnings)
    few = pd.DataFrame({"age": [-2.0, -1.5, -1.0, 0.2, -0.2, 1.0, 1.5, 2.0], "aid": np.repeat([0, 1], 4)})
    few["income"] = rng.normal(size=8)
    with pytest.raises(SensitivityError, match="draws the propensity cannot be fitted"):
        analysed(weighted(design(few, covariates=["age"])), benchmark=[], draws=40)


@pytest.mark.parametrize("method", ["ipw", "aipw"])
def test_a_corrected_effect_has_the_error_of_its_calibration(method):
    rng = np.random.default_rng(3)
    truth = rng.normal(size=150)
    labels = pd.DataFrame({"map": 0.7 * truth + 0.4 * rng.normal(size=150), "measured": truth})
    corrector = ec.debias(labels, prediction="map", truth="measured", method="lcc")
    made = design()
    options = {"learners": LOGIT} if method == "ipw" else {}
    result = ec.ate(made, method=method, correct=corrector, **options)
    plain = ec.ate(made, method=method, **options)
    asked = {"lambdas": (1.0, 2.0), "benchmark": []} | ({"draws": 30} if method == "ipw" else {})
    found, naive = (sensitivity(one, kind="marginal", **asked).frame for one in (result, plain))
    np.testing.assert_allclose(found["low"].iloc[0], result.best.estimate, rtol=1e-8)
    # all outcomes are divided by one slope, whose error is in the intervals and in no draw
    times = result.best.estimate / plain.estimate
    np.testing.assert_allclose(found["low"], times * naive["low"], rtol=1e-4)
    assert (found["high"] - found["conf_high"] < times * (naive["high"] - naive["conf_high"])).all()
    if method == "aipw":
        np.testing.assert_allclose(found[["conf_low", "conf_high"]].iloc[0], result.best.ci(), rtol=1e-3)


# ---- benchmarks


@pytest.mark.parametrize("method", ["ipw", "cbps", "aipw"])
def test_benchmarks_are_ratios_of_odds_without_them(method):
    made = design(pictures=True)
    estimate = ec.ate(made, method=method, learners=LOGIT if method == "ipw" else None)
    options = {"benchmark": {"age": "age", "the image": "features", "all of it": ["covariates", "features"]}}
    found = analysed(estimate, **options) if method != "aipw" else analysed_aipw(estimate, **options)
    shifts = found.curves["benchmarks"].set_index("benchmark")
    assert (shifts["median"] <= shifts["percentile_95"]).all()
    assert (shifts["percentile_95"] <= shifts["largest"]).all()
    assert shifts.loc["age", "largest"] > 1.2
    assert "leaving out the image moves them" in found.sentence
    e = estimate.origin.predicted[0]["propensity"]
    share = made.table.treatment.mean()
    expected = np.exp(np.abs(np.log(e / (1 - e)) - np.log(share / (1 - share))))
    assert shifts.loc["all of it", "largest"] == pytest.approx(expected.max(), rel=1e-9)


def test_a_propensity_without_a_covariate_is_that_of_the_design_without_it():
    from eocausal.sensitivities.benchmarks import Benchmark

    estimate = weighted()
    short = propensity_without(estimate.origin, Benchmark("age", ("age",)))
    again = weighted(design(covariates=["wealth"])).origin.predicted[0]["propensity"]
    np.testing.assert_allclose(short, again, atol=1e-10)


def test_where_units_lie_is_no_benchmark():
    found = analysed(weighted(design(places=True)), benchmark=["age", "coordinates"])
    assert found.curves["benchmarks"]["benchmark"].tolist() == ["age"]
    assert any("where units lie" in text for text in found.warnings)


# ---- words


def about(value: float) -> Subject:
    return Subject("aid", "income", "ate", "ipw", "iid", value, 1.0, 0.0, 1.0, 100.0, 100)


def said(value: float, point: float, sure: float, shifts: pd.DataFrame | None = None) -> str:
    none = pd.DataFrame(columns=["in_words", "largest", "percentile_95"])
    numbers = {"breakdown": point, "breakdown_interval": sure}
    return sentence(about(value), numbers, none if shifts is None else shifts, level=0.95, most=100.0)


def test_the_sentence_says_what_was_found():
    image = pd.DataFrame({"in_words": ["all image features"], "largest": [1.604], "percentile_95": [1.302]})
    assert said(2.0, 1.8, 1.4, image) == (
        "The sign of the estimate (2) holds unless an unseen confounder moves the odds of treatment of units that "
        "look alike by more than a factor of 1.80; the 95% interval reaches zero from a factor of 1.40 on. Leaving "
        "out all image features moves them by factors up to 1.60 (1.30 for 95% of units)."
    )
    assert "holds zero as it is" in said(-0.3, 1.2, 1.0)
    assert "(-0.3)" in said(-0.3, 1.2, 1.0)
    assert "holds even if" in said(2.0, np.nan, 30.0)
    assert "so does that of the whole 95% interval" in said(2.0, np.nan, np.nan)
    assert "has no sign" in said(0.0, 1.0, 1.0)


def test_an_estimate_that_is_not_significant_says_so():
    made = table().assign(income=np.random.default_rng(3).normal(size=240))
    found = analysed(weighted(design(made)), benchmark=[])
    assert found.numbers["breakdown_interval"] == 1
    assert "holds zero as it is" in found.sentence
    found.plot()


def test_an_effect_that_nothing_overturns_has_no_breakdown():
    made = table()
    made["income"] = 100.0 * made["aid"] + made["age"]
    found = analysed(weighted(design(made)), benchmark=[])
    assert np.isnan(found.numbers["breakdown"])
    assert "factor of 100 either way" in found.sentence
    json.dumps(found.to_dict(), allow_nan=False)
    found.plot()


@pytest.mark.parametrize(("first", "expected"), [(2.0, 3.0), (-2.0, 3.0), (0.0, 1.0)])
def test_crossings_are_found_from_both_sides(first, expected):
    sign = np.sign(first) or 1.0
    found = first_crossing(lambda bound: sign * (3 - bound), {1.0: first}, most=100.0, share=1e-9)
    assert found == pytest.approx(expected)
    assert np.isnan(first_crossing(lambda bound: 1.0, {1.0: 1.0}, most=100.0, share=1e-9))


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lambdas": (0.5, 2)}, "no bounds on odds"),
        ({"lambdas": (1, np.inf)}, "numbers from 1 to 100"),
        ({"lambdas": ()}, "no bounds on odds"),
        ({"lambdas": ("two",)}, "are not numbers"),
        ({"bounds": "sharpest"}, "Did you mean 'sharp'"),
        ({"lambdas": "2"}, "are not numbers"),
        ({"lambdas": True}, "are not numbers"),
        ({"lambdas": [None]}, "are not numbers"),
        ({"draws": 3}, "at least 20"),
        ({"draws": 50.5}, "draws=50.5"),
        ({"quantile": "lineal"}, "Did you mean 'linear'"),
        ({"rho": 1.0}, "no option of this name"),
        ({"benchmark": "weather"}, "nothing that this estimate adjusts for"),
    ],
)
def test_options_out_of_bounds_are_refused(options, words):
    with pytest.raises(SensitivityError, match=words):
        analysed(weighted(), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "regression"}, "kind='omitted'"),
        ({"method": "partially_linear"}, "kind='dml'"),
        ({"method": "horvitz_thompson", "learners": LOGIT}, "method='ipw'"),
        ({"method": "entropy_balancing"}, "method='cbps'"),
        ({"method": "ipw", "estimand": "ato", "learners": LOGIT}, "speaks of other units"),
        ({"method": "aipw", "estimand": "ato"}, "speaks of other units"),
    ],
)
def test_estimates_without_odds_are_refused(options, words):
    with pytest.raises(SensitivityError, match=words):
        sensitivity(ec.ate(design(), **options), kind="marginal")


def test_what_is_of_weighting_alone_is_refused_for_aipw():
    estimate = ec.ate(design())
    with pytest.raises(SensitivityError, match="of weighting alone"):
        sensitivity(estimate, kind="marginal", bounds="zsb")
    with pytest.raises(SensitivityError, match="leave draws out"):
        sensitivity(estimate, kind="marginal", draws=100)


def test_several_arms_are_refused():
    made = table()
    made["aid"] = np.array(["none", "roads", "wells"])[np.arange(240) % 3]
    several = design(made, treatment_type="categorical", control="none")
    effects = ec.ate(several, method="ipw")
    with pytest.raises(SensitivityError, match=r"design\.pair"):
        sensitivity(effects, kind="marginal", term=effects.terms[0])
