"""Aid of China, of the World Bank, of both and of none before a survey, and the wealth of places near the sites.

Not a claim that aid works: sites are towns. What is tested is that four arms run on real places, that the arms are
those counted by hand, and that numbers lie where tables without any model put them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec

EARTH_KM = 6371.0
NEAR_KM = 25.0
LEARNERS = ec.Learners(outcome=Ridge(1.0), propensity=LogisticRegression(C=1.0))


def _near(places: pd.DataFrame, sites: pd.DataFrame) -> np.ndarray:
    """Return whether any site that began before the year of the survey lies within 25 km of each place."""
    points = _on_sphere(places["lat"], places["lon"])
    began = sites["start_date"].str[:4].astype(int).to_numpy()
    near = np.zeros(len(places), dtype=bool)
    for year in places["year"].unique():
        rows, before = (places["year"] == year).to_numpy(), began < year
        if before.any():
            tree = cKDTree(_on_sphere(sites["latitude"], sites["longitude"])[before])
            near[rows] = tree.query(points[rows])[0] <= 2 * np.sin(NEAR_KM / EARTH_KM / 2)
    return near


def _on_sphere(latitude: pd.Series, longitude: pd.Series) -> np.ndarray:
    lat, lon = np.radians(latitude.to_numpy()), np.radians(longitude.to_numpy())
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


@pytest.fixture(scope="module")
def places(shared: Path) -> pd.DataFrame:
    """Places of the four countries where each arm has at least ten of them."""
    wealth = pd.read_parquet(
        shared / "data/africa_wealth/clusters.parquet",
        columns=["cluster_id", "country", "year", "lat", "lon", "urban", "wealth"],
    )
    kept = wealth[wealth["country"].isin(["angola", "lesotho", "sierra_leone", "togo"])].reset_index(
        drop=True
    )
    sites = pd.read_csv(shared / "data/africa_aid/projects.csv")
    china, bank = (_near(kept, sites[sites["funder"] == funder]) for funder in ("CH", "WB"))
    arm = np.select([china & bank, china, bank], ["both", "China", "World Bank"], "none")
    return kept.assign(aid=arm, since_2000=kept["year"] - 2000.0)


@pytest.fixture(scope="module")
def design(places: pd.DataFrame) -> ec.Design:
    units = ec.read_units(places, id="cluster_id", lon="lon", lat="lat")
    return ec.Design(
        units, outcome="wealth", treatment="aid", treatment_type="categorical", control="none",
        covariates=["urban", "country", "since_2000"],
    )  # fmt: skip


def test_arms_are_counted(design: ec.Design) -> None:
    counts = dict(zip(design.table.arms, np.bincount(design.table.assigned.astype(int)).tolist()))
    assert counts == {"none": 919, "China": 107, "World Bank": 724, "both": 664}


def test_differences_are_those_of_the_table(design: ec.Design, places: pd.DataFrame) -> None:
    found = ec.ate(design, method="difference")
    means = places.groupby("aid")["wealth"].mean()
    for arm, estimate in zip(found.terms, found.estimate):
        assert estimate == pytest.approx(means[arm] - means["none"])


def test_adjustment_takes_away_what_towns_and_countries_explain(
    design: ec.Design, places: pd.DataFrame
) -> None:
    raw, found = ec.ate(design, method="difference"), ec.ate(design, learners=LEARNERS)
    assert (np.abs(found.estimate) < np.abs(raw.estimate)).all()
    # what is left is near the mean gap within countries, towns and villages apart, over all places
    cells = places.groupby(["country", "urban"])
    wealth = places.pivot_table("wealth", ["country", "urban"], "aid")
    both = wealth["both"] - wealth["none"]
    by_cell = (both * cells.size()).sum() / cells.size().sum()
    estimate = dict(zip(found.terms, found.estimate))["both"]
    assert estimate == pytest.approx(by_cell, abs=0.15)
    assert ec.contrast(found, "both", against="World Bank").p_value() < 1e-6


def test_few_places_of_an_arm_and_near_neighbours_are_told_and_priced(design: ec.Design) -> None:
    found = ec.ate(design, learners=LEARNERS)
    assert any("probability below 0.05 of arm 'China'" in text for text in found.warnings)
    assert found.diagnostics["ess_China"] < 60
    near = found.with_vcov({"conley": "50km"})
    assert (near.std_error > 1.2 * found.std_error).all()


def test_a_country_without_an_arm_has_no_overlap(shared: Path) -> None:
    wealth = pd.read_parquet(shared / "data/africa_wealth/clusters.parquet").set_index("cluster_id")
    sites = pd.read_csv(shared / "data/africa_aid/projects.csv")
    some = wealth[wealth["country"].isin(["zimbabwe", "malawi"])]
    china, bank = (_near(some, sites[sites["funder"] == funder]) for funder in ("CH", "WB"))
    arms = some.assign(aid=np.select([china & ~bank, bank], ["China", "World Bank"], "none"))
    with pytest.raises(
        ec.errors.LeakError, match=r"no overlap, with arm '(China|World Bank)' as the treated"
    ):
        ec.Design(
            arms, outcome="wealth", treatment="aid", treatment_type="categorical", control="none",
            covariates=["country"],
        )  # fmt: skip
