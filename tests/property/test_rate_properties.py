"""What must hold for RATE whatever the scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.evaluate.rate_influence import rate_influence
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc

some = settings(max_examples=60, deadline=None)
each_target = pytest.mark.parametrize("target", ["AUTOC", "QINI"])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Scores, a priority with or without ties, weights with or without zeros, and the generator."""
    n = draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    levels = draw(st.sampled_from([0, 2, 5]))
    priority = rng.integers(0, levels, size=n).astype(float) if levels else rng.normal(size=n)
    weights = draw(st.sampled_from(["one", "any", "some zero"]))
    given_weights = np.ones(n) if weights == "one" else rng.uniform(0.1, 3, size=n)
    if weights == "some zero":
        given_weights[rng.permutation(n)[: n // 3]] = 0.0
    return rng.normal(size=n) * 10 ** draw(st.integers(-3, 3)), priority, given_weights, rng


def _both(scores, priority, weights, target, grid=DEFAULT_GRID, ids=None, integration="grf"):
    rates, toc = rates_and_toc(rank(priority, ids=ids), scores, weights, grid=grid, integration=integration)
    return toc, rates[TARGETS.index(target)]


def _close(found, expected, scale: float, tolerance: float = 1e-11) -> None:
    np.testing.assert_allclose(found[0], expected[0], atol=tolerance * scale)
    assert found[1] == pytest.approx(expected[1], abs=tolerance * scale)


@each_target
@some
@given(case=cases())
def test_a_monotone_transform_of_the_priority(target, case) -> None:
    scores, priority, weights, _ = case
    scale = np.abs(scores).max()
    for changed in (np.exp(priority), priority**3, 1e6 * priority - 7, np.argsort(np.argsort(np.unique(priority)))[
        np.searchsorted(np.unique(priority), priority)
    ].astype(float)):  # fmt: skip
        _close(_both(scores, changed, weights, target), _both(scores, priority, weights, target), scale)


@each_target
@some
@given(case=cases(), factor=st.floats(1e-6, 1e6))
def test_weights_times_a_constant(target, case, factor) -> None:
    scores, priority, weights, _ = case
    expected = _both(scores, priority, weights, target)
    _close(_both(scores, priority, factor * weights, target), expected, np.abs(scores).max(), 1e-9)


@each_target
@some
@given(case=cases(), shift=st.floats(-100, 100), factor=st.floats(-100, 100))
def test_scores_shifted_and_scaled(target, case, shift, factor) -> None:
    scores, priority, weights, _ = case
    toc, rate = _both(scores, priority, weights, target)
    scale = max(1.0, abs(factor)) * np.abs(scores).max() + abs(shift)
    _close(
        _both(factor * scores + shift, priority, weights, target), (factor * toc, factor * rate), scale, 1e-10
    )


@each_target
@some
@given(case=cases())
def test_rows_in_another_order_with_their_ids(target, case) -> None:
    scores, priority, weights, rng = case
    ids, order = np.arange(scores.size), rng.permutation(scores.size)
    grid = np.r_[0.013, DEFAULT_GRID]
    expected = _both(scores, priority, weights, target, grid, ids)
    found = _both(scores[order], priority[order], weights[order], target, grid, ids[order])
    _close(found, expected, np.abs(scores).max())


@each_target
@some
@given(case=cases())
def test_the_curve_ends_at_zero_and_averages_to_the_rate(target, case) -> None:
    scores, priority, weights, _ = case
    toc, rate = _both(scores, priority, weights, target)
    assert toc[-1] == pytest.approx(0, abs=1e-11 * np.abs(scores).max())
    present = weights > 0
    order = np.lexsort((np.arange(scores.size), -priority))
    order = order[present[order]]
    share = np.cumsum(weights[order]) / weights.sum()
    at_units, _ = _both(scores, priority, weights, target, share)
    factor = 1.0 if target == "AUTOC" else share
    by_curve = (weights[order] * factor * at_units).sum() / weights.sum()
    assert rate == pytest.approx(by_curve, abs=1e-9 * np.abs(scores).max())


@each_target
@some
@given(case=cases())
def test_tied_units_count_as_their_mean(target, case) -> None:
    scores, priority, weights, _ = case
    shared = scores.copy()
    for level in np.unique(priority):
        tied = priority == level
        if weights[tied].sum() > 0:
            shared[tied] = np.average(scores[tied], weights=weights[tied])
    _close(
        _both(shared, priority, weights, target),
        _both(scores, priority, weights, target),
        np.abs(scores).max(),
    )


@each_target
@some
@given(case=cases(), value=st.floats(-10, 10))
def test_a_constant_priority_ranks_nobody(target, case, value) -> None:
    scores, _, weights, _ = case
    toc, rate = _both(scores, np.full(scores.size, value), weights, target)
    np.testing.assert_allclose(toc, 0, atol=1e-11 * np.abs(scores).max())
    assert rate == pytest.approx(0, abs=1e-11 * np.abs(scores).max())


@some
@given(case=cases())
def test_a_reversed_ranking_has_the_opposite_qini_up_to_a_unit(case) -> None:
    scores, priority, _, _ = case
    n = scores.size
    ones = np.ones(n)
    up, down = (_both(scores, sign * priority, ones, "QINI")[1] for sign in (1, -1))
    # sums over units and not over the line: the two miss each other by an average score over n
    assert abs(up + down) <= 2 * np.abs(scores - scores.mean()).max() / n + 1e-12


@each_target
@some
@given(case=cases())
def test_influence_values_average_to_zero_and_scale(target, case) -> None:
    scores, priority, weights, _ = case
    weights = np.maximum(weights, 0.1)
    found = rate_influence(rank(priority), scores, weights)[:, TARGETS.index(target)]
    scale = np.abs(scores).max()
    assert found.mean() == pytest.approx(0, abs=1e-10 * scale)
    again = rate_influence(rank(priority), 3 * scores, 5 * weights)[:, TARGETS.index(target)]
    np.testing.assert_allclose(again, 3 * found, atol=1e-8 * scale)


@each_target
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), clustered=st.booleans())
def test_comparisons_are_antisymmetric_and_nothing_beats_itself(target, seed, clustered) -> None:
    rng = np.random.default_rng(seed)
    scores, a, b = rng.normal(size=(3, 40))
    options = {
        "clusters": np.arange(40) // 4 if clustered else None,
        "target": target,
        "replicates": 50,
        "seed": seed,
    }
    one = ec.rate_from_scores(scores, {"a": a, "b": b, "again": a.copy()}, **options)
    two = ec.rate_from_scores(scores, {"b": b, "a": a}, **options)
    table, swapped = one.rates.to_frame().set_index("term"), two.rates.to_frame().set_index("term")
    assert swapped.loc["b - a", "estimate"] == pytest.approx(-table.loc["a - b", "estimate"], abs=1e-12)
    assert swapped.loc["b - a", "std_error"] == pytest.approx(table.loc["a - b", "std_error"], rel=1e-9)
    same = table.loc["a - again", ["estimate", "std_error", "p_value"]].astype(float)
    np.testing.assert_allclose(same, [0, 0, 1], atol=1e-12)


@each_target
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_the_result_scales_permutes_and_goes_through_json(target, seed, factor) -> None:
    rng = np.random.default_rng(seed)
    scores, priority = rng.normal(size=(2, 36))
    clusters, weights = np.arange(36) // 3, rng.uniform(0.5, 2, size=36)
    options = {"target": target, "replicates": 50, "seed": seed}
    base = ec.rate_from_scores(scores, priority, weights=weights, clusters=clusters, **options)
    scaled = ec.rate_from_scores(factor * scores, priority, weights=3 * weights, clusters=clusters, **options)
    assert scaled.estimate == pytest.approx(factor * base.estimate, rel=1e-9, abs=1e-12)
    assert scaled.std_error == pytest.approx(factor * base.std_error, rel=1e-9)
    order = rng.permutation(36)
    moved = ec.rate_from_scores(
        scores[order], priority[order], weights=weights[order], clusters=clusters[order], **options
    )
    assert moved.estimate == pytest.approx(base.estimate, rel=1e-9, abs=1e-12)
    assert moved.std_error == pytest.approx(base.std_error, rel=1e-9)
    assert Rate.from_dict(json.loads(json.dumps(base.to_dict(scores=True), allow_nan=False))) == base
