"""Polygons of units in longitude and latitude: checked, cut into short edges, in one piece at the antimeridian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError, explain
from eocausal.imagery.windows import is_geographic, transformer_between

if TYPE_CHECKING:
    import geopandas

__all__ = ["PIECE_DEGREES", "lonlat_polygons", "metres_of", "names_of"]

Floats = npt.NDArray[np.float64]
Shapes = npt.NDArray[Any]

# Edges are cut into pieces of at most so many degrees, or metres, before they are projected: a straight line
# between the ends of such a piece errs by centimetres.
PIECE_DEGREES, _PIECE_M = 0.01, 1000.0


def lonlat_polygons(
    polygons: geopandas.GeoSeries | Shapes | Sequence[Any], *, ids: npt.ArrayLike | None = None
) -> Shapes:
    """Return polygons in longitude and latitude, each in one piece across the antimeridian.

    Edges are straight in the system that the polygons come in, and are cut into short pieces there. Where a
    polygon crosses the antimeridian its longitudes go on beyond 180.

    Parameters
    ----------
    polygons : GeoSeries or array of shapely geometries
        Polygons or multipolygons; arrays are longitude and latitude (EPSG:4326).
    ids : array_like, optional
        What errors call them; default their positions.

    Returns
    -------
    numpy.ndarray
        Shapely geometries, shape (n,).

    Raises
    ------
    ImageryError
        As :func:`bounding_square`.

    Examples
    --------
    >>> import shapely
    >>> halves = shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)])
    >>> shapely.bounds(lonlat_polygons([halves])).tolist()
    [[179.0, -17.0, 181.0, -16.0]]
    """
    import shapely

    crs = _crs_of(polygons)
    shapes = np.asarray(polygons, dtype=object)
    names = names_of(shapes, ids)
    _check_polygons(shapes, names)
    shapes = shapely.force_2d(shapes)
    if is_geographic(crs):
        shapes = shapely.segmentize(_unwrapped(shapes, names), PIECE_DEGREES)
    else:
        shapes = shapely.segmentize(shapes, _PIECE_M / metres_of(crs))
    if crs == "EPSG:4326":
        return np.asarray(shapes, dtype=object)
    transform = transformer_between(crs, "EPSG:4326").transform
    turned = np.asarray(
        shapely.transform(shapes, lambda xy: np.column_stack(transform(xy[:, 0], xy[:, 1]))), dtype=object
    )
    lost = ~np.isfinite(shapely.bounds(turned)).all(axis=1)
    if lost.any():
        text = f"Polygons reach where {crs[:60]} is not defined."
        raise ImageryError(explain(text, where=names[lost], fix="Check crs= of the units."))
    return _unwrapped(turned, names)


def _crs_of(polygons: Any) -> str:
    """Return the reference system of polygons as text; arrays are in EPSG:4326."""
    if not hasattr(polygons, "crs"):
        return "EPSG:4326"
    if polygons.crs is None:
        text = "The polygons have no reference system (CRS)."
        raise ImageryError(explain(text, fix='geometry = geometry.set_crs("EPSG:4326")'))
    code = polygons.crs.to_epsg()
    return f"EPSG:{code}" if code else str(polygons.crs.to_wkt())


def metres_of(crs: str) -> float:
    """Return the length of one unit of a projected system."""
    import pyproj

    return float(pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)


def names_of(shapes: Shapes, ids: npt.ArrayLike | None) -> npt.NDArray[Any]:
    """Return what errors call polygons: their ids, or their positions."""
    names = np.array([f"row {row}" for row in range(len(shapes))]) if ids is None else np.asarray(ids)
    if names.shape != (len(shapes),):
        text = f"There are {len(shapes)} polygons, and ids of the shape {names.shape}."
        raise ImageryError(explain(text, rule="one id for each polygon"))
    return names


def _check_polygons(shapes: Shapes, names: npt.NDArray[Any]) -> None:
    import shapely

    problems = (
        ("are missing", shapely.is_missing(shapes), "frame = frame[frame.geometry.notna()]"),
        ("are empty", shapely.is_empty(shapes), "frame = frame[~frame.geometry.is_empty]"),
        (
            "are not polygons",
            ~np.isin(shapely.get_type_id(shapes), (3, 6)),
            'Keep them apart: frame[frame.geom_type.isin(["Polygon", "MultiPolygon"])]',
        ),
        ("are invalid", ~shapely.is_valid(shapes), "frame.geometry = frame.geometry.make_valid()"),
    )
    for problem, rows, fix in problems:
        if rows.any():
            raise ImageryError(explain(f"Geometries {problem}.", where=names[rows], fix=fix))


def _unwrapped(shapes: Shapes, names: npt.NDArray[Any]) -> Shapes:
    """Return polygons of which each is in one turn of longitude; refuse those that encircle a pole."""
    import shapely

    bounds = shapely.bounds(shapes)
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180)
    if not len(wide):
        return shapes
    done, failed = shapes.copy(), []
    for row in wide.tolist():
        joined = _unwrap(shapes[row])
        if joined is None:
            failed.append(row)
        else:
            done[row] = joined
    if failed:
        text = "Polygons encircle a pole or span more than half the globe."
        fix = "Split them into their parts: frame = frame.explode()"
        raise ImageryError(
            explain(text, where=names[failed], rule="at most 180 degrees of longitude", fix=fix)
        )
    return done


def _unwrap(shape: Any) -> Any | None:
    """Return a polygon with its rings and parts moved into one turn of longitude; None when it does not fit."""
    import shapely

    parts: list[Any] = []
    for part in shapely.get_parts(shape):
        rings = [_unwrap_ring(ring) for ring in (part.exterior, *part.interiors)]
        if any(ring is None for ring in rings):
            return None
        outer, *holes = (ring for ring in rings if ring is not None)
        # parts go to the first part, holes to their own
        outer = _near(outer, _middle(shapely.get_coordinates(parts[0].exterior) if parts else outer))
        parts.append(shapely.Polygon(outer, [_near(hole, _middle(outer)) for hole in holes]))
    joined = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    west, _, east, _ = joined.bounds
    return joined if east - west <= 180 else None


def _unwrap_ring(ring: Any) -> Floats | None:
    """Return the points of a ring without jumps across the antimeridian; None when it encircles a pole."""
    import shapely

    points: Floats = shapely.get_coordinates(ring)
    points[:, 0] = np.unwrap(points[:, 0], period=360.0)
    return points if abs(points[-1, 0] - points[0, 0]) < 1 else None


def _middle(points: Floats) -> float:
    return float(points[:, 0].min() + points[:, 0].max()) / 2


def _near(points: Floats, longitude: float) -> Floats:
    """Return points moved by whole turns to where their middle is nearest to a longitude."""
    turns = 360 * np.rint((longitude - _middle(points)) / 360)
    moved: Floats = points + np.array([turns, 0.0])
    return moved
