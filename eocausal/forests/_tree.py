"""Grow one honest tree: cuts from one half of its clusters, leaves from the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled, shuffle_first, stream
from eocausal.forests._cuts import OTHER, best_cut, goes_left, pseudo_outcomes

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int32]
# candidate features of a cut, smallest leaf, fewest units on a side of the mean treatment, least share of spread,
# penalty
Rules = tuple[int, int, int, float, float]
# what is known of the units of a node, its tally; sums, counts and occupied bins of a histogram
Scratch = tuple[FloatArray, npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64], npt.NDArray[np.uint64]]

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
    for cluster in clusters:
        total += starts[cluster + 1] - starts[cluster]
    rows, place = np.empty(total, np.int32), 0
    for cluster in clusters:
        for member in range(starts[cluster], starts[cluster + 1]):
            rows[place] = members[member]
            place += 1
    rows.sort()
    return rows


@compiled
def _part(rows: RowArray, column: npt.NDArray[np.uint8], cut: int, side: int, buffer: RowArray) -> int:
    """Bring the rows left of a cut to the front, both sides in the order they had; return how many they are."""
    left, right = 0, 0
    for row in rows:
        if goes_left(column[row], cut, side):
            rows[left] = row
            left += 1
        else:
            buffer[right] = row
            right += 1
    rows[left:] = buffer[:right]
    return left


@compiled
def _leaf_means(
    rows: RowArray, outcome: FloatArray, treatment: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    out[:] = 0.0
    total = 0.0
    for row in rows:
        weight, t, y = weights[row], treatment[row], outcome[row]
        total += weight
        out[0] += weight * t
        out[1] += weight * y
        out[2] += weight * t * t
        out[3] += weight * t * y
    out /= total


@compiled
def best_of_node(
    bins: npt.NDArray[np.uint8],
    data: tuple[FloatArray, FloatArray, FloatArray],
    halves: tuple[RowArray, RowArray],
    candidates: RowArray,
    rules: Rules,
    scratch: Scratch,
) -> tuple[int, int, int]:
    """Return feature, cut and side of missing values of the best cut of a node; feature -1 where there is none."""
    outcome, treatment, weights = data
    rows, others = halves
    _, min_leaf, min_side, alpha, penalty = rules
    known, tally = scratch[0], scratch[1]
    feature, cut, side, best = -1, -1, 0, 0.0
    spread = pseudo_outcomes(rows, outcome, treatment, weights, known, tally)
    if spread <= 0:
        return feature, cut, side
    total, total_count = np.zeros(4), OTHER * np.int64(others.size)
    for place in range(rows.size):
        total_count += tally[place]
        for kind in range(4):
            total[kind] += known[place, kind]
    limits = (min_leaf, min_side, alpha * spread, penalty)
    for candidate in candidates:
        found = best_cut(bins[candidate], halves, known, tally, (total, total_count), limits, scratch[2:])
        if found[0] > best:
            best, cut, side = found
            feature = candidate
    return feature, cut, side


@compiled
def grow_tree(
    bins: npt.NDArray[np.uint8],
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
    scratch = (
        np.empty((cut_rows.size, 4)), np.empty(cut_rows.size, np.int64), np.zeros((256, 4)),
        np.zeros(256, np.int64), np.zeros(4, np.uint64),
    )  # fmt: skip
    buffer = np.empty(max(cut_rows.size, leaf_rows.size), np.int32)
    features, state = np.arange(bins.shape[0]).astype(np.int32), stream(seed, TREES, np.uint64(2 * tree + 1))
    stack = np.empty((most_leaves + 1, 5), np.int64)
    stack[0] = np.array([0, 0, cut_rows.size, 0, leaf_rows.size])
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
                bins, data, (rows, others), features[:n_candidates], rules, scratch
            )
        if feature < 0:
            nodes[node] = -1 - n_leaves
            _leaf_means(others, data[0], data[1], data[2], leaf_means[n_leaves])
            n_leaves += 1
            continue
        nodes[node] = (n_nodes << CHILD_SHIFT) | (feature << FEATURE_SHIFT) | (side << SIDE_SHIFT) | cut
        middle = start + _part(rows, bins[feature], cut, side, buffer)
        leaf_middle = leaf_start + _part(others, bins[feature], cut, side, buffer)
        stack[waiting] = np.array([n_nodes + 1, middle, stop, leaf_middle, leaf_stop])
        stack[waiting + 1] = np.array([n_nodes, start, middle, leaf_start, leaf_middle])
        waiting += 2
        n_nodes += 2
    return nodes[:n_nodes].copy(), leaf_means[:n_leaves].copy()


@compiled
def grow_one(
    bins: npt.NDArray[np.uint8],
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
    return grow_tree(bins, data, halves, rules, tree, seed)


def part_of(node: Any) -> tuple[Any, Any, Any, Any]:
    """Return left child, feature, side of missing values and cut of inner nodes."""
    return (
        node >> CHILD_SHIFT,
        (node >> FEATURE_SHIFT) & (MOST_FEATURES - 1),
        (node >> SIDE_SHIFT) & 1,
        node & 255,
    )
