"""The compiled forest against plain loops: cuts, leaves, honesty, drawing, prediction, variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eocausal.errors import EstimationError
from eocausal.forests import _tree
from eocausal.forests._cuts import pseudo_outcomes
from eocausal.forests._leaves import debiased, leaves_of_rows
from eocausal.forests.bins import bin_edges
from eocausal.forests.causal_trees import CausalTrees, TreeRules, grow_causal_trees

SEED = np.uint64(5)


def _study(n: int = 400, p: int = 4, *, seed: int = 0, missing: float = 0.0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, p))
    treatment = rng.choice([-0.5, 0.5], size=n)
    outcome = treatment * (1 + columns[:, 0]) + rng.normal(size=n)
    columns[rng.uniform(size=(n, p)) < missing] = np.nan
    return columns, outcome, treatment


def _best(
    bins: np.ndarray,
    data: tuple[np.ndarray, ...],
    rows: np.ndarray,
    others: np.ndarray,
    rules: tuple[Any, ...],
) -> tuple[int, int, int]:
    candidates = np.arange(bins.shape[0]).astype(np.int32)
    halves = rows.astype(np.int32), others.astype(np.int32)
    n_bins = np.full(len(bins), 256)
    scratch = _tree.scratch_of(len(rows), data[2].size > 0)
    return _tree.best_of_node(bins, n_bins, data, halves, candidates, rules, scratch)


def _loops(
    bins: np.ndarray,
    data: tuple[np.ndarray, ...],
    rows: np.ndarray,
    others: np.ndarray,
    rules: tuple[Any, ...],
) -> dict[frozenset[int], float]:
    """Gain of every way to part the rows by a cut of one feature, with missing values on either side."""
    outcome, treatment, weights = (values[rows] for values in data)
    _, min_leaf, min_side, alpha, penalty = rules
    away = treatment - np.average(treatment, weights=weights)
    rest = outcome - np.average(outcome, weights=weights)
    spread = np.sum(weights * away**2)
    rho = away * (rest - away * np.sum(weights * away * rest) / spread)
    gains: dict[frozenset[int], float] = {}
    for feature in range(bins.shape[0]):
        column = bins[feature, rows].astype(int)
        for cut in range(256):
            for missing_left in (True, False):
                left = np.where(column == 0, missing_left, column <= cut)
                parts = [left, ~left]
                other = bins[feature, others].astype(int)
                other_left = np.where(other == 0, missing_left, other <= cut)
                if min(other_left.sum(), (~other_left).sum()) < min_leaf:
                    continue
                if any(
                    part.sum() < min_leaf
                    or (part & (away >= 0)).sum() < min_side
                    or (part & (away < 0)).sum() < min_side
                    for part in parts
                ):
                    continue
                within = [
                    np.sum(weights[part] * (away[part] - np.average(away[part], weights=weights[part])) ** 2)
                    for part in parts
                ]
                if min(within) < alpha * spread:
                    continue
                gain = sum(np.sum((weights * rho)[part]) ** 2 / weights[part].sum() for part in parts)
                gains[frozenset(np.flatnonzero(left))] = gain - penalty * sum(1 / value for value in within)
    return gains


def test_the_cut_of_eight_units_is_the_one_worked_out_by_hand() -> None:
    # effect 0 in bins 1 and 2, effect 4 in bins 3 and 4; one treated and one control in each bin
    bins = np.array([[1, 1, 2, 2, 3, 3, 4, 4], [1, 2, 1, 2, 1, 2, 1, 2]], np.uint8)
    treatment = np.array([-0.5, 0.5] * 4)
    outcome = np.array([0.0, 0, 0, 0, -2, 2, -2, 2])
    data = (outcome, treatment, np.ones(8))
    assert _best(bins, data, np.arange(8), np.arange(8), (2, 2, 1, 0.05, 0.0)) == (0, 2, 0)
    # node effect 2, so rho = 0.5 (0.5 * -2) = -0.5 on the left and +0.5 on the right, whatever the arm
    known = np.empty((8, 4))
    assert pseudo_outcomes(np.arange(8).astype(np.int32), *data, known) == 2.0
    assert known[:, 0].tolist() == [-0.5] * 4 + [0.5] * 4
    assert known[:, 2].tolist() == treatment.tolist()


@pytest.mark.parametrize("rows", [40, 150, 320])
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [None, False, True])
@pytest.mark.parametrize("rules", [(3, 5, 2, 0.05, 0.0), (3, 3, 1, 0.2, 0.0), (3, 5, 5, 0.0, 0.5)])
def test_the_best_cut_is_that_of_plain_loops(
    rows: int, missing: float, weighted: bool | None, rules: tuple[Any, ...]
) -> None:
    columns, outcome, treatment = _study(400, 3, seed=rows, missing=missing)
    columns[:, 1] = np.round(columns[:, 1])
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, 400) if weighted else np.ones(400)
    data = (outcome, treatment + rng.normal(scale=0.1, size=400), weights)
    # where all weights are one, none are given
    given = (*data[:2], np.empty(0)) if weighted is None else data
    bins = np.ascontiguousarray(bin_edges(columns).codes(columns).T)
    order = rng.permutation(400)
    chosen, others = np.sort(order[:rows]), np.sort(order[-rows // 2 :])
    feature, cut, side = _best(bins, given, chosen, others, rules)
    column = bins[feature, chosen]
    left = frozenset(np.flatnonzero(np.where(column == 0, side == 0, column <= cut)))
    gains = _loops(bins, data, chosen, others, rules)
    assert gains[left] == pytest.approx(max(gains.values()), rel=1e-9)


def test_no_cut_where_treatment_does_not_vary_or_all_units_are_alike() -> None:
    columns, outcome, treatment = _study(50)
    bins = np.ascontiguousarray(bin_edges(columns).codes(columns).T)
    rules = (4, 5, 2, 0.05, 0.0)
    assert _best(bins, (outcome, np.full(50, 0.3), np.ones(50)), np.arange(50), np.arange(50), rules)[0] == -1
    assert (
        _best(np.ones_like(bins), (outcome, treatment, np.ones(50)), np.arange(50), np.arange(50), rules)[0]
        == -1
    )


def _halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(9).permutation(n).astype(np.int32)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def _one_tree(
    columns: np.ndarray, data: tuple[np.ndarray, ...], halves: Any
) -> tuple[np.ndarray, np.ndarray]:
    bins = np.ascontiguousarray(bin_edges(columns).codes(columns).T)
    copies = tuple(half.copy() for half in halves)
    return _tree.grow_tree(bins, np.full(len(bins), 256), data, copies, (2, 5, 2, 0.05, 0.0), 3, SEED)


def test_leaves_hold_the_means_of_the_other_half_and_enough_units_of_both() -> None:
    columns, outcome, treatment = _study(missing=0.1)
    weights = np.random.default_rng(2).uniform(0.5, 2, 400)
    halves = _halves(400)
    nodes, means = _one_tree(columns, (outcome, treatment, weights), halves)
    codes = bin_edges(columns).codes(columns)
    leaves = leaves_of_rows(codes, nodes, np.array([0, len(nodes)]))[:, 0]
    assert len(means) > 10
    for leaf, found in enumerate(means):
        cut_half = halves[0][leaves[halves[0]] == leaf]
        other = halves[1][leaves[halves[1]] == leaf]
        assert min(len(cut_half), len(other)) >= 5
        kinds = (treatment, outcome, treatment**2, treatment * outcome)
        expected = [np.average(values[other], weights=weights[other]) for values in kinds]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_outcomes_of_one_half_make_cuts_and_of_the_other_fill_leaves() -> None:
    columns, outcome, treatment = _study()
    halves = _halves(400)
    nodes, means = _one_tree(columns, (outcome, treatment, np.ones(400)), halves)
    shuffled = outcome.copy()
    shuffled[halves[1]] = shuffled[halves[1]][::-1] * 7
    same_nodes, other_means = _one_tree(columns, (shuffled, treatment, np.ones(400)), halves)
    np.testing.assert_array_equal(same_nodes, nodes)
    assert not np.allclose(other_means[:, 3], means[:, 3])
    # moved by treatment, they would change no cut if all effects moved alike; so turn them around
    turned = outcome.copy()
    turned[halves[0]] = turned[halves[0]][::-1]
    other_nodes, _ = _one_tree(columns, (turned, treatment, np.ones(400)), halves)
    assert not np.array_equal(other_nodes, nodes)
    # with no cut there is one leaf, of the other half alone
    flat = np.ones_like(columns)
    whole = [_one_tree(flat, (values, treatment, np.ones(400)), halves)[1] for values in (outcome, turned)]
    np.testing.assert_array_equal(whole[0], whole[1])


def test_trees_draw_whole_clusters_of_their_bag_and_part_them_in_halves() -> None:
    for tree in range(40):
        half, own = _tree.drawn_clusters(21, (10, 9), tree // 2, tree, SEED)
        sibling, others = _tree.drawn_clusters(21, (10, 9), tree // 2, tree ^ 1, SEED)
        assert len(set(half)) == 10
        assert len(set(own)) == 9
        assert set(own) <= set(half)
        np.testing.assert_array_equal(half, sibling)
        assert own.tolist() != others.tolist()
    starts, members = np.array([0, 2, 3, 6]), np.array([0, 5, 1, 2, 3, 4], np.int32)
    assert _tree.rows_of(np.array([2, 0], np.int32), starts, members).tolist() == [0, 2, 3, 4, 5]


def test_every_cluster_is_drawn_as_often() -> None:
    counts = np.zeros(30)
    for bag in range(2000):
        counts[_tree.drawn_clusters(30, (15, 0), bag, 0, SEED)[0]] += 1
    # 2000 draws with probability one half: standard deviation 22
    assert np.abs(counts - 1000).max() < 4 * 22.4


def _slope(leaves: np.ndarray, forest: CausalTrees, row: int, used: np.ndarray) -> tuple[float, float]:
    """Effect and variance of one row by plain loops over its trees."""
    trees = np.flatnonzero(used)
    stats = np.array([forest.leaf_means[forest.leaf_starts[tree] + leaves[row, tree]] for tree in trees])
    t, y, square, product = stats.mean(axis=0)
    moments = np.array([[square, t], [t, 1.0]])
    effect, level = np.linalg.solve(moments, [product, y])
    errors = stats[:, [3, 1]] - np.column_stack(
        [effect * stats[:, 2] + level * stats[:, 0], effect * stats[:, 0] + level]
    )
    pulls = np.linalg.solve(moments, errors.T)[0].reshape(-1, forest.rules.trees_per_bag)
    between = np.mean(pulls.mean(axis=1) ** 2)
    noise = (np.mean(pulls**2) - between) / (pulls.shape[1] - 1)
    return effect, debiased(between, noise, len(pulls))


@pytest.mark.parametrize("per_bag", [2, 4])
def test_effects_and_errors_are_those_of_plain_loops_and_own_clusters_are_left_out(per_bag: int) -> None:
    columns, outcome, treatment = _study(300)
    groups = np.arange(300) // 3
    rules = TreeRules(trees=40, trees_per_bag=per_bag, threads=1)
    forest = grow_causal_trees(columns, outcome, treatment, groups=groups, rules=rules, seed=5)
    leaves = leaves_of_rows(forest.bins.codes(columns), forest.nodes, forest.node_starts)
    effect, error = forest.predict(columns)
    inside, inside_error = forest.out_of_bag(columns, groups)
    for row in range(0, 300, 37):
        drawn = [
            groups[row] in _tree.drawn_clusters(100, (50, 50), tree // per_bag, tree, SEED)[0]
            for tree in range(40)
        ]
        expected, variance = _slope(leaves, forest, row, np.ones(40, bool))
        assert (effect[row], error[row] ** 2) == pytest.approx((expected, variance), rel=1e-9)
        expected, variance = _slope(leaves, forest, row, ~np.array(drawn))
        assert (inside[row], inside_error[row] ** 2) == pytest.approx((expected, variance), rel=1e-9)


def test_out_of_bag_effects_do_not_know_their_own_cluster() -> None:
    # every group has an outcome that only its own units could teach
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    columns = rng.normal(size=60)[groups][:, None]
    treatment = np.tile([-0.5, 0.5], 300)
    effects = rng.normal(size=60)
    outcome = treatment * effects[groups]
    forest = grow_causal_trees(
        columns, outcome, treatment, groups=groups, rules=TreeRules(trees=200, min_leaf=2, min_side=1)
    )
    own, _ = forest.out_of_bag(columns, groups)
    everyone, _ = forest.predict(columns)
    assert np.corrcoef(everyone, effects[groups])[0, 1] > 0.3
    # others' mean falls as one's own effect rises, so what is left is below zero
    assert np.corrcoef(own, effects[groups])[0, 1] < 0.05


def _bytes(forest: CausalTrees) -> list[bytes]:
    return [values.tobytes() for values in (forest.nodes, forest.leaf_means, forest.drawn)]


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_threads() -> None:
    columns, outcome, treatment = _study(600)
    rules = TreeRules(trees=24, candidates=2)
    grown = [
        grow_causal_trees(columns, outcome, treatment, rules=replace(rules, threads=threads), seed=3)
        for threads in (1, 2, 5)
    ]
    for forest in grown[1:]:
        assert _bytes(forest) == _bytes(grown[0])
        assert [found.tobytes() for found in forest.predict(columns)] == [
            found.tobytes() for found in grown[0].predict(columns)
        ]
    assert _bytes(grow_causal_trees(columns, outcome, treatment, rules=rules, seed=4)) != _bytes(grown[0])
    # a longer forest begins with the same trees
    longer = grow_causal_trees(columns, outcome, treatment, rules=replace(rules, trees=48), seed=3)
    assert longer.nodes[: len(grown[0].nodes)].tobytes() == grown[0].nodes.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda columns, outcome, treatment: (columns.astype(np.float32).astype(float), outcome, treatment),
        lambda columns, outcome, treatment: (np.exp(columns), outcome, treatment),
        lambda columns, outcome, treatment: (columns, outcome + 0.0, treatment),
    ],
)
def test_effects_depend_on_the_order_of_values_alone(change: Callable[..., Any]) -> None:
    columns, outcome, treatment = _study(240)
    columns = columns.astype(np.float32).astype(float)
    rules = TreeRules(trees=40, threads=1)
    effects = []
    for given in ((columns, outcome, treatment), change(columns, outcome, treatment)):
        effects.append(grow_causal_trees(*given, rules=rules).predict(given[0])[0])
    np.testing.assert_array_equal(effects[0], effects[1])


def test_outcomes_scale_effects_and_treatments_scale_them_back() -> None:
    columns, outcome, treatment = _study(300)
    rules = TreeRules(trees=40, threads=1)
    plain = grow_causal_trees(columns, outcome, treatment, rules=rules).predict(columns)
    scaled = grow_causal_trees(columns, 8 * outcome, treatment / 2**30, rules=rules).predict(columns)
    np.testing.assert_allclose(scaled[0], plain[0] * 2**33, rtol=1e-9)
    np.testing.assert_allclose(scaled[1], plain[1] * 2**33, rtol=1e-9)


def test_a_weight_of_two_counts_as_two_units_of_one_cluster() -> None:
    columns, outcome, treatment = _study(600)
    weights = np.random.default_rng(1).choice([1.0, 2.0], size=600)
    twice = np.repeat(np.arange(600), weights.astype(int))
    # no unit may be too few for a leaf by itself, since copies count as units there
    rules = TreeRules(trees=400, min_leaf=20)
    weighted, _ = grow_causal_trees(columns, outcome, treatment, weights=weights, rules=rules).predict(
        columns
    )
    copied, _ = grow_causal_trees(
        columns[twice], outcome[twice], treatment[twice], groups=twice, rules=rules
    ).predict(columns)
    plain, _ = grow_causal_trees(columns, outcome, treatment, rules=rules).predict(columns)
    apart = np.sqrt(np.mean((weighted - copied) ** 2))
    assert apart < 0.1 * weighted.std()
    assert apart < 0.7 * np.sqrt(np.mean((plain - copied) ** 2))


def test_missing_values_that_matter_are_found() -> None:
    rng = np.random.default_rng(0)
    columns, treatment = rng.normal(size=(2000, 3)), rng.choice([-0.5, 0.5], size=2000)
    gone = rng.uniform(size=2000) < 0.3
    columns[gone, 1] = np.nan
    outcome = 3 * treatment * gone + 0.2 * rng.normal(size=2000)
    forest = grow_causal_trees(columns, outcome, treatment, rules=TreeRules(trees=60))
    effect, _ = forest.predict(np.array([[0.0, np.nan, 0.0], [0.0, -2.0, 0.0], [0.0, 2.0, 0.0]]))
    np.testing.assert_allclose(effect, [3, 0, 0], atol=0.15)
    assert forest.importance().argmax() == 1


def test_importance_finds_the_column_that_matters_and_adds_up() -> None:
    columns, outcome, treatment = _study(2000)
    share = grow_causal_trees(columns, outcome, treatment, rules=TreeRules(trees=60)).importance()
    assert share.sum() == pytest.approx(1)
    assert share[0] > 0.5
    flat = grow_causal_trees(np.ones((100, 2)), outcome[:100], treatment[:100], rules=TreeRules(trees=4))
    assert flat.importance().tolist() == [0, 0]


def test_the_variance_left_above_zero_is_the_mean_of_a_truncated_normal() -> None:
    from scipy import stats

    scale = 3.0 * np.sqrt(2 / 50)
    expected = stats.truncnorm.mean((0 - (2.0 - 3.0)) / scale, np.inf, loc=2.0 - 3.0, scale=scale)
    assert debiased(2.0, 3.0, 50) == pytest.approx(expected, rel=1e-9)
    assert debiased(5.0, 0.01, 10**8) == pytest.approx(4.99, rel=1e-6)
    assert debiased(0.0, 0.0, 10) == 0.0


def test_one_effect_for_all_shows_little_spread() -> None:
    rng = np.random.default_rng(3)
    columns, treatment = rng.normal(size=(2000, 10)), rng.choice([-0.5, 0.5], size=2000)
    outcome = treatment + rng.normal(size=2000)
    forest = grow_causal_trees(columns, outcome, treatment, rules=TreeRules(trees=400, threads=1))
    effect, error = forest.predict(rng.normal(size=(1000, 10)))
    assert effect.mean() == pytest.approx(1, abs=0.15)
    assert effect.std() < error.mean()
    assert np.mean(np.abs(effect - 1) < 1.96 * error) > 0.9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": np.arange(100) % 6}, "6 groups"),
        ({"weights": np.zeros(100)}, "[Ww]eights"),
        ({"weights": np.full(100, np.nan)}, "weights of shape"),
        ({"outcome": np.full(100, np.nan)}, "outcome of shape"),
        ({"treatment": np.ones(99)}, "99"),
        ({"columns": np.full((100, 2), np.inf)}, "infinite"),
        ({"columns": np.ones((100, 0))}, "0 columns"),
        ({"groups": np.arange(99)}, "Groups of shape"),
        ({"groups": np.arange(100) - 1}, "Groups of shape"),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    columns, outcome, treatment = _study(100)
    given = {"columns": columns, "outcome": outcome, "treatment": treatment} | change
    arrays = [given.pop(name) for name in ("columns", "outcome", "treatment")]
    with pytest.raises(EstimationError, match=words):
        grow_causal_trees(*arrays, rules=TreeRules(trees=4), **given)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"trees": 5}, "multiple"), ({"trees": 0}, "trees"), ({"sample_share": 0.6}, "sample_share"),
        ({"alpha": 0.3}, "alpha"), ({"candidates": 0}, "candidates"), ({"penalty": -1.0}, "penalty"),
    ],
)  # fmt: skip
def test_bad_rules_are_refused_in_words(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        TreeRules(**setting)


def test_other_columns_and_units_in_every_bag_are_refused() -> None:
    columns, outcome, treatment = _study(100)
    forest = grow_causal_trees(columns, outcome, treatment, rules=TreeRules(trees=2))
    with pytest.raises(EstimationError, match="forest of 4 columns"):
        forest.predict(columns[:, :3])
    with pytest.raises(EstimationError, match="more trees"):
        forest.out_of_bag(columns, np.arange(100))
    for groups in (np.arange(99), np.arange(100) + 50, np.arange(100) - 1):
        with pytest.raises(EstimationError, match="codes that the forest was grown with"):
            forest.out_of_bag(columns, groups)


def test_what_is_kept_compiled_is_made_anew_when_any_file_changes() -> None:
    from eocausal.forests import _compiled

    stamps = {
        name: function._cache._cache_file._source_stamp
        for name, function in vars(_tree).items()
        if hasattr(function, "py_func")
    }
    assert "grow_one" in stamps
    assert {name for stamp in stamps.values() for name, *_ in stamp} >= {
        "_cuts.py",
        "_tree.py",
        "_compiled.py",
    }
    assert set(stamps.values()) == {_compiled._STAMP}


def test_bins_part_values_at_midpoints_and_keep_missing_apart() -> None:
    columns = np.array([[1.0, np.nan], [2.0, np.nan], [2.0, np.nan], [5.0, np.nan], [np.nan, np.nan]])
    bins = bin_edges(columns)
    assert bins.edges[0].tolist() == [1.5, 3.5]
    assert bins.edges[1].tolist() == []
    assert bins.codes(np.array([[0.0, 1.0], [1.5, 1.0], [3.0, 1.0], [99.0, np.nan]])).tolist() == [
        [1, 1], [1, 1], [2, 1], [3, 0],
    ]  # fmt: skip
    many = np.random.default_rng(0).normal(size=(10_000, 1))
    counts = np.bincount(bin_edges(many).codes(many)[:, 0], minlength=256)
    assert counts[0] == 0
    assert counts[1:].min() > 35
    assert counts[1:].max() < 45
