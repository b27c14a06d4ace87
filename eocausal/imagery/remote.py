"""Raster files on servers as tiles: opened by address and read window by window, where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError, explain
from eocausal.imagery._network import environment, host_of, is_remote, plain, quiet, remote_path, split
from eocausal.imagery.files import driver_for
from eocausal.imagery.limits import check_size
from eocausal.imagery.tiles import OpenRaster, Span, Tile, Window
from eocausal.imagery.windows import Lattice

__all__ = ["Address", "RemoteFile", "addresses", "read_address"]

# The sides of a cell are whole blocks, as many as reach this number of pixels: each is one request.
_LEAST_CELL = 512


@dataclass(frozen=True)
class Address:
    """Where a raster file lies on a server."""

    href: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePosixPath(unquote(split(self.href).path)).name


@dataclass(frozen=True)
class RemoteFile:
    """A raster file on a server; ``bands`` are the 1-based numbers of those that hold data."""

    address: Address
    bands: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.address.name

    def open(self) -> OpenRaster:
        """Open it with the driver its name allows."""
        return OpenRemote(self, _opened(self.address))

    def recipe(self) -> dict[str, Any]:
        """Return the address, without query and password."""
        return {"href": plain(self.address.href)}


@dataclass(eq=False)
class OpenRemote:
    """A raster file on a server that is open."""

    raster: RemoteFile
    dataset: Any

    def close(self) -> None:
        """Close it."""
        self.dataset.close()

    def read(self, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands of a window: not valid are nodata, masked, transparent, NaN and infinite pixels."""
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.windows import Window as PixelWindow

        numbers = [self.raster.bands[band] for band in bands]
        window = PixelWindow.from_slices(rows, columns)
        try:
            with rasterio.Env(**environment([self.raster.address.href])):
                pixels: npt.NDArray[Any] = self.dataset.read(numbers, window=window)
                valid: npt.NDArray[np.bool_] = (self.dataset.read_masks(numbers, window=window) != 0).all(
                    axis=0
                )
        except (RasterioError, OSError) as cause:
            text = f"Raster {plain(self.raster.address.href)!r} cannot be read at rows {rows}, columns {columns}."
            raise ImageryError(explain(text, rule=quiet(cause), fix="Try again, or leave it out.")) from None
        if pixels.dtype.kind == "f":
            valid &= np.isfinite(pixels).all(axis=0)
        return pixels, None if valid.all() else valid


def addresses(rasters: object, *, remote: bool) -> list[Address] | None:
    """Return the addresses that rasters are, None when they are paths; refuse them where not allowed."""
    given = [rasters] if isinstance(rasters, (str, Path)) else rasters
    if not isinstance(given, Sequence):
        return None
    far = [str(one) for one in given if isinstance(one, str) and is_remote(one)]
    if not far:
        return None
    if len(far) < len(given):
        raise ImageryError(explain("Paths and addresses are given together.", where=map(plain, far)))
    if not remote:
        hosts = sorted({host_of(href) for href in far})
        text = "Rasters on a server are read over the network, which was not allowed."
        raise ImageryError(explain(text, where=hosts, fix="ec.scenes(..., remote=True), or download them."))
    repeated = sorted({plain(href) for href in far if far.count(href) > 1})
    if repeated:
        raise ImageryError(explain("Rasters are given more than once.", where=repeated))
    return [Address(href) for href in far]


def read_address(address: Address) -> Tile:
    """Read the header of a raster file on a server."""
    from rasterio.enums import ColorInterp

    with _opened(address) as dataset:
        check_size(Path(address.name), dataset)
        bands = tuple(i for i, kind in zip(dataset.indexes, dataset.colorinterp) if kind != ColorInterp.alpha)
        if not bands or any("complex" in kind for kind in dataset.dtypes):
            raise ImageryError(explain(f"Raster {address.name!r} has no bands of real numbers."))
        blocks = zip(dataset.block_shapes[0], dataset.shape)
        height, width = (min(block * -(-_LEAST_CELL // block), limit) for block, limit in blocks)
        return Tile(
            raster=RemoteFile(address, bands),
            lattice=_lattice(address, dataset),
            height=dataset.height,
            width=dataset.width,
            names=tuple((dataset.descriptions[i - 1] or "").strip() for i in bands),
            categorical=ColorInterp.palette in dataset.colorinterp,
            cell=(height, width),
        )


def _opened(address: Address) -> Any:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        driver = driver_for(remote_path(address.href))
        with rasterio.Env(**environment([address.href])):
            return rasterio.open(address.href, driver=driver)
    except (RasterioError, OSError, ImageryError) as cause:
        text = f"Raster {plain(address.href)!r} cannot be opened."
        raise ImageryError(explain(text, rule=quiet(cause), fix="Check the address.")) from None


def _lattice(address: Address, dataset: Any) -> Lattice:
    import pyproj

    step = dataset.transform
    if dataset.crs is None or step.is_identity or step.is_degenerate or not np.isfinite(step[:6]).all():
        fix = "Download it, and gdal_edit.py -a_srs EPSG:... -a_ullr WEST NORTH EAST SOUTH"
        raise ImageryError(explain(f"Raster {address.name!r} has no georeference.", fix=fix))
    crs = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    if not (crs.is_geographic or crs.is_projected):
        text = f"Raster {address.name!r} has a reference system that cannot be used."
        raise ImageryError(explain(text, rule="geographic or projected"))
    code = crs.to_epsg(min_confidence=90)
    return Lattice(f"EPSG:{code}" if code else crs.to_wkt(), step.a, step.b, step.c, step.d, step.e, step.f)
