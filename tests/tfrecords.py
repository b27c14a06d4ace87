"""A small writer of TFRecord files for tests: protocol buffers and checksums by the letter of their formats."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

TYPES = {"f4": 1, "f8": 2, "i4": 3, "u1": 4, "i2": 5, "i1": 6, "i8": 9, "u2": 17, "f2": 19}


def crc(data: bytes) -> int:
    """CRC-32C bit by bit."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    value = crc(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) % 2**32)


def varint(value: int) -> bytes:
    value %= 2**64
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number * 8) + varint(content)
    return varint(number * 8 + 2) + varint(len(content)) + content


def tensor(array: np.ndarray, *, values: bool = False) -> bytes:
    """Serialise as ``tf.io.serialize_tensor`` does, or with the values in the list of their type."""
    kind = array.dtype.str[1:]
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    head = field(1, TYPES[kind]) + field(2, shape)
    if not values:
        return head + field(4, np.ascontiguousarray(array).astype(f"<{kind}").tobytes())
    flat = array.ravel()
    if kind in ("f4", "f8"):
        return head + field(5 if kind == "f4" else 6, flat.astype(f"<{kind}").tobytes())
    if kind == "f2":
        return head + field(13, b"".join(varint(int(bits)) for bits in flat.view("u2")))
    return head + field(10 if kind == "i8" else 7, b"".join(varint(int(value)) for value in flat))


def text_tensor(text: str) -> bytes:
    return field(1, 7) + field(2, b"") + field(8, text.encode())


def feature(value: object) -> bytes:
    """Bytes as they are, a whole number, or an array of floats."""
    if isinstance(value, bytes):
        return field(1, field(1, value))
    if isinstance(value, int):
        return field(3, field(1, varint(value)))
    return field(2, field(1, np.asarray(value, dtype="<f4").tobytes()))


def example(**features: object) -> bytes:
    entries = [field(1, field(1, name.encode()) + field(2, feature(v))) for name, v in features.items()]
    return field(1, b"".join(entries))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def picture_record(key: object, picture: np.ndarray, **more: object) -> bytes:
    name = text_tensor(key) if isinstance(key, str) else key
    return record(example(key=name, raw_image=tensor(picture), **more))


def write(file: Path, *records: bytes) -> Path:
    file.write_bytes(b"".join(records))
    return file
