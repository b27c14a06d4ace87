"""The figure of a specification curve: ordered estimates above, what was chosen in each below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity

DARK, GREY, LIGHT = "#2f4858", "#8a93a0", "#e6e9ee"
ABOVE = 2.8  # inches of the panel of estimates
ROW = 0.19  # inches of a row of dots
MANY = 60  # from so many specifications on markers shrink
NAME = 26  # letters of a way that are shown


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw estimates with 95% intervals in order, and a dot for each way that a specification takes."""
    frame, shares = found.frame, found.curves["shares"]
    names = [str(name) for name in frame.columns[: list(frame.columns).index("estimate")]]
    rows = _rows(frame, names)
    order = np.argsort(frame["estimate"].to_numpy(), kind="stable")
    ordered = frame.iloc[order].reset_index(drop=True)
    low = max(1.2, ROW * len(rows) + 0.5)
    figure.set_size_inches(figure.get_size_inches()[0], ABOVE + low)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[ABOVE, low])
    size = 5.0 * min(1.0, np.sqrt(MANY / len(frame)))
    _estimates(top, ordered, found, main=int(np.flatnonzero(order == 0)[0]), size=size)
    _choices(below, ordered, rows, shares, size=size)


def _rows(frame: pd.DataFrame, names: list[str]) -> list[tuple[str, object]]:
    """Return the ways of each choice that differs between specifications, in the order of the grid."""
    found: list[tuple[str, object]] = []
    for name in names:
        ways = list(dict.fromkeys(frame[name].tolist()))
        found += [(name, way) for way in ways] if len(ways) > 1 else []
    return found


def _estimates(ax: Axes, ordered: pd.DataFrame, found: Sensitivity, *, main: int, size: float) -> None:
    at = np.arange(len(ordered))
    values, significant = ordered["estimate"].to_numpy(), ordered["significant"].to_numpy()
    if "under_null" in found.curves:
        band = found.curves["under_null"]
        ax.fill_between(
            at, band["low"], band["high"], color=LIGHT, linewidth=0, label="no effect: 95% of curves, by rank"
        )
    ax.axhline(0.0, color=GREY, linewidth=0.9)
    ends = ordered[["conf_low", "conf_high"]].replace([-np.inf, np.inf], np.nan).to_numpy()
    for chosen, color, said in (
        (significant, DARK, "differs from zero at 5%"),
        (~significant, GREY, "no different from zero at 5%"),
    ):
        if chosen.any():
            ax.vlines(at[chosen], ends[chosen, 0], ends[chosen, 1], color=color, linewidth=1.2)
            ax.plot(at[chosen], values[chosen], "o", color=color, markersize=size, label=said)
    ax.plot(
        [main], [values[main]], "D", markerfacecolor="white", markeredgecolor="#b5482a", markersize=size + 2,
        label="the first specification",
    )  # fmt: skip
    ax.set_ylabel("estimate, 95% interval")
    ax.legend(fontsize=7, frameon=False, loc="upper left")
    top, bottom = ax.get_ylim()[1], ax.get_ylim()[0]
    # room for the legend over the lowest estimates
    ax.set_ylim(bottom, top + 0.18 * (top - bottom))
    ax.tick_params(bottom=False)


def _choices(
    ax: Axes, ordered: pd.DataFrame, rows: list[tuple[str, object]], shares: pd.DataFrame, *, size: float
) -> None:
    at = np.arange(len(ordered))
    explained = dict(zip(shares["choice"], shares["share"]))
    labels, before = [], None
    for place, (name, way) in enumerate(rows):
        taken = (ordered[name] == way).to_numpy()
        ax.plot(at, np.full(at.size, place), "o", color=LIGHT, markersize=size * 0.7)
        ax.plot(at[taken], np.full(int(taken.sum()), place), "o", color=DARK, markersize=size * 0.9)
        labels.append(_label(name, str(way), explained.get(name, np.nan), heads=name != before))
        if before not in (None, name):
            ax.axhline(place - 0.5, color=GREY, linewidth=0.5)
        before = name
    ax.set_yticks(range(len(rows)), labels=labels, fontsize=7)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(labelbottom=False)
    ax.set_xlabel(f"{len(ordered)} specifications, in the order of their estimates")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(left=False, bottom=False)


def _label(name: str, way: str, share: float, *, heads: bool) -> str:
    """Return the label of a row; the first of a choice names it, and how much of the spread goes with it."""
    short = way if len(way) <= NAME else f"{way[: NAME - 1]}…"
    if not heads:
        return short
    much = "" if np.isnan(share) else f" ({100 * share:.0f}%)"
    return f"{name}{much}:  {short}"
