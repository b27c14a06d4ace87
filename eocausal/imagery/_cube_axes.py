"""Where the pixels of a data cube lie: its axes, their spacing, and its reference system."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError, explain
from eocausal.imagery.tiles import Span
from eocausal.imagery.windows import Lattice, is_geographic

if TYPE_CHECKING:
    import xarray

X_NAMES = ("x", "lon", "longitude", "easting")
Y_NAMES = ("y", "lat", "latitude", "northing")
TIME_NAMES = ("time", "t", "date", "datetime")
_DEGREES = ("lon", "longitude", "lat", "latitude")
# Coordinates may lie so far off an even spacing, in pixels: single precision rounds degrees this much.
EVEN = 0.05


@dataclass(frozen=True)
class Axis:
    """One axis of evenly spaced pixel centres.

    ``start`` is the outer edge of the first pixel in the direction of a raster (west or north), ``step`` the
    side of a pixel, ``turned`` whether the cube counts the other way.
    """

    name: str
    start: float
    step: float
    size: int
    turned: bool

    def stored(self, span: Span) -> slice:
        """Return where the pixels of a span, counted as in a raster, lie in the cube."""
        return slice(self.size - span[1], self.size - span[0]) if self.turned else slice(*span)


def find_dimension(dims: Sequence[Hashable], names: Sequence[str]) -> str | None:
    """Return the dimension that has one of some names, in any case."""
    found = [str(dim) for dim in dims if str(dim).lower() in names]
    return found[0] if len(found) == 1 else None


def find_axes(cube: xarray.Dataset, dims: Sequence[Hashable]) -> tuple[Axis, Axis]:
    """Return the axes along y and x, or raise ImageryError."""
    y, x = find_dimension(dims, Y_NAMES), find_dimension(dims, X_NAMES)
    if y is None or x is None:
        rule = f"one dimension of {', '.join(Y_NAMES)} and one of {', '.join(X_NAMES)}"
        fix = 'cube = cube.rename({"...": "y", "...": "x"})'
        text = "The cube has no axes that say where its pixels lie."
        raise ImageryError(explain(text, where=list(dims), rule=rule, fix=fix))
    return _axis(cube, y, falls=True), _axis(cube, x, falls=False)


def _axis(cube: xarray.Dataset, name: str, *, falls: bool) -> Axis:
    """Return an axis; rasters count y from north, so it ``falls`` from row to row."""
    if name not in cube.coords:
        fix = f"cube = cube.assign_coords({name}=...), the centres of its pixels"
        raise ImageryError(explain(f"Axis {name!r} of the cube has no coordinates.", fix=fix))
    centres = np.asarray(cube[name].values)
    if centres.ndim != 1 or centres.dtype.kind not in "iuf" or not np.isfinite(centres).all():
        raise ImageryError(explain(f"Coordinates of axis {name!r} are not numbers along one line."))
    if len(centres) < 2:
        text = f"Axis {name!r} has {len(centres)} pixel, so its spacing is not known."
        raise ImageryError(explain(text, rule="at least two pixels along each axis"))
    centres = centres.astype(np.float64)
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    off = np.abs(centres - (centres[0] + step * np.arange(len(centres)))) / abs(step) if step else np.ones(1)
    if not step or off.max() > EVEN:
        worst = int(off.argmax())
        rule = f"pixel centres lie evenly, each within {EVEN:g} of a pixel of its place"
        fix = "Interpolate it to a regular grid: cube.interp(...), or odc.geo.xr.xr_reproject(cube, geobox)"
        text = f"Axis {name!r} is not evenly spaced: it is up to {off.max():.3g} of a pixel off."
        raise ImageryError(explain(text, where=[f"{name}={centres[worst]:.10g}"], rule=rule, fix=fix))
    turned = bool((step > 0) == falls)
    first = centres[-1] if turned else centres[0]
    side = abs(step)
    return Axis(name, first + side / 2 if falls else first - side / 2, side, len(centres), turned)


def lattice_of(y: Axis, x: Axis, crs: str) -> Lattice:
    """Return the lattice, north up."""
    return Lattice(crs, x.step, 0.0, x.start, 0.0, -y.step, y.start)


def find_crs(cube: xarray.Dataset, bands: Sequence[str], axes: tuple[Axis, Axis], given: str | None) -> str:
    """Return the reference system: what is given, what the cube says, or degrees where its axes are named so."""
    said = [_readable(text, where) for where, text in _said(cube, bands)]
    asked = None if given is None else _readable(given, "crs=")
    known = list(dict.fromkeys(one for one in [*said, asked] if one is not None))
    if len(known) > 1:
        fix = "Leave out crs=, or mend the cube's attributes."
        text = "The cube names more than one reference system."
        raise ImageryError(explain(text, where=[one[:60] for one in known], fix=fix))
    if known:
        return known[0]
    if all(axis.name.lower() in _DEGREES for axis in axes):
        y, x = axes
        if y.start <= 90.5 and y.start - y.step * y.size >= -90.5 and x.step * x.size <= 361:
            return "EPSG:4326"
    fix = 'cube_scenes(cube, crs="EPSG:32636")'
    text = "The cube does not say what its coordinates are."
    rule = "a grid mapping (spatial_ref, crs), an attribute crs, or axes named latitude and longitude"
    raise ImageryError(explain(text, rule=rule, fix=fix))


def _said(cube: xarray.Dataset, bands: Sequence[str]) -> list[tuple[str, object]]:
    """Return what the cube says of its reference system, with where."""
    mappings = {
        cube[band].attrs.get("grid_mapping", cube[band].encoding.get("grid_mapping")) for band in bands
    }
    names = [str(name) for name in mappings if name] or ["spatial_ref", "crs"]
    found: list[tuple[str, object]] = []
    for name in sorted(names):
        if name in cube.variables and cube[name].ndim == 0:
            found.append((name, dict(cube[name].attrs)))
    found += [("attribute crs", cube.attrs["crs"])] if "crs" in cube.attrs else []
    found += [(band, cube[band].attrs["crs"]) for band in bands if "crs" in cube[band].attrs]
    return found


def _readable(said: object, where: str) -> str | None:
    """Return a reference system as EPSG code or WKT; None of a grid mapping that says nothing."""
    import pyproj

    if isinstance(said, Mapping):
        text = said.get("crs_wkt") or said.get("spatial_ref") or said.get("epsg_code")
        if not text and "grid_mapping_name" not in said:
            return None
        said = text or dict(said)
    if isinstance(said, str):
        # an old way of writing EPSG codes, which pyproj warns of
        said = re.sub(r"^\+?init=(epsg:\d+)$", r"\1", said.strip(), flags=re.IGNORECASE)
    try:
        made: Any = pyproj.CRS.from_cf(said) if isinstance(said, dict) else pyproj.CRS.from_user_input(said)
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError) as cause:
        text = f"The reference system of the cube cannot be read from {where}."
        raise ImageryError(explain(text, rule=str(cause)[:200], fix='crs="EPSG:32636"')) from cause
    if not (made.is_geographic or made.is_projected):
        text = f"The cube has a reference system that cannot be used: {made.name}."
        raise ImageryError(explain(text, rule="geographic or projected"))
    code = made.to_epsg(min_confidence=90)
    return f"EPSG:{code}" if code else str(made.to_wkt())


def find_days(cube: xarray.Dataset, dim: str | None) -> list[np.datetime64 | None]:
    """Return the day of each step of time; one, perhaps unknown, of a cube without that dimension."""
    name = dim or next((str(one) for one in cube.coords if str(one).lower() in TIME_NAMES), None)
    if name is None or name not in cube.coords:
        if dim is not None:
            fix = 'cube = cube.assign_coords(time=pd.to_datetime(["2018-06-01", ...]))'
            raise ImageryError(explain(f"Axis {dim!r} of the cube has no dates.", fix=fix))
        return [None]
    stamps: npt.NDArray[Any] = np.atleast_1d(cube[name].values)
    if stamps.dtype.kind != "M":
        if all(isinstance(one, (datetime.date, np.datetime64)) for one in stamps.tolist()):
            stamps = stamps.astype("datetime64[D]")
        else:
            fix = (
                f'cube = cube.assign_coords({name}=pd.to_datetime(...)), or cube.convert_calendar("standard")'
            )
            raise ImageryError(explain(f"Axis {name!r} holds {stamps.dtype} and no dates.", fix=fix))
    days = _last_days(cube, name, stamps)
    if np.isnat(days).any():
        raise ImageryError(
            explain(f"Axis {name!r} has steps without a date.", where=np.flatnonzero(np.isnat(days)))
        )
    return list(days)


def _last_days(cube: xarray.Dataset, name: str, stamps: npt.NDArray[Any]) -> npt.NDArray[np.datetime64]:
    """Return the last day of each step: of periods, by their bounds, the one before the next begins."""
    bounds = cube[name].attrs.get("bounds", cube[name].encoding.get("bounds"))
    if bounds is not None and str(bounds) in cube.variables:
        edges = np.asarray(cube[str(bounds)].values)
        if edges.dtype.kind == "M" and edges.shape == (len(stamps), 2):
            first, last = edges.min(axis=1), edges.max(axis=1)
            within = np.where(last > first, last - np.timedelta64(1, "s"), last)
            days: npt.NDArray[np.datetime64] = within.astype("datetime64[D]")
            return days
    return stamps.astype("datetime64[D]")


def check_degrees(lattice: Lattice) -> None:
    """Raise ImageryError when coordinates called degrees cannot be."""
    if is_geographic(lattice.crs) and (abs(lattice.f) > 91 or abs(lattice.c) > 541):
        text = f"The cube begins at x={lattice.c:g}, y={lattice.f:g}, which are no degrees."
        raise ImageryError(explain(text, fix='crs="EPSG:32636", the system of these coordinates'))
