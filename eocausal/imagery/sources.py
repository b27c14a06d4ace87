"""One raster file: its header, and windows of its pixels with what is not valid as NaN."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal._io import hash_content, hash_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery.files import Rasters, driver_for, raster_files, vrt_sources
from eocausal.imagery.windows import METRIC_TOLERANCE, Lattice, is_geographic

Pixels = npt.NDArray[np.float32]

_MOST_OPEN = 64
_HASHED_UP_TO = 2**30
# GDAL keeps blocks it has decoded too, in 5% of all memory, until the file is closed: after this many bytes.
_HELD_BY_GDAL = 128 * 2**20
# The sides of a cell are whole blocks, as many as reach this number of pixels.
_LEAST_CELL = 256


@dataclass(frozen=True)
class Tile:
    """The header of a raster file.

    ``bands`` are the 1-based numbers of the bands that hold data (not alpha), ``names`` their descriptions.
    ``masked`` tells whether the file says itself which pixels are valid; ``cell`` is the height and width of
    the parts that it is best decoded in; ``fill`` is a value that stands for no data without the file saying so.
    """

    file: Path
    lattice: Lattice
    height: int
    width: int
    bands: tuple[int, ...]
    names: tuple[str, ...]
    masked: bool
    categorical: bool
    cell: tuple[int, int]
    fill: float | None = None

    def turned(self, degrees: float) -> Tile:
        """Return the tile seen from another turn of longitude."""
        return replace(self, lattice=self.lattice.moved(degrees))

    def recipe(self) -> dict[str, Any]:
        """Return name, size and content hash of the file (of its state, when it is 1 GiB or more)."""
        content: dict[str, Any] = {"name": self.file.name, **_content(self.file)}
        if self.file.suffix.lower() == ".vrt":
            sources = vrt_sources(self.file)
            content["sources"] = [{"name": source.name, **_content(source)} for source in sources]
        return content


def _content(file: Path) -> dict[str, Any]:
    state = file.stat()
    if state.st_size < _HASHED_UP_TO:
        return {"bytes": state.st_size, "sha256": hash_file(file)}
    return {"bytes": state.st_size, "state": hash_content([state.st_size, state.st_mtime_ns])}


def open_dataset(file: Path) -> Any:
    """Open a raster with the driver its name allows, or raise ImageryError."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(file, driver=driver_for(file))
    except RasterioIOError as cause:
        raise ImageryError(
            explain(f"Raster {file.name!r} cannot be opened.", rule=str(cause)[:300])
        ) from cause


def read_tiles(rasters: Rasters) -> list[Tile]:
    """Read the headers of rasters and check that they can be used together."""
    tiles = [_read_header(file) for file in raster_files(rasters)]
    first = tiles[0]
    for tile in tiles[1:]:
        if len(tile.bands) != len(first.bands):
            text = (
                f"Rasters differ in bands: {first.file.name!r} has {len(first.bands)}, "
                f"{tile.file.name!r} has {len(tile.bands)}."
            )
            raise ImageryError(
                explain(text, rule="tiles of one mosaic hold the same bands in the same order")
            )
        here, there = tile.lattice, first.lattice
        alike = here.crs == there.crs or not (is_geographic(here.crs) or is_geographic(there.crs))
        sizes = [np.hypot([step.a, step.b], [step.d, step.e]) for step in (here, there)]
        if alike and np.abs(sizes[0] / sizes[1] - 1).max() > METRIC_TOLERANCE:
            text = (
                f"Rasters differ in pixel size: {first.file.name!r} has {sizes[1][0]:g} x {sizes[1][1]:g}, "
                f"{tile.file.name!r} has {sizes[0][0]:g} x {sizes[0][1]:g}."
            )
            fix = f"gdalwarp -tr {sizes[1][0]:g} {sizes[1][1]:g} {tile.file.name} {tile.file.stem}_same.tif"
            raise ImageryError(explain(text, rule="tiles of one mosaic share one pixel size", fix=fix))
    return tiles


def _read_header(file: Path) -> Tile:
    from rasterio.enums import ColorInterp, MaskFlags

    with open_dataset(file) as dataset:
        lattice = _lattice(file, dataset)
        alpha = ColorInterp.alpha
        bands = tuple(i for i, kind in zip(dataset.indexes, dataset.colorinterp) if kind != alpha)
        if not bands or any("complex" in kind for kind in dataset.dtypes):
            raise ImageryError(explain(f"Raster {file.name!r} has no bands of real numbers."))
        return Tile(
            file=file,
            lattice=lattice,
            height=dataset.height,
            width=dataset.width,
            bands=bands,
            names=tuple((dataset.descriptions[i - 1] or "").strip() for i in bands),
            masked=any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums),
            categorical=ColorInterp.palette in dataset.colorinterp,
            cell=_cell(dataset),
        )


def _cell(dataset: Any) -> tuple[int, int]:
    """Return one block of the file, or so many beside each other that a cell is not small."""
    height, width = (
        min(block * -(-_LEAST_CELL // block), limit)
        for block, limit in zip(dataset.block_shapes[0], dataset.shape)
    )
    return height, width


def _lattice(file: Path, dataset: Any) -> Lattice:
    import pyproj

    step = dataset.transform
    if dataset.crs is None or step.is_identity or step.is_degenerate:
        rule = "a raster needs a reference system (CRS) and a place"
        fix = f"gdal_edit.py -a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH {file.name}"
        raise ImageryError(explain(f"Raster {file.name!r} has no georeference.", rule=rule, fix=fix))
    try:
        crs = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
        usable = crs.is_geographic or crs.is_projected
    except pyproj.exceptions.CRSError:
        usable = False
    if not usable:
        text = f"Raster {file.name!r} has a reference system that cannot be used."
        raise ImageryError(explain(text, rule="geographic or projected", fix="gdal_edit.py -a_srs EPSG:..."))
    code = crs.to_epsg(min_confidence=90)
    return Lattice(f"EPSG:{code}" if code else crs.to_wkt(), step.a, step.b, step.c, step.d, step.e, step.f)


def band_names(tiles: Sequence[Tile]) -> tuple[str, ...]:
    """Return the names of the bands: the files' descriptions when all agree, else band1, band2, ..."""
    names = tiles[0].names
    if all(names) and len(set(names)) == len(names) and all(tile.names == names for tile in tiles):
        return names
    return tuple(f"band{number}" for number in range(1, len(names) + 1))


def choose_bands(names: Sequence[str], bands: Sequence[int | str] | int | str | None) -> tuple[int, ...]:
    """Return positions (from 0) of bands asked for by 1-based number or by name.

    Examples
    --------
    >>> choose_bands(["red", "green", "nir"], ["nir", 1])
    (2, 0)
    """
    if bands is None:
        return tuple(range(len(names)))
    asked = [bands] if isinstance(bands, (int, str)) else list(bands)
    chosen = []
    for band in asked:
        if isinstance(band, str):
            if band not in names:
                raise ImageryError(
                    explain(f"There is no band {band!r}.", fix=did_you_mean(band, list(names)))
                )
            chosen.append(list(names).index(band))
        elif isinstance(band, (int, np.integer)) and not isinstance(band, bool) and 1 <= band <= len(names):
            chosen.append(int(band) - 1)
        else:
            rule = f"bands are numbered 1 to {len(names)}, or named: {', '.join(names)}"
            raise ImageryError(explain(f"There is no band {band!r}.", rule=rule))
    if not chosen or len(set(chosen)) < len(chosen):
        raise ImageryError(explain(f"bands={asked} is empty or names a band twice."))
    return tuple(chosen)


class OpenRasters:
    """Datasets kept open while chips are read; at most 64 at a time, all closed at the end."""

    def __init__(self) -> None:
        self._datasets: OrderedDict[Path, Any] = OrderedDict()
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        while self._datasets:
            self._datasets.popitem()[1].close()
        self._held = 0

    def read(
        self, tile: Tile, bands: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]
    ) -> Pixels:
        """Read bands (positions from 0) of a window inside the raster.

        Returns
        -------
        numpy.ndarray
            float32, shape (bands, rows, columns); NaN in every band where any band is not valid: nodata,
            masked, transparent, NaN or infinite.
        """
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        dataset = self._open(tile.file)
        numbers = [tile.bands[band] for band in bands]
        window = Window.from_slices(rows, columns)
        try:
            pixels: Pixels = dataset.read(numbers, window=window, out_dtype="float32")
            valid = np.isfinite(pixels).all(axis=0)
            if tile.masked:
                valid &= (dataset.read_masks(numbers, window=window) > 0).all(axis=0)
            if tile.fill is not None:
                valid &= (pixels != tile.fill).all(axis=0)
            self._held += pixels[0].size * sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
            if self._held > _HELD_BY_GDAL:
                self._close()
        except RasterioError as cause:
            text = (
                f"Raster {tile.file.name!r} cannot be read at rows {rows}, columns {columns}: it is damaged."
            )
            fix = "Get the file again and compare its size or hash with the source's."
            raise ImageryError(explain(text, rule=str(cause)[:300], fix=fix)) from cause
        if not valid.all():
            pixels[:, ~valid] = np.nan
        return pixels

    def _open(self, file: Path) -> Any:
        if file in self._datasets:
            self._datasets.move_to_end(file)
            return self._datasets[file]
        if len(self._datasets) >= _MOST_OPEN:
            self._datasets.popitem(last=False)[1].close()
        self._datasets[file] = open_dataset(file)
        return self._datasets[file]
