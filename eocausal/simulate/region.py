"""A simulated study region on disk: a scene, a trial in its villages, and the truth about the effects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._io import write_atomically, write_json, write_text
from eocausal.errors import ImageryError, UnitsError, explain
from eocausal.simulate.landscape import BANDS, PIXEL_M, Landscape, make_landscape

__all__ = ["Region", "simulate_region"]

CRS = "EPSG:32636"
WEST, NORTH = 414_000.0, 252_000.0
"""Easting and northing of the north-west corner of the scene, in metres."""

LOCAL_M, WIDE_M = 480.0, 1920.0
"""How far around a unit settlement (local) and woods (wide) change its effect, in metres."""

IMAGERY_DATE = "2007-06-30"
_SMALLEST_PX = 400
_ICC = 0.10
_SLOPES = {"age": 0.15, "income": 0.35, "local": 0.25, "wide": -0.15}
_MIX = {"local": 0.8, "wide": 0.6}


@dataclass(frozen=True, eq=False)
class Region:
    """A simulated region on disk and the truth about it.

    Parameters
    ----------
    folder, raster, units, spec, truth : Path
        The folder and the four files in it: ``region.tif``, ``units.csv``, ``analysis.yaml``, ``truth.json``.
    true_ate : float
        Mean of the true effects of the units.
    effects : DataFrame
        One row for each unit: ``unit``, ``village``, ``true_effect``, ``settlement_share`` within 480 m and
        ``woods_share`` within 1,920 m.
    """

    folder: Path
    raster: Path
    units: Path
    spec: Path
    truth: Path
    true_ate: float
    effects: pd.DataFrame = field(repr=False)


def simulate_region(
    folder: str | Path,
    *,
    n_units: int = 2000,
    n_villages: int = 250,
    size_px: int = 2000,
    mean_effect: float = 0.5,
    effect_sd: float = 0.5,
    seed: int = 1,
) -> Region:
    """Write a simulated region with a village-randomised trial whose true effects are known.

    Half of the villages are treated. The effect of a unit rises with the share of settlement within 480 m and
    with the share of woods (forest and shrub) within 1,920 m, both of which can be seen in the scene. A few
    villages stand near the edge of the data, so that their wider chips are partial. All of it is made up.

    Parameters
    ----------
    folder : str or Path
        Where to write ``region.tif``, ``units.csv``, ``truth.json`` and ``analysis.yaml``.
    n_units, n_villages : int
        Units and villages; at least 10 villages and 2 units for each.
    size_px : int
        Side of the scene in pixels of 30 m; at least 400.
    mean_effect, effect_sd : float
        Mean and SD of the true effects; the outcome has an SD of about 1.
    seed : int
        Seed of everything.

    Returns
    -------
    Region
        The files and the truth.

    Raises
    ------
    UnitsError
        When there are too few villages or units.
    ImageryError
        When the scene is too small.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     region = simulate_region(folder, n_units=60, n_villages=12, size_px=400, seed=3)
    ...     print(region.units.name, round(region.true_ate, 3), len(region.effects))
    units.csv 0.5 60
    """
    _check_sizes(n_units, n_villages, size_px)
    target = Path(folder)
    rng = np.random.default_rng(seed)
    landscape = make_landscape(rng, size=size_px, n_villages=n_villages)
    village, places = _place_units(rng, landscape, n_units)
    shares = _shares_around(landscape, places)
    true_effect, weights = _true_effects(shares, mean=mean_effect, sd=effect_sd)
    people = _people(rng, shares)
    treated = _randomise(rng, n_villages)
    outcome = _outcomes(rng, people, shares, village) + treated[village] * true_effect
    table = _units_table(rng, village, places, treated=treated, people=people)
    table = table.assign(outcome=outcome.round(6), true_effect=true_effect.round(6))
    true_ate = float(table["true_effect"].mean())
    truth = {
        "simulated": True,
        "true_ate": true_ate,
        "effect_sd": float(table["true_effect"].std(ddof=0)),
        "effect_of_settlement_share_within_480_m": weights["local"],
        "effect_of_woods_share_within_1920_m": weights["wide"],
        "icc": _ICC,
        "n_units": n_units,
        "n_villages": n_villages,
        "n_treated_villages": int(treated.sum()),
        "seed": seed,
    }
    return Region(
        folder=target,
        raster=_write_raster(target / "region.tif", landscape.pixels),
        units=write_atomically(target / "units.csv", lambda path: table.to_csv(path, index=False)),
        spec=write_text(target / "analysis.yaml", _SPEC.format(date=IMAGERY_DATE, ate=true_ate, seed=seed)),
        truth=write_json(target / "truth.json", truth),
        true_ate=true_ate,
        effects=table[["unit", "village", "true_effect"]].assign(
            settlement_share=shares["local"], woods_share=shares["wide"]
        ),
    )


def _check_sizes(n_units: int, n_villages: int, size_px: int) -> None:
    if n_villages < 10 or n_units < 2 * n_villages:
        raise UnitsError(
            explain(
                f"n_units={n_units} in n_villages={n_villages} is too few.",
                rule="at least 10 villages, and at least 2 units for each village",
                fix=f"simulate_region(folder, n_units={8 * max(n_villages, 10)}, n_villages={max(n_villages, 10)})",
            )
        )
    if size_px < _SMALLEST_PX or size_px**2 < 4000 * n_villages:
        smallest = max(_SMALLEST_PX, int(np.ceil(np.sqrt(4000 * n_villages))))
        raise ImageryError(
            explain(
                f"size_px={size_px} is too small for {n_villages} villages.",
                rule=f"at least {_SMALLEST_PX} pixels, and 4,000 square pixels for each village",
                fix=f"simulate_region(folder, size_px={smallest})",
            )
        )


def _place_units(
    rng: np.random.Generator, landscape: Landscape, n_units: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Scatter units within 300 to 600 m of village centres; village number, and row and column of each unit."""
    n_villages = len(landscape.villages)
    least = max(2, n_units // (2 * n_villages))
    sizes = least + rng.multinomial(n_units - least * n_villages, np.full(n_villages, 1 / n_villages))
    village = np.repeat(np.arange(n_villages), sizes)
    reach = rng.uniform(300, 600, size=n_villages)[village] / PIXEL_M
    distance = reach * np.sqrt(rng.uniform(size=n_units))
    angle = rng.uniform(0, 2 * np.pi, size=n_units)
    offsets = np.stack([distance * np.sin(angle), distance * np.cos(angle)], axis=1)
    return village, landscape.villages[village] + offsets


def _shares_around(
    landscape: Landscape, places: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    return {
        "local": _disc_means(landscape.built, places, radius_px=LOCAL_M / PIXEL_M),
        "wide": _disc_means(landscape.woods, places, radius_px=WIDE_M / PIXEL_M),
    }


def _disc_means(
    cover: npt.NDArray[np.float32], places: npt.NDArray[np.float64], *, radius_px: float
) -> npt.NDArray[np.float64]:
    """Return the mean of a field over the disc around each place, over what lies inside the field.

    A pixel counts when its centre, at half a pixel from its corner, is in the disc.
    """
    means = np.empty(len(places))
    for index, (row, column) in enumerate(places):
        top, left = max(int(row - radius_px), 0), max(int(column - radius_px), 0)
        view = cover[top : int(row + radius_px) + 1, left : int(column + radius_px) + 1]
        down = np.arange(top, top + view.shape[0])[:, None] + 0.5 - row
        right = np.arange(left, left + view.shape[1])[None, :] + 0.5 - column
        means[index] = view[down**2 + right**2 <= radius_px**2].mean()
    return means


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std(), dtype=np.float64)


def _true_effects(
    shares: dict[str, npt.NDArray[np.float64]], *, mean: float, sd: float
) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
    """Return the effects, and how much one SD of each share adds to them."""
    mixed = sum(_MIX[name] * _standard(shares[name]) for name in _MIX)
    scale = sd / float(np.std(mixed))
    return mean + scale * np.asarray(mixed), {name: scale * _MIX[name] for name in _MIX}


def _people(
    rng: np.random.Generator, shares: dict[str, npt.NDArray[np.float64]]
) -> dict[str, npt.NDArray[np.float64]]:
    n_units = len(shares["local"])
    income = 0.3 * _standard(shares["local"]) + np.sqrt(1 - 0.3**2) * rng.standard_normal(n_units)
    return {
        "age": rng.integers(16, 36, size=n_units).astype(np.float64),
        "female": rng.integers(0, 2, size=n_units).astype(np.float64),
        "income": np.maximum(120 + 30 * income, 1).round(1),
    }


def _randomise(rng: np.random.Generator, n_villages: int) -> npt.NDArray[np.int64]:
    """Treat half of the villages, by complete randomisation."""
    treated = np.zeros(n_villages, dtype=np.int64)
    treated[rng.permutation(n_villages)[: n_villages // 2]] = 1
    return treated


def _outcomes(
    rng: np.random.Generator,
    people: dict[str, npt.NDArray[np.float64]],
    shares: dict[str, npt.NDArray[np.float64]],
    village: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return the outcomes without treatment; their variance is about 1, a tenth of it common to a village."""
    known = {"age": people["age"], "income": people["income"], **shares}
    explained = sum(slope * _standard(known[name]) for name, slope in _SLOPES.items())
    rest = 1 - _ICC - sum(slope**2 for slope in _SLOPES.values())
    common = np.sqrt(_ICC) * rng.standard_normal(village.max() + 1)
    own = np.sqrt(rest) * rng.standard_normal(len(village))
    return np.asarray(explained + common[village] + own, dtype=np.float64)


def _units_table(
    rng: np.random.Generator,
    village: npt.NDArray[np.int64],
    places: npt.NDArray[np.float64],
    *,
    treated: npt.NDArray[np.int64],
    people: dict[str, npt.NDArray[np.float64]],
) -> pd.DataFrame:
    from pyproj import Transformer

    easting, northing = WEST + PIXEL_M * places[:, 1], NORTH - PIXEL_M * places[:, 0]
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(easting, northing)
    started = pd.Timestamp("2008-02-01") + pd.to_timedelta(rng.integers(0, 90, size=len(treated)), unit="D")
    asked = pd.Timestamp("2009-03-01") + pd.to_timedelta(rng.integers(0, 60, size=len(treated)), unit="D")
    return pd.DataFrame(
        {
            "unit": [f"u{number:05d}" for number in range(1, len(village) + 1)],
            "village": [f"v{number:04d}" for number in village + 1],
            "lon": np.round(lon, 6),
            "lat": np.round(lat, 6),
            "treated": treated[village],
            "outcome": 0.0,
            "age": people["age"].astype(int),
            "female": people["female"].astype(int),
            "baseline_income": people["income"],
            "true_effect": 0.0,
            "treatment_date": started.strftime("%Y-%m-%d").to_numpy()[village],
            "survey_date": asked.strftime("%Y-%m-%d").to_numpy()[village],
        }
    )


def _write_raster(path: Path, pixels: npt.NDArray[np.uint16]) -> Path:
    """Write the scene as a tiled, compressed GeoTIFF with named bands and nodata declared."""
    import rasterio

    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": len(BANDS),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "crs": CRS,
        "transform": rasterio.Affine(PIXEL_M, 0, WEST, 0, -PIXEL_M, NORTH),
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 4,
    }

    def write(temporary: Path) -> None:
        with rasterio.open(temporary, "w", **profile) as target:
            target.write(pixels)
            target.scales = (1e-4,) * len(BANDS)
            target.update_tags(DESCRIPTION="Simulated scene, not real data; reflectance x 10,000")
            for number, band in enumerate(BANDS, start=1):
                target.set_band_description(number, band)

    return write_atomically(path, write)


_SPEC = """\
# A simulated region: nothing here was measured. The truth is in truth.json and in the column true_effect.
spec_version: 1
title: Simulated region with known effects
question: Did the programme raise the outcome, and can the scene tell where it raised it most?

units:
  path: units.csv
  id: unit
  lon: lon
  lat: lat
  crs: EPSG:4326
  date: treatment_date

imagery:
  rasters: region.tif
  size_m: [960, 3840]      # the place itself, and its surroundings
  date: {date}
  pixel_unit: reflectance_x10000

encoder:
  name: rcf
  n_features: 256
  patch_px: [3, 5]
  seed: 0

design:
  outcome: outcome
  treatment: treated
  covariates: [age, female, baseline_income]
  cluster: village
  propensity: 0.5

effects:
  ate: [aipw, difference, regression, ipw]
  cate: {{learner: causal_forest, trees: 2000}}
  rate: [AUTOC, QINI]
  folds: {{kind: cluster, k: 5}}

sensitivity: {{kinds: spatial}}      # a trial: do neighbours share what is left, and does treatment reach them?

truth:
  ate: {ate:.6f}
  effect_column: true_effect

seed: {seed}
out: out
"""
