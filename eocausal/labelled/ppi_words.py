"""What an effect from labels and predictions says, in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LEVEL = 0.05


def sentences(table: pd.DataFrame, chosen: str, n_labelled: int, tested: str | None) -> list[str]:
    """Return what labels are worth with predictions, what they say of estimates without labels, what to believe.

    Parameters
    ----------
    table : DataFrame
        As :meth:`eocausal.labelled.ppi_result.Ppi.table` gives it.
    chosen : str
    n_labelled : int
    tested : str or None
        What the tests of labels say.

    Examples
    --------
    >>> table = pd.DataFrame({"term": ["naive", "ppi++"], "worth_labels": [np.nan, 250.0],
    ...                       "difference": [-0.4, 0.0], "difference_p": [0.001, np.nan]})
    >>> for line in sentences(table, "ppi++", 100, None):
    ...     print(line)
    with predictions, 100 labels are worth 250
    naive is -0.4 from ppi++ (p 0.001): believe ppi++
    """
    rows = table.set_index("term")
    told = []
    worth = float(rows["worth_labels"][chosen])
    if np.isfinite(worth) and chosen != "classical":
        told.append(f"with predictions, {n_labelled} labels are worth {worth:.0f}")
    if tested is not None:
        told.append(tested)
    free = [term for term in rows.index if term in ("naive", "lcc", "tweedie") and term != chosen]
    return told + [_compared(term, rows, chosen) for term in free]


def _compared(term: str, rows: pd.DataFrame, chosen: str) -> str:
    gap, p_value = float(rows["difference"][term]), float(rows["difference_p"][term])
    far = f"{term} is {gap:.3g} from {chosen} (p {p_value:.2g})"
    if p_value < _LEVEL:
        return f"{far}: believe {chosen}"
    return f"{far}: labels do not contradict it"
