"""What choosing the largest of many rates does, and choices made beforehand, by hand and by draws."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.evaluate.selection import (
    FoldRates,
    best,
    choices_beforehand,
    chosen_gain,
    gain_by_chance,
    naive_gain,
)
from tests.scale_studies import before

SINGLES, PAIRS = np.arange(2), np.array([2])


def _rates(values: list[list[float]], errors: float = 1.0, shares: list[float] | None = None) -> FoldRates:
    found = np.array(values)
    matrices = np.repeat(np.eye(found.shape[1])[None] * errors**2, len(found), axis=0)
    return FoldRates(
        found, matrices, np.full(len(found), 1 / len(found)) if shares is None else np.array(shares)
    )


def test_averages_and_ratios_by_hand() -> None:
    rates = _rates([[1.0, 0.0, 2.0], [3.0, 4.0, 0.0]], errors=2.0, shares=[0.25, 0.75])
    values, covariance = rates.average()
    assert values.tolist() == [2.5, 3.0, 0.5]
    assert covariance[0, 0] == pytest.approx(4 * (0.25**2 + 0.75**2))
    assert rates.ratios()[1] == pytest.approx(3.0 / np.sqrt(4 * 0.625))
    assert before(rates)[0].ratios().tolist() == [0.5, 0.0, 1.0]


def test_a_set_without_any_error_has_no_ratio() -> None:
    rates = FoldRates(np.array([[0.0, 1.0]]), np.diag([0.0, 4.0])[None], np.ones(1))
    assert rates.ratios().tolist() == [0.0, 0.5]


def test_the_best_pair_may_be_a_scale_with_itself() -> None:
    assert best(np.array([0.2, 0.9, 0.5]), SINGLES, PAIRS) == (1, 1)
    assert best(np.array([0.2, 0.9, 1.5]), SINGLES, PAIRS) == (1, 2)
    assert naive_gain(np.array([0.2, 0.9, 0.5]), SINGLES, PAIRS) == 0.0
    assert naive_gain(np.array([0.2, 0.9, 1.5]), SINGLES, PAIRS) == pytest.approx(0.6)
    assert naive_gain(np.array([-0.2, -0.9]), SINGLES, np.array([], dtype=int)) == 0.0


def test_the_gain_chosen_beforehand_by_hand() -> None:
    # fold 0 says pair 2 and single 0; folds 0 and 1 say pair 2 and single 1
    rates = _rates([[1.0, 0.5, 2.0], [0.0, 3.0, 4.0], [1.0, 2.0, 5.0]])
    choices = choices_beforehand(before(rates), SINGLES, PAIRS)
    assert choices == [(0, 2), (1, 2)]
    found = chosen_gain(rates, choices)
    # pair: mean of 4 and 5; single: mean of 0 (set 0) and 2 (set 1); errors of means of two folds
    error = np.sqrt(0.5)
    units = np.sqrt(3 / 2)
    assert found.gain == pytest.approx((4.5 - 1.0) / error * units)
    assert found.std_error == pytest.approx(np.sqrt(2) * units)
    assert found.weights[0].tolist() == [0.0, 0.0, 0.0]
    assert found.weights[1] == pytest.approx(np.array([-0.5, 0.0, 0.5]) / error * units)
    assert (found.weights * rates.values).sum() == pytest.approx(found.gain)


def test_where_the_single_scale_is_chosen_as_the_pair_nothing_is_gained_and_nothing_is_uncertain() -> None:
    rates = _rates([[5.0, 0.0, 1.0], [4.0, 9.0, 9.0]])
    found = chosen_gain(rates, choices_beforehand(before(rates), SINGLES, PAIRS))
    assert (found.gain, found.std_error) == (0.0, 0.0)
    assert not found.weights.any()


def test_correlated_rates_have_a_smaller_error_of_their_gain() -> None:
    matrix = np.array([[1.0, 0.0, 0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 1.0]])
    rates = FoldRates(np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 3.0]]), np.stack([matrix] * 2), np.full(2, 0.5))
    found = chosen_gain(rates, choices_beforehand(before(rates), SINGLES, PAIRS))
    assert found.std_error == pytest.approx(np.sqrt((2 - 2 * 0.8) * 2))


@pytest.mark.parametrize(("correlation", "expected"), [(0.0, 0.62), (0.5, 0.44), (0.8, 0.28), (0.9, 0.20)])
def test_six_scales_that_rank_nobody_gain_by_chance_what_is_known(
    correlation: float, expected: float
) -> None:
    matrix = np.full((21, 21), correlation) + (1 - correlation) * np.eye(21)
    mean, _ = gain_by_chance(matrix, np.arange(6), np.arange(6, 21), found=1.0, df=1e9, seed=1)
    assert mean == pytest.approx(expected, abs=0.015)


def test_the_naive_gain_of_noise_is_not_zero_and_that_chosen_beforehand_is() -> None:
    rng = np.random.default_rng(3)
    singles, pairs, naive, honest, tested = np.arange(6), np.arange(6, 21), [], [], []
    for _ in range(1500):
        values = rng.normal(size=(4, 21))
        rates = FoldRates(values, np.repeat(np.eye(21)[None], 4, axis=0), np.full(4, 0.25))
        naive.append(naive_gain(rates.ratios(), singles, pairs))
        found = chosen_gain(rates, choices_beforehand(before(rates), singles, pairs))
        honest.append(found.gain)
        tested.append(found.std_error > 0 and abs(found.gain / found.std_error) > 1.96)
    # E max of 21 less E max of 6 standard normals: 1.889 - 1.267
    assert np.mean(naive) == pytest.approx(0.622, abs=0.06)
    assert abs(np.mean(honest)) < 3.2 * np.std(honest) / np.sqrt(1500)
    assert 0.035 < np.mean(tested) < 0.068
    mean, share = gain_by_chance(
        np.eye(21), singles, pairs, found=float(np.quantile(naive, 0.95)), df=1e9, seed=0
    )
    assert mean == pytest.approx(np.mean(naive), abs=0.06)
    assert 0.035 < share < 0.068
