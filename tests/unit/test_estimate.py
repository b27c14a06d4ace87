"""The result type: intervals, p-values, other standard errors, differences, tables, files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.effects.ate import METHODS
from eocausal.errors import EstimationError
from eocausal.inference.tables import BROOM, jsonable, two_sided_p
from tests.studies import FAST, FOREST, THREE, by_village, design, study


@pytest.fixture(scope="module")
def plain() -> ec.Estimate:
    return ec.ate(design(study(), propensity=0.5), learners=FAST, folds=THREE)


@pytest.fixture(scope="module")
def clustered() -> ec.Estimate:
    return ec.ate(design(by_village(), cluster="village"), method="difference")


def test_the_standard_error_is_made_of_the_scores(plain: ec.Estimate) -> None:
    scores = plain.scores[plain.terms[0]].to_numpy()
    assert plain.std_error == pytest.approx(np.sqrt((scores**2).sum() * 120 / 119) / 120, rel=1e-12)
    assert plain.scores.index.tolist() == plain.ids.tolist()
    assert scores.mean() == pytest.approx(0, abs=1e-12)


def test_the_clustered_standard_error_is_made_of_the_scores(clustered: ec.Estimate) -> None:
    table = by_village()
    sums = clustered.scores["grant"].groupby(table["village"]).sum()
    factor = 24 / 23 * 119 / 118
    assert clustered.std_error == pytest.approx(np.sqrt(factor * (sums**2).sum()) / 120, rel=1e-12)
    assert (clustered.vcov, clustered.n_clusters) == ("cluster(village)", 24)


def test_intervals_use_the_t_distribution(clustered: ec.Estimate) -> None:
    half = stats.t.ppf(0.95, 23) * clustered.std_error
    assert clustered.ci(0.9) == pytest.approx(
        (clustered.estimate - half, clustered.estimate + half), rel=1e-12
    )
    expected = 2 * stats.t.sf(abs(clustered.estimate - 0.3) / clustered.std_error, 23)
    assert clustered.p_value(0.3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("level", [95, 0, 1, -0.1])
def test_a_level_that_is_no_share_is_refused(plain: ec.Estimate, level: float) -> None:
    with pytest.raises(EstimationError, match=r"is not a confidence level[\s\S]*0 < level < 1"):
        plain.ci(level)


def test_p_values_far_out_are_not_rounded_to_zero() -> None:
    p = two_sided_p(np.array([9.0]), np.array([1.0]), df=1e9)
    assert p[0] == pytest.approx(2.257e-19, rel=0.001, abs=0)


def test_an_exact_zero_without_error_has_p_one_and_another_value_p_zero() -> None:
    assert two_sided_p(np.array([0.0, 1.0]), np.zeros(2), df=5).tolist() == [1.0, 0.0]


def test_other_standard_errors_need_no_refit(clustered: ec.Estimate) -> None:
    table = by_village()
    for vcov in ("iid", "hetero", "cluster", {"cluster": "village"}):
        again = ec.ate(design(table, cluster="village"), method="difference", vcov=vcov)
        assert clustered.with_vcov(vcov).std_error == again.std_error
        assert clustered.with_vcov(vcov).estimate == clustered.estimate
    given = clustered.with_vcov({"cluster": table["village"].rename("place").sample(frac=1, random_state=0)})
    assert given.vcov == "cluster(place)"
    assert given.std_error == clustered.std_error
    assert given.with_vcov("iid").with_vcov({"cluster": "place"}).std_error == clustered.std_error


def test_a_difference_has_the_joint_standard_error_of_stacked_scores() -> None:
    table = study()
    naive = ec.ate(design(table), method="difference")
    adjusted = ec.ate(design(table), method="regression")
    found = naive - adjusted
    gap = naive.score_values[:, 0] - adjusted.score_values[:, 0]
    assert found.estimate == pytest.approx(naive.estimate - adjusted.estimate, rel=1e-12)
    assert found.std_error == pytest.approx(np.sqrt(120 / 119 * (gap**2).sum()) / 120, rel=1e-12)
    assert found.std_error < np.hypot(naive.std_error, adjusted.std_error)
    reverse = adjusted - naive
    assert (reverse.estimate, reverse.std_error) == (
        -found.estimate,
        pytest.approx(found.std_error, rel=1e-12),
    )


def test_nothing_differs_from_itself(plain: ec.Estimate) -> None:
    gap = plain - plain
    assert (gap.estimate, gap.std_error, gap.p_value()) == (0.0, 0.0, 1.0)


def test_a_difference_on_partly_shared_units_by_hand() -> None:
    table = study()
    first = ec.ate(design(table.iloc[:80]), method="difference")
    second = ec.ate(design(table.iloc[40:]), method="difference")
    found = first - second
    stacked = pd.DataFrame(
        {
            "first": first.scores["grant"] / 80,
            "second": second.scores["grant"] / 80,
        }
    )
    by_hand = (stacked["first"].fillna(0) - stacked["second"].fillna(0)).to_numpy()
    assert len(by_hand) == found.n == 120
    assert found.std_error == pytest.approx(np.sqrt(120 / 119 * (by_hand**2).sum()), rel=1e-12)


def test_estimates_of_disjoint_units_are_independent() -> None:
    table = study(400)
    first = ec.ate(design(table.iloc[:200]), method="difference")
    second = ec.ate(design(table.iloc[200:]), method="difference")
    assert (first - second).std_error == pytest.approx(np.hypot(first.std_error, second.std_error), rel=5e-3)


def test_a_clustered_difference_sums_within_clusters_of_both() -> None:
    table = by_village()
    first = ec.ate(design(table.iloc[:80], cluster="village"), method="difference")
    second = ec.ate(design(table.iloc[40:], cluster="village"), method="difference")
    unit = (first.scores["grant"] / 80).sub(second.scores["grant"] / 80, fill_value=0)
    sums = unit.groupby(table["village"].reindex(unit.index)).sum()
    factor = 24 / 23 * 119 / 118
    assert (first - second).std_error == pytest.approx(np.sqrt(factor * (sums**2).sum()), rel=1e-12)
    assert (first - second).vcov == "cluster(village)"


def test_compare_holds_each_estimate_and_their_covariance() -> None:
    table = study()
    results = {method: ec.ate(design(table), method=method) for method in ("difference", "regression")}
    found = ec.compare(**results)
    assert found.terms == ("difference", "regression")
    np.testing.assert_array_equal(found.estimate, [result.estimate for result in results.values()])
    np.testing.assert_allclose(found.std_error, [result.std_error for result in results.values()], rtol=1e-12)
    cross = results["difference"].score_values[:, 0] @ results["regression"].score_values[:, 0]
    assert found.variance.matrix[0, 1] == pytest.approx(120 / 119 * cross / 120**2, rel=1e-12)
    assert found.ci().shape == (2, 2)


def test_compare_refuses_what_does_not_go_together(plain: ec.Estimate, clustered: ec.Estimate) -> None:
    with pytest.raises(EstimationError, match="compare\\(\\) got no estimates"):
        ec.compare()
    with pytest.raises(EstimationError, match=r"different standard errors[\s\S]*with_vcov"):
        ec.compare(a=plain, b=clustered)
    with pytest.raises(EstimationError, match=r"one term[\s\S]*1 \(b\)"):
        ec.compare(a=plain, b=ec.compare(c=plain, d=plain))
    table = by_village()
    other = ec.ate(design(table.assign(village=table["village"] // 2 * 2 + 1 - table["village"] % 2),
                          cluster="village"), method="difference")  # fmt: skip
    with pytest.raises(EstimationError, match="different 'village' in the two results"):
        ec.compare(a=clustered, b=other)


def test_half_sample_errors_of_separate_runs_are_not_joined() -> None:
    rng = np.random.default_rng(0)
    scores, clusters = rng.normal(size=60), np.arange(60) // 3
    halves = {"clusters": clusters, "std_errors": "half_sample"}
    one, two = (ec.rate_from_scores(scores, rng.normal(size=60), **halves).rates for _ in range(2))
    with pytest.raises(EstimationError, match=r"Half-sample[\s\S]*priority=\{"):
        _ = one - two
    joined = one.with_vcov("cluster") - two.with_vcov("cluster")
    sums = np.bincount(clusters, weights=(one.score_values - two.score_values)[:, 0])
    assert joined.std_error == pytest.approx(np.sqrt(20 / 19 * (sums**2).sum()) / 60, rel=1e-12)


def test_ids_of_other_kinds_are_not_matched(plain: ec.Estimate) -> None:
    table = study()
    text = ec.ate(design(table.set_axis(table.index.astype(str)), propensity=0.5), learners=FAST, folds=THREE)
    with pytest.raises(EstimationError, match=r"ids of different kinds[\s\S]*int.*str[\s\S]*astype\(str\)"):
        _ = plain - text


def test_the_table_has_brooms_columns(plain: ec.Estimate) -> None:
    frame = plain.to_frame(0.8)
    assert tuple(frame.columns) == BROOM
    row = frame.iloc[0]
    assert (row["estimate"], row["std_error"], row["n"]) == (plain.estimate, plain.std_error, 120)
    assert (row["conf_low"], row["conf_high"]) == plain.ci(0.8)
    assert row["statistic"] == pytest.approx(plain.estimate / plain.std_error, rel=1e-12)
    assert row["p_value"] == plain.p_value()
    assert frame["n_clusters"].isna().all()


def test_a_result_goes_through_json(plain: ec.Estimate, clustered: ec.Estimate) -> None:
    for result in (plain, clustered, ec.compare(a=plain, b=plain)):
        text = json.dumps(result.to_dict(scores=True), allow_nan=False)
        back = ec.Estimate.from_dict(json.loads(text))
        assert back == result
        np.testing.assert_array_equal(back.ci(), result.ci())
        assert back.with_vcov("hetero").std_error == pytest.approx(
            result.with_vcov("hetero").std_error, rel=1e-15
        )
        assert back.ids.dtype.kind == result.ids.dtype.kind


def test_units_are_not_told_unless_asked(plain: ec.Estimate) -> None:
    content = plain.to_dict()
    assert not {"ids", "score_values", "groups"} & set(content)
    with pytest.raises(EstimationError, match=r"no unit-level scores[\s\S]*to_dict\(scores=True\)"):
        ec.Estimate.from_dict(content)


def test_equal_by_value_and_not_otherwise(plain: ec.Estimate, clustered: ec.Estimate) -> None:
    assert plain == plain.with_vcov("iid")
    assert plain != plain.with_vcov("hetero")
    assert plain != clustered
    assert plain != 3


def test_json_content_is_plain() -> None:
    content = jsonable({"a": np.float64(np.nan), "b": (np.int64(2), np.inf), "c": np.arange(2), 3: True})
    assert content == {"a": None, "b": [2, None], "c": [0, 1], "3": True}


def test_texts_are_short_and_escaped(clustered: ec.Estimate) -> None:
    from dataclasses import replace

    noisy = replace(clustered, terms=("a_b & c <b>",), warnings=tuple(f"w{k}" for k in range(40)))
    assert len(noisy.summary().splitlines()) <= 25
    assert "36 more warnings" in noisy.summary()
    assert len(repr(noisy).splitlines()) == 1
    assert "<b>" not in noisy._repr_html_()
    assert r"a\_b \& c" in noisy.to_latex()


@pytest.mark.parametrize(
    ("vcov", "words"),
    [
        ("robust", "vcov='robust' is not known"),
        ({"spatial": "50km"}, r"is not known[\s\S]*\{'conley': '50km'\}"),
        ({"conley": "50km"}, r"does not know where its units are[\s\S]*ec.read_units\(table"),
        ({"cluster": "district"}, r"'district' is not stored[\s\S]*\['village'\]"),
        ({"cluster": pd.Series([1, 2], index=[100, 103])}, r"missing for some units[\s\S]*118 \(106, "),
        ({"cluster": pd.Series([1, 2, 3], index=[100, 100, 103])}, r"several values[\s\S]*1 \(100\)"),
        ({"cluster": np.arange(120)}, r"cluster is a ndarray[\s\S]*Series of labels by unit id"),
    ],
)
def test_other_standard_errors_that_cannot_be(clustered: ec.Estimate, vcov: object, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        clustered.with_vcov(vcov)


def located(table: pd.DataFrame, **options: object) -> ec.Design:
    """The design on units in two degrees of a country, neighbours by number near one another."""
    n = len(table)
    lon, lat = 33 + np.arange(n) % 11 / 5, np.arange(n) // 11 / 5
    units = ec.read_units(table.reset_index().assign(lon=lon, lat=lat), id="id", lon="lon", lat="lat")
    return ec.Design(units, outcome="income", treatment="grant", covariates=["age", "wealth"], **options)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_estimator_has_conley_standard_errors(method: str) -> None:
    table = study()
    made = ec.ate(located(table, propensity="p"), method=method, learners=FAST, folds=THREE)
    found = made.with_vcov({"conley": "30km"})
    # units lie 0.2 degrees, 22 km, apart: those side by side are near, those across a corner are 31 km apart
    column, row = np.arange(120) % 11, np.arange(120) // 11
    near = np.abs(column[:, None] - column) + np.abs(row[:, None] - row) <= 1
    scores = made.score_values[:, 0]
    factor = 119 / (120 - made.n_params)
    assert found.std_error == pytest.approx(np.sqrt(factor * scores @ near @ scores) / 120, rel=1e-12)
    assert found.vcov == "conley(30 km, uniform)"
    assert found.variance.df == 120 - made.n_params
    assert f"conley(30 km, uniform), factor {factor:.5f}, t({120 - made.n_params})" in found.summary()
    asked = ec.ate(
        located(table, propensity="p"), method=method, learners=FAST, folds=THREE, vcov={"conley": 30_000}
    )
    assert asked.std_error == found.std_error


def test_balance_overlap_and_the_average_of_cate_have_conley_standard_errors_too() -> None:
    study_design = located(study(selected=True))
    for made in (
        ec.balance(study_design).differences,
        ec.overlap(study_design, learners=FAST, folds=THREE).auc,
        ec.cate(study_design, learner=FOREST, folds=THREE).average,
    ):
        found = made.with_vcov({"conley": "30km"})
        np.testing.assert_allclose(found.coordinates[:, 0], 33 + np.arange(120) % 11 / 5, rtol=1e-12)
        column, row = np.arange(120) % 11, np.arange(120) // 11
        near = np.abs(column[:, None] - column) + np.abs(row[:, None] - row) <= 1
        expected = found.variance.factor * made.score_values.T @ near @ made.score_values / 120**2
        np.testing.assert_allclose(found.variance.matrix, expected, rtol=1e-9, atol=1e-15)


def test_the_units_that_a_design_left_out_take_their_places_along() -> None:
    table = study()
    table.loc[table.index[:10], "age"] = np.nan
    made = ec.ate(located(table, missing="drop"), method="regression")
    expected = np.column_stack([33 + np.arange(10, 120) % 11 / 5, np.arange(10, 120) // 11 / 5])
    np.testing.assert_allclose(made.coordinates, expected, rtol=1e-12)


def test_notes_of_a_variance_go_with_it() -> None:
    made = ec.ate(located(study()), method="difference")
    wide = made.with_vcov({"conley": "80km", "kernel": "bartlett"})
    assert wide.warnings[:-1] == made.warnings
    assert "separate places: with fewer than 30" in wide.warnings[-1]
    assert wide.with_vcov("iid").warnings == made.warnings
    assert wide.with_vcov({"conley": "80km", "kernel": "bartlett"}).warnings == wide.warnings


def test_two_kinds_of_clusters_in_a_result() -> None:
    table = by_village()
    image = pd.Series(np.arange(120) // 3, index=table.index, name="image")
    made = ec.ate(design(table, cluster="village"), method="difference")
    found = made.with_vcov({"cluster": ["village", image]})
    village = table["village"].to_numpy()
    near = (village[:, None] == village) | (image.to_numpy()[:, None] == image.to_numpy())
    scores = made.score_values[:, 0]
    assert found.std_error == pytest.approx(
        np.sqrt(24 / 23 * 119 / 118 * scores @ near @ scores) / 120, rel=1e-12
    )
    assert (found.vcov, found.n_clusters, found.variance.df) == ("cluster(village & image)", 24, 23)
    assert list(found.groups) == ["village", "image"]
    assert found.with_vcov({"cluster": ["image", "village"]}).std_error == pytest.approx(
        found.std_error, rel=1e-12
    )
    asked = ec.ate(
        design(table, cluster="village"), method="difference", vcov={"cluster": ["village", image]}
    )
    assert asked.std_error == found.std_error
    treated = by_village().groupby("village")["grant"].first()
    assert asked.diagnostics["clusters_treated_only"] == int(treated.sum())


def test_conley_and_two_kinds_of_clusters_go_through_json() -> None:
    made = ec.ate(located(by_village(), cluster="village"), method="difference")
    image = pd.Series(np.arange(120) // 3, index=made.ids, name="image")
    for result in (made.with_vcov({"conley": "70km"}), made.with_vcov({"cluster": ["village", image]})):
        back = ec.Estimate.from_dict(json.loads(json.dumps(result.to_dict(scores=True), allow_nan=False)))
        assert back == result
        assert back.with_vcov({"conley": "40km"}).std_error == result.with_vcov({"conley": "40km"}).std_error
        assert (back - back).estimate == 0


def test_a_difference_with_conley_standard_errors_by_hand() -> None:
    whole = located(study())
    first = ec.ate(whole.take(np.arange(80)), method="difference", vcov={"conley": "50km"})
    second = ec.ate(whole.take(np.arange(40, 120)), method="regression", vcov={"conley": "50km"})
    found = first - second
    joint = np.zeros(120)
    joint[:80] += first.score_values[:, 0] * 120 / 80
    joint[40:] -= second.score_values[:, 0] * 120 / 80
    column, row = np.arange(120) % 11, np.arange(120) // 11
    # 22.24 km a step: two along and one across are 49.7 km, near; three along are 66.7 km, and two of each 62.9 km
    steps = np.abs(column[:, None] - column) ** 2 + np.abs(row[:, None] - row) ** 2
    factor = 119 / (120 - 6)
    by_hand = np.sqrt(factor * joint @ (steps <= 5) @ joint) / 120
    tight = np.sqrt(factor * joint @ (steps <= 4) @ joint) / 120
    assert found.std_error == pytest.approx(by_hand, rel=1e-12)
    assert abs(tight - by_hand) > 1e-4
    assert found.vcov == "conley(50 km, uniform)"


def test_results_at_different_places_are_not_joined_by_distance() -> None:
    table = study()
    here = located(table)
    moved = here.data.frame.assign(lon=here.data.frame["lon"] + 0.1)
    there = ec.Design(
        ec.read_units(moved, id="id", lon="lon", lat="lat"), outcome="income", treatment="grant"
    )
    first, second = (ec.ate(one, method="difference") for one in (here, there))
    assert (first - second).coordinates is None
    with pytest.raises(EstimationError, match=r"different places in the two results[\s\S]*120 \(100, "):
        _ = first.with_vcov({"conley": "50km"}) - second.with_vcov({"conley": "50km"})
