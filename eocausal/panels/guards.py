"""What a reader must know of a panel before any estimate: who is never treated, gaps, sensors, late images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal import leaks
from eocausal._image_info import days_shown
from eocausal.errors import DesignError, LeakError, explain
from eocausal.inference.periods import period_text
from eocausal.inference.variance import FEW_CLUSTERS

if TYPE_CHECKING:
    from eocausal.panels.design import PanelDesign
    from eocausal.panels.panel_table import PanelTable

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# Values that differ by this share of their range are one value with what rounding left.
CLOCK = 1e-9


def counts(table: PanelTable) -> dict[str, Any]:
    """Return how many units, periods, cohorts and treated units of assignment there are."""
    treated = ~table.never
    made: dict[str, Any] = {
        "n_units": int(table.units.size),
        "n_periods": int(np.unique(table.steps).size),
        "never_treated": int(table.never.sum()),
        "ever_treated": int(treated.sum()),
        "treated_from_first_period": int(table.always.sum()),
        "cohorts": int(np.unique(table.starts[treated]).size),
        "missing_unit_periods": int(table.units.size * np.unique(table.steps).size - table.unit.size),
    }
    if table.clusters is not None:
        made["treated_assignment_units"] = treated_assignment_units(table)
        made["assignment_units"] = int(np.unique(table.clusters).size)
    return made


def treated_assignment_units(table: PanelTable) -> int:
    """Return how many clusters hold units that are ever treated; without clusters, how many units are."""
    treated = ~table.never
    if table.clusters is None:
        return int(treated.sum())
    return int(np.unique(table.clusters[treated[table.unit_codes]]).size)


def notes(table: PanelTable) -> list[str]:
    """Return warnings on time, treatment and sensors that hold whatever the method."""
    return [*_on_time(table), *_on_treatment(table), *_on_sensors(table)]


def few_treated(table: PanelTable, cluster: str | None) -> list[str]:
    """Return a warning when few units of assignment are treated."""
    found = treated_assignment_units(table)
    if found >= FEW_CLUSTERS:
        return []
    what = "units" if cluster is None else f"clusters ({cluster})"
    return [
        f"{found} treated {what} of assignment: with fewer than {FEW_CLUSTERS}, clustered standard errors are too "
        "small; with_vcov({'bootstrap': 'wild'}) rests less on their number, and a randomisation test (treatment "
        "dealt anew to whole units of assignment) does not rest on it"
    ]


def _on_time(table: PanelTable) -> list[str]:
    told = []
    absent = table.grid.missing(table.period)
    if absent:
        shown = ", ".join(period_text(one, table.grid.frequency) for one in absent[:5]) + (
            ", ..." if len(absent) > 5 else ""
        )
        told.append(
            f"periods are {period_text(table.grid.step)} apart, but {len(absent)} of {table.grid.n_steps} "
            f"are missing for all units ({shown}); time is counted by the value of the period, so these are "
            "gaps, not neighbours"
        )
    there = np.unique(table.steps).size
    seen = np.bincount(table.unit_codes, minlength=table.units.size)
    if (seen < there).any():
        told.append(
            f"{int((seen < there).sum())} of {table.units.size} units miss {int((there - seen).sum())} "
            f"unit-periods of {there} periods"
        )
    return told


def _on_treatment(table: PanelTable) -> list[str]:
    told = []
    if not table.never.any():
        told.append(
            "no unit is never treated: every comparison is with units that are treated later or earlier"
        )
    off = switched_off(table)
    if off.any():
        told.append(f"treatment falls again in {int(off.sum())} of {int((~table.never).sum())} treated units")
    return told


def switched_off(table: PanelTable) -> npt.NDArray[np.bool_]:
    """Return the units (N,) whose treatment is lower in a period than in one before."""
    falls = (np.diff(table.treatment) < 0) & (np.diff(table.unit_codes) == 0)
    found = np.zeros(table.units.size, dtype=bool)
    found[table.unit_codes[1:][falls]] = True
    return found


def _on_sensors(table: PanelTable) -> list[str]:
    """Say where the sensor changes as treatment starts, and where units of one period have several sensors."""
    if table.sensor is None or np.unique(table.sensor).size == 1:
        return []
    told = []
    changes = (table.sensor[1:] != table.sensor[:-1]) & (np.diff(table.unit_codes) == 0)
    same_unit = np.diff(table.unit_codes) == 0
    start = table.starts[table.unit_codes[1:]]
    onset = same_unit & (start >= 0) & (table.steps[1:] >= start) & (table.steps[:-1] < start)
    if changes[onset].any():
        share = changes[onset].mean()
        among = _share_of_others(changes, same_unit & ~onset, table.steps[1:], table.steps[1:][onset])
        others = "" if among is None else f", {among:.0%} of others in the same periods"
        told.append(
            f"the sensor changes as treatment starts in {int(changes[onset].sum())} of {int(onset.sum())} treated "
            f"units ({share:.0%}{others}): an effect cannot be told from the change of sensor unless both groups "
            "change alike and the sensor shifts all outcomes by the same amount"
        )
    names = np.unique(table.sensor, return_inverse=True)[1]
    pairs = np.unique(np.column_stack([table.steps, names]), axis=0)
    several = np.bincount(pairs[:, 0])
    mixed = np.flatnonzero(several > 1)
    if mixed.size:
        shown = ", ".join(table.grid.text(step) for step in mixed[:5])
        told.append(
            f"units have several sensors within {mixed.size} periods ({shown}): period effects do not absorb them"
        )
    return told


def _share_of_others(
    changes: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], steps: Labels, started: Labels
) -> float | None:
    """Return how often others change, period by period as often as units start there; None where there are none."""
    shares = [
        changes[others & (steps == step)].mean() for step in started if (others & (steps == step)).any()
    ]
    return float(np.mean(shares)) if shares else None


def require_absorbing(table: PanelTable, method: str, treatment: str) -> None:
    """Raise unless treatment is 0 or 1 and, once it is on, stays on."""
    shares = (table.treatment > 0) & (table.treatment < 1)
    if shares.any():
        raise DesignError(
            explain(
                f"Treatment {treatment!r} is a share of the period in {int(shares.sum())} rows, and "
                f"method={method!r} needs the period in which it starts.",
                where=table.ids[shares],
                rule="0 before, 1 from the first treated period on",
                fix=f"data[{treatment!r}] = (data[{treatment!r}] > 0).astype(int), or method='twfe'",
            )
        )
    off = switched_off(table)
    if off.any():
        raise DesignError(
            explain(
                f"Treatment {treatment!r} turns off again in {int(off.sum())} units, and method={method!r} "
                "compares by the period in which it starts.",
                where=table.units[off],
                rule="once treated, treated in all later periods",
                fix=f"take 'ever treated' as the treatment: data.groupby(unit)[{treatment!r}].cummax(), or "
                "method='twfe'",
            )
        )


def refuse_leaks(design: PanelDesign, table: PanelTable) -> None:
    """Raise where a covariate is the outcome or the treatment by another name, or made from the treatment."""
    treated = (table.treatment > 0).astype(float)
    labels = table.unit if table.clusters is None else table.clusters
    groups = np.unique(labels, return_inverse=True)[1]
    others = {design.outcome: table.outcome, **dict(zip(table.covariate_names, table.covariates.T))}
    for name, column in zip(table.covariate_names, table.covariates.T):
        for role, target in (("outcome", table.outcome), ("treatment", table.treatment)):
            if leaks.equal_up_to_scale(column, target):
                raise LeakError(
                    explain(f"Covariate {name!r} equals the {role} up to scale.", fix="leave it out")
                )
        if np.ptp(column) == 0:
            raise DesignError(explain(f"Covariate {name!r} is constant.", fix="leave it out"))
        apart = {other: values for other, values in others.items() if other != name}
        found = _time_since_treatment(column, table)
        found = found or leaks.function_of_treatment(column, treated, groups=groups, others=apart)
        if found is not None:
            raise LeakError(
                explain(
                    f"Covariate {name!r} {found} (row by row).",
                    rule="a covariate is not made from the treatment, nor from time since treatment",
                    fix="leave it out",
                )
            )


def _time_since_treatment(column: FloatArray, table: PanelTable) -> str | None:
    """Say where a covariate is a clock: one value for all the never treated, one for each time since treatment."""
    treated = ~table.never[table.unit_codes]
    if not treated.any():
        return None
    never, ever = column[~treated], column[treated]
    since = np.unique((table.steps - table.starts[table.unit_codes])[treated], return_inverse=True)[1]
    low, high = np.full(since.max() + 1, np.inf), np.full(since.max() + 1, -np.inf)
    np.minimum.at(low, since, ever)
    np.maximum.at(high, since, ever)
    follows = ((high - low) <= CLOCK * np.ptp(ever)).all() and (never.size == 0 or np.ptp(never) == 0)
    # two values are those of many traits
    return "counts the time since treatment began" if follows and np.unique(low).size > 2 else None


def late_images(design: PanelDesign, table: PanelTable) -> list[str]:
    """Raise where a unit's image is from its first treated period or later; say where that cannot be told."""
    if design.features is None or table.image_keys is None:
        return []
    shown = days_shown(
        design.features.info["last_date"].to_numpy(dtype=object)[design.features.rows_for(table.image_keys)]
    )
    if not table.grid.in_years:
        return [
            "periods are not years of the calendar, so it was not checked that images are from before treatment"
        ]
    year = shown.astype("datetime64[Y]").astype(float) + 1970
    year = np.where(np.isnat(shown), np.nan, year)
    start = table.grid.first + table.grid.step * table.starts
    late = ~table.never & (year >= start)
    if late.any():
        raise LeakError(
            explain(
                f"The images of {int(late.sum())} units are from the period in which they are first "
                f"treated, or later.",
                where=table.units[late],
                rule="images that adjust for confounding come from before treatment",
                fix="use earlier imagery (ec.Frames(before=...)), or leave these units out",
            )
        )
    unknown = int((np.isnat(shown) & ~table.never).sum())
    if unknown:
        return [
            f"the days of the images of {unknown} treated units are not known, so they may be from after treatment"
        ]
    return []
