"""Chips of polygons: the square around each, and which of its pixels lie inside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._coordinates import utm_epsg
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import Bools, ChipBatch, ChipSource, Rows
from eocausal.imagery.changed import Corners, Work
from eocausal.imagery.polygons import PIECE_DEGREES, lonlat_polygons, metres_of, names_of
from eocausal.imagery.windows import is_geographic, project, transformer_between

if TYPE_CHECKING:
    import geopandas

__all__ = ["Outlines", "bounding_square", "inside"]

Floats = npt.NDArray[np.float64]
Shapes = npt.NDArray[Any]

# No piece is as long as this in any system; one that is was torn apart where the system ends.
_TORN_M = 100_000.0


@dataclass(frozen=True, eq=False)
class Outlines:
    """Pixels outside each chip's polygon are made not valid.

    ``polygons`` are one for each chip, as :func:`lonlat_polygons` returns them. The valid fraction counts the
    pixels inside the polygon only, and a chip is ``ok`` when all of those are valid.
    """

    polygons: Shapes

    def start(self, source: ChipSource) -> Work:
        """Return the cutting out, which looks up where chips lie once for each block."""
        places: dict[str, Corners] = {}

        def work(batch: ChipBatch, rows: Rows) -> ChipBatch:
            for block in batch.mask:
                if block not in places:
                    places[block] = _placed(source, block)
            return self._cut_out(batch, rows, places)

        return work

    def corners(self, corners: Corners, block: str) -> Corners:
        """Return where chips lie, as before."""
        return corners

    def recipe(self) -> dict[str, Any]:
        """Return the hash of the polygons."""
        import shapely

        digest = hashlib.sha256()
        for polygon in self.polygons:
            digest.update(shapely.to_wkb(polygon, byte_order=1))
        about = {"count": len(self.polygons), "hash": digest.hexdigest()[:16], "inside": "pixel centres"}
        return {"outlines": about}

    def _cut_out(self, batch: ChipBatch, rows: Rows, places: Mapping[str, Corners]) -> ChipBatch:
        pixels, mask, status, share = {}, {}, {}, {}
        for block, valid in batch.mask.items():
            within = self._within(places[block], rows, valid.shape[-1])
            kept = valid & within[:, None]
            pixels[block] = np.where(kept[:, :, None], batch.pixels[block], np.float32(np.nan))
            mask[block] = kept
            status[block], share[block] = _judge_inside(kept, within, batch.status[block])
        return replace(batch, pixels=pixels, mask=mask, status=status, valid_fraction=share)

    def _within(self, corners: Corners, rows: Rows, side: int) -> Bools:
        """Return which pixels lie inside the polygon of each chip, (n, side, side)."""
        within = np.zeros((len(rows), side, side), dtype=bool)
        for place, index in enumerate(rows.tolist()):
            grid: dict[str, Any] = {name: values[index] for name, values in corners.items()}
            if np.isfinite(float(grid["west"]) + float(grid["north"])):
                within[place] = inside(self.polygons[index], side=side, **grid)
        return within


def _placed(source: ChipSource, block: str) -> Corners:
    found = source.corners(block)
    if found is None:
        fix = "Cut them from rasters: ec.chips(units, rasters, ...)"
        text = "Chips do not say where they are, so no polygon can be laid on them."
        raise ImageryError(explain(text, fix=fix))
    return found


def _judge_inside(
    kept: Bools, within: Bools, before: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.str_], Floats]:
    """Return status and valid fraction of chips, counted among the pixels inside their polygons."""
    count = within.sum(axis=(1, 2)) * kept.shape[1]
    share: Floats = kept.sum(axis=(1, 2, 3)) / np.maximum(count, 1)
    absent = np.isin(before, ("outside", "cloudy", "missing"))
    status = np.select([absent, share == 1.0, share > 0.0], [before, "ok", "partial"], default="nodata")
    return status.astype(str), share


def bounding_square(
    polygons: geopandas.GeoSeries | Shapes | Sequence[Any],
    *,
    ids: npt.ArrayLike | None = None,
    margin_m: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Return the north-up square around each polygon, in the UTM zone of its middle.

    Parameters
    ----------
    polygons : GeoSeries or array of shapely geometries
        Polygons or multipolygons; arrays are longitude and latitude (EPSG:4326).
    ids : array_like, optional
        What errors call them; default their positions.
    margin_m : float
        Metres added on every side.

    Returns
    -------
    longitude, latitude : numpy.ndarray
        The middle of the bounding box in the zone, degrees (EPSG:4326), shape (n,).
    side_m : numpy.ndarray
        The longer side of the bounding box, with margins, in metres of the zone, shape (n,). Where the middle
        lies at the edge of a zone, a little more, so that the square holds the polygon in either.

    Raises
    ------
    ImageryError
        When a geometry is no valid polygon, encircles a pole or half the globe, or lies where UTM is not
        defined.

    Examples
    --------
    >>> import shapely
    >>> lon, lat, side = bounding_square([shapely.box(33.0, 1.0, 33.01, 1.02)])
    >>> [round(float(value[0]), 3) for value in (lon, lat, side / 1000)]
    [33.005, 1.01, 2.211]
    """
    if isinstance(margin_m, bool) or not np.isfinite(margin_m) or margin_m < 0:
        raise ImageryError(explain(f"margin_m={margin_m!r} is not a margin.", rule="metres, at least 0"))
    import shapely

    shapes = lonlat_polygons(polygons, ids=ids)
    names = names_of(shapes, ids)
    west, south, east, north = shapely.bounds(shapes).T
    zones = utm_epsg(_turned((west + east) / 2), (south + north) / 2)
    left, low, right, high = _extent(shapes, zones, names)
    longitude, latitude = _back((left + right) / 2, (low + high) / 2, zones)
    # the middle may fall into the next zone, where the box is another
    zones = utm_epsg(longitude, latitude)
    left, low, right, high = _extent(shapes, zones, names)
    x, y = np.empty(len(shapes)), np.empty(len(shapes))
    for zone in np.unique(zones):
        here = zones == zone
        x[here], y[here] = project(longitude[here], latitude[here], f"EPSG:{zone}")
    reach = np.max([x - left, right - x, y - low, high - y], axis=0)
    return longitude, latitude, 2 * (reach + margin_m)


def inside(
    polygon: Any, *, crs: str, west: float, north: float, x_size: float, y_size: float, side: int
) -> Bools:
    """Return which pixels of a grid have their centre inside a polygon.

    Parameters
    ----------
    polygon : shapely Polygon or MultiPolygon
        In longitude and latitude (EPSG:4326); the longitude may go beyond 180 to cross the antimeridian.
    crs : str
        Reference system of the grid.
    west, north : float
        Its corner.
    x_size, y_size : float
        Size of a pixel, positive.
    side : int
        Pixels a side.

    Returns
    -------
    numpy.ndarray
        bool, shape (side, side), row 0 north; a centre on an edge goes to either side of it. When the polygon
        is so small that it holds no centre, the pixel that contains a point inside it.

    Raises
    ------
    ImageryError
        When the polygon reaches where the grid's system is not defined, or is torn apart at its edge.

    Examples
    --------
    >>> import shapely
    >>> triangle = shapely.Polygon([(0, 0), (2.9, 0), (0, 2.9)])
    >>> inside(triangle, crs="EPSG:4326", west=0, north=3, x_size=1, y_size=1, side=3).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """
    import shapely
    from affine import Affine
    from rasterio.features import rasterize

    middle = (west + side * x_size / 2, north - side * y_size / 2)
    placed = _into(polygon, crs, middle)
    step = Affine(x_size, 0.0, west, 0.0, -y_size, north)
    found: Bools = rasterize([placed], out_shape=(side, side), transform=step, dtype="uint8").astype(bool)
    if not found.any():
        point = shapely.point_on_surface(placed)
        row, column = int(np.floor((north - point.y) / y_size)), int(np.floor((point.x - west) / x_size))
        if 0 <= row < side and 0 <= column < side:
            found[row, column] = True
    return found


def _turned(longitude: Floats) -> Floats:
    """Return longitudes from -180 up to 180."""
    found: Floats = (longitude + 180) % 360 - 180
    return found


def _extent(
    shapes: Shapes, zones: npt.NDArray[np.int64], names: npt.NDArray[Any]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return west, south, east and north of polygons in their zones."""
    import shapely

    edges = np.empty((4, len(shapes)))
    for zone in np.unique(zones):
        here = np.flatnonzero(zones == zone)
        points, owner = shapely.get_coordinates(shapes[here], return_index=True)
        x, y = project(points[:, 0], points[:, 1], f"EPSG:{zone}")
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        edges[:2, here] = np.minimum.reduceat(x, first), np.minimum.reduceat(y, first)
        edges[2:, here] = np.maximum.reduceat(x, first), np.maximum.reduceat(y, first)
    _, south, _, north = shapely.bounds(shapes).T
    beyond = ~np.isfinite(edges).all(axis=0) | (south < -80) | (north > 84)
    if beyond.any():
        text = "Polygons reach where UTM is not defined, or too far from the middle of its zone."
        fix = "Leave them out, or split them: frame = frame.explode()"
        raise ImageryError(explain(text, where=names[beyond], rule="-80 <= latitude <= 84", fix=fix))
    return edges[0], edges[1], edges[2], edges[3]


def _back(x: Floats, y: Floats, zones: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return longitude and latitude of points in UTM zones."""
    longitude, latitude = np.empty(len(x)), np.empty(len(x))
    for zone in np.unique(zones):
        here = zones == zone
        found = transformer_between(f"EPSG:{zone}", "EPSG:4326").transform(x[here], y[here])
        longitude[here], latitude[here] = _turned(np.asarray(found[0])), found[1]
    return longitude, latitude


def _into(polygon: Any, crs: str, middle: tuple[float, float]) -> Any:
    """Return a polygon in another system, in the turn of longitude of a grid's middle when that is in degrees."""
    import shapely

    pieces = shapely.segmentize(polygon, PIECE_DEGREES)
    degrees = is_geographic(crs)

    def move(points: Floats) -> Floats:
        if crs == "EPSG:4326":
            return points
        if degrees:
            x, y = transformer_between("EPSG:4326", crs).transform(points[:, 0], points[:, 1])
            turns = 360 * np.rint((points[:, 0] - np.asarray(x)) / 360)
            return np.column_stack([np.asarray(x) + turns, y])
        return np.column_stack(project(points[:, 0], points[:, 1], crs))

    placed = shapely.transform(pieces, move)
    if degrees:
        west, _, east, _ = placed.bounds
        turns = 360 * np.rint((middle[0] - (west + east) / 2) / 360)
        return shapely.transform(placed, lambda points: points + np.array([turns, 0.0]))
    points, ring = shapely.get_coordinates(shapely.get_rings(placed), return_index=True)
    jumps = np.abs(np.diff(points, axis=0))[np.diff(ring) == 0]
    if not np.isfinite(points).all() or (jumps.size and jumps.max() > _TORN_M / metres_of(crs)):
        text = f"A polygon is torn apart in {crs[:60]}: it reaches the edge of that system."
        fix = "gdalwarp -t_srs EPSG:326.. (the units' UTM zone) the raster, or leave the unit out."
        raise ImageryError(
            explain(text, rule="a polygon lies in one piece in the system of its chip", fix=fix)
        )
    return placed
