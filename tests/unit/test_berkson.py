"""Checks of the error of predictions: each fails where its own assumption does, and holds where it does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm

from eocausal.debiasing import berkson
from eocausal.debiasing.berkson import berkson_checks, bins_by
from eocausal.debiasing.contrasts import Pairs

N = 6000


def _failing(prediction: np.ndarray, truth: np.ndarray) -> set[str]:
    pairs = Pairs(prediction, truth, np.ones(truth.size))
    return {one.check for one in berkson_checks(pairs) if not one.holds}


def _world(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    prediction = rng.normal(size=N)
    return prediction, change(prediction, rng)


WORLDS: dict[str, tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], set[str]]] = {
    "berkson": (lambda u, rng: u + 0.7 * rng.normal(size=N), set()),
    "over-shrunk": (lambda u, rng: 1.5 * u + 0.7 * rng.normal(size=N), {berkson.SLOPE}),
    "shifted": (lambda u, rng: u + 0.5 + 0.7 * rng.normal(size=N), {berkson.MEAN}),
    "heteroscedastic": (
        lambda u, rng: u + (0.7 + 0.2 * u) * rng.normal(size=N),
        {berkson.SPREAD, berkson.KURTOSIS},
    ),
    "skewed": (
        lambda u, rng: u + 0.7 * (rng.exponential(size=N) - 1),
        {berkson.SKEWNESS, berkson.KURTOSIS},
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_each_world_fails_its_own_checks(name: str) -> None:
    change, expected = WORLDS[name]
    found = _failing(*_world(change)) - {berkson.LINEAR}
    assert found == expected


def test_a_bend_of_the_truth_in_the_prediction_is_seen() -> None:
    prediction, truth = _world(lambda u, rng: u + 0.3 * (u**2 - 1) + 0.7 * rng.normal(size=N))
    assert berkson.LINE in _failing(prediction, truth)
    checks = {one.check: one for one in berkson_checks(Pairs(prediction, truth, np.ones(N)))}
    # 0.3 (u^2 - 1) has standard deviation 0.3 sqrt(2)
    assert checks[berkson.LINE].value == pytest.approx(0.3 * np.sqrt(2) / truth.std(), abs=0.03)


def test_a_bend_of_the_prediction_in_the_truth_is_what_the_linear_correction_leaves() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=N)
    prediction = 0.6 * truth + 0.2 * (truth**2 - 1) + 0.3 * rng.normal(size=N)
    checks = {one.check: one for one in berkson_checks(Pairs(prediction, truth, np.ones(N)))}
    found = checks[berkson.LINEAR]
    assert not found.holds
    assert found.value == pytest.approx(0.2 * np.sqrt(2) / 0.6, abs=0.04)
    assert found.needed_by == "lcc"


def test_the_slope_and_its_error_are_those_of_robust_least_squares() -> None:
    prediction, truth = _world(lambda u, rng: 1.2 * u + (1 + 0.3 * u) * rng.normal(size=N))
    found = {one.check: one for one in berkson_checks(Pairs(prediction, truth, np.ones(N)))}[berkson.SLOPE]
    fit = sm.OLS(truth, sm.add_constant(prediction)).fit(cov_type="HC1", use_t=True)
    assert (found.value, found.std_error) == pytest.approx((fit.params[1], fit.bse[1]))
    assert found.p_value == pytest.approx(fit.t_test("x1 = 1").pvalue, rel=1e-6)


def test_clusters_widen_the_errors() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(50), 20)
    prediction = rng.normal(size=50)[cluster] + rng.normal(size=1000)
    truth = prediction + (0.5 * rng.normal(size=50))[cluster] + 0.5 * rng.normal(size=1000)
    plain = berkson_checks(Pairs(prediction, truth, np.ones(1000)))[1]
    clustered = berkson_checks(Pairs(prediction, truth, np.ones(1000), cluster))[1]
    assert clustered.value == plain.value
    assert clustered.std_error > 2 * plain.std_error


def test_a_check_that_chance_explains_holds() -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(40):
        u = rng.normal(size=60)
        held.append(not _failing(u, u + 0.7 * rng.normal(size=60)))
    # seven checks at 5%
    assert np.mean(held) > 0.6


def test_predictions_without_error_hold() -> None:
    truth = np.linspace(-1, 1, 100)
    assert _failing(truth.copy(), truth) == set()


def test_bins_are_means_of_tenths_with_the_error_of_the_mean() -> None:
    prediction, truth = _world(lambda u, rng: u + 0.7 * rng.normal(size=N))
    bins = bins_by(Pairs(prediction, truth, np.ones(N)), "prediction")
    assert bins["n"].tolist() == [N // 10] * 10
    first = prediction <= np.quantile(prediction, 0.1)
    residual = (truth - prediction)[first]
    assert bins["residual"][0] == pytest.approx(residual.mean())
    assert bins["residual_sd"][0] == pytest.approx(residual.std())
    assert bins["std_error"][0] == pytest.approx(residual.std() / np.sqrt(first.sum()))


def test_few_distinct_predictions_make_fewer_bins() -> None:
    prediction = np.repeat([0.0, 1.0, 2.0], 40)
    truth = prediction + np.tile([-0.1, 0.1], 60)
    assert len(bins_by(Pairs(prediction, truth, np.ones(120)), "prediction")) == 3
    assert _failing(prediction, truth) <= {berkson.KURTOSIS}


def test_leverages_of_units_give_the_hc3_of_clusters_of_one() -> None:
    from eocausal.debiasing.berkson import _hc3
    from eocausal.inference.least_squares import hc3_matrix, least_squares

    rng = np.random.default_rng(0)
    columns = np.column_stack([np.ones(80), rng.normal(size=(80, 2))])
    outcome, weights = columns.sum(axis=1) + rng.normal(size=80), rng.uniform(0.5, 2, size=80)
    fit = least_squares(outcome, columns, weights)
    assert _hc3(fit, Pairs(outcome, outcome, weights)) == pytest.approx(hc3_matrix(fit))
