"""The table of units: who is studied, where each unit is, and which image shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._coordinates import Floats, geometry_column, locate
from eocausal._provenance import hash_arrays
from eocausal._tables import MISSING_AMONG_NUMBERS, read_table
from eocausal.errors import UnitsError, explain

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes

__all__ = ["Units", "read_units"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Units:
    """Units of a study, checked. Made by :func:`read_units`; never changed in place.

    Attributes
    ----------
    frame : pandas.DataFrame
        Every attribute column, without geometry, index 0..n-1.
    id : str
        Name of the id column.
    ids : numpy.ndarray
        Ids, shape (n,): whole numbers or text, all different.
    image_key : str
        Name of the column that says which image shows the unit; the id column when none was named.
    image_keys : numpy.ndarray
        Image keys, shape (n,).
    longitude, latitude : numpy.ndarray or None
        Degrees in EPSG:4326, shape (n,); of polygons, the centroid.
    geometry : geopandas.GeoSeries or None
        Points or polygons in ``crs``, when the source held them.
    crs : str or None
        Reference system of the source's coordinates.
    date : str or None
        Name of the column with the date of treatment.
    dates : numpy.ndarray or None
        Dates, shape (n,), ``datetime64[D]``; ``NaT`` for units without one.
    notes : tuple of str
        What reading found worth telling.
    """

    frame: pd.DataFrame
    id: str
    ids: Array
    image_key: str
    image_keys: Array
    longitude: Floats | None = None
    latitude: Floats | None = None
    geometry: geopandas.GeoSeries | None = None
    crs: str | None = None
    date: str | None = None
    dates: npt.NDArray[np.datetime64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        images = len(pd.unique(self.image_keys))
        return f"Units({len(self)} units, {images} images, {self.crs or 'no coordinates'})"

    @property
    def fingerprint(self) -> str:
        """Short hash of ids, image keys, coordinates and dates."""
        optional = [part for part in (self.longitude, self.latitude, self.dates) if part is not None]
        return hash_arrays(self.ids, self.image_keys, *(part.view(np.int64) for part in optional))

    def column(self, name: str) -> pd.Series:
        """Return one attribute column, or raise UnitsError with the nearest name."""
        require_columns(self.frame, [name], table="units", error=UnitsError)
        return self.frame[name]

    def take(self, rows: npt.ArrayLike) -> Units:
        """Return the units at row positions, or where a boolean mask is True, in that order."""
        chosen = np.asarray(rows)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise UnitsError(explain(f"The mask has shape {chosen.shape}, the units are {len(self)}."))
            chosen = np.flatnonzero(chosen)
        if chosen.size == 0:
            raise UnitsError(explain("No units would be left.", fix="Ask for at least one row."))
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise UnitsError(explain("rows are neither positions nor a boolean mask.", where=chosen.ravel()))
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if outside.size:
            rule = f"0 <= row < {len(self)}"
            raise UnitsError(explain("Row positions are out of range.", where=outside, rule=rule))
        _refuse_duplicates(self.ids[chosen], self.id)
        geometry = self.geometry
        return replace(
            self,
            frame=self.frame.iloc[chosen].reset_index(drop=True),
            ids=self.ids[chosen],
            image_keys=self.image_keys[chosen],
            longitude=None if self.longitude is None else self.longitude[chosen],
            latitude=None if self.latitude is None else self.latitude[chosen],
            geometry=None if geometry is None else geometry.iloc[chosen].reset_index(drop=True),
            dates=None if self.dates is None else self.dates[chosen],
        )

    def with_columns(self, **columns: npt.ArrayLike) -> Units:
        """Return units with attribute columns added or replaced, one value per unit in the units' order."""
        fixed = {self.id, self.image_key, self.date} & set(columns)
        if fixed:
            fix = "Change it in the table and call read_units again."
            raise UnitsError(
                explain(
                    "Columns that identify units cannot be replaced.", where=sorted(map(str, fixed)), fix=fix
                )
            )
        frame = self.frame.copy()
        for name, values in columns.items():
            added = values.array if isinstance(values, pd.Series) else np.asarray(values)
            if added.ndim != 1 or len(added) != len(self):
                text = f"Column {name!r} has shape {added.shape}, the units are {len(self)}."
                raise UnitsError(explain(text, rule="one value per unit, in the units' order"))
            frame[name] = added
        return replace(self, frame=frame)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """Return the attribute columns with geometry: as read, or points in EPSG:4326."""
        import geopandas

        if self.geometry is not None:
            return geopandas.GeoDataFrame(self.frame.copy(), geometry=self.geometry.copy())
        if self.longitude is None or self.latitude is None:
            fix = "Read them with lon= and lat=."
            raise UnitsError(explain("These units have no coordinates.", fix=fix))
        points = geopandas.points_from_xy(self.longitude, self.latitude)
        return geopandas.GeoDataFrame(self.frame.copy(), geometry=points, crs="EPSG:4326")

    def plot(self, ax: Axes | None = None, color: str | npt.ArrayLike | None = None) -> Axes:
        """Draw the units as points on longitude and latitude.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when not given.
        color : str or array, optional
            A column, a matplotlib colour, or one value per unit.

        Returns
        -------
        matplotlib.axes.Axes
        """
        import matplotlib.pyplot as plt

        if self.longitude is None or self.latitude is None:
            raise UnitsError(explain("These units have no coordinates.", fix="Read them with lon= and lat=."))
        if ax is None:
            ax = plt.subplots()[1]
        column = color if isinstance(color, str) and color in self.frame else None
        shade: Any = color if column is None else self.frame[column]
        labels = None
        if column is not None and not pd.api.types.is_numeric_dtype(shade):
            shade, labels = pd.factorize(shade, sort=True)
        drawn = ax.scatter(self.longitude, self.latitude, c=shade, s=12, linewidths=0)
        if drawn.get_array() is not None and ax.figure is not None:
            bar = ax.figure.colorbar(drawn, ax=ax, label=column or "")
            if labels is not None:
                bar.set_ticks(range(len(labels)), labels=[str(label) for label in labels])
        # A degree of longitude is cos(latitude) times as long as a degree of latitude.
        middle = float(np.clip(np.median(self.latitude), -80, 80))
        ax.set_aspect(1 / np.cos(np.radians(middle)))
        ax.set(xlabel="longitude", ylabel="latitude")
        return ax


def read_units(
    source: str | Path | pd.DataFrame,
    *,
    id: str,
    lon: str | None = None,
    lat: str | None = None,
    crs: object | None = None,
    image_key: str | None = None,
    date: str | None = None,
) -> Units:
    """Read and check the table of units.

    Parameters
    ----------
    source : path, DataFrame or GeoDataFrame
        A .csv, .parquet, .geoparquet, .gpkg, .geojson or Stata .dta file, or a table in memory (which is
        not changed). In a CSV, ids and image keys become whole numbers only when all are written as such
        without leading zeros, and stay text otherwise (``001`` stays ``001``). Empty cells, ``NaN``,
        ``NULL`` and ``.`` are missing values; ``NA``, ``N/A`` and ``None`` are missing values only in
        columns whose other values are all numbers (the country code ``NA`` stays). Stata value labels
        are not used; whole-number ids stored as float are made integers when that is exact.
    id : str
        Column with one different whole number or text per unit.
    lon, lat : str, optional
        Columns with longitude and latitude in degrees; with a projected ``crs``, easting and northing.
    crs : str or int, optional
        Reference system of the coordinates. Default EPSG:4326 with ``lon`` and ``lat``; with geometry,
        the file's own.
    image_key : str, optional
        Column that says which image shows the unit; units may share one. Default: the id.
    date : str, optional
        Column with the date of treatment, ISO 8601; missing for units never treated. Of a time with a zone
        the day is the one written there.

    Returns
    -------
    Units

    Raises
    ------
    UnitsError
        When a column is missing or repeated, ids are missing, repeated or floats, coordinates are
        missing, infinite, swapped, out of range or (0, 0), geometry is unusable, the reference system is
        unknown, dates cannot be read, or the table is empty or of an unknown kind.

    Examples
    --------
    >>> import pandas as pd
    >>> villages = pd.DataFrame({"village": ["a", "b"], "lon": [34.1, 34.2], "lat": [1.3, 1.4]})
    >>> read_units(villages, id="village", lon="lon", lat="lat")
    Units(2 units, 2 images, EPSG:4326)
    """
    asked = _names(id=id, image_key=image_key, date=date, lon=lon, lat=lat)
    table = _as_table(source, key_columns=[id, image_key or id])
    _check_names(table, asked)
    if len(table) == 0:
        raise UnitsError(explain("The table of units is empty: it has columns but no rows."))
    ids = _as_keys(table[id], id)
    _refuse_duplicates(ids, id)
    places = locate(table, ids, lon=lon, lat=lat, crs=crs)
    if places.longitude is None and image_key is None:
        fix = "Give lon= and lat=, or image_key= when chips come from arrays."
        raise UnitsError(explain("Units have neither coordinates nor an image_key.", fix=fix))
    geometry = geometry_column(table)
    frame = pd.DataFrame(table if geometry is None else table.drop(columns=geometry))
    dates = None if date is None else _as_dates(table[date], ids, date)
    notes = places.notes
    if dates is not None and np.isnat(dates).any():
        notes += (f"{int(np.isnat(dates).sum())} of {len(ids)} units have no {date!r} (never treated).",)
    return Units(
        frame=frame,
        id=id,
        ids=ids,
        image_key=image_key or id,
        image_keys=ids if image_key is None else _as_keys(table[image_key], image_key),
        longitude=places.longitude,
        latitude=places.latitude,
        geometry=places.geometry,
        crs=places.crs,
        date=date,
        dates=dates,
        notes=notes,
    )


def _names(**columns: object) -> list[str]:
    """Return the columns that are asked for, or raise UnitsError when one is not named by text."""
    names = []
    for argument, name in columns.items():
        if isinstance(name, str):
            names.append(name)
        elif name is not None or argument == "id":
            text = f"{argument}={name!r} is not the name of a column."
            fix = "Give columns names: frame.columns = frame.columns.astype(str)"
            raise UnitsError(explain(text, rule="one name, as text", fix=fix))
    return names


def _as_table(source: object, *, key_columns: list[str]) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source.copy().reset_index(drop=True)
    if isinstance(source, (str, Path)):
        return read_table(source, key_columns=key_columns, error=UnitsError).reset_index(drop=True)
    fix = "Pass a path, a pandas DataFrame or a GeoDataFrame (polars: frame.to_pandas())."
    raise UnitsError(explain(f"Units cannot be read from a {type(source).__name__}.", fix=fix))


def _check_names(table: pd.DataFrame, asked: list[str]) -> None:
    repeated = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if repeated:
        fix = "frame = frame.loc[:, ~frame.columns.duplicated()]"
        raise UnitsError(
            explain("Column names appear more than once.", where=repeated, rule="names are unique", fix=fix)
        )
    require_columns(table, asked, table="units", error=UnitsError)
    # A frame read by pandas itself shows a repeated name of the file as "id" and "id.1".
    renamed = [f"{column}.1" for column in asked if f"{column}.1" in table.columns]
    if renamed:
        raise UnitsError(
            explain(
                "A column name was repeated in the source and renamed by pandas.",
                where=renamed,
                rule="column names are unique, or two columns could be taken for one another",
                fix=f"Drop or rename it: frame = frame.drop(columns={renamed})",
            )
        )


def _as_keys(values: pd.Series, column: str) -> Array:
    """Return ids or image keys as whole numbers or text, or raise UnitsError."""
    blank = values.isna()
    # numbers are never blank, and a million texts are not small
    if not pd.api.types.is_numeric_dtype(values):
        blank |= values.astype(str).str.strip().eq("")
    if blank.any():
        is_float = pd.api.types.is_float_dtype(values)
        turned = " (a missing value also turns whole numbers into floats)" if is_float else ""
        raise UnitsError(
            explain(
                f"Column {column!r} is missing or blank in some rows{turned}.",
                where=[f"row {row}" for row in np.flatnonzero(blank)],
                fix=f"Fill them, or leave them out: frame = frame[frame[{column!r}].notna()]",
            )
        )
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_integer_dtype(values):
        return values.to_numpy(dtype=np.int64)
    kinds = {type(value) for value in values}
    texts = values.astype(str)
    if pd.api.types.is_float_dtype(values) or (kinds == {str} and texts.str.fullmatch(r"-?\d+\.0+").all()):
        raise UnitsError(
            explain(
                f"Column {column!r} holds floats: {', '.join(texts.head(3))}.",
                rule="whole numbers read as floats lose leading zeros, and digits beyond 2**53",
                fix=f"Read them as text (dtype={{{column!r}: str}}), or frame[{column!r}] = "
                f'frame[{column!r}].astype("int64")',
            )
        )
    if kinds == {str}:
        return texts.to_numpy(dtype=str)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    fix = f"frame[{column!r}] = frame[{column!r}].astype(str)"
    raise UnitsError(
        explain(f"Column {column!r} holds {names}.", rule="all whole numbers or all text", fix=fix)
    )


def _refuse_duplicates(ids: Array, column: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        fix = "Aggregate to one row per unit, or make an id of several columns. Units may share an image_key."
        raise UnitsError(
            explain(
                f"Column {column!r} holds duplicate ids.",
                where=values[counts > 1],
                rule="one row per unit",
                fix=fix,
            )
        )


def _as_written(times: pd.Series) -> pd.Series:
    """Return times without their zones, so that the day is the one written and not that in Greenwich."""
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return pd.Series(times.dt.tz_localize(None))
    if isinstance(times.dtype, pd.CategoricalDtype):
        times = times.astype(times.cat.categories.dtype)
    if times.dtype.kind == "M":
        return times
    text = times.astype(str).str.replace(
        r"^(\d{4}-\d{2}-\d{2}[T ].*?)(Z|[+-]\d{2}(:?\d{2})?)$", r"\1", regex=True
    )
    return times.where(times.isna() | (text == times.astype(str)), text)


def _as_dates(values: pd.Series, ids: Array, column: str) -> npt.NDArray[np.datetime64]:
    """Return dates as datetime64[D], NaT where missing; refuse what is not ISO 8601."""
    if pd.api.types.is_numeric_dtype(values):
        fix = f'frame[{column!r}] = frame[{column!r}].astype(str) + "-01-01"'
        text = f"Column {column!r} holds numbers, not dates: {values.head(3).tolist()}."
        raise UnitsError(explain(text, rule="dates are ISO 8601 text such as 2007-06-30", fix=fix))
    known = values.mask(values.isin(["", *MISSING_AMONG_NUMBERS])) if values.dtype.kind == "O" else values
    parsed = pd.to_datetime(_as_written(known), format="ISO8601", errors="coerce", utc=True)
    bad = (parsed.isna() & known.notna()).to_numpy()
    if bad.any():
        sample = ", ".join(repr(value) for value in values[bad].head(3))
        fix = f'frame[{column!r}] = pd.to_datetime(frame[{column!r}], format="%d/%m/%Y")'
        text = f"Column {column!r} holds values that are not dates: {sample}."
        raise UnitsError(explain(text, where=ids[bad], rule="ISO 8601, such as 2007-06-30", fix=fix))
    days: npt.NDArray[np.datetime64] = parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[D]")
    return days
