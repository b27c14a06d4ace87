"""Chips from TFRecord files, as the R package causalimages writes them; TensorFlow is not needed.

A TFRecord file is a row of records: length (8 bytes), its checksum (4), data, checksum of the data (4). The data
of each is a serialised ``Example`` with the picture as a serialised tensor and its key as a serialised text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery._crc32c import crc32c
from eocausal.imagery._protobuf import Feature, Malformed, read_example, read_tensor
from eocausal.imagery.arrays import chips_from_arrays
from eocausal.imagery.chips import Chips
from eocausal.imagery.radiometry import Radiometry

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["chips_from_tfrecord"]

_HEAD, _TAIL = struct.Struct("<QI"), struct.Struct("<I")
_MASK = 0xA282EAD8
# No serialised message may be longer.
_LARGEST_RECORD = 2**31 - 1
# The pictures of a file may take this much memory; beyond, they belong in a store.
_LARGEST_FILE = 16 * 2**30
_ENCODED = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}
_SIZES = (("time",), ("height",), ("width",), ("channels", "depth"))
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
# R writes a whole number that is stored as a double in this way when it is shorter: 1e+05.
_WHOLE_IN_R = re.compile(r"-?[1-9](\.[0-9]+)?e\+(0[0-9]|1[0-7])")


@dataclass(frozen=True)
class _Record:
    """Where the data of a record begins, how long it is, and its number from 1."""

    number: int
    start: int
    length: int


def chips_from_tfrecord(
    units: Units,
    path: str | Path,
    *,
    key_feature: str = "key",
    image_feature: str = "raw_image",
    axes: str = "nhwc",
    bands: Sequence[str] | None = None,
    date: str | None = None,
    size_m: float | None = None,
    pixel_unit: str | Radiometry | None = None,
) -> Chips:
    """Take chips from a TFRecord file, as ``causalimages::WriteTfRecord`` writes it, joined to units by image key.

    Every checksum is checked. All pictures are read into memory, in the type in which they are stored.
    causalimages stores float16 by default: whole numbers above 2,048 are rounded, and those above 65,504 infinite
    (and so not valid).

    Parameters
    ----------
    units : Units
        The units; their ``image_keys`` say which chip shows each.
    path : str or Path
        The file. Keys written as whole numbers become such when those of the units are.
    key_feature : str
        Feature with the key of a picture: a text, a whole number, or a serialised tensor of one text.
    image_feature : str
        Feature with the picture: a serialised tensor, or a list of numbers whose shape the features ``height``,
        ``width`` and ``channels`` tell.
    axes : {"nhwc", "nbhw"}
        Order of the axes of pictures: height, width, bands or bands, height, width.
    bands : list of str, optional
        Names of the bands; default band1, band2, ...
    date : str, optional
        Date of the imagery, ISO 8601.
    size_m : float, optional
        Side of a chip on the ground in metres; names the block (``960m``). Default: pixels (``35px``).
    pixel_unit : str or Radiometry, optional
        What a pixel value is, checked and converted as in :func:`eocausal.chips`.

    Returns
    -------
    Chips
        Keys without a picture have status ``missing``.

    Raises
    ------
    ImageryError
        When the file is damaged (naming record and byte), a feature is not there, pictures differ in shape or
        type or are sequences, keys are repeated or none of them is a unit's, or pixels do not fit their unit.

    Examples
    --------
    One picture of one pixel, with key ``a``:

    >>> import base64, tempfile, pandas as pd, eocausal as ec
    >>> one = (
    ...     "OAAAAAAAAACjeX1XCjYKDAoDa2V5EgUKAwoBYQomCglyYXdfaW1hZ2USGQoXChUIBBIM"
    ...     "EgIIARICCAESAggDIgMHCAkawtpr"
    ... )
    >>> units = ec.read_units(pd.DataFrame({"village": ["a"]}), id="village", image_key="village")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "villages.tfrecord")
    ...     _ = file.write_bytes(base64.b64decode(one))
    ...     ec.chips_from_tfrecord(units, file, bands=["red", "green", "blue"], date="2007-06-30")
    Chips(1 keys, 1px, 3 bands, arrays)
    """
    file = Path(path)
    if not file.is_file():
        raise ImageryError(missing_file(file))
    with file.open("rb") as stream:
        records = list(_records(file, stream))
        keys, pictures = _read(file, stream, records, key_feature, image_feature)
    return chips_from_arrays(
        units,
        pictures,
        keys=_like_those_of(units, keys),
        axes=axes,
        bands=bands,
        date=date,
        size_m=size_m,
        pixel_unit=pixel_unit,
    )


def _records(file: Path, stream: BinaryIO) -> Iterator[_Record]:
    """Yield where each record lies; lengths are checked against their checksum and the size of the file."""
    size = file.stat().st_size
    at = number = 0
    while at < size:
        number += 1
        stream.seek(at)
        head = stream.read(_HEAD.size)
        if number == 1 and head.startswith(b"\x1f\x8b"):
            fix = f"gunzip -c {file.name} > {file.stem}.tfrecord"
            raise ImageryError(explain(f"File {file.name!r} is compressed by gzip.", fix=fix))
        if len(head) < _HEAD.size:
            raise _damaged(file, number, at, "it ends within the length of a record")
        length, told = _HEAD.unpack(head)
        if told != _masked(head[:8]):
            raise _damaged(file, number, at, "the checksum of its length does not match")
        left = size - at - _HEAD.size - _TAIL.size
        if length > min(left, _LARGEST_RECORD):
            reason = f"it is {length:,} bytes long where {max(left, 0):,} are left"
            raise _damaged(file, number, at, reason if length > left else f"it is {length:,} bytes long")
        yield _Record(number, at + _HEAD.size, length)
        at += _HEAD.size + length + _TAIL.size
    if not number:
        raise ImageryError(explain(f"File {file.name!r} is empty.", rule="one record for each picture"))


def _masked(data: bytes) -> int:
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


def _damaged(file: Path, number: int, at: int, reason: str) -> ImageryError:
    text = (
        f"File {file.name!r} is damaged, or not a TFRecord file. Record {number}, from byte {at:,}: {reason}."
    )
    return ImageryError(explain(text, fix="Copy the file again, or write it again from its source."))


def _read(
    file: Path, stream: BinaryIO, records: list[_Record], key_feature: str, image_feature: str
) -> tuple[list[Any], npt.NDArray[Any]]:
    keys: list[Any] = []
    pictures: npt.NDArray[Any] | None = None
    for record in records:
        features = _features(file, stream, record)
        try:
            keys.append(_key(features, key_feature, file))
            picture = _picture(features, image_feature, file)
        except Malformed as cause:
            raise _damaged(file, record.number, record.start - _HEAD.size, str(cause)) from cause
        if pictures is None:
            pictures = _room_for(len(records), picture, file)
        if (picture.shape, picture.dtype) != (pictures.shape[1:], pictures.dtype):
            text = (
                f"Record {record.number} of {file.name!r} holds {picture.dtype} of shape {picture.shape}, "
                f"record 1 {pictures.dtype} of shape {pictures.shape[1:]}."
            )
            raise ImageryError(explain(text, rule="pictures of one file have one shape and one type"))
        pictures[record.number - 1] = picture
    return keys, np.empty(0) if pictures is None else pictures


def _features(file: Path, stream: BinaryIO, record: _Record) -> dict[str, Feature]:
    stream.seek(record.start)
    data = stream.read(record.length)
    tail = stream.read(_TAIL.size)
    at = record.start - _HEAD.size
    if len(data) < record.length or len(tail) < _TAIL.size or _TAIL.unpack(tail)[0] != _masked(data):
        raise _damaged(file, record.number, at, "the checksum of its data does not match")
    try:
        return read_example(data)
    except Malformed as cause:
        raise _damaged(file, record.number, at, f"it is not an Example: {cause}") from cause


def _named(features: dict[str, Feature], name: str, argument: str, file: Path) -> Feature:
    if name not in features:
        text = f"The pictures of {file.name!r} have no feature {name!r} ({argument}=)."
        raise ImageryError(explain(text, fix=did_you_mean(name, sorted(features)) if features else ""))
    return features[name]


def _key(features: dict[str, Feature], name: str, file: Path) -> Any:
    feature = _named(features, name, "key_feature", file)
    if feature.numbers is not None and feature.numbers.dtype == np.int64 and len(feature.numbers) == 1:
        return int(feature.numbers[0])
    if feature.texts is None or len(feature.texts) != 1:
        text = f"Feature {name!r} of {file.name!r} is not one key."
        raise ImageryError(explain(text, rule="one text or whole number for each picture"))
    (text_bytes,) = feature.texts
    # A serialised tensor begins with the field of its type, and no text with that control character.
    if text_bytes.startswith(b"\x08"):
        content = read_tensor(text_bytes)
        if isinstance(content, np.ndarray):
            if content.size != 1 or content.dtype.kind not in "iu":
                raise Malformed(f"its key is a tensor of {content.size} {content.dtype}")
            return int(content.ravel()[0])
        if len(content) != 1:
            raise Malformed(f"its key is a tensor of {len(content)} texts")
        (text_bytes,) = content
    try:
        return text_bytes.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise Malformed("its key is not UTF-8 text") from cause


def _picture(features: dict[str, Feature], name: str, file: Path) -> npt.NDArray[Any]:
    feature = _named(features, name, "image_feature", file)
    numbers = feature.numbers
    if numbers is None:
        if feature.texts is None or len(feature.texts) != 1:
            text = f"Feature {name!r} of {file.name!r} is not one picture."
            raise ImageryError(explain(text, rule="one serialised tensor for each picture"))
        for start, kind in _ENCODED.items():
            if feature.texts[0].startswith(start):
                fix = "Decode it (tf.io.decode_image) and write tf.io.serialize_tensor of the pixels."
                raise ImageryError(
                    explain(f"Feature {name!r} of {file.name!r} holds a {kind} file.", fix=fix)
                )
        content = read_tensor(feature.texts[0])
        if not isinstance(content, np.ndarray):
            raise Malformed(f"feature {name!r} is a tensor of text")
        numbers = content
    if numbers.ndim == 1:
        numbers = _shaped(numbers, features)
    if numbers.ndim == 4 and len(numbers) == 1:
        numbers = numbers[0]
    if numbers.ndim == 4:
        text = f"The pictures of {file.name!r} are sequences of {len(numbers)} (shape {numbers.shape})."
        fix = (
            "Write the pictures of each date into a file of their own: WriteTfRecord(..., writeVideo = FALSE)"
        )
        raise ImageryError(explain(text, rule="one picture for each key", fix=fix))
    if numbers.ndim != 3:
        raise Malformed(f"its picture has shape {numbers.shape}, not height, width and bands")
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _shaped(numbers: npt.NDArray[Any], features: dict[str, Feature]) -> npt.NDArray[Any]:
    """Return a flat list of pixels in the shape that other features tell."""
    sizes: list[int] = []
    for names in _SIZES:
        told = [features[name].numbers for name in names if name in features]
        if told and told[0] is not None and told[0].size == 1:
            sizes.append(int(told[0][0]))
    if len(sizes) < 3 or min(sizes) < 0 or int(np.prod(sizes, dtype=object)) != numbers.size:
        raise Malformed(f"its {numbers.size:,} pixels do not fill height, width and channels ({sizes})")
    return numbers.reshape(sizes)


def _room_for(count: int, picture: npt.NDArray[Any], file: Path) -> npt.NDArray[Any]:
    needed = count * picture.nbytes
    if needed > _LARGEST_FILE:
        text = f"The {count:,} pictures of {file.name!r} take {needed / 2**30:.1f} GiB."
        fix = "Write them into several files, one for each part of the units."
        raise ImageryError(explain(text, rule=f"at most {_LARGEST_FILE / 2**30:g} GiB", fix=fix))
    return np.empty((count, *picture.shape), dtype=picture.dtype)


def _like_those_of(units: Units, keys: list[Any]) -> npt.NDArray[Any]:
    """Return keys as whole numbers when those of the units are, and all are written as such; else as they are."""
    kinds = {type(key) for key in keys}
    if len(kinds) > 1:
        raise ImageryError(
            explain("Keys of pictures are texts and numbers.", where=keys, rule="all of one type")
        )
    if kinds == {int}:
        return np.array(keys, dtype=np.int64)
    if units.image_keys.dtype.kind in "iu" and all(
        _WHOLE.fullmatch(k) or _WHOLE_IN_R.fullmatch(k) for k in keys
    ):
        whole = [Decimal(key) for key in keys]
        if all(number == int(number) for number in whole):
            return np.array([int(number) for number in whole], dtype=np.int64)
    return np.array(keys, dtype=str)
