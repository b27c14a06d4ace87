"""Chips from TFRecord files: files of TensorFlow itself, and of a writer by the letter of the format."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.imagery._crc32c import crc32c, crc32c_by_numpy
from eocausal.imagery._protobuf import read_example, read_tensor
from tests.scenes import read_all
from tests.tfrecords import example, field, picture_record, record, tensor, text_tensor, write

# Two pictures of 2 x 2 pixels in two bands, float16, with keys "1e+05" and "7", laid out as causalimages does
# and written by TensorFlow 2.21. Picture k holds 0, 1/4, ... 7/4 less k.
BY_TENSORFLOW = base64.b64decode(
    "lAAAAAAAAABdJfEACpEBChEKCGNoYW5uZWxzEgUaAwoBAgoPCgZoZWlnaHQSBRoDCgECCg4KBWluZGV4EgUaAwoBAQoWCgNrZXkSDwoN"
    "CgsIBxIAQgUxZSswNQozCglyYXdfaW1hZ2USJgokCiIIExIMEgIIAhICCAISAggCIhAAAAA0ADgAOgA8AD0APgA/Cg4KBXdpZHRoEgUa"
    "AwoBAm/GtY+QAAAAAAAAAJZjN/0KjQEKEQoIY2hhbm5lbHMSBRoDCgECCg8KBmhlaWdodBIFGgMKAQIKDgoFaW5kZXgSBRoDCgECChIK"
    "A2tleRILCgkKBwgHEgBCATcKMwoJcmF3X2ltYWdlEiYKJAoiCBMSDBICCAISAggCEgIIAiIQALwAugC4ALQAAAA0ADgAOgoOCgV3aWR0"
    "aBIFGgMKAQKaj+sp"
)


def units(keys: list[object]) -> ec.Units:
    table = pd.DataFrame({"id": range(len(keys)), "cell": keys})
    return ec.read_units(table, id="id", image_key="cell")


def pictures(n: int = 3, dtype: str = "f2") -> np.ndarray:
    """Return pictures of 4 x 4 pixels in 3 bands: 30 picture + 4 row + column, plus 100 a band."""
    n_, row, column, band = np.mgrid[0:n, 0:4, 0:4, 0:3]
    return (30 * n_ + 4 * row + column + (0 if dtype in ("i1", "u1") else 100) * band).astype(dtype)


def test_a_file_of_tensorflow_gives_its_pixels_and_keys_as_r_writes_them(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(BY_TENSORFLOW)
    chips = ec.chips_from_tfrecord(units([7, 100_000, 7]), tmp_path / "a.tfrecord", date="2007-06-30")
    assert chips.keys.tolist() == [7, 100_000]
    assert chips.date == "2007-06-30"
    batch = read_all(chips)
    # values run through bands first, then columns, then rows
    wanted = np.array([[[0, 0.5], [1, 1.5]], [[0.25, 0.75], [1.25, 1.75]]])
    np.testing.assert_array_equal(batch.pixels["2px"][1, 0], wanted)
    np.testing.assert_array_equal(batch.pixels["2px"][0, 0], wanted - 1)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "i2", "u2", "i4", "i8"])
def test_every_type_of_pixel_in_both_forms_of_tensors(tmp_path, dtype, values):
    stored = pictures(dtype=dtype)
    if dtype not in ("u1", "u2"):
        stored = stored - np.array(50, dtype=dtype)
    records = [
        record(example(key=key.encode(), raw_image=tensor(one, values=values)))
        for key, one in zip("abc", stored)
    ]
    file = write(tmp_path / "a.tfrecord", *records)
    chips = ec.chips_from_tfrecord(units(["c", "a", "x"]), file, bands=["red", "green", "blue"], size_m=120)
    assert chips.bands == ("red", "green", "blue")
    batch = read_all(chips)
    assert batch.status["120m"].tolist() == ["ok", "ok", "missing"]
    np.testing.assert_array_equal(batch.pixels["120m"][:2, 0], np.moveaxis(stored[[2, 0]], 3, 1))


def test_last_value_stands_for_all_that_follow():
    splat = field(1, 1) + field(2, field(2, field(1, 5))) + field(5, np.array([2.0, 9.0], "<f4").tobytes())
    np.testing.assert_array_equal(read_tensor(splat), [2, 9, 9, 9, 9])


def test_fields_in_any_order_unpacked_and_unknown_are_read():
    unpacked = b"".join(bytes([7 * 8]) + bytes([value]) for value in (3, 4))
    shape = field(2, field(2, field(1, 2) + field(2, b"rows")))
    data = unpacked + field(99, b"later") + bytes([8 * 8 + 1]) + bytes(8) + shape + field(1, 4)
    np.testing.assert_array_equal(read_tensor(data), [3, 4])
    assert read_tensor(text_tensor("village")) == (b"village",)
    assert read_example(example(k=-5))["k"].numbers.tolist() == [-5]
    assert read_example(b"") == {}


def test_lists_of_numbers_take_their_shape_from_other_features(tmp_path):
    flat = [
        record(example(id=key, picture=np.arange(12.0) + key, height=2, width=3, depth=2)) for key in (3, 4)
    ]
    file = write(tmp_path / "flat.tfrecord", *flat)
    chips = ec.chips_from_tfrecord(units([4, 3]), file, key_feature="id", image_feature="picture")
    np.testing.assert_array_equal(
        read_all(chips).pixels["2x3px"][:, 0, 0], [[[4, 6, 8], [10, 12, 14]], [[3, 5, 7], [9, 11, 13]]]
    )


def test_keys_take_the_type_of_the_units_only_when_all_are_written_as_whole_numbers(tmp_path):
    stored = pictures(2)
    told = [("007", "7"), ("7", "8"), ("1e+05", "1.25e+05")]
    for number, (first, second) in enumerate(told):
        write(
            tmp_path / f"{number}.tfrecord",
            picture_record(first, stored[0]),
            picture_record(second, stored[1]),
        )
    text = ec.chips_from_tfrecord(units(["7", "007"]), tmp_path / "0.tfrecord")
    assert read_all(text).pixels["4px"][:, 0, 0, 0, 0].tolist() == [30, 0]
    with pytest.raises(ec.errors.ImageryError, match="keys are of one type"):
        ec.chips_from_tfrecord(units([7]), tmp_path / "0.tfrecord")
    assert (
        read_all(ec.chips_from_tfrecord(units([8]), tmp_path / "1.tfrecord")).pixels["4px"][0, 0, 0, 0, 0]
        == 30
    )
    large = ec.chips_from_tfrecord(units([125_000, 100_000]), tmp_path / "2.tfrecord")
    assert read_all(large).pixels["4px"][:, 0, 0, 0, 0].tolist() == [30, 0]
    numbers = write(tmp_path / "n.tfrecord", picture_record(5, stored[0]), picture_record(6, stored[1]))
    assert read_all(ec.chips_from_tfrecord(units([6]), numbers)).pixels["4px"][0, 0, 0, 0, 0] == 30


def test_pixels_that_are_not_finite_are_not_valid_and_units_are_checked(tmp_path):
    stored = pictures(1, "f2")
    stored[0, 0, 0, 1], stored[0, 1, 1, 0] = np.nan, np.inf
    file = write(tmp_path / "a.tfrecord", picture_record("a", stored[0]))
    assert read_all(ec.chips_from_tfrecord(units(["a"]), file)).valid_fraction["4px"][0] == 14 / 16
    wrong = ec.chips_from_tfrecord(units(["a"]), file, pixel_unit="landsat_c2_dn")
    with pytest.raises(ec.errors.ImageryError, match="are not landsat_c2_dn"):
        read_all(wrong)


def test_a_sequence_of_one_is_a_picture(tmp_path):
    file = write(tmp_path / "a.tfrecord", picture_record("a", pictures(1), time=1))
    assert read_all(ec.chips_from_tfrecord(units(["a"]), file)).pixels["4px"].shape == (1, 1, 3, 4, 4)


@pytest.mark.parametrize("length", [0, 1, 4, 127, 128, 129, 1000, 4096, 70_001])
def test_checksums_are_those_of_the_definition(length):
    # RFC 3720, B.4: 32 bytes of zeros, of ones, and 0 to 31
    assert crc32c_by_numpy(bytes(32)) == 0x8A9136AA
    assert crc32c_by_numpy(b"\xff" * 32) == 0x62A8AB43
    assert crc32c_by_numpy(bytes(range(32))) == 0x46DD794E
    data = np.random.default_rng(length).bytes(length)
    assert crc32c_by_numpy(data) == crc32c(data)
