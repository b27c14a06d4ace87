"""Conley and two-way clustered standard errors against printed numbers of fixest and Stata, and statsmodels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.stats import sandwich_covariance as sandwich

from eocausal.inference.spatial import EARTH_RADIUS_M
from eocausal.inference.variance import Vcov, score_variance

# Metres in a degree of a great circle here, and in that of the peers: fixest's plane has 111 km to a degree, its
# sphere a radius of 6376 km. A cutoff there is this many times as long here.
PLANE = EARTH_RADIUS_M * np.pi / 180 / 111_000
SPHERE = EARTH_RADIUS_M / 6_376_000


def influence(fit) -> np.ndarray:
    """Return the influence values (n, k) of least-squares coefficients."""
    rows = np.asarray(fit.model.exog)
    return len(rows) * (rows * np.asarray(fit.resid)[:, None]) @ np.linalg.inv(rows.T @ rows)


@pytest.fixture(scope="module")
def quakes() -> tuple[np.ndarray, np.ndarray]:
    """Influence values of depth on magnitude, and places."""
    table = pd.read_csv(Path(__file__).parent / "quakes.csv", comment="#")
    fit = sm.OLS(table["depth"], sm.add_constant(table["mag"])).fit()
    np.testing.assert_allclose(fit.params, [881.62502, -123.42092], atol=5e-6)
    return influence(fit), table[["lon", "lat"]].to_numpy()


@pytest.mark.parametrize(
    ("cutoff_m", "kernel", "with_factor", "printed", "tolerance"),
    [
        # fixest, vcov_conley(cutoff = 90), its default distance
        (90_000 * PLANE, "uniform", True, [110.6727, 20.1746], 5e-5),
        # fixest, cutoff = 200, distance = "spherical"
        (200_000 * SPHERE, "uniform", True, [128.2426, 22.8950], 5e-5),
        # radius 6371.01 km, which is ours to 1 mm in 5 km
        (200_000, "uniform", True, [128.28203, 22.90243], 5e-6),
        (200_000, "uniform", False, [128.21781, 22.89097], 5e-6),
        (200_000, "bartlett", False, [108.58450, 19.71653], 1e-5),
    ],
)
def test_conley_agrees_with_printed_numbers(
    quakes: tuple[np.ndarray, np.ndarray],
    cutoff_m: float,
    kernel: str,
    with_factor: bool,
    printed: list[float],
    tolerance: float,
) -> None:
    scores, places = quakes
    how = Vcov("conley", cutoff_m=cutoff_m, kernel=kernel)
    found = score_variance(scores, vcov=how, coordinates=places, n_params=2)
    assert found.factor == pytest.approx(999 / 998, rel=1e-15)
    errors = np.sqrt(np.diag(found.matrix) / (1 if with_factor else found.factor))
    np.testing.assert_allclose(errors, printed, atol=tolerance)
    assert found.df == 998


@pytest.fixture(scope="module")
def grunfeld() -> tuple[pd.DataFrame, object]:
    """Investment of ten firms over twenty years, as in statsmodels' comparison with Stata's ivreg2."""
    table = sm.datasets.grunfeld.load_pandas().data
    table = table[table["firm"] != "American Steel"]
    return table, sm.OLS(table["invest"], sm.add_constant(table[["value", "capital"]])).fit()


def test_two_kinds_of_clusters_agree_with_stata(grunfeld: tuple[pd.DataFrame, object]) -> None:
    from statsmodels.regression.tests.results import results_grunfeld_ols_robust_cluster as stata

    table, fit = grunfeld
    labels = [table["firm"].to_numpy(), table["year"].to_numpy()]
    found = score_variance(influence(fit), vcov="cluster", clusters=labels, n_params=3)
    # ivreg2 invest mvalue kstock, cluster(company time) small
    printed = stata.results_cluster_2groups_small
    order = [1, 2, 0]
    np.testing.assert_allclose(found.matrix[np.ix_(order, order)], printed.cov, rtol=1e-6)
    assert (found.df, found.n_clusters) == (printed.df_r, printed.N_clust) == (9, 10)


def test_two_kinds_of_clusters_agree_with_statsmodels_up_to_the_factor(
    grunfeld: tuple[pd.DataFrame, object],
) -> None:
    table, fit = grunfeld
    firm, year = pd.factorize(table["firm"])[0], pd.factorize(table["year"])[0]
    expected = sandwich.cov_cluster_2groups(fit, firm, group2=year, use_correction=False)[0]
    found = score_variance(influence(fit), vcov="cluster", clusters=[firm, year], n_params=3)
    np.testing.assert_allclose(found.matrix / found.factor, expected, rtol=1e-9)
    assert found.factor == pytest.approx(10 / 9 * 199 / 197, rel=1e-12)
