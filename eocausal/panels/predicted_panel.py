"""A panel whose outcome was predicted, as corrections see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eocausal.debiasing.predicted_study import Predicted, PredictedStudy

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.panels.design import PanelDesign

OF_LEVELS = (
    "the calibration is of levels across places, and effects here are of changes within them, which maps usually "
    "follow less: corrections are then too small; ec.debias(..., unit=, period=) with places measured in several "
    "rounds calibrates changes"
)


def predicted_panel(
    design: PanelDesign, estimate: Callable[[PanelDesign], Estimate], *, level: str
) -> PredictedStudy:
    """Return a panel as a study whose outcome can be corrected, and whose units can be drawn anew.

    ``estimate`` may be of rows, or of units, which all of their rows then count for.
    """

    def predicted(found: Estimate) -> Predicted:
        table = design.table
        names = table.units[table.unit_codes] if found.panel is None else table.ids
        position = pd.Index(found.ids).get_indexer(pd.Index(names))
        rows = position >= 0
        entries = None if found.panel is not None else position[rows]
        return Predicted(table.outcome[rows], table.weights[rows], entries)

    return PredictedStudy(
        estimate=lambda change: estimate(design.with_changed_outcome(change)),
        predicted=predicted,
        n=len(design),
        labels=design.labels(),
        redrawn=lambda counts: predicted_panel(design.redrawn(np.asarray(counts)), estimate, level=level),
        together=design.table.unit,
        notes=(OF_LEVELS,) if level == "levels" else (),
    )
