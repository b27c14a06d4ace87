"""How a rate moves with how units are dealt into folds: a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.inference.estimate import Estimate


def splits_frame(joint: Estimate) -> pd.DataFrame:
    """Return one row for each deal and term: ``seed estimand term estimate std_error ratio p_value``."""
    if joint.repeats is None:
        return pd.DataFrame(columns=["seed", "estimand", "term", "estimate", "std_error", "ratio", "p_value"])
    frame = joint.repeats.to_frame()
    split = frame.pop("term").str.split(": ", n=1, expand=True)
    frame.insert(1, "estimand", split[0])
    frame.insert(2, "term", split[1])
    value, error = frame["estimate"].to_numpy(), frame["std_error"].to_numpy()
    frame["ratio"] = np.divide(value, error, out=np.zeros_like(value), where=error > 0)
    frame["p_value"] = 2 * stats.t.sf(np.abs(frame["ratio"]), joint.variance.df)
    return frame


def splits_figure(frame: pd.DataFrame, term: str, *, ax: Axes | None = None) -> Axes:
    """Draw the ratio of each deal as a point, one row a target, with their mean, and return the Axes."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
    targets = list(dict.fromkeys(frame["estimand"]))
    colours = ("#1f4e79", "#c55a11")
    ax.axvspan(-1.96, 1.96, color="0.93", linewidth=0)
    ax.axvline(0, color="0.5", linewidth=0.8)
    labels = []
    for row, target in enumerate(reversed(targets)):
        ratio = frame.loc[(frame["estimand"] == target) & (frame["term"] == term), "ratio"].to_numpy()
        colour = colours[row % len(colours)]
        # points one above the other where they would hide each other, in the order of the deals
        offset = 0.3 * ((np.arange(ratio.size) * 0.618) % 1 - 0.5)
        ax.plot(ratio, row + offset, "o", color=colour, alpha=0.7, markersize=5)
        ax.plot([ratio.mean()] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2)
        labels.append(f"{target}\nmean {ratio.mean():.2f}, SD {ratio.std(ddof=1):.2f}")
    ax.set_yticks(range(len(labels)), labels=labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.set_xlabel("RATE ratio of each deal of the units (grey: within 1.96)")
    return ax
