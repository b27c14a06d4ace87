# ruff: noqa: E501 - a case is a line
"""TFRecord files that must be refused: damaged, hostile, or not what was asked for."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery._protobuf import Malformed, read_example, read_tensor
from tests.tfrecords import example, field, masked, picture_record, record, tensor, text_tensor, varint, write

PICTURE = np.arange(48, dtype="f4").reshape(4, 4, 3)
GOOD = picture_record("a", PICTURE) + picture_record("b", PICTURE)
SECOND = len(GOOD) // 2
HUGE = 2**60


def with_tensor(content: bytes) -> bytes:
    return record(example(key=b"a", raw_image=content))


def shaped(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, field(1, size)) for size in sizes))


def long_record(length: int) -> bytes:
    head = struct.pack("<Q", length)
    return head + masked(head) + b"short"


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"id,lon,lat\n1,2,3\n", "Record 1, from byte 0: the checksum of its length"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), r"compressed by gzip[\s\S]*gunzip"),
    "cut in a length": (GOOD + b"\x01\x02", "Record 3, from byte .*: it ends within the length"),
    "cut in data": (GOOD[:-9], f"Record 2, from byte {SECOND}: it is [0-9]+ bytes long where [0-9]+ are left"),
    "flipped length": (GOOD[:SECOND] + b"\x00" + GOOD[SECOND + 1 :], f"Record 2, from byte {SECOND}: the checksum of its length"),
    "flipped data": (GOOD[:-60] + b"\x7f" + GOOD[-59:], f"Record 2, from byte {SECOND}: the checksum of its data"),
    "flipped checksum": (GOOD[:-1] + b"\x00", "Record 2, .* the checksum of its data"),
    "length of 2**60": (long_record(HUGE), r"it is 1,152,921,504,606,846,976 bytes long where 1 are left"),
    "length of 2**64": (long_record(2**64 - 1), "bytes long where 1 are left"),
    "no example": (record(b"\xff" * 12), "not an Example: a whole number of more than 64 bits"),
    "groups": (record(b"\x0b\x0c"), "not an Example: a field of wire type 3"),
    "field number 0": (record(b"\x00\x01"), "a field without a number"),
    "inner length of 2**60": (record(b"\x0a" + varint(HUGE)), "a field of 1,152,921,504,606,846,976 bytes where 0 are left"),
    "varint without end": (record(b"\x0a" + b"\x80" * 3), "a whole number that is cut off"),
    "no tensor": (with_tensor(b"PIXELS" * 4), "Record 1, from byte 0: a"),
    "tensor too short": (with_tensor(field(1, 1) + shaped(4, 4, 3) + field(4, bytes(47))), r"of shape \(4, 4, 3\) needs 192 bytes and has 47"),
    "tensor of 2**60 rows": (with_tensor(field(1, 1) + shaped(HUGE, 4, 3) + field(4, bytes(48))), "needs 55,340,232,221,128,654,848 bytes and has 48"),
    "one value for 2**60": (with_tensor(field(1, 1) + shaped(HUGE, 1, 1) + field(5, bytes(4))), "has 1 values"),
    "negative size": (with_tensor(field(1, 1) + shaped(2**64 - 1, 2, 2) + field(4, bytes(48))), "unknown shape"),
    "seventeen axes": (with_tensor(field(1, 1) + shaped(*[1] * 17) + field(4, bytes(4))), "of 17 dimensions"),
    "type of complex numbers": (with_tensor(field(1, 8) + shaped(1, 1, 1) + field(4, bytes(8))), "a tensor of type 8"),
    "value outside its type": (with_tensor(field(1, 4) + shaped(1, 1, 1) + field(7, varint(256))), "outside 0 to 255"),
    "half that is not 16 bits": (with_tensor(field(1, 19) + shaped(1, 1, 1) + field(13, varint(2**16))), "outside 0 to 65535"),
    "text for a picture": (with_tensor(text_tensor("pixels")), "is a tensor of text"),
    "two axes": (with_tensor(tensor(PICTURE[0])), r"its picture has shape \(4, 3\)"),
    "flat without a shape": (record(example(key=b"a", raw_image=np.zeros(12))), "12 pixels do not fill height, width and channels"),
    "key that is no text": (record(example(key=b"\xff\xfe", raw_image=tensor(PICTURE))), "its key is not UTF-8"),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes, dict[str, object], str]] = {
    "no such feature": (GOOD, {"image_feature": "raw_imge"}, r"no feature 'raw_imge' \(image_feature=\)[\s\S]*'raw_image'"),
    "no such key": (GOOD, {"key_feature": "id"}, r"no feature 'id' \(key_feature=\)[\s\S]*key, raw_image"),
    "two shapes": (picture_record("a", PICTURE) + picture_record("b", PICTURE[:2]), {}, r"Record 2 of .* holds float32 of shape \(2, 4, 3\)"),
    "two types": (picture_record("a", PICTURE) + picture_record("b", PICTURE.astype("f2")), {}, "holds float16 of"),
    "keys repeated": (picture_record("a", PICTURE) * 2, {}, r"appear more than once[\s\S]*1 \(a\)"),
    "keys of two kinds": (picture_record("a", PICTURE) + picture_record(1, PICTURE), {}, "texts and numbers"),
    "nobody's keys": (picture_record("x", PICTURE) + picture_record("y", PICTURE), {}, "No chip has a key of the units"),
    "sequence": (picture_record("a", np.stack([PICTURE] * 5)), {}, r"sequences of 5[\s\S]*writeVideo = FALSE"),
    "PNG": (with_tensor(b"\x89PNG\r\n\x1a\n" + bytes(20)), {}, r"holds a PNG file[\s\S]*decode_image"),
    "bands named wrongly": (GOOD, {"bands": ["red", "nir"]}, "does not name the 3 bands"),
    "axes": (GOOD, {"axes": "hwc"}, "axes='hwc' is not known"),
    "date": (GOOD, {"date": "2007"}, "date='2007' is not a date"),
}  # fmt: skip


@pytest.fixture
def chips_of(tmp_path: Path) -> Callable[..., ec.Chips]:
    units = ec.read_units(pd.DataFrame({"id": ["a", "b"]}), id="id", image_key="id")

    def make(content: bytes, **options: object) -> ec.Chips:
        return ec.chips_from_tfrecord(units, write(tmp_path / "a.tfrecord", content), **options)

    return make


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named_by_record_and_byte(case, chips_of):
    content, words = DAMAGED[case]
    with pytest.raises(ImageryError, match=words):
        chips_of(content)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_as_asked_is_refused(case, chips_of):
    content, options, words = REFUSED[case]
    with pytest.raises(ImageryError, match=words):
        chips_of(content, **options)


def test_a_file_that_is_not_there_gets_the_nearest_name(chips_of, tmp_path):
    chips_of(GOOD)
    units = ec.read_units(pd.DataFrame({"id": ["a"]}), id="id", image_key="id")
    with pytest.raises(ImageryError, match=r"is not there[\s\S]*a\.tfrecord"):
        ec.chips_from_tfrecord(units, tmp_path / "b.tfrecord")


def test_small_records_that_claim_much_memory_are_refused_before_it_is_taken(chips_of):
    one_for_all = with_tensor(field(1, 1) + shaped(4096, 4096, 4) + field(5, bytes(4)))
    with pytest.raises(ImageryError, match=r"The 100 pictures .* take 25\.0 GiB[\s\S]*at most 16 GiB"):
        chips_of(one_for_all * 100)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_bytes_are_read_as_anything_but_a_message_or_refused(data):
    good = data.draw(
        st.sampled_from([example(key=b"a", raw_image=tensor(PICTURE)), tensor(PICTURE, values=True)])
    )
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[at : at + data.draw(st.integers(1, 4))] = data.draw(st.binary(max_size=12))
    for read in (read_example, read_tensor):
        with contextlib.suppress(Malformed):
            assert isinstance(read(bytes(changed)), (dict, tuple, np.ndarray))
