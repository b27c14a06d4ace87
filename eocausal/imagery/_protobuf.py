"""The little of protocol buffers that TFRecord files need: ``Example`` and ``TensorProto``, every bound checked.

Nothing is trusted: a length is compared with what is left before anything is cut, a shape with the values that
are there before anything is made, and nesting is as deep as the two messages are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Feature", "Malformed", "read_example", "read_tensor"]

# A message may have so many fields: lists of numbers are one field each, as every writer packs them.
_MOST_FIELDS = 1_000_000
# One value that stands for all is spread over so many elements at most.
_LARGEST_SPREAD = 2**26
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5

Numbers = npt.NDArray[Any]

# Code of a type in TensorProto -> NumPy type, and the field of its values when they are not in tensor_content.
_TYPES: dict[int, tuple[str, int]] = {
    1: ("<f4", 5), 2: ("<f8", 6), 3: ("<i4", 7), 4: ("u1", 7), 5: ("<i2", 7), 6: ("i1", 7), 9: ("<i8", 10),
    17: ("<u2", 7), 19: ("<f2", 13),
}  # fmt: skip
_STRING = 7
_FLOATS = {5: "<f4", 6: "<f8"}


class Malformed(ValueError):
    """The bytes are not the message they should be."""


@dataclass(frozen=True, eq=False)
class Feature:
    """One feature of an ``Example``: text or bytes, floats, or whole numbers; nothing when all are None."""

    texts: tuple[bytes, ...] | None = None
    numbers: Numbers | None = None


def read_example(data: bytes) -> dict[str, Feature]:
    """Return the features of a serialised ``Example`` by name.

    Examples
    --------
    >>> read_example(bytes.fromhex("0a0c0a0a0a016b12051a030a0107"))["k"].numbers.tolist()
    [7]
    """
    found: dict[str, Feature] = {}
    for features in _messages(memoryview(data), 1):
        for entry in _messages(features, 1):
            name, feature = "", Feature()
            for number, kind, value in _fields(entry):
                if number == 1:
                    name = _text(_bytes(kind, value))
                elif number == 2:
                    feature = _feature(_bytes(kind, value))
            found[name] = feature
    return found


def read_tensor(data: bytes) -> Numbers | tuple[bytes, ...]:
    """Return the numbers of a serialised ``TensorProto`` in their shape, or its texts in a flat tuple.

    Raises
    ------
    Malformed
        When the bytes are not a tensor, its type is not one of numbers or text, or its values do not fill its
        shape.
    """
    code, content = 0, b""
    shape: tuple[int, ...] = ()
    parts: dict[int, list[Any]] = {}
    for number, kind, value in _fields(memoryview(data)):
        if number == 1:
            code = _whole(kind, value)
        elif number == 2:
            shape = _shape(_bytes(kind, value))
        elif number == 4:
            content = bytes(_bytes(kind, value))
        else:
            parts.setdefault(number, []).append((kind, value))
    if code == _STRING:
        return tuple(bytes(_bytes(kind, value)) for kind, value in parts.get(8, []))
    if code not in _TYPES:
        raise Malformed(f"a tensor of type {code}, which is not one of numbers that pixels have")
    form, values_field = _TYPES[code]
    if content:
        return _in_shape(content, form, shape)
    return _spread(_values(parts.get(values_field, []), values_field, form), form, shape)


def _in_shape(content: bytes, form: str, shape: tuple[int, ...]) -> Numbers:
    wanted = math.prod(shape) * np.dtype(form).itemsize
    if wanted != len(content):
        raise Malformed(f"a tensor of shape {shape} needs {wanted:,} bytes and has {len(content):,}")
    return np.frombuffer(content, dtype=form).reshape(shape)


def _spread(values: Numbers, form: str, shape: tuple[int, ...]) -> Numbers:
    """Return values in their shape; when there are fewer, the last stands for all that follow."""
    wanted = math.prod(shape)
    if len(values) == wanted:
        return values.reshape(shape)
    if not len(values) or len(values) > wanted or wanted > _LARGEST_SPREAD:
        raise Malformed(f"a tensor of shape {shape} has {len(values):,} values")
    if len(values) == 1:  # takes no memory
        return np.broadcast_to(values[0], shape)
    filled = np.full(wanted, values[-1], dtype=form)
    filled[: len(values)] = values
    return filled.reshape(shape)


def _values(parts: list[tuple[int, Any]], number: int, form: str) -> Numbers:
    if number in _FLOATS:
        return np.concatenate([np.empty(0, form), *(_floats(k, v, _FLOATS[number]) for k, v in parts)])
    wide = np.concatenate([np.empty(0, np.int64), *(_integers(kind, value) for kind, value in parts)])
    if form == "<f2":  # written as the bits of each number
        _within(wide, 0, 0xFFFF)
        return wide.astype("<u2").view("<f2")
    limits = np.iinfo(form)
    _within(wide, limits.min, limits.max)
    return wide.astype(form)


def _within(values: Numbers, low: int, high: int) -> None:
    if len(values) and not (low <= values.min() and values.max() <= high):
        raise Malformed(f"a value outside {low} to {high}, the range of its type")


def _shape(message: memoryview) -> tuple[int, ...]:
    sizes = []
    for dimension in _messages(message, 2):
        size = 0
        for number, kind, value in _fields(dimension):
            if number == 1:
                size = _whole(kind, value)
        if size >= 2**63:
            raise Malformed("a tensor of unknown shape")
        sizes.append(size)
    if len(sizes) > 16:
        raise Malformed(f"a tensor of {len(sizes)} dimensions")
    return tuple(sizes)


def _feature(message: memoryview) -> Feature:
    found = Feature()
    for number, kind, value in _fields(message):
        inner = _fields(_bytes(kind, value)) if number in (1, 2, 3) else iter(())
        lists = [(one_kind, one) for one_number, one_kind, one in inner if one_number == 1]
        if number == 1:
            found = Feature(texts=tuple(bytes(_bytes(*one)) for one in lists))
        elif number == 2:
            floats = [_floats(one_kind, one, "<f4") for one_kind, one in lists]
            found = Feature(numbers=np.concatenate([np.empty(0, "<f4"), *floats]))
        elif number == 3:
            whole = [_integers(one_kind, one) for one_kind, one in lists]
            found = Feature(numbers=np.concatenate([np.empty(0, np.int64), *whole]))
    return found


def _floats(kind: int, value: Any, form: str) -> Numbers:
    size = np.dtype(form).itemsize
    single = _FOUR_BYTES if size == 4 else _EIGHT_BYTES
    if kind not in (_LENGTH, single) or len(value) % size:
        raise Malformed("a list of floats that is cut off")
    return np.frombuffer(value, dtype=form)


def _integers(kind: int, value: Any) -> Numbers:
    if kind == _VARINT:
        return np.array([value], dtype=np.uint64).view(np.int64)
    raw = np.frombuffer(_bytes(kind, value), dtype=np.uint8)
    if not len(raw):
        return np.empty(0, dtype=np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise Malformed("a list of whole numbers that is cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10 or (raw[ends[lengths == 10]] > 1).any():
        raise Malformed("a whole number of more than 64 bits")
    total = np.zeros(len(starts), dtype=np.uint64)
    for place in range(int(lengths.max())):
        has = lengths > place
        total[has] |= (raw[starts[has] + place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return total.view(np.int64)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, kind, value in _fields(message):
        if number == wanted:
            yield _bytes(kind, value)


def _fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of each field: a whole number, or a view of its bytes."""
    at = count = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        count += 1
        if not number or count > _MOST_FIELDS:
            raise Malformed("a field without a number" if not number else "more fields than any picture has")
        if kind == _VARINT:
            whole, at = _varint(message, at)
            yield number, kind, whole
            continue
        if kind == _LENGTH:
            length, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise Malformed(f"a field of wire type {kind}")
        if length > len(message) - at:
            raise Malformed(f"a field of {length:,} bytes where {len(message) - at:,} are left")
        yield number, kind, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(message):
            raise Malformed("a whole number that is cut off")
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + place + 1
    raise Malformed("a whole number of more than 64 bits")


def _bytes(kind: int, value: Any) -> memoryview:
    if kind != _LENGTH:
        raise Malformed(f"a field of wire type {kind} where bytes belong")
    view: memoryview = value
    return view


def _whole(kind: int, value: Any) -> int:
    if kind != _VARINT:
        raise Malformed(f"a field of wire type {kind} where a whole number belongs")
    return int(value)


def _text(view: memoryview) -> str:
    try:
        return bytes(view).decode("utf-8")
    except UnicodeDecodeError as cause:
        raise Malformed("a name that is not UTF-8 text") from cause
