"""Zeros that stand for no data, and pictures of one value."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from eocausal.imagery.zeros import SUSPECT_SHARE, constant, zero_counts, zero_heavy
from tests.scenes import numbered, read_all, units_on, write_scene


def test_zero_in_one_band_is_a_value_and_in_all_bands_is_counted():
    pixels = np.ones((2, 1, 2, 2, 5))
    pixels[0, 0, :, 0, :3] = 0
    pixels[1, 0, 0, 1, :] = 0
    # 3 of 20 places are zero in both bands; those of the second chip in one band only
    assert zero_heavy(pixels) == 3 / 20
    pixels[1, 0, 0, 0, :] = np.nan
    # 5 places are not valid, since one of their bands is not
    assert zero_counts(pixels) == (3, 15)
    assert zero_heavy(pixels) == 0.2


@pytest.mark.parametrize(("pixels", "share"), [(np.nan, 0.0), (0, 1.0), (-0.0, 1.0), (1e-30, 0.0)])
def test_zero_share_at_the_ends(pixels, share):
    assert zero_heavy(np.full((1, 1, 3, 4, 4), pixels)) == share
    assert zero_heavy(np.full((0, 1, 3, 4, 4), pixels)) == 0.0


def test_whole_numbers_are_counted_too():
    assert zero_heavy(np.array([[[0, 1], [0, 0]], [[0, 1], [2, 0]]], dtype="uint8")) == 0.5


def test_a_scene_without_nodata_tag_shows_its_empty_border(tmp_path):
    """Columns 0 to 19 of 80 were never seen by the satellite; the file does not say so."""
    pixels = numbered()
    pixels[:, :, :20] = 0
    units = units_on([(30, 20), (30, 60)])
    shares = {}
    for nodata in (None, 0):
        file = write_scene(tmp_path / f"{nodata}.tif", pixels, nodata=nodata)
        batch = read_all(ec.chips(units, file, size_px=20))
        shares[nodata] = zero_heavy(batch.pixels["20px"])
        assert batch.status["20px"].tolist() == (["ok", "ok"] if nodata is None else ["partial", "ok"])
    # Half of the first chip of two is border.
    assert shares == {None: 0.25, 0: 0.0}
    assert shares[None] > SUSPECT_SHARE


def test_constant_chips_are_those_of_one_value_in_every_band():
    pixels = np.zeros((6, 1, 2, 3, 3), dtype=np.float32)
    pixels[0] = 7
    pixels[1, 0, 0], pixels[1, 0, 1] = 3, 4
    pixels[2, 0, 1, 2, 2] = 1
    pixels[3] = np.nan
    pixels[4] = np.nan
    pixels[4, 0, :, 0, 0] = 5
    pixels[5, 0, 0, 1, 1] = np.nan
    pixels[5, 0, 1, 1, 1] = 9
    # one value; one in each band; a pixel differs; none valid; one valid; what differs is not valid
    assert constant(pixels).tolist() == [True, True, False, False, False, True]
    assert constant(pixels[:0]).tolist() == []


def test_dates_of_one_value_each_are_not_constant():
    pixels = np.stack([np.full((1, 2, 2), 1.0), np.full((1, 2, 2), 2.0)])[None]
    assert constant(pixels).tolist() == [False]
