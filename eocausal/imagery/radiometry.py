"""What a pixel value is: units with their published formula, conversions, and a check of range.

The units are data, not code: one row of :data:`PIXEL_UNITS` each, and
``quantity = scale * decode(pixel + shift) + add``, where ``decode`` is the name of a curve in :data:`CURVES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.errors import ImageryError, explain

__all__ = [
    "BY_SCENE",
    "CURVES",
    "PIXEL_UNITS",
    "PixelUnit",
    "Radiometry",
    "check_range",
    "find_unit",
    "to_unit",
    "units_that_fit",
]

Floats = npt.NDArray[Any]
Range = tuple[float, float]

BY_SCENE = "scene"
"""The word for an offset that each scene tells of itself."""

# Percentiles are taken of so many pixels at most, evenly spaced: their place does not need more.
_LARGEST_SAMPLE = 1_000_000


def _as_stored(pixels: Floats) -> Floats:
    return pixels


def _signed_square(pixels: Floats) -> Floats:
    return pixels * np.abs(pixels)


CURVES: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"linear": _as_stored, "signed_square": _signed_square}
)
"""How stored numbers follow the quantity: in proportion, or as its signed square root. Only units that nothing
is converted to have a curve other than ``linear``, so no inverse is needed."""


@dataclass(frozen=True)
class PixelUnit:
    """What a pixel value means, and where its values plausibly lie.

    Attributes
    ----------
    name : str
    meaning : str
    quantity : str
        The physical quantity: units convert only within one. Empty where there is none.
    scale, add : float
        ``quantity = scale * decode(pixel + shift) + add``.
    shift : float
        Added to the pixel first, unless the provider did so already; 0 where there is none.
    decode : str
        Name of the curve in :data:`CURVES`.
    encoded : bool
        Whether the unit is how one archive stores the quantity: it can be read, but nothing is converted to it.
    fill : float or None
        Value that the product reserves for pixels without data.
    first, last : (float, float) or None
        Plausible ranges of the 1st and of the 99th percentile; None is never checked.
    source : str
        Who published scale and offset.
    """

    name: str
    meaning: str
    quantity: str = ""
    scale: float = 1.0
    add: float = 0.0
    shift: float = 0.0
    decode: str = "linear"
    encoded: bool = False
    fill: float | None = None
    first: Range | None = None
    last: Range | None = None
    source: str = "by definition"


_S2 = (
    "ESA, Sentinel-2 Products Specification Document: QUANTIFICATION_VALUE 10000 and, from processing baseline "
    "04.00 (2022-01-25), {} of -1000"
)
_C2 = "USGS, Landsat Collection 2 Level-2 Science Product Guide"
_AEF = "Google, AlphaEarth Foundations Satellite Embedding V1, notes on the GeoTIFF files"
# Reflectance of land: the darkest percent is not all bright, the brightest percent is not black, and cloud,
# snow and glint stay below 2. In tens of thousands the same, in Landsat's numbers the same.
_TABLE = (
    PixelUnit(
        "s2_l1c_dn", "Sentinel-2 level 1C, top-of-atmosphere reflectance as stored",
        "reflectance", 1e-4, shift=-1000.0, encoded=True, fill=0.0,
        first=(-300.0, 6500.0), last=(400.0, 20_000.0), source=_S2.format("RADIO_ADD_OFFSET"),
    ),
    PixelUnit(
        "s2_l2a_dn", "Sentinel-2 level 2A, surface reflectance as stored",
        "reflectance", 1e-4, shift=-1000.0, encoded=True, fill=0.0,
        first=(-300.0, 6500.0), last=(400.0, 20_000.0), source=_S2.format("BOA_ADD_OFFSET"),
    ),
    PixelUnit(
        "reflectance", "reflectance, 1 = all light", "reflectance", first=(-0.1, 0.65), last=(0.04, 2.0),
    ),
    PixelUnit(
        "reflectance_x10000", "reflectance times 10,000", "reflectance", 1e-4,
        first=(-1000.0, 6500.0), last=(400.0, 20_000.0),
    ),
    PixelUnit(
        "landsat_c2_dn", "Landsat Collection 2 level 2, surface reflectance as stored",
        "reflectance", 2.75e-5, -0.2, encoded=True, fill=0.0,
        first=(5000.0, 30_910.0), last=(8700.0, 65_535.0), source=_C2,
    ),
    PixelUnit(
        "landsat_c2_st_dn", "Landsat Collection 2 level 2, surface temperature as stored",
        "temperature", 0.00341802, 149.0, encoded=True, fill=0.0,
        first=(14_921.0, 57_343.0), last=(26_624.0, 61_732.0), source=_C2,
    ),
    PixelUnit("kelvin", "temperature in kelvin", "temperature", first=(200.0, 345.0), last=(240.0, 360.0)),
    PixelUnit("uint8", "brightness of a picture, 0 to 255", first=(0.0, 255.0), last=(2.0, 255.0)),
    PixelUnit("sigma0_db", "radar backscatter, decibels", first=(-60.0, -1.0), last=(-40.0, 40.0)),
    # Components of a vector have either sign: the lowest of all bands is negative, the highest positive.
    PixelUnit(
        "alphaearth_int8", "AlphaEarth annual embedding as stored, -127 to 127",
        "embedding", 1 / 127.5**2, decode="signed_square", encoded=True, fill=-128.0,
        first=(-127.0, -5.0), last=(5.0, 127.0), source=_AEF,
    ),
    PixelUnit(
        "unit_vector", "embedding, whose squares add up to 1 over all bands", "embedding",
        first=(-1.0, -0.0015), last=(0.0015, 1.0),
    ),
    PixelUnit("dn", "numbers without a declared meaning: never checked, never converted"),
)  # fmt: skip

PIXEL_UNITS: Mapping[str, PixelUnit] = MappingProxyType({unit.name: unit for unit in _TABLE})
"""Every unit by its name."""


@dataclass(frozen=True)
class Radiometry:
    """What the pixels are, and what they are to become.

    Parameters
    ----------
    unit : str
        What a pixel value is: one of ``s2_l1c_dn``, ``s2_l2a_dn``, ``reflectance``, ``reflectance_x10000``,
        ``landsat_c2_dn``, ``landsat_c2_st_dn``, ``kelvin``, ``uint8``, ``sigma0_db``, ``alphaearth_int8``,
        ``unit_vector`` or ``dn``.
    convert_to : str, optional
        Unit that pixels are handed out in, by the published formula; default as they are.
    offset_applied : bool or "scene", optional
        Sentinel-2 only, and needed to convert: True when there is nothing to subtract (processing baselines
        before 04.00, and catalogues that harmonise), False when pixels still carry the 1,000 that
        products have had since baseline 04.00 (25 January 2022). ``"scene"``: as each scene says, for scenes
        that do, as those of ``stac_scenes``.

    Raises
    ------
    ImageryError
        When a unit is unknown, no formula leads from one to the other, or it is not said whether the offset
        was applied.

    Examples
    --------
    >>> Radiometry("landsat_c2_dn", convert_to="reflectance").given_out
    'reflectance'
    """

    unit: str
    _: KW_ONLY
    convert_to: str | None = None
    offset_applied: bool | str | None = None

    def __post_init__(self) -> None:
        find_unit(self.unit)
        _check_offset(self.unit, self.offset_applied)
        if self.convert_to is not None:
            _check_convertible(self.unit, self.convert_to, self.offset_applied)

    @property
    def given_out(self) -> str:
        """Name of the unit that pixels are handed out in."""
        return self.convert_to or self.unit

    @property
    def subtracted(self) -> float:
        """What is added to a stored pixel before it is scaled: the offset in the source's own numbers.

        NaN where each scene has its own.
        """
        if self.offset_applied == BY_SCENE:
            return float("nan")
        return PIXEL_UNITS[self.unit].shift if self.offset_applied is False else 0.0

    def convert(self, pixels: Floats) -> Floats:
        """Return the pixels in the unit asked for; the same array when there is nothing to convert."""
        if self.given_out == self.unit:
            return pixels
        if isinstance(self.offset_applied, str):
            rule = "scenes tell by themselves, as those of stac_scenes do; other pixels do not"
            fix = "offset_applied=True or offset_applied=False"
            text = f"offset_applied={BY_SCENE!r}, but these pixels are of no scene."
            raise ImageryError(explain(text, rule=rule, fix=fix))
        return to_unit(pixels, self.unit, self.given_out, offset_applied=self.offset_applied)

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {"unit": self.unit, "convert_to": self.convert_to, "offset_applied": self.offset_applied}


def find_unit(name: str, *, argument: str = "pixel_unit") -> PixelUnit:
    """Return the unit of that name, or raise ImageryError with the nearest name.

    Examples
    --------
    >>> find_unit("landsat_c2_dn").scale
    2.75e-05
    """
    return PIXEL_UNITS[one_of(name, list(PIXEL_UNITS), argument=argument, error=ImageryError)]


def to_unit(pixels: Floats, source: str, target: str, *, offset_applied: bool | None = None) -> Floats:
    """Convert pixels from one unit to another by the published formula.

    Parameters
    ----------
    pixels : numpy.ndarray
        Any shape. NaN stays NaN; nothing is clipped, so dark pixels may become slightly negative.
    source, target : str
        Names of units.
    offset_applied : bool, optional
        Sentinel-2 only, as for :class:`Radiometry`.

    Returns
    -------
    numpy.ndarray
        A new array of floats, float32 stays float32.

    Raises
    ------
    ImageryError
        When no published formula leads from ``source`` to ``target``.

    Examples
    --------
    >>> to_unit(np.array([7273.0, 43636.0]), "landsat_c2_dn", "reflectance").round(4).tolist()
    [0.0, 1.0]
    >>> to_unit(np.array([1000.0, 4000.0]), "s2_l2a_dn", "reflectance", offset_applied=False).tolist()
    [0.0, 0.3]
    """
    start, end = find_unit(source, argument="source"), find_unit(target, argument="target")
    _check_offset(source, offset_applied)
    _check_convertible(source, target, offset_applied)
    kind = pixels.dtype if np.issubdtype(pixels.dtype, np.floating) else np.dtype(float)
    if source == target:
        return np.array(pixels, dtype=kind)
    shift = start.shift if offset_applied is False else 0.0
    # float64 in between: float32 cannot hold scale * pixel to the last digit that matters.
    quantity = start.scale * CURVES[start.decode](np.asarray(pixels, dtype=float) + shift) + start.add
    converted: Floats = ((quantity - end.add) / end.scale).astype(kind)
    return converted


def check_range(pixels: Floats, unit: str, name: str, *, offset_applied: bool | str | None = None) -> None:
    """Refuse pixels whose 1st to 99th percentile does not fit their declared unit.

    Parameters
    ----------
    pixels : numpy.ndarray
        A sample of the source, NaN where not valid; without a valid pixel there is nothing to check.
    unit : str
        The declared unit.
    name : str
        What the source is called in the error.
    offset_applied : bool, optional
        As for :class:`Radiometry`.

    Raises
    ------
    ImageryError
        With both ranges and the units that would fit.

    Examples
    --------
    >>> check_range(np.array([0.05, 0.31]), "reflectance", "scene.tif")
    """
    declared = find_unit(unit)
    ends = _percentiles(pixels)
    if ends is None or _fits(ends, declared, offset_applied):
        return
    first, last = _ranges(declared, offset_applied)
    fitting = units_that_fit(pixels)
    fix = f"Declare pixel_unit={fitting[0]!r}" if fitting else "Declare pixel_unit='dn' (never checked)"
    others = f" or {', '.join(repr(one) for one in fitting[1:])}" if fitting[1:] else ""
    if unit in fitting and offset_applied is False:
        fix, others = "Say offset_applied=True: the offset of -1000 seems to be applied already", ""
    raise ImageryError(
        explain(
            f"Pixels of {name} are not {unit}: their 1st to 99th percentile is {ends[0]:.5g} to {ends[1]:.5g}.",
            rule=f"{unit} ({declared.meaning}) has a 1st percentile of {first[0]:g} to {first[1]:g} and a 99th "
            f"of {last[0]:g} to {last[1]:g}",
            fix=f"{fix}{others}. Look for fill values and clouds among the pixels if the unit is right.",
        )
    )


def units_that_fit(pixels: Floats) -> list[str]:
    """Return the names of the checked units that the 1st to 99th percentile of pixels fits.

    Examples
    --------
    >>> units_that_fit(np.array([7400.0, 18_000.0]))
    ['landsat_c2_dn']
    """
    ends = _percentiles(pixels)
    if ends is None:
        return []
    return [unit.name for unit in PIXEL_UNITS.values() if unit.first is not None and _fits(ends, unit, None)]


def _percentiles(pixels: Floats) -> Range | None:
    values = np.asarray(pixels).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    # By position and not at random, so that the same pixels give the same answer.
    step = -(-values.size // _LARGEST_SAMPLE)
    first, last = np.percentile(values[::step], [1, 99]).tolist()
    return first, last


def _ranges(unit: PixelUnit, offset_applied: bool | str | None) -> tuple[Range, Range]:
    """Return the plausible ranges in the numbers as stored: an offset that is still in moves them."""
    infinite = (-np.inf, np.inf)
    moved = -unit.shift if offset_applied is False else 0.0
    first, last = unit.first or infinite, unit.last or infinite
    return (first[0] + moved, first[1] + moved), (last[0] + moved, last[1] + moved)


def _fits(ends: Range, unit: PixelUnit, offset_applied: bool | str | None) -> bool:
    return all(
        low <= end <= high for end, (low, high) in zip(ends, _ranges(unit, offset_applied), strict=True)
    )


def _check_offset(unit: str, offset_applied: bool | str | None) -> None:
    if offset_applied is None:
        return
    if not isinstance(offset_applied, bool) and offset_applied != BY_SCENE:
        text = f"offset_applied={offset_applied!r} is not True, False or None, nor {BY_SCENE!r}."
        raise ImageryError(explain(text))
    if not PIXEL_UNITS[unit].shift:
        with_offset = [one.name for one in PIXEL_UNITS.values() if one.shift]
        text = f"offset_applied={offset_applied} is given, but {unit!r} has no offset that may be applied already."
        raise ImageryError(explain(text, rule=f"only {', '.join(with_offset)} have one", fix="Leave it out."))


def _check_convertible(source: str, target: str, offset_applied: bool | str | None) -> None:
    start, end = PIXEL_UNITS[source], find_unit(target, argument="convert_to")
    if source == target:
        return
    if not start.quantity or start.quantity != end.quantity or end.encoded:
        possible = [
            unit.name
            for unit in PIXEL_UNITS.values()
            if start.quantity and unit.quantity == start.quantity and not unit.encoded and unit is not start
        ]
        raise ImageryError(
            explain(
                f"No published formula leads from {source!r} to {target!r}.",
                rule=f"{source!r} converts to {', '.join(possible) or 'nothing else'}",
                fix=f"convert_to={possible[0]!r}" if possible else "Leave convert_to out.",
            )
        )
    if start.shift and offset_applied is None:
        raise ImageryError(
            explain(
                f"{source!r} cannot be converted: was its offset of {start.shift:g} applied or not?",
                rule="products of processing baseline 04.00 and later (from 2022-01-25) hold 1,000 more",
                fix="offset_applied=False for these as downloaded; True for earlier ones and harmonised catalogues",
            )
        )
