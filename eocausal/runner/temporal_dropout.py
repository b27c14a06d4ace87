"""How far features of a sequence depend on which of its frames there are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.embeddings import Embeddings
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.protocol import ChipSource, Encoder, Keys, Mask, Pixels, State
from eocausal.encoding.sequence import FittedSequence, Sequence
from eocausal.encoding.within import check_chips
from eocausal.errors import EncoderError, explain
from eocausal.runner.embed import embed

__all__ = ["TemporalDropout", "temporal_dropout"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Stands for a distance that is not known, where features must be finite.
_UNKNOWN = -1.0


@dataclass(frozen=True, eq=False)
class TemporalDropout:
    """Features from all frames, and how far they move when frames are dropped.

    Attributes
    ----------
    embeddings : Embeddings
        What ``embed`` gives: features from all valid frames.
    spread : pandas.DataFrame
        One row per image: its key, and per block the root mean squared distance of the draws to the features
        from all frames, in units of the block's standard deviation (root of the total variance over images). NaN
        where nothing can be dropped, because the image has no more frames than the pooling needs.
    warnings : tuple of str
        What a reader must know: how many images could lose no frame.
    """

    embeddings: Embeddings
    spread: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...] = ()


def temporal_dropout(
    chips: ChipSource,
    *,
    encoder: Sequence | MultiScale,
    share: float = 0.3,
    draws: int = 8,
    seed: int = 0,
    out: str | Path | None = None,
    fit_keys: Keys | None = None,
    device: str = "auto",
    progress: bool = True,
) -> TemporalDropout:
    """Measure how far features of sequences depend on single frames, by leaving some out at random.

    Each frame is encoded once; then frames are dropped ``draws`` times and the rest pooled again. A draw drops
    ``share`` of the valid frames of a chip, rounded, at least one, and never so many that the pooling cannot work.
    What is dropped follows from the seed and from which frames of a chip are valid alone, so it depends neither on
    the other chips nor on their order, and chips with the same valid frames lose the same ones. The spread tells
    how sensitive features are to gaps; it is no standard error of an effect.

    Parameters
    ----------
    chips : Chips
        Chips with several frames.
    encoder : Sequence or MultiScale
        How frames are encoded and pooled; a ``MultiScale`` holds sequences.
    share : float
        Share of the valid frames that a draw drops, above 0 and below 1.
    draws : int
        How many times.
    seed : int
        Seed of the draws.
    out : str or Path, optional
        Folder for the run, as of ``embed``; it is no folder of ``embed`` itself.
    fit_keys : sequence, optional
        Image keys the encoder may learn from; all by default.
    device : str
        As of ``embed``.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    TemporalDropout
        ``embeddings``, ``spread`` and ``warnings``.

    Raises
    ------
    EncoderError
        When the encoder is no sequence, or a number is out of range.
    EmbeddingsError
        As ``embed`` does.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> places = pd.DataFrame({"village": [4, 9], "lon": [31.1, 31.2], "lat": [1.1, 1.2]})
    >>> units = ec.read_units(places, id="village", lon="lon", lat="lat")
    >>> pictures = np.random.default_rng(0).random((2, 16, 16, 3))
    >>> chips = ec.chips_from_arrays(units, pictures)  # one frame, of which none can be dropped
    >>> found = ec.temporal_dropout(chips, encoder=ec.Sequence("pixel_mean"), progress=False)
    >>> found.warnings
    ('2 images have no frame to spare in block pixel_mean_mean_16px: their spread is unknown.',)
    """
    if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 < share < 1:
        raise EncoderError(explain(f"share={share!r}.", rule="a share of frames above 0 and below 1"))
    whole_number(draws, argument="draws", error=EncoderError, least=1)
    whole_number(seed, argument="seed", error=EncoderError)

    def dropped(inner: Encoder) -> Encoder:
        return _Dropping(_as_sequence(inner), float(share), int(draws), int(seed))

    asked = encoder.with_encoders(dropped) if isinstance(encoder, MultiScale) else dropped(encoder)
    return _parted(embed(chips, encoder=asked, out=out, fit_keys=fit_keys, device=device, progress=progress))


def _as_sequence(encoder: Any) -> Sequence:
    if not isinstance(encoder, Sequence):
        raise EncoderError(
            explain(
                f"encoder={encoder!r} is no Sequence, so it has no frames to drop.",
                fix='encoder=ec.Sequence("rcf", pool="mean")',
            )
        )
    return encoder


@dataclass(frozen=True)
class _Dropping:
    """A sequence whose features are followed by the mean squared distance of draws to them."""

    sequence: Sequence
    share: float
    draws: int
    seed: int

    @property
    def name(self) -> str:
        return self.sequence.name

    def recipe(self) -> dict[str, Any]:
        return {
            **self.sequence.recipe(),
            "temporal_dropout": {"share": self.share, "draws": self.draws, "seed": self.seed},
        }

    def check(self, chips: ChipSource) -> None:
        check_chips(self.sequence, chips)

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> _FittedDropping:
        return _FittedDropping(self, self.sequence.fit(chips, keys=keys, device=device))

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> _FittedDropping:
        return _FittedDropping(self, self.sequence.restore(state, chips=chips, device=device))


@dataclass(frozen=True, eq=False)
class _FittedDropping:
    config: _Dropping
    fitted: FittedSequence

    def columns(self, block: str) -> tuple[str, ...]:
        return (*self.fitted.columns(block), f"{self.config.name}_{block}_dropout")

    def state(self) -> State:
        return self.fitted.state()

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        values, used = self.fitted.by_frame(pixels, mask, block)
        whole = self.fitted.pooled(values, used)
        squares = np.full((self.config.draws, len(values)), np.nan)
        masks = self._masks(used)
        for draw in range(self.config.draws):
            squares[draw] = np.square(self.fitted.pooled(values, masks[:, draw]) - whole).sum(axis=1)
        moved = np.where(self._can_drop(used), squares.mean(axis=0), _UNKNOWN)
        moved[np.isnan(whole).all(axis=1)] = np.nan
        return np.column_stack([whole, moved]).astype(np.float32)

    def _can_drop(self, used: Bools) -> Bools:
        return np.asarray(used.sum(axis=1) > self.config.sequence.least)

    def _masks(self, used: Bools) -> Bools:
        """Return the frames that each draw keeps of each chip, (n, draws, frames)."""
        kept = np.repeat(used[:, None], self.config.draws, axis=1)
        patterns, which = np.unique(used, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            valid = np.flatnonzero(pattern)
            most = len(valid) - self.config.sequence.least
            if most < 1:
                continue
            gone = min(max(1, round(self.config.share * len(valid))), most)
            rng = np.random.default_rng([self.config.seed, *pattern.astype(int).tolist()])
            rows = np.flatnonzero(which.reshape(-1) == number)
            for draw in range(self.config.draws):
                kept[rows[:, None], draw, rng.choice(valid, size=gone, replace=False)] = False
        return kept


def _parted(table: Embeddings) -> TemporalDropout:
    """Part each block into its features and the last column, which is how far they moved."""
    kept: list[int] = []
    blocks: dict[str, tuple[int, int]] = {}
    spread: dict[str, Any] = {table.key_name: table.keys}
    warnings = []
    for block, (start, stop) in table.blocks.items():
        blocks[block] = (len(kept), len(kept) + stop - start - 1)
        kept += range(start, stop - 1)
        moved = table.values[:, stop - 1].astype(np.float64)
        spread[block] = _in_sd(moved, table.values[:, start : stop - 1].astype(np.float64))
        unknown = int((moved == _UNKNOWN).sum())
        if unknown:
            warnings.append(
                f"{unknown} images have no frame to spare in block {block}: their spread is unknown."
            )
    features = replace(
        table, values=table.values[:, kept], columns=tuple(table.columns[i] for i in kept), blocks=blocks
    )
    return TemporalDropout(features, pd.DataFrame(spread), tuple(warnings))


def _in_sd(moved: Floats, features: Floats) -> Floats:
    """Return root mean squared distances over the standard deviation of a block."""
    usable = np.isfinite(features).all(axis=1)
    total = float(np.var(features[usable], axis=0).sum()) if usable.any() else 0.0
    known = np.where(moved == _UNKNOWN, np.nan, moved)
    return np.asarray(np.sqrt(known / (total if total > 0 else 1.0)))
