"""The middle of chips: fewer pixels around each place, as if they had been cut smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from eocausal._checks import whole_number
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import ChipBatch, ChipSource, Rows
from eocausal.imagery.changed import ChangedSource, Corners, Work
from eocausal.imagery.chips import Chips
from eocausal.imagery.resample import judge_again

__all__ = ["Cropping", "cropped"]


@dataclass(frozen=True, eq=False)
class Cropping:
    """Chips of ``native`` pixels a side become their middle, ``side`` pixels, in every block.

    Where the two differ by an odd number, the pixel more is cut off in the south and the east.
    """

    native: Mapping[str, int]
    side: int

    def start(self, source: ChipSource) -> Work:
        """Return the cropping of a batch."""
        return lambda batch, rows: self._crop(batch, rows)

    def corners(self, corners: Corners, block: str) -> Corners:
        """Return where the middle lies."""
        skipped = self._skipped(block)
        return {
            **corners,
            "west": corners["west"] + skipped * corners["x_size"],
            "north": corners["north"] - skipped * corners["y_size"],
        }

    def recipe(self) -> dict[str, Any]:
        """Return the sides."""
        return {"cropped": {"from_px": dict(self.native), "to_px": self.side}}

    def _skipped(self, block: str) -> int:
        return (self.native[block] - self.side) // 2

    def _crop(self, batch: ChipBatch, rows: Rows) -> ChipBatch:
        pixels, mask, status, share = {}, {}, {}, {}
        for block in batch.pixels:
            start = self._skipped(block)
            inside = slice(start, start + self.side)
            pixels[block] = batch.pixels[block][..., inside, inside]
            mask[block] = batch.mask[block][..., inside, inside]
            status[block], share[block] = judge_again(mask[block], batch.status[block])
        return replace(batch, pixels=pixels, mask=mask, status=status, valid_fraction=share)


def cropped(chips: Chips, side: int) -> Chips:
    """Return the middle of square chips, ``side`` pixels in every block.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> units = ec.read_units(pd.DataFrame({"village": [1]}), id="village", image_key="village")
    >>> chips = ec.chips_from_arrays(units, np.arange(16.0).reshape(1, 4, 4, 1))
    >>> next(cropped(chips, 2).batches()).pixels["4px"].ravel().tolist()
    [5.0, 6.0, 9.0, 10.0]
    """
    side = whole_number(side, argument="crop_px", error=ImageryError, least=1)
    small = [block for block, native in chips.sides.items() if native < side]
    if small:
        raise ImageryError(
            explain(
                f"The middle of {side} pixels is larger than chips of these sizes.",
                where=[f"{block} ({chips.sides[block]} pixels)" for block in small],
                fix=f"at most {min(chips.sides.values())} pixels",
            )
        )
    return replace(chips, source=ChangedSource(chips.source, Cropping(dict(chips.sides), side)))
