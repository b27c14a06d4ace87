"""Several pictures of each place: the days of each frame are read one after the other and put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, Pixels, Rows
from eocausal.imagery.composite import compose
from eocausal.imagery.layers import Canvas, Corners, lay
from eocausal.imagery.plan import Plan
from eocausal.imagery.reader import Reader
from eocausal.imagery.tiles import Tile
from eocausal.imagery.timeline import Layer, Timeline
from eocausal.imagery.windows import Grids

# Pictures of single days that are held at a time.
_HELD_BYTES = 128 * 2**20


@dataclass(frozen=True, eq=False)
class Cut:
    """A batch of chips while it is read.

    ``rows`` are the chips' positions in the plan and ``turns`` the order to read them in; ``corners`` tell
    where in the largest window each block begins. ``pixels``, ``touched`` and ``observations``, by block, are
    filled by reading.
    """

    plan: Plan
    rows: Rows
    grids: Grids
    turns: list[int]
    corners: dict[str, npt.NDArray[np.int64]]
    pixels: dict[str, Pixels]
    touched: dict[str, Bools]
    observations: dict[str, npt.NDArray[np.float64]]

    def tiles(self, place: int) -> list[Tile]:
        """Return the tiles that a chip touches."""
        return [self.plan.tiles[number] for number in self.plan.touches.of(int(self.rows[place]))]

    def window(self, block: str, place: int) -> tuple[slice, slice]:
        """Return the part of a chip's largest window that a block is."""
        row, column = self.corners[block][place].tolist()
        side = self.plan.sides[block]
        return slice(row, row + side), slice(column, column + side)


def read_frames(reader: Reader, cut: Cut, timeline: Timeline) -> None:
    """Fill the pictures of all frames, NaN where no day has a clear pixel."""
    how = timeline.how
    if how is None:
        raise ValueError("a single mosaic has no frames")
    for block in cut.pixels:
        cut.pixels[block][:] = np.nan
        cut.touched[block][:] = False
    layers, corners = timeline.layers(cut.plan, cut.rows), Corners(cut.grids)
    for places in _parts(cut, [len(found) for found in layers]):
        for place, days in _read_days(reader, cut, places, layers, corners).items():
            for frame in range(len(timeline)):
                inside = [canvas for layer, canvas in days if frame in layer.frames]
                if not inside:
                    continue
                whole, counts = compose([c.pixels for c in inside], how.composite, least=how.least)
                covered = np.logical_or.reduce([canvas.covered for canvas in inside])
                for block in cut.pixels:
                    window = cut.window(block, place)
                    cut.pixels[block][place, frame] = whole[(slice(None), *window)]
                    cut.observations[block][place, frame] = counts[window].mean()
                    cut.touched[block][place] |= covered[window].any()


def _parts(cut: Cut, depths: list[int]) -> Iterator[list[int]]:
    """Part the chips so that all days of a part can be held at a time."""
    bands = next(iter(cut.pixels.values())).shape[2]
    one = 4 * bands * cut.grids.side**2
    part: list[int] = []
    held = 0
    for place in cut.turns:
        if part and held + one * depths[place] > _HELD_BYTES:
            yield part
            part, held = [], 0
        part.append(place)
        held += one * depths[place]
    if part:
        yield part


def _read_days(
    reader: Reader, cut: Cut, places: list[int], layers: list[list[Layer]], corners: Corners
) -> dict[int, list[tuple[Layer, Canvas]]]:
    """Return each chip's picture of each day, earliest first.

    All chips are read from one day before the next, because they share its decoded parts.
    """
    bands = next(iter(cut.pixels.values())).shape[2]
    found: dict[int, list[tuple[Layer, Canvas]]] = {place: [] for place in places}
    todo = [(layer, place) for place in places for layer in layers[place]]
    for _, day in groupby(sorted(todo, key=_turn), key=_turn):
        canvases = []
        for layer, place in day:
            canvas = Canvas.blank(bands, cut.grids.side)
            tiles = [cut.plan.tiles[number] for number in layer.tiles]
            lay(reader, cut.grids, place, tiles, canvas, corners)
            found[place].append((layer, canvas))
            canvases.append(canvas.pixels)
        reader.screen.drop_clouds(canvases)
    return found


def _turn(step: tuple[Layer, int]) -> int:
    return step[0].turn
