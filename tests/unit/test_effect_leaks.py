"""Nothing of a fold moves by its own outcomes or arms: effects by source, choices of scales, screened columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects import type_fit
from eocausal.evaluate import scale_split
from eocausal.evaluate.selection import FoldRates
from tests.scale_studies import FAST_FOREST, features
from tests.studies import FAST, THREE

N, PLACES = 240, 60
QUICK = {"learners": FAST, "seed": 3}


def _table(*, shared: bool) -> pd.DataFrame:
    """Two units of either arm in each place, and places in pairs where they share a village."""
    rng = np.random.default_rng(0)
    place = np.arange(N) % PLACES
    made = pd.DataFrame({"place": place, "village": place // 2 if shared else place})
    made["grant"] = np.arange(N) // PLACES % 2
    made["age"], made["lon"], made["lat"] = rng.normal(size=N), 30 + 0.1 * (place % 8), 0.1 * (place // 8)
    made["income"] = made["age"] + made["grant"] * _seen()[place, 0] + rng.normal(size=N)
    return made


def _seen(seed: int = 1, *, width: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(PLACES, width))


def _design(table: pd.DataFrame, **options: Any) -> ec.Design:
    units = ec.read_units(
        table.rename_axis("id").reset_index(), id="id", lon="lon", lat="lat", image_key="place"
    )
    asked = {"features": features(_seen()), "covariates": ["age"], "cluster": "village", **options}
    return ec.Design(units, outcome="income", treatment="grant", **asked)


def _shaken(table: pd.DataFrame, own: np.ndarray) -> pd.DataFrame:
    """Other outcomes, and arms dealt anew within places, so that folds are the same."""
    rng = np.random.default_rng(9)
    arms = table["grant"].groupby(table["place"]).transform(lambda one: rng.permutation(one.to_numpy()))
    moved = table["income"] + 100 * np.sin(np.arange(N))
    return table.assign(
        income=table["income"].where(~own, moved), grant=table["grant"].where(~own, arms.astype(int))
    )


WAYS = {
    "screened forest": (ec.Forest(engine="fast", trees=40, screen=4, n_jobs=1), {}, THREE),
    "forest of econml": (ec.Forest(engine="econml", trees=8, pca=3, n_jobs=1), {}, THREE),
    "known propensity": (FAST_FOREST, {"propensity": 0.5}, THREE),
    "cells": (FAST_FOREST, {}, ec.Folds("block", k=3, block_m=30_000)),
    "gaps": (ec.Forest(engine="fast", trees=40, n_jobs=1), {"missing": "keep"}, THREE),
    "linear in gaps": (ec.LinearEffects(components=2), {"missing": "keep"}, THREE),
    "X-learner": (ec.XLearner(pca=3), {}, THREE),
}


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("name", list(WAYS))
def test_effects_of_a_fold_do_not_move_by_its_own_outcomes_and_arms(name: str, fold: int) -> None:
    learner, options, folds = WAYS[name]
    table = _table(shared=True)
    if "missing" in options:
        table.loc[::7, "age"] = np.nan
    asked = {**QUICK, "learner": learner, "folds": folds}
    found = ec.cate(_design(table, **options), **asked)
    own = found.folds == fold
    moved = ec.cate(_design(_shaken(table, own), **options), **asked)
    np.testing.assert_array_equal(moved.folds, found.folds)
    np.testing.assert_array_equal(moved.effect_values[own], found.effect_values[own])
    np.testing.assert_array_equal(moved.effect_errors[own], found.effect_errors[own])
    # and what earlier folds say of it, and of folds before it, moves by no later one
    np.testing.assert_array_equal(
        moved.sequential_values[found.folds <= fold], found.sequential_values[found.folds <= fold]
    )
    assert (moved.effect_values[~own] != found.effect_values[~own]).mean() > 0.9


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_effects_of_every_source_do_not_move_by_outcomes_of_their_fold(fold: int) -> None:
    table = _table(shared=True)
    sources = {"tabular": None, "near": features(_seen(2)), "both": ["covariates", "near"]}
    asked = {**QUICK, "learner": ec.Forest(engine="fast", trees=20, pca=3, n_jobs=1), "folds": THREE}
    found = ec.compare_features(_design(table), sources, **asked)
    own = found.folds == fold
    moved = ec.compare_features(_design(_shaken(table, own)), sources, **asked)
    np.testing.assert_array_equal(moved.effect_values[own], found.effect_values[own])
    up_to = found.folds <= fold
    np.testing.assert_array_equal(moved.sequential_values[up_to], found.sequential_values[up_to])
    assert (moved.effect_values[~own] != found.effect_values[~own]).mean() > 0.9


@pytest.mark.parametrize("propensity", [0.5, None])
def test_scales_that_judge_a_fold_are_chosen_without_it(
    monkeypatch: pytest.MonkeyPatch, propensity: float | None
) -> None:
    seen: list[list[FoldRates]] = []
    real = scale_split.choices_beforehand

    def noted(before: list[FoldRates], *places: np.ndarray) -> Any:
        seen.append(before)
        return real(before, *places)

    monkeypatch.setattr(scale_split, "choices_beforehand", noted)
    table = _table(shared=True)
    scales = {"near": features(_seen(2)), "far": features(_seen(3))}
    learner = ec.Forest(engine="fast", trees=20, pca=3, n_jobs=1)
    folds = ec.Folds(k=4)

    def searched(one: pd.DataFrame) -> list[FoldRates]:
        design = _design(one, propensity=propensity)
        ec.scale_search(design, scales, learner=learner, folds=folds, control=False, **QUICK)
        return seen.pop()

    fold_of = folds.assign(_design(table), seed=QUICK["seed"])
    first, moved = searched(table), searched(_shaken(table, fold_of == 3))
    assert [len(one.values) for one in first] == [1, 2]
    for one, other in zip(first, moved):
        np.testing.assert_array_equal(other.values, one.values)
        np.testing.assert_array_equal(other.covariances, one.covariances)
    moved = searched(_shaken(table, fold_of == 2))
    np.testing.assert_array_equal(moved[0].values, first[0].values)
    assert (moved[1].values[1] != first[1].values[1]).all()


@pytest.mark.parametrize("orthogonalise", [False, True])
def test_types_of_a_fold_do_not_move_by_its_own_outcomes_and_arms(
    monkeypatch: pytest.MonkeyPatch, orthogonalise: bool
) -> None:
    monkeypatch.setattr(type_fit, "RANDOM_STARTS", 1)
    monkeypatch.setattr(type_fit, "DRAWS", 40)
    table = _table(shared=True)
    asked = {**QUICK, "folds": THREE, "pca": 3, "orthogonalise": orthogonalise}
    found = ec.image_types(_design(table), **asked)
    fold_of = THREE.assign(_design(table), seed=QUICK["seed"])
    for fold in range(3):
        own = fold_of == fold
        moved = ec.image_types(_design(_shaken(table, own)), **asked)
        columns = ["type 1", "type 2", "sd type 1"]
        np.testing.assert_array_equal(moved.probabilities[columns][own], found.probabilities[columns][own])
        assert (moved.probabilities["type 1"][~own] != found.probabilities["type 1"][~own]).mean() > 0.9
