"""Chips of a study in memory, scaled anew for each fold by the chips that its network may learn from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._image_info import USABLE
from eocausal._provenance import hash_arrays
from eocausal.errors import ImageryError, explain

if TYPE_CHECKING:
    from eocausal.encoding.protocol import ChipBatch, ChipSource

FloatArray = npt.NDArray[np.float64]
Pictures = npt.NDArray[np.float32]

# Decoded chips beyond this many bytes lie in a temporary file, read as they are needed.
_IN_MEMORY = 4 * 2**30
_READ_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class ChipTable:
    """Chips by key: pixels (n, frames x bands, height, width), NaN where not valid, and what is known of each.

    The bands of a frame stand together, and are valid together. ``hashes`` are of the pixels of each chip;
    ``counts``, ``sums`` and ``squares`` are of its valid pixels, the last two by band.
    """

    keys: npt.NDArray[Any]
    block: str
    pixels: Pictures
    info: pd.DataFrame
    hashes: npt.NDArray[np.str_]
    counts: FloatArray
    sums: FloatArray
    squares: FloatArray
    frames: int = 1

    def scale(self, rows: npt.NDArray[np.intp]) -> tuple[Pictures, Pictures]:
        """Return mean and standard deviation of each band over the valid pixels of some chips, each once.

        A band of one value has an infinite deviation, so that it is 0 in all chips: what it shows in others is
        nothing that a network could have learned about.
        """
        count = self.counts[rows].sum()
        mean = self.sums[rows].sum(axis=0) / count
        variance = np.maximum(self.squares[rows].sum(axis=0) / count - mean**2, 0.0)
        # pixels are float32, which tells no smaller differences apart
        deviation = np.where(variance > (1e-6 * mean) ** 2, np.sqrt(variance), np.inf)
        return mean.astype(np.float32), deviation.astype(np.float32)

    def pictures(self, rows: npt.NDArray[np.intp], scale: tuple[Pictures, Pictures]) -> Pictures:
        """Return scaled chips, 0 where not valid."""
        mean, deviation = (np.tile(part, self.frames)[:, None, None] for part in scale)
        scaled = (self.pixels[rows] - mean) / deviation
        return np.where(np.isfinite(scaled), scaled, np.float32(0)).astype(np.float32)


def read_chips(
    chips: ChipSource, keys: npt.NDArray[Any], block: str | None, *, sequences: bool = False
) -> ChipTable:
    """Read the chips of distinct keys of one block, each once and in the order in which that costs least.

    Raises
    ------
    ImageryError
        Several sizes and none chosen, several frames where no ``sequences`` are read, or a size that is not known.
    """
    chosen = _one_block(chips, block)
    order = chips.reading_order()
    place = pd.Index(keys).get_indexer(pd.Index(order))
    wanted, place = order[place >= 0], place[place >= 0]
    start, parts, frames = 0, None, 1
    for batch in chips.batches(size=_READ_AT_ONCE, keys=wanted):
        pixels = _with_gaps(batch, chosen, sequences=sequences)
        if parts is None:
            frames = pixels.shape[1]
            parts = _empty_table(len(keys), pixels.shape[1:])
        rows = place[start : start + len(pixels)]
        start += len(pixels)
        _fill(parts, rows, pixels, batch, chosen)
    if parts is None:
        raise ImageryError(explain("There are no chips to learn from.", fix="check the table of units"))
    info = pd.DataFrame({"status": parts["status"], "valid_fraction": parts["valid_fraction"]})
    numbers = {name: parts[name] for name in ("pixels", "hashes", "counts", "sums", "squares")}
    info = info.assign(last_date=chips.last_dates(keys))
    return ChipTable(keys=keys, block=chosen, info=info, frames=frames, **numbers)


def usable(table: ChipTable) -> npt.NDArray[np.bool_]:
    """Return which chips show anything."""
    seen: npt.NDArray[np.bool_] = (table.counts > 0) & table.info["status"].isin(USABLE).to_numpy()
    return seen


def _one_block(chips: ChipSource, block: str | None) -> str:
    if block is not None:
        return one_of(block, chips.blocks, argument="block", error=ImageryError)
    if len(chips.blocks) > 1:
        raise ImageryError(
            explain(
                "The chips have several sizes, and a network is trained on one.",
                where=chips.blocks,
                fix=f"network=ec.Network(block={chips.blocks[0]!r})",
            )
        )
    return chips.blocks[0]


def _with_gaps(batch: ChipBatch, block: str, *, sequences: bool) -> Pictures:
    """Return pixels (n, frames, bands, height, width) with NaN wherever the mask says that a pixel is not valid."""
    pixels, mask = batch.pixels[block], batch.mask[block]
    if pixels.shape[1] != 1 and not sequences:
        raise ImageryError(
            explain(
                f"The chips have {pixels.shape[1]} frames.",
                rule="finetune trains on one picture of each place",
                fix="cut one picture (ec.Frames with one entry), or take frames together with ec.Sequence",
            )
        )
    return np.where(mask[:, :, None], pixels, np.float32(np.nan)).astype(np.float32)


def _empty_table(n: int, shape: tuple[int, ...]) -> dict[str, Any]:
    frames, bands, *sides = shape
    whole = (n, frames * bands, *sides)
    if 4 * int(np.prod(whole)) > _IN_MEMORY:
        with tempfile.TemporaryFile() as file:
            pixels: Pictures = np.memmap(file, dtype=np.float32, mode="w+", shape=whole)
    else:
        pixels = np.empty(whole, dtype=np.float32)
    return {
        "pixels": pixels, "hashes": np.empty(n, dtype="<U16"), "status": np.empty(n, dtype=object),
        "valid_fraction": np.zeros(n), "counts": np.zeros(n), "sums": np.zeros((n, bands)),
        "squares": np.zeros((n, bands)),
    }  # fmt: skip


def _fill(
    parts: dict[str, Any], rows: npt.NDArray[np.intp], pixels: Pictures, batch: ChipBatch, block: str
) -> None:
    valid = np.asarray(np.isfinite(pixels).all(axis=2))
    pixels = np.where(valid[:, :, None], pixels, np.float32(np.nan))
    parts["pixels"][rows] = pixels.reshape(len(pixels), -1, *pixels.shape[3:])
    parts["hashes"][rows] = [hash_arrays(one) for one in pixels]
    parts["status"][rows] = np.asarray(batch.status[block], dtype=object)
    parts["valid_fraction"][rows] = batch.valid_fraction[block]
    numbers = np.where(valid[:, :, None], pixels.astype(float), 0.0)
    parts["counts"][rows] = valid.sum(axis=(1, 2, 3))
    parts["sums"][rows] = numbers.sum(axis=(1, 3, 4))
    parts["squares"][rows] = (numbers**2).sum(axis=(1, 3, 4))
