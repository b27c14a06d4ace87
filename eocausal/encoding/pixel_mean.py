"""The mean of each band: what is left to do where every pixel is an embedding already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from eocausal.encoding._windows import mean_over_dates
from eocausal.encoding.protocol import ChipSource, Keys, Mask, Pixels, State, check_input


@dataclass(frozen=True)
class PixelMean:
    """Mean of each band over valid pixels.

    Made for annual products that hold a vector in every pixel (AlphaEarth, TESSERA), and usable with any
    imagery. The mean of unit vectors is shorter than 1 where pixels differ, and is not stretched. With several
    dates the means of each date are averaged; dates without a valid pixel are left out, and a chip without any
    is NaN.

    Examples
    --------
    >>> PixelMean().recipe()
    {'encoder': 'pixel_mean'}
    """

    name: ClassVar[str] = "pixel_mean"

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {"encoder": self.name}

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedPixelMean:
        """Return the encoder for these bands; nothing is learned, and NumPy computes it on any device."""
        return FittedPixelMean(tuple(chips.bands))

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedPixelMean:
        """Return the encoder for these bands; there is no state."""
        return self.fit(chips)


@dataclass(frozen=True)
class FittedPixelMean:
    """Means of known bands."""

    bands: tuple[str, ...]

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``pixel_mean_960m_A00``, band by band."""
        return tuple(f"{PixelMean.name}_{block}_{band}" for band in self.bands)

    def state(self) -> State:
        """Return nothing: nothing is learned."""
        return {}

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the means of each chip, shape (n, bands)."""
        check_input(pixels, mask, bands=len(self.bands), encoder=PixelMean.name)
        width = len(self.bands)
        rows = [mean_over_dates(list(_dates(chip, valid)), width) for chip, valid in zip(pixels, mask)]
        return np.asarray(rows, dtype=np.float32).reshape(len(pixels), width)


def _dates(chip: Pixels, mask: Mask) -> Iterator[npt.NDArray[np.float64] | None]:
    for scene, valid in zip(chip, mask):
        yield scene[:, valid].mean(axis=1, dtype=np.float64) if valid.any() else None
