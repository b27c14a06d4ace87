"""Folds part the units, keep what belongs together, and depend on ids and seed alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

import eocausal as ec
from eocausal.design import tied_groups
from eocausal.errors import EstimationError
from eocausal.nuisance.folds import deal, group_splits
from tests.studies import by_village, design, images, study


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [2, 5, 8])
def test_folds_part_the_units_and_keep_clusters_whole(seed: int, k: int) -> None:
    asked = design(by_village(seed=seed), cluster="village")
    folds = ec.Folds(k=k).assign(asked, seed=seed)
    assert set(folds.tolist()) == set(range(k))
    per_village = pd.Series(folds).groupby(asked.table.clusters).nunique()
    assert (per_village == 1).all()


def test_folds_keep_images_whole_and_chains_of_images_and_clusters() -> None:
    table = study(60, n_villages=12)
    # two households a village, and one household that lives in villages 0 and 1
    table["household"] = table["village"] * 2 + np.arange(60) % 2
    table.loc[table["village"] == 1, "household"] = table.loc[table["village"] == 0, "household"].iloc[0]
    asked = design(table, features=images(12), cluster="household")
    assert asked.groups.max() + 1 == 11
    for seed in range(5):
        folds = pd.Series(ec.Folds(k=3).assign(asked, seed=seed), index=table.index)
        assert (folds.groupby(table["village"]).agg(np.ptp) == 0).all()
        assert (folds.groupby(table["household"]).agg(np.ptp) == 0).all()
        assert np.ptp(folds[table["village"] <= 1]) == 0


def test_ties_run_through_others_by_a_walk_over_the_graph() -> None:
    rng = np.random.default_rng(5)
    cluster, image = rng.integers(0, 14, size=30), rng.integers(0, 14, size=30)
    found = tied_groups([cluster, image], ids=np.arange(30))
    reached = np.eye(30, dtype=bool)
    link = (cluster[:, None] == cluster) | (image[:, None] == image)
    for _ in range(30):
        reached = (reached.astype(int) @ link) > 0
    np.testing.assert_array_equal(found[:, None] == found, reached)
    # codes follow the smallest id of each group
    first = [int(np.flatnonzero(found == code)[0]) for code in range(found.max() + 1)]
    assert first == sorted(first)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    table = by_village(seed=seed)
    order = np.random.default_rng(seed).permutation(len(table))
    for options in ({}, {"cluster": "village"}, {"features": images()}):
        straight = ec.Folds().assign(design(table, **options), seed=seed)
        shuffled = ec.Folds().assign(design(table.iloc[order], **options), seed=seed)
        np.testing.assert_array_equal(shuffled, straight[order])


def test_the_seed_decides_and_other_random_numbers_do_not() -> None:
    asked = design(study())
    first = ec.Folds().assign(asked, seed=3)
    np.random.seed(99)  # noqa: NPY002 - the point is that it does not matter
    np.testing.assert_array_equal(ec.Folds().assign(asked, seed=3), first)
    assert (ec.Folds().assign(asked, seed=4) != first).any()


@pytest.mark.parametrize("seed", range(6))
def test_folds_have_like_numbers_of_both_arms(seed: int) -> None:
    table = study(103, seed=seed)
    folds = ec.Folds(k=5).assign(design(table), seed=seed)
    for arm in (0, 1):
        counts = np.bincount(folds[table["grant"] == arm], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_few_treated_villages_are_spread() -> None:
    groups = np.arange(20)
    treatment = np.zeros(20)
    treatment[:5] = 1
    for seed in range(10):
        folds = deal(groups, treatment, k=5, seed=seed)
        assert sorted(folds[:5].tolist()) == [0, 1, 2, 3, 4]


def test_inner_splits_keep_groups_whole_and_shrink_to_their_number() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2])
    splits = group_splits(groups, k=4)
    assert len(splits) == 3
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])


def test_what_cannot_be_dealt_is_said() -> None:
    table = by_village(n_villages=4)
    with pytest.raises(
        EstimationError, match=r"5 folds were asked for, but there are 4 groups[\s\S]*Folds\(k=4\)"
    ):
        ec.Folds().assign(design(table, cluster="village"), seed=0)
    with pytest.raises(
        EstimationError, match=r"'random' would part units[\s\S]*120 units, 4 groups[\s\S]*'cluster'"
    ):
        ec.Folds("random", k=2).assign(design(table, cluster="village"), seed=0)
    with pytest.raises(EstimationError, match=r"kind='spatial' is not known[\s\S]*cluster, random"):
        ec.Folds("spatial")
    for k in (1, 0, 2.5, "5"):
        with pytest.raises(EstimationError, match="whole number of at least 2"):
            ec.Folds(k=k)


def test_random_folds_are_the_same_where_nothing_is_shared() -> None:
    asked = design(study())
    np.testing.assert_array_equal(ec.Folds("random").assign(asked, seed=1), ec.Folds().assign(asked, seed=1))


def test_whole_numbers_of_numpy_are_numbers_of_folds() -> None:
    assert set(ec.Folds(k=np.int64(4)).assign(design(study()), seed=0)) == {0, 1, 2, 3}


def test_units_that_are_all_tied_are_told_so() -> None:
    table = study(60, n_villages=12).assign(household=np.arange(60) // 2)
    with pytest.raises(EstimationError, match=r"there are 1 groups[\s\S]*all units are tied together"):
        ec.Folds(k=2).assign(design(table, features=images(12), cluster="household"), seed=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 6))
def test_inner_splits_are_those_of_scikit_learn(seed: int, n_groups: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.r_[rng.integers(0, n_groups, size=rng.integers(2, 150)), n_groups, n_groups + 1] * 3
    found = group_splits(groups, k=k)
    expected = list(GroupKFold(min(k, np.unique(groups).size)).split(groups, groups=groups))
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(EstimationError, match=r"(?s)all tied together.*at least 2 groups"):
        group_splits(np.zeros(4, dtype=np.intp), k=4)
