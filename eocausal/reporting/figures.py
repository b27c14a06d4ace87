"""The charts of the report: one style, no global state, pictures as data addresses.

Charts are vector graphics with their letters drawn as outlines, so that they look the same on every machine and
print sharp. They are shown as images, never as part of the page, so nothing in them can act.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.reporting.tables import MINUS, decimals_for, interval, number
from eocausal.reporting.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.evaluate.assignment_result import Arm

__all__ = [
    "CONTROL",
    "LABEL",
    "TREATED",
    "WIDTH",
    "as_png",
    "as_svg",
    "assignment_figure",
    "data_address",
    "effects_histogram",
    "forest_plot",
    "love_plot",
    "propensity_histogram",
    "short",
    "short_ticks",
    "sweep_figure",
    "tick",
    "toc_plot",
    "wrapped",
]

TREATED, CONTROL = "#c55a11", "#1f4e79"
INK, MUTED, PALE = "#1d2430", "#5b6472", "#d9dde3"
# For curves that are neither arm; distinct for colour-blind readers, in this order.
CURVES = ("#2f4858", "#b8860b", "#3d8b7d", "#8c4b7e")
# Inches; the column of text is a little wider, so letters come out at about the size of the text.
WIDTH = 5.6
# Letters of a name in a label that stands upright.
LABEL = 22
# Rows of a love plot that a page can hold.
MOST_ROWS = 30

_STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "eocausal",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_FONTS = ("Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own settings are, and leave these as they were."""
    import matplotlib as mpl
    from matplotlib import font_manager

    present = set(font_manager.get_font_names())
    # the first font there is, and for the letters it lacks the one that comes with matplotlib
    fonts = [next(name for name in _FONTS if name in present or name == _FONTS[-1]), _FONTS[-1]]
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "font.family": list(dict.fromkeys(fonts))})
        yield


def as_svg(draw: Callable[[Any], object], *, height: float, width: float = WIDTH) -> str:
    """Return a chart as the data address of an SVG."""

    def save(figure: Figure, stream: io.BytesIO) -> None:
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})

    return data_address(_drawn(draw, save, (width, height)), "image/svg+xml")


def as_png(draw: Callable[[Any], object], *, height: float, width: float = WIDTH, dpi: int = 240) -> str:
    """Return a picture with many points as the data address of a PNG, at twice the size it is shown at."""

    def save(figure: Figure, stream: io.BytesIO) -> None:
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})

    return data_address(_drawn(draw, save, (width, height)), "image/png")


def data_address(content: bytes, media_type: str) -> str:
    """Return bytes as an address that a page can hold."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def short(text: object, *, longest: int = 34) -> str:
    """Return text that fits a label: one line, its middle left out when it is long.

    Examples
    --------
    >>> short("embeddings of a very long name, component 12", longest=20)
    'embeddings… component 12'
    """
    line = one_line(str(text))
    if len(line) <= longest + 4:
        return line
    tail = min(14, longest // 2 + 3)
    return f"{line[: longest // 2].rstrip(' ,._-')}…{line[-tail:]}"


def wrapped(text: object, *, width: int = 30) -> str:
    """Return text on at most two lines that fit a label."""
    return textwrap.fill(one_line(str(text)), width=width, max_lines=2, placeholder="…")


def distinct(names: Iterable[object]) -> list[str]:
    """Return labels, made longer as long as some that were cut short look the same."""
    listed = list(names)
    for longest in (34, 46, 58):
        labels = [short(name, longest=longest) for name in listed]
        if len(set(labels)) == len(set(listed)):
            break
    return labels


def tick(value: float, _: object = None) -> str:
    """Return the label of a tick: thousands as k, millions as M.

    Examples
    --------
    >>> [tick(value) for value in (-600_000, 2_500_000, 1500, 0.2)]
    ['−600k', '2.5M', '1500', '0.2']
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 10_000):
            return f"{value / size:g}{letter}".replace("-", MINUS)
    return f"{value:g}".replace("-", MINUS)


def short_ticks(axis: Any, *values: npt.NDArray[np.float64]) -> None:
    """Write ticks as k or M when values are so large that their digits would not fit."""
    if max(np.nanmax(np.abs(part), initial=0.0) for part in values) >= 10_000:
        axis.set_major_formatter(tick)


def forest_plot(rows: pd.DataFrame, *, outcome: str, truth: float | None) -> str:
    """Draw estimates with their intervals, numbers at the right; a dashed line for the truth where it is known."""
    from matplotlib.ticker import MaxNLocator

    decimals = decimals_for(rows["std_error"])

    def draw(ax: Axes) -> None:
        height = np.arange(len(rows))[::-1]
        ax.axvline(0, color=MUTED, linewidth=0.9)
        if truth is not None:
            ax.axvline(truth, color=INK, linewidth=1.1, dashes=(5, 3))
            ax.annotate(
                f"truth {number(truth, decimals)}", (truth, 1), xycoords=("data", "axes fraction"),
                xytext=(3, 3), textcoords="offset points", fontsize=8.5,
            )  # fmt: skip
        estimate = rows["estimate"].to_numpy(dtype=float)
        low, high = (rows[name].to_numpy(dtype=float) for name in ("conf_low", "conf_high"))
        ax.hlines(height, low, high, color=CURVES[0], linewidth=2.2)
        ax.plot(estimate, height, "o", color=CURVES[0], markersize=6.5, markeredgecolor="white")
        ax.set_yticks(height, labels=[wrapped(label) for label in rows["label"]])
        ax.xaxis.set_major_locator(MaxNLocator(5))
        short_ticks(ax.xaxis, low, high)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.set_xlabel(f"effect on {short(outcome)}, with 95% interval")
        for at, value, bottom, top in zip(height, estimate, low, high):
            text = f"{number(value, decimals)}  ({interval(bottom, top, decimals)})"
            ax.text(
                1.03, at, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5, color=MUTED
            )

    return as_svg(_one(draw), height=0.95 + 0.36 * len(rows))


def love_plot(table: pd.DataFrame, *, bound: float) -> str:
    """Draw standardised mean differences, the band of what counts as balanced behind them.

    After weighting they are dots, and those before it rings; without weighting there are dots alone. The largest
    difference before weighting stands above.
    """
    order = table["smd"].abs().sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    shown = table.loc[order]
    weighted = "smd_weighted" in shown

    def draw(ax: Axes) -> None:
        height = np.arange(len(shown))[::-1]
        before = shown["smd"].to_numpy(dtype=float)
        after = shown["smd_weighted"].to_numpy(dtype=float) if weighted else before
        ax.axvspan(-bound, bound, color=PALE, alpha=0.55, linewidth=0)
        ax.axvline(0, color=MUTED, linewidth=0.9)
        ax.hlines(height, before if weighted else 0, after, color=PALE, linewidth=1.2)
        if weighted:
            ax.plot(
                before, height, "o", color=CURVES[0], markerfacecolor="white", markersize=5.5,
                label="before weighting",
            )  # fmt: skip
        ax.plot(after, height, "o", color=CURVES[0], markersize=5.5, label="after weighting")
        if weighted:
            _legend_above(ax)
        ax.set_yticks(height, labels=distinct(shown["term"]), fontsize=8.5)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        values = np.concatenate([before, after])
        reach = max(1.15 * np.max(np.abs(values[np.isfinite(values)]), initial=0.0), 2.2 * bound)
        ax.set_xlim(-reach, reach)
        ax.set_xlabel("standardised mean difference, treated minus control")

    return as_svg(_one(draw), height=0.8 + 0.23 * len(shown) + 0.25 * weighted)


def propensity_histogram(
    propensity: npt.NDArray[np.float64], treatment: npt.NDArray[Any], *, bounds: tuple[float, float]
) -> str:
    """Draw the propensity of the treated upwards and of the controls downwards."""
    from matplotlib.ticker import MaxNLocator

    def draw(ax: Axes) -> None:
        edges = np.linspace(0, 1, 41)
        for side in ((0, bounds[0]), (bounds[1], 1)):
            ax.axvspan(*side, color=PALE, alpha=0.55, linewidth=0)
        for sign, arm, name, colour in ((1, 1, "treated", TREATED), (-1, 0, "control", CONTROL)):
            counts, _ = np.histogram(propensity[treatment == arm], bins=edges)
            widths = np.diff(edges)
            ax.bar(
                edges[:-1], sign * counts, width=widths, align="edge", color=colour, edgecolor="white",
                linewidth=0.5, label=name,
            )  # fmt: skip
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xlim(0, 1)
        ax.set_xlabel("propensity: predicted probability of treatment")
        ax.set_ylabel("units")
        ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        _legend_above(ax)

    return as_svg(_one(draw), height=3.0)


def toc_plot(curves: list[tuple[str, pd.DataFrame]], *, outcome: str) -> str:
    """Draw the TOC curves with their bands, one panel a result."""

    def draw(figure: Figure) -> None:
        columns = min(2, len(curves))
        rows = -(-len(curves) // columns)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
        for ax, (title, curve) in zip(axes.ravel(), curves):
            _draw_toc(ax, curve, title=title if len(curves) > 1 else "")
        for ax in axes.ravel()[len(curves) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel(f"gain over treating at random\n({short(outcome, longest=LABEL)})")
            short_ticks(ax.yaxis, *(curve["conf_high"].to_numpy(dtype=float) for _, curve in curves))
        figure.supxlabel("share of units treated, highest ranked first (%)", fontsize=9.5)

    return as_svg(draw, height=0.5 + 2.6 * (-(-len(curves) // 2)))


def _draw_toc(ax: Axes, toc: pd.DataFrame, *, title: str) -> None:
    ax.axhline(0, color=MUTED, linewidth=0.9)
    names = list(dict.fromkeys(toc["priority"]))
    for position, name in enumerate(names):
        curve, colour = toc[toc["priority"] == name], CURVES[position % len(CURVES)]
        share = 100 * curve["q"].to_numpy(dtype=float)
        ax.fill_between(share, curve["conf_low"], curve["conf_high"], color=colour, alpha=0.16, linewidth=0)
        ax.plot(
            share, curve["estimate"], "o-", color=colour, markersize=3.5, linewidth=1.6, label=short(name)
        )
    ax.set_xlim(0, 102)
    ax.set_xticks([20, 40, 60, 80, 100])
    ax.set_title(short(title, longest=24))
    if len(names) > 1:
        bottom, top = ax.get_ylim()
        ax.set_ylim(bottom, top + 0.13 * len(names) * (top - bottom))
        ax.legend(loc="upper right", fontsize=8)


def effects_histogram(
    effects: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    *,
    average: tuple[float, float, float],
    outcome: str,
) -> str:
    """Draw how predicted effects spread, with the average effect and its interval."""
    estimate, low, high = average

    def draw(ax: Axes) -> None:
        ax.axvspan(low, high, color=PALE, alpha=0.7, linewidth=0, label="its 95% interval")
        ax.hist(
            effects, bins=40, weights=weights, color=CURVES[2], edgecolor="white", linewidth=0.5, alpha=0.9
        )
        ax.axvline(estimate, color=INK, linewidth=1.4, label="average effect")
        if min(effects.min(), low) <= 0 <= max(effects.max(), high):
            ax.axvline(0, color=MUTED, linewidth=0.9)
        ax.set_xlabel(f"predicted effect on {short(outcome)}")
        short_ticks(ax.xaxis, effects)
        ax.set_ylabel("units" if np.allclose(weights, 1) else "units (weighted)")
        _legend_above(ax)

    return as_svg(_one(draw), height=2.9)


def assignment_figure(arm: Arm, rows: pd.DataFrame) -> str:
    """Draw ROC curves and reliability, and below them what pictures add to tables."""
    from eocausal.evaluate.assignment_figure import draw_assignment

    added = (rows["source"] == "features given covariates").any()
    height = 4.6 if added else 3.0
    return as_svg(lambda figure: draw_assignment(figure, arm, rows, across=False), height=height)


def sweep_figure(table: pd.DataFrame) -> str:
    """Draw estimates by set of features, the AUC of treatment below."""
    from eocausal.evaluate.sweep_result import draw_sweep

    return as_svg(lambda figure: draw_sweep(figure, table), height=4.2)


def _legend_above(ax: Axes) -> None:
    """Put the legend over the axes, flush right, where it can hide nothing."""
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2, columnspacing=1.4)


def _one(draw: Callable[[Any], None]) -> Callable[[Any], None]:
    """Turn a function that draws on axes into one that draws on a figure."""
    return lambda figure: draw(figure.subplots())


def _drawn(
    draw: Callable[[Any], object], save: Callable[[Any, io.BytesIO], None], size: tuple[float, float]
) -> bytes:
    """Draw on a figure that no window system and no list of open figures knows of, and return its bytes."""
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with style():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        save(figure, stream)
        figure.clear()
    return stream.getvalue()
