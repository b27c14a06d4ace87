"""Encoders of one picture over pictures of several days: each frame by itself, then pooled over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.encoding._adapters import adapter_of
from eocausal.encoding.protocol import (
    ChipSource,
    Encoder,
    FittedEncoder,
    Keys,
    Mask,
    Pixels,
    State,
    check_input,
)
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

__all__ = ["FittedSequence", "Sequence"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def _mean(values: Floats, used: Bools) -> Floats:
    """Return the mean over used frames, (n, frames, d) to (n, d)."""
    return np.asarray(np.where(used[..., None], values, 0.0).sum(axis=1) / used.sum(axis=1)[:, None])


def _sd(values: Floats, used: Bools) -> Floats:
    """Return the standard deviation over used frames, with one degree of freedom less than frames."""
    squares = np.where(used[..., None], np.square(values - _mean(values, used)[:, None]), 0.0)
    return np.asarray(np.sqrt(squares.sum(axis=1) / (used.sum(axis=1)[:, None] - 1)))


def _last_first(values: Floats, used: Bools) -> Floats:
    """Return the last used frame minus the first."""
    rows = np.arange(len(values))
    last = used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    return np.asarray(values[rows, last] - values[rows, used.argmax(axis=1)])


def _trend(values: Floats, used: Bools) -> Floats:
    """Return the least-squares slope over used frames, per step from one frame to the next."""
    turns = np.arange(used.shape[1], dtype=np.float64)
    away = np.where(used, turns - (used @ turns / used.sum(axis=1))[:, None], 0.0)
    moved = np.where(used[..., None], values - _mean(values, used)[:, None], 0.0)
    return np.asarray((away[..., None] * moved).sum(axis=1) / np.square(away).sum(axis=1)[:, None])


def _attention(values: Floats, used: Bools) -> Floats:
    """Return the mean weighted by the attention that frames pay one another, with nothing trained.

    Frames are brought to length sqrt(d); their mean is the query, each frame a key, and weights are the softmax of
    ``query . key / sqrt(d)``, as in scaled dot-product attention. Values are the features as they are.
    """
    width = values.shape[2]
    length = np.sqrt(np.square(values).sum(axis=2, keepdims=True))
    keys = np.where(used[..., None] & (length > 0), values / np.where(length > 0, length, 1.0), 0.0)
    query = keys.sum(axis=1) / used.sum(axis=1)[:, None]
    score = np.sqrt(width) * (keys * query[:, None]).sum(axis=2)
    score = np.where(used, score, -np.inf)
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((weight[..., None] * np.where(used[..., None], values, 0.0)).sum(axis=1))


class _Pool(NamedTuple):
    """What a way of pooling computes, by the word that ends its columns, and the frames it needs at least."""

    parts: dict[str, Callable[[Floats, Bools], Floats]]
    least: int


_POOLS = {
    "mean": _Pool({"mean": _mean}, 1),
    "last-first": _Pool({"last_first": _last_first}, 2),
    "mean+sd": _Pool({"mean": _mean, "sd": _sd}, 2),
    "trend": _Pool({"trend": _trend}, 2),
    "attention": _Pool({"attention": _attention}, 1),
}


@dataclass(frozen=True)
class Sequence:
    """An encoder of single pictures, applied to each frame of a sequence and pooled over the frames that are valid.

    A frame from which the encoder makes no features (no valid pixel, or too few for it) is left out, never
    filled. A chip with fewer frames than the pooling needs has no features and the status ``nodata``.

    Parameters
    ----------
    encoder : str or Encoder
        What encodes each frame.
    pool : {"mean", "last-first", "mean+sd", "trend", "attention"}
        The mean of the frames; the last valid frame minus the first; the mean and, beside it, the standard
        deviation (``n - 1``); the least-squares slope per step from one frame to the next; or a mean in which
        frames that are unlike the others weigh less (dot-product attention of each frame to their mean;
        nothing is trained, since training on outcomes would have to stay within folds). Steps are counted along
        the frames of the chips, missing ones included, and not in days: for yearly frames a slope is per year,
        and for frames that are not evenly spaced (``Frames("each")``) ``trend`` is not the pool to use.
    min_frames : int, optional
        Valid frames that a chip needs; default what the pooling needs: 1 for ``mean`` and ``attention``, else 2.
        Slopes and standard deviations of two frames are noisy: where frames are often missing, ask for more.
    min_valid : float
        Share of its pixels that must be valid for a frame to be used, between 0 and 1. Default: what the encoder
        itself needs.

    Raises
    ------
    EncoderError
        When the encoder or pooling is not known, a number is out of range, or an encoder of several sizes or of
        sequences is put inside.

    References
    ----------
    Vaswani, A. et al. (2017). Attention is all you need. NeurIPS. Equation 1, without trained projections.

    Examples
    --------
    >>> encoder = Sequence("image_stats", pool="trend")
    >>> encoder.name
    'image_stats_trend'
    >>> encoder.recipe()["min_frames"]
    2
    """

    encoder: str | Encoder
    pool: str = "mean"
    min_frames: int | None = None
    min_valid: float = 0.0
    inner: Encoder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        least = _POOLS[one_of(self.pool, tuple(_POOLS), argument="pool", error=EncoderError)].least
        if self.min_frames is not None:
            whole_number(self.min_frames, argument="min_frames", error=EncoderError, least=least)
        if isinstance(self.min_valid, bool) or not 0 <= self.min_valid <= 1:
            rule = "a share of pixels between 0 and 1"
            raise EncoderError(explain(f"min_valid={self.min_valid!r}.", rule=rule))
        object.__setattr__(self, "inner", _of_single_pictures(get_encoder(self.encoder)))

    @property
    def name(self) -> str:
        """Names of the encoder and of the pooling, such as ``rcf_last_first``."""
        return f"{self.inner.name}_{'_'.join(_POOLS[self.pool].parts)}"

    @property
    def least(self) -> int:
        """Valid frames that a chip needs."""
        return _POOLS[self.pool].least if self.min_frames is None else int(self.min_frames)

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {
            "encoder": "sequence",
            "frames": self.inner.recipe(),
            "pool": self.pool,
            "min_frames": self.least,
            "min_valid": float(self.min_valid),
        }

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedSequence:
        """Fit the encoder of the frames to the chips of ``keys``; pooling learns nothing."""
        return FittedSequence(self, self.inner.fit(chips, keys=keys, device=device))

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedSequence:
        """Rebuild the fitted encoder of which ``state`` was saved, to the same bits."""
        return FittedSequence(self, self.inner.restore(state, chips=chips, device=device))


def _of_single_pictures(inner: Encoder) -> Encoder:
    """Return the encoder, or refuse one that reads several dates or sizes itself."""
    if isinstance(inner, Sequence) or hasattr(inner, "select"):
        raise EncoderError(
            explain(
                f"{type(inner).__name__} cannot encode the frames of a sequence.",
                rule="an encoder of single pictures; several sizes go around sequences, not inside them",
                fix='MultiScale(Sequence("rcf", pool="trend"), size_m=[480, 7680])',
            )
        )
    spec = getattr(inner, "spec", None)
    if isinstance(spec, EncoderSpec) and adapter_of(spec).dated:
        what = f"Encoder {inner.name!r} is told the day of each frame; frames of a sequence are encoded one by one."
        raise EncoderError(explain(what, fix="ec.embed(chips, encoder=...) with this encoder itself"))
    fewest = getattr(spec, "frames_min", 1)
    if fewest > 1:
        what = f"Encoder {inner.name!r} reads {fewest} or more dates together; frames are encoded one by one."
        raise EncoderError(explain(what, fix="ec.embed(chips, encoder=...) with this encoder itself"))
    return inner


@dataclass(frozen=True, eq=False)
class FittedSequence:
    """A fitted encoder of frames, and how they are pooled."""

    config: Sequence
    frames: FittedEncoder

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``rcf_960m_000_trend``; means come before standard deviations."""
        inner = self.frames.columns(block)
        return tuple(f"{column}_{part}" for part in _POOLS[self.config.pool].parts for column in inner)

    def state(self) -> State:
        """Return what the encoder of the frames learned."""
        return self.frames.state()

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the pooled features of each chip, NaN where too few frames are valid."""
        return self.pooled(*self.by_frame(pixels, mask, block)).astype(np.float32)

    def by_frame(self, pixels: Pixels, mask: Mask, block: str) -> tuple[Floats, Bools]:
        """Return the features of every frame, (n, frames, d), and which frames can be used, (n, frames)."""
        check_input(pixels, mask, bands=pixels.shape[2] if pixels.ndim == 5 else 0, encoder=self.config.name)
        self._check_frames(mask, block)
        width = len(self.frames.columns(block))
        values = np.full((*mask.shape[:2], width), np.nan)
        used = mask.any(axis=(2, 3)) & (mask.mean(axis=(2, 3)) >= self.config.min_valid)
        for turn in range(mask.shape[1]):
            chosen = used[:, turn]
            if chosen.any():
                frame = slice(turn, turn + 1)
                values[chosen, turn] = self.frames.encode(pixels[chosen, frame], mask[chosen, frame], block)
        empty = np.isnan(values).all(axis=2)
        lost = used & empty & mask.all(axis=(2, 3))
        if lost.any():
            what = f"Encoder {self.config.inner.name!r} gave no features for frames that are wholly valid"
            raise EncoderError(explain(f"{what} (where: positions in the batch).", where=np.nonzero(lost)[0]))
        return values, used & ~empty

    def pooled(self, values: Floats, used: Bools) -> Floats:
        """Return frames pooled over those that are used, (n, frames, d) to (n, columns)."""
        pool = _POOLS[self.config.pool]
        enough = used.sum(axis=1) >= self.config.least
        found = np.full((len(values), values.shape[2] * len(pool.parts)), np.nan)
        if enough.any():
            some = values[enough], used[enough]
            found[enough] = np.concatenate([part(*some) for part in pool.parts.values()], axis=1)
        return found

    def _check_frames(self, mask: Mask, block: str) -> None:
        if mask.shape[1] < self.config.least:
            least = self.config.least
            raise EncoderError(
                explain(
                    f"Chips of block {block!r} have {mask.shape[1]} frames; "
                    f"pool={self.config.pool!r} needs {least}.",
                    fix="cut chips with several frames, such as ec.chips(..., frames=ec.Frames(['2005', '2006']))",
                )
            )
