"""Comparing sources: shared folds and nuisances, paired differences, what may be said of the best."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects import effect_learners
from eocausal.errors import DesignError, EstimationError, EvaluationError, LeakError
from eocausal.evaluate import source_effects
from eocausal.evaluate.compare_result import SourceComparison
from tests.scale_studies import FAST_FOREST, features, trial
from tests.studies import FAST, THREE

QUICK = {"learner": FAST_FOREST, "folds": THREE, "learners": FAST}


@pytest.fixture(scope="module")
def found() -> SourceComparison:
    design, scales = trial(400)
    rng = np.random.default_rng(9)
    noise = features(rng.normal(size=(400, 2)))
    sources = {
        "tabular": None,
        **scales,
        "noise": noise,
        "pair": ["s0", "s1"],
        "both": ["covariates", "pair"],
    }
    return ec.compare_features(design, sources, **QUICK)


def test_a_source_gets_what_rate_gives_for_effects_by_unit_with_its_columns() -> None:
    design, scales = trial(200)
    whole = replace(design, features=scales["s0"])
    alone = ec.rate(ec.cate(whole, **QUICK))
    found = ec.compare_features(whole, {"noise": scales["s1"], "both": ["covariates", scales["s0"]]}, **QUICK)
    frame = found.to_frame().set_index("source")
    rates = alone.to_frame().set_index("estimand")
    assert frame.loc["both", "autoc"] == pytest.approx(rates.loc["AUTOC", "estimate"], rel=1e-9)
    assert frame.loc["both", "autoc_std_error"] == pytest.approx(rates.loc["AUTOC", "std_error"], rel=1e-9)
    assert frame.loc["both", "qini"] == pytest.approx(rates.loc["QINI", "estimate"], rel=1e-9)


def test_sources_that_hold_the_signal_rank_and_noise_does_not(found: SourceComparison) -> None:
    frame = found.to_frame().set_index("source")
    assert frame.loc["pair", "autoc"] > frame.loc["s0", "autoc"] > 0.5
    assert abs(frame.loc["noise", "autoc_ratio"]) < 3 < frame.loc["pair", "autoc_ratio"]
    assert frame.loc["pair", "difference_low"] > 0
    assert np.isnan(frame.loc["tabular", "difference"])
    assert (
        frame.loc["both", "columns"] == "1 covariates + 2 features (s0: features) + 2 features (s1: features)"
    )
    assert frame.loc["s0", "autoc_ratio"] == pytest.approx(
        frame.loc["s0", "autoc"] / frame.loc["s0", "autoc_std_error"]
    )


def test_differences_are_paired_and_their_intervals_wider_than_those_of_one(found: SourceComparison) -> None:
    own = found.rate.to_frame().query("estimand == 'AUTOC'").set_index("term")
    rates = found.to_frame().set_index("source")
    pair, one = rates.loc["pair"], rates.loc["s0"]
    table = found.differences(against="s0")
    assert table.loc["pair", "difference"] == pytest.approx(pair["autoc"] - one["autoc"])
    apart = np.hypot(pair["autoc_std_error"], one["autoc_std_error"])
    assert table.loc["pair", "difference_std_error"] < apart
    term = own.loc["s0 - pair"]
    assert table.loc["pair", "difference_low"] < -term["conf_high"]
    assert table.loc["pair", "difference_high"] > -term["conf_low"]
    assert found.differences(against="pair").loc["s0", "difference"] == pytest.approx(
        -table.loc["pair", "difference"]
    )
    assert (table["difference_p"] >= own.loc[["s0 - pair"], "p_value"].iloc[0] - 1e-12).all()


def test_the_best_source_is_told_with_what_it_cannot_be_told_from(found: SourceComparison) -> None:
    best = found.best
    assert best.source in ("pair", "both")
    assert best.p_adjusted >= best.p_value
    assert {"pair", "both"} - {best.source} <= set(best.not_separated)
    assert "noise" not in best.not_separated
    assert "allowance for 6 looks" in str(best)
    assert f"cannot be told from {', '.join(map(repr, best.not_separated))}" in best.statement


def test_the_best_of_sources_without_signal_may_rank_no_better_than_chance() -> None:
    design, _ = trial(160, strength=0.0)
    rng = np.random.default_rng(2)
    sources = {f"noise {k}": features(rng.normal(size=(160, 2))) for k in range(3)}
    best = ec.compare_features(design, sources, **QUICK).best
    assert best.p_adjusted > 0.05
    assert "may rank no better than chance" in best.statement
    assert len(best.not_separated) == 2


def test_a_source_under_two_names_differs_by_exactly_nothing() -> None:
    design, scales = trial(120)
    found = ec.compare_features(design, {"one": scales["s0"], "two": scales["s0"]}, **QUICK)
    row = found.differences().loc["two"]
    assert (
        row[["difference", "difference_std_error", "difference_low", "difference_high"]].tolist() == [0.0] * 4
    )
    assert row["difference_p"] == 1.0
    assert found.best.not_separated == (({"one", "two"} - {found.best.source}).pop(),)
    values = found.sequential_values
    assert np.array_equal(values[:, 0], values[:, 1], equal_nan=True)


def test_nuisances_are_predicted_once_for_all_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = effect_learners.effect_sample

    def counted(*asked: object) -> object:
        calls.append(asked)
        return real(*asked)

    monkeypatch.setattr(source_effects, "effect_sample", counted)
    design, scales = trial(90)
    ec.compare_features(design, {"a": scales["s0"], "b": scales["s1"], "c": ["a", "b"]}, **QUICK)
    # three training sets of out-of-fold effects; of the sequential ones the last is among them
    assert len(calls) == 4


def test_effects_are_out_of_fold_and_refused_as_a_priority(found: SourceComparison) -> None:
    effects = found.effects
    assert list(effects.columns) == [*found.sources, "fold"]
    assert np.isfinite(found.effect_values).all()
    assert np.isnan(found.sequential_values[found.folds == 0]).all()
    assert np.isfinite(found.sequential_values[found.folds > 0]).all()
    design, _ = trial(400)
    with pytest.raises(EvaluationError, match="cross-fitted"):
        ec.rate(design, priority=effects["s0"])


def test_a_trial_without_columns_to_adjust_for_is_compared_by_means_of_the_arms() -> None:
    design, scales = trial(160)
    bare = replace(design, covariates=())
    found = ec.compare_features(bare, scales, **QUICK)
    assert found.diagnostics["nuisance_columns"] == "none: means of the arms"
    assert (found.to_frame()["autoc_ratio"] > 1).all()


def test_units_without_an_image_are_left_out_of_all_sources_and_counted() -> None:
    design, scales = trial(150)
    lacking = features(scales["s1"].values[5:].astype(float), keys=np.arange(5, 150))
    with pytest.raises(EvaluationError, match=r"5 units .* lack a usable image in 'far'[\s\S]*same units"):
        ec.compare_features(design, {"near": scales["s0"], "far": lacking}, **QUICK)
    dropping = replace(design, missing="drop")
    found = ec.compare_features(dropping, {"near": scales["s0"], "far": lacking}, **QUICK)
    gone = design.table.treatment[:5].sum()
    counted = f"5 units ({gone:.0f} treated, {5 - gone:.0f} control) lack a usable image in 'far'"
    assert f"left out of all sources: {counted}" in found.warnings
    assert found.ids.tolist() == design.table.ids[5:].tolist()


def test_units_that_share_an_image_stay_together_or_the_comparison_is_refused() -> None:
    design, _ = trial(160)
    table = design.data.assign(village=np.arange(160) // 4)
    rng = np.random.default_rng(3)
    shared = features(rng.normal(size=(40, 2)), key="village")
    loose = replace(design, data=table)
    with pytest.raises(EvaluationError, match=r"share images in source 'village'[\s\S]*cluster='village'"):
        ec.compare_features(loose, {"village": shared}, **QUICK)
    tied = replace(loose, cluster="village")
    found = ec.compare_features(tied, {"village": shared}, **QUICK)
    assert found.n_clusters == len({*table["village"].to_numpy()[found.folds > 0]})
    assert pd.Series(found.folds).groupby(table["village"].to_numpy()).nunique().max() == 1


def test_repeated_splits_are_medians_and_shown() -> None:
    design, scales = trial(120)
    many = ec.compare_features(
        design, scales, learner=FAST_FOREST, learners=FAST, folds=ec.Folds(k=3, repeats=3)
    )
    splits = many.splits
    assert splits.groupby(["source", "estimand"]).size().tolist() == [3] * 4
    middle = splits.query("estimand == 'AUTOC' and source == 's0'")["estimate"].median()
    frame = many.to_frame().set_index("source")
    assert frame.loc["s0", "autoc"] == pytest.approx(middle)
    single = ec.compare_features(design, scales, learner=FAST_FOREST, learners=FAST, folds=THREE, seed=1)
    own = splits.query("seed == 1 and estimand == 'AUTOC'").set_index("source")["estimate"]
    assert own["s0"] == pytest.approx(single.to_frame().set_index("source").loc["s0", "autoc"])
    assert many.with_vcov("hetero").rate.joint.vcov == "hetero"


def test_the_result_is_stored_shown_and_drawn(found: SourceComparison) -> None:
    again = SourceComparison.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    assert len(found.summary().splitlines()) <= 25
    assert "nuisances see: 1 covariates" in found.summary()
    assert repr(found).startswith("SourceComparison(AUTOC: tabular")
    figure = found.plot()
    assert [axis.get_text() for axis in figure.axes[0].get_yticklabels()] == list(found.sources)
    assert found.with_vcov("hetero").to_frame()["autoc"].tolist() == found.to_frame()["autoc"].tolist()


@pytest.mark.parametrize(
    ("sources", "kind", "words"),
    [
        ({}, EvaluationError, "no sources"),
        ([1], EvaluationError, "no sources"),
        ({"covariates": None}, EvaluationError, "cannot be used"),
        ({" ": None}, EvaluationError, "cannot be used"),
        ({3: None}, EvaluationError, "cannot be used"),
        ({"a": 3}, EvaluationError, r"'a' is a int[\s\S]*read_embeddings"),
        ({"a": pd.DataFrame({"f": [1.0]})}, EvaluationError, r"'a' is a DataFrame[\s\S]*read_embeddings"),
        ({"a": []}, EvaluationError, "'a' is a list"),
        ({"a": [None, 2.5]}, EvaluationError, "'a' is a float"),
        ({"a": "nearr", "near": None}, EvaluationError, r"names 'nearr'[\s\S]*Did you mean 'near'"),
        ({"a": ["b"], "b": ["a"]}, EvaluationError, "made of one another"),
        ({"flat": "FLAT"}, DesignError, "Source 'flat'"),
        ({"leak": "LEAK"}, LeakError, "Source 'leak'"),
        ({"far away": "AWAY"}, DesignError, r"Source 'far away'[\s\S]*do not meet"),
    ],
)
def test_what_is_no_source_is_refused(sources: object, kind: type[Exception], words: str) -> None:
    design, _ = trial(60)
    made = {
        "FLAT": lambda: features(np.ones((60, 2))),
        "LEAK": lambda: features(np.column_stack([design.table.treatment, np.arange(60.0) % 7])),
        "AWAY": lambda: features(np.random.default_rng(0).normal(size=(60, 2)), keys=np.arange(1000, 1060)),
    }
    if isinstance(sources, dict):
        sources = {
            name: made[one]() if isinstance(one, str) and one in made else one
            for name, one in sources.items()
        }
    with pytest.raises(kind, match=words):
        ec.compare_features(design, sources, **QUICK)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"reference": "s7"}, EvaluationError, "Choose from: s0, s1"),
        ({"target": "AUC"}, EvaluationError, "AUTOC"),
        ({"learner": "forrest"}, EstimationError, "learner='forrest'"),
        ({"folds": 5}, EstimationError, "ec.Folds"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    options: dict[str, object], kind: type[Exception], words: str
) -> None:
    design, scales = trial(60)
    with pytest.raises(kind, match=words):
        ec.compare_features(design, scales, **{**QUICK, **options})


def test_covariates_are_refused_as_a_source_where_there_are_none() -> None:
    design, scales = trial(60)
    with pytest.raises(EvaluationError, match="'tabular' holds the covariates, and the design has none"):
        ec.compare_features(replace(design, covariates=()), {"tabular": None, **scales}, **QUICK)


def test_the_order_of_sources_and_of_rows_does_not_matter() -> None:
    design, scales = trial(120)
    first = ec.compare_features(design, scales, **QUICK).to_frame().set_index("source")
    turned = dict(reversed(scales.items()))
    shuffled = replace(design, data=design.data.sample(frac=1, random_state=1))
    second = ec.compare_features(shuffled, turned, reference="s0", **QUICK).to_frame().set_index("source")
    # what is drawn follows the order of the terms
    drawn = ("columns", "p_adjusted", "difference_low", "difference_high", "difference_p")
    numbers = [name for name in first.columns if name not in drawn]
    assert first["p_adjusted"].to_numpy() == pytest.approx(second.loc[first.index, "p_adjusted"], abs=0.03)
    pd.testing.assert_frame_equal(first[numbers], second.loc[first.index, numbers], rtol=1e-9)
