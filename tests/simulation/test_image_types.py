"""Types of images: the test of their difference holds its size, intervals cover, and the usual way over-rejects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects import type_fit
from eocausal.effects.type_effects import averages_by_type
from eocausal.effects.type_learning import TypesAsked, learn_types
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.inference.variance import score_variance
from eocausal.nuisance.settings import Settings, settings_for

IMAGES, UNITS = 100, 400


@pytest.fixture(scope="module", autouse=True)
def _quick_fits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("RANDOM_STARTS", 0), ("FIRST_STEPS", 15), ("ENOUGH", 1e-4), ("DRAWS", 40)):
            patch.setattr(type_fit, name, value)
        yield


def world(seed: int, *, gap: float, selected: bool = False) -> tuple[ec.Design, np.ndarray]:
    """Images shared by four units, with effects of their own in the level; return the true probability by unit."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(IMAGES, 4))
    image = np.arange(UNITS) % IMAGES
    likely = 1 / (1 + np.exp(-2 * features[:, 0]))
    kind = rng.random(IMAGES) < likely
    propensity = 1 / (1 + np.exp(-0.8 * features[image, 1])) if selected else np.full(UNITS, 0.5)
    treated = (rng.random(UNITS) < propensity).astype(int)
    level = 0.5 * features[image, 1] + 0.3 * rng.normal(size=IMAGES)[image]
    outcome = level + gap * kind[image] * treated + rng.normal(size=UNITS)
    table = pd.DataFrame({"village": image, "treated": treated, "outcome": outcome})
    pictures = pd.DataFrame(features, columns=[f"f{k}" for k in range(4)]).assign(village=range(IMAGES))
    made = ec.Design(
        table,
        outcome="outcome",
        treatment="treated",
        features=ec.read_embeddings(pictures, key="village"),
        propensity=None if selected else 0.5,
    )
    return made, likely[image]


def _pooled_rejects(found: ec.ImageTypes, design: ec.Design, settings: Settings) -> bool:
    """Say whether types differ by the same scores where probabilities are of models of all other folds."""
    probability = found.probabilities[["type 1", "type 2"]].to_numpy()
    scores = doubly_robust_scores(design, settings).scores
    first, last = averages_by_type(scores, probability, np.ones(scores.size))
    made = score_variance(
        (last.scores - first.scores)[:, None], vcov="cluster", clusters=design.table.image_keys
    )
    return bool(abs(last.estimate - first.estimate) > 1.98 * np.sqrt(made.matrix[0, 0]))


@pytest.mark.slow
def test_types_of_units_that_gain_alike_differ_as_often_as_they_may() -> None:
    draws, folds = 150, ec.Folds(k=4)
    rejected, pooled = 0, 0
    for seed in range(draws):
        design, _ = world(seed, gap=0.0)
        found = ec.image_types(design, k=2, folds=folds, seed=seed)
        rejected += float(found.difference().p_value()) < 0.05
        pooled += _pooled_rejects(found, design, settings_for(design, folds=folds, learners=None, seed=seed))
    print(f"earlier folds {rejected / draws:.3f}, all other folds {pooled / draws:.3f}")
    # 5% with 150 draws has an error of 1.8 points
    assert rejected / draws <= 0.10
    assert pooled > rejected


@pytest.mark.slow
@pytest.mark.parametrize("selected", [False, True])
def test_averages_by_type_cover_what_they_average(selected: bool) -> None:
    draws, gap, folds = 100, 1.5, ec.Folds(k=4)
    covered, powerful, effects, sure = [], 0, [], []
    for seed in range(draws):
        design, likely = world(seed, gap=gap, selected=selected)
        found = ec.image_types(design, k=2, folds=folds, seed=seed)
        weight = _earlier(found, design, folds, seed)
        later = ~np.isnan(weight[:, 0])
        truth = weight[later].T @ (gap * likely[later]) / weight[later].sum(axis=0)
        bounds = np.asarray(found.ci())
        covered.append((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))
        powerful += float(found.difference().p_value()) < 0.05
        effects.append(found.model["effect"])
        sure.append(np.abs(found.model["effect"] - [0, gap]) < 1.96 * found.model["posterior_sd"])
    share = np.mean(covered, axis=0)
    print(
        f"selected {selected}: coverage {share}, power {powerful / draws:.2f}, effects of the model "
        f"{np.mean(effects, axis=0)}, their posterior intervals {np.mean(sure, axis=0)}"
    )
    assert (share >= 0.88).all()
    assert powerful / draws >= 0.5
    np.testing.assert_allclose(np.mean(effects, axis=0), [0, gap], atol=0.25)


def _earlier(found: ec.ImageTypes, design: ec.Design, folds: ec.Folds, seed: int) -> np.ndarray:
    """Return the probabilities (n, 2) by models of earlier folds, which the averages weigh by."""
    settings = settings_for(design, folds=folds, learners=None, seed=seed)
    asked = TypesAsked(settings, 10, False, "arm")
    fold_of = folds.assign(design, seed=seed)
    weight = np.full((len(design), 2), np.nan)
    for fold in range(1, int(fold_of.max()) + 1):
        (model,) = learn_types(design.take(fold_of < fold), asked, (2,))
        weight[fold_of == fold] = model.probabilities(design.take(fold_of == fold))[0]
    assert found.n == int((fold_of > 0).sum())
    return weight
