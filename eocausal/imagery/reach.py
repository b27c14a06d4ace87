"""Whether chips lie on the rasters at all, said with the bounds of both where none does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError, explain
from eocausal.imagery.plan import Plan
from eocausal.imagery.tiles import Tile

Floats = npt.NDArray[np.float64]


def lonlat_bounds(tile: Tile) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a raster in degrees."""
    import pyproj

    lattice = tile.lattice
    corners = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * np.array([[tile.height], [tile.width]])
    x, y = lattice.point(corners[0].astype(float), corners[1].astype(float))
    transformer = pyproj.Transformer.from_crs(lattice.crs, "EPSG:4326", always_xy=True)
    bounds: Any = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max())
    west, south, east, north = (float(edge) for edge in bounds)
    return west, south, east, north


def check_reached(plan: Plan, longitude: Floats, latitude: Floats) -> None:
    """Raise ImageryError with both bounds when no chip touches any raster."""
    if plan.on_raster.any():
        return
    edges = np.array([lonlat_bounds(tile) for tile in plan.tiles])
    raster = (*edges[:, :2].min(axis=0), *edges[:, 2:].max(axis=0))
    units = (longitude.min(), latitude.min(), longitude.max(), latitude.max())

    def show(bounds: Sequence[npt.ArrayLike]) -> str:
        return ", ".join(f"{float(np.asarray(edge)):.5g}" for edge in bounds)

    text = f"All {len(longitude)} chips fall outside the rasters."
    rule = f"west, south, east, north in degrees: units {show(units)}; rasters {show(raster)}"
    fix = "Check the order of lon= and lat=, and that these rasters show the study area."
    west, south, east, north = raster
    swapped = (west <= latitude) & (latitude <= east) & (south <= longitude) & (longitude <= north)
    if swapped.any():
        text += f" Longitude and latitude look swapped: {int(swapped.sum())} lie within them the other way."
        fix = "read_units(..., lon=<the column that is lat= now>, lat=<the column that is lon= now>)"
    raise ImageryError(explain(text, rule=rule, fix=fix))
