"""Treatment that came later: it cannot have changed what was measured before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import require_columns
from eocausal._study_columns import read_numbers
from eocausal.effects.restated import with_covariates
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.placebo_designs import base_of, difference_of, with_treatment
from eocausal.sensitivities.placebo_parts import (
    BIASED,
    LITTLE,
    Part,
    digits,
    interval_text,
    largest,
    row_of,
    size_text,
)
from eocausal.sensitivities.subject import made_again, origin_of

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]

TEST = "future"
# Fewer units of an arm than these carry no estimate with folds.
FEWEST = 10

ASSUMES = (
    "future treatment: those who were to get it did not foresee it, and who is treated later is chosen as who is "
    "treated now"
)
NOT_ANSWERED = (
    "future treatment as a control: treatment now does not change who is treated later (where it does, controlling "
    "for it takes away part of the effect)"
)


def future_treatment(estimate: Estimate, call: Call, *, future: str) -> Part:
    """Estimate the effect of a later treatment among units untreated now, and the effect with it as a control."""
    design = base_of(estimate)
    later = _later(origin_of(estimate).design, design, future)
    untreated, known = design.table.treatment == 0, ~np.isnan(later)
    warnings = _left_out(design, future, untreated, known)
    rows = untreated & known
    _require_both(later[rows], future)
    placebo_design = with_treatment(
        design, np.where(rows, later, design.table.treatment), propensity=None, name=future
    ).take(rows)
    placebo = made_again(estimate, placebo_design)
    effect = float(estimate.values[0])
    made = [row_of(TEST, f"{future}, on units untreated now", placebo, effect, level=call.level)]
    numbers = {
        "future_estimate": float(placebo.values[0]),
        "future_std_error": float(np.ravel(placebo.std_error)[0]),
        "future_p_value": made[0]["p_value"],
        "future_n": float(placebo.n),
        "future_treated": float(later[rows].sum()),
        "future_largest_in_estimates": largest(made[0], effect),
    }
    estimates, assumed = {"future": placebo}, [ASSUMES]
    why_not = _why_no_control(estimate, design, later)
    if why_not:
        warnings = (*warnings, f"{future} is not taken as a control: {why_not}")
    else:
        controlled = made_again(estimate, with_covariates(design, later[:, None], [future]))
        both = {"controlled": controlled, "estimate": _alike(estimate, design)}
        gap, told = difference_of(both, [1.0, -1.0], f"{future} as a control, less the estimate")
        warnings = (*warnings, *told)
        made.append(row_of(TEST, gap.terms[0], gap, effect, level=call.level))
        numbers |= {
            "future_controlled": float(controlled.values[0]),
            "future_controlled_difference": float(gap.values[0]),
        }
        estimates |= {"future as a control": controlled}
        assumed.append(NOT_ANSWERED)
    return Part(
        rows=tuple(made),
        sentence=sentence(made[0], numbers, level=call.level),
        numbers=numbers,
        estimates=estimates,
        assumptions=tuple(assumed),
        warnings=(
            *warnings,
            *(f"{future}: {text}" for text in placebo.warnings if text not in estimate.warnings),
        ),
        told={"future": future},
    )


def _why_no_control(estimate: Estimate, design: Design, later: FloatArray) -> str:
    """Return why the later treatment cannot be one more control, or nothing where it can."""
    if origin_of(estimate).options["method"] == "difference":
        return "the difference in means has no controls"
    if np.isnan(later).any():
        return "some units miss it"
    treated = design.table.treatment == 1
    cells = [int((later[arm] == one).sum()) for arm in (treated, ~treated) for one in (0.0, 1.0)]
    if min(cells) < FEWEST:
        return f"in one of the arms fewer than {FEWEST} units are treated later, or fewer are not"
    return ""


def _alike(estimate: Estimate, design: Design) -> Estimate:
    """Return the estimate with errors as placebos have them: without that of a calibration."""
    return estimate if estimate.second is None else made_again(estimate, design)


def _later(given: Design, design: Design, future: str) -> FloatArray:
    """Return the later treatment (n,) of the units of a design, NaN where it is not known; refuse other columns."""
    frame = design.frame
    require_columns(frame, [future], table="data of the design", error=SensitivityError)
    roles = {
        given.treatment: "the treatment",
        given.outcome: "the outcome",
        **dict.fromkeys(given.covariates, "a covariate"),
    }
    if future in roles:
        raise SensitivityError(
            explain(
                f"future={future!r} is {roles[future]} of the design.",
                rule="a column of who was treated after the outcome was measured",
            )
        )
    table = design.table
    later = read_numbers(frame[future].iloc[table.rows], table.ids, role="future treatment")
    strange = ~np.isnan(later) & ~np.isin(later, (0.0, 1.0))
    if strange.any():
        raise SensitivityError(
            explain(
                f"future={future!r} is not 0 or 1.", where=table.ids[strange], rule="0 = not later, 1 = later"
            )
        )
    return later


def _left_out(
    design: Design, future: str, untreated: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> tuple[str, ...]:
    told = [f"{future}: {int((~untreated).sum())} units that are treated now are not among the placebo's"]
    if design.table.propensity is not None:
        told.append(
            f"{future}: the known propensity is that of treatment now, so that of the later one is learned"
        )
    if not known.all():
        told.append(f"left out: {design.table.by_arm(~known)} with no {future!r}")
    return tuple(told)


def _require_both(later: FloatArray, future: str) -> None:
    treated, never = int(later.sum()), int(later.size - later.sum())
    if min(treated, never) < FEWEST:
        raise SensitivityError(
            explain(
                f"Of the units untreated now {treated} are treated later by {future!r} and {never} are not.",
                rule=f"at least {FEWEST} of each",
                fix="leave future= out",
            )
        )


def sentence(row: dict[str, Any], numbers: dict[str, float], *, level: float) -> str:
    """Say whether treatment seems to work before it begins."""
    found = f"{digits(row['estimate'])}, {interval_text(row, level)}"
    about = f"Among the {numbers['future_n']:,.0f} units untreated now, treatment to come shows"
    share, reach = row["share_of_estimate"], numbers["future_largest_in_estimates"]
    if row["verdict"] == BIASED:
        size = "" if np.isnan(share) else f"; {size_text(share)}"
        return f"{about} an effect ({found}{size}): a sign of bias."
    told = f"{about} no effect ({found})"
    if np.isnan(reach):
        return f"{told}."
    if row["verdict"] == LITTLE:
        return f"{told}, but this says little: it could be {size_text(reach)}."
    return f"{told}: at most {size_text(reach)}."
