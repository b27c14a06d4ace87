"""Which tiles make which frame of which chip, by the day they were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, Rows
from eocausal.imagery.frames import Frames, FrameWindows
from eocausal.imagery.plan import Plan
from eocausal.imagery.tiles import Tile

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Layer:
    """The tiles of one day (and one sensor) that a chip touches, and the frames that the day belongs to."""

    turn: int
    tiles: tuple[int, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames of a sequence; without ``windows`` all tiles make one picture, whatever their day."""

    how: Frames | None = None
    windows: FrameWindows | None = None

    def __len__(self) -> int:
        return 1 if self.windows is None else len(self.windows)

    def allowed(self, tiles: Sequence[Tile], some: slice | Rows) -> Bools | None:
        """Tell which tiles are of days that some frame of some chips asks for, (chips, tiles)."""
        if self.windows is None:
            return None
        found: Bools = self.windows.covering(some, days_of(tiles))
        if len(found) == 1 and isinstance(some, np.ndarray):
            return np.broadcast_to(found, (len(some), len(tiles)))
        return found

    def layers(self, plan: Plan, rows: Rows) -> list[list[Layer]]:
        """Return what each chip is made of, the earliest day first."""
        if self.windows is None:
            raise ValueError("a single mosaic has no layers by day")
        turns = _turns(plan.tiles)
        within = self.windows.within(rows, days_of(plan.tiles))
        found = []
        for place, chip in enumerate(rows.tolist()):
            inside = within[0 if len(within) == 1 else place]
            by_turn: dict[int, list[int]] = {}
            for number in plan.touches.of(chip):
                by_turn.setdefault(turns[number], []).append(number)
            found.append(
                [
                    Layer(turn, tuple(tiles), tuple(np.flatnonzero(inside[:, tiles[0]]).tolist()))
                    for turn, tiles in sorted(by_turn.items())
                ]
            )
        return found

    def days_of_chips(self, plan: Plan) -> dict[str, npt.NDArray[Any]]:
        """Return the first and last day that each chip shows, as ISO text, None without any; empty if undated.

        Of frames that each chip has of its own, also the day before which the last one ends: frames that
        differ are thus told apart even where the same scenes fall into them.
        """
        if self.windows is None:
            return {}
        first, last = spans(plan, days_of(plan.tiles))
        found = {"first_date": _texts(first), "last_date": _texts(last)}
        if self.how is not None and self.how.before is not None:
            found["frames_until"] = np.broadcast_to(_texts(self.windows.ends[:, -1]), first.shape)
        return found

    def recipe(self) -> dict[str, Any]:
        """Return the frames, JSON-like."""
        return {} if self.how is None else {"frames": self.how.recipe()}


def days_of(tiles: Sequence[Tile]) -> Days:
    """Return the day of each tile, NaT where it is not known."""
    return np.array(
        [np.datetime64("NaT") if t.date is None else t.date for t in tiles], dtype="datetime64[D]"
    )


def spans(plan: Plan, days: Days) -> tuple[Days, Days]:
    """Return the first and last day of the tiles that each chip touches, NaT without any."""
    first = np.full(len(plan.u), np.datetime64("NaT"), dtype="datetime64[D]")
    last = first.copy()
    some = np.flatnonzero(plan.touches.counts() > 0)
    if len(some):
        touched, starts = days[plan.touches.tiles], plan.touches.starts[some].astype(np.intp)
        first[some] = np.minimum.reduceat(touched, starts)
        last[some] = np.maximum.reduceat(touched, starts)
    return first, last


def _turns(tiles: Sequence[Tile]) -> list[int]:
    """Return the number of each tile's day, earliest first; two sensors of one day are two."""
    named = [(day, tile.sensor or "") for day, tile in zip(days_of(tiles).astype(str).tolist(), tiles)]
    order = {name: turn for turn, name in enumerate(sorted(set(named)))}
    return [order[name] for name in named]


def _texts(days: Days) -> npt.NDArray[np.object_]:
    """Return days as ISO text, one object for each different day, so that a million chips stay small."""
    known, which = np.unique(days, return_inverse=True)
    texts: npt.NDArray[np.object_] = known.astype(str).astype(object)
    texts[np.isnat(known)] = None
    return texts[which]
