"""Sums of scores in strata under hidden bias, against every unseen variable of 0 and 1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eocausal.sensitivities.signed_rank_bounds import signed_rank_extremes, signed_ranks
from eocausal.sensitivities.strata_bounds import (
    Strata,
    _exact_moments,
    _large_moments,
    strata_of,
    sum_extremes,
)


def world(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four strata of two to five units, some with several treated and several controls."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), rng.integers(2, 6, size=4))
    treated = np.zeros(labels.size, dtype=bool)
    for one in range(4):
        rows = np.flatnonzero(labels == one)
        treated[rng.choice(rows, rng.integers(1, rows.size), replace=False)] = True
    scores = rng.normal(size=labels.size)
    return labels, treated, scores.round() if ties else scores


def moments_by_unseen(scores: np.ndarray, strata: Strata, gamma: float) -> list[np.ndarray]:
    """Return for each stratum the mean and variance of the sum under every u in {0, 1}^size, by enumeration."""
    found = []
    for block in strata.blocks:
        for rows, m in zip(block.rows, block.n_treated):
            draws = list(itertools.combinations(range(rows.size), int(m)))
            sums = np.array([scores[rows[list(draw)]].sum() for draw in draws])
            moments = []
            for unseen in itertools.product((0, 1), repeat=rows.size):
                weights = np.array([gamma ** sum(unseen[place] for place in draw) for draw in draws])
                weights /= weights.sum()
                mean = weights @ sums
                moments.append((mean, weights @ (sums - mean) ** 2))
            found.append(np.unique(np.round(moments, 12), axis=0))
    return found


@pytest.mark.parametrize("ties", [False, True])
def test_no_unseen_variable_does_worse(ties: bool) -> None:
    n_above = 0
    for seed in range(16):
        labels, treated, scores = world(seed, ties=ties)
        gamma = 1.2 + 0.2 * seed
        strata = strata_of(labels, treated)
        found = sum_extremes(scores, strata, gamma)
        tables = moments_by_unseen(scores, strata, gamma)
        assert found.statistic == pytest.approx(scores[treated].sum())
        if found.statistic > sum(table[:, 0].max() for table in tables):
            n_above += 1
            worst = min(
                (found.statistic - sum(one[0] for one in choice)) / np.sqrt(sum(one[1] for one in choice))
                for choice in itertools.product(*tables)
                if sum(one[1] for one in choice) > 0
            )
            assert found.above_most == pytest.approx(worst, abs=1e-6)
        else:
            assert found.most == pytest.approx(sum(table[:, 0].max() for table in tables))
            # among levels with the largest mean, the one with the largest variance
            widest = sum(table[table[:, 0] > table[:, 0].max() - 1e-9, 1].max() for table in tables)
            assert found.most_variance == pytest.approx(widest, abs=1e-9)
        if found.statistic >= sum(table[:, 0].min() for table in tables):
            assert found.least == pytest.approx(sum(table[:, 0].min() for table in tables))
    assert n_above >= 2


def test_pairs_are_strata_of_two() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, 30)
    ranks = signed_ranks(differences)
    # in each pair the larger outcome has the rank and the other nothing
    scores = np.column_stack(
        [np.where(differences > 0, ranks, 0), np.where(differences < 0, ranks, 0)]
    ).ravel()
    treated = np.tile([True, False], 30)
    strata = strata_of(np.repeat(np.arange(30), 2), treated)
    for gamma in (1.0, 1.4, 3.0):
        by_strata, by_ranks = sum_extremes(scores, strata, gamma), signed_rank_extremes(differences, gamma)
        assert (by_strata.statistic, by_strata.most, by_strata.least) == pytest.approx(
            (by_ranks.statistic, by_ranks.most, by_ranks.least)
        )
        if gamma == 1:
            assert by_strata.most_variance == pytest.approx(by_ranks.most_variance)


def test_without_hidden_bias_it_is_a_sample_without_replacement() -> None:
    scores, treated = np.arange(9.0) ** 2, np.arange(9) < 4
    found = sum_extremes(scores, strata_of(np.zeros(9, dtype=int), treated), 1.0)
    assert found.most == pytest.approx(4 * scores.mean())
    assert found.most_variance == pytest.approx(4 * (1 - 4 / 9) * scores.var(ddof=1))
    assert found.least == pytest.approx(found.most)


def test_bounds_widen_with_gamma_and_follow_scale_and_order() -> None:
    labels, treated, scores = world(7, ties=False)
    widths = []
    for gamma in (1.0, 1.5, 2.0, 4.0):
        found = sum_extremes(scores, strata_of(labels, treated), gamma)
        widths.append((found.least, found.most))
    assert all(
        low[0] >= high[0] - 1e-12 and low[1] <= high[1] + 1e-12 for low, high in itertools.pairwise(widths)
    )
    order = np.random.default_rng(0).permutation(labels.size)
    moved = sum_extremes(5 * scores[order], strata_of(labels[order], treated[order]), 2.0)
    plain = sum_extremes(scores, strata_of(labels, treated), 2.0)
    assert moved.above_most == pytest.approx(plain.above_most)
    assert moved.above_least == pytest.approx(plain.above_least)


def test_large_strata_have_nearly_the_exact_moments() -> None:
    above = np.arange(1001.0)
    exact, near = _exact_moments(above, 300, 2.0), _large_moments(above, 300, 2.0)
    assert np.abs(exact[0] - near[0]).max() < 0.05
    inner = slice(20, -20)
    assert np.allclose(exact[1][inner], near[1][inner], rtol=0.01)
    assert np.allclose(_large_moments(above, 300, 1.0)[0], 0.3 * above)


def test_strata_of_one_arm_and_negative_labels_are_left_out() -> None:
    labels, treated = np.array([0, 0, 1, 1, -1, -1, 2]), np.array([1, 0, 1, 1, 1, 0, 0], dtype=bool)
    strata = strata_of(labels, treated)
    assert strata.n_strata == 1
    assert strata.members.tolist() == [0, 1]
    assert strata_of(labels - 3, treated).n_strata == 0
