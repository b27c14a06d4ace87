"""What a reader of chips hands over: pixels, what is valid in them, and a status for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[Any]
Pixels = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]

# What became of a chip.
STATUSES = ("ok", "partial", "outside", "nodata", "cloudy", "missing")
CORNERS = ("crs", "west", "north", "x_size", "y_size")


@dataclass(frozen=True, eq=False)
class ChipBatch:
    """Chips of some image keys, one array for each block (each size).

    Attributes
    ----------
    keys : numpy.ndarray
        Image keys, shape (n,).
    pixels : dict of numpy.ndarray
        float32, shape (n, dates, bands, height, width), row 0 north, column 0 west; NaN where not valid.
    mask : dict of numpy.ndarray
        bool, shape (n, dates, height, width), True where every band is valid.
    status : dict of numpy.ndarray
        ``ok`` (all pixels valid), ``partial`` (some), ``nodata`` (on a raster, none valid), ``cloudy`` (none
        left by the quality band), ``outside`` (on no raster) or ``missing`` (no picture: no scene of the days
        asked for, or of arrays no chip with that key), shape (n,).
    valid_fraction : dict of numpy.ndarray
        Share of valid pixels, shape (n,).
    observations : dict of numpy.ndarray
        Clear observations behind a pixel on average over each picture, shape (n, dates); for a single mosaic
        the share of valid pixels. Empty where it is not known.
    """

    keys: Keys
    pixels: dict[str, Pixels]
    mask: dict[str, Bools]
    status: dict[str, npt.NDArray[np.str_]]
    valid_fraction: dict[str, npt.NDArray[np.float64]]
    observations: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{block} {pixels.shape}" for block, pixels in self.pixels.items())
        return f"ChipBatch({len(self)} chips: {shapes})"


class ChipSource(Protocol):
    """Where chips come from: rasters or arrays. Positions count the keys of the chips."""

    def reading(self) -> AbstractContextManager[Callable[[Rows], ChipBatch]]:
        """Open what is needed; the function given reads the chips at positions."""

    def reading_order(self) -> Rows:
        """Return all positions in the order in which reading costs least."""

    def places(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return one array per column that describes where each chip is; empty for arrays."""

    def corners(self, block: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return where the chips of a block lie, one value per chip, or None when it is not known.

        ``CORNERS``: reference system, west and north of the chip's corner in it, and the size of a pixel; NaN
        for chips that have no place in any grid.
        """

    def recipe(self) -> dict[str, Any]:
        """Return what determines the pixels, as JSON-like content without paths."""

    def label(self) -> str:
        """Return a few words for one-line displays."""


def judge(mask: Bools, touched: Bools, absent: str) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Return status and valid fraction of chips from masks (n, dates, height, width).

    ``touched`` tells which chips lie on some source at all; those that do not are ``absent``.

    Examples
    --------
    >>> status, share = judge(np.array([[[[True, False]]], [[[False, False]]]]), np.array([True, False]), "outside")
    >>> status.tolist(), share.tolist()
    (['partial', 'outside'], [0.5, 0.0])
    """
    pixels = mask.reshape(len(mask), -1)
    # most chips are whole, and that is told much faster than a share
    whole: Bools = np.asarray(pixels.all(axis=1))
    share: npt.NDArray[np.float64] = whole.astype(np.float64)
    share[~whole] = pixels[~whole].mean(axis=1)
    status = np.full(len(mask), "nodata", dtype=f"<U{max(len(name) for name in STATUSES)}")
    status[share > 0.0] = "partial"
    status[whole] = "ok"
    status[~touched] = absent
    return status, share
