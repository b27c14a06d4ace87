"""What must hold of balance and of AUCs for every input: order of rows, scale of weights, direction of ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.evaluate.prediction_measures import Ranked
from eocausal.evaluate.roc import auc_by_fold, auc_with_influence
from eocausal.inference.smd import standardised_differences, variance_ratios, weighted_ks
from tests.studies import design, study

SEEDS = st.integers(0, 10_000)


def _arms(seed: int, n: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    treatment = rng.permutation(np.arange(n) % 2).astype(float)
    return np.round(rng.normal(size=(n, 2)), 1), treatment, rng.uniform(0.1, 2, n)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_scale_of_weights_in_either_arm_does_not_matter(seed: int, one: float, other: float) -> None:
    x, treatment, weights = _arms(seed)
    scaled = weights * np.where(treatment == 1, one, other)
    for measure in (
        lambda w: standardised_differences(x, treatment, weights=w, base_weights=weights),
        lambda w: variance_ratios(x, treatment, w),
        lambda w: weighted_ks(x, treatment, w),
        lambda w: auc_with_influence(x[:, 0], treatment, w)[0],
    ):
        np.testing.assert_allclose(measure(scaled), measure(weights), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_differences_turn_round_with_the_arms(seed: int) -> None:
    x, treatment, weights = _arms(seed)
    there = standardised_differences(x, treatment, weights=weights)
    np.testing.assert_allclose(
        standardised_differences(x, 1 - treatment, weights=weights), -there, rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        weighted_ks(x, 1 - treatment, weights), weighted_ks(x, treatment, weights), atol=1e-12
    )
    # any rising change of a column leaves its distributions as far apart
    np.testing.assert_allclose(
        weighted_ks(np.exp(x), treatment, weights), weighted_ks(x, treatment, weights), atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_an_auc_is_of_ranks_alone(seed: int) -> None:
    x, treatment, weights = _arms(seed)
    score, folds = x[:, 0], np.arange(x.shape[0]) % 3
    plain = auc_by_fold(score, treatment, folds, weights).estimate
    assert abs(auc_by_fold(score**3, treatment, folds, weights).estimate - plain) < 1e-12
    assert abs(auc_by_fold(-score, treatment, folds, weights).estimate - (1 - plain)) < 1e-12
    order = np.random.default_rng(seed).permutation(score.size)
    turned = Ranked.of(score[order], treatment[order], folds[order]).auc(weights[order])
    assert abs(turned - plain) < 1e-12


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_balance_does_not_know_the_order_of_rows(seed: int) -> None:
    table = study(60, seed=seed)
    rng = np.random.default_rng(seed)
    weights = pd.Series(rng.uniform(0.1, 1, 60), index=table.index)
    mixed = table.sample(frac=1, random_state=seed)
    one, other = (
        ec.balance(
            design(frame), weights=weights.sample(frac=1, random_state=seed), classifier=False
        ).to_frame()
        for frame in (table, mixed)
    )
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)
