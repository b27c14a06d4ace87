"""What must hold for the frames of any chips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from tests.fake_chips import fake_chips

POOLS = ("mean", "last-first", "mean+sd", "trend", "attention")
INNER = {"image_stats": ec.ImageStats(), "rcf": ec.RandomFeatures(8)}
few = settings(max_examples=10, deadline=None)
each_pool = pytest.mark.parametrize("pool", POOLS)
seeds = st.integers(0, 10_000)


def drawn(seed, pool, *, inner="rcf", frames=4):
    """Return a fitted sequence and chips with holes and missing frames; the first chip is whole."""
    rng = np.random.default_rng(seed)
    chips = fake_chips(7, px=9, dates=frames, bands=2, seed=seed)
    chips.mask["960m"] &= rng.random(chips.mask["960m"].shape) > 0.03
    chips.mask["960m"] &= rng.random((7, frames, 1, 1)) > 0.3
    chips.mask["960m"][0] = True
    batch = next(iter(chips.batches(size=7)))
    return ec.Sequence(INNER[inner], pool=pool).fit(chips), batch.pixels["960m"], batch.mask["960m"], rng


@each_pool
@pytest.mark.parametrize("inner", list(INNER))
@few
@given(seed=seeds)
def test_a_chip_has_the_same_bits_in_any_batch(inner, pool, seed):
    fitted, pixels, mask, _ = drawn(seed, pool, inner=inner)
    whole = fitted.encode(pixels, mask, "960m")
    for i in range(len(pixels)):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])
    assert np.isfinite(whole[0]).all()


@each_pool
@few
@given(seed=seeds, fill=st.sampled_from([0.0, -7.5, 1e9, np.nan]))
def test_what_stands_under_the_mask_changes_nothing(pool, seed, fill):
    fitted, pixels, mask, _ = drawn(seed, pool)
    changed = np.where(mask[:, :, None], pixels, np.float32(fill))
    np.testing.assert_array_equal(fitted.encode(changed, mask, "960m"), fitted.encode(pixels, mask, "960m"))


@each_pool
@few
@given(seed=seeds, at=st.integers(0, 4))
def test_a_masked_frame_is_as_good_as_none(pool, seed, at):
    fitted, pixels, mask, _ = drawn(seed, pool)
    if pool == "trend":
        at = 4 if at > 2 else 0  # in between it moves later frames by a step, and should
    more = np.insert(pixels, at, np.nan, axis=1), np.insert(mask, at, False, axis=1)
    np.testing.assert_allclose(
        fitted.encode(*more, "960m"), fitted.encode(pixels, mask, "960m"), rtol=1e-5, atol=1e-5
    )


@few
@given(seed=seeds)
def test_an_empty_frame_in_between_flattens_the_slope(seed):
    fitted, pixels, mask, _ = drawn(seed, "trend", frames=2)
    more = np.insert(pixels, 1, np.nan, axis=1), np.insert(mask, 1, False, axis=1)
    np.testing.assert_allclose(
        fitted.encode(*more, "960m"), fitted.encode(pixels, mask, "960m") / 2, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("pool", ["mean", "mean+sd", "attention"])
@few
@given(seed=seeds)
def test_the_order_of_frames_does_not_move_means_and_spreads(pool, seed):
    fitted, pixels, mask, rng = drawn(seed, pool)
    order = rng.permutation(4)
    np.testing.assert_allclose(
        fitted.encode(pixels[:, order], mask[:, order], "960m"),
        fitted.encode(pixels, mask, "960m"),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("pool", ["last-first", "trend"])
@few
@given(seed=seeds)
def test_backwards_in_time_change_has_the_other_sign(pool, seed):
    fitted, pixels, mask, _ = drawn(seed, pool)
    np.testing.assert_allclose(
        fitted.encode(pixels[:, ::-1], mask[:, ::-1], "960m"),
        -fitted.encode(pixels, mask, "960m"),
        rtol=1e-5,
        atol=1e-6,
    )


@each_pool
@few
@given(seed=seeds)
def test_frames_that_are_all_alike_have_no_change_and_no_spread(pool, seed):
    fitted, pixels, mask, _ = drawn(seed, pool)
    same = np.repeat(pixels[:, :1], 4, axis=1), np.repeat(mask[:, :1], 4, axis=1)
    found = fitted.encode(*same, "960m")[0]
    single = fitted.frames.encode(pixels[:1, :1], mask[:1, :1], "960m")[0]
    zero = np.zeros_like(single)
    kept = {"mean": single, "attention": single, "mean+sd": np.concatenate([single, zero])}
    expected = kept.get(pool, zero)
    np.testing.assert_allclose(found, expected, atol=1e-6)
