"""What must hold for every sample: order of rows, scale of the outcome, weights that stand for copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from tests.judged import drawn_cate, given_cate

ANY = st.integers(0, 10_000)
TESTS = settings(max_examples=12, deadline=None)


def _rebuilt(
    cate: ec.Cate, order: np.ndarray, *, times: float = 1.0, weights: np.ndarray | None = None
) -> ec.Cate:
    """Return the same predictions of rows in another order, with repeats, with another unit of the outcome."""
    table = cate.design.data.iloc[order].reset_index(drop=True)
    table["outcome"] = times * table["outcome"]
    table["weight"] = (cate.weights if weights is None else weights)[order]
    table.index = np.arange(len(table)) + 7
    return given_cate(
        table,
        effects=times * cate.effect_values[order],
        sequential=times * cate.sequential_values[order],
        outcome_mean=np.zeros(order.size),
        propensity=cate.propensity[order],
        folds=cate.folds[order],
        effect_of_scores=times * (1 + table["z"].to_numpy()),
        weights="weight",
        cluster="cluster",
    )


def _results(cate: ec.Cate, effects: str) -> dict[str, object]:
    return {
        "calibration": ec.calibration(cate, effects=effects).fit,
        "groups": ec.groups(cate, k=3, effects=effects).gates,
        "policy": ec.policy_value(cate, shares=[0.25], effects=effects).values,
        "losses": ec.effect_losses({"it": cate}).losses,
        "projection": ec.best_linear_projection(cate, on=["z"]),
        "clan": ec.groups(cate, k=3, effects=effects).clan(["z"]).differences,
    }


@TESTS
@given(seed=ANY, effects=st.sampled_from(["sequential", "out_of_fold"]), ties=st.booleans())
def test_the_order_of_rows_does_not_matter(seed: int, effects: str, ties: bool) -> None:
    cate = drawn_cate(seed % 50, n=120, per_cluster=3, weighted=True)
    if ties:
        cate = replace(
            cate, effect_values=cate.effect_values.round(), sequential_values=cate.sequential_values.round()
        )
    everyone = np.arange(120)
    order = np.random.default_rng(seed).permutation(120)
    one, other = (_results(_rebuilt(cate, rows), effects) for rows in (everyone, order))
    for name, result in one.items():
        np.testing.assert_allclose(other[name].estimate, result.estimate, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(other[name].std_error, result.std_error, rtol=1e-8, atol=1e-10)


@TESTS
@given(seed=ANY, times=st.sampled_from([0.001, 3.0, 1e6]))
def test_the_unit_of_the_outcome_does_not_matter(seed: int, times: float) -> None:
    cate = drawn_cate(seed % 50, n=120, per_cluster=3, weighted=True)
    everyone = np.arange(120)
    one, other = (_results(_rebuilt(cate, everyone, times=by), "sequential") for by in (1.0, times))
    power = {"calibration": 0, "clan": 0, "losses": 2}
    for name, result in one.items():
        scale = times ** power.get(name, 1)
        np.testing.assert_allclose(
            other[name].estimate, scale * result.estimate, rtol=1e-7, atol=1e-9 * scale
        )
        np.testing.assert_allclose(
            other[name].std_error, scale * result.std_error, rtol=1e-7, atol=1e-9 * scale
        )


@TESTS
@given(seed=ANY)
def test_a_weight_of_two_is_a_copy_of_the_row(seed: int) -> None:
    cate = drawn_cate(seed % 50, n=120, per_cluster=3)
    twice = np.random.default_rng(seed).uniform(size=120) < 0.4
    weighted = _results(_rebuilt(cate, np.arange(120), weights=np.where(twice, 2.0, 1.0)), "out_of_fold")
    copied = np.concatenate([np.arange(120), np.flatnonzero(twice)])
    doubled = _results(_rebuilt(cate, copied, weights=np.ones(120)), "out_of_fold")
    for name, result in weighted.items():
        np.testing.assert_allclose(doubled[name].estimate, result.estimate, rtol=1e-8, atol=1e-10)
        if name == "losses":
            # sums within clusters are the same, but for the factor of rows; cuts have windows of units
            np.testing.assert_allclose(doubled[name].std_error, result.std_error, rtol=0.02)


@TESTS
@given(seed=ANY)
def test_the_scale_of_weights_does_not_matter(seed: int) -> None:
    cate = drawn_cate(seed % 50, n=120, per_cluster=3, weighted=True)
    everyone = np.arange(120)
    one = _results(_rebuilt(cate, everyone), "sequential")
    other = _results(_rebuilt(cate, everyone, weights=1000 * cate.weights), "sequential")
    for name, result in one.items():
        np.testing.assert_allclose(other[name].estimate, result.estimate, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(other[name].std_error, result.std_error, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shift", [-3.0, 0.5])
def test_a_shift_of_predictions_moves_no_group_and_no_policy(shift: float) -> None:
    cate = drawn_cate(9, n=120)
    moved = replace(cate, sequential_values=cate.sequential_values + shift)
    np.testing.assert_allclose(ec.groups(moved, k=3).estimate, ec.groups(cate, k=3).estimate)
    np.testing.assert_allclose(ec.policy_value(moved).estimate, ec.policy_value(cate).estimate)
    assert ec.calibration(moved).estimate[1] == pytest.approx(ec.calibration(cate).estimate[1], rel=1e-6)
