"""TESSERA tiles as geotessera downloads them, written as GeoTIFF that chips are cut from.

A tile is a pair of arrays, ``grid_LON_LAT.npy`` (int8: height, width, bands) and ``grid_LON_LAT_scales.npy``
(float32: height, width, or with bands), whose product is the embedding, and a landmask ``grid_LON_LAT.tiff`` on the
same pixels, which alone says where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import write_atomically
from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain

__all__ = ["tessera_to_geotiff"]

# Side of a block of the file, and rows decoded at once.
_BLOCK_PX = 128
_GEOTIFF = (".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class _Tile:
    """Arrays of a tile, mapped and not read, and where its pixels are."""

    stored: npt.NDArray[np.int8]
    scales: npt.NDArray[Any]
    crs: Any
    transform: Any


def tessera_to_geotiff(
    embedding: str | Path, *, landmask: str | Path, out: str | Path, scales: str | Path | None = None
) -> Path:
    """Write a TESSERA tile, as geotessera downloads it, as a GeoTIFF for :func:`eocausal.chips`.

    Every number is multiplied by its scale. Pixels are not valid (NaN) where the scale is not finite, and where
    the numbers of all bands are zero, as they are over the sea. Versions of the model must not be mixed.

    Parameters
    ----------
    embedding : str or Path
        ``grid_LON_LAT.npy``: int8, shape (height, width, bands).
    landmask : str or Path
        ``grid_LON_LAT.tiff`` of geotessera's landmasks: it holds the reference system and the place.
    out : str or Path
        The GeoTIFF to write: float32, bands ``tessera_000``, ``tessera_001``, ...
    scales : str or Path, optional
        Default: the file beside ``embedding`` with ``_scales`` in its name.

    Returns
    -------
    Path
        The finished file.

    Raises
    ------
    ImageryError
        When a file is missing or damaged, holds another type or shape, or the landmask is not on the same pixels.

    Examples
    --------
    >>> import tempfile, numpy as np, rasterio, eocausal as ec
    >>> folder = tempfile.mkdtemp()
    >>> np.save(f"{folder}/grid_34.05_1.05.npy", np.full((4, 4, 128), 50, dtype="int8"))
    >>> np.save(f"{folder}/grid_34.05_1.05_scales.npy", np.full((4, 4), 0.25, dtype="float32"))
    >>> place = rasterio.transform.from_origin(616_000, 116_000, 10, 10)
    >>> with rasterio.open(f"{folder}/grid_34.05_1.05.tiff", "w", driver="GTiff", width=4, height=4, count=1,
    ...                    dtype="uint8", crs="EPSG:32636", transform=place) as mask:
    ...     mask.write(np.ones((1, 4, 4), dtype="uint8"))
    >>> file = ec.tessera_to_geotiff(f"{folder}/grid_34.05_1.05.npy", out=f"{folder}/tessera_2017.tif",
    ...                              landmask=f"{folder}/grid_34.05_1.05.tiff")
    >>> with rasterio.open(file) as written:
    ...     written.count, written.descriptions[0], float(written.read(1)[0, 0])
    (128, 'tessera_000', 12.5)
    """
    source = Path(embedding)
    beside = source.with_name(f"{source.stem}_scales.npy") if scales is None else Path(scales)
    target = Path(out)
    if target.suffix.lower() not in _GEOTIFF:
        raise ImageryError(explain(f"out={target.name!r} is not a GeoTIFF.", fix=f"out='{target.stem}.tif'"))
    if target.resolve() in {path.resolve() for path in (source, beside, Path(landmask))}:
        raise ImageryError(
            explain(f"out={target.name!r} is one of the files read.", fix="Give another name.")
        )
    tile = _open(source, beside, Path(landmask))
    return write_atomically(target, lambda temporary: _write(tile, temporary))


def _open(source: Path, beside: Path, landmask: Path) -> _Tile:
    stored, scales = _mapped(source), _mapped(beside)
    if stored.ndim != 3 or stored.dtype != np.int8 or 0 in stored.shape:
        text = f"{source.name!r} holds {stored.dtype} of shape {stored.shape}."
        raise ImageryError(
            explain(text, rule="int8 of shape (height, width, bands), as geotessera downloads")
        )
    if scales.shape not in (stored.shape, stored.shape[:2]) or scales.dtype.kind != "f":
        text = (
            f"{beside.name!r} holds {scales.dtype} of shape {scales.shape}, {source.name!r} {stored.shape}."
        )
        raise ImageryError(explain(text, rule="one float for each pixel, or for each number"))
    crs, transform, shape = _place(landmask)
    if shape != stored.shape[:2]:
        height, width, _ = stored.shape
        text = f"{landmask.name!r} has {shape[0]} x {shape[1]} pixels, {source.name!r} {height} x {width}."
        raise ImageryError(explain(text, rule="landmask and embedding are of one tile"))
    return _Tile(stored, scales, crs, transform)


def _mapped(file: Path) -> npt.NDArray[Any]:
    if not file.is_file():
        raise ImageryError(missing_file(file))
    try:
        array: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError) as cause:
        text = f"File {file.name!r} is damaged or not a .npy array of numbers."
        raise ImageryError(explain(text, rule=str(cause)[:200])) from cause
    if not isinstance(array, np.ndarray):
        raise ImageryError(explain(f"File {file.name!r} is not one .npy array."))
    return array


def _place(landmask: Path) -> tuple[Any, Any, tuple[int, int]]:
    import rasterio
    from rasterio.errors import RasterioIOError

    if not landmask.is_file():
        raise ImageryError(missing_file(landmask))
    if landmask.suffix.lower() not in _GEOTIFF:
        raise ImageryError(explain(f"Landmask {landmask.name!r} is not a GeoTIFF.", rule="grid_LON_LAT.tiff"))
    try:
        with rasterio.open(landmask, driver="GTiff") as mask:
            crs, transform, shape = mask.crs, mask.transform, mask.shape
    except RasterioIOError as cause:
        text = f"Landmask {landmask.name!r} cannot be opened."
        raise ImageryError(explain(text, rule=str(cause)[:200])) from cause
    if crs is None or transform.is_identity:
        raise ImageryError(explain(f"Landmask {landmask.name!r} does not say where it is."))
    return crs, transform, shape


def _write(tile: _Tile, temporary: Path) -> None:
    import rasterio
    from rasterio.windows import Window

    height, width, count = tile.stored.shape
    shape = {"height": height, "width": width, "count": count, "dtype": "float32", "nodata": np.nan}
    blocks = {"tiled": True, "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX, "interleave": "band"}
    packed = {"compress": "deflate", "predictor": 3, "zlevel": 1, "bigtiff": "if_safer"}
    with rasterio.open(
        temporary, "w", driver="GTiff", crs=tile.crs, transform=tile.transform, **shape, **blocks, **packed
    ) as written:
        written.descriptions = tuple(f"tessera_{number:03d}" for number in range(count))
        for top in range(0, height, _BLOCK_PX):
            rows = slice(top, min(top + _BLOCK_PX, height))
            part = _decoded(np.asarray(tile.stored[rows]), np.asarray(tile.scales[rows]))
            written.write(np.moveaxis(part, 2, 0), window=Window(0, top, width, part.shape[0]))


def _decoded(stored: npt.NDArray[np.int8], scales: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return numbers times scales, NaN in every band where a scale is not finite or all numbers are zero."""
    wide = scales[..., None] if scales.ndim == 2 else scales
    values = stored.astype(np.float32) * wide.astype(np.float32)
    absent = ~np.isfinite(wide).all(axis=2) | (stored == 0).all(axis=2)
    values[absent] = np.nan
    return values
