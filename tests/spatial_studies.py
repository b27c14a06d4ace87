"""Studies on a map for tests of what neighbours share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

import eocausal as ec
from eocausal.sensitivities.near_places import ring_sums

FloatArray = npt.NDArray[np.float64]


def scattered(n: int = 300, *, seed: int = 0, side: float = 2.0, centre: float = 31.0) -> FloatArray:
    """Return longitude and latitude (n, 2) of units on a square of so many degrees."""
    rng = np.random.default_rng(seed)
    return np.column_stack([centre + side * (rng.uniform(size=n) - 0.5), side * (rng.uniform(size=n) - 0.5)])


def shocks(coordinates: FloatArray, *, reach_km: float, count: int, rng: np.random.Generator) -> FloatArray:
    """Return draws (n, count) of surfaces whose correlation falls with distance as an exponential."""
    lon, lat = coordinates.T
    apart = 111.2 * np.hypot(lon[:, None] - lon, lat[:, None] - lat)
    root = np.linalg.cholesky(np.exp(-apart / reach_km) + 1e-9 * np.eye(len(lon)))
    return np.asarray(root @ rng.normal(size=(len(lon), count)))


def table(
    coordinates: FloatArray,
    *,
    seed: int = 0,
    reach_km: float = 0.0,
    spillover: float = 0.0,
    within_km: float = 10.0,
    treated: float = 0.3,
) -> pd.DataFrame:
    """Return units whose income gains 0.5 by own treatment and ``spillover`` where all around are treated.

    With ``reach_km`` treatment and shocks to income are alike up to about that distance.
    """
    rng = np.random.default_rng(seed + 1000)
    n = len(coordinates)
    age = rng.normal(size=n)
    latent, shock = rng.normal(size=(2, n))
    if reach_km:
        latent, shock = shocks(coordinates, reach_km=reach_km, count=2, rng=rng).T
    grant = (latent <= np.quantile(latent, treated)).astype(int)
    sums = ring_sums(coordinates, np.column_stack([np.ones(n), grant]), [1000 * within_km])[:, 0]
    share = np.divide(sums[:, 1], sums[:, 0], out=np.zeros(n), where=sums[:, 0] > 0)
    income = 1 + 0.5 * grant + 0.5 * age + spillover * share + shock
    return pd.DataFrame(
        {
            "id": np.arange(n), "lon": coordinates[:, 0], "lat": coordinates[:, 1], "grant": grant, "age": age,
            "income": income, "district": np.floor(3 * coordinates).astype(int) @ [100, 1],
            "dose": np.abs(latent) + 0.2 * rng.uniform(size=n),
        }
    )  # fmt: skip


def on_the_map(frame: pd.DataFrame, **options: object) -> ec.Design:
    """Income on grant, adjusting for age, of units that know where they are."""
    asked = {"outcome": "income", "treatment": "grant", "covariates": ["age"], **options}
    return ec.Design(ec.read_units(frame, id="id", lon="lon", lat="lat"), **asked)
