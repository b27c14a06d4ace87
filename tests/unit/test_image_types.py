"""`image_types`: types out of fold, effects by type from scores, examples, figures, and input that is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects import type_fit
from eocausal.effects.effect_learners import training_rows
from eocausal.effects.type_effects import averages_by_type, effects_of_pure_types
from eocausal.effects.type_examples import typical_and_ambiguous
from eocausal.effects.type_learning import TypesAsked, learn_types
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import DesignError, EstimationError
from eocausal.nuisance.settings import settings_for
from tests.studies import FAST, THREE

IMAGES = 60


def table(n: int = 300, *, gap: float = 3.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    village = rng.permutation(np.arange(n) % IMAGES)
    kind = _features(seed)[:, 0] > 0
    grant = rng.integers(0, 2, n)
    age = rng.normal(size=n)
    income = 1 + 0.7 * age + gap * kind[village] * grant + rng.normal(size=n)
    columns = {"village": village, "grant": grant, "age": age, "income": income}
    place = np.column_stack([32 + 0.05 * (village % 10), 1 + 0.05 * (village // 10)])
    return pd.DataFrame({**columns, "lon": place[:, 0], "lat": place[:, 1], "weight": rng.uniform(0.5, 2, n)})


def _features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 50).normal(size=(IMAGES, 4))


def design(frame: pd.DataFrame, *, seed: int = 0, **options: Any) -> ec.Design:
    pictures = pd.DataFrame(_features(seed), columns=[f"f{k}" for k in range(4)]).assign(
        village=range(IMAGES)
    )
    asked = {"features": ec.read_embeddings(pictures, key="village"), "propensity": 0.5, **options}
    units = ec.read_units(
        frame.rename_axis("id").reset_index(), id="id", lon="lon", lat="lat", image_key="village"
    )
    return ec.Design(units, outcome="income", treatment="grant", **asked)


def found_of(asked: ec.Design, **options: Any) -> ec.ImageTypes:
    return ec.image_types(asked, **{"folds": THREE, "learners": FAST, **options})


@pytest.fixture(scope="module", autouse=True)
def _few_starts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type_fit, "RANDOM_STARTS", 1)
        patch.setattr(type_fit, "DRAWS", 40)
        yield


@pytest.fixture(scope="module")
def asked() -> ec.Design:
    return design(table())


@pytest.fixture(scope="module")
def found(asked: ec.Design) -> ec.ImageTypes:
    return found_of(asked)


def test_types_are_found_where_images_tell_who_gains(found: ec.ImageTypes) -> None:
    np.testing.assert_allclose(found.model["effect"], [0.0, 3.0], atol=0.5)
    truth = _features()[:, 0] > 0
    assert np.corrcoef(found.images["type 2"], truth)[0, 1] > 0.85
    # hardly an image is certain, so averages lie between the effects of pure types
    assert found.pure.estimate[0] < found.estimate[0] < 1 < 2 < found.estimate[1] < found.pure.estimate[1]
    assert found.difference().estimate == pytest.approx(found.estimate[1] - found.estimate[0])
    assert found.difference().p_value() < 0.001
    assert not any("cannot be told apart" in text for text in found.warnings)


def test_effects_are_averages_of_scores_by_probabilities_of_models_of_earlier_folds(
    asked: ec.Design, found: ec.ImageTypes
) -> None:
    settings = settings_for(asked, folds=THREE, learners=FAST, seed=0)
    fold_of = THREE.assign(asked, seed=0)
    scores = doubly_robust_scores(asked, settings).scores
    earlier = np.full((len(asked), 2), np.nan)
    for _, fold, rows in training_rows(fold_of):
        seen = fold_of < fold
        if fold == 0 or (rows != seen).any():
            continue
        (model,) = learn_types(asked.take(seen), TypesAsked(settings, 10, False, "arm"), (2,))
        earlier[fold_of == fold] = model.probabilities(asked.take(fold_of == fold))[0]
    later = fold_of > 0
    assert np.isfinite(earlier[later]).all()
    weights = earlier[later]
    np.testing.assert_allclose(found.estimate, weights.T @ scores[later] / weights.sum(axis=0), rtol=1e-10)
    assert found.n == later.sum()
    assert found.n_clusters == np.unique(asked.table.image_keys[later]).size


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_outcomes_of_a_fold_do_not_move_the_types_of_its_images(
    asked: ec.Design, found: ec.ImageTypes, fold: int
) -> None:
    own = THREE.assign(asked, seed=0) == fold
    frame = table()
    moved = found_of(
        design(frame.assign(income=frame["income"] + np.where(own, 20 * np.cos(np.arange(300)), 0)))
    )
    columns = ["type 1", "type 2", "sd type 1", "sd type 2"]
    np.testing.assert_array_equal(moved.probabilities[columns][own], found.probabilities[columns][own])
    assert (moved.probabilities["type 2"][~own] != found.probabilities["type 2"][~own]).mean() > 0.9


def test_units_of_one_image_have_one_type(found: ec.ImageTypes) -> None:
    each = found.probabilities.groupby("image_key")["type 2"].nunique()
    assert (each == 1).all()
    assert found.images["n_units"].sum() == 300
    np.testing.assert_allclose(found.probabilities[["type 1", "type 2"]].sum(axis=1), 1)


def test_one_type_is_the_average_effect(asked: ec.Design) -> None:
    one = found_of(asked, k=1)
    plain = ec.ate(asked, method="aipw", folds=THREE, learners=FAST)
    assert one.k == 1
    assert one.pure is None
    assert float(one.by_type.estimate) == pytest.approx(plain.estimate, rel=1e-12)
    assert float(one.by_type.std_error) == pytest.approx(plain.std_error, rel=1e-12)
    assert one.n == 300
    assert (one.images["type 1"] == 1).all()
    with pytest.raises(EstimationError, match="one type"):
        one.difference()


def test_errors_are_by_image_and_can_be_changed(found: ec.ImageTypes) -> None:
    assert "cluster(village)" in found.by_type.vcov
    plain = found.with_vcov("iid")
    assert plain.n_clusters is None
    np.testing.assert_array_equal(plain.estimate, found.estimate)
    assert (plain.std_error != found.std_error).all()
    assert (plain.pure.std_error != found.pure.std_error).all()
    scores = found.scores.to_numpy()
    sums = pd.DataFrame(scores).groupby(found.by_type.groups["village"]).sum().to_numpy()
    groups, n = len(sums), len(scores)
    factor = groups / (groups - 1)
    np.testing.assert_allclose(found.std_error, np.sqrt(factor * (sums**2).sum(axis=0)) / n, rtol=1e-9)


def test_the_order_of_rows_does_not_matter() -> None:
    frame = table()
    first, second = found_of(design(frame)), found_of(design(frame.sample(frac=1, random_state=2)))
    np.testing.assert_allclose(second.estimate, first.estimate, rtol=1e-7)
    np.testing.assert_allclose(second.std_error, first.std_error, rtol=1e-7)
    np.testing.assert_allclose(second.images["type 2"], first.images["type 2"], atol=1e-7)


def test_the_unit_of_the_outcome_does_not_matter() -> None:
    frame = table()
    first = found_of(design(frame))
    second = found_of(design(frame.assign(income=500 - 1000 * frame["income"])))
    # gains turn into losses, so the types change names
    np.testing.assert_allclose(second.model["effect"], -1000 * first.model["effect"][::-1], rtol=2e-3)
    np.testing.assert_allclose(second.images["type 1"], first.images["type 2"], atol=0.02)
    scaled = found_of(design(frame.assign(income=7 + 1000 * frame["income"])))
    np.testing.assert_allclose(scaled.estimate, 1000 * np.asarray(first.estimate), rtol=1e-5)
    np.testing.assert_allclose(
        scaled.model["variance_of_gain"], 1e6 * first.model["variance_of_gain"], rtol=1e-4
    )


def test_the_variance_of_gains_adds_up(found: ec.ImageTypes) -> None:
    model = found.model
    expected = model["variance_control"] + model["variance_treated"] + model["posterior_sd"] ** 2
    np.testing.assert_allclose(model["variance_of_gain"], expected)
    # variances of the two arms are those of all types by default, and each type's own where asked for
    assert np.ptp(model["variance_control"]) == pytest.approx(0, abs=1e-12)
    own = found_of(design(table()), variances="type")
    assert np.ptp(own.model["variance_control"]) > 1e-3


@pytest.mark.parametrize(("gap", "types"), [(0.0, 1), (3.0, 2)])
def test_the_number_of_types_is_chosen_by_outcomes_not_learned_from(gap: float, types: int) -> None:
    found = found_of(design(table(gap=gap)), k=(1, 2, 3))
    assert found.k == types
    table_of = found.choice
    assert list(table_of["k"]) == [1, 2, 3]
    assert table_of["below_best"].min() == 0
    good = table_of[table_of["below_best"] <= table_of["std_error"]]
    assert good["k"].min() == types
    assert list(table_of["chosen"]) == [one == types for one in (1, 2, 3)]
    assert found.diagnostics["k_chosen_by"] == "held-out likelihood"
    assert any("no types were found" in text for text in found.warnings) == (types == 1)
    assert any("tests take it as given" in text for text in found.warnings) == (types == 2)
    if types == 2:
        assert table_of["r_loss"].iloc[1] < table_of["r_loss"].iloc[0]


def test_k_auto_tries_one_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    from eocausal.effects import image_types

    tried = []
    real = image_types.types_out_of_fold

    def noted(*given: Any, **options: Any) -> Any:
        tried.append(given[3])
        return real(*given[:3], (1, 2), **options)

    monkeypatch.setattr(image_types, "types_out_of_fold", noted)
    found_of(design(table()), k="auto")
    assert tried == [(1, 2, 3, 4)]


def test_k_auto_tries_fewer_where_folds_have_few_images() -> None:
    found = found_of(design(table()), k="auto", folds=ec.Folds(k=5))
    assert list(found.choice["k"]) == [1, 2]
    assert any("k='auto' chose from 1 to 2 types" in text for text in found.warnings)


def test_more_than_two_types_work() -> None:
    found = found_of(design(table(gap=6.0)), k=3)
    assert found.terms == ("type 1", "type 2", "type 3")
    assert (np.diff(found.model["effect"]) >= 0).all()
    assert found.table.shape[0] == 3
    assert np.isfinite(found.std_error).all()


def test_alike_effects_are_said_to_be_alike() -> None:
    found = found_of(design(table(gap=0.0, seed=3), seed=3))
    assert found.difference().p_value() > 0.05
    assert any("cannot be told apart" in text for text in found.warnings)


def test_many_outcomes_at_one_value_are_told() -> None:
    frame = table()
    found = found_of(design(frame.assign(income=frame["income"].clip(lower=1.5))))
    assert any("types may differ in levels and spreads" in text for text in found.warnings)


def test_covariates_and_propensities_enter_the_mixture() -> None:
    rng = np.random.default_rng(5)
    frame = table(600)
    p = 1 / (1 + np.exp(-frame["age"]))
    frame = frame.assign(grant=(rng.random(600) < p).astype(int), p=p)
    kind = _features()[:, 0] > 0
    frame["income"] = 2 * frame["age"] + 3 * kind[frame["village"]] * frame["grant"] + rng.normal(size=600)
    asked = design(frame, covariates=["age"], propensity=None)
    settings = settings_for(asked, folds=THREE, learners=FAST, seed=0)
    (model,) = learn_types(asked, TypesAsked(settings, 10, False), (2,))
    # level, four components, age, propensity; the last is not shrunk
    assert model.mixture.state.mean.size == 7 + 2
    np.testing.assert_allclose(model.mixture.effects, [0, 3], atol=0.4)
    (orthogonal,) = learn_types(asked, TypesAsked(settings, 10, True), (2,))
    assert orthogonal.mixture.state.mean.size == 6 + 2
    np.testing.assert_allclose(orthogonal.mixture.effects, [0, 3], atol=0.4)
    # without what age explains there is less left to vary
    assert orthogonal.mixture.variances[0, 0] == pytest.approx(1, abs=0.4)
    (trial,) = learn_types(design(frame, propensity=0.5), TypesAsked(settings, 10, False), (2,))
    assert trial.mixture.state.mean.size == 5 + 2


def test_wide_features_become_components_within_folds() -> None:
    frame = table()
    wide = pd.DataFrame(
        np.random.default_rng(0).normal(size=(IMAGES, 30)), columns=[f"w{k}" for k in range(30)]
    )
    wide["village"] = np.arange(IMAGES)
    found = found_of(design(frame, features=ec.read_embeddings(wide, key="village")), pca=3)
    assert found.diagnostics["components"] == 3
    assert found.diagnostics["types_pca"] == 3


def test_other_units_get_types_of_a_model_of_all(found: ec.ImageTypes) -> None:
    other = design(table(120, seed=0).assign(grant=np.arange(120) % 2))
    predicted = found.predict(other)
    assert list(predicted.columns) == ["type 1", "type 2", "sd type 1", "sd type 2", "effect"]
    effect = predicted[["type 1", "type 2"]].to_numpy() @ found.model["effect"].to_numpy()
    np.testing.assert_allclose(predicted["effect"], effect)
    assert predicted.attrs["trained_on"] == found.provenance["design_hash"]


def test_a_result_goes_through_json(found: ec.ImageTypes) -> None:
    back = ec.ImageTypes.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    pd.testing.assert_frame_equal(back.table, found.table)
    pd.testing.assert_frame_equal(back.examples(), found.examples())
    assert set(found.to_dict()) == {"type", "by_type", "pure", "model", "choice"}
    assert "ids" not in found.to_dict()["by_type"]
    with pytest.raises(EstimationError, match=r"holds no model[\s\S]*ec.image_types"):
        back.predict(design(table()))
    with pytest.raises(EstimationError, match="no unit-level scores"):
        ec.ImageTypes.from_dict(found.to_dict())


def test_texts_are_short(found: ec.ImageTypes) -> None:
    assert len(found.summary().splitlines()) <= 25
    assert "type 2" in found.summary()
    assert len(repr(found).splitlines()) == 1
    assert repr(found).startswith("ImageTypes(2 of 60 images")


def test_averages_and_pure_effects_by_hand() -> None:
    rng = np.random.default_rng(0)
    probability, weights, scores = rng.dirichlet(np.ones(3), 50), rng.uniform(1, 2, 50), rng.normal(size=50)
    for number, one in enumerate(averages_by_type(scores, probability, weights)):
        share = weights * probability[:, number]
        assert one.estimate == pytest.approx(share @ scores / share.sum())
        assert one.scores.mean() == pytest.approx(0, abs=1e-12)
    pure = effects_of_pure_types(scores, probability, weights)
    root = np.sqrt(weights)
    expected, *_ = np.linalg.lstsq(probability * root[:, None], scores * root, rcond=None)
    np.testing.assert_allclose([one.estimate for one in pure], expected)
    # the sandwich of weighted least squares
    residual = weights * (scores - probability @ expected)
    bread = np.linalg.inv((probability * weights[:, None]).T @ probability)
    sandwich = bread @ ((probability * residual[:, None]).T @ (probability * residual[:, None])) @ bread
    influence = np.column_stack([one.scores for one in pure]) / 50
    np.testing.assert_allclose(influence.T @ influence, sandwich)
    assert effects_of_pure_types(scores, np.full((50, 2), 0.5), weights) is None


def test_examples_are_the_surest_and_the_most_ambiguous_apart_on_the_map() -> None:
    sure = np.array([0.99, 0.98, 0.97, 0.5, 0.52, 0.05])
    images = pd.DataFrame(
        {
            "image_key": list("abcdef"),
            "n_units": 2,
            "type 1": 1 - sure,
            "type 2": sure,
            "sd type 1": [0.2, 0.01, 0.01, 0.1, 0.1, 0.01],
            "sd type 2": [0.2, 0.01, 0.01, 0.1, 0.1, 0.01],
            # b and c are half a kilometre from one another
            "lon": [0.0, 1.0, 1.0045, 2.0, 2.001, 3.0],
            "lat": 0.0,
        }
    )
    found = typical_and_ambiguous(images, ("type 1", "type 2"), each=2, apart_m=1000)
    kinds = found.groupby("kind", sort=False)["image_key"].apply(list).to_dict()
    # a is likelier than f's type but less sure than b; c is too near to b; e is too near to d
    assert kinds["type 1"] == ["f", "d"]
    assert kinds["type 2"] == ["b", "a"]
    assert kinds["ambiguous"] == ["e", "c"]
    near = typical_and_ambiguous(images, ("type 1", "type 2"), each=2, apart_m=100)
    assert near[near["kind"] == "type 2"]["image_key"].tolist() == ["b", "c"]
    nowhere = images.assign(lon=np.nan, lat=np.nan)
    free = typical_and_ambiguous(nowhere, ("type 1", "type 2"), each=2, apart_m=1000)
    assert free[free["kind"] == "type 2"]["image_key"].tolist() == ["b", "c"]


class Shown:
    """Chips that remember what they were asked to show."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def thumbnails(self, keys: Any, *, block: str | None = None) -> np.ndarray:
        self.keys = list(keys)
        return np.random.default_rng(0).integers(0, 255, (len(self.keys), 8, 8, 3)).astype(np.uint8)


def test_figures_show_effects_places_and_pictures(found: ec.ImageTypes) -> None:
    import matplotlib.pyplot as plt

    axes = found.plot()
    assert [text.get_text().splitlines()[0] for text in axes.get_yticklabels()] == ["type 1", "type 2"]
    drawn = found.map().collections[0].get_array()
    np.testing.assert_allclose(np.sort(drawn), np.sort(found.images["type 2"]))
    chips = Shown()
    figure = found.gallery(chips, each=3)
    assert chips.keys == found.examples(each=3)["image_key"].tolist()
    assert sum(bool(ax.images) for ax in figure.axes) == len(chips.keys)
    plt.close("all")


def test_a_result_without_places_has_no_map(found: ec.ImageTypes) -> None:
    lost = replace(found, images=found.images.assign(lon=np.nan, lat=np.nan))
    with pytest.raises(EstimationError, match=r"no map[\s\S]*read_units"):
        lost.map()


@pytest.mark.parametrize(("options", "said"), [
    ({"k": 0}, "k=0"),
    ({"k": 2.5}, "k=2.5"),
    ({"k": True}, "k=True"),
    ({"k": "many"}, r"k='many'[\s\S]*'auto'"),
    ({"k": []}, "k is empty"),
    ({"k": (1, 0)}, "k=0"),
    ({"k": 9}, r"20 images[\s\S]*9 types[\s\S]*smaller k"),
    ({"pca": 0}, "pca=0"),
    ({"variances": "arms"}, r"variances='arms'[\s\S]*'arm'"),
    ({"orthogonalise": True}, r"no covariates[\s\S]*covariates=\[\.\.\.\]"),
    ({"folds": "five"}, r"folds is 'five'"),
    ({"folds": ec.Folds(repeats=2)}, "repeats=2"),
])  # fmt: skip
def test_what_cannot_be_asked_is_said(asked: ec.Design, options: dict[str, Any], said: str) -> None:
    with pytest.raises(EstimationError, match=said):
        found_of(asked, **options)


def test_designs_that_hold_no_types_are_refused() -> None:
    frame = table()
    with pytest.raises(EstimationError, match=r"no features[\s\S]*features=embeddings"):
        found_of(design(frame, features=None, covariates=["age"]))
    arms = frame.assign(grant=np.where(frame["grant"] == 1, "cash", "none"))
    with pytest.raises(DesignError, match="Types of images"):
        found_of(design(arms, treatment_type="categorical", control="none", propensity=None))


@pytest.mark.parametrize(("call", "said"), [
    (lambda one: one.examples(each=0), "each=0"),
    (lambda one: one.examples(apart_m=-1), "apart_m=-1"),
    (lambda one: one.map(term="type 9"), "type 9"),
    (lambda one: one.gallery("chips"), r"chips is a str[\s\S]*ec.chips"),
])  # fmt: skip
def test_what_a_result_cannot_show_is_said(found: ec.ImageTypes, call: Any, said: str) -> None:
    with pytest.raises(EstimationError, match=said):
        call(found)
