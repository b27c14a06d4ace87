"""From the pixels of chips to what a network reads: bands, unit, size, scaling, by the specification alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.encoding._bands import match_bands
from eocausal.encoding.protocol import ChipSource, Mask, Pixels
from eocausal.encoding.spec import EncoderSpec, Step
from eocausal.errors import EncoderError, ImageryError, explain
from eocausal.imagery.radiometry import PIXEL_UNITS, to_unit
from eocausal.imagery.resample import resample

Floats = npt.NDArray[np.float32]
_METRES = re.compile(r"(\d+(?:\.\d+)?)m")


@dataclass(frozen=True)
class Preparation:
    """How chips with known bands and unit are made into the input of one encoder.

    ``places`` are the positions of the bands in the order of the encoder. ``white`` is the reflectance that
    becomes the brightest value of a picture, None where no picture is made of reflectance.
    """

    spec: EncoderSpec
    places: tuple[int, ...]
    bands: int
    unit: str
    white: float | None = None

    def frames(self, pixels: Pixels, mask: Mask) -> tuple[Floats, Mask]:
        """Return scaled pictures (n, dates, bands, px, px), 0 where not valid, and which pixels are valid."""
        side = self.spec.resize_px or self.spec.native_px or pixels.shape[-1]
        # before a picture is resized, so that bands that are not read cannot make a pixel invalid
        chosen = np.where(mask[:, :, None], pixels[:, :, self.places], np.float32(np.nan))
        made, valid = resample(self._convert(chosen), mask, side)
        made, valid = _centre(made, self.spec.native_px or side), _centre(valid, self.spec.native_px or side)
        for step in self.spec.scaling:
            made = SCALING[step.kind](made, step)
        # the mean of each band where nothing is seen, whatever stood there
        return np.where(valid[:, :, None], made, np.float32(0)).astype(np.float32), valid

    def _convert(self, pixels: Pixels) -> Floats:
        wanted = str(self.spec.pixel_unit)
        if self.white is not None:
            share = np.clip(to_unit(pixels, self.unit, "reflectance") / self.white, 0, 1)
            return np.asarray(share * 255, dtype=np.float32)
        return pixels if self.unit == wanted else np.asarray(to_unit(pixels, self.unit, wanted), np.float32)


def prepare(
    spec: EncoderSpec,
    chips: ChipSource,
    *,
    bands: Mapping[str, str] | None = None,
    white: float | None = None,
) -> Preparation:
    """Return how the pixels of chips are made into the input of an encoder, or say why they cannot be.

    Raises
    ------
    EncoderError
        When bands are missing or no published formula leads from the unit of the chips to that of the encoder.
    """
    wanted = spec.bands or ()
    pairs = [(band.name, band.common_name) for band in wanted]
    places = match_bands(pairs, tuple(chips.bands), encoder=spec.name, named=bands)
    unit = chips.pixel_unit
    if unit is None:
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} reads {spec.pixel_unit}, and the chips do not say what a pixel is.",
                rule="the wrong scale gives vectors without meaning and no error",
                fix='declare it where chips are made: pixel_unit="reflectance" (or what they are)',
            )
        )
    _check_unit(spec, unit, white)
    return Preparation(spec, places, len(chips.bands), unit, white)


def pixel_sizes(spec: EncoderSpec, blocks: Sequence[str]) -> dict[str, float]:
    """Return the metres that a pixel of the encoder's pictures covers, for blocks that tell theirs (``960m``)."""
    side = spec.resize_px or spec.native_px
    sizes = {block: _METRES.fullmatch(block) for block in blocks}
    return {block: float(size[1]) / side for block, size in sizes.items() if size is not None and side}


def _check_unit(spec: EncoderSpec, unit: str, white: float | None) -> None:
    """Refuse a unit that does not lead to the encoder's, with both sides."""
    wanted = str(spec.pixel_unit)
    picture = wanted == "uint8" and PIXEL_UNITS[unit].quantity == "reflectance"
    if picture and white is None:
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} reads pictures of 0 to 255, and the chips hold {unit}.",
                rule="no formula says which reflectance is white in a picture",
                fix=f"choose one and report it: ec.Pretrained({spec.name!r}, white=0.3)",
            )
        )
    if white is not None and not picture:
        text = f"white={white} is given, but {spec.name!r} reads {wanted} and the chips hold {unit}."
        raise EncoderError(explain(text, rule="white turns reflectance into pictures", fix="leave it out"))
    try:
        to_unit(np.zeros(1, dtype=np.float32), unit, "reflectance" if picture else wanted)
    except ImageryError as cause:
        text = f"Encoder {spec.name!r} reads {wanted}, and the chips hold {unit}. {cause}"
        raise EncoderError(text) from cause


def _centre(array: npt.NDArray[Any], px: int) -> npt.NDArray[Any]:
    start = (array.shape[-1] - px) // 2
    return array[..., start : start + px, start : start + px]


def _by_band(numbers: tuple[float, ...]) -> Floats:
    return np.asarray(numbers, dtype=np.float32)[:, None, None]


def _subtract(pixels: Floats, step: Step) -> Floats:
    return np.asarray(pixels - _by_band(step.subtract or ()), dtype=np.float32)


def _divide(pixels: Floats, step: Step) -> Floats:
    return np.asarray(pixels / _by_band(step.divide or ()), dtype=np.float32)


def _clip(pixels: Floats, step: Step) -> Floats:
    low, high = step.clip or (-np.inf, np.inf)
    return np.asarray(np.clip(pixels, low, high), dtype=np.float32)


def _zscore(pixels: Floats, step: Step) -> Floats:
    mean, std = (step.z.mean, step.z.std) if step.z is not None else ((0.0,), (1.0,))
    return np.asarray((pixels - _by_band(mean)) / _by_band(std), dtype=np.float32)


SCALING: Mapping[str, Callable[[Floats, Step], Floats]] = MappingProxyType(
    {"subtract": _subtract, "divide": _divide, "clip": _clip, "z": _zscore}
)
"""Steps of scaling by name; a specification can ask for these and for nothing else."""
