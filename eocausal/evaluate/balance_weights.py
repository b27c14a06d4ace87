"""The weights that balance is shown after: from an estimate or a Series, brought to the units of a design."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EvaluationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.smd import YARDSTICKS, effective_size
from eocausal.study_table import by_arm

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


def read_weights(design: Design, weights: Estimate | pd.Series | None) -> tuple[FloatArray | None, list[str]]:
    """Return what each unit of the design weighs (n,), and how many units the weights leave out.

    Units without a weight, as after trimming, weigh zero.
    """
    if weights is None:
        return None, []
    series = _of_estimate(weights) if isinstance(weights, Estimate) else weights
    if not isinstance(series, pd.Series):
        raise EvaluationError(
            explain(
                f"weights is a {type(weights).__name__}.",
                rule="an Estimate that weighs the arms, or a Series of weights by unit id",
                fix="weights=ec.ate(design, method='ipw')",
            )
        )
    _check_labels(design, series)
    found = pd.to_numeric(series, errors="coerce").astype(float)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise EvaluationError(
            explain(
                "Weights must be finite numbers that are not negative.",
                where=series.index[bad],
                fix="leave units out of the Series that shall not count",
            )
        )
    values = np.asarray(found.reindex(design.table.ids).fillna(0.0), dtype=np.float64)
    treatment = design.table.treatment
    if min(np.count_nonzero(values[treatment == arm]) for arm in (0, 1)) < 2:
        raise EvaluationError(
            explain("An arm has fewer than two units with a weight.", rule="two in each arm")
        )
    out = values == 0
    return values, [f"the weights leave out {by_arm(out, treatment)}"] if out.any() else []


def _of_estimate(estimate: Estimate) -> pd.Series:
    if estimate.weights is None:
        raise EvaluationError(
            explain(
                f"The estimate by {estimate.method!r} weighs no units.",
                fix="weights= of an estimate by 'ipw', 'aipw' or 'entropy_balancing', or a Series by unit id",
            )
        )
    return pd.Series(estimate.weights, index=pd.Index(estimate.ids))


def _check_labels(design: Design, series: pd.Series) -> None:
    repeated = series.index.duplicated()
    if repeated.any():
        raise EvaluationError(explain("Ids repeat in the weights.", where=series.index[repeated]))
    strangers = ~series.index.isin(design.table.ids)
    if strangers.any():
        raise EvaluationError(
            explain(
                "There are weights of units that the design does not have.",
                where=series.index[strangers],
                rule="the index of the weights is the unit id",
                fix="make the weights from this design",
            )
        )


def estimand_of(weights: Estimate | pd.Series | None, asked: str | None) -> str:
    """Return whose standard deviation is the yardstick: as asked, as the estimate says, else of both arms."""
    if asked is None and isinstance(weights, Estimate):
        asked = weights.estimand.partition(" ")[0]
        asked = asked if asked in YARDSTICKS else None
    asked = "ate" if asked is None else asked
    if asked not in YARDSTICKS:
        raise EvaluationError(
            explain(f"estimand={asked!r} is not known.", fix=f"Choose from: {', '.join(YARDSTICKS)}.")
        )
    return asked


def sizes(design: Design, weights: FloatArray) -> dict[str, float]:
    """Return the effective number of units of each arm."""
    treatment = design.table.treatment
    return {
        name: effective_size(weights[treatment == arm])
        for name, arm in (("ess_treated", 1), ("ess_control", 0))
    }
