"""Decide, from headers alone, which window of which grid each chip is cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._coordinates import utm_epsg
from eocausal.errors import ImageryError, explain
from eocausal.imagery.sources import Tile
from eocausal.imagery.windows import (
    METRIC_TOLERANCE,
    Bools,
    Floats,
    Grids,
    Integers,
    ground_pixel,
    is_geographic,
    is_metric,
    native_grids,
    offset_in,
    project,
    touching,
    utm_grids,
)

Size = float | Sequence[float]
_CHIPS_AT_A_TIME = 2**16


@dataclass(frozen=True, eq=False)
class Plan:
    """Grids of all chips at the largest size, the tiles that touch them, and the blocks cut from them.

    ``rule`` is ``native`` (the raster's own pixels, metric), ``utm`` (resampled into the unit's UTM zone) or
    ``pixels`` (the raster's own pixels, counted). ``touches`` has shape (chips, tiles).
    """

    rule: str
    pixel_m: float | None
    sides: dict[str, int]
    grids: Grids
    tiles: tuple[Tile, ...]
    touches: Bools
    home: Integers
    rows: Floats
    columns: Floats


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where the chips' centres lie in each tile: pixel coordinates, shape (chips, tiles)."""

    tiles: tuple[Tile, ...]
    rows: Floats
    columns: Floats

    @property
    def inside(self) -> Bools:
        heights = np.array([tile.height for tile in self.tiles])
        widths = np.array([tile.width for tile in self.tiles])
        with np.errstate(invalid="ignore"):
            within: Bools = (self.rows >= 0) & (self.rows < heights)
            return within & (self.columns >= 0) & (self.columns < widths)


def block_sizes(size_m: Size | None, size_px: Size | None) -> dict[str, float]:
    """Return the size of each block by its name; exactly one of the two is given.

    Examples
    --------
    >>> block_sizes([960, 3840.0], None), block_sizes(None, 32)
    ({'960m': 960.0, '3840m': 3840.0}, {'32px': 32.0})
    """
    if (size_m is None) == (size_px is None):
        fix = "chips(..., size_m=[960, 3840]) in metres, or chips(..., size_px=32) in pixels"
        raise ImageryError(explain("Give exactly one of size_m= and size_px=.", fix=fix))
    name, given, unit = ("size_m", size_m, "m") if size_m is not None else ("size_px", size_px, "px")
    sizes = given if isinstance(given, (list, tuple, np.ndarray)) else [given]
    numbers = [float(s) for s in sizes if isinstance(s, (int, float, np.integer)) and not isinstance(s, bool)]
    wrong = len(numbers) < len(sizes) or any(not np.isfinite(s) or s <= 0 for s in numbers)
    if wrong or not numbers or (unit == "px" and any(s % 1 for s in numbers)):
        rule = "positive metres" if unit == "m" else "positive whole numbers of pixels"
        raise ImageryError(explain(f"{name}={given!r} is not a size.", rule=rule))
    blocks = {f"{size:.10g}{unit}": size for size in numbers}
    if len(blocks) < len(numbers):
        raise ImageryError(explain(f"{name}={given!r} names a size twice."))
    return blocks


def make_plan(
    tiles: Sequence[Tile], longitude: Floats, latitude: Floats, *, sizes: dict[str, float], in_metres: bool
) -> Plan:
    """Choose the grid rule and lay out every chip's window."""
    turned = _turns(tiles)
    seen = _see(turned, longitude, latitude)
    if not in_metres:
        _refuse_tilted(tiles)
        return _native(seen, {name: int(size) for name, size in sizes.items()}, rule="pixels", pixel_m=None)
    pixel_m = _common_pixel(tiles)
    if pixel_m is not None:
        plan = _native(seen, _sides(sizes, pixel_m), rule="native", pixel_m=pixel_m)
        if _metric_where_used(plan, seen):
            return plan
    return _utm(seen, longitude, latitude, sizes)


def _turns(tiles: Sequence[Tile]) -> tuple[Tile, ...]:
    """Add, for rasters in degrees, the tiles as seen from one turn of longitude east and west."""
    shifts = [t.turned(turn) for turn in (360.0, -360.0) for t in tiles if is_geographic(t.lattice.crs)]
    return (*tiles, *shifts)


def _see(tiles: tuple[Tile, ...], longitude: Floats, latitude: Floats) -> _Seen:
    points = {crs: project(longitude, latitude, crs) for crs in {tile.lattice.crs for tile in tiles}}
    pixels = [tile.lattice.pixel(*points[tile.lattice.crs]) for tile in tiles]
    rows, columns = (np.stack(parts, axis=1) for parts in zip(*pixels))
    return _Seen(tiles, rows, columns)


def _refuse_tilted(tiles: Sequence[Tile]) -> None:
    tilted = [tile.file.name for tile in tiles if not tile.lattice.north_up]
    if tilted:
        fix = f"gdalwarp {tilted[0]} north_up.tif, or give size_m= (which resamples)"
        text = "Rasters are rotated or south-up, so size_px= has no north-up pixels to cut."
        raise ImageryError(explain(text, where=tilted, fix=fix))


def _common_pixel(tiles: Sequence[Tile]) -> float | None:
    """Return the pixel size that all tiles share in their own units, None where they do not."""
    if not all(tile.lattice.north_up for tile in tiles):
        return None
    sizes = np.array([np.sqrt(tile.lattice.a * -tile.lattice.e) for tile in tiles])
    return float(sizes[0]) if np.all(np.abs(sizes / sizes[0] - 1) <= METRIC_TOLERANCE) else None


def _sides(sizes: dict[str, float], pixel_m: float) -> dict[str, int]:
    sides = {name: int(np.floor(size / pixel_m + 0.5)) for name, size in sizes.items()}
    small = [name for name, side in sides.items() if side < 1]
    if small:
        text = f"size_m is smaller than half a pixel of the raster ({pixel_m:g} m)."
        raise ImageryError(explain(text, where=small, fix=f"Use size_m >= {pixel_m:g}."))
    if len(set(sides.values())) < len(sides):
        text = f"Several sizes have the same number of pixels at {pixel_m:g} m a pixel: {sides}."
        raise ImageryError(explain(text, fix="Give sizes that differ by more than a pixel."))
    return sides


def _native(seen: _Seen, sides: dict[str, int], *, rule: str, pixel_m: float | None) -> Plan:
    """Cut along the lattice of the first tile that holds the unit, else of the first that its window touches."""
    side = max(sides.values())
    inside = seen.inside
    heights, widths = (np.array([getattr(t, n) for t in seen.tiles]) for n in ("height", "width"))
    with np.errstate(invalid="ignore"):
        reach = (np.abs(seen.rows - heights / 2) < (heights + side) / 2) & (
            np.abs(seen.columns - widths / 2) < (widths + side) / 2
        )
    home: Integers = np.where(inside.any(axis=1), inside.argmax(axis=1), reach.argmax(axis=1))
    chips = np.arange(len(home))
    lattices = [tile.lattice for tile in seen.tiles]
    grids = native_grids(lattices, home, seen.rows[chips, home], seen.columns[chips, home], side)
    touches = _touches(grids, seen.tiles)
    if len(lattices) > 1 and (rule == "pixels" or any(tile.categorical for tile in seen.tiles)):
        # Neither counted pixels nor classes can be interpolated from tiles on another grid.
        for chip, tile in np.argwhere(touches):
            touches[chip, tile] = offset_in(grids, int(chip), lattices[tile]) is not None
    return _used(rule, pixel_m, sides, grids, seen, touches)


def _metric_where_used(plan: Plan, seen: _Seen) -> bool:
    """Whether the native grid of every chip that touches a raster is metric at its unit."""
    used = plan.touches.any(axis=1)
    if not used.any():
        return is_metric_somewhere(plan.tiles)
    grids = plan.grids
    x = grids.west + grids.column * grids.x_size
    y = grids.north - grids.row * grids.y_size
    lattices = {tile.lattice.crs: tile.lattice for tile in plan.tiles}
    return all(
        is_metric(lattice, x[used & (grids.crs == crs)], y[used & (grids.crs == crs)])
        for crs, lattice in lattices.items()
    )


def is_metric_somewhere(tiles: Sequence[Tile]) -> bool:
    """Whether all tiles are metric at their own middle."""
    middles = [tile.lattice.point(np.array([tile.height / 2]), np.array([tile.width / 2])) for tile in tiles]
    return all(is_metric(tile.lattice, *middle) for tile, middle in zip(tiles, middles))


def _utm(seen: _Seen, longitude: Floats, latitude: Floats, sizes: dict[str, float]) -> Plan:
    beyond = (latitude > 84) | (latitude < -80)
    near = np.isfinite(seen.rows).any(axis=1)
    if (beyond & near).any():
        where = [f"{lat:g} N" for lat in latitude[beyond & near]]
        text = "Units lie where UTM is not defined, and the raster's own pixels are not ground metres."
        fix = "Reproject the raster to a polar system in metres first: gdalwarp -t_srs EPSG:3995 (or 3031)."
        raise ImageryError(explain(text, where=where, rule="-80 <= latitude <= 84", fix=fix))
    categorical = [tile.file.name for tile in seen.tiles if tile.categorical]
    if categorical:
        text = "Rasters hold classes (a colour table), which cannot be interpolated into another grid."
        fix = f"gdalwarp -t_srs EPSG:{utm_epsg(longitude, latitude)[0]} -r near {categorical[0]} classes_utm.tif"
        raise ImageryError(explain(text, where=categorical, fix=fix))
    pixel_m = _ground_resolution(seen, latitude)
    sides = _sides(sizes, pixel_m)
    grids = utm_grids(longitude, latitude, utm_epsg(longitude, latitude), pixel_m, max(sides.values()))
    return _used("utm", pixel_m, sides, grids, seen, _touches(grids, seen.tiles))


def _ground_resolution(seen: _Seen, latitude: Floats) -> float:
    """Return the pixel size on the ground, to three digits, at the unit of middle latitude on a raster."""
    inside = seen.inside
    on_raster = np.flatnonzero(inside.any(axis=1))
    if len(on_raster):
        unit = on_raster[np.argsort(latitude[on_raster], kind="stable")[(len(on_raster) - 1) // 2]]
        index = int(inside[unit].argmax())
        row, column = seen.rows[unit, index], seen.columns[unit, index]
    else:
        index, row, column = 0, seen.tiles[0].height / 2, seen.tiles[0].width / 2
    lattice = seen.tiles[index].lattice
    x, y = lattice.point(np.array([row]), np.array([column]))
    across, along, _ = ground_pixel(lattice, x, y)
    return float(f"{np.sqrt(across[0] * along[0]):.3g}")


def _touches(grids: Grids, tiles: Sequence[Tile]) -> Bools:
    """Tell which chips touch which tiles, some chips at a time to bound memory."""
    found = np.empty((len(grids), len(tiles)), dtype=bool)
    for start in range(0, len(grids), _CHIPS_AT_A_TIME):
        some = slice(start, start + _CHIPS_AT_A_TIME)
        part = Grids(
            **{f.name: getattr(grids, f.name)[some] for f in fields(grids) if f.name != "side"},
            side=grids.side,
        )
        for place, tile in enumerate(tiles):
            found[some, place] = touching(part, tile.lattice, tile.height, tile.width)
    return found


def _used(
    rule: str, pixel_m: float | None, sides: dict[str, int], grids: Grids, seen: _Seen, touches: Bools
) -> Plan:
    """Make the plan, leaving out turned tiles that no chip touches; the tiles as given stay."""
    home, chips = touches.argmax(axis=1), np.arange(len(touches))
    rows, columns = seen.rows[chips, home], seen.columns[chips, home]
    keep = touches.any(axis=0)
    names = [tile.file for tile in seen.tiles]
    keep |= np.array([names.index(file) == place for place, file in enumerate(names)])
    tiles = tuple(tile for tile, kept in zip(seen.tiles, keep) if kept)
    home = touches[:, keep].argmax(axis=1)
    return Plan(rule, pixel_m, sides, grids, tiles, touches[:, keep], home, rows, columns)


def lonlat_bounds(tile: Tile) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a raster in degrees."""
    import pyproj

    lattice = tile.lattice
    corners = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * np.array([[tile.height], [tile.width]])
    x, y = lattice.point(corners[0].astype(float), corners[1].astype(float))
    transformer = pyproj.Transformer.from_crs(lattice.crs, "EPSG:4326", always_xy=True)
    bounds: Any = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max())
    west, south, east, north = (float(edge) for edge in bounds)
    return west, south, east, north


def check_reached(plan: Plan, longitude: Floats, latitude: Floats) -> None:
    """Raise ImageryError with both bounds when no chip touches any raster."""
    if plan.touches.any():
        return
    edges = np.array([lonlat_bounds(tile) for tile in plan.tiles])
    raster = (*edges[:, :2].min(axis=0), *edges[:, 2:].max(axis=0))
    units = (longitude.min(), latitude.min(), longitude.max(), latitude.max())

    def show(bounds: Sequence[npt.ArrayLike]) -> str:
        return ", ".join(f"{float(np.asarray(edge)):.5g}" for edge in bounds)

    text = f"All {len(longitude)} chips fall outside the rasters."
    rule = f"west, south, east, north in degrees: units {show(units)}; rasters {show(raster)}"
    fix = "Check the order of lon= and lat=, and that these rasters show the study area."
    raise ImageryError(explain(text, rule=rule, fix=fix))
