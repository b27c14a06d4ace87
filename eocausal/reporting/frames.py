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

# Names of columns that are not simply written out, and words of names.
HEADINGS = {
    "conf": "95% interval", "band": "95% band of all", "std_error": "Std. error", "p_value": "p",
    "p_adjusted": "p, for all looks", "p_upper": "Largest p", "p_lower": "Smallest p",
    "n": "Units", "n_target": "Target places", "ess_study": "Effective units",
    "se_trial": "Std. error of the study", "se_calibration": "Std. error of the calibration",
    "r_loss": "R-loss", "dr_loss": "DR-loss", "r_gain": "R-gain", "dr_gain": "DR-gain",
}  # fmt: skip
# Bounds that are no interval of confidence.
RANGES = {"estimate": "Estimates that are possible"}
WORDS = {"std": "std.", "sd": "SD", "smd": "SMD", "r2": "R²", "autoc": "AUTOC", "qini": "QINI"}


def frame_table(frame: pd.DataFrame, caption: str, *, leave: Sequence[str] = (), note: str = "") -> Table:
    """Return a table of a result, but for the columns to leave; bounds of an interval stand in one.

    Estimates have the decimals that their standard errors ask for, other numbers three digits.
    """
    columns: list[str] = []
    numeric: list[bool] = []
    cells: list[list[str]] = []
    decimals = {name: _decimals(frame, name, error) for name, error in _errors(frame).items()}
    for name in map(str, frame):
        start = name.removesuffix("_low")
        if name in leave or (name.endswith("_high") and f"{name.removesuffix('_high')}_low" in frame):
            continue
        if start != name and f"{start}_high" in frame:
            bounds = zip(frame[name], frame[f"{start}_high"])
            cells.append([_between(low, high, decimals[name]) for low, high in bounds])
            whose = start.removesuffix("_conf")
            columns.append(RANGES.get(start) or HEADINGS.get(start, f"{heading_of(whose)}, 95% interval"))
        else:
            cells.append(_texts(frame[name], decimals.get(name)))
            columns.append(heading_of(name))
        # the first column says whose row it is
        numeric.append(bool(numeric) and (start != name or pd.api.types.is_numeric_dtype(frame[name])))
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
    return sentence_case(" ".join(WORDS.get(word, word) for word in name.split("_")))


def _errors(frame: pd.DataFrame) -> dict[str, str | None]:
    """Return for each column of numbers the one that holds its standard errors: by name, or that after it."""
    names = [str(name) for name in frame if pd.api.types.is_float_dtype(frame[name])]
    found: dict[str, str | None] = {}
    owner = names[names.index("std_error") - 1] if "std_error" in names else ""
    for name in names:
        whose = name
        for end in ("_low", "_high", "_conf", "_std_error", "_error"):
            whose = whose.removesuffix(end)
        own = (f"{whose}_std_error", f"{whose}_error")
        shared = ("std_error",) if whose in (owner, "std", "conf", "band") else ()
        found[name] = next((error for error in (*own, *shared) if error in names), None)
    return found


def _decimals(frame: pd.DataFrame, name: str, error: str | None) -> int | None:
    """Return the decimals that standard errors ask for, else those of three digits of the largest value."""
    if error is not None:
        sizes = frame[error].to_numpy(dtype=float)
        # those of a usual row: an error may be next to nothing where hardly anybody is treated
        return decimals_for([np.median(sizes[sizes > 0])]) if (sizes > 0).any() else None
    sizes = np.abs(frame[name].to_numpy(dtype=float))
    return decimals_for([np.nanmax(sizes)], digits=3) if np.isfinite(sizes).any() else None


def _texts(column: pd.Series, decimals: int | None) -> list[str]:
    """Return the cells of one column."""
    if pd.api.types.is_bool_dtype(column):
        return ["yes" if value else "no" for value in column]
    if not pd.api.types.is_numeric_dtype(column):
        return ["" if value is None else str(value) for value in column]
    if pd.api.types.is_integer_dtype(column):
        return [count(value) for value in column]
    is_p = str(column.name).startswith("p_") or str(column.name).endswith("_p")
    return [
        "" if np.isnan(value) else p_value(float(value)) if is_p else number(float(value), decimals)
        for value in column
    ]


def _between(low: Any, high: Any, decimals: int | None) -> str:
    return "" if np.isnan(low) or np.isnan(high) else interval(float(low), float(high), decimals)
