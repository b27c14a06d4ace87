"""Two-way fixed effects: one coefficient, or one for each period since treatment began."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.within import within_fit
from eocausal.panels import guards
from eocausal.panels.results import Scored

if TYPE_CHECKING:
    from eocausal.panels.design import PanelDesign
    from eocausal.panels.panel_table import PanelTable

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

# The period before treatment, which all others are compared with.
REFERENCE = -1
PARALLEL = (
    "without treatment, outcomes of treated and untreated units would have changed alike (parallel trends)"
)
NO_ANTICIPATION = "outcomes do not answer to treatment before it begins"


@dataclass(frozen=True)
class Regressors:
    """Columns (n, k) whose coefficients are asked for, their names, the rows that enter, what to tell of them."""

    columns: FloatArray
    terms: tuple[str, ...]
    rows: Rows
    event_times: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def treatment_column(design: PanelDesign) -> Regressors:
    """Return the treatment in each period; all units stay in."""
    _refuse_features(design, "twfe")
    return Regressors(design.table.treatment[:, None], (design.treatment,), np.ones(len(design), dtype=bool))


def twfe(design: PanelDesign) -> tuple[Scored, Rows]:
    """Regress the outcome on treatment with unit and period effects; all units stay in."""
    table = design.table
    found = treatment_column(design)
    scored = _fit(design, found, estimand="twfe coefficient")
    staggered = np.unique(table.starts[~table.never]).size > 1
    told = []
    if staggered or table.always.any():
        told.append(
            f"treatment starts in {np.unique(table.starts[~table.never]).size} different periods, so units treated "
            "earlier are among the controls of later ones: where effects differ over time or between cohorts, this "
            "coefficient is no average of effects (weights can be negative); method='did' is"
        )
    if table.always.any():
        told.append(
            f"{int(table.always.sum())} units are treated from the first period that they are seen in: they "
            "stay in as controls for changes of others"
        )
    return replace(
        scored,
        warnings=tuple(told),
        assumptions=(PARALLEL, NO_ANTICIPATION, "effects are the same for all units and periods"),
    ), found.rows


def event_columns(design: PanelDesign, *, window: tuple[int, int] | None) -> Regressors:
    """Return a column for each period since treatment; never-treated units stay in, always-treated ones do not."""
    _refuse_features(design, "event_study")
    table = design.table
    guards.require_absorbing(table, "event_study", design.treatment)
    rows = ~table.always[table.unit_codes]
    told = _left_out(table)
    since, treated = time_since(table)
    chosen = sorted({int(one) for one in since[treated & rows]} - {REFERENCE})
    if window is not None:
        told = [*told, *_binned(since, treated & rows, window)]
        since = np.clip(since, *window)
        chosen = sorted({int(one) for one in since[treated & rows]} - {REFERENCE})
    if not (since[treated & rows] == REFERENCE).any():
        raise EstimationError(
            explain(
                "No treated unit is seen in the period before its treatment, which all others are compared with.",
                rule="the period before treatment is observed for some units",
                fix="method='did', which compares with the last period before treatment that there is",
            )
        )
    columns = np.column_stack([(treated & (since == one)).astype(float) for one in chosen])
    terms = tuple(_event_name(one, window) for one in chosen)
    return Regressors(columns, terms, rows, tuple(chosen), tuple(told))


def event_study(design: PanelDesign, *, window: tuple[int, int] | None) -> tuple[Scored, Rows]:
    """Regress the outcome on time since treatment with unit and period effects."""
    found = event_columns(design, window=window)
    scored = _fit(design, found, estimand="event-study coefficient")
    assumed = (PARALLEL, NO_ANTICIPATION, "effects by time since treatment are the same for all cohorts")
    made = replace(scored, warnings=found.warnings, assumptions=assumed, event_times=found.event_times)
    return made, found.rows


def time_since(table: PanelTable) -> tuple[npt.NDArray[np.intp], Rows]:
    """Return steps since treatment began (n,), 0 for rows of never-treated units, and which rows are of others."""
    starts = table.starts[table.unit_codes]
    treated = ~table.never[table.unit_codes]
    return np.where(treated, table.steps - starts, 0), treated


def _fit(design: PanelDesign, found: Regressors, *, estimand: str) -> Scored:
    """Fit and keep the coefficients of the columns asked for; covariates are fitted along."""
    table, columns, terms, rows = design.table, found.columns, found.terms, found.rows
    units = np.unique(table.unit_codes[rows], return_inverse=True)[1]
    fit = within_fit(
        table.outcome[rows],
        np.column_stack([columns, table.covariates])[rows],
        names=[*terms, *table.covariate_names],
        units=units,
        periods=table.steps[rows],
        weights=table.weights[rows],
    )
    asked = columns.shape[1]
    return Scored(
        terms,
        fit.coefficients[:asked],
        fit.scores[:, :asked],
        estimand,
        # as fixest counts: period effects in full, unit effects not where clusters keep units whole
        n_params=fit.coefficients.size + fit.n_periods,
        unit_effects=fit.n_units - 1,
        diagnostics={"unit_effects": fit.n_units, "period_effects": fit.n_periods},
    )


def _refuse_features(design: PanelDesign, method: str) -> None:
    if design.features is not None:
        raise EstimationError(
            explain(
                f"Image features from before treatment do not change over time, so unit effects absorb them, and "
                f"method={method!r} would not use them.",
                fix="method='did' adjusts for them, or leave features out",
            )
        )


def _left_out(table: PanelTable) -> list[str]:
    if not table.always.any():
        return []
    return [
        f"left out: {int(table.always.sum())} units treated from the first period that they are seen in, as "
        "their time since treatment is not known"
    ]


def _binned(since: npt.NDArray[np.intp], rows: Rows, window: tuple[int, int]) -> list[str]:
    low, high = int((since[rows] < window[0]).sum()), int((since[rows] > window[1]).sum())
    if not low + high:
        return []
    return [
        f"{low} unit-periods before {window[0]} and {high} after {window[1]} periods from treatment count "
        "with the ends of the window"
    ]


def _event_name(event: int, window: tuple[int, int] | None) -> str:
    if window is not None and event in window:
        return f"event <= {event}" if event == window[0] else f"event >= {event}"
    return f"event {event}"
