"""Where effects are predicted to be large, and which places the study has seen no like of, on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._map_frame import INK, MARGIN, MUTED, WIDTH, Extent, extent_of
from eocausal.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.evaluate.transport_result import Transport

FloatArray = npt.NDArray[np.float64]

SHOWN = {
    "effect": "predicted effect",
    "std_error": "standard error of the predicted effect",
    "distance": "distance from the study (1: as far as nearly all study units are)",
    "like_study": "probability of being of the study",
}
GREY = "#c9ced6"
# More places than this are drawn as means of cells.
MANY = 60_000
_CELLS = 400
# Colours part at zero where effects of one sign reach at least this share of those of the other.
_BOTH_SIGNS = 0.25
# Areas of markers in square points: of places that fill the map, and of places far apart.
_SMALLEST, _LARGEST, _LARGEST_APART = 1.5, 400.0, 40.0
_FILLED = 0.3
_POINTS_PER_INCH = 72


def draw_places(result: Transport, ax: Axes | None, *, show: str) -> Axes:
    """Draw places by a column of ``result.places``; those outside are grey, unless it is shown how far they are."""
    one_of(show, tuple(SHOWN), argument="show", error=EvaluationError)
    result.known_places()
    frame = result.places
    extent = extent_of(frame)
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(WIDTH + MARGIN, extent.height + MARGIN), layout="constrained")
    masked = show in ("effect", "std_error") and bool(frame["outside"].any())
    gone = frame["outside"].to_numpy() if masked else np.zeros(len(frame), dtype=bool)
    values = frame[show].to_numpy(dtype=float)
    drawn = _draw(ax, extent, frame, values, gone, show)
    extent.finish(ax)
    if drawn is not None:
        bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85, pad=0.02, aspect=28)
        bar.set_label(SHOWN[show])
        bar.outline.set_visible(False)
    if gone.any():
        share = 100 * float(frame["weight"].to_numpy() @ gone / frame["weight"].sum())
        _legend(ax, f"outside what the study has seen ({share:.0f}%)")
    return ax


def _draw(
    ax: Axes, extent: Extent, frame: pd.DataFrame, values: FloatArray, gone: npt.NDArray[np.bool_], show: str
) -> Any:
    """Draw places, and return what a colour bar is made from; None where all of them are grey."""
    lon, lat = frame["lon"].to_numpy(dtype=float), frame["lat"].to_numpy(dtype=float)
    lon = lon % 360 if extent.wraps else lon
    how: dict[str, Any] = _colours(values[~gone], show)
    if len(frame) > MANY:
        return _draw_cells(ax, lon, lat, values, gone, how)
    size = _size(extent, lon, lat)
    ax.scatter(lon[gone], lat[gone], c=GREY, s=size, marker="s", linewidths=0)
    if gone.all():
        return None
    return ax.scatter(lon[~gone], lat[~gone], c=values[~gone], s=size, marker="s", linewidths=0, **how)


def _colours(values: FloatArray, show: str) -> dict[str, Any]:
    """Return colours that are the same distance from zero both ways where effects have both signs."""
    if values.size == 0:
        return {}
    low, high = np.quantile(values, [0.01, 0.99])
    if show == "effect" and min(-low, high) > _BOTH_SIGNS * max(-low, high):
        far = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -far, "vmax": far}
    if show == "like_study":
        return {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0}
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1.0}


def _size(extent: Extent, lon: FloatArray, lat: FloatArray) -> float:
    """Return the area in square points of a marker that touches its neighbours, for places that fill the map."""
    from scipy.spatial import cKDTree

    at = np.column_stack([lon * extent.km_per_lon, lat * 111.32])
    if len(at) < 2:
        return 40.0
    apart = float(np.median(np.asarray(cKDTree(at).query(at, k=2)[0])[:, 1]))
    inches = WIDTH - MARGIN
    points = apart / extent.width_km * inches * _POINTS_PER_INCH
    filled = len(at) * points**2 / (inches * extent.height * _POINTS_PER_INCH**2)
    largest = _LARGEST if filled > _FILLED else _LARGEST_APART
    return float(np.clip((1.02 * points) ** 2, _SMALLEST, largest))


def _draw_cells(
    ax: Axes,
    lon: FloatArray,
    lat: FloatArray,
    values: FloatArray,
    gone: npt.NDArray[np.bool_],
    how: dict[str, Any],
) -> Any:
    """Draw the mean of the places in each cell of a fine grid; where most are outside the cell is grey."""
    from matplotlib.colors import ListedColormap

    across = int(np.clip(np.sqrt(lon.size) / 2, 50, _CELLS))
    edges = [np.linspace(line.min(), line.max(), across + 1) for line in (lon, lat)]
    kept = ~gone

    def total(weights: FloatArray) -> FloatArray:
        return np.asarray(np.histogram2d(lon, lat, bins=edges, weights=weights)[0].T)

    inside, outside = total(kept.astype(float)), total(gone.astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(inside >= np.maximum(outside, 1), total(np.where(kept, values, 0.0)) / inside, np.nan)
    grey = np.where((outside > inside) & (outside > 0), 1.0, np.nan)
    ax.pcolormesh(*edges, grey, cmap=ListedColormap([GREY]), rasterized=True)
    if gone.all():
        return None
    return ax.pcolormesh(*edges, mean, rasterized=True, **how)


def _legend(ax: Axes, label: str) -> None:
    from matplotlib.lines import Line2D

    mark = Line2D(
        [],
        [],
        color=MUTED,
        marker="s",
        markerfacecolor=GREY,
        markeredgewidth=0,
        linestyle="none",
        label=label,
    )
    ax.legend(
        handles=[mark], loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.3,
        handletextpad=0.2, labelcolor=INK,
    )  # fmt: skip
