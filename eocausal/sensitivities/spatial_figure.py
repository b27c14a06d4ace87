"""Four panels: likeness by distance, standard errors by cutoff, buffers, rings. Drawn from the tables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.sensitivities.spatial_sentence import p_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from eocausal.sensitivities.result import Sensitivity

BLUE, GREY, RED = "#1f4e79", "#7f7f7f", "#b03a2e"


def draw(figure: Figure | SubFigure, found: Sensitivity) -> None:
    """Draw what was run, each test in a panel of its own."""
    panels = _panels(found)
    columns = 1 if len(panels) == 1 else 2
    rows = (len(panels) + 1) // 2
    for place, panel in enumerate(panels):
        panel(figure.add_subplot(rows, columns, place + 1), found)


def _panels(found: Sensitivity) -> list[Callable[[Axes, Sensitivity], None]]:
    drawn: list[Callable[[Axes, Sensitivity], None]] = []
    if "correlogram" in found.curves:
        drawn += [_likeness, _errors]
    elif (found.frame["test"] == "moran").any():
        drawn.append(_moran)
    if "buffers" in found.curves:
        drawn.append(_buffers)
    if "rings" in found.curves:
        drawn.append(_rings)
    return drawn


def _likeness(ax: Axes, found: Sensitivity) -> None:
    """Draw the correlogram with the band of unrelated values, and Moran's I in the title."""
    curve, reach = found.curves["correlogram"], found.numbers["reach_km"]
    middle = curve[["from_km", "to_km"]].mean(axis=1)
    ax.fill_between(
        middle, -1.96 * curve["std_error"], 1.96 * curve["std_error"], color=GREY, alpha=0.2, linewidth=0
    )
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.plot(middle, curve["correlation"], "o-", color=BLUE, markersize=4)
    if np.isfinite(reach) and reach > 0:
        ax.axvline(reach, color=RED, linestyle=":", linewidth=1.2)
        ax.annotate(
            f"first 0 at {reach:.3g} km", (reach, 1), xycoords=("data", "axes fraction"), xytext=(4, -4),
            textcoords="offset points", va="top", fontsize=8, color=RED,
        )  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_xlabel("distance between units (km)")
    ax.set_ylabel("correlation of influence values")
    numbers = found.numbers
    told = "Are neighbours alike?"
    if "moran_influence" in numbers:
        # the sentence goes by clusters where there are any, and these pairs are of units
        of = " of units" if "moran_clusters" in numbers else ""
        told += (
            f" Moran's I{of} {numbers['moran_influence']:.2f} ({p_in_words(numbers['moran_influence_p'])})"
        )
    _title(ax, told)


def _errors(ax: Axes, found: Sensitivity) -> None:
    curve, numbers = found.curves["conley"], found.numbers
    ax.plot(curve["cutoff_km"], curve["std_error"], "o-", color=BLUE, markersize=4, label="Conley")
    ax.axhline(numbers["std_error"], color=GREY, linestyle="--", linewidth=1, label=found.subject.vcov)
    if "conley_cutoff_km" in numbers:
        at = (numbers["conley_cutoff_km"], numbers["conley_std_error"])
        ax.plot(*at, "o", color=RED, markersize=7, markerfacecolor="none", label="cutoff in the text")
    few = curve.loc[curve["places"] < 30, "cutoff_km"]
    if len(few):
        ax.axvspan(
            float(few.iloc[0]), float(curve["cutoff_km"].iloc[-1]), color=GREY, alpha=0.12, linewidth=0
        )
    _from_zero(ax)
    ax.set_xlabel("cutoff (km)" + (", grey: fewer than 30 separate places" if len(few) else ""))
    ax.set_ylabel("standard error")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    _title(ax, "How far may units vary together?")


def _moran(ax: Axes, found: Sensitivity) -> None:
    rows = found.frame[found.frame["test"] == "moran"]
    height = np.arange(len(rows))[::-1]
    ax.errorbar(
        rows["expected"], height, xerr=1.96 * rows["std_error"], fmt="|", color=GREY, label="by chance"
    )
    ax.plot(rows["estimate"], height, "o", color=BLUE, label="found")
    ax.set_yticks(height, [str(one).removeprefix("Moran's I of ") for one in rows["what"]])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel("Moran's I")
    ax.legend(frameon=False, fontsize=8)
    _title(ax, "Are neighbours alike?")


def _buffers(ax: Axes, found: Sensitivity) -> None:
    """Draw the estimate against the buffer, with how many controls each leaves."""
    curve = found.curves["buffers"]
    _whiskers(ax, curve["distance_km"], curve)
    ax.axhline(float(curve["estimate"].iloc[0]), color=GREY, linestyle="--", linewidth=1)
    ax.axhline(0, color=GREY, linewidth=0.8)
    if "n_control" in curve:
        for at, high, count in zip(curve["distance_km"], curve["conf_high"], curve["n_control"]):
            ax.annotate(
                f"{count:.0f}", (at, high), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7,
                color=GREY,
            )  # fmt: skip
    ax.margins(y=0.15)
    ax.set_xlabel("controls left out up to (km); numbers: controls left")
    ax.set_ylabel("estimate")
    _title(ax, f"Without controls near the treated (all equal: {_p(found.numbers['buffers_joint_p'])})")


def _rings(ax: Axes, found: Sensitivity) -> None:
    curve = found.curves["rings"]
    place = np.arange(len(curve)) + 1.0
    _whiskers(ax, place, curve)
    own = found.frame[found.frame["what"] == "own treatment, with rings"]
    _whiskers(ax, [0], own, fmt="s", color=RED)
    ax.axhline(0, color=GREY, linewidth=0.8)
    spans = [f"{low:.3g}-{high:.3g} km" for low, high in zip(curve["from_km"], curve["to_km"])]
    ax.set_xticks([0, *place], ["own\ntreatment", *spans])
    ax.set_xlim(-0.6, len(curve) + 0.6)
    dose = str(curve["ring"].iloc[0]).startswith("mean dose")
    ax.set_ylabel("effect of a mean dose larger by 1" if dose else "effect of all treated, not none")
    _title(ax, f"Treatment of others around (all zero: {_p(found.numbers['rings_joint_p'])})")


def _whiskers(ax: Axes, at: Any, curve: Any, *, fmt: str = "o", color: str = BLUE) -> None:
    low, high = curve["estimate"] - curve["conf_low"], curve["conf_high"] - curve["estimate"]
    ax.errorbar(at, curve["estimate"], yerr=[low, high], fmt=fmt, color=color, capsize=2, markersize=4)


def _from_zero(ax: Axes) -> None:
    ax.set_ylim(bottom=0)
    ax.margins(y=0.1)


def _p(p_value: float) -> str:
    return p_in_words(p_value) if np.isfinite(p_value) else "not known"


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=9, loc="left")
