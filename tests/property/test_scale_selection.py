"""What holds for every search: the order of sets, the scale of outcomes, sets that say the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.evaluate.selection import FoldRates, choices_beforehand, chosen_gain, naive_gain
from tests.scale_studies import before

SEEDS = st.integers(0, 2**32 - 1)


def _drawn(seed: int, folds: int, sets: int) -> FoldRates:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(folds, sets, sets + 2))
    return FoldRates(
        rng.normal(size=(folds, sets)), roots @ roots.transpose(0, 2, 1) / sets, rng.dirichlet(np.full(folds, 5.0))
    )  # fmt: skip


def _gain(rates: FoldRates, singles: np.ndarray, pairs: np.ndarray) -> tuple[float, float]:
    found = chosen_gain(rates, choices_beforehand(before(rates), singles, pairs))
    return found.gain, found.std_error


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 5), st.integers(2, 4))
def test_the_order_of_sets_does_not_matter(seed: int, folds: int, n_singles: int) -> None:
    rates = _drawn(seed, folds, n_singles + 3)
    order = np.random.default_rng(seed + 1).permutation(n_singles + 3)
    turned = FoldRates(rates.values[:, order], rates.covariances[:, order][:, :, order], rates.shares)
    place = np.argsort(order)
    singles, pairs = np.arange(n_singles), np.arange(n_singles, n_singles + 3)
    first, second = _gain(rates, singles, pairs), _gain(turned, place[singles], place[pairs])
    np.testing.assert_allclose(first, second, atol=1e-9)
    np.testing.assert_allclose(
        naive_gain(rates.ratios(), singles, pairs), naive_gain(turned.ratios(), place[singles], place[pairs])
    )


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_the_unit_of_the_outcome_does_not_matter(seed: int, unit: float) -> None:
    rates = _drawn(seed, 4, 5)
    scaled = FoldRates(unit * rates.values, unit**2 * rates.covariances, rates.shares)
    singles, pairs = np.arange(3), np.arange(3, 5)
    np.testing.assert_allclose(
        _gain(rates, singles, pairs), _gain(scaled, singles, pairs), rtol=1e-8, atol=1e-9
    )
    np.testing.assert_allclose(rates.ratios(), scaled.ratios(), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_pairs_that_say_what_single_scales_say_gain_exactly_nothing(seed: int) -> None:
    rates = _drawn(seed, 4, 3)
    twice = np.r_[np.arange(3), np.arange(3)]
    doubled = FoldRates(rates.values[:, twice], rates.covariances[:, twice][:, :, twice], rates.shares)
    singles, pairs = np.arange(3), np.arange(3, 6)
    assert naive_gain(doubled.ratios(), singles, pairs) == 0.0
    assert _gain(doubled, singles, pairs) == (0.0, 0.0)
