"""The figure of ``kind="oster"``: every effect that a delta allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.sensitivities.oster import EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

LINE, POINT, GREY, PALE = "#2c5f8a", "#b5432a", "#555555", "#cccccc"


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw effect against delta, in one piece for each stretch without a gap, and what was asked about."""
    ax = figure.subplots()
    numbers, branches = found.numbers, found.curves["branches"]
    shown = [numbers["delta"], numbers["delta_star"], 0.0, 1.0]
    low, high = (pick([one for one in shown if np.isfinite(one)]) for pick in (min, max))
    edge = 0.35 * max(high - low, 1.0)
    low, high = low - edge, high + edge
    for _, piece in branches.groupby("piece"):
        inside = piece["delta"].where(piece["delta"].between(low - 5 * edge, high + 5 * edge))
        ax.plot(inside, piece["effect"], color=LINE, linewidth=1.8)
    _references(ax, numbers)
    _roots(ax, found)
    ax.set_xlim(low, high)
    ax.set_ylim(branches["effect"].min(), branches["effect"].max())
    ax.set_xlabel("delta: selection on the unseen, as a multiple of that on the controls")
    ax.set_ylabel("effect")
    ax.legend(frameon=False, fontsize=8, loc="best")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _references(ax: Axes, numbers: Mapping[str, float]) -> None:
    ax.axhline(numbers["estimate"], color=GREY, linewidth=1, label=f"estimate {numbers['estimate']:.3g}")
    ax.axhline(
        numbers["short"], color=GREY, linewidth=1, linestyle=":",
        label=f"without the controls {numbers['short']:.3g}",
    )  # fmt: skip
    ax.axhline(numbers["beta"], color=PALE, linewidth=1)
    ax.axvline(numbers["delta"], color=PALE, linewidth=1, zorder=0)
    if np.isfinite(numbers["delta_star"]):
        ax.plot(
            numbers["delta_star"], numbers["beta"], "s", color=LINE, markersize=6,
            label=f"effect {numbers['beta']:.3g} at delta {numbers['delta_star']:.3g}",
        )  # fmt: skip


def _roots(ax: Axes, found: Sensitivity) -> None:
    """Draw all roots at the delta that was asked about: filled the usual one, crossed out what is no solution."""
    numbers = found.numbers
    first = found.frame[found.frame["compared_with"] == found.frame["compared_with"].iloc[0]]
    for _, row in first[(first["quantity"] == "effect")].iterrows():
        usual = row["value"] == numbers["beta_star"]
        if row["note"] == EMPTY:
            ax.plot(numbers["delta"], row["value"], "x", color=GREY, markersize=7, label="no solution")
            continue
        if np.isfinite(row["conf_low"]):
            ax.vlines(numbers["delta"], row["conf_low"], row["conf_high"], color=POINT, linewidth=1)
        ax.plot(
            numbers["delta"], row["value"], "o", color=POINT, markersize=7, zorder=3,
            markerfacecolor=POINT if usual else "white",
            label=f"delta {numbers['delta']:.3g}: {row['value']:.3g}" + (" (usual rule)" if usual else ""),
        )  # fmt: skip
