"""Columns of a study as numbers: covariates, weights, clusters, a known propensity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_one_kind
from eocausal.errors import DesignError, explain

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


def expand_covariates(frame: pd.DataFrame, names: list[str], ids: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the covariates as numbers; a text column becomes 0/1 columns with its first level left out."""
    columns: dict[str, FloatArray] = {}
    for name in names:
        columns |= _as_numbers(frame[name], name, ids)
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
