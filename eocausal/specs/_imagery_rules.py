"""Rules that tie fields of pictures together: what goes with which source, days, sizes, frames, clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from eocausal.specs._fields import POLYGON, TAGS, is_address
from eocausal.specs._periods import EACH, length_of, period_of

__all__ = ["IMAGERY_RULES", "Place", "Rule", "given", "inner", "listed"]

Place = tuple[str | int, ...]
Found = Iterator[tuple[Place, str]]
Rule = Callable[[Mapping[str, Any]], Found]

SOURCES = ("rasters", "cube", "stac", "arrays", "store")
_FILES = ("rasters", "cube")
_CUT = ("rasters", "cube", "stac")
_PIXELS = (*_CUT, "arrays")
# The sources that a field says something of; fields that are not named here go with all.
_SOURCES_OF = {
    "keys": ("arrays",),
    "axes": ("arrays",),
    "nodata": ("arrays",),
    "pattern": ("rasters",),
    "sensor": _FILES,
    "remote": ("rasters", "stac"),
    "frames": _CUT,
    "quality": _FILES,
    "cloud_model": _CUT,
    "size_px": _FILES,
    "size_m": _PIXELS,
    "bands": _PIXELS,
    "date": (*_FILES, "arrays"),
    "pixel_unit": _PIXELS,
    "convert_to": _PIXELS,
    "offset_applied": _PIXELS,
}


def given(block: Mapping[str, Any], *names: str) -> list[str]:
    """Return those of the named fields that are written down and are not null."""
    return [name for name in names if block.get(name) is not None]


def inner(block: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a block inside a block; an empty one when there is none."""
    found = block.get(name)
    return found if isinstance(found, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """Return a value, or the values of a list, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _imagery_rules(block: Mapping[str, Any]) -> Found:
    sources = given(block, *SOURCES)
    for other in sources[1:]:
        yield (other,), f"{sources[0]} and {other} are both given. Keep one"
    if not sources:
        yield (), "no source is given. Name what the pictures come from: rasters, cube, stac, arrays or store"
    if len(sources) == 1:
        yield from _source_rules(block, sources[0])
    for first, second in (("size_m", "size_px"), ("quality", "cloud_model")):
        if given(block, first) and given(block, second):
            yield (second,), f"{first} and {second} are both given. Keep one"
    if given(block, "convert_to", "offset_applied") and not given(block, "pixel_unit"):
        yield (), "convert_to and offset_applied need pixel_unit. Say what the stored pixels are"
    yield from _network_rules(block)
    yield from _size_rules(block)
    yield from _cloud_rules(block)


def _source_rules(block: Mapping[str, Any], source: str) -> Found:
    """Tell fields that do not go with the source, and those that it needs."""
    for name, sources in _SOURCES_OF.items():
        if given(block, name) and source not in sources:
            yield (name,), f"{name} belongs to {_and(sources)}, not to {source}. Leave it out"
    if source in _CUT and not given(block, "size_m", "size_px"):
        pixels = " or size_px (pixels)" if source in _FILES else ""
        yield (), f"chips cut from {source} need a size. Give size_m (metres){pixels}"
    if source == "rasters":
        yield from _day_rules(block)
    elif block.get("date") == TAGS:
        yield ("date",), "tags are those of rasters. Write the day, or leave it out"
    if source == "arrays":
        yield from _array_rules(block)
    if source == "stac":
        yield from _stac_rules(block)


def _stac_rules(block: Mapping[str, Any]) -> Found:
    preset = inner(block, "stac").get("preset")
    told = ("pixel_unit", "convert_to", "offset_applied", "cloud_model")
    for name in given(block, *told) if preset is not None else ():
        yield (name,), f"the preset {preset} says what pixels are and which are clear. Leave {name} out"
    if preset is None and not given(block, "bands"):
        yield (
            ("stac",),
            "neither a preset nor bands are named. Write preset: sentinel-2-l2a, or bands: [red]",
        )
    if any(isinstance(band, int) for band in listed(block.get("bands"))):
        yield ("bands",), "bands of a catalogue are named, such as [red, nir]"
    if POLYGON in listed(block.get("size_m")):
        yield ("size_m",), "scenes are searched within metres of the units. Give size_m in metres"


def _network_rules(block: Mapping[str, Any]) -> Found:
    """Tell addresses on servers, which are read only where that is allowed."""
    if block.get("remote"):
        return
    text = "an address on a server, and the network is not read unasked. Add remote: true to imagery"
    for index, raster in enumerate(listed(block.get("rasters"))):
        if is_address(raster):
            yield ("rasters", index), text
    if is_address(inner(block, "stac").get("catalog")):
        yield ("stac", "catalog"), text


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _array_rules(block: Mapping[str, Any]) -> Found:
    sizes = listed(block.get("size_m"))
    if len(sizes) > 1 or POLYGON in sizes:
        yield ("size_m",), "chips in arrays have one size. Give the side they have, or leave it out"
    if not given(block, "keys"):
        yield (), "chips in arrays need keys. Name the array in the file that holds them"
    if any(isinstance(band, int) for band in listed(block.get("bands"))):
        yield ("bands",), "bands of arrays are named, not chosen, such as [red, green, blue]"


def _day_rules(block: Mapping[str, Any]) -> Found:
    """Tell days and sensors of rasters that are said twice, or not at all."""
    pattern = block.get("pattern")
    said = [name for name in ("date", "sensor") if isinstance(pattern, str) and f"{{{name}" in pattern]
    for name in given(block, *said):
        yield (name,), f"{name} and {{{name}}} in pattern both say it. Keep one"
    if isinstance(pattern, str) and not said:
        text = "pattern does not say where {date:...} or {sensor} are. Write it such as LE07_*_{date:%Y%m%d}*"
        yield ("pattern",), text
    if given(block, "frames") and not given(block, "date") and "date" not in said:
        text = "frames need the day of each raster. Say date: tags, or pattern: '*_{date:%Y%m%d}*'"
        yield ("frames",), text


def _size_rules(block: Mapping[str, Any]) -> Found:
    sizes = [*listed(block.get("size_m")), *listed(block.get("size_px"))]
    sides = listed(block.get("resample_px"))
    if POLYGON in sizes and len(sizes) > 1:
        yield ("size_m",), "polygon stands alone. Leave out the other sizes"
    if sizes and len(sides) > 1 and len(sides) != len(sizes):
        text = f"{len(sides)} sides for {len(sizes)} sizes. Give one number, or one for each size"
        yield ("resample_px",), text


def _cloud_rules(block: Mapping[str, Any]) -> Found:
    """Tell bands that the cloud model reads and that are not handed out."""
    bands = listed(block.get("bands"))
    read = listed(inner(block, "cloud_model").get("bands", ["red", "green", "nir"]))
    if (
        not given(block, "cloud_model")
        or not bands
        or not all(isinstance(band, str) for band in bands + read)
    ):
        return
    absent = [band for band in read if band not in bands]
    if absent:
        text = f"the cloud model reads {', '.join(absent)}, which bands does not hold. Add them to bands"
        yield ("cloud_model",), text


def _cloud_model_rules(block: Mapping[str, Any]) -> Found:
    bands = block.get("bands")
    if isinstance(bands, list | tuple) and len(bands) != 3:
        yield ("bands",), f"the model reads red, green and near infrared, not {len(bands)} bands. Name three"


def _frames_rules(block: Mapping[str, Any]) -> Found:
    windows, before = listed(block.get("windows")), block.get("before")
    if given(block, "windows") and before is not None:
        yield ("before",), "windows and before are both given. Keep one"
    elif not given(block, "windows", "before"):
        yield (
            (),
            "neither windows nor before is given. Write windows: [2005, 2006], windows: each, or before: 3Y",
        )
    for name in given(block, "every", "otherwise"):
        if before is None:
            yield (name,), f"{name} goes with before. Leave it out"
    if EACH in windows and len(windows) > 1:
        yield ("windows",), "each stands alone. Leave out the periods"
    yield from _order_rules(windows)
    yield from _step_rules(before, block.get("every"))


def _order_rules(windows: list[Any]) -> Found:
    days = [period_of(str(text)) for text in windows]
    for place, (one, other) in enumerate(pairwise(days), start=1):
        if one is not None and other is not None and other[0] <= one[1]:
            text = f"{windows[place]} begins before {windows[place - 1]} has ended. Write periods in order of time"
            yield ("windows", place), text


def _step_rules(before: Any, every: Any) -> Found:
    if not isinstance(before, str) or not isinstance(every, str):
        return
    whole, step = length_of(before), length_of(every)
    if whole is None or step is None:
        return
    if whole[1] != step[1] or whole[0] % step[0]:
        yield (
            ("every",),
            f"{before} cannot be parted by {every}. Write a length that goes into it a whole number of times",
        )


IMAGERY_RULES: dict[str, Rule] = {
    "CloudModelSpec": _cloud_model_rules,
    "FramesSpec": _frames_rules,
    "ImagerySpec": _imagery_rules,
}
