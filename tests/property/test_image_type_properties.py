"""What must hold of averages by type and of the mixture for every input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.effects import type_fit
from eocausal.effects.type_effects import averages_by_type, effects_of_pure_types
from eocausal.effects.type_fit import fit_types
from tests.unit.test_type_mixture import sample

SEEDS = st.integers(0, 10_000)


@given(seed=SEEDS, types=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_averages_lie_between_scores_and_their_mean_is_the_average(seed: int, types: int) -> None:
    rng = np.random.default_rng(seed)
    scores, weights = rng.normal(size=30), rng.uniform(0.5, 2, 30)
    probability = rng.dirichlet(np.ones(types), 30)
    averages = np.array([one.estimate for one in averages_by_type(scores, probability, weights)])
    assert (averages >= scores.min()).all()
    assert (averages <= scores.max()).all()
    shares = weights @ probability / weights.sum()
    np.testing.assert_allclose(shares @ averages, weights @ scores / weights.sum(), atol=1e-12)
    # effects of pure types explain the same average
    pure = effects_of_pure_types(scores, probability, weights)
    if pure is not None:
        np.testing.assert_allclose(shares @ [one.estimate for one in pure], shares @ averages, atol=1e-6)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_weight_of_two_is_two_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, probability = rng.normal(size=20), rng.dirichlet(np.ones(2), 20)
    twice = np.r_[np.arange(20), 3]
    for maker in (averages_by_type, effects_of_pure_types):
        one = maker(scores, probability, 1.0 + (np.arange(20) == 3))
        other = maker(scores[twice], probability[twice], np.ones(21))
        np.testing.assert_allclose([a.estimate for a in one], [b.estimate for b in other], rtol=1e-9)


@given(seed=st.integers(0, 50), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
@settings(max_examples=5, deadline=None)
def test_a_mixture_is_the_same_in_any_unit_of_the_outcome(seed: int, scale: float, shift: float) -> None:
    asked = sample(seed, units=120, images=40, width=2, noise=0.5)
    moved = replace(asked, outcome=shift + scale * asked.outcome, centre=scale * asked.centre)
    starts, type_fit.RANDOM_STARTS = type_fit.RANDOM_STARTS, 0
    try:
        one, other = fit_types(asked, 2, seed=0), fit_types(moved, 2, seed=0)
    finally:
        type_fit.RANDOM_STARTS = starts
    np.testing.assert_allclose(other.effects, scale * one.effects, rtol=1e-3, atol=1e-3 * scale)
    np.testing.assert_allclose(other.memberships, one.memberships, atol=1e-3)
