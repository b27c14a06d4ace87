"""Several sizes around each place, one block of features for each, never averaged across sizes."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean, whole_number
from eocausal.encoding.protocol import (
    ChipBatch,
    ChipSource,
    Encoder,
    FittedEncoder,
    Keys,
    Mask,
    Pixels,
    State,
)
from eocausal.encoding.registry import get_encoder
from eocausal.errors import EncoderError, explain

__all__ = ["FittedMultiScale", "MultiScale"]


@dataclass(frozen=True)
class MultiScale:
    """One block of features for each size of chips, and how many components each block becomes later.

    Sizes are concatenated, block by block, and never averaged. With ``reduce`` the statistics half turns each
    block into that many principal components, learned on training folds alone, wherever outcome, treatment or
    effects are predicted from features.

    Parameters
    ----------
    encoder : str, Encoder or dict
        One encoder for all sizes, or a dict from size to encoder. ``Sequence`` fits in both.
    size_m : sequence of float or str, optional
        Sizes to use, metres, or names of blocks of the chips such as ``"32px"``, in the order that the features
        will have. Default: all that the chips have, or those of the dict.
    side_px : int or dict, optional
        Pixels along a side that chips are brought to first, for all sizes or by name of block, as
        ``Chips.resampled`` does. Default: as they were cut.
    reduce : int, optional
        Components that each of these blocks becomes, in place of ``Learners(pca=)`` and ``Forest(pca=)``, which
        stay for other blocks. ``pca=None`` there still leaves all features as they are.

    Raises
    ------
    EncoderError
        When an encoder is not known, sizes repeat, a number is out of range, or ``size_m`` goes with a dict.

    References
    ----------
    Zhu, F., Jerzak, C. T. and Daoud, A. (2025). Optimizing multi-scale representations to detect effect
    heterogeneity using Earth observation and computer vision: applications to two anti-poverty RCTs. Proceedings
    of Machine Learning Research 275, 894-919.

    Examples
    --------
    >>> MultiScale("rcf", size_m=[480, 7680], reduce=32).blocks
    ('480m', '7680m')
    >>> MultiScale({480: "rcf", 7680: "image_stats"}).name
    'multi_scale'
    """

    encoder: str | Encoder | Mapping[float | str, str | Encoder]
    size_m: Sequence[float | str] | None = None
    side_px: int | Mapping[str, int] | None = None
    reduce: int | None = None
    blocks: tuple[str, ...] | None = field(init=False, repr=False, compare=False)
    scales: Encoder | Mapping[str, Encoder] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given: Mapping[Any, Any] | None = self.encoder if isinstance(self.encoder, Mapping) else None
        if given is not None and (not given or self.size_m is not None):
            what = (
                "The dict of encoders is empty." if not given else "size_m and a dict of encoders are given."
            )
            fix = 'MultiScale({480: "rcf", 7680: "image_stats"}), without size_m'
            raise EncoderError(explain(what, rule="the keys of the dict are the sizes", fix=fix))
        sizes = given if given is not None else self.size_m
        blocks = None if sizes is None else _block_names(sizes)
        if given is not None and blocks is not None:
            by_block = {block: _for_one_size(inner) for block, inner in zip(blocks, given.values())}
            object.__setattr__(self, "scales", MappingProxyType(by_block))
        else:
            object.__setattr__(self, "scales", _for_one_size(self.encoder))
        object.__setattr__(self, "blocks", blocks)
        sides = self.side_px.values() if isinstance(self.side_px, Mapping) else [self.side_px]
        for name, value in [*(("side_px", side) for side in sides), ("reduce", self.reduce)]:
            if value is not None:
                whole_number(value, argument=name, error=EncoderError, least=1)

    @property
    def name(self) -> str:
        """Name of the encoder where there is one for all sizes, else ``multi_scale``."""
        return "multi_scale" if isinstance(self.scales, Mapping) else self.scales.name

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        one = self.scales
        scales = (
            {block: each.recipe() for block, each in one.items()}
            if isinstance(one, Mapping)
            else one.recipe()
        )
        sides = dict(self.side_px) if isinstance(self.side_px, Mapping) else self.side_px
        return {
            "encoder": "multi_scale",
            "name": self.name,
            "scales": scales,
            "sizes": None if self.blocks is None else list(self.blocks),
            "side_px": sides,
            "reduce": None if self.reduce is None else int(self.reduce),
        }

    def with_encoders(self, change: Callable[[Encoder], Encoder]) -> MultiScale:
        """Return the same sizes with each encoder changed."""
        if isinstance(self.scales, Mapping):
            return replace(self, encoder={block: change(inner) for block, inner in self.scales.items()})
        return replace(self, encoder=change(self.scales))

    def select(self, chips: ChipSource) -> ChipSource:
        """Return the chips of the sizes that are used alone, brought to ``side_px``; ``embed`` calls this first."""
        blocks = tuple(chips.blocks) if self.blocks is None else self.blocks
        missing = [block for block in blocks if block not in chips.blocks]
        if missing:
            raise EncoderError(
                explain(
                    "The chips do not have these sizes.",
                    where=missing,
                    rule=f"chips have {', '.join(chips.blocks)}",
                    fix=did_you_mean(missing[0], list(chips.blocks)),
                )
            )
        if self.side_px is not None:
            chips = _resampled(chips, blocks, self.side_px)
        return _SomeSizes(chips, blocks)

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedMultiScale:
        """Fit each encoder to the chips of its sizes."""
        groups = self.groups_of(chips.blocks)
        fitted = [inner.fit(_SomeSizes(chips, blocks), keys=keys, device=device) for inner, blocks in groups]
        return FittedMultiScale(tuple((one, blocks) for one, (_, blocks) in zip(fitted, groups)))

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedMultiScale:
        """Rebuild the fitted encoders of which ``state`` was saved, to the same bits."""
        restored = []
        for number, (inner, blocks) in enumerate(self.groups_of(chips.blocks)):
            start = f"{number}:"
            part = {
                name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
            }
            found = inner.restore(part, chips=_SomeSizes(chips, blocks), device=device)
            restored.append((found, blocks))
        return FittedMultiScale(tuple(restored))

    def groups_of(self, blocks: Sequence[str]) -> list[tuple[Encoder, tuple[str, ...]]]:
        """Return each encoder once with those of the blocks that it encodes: large models are loaded once."""
        used = tuple(block for block in blocks if self.blocks is None or block in self.blocks)
        if not isinstance(self.scales, Mapping):
            return [(self.scales, used)]
        groups: list[tuple[Encoder, tuple[str, ...]]] = []
        for block in used:
            inner = self.scales[block]
            same = [number for number, (other, _) in enumerate(groups) if other == inner]
            if same:
                groups[same[0]] = (groups[same[0]][0], (*groups[same[0]][1], block))
            else:
                groups.append((inner, (block,)))
        return groups


@dataclass(frozen=True, eq=False)
class FittedMultiScale:
    """Fitted encoders, each with its sizes."""

    scales: tuple[tuple[FittedEncoder, tuple[str, ...]], ...]

    def columns(self, block: str) -> tuple[str, ...]:
        """Return the names that the encoder of this size gives."""
        return self._of(block).columns(block)

    def state(self) -> State:
        """Return what was learned, by number of encoder."""
        return {
            f"{number}:{name}": value
            for number, (fitted, _) in enumerate(self.scales)
            for name, value in fitted.state().items()
        }

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the features of one size."""
        return self._of(block).encode(pixels, mask, block)

    def _of(self, block: str) -> FittedEncoder:
        for fitted, blocks in self.scales:
            if block in blocks:
                return fitted
        known = [name for _, blocks in self.scales for name in blocks]
        raise EncoderError(
            explain(f"No encoder was fitted for size {block!r}.", fix=did_you_mean(block, known))
        )


@dataclass(frozen=True, eq=False)
class _SizesOfBatch:
    """A batch without the sizes that are not used."""

    batch: ChipBatch
    blocks: tuple[str, ...]

    @property
    def keys(self) -> npt.NDArray[Any]:
        return self.batch.keys

    @property
    def pixels(self) -> dict[str, Pixels]:
        return {block: self.batch.pixels[block] for block in self.blocks}

    @property
    def mask(self) -> dict[str, Mask]:
        return {block: self.batch.mask[block] for block in self.blocks}

    @property
    def status(self) -> dict[str, npt.NDArray[Any]]:
        return {block: self.batch.status[block] for block in self.blocks}

    @property
    def valid_fraction(self) -> dict[str, npt.NDArray[np.floating[Any]]]:
        return {block: self.batch.valid_fraction[block] for block in self.blocks}


@dataclass(frozen=True, eq=False)
class _SomeSizes:
    """Chips of some sizes."""

    chips: ChipSource
    blocks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.chips)

    @property
    def keys(self) -> npt.NDArray[Any]:
        return self.chips.keys

    @property
    def key_name(self) -> str:
        return self.chips.key_name

    @property
    def bands(self) -> tuple[str, ...]:
        return self.chips.bands

    @property
    def frames(self) -> tuple[str, ...]:
        return self.chips.frames

    @property
    def date(self) -> str | None:
        return self.chips.date

    @property
    def pixel_unit(self) -> str | None:
        return self.chips.pixel_unit

    def batches(self, *, size: int = 64, keys: Keys | None = None) -> Iterator[ChipBatch]:
        for batch in self.chips.batches(size=size, keys=keys):
            yield _SizesOfBatch(batch, self.blocks)

    def reading_order(self) -> npt.NDArray[Any]:
        return self.chips.reading_order()

    def last_dates(self, keys: Keys) -> npt.NDArray[Any]:
        return self.chips.last_dates(keys)

    def recipe(self) -> dict[str, Any]:
        return self.chips.recipe()


def _for_one_size(encoder: Any) -> Encoder:
    inner = get_encoder(encoder)
    if isinstance(inner, MultiScale):
        rule = "one encoder for each size"
        raise EncoderError(explain("MultiScale cannot be inside MultiScale.", rule=rule))
    return inner


def _block_names(sizes: Any) -> tuple[str, ...]:
    """Return names of blocks, such as ``480m``, of sizes in metres; names stay as they are."""
    if isinstance(sizes, (str, bytes)) or not hasattr(sizes, "__iter__") or not len(tuple(sizes)):
        text = f"size_m={sizes!r} is not a list of sizes."
        raise EncoderError(explain(text, fix="size_m=[480, 7680]"))
    wrong = [size for size in sizes if not _is_size(size)]
    if wrong:
        rule = "positive metres, or names of blocks of the chips, such as '32px'"
        raise EncoderError(explain("These are not sizes.", where=wrong, rule=rule))
    names = tuple(size if isinstance(size, str) else f"{size:.10g}m" for size in sizes)
    if len(set(names)) < len(names):
        raise EncoderError(explain("Sizes repeat.", where=names, rule="each size once"))
    return names


def _is_size(size: object) -> bool:
    if isinstance(size, bool) or not isinstance(size, (str, numbers.Real)):
        return False
    return bool(size) if isinstance(size, str) else 0 < float(size) < float("inf")


def _resampled(chips: ChipSource, blocks: tuple[str, ...], side_px: int | Mapping[str, int]) -> ChipSource:
    resample = getattr(chips, "resampled", None)
    if resample is None:
        text = f"{type(chips).__name__} cannot be brought to {side_px} pixels."
        raise EncoderError(explain(text, fix="leave side_px out, or pass what ec.chips returns"))
    sides = side_px if isinstance(side_px, Mapping) else dict.fromkeys(blocks, side_px)
    found: ChipSource = resample(dict(sides))
    return found
