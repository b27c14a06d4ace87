"""Places in metres of a projected reference system, where flat distances are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._coordinates import parse_crs
from eocausal.errors import EstimationError, UnitsError, explain

FloatArray = npt.NDArray[np.float64]

# How far beyond the area that a system is made for units may lie: a study does not end at the edge of a zone.
_MARGIN_DEGREES = 1.0
_FIX = "a system of the study's region in metres, such as its UTM zone, 'EPSG:32636', or leave crs out"


def read_crs(crs: object) -> str:
    """Return the name of a projected reference system in metres.

    Examples
    --------
    >>> read_crs(32636)
    'EPSG:32636'
    """
    try:
        system = parse_crs(crs)
    except UnitsError as cause:
        raise EstimationError(
            explain(f"crs={crs!r} is not a reference system for distances.", fix=_FIX)
        ) from cause
    if not system.is_projected:
        text = f"crs={crs!r} ({system.name}) is in degrees, and a degree has no one length."
        raise EstimationError(explain(text, rule="distances are in metres", fix=_FIX))
    strange = {axis.unit_name for axis in system.axis_info if axis.unit_conversion_factor != 1}
    if strange:
        text = f"crs={crs!r} ({system.name}) is in {', '.join(sorted(strange))}."
        raise EstimationError(explain(text, rule="distances are in metres", fix=_FIX))
    return str(system.to_string())


def project(coordinates: FloatArray, crs: str, *, ids: npt.NDArray[Any] | None = None) -> FloatArray:
    """Return easting and northing (n, 2) in metres of longitude and latitude (n, 2) in degrees.

    Raises
    ------
    EstimationError
        Units lie more than a degree outside of the area that the system is made for, where its distances are wrong.
    """
    import pyproj

    system = parse_crs(crs)
    lon, lat = coordinates.T
    rows = np.arange(len(coordinates)) if ids is None else ids
    area = system.area_of_use
    if area is not None:
        # a system across the 180th meridian has its west east of its east
        width = (area.east - area.west) % 360 or 360.0
        east = (lon - area.west + _MARGIN_DEGREES) % 360 <= width + 2 * _MARGIN_DEGREES
        north = (lat >= area.south - _MARGIN_DEGREES) & (lat <= area.north + _MARGIN_DEGREES)
        _require_inside(east & north, rows, crs, f"made for {area.name}")
    points = pyproj.Transformer.from_crs("EPSG:4326", system, always_xy=True).transform(lon, lat)
    places = np.column_stack([np.asarray(one, dtype=float) for one in points])
    _require_inside(np.isfinite(places).all(axis=1), rows, crs, "it has no place for them")
    return places


def _require_inside(inside: npt.NDArray[np.bool_], rows: npt.NDArray[Any], crs: str, rule: str) -> None:
    if inside.all():
        return
    text = f"Units lie outside of the area of {crs}, where its distances are wrong."
    raise EstimationError(explain(text, where=rows[~inside], rule=rule, fix=_FIX))
