"""Do intervals of each average cover their own truth? Long simulations; a short one runs with every change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec
from eocausal.effects.ate import METHODS
from eocausal.inference.tilting import ESTIMANDS, TILTS
from tests.simulation.worlds import TRUE_ATE, observational

DRAWS = 400
LEARNERS = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(C=1.0))
TRIM = ec.Trim("fixed", low=0.3, high=0.7)
# What adjusts for what the image shows. The second word says where the propensity is from, which else is known.
KNOWN = ("ipw", "horvitz_thompson", "aipw")
# models of the four factors behind the features, of which two make the propensity, by a logit
FITTED = ("ipw logit", "horvitz_thompson logit", "cbps balanced")
WAYS = [
    *[(method, estimand) for method in (*KNOWN, *FITTED, "aipw learned") for estimand in ESTIMANDS],
    ("partially_linear learned", "ato"),
    ("ols", "ols coefficient"),
    *[
        (method, estimand)
        for method in ("regression", "entropy_balancing")
        for estimand in ("ate", "att", "atc")
    ],
]


def _truth(estimand: str, trim: ec.Trim | None = None) -> float:
    """The average of the world's effects under the tilt of its propensity, by quadrature over its two factors."""
    if estimand == "ols coefficient":
        # what the propensity has beyond a line is odd in the factors, and outcomes are linear in them
        return TRUE_ATE
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    propensity = np.clip(1 / (1 + np.exp(-0.8 * first - 0.4 * second)), 0.05, 0.95)
    share = np.outer(weights, weights) * TILTS[estimand](propensity)
    if trim is not None:
        share = share * ((propensity >= trim.low) & (propensity <= trim.high))
    return float((share * (TRUE_ATE + 0.4 * first)).sum() / share.sum())


def _one(method: str, estimand: str, seed: int, trim: ec.Trim | None = None) -> tuple[float, float, bool]:
    design = observational(seed)
    method, *source = method.split()
    learners = LEARNERS
    if source:
        design = replace(design, propensity=None)
    if source in (["logit"], ["balanced"]) or method in ("entropy_balancing", "ols"):
        design = replace(design, features=None)  # the covariates are the factors behind the features
        learners = ec.Learners(propensity="logit") if source == ["logit"] else None
    found = ec.ate(design, method=method, estimand=estimand, trim=trim, learners=learners, seed=seed)
    low, high = found.ci()
    return found.estimate, found.std_error, low <= _truth(estimand, trim) <= high


def _simulate(
    method: str, estimand: str, draws: int, trim: ec.Trim | None = None
) -> tuple[float, float, float, float]:
    """Return coverage, bias, its Monte Carlo error, and mean standard error over true standard deviation."""
    runs = Parallel(n_jobs=2)(delayed(_one)(method, estimand, seed, trim) for seed in range(draws))
    estimates, errors, covered = (np.array(column) for column in zip(*runs))
    spread = estimates.std(ddof=1)
    bias = estimates.mean() - _truth(estimand, trim)
    figures = covered.mean(), bias, spread / np.sqrt(draws), errors.mean() / spread
    print(f"{method} {estimand}: coverage {figures[0]:.3f} bias {figures[1]:.4f} (mc {figures[2]:.4f}) "
          f"se ratio {figures[3]:.3f}")  # fmt: skip
    return figures


def test_the_truths_differ_by_more_than_a_standard_error() -> None:
    truths = {estimand: _truth(estimand) for estimand in ESTIMANDS}
    assert truths["ate"] == pytest.approx(0.5, abs=1e-9)
    # the world is symmetric around a propensity of one half
    assert truths["att"] - 0.5 == pytest.approx(0.5 - truths["atc"], abs=1e-9)
    assert truths["ato"] == pytest.approx(0.5, abs=1e-9)
    assert truths["att"] > 0.6


def test_every_way_is_one_that_there_is() -> None:
    assert {(method.split()[0], estimand) for method, estimand in WAYS} == {
        (method, estimand)
        for method, row in METHODS.items()
        for estimand in row.estimands
        if method != "difference"
    }


@pytest.mark.slow
@pytest.mark.parametrize(("method", "estimand"), WAYS)
def test_intervals_cover_their_own_truth(method: str, estimand: str) -> None:
    coverage, bias, mc_error, se_ratio = _simulate(method, estimand, DRAWS)
    assert 0.92 <= coverage <= 0.98
    # a ridge that shrinks leaves a bias of a small part of a standard error when the propensity is learned too
    allowed = 0.25 * mc_error * np.sqrt(DRAWS) if "learned" in method else 0.0
    assert abs(bias) <= 3 * mc_error + allowed
    assert 0.9 <= se_ratio <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ipw", "aipw"])
def test_intervals_cover_the_effect_among_those_that_trimming_keeps(method: str) -> None:
    coverage, bias, mc_error, _ = _simulate(method, "ate", DRAWS, TRIM)
    assert 0.92 <= coverage <= 0.98
    assert abs(bias) <= 3 * mc_error


@pytest.mark.slow
def test_an_interval_for_all_does_not_cover_the_treated() -> None:
    missed = []
    for seed in range(100):
        design = replace(observational(seed, n=3000), features=None)
        low, high = ec.ate(design, method="regression").ci()
        missed.append(not low <= _truth("att") <= high)
    assert np.mean(missed) > 0.5


SHORT = [
    ("ipw", "att"),
    ("ipw logit", "ate"),
    ("ipw", "ato"),
    ("regression", "atc"),
    ("entropy_balancing", "att"),
    ("cbps balanced", "ate"),
]


@pytest.mark.parametrize(("method", "estimand"), SHORT)
def test_intervals_cover_roughly_in_few_draws(method: str, estimand: str) -> None:
    coverage, bias, mc_error, _ = _simulate(method, estimand, 60)
    # 99.9% binomial band of 0.95 with 60 draws
    assert coverage >= 0.84
    assert abs(bias) <= 4 * mc_error
