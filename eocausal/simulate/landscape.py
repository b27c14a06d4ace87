"""A simulated landscape: terrain, rivers, forest, fields, roads, settlements, and how they look from above.

The colours are rough values for the land covers of a savanna landscape in six optical bands; the place is
made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.simulate import _drawing as draw

__all__ = ["BANDS", "PIXEL_M", "Landscape", "make_landscape"]

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
PIXEL_M = 30.0
"""Side of a pixel in metres."""

_STEP = 8
"""Pixels to a cell of the coarse grid that rivers and roads are laid on."""

_REFLECTANCE = {
    "water": (0.055, 0.062, 0.055, 0.032, 0.020, 0.015),
    "forest": (0.022, 0.042, 0.027, 0.290, 0.120, 0.048),
    "shrub": (0.036, 0.062, 0.052, 0.270, 0.170, 0.085),
    "grass": (0.052, 0.086, 0.094, 0.245, 0.250, 0.145),
    "crop": (0.041, 0.079, 0.062, 0.320, 0.190, 0.092),
    "fallow": (0.061, 0.096, 0.109, 0.262, 0.285, 0.180),
    "soil": (0.068, 0.098, 0.133, 0.232, 0.310, 0.240),
    "road": (0.092, 0.128, 0.188, 0.270, 0.345, 0.290),
    "yard": (0.088, 0.118, 0.152, 0.255, 0.305, 0.245),
    "roof": (0.132, 0.155, 0.182, 0.275, 0.300, 0.275),
}


@dataclass(frozen=True)
class Landscape:
    """What a simulated region looks like and what is there.

    Parameters
    ----------
    pixels : ndarray of uint16, shape (6, size, size)
        Reflectance times 10,000 in the order of ``BANDS``; 0 where there is no data.
    built, woods : ndarray of float32, shape (size, size)
        Share of each pixel that is settlement, and that is forest or shrub; known where pixels are not, too.
    water : ndarray of float32, shape (size, size)
        Share of each pixel that is water.
    villages : ndarray of float64, shape (n_villages, 2)
        Row and column of village centres.
    edge : ndarray of bool, shape (n_villages,)
        Villages put near the edge of the data on purpose.
    """

    pixels: npt.NDArray[np.uint16]
    built: Field
    woods: Field
    water: Field
    villages: Points
    edge: npt.NDArray[np.bool_]


def make_landscape(rng: np.random.Generator, *, size: int, n_villages: int) -> Landscape:
    """Make a landscape of ``size`` by ``size`` pixels of 30 m with ``n_villages`` villages.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Rows and columns; at least 400.
    n_villages : int
        Villages; they keep about 1.5 km from one another where there is room.

    Returns
    -------
    Landscape
        Pixels, land cover and villages.
    """
    height = draw.rough_field(rng, size, roughness=1.9, longest_px=900)
    water, riverside = _rivers(rng, height)
    wild = 0.8 * draw.rough_field(rng, size, roughness=1.6, longest_px=500, shortest_px=6) + 0.35 * height
    missing = _missing_corner(size)
    towns = _towns(rng, size, water=water, missing=missing)
    villages, edge = _villages(rng, n_villages, towns=towns, blocked=_blocked(water, wild, missing))
    roads, lines = _roads(rng, height, towns=towns, villages=villages, water=water)
    built = _settlements(rng, size, towns=towns, villages=villages, lines=lines) * (1 - water)
    peopled = _peopled(rng, size, towns=towns, villages=villages)
    forest = _sigmoid((wild + 1.5 * riverside - 2.3 * peopled - 0.55) / 0.22) * (1 - built) * (1 - water)
    covers = _covers(rng, size, forest=forest, peopled=peopled, wet=riverside)
    covers |= {"water": water, "road": roads * (1 - water)}
    pixels = _pixels(rng, covers, built=built, height=height, missing=missing)
    woods = (forest + covers["shrub"]) * (1 - built) * (1 - water)
    return Landscape(pixels, built, woods, water, villages, edge)


def _sigmoid(values: npt.NDArray[np.floating]) -> Field:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))), dtype=np.float32)


def _coarse(field: Field) -> npt.NDArray[np.float64]:
    return field[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP].astype(np.float64)


def _fine(cells: Points) -> Points:
    return cells * _STEP + _STEP / 2


def _cell(point: Points, cells: int) -> tuple[int, int]:
    row, column = np.clip(point // _STEP, 0, cells - 1).astype(int)
    return int(row), int(column)


def _rivers(rng: np.random.Generator, height: Field) -> tuple[Field, Field]:
    """Lay a river with tributaries through the low ground; the water and its green banks."""
    from scipy.ndimage import gaussian_filter

    size = height.shape[0]
    rough = draw.rough_field(rng, size, roughness=1.2, longest_px=200)
    cost = np.exp(1.1 * _coarse(height) + 0.55 * _coarse(rough))
    cells = cost.shape[0]
    outlet = (cells - 1, int(cells * rng.uniform(0.25, 0.45)))
    tree = draw.least_cost_tree(cost, sources=[outlet])
    starts = [(0, int(cells * rng.uniform(0.55, 0.75)))]
    starts += [
        (int(row), int(column)) for row, column in rng.integers(0, cells, size=(max(4, cells // 14), 2))
    ]
    water, banks = np.zeros_like(height), np.zeros_like(height)
    taken: set[int] = set()
    for index, start in enumerate(starts):
        way = _fine(draw.trace(tree, start, columns=cells, taken=taken))
        line = _meander(rng, draw.smooth_line(way, smoothing=2.0, step=0.7))
        width = np.linspace(1.6, 4.2, len(line)) if index == 0 else np.linspace(0.0, 0.8, len(line))
        draw.paint(water, line, radius=width)
        draw.paint(banks, line[::3], radius=width[::3] + (5 if index == 0 else 1.6))
    return water, np.asarray(gaussian_filter(banks, 1.3), dtype=np.float32)


def _meander(rng: np.random.Generator, line: Points, *, strength: float = 1.0) -> Points:
    """Let a line swing to and fro by a few pixels, as water does in flat ground; its ends stay put."""
    if len(line) < 3:
        return line
    at = np.arange(len(line))
    swing = sum(
        size * np.sin(2 * np.pi * at / length + rng.uniform(0, 2 * np.pi))
        for size, length in ((4.0, 140.0), (2.2, 63.0), (1.0, 29.0))
    )
    swing = strength * swing * np.clip(np.minimum(at, at[::-1]) / 40, 0, 1)
    ahead = np.gradient(line, axis=0)
    across = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) / np.maximum(np.hypot(*ahead.T), 1e-9)[:, None]
    return np.asarray(line + swing[:, None] * across, dtype=np.float64)


def _missing_corner(size: int) -> npt.NDArray[np.bool_]:
    """Return where the scene has no data: a corner cut off at a slant, as at the edge of a satellite scene."""
    rows, columns = np.mgrid[0:size, 0:size]
    return np.asarray((size - columns) + 0.45 * rows < 0.17 * size, dtype=np.bool_)


def _towns(rng: np.random.Generator, size: int, *, water: Field, missing: npt.NDArray[np.bool_]) -> Points:
    found: list[npt.NDArray[np.float64]] = []
    while len(found) < max(2, size // 500):
        point = rng.uniform(0.15 * size, 0.85 * size, size=2)
        row, column = int(point[0]), int(point[1])
        dry = not water[row - 4 : row + 5, column - 4 : column + 5].any() and not missing[row, column]
        if dry and all(np.hypot(*(point - other)) > 0.25 * size for other in found):
            found.append(point)
    return np.array(found)


def _blocked(water: Field, wild: Field, missing: npt.NDArray[np.bool_]) -> Field:
    """Return where no village can stand (infinite), where it is near the edge of the data (its distance)."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(~missing, 1)
    inside = distance_transform_edt(padded)[1:-1, 1:-1].astype(np.float32)
    inside[(water > 0.1) | (wild > 1.1)] = -1
    return np.asarray(inside, dtype=np.float32)


def _villages(
    rng: np.random.Generator, count: int, *, towns: Points, blocked: Field
) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Place villages apart from one another; a few near the edge of the data, the rest well inside."""
    size = blocked.shape[0]
    near = max(1, count // 50)
    spacing = min(50.0, 0.62 * size / np.sqrt(count))
    found: list[npt.NDArray[np.float64]] = []
    tries = 0
    while len(found) < count:
        point = rng.uniform(0, size, size=2)
        distance = blocked[int(point[0]), int(point[1])]
        # 33 to 45 pixels: a chip of 960 m is whole and one of 3,840 m is not
        wanted = 33 <= distance <= 45 if len(found) < near else distance >= min(108, 0.15 * size)
        tries += 1
        slack = spacing * 0.995 ** (tries / 200)
        others = np.array([*found, *towns])
        if wanted and np.hypot(*(others - point).T).min() > slack:
            found.append(point)
    return np.array(found), np.arange(count) < near


def _roads(
    rng: np.random.Generator, height: Field, *, towns: Points, villages: Points, water: Field
) -> tuple[Field, list[Points]]:
    """Join towns to one another and to the edges, and villages to the nearest town, along cheap ground."""
    size = height.shape[0]
    rough = draw.rough_field(rng, size, roughness=1.3, longest_px=300)
    cost = np.exp(0.35 * _coarse(rough)) + 0.6 * np.abs(_coarse(height)) + 25 * _coarse(water)
    cells = cost.shape[0]
    roads = np.zeros_like(height)
    lines: list[Points] = []
    to_first = draw.least_cost_tree(cost, sources=[_cell(towns[0], cells)])
    ends = [_cell(town, cells) for town in towns[1:]]
    ends += [(0, cells // 5), (cells - 1, 4 * cells // 5), (cells // 2, 0), (2 * cells // 3, cells - 1)]
    taken: set[int] = set()
    for end in ends:
        lines.append(_road(rng, to_first, end, cells, taken, smoothing=2.5))
        draw.paint(roads, lines[-1], radius=0.75)
    to_any = draw.least_cost_tree(cost, sources=[_cell(town, cells) for town in towns])
    taken = set()
    for village in villages:
        lines.append(_road(rng, to_any, _cell(village, cells), cells, taken, smoothing=1.6))
        draw.paint(roads, lines[-1], radius=0.25)
    return roads, lines


def _road(
    rng: np.random.Generator,
    tree: npt.NDArray[np.int64],
    start: tuple[int, int],
    cells: int,
    taken: set[int],
    *,
    smoothing: float,
) -> Points:
    way = _fine(draw.trace(tree, start, columns=cells, taken=taken))
    return _meander(rng, draw.smooth_line(way, smoothing=smoothing, step=0.6), strength=0.6)


def _settlements(
    rng: np.random.Generator, size: int, *, towns: Points, villages: Points, lines: list[Points]
) -> Field:
    """Return the share of each pixel that is built: towns, villages with hamlets, houses along roads."""
    density = np.zeros((size, size), dtype=np.float32)
    for town in towns:
        _heap(density, town, spread=rng.uniform(16, 24), peak=0.95, stretch=rng.uniform(0.7, 1.4))
        for _ in range(14):
            _heap(density, town + rng.normal(0, 26, 2), spread=rng.uniform(4, 9), peak=0.7, stretch=1.0)
    extent = rng.lognormal(0.0, 0.5, size=len(villages))
    for village, large in zip(villages, extent, strict=True):
        _heap(density, village, spread=3.6 * large, peak=0.85, stretch=rng.uniform(0.6, 1.6))
        for _ in range(rng.poisson(1.5 + 3.5 * large)):
            place = village + rng.normal(0, 11, 2)
            _heap(density, place, spread=rng.uniform(1.2, 2.8), peak=rng.uniform(0.3, 0.8), stretch=1.0)
    along = np.concatenate(lines)
    for place in along[rng.integers(0, len(along), size=size // 2)]:
        _heap(density, place + rng.normal(0, 1.5, 2), spread=rng.uniform(0.8, 1.8), peak=0.5, stretch=1.0)
    grain = draw.rough_field(rng, size, roughness=0.25, longest_px=40)
    return np.asarray(
        0.92 * _sigmoid((density - 0.5 + 0.26 * grain) / 0.1) * (density > 0.08), dtype=np.float32
    )


def _heap(canvas: Field, centre: Points, *, spread: float, peak: float, stretch: float) -> None:
    """Add a round or oval heap of houses; densities combine as shares that do not overlap by design."""
    reach = int(3.2 * spread * max(stretch, 1)) + 2
    row, column = int(centre[0]), int(centre[1])
    top, left = max(row - reach, 0), max(column - reach, 0)
    view = canvas[top : max(row + reach, 0), left : max(column + reach, 0)]
    down = np.arange(top, top + view.shape[0])[:, None] - centre[0]
    right = np.arange(left, left + view.shape[1])[None, :] - centre[1]
    heap = peak * np.exp(-0.5 * ((down / spread) ** 2 + (right / (spread * stretch)) ** 2))
    view[:] = 1 - (1 - view) * (1 - heap.astype(np.float32))


def _peopled(rng: np.random.Generator, size: int, *, towns: Points, villages: Points) -> Field:
    """Return how close the land is to people, between 0 and 1; it decides where forest was cleared."""
    near = np.zeros((size, size), dtype=np.float32)
    for village in villages:
        around = village + rng.normal(0, 8, size=2)
        _heap(near, around, spread=rng.uniform(20, 42), peak=0.72, stretch=rng.uniform(0.7, 1.4))
    for town in towns:
        _heap(near, town, spread=60, peak=0.85, stretch=1.0)
    return near


def _covers(
    rng: np.random.Generator, size: int, *, forest: Field, peopled: Field, wet: Field
) -> dict[str, Field]:
    """Share the open land among grass, shrub and fields; fields are parcels, each with one crop."""
    bend = tuple(9 * draw.rough_field(rng, size, roughness=2.2, longest_px=260) for _ in range(2))
    tilled, kind = draw.parcels(rng, size, width_px=4.2, height_px=6.0, bend=(bend[0], bend[1]))
    suited = draw.rough_field(rng, size, roughness=1.4, longest_px=300)
    field = 0.85 * (tilled < 0.9 * _sigmoid((peopled - 0.47 + 0.24 * suited) / 0.11)) * (1 - forest)
    green, bare = np.clip(1.6 - 3 * kind, 0, 1), np.clip(3 * kind - 1.9, 0, 1)
    mix = draw.rough_field(rng, size, roughness=1.25, longest_px=600)
    shrub = _sigmoid((mix - 0.2 + 1.2 * wet) / 0.4)
    opened = 1 - forest
    return {
        "forest": forest,
        "crop": field * green,
        "fallow": field * (1 - green - bare),
        "soil": field * bare,
        "shrub": (opened - field) * shrub,
        "grass": (opened - field) * (1 - shrub),
    }


def _pixels(
    rng: np.random.Generator,
    covers: dict[str, Field],
    *,
    built: Field,
    height: Field,
    missing: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint16]:
    """Mix land covers to reflectance, shade the slopes, blur as optics do, and add noise."""
    from scipy.ndimage import gaussian_filter

    size = height.shape[0]
    shade = np.clip(1 + 1.6 * (np.gradient(height, axis=1) + np.gradient(height, axis=0)), 0.75, 1.25)
    patchy = 1 + 0.05 * draw.rough_field(rng, size, roughness=0.9, longest_px=120)
    roofs = np.clip(0.4 + 0.38 * draw.rough_field(rng, size, roughness=0.3, longest_px=12), 0, 1)
    haze = 0.004 * draw.rough_field(rng, size, roughness=2.2, longest_px=2500)
    over = {"road": covers["road"], "water": covers["water"]}
    pixels = np.empty((len(BANDS), size, size), dtype=np.uint16)
    for index in range(len(BANDS)):
        band = np.zeros((size, size), dtype=np.float32)
        for name in ("forest", "crop", "fallow", "soil", "shrub", "grass"):
            band += np.float32(_REFLECTANCE[name][index]) * covers[name]
        band *= patchy * shade
        for name, share in over.items():
            band = band * (1 - share) + np.float32(_REFLECTANCE[name][index]) * share
        yard, roof = (np.float32(_REFLECTANCE[name][index]) for name in ("yard", "roof"))
        band = band * (1 - built) + (yard * (1 - roofs) + roof * roofs) * built
        band = gaussian_filter(band, 0.55) + haze * (1.0, 0.7, 0.5, 0.1, 0.0, 0.0)[index]
        band += 0.0018 * rng.standard_normal(band.shape, dtype=np.float32)
        pixels[index] = np.where(missing, 0, np.clip(np.rint(band * 10_000), 1, 65_000))
    return pixels
