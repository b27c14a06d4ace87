"""The figure of ``kind="breakdown"``: which effects the strength of the unseen, and which deltas, allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

LINE, POINT, GREY, SHADE = "#2c5f8a", "#b5432a", "#555555", "#c9d8e6"


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw the identified set by strength at the left, effect against the size of delta at the right."""
    left, right = figure.subplots(1, 2, sharey=True)
    numbers = found.numbers
    reach = 1.25 * max(numbers["bias_max"], abs(numbers["estimate"] - numbers["beta"]))
    _by_strength(left, found, reach)
    _by_delta(right, found)
    for ax in (left, right):
        ax.axhline(numbers["beta"], color=GREY, linewidth=1)
        ax.axhline(numbers["estimate"], color=LINE, linewidth=1, linestyle="--")
        ax.set_ylim(numbers["estimate"] - reach, numbers["estimate"] + reach)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    left.set_ylabel("effect")


def _by_strength(ax: Axes, found: Sensitivity, reach: float) -> None:
    curve, numbers = found.curves["strengths"], found.numbers
    middle = numbers["estimate"]
    # what has no end is drawn to beyond the edge
    low, high = (
        curve[f"{side}_any"].clip(middle - 2 * reach, middle + 2 * reach) for side in ("low", "high")
    )
    ax.fill_between(curve["strength"], low, high, color=SHADE, linewidth=0, label="any correlation")
    for side in ("low", "high"):
        values = curve[f"{side}_uncorrelated"].clip(middle - 2 * reach, middle + 2 * reach)
        label = "uncorrelated with controls" if side == "low" else None
        ax.plot(curve["strength"], values, color=LINE, linewidth=1.3, label=label)
    ax.plot(
        numbers["strength"], numbers["beta"], "o", color=POINT, zorder=3,
        label=f"in doubt from {numbers['strength']:.3g}",
    )  # fmt: skip
    if np.isfinite(numbers["strength_low"]):
        ax.hlines(numbers["beta"], numbers["strength_low"], numbers["strength_high"], color=POINT)
    ax.set_xlim(0, curve["strength"].max())
    ax.set_xlabel("strength of the unseen, relative to controls")
    ax.legend(frameon=False, fontsize=8, loc="best")


def _by_delta(ax: Axes, found: Sensitivity) -> None:
    curve, numbers = found.curves["branches"], found.numbers
    shown = [abs(numbers[name]) for name in ("delta_exact", "delta_sign", "delta_sign_limited")]
    most = 1.25 * max([1.0, *[one for one in shown if np.isfinite(one)]])
    side = np.sign(numbers["estimate"] - numbers["beta"])
    for _, piece in curve.groupby("piece"):
        other = (piece["effect"] - numbers["beta"]) * side < 0
        size = piece["delta"].abs().where(lambda one: one < 3 * most)
        ax.plot(size, piece["effect"], color=LINE, linewidth=1.3)
        ax.plot(size.where(other), piece["effect"], color=POINT, linewidth=2.2)
    ax.axvline(
        numbers["delta_sign"], color=POINT, linewidth=1, linestyle=":",
        label=f"other sign from {numbers['delta_sign']:.3g}",
    )  # fmt: skip
    if np.isfinite(numbers["delta_exact"]):
        ax.plot(
            abs(numbers["delta_exact"]), numbers["beta"], "s", color=GREY, zorder=3, markersize=6,
            label=f"exactly {numbers['beta']:.3g} at {abs(numbers['delta_exact']):.3g}",
        )  # fmt: skip
    ax.set_xlim(0, most)
    ax.set_xlabel("size of delta")
    ax.legend(frameon=False, fontsize=8, loc="best")
