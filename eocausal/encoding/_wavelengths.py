"""Centres of bands: what common names and names of sensors tell of them, and where that ends.

Encoders that read any bands know each by its wavelength. A wrong one gives numbers without meaning and no error, so
it comes from a name that tells it or from the user, never from a default.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from eocausal._io import hash_content
from eocausal.encoding._bands import SENSORS, meanings
from eocausal.errors import EncoderError, explain

__all__ = [
    "CENTRES", "RADAR", "RANGES", "Range", "ReadBand", "agrees", "bands_of_chips", "check_centres",
    "check_named",
    "silent_bands", "tables_hash",
]  # fmt: skip

RADAR = frozenset({"vv", "vh", "hh", "hv"})
"""Polarisations of radar, which have no wavelength here."""


@dataclass(frozen=True)
class ReadBand:
    """A band that a network is given: its common name, and its centre in micrometres where there is one."""

    common_name: str
    wavelength_um: float | None


@dataclass(frozen=True)
class Range:
    """Where centres of a band lie, micrometres; ``centre`` stands for it where no sensor is known."""

    low: float
    high: float
    centre: float | None


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "coastal": Range(0.40, 0.455, 0.443),
        "blue": Range(0.445, 0.53, 0.487),
        "green": Range(0.51, 0.60, 0.560),
        "yellow": Range(0.58, 0.63, 0.600),
        "red": Range(0.60, 0.70, 0.660),
        "rededge": Range(0.69, 0.80, None),
        "rededge1": Range(0.69, 0.725, 0.704),
        "rededge2": Range(0.725, 0.76, 0.740),
        "rededge3": Range(0.76, 0.80, 0.783),
        "nir": Range(0.75, 0.95, 0.842),
        "nir08": Range(0.75, 0.90, 0.865),
        "nir09": Range(0.90, 1.00, 0.945),
        "cirrus": Range(1.34, 1.41, 1.375),
        "swir16": Range(1.50, 1.75, 1.610),
        "swir22": Range(2.05, 2.40, 2.200),
        "pan": Range(0.45, 0.90, None),
        "lwir": Range(10.0, 13.0, None),
        "lwir_low": Range(10.0, 13.0, 11.450),
        "lwir_high": Range(10.0, 13.0, 11.450),
        "lwir11": Range(10.3, 11.5, 10.895),
        "lwir12": Range(11.5, 12.6, 12.005),
    }
)
"""Common name to its range; a wavelength outside contradicts the name."""

_S2 = {
    "coastal": 0.443, "blue": 0.490, "green": 0.560, "red": 0.665, "rededge1": 0.704, "rededge2": 0.740,
    "rededge3": 0.783, "nir": 0.842, "nir08": 0.865, "nir09": 0.945, "cirrus": 1.375, "swir16": 1.610,
    "swir22": 2.190,
}  # fmt: skip
CENTRES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "sentinel-2-l1c": _S2,
        "sentinel-2-l2a": _S2,
        "landsat-tm": {
            "blue": 0.485, "green": 0.560, "red": 0.660, "nir08": 0.830, "swir16": 1.650, "lwir": 11.450,
            "swir22": 2.215,
        },
        "landsat-etm": {
            "blue": 0.485, "green": 0.560, "red": 0.660, "nir08": 0.835, "swir16": 1.650, "lwir": 11.450,
            "swir22": 2.220, "pan": 0.710,
        },
        "landsat-oli": {
            "coastal": 0.443, "blue": 0.482, "green": 0.561, "red": 0.655, "nir08": 0.865, "swir16": 1.609,
            "swir22": 2.201, "pan": 0.590, "cirrus": 1.373, "lwir11": 10.895, "lwir12": 12.005,
        },
    }
)  # fmt: skip
"""Sensor to the centres of its bands, for names that are a sensor's own (``B8A``)."""

# Sensors that share a name and differ by less than this in its centre are taken for one, at their mean.
_ALIKE_UM = 0.02


def agrees(common: str, wavelength_um: float) -> bool:
    """Whether a wavelength can be that of a band by its common name; names that are not known can be any.

    Examples
    --------
    >>> agrees("red", 0.655), agrees("red", 0.865), agrees("vv", 0.655)
    (True, False, False)
    """
    if common in RADAR:
        return False
    found = RANGES.get(common)
    return found is None or found.low <= wavelength_um <= found.high


def check_named(named: Mapping[str, str], given: Sequence[str], *, encoder: str) -> None:
    """Refuse ``bands=`` (common name to band of the chips) that says of a band what its own name denies.

    Raises
    ------
    EncoderError
        With both sides.

    Examples
    --------
    >>> check_named({"red": "SR_B3", "nir08": "B08", "blue": "x"}, ["SR_B3", "B08", "x"], encoder="mine")
    """
    candidates = _candidates(given)
    for common, band in named.items():
        meant = candidates.get(band)
        if not meant or any(one == common or _near(one, common) for one in meant):
            continue
        raise EncoderError(
            explain(
                f"bands= says that {band!r} is the {common} of {encoder!r}, and its name says {_in_words(meant)}.",
                rule=f"{common} is {_range_in_words(common)}",
                fix="name the band that it is, or give the band of the chips the name of what it is",
            )
        )


def bands_of_chips(
    given: Sequence[str],
    *,
    encoder: str,
    named: Mapping[str, str] | None = None,
    wavelengths: Mapping[str, float] | None = None,
) -> tuple[tuple[int, ReadBand], ...]:
    """Return which bands of chips an encoder of any bands reads, each with its wavelength.

    Parameters
    ----------
    given : sequence of str
        Bands of the chips.
    encoder : str
        Its name, for the error.
    named : mapping, optional
        Common name to band of the chips: these bands are read, in this order; default all.
    wavelengths : mapping, optional
        Band of the chips to its centre in micrometres, where its name does not tell.

    Returns
    -------
    tuple of (int, ReadBand)
        Positions among ``given``, and what stands there.

    Raises
    ------
    EncoderError
        When a wavelength is missing, contradicts a name, or is of no band, with both sides.

    Examples
    --------
    >>> bands_of_chips(["B8A", "VV"], encoder="mine")
    ((0, ReadBand(common_name='nir08', wavelength_um=0.865)), (1, ReadBand(common_name='vv', wavelength_um=None)))
    """
    told = {} if wavelengths is None else dict(wavelengths)
    chosen = {band: common for common, band in (named or {}).items()}
    if len(chosen) < len(named or {}):
        text = f"bands= gives one band of the chips two names for {encoder!r}."
        raise EncoderError(explain(text, where=(named or {}).values(), rule="each band once"))
    meant = {**_candidates(given), **{band: frozenset({common}) for band, common in chosen.items()}}
    _check_told(told, chosen, given, encoder)
    check_named(named or {}, given, encoder=encoder)
    _check_wavelengths(told, meant)
    places = [list(given).index(band) for band in chosen] or list(range(len(given)))
    found = {place: _read(given[place], meant[given[place]], told.get(given[place])) for place in places}
    lacking = [given[place] for place, band in found.items() if band is None]
    if lacking:
        raise EncoderError(
            explain(
                f"Encoder {encoder!r} knows bands by wavelength, and these names do not tell it.",
                where=lacking,
                rule=f"the chips have {', '.join(given)}; a wavelength is never guessed",
                fix=f"wavelengths={{{lacking[0]!r}: <micrometres>, ...}}, or the common name: "
                f'bands={{"red": {lacking[0]!r}, ...}} for every band that is to be read',
            )
        )
    return tuple((place, band) for place, band in found.items() if band is not None)


def silent_bands(given: Sequence[str]) -> tuple[str, ...]:
    """Return the bands whose names do not tell their wavelength.

    Examples
    --------
    >>> silent_bands(["red", "B4", "VV", "slope"])
    ('B4', 'slope')
    """
    return tuple(band for band, commons in _candidates(given).items() if _read(band, commons, None) is None)


def tables_hash() -> str:
    """Return a short hash of the centres that names stand for, which vectors depend on."""
    generic = {common: one.centre for common, one in RANGES.items()}
    return hash_content({"by_sensor": {name: dict(one) for name, one in CENTRES.items()}, "generic": generic})


def _candidates(given: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the common names that each band may be by its name; none where the name is not known."""
    found = meanings(given)
    known = {band: band.lower() for band in given if band.lower() in RANGES or band.lower() in RADAR}
    return {
        band: commons or frozenset({known[band]} if band in known else ()) for band, commons in found.items()
    }


def _near(one: str, other: str) -> bool:
    """Whether two bands by common name overlap so that one may be taken for the other."""
    if {one, other} & RADAR:
        return False
    centre = RANGES[one].centre if one in RANGES else None
    return one not in RANGES or (centre is not None and agrees(other, centre))


def _read(band: str, candidates: frozenset[str], wavelength_um: float | None) -> ReadBand | None:
    """Return what a band of the chips is: as the user says, else by its name; None where that does not tell."""
    if wavelength_um is not None:
        fitting = sorted(one for one in candidates if agrees(one, wavelength_um))
        return ReadBand(fitting[0] if fitting else band.lower(), float(wavelength_um))
    if len(candidates) != 1:
        return None
    (name,) = candidates
    if name in RADAR:
        return ReadBand(name, None)
    centre = _centre(band, name)
    return None if centre is None else ReadBand(name, centre)


def _centre(band: str, common: str) -> float | None:
    """Return the centre of a band whose common name is known: that of the sensors whose own name it is."""
    held = [
        CENTRES[sensor][common]
        for sensor, bands in SENSORS.items()
        if common in CENTRES.get(sensor, ())
        and band.lower() in [own.lower() for own in bands.get(common, ())]
    ]
    if held and max(held) - min(held) <= _ALIKE_UM:
        return round(math.fsum(held) / len(held), 4)
    return RANGES[common].centre if common in RANGES else None


def _check_told(
    told: Mapping[str, float], chosen: Mapping[str, str], given: Sequence[str], encoder: str
) -> None:
    strangers = [band for band in (*told, *chosen) if band not in given]
    if strangers:
        text = f"bands= and wavelengths= of {encoder!r} name bands that the chips do not have."
        raise EncoderError(explain(text, where=strangers, rule=f"the chips have {', '.join(given)}"))


def check_centres(told: Mapping[str, Any]) -> None:
    """Refuse wavelengths that are no numbers in micrometres.

    Examples
    --------
    >>> check_centres({"B4": 0.665})
    """
    for band, wavelength in told.items():
        number = isinstance(wavelength, numbers.Real) and not isinstance(wavelength, bool)
        if not number or not 0.2 <= wavelength <= 20:
            rule = "the centre of the band in micrometres, 0.2 to 20 (0.665, not 665)"
            raise EncoderError(
                explain(f"wavelengths={{{band!r}: {wavelength!r}}} cannot be used.", rule=rule)
            )


def _check_wavelengths(told: Mapping[str, float], meant: Mapping[str, frozenset[str]]) -> None:
    check_centres(told)
    for band, wavelength in told.items():
        if meant[band] and not any(agrees(one, wavelength) for one in meant[band]):
            raise EncoderError(
                explain(
                    f"wavelengths= says that band {band!r} lies at {wavelength:g} micrometres, "
                    f"and its name says {_in_words(meant[band])}.",
                    rule="one of the two is wrong, and the wrong one would go unseen",
                    fix="give the band the name of what it is, or the wavelength that it has",
                )
            )


def _in_words(candidates: frozenset[str]) -> str:
    return " or ".join(f"{one} ({_range_in_words(one)})" for one in sorted(candidates))


def _range_in_words(common: str) -> str:
    if common in RADAR:
        return "radar, without a wavelength"
    found = RANGES.get(common)
    return "a band of its own" if found is None else f"{found.low:g} to {found.high:g} micrometres"
