"""Settings of forests, on both engines: weights, propensities, gaps, candidates, screening, bags, importance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects.effect_learners import EffectSample
from eocausal.effects.forest_engines import ENGINES, FAR, TreeSample, _on_both_sides
from eocausal.effects.screening import strongest_columns
from eocausal.errors import EstimationError
from tests.studies import FAST, THREE

BOTH = pytest.mark.parametrize("engine", ["fast", "econml"])


def _forest(engine: str, **options: Any) -> ec.Forest:
    return ec.Forest(**{"trees": 200, "n_jobs": 1, "engine": engine, **options})


def _table(n: int, effect: Callable[[pd.DataFrame], np.ndarray], *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=["age", "land", "rain"])
    table["grant"] = rng.integers(0, 2, size=n)
    table["truth"] = effect(table)
    table["income"] = table["grant"] * table["truth"] + table["land"] + rng.normal(size=n)
    return table


def _design(table: pd.DataFrame, **options: Any) -> ec.Design:
    asked = {"covariates": ["age", "land", "rain"], "propensity": 0.5, **options}
    return ec.Design(table, outcome="income", treatment="grant", **asked)


def _cate(design: ec.Design, forest: Any, **options: Any) -> ec.Cate:
    return ec.cate(design, learner=forest, **{"learners": FAST, "folds": THREE, **options})


def _r2(effect: np.ndarray, truth: pd.Series) -> float:
    return float(1 - np.mean((effect - truth) ** 2) / truth.var())


@BOTH
def test_weights_say_whose_effects_count(engine: str) -> None:
    # what is weighed is not in the columns, so an effect is the weighted mean of 0 and 2
    heavy = np.random.default_rng(5).uniform(size=1200) < 0.5
    table = _table(1200, lambda one: 2.0 * heavy).assign(weight=np.where(heavy, 9.0, 1.0))
    plain = _cate(_design(table), _forest(engine, trees=40)).effect_values.mean()
    weighed = _cate(_design(table, weights="weight"), _forest(engine, trees=40)).effect_values.mean()
    assert plain == pytest.approx(1.0, abs=0.2)
    assert weighed == pytest.approx(1.8, abs=0.2)
    tenfold = table.assign(weight=10 * table["weight"])
    again = _cate(_design(tenfold, weights="weight"), _forest(engine, trees=20)).effect_values
    once = _cate(_design(table, weights="weight"), _forest(engine, trees=20)).effect_values
    np.testing.assert_allclose(again, once, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("known", [True, False])
def test_effects_are_found_where_those_who_gain_are_treated_more_often(engine: str, known: bool) -> None:
    table = _table(1500, lambda one: (1.0 + one["age"]).to_numpy())
    rng = np.random.default_rng(3)
    table["chance"] = 1 / (1 + np.exp(-table["age"]))
    table["grant"] = (rng.uniform(size=1500) < table["chance"]).astype(int)
    table["income"] = table["grant"] * table["truth"] + 2 * table["age"] + rng.normal(size=1500)
    found = _cate(_design(table, propensity="chance" if known else None), _forest(engine))
    assert _r2(found.effect_values, table["truth"]) > 0.6
    raw = table[table["grant"] == 1]["income"].mean() - table[table["grant"] == 0]["income"].mean()
    assert found.effect_values.mean() == pytest.approx(1.0, abs=0.25)
    assert raw > 2.0


@BOTH
def test_trees_part_units_by_what_is_missing(engine: str) -> None:
    gone = np.random.default_rng(9).uniform(size=1200) < 0.3
    table = _table(1200, lambda one: np.where(gone, 2.0, one["age"] > 0))
    design = _design(table.assign(age=table["age"].mask(gone)), missing="keep")
    found = _cate(design, _forest(engine, trees=400))
    assert _r2(found.effect_values, table["truth"]) > 0.8
    assert found.effect_values[gone].mean() == pytest.approx(2.0, abs=0.25)
    assert any(text.startswith(f"kept: {gone.sum()} units") for text in found.warnings)
    assert found.importance()["block"][0] == "age"


def test_what_is_missing_lies_on_both_sides() -> None:
    columns = np.array([[1.0, np.nan], [np.nan, 5.0]])
    wide = _on_both_sides(columns, np.array([0]))
    # the second column had no gap where it was learned from, so its gap is the mean
    np.testing.assert_array_equal(wide, [[1.0, 0.0, 1.0], [-FAR, 5.0, FAR]])


@BOTH
def test_a_gap_that_no_training_unit_has_does_no_harm(engine: str) -> None:
    table = _table(200, lambda one: one["age"].to_numpy())
    design = _design(table.assign(land=table["land"].mask(np.arange(200) == 7)), missing="keep")
    found = _cate(design, _forest(engine, trees=20))
    assert np.isfinite(found.effect_values).all()


@BOTH
def test_as_many_candidates_as_columns_are_all(engine: str) -> None:
    design = _design(_table(300, lambda one: one["age"].to_numpy()))
    all_of_them = _cate(design, _forest(engine, trees=20)).effect_values
    assert (
        _cate(design, _forest(engine, trees=20, candidates=99)).effect_values.tolist() == all_of_them.tolist()
    )
    one = _cate(design, _forest(engine, trees=20, candidates=1))
    assert (one.effect_values != all_of_them).mean() > 0.9
    assert one.diagnostics["forest_candidates"] == 1


def _pictures(n: int, *, width: int = 40, seed: int = 2) -> tuple[pd.DataFrame, ec.Embeddings]:
    """Units each with a picture, whose effects follow one feature of the second block."""
    values = np.random.default_rng(seed).normal(size=(n, 2 * width))
    frame = pd.DataFrame(values, columns=[f"f{k}" for k in range(2 * width)]).assign(place=np.arange(n))
    blocks = {"near": (0, width), "far": (width, 2 * width)}
    features = replace(ec.read_embeddings(frame, key="place"), blocks=blocks)
    table = _table(n, lambda one: 1.5 * values[:, width + 3])
    return table.assign(place=np.arange(n)), features


@BOTH
def test_screened_columns_find_the_one_that_matters(engine: str) -> None:
    table, features = _pictures(900)
    design = _design(table, features=features)
    found = _cate(design, _forest(engine, screen=5))
    components = _cate(design, _forest(engine))
    assert _r2(found.effect_values, table["truth"]) > _r2(components.effect_values, table["truth"]) + 0.2
    assert found.diagnostics["forest_screen"] == 5
    assert found.diagnostics["forest_pca"] is None
    assert {len(model.chosen) for model in found.models} == {3 + 5}
    assert all(3 + 40 + 3 in model.chosen for model in found.models)
    with pytest.raises(EstimationError, match="screen=5 chose columns by the outcomes of all units"):
        found.out_of_bag()


def test_screening_does_not_see_the_fold_that_it_predicts() -> None:
    table, features = _pictures(240)
    first = _cate(_design(table, features=features), _forest("fast", trees=20, screen=4))
    own = first.folds == 1
    shift = np.where(own, 30 * np.cos(np.arange(240)), 0.0)
    moved = _cate(
        _design(table.assign(income=table["income"] + shift), features=features),
        _forest("fast", trees=20, screen=4),
    )
    np.testing.assert_array_equal(moved.folds, first.folds)
    np.testing.assert_array_equal(moved.effect_values[own], first.effect_values[own])
    assert (moved.effect_values[~own] != first.effect_values[~own]).mean() > 0.9


def test_the_score_of_a_column_is_a_covariance_over_its_error() -> None:
    rng = np.random.default_rng(4)
    columns, treatment = rng.normal(size=(80, 6)), rng.choice([-0.4, 0.6], size=80)
    outcome, weights = rng.normal(size=80), rng.uniform(0.5, 2, size=80)
    effect = np.average(treatment * outcome, weights=weights) / np.average(treatment**2, weights=weights)
    centred = columns - np.average(columns, weights=weights, axis=0)
    each = (weights * treatment * (outcome - effect * treatment))[:, None] * centred
    score = np.abs(each.sum(axis=0)) / np.sqrt((each**2).sum(axis=0))
    for keep in (1, 3, 5):
        found = strongest_columns(columns, outcome, treatment, weights, keep=keep)
        assert found.tolist() == sorted(np.argsort(-score)[:keep].tolist())
    constant = np.column_stack([np.full(80, 3.0), columns[:, score.argmin()]])
    assert strongest_columns(constant, outcome, treatment, weights, keep=1).tolist() == [1]


@BOTH
def test_importance_is_of_covariates_and_blocks_and_sums_to_one(engine: str) -> None:
    table, features = _pictures(900, width=4)
    table["region"] = np.array(["a", "b", "c"])[np.arange(900) % 3]
    design = _design(table, features=features, covariates=["age", "region"])
    found = _cate(design, _forest(engine))
    shares = found.importance()
    assert list(shares.columns) == ["block", "kind", "importance"]
    assert shares["importance"].sum() == pytest.approx(1.0, rel=1e-12)
    assert (shares["importance"].diff().dropna() <= 0).all()
    assert set(zip(shares["block"], shares["kind"])) == {
        ("age", "covariate"), ("region", "covariate"), ("near", "features"), ("far", "features"),
    }  # fmt: skip
    assert shares["block"][0] == "far"
    assert shares["importance"][0] > 0.6
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    pd.testing.assert_frame_equal(back.importance(), shares)


@BOTH
def test_importance_is_the_mean_over_the_models_of_the_folds(engine: str) -> None:
    found = _cate(_design(_table(300, lambda one: one["age"].to_numpy())), _forest(engine, trees=40))
    by_hand = np.mean([model.importance()["rain", "covariate"] for model in found.models], axis=0)
    assert found.importance().set_index("block").loc["rain", "importance"] == pytest.approx(
        by_hand, rel=1e-12
    )


@BOTH
def test_effects_out_of_bag_are_near_the_truth_and_those_out_of_fold(engine: str) -> None:
    table = _table(800, lambda one: (1.0 + one["age"]).to_numpy()).sample(frac=1, random_state=0)
    found = _cate(_design(table), _forest(engine))
    bagged = found.out_of_bag()
    assert bagged.index.tolist() == found.ids.tolist()
    assert _r2(bagged["effect"].to_numpy(), table["truth"]) > _r2(found.effect_values, table["truth"]) - 0.05
    assert np.corrcoef(bagged["effect"], found.effect_values)[0, 1] > 0.9
    assert np.isnan(bagged["std_error"]).all() == (engine == "econml")
    with pytest.raises(ec.errors.EvaluationError, match="train"):
        ec.rate(_design(table), priority=bagged["effect"])


@BOTH
def test_a_unit_does_not_move_its_effect_out_of_bag(engine: str) -> None:
    rng = np.random.default_rng(1)
    columns, treatment, outcome = (
        rng.normal(size=(120, 2)),
        rng.choice([-0.5, 0.5], 120),
        rng.normal(size=120),
    )
    # pairs of units are one group, by the engine that draws groups
    groups = np.arange(120) // 2 if engine == "fast" else np.arange(120)
    own = groups == 7

    def grown(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sample = TreeSample(columns, moved, treatment, np.ones(120), groups)
        forest = ENGINES[engine](sample, _forest(engine, trees=80), 0)
        return forest.out_of_bag(columns, groups)[0], forest.predict(columns)[0]

    (bagged, all_trees), (bagged_moved, all_moved) = grown(outcome), grown(outcome + 50 * own)
    np.testing.assert_allclose(bagged_moved[own], bagged[own], rtol=1e-12)
    assert (np.abs(all_moved[own] - all_trees[own]) > 0.1).all()
    assert (np.abs(bagged_moved[~own] - bagged[~own]) > 0.01).mean() > 0.5


def test_econml_has_no_effects_out_of_bag_where_units_share_a_cluster() -> None:
    table = _table(120, lambda one: one["age"].to_numpy()).assign(village=np.arange(120) // 3)
    found = _cate(_design(table, cluster="village"), _forest("econml", trees=20))
    assert any("independent" in text for text in found.warnings)
    with pytest.raises(EstimationError, match=r"engine='fast'"):
        found.out_of_bag()


@dataclass(frozen=True)
class _Same:
    """The same effect for all; counts how often it is learned."""

    fits: list[int]

    def fit(self, sample: EffectSample, *, seed: int) -> _Same:
        self.fits.append(len(sample.design))
        return self

    def describe(self) -> dict[str, Any]:
        return {"learner": "same"}

    def predict(self, design: ec.Design, *, rows: Any = None) -> tuple[np.ndarray, np.ndarray]:
        n = len(np.arange(len(design))[slice(None) if rows is None else rows])
        return np.ones(n), np.full(n, np.nan)


def test_learners_without_trees_say_that_they_have_none() -> None:
    design = _design(_table(90, lambda one: one["age"].to_numpy()))
    found = _cate(design, _Same([]))
    with pytest.raises(EstimationError, match=r"draws no bags[\s\S]*ec.Forest"):
        found.out_of_bag()
    with pytest.raises(EstimationError, match="grows no trees"):
        found.importance()
    assert any("no standard errors of single effects" in text for text in found.warnings)


def test_the_model_of_all_units_is_learned_once() -> None:
    design, fits = _design(_table(90, lambda one: one["age"].to_numpy())), []
    found = _cate(design, _Same(fits))
    before = len(fits)
    found.predict(design)
    found.predict(design)
    assert fits[before:] == [90]


def test_a_result_from_a_file_has_no_bags() -> None:
    found = _cate(_design(_table(120, lambda one: one["age"].to_numpy())), _forest("fast", trees=20))
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    with pytest.raises(EstimationError, match="holds no model"):
        back.out_of_bag()


@pytest.mark.parametrize(("width", "far"), [(46, False), (49, True)])
def test_wide_features_are_told(width: int, far: bool) -> None:
    table, features = _pictures(240, width=width)
    found = _cate(_design(table, features=features), _forest("fast", trees=8, pca=None))
    (told,) = [text for text in found.warnings if "single effects" in text]
    assert ("far too small" in told) == far
    assert ("0.35 to 0.8" in told) == far
    assert "ec.groups" in told
    rates = ec.rate(found, replicates=50)
    assert not any("single effects" in text for text in rates.warnings)


@pytest.mark.parametrize("options", [{"candidates": 0}, {"screen": 2.5}, {"screen": 0}])
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    name = next(iter(options))
    with pytest.raises(EstimationError, match=rf"{name}={options[name]}"):
        ec.Forest(**options)
