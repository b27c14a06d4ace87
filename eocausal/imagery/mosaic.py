"""Read planned chips from rasters: one picture of each place, or one for each frame of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import CORNERS, Bools, ChipBatch, Keys, Pixels, Rows, judge
from eocausal.imagery.cells import Cells, keeps, put
from eocausal.imagery.layers import Canvas, holds_data, lay
from eocausal.imagery.plan import Plan
from eocausal.imagery.reader import Reader
from eocausal.imagery.screening import Screen
from eocausal.imagery.sequence import Cut, read_frames
from eocausal.imagery.tiles import OpenRasters, Raster
from eocausal.imagery.timeline import Timeline
from eocausal.imagery.windows import Grids, first_pixel, offsets_in

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RasterSource:
    """Chips cut from rasters as planned; ``bands`` are those read, the quality band last where there is one."""

    keys: Keys
    longitude: Floats
    latitude: Floats
    plan: Plan
    bands: tuple[int, ...]
    asked: Mapping[str, float]
    screen: Screen
    timeline: Timeline
    _checked: set[Raster] = field(default_factory=set)

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Keep the rasters open while chips are read; before the first, compare them with their unit."""
        with OpenRasters() as rasters:
            reader = Reader(Cells(rasters, self.bands), self.screen, self._checked)
            reader.check_units(self.plan)
            yield lambda rows: self._read(reader, rows)

    def reading_order(self) -> Rows:
        """Return all positions so that chips that share a decoded part of a raster follow each other."""
        return self.plan.order

    def places(self) -> dict[str, npt.NDArray[Any]]:
        """Return longitude, latitude and the reference system of each chip's grid; of sequences also the days."""
        where = {"longitude": self.longitude, "latitude": self.latitude, "crs": self.plan.grids().crs}
        return {**where, **self.timeline.days_of_chips(self.plan)}

    def corners(self, block: str) -> Mapping[str, npt.NDArray[Any]]:
        """Return where the chips of a block lie."""
        grids, side = self.plan.grids(), self.plan.sides[block]
        top, left = _corners(grids, side).T
        west, north = grids.west + left * grids.x_size, grids.north - top * grids.y_size
        return dict(zip(CORNERS, (grids.crs, west, north, grids.x_size, grids.y_size)))

    def label(self) -> str:
        """Return the number of rasters and the grid rule."""
        files = len({tile.raster for tile in self.plan.tiles})
        return f"{files} raster{'s' if files > 1 else ''}, {self.plan.rule} grid"

    def recipe(self) -> dict[str, Any]:
        """Return files, sizes, grid, and what is done to the pixels."""
        return {
            "source": "rasters",
            "rasters": self._files,
            "sizes": dict(self.asked),
            "sides_px": self.plan.sides,
            "grid": self.plan.rule,
            "pixel_m": self.plan.pixel_m,
            "resampling": "bilinear" if self.plan.rule == "utm" else "none where pixels coincide",
            **self.screen.recipe(),
            **self.timeline.recipe(),
        }

    @cached_property
    def _files(self) -> list[dict[str, Any]]:
        first = {tile.raster: tile for tile in reversed(self.plan.tiles)}
        return [first[raster].recipe() for raster in dict.fromkeys(tile.raster for tile in self.plan.tiles)]

    def _read(self, reader: Reader, rows: Rows) -> ChipBatch:
        sides, frames = self.plan.sides, len(self.timeline)
        bands = len(self.bands) - (self.screen.quality is not None)
        grids = self.plan.grids(rows)
        # Chips near each other share parts of the files, so they are read one after the other.
        cut = Cut(
            plan=self.plan,
            rows=rows,
            grids=grids,
            turns=self.plan.sort(rows),
            corners={block: _corners(grids, side) for block, side in sides.items()},
            pixels={},
            touched={block: np.ones(len(rows), dtype=bool) for block in sides},
            observations={block: np.zeros((len(rows), frames)) for block in sides},
        )
        if self.timeline.windows is None:
            mask = _read_mosaics(reader, cut, bands)
        else:
            for block, side in sides.items():
                cut.pixels[block] = np.empty((len(rows), frames, bands, side, side), dtype=np.float32)
            read_frames(reader, cut, self.timeline)
            # Where one band is not valid, none is.
            mask = {block: ~np.isnan(found[:, :, 0]) for block, found in cut.pixels.items()}
        status, share = {}, {}
        for block in sides:
            found, share[block] = judge(mask[block], cut.touched[block], "outside")
            status[block] = self._named(reader, cut, block, found)
            if self.timeline.windows is None:
                cut.observations[block] = share[block][:, None]
        return ChipBatch(self.keys[rows], cut.pixels, mask, status, share, cut.observations)

    def _named(
        self, reader: Reader, cut: Cut, block: str, status: npt.NDArray[np.str_]
    ) -> npt.NDArray[np.str_]:
        """Tell chips without a scene of the days asked for from those off all rasters, and clouds from no data."""
        if self.timeline.windows is not None:
            unseen = self.plan.on_raster[cut.rows] & (self.plan.touches.counts(cut.rows) == 0)
            status = np.where(unseen & (status == "outside"), "missing", status)
        if self.screen.looks_for_clouds:
            # clear days may be there, but fewer than asked for
            unseen = cut.observations[block].sum(axis=1) == 0
            for place in np.flatnonzero((status == "nodata") & unseen).tolist():
                if holds_data(reader, cut.grids, place, cut.tiles(place), cut.window(block, place)):
                    status[place] = "cloudy"
        return status


def _read_mosaics(reader: Reader, cut: Cut, bands: int) -> dict[str, Bools]:
    """Read one picture a chip: from one raster where that holds its window whole, else from all it touches.

    Smaller blocks are parts of the largest. Returns which pixels are valid, by block.
    """
    plan, side = cut.plan, cut.grids.side
    whole = np.empty((len(cut.rows), bands, side, side), dtype=np.float32)
    starts, direct = _starts(cut)
    done, full = _read_single_cells(reader, cut, whole, starts, direct)
    alone = (plan.touches.counts(cut.rows) <= 1).tolist()
    first = plan.touches.first(cut.rows).tolist()
    for place in cut.turns:
        if done[place]:
            continue
        if direct[place]:
            row, column = starts[place]
            full[place] = reader.fill(
                whole[place], plan.tiles[first[place]], (row, row + side), (column, column + side)
            )
            if full[place] or alone[place]:
                continue
        canvas = Canvas(whole[place], np.zeros((side, side), dtype=bool))
        canvas.pixels[:] = np.nan
        lay(reader, cut.grids, place, cut.tiles(place), canvas)
        for block in plan.sides:
            cut.touched[block][place] = canvas.covered[cut.window(block, place)].any()
    reader.screen.drop_clouds(whole)
    # Where one band is not valid, none is; most chips are known to be whole.
    valid = np.ones((len(whole), side, side), dtype=bool)
    looked_at = np.flatnonzero(~np.array(full)) if reader.screen.clouds is None else np.arange(len(whole))
    valid[looked_at] = ~np.isnan(whole[looked_at, 0])
    mask = {}
    for block, corners in cut.corners.items():
        cut.pixels[block] = _part(whole, corners, plan.sides[block])[:, None]
        mask[block] = _part(valid, corners, plan.sides[block])[:, None]
    return mask


def _read_single_cells(
    reader: Reader, cut: Cut, whole: Pixels, starts: list[tuple[int, int]], direct: list[bool]
) -> tuple[list[bool], list[bool]]:
    """Fill the pictures that lie in one cell of one raster, the most common case by far.

    Returns which are done, and which of these are valid in every pixel.

    Chips of one cell follow each other, so it is looked up once for all of them.
    """
    done, full = [False] * len(direct), [False] * len(direct)
    if not reader.screen.idle:
        return done, full
    plan, side, cells = cut.plan, cut.grids.side, reader.cells
    first, alone = plan.touches.first(cut.rows).tolist(), (plan.touches.counts(cut.rows) <= 1).tolist()
    known: tuple[int, int, int] | None = None
    for place in cut.turns:
        if not direct[place]:
            continue
        (row, column), tile = starts[place], plan.tiles[first[place]]
        (high, wide), number = tile.cell, first[place]
        (down, row), (right, column) = divmod(row, high), divmod(column, wide)
        if row + side > high or column + side > wide or not keeps(tile, len(cells.bands)):
            continue
        if known != (number, down, right):
            known = (number, down, right)
            pixels, valid = cells.cell(tile, down, right)
        window = slice(row, row + side), slice(column, column + side)
        full[place] = put(
            whole[place], pixels[(slice(None), *window)], None if valid is None else valid[window]
        )
        done[place] = full[place] or alone[place]
    return done, full


def _starts(cut: Cut) -> tuple[list[tuple[int, int]], list[bool]]:
    """Return the corner of each chip's window in its first raster, and whether its pixels lie there whole."""
    plan, grids = cut.plan, cut.grids
    starts = np.zeros((len(cut.rows), 2), dtype=np.int64)
    direct = np.zeros(len(cut.rows), dtype=bool)
    homes = plan.touches.first(cut.rows)
    for home in set(homes.tolist()) - {-1}:
        here, tile = np.flatnonzero(homes == home), plan.tiles[home]
        found, aligned = offsets_in(grids, here, tile.lattice)
        inside = (found >= 0).all(axis=1) & (found + grids.side <= (tile.height, tile.width)).all(axis=1)
        starts[here], direct[here] = found, aligned & inside
    return [(row, column) for row, column in starts.tolist()], direct.tolist()


def _corners(grids: Grids, side: int) -> npt.NDArray[np.int64]:
    """Return where in the largest window each chip's window of ``side`` begins: row, column, (n, 2)."""
    centres = np.nan_to_num(np.stack([grids.row, grids.column], axis=1))
    return first_pixel(centres, side).clip(0, grids.side - side)


def _part(pictures: npt.NDArray[Any], corners: npt.NDArray[np.int64], side: int) -> npt.NDArray[Any]:
    """Return each picture's window of ``side`` pixels; without copying where they begin alike.

    They do where sides are all even or all odd. What is not copied cannot be written to.
    """
    if side == pictures.shape[-1]:
        return pictures
    if len(pictures) and (corners == corners[0]).all():
        row, column = corners[0].tolist()
        view = pictures[..., row : row + side, column : column + side]
        view.flags.writeable = False
        return view
    parts = [
        one[..., row : row + side, column : column + side]
        for one, (row, column) in zip(pictures, corners.tolist())
    ]
    return np.stack(parts) if parts else pictures[..., :side, :side]
