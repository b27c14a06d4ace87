"""Effects by unit: out of fold, sequential, the same for any number of threads."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects import effect_learners
from eocausal.errors import EstimationError
from eocausal.evaluate.rate_result import Rate
from eocausal.nuisance.cross_fit import cross_fit
from tests.studies import FAST, FOREST, THREE, by_village, design, images, study


def _found(asked: ec.Design, **options: object) -> ec.Cate:
    return ec.cate(asked, **{"learner": FOREST, "learners": FAST, "folds": THREE, **options})


@pytest.fixture(scope="module")
def asked() -> ec.Design:
    return design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)


@pytest.fixture(scope="module")
def found(asked: ec.Design) -> ec.Cate:
    return _found(asked, seed=2)


def _with_outcomes(asked: ec.Design, change: np.ndarray) -> ec.Design:
    table = asked.data.assign(income=asked.data["income"] + change)
    return design(table, cluster="village", features=asked.features, propensity=0.5)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_outcomes_of_a_fold_do_not_move_its_own_effects(asked: ec.Design, found: ec.Cate, fold: int) -> None:
    own = found.folds == fold
    shift = np.where(own, 30 * np.cos(np.arange(240)), 0.0)
    moved = _found(_with_outcomes(asked, shift), seed=2)
    np.testing.assert_array_equal(moved.folds, found.folds)
    np.testing.assert_array_equal(moved.effect_values[own], found.effect_values[own])
    np.testing.assert_array_equal(moved.effect_errors[own], found.effect_errors[own])
    assert (moved.effect_values[~own] != found.effect_values[~own]).mean() > 0.9


@pytest.mark.parametrize("fold", [1, 2])
def test_sequential_effects_do_not_see_their_own_or_later_folds(
    asked: ec.Design, found: ec.Cate, fold: int
) -> None:
    shift = np.where(found.folds >= fold, 30 * np.cos(np.arange(240)), 0.0)
    moved = _found(_with_outcomes(asked, shift), seed=2)
    early = (found.folds <= fold) & (found.folds > 0)
    np.testing.assert_array_equal(moved.sequential_values[early], found.sequential_values[early])
    if fold == 1:
        assert (
            moved.sequential_values[found.folds == 2] != found.sequential_values[found.folds == 2]
        ).mean() > 0.9


def test_sequential_effects_do_see_earlier_folds(asked: ec.Design, found: ec.Cate) -> None:
    shift = np.where(found.folds == 0, 30 * np.cos(np.arange(240)), 0.0)
    moved = _found(_with_outcomes(asked, shift), seed=2)
    later = found.folds > 0
    assert (moved.sequential_values[later] != found.sequential_values[later]).mean() > 0.9


def test_the_first_fold_has_no_sequential_effect_and_the_last_has_the_out_of_fold_one(found: ec.Cate) -> None:
    assert np.isnan(found.sequential_values[found.folds == 0]).all()
    assert np.isfinite(found.sequential_values[found.folds > 0]).all()
    last = found.folds == 2
    np.testing.assert_array_equal(found.sequential_values[last], found.effect_values[last])


def test_the_model_of_a_fold_is_the_model_of_the_other_folds(asked: ec.Design, found: ec.Cate) -> None:
    own = found.folds == 1
    trained = _found(asked.take(~own), seed=2)
    np.testing.assert_array_equal(trained.predict(asked)[own], found.effect_values[own])


def test_any_number_of_threads_gives_the_same_bytes(asked: ec.Design, found: ec.Cate) -> None:
    two = _found(asked, learner=ec.Forest(trees=20, n_jobs=2), seed=2)
    assert json.dumps(two.to_dict(scores=True)) == json.dumps(found.to_dict(scores=True))
    assert _found(asked, seed=2) == found
    assert _found(asked, seed=3) != found


def test_the_average_is_the_cross_fitted_aipw_estimate(asked: ec.Design, found: ec.Cate) -> None:
    aipw = ec.ate(asked, learners=FAST, folds=THREE, seed=2)
    assert found.estimate == aipw.estimate
    assert found.std_error == aipw.std_error
    assert found.estimate == pytest.approx(found.dr_scores.mean(), rel=1e-12)


def test_folds_keep_images_and_villages_whole(asked: ec.Design, found: ec.Cate) -> None:
    assert (pd.Series(found.folds).groupby(asked.table.image_keys).agg(np.ptp) == 0).all()


def test_the_table_of_effects(found: ec.Cate) -> None:
    table = found.effects
    assert table.index.tolist() == found.ids.tolist()
    np.testing.assert_allclose(
        table["conf_high"] - table["effect"], 1.959963985 * table["std_error"], rtol=1e-9
    )
    assert {"fold", "dr_score", "image_key"} <= set(table.columns)


def test_effects_follow_what_they_depend_on() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"grant": np.tile([0, 1], 400), "age": rng.normal(size=800), "noise": rng.normal(size=800)}
    )
    table["income"] = 2 * table["grant"] * (table["age"] > 0) + 0.5 * rng.normal(size=800)
    asked = ec.Design(table, outcome="income", treatment="grant", covariates=["age", "noise"], propensity=0.5)
    effects = _found(asked, learner=ec.Forest(trees=40, n_jobs=1)).effect_values
    assert effects[table["age"] > 0.3].mean() == pytest.approx(2, abs=0.35)
    assert effects[table["age"] < -0.3].mean() == pytest.approx(0, abs=0.35)


@pytest.mark.parametrize("kind", ["rare dummy", "text", "outcome of few", "level of few"])
def test_columns_that_vary_in_the_whole_and_not_in_a_fold_do_no_harm(kind: str) -> None:
    table = study(240)
    covariates = ["age"]
    if kind == "rare dummy":
        table["rare"], covariates = (np.arange(240) < 2).astype(float), ["age", "rare"]
    if kind == "text":
        table["region"], covariates = np.array([f"r{k}" for k in np.arange(240) % 20]), ["age", "region"]
    if kind == "level of few":
        table["region"], covariates = np.where(np.arange(240) < 2, "islands", "mainland"), ["age", "region"]
    if kind == "outcome of few":
        table["income"] = (np.arange(240) % 80 == 0).astype(float)
    found = _found(design(table, covariates=covariates, propensity=0.5))
    assert np.isfinite(found.effect_values).all()
    assert np.isfinite(found.sequential_values[found.folds > 0]).all()


def test_new_units_get_the_effects_of_a_model_of_all() -> None:
    whole = design(study(240), propensity=0.5)
    train, test = whole.split(0.5, seed=0)
    found = _found(train)
    predicted = found.predict(test)
    assert predicted.shape == (len(test),)
    np.testing.assert_array_equal(predicted[5:9], found.predict(test.take(np.arange(30)))[5:9])


def test_a_result_from_a_file_says_it_holds_no_model(asked: ec.Design, found: ec.Cate) -> None:
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    assert np.isnan(back.sequential_values[back.folds == 0]).all()
    pd.testing.assert_frame_equal(back.effects, found.effects)
    with pytest.raises(EstimationError, match=r"holds no model[\s\S]*ec.cate"):
        back.predict(asked)
    with pytest.raises(EstimationError, match=r"no unit-level scores"):
        ec.Cate.from_dict(found.to_dict())
    rates = ec.rate(back, replicates=50)
    assert rates == ec.rate(found, replicates=50)
    assert isinstance(rates, Rate)


def test_coordinates_go_through_json() -> None:
    table = study().reset_index().assign(lon=np.linspace(30, 31, 120), lat=1.0)
    found = _found(design(ec.read_units(table, id="id", lon="lon", lat="lat"), propensity=0.5))
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert back == found
    np.testing.assert_array_equal(back.effects["lon"], table["lon"])


def test_units_are_not_told_unless_asked(found: ec.Cate) -> None:
    assert set(found.to_dict()) == {"type", "average", "shares"}


def test_texts_are_short(found: ec.Cate) -> None:
    assert len(found.summary().splitlines()) <= 25
    assert len(repr(found).splitlines()) == 1
    assert any("single effects" in text for text in found.warnings)


def test_a_plot_shows_the_effects(found: ec.Cate) -> None:
    import matplotlib.pyplot as plt

    axes = found.plot()
    assert sum(patch.get_height() for patch in axes.patches[:40]) == pytest.approx(240)
    plt.close("all")


def test_effects_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"treated": np.tile([0, 1], 60), "age": rng.normal(size=120)}, index=np.arange(120))
    table["outcome"] = table["treated"] * table["age"] + rng.normal(size=120)
    options = {"outcome": "outcome", "treatment": "treated", "covariates": ["age"], "propensity": 0.5}
    forest = ec.Forest(trees=20, n_jobs=1)
    first = ec.cate(ec.Design(table, **options), learner=forest).effects["effect"]
    shuffled = table.sample(frac=1, random_state=1)
    second = ec.cate(ec.Design(shuffled, **options), learner=forest).effects["effect"]
    np.testing.assert_allclose(second.reindex(first.index), first, atol=1e-9)


def test_blocks_stay_whole_where_a_forest_centres_outcome_and_treatment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, block = study(120), np.random.default_rng(1).permutation(np.arange(120) % 12)
    table = table.assign(place=np.arange(120), lon=30.0 + block, lat=0.5)
    units = ec.read_units(table, id="place", lon="lon", lat="lat")
    seen = []

    def noted(part: ec.Design, folds: np.ndarray, learners: ec.Learners, **options: object) -> object:
        seen.append((part.table.ids, folds, options["groups"]))
        return cross_fit(part, folds, learners, **options)

    monkeypatch.setattr(effect_learners, "cross_fit", noted)
    _found(design(units), folds=ec.Folds(kind="block", k=3, block_m=50_000))
    assert len(seen) == 4
    for ids, folds, groups in seen:
        of_block = pd.Series(block[ids])
        assert pd.Series(folds).groupby(of_block).nunique().max() == 1
        assert pd.Series(groups).groupby(of_block).nunique().max() == 1


def test_a_forest_that_has_one_group_to_learn_from_says_so() -> None:
    asked = design(study(120, n_villages=3), cluster="village")
    with pytest.raises(EstimationError, match=r"(?s)40 units .* are all tied together.*fewer folds"):
        _found(asked)
