"""Linear combinations of estimates: what cancels is zero and not a rounding error over another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.inference.contrast import combinations


def _average(table: pd.DataFrame) -> ec.Estimate:
    return ec.ate(
        ec.Design(table, outcome="income", treatment="grant", propensity=0.4), method="horvitz_thompson"
    )


def test_the_same_result_from_turned_rows_does_not_differ() -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"grant": rng.integers(0, 2, 101), "income": rng.normal(size=101)})
    one = _average(table)
    others = [_average(table.iloc[rng.permutation(101)]) for _ in range(20)]
    # sums in another order differ by rounding
    assert any(other.estimate != one.estimate for other in others)
    for other in others:
        gap = other - one
        assert (gap.estimate, gap.std_error, gap.p_value()) == (0.0, 0.0, 1.0)


def test_small_differences_are_kept_and_repeats_are_combined_alike() -> None:
    rng = np.random.default_rng(6)
    values, scores = rng.normal(size=(3, 2)), rng.normal(size=(3, 40, 2))
    scores[..., 1] = scores[..., 0] + 1e-9 * scores[..., 1]
    weights = np.array([[1.0, 0.5], [-1.0, 2.0]])
    found, moved = combinations(values, scores, weights)
    assert found == pytest.approx(values @ weights, rel=1e-14)
    assert np.array_equal(moved, scores @ weights)
    assert np.abs(moved[..., 0]).min() > 0
