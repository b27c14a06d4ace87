"""`MappedRaster`: which map it is, told by its pixels and its grid and not by the bytes of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import DebiasError, ImageryError, explain
from eocausal.imagery.files import raster_files
from eocausal.imagery.sources import open_dataset, read_tile
from eocausal.imagery.tiles import OpenRasters, Span, Tile, band_names, choose_bands
from eocausal.imagery.windows import ALIGNED, Lattice

FloatArray = npt.NDArray[np.float64]

# Pixels enter the hash in parts of this height and width, row after row of parts, however the file is stored.
_PART: Span = (512, 8192)
# Named in the hash, so that another way of hashing is another hash.
_HASHED = "eocausal map pixels 1"


@dataclass(frozen=True)
class MappedRaster:
    """Which band of which map: its grid, and a hash of its pixels.

    Attributes
    ----------
    name : str
        Of the file, without its folder; it may change.
    band : int
        From 1.
    band_name : str
    crs : str
        EPSG code or WKT.
    transform : tuple of float
        ``a b c d e f`` of ``x = a column + b row + c``, ``y = d column + e row + f``.
    height, width : int
    valid : int
        Pixels that have a value.
    low, high : float
        Smallest and largest of these.
    pixels : str
        SHA-256 of all values as numbers of 64 bits, where a pixel without a value is NaN. Compression, tiling,
        overviews, tags, the type of number and the way in which missing pixels are marked do not change it.
    """

    name: str
    band: int
    band_name: str
    crs: str
    transform: tuple[float, ...]
    height: int
    width: int
    valid: int
    low: float
    high: float
    pixels: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {**vars(self), "transform": list(self.transform)}


@dataclass(frozen=True, eq=False)
class OneBand:
    """A map that is open to be read: the header of its raster, and the position of its band."""

    file: Path
    tile: Tile
    position: int
    name: str

    @property
    def lattice(self) -> Lattice:
        """The grid of its pixels."""
        return self.tile.lattice


def one_band(path: object, band: int | str = 1) -> OneBand:
    """Read the header of a map, and find the band with the predictions.

    Raises
    ------
    ImageryError
        Not one file, not one that may be opened, no such band, classes in place of numbers, or a scale.
    """
    if not isinstance(path, (str, Path)):
        raise ImageryError(explain(f"A map is not a {type(path).__name__}.", fix='"wealth_2015.tif"'))
    files = raster_files(path)
    if len(files) > 1:
        text = f"{len(files)} rasters are no one map."
        fix = "gdalbuildvrt map.vrt tiles/*.tif, and the path of map.vrt"
        raise ImageryError(
            explain(text, where=[file.name for file in files], rule="a map is one file", fix=fix)
        )
    tile = read_tile(files[0])
    if tile.categorical:
        raise ImageryError(
            explain(f"Raster {tile.name!r} holds classes.", rule="a map of predictions holds numbers")
        )
    names = band_names([tile])
    (position,) = choose_bands(names, [band])
    _refuse_scale(files[0], position)
    return OneBand(files[0], tile, position, names[position])


def _refuse_scale(file: Path, position: int) -> None:
    """Raise where stored numbers are not the predictions: some programs would apply a scale and some would not."""
    with open_dataset(file) as dataset:
        scale, offset = dataset.scales[position], dataset.offsets[position]
    if (scale, offset) != (1.0, 0.0):
        raise ImageryError(
            explain(
                f"Raster {file.name!r} says its numbers are to be multiplied by {scale:g}, and {offset:g} added.",
                rule="a map with a card holds predictions as they are, since programs differ in applying a scale",
                fix="gdal_translate -unscale -ot Float32 IN.tif OUT.tif",
            )
        )


@dataclass(frozen=True)
class PixelCount:
    """What one pass over the pixels found beside their hash: how many of them lie in a range."""

    raster: MappedRaster
    within: int


def look_at(
    band: OneBand, *, within: tuple[float, float] = (-np.inf, np.inf), progress: bool = False
) -> PixelCount:
    """Read every pixel of a map once, part by part, and tell which map it is.

    Parameters
    ----------
    band : OneBand
    within : (float, float)
        Range in which pixels are counted.
    progress : bool
    """
    from tqdm import tqdm

    tile = band.tile
    digest = hashlib.sha256(f"{_HASHED} {tile.height} {tile.width}\n".encode())
    valid, inside, low, high = 0, 0, np.inf, -np.inf
    # shown in a terminal only
    hidden = None if progress else True
    with (
        OpenRasters() as opened,
        tqdm(total=tile.height * tile.width, desc="reading map", unit="px", unit_scale=True, disable=hidden,
             leave=False) as bar,
    ):  # fmt: skip
        for rows, columns in _parts(tile):
            values = read_part(opened, band, rows, columns)
            digest.update(np.ascontiguousarray(values, dtype="<f8").data)
            there = values[~np.isnan(values)]
            if there.size:
                low, high = min(low, float(there.min())), max(high, float(there.max()))
                inside += int(np.count_nonzero((there >= within[0]) & (there <= within[1])))
            valid += there.size
            bar.update(values.size)
    if not valid:
        raise ImageryError(explain(f"Raster {tile.name!r} has no pixel with a value."))
    step = tile.lattice
    found = MappedRaster(
        name=tile.name,
        band=band.position + 1,
        band_name=band.name,
        crs=step.crs,
        transform=(step.a, step.b, step.c, step.d, step.e, step.f),
        height=tile.height,
        width=tile.width,
        valid=valid,
        low=low,
        high=high,
        pixels=digest.hexdigest(),
    )
    return PixelCount(found, inside)


def _parts(tile: Tile) -> Iterator[tuple[Span, Span]]:
    height, width = _PART
    for row in range(0, tile.height, height):
        for column in range(0, tile.width, width):
            yield (row, min(row + height, tile.height)), (column, min(column + width, tile.width))


def read_part(opened: OpenRasters, band: OneBand, rows: Span, columns: Span) -> FloatArray:
    """Return values (rows, columns) of a window of a map, NaN where a pixel has none, and no negative zero."""
    pixels, valid = opened.read(band.tile, [band.position], rows, columns)
    values: FloatArray = pixels[0].astype(np.float64)
    values += 0.0
    if valid is not None:
        values[~valid] = np.nan
    return values


def require_place(known: MappedRaster) -> None:
    """Raise ValueError where what a card says of its map is no place on Earth."""
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        pyproj.CRS.from_user_input(known.crs)
    except CRSError as cause:
        raise ValueError(f"{known.crs[:60]!r} is no reference system") from cause
    a, b, _, d, e, _ = known.transform
    if a * e - b * d == 0:
        raise ValueError("its pixels have no size")


def require_grid(known: MappedRaster, band: OneBand) -> None:
    """Raise DebiasError where a map does not have the grid that a card was made for."""
    import pyproj

    tile, step = band.tile, band.lattice
    changes = []
    if (tile.height, tile.width) != (known.height, known.width):
        changes.append(f"{tile.height} x {tile.width} pixels, not {known.height} x {known.width}")
    then = Lattice(known.crs, *known.transform)
    corners = np.array([0.0, 0, known.height, known.height]), np.array([0.0, known.width, 0, known.width])
    moved = [np.abs(now - before) for now, before in zip(then.pixel(*step.point(*corners)), corners)]
    if not max(part.max() for part in moved) <= ALIGNED:
        changes.append("pixels in other places")
    systems = [pyproj.CRS.from_user_input(crs) for crs in (step.crs, known.crs)]
    if not systems[0].equals(systems[1], ignore_axis_order=True):
        changes.append(f"reference system {systems[0].name}, not {systems[1].name}")
    if changes:
        raise _other(known, tile.name, "; ".join(changes))


def require_pixels(known: MappedRaster, band: OneBand, *, progress: bool = False) -> None:
    """Raise DebiasError where the pixels of a map are not those that a card was made for."""
    found = look_at(band, progress=progress).raster
    if found.pixels != known.pixels:
        raise _other(
            known,
            found.name,
            f"other values in its pixels: {found.valid:,} of them, from {found.low:.6g} to {found.high:.6g}, where "
            f"the card has {known.valid:,}, from {known.low:.6g} to {known.high:.6g}",
        )


def _other(known: MappedRaster, name: str, what: str) -> DebiasError:
    return DebiasError(
        explain(
            f"Raster {name!r} is not the map that this card was made for ({known.name!r}), or was changed since: "
            f"{what}.",
            rule="a card holds for one map; how its file is compressed or tiled does not matter",
            fix="get map and card from where they were published, or calibrate this map: ec.debias(...)",
        )
    )
