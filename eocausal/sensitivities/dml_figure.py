"""Contours of bounds under omitted confounders, called by what strengths are shares of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.sensitivities import omitted_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eocausal.sensitivities.result import Sensitivity


def draw(figure: Figure, found: Sensitivity) -> None:
    """Draw contours as for an omitted variable; where arms are weighed the axis says so."""
    omitted_figure.draw(figure, found)
    if not found.diagnostics["partially_linear"]:
        for ax in figure.axes:
            ax.set_xlabel(
                "share explained of the variation of the\nweights that make arms comparable", fontsize=9
            )
