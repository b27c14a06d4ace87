"""Searching scales: every set once, choices made beforehand, the control arm, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EstimationError, EvaluationError
from eocausal.evaluate.scale_result import ScaleSearch
from eocausal.evaluate.scale_sets import second_views
from tests.scale_studies import FAST_FOREST, features, trial
from tests.studies import FAST

QUICK = {"learner": FAST_FOREST, "learners": FAST, "folds": ec.Folds(k=4)}


@pytest.fixture(scope="module")
def found() -> ScaleSearch:
    design, scales = trial(400, scales=3)
    return ec.scale_search(design, scales, **QUICK)


def test_every_set_is_there_once_and_pairs_that_hold_more_signal_rank_better(found: ScaleSearch) -> None:
    frame = found.to_frame().set_index("set")
    assert frame.index[:6].tolist() == ["s0", "s1", "s2", "s0 + s1", "s0 + s2", "s1 + s2"]
    assert frame["kind"].tolist() == ["single"] * 3 + ["pair"] * 3 + ["control"] * 3
    assert frame["features"].tolist() == [2, 2, 2, 4, 4, 4, 4, 4, 4]
    assert frame.query("kind == 'pair'")["ratio"].min() > frame.query("kind == 'single'")["ratio"].min()
    assert frame["ratio"].to_numpy() == pytest.approx(frame["estimate"] / frame["std_error"], rel=0.01)
    assert (frame["p_adjusted"] >= frame["p_value"] - 1e-12).all()
    assert found.searched == 3 + 3 + 3
    row = found.splits.iloc[0]
    singles, pairs = (
        frame.loc[["s0", "s1", "s2"], "ratio"],
        frame.loc[["s0 + s1", "s0 + s2", "s1 + s2"], "ratio"],
    )
    assert row["best_single"] == singles.idxmax()
    assert row["best_pair"] == pairs.idxmax()
    assert row["naive_gain"] == pytest.approx(pairs.max() - singles.max())


def test_the_gain_stands_with_the_error_that_its_influence_values_give(found: ScaleSearch) -> None:
    row = found.splits.iloc[0]
    assert found.gain.terms == ("gain", "control gain")
    assert found.gain.estimate[0] == pytest.approx(row["gain"])
    assert found.gain.std_error[0] == pytest.approx(row["std_error"], rel=0.02)
    assert found.gain.std_error[1] == pytest.approx(row["control_std_error"], rel=0.02)
    scores = found.gain.score_values
    # neither the fold that trains nor the one that chooses is judged
    judged = (scores != 0).any(axis=1)
    assert 0.35 < judged.mean() < 0.55
    gains = found.gains()
    assert gains["reckoning"].tolist()[:3] == ["naive", "by chance alone", "chosen beforehand"]
    assert gains.loc[2, "p_value"] == pytest.approx(found.p_value()[0])
    assert np.isnan(gains.loc[0, "p_value"])


def test_pairs_of_scales_with_signals_of_their_own_gain_beyond_chance() -> None:
    design, scales = trial(900, scales=2, strength=1.5)
    found = ec.scale_search(
        design, scales, control=False, learners=FAST, learner=FAST_FOREST, folds=ec.Folds(k=5)
    )
    assert found.terms == ("gain",)
    assert found.p_value() < 0.01
    assert found.estimate > 2
    assert found.splits["p_by_chance"].iloc[0] < 0.01
    assert "control_gain" not in found.splits


def test_two_scales_that_are_one_gain_exactly_nothing() -> None:
    design, scales = trial(160)
    found = ec.scale_search(design, {"one": scales["s0"], "two": scales["s0"]}, control=False, **QUICK)
    assert found.ratios[0, 0] == found.ratios[0, 1] == found.ratios[0, 2]
    assert (found.estimate, found.std_error, found.p_value()) == (0.0, 0.0, 1.0)
    assert found.splits["naive_gain"].iloc[0] == 0.0


def test_narrow_columns_are_those_that_the_forest_would_make_itself() -> None:
    rng = np.random.default_rng(4)
    design, _ = trial(150)
    wide = {name: features(rng.normal(size=(150, 14))) for name in ("near", "far")}
    forest = ec.Forest(engine="fast", trees=40, pca=4, n_jobs=1)
    asked = {**QUICK, "learner": forest}
    searched = ec.scale_search(design, wide, control=False, **asked)
    compared = ec.compare_features(design, {**wide, "pair": ["near", "far"]}, **asked)
    by_fold = compared.rate.by_fold.query("estimand == 'AUTOC'")
    summed = (by_fold["estimate"] * by_fold["n"]).groupby(by_fold["priority"], sort=False).sum()
    assert searched.rates.values == pytest.approx(summed.to_numpy() / by_fold["n"].sum() * 3, abs=1e-6)


def test_a_second_view_that_is_given_is_the_control_arm() -> None:
    design, scales = trial(160)
    rng = np.random.default_rng(1)
    second = features(scales["s0"].values + 0.3 * rng.normal(size=(160, 2)))
    found = ec.scale_search(design, scales, control={"s0": second}, **QUICK)
    assert found.to_frame().query("kind == 'control'")["set"].tolist() == ["s0 + s0 (second view)"]
    assert not any("noise" in text for text in found.warnings)


def test_copies_hold_noise_of_half_the_spread_and_are_as_many_as_pairs() -> None:
    _, scales = trial(400, scales=4)
    made, of = second_views(scales, True, n_pairs=6, seed=0)
    assert {name: len(views) for name, views in of.items()} == {"s0": 2, "s1": 2, "s2": 1, "s3": 1}
    noise = made["s0 (noisy copy 2)"].values - scales["s0"].values
    assert noise.std(axis=0) / scales["s0"].values.std(axis=0) == pytest.approx(0.5, abs=0.06)
    assert abs(np.corrcoef(noise[:, 0], scales["s0"].values[:, 0])[0, 1]) < 0.15
    assert not np.array_equal(noise, made["s0 (noisy copy 1)"].values - scales["s0"].values)


def test_some_pairs_only_and_in_any_order() -> None:
    design, scales = trial(120, scales=3)
    found = ec.scale_search(design, scales, pairs=[("s2", "s0"), ("s1", "s1")], control=False, **QUICK)
    assert found.to_frame()["set"].tolist() == ["s0", "s1", "s2", "s0 + s2"]


def test_the_order_of_scales_does_not_matter() -> None:
    design, scales = trial(120, scales=3)
    first = ec.scale_search(design, scales, control=False, **QUICK)
    second = ec.scale_search(design, dict(reversed(scales.items())), control=False, **QUICK)
    singles = first.rates.values[:3], second.rates.values[2::-1]
    assert singles[0] == pytest.approx(singles[1], rel=1e-12)
    # of columns in another order trees break ties of cuts another way
    assert second.splits["naive_gain"].iloc[0] == pytest.approx(first.splits["naive_gain"].iloc[0], abs=0.6)


def test_repeated_splits_are_medians_and_shown() -> None:
    design, scales = trial(120)
    found = ec.scale_search(
        design, scales, control=False, learner=FAST_FOREST, learners=FAST, folds=ec.Folds(k=4, repeats=3)
    )
    assert found.splits["seed"].tolist() == [0, 1, 2]
    assert found.estimate == pytest.approx(found.splits["gain"].median())
    assert found.gain.repeats is not None
    frame = found.to_frame()
    assert (frame["ratio_low"] <= frame["ratio"]).all()
    assert (frame["ratio"] <= frame["ratio_high"]).all()
    once = ec.scale_search(design, scales, control=False, seed=2, **QUICK)
    assert once.splits.iloc[0]["gain"] == pytest.approx(found.splits.iloc[2]["gain"])


def test_shared_images_are_clusters() -> None:
    design, _ = trial(160)
    rng = np.random.default_rng(3)
    scales = {name: features(rng.normal(size=(40, 2)), key="village") for name in ("near", "far")}
    tied = replace(design, data=design.data.assign(village=np.arange(160) // 4), cluster="village")
    found = ec.scale_search(tied, scales, control=False, **QUICK)
    assert found.n_clusters == 40
    assert found.gain.vcov == "cluster(groups)"
    assert "as few as 10 clusters in a fold: standard errors are rough below 20" in found.warnings


def test_the_result_is_stored_shown_and_drawn(found: ScaleSearch) -> None:
    assert ScaleSearch.from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found
    assert len(found.summary().splitlines()) <= 25
    assert "9 looks" in found.summary()
    assert repr(found).startswith("ScaleSearch(3 scales, AUTOC: naive gain")
    figure = found.plot()
    assert len(figure.axes) == 2
    written = {text.get_text() for text in figure.axes[0].texts}
    assert f"{found.to_frame()['ratio'].iloc[3]:.2f}" in written
    assert figure.axes[1].get_yticklabels()[0].get_text() == "pairs: naive"
    again = found.with_vcov("hetero")
    assert again.gain.vcov == again.rates.vcov == "hetero"


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"pairs": False}, EvaluationError, "pairs=False"),
        ({"pairs": []}, EvaluationError, r"pairs=\[\]"),
        ({"pairs": "s0 s1"}, EvaluationError, "pairs='s0 s1'"),
        ({"pairs": [("s0", "s9")]}, EvaluationError, "not two of the scales"),
        ({"pairs": [("s0",)]}, EvaluationError, "not two of the scales"),
        ({"pairs": ["s0"]}, EvaluationError, "not two of the scales"),
        ({"control": "yes"}, EvaluationError, "control='yes'"),
        ({"control": {}}, EvaluationError, "no second view"),
        ({"control": {"s9": None}}, EvaluationError, "no second view"),
        ({"control": {"s0": 1}}, EvaluationError, "no second view"),
        ({"target": "auc"}, EvaluationError, "AUTOC"),
        ({"folds": ec.Folds(k=2)}, EvaluationError, "one to choose in"),
        ({"learner": "forrest"}, EstimationError, "learner='forrest'"),
        ({"seed": -1}, EstimationError, "seed=-1"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    options: dict[str, object], kind: type[Exception], words: str
) -> None:
    design, scales = trial(60)
    with pytest.raises(kind, match=words):
        ec.scale_search(design, scales, **{**QUICK, **options})


def test_what_is_no_scale_is_refused() -> None:
    design, scales = trial(60)
    for given in ({}, {"s0": scales["s0"]}, [scales["s0"]], None):
        with pytest.raises(EvaluationError, match="at least two"):
            ec.scale_search(design, given, **QUICK)
    with pytest.raises(EvaluationError, match=r"features by name[\s\S]*s1"):
        ec.scale_search(design, {"s0": scales["s0"], "s1": None}, **QUICK)
    three = {"a": scales["s0"], "b": scales["s1"], "a + b": scales["s0"]}
    with pytest.raises(EvaluationError, match="name of two scales side by side"):
        ec.scale_search(design, three, **QUICK)
    flat = features(np.ones((60, 2)))
    with pytest.raises(DesignError, match="Source 'flat'"):
        ec.scale_search(design, {"s0": scales["s0"], "flat": flat}, **QUICK)
    lacking = features(scales["s1"].values[5:].astype(float), keys=np.arange(5, 60))
    with pytest.raises(EvaluationError, match=r"lack a usable image in 's1'"):
        ec.scale_search(design, {"s0": scales["s0"], "s1": lacking}, control=False, **QUICK)
