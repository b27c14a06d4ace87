"""Shapes that a simulated landscape is drawn from: rough fields, networks of least cost, lines, fields."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["least_cost_tree", "paint", "parcels", "rough_field", "smooth_line", "trace"]

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


def rough_field(
    rng: np.random.Generator, size: int, *, roughness: float, longest_px: float, shortest_px: float = 2.0
) -> Field:
    """Return a random field with mean 0 and SD 1 whose amplitude falls with frequency.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Rows and columns.
    roughness : float
        Exponent of the fall of amplitude with frequency; 1 is rough, 2 is smooth.
    longest_px, shortest_px : float
        Longest and shortest wavelength in pixels.

    Returns
    -------
    ndarray of float32, shape (size, size)
        The field.
    """
    from scipy import fft

    # drawn half as large again, because the transform makes the edges meet and a landscape must not repeat
    wide = fft.next_fast_len(int(size * 1.25), real=True)
    noise = fft.rfft2(rng.standard_normal((wide, wide), dtype=np.float32))
    rows = np.fft.fftfreq(wide).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(wide).astype(np.float32)[None, :]
    frequency = np.maximum(np.sqrt(rows**2 + columns**2), 1e-9)
    kept = (frequency >= 1 / longest_px) & (frequency <= 1 / shortest_px)
    noise *= np.where(kept, frequency**-roughness, 0).astype(np.float32)
    field = fft.irfft2(noise, s=(wide, wide))[:size, :size]
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def least_cost_tree(
    cost: npt.NDArray[np.float64], *, sources: Iterable[tuple[int, int]]
) -> npt.NDArray[np.int64]:
    """Return for each cell of a grid the next cell on its cheapest way to the nearest source; -1 at sources."""
    from scipy import sparse
    from scipy.sparse import csgraph

    rows, columns = cost.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    starts, ends, prices = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, rows - down), slice(max(0, -right), columns - max(0, right)))
        there = (slice(down, rows), slice(max(0, right), columns + min(0, right)))
        starts.append(number[here].ravel())
        ends.append(number[there].ravel())
        prices.append(((cost[here] + cost[there]) / 2 * np.hypot(down, right)).ravel())
    shape = (rows * columns, rows * columns)
    graph = sparse.coo_array(
        (np.concatenate(prices), (np.concatenate(starts), np.concatenate(ends))), shape=shape
    ).tocsr()
    found = csgraph.dijkstra(
        graph,
        directed=False,
        indices=[int(number[source]) for source in sources],
        min_only=True,
        return_predecessors=True,
    )
    return np.where(found[1] < 0, -1, found[1]).astype(np.int64)


def trace(
    tree: npt.NDArray[np.int64], start: tuple[int, int], *, columns: int, taken: set[int], overlap: int = 3
) -> Points:
    """Follow a least-cost tree from a cell until it joins what is drawn already; rows and columns of the way."""
    here = start[0] * columns + start[1]
    way: list[tuple[int, int]] = []
    beyond = 0
    while here >= 0 and beyond <= overlap:
        way.append(divmod(here, columns))
        beyond += here in taken
        taken.add(here)
        here = int(tree[here])
    return np.asarray(way, dtype=np.float64)


def smooth_line(points: Points, *, smoothing: float, step: float) -> Points:
    """Round the corners of a line and return points on it, about ``step`` apart."""
    from scipy.ndimage import gaussian_filter1d

    if len(points) < 2:
        return points
    every = np.linspace(0, len(points) - 1, 4 * len(points))
    dense = np.stack([np.interp(every, np.arange(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)
    rounded = gaussian_filter1d(dense, 4 * smoothing, axis=0, mode="nearest")
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(rounded, axis=0).T))])
    at = np.arange(0, along[-1], step)
    return np.stack([np.interp(at, along, rounded[:, axis]) for axis in (0, 1)], axis=1)


def paint(canvas: Field, points: Points, *, radius: npt.ArrayLike) -> None:
    """Draw discs with soft edges at points given as row and column; the canvas keeps the larger value."""
    if not len(points):
        return
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points))
    reach = int(np.ceil(radii.max())) + 1
    offsets = np.arange(-reach, reach + 1)
    down, right = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
    nearest = np.rint(points).astype(np.int64)
    rows, columns = nearest[:, :1] + down, nearest[:, 1:] + right
    distance = np.hypot(rows - points[:, :1], columns - points[:, 1:])
    strength = np.clip(radii[:, None] + 0.5 - distance, 0, 1).astype(np.float32)
    inside = (
        (strength > 0) & (rows >= 0) & (columns >= 0) & (rows < canvas.shape[0]) & (columns < canvas.shape[1])
    )
    np.maximum.at(canvas, (rows[inside], columns[inside]), strength[inside])


def parcels(
    rng: np.random.Generator, size: int, *, width_px: float, height_px: float, bend: tuple[Field, Field]
) -> tuple[Field, Field]:
    """Return two fields, each constant on crooked rectangles: random numbers in (0, 1) for each parcel.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Rows and columns.
    width_px, height_px : float
        Size of a parcel.
    bend : pair of ndarray, shape (size, size)
        How far, in pixels, the net of parcels is pulled at each place.

    Returns
    -------
    pair of ndarray of float32, shape (size, size)
        Two independent random numbers for each parcel.
    """
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    turned = np.float32(0.35)
    along = (columns * np.cos(turned) + rows * np.sin(turned) + bend[0]) / width_px
    across = (rows * np.cos(turned) - columns * np.sin(turned) + bend[1]) / height_px
    column = np.floor(along).astype(np.int64)
    # neighbouring strips are shifted against each other, as holdings are
    row = np.floor(across + 0.618 * (column % 7)).astype(np.int64)
    drawn = rng.random((2, 1024, 1024), dtype=np.float32)
    return drawn[0, row % 1024, column % 1024], drawn[1, row % 1024, column % 1024]
