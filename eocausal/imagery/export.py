"""Where each chip's pixels lie, and chips as GeoTIFF files that any other program opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal._io import write_atomically
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import ChipBatch

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips

# A cloud optimised file is tiled, its directory comes first, and it has overviews where it exceeds a tile.
_TILE_PX = 256
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "geotiff": {"driver": "GTiff", "compress": "deflate"},
    "cog": {"driver": "COG", "compress": "deflate", "blocksize": _TILE_PX, "overview_resampling": "average"},
}
FRAMES_TAG = "frames"
_LONGEST_NAME = 200


def export_chips(chips: Chips, folder: str | Path, *, format: str = "geotiff") -> Path:
    """Write one GeoTIFF per image key and block; see :meth:`eocausal.Chips.export`."""
    from tqdm import tqdm

    one_of(format, list(FORMATS), argument="format", error=ImageryError)
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ImageryError(explain(f"{str(target)!r} is a file.", rule="export fills a folder"))
    places = {block: _known_places(chips, block) for block in chips.blocks}
    order = chips.source.reading_order()
    done = 0
    with tqdm(total=len(chips), desc="writing GeoTIFF", unit="chip", disable=None, leave=False) as bar:
        for batch in chips.batches(keys=chips.keys[order]):
            for index, row in enumerate(order[done : done + len(batch)].tolist()):
                for block in chips.blocks:
                    place = {name: values[row] for name, values in places[block].items()}
                    _write_one(chips, batch, block, index, place, target, FORMATS[format])
            done += len(batch)
            bar.update(len(batch))
    return target


def _known_places(chips: Chips, block: str) -> Mapping[str, npt.NDArray[Any]]:
    found = chips.source.corners(block)
    if found is None:
        raise ImageryError(
            explain(
                f"Chips from {chips.source.label()} do not say where they are.",
                rule="a GeoTIFF has a reference system and a transform",
                fix="chips.write('chips.zarr') keeps pixels without a place; ec.chips(units, rasters) knows places",
            )
        )
    lost = ~np.isfinite(found["west"].astype(float) + found["north"].astype(float))
    if lost.any():
        raise ImageryError(
            explain(
                f"Chips of block {block!r} have no place in the rasters' reference system.",
                where=chips.keys[lost],
                rule="a GeoTIFF has a reference system and a transform",
                fix="leave out units far outside, or without a chip: ec.chips(units.take(near), rasters, ...)",
            )
        )
    return found


def _write_one(
    chips: Chips,
    batch: ChipBatch,
    block: str,
    index: int,
    place: Mapping[str, Any],
    folder: Path,
    how: Mapping[str, Any],
) -> None:
    import rasterio
    from affine import Affine

    pixels = batch.pixels[block][index]
    dates, bands, height, width = pixels.shape
    names = [f"{name} {frame}".rstrip() for frame in chips.frames for name in chips.bands]
    profile = {
        **how,
        "dtype": "float32",
        "count": dates * bands,
        "height": height,
        "width": width,
        "crs": place["crs"],
        "transform": Affine(place["x_size"], 0, place["west"], 0, -place["y_size"], place["north"]),
        "nodata": float("nan"),
    }
    about = {chips.key_name: batch.keys[index], "block": block, "date": chips.date, "unit": chips.pixel_unit}
    about[FRAMES_TAG] = None if chips.frames == ("",) else json.dumps(chips.frames)

    def write(temporary: Path) -> None:
        with rasterio.open(temporary, "w", **profile) as out:
            out.write(pixels.reshape(dates * bands, height, width))
            out.descriptions = names
            out.update_tags(**{name: str(value) for name, value in about.items() if value is not None})

    write_atomically(folder / block / _file_name(batch.keys[index]), write)


def _file_name(key: object) -> str:
    """Return a file name that no key can leave the folder with, and that tells keys apart."""
    name = quote(str(key), safe=" ()+,=@") + ".tif"
    if len(name) > _LONGEST_NAME:
        rule = f"at most {_LONGEST_NAME} bytes as a file name"
        raise ImageryError(explain("An image key is too long for a file name.", where=[key], rule=rule))
    return name
