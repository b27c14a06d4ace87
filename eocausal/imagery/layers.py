"""One chip's picture from the tiles it touches: their own pixels where grids coincide, else interpolated.

Tiles are taken in order and the first valid pixel wins. What is not clear is dropped before that, so a cloud in
one tile is filled from another that shows the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, Pixels
from eocausal.imagery.reader import Reader
from eocausal.imagery.tiles import Span, Tile
from eocausal.imagery.windows import Grids, Lattice, offset_in, offsets_in, positions, sample_bilinear


@dataclass(frozen=True)
class Canvas:
    """What a chip's window has got so far: pixels (bands, n, n), and which lie on any raster."""

    pixels: Pixels
    covered: Bools

    @classmethod
    def blank(cls, bands: int, side: int) -> Canvas:
        """Return a window without anything."""
        shape = (side, side)
        return cls(np.full((bands, *shape), np.nan, dtype=np.float32), np.zeros(shape, dtype=bool))


@dataclass(frozen=True, eq=False)
class Corners:
    """Where windows begin in lattices: found for all windows at once, because days share their lattices."""

    grids: Grids
    _found: dict[Lattice, list[tuple[int, int] | None]] = field(default_factory=dict)

    def of(self, chip: int, lattice: Lattice) -> tuple[int, int] | None:
        """Return the (row, column) of a window's corner in a lattice, or None when pixels do not coincide."""
        found = self._found.get(lattice)
        if found is None:
            corners, aligned = offsets_in(self.grids, np.arange(len(self.grids)), lattice)
            pairs = zip(corners.tolist(), aligned.tolist())
            found = [(row, column) if same else None for (row, column), same in pairs]
            self._found[lattice] = found
        return found[chip]


def lay(
    reader: Reader,
    grids: Grids,
    chip: int,
    tiles: Sequence[Tile],
    canvas: Canvas,
    corners: Corners | None = None,
) -> None:
    """Fill a chip's window, blank so far, from tiles in order, until all of it is valid."""
    side = grids.side
    for number, tile in enumerate(tiles):
        offset = offset_in(grids, chip, tile.lattice) if corners is None else corners.of(chip, tile.lattice)
        if offset is None:
            _interpolate(reader, grids, chip, tile, canvas)
        elif number == 0 and _holds(tile, offset, side):
            (row, column), canvas.covered[:] = offset, True
            if reader.fill(canvas.pixels, tile, (row, row + side), (column, column + side)):
                return
            continue
        else:
            _paste(reader, side, offset, tile, canvas)
        if not np.isnan(canvas.pixels[0]).any():
            return


def _holds(tile: Tile, offset: tuple[int, int], side: int) -> bool:
    """Whether all of a window lies in a raster."""
    row, column = offset
    return row >= 0 and column >= 0 and row + side <= tile.height and column + side <= tile.width


def holds_data(
    reader: Reader, grids: Grids, chip: int, tiles: Sequence[Tile], window: tuple[slice, slice]
) -> bool:
    """Whether any pixel is valid in a part of a chip's window before what is not clear is dropped."""
    plain = reader.unscreened()
    canvas = Canvas.blank(len(plain.cells.bands), grids.side)
    lay(plain, grids, chip, tiles, canvas)
    return not np.isnan(canvas.pixels[0][window]).all()


def _paste(reader: Reader, side: int, offset: tuple[int, int], tile: Tile, canvas: Canvas) -> None:
    """Copy the raster's own pixels into the window; ``offset`` is the window's corner in the raster."""
    spans = [(max(o, 0), min(o + side, limit)) for o, limit in zip(offset, (tile.height, tile.width))]
    (r0, r1), (c0, c1) = spans
    if r0 >= r1 or c0 >= c1:
        return
    found = reader.pixels(tile, (r0, r1), (c0, c1))
    place = slice(r0 - offset[0], r1 - offset[0]), slice(c0 - offset[1], c1 - offset[1])
    _merge(found, canvas.pixels[(slice(None), *place)])
    canvas.covered[place] = True


def _interpolate(reader: Reader, grids: Grids, chip: int, tile: Tile, canvas: Canvas) -> None:
    """Interpolate the raster at the window's pixel centres."""
    rows, columns = positions(grids, chip, tile.lattice)
    with np.errstate(invalid="ignore"):
        inside = (rows >= 0) & (rows < tile.height) & (columns >= 0) & (columns < tile.width)
    if not inside.any():
        return
    down, across = _reach(rows[inside], tile.height), _reach(columns[inside], tile.width)
    values = reader.pixels(tile, down, across)
    _merge(sample_bilinear(values, rows - down[0], columns - across[0]), canvas.pixels)
    canvas.covered[inside] = True


def _reach(positions: npt.NDArray[np.float64], limit: int) -> Span:
    """Return the pixels that positions need, with one more on each side for the neighbours."""
    return max(int(positions.min() - 0.5) - 1, 0), min(int(positions.max() + 0.5) + 2, limit)


def _merge(found: Pixels, pixels: Pixels) -> None:
    """Put valid pixels where none is yet."""
    np.copyto(pixels, found, where=~np.isnan(found[0]) & np.isnan(pixels[0]))
