"""Chips read once and brought to the size of a network, on disk, so that each epoch can take them in any order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.encoding._prepare import Preparation
from eocausal.encoding.protocol import ChipSource
from eocausal.errors import EncoderError, explain

__all__ = ["Moments", "Pictures", "Rows", "moments", "read_pictures"]

_BATCH = 64
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of chips, mapped from disk.

    ``pixels`` (n, frames, bands, px, px) are in the unit of the chips, 0 where not valid; ``valid`` is
    (n, frames, px, px); ``usable`` says which of the n keys show anything at all, ``whole`` which do in all frames.
    """

    pixels: Floats
    valid: Bools
    usable: Bools
    whole: Bools

    def scaled(self, rows: Rows, scale: Moments) -> tuple[Floats, Bools]:
        """Return pictures as the network reads them: mean 0 and sd 1 in each band, 0 where not valid."""
        valid = self.valid[rows]
        mean, sd = (one.astype(np.float32)[:, None, None] for one in (scale.mean, scale.sd))
        standard = (self.pixels[rows] - mean) / sd
        return np.where(valid[:, :, None], standard, np.float32(0)), valid


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of each band."""

    mean: npt.NDArray[np.float64]
    sd: npt.NDArray[np.float64]


def read_pictures(
    chips: ChipSource, block: str, keys: npt.NDArray[Any], prepared: Preparation, *, shape: tuple[int, ...],
    folder: Path,
) -> Pictures:  # fmt: skip
    """Read the chips of ``keys`` once, in the order that costs least, into files that go with the process.

    ``shape`` is (frames, bands, px, px). The files have the ending that a killed run's leftovers are known by.
    """
    pixels = _mapped(folder / ".pictures.partial", np.float32, (len(keys), *shape))
    valid = _mapped(folder / ".valid.partial", np.bool_, (len(keys), shape[0], *shape[2:]))
    row_of = {key: row for row, key in enumerate(keys.tolist())}
    order = [key for key in np.asarray(chips.reading_order()).tolist() if key in row_of]
    for batch in chips.batches(size=_BATCH, keys=np.asarray(order, dtype=keys.dtype)):
        rows = [row_of[key] for key in np.asarray(batch.keys).tolist()]
        pixels[rows], valid[rows] = prepared.frames(batch.pixels[block], batch.mask[block])
    seen: Bools = valid.any(axis=(2, 3))
    return Pictures(pixels, valid, np.asarray(seen.any(axis=1)), np.asarray(seen.all(axis=1)))


def moments(pictures: Pictures, rows: Rows, *, bands: tuple[str, ...]) -> Moments:
    """Return mean and sd of each of the named bands over the valid pixels of some pictures.

    Sums are taken picture by picture around the first picture's mean, in float64 and in the order of ``rows``, so
    they do not depend on how chips were read.
    """
    first = _of_valid(pictures, rows[0]).mean(axis=1)
    count, total, squares = 0, np.zeros(len(bands)), np.zeros(len(bands))
    for row in rows:
        around = _of_valid(pictures, row) - first[:, None]
        count += around.shape[1]
        total += around.sum(axis=1)
        squares += np.square(around).sum(axis=1)
    mean = total / count
    sd = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # pixels are float32, which tells no smaller differences apart
    flat = [band for band, one, level in zip(bands, sd, first + mean) if one <= 1e-6 * abs(level)]
    if flat:
        raise EncoderError(
            explain(
                "Bands have the same value in every chip that the network would learn from.",
                where=flat,
                rule="each band is divided by its standard deviation, which is 0",
                fix="look at these bands, or leave them out of the chips",
            )
        )
    return Moments(first + mean, sd)


def _of_valid(pictures: Pictures, row: int) -> npt.NDArray[np.float64]:
    """Return the valid pixels of one picture, (bands, count)."""
    seen = pictures.valid[row]
    found: npt.NDArray[np.float64] = np.moveaxis(pictures.pixels[row], 1, 0)[:, seen].astype(np.float64)
    return found


def _mapped(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> Any:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
