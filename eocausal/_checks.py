"""Checks of user input that more than one module needs, one function a rule."""

from __future__ import annotations

import difflib
import errno
import math
import numbers
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EocausalError, explain


def positive_metres(value: object, *, what: str, error: type[EocausalError]) -> float:
    """Return a number of metres above 0, or raise; ``what`` says in the error what it is not.

    Examples
    --------
    >>> positive_metres(960, what="size_m=960 is not a size.", error=EocausalError)
    960.0
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    metres = float(value) if number and isinstance(value, (int, float, np.number)) else math.nan
    if not 0 < metres < math.inf:
        raise error(explain(what, rule="positive metres"))
    return metres


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


def some_of(
    given: object, allowed: Sequence[str], *, argument: str, error: type[EocausalError]
) -> tuple[str, ...]:
    """Return names, one or several and each once, when all are allowed; else raise ``error``."""
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, Iterable):
        raise error(explain(f"{argument}={given!r}.", rule=f"some of: {', '.join(allowed)}"))
    names = tuple(dict.fromkeys(listed))
    if not names:
        raise error(explain(f"{argument} is empty.", rule=f"some of: {', '.join(allowed)}"))
    return tuple(one_of(name, allowed, argument=argument, error=error) for name in names)


def require_units(units: object, *, error: type[EocausalError]) -> None:
    """Raise ``error`` unless units are read and checked; tables and paths are not."""
    if not hasattr(units, "image_keys"):
        fix = 'units = ec.read_units(table, id="village", lon="lon", lat="lat")'
        text = f"units is a {type(units).__name__}, not units as read_units gives them."
        raise error(explain(text, fix=fix))


def as_folder(path: object, *, error: type[EocausalError]) -> Path:
    """Return the path of a folder, there or not; raise ``error`` for what cannot name one."""
    if not isinstance(path, (str, os.PathLike)):
        text = f"A folder cannot be named by a {type(path).__name__}."
        raise error(explain(text, fix='Give its path, such as "results/chips.zarr".'))
    folder = Path(path)
    try:
        os.lstat(folder)
    except ValueError as cause:
        raise error(explain(f"No folder can have this name: {cause!s}.")) from cause
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:
            text = f"No folder can have this name of {len(str(folder)):,} characters: {str(folder)[:40]!r}..."
            raise error(explain(text, rule="at most 255 characters a name")) from cause
    return folder


def whole_number(value: object, *, argument: str, error: type[EocausalError], least: int = 0) -> int:
    """Return a whole number, NumPy's kinds included, that is at least ``least``; else raise ``error``.

    Examples
    --------
    >>> whole_number(3, argument="seed", error=EocausalError)
    3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise error(explain(f"{argument}={value!r}.", rule=f"a whole number of at least {least}"))
    return int(value)


def finite_number(value: object, *, argument: str, error: type[EocausalError]) -> float:
    """Return a finite number as a float, NumPy's kinds included; else raise ``error``.

    Examples
    --------
    >>> finite_number(1, argument="delta", error=EocausalError)
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(float(value)):
        raise error(explain(f"{argument}={value!r}.", rule="a finite number"))
    return float(value)


def require_level(level: float, *, error: type[EocausalError]) -> None:
    """Raise unless a confidence level is a share between 0 and 1."""
    if not isinstance(level, int | float | np.number) or not 0 < level < 1:
        raise error(
            explain(f"level={level!r} is not a confidence level.", rule="0 < level < 1", fix="level=0.95")
        )


def require_columns(
    frame: pd.DataFrame, columns: Sequence[str], *, table: str, error: type[EocausalError]
) -> None:
    """Raise ``error`` when a column is missing or appears twice, naming the nearest column there is."""
    present = [str(column) for column in frame.columns]
    for column in columns:
        given: object = column
        if not isinstance(given, str):
            text = f"A column of the {table} is named by a {type(column).__name__}: {column!r:.40}."
            raise error(explain(text, rule="text", fix="data['name'] = values, and 'name' here"))
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


def require_one_kind(labels: npt.NDArray[Any], *, what: str, error: type[EocausalError], fix: str) -> None:
    """Raise ``error`` unless all labels are numbers, or all text, so that they can be sorted and written."""
    kinds = {type(label) for label in labels.tolist()}
    if labels.dtype.kind in "Mm" or len(kinds) > 1 or not kinds <= {int, float, str, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise error(explain(f"{what} holds {names}.", rule="all numbers or all text", fix=fix))
