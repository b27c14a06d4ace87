"""Scenes: rasters with the day they were taken, their sensor, and what is known of their pixels."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eocausal._checks import require_columns
from eocausal.errors import ImageryError, explain
from eocausal.imagery.cloud_model import CloudModel
from eocausal.imagery.files import Rasters, raster_files
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.remote import Address, addresses, read_address
from eocausal.imagery.screening import as_radiometry, check_offsets, check_quality
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
    # centuries that have pictures: longer numbers of paths and rows are not taken for a year
    "%Y": r"(?:18|19|20)\d{2}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%j": r"\d{3}",
    "%b": r"[A-Za-z]{3}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
}
_FIELD = re.compile(r"\{(\w*)(?::([^{}]*))?\}")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ][\d:.]+ ?(Z|UTC|[+-]\d{2}:?\d{2})?)?")


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
    quality : Quality, CloudModel or None
        The quality band and the flags that make a pixel not valid.

    Examples
    --------
    See :func:`scenes`. Without rasters there are none:

    >>> len(Scenes(()))
    0
    """

    tiles: tuple[Tile, ...]
    pixel_unit: Radiometry | None = None
    quality: Quality | CloudModel | None = None

    def __post_init__(self) -> None:
        check_quality(self.quality)
        check_offsets(self.tiles, self.pixel_unit)

    def __len__(self) -> int:
        return len(self.tiles)

    def __repr__(self) -> str:
        if not self.tiles:
            return "Scenes(0 rasters)"
        days = self.table()["date"].dropna()
        count, number = len(self), days.nunique()
        if number > 1:
            span = f"{number} days from {days.min()} to {days.max()}"
        else:
            span = f"of {days.min()}" if number else "undated"
        bands = " ".join(band_names(self.tiles))
        return f"Scenes({count} raster{'s' if count > 1 else ''}, {span}, bands {bands})"

    def table(self) -> pd.DataFrame:
        """Return one row per raster.

        Returns
        -------
        pandas.DataFrame
            ``scene date sensor crs pixel_x pixel_y width height offset_applied``; dates are ISO text, pixel
            sizes in units of the reference system.
        """
        columns = (
            "scene", "date", "sensor", "crs", "pixel_x", "pixel_y", "width", "height", "offset_applied",
        )  # fmt: skip
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
        return pd.DataFrame(rows, columns=columns)


def scenes(
    rasters: Rasters | pd.DataFrame,
    *,
    date: str | None = None,
    sensor: str | None = None,
    pattern: str | None = None,
    file: str = "file",
    pixel_unit: str | Radiometry | None = None,
    quality: Quality | CloudModel | None = None,
    remote: bool = False,
) -> Scenes:
    """Gather rasters of one or many days; only their headers are read.

    Parameters
    ----------
    rasters : path, glob pattern, list of these, or DataFrame
        Raster files as for :func:`chips`, or a table with one row per file. With ``remote=True`` also
        addresses (https, s3, gs) of GeoTIFF and JPEG 2000 files, which are read window by window.
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
    remote : bool
        Allow reading from the network.

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
    if pattern is not None:
        _refuse_twice(pattern, date=date, sensor=sensor)
    if isinstance(rasters, pd.DataFrame):
        files, days, sensors = _from_table(rasters, file, date, sensor, remote=remote)
    else:
        files = _files(rasters, remote=remote)
        days, sensors = _same_for_all(files, date, sensor)
    if pattern is not None:
        by_name = [_from_name(path.name, pattern) for path in files]
        _refuse_unmatched(files, by_name, pattern)
        if "{date" in pattern:
            days = [found[0] for found in by_name if found is not None]
        if "{sensor" in pattern:
            sensors = [found[1] for found in by_name if found is not None]
    tiles = [replace(_tile(one), date=day, sensor=name) for one, day, name in zip(files, days, sensors)]
    check_together(tiles)
    return Scenes(tuple(tiles), as_radiometry(pixel_unit), quality)


def _refuse_twice(pattern: str, **said: str | None) -> None:
    """Raise ImageryError when the pattern says what an argument says too."""
    for name, value in said.items():
        if value is not None and f"{{{name}" in pattern:
            fix = f"Leave out {name}=, or {{{name}}} of the pattern."
            raise ImageryError(explain(f"{name}={value!r} and pattern={pattern!r} both say it.", fix=fix))


def _files(rasters: Any, *, remote: bool) -> list[Path | Address]:
    """Return the files on this machine, or the addresses of files on servers."""
    far = addresses(rasters, remote=remote)
    return [*raster_files(rasters)] if far is None else [*far]


def _tile(file: Path | Address) -> Tile:
    return read_address(file) if isinstance(file, Address) else read_tile(file)


def _same_for_all(
    files: Sequence[Path | Address], date: str | None, sensor: str | None
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
    table: pd.DataFrame, file: str, date: str | None, sensor: str | None, *, remote: bool
) -> tuple[list[Path | Address], list[np.datetime64 | None], list[str | None]]:
    columns = [name for name in (file, date, sensor) if name is not None]
    require_columns(table, columns, table="scenes", error=ImageryError)
    files = _files(table[file].map(str).tolist(), remote=remote)
    if len(files) != len(table):
        fix = "Name one file in each row."
        raise ImageryError(explain(f"{len(table)} rows of {file!r} name {len(files)} files.", fix=fix))
    days = [None if date is None else as_day(value) for value in table[date or file]]
    undated = [path.name for path, day in zip(files, days) if day is None]
    if date is not None and undated:
        raise ImageryError(explain(f"Column {date!r} is empty for some files.", where=undated))
    if sensor is None:
        return files, days, [None] * len(files)
    empty = [path.name for path, missing in zip(files, table[sensor].isna()) if missing]
    if empty:
        fix = f'table[{sensor!r}] = table[{sensor!r}].fillna("unknown")'
        raise ImageryError(explain(f"Column {sensor!r} is empty for some files.", where=empty, fix=fix))
    return files, days, [str(value) for value in table[sensor]]


def as_day(value: Any) -> np.datetime64 | None:
    """Return a day from ISO text or a timestamp, None for a missing value, or raise ImageryError."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    rule = "one day, ISO 8601, such as 2007-06-30"
    if isinstance(value, (numbers.Number, np.bool_)):
        raise ImageryError(explain(f"date={value!r} is a number and not a date.", rule=rule))
    wrong = explain(f"date={value!r} is not a date.", rule=rule)
    if isinstance(value, str) and not _ISO.fullmatch(value):
        raise ImageryError(wrong)
    try:
        day: np.datetime64 = np.datetime64(pd.Timestamp(str(value)).date().isoformat())
    except (ValueError, TypeError) as cause:
        raise ImageryError(wrong) from cause
    return day


def _from_tags(path: Path | Address) -> np.datetime64 | None:
    if isinstance(path, Address):
        fix = 'pattern="*_{date:%Y%m%d}*", or a table of addresses with a column of dates'
        raise ImageryError(explain(f"Tags of {path.name!r}, which is on a server, are not read.", fix=fix))
    tags = read_tags(path)
    for name in DATE_TAGS:
        text = str(tags.get(name.lower(), "")).strip()
        found = re.match(r"(\d{4})([-:/]?)(\d{2})\2(\d{2})", text)
        if found:
            day = pd.to_datetime("".join(found.group(1, 3, 4)), format="%Y%m%d", errors="coerce")
            # some programs write zeros where they do not know
            if day is not pd.NaT:
                return as_day(day)
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
    fields = [name for name, _ in _FIELD.findall(pattern)]
    wrong = [name for name in fields if name not in ("date", "sensor") or fields.count(name) > 1]
    if wrong or not fields:
        text = f"pattern={pattern!r} does not say where {{date:...}} or {{sensor}} are."
        fix = 'pattern="LE07_*_{date:%Y%m%d}_*"'
        raise ImageryError(explain(text, where=wrong, rule="each once, and * for other text", fix=fix))
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
    said = set(parts)
    day = "%j" in said or ("%d" in said and bool({"%m", "%b"} & said))
    if wrong or not day or not {"%Y", "%y"} & said or len(said & set(_CODES)) < code.count("%"):
        rule = f"a year, and its day or month and day, each once, of {' '.join(_CODES)}"
        text = f"{{date:{code}}} is not a date's pattern."
        raise ImageryError(explain(text, where=wrong, rule=rule, fix="{date:%Y%m%d}"))
    return "".join(_CODES.get(part, re.escape(part)) for part in parts)


def _any_text(text: str) -> str:
    return ".*?".join(re.escape(part) for part in text.split("*"))


def _refuse_unmatched(files: Sequence[Path | Address], found: Sequence[Any], pattern: str) -> None:
    unmatched = [path.name for path, one in zip(files, found) if one is None]
    if unmatched:
        fix = "Correct the pattern, or leave these files out."
        raise ImageryError(explain(f"Names do not fit pattern={pattern!r}.", where=unmatched, fix=fix))
