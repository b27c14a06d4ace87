"""Chips as a specification asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.imagery.arrays import chips_from_arrays
from eocausal.imagery.chips import Chips
from eocausal.imagery.cut import chips
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.units import Units, read_units

if TYPE_CHECKING:
    from eocausal.specs.models import ImagerySpec, UnitsSpec

__all__ = ["asked_chips", "asked_units"]


def asked_units(asked: UnitsSpec) -> Units:
    """Return the units of a specification."""
    return read_units(
        asked.path,
        id=asked.id,
        lon=asked.lon,
        lat=asked.lat,
        crs=asked.crs,
        image_key=asked.image_key,
        date=asked.date,
    )


def asked_chips(asked: ImagerySpec | None, units: Units) -> Chips | None:
    """Return the chips of the imagery block of a specification; None when there is none."""
    if asked is None:
        return None
    date = None if asked.date is None else str(asked.date)
    if asked.arrays is not None:
        return chips_from_arrays(
            units,
            asked.arrays,
            keys=asked.keys,
            axes=asked.axes,
            bands=None if asked.bands is None else [str(band) for band in asked.bands],
            date=date,
            size_m=None if asked.size_m is None else asked.size_m[0],
            nodata=asked.nodata,
            pixel_unit=_radiometry(asked),
        )
    flags = asked.quality
    return chips(
        units,
        list(asked.rasters or ()),
        size_m=None if asked.size_m is None else list(asked.size_m),
        size_px=None if asked.size_px is None else list(asked.size_px),
        bands=None if asked.bands is None else list(asked.bands),
        date=date,
        pixel_unit=_radiometry(asked),
        quality=None if flags is None else Quality(flags.band, scheme=flags.scheme, drop=flags.drop),
    )


def _radiometry(asked: ImagerySpec) -> Radiometry | None:
    if asked.pixel_unit is None:
        return None
    return Radiometry(asked.pixel_unit, convert_to=asked.convert_to, offset_applied=asked.offset_applied)
