"""Do tests of calibration, groups and policies keep their size, and do their intervals cover?"""

from __future__ import annotations

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.linear_model import Ridge

import eocausal as ec
from tests.judged import drawn_cate
from tests.simulation.worlds import cluster_trial

DRAWS = 400
LEARNERS = ec.Learners(outcome=Ridge(10.0))
EFFECTS = {"forest": ec.Forest(trees=60, n_jobs=1, engine="fast"), "linear": ec.LinearEffects()}
KINDS = ("sequential", "out_of_fold")


def _p_values(seed: int, name: str, spread: float) -> dict[str, float]:
    """Return p-values of the tests by both kinds of effects, on 80 villages that are treated as a whole."""
    design = cluster_trial(seed, n_clusters=80, per_cluster=5, width=8, spread=spread)
    cate = ec.cate(design, learner=EFFECTS[name], learners=LEARNERS, seed=seed)
    found = {}
    for kind in KINDS:
        fit, groups = ec.calibration(cate, effects=kind), ec.groups(cate, effects=kind)
        policy = ec.policy_value(cate, shares=[0.3], effects=kind)
        found |= {
            f"{kind}: calibration": fit.tests()["p_value"][1],
            f"{kind}: calibration, two-sided": fit.p_value()[1],
            f"{kind}: calibration, HC1": fit.with_vcov("cluster").tests()["p_value"][1],
            f"{kind}: most - least": groups.p_value()[-1],
            f"{kind}: groups alike": groups.equality_p,
            f"{kind}: top 30% against random": policy.against("random").p_value(),
        }
    return found


def _rejections(name: str, spread: float, draws: int) -> dict[str, float]:
    made = Parallel(n_jobs=2)(delayed(_p_values)(seed, name, spread) for seed in range(draws))
    shares = {test: float(np.mean([one[test] < 0.05 for one in made])) for test in made[0]}
    print(f"{name}, spread {spread}, {draws} draws")
    for test, share in shares.items():
        print(f"  {test:45s} {share:.3f}")
    return shares


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EFFECTS))
def test_sequential_effects_keep_the_size_of_every_test(name: str) -> None:
    shares = _rejections(name, 0.0, DRAWS)
    for test, share in shares.items():
        # 99.9% binomial band of 0.05 with 400 draws, and what 16 clusters a fold add
        if test.startswith("sequential") and "HC1" not in test:
            assert 0.015 <= share <= 0.1, test
    assert shares["out_of_fold: most - least"] > 0.09


@pytest.mark.slow
def test_differences_that_are_there_are_found() -> None:
    shares = _rejections("forest", 0.8, 60)
    assert shares["sequential: calibration"] > 0.4
    assert shares["sequential: most - least"] > 0.4


def test_averages_of_groups_and_values_of_policies_are_covered() -> None:
    # groups by the true effect, N(1, 1): their averages are 1 + 1.39981, 1 + 0.53190, 1, ...
    ends = np.array([-1.39981, -0.53190, 0.0, 0.53190, 1.39981])
    truth = np.append(1 + ends, 2 * 1.39981)
    # of the top 30%: 0.3 + phi(0.5244)
    value = 0.3 + 0.34769
    covered, valued = [], []
    for seed in range(200):
        cate = drawn_cate(seed, n=600, noise=2.0)
        bounds = np.asarray(ec.groups(cate).ci())
        covered.append((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))
        low, high = ec.policy_value(cate, shares=[0.3]).ci()[0]
        valued.append(low <= value <= high)
    # the lower end of the 99.9% binomial band of 0.95 with 200 draws
    assert (np.mean(covered, axis=0) >= 0.89).all()
    assert np.mean(valued) >= 0.89


def test_coefficients_of_calibration_are_covered() -> None:
    # predictions that differ half as much as effects: the coefficient is 2
    covered = []
    for seed in range(200):
        bounds = np.asarray(ec.calibration(drawn_cate(seed, n=600, shrunk=0.5, per_cluster=3)).ci())
        covered.append((bounds[:, 0] <= [1, 2]) & (bounds[:, 1] >= [1, 2]))
    assert (np.mean(covered, axis=0) >= 0.89).all()
