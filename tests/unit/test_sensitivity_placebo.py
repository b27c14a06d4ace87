"""Placebo tests against the same estimates made by hand."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities import future_treatment, permuted_images, placebo_outcomes, shifted_treatment
from eocausal.sensitivities.placebo_designs import with_pictures_dealt_anew
from eocausal.sensitivities.placebo_parts import BIASED, CLEAN, LITTLE
from eocausal.sensitivities.result import Sensitivity

N = 400


def world(seed: int = 0, *, n: int = N) -> tuple[pd.DataFrame, ec.Embeddings]:
    """A confounder that features show, a lagged outcome with it, rain without, treatment that came later."""
    rng = np.random.default_rng(seed)
    features, age = rng.normal(size=(n, 12)), rng.normal(size=n)
    unseen = features[:, :2].sum(axis=1) / np.sqrt(2)
    chance = 1 / (1 + np.exp(-(1.2 * unseen + 0.4 * age)))
    treated = (rng.random(n) < chance).astype(int)
    frame = pd.DataFrame({"village": np.arange(n), "lon": 34 + rng.random(n), "lat": 1 + rng.random(n)})
    frame["age"], frame["aid"] = age, treated
    frame["income"] = 1.0 * treated + unseen + 0.4 * age + rng.normal(size=n)
    frame["income_before"] = unseen + 0.4 * age + rng.normal(size=n)
    frame["rain"] = rng.normal(size=n)
    frame["aid_later"] = ((rng.random(n) < chance) & (treated == 0)).astype(int)
    frame["roads_later"] = (rng.random(n) < 0.4).astype(int)
    named = pd.DataFrame(features, columns=[f"f{one}" for one in range(12)]).assign(village=np.arange(n))
    return frame, ec.read_embeddings(named, key="village")


FRAME, FEATURES = world()


def study(frame: pd.DataFrame = FRAME, features: ec.Embeddings | None = FEATURES, **named) -> ec.Design:
    units = ec.read_units(frame, id="village", lon="lon", lat="lat")
    asked = {"outcome": "income", "treatment": "aid", "covariates": ["age"], "features": features, **named}
    return ec.Design(units, **asked)


@pytest.fixture(scope="module")
def adjusted() -> ec.Estimate:
    return ec.ate(study(), method="ols")


@pytest.fixture(scope="module")
def everything(adjusted) -> Sensitivity:
    return ec.sensitivity(
        adjusted, kind="placebo", outcomes=["income_before", "rain"], future="roads_later", draws=25
    )


def placebo(result, **options) -> Sensitivity:
    return ec.sensitivity(result, kind="placebo", **options)


# outcomes


@pytest.mark.parametrize("method", ["aipw", "ols", "difference", "ipw"])
def test_placebo_outcomes_are_the_estimate_of_another_outcome(method):
    design = study()
    found = placebo(ec.ate(design, method=method), tests="outcomes", outcomes=["income_before", "rain"])
    for name, row in zip(("income_before", "rain"), found.to_frame().to_dict("records")):
        by_hand = ec.ate(design.with_outcome(name), method=method)
        assert row["what"] == name
        assert row["estimate"] == by_hand.estimate
        assert row["std_error"] == by_hand.std_error
        assert (row["conf_low"], row["conf_high"]) == by_hand.ci()
        assert row["p_value"] == by_hand.p_value()


def test_standard_errors_are_of_the_kind_of_the_estimate():
    made = ec.ate(study(), method="ols").with_vcov({"conley": "30km", "kernel": "bartlett"})
    found = placebo(made, tests="outcomes", outcomes="rain").estimates["outcome rain"]
    by_hand = ec.ate(study().with_outcome("rain"), method="ols").with_vcov(made.variance.how)
    assert found.vcov == "conley(30 km, bartlett)"
    assert found.std_error == by_hand.std_error


def test_all_outcomes_are_tested_together(adjusted):
    design, names = study(), ["income_before", "rain"]
    found = placebo(adjusted, tests="outcomes", outcomes=names)
    joint = ec.compare(**{name: ec.ate(design.with_outcome(name), method="ols") for name in names})
    wald = joint.values @ np.linalg.inv(joint.variance.matrix) @ joint.values
    df = joint.variance.df
    by_hand = stats.f.sf(wald * (df - 1) / (df * 2), 2, df - 1)
    assert found.numbers["outcomes_p_value"] == pytest.approx(by_hand, rel=1e-9)
    alone = placebo(adjusted, tests="outcomes", outcomes="rain")
    assert alone.numbers["outcomes_p_value"] == pytest.approx(alone.frame["p_value"][0], rel=1e-9)


def test_what_is_not_ruled_out_is_told_in_sds_and_in_effects(adjusted):
    found = placebo(adjusted, tests="outcomes", outcomes="income_before")
    row, curve = found.frame.iloc[0], found.curves["outcomes"].iloc[0]
    reach = max(abs(row["conf_low"]), abs(row["conf_high"]))
    assert curve["largest_in_sd"] == pytest.approx(reach / FRAME["income_before"].std(ddof=0))
    assert found.numbers["outcomes_largest_in_estimates"] == pytest.approx(reach / abs(adjusted.estimate))
    share = (
        row["estimate"]
        / FRAME["income_before"].std(ddof=0)
        / (adjusted.estimate / FRAME["income"].std(ddof=0))
    )
    assert row["share_of_estimate"] == pytest.approx(share)


def test_units_without_a_placebo_outcome_are_counted_by_arm():
    frame = FRAME.assign(rain=FRAME["rain"].where(FRAME["village"] >= 5))
    found = placebo(ec.ate(study(frame), method="ols"), tests="outcomes", outcomes="rain")
    treated = int(frame["aid"][:5].sum())
    assert any(f"5 units ({treated} treated, {5 - treated} control)" in text for text in found.warnings)
    assert found.estimates["outcome rain"].n == N - 5


def test_units_that_only_the_placebo_has_are_counted_too():
    frame = FRAME.assign(income=FRAME["income"].where(FRAME["village"] >= 3))
    made = ec.ate(study(frame, missing="drop"), method="ols")
    found = placebo(made, tests="outcomes", outcomes="rain")
    assert found.estimates["outcome rain"].n == made.n + 3
    assert any("rain: 3 units" in text and "have this outcome" in text for text in found.warnings)


# images


def test_without_images_the_confounding_comes_back(adjusted):
    found = placebo(adjusted, tests="permuted_images", draws=15)
    plain = ec.ate(study(features=None), method="ols")
    numbers = found.numbers
    assert numbers["without_images"] == pytest.approx(plain.estimate, rel=1e-12)
    assert abs(adjusted.estimate - 1.0) < 0.35 < numbers["permuted_images_mean"] - 1.0
    assert abs(numbers["permuted_images_difference"]) < 0.05
    assert numbers["moved_by_images_p_value"] < 0.001
    assert found.frame["verdict"][0] == CLEAN
    moved = f"what images show moves it by {numbers['moved_by_images']:.3g} (p < 0.001)."
    assert found.sentence.endswith(moved)


def test_errors_of_the_difference_are_joint_and_of_the_draws(adjusted):
    found = placebo(adjusted, tests="permuted_images", draws=6, seed=3)
    generator, design = np.random.default_rng([3, 1]), study()
    draws = [ec.ate(with_pictures_dealt_anew(design, generator), method="ols") for _ in range(6)]
    assert found.curves["permuted_images"]["estimate"].tolist() == [one.estimate for one in draws]
    plain = ec.ate(design.without(features=True), method="ols")
    scores = np.mean([one.scores["aid"] for one in draws], axis=0) - plain.scores["aid"]
    spread = np.std([one.estimate for one in draws], ddof=1) / np.sqrt(6)
    by_hand = np.sqrt((scores**2).sum() / N / (N - 1) + spread**2)
    assert found.numbers["permuted_images_std_error"] == pytest.approx(by_hand, rel=0.03)


def test_features_that_show_nothing_move_nothing():
    noise = np.random.default_rng(5).normal(size=(N, 12))
    named = pd.DataFrame(noise, columns=[f"f{one}" for one in range(12)]).assign(village=np.arange(N))
    made = ec.ate(study(features=ec.read_embeddings(named, key="village")))
    found = placebo(made, tests="permuted_images", draws=8)
    assert abs(found.numbers["moved_by_images"]) < 0.5 * made.std_error
    assert found.numbers["moved_by_images_p_value"] > 0.05


def test_whole_images_change_places():
    frame = FRAME.assign(image=FRAME["village"] // 4)
    named = pd.DataFrame({"image": np.arange(N // 4), "f0": np.arange(N / 4), "f1": np.arange(N / 4) ** 2})
    units = ec.read_units(frame, id="village", lon="lon", lat="lat", image_key="image")
    design = ec.Design(
        units, outcome="income", treatment="aid", features=ec.read_embeddings(named, key="image")
    )
    dealt = with_pictures_dealt_anew(design, np.random.default_rng(0))
    table = dealt.table.features
    assert (table == np.repeat(table[::4], 4, axis=0)).all()
    assert np.array_equal(np.sort(table[::4, 0]), np.arange(N // 4))
    assert not np.array_equal(table, design.table.features)
    # rows stay whole: the second column is the square of the first
    assert (table[:, 1] == table[:, 0] ** 2).all()


def test_without_covariates_the_estimate_without_images_is_the_difference_in_means():
    made = ec.ate(study(covariates=[]), method="ipw")
    found = placebo(made, tests="permuted_images", draws=5)
    plain = ec.ate(study(covariates=[], features=None), method="difference")
    assert found.estimates["without_images"].estimate == pytest.approx(plain.estimate, rel=1e-12)


@pytest.mark.parametrize(
    ("design", "options", "words"),
    [
        ({"features": None}, {"method": "ols"}, "no image features"),
        ({}, {"method": "regression"}, "adjusts for no image features"),
        ({}, {"method": "difference"}, "adjusts for no image features"),
        ({}, {"learners": ec.Learners(columns="covariates")}, "covariates alone"),
        ({"propensity": 0.5}, {"method": "ipw"}, "propensity is known"),
    ],
)
def test_dealing_images_is_refused_where_it_changes_nothing(design, options, words):
    with pytest.raises(SensitivityError, match=words):
        placebo(ec.ate(study(**design), **options), tests="permuted_images")


# treatment on the map


def test_the_p_value_counts_moved_treatments_with_larger_t(adjusted):
    found = placebo(adjusted, tests="shifted_treatment", draws=40)
    drawn = found.curves["shifted_treatment"]
    larger = (drawn["estimate"] / drawn["std_error"]).abs() >= abs(adjusted.estimate) / adjusted.std_error
    assert found.numbers["shifted_p_value"] == (1 + larger.sum()) / 41
    assert found.frame["p_value"][0] == found.numbers["shifted_p_value"]
    assert abs(drawn["estimate"].mean()) < 0.1
    assert found.numbers["shift_m"] == pytest.approx(11_500, rel=0.05)


def test_clusters_stay_whole_and_units_do_where_treatment_varies_within():
    frame = FRAME.assign(district=FRAME["village"] // 10)
    frame["lon"] = 34 + (frame["district"] % 8) * 0.1 + FRAME["lon"] % 1 * 0.02
    frame["lat"] = 1 + (frame["district"] // 8) * 0.1 + FRAME["lat"] % 1 * 0.02
    whole = frame.assign(aid=(frame["district"] % 3 == 0).astype(int))
    design = study(whole, cluster="district")
    field = shifted_treatment._field(design)
    assert field.cluster == "district"
    assert field.treatment.tolist() == [float(one % 3 == 0) for one in range(40)]
    moved = shifted_treatment._moved(design, field, np.roll(np.arange(40), 1)).table
    assert moved.treatment.tolist() == [float((one // 10 - 1) % 40 % 3 == 0) for one in range(N)]
    assert shifted_treatment._field(study(frame, cluster="district")).cluster is None


def test_a_known_propensity_moves_with_treatment():
    frame = FRAME.assign(chance=np.linspace(0.2, 0.8, N))
    design = study(frame, propensity="chance")
    source = np.random.default_rng(0).integers(0, N, N)
    moved = shifted_treatment._moved(design, shifted_treatment._field(design), source).table
    assert np.array_equal(moved.propensity, frame["chance"].to_numpy()[source])
    assert np.array_equal(moved.treatment, frame["aid"].to_numpy()[source])


def test_few_unrelated_moves_are_told():
    frame = FRAME.assign(aid=(FRAME["lon"] < 34.5).astype(int))
    found = placebo(ec.ate(study(frame), method="difference"), tests="shifted_treatment", draws=30)
    assert any("unrelated ones" in text for text in found.warnings)
    assert found.numbers["shifted_independent_moves"] < 8


def test_progress_is_shown_where_it_is_asked_for(adjusted, capsys):
    for progress in (True, False):
        ec.sensitivity(adjusted, kind="placebo", draws=5, progress=progress)
        shown = capsys.readouterr().err
        assert ("treatment moved" in shown and "images dealt anew" in shown) == progress


def test_few_draws_say_little(adjusted):
    found = placebo(adjusted, tests="shifted_treatment", draws=9)
    assert found.frame["verdict"][0] == "says little: too few draws"
    assert any("give no p-value below 0.1" in text for text in found.warnings)
    assert "so few draws say little of the estimate" in found.sentence
    assert "farther from zero" not in found.sentence


# treatment that came later


@pytest.mark.parametrize("method", ["aipw", "regression", "difference"])
def test_future_treatment_is_estimated_among_the_untreated(method):
    found = placebo(ec.ate(study(), method=method), tests="future", future="aid_later")
    by_hand = ec.ate(study(FRAME[FRAME["aid"] == 0], treatment="aid_later"), method=method)
    row = found.frame.iloc[0]
    assert row["estimate"] == pytest.approx(by_hand.estimate, rel=1e-10)
    assert row["std_error"] == pytest.approx(by_hand.std_error, rel=1e-10)
    assert found.numbers["future_n"] == (FRAME["aid"] == 0).sum()
    assert any(f"{int(FRAME['aid'].sum())} units that are treated now" in text for text in found.warnings)


def test_future_treatment_finds_selection_that_is_left_and_none_where_there_is_none():
    frame, features = world(n=2000)
    adjusted, naive = (ec.ate(study(frame, one)) for one in (features, None))
    left = placebo(naive, tests="future", future="aid_later")
    gone = placebo(adjusted, tests="future", future="aid_later")
    assert left.frame["verdict"][0] == BIASED
    assert left.frame["estimate"][0] > 0.4
    assert "a sign of bias" in left.sentence
    assert gone.frame["verdict"][0] == CLEAN
    assert abs(gone.frame["estimate"][0]) < 0.15
    # drawn by lot, treatment to come has no effect with or without the features
    assert placebo(naive, tests="future", future="roads_later").frame["verdict"][0] == CLEAN


def test_future_treatment_is_a_control_too_where_both_arms_have_it(adjusted):
    found = placebo(adjusted, tests="future", future="roads_later")
    by_hand = ec.ate(study(covariates=["age", "roads_later"]), method="ols")
    assert found.numbers["future_controlled"] == pytest.approx(by_hand.estimate, rel=1e-10)
    gap = ec.compare(a=by_hand, b=adjusted)
    assert found.frame["estimate"][1] == pytest.approx(gap.values[0] - gap.values[1], rel=1e-8)
    alone = placebo(adjusted, tests="future", future="aid_later")
    assert len(alone.frame) == 1
    assert any("is not taken as a control: in one of the arms" in text for text in alone.warnings)


def test_units_whose_future_is_not_known_are_left_out_and_counted(adjusted):
    frame = FRAME.assign(aid_later=FRAME["aid_later"].where(FRAME["village"] >= 8).astype(float))
    found = placebo(ec.ate(study(frame), method="ols"), tests="future", future="aid_later")
    treated = int(frame["aid"][:8].sum())
    assert any(f"8 units ({treated} treated, {8 - treated} control) with no" in one for one in found.warnings)
    assert found.numbers["future_n"] == ((frame["aid"] == 0) & (frame["village"] >= 8)).sum()


# panels and corrected results


@pytest.fixture(scope="module")
def panel() -> ec.PanelDesign:
    made = ec.simulate_panel(seed=1, n_regions=40, units_per_region=5, periods=(2000, 2003, 2006, 2009))
    frame = made.frame.assign(rain=np.random.default_rng(0).normal(size=len(made.frame)))
    return ec.PanelDesign(
        frame, outcome="outcome", treatment="treated", unit="unit", period="period", cluster="region"
    )


def test_of_a_panel_the_lead_stands_beside_treatment(panel):
    found = placebo(ec.panel(panel), outcomes="rain")
    frame = panel.data.sort_values(["unit", "period"])
    frame = frame.assign(lead=frame.groupby("unit")["treated"].shift(-1)).dropna(subset=["lead"])
    by_hand = ec.panel(
        ec.PanelDesign(
            frame, outcome="outcome", treatment="lead", unit="unit", period="period", cluster="region",
            covariates=["treated"],
        )
    )  # fmt: skip
    rows = found.frame.set_index("test")
    assert rows["estimate"]["future"] == pytest.approx(by_hand.estimate, rel=1e-10)
    assert rows["std_error"]["future"] == pytest.approx(by_hand.std_error, rel=1e-10)
    assert any("200 unit-periods are left out" in text for text in found.warnings)
    other = ec.PanelDesign(
        panel.data, outcome="rain", treatment="treated", unit="unit", period="period", cluster="region"
    )
    assert rows["estimate"]["outcomes"] == ec.panel(other).estimate


@pytest.mark.parametrize(
    ("method", "options"), [("event_study", {}), ("did", {}), ("did", {"aggregate": "dynamic"})]
)
def test_periods_before_treatment_are_those_of_pretrends(panel, method, options):
    made = ec.panel(panel, method=method, **options)
    whole = made if method == "event_study" else ec.panel(panel, method="did", aggregate="dynamic")
    term = "event 0" if "event 0" in made.terms else None
    found = placebo(made, term=term)
    test = ec.pretrends(whole)
    assert found.numbers["future_p_value"] == test.p_value
    assert found.frame["estimate"].tolist() == [whole.values[whole.terms.index(one)] for one in test.terms]


def test_the_lead_of_treatment_that_stays_is_no_leak_of_it():
    # who is treated now is treated later too, so that the present treatment is 0 wherever the later one is
    rng = np.random.default_rng(2)
    starts = np.where(np.arange(120) < 60, rng.integers(1, 5, 120), 9)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(120), 5), "period": np.tile(np.arange(5), 120)})
    frame["aid"] = (frame["period"] >= starts[frame["unit"]]).astype(int)
    frame["wealth"] = 0.5 * frame["aid"] + rng.normal(size=600)
    frame = frame.sample(frac=1, random_state=1)
    design = ec.PanelDesign(frame, outcome="wealth", treatment="aid", unit="unit", period="period")
    found = placebo(ec.panel(design)).frame.iloc[0]
    lead = frame.sort_values(["unit", "period"])
    lead = lead.assign(lead=lead.groupby("unit")["aid"].shift(-1)).dropna()
    dummies = [pd.get_dummies(lead[name], dtype=float).to_numpy() for name in ("unit", "period")]
    columns = np.column_stack([lead["lead"], lead["aid"], *dummies])
    by_hand = np.linalg.lstsq(columns, lead["wealth"].to_numpy(), rcond=None)[0][0]
    assert found["estimate"] == pytest.approx(by_hand, rel=1e-8)


def test_a_panel_without_earlier_periods_has_no_test_by_itself(panel):
    short = panel.data[panel.data["period"].isin([2000, 2003])]
    design = ec.PanelDesign(short, outcome="outcome", treatment="treated", unit="unit", period="period")
    with pytest.raises(SensitivityError, match="No placebo test can be run"):
        placebo(ec.panel(design))


def test_corrected_results_are_tested_with_their_outcome_corrected():
    made = ec.simulate_map(n=400, seed=0)
    corrector = ec.debias(made.calibration, prediction="prediction", truth="truth")
    trial = made.trial.assign(rain=np.random.default_rng(1).normal(size=len(made.trial)))
    result = ec.ate(
        ec.Design(trial, outcome="prediction", treatment="treatment"), method="difference", correct=corrector
    )
    found = placebo(result, outcomes="rain")
    by_hand = ec.ate(ec.Design(trial, outcome="rain", treatment="treatment"), method="difference")
    assert found.subject.std_error == result.best.std_error
    assert found.frame["estimate"][0] == by_hand.estimate
    assert any("correction of predictions" in text for text in found.warnings)


# what is said


@pytest.mark.parametrize(
    ("verdict", "share", "reach", "words"),
    [
        (BIASED, 0.6, 0.8, "An effect is found on rain, .* 60% of the estimate in .*: a sign of bias"),
        (CLEAN, 0.1, 0.3, "No effect can be told from zero on rain, .*: at most 30% of the estimate"),
        (LITTLE, 0.1, 2.5, "says little: it could be 2.5 times the estimate"),
        (CLEAN, np.nan, np.nan, r"No effect can be told from zero .*3\)\.$"),
    ],
)
def test_what_is_said_of_one_outcome(verdict, share, reach, words):
    row = {"what": "rain", "estimate": 2.0, "conf_low": 1.0, "conf_high": 3.0, "p_value": 0.2}
    row |= {"verdict": verdict, "share_of_estimate": share}
    said = placebo_outcomes.sentence([row], [reach], 0.2, level=0.95)
    assert re.search(words, said)
    assert "(2, 95% interval 1 to 3" in said


@pytest.mark.parametrize(
    ("verdicts", "p_value", "words"),
    [
        (
            (CLEAN, CLEAN),
            0.4,
            "outcomes that treatment cannot have changed shows an effect (jointly p = 0.400): at most 40%",
        ),
        ((CLEAN, CLEAN), 0.01, "but all together do (jointly p = 0.010): a sign of bias."),
        ((CLEAN, BIASED), 0.01, "1 shows an effect (b), jointly p = 0.010: a sign of bias."),
        # one of many may reject by chance
        (
            (CLEAN, BIASED),
            0.2,
            "1 shows an effect (b), but not all together (jointly p = 0.200): at most a weak",
        ),
        ((BIASED,) * 5, np.nan, "5 show an effect (a, b, c and 2 more): a sign of bias."),
        ((CLEAN, LITTLE), 0.4, "but this says little: it could be 40%"),
    ],
)
def test_what_is_said_of_several_outcomes(verdicts, p_value, words):
    rows = [{"what": name, "verdict": one} for name, one in zip("abcde", verdicts)]
    assert words in placebo_outcomes.sentence(rows, [0.2, 0.4], p_value, level=0.95)


@pytest.mark.parametrize(
    ("verdict", "p_value", "words"),
    [
        (
            BIASED,
            0.0001,
            "columns that show nothing move it by -0.5 (50% of the estimate), what images show by",
        ),
        (CLEAN, 0.0001, "without images 2: what images show moves it by -0.7 (p < 0.001)."),
        (CLEAN, 0.3, "what images show moves it no more than chance, by -0.7 (p = 0.300)."),
        (LITTLE, 0.0001, "moves it by -0.7 (p < 0.001), and columns that show nothing may too."),
    ],
)
def test_what_is_said_of_images_dealt_anew(verdict, p_value, words):
    numbers = {
        "permuted_images_mean": 1.5, "without_images": 2.0, "moved_by_images": -0.7,
        "moved_by_images_p_value": p_value, "permuted_images_difference": -0.5,
    }  # fmt: skip
    assert words in permuted_images.sentence(1.0, numbers, verdict=verdict, level=0.95)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            BIASED,
            "treatment to come shows an effect (2, 95% interval 1 to 3; 40% of the estimate): a sign",
        ),
        (
            CLEAN,
            "shows no effect (2, 95% interval 1 to 3): at most 60% of the estimate.",
        ),
        (LITTLE, "but this says little: it could be 60% of the estimate."),
    ],
)
def test_what_is_said_of_treatment_to_come(verdict, words):
    row = {"estimate": 2.0, "conf_low": 1.0, "conf_high": 3.0, "verdict": verdict, "share_of_estimate": 0.4}
    numbers = {"future_n": 1200.0, "future_largest_in_estimates": 0.6}
    said = future_treatment.sentence(row, numbers, level=0.95)
    assert said.startswith("Among the 1,200 units untreated now, ")
    assert words in said


# the result as a whole


def test_all_tests_that_can_be_run_are(everything):
    assert everything.diagnostics["tests"] == ["outcomes", "future", "shifted_treatment", "permuted_images"]
    assert everything.frame["test"].tolist() == [
        "outcomes", "outcomes", "future", "future", "shifted_treatment", "permuted_images",
    ]  # fmt: skip
    assert everything.sentence.count("\n") == 0


def test_read_back_it_draws_the_same(everything):
    content = json.loads(json.dumps(everything.to_dict(scores=True), allow_nan=False))
    again = Sensitivity.from_dict(content)
    pd.testing.assert_frame_equal(again.frame, everything.frame)
    first, second = everything.plot(), again.plot()
    assert len(first.axes) == len(second.axes) == 3
    for one, other in zip(first.axes, second.axes):
        assert [line.get_xydata().tolist() for line in one.lines] == [
            line.get_xydata().tolist() for line in other.lines
        ]
    json.dumps(everything.to_dict(), allow_nan=False)


def test_the_scale_of_the_outcome_does_not_matter(everything):
    frame = FRAME.assign(income=1000 * FRAME["income"])
    again = placebo(
        ec.ate(study(frame), method="ols"), outcomes=["income_before", "rain"], future="roads_later", draws=25
    )
    for column in ("p_value", "share_of_estimate"):
        np.testing.assert_allclose(again.frame[column], everything.frame[column], rtol=1e-6)
    assert again.frame["verdict"].tolist() == everything.frame["verdict"].tolist()


def test_the_order_of_rows_does_not_matter(everything):
    frame = FRAME.sample(frac=1, random_state=4)
    again = placebo(
        ec.ate(study(frame), method="ols"), outcomes=["income_before", "rain"], future="roads_later", draws=25
    )
    np.testing.assert_allclose(again.frame["estimate"], everything.frame["estimate"], rtol=1e-6, atol=1e-9)


def test_the_same_seed_gives_the_same_draws_and_another_one_others(adjusted):
    one, same, other = (
        placebo(adjusted, tests="shifted_treatment", draws=6, seed=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one.curves["shifted_treatment"], same.curves["shifted_treatment"])
    assert not one.curves["shifted_treatment"].equals(other.curves["shifted_treatment"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outcomes": ["age"]}, "covariates of the design"),
        ({"outcomes": ["income"]}, "the outcome itself"),
        ({"outcomes": ["aid"]}, "the treatment"),
        ({"outcomes": ["rian"]}, "Did you mean 'rain'"),
        ({"outcomes": ["rain", "rain"]}, "named twice"),
        ({"outcomes": 3}, "names of columns"),
        ({"future": 3}, "name of a column"),
        ({"future": "age"}, "a covariate of the design"),
        ({"future": "rain"}, "not 0 or 1"),
        ({"future": "nobody"}, "at least 10 of each"),
        ({"tests": "images"}, "is not known"),
        ({"tests": []}, "is empty"),
        ({"tests": 3}, r"tests=3[\s\S]*some of: outcomes"),
        ({"tests": "outcomes"}, "no outcomes="),
        ({"tests": "future"}, "no future="),
        ({"tests": "future", "future": "aid_later", "draws": 20}, "none of the tests uses it"),
        ({"tests": "permuted_images", "outcomes": "rain"}, "outcomes= goes with outcomes"),
        ({"draws": 3}, "at least 5"),
        ({"tests": "shifted_treatment", "shift_m": -1.0}, "positive metres"),
        ({"tests": "shifted_treatment", "shift_m": 90_000.0}, "a quarter of the longer side"),
        ({"benchmark": "age"}, "no benchmark"),
    ],
)
def test_bad_options_are_refused(options, words):
    made = ec.ate(study(FRAME.assign(nobody=0)), method="ols")
    with pytest.raises(SensitivityError, match=words):
        placebo(made, **options)


class Beforehand:
    """Propensities that were predicted beforehand."""

    target = "treatment"
    fingerprint = "known"

    def out_of_fold(self, design, folds):
        return np.full((len(design), 1), 0.5)


@pytest.mark.parametrize("test", ["permuted_images", "shifted_treatment", "future"])
def test_predictions_made_beforehand_are_of_the_study_as_it_is(test):
    made = ec.ate(study(), learners=ec.Learners(propensity=Beforehand()))
    with pytest.raises(SensitivityError, match="predictions were made beforehand"):
        placebo(made, tests=test, future="aid_later" if test == "future" else None)
    assert placebo(made, tests="outcomes", outcomes="rain").frame["test"].tolist() == ["outcomes"]


def test_where_no_error_of_a_difference_is_positive_it_is_that_of_independent_units(adjusted, monkeypatch):
    from eocausal.errors import EstimationError
    from eocausal.sensitivities import placebo_designs

    plain = placebo(adjusted, tests="permuted_images", draws=5)
    compare = placebo_designs.compare

    def refusing(**estimates):
        if next(iter(estimates.values())).vcov != "iid":
            raise EstimationError("not positive")
        return compare(**estimates)

    monkeypatch.setattr(placebo_designs, "compare", refusing)
    found = placebo(adjusted.with_vcov("hetero"), tests="permuted_images", draws=5)
    assert any("takes units as independent" in text for text in found.warnings)
    assert found.numbers["permuted_images_std_error"] == pytest.approx(
        plain.numbers["permuted_images_std_error"]
    )


def test_a_test_of_draws_that_cannot_be_made_is_left_out_unless_it_was_asked_for(adjusted, monkeypatch):
    monkeypatch.setattr(shifted_treatment, "estimate_or_none", lambda *given, **options: None)
    found = placebo(adjusted, outcomes="rain", draws=5)
    assert found.diagnostics["tests"] == ["outcomes", "permuted_images"]
    assert any("shifted_treatment is left out: 5 of 5 draws" in text for text in found.warnings)
    with pytest.raises(SensitivityError, match="5 of 5 draws"):
        placebo(adjusted, tests="shifted_treatment", draws=5)


def test_draws_without_an_estimate_are_counted(adjusted, monkeypatch):
    made = shifted_treatment.estimate_or_none
    turns = iter([True, False, False] * 10)
    monkeypatch.setattr(
        shifted_treatment, "estimate_or_none", lambda *given: None if next(turns) else made(*given)
    )
    found = placebo(adjusted, tests="shifted_treatment", draws=30)
    assert found.numbers["shifted_draws"] == 20
    assert found.curves["shifted_treatment"]["draw"].tolist() == [one for one in range(30) if one % 3]
    assert any("10 of 30 draws gave no estimate" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shifted_p_value": 0.2}, "the estimate lies no farther from zero (p = 0.200 by |t|)."),
        ({"shifted_p_value": 0.02}, "the estimate lies farther from zero (p = 0.020 by |t|)."),
        ({"shifted_independent_moves": 8.0}, "(p = 0.020 by |t|, roughly)."),
        (
            {"shifted_draws": 9.0, "shifted_p_value": 0.1},
            "of draws; so few draws say little of the estimate.",
        ),
        (
            {"shifted_rejected": 0.3},
            "30% of these moves seem to have effects: standard errors are too small.",
        ),
    ],
)
def test_what_is_said_of_moved_treatments(changes, words):
    numbers = {
        "shifted_p_value": 0.02, "shifted_draws": 99.0, "shifted_low": -1.0, "shifted_high": 1.0,
        "shifted_rejected": 0.04, "shifted_independent_moves": 60.0,
    }  # fmt: skip
    assert words in shifted_treatment.sentence({**numbers, **changes}, level=0.95)


def test_all_that_is_said_can_be_printed(everything):
    assert len(everything.sentence.split()) <= 100
    assert everything.sentence.count(". ") <= 4


def test_the_outcome_that_cannot_be_estimated_is_named():
    frame = FRAME.assign(rain=FRAME["rain"].where(FRAME["aid"] == 1))
    made = ec.ate(study(frame), method="ols")
    with pytest.raises(
        SensitivityError, match="Placebo outcome 'rain': Treatment 'aid' has 211 treated and 0 contr"
    ):
        placebo(made, outcomes=["income_before", "rain"])
    with pytest.raises(SensitivityError, match=r"Placebo outcome 'words': [\s\S]*\n  Mend: .*to_numeric"):
        placebo(ec.ate(study(FRAME.assign(words="dry")), method="ols"), outcomes="words")


def test_without_places_images_and_names_there_is_no_test():
    plain = FRAME.set_index("village")
    made = ec.ate(ec.Design(plain, outcome="income", treatment="aid"), method="difference")
    with pytest.raises(SensitivityError, match="No placebo test can be run"):
        placebo(made)
    with pytest.raises(SensitivityError, match="no coordinates"):
        placebo(made, tests="shifted_treatment")


def test_several_arms_are_refused():
    frame = FRAME.assign(aid=np.array(["none", "roads", "wells"])[np.arange(N) % 3])
    made = ec.ate(
        study(frame, treatment_type="categorical", control="none", features=None), method="difference"
    )
    with pytest.raises(SensitivityError, match="two arms"):
        placebo(made, term="roads", outcomes="rain")
