"""From the pixels of chips to what a network reads: bands, unit, size, scaling, by the specification alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.encoding._bands import match_bands
from eocausal.encoding._chip_units import Picked, picked_units
from eocausal.encoding._moments import Moments
from eocausal.encoding._wavelengths import ReadBand, bands_of_chips, check_named
from eocausal.encoding.protocol import ChipSource, Mask, Pixels
from eocausal.encoding.spec import EncoderSpec, Step
from eocausal.errors import EncoderError, explain
from eocausal.imagery.radiometry import to_unit
from eocausal.imagery.resample import resample

Floats = npt.NDArray[np.float32]
_METRES = re.compile(r"(\d+(?:\.\d+)?)m")


@dataclass(frozen=True)
class Preparation:
    """How chips with known bands and unit are made into the input of one encoder.

    ``picked`` are the bands that are read, in the order of the encoder. ``white`` is the reflectance that becomes
    the brightest value of a picture, None where no picture is made of reflectance. ``moments`` are those of the
    chips that the encoder is fitted on, by block, where its scaling asks for them.
    """

    spec: EncoderSpec
    picked: tuple[Picked, ...]
    bands: int
    white: float | None = None
    moments: Mapping[str, Moments] = field(default_factory=dict)

    @property
    def read(self) -> tuple[ReadBand, ...]:
        """What the bands of the pictures are, in order."""
        return tuple(one.band for one in self.picked)

    def frames(self, pixels: Pixels, mask: Mask, block: str = "") -> tuple[Floats, Mask]:
        """Return scaled pictures (n, dates, bands, px, px), 0 where not valid, and which pixels are valid."""
        side = self.spec.resize_px or self.spec.native_px or pixels.shape[-1]
        # before a picture is resized, so that bands that are not read cannot make a pixel invalid
        chosen = np.where(mask[:, :, None], self.pick(pixels), np.float32(np.nan))
        made, valid = resample(chosen, mask, side)
        made, valid = _centre(made, self.spec.native_px or side), _centre(valid, self.spec.native_px or side)
        seen = valid[:, :, None]
        for step in self.spec.scaling:
            made = SCALING[step.kind](made, step, self.moments.get(block))
            if step.kind in _CENTRING:
                # the mean of each band where nothing is seen, whatever stood there; later steps see it as a pixel
                made = np.where(seen, made, np.float32(0))
                seen = np.ones_like(seen)
        return np.where(seen, made, np.float32(0)).astype(np.float32), valid

    def pick(self, pixels: Pixels) -> Floats:
        """Return the bands that are read, in the encoder's order and unit."""
        chosen = pixels[:, :, [one.place for one in self.picked]]
        pairs = [(one.unit, one.wanted) for one in self.picked]
        if len(set(pairs)) == 1:
            return self._convert(chosen, *pairs[0])
        bands = [self._convert(chosen[:, :, [k]], *pair) for k, pair in enumerate(pairs)]
        return np.concatenate(bands, axis=2)

    def _convert(self, pixels: Pixels, unit: str | None, wanted: str | None) -> Floats:
        if unit is None or wanted is None or unit == wanted:
            return pixels
        if self.white is not None and wanted == "uint8":
            share = np.clip(to_unit(pixels, unit, "reflectance") / self.white, 0, 1)
            return np.asarray(share * 255, dtype=np.float32)
        return np.asarray(to_unit(pixels, unit, wanted), np.float32)


def prepare(
    spec: EncoderSpec,
    chips: ChipSource,
    *,
    bands: Mapping[str, str] | None = None,
    white: float | None = None,
    wavelengths: Mapping[str, float] | None = None,
    units: Mapping[str, str] | None = None,
) -> Preparation:
    """Return how the pixels of chips are made into the input of an encoder, or say why they cannot be.

    Raises
    ------
    EncoderError
        When bands or wavelengths are missing or contradict each other, or no published formula leads from the
        unit of the chips to that of the encoder.
    """
    given = tuple(chips.bands)
    places, read = _bands(spec, given, bands, wavelengths)
    picked = picked_units(spec, chips, places=places, read=read, told=units or {}, white=white)
    return Preparation(spec, picked, len(given), white)


def _bands(
    spec: EncoderSpec,
    given: tuple[str, ...],
    named: Mapping[str, str] | None,
    wavelengths: Mapping[str, float] | None,
) -> tuple[tuple[int, ...], tuple[ReadBand, ...]]:
    """Return where the bands lie among those of the chips, and what they are."""
    if spec.bands is None:
        found = bands_of_chips(given, encoder=spec.name, named=named, wavelengths=wavelengths)
        return tuple(place for place, _ in found), tuple(band for _, band in found)
    if wavelengths:
        text = f"wavelengths= is given, and {spec.name!r} reads bands by name."
        rule = f"it reads {', '.join(spec.common_names or ())}"
        raise EncoderError(
            explain(text, where=list(wavelengths), rule=rule, fix="bands= says which bands these are")
        )
    common = {band.name: band.common_name for band in spec.bands}
    check_named(
        {common.get(word, word): band for word, band in (named or {}).items()}, given, encoder=spec.name
    )
    pairs = [(band.name, band.common_name) for band in spec.bands]
    places = match_bands(pairs, given, encoder=spec.name, named=named)
    return places, tuple(ReadBand(band.common_name, band.wavelength_um) for band in spec.bands)


def pixel_sizes(spec: EncoderSpec, blocks: Sequence[str]) -> dict[str, float]:
    """Return the metres that a pixel of the encoder's pictures covers, for blocks that tell theirs (``960m``)."""
    side = spec.resize_px or spec.native_px
    sizes = {block: _METRES.fullmatch(block) for block in blocks}
    return {block: float(size[1]) / side for block, size in sizes.items() if size is not None and side}


def _centre(array: npt.NDArray[Any], px: int) -> npt.NDArray[Any]:
    start = (array.shape[-1] - px) // 2
    return array[..., start : start + px, start : start + px]


def _by_band(numbers: tuple[float, ...] | npt.NDArray[np.float32]) -> Floats:
    return np.asarray(numbers, dtype=np.float32)[:, None, None]


def _subtract(pixels: Floats, step: Step, moments: Moments | None) -> Floats:
    return np.asarray(pixels - _by_band(step.subtract or ()), dtype=np.float32)


def _divide(pixels: Floats, step: Step, moments: Moments | None) -> Floats:
    return np.asarray(pixels / _by_band(step.divide or ()), dtype=np.float32)


def _clip(pixels: Floats, step: Step, moments: Moments | None) -> Floats:
    low, high = step.clip or (-np.inf, np.inf)
    return np.asarray(np.clip(pixels, low, high), dtype=np.float32)


def _zscore(pixels: Floats, step: Step, moments: Moments | None) -> Floats:
    mean, std = (step.z.mean, step.z.std) if step.z is not None else ((0.0,), (1.0,))
    return np.asarray((pixels - _by_band(mean)) / _by_band(std), dtype=np.float32)


def _standardise(pixels: Floats, step: Step, moments: Moments | None) -> Floats:
    if moments is None:
        text = "Chips of this size were not among those that the encoder was fitted on."
        raise EncoderError(explain(text, rule="bands are standardised by chips of the same size"))
    return np.asarray((pixels - _by_band(moments.mean)) / _by_band(moments.sd), dtype=np.float32)


SCALING: Mapping[str, Callable[[Floats, Step, Moments | None], Floats]] = MappingProxyType(
    {"subtract": _subtract, "divide": _divide, "clip": _clip, "z": _zscore, "standardise": _standardise}
)
"""Steps of scaling by name; a specification can ask for these and for nothing else."""

# after these the mean of a band is 0
_CENTRING = ("z", "standardise")
