"""The figure of a corrector: corrected against raw predictions, over the places of the calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.debiasing.changes import changes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.debiasing.corrector import Corrector

COLOURS = {"lcc": "#c55a11", "tweedie": "#2f6690"}
# More points than this hide one another; so many of a larger calibration are drawn, evenly spaced in its order.
_DRAWN = 2000
# The support is drawn with this share of its width on either side.
_MARGIN = 0.08


def draw(corrector: Corrector, ax: Axes | None = None) -> Axes:
    """Draw both corrections as curves, the prediction as it is as a dashed line, and places where they are held."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(5.5, 4.5))
    low, high = corrector.density.low, corrector.density.high
    margin = _MARGIN * (high - low)
    grid = np.linspace(low - margin, high + margin, 300)
    sample = corrector.sample
    if sample is not None:
        levels = sample if sample.panel is None else changes_of(sample, sample.panel)
        rows = np.unique(np.linspace(0, len(sample) - 1, min(len(sample), _DRAWN)).astype(int))
        ax.scatter(
            levels.prediction[rows], levels.truth[rows], s=4, color="#999999", alpha=0.35, label="places"
        )
    ax.plot(grid, grid, color="#444444", linestyle="--", linewidth=1, label="as it is")
    for name, colour in COLOURS.items():
        if name not in corrector.kinds:
            continue
        believed = corrector.method == name
        label = f"{name}, believed" if believed else name
        ax.plot(
            grid,
            corrector.correct(grid, method=name),
            color=colour,
            linewidth=2 if believed else 1,
            label=label,
        )
    for edge in (low, high):
        ax.axvline(edge, color="#bbbbbb", linewidth=0.8, linestyle=":")
    what = "as the map gives it" if corrector.level == "levels" else "without unit and period effects"
    ax.set_xlabel(f"{corrector.prediction} {what}; dotted: what the calibration saw")
    ax.set_ylabel(f"{corrector.truth}, measured or corrected")
    counted = "places" if corrector.level == "levels" else "places and rounds"
    ax.set_title(f"k {corrector.k:.2f}, R2 {corrector.r2:.2f}, {corrector.n} {counted}", fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    return ax
