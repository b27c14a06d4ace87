"""The table of features: one row per image key, float32 columns in named blocks, and what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import _feature_tables as tables
from eocausal._checks import did_you_mean, require_columns
from eocausal._image_info import INFO, STATUSES, as_info, worst_info
from eocausal._io import hash_content, hash_file, write_atomically
from eocausal._provenance import hash_arrays
from eocausal._tables import read_table
from eocausal.errors import EmbeddingsError, explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """Features of images, one row per image key.

    Parameters
    ----------
    keys : ndarray, shape (n,)
        Distinct image keys, all numbers or all text.
    key_name : str
        Name of the key column.
    values : ndarray of float32, shape (n, d)
        Features; the array is made read-only. Within a block a row is wholly finite or, where the image
        could not be used, wholly NaN.
    columns : tuple of str
        The d names, such as ``rcf_960m_000``.
    blocks : dict of str to (int, int)
        Name of each block and its first and one-past-last column; together they cover all columns in order.
    info : DataFrame
        n rows: ``status`` (one of ``ok partial cloudy nodata outside missing``, the worst over blocks),
        ``valid_fraction`` (the smallest over blocks; NaN where it is not known) and ``last_date`` (the last
        day that the image shows, ISO text; ``date`` where rows do not differ).
    date : str, optional
        Last ISO date of the imagery.
    recipe : dict
        What made the features, JSON-like.

    Raises
    ------
    EmbeddingsError
        When the parts do not fit together.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"village": [3, 7], "f0": [0.5, 1.5], "f1": [2.0, 1.0]})
    >>> found = read_embeddings(table, key="village")
    >>> found
    Embeddings(2 images by 'village', 2 features in 1 block (features), 0 without features)
    >>> found.rows_for([7, 4])
    array([ 1, -1])
    """

    keys: npt.NDArray[Any]
    key_name: str
    values: npt.NDArray[np.float32]
    columns: tuple[str, ...]
    blocks: Mapping[str, tuple[int, int]]
    info: pd.DataFrame
    date: str | None
    recipe: Mapping[str, Any]

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32).view()
        keys = tables.as_keys(self.keys, self.key_name).copy()
        values.flags.writeable = keys.flags.writeable = False
        parts: dict[str, Any] = {
            "keys": keys,
            "values": values,
            "columns": tuple(str(column) for column in self.columns),
            "blocks": {str(name): (int(a), int(b)) for name, (a, b) in self.blocks.items()},
            "info": as_info(self.info, tables.as_date(self.date)),
            "date": tables.as_date(self.date),
            "recipe": tables.as_json(self.recipe),
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)
        tables.check_distinct(keys, self.key_name)
        _check_layout(self)
        for name in self.blocks:
            tables.check_values(keys, self.block(name), name)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        without = int((~np.isfinite(self.values).all(axis=1)).sum())
        blocks = f"{len(self.blocks)} block{'s' if len(self.blocks) != 1 else ''} ({', '.join(self.blocks)})"
        rows, features = self.shape
        return (
            f"Embeddings({rows} images by {self.key_name!r}, {features} features in {blocks}, "
            f"{without} without features)"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of images and of features."""
        return (int(self.values.shape[0]), int(self.values.shape[1]))

    @property
    def recipe_hash(self) -> str:
        """Hash of what made the features: equal recipes, equal hash."""
        return hash_content(self.recipe)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole table: keys, values, names, date and recipe."""
        arrays = hash_arrays(self.keys, self.values)
        return hash_content(
            [arrays, list(self.columns), list(self.blocks.items()), self.date, self.recipe_hash]
        )

    def block(self, name: str) -> npt.NDArray[np.float32]:
        """Return the features of one block, shape (n, width)."""
        if name not in self.blocks:
            fix = did_you_mean(name, list(self.blocks))
            raise EmbeddingsError(explain(f"There is no block {name!r}.", fix=fix))
        start, stop = self.blocks[name]
        return self.values[:, start:stop]

    def rows_for(self, keys: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return the row of each key (keys may repeat), and -1 where the table has none."""
        wanted = np.asarray(keys)
        if len(wanted) and len(self) and tables.is_text(wanted) != tables.is_text(self.keys):
            kinds = ("text", "numbers") if tables.is_text(self.keys) else ("numbers", "text")
            raise EmbeddingsError(
                explain(
                    f"Keys {self.key_name!r} are {kinds[0]} in the embeddings but {kinds[1]} here.",
                    where=wanted,
                    fix=f"units[{self.key_name!r}].astype({'str' if kinds[0] == 'text' else 'int'})",
                )
            )
        rows: npt.NDArray[np.intp] = pd.Index(self.keys).get_indexer(pd.Index(wanted))
        return rows

    def take(self, keys: Sequence[Any] | npt.NDArray[Any]) -> Embeddings:
        """Return the rows of these keys, in this order; a key that is not there is an error."""
        wanted = np.asarray(keys)
        rows = self.rows_for(wanted)
        if (rows < 0).any():
            raise EmbeddingsError(
                explain(
                    f"Keys {self.key_name!r} are not in the embeddings.",
                    where=wanted[rows < 0],
                    rule="every key asked for has a row",
                    fix="embed these images too, or ask only for embeddings.keys",
                )
            )
        return replace(
            self, keys=self.keys[rows], values=self.values[rows], info=self.info.iloc[np.asarray(rows)]
        )

    def select(self, *names: str) -> Embeddings:
        """Return the table with these blocks alone, in this order, such as one size of several."""
        parts = [self.block(name) for name in names]
        starts = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
        return replace(
            self,
            values=np.concatenate(parts, axis=1),
            columns=tuple(column for name in names for column in self.columns[slice(*self.blocks[name])]),
            blocks=dict(zip(names, pairwise(starts))),
            recipe={"selected": list(names), "of": dict(self.recipe)},
        )

    def with_block(self, other: Embeddings) -> Embeddings:
        """Put the blocks of another table over the same keys beside these; row order is this table's.

        The date is the later of those known, because that is the one that may come after treatment.
        """
        _check_joinable(self, other)
        right = other.take(self.keys)
        width = self.shape[1]
        moved = {name: (start + width, stop + width) for name, (start, stop) in right.blocks.items()}
        known = [date for date in (self.date, right.date) if date is not None]
        return replace(
            self,
            values=np.concatenate([self.values, right.values], axis=1),
            columns=self.columns + right.columns,
            blocks={**self.blocks, **moved},
            info=worst_info([self.info, right.info]),
            date=max(known, default=None),
            recipe={"joined": [dict(self.recipe), dict(right.recipe)], "dates": [self.date, right.date]},
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one table: key, ``status``, ``valid_fraction``, ``last_date``, and a column per feature."""
        head = pd.DataFrame({self.key_name: self.keys}).join(self.info)
        return pd.concat([head, pd.DataFrame(self.values, columns=list(self.columns))], axis=1)

    def write(self, path: str | Path) -> Path:
        """Write Parquet atomically, with page checksums and the recipe in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = {
            "format": tables.FORMAT_VERSION,
            "key_name": self.key_name,
            "blocks": self.blocks,
            "date": self.date,
            "recipe": self.recipe,
        }
        names = [self.key_name, *INFO, *self.columns]
        arrays = [
            pa.array(self.keys, type=pa.string() if tables.is_text(self.keys) else None),
            pa.array(self.info["status"].to_numpy(dtype=object), type=pa.string()),
            pa.array(self.info["valid_fraction"].to_numpy(dtype=float)),
            pa.array(self.info["last_date"].to_numpy(dtype=object), type=pa.string(), from_pandas=True),
            *(pa.array(np.ascontiguousarray(column)) for column in self.values.T),
        ]
        table = pa.table(arrays, names=names).replace_schema_metadata({tables.METADATA: json.dumps(about)})
        return write_atomically(
            path,
            lambda temporary: pq.write_table(
                table, temporary, compression="zstd", use_dictionary=["status"], write_page_checksum=True
            ),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the images on the first two principal components of their features."""
        import matplotlib.pyplot as plt

        usable = self.values[np.isfinite(self.values).all(axis=1)].astype(float)
        if min(usable.shape) < 2:
            rows, features = usable.shape
            what = f"A plot needs 2 images and 2 features; there are {rows} images with {features}."
            raise EmbeddingsError(explain(what))
        left, sizes, _ = np.linalg.svd(usable - usable.mean(axis=0), full_matrices=False)
        share = sizes**2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
        axes = plt.subplots()[1] if ax is None else ax
        axes.scatter(left[:, 0] * sizes[0], left[:, 1] * sizes[1], s=12, alpha=0.7, linewidths=0)
        axes.set_xlabel(f"First principal component ({share[0]:.0%} of variance)")
        axes.set_ylabel(f"Second principal component ({share[1]:.0%} of variance)")
        return axes


def read_embeddings(
    source: str | Path | pd.DataFrame,
    *,
    key: str,
    columns: Sequence[str] | str | None = None,
    date: str | None = None,
) -> Embeddings:
    """Read features from a file of :func:`eocausal.embed` or from any table made elsewhere.

    Parameters
    ----------
    source : str, Path or DataFrame
        Parquet or CSV file, or a table.
    key : str
        Column with the image key. In CSV, keys that are not written as plain integers stay text, so that
        ``007`` is not turned into ``7``.
    columns : list of str or str, optional
        Columns of features, or the prefix they share; by default all numeric columns except the key.
    date : str, optional
        ISO date of the imagery.

    Returns
    -------
    Embeddings
        With the blocks and recipe of the file where it has them, else one block named after the file.

    Raises
    ------
    EmbeddingsError
        When the file cannot be read, the key is missing or does not identify a row, or a feature is not a
        finite number. A row that is NaN throughout is kept with status ``missing``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"place": ["a", "b"], "e0": [0.1, 0.2], "e1": [1.0, 2.0], "note": ["x", "y"]})
    >>> read_embeddings(table, key="place", columns="e").columns
    ('e0', 'e1')
    """
    if isinstance(source, pd.DataFrame):
        found = tables.read_features(source, key=key, columns=columns)
        return _assemble(found, key=key, block="features", date=date, made={"source": "DataFrame"})
    path = Path(source)
    frame = read_table(path, key_columns=[key], error=EmbeddingsError)
    about = tables.own_metadata(path)
    if about is not None:
        require_columns(frame, [key], table="embeddings", error=EmbeddingsError)
        return _restore(frame, about, key=key, columns=columns, date=date)
    found = tables.read_features(frame, key=key, columns=columns)
    made = {"source": path.name, "sha256": hash_file(path)}
    return _assemble(found, key=key, block=path.stem, date=date, made=made)


def _assemble(
    found: tables.FeatureTable, *, key: str, block: str, date: str | None, made: dict[str, Any]
) -> Embeddings:
    present = np.isfinite(found.values).all(axis=1)
    info = pd.DataFrame(
        {
            "status": np.where(present, "ok", "missing").astype(object),
            "valid_fraction": np.where(present, np.nan, 0.0),
        }
    )
    return Embeddings(
        keys=found.keys,
        key_name=key,
        values=found.values,
        columns=found.columns,
        blocks={block: (0, len(found.columns))},
        info=info,
        date=date,
        recipe={**made, "notes": list(found.notes)},
    )


def _restore(
    frame: pd.DataFrame,
    about: Mapping[str, Any],
    *,
    key: str,
    columns: Sequence[str] | str | None,
    date: str | None,
) -> Embeddings:
    """Rebuild a table from a file of our own; columns asked for keep their blocks."""
    tables.check_own(about, key=key, date=date)
    stored = [str(name) for name in frame.columns if name not in (key, *INFO)]
    wanted = tables.select(stored, columns)
    blocks: dict[str, tuple[int, int]] = {}
    for name, (start, stop) in about["blocks"].items():
        width = len(wanted.intersection(stored[start:stop]))
        if width:
            before = max((end for _, end in blocks.values()), default=0)
            blocks[name] = (before, before + width)
    kept = [name for name in stored if name in wanted]
    return Embeddings(
        keys=frame[key].to_numpy(),
        key_name=key,
        values=frame[kept].to_numpy(dtype=np.float32),
        columns=tuple(kept),
        blocks=blocks,
        info=frame.reindex(columns=list(INFO)),
        date=about["date"] if date is None else date,
        recipe=about["recipe"] if columns is None else {**about["recipe"], "columns": kept},
    )


def _check_layout(table: Embeddings) -> None:
    rows, width = table.shape if table.values.ndim == 2 else (-1, -1)
    problems = [
        (table.values.ndim != 2, f"values have {table.values.ndim} dimensions, not 2"),
        (rows != len(table.keys), f"{len(table.keys)} keys for {rows} rows of values"),
        (len(table.info) != len(table.keys), f"{len(table.info)} rows of info for {len(table.keys)} keys"),
        (width != len(table.columns), f"{len(table.columns)} column names for {width} columns"),
        (len(set(table.columns)) < len(table.columns), "column names repeat"),
        (
            bool({table.key_name, *INFO} & set(table.columns)),
            "a feature has the name of the key or of status",
        ),
        (table.key_name in INFO, f"the key cannot be named {table.key_name!r}"),
        (not set(table.info["status"]) <= set(STATUSES), f"status is one of {', '.join(STATUSES)}"),
    ]
    ends = [0, *(stop for _, stop in table.blocks.values())]
    starts = [start for start, _ in table.blocks.values()]
    problems.append(
        (starts != ends[:-1] or ends[-1] != width, f"blocks {table.blocks} do not cover {width} columns")
    )
    for broken, text in problems:
        if broken:
            raise EmbeddingsError(explain(f"The parts of the embeddings do not fit together: {text}."))


def _check_joinable(left: Embeddings, right: Embeddings) -> None:
    shared = sorted({*left.blocks, *left.columns} & {*right.blocks, *right.columns})
    only = left.keys[right.rows_for(left.keys) < 0]
    if left.key_name != right.key_name or len(left) != len(right) or len(only):
        raise EmbeddingsError(
            explain(
                f"Tables by {left.key_name!r} ({len(left)} rows) and {right.key_name!r} ({len(right)} rows) "
                "do not have the same keys (where: keys the second lacks).",
                where=only,
                fix="keys = sorted(set(one.keys) & set(two.keys)); one.take(keys).with_block(two.take(keys))",
            )
        )
    if shared:
        raise EmbeddingsError(
            explain("Both tables have these blocks or columns.", where=shared, rule="names differ")
        )
