"""What an effect from labels and predictions says, in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

# What labels contradict has a smaller p-value.
LEVEL = 0.05
# Estimates that use no labels of the study, and so can be contradicted by them.
LABEL_FREE = ("naive", "lcc", "tweedie")


def sentences(table: pd.DataFrame, judge: str, n_labelled: int, tested: str | None) -> list[str]:
    """Return what labels are worth with predictions, what they say of errors, and which estimate to believe.

    Parameters
    ----------
    table : DataFrame
        As :meth:`eocausal.labelled.ppi_result.Ppi.table` gives it.
    judge : str
        The estimate from labels that others are compared with.
    n_labelled : int
    tested : str or None
        What the tests of labels say.

    Examples
    --------
    >>> table = pd.DataFrame({"term": ["naive", "ppi++", "lcc"], "std_error": [0.05, 0.2, 0.1],
    ...                       "worth_labels": [np.nan, 250.0, np.nan], "difference": [-0.4, 0.0, 0.1],
    ...                       "difference_p": [0.001, np.nan, 0.3]})
    >>> for line in sentences(table, "ppi++", 100, None):
    ...     print(line)
    with predictions, 100 labels are worth 250
    labels contradict naive (p 0.001) but not lcc (p 0.3): believe ppi++, or lcc (standard error 0.1, not 0.2) if
    what it assumes is believed as well
    """
    rows = table.set_index("term")
    told = []
    worth = float(rows["worth_labels"][judge])
    if np.isfinite(worth) and judge != "classical":
        told.append(f"with predictions, {n_labelled} labels are worth {worth:.0f}")
    return [*told, *([] if tested is None else [tested]), _verdict(rows, judge)]


def _verdict(rows: pd.DataFrame, judge: str) -> str:
    """Return which of the estimates that use no labels these contradict, and what to believe."""
    p_values = {term: float(rows["difference_p"][term]) for term in LABEL_FREE if term in rows.index}
    against = [term for term, value in p_values.items() if value < LEVEL]
    others = [term for term in p_values if term not in against]
    named = {term: f"{term} (p {value:.2g})" for term, value in p_values.items()}
    spared = _listed([named[term] for term in others], "or")
    if not against:
        head = f"labels do not contradict {spared}"
    else:
        head = f"labels contradict {_listed([named[term] for term in against], 'and')}"
        head += f" but not {spared}" if others else ""
    return f"{head}: believe {judge}{_also(rows, judge, others)}"


def _also(rows: pd.DataFrame, judge: str, others: list[str]) -> str:
    """Return what else may be believed: the most precise of those that labels do not contradict."""
    errors = {term: float(rows["std_error"][term]) for term in (judge, *others)}
    best = min(errors, key=lambda term: errors[term])
    if best == judge:
        return ""
    found = f"(standard error {errors[best]:.2g}, not {errors[judge]:.2g})"
    return f", or {best} {found} if what it assumes is believed as well"


def _listed(words: list[str], joint: str) -> str:
    return f" {joint} ".join([", ".join(part) for part in (words[:-1], words[-1:]) if part])
