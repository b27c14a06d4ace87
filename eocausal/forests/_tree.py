"""Grow one honest tree: cuts from one half of its clusters, leaves from the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled, shuffle_first, stream
from eocausal.forests._cuts import Exact, exact_best, goes_left, holds, pseudo_outcomes
from eocausal.forests._packed import Histogram, Units, packed_best

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int32]
# candidate features of a cut, smallest leaf, fewest units on a side of the mean treatment, least share of spread,
# penalty
Rules = tuple[int, int, int, float, float]
# what is known of the units of a node, what exact sums are written on, words of the units, sums of them by bin
Scratch = tuple[FloatArray, Exact, Units, Histogram]

BAGS, TREES = np.uint64(1), np.uint64(2)
# A node is one word: the left child in the upper bits (the right one follows it), then the feature, the side of
# missing values, the cut. A leaf is negative: -1 minus its number.
CHILD_SHIFT, FEATURE_SHIFT, SIDE_SHIFT = 33, 9, 8
MOST_FEATURES = 1 << (CHILD_SHIFT - FEATURE_SHIFT)
# means in a leaf: treatment, outcome, treatment squared, treatment times outcome
N_MEANS = 4


@compiled
def drawn_clusters(
    n_clusters: int, sizes: tuple[int, int], bag: int, tree: int, seed: np.uint64
) -> tuple[RowArray, RowArray]:
    """Return the half sample of a bag, and what one of its trees draws from it; both without replacement."""
    half, drawn = sizes
    clusters = np.arange(n_clusters).astype(np.int32)
    shuffle_first(clusters, half, stream(seed, BAGS, np.uint64(bag)))
    own = clusters[:half].copy()
    shuffle_first(own, drawn, stream(seed, TREES, np.uint64(2 * tree)))
    return clusters[:half], own[:drawn]


@compiled
def rows_of(clusters: RowArray, starts: npt.NDArray[np.int64], members: RowArray) -> RowArray:
    """Return the rows of some clusters, in rising order."""
    total = 0
    chosen = np.zeros(members.size, np.uint8)
    for cluster in clusters:
        total += starts[cluster + 1] - starts[cluster]
        for member in range(starts[cluster], starts[cluster + 1]):
            chosen[members[member]] = 1
    rows, place = np.empty(total + 1, np.int32), 0
    for row in range(chosen.size):
        rows[place] = row
        place += chosen[row]
    return rows[:total]


@compiled
def _part(rows: RowArray, column: npt.NDArray[np.uint8], cut: int, side: int, buffer: RowArray) -> int:
    """Bring the rows left of a cut to the front, both sides in the order they had; return how many they are."""
    left, right = 0, 0
    for row in rows:
        goes = int(goes_left(column[np.uint32(row)], cut, side))
        rows[left] = row
        buffer[right] = row
        left += goes
        right += 1 - goes
    rows[left:] = buffer[:right]
    return left


@compiled
def _leaf_means(
    rows: RowArray, outcome: FloatArray, treatment: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    out[:] = 0.0
    total = 0.0
    for row in rows:
        t, y = treatment[np.uint32(row)], outcome[np.uint32(row)]
        weight = weights[np.uint32(row)] if weights.size > 0 else 1.0
        total += weight
        out[0] += weight * t
        out[1] += weight * y
        out[2] += weight * t * t
        out[3] += weight * t * y
    out /= total


@compiled
def scratch_of(n_rows: int, weighs: bool) -> Scratch:
    """Return what the search for cuts writes on, for nodes of at most so many rows."""
    n_weights, n_sums = (n_rows, 256) if weighs else (0, 0)
    exact = np.empty(n_rows, np.int64), np.zeros((256, 4)), np.zeros(256, np.int64), np.zeros(4, np.uint64)
    sums = (
        np.zeros(256, np.int64), np.zeros((256, 2), np.int64), np.zeros(n_sums, np.int64),
        np.zeros(256, np.uint8), np.zeros(4, np.uint64),
    )  # fmt: skip
    units = np.empty((n_rows, 2), np.int64), np.empty(n_weights, np.int64), np.zeros(3, np.int64)
    return np.empty((n_rows, 4)), exact, units, sums


@compiled
def best_of_node(
    bins: npt.NDArray[np.uint8],
    n_bins: npt.NDArray[np.int64],
    data: tuple[FloatArray, FloatArray, FloatArray],
    halves: tuple[RowArray, RowArray],
    candidates: RowArray,
    rules: Rules,
    scratch: Scratch,
) -> tuple[int, int, int]:
    """Return feature, cut and side of missing values of the best cut of a node; feature -1 where there is none."""
    rows = halves[0]
    _, min_leaf, min_side, alpha, penalty = rules
    known, exact, units, histogram = scratch
    spread = pseudo_outcomes(rows, data[0], data[1], data[2], known)
    if spread <= 0:
        return -1, -1, 0
    limits = (min_leaf, min_side, alpha * spread, penalty)
    if penalty == 0:
        feature, cut, side = packed_best(
            bins, n_bins, halves, candidates, known, (min_leaf, min_side, alpha), (units, histogram)
        )
        if feature < 0:
            return feature, cut, side
        fine, side = holds(bins[feature], halves, known, cut, side, limits)
        if fine:
            return feature, cut, side
    feature, cut, side = exact_best(bins, halves, candidates, known, limits, exact)
    if feature >= 0:
        _, side = holds(bins[feature], halves, known, cut, side, limits)
    return feature, cut, side


@compiled
def _put(stack: npt.NDArray[np.int64], place: int, values: tuple[int, int, int, int, int]) -> None:
    for kind in range(5):
        stack[place, kind] = values[kind]


@compiled
def grow_tree(
    bins: npt.NDArray[np.uint8],
    n_bins: npt.NDArray[np.int64],
    data: tuple[FloatArray, FloatArray, FloatArray],
    halves: tuple[RowArray, RowArray],
    rules: Rules,
    tree: int,
    seed: np.uint64,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the nodes of a tree, the root first, and the means of its leaves.

    ``rules`` are the candidate features of a cut, the smallest leaf, the fewest units on either side of the mean
    treatment, the least share of a node's spread of treatment that a child may have, the penalty on uneven
    children.
    """
    cut_rows, leaf_rows = halves
    n_candidates, min_leaf = rules[0], rules[1]
    most_leaves = max(1, min(cut_rows.size, leaf_rows.size) // min_leaf) + 1
    nodes, leaf_means = np.empty(2 * most_leaves, np.int64), np.empty((most_leaves, N_MEANS))
    scratch = scratch_of(cut_rows.size, data[2].size > 0)
    buffer = np.empty(max(cut_rows.size, leaf_rows.size), np.int32)
    features, state = np.arange(bins.shape[0]).astype(np.int32), stream(seed, TREES, np.uint64(2 * tree + 1))
    stack = np.empty((most_leaves + 1, 5), np.int64)
    _put(stack, 0, (0, 0, cut_rows.size, 0, leaf_rows.size))
    n_nodes, n_leaves, waiting = 1, 0, 1
    while waiting > 0:
        waiting -= 1
        node, start, stop, leaf_start, leaf_stop = stack[waiting]
        rows, others = cut_rows[start:stop], leaf_rows[leaf_start:leaf_stop]
        feature, cut, side = -1, -1, 0
        if rows.size >= 2 * max(min_leaf, 2 * rules[2]) and others.size >= 2 * min_leaf:
            if n_candidates < features.size:
                shuffle_first(features, n_candidates, state)
            feature, cut, side = best_of_node(
                bins, n_bins, data, (rows, others), features[:n_candidates], rules, scratch
            )
        if feature < 0:
            nodes[node] = -1 - n_leaves
            _leaf_means(others, data[0], data[1], data[2], leaf_means[n_leaves])
            n_leaves += 1
            continue
        nodes[node] = (n_nodes << CHILD_SHIFT) | (feature << FEATURE_SHIFT) | (side << SIDE_SHIFT) | cut
        middle = start + _part(rows, bins[feature], cut, side, buffer)
        leaf_middle = leaf_start + _part(others, bins[feature], cut, side, buffer)
        _put(stack, waiting, (n_nodes + 1, middle, stop, leaf_middle, leaf_stop))
        _put(stack, waiting + 1, (n_nodes, start, middle, leaf_start, leaf_middle))
        waiting += 2
        n_nodes += 2
    return nodes[:n_nodes].copy(), leaf_means[:n_leaves].copy()


@compiled
def grow_one(
    bins: npt.NDArray[np.uint8],
    n_bins: npt.NDArray[np.int64],
    data: tuple[FloatArray, FloatArray, FloatArray],
    clusters: tuple[npt.NDArray[np.int64], RowArray],
    sizes: tuple[int, int, int],
    rules: Rules,
    tree: int,
    seed: np.uint64,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Draw the clusters of a tree and grow it. ``sizes``: clusters in a bag, in a tree, trees in a bag."""
    starts, members = clusters
    half, drawn, per_bag = sizes
    _, own = drawn_clusters(starts.size - 1, (half, drawn), tree // per_bag, tree, seed)
    halves = (rows_of(own[: drawn // 2], starts, members), rows_of(own[drawn // 2 :], starts, members))
    return grow_tree(bins, n_bins, data, halves, rules, tree, seed)


def part_of(node: Any) -> tuple[Any, Any, Any, Any]:
    """Return left child, feature, side of missing values and cut of inner nodes."""
    return (
        node >> CHILD_SHIFT,
        (node >> FEATURE_SHIFT) & (MOST_FEATURES - 1),
        (node >> SIDE_SHIFT) & 1,
        node & 255,
    )
