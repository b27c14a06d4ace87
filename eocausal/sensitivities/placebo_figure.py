"""The figure of placebos: each beside the estimate, and draws as distributions with the estimate as a line."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from eocausal.sensitivities.placebo_parts import BIASED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

_ESTIMATE, _PLACEBO, _ALARM, _QUIET = "#1f4e79", "#6b6b6b", "#b5651d", "#b9c4d0"
# Tests whose draws are shown as a distribution.
_DRAWN = ("permuted_images", "shifted_treatment")
_TITLES = {
    "permuted_images": "images dealt anew among units",
    "shifted_treatment": "treatment moved over the map",
}
_BINS = 24


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw placebos with intervals, and below them a panel for each kind of draws."""
    rows = found.frame[~found.frame["test"].isin(_DRAWN)]
    shown = [name for name in _DRAWN if name in found.curves]
    heights = [0.9 + 0.36 * len(rows)] * bool(len(rows)) + [2.4] * len(shown)
    figure.set_size_inches(figure.get_figwidth(), sum(heights))
    axes = np.ravel(figure.subplots(len(heights), 1, height_ratios=heights))
    if len(rows):
        draw_placebos(axes[0], rows, found)
    for ax, name in zip(axes[bool(len(rows)) :], shown):
        draw_draws(ax, name, found)


def draw_placebos(ax: Axes, rows: pd.DataFrame, found: Sensitivity) -> None:
    """Draw the estimate and placebos whose true value is zero; placebo outcomes in sizes of the outcome's SD."""
    scale = _scales(rows, found)
    subject = found.subject
    heights = np.arange(len(rows) + 1)[::-1]
    ax.axvline(0, color="0.6", linewidth=0.8)
    low, high = subject.conf_low, subject.conf_high
    ax.hlines(heights[0], low, high, color=_ESTIMATE, linewidth=2)
    ax.plot(subject.estimate, heights[0], "o", color=_ESTIMATE)
    for height, one, row in zip(heights[1:], scale, rows.to_dict("records")):
        colour = _ALARM if row["verdict"] == BIASED else _PLACEBO
        ax.hlines(height, row["conf_low"] / one, row["conf_high"] / one, color=colour, linewidth=1.6)
        ax.plot(row["estimate"] / one, height, "o", color=colour, markerfacecolor="white")
    labels = ["the estimate", *(textwrap.fill(str(what), 28) for what in rows["what"])]
    ax.set_yticks(heights, labels=labels, fontsize=8)
    ax.set_ylim(-0.7, len(rows) + 0.7)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    several = any(one != 1 for one in scale)
    ax.set_xlabel("effect" + ("; placebo outcomes on its scale, by their SDs" if several else ""), fontsize=9)


def draw_draws(ax: Axes, name: str, found: Sensitivity) -> None:
    """Draw the estimates of all draws, with the estimate and what it is held to as lines."""
    values = found.curves[name]["estimate"].to_numpy(dtype=float)
    estimate = found.subject.estimate
    lines = [estimate, found.numbers["without_images"]] if name == "permuted_images" else [estimate, 0.0]
    ends = (min(values.min(), *lines), max(values.max(), *lines))
    ax.hist(values, bins=np.linspace(*ends, _BINS + 1).tolist() if ends[0] < ends[1] else 3, color=_QUIET)
    ax.axvline(estimate, color=_ESTIMATE, linewidth=2, label="the estimate")
    if name == "permuted_images":
        plain = found.numbers["without_images"]
        ax.axvline(plain, color=_ALARM, linewidth=1.6, linestyle="--", label="without images")
    else:
        ax.axvline(0, color="0.6", linewidth=0.8)
    title = _TITLES[name]
    if name == "shifted_treatment":
        title += f" (p = {found.numbers['shifted_p_value']:.2g} by |t|)"
    ax.set_title(title, fontsize=9, loc="left")
    ax.set_xlabel("estimate", fontsize=9)
    ax.set_ylabel("draws", fontsize=9)
    ax.locator_params(axis="y", integer=True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)


def _scales(rows: pd.DataFrame, found: Sensitivity) -> list[float]:
    """Return by what each placebo is divided to be in units of the outcome: SDs of placebo outcomes differ."""
    sds = {}
    if "outcomes" in found.curves:
        table = found.curves["outcomes"]
        sds = dict(zip(table["outcome"], table["sd"] / found.numbers["outcome_sd"]))
    return [
        float(sds.get(what, 1.0)) if test == "outcomes" else 1.0
        for test, what in zip(rows["test"], rows["what"])
    ]
