"""A design whose outcome was predicted, as corrections see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.predicted_study import Predicted, PredictedStudy

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]


def predicted_study(design: Design, estimate: Callable[[Design], Estimate]) -> PredictedStudy:
    """Return a design as a study whose outcome can be corrected, and whose units can be drawn anew.

    ``estimate`` may leave out units, as trimming does; the others are found by their ids.
    """

    def predicted(found: Estimate) -> Predicted:
        table = design.table
        rows = pd.Index(table.ids).get_indexer(pd.Index(found.ids))
        return Predicted(table.outcome[rows], table.weights[rows])

    return PredictedStudy(
        estimate=lambda change: estimate(design.with_changed_outcome(change)),
        predicted=predicted,
        n=len(design),
        labels=design.cluster_labels(),
        redrawn=lambda counts: predicted_study(design.redrawn(counts), estimate),
    )
