"""The columns of a study read into checked arrays: coding, missing values, joins, weights, clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns, require_one_kind
from eocausal.embeddings import Embeddings
from eocausal.errors import DesignError, LeakError, explain
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StudyTable:
    """The columns of a design as arrays, rows in the order of the units that entered.

    Attributes
    ----------
    ids : array of shape (n,)
    outcome, treatment, weights : array of shape (n,)
    covariates : array of shape (n, p)
    covariate_names : tuple of str, length p
    features : array of shape (n, d), float32
    feature_blocks : mapping of block name to (start, stop)
    image_keys : array of shape (n,)
    clusters : array of shape (n,) or None
    propensity : array of shape (n,) or None
        The known propensity.
    coordinates : array of shape (n, 2) or None
        Longitude and latitude in degrees.
    rows : array of shape (n,)
        Positions in the data that was handed in.
    notes : tuple of str
        What a reader must know: rows left out, constant features.
    """

    ids: npt.NDArray[Any]
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    covariates: FloatArray
    covariate_names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    feature_blocks: dict[str, tuple[int, int]]
    image_keys: npt.NDArray[Any]
    clusters: npt.NDArray[Any] | None
    propensity: FloatArray | None
    coordinates: FloatArray | None
    rows: npt.NDArray[np.intp]
    notes: tuple[str, ...]

    def take(self, chosen: npt.NDArray[np.intp]) -> StudyTable:
        """Return the table of some units, by position, for the data of just these units."""
        by_unit = {name: value[chosen] for name in _BY_UNIT if (value := getattr(self, name)) is not None}
        return replace(self, **by_unit, rows=np.arange(chosen.size))


_BY_UNIT = (
    "ids", "outcome", "treatment", "weights", "covariates", "features", "image_keys", "clusters", "propensity",
    "coordinates",
)  # fmt: skip


def build_table(design: Design) -> StudyTable:
    """Read, check and join the columns that a design names."""
    frame, ids, image_keys = frame_of(design)
    named = [design.outcome, design.treatment, *design.covariates, design.cluster, design.weights]
    if isinstance(design.propensity, str):
        named.append(design.propensity)
    require_columns(frame, [name for name in named if name is not None], table="data", error=DesignError)
    _refuse_double_roles(design)
    treatment = _read_treatment(frame[design.treatment], ids)
    covariates = _expand_covariates(frame, list(design.covariates), ids)
    features, blocks, no_image = _join_features(design.features, image_keys)
    outcome = _read_numbers(frame[design.outcome], ids, role="outcome")
    reasons = {f"no outcome {design.outcome!r}": np.isnan(outcome), "no usable image": no_image}
    if design.min_valid > 0:
        bound = f"less than {100 * design.min_valid:.10g}% valid pixels"
        reasons[bound] = _valid_share(design.features, image_keys, no_image) < design.min_valid
    reasons |= {f"no covariate {name!r}": covariates[name].isna().to_numpy() for name in covariates.columns}
    keep, notes = _keep_complete(design, ids, treatment, reasons)
    rows = np.flatnonzero(keep)
    return StudyTable(
        ids=ids[rows],
        outcome=outcome[rows],
        treatment=treatment[rows],
        weights=_read_weights(frame, design.weights, ids)[rows],
        covariates=covariates.to_numpy(dtype=float)[rows],
        covariate_names=tuple(covariates.columns),
        features=features[rows],
        feature_blocks=blocks,
        image_keys=image_keys[rows],
        clusters=_read_clusters(frame, design.cluster, ids, rows),
        propensity=_read_propensity(frame, design.propensity, ids, rows),
        coordinates=_coordinates(design.data, rows),
        rows=rows,
        notes=tuple(notes),
    )


def frame_of(design: Design) -> tuple[pd.DataFrame, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the attribute table, the unit ids and the image keys."""
    data = design.data
    if isinstance(data, Units):
        return data.frame, data.ids, data.image_keys
    if not isinstance(data, pd.DataFrame):
        raise DesignError(
            explain(f"data is a {type(data).__name__}.", fix="pass ec.read_units(...) or a pandas DataFrame")
        )
    if len(data) == 0:
        raise DesignError(explain("The table of units is empty."))
    if data.index.nlevels > 1 or data.index.hasnans:
        raise DesignError(
            explain(
                "The index of the data, which is the unit id, has several levels or missing values.",
                fix="data = data.set_index('your_id') with one id for each unit",
            )
        )
    ids = data.index.to_numpy()
    require_one_kind(
        ids,
        what="The index of the data, which is the unit id,",
        error=DesignError,
        fix="data.index = data.index.astype(str)",
    )
    duplicated = data.index.duplicated()
    if duplicated.any():
        raise DesignError(
            explain(
                "The index of the data, which is the unit id, holds duplicates.",
                where=ids[duplicated],
                fix="data = data.set_index('your_id'), or pass ec.read_units(...)",
            )
        )
    if design.features is None or not isinstance(design.features, Embeddings):
        return data, ids, ids
    key = design.features.key_name
    if key not in data.columns and data.index.name != key:
        require_columns(data, [key], table="data (needed to join the features)", error=DesignError)
    return data, ids, data[key].to_numpy() if key in data.columns else ids


def _refuse_double_roles(design: Design) -> None:
    if design.outcome == design.treatment:
        raise LeakError(explain(f"Outcome and treatment are the same column {design.outcome!r}."))
    for role, name in (("outcome", design.outcome), ("treatment", design.treatment)):
        if name in design.covariates:
            raise LeakError(
                explain(
                    f"The {role} {name!r} is among the covariates.",
                    fix=f"covariates=[c for c in covariates if c != {name!r}]",
                )
            )
    repeated = pd.Index(design.covariates)
    if repeated.has_duplicates:
        raise DesignError(
            explain("A covariate is named twice.", where=repeated[repeated.duplicated()].tolist())
        )


def _read_treatment(column: pd.Series, ids: npt.NDArray[Any]) -> FloatArray:
    missing = column.isna().to_numpy()
    name = column.name
    if missing.any():
        raise DesignError(
            explain(
                f"Treatment {name!r} is missing for some units.",
                where=ids[missing],
                fix=f"data = data.dropna(subset=[{name!r}])",
            )
        )
    values = column.unique().tolist()
    if pd.api.types.is_numeric_dtype(column) and set(values) <= {0, 1}:
        return column.to_numpy(dtype=float)
    shown = ", ".join(repr(value) for value in sorted(values, key=str)[:5])
    fix = f"data[{name!r}] = (data[{name!r}] == {values[-1]!r}).astype(int)"
    if set(map(str, values)) <= {"0", "1"}:
        fix = f"data[{name!r}] = data[{name!r}].astype(int)"
    elif len(values) > 2:
        fix = f"keep two arms, then {fix}"
    raise DesignError(
        explain(
            f"Treatment {name!r} is not coded 0 and 1: it holds {len(values)} values ({shown}).",
            rule="0 = control, 1 = treated",
            fix=fix,
        )
    )


def _read_numbers(column: pd.Series, ids: npt.NDArray[Any], *, role: str) -> FloatArray:
    """Return a numeric column with NaN where missing; refuse text and infinities."""
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        as_numbers = pd.to_numeric(column, errors="coerce")
        bad = as_numbers.isna().to_numpy() & column.notna().to_numpy()
        fix = f"data[{column.name!r}] = pd.to_numeric(data[{column.name!r}], errors='coerce')"
        first = f" First value that is no number: {column[bad].iloc[0]!r}." if bad.any() else ""
        raise DesignError(
            explain(f"The {role} {column.name!r} is not numeric.{first}", where=ids[bad], fix=fix)
        )
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


def _expand_covariates(frame: pd.DataFrame, names: list[str], ids: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the covariates as numbers; a text column becomes 0/1 columns with its first level left out."""
    columns: dict[str, FloatArray] = {}
    for name in names:
        columns |= _as_numbers(frame[name], name, ids)
    return pd.DataFrame(columns, index=range(len(frame)))


def _as_numbers(column: pd.Series, name: str, ids: npt.NDArray[Any]) -> dict[str, FloatArray]:
    """Return one numeric column, or 0/1 columns of a text column's levels, NaN where missing."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return {name: _read_numbers(column, ids, role="covariate")}
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


def _join_features(
    features: Embeddings | None, image_keys: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float32], dict[str, tuple[int, int]], npt.NDArray[np.bool_]]:
    """Return features by unit (n, d), their blocks, and which units have no usable image."""
    n = image_keys.size
    if features is None:
        return np.zeros((n, 0), dtype=np.float32), {}, np.zeros(n, dtype=bool)
    if not isinstance(features, Embeddings):
        raise DesignError(
            explain(
                f"features is a {type(features).__name__}.",
                fix="features=ec.read_embeddings(table, key='image_key') or ec.embed(...)",
            )
        )
    positions = features.rows_for(image_keys)
    if (positions < 0).all():
        raise DesignError(
            explain(
                "No unit has an image: the image keys of units and features do not meet.",
                where=[repr(key) for key in np.unique(image_keys)[:3].tolist()],
                rule=f"keys of the features look like {features.keys[:3].tolist()!r}",
                fix="give both the same type: data['key'] = data['key'].astype(str)",
            )
        )
    joined = np.where(positions[:, None] >= 0, features.values[np.maximum(positions, 0)], np.nan)
    incomplete = np.asarray(~np.isfinite(joined).all(axis=1))
    return joined.astype(np.float32), dict(features.blocks), incomplete


def _valid_share(
    features: Embeddings | None, image_keys: npt.NDArray[Any], no_image: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return the share of valid pixels of each unit's picture, 1 where there is no usable picture to judge."""
    if features is None:
        raise DesignError(explain("min_valid is given, but no features.", fix="features=ec.embed(chips)"))
    known = features.info["valid_fraction"].to_numpy(dtype=float)[features.rows_for(image_keys)]
    share = np.where(no_image, 1.0, known)
    if np.isnan(share).any():
        raise DesignError(
            explain(
                "The features do not say how much of each picture is valid, which min_valid needs.",
                where=image_keys[np.isnan(share)],
                fix="leave min_valid out, or make the features with ec.embed",
            )
        )
    return share


def _keep_complete(
    design: Design,
    ids: npt.NDArray[Any],
    treatment: FloatArray,
    reasons: dict[str, npt.NDArray[np.bool_]],
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return which units are complete, with one note for each reason to leave units out."""
    notes: list[str] = []
    keep = np.ones(ids.size, dtype=bool)
    for reason, missing in reasons.items():
        if not missing.any():
            continue
        if design.missing == "error":
            raise DesignError(
                explain(
                    f"{by_arm(missing, treatment)} have {reason}.",
                    where=ids[missing],
                    fix="missing='drop' leaves them out and says so in every result",
                )
            )
        notes.append(f"left out: {by_arm(missing, treatment)} with {reason}")
        keep &= ~missing
    if not keep.any():
        raise DesignError(explain("No unit is complete.", where=notes))
    return keep, notes


def by_arm(rows: npt.NDArray[np.bool_], treatment: FloatArray) -> str:
    """Return how many units a boolean array (n,) picks, in all and by arm.

    Examples
    --------
    >>> by_arm(np.array([True, True, False]), np.array([1.0, 0.0, 0.0]))
    '2 units (1 treated, 1 control)'
    """
    treated, control = int(rows[treatment == 1].sum()), int(rows[treatment == 0].sum())
    return f"{treated + control} units ({treated} treated, {control} control)"


def _read_weights(frame: pd.DataFrame, name: str | None, ids: npt.NDArray[Any]) -> FloatArray:
    if name is None:
        return np.ones(ids.size)
    values = _read_numbers(frame[name], ids, role="weight")
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


def _read_clusters(
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


def _read_propensity(
    frame: pd.DataFrame, propensity: float | str | None, ids: npt.NDArray[Any], rows: npt.NDArray[np.intp]
) -> FloatArray | None:
    if propensity is None:
        return None
    if isinstance(propensity, str):
        values = _read_numbers(frame[propensity], ids, role="propensity")
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


def _coordinates(data: Units | pd.DataFrame, rows: npt.NDArray[np.intp]) -> FloatArray | None:
    if isinstance(data, pd.DataFrame) or data.longitude is None or data.latitude is None:
        return None
    return np.column_stack([data.longitude, data.latitude])[rows]
