"""Names of bands: what each sensor calls them, and which bands of chips an encoder is given.

An encoder wants bands by common name (``red``); chips call them what their files do (``B04``, ``SR_B4``). A name
that is another band with another sensor (``B4`` is red with Landsat 8 and near infrared with Landsat 5) is never
guessed: only where no other sensor has all the names that the chips have is it known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from eocausal._checks import one_of
from eocausal.errors import EncoderError, explain

__all__ = ["ALIASES", "SENSORS", "check_sensor", "common_names", "match_bands", "meanings"]


def _landsat(numbers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: (f"B{number}", f"SR_B{number}") for name, number in numbers.items()}


_S2 = {
    "coastal": ("B01", "B1"), "blue": ("B02", "B2"), "green": ("B03", "B3"), "red": ("B04", "B4"),
    "rededge1": ("B05", "B5"), "rededge2": ("B06", "B6"), "rededge3": ("B07", "B7"), "nir": ("B08", "B8"),
    "nir08": ("B8A",), "nir09": ("B09", "B9"), "cirrus": ("B10",), "swir16": ("B11",), "swir22": ("B12",),
}  # fmt: skip
_TM = _landsat({"blue": "1", "green": "2", "red": "3", "nir08": "4", "swir16": "5", "swir22": "7"})
_OLI = _landsat(
    {"coastal": "1", "blue": "2", "green": "3", "red": "4", "nir08": "5", "swir16": "6", "swir22": "7"}
)
_HLS = ("blue", "green", "red", "nir08", "swir16", "swir22")

SENSORS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sentinel-2-l1c": _S2,
        "sentinel-2-l2a": {name: names for name, names in _S2.items() if name != "cirrus"},
        "landsat-tm": {**_TM, "lwir": ("B6", "ST_B6")},
        "landsat-etm": {**_TM, "lwir": ("B6", "ST_B6"), "pan": ("B8",)},
        "landsat-oli": {
            **_OLI, "pan": ("B8",), "cirrus": ("B9",), "lwir11": ("B10", "ST_B10"), "lwir12": ("B11",),
        },
        # what every Landsat from 4 on has in its surface reflectance
        "landsat": dict.fromkeys(_HLS, ()),
        "hls": {"blue": ("B02",), "green": ("B03",), "red": ("B04",), "nir08": (), "swir16": (), "swir22": ()},
        # numbered as Landsat 8 and written as Sentinel-2: B05 is near infrared here and red edge there
        "hls-l30": {
            "coastal": ("B01",), "blue": ("B02",), "green": ("B03",), "red": ("B04",), "nir08": ("B05",),
            "swir16": ("B06",), "swir22": ("B07",), "cirrus": ("B09",), "lwir11": ("B10",), "lwir12": ("B11",),
        },
        "sentinel-1": {"vv": ("VV",), "vh": ("VH",)},
        "rgb": {"red": ("R",), "green": ("G",), "blue": ("B",)},
    }
)  # fmt: skip
"""Sensors by name, each with its bands; ``landsat`` and ``sentinel-2-l2a`` are what filters mostly ask for."""


def _aliases() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for sensor in SENSORS.values():
        for common, names in sensor.items():
            for name in (common, *names):
                found.setdefault(name.lower(), set()).add(common)
    return {name: frozenset(commons) for name, commons in found.items()}


ALIASES: Mapping[str, frozenset[str]] = MappingProxyType(_aliases())
"""Name of a band, in small letters, to the common names that it may stand for."""


_OWN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        sensor: {name.lower(): common for common, names in bands.items() for name in names}
        for sensor, bands in SENSORS.items()
    }
)
# radar is stacked on bands of light without any doubt about either
_BESIDE = frozenset(_OWN["sentinel-1"])


def meanings(given: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the common names that each band of chips may stand for, in view of all of them; none where not known.

    Examples
    --------
    >>> sorted(meanings(["B11"])["B11"]), sorted(meanings(["B08", "B11"])["B11"])
    (['lwir12', 'swir16'], ['swir16'])
    """
    bands = list(given)
    own = {band.lower() for band in bands if any(band.lower() in names for names in _OWN.values())} - _BESIDE
    sensors = [names for names in _OWN.values() if own <= set(names)]
    found = {}
    for band in bands:
        name = band.lower()
        together = frozenset(names[name] for names in sensors if name in names)
        found[band] = together or ALIASES.get(name, frozenset())
    return found


def check_sensor(name: str) -> str:
    """Return the name of a sensor; ``sentinel-2`` stands for its level 2A."""
    return one_of(
        {"sentinel-2": "sentinel-2-l2a"}.get(name, name), tuple(SENSORS), argument="bands", error=EncoderError
    )


def common_names(bands: str | Iterable[str]) -> frozenset[str]:
    """Return the common names that bands may stand for, or those of a sensor that is named.

    Examples
    --------
    >>> sorted(common_names(["B02", "red"]))
    ['blue', 'red']
    >>> sorted(common_names("sentinel-1"))
    ['vh', 'vv']
    """
    if isinstance(bands, str):
        return frozenset(SENSORS[check_sensor(bands)])
    names = [str(band).lower() for band in bands]
    return frozenset(common for name in names for common in ALIASES.get(name, {name}))


def match_bands(
    wanted: Sequence[tuple[str, str]],
    given: Sequence[str],
    *,
    encoder: str,
    named: Mapping[str, str] | None = None,
) -> tuple[int, ...]:
    """Return which band of the chips stands for each band of an encoder.

    Parameters
    ----------
    wanted : sequence of (name, common name)
        Bands of the encoder in its order.
    given : sequence of str
        Bands of the chips.
    encoder : str
        Its name, for the error.
    named : mapping, optional
        Name or common name of a band of the encoder to that of a band of the chips, where names do not tell.

    Returns
    -------
    tuple of int
        Positions among ``given``, in the order of ``wanted``.

    Raises
    ------
    EncoderError
        When bands are missing or could be two different ones, with both sides.

    Examples
    --------
    >>> match_bands([("R", "red"), ("B", "blue")], ["B02", "B03", "B04"], encoder="mine")
    (2, 0)
    """
    named = {} if named is None else dict(named)
    known = {word for pair in wanted for word in pair}
    strangers = [word for word in named if word not in known]
    absent = [band for band in named.values() if band not in given]
    if strangers or absent:
        what = f"bands={named} does not join bands of {encoder!r} with bands of the chips."
        raise EncoderError(
            explain(what, where=[*strangers, *absent], rule=_both_sides(encoder, wanted, given))
        )
    meant = {band.lower(): commons for band, commons in meanings(given).items()}
    found = [_position(name, common, given, named, meant) for name, common in wanted]
    lacking = [common for (_, common), place in zip(wanted, found) if place is None]
    if lacking:
        doubtful = [band for band in given if len(meant[band.lower()]) > 1]
        why = f" {', '.join(doubtful)} are other bands with other sensors." if doubtful else ""
        raise EncoderError(
            explain(
                f"Encoder {encoder!r} needs bands that the chips do not name.{why}",
                where=lacking,
                rule=_both_sides(encoder, wanted, given),
                fix=f"say which they are: bands={{{lacking[0]!r}: {given[0]!r}, ...}}",
            )
        )
    places = tuple(place for place in found if place is not None)
    if len(set(places)) < len(places):
        what = f"One band of the chips would stand for several of {encoder!r}."
        raise EncoderError(
            explain(what, where=[given[p] for p in places], rule="each band once; none is repeated")
        )
    return places


def _position(
    name: str,
    common: str,
    given: Sequence[str],
    named: Mapping[str, str],
    meant: Mapping[str, frozenset[str]],
) -> int | None:
    """Return where a band stands among those given: as told, by common name, or by a name of only one band."""
    told = named.get(name, named.get(common))
    if told is not None:
        return list(given).index(told)
    lower = [band.lower() for band in given]
    for word in (common, name):
        # the encoder's own name counts only where it is no other band with another sensor
        if word.lower() in lower and meant[word.lower()] <= {common}:
            return lower.index(word.lower())
    same = [place for place, band in enumerate(lower) if meant[band] == frozenset({common})]
    return same[0] if len(same) == 1 else None


def _both_sides(encoder: str, wanted: Sequence[tuple[str, str]], given: Sequence[str]) -> str:
    return f"{encoder!r} reads {', '.join(common for _, common in wanted)}; the chips have {', '.join(given)}"
