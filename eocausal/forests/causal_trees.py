"""An honest causal forest of compiled trees, on outcome and treatment that were centred out of fold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import whole_number
from eocausal.errors import EstimationError, explain
from eocausal.forests.bins import Bins, bin_edges

FloatArray = npt.NDArray[np.float64]

# rows that are predicted together: the leaves of all trees for them stay in a cache of the processor
ROWS_AT_ONCE = 256
# a node counts its units of each half in 21 bits
MOST_ROWS = 2_000_000
# cuts at these depths count for the importance of a feature, by one over the square of the depth
IMPORTANT_DEPTHS = 4


@dataclass(frozen=True)
class TreeRules:
    """How trees are drawn and grown.

    Parameters
    ----------
    trees : int
        A multiple of ``trees_per_bag``.
    min_leaf : int
        Smallest number of units in a leaf, in each honest half.
    min_side : int
        Fewest of them on either side of the node's mean treatment, in the half that makes the cuts.
    sample_share : float
        Share of the clusters that a tree draws from the half sample of its bag, at most 0.5.
    candidates : int or None
        Features that are tried at each cut, drawn anew for each; ``None`` tries all, which finds far more where few
        of many columns matter, and about as much where all carry the same directions, as in features of images.
    alpha : float
        Least share of a node's spread of treatment in each child.
    penalty : float
        Penalty on children with little spread of treatment.
    trees_per_bag : int
    threads : int
        The result does not depend on it; -1 uses every core.
    """

    trees: int = 2000
    min_leaf: int = 5
    min_side: int = 2
    sample_share: float = 0.5
    candidates: int | None = None
    alpha: float = 0.05
    penalty: float = 0.0
    trees_per_bag: int = 2
    threads: int = -1

    def __post_init__(self) -> None:
        for name in ("trees", "min_leaf", "min_side", "candidates", "trees_per_bag"):
            if getattr(self, name) is not None or name != "candidates":
                whole_number(getattr(self, name), argument=name, error=EstimationError, least=1)
        if self.trees % self.trees_per_bag:
            raise EstimationError(
                explain(f"trees={self.trees}.", rule=f"a multiple of trees_per_bag={self.trees_per_bag}")
            )
        for name, low, high in (("sample_share", 0, 0.5), ("alpha", -1e-9, 0.25), ("penalty", -1e-9, np.inf)):
            if not low < getattr(self, name) <= high:
                raise EstimationError(
                    explain(f"{name}={getattr(self, name)}.", rule=f"from {max(low, 0)} to {high}")
                )


@dataclass(frozen=True, eq=False)
class CausalTrees:
    """A grown forest. Made by :func:`grow_causal_trees`.

    Attributes
    ----------
    rules : TreeRules
    bins : Bins
    nodes : array of int64
        Nodes of all trees, one after another (``_tree.py`` says what a node is).
    node_starts, leaf_starts : array of shape (trees + 1,)
    leaf_means : array of shape (leaves, 4)
        Means of treatment, outcome, treatment squared and treatment times outcome.
    drawn : array of uint8, shape (bags, clusters / 8)
        Which clusters are in the half sample of each bag, a bit each.
    """

    rules: TreeRules
    bins: Bins
    nodes: npt.NDArray[np.int64]
    node_starts: npt.NDArray[np.int64]
    leaf_means: FloatArray
    leaf_starts: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.uint8]

    def predict(self, columns: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for rows that are new to the forest.

        The effect is the slope of outcome on treatment under the weights that the forest gives to units near the
        row (Athey, Tibshirani and Wager 2019, section 2), the error is from bags of little trees (section 4).

        Parameters
        ----------
        columns : array of shape (n, p)
        """
        return self._ask(columns, np.full(len(columns), -1))

    def out_of_bag(
        self, columns: npt.NDArray[Any], groups: npt.NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the training rows, from bags that drew none of their group.

        Parameters
        ----------
        columns : array of shape (n, p)
        groups : array of shape (n,)
            The codes that the forest was grown with, 0, 1, ...
        """
        codes = np.asarray(groups, np.int64)
        if codes.shape != (len(columns),) or codes.min() < 0 or codes.max() >= 8 * self.drawn.shape[1]:
            raise EstimationError(
                explain(
                    f"Groups of shape {codes.shape} for {len(columns)} rows, or other codes than in training.",
                    rule="the codes that the forest was grown with",
                )
            )
        return self._ask(columns, codes)

    def _ask(self, columns: npt.NDArray[Any], groups: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        from eocausal.forests._leaves import effects_of_rows

        grown = (self.nodes, self.node_starts, self.leaf_means, self.leaf_starts)
        effect, variance = np.empty(len(columns)), np.empty(len(columns))

        def ask(first: int) -> None:
            rows = slice(first, first + ROWS_AT_ONCE)
            codes = self.bins.codes(columns[rows])
            per_bag = self.rules.trees_per_bag
            effects_of_rows(codes, groups[rows], self.drawn, grown, per_bag, effect[rows], variance[rows])

        for _ in _in_threads(ask, range(0, len(columns), ROWS_AT_ONCE), self.rules.threads):
            pass
        if np.isnan(effect).any():
            raise EstimationError(
                explain(
                    f"{int(np.isnan(effect).sum())} units whose group every bag drew, or whose treatment is one.",
                    fix="more trees",
                )
            )
        return effect, np.sqrt(variance)

    def importance(self) -> FloatArray:
        """Return how much of the forest cuts on each column (p,), summing to one.

        The share of cuts at depths 1 to 4, weighted by one over the square of the depth.
        """
        from eocausal.forests._tree import part_of

        shares = np.zeros(len(self.bins.edges))
        at = self.node_starts[:-1].copy()
        firsts = at.copy()
        for depth in range(1, IMPORTANT_DEPTHS + 1):
            inner = self.nodes[at] >= 0
            at, firsts = at[inner], firsts[inner]
            if not len(at):
                break
            child, feature, _, _ = part_of(self.nodes[at])
            shares += np.bincount(feature, minlength=len(shares)) / len(at) / depth**2
            at, firsts = np.r_[firsts + child, firsts + child + 1], np.r_[firsts, firsts]
        return shares / shares.sum() if shares.sum() > 0 else shares


def grow_causal_trees(
    columns: npt.NDArray[Any],
    outcome: FloatArray,
    treatment: FloatArray,
    *,
    weights: FloatArray | None = None,
    groups: npt.NDArray[np.intp] | None = None,
    rules: TreeRules | None = None,
    seed: int = 0,
) -> CausalTrees:
    """Grow an honest causal forest.

    Athey, Tibshirani and Wager (2019), Annals of Statistics 47: cuts maximise the differences of pseudo-outcomes of
    the children, clusters are drawn without replacement, half of those that a tree draws make its cuts and the
    other half fill its leaves. Trees draw by position: rows in the same order give the same bytes.

    Parameters
    ----------
    columns : array of shape (n, p)
        Numbers of any float type; NaN is missing, and is tried on both sides of each cut.
    outcome, treatment : array of shape (n,)
        Less what is expected of them, out of fold.
    weights : array of shape (n,), optional
        Positive.
    groups : array of shape (n,), optional
        Codes 0, 1, ... of what is drawn together; default every row by itself.
    rules : TreeRules, optional
    seed : int

    Returns
    -------
    CausalTrees

    Raises
    ------
    EstimationError
        Fewer than eight groups, arrays of different lengths, or numbers that are missing where none may be.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> columns, treatment = rng.normal(size=(400, 2)), rng.choice([-0.5, 0.5], size=400)
    >>> outcome = 2 * treatment * (columns[:, 0] > 0) + 0.1 * rng.normal(size=400)
    >>> forest = grow_causal_trees(columns, outcome, treatment, rules=TreeRules(trees=100))
    >>> effect, _ = forest.predict(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    >>> effect.round().tolist()
    [0.0, 2.0]
    """
    from eocausal.forests._tree import MOST_FEATURES, grow_one

    rules = TreeRules() if rules is None else rules
    n, p = columns.shape
    given = np.ones(n) if weights is None else np.asarray(weights, float)
    codes = np.arange(n) if groups is None else np.asarray(groups)
    left, moved, weight = (np.ascontiguousarray(values, float) for values in (outcome, treatment, given))
    _check((left, moved, weight), n, p, MOST_FEATURES)
    # where all weights are one there are none
    data = (left, moved, weight / weight.mean() if np.ptp(weight) > 0 else np.empty(0))
    n_groups, half, drawn = _group_counts(codes, n, rules)
    edges = bin_edges(columns)
    by_feature = edges.codes_by_column(columns)
    members = np.argsort(codes, kind="stable").astype(np.int32)
    starts = np.r_[0, np.cumsum(np.bincount(codes, minlength=n_groups))].astype(np.int64)
    candidates = p if rules.candidates is None else min(rules.candidates, p)
    sizes, limits = (
        (half, drawn, rules.trees_per_bag),
        (candidates, rules.min_leaf, rules.min_side, rules.alpha, rules.penalty),
    )
    key = np.uint64(seed % 2**64)
    n_bins = np.array([len(values) + 2 for values in edges.edges], np.int64)

    def grow(tree: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
        return grow_one(by_feature, n_bins, data, (starts, members), sizes, limits, tree, key)

    nodes, means, lengths = _joined(_in_threads(grow, range(rules.trees), rules.threads), rules.trees)
    return CausalTrees(
        rules=rules,
        bins=edges,
        nodes=nodes,
        node_starts=_starts([length for length, _ in lengths]),
        leaf_means=means,
        leaf_starts=_starts([length for _, length in lengths]),
        drawn=_half_samples(n_groups, half, rules, key),
    )


def _joined(
    grown: Iterator[tuple[npt.NDArray[np.int64], FloatArray]], count: int
) -> tuple[npt.NDArray[np.int64], FloatArray, list[tuple[int, int]]]:
    """Return nodes and leaf means of all trees, one after another, and how many there are of each by tree.

    Each tree is let go as soon as it is copied, so that a forest is not held twice.
    """
    first = next(grown)
    # memory that is not written on is not taken
    nodes = np.empty(int(1.2 * count * len(first[0])), np.int64)
    means = np.empty((int(1.2 * count * len(first[1])), first[1].shape[1]))
    lengths, ends = [], (0, 0)
    for tree, leaves in chain([first], grown):
        ends, starts = (ends[0] + len(tree), ends[1] + len(leaves)), ends
        nodes, means = _with_room(nodes, ends[0]), _with_room(means, ends[1])
        nodes[starts[0] : ends[0]], means[starts[1] : ends[1]] = tree, leaves
        lengths.append((len(tree), len(leaves)))
    return nodes[: ends[0]], means[: ends[1]], lengths


def _with_room(values: npt.NDArray[Any], needed: int) -> npt.NDArray[Any]:
    if needed <= len(values):
        return values
    larger = np.empty((needed * 5 // 4, *values.shape[1:]), values.dtype)
    larger[: len(values)] = values
    return larger


def _check(data: Sequence[FloatArray], n: int, p: int, most: int) -> None:
    """Refuse arrays that do not fit together."""
    for name, values in zip(("outcome", "treatment", "weights"), data):
        if values.shape != (n,) or not np.isfinite(values).all():
            raise EstimationError(
                explain(
                    f"{name} of shape {values.shape} for {n} rows.", rule="one finite number for each row"
                )
            )
    if (data[2] <= 0).any():
        raise EstimationError(explain("Weights that are zero or less.", rule="positive weights"))
    if n > MOST_ROWS:
        raise EstimationError(explain(f"{n} rows.", rule=f"at most {MOST_ROWS}, so that counts fit"))
    if not 0 < p < most:
        raise EstimationError(explain(f"{p} columns to split on.", rule=f"1 to {most - 1}"))


def _group_counts(codes: npt.NDArray[Any], n: int, rules: TreeRules) -> tuple[int, int, int]:
    """Return how many groups there are, are in a half sample, and are drawn by a tree."""
    if codes.shape != (n,) or codes.min() < 0:
        raise EstimationError(
            explain(f"Groups of shape {codes.shape} for {n} rows.", rule="a code 0, 1, ... for each row")
        )
    n_groups = int(codes.max()) + 1
    half = n_groups // 2
    drawn = min(half, round(rules.sample_share * n_groups))
    if drawn < 4:
        raise EstimationError(
            explain(
                f"{n_groups} groups, of which a tree would draw {drawn}.",
                rule="at least 4 a tree: half of them make its cuts, half fill its leaves",
                fix="fewer folds, or groups that are smaller",
            )
        )
    return n_groups, half, drawn


def _half_samples(n_groups: int, half: int, rules: TreeRules, key: np.uint64) -> npt.NDArray[np.uint8]:
    from eocausal.forests._tree import drawn_clusters

    n_bags = rules.trees // rules.trees_per_bag
    drawn = np.zeros((n_bags, -(-n_groups // 8)), np.uint8)
    flags = np.zeros(n_groups, bool)
    for bag in range(n_bags):
        flags[:] = False
        flags[drawn_clusters(n_groups, (half, 0), bag, 0, key)[0]] = True
        drawn[bag] = np.packbits(flags, bitorder="little")
    return drawn


def _starts(lengths: list[int]) -> npt.NDArray[np.int64]:
    starts: npt.NDArray[np.int64] = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    return starts


def _in_threads(work: Callable[[int], Any], items: Sequence[int], threads: int) -> Iterator[Any]:
    """Yield what the work gives for each item, in their order."""
    count = len(os.sched_getaffinity(0)) if threads < 0 else threads
    if count == 1 or len(items) <= 1:
        yield from map(work, items)
        return
    # what is compiled on the first call is not compiled by every thread
    yield work(items[0])
    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(work, items[1:])
