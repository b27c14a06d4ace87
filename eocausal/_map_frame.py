"""The frame of a map: its extent in true proportion, ticks in degrees, a scale bar. No map library, no tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Extent", "extent_of", "nice_length"]

FloatArray = npt.NDArray[np.float64]

KM_PER_DEGREE = 111.32
# A study within this is drawn with this much around it.
SMALLEST_EXTENT_KM = 1.0
INK, MUTED, PALE = "#1d2430", "#5b6472", "#d9dde3"
# Inches: the width of a page with its margin for labels, and how high a map may be in it.
WIDTH, MARGIN = 5.6, 0.9
LOWEST, HIGHEST = 2.6, 6.2


def nice_length(width_km: float) -> float:
    """Return a round length of about a quarter of the width of a map.

    Examples
    --------
    >>> nice_length(430.0), nice_length(9.0), nice_length(0.7)
    (100.0, 2.0, 0.1)
    """
    aim = width_km / 4
    power = 10.0 ** np.floor(np.log10(aim))
    return float(max(step for step in (1.0, 2.0, 5.0) if step * power <= aim * 1.000001) * power)


@dataclass(frozen=True)
class Extent:
    """The extent of a map, its proportion, and whether longitudes are turned because it crosses the date line."""

    low: FloatArray
    high: FloatArray
    middle: float
    wraps: bool

    @property
    def km_per_lon(self) -> float:
        """Kilometres of a degree of longitude at the middle of the map."""
        return float(KM_PER_DEGREE * np.cos(np.radians(self.middle)))

    @property
    def width_km(self) -> float:
        """Kilometres from the west to the east edge."""
        return float(self.high[0] - self.low[0]) * self.km_per_lon

    @property
    def height(self) -> float:
        """Inches that show the map in the width of the page, within what a page can hold."""
        height_km = float(self.high[1] - self.low[1]) * KM_PER_DEGREE
        return float(np.clip((WIDTH - MARGIN) * height_km / self.width_km, LOWEST, HIGHEST))

    def places(self, rows: pd.DataFrame, values: FloatArray | None = None) -> tuple[FloatArray, pd.DataFrame]:
        """Return one row per place with ``x y size``, and the mean of values there."""
        lon = rows["lon"].to_numpy(dtype=float)
        frame = pd.DataFrame({"x": lon % 360 if self.wraps else lon, "y": rows["lat"].to_numpy(dtype=float)})
        frame["value"] = 0.0 if values is None else values
        found = frame.groupby(["x", "y"], as_index=False).agg(size=("value", "size"), value=("value", "mean"))
        return found["value"].to_numpy(dtype=float), found

    def finish(self, ax: Axes) -> None:
        """Set extent, proportion, a few ticks and the scale bar."""
        from matplotlib.ticker import MaxNLocator

        ax.set_xlim(self.low[0], self.high[0])
        ax.set_ylim(self.low[1], self.high[1])
        ax.set_aspect(1 / np.cos(np.radians(self.middle)))
        for axis, east, west in ((ax.xaxis, "E", "W"), (ax.yaxis, "N", "S")):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(_degrees(east, west))
        ax.tick_params(labelsize=8, length=2.5, labelcolor=MUTED)
        for spine in ax.spines.values():
            spine.set(visible=True, color=PALE)
        length = nice_length(self.width_km)
        start = self.low[0] + 0.03 * (self.high[0] - self.low[0])
        level = self.low[1] + 0.03 * (self.high[1] - self.low[1])
        end = start + length / self.km_per_lon
        ax.plot([start, end], [level, level], color=INK, linewidth=2, solid_capstyle="butt")
        ax.annotate(
            f"{length:g} km", ((start + end) / 2, level), xytext=(0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize=8.5,
        )  # fmt: skip


def extent_of(people: pd.DataFrame) -> Extent:
    """Return the frame that holds all rows of a table with finite ``lon`` and ``lat``, with a margin."""
    lon, lat = people["lon"].to_numpy(dtype=float), people["lat"].to_numpy(dtype=float)
    wraps = bool(np.ptp(lon % 360) < np.ptp(lon) - 1e-9)
    lon = lon % 360 if wraps else lon
    middle = float(np.clip((lat.min() + lat.max()) / 2, -80, 80))
    per_degree = KM_PER_DEGREE * np.array([np.cos(np.radians(middle)), 1.0])
    centre = np.array([(lon.min() + lon.max()) / 2, (lat.min() + lat.max()) / 2])
    span = np.array([np.ptp(lon), np.ptp(lat)]) * per_degree
    # no map is more than three times as long as it is wide, and all have a margin
    half = np.maximum(np.maximum(span, span.max() / 3), SMALLEST_EXTENT_KM) * 0.55 / per_degree
    low, high = centre - half, centre + half
    # room for the scale bar under the southernmost unit
    low[1] -= 0.11 * (high[1] - low[1])
    return Extent(low, high, middle, wraps)


def _degrees(positive: str, negative: str) -> Any:
    def text(value: float, _: object) -> str:
        turned = value - 360 if value > 180 else value
        side = "" if turned == 0 else positive if turned > 0 else negative
        return f"{abs(round(turned, 6)):g}°{side}"

    return text
