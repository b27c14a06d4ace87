"""Figures that a notebook shows once, as the value of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that pyplot has forgotten.

    A notebook learns to show figures when pyplot makes its first: of a figure made without it, a cell shows the
    name alone. One that pyplot still holds is shown twice, as a value and when the cell ends.
    """
    from matplotlib import pyplot as plt

    figure: Figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure
