"""Fine-tuned networks over many draws: no better than chance where there is nothing, unbiased where there is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.evaluate.overlap import auc_with_influence
from tests.picture_worlds import TRUE_ATE, World, of, world

pytestmark = pytest.mark.slow

THREE = ec.Folds(k=3)


def _null(seed: int, network: ec.Network) -> float:
    """Return how many standard errors the AUC lies from one half, for pictures of noise shared by four units."""
    found = world(seed, n=240, per_image=4, by_image=True, strength=0.0, shown="nothing")
    learned = of(found, network=network, folds=THREE)
    overlap = ec.overlap(found.design, folds=THREE, learners=ec.Learners(propensity=learned))
    return float((overlap.estimate - 0.5) / overlap.std_error)


def test_where_pictures_say_nothing_the_auc_is_one_half() -> None:
    # no early stopping to speak of, so that each network learns its training part by heart
    network = ec.Network(epochs=25, patience=25, augment=False)
    away = np.array([_null(seed, network) for seed in range(30)])
    assert abs(away.mean()) < 3 / np.sqrt(len(away))
    assert (
        np.abs(away) > 1.96
    ).sum() <= 6  # one or two are expected; seven of thirty come by chance once in 1,700
    assert np.abs(away).max() < 4


def _estimates(found: World) -> dict[str, ec.Estimate]:
    propensity, outcome = (
        of(found, network="resnet-tiny", folds=THREE, target=target) for target in ("treatment", "outcome")
    )
    features = propensity.embeddings.with_block(outcome.embeddings)
    second = dataclasses.replace(found.design, features=features)
    both = ec.Learners(propensity=propensity, outcome=outcome)
    return {
        "difference": ec.ate(found.design, method="difference"),
        "ipw": ec.ate(found.design, method="ipw", folds=THREE, learners=ec.Learners(propensity=propensity)),
        "aipw": ec.ate(found.design, folds=THREE, learners=both),
        "second stage": ec.ate(second, folds=THREE),
    }


def test_effects_with_the_networks_are_unbiased_and_their_intervals_cover() -> None:
    draws = [_estimates(world(100 + seed, n=300, strength=1.0)) for seed in range(20)]
    error = {name: np.array([draw[name].estimate - TRUE_ATE for draw in draws]) for name in draws[0]}
    bias = {name: abs(values.mean()) for name, values in error.items()}
    assert bias["difference"] > 0.7
    assert bias["ipw"] < 0.3 * bias["difference"]
    assert bias["aipw"] < 0.1 * bias["difference"]
    assert bias["second stage"] < 0.15 * bias["difference"]
    covered = [low < TRUE_ATE < high for low, high in (draw["aipw"].ci() for draw in draws)]
    assert np.mean(covered) >= 0.8
    assert error["aipw"].std() < 1.5 * np.mean([draw["aipw"].std_error for draw in draws])


@pytest.mark.parametrize(("name", "shown", "gap"), [
    ("resnet-tiny", "brightness", 0.06), ("resnet-tiny", "roughness", 0.06),
    ("convnext-tiny", "brightness", 0.08), ("vit-tiny", "brightness", 0.08),
])  # fmt: skip
def test_every_network_comes_near_the_best_prediction_there_is(name: str, shown: str, gap: float) -> None:
    found = world(40, n=500, shown=shown)
    learned = of(found, network=name, folds=THREE)
    best, _ = auc_with_influence(found.latent, found.design.table.treatment)
    assert learned.metrics.loc["network", "auc"] > best - gap


def test_in_a_real_trial_pictures_do_not_tell_who_was_treated(shared: Path) -> None:
    folder = shared / "data" / "uganda_yop"
    units = ec.read_units(
        folder / "units.csv", id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key"
    )
    chips = ec.chips_from_arrays(units, folder / "chips.npz")
    design = ec.Design(units, outcome="outcome", treatment="treated", cluster="image_key")
    propensity, outcome = (
        ec.finetune(chips, design, target=target, device="cpu", progress=False)
        for target in ("treatment", "outcome")
    )
    learners = ec.Learners(propensity=propensity, outcome=outcome)
    low, high = ec.overlap(design, learners=learners).ci()
    assert low < 0.5 < high
    effect = ec.ate(design, learners=learners)
    # the published difference in means is 0.7415 with a standard error of 0.0755
    assert effect.estimate == pytest.approx(0.7415, abs=0.1)
    assert 0.06 < effect.std_error < 0.12
    # found by comparing the arrays of all pictures with one another
    pixels = np.load(folder / "chips.npz")["chips"].reshape(327, -1)
    assert len(np.unique(pixels, axis=0)) < 327
    assert any("the same pixels under other keys" in text for text in propensity.warnings)
