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
from eocausal.imagery.plan import Plan
from eocausal.imagery.sources import OpenRasters, Tile
from eocausal.imagery.windows import first_pixel, offset_in, positions, sample_bilinear

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
            yield lambda rows: self._read(rasters, rows)

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

    def _read(self, rasters: OpenRasters, rows: Rows) -> ChipBatch:
        plan, n, bands = self.plan, len(rows), len(self.bands)
        pixels: dict[str, Pixels] = {}
        mask: dict[str, Bools] = {}
        touched = {block: np.zeros(n, dtype=bool) for block in plan.sides}
        for block, side in plan.sides.items():
            pixels[block] = np.empty((n, 1, bands, side, side), dtype=np.float32)
            mask[block] = np.empty((n, 1, side, side), dtype=bool)
        # Chips near each other share blocks of the file, so they are read one after the other.
        for place in self._by_location(rows):
            index = int(rows[place])
            canvas, valid, covered = self._cut(rasters, index)
            for block, side in plan.sides.items():
                window = self._crop(index, side)
                pixels[block][place, 0] = canvas[(slice(None), *window)]
                mask[block][place, 0] = valid[window]
                touched[block][place] = covered[window].any()
        judged = {block: judge(mask[block], touched[block], "outside") for block in plan.sides}
        return ChipBatch(
            keys=self.keys[rows],
            pixels=pixels,
            mask=mask,
            status={block: status for block, (status, _) in judged.items()},
            valid_fraction={block: share for block, (_, share) in judged.items()},
        )

    def _by_location(self, rows: Rows) -> Rows:
        grids = self.plan.grids
        home = self.plan.touches[rows].argmax(axis=1)
        return np.lexsort((grids.west[rows], -grids.north[rows], home))

    def _crop(self, index: int, side: int) -> tuple[slice, slice]:
        grids = self.plan.grids
        top, left = (
            int(np.clip(first_pixel(np.nan_to_num(centre[index]), side), 0, grids.side - side))
            for centre in (grids.row, grids.column)
        )
        return slice(top, top + side), slice(left, left + side)

    def _cut(self, rasters: OpenRasters, index: int) -> Canvas:
        side = self.plan.grids.side
        canvas = (
            np.full((len(self.bands), side, side), np.nan, dtype=np.float32),
            np.zeros((side, side), dtype=bool),
            np.zeros((side, side), dtype=bool),
        )
        for number in np.flatnonzero(self.plan.touches[index]):
            tile = self.plan.tiles[number]
            offset = offset_in(self.plan.grids, index, tile.lattice)
            if offset is None:
                self._interpolate(rasters, index, tile, canvas)
            else:
                self._paste(rasters, offset, tile, canvas)
            if canvas[1].all():
                break
        return canvas

    def _paste(self, rasters: OpenRasters, offset: tuple[int, int], tile: Tile, canvas: Canvas) -> None:
        """Copy the raster's own pixels into the window; ``offset`` is the window's corner in the raster."""
        side = self.plan.grids.side
        (r0, c0), (r1, c1) = (
            (max(o, 0) for o in offset),
            (min(o + side, limit) for o, limit in zip(offset, (tile.height, tile.width))),
        )
        if r0 >= r1 or c0 >= c1:
            return
        found = rasters.read(tile, self.bands, (r0, r1), (c0, c1))
        place = slice(r0 - offset[0], r1 - offset[0]), slice(c0 - offset[1], c1 - offset[1])
        _merge(found, tuple(part[place] for part in canvas[1:]), canvas[0][(slice(None), *place)])
        canvas[2][place] = True

    def _interpolate(self, rasters: OpenRasters, index: int, tile: Tile, canvas: Canvas) -> None:
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
        values = rasters.read(tile, self.bands, (r0, r1), (c0, c1))
        found = sample_bilinear(values, rows - r0, columns - c0)
        _merge(found, canvas[1:], canvas[0])
        canvas[2][inside] = True


def _merge(found: Pixels, state: tuple[Bools, ...], pixels: Pixels) -> None:
    """Put valid pixels where none is yet; ``state[0]`` says which are valid."""
    new = ~np.isnan(found[0]) & ~state[0]
    np.copyto(pixels, found, where=new)
    state[0][new] = True
