"""The figure of the report on chips: where pictures were lost, how much by arm, and which days and sensors show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._figures import new_figure
from eocausal.imagery.batches import STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

SENSOR = "sensor "
# Colours that readers who do not tell red from green can tell apart; the arms' are those of reports.
_COLOURS = dict(
    zip(STATUSES, ("#3d8b7d", "#d9a441", "#1d2430", "#8c4b7e", "#7fa8c9", "#9aa1ab"), strict=True)
)
_ARM_COLOURS = {"control": "#1f4e79", "treated": "#c55a11", "all": "#5b6472"}
_CLASSES = ("0", "1\N{EN DASH}24", "25\N{EN DASH}49", "50\N{EN DASH}74", "75\N{EN DASH}99", "100")
_STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
_BINS = 24
# So many characters of a sensor's name, and so many sensors, can be read below an axis.
_NAME, _SENSORS = 14, 6


def draw(units: pd.DataFrame, block: str) -> Figure:
    """Draw the panels that the rows of one block, one per unit, have something to show in."""
    import matplotlib as mpl

    panels = [_draw_shares]
    if "longitude" in units:
        panels.insert(0, _draw_map)
    if len(units["last_date"].dropna().unique()) > 1:
        panels.append(_draw_days)
    if len(_sensors(units)) > 1:
        panels.append(_draw_sensors)
    across = min(len(panels), 2)
    down = -(-len(panels) // 2)
    with mpl.rc_context(_STYLE):
        figure = new_figure(4.8 if across == 1 else 9.6, 4.0 * down)
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax, panel in zip(axes, panels):
            panel(ax, units)
        for ax in axes[len(panels) :]:
            ax.remove()
        axes[0].set_title(f"{len(units):,} units, chips of {block}", loc="left")
    return figure


def _draw_map(ax: Axes, units: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    # what went wrong is drawn over what went well
    for status in STATUSES:
        some = units[units["status"] == status]
        if len(some):
            ax.scatter(
                some["longitude"], some["latitude"], s=14, color=_COLOURS[status], linewidths=0,
                label=f"{status} ({len(some):,})",
            )  # fmt: skip
    middle = float(np.clip(units["latitude"].median(), -80, 80))
    ax.set_aspect(1 / np.cos(np.radians(middle)), adjustable="datalim")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    ax.set(xlabel="longitude", ylabel="latitude")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, columnspacing=1)


def _draw_shares(ax: Axes, units: pd.DataFrame) -> None:
    groups = _arms(units)
    for number, (arm, some) in enumerate(groups):
        share = some["valid_fraction"].to_numpy()
        # 0 and 1 are classes of their own: nothing valid, all valid
        found = np.digitize(share, [np.nextafter(0, 1), 0.25, 0.5, 0.75, 1.0])
        heights = np.bincount(found, minlength=len(_CLASSES)) / len(share)
        label = f"{arm} ({len(share):,} units, mean {share.mean():.0%})"
        _bars(ax, 100 * heights, arm, number, len(groups), label)
    ax.set_xticks(range(len(_CLASSES)), _CLASSES)
    ax.set(xlabel="valid pixels of the chip, %", ylabel="units of the arm, %", ylim=(0, 100))
    _legend(ax)


def _draw_days(ax: Axes, units: pd.DataFrame) -> None:
    """Draw the days of the last scene as shares of the arm's dated units, one histogram over the other."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    days = pd.to_datetime(units["last_date"])
    first, last = (float(_numbers(end.to_datetime64())) for end in (days.min(), days.max()))
    edges = np.linspace(first, last + 1, _BINS + 1)
    for arm, some in _arms(units):
        found = days[some.index].dropna()
        if not len(found):
            continue
        numbers = _numbers(found.to_numpy())
        counts = np.histogram(numbers, bins=edges)[0]
        middle = np.datetime64(round(float(numbers.mean())), "D")
        label = f"{arm} ({len(found):,} units, mean {middle})"
        heights = 100 * counts / len(found)
        colour = _ARM_COLOURS[arm]
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
        ax.stairs(heights, edges, color=colour, linewidth=1.2, label=label)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    ax.xaxis_date()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=True))
    ax.set(xlabel="day of the last scene", ylabel="units of the arm, %")
    ax.set_ylim(bottom=0)
    _legend(ax)


def _draw_sensors(ax: Axes, units: pd.DataFrame) -> None:
    names = _sensors(units)
    means = units[[SENSOR + name for name in names]].mean().to_numpy()
    # of many sensors, those that took the most
    names = [names[place] for place in sorted(np.argsort(-means, kind="stable")[:_SENSORS])]
    groups = _arms(units)
    for number, (arm, some) in enumerate(groups):
        shares = some[[SENSOR + name for name in names]].mean().fillna(0).to_numpy()
        _bars(ax, 100 * shares, arm, number, len(groups), arm)
    ax.set_xticks(range(len(names)), [_short(name) for name in names])
    ax.set(xlabel="sensor", ylabel="share of a unit's scenes, mean, %", ylim=(0, 100))
    # bars of two sensors are no wider than those of three
    middle, reach = (len(names) - 1) / 2, max(len(names), 3) / 2
    ax.set_xlim(middle - reach, middle + reach)
    _legend(ax)


def _bars(ax: Axes, heights: npt.NDArray[Any], arm: str, number: int, groups: int, label: str) -> None:
    width = 0.8 / groups
    places = np.arange(len(heights)) + (number - (groups - 1) / 2) * width
    ax.bar(places, heights, width, color=_ARM_COLOURS[arm], label=label)


def _legend(ax: Axes) -> None:
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _arms(units: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(arm), some) for arm, some in units.groupby("arm", sort=True)]


def _sensors(units: pd.DataFrame) -> list[str]:
    return [str(name).removeprefix(SENSOR) for name in units.columns if str(name).startswith(SENSOR)]


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _numbers(days: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return days as matplotlib counts them."""
    from matplotlib.dates import date2num

    numbers: npt.NDArray[np.float64] = np.asarray(date2num(days))
    return numbers
