"""Decide, from headers alone, which window of which grid each chip is cut from, and from which tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from eocausal._checks import positive_metres
from eocausal._coordinates import utm_epsg
from eocausal.errors import ImageryError, explain
from eocausal.imagery.cells import reading_keys, sorted_by
from eocausal.imagery.plan import Plan, Touches
from eocausal.imagery.tiles import Tile
from eocausal.imagery.windows import (
    METRIC_TOLERANCE,
    Bools,
    Floats,
    Integers,
    ground_pixel,
    is_geographic,
    is_metric,
    native_grids,
    offsets_in,
    project,
    touching,
    utm_grids,
)

Size = float | Sequence[float]
# Tells which tiles may be used for the chips of a slice, (chips, tiles); None when all may for all.
Allowed = Callable[[slice], Bools | None] | None
# A quarter of the way around the Earth in metres, and more pixels along a side than any raster has.
_LARGEST = 10_000_000
# Chips times tiles that are laid out at a time.
_AT_A_TIME = 2**16


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


@dataclass(frozen=True, eq=False)
class _Part:
    """What is planned of some chips: as in Plan, and the tile each is read from first, with its place there."""

    frame: Integers
    u: Floats
    v: Floats
    touches: Bools
    on_raster: Bools
    home: Integers
    rows: Floats
    columns: Floats


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
    known = [s for s in sizes if isinstance(s, (int, float, np.integer)) and not isinstance(s, bool)]
    numbers = [float(s) for s in known if -_LARGEST <= s <= _LARGEST]
    wrong = len(numbers) < len(sizes) or any(not np.isfinite(s) or s <= 0 for s in numbers)
    if wrong or not numbers or (unit == "px" and any(s % 1 for s in numbers)):
        rule = "positive metres" if unit == "m" else "positive whole numbers of pixels"
        rule = f"{rule}, at most {_LARGEST:,}"
        raise ImageryError(explain(f"{name}={given!r} is not a size.", rule=rule))
    blocks = {f"{size:.10g}{unit}": size for size in numbers}
    if len(blocks) < len(numbers):
        raise ImageryError(explain(f"{name}={given!r} names a size twice."))
    return blocks


def block_name(height: int, width: int, size_m: object) -> str:
    """Return the name of the block of chips that are already cut: by their size on the ground, else by pixels.

    Examples
    --------
    >>> block_name(35, 35, None), block_name(32, 40, None), block_name(32, 32, 960)
    ('35px', '32x40px', '960m')
    """
    if size_m is None:
        return f"{height}px" if height == width else f"{height}x{width}px"
    metres = positive_metres(size_m, what=f"size_m={size_m!r} is not a size.", error=ImageryError)
    return f"{metres:.10g}m"


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be planned: where, how large, from how many bands, and which tiles may serve whom."""

    longitude: Floats
    latitude: Floats
    sizes: dict[str, float]
    in_metres: bool
    bands: int
    allowed: Allowed = None

    def slices(self, tiles: int) -> list[slice]:
        """Return the chips in parts that are laid out at a time."""
        step = max(1, _AT_A_TIME // tiles)
        return [slice(start, start + step) for start in range(0, len(self.longitude), step)]

    def permitted(self, some: slice, places: Integers) -> Bools | None:
        """Return which tiles may serve the chips of a slice; ``places`` finds turned tiles among the given."""
        found = None if self.allowed is None else self.allowed(some)
        return None if found is None else found[:, places]


def make_plan(tiles: Sequence[Tile], request: Request) -> Plan:
    """Choose the grid rule and lay out every chip's window."""
    turned, places = _turns(tiles)
    sizes = request.sizes
    if not request.in_metres:
        _refuse_tilted(tiles)
        sides = {name: int(size) for name, size in sizes.items()}
        return _native(turned, places, request, sides, rule="pixels", pixel_m=None)
    pixel_m = _common_pixel(tiles)
    if pixel_m is not None:
        plan = _native(turned, places, request, _sides(sizes, pixel_m), rule="native", pixel_m=pixel_m)
        if _metric_where_used(plan):
            return plan
    return _utm(turned, places, request)


def _turns(tiles: Sequence[Tile]) -> tuple[tuple[Tile, ...], Integers]:
    """Add, for rasters in degrees, the tiles as seen from one turn of longitude east and west.

    Returns also where each is among the tiles given.
    """
    degrees = [place for place, tile in enumerate(tiles) if is_geographic(tile.lattice.crs)]
    shifts = [tiles[place].turned(turn) for turn in (360.0, -360.0) for place in degrees]
    return (*tiles, *shifts), np.array([*range(len(tiles)), *degrees, *degrees])


def _see(tiles: tuple[Tile, ...], longitude: Floats, latitude: Floats) -> _Seen:
    points = {crs: project(longitude, latitude, crs) for crs in {tile.lattice.crs for tile in tiles}}
    pixels = [tile.lattice.pixel(*points[tile.lattice.crs]) for tile in tiles]
    rows, columns = (np.stack(parts, axis=1) for parts in zip(*pixels))
    return _Seen(tiles, rows, columns)


def _refuse_tilted(tiles: Sequence[Tile]) -> None:
    tilted = [tile.name for tile in tiles if not tile.lattice.north_up]
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


def _native(
    tiles: tuple[Tile, ...],
    places: Integers,
    request: Request,
    sides: dict[str, int],
    *,
    rule: str,
    pixel_m: float | None,
) -> Plan:
    """Cut along the lattice of the first tile that holds the unit, else of the first that its window touches."""
    side = max(sides.values())
    parts = []
    for some in request.slices(len(tiles)):
        seen = _see(tiles, request.longitude[some], request.latitude[some])
        parts.append(_native_part(seen, side, request.permitted(some, places), rule))
    return _collected(tiles, places, parts, request, sides, rule=rule, pixel_m=pixel_m)


def _native_part(seen: _Seen, side: int, permitted: Bools | None, rule: str) -> _Part:
    inside = seen.inside
    heights, widths = (np.array([getattr(t, n) for t in seen.tiles]) for n in ("height", "width"))
    with np.errstate(invalid="ignore"):
        reach = (np.abs(seen.rows - heights / 2) < (heights + side) / 2) & (
            np.abs(seen.columns - widths / 2) < (widths + side) / 2
        )
    if permitted is not None:
        # Where no tile of the days asked for is near, those of other days tell that the unit is on a raster.
        near = (reach & permitted).any(axis=1, keepdims=True)
        inside, reach = (found & (permitted | ~near) for found in (inside, reach))
    anchor: Integers = np.where(inside.any(axis=1), inside.argmax(axis=1), reach.argmax(axis=1))
    chips = np.arange(len(anchor))
    lattices = [tile.lattice for tile in seen.tiles]
    u, v = seen.rows[chips, anchor], seen.columns[chips, anchor]
    grids = native_grids(lattices, anchor, u, v, side)
    touches = touching(grids, seen.tiles)
    if len(lattices) > 1 and (rule == "pixels" or any(tile.categorical for tile in seen.tiles)):
        # Neither counted pixels nor classes can be interpolated from tiles on another grid.
        before = touches.copy()
        for tile, lattice in enumerate(lattices):
            some = np.flatnonzero(touches[:, tile])
            touches[some, tile] = offsets_in(grids, some, lattice)[1]
        if permitted is not None:
            _refuse_lost_days(seen.tiles, before & permitted, touches & permitted)
    return _part(seen, touches, permitted, anchor, u, v)


def _refuse_lost_days(tiles: tuple[Tile, ...], before: Bools, after: Bools) -> None:
    """Raise ImageryError when all tiles of a day that shows a chip lie on another grid than the chip."""
    days = np.array([str(tile.date) for tile in tiles])
    lost = [
        tile.name
        for day in np.unique(days[(before & ~after).any(axis=0)])
        if (before[:, days == day].any(axis=1) & ~after[:, days == day].any(axis=1)).any()
        for tile in np.array(tiles, dtype=object)[days == day]
    ]
    if lost:
        text = "Scenes of whole days lie on another grid of pixels, and are not interpolated here."
        rule = "with size_px= and with classes, pixels are those of the raster itself"
        fix = "Give size_m= (which interpolates), or scenes of one grid."
        raise ImageryError(explain(text, where=lost, rule=rule, fix=fix))


def _part(
    seen: _Seen, touches: Bools, permitted: Bools | None, frame: Integers, u: Floats, v: Floats
) -> _Part:
    on_raster: Bools = np.asarray(touches.any(axis=1))
    used = touches if permitted is None else touches & permitted
    home, chips = used.argmax(axis=1), np.arange(len(used))
    return _Part(frame, u, v, used, on_raster, home, seen.rows[chips, home], seen.columns[chips, home])


def _metric_where_used(plan: Plan) -> bool:
    """Whether the native grid of every chip that touches a raster is metric at its unit."""
    if not plan.on_raster.any():
        return is_metric_somewhere(plan.tiles)
    frame = plan.frame[plan.on_raster]
    u, v = plan.u[plan.on_raster], plan.v[plan.on_raster]
    return all(
        is_metric(plan.tiles[number].lattice, *plan.tiles[number].lattice.point(u[here], v[here]))
        for number in np.unique(frame).tolist()
        if (here := frame == number).any()
    )


def is_metric_somewhere(tiles: Sequence[Tile]) -> bool:
    """Whether all tiles are metric at their own middle."""
    middles = [tile.lattice.point(np.array([tile.height / 2]), np.array([tile.width / 2])) for tile in tiles]
    return all(is_metric(tile.lattice, *middle) for tile, middle in zip(tiles, middles))


def _utm(tiles: tuple[Tile, ...], places: Integers, request: Request) -> Plan:
    longitude, latitude = request.longitude, request.latitude
    categorical = [tile.name for tile in tiles if tile.categorical]
    if categorical:
        text = "Rasters hold classes (a colour table), which cannot be interpolated into another grid."
        fix = f"gdalwarp -t_srs EPSG:{utm_epsg(longitude, latitude)[0]} -r near {categorical[0]} classes_utm.tif"
        raise ImageryError(explain(text, where=categorical, fix=fix))
    pixel_m = _ground_resolution(tiles, request)
    sides = _sides(request.sizes, pixel_m)
    parts = []
    for some in request.slices(len(tiles)):
        seen = _see(tiles, longitude[some], latitude[some])
        _refuse_polar(seen, latitude[some])
        zones = utm_epsg(longitude[some], latitude[some])
        u, v = _in_zones(longitude[some], latitude[some], zones)
        grids = utm_grids(u, v, zones, pixel_m, max(sides.values()))
        touches = touching(grids, tiles)
        parts.append(_part(seen, touches, request.permitted(some, places), zones, u, v))
    return _collected(tiles, places, parts, request, sides, rule="utm", pixel_m=pixel_m)


def _in_zones(longitude: Floats, latitude: Floats, zones: Integers) -> tuple[Floats, Floats]:
    """Return easting and northing of each unit in its UTM zone."""
    x, y = np.full(len(zones), np.nan), np.full(len(zones), np.nan)
    for zone in np.unique(zones):
        here = zones == zone
        x[here], y[here] = project(longitude[here], latitude[here], f"EPSG:{zone}")
    return x, y


def _refuse_polar(seen: _Seen, latitude: Floats) -> None:
    beyond = (latitude > 84) | (latitude < -80)
    near = np.isfinite(seen.rows).any(axis=1)
    if (beyond & near).any():
        where = [f"{lat:g} N" for lat in latitude[beyond & near]]
        text = "Units lie where UTM is not defined, and the raster's own pixels are not ground metres."
        fix = "Reproject the raster to a polar system in metres first: gdalwarp -t_srs EPSG:3995 (or 3031)."
        raise ImageryError(explain(text, where=where, rule="-80 <= latitude <= 84", fix=fix))


def _ground_resolution(tiles: tuple[Tile, ...], request: Request) -> float:
    """Return the pixel size on the ground, to three digits, at the unit of middle latitude on a raster."""
    found: list[tuple[Integers, Integers, Floats, Floats]] = []
    for some in request.slices(len(tiles)):
        seen = _see(tiles, request.longitude[some], request.latitude[some])
        inside = seen.inside
        units = np.flatnonzero(inside.any(axis=1))
        index = inside[units].argmax(axis=1)
        found.append((units + some.start, index, seen.rows[units, index], seen.columns[units, index]))
    units, index, rows, columns = (np.concatenate(parts) for parts in zip(*found))
    if len(units):
        middle = np.argsort(request.latitude[units], kind="stable")[(len(units) - 1) // 2]
        lattice, row, column = tiles[index[middle]].lattice, rows[middle], columns[middle]
    else:
        lattice, row, column = tiles[0].lattice, tiles[0].height / 2, tiles[0].width / 2
    x, y = lattice.point(np.array([row]), np.array([column]))
    across, along, _ = ground_pixel(lattice, x, y)
    return float(f"{np.sqrt(across[0] * along[0]):.3g}")


def _collected(
    tiles: tuple[Tile, ...],
    places: Integers,
    parts: list[_Part],
    request: Request,
    sides: dict[str, int],
    *,
    rule: str,
    pixel_m: float | None,
) -> Plan:
    """Put the parts together, leaving out turned tiles that no chip touches; the tiles as given stay."""
    keep = np.arange(len(tiles)) < len(set(places.tolist()))
    for part in parts:
        keep |= part.touches.any(axis=0)
        if rule != "utm":
            keep[np.unique(part.frame)] = True
    kept = np.cumsum(keep) - 1
    used = tuple(tile for tile, wanted in zip(tiles, keep) if wanted)
    small = np.min_scalar_type(max(len(used), 2))
    counts = np.concatenate([part.touches.sum(axis=1, dtype=np.uint32) for part in parts])
    starts = np.zeros(len(counts) + 1, dtype=np.uint32)
    np.cumsum(counts, out=starts[1:])
    touched = np.concatenate([kept[np.nonzero(part.touches)[1]].astype(small) for part in parts])
    frame = np.concatenate(
        [part.frame if rule == "utm" else kept[part.frame].astype(small) for part in parts]
    )
    depth = int(max(1, counts.max(initial=0))) if request.allowed is not None else 1
    how = {"bands": request.bands, "side": max(sides.values()), "depth": depth}
    keys = [
        reading_keys(
            used, np.where(part.touches.any(axis=1), kept[part.home], 0), part.rows, part.columns, **how
        )
        for part in parts
    ]
    order = sorted_by(np.concatenate(keys))
    return Plan(
        rule=rule,
        pixel_m=pixel_m,
        sides=sides,
        tiles=used,
        frame=frame.astype(np.uint16) if rule == "utm" else frame,
        u=np.concatenate([part.u for part in parts]),
        v=np.concatenate([part.v for part in parts]),
        touches=Touches(starts, touched),
        on_raster=np.concatenate([part.on_raster for part in parts]),
        order=order,
    )
