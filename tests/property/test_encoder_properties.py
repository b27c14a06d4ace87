"""What must hold for any chips and any encoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.pixel_mean import PixelMean
from eocausal.encoding.random_features import RandomFeatures
from tests.fake_chips import fake_chips

ENCODERS = {
    "image_stats": ImageStats(),
    "pixel_mean": PixelMean(),
    "rcf": RandomFeatures(n_features=16),
    "rcf_bias": RandomFeatures(16, bias=0.5),
}
few = settings(max_examples=12, deadline=None)


def drawn(seed, *, name, dates=1):
    """Return a fitted encoder and random chips with random holes."""
    rng = np.random.default_rng(seed)
    chips = fake_chips(9, px=11, dates=dates, bands=3, seed=seed)
    chips.mask["960m"] &= rng.random(chips.mask["960m"].shape) > rng.choice([0.0, 0.03, 0.2])
    chips.mask["960m"][0] = True
    batch = next(iter(chips.batches(size=9)))
    return ENCODERS[name].fit(chips), batch.pixels["960m"], batch.mask["960m"], rng


each = pytest.mark.parametrize("name", list(ENCODERS))


@each
@few
@given(seed=st.integers(0, 10_000), dates=st.integers(1, 2))
def test_a_chip_has_the_same_bits_in_any_batch(name, seed, dates):
    fitted, pixels, mask, _ = drawn(seed, name=name, dates=dates)
    whole = fitted.encode(pixels, mask, "960m")
    for i in range(len(pixels)):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])


@each
@few
@given(seed=st.integers(0, 10_000))
def test_permuted_chips_permute_rows(name, seed):
    fitted, pixels, mask, rng = drawn(seed, name=name)
    order = rng.permutation(len(pixels))
    np.testing.assert_array_equal(
        fitted.encode(pixels[order], mask[order], "960m"), fitted.encode(pixels, mask, "960m")[order]
    )


@each
@few
@given(seed=st.integers(0, 10_000), fill=st.sampled_from([0.0, -7.5, 1e9, np.nan, np.inf]))
def test_what_stands_under_the_mask_changes_nothing(name, seed, fill):
    fitted, pixels, mask, _ = drawn(seed, name=name)
    changed = np.where(mask[:, :, None], pixels, np.float32(fill))
    np.testing.assert_array_equal(fitted.encode(changed, mask, "960m"), fitted.encode(pixels, mask, "960m"))


@each
@few
@given(seed=st.integers(0, 10_000))
def test_rows_are_finite_or_nan_throughout(name, seed):
    fitted, pixels, mask, _ = drawn(seed, name=name)
    finite = np.isfinite(fitted.encode(pixels, mask, "960m"))
    assert (finite.all(axis=1) | ~finite.any(axis=1)).all()
    assert finite[0].all()


@few
@given(seed=st.integers(0, 10_000))
def test_a_quarter_turn_changes_random_features_but_not_band_statistics(seed):
    fitted, pixels, mask, _ = drawn(seed, name="rcf")
    full = np.ones_like(mask[:1])
    scene = np.where(mask[:1, :, None], pixels[:1], 0)
    turned = np.rot90(scene, axes=(-2, -1)).copy()
    before, after = (fitted.encode(chip, full, "960m") for chip in (scene, turned))
    assert np.abs(before - after).max() > 1e-3 * np.abs(before).max()
    plain = ENCODERS["image_stats"].fit(fake_chips(2, bands=3))
    columns = [name.endswith(("_mean", "_sd", "_q10", "_q50", "_q90")) for name in plain.columns("960m")]
    one, two = (plain.encode(chip, full, "960m")[:, columns] for chip in (scene, turned))
    np.testing.assert_allclose(one, two, rtol=1e-5)


@few
@given(seed=st.integers(0, 10_000), dates=st.integers(1, 2))
def test_means_of_pixels_do_not_depend_on_where_the_pixels_are(seed, dates):
    fitted, pixels, mask, rng = drawn(seed, name="pixel_mean", dates=dates)
    side = pixels.shape[-1]
    order = rng.permutation(side * side)

    def moved(array):
        return array.reshape(*array.shape[:-2], -1)[..., order].reshape(array.shape)

    found = fitted.encode(moved(pixels), moved(mask), "960m")
    np.testing.assert_allclose(found, fitted.encode(pixels, mask, "960m"), rtol=1e-6)


@few
@given(seed=st.integers(0, 10_000))
def test_halves_of_random_features_are_never_both_zero_and_differ_by_a_linear_map(seed):
    fitted, pixels, mask, _ = drawn(seed, name="rcf")
    scene, full = np.where(mask[:1, :, None], pixels[:1], 0), np.ones_like(mask[:1])
    mean = fitted.state()["960m/mean"][:, None, None]
    mirrored = 2 * mean - scene  # standardised pixels change sign, so the halves change places
    before, after = (
        fitted.encode(scene, full, "960m")[0],
        fitted.encode(mirrored.astype("f4"), full, "960m")[0],
    )
    np.testing.assert_allclose(after[8:], before[:8], rtol=1e-3, atol=1e-4 * np.abs(before).max())
    assert (before[:8] + before[8:] > 0).all()
