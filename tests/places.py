"""Tables of places for tests: a grid as that of MOSAIKS, and image tiles."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

import eocausal as ec


def units_at(lon, lat, **columns) -> ec.Units:
    table = pd.DataFrame({"village": [f"v{i}" for i in range(len(lon))], "lon": lon, "lat": lat, **columns})
    more = {name: name for name in ("date",) if name in columns}
    return ec.read_units(table, id="village", lon="lon", lat="lat", **more)


def grid(west=34.005, south=1.005, count=5, step=0.01) -> pd.DataFrame:
    """Return a table as the MOSAIKS API gives it: X_0 numbers the cells from the south-west, X_1 is its square."""
    row, column = np.mgrid[0:count, 0:count].reshape(2, -1)
    number = np.arange(count * count, dtype=float)
    places = {"lat": (south + step * row).round(6), "lon": (west + step * column).round(6)}
    return pd.DataFrame({**places, "X_0": number, "X_1": number**2})


def tiles() -> gpd.GeoDataFrame:
    """Return two tiles that overlap by half, as image tiles do, with vectors in a column of lists."""
    shapes = [box(34.0, 1.0, 34.02, 1.02), box(34.01, 1.0, 34.03, 1.02)]
    vectors = [np.array([1, 2, 3], "f4"), np.array([4, 5, 6], "f4")]
    return gpd.GeoDataFrame({"name": ["w", "e"], "embeddings": vectors}, geometry=shapes, crs="EPSG:4326")
