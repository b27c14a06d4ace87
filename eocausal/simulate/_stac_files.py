"""A static STAC catalogue on disk: Cloud Optimized GeoTIFF, one JSON file an item, one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import write_atomically, write_json

_VERSION = "1.0.0"
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene to be written.

    ``pixels`` are by key of the asset, of one extent and perhaps several pixel sizes; ``pixel_m`` is the side of
    the first one's. ``corner`` is the easting and northing of the north-west corner. ``offsets`` are what an
    asset says is to be added to its reflectance.
    """

    name: str
    collection: str
    day: str
    epsg: int
    corner: tuple[float, float]
    pixel_m: float
    pixels: Mapping[str, npt.NDArray[Any]]
    nodata: Mapping[str, float]
    properties: Mapping[str, Any]
    offsets: Mapping[str, float] = field(default_factory=dict)


def write_catalog(folder: Path, scenes: Sequence[Scene], *, title: str) -> Path:
    """Write scenes and the catalogue that links to them; return the path of the catalogue."""
    links: list[dict[str, str]] = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    for scene in scenes:
        write_item(folder / scene.name, scene)
        href = f"./{scene.name}/{scene.name}.json"
        links.append({"rel": "item", "href": href, "type": "application/geo+json"})
    content = {
        "type": "Catalog",
        "stac_version": _VERSION,
        "id": "catalogue",
        "description": title,
        "links": links,
    }
    return write_json(folder / "catalog.json", content)


def write_item(folder: Path, scene: Scene) -> Path:
    """Write the files of a scene and its item; return the path of the item."""
    first = next(iter(scene.pixels.values()))
    assets: dict[str, Any] = {}
    for key, values in scene.pixels.items():
        side = scene.pixel_m * first.shape[1] / values.shape[1]
        nodata = scene.nodata.get(key)
        write_cog(
            folder / f"{key}.tif", values, epsg=scene.epsg, corner=scene.corner, side=side, nodata=nodata
        )
        band: dict[str, Any] = {"data_type": str(values.dtype)}
        band |= {} if nodata is None else {"nodata": nodata}
        band |= {"scale": 0.0001, "offset": scene.offsets[key]} if key in scene.offsets else {}
        assets[key] = {
            "href": f"./{key}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": list(values.shape),
            "proj:transform": [side, 0.0, scene.corner[0], 0.0, -side, scene.corner[1]],
            "raster:bands": [band],
        }
    ring, bbox = _outline(scene, first.shape)
    content = {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": _EXTENSIONS,
        "id": scene.name,
        "collection": scene.collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": bbox,
        "properties": {"datetime": f"{scene.day}T08:15:00Z", "proj:epsg": scene.epsg, **scene.properties},
        "links": [{"rel": "root", "href": "../catalog.json", "type": "application/json"}],
        "assets": assets,
    }
    return write_json(folder / f"{scene.name}.json", content)


def write_cog(
    path: Path,
    values: npt.NDArray[Any],
    *,
    epsg: int,
    corner: tuple[float, float],
    side: float,
    nodata: float | None,
) -> Path:
    """Write one band as Cloud Optimized GeoTIFF."""
    import rasterio
    from affine import Affine

    profile = {
        "driver": "COG", "count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": values.dtype,
        "crs": f"EPSG:{epsg}", "transform": Affine(side, 0, corner[0], 0, -side, corner[1]), "nodata": nodata,
        "blocksize": 512, "compress": "DEFLATE", "predictor": "YES", "overviews": "NONE",
    }  # fmt: skip

    def write(target: Path) -> None:
        with rasterio.open(target, "w", **profile) as out:
            out.write(values, 1)

    return write_atomically(path, write)


def _outline(scene: Scene, shape: tuple[int, ...]) -> tuple[list[list[float]], list[float]]:
    """Return the corners of a scene in degrees, closed, and its bounds."""
    import pyproj

    west, north = scene.corner
    east, south = west + shape[1] * scene.pixel_m, north - shape[0] * scene.pixel_m
    to_degrees = pyproj.Transformer.from_crs(scene.epsg, 4326, always_xy=True)
    lon, lat = to_degrees.transform([west, west, east, east, west], [north, south, south, north, north])
    ring = np.stack([lon, lat], axis=1).round(7).tolist()
    return ring, [min(lon), min(lat), max(lon), max(lat)]
