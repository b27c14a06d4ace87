"""Do nominal 95% intervals cover? Long simulations; a short one runs with every change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.linear_model import Ridge

import eocausal as ec
from tests.simulation.worlds import TRUE_ATE, cluster_trial, observational

DRAWS = 400
# a fixed penalty keeps one draw fast; the default learner differs only in choosing it
LEARNERS = ec.Learners(outcome=Ridge(10.0))


def _one(world: Callable[[int], ec.Design], method: str, seed: int) -> tuple[float, float, bool]:
    result = ec.ate(world(seed), method=method, learners=LEARNERS, seed=seed)
    low, high = result.ci()
    return result.estimate, result.std_error, low <= TRUE_ATE <= high


def _simulate(
    world: Callable[[int], ec.Design], method: str, draws: int
) -> tuple[float, float, float, float]:
    """Return coverage, bias, its Monte Carlo error, and mean standard error over true standard deviation."""
    runs = Parallel(n_jobs=2)(delayed(_one)(world, method, seed) for seed in range(draws))
    estimates, errors, covered = (np.array(column) for column in zip(*runs))
    spread = estimates.std(ddof=1)
    figures = covered.mean(), estimates.mean() - TRUE_ATE, spread / np.sqrt(draws), errors.mean() / spread
    print(f"{world.__name__} {method}: coverage {figures[0]:.3f} bias {figures[1]:.4f} (mc {figures[2]:.4f}) "
          f"se ratio {figures[3]:.3f}")  # fmt: skip
    return figures


@pytest.mark.slow
@pytest.mark.parametrize("method", ["difference", "regression", "ipw", "aipw"])
def test_intervals_cover_in_a_cluster_randomised_trial(method: str) -> None:
    coverage, bias, mc_error, se_ratio = _simulate(cluster_trial, method, DRAWS)
    assert 0.92 <= coverage <= 0.98
    assert abs(bias) <= 3 * mc_error
    assert 0.9 <= se_ratio <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["regression", "ipw", "aipw"])
def test_intervals_cover_in_an_observational_design_with_known_propensity(method: str) -> None:
    coverage, bias, mc_error, se_ratio = _simulate(observational, method, DRAWS)
    assert 0.92 <= coverage <= 0.98
    assert abs(bias) <= 3 * mc_error
    assert 0.9 <= se_ratio <= 1.1


@pytest.mark.slow
def test_the_difference_in_means_does_not_cover_under_confounding() -> None:
    coverage, bias, _, _ = _simulate(observational, "difference", 100)
    assert coverage < 0.1
    assert bias > 0.5


@pytest.mark.slow
def test_ignoring_clusters_makes_intervals_too_short() -> None:
    covered = []
    for seed in range(200):
        result = ec.ate(cluster_trial(seed), method="difference", vcov="iid")
        low, high = result.ci()
        covered.append(low <= TRUE_ATE <= high)
    assert np.mean(covered) < 0.85


@pytest.mark.parametrize("method", ["difference", "regression", "ipw"])
def test_intervals_cover_roughly_in_few_draws(method: str) -> None:
    coverage, bias, mc_error, _ = _simulate(cluster_trial, method, 120)
    # 99.9% binomial band of 0.95 with 120 draws
    assert coverage >= 0.87
    assert abs(bias) <= 4 * mc_error
