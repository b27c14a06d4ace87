"""What holds of standard errors by distance and by several clusters for every input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.inference.bootstrap import Recentring, wild
from eocausal.inference.spatial import KERNELS, kernel_sum
from eocausal.inference.variance import score_variance

seeds = st.integers(0, 10_000)
kernels = st.sampled_from(list(KERNELS))
cutoffs = st.floats(100, 2_000_000)
light = settings(max_examples=40, deadline=None)


def drawn(seed: int, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform([-180, -70], [170, 60]), rng.uniform(0.01, 8)
    return rng.normal(size=(n, 2)), corner + rng.uniform(0, size, size=(n, 2))


@light
@given(seed=seeds, kernel=kernels, cutoff_m=cutoffs)
def test_the_order_of_units_does_not_matter(seed: int, kernel: str, cutoff_m: float) -> None:
    values, places = drawn(seed)
    order = np.random.default_rng(seed + 1).permutation(len(values))
    found = kernel_sum(values, places, cutoff_m=cutoff_m, kernel=kernel)
    again = kernel_sum(values[order], places[order], cutoff_m=cutoff_m, kernel=kernel)
    np.testing.assert_allclose(again, found, rtol=1e-9, atol=1e-9)


@light
@given(seed=seeds, kernel=kernels, cutoff_m=cutoffs, east=st.floats(-360, 360))
def test_turning_or_mirroring_the_earth_changes_nothing(
    seed: int, kernel: str, cutoff_m: float, east: float
) -> None:
    values, places = drawn(seed)
    found = kernel_sum(values, places, cutoff_m=cutoff_m, kernel=kernel)
    for moved in (places + np.array([east, 0]), places * [1, -1], places * [-1, 1]):
        again = kernel_sum(values, moved, cutoff_m=cutoff_m, kernel=kernel)
        np.testing.assert_allclose(again, found, rtol=1e-7, atol=1e-7)


@light
@given(seed=seeds, times=st.floats(0.1, 10))
def test_a_country_drawn_to_another_scale_gives_the_same(seed: int, times: float) -> None:
    # near the equator a few km are flat, so that places can be drawn apart by a factor
    rng = np.random.default_rng(seed)
    values, places = np.abs(rng.normal(size=(40, 1))), rng.uniform(0, 0.02, size=(40, 2))
    found = kernel_sum(values, places, cutoff_m=1000, kernel="bartlett")
    again = kernel_sum(values, places * times, cutoff_m=1000 * times, kernel="bartlett")
    np.testing.assert_allclose(again, found, rtol=1e-5)


@light
@given(seed=seeds, kernel=kernels, cutoff_m=cutoffs)
def test_nonnegative_values_sum_to_more_with_a_wider_cutoff(seed: int, kernel: str, cutoff_m: float) -> None:
    values, places = drawn(seed)
    near, wide = (
        kernel_sum(np.abs(values), places, cutoff_m=one, kernel=kernel) for one in (cutoff_m, 2 * cutoff_m)
    )
    assert (wide >= near - 1e-9).all()
    assert np.trace(near) >= (values**2).sum() * (1 - 1e-12)


@light
@given(seed=seeds, kinds=st.integers(2, 3))
def test_kinds_of_clusters_may_be_given_in_any_order(seed: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    # shocks common to a cluster, so that the variance is well above zero
    labels = [rng.integers(0, 8, size=120) for _ in range(kinds)]
    scores = sum(rng.normal(size=8)[one] for one in labels)[:, None] + rng.normal(size=(120, 1))
    found = score_variance(scores, vcov="cluster", clusters=labels)
    for other in (labels[::-1], [one * 3 + 1 for one in labels], [*labels, labels[0]]):
        again = score_variance(scores, vcov="cluster", clusters=other)
        assert again.matrix.item() == pytest.approx(found.matrix.item(), rel=1e-9)
        assert again.df == found.df


def clustered_draws(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores that sum to zero in each of two arms, the arms, and clusters of unequal size."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(9), rng.integers(1, 6, 9))
    arm = (cluster < rng.integers(2, 8)).astype(float)
    scores = rng.normal(size=(cluster.size, 2)) + rng.normal(size=(9, 2))[cluster]
    for one in (0.0, 1.0):
        scores[arm == one] -= scores[arm == one].mean(axis=0)
    return scores, arm, cluster


@light
@given(seed=seeds, times=st.floats(1e-3, 1e3), weights=st.sampled_from(["webb", "rademacher", "mammen"]))
def test_wild_draws_do_not_depend_on_the_unit_of_the_outcome_or_the_order_of_rows(
    seed: int, times: float, weights: str
) -> None:
    scores, arm, cluster = clustered_draws(seed)
    order = np.random.default_rng(seed).permutation(len(scores))
    gaps = np.array([0.3, -0.2])
    found = []
    for rows, scale in ((np.arange(len(scores)), 1.0), (order, times)):
        made = wild(
            scale * scores[rows], cluster[rows], recentring=Recentring(arm[rows], np.ones(len(rows))),
            factor=1.2, weights=weights, draws=199, seed=3,
        )  # fmt: skip
        errors = np.sqrt(
            1.2 * (np.array([scores[cluster == g].sum(axis=0) for g in range(9)]) ** 2).sum(axis=0)
        )
        errors = scale * errors / len(scores)
        found.append((made.p_values(scale * gaps, errors), made.bounds(0 * gaps, errors, level=0.9) / scale))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)


@light
@given(seed=seeds, gap=st.floats(-5, 5))
def test_p_values_are_shares_and_levels_nest(seed: int, gap: float) -> None:
    scores, arm, cluster = clustered_draws(seed)
    made = wild(
        scores, cluster, recentring=Recentring(arm, np.ones(len(arm))), factor=1.0, weights="rademacher",
        draws=600, seed=0,
    )  # fmt: skip
    assert made.exact
    errors = np.array([0.2, 0.3])
    p_values = made.p_values(np.array([gap, gap]), errors)
    assert ((p_values >= 0) & (p_values <= 1)).all()
    # all signs come in pairs
    np.testing.assert_allclose(p_values * 512 % 2, 0, atol=1e-9)
    narrow, wide = (made.bounds(np.zeros(2), errors, level=level) for level in (0.5, 0.8))
    assert (wide[:, 0] <= narrow[:, 0]).all()
    assert (wide[:, 1] >= narrow[:, 1]).all()


@light
@given(seed=seeds, shift=st.floats(-100, 100), times=st.floats(0.01, 100))
def test_randomisation_does_not_depend_on_the_unit_of_the_outcome(
    seed: int, shift: float, times: float
) -> None:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"village": np.repeat(np.arange(8), 3)})
    table["grant"] = (rng.permutation(8) < 3).astype(int)[table["village"]]
    table["income"] = rng.normal(size=24)
    moved = table.assign(income=shift + times * table["income"])
    one, other = (
        ec.randomisation_test(ec.Design(some, outcome="income", treatment="grant", cluster="village"))
        for some in (table, moved)
    )
    assert one.exact
    assert one.p_value() == other.p_value()
    np.testing.assert_allclose(np.array(other.ci(0.8)) / times, one.ci(0.8), rtol=1e-5, atol=1e-5)
