"""Tables on whether the arms can be compared: balance, overlap, assignment, other pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from eocausal.reporting.blocks import Table
from eocausal.reporting.tables import (
    LONGEST_TABLE,
    count,
    decimals_for,
    interval,
    number,
    p_value,
    rows_of,
    sentence_case,
)

__all__ = ["assignment_table", "balance_table", "overlap_table", "sweep_table"]

SMD = "SMD: difference in means divided by a standard deviation that weighting does not change."
KS = "KS: largest gap between the distributions of the arms; of a column of 0 and 1 the difference of the shares."
# Measures of the assignment table, with what a reader sees and how many decimals.
MEASURES = {
    "auc": ("AUC", 2),
    "skill": ("Log loss saved", 2),
    "calibration_intercept": ("Calibration intercept", 2),
    "calibration_slope": ("Calibration slope", 2),
    "ici": ("Calibration error", 3),
    "outcome_r2": ("R² of the outcome", 2),
}
SOURCES = {
    "covariates": "Tables",
    "features": "Pictures",
    "both": "Both",
    "features given covariates": "Pictures add",
}


def balance_table(table: pd.DataFrame) -> Table:
    """Return the balance of the arms, the largest differences when there are very many rows."""
    weighted = "smd_weighted" in table
    shown, note = table, f"{SMD} {KS}"
    if len(table) > LONGEST_TABLE:
        order = table["smd"].abs().sort_values(ascending=False, kind="stable").index
        shown = table.reindex(order[:LONGEST_TABLE])
        note += f" Shown are the {LONGEST_TABLE} of {len(table):,} columns with the largest difference."
    if not weighted:
        body = tuple(
            (
                str(row.term), str(row.kind), number(row.mean_treated), number(row.mean_control),
                number(row.smd, 3), number(row.variance_ratio, 2), number(row.ks, 2), p_value(row.p_value),
            )
            for row in rows_of(shown)
        )  # fmt: skip
        columns = ("Column", "Kind", "Mean, treated", "Mean, control", "SMD", "Variance ratio", "KS", "p")
        return Table("The arms before treatment", columns, body, (False, False) + (True,) * 6, note)
    body = tuple(
        (
            str(row.term), str(row.kind), number(row.smd, 3), number(row.smd_weighted, 3),
            number(row.variance_ratio, 2), number(row.variance_ratio_weighted, 2), number(row.ks, 2),
            number(row.ks_weighted, 2),
        )
        for row in rows_of(shown)
    )  # fmt: skip
    columns = (
        "Column", "Kind", "SMD before", "SMD after", "Variance ratio before", "Variance ratio after", "KS before",
        "KS after",
    )  # fmt: skip
    caption = "The arms before and after weighting"
    return Table(caption, columns, body, (False, False) + (True,) * 6, note)


def overlap_table(frame: pd.DataFrame) -> Table:
    """Return the spread of the propensity by arm, and how many units each rule would leave out."""
    rules = [str(name) for name in frame if str(name).startswith("left_out_")]
    body = tuple(
        (
            sentence_case(row["arm"]), count(row["n"]), number(row["min"], 3), number(row["median"], 3),
            number(row["max"], 3), f"{100 * row['share_outside']:.1f}%", count(round(row["effective_n"])),
            *(count(row[rule]) for rule in rules),
        )
        for _, row in frame.iterrows()
    )  # fmt: skip
    names = [f"Left out ({rule.removeprefix('left_out_')})" for rule in rules]
    columns = (
        "Arm",
        "Units",
        "Lowest",
        "Median",
        "Highest",
        "Outside 0.05 to 0.95",
        "Effective units",
        *names,
    )
    note = (
        "Effective units: how many equally weighted units carry the same information after weighting. Left out: "
        "units that trimming by a rule would leave out; nobody is left out here."
    )
    return Table("Propensity by arm", columns, body, (False,) + (True,) * (len(columns) - 1), note)


def assignment_table(rows: pd.DataFrame) -> Table:
    """Return measures of one arm with intervals: one row a measure, one column a source."""
    sources = [name for name in SOURCES if name in set(rows["source"])]
    found = {(row["measure"], row["source"]): row for _, row in rows.iterrows()}
    body = []
    for measure, (name, decimals) in MEASURES.items():
        cells = [found.get((measure, source)) for source in sources]
        told = ("" if one is None else number(float(one["estimate"]), decimals) for one in cells)
        between = ("" if one is None else _between(one, decimals) for one in cells)
        body += [(name, *told), ("    95% interval", *between)]
    note = (
        "Intervals are from random weights of blocks. AUC and R²: 0.5 and 0 are no better than chance. "
        "Log loss saved: share of the loss of a constant prediction. Calibration is right at intercept 0, slope 1 "
        "and error 0."
    )
    if "features given covariates" in sources:
        note += " Pictures add: both minus tables, where an AUC below 0.5 counts as 0.5."
    columns = ("Measure", *(SOURCES[source] for source in sources))
    return Table(
        "How well treatment is predicted, out of fold",
        columns,
        tuple(body),
        (False,) + (True,) * len(sources),
        note,
    )


def _between(row: pd.Series, decimals: int) -> str:
    low, high = float(row["conf_low"]), float(row["conf_high"])
    return interval(low, high, decimals) if np.isfinite([low, high]).all() else ""


def sweep_table(table: pd.DataFrame) -> Table:
    """Return one row for each set of features."""
    decimals = decimals_for(table["std_error"], digits=3)
    weighted = bool(table["worst_smd"].notna().any())
    columns = ["Adjusted for", "Estimate", "95% interval", "AUC", "R² of the outcome"]
    columns += ["Largest SMD after", "Effective treated", "Effective control"] if weighted else []
    body = []
    for _, row in table.iterrows():
        cells = [
            str(row["setting"]), number(row["estimate"], decimals),
            interval(row["conf_low"], row["conf_high"], decimals), number(row["auc"], 2),
            number(row["outcome_r2"], 2),
        ]  # fmt: skip
        if weighted:
            sizes = (row["ess_treated"], row["ess_control"])
            cells += [
                number(row["worst_smd"], 2),
                *(count(round(one)) if np.isfinite(one) else "" for one in sizes),
            ]
        body.append(tuple(cells))
    note = f"Effective: units that carry the same information after weighting. {SMD}" if weighted else ""
    return Table(
        "The estimate by what is adjusted for", tuple(columns), tuple(body), (False,) + (True,) * (len(columns) -
        1), note,
    )  # fmt: skip
