"""Survey points that were displaced to protect respondents: chips for draws of where they may truly lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.errors import UnitsError, explain

if TYPE_CHECKING:
    import geopandas

    from eocausal.units import Units

__all__ = ["displace", "draw_displacements"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Largest displacement in metres, and the share of rural points that may lie as far as the last.
URBAN_M, RURAL_M, FAR_M, FAR_SHARE = 2_000.0, 5_000.0, 10_000.0, 0.01
SCHEMES = ("dhs",)
_MOST_REDRAWS = 1_000
# Columns that displaced units have: the image key before, the draw, the largest displacement.
FROM, DRAW, LIMIT = "displaced_from", "draw", "displacement_limit_m"


def displace(
    units: Units,
    *,
    urban: str,
    draws: int = 8,
    scheme: str = "dhs",
    within: geopandas.GeoDataFrame | geopandas.GeoSeries | None = None,
    seed: int = 0,
) -> Units:
    """Return units at places where displaced survey points may truly lie, several draws of each.

    The law by which points were displaced is symmetric, so when nothing else is known about where people
    live, the true point lies around the published one as the published one was drawn around it.

    Parameters
    ----------
    units : Units
        Units with the published coordinates. Units of one image move together.
    urban : str
        Column that says which units are urban: ``U`` or ``R``, ``urban`` or ``rural``, True or False, 1 or 0.
    draws : int
        Draws of each place.
    scheme : {"dhs"}
        The law of the Demographic and Health Surveys: direction uniform, distance uniform between zero and
        2 km (urban) or 5 km (rural), and 10 km for a random hundredth of the rural draws.
    within : GeoDataFrame or GeoSeries, optional
        Polygons that points were kept in, such as districts; draws that leave the one that holds the
        published point are drawn again.
    seed : int
        With the image key it determines the draws, whatever the order of rows.

    Returns
    -------
    Units
        ``draws`` rows for each unit, with ``#0``, ``#1``, ... after their id and image key, and columns
        ``displaced_from`` (the image key it had), ``draw`` and ``displacement_limit_m`` (the largest
        displacement of its kind, short of the far hundredth). Chips and features are made of them as of any units;
        ``average_draws`` makes one row of each image again.

    Raises
    ------
    UnitsError
        When units have no coordinates, urban cannot be read or differs within an image, a point lies in no
        polygon or in two, or a polygon is so small that draws do not fall into it.

    References
    ----------
    Burgert, C. R., Colston, J., Roy, T., and Zachary, B. (2013). Geographic displacement procedure and
    georeferenced data release policy for the Demographic and Health Surveys. DHS Spatial Analysis Reports 7.

    Examples
    --------
    >>> import pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"cluster": [1, 2], "lon": [33.0, 33.5], "lat": [1.0, 1.2], "type": ["U", "R"]})
    >>> units = ec.read_units(table, id="cluster", lon="lon", lat="lat")
    >>> moved = ec.displace(units, urban="type", draws=3)
    >>> moved
    Units(6 units, 6 images, EPSG:4326)
    >>> moved.ids.tolist()
    ['1#0', '1#1', '1#2', '2#0', '2#1', '2#2']
    """
    one_of(scheme, SCHEMES, argument="scheme", error=UnitsError)
    whole_number(draws, argument="draws", error=UnitsError, least=1)
    whole_number(seed, argument="seed", error=UnitsError)
    if units.longitude is None or units.latitude is None:
        fix = "read_units(..., lon=..., lat=...)"
        raise UnitsError(explain("The units have no coordinates to be displaced from.", fix=fix))
    taken = sorted({FROM, DRAW, LIMIT} & {str(column) for column in units.frame.columns})
    if taken:
        fix = "They hold displaced units already, or rename these columns."
        raise UnitsError(explain("Units have columns that displace would add.", where=taken, fix=fix))
    is_urban = _read_urban(units, urban)
    keys, first, image = np.unique(units.image_keys, return_index=True, return_inverse=True)
    mixed = is_urban != is_urban[first][image]
    if mixed.any():
        rule = "units of one image are one survey cluster, urban or rural"
        text = f"Units share a {units.image_key!r} but differ in {urban!r}."
        raise UnitsError(explain(text, where=pd.unique(units.image_keys[mixed]), rule=rule))
    places = draw_displacements(
        units.longitude[first],
        units.latitude[first],
        is_urban[first],
        keys=keys,
        draws=int(draws),
        seed=int(seed),
        polygons=within,
    )
    return _expand(units, places[:, image], np.where(is_urban, URBAN_M, RURAL_M))


def draw_displacements(
    longitude: Floats,
    latitude: Floats,
    urban: Bools,
    *,
    keys: npt.NDArray[Any],
    draws: int,
    seed: int,
    polygons: geopandas.GeoDataFrame | geopandas.GeoSeries | None = None,
) -> Floats:
    """Draw displaced points by the law of :func:`displace`, on the WGS 84 ellipsoid.

    Parameters
    ----------
    longitude, latitude : numpy.ndarray
        Degrees, shape (n,).
    urban : numpy.ndarray
        bool, shape (n,).
    keys : numpy.ndarray
        What identifies each point, shape (n,); with ``seed`` it determines its draws.
    draws, seed : int
        How many draws, and their seed.
    polygons : GeoDataFrame or GeoSeries, optional
        What draws must not leave.

    Returns
    -------
    numpy.ndarray
        Longitude and latitude, shape (draws, n, 2).
    """
    import pyproj

    ground = pyproj.Geod(ellps="WGS84")
    inside = _membership(longitude, latitude, keys, polygons)
    streams = [_stream(key, seed) for key in keys.tolist()]
    far = np.stack([stream.random(draws) < FAR_SHARE for stream in streams], axis=1)
    reach = np.where(urban, URBAN_M, np.where(far, FAR_M, RURAL_M))
    places = np.full((draws, len(keys), 2), np.nan)
    todo = np.ones((draws, len(keys)), dtype=bool)
    for _ in range(_MOST_REDRAWS):
        # Each point draws from its own stream, so the others and their order do not matter.
        point, draw = np.nonzero(todo.T)
        counts = todo.sum(axis=0)
        uniform = np.concatenate([streams[index].random((counts[index], 2)) for index in np.unique(point)])
        azimuth, metres = 360 * uniform[:, 0], reach[draw, point] * uniform[:, 1]
        lon, lat, _ = ground.fwd(longitude[point], latitude[point], azimuth, metres)
        places[draw, point] = np.column_stack([lon, lat])
        todo[draw, point] = ~inside(places[draw, point], point)
        if not todo.any():
            return places
    raise UnitsError(
        explain(
            f"Polygons are so small that draws still leave them after {_MOST_REDRAWS:,} attempts.",
            where=keys[todo.any(axis=0)],
            rule="draws stay in the polygon that holds the published point",
            fix="give larger areas as within=, such as the second administrative level",
        )
    )


def _stream(key: object, seed: int) -> np.random.Generator:
    """Return the random numbers of one image key, the same wherever its row is."""
    digest = hashlib.sha256(f"{type(key).__name__}:{key}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])


def _membership(
    longitude: Floats, latitude: Floats, keys: npt.NDArray[Any], polygons: Any
) -> Callable[[Floats, npt.NDArray[np.intp]], Bools]:
    """Return a function that tells which places lie in the polygon of their point."""
    if polygons is None:
        return lambda places, _: np.ones(len(places), dtype=bool)
    import shapely

    if polygons.crs is None:
        fix = 'within.set_crs("EPSG:4326")'
        raise UnitsError(explain("The polygons of within= have no reference system.", fix=fix))
    shapes = np.asarray(polygons.geometry.to_crs("EPSG:4326"))
    unusable = ~(shapely.is_valid(shapes) & np.isin(shapely.get_type_id(shapes), (3, 6)))
    if unusable.any():
        text = "Geometries of within= are not valid polygons."
        fix = "within = within.set_geometry(within.make_valid())"
        raise UnitsError(explain(text, where=np.flatnonzero(unusable), rule="rows counted from 0", fix=fix))
    points = shapely.points(longitude, latitude)
    point, polygon = shapely.STRtree(shapes).query(points, predicate="intersects")
    found = np.bincount(point, minlength=len(keys))
    for wrong, text in ((found == 0, "no polygon"), (found > 1, "more than one polygon")):
        if wrong.any():
            raise UnitsError(
                explain(
                    f"Published points lie in {text} of within=.",
                    where=keys[wrong],
                    rule="each point lies in one polygon, which its draws do not leave",
                    fix="check the order of lon= and lat=, or leave these units out: units.take(rows)",
                )
            )
    home = shapes[polygon[np.argsort(point)]]
    shapely.prepare(home)
    return lambda places, index: np.asarray(
        shapely.intersects(home[index], shapely.points(places)), dtype=bool
    )


def _read_urban(units: Units, column: str) -> Bools:
    """Return which units are urban; refuse codes whose meaning is not plain."""
    values = units.column(column)
    words = (
        values.astype(str)
        .str.strip()
        .str.lower()
        .replace({"true": "1", "false": "0", "1.0": "1", "0.0": "0"})
    )
    urban, rural = words.isin(["u", "urban", "1"]), words.isin(["r", "rural", "0"])
    unknown = (~(urban | rural) | values.isna()).to_numpy()
    if unknown.any():
        found = ", ".join(repr(value) for value in pd.unique(values[unknown])[:5].tolist())
        raise UnitsError(
            explain(
                f"Column {column!r} does not say which units are urban: it holds {found}.",
                where=units.ids[unknown],
                rule="U or R, urban or rural, True or False, 1 (urban) or 0 (rural)",
                fix=f"frame[{column!r}] = frame[{column!r}] == 1  (in DHS recodes 1 is urban and 2 is rural)",
            )
        )
    return urban.to_numpy(dtype=bool)


def _expand(units: Units, places: Floats, limit: Floats) -> Units:
    """Return one row per unit and draw, unit by unit."""
    draws, count = places.shape[:2]
    row, draw = np.repeat(np.arange(count), draws), np.tile(np.arange(draws), count)
    ids, keys = (
        np.array([f"{name}#{k}" for name, k in zip(names[row].tolist(), draw.tolist())])
        for names in (units.ids, units.image_keys)
    )
    frame = units.frame.iloc[row].reset_index(drop=True)
    frame[FROM], frame[DRAW], frame[LIMIT] = units.image_keys[row], draw, limit[row]
    frame[units.image_key], frame[units.id] = keys, ids
    note = (
        f"Places are {draws} draws around the published point of each image: up to {URBAN_M / 1000:g} km (urban), "
        f"{RURAL_M / 1000:g} km (rural), {FAR_M / 1000:g} km (a hundredth of the rural draws)."
    )
    return replace(
        units,
        frame=frame,
        ids=ids,
        image_keys=keys,
        longitude=places[draw, row, 0],
        latitude=places[draw, row, 1],
        geometry=None,
        crs="EPSG:4326",
        dates=None if units.dates is None else units.dates[row],
        notes=(*units.notes, note),
    )
