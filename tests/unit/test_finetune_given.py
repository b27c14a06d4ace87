"""What a network that is trained on pixels is given, and what it makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import eocausal as ec
from eocausal.training._fitting import Parts, Study
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
    from eocausal.training._fold_pixels import read_chips

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


def test_training_stops_after_patience_and_keeps_the_best_epoch(small: World) -> None:
    learned = of(small, network=ec.Network(epochs=40, patience=2, augment=False))
    for _, fold in learned.history.groupby("fold"):
        best = int(fold.loc[fold["kept"], "epoch"].iloc[0])
        assert fold["validation"].to_numpy().argmin() == best
        assert len(fold) - 1 == min(best + 2, 40)
