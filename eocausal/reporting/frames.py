"""Tables of results as tables of the report, by one rule: headings are the names of columns, written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    sentence_case,
)

__all__ = ["frame_table", "heading_of"]

# Names of columns that are not simply written out.
HEADINGS = {
    "conf": "95% interval", "band": "95% band of all", "std_error": "Std. error", "p_value": "p",
    "p_adjusted": "p, for all looks", "n": "Units", "r_loss": "R-loss", "dr_loss": "DR-loss", "autoc": "AUTOC",
    "qini": "QINI", "smd": "SMD", "r2": "R²", "r_gain": "R-gain", "dr_gain": "DR-gain",
}  # fmt: skip


def frame_table(frame: pd.DataFrame, caption: str, *, leave: Sequence[str] = (), note: str = "") -> Table:
    """Return a table of a result, but for the columns to leave; bounds of an interval stand in one.

    Estimates have the decimals that their standard errors ask for, other numbers three digits.
    """
    columns, numeric, cells = [], [], []
    for name in map(str, frame):
        bound = name.endswith("_high") and f"{name.removesuffix('_high')}_low" in frame
        if bound or name in leave:
            continue
        start = name.removesuffix("_low")
        if start != name and f"{start}_high" in frame:
            low, high = frame[name], frame[f"{start}_high"]
            decimals = _decimals(frame, start if start in frame else "estimate")
            cells.append([_between(*bounds, decimals) for bounds in zip(low, high)])
            columns.append(HEADINGS.get(start, f"{heading_of(start)}, 95% interval"))
        else:
            cells.append(_texts(frame, name))
            columns.append(heading_of(name))
        numeric.append(start != name or pd.api.types.is_numeric_dtype(frame[name]))
    rows = list(zip(*cells))
    if len(rows) > LONGEST_TABLE:
        note = f"{note} Shown are the first {LONGEST_TABLE} of {len(rows):,} rows.".strip()
    return Table(caption, tuple(columns), tuple(rows[:LONGEST_TABLE]), tuple(numeric), note)


def heading_of(name: str) -> str:
    """Return the name of a column as readers see it.

    Examples
    --------
    >>> heading_of("std_error"), heading_of("qini_std_error"), heading_of("naive_gain")
    ('Std. error', 'QINI, std. error', 'Naive gain')
    """
    if name in HEADINGS:
        return HEADINGS[name]
    for end, word in (
        ("_std_error", "std. error"),
        ("_error", "std. error"),
        ("_p", "p"),
        ("_ratio", "ratio"),
    ):
        if name.endswith(end):
            return f"{heading_of(name.removesuffix(end))}, {word}"
    return sentence_case(name.replace("_", " "))


def _texts(frame: pd.DataFrame, name: str) -> list[str]:
    """Return the cells of one column."""
    column = frame[name]
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return [
            "" if value is None else {True: "yes", False: "no"}.get(value, str(value)) for value in column
        ]
    if name.startswith("p_") or name.endswith("_p"):
        return ["" if np.isnan(value) else p_value(float(value)) for value in column]
    if pd.api.types.is_integer_dtype(column):
        return [count(value) for value in column]
    decimals = _decimals(frame, name)
    return ["" if np.isnan(value) else number(float(value), decimals) for value in column]


def _decimals(frame: pd.DataFrame, name: str) -> int | None:
    """Return the decimals of a column: those its standard errors ask for, else for three digits of the largest."""
    whose = (
        ""
        if name in ("estimate", "std_error")
        else f"{name.removesuffix('_std_error').removesuffix('_error')}_"
    )
    for error in (f"{whose}std_error", f"{whose}error"):
        if error in frame:
            return decimals_for(frame[error])
    sizes = np.abs(frame[name].to_numpy(dtype=float))
    return decimals_for([np.nanmax(sizes)], digits=3) if np.isfinite(sizes).any() else None


def _between(low: Any, high: Any, decimals: int | None) -> str:
    return "" if np.isnan(low) or np.isnan(high) else interval(float(low), float(high), decimals)
