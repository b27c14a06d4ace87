"""Means over the units that rank highest."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.evaluate.toc import grouped, rank, toc_of
from eocausal.evaluate.top_shares import ranks_from_top, top_members, top_totals

SHARES = np.array([0.05, 0.25, 0.5, 1.0])


def _drawn(n: int = 300, seed: int = 0, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    priority = rng.integers(0, 7, n).astype(float) if ties else rng.normal(size=n)
    return priority + rng.normal(size=n), priority, rng.uniform(0.3, 3.0, n)


def test_members_take_the_unit_that_straddles_a_cut_by_part() -> None:
    members = top_members(np.array([5.0, 4.0, 3.0]), np.array([1.0, 2.0, 1.0]), np.array([0.5]))
    assert members[:, 0].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("ties", [False, True])
def test_members_weigh_exactly_the_share_and_ties_are_alike(ties: bool) -> None:
    _, priority, weights = _drawn(ties=ties)
    members = top_members(priority, weights, SHARES)
    np.testing.assert_allclose(weights @ members / weights.sum(), SHARES, rtol=1e-12)
    for value in np.unique(priority):
        assert np.ptp(members[priority == value], axis=0).max() == 0
    order = np.argsort(priority)
    assert (np.diff(members[order], axis=0) >= 0).all()


def test_one_priority_for_all_makes_every_unit_a_member_by_the_share() -> None:
    members = top_members(np.zeros(9), np.ones(9), SHARES)
    np.testing.assert_allclose(members, np.tile(SHARES, (9, 1)))


def test_ranks_are_middles_of_shares() -> None:
    assert ranks_from_top(np.array([1.0, 3.0, 1.0]), np.array([1.0, 2.0, 1.0])).tolist() == [0.75, 0.25, 0.75]


@pytest.mark.parametrize("ties", [False, True])
def test_the_total_less_its_share_of_all_is_the_toc_times_the_share(ties: bool) -> None:
    value, priority, weights = _drawn(ties=ties)
    found = top_totals(value, priority, weights=weights, folds=np.zeros(300, dtype=int), shares=SHARES)
    toc = toc_of(grouped(rank(priority), value, weights), SHARES)
    average = np.average(value, weights=weights)
    np.testing.assert_allclose(found.values - SHARES * average, SHARES * toc, atol=1e-12)


def test_folds_are_ranked_by_themselves_and_averaged_by_weight() -> None:
    value, priority, weights = _drawn()
    folds = np.arange(300) % 3
    moved = priority + 100.0 * folds
    found = top_totals(value, moved, weights=weights, folds=folds, shares=SHARES)
    parts = []
    for fold in range(3):
        rows = folds == fold
        alone = top_totals(
            value[rows], priority[rows], weights=weights[rows], folds=folds[rows], shares=SHARES
        )
        parts.append(alone.values * weights[rows].sum() / weights.sum())
        scale = rows.sum() / 300 * weights.sum() / weights[rows].sum()
        # centred over all folds, so that a fold's own mean stays in it
        apart = (alone.values - found.values) * (rows.sum() * weights[rows] / weights[rows].sum())[:, None]
        np.testing.assert_allclose(found.scores[rows] * scale, alone.scores + apart, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.values, sum(parts), rtol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_influence_values_are_centred_and_need_no_cut_where_all_are_above_it(ties: bool) -> None:
    value, priority, weights = _drawn(ties=ties)
    scores = top_totals(value, priority, weights=weights, folds=np.arange(300) % 3, shares=SHARES).scores
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=1e-9)
    mean = np.average(value, weights=weights)
    np.testing.assert_allclose(scores[:, -1], 300 * weights / weights.sum() * (value - mean), atol=1e-9)


def test_influence_values_hold_that_the_cut_is_estimated() -> None:
    rng = np.random.default_rng(8)
    n, shares = 500, np.array([0.25])
    totals, errors, naive = [], [], []
    for _ in range(400):
        priority = rng.normal(size=n)
        value = 3 * priority + rng.normal(size=n)
        found = top_totals(value, priority, weights=np.ones(n), folds=np.zeros(n, dtype=int), shares=shares)
        totals.append(found.values[0])
        errors.append(found.scores[:, 0].std() / np.sqrt(n))
        naive.append((value * top_members(priority, np.ones(n), shares)[:, 0]).std() / np.sqrt(n))
    # E[3 z 1{z above its upper quartile}] = 3 phi(0.6745)
    assert np.mean(totals) == pytest.approx(3 * 0.3177766, abs=4 * np.std(totals) / 20)
    assert np.mean(errors) == pytest.approx(np.std(totals), rel=0.1)
    assert abs(np.mean(naive) / np.std(totals) - 1) > 0.15
