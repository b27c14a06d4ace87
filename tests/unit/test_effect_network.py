"""Effects learned from pixels: found where pictures show them, out of fold, the same for the same seed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

import eocausal as ec
from eocausal.effects.effect_learners import EffectSample
from eocausal.errors import EncoderError, EstimationError, ImageryError, LeakError
from eocausal.nuisance.cross_fit import Nuisance
from eocausal.training import effect_network
from eocausal.training._fold_pixels import read_chips
from eocausal.training._networks import Body, over_frames
from eocausal.training._targets import EFFECT
from tests.fake_chips import FakeChips
from tests.studies import FAST, THREE

TWO = ec.Folds(k=2)
QUICK = ec.Network(epochs=2, batch_size=16)


def _table(n: int, *, seed: int = 0, per_image: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Units whose effect is one plus what their picture shows, (n,) by picture."""
    rng = np.random.default_rng(seed)
    shown = rng.normal(size=n // per_image)
    image = np.arange(n) // per_image
    made = pd.DataFrame({"unit": np.arange(n), "image": image, "grant": rng.integers(0, 2, n)})
    made["age"], made["weight"] = rng.normal(size=n), rng.uniform(0.5, 2, n)
    made["effect"] = 1 + shown[image]
    made["income"] = made["age"] + made["grant"] * made["effect"] + 0.5 * rng.normal(size=n)
    return made, shown


def _chips(shown: np.ndarray, *, frames: int = 1, px: int = 8, **options: object) -> FakeChips:
    """Pictures as bright as ``shown`` says; of several frames, brightening by as much over time."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(len(shown), frames, 2, px, px)).astype(np.float32)
    course = np.linspace(-1, 1, frames) if frames > 1 else np.array([0.6])
    pixels += (shown[:, None] * course)[:, :, None, None, None].astype(np.float32)
    mask = np.ones((len(shown), frames, px, px), dtype=bool)
    asked = {"key_name": "image", "date": None, **options}
    return FakeChips(np.arange(len(shown)), {"80m": pixels}, {"80m": mask}, **asked)


def _design(made: pd.DataFrame, **options: object) -> ec.Design:
    units = ec.read_units(made, id="unit", image_key="image")
    asked = {"covariates": ["age"], "propensity": 0.5, **options}
    return ec.Design(units, outcome="income", treatment="grant", **asked)


def _cate(asked: ec.Design, chips: FakeChips, network: ec.Network = QUICK, **options: object) -> ec.Cate:
    learner = ec.ImageNetwork(chips, network=network, device="cpu")
    return ec.cate(asked, learner=learner, **{"learners": FAST, "folds": TWO, **options})


def _r2(found: ec.Cate, truth: pd.Series) -> float:
    return float(1 - np.mean((found.effect_values - truth) ** 2) / np.var(truth))


# --- what is found


def test_a_modifier_that_pictures_show_and_covariates_do_not_is_found() -> None:
    made, shown = _table(300)
    found = _cate(_design(made), _chips(shown), ec.Network(epochs=12, patience=5))
    assert _r2(found, made["effect"]) > 0.6
    assert _r2(ec.cate(_design(made), learner="linear", learners=FAST, folds=TWO), made["effect"]) < 0.1
    rates = ec.rate(found, replicates=100)
    assert rates.estimate / rates.std_error > 3
    assert found.diagnostics["learner"] == "image network (R-loss)"
    assert found.diagnostics["network_epochs"] == 12
    assert found.effects["std_error"].isna().all()
    assert any("no standard errors of single effects" in text for text in found.warnings)
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    history = found.models[0].history
    assert history["kept"].sum() == 1
    assert history["validation"].idxmin() == history.index[history["kept"]][0]
    assert history.index.name == "epoch"


def test_a_modifier_that_only_the_course_of_pictures_shows_is_found() -> None:
    made, shown = _table(300, seed=2)
    found = _cate(_design(made), _chips(shown, frames=3), ec.Network(epochs=12, patience=6))
    assert _r2(found, made["effect"]) > 0.7
    assert found.diagnostics["network_frames"] == 3
    still = _chips(shown, frames=3)
    still.pixels["80m"] = still.pixels["80m"][:, 1:2]
    still.mask["80m"], still.frames = still.mask["80m"][:, 1:2], ("t1",)
    assert _r2(_cate(_design(made), still, ec.Network(epochs=12, patience=6)), made["effect"]) < 0.2


def test_a_trial_needs_no_columns_beside_its_pictures() -> None:
    made, shown = _table(240)
    bare = _design(made, covariates=())
    found = _cate(bare, _chips(shown), ec.Network(epochs=8, patience=6), learners=ec.Learners())
    assert _r2(found, made["effect"]) > 0.3
    with pytest.raises(EstimationError, match="no covariates and no features"):
        ec.cate(bare, learner="linear")


# --- what is seen


@pytest.fixture(scope="module")
def small() -> tuple[ec.Design, FakeChips, ec.Cate]:
    made, shown = _table(120, per_image=2)
    asked, chips = _design(made, weights="weight"), _chips(shown)
    return asked, chips, _cate(asked, chips, folds=THREE)


def test_outcomes_of_a_fold_do_not_move_its_own_effects(small: tuple[ec.Design, FakeChips, ec.Cate]) -> None:
    asked, chips, found = small
    own = found.folds == 1
    frame = asked.data.frame.assign(income=lambda t: t["income"] + np.where(own, 30 * np.cos(t["unit"]), 0))
    moved = _cate(_design(frame, weights="weight"), chips, folds=THREE)
    np.testing.assert_array_equal(moved.effect_values[own], found.effect_values[own])
    assert (moved.effect_values[~own] != found.effect_values[~own]).mean() > 0.9
    np.testing.assert_array_equal(moved.sequential_values[own], found.sequential_values[own])


def test_pictures_of_a_fold_do_not_move_the_effects_of_others_in_it(
    small: tuple[ec.Design, FakeChips, ec.Cate],
) -> None:
    asked, chips, found = small
    own = np.flatnonzero(found.folds == 1)
    changed = FakeChips(
        chips.keys, {"80m": chips.pixels["80m"].copy()}, chips.mask, key_name="image", date=None
    )
    image = asked.table.image_keys[own[0]]
    changed.pixels["80m"][image] += 100
    moved = _cate(asked, changed, folds=THREE)
    others = own[asked.table.image_keys[own] != image]
    np.testing.assert_allclose(moved.effect_values[others], found.effect_values[others], rtol=1e-6)
    assert moved.effect_values[own[0]] != found.effect_values[own[0]]


def test_the_seed_alone_decides_and_global_generators_stay_as_they_were(
    small: tuple[ec.Design, FakeChips, ec.Cate],
) -> None:
    asked, chips, found = small
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = _cate(asked, chips, folds=THREE)
    assert torch.equal(torch.get_rng_state(), before)
    assert again == found
    assert _cate(asked, chips, folds=THREE, seed=1) != found
    turned = _cate(asked.take(np.arange(120)[::-1]), chips, folds=THREE).effects["effect"]
    np.testing.assert_array_equal(turned[found.ids], found.effect_values)


def test_chips_are_read_once_for_all_folds() -> None:
    made, shown = _table(80)
    chips = _chips(shown)
    _cate(_design(made), chips)
    assert sorted(key for batch in chips.read for key in batch) == chips.keys.tolist()


def test_groups_that_stop_a_network_are_whole_and_apart_from_those_it_learns_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, shown = _table(120, per_image=3)
    seen = []

    def noted(study: object, parts: object, **options: object) -> object:
        seen.append((study, parts, options))
        return trained(study, parts, **options)

    trained = effect_network.trained
    monkeypatch.setattr(effect_network, "trained", noted)
    _cate(_design(made), _chips(shown), folds=THREE)
    assert len(seen) == 4
    for study, parts, options in seen:
        assert options["target"] is EFFECT
        learn, stop = (set(study.groups[rows]) for rows in (parts.learn, parts.stop))
        assert not learn & stop
        assert len(parts.learn) + len(parts.stop) == len(study.ids)
        assert 0.1 < len(parts.stop) / len(study.ids) < 0.3
        np.testing.assert_allclose(np.abs(study.treatment), 0.5)
        assert abs(study.outcome.mean()) < 0.5


def test_new_units_get_the_effects_of_a_network_of_all() -> None:
    made, shown = _table(120)
    whole, chips = _design(made), _chips(shown)
    train, test = whole.split(0.5, seed=0)
    found = _cate(train, chips)
    predicted = found.predict(test)
    assert predicted.shape == (len(test),)
    np.testing.assert_allclose(predicted[5:9], found.predict(test.take(np.arange(30)))[5:9], rtol=1e-6)


# --- parts by hand


def _sample(made: pd.DataFrame) -> EffectSample:
    asked = _design(made, weights="weight")
    n = len(made)
    mean = made["age"].to_numpy()
    return EffectSample(
        asked, Nuisance(mean, mean, np.full(n, 0.4), np.zeros(n, dtype=np.intp), True), asked.groups
    )


def test_training_starts_from_a_ridge_regression_of_effects_on_covariates() -> None:
    made, shown = _table(100)
    model = ec.ImageNetwork(_chips(shown), network=QUICK, device="cpu").fit(_sample(made), seed=0)
    made_of = model.made
    learn = made_of.run.study
    outcome, treatment = made["income"] - made["age"], made["grant"] - 0.4
    rows = np.isin(made["unit"], learn.ids[_learned(model)])
    age = made.loc[rows, "age"]
    squares = (made["weight"] * treatment**2)[rows]
    by_hand = Ridge(1.0).fit(
        ((age - age.mean()) / age.std(ddof=0)).to_frame(),
        (outcome / treatment)[rows],
        squares / squares.mean(),
    )
    scale = np.sqrt(np.average(outcome[rows] ** 2, weights=made.loc[rows, "weight"]))
    assert made_of.centre == 0
    assert made_of.deviation == pytest.approx(scale, rel=1e-12)
    np.testing.assert_allclose(
        made_of.start[0] * made_of.deviation, [by_hand.intercept_, *by_hand.coef_], rtol=1e-9
    )


def _learned(model: object) -> np.ndarray:
    """Return the units whose covariate has the mean that the network scaled by, found by their parts."""
    from eocausal.training._study_units import parts_of

    study = model.made.run.study
    arms = (study.treatment > 0).astype(float)
    return parts_of(arms, np.zeros(len(arms), dtype=np.intp), 1, tied=study.groups, seed=0).learn


def test_the_loss_is_the_r_loss() -> None:
    outputs = torch.tensor([[2.0], [-1.0]])
    outcome, treatment = torch.tensor([1.5, 0.5]), torch.tensor([0.4, -0.6])
    np.testing.assert_allclose(
        EFFECT.loss(outputs, outcome, treatment), [(1.5 - 0.8) ** 2, (0.5 - 0.6) ** 2], rtol=1e-6
    )


def test_the_vector_of_a_sequence_is_mean_trend_and_spread_of_its_dates() -> None:
    body = Body(None, lambda pictures: pictures.mean(dim=(2, 3)), 2)
    course = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
    pictures = torch.from_numpy(course.reshape(5, 8, 1, 1)).expand(5, 8, 3, 3)
    vectors = over_frames(body, 4)(pictures).numpy()
    np.testing.assert_allclose(vectors[:, :2], course.mean(axis=1), atol=1e-6)
    steps = np.linspace(-1, 1, 4)
    slopes = np.array([[np.polyfit(steps, one[:, band], 1)[0] for band in (0, 1)] for one in course])
    np.testing.assert_allclose(vectors[:, 2:4], slopes, atol=1e-5)
    np.testing.assert_allclose(vectors[:, 4:], course.std(axis=1), atol=1e-4)
    assert over_frames(body, 4).width == 6
    assert over_frames(body, 1) is body


def test_bands_of_a_sequence_have_one_scale_over_all_dates_and_gaps_of_one_date_stay_its_own() -> None:
    chips = _chips(np.zeros(6), frames=3)
    chips.pixels["80m"] = chips.pixels["80m"] * 3 + 50 * np.arange(2, dtype=np.float32)[:, None, None]
    chips.mask["80m"][2, 1] = False
    read = read_chips(chips, chips.keys, None, sequences=True)
    assert read.pixels.shape == (6, 6, 8, 8)
    seen = np.where(chips.mask["80m"][:, :, None], chips.pixels["80m"], np.nan).astype(float)
    mean, deviation = read.scale(np.arange(6))
    np.testing.assert_allclose(mean, np.nanmean(seen, axis=(0, 1, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(deviation, np.nanstd(seen, axis=(0, 1, 3, 4)), rtol=1e-4)
    scaled = read.pictures(np.arange(6), (mean, deviation)).reshape(6, 3, 2, 8, 8)
    by_hand = (seen - mean[:, None, None]) / deviation[:, None, None]
    np.testing.assert_allclose(scaled, np.nan_to_num(by_hand), atol=1e-4)
    assert (scaled[2, 1] == 0).all()
    assert (scaled[2, 0] != 0).all()


# --- what is refused, and told


def test_pixels_under_several_keys_and_training_without_gain_are_told() -> None:
    made, _ = _table(80)
    chips = _chips(np.zeros(80))
    chips.pixels["80m"][7] = chips.pixels["80m"][9]
    still = ec.Network(epochs=1, learning_rate=50.0)
    warnings = _cate(_design(made), chips, still).warnings
    assert any("2 pictures are the same pixels under several keys" in text for text in warnings)
    assert any("without pictures" in text for text in warnings)


def _blank(chips: FakeChips) -> FakeChips:
    chips.mask["80m"][3] = False
    chips.status["80m"][3] = "nodata"
    return chips


@pytest.mark.parametrize(("case", "error", "words"), [
    ("calibrate", EncoderError, "effects are no probabilities"),
    ("name", EncoderError, "network='resnet'"),
    ("blank", EstimationError, r"have no usable picture[\s\S]*design.take"),
    ("absent", EstimationError, r"do not hold the pictures"),
    ("key", EstimationError, r"known by 'village'"),
    ("sizes", ImageryError, r"several sizes[\s\S]*block="),
    ("late", LeakError, r"2010-01-01"),
])  # fmt: skip
def test_what_cannot_be_learned_from_is_refused(case: str, error: type[Exception], words: str) -> None:
    made, shown = _table(60)
    chips, asked, network = _chips(shown), _design(made), QUICK
    if case == "calibrate":
        network = ec.Network(calibrate=True)
    if case == "name":
        network = "resnet"
    if case == "blank":
        chips = _blank(chips)
    if case == "absent":
        chips = _chips(shown[:50])
    if case == "key":
        chips = _chips(shown, key_name="village")
    if case == "sizes":
        chips.pixels["40m"], chips.mask["40m"] = chips.pixels["80m"], chips.mask["80m"]
    if case == "late":
        chips = _chips(shown, date="2010-01-01")
        units = ec.read_units(made.assign(day="2009-05-01"), id="unit", image_key="image", date="day")
        asked = ec.Design(units, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    with pytest.raises(error, match=words):
        _cate(asked, chips, network)


def test_too_few_groups_to_stop_a_network_are_refused() -> None:
    made, shown = _table(60)
    given = _sample(made.assign(village=np.arange(60) % 2, grant=np.arange(60) % 2))
    tied = dataclasses.replace(given, groups=np.arange(60) % 2)
    with pytest.raises(
        EstimationError, match="To learn from there are 30 treated, 30 control units in 2 groups"
    ):
        ec.ImageNetwork(_chips(shown), network=QUICK, device="cpu").fit(tied, seed=0)


def test_a_network_is_asked_about_the_covariates_that_it_learned_from() -> None:
    made, shown = _table(60)
    found = _cate(_design(made), _chips(shown))
    with pytest.raises(EstimationError, match=r"covariates \['weight'\][\s\S]*trained with \['age'\]"):
        found.predict(_design(made, covariates=["weight"]))
