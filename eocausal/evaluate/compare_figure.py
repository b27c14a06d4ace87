"""The figure of a comparison of sources: rates, and differences to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.evaluate.compare_result import SourceComparison

COLOUR, SPLITS = "#1f4e79", "#b5651d"


def draw_comparison(figure: Figure, found: SourceComparison) -> None:
    """Draw rates with intervals that hold for all sources at once, and differences likewise."""
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.1, 1])
    names = list(found.columns)
    height = np.arange(len(names))[::-1]
    rates = found.rate.simultaneous(targets=[found.target]).set_index("term").loc[names]
    _intervals(left, height, rates["estimate"], rates["conf_low"], rates["conf_high"])
    own = found.splits[found.splits["estimand"] == found.target]
    if own["seed"].nunique() > 1:
        for place, name in zip(height, names):
            each = own.loc[own["source"] == name, "estimate"]
            left.plot(each, np.full(len(each), place - 0.22), "|", color=SPLITS, alpha=0.7, markersize=7)
    left.set_yticks(height, labels=names)
    left.set_xlabel(f"{found.target}, 95% intervals for all at once")
    table = found.to_frame()
    known = table["difference"].notna().to_numpy()
    compared = table[known]
    _intervals(
        right, height[known], compared["difference"], compared["difference_low"], compared["difference_high"]
    )
    right.plot(
        0, height[names.index(found.reference)], "D", color="white", markeredgecolor=COLOUR, markersize=6
    )
    right.set_xlabel(f"difference to {found.reference}, likewise")
    left.set_ylim(-0.6, len(names) - 0.5)


def _intervals(ax: Axes, height: Any, values: Any, low: Any, high: Any) -> None:
    ax.axvline(0, color="0.5", linewidth=0.9)
    ax.hlines(height, low, high, color=COLOUR, linewidth=2)
    ax.plot(values, height, "o", color=COLOUR, markersize=6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
