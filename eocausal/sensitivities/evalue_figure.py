"""The figure of ``kind="evalue"``: which pairs of risk ratios would be enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.sensitivities.association_ratios import enough_with

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

LINE, POINT, GREY = "#2c5f8a", "#b5432a", "#555555"
POINTS = 400


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw the curve of pairs that explain the estimate away, that for its limit, and benchmarks below them."""
    ax = figure.subplots()
    frame = found.frame
    most = 2.5 * max(float(frame["e_value"].where(np.isfinite(frame["e_value"])).max()), 1.5)
    _curve(ax, frame.iloc[0], most, color=LINE, label="explains the estimate away")
    if frame.iloc[1]["factor"] > 1:
        _curve(ax, frame.iloc[1], most, color=LINE, label="moves the interval to the null", style="--")
    for place, (_, row) in enumerate(frame.iloc[2:].iterrows()):
        _curve(
            ax, row, most, color=POINT, label=f"as leaving out {row['what'].removeprefix('without ')}",
            style=(":", "-.", "--", "-")[place % 4],
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(1, most)
    ax.set_ylim(1, most)
    for axis in (ax.xaxis, ax.yaxis):
        _plain_ticks(axis, most)
    ax.set_xlabel("risk ratio of confounder and treatment")
    ax.set_ylabel("risk ratio of confounder and outcome")
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _curve(ax: Axes, row: pd.Series, most: float, *, color: str, label: str, style: str = "-") -> None:
    factor, joint = float(row["factor"]), float(row["e_value"])
    if not np.isfinite(joint) or factor <= 1:
        ax.plot([], [], style, color=color, label=f"{label}: {joint:.3g}")
        return
    across = np.geomspace(factor * 1.0005, most * 1.2, POINTS)
    ax.plot(
        across, enough_with(across, factor), style, color=color, linewidth=1.5, label=f"{label}: {joint:.3g}"
    )
    ax.plot(joint, joint, "o", color=color, markersize=5)


def _plain_ticks(axis: Axis, most: float) -> None:
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    ticks = [one for one in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if one <= most]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
