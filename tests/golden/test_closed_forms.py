"""AUTOC and QINI against closed forms and grf's values on twelve units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc

GAMMA = np.array([3, -1, 2, 0.5, 4, -2, 1, 0, 2.5, -0.5, 1.5, -3])
DISTINCT = -np.arange(12.0)
TIED = np.array([10.0, 9, 9, 8, 7, 7, 7, 5, 4, 3, 2, 2])
WEIGHTS = np.array([1, 2, 1, 0.5, 1, 3, 1, 1, 2, 1, 0.5, 1])
ONES = np.ones(12)


def toc_and_rate(ranking, scores, weights, *, target, grid=DEFAULT_GRID, integration="grf"):
    rates, toc = rates_and_toc(ranking, scores, weights, grid=grid, integration=integration)
    return toc, rates[TARGETS.index(target)]


def _rate(priority, target, weights=ONES, scores=GAMMA, integration="grf"):
    return toc_and_rate(rank(priority), scores, weights, target=target, integration=integration)[1]


@pytest.mark.parametrize(
    ("priority", "weights", "autoc", "qini"),
    [
        (DISTINCT, ONES, 0.581531084656085, 0.208333333333333),
        (TIED, ONES, 0.57698563011063, 0.182291666666667),
        (DISTINCT, WEIGHTS, 0.314408068596923, 0.0764444444444445),
        (TIED, WEIGHTS, 0.37705173212294, 0.0882222222222222),
        (-DISTINCT, ONES, -0.784161556036556, -0.208333333333333),
    ],
)
def test_twelve_units_agree_with_grf(priority, weights, autoc, qini) -> None:
    assert _rate(priority, "AUTOC", weights) == pytest.approx(autoc, abs=1e-12)
    assert _rate(priority, "QINI", weights) == pytest.approx(qini, abs=1e-12)


def test_toc_of_twelve_tied_units_agrees_with_grf() -> None:
    toc, _ = toc_and_rate(rank(TIED), GAMMA, WEIGHTS, target="AUTOC", grid=DEFAULT_GRID)
    expected = [1.7, 0.7, 0.4222222222, 0.1916666667, 0.0533333333, -0.0388888889, -0.0857142857, 0.2, 0.2, 0]
    np.testing.assert_allclose(toc, expected, atol=1e-9)


def test_half_samples_enumerated_give_the_standard_error_that_draws_converge_to() -> None:
    ranking = rank(TIED)
    rates = []
    for kept in itertools.combinations(range(12), 6):
        weights = np.isin(np.arange(12), kept).astype(float)
        rates.append(toc_and_rate(ranking, GAMMA, weights, target="AUTOC", grid=DEFAULT_GRID)[1])
    assert np.mean(rates) == pytest.approx(0.43728956229, abs=1e-10)
    assert np.std(rates) == pytest.approx(0.464789711897, abs=1e-10)


@pytest.mark.parametrize("n", [10, 400])
def test_uniform_effects_ranked_perfectly_have_the_exact_finite_sample_mean(n: int) -> None:
    spaced = np.arange(1, n + 1) / (n + 1)  # expected order statistics of U(0, 1)
    grid = DEFAULT_GRID
    ranking = rank(spaced)
    autoc = toc_and_rate(ranking, spaced, np.ones(n), target="AUTOC", grid=grid)[1]
    qini = toc_and_rate(ranking, spaced, np.ones(n), target="QINI", grid=grid)[1]
    assert autoc == pytest.approx((n - 1) / (4 * (n + 1)), abs=1e-12)
    assert qini == pytest.approx((n - 1) / (12 * n), abs=1e-12)


def test_normal_effects_ranked_perfectly_reach_the_population_values() -> None:
    from scipy.stats import norm

    n = 200_000
    effects = norm.ppf((np.arange(n) + 0.5) / n)
    ranking = rank(effects)
    shares = np.array([0.05, 0.1, 0.2, 0.5, 1.0])
    toc, autoc = toc_and_rate(ranking, effects, np.ones(n), target="AUTOC", grid=shares)
    qini = toc_and_rate(ranking, effects, np.ones(n), target="QINI", grid=DEFAULT_GRID)[1]
    assert autoc == pytest.approx(0.9031972856, abs=1e-3)
    assert qini == pytest.approx(0.2820947918, abs=1e-4)
    np.testing.assert_allclose(toc, [2.062713, 1.754983, 1.399810, 0.797885, 0], atol=1e-3)
