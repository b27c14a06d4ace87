"""Data cubes of xarray as scenes: one raster for each step of time, read window by window."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError, explain
from eocausal.imagery._cube_axes import (
    TIME_NAMES,
    X_NAMES,
    Y_NAMES,
    Axis,
    check_degrees,
    find_axes,
    find_crs,
    find_days,
    find_dimension,
    lattice_of,
)
from eocausal.imagery._cube_files import CubeFile, cube_file, needs_extra
from eocausal.imagery.cloud_model import CloudModel
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.scenes import Scenes
from eocausal.imagery.screening import as_radiometry
from eocausal.imagery.tiles import OpenRaster, Span, Tile, Window, choose_bands

if TYPE_CHECKING:
    import xarray

__all__ = ["Cube", "CubeDay", "cube_scenes"]

_LEAST_CELL = 256
_BAND_NAMES = ("band", "bands", "variable")
_FILLS = ("_FillValue", "missing_value", "nodata", "_nodata")
# Pixels that are hashed at a time.
_HASHED = 2**22


@dataclass(frozen=True, eq=False)
class Cube:
    """A cube that was checked: which variables are its bands, and how they lie.

    ``fills`` are the values of each band for no data; ``scales`` what its stored numbers are multiplied by,
    and what is then added, None where nothing is.
    """

    name: str
    data: xarray.Dataset
    bands: tuple[str, ...]
    axes: tuple[Axis, Axis]
    time: str | None
    fills: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, float] | None, ...]
    file: CubeFile | None

    def window(self, step: int, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read a window of one step of time; nothing else is loaded."""
        y, x = self.axes
        names = [self.bands[band] for band in bands]
        place: dict[str, Any] = {y.name: y.stored(rows), x.name: x.stored(columns)}
        if self.time is not None:
            place[self.time] = step
        part = self.data[names].isel(place).transpose(y.name, x.name, missing_dims="ignore").compute()
        turn = slice(None, None, -1 if y.turned else 1), slice(None, None, -1 if x.turned else 1)
        layers, valid = [], []
        for band, name in zip(bands, names):
            stored = np.asarray(part[name].values)[turn]
            valid.append(_valid(stored, self.fills[band]))
            layers.append(_scaled(stored, self.scales[band]))
        known: npt.NDArray[np.bool_] = np.logical_and.reduce(valid)
        return np.stack(layers), None if known.all() else known

    def fingerprint(self, step: int) -> dict[str, Any]:
        """Return what tells the pixels of one step of time."""
        if self.file is not None:
            return self.file.content
        if any(self.data[name].chunks is not None for name in self.bands):
            return {
                "graph": _hash_text(str(getattr(self.data[name].data, "name", "")) for name in self.bands)
            }
        digest = hashlib.sha256()
        height, width = (axis.size for axis in self.axes)
        rows = max(1, _HASHED // width)
        for band in range(len(self.bands)):
            for top in range(0, height, rows):
                pixels, valid = self.window(step, [band], (top, min(top + rows, height)), (0, width))
                digest.update(f"{pixels.dtype}{pixels.shape}".encode())
                digest.update(np.ascontiguousarray(pixels).tobytes())
                digest.update(b"" if valid is None else np.ascontiguousarray(valid).tobytes())
        return {"sha256": digest.hexdigest()}


@dataclass(frozen=True)
class CubeDay:
    """One step of time of a cube; ``name`` is what errors and accounts call it."""

    cube: Cube
    step: int
    name: str

    def open(self) -> OpenRaster:
        """Open it: the cube is open already."""
        return OpenCubeDay(self)

    def recipe(self) -> dict[str, Any]:
        """Return name, bands, place and a hash of the content."""
        y, x = self.cube.axes
        scales = {band: scale for band, scale in zip(self.cube.bands, self.cube.scales) if scale is not None}
        return {
            "name": self.name,
            "bands": list(self.cube.bands),
            "place": [x.start, y.start, x.step, y.step, x.size, y.size],
            "step": self.step,
            **({"scales": scales} if scales else {}),
            **self.cube.fingerprint(self.step),
        }


@dataclass(frozen=True)
class OpenCubeDay:
    """One step of time of a cube, while it is read."""

    day: CubeDay

    def read(self, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands of a window: not valid are fill values, NaN and infinite pixels."""
        try:
            return self.day.cube.window(self.day.step, bands, rows, columns)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as cause:
            if isinstance(cause, ImageryError):
                raise
            text = f"Cube {self.day.name!r} cannot be read at rows {rows}, columns {columns}."
            rule = f"{type(cause).__name__}: {str(cause)[:300]}"
            raise ImageryError(explain(text, rule=rule, fix="Get the file again.")) from cause

    def close(self) -> None:
        """Nothing is held that the cube does not hold."""


def cube_scenes(
    cube: xarray.Dataset | xarray.DataArray | str | Path,
    *,
    bands: Sequence[int | str] | int | str | None = None,
    crs: str | None = None,
    sensor: str | None = None,
    pixel_unit: str | Radiometry | None = None,
    quality: Quality | CloudModel | None = None,
) -> Scenes:
    """Take a data cube of xarray, or on disk, as scenes: one for each step of time.

    Parameters
    ----------
    cube : xarray.Dataset, xarray.DataArray, or path
        A Dataset whose variables are bands, or a DataArray with or without a dimension ``band``, over axes
        ``y, x`` (or latitude and longitude, northing and easting) and, where there are several days,
        ``time``. Coordinates are the centres of pixels, evenly spaced, in either direction. Or a folder of
        Zarr (version 2 or 3) or a NetCDF 4 file (.nc). Nothing but axes is read before chips are cut, and then
        only windows.
    bands : sequence, optional
        Variables to take, by name or 1-based number, in this order; default all over y and x, those of a
        Zarr folder in the order of the alphabet.
    crs : str, optional
        The reference system of the axes where the cube has no grid mapping (``spatial_ref``, ``crs``) or
        attribute ``crs``. Axes named latitude and longitude are degrees (EPSG:4326) without it.
    sensor : str, optional
        The sensor of all days.
    pixel_unit, quality : optional
        As for :func:`chips`; they then need not be said there.

    Returns
    -------
    Scenes

    Raises
    ------
    ImageryError
        When axes, dates or the reference system are missing or cannot be used, spacing is uneven, bands are
        of different axes, or files are damaged, remote or name what is not safe to open.

    Notes
    -----
    Not valid are NaN, infinite pixels, and the values that ``_FillValue``, ``missing_value`` or ``nodata``
    of a variable's attributes name.

    A step of time is dated by the last day of its bounds (CF ``bounds``), where it has any, so that the guard
    on dates knows what a composite may show; else by its label.

    Bands with ``flag_values`` or ``flag_masks`` hold classes and are never interpolated.

    A file's own ``scale_factor`` and ``add_offset`` are applied once, after that; ``pixel_unit`` then says
    what the numbers are after it. A Dataset in memory whose attributes still hold them is refused, since
    whether they were applied cannot be told: pass ``xarray.decode_cf(cube)``, or drop the attributes.

    A cube of dask arrays is computed by windows with the scheduler that is configured for dask, and known in
    records by its graph; one of pixels in memory by a hash of them.

    Examples
    --------
    >>> import numpy as np, pandas as pd, xarray as xr, eocausal as ec
    >>> days = pd.to_datetime(["2018-06-01", "2018-07-01"])
    >>> pixels = np.arange(2 * 40 * 40, dtype="uint16").reshape(2, 40, 40)
    >>> cube = xr.Dataset({"red": (("time", "y", "x"), pixels)}, {"time": days,
    ...                    "y": 19_985.0 - 30 * np.arange(40), "x": 500_015.0 + 30 * np.arange(40)})
    >>> ec.cube_scenes(cube, crs="EPSG:32636").table()[["scene", "date", "crs", "pixel_x"]]
                 scene        date         crs  pixel_x
    0  cube 2018-06-01  2018-06-01  EPSG:32636     30.0
    1  cube 2018-07-01  2018-07-01  EPSG:32636     30.0
    """
    needs_extra()
    file = cube_file(cube) if isinstance(cube, (str, Path)) else None
    found = _as_dataset(cube if file is None else file.open())
    names = _bands(found, bands, quality)
    time = _time(found, names)
    axes = find_axes(found, found[names[0]].dims)
    system = find_crs(found, names, axes, crs)
    lattice = lattice_of(*axes, system)
    check_degrees(lattice)
    made = Cube(
        name="cube" if file is None else file.path.name,
        data=found[list(names)],
        bands=names,
        axes=axes,
        time=time,
        fills=tuple(_fills(found[name]) for name in names),
        scales=tuple(_scale(found[name], name, on_disk=file is not None) for name in names),
        file=file,
    )
    days = find_days(found, time)
    y, x = axes
    tiles = [
        Tile(
            raster=CubeDay(made, step, name),
            lattice=lattice,
            height=y.size,
            width=x.size,
            names=names,
            categorical=_has_classes(found, names, quality),
            cell=(_cell(found[names[0]], y), _cell(found[names[0]], x)),
            date=day,
            sensor=sensor,
        )
        for step, (day, name) in enumerate(zip(days, _names(made.name, days)))
    ]
    return Scenes(tuple(tiles), as_radiometry(pixel_unit), quality)


def _as_dataset(cube: object) -> xarray.Dataset:
    """Return the cube with one variable for each band."""
    import xarray

    if isinstance(cube, xarray.Dataset):
        return cube
    if not isinstance(cube, xarray.DataArray):
        fix = "Give an xarray.Dataset or DataArray, a Zarr folder or a .nc file; files of pixels go to ec.scenes."
        raise ImageryError(explain(f"A cube cannot be read from a {type(cube).__name__}.", fix=fix))
    band = find_dimension(cube.dims, _BAND_NAMES)
    if band is None:
        return cube.to_dataset(name=str(cube.name or "band1"))
    labels = cube[band].values.tolist() if band in cube.coords else list(range(1, cube.sizes[band] + 1))
    names = [label if isinstance(label, str) else f"band{label}" for label in labels]
    if len(set(names)) < len(names):
        raise ImageryError(explain(f"Axis {band!r} of the cube names a band twice.", where=names))
    layers = {name: cube.isel({band: i}, drop=True).rename(name) for i, name in enumerate(names)}
    return xarray.Dataset(layers, attrs=cube.attrs)


def _bands(
    cube: xarray.Dataset, asked: Sequence[int | str] | int | str | None, quality: Quality | CloudModel | None
) -> tuple[str, ...]:
    """Return the variables that are bands, all of numbers and over the same axes."""
    flat = [
        str(name)
        for name, variable in cube.data_vars.items()
        if find_dimension(variable.dims, X_NAMES) and find_dimension(variable.dims, Y_NAMES)
    ]
    if not flat:
        find_axes(cube, list(cube.dims))
        raise ImageryError(explain("The cube has no variable over y and x.", where=list(cube.data_vars)))
    names = [flat[place] for place in choose_bands(flat, asked)]
    flags = quality.band if isinstance(quality, Quality) else None
    if isinstance(flags, str) and flags in flat and flags not in names:
        names.append(flags)
    first = cube[names[0]]
    for name in names:
        variable = cube[name]
        if variable.dtype.kind not in "iufb":
            raise ImageryError(explain(f"Band {name!r} of the cube holds {variable.dtype} and no numbers."))
        if set(variable.dims) != set(first.dims):
            text = f"Bands {names[0]!r} and {name!r} of the cube have different axes."
            where = [" ".join(map(str, one.dims)) for one in (first, variable)]
            fix = f"bands={[one for one in names if set(cube[one].dims) == set(first.dims)]}"
            raise ImageryError(explain(text, where=where, fix=fix))
    return tuple(names)


def _time(cube: xarray.Dataset, names: Sequence[str]) -> str | None:
    """Return the dimension of time; any other but y and x is refused."""
    dims = cube[names[0]].dims
    time = find_dimension(dims, TIME_NAMES)
    other = [str(dim) for dim in dims if str(dim) != time and str(dim).lower() not in (*X_NAMES, *Y_NAMES)]
    if other:
        fix = f"cube = cube.isel({other[0]}=0), or a DataArray whose dimension is called band"
        text = f"The cube has an axis {other[0]!r} that is neither time nor place."
        raise ImageryError(explain(text, where=other, fix=fix))
    return time


def _has_classes(cube: xarray.Dataset, names: Sequence[str], quality: object) -> bool:
    """Whether the values of a band, other than the quality band, are classes or flags."""
    flags = choose_bands(names, quality.band)[0] if isinstance(quality, Quality) else None
    others = [name for place, name in enumerate(names) if place != flags]
    return any({"flag_values", "flag_masks"} & set(cube[name].attrs) for name in others)


def _names(cube: str, days: Sequence[np.datetime64 | None]) -> list[str]:
    """Return names of the steps: the cube and the day, numbered where a day has several."""
    seen: dict[str, int] = {}
    names = []
    for day in days:
        name = cube if day is None else f"{cube} {day}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return names


def _cell(variable: xarray.DataArray, axis: Axis) -> int:
    """Return a chunk along an axis, or so many that a cell is not small."""
    chunk: object = None
    if variable.chunks is not None:
        chunk = variable.chunksizes[axis.name][0]
    else:
        preferred = variable.encoding.get("preferred_chunks")
        chunk = preferred.get(axis.name) if isinstance(preferred, Mapping) else None
    size = chunk if isinstance(chunk, int) and chunk > 0 else _LEAST_CELL
    return min(size * -(-_LEAST_CELL // size), axis.size)


def _fills(variable: xarray.DataArray) -> tuple[float, ...]:
    """Return the values that stand for no data."""
    found: list[float] = []
    for name in _FILLS:
        for value in np.atleast_1d(variable.attrs.get(name, [])).tolist():
            try:
                found.append(float(value))
            except (TypeError, ValueError, OverflowError) as cause:
                text = f"Attribute {name} of band {variable.name!r} is {value!r} and no number."
                raise ImageryError(explain(text)) from cause
    return tuple(dict.fromkeys(value for value in found if value == value))


def _scale(variable: xarray.DataArray, name: str, *, on_disk: bool) -> tuple[float, float] | None:
    """Return the scale and offset of stored numbers; refuse them in memory, where they may be applied."""
    if str(variable.attrs.get("_Unsigned", "false")).lower() == "true" and variable.dtype.kind == "i":
        fix = "xarray.open_dataset(path), which reads it, and pass the Dataset"
        raise ImageryError(explain(f"Band {name!r} holds unsigned numbers stored as signed.", fix=fix))
    try:
        scale = float(variable.attrs.get("scale_factor", 1.0))
        add = float(variable.attrs.get("add_offset", 0.0))
    except (TypeError, ValueError, OverflowError) as cause:
        raise ImageryError(explain(f"scale_factor or add_offset of band {name!r} is no number.")) from cause
    if scale == 1 and add == 0:
        return None
    if on_disk:
        return scale, add
    text = f"Whether scale_factor={scale:g} and add_offset={add:g} of band {name!r} were applied is not said."
    fix = f"cube = xarray.decode_cf(cube) to apply them, or del cube[{name!r}].attrs[...] where they were"
    raise ImageryError(explain(text, fix=fix))


def _valid(stored: npt.NDArray[Any], fills: Sequence[float]) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = np.ones(stored.shape, dtype=bool)
    if stored.dtype.kind == "f":
        known &= np.isfinite(stored)
    for value in fills:
        # in the pixels' own type where it is one of floats, as files are compared
        known &= stored != (stored.dtype.type(value) if stored.dtype.kind == "f" else value)
    return known


def _scaled(stored: npt.NDArray[Any], scale: tuple[float, float] | None) -> npt.NDArray[Any]:
    if stored.dtype.kind == "b":
        return stored.astype(np.uint8)
    if scale is None:
        return stored
    scaled: npt.NDArray[Any] = (stored.astype(np.float64) * scale[0] + scale[1]).astype(np.float32)
    return scaled


def _hash_text(parts: Any) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
