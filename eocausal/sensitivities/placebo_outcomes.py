"""Outcomes that treatment cannot have changed, estimated as the outcome itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._checks import require_columns
from eocausal.errors import DesignError, EstimationError, SensitivityError, explain
from eocausal.inference.joint import compare
from eocausal.inference.simultaneous import jointly_zero
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
from eocausal.sensitivities.subject import made_again, origin_of, outcome_sd
from eocausal.study_table import StudyTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

TEST = "outcomes"

# So many outcomes are named in the sentence.
_LISTED = 3

ASSUMES = (
    "placebo outcomes: treatment cannot have changed them, and what biases the estimate would bias theirs too (the "
    "same unobserved causes); one that answers to other causes tells nothing of this bias"
)


def placebo_outcomes(estimate: Estimate, call: Call, *, outcomes: Sequence[str]) -> Part:
    """Estimate the effect on outcomes that treatment cannot have changed, by the same method."""
    design = origin_of(estimate).design
    frame = design.frame
    _require_placebos(design, frame, outcomes)
    made = {name: _made(estimate, frame, name) for name in outcomes}
    effect, own_sd = float(estimate.values[0]), outcome_sd(estimate)
    rows, reaches = [], []
    for name, found in made.items():
        sd = outcome_sd(found)
        row = row_of(TEST, name, found, effect, level=call.level, scale=sd / own_sd)
        reach = max(abs(row["conf_low"]), abs(row["conf_high"]))
        rows.append(row)
        reaches.append(
            {
                "outcome": name,
                "sd": sd,
                "estimate_in_sd": row["estimate"] / sd,
                "low_in_sd": row["conf_low"] / sd,
                "high_in_sd": row["conf_high"] / sd,
                "largest_in_sd": reach / sd,
                "largest_in_estimates": largest(row, effect),
                "share_in_sd": reach / sd / abs(effect / own_sd) if effect else np.nan,
                "n": found.n,
            }
        )
    table = pd.DataFrame(reaches)
    joint = compare(**made)
    statistic, rank, p_value = jointly_zero(joint.values, joint.variance.matrix, df=joint.variance.df)
    numbers = {
        "outcomes_f": statistic,
        "outcomes_df": float(rank),
        "outcomes_p_value": p_value,
        "outcomes_largest_in_sd": float(table["largest_in_sd"].max()),
        "outcomes_largest_in_estimates": float(table["largest_in_estimates"].max()),
        "outcomes_largest_share": float(table["share_in_sd"].max()),
        "outcome_sd": own_sd,
    }
    return Part(
        rows=tuple(rows),
        sentence=sentence(rows, table["share_in_sd"].tolist(), p_value, level=call.level),
        numbers=numbers,
        estimates={f"outcome {name}": one for name, one in made.items()},
        curves={TEST: table},
        assumptions=(ASSUMES,),
        warnings=(*_left_out(estimate, made), *_not_corrected(estimate)),
        told={"outcomes": list(outcomes)},
    )


def _require_placebos(design: Any, frame: pd.DataFrame, outcomes: Sequence[str]) -> None:
    require_columns(frame, list(outcomes), table="data of the design", error=SensitivityError)
    if len(set(outcomes)) < len(outcomes):
        raise SensitivityError(explain("An outcome is named twice in outcomes=.", where=outcomes))
    for name, role in ((design.outcome, "the outcome itself"), (design.treatment, "the treatment")):
        if name in outcomes:
            raise SensitivityError(
                explain(
                    f"outcomes= names {role}, {name!r}.",
                    rule="columns that treatment cannot have changed: earlier outcomes, or what it cannot reach",
                )
            )
    adjusted = [name for name in outcomes if name in design.covariates]
    if adjusted:
        raise SensitivityError(
            explain(
                "outcomes= names covariates of the design.",
                where=adjusted,
                rule="what is adjusted for is alike in both arms by construction, so its placebo effect is zero "
                "whatever the bias",
                fix=f"estimate without it and test that: Design(..., covariates=[c for c in covariates if c != "
                f"{adjusted[0]!r}])",
            )
        )


def _made(estimate: Estimate, frame: pd.DataFrame, name: str) -> Estimate:
    try:
        return made_again(estimate, _with_outcome(origin_of(estimate).design, frame, name))
    except (DesignError, EstimationError) as cause:
        raise SensitivityError(f"Placebo outcome {name!r}: {cause}") from cause


def _with_outcome(design: Any, frame: pd.DataFrame, name: str) -> Any:
    """Return the design for another outcome; units that miss it are left out, and counted by arm."""
    rows = design.table.rows
    lacks = bool(frame[name].iloc[rows].isna().any())
    changes = {"missing": "drop"} if lacks and design.missing == "error" else {}
    if hasattr(design, "with_outcome") and not changes:
        return design.with_outcome(name)
    return replace(design, outcome=name, **changes)


def _left_out(estimate: Estimate, made: dict[str, Estimate]) -> tuple[str, ...]:
    """Return whom placebos are not of, or are of beside the units of the estimate, by arm."""
    told = []
    for name, one in made.items():
        origin = origin_of(one)
        table = origin.entered.table
        told += [f"{name}: {text}" for text in table.notes if text not in estimate.warnings]
        others = ~np.isin(one.ids, estimate.ids)
        if isinstance(table, StudyTable) and others.any() and origin.options.get("trim") is None:
            told.append(f"{name}: {table.by_arm(others)} that did not enter the estimate have this outcome")
    return tuple(told)


def _not_corrected(estimate: Estimate) -> tuple[str, ...]:
    if estimate.second is None:
        return ()
    return (
        "placebo outcomes are taken as they are: the correction of predictions is one of the outcome, and is not "
        "applied to them",
    )


def sentence(rows: list[dict[str, Any]], shares: list[float], p_value: float, *, level: float) -> str:
    """Say whether effects are found where there can be none, and how large ones are not ruled out."""
    if len(rows) == 1:
        return _of_one(rows[0], shares[0], level)
    named = [row["what"] for row in rows if row["verdict"] == BIASED]
    jointly = "" if np.isnan(p_value) else f"jointly {p_text(p_value)}"
    of = f"Of {len(rows)} outcomes that treatment cannot have changed"
    if named:
        told = f"{of}, {len(named)} show{'s' * (len(named) == 1)} an effect ({_listed(named)})"
        if p_value >= 1 - level:
            return f"{told}, but not all together ({jointly}): at most a weak sign of bias."
        return f"{told}{jointly and f', {jointly}'}: a sign of bias."
    if p_value < 1 - level:
        return f"{of}, none shows an effect by itself, but all together do ({jointly}): a sign of bias."
    told = f"None of {len(rows)} outcomes that treatment cannot have changed shows an effect"
    told += jointly and f" ({jointly})"
    worst = max(shares)
    if np.isnan(worst):
        return f"{told}."
    size = f"{size_text(worst)} in standard deviations"
    little = any(row["verdict"] == LITTLE for row in rows)
    return f"{told}, but this says little: it could be {size}." if little else f"{told}: at most {size}."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _of_one(row: dict[str, Any], reach: float, level: float) -> str:
    found = f"{digits(row['estimate'])}, {interval_text(row, level)}"
    about = f"on {row['what']}, which treatment cannot have changed"
    if row["verdict"] == BIASED:
        share = row["share_of_estimate"]
        size = "" if np.isnan(share) else f"; {size_text(share)} in standard deviations"
        return f"An effect is found {about} ({found}{size}): a sign of bias."
    if np.isnan(reach):
        return f"No effect can be told from zero {about} ({found})."
    if row["verdict"] == LITTLE:
        return (
            f"No effect can be told from zero {about} ({found}), but this says little: it could be "
            f"{size_text(reach)} in standard deviations."
        )
    return f"No effect can be told from zero {about} ({found}): at most {size_text(reach)} in standard deviations."
