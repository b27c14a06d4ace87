"""`PretrainSettings`: how large a network is trained on chips, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from eocausal._checks import one_of, whole_number
from eocausal.errors import EncoderError, explain

__all__ = ["PRESETS", "Preset", "PretrainSettings"]


@dataclass(frozen=True)
class Preset:
    """Sizes of a network and of its training.

    ``most_patches`` is the most patches that a chip is parted into along a side; ``steps`` is how many updates of
    the weights are made about, where epochs are not given.
    """

    hidden: int
    layers: int
    heads: int
    decoder_hidden: int
    decoder_layers: int
    decoder_heads: int
    most_patches: int
    batch_size: int
    learning_rate: float
    steps: int


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "tiny": Preset(96, 4, 4, 64, 1, 4, 10, 64, 2e-3, 2_000),
        "small": Preset(192, 8, 6, 96, 2, 6, 14, 64, 1e-3, 10_000),
        "base": Preset(768, 12, 12, 512, 8, 16, 16, 256, 3e-4, 100_000),
    }
)
"""``tiny`` takes minutes on one core, ``small`` an hour or a GPU; ``base`` is ViT-B, and for a GPU."""


@dataclass(frozen=True)
class PretrainSettings:
    """How a network is pretrained: a preset, and what is to differ from it.

    Parameters
    ----------
    preset : {"tiny", "small", "base"}
        Sizes: 4 layers of 96 numbers (minutes on a CPU), 8 of 192, or 12 of 768 (ViT-B, for a GPU).
    epochs : int, optional
        How often each chip is seen; by default so often that weights are updated about 2,000, 10,000 or 100,000
        times.
    batch_size : int, optional
        Chips in an update.
    mask_ratio : float
        Share of patches that is hidden from the network and must be filled in.
    patch_px : int, optional
        Pixels along a side of a patch; by default the smallest of 2, 4, 8, ... that parts a chip into at most 10,
        14 or 16 patches along a side.
    learning_rate : float, optional
        Largest rate of AdamW, reached after a tenth of the training and lowered along a cosine to 0.
    held_out : float
        Share of the keys that weights never learn from, and that the held-out loss is of.
    block : str, optional
        Which size of chips, such as ``"960m"``, where there are several.

    Raises
    ------
    EncoderError
        When the preset is not known or a number is out of range.

    Examples
    --------
    >>> PretrainSettings("tiny", epochs=100, patch_px=4).sizes().hidden
    96
    """

    preset: str = "tiny"
    _: KW_ONLY
    epochs: int | None = None
    batch_size: int | None = None
    mask_ratio: float = 0.75
    patch_px: int | None = None
    learning_rate: float | None = None
    held_out: float = 0.1
    block: str | None = None

    def __post_init__(self) -> None:
        one_of(self.preset, list(PRESETS), argument="preset", error=EncoderError)
        for argument, least in (("epochs", 1), ("batch_size", 1), ("patch_px", 1)):
            value = getattr(self, argument)
            if value is not None:
                whole_number(value, argument=argument, error=EncoderError, least=least)
        _check_between(self.mask_ratio, "mask_ratio", "a share of patches above 0 and below 1, such as 0.75")
        _check_between(self.held_out, "held_out", "a share of keys above 0 and below 1, such as 0.1")
        if self.learning_rate is not None:
            _check_between(self.learning_rate, "learning_rate", "above 0 and below 1, such as 0.001")

    def sizes(self) -> Preset:
        """Return the sizes of the preset."""
        return PRESETS[self.preset]

    def patch_of(self, side_px: int) -> int:
        """Return the side of a patch for chips of so many pixels, or raise where chips are too small."""
        patch = self.patch_px
        if patch is None:
            patch = 2
            while side_px / patch > self.sizes().most_patches:
                patch *= 2
        if side_px < 2 * patch:
            fix = "cut larger chips, or bring them to more pixels: chips.resampled(32)"
            if self.patch_px is not None and side_px >= 4:
                fix = f"patch_px={max(2, side_px // 8)}, or larger chips"
            raise EncoderError(
                explain(
                    f"Chips of {side_px} pixels a side cannot be parted into patches of {patch}.",
                    rule="at least two patches along a side",
                    fix=fix,
                )
            )
        return patch

    def epochs_for(self, chips: int) -> int:
        """Return how often so many chips are gone through."""
        if self.epochs is not None:
            return int(self.epochs)
        updates = math.ceil(chips / self.chips_an_update())
        return math.ceil(self.sizes().steps / updates)

    def chips_an_update(self) -> int:
        """Return the batch size."""
        return int(self.batch_size or self.sizes().batch_size)

    def rate(self) -> float:
        """Return the largest learning rate."""
        return float(self.learning_rate or self.sizes().learning_rate)


def _check_between(value: Any, argument: str, rule: str) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not 0 < float(value) < 1:
        raise EncoderError(explain(f"{argument}={value!r} cannot be used.", rule=rule))
