"""What every source of pixels is to the reader: tiles on a lattice, opened when a window of them is wanted.

A file, one day of a data cube and one item of a catalogue all look alike: a header that planning needs, and
``raster.open()``, which gives windows. A new source is one class with ``name``, ``open`` and ``recipe``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal.errors import ImageryError, explain
from eocausal.imagery.windows import METRIC_TOLERANCE, Lattice, is_geographic

Span = tuple[int, int]
# Pixels as stored, (bands, rows, columns), and which are valid in every band; None when all are.
Window = tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]

_MOST_OPEN = 64


class OpenRaster(Protocol):
    """A raster that is open for reading."""

    def read(self, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands (positions from 0) of a window inside the raster, and which pixels are valid."""

    def close(self) -> None:
        """Let go of what is held."""


class Raster(Protocol):
    """Where the pixels of a tile come from; hashable, and equal to itself only."""

    @property
    def name(self) -> str:
        """What errors and accounts call it."""

    def open(self) -> OpenRaster:
        """Open it, or raise ImageryError."""

    def recipe(self) -> dict[str, Any]:
        """Return what determines its pixels, JSON-like and without folders."""


@dataclass(frozen=True)
class Tile:
    """The header of a raster.

    ``names`` are those of its bands, empty where it has none; ``categorical`` tells that values are classes;
    ``cell`` is the height and width of the parts that it is best decoded in, ``item_bytes`` the size of a
    stored pixel of one band. ``date`` is the day it was taken,
    ``offset_applied`` whether an offset of its archive is in the pixels already, None where nobody says.
    """

    raster: Raster
    lattice: Lattice
    height: int
    width: int
    names: tuple[str, ...]
    categorical: bool
    cell: Span
    item_bytes: int = 4
    date: np.datetime64 | None = None
    sensor: str | None = None
    offset_applied: bool | None = None

    @property
    def name(self) -> str:
        """Name of the raster."""
        return self.raster.name

    def turned(self, degrees: float) -> Tile:
        """Return the tile seen from another turn of longitude."""
        return replace(self, lattice=self.lattice.moved(degrees))

    def recipe(self) -> dict[str, Any]:
        """Return what determines the pixels, and what is said of them where something is."""
        said = {
            "date": None if self.date is None else str(self.date),
            "sensor": self.sensor,
            "offset_applied": self.offset_applied,
        }
        return {**self.raster.recipe(), **{name: part for name, part in said.items() if part is not None}}


def check_together(tiles: Sequence[Tile]) -> None:
    """Raise ImageryError when tiles cannot be used together."""
    first = tiles[0]
    for tile in tiles[1:]:
        if len(tile.names) != len(first.names):
            text = (
                f"Rasters differ in bands: {first.name!r} has {len(first.names)}, "
                f"{tile.name!r} has {len(tile.names)}."
            )
            raise ImageryError(
                explain(text, rule="tiles of one mosaic hold the same bands in the same order")
            )
        here, there = tile.lattice, first.lattice
        alike = here.crs == there.crs or not (is_geographic(here.crs) or is_geographic(there.crs))
        sizes = [np.hypot([step.a, step.b], [step.d, step.e]) for step in (here, there)]
        if alike and np.abs(sizes[0] / sizes[1] - 1).max() > METRIC_TOLERANCE:
            text = (
                f"Rasters differ in pixel size: {first.name!r} has {sizes[1][0]:g} x {sizes[1][1]:g}, "
                f"{tile.name!r} has {sizes[0][0]:g} x {sizes[0][1]:g}."
            )
            fix = f"gdalwarp -tr {sizes[1][0]:g} {sizes[1][1]:g} {tile.name} {tile.name.partition('.')[0]}_same.tif"
            raise ImageryError(explain(text, rule="tiles of one mosaic share one pixel size", fix=fix))


def band_names(tiles: Sequence[Tile]) -> tuple[str, ...]:
    """Return the names of the bands: the files' descriptions when all agree, else band1, band2, ..."""
    names = tiles[0].names
    if all(names) and len(set(names)) == len(names) and all(tile.names == names for tile in tiles):
        return names
    return tuple(f"band{number}" for number in range(1, len(names) + 1))


def choose_bands(names: Sequence[str], bands: Sequence[int | str] | int | str | None) -> tuple[int, ...]:
    """Return positions (from 0) of bands asked for by 1-based number or by name.

    Examples
    --------
    >>> choose_bands(["red", "green", "nir"], ["nir", 1])
    (2, 0)
    """
    if bands is None:
        return tuple(range(len(names)))
    asked = list(bands) if isinstance(bands, Iterable) and not isinstance(bands, str) else [bands]
    chosen = []
    for band in asked:
        if isinstance(band, str):
            if band not in names:
                raise ImageryError(
                    explain(f"There is no band {band!r}.", fix=did_you_mean(band, list(names)))
                )
            chosen.append(list(names).index(band))
        elif isinstance(band, (int, np.integer)) and not isinstance(band, bool) and 1 <= band <= len(names):
            chosen.append(int(band) - 1)
        else:
            rule = f"bands are numbered 1 to {len(names)}, or named: {', '.join(names)}"
            raise ImageryError(explain(f"There is no band {band!r}.", rule=rule))
    if not chosen or len(set(chosen)) < len(chosen):
        raise ImageryError(explain(f"bands={asked} is empty or names a band twice."))
    return tuple(chosen)


class OpenRasters:
    """Rasters kept open while chips are read; at most 64 at a time, all closed at the end."""

    def __init__(self) -> None:
        self._open: OrderedDict[Raster, OpenRaster] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def read(self, tile: Tile, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands (positions from 0) of a window inside the raster.

        Returns
        -------
        pixels : numpy.ndarray
            As stored, shape (bands, rows, columns).
        valid : numpy.ndarray or None
            bool, shape (rows, columns): valid in every band; None when all are.
        """
        return self._opened(tile).read(bands, rows, columns)

    def _opened(self, tile: Tile) -> OpenRaster:
        if tile.raster in self._open:
            self._open.move_to_end(tile.raster)
            return self._open[tile.raster]
        if len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        self._open[tile.raster] = tile.raster.open()
        return self._open[tile.raster]
