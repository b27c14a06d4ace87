"""Who counts as treated: villages near aid projects, by when the projects started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

EARTH_KM = 6371.0088
NEAR_KM = 25.0
LEAST_IN_ARM = 10
OUTCOME, TREATMENT = "wealth", "aid"
TABLES = ["country_year", "urban"]
COORDINATES = ["lon", "lat", "lon2", "lat2", "lonlat"]
PREDICTED = ["ooc_resnet_ms", "ooc_resnet_nl"]
# Country, an earlier survey whose pictures end in 2011, and a later one.
WAVES = [
    ("angola", 2011, 2015), ("burkina_faso", 2010, 2014), ("ethiopia", 2010, 2016), ("lesotho", 2009, 2014),
    ("malawi", 2010, 2015), ("nigeria", 2010, 2015), ("rwanda", 2010, 2014), ("uganda", 2009, 2014),
    ("zimbabwe", 2010, 2015),
]  # fmt: skip
PICTURES_END = 2011


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return villages and project sites."""
    villages = pd.read_parquet(folder / "africa_wealth/clusters.parquet")
    projects = pd.read_csv(folder / "africa_aid/projects.csv", parse_dates=["start_date"])
    villages["country_year"] = villages["country"] + "_" + villages["year"].astype(str)
    # half a degree is about 55 km, twice the distance that makes a village treated
    cell = np.floor(villages[["lat", "lon"]] / 0.5).astype(int).astype(str)
    villages["cell"] = cell["lat"] + "/" + cell["lon"]
    east, north = (villages[name] - villages[name].mean() for name in ("lon", "lat"))
    villages = villages.assign(lon2=east**2, lat2=north**2, lonlat=east * north)
    return villages, projects


def first_start(
    villages: pd.DataFrame, projects: pd.DataFrame, *, earliest: pd.Series, latest: pd.Series
) -> pd.Series:
    """Return when the first project near each village started, of those between two years; NaT where none did.

    Parameters
    ----------
    villages : DataFrame
        With ``lon`` and ``lat`` in degrees.
    projects : DataFrame
        With ``longitude``, ``latitude`` and ``start_date``.
    earliest, latest : Series
        First and last year, one for each village; both count.
    """
    from sklearn.neighbors import BallTree

    tree = BallTree(np.radians(projects[["latitude", "longitude"]].to_numpy()), metric="haversine")
    near = tree.query_radius(np.radians(villages[["lat", "lon"]].to_numpy()), r=NEAR_KM / EARTH_KM)
    village = np.repeat(np.arange(len(villages)), [len(found) for found in near])
    start = projects["start_date"].iloc[np.concatenate(near)].to_numpy()
    pairs = pd.DataFrame({"village": village, "start": start})
    year = pairs["start"].dt.year.to_numpy()
    within = (year >= earliest.to_numpy()[village]) & (year <= latest.to_numpy()[village])
    first = pairs[within].groupby("village")["start"].min()
    return pd.Series(first.reindex(range(len(villages))).to_numpy(), index=villages.index)


def placement(villages: pd.DataFrame, projects: pd.DataFrame) -> pd.DataFrame:
    """Return treated villages, near a project that started 3 to 8 years before the survey, and all others."""
    year = villages["year"]
    started = first_start(villages, projects, earliest=year - 8, latest=year - 3)
    return _both_arms(villages.assign(started=started, aid=started.notna().astype(int)))


def placebo(villages: pd.DataFrame, projects: pd.DataFrame) -> pd.DataFrame:
    """Return villages near a project of the next five years against others, none near a project before.

    A project that has not begun cannot have raised wealth: what is found is how projects are placed.
    """
    year = villages["year"]
    started = first_start(villages, projects, earliest=year + 1, latest=year + 5)
    before = first_start(villages, projects, earliest=year - 100, latest=year)
    study = villages.assign(started=started, aid=started.notna().astype(int))
    return _both_arms(study[before.isna()])


def later_wave(villages: pd.DataFrame, projects: pd.DataFrame) -> pd.DataFrame:
    """Return villages of later surveys, near projects that started after the pictures of the earlier survey.

    ``aid_before`` says whether a project had started by then; the columns of :func:`looked_before` tell of the
    villages that the earlier survey had visited nearby.
    """
    parts = []
    for country, earlier, later in WAVES:
        inside = villages["country"] == country
        part = villages[inside & (villages["year"] == later)]
        if part.empty:
            continue
        year = part["year"]
        started = first_start(part, projects, earliest=0 * year + PICTURES_END + 1, latest=year - 1)
        before = first_start(part, projects, earliest=0 * year, latest=0 * year + PICTURES_END)
        part = part.assign(
            started=started, aid=started.notna().astype(int), aid_before=before.notna().astype(int)
        )
        parts.append(looked_before(part, villages[inside & (villages["year"] == earlier)]))
    return _both_arms(pd.concat(parts))


def looked_before(villages: pd.DataFrame, earlier: pd.DataFrame, *, within_km: float = 50.0) -> pd.DataFrame:
    """Add what the earlier survey and its pictures said nearby: means within 50 km and their number.

    Villages without one within 50 km are left out by the design, by arm, as missing.
    """
    from sklearn.neighbors import BallTree

    tree = BallTree(np.radians(earlier[["lat", "lon"]].to_numpy()), metric="haversine")
    near = tree.query_radius(np.radians(villages[["lat", "lon"]].to_numpy()), r=within_km / EARTH_KM)
    found = {}
    for name in (OUTCOME, *PREDICTED):
        values = earlier[name].to_numpy(dtype=float)
        found[f"before_{name}"] = [values[rows].mean() if len(rows) else np.nan for rows in near]
    return villages.assign(**found, before_villages=[np.log1p(len(rows)) for rows in near])


def four_arms(villages: pd.DataFrame, projects: pd.DataFrame) -> pd.DataFrame:
    """Return villages by whose projects, of 3 to 8 years before the survey, were near; ``funders`` says so."""
    year = villages["year"]
    near = {
        funder: first_start(villages, part, earliest=year - 8, latest=year - 3).notna()
        for funder, part in projects.groupby("funder")
    }
    names = np.select(
        [near["CH"] & near["WB"], near["CH"], near["WB"]], ["both", "China", "World Bank"], "none"
    )
    study = villages.assign(funders=names)
    fewest = study.groupby("country_year")["funders"].agg(
        lambda arms: arms.value_counts().min() * (arms.nunique() == 4)
    )
    return study[study["country_year"].map(fewest) >= LEAST_IN_ARM].reset_index(drop=True)


def _both_arms(study: pd.DataFrame) -> pd.DataFrame:
    """Keep country-years with enough villages in both arms."""
    treated = study.groupby("country_year")[TREATMENT].transform("sum")
    control = study.groupby("country_year")[TREATMENT].transform("size") - treated
    return study[(treated >= LEAST_IN_ARM) & (control >= LEAST_IN_ARM)].reset_index(drop=True)
