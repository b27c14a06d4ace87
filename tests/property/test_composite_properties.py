"""What holds for every stack of layers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.imagery.composite import COMPOSITES, compose

light = settings(max_examples=60, deadline=None)
# whole numbers, so that sums and products below are exact
pixel = st.one_of(st.none(), st.tuples(st.integers(-500, 500), st.integers(-500, 500)))
stacks = st.integers(1, 6).flatmap(
    lambda side: st.lists(st.lists(pixel, min_size=side, max_size=side), min_size=1, max_size=9)
)


def layers_of(stack: list[list[tuple[int, int] | None]]) -> list[np.ndarray]:
    """Return layers (2, 1, side), NaN in both bands where there is no pixel."""
    nothing = (np.nan, np.nan)
    return [
        np.array([one or nothing for one in row], dtype="float32").T.reshape(2, 1, len(row)) for row in stack
    ]


@light
@given(stacks, st.randoms(use_true_random=False))
def test_the_median_and_the_counts_do_not_depend_on_the_order(stack, random):
    layers = layers_of(stack)
    mixed = random.sample(layers, len(layers))
    for found, expected in zip(compose(mixed, "median"), compose(layers, "median")):
        np.testing.assert_array_equal(found, expected)


@light
@given(stacks, st.sampled_from(COMPOSITES), st.sampled_from([-4, -1, 0.5, 2, 8]), st.integers(-64, 64))
def test_scaled_and_shifted_layers_make_the_scaled_and_shifted_picture(stack, method, scale, shift):
    layers = layers_of(stack)
    moved = [(layer * np.float32(scale) + np.float32(shift)).astype("float32") for layer in layers]
    pixels, counts = compose(layers, method)
    other, again = compose(moved, method)
    np.testing.assert_array_equal(other, pixels * np.float32(scale) + np.float32(shift))
    np.testing.assert_array_equal(again, counts)


@light
@given(stacks, st.sampled_from(COMPOSITES), st.integers(1, 4))
def test_pixels_are_valid_where_enough_layers_are_clear_and_lie_among_their_values(stack, method, least):
    layers = layers_of(stack)
    pixels, counts = compose(layers, method, least=least)
    values = np.stack(layers)
    np.testing.assert_array_equal(counts, (~np.isnan(values[:, 0])).sum(axis=0))
    np.testing.assert_array_equal(np.isnan(pixels), np.broadcast_to(counts < least, pixels.shape))
    for band, row, column in np.argwhere(~np.isnan(pixels)):
        seen = values[:, band, row, column]
        seen = seen[~np.isnan(seen)]
        assert seen.min() <= pixels[band, row, column] <= seen.max()
        if method != "median" or len(seen) % 2:
            assert pixels[band, row, column] in seen


@light
@given(stacks)
def test_the_latest_of_layers_turned_round_is_the_earliest(stack):
    layers = layers_of(stack)
    for found, expected in zip(compose(layers[::-1], "latest"), compose(layers, "earliest")):
        np.testing.assert_array_equal(found, expected)


@light
@given(stacks, st.sampled_from(COMPOSITES))
def test_layers_without_a_clear_pixel_change_nothing(stack, method):
    layers = layers_of(stack)
    nothing = np.full_like(layers[0], np.nan)
    for found, expected in zip(compose([nothing, *layers, nothing], method), compose(layers, method)):
        np.testing.assert_array_equal(found, expected)
