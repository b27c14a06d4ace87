"""A table of units of which some have a measured outcome, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._provenance import hash_arrays, versions
from eocausal._study_columns import (
    expand_covariates,
    read_clusters,
    read_complete,
    read_flags,
    read_numbers,
    read_weights,
)
from eocausal.errors import DebiasError, explain
from eocausal.units import Units

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Labels = npt.NDArray[Any]

# With fewer labels than this, large-sample standard errors of a rectifier are too small.
FEW_LABELS = 30
INTERCEPT = "intercept"


@dataclass(frozen=True)
class Roles:
    """Names of columns, as a verb is given them."""

    prediction: str
    truth: str
    labelled: str | None = None
    cluster: str | None = None
    weights: str | None = None
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelledTable:
    """Predictions of all units, and the truth of some.

    Attributes
    ----------
    frame : DataFrame with n rows
    ids : array of shape (n,)
    prediction, weights : array of shape (n,)
    truth : array of shape (n,)
        NaN where there is no label.
    labelled : boolean array of shape (n,)
    columns : array of shape (n, k)
        Ones and covariates, text as 0/1 columns.
    names : tuple of str, length k
    clusters : array of shape (n,) or None
    coordinates : array of shape (n, 2) or None
        Longitude and latitude in degrees.
    warnings : tuple of str
    """

    frame: pd.DataFrame
    ids: Labels
    prediction: FloatArray
    truth: FloatArray
    labelled: BoolArray
    weights: FloatArray
    columns: FloatArray
    names: tuple[str, ...]
    clusters: Labels | None = None
    coordinates: FloatArray | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def counts(self) -> dict[str, int]:
        """How many units have labels and how many have not, and clusters likewise."""
        found = {"n_labelled": int(self.labelled.sum()), "n_unlabelled": int((~self.labelled).sum())}
        if self.clusters is not None:
            found["clusters_with_labels"] = int(np.unique(self.clusters[self.labelled]).size)
        return found

    def provenance(self, roles: Roles, **more: Any) -> dict[str, Any]:
        """Return what made a result: a hash of the data, the columns by role, versions."""
        gap = np.zeros(0)
        data = hash_arrays(
            self.ids, self.prediction, self.truth, self.labelled, self.weights, self.columns,
            gap if self.clusters is None else self.clusters,
        )  # fmt: skip
        columns = {name: value for name, value in vars(roles).items() if value}
        return {"data_hash": data, "columns": columns, **more, "versions": versions()}


def read_labelled(data: object, roles: Roles) -> LabelledTable:
    """Read and check the columns of a table, or of units.

    Raises
    ------
    DebiasError
        No table, columns missing, ids twice, missing predictions or covariates, a label without its truth, no unit
        with a label or none without, or predictions that do not vary.
    DesignError
        Columns that are not numeric or infinite, weights that are not positive, clusters missing.
    """
    frame, ids, coordinates = _frame_of(data)
    if not ids.size:
        raise DebiasError(explain("The data have no rows.", fix="units with a prediction, some with a truth"))
    optional = [name for name in (roles.labelled, roles.cluster, roles.weights) if name is not None]
    named = [roles.prediction, roles.truth, *roles.covariates, *optional]
    require_columns(frame, named, table="data", error=DebiasError)
    if roles.prediction == roles.truth:
        raise DebiasError(explain(f"prediction and truth are the same column, {roles.truth!r}."))
    for role, name in (("truth", roles.truth), ("prediction", roles.prediction)):
        if name in roles.covariates:
            text = f"The {role} {name!r} is among the covariates."
            raise DebiasError(
                explain(text, rule="the outcome is not regressed on itself", fix="leave it out")
            )
    if INTERCEPT in roles.covariates:
        text = f"A covariate is called {INTERCEPT!r}, as the constant that is added."
        raise DebiasError(
            explain(text, fix=f"leave it out, or data.rename(columns={{{INTERCEPT!r}: 'other'}})")
        )
    prediction = _complete(frame, roles.prediction, ids, role="prediction")
    truth = read_numbers(frame[roles.truth], ids, role="truth")
    labelled = _labelled(frame, roles, truth, ids)
    if np.ptp(prediction[labelled]) == 0:
        raise DebiasError(
            explain(
                f"The prediction {roles.prediction!r} is the same for all {int(labelled.sum())} labelled units: "
                f"{prediction[labelled][0]:g}.",
                fix="regress the truth of the labelled units alone",
            )
        )
    columns, names = _columns(frame, roles.covariates, ids)
    clusters = read_clusters(frame, roles.cluster, ids, np.arange(ids.size))
    return LabelledTable(
        frame,
        ids,
        prediction,
        np.where(labelled, truth, np.nan),
        labelled,
        read_weights(frame, roles.weights, ids),
        columns,
        names,
        clusters,
        coordinates,
        _few(labelled, clusters),
    )


def covariate_names(covariates: object) -> tuple[str, ...]:
    """Return names of covariates; refuse text that is one name, names that stand twice, and no names."""
    if isinstance(covariates, str):
        raise DebiasError(explain("covariates is text, not a list.", fix=f"covariates=[{covariates!r}]"))
    if not isinstance(covariates, Sequence) or not covariates:
        raise DebiasError(
            explain(f"covariates={covariates!r}.", rule="names of one or more columns to regress on")
        )
    names = tuple(covariates)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise DebiasError(explain("Covariates are named twice.", where=twice))
    return names


def _frame_of(data: object) -> tuple[pd.DataFrame, Labels, FloatArray | None]:
    if isinstance(data, Units):
        places = None
        if data.longitude is not None and data.latitude is not None:
            places = np.column_stack([data.longitude, data.latitude])
        return data.frame, data.ids, places
    if not isinstance(data, pd.DataFrame):
        raise DebiasError(
            explain(
                f"data is a {type(data).__name__}.",
                fix="a pandas DataFrame whose index is the unit id, or units of ec.read_units(...)",
            )
        )
    if isinstance(data.index, pd.MultiIndex):
        raise DebiasError(
            explain(
                f"The index of the data has {data.index.nlevels} levels.",
                rule="the index of a plain DataFrame is the unit id",
                fix="data = data.reset_index()",
            )
        )
    if not data.index.is_unique:
        raise DebiasError(
            explain(
                "The index holds some ids twice.",
                where=data.index[data.index.duplicated()].unique(),
                rule="the index of a plain DataFrame is the unit id",
                fix="data = data.reset_index(drop=True), and cluster= where rows belong together",
            )
        )
    ids = data.index.to_numpy()
    if ids.dtype.kind in "mM":
        raise DebiasError(
            explain(
                "The index of the data, which is the unit id, holds days or lengths of time.",
                rule="numbers or text, which a result is written with",
                fix="data.index = data.index.astype(str)",
            )
        )
    return data, ids, None


def _complete(frame: pd.DataFrame, name: str, ids: Labels, *, role: str) -> FloatArray:
    return read_complete(
        frame[name],
        ids,
        role=role,
        error=DebiasError,
        what=f"The {role} {name!r} is missing for some units.",
        rule="every unit is predicted; only the truth may be missing",
        fix=f"data = data.dropna(subset=[{name!r}])",
    )


def said_to_be_labelled(
    frame: pd.DataFrame, names: tuple[str, str], there: BoolArray, ids: Labels, *, fix: str
) -> BoolArray:
    """Return which units (n,) a column says are labelled, or raise where these have no truth; ``names`` of both."""
    labelled, truth = names
    said = read_flags(frame, labelled, ids, error=DebiasError)
    without = said & ~there
    if without.any():
        what = f"Units are labelled by {labelled!r} but have no {truth!r}."
        raise DebiasError(explain(what, where=ids[without], fix=fix))
    return said


def _labelled(frame: pd.DataFrame, roles: Roles, truth: FloatArray, ids: Labels) -> BoolArray:
    """Return which units (n,) have a label: those whose truth is there, or those that a column says."""
    there = ~np.isnan(truth)
    if roles.labelled is not None:
        fix = f"data[{roles.labelled!r}] = data[{roles.truth!r}].notna()"
        there = said_to_be_labelled(frame, (roles.labelled, roles.truth), there, ids, fix=fix)
    if not there.any():
        raise DebiasError(explain(f"No unit has a label: {roles.truth!r} is missing for all."))
    if there.all():
        raise DebiasError(
            explain(
                f"All {there.size} units have labels, so there is nothing that predictions could add.",
                fix=f"regress {roles.truth!r} itself, or give labelled= where some labels are to be left out",
            )
        )
    return np.asarray(there)


def _columns(
    frame: pd.DataFrame, covariates: tuple[str, ...], ids: Labels
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return ones and the covariates (n, k) with their names, text as 0/1 columns."""
    for name in covariates:
        _require_levels(frame[name], name)
    read = expand_covariates(frame, list(covariates), ids)
    names = tuple(str(name) for name in read.columns)
    made = np.ones((ids.size, 1 + len(names)))
    for position, name in enumerate(names):
        made[:, 1 + position] = read[name].to_numpy(dtype=float)
    if not np.isfinite(made.sum()):
        missing = np.isnan(made[:, 1:])
        gone = [name for name, some in zip(names, np.asarray(missing.any(axis=0))) if some]
        raise DebiasError(
            explain(
                f"Covariates are missing for some units: {', '.join(gone)}.",
                where=ids[missing.any(axis=1)],
                fix=f"data = data.dropna(subset={gone!r})",
            )
        )
    return made, (INTERCEPT, *names)


def _require_levels(column: pd.Series, name: str) -> None:
    """Raise where a covariate holds what is no level, or one value, of which no coefficient would be left."""
    values = column.to_numpy()
    # a million different numbers need not be told apart to see that they differ
    if values.dtype.kind in "fiub" and (values != values[:1]).any() and not pd.isna(values[0]):
        return
    try:
        distinct = column.dropna().unique()
    except TypeError as cause:
        text = f"Covariate {name!r} holds {type(column.iloc[0]).__name__}."
        raise DebiasError(explain(text, rule="numbers or text", fix="leave it out")) from cause
    if len(distinct) < 2:
        text = f"Covariate {name!r} has the same value for all units."
        raise DebiasError(explain(text, where=list(distinct), fix="leave it out: the intercept holds it"))


def _few(labelled: BoolArray, clusters: Labels | None) -> tuple[str, ...]:
    """Say where there are few labels; of clusters the standard error speaks itself."""
    n = int(labelled.sum())
    if clusters is not None or n >= FEW_LABELS:
        return ()
    return (f"{n} units have labels: with fewer than {FEW_LABELS} standard errors are too small",)
