"""Chips that are already cut find their units by key."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from tests.scenes import read_all


def units(keys: list[object]) -> ec.Units:
    table = pd.DataFrame({"id": range(len(keys)), "cell": keys})
    return ec.read_units(table, id="id", image_key="cell")


def pictures(n: int = 3, bands: int = 2, dtype: str = "uint8") -> np.ndarray:
    """Return chips of 4 x 4 pixels: 50 chip + 20 band + pixel, bands last."""
    chip, row, column, band = np.mgrid[0:n, 0:4, 0:4, 0:bands]
    return (50 * chip + 20 * band + 4 * row + column).astype(dtype)


def test_chips_follow_the_units_keys_not_the_arrays_order():
    chips = ec.chips_from_arrays(units(["b", "a", "b"]), pictures(), keys=["a", "x", "b"])
    assert chips.keys.tolist() == ["b", "a"]
    batch = read_all(chips)
    assert batch.pixels["4px"].shape == (2, 1, 2, 4, 4)
    square = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(batch.pixels["4px"][0, 0], [square + 100, square + 120])
    np.testing.assert_array_equal(batch.pixels["4px"][1, 0], [square, square + 20])
    assert chips.table()["n_units"].tolist() == [2, 1]


def test_bands_first_and_bands_last_are_the_same_chips():
    last = read_all(ec.chips_from_arrays(units([1, 2]), pictures(), keys=[1, 2, 3]))
    first = read_all(ec.chips_from_arrays(units([1, 2]), pictures().transpose(0, 3, 1, 2), keys=[1, 2, 3]))
    np.testing.assert_array_equal(last.pixels["4px"], first.pixels["4px"])
    square = pictures(bands=4)
    told = read_all(ec.chips_from_arrays(units([1, 2]), square, keys=[1, 2, 3], axes="nhwc"))
    np.testing.assert_array_equal(told.pixels["4px"][0, 0, 3], square[0, :, :, 3])


def test_keys_without_a_chip_are_missing_and_stay():
    chips = ec.chips_from_arrays(units([1, 9]), pictures(), keys=[1, 2, 3])
    assert chips.table()["status"].tolist() == ["ok", "missing"]
    assert chips.table()["valid_fraction"].tolist() == [1.0, 0.0]
    assert np.isnan(read_all(chips).pixels["4px"][1]).all()


def test_nodata_nan_and_infinite_pixels_are_not_valid_in_any_band():
    floats = pictures(dtype="float32")
    floats[0, 0, 0, 0], floats[0, 1, 1, 1], floats[1, ..., 0] = np.nan, np.inf, np.nan
    batch = read_all(ec.chips_from_arrays(units([1, 2, 3]), floats, keys=[1, 2, 3], nodata=100))
    # Value 100 is the first pixel of chip 3, band 1.
    assert batch.status["4px"].tolist() == ["partial", "nodata", "partial"]
    np.testing.assert_allclose(batch.valid_fraction["4px"], [14 / 16, 0, 15 / 16])
    assert np.isnan(batch.pixels["4px"][0, 0, :, [0, 1], [0, 1]]).all()
    assert batch.pixels["4px"][2, 0, 1, 0, 1] == 121


def test_one_chip_per_unit_needs_no_keys():
    table = pd.DataFrame({"id": ["x", "y", "z"], "lon": [1.0, 2, 3], "lat": [1.0, 2, 3]})
    chips = ec.chips_from_arrays(ec.read_units(table, id="id", lon="lon", lat="lat"), pictures(), size_m=960)
    assert chips.keys.tolist() == ["x", "y", "z"]
    assert chips.blocks == ("960m",)


def test_npz_names_its_keys(tmp_path):
    np.savez_compressed(tmp_path / "chips.npz", cell=np.array([3, 1, 2], dtype="int32"), pixels=pictures())
    by_default = ec.chips_from_arrays(units([1, 2]), tmp_path / "chips.npz", bands=["red", "nir"])
    named = ec.chips_from_arrays(units([1, 2]), str(tmp_path / "chips.npz"), keys="cell")
    assert by_default.bands == ("red", "nir")
    for chips in (by_default, named):
        assert read_all(chips).pixels["4px"][:, 0, 0, 0, 0].tolist() == [50, 100]
    assert named.recipe()["file"] == "chips.npz"


def test_recipe_follows_pixels_and_keys_not_names():
    base = ec.chips_from_arrays(units([1, 2]), pictures(), keys=[1, 2, 3]).recipe()
    assert base == ec.chips_from_arrays(units([1, 2]), pictures(), keys=[1, 2, 3]).recipe()
    changed = pictures()
    changed[1, 2, 2, 1] += 1
    assert base != ec.chips_from_arrays(units([1, 2]), changed, keys=[1, 2, 3]).recipe()
    assert base != ec.chips_from_arrays(units([1, 2]), pictures(), keys=[1, 3, 2]).recipe()
    assert base != ec.chips_from_arrays(units([1, 2]), pictures(), keys=[1, 2, 3], nodata=0).recipe()


def test_chips_that_are_not_square_say_so():
    oblong = pictures()[:, :3]
    chips = ec.chips_from_arrays(units([1]), oblong, keys=[1, 2, 3], axes="nhwc")
    assert chips.blocks == ("3x4px",)
    assert chips.thumbnails([1]).shape == (1, 3, 4, 3)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_are_the_same_however_they_are_cut(size):
    chips = ec.chips_from_arrays(units([3, 1, 2]), pictures(), keys=[1, 2, 3])
    parts = [batch.pixels["4px"] for batch in chips.batches(size=size)]
    np.testing.assert_array_equal(np.concatenate(parts), read_all(chips).pixels["4px"])
