"""The plots that results draw of themselves, made to fit the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eocausal.reporting.figures import WIDTH, as_svg, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_svg"]

# Letters in a line of the name of a row, and in an inch below an axis.
LONGEST_NAME = 28
LETTERS = 13


def plot_svg(draw: Callable[[Any], object], *, height: float, width: float = WIDTH) -> str:
    """Return the plot of a result, whose names may be long, as the data address of an SVG."""

    def fitted(figure: Figure) -> None:
        draw(figure)
        for ax in figure.axes:
            _fit_labels(ax, width=figure.get_figwidth())

    return as_svg(fitted, height=height, width=width)


def _fit_labels(ax: Axes, *, width: float) -> None:
    """Break long names of rows, and long words under an axis, into lines, so that they leave room to the data."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    if any(len(name) > LONGEST_NAME and "\n" not in name for name in names):
        ax.set_yticks(ax.get_yticks(), labels=[wrapped(name, width=LONGEST_NAME) for name in names])
    widest = int(LETTERS * ax.get_position().width * width)
    if len(ax.get_xlabel()) > widest:
        ax.set_xlabel(wrapped(ax.get_xlabel(), width=max(widest, LONGEST_NAME)))
