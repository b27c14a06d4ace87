"""Tables of features: choose the columns, and check keys and numbers."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean, require_columns
from eocausal.errors import EmbeddingsError, explain

FORMAT_VERSION = 1
METADATA = b"eocausal"


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Checked features of a table made elsewhere: one row per key, rows wholly finite or wholly NaN."""

    keys: npt.NDArray[Any]
    values: npt.NDArray[np.float32]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def is_text(keys: npt.NDArray[Any]) -> bool:
    """Return whether keys are text; they are numbers otherwise."""
    if keys.dtype.kind == "O":
        return any(isinstance(key, str) for key in keys)
    return keys.dtype.kind in "UST"


def as_keys(keys: Any, key_name: str) -> npt.NDArray[Any]:
    """Return keys as a one-dimensional array of numbers or of Python strings, none missing."""
    found = keys.to_numpy() if isinstance(keys, pd.Series) else np.asarray(keys)
    if found.ndim != 1:
        raise EmbeddingsError(explain(f"Keys {key_name!r} have {found.ndim} dimensions.", rule="one"))
    missing = np.flatnonzero(pd.isna(found))
    if len(missing):
        raise EmbeddingsError(
            explain(
                f"Key column {key_name!r} has missing values (where: row positions).",
                where=missing,
                fix=f"frame = frame.dropna(subset=[{key_name!r}])",
            )
        )
    if found.dtype.kind in "iuf":
        return found
    as_objects = found.astype(object)
    if found.dtype.kind in "OUT" and all(isinstance(key, str) for key in as_objects):
        return as_objects
    numbers = pd.api.types.infer_dtype(as_objects) == "integer"
    if numbers:
        return as_objects.astype(np.int64)
    raise EmbeddingsError(
        explain(
            f"Key column {key_name!r} holds {pd.api.types.infer_dtype(as_objects)} values.",
            rule="keys are all numbers or all text",
            fix=f"frame[{key_name!r}] = frame[{key_name!r}].astype(str)",
        )
    )


def check_distinct(keys: npt.NDArray[Any], key_name: str) -> None:
    """Refuse keys that appear twice."""
    index = pd.Index(keys)
    if index.has_duplicates:
        twice = index[index.duplicated()].unique()
        raise EmbeddingsError(
            explain(f"Keys {key_name!r} appear more than once.", where=twice, rule="one row per image key")
        )


def own_metadata(path: Path) -> dict[str, Any] | None:
    """Return what :meth:`Embeddings.write` recorded in a file, or None for a file made elsewhere."""
    if path.suffix.lower() != ".parquet":
        return None
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    if METADATA not in metadata:
        return None
    about: dict[str, Any] = json.loads(metadata[METADATA])
    if about.get("format") != FORMAT_VERSION:
        raise EmbeddingsError(
            explain(
                f"{path.name!r} has format {about.get('format')!r}.",
                rule=f"this version reads format {FORMAT_VERSION}",
                fix="update eocausal, or embed again",
            )
        )
    return about


def check_own(about: Mapping[str, Any], *, key: str, date: str | None) -> None:
    """Refuse a key or a date other than the ones recorded in a file of our own."""
    if key != about["key_name"]:
        raise EmbeddingsError(
            explain(f"The key of this file is {about['key_name']!r}.", fix=f"key={about['key_name']!r}")
        )
    if None not in (date, about["date"]) and as_date(date) != about["date"]:
        raise EmbeddingsError(
            explain(
                f"date={date!r}, but the file says its imagery is of {about['date']}.",
                fix="leave date= out, or embed the imagery of that date",
            )
        )


def read_features(frame: pd.DataFrame, *, key: str, columns: Sequence[str] | str | None) -> FeatureTable:
    """Choose the feature columns of a table, and check keys and numbers."""
    require_columns(frame, [key], table="embeddings", error=EmbeddingsError)
    if frame.empty:
        raise EmbeddingsError(explain("The table of embeddings has no rows."))
    chosen, notes = _choose_columns(frame, key, columns)
    keys = as_keys(frame[key], key)
    values = _as_numbers(frame, chosen, keys)
    first = _first_rows(keys, values, key)
    if len(first) < len(keys):
        notes.append(f"{len(keys) - len(first)} rows that repeat a key with identical features were left out")
    return FeatureTable(keys[first], values[first], tuple(chosen), tuple(notes))


def select(stored: list[str], columns: Sequence[str] | str | None) -> set[str]:
    """Return the stored columns that a list or a prefix names; None names all."""
    if columns is None:
        return set(stored)
    wanted = (
        [name for name in stored if name.startswith(columns)] if isinstance(columns, str) else list(columns)
    )
    unknown = [name for name in wanted if name not in stored]
    if unknown or not wanted:
        raise EmbeddingsError(
            explain(
                "Columns asked for are not features of this file.",
                where=unknown or [str(columns)],
                fix=did_you_mean(str((unknown or [str(columns)])[0]), stored),
            )
        )
    return set(wanted)


def as_date(date: str | None) -> str | None:
    """Return a date as ISO 8601 text."""
    if date is None:
        return None
    try:
        return dt.date.fromisoformat(str(date)).isoformat()
    except ValueError as error:
        raise EmbeddingsError(
            explain(f"date={date!r} is not a date.", rule="ISO 8601, such as 2007-06-30")
        ) from error


def as_json(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a recipe that is sure to be JSON."""
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(recipe), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise EmbeddingsError(
            explain(
                f"The recipe cannot be written as JSON: {error}", rule="text, numbers, lists and dicts only"
            )
        ) from error
    return copied


def check_values(keys: npt.NDArray[Any], values: npt.NDArray[np.float32], block: str) -> None:
    """Refuse features that are infinite, or NaN in part of a row."""
    finite = np.isfinite(values)
    broken = ~(finite.all(axis=1) | np.isnan(values).all(axis=1))
    if broken.any():
        raise EmbeddingsError(
            explain(
                f"Features of block {block!r} are infinite or NaN in part of a row.",
                where=keys[broken],
                rule="a row of a block is finite, or NaN throughout where the image could not be used",
            )
        )


def _choose_columns(
    frame: pd.DataFrame, key: str, columns: Sequence[str] | str | None
) -> tuple[list[str], list[str]]:
    others = [str(column) for column in frame.columns if column != key]
    numeric = [name for name in others if name in frame and _all_numeric(frame[name])]
    if columns is None:
        left_out = [name for name in others if name not in numeric]
        notes = [f"columns without numbers were left out: {', '.join(left_out)}"] if left_out else []
        chosen = numeric
    else:
        notes = []
        chosen = (
            [name for name in others if name.startswith(columns)]
            if isinstance(columns, str)
            else list(columns)
        )
    if not chosen:
        wanted = "numeric columns" if columns is None else f"columns that start with {columns!r}"
        raise EmbeddingsError(
            explain(
                f"The table of embeddings has no {wanted} besides the key.",
                fix=f"columns there are: {', '.join(others[:8])}",
            )
        )
    require_columns(frame, chosen, table="embeddings", error=EmbeddingsError)
    words = [name for name in chosen if name not in numeric]
    if words:
        raise EmbeddingsError(
            explain(
                "Feature columns are not numeric.",
                where=words,
                fix=f"frame[{words[0]!r}] = pd.to_numeric(frame[{words[0]!r}]), "
                "or leave them out of columns=; a column of lists: pd.DataFrame(frame[...].tolist())",
            )
        )
    return chosen, notes


def _all_numeric(column: pd.Series | pd.DataFrame) -> bool:
    parts = [column] if isinstance(column, pd.Series) else [column.iloc[:, i] for i in range(column.shape[1])]
    return all(pd.api.types.is_numeric_dtype(part) for part in parts)


def _as_numbers(frame: pd.DataFrame, chosen: list[str], keys: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused below
        values = frame[chosen].to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
    infinite = np.isinf(values)
    if infinite.any():
        rows, places = infinite.any(axis=1), infinite.any(axis=0)
        raise EmbeddingsError(
            explain(
                f"{int(infinite.sum())} feature values are infinite or too large for float32, "
                f"in columns {_some(np.asarray(chosen)[places])}.",
                where=keys[rows],
                rule="features are finite",
                fix="frame = frame.replace([np.inf, -np.inf], np.nan).dropna()",
            )
        )
    absent = np.isnan(values)
    part = absent.any(axis=1) & ~absent.all(axis=1)
    if part.any():
        places = absent[part].any(axis=0)
        raise EmbeddingsError(
            explain(
                f"{int(part.sum())} rows miss some features but not all, in columns "
                f"{_some(np.asarray(chosen)[places])}.",
                where=keys[part],
                rule="a row has all its features, or none (all NaN) where the image could not be used",
                fix="leave out these columns with columns=, or these rows with frame.dropna()",
            )
        )
    return values


def _first_rows(keys: npt.NDArray[Any], values: npt.NDArray[np.float32], key: str) -> npt.NDArray[np.intp]:
    """Return the first row of each key; rows that repeat a key must have identical features."""
    codes, _ = pd.factorize(keys)
    _, first = np.unique(codes, return_index=True)
    differs = ~((values == values[first[codes]]) | (np.isnan(values) & np.isnan(values[first[codes]]))).all(
        axis=1
    )
    if differs.any():
        raise EmbeddingsError(
            explain(
                f"Key {key!r} appears more than once with different features.",
                where=pd.unique(keys[differs]),
                rule="one row of features per image key",
                fix=f"frame.groupby({key!r}, as_index=False).mean(), or keep one row of each",
            )
        )
    return first


def _some(names: npt.NDArray[Any]) -> str:
    return ", ".join(str(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
