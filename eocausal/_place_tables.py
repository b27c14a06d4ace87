"""Tables with one row for each place on the ground, read in parts: files may be larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._io import hash_file
from eocausal._tables import missing_file
from eocausal.errors import EmbeddingsError, explain

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PlaceTable", "open_places"]

Rows = npt.NDArray[np.int64]
# Given columns, rows at a time, and the rows wanted (sorted; None for all), yield the number of the first row and
# the part. Parts without a wanted row may be left out.
Parts = Callable[[list[str], int, "Rows | None"], Iterator[tuple[int, pd.DataFrame]]]

# Names under which pandas writes row numbers: no features, whatever numbers they are.
_ROW_NUMBERS = re.compile(r"__index_level_\d+__|Unnamed: \d+")
_UNKNOWN = "unknown"
# So many rows of a CSV tell which columns are numbers.
_GLANCE = 1000


@dataclass(frozen=True, eq=False)
class PlaceTable:
    """A table of places, not yet read.

    ``kinds`` tells of each column whether it holds a ``number``, a ``list`` of numbers, ``geometry`` or something
    ``other``; ``crs`` is the reference system of the geometry, None where the table has no way to say it.
    """

    name: str
    origin: Mapping[str, Any]
    kinds: Mapping[str, str]
    parts: Parts
    crs: Any = None

    @property
    def geometry(self) -> str | None:
        """Name of the geometry column."""
        return next((name for name, kind in self.kinds.items() if kind == "geometry"), None)


def open_places(source: object) -> PlaceTable:
    """Return a table of places from a .csv, .parquet or .geoparquet file, or from a table in memory."""
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    if not isinstance(source, (str, Path)):
        fix = "Pass a path, a pandas DataFrame or a GeoDataFrame."
        raise EmbeddingsError(explain(f"Places cannot be read from a {type(source).__name__}.", fix=fix))
    file = Path(source)
    opener = _OPENERS.get(file.suffix.lower())
    if opener is None:
        raise EmbeddingsError(
            explain(
                f"File {file.name!r} is not of a kind that can be read in parts.",
                rule=f"accepted endings: {', '.join(_OPENERS)}",
                fix="Read it yourself and pass the pandas DataFrame or GeoDataFrame.",
            )
        )
    if not file.is_file():
        raise EmbeddingsError(missing_file(file))
    return opener(file)


def _from_frame(frame: pd.DataFrame) -> PlaceTable:
    plain = pd.DataFrame(frame).set_axis([str(name) for name in frame.columns], axis=1)
    repeated = sorted(set(plain.columns[plain.columns.duplicated()]))
    if repeated:
        fix = "frame = frame.loc[:, ~frame.columns.duplicated()]"
        raise EmbeddingsError(explain("Column names appear more than once.", where=repeated, fix=fix))
    kinds = {name: _kind_of(plain[name]) for name in plain.columns}
    shapes, crs = getattr(frame, "_geometry_column_name", None), None
    if shapes in frame.columns:
        kinds = {name: "other" if kind == "geometry" else kind for name, kind in kinds.items()}
        kinds[str(shapes)] = "geometry"
        crs = _UNKNOWN if frame.crs is None else frame.crs
    return PlaceTable("the table", {"source": "DataFrame"}, kinds, partial(_frame_parts, plain), crs)


def _kind_of(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column) or _ROW_NUMBERS.fullmatch(str(column.name)):
        return "other"
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    first = column.dropna().head(1).tolist()
    if first and isinstance(first[0], (list, tuple, np.ndarray)):
        return "list"
    return "geometry" if first and isinstance(first[0], bytes) and column.name == "geometry" else "other"


def _frame_parts(
    frame: pd.DataFrame, columns: list[str], size: int, wanted: Rows | None
) -> Iterator[tuple[int, pd.DataFrame]]:
    for start in range(0, len(frame), size):
        yield start, frame.iloc[start : start + size][columns]


def _open_csv(file: Path) -> PlaceTable:
    try:
        glance = pd.read_csv(file, nrows=_GLANCE, encoding="utf-8-sig", index_col=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as cause:
        text = f"File {file.name!r} is not a CSV table of UTF-8 text."
        raise EmbeddingsError(explain(text, rule=str(cause))) from cause
    kinds = {str(name): _kind_of(glance[name]) for name in glance.columns}
    origin = {"source": file.name, "sha256": hash_file(file)}
    return PlaceTable(file.name, origin, kinds, partial(_csv_parts, file))


def _csv_parts(
    file: Path, columns: list[str], size: int, wanted: Rows | None
) -> Iterator[tuple[int, pd.DataFrame]]:
    start = 0
    try:
        with pd.read_csv(
            file, usecols=columns, chunksize=size, encoding="utf-8-sig", index_col=False, low_memory=False
        ) as parts:
            for part in parts:
                yield start, part[columns]
                start += len(part)
    except (UnicodeDecodeError, pd.errors.ParserError) as cause:
        raise EmbeddingsError(explain(f"File {file.name!r} is damaged.", rule=str(cause))) from cause


def _open_parquet(file: Path) -> PlaceTable:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (pyarrow.ArrowException, OSError) as cause:
        text = f"File {file.name!r} is damaged or not a Parquet file."
        raise EmbeddingsError(explain(text, rule=str(cause)[:200])) from cause
    kinds = {field.name: _arrow_kind(field) for field in schema}
    crs = None
    if b"geo" in (schema.metadata or {}):
        shapes, crs = _geo_column(file, schema.metadata[b"geo"])
        kinds = {name: "other" if kind == "geometry" else kind for name, kind in kinds.items()}
        kinds[shapes] = "geometry"
    origin = {"source": file.name, "sha256": hash_file(file)}
    return PlaceTable(file.name, origin, kinds, partial(_parquet_parts, file), crs)


def _geo_column(file: Path, metadata: bytes) -> tuple[str, Any]:
    """Return name and reference system of the geometry of a GeoParquet file."""
    try:
        about = json.loads(metadata)
        shapes = str(about["primary_column"])
        described = about["columns"][shapes]
        encoding, crs = described["encoding"], described.get("crs", "OGC:CRS84")
    except (ValueError, KeyError, TypeError) as cause:
        text = f"File {file.name!r} does not say where its geometry is, as GeoParquet does."
        raise EmbeddingsError(explain(text, rule=f"metadata 'geo': {cause!r}"[:200])) from cause
    if encoding != "WKB":
        fix = f"pass the table instead: geopandas.read_parquet({file.name!r})"
        text = f"Geometry of {file.name!r} is encoded as {encoding}."
        raise EmbeddingsError(explain(text, rule="WKB can be read in parts", fix=fix))
    return shapes, _UNKNOWN if crs is None else crs


def _arrow_kind(field: pyarrow.Field) -> str:
    import pyarrow.types as kinds

    if _ROW_NUMBERS.fullmatch(field.name):
        return "other"
    listed = (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)
    if any(one(field.type) for one in listed):
        inner = field.type.value_type
        return "list" if kinds.is_floating(inner) or kinds.is_integer(inner) else "other"
    if kinds.is_integer(field.type) or kinds.is_floating(field.type) or kinds.is_decimal(field.type):
        return "number"
    binary = kinds.is_binary(field.type) or kinds.is_large_binary(field.type)
    return "geometry" if binary and field.name == "geometry" else "other"


def _parquet_parts(
    file: Path, columns: list[str], size: int, wanted: Rows | None
) -> Iterator[tuple[int, pd.DataFrame]]:
    import pyarrow
    import pyarrow.parquet as pq

    start = 0
    try:
        with pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as content:
            for group in range(content.num_row_groups):
                end = start + content.metadata.row_group(group).num_rows
                if wanted is None or np.diff(np.searchsorted(wanted, [start, end]))[0]:
                    for batch in content.iter_batches(size, row_groups=[group], columns=columns):
                        yield start, batch.to_pandas(ignore_metadata=True)[columns]
                        start += batch.num_rows
                start = end
    except (pyarrow.ArrowException, OSError) as cause:
        text = f"File {file.name!r} is damaged or not a Parquet file."
        raise EmbeddingsError(explain(text, rule=str(cause)[:200])) from cause


_OPENERS: dict[str, Callable[[Path], PlaceTable]] = {
    ".csv": _open_csv,
    ".parquet": _open_parquet,
    ".geoparquet": _open_parquet,
    ".gpq": _open_parquet,
}
