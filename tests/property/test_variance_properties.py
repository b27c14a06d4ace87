"""What holds of standard errors by distance and by several clusters for every input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
