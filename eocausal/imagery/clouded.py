"""Which frames show nothing because of clouds: those whose scenes hold data that was dropped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, ChipSource, Rows
from eocausal.imagery.cells import Cells
from eocausal.imagery.layers import holds_data
from eocausal.imagery.mosaic import RasterSource
from eocausal.imagery.origins import innermost
from eocausal.imagery.reader import Reader
from eocausal.imagery.tiles import OpenRasters
from eocausal.imagery.windows import first_pixel

__all__ = ["clouded"]

_AT_A_TIME = 4096


def clouded(source: ChipSource, block: str, frames: npt.NDArray[np.integer]) -> Bools | None:
    """Tell which frames would show data if nothing that is not clear were dropped.

    Parameters
    ----------
    source : ChipSource
        Where the chips come from.
    block : str
        Their size.
    frames : numpy.ndarray
        Position of a chip and of one of its frames in each row, shape (n, 2).

    Returns
    -------
    numpy.ndarray or None
        bool, shape (n,); None where chips were not cut from rasters, so nothing can be looked at again.
    """
    inner = innermost(source)
    if not isinstance(inner, RasterSource):
        return None
    found: Bools = np.zeros(len(frames), dtype=bool)
    if not inner.screen.looks_for_clouds:
        return found
    near = np.argsort(np.argsort(inner.plan.order)[frames[:, 0]], kind="stable")
    with OpenRasters() as rasters:
        reader = Reader(Cells(rasters, inner.bands), inner.screen)
        for start in range(0, len(near), _AT_A_TIME):
            some = near[start : start + _AT_A_TIME]
            found[some] = _look(inner, reader, block, frames[some])
    return found


def _look(source: RasterSource, reader: Reader, block: str, frames: npt.NDArray[np.integer]) -> Bools:
    plan, side = source.plan, source.plan.sides[block]
    rows: Rows = frames[:, 0].astype(np.intp)
    grids = plan.grids(rows)
    centres = np.nan_to_num(np.stack([grids.row, grids.column], axis=1))
    corners = first_pixel(centres, side).clip(0, grids.side - side).tolist()
    found: Bools = np.zeros(len(rows), dtype=bool)
    for place, (tiles, (row, column)) in enumerate(zip(_tiles(source, frames), corners)):
        window = slice(row, row + side), slice(column, column + side)
        found[place] = holds_data(reader, grids, place, [plan.tiles[number] for number in tiles], window)
    return found


def _tiles(source: RasterSource, frames: npt.NDArray[np.integer]) -> list[list[int]]:
    """Return the tiles of each frame."""
    if source.timeline.windows is None:
        return [source.plan.touches.of(chip) for chip in frames[:, 0].tolist()]
    layers = source.timeline.layers(source.plan, frames[:, 0])
    return [
        [number for layer in of_chip if frame in layer.frames for number in layer.tiles]
        for of_chip, frame in zip(layers, frames[:, 1].tolist())
    ]
