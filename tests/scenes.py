"""Small rasters and units for tests of chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from affine import Affine

import eocausal as ec

# A corner in UTM zone 36 N, east of its central meridian.
WEST, NORTH = 600_000.0, 200_000.0


def numbered(bands: int = 2, height: int = 60, width: int = 80) -> np.ndarray:
    """Return pixels that say where they are: 10000 band + 100 row + column."""
    band, row, column = np.mgrid[1 : bands + 1, 0:height, 0:width]
    return (10_000 * band + 100 * row + column).astype("float32")


def write_scene(
    file: Path,
    pixels: np.ndarray,
    *,
    pixel: float = 30.0,
    crs: str | None = "EPSG:32636",
    corner: tuple[float, float] = (WEST, NORTH),
    transform: Affine | None = None,
    **options: Any,
) -> Path:
    """Write a GeoTIFF; ``descriptions`` and ``mask`` among the options are set on the file."""
    descriptions, mask = options.pop("descriptions", None), options.pop("mask", None)
    place = transform or Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(
        file, "w", driver="GTiff", dtype=pixels.dtype, crs=crs, transform=place, **shape, **options
    ) as out:
        out.write(pixels)
        if descriptions is not None:
            out.descriptions = descriptions
        if mask is not None:
            out.write_mask(mask)
    return file


def units_on(pixels: list[tuple[float, float]], *, pixel: float = 30.0, **columns: Any) -> ec.Units:
    """Return units at continuous (row, column) of a scene with the default corner."""
    row, column = np.array(pixels, dtype=float).T
    table = {"id": [f"u{i}" for i in range(len(row))], "x": WEST + pixel * column, "y": NORTH - pixel * row}
    key = {"image_key": "key"} if "key" in columns else {}
    return ec.read_units(
        pd.DataFrame({**table, **columns}), id="id", lon="x", lat="y", crs="EPSG:32636", **key
    )


def units_lonlat(lon: list[float], lat: list[float]) -> ec.Units:
    """Return units at degrees."""
    table = pd.DataFrame({"id": [f"u{i}" for i in range(len(lon))], "lon": lon, "lat": lat})
    return ec.read_units(table, id="id", lon="lon", lat="lat")


def read_all(chips: ec.Chips, **options: Any) -> Any:
    """Return all chips as one batch."""
    (batch,) = chips.batches(size=10_000, **options)
    return batch
