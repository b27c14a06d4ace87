"""Read planned chips from rasters: paste or interpolate tiles in order, the first valid pixel wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, ChipBatch, Keys, Pixels, Rows, judge
from eocausal.imagery.cells import Cells, reading_order
from eocausal.imagery.plan import Plan
from eocausal.imagery.sources import OpenRasters, Tile
from eocausal.imagery.windows import first_pixel, offset_in, offsets_in, positions, sample_bilinear

Floats = npt.NDArray[np.float64]
# What one chip's window has got so far: pixels (bands, n, n), which are valid, which lie on any raster.
Canvas = tuple[Pixels, Bools, Bools]


@dataclass(frozen=True, eq=False)
class RasterSource:
    """Chips cut from rasters as planned."""

    keys: Keys
    longitude: Floats
    latitude: Floats
    plan: Plan
    bands: tuple[int, ...]
    asked: Mapping[str, float]

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Keep the rasters open while chips are read."""
        with OpenRasters() as rasters:
            cells = Cells(rasters, self.bands)
            yield lambda rows: self._read(cells, rows)

    def reading_order(self) -> Rows:
        """Return all positions so that chips that share a decoded part of a raster follow each other."""
        return self._order

    def places(self) -> dict[str, npt.NDArray[Any]]:
        """Return longitude, latitude and the reference system of each chip's grid."""
        return {"longitude": self.longitude, "latitude": self.latitude, "crs": self.plan.grids.crs}

    def label(self) -> str:
        """Return the number of rasters and the grid rule."""
        files = len({tile.file for tile in self.plan.tiles})
        return f"{files} raster{'s' if files > 1 else ''}, {self.plan.rule} grid"

    def recipe(self) -> dict[str, Any]:
        """Return files, sizes and grid."""
        return {
            "source": "rasters",
            "rasters": self._files,
            "sizes": dict(self.asked),
            "sides_px": self.plan.sides,
            "grid": self.plan.rule,
            "pixel_m": self.plan.pixel_m,
            "resampling": "bilinear" if self.plan.rule == "utm" else "none where pixels coincide",
        }

    @cached_property
    def _files(self) -> list[dict[str, Any]]:
        first = {tile.file: tile for tile in reversed(self.plan.tiles)}
        return [first[file].recipe() for file in dict.fromkeys(tile.file for tile in self.plan.tiles)]

    @cached_property
    def _order(self) -> Rows:
        plan = self.plan
        return reading_order(
            plan.tiles, plan.home, plan.rows, plan.columns, bands=len(self.bands), side=plan.grids.side
        )

    @cached_property
    def _turn(self) -> Rows:
        """When each chip comes in the reading order."""
        turn = np.empty_like(self._order)
        turn[self._order] = np.arange(len(turn))
        return turn

    def _read(self, cells: Cells, rows: Rows) -> ChipBatch:
        sides, bands = self.plan.sides, len(self.bands)
        pixels = {b: np.empty((len(rows), 1, bands, n, n), dtype=np.float32) for b, n in sides.items()}
        largest = max(sides, key=lambda block: sides[block])
        whole = pixels[largest][:, 0]
        touched = {block: np.ones(len(rows), dtype=bool) for block in sides}
        corners = {block: self._corners(rows, side) for block, side in sides.items()}
        starts, direct = self._starts(rows)
        # Chips near each other share parts of the files, so they are read one after the other.
        for place in np.argsort(self._turn[rows]).tolist():
            start = starts[place] if direct[place] else None
            covered = self._cut(cells, int(rows[place]), whole[place], start)
            if covered is not None:
                for block, side in sides.items():
                    touched[block][place] = _window(covered, corners[block][place], side).any()
        for block in sides:
            if block != largest:
                _crop(whole, corners[block], pixels[block][:, 0])
        # Where one band is not valid, none is.
        mask = {block: ~np.isnan(found[:, :, 0]) for block, found in pixels.items()}
        judged = {block: judge(mask[block], touched[block], "outside") for block in sides}
        return ChipBatch(
            keys=self.keys[rows],
            pixels=pixels,
            mask=mask,
            status={block: status for block, (status, _) in judged.items()},
            valid_fraction={block: share for block, (_, share) in judged.items()},
        )

    def _corners(self, rows: Rows, side: int) -> npt.NDArray[np.int64]:
        """Return where in the largest window each chip's window of ``side`` begins: row, column, (n, 2)."""
        grids = self.plan.grids
        centres = np.nan_to_num(np.stack([grids.row[rows], grids.column[rows]], axis=1))
        return first_pixel(centres, side).clip(0, grids.side - side)

    def _starts(self, rows: Rows) -> tuple[list[tuple[int, int]], list[bool]]:
        """Return the corner of each chip's window in its home raster, and whether its pixels lie there whole."""
        plan, side = self.plan, self.plan.grids.side
        starts = np.zeros((len(rows), 2), dtype=np.int64)
        direct = np.zeros(len(rows), dtype=bool)
        homes = np.where(plan.touches[rows].any(axis=1), plan.home[rows], -1)
        for home in set(homes.tolist()) - {-1}:
            here, tile = np.flatnonzero(homes == home), plan.tiles[home]
            found, aligned = offsets_in(plan.grids, rows[here], tile.lattice)
            inside = (found >= 0).all(axis=1) & (found + side <= (tile.height, tile.width)).all(axis=1)
            starts[here], direct[here] = found, aligned & inside
        return [(row, column) for row, column in starts.tolist()], direct.tolist()

    def _cut(self, cells: Cells, index: int, pixels: Pixels, start: tuple[int, int] | None) -> Bools | None:
        """Fill a chip's window, NaN where not valid; tell which of it lies on a raster, None for all.

        ``start`` is its corner in the home raster when the window is a part of that.
        """
        plan = self.plan
        if start is not None:
            side = plan.grids.side
            (row, column), tile = start, plan.tiles[plan.home[index]]
            cells.fill(pixels, tile, (row, row + side), (column, column + side))
            if self._alone[index] or not np.isnan(pixels[0]).any():
                return None
        return self._compose(cells, index, np.flatnonzero(plan.touches[index]), pixels)

    @cached_property
    def _alone(self) -> Bools:
        """Which chips touch no more than one raster."""
        alone: Bools = self.plan.touches.sum(axis=1) <= 1
        return alone

    def _compose(self, cells: Cells, index: int, numbers: npt.NDArray[np.intp], pixels: Pixels) -> Bools:
        """Fill a chip's window from tiles in order; tell which of it lies on any."""
        pixels[:] = np.nan
        valid, covered = np.zeros(pixels.shape[1:], dtype=bool), np.zeros(pixels.shape[1:], dtype=bool)
        canvas = pixels, valid, covered
        for number in numbers:
            tile = self.plan.tiles[number]
            offset = offset_in(self.plan.grids, index, tile.lattice)
            if offset is None:
                self._interpolate(cells, index, tile, canvas)
            else:
                self._paste(cells, offset, tile, canvas)
            if valid.all():
                break
        return covered

    def _paste(self, cells: Cells, offset: tuple[int, int], tile: Tile, canvas: Canvas) -> None:
        """Copy the raster's own pixels into the window; ``offset`` is the window's corner in the raster."""
        side = self.plan.grids.side
        (r0, c0), (r1, c1) = (
            (max(o, 0) for o in offset),
            (min(o + side, limit) for o, limit in zip(offset, (tile.height, tile.width))),
        )
        if r0 >= r1 or c0 >= c1:
            return
        found = cells.read(tile, (r0, r1), (c0, c1))
        place = slice(r0 - offset[0], r1 - offset[0]), slice(c0 - offset[1], c1 - offset[1])
        _merge(found, tuple(part[place] for part in canvas[1:]), canvas[0][(slice(None), *place)])
        canvas[2][place] = True

    def _interpolate(self, cells: Cells, index: int, tile: Tile, canvas: Canvas) -> None:
        """Interpolate the raster at the window's pixel centres."""
        rows, columns = positions(self.plan.grids, index, tile.lattice)
        with np.errstate(invalid="ignore"):
            inside = (rows >= 0) & (rows < tile.height) & (columns >= 0) & (columns < tile.width)
        if not inside.any():
            return
        (r0, r1), (c0, c1) = (
            # One pixel more on each side, for the neighbours that interpolation needs.
            (max(int(v[inside].min() - 0.5) - 1, 0), min(int(v[inside].max() + 0.5) + 2, limit))
            for v, limit in ((rows, tile.height), (columns, tile.width))
        )
        values = cells.read(tile, (r0, r1), (c0, c1))
        found = sample_bilinear(values, rows - r0, columns - c0)
        _merge(found, canvas[1:], canvas[0])
        canvas[2][inside] = True


def _window(image: npt.NDArray[Any], corner: npt.NDArray[np.int64], side: int) -> npt.NDArray[Any]:
    """Return the square part of images that begins at a row and column."""
    row, column = corner.tolist()
    return image[..., row : row + side, column : column + side]


def _crop(whole: Pixels, corners: npt.NDArray[np.int64], out: Pixels) -> None:
    """Copy each chip's smaller window; all at once where they begin alike, as sides of one parity do."""
    side = out.shape[-1]
    if len(whole) and (corners == corners[0]).all():
        out[:] = _window(whole, corners[0], side)
        return
    for chip, corner in enumerate(corners):
        out[chip] = _window(whole[chip], corner, side)


def _merge(found: Pixels, state: tuple[Bools, ...], pixels: Pixels) -> None:
    """Put valid pixels where none is yet; ``state[0]`` says which are valid."""
    new = ~np.isnan(found[0]) & ~state[0]
    np.copyto(pixels, found, where=new)
    state[0][new] = True
