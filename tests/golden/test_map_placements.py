"""Maps of wealth against surveys of 12,081 African villages: where undoing their shrinkage hurts, and why.

Each of 27 groups of aid projects, by funder and sector, is a trial: villages within 25 km of a project that began
three to eight years before the survey, against the other villages of the same country and year. The outcome is
wealth before any claim of an effect: what is tested is whether a *difference* on a map is that of the survey.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

EARTH_KM, NEAR_KM = 6371.0088, 25.0
LEAST_IN_ARM = 30
# Of each map: slope of its differences on true ones, mean absolute error of them as they are and over the slope.
KNOWN = {
    "ic_resnet_msnl_concat": (1.01, 0.064, 0.257),
    "ooc_resnet_msnl_concat": (0.91, 0.067, 0.294),
    "ooc_resnet_ms": (0.80, 0.105, 0.273),
}
SLOPES = {
    "ic_resnet_msnl_concat": (0.7119, 0.7344, 0.9693),
    "ooc_resnet_msnl_concat": (0.6715, 0.6752, 0.9945),
    "ic_knn_nl_mean": (0.6672, 0.6545, 1.0193),
    "ic_ridge_rgb_hist": (0.2016, 0.1899, 1.0617),
}


class Trials(NamedTuple):
    """Villages, and treated and studied villages of each trial, arrays of shape (trials, villages)."""

    villages: pd.DataFrame
    treated: np.ndarray
    studied: np.ndarray

    def differences(self, column: str) -> np.ndarray:
        values = self.villages[column].to_numpy()
        pairs = zip(self.treated & self.studied, ~self.treated & self.studied)
        return np.array([values[treated].mean() - values[control].mean() for treated, control in pairs])

    @property
    def maps(self) -> list[str]:
        return [name for name in self.villages if name.startswith(("ic_", "ooc_"))]


@pytest.fixture(scope="module")
def trials(shared: Path) -> Trials:
    from sklearn.neighbors import BallTree

    villages = pd.read_parquet(shared / "data/africa_wealth/clusters.parquet")
    sites = pd.read_csv(shared / "data/africa_aid/projects.csv", parse_dates=["start_date"])
    tree = BallTree(np.radians(sites[["latitude", "longitude"]].to_numpy()), metric="haversine")
    near = tree.query_radius(np.radians(villages[["lat", "lon"]].to_numpy()), r=NEAR_KM / EARTH_KM)
    village, site = np.repeat(np.arange(len(villages)), [len(found) for found in near]), np.concatenate(near)
    years = villages["year"].to_numpy()[village] - sites["start_date"].dt.year.to_numpy()[site]
    alike = villages["country"].to_numpy()[village] == sites["country"].to_numpy()[site]
    counts = (years >= 3) & (years <= 8) & alike
    kind = (sites["funder"] + sites["sector_code"].astype(str)).to_numpy()[site]
    visit = (villages["country"] + villages["year"].astype(str)).to_numpy()
    treated, studied = [], []
    for name in np.unique(kind):
        one = np.zeros(len(villages), dtype=bool)
        one[village[counts & (kind == name)]] = True
        inside = np.isin(visit, np.unique(visit[one]))
        if min((one & inside).sum(), (~one & inside).sum()) >= LEAST_IN_ARM:
            treated.append(one)
            studied.append(inside)
    return Trials(villages, np.array(treated), np.array(studied))


def _errors(trials: Trials, name: str) -> tuple[float, float, float]:
    true, naive = trials.differences("wealth"), trials.differences(name)
    k = ec.diagnose(trials.villages[name], trials.villages["wealth"]).k
    slope = float(np.polyfit(true, naive, 1)[0])
    return slope, float(np.abs(naive - true).mean()), float(np.abs(naive / k - true).mean())


@pytest.mark.parametrize("name", KNOWN)
def test_known_numbers_of_the_trials(trials: Trials, name: str) -> None:
    assert len(trials.treated) == 27
    found, known = _errors(trials, name), KNOWN[name]
    assert found[0] == pytest.approx(known[0], abs=0.006)
    assert found[1:] == pytest.approx(known[1:], abs=0.0006)


@pytest.mark.parametrize("name", SLOPES)
def test_known_slopes_of_the_maps(trials: Trials, name: str) -> None:
    found = ec.diagnose(trials.villages[name], trials.villages["wealth"])
    r2, k, back = SLOPES[name]
    assert found.k == pytest.approx(k, abs=6e-5)
    assert found.checks[0].value == pytest.approx(back, abs=6e-5)
    assert found.r2 == pytest.approx(r2, abs=6e-5)


def test_town_and_country_keep_more_of_their_gap_than_villages_do(trials: Trials) -> None:
    villages = trials.villages
    settlement = villages["country"] + villages["urban"].astype(str)
    groups = villages[["country", "urban"]].assign(settlement=settlement)
    found = ec.diagnose(villages["ic_resnet_msnl_concat"], villages["wealth"], groups=groups)
    country, urban, both = found.levels
    assert found.k == pytest.approx(0.734, abs=0.001)
    assert (country.n_groups, both.n_groups) == (15, 30)
    assert country.estimate == pytest.approx(0.667, abs=0.001)
    assert urban.estimate == pytest.approx(1.1912 / 1.2958, abs=2e-4)
    assert both.estimate == pytest.approx(0.842, abs=0.001)
    assert found.verdict == "do not correct"
    assert found.table().set_index("term").loc["urban", "says"] == "naive is nearer"
    # countries were drawn, not villages: errors grow, and the answer stays
    by_country = ec.diagnose(
        villages["ic_resnet_msnl_concat"], villages["wealth"], groups=groups, cluster=villages["country"]
    )
    assert by_country.unit.std_error > 4 * found.unit.std_error
    assert by_country.verdict == "do not correct"


def test_out_of_country_maps_shrink_countries_more_than_villages(trials: Trials) -> None:
    villages = trials.villages
    name = "ooc_resnet_msnl_concat"
    means = villages.groupby("country")[["wealth", name]].mean()
    assert np.polyfit(means["wealth"], means[name], 1)[0] == pytest.approx(0.525, abs=0.001)
    found = ec.diagnose(villages[name], villages["wealth"], groups=villages["country"]).levels[0]
    assert found.estimate < 0.5


def test_every_country_keeps_more_between_town_and_country_than_between_villages(trials: Trials) -> None:
    for _, here in trials.villages.groupby("country"):
        found = ec.diagnose(here["ic_resnet_msnl_concat"], here["wealth"], groups=here["urban"])
        assert found.levels[0].estimate > found.k


def test_a_slope_from_other_countries_is_off_by_up_to_a_third(trials: Trials) -> None:
    """What a calibration elsewhere is worth: the slope of the corrected map in the country that was left out."""
    name, ratios = "ic_resnet_msnl_concat", {}
    for country, here in trials.villages.groupby("country"):
        others = trials.villages[trials.villages["country"] != country]
        away = ec.debias(others, prediction=name, truth="wealth", method="lcc")
        ratios[country] = ec.diagnose(away.correct(here[name]), here["wealth"].to_numpy()).k
    found = pd.Series(ratios)
    assert found.mean() == pytest.approx(1.06, abs=0.01)
    assert (found.min(), found.max()) == pytest.approx((0.87, 1.32), abs=0.01)


def test_auto_with_groups_never_makes_a_map_worse_than_it_is(trials: Trials) -> None:
    """All 24 maps: the mean absolute error over trials is that of naive; correcting would have made it larger."""
    true, harmed = trials.differences("wealth"), []
    for name in trials.maps:
        naive = trials.differences(name)
        found = ec.diagnose(
            trials.villages[name], trials.villages["wealth"], groups=trials.villages[["country", "urban"]]
        )
        error, plain, corrected = (
            np.abs(one - true).mean()
            for one in (naive / found.k if found.corrects else naive, naive, naive / found.k)
        )
        assert error <= plain + 1e-12, name
        assert found.warnings, name
        harmed.append(corrected > plain)
    assert len(harmed) == 24
    assert all(harmed)


def test_fifteen_countries_are_too_few_to_vouch_for_a_correction(trials: Trials) -> None:
    """They shrink as villages do, or more; believed, they would have the map corrected and trials made worse."""
    name = "ic_resnet_msnl_concat"
    found = ec.diagnose(trials.villages[name], trials.villages["wealth"], groups=trials.villages["country"])
    assert found.table()["says"].tolist() == ["too few groups to vouch for a correction"]
    assert not found.corrects


@pytest.mark.parametrize("groups", [None, "country"])
def test_labels_of_the_trials_decide_where_the_calibration_holds_them(
    trials: Trials, groups: str | None
) -> None:
    name = "ic_resnet_msnl_concat"
    fix = ec.debias(trials.villages, prediction=name, truth="wealth", groups=groups)
    true, naive = trials.differences("wealth"), trials.differences(name)
    believed = []
    for treated, studied in zip(trials.treated, trials.studied):
        here = trials.villages[studied].assign(aid=treated[studied].astype(int))
        found = ec.ate(ec.Design(here, outcome=name, treatment="aid"), correct=fix, method="difference")
        assert any("whose arms are known" in text for text in found.corrector.reasons)
        believed.append(found.best.estimate)
    assert np.abs(np.array(believed) - true).mean() < np.abs(naive - true).mean()


@pytest.mark.parametrize("name", KNOWN)
def test_debias_leaves_these_maps_as_they_are(trials: Trials, name: str) -> None:
    fix = ec.debias(trials.villages, prediction=name, truth="wealth", groups=["country", "urban"])
    assert fix.method == "none"
    assert any("urban" in text and "naive is nearer" in text for text in fix.reasons)
    seen = trials.villages[name].to_numpy()
    assert np.array_equal(fix.correct(seen), seen)


@pytest.mark.parametrize("name", KNOWN)
def test_with_labels_in_the_trials_the_choice_is_no_worse_than_either(trials: Trials, name: str) -> None:
    true, naive = trials.differences("wealth"), trials.differences(name)
    chosen = []
    for one, (treated, studied) in enumerate(zip(trials.treated, trials.studied)):
        here = trials.villages[studied]
        found = ec.diagnose(here[name], here["wealth"], treatment=treated[studied].astype(float))
        chosen.append(naive[one] / found.k if found.corrects else naive[one])
    error = np.abs(np.array(chosen) - true).mean()
    assert error <= np.abs(naive - true).mean() + 1e-12


def test_without_groups_the_assumption_is_told(trials: Trials) -> None:
    found = ec.diagnose(trials.villages["ic_resnet_msnl_concat"], trials.villages["wealth"])
    assert (found.verdict, found.corrects) == ("cannot tell", False)
    assert any("is an assumption" in text for text in found.warnings)


def test_fuel_moisture_keeps_its_seasons_and_loses_its_sites(shared: Path) -> None:
    """Ridge on three months of satellite data: a slope of 0.38 on new sites, and nearly all of the seasons."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.read_parquet(shared / "data/fuel_moisture/fuel_moisture.parquet")
    columns = table.drop(columns=["row", "site", "lat", "lon", "is_test", "fuel_moisture_pct"])
    truth, test = table["fuel_moisture_pct"], table["is_test"].astype(bool)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=10.0))
    made = ridge.fit(columns[~test], truth[~test]).predict(columns[test])
    unseen = ec.diagnose(made, truth[test].to_numpy(), cluster=table["site"][test].to_numpy())
    assert unseen.k == pytest.approx(0.384, abs=0.001)
    assert 1 - ((truth[test] - made) ** 2).sum() / ((truth[test] - truth[test].mean()) ** 2).sum() == (
        pytest.approx(0.367, abs=0.001)
    )
    assert unseen.n_clusters == 50
    assert (unseen.verdict, unseen.corrects) == ("cannot tell", False)

    folds = cross_val_predict(ridge, columns, truth, groups=table["site"], cv=GroupKFold(5))
    groups = table[["site", "month_t2"]].rename(columns={"month_t2": "month"})
    found = ec.diagnose(folds, truth.to_numpy(), groups=groups, cluster=table["site"].to_numpy())
    site, month = found.levels
    assert found.k == pytest.approx(0.36, abs=0.02)
    assert site.estimate == pytest.approx(0.25, abs=0.05)
    assert month.estimate == pytest.approx(0.95, abs=0.05)
    assert found.table()["says"].tolist() == ["correction is nearer", "naive is nearer"]
    assert found.verdict == "do not correct"
