"""Means and standard deviations of bands: of valid pixels of the chips that may be learned from alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.encoding._moments import learn_moments, moments_from
from eocausal.encoding._prepare import prepare
from eocausal.encoding.catalogue import find_spec
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips


def _learn(chips, keys=None, pick=lambda pixels: pixels):
    keys = chips.keys if keys is None else keys
    return learn_moments(chips, np.asarray(keys), names=tuple(chips.bands), pick=pick, encoder="mine")


def test_they_are_those_of_all_valid_pixels_and_dates_block_by_block():
    chips = fake_chips(21, px=6, dates=3, bands=2, blocks=("480m", "960m"), holes=(2,))
    chips.mask["960m"][0, 1, :4] = False
    found = _learn(chips)
    for block in chips.blocks:
        valid = np.moveaxis(chips.pixels[block], 2, 0)[:, chips.mask[block]].astype(float)
        np.testing.assert_allclose(found[block].mean, valid.mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(found[block].sd, valid.std(axis=1), rtol=1e-6)
        assert found[block].mean.dtype == np.float32


def test_only_the_chips_of_the_keys_are_read_and_their_order_does_not_matter():
    chips = fake_chips(9, px=6)
    keys = chips.keys[[7, 1, 4]]
    found = _learn(chips, keys)
    assert sorted(key for batch in chips.read for key in batch) == sorted(keys.tolist())
    again = _learn(chips, keys[::-1])
    np.testing.assert_array_equal(found["960m"].mean, again["960m"].mean)
    np.testing.assert_array_equal(found["960m"].sd, again["960m"].sd)
    chips.pixels["960m"][[0, 2, 3]] = 1e9
    np.testing.assert_array_equal(_learn(chips, keys)["960m"].sd, found["960m"].sd)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-4, 1e4), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_standardised_pixels_are_the_same_in_any_scale(scale, shift, seed):
    chips, moved = (fake_chips(4, px=5, seed=seed) for _ in range(2))
    moved.pixels["960m"] = (chips.pixels["960m"].astype(float) * scale + shift * scale).astype(np.float32)
    one, other = _learn(chips)["960m"], _learn(moved)["960m"]
    z = [
        (some.pixels["960m"] - found.mean[:, None, None]) / found.sd[:, None, None]
        for some, found in ((chips, one), (moved, other))
    ]
    np.testing.assert_allclose(z[1], z[0], atol=2e-2)


def test_numbers_far_from_zero_keep_their_spread():
    chips = fake_chips(6, px=8, bands=1)
    noise = np.random.default_rng(0).integers(0, 2, chips.pixels["960m"].shape)
    chips.pixels["960m"] = (1e6 + noise).astype(np.float32)
    np.testing.assert_allclose(_learn(chips)["960m"].sd, [noise.std()], rtol=1e-6)


def test_what_cannot_be_standardised_is_refused():
    with pytest.raises(
        EncoderError, match=r"No chip of block '960m' that 'mine' is fitted on has a valid pixel"
    ):
        _learn(fake_chips(3, holes=(0, 1, 2)))
    chips = fake_chips(3)
    chips.pixels["960m"][:, :, 1] = 0.3
    with pytest.raises(EncoderError, match=r"Bands of block '960m' have the same value[\s\S]*1 \(b1\)"):
        _learn(chips)
    with pytest.raises(EncoderError, match=r"not that of 'mine'[\s\S]*960m/sd"):
        moments_from({"960m/mean": np.zeros(2, np.float32)}, ("960m",), "mine")


def test_pictures_are_standardised_and_what_is_not_valid_is_the_mean_before_later_steps():
    spec = find_spec("croma-base")
    chips = fake_chips(2, px=120, bands=12)
    chips.bands, chips.mask["960m"][0, 0, :9] = spec.common_names, False
    prepared = prepare(spec, chips)
    with pytest.raises(EncoderError, match="were not among those that the encoder was fitted on"):
        prepared.frames(chips.pixels["960m"], chips.mask["960m"], "960m")
    found = _learn(chips, pick=prepared.pick)
    fitted = dataclasses.replace(prepared, moments=found)
    pictures, valid = fitted.frames(chips.pixels["960m"], chips.mask["960m"], "960m")
    moments = found["960m"]
    z = (chips.pixels["960m"] - moments.mean[:, None, None]) / moments.sd[:, None, None]
    expected = np.where(chips.mask["960m"][:, :, None], np.clip((z + 2) / 4, 0, 1), 0.5)
    np.testing.assert_allclose(pictures, expected, atol=1e-6)
    np.testing.assert_array_equal(valid, chips.mask["960m"])
    assert (pictures.min(), pictures.max()) == (0, 1)
