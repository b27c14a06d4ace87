"""A simulated STAC catalogue on disk, for learning and testing without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal._io import write_text
from eocausal.errors import ImageryError
from eocausal.simulate._stac_files import Scene, write_catalog

__all__ = ["SimulatedCatalog", "simulate_catalog"]

Field = npt.NDArray[np.float64]

# On either side of 30 degrees east, where two UTM zones meet.
_ZONES = ((32635, (829_800.0, 221_200.0)), (32636, (170_400.0, 221_200.0)))
# Day, processing baseline, whether the catalogue took the offset off, and the share of clouds.
_DAYS = (
    ("2020-12-18", "02.14", True, 0.0),
    ("2021-06-16", "03.00", True, 0.15),
    ("2021-12-23", "03.01", True, 0.9),
    ("2022-06-21", "04.00", False, 0.1),
    ("2022-12-18", "05.09", False, 0.0),
)
# Reflectance of bare ground, of green fields, and of roofs, in the order of the bands.
_BANDS = {
    "blue": (0.07, 0.04, 0.13, 1), "green": (0.10, 0.08, 0.16, 1), "red": (0.13, 0.05, 0.18, 1),
    "nir": (0.23, 0.32, 0.27, 1), "swir16": (0.31, 0.17, 0.30, 2), "swir22": (0.24, 0.08, 0.28, 2),
}  # fmt: skip
_CLOUD, _SHADOW, _GREEN, _BARE = 9, 3, 4, 5


@dataclass(frozen=True, eq=False)
class SimulatedCatalog:
    """A simulated catalogue on disk.

    Attributes
    ----------
    folder, catalog, units : Path
        The folder, its ``catalog.json`` and ``units.csv`` (village, lon, lat, treated_on).
    scenes : DataFrame
        One row for each scene: ``scene date baseline cloud``.
    """

    folder: Path
    catalog: Path
    units: Path
    scenes: pd.DataFrame = field(repr=False)


def simulate_catalog(
    folder: str | Path, *, size_px: int = 400, n_villages: int = 40, seed: int = 1
) -> SimulatedCatalog:
    """Write a static STAC catalogue of simulated scenes like those of Sentinel-2, and units among them.

    Two places in two UTM zones, each seen on five days from 2020 to 2022: six bands of 10 and 20 m and a scene
    classification (``scl``). One day is under clouds; the last two are of processing baselines that add 1,000.
    Villages brighten after the day they are treated. All of it is made up.

    Parameters
    ----------
    folder : str or Path
        Where to write ``catalog.json``, ``units.csv`` and a folder for each scene.
    size_px : int
        Side of each place in pixels of 10 m, even; at least 100.
    n_villages : int
        Units, half in each place; at least 4.
    seed : int
        Seed of everything.

    Returns
    -------
    SimulatedCatalog

    Raises
    ------
    ImageryError
        When the places are too small or the villages too few.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = simulate_catalog(folder, size_px=100, n_villages=4, seed=2)
    ...     print(made.catalog.name, len(made.scenes), len(pd.read_csv(made.units)))
    catalog.json 10 4
    """
    size = whole_number(size_px, argument="size_px", error=ImageryError, least=100) // 2 * 2
    count = whole_number(n_villages, argument="n_villages", error=ImageryError, least=4)
    rng = np.random.default_rng(seed)
    scenes, tables, rows = [], [], []
    for number, (epsg, corner) in enumerate(_ZONES):
        green = _smooth(rng, size, 40)
        villages = rng.uniform(0.1, 0.9, (count // 2 + number * (count % 2), 2)) * size
        treated = np.where(rng.permutation(len(villages)) % 2, "2021-09-01", "")
        tables.append(_villages(number, epsg, corner, villages, treated))
        for day, baseline, applied, cloud in _DAYS:
            roofs = _roofs(size, villages, later=np.array([bool(t) and t < day for t in treated]))
            clouds = _clouds(rng, size, cloud)
            name = f"S2_T{epsg - 32600}N_{day.replace('-', '')}_L2A"
            scene = _scene(rng, name, day, (green, roofs, clouds), (epsg, corner), (baseline, applied))
            scenes.append(scene)
            share = round(float(clouds.mean()), 4)
            rows.append({"scene": name, "date": day, "baseline": baseline, "cloud": share})
    target = Path(folder)
    table = pd.concat(tables, ignore_index=True)
    units = write_text(target / "units.csv", table.to_csv(index=False))
    catalog = write_catalog(target, scenes, title="Simulated scenes, all made up")
    return SimulatedCatalog(target, catalog, units, pd.DataFrame(rows))


def _scene(
    rng: np.random.Generator,
    name: str,
    day: str,
    layers: tuple[Field, Field, npt.NDArray[np.bool_]],
    where: tuple[int, tuple[float, float]],
    version: tuple[str, bool],
) -> Scene:
    """Return one scene: pixels as the archive stores them, and what its item says."""
    green, roofs, clouds = layers
    season = 0.75 if day[5:7] == "12" else 1.0
    pixels: dict[str, npt.NDArray[Any]] = {}
    for band, (bare, leaves, roof, step) in _BANDS.items():
        ground = bare + (leaves - bare) * green * season
        seen = ground + (roof - ground) * roofs + rng.normal(0, 0.004, green.shape)
        seen = np.where(clouds, 0.55 + 0.1 * green, seen)
        stored = np.rint(1e4 * _coarser(seen, step)).clip(1, 60_000) + (0 if version[1] else 1000)
        pixels[band] = stored.astype("uint16")
    # a coarse pixel is cloud where any of its four fine ones is
    cloudy = _coarser(clouds.astype(float), 2) > 0
    shadow = np.roll(cloudy, (3, 5), axis=(0, 1)) & ~cloudy
    classes = np.where(_coarser(green, 2) > 0.5, _GREEN, _BARE)
    pixels["scl"] = np.where(cloudy, _CLOUD, np.where(shadow, _SHADOW, classes)).astype("uint8")
    said: dict[str, Any] = {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "eo:cloud_cover": round(100 * float(clouds.mean()), 2),
        "s2:processing_baseline": version[0],
        "earthsearch:boa_offset_applied": version[1],
    }
    return Scene(
        name=name,
        collection="sentinel-2-l2a",
        day=day,
        epsg=where[0],
        corner=where[1],
        pixel_m=10.0,
        pixels=pixels,
        nodata=dict.fromkeys(pixels, 0),
        properties=said,
    )


def _villages(
    number: int, epsg: int, corner: tuple[float, float], places: Field, treated: npt.NDArray[np.str_]
) -> pd.DataFrame:
    import pyproj

    x, y = corner[0] + 10 * places[:, 1], corner[1] - 10 * places[:, 0]
    lon, lat = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    names = [f"v{number}{place:03d}" for place in range(len(places))]
    columns = {"village": names, "lon": np.round(lon, 6), "lat": np.round(lat, 6), "treated_on": treated}
    return pd.DataFrame(columns)


def _roofs(size: int, villages: Field, *, later: npt.NDArray[np.bool_]) -> Field:
    """Return the share of roofs of each pixel: round villages, denser after their treatment."""
    row, column = np.mgrid[0:size, 0:size] + 0.5
    found: Field = np.zeros((size, size))
    for (down, right), dense in zip(villages, later):
        near = np.exp(-((row - down) ** 2 + (column - right) ** 2) / (2 * 6.0**2))
        found = np.maximum(found, (0.9 if dense else 0.5) * near)
    return found


def _clouds(rng: np.random.Generator, size: int, share: float) -> npt.NDArray[np.bool_]:
    """Return which pixels are under clouds, a share of all."""
    field_ = _smooth(rng, size, 24)
    covered: npt.NDArray[np.bool_] = (
        field_ < np.quantile(field_, share) if share else np.zeros((size, size), bool)
    )
    return covered


def _smooth(rng: np.random.Generator, size: int, width: float) -> Field:
    """Return a smooth random field between 0 and 1."""
    from scipy.ndimage import gaussian_filter

    rough = gaussian_filter(rng.normal(size=(size, size)), width / 4, mode="wrap")
    low, high = np.quantile(rough, [0.02, 0.98])
    found: Field = ((rough - low) / (high - low)).clip(0, 1)
    return found


def _coarser(values: Field, step: int) -> Field:
    side = len(values) // step
    means: Field = values.reshape(side, step, side, step).mean(axis=(1, 3))
    return means
