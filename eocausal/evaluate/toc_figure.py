"""The TOC curve as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from eocausal.evaluate.rate_result import Rate


def toc_figure(rate: Rate, *, ax: Axes | None = None) -> Axes:
    """Draw the curve of each ranking with its pointwise intervals and its uniform band, and return the Axes."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
    table = rate.to_frame()
    several = len(set(rate.toc["priority"])) > 1
    ax.axhline(0, color="0.5", linewidth=0.8)
    for name, curve in rate.toc.groupby("priority", sort=False):
        share = 100 * curve["q"]
        label = legend_text(table, str(name), several=several)
        (line,) = ax.plot(share, curve["estimate"], marker="o", markersize=3, label=label)
        colour = line.get_color()
        ax.fill_between(share, curve["conf_low"], curve["conf_high"], color=colour, alpha=0.2, linewidth=0)
        for edge in ("band_low", "band_high"):
            ax.plot(share, curve[edge], color=colour, linewidth=0.8, linestyle=":")
    ax.set_xlabel("share treated, highest predicted effect first (%)")
    ax.set_ylabel("gain over treating at random")
    ax.set_xlim(0, 100)
    ax.set_title("shaded: 95% at each share; dotted: 95% at all shares at once", fontsize=8, loc="left")
    ax.legend(frameon=False, fontsize=8)
    return ax


def legend_text(table: pd.DataFrame, name: str, *, several: bool) -> str:
    """Return what stands beside a curve: both targets with standard errors and ratios."""
    rows = table[table["term"] == name]
    parts = [
        f"{row.estimand} {row.estimate:.3g} (se {row.std_error:.2g}, ratio {row.statistic:.2f})"
        for row in rows.itertuples()
    ]
    return "\n".join([name, *parts] if several else parts)
