"""Bounds of an effect against the factor by which odds of treatment may be off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

COLOURS = {"zsb": "#c46a2b", "sharp": "#2f6690", "dvds": "#2f6690"}
LABELS = {"zsb": "Zhao-Small-Bhattacharya", "sharp": "sharp", "dvds": "sharp, doubly robust"}
ZERO = "#a4161a"
# Benchmarks that are drawn, from the first on; and by how much they may widen the figure.
SHOWN = 5
WIDER = 1.6
TICKS = (1, 1.25, 1.5, 2, 3, 5, 8, 12, 20, 50, 100)


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw bounds with their intervals, zero, where they reach it, and what benchmarks do to the odds."""
    shifts = found.curves["benchmarks"].head(SHOWN)
    rows = len(shifts)
    if rows:
        strip, ax = figure.subplots(2, 1, sharex=True, height_ratios=[0.35 + 0.35 * rows, 7])
    else:
        strip, ax = None, figure.subplots()
    curve = found.curves["bounds"]
    furthest = float(curve["lambda"].max())
    _bounds(ax, found)
    _breakdown(ax, found)
    ax.set_xscale("log")
    if strip is not None:
        furthest = max(furthest, _benchmarks(strip, found, most=WIDER * furthest))
    ax.set_xlim(1, 1.06 * furthest)
    ticks = [one for one in TICKS if one <= 1.06 * furthest]
    ax.set_xticks(ticks, [f"{one:g}" for one in ticks])
    ax.minorticks_off()
    ax.set_xlabel("factor Λ by which odds of treatment may be off, either way")
    ax.set_ylabel(f"effect on {found.subject.outcome}")


def _bounds(ax: Axes, found: Sensitivity) -> None:
    """Draw bounds as lines, and what sampling error adds to them shaded."""
    level = 100 * float(found.diagnostics["level"])
    for method, part in found.curves["bounds"].groupby("bounds", sort=False):
        colour, at = COLOURS[str(method)], part["lambda"]
        for end, limit in (("low", "conf_low"), ("high", "conf_high")):
            ax.fill_between(at, part[limit], part[end], color=colour, alpha=0.2, linewidth=0)
            ax.plot(at, part[end], color=colour, label=LABELS[str(method)] if end == "low" else None)
    ax.axhline(0, color="0.3", linewidth=0.9)
    ax.plot([1], [found.subject.estimate], marker="o", color="black", markersize=6, clip_on=False, zorder=5)
    ax.legend(frameon=False, fontsize=8, loc="best", title=f"shaded: {level:g}% intervals", title_fontsize=8)


def _breakdown(ax: Axes, found: Sensitivity) -> None:
    """Mark from where on bound and interval reach zero."""
    for name, text, above in (("breakdown", "bound", True), ("breakdown_interval", "interval", False)):
        at = found.numbers[name]
        if np.isnan(at) or at == 1:
            continue
        ax.plot([at], [0], marker="D" if above else "o", color=ZERO, markersize=6, zorder=6)
        offset = (-3, 6) if above else (-3, -13)
        ax.annotate(
            f"{text}: {at:.2f}", (at, 0), xytext=offset, textcoords="offset points", fontsize=8, color=ZERO,
            ha="right",
        )  # fmt: skip


def _benchmarks(ax: Axes, found: Sensitivity, *, most: float) -> float:
    """Draw by what factor leaving out benchmarks moves odds, from half of the units to all; return the furthest."""
    furthest = 1.0
    names = []
    for place, row in enumerate(found.curves["benchmarks"].head(SHOWN).to_dict("records")):
        names.append(f"without {row['in_words']}")
        right = min(row["largest"], most)
        ax.plot([1, right], [place, place], color="0.6", linewidth=1)
        ax.plot([right], [place], marker=">" if row["largest"] > most else "|", color="0.2", markersize=8)
        if row["percentile_95"] <= most:
            ax.plot([row["percentile_95"]], [place], marker="o", color="0.2", markersize=4)
        furthest = max(furthest, right)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="both", length=0, labelbottom=False)
    ax.set_title("odds move by: dot 95% of units, bar all", fontsize=8, loc="right", pad=3)
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)
    return furthest
