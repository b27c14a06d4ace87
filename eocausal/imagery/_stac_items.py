"""What an item of a catalogue says of its scene: day, place, clouds, sensor, offset, assets and their grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eocausal.errors import ImageryError, explain
from eocausal.imagery._stac_catalog import Box, Json, joined
from eocausal.imagery.windows import Lattice

# Sentinel-2 products hold 1,000 more from this baseline on.
OFFSET_BASELINE = 4.0
_HUGE = 1e300


@dataclass(frozen=True)
class Grid:
    """The pixels of an asset: lattice, rows and columns."""

    lattice: Lattice
    height: int
    width: int

    @property
    def pixel(self) -> float:
        """Side of a pixel, in units of the reference system."""
        step = self.lattice
        return float(np.sqrt(abs(step.a * step.e - step.b * step.d)))


@dataclass(frozen=True)
class Item:
    """An item and the address of the document that it stands in."""

    content: Json
    base: str

    @property
    def name(self) -> str:
        """Id of the item."""
        return str(self.content.get("id") or "without id")

    @property
    def collection(self) -> str:
        """Id of its collection, empty where there is none."""
        return str(self.content.get("collection") or "")

    @property
    def said(self) -> Mapping[str, Any]:
        """Properties of the item."""
        said = self.content.get("properties")
        return said if isinstance(said, Mapping) else {}

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        """Assets of the item by key."""
        assets = self.content.get("assets")
        if not isinstance(assets, Mapping):
            return {}
        return {str(key): one for key, one in assets.items() if isinstance(one, Mapping)}


def day_of(item: Item) -> np.datetime64:
    """Return the day that the scene was taken, in UTC as products are named."""
    text = item.said.get("datetime") or item.said.get("start_datetime")
    try:
        stamp = pd.Timestamp(str(text))
        if text and not pd.isna(stamp):
            stamp = stamp.tz_convert("UTC") if stamp.tzinfo else stamp
            return np.datetime64(stamp.date().isoformat())
    except (ValueError, TypeError, OverflowError):
        pass
    text = f"Scene {item.name!r} has no day: its datetime is {text!r}."
    raise ImageryError(explain(text, fix="Mend the item, or leave it out."))


def boxes_of(item: Item) -> list[Box]:
    """Return the bounds of the scene in degrees, two when they cross the 180th meridian."""
    given = item.content.get("bbox")
    numbers = [float(n) for n in given if _is_number(n)] if isinstance(given, list) else []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4:
        points = _points(item.content.get("geometry"))
        if not len(points):
            text = f"Scene {item.name!r} does not say where it is: it has neither bbox nor geometry."
            raise ImageryError(explain(text, fix="Mend the item, or leave it out."))
        numbers = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
    west, south, east, north = numbers
    if west > east:
        return [(west, south, 180.0, north), (-180.0, south, east, north)]
    return [(west, south, east, north)]


def cloud_of(item: Item) -> float | None:
    """Return the share of clouds, 0 to 1, None where the item does not tell it."""
    percent: Any = item.said.get("eo:cloud_cover")
    return float(percent) / 100 if _is_number(percent) else None


def sensor_of(item: Item, names: Sequence[str]) -> str | None:
    """Return the sensor by the first of some properties that the item has."""
    return next((str(item.said[name]).lower() for name in names if item.said.get(name)), None)


def baseline_of(item: Item) -> float | None:
    """Return the processing baseline of a Sentinel-2 scene."""
    for name in ("s2:processing_baseline", "processing:version"):
        text = str(item.said.get(name, "")).strip().lstrip("Nn")
        try:
            return float(text)
        except ValueError:
            continue
    return None


def offset_applied(item: Item, keys: Sequence[str]) -> bool | None:
    """Tell whether there is nothing to subtract from a Sentinel-2 scene, None where the item does not say.

    Before baseline 04.00 there is no offset. After it, what the catalogue says goes first
    (``earthsearch:boa_offset_applied``), then the offset that its bands name, which is left to subtract; where
    neither is said, products are as ESA distributes them, with the offset.
    """
    baseline = baseline_of(item)
    if baseline is not None and baseline < OFFSET_BASELINE:
        return True
    flag = item.said.get("earthsearch:boa_offset_applied")
    if isinstance(flag, bool) and (flag or baseline is not None):
        return flag
    offsets = {offset for key in keys if (offset := _offset(item.assets[key])) is not None}
    if len(offsets) > 1:
        text = f"Bands of scene {item.name!r} name different offsets: {sorted(offsets)}."
        raise ImageryError(explain(text, fix="Mend the item, or leave it out."))
    if offsets:
        return offsets == {0.0}
    return None if baseline is None else False


def _offset(asset: Mapping[str, Any]) -> float | None:
    """Return the offset that an asset says is to be added to its reflectance."""
    for part in (asset, *_band_parts(asset)):
        for name in ("raster:offset", "offset"):
            if _is_number(part.get(name)):
                return float(part[name])
    return None


def asset_key(item: Item, names: Sequence[str]) -> str | None:
    """Return the key of the first asset that has one of some names, as key or as common name of its one band."""
    lower = {key.lower(): key for key in reversed(list(item.assets))}
    for name in names:
        if name in item.assets:
            return name
        if name.lower() in lower:
            return lower[name.lower()]
    for name in names:
        for key, asset in item.assets.items():
            bands = [part for part in _band_parts(asset) if _common(part)]
            if (
                len(bands) == 1
                and _common(bands[0]) == name
                and "thumbnail" not in (asset.get("roles") or ())
            ):
                return key
    return None


def _common(band: Mapping[str, Any]) -> object:
    return band.get("eo:common_name", band.get("common_name"))


def _band_parts(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    lists = [asset.get(name) for name in ("bands", "eo:bands", "raster:bands")]
    return [part for one in lists if isinstance(one, list) for part in one if isinstance(part, Mapping)]


def href_of(item: Item, key: str) -> str:
    """Return the address of an asset, absolute."""
    href = item.assets[key].get("href")
    if not isinstance(href, str) or not href:
        raise ImageryError(explain(f"Asset {key!r} of scene {item.name!r} has no address."))
    return joined(item.base, href)


def grid_of(item: Item, key: str) -> Grid | None:
    """Return the grid that the item says an asset has, None where it does not."""
    asset = item.assets[key]
    transform, shape = (asset.get(name, item.said.get(name)) for name in ("proj:transform", "proj:shape"))
    crs = _usable(_crs(asset) or _crs(item.said))
    if crs is None or not isinstance(transform, list) or not isinstance(shape, list) or len(shape) != 2:
        return None
    if len(transform) < 6 or not all(map(_is_number, [*transform[:6], *shape])) or min(shape) < 1:
        return None
    a, b, c, d, e, f = map(float, transform[:6])
    return Grid(Lattice(crs, a, b, c, d, e, f), int(shape[0]), int(shape[1])) if a * e - b * d else None


def _crs(said: Mapping[str, Any]) -> str | None:
    code, epsg = said.get("proj:code"), said.get("proj:epsg")
    if isinstance(code, str) and code:
        return code.upper()
    if isinstance(epsg, int) and not isinstance(epsg, bool):
        return f"EPSG:{epsg}"
    wkt = said.get("proj:wkt2")
    return wkt if isinstance(wkt, str) and wkt else None


def _usable(crs: str | None) -> str | None:
    """Return a reference system that rasters can have, else None: the file is asked then."""
    import pyproj

    try:
        made = None if crs is None else pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        return None
    return crs if made is not None and (made.is_geographic or made.is_projected) else None


def _points(geometry: object) -> Any:
    """Return all points of a GeoJSON geometry, (n, 2)."""
    found: list[list[float]] = []
    waiting: list[object] = [geometry.get("coordinates") if isinstance(geometry, Mapping) else None]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list) and len(part) >= 2 and all(map(_is_number, part[:2])):
            found.append([float(part[0]), float(part[1])])
        elif isinstance(part, list):
            waiting += part
    return np.array(found).reshape(-1, 2)


def _is_number(value: object) -> bool:
    # bounds that NaN and whole numbers beyond all floats fail too
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_HUGE < value < _HUGE
