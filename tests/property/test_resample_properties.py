"""What holds for every chip, mask and side that chips are brought to."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.imagery.resample import resample, resample_classes

SIZES = st.integers(1, 17)
SEEDS = st.integers(0, 10_000)


def _chips(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(2000, 700, (3, 2, 2, size, size)).astype("float32")
    mask = rng.random((3, 2, size, size)) < rng.choice([0.3, 0.8, 1.0])
    return np.where(mask[:, :, None], pixels, np.float32(np.nan)), mask


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SEEDS, st.floats(-5000, 5000), st.floats(0.01, 100))
def test_commutes_with_adding_a_constant_and_scaling(size, side, seed, constant, scale) -> None:
    pixels, mask = _chips(size, seed)
    plain, valid = resample(pixels, mask, side)
    changed, still = resample((pixels * np.float32(scale) + np.float32(constant)), mask, side)
    np.testing.assert_array_equal(valid, still)
    expected = plain * np.float32(scale) + np.float32(constant)
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-5 * (5000 * scale + abs(constant)))


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_a_constant_stays_what_it_is_and_nothing_leaves_the_range(size, side, seed) -> None:
    pixels, mask = _chips(size, seed)
    flat, valid = resample(np.where(mask[:, :, None], np.float32(371.3), np.float32(np.nan)), mask, side)
    np.testing.assert_allclose(flat[np.broadcast_to(valid[:, :, None], flat.shape)], 371.3, rtol=2e-6)
    got, valid = resample(pixels, mask, side)
    if valid.any():
        slack = 1e-5 * np.nanmax(np.abs(pixels))
        assert np.nanmin(got) >= np.nanmin(pixels) - slack
        assert np.nanmax(got) <= np.nanmax(pixels) + slack


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), SEEDS)
def test_shrinking_whole_chips_by_a_whole_number_keeps_the_mean(side, factor, seed) -> None:
    pixels = (
        np.random.default_rng(seed).normal(100, 30, (2, 1, 3, side * factor, side * factor)).astype("float32")
    )
    got, mask = resample(pixels, np.ones((2, 1, side * factor, side * factor), dtype=bool), side)
    assert mask.all()
    np.testing.assert_allclose(got.mean(axis=(3, 4)), pixels.mean(axis=(3, 4)), rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SEEDS, st.sampled_from([-1e30, 0.0, np.inf, 65_535.0]))
def test_what_is_masked_never_moves_the_result(size, side, seed, hidden) -> None:
    pixels, mask = _chips(size, seed)
    planted = np.where(mask[:, :, None], pixels, np.float32(hidden))
    for way in (resample, resample_classes):
        plain, valid = way(pixels, mask, side)
        again, still = way(planted, mask, side)
        np.testing.assert_array_equal(valid, still)
        shown = np.broadcast_to(valid[:, :, None], plain.shape)
        np.testing.assert_array_equal(plain[shown], again[shown])


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_order_of_chips_dates_and_bands_and_their_company_do_not_matter(size, side, seed) -> None:
    pixels, mask = _chips(size, seed)
    plain, valid = resample(pixels, mask, side)
    turned, also = resample(pixels[::-1, ::-1, ::-1], mask[::-1, ::-1], side)
    np.testing.assert_array_equal(turned, plain[::-1, ::-1, ::-1])
    np.testing.assert_array_equal(also, valid[::-1, ::-1])
    alone, _ = resample(pixels[1:2], mask[1:2], side)
    np.testing.assert_array_equal(alone, plain[1:2])


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_a_chip_turned_by_a_quarter_gives_the_result_turned(size, side, seed) -> None:
    pixels, mask = _chips(size, seed)
    plain, valid = resample(pixels, mask, side)
    turned, also = resample(np.rot90(pixels, axes=(3, 4)), np.rot90(mask, axes=(2, 3)), side)
    np.testing.assert_array_equal(also, np.rot90(valid, axes=(2, 3)))
    np.testing.assert_allclose(turned, np.rot90(plain, axes=(3, 4)), rtol=1e-5)
