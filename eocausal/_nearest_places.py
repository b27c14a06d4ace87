"""Which place of a table belongs to each point: the nearest on the sphere, or the polygon around it.

The table is read in parts, and the best so far of each point is kept, so memory does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._place_tables import PlaceTable
from eocausal.errors import EmbeddingsError, explain

__all__ = ["Asked", "Match", "find_places"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EARTH_RADIUS_M = 6_371_008.8
# Places whose distances differ by less are equally near: of those the one furthest south, then west, is taken.
TIE_M = 1e-3
_AT_ONCE = 2**18
# Neighbours looked at for ties: a point in the middle of a cell of a grid has four.
_NEIGHBOURS = 8
# A grid of places has at most so many different longitudes or latitudes.
_MOST_LINES = 200_000


@dataclass(frozen=True)
class Asked:
    """Where a table says its places are, and of which year they are to be."""

    lon: str | None
    lat: str | None
    year_column: str | None
    year: int | None


@dataclass(eq=False)
class Match:
    """The best place so far of each point: its row (-1 for none), where it is and how far away, in metres."""

    longitude: Floats
    latitude: Floats
    row: Integers
    distance_m: Floats
    place_lon: Floats
    place_lat: Floats
    twice: npt.NDArray[np.bool_]
    polygons: bool = False
    rows: int = 0
    years: set[int] = field(default_factory=set)
    bounds: tuple[float, float, float, float] = (np.inf, np.inf, -np.inf, -np.inf)
    lines: list[Floats] | None = field(default_factory=lambda: [np.empty(0), np.empty(0)])

    def offer(self, points: Integers, rows: Integers, distance: Floats, lon: Floats, lat: Floats) -> None:
        """Keep what is better than the best so far; ``points`` are all different."""
        gap = distance - self.distance_m[points]
        tie = np.abs(gap) <= TIE_M
        same = tie & (lat == self.place_lat[points]) & (lon == self.place_lon[points])
        south = lat < self.place_lat[points]
        west = (lat == self.place_lat[points]) & (lon < self.place_lon[points])
        better = (gap < -TIE_M) | (tie & (south | west))
        self.twice[points[same]] = True
        kept = points[better]
        self.row[kept], self.distance_m[kept], self.twice[kept] = rows[better], distance[better], False
        self.place_lon[kept], self.place_lat[kept] = lon[better], lat[better]

    def see(self, lon: Floats, lat: Floats) -> None:
        """Remember the bounds of the places, and their lines as long as they could be those of a grid."""
        if not len(lon):
            return
        west, south, east, north = self.bounds
        self.bounds = (
            min(west, float(lon.min())), min(south, float(lat.min())),
            max(east, float(lon.max())), max(north, float(lat.max())),
        )  # fmt: skip
        if self.lines is not None:
            self.lines = [np.union1d(seen, new.round(7)) for seen, new in zip(self.lines, (lon, lat))]
            if max(map(len, self.lines)) > _MOST_LINES:
                self.lines = None


def find_places(table: PlaceTable, asked: Asked, *, longitude: Floats, latitude: Floats) -> Match:
    """Return the place of each point; nearer places win, of equally near ones that furthest south, then west."""
    count = len(longitude)
    match = Match(
        longitude, latitude, np.full(count, -1), np.full(count, np.inf), np.full(count, np.nan),
        np.full(count, np.nan), np.zeros(count, dtype=bool),
    )  # fmt: skip
    shapes = None if asked.lon is not None else table.geometry
    columns = [shapes] if shapes is not None else [str(asked.lon), str(asked.lat)]
    years = [] if asked.year_column is None else [asked.year_column]
    search: Any = None
    for start, part in table.parts([*columns, *years], _AT_ONCE, None):
        match.rows += len(part)
        rows = np.arange(start, start + len(part))
        part = part.set_axis(rows)  # so that errors name rows of the table
        if asked.year_column is not None:
            found = _years(part[asked.year_column], asked.year_column)
            match.years |= set(np.unique(found).tolist())
            if asked.year is not None:
                rows, part = rows[found == asked.year], part[found == asked.year]
        if not len(part):
            continue
        if shapes is None:
            _offer_points(match, rows, *_degrees(part, columns[0], columns[1], table.name))
            continue
        geometry = _geometry(part[shapes], table.name)
        search = _Shapes(match, table) if search is None else search
        search.offer(rows, geometry)
    return match


def sphere_distance(lon: Floats, lat: Floats, other_lon: Floats, other_lat: Floats) -> Floats:
    """Return metres between points along the sphere.

    Examples
    --------
    >>> float(sphere_distance(np.zeros(1), np.zeros(1), np.ones(1), np.zeros(1)).round(1)[0])
    111195.1
    """
    apart = np.linalg.norm(_on_sphere(lon, lat) - _on_sphere(other_lon, other_lat), axis=1)
    return np.asarray(_along(apart))


def _on_sphere(lon: Floats, lat: Floats) -> Floats:
    east, north = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)


def _along(chord: Floats) -> Floats:
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.minimum(chord / 2, 1.0)))


def _offer_points(match: Match, rows: Integers, lon: Floats, lat: Floats) -> None:
    from scipy.spatial import cKDTree

    match.see(lon, lat)
    near = list(range(1, min(_NEIGHBOURS, len(rows)) + 1))
    chords, found = cKDTree(_on_sphere(lon, lat)).query(_on_sphere(match.longitude, match.latitude), k=near)
    points = np.arange(len(match.row))
    for chord, at in zip(np.asarray(chords).T, np.asarray(found).T):
        match.offer(points, rows[at], _along(chord), lon[at], lat[at])


class _Shapes:
    """Points indexed in the system of the table's geometry, to which shapes are offered part by part."""

    def __init__(self, match: Match, table: PlaceTable) -> None:
        import pyproj
        import shapely

        self.match, self.name = match, table.name
        self.to_degrees = pyproj.Transformer.from_crs(_system(table), "EPSG:4326", always_xy=True)
        x, y = self.to_degrees.transform(match.longitude, match.latitude, direction="INVERSE")
        self.tree = shapely.STRtree(shapely.points(x, y))
        self.kind: str | None = None

    def offer(self, rows: Integers, geometry: npt.NDArray[Any]) -> None:
        import shapely

        kinds = shapely.get_type_id(geometry)
        kind = "points" if (kinds == 0).all() else "polygons" if np.isin(kinds, (3, 6)).all() else ""
        if not kind or kind != (self.kind or kind):
            text = f"Geometry of {self.name} is neither all points nor all polygons."
            raise EmbeddingsError(explain(text, fix="frame.geometry = frame.geometry.centroid"))
        self.kind = kind
        if kind == "points":
            x, y = shapely.get_coordinates(geometry).T
            _offer_points(self.match, rows, *self._degrees(x, y))
            return
        self.match.polygons, self.match.lines = True, None
        x, y = shapely.get_coordinates(shapely.centroid(geometry)).T
        lon, lat = self._degrees(x, y)
        self.match.see(lon, lat)
        at, points = self.tree.query(geometry, predicate="covers")
        # one polygon for each point at a time
        turn = pd.Series(points).groupby(points).cumcount().to_numpy()
        for number in range(int(turn.max(initial=-1)) + 1):
            now = turn == number
            here, which = points[now], at[now]
            apart = sphere_distance(
                self.match.longitude[here], self.match.latitude[here], lon[which], lat[which]
            )
            self.match.offer(here, rows[which], apart, lon[which], lat[which])

    def _degrees(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        lon, lat = (np.asarray(v, dtype=float) for v in self.to_degrees.transform(x, y))
        _check_degrees(lon, lat, ("geometry x", "geometry y"), self.name)
        return lon, lat


def _system(table: PlaceTable) -> Any:
    """Return the system of the geometry; WKB in a file that cannot say it is of degrees, as in Major TOM."""
    import pyproj

    try:
        return pyproj.CRS.from_user_input("OGC:CRS84" if table.crs is None else table.crs)
    except pyproj.exceptions.CRSError as cause:
        text = f"The geometry of {table.name} has no reference system that is known."
        raise EmbeddingsError(
            explain(text, rule=str(cause)[:200], fix='frame = frame.set_crs("EPSG:4326")')
        ) from cause


def _geometry(column: pd.Series, name: str) -> npt.NDArray[Any]:
    import shapely

    values = column.to_numpy(dtype=object)
    try:
        is_wkb = [isinstance(value, bytes) for value in values]
        geometry = shapely.from_wkb(values) if all(is_wkb) else values
    except shapely.errors.GEOSException as cause:
        raise EmbeddingsError(explain(f"Geometry of {name} is not WKB.", rule=str(cause)[:200])) from cause
    absent = shapely.is_missing(geometry) | shapely.is_empty(geometry)
    crossed = ~shapely.is_valid(geometry) & ~absent
    for problem, bad, fix in (
        ("missing or empty", absent, "frame = frame[frame.geometry.notna()]"),
        ("invalid (for example, it crosses itself)", crossed, "frame.geometry = frame.geometry.make_valid()"),
    ):
        if bad.any():
            text = f"Geometry of {name} is {problem} (where: rows from 0)."
            raise EmbeddingsError(explain(text, where=column.index[bad], fix=fix))
    return np.asarray(geometry)


def _degrees(part: pd.DataFrame, lon: str, lat: str, name: str) -> tuple[Floats, Floats]:
    require_columns(part, [lon, lat], table="table of places", error=EmbeddingsError)
    found = []
    for column in (lon, lat):
        if not pd.api.types.is_numeric_dtype(part[column]):
            text = f"Column {column!r} of {name} holds text, not degrees: {part[column].head(3).tolist()}."
            raise EmbeddingsError(explain(text, fix=f"frame[{column!r}] = pd.to_numeric(frame[{column!r}])"))
        values = part[column].to_numpy(dtype=float, na_value=np.nan)
        if not np.isfinite(values).all():
            rows = part.index[~np.isfinite(values)]
            text = f"Column {column!r} of {name} has missing or infinite coordinates (where: rows from 0)."
            raise EmbeddingsError(
                explain(text, where=rows, fix=f"frame = frame[np.isfinite(frame[{column!r}])]")
            )
        found.append(values)
    _check_degrees(found[0], found[1], (lon, lat), name)
    return found[0], found[1]


def _check_degrees(lon: Floats, lat: Floats, columns: tuple[str, str], name: str) -> None:
    if (np.abs(lat) <= 90).all() and (np.abs(lon) <= 360).all():
        return
    swapped = (np.abs(lon) <= 90).all() and (np.abs(lat) <= 360).all()
    text = (
        f"Longitude and latitude of {name} look swapped"
        if swapped
        else f"Places of {name} are not in degrees"
    )
    example = f"({columns[0]!r} up to {np.abs(lon).max():g}, {columns[1]!r} up to {np.abs(lat).max():g})"
    fix = f"lon={columns[1]!r}, lat={columns[0]!r}" if swapped else "bring them to EPSG:4326"
    raise EmbeddingsError(explain(f"{text} {example}.", rule="-90 <= latitude <= 90", fix=fix))


def _years(values: pd.Series, column: str) -> Integers:
    if pd.api.types.is_numeric_dtype(values):
        years = values.to_numpy(dtype=float, na_value=np.nan)
    else:
        years = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True).dt.year.to_numpy(
            dtype=float
        )
    bad = ~((years >= 1900) & (years <= 2200) & (years % 1 == 0))
    if bad.any():
        text = f"Column {column!r} holds values that are neither years nor dates: {values[bad].head(3).tolist()}."
        raise EmbeddingsError(
            explain(text, where=values.index[bad], rule="2019, or ISO 8601 such as 2019-07-01")
        )
    return years.astype(np.int64)


def grid_steps(match: Match) -> tuple[float, float] | None:
    """Return the steps in degrees of longitude and latitude when the places lie on a regular grid, else None."""
    if match.lines is None or min(map(len, match.lines)) < 3:
        return None
    steps = []
    for line in match.lines:
        apart = np.diff(line)
        step = float(apart.min())
        if (np.abs(apart / step - (apart / step).round()) > 0.01).any():
            return None
        # over the whole length, so that rounding of single places does not show
        steps.append(float(np.ptp(line) / (np.ptp(line) / step).round()))
    return steps[0], steps[1]


def batches_of(
    iterator: Iterator[tuple[int, pd.DataFrame]], wanted: Integers
) -> Iterator[tuple[Integers, pd.DataFrame]]:
    """Yield, of each part, the wanted rows that it holds: their places in ``wanted``, and those rows alone."""
    for start, part in iterator:
        first, last = np.searchsorted(wanted, [start, start + len(part)])
        if last > first:
            yield np.arange(first, last), part.iloc[wanted[first:last] - start]
