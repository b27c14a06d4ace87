"""Mean and standard deviation of each band over chips, for encoders that are fed standardised pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.encoding.protocol import ChipSource, Mask, Pixels, State, check_input
from eocausal.errors import EncoderError, explain

__all__ = ["Moments", "learn_moments", "moments_from"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of each band of one block, float32 of shape (bands,)."""

    mean: npt.NDArray[np.float32]
    sd: npt.NDArray[np.float32]


@dataclass(eq=False)
class _Sums:
    """Pixels counted, their mean and their squared distances from it, by band; chips are added one by one."""

    count: int
    mean: Doubles
    squares: Doubles

    def add(self, pixels: Doubles) -> None:
        """Add pixels of shape (bands, n), none of them missing, by the update of Chan, Golub and LeVeque (1979)."""
        new = pixels.shape[1]
        if not new:
            return
        mean = pixels.mean(axis=1)
        total = self.count + new
        apart = mean - self.mean
        self.squares += ((pixels - mean[:, None]) ** 2).sum(axis=1) + apart**2 * (self.count * new / total)
        self.mean += apart * (new / total)
        self.count = total


def learn_moments(
    chips: ChipSource,
    keys: npt.NDArray[Any],
    *,
    names: tuple[str, ...],
    pick: Callable[[Pixels], npt.NDArray[np.float32]],
    encoder: str,
) -> dict[str, Moments]:
    """Return the moments of each block over all valid pixels and dates of the chips of ``keys``, read once.

    Parameters
    ----------
    chips : ChipSource
    keys : ndarray
        Chips that may be learned from; no others are read.
    names : tuple of str
        Bands that are read, for the error.
    pick : callable
        From pixels (n, dates, bands, h, w) to those of the bands that are read, in the encoder's unit.
    encoder : str
        Its name, for the error.

    Raises
    ------
    EncoderError
        When a block has no valid pixel, or a band of it is the same everywhere.
    """
    allowed = set(np.asarray(keys).tolist())
    # the order in which reading costs least
    ordered = np.asarray([key for key in np.asarray(chips.reading_order()).tolist() if key in allowed])
    width = len(names)
    sums = {block: _Sums(0, np.zeros(width), np.zeros(width)) for block in chips.blocks}
    for batch in chips.batches(size=16, keys=ordered):
        for block in chips.blocks:
            _add(sums[block], batch.pixels[block], batch.mask[block], len(chips.bands), pick, encoder)
    return {block: _moments(sums[block], block, names, encoder) for block in chips.blocks}


def _add(
    sums: _Sums,
    pixels: Pixels,
    mask: Mask,
    bands: int,
    pick: Callable[[Pixels], npt.NDArray[np.float32]],
    encoder: str,
) -> None:
    check_input(pixels, mask, bands=bands, encoder=encoder)
    # chip by chip, so that the sums do not depend on the batches
    for chip, valid in zip(pixels, mask):
        chosen = pick(chip[None])[0].transpose(1, 0, 2, 3)
        sums.add(chosen[:, valid].astype(np.float64))


def _moments(sums: _Sums, block: str, names: tuple[str, ...], encoder: str) -> Moments:
    if not sums.count:
        text = f"No chip of block {block!r} that {encoder!r} is fitted on has a valid pixel."
        raise EncoderError(explain(text, rule="bands are standardised by the valid pixels of these chips"))
    sd = np.sqrt(sums.squares / sums.count)
    # rounding leaves a hair of spread in a band that has none
    flat = [name for name, one, mean in zip(names, sd, sums.mean) if one <= 1e-7 * max(abs(mean), 1e-30)]
    if flat:
        raise EncoderError(
            explain(
                f"Bands of block {block!r} have the same value in every chip that {encoder!r} is fitted on.",
                where=flat,
                rule="each band is divided by its standard deviation, which is 0",
                fix="look at these bands, or leave them out of the chips",
            )
        )
    return Moments(sums.mean.astype(np.float32), sd.astype(np.float32))


def moments_from(state: State, blocks: tuple[str, ...], encoder: str) -> Mapping[str, Moments]:
    """Return the moments of a saved state, or say that it is of another encoder."""
    lacking = [
        f"{block}/{part}" for block in blocks for part in ("mean", "sd") if f"{block}/{part}" not in state
    ]
    if lacking:
        text = f"The saved state is not that of {encoder!r}."
        raise EncoderError(explain(text, where=lacking, fix="fit it again"))
    return {block: Moments(state[f"{block}/mean"], state[f"{block}/sd"]) for block in blocks}
