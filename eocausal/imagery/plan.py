"""Which window of which grid each chip is cut from, and from which tiles, in a few numbers a chip.

Windows are laid out again when chips are read, so that a million of them need little memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.tiles import Tile
from eocausal.imagery.windows import Bools, Floats, Grids, Integers, native_grids, utm_grids

Rows = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Touches:
    """Which tiles each chip touches, in their order: those of chip i are ``tiles[starts[i]:starts[i + 1]]``."""

    starts: npt.NDArray[np.uint32]
    tiles: npt.NDArray[Any]

    def of(self, chip: int) -> list[int]:
        """Return the tiles that a chip touches."""
        found: list[int] = self.tiles[self.starts[chip] : self.starts[chip + 1]].tolist()
        return found

    def counts(self, some: Rows | slice = slice(None)) -> Integers:
        """Return how many tiles chips touch."""
        found: Integers = (self.starts[1:][some] - self.starts[:-1][some]).astype(np.int64)
        return found

    def first(self, some: Rows) -> Integers:
        """Return the first tile of chips, -1 where they touch none."""
        if not len(self.tiles):
            return np.full(len(some), -1, dtype=np.int64)
        starts = np.minimum(self.starts[some], len(self.tiles) - 1)
        return np.where(self.counts(some) > 0, self.tiles[starts].astype(np.int64), -1)


@dataclass(frozen=True, eq=False)
class Plan:
    """Windows of all chips at the largest size, the tiles that touch them, and the blocks cut from them.

    ``rule`` is ``native`` (the raster's own pixels, metric), ``utm`` (resampled into the unit's UTM zone) or
    ``pixels`` (the raster's own pixels, counted). ``frame`` is the tile whose lattice a chip's window follows,
    or the unit's UTM zone, and ``u, v`` the unit's continuous row and column there, or its easting and
    northing. ``on_raster`` tells which chips touch any tile, those of other days included; ``order`` is the
    order in which chips are read best.
    """

    rule: str
    pixel_m: float | None
    sides: dict[str, int]
    tiles: tuple[Tile, ...]
    frame: npt.NDArray[Any]
    u: Floats
    v: Floats
    touches: Touches
    on_raster: Bools
    order: npt.NDArray[np.uint32]

    @property
    def side(self) -> int:
        """Pixels along the largest window."""
        return max(self.sides.values())

    def sort(self, rows: Rows) -> list[int]:
        """Return places among some chips in an order in which neighbours follow each other, tile by tile."""
        first = self.touches.first(rows)
        cells = np.array([tile.cell for tile in self.tiles])[first.clip(min=0)]
        scale = float(self.pixel_m or 1.0) if self.rule == "utm" else 1.0
        down, right = (
            np.floor(np.nan_to_num(centre[rows]) / (cells[:, axis] * scale))
            for axis, centre in enumerate((self.u, self.v))
        )
        places: list[int] = np.lexsort((self.v[rows], self.u[rows], right, down, first)).tolist()
        return places

    def grids(self, some: Rows | slice = slice(None)) -> Grids:
        """Return the largest windows of some chips."""
        frame, u, v = self.frame[some].astype(np.int64), self.u[some], self.v[some]
        if self.rule != "utm":
            return native_grids([tile.lattice for tile in self.tiles], frame, u, v, self.side)
        return utm_grids(u, v, frame, float(self.pixel_m or 0), self.side)
