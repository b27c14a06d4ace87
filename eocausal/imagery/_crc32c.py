"""CRC-32C (Castagnoli) of bytes: by a compiled library where there is one, else by NumPy."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_POLYNOMIAL = 0x82F63B78  # bits in reverse order, as the checksum itself
_ALL = 0xFFFFFFFF
# Below this many bytes a loop is faster than arrays.
_SHORT = 128

Words = npt.NDArray[np.uint32]


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    compiled = _compiled()
    return crc32c_by_numpy(data) if compiled is None else int(compiled(data))


def crc32c_by_numpy(data: bytes) -> int:
    """Return the CRC-32C of bytes without any library.

    Long data is laid out in rows that are worked through side by side. A checksum is linear, so the state after
    all rows is that of each row moved past the bytes that follow it, added up; ``moved`` holds what moving past
    one row makes of each of the 32 bits.

    Examples
    --------
    >>> hex(crc32c_by_numpy(b"123456789"))
    '0xe3069283'
    """
    if len(data) < _SHORT:
        return _by_loop(data)
    # Zeros in front change nothing once the start value is folded into the first four bytes.
    width = int(np.ceil(np.sqrt(len(data))))
    padded = np.zeros(-(-len(data) // width) * width, dtype=np.uint8)
    padded[-len(data) :] = np.frombuffer(data, dtype=np.uint8)
    padded[len(padded) - len(data) :][:4] ^= np.uint8(0xFF)
    rows = padded.reshape(-1, width)
    states = np.concatenate([np.zeros(len(rows), np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    fed = np.zeros(len(states), dtype=np.uint8)
    table = _table()
    for column in rows.T:
        fed[: len(rows)] = column
        states = table[(states ^ fed) & np.uint32(0xFF)] ^ (states >> np.uint32(8))
    moved, bits = states[len(rows) :], np.arange(32, dtype=np.uint32)
    total = np.uint32(0)
    for state in states[: len(rows)]:
        total = np.bitwise_xor.reduce(moved[(total >> bits) & np.uint32(1) == 1]) ^ state
    return int(total) ^ _ALL


def _by_loop(data: bytes) -> int:
    table = _table().tolist()
    state = _ALL
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ _ALL


@lru_cache(maxsize=1)
def _table() -> Words:
    states = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        states = np.where(states & 1, (states >> 1) ^ np.uint32(_POLYNOMIAL), states >> 1).astype(np.uint32)
    return states


@lru_cache(maxsize=1)
def _compiled() -> Callable[[bytes], Any] | None:
    """Return the function of google-crc32c, which comes with zarr, when its fast part is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            library = importlib.import_module("google_crc32c")
        except ImportError:
            return None
    value: Callable[[bytes], Any] | None = library.value if library.implementation == "c" else None
    return value
