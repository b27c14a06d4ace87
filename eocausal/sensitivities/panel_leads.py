"""Panels before treatment: whether the outcome answers to a treatment that has not begun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.contrast import contrast
from eocausal.panels.event_time import pretrends
from eocausal.panels.fixed_effects import REFERENCE, time_since
from eocausal.sensitivities.future_treatment import TEST
from eocausal.sensitivities.placebo_designs import with_panel_control
from eocausal.sensitivities.placebo_parts import (
    BIASED,
    LITTLE,
    Part,
    digits,
    interval_text,
    largest,
    p_text,
    row_of,
    size_text,
)
from eocausal.sensitivities.subject import made_again, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.panels.design import PanelDesign
    from eocausal.panels.panel_table import PanelTable
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]

ASSUMES = (
    "periods before treatment: nobody acted on a treatment to come, and what moves outcomes of those to be treated "
    "apart from others after it begins would do so before"
)


def panel_leads(estimate: Estimate, call: Call) -> Part:
    """Test the periods before treatment: those of an event study or of cohorts, or the next period's treatment."""
    method = origin_of(estimate).options["method"]
    return _lead(estimate, call) if method == "twfe" else _before(estimate, call)


def _lead(estimate: Estimate, call: Call) -> Part:
    """Put the treatment of the next period beside that of the present one."""
    design: PanelDesign = origin_of(estimate).design
    table, name = design.table, f"{design.treatment}, one period later"
    later = next_treatment(table)
    known = ~np.isnan(later)
    frame = design.data.iloc[table.rows[known]].assign(**{name: later[known]})
    ahead = replace(design, data=frame, treatment=name)
    present = table.treatment[known][ahead.table.rows]
    lead = made_again(estimate, with_panel_control(ahead, present, design.treatment))
    effect = float(estimate.values[0])
    row = row_of(TEST, name, lead, effect, level=call.level)
    numbers = {
        "future_estimate": float(lead.values[0]),
        "future_std_error": float(np.ravel(lead.std_error)[0]),
        "future_p_value": row["p_value"],
        "future_n": float(lead.n),
        "future_largest_in_estimates": largest(row, effect),
    }
    left = f"{TEST}: {int((~known).sum())} unit-periods are left out that no observed period follows"
    return Part(
        rows=(row,),
        sentence=sentence(row, numbers["future_largest_in_estimates"], level=call.level),
        numbers=numbers,
        estimates={"future": lead},
        assumptions=(ASSUMES,),
        warnings=(left,) if not known.all() else (),
        told={"future": "lead"},
    )


def next_treatment(table: PanelTable) -> FloatArray:
    """Return the treatment (n,) of the same unit one step of time later, NaN where that is not observed."""
    # rows are in the order of unit and period
    same = (table.unit_codes[1:] == table.unit_codes[:-1]) & (table.steps[1:] == table.steps[:-1] + 1)
    return np.append(np.where(same, table.treatment[1:], np.nan), np.nan)


def _before(estimate: Estimate, call: Call) -> Part:
    """Take the coefficients of periods before treatment, with their joint test."""
    origin = origin_of(estimate)
    changes = {"aggregate": "dynamic"} if origin.options["method"] == "did" else {}
    whole = origin.again(origin.design, **changes)
    if np.array_equal(whole.ids, estimate.ids):
        # labels that were given to with_vcov afterwards
        whole = replace(whole, groups=estimate.groups)
    whole = whole.with_vcov(estimate.variance.how)
    test = pretrends(whole)
    effect = float(estimate.values[0])
    rows = tuple(
        row_of(TEST, f"{term}, before treatment", contrast(whole, term), effect, level=call.level)
        for term in test.terms
    )
    reach = max(largest(row, effect) for row in rows)
    numbers = {
        "future_f": test.statistic,
        "future_df": float(test.df[0]),
        "future_p_value": test.p_value,
        "future_largest_in_estimates": reach,
    }
    return Part(
        rows=rows,
        sentence=joint_sentence(len(rows), test.p_value, reach, level=call.level),
        numbers=numbers,
        assumptions=(ASSUMES,),
        told={"future": "periods before treatment"},
    )


_ABOUT = "One period before treatment begins, outcomes of those to be treated"


def why_no_leads(estimate: Estimate) -> str:
    """Return why there is no period before treatment to test, or nothing where there is."""
    origin = origin_of(estimate)
    table: PanelTable = origin.design.table
    if origin.options["method"] == "twfe":
        later = next_treatment(table)
        known = ~np.isnan(later)
        enough = known.any() and np.ptp(later[known]) > 0 and np.unique(table.steps[known]).size > 1
        return "" if enough else "too few periods are followed by one in which treatment is known"
    since, treated = time_since(table)
    seen = treated & (since < REFERENCE) & ~table.always[table.unit_codes]
    return "" if seen.any() else "no treated unit is seen two periods before its treatment"


def sentence(row: dict[str, Any], reach: float, *, level: float) -> str:
    """Say whether outcomes answer to treatment one period before it begins."""
    found = f"{digits(row['estimate'])}, {interval_text(row, level)}"
    if row["verdict"] == BIASED:
        return f"{_ABOUT} move apart from those of others ({found}): a sign of bias."
    told = f"{_ABOUT} do not move apart from those of others by more than chance ({found})"
    if row["verdict"] == LITTLE:
        return f"{told}, but this says little: {_could_be(reach)}."
    return f"{told}: at most {size_text(reach)}."


def joint_sentence(many: int, p_value: float, reach: float, *, level: float) -> str:
    """Say whether outcomes differ in the periods before treatment, all together."""
    about = f"In {many} period{'s' * (many > 1)} before treatment, outcomes of those to be treated"
    if p_value < 1 - level:
        return f"{about} move apart from those of others (jointly {p_text(p_value)}): a sign of bias."
    told = f"{about} do not move apart from those of others by more than chance (jointly {p_text(p_value)})"
    if not reach < 1:
        return f"{told}, but this says little: {_could_be(reach)}."
    return f"{told}: at most {size_text(reach)}."


def _could_be(reach: float) -> str:
    return "biases of any size could be" if np.isnan(reach) else f"it could be {size_text(reach)}"
