"""The figure of hidden bias: p-values, and estimates with their limits, by gamma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

INK, BAND, QUIET, MARK = "#1f4e79", "#9bbad6", "#777777", "#b5442c"
LOWEST_P = 1e-4
P_TICKS = (1.0, 0.1, 0.01, 0.001, LOWEST_P)
# Benchmarks that find room.
SHOWN = 3


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw the bounds of the p-value and, where there are some, of estimate and interval against gamma."""
    whole = "estimate_low" in found.frame
    axes = figure.subplots(1, 2 if whole else 1, squeeze=False)[0]
    _p_values(axes[0], found)
    if whole:
        _estimates(axes[1], found)
    figure.supxlabel(
        f"largest odds ratio of treatment within {found.diagnostics['sets']} (gamma)", fontsize=10
    )
    for ax in axes:
        ax.set_xscale("log")
        _gamma_ticks(ax)
        ax.spines[["top", "right"]].set_visible(False)


def _p_values(ax: Axes, found: Sensitivity) -> None:
    curve = found.curves["p_values"]
    alpha = 1 - float(found.diagnostics["level"])
    gammas = curve["gamma"]
    upper, lower = (curve[one].clip(lower=np.finfo(float).tiny) for one in ("p_upper", "p_lower"))
    ax.fill_between(gammas, lower, upper, color=BAND, alpha=0.5, linewidth=0)
    ax.plot(gammas, upper, color=INK)
    ax.axhline(alpha, color=QUIET, linewidth=0.8, linestyle="--")
    ax.annotate(
        f"{alpha:.2g}",
        (0.02, alpha),
        xycoords=("axes fraction", "data"),
        va="bottom",
        color=QUIET,
        fontsize=8,
    )
    gamma = found.numbers["gamma"]
    if 1 < gamma < np.inf:
        ax.plot([gamma], [alpha], "o", color=INK)
        ax.annotate(f" {gamma:.2f}", (gamma, alpha), va="top", ha="left", color=INK)
    _benchmarks(ax, found)
    ax.set_yscale("log")
    ax.set_ylim(LOWEST_P, 1.5)
    # powers of ten are formulas, which a page shows as they are typed
    ax.set_yticks(P_TICKS, [f"{one:g}" for one in P_TICKS])
    ax.set_xlim(1, float(gammas.max()))
    ax.set_ylabel("one-sided p-value of no effect")
    ax.set_title("p-values that are possible", fontsize=10)


def _benchmarks(ax: Axes, found: Sensitivity) -> None:
    """Mark by how much seen columns would have made odds differ, had they been unseen, in 95% of the sets."""
    table = found.curves["benchmarks"].nlargest(SHOWN, "percentile_95")
    last = float(found.curves["p_values"]["gamma"].max())
    for name, place in zip(table["in_words"], table["percentile_95"].to_numpy()):
        if place > last:
            continue
        ax.axvline(place, color=MARK, linewidth=0.9, linestyle=":")
        ax.annotate(
            str(name), (place, 0.02), xycoords=("data", "axes fraction"), rotation=90, va="bottom", ha="right",
            fontsize=8, color=MARK,
        )  # fmt: skip


def _estimates(ax: Axes, found: Sensitivity) -> None:
    frame = found.frame
    limits = frame[["conf_low", "conf_high"]].to_numpy()
    finite = limits[np.isfinite(limits)]
    bounds = frame[["estimate_low", "estimate_high"]].to_numpy()
    shown = np.concatenate([finite, bounds[np.isfinite(bounds)], [0.0]])
    room = 0.05 * max(float(np.ptp(shown)), 1e-12)
    low, high = float(shown.min()) - room, float(shown.max()) + room
    ax.fill_between(
        frame["gamma"], limits[:, 0].clip(low, high), limits[:, 1].clip(low, high), color=BAND, alpha=0.4,
        linewidth=0, label=f"{float(found.diagnostics['level']):.0%} interval",
    )  # fmt: skip
    ax.vlines(
        frame["gamma"], bounds[:, 0].clip(low, high), bounds[:, 1].clip(low, high), color=INK, linewidth=2
    )
    ax.plot(frame["gamma"], bounds.clip(low, high), "o", color=INK, markersize=3.5)
    ax.plot([], [], color=INK, linewidth=2, label="estimates")
    ax.axhline(0, color=QUIET, linewidth=0.8)
    ax.set_ylim(low, high)
    ax.set_xlim(0.97, 1.03 * float(frame["gamma"].max()))
    ax.set_ylabel(f"effect on {found.subject.outcome}")
    ax.set_title("Estimates that are possible", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="best")


def _gamma_ticks(ax: Any) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    low, high = ax.get_xlim()
    usual = [1, 1.25, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100]
    ticks = [one for one in usual if low <= one <= high]
    ax.set_xticks(ticks, [f"{one:g}" for one in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
