"""Composites: one picture of several, against NumPy and by brute force."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from eocausal.imagery.composite import COMPOSITES, compose, count_clear

SEEDS = range(6)


def stack(seed: int, depth: int, bands: int = 3, side: int = 7, share: float = 0.5) -> np.ndarray:
    """Return random layers (depth, bands, side, side), NaN in all bands of a share of the pixels."""
    rng = np.random.default_rng(seed)
    layers = rng.normal(100, 40, (depth, bands, side, side)).astype("float32")
    layers[np.broadcast_to(rng.random((depth, 1, side, side)) < share, layers.shape)] = np.nan
    return layers


def by_hand(layers: np.ndarray, method: str, least: int) -> np.ndarray:
    """Take pixel after pixel the values that are clear, in order."""
    bands, height, width = layers.shape[1:]
    out = np.full((bands, height, width), np.nan, dtype="float32")
    for row in range(height):
        for column in range(width):
            clear = [layer[:, row, column] for layer in layers if not np.isnan(layer[0, row, column])]
            if len(clear) >= max(least, 1):
                out[:, row, column] = clear[0 if method == "earliest" else -1]
    return out


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, 23])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_median_is_that_of_numpy(seed, depth):
    layers = stack(seed, depth)
    pixels, counts = compose(list(layers), "median")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN
        expected = np.nanmedian(layers.astype("float64"), axis=0)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, expected, rtol=1e-7)
    np.testing.assert_array_equal(counts, (~np.isnan(layers[:, 0])).sum(axis=0))
    assert counts.dtype == np.int16


@pytest.mark.parametrize("least", [1, 2, 3])
@pytest.mark.parametrize("method", ["latest", "earliest"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_latest_and_the_earliest_are_those_found_pixel_by_pixel(seed, method, least):
    layers = stack(seed, 4)
    pixels, counts = compose(list(layers), method, least=least)
    np.testing.assert_array_equal(pixels, by_hand(layers, method, least))
    np.testing.assert_array_equal(counts, count_clear(list(layers)))


@pytest.mark.parametrize("method", COMPOSITES)
@pytest.mark.parametrize("least", [1, 2, 4, 9])
def test_pixels_with_too_few_clear_layers_are_not_valid_but_counted(method, least):
    layers = stack(3, 5, share=0.7)
    every, _ = compose(list(layers), method)
    pixels, counts = compose(list(layers), method, least=least)
    np.testing.assert_array_equal(pixels, np.where(counts >= least, every, np.nan))
    assert np.isnan(pixels).any()
    assert counts.max() > 2


@pytest.mark.parametrize("method", COMPOSITES)
def test_layers_are_left_as_they_are(method):
    layers = [layer.copy() for layer in stack(1, 3)]
    before = [layer.copy() for layer in layers]
    for some in (layers, layers[:1]):
        pixels, _ = compose(some, method, least=2)
        pixels[:] = 0
        for layer, was in zip(layers, before):
            np.testing.assert_array_equal(layer, was)


@pytest.mark.parametrize("method", COMPOSITES)
def test_what_no_layer_shows_is_not_valid(method):
    nothing = np.full((2, 3, 3), np.nan, dtype="float32")
    pixels, counts = compose([nothing] * 4, method)
    assert np.isnan(pixels).all()
    assert not counts.any()


def test_the_median_is_of_each_band_by_itself():
    layers = [np.array(pair, dtype="float32").reshape(2, 1, 1) for pair in ((1, 30), (2, 10), (3, 20))]
    assert compose(layers, "median")[0].ravel().tolist() == [2.0, 20.0]


def test_the_mean_of_the_middle_two_does_not_overflow():
    largest = np.finfo("float32").max
    layers = [np.full((1, 1, 1), largest, dtype="float32") for _ in range(2)]
    assert compose(layers, "median")[0].item() == largest


def test_infinite_pixels_are_not_taken_for_missing():
    layers = [np.full((1, 1, 1), value, dtype="float32") for value in (1.0, np.inf, np.inf)]
    pixels, counts = compose(layers, "median")
    assert (pixels.item(), counts.item()) == (np.inf, 3)


def test_many_layers_are_counted():
    layers = [np.ones((1, 1, 1), dtype="float32")] * 3660
    assert compose(layers, "median")[1].item() == 3660
