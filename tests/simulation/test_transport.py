"""Transported averages over many draws: bias and coverage where both models are right, one is, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import eocausal as ec
from eocausal.effects.effect_learners import EffectLearner
from tests.transport_worlds import BLIND, FITTED, SHIFT, Linear, Same, effects, study, target

TRUTH = 1 + SHIFT
DRAWS = 200
# intervals of so few units cover some 93% (these draws 89.5%, 200 others 95.5%), within three standard errors
COVERED = (0.87, 0.99)


@dataclass(frozen=True)
class Found:
    """Over all draws: mean error, its own standard error, share of intervals that cover, spread, mean error bar."""

    bias: float
    noise: float
    covered: float
    spread: float
    std_error: float


def _over(draws: int, learner: EffectLearner, learners: ec.Learners, **world: object) -> tuple[Found, Found]:
    """Return what the doubly robust form and inverse odds find over many draws of study and target."""
    rows = []
    for draw in range(draws):
        table = study(300, seed=10_000 + draw, n_villages=world.get("n_villages"))
        options = {"cluster": "village"} if world else {}
        cate = effects(table, learner, **options)
        found = ec.transport(cate, ec.Target(target(400, seed=20_000 + draw)), learners=learners)
        rows.append([[one.estimate, one.std_error, *one.ci()] for one in (found.average, found.weighted)])
    made = np.array(rows)
    return tuple(_summary(made[:, k]) for k in (0, 1))


def _summary(rows: np.ndarray) -> Found:
    estimates, errors, low, high = rows.T
    return Found(
        float(estimates.mean() - TRUTH),
        float(estimates.std(ddof=1) / np.sqrt(len(estimates))),
        float(((low <= TRUTH) & (high >= TRUTH)).mean()),
        float(estimates.std(ddof=1)),
        float(errors.mean()),
    )


CASES = {
    "both right": (Linear(), FITTED),
    "effects wrong": (Same(-1.0), FITTED),
    "odds wrong": (Linear(), BLIND),
    "both wrong": (Same(-1.0), BLIND),
}


def test_few_draws_tell_right_from_wrong() -> None:
    right, _ = _over(25, Linear(), BLIND)
    assert abs(right.bias) < 4 * right.noise
    wrong, naive = _over(25, Same(-1.0), BLIND)
    assert wrong.bias < -0.4
    assert naive.bias < -0.4


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_bias_and_coverage(case: str) -> None:
    robust, weighted = _over(DRAWS, *CASES[case])
    print(case, robust, weighted)
    if case == "both wrong":
        assert robust.bias < -0.5
        assert robust.covered < 0.2
        return
    assert abs(robust.bias) < 3 * robust.noise
    if case == "odds wrong":
        # the estimate is right, but how predicted effects vary with the study is no longer of second order
        assert 0.8 <= robust.covered <= 0.95
        # odds of one for all: what these find is the study's own effect
        assert weighted.bias < -0.5
        return
    assert COVERED[0] <= robust.covered <= COVERED[1]
    assert robust.std_error == pytest.approx(robust.spread, rel=0.15)


@pytest.mark.slow
def test_coverage_with_clusters() -> None:
    robust, _ = _over(DRAWS, Linear(), FITTED, n_villages=40)
    print("clusters", robust)
    assert abs(robust.bias) < 3 * robust.noise
    assert COVERED[0] <= robust.covered <= COVERED[1]
