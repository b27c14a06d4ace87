"""The figure of a search of scales: a map of ratios, and the gains by each reckoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.evaluate.scale_result import ScaleSearch

# Rows of the panel of gains, from the top: arm, reckoning, the column of the splits, colour.
ROWS = (
    ("pairs", "naive", "naive_gain", "#b5651d"),
    ("pairs", "by chance alone", "gain_by_chance", "#8a8a8a"),
    ("pairs", "chosen beforehand", "gain", "#1f4e79"),
    ("control", "naive", "control_naive_gain", "#b5651d"),
    ("control", "chosen beforehand", "control_gain", "#1f4e79"),
)


def draw_search(figure: Figure, found: ScaleSearch) -> None:
    """Draw both panels on an empty figure."""
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    draw_ratios(left, found)
    draw_gains(right, found)


def draw_ratios(ax: Axes, found: ScaleSearch) -> None:
    """Draw the ratio of each single scale, on the diagonal, and of each pair, above it."""
    frame = found.to_frame().query("kind != 'control'")
    names = frame.loc[frame["kind"] == "single", "set"].tolist()
    grid = np.full((len(names), len(names)), np.nan)
    for first, second, ratio in zip(frame["first"], frame["second"], frame["ratio"]):
        grid[names.index(first), names.index(second)] = ratio
    reach = float(np.nanmax(np.abs(grid))) or 1.0
    # colours tell more from less, and are pale enough to read numbers on
    ax.imshow(grid, cmap="RdBu_r", vmin=-1.6 * reach, vmax=1.6 * reach)
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            weight = "bold" if value == np.nanmax(grid) else "normal"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, fontweight=weight)
    ax.set_xticks(range(len(names)), labels=names, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), labels=names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    medians = "" if len(found.splits) == 1 else f"\nmedian of {len(found.splits)} splits"
    ax.set_title(f"{found.target} over its standard error{medians}", fontsize=10)


def draw_gains(ax: Axes, found: ScaleSearch) -> None:
    """Draw the gain by each reckoning: a small point for each split, a large one with its interval for all."""
    table = found.gains()
    gains = dict(zip(zip(table["arm"], table["reckoning"]), table["gain"].to_numpy(dtype=float)))
    rows = [row for row in ROWS if row[2] in found.splits]
    bounds = np.atleast_2d(np.asarray(found.gain.ci()))
    ax.axvline(0, color="0.5", linewidth=0.9)
    for height, (arm, reckoning, column, colour) in zip(range(len(rows))[::-1], rows):
        each = found.splits[column].to_numpy(dtype=float)
        if each.size > 1:
            ax.plot(each, np.full(each.size, height - 0.22), "|", color=colour, alpha=0.6, markersize=7)
        if reckoning == "chosen beforehand":
            low, high = bounds[0 if arm == "pairs" else 1]
            ax.hlines(height, low, high, color=colour, linewidth=2)
        ax.plot(gains[arm, reckoning], height, "o", color=colour, markersize=6.5)
    labels = [f"{arm}: {reckoning}" for arm, reckoning, _, _ in rows]
    ax.set_yticks(range(len(rows))[::-1], labels=labels)
    ax.set_ylim(-0.7, len(rows) - 0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_xlabel("gain, in ratios")
