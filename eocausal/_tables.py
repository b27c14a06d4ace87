"""Read a table from a file as it was written: no id loses a zero, no label becomes a missing value."""

from __future__ import annotations

import csv
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from eocausal._checks import nearest
from eocausal.errors import EocausalError, explain

# Texts that are always missing values. "NA" and its kin are not among them: NA is Namibia.
MISSING = ("", "NaN", "nan", "NAN", "-nan", "-NaN", "NULL", "null", "<NA>", "#N/A", "#NA", ".")
# Texts that are missing values only where everything else in the column is a number (as R writes them).
MISSING_AMONG_NUMBERS = ("NA", "N/A", "n/a", "None")

# On all common file systems.
_LONGEST_NAME = 255
_WHOLE_NUMBER = r"(?:0|-?[1-9][0-9]{0,17})"


def read_table(path: str | Path, *, key_columns: Sequence[str], error: type[EocausalError]) -> pd.DataFrame:
    """Read a table by the ending of its name.

    Parameters
    ----------
    path : str or Path
        A .csv, .parquet, .geoparquet, .gpkg, .geojson or .dta file.
    key_columns : sequence of str
        Columns that identify rows; see :func:`read_csv` for how they are kept as written.
    error : class
        The error to raise.

    Returns
    -------
    pandas.DataFrame
        A GeoDataFrame when the file holds geometry.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise error(
            explain(
                f"File {file.name!r} is not of a kind that can be read as a table.",
                rule=f"accepted endings: {', '.join(READERS)}",
                fix="Read it yourself and pass the pandas DataFrame or GeoDataFrame.",
            )
        )
    if not os.path.isfile(file):
        raise error(missing_file(file))
    return reader(file, key_columns, error)


def missing_file(file: Path) -> str:
    """Return the text for a file that is not there, naming the nearest name that is."""
    folder = file.parent
    if max(map(len, file.parts), default=0) > _LONGEST_NAME:
        text = f"No file can have this name of {len(str(file)):,} characters: {str(file)[:40]!r}..."
        return explain(text, rule=f"at most {_LONGEST_NAME} characters a name")
    if not folder.is_dir():
        return explain(f"File {str(file)!r} is not there.", rule=f"there is no folder {str(folder)!r}")
    close = nearest(file.name, sorted(entry.name for entry in folder.iterdir()))
    fix = f"Did you mean {str(folder / close)!r}?" if close else f"Look in the folder {str(folder)!r}."
    return explain(f"File {str(file)!r} is not there.", fix=fix)


def read_csv(file: Path, key_columns: Sequence[str], error: type[EocausalError]) -> pd.DataFrame:
    """Read a comma-separated UTF-8 file.

    Key columns become whole numbers only when every value is written as one without a leading zero and
    has at most 18 digits; otherwise they stay text. ``NA`` is a missing value only in columns whose other
    values are all numbers.
    """
    try:
        header = _csv_header(file, error)
        keys = [column for column in dict.fromkeys(key_columns) if column in header]
        frame = pd.read_csv(
            file,
            dtype=dict.fromkeys(keys, "str"),
            keep_default_na=False,
            na_values={c: [""] if c in keys else list(MISSING) for c in header},
            encoding="utf-8-sig",
            low_memory=False,
            index_col=False,
        )
    except UnicodeDecodeError as cause:
        fix = f'pass the table instead: pd.read_csv({file.name!r}, encoding="latin-1")'
        raise error(explain(f"File {file.name!r} is not UTF-8 text.", rule=str(cause), fix=fix)) from cause
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as cause:
        raise error(explain(f"File {file.name!r} is not a CSV table.", rule=str(cause))) from cause
    for column in frame.columns:
        if column in keys:
            frame[column] = _whole_numbers_if_written_so(frame[column])
        elif pd.api.types.is_string_dtype(frame[column]):
            frame[column] = _numbers_if_only_missing_is_text(frame[column])
    return frame


def _csv_header(file: Path, error: type[EocausalError]) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise error(
            explain(
                f"File {file.name!r} has column names that appear more than once.",
                where=repeated,
                rule="column names are unique",
                fix="Rename or drop the repeated columns in the file's first line.",
            )
        )
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        mark = next(mark for mark in ";\t|" if mark in header[0])
        fix = f"pass the table instead: pd.read_csv({file.name!r}, sep={mark!r})"
        raise error(explain(f"File {file.name!r} is separated by {mark!r}, not by commas.", fix=fix))
    return header


def _whole_numbers_if_written_so(values: pd.Series) -> pd.Series:
    if len(values) and values.notna().all() and values.str.fullmatch(_WHOLE_NUMBER).all():
        return values.astype("int64")
    return values


def _numbers_if_only_missing_is_text(values: pd.Series) -> pd.Series:
    hidden = values.isin(MISSING_AMONG_NUMBERS)
    if not hidden.any():
        return values
    numbers = pd.to_numeric(values.mask(hidden), errors="coerce")
    unreadable = numbers.isna() & ~hidden & values.notna()
    return values if unreadable.any() or numbers.isna().all() else numbers


def _read_parquet(file: Path, key_columns: Sequence[str], error: type[EocausalError]) -> pd.DataFrame:
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_schema(file).metadata or {}
        if b"geo" in metadata:
            import geopandas

            return geopandas.read_parquet(file)  # type: ignore[no-any-return]
        table = pyarrow.parquet.read_table(file, page_checksum_verification=True)
        return table.to_pandas()  # type: ignore[no-any-return]
    except (pyarrow.ArrowException, OSError) as cause:
        text = f"File {file.name!r} is damaged or not a Parquet file."
        raise error(explain(text, rule=str(cause)[:200])) from cause


def _read_vector(file: Path, key_columns: Sequence[str], error: type[EocausalError]) -> pd.DataFrame:
    import geopandas

    # The driver behind geopandas goes by content, so the content must be what the name says.
    with file.open("rb") as stream:
        start = stream.read(64)
    is_what_it_says = (
        start.startswith(b"SQLite format 3\x00")
        if file.suffix.lower() == ".gpkg"
        else start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    )
    if not is_what_it_says:
        raise error(
            explain(f"File {file.name!r} is not a {file.suffix} file: it starts with {start[:16]!r}.")
        )
    try:
        layers = [str(name) for name in geopandas.list_layers(file)["name"]]
        if len(layers) > 1:
            fix = f"pass the table instead: geopandas.read_file({file.name!r}, layer={layers[0]!r})"
            raise error(explain(f"File {file.name!r} holds several layers.", where=layers, fix=fix))
        return geopandas.read_file(file)  # type: ignore[no-any-return]
    except (RuntimeError, ValueError, OSError) as cause:
        raise error(explain(f"File {file.name!r} cannot be opened.", rule=str(cause)[:200])) from cause


def _read_stata(file: Path, key_columns: Sequence[str], error: type[EocausalError]) -> pd.DataFrame:
    try:
        frame = pd.read_stata(file, convert_categoricals=False)
    except (ValueError, OSError, KeyError, IndexError, struct.error) as cause:
        raise error(explain(f"File {file.name!r} is not a Stata file.", rule=str(cause)[:200])) from cause
    # Stata stores whole numbers as floats by default; those that are exact become whole numbers again.
    for column in set(key_columns) & set(frame.columns):
        values = frame[column]
        if pd.api.types.is_float_dtype(values) and values.notna().all():
            largest = 2**24 if values.dtype == "float32" else 2**53
            if (values % 1 == 0).all() and values.abs().max() < largest:
                frame[column] = values.astype("int64")
    return frame


READERS: dict[str, Callable[[Path, Sequence[str], type[EocausalError]], pd.DataFrame]] = {
    ".csv": read_csv,
    ".parquet": _read_parquet,
    ".geoparquet": _read_parquet,
    ".gpkg": _read_vector,
    ".geojson": _read_vector,
    ".dta": _read_stata,
}
