"""What the pixels of each band of chips are, and what an encoder wants them to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eocausal.encoding._wavelengths import RADAR, ReadBand
from eocausal.encoding.protocol import ChipSource, Keys
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, ImageryError, explain
from eocausal.imagery.radiometry import PIXEL_UNITS, check_range, find_unit, to_unit

__all__ = ["Picked", "check_told_units", "picked_units"]

_UNDECLARED = (None, "dn")
# chips that are looked at before a unit that nobody checked is believed
_LOOKED_AT = 64


@dataclass(frozen=True)
class Picked:
    """A band that an encoder reads: where it lies among those of the chips, what it is, its unit, the unit wanted.

    ``unit`` is None where nobody said, ``wanted`` where it does not matter.
    """

    place: int
    band: ReadBand
    unit: str | None
    wanted: str | None


def picked_units(
    spec: EncoderSpec,
    chips: ChipSource,
    *,
    places: tuple[int, ...],
    read: tuple[ReadBand, ...],
    told: Mapping[str, str],
    white: float | None,
) -> tuple[Picked, ...]:
    """Return the bands that are read with their units, or say which unit is missing or leads nowhere.

    ``told`` are units of single bands of the chips, for chips whose bands are not all in one.
    """
    _check_told(told, chips)
    own = [None] * len(read) if spec.bands is None else [band.pixel_unit for band in spec.bands]
    found = tuple(
        Picked(place, band, told.get(chips.bands[place], chips.pixel_unit), _wanted(spec, band, unit))
        for place, band, unit in zip(places, read, own, strict=True)
    )
    silent = [chips.bands[one.place] for one in found if one.wanted is not None and one.unit is None]
    if silent:
        wanted = ", ".join(dict.fromkeys(str(one.wanted) for one in found if one.wanted is not None))
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} reads {wanted}, and the chips do not say what a pixel is.",
                where=silent,
                rule="the wrong scale gives vectors without meaning and no error",
                fix='declare it where chips are made: pixel_unit="reflectance" (or what they are); bands that are '
                f'not all in one unit: ec.Pretrained({spec.name!r}, units={{{silent[0]!r}: "reflectance", ...}})',
            )
        )
    for pair in dict.fromkeys((one.unit, one.wanted) for one in found):
        if pair[0] is not None and pair[1] is not None:
            _check_leads(spec, pair[0], pair[1], white)
    if white is not None and not any(_becomes_picture(one.unit, one.wanted) for one in found):
        sides = f"{spec.name!r} reads {spec.pixel_unit} and the chips hold {chips.pixel_unit}"
        text = f"white={white} is given, but {sides}."
        raise EncoderError(explain(text, rule="white turns reflectance into pictures", fix="leave it out"))
    return found


def check_told_units(chips: ChipSource, keys: Keys, told: Mapping[str, str]) -> None:
    """Refuse units of single bands that the pixels of the first chips contradict: nobody checked them before.

    Raises
    ------
    ImageryError
        With the range that there is and the one that the unit has.
    """
    if not told:
        return
    batch = next(iter(chips.batches(size=_LOOKED_AT, keys=np.asarray(keys)[:_LOOKED_AT])))
    for band, unit in told.items():
        place = list(chips.bands).index(band)
        for block in chips.blocks:
            pixels = batch.pixels[block][:, :, place][batch.mask[block]]
            check_range(pixels, unit, f"band {band!r}")


def _wanted(spec: EncoderSpec, band: ReadBand, own: str | None) -> str | None:
    wanted = own or spec.pixel_unit
    if wanted is None and band.common_name in RADAR:
        # power and decibels are not in proportion, so standardising does not make them alike
        return "sigma0_db"
    return wanted


def _check_told(told: Mapping[str, str], chips: ChipSource) -> None:
    strangers = [band for band in told if band not in chips.bands]
    if strangers:
        text = "units= names bands that the chips do not have."
        raise EncoderError(explain(text, where=strangers, rule=f"the chips have {', '.join(chips.bands)}"))
    for unit in told.values():
        find_unit(unit, argument="units")
    if chips.pixel_unit in _UNDECLARED:
        return
    others = [band for band, unit in told.items() if unit != chips.pixel_unit]
    if others:
        what = ", ".join(f"{band} {told[band]}" for band in others)
        raise EncoderError(
            explain(
                f"units= says {what}, and the chips say that every band is {chips.pixel_unit}.",
                rule="one of the two is wrong",
                fix="make the chips with pixel_unit='dn' where their bands are in several units",
            )
        )


def _becomes_picture(unit: str | None, wanted: str | None) -> bool:
    return wanted == "uint8" and unit is not None and PIXEL_UNITS[unit].quantity == "reflectance"


def _check_leads(spec: EncoderSpec, unit: str, wanted: str, white: float | None) -> None:
    """Refuse a unit that does not lead to the encoder's, with both sides."""
    picture = _becomes_picture(unit, wanted)
    if picture and white is None:
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} reads pictures of 0 to 255, and the chips hold {unit}.",
                rule="no formula says which reflectance is white in a picture",
                fix=f"choose one and report it: ec.Pretrained({spec.name!r}, white=0.3)",
            )
        )
    try:
        to_unit(np.zeros(1, dtype=np.float32), unit, "reflectance" if picture else wanted)
    except ImageryError as cause:
        text = f"Encoder {spec.name!r} reads {wanted}, and the chips hold {unit}. {cause}"
        raise EncoderError(text) from cause
