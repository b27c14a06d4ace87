"""Checks of user input that more than one module needs, one function a rule."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import pandas as pd

from eocausal.errors import EocausalError, explain


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that looks most like ``name``, or None when none does.

    Examples
    --------
    >>> nearest("incme", ["income", "village"])
    'income'
    """
    by_lower = {str(candidate).lower(): str(candidate) for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, candidates: Sequence[str]) -> str:
    """Return a remedy line: the near match when there is one, else what there is to choose from."""
    close = nearest(name, candidates)
    if close is not None:
        return f"Did you mean {close!r}?"
    return f"Choose from: {', '.join(str(candidate) for candidate in candidates)}."


def one_of(value: str, allowed: Sequence[str], *, argument: str, error: type[EocausalError]) -> str:
    """Return ``value`` when it is allowed; else raise ``error`` with the near match."""
    if value not in allowed:
        raise error(explain(f"{argument}={value!r} is not known.", fix=did_you_mean(str(value), allowed)))
    return value


def require_columns(
    frame: pd.DataFrame, columns: Sequence[str], *, table: str, error: type[EocausalError]
) -> None:
    """Raise ``error`` when a column is missing or appears twice, naming the nearest column there is."""
    present = [str(column) for column in frame.columns]
    for column in columns:
        found = present.count(column)
        if found == 0:
            raise error(
                explain(f"Column {column!r} is not in the {table}.", fix=did_you_mean(column, present))
            )
        if found > 1:
            raise error(
                explain(
                    f"Column {column!r} appears {found} times in the {table}.",
                    rule="column names are unique",
                    fix="frame = frame.loc[:, ~frame.columns.duplicated()]",
                )
            )
