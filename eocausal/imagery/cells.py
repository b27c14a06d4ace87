"""Decoded parts of rasters, kept while the chips around them are cut, so that each is decoded about once.

A *cell* is one block of the file, the least that can be decoded, or several where blocks are small. Chips are
cut in the order of their cells, along *panels*: columns of cells narrow enough for a row of them to be kept
until the next row, whose chips share them, has been cut. So memory is bounded and does not depend on how many
chips there are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eocausal.imagery.tiles import OpenRasters, Raster, Span, Tile, Window

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.float32]

KEPT_BYTES = 128 * 2**20
"""Decoded pixels that are kept."""
# A cell larger than this part of what is kept is not worth keeping: such rasters are read window by window.
_LARGEST_SHARE = 1 / 4


def keeps(tile: Tile, bands: int) -> bool:
    """Whether cells of a raster are small enough to be kept."""
    return cell_bytes(tile, bands) <= KEPT_BYTES * _LARGEST_SHARE


def cell_bytes(tile: Tile, bands: int) -> int:
    """Return the bytes that a decoded cell is reckoned at."""
    return tile.item_bytes * bands * tile.cell[0] * tile.cell[1]


def panel_width(tile: Tile, bands: int, side: int, *, depth: int = 1) -> int:
    """Return how many cells wide a panel may be when chips of ``side`` pixels are cut.

    Chips whose corners lie in one row of cells reach ``further`` rows down and columns to the right, and all
    of these have to be kept until the next row is cut, ``depth`` times over where so many rasters overlap.
    """
    further = -(-side // min(tile.cell))
    return max(1, KEPT_BYTES // (depth * cell_bytes(tile, bands)) // (further + 1) - further - 1)


def reading_keys(
    tiles: Sequence[Tile],
    home: Integers,
    rows: Floats,
    columns: Floats,
    *,
    bands: int,
    side: int,
    depth: int = 1,
) -> npt.NDArray[np.int32]:
    """Return what chips are sorted by to share most: raster, panel, row of cells, cell, and place in it.

    Parameters
    ----------
    tiles : list of Tile
        The rasters.
    home : numpy.ndarray
        The raster that each chip is read from first, shape (n,).
    rows, columns : numpy.ndarray
        Continuous pixel coordinates of the chips' middles there, shape (n,).
    bands, side, depth : int
        Bands that are read, pixels along a chip, and rasters that overlap at one.

    Returns
    -------
    numpy.ndarray
        int32, shape (n, 6), the first column the most important.
    """
    cells = np.array([tile.cell for tile in tiles])[home]
    widths = np.array([panel_width(tile, bands, side, depth=depth) for tile in tiles])[home]
    corners = [(np.nan_to_num(centre) - side / 2).clip(min=0) for centre in (rows, columns)]
    (down, in_row), (right, in_column) = (
        np.divmod(corner, cells[:, axis]) for axis, corner in enumerate(corners)
    )
    return np.stack([home, right // widths, down, right % widths, in_row, in_column], axis=1).astype(np.int32)


def sorted_by(keys: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    """Return the order of rows of keys, through one number for each where they are few enough to tell apart.

    Examples
    --------
    >>> sorted_by(np.array([[1, 0], [0, 7], [0, 2], [1, 0]], dtype=np.int32)).tolist()
    [2, 1, 0, 3]
    """
    sizes = [int(largest) + 1 for largest in keys.max(axis=0, initial=0)]
    if math.prod(sizes) >= 2**63:
        return np.lexsort(keys.T[::-1]).astype(np.uint32)
    number = np.zeros(len(keys), dtype=np.int64)
    for column, size in enumerate(sizes):
        number *= size
        number += keys[:, column]
    return np.argsort(number, kind="stable").astype(np.uint32)


@dataclass(frozen=True)
class Cells:
    """Windows of open rasters, put together from cells; those used last are kept, up to ``KEPT_BYTES``."""

    rasters: OpenRasters
    bands: tuple[int, ...]
    _kept: OrderedDict[tuple[Raster, int, int], Window] = field(default_factory=OrderedDict)
    _held: list[int] = field(default_factory=lambda: [0])

    def read(self, tile: Tile, rows: Span, columns: Span) -> Window:
        """Read a window inside the raster, as it is stored: pixels (bands, rows, columns) and which are valid."""
        if not keeps(tile, len(self.bands)):
            return self.rasters.read(tile, self.bands, rows, columns)
        high, wide = tile.cell
        down, right = rows[0] // high, columns[0] // wide
        if rows[1] <= (down + 1) * high and columns[1] <= (right + 1) * wide:
            return _part(self.cell(tile, down, right), rows, columns, down * high, right * wide)
        return self._put_together(tile, rows, columns)

    def fill(self, out: Pixels, tile: Tile, rows: Span, columns: Span) -> bool:
        """Read a window into an array of its shape, NaN where not valid; tell whether all of it is."""
        if not keeps(tile, len(self.bands)):
            return put(out, *self.rasters.read(tile, self.bands, rows, columns))
        full = True
        for part, place in self._parts(tile, rows, columns):
            full &= put(out[(slice(None), *place)], *part)
        return full

    def _put_together(self, tile: Tile, rows: Span, columns: Span) -> Window:
        """Copy a window from the cells it reaches into."""
        shape = rows[1] - rows[0], columns[1] - columns[0]
        whole: npt.NDArray[np.generic] | None = None
        valid = np.ones(shape, dtype=bool)
        for (part, known), place in self._parts(tile, rows, columns):
            if whole is None:
                whole = np.empty((len(self.bands), *shape), dtype=part.dtype)
            whole[(slice(None), *place)] = part
            if known is not None:
                valid[place] = known
        if whole is None:
            raise IndexError(f"an empty window: rows {rows}, columns {columns}")
        return whole, None if valid.all() else valid

    def _parts(self, tile: Tile, rows: Span, columns: Span) -> Iterator[tuple[Window, tuple[slice, slice]]]:
        """Yield the parts of the cells that a window reaches into, and where in it each lies."""
        high, wide = tile.cell
        for down in range(rows[0] // high, (rows[1] - 1) // high + 1):
            span = max(rows[0], down * high), min(rows[1], (down + 1) * high)
            for right in range(columns[0] // wide, (columns[1] - 1) // wide + 1):
                across = max(columns[0], right * wide), min(columns[1], (right + 1) * wide)
                part = _part(self.cell(tile, down, right), span, across, down * high, right * wide)
                yield (
                    part,
                    (
                        slice(span[0] - rows[0], span[1] - rows[0]),
                        slice(across[0] - columns[0], across[1] - columns[0]),
                    ),
                )

    def cell(self, tile: Tile, down: int, right: int) -> Window:
        """Return the cell that is so many cells down and to the right, all of it."""
        place = (tile.raster, down, right)
        cell = self._kept.get(place)
        if cell is not None:
            self._kept.move_to_end(place)
            return cell
        (top, bottom), (left, right_edge) = (
            (number * size, min((number + 1) * size, limit))
            for number, size, limit in zip((down, right), tile.cell, (tile.height, tile.width))
        )
        cell = self.rasters.read(tile, self.bands, (top, bottom), (left, right_edge))
        self._held[0] += _bytes(cell)
        while self._kept and self._held[0] > KEPT_BYTES:
            self._held[0] -= _bytes(self._kept.popitem(last=False)[1])
        self._kept[place] = cell
        return cell


def put(out: Pixels, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None) -> bool:
    """Copy pixels, NaN where not valid; tell whether all are."""
    out[:] = pixels
    if valid is None or valid.all():
        return True
    out[:, ~valid] = np.nan
    return False


def _part(cell: Window, rows: Span, columns: Span, top: int, left: int) -> Window:
    """Return a window of a cell whose first pixel is (top, left), without copying."""
    pixels, valid = cell
    place = slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)
    return pixels[(slice(None), *place)], None if valid is None else valid[place]


def _bytes(cell: Window) -> int:
    return cell[0].nbytes + (0 if cell[1] is None else cell[1].nbytes)
