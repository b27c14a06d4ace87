"""What is known of each image beside its features: status, valid fraction, and the last day it shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EmbeddingsError, explain

STATUSES = ("ok", "partial", "cloudy", "nodata", "outside", "missing")
"""What can be said of a chip, from best to worst."""
USABLE = frozenset({"ok", "partial"})
INFO = ("status", "valid_fraction", "last_date")


def as_info(info: pd.DataFrame, date: str | None) -> pd.DataFrame:
    """Return the columns of ``INFO``; rows that do not say their last day have that of the whole table.

    Examples
    --------
    >>> as_info(pd.DataFrame({"status": ["ok"], "valid_fraction": [1.0]}), "2007-06-30").last_date.tolist()
    ['2007-06-30']
    """
    found = info.reindex(columns=list(INFO)).reset_index(drop=True)
    days = pd.Series(_iso_days(found["last_date"]), dtype=object)
    found["last_date"] = days.where(days.notna(), date)
    return found


def iso_day(day: Any) -> str | None:
    """Return a day as ISO text, whatever kind of day it is; None where it is not known.

    Raises
    ------
    EmbeddingsError
        When it is no day. A day that is not understood must not pass for one that is not known.

    Examples
    --------
    >>> iso_day(pd.Timestamp("2007-06-30 12:00")), iso_day("2007-06-30"), iso_day(float("nan"))
    ('2007-06-30', '2007-06-30', None)
    """
    if day is None or (not isinstance(day, str) and pd.isna(day)):
        return None
    try:
        if isinstance(day, str):
            return str(np.datetime64(day.strip()[:10], "D"))
        if isinstance(day, dt.date | np.datetime64):
            return str(pd.Timestamp(day).date())
    except ValueError:
        pass
    raise EmbeddingsError(explain(f"{day!r} is no day.", rule="ISO text such as '2007-06-30', or a date"))


def days_shown(days: Iterable[Any]) -> npt.NDArray[np.datetime64]:
    """Return days as an array, NaT where they are not known."""
    return np.array([day or "NaT" for day in _iso_days(days)], dtype="datetime64[D]")


def _iso_days(days: Iterable[Any]) -> list[str | None]:
    """Return each day as text; each different one is read once, for a million images share few."""
    codes, different = pd.factorize(np.asarray(list(days), dtype=object))
    texts = [*(iso_day(day) for day in different), None]  # the code of what is missing is -1
    return [texts[code] for code in codes]


def worst_info(infos: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return, row by row, the worst status, the smallest valid fraction and the last day of several tables."""
    ranks = np.stack([pd.Index(STATUSES).get_indexer(pd.Index(info["status"])) for info in infos])
    fractions = np.stack([info["valid_fraction"].to_numpy(dtype=float) for info in infos])
    known = np.where(np.isnan(fractions), np.inf, fractions).min(axis=0)
    days = [info["last_date"] if "last_date" in info else pd.Series([None] * len(info)) for info in infos]
    return pd.DataFrame(
        {
            "status": np.asarray(STATUSES, dtype=object)[ranks.max(axis=0)],
            "valid_fraction": np.where(np.isinf(known), np.nan, known),
            "last_date": [_last(row) for row in zip(*days)],
        }
    )


def _last(days: Sequence[object]) -> str | None:
    """Return the last of ISO days, None where none is known."""
    return max((day for day in days if isinstance(day, str)), default=None)
