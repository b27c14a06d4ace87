"""Columns of a study as numbers: covariates, weights, clusters, a known propensity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_one_kind
from eocausal.errors import DesignError, EocausalError, explain

FloatArray = npt.NDArray[np.float64]


def read_numbers(column: pd.Series, ids: npt.NDArray[Any], *, role: str) -> FloatArray:
    """Return a numeric column with NaN where missing; refuse text and infinities."""
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        as_numbers = pd.to_numeric(column, errors="coerce")
        bad = as_numbers.isna().to_numpy() & column.notna().to_numpy()
        fix = f"data[{column.name!r}] = pd.to_numeric(data[{column.name!r}], errors='coerce')"
        first = f" First value that is no number: {column[bad].iloc[0]!r}." if bad.any() else ""
        raise DesignError(
            explain(f"The {role} {column.name!r} is not numeric.{first}", where=ids[bad], fix=fix)
        )
    if pd.api.types.is_complex_dtype(column):
        raise DesignError(explain(f"The {role} {column.name!r} holds complex numbers.", rule="real numbers"))
    values = column.to_numpy(dtype=float, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise DesignError(
            explain(
                f"The {role} {column.name!r} holds infinite values.",
                where=ids[infinite],
                fix=f"data[{column.name!r}] = data[{column.name!r}].replace([np.inf, -np.inf], np.nan)",
            )
        )
    return values


def read_flags(
    frame: pd.DataFrame, name: str, ids: npt.NDArray[Any], *, error: type[EocausalError]
) -> npt.NDArray[np.bool_]:
    """Return a column of true or false, or of 1 and 0, for every unit; refuse all else."""
    column = frame[name]
    strange = column.isna().to_numpy() | ~column.isin([True, False, 0, 1]).to_numpy()
    if strange.any():
        raise error(
            explain(
                f"Column {name!r} is not true or false for all units.",
                where=ids[strange],
                rule="true or false, or 1 or 0",
            )
        )
    return np.asarray(column.to_numpy().astype(bool))


def read_complete(
    column: pd.Series, ids: npt.NDArray[Any], *, role: str = "column", error: type[EocausalError], **told: str
) -> FloatArray:
    """Return a numeric column, or raise ``error`` with ``told`` (what, rule, fix) where values are missing."""
    values = read_numbers(column, ids, role=role)
    missing = np.isnan(values)
    if missing.any():
        raise error(
            explain(told["what"], where=ids[missing], rule=told.get("rule", ""), fix=told.get("fix", ""))
        )
    return values


def expand_covariates(frame: pd.DataFrame, names: list[str], ids: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the covariates as numbers; a text column becomes 0/1 columns with its first level left out."""
    columns: dict[str, FloatArray] = {}
    for name in names:
        made = _as_numbers(frame[name], name, ids)
        _require_new(made, columns)
        columns |= made
    return pd.DataFrame(columns, index=range(len(frame)))


def _as_numbers(column: pd.Series, name: str, ids: npt.NDArray[Any]) -> dict[str, FloatArray]:
    """Return one numeric column, or 0/1 columns of a text column's levels, NaN where missing."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return {name: read_numbers(column, ids, role="covariate")}
    levels = sorted(column.dropna().unique().tolist(), key=str)
    if len(levels) > max(2, len(column) // 10):
        raise DesignError(
            explain(
                f"Covariate {name!r} is text with {len(levels)} values for {len(column)} units.",
                rule="at most one level for ten units",
                fix=f"data[{name!r}] = pd.to_numeric(data[{name!r}]), or leave it out",
            )
        )
    missing = column.isna().to_numpy()
    return {
        f"{name}[{level}]": np.where(missing, np.nan, (column == level).to_numpy(dtype=float))
        for level in levels[1:]
    }


def _require_new(names: Iterable[str], columns: Mapping[str, FloatArray]) -> None:
    """Raise where a covariate is called as a column that is made of another: one of them would be lost."""
    for name in names:
        if name in columns:
            text = f"Two covariates would be called {name!r}."
            raise DesignError(explain(text, fix="data = data.rename(columns={...})"))


@dataclass(frozen=True)
class Covariates:
    """Covariates of the units that entered, as numbers.

    Attributes
    ----------
    values : array of shape (n, p)
        With a mean where a value is missing.
    names : tuple of str, length p
    missing : boolean array of shape (n, p) or None
        Which values are missing; None where none is.
    gaps : mapping of the name of a covariate to a boolean array of shape (n,)
        Which units miss it.
    """

    values: FloatArray
    names: tuple[str, ...]
    missing: npt.NDArray[np.bool_] | None = None
    gaps: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


def keep_missing(
    frame: pd.DataFrame, names: Sequence[str], ids: npt.NDArray[Any], rows: npt.NDArray[np.intp]
) -> Covariates:
    """Return covariates with a mean where a number is missing, and 0/1 columns of who misses one.

    Missing text is a level of its own. Covariates that the same units miss share one such column.
    """
    columns: dict[str, FloatArray] = {}
    absent: dict[str, npt.NDArray[np.bool_]] = {}
    gaps: dict[str, npt.NDArray[np.bool_]] = {}
    for name in names:
        made = _as_numbers(frame[name], name, ids)
        _require_new(made, columns)
        for column, values in made.items():
            missing = np.isnan(values[rows])
            fill = 0.0 if column != name else _mean_of_some(values[rows], name)
            columns[column] = np.where(missing, fill, values[rows])
            absent[column] = missing if column == name else np.zeros_like(missing)
        without = frame[name].isna().to_numpy()[rows]
        if without.any():
            gaps[name] = without
    marked: set[bytes] = set()
    for name, without in gaps.items():
        if without.tobytes() in marked:
            continue
        marked.add(without.tobytes())
        _require_new([indicator_of(name)], columns)
        columns[indicator_of(name)] = without.astype(float)
        absent[indicator_of(name)] = np.zeros_like(without)
    if not columns:
        return Covariates(np.zeros((len(rows), 0)), ())
    missing = np.column_stack(list(absent.values()))
    values = np.column_stack(list(columns.values()))
    return Covariates(values, tuple(columns), missing if missing.any() else None, gaps)


def indicator_of(name: str) -> str:
    """Return what the column is called that is 1 for units that miss a covariate."""
    return f"{name} (missing)"


def covariate_of(column: str, covariates: Sequence[str]) -> str:
    """Return the covariate that a column was read from.

    Examples
    --------
    >>> covariate_of("region[north]", ["age", "region"]), covariate_of("age (missing)", ["age", "region"])
    ('region', 'age')
    """
    if column in covariates:
        return column
    own = (name for name in covariates if column == indicator_of(name) or column.startswith(f"{name}["))
    return next(own, column)


def _mean_of_some(values: FloatArray, name: str) -> float:
    if np.isnan(values).all():
        raise DesignError(explain(f"Covariate {name!r} is missing for all units.", fix="leave it out"))
    return float(np.nanmean(values))


def read_weights(frame: pd.DataFrame, name: str | None, ids: npt.NDArray[Any]) -> FloatArray:
    if name is None:
        return np.ones(ids.size)
    values = read_numbers(frame[name], ids, role="weight")
    bad = ~(values > 0)
    if bad.any():
        raise DesignError(
            explain(
                f"Weights {name!r} must be positive and present.",
                where=ids[bad],
                fix=f"data = data[data[{name!r}] > 0]",
            )
        )
    return values


def read_clusters(
    frame: pd.DataFrame, name: str | None, ids: npt.NDArray[Any], rows: npt.NDArray[np.intp]
) -> npt.NDArray[Any] | None:
    if name is None:
        return None
    missing = frame[name].isna().to_numpy()
    if missing.any():
        raise DesignError(
            explain(
                f"Cluster {name!r} is missing for some units.",
                where=ids[missing],
                fix=f"data = data.dropna(subset=[{name!r}])",
            )
        )
    labels = frame[name].to_numpy()[rows]
    require_one_kind(
        labels,
        what=f"Cluster {name!r}",
        error=DesignError,
        fix=f"data[{name!r}] = data[{name!r}].astype(str)",
    )
    if np.unique(labels).size < 2:
        raise DesignError(explain(f"Cluster {name!r} has a single value.", rule="at least two clusters"))
    return np.asarray(labels)


def read_propensity(
    frame: pd.DataFrame, propensity: float | str | None, ids: npt.NDArray[Any], rows: npt.NDArray[np.intp]
) -> FloatArray | None:
    if propensity is None:
        return None
    if isinstance(propensity, str):
        values = read_numbers(frame[propensity], ids, role="propensity")
    else:
        values = np.full(ids.size, float(propensity))
    bad = ~((values > 0) & (values < 1))
    if bad.any():
        raise DesignError(
            explain(
                f"Known propensity {propensity!r} is not strictly between 0 and 1.",
                where=ids[bad] if isinstance(propensity, str) else (),
                rule="0 < propensity < 1; a share such as 0.5, not a percentage",
                fix="leave out units that could not have been in both arms",
            )
        )
    return values[rows]
