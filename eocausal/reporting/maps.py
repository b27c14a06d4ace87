"""The maps of the report: units as points on longitude and latitude, in true proportion, with a scale bar.

Maps are pictures, so the page holds no list of coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._map_frame import extent_of, nice_length
from eocausal.reporting.figures import (
    CONTROL,
    INK,
    LABEL,
    TREATED,
    as_png,
    short,
    short_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["colour_scale", "effects_map", "nice_length", "propensity_map", "units_map"]

FloatArray = npt.NDArray[np.float64]


def units_map(people: pd.DataFrame, *, has_arms: bool) -> str:
    """Draw where units are, coloured by arm; units that share a place are one larger point.

    Parameters
    ----------
    people : DataFrame
        Columns ``lon lat arm used``, one row per unit, coordinates finite.
    has_arms : bool
        Whether ``arm`` is known.
    """
    extent = extent_of(people)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        used = people["used"].to_numpy(dtype=bool)
        legend = []
        if not used.all():
            _, places = extent.places(people[~used])
            gone = np.full(len(places), 18.0)
            text = f"left out ({(~used).sum():,} units)"
            legend.append(_points(ax, places, "#9aa1ab", text, sizes=gone, marker="x"))
        kept = people[used]
        if has_arms:
            share, places = extent.places(kept, kept["arm"].to_numpy(dtype=float))
            legend += _arms(ax, places.assign(share=share), treated=int(kept["arm"].sum()), total=len(kept))
        else:
            legend.append(_points(ax, extent.places(kept)[1], INK, f"{len(kept):,} units"))
        extent.finish(ax)
        # two rows when one would be wider than the page
        columns = len(legend) if len(legend) <= 3 else 2
        figure.legend(handles=legend, loc="outside lower center", ncols=columns, markerscale=1.2)

    return as_png(draw, height=extent.height + 0.55)


def effects_map(people: pd.DataFrame, effects: FloatArray, *, outcome: str) -> str:
    """Draw predicted effects where units are, averaged over the units of a place."""
    extent = extent_of(people)
    values, places = extent.places(people, effects)
    cmap, low, high = colour_scale(values)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        # least first, so that where points lie close the order of the file does not decide what is seen
        order = np.argsort(np.abs(values - (low + high) / 2), kind="stable")
        drawn = ax.scatter(
            places["x"].to_numpy()[order], places["y"].to_numpy()[order], c=values[order], cmap=cmap, vmin=low,
            vmax=high, s=np.maximum(_sizes(places["size"].to_numpy()[order]), 16), alpha=0.9, linewidths=0.4,
            edgecolors="#5b6472",
        )  # fmt: skip
        extent.finish(ax)
        ends = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
        bar = figure.colorbar(
            drawn, ax=ax, shrink=0.85, pad=0.02, aspect=28,
            extend=ends[bool(values.min() < low), bool(values.max() > high)],
        )  # fmt: skip
        bar.set_label(f"predicted effect\non {short(outcome, longest=LABEL)}")
        bar.outline.set_visible(False)
        short_ticks(bar.ax.yaxis, values)

    return as_png(draw, height=extent.height + 0.1)


def propensity_map(
    places: FloatArray, propensity: FloatArray, treatment: FloatArray, *, left_out: npt.NDArray[np.bool_]
) -> str:
    """Draw units by propensity, crosses where trimming would leave them out."""
    from eocausal.evaluate.overlap_map import draw_propensities

    extent = extent_of(pd.DataFrame(places, columns=["lon", "lat"]))

    def draw(figure: Figure) -> None:
        draw_propensities(figure.subplots(), places, propensity, treatment, left_out=left_out)

    return as_png(draw, height=extent.height + 0.35)


def colour_scale(values: FloatArray) -> tuple[str, float, float]:
    """Return a colour-blind safe scale for effects: diverging about zero when signs differ, else sequential.

    A few values beyond the 2nd and 98th percentile do not stretch the scale.

    Examples
    --------
    >>> colour_scale(np.linspace(-1.0, 2.0, 101))[0], colour_scale(np.linspace(1.0, 2.0, 101))[0]
    ('BrBG', 'viridis')
    """
    low, high = (float(bound) for bound in np.percentile(values, [2, 98]))
    if low < 0 < high:
        reach = max(-low, high)
        return "BrBG", -reach, reach
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    return "viridis", low, high


def _arms(ax: Axes, places: pd.DataFrame, *, treated: int, total: int) -> list[Any]:
    """Draw places by arm, those with both as half and half, and return the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.path import Path

    sizes = _sizes(places["size"].to_numpy())
    control, whole = places["share"] == 0, places["share"] == 1
    legend = [
        _points(ax, places[control], CONTROL, f"control ({total - treated:,} units)", sizes=sizes[control]),
        _points(ax, places[whole], TREATED, f"treated ({treated:,} units)", sizes=sizes[whole]),
    ]
    both = ~(control | whole)
    if both.any():
        for start, colour in ((90, CONTROL), (270, TREATED)):
            half = Path.wedge(start, start + 180)
            _points(ax, places[both], colour, "", sizes=sizes[both], marker=half)
        legend.append(
            Line2D(
                [], [], marker="o", linestyle="none", markersize=7, fillstyle="left", markerfacecolor=CONTROL,
                markerfacecoloralt=TREATED, markeredgewidth=0, label="both in one place",
            )
        )  # fmt: skip
    return legend


def _sizes(counts: npt.NDArray[Any]) -> FloatArray:
    """Return areas of points: even when every place has one unit, else growing with the units of the place."""
    largest = counts.max()
    smallest = 12.0 if counts.size > 400 else 20.0
    return np.asarray(np.full(counts.shape, smallest) if largest == 1 else smallest + 90.0 * counts / largest)


def _points(
    ax: Axes,
    places: pd.DataFrame,
    colour: str,
    label: str,
    *,
    sizes: FloatArray | None = None,
    marker: Any = "o",
) -> Any:
    """Draw the places of one group and return what the legend shows for them."""
    from matplotlib.lines import Line2D

    cross = isinstance(marker, str) and marker == "x"
    ax.scatter(
        places["x"], places["y"], s=_sizes(places["size"].to_numpy()) if sizes is None else sizes, c=colour,
        marker=marker, alpha=0.8 if cross else 0.65, linewidths=1.0 if cross else 0.0,
    )  # fmt: skip
    shown = marker if isinstance(marker, str) else "o"
    return Line2D([], [], color=colour, marker=shown, linestyle="none", markersize=6, label=label)
