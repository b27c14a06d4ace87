"""What is known of each image beside its features: status, valid fraction, and the last day it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

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
    days = found["last_date"].astype(object)
    found["last_date"] = days.where(days.notna(), date)
    return found


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
