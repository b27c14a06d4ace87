"""`Target`: places that an effect is carried to, with the columns that the study has, and no outcome."""

from __future__ import annotations

from copy import copy
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_columns, require_one_kind
from eocausal._study_columns import read_clusters, read_numbers, read_weights
from eocausal.embeddings import Embeddings
from eocausal.errors import DesignError, explain
from eocausal.evaluate.made_alike import dates_apart, require_made_alike
from eocausal.study_table import StudyTable, frame_of
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Target:
    """Places that an effect is carried to: a region, a country, a frame of villages.

    Parameters
    ----------
    data : Units, pandas.DataFrame or Embeddings
        The places, with the covariates of the study, if it has any. The index of a plain DataFrame is the id.
        Embeddings alone do for a study without covariates: each image is a place, and its key the id.
    features : Embeddings, optional
        Image features, joined by image key, made as those of the study were.
    weights : str, optional
        Column of what each place counts, such as its population.
    cluster : str, optional
        Column of places that were drawn together, where they are a sample.
    missing : {"error", "drop"}
        What to do with places that miss a covariate or an image. ``drop`` leaves them out and says how many.
    sampled : bool
        Whether the places are a sample of those that are asked about, so that another sample would have another
        average. False where they are all there is, as are all cells of a country: then they add nothing to the
        standard error.

    Raises
    ------
    DesignError
        A column that is named by something other than text, or data that is none of the three.

    Examples
    --------
    >>> import pandas as pd
    >>> Target(pd.DataFrame({"age": [30.0, 41.0], "people": [120, 80]}), weights="people")
    Target(2 places, weights 'people')
    """

    data: Units | pd.DataFrame | Embeddings
    _: KW_ONLY
    features: Embeddings | None = None
    weights: str | None = None
    cluster: str | None = None
    missing: Literal["error", "drop"] = "error"
    sampled: bool = True

    def __post_init__(self) -> None:
        one_of(self.missing, ("error", "drop"), argument="missing", error=DesignError)
        if not isinstance(self.data, Units | pd.DataFrame | Embeddings):
            raise DesignError(
                explain(
                    f"A target cannot be read from a {type(self.data).__name__}.",
                    fix="pass ec.read_units(...), a pandas DataFrame, or the Embeddings of its pictures",
                )
            )
        if self.features is not None and not isinstance(self.features, Embeddings):
            raise DesignError(
                explain(f"features is a {type(self.features).__name__}.", fix="features=ec.embed(...)")
            )
        given = [one for one in (self.features, self.weights, self.cluster) if one is not None]
        if isinstance(self.data, Embeddings) and given:
            raise DesignError(
                explain(
                    "Embeddings alone have no columns, and features=, weights= or cluster= are given.",
                    fix="Target(units, features=embeddings, weights=...)",
                )
            )
        for role in ("weights", "cluster"):
            name = getattr(self, role)
            if name is not None and not isinstance(name, str):
                raise DesignError(explain(f"{role} is a {type(name).__name__}, not the name of a column."))
        if not isinstance(self.sampled, bool):
            raise DesignError(explain(f"sampled={self.sampled!r}.", rule="True or False"))

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        """One line: how many places, and how they count."""
        parts = [f"{len(self):,} places"]
        parts += [f"weights {self.weights!r}"] if self.weights is not None else []
        parts += [] if self.sampled else ["all there is"]
        return f"Target({', '.join(parts)})"


def as_target(places: Target | Embeddings) -> Target:
    """Return places as a target; features alone are one."""
    if isinstance(places, Target):
        return places
    if isinstance(places, Embeddings):
        return Target(places)
    raise DesignError(
        explain(f"The target is a {type(places).__name__}.", fix="ec.Target(units, features=ec.embed(...))")
    )


def target_design(study: Design, target: Target) -> tuple[Design, list[str]]:
    """Return the target as a design with the columns of a study and no outcome, and what a reader must know.

    No unit of it is treated or has an outcome: it serves what asks for columns, as predictions do.

    Raises
    ------
    DesignError, EmbeddingsError
        Columns of the study are lacking, hold other levels, or are missing for some places; features were made in
        another way.
    """
    features = target.data if isinstance(target.data, Embeddings) else target.features
    frame, ids, keys = _frame_of(target, features)
    _require_same_kind_of_columns(study, target, features)
    named = [*study.covariates, *(one for one in (target.weights, target.cluster) if one is not None)]
    require_columns(frame, named, table="target", error=DesignError)
    covariates = _covariates(study, frame, ids)
    values, warnings = _features(study, features, keys)
    reasons = {
        **_without_pictures(study, features, keys, values),
        **{
            f"no covariate {name!r}": np.isnan(column)
            for name, column in zip(study.table.covariate_names, covariates.T)
        },
    }
    kept, left_out = _complete(target, ids, reasons)
    rows = np.flatnonzero(kept)
    whole = rows.size == ids.size
    # a region may be large, and is not copied where nothing is left out
    table = replace(
        study.table,
        ids=ids[rows],
        outcome=np.full(rows.size, np.nan),
        assigned=np.zeros(rows.size),
        weights=read_weights(frame, target.weights, ids)[rows],
        covariates=covariates if whole else covariates[rows],
        features=values if whole else values[rows],
        image_keys=keys[rows],
        clusters=read_clusters(frame, target.cluster, ids, rows),
        propensity=None,
        coordinates=_coordinates(target.data, rows),
        rows=np.arange(rows.size),
        notes=(),
    )
    whose = target.data if isinstance(target.data, Units) else frame
    made = stand_in(study, table, data=whose.take(rows) if isinstance(whose, Units) else whose.iloc[rows])
    return made, [*left_out, *warnings, *_dates(study, features, keys[rows])]


def stand_in(study: Design, table: StudyTable, *, data: Units | pd.DataFrame) -> Design:
    """Return a design that is asked for its columns alone, with other units than the one it is made from."""
    part = copy(study)
    part.__dict__.pop("groups", None)
    for name, value in (("table", table), ("data", data)):
        object.__setattr__(part, name, value)
    return part


def _frame_of(
    target: Target, features: Embeddings | None
) -> tuple[pd.DataFrame, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return columns, ids and image keys of the places."""
    data = target.data
    if len(data) == 0:
        raise DesignError(explain("The target holds no places."))
    if isinstance(data, Embeddings):
        return pd.DataFrame(index=pd.Index(data.keys)), data.keys, data.keys
    if isinstance(data, Units):
        return data.frame, data.ids, data.image_keys
    ids = data.index.to_numpy()
    if data.index.nlevels > 1 or data.index.hasnans or data.index.has_duplicates:
        raise DesignError(
            explain(
                "The index of the target, which is the id of a place, has several levels, gaps or duplicates.",
                where=ids[data.index.duplicated()],
                fix="data = data.set_index('your_id') with one id for each place",
            )
        )
    require_one_kind(
        ids, what="The index of the target", error=DesignError, fix="data.index = data.index.astype(str)"
    )
    if features is None or (features.key_name not in data.columns and data.index.name == features.key_name):
        return data, ids, ids
    require_columns(
        data, [features.key_name], table="target (needed to join the features)", error=DesignError
    )
    return data, ids, data[features.key_name].to_numpy()


def _require_same_kind_of_columns(study: Design, target: Target, features: Embeddings | None) -> None:
    if study.covariates and isinstance(target.data, Embeddings):
        raise DesignError(
            explain(
                "The study has covariates, and the target is Embeddings alone.",
                where=study.covariates,
                fix="ec.Target(units, features=embeddings), with these columns in the units",
            )
        )
    if study.table.missing is not None:
        raise DesignError(
            explain(
                "The study keeps units with missing covariates, and effects cannot yet be carried from it.",
                fix="Design(..., missing='drop')",
            )
        )
    if study.features is not None and features is None:
        raise DesignError(
            explain(
                "The study has features, and the target has none.",
                fix="ec.Target(units, features=ec.embed(...))",
            )
        )


def _covariates(study: Design, frame: pd.DataFrame, ids: npt.NDArray[Any]) -> FloatArray:
    """Return the covariates (m, p) in the columns of the study, NaN where missing."""
    seen = frame_of(study)[0]
    columns: dict[str, FloatArray] = {}
    for name in study.covariates:
        if pd.api.types.is_numeric_dtype(seen[name]) or pd.api.types.is_bool_dtype(seen[name]):
            columns[name] = _numbers(frame[name], ids)
            continue
        column = frame[name]
        known = set(seen[name].dropna().unique().tolist())
        known |= {
            level
            for level in column.dropna().unique().tolist()
            if f"{name}[{level}]" in study.table.covariate_names
        }
        strange = column.notna().to_numpy() & ~column.isin(known).to_numpy()
        if strange.any():
            raise DesignError(
                explain(
                    f"Covariate {name!r} of the target has values that no unit of the study has, such as "
                    f"{column[strange].iloc[0]!r}.",
                    where=ids[strange],
                    rule=f"of {', '.join(sorted(map(str, known))[:8])}",
                    fix="leave these places out: what effects are there, the study cannot say",
                )
            )
        gone = column.isna().to_numpy()
        for level in known:
            columns[f"{name}[{level}]"] = np.where(gone, np.nan, (column == level).to_numpy(dtype=float))
    names = study.table.covariate_names
    return np.column_stack([columns[name] for name in names]) if names else np.zeros((ids.size, 0))


def _numbers(column: pd.Series, ids: npt.NDArray[Any]) -> FloatArray:
    return read_numbers(column, ids, role="covariate of the target")


def _features(
    study: Design, features: Embeddings | None, keys: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return features (m, d) by place, NaN where there is no usable image, and what is not known of them."""
    if study.features is None or features is None:
        unused = [] if features is None else ["the target's features are not used: the study has none"]
        return np.zeros((keys.size, 0), dtype=np.float32), unused
    warnings = require_made_alike(study.features, features)
    rows = features.rows_for(keys)
    if rows.size == len(features) and np.array_equal(rows, np.arange(rows.size)):
        return features.values, warnings
    if (rows < 0).all():
        raise DesignError(
            explain(
                "No place has an image: the image keys of the target and its features do not meet.",
                where=[repr(key) for key in keys[:3].tolist()],
                rule=f"keys of the features look like {features.keys[:3].tolist()!r}",
                fix="give both the same type and names",
            )
        )
    values = features.values[np.maximum(rows, 0)]
    values[rows < 0] = np.nan
    return values, warnings


def _without_pictures(
    study: Design, features: Embeddings | None, keys: npt.NDArray[Any], values: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which places have no usable image, or one with fewer valid pixels than the study asks for."""
    # a sum is finite only where every feature is, and needs no table of truth as large as the features
    reasons = {"no usable image": ~np.isfinite(values.sum(axis=1, dtype=np.float64))}
    if features is not None and study.features is not None and study.min_valid > 0:
        rows = features.rows_for(keys)
        share = np.where(rows >= 0, features.info["valid_fraction"].to_numpy(dtype=float)[rows], np.nan)
        bound = f"less than {100 * study.min_valid:.10g}% valid pixels, which the study asks for"
        reasons[bound] = share < study.min_valid
    return reasons


def _complete(
    target: Target, ids: npt.NDArray[Any], reasons: dict[str, npt.NDArray[np.bool_]]
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return which places are complete, and a line for each reason to leave places out."""
    kept, told = np.ones(ids.size, dtype=bool), []
    for reason, gone in reasons.items():
        if not gone.any():
            continue
        text = f"{int(gone.sum()):,} of {ids.size:,} target units have {reason}"
        if target.missing == "error":
            raise DesignError(
                explain(
                    f"{text}.", where=ids[gone], fix="Target(..., missing='drop') leaves them out and says so"
                )
            )
        told.append(f"left out: {text}")
        kept &= ~gone
    if not kept.any():
        raise DesignError(explain("No place of the target is complete.", where=told))
    return kept, told


def _coordinates(data: Units | pd.DataFrame | Embeddings, rows: npt.NDArray[np.intp]) -> FloatArray | None:
    if not isinstance(data, Units) or data.longitude is None or data.latitude is None:
        return None
    return np.column_stack([data.longitude, data.latitude])[rows]


def _dates(study: Design, features: Embeddings | None, keys: npt.NDArray[Any]) -> list[str]:
    if study.features is None or features is None:
        return []
    of_study = study.features.rows_for(study.table.image_keys)
    days = [
        table.info["last_date"].to_numpy(dtype=object)[rows]
        for table, rows in ((study.features, of_study), (features, features.rows_for(keys)))
    ]
    return dates_apart(*days)
