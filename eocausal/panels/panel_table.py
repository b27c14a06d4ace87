"""The columns of a panel as checked arrays, rows by unit and period, whatever their order was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns, require_one_kind
from eocausal._study_columns import expand_covariates, read_clusters, read_numbers, read_weights
from eocausal.errors import DesignError, LeakError, explain
from eocausal.inference.periods import Grid, frequency_of, grid_of, read_periods, row_names

if TYPE_CHECKING:
    from eocausal.panels.design import PanelDesign

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

NEVER = -1
"""Stands in ``starts`` for units that are never treated."""


@dataclass(frozen=True)
class PanelTable:
    """The columns of a panel design as arrays, one row for each unit and period, in that order.

    Attributes
    ----------
    unit : array of shape (n,)
    unit_codes : array of shape (n,)
        0 to N - 1, position in ``units``.
    units : array of shape (N,)
    period : array of shape (n,)
    steps : array of shape (n,)
        Position of the period on ``grid``.
    grid : Grid
    outcome, treatment, weights : array of shape (n,)
    covariates : array of shape (n, p)
    covariate_names : tuple of str
    clusters : array of shape (n,) or None
    sensor : array of shape (n,) or None
    image_keys : array of shape (N,) or None
        The image of each unit from before treatment, where there are features.
    coordinates : array of shape (n, 2) or None
    starts : array of shape (N,)
        Step at which each unit is first treated, ``NEVER`` where it never is.
    rows : array of shape (n,)
        Positions in the data that was handed in.
    notes : tuple of str
    """

    unit: Labels
    unit_codes: npt.NDArray[np.intp]
    units: Labels
    period: FloatArray
    steps: npt.NDArray[np.intp]
    grid: Grid
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    covariates: FloatArray
    covariate_names: tuple[str, ...]
    clusters: Labels | None
    sensor: Labels | None
    image_keys: Labels | None
    coordinates: FloatArray | None
    starts: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    notes: tuple[str, ...]

    def take_units(self, rows: npt.NDArray[np.bool_]) -> PanelTable:
        """Return the rows (n,) of some units, each with all of its periods, for the data of just these rows."""
        kept, codes = np.unique(self.unit_codes[rows], return_inverse=True)
        by_row = ("unit", "period", "steps", "outcome", "treatment", "weights", "covariates", "clusters", "sensor",
                  "coordinates")  # fmt: skip
        chosen = {name: value[rows] for name in by_row if (value := getattr(self, name)) is not None}
        chosen |= {
            name: value[kept]
            for name in ("units", "image_keys", "starts")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **chosen, unit_codes=codes, rows=np.arange(codes.size))

    @property
    def ids(self) -> Labels:
        """Names (n,) of the rows: unit and period."""
        return row_names(self.unit, self.period, self.grid.frequency)

    @property
    def first_rows(self) -> npt.NDArray[np.intp]:
        """Position (N,) of each unit's first row."""
        return np.unique(self.unit_codes, return_index=True)[1]

    @property
    def never(self) -> npt.NDArray[np.bool_]:
        """Which units (N,) are never treated."""
        return np.asarray(self.starts == NEVER)

    @property
    def always(self) -> npt.NDArray[np.bool_]:
        """Which units (N,) are treated in the first period that they are seen in."""
        return ~self.never & (self.starts <= self.steps[self.first_rows])


def build_panel(design: PanelDesign) -> PanelTable:
    """Read and check the columns that a panel design names."""
    frame = design.data
    named = [design.outcome, design.treatment, design.unit, design.period, *design.covariates]
    named += [one for one in (design.cluster, design.weights, design.sensor) if one is not None]
    named += list(design.coordinates or ())
    require_columns(frame, named, table="panel", error=DesignError)
    _refuse_double_roles(design)
    unit = _read_units(frame[design.unit])
    period = read_periods(frame[design.period], np.asarray(unit, dtype=object))
    frequency = frequency_of(frame[design.period])
    ids = row_names(unit, period, frequency).astype(object)
    _refuse_duplicates(ids, design)
    treatment = _read_treatment(frame[design.treatment], ids)
    covariates = expand_covariates(frame, list(design.covariates), ids)
    outcome = read_numbers(frame[design.outcome], ids, role="outcome")
    reasons = {f"no outcome {design.outcome!r}": np.isnan(outcome)}
    reasons |= {f"no covariate {name!r}": covariates[name].isna().to_numpy() for name in covariates.columns}
    reasons |= _no_image(frame, design)
    keep, notes = _keep_complete(reasons, ids, design.missing)
    codes = np.unique(unit, return_inverse=True)[1]
    order = np.lexsort((period, codes))
    # when treatment starts is known from every row, also from those that miss an outcome
    grid = grid_of(period, frequency)
    starts_of = _starts(codes, grid.steps_of(period), treatment)
    rows = order[keep[order]]
    units, unit_codes = np.unique(unit[rows], return_inverse=True)
    return PanelTable(
        unit=unit[rows],
        unit_codes=unit_codes,
        units=units,
        period=period[rows],
        steps=grid.steps_of(period[rows]),
        grid=grid,
        outcome=outcome[rows],
        treatment=treatment[rows],
        weights=read_weights(frame, design.weights, ids)[rows],
        covariates=covariates.to_numpy(dtype=float)[rows],
        covariate_names=tuple(covariates.columns),
        clusters=_read_assignment(frame, design, ids, rows, unit),
        sensor=_read_sensor(frame, design.sensor, ids, rows),
        image_keys=_read_images(frame, design, unit, rows),
        coordinates=_read_places(frame, design.coordinates, ids, rows),
        starts=starts_of[np.unique(codes[rows])],
        rows=rows,
        notes=tuple(notes),
    )


def _refuse_double_roles(design: PanelDesign) -> None:
    roles = {
        "outcome": design.outcome,
        "treatment": design.treatment,
        "unit": design.unit,
        "period": design.period,
    }
    names = list(roles.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DesignError(
            explain(
                "A column has two roles.", where=twice, rule="outcome, treatment, unit and period are four"
            )
        )
    inside = [name for name in design.covariates if name in names]
    if inside:
        roles_of = [role for role, name in roles.items() if name in inside]
        raise LeakError(
            explain(f"The {roles_of[0]} {inside[0]!r} is among the covariates.", fix="leave it out")
        )
    if len(set(design.covariates)) < len(design.covariates):
        raise DesignError(explain("A covariate is named twice.", where=design.covariates))


def _read_units(column: pd.Series) -> Labels:
    missing = column.isna().to_numpy()
    if missing.any():
        raise DesignError(
            explain(
                f"Unit {column.name!r} is missing in some rows.",
                where=column.index[missing],
                fix=f"data = data.dropna(subset=[{column.name!r}])",
            )
        )
    labels = column.to_numpy()
    require_one_kind(
        labels,
        what=f"Unit {column.name!r}",
        error=DesignError,
        fix=f"data[{column.name!r}] = data[{column.name!r}].astype(str)",
    )
    return np.asarray(labels)


def _refuse_duplicates(ids: Labels, design: PanelDesign) -> None:
    again = pd.Index(ids).duplicated()
    if again.any():
        raise DesignError(
            explain(
                f"{int(again.sum())} rows have a unit {design.unit!r} and a period {design.period!r} that another "
                "row has.",
                where=ids[again],
                rule="one row for each unit and period",
                fix=f"data = data.groupby([{design.unit!r}, {design.period!r}], as_index=False).mean(), or "
                "name the units that the rows are of",
            )
        )


def _read_treatment(column: pd.Series, ids: Labels) -> FloatArray:
    values = read_numbers(column, ids, role="treatment")
    missing = np.isnan(values)
    if missing.any():
        raise DesignError(
            explain(
                f"Treatment {column.name!r} is missing in some rows.",
                where=ids[missing],
                rule="never-treated units are 0 in every period, and they stay in",
                fix=f"data[{column.name!r}] = data[{column.name!r}].fillna(0) where it means untreated",
            )
        )
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise DesignError(
            explain(
                f"Treatment {column.name!r} is not between 0 and 1.",
                where=ids[outside],
                rule="0 = untreated, 1 = treated in that period, or a share of the period",
                fix="a column of first periods becomes one by (data['year'] >= data['first']).astype(int)",
            )
        )
    if np.ptp(values) == 0:
        raise DesignError(
            explain(
                f"Treatment {column.name!r} is {values[0]:g} in all {values.size} rows.",
                rule="some units are treated in some periods",
            )
        )
    return values


def _keep_complete(
    reasons: dict[str, npt.NDArray[np.bool_]], ids: Labels, missing: str
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    keep, notes = np.ones(ids.size, dtype=bool), []
    for reason, lacks in reasons.items():
        if not lacks.any():
            continue
        if missing == "error":
            raise DesignError(
                explain(
                    f"{int(lacks.sum())} rows have {reason}.",
                    where=ids[lacks],
                    fix="missing='drop' leaves these unit-periods out and says so in every result",
                )
            )
        notes.append(f"left out: {int(lacks.sum())} unit-periods with {reason}")
        keep &= ~lacks
    if not keep.any():
        raise DesignError(explain("No row is complete.", where=notes))
    return keep, notes


def _starts(
    codes: npt.NDArray[np.intp], steps: npt.NDArray[np.intp], treatment: FloatArray
) -> npt.NDArray[np.intp]:
    """Return the first step (N,) at which each unit is treated, NEVER where it is not."""
    found = np.full(int(codes.max()) + 1, np.iinfo(np.intp).max)
    treated = treatment > 0
    np.minimum.at(found, codes[treated], steps[treated])
    return np.where(found == np.iinfo(np.intp).max, NEVER, found)


def _read_assignment(
    frame: pd.DataFrame, design: PanelDesign, ids: Labels, rows: npt.NDArray[np.intp], unit: Labels
) -> Labels | None:
    labels = read_clusters(frame, design.cluster, ids, rows)
    if labels is None:
        return None
    _refuse_movers(unit[rows], labels, what=f"Cluster {design.cluster!r}", rule="a unit stays in one cluster")
    return labels


def _refuse_movers(unit: Labels, labels: Labels, *, what: str, rule: str) -> None:
    codes, values = (np.unique(one, return_inverse=True)[1] for one in (unit, labels))
    pairs = np.unique(np.column_stack([codes, values]), axis=0)
    seen = np.bincount(pairs[:, 0])
    if (seen > 1).any():
        raise DesignError(
            explain(f"{what} changes within units.", where=np.unique(unit)[seen > 1], rule=rule)
        )


def _read_sensor(
    frame: pd.DataFrame, name: str | None, ids: Labels, rows: npt.NDArray[np.intp]
) -> Labels | None:
    if name is None:
        return None
    missing = frame[name].isna().to_numpy()
    if missing.any():
        raise DesignError(
            explain(
                f"Sensor {name!r} is missing in some rows.", where=ids[missing], fix="name it in every row"
            )
        )
    return frame[name].astype(str).to_numpy()[rows]


def _no_image(frame: pd.DataFrame, design: PanelDesign) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which rows (n,) are of units without a usable image, where there are features."""
    if design.features is None or design.features.key_name not in frame.columns:
        return {}
    found = design.features.rows_for(frame[design.features.key_name].to_numpy())
    usable = np.isfinite(design.features.values).all(axis=1)
    return {"no usable image": np.asarray((found < 0) | ~np.asarray(usable)[np.maximum(found, 0)])}


def _read_images(
    frame: pd.DataFrame, design: PanelDesign, unit: Labels, rows: npt.NDArray[np.intp]
) -> Labels | None:
    """Return the image key (N,) of each unit, which may not change from period to period."""
    if design.features is None:
        return None
    key = design.features.key_name
    require_columns(frame, [key], table="panel (needed to join the features)", error=DesignError)
    labels = frame[key].to_numpy()[rows]
    _refuse_movers(
        unit[rows], labels, what=f"Image key {key!r}", rule="one image for each unit, from before treatment"
    )
    return np.asarray(labels[np.unique(unit[rows], return_index=True)[1]])


def _read_places(
    frame: pd.DataFrame, names: tuple[str, str] | None, ids: Labels, rows: npt.NDArray[np.intp]
) -> FloatArray | None:
    if names is None:
        return None
    lon, lat = (read_numbers(frame[name], ids, role="coordinate") for name in names)
    bad = ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if bad.any():
        raise DesignError(
            explain(
                f"Coordinates {names} are missing or not degrees.",
                where=ids[bad],
                rule="longitude from -180 to 180, then latitude from -90 to 90",
                fix='coordinates=("lon", "lat")',
            )
        )
    return np.column_stack([lon, lat])[rows]
