"""Blocks whose encoder asked for a number of components get it, learned on training rows alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import eocausal as ec
from eocausal.nuisance.components import components_asked
from eocausal.nuisance.cross_fit import ColumnReducer, cross_fit
from tests.fake_chips import fake_chips
from tests.studies import FAST, by_village, design, images

N_VILLAGES = 24


def features(reduce, *, sizes=("480m", "960m"), encoder="image_stats"):
    chips = fake_chips(N_VILLAGES, px=6, blocks=sizes, keys=np.arange(N_VILLAGES))
    return ec.embed(chips, encoder=ec.MultiScale(encoder, reduce=reduce), device="cpu", progress=False)


def changed(embeddings, rows, by):
    values = embeddings.values.copy()
    values[rows] = by
    return dataclasses.replace(embeddings, values=values)


def test_the_number_stays_with_features_that_are_written_joined_and_cut(tmp_path):
    made = features(3)
    asked = {"image_stats_480m": 3, "image_stats_960m": 3}
    assert components_asked(made) == asked
    assert components_asked(ec.read_embeddings(made.write(tmp_path / "f.parquet"), key="village")) == asked
    some = ec.read_embeddings(tmp_path / "f.parquet", key="village", columns="image_stats_960m")
    assert components_asked(some) == {"image_stats_960m": 3}
    assert components_asked(images(N_VILLAGES).with_block(made)) == asked
    assert components_asked(made.take([3, 4])) == asked
    averaged = dataclasses.replace(made, recipe={"averaged": dict(made.recipe), "draws": 4})
    assert components_asked(averaged) == asked


@pytest.mark.parametrize("made", [None, images(N_VILLAGES), features(None)], ids=["none", "table", "unsaid"])
def test_features_that_do_not_say(made):
    assert components_asked(made) == {}


def test_each_size_becomes_its_own_components_of_the_training_rows():
    made = features(3)
    asked = design(by_village(), features=made)
    train = asked.table.image_keys < 16
    found = ColumnReducer(pca=50, seed=0, by_block=True).fit(asked, train).transform(asked, ~train)
    expected = []
    for start, stop in asked.table.feature_blocks.values():
        block = asked.table.features[:, start:stop].astype(float)
        scaler = StandardScaler().fit(block[train])
        pca = PCA(3, svd_solver="full").fit(scaler.transform(block[train]))
        expected.append(pca.transform(scaler.transform(block[~train])))
    assert found.shape == ((~train).sum(), 2 + 6)
    np.testing.assert_allclose(found[:, 2:], np.concatenate(expected, axis=1), atol=1e-8)


def test_other_blocks_keep_the_default_and_none_leaves_all_as_they_are():
    made = features(3, sizes=("480m",)).with_block(images(N_VILLAGES))
    asked, everyone = design(by_village(), covariates=[], features=made), np.arange(120)

    def width(**how):
        return ColumnReducer(seed=0, **how).fit(asked, everyone).transform(asked, everyone).shape[1]

    raw = made.blocks["image_stats_480m"][1]
    assert width(pca=5, by_block=True) == 3 + 5
    assert width(pca=5) == 5 + 5
    assert width(pca=None, by_block=True) == raw + 6
    assert width(pca=2, by_block=True) == 3 + 2
    alone = design(by_village(), covariates=[], features=made.select("image_stats_480m"))
    reducer = ColumnReducer(pca=5, seed=0, by_block=True).fit(alone, everyone)
    assert reducer.transform(alone, everyone).shape[1] == 3


def test_strange_pictures_of_a_fold_move_no_other_prediction_in_it():
    """Components that predict a fold are learned on the others, so only their own pictures move units of it."""
    made = features(2)
    asked = design(by_village(), features=made)
    folds = ec.Folds(k=3).assign(asked, seed=1)
    before = cross_fit(asked, folds, FAST, seed=0)
    strange = np.unique(asked.table.image_keys[folds == 0])[::2]
    moved = design(by_village(), features=changed(made, strange, 7.0))
    after = cross_fit(moved, folds, FAST, seed=0)
    own = np.isin(asked.table.image_keys, strange)
    for name in ("outcome_control", "outcome_treated", "propensity"):
        one, two = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one[(folds == 0) & ~own], two[(folds == 0) & ~own])
        assert (one[own] != two[own]).all()
        assert (one[folds == 1] != two[folds == 1]).all()


@pytest.mark.parametrize("reduce", [2, 4])
def test_average_effects_are_those_of_the_same_number_for_all(reduce):
    table = by_village()
    said = ec.ate(design(table, features=features(reduce)), learners=FAST)
    same = ec.Learners(outcome=FAST.outcome, propensity=FAST.propensity, pca=reduce)
    plain = ec.ate(design(table, features=features(None)), learners=same)
    assert said.estimate == plain.estimate
    assert said.estimate != ec.ate(design(table, features=features(None)), learners=FAST).estimate
    assert said.provenance["components_asked"] == {"image_stats_480m": reduce, "image_stats_960m": reduce}
    assert "components_asked" not in plain.provenance


def test_forests_split_on_these_components():
    from eocausal.effects.effect_learners import effect_sample
    from eocausal.nuisance.settings import settings_for

    asked = design(by_village(), features=features(3))
    settings = settings_for(asked, folds=None, learners=FAST, seed=0)
    model = ec.Forest(trees=8, n_jobs=1).fit(effect_sample(asked, settings), seed=0)
    assert model.reducer.transform(asked, np.arange(5)).shape == (5, 2 + 3 + 3)
