"""The function of what was sensed that tells an effect most precisely, learned out of fold. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.errors import DebiasError, explain
from eocausal.nuisance.folds import deal

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

N_FOLDS = 5
# Bends of each column, at these shares of its values.
_BENDS = (0.25, 0.5, 0.75)
_KINDS = (
    "untreated units of the study",
    "treated units of the study",
    "units with truth 0",
    "units with truth 1",
)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Rows of both samples, the study first.

    Attributes
    ----------
    columns : array of shape (N, p)
    kinds : array of shape (N,)
        0 and 1 for untreated and treated units of the study, 2 and 3 for labelled units with truth 0 and 1.
    weights : array of shape (N,)
        1 on average in each sample.
    groups : array of shape (N,)
        Rows that no split may part.
    """

    columns: FloatArray
    kinds: Codes
    weights: FloatArray
    groups: Codes


@one_blas_thread()
def efficient_function(stacked: Stacked, *, seed: int) -> FloatArray:
    """Return ``h`` (N,), each value by a model of the other folds.

    ``h = E[Do | R] / E[(De - theta Do)^2 | R]`` with the weights ``De`` of the study's arms and ``Do`` of the
    labels, brought to mean 0 where the truth is 0 and mean 1 where it is 1. Probabilities of the four kinds of
    rows given the columns ``R`` are those of a multinomial logit in lines with three bends. Any function gives
    the same effect in large samples, so that a poor model costs precision and nothing else. Rambachan, Singh
    and Viviano (2024), arXiv 2411.10959, theorem on the optimal representation.
    """
    dealt = deal(stacked.groups, stacked.kinds, k=N_FOLDS, seed=seed)[stacked.groups]
    found = np.zeros(stacked.kinds.size)
    for fold in range(N_FOLDS):
        train, test = dealt != fold, dealt == fold
        _require_all_kinds(stacked.kinds[train])
        shares = _probabilities(stacked, train)
        values = _optimal(shares, stacked, train)
        low, high = (_mean(values, stacked, train & (stacked.kinds == kind)) for kind in (2, 3))
        if high <= low:
            text = "What was sensed does not tell the levels of the truth apart."
            raise DebiasError(explain(text, fix="other columns in prediction=[...], or more labels"))
        found[test] = (values[test] - low) / (high - low)
    return found


def _optimal(shares: FloatArray, stacked: Stacked, train: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the best function up to scale from the probabilities (N, 4), with the ratio of the training rows."""
    whole = np.array([stacked.weights[train & (stacked.kinds == kind)].sum() for kind in range(4)])
    relative = shares / (whole / whole.sum())
    first = relative[:, 3] / (relative[:, 2] + relative[:, 3])
    means = [_mean(first, stacked, train & (stacked.kinds == kind)) for kind in range(4)]
    ratio = (means[1] - means[0]) / (means[3] - means[2])
    by_kind = relative / (whole / whole.sum())
    noise = by_kind[:, 0] + by_kind[:, 1] + ratio**2 * (by_kind[:, 2] + by_kind[:, 3])
    return np.asarray((relative[:, 3] - relative[:, 2]) / noise)


def _probabilities(stacked: Stacked, train: npt.NDArray[np.bool_]) -> FloatArray:
    from sklearn.linear_model import LogisticRegression

    columns = _bent(stacked.columns, train)
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(columns[train], stacked.kinds[train], sample_weight=stacked.weights[train])
    return np.asarray(model.predict_proba(columns), dtype=float)


def _bent(columns: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
    """Return columns, standardised on the training rows, beside what of them lies above each bend."""
    seen = columns[train]
    spread = seen.std(axis=0)
    scaled = (columns - seen.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    bends = np.quantile(scaled[train], _BENDS, axis=0)
    return np.column_stack([scaled, *(np.maximum(scaled - bend, 0.0) for bend in bends)])


def _mean(values: FloatArray, stacked: Stacked, rows: npt.NDArray[np.bool_]) -> float:
    return float(np.average(values[rows], weights=stacked.weights[rows]))


def _require_all_kinds(kinds: Codes) -> None:
    lacking = [name for kind, name in enumerate(_KINDS) if not (kinds == kind).any()]
    if lacking:
        raise DebiasError(
            explain(
                "A fold leaves none of these to learn from.",
                where=lacking,
                rule="each kind in at least two clusters",
                fix="h='prediction', which learns nothing",
            )
        )
