"""Image statistics against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.registry import encoder_names, get_encoder
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips


def encode(pixels, mask=None, quantiles=(0.5,)):
    pixels = np.asarray(pixels, dtype=np.float32)
    mask = np.ones((*pixels.shape[:2], *pixels.shape[3:]), dtype=bool) if mask is None else mask
    bands = pixels.shape[2]
    fitted = ImageStats(quantiles=quantiles).fit(fake_chips(2, bands=bands))
    values = fitted.encode(pixels, mask, "960m")
    names = [name.removeprefix("image_stats_960m_") for name in fitted.columns("960m")]
    return [dict(zip(names, row.tolist())) for row in values]


def test_statistics_of_a_three_by_three_chip_by_hand():
    found = encode([[[[[1, 2, 3], [4, 5, 6], [7, 8, 12]]]]])[0]
    assert found["b0_mean"] == pytest.approx(48 / 9)
    squares = sum(v * v for v in (1, 2, 3, 4, 5, 6, 7, 8, 12)) / 9
    sd = (squares - (48 / 9) ** 2) ** 0.5
    assert found["b0_sd"] == pytest.approx(sd, rel=1e-6)
    assert found["b0_q50"] == 5
    assert found["b0_grad_h"] == pytest.approx((1 + 1 + 1 + 1 + 1 + 4) / 6)
    assert found["b0_grad_v"] == pytest.approx((3 + 3 + 3 + 3 + 3 + 6) / 6)
    assert found["b0_local_sd"] == pytest.approx(sd, rel=1e-6)


def test_only_valid_pixels_and_valid_pairs_count():
    chip = np.arange(16, dtype=np.float32).reshape(1, 1, 1, 4, 4)
    mask = np.ones((1, 1, 4, 4), dtype=bool)
    mask[0, 0, :, 3] = False
    chip[..., 3] = np.nan
    found = encode(chip, mask)[0]
    assert found["b0_mean"] == pytest.approx(np.mean([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]))
    assert found["b0_grad_h"] == 1
    assert found["b0_grad_v"] == 4
    windows = [np.std([0, 1, 2, 4, 5, 6, 8, 9, 10])] * 2
    assert found["b0_local_sd"] == pytest.approx(np.mean(windows), rel=1e-6)


def test_columns_come_band_by_band():
    fitted = ImageStats(quantiles=(0.1, 0.025)).fit(fake_chips(2, bands=2))
    assert fitted.columns("3840m")[:7] == (
        "image_stats_3840m_b0_mean",
        "image_stats_3840m_b0_sd",
        "image_stats_3840m_b0_q10",
        "image_stats_3840m_b0_q2_5",
        "image_stats_3840m_b0_grad_h",
        "image_stats_3840m_b0_grad_v",
        "image_stats_3840m_b0_local_sd",
    )
    assert fitted.columns("3840m")[7] == "image_stats_3840m_b1_mean"


def test_dates_are_averaged_and_dates_without_a_window_left_out():
    chip = np.zeros((1, 3, 1, 3, 3), dtype=np.float32)
    chip[0, 0], chip[0, 1], chip[0, 2] = 10, 20, 1000
    mask = np.ones((1, 3, 3, 3), dtype=bool)
    mask[0, 2, 0, 0] = False
    assert encode(chip, mask)[0]["b0_mean"] == 15


def test_a_chip_without_a_valid_window_is_nan_throughout():
    chip = np.ones((2, 1, 2, 4, 4), dtype=np.float32)
    mask = np.zeros((2, 1, 4, 4), dtype=bool)
    mask[1] = True
    empty, full = encode(chip, mask)
    assert all(np.isnan(list(empty.values())))
    assert np.isfinite(list(full.values())).all()


def test_large_offsets_do_not_cost_digits():
    chip = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0], dtype=np.float32).reshape(1, 1, 1, 3, 3)
    near, far = encode(chip)[0], encode(chip + 2**20)[0]
    assert far["b0_local_sd"] == near["b0_local_sd"]
    assert far["b0_sd"] == near["b0_sd"]


def test_there_is_nothing_to_save():
    encoder = get_encoder("image_stats")
    chips = fake_chips(3)
    assert encoder.fit(chips).state() == {}
    batch = next(iter(chips.batches()))
    again = encoder.restore({}, chips=chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")
    first = encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("quantiles", [(1.5,), (-0.1, 0.5), (0.5, 0.5), (float("nan"),)])
def test_quantiles_are_shares_each_once(quantiles):
    with pytest.raises(EncoderError, match=r"quantiles=.*cannot be used"):
        ImageStats(quantiles=quantiles)


def test_registry_knows_names_and_passes_configurations_through():
    assert encoder_names() == ("image_stats", "pixel_mean", "rcf")
    mine = ImageStats(quantiles=(0.25,))
    assert get_encoder(mine) is mine
    assert get_encoder("rcf").recipe()["n_features"] == 512
