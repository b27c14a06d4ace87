"""Means of pixels against numbers computed by hand."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from affine import Affine

import eocausal as ec
from eocausal.encoding.registry import encoder_names, get_encoder
from eocausal.errors import EncoderError
from eocausal.runner.asked_encoders import asked_encoder
from eocausal.specs.encoders import ImageStatsSpec, PixelMeanSpec, RcfSpec
from tests.fake_chips import fake_chips
from tests.scenes import NORTH, WEST, read_all, units_on, write_scene


def encode(pixels, mask=None):
    pixels = np.asarray(pixels, dtype=np.float32)
    mask = np.ones((*pixels.shape[:2], *pixels.shape[3:]), dtype=bool) if mask is None else np.asarray(mask)
    return ec.PixelMean().fit(fake_chips(2, bands=pixels.shape[2])).encode(pixels, mask, "960m")


def test_each_band_has_its_mean_over_valid_pixels():
    pixels = [[[[[1, 2], [3, np.nan]], [[10, 30], [20, np.nan]]]]]
    np.testing.assert_array_equal(encode(pixels, [[[[True, True], [True, False]]]]), [[2, 20]])


def test_dates_weigh_the_same_and_dates_without_a_pixel_are_left_out():
    pixels = np.zeros((1, 3, 1, 2, 2))
    pixels[0, 0], pixels[0, 1], pixels[0, 2] = 10, 40, 1000
    mask = np.ones((1, 3, 2, 2), dtype=bool)
    mask[0, 0, 0] = False  # two pixels of the first date still count as one date
    mask[0, 2] = False
    assert encode(pixels, mask)[0, 0] == 25


def test_a_single_pixel_is_enough_and_none_is_nan():
    pixels = np.full((2, 1, 2, 3, 3), 5.0)
    mask = np.zeros((2, 1, 3, 3), dtype=bool)
    mask[0, 0, 1, 1] = True
    np.testing.assert_array_equal(encode(pixels, mask), [[5, 5], [np.nan, np.nan]])


def test_columns_name_block_and_band():
    encoder = get_encoder("pixel_mean")
    fitted = encoder.fit(fake_chips(2, bands=2))
    assert fitted.columns("640m") == ("pixel_mean_640m_b0", "pixel_mean_640m_b1")
    assert fitted.state() == {}
    assert encoder.restore({}, chips=fake_chips(2, bands=2)) == fitted


def test_chips_with_other_bands_are_refused():
    with pytest.raises(EncoderError, match=r"fitted to 2 bands and is given 1"):
        ec.PixelMean().fit(fake_chips(2, bands=2)).encode(
            np.zeros((1, 1, 1, 2, 2), dtype="f4"), np.ones((1, 1, 2, 2), dtype=bool), "960m"
        )


def test_an_embedding_product_becomes_the_mean_vector_around_each_unit(tmp_path):
    # band b of column c holds b * 10 + c % 2 * 20 - 30, so every window of even width has a known mean
    band, _, column = np.mgrid[1:5, 0:20, 0:20]
    stored = (10 * band + 20 * (column % 2) - 30).astype("int8")
    stored[:, :, 10:] = -128
    file = write_scene(tmp_path / "aef_2017.tif", stored, pixel=10.0, nodata=-128,
                       descriptions=("A00", "A01", "A02", "A03"))  # fmt: skip
    units = units_on([(10, 5), (10, 15)], pixel=10.0)
    unit = ec.Radiometry("alphaearth_int8", convert_to="unit_vector")
    found = ec.embed(
        ec.chips(units, file, size_m=40, pixel_unit=unit, date="2017-12-31"),
        encoder="pixel_mean", device="cpu", progress=False,
    )  # fmt: skip
    assert found.columns == tuple(f"pixel_mean_40m_A0{b}" for b in range(4))
    low, high = 10 * np.arange(1.0, 5) - 30, 10 * np.arange(1.0, 5) - 10
    wanted = (np.sign(low) * (low / 127.5) ** 2 + np.sign(high) * (high / 127.5) ** 2) / 2
    np.testing.assert_allclose(found.values[0], wanted, rtol=1e-5, atol=1e-9)
    assert np.isnan(found.values[1]).all()
    assert found.info["status"].tolist() == ["ok", "nodata"]
    assert found.date == "2017-12-31"


def test_the_annual_product_of_the_treatment_year_is_refused():
    table = pd.DataFrame({"id": range(40), "took": [0, 1] * 20, "y": np.arange(40.0) % 7,
                          "started": ["2018-03-01"] * 40})  # fmt: skip
    units = ec.read_units(table, id="id", image_key="id", date="started")
    pixels = np.random.default_rng(0).normal(size=(40, 2, 2, 3))
    chips = ec.chips_from_arrays(units, pixels, keys=np.arange(40), date="2018-12-31")
    found = ec.embed(chips, encoder="pixel_mean", device="cpu", progress=False)
    with pytest.raises(ec.errors.LeakError, match=r"2018-12-31 was taken on or after treatment"):
        ec.Design(units, outcome="y", treatment="took", features=found)


def bottom_up(folder):
    """Write the same scene north-up and bottom-up, as mirrors of AlphaEarth store it."""
    stored = np.random.default_rng(0).integers(-100, 100, (3, 40, 50)).astype("int8")
    north_up = write_scene(folder / "up.tif", stored, pixel=10.0, nodata=-128)
    place = Affine(10, 0, WEST, 0, 10, NORTH - 400)
    return stored, north_up, write_scene(folder / "down.tif", stored[:, ::-1], nodata=-128, transform=place)


def test_a_bottom_up_file_gives_the_pixels_of_the_north_up_one(tmp_path):
    _, north_up, south_up = bottom_up(tmp_path)
    units = units_on([(10, 10), (21, 30)], pixel=10.0)
    unit = ec.Radiometry("alphaearth_int8", convert_to="unit_vector")
    one, other = (
        read_all(ec.chips(units, file, size_m=40, pixel_unit=unit)).pixels["40m"]
        for file in (north_up, south_up)
    )
    np.testing.assert_allclose(other, one, atol=1e-6)


def test_vectors_are_decoded_before_they_are_interpolated(tmp_path):
    stored, _, south_up = bottom_up(tmp_path)
    # a bottom-up file is interpolated: half a pixel east, each pixel is the mean of two
    units = units_on([(10, 10.5)], pixel=10.0)
    unit = ec.Radiometry("alphaearth_int8", convert_to="unit_vector")
    found = read_all(ec.chips(units, south_up, size_m=20, pixel_unit=unit)).pixels["20m"][0, 0]
    decoded = np.sign(stored) * (stored.astype(float) / 127.5) ** 2
    wanted = (decoded[:, 9:11, 9:11] + decoded[:, 9:11, 10:12]) / 2
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_every_encoder_that_is_built_in_has_a_block_of_its_own():
    blocks = (RcfSpec, ImageStatsSpec, PixelMeanSpec)
    assert {get_args(one.model_fields["name"].annotation)[0] for one in blocks} == set(encoder_names())
    assert asked_encoder(PixelMeanSpec(name="pixel_mean")) == ec.PixelMean()
