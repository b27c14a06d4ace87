"""What a network that is trained on pixels is given, and what it makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import eocausal as ec
from eocausal.training import _fitting
from eocausal.training._fitting import Parts, Study, fit_fold
from eocausal.training._fold_pixels import read_chips
from eocausal.training._targets import TARGETS
from eocausal.training.finetuned import Finetuned
from tests.fake_chips import FakeChips
from tests.picture_worlds import (
    World,
    finetune,
    fit,
    of,
    same,
    small_world,
    study_of,
    world,
)


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


@pytest.fixture(scope="module")
def plain(small: World) -> Finetuned:
    return of(small)


# --- what a network is given


@pytest.mark.parametrize("target", ["treatment", "outcome"])
def test_a_unit_of_weight_two_counts_like_two_units(target: str) -> None:
    study = study_of(world(6, n=40, per_image=2))
    learn, stop, predict = np.arange(24), np.arange(24, 32), np.arange(32, 40)
    heavy = dataclasses.replace(study, weights=np.where(study.ids == 5, 2.0, 1.0))
    twice = np.append(np.arange(40), 5)
    arrays = {
        name: getattr(study, name)[twice] for name in ("ids", "outcome", "treatment", "groups", "image_of")
    }
    double = Study(
        **arrays, weights=np.ones(41), covariates=np.zeros((41, 0)), chips=study.chips, source=None
    )
    network = ec.Network(epochs=3, augment=False)
    one = fit(heavy, Parts(learn, stop, predict), network, target)
    two = fit(double, Parts(np.append(learn, 40), stop, predict), network, target)
    unweighted = fit(study, Parts(learn, stop, predict), network, target)
    # Adam makes steps of the last digits of small gradients, so the two are not equal to the last digit
    assert np.abs(two.outputs - one.outputs).max() < 2e-3
    assert np.abs(unweighted.outputs - one.outputs).max() > 0.05
    np.testing.assert_allclose(one.losses, two.losses, atol=2e-4)


def test_before_training_the_prediction_is_the_constant_of_the_units_learned_from() -> None:
    study = study_of(world(7, n=40))
    learn, stop, predict = np.arange(20), np.arange(20, 30), np.arange(30, 40)
    parts = Parts(learn, stop, predict)
    # steps so small that nothing is learned
    network = ec.Network(epochs=1, learning_rate=1e-30)
    treatment = fit(study, parts, network)
    share = study.treatment[learn].mean()
    np.testing.assert_allclose(treatment.outputs, np.log(share / (1 - share)), rtol=1e-6)
    mine = study.treatment[stop]
    np.testing.assert_allclose(
        treatment.losses[0, 1], -np.mean(mine * np.log(share) + (1 - mine) * np.log(1 - share)), rtol=1e-6
    )
    outcome = fit(study, parts, network, "outcome")
    for arm in (0, 1):
        mean = study.outcome[learn][study.treatment[learn] == arm].mean()
        np.testing.assert_allclose(outcome.outputs[:, arm], mean, rtol=1e-5)


def test_each_outcome_head_is_taught_by_its_own_arm() -> None:
    outputs = torch.tensor([[1.0, 5.0], [2.0, 7.0]], requires_grad=True)
    losses = TARGETS["outcome"].loss(outputs, torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
    assert losses.tolist() == [4.0, 9.0]
    losses.sum().backward()
    assert outputs.grad.tolist() == [[-4.0, 0.0], [0.0, 6.0]]


def test_pixels_that_are_not_valid_are_zero_after_scaling_and_do_not_enter_the_scale() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(100, 20, size=(4, 1, 2, 3, 3)).astype(np.float32)
    mask = rng.uniform(size=(4, 1, 3, 3)) < 0.7
    chips = FakeChips(np.array(list("dbca")), {"3px": pixels}, {"3px": mask}, order=np.array([2, 0, 3, 1]))
    table = read_chips(chips, np.array(list("abc")), None)
    place = {"a": 3, "b": 1, "c": 2}
    scale = table.scale(np.array([0, 2]))
    for band in range(2):
        valid = np.concatenate([pixels[place[key], 0, band][mask[place[key], 0]] for key in "ac"])
        np.testing.assert_allclose([scale[0][band], scale[1][band]], [valid.mean(), valid.std()], rtol=1e-5)
    for row, key in enumerate("abc"):
        expected = np.where(
            mask[place[key]],
            (pixels[place[key], 0] - scale[0][:, None, None]) / scale[1][:, None, None],
            0.0,
        )
        np.testing.assert_allclose(table.pictures(np.array([row]), scale)[0], expected, rtol=1e-5, atol=1e-6)
    assert [key for batch in chips.read for key in batch] == ["c", "a", "b"]


@pytest.mark.parametrize("level", [0.1, 300.7])
@pytest.mark.parametrize("side", [5, 7, 13, 35])
def test_a_band_of_one_value_where_a_network_learns_tells_it_nothing_elsewhere(
    level: float, side: int
) -> None:
    # 0.1 and its square do not add up exactly in binary numbers
    n = 23
    pixels = np.random.default_rng(0).normal(size=(n, 1, 2, side, side)).astype(np.float32)
    pixels[:, :, 1] = level
    pixels[-1, :, 1] = 1.2 * level
    mask = {"a": np.ones((n, 1, side, side), dtype=bool)}
    table = read_chips(FakeChips(np.arange(n), {"a": pixels}, mask), np.arange(n), None)
    scale = table.scale(np.arange(n - 1))
    assert np.abs(table.pictures(np.arange(n), scale)[:, 1]).max() == 0
    seen = pixels[:-1, 0, 0].astype(float)
    np.testing.assert_allclose([scale[0][0], scale[1][0]], [seen.mean(), seen.std()], rtol=1e-5)


@pytest.mark.parametrize("target", ["treatment", "outcome"])
@pytest.mark.parametrize("level", [0.0, 0.1, 12.7])
def test_a_covariate_of_one_value_where_a_network_learns_tells_it_nothing_elsewhere(
    target: str, level: float
) -> None:
    study = study_of(world(7, n=40, covariates=["age"]))
    learn, stop, predict = np.arange(21), np.arange(21, 30), np.arange(30, 40)
    constant = np.full(40, level)
    constant[35:] = 2 * level + 1
    wider = dataclasses.replace(study, covariates=np.column_stack([study.covariates, constant]))
    parts = Parts(learn, stop, predict)
    network = ec.Network(epochs=2, augment=False)
    without, found = (fit(one, parts, network, target) for one in (study, wider))
    np.testing.assert_allclose(found.before, without.before, atol=1e-4)
    np.testing.assert_allclose(found.outputs, without.outputs, atol=1e-2)


@pytest.mark.parametrize("target", ["treatment", "outcome"])
def test_the_regression_that_training_starts_from_runs_on_one_thread(target: str) -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    study = study_of(world(7, n=40, covariates=["age"]))
    seen: list[int] = []

    def start(*columns: np.ndarray) -> np.ndarray:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return TARGETS[target].start(*columns)

    with threadpool_limits(2, user_api="blas"):
        fit_fold(
            study,
            Parts(np.arange(20), np.arange(20, 30), np.arange(30, 40)),
            target=dataclasses.replace(TARGETS[target], start=start),
            network=ec.Network(epochs=1),
            seed=np.random.SeedSequence(0),
            device="cpu",
            told=lambda epochs: None,
        )
    assert seen
    assert set(seen) == {1}


def test_chips_too_large_for_memory_give_the_same_numbers(
    small: World, plain: Finetuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eocausal.training import _fold_pixels

    monkeypatch.setattr(_fold_pixels, "_IN_MEMORY", 1000)
    table = _fold_pixels.read_chips(small.chips, small.chips.keys, None)
    assert isinstance(table.pixels, np.memmap)
    assert same(of(small), plain)


@pytest.mark.parametrize("name", ["resnet-tiny", "convnext-tiny", "vit-tiny"])
@pytest.mark.parametrize("shape", [(1, 9, 9), (5, 17, 13), (2, 70, 66)])
def test_every_network_takes_any_bands_and_sizes(name: str, shape: tuple[int, int, int]) -> None:
    bands, height, width = shape
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(16, 1, bands, height, width)).astype(np.float32)
    names = tuple(f"b{i}" for i in range(bands))
    mask = np.ones((16, 1, height, width), dtype=bool)
    chips = FakeChips(np.arange(16), {"a": pixels}, {"a": mask}, bands=names, key_name="unit")
    units = pd.DataFrame(
        {"grant": [0, 1] * 8, "income": rng.normal(size=16)}, index=pd.RangeIndex(16, name="unit")
    )
    design = ec.Design(units, outcome="income", treatment="grant")
    learned = finetune(chips, design, network=ec.Network(name, epochs=1, batch_size=2))
    assert learned.predictions.shape == (16, 1)
    assert ((learned.predictions > 0) & (learned.predictions < 1)).all()


def test_pictures_are_flipped_and_turned_in_the_eight_ways() -> None:
    from eocausal.training._fitting import turned

    rng = np.random.default_rng(0)
    square = np.repeat(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3), 200, axis=0)
    ways = {one.tobytes() for one in turned(square, rng)}
    picture = square[0, 0]
    assert ways == {
        np.ascontiguousarray(np.rot90(flipped, quarters)).tobytes()
        for flipped in (picture, picture.T)
        for quarters in range(4)
    }
    oblong = np.repeat(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3), 200, axis=0)
    assert {one.tobytes() for one in turned(oblong, rng)} == {
        np.ascontiguousarray(one).tobytes()
        for one in (oblong[0], oblong[0, :, ::-1], oblong[0, :, :, ::-1], oblong[0, :, ::-1, ::-1])
    }


@pytest.mark.parametrize(("batch_size", "sizes"), [(7, {7, 8}), (16, {30}), (15, {15}), (40, {30})])
def test_steps_are_of_like_size_and_none_is_a_small_remainder(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, sizes: set[int]
) -> None:
    seen: list[int] = []

    def noted(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seen.append(len(pictures))
        return pictures

    monkeypatch.setattr(_fitting, "turned", noted)
    parts = Parts(np.arange(30), np.arange(30, 36), np.arange(36, 40))
    fit(study_of(world(7, n=40)), parts, ec.Network(epochs=1, batch_size=batch_size))
    assert sum(seen) == 30
    assert set(seen) == sizes


def test_training_stops_after_patience_and_keeps_the_best_epoch(small: World) -> None:
    learned = of(small, network=ec.Network(epochs=40, patience=2, augment=False))
    for _, fold in learned.history.groupby("fold"):
        best = int(fold.loc[fold["kept"], "epoch"].iloc[0])
        assert fold["validation"].to_numpy().argmin() == best
        assert len(fold) - 1 == min(best + 2, 40)
