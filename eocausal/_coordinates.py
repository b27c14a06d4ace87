"""Where units are: reference systems, and points checked and brought to longitude and latitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import UnitsError, explain

if TYPE_CHECKING:
    import geopandas
    import pyproj

Floats = npt.NDArray[np.float64]
POINTS_AND_POLYGONS = ("Point", "Polygon", "MultiPolygon")


@dataclass(frozen=True)
class Places:
    """Where units are: degrees in EPSG:4326, and geometry when the source held it."""

    longitude: Floats | None = None
    latitude: Floats | None = None
    geometry: geopandas.GeoSeries | None = None
    crs: str | None = None
    notes: tuple[str, ...] = ()


def locate(
    table: pd.DataFrame, ids: npt.NDArray[Any], *, lon: str | None, lat: str | None, crs: object | None
) -> Places:
    """Return coordinates from columns or from geometry, whichever was given, or no places at all."""
    geometry = geometry_column(table)
    if (lon is None) != (lat is None):
        raise UnitsError(explain("Only one of lon= and lat= is given.", fix="Give both."))
    if lon is not None and lat is not None:
        if geometry is not None:
            text = "The table has a geometry column, and lon= and lat= are given."
            fix = f"Leave out lon= and lat=, or pass pd.DataFrame(frame.drop(columns={geometry!r}))."
            raise UnitsError(explain(text, fix=fix))
        system = parse_crs("EPSG:4326" if crs is None else crs)
        x, y = numeric_columns(table, lon, lat, ids)
        longitude, latitude = to_lonlat(x, y, crs=system, ids=ids, lon=lon, lat=lat)
        return Places(longitude, latitude, crs=system.to_string())
    if geometry is not None:
        return _locate_by_geometry(table[geometry], ids, crs)
    if crs is not None:
        raise UnitsError(explain(f"crs={crs!r} is given without coordinates.", fix="Give lon= and lat= too."))
    return Places()


def geometry_column(table: pd.DataFrame) -> str | None:
    """Return the name of the active geometry column of a GeoDataFrame, None for other tables."""
    name = getattr(table, "_geometry_column_name", None)
    return name if name is not None and name in table.columns else None


def _locate_by_geometry(geometry: geopandas.GeoSeries, ids: npt.NDArray[Any], crs: object | None) -> Places:
    given = None if crs is None else parse_crs(crs)
    if geometry.crs is None and given is None:
        fix = 'Name it: read_units(..., crs="EPSG:4326")'
        raise UnitsError(explain("The geometry has no reference system (CRS).", fix=fix))
    if geometry.crs is not None and given is not None and geometry.crs != given:
        text = f"crs={given.to_string()!r} differs from that of the geometry, {geometry.crs.to_string()!r}."
        raise UnitsError(explain(text, fix=f"Leave out crs=, or frame = frame.to_crs({given.to_string()!r})"))
    system = parse_crs(given if geometry.crs is None else geometry.crs)
    check_geometry(geometry, ids)
    if geometry.crs is None:
        geometry = geometry.set_crs(system)
    x, y = centres(geometry, ids)
    longitude, latitude = to_lonlat(x, y, crs=system, ids=ids, lon="geometry x", lat="geometry y")
    polygons = int((geometry.geom_type != "Point").sum())
    note = f"{polygons} of {len(ids)} units are polygons: their place is the centroid."
    return Places(longitude, latitude, geometry, system.to_string(), (note,) if polygons else ())


def parse_crs(crs: object) -> pyproj.CRS:
    """Return the reference system, or raise UnitsError when it is unknown or not of the Earth's surface."""
    import pyproj

    try:
        parsed = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as cause:
        fix = 'Give an EPSG code such as crs="EPSG:32636", or WKT.'
        raise UnitsError(explain(f"crs={crs!r} is not a known reference system.", fix=fix)) from cause
    if not (parsed.is_geographic or parsed.is_projected):
        fix = 'Give a geographic or projected system such as crs="EPSG:4326".'
        raise UnitsError(
            explain(f"crs={crs!r} ({parsed.name}) is neither geographic nor projected.", fix=fix)
        )
    return parsed


# Zones that are wider or missing, by convention: west, east, south, north in degrees, and the zone there.
# South-west Norway belongs to zone 32; Svalbard has zones 31, 33, 35 and 37 alone.
_ZONE_EXCEPTIONS = (
    (3, 12, 56, 64, 32),
    (0, 9, 72, 84, 31),
    (9, 21, 72, 84, 33),
    (21, 33, 72, 84, 35),
    (33, 42, 72, 84, 37),
)

# Polygons this many degrees wide may lie across the 180th meridian; what is wider reads either way around.
_WIDEST_ACROSS = 60


def utm_epsg(lon: Floats, lat: Floats) -> npt.NDArray[np.int64]:
    """Return the EPSG code of the WGS 84 / UTM zone of each point.

    Zones are six degrees wide but in south-west Norway and Svalbard, as in the tiles of Sentinel-2.

    Examples
    --------
    >>> utm_epsg(np.array([34.1, -70.0, 5.3]), np.array([1.3, -33.0, 60.4])).tolist()
    [32636, 32719, 32632]
    """
    lon, lat = np.asarray(lon), np.asarray(lat)
    zone = np.clip(np.floor((lon + 180.0) / 6.0).astype(np.int64), 0, 59) + 1
    for west, east, south, north, there in _ZONE_EXCEPTIONS:
        # Where the grid ends, at 84 degrees, the last zone holds its northern edge too.
        below = lat <= north if north == 84 else lat < north
        zone = np.where((lon >= west) & (lon < east) & (lat >= south) & below, there, zone)
    codes: npt.NDArray[np.int64] = np.where(lat < 0, 32700, 32600) + zone
    return codes


def numeric_columns(frame: pd.DataFrame, lon: str, lat: str, ids: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Return two columns as finite floats, or raise UnitsError naming the rows that are not."""
    found = []
    for column in (lon, lat):
        values = frame[column]
        if values.dtype.kind in "bc":
            text = f"Column {column!r} holds {values.dtype} values, which are no coordinates."
            raise UnitsError(explain(text, rule="real numbers"))
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            numbers = pd.to_numeric(values, errors="coerce")
            bad = (numbers.isna() & values.notna()).to_numpy()
            sample = values[bad if bad.any() else values.notna()].head(3).tolist()
            fix = f'frame[{column!r}] = frame[{column!r}].astype(str).str.replace(",", ".").astype(float)'
            raise UnitsError(
                explain(f"Column {column!r} holds text, not numbers: {sample}.", where=ids[bad], fix=fix)
            )
        coordinates = values.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(coordinates)
        if bad.any():
            raise UnitsError(
                explain(
                    f"Column {column!r} has missing or infinite coordinates.",
                    where=ids[bad],
                    rule="every unit has a place",
                    fix=f"Find them, or leave those units out: frame = frame[np.isfinite(frame[{column!r}])]",
                )
            )
        found.append(coordinates)
    return found[0], found[1]


def to_lonlat(
    x: Floats, y: Floats, *, crs: pyproj.CRS, ids: npt.NDArray[Any], lon: str, lat: str
) -> tuple[Floats, Floats]:
    """Check points in ``crs`` and return longitude and latitude (EPSG:4326).

    ``lon`` and ``lat`` name the columns in error texts.
    """
    import pyproj

    null_island = (x == 0) & (y == 0)
    if null_island.any():
        fix = f"frame = frame[(frame[{lon!r}] != 0) | (frame[{lat!r}] != 0)]"
        rule = "(0, 0) lies in the Gulf of Guinea and is how survey files write a missing place"
        raise UnitsError(explain("Units lie at (0, 0).", where=ids[null_island], rule=rule, fix=fix))
    if crs.is_geographic:
        _check_degrees(x, y, ids=ids, lon=lon, lat=lat)
    elif len(x) and (np.abs(x) <= 180).all() and (np.abs(y) <= 90).all():
        text = f"Columns {lon!r} and {lat!r} look like degrees, but crs={crs.to_string()!r} is projected."
        rule = "with a projected crs they are easting and northing"
        raise UnitsError(explain(text, rule=rule, fix='Use crs="EPSG:4326".'))
    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = (np.asarray(v, dtype=np.float64) for v in transformer.transform(x, y))
    lost = ~(np.isfinite(longitude) & np.isfinite(latitude))
    if lost.any():
        text = f"Units lie where {crs.to_string()} ({crs.name}) is not defined."
        fix = f"Check crs= and the order of {lon!r} (easting) and {lat!r} (northing)."
        raise UnitsError(explain(text, where=ids[lost], fix=fix))
    return longitude, latitude


def _check_degrees(x: Floats, y: Floats, *, ids: npt.NDArray[Any], lon: str, lat: str) -> None:
    swapped = (np.abs(y) > 90) & (np.abs(y) <= 180) & (np.abs(x) <= 90)
    if swapped.any():
        raise UnitsError(
            explain(
                f"Longitude and latitude look swapped: column {lat!r} (lat) goes beyond 90 degrees "
                f"while column {lon!r} (lon) does not.",
                where=ids[swapped],
                rule="-90 <= latitude <= 90",
                fix=f"read_units(..., lon={lat!r}, lat={lon!r})",
            )
        )
    outside = (np.abs(x) > 180) | (np.abs(y) > 90)
    if not outside.any():
        return
    fix = f"frame[{lon!r}] = (frame[{lon!r}] + 180) % 360 - 180"
    if np.abs(y).max() > 1000 or np.abs(x).max() > 1000:
        fix = 'If these are eastings and northings in metres, name their system: crs="EPSG:326.."'
    elif (np.abs(y) > 90).any():
        fix = "Correct these rows at their source."
    text = (
        f"Columns {lon!r} and {lat!r} are out of range, for example ({x[outside][0]:g}, {y[outside][0]:g})."
    )
    rule = "-180 <= longitude <= 180 and -90 <= latitude <= 90"
    raise UnitsError(explain(text, where=ids[outside], rule=rule, fix=fix))


def check_geometry(geometry: geopandas.GeoSeries, ids: npt.NDArray[Any]) -> None:
    """Raise UnitsError for geometry that is missing, empty, invalid, or neither point nor polygon."""
    kinds = geometry.geom_type
    others = ", ".join(sorted(set(kinds.dropna()) - set(POINTS_AND_POLYGONS)))
    problems = (
        ("is missing", geometry.isna(), "frame = frame[frame.geometry.notna()]"),
        ("is empty", geometry.is_empty, "frame = frame[~frame.geometry.is_empty]"),
        (
            f"is neither point nor polygon ({others})",
            ~kinds.isin(POINTS_AND_POLYGONS),
            "frame.geometry = frame.geometry.centroid",
        ),
        (
            "is invalid (for example, it crosses itself)",
            ~geometry.is_valid,
            "frame.geometry = frame.geometry.make_valid()",
        ),
    )
    for problem, rows, fix in problems:
        if rows.any():
            raise UnitsError(explain(f"Geometry {problem}.", where=ids[rows.to_numpy()], fix=fix))


def centres(geometry: geopandas.GeoSeries, ids: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Return x and y of points, and of the centroids of polygons taken in the UTM zone of each.

    The result is in the reference system of ``geometry``. Polygons on both sides of the 180th meridian, whole
    or split there, have their centroid where they are and not half a world away.
    """
    import geopandas

    points = geometry.copy()
    polygons = (geometry.geom_type != "Point").to_numpy()
    if polygons.any():
        shapes = _in_one_turn(geometry[polygons].to_crs("EPSG:4326"), ids[polygons])
        bounds = shapes.bounds
        zones = utm_epsg(
            ((bounds["minx"].to_numpy() + bounds["maxx"].to_numpy()) / 2 + 180) % 360 - 180,
            (bounds["miny"].to_numpy() + bounds["maxy"].to_numpy()) / 2,
        )
        for zone in np.unique(zones):
            middle = shapes[zones == zone].to_crs(int(zone)).centroid
            points.loc[middle.index] = geopandas.GeoSeries(middle).to_crs(geometry.crs)
    return points.x.to_numpy(dtype=np.float64), points.y.to_numpy(dtype=np.float64)


def _in_one_turn(shapes: geopandas.GeoSeries, ids: npt.NDArray[Any]) -> geopandas.GeoSeries:
    """Return shapes in degrees, those across the 180th meridian with longitudes from 0 to 360."""
    import shapely

    wide = (shapes.bounds["maxx"] - shapes.bounds["minx"]).to_numpy() > 180
    if not wide.any():
        return shapes
    shapes = shapes.copy()
    turned = shapely.transform(
        shapes[wide].to_numpy(), lambda points: np.column_stack([points[:, 0] % 360, points[:, 1]])
    )
    shapes.loc[wide] = turned
    still = (shapes.bounds["maxx"] - shapes.bounds["minx"]).to_numpy() > _WIDEST_ACROSS
    still &= wide
    if still.any():
        text = "Polygons reach half around the world, so that their middle is not one place."
        fix = "Give a point for each of these units: frame.geometry = frame.geometry.representative_point()"
        rule = f"less than 180 degrees wide, or {_WIDEST_ACROSS} across the 180th meridian"
        raise UnitsError(explain(text, where=ids[still], rule=rule, fix=fix))
    return shapes


def shared_across_arms(
    longitude: Floats, latitude: Floats, treated: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Tell which units lie at a place where a unit of the other arm lies too.

    Pictures of one place are the same picture, so features cannot tell such units apart.

    Parameters
    ----------
    longitude, latitude : numpy.ndarray
        Degrees, shape (n,); places are the same when they agree to five decimals (about a metre).
    treated : numpy.ndarray
        0 or 1, shape (n,).

    Returns
    -------
    numpy.ndarray
        bool, shape (n,); its mean is the share.

    Examples
    --------
    >>> shared_across_arms(np.array([34.1, 34.1, 34.2]), np.array([1.0, 1.0, 1.0]), np.array([0, 1, 1])).tolist()
    [True, True, False]
    """
    degrees = np.stack([(longitude + 180) % 360, latitude], axis=1)
    place = np.unique(np.round(degrees, 5), axis=0, return_inverse=True)[1].reshape(-1)
    arm = np.asarray(treated).astype(bool)
    units, of_treated = np.bincount(place), np.bincount(place, weights=arm)
    both: npt.NDArray[np.bool_] = ((of_treated > 0) & (of_treated < units))[place]
    return both
