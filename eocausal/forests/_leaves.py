"""What a grown forest says of new rows: effects by kernel weights, their variance by bags of little trees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled
from eocausal.forests._tree import CHILD_SHIFT, FEATURE_SHIFT, MOST_FEATURES

FloatArray = npt.NDArray[np.float64]

Grown = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64]]


@compiled
def leaf_of(nodes: npt.NDArray[np.int64], first: int, bins: npt.NDArray[np.uint8]) -> Any:
    """Return the number of the leaf that a row falls in, within its tree."""
    node = nodes[first]
    while node >= 0:
        bin_ = np.int64(bins[(node >> FEATURE_SHIFT) & (MOST_FEATURES - 1)])
        left = bin_ <= (node & 255) and (bin_ > 0 or ((node >> 8) & 1) == 0)
        node = nodes[first + (node >> CHILD_SHIFT) + (not left)]
    return -1 - node


@compiled
def in_bag(drawn: npt.NDArray[np.uint8], bag: int, cluster: int) -> Any:
    """Return whether a cluster is in the half sample of a bag; -1 stands for new rows, which are in none."""
    if cluster < 0:
        return False
    return ((drawn[bag, cluster >> 3] >> np.uint8(cluster & 7)) & 1) == 1


@compiled
def debiased(between: float, noise: float, n_bags: int) -> float:
    """Return the variance between bags less that of few trees a bag, as the mean of what is left above zero.

    The difference may fall below zero by chance. Under a flat prior above zero, its posterior is a truncated
    normal, whose mean is returned.
    """
    difference = between - noise
    scale = max(between, noise) * math.sqrt(2.0 / n_bags)
    if scale <= 0:
        return 0.0
    ratio = difference / scale
    tail = 0.5 * math.erfc(-ratio / math.sqrt(2.0))
    if tail < 1e-300:
        return 0.0
    return difference + scale * math.exp(-0.5 * ratio * ratio) / (math.sqrt(2.0 * math.pi) * tail)


@compiled
def _gather(
    bins: npt.NDArray[np.uint8],
    clusters: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.uint8],
    grown: Grown,
    per_bag: int,
) -> tuple[npt.NDArray[np.int32], FloatArray, npt.NDArray[np.int64]]:
    """Return the leaf of each row in each tree that may be asked, -1 in others; sums of leaf means; trees asked."""
    nodes, node_starts, leaf_means, leaf_starts = grown
    n_rows, n_trees = bins.shape[0], node_starts.size - 1
    leaves = np.full((n_trees, n_rows), -1, np.int32)
    sums, asked = np.zeros((n_rows, 4)), np.zeros(n_rows, np.int64)
    for tree in range(n_trees):
        for row in range(n_rows):
            if in_bag(drawn, tree // per_bag, clusters[row]):
                continue
            leaf = leaf_of(nodes, node_starts[tree], bins[row])
            leaves[tree, row] = leaf
            asked[row] += 1
            for kind in range(4):
                sums[row, kind] += leaf_means[leaf_starts[tree] + leaf, kind]
    return leaves, sums, asked


@compiled
def _pulls(
    leaves: npt.NDArray[np.int32], means: FloatArray, effect: FloatArray, grown: Grown, per_bag: int
) -> tuple[FloatArray, FloatArray]:
    """Return sums over bags, and over trees, of the squares of how far each pulls the effect of a row."""
    _, _, leaf_means, leaf_starts = grown
    n_trees, n_rows = leaves.shape
    between, within, of_bag = np.zeros(n_rows), np.zeros(n_rows), np.zeros(n_rows)
    for tree in range(n_trees):
        for row in range(n_rows):
            if leaves[tree, row] < 0:
                continue
            mean_t, mean_y, square, product = leaf_means[leaf_starts[tree] + leaves[tree, row]]
            level = means[row, 1] - effect[row] * means[row, 0]
            pull = product - effect[row] * square - level * mean_t
            pull -= means[row, 0] * (mean_y - effect[row] * mean_t - level)
            pull /= means[row, 2] - means[row, 0] * means[row, 0]
            within[row] += pull * pull
            of_bag[row] += pull / per_bag
        if (tree + 1) % per_bag == 0:
            between += of_bag * of_bag
            of_bag[:] = 0.0
    return between, within


@compiled
def effects_of_rows(
    bins: npt.NDArray[np.uint8],
    clusters: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.uint8],
    grown: Grown,
    per_bag: int,
    effect: FloatArray,
    variance: FloatArray,
) -> None:
    """Fill effect and variance of some rows from the bags whose half sample does not hold their cluster."""
    leaves, means, asked = _gather(bins, clusters, drawn, grown, per_bag)
    effect[:] = np.nan
    variance[:] = np.nan
    for row in range(effect.size):
        if asked[row] == 0:
            continue
        means[row] /= asked[row]
        mean_t, mean_y, square, product = means[row]
        if square - mean_t * mean_t > 1e-12 * square:
            effect[row] = (product - mean_t * mean_y) / (square - mean_t * mean_t)
    between, within = _pulls(leaves, means, effect, grown, per_bag)
    for row in range(effect.size):
        n_bags = asked[row] // per_bag
        if n_bags > 1 and per_bag > 1 and not np.isnan(effect[row]):
            of_bags = between[row] / n_bags
            noise = (within[row] / asked[row] - of_bags) / (per_bag - 1)
            variance[row] = debiased(of_bags, noise, n_bags)


@compiled
def leaves_of_rows(
    bins: npt.NDArray[np.uint8], nodes: npt.NDArray[np.int64], node_starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return the leaf of each row (n, trees)."""
    leaves = np.empty((bins.shape[0], node_starts.size - 1), np.int32)
    for tree in range(node_starts.size - 1):
        for row in range(bins.shape[0]):
            leaves[row, tree] = leaf_of(nodes, node_starts[tree], bins[row])
    return leaves
