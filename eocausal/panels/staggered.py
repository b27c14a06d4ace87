"""Differences in differences with several starts of treatment: each cohort against units still untreated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import DesignError, EstimationError, explain
from eocausal.inference.propensity import EXTREME_PROPENSITY
from eocausal.inference.scores import ScoredEstimate
from eocausal.nuisance.settings import Settings
from eocausal.panels import guards
from eocausal.panels.aggregate import AGGREGATES
from eocausal.panels.fixed_effects import NO_ANTICIPATION
from eocausal.panels.group_time import Cell, change_difference, spread_scores
from eocausal.panels.learned import Comparison, learned_difference
from eocausal.panels.panel_table import NEVER
from eocausal.panels.results import Scored

if TYPE_CHECKING:
    from eocausal.panels.design import PanelDesign
    from eocausal.panels.panel_table import PanelTable

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# A cohort with fewer units says nothing of how much its effect varies.
FEW_IN_COHORT = 5
CONTROLS = {"not_yet": "units that are not yet treated", "never": "units that are never treated"}


@dataclass(frozen=True)
class _Wide:
    """One row for each unit that enters (N,), one column for each period (N, T)."""

    units: Mask
    steps: npt.NDArray[np.intp]
    outcome: FloatArray
    covariates: FloatArray
    weights: FloatArray
    starts: npt.NDArray[np.intp]
    ids: npt.NDArray[Any]
    clusters: npt.NDArray[Any] | None
    image_keys: npt.NDArray[Any] | None
    coordinates: FloatArray | None


def did(
    design: PanelDesign, *, aggregate: str, control: str, settings: Settings | None
) -> tuple[Scored, Mask]:
    """Estimate the effect on each cohort in each period, then average; influence values are by unit."""
    table = design.table
    guards.require_absorbing(table, "did", design.treatment)
    wide, told = _wide(design)
    cells, said = _cells(design, wide, control, settings)
    if not any(cell.event >= 0 for cell in cells):
        raise EstimationError(
            explain(
                f"No cohort has {CONTROLS[control]} to be compared with.",
                rule="units that are untreated when a cohort is treated",
                fix="control='not_yet'"
                if control == "never"
                else "a panel with units treated later or never",
            )
        )
    made = AGGREGATES[aggregate](cells, wide.starts, wide.weights, table.grid)
    told += [*_few_in_cohorts(wide, table), *said]
    return (
        Scored(
            made.terms,
            made.values,
            made.scores,
            f"att ({aggregate})",
            event_times=made.events if aggregate in ("dynamic", "cells") else (),
            assumptions=(_parallel(design, control, settings), NO_ANTICIPATION),
            warnings=tuple(told),
            diagnostics={
                "controls": CONTROLS[control],
                "cells": len(cells),
                "units_in_did": int(wide.units.sum()),
                "compared_with": "the last period before treatment",
                **({} if settings is None else settings.learners.describe()),
            },
        ),
        wide.units,
    )


def _parallel(design: PanelDesign, control: str, settings: Settings | None) -> str:
    used = ["the covariates of the last period before treatment"] if design.covariates else []
    used += ["image features from before treatment"] if design.features is not None else []
    given = f"given {' and '.join(used)}, " if used else ""
    robust = "; the change without treatment or the odds of treatment are modelled rightly" if used else ""
    if used and settings is not None:
        robust = "; errors in the two learned predictions matter only as their product"
    others = CONTROLS[control]
    return f"{given}outcomes of each cohort would have changed as those of {others} (parallel trends){robust}"


def _wide(design: PanelDesign) -> tuple[_Wide, list[str]]:
    """Return the units that are seen in every period and before their treatment, with counts of the others."""
    table = design.table
    steps = np.unique(table.steps)
    keep, told = _kept(table, steps.size)
    rows = keep[table.unit_codes]
    shape = (int(keep.sum()), steps.size)
    weights = table.weights[rows].reshape(shape)
    _require_even(weights, design, table.units[keep])
    told += _movers(table, keep)
    first = table.first_rows[keep]
    wide = _Wide(
        keep,
        steps,
        table.outcome[rows].reshape(shape),
        table.covariates[rows].reshape((*shape, -1)) if table.covariate_names else np.zeros((*shape, 0)),
        weights[:, 0],
        table.starts[keep],
        table.units[keep],
        None if table.clusters is None else table.clusters[first],
        None if table.image_keys is None else table.image_keys[keep],
        None if table.coordinates is None else table.coordinates[first],
    )
    return wide, told


def _movers(table: PanelTable, keep: Mask) -> list[str]:
    """Count the units whose place changes: standard errors by distance take them where they were first."""
    if table.coordinates is None:
        return []
    first = table.coordinates[table.first_rows][table.unit_codes]
    moved = (table.coordinates != first).any(axis=1)
    found = np.bincount(table.unit_codes, weights=moved) > 0
    count = int(found[keep].sum())
    return [f"{count} units are in several places over time; by distance, each is where it was first"] * (
        count > 0
    )


def _kept(table: PanelTable, n_steps: int) -> tuple[Mask, list[str]]:
    """Return the units (N,) that can be compared over all periods, with counts of the others."""
    partly = np.bincount(table.unit_codes, minlength=table.units.size) < n_steps
    keep = ~partly & ~table.always
    told = []
    if table.always.any():
        told.append(
            f"left out: {int(table.always.sum())} units treated from the first period that they are seen "
            "in, which have nothing to compare with"
        )
    lost = partly & ~table.always
    if lost.any():
        told.append(
            f"left out: {int(lost.sum())} units that miss periods ({int((lost & ~table.never).sum())} treated, "
            f"{int((lost & table.never).sum())} never treated); did compares the same units over time"
        )
    if not keep.any():
        raise DesignError(
            explain("No unit is seen in every period.", where=table.units[lost], rule="a balanced panel")
        )
    return keep, told


def _require_even(weights: FloatArray, design: PanelDesign, units: npt.NDArray[Any]) -> None:
    """Raise where the weights (N, T) of a unit change over time."""
    changes = np.ptp(weights, axis=1) > 0
    if changes.any():
        raise DesignError(
            explain(
                f"Weights {design.weights!r} change within units.",
                where=units[changes],
                rule="one weight for each unit in method='did'",
                fix=f"data[{design.weights!r}] = "
                f"data.groupby({design.unit!r})[{design.weights!r}].transform('mean')",
            )
        )


def _cells(
    design: PanelDesign, wide: _Wide, control: str, settings: Settings | None
) -> tuple[list[Cell], list[str]]:
    """Return the effects that can be estimated, and what to say of the others and of the learned predictions."""
    cells, without, told, extreme = [], [], [], 0
    grid = design.table.grid
    for cohort in np.unique(wide.starts[wide.starts != NEVER]).tolist():
        base = int(np.flatnonzero(wide.steps < cohort)[-1])
        for place, step in enumerate(wide.steps.tolist()):
            if place == base:
                continue
            name = f"{grid.text(cohort)} in {grid.text(step)}"
            rows = _compared(wide.starts, cohort, control, latest=max(step, int(wide.steps[base])))
            if (wide.starts[rows] == cohort).all():
                without.append(name)
                continue
            asked = _comparison(design, wide, rows, name, cohort=cohort, place=place, base=base)
            made, beyond, said = _difference(asked, design, settings)
            extreme += beyond > 0
            told += said
            cells.append(Cell(cohort, step, made.estimate, spread_scores(made.scores, rows)))
    if extreme:
        told.append(
            f"in {extreme} of {len(cells)} cohorts and periods some controls have a propensity above "
            f"{EXTREME_PROPENSITY[1]}, and few of them stand for many; nothing was trimmed"
        )
    if without:
        shown = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        told.append(
            f"{len(without)} cohorts and periods have no {CONTROLS[control]} and are in no average ({shown})"
        )
    return cells, list(dict.fromkeys(told))


def _compared(starts: npt.NDArray[np.intp], cohort: int, control: str, *, latest: int) -> Mask:
    """Return the units (N,) of a cohort and its controls, which are untreated up to the later of two periods."""
    rows = (starts == cohort) | (starts == NEVER)
    return np.asarray(rows | (starts > latest)) if control == "not_yet" else rows


def _comparison(
    design: PanelDesign, wide: _Wide, rows: Mask, name: str, *, cohort: int, place: int, base: int
) -> Comparison:
    def of(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        return None if values is None else values[rows]

    return Comparison(
        name,
        wide.outcome[rows, place] - wide.outcome[rows, base],
        (wide.starts[rows] == cohort).astype(float),
        wide.weights[rows],
        wide.covariates[rows, base],
        design.table.covariate_names,
        wide.ids[rows],
        of(wide.clusters),
        of(wide.image_keys),
        of(wide.coordinates),
    )


def _difference(
    asked: Comparison, design: PanelDesign, settings: Settings | None
) -> tuple[ScoredEstimate, int, list[str]]:
    if settings is not None:
        return learned_difference(asked, design.features, settings)
    made, odds = change_difference(
        asked.change, asked.treated, asked.weights, covariates=asked.covariates, where=asked.name,
        names=asked.covariate_names,
    )  # fmt: skip
    return made, int((odds > EXTREME_PROPENSITY[1]).sum()), []


def _few_in_cohorts(wide: _Wide, table: PanelTable) -> list[str]:
    cohorts, sizes = np.unique(wide.starts[wide.starts != NEVER], return_counts=True)
    few = [
        f"{table.grid.text(int(cohort))}: {size}"
        for cohort, size in zip(cohorts, sizes)
        if size < FEW_IN_COHORT
    ]
    if not few:
        return []
    return [
        f"{len(few)} cohorts have fewer than {FEW_IN_COHORT} units ({', '.join(few[:5])}): what is "
        "estimated for them alone has a standard error that is far too small"
    ]
