"""`transport`: whose average, by what weights, what lies outside, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EocausalError, EstimationError, EvaluationError
from eocausal.evaluate.sampling import sampling_ratios, side_by_side
from eocausal.evaluate.support import distances, support
from eocausal.evaluate.target import target_design
from eocausal.evaluate.transport_result import Transport
from tests.transport_worlds import BLIND, FITTED, SHIFT, Same, effects, study, target


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return effects(study())


@pytest.fixture(scope="module")
def carried(cate: ec.Cate) -> Transport:
    return ec.transport(cate, ec.Target(target()), learners=FITTED)


def _of_itself(cate: ec.Cate, **options: object) -> Transport:
    return ec.transport(cate, ec.Target(study()), **options)


def test_to_itself_it_is_the_aipw_estimate_with_its_standard_error(cate: ec.Cate) -> None:
    found = _of_itself(cate, learners=BLIND)
    assert found.estimate == pytest.approx(cate.estimate, abs=1e-12)
    assert found.std_error == pytest.approx(cate.std_error, rel=1e-12)
    assert found.average.second is None
    np.testing.assert_allclose(found.average.score_values, cate.average.score_values, atol=1e-10)
    assert found.difference().estimate == pytest.approx(0, abs=1e-12)
    assert any("240 of 240 target units are units of the study" in text for text in found.warnings)


def test_a_logit_sees_no_difference_between_the_study_and_itself(cate: ec.Cate) -> None:
    found = _of_itself(cate)
    np.testing.assert_allclose(found.odds, 1.0, atol=1e-6)
    assert found.estimate == pytest.approx(cate.estimate, abs=1e-6)
    assert found.balance["smd"].abs().max() < 1e-12


def test_weights_of_the_study_are_weights_of_itself() -> None:
    table = study().assign(w=np.random.default_rng(5).uniform(0.5, 2, 240))
    cate = effects(table, weights="w")
    found = ec.transport(cate, ec.Target(table, weights="w"), learners=BLIND)
    assert found.estimate == pytest.approx(cate.estimate, abs=1e-12)
    assert found.std_error == pytest.approx(cate.std_error, rel=1e-12)


def test_estimate_and_influence_by_hand(cate: ec.Cate, carried: Transport) -> None:
    table = target()
    there, _ = target_design(cate.design, ec.Target(table))
    predicted = np.mean([model.predict(there)[0] for model in cate.models], axis=0)
    np.testing.assert_allclose(carried.effect_values, predicted, atol=1e-12)
    odds = carried.odds.to_numpy()
    residual = cate.dr_scores - cate.effect_values
    by_hand = predicted.mean() + (odds * residual).sum() / odds.sum()
    assert carried.estimate == pytest.approx(by_hand, abs=1e-12)
    assert carried.weighted.estimate == pytest.approx(np.average(cate.dr_scores, weights=odds), abs=1e-12)
    share = odds / odds.sum()
    own = (share * (residual - share @ residual)) ** 2
    variance = 240 / 239 * own.sum() + predicted.var(ddof=1) / 300
    assert carried.std_error == pytest.approx(variance**0.5, rel=1e-12)
    assert carried.diagnostics["ess_study"] == pytest.approx(odds.sum() ** 2 / (odds**2).sum())
    assert carried.diagnostics["correction"] == pytest.approx(by_hand - predicted.mean())


def test_it_finds_the_effect_where_the_target_is(cate: ec.Cate, carried: Transport) -> None:
    assert abs(carried.estimate - (1 + SHIFT)) < 3 * carried.std_error
    assert abs(cate.estimate - 1) < 3 * cate.std_error
    low, _ = carried.difference().ci()
    assert low > 0


def test_weights_bring_the_study_to_the_target(carried: Transport) -> None:
    balance = carried.balance.set_index("term")
    assert balance.loc["age", "smd"] < -0.5
    assert abs(balance.loc["age", "smd_weighted"]) < 0.2
    assert balance.loc["age", "mean_target"] == pytest.approx(target()["age"].mean(), abs=1e-12)
    assert balance.loc["age", "mean_study"] == pytest.approx(study()["age"].mean(), abs=1e-12)
    expected = np.average(study()["age"], weights=carried.odds)
    assert balance.loc["age", "mean_study_weighted"] == pytest.approx(expected, abs=1e-12)
    auc = carried.classifier.to_frame().set_index("term")["estimate"]
    assert auc["before weighting"] > 0.6
    assert auc["after weighting"] < auc["before weighting"] - 0.05


def test_a_census_adds_nothing_to_the_error_and_a_sample_its_clusters(
    cate: ec.Cate, carried: Transport
) -> None:
    census = ec.transport(cate, ec.Target(target(), sampled=False), learners=FITTED)
    assert census.estimate == carried.estimate
    assert census.average.second is None
    drawn = carried.effect_values.var(ddof=1) / 300
    assert float(carried.std_error) ** 2 - float(census.std_error) ** 2 == pytest.approx(drawn, rel=1e-9)
    wild = census.with_vcov({"bootstrap": "wild", "cluster": pd.Series(range(240), index=cate.ids)})
    assert wild.average.vcov.startswith("wild")
    by_district = ec.transport(cate, ec.Target(target(), cluster="district"), learners=FITTED).average.second
    sums = np.zeros(40)
    np.add.at(
        sums, target()["district"].to_numpy(), (carried.effect_values - carried.effect_values.mean()) / 300
    )
    assert by_district.matrix[0, 0] == pytest.approx(40 / 39 * (sums**2).sum(), rel=1e-9)


def test_bootstraps_are_refused_where_the_target_is_a_sample(carried: Transport) -> None:
    labels = pd.Series(range(240), index=carried.study.ids)
    with pytest.raises(EstimationError, match="draws units of the study"):
        carried.with_vcov({"bootstrap": "wild", "cluster": labels})


def test_other_standard_errors_are_of_the_study_alone(carried: Transport) -> None:
    labels = pd.Series(np.arange(240) // 6, index=carried.study.ids, name="hamlet")
    found = carried.with_vcov({"cluster": labels})
    plain = replace(carried.average, second=None).with_vcov({"cluster": labels})
    expected = float(plain.std_error) ** 2 + carried.average.second.matrix[0, 0]
    assert float(found.std_error) ** 2 == pytest.approx(expected, rel=1e-12)
    assert found.n_clusters == 40
    assert found.average.variance.df < 240


def test_clusters_of_the_study_reach_the_standard_error() -> None:
    cate = effects(study(n_villages=30), cluster="village")
    found = ec.transport(cate, ec.Target(target()), learners=FITTED)
    assert (found.average.vcov, found.n_clusters) == ("cluster(village)", 30)
    assert found.difference().variance.how.names == ("village",)
    assert found.average.variance.df < 40
    iid = ec.transport(cate, ec.Target(target()), learners=FITTED, vcov="iid")
    assert (iid.average.vcov, iid.study.vcov) == ("iid", "iid")
    assert iid.estimate == found.estimate


def test_a_unit_of_both_samples_counts_once(cate: ec.Cate) -> None:
    mixed = pd.concat([study().iloc[:50], target().iloc[:100]])
    found = ec.transport(cate, ec.Target(mixed), learners=BLIND)
    np.testing.assert_array_equal(found.effect_values[:50], cate.effect_values[:50])
    assert found.average.second.ids.size == 100
    parts = (found.effect_values - found.effect_values.mean()) / 150
    residual = cate.dr_scores - cate.effect_values
    scores = residual - residual.mean()
    scores[:50] += 240 * parts[:50]
    np.testing.assert_allclose(found.average.score_values[:, 0], scores, atol=1e-9)
    assert any("50 of 150 target units are units of the study" in text for text in found.warnings)


def test_an_id_of_the_study_on_another_place_is_another_place(cate: ec.Cate) -> None:
    other = target(240).set_axis(study().index)
    found = ec.transport(cate, ec.Target(other), learners=FITTED)
    assert found.average.second.ids.size == 240
    assert not any("units of the study:" in text for text in found.warnings)


def test_places_far_away_are_found_and_told(cate: ec.Cate) -> None:
    table = target(200, shift=0.0)
    table.loc[table.index[:30], "wealth"] += 12.0
    found = ec.transport(cate, ec.Target(table), learners=FITTED)
    assert found.places["outside"].iloc[:30].all()
    assert (found.distances[:30] > 3).all()
    assert found.places["outside"].iloc[30:].mean() < 0.12
    gone = int(found.places["outside"].sum())
    assert any(f"{gone} of 200 target units ({gone / 2:.1f}% by weight)" in text for text in found.warnings)
    assert found.diagnostics["share_outside"] == pytest.approx(gone / 200)
    without = ec.transport(cate, ec.Target(table), learners=FITTED, outside="leave_out")
    kept = ~found.places["outside"].to_numpy()
    assert without.diagnostics["n_target"] == kept.sum()
    assert without.estimand == "ate (target, places like the study's)"
    assert without.diagnostics["predicted"] == pytest.approx(found.effect_values[kept].mean())
    assert "left out of the average" in " ".join(without.warnings)
    assert (without.odds == 0).sum() > 0
    assert without.estimate == pytest.approx(found.by_support.set_index("places").loc["inside", "estimate"])


def test_distances_are_mahalanobis_to_the_nearest_of_another_group(cate: ec.Cate) -> None:
    there, _ = target_design(cate.design, ec.Target(target()))
    own, other = distances(cate.design, there, seed=0)
    columns = study()[["age", "wealth"]].to_numpy()
    inverse = np.linalg.inv(np.cov(columns, rowvar=False))
    points = target()[["age", "wealth"]].to_numpy()
    gaps = points[:, None, :] - columns[None]
    by_hand = np.sqrt(np.einsum("mni,ij,mnj->mn", gaps, inverse, gaps).min(axis=1))
    # the reducer's scale divides by n and not n - 1, which whitening takes out again
    np.testing.assert_allclose(other, by_hand, rtol=1e-6)
    gaps = columns[:, None, :] - columns[None]
    squares = np.einsum("mni,ij,mnj->mn", gaps, inverse, gaps)
    np.fill_diagonal(squares, np.inf)
    np.testing.assert_allclose(own, np.sqrt(squares.min(axis=1)), rtol=1e-5)


def test_neighbours_in_ones_own_village_do_not_count() -> None:
    table = study(60, n_villages=20)
    table["age"], table["wealth"] = 10.0 * table["village"] + np.arange(60) * 1e-3, np.arange(60) % 7
    design = ec.Design(
        table, outcome="income", treatment="grant", covariates=["age", "wealth"], cluster="village"
    )
    there, _ = target_design(design, ec.Target(table))
    own, other = distances(design, there, seed=0)
    np.testing.assert_allclose(other, 0, atol=1e-6)
    assert own.min() > 0.01


def test_a_level_is_the_share_of_the_study_inside(cate: ec.Cate) -> None:
    there, _ = target_design(cate.design, ec.Target(target()))
    ratios = np.random.default_rng(0).uniform(0.5, 2, 240)
    seen = support(cate.design, there, ratios, np.ones(300), level=0.9, seed=0)
    # two units may be nearest to one another, and as far
    assert (seen.distance <= 1).sum() in (216, 217)
    assert (ratios < seen.least_ratio).sum() <= 24


def test_a_large_target_teaches_by_a_part_and_is_predicted_whole(
    cate: ec.Cate, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ec.transport(cate, ec.Target(target(3000)), learners=FITTED)
    monkeypatch.setattr("eocausal.evaluate.sampling.MOST_TO_LEARN_FROM", 100)
    monkeypatch.setattr("eocausal.evaluate.sampling.PIECE", 70)
    part = ec.transport(cate, ec.Target(target(3000)), learners=FITTED)
    assert part.diagnostics["n_target_learned"] == 1200
    assert whole.diagnostics["n_target_learned"] == 3000
    assert (part.ratios > 0).all()
    assert np.corrcoef(np.log(part.ratios), np.log(whole.ratios))[0, 1] > 0.97
    assert part.estimate == pytest.approx(whole.estimate, abs=0.5 * float(whole.std_error))


def test_ratios_average_one_where_the_odds_are_right(cate: ec.Cate) -> None:
    there, _ = target_design(cate.design, ec.Target(target(4000)))
    both = side_by_side(cate.design, there, cate.folds, seed=0)
    found = sampling_ratios(both, FITTED, seed=0)
    age, wealth = there.table.covariates.T
    # normal densities with means 0 and the shift
    true = -SHIFT * age + SHIFT**2 / 2
    assert np.corrcoef(np.log(found.target), true)[0, 1] > 0.97
    assert np.average(1 / found.study) == pytest.approx(1, abs=0.15)
    assert np.isfinite(wealth).all()


def test_weights_on_few_units_are_told(cate: ec.Cate) -> None:
    found = ec.transport(cate, ec.Target(target(300, shift=3.0)), learners=FITTED)
    told = " ".join(found.warnings)
    for words in ("effective sample size", "of all weight", "outside what the study has seen"):
        assert words in told
    assert found.by_support["n_target"].tolist()[0] == 300


def test_averages_by_how_near_places_are(carried: Transport) -> None:
    frame = carried.by_support
    assert frame["places"].tolist() == ["all", "inside", "nearest 90%", "nearest 75%", "nearest 50%"]
    assert frame["n_target"].tolist()[2:] == [270, 225, 150]
    assert frame["estimate"][0] == carried.estimate
    assert frame["std_error"][0] == carried.std_error
    np.testing.assert_allclose(frame["share"][2:], [0.9, 0.75, 0.5])
    assert frame.notna().all().all()


def test_a_cate_of_another_value_is_corrected(carried: Transport) -> None:
    wrong = ec.transport(effects(study(), Same(-5.0)), ec.Target(target()), learners=FITTED)
    assert wrong.diagnostics["predicted"] == -5.0
    assert wrong.estimate == pytest.approx(carried.weighted.estimate, abs=1e-9)


def test_weights_of_places_are_what_they_count(cate: ec.Cate) -> None:
    found = ec.transport(cate, ec.Target(target(), weights="people"), learners=BLIND)
    people = target()["people"].to_numpy()
    assert found.diagnostics["predicted"] == pytest.approx(np.average(found.effect_values, weights=people))


def test_the_result_survives_a_file(carried: Transport) -> None:
    again = Transport.from_dict(json.loads(json.dumps(carried.to_dict(scores=True))))
    assert again == carried
    pd.testing.assert_frame_equal(again.places, carried.places)
    assert again.with_vcov("hetero").std_error == carried.with_vcov("hetero").std_error
    assert "ids" not in carried.to_dict()
    json.dumps(carried.to_dict())


def test_tables_and_texts(carried: Transport) -> None:
    frame = carried.to_frame()
    assert frame["method"].tolist() == ["doubly robust", "inverse odds", "aipw (folds of effects)"]
    assert frame["estimate"].tolist() == [
        carried.estimate, carried.weighted.estimate, carried.study.estimate,
    ]  # fmt: skip
    assert len(carried.summary().splitlines()) <= 25
    assert "\n" not in repr(carried)
    assert list(carried.places) == ["effect", "std_error", "distance", "like_study", "outside", "weight"]
    assert carried.places["like_study"].between(0, 1).all()
    assert carried.places.attrs["trained_on"] == carried.provenance["design_hash"]


BAD = {
    "a design": (lambda cate: ec.transport(cate.design, ec.Target(target())), "cate is a Design"),
    "from a file": (
        lambda cate: ec.transport(ec.Cate.from_dict(cate.to_dict(scores=True)), ec.Target(target())),
        "read from a file and holds neither models",
    ),
    "a table": (lambda cate: ec.transport(cate, target()), "The target is a DataFrame"),
    "level": (lambda cate: ec.transport(cate, ec.Target(target()), level=99), "level=99"),
    "low level": (lambda cate: ec.transport(cate, ec.Target(target()), level=0.2), "from 0.5 to below 1"),
    "outside": (
        lambda cate: ec.transport(cate, ec.Target(target()), outside="drop"), "outside='drop' is not known",
    ),
    "learners": (lambda cate: ec.transport(cate, ec.Target(target()), learners="logit"), "learners is a str"),
    "seed": (lambda cate: ec.transport(cate, ec.Target(target()), seed=-1), "seed=-1"),
    "all far away": (
        lambda cate: ec.transport(
            cate, ec.Target(target(shift=60.0)), outside="leave_out", learners=BLIND
        ),
        "0 target units would count",
    ),
    "one cluster": (
        lambda cate: ec.transport(
            cate, ec.Target(target().assign(district=["a"] * 299 + ["b"]).iloc[:299], cluster="district")
        ),
        "'district' has a single value",
    ),
    "vcov": (lambda cate: ec.transport(cate, ec.Target(target()), vcov="robust"), "vcov='robust' is not known"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_is_wrong_is_told(case: str, cate: ec.Cate) -> None:
    make, words = BAD[case]
    with pytest.raises(EocausalError, match=words):
        make(cate)


def test_certain_targets_are_refused(cate: ec.Cate) -> None:
    class Certain:
        def fit(self, x, y, sample_weight=None):
            self.classes_ = np.array([0.0, 1.0])
            return self

        def predict_proba(self, x):
            return np.column_stack([np.ones(len(x)), np.zeros(len(x))])

        def get_params(self, deep=True):
            return {}

        def set_params(self, **_):
            return self

    with pytest.raises((EvaluationError, EstimationError), match=r"for certain|exactly 0 or 1"):
        ec.transport(cate, ec.Target(target()), learners=ec.Learners(propensity=Certain()))


def test_progress_is_shown_on_demand(cate: ec.Cate, capsys: pytest.CaptureFixture[str]) -> None:
    ec.transport(cate, ec.Target(target(20)), learners=BLIND)
    assert capsys.readouterr().err == ""
    ec.transport(cate, ec.Target(target(20)), learners=BLIND, progress=True)
    shown = capsys.readouterr().err
    assert "effects of places" in shown
    assert "study or target" in shown
