"""Decoded parts of rasters, kept while the chips around them are cut, so that each is decoded about once.

A *cell* is one block of the file, the least that can be decoded, or several where blocks are small. Chips are
cut in the order of their cells, along *panels*: columns of cells narrow enough for a row of them to be kept
until the next row, whose chips share them, has been cut. So memory is bounded and does not depend on how many
chips there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eocausal.imagery.sources import OpenRasters, Pixels, Tile

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

KEPT_BYTES = 256 * 2**20
"""Decoded pixels that are kept."""
# A cell larger than this part of what is kept is not worth keeping: such rasters are read window by window.
_LARGEST_SHARE = 1 / 8


def keeps(tile: Tile, bands: int) -> bool:
    """Whether cells of a raster are small enough to be kept."""
    return cell_bytes(tile, bands) <= KEPT_BYTES * _LARGEST_SHARE


def cell_bytes(tile: Tile, bands: int) -> int:
    """Return the bytes of a decoded cell."""
    return 4 * bands * tile.cell[0] * tile.cell[1]


def panel_width(tile: Tile, bands: int, side: int) -> int:
    """Return how many cells wide a panel may be when chips of ``side`` pixels are cut.

    Chips whose corners lie in one row of cells reach ``further`` rows down and columns to the right, and all
    of these have to be kept until the next row is cut.
    """
    further = -(-side // min(tile.cell))
    return max(1, KEPT_BYTES // cell_bytes(tile, bands) // (further + 1) - further - 1)


def reading_order(
    tiles: Sequence[Tile], home: Integers, rows: Floats, columns: Floats, *, bands: int, side: int
) -> npt.NDArray[np.intp]:
    """Return the order in which chips share most: by raster, panel, row of cells and cell.

    Parameters
    ----------
    tiles : list of Tile
        The rasters.
    home : numpy.ndarray
        The raster that each chip is read from first, shape (n,).
    rows, columns : numpy.ndarray
        Continuous pixel coordinates of the chips' middles there, shape (n,).
    bands, side : int
        Bands that are read, and pixels along a chip.
    """
    cells = np.array([tile.cell for tile in tiles])[home]
    widths = np.array([panel_width(tile, bands, side) for tile in tiles])[home]
    down, right = (
        np.floor((np.nan_to_num(centre) - side / 2) / cells[:, axis]).clip(min=0)
        for axis, centre in enumerate((rows, columns))
    )
    return np.lexsort((columns, rows, right, down, right // widths, home))


@dataclass(frozen=True)
class Cells:
    """Windows of open rasters, put together from cells; those used last are kept, up to ``KEPT_BYTES``."""

    rasters: OpenRasters
    bands: tuple[int, ...]
    _kept: OrderedDict[tuple[Path, int, int], Pixels] = field(default_factory=OrderedDict)

    def read(self, tile: Tile, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """Read a window inside the raster: float32, shape (bands, rows, columns), NaN where not valid."""
        if not keeps(tile, len(self.bands)):
            return self.rasters.read(tile, self.bands, rows, columns)
        out = np.empty((len(self.bands), rows[1] - rows[0], columns[1] - columns[0]), dtype=np.float32)
        self.fill(out, tile, rows, columns)
        return out

    def fill(self, out: Pixels, tile: Tile, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """Read a window into an array of its shape."""
        if not keeps(tile, len(self.bands)):
            out[:] = self.rasters.read(tile, self.bands, rows, columns)
            return
        high, wide = tile.cell
        down, right = rows[0] // high, columns[0] // wide
        if rows[1] <= (down + 1) * high and columns[1] <= (right + 1) * wide:
            top, left = down * high, right * wide
            out[:] = self._cell(tile, down, right)[
                :, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left
            ]
            return
        for down in range(rows[0] // high, (rows[1] - 1) // high + 1):
            top = down * high
            first, last = max(rows[0], top), min(rows[1], top + high)
            for right in range(columns[0] // wide, (columns[1] - 1) // wide + 1):
                left = right * wide
                start, stop = max(columns[0], left), min(columns[1], left + wide)
                cell = self._cell(tile, down, right)
                out[:, first - rows[0] : last - rows[0], start - columns[0] : stop - columns[0]] = cell[
                    :, first - top : last - top, start - left : stop - left
                ]

    def _cell(self, tile: Tile, down: int, right: int) -> Pixels:
        place = (tile.file, down, right)
        cell = self._kept.get(place)
        if cell is not None:
            self._kept.move_to_end(place)
            return cell
        (top, bottom), (left, right_edge) = (
            (number * size, min((number + 1) * size, limit))
            for number, size, limit in zip((down, right), tile.cell, (tile.height, tile.width))
        )
        cell = self.rasters.read(tile, self.bands, (top, bottom), (left, right_edge))
        spare = KEPT_BYTES - cell.nbytes - sum(kept.nbytes for kept in self._kept.values())
        while spare < 0:
            spare += self._kept.popitem(last=False)[1].nbytes
        self._kept[place] = cell
        return cell
