"""Windows of tiles as they are handed on: decoded about once, checked against their unit, screened, converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Pixels
from eocausal.imagery.cells import Cells
from eocausal.imagery.plan import Plan
from eocausal.imagery.radiometry import PIXEL_UNITS, check_range
from eocausal.imagery.screening import SAMPLE_CHIPS, Screen, said_of, thinned
from eocausal.imagery.tiles import Raster, Span, Tile
from eocausal.imagery.windows import outlines


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads windows; ``checked`` are the rasters whose pixels were seen to fit their declared unit."""

    cells: Cells
    screen: Screen
    checked: set[Raster] = field(default_factory=set)

    def pixels(self, tile: Tile, rows: Span, columns: Span) -> Pixels:
        """Return a window inside a raster: float32 (bands, rows, columns), NaN where not valid."""
        window = self.cells.read(tile, rows, columns)
        if self._unchecked(tile):
            self._check(tile, self.screen.values(window))
        return self.screen.apply(window, tile)

    def fill(self, out: Pixels, tile: Tile, rows: Span, columns: Span) -> bool:
        """Read a window into an array of its shape; tell whether all of it is valid."""
        if self.screen.idle:
            return self.cells.fill(out, tile, rows, columns)
        out[:] = self.pixels(tile, rows, columns)
        return not np.isnan(out[0]).any()

    def unscreened(self) -> Reader:
        """Return a reader of the same pixels that drops and converts nothing."""
        return Reader(self.cells, Screen(None, None))

    def check_units(self, plan: Plan) -> None:
        """Compare with its declared unit a sample of each raster that was not compared yet.

        A raster whose sample has no valid pixel is compared when the first is read.
        """
        waiting = [tile for tile in plan.tiles if self._unchecked(tile)]
        if not waiting:
            return
        for number in np.unique(plan.touches.tiles).tolist():
            tile = plan.tiles[number]
            if self._unchecked(tile):
                values = [
                    thinned(self.screen.values(self.cells.read(tile, *window)))
                    for window in _sample(plan, number)
                ]
                if values:
                    self._check(tile, np.concatenate(values))

    def _unchecked(self, tile: Tile) -> bool:
        said = self.screen.radiometry
        return (
            said is not None and PIXEL_UNITS[said.unit].first is not None and tile.raster not in self.checked
        )

    def _check(self, tile: Tile, values: npt.NDArray[Any]) -> None:
        if self.screen.radiometry is None or not values.size:
            return
        said = said_of(self.screen.radiometry, tile)
        check_range(values, said.unit, tile.name, offset_applied=said.offset_applied)
        self.checked.add(tile.raster)


def _sample(plan: Plan, number: int) -> Sequence[tuple[Span, Span]]:
    """Return windows of a tile under some of the chips that touch it, evenly spread."""
    touching = np.flatnonzero(plan.touches.tiles == number)
    each = max(1, SAMPLE_CHIPS // len(plan.tiles))
    chosen = touching[np.unique(np.linspace(0, len(touching) - 1, min(len(touching), each)).astype(int))]
    chips = np.searchsorted(plan.touches.starts, chosen, side="right") - 1
    tile = plan.tiles[number]
    x, y = outlines(plan.grids(chips), tile.lattice.crs)
    rows, columns = tile.lattice.pixel(x, y)
    windows = []
    for place in range(len(chips)):
        down, across = (
            (int(np.clip(np.floor(part.min()), 0, limit - 1)), int(np.clip(np.ceil(part.max()), 1, limit)))
            for part, limit in ((rows[place], tile.height), (columns[place], tile.width))
        )
        windows.append(((down[0], max(down[1], down[0] + 1)), (across[0], max(across[1], across[0] + 1))))
    return windows
