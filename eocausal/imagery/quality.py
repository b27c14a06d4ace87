"""Quality bands by name: which pixels are cloud, shadow, snow or fill, in three published schemes.

The schemes are data: a flag is a mask of bits and the values under it that carry the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean, one_of
from eocausal.errors import ImageryError, explain

__all__ = ["SCHEMES", "Flag", "Quality", "Scheme", "clear", "flagged"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Flag:
    """A pixel carries the flag when its value under ``mask`` is one of ``values``."""

    mask: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class Scheme:
    """A published quality band.

    Attributes
    ----------
    name : str
    largest : int
        Largest value that the band can hold.
    flags : mapping of str to Flag
    fill : Flag
        Pixels without data: never clear, whatever is dropped.
    drop : tuple of str
        What is dropped when nothing else is asked for.
    source : str
        Who published the bits.
    """

    name: str
    largest: int
    flags: Mapping[str, Flag]
    fill: Flag
    drop: tuple[str, ...]
    source: str


def _bit(position: int) -> Flag:
    return Flag(1 << position, (1 << position,))


def _levels(prefix: str, position: int, names: Sequence[str]) -> dict[str, Flag]:
    """Return the flags of a field of two bits; ``names`` in the order of its values, empty ones reserved."""
    return {
        f"{prefix}_{name}": Flag(3 << position, (value << position,))
        for value, name in enumerate(names)
        if name
    }


def _classes(*names: str) -> dict[str, Flag]:
    return {name: Flag(0xFF, (value,)) for value, name in enumerate(names)}


_LANDSAT = {
    name: _bit(position)
    for position, name in enumerate(
        ("fill", "dilated_cloud", "cirrus", "cloud", "cloud_shadow", "snow", "clear", "water")
    )
}
_LANDSAT |= _levels("cloud_confidence", 8, ("none", "low", "medium", "high"))
_LANDSAT |= _levels("cloud_shadow_confidence", 10, ("none", "low", "", "high"))
_LANDSAT |= _levels("snow_confidence", 12, ("none", "low", "", "high"))
_LANDSAT |= _levels("cirrus_confidence", 14, ("none", "low", "", "high"))

_SCL = _classes(
    "no_data", "saturated_or_defective", "dark_area", "cloud_shadow", "vegetation", "not_vegetated", "water",
    "unclassified", "cloud_medium_probability", "cloud_high_probability", "cirrus", "snow",
)  # fmt: skip
# the name that the other schemes use, for both grades of certainty
_SCL["cloud"] = Flag(0xFF, (8, 9))

_FMASK = {
    name: _bit(position)
    for position, name in enumerate(("cirrus", "cloud", "adjacent_cloud", "cloud_shadow", "snow", "water"))
}
_FMASK |= _levels("aerosol", 6, ("climatology", "low", "moderate", "high"))

_TABLE = (
    Scheme(
        "landsat_qa_pixel", 65_535, MappingProxyType(_LANDSAT), _bit(0),
        ("dilated_cloud", "cirrus", "cloud", "cloud_shadow"),
        "USGS, Landsat 4-9 Collection 2 Level 2 Science Product Guides, QA_PIXEL (cirrus: Landsat 8 and 9 only)",
    ),
    Scheme(
        "sentinel2_scl", 11, MappingProxyType(_SCL), Flag(0xFF, (0,)),
        ("saturated_or_defective", "cloud_shadow", "cloud", "cirrus"),
        "ESA, Sentinel-2 level 2A Algorithm Theoretical Basis Document, scene classification",
    ),
    Scheme(
        "hls_fmask", 255, MappingProxyType(_FMASK), Flag(0xFF, (255,)),
        ("cirrus", "cloud", "adjacent_cloud", "cloud_shadow"),
        "NASA, Harmonized Landsat Sentinel-2 Product User Guide 2.0, Fmask (cirrus: reserved, not set in 2.0)",
    ),
)  # fmt: skip

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _TABLE})
"""Every scheme by its name."""


@dataclass(frozen=True)
class Quality:
    """The quality band of rasters, and which of its flags make a pixel not valid.

    Parameters
    ----------
    band : int or str
        The quality band, by 1-based number or by name.
    scheme : {"landsat_qa_pixel", "sentinel2_scl", "hls_fmask"}
        What the numbers in it mean.
    drop : sequence of str, optional
        Names of flags; pixels that carry one are not valid. Default: clouds, what surrounds them, their
        shadows and cirrus. Fill is dropped in any case.

    Raises
    ------
    ImageryError
        When the scheme or a flag is unknown.

    Examples
    --------
    >>> Quality("QA_PIXEL", scheme="landsat_qa_pixel").drop
    ('dilated_cloud', 'cirrus', 'cloud', 'cloud_shadow')
    """

    band: int | str
    _: KW_ONLY
    scheme: str
    drop: Sequence[str] | None = None

    def __post_init__(self) -> None:
        scheme = find_scheme(self.scheme)
        if isinstance(self.band, bool) or not isinstance(self.band, (int, str)):
            raise ImageryError(
                explain(f"band={self.band!r} is not one band.", rule="a number from 1, or a name")
            )
        chosen = scheme.drop if self.drop is None else _names(self.drop, scheme)
        object.__setattr__(self, "drop", chosen)

    def clear(self, values: npt.NDArray[Any]) -> Bools:
        """Return which pixels of the band are clear: :func:`clear` with these settings."""
        return clear(values, self.scheme, drop=self.drop)

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {"band": self.band, "scheme": self.scheme, "drop": list(self.drop or ())}


def find_scheme(name: str) -> Scheme:
    """Return the scheme of that name, or raise ImageryError with the nearest name."""
    return SCHEMES[one_of(name, list(SCHEMES), argument="scheme", error=ImageryError)]


def clear(quality: npt.NDArray[Any], scheme: str, *, drop: Sequence[str] | None = None) -> Bools:
    """Return which pixels are clear: not fill, and none of the flags to drop.

    Parameters
    ----------
    quality : numpy.ndarray
        Values of the quality band, any shape: whole numbers, or floats with NaN where nothing was read.
    scheme : str
        One of :data:`SCHEMES`.
    drop : sequence of str, optional
        Names of flags, as for :class:`Quality`.

    Returns
    -------
    numpy.ndarray
        bool, the same shape; False for NaN.

    Raises
    ------
    ImageryError
        When a name is unknown, or values are not those of the scheme.

    Examples
    --------
    Clear land, cloud, and fill of Landsat:

    >>> clear(np.array([21824, 22280, 1]), "landsat_qa_pixel").tolist()
    [True, False, False]
    """
    known = find_scheme(scheme)
    names = known.drop if drop is None else _names(drop, known)
    numbers, read = _whole(quality, known)
    found = read & ~_match(numbers, known.fill)
    for name in names:
        found &= ~_match(numbers, known.flags[name])
    return found


def flagged(quality: npt.NDArray[Any], scheme: str, flag: str) -> Bools:
    """Return which pixels carry one flag; False for NaN.

    Examples
    --------
    >>> flagged(np.array([8, 9, 4]), "sentinel2_scl", "cloud").tolist()
    [True, True, False]
    """
    known = find_scheme(scheme)
    (name,) = _names([flag], known)
    numbers, read = _whole(quality, known)
    return read & _match(numbers, known.flags[name])


def _match(numbers: npt.NDArray[np.int64], flag: Flag) -> Bools:
    return np.isin(numbers & flag.mask, flag.values)


def _names(drop: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    if isinstance(drop, str):
        raise ImageryError(explain("drop is text, not a list of names.", fix=f"drop=[{drop!r}]"))
    for name in drop:
        if name not in scheme.flags:
            raise ImageryError(
                explain(
                    f"{scheme.name!r} has no flag {name!r}.", fix=did_you_mean(str(name), list(scheme.flags))
                )
            )
    return tuple(dict.fromkeys(drop))


def _whole(quality: npt.NDArray[Any], scheme: Scheme) -> tuple[npt.NDArray[np.int64], Bools]:
    """Return the values as whole numbers, and which were read; refuse what is not of the scheme."""
    values = np.asarray(quality)
    read = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=bool)
    known = np.where(read, values, 0)
    if values.dtype.kind not in "iuf" or (known != np.trunc(known)).any():
        odd = known[known != np.trunc(known)] if values.dtype.kind == "f" else []
        raise ImageryError(
            explain(
                "The quality band holds values that are not whole numbers, so it has been interpolated.",
                where=[f"{value:g}" for value in odd],
                fix="Resample quality bands by nearest neighbour: gdalwarp -r near",
            )
        )
    strange = (known < 0) | (known > scheme.largest)
    if strange.any():
        raise ImageryError(
            explain(
                f"The quality band holds values that {scheme.name!r} does not have.",
                where=np.unique(known[strange]).tolist(),
                rule=f"0 to {scheme.largest}",
                fix="Check band= and scheme= of the quality band.",
            )
        )
    return known.astype(np.int64), read
