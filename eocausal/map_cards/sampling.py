"""`sample_map`: the predictions of a map at units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, positive_metres, require_units
from eocausal.errors import ImageryError, explain
from eocausal.imagery.tiles import OpenRasters
from eocausal.imagery.windows import (
    first_pixel,
    ground_pixel,
    is_geographic,
    project,
    transformer_between,
)
from eocausal.map_cards.mapped_raster import OneBand, one_band, read_part
from eocausal.units import Units

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

MISSING = ("error", "keep")
# A mean is of at most so many pixels; further out another map would be meant.
_MOST_PIXELS = 100_000
# Pixels of so many places are looked up at once.
_AT_ONCE = 500_000


@dataclass(frozen=True, eq=False)
class MapSample:
    """Predictions of a map at units. Made by :func:`sample_map`.

    Attributes
    ----------
    frame : DataFrame
        One row for each unit, by id: ``prediction``, NaN where the map has none; ``row`` and ``column`` of the
        pixel that the unit lies in, -1 outside of the map; ``pixels``, how many the prediction is the mean of.
    warnings : tuple of str
    """

    frame: pd.DataFrame
    warnings: tuple[str, ...] = ()

    @property
    def prediction(self) -> pd.Series:
        """Predictions by unit id."""
        return self.frame["prediction"]

    def __repr__(self) -> str:
        """One line: how many units have a prediction."""
        there = int(self.prediction.notna().sum())
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return f"MapSample({there} of {len(self.frame)} units have a prediction{noted})"


def sample_map(
    path: str | Path,
    units: Units,
    *,
    band: int | str = 1,
    radius_m: float | None = None,
    missing: str = "error",
) -> MapSample:
    """Read the predictions of a map at units.

    A calibration needs predictions of models that did not see the place: where the map was trained on the places of
    the calibration, the values of its pixels there are too good, and a correction learned from them too small.

    Parameters
    ----------
    path : path
        One raster: GeoTIFF, JPEG 2000, Erdas, or a VRT of several.
    units : Units
        With coordinates; the place of a polygon is its centroid.
    band : int or str
        Number from 1, or name.
    radius_m : float, optional
        Mean of the valid pixels whose centres lie within so many metres, and of the one that the unit lies in.
        Default: that pixel alone.
    missing : {"error", "keep"}
        What to do with units outside of the map, or where its pixels have no value. ``keep``: their prediction is
        NaN, and ``warnings`` count them.

    Returns
    -------
    MapSample

    Raises
    ------
    ImageryError
        The file is missing, unsafe or not one map; there is no such band; units without coordinates; units without
        a prediction.

    Examples
    --------
    >>> import rasterio, tempfile
    >>> from eocausal import read_units
    >>> wealth = f"{tempfile.mkdtemp()}/wealth.tif"
    >>> place = rasterio.transform.from_origin(30.0, 2.0, 0.5, 0.5)
    >>> with rasterio.open(wealth, "w", driver="GTiff", width=2, height=2, count=1, dtype="float32",
    ...                    crs="EPSG:4326", transform=place) as out:
    ...     out.write(np.array([[[1, 2], [3, 4]]], dtype="float32"))
    >>> villages = pd.DataFrame({"village": ["a", "b"], "lon": [30.1, 30.9], "lat": [1.9, 1.1]})
    >>> sample_map(wealth, read_units(villages, id="village", lon="lon", lat="lat")).prediction.tolist()
    [1.0, 4.0]
    """
    radius = None
    if radius_m is not None:
        radius = positive_metres(radius_m, what=f"radius_m={radius_m!r}.", error=ImageryError)
    return sample_band(one_band(path, band), units, radius_m=radius, missing=missing)


def sample_band(band: OneBand, units: Units, *, radius_m: float | None, missing: str) -> MapSample:
    """Read the predictions of a map that is known at units; as :func:`sample_map`."""
    one_of(missing, MISSING, argument="missing", error=ImageryError)
    require_units(units, error=ImageryError)
    if units.longitude is None or units.latitude is None:
        raise ImageryError(
            explain("These units have no coordinates.", fix="ec.read_units(table, id=..., lon=..., lat=...)")
        )
    row, column = _pixels_of(band, units.longitude, units.latitude)
    inside = row >= 0
    values, counts = np.full(len(units), np.nan), np.zeros(len(units), dtype=np.int64)
    here = np.flatnonzero(inside)
    pixel = row[here], column[here]
    with OpenRasters() as opened:
        if radius_m is None:
            values[here] = _read_at(opened, band, *pixel)
            counts[here] = np.isfinite(values[here])
        elif here.size:
            values[here], counts[here] = _means(opened, band, pixel, units.take(here), radius_m)
    told = _lacking(band, units, inside, np.isfinite(values), missing)
    frame = pd.DataFrame(
        {"prediction": values, "row": row, "column": column, "pixels": counts},
        index=pd.Index(units.ids, name=units.id),
    )
    return MapSample(frame, (*units.notes, *told))


def _pixels_of(band: OneBand, longitude: FloatArray, latitude: FloatArray) -> tuple[Places, Places]:
    """Return rows and columns (n,) of the pixels that points lie in, -1 outside of the map."""
    lattice = band.lattice
    x, y = project(longitude, latitude, lattice.crs)
    if is_geographic(lattice.crs) and lattice.north_up:
        # a map may count its degrees from 0 to 360, or across the 180th meridian
        x = lattice.c + (x - lattice.c) % 360
    rows, columns = lattice.pixel(x, y)
    lost = ~(np.isfinite(rows) & np.isfinite(columns))
    row, column = (first_pixel(np.where(lost, -1.0, place), 1) for place in (rows, columns))
    outside = (row < 0) | (row >= band.tile.height) | (column < 0) | (column >= band.tile.width)
    return np.where(outside, -1, row), np.where(outside, -1, column)


def _read_at(opened: OpenRasters, band: OneBand, rows: Places, columns: Places) -> FloatArray:
    """Return values (n,) of pixels, each part of the file decoded once."""
    height, width = band.tile.cell
    across = -(-band.tile.width // width)
    part = rows // height * across + columns // width
    order = np.argsort(part, kind="stable")
    found = np.full(rows.size, np.nan)
    for some in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        if not some.size:
            continue
        top, left = int(rows[some].min()), int(columns[some].min())
        window = (top, int(rows[some].max()) + 1), (left, int(columns[some].max()) + 1)
        found[some] = read_part(opened, band, *window)[rows[some] - top, columns[some] - left]
    return found


def _means(
    opened: OpenRasters, band: OneBand, pixel: tuple[Places, Places], units: Units, radius_m: float
) -> tuple[FloatArray, Places]:
    """Return means (n,) of the valid pixels around units inside the map, and how many they are."""
    longitude, latitude = np.asarray(units.longitude), np.asarray(units.latitude)
    x, y = _centres(band, *pixel)
    across, along, _ = ground_pixel(band.lattice, x, y)
    # a pixel more on each side, since pixels of degrees change their width within the radius
    reach = [int(np.ceil(radius_m / float(np.nanmin(size)))) + 1 for size in (along, across)]
    block = (2 * reach[0] + 1) * (2 * reach[1] + 1)
    if block > _MOST_PIXELS:
        raise ImageryError(
            explain(
                f"radius_m={radius_m:g} reaches over {block:,} pixels of {band.tile.name!r}.",
                rule=f"at most {_MOST_PIXELS:,}",
                fix="a map of larger pixels: gdalwarp -tr ... -r average",
            )
        )
    values, counts = np.full(longitude.size, np.nan), np.zeros(longitude.size, dtype=np.int64)
    steps = [np.arange(-one, one + 1) for one in reach]
    for some in _batches(longitude.size, max(1, _AT_ONCE // block)):
        rows, columns = (
            np.broadcast_to(part, (some.size, steps[0].size, steps[1].size)).reshape(some.size, -1)
            for part in (
                pixel[0][some, None, None] + steps[0][None, :, None],
                pixel[1][some, None, None] + steps[1][None, None, :],
            )
        )
        near = _near(band, rows, columns, (longitude[some], latitude[some]), radius_m)
        near[:, block // 2] = True
        near &= (rows >= 0) & (rows < band.tile.height) & (columns >= 0) & (columns < band.tile.width)
        read = np.full(near.shape, np.nan)
        read[near] = _read_at(opened, band, rows[near], columns[near])
        there = np.isfinite(read)
        counts[some] = there.sum(axis=1)
        total = np.where(there, read, 0.0).sum(axis=1)
        values[some] = np.divide(total, counts[some], out=np.full(some.size, np.nan), where=counts[some] > 0)
    return values, counts


def _centres(band: OneBand, rows: Places, columns: Places) -> tuple[FloatArray, FloatArray]:
    """Return x and y of the middle of pixels."""
    return band.lattice.point(rows.astype(np.float64) + 0.5, columns.astype(np.float64) + 0.5)


def _batches(n: int, size: int) -> Iterator[npt.NDArray[np.intp]]:
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))


def _near(
    band: OneBand, rows: Places, columns: Places, at: tuple[FloatArray, FloatArray], radius_m: float
) -> npt.NDArray[np.bool_]:
    """Return which pixels (n, q) have their centre within the radius of their unit (n,)."""
    import pyproj

    to_degrees = transformer_between(band.lattice.crs, "EPSG:4326")
    centres = to_degrees.transform(*_centres(band, rows, columns))
    lon, lat = (np.asarray(part, dtype=np.float64) for part in centres)
    known = np.isfinite(lon) & np.isfinite(lat)
    from_lon, from_lat = (np.broadcast_to(part[:, None], rows.shape) for part in at)
    metres = np.full(rows.shape, np.inf)
    ground = pyproj.Geod(ellps="WGS84")
    metres[known] = ground.inv(from_lon[known], from_lat[known], lon[known], lat[known])[2]
    return np.asarray(metres <= radius_m)


def _lacking(
    band: OneBand,
    units: Units,
    inside: npt.NDArray[np.bool_],
    there: npt.NDArray[np.bool_],
    missing: str,
) -> list[str]:
    """Raise or tell where units have no prediction: outside of the map, or on pixels without a value."""
    kinds: list[tuple[str, npt.NDArray[Any]]] = [
        (f"lie outside of the map {band.tile.name!r}", units.ids[~inside]),
        (f"lie on pixels of the map {band.tile.name!r} that have no value", units.ids[inside & ~there]),
    ]
    if missing == "error":
        for what, ids in kinds:
            if ids.size:
                whole = f"Units {what}: {ids.size} of {len(units)}."
                fix = (
                    'missing="keep", and ec.Design(..., missing="drop") counts them by arm; or leave them out'
                )
                raise ImageryError(explain(whole, where=ids, fix=fix))
    if not there.any():
        text = f"No unit has a prediction in the map {band.tile.name!r}."
        raise ImageryError(explain(text, fix="check the reference system and the order of lon and lat"))
    return [
        f"{ids.size} of {len(units)} units {what}, and have no prediction (first: "
        f"{', '.join(str(one) for one in ids[:5])})"
        for what, ids in kinds
        if ids.size
    ]
