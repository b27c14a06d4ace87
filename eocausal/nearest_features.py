"""Features that others made for places on the ground, joined to units by where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean, positive_metres, require_columns, whole_number
from eocausal._feature_tables import as_keys
from eocausal._nearest_places import (
    EARTH_RADIUS_M,
    Asked,
    Match,
    batches_of,
    find_places,
    grid_steps,
    sphere_distance,
)
from eocausal._place_tables import PlaceTable, open_places
from eocausal.embeddings import Embeddings
from eocausal.errors import EmbeddingsError, explain

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["embeddings_at"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]

# Units that share an image key show one place.
_SAME_PLACE_M = 1.0
# So many numbers of features are decoded at once.
_AT_ONCE = 2**22
_LISTS_AT_ONCE = 4096


@dataclass(frozen=True)
class _Columns:
    """The feature columns of a table: numbers, or one column of lists."""

    names: tuple[str, ...]
    listed: bool


def embeddings_at(
    units: Units,
    table: str | Path | pd.DataFrame,
    *,
    columns: Sequence[str] | str | None = None,
    lon: str | None = None,
    lat: str | None = None,
    max_distance_m: float | None = None,
    year: int | None = None,
    year_column: str | None = None,
) -> Embeddings:
    """Take features from a table with one row for each place: the nearest point, or the polygon around the unit.

    For features that others publish: the grid of the MOSAIKS API (CSV), embeddings of image tiles (GeoParquet of
    Clay, Major TOM, Earth Index). The table is read in parts, and of the features only those rows that a unit
    needs, so it may be larger than memory.

    Parameters
    ----------
    units : Units
        Units with coordinates. Those that share an image key share one row and must lie within a metre.
    table : path or DataFrame
        A .csv, .parquet, .geoparquet or .gpq file, or a table in memory, with points (columns of degrees, or
        geometry) or polygons (geometry).
    columns : list of str or str, optional
        Columns of features, the prefix they share, or one column of lists; by default all numeric columns except
        coordinates, year and row numbers that pandas wrote, or the only column of lists.
    lon, lat : str, optional
        Columns of longitude and latitude in degrees. Default: the geometry, else ``lon`` and ``lat``.
    max_distance_m : float, optional
        Points further from a unit are not its place. Default, on a regular grid of degrees: half the diagonal of
        a cell at the unit's latitude.
    year : int, optional
        Year of the features: rows of that year are taken where the table holds several, and the date of the
        result is its last day, so that :class:`Design` refuses them for units treated by then.
    year_column : str, optional
        Column with the year, or with a date. Default: ``year``, when there is one.

    Returns
    -------
    Embeddings
        One row per image key. Units without a place have status ``outside`` and NaN, places without features
        ``nodata``. How far units are from their places stands in ``recipe["distance_m"]``.

    Raises
    ------
    EmbeddingsError
        When columns are missing or not numbers, coordinates are missing, not degrees or swapped, the table holds
        several rows of one place (years without ``year=``), features are infinite or missing in part, no
        ``max_distance_m`` is given and the points are no grid, or no unit has a place.

    Examples
    --------
    >>> import pandas as pd, eocausal as ec
    >>> villages = pd.DataFrame({"village": ["a", "b"], "lon": [34.012, 36.0], "lat": [1.307, 1.3]})
    >>> units = ec.read_units(villages, id="village", lon="lon", lat="lat")
    >>> grid = pd.DataFrame({"lon": [34.005, 34.015], "lat": [1.305, 1.305], "X_0": [0.1, 0.2], "X_1": [3.0, 4.0]})
    >>> found = ec.embeddings_at(units, grid, columns="X_", max_distance_m=800, year=2019)
    >>> found.info["status"].tolist(), found.values[0].round(1).tolist(), found.date
    (['ok', 'outside'], [0.2..., 4.0], '2019-12-31')
    """
    keys, longitude, latitude = _points_of(units)
    _check_distance(max_distance_m)
    opened = open_places(table)
    asked = _asked(opened, lon, lat, year, year_column)
    chosen = _choose(opened, columns, asked)
    match = find_places(opened, asked, longitude=longitude, latitude=latitude)
    asked_year = _check_years(match, asked, opened.name)
    limit, said = _limit(match, opened.name, max_distance_m)
    inside = (match.row >= 0) & (match.distance_m <= limit)
    _refuse_none(match, inside, opened.name, limit)
    _refuse_twice(keys[inside & match.twice], asked, match.years)
    names, values = _features(opened, chosen, match.row, inside)
    _check_values(values[inside], keys[inside], names)
    distance = match.distance_m[inside]
    return Embeddings(
        keys=keys,
        key_name=units.image_key,
        values=values,
        columns=tuple(names),
        blocks={Path(table).stem if isinstance(table, (str, Path)) else "features": (0, len(names))},
        info=_info(values, inside),
        date=None if asked_year is None else f"{asked_year}-12-31",
        recipe={
            **opened.origin,
            "join": "polygon that covers the unit" if match.polygons else "nearest point on the sphere",
            "max_distance_m": said,
            "year": asked_year,
            "units": {"count": len(keys), "outside": int((~inside).sum())},
            "distance_m": {"median": float(np.median(distance)), "largest": float(distance.max())},
            "notes": _notes(inside, asked_year),
        },
    )


def _points_of(units: Units) -> tuple[npt.NDArray[Any], Floats, Floats]:
    """Return image keys in the order in which units first name them, and where they are."""
    if units.longitude is None or units.latitude is None:
        raise EmbeddingsError(
            explain("The units have no coordinates.", fix="read_units(..., lon=..., lat=...)")
        )
    names = as_keys(units.image_keys, units.image_key)
    codes, keys = pd.factorize(names)
    first = np.unique(codes, return_index=True)[1]
    lon, lat = units.longitude, units.latitude
    apart = sphere_distance(lon, lat, lon[first[codes]], lat[first[codes]])
    if (apart > _SAME_PLACE_M).any():
        raise EmbeddingsError(
            explain(
                f"Units share a {units.image_key!r} but lie up to {apart.max():,.0f} m apart.",
                where=pd.unique(names[apart > _SAME_PLACE_M]),
                rule=f"units of one image key lie within {_SAME_PLACE_M:g} m",
                fix="leave out image_key= in read_units to join each unit by itself",
            )
        )
    return np.asarray(keys), lon[first], lat[first]


def _check_distance(max_distance_m: object) -> None:
    if max_distance_m is not None:
        what = f"max_distance_m={max_distance_m!r} is not a distance."
        positive_metres(max_distance_m, what=what, error=EmbeddingsError)


def _asked(
    table: PlaceTable, lon: str | None, lat: str | None, year: int | None, year_column: str | None
) -> Asked:
    if (lon is None) != (lat is None):
        raise EmbeddingsError(explain("Only one of lon= and lat= is given.", fix="Give both."))
    if year is not None:
        year = whole_number(year, argument="year", error=EmbeddingsError, least=1900)
    header = pd.DataFrame(columns=list(table.kinds))
    if lon is None and table.geometry is None:
        lon, lat = "lon", "lat"
    needed = [name for name in (lon, lat, year_column) if name is not None]
    require_columns(header, needed, table="table of places", error=EmbeddingsError)
    if year_column is None and "year" in table.kinds:
        year_column = "year"
    return Asked(lon, lat, year_column, year)


def _choose(table: PlaceTable, columns: Sequence[str] | str | None, asked: Asked) -> _Columns:
    places = {asked.lon, asked.lat, asked.year_column}
    numbers = [name for name, kind in table.kinds.items() if kind == "number" and name not in places]
    lists = [name for name, kind in table.kinds.items() if kind == "list"]
    if columns is None:
        if numbers and lists:
            shown = f"numbers ({', '.join(numbers[:5])}) and of lists ({', '.join(lists)})"
            text = f"{table.name} has columns of {shown}."
            raise EmbeddingsError(explain(text, fix=f"say which are features: columns={lists[0]!r}"))
        columns = lists[0] if len(lists) == 1 else numbers
    if isinstance(columns, str):
        if columns in lists:
            return _Columns((columns,), listed=True)
        prefix = columns
        columns = [name for name in numbers if name.startswith(prefix)]
        if not columns:
            text = (
                f"{table.name} has no column of lists {prefix!r}, and no numeric column that starts with it."
            )
            fix = did_you_mean(prefix, lists or numbers) if lists or numbers else ""
            raise EmbeddingsError(explain(text, fix=fix))
    chosen = [str(name) for name in columns]
    header = pd.DataFrame(columns=list(table.kinds))
    require_columns(header, chosen, table="table of places", error=EmbeddingsError)
    wrong = [name for name in chosen if name not in numbers]
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        text = f"Columns of {table.name} cannot be features." if chosen else f"{table.name} has no features."
        rule = "different columns of numbers, without coordinates and year"
        raise EmbeddingsError(explain(text, where=wrong, rule=rule, fix="columns=[...]"))
    return _Columns(tuple(chosen), listed=False)


def _check_years(match: Match, asked: Asked, name: str) -> int | None:
    """Return the year of the features, or raise when it cannot be told or is not in the table."""
    if not match.rows:
        raise EmbeddingsError(explain(f"{name} has no rows."))
    years = sorted(match.years)
    shown = ", ".join(map(str, years[:10]))
    if asked.year is None and len(years) > 1:
        text = f"{name} holds features of {len(years)} years ({shown}) and year= is not given."
        raise EmbeddingsError(explain(text, fix=f"year={years[0]}: the last that ends before treatment"))
    if asked.year is not None and years and asked.year not in match.years:
        text = f"{name} has no features of year={asked.year}."
        raise EmbeddingsError(explain(text, rule=f"years in {asked.year_column!r}: {shown}"))
    return asked.year if asked.year is not None else (years[0] if years else None)


def _limit(match: Match, name: str, max_distance_m: float | None) -> tuple[Floats, Any]:
    """Return how far each unit may be from its place, and how that is said in the recipe."""
    count = len(match.row)
    if match.polygons:
        if max_distance_m is not None:
            text = f"max_distance_m={max_distance_m:g} is given, but {name} holds polygons."
            raise EmbeddingsError(
                explain(text, rule="a polygon covers a unit or does not", fix="Leave it out.")
            )
        return np.full(count, np.inf), None
    if max_distance_m is not None:
        return np.full(count, float(max_distance_m)), float(max_distance_m)
    steps = grid_steps(match)
    if steps is None:
        raise EmbeddingsError(
            explain(
                f"max_distance_m= is not given, and the points of {name} are not a regular grid of degrees.",
                rule="on a grid it is half the diagonal of a cell",
                fix="max_distance_m=... : half the distance between neighbouring points, or as you see fit",
            )
        )
    degree = EARTH_RADIUS_M * math.pi / 180
    east = steps[0] * degree * np.cos(np.radians(match.latitude))
    # a unit at the corner of its cell is in it
    limit = np.hypot(east, steps[1] * degree) / 2 * (1 + 1e-6)
    return limit, f"half the diagonal of a cell of {steps[0]:.6g} x {steps[1]:.6g} degrees"


def _refuse_none(match: Match, inside: npt.NDArray[np.bool_], name: str, limit: Floats) -> None:
    if inside.any():
        return
    west, south, east, north = match.bounds
    lon, lat = match.longitude, match.latitude
    there = f"lon {west:g} to {east:g}, lat {south:g} to {north:g}"
    here = f"lon {lon.min():g} to {lon.max():g}, lat {lat.min():g} to {lat.max():g}"
    turned = ((lat >= west) & (lat <= east) & (lon >= south) & (lon <= north)).any()
    near = match.distance_m.min(initial=np.inf)
    how_far = f"; the nearest is {near:,.0f} m away" if np.isfinite(near) and not match.polygons else ""
    rule = (
        "a polygon covers the unit"
        if match.polygons
        else f"a point within {limit.max(initial=0):,.0f} m{how_far}"
    )
    raise EmbeddingsError(
        explain(
            f"No unit has a place in {name}: units are at {here}, places at {there}.",
            rule=rule,
            fix="lon and lat look swapped in one of the two: exchange lon= and lat=" if turned else "",
        )
    )


def _refuse_twice(keys: npt.NDArray[Any], asked: Asked, years: set[int]) -> None:
    if not len(keys):
        return
    fix = "keep one row of each place: frame.drop_duplicates([lon, lat])"
    if asked.year_column is None:
        fix += "; if rows are of several years, name the column: year_column=..., year=..."
    raise EmbeddingsError(
        explain(
            "The table holds several rows of the place of a unit (where: keys of units).",
            where=keys,
            rule="one row of features per place" + (" and year" if years else ""),
            fix=fix,
        )
    )


def _features(
    table: PlaceTable, chosen: _Columns, rows: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]
) -> tuple[list[str], Values]:
    """Read the features of the rows that units need, each once; NaN elsewhere."""
    wanted, which = np.unique(rows[inside], return_inverse=True)
    size = _LISTS_AT_ONCE if chosen.listed else max(1, _AT_ONCE // len(chosen.names))
    found: Values | None = None
    for places, part in batches_of(table.parts(list(chosen.names), size, wanted), wanted):
        block = _from_lists(part[chosen.names[0]]) if chosen.listed else _from_columns(part, table.name)
        if found is None:
            found = np.empty((len(wanted), block.shape[1]), dtype=np.float32)
        if block.shape[1] != found.shape[1]:
            text = f"Lists of {chosen.names[0]!r} differ in length: {found.shape[1]} and {block.shape[1]}."
            raise EmbeddingsError(explain(text, rule="vectors of one length"))
        found[places] = block
    if found is None:
        raise EmbeddingsError(explain(f"{table.name} changed while it was read."))
    width = found.shape[1]
    names = (
        [f"{chosen.names[0]}_{number:03d}" for number in range(width)]
        if chosen.listed
        else list(chosen.names)
    )
    values = np.full((len(rows), width), np.nan, dtype=np.float32)
    values[inside] = found[which]
    return names, values


def _from_columns(part: pd.DataFrame, name: str) -> Values:
    words = [column for column in part if not pd.api.types.is_numeric_dtype(part[column])]
    if words:
        text = f"Feature columns of {name} hold text."
        fix = f"frame[{words[0]!r}] = pd.to_numeric(frame[{words[0]!r}])"
        raise EmbeddingsError(explain(text, where=words, fix=fix))
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        return part.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)


def _from_lists(column: pd.Series) -> Values:
    lengths = column.map(lambda one: -1 if one is None else len(one)).to_numpy()
    known = np.unique(lengths[lengths >= 0])
    if len(known) != 1 or known[0] == 0:
        text = f"Lists of {column.name!r} have no one length."
        raise EmbeddingsError(explain(text, where=known, rule="vectors of one length"))
    values = np.full((len(column), int(known[0])), np.nan, dtype=np.float32)
    with np.errstate(over="ignore"):
        values[lengths >= 0] = np.stack(column[lengths >= 0].to_list()).astype(np.float32)
    return values


def _check_values(values: Values, keys: npt.NDArray[Any], names: list[str]) -> None:
    infinite: npt.NDArray[np.bool_] = np.isinf(values)
    absent: npt.NDArray[np.bool_] = np.isnan(values)
    partly = absent & ~np.asarray(absent.all(axis=1))[:, None]
    for wrong, text in (
        (infinite, "are infinite or too large for float32"),
        (partly, "are missing (NaN) while others of the place are not"),
    ):
        rows = np.asarray(wrong.any(axis=1))
        if rows.any():
            columns = [names[column] for column in np.flatnonzero(wrong.any(axis=0))]
            shown = ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")
            raise EmbeddingsError(
                explain(
                    f"Features in {len(columns)} columns ({shown}) {text} (where: keys of units).",
                    where=keys[rows],
                    rule="a place has all its features, or none",
                    fix="leave out these columns with columns=, or these rows of the table",
                )
            )


def _info(values: Values, inside: npt.NDArray[np.bool_]) -> pd.DataFrame:
    there = np.isfinite(values).all(axis=1)
    status = np.where(there, "ok", np.where(inside, "nodata", "outside")).astype(object)
    return pd.DataFrame({"status": status, "valid_fraction": np.where(there, np.nan, 0.0)})


def _notes(inside: npt.NDArray[np.bool_], year: int | None) -> list[str]:
    notes = []
    if not inside.all():
        notes.append(f"{int((~inside).sum())} of {len(inside)} units have no place in the table")
    if year is None:
        notes.append("the year is not known, so nothing tells whether the imagery is from before treatment")
    return notes
