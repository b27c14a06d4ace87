"""Square windows around points on the ground: pure geometry, no files.

A *lattice* is a raster's grid of pixels. A *grid* is the n x n window of one chip: a north-up lattice of its
own that is either part of a raster's lattice (native) or lies in the unit's UTM zone. Pixel coordinates are
continuous: pixel k spans [k, k + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyproj

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

# Metric lattices may differ from ground metres, and from square pixels, by this share.
METRIC_TOLERANCE = 0.005
# Up in the lattice may differ from north by this many degrees.
NORTH_TOLERANCE = 10.0
# Lattices count as one when they differ by less than this share of a pixel.
ALIGNED = 0.01
# Absorbs rounding of coordinates, so that a unit on a pixel's edge always falls to the same side.
_EDGE = 1e-4
# Positions are transformed at so many nodes along a side at most, and interpolated between them.
_NODES = 33


@dataclass(frozen=True)
class Lattice:
    """A raster's grid of pixels: x = a col + b row + c, y = d col + e row + f, in ``crs``."""

    crs: str
    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def north_up(self) -> bool:
        """Whether rows run from north to south and columns from west to east."""
        return self.b == 0 and self.d == 0 and self.a > 0 and self.e < 0

    def pixel(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return the continuous (row, column) of points."""
        determinant = self.a * self.e - self.b * self.d
        dx, dy = x - self.c, y - self.f
        return (self.a * dy - self.d * dx) / determinant, (self.e * dx - self.b * dy) / determinant

    def point(self, row: Floats, column: Floats) -> tuple[Floats, Floats]:
        """Return the x, y of continuous (row, column)."""
        return self.a * column + self.b * row + self.c, self.d * column + self.e * row + self.f

    def moved(self, x: float) -> Lattice:
        """Return the lattice moved along x."""
        return replace(self, c=self.c + x)


@dataclass(frozen=True, eq=False)
class Grids:
    """The n x n window of each chip, arrays of shape (chips,) except ``side``.

    ``west`` and ``north`` are of the window's corner in ``crs``; ``row`` and ``column`` are the unit's own
    continuous pixel coordinates inside the window.
    """

    crs: npt.NDArray[Any]
    west: Floats
    north: Floats
    x_size: Floats
    y_size: Floats
    row: Floats
    column: Floats
    side: int

    def __len__(self) -> int:
        return len(self.west)


def first_pixel(centre: npt.ArrayLike, side: int) -> Integers:
    """Return the first pixel of a window of ``side`` pixels whose middle is nearest to ``centre``.

    With an odd side, the unit lies in the middle pixel; with an even side, the boundary between the two
    middle pixels (``side // 2 - 1`` and ``side // 2``) is the one nearest to the unit. The middle is never
    more than half a pixel off; ties go to the higher pixel.

    Examples
    --------
    >>> first_pixel([10.2, 10.7], 3).tolist()
    [9, 9]
    >>> first_pixel([10.2, 10.7], 4).tolist()
    [8, 9]
    """
    first: Integers = np.floor(np.asarray(centre, dtype=np.float64) - side / 2 + 0.5 + _EDGE).astype(np.int64)
    return first


def native_grids(lattices: list[Lattice], home: Integers, rows: Floats, columns: Floats, side: int) -> Grids:
    """Return windows cut along the lattice ``home`` of each chip, around pixel coordinates there."""
    here = np.where(np.isfinite(rows) & np.isfinite(columns), 0.0, np.nan)
    top = first_pixel(np.nan_to_num(rows), side) + here
    left = first_pixel(np.nan_to_num(columns), side) + here
    a, c, e, f = (np.array([getattr(lattice, name) for lattice in lattices])[home] for name in "acef")
    crs = np.array([lattice.crs for lattice in lattices], dtype=object)[home]
    return Grids(crs, c + a * left, f + e * top, a, -e, rows - top, columns - left, side)


def utm_grids(easting: Floats, northing: Floats, zones: Integers, size: float, side: int) -> Grids:
    """Return windows of ``side`` pixels of ``size`` metres centred on points in UTM zones (EPSG codes)."""
    crs = np.array([f"EPSG:{zone}" for zone in zones.tolist()], dtype=object)
    sizes, middle = np.full(len(zones), size), np.full(len(zones), side / 2)
    west, north = easting - side * size / 2, northing + side * size / 2
    return Grids(crs, west, north, sizes, sizes, middle, middle, side)


def project(longitude: Floats, latitude: Floats, crs: str) -> tuple[Floats, Floats]:
    """Return x, y of points in ``crs``; NaN where that system does not lead back to the same point."""
    transformer = transformer_between("EPSG:4326", crs)
    x, y = (np.asarray(v, dtype=np.float64) for v in transformer.transform(longitude, latitude))
    back = transformer.transform(x, y, direction="INVERSE")
    with np.errstate(invalid="ignore"):
        turn = np.abs((np.asarray(back[0]) - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
        same = (
            np.isfinite(x) & np.isfinite(y) & (turn < 1e-5) & (np.abs(np.asarray(back[1]) - latitude) < 1e-5)
        )
    return np.where(same, x, np.nan), np.where(same, y, np.nan)


@lru_cache(maxsize=512)
def transformer_between(source: str, target: str) -> pyproj.Transformer:
    """Return the transformer between two reference systems, x before y."""
    import pyproj

    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=512)
def is_geographic(crs: str) -> bool:
    """Whether coordinates in ``crs`` are degrees."""
    import pyproj

    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


def ground_pixel(lattice: Lattice, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Measure one pixel on the ground at points of the lattice.

    Returns
    -------
    tuple of numpy.ndarray
        Metres along a step of one column, metres along a step of one row, and how many degrees up in the
        lattice lies off north.
    """
    import pyproj

    to_degrees = transformer_between(lattice.crs, "EPSG:4326")
    corners = [(x, y), (x + lattice.a, y + lattice.d), (x - lattice.b, y - lattice.e)]
    (lon, lat), (lon_side, lat_side), (lon_up, lat_up) = (to_degrees.transform(*corner) for corner in corners)
    ground = pyproj.Geod(ellps="WGS84")
    across = np.asarray(ground.inv(lon, lat, lon_side, lat_side)[2], dtype=np.float64)
    azimuth, _, along = (np.asarray(v, dtype=np.float64) for v in ground.inv(lon, lat, lon_up, lat_up))
    return across, along, np.abs(azimuth)


def is_metric(lattice: Lattice, x: Floats, y: Floats) -> bool:
    """Whether the lattice's own pixels are square ground metres, north up, at all these points."""
    if not lattice.north_up or is_geographic(lattice.crs):
        return False
    across, along, off_north = ground_pixel(lattice, x, y)
    close = (
        (np.abs(across / lattice.a - 1) <= METRIC_TOLERANCE)
        & (np.abs(along / -lattice.e - 1) <= METRIC_TOLERANCE)
        & (off_north <= NORTH_TOLERANCE)
    )
    return bool(close.all()) and abs(lattice.a / -lattice.e - 1) <= METRIC_TOLERANCE


class _Placed(Protocol):
    """What has a lattice and a size."""

    @property
    def lattice(self) -> Lattice: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


def touching(grids: Grids, rasters: Sequence[_Placed]) -> Bools:
    """Tell which windows share ground with which rasters, shape (windows, rasters)."""
    found = np.empty((len(grids), len(rasters)), dtype=bool)
    for crs in {raster.lattice.crs for raster in rasters}:
        x, y = outlines(grids, crs)
        for place, raster in enumerate(rasters):
            if raster.lattice.crs == crs:
                rows, columns = raster.lattice.pixel(x, y)
                with np.errstate(invalid="ignore"):
                    found[:, place] = (
                        (rows.max(axis=1) > ALIGNED)
                        & (rows.min(axis=1) < raster.height - ALIGNED)
                        & (columns.max(axis=1) > ALIGNED)
                        & (columns.min(axis=1) < raster.width - ALIGNED)
                    )
    return found


def outlines(grids: Grids, target: str) -> tuple[Floats, Floats]:
    """Return x and y in another system of nine points of each window: its corners, sides and middle."""
    # The last point is the middle of the window.
    edge = np.array([(0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1), (1, 0.5), (1, 0), (0.5, 0), (0.5, 0.5)])
    x = grids.west[:, None] + edge[:, 1] * (grids.side * grids.x_size)[:, None]
    y = grids.north[:, None] - edge[:, 0] * (grids.side * grids.y_size)[:, None]
    for crs in set(grids.crs.tolist()):
        here = grids.crs == crs
        x[here], y[here] = _into(x[here], y[here], (x[here, -1], y[here, -1]), crs, target)
    return x, y


def offset_in(grids: Grids, index: int, lattice: Lattice) -> tuple[int, int] | None:
    """Return the (row, column) of a window's corner in a lattice, or None when their pixels do not coincide."""
    offsets, aligned = offsets_in(grids, np.array([index]), lattice)
    return (int(offsets[0, 0]), int(offsets[0, 1])) if aligned[0] else None


def offsets_in(grids: Grids, some: npt.NDArray[np.intp], lattice: Lattice) -> tuple[Integers, Bools]:
    """Return the (row, column) of windows' corners in a lattice, (n, 2), and which coincide with its pixels."""
    if not lattice.north_up:
        return np.zeros((len(some), 2), dtype=np.int64), np.zeros(len(some), dtype=bool)
    drift = np.maximum(
        np.abs(grids.x_size[some] / lattice.a - 1), np.abs(grids.y_size[some] / -lattice.e - 1)
    )
    exact = np.stack(
        [(grids.north[some] - lattice.f) / lattice.e, (grids.west[some] - lattice.c) / lattice.a], axis=1
    )
    nearest = np.rint(exact)
    off = np.abs(exact - nearest).max(axis=1) + drift * grids.side
    aligned: Bools = (grids.crs[some] == lattice.crs) & (off <= ALIGNED)
    return np.where(aligned[:, None], nearest, 0).astype(np.int64), aligned


def positions(grids: Grids, index: int, lattice: Lattice) -> tuple[Floats, Floats]:
    """Return the continuous (row, column) in a lattice of every pixel centre of a window, shape (n, n).

    Transformed at up to 33 x 33 nodes and interpolated between them, which errs by far less than a
    hundredth of a pixel for windows up to a hundred kilometres.
    """
    side = grids.side
    nodes = np.linspace(0.5, side - 0.5, min(side, _NODES))
    x, y = np.meshgrid(
        grids.west[index] + nodes * grids.x_size[index], grids.north[index] - nodes * grids.y_size[index]
    )
    middle = (
        grids.west[[index]] + 0.5 * grids.side * grids.x_size[[index]],
        grids.north[[index]] - 0.5 * grids.side * grids.y_size[[index]],
    )
    x, y = _into(x[None], y[None], middle, grids.crs[index], lattice.crs)
    rows, columns = lattice.pixel(x[0], y[0])
    if len(nodes) == side:
        return rows, columns
    # Linear interpolation along each side, as a matrix.
    spread = np.stack([np.interp(np.arange(side) + 0.5, nodes, unit) for unit in np.eye(len(nodes))], axis=1)
    return spread @ rows @ spread.T, spread @ columns @ spread.T


def _into(
    x: Floats, y: Floats, middle: tuple[Floats, Floats], source: str, target: str
) -> tuple[Floats, Floats]:
    """Transform points, shape (groups, ...), keeping each group in one turn of longitude around its middle."""
    if source == target:
        return x, y
    transform = transformer_between(source, target).transform
    new_x, new_y = (np.asarray(v, dtype=np.float64) for v in transform(x, y))
    lost = ~(np.isfinite(new_x) & np.isfinite(new_y))
    new_x, new_y = np.where(lost, np.nan, new_x), np.where(lost, np.nan, new_y)
    if is_geographic(target):
        anchor = np.asarray(transform(*middle)[0], dtype=np.float64)
        anchor = np.where(np.isfinite(anchor), anchor, np.nan).reshape(-1, *([1] * (new_x.ndim - 1)))
        new_x = anchor + (new_x - anchor + 180) % 360 - 180
    return new_x, new_y


def sample_bilinear(
    values: npt.NDArray[np.float32], rows: Floats, columns: Floats
) -> npt.NDArray[np.float32]:
    """Interpolate pixels at continuous positions, never across to pixels that are not valid.

    Parameters
    ----------
    values : numpy.ndarray
        float32, shape (bands, height, width); NaN in every band where a pixel is not valid.
    rows, columns : numpy.ndarray
        Continuous pixel coordinates; the centre of pixel k is k + 0.5.

    Returns
    -------
    numpy.ndarray
        float32, shape (bands, *rows.shape): the mean of the four nearest valid pixels weighted by
        nearness; NaN where the pixel at the position itself is not valid or is off the array.

    Examples
    --------
    >>> ramp = np.array([[[0.0, 1.0, 2.0]]], dtype=np.float32)
    >>> sample_bilinear(ramp, np.full(3, 0.5), np.array([0.5, 1.25, 3.1])).tolist()
    [[0.0, 0.75, nan]]
    """
    _, height, width = values.shape
    valid = ~np.isnan(values[0])
    with np.errstate(invalid="ignore"):
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    r, c = np.where(inside, rows, 0.0) - 0.5, np.where(inside, columns, 0.0) - 0.5
    row, column = np.floor(r).astype(np.intp), np.floor(c).astype(np.intp)
    down, right = r - row, c - column
    total = np.zeros((len(values), *rows.shape))
    weights = np.zeros(rows.shape)
    filled = np.where(np.isnan(values), np.float32(0), values)
    for step_row, row_share in ((0, 1 - down), (1, down)):
        for step_column, column_share in ((0, 1 - right), (1, right)):
            i = np.clip(row + step_row, 0, height - 1)
            j = np.clip(column + step_column, 0, width - 1)
            weight = row_share * column_share * valid[i, j]
            total += filled[:, i, j] * weight
            weights += weight
    nearest = inside & valid[np.clip(np.floor(r + 0.5).astype(np.intp), 0, height - 1),
                             np.clip(np.floor(c + 0.5).astype(np.intp), 0, width - 1)]  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(nearest, total / weights, np.nan).astype(np.float32)
