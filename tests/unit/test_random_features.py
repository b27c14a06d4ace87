"""Random convolutional features: the draw, the whitening, and the pooled responses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from eocausal.encoding._patches import draw_patches, whitened_filters
from eocausal.encoding._windows import valid_windows
from eocausal.encoding.random_features import RandomFeatures
from tests.fake_chips import fake_chips


def small(**more):
    return RandomFeatures(**{"n_features": 16, "patch_px": (3, 5), **more})


def first_batch(chips):
    batch = next(iter(chips.batches(size=len(chips))))
    return batch.pixels["960m"], batch.mask["960m"]


def responses(state, pixels, mask, size):
    """Return the responses at valid windows by scipy's correlation, (filters, windows), in float64."""
    mean, sd = (state[f"960m/{part}"].astype(float)[:, None, None] for part in ("mean", "sd"))
    scene = np.where(mask, (pixels - mean) / sd, 0.0)
    views = np.lib.stride_tricks.sliding_window_view(mask, (size, size)).all(axis=(-1, -2))
    found = []
    for weights in state[f"960m/filters_{size}"].astype(float):
        each = [scipy.signal.correlate2d(band, weight, mode="valid") for band, weight in zip(scene, weights)]
        found.append(np.sum(each, axis=0)[views])
    return np.array(found)


def test_valid_windows_against_the_definition():
    mask = np.random.default_rng(0).random((2, 9, 8)) > 0.1
    for size in (1, 2, 3, 5):
        direct = np.lib.stride_tricks.sliding_window_view(mask, (size, size), axis=(1, 2)).all(axis=(-1, -2))
        np.testing.assert_array_equal(valid_windows(mask, size), direct)


@pytest.mark.parametrize("bias", [0.0, 0.7])
@pytest.mark.parametrize("hole", [False, True])
def test_features_are_pooled_two_sided_responses(bias, hole):
    chips = fake_chips(6, px=40)
    if hole:
        chips.mask["960m"][2, 0, 10:14, 20:35] = False
    fitted = small(bias=bias).fit(chips)
    pixels, mask = first_batch(chips)
    got = fitted.encode(pixels, mask, "960m")[2]
    want = [responses(fitted.state(), pixels[2, 0], mask[2, 0], size) for size in (3, 5)]
    above = np.concatenate([np.maximum(c - bias, 0).mean(axis=1) for c in want])
    below = np.concatenate([np.maximum(-c - bias, 0).mean(axis=1) for c in want])
    np.testing.assert_allclose(got, np.concatenate([above, below]), rtol=1e-4, atol=1e-5)


def test_halves_differ_by_the_mean_response_at_bias_zero():
    chips = fake_chips(4)
    fitted = small().fit(chips)
    pixels, mask = first_batch(chips)
    got = fitted.encode(pixels, mask, "960m")[0].astype(float)
    mean = np.concatenate(
        [responses(fitted.state(), pixels[0, 0], mask[0, 0], k).mean(axis=1) for k in (3, 5)]
    )
    scale = np.abs(got).max()
    np.testing.assert_allclose(got[:8] - got[8:], mean, rtol=1e-4, atol=1e-5 * scale)
    assert (got >= 0).all()


def test_rows_of_a_large_chip_are_pooled_in_several_blocks(monkeypatch):
    from eocausal.encoding import random_features

    chips = fake_chips(3, px=20)
    fitted = small(bias=0.2).fit(chips)
    pixels, mask = first_batch(chips)
    whole = fitted.encode(pixels, mask, "960m")
    monkeypatch.setattr(random_features, "_POSITIONS", {"cpu": 40})
    np.testing.assert_allclose(fitted.encode(pixels, mask, "960m"), whole, rtol=1e-5)


def test_filters_whiten_the_windows_they_come_from():
    chips = fake_chips(40, px=16)
    drawn = draw_patches(chips, chips.keys, sizes_px=(3,), filters=64, seed=0)["960m"]
    filters = whitened_filters(drawn, 3, whitening=1e-3).reshape(64, -1).astype(float)
    windows = (drawn.windows[3] - drawn.mean[:, None, None]) / drawn.sd[:, None, None]
    flat = windows.reshape(64 * 32, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    covariance = flat.T @ flat / len(flat)
    ridge = covariance + 1e-3 * np.eye(18)
    first = flat.reshape(64, 32, -1)[:, 0]
    np.testing.assert_allclose(filters @ ridge, first, atol=1e-4)
    np.testing.assert_allclose(filters.sum(axis=1), 0, atol=1e-3)


def test_bands_are_standardised_by_the_chips_that_were_drawn():
    chips = fake_chips(5, px=10)
    state = RandomFeatures(n_features=64, patch_px=(3,)).fit(chips).state()
    pixels = chips.pixels["960m"].astype(float)  # 32 draws from 5 chips: all were drawn
    np.testing.assert_allclose(state["960m/mean"], pixels.mean(axis=(0, 1, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(state["960m/sd"], pixels.std(axis=(0, 1, 3, 4)), rtol=1e-5)


def test_filters_come_from_the_fit_keys_alone():
    chips, marked = fake_chips(10), fake_chips(10)
    marked.pixels["960m"][5:] = 1e9
    one = small().fit(chips, keys=chips.keys[:5]).state()
    two = small().fit(marked, keys=marked.keys[:5]).state()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert {key for batch in marked.read for key in batch} <= set(marked.keys[:5].tolist())


def test_the_draw_depends_on_the_set_of_keys_and_the_seed_only():
    chips = fake_chips(10)
    base = small().fit(chips).state()
    shuffled = small().fit(chips, keys=chips.keys[[3, 1, 9, 0, 2, 8, 7, 6, 5, 4]]).state()
    assert all(np.array_equal(base[name], shuffled[name]) for name in base)
    other = small(seed=1).fit(chips).state()
    assert not np.array_equal(base["960m/filters_3"], other["960m/filters_3"])


def test_each_block_has_its_own_filters():
    chips = fake_chips(10, blocks=("960m", "3840m"))
    chips.pixels["3840m"] = chips.pixels["960m"]
    state = small().fit(chips).state()
    assert not np.array_equal(state["960m/filters_3"], state["3840m/filters_3"])
    alone = small().fit(fake_chips(10, blocks=("960m",))).state()
    assert all(np.array_equal(alone[name], state[name]) for name in alone)


def test_chips_without_a_usable_window_are_passed_over():
    chips = fake_chips(12, holes=range(1, 11))
    chips.pixels["960m"][0] = 7  # valid, but no window varies
    state = RandomFeatures(n_features=32, patch_px=(3,)).fit(chips).state()
    last = chips.pixels["960m"][11].astype(float)
    np.testing.assert_allclose(state["960m/mean"], last.mean(axis=(0, 2, 3)), rtol=1e-5)
    assert np.isfinite(state["960m/filters_3"]).all()


def test_windows_never_touch_invalid_pixels():
    chips = fake_chips(4, px=10)
    chips.mask["960m"][:, :, 4:, :] = False
    chips.pixels["960m"][:, :, :, 4:, :] = 1e9
    drawn = draw_patches(chips, chips.keys, sizes_px=(3,), filters=20, seed=0)["960m"]
    assert np.abs(drawn.windows[3]).max() < 1e4


def test_a_chip_smaller_than_its_valid_windows_is_nan():
    chips = fake_chips(3, px=8)
    fitted = small().fit(chips)
    pixels, mask = first_batch(chips)
    mask[1, 0, ::4, :] = False  # leaves 3 x 3 windows but no 5 x 5
    got = fitted.encode(pixels, mask, "960m")
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[[0, 2]]).all()


def test_dates_are_averaged_and_empty_dates_left_out():
    chips = fake_chips(3, dates=2)
    fitted = small().fit(chips)
    pixels, mask = first_batch(chips)
    both = fitted.encode(pixels, mask, "960m")
    each = [fitted.encode(pixels[:, [d]], mask[:, [d]], "960m") for d in (0, 1)]
    np.testing.assert_allclose(both, (each[0] + each[1]) / 2, rtol=1e-5)
    mask[:, 1] = False
    np.testing.assert_array_equal(fitted.encode(pixels, mask, "960m"), each[0])


def test_restore_gives_the_same_bits():
    chips = fake_chips(6)
    fitted = small().fit(chips)
    again = small().restore(fitted.state(), chips=chips)
    pixels, mask = first_batch(chips)
    np.testing.assert_array_equal(again.encode(pixels, mask, "960m"), fitted.encode(pixels, mask, "960m"))


def test_bits_do_not_depend_on_threads_here():
    chips = fake_chips(6, px=40, bands=4)
    pixels, mask = first_batch(chips)
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(small(n_features=64).fit(chips).encode(pixels, mask, "960m"))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the point is that the global state does not move
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    small().fit(fake_chips(4))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_columns_number_the_features():
    fitted = small().fit(fake_chips(3))
    assert fitted.columns("960m")[0] == "rcf_960m_000"
    assert fitted.columns("960m")[-1] == "rcf_960m_015"


def test_brightness_of_all_bands_is_hardly_seen_and_that_of_one_band_is():
    """What the documentation warns of, so that it is found out when it changes."""
    chips = fake_chips(30, px=24, bands=3)
    fitted = small(n_features=64).fit(chips)
    pixels, mask = first_batch(chips)
    plain, sd = fitted.encode(pixels, mask, "960m"), fitted.state()["960m/sd"][:, None, None]
    brighter = fitted.encode((pixels + 0.8 * sd).astype(np.float32), mask, "960m")
    redder = pixels.copy()
    redder[:, :, 0] += 0.8 * sd[0]
    assert np.abs(brighter - plain).max() < 0.05 * plain.std()
    assert np.abs(fitted.encode(redder, mask, "960m") - plain).max() > plain.std()
