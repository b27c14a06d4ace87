"""Raster files as tiles: their headers, and windows of their pixels with what is valid in them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import hash_content, hash_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery.files import Rasters, driver_for, in_a_shell, raster_files, vrt_sources
from eocausal.imagery.limits import check_size
from eocausal.imagery.tiles import OpenRaster, Span, Tile, Window, check_together
from eocausal.imagery.windows import Lattice

_HASHED_UP_TO = 2**30
# GDAL keeps blocks it has decoded too, in 5% of all memory, until the file is closed: after this many bytes.
_HELD_BY_GDAL = 128 * 2**20
# The sides of a cell are whole blocks, as many as reach this number of pixels.
_LEAST_CELL = 256


@dataclass(frozen=True, eq=False)
class RasterFile:
    """A raster in one file.

    ``bands`` are the 1-based numbers of the bands that hold data (not alpha); ``nodata`` their values for no
    data, None where the file has another way, ``masked``, of telling which pixels are valid, or none.
    """

    file: Path
    bands: tuple[int, ...]
    nodata: tuple[float, ...] | None
    masked: bool

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    def open(self) -> OpenRaster:
        """Open the file with the driver its name allows."""
        return OpenFile(self, open_dataset(self.file))

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


@dataclass(eq=False)
class OpenFile:
    """A raster file that is open, and closed in between when GDAL holds too much of it."""

    raster: RasterFile
    dataset: Any
    _held: int = field(default=0)

    def close(self) -> None:
        """Close the file."""
        self.dataset.close()

    def read(self, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands of a window: not valid are nodata, masked, transparent, NaN and infinite pixels."""
        from rasterio.errors import RasterioError
        from rasterio.windows import Window as PixelWindow

        file = self.raster.file
        numbers = [self.raster.bands[band] for band in bands]
        window = PixelWindow.from_slices(rows, columns)
        try:
            if self._held > _HELD_BY_GDAL:
                self.dataset.close()
                self.dataset, self._held = open_dataset(file), 0
            pixels: npt.NDArray[Any] = self.dataset.read(numbers, window=window)
            self._held += pixels[0].size * sum(np.dtype(kind).itemsize for kind in self.dataset.dtypes)
            masks = self.dataset.read_masks(numbers, window=window) if self.raster.masked else None
        except RasterioError as cause:
            text = f"Raster {file.name!r} cannot be read at rows {rows}, columns {columns}: it is damaged."
            fix = "Get the file again and compare its size or hash with the source's."
            raise ImageryError(explain(text, rule=str(cause)[:300], fix=fix)) from cause
        nodata = None if self.raster.nodata is None else [self.raster.nodata[band] for band in bands]
        return pixels, _valid(pixels, nodata, masks)


def _valid(
    pixels: npt.NDArray[Any], nodata: Sequence[float] | None, masks: npt.NDArray[Any] | None
) -> npt.NDArray[np.bool_] | None:
    """Return which pixels are valid in every band, None when all are."""
    kinds: list[Iterable[npt.NDArray[np.bool_]]] = []
    if pixels.dtype.kind == "f":
        kinds.append(np.isfinite(band) for band in pixels)
    if masks is not None:
        kinds.append(band != 0 for band in masks)
    elif nodata is not None and not _above(pixels, nodata):
        # in the pixels' own type, as GDAL compares
        kinds.append(
            band != pixels.dtype.type(value) for band, value in zip(pixels, nodata) if value == value
        )
    valid: npt.NDArray[np.bool_] | None = None
    for there in itertools.chain.from_iterable(kinds):
        if valid is None:
            valid = there
        else:
            valid &= there
    return None if valid is None or valid.all() else valid


def _above(pixels: npt.NDArray[Any], nodata: Sequence[float]) -> bool:
    """Whether all pixels are larger than all values for no data, as most blocks are where that is 0."""
    return pixels.dtype.kind in "iu" and max(nodata) <= 0 and int(pixels.min(initial=1)) > max(nodata)


def open_dataset(file: Path) -> Any:
    """Open a raster with the driver its name allows, or raise ImageryError."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # An absolute path is never taken for one of GDAL's own prefixes, such as GTIFF_DIR:2:.
            return rasterio.open(file.absolute(), driver=driver_for(file))
    except RasterioIOError as cause:
        raise ImageryError(
            explain(f"Raster {file.name!r} cannot be opened.", rule=str(cause)[:300])
        ) from cause


def read_tiles(rasters: Rasters) -> list[Tile]:
    """Read the headers of rasters and check that they can be used together."""
    tiles = [read_tile(file) for file in raster_files(rasters)]
    check_together(tiles)
    return tiles


def read_tile(file: Path) -> Tile:
    """Read the header of a raster file."""
    from rasterio.enums import ColorInterp

    with open_dataset(file) as dataset:
        check_size(file, dataset)
        lattice = _lattice(file, dataset)
        alpha = ColorInterp.alpha
        bands = tuple(i for i, kind in zip(dataset.indexes, dataset.colorinterp) if kind != alpha)
        if not bands or any("complex" in kind for kind in dataset.dtypes):
            raise ImageryError(explain(f"Raster {file.name!r} has no bands of real numbers."))
        return Tile(
            raster=_raster_file(file, dataset, bands),
            lattice=lattice,
            height=dataset.height,
            width=dataset.width,
            names=tuple((dataset.descriptions[i - 1] or "").strip() for i in bands),
            categorical=ColorInterp.palette in dataset.colorinterp,
            cell=_cell(dataset),
            item_bytes=max(np.dtype(kind).itemsize for kind in dataset.dtypes),
        )


def read_tags(file: Path) -> dict[str, str]:
    """Return all tags of a raster file by their names in small letters; the general ones win."""
    found: dict[str, str] = {}
    with open_dataset(file) as dataset:
        for domain in [*(name for name in dataset.tag_namespaces() if not name.startswith("xml:")), None]:
            tags = dataset.tags(ns=domain) if domain else dataset.tags()
            found |= {name.lower(): value for name, value in tags.items()}
    return found


def _raster_file(file: Path, dataset: Any, bands: tuple[int, ...]) -> RasterFile:
    """Tell how the file says which pixels are valid: by values alone, in some other way, or not at all."""
    from rasterio.enums import MaskFlags

    flags = [dataset.mask_flag_enums[number - 1] for number in bands]
    nodata = [dataset.nodatavals[number - 1] for number in bands]
    by_value = all(flag == [MaskFlags.nodata] and value is not None for flag, value in zip(flags, nodata))
    # Values that the type cannot hold, as -9999 of bytes, are left to GDAL to judge.
    by_value = by_value and all(_held_by(dataset.dtypes[n - 1], v) for n, v in zip(bands, nodata))
    masked = not by_value and any(MaskFlags.all_valid not in flag for flag in flags)
    return RasterFile(file, bands, tuple(map(float, nodata)) if by_value else None, masked)


def _held_by(kind: str, value: float) -> bool:
    """Whether a nodata value is one that pixels of a type can have."""
    if np.dtype(kind).kind == "f":
        return bool(np.isnan(value)) or float(np.dtype(kind).type(value)) == value
    bounds = np.iinfo(kind)
    return value == int(value) and bounds.min <= value <= bounds.max if np.isfinite(value) else False


def _cell(dataset: Any) -> Span:
    """Return one block of the file, or so many beside each other that a cell is not small."""
    height, width = (
        min(block * -(-_LEAST_CELL // block), limit)
        for block, limit in zip(dataset.block_shapes[0], dataset.shape)
    )
    return height, width


def _lattice(file: Path, dataset: Any) -> Lattice:
    import pyproj

    step = dataset.transform
    if dataset.crs is None or step.is_identity or step.is_degenerate or not np.isfinite(step[:6]).all():
        rule = "a raster needs a reference system (CRS) and a place"
        fix = f"gdal_edit.py -a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH {in_a_shell(file.name)}"
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
