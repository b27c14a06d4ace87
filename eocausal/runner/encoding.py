"""Encode batches of chips: the usable ones, within the memory there is, with what comes out checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._image_info import USABLE, worst_info
from eocausal.encoding.protocol import ChipBatch, FittedEncoder, Mask, Pixels
from eocausal.errors import EncoderError, explain

Features = npt.NDArray[np.float32]


@dataclass(eq=False)
class Encoding:
    """Encodes batches, block by block; ``spans`` are the columns of each block of chips.

    ``most`` is how many chips fit into memory at a time, once that is known; ``told`` is called with a sentence
    when it is found out.
    """

    fitted: FittedEncoder
    name: str
    spans: dict[str, tuple[int, int]]
    told: Callable[[str], None]
    most: int | None = field(default=None)

    @property
    def width(self) -> int:
        """Number of features of all blocks."""
        return max(stop for _, stop in self.spans.values())

    def encode(self, batch: ChipBatch) -> tuple[Features, pd.DataFrame]:
        """Return features (n, d) and the info of each chip; chips that cannot be used are NaN."""
        values = np.full((len(batch.keys), self.width), np.nan, dtype=np.float32)
        infos = []
        for block, (start, stop) in self.spans.items():
            values[:, start:stop], status = self._block(batch, block, stop - start)
            infos.append(pd.DataFrame({"status": status, "valid_fraction": batch.valid_fraction[block]}))
        return values, worst_info(infos)[["status", "valid_fraction"]]

    def _block(self, batch: ChipBatch, block: str, width: int) -> tuple[Features, npt.NDArray[np.object_]]:
        """Encode the usable chips of one block; the others stay NaN, and so do those with too few valid pixels."""
        status: npt.NDArray[np.object_] = np.asarray(batch.status[block], dtype=object).copy()
        usable = np.isin(status, list(USABLE))
        values = np.full((len(status), width), np.nan, dtype=np.float32)
        if usable.any():
            pixels, mask = batch.pixels[block][usable], batch.mask[block][usable]
            features = self._within_memory(pixels, mask, block)
            _check_output(self.name, features, mask, batch.keys[usable], block, width)
            values[usable] = features
        # Some valid pixels, but too few for the encoder: to the table that is a chip without data.
        status[usable & np.isnan(values).all(axis=1)] = "nodata"
        return values, status

    def _within_memory(self, pixels: Pixels, mask: Mask, block: str) -> Features:
        """Encode as many chips at a time as memory holds: half as many after each failure."""
        step = min(self.most or len(pixels), len(pixels))
        found: list[Features] = []
        start = 0
        while start < len(pixels):
            some = slice(start, start + step)
            try:
                found.append(self.fitted.encode(pixels[some], mask[some], block))
            except (MemoryError, RuntimeError) as cause:
                if not out_of_memory(cause):
                    raise
                step = self._fewer(step, block, cause)
                continue
            start += step
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _fewer(self, step: int, block: str, cause: BaseException) -> int:
        if step == 1:
            text = f"One chip of block {block!r} does not fit into memory with encoder {self.name!r}."
            fix = "use smaller chips, a smaller encoder, or device='cpu'"
            raise EncoderError(explain(text, rule=str(cause)[:200], fix=fix)) from cause
        self.most = step // 2
        _let_go()
        self.told(f"out of memory with {step} chips at a time: going on with {self.most}")
        return self.most


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on the processor or on a GPU.

    Examples
    --------
    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes do not match"))
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError is a RuntimeError; that of the processor is told by its text alone
    text = str(error).lower()
    return (
        type(error).__name__ == "OutOfMemoryError" or "out of memory" in text or "not enough memory" in text
    )


def _let_go() -> None:
    """Hand back what PyTorch keeps of the memory of GPUs."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _check_output(
    name: str,
    features: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    keys: npt.NDArray[Any],
    block: str,
    width: int,
) -> None:
    if features.shape != (len(keys), width) or features.dtype != np.float32:
        raise EncoderError(
            explain(
                f"Encoder {name!r} gave {features.dtype} features of shape {features.shape} for "
                f"{len(keys)} chips of block {block!r}.",
                rule=f"float32 of shape ({len(keys)}, {width})",
            )
        )
    finite = np.isfinite(features)
    empty = np.isnan(features).all(axis=1) & ~mask.all(axis=(1, 2, 3))
    broken = ~(finite.all(axis=1) | empty)
    if broken.any():
        raise EncoderError(
            explain(
                f"Encoder {name!r} gave features that are not finite for {int(broken.sum())} chips of "
                f"block {block!r}.",
                where=keys[broken],
                rule="features are finite, or NaN throughout for a chip with too few valid pixels",
                fix="look at the pixels of these chips; very large values overflow float32",
            )
        )
