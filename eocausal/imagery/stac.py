"""Scenes from a STAC catalogue: searched around the units, chosen by day and clouds, read by windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal.errors import ImageryError, explain
from eocausal.imagery._cube_files import needs_extra
from eocausal.imagery._network import is_remote, plain
from eocausal.imagery._stac_catalog import Asked, Box, Found, find_items, refuse_hosts
from eocausal.imagery._stac_items import (
    Grid,
    Item,
    asset_key,
    baseline_of,
    boxes_of,
    cloud_of,
    day_of,
    grid_of,
    href_of,
    offset_applied,
    sensor_of,
)
from eocausal.imagery._stac_raster import CELL, Asset, StacScene, header
from eocausal.imagery.frames import period
from eocausal.imagery.planning import Size, block_sizes
from eocausal.imagery.quality import SCHEMES
from eocausal.imagery.radiometry import PIXEL_UNITS
from eocausal.imagery.scenes import Scenes
from eocausal.imagery.stac_presets import StacPreset, find_preset
from eocausal.imagery.tiles import Tile, check_together

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["stac_scenes"]

# Units are searched together by squares of so many degrees, so that continents are not searched for two towns.
_SQUARE = 5.0
_METRES_A_DEGREE = 110_000.0
# Scenes looked at to tell which days there are when none is of those asked for.
_SAMPLE = 200


def stac_scenes(
    catalog: Any,
    units: Units,
    *,
    size_m: Size,
    preset: StacPreset | str | None = None,
    dates: str | None = None,
    bands: Sequence[str] | str | None = None,
    max_cloud: float | None = None,
    collections: Sequence[str] | str | None = None,
    remote: bool = False,
) -> Scenes:
    """Find scenes that show units in a STAC catalogue; their pixels are read when chips are cut.

    Parameters
    ----------
    catalog : str, path, pystac_client.Client or list of pystac.Item
        The address of a STAC API; a static catalogue, collection, item or collection of items, by path or
        address; a client that was opened with credentials or signs addresses; or items.
    units : Units
        Units with coordinates.
    size_m : float or list
        Side of the largest chip, metres: scenes are looked for within it.
    preset : str or StacPreset, optional
        What the product is: ``sentinel-2-l2a``, ``landsat-c2-l2``, ``hls-s30``, ``hls-l30``, or one of your
        own. Without it, ``bands`` names assets, whose pixels are handed out as they are.
    dates : str, optional
        A period, both ends included: ``2018``, ``2018-06``, ``2018-06-01/2018-08-31``. Default all.
    bands : sequence of str, optional
        Bands of the preset, by our names; default all of them.
    max_cloud : float, optional
        Largest share of clouds of a scene, 0 to 1, as the catalogue tells it (``eo:cloud_cover``).
    collections : sequence of str, optional
        Ids of collections, where they are not called as the preset knows them.
    remote : bool
        Allow reading from the network. Without it, everything has to be on this machine.

    Returns
    -------
    Scenes
        One for each item, by day; each with its sensor and, of Sentinel-2, whether its offset was applied.
        ``chips`` needs neither ``pixel_unit`` nor ``quality`` for them.

    Raises
    ------
    ImageryError
        When reading would leave this machine unasked (naming the hosts), the catalogue cannot be read, no
        scene is of the days (saying which days there are) or clear enough, or a scene lacks a band.

    Notes
    -----
    Each scene is read on the grid of its finest band by odc-stac: bands on that grid unchanged, coarser ones
    interpolated bilinearly, the quality band by nearest neighbour. Not valid are the files' nodata and the
    preset's fill; files with a mask instead are refused. A file that does not lie where its item says is refused.

    Where the item does not tell the grid (``proj:transform``, ``proj:shape``, ``proj:code``), the headers
    of its files are read, one after the other.

    The 1,000 that Sentinel-2 products hold since baseline 04.00 are taken off scene by scene: not before that
    baseline; after it as ``earthsearch:boa_offset_applied`` says, else as the bands' own offset says, else
    they are there. Of two versions of one scene the one of the later baseline is used first.

    Records hold addresses without queries and passwords, so no signature or key.

    Examples
    --------
    >>> import tempfile, eocausal as ec
    >>> folder = tempfile.mkdtemp()
    >>> made = ec.simulate_catalog(folder, size_px=100, n_villages=4, seed=1)
    >>> units = ec.read_units(made.units, id="village", lon="lon", lat="lat")
    >>> found = ec.stac_scenes(made.catalog, units, size_m=300, preset="sentinel-2-l2a",
    ...                        bands=["red", "nir"], max_cloud=0.5)
    >>> found
    Scenes(8 rasters, 4 days from 2020-12-18 to 2022-12-18, bands red nir scl)
    >>> cut = ec.chips(units, found, size_m=300, frames=ec.Frames(["2021", "2022"]))
    >>> [batch.pixels["300m"].shape for batch in cut.batches()]
    [(4, 2, 2, 30, 30)]
    """
    needs_extra()
    needs_extra("odc.stac")
    chosen = _with_bands(preset, bands)
    pad = max(block_sizes(size_m, None).values()) / np.sqrt(2)
    longitude, latitude = _places(units)
    _check_share(max_cloud)
    asked = Asked(
        boxes=tuple(_search_boxes(longitude, latitude, float(pad))),
        dates=_as_interval(dates),
        collections=_as_tuple(collections),
        known=tuple(chosen.collections),
    )
    found = find_items(catalog, asked, remote=remote)
    near = _near(_of_collection(found, asked), longitude, latitude, float(pad))
    if not near and found.searched and dates is not None:
        sample = find_items(catalog, replace(asked, dates=None, sample=_SAMPLE), remote=remote)
        near = _near(_of_collection(sample, asked), longitude, latitude, float(pad))
    items = _clear_enough(_of_days(near, dates), max_cloud)
    keys = [_keys(item, chosen) for item in items]
    refuse_hosts([href_of(i, key) for i, some in zip(items, keys) for key in some.values()], remote=remote)
    tiles = [_tile(item, some, chosen) for item, some in zip(items, keys)]
    check_together(tiles)
    return Scenes(tuple(tiles), chosen.pixel_unit, chosen.quality)


def _with_bands(preset: StacPreset | str | None, bands: Sequence[str] | str | None) -> StacPreset:
    """Return the preset with the bands asked for and its quality band."""
    asked = None if bands is None else ([bands] if isinstance(bands, str) else list(map(str, bands)))
    if preset is None:
        if not asked:
            fix = 'preset="sentinel-2-l2a", or bands=["red", "nir"], keys of assets'
            raise ImageryError(explain("Neither a preset nor bands are named.", fix=fix))
        return StacPreset({name: name for name in asked})
    known = find_preset(preset)
    if asked is None:
        return known
    for name in asked:
        if name not in known.bands:
            fix = did_you_mean(name, list(known.bands))
            raise ImageryError(explain(f"The preset has no band {name!r}.", fix=fix))
    if not asked or len(set(asked)) < len(asked):
        raise ImageryError(explain(f"bands={asked} is empty or names a band twice."))
    flags = [known.flags] if known.flags is not None and known.flags not in asked else []
    return replace(known, bands={name: known.bands[name] for name in [*asked, *flags]})


def _places(units: Units) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if units.longitude is None or units.latitude is None:
        fix = "read_units(..., lon=..., lat=...)"
        raise ImageryError(explain("The units have no coordinates to search scenes at.", fix=fix))
    return units.longitude, units.latitude


def _check_share(max_cloud: object) -> None:
    if max_cloud is None:
        return
    if isinstance(max_cloud, bool) or not isinstance(max_cloud, (int, float)) or not 0 <= max_cloud <= 1:
        fix = f"max_cloud={max_cloud / 100:g}" if isinstance(max_cloud, (int, float)) else "max_cloud=0.4"
        raise ImageryError(explain(f"max_cloud={max_cloud!r} is not a share.", rule="0 to 1", fix=fix))


def _as_tuple(names: Sequence[str] | str | None) -> tuple[str, ...]:
    return () if names is None else ((names,) if isinstance(names, str) else tuple(map(str, names)))


def _as_interval(dates: str | None) -> str | None:
    """Return a period as catalogues are asked for it."""
    if dates is None:
        return None
    start, end = period(str(dates))
    return f"{start}T00:00:00Z/{end - np.timedelta64(1, 'D')}T23:59:59Z"


def _padded(box: Box, pad_m: float) -> list[Box]:
    """Return a box widened by metres, in two where it then crosses the 180th meridian."""
    west, south, east, north = box
    high = pad_m / _METRES_A_DEGREE
    south, north = max(south - high, -90.0), min(north + high, 90.0)
    wide = high / max(float(np.cos(np.radians(min(max(abs(south), abs(north)), 89.0)))), 0.01)
    west, east = west - wide, east + wide
    if east - west >= 360:
        return [(-180.0, south, 180.0, north)]
    if west < -180:
        return [(west + 360, south, 180.0, north), (-180.0, south, east, north)]
    if east > 180:
        return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]
    return [(west, south, east, north)]


def _search_boxes(
    longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64], pad_m: float
) -> list[Box]:
    """Return boxes around the units of each square of five degrees that holds any."""
    squares = np.stack([np.floor(longitude / _SQUARE), np.floor(latitude / _SQUARE)], axis=1)
    _, which = np.unique(squares, axis=0, return_inverse=True)
    found = []
    for number in range(int(which.max()) + 1):
        lon, lat = longitude[which.ravel() == number], latitude[which.ravel() == number]
        box = (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))
        found += _padded(box, pad_m)
    return found


def _of_collection(found: Found, asked: Asked) -> list[Item]:
    """Return the items of the collections asked for; of those the preset knows, where there are any."""
    items = [Item(content, base) for content, base in found.items]
    if asked.collections:
        return [item for item in items if item.collection in asked.collections]
    return [item for item in items if item.collection in asked.known] or items


def _near(
    items: Sequence[Item], longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64], pad_m: float
) -> list[Item]:
    """Return items, each once, whose bounds lie within reach of a unit."""
    import shapely

    points: Any = shapely.points(longitude, latitude)
    tree = shapely.STRtree(points)
    unique = {(item.collection, item.name): item for item in reversed(items)}
    return [
        item
        for item in reversed(unique.values())
        if any(len(tree.query(shapely.box(*box))) for part in boxes_of(item) for box in _padded(part, pad_m))
    ]


def _of_days(items: Sequence[Item], dates: str | None) -> list[Item]:
    """Return items of a period, the earliest first and of one day the later baseline first."""
    if not items:
        fix = "Check where the units and the catalogue's scenes are, and collections=."
        raise ImageryError(explain("No scene of the catalogue shows a unit.", fix=fix))
    days = [day_of(item) for item in items]
    start, end = period(str(dates)) if dates is not None else (min(days), max(days) + 1)
    order = sorted(range(len(items)), key=lambda i: (days[i], -(baseline_of(items[i]) or 0.0), items[i].name))
    found = [items[i] for i in order if start <= days[i] < end]
    if not found:
        fix = "Widen dates=."
        rule = f"scenes that show units are of {min(days)} to {max(days)}"
        text = f"No scene is of the days asked for, {dates}; there are:"
        raise ImageryError(explain(text, where=np.unique(days), rule=rule, fix=fix))
    return found


def _clear_enough(items: Sequence[Item], max_cloud: float | None) -> list[Item]:
    if max_cloud is None:
        return list(items)
    shares = [cloud_of(item) for item in items]
    unsaid = [item.name for item, share in zip(items, shares) if share is None]
    if unsaid:
        fix = "Leave out max_cloud=, and let the quality band tell clouds."
        text = "Scenes do not say how cloudy they are (eo:cloud_cover)."
        raise ImageryError(explain(text, where=unsaid, fix=fix))
    clear = [item for item, share in zip(items, shares) if share is not None and share <= max_cloud]
    if not clear:
        least = min(share for share in shares if share is not None)
        text = f"Every scene is cloudier than max_cloud={max_cloud:g}."
        rule = f"the clearest is at {least:.2f}"
        raise ImageryError(explain(text, where=[item.name for item in items], rule=rule))
    return clear


def _keys(item: Item, preset: StacPreset) -> dict[str, str]:
    """Return the key of the asset that each band is."""
    found = {band: asset_key(item, names) for band, names in preset.bands.items()}
    absent = [band for band, key in found.items() if key is None]
    if absent:
        rule = f"it has the assets {', '.join(list(item.assets)[:20])}"
        fix = "bands=[...] that all scenes have, collections=[...], or a StacPreset with its names"
        text = f"Scene {item.name!r} has no asset for some bands."
        raise ImageryError(explain(text, where=absent, rule=rule, fix=fix))
    return {band: key for band, key in found.items() if key is not None}


def _tile(item: Item, keys: Mapping[str, str], preset: StacPreset) -> Tile:
    unit = preset.pixel_unit
    assets = tuple(
        Asset(
            band=band,
            href=href_of(item, key),
            fill=_flag_fill(preset) if band == preset.flags else preset.fill,
            flags=band == preset.flags,
            told=_version(item, key),
        )
        for band, key in keys.items()
    )
    grid = _finest(item, keys, assets)
    offset = None
    if unit is not None and PIXEL_UNITS[unit.unit].shift:
        offset = offset_applied(item, [key for band, key in keys.items() if band != preset.flags])
    return Tile(
        raster=StacScene(item.name, item.collection, assets, grid),
        lattice=grid.lattice,
        height=grid.height,
        width=grid.width,
        names=tuple(keys),
        categorical=False,
        cell=(min(CELL, grid.height), min(CELL, grid.width)),
        date=day_of(item),
        sensor=sensor_of(item, preset.sensor),
        offset_applied=offset,
    )


def _finest(item: Item, keys: Mapping[str, str], assets: Sequence[Asset]) -> Grid:
    """Return the grid of the band with the smallest pixels: by the item, or by the files where it is silent."""
    said = [grid_of(item, key) for key in keys.values()]
    grids = [header(asset, item.name) if grid is None else grid for grid, asset in zip(said, assets)]
    finest = min(grids, key=lambda grid: grid.pixel)
    if not finest.lattice.north_up:
        where = [plain(asset.href) if is_remote(asset.href) else Path(asset.href).name for asset in assets]
        text = f"Scene {item.name!r} is rotated or south-up."
        raise ImageryError(explain(text, where=where, fix="Read its files with ec.scenes, which resamples."))
    return finest


def _flag_fill(preset: StacPreset) -> float | None:
    if preset.quality is None:
        return None
    return float(SCHEMES[preset.quality.scheme].fill.values[0])


def _version(item: Item, key: str) -> str | None:
    """Return what tells a remote file from an earlier one of the same name."""
    asset = item.assets[key]
    told = [
        asset.get("file:checksum"),
        asset.get("updated"),
        item.said.get("updated"),
        item.said.get("created"),
    ]
    return next((str(one) for one in told if one), None)
