"""What an encoder is and what it reads, as types; chips and encoders know each other only by these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EncoderError, explain

Keys = Sequence[Any] | npt.NDArray[Any]
Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
State = dict[str, npt.NDArray[Any]]


class ChipBatch(Protocol):
    """Some chips: for each block (chip size) pixels, mask, status and valid fraction."""

    @property
    def keys(self) -> npt.NDArray[Any]:
        """Image keys, shape (n,)."""

    @property
    def pixels(self) -> Mapping[str, Pixels]:
        """By block, shape (n, dates, bands, height, width); NaN where not valid."""

    @property
    def mask(self) -> Mapping[str, Mask]:
        """By block, shape (n, dates, height, width); True where valid."""

    @property
    def status(self) -> Mapping[str, npt.NDArray[Any]]:
        """By block, shape (n,): ok, partial, outside, nodata or missing."""

    @property
    def valid_fraction(self) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        """By block, shape (n,): share of pixels that are valid."""


class ChipSource(Protocol):
    """All chips of a study, read in batches."""

    @property
    def keys(self) -> npt.NDArray[Any]:
        """Distinct image keys, shape (n,)."""

    @property
    def key_name(self) -> str:
        """Name of the key column."""

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the chip sizes, such as ``960m``."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of the frames, such as ``2005-06``; one empty name for a picture of one date."""

    @property
    def date(self) -> str | None:
        """ISO date of the imagery."""

    @property
    def pixel_unit(self) -> str | None:
        """What a pixel value is as handed out, such as ``reflectance``; None where nobody said."""

    def batches(self, *, size: int = 64, keys: Keys | None = None) -> Iterator[ChipBatch]:
        """Read the chips of ``keys`` (default all), ``size`` at a time."""

    def reading_order(self) -> npt.NDArray[Any]:
        """Return all keys in the order in which reading costs least."""

    def last_dates(self, keys: Keys) -> npt.NDArray[Any]:
        """Return the last day that each image shows, ISO text or None, shape (n,)."""

    def recipe(self) -> dict[str, Any]:
        """Return what made the chips, JSON-like."""

    def __len__(self) -> int: ...


class FittedEncoder(Protocol):
    """An encoder that is ready: everything it learned from chips is in its state."""

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return features, shape (n, d); row i depends on chip i alone, NaN where too little is valid."""

    def columns(self, block: str) -> tuple[str, ...]:
        """Return the d names of the features of a block."""

    def state(self) -> State:
        """Return all that was learned, as arrays."""


class Encoder(Protocol):
    """A frozen configuration that can be fitted."""

    @property
    def name(self) -> str:
        """Name in the registry, and first part of column names."""

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedEncoder:
        """Learn from the chips of ``keys`` alone (default all)."""

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedEncoder:
        """Rebuild the fitted encoder of which ``state`` was saved, to the same bits."""


def known_keys(chips: ChipSource, keys: Keys | None) -> npt.NDArray[Any]:
    """Return the keys to fit on (all by default), or say which are not keys of the chips."""
    if keys is None:
        return np.asarray(chips.keys)
    wanted = np.asarray(keys)
    known = np.asarray(chips.keys)
    rows = pd.Index(known).get_indexer(pd.Index(wanted))
    if not len(wanted):
        raise EncoderError(explain("fit_keys is empty.", rule="an encoder is fitted on one or more chips"))
    if (rows < 0).any():
        raise EncoderError(
            explain(
                f"{int((rows < 0).sum())} of the {len(wanted)} fit_keys are not {chips.key_name!r} of the chips.",
                where=wanted[rows < 0],
                rule="an encoder is fitted on the chips given to it",
                fix="pass some of chips.keys, of the same type (numbers or text)",
            )
        )
    found: npt.NDArray[Any] = known[rows]
    return found


def check_input(pixels: Pixels, mask: Mask, *, bands: int, encoder: str) -> None:
    """Refuse arrays that are not chips with their mask, or that are not numbers where the mask says valid."""
    if pixels.ndim != 5 or mask.shape != (*pixels.shape[:2], *pixels.shape[3:]) or mask.dtype != bool:
        raise EncoderError(
            explain(
                f"Encoder {encoder!r} was given pixels {pixels.shape} and a {mask.dtype} mask {mask.shape}.",
                rule="pixels are (n, dates, bands, height, width), the bool mask (n, dates, height, width)",
            )
        )
    if pixels.shape[2] != bands:
        raise EncoderError(
            explain(
                f"Encoder {encoder!r} was fitted to {bands} bands and is given {pixels.shape[2]}.",
                fix="fit it to chips with the same bands",
            )
        )
    broken = (mask & ~np.isfinite(pixels).all(axis=2)).any(axis=(1, 2, 3))
    if broken.any():
        raise EncoderError(
            explain(
                f"{int(broken.sum())} chips hold NaN or infinite pixels where their mask says valid "
                "(where: positions in the batch).",
                where=np.flatnonzero(broken),
                rule="valid pixels are finite",
                fix="mask &= np.isfinite(pixels).all(axis=2)",
            )
        )
