"""Where on the map units have hardly a counterpart: places by propensity, those left out as crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._map_frame import INK, MUTED, extent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

# Light in the middle, where units could have been in either arm; dark towards certain control and certain
# treatment.
SCALE = "PuOr_r"
MANY = 400


def draw_propensities(
    ax: Axes,
    places: FloatArray,
    propensity: FloatArray,
    treatment: FloatArray,
    *,
    left_out: npt.NDArray[np.bool_],
) -> None:
    """Draw places (n, 2) by mean propensity, with a bar, and crosses where units would be left out.

    Units that share a place are one point, a cross over it where any of them would be left out.
    """
    people = pd.DataFrame(places, columns=["lon", "lat"])
    extent = extent_of(people)
    _, there = extent.places(people, propensity)
    size = 34.0 if len(there) <= MANY else 16.0
    drawn = ax.scatter(
        there["x"], there["y"], c=there["value"], cmap=SCALE, vmin=0, vmax=1, s=size, linewidths=0.4,
        edgecolors=MUTED, alpha=0.95,
    )  # fmt: skip
    handles: list[Any] = [_mark("o", f"kept ({int((~left_out).sum()):,} units)", MUTED)]
    if left_out.any():
        treated = int(treatment[left_out].sum())
        told = f"left out ({treated:,} treated, {int(left_out.sum()) - treated:,} control)"
        _, gone = extent.places(people[left_out])
        ax.scatter(gone["x"], gone["y"], s=1.3 * size, c=INK, marker="x", linewidths=1.1)
        handles.append(_mark("x", told, INK))
    extent.finish(ax)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85, pad=0.02, aspect=28)
    bar.set_label("propensity")
    bar.outline.set_visible(False)
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.3,
        handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip


def _mark(marker: str, label: str, colour: str) -> Any:
    from matplotlib.lines import Line2D

    face = "white" if marker == "o" else colour
    return Line2D(
        [], [], color=colour, marker=marker, markerfacecolor=face, linestyle="none", markersize=6, label=label
    )
