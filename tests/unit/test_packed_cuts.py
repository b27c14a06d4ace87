"""Cuts by sums packed in words against exact sums, and bins by a ladder of edges against a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eocausal.forests import _tree
from eocausal.forests._cuts import exact_best, goes_left, holds, pseudo_outcomes
from eocausal.forests.bins import bin_edges

UNITS = 6000


def _node(n_rows: int, n_others: int, *, share: float, missing: float, weighted: bool) -> tuple[Any, ...]:
    """Return bins, data and halves of a node whose first column matters, with treatment of a share of units."""
    rng = np.random.default_rng(n_rows)
    columns = rng.normal(size=(UNITS, 5))
    columns[:, 1] = np.round(columns[:, 1])
    columns[:, 2] = rng.uniform(size=UNITS) < 0.3
    treatment = (rng.uniform(size=UNITS) < share) - share
    outcome = treatment * (columns[:, 0] > 0.5) + rng.normal(size=UNITS)
    columns[rng.uniform(size=columns.shape) < missing] = np.nan
    weights = rng.uniform(0.3, 3, UNITS) if weighted else np.empty(0)
    order = rng.permutation(UNITS).astype(np.int32)
    halves = np.sort(order[:n_rows]), np.sort(order[n_rows : n_rows + n_others])
    edges = bin_edges(columns)
    n_bins = np.array([len(values) + 2 for values in edges.edges])
    return edges.codes_by_column(columns), n_bins, (outcome, treatment, weights), halves


def _gain(known: np.ndarray, left: np.ndarray) -> float:
    return sum(known[part, 0].sum() ** 2 / known[part, 1].sum() for part in (left, ~left))


@pytest.mark.parametrize(("n_rows", "n_others"), [(30, 30), (127, 127), (128, 90), (300, 700), (3000, 2500)])
@pytest.mark.parametrize("share", [0.5, 0.05])
@pytest.mark.parametrize(("missing", "weighted"), [(0.0, False), (0.1, True)])
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.25])
def test_packed_sums_find_the_cut_of_exact_ones(
    n_rows: int, n_others: int, share: float, missing: float, weighted: bool, alpha: float
) -> None:
    bins, n_bins, data, halves = _node(n_rows, n_others, share=share, missing=missing, weighted=weighted)
    candidates, scratch = np.arange(5).astype(np.int32), _tree.scratch_of(n_rows, weighted)
    rules = (5, 5, 2, alpha, 0.0)
    found = _tree.best_of_node(bins, n_bins, data, halves, candidates, rules, scratch)
    known = np.empty((n_rows, 4))
    limits = (5, 2, alpha * pseudo_outcomes(halves[0], *data, known), 0.0)
    exact = exact_best(bins, halves, candidates, known, limits, _tree.scratch_of(n_rows, weighted)[1])
    assert (found[0] < 0) == (exact[0] < 0)
    if found[0] < 0:
        return
    gains = []
    for feature, cut, side in (found, exact):
        column = bins[feature, halves[0]]
        gains.append(_gain(known, np.array([goes_left(bin_, cut, side) for bin_ in column], bool)))
    assert gains[0] == pytest.approx(gains[1], rel=1e-6)
    assert holds(bins[found[0]], halves, known, found[1], found[2], limits)[0]


def test_a_cut_that_leaves_too_few_of_the_other_half_gives_way_to_the_best_that_does_not() -> None:
    # large nodes do not count the other half while cuts are sought: here none of it lies above the best cut
    bins, n_bins, (outcome, treatment, weights), halves = _node(
        2000, 2000, share=0.5, missing=0, weighted=False
    )
    rows, others = halves
    bins[0, others] = np.minimum(bins[0, others], 100)
    bins[1:, :] = 1
    outcome = 5 * treatment * (bins[0] > 150)
    outcome[rows] += np.random.default_rng(0).normal(scale=0.1, size=len(rows))
    scratch, candidates = _tree.scratch_of(2000, False), np.arange(5).astype(np.int32)
    data = (outcome, treatment, weights)
    feature, cut, _ = _tree.best_of_node(
        bins, n_bins, data, halves, candidates, (5, 5, 2, 0.05, 0.0), scratch
    )
    assert feature == 0
    assert cut < 100
    assert np.sum(bins[0, others] > cut) >= 5


def test_scratch_may_be_used_again() -> None:
    bins, n_bins, data, halves = _node(500, 500, share=0.5, missing=0.1, weighted=True)
    candidates, used = np.arange(5).astype(np.int32), _tree.scratch_of(500, True)
    for size in (500, 40, 300, 20, 500):
        parts = halves[0][:size].copy(), halves[1][:size].copy()
        for rules in ((5, 5, 2, 0.05, 0.0), (5, 5, 2, 0.05, 0.01)):
            again = _tree.best_of_node(bins, n_bins, data, parts, candidates, rules, used)
            fresh = _tree.scratch_of(500, True)
            assert again == _tree.best_of_node(bins, n_bins, data, parts, candidates, rules, fresh)


@pytest.mark.parametrize("kind", [float, np.float32])
def test_bins_of_many_values_are_those_of_a_search(kind: type) -> None:
    rng = np.random.default_rng(0)
    columns = np.asfortranarray(rng.normal(size=(3000, 4)).astype(kind))
    columns[:, 1] = np.round(columns[:, 1], 1)
    columns[::7, 2] = np.nan
    columns[:, 3] = 1
    found = bin_edges(columns)
    for place, edges in enumerate(found.edges):
        column = columns[:, place].astype(float)
        expected = np.where(np.isnan(column), 0, np.searchsorted(edges, column) + 1)
        np.testing.assert_array_equal(found.codes_by_column(columns)[place], expected)
    np.testing.assert_array_equal(found.codes(columns), found.codes_by_column(columns).T)
