"""The spatial tests of an estimate: what they say, invariances, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError, SensitivityError
from eocausal.sensitivities.linear_model import linear_model
from eocausal.sensitivities.moran import moran, residual_moments
from eocausal.sensitivities.near_places import distances_to, nearest_neighbours, places_of, ring_sums
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.spatial_sentence import sentence_of
from eocausal.sensitivities.subject import Subject
from tests.spatial_studies import on_the_map, scattered, table
from tests.studies import FAST, THREE


@pytest.fixture(scope="module")
def spilled() -> ec.Estimate:
    """OLS where the units around matter."""
    frame = table(scattered(400, seed=3), seed=3, spillover=2.0)
    return ec.ate(on_the_map(frame), method="ols")


@pytest.fixture(scope="module")
def found(spilled: ec.Estimate) -> Sensitivity:
    return ec.sensitivity(spilled, kind="spatial", rings=["10km", "20km"])


def _rows(result: Sensitivity, test: str) -> pd.DataFrame:
    return result.frame[result.frame["test"] == test].reset_index(drop=True)


def test_moran_of_residuals_is_that_of_the_regression(spilled: ec.Estimate, found: Sensitivity) -> None:
    model = linear_model(spilled)
    columns = np.column_stack([model.treatment, model.columns])
    left = model.outcome - columns @ np.linalg.lstsq(columns, model.outcome, rcond=None)[0]
    weights = nearest_neighbours(places_of(spilled.coordinates), 8)
    moments = residual_moments(weights, np.linalg.qr(columns)[0])
    row = _rows(found, "moran").iloc[0]
    assert row["what"] == "Moran's I of residuals"
    assert row["estimate"] == pytest.approx(moran(left, weights), rel=1e-9)
    assert row["expected"] == pytest.approx(moments.expected, rel=1e-9)
    assert row["std_error"] == pytest.approx(moments.variance**0.5, rel=1e-9)
    scores = spilled.score_values[:, 0]
    assert found.numbers["moran_influence"] == pytest.approx(moran(scores - scores.mean(), weights), rel=1e-9)


def test_conley_rows_are_those_of_the_curve(spilled: ec.Estimate) -> None:
    made = ec.sensitivity(spilled, kind="spatial", tests="conley", cutoffs=["5km", 20_000])
    rows = _rows(made, "conley")
    assert rows["std_error"].iloc[0] == pytest.approx(spilled.std_error)
    for row in rows.iloc[1:].itertuples():
        again = spilled.with_vcov({"conley": f"{row.distance_km}km"})
        assert row.std_error == pytest.approx(again.std_error)
        assert (row.conf_low, row.conf_high) == pytest.approx(again.ci())
        assert row.p_value == pytest.approx(again.p_value())
    assert made.curves["conley"]["cutoff_km"].tolist() == [5.0, 20.0]


def test_a_buffer_is_the_estimate_on_the_units_that_it_leaves(
    spilled: ec.Estimate, found: Sensitivity
) -> None:
    design = spilled.origin.design
    lon, lat = np.radians(design.table.coordinates).T
    x = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    apart = 6371.0088 * np.arccos(np.clip(x @ x.T, -1, 1))
    treated = design.table.treatment == 1
    to_treated = apart[:, treated].min(axis=1)
    curve = found.curves["buffers"]
    assert len(curve) > 3
    for row in curve.iloc[1:].itertuples():
        kept = treated | (to_treated > row.distance_km)
        again = ec.ate(design.take(kept), method="ols")
        assert row.estimate == pytest.approx(again.estimate, rel=1e-9)
        assert row.std_error == pytest.approx(again.std_error, rel=1e-9)
        assert (row.n_treated, row.n_control) == (treated.sum(), (kept & ~treated).sum())
        gap = again - spilled
        assert row.difference == pytest.approx(gap.estimate, abs=1e-9)
        assert row.difference_error == pytest.approx(gap.std_error, rel=1e-6)
        assert row.difference_p == pytest.approx(gap.p_value(), rel=1e-6)


def test_spillovers_slope_the_buffers_and_the_rings_find_them(found: Sensitivity) -> None:
    numbers = found.numbers
    estimates = found.curves["buffers"]["estimate"]
    # controls near treated units gain too, so that without them the estimate is larger
    assert estimates.iloc[-1] > estimates.iloc[0] + 0.3
    assert numbers["buffers_joint_p"] < 0.01
    assert numbers["rings_joint_p"] < 0.001
    rings = found.estimates["rings"]
    low, high = rings.ci()[1]
    assert low < 2.0 < high
    assert abs(rings.values[2]) < 2.5 * np.sqrt(rings.variance.matrix[2, 2])
    assert rings.ci()[0][0] < 0.5 < rings.ci()[0][1]
    assert (numbers["ring_from_km"], numbers["ring_to_km"]) == (0, 10)
    assert "where all rather than none within 10 km are treated" in found.sentence
    assert "more than by chance (p" in found.sentence


def test_rings_are_a_regression_on_what_was_and_what_was_to_be_expected(
    spilled: ec.Estimate, found: Sensitivity
) -> None:
    data = spilled.origin.design.table
    y, d, age = data.outcome, data.treatment, data.covariates[:, 0]
    ones = np.ones_like(y)
    base = np.column_stack([ones, age])
    expected = base @ np.linalg.lstsq(base, d, rcond=None)[0]
    sums = ring_sums(data.coordinates, np.column_stack([ones, d, expected]), [10_000.0, 20_000.0])
    count = sums[:, :, 0]
    share, mean = (np.where(count > 0, sums[:, :, k] / np.maximum(count, 1), 0.0) for k in (1, 2))
    columns = np.column_stack([d, share, base, mean, count == 0])
    coefficients = np.linalg.lstsq(columns, y, rcond=None)[0]
    np.testing.assert_allclose(found.estimates["rings"].values, coefficients[:3], rtol=1e-7)
    assert found.curves["rings"]["units_in_ring"].tolist() == pytest.approx(count.mean(axis=0).tolist())
    assert found.estimates["rings"].vcov.startswith("conley(")


def test_the_result_is_the_same_read_back(found: Sensitivity) -> None:
    content = found.to_dict(scores=True)
    again = Sensitivity.from_dict(json.loads(json.dumps(content, allow_nan=False)))
    pd.testing.assert_frame_equal(again.frame, found.frame)
    assert set(again.curves) == {"conley", "correlogram", "buffers", "rings"}
    for name, curve in found.curves.items():
        pd.testing.assert_frame_equal(again.curves[name], curve)
    assert again.numbers == pytest.approx(found.numbers, nan_ok=True)
    titles = [one.get_title(loc="left") for one in again.plot().axes]
    assert titles == [one.get_title(loc="left") for one in found.plot().axes]
    assert len(titles) == 4
    assert "Moran's I" in titles[0]
    assert len(found.summary().splitlines()) <= 25
    assert repr(found).startswith("Sensitivity(spatial of grant")


def test_panels_show_what_was_run(spilled: ec.Estimate) -> None:
    only = ec.sensitivity(spilled, kind="spatial", tests=["moran"])
    assert only.diagnostics["tests"] == ["moran"]
    (panel,) = only.plot().axes
    assert [text.get_text() for text in panel.get_yticklabels()] == ["residuals", "influence values"]
    two = ec.sensitivity(spilled, kind="spatial", tests=["conley", "buffers"], buffers="8km").plot()
    assert len(two.axes) == 3


def test_order_of_units_does_not_matter() -> None:
    frame = table(scattered(150, seed=4), seed=4, spillover=1.0)
    # villages, whose members are all equally near
    frame.loc[:40, ["lon", "lat"]] = frame.loc[[50, 51, 52] * 14, ["lon", "lat"]].to_numpy()[:41]
    order = np.random.default_rng(0).permutation(150)
    one, other = (
        ec.sensitivity(ec.ate(on_the_map(data), method="ols"), kind="spatial")
        for data in (frame, frame.iloc[order])
    )
    shown = [name for name in one.frame.columns if name != "p_draws"]
    pd.testing.assert_frame_equal(one.frame[shown], other.frame[shown], rtol=1e-6)
    assert any("share their place" in text for text in one.warnings)


def test_scale_of_the_outcome_moves_effects_alone() -> None:
    frame = table(scattered(150, seed=5), seed=5)
    one = ec.sensitivity(ec.ate(on_the_map(frame), method="ols"), kind="spatial")
    scaled = frame.assign(income=-7 * frame["income"] + 3)
    other = ec.sensitivity(ec.ate(on_the_map(scaled), method="ols"), kind="spatial")
    for name in (
        "moran_residuals",
        "moran_influence",
        "buffers_joint_p",
        "rings_joint_p",
        "reach_km",
        "conley_ratio",
    ):
        assert other.numbers[name] == pytest.approx(one.numbers[name], rel=1e-6, nan_ok=True)
    assert other.numbers["rings_estimate"] == pytest.approx(-7 * one.numbers["rings_estimate"], rel=1e-9)
    assert other.numbers["buffer_difference"] == pytest.approx(
        -7 * one.numbers["buffer_difference"], rel=1e-6
    )


def test_the_date_line_parts_nobody() -> None:
    here = table(scattered(150, seed=6), seed=6, spillover=1.0)
    there = here.assign(lon=(here["lon"] - 31.0 + 180 + 180) % 360 - 180)
    assert there["lon"].min() < -179
    assert there["lon"].max() > 179
    one, other = (
        ec.sensitivity(ec.ate(on_the_map(data), method="ols"), kind="spatial") for data in (here, there)
    )
    for name, value in one.numbers.items():
        assert other.numbers[name] == pytest.approx(value, rel=1e-5, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("aipw", {"learners": FAST, "folds": THREE}),
        ("partially_linear", {"learners": FAST, "folds": THREE}),
        ("aipw", {"learners": FAST, "folds": ec.Folds(k=2, repeats=2), "estimand": "att"}),
        ("ipw", {"learners": ec.Learners(propensity="logit")}),
        ("entropy_balancing", {}),
        ("difference", {}),
        ("regression", {}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_every_method_can_be_asked(method: str, options: dict[str, Any]) -> None:
    made = ec.ate(on_the_map(table(scattered(160, seed=7), seed=7)), method=method, **options)
    result = ec.sensitivity(made, kind="spatial", buffers=["4km"], rings=["8km"])
    assert result.diagnostics["tests"] == ["moran", "conley", "buffers", "rings"]
    assert _rows(result, "moran")["p_value"].between(0, 1).all()
    buffered = result.estimates["controls beyond 4 km"]
    assert (buffered.method, buffered.estimand, buffered.vcov) == (made.method, made.estimand, made.vcov)
    assert result.frame["std_error"].dropna().gt(0).all()


def test_residuals_of_predicted_outcomes_are_those_of_the_own_arm() -> None:
    made = ec.ate(on_the_map(table(scattered(160, seed=7), seed=7)), learners=FAST, folds=THREE)
    (known,) = made.origin.predicted
    data = made.origin.entered.table
    own = np.where(data.treatment == 1, known["outcome_treated"], known["outcome_control"])
    left = data.outcome - own
    weights = nearest_neighbours(places_of(data.coordinates), 5)
    result = ec.sensitivity(made, kind="spatial", tests="moran", neighbours=5)
    assert result.numbers["moran_residuals"] == pytest.approx(moran(left - left.mean(), weights), rel=1e-9)


def test_clusters_are_what_is_compared_where_errors_are_clustered() -> None:
    frame = table(scattered(300, seed=8), seed=8, reach_km=15)
    made = ec.ate(on_the_map(frame, cluster="district"), method="ols")
    result = ec.sensitivity(made, kind="spatial", rings=["10km"])
    names = _rows(result, "moran")["what"].tolist()
    assert names[2] == "Moran's I of influence values by district"
    sums = frame.assign(score=made.scores["grant"].to_numpy()).groupby("district")
    middles = sums[["lon", "lat"]].mean().to_numpy()
    values = sums["score"].sum().to_numpy()
    expected = moran(values - values.mean(), nearest_neighbours(places_of(middles), 8))
    assert result.numbers["moran_clusters"] == pytest.approx(expected, abs=0.02)
    assert result.sentence.startswith("Clusters near one another (district) are")
    assert ", clustered by district," in result.sentence
    assert result.estimates["rings"].vcov == "cluster(district)"
    # treatment of the own district is no exposure
    district = np.unique(frame["district"], return_inverse=True)[1]
    counts = ring_sums(frame[["lon", "lat"]].to_numpy(), np.ones((300, 1)), [10_000.0], apart=district)
    assert result.curves["rings"]["units_in_ring"].iloc[0] == pytest.approx(counts.mean())


def test_a_dose_has_rings_and_no_buffers() -> None:
    frame = table(scattered(150, seed=9), seed=9)
    design = on_the_map(frame, treatment="dose", treatment_type="continuous")
    made = ec.ate(design, method="ols")
    result = ec.sensitivity(made, kind="spatial")
    assert result.diagnostics["tests"] == ["moran", "conley", "rings"]
    assert result.warnings[0] == "buffers: not run. Of a dose there are no controls to leave out."
    assert result.curves["rings"]["ring"].str.startswith("mean dose").all()
    assert result.plot().axes[2].get_ylabel() == "effect of a mean dose larger by 1"
    with pytest.raises(SensitivityError, match="no controls to leave out"):
        ec.sensitivity(made, kind="spatial", buffers=["5km"])


def _panel(n: int = 120, *, spillover: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    places = scattered(n, seed=11)
    starts = np.where(rng.uniform(size=n) < 0.4, rng.integers(1, 4, n), 99)
    level = rng.normal(size=n)
    parts = []
    for year in range(4):
        aid = (year >= starts).astype(int)
        sums = ring_sums(places, np.column_stack([np.ones(n), aid]), [15_000.0])[:, 0]
        share = np.divide(sums[:, 1], sums[:, 0], out=np.zeros(n), where=sums[:, 0] > 0)
        wealth = level + 0.1 * year + 0.5 * aid + spillover * share + 0.5 * rng.normal(size=n)
        parts.append(
            pd.DataFrame(
                {"unit": np.arange(n), "year": 2000 + year, "lon": places[:, 0], "lat": places[:, 1], "aid": aid,
                 "wealth": wealth}
            )
        )  # fmt: skip
    return pd.concat(parts)


@pytest.mark.parametrize("method", ["twfe", "did"])
def test_panels_are_compared_by_unit(method: str) -> None:
    frame = _panel(spillover=1.5)
    design = ec.PanelDesign(
        frame, outcome="wealth", treatment="aid", unit="unit", period="year", coordinates=("lon", "lat")
    )
    made = ec.panel(design, method=method)
    result = ec.sensitivity(made, kind="spatial", rings=["15km"], buffers=["12km"])
    assert result.diagnostics["tests"] == ["moran", "conley", "buffers", "rings"]
    assert ("moran_residuals" in result.numbers) == (method == "twfe")
    scores = made.scores[made.terms[0]].to_numpy()
    if method == "twfe":
        scores = pd.Series(scores).groupby(made.panel.unit).sum().to_numpy()
    weights = nearest_neighbours(places_of(frame[["lon", "lat"]].to_numpy()[:120]), 8)
    assert result.numbers["moran_influence"] == pytest.approx(
        moran(scores - scores.mean(), weights), rel=1e-8
    )
    rings = result.estimates["rings"]
    assert rings.ci()[1][0] < 1.5 < rings.ci()[1][1]
    assert result.numbers["rings_joint_p"] < 0.01
    buffers = result.curves["buffers"]
    assert buffers["n_treated"].tolist() == [(frame.groupby("unit")["aid"].max()).sum()] * 2
    assert buffers["n_control"].iloc[1] < buffers["n_control"].iloc[0]


def test_a_corrected_result_is_asked_as_what_it_holds() -> None:
    frame = table(scattered(200, seed=12), seed=12)
    rng = np.random.default_rng(12)
    frame["map"] = 0.6 * frame["income"] + 0.3 * rng.normal(size=200)
    truth = rng.normal(size=150)
    places = pd.DataFrame({"truth": truth, "map": 0.6 * truth + 0.3 * rng.normal(size=150)})
    fix = ec.debias(places, prediction="map", truth="truth", method="lcc")
    made = ec.ate(on_the_map(frame, outcome="map"), method="ols", correct=fix)
    result = ec.sensitivity(made, kind="spatial", buffers=["4km"])
    assert result.subject.estimate == pytest.approx(made.best.estimate)
    assert any("take the calibration of the outcome as given" in text for text in result.warnings)
    row = result.curves["buffers"].iloc[0]
    assert row["estimate"] == pytest.approx(made.best.estimate, rel=1e-6)
    assert row["std_error"] < made.best.std_error


def _subject(**changes: Any) -> Subject:
    named = {
        "term": "grant",
        "outcome": "income",
        "estimand": "ate",
        "method": "ols",
        "vcov": "cluster(district)",
    }
    numbers = {
        "estimate": 0.52,
        "std_error": 0.065,
        "conf_low": 0.39,
        "conf_high": 0.65,
        "df": 300.0,
        "n": 302,
        "errors": "clustered by district",
    }
    return Subject(**{**named, **numbers, **changes})


NUMBERS = {
    "moran_residuals": 0.2, "moran_residuals_expected": -0.003, "moran_residuals_p": 1e-5,
    "moran_influence": 0.21, "moran_influence_expected": -0.003, "moran_influence_p": 1e-6, "std_error": 0.065,
    "reach_km": 18.0, "conley_cutoff_km": 20.0, "conley_std_error": 0.11, "conley_ratio": 0.11 / 0.065,
    "conley_places": 80.0, "buffer_km": 5.0, "buffer_estimate": 0.49, "buffer_difference": -0.03,
    "buffer_difference_p": 0.21, "rings_joint_p": 0.4, "rings_estimate": 0.50, "rings_without": 0.52,
    "ring_effect": -0.2, "ring_from_km": 5.0, "ring_to_km": 10.0,
    "rings_reach_km": 15.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "how", "words"),
    [
        (
            {},
            "iid",
            "Neighbours are alike in what the estimate leaves unexplained (Moran's I 0.21, p < 0.001); the "
            "standard error is 0.110, not 0.065, where units up to 20 km apart may vary "
            "together. Without controls within 5 km of treated units the estimate moves "
            "from 0.520 to 0.490, no more than by chance (p = 0.21). With the treatment of others within 15 km "
            "outcomes go no more than by chance (p = 0.40).",
        ),
        ({"moran_influence_p": 0.4}, "iid", "Neighbours are no more alike in what the estimate leaves"),
        (
            {"moran_influence_p": 0.4},
            "iid",
            "the standard error would be 0.110, not 0.065, where units up to 20 km apart",
        ),
        ({"moran_influence": -0.2}, "iid", "Neighbours are unlike in what"),
        (
            {"conley_std_error": 0.066, "conley_ratio": 1.02},
            "iid",
            "of 0.0650 is about the same, 0.0660, where units",
        ),
        (
            {"conley_std_error": 0.05, "conley_ratio": 0.77},
            "iid",
            "of 0.0650 is larger than where units up to 20 km apart may vary together, 0.0500.",
        ),
        ({"conley_places": 12.0}, "iid", "together, too small perhaps with some 12 separate places."),
        ({"reach_km": 44.0}, "iid", "may vary together, if not farther."),
        ({"reach_km": np.nan}, "iid", "may vary together, if not farther."),
        ({}, "cluster", "is 0.110, not 0.065, clustered by district, where"),
        ({"buffer_difference_p": 0.01}, "iid", "to 0.490, more than by chance (p = 0.010)"),
        ({"buffer_difference_p": np.nan}, "iid", "estimate moves from 0.520 to 0.490."),
        (
            {"rings_joint_p": 0.02},
            "iid",
            "(p = 0.020), by -0.200 where all rather than none from 5 km to 10 km away are treated; the own effect "
            "is then 0.500, but this is found too often where neighbours are alike.",
        ),
        # shares are alike by construction, so that residuals are enough
        (
            {"rings_joint_p": 0.02, "moran_influence_p": 0.4},
            "iid",
            "found too often where neighbours are alike.",
        ),
        (
            {"rings_joint_p": 0.02, "moran_influence_p": 0.4, "moran_residuals_p": 0.3},
            "iid",
            "the own effect is then 0.500.",
        ),
    ],
)
def test_sentences_say_what_was_found(changes: dict[str, float], how: str, words: str) -> None:
    said = sentence_of(_subject(), {**NUMBERS, **changes}, how=how, level=0.95)
    assert words in said
    assert len(said.split()) <= 105


def test_verdicts_are_of_the_level_that_was_asked_for() -> None:
    close = {**NUMBERS, "moran_influence_p": 0.03, "buffer_difference_p": 0.03, "rings_joint_p": 0.03}
    at_5, at_1 = (sentence_of(_subject(), close, how="iid", level=level) for level in (0.95, 0.99))
    assert "Neighbours are alike" in at_5
    assert "Neighbours are no more alike" in at_1
    assert (at_5.count("no more"), at_1.count("no more")) == (0, 3)


def test_sentences_leave_out_what_was_not_run() -> None:
    assert sentence_of(_subject(), {"std_error": 1.0}, how="iid", level=0.95).startswith(
        "No standard error could be made"
    )
    only = {name: value for name, value in NUMBERS.items() if name.startswith("moran")}
    assert sentence_of(_subject(), only, how="iid", level=0.95).startswith(
        "Neighbours are alike in what the estimate"
    )
    assert "Without controls" not in sentence_of(_subject(), only, how="iid", level=0.95)
    dose = sentence_of(_subject(), {**NUMBERS, "rings_joint_p": 0.001}, how="iid", level=0.95, dose=True)
    assert "where the mean dose from 5 km to 10 km away is larger by 1" in dose


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 0}, r"neighbours=0[\s\S]*at least 1"),
        ({"neighbours": 60}, "60 units have no 60 neighbours each"),
        ({"neighbours": "1 m"}, "No unit has another one within 1 m"),
        ({"tests": ["morans"]}, "Did you mean 'moran'"),
        ({"tests": []}, "tests is empty"),
        ({"tests": 3}, r"tests=3[\s\S]*some of: moran"),
        ({"buffers": object()}, "is not a distance"),
        ({"cutoffs": ["5 miles"]}, "'5 miles' is not a distance"),
        ({"buffers": []}, "buffers is empty"),
        ({"buffers": ["900km"]}, r"No buffer leaves an estimate[\s\S]*leaves 0 controls"),
        ({"rings": ["5km"], "tests": "moran"}, "'rings' is not among tests"),
        ({"rings": ["1 m"]}, "leave nothing of the share of treated"),
        ({"radius": 3}, "no option of this name"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], words: str) -> None:
    made = ec.ate(on_the_map(table(scattered(60, seed=13), seed=13)), method="ols")
    with pytest.raises(SensitivityError, match=words):
        ec.sensitivity(made, kind="spatial", **options)


def test_results_without_a_map_are_refused() -> None:
    frame = table(scattered(60, seed=13), seed=13)
    plain = ec.Design(frame.set_index("id"), outcome="income", treatment="grant")
    with pytest.raises(SensitivityError, match="does not know where its units are"):
        ec.sensitivity(ec.ate(plain, method="difference"), kind="spatial")
    together = ec.ate(on_the_map(frame.assign(lon=30.0, lat=1.0)), method="ols")
    with pytest.raises(SensitivityError, match="All units are at one place"):
        ec.sensitivity(together, kind="spatial")
    several = on_the_map(
        frame.assign(grant=np.arange(60) % 3), treatment_type="categorical", control=0, covariates=[]
    )
    with pytest.raises(SensitivityError, match="several arms"):
        ec.sensitivity(ec.ate(several, method="difference"), kind="spatial", term="1")


def test_villages_that_hold_both_arms_have_no_buffers_by_default() -> None:
    frame = table(scattered(400, seed=14), seed=14)
    village = np.arange(400) % 40
    frame[["lon", "lat"]] = frame.loc[village, ["lon", "lat"]].to_numpy()
    made = ec.ate(on_the_map(frame), method="ols")
    result = ec.sensitivity(made, kind="spatial")
    assert "buffers" not in result.curves
    assert any("share their place with a treated unit" in text for text in result.warnings)
    assert result.curves["correlogram"]["to_km"].iloc[0] == 0.0
    assert result.diagnostics["units_that_share_a_place"] == 400
    few = ec.sensitivity(ec.ate(on_the_map(frame[village < 20]), method="ols"), kind="spatial")
    assert any("Rings around 20 places" in text for text in few.warnings)


def test_units_that_the_design_left_out_are_told_of() -> None:
    frame = table(scattered(120, seed=15), seed=15)
    frame.loc[:4, "income"] = np.nan
    made = ec.ate(on_the_map(frame, missing="drop"), method="ols")
    result = ec.sensitivity(made, kind="spatial", tests=["buffers", "rings"])
    assert any(
        text.startswith("5 units that the design left out count for nobody") for text in result.warnings
    )
    only = ec.sensitivity(made, kind="spatial", tests="moran")
    assert not any("left out" in text for text in only.warnings)


def test_intervals_have_the_level_that_was_asked_for() -> None:
    made = ec.ate(on_the_map(table(scattered(120, seed=16), seed=16)), method="ols")
    wide, narrow = (ec.sensitivity(made, kind="spatial", level=level) for level in (0.95, 0.5))
    for name in ("conley", "buffers", "rings"):
        spans = [one.curves[name]["conf_high"] - one.curves[name]["conf_low"] for one in (wide, narrow)]
        assert (spans[1] < 0.5 * spans[0]).all()
    assert wide.numbers == pytest.approx(narrow.numbers, nan_ok=True)


def test_aid_and_wealth_in_nigeria_share_more_than_independent_errors_allow(shared: Path) -> None:
    villages = pd.read_parquet(shared / "data" / "africa_wealth" / "clusters.parquet")
    villages = villages[(villages["country"] == "nigeria") & (villages["year"] == 2013)]
    sites = pd.read_csv(shared / "data" / "africa_aid" / "projects.csv")
    chosen = (
        sites["start_date"].between("2005", "2011")
        & (sites["country"] == "nigeria")
        & (sites["funder"] == "WB")
    )
    sites = sites[chosen & sites["sector_group"].str.startswith("Social")]
    places = villages[["lon", "lat"]].to_numpy(dtype=float)
    near = distances_to(places, sites[["longitude", "latitude"]].to_numpy()) <= 25_000
    frame = villages[["cluster_id", "lon", "lat", "wealth", "urban"]].assign(aid=near.astype(int))
    units = ec.read_units(frame, id="cluster_id", lon="lon", lat="lat")
    made = ec.ate(ec.Design(units, outcome="wealth", treatment="aid", covariates=["urban"]), method="ols")
    result = ec.sensitivity(made, kind="spatial")
    numbers = result.numbers
    assert (made.n, numbers["moran_residuals"]) == (889, pytest.approx(0.298, abs=5e-4))
    assert numbers["moran_influence_p"] < 1e-6
    assert numbers["conley_ratio"] > 1.5
    # who is treated around explains most of what looked like an effect of own treatment
    assert numbers["rings_estimate"] < 0.5 * numbers["rings_without"]
    assert result.sentence.startswith("Neighbours are alike in what the estimate leaves unexplained")


def test_a_uniform_kernel_that_fails_for_rings_gives_way_to_bartlett() -> None:
    plain = ec.ate(on_the_map(table(scattered(150, seed=17), seed=17)), method="ols")
    kernels = {}
    for km in range(60, 200, 10):
        try:
            made = plain.with_vcov({"conley": f"{km}km"})
        except EstimationError:
            continue
        result = ec.sensitivity(made, kind="spatial", tests="rings", rings=["10km", "20km"])
        how = result.estimates["rings"].variance.how
        kernels[how.kernel] = result
        told = f"rings: the variance by conley({km} km, uniform) is not positive; errors are {how.label}"
        assert (told in result.warnings) == (how.kernel == "bartlett")
        assert (result.estimates["rings"].std_error > 0).all()
    assert set(kernels) == {"uniform", "bartlett"}


def _told(result: Sensitivity, start: str) -> list[str]:
    return [text for text in result.warnings if text.startswith(start)]


def test_errors_that_the_map_belies_are_told_of_where_buffers_and_rings_rest_on_them() -> None:
    design = on_the_map(table(scattered(250, seed=18), seed=18, reach_km=40))
    made = ec.ate(design, method="ols")
    result = ec.sensitivity(made, kind="spatial")
    cutoff = f"{result.numbers['conley_cutoff_km']:.4g}km"
    for start in ("buffers are judged by", "rings are found too often"):
        (told,) = _told(result, start)
        assert f"result.with_vcov({{'conley': '{cutoff}'}})" in told
    again = ec.sensitivity(made.with_vcov({"conley": cutoff}), kind="spatial")
    assert not _told(again, "buffers are judged by")
    # errors that reach far do not make the test of rings right
    (told,) = _told(again, "rings are found too often")
    assert "ask again" not in told


def test_rings_are_not_doubted_where_neighbours_are_not_alike() -> None:
    made = ec.ate(on_the_map(table(scattered(200, seed=3), seed=3)), method="ols")
    both = ec.sensitivity(made, kind="spatial", tests=["moran", "rings"])
    assert both.numbers["moran_residuals_p"] > 0.05
    assert not _told(both, "rings")
    (told,) = _told(
        ec.sensitivity(made, kind="spatial", tests="rings"), "rings: the estimate's standard errors"
    )
    assert "take units as independent, and whether they are was not asked" in told
    clustered = ec.ate(on_the_map(table(scattered(200, seed=3), seed=3), cluster="district"), method="ols")
    assert not _told(ec.sensitivity(clustered, kind="spatial", tests="rings"), "rings: the estimate's")


def test_clusters_that_neighbours_share_across_are_told_of_too() -> None:
    frame = table(scattered(400, seed=0, side=4.0), reach_km=120)
    made = ec.ate(on_the_map(frame, cluster="district"), method="ols")
    result = ec.sensitivity(made, kind="spatial", tests=["moran", "buffers"])
    assert result.numbers["moran_clusters_p"] < 0.05
    (told,) = _told(result, "buffers are judged by")
    assert "take clusters as independent" in told


def test_likeness_within_clusters_is_no_reproach_where_clusters_are_too_few_to_test() -> None:
    frame = table(scattered(300, seed=18), seed=18, reach_km=40)
    frame["region"] = np.floor(1.5 * frame[["lon", "lat"]].to_numpy()).astype(int) @ [100, 1]
    frame["strip"] = np.floor(2 * frame["lat"].to_numpy()).astype(int)
    made = ec.ate(on_the_map(frame, cluster="region"), method="ols")
    strips = pd.Series(frame["strip"].to_numpy(), index=frame["id"], name="strip")
    for one in (made, made.with_vcov({"cluster": ["region", strips]})):
        result = ec.sensitivity(one, kind="spatial", tests=["moran", "buffers"], neighbours=20)
        assert result.numbers["moran_influence_p"] < 0.05
        assert "moran_clusters" not in result.numbers
        assert not _told(result, "buffers are judged by")


def test_rings_that_cannot_be_tested_together_are_told_of() -> None:
    frame = table(scattered(200, seed=3), seed=3)
    halves = frame.assign(half=(frame["lon"] > frame["lon"].median()).astype(int))
    made = ec.ate(on_the_map(halves, cluster="half"), method="ols")
    result = ec.sensitivity(made, kind="spatial", tests="rings")
    assert np.isnan(result.numbers["rings_joint_p"])
    assert any("cluster(half) is too few to test 3 rings together" in text for text in result.warnings)
    assert (
        result.sentence
        == "There are too few clusters to tell whether outcomes go with the treatment of others."
    )


def test_an_outcome_that_is_explained_to_the_last_digit_is_refused() -> None:
    frame = table(scattered(100, seed=3), seed=3)
    made = ec.ate(on_the_map(frame.assign(income=1e6 + 2.0 * frame["grant"] + frame["age"])), method="ols")
    with pytest.raises(SensitivityError, match="leaves nothing of the outcome"):
        ec.sensitivity(made, kind="spatial")
