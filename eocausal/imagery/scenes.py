"""Scenes: rasters with the day they were taken, their sensor, and what is known of their pixels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eocausal._checks import require_columns
from eocausal.errors import ImageryError, explain
from eocausal.imagery.files import Rasters, raster_files
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.screening import as_radiometry, check_offsets
from eocausal.imagery.sources import read_tags, read_tile
from eocausal.imagery.tiles import Tile, band_names, check_together

__all__ = ["Scenes", "scenes"]

TAGS = "tags"
# Where files say when they were taken, in the order in which they are asked: by name of a tag, any domain.
DATE_TAGS = (
    "DATE_ACQUIRED", "ACQUISITION_DATE", "ACQUISITIONDATETIME", "SENSING_TIME", "DATATAKE_1_DATATAKE_SENSING_START",
    "PRODUCT_START_TIME", "datetime", "date", "TIFFTAG_DATETIME",
)  # fmt: skip
_CODES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%j": r"\d{3}",
    "%b": r"[A-Za-z]{3}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
}
_FIELD = re.compile(r"\{(date|sensor)(?::([^{}]*))?\}")


@dataclass(frozen=True, eq=False)
class Scenes:
    """Rasters that chips are cut from, each with its day and sensor where they are known.

    Made by :func:`scenes`, ``stac_scenes`` or ``cube_scenes``; :func:`chips` takes it in place of files.

    Attributes
    ----------
    tiles : tuple of Tile
        The rasters' headers.
    pixel_unit : Radiometry or None
        What a pixel is.
    quality : Quality or None
        The quality band and the flags that make a pixel not valid.

    Examples
    --------
    See :func:`scenes`. Without rasters there are none:

    >>> len(Scenes(()))
    0
    """

    tiles: tuple[Tile, ...]
    pixel_unit: Radiometry | None = None
    quality: Quality | None = None

    def __post_init__(self) -> None:
        check_offsets(self.tiles, self.pixel_unit)

    def __len__(self) -> int:
        return len(self.tiles)

    def __repr__(self) -> str:
        days = self.table()["date"].dropna()
        span = f", {days.nunique()} days from {days.min()} to {days.max()}" if len(days) else ", undated"
        bands = " ".join(band_names(self.tiles))
        return f"Scenes({len(self)} rasters{span}, bands {bands})"

    def table(self) -> pd.DataFrame:
        """Return one row per raster.

        Returns
        -------
        pandas.DataFrame
            ``scene date sensor crs pixel_x pixel_y width height offset_applied``; dates are ISO text, pixel
            sizes in units of the reference system.
        """
        rows = [
            {
                "scene": tile.name,
                "date": None if tile.date is None else str(tile.date),
                "sensor": tile.sensor,
                "crs": tile.lattice.crs,
                "pixel_x": float(np.hypot(tile.lattice.a, tile.lattice.d)),
                "pixel_y": float(np.hypot(tile.lattice.b, tile.lattice.e)),
                "width": tile.width,
                "height": tile.height,
                "offset_applied": tile.offset_applied,
            }
            for tile in self.tiles
        ]
        return pd.DataFrame(rows)


def scenes(
    rasters: Rasters | pd.DataFrame,
    *,
    date: str | None = None,
    sensor: str | None = None,
    pattern: str | None = None,
    file: str = "file",
    pixel_unit: str | Radiometry | None = None,
    quality: Quality | None = None,
) -> Scenes:
    """Gather rasters of one or many days; only their headers are read.

    Parameters
    ----------
    rasters : path, glob pattern, list of these, or DataFrame
        Raster files as for :func:`chips`, or a table with one row per file.
    date : str, optional
        The day of all rasters, ISO 8601; ``"tags"`` to read it from each file's tags; with a table, the
        column that holds it.
    sensor : str, optional
        The sensor of all rasters; with a table, the column that holds it.
    pattern : str, optional
        Where a file's name says these: ``"LE07_*_{date:%Y%m%d}_*"`` or ``"{sensor}_*_{date:%Y%j}*"``, with
        ``*`` for any text and the codes of ``strptime``.
    file : str
        With a table, the column with the paths.
    pixel_unit, quality : optional
        As for :func:`chips`; they then need not be said there.

    Returns
    -------
    Scenes

    Raises
    ------
    ImageryError
        When files are missing, unsafe, damaged or do not fit together, or some have no day where it is
        asked for (naming them).

    Examples
    --------
    >>> import rasterio, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> place = rasterio.transform.from_origin(500_000, 20_000, 30, 30)
    >>> for day in ("20050614", "20060703"):
    ...     with rasterio.open(f"{folder}/LE07_{day}.tif", "w", driver="GTiff", width=20, height=20, count=1,
    ...                        dtype="uint8", crs="EPSG:32636", transform=place) as out:
    ...         out.write(np.ones((1, 20, 20), dtype="uint8"))
    >>> scenes(f"{folder}/*.tif", pattern="{sensor}_{date:%Y%m%d}*").table()[["scene", "date", "sensor"]]
                   scene        date sensor
    0  LE07_20050614.tif  2005-06-14   LE07
    1  LE07_20060703.tif  2006-07-03   LE07
    """
    if isinstance(rasters, pd.DataFrame):
        files, days, sensors = _from_table(rasters, file, date, sensor)
    else:
        files = raster_files(rasters)
        days, sensors = _same_for_all(files, date, sensor)
    if pattern is not None:
        by_name = [_from_name(path.name, pattern) for path in files]
        _refuse_unmatched(files, by_name, pattern)
        if "{date" in pattern:
            days = [found[0] for found in by_name if found is not None]
        if "{sensor" in pattern:
            sensors = [found[1] for found in by_name if found is not None]
    tiles = [replace(read_tile(path), date=day, sensor=name) for path, day, name in zip(files, days, sensors)]
    check_together(tiles)
    return Scenes(tuple(tiles), as_radiometry(pixel_unit), quality)


def _same_for_all(
    files: Sequence[Path], date: str | None, sensor: str | None
) -> tuple[list[np.datetime64 | None], list[str | None]]:
    days = [_from_tags(path) for path in files] if date == TAGS else [as_day(date)] * len(files)
    undated = [path.name for path, day in zip(files, days) if day is None]
    if date == TAGS and undated:
        rule = f"a tag {', '.join(DATE_TAGS)} with a date"
        fix = 'pattern="*_{date:%Y%m%d}*", or a table of files with a column of dates'
        text = "Files have no tag that says when they were taken."
        raise ImageryError(explain(text, where=undated, rule=rule, fix=fix))
    return days, [sensor] * len(files)


def _from_table(
    table: pd.DataFrame, file: str, date: str | None, sensor: str | None
) -> tuple[list[Path], list[np.datetime64 | None], list[str | None]]:
    columns = [name for name in (file, date, sensor) if name is not None]
    require_columns(table, columns, table="scenes", error=ImageryError)
    files = raster_files(table[file].map(str).tolist())
    if len(files) != len(table):
        fix = "Name one file in each row."
        raise ImageryError(explain(f"{len(table)} rows of {file!r} name {len(files)} files.", fix=fix))
    days = [None if date is None else as_day(value) for value in table[date or file]]
    undated = [path.name for path, day in zip(files, days) if day is None]
    if date is not None and undated:
        raise ImageryError(explain(f"Column {date!r} is empty for some files.", where=undated))
    names = [None if sensor is None else str(value) for value in table[sensor or file]]
    return files, days, names


def as_day(value: object) -> np.datetime64 | None:
    """Return a day from ISO text or a timestamp, None for a missing value, or raise ImageryError."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    rule = "one day, ISO 8601, such as 2007-06-30"
    if isinstance(value, (int, float)):
        raise ImageryError(explain(f"date={value!r} is a number and not a date.", rule=rule))
    try:
        day: np.datetime64 = np.datetime64(pd.Timestamp(str(value)).date().isoformat())
    except (ValueError, TypeError) as cause:
        raise ImageryError(explain(f"date={value!r} is not a date.", rule=rule)) from cause
    if isinstance(value, str) and not re.match(r"\d{4}-\d{2}-\d{2}", value):
        raise ImageryError(explain(f"date={value!r} is not a date.", rule=rule))
    return day


def _from_tags(path: Path) -> np.datetime64 | None:
    tags = read_tags(path)
    for name in DATE_TAGS:
        text = str(tags.get(name.lower(), "")).strip()
        found = re.match(r"(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})", text)
        if found:
            return as_day("-".join(found.groups()))
    return None


def _from_name(name: str, pattern: str) -> tuple[np.datetime64 | None, str | None] | None:
    """Return day and sensor that a name says, None when the pattern does not fit it.

    Examples
    --------
    >>> _from_name("HLS.L30.T36NXG.2019153T075501.v2.0.tif", "HLS.{sensor}.*.{date:%Y%jT%H%M%S}.*")
    (np.datetime64('2019-06-02'), 'L30')
    """
    compiled, code = _compiled(pattern)
    found = compiled.fullmatch(name)
    if found is None:
        return None
    parts = found.groupdict()
    try:
        stamp = pd.to_datetime(parts["date"], format=code) if parts.get("date") else None
    except ValueError:
        return None
    return (None if stamp is None else as_day(stamp)), parts.get("sensor")


def _compiled(pattern: str) -> tuple[re.Pattern[str], str | None]:
    fields = _FIELD.findall(pattern)
    if not fields or len({name for name, _ in fields}) < len(fields):
        fix = 'pattern="LE07_*_{date:%Y%m%d}_*"'
        raise ImageryError(explain(f"pattern={pattern!r} says neither {{date:...}} nor {{sensor}}.", fix=fix))
    code: str | None = None
    text, end = "", 0
    writers: dict[str, Callable[[str], str]] = {"date": _date_expression, "sensor": lambda _: r"[^_.\-]+"}
    for field in _FIELD.finditer(pattern):
        text += _any_text(pattern[end : field.start()])
        text += f"(?P<{field[1]}>{writers[field[1]](field[2] or '')})"
        code = field[2] if field[1] == "date" else code
        end = field.end()
    return re.compile(text + _any_text(pattern[end:])), code


def _date_expression(code: str) -> str:
    parts = re.findall(r"%.|[^%]+", code)
    wrong = [part for part in parts if part.startswith("%") and part not in _CODES]
    day = {"%j"} <= set(parts) or {"%d"} <= set(parts)
    if wrong or not day or not {"%Y", "%y"} & set(parts):
        rule = f"a year and a day, of {' '.join(_CODES)}"
        text = f"{{date:{code}}} is not a date's pattern."
        raise ImageryError(explain(text, where=wrong, rule=rule, fix="{date:%Y%m%d}"))
    return "".join(_CODES.get(part, re.escape(part)) for part in parts)


def _any_text(text: str) -> str:
    return ".*?".join(re.escape(part) for part in text.split("*"))


def _refuse_unmatched(files: Sequence[Path], found: Sequence[Any], pattern: str) -> None:
    unmatched = [path.name for path, one in zip(files, found) if one is None]
    if unmatched:
        fix = "Mend the pattern, or leave these files out."
        raise ImageryError(explain(f"Names do not fit pattern={pattern!r}.", where=unmatched, fix=fix))
