"""Tables of the user, by unit id or by image key, brought to the units that are judged, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_columns
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]
# A column of text with more levels than this is more likely a name than a kind.
_MOST_LEVELS = 20
UnitTable = pd.DataFrame | pd.Series | Embeddings | Sequence[str] | str
_KEYS = ("id", "image_key")


class Keyed(Protocol):
    """Units with their ids and the keys of their images, both (n,), and the design with their columns."""

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Unit ids."""
        ...

    @property
    def image_keys(self) -> npt.NDArray[Any]:
        """Keys of their images."""
        ...

    @property
    def design(self) -> Design | None:
        """What was asked of which units, where it is known."""
        ...


def unit_columns(
    table: UnitTable, units: Keyed, *, by: str | None, argument: str, first_level: bool
) -> pd.DataFrame:
    """Return the columns of a table as numbers, one row for each unit in their order.

    Parameters
    ----------
    table : DataFrame, Series, Embeddings, or names of columns
        Indexed by unit id or by image key; names are of columns of the table that the design was made of. Text
        becomes a 0/1 column for each of its levels.
    by : {"id", "image_key"} or None
        What the index holds; None where only one of them fits, or both say the same. Embeddings go by image key.
    argument : str
        What the table is called in errors.
    first_level : bool
        Whether text gets a column for its first level too, which together sum to one.

    Raises
    ------
    EvaluationError
        Not a table, no rows for some units, rows that repeat, values that are missing, or text of many levels.
    """
    if isinstance(table, str) or (isinstance(table, list | tuple) and table):
        table, by = _named([table] if isinstance(table, str) else list(table), units.design, argument), "id"
    frame, by = _as_frame(table, by, argument)
    keys = {"id": units.ids, "image_key": units.image_keys}
    labels = keys[_which(frame, keys, by, argument)]
    taken = frame.loc[pd.Index(labels)].set_axis(pd.Index(units.ids, name="id"))
    columns: dict[str, FloatArray] = {}
    for name, column in taken.items():
        made = _as_numbers(column, str(name), argument, first_level=first_level)
        _require_new(made, columns, argument)
        columns |= made
    found = pd.DataFrame(columns, index=taken.index)
    bad = ~np.isfinite(found.to_numpy(dtype=float))
    if bad.any():
        raise EvaluationError(
            explain(
                f"{argument} has missing or infinite values in {list(found.columns[bad.any(axis=0)])}.",
                where=units.ids[bad.any(axis=1)],
                rule="one number for each unit that is judged",
                fix=f"leave the column out, or fill it and add an indicator: {argument}.fillna(0)",
            )
        )
    return found


def _named(names: list[str], design: Design | None, argument: str) -> pd.DataFrame:
    """Return columns of the table that a design was made of, by unit id."""
    if design is None:
        raise EvaluationError(
            explain(
                f"{argument} names columns, but a result read from a file keeps no table.",
                fix="pass the columns themselves: table.set_index('id')[['age']]",
            )
        )
    frame = design.frame
    require_columns(frame, names, table="table of the design", error=EvaluationError)
    return frame[names].iloc[design.table.rows].set_axis(pd.Index(design.table.ids))


def _as_frame(table: Any, by: str | None, argument: str) -> tuple[pd.DataFrame, str | None]:
    if isinstance(table, Embeddings):
        frame = pd.DataFrame(table.values.astype(float), index=table.keys, columns=list(table.columns))
        return frame, "image_key"
    if isinstance(table, pd.Series):
        table = table.to_frame(name=argument if table.name is None else table.name)
    if not isinstance(table, pd.DataFrame) or not table.shape[1]:
        kind = "a table without columns" if isinstance(table, pd.DataFrame) else f"a {type(table).__name__}"
        raise EvaluationError(
            explain(
                f"{argument} is {kind}.",
                fix="a DataFrame indexed by unit id or image key, such as units.frame.set_index('id')[['age']], or "
                "ec.embed(chips, encoder='image_stats')",
            )
        )
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise EvaluationError(explain(f"{argument} names columns twice.", where=twice))
    return table, by


def _which(frame: pd.DataFrame, keys: dict[str, npt.NDArray[Any]], by: str | None, argument: str) -> str:
    """Return what the index of a table holds, or raise where it lacks units or could be read either way."""
    missing = {name: ~pd.Index(labels).isin(frame.index) for name, labels in keys.items()}
    if by is None:
        fits = [name for name in _KEYS if not missing[name].any()]
        same = len(fits) == 2 and (keys["id"] == keys["image_key"]).all()
        if len(fits) == 2 and not same:
            fix = "by='id' or by='image_key'"
            raise EvaluationError(
                explain(f"{argument} could be indexed by unit id or by image key.", fix=fix)
            )
        by = fits[0] if fits else "id"
    one_of(by, _KEYS, argument="by", error=EvaluationError)
    if missing[by].any():
        raise EvaluationError(
            explain(
                f"{argument} has no row for some units.",
                where=keys[by][missing[by]],
                rule="a row for each unit id, or for each image key",
                fix=f"{argument} = {argument}.set_index('id')",
            )
        )
    if frame.index.has_duplicates:
        raise EvaluationError(
            explain(
                f"{argument} has several rows for some units.",
                where=frame.index[frame.index.duplicated()],
                rule="one row for each unit id, or for each image key",
            )
        )
    return by


def _require_new(made: dict[str, FloatArray], columns: dict[str, FloatArray], argument: str) -> None:
    """Raise where columns would be called as others are, such as a level of text as a column of numbers."""
    twice = [name for name in made if name in columns]
    if twice:
        raise EvaluationError(
            explain(
                f"Several columns of {argument} would have one name.",
                where=twice,
                rule="one name for each column, and kind[a] for the level a of the text column kind",
                fix=f"{argument} = {argument}.rename(columns={{{twice[0]!r}: 'another name'}})",
            )
        )


def _as_numbers(column: pd.Series, name: str, argument: str, *, first_level: bool) -> dict[str, FloatArray]:
    """Return a numeric column, or a column of 0 and 1 for each level of text, NaN where missing."""
    if pd.api.types.is_complex_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        raise EvaluationError(explain(f"Column {name!r} of {argument} holds {column.dtype} values."))
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return {name: column.to_numpy(dtype=float, na_value=np.nan)}
    levels = sorted(column.dropna().unique().tolist(), key=str)
    if len(levels) > _MOST_LEVELS:
        raise EvaluationError(
            explain(
                f"Column {name!r} of {argument} is text with {len(levels)} values.",
                rule=f"at most {_MOST_LEVELS} kinds",
                fix=f"pd.to_numeric({argument}[{name!r}]), or leave it out",
            )
        )
    absent = column.isna().to_numpy()
    return {
        f"{name}[{level}]": np.where(absent, np.nan, (column == level).to_numpy(dtype=float))
        for level in (levels if first_level else levels[1:])
    }
