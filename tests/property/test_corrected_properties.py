"""What holds of corrected effects for every map: order of rows, units of measurement, weights, shared words."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.debiasing.corrected_result import Corrected

light = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 10_000)
scores = st.sampled_from(["lindsey", "gaussian"])
noises = st.sampled_from(["constant", "spline"])


@cache
def _tables(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    made = []
    for n in (260, 560):
        level = np.where(rng.random(n) < 0.3, rng.normal(3, 1.5, n), rng.normal(0, 1, n))
        table = pd.DataFrame({"map": level, "truth": level + rng.normal(size=n)})
        table["aid"] = (rng.random(n) < 0.5).astype(int)
        table["map"] += 0.4 * table["aid"]
        table["village"] = np.arange(n) % 40
        table["w"] = rng.uniform(0.5, 2, n)
        made.append(table.set_index(np.array([f"{seed} {row}" for row in range(n)])))
    return made[0], made[1]


def _corrected(places: pd.DataFrame, trial: pd.DataFrame, **how: Any) -> Corrected:
    fix = ec.debias(
        places, prediction="map", truth="truth", cluster="village", weights="w", method="tweedie", **how
    )
    design = ec.Design(trial, outcome="map", treatment="aid", cluster="village", weights="w")
    return ec.ate(design, method="difference", correct=fix)


def _same(one: Corrected, other: Corrected, *, times: Any = 1.0, rel: float = 1e-7) -> None:
    np.testing.assert_allclose(one.estimate * times, other.estimate, rtol=rel)
    np.testing.assert_allclose(one.std_error * np.abs(times), other.std_error, rtol=rel)


@given(seed=seeds, score=scores, noise=noises)
@light
def test_the_order_of_rows_does_not_matter(seed: int, score: str, noise: str) -> None:
    places, trial = _tables(seed)
    mixed = [one.sample(frac=1, random_state=seed) for one in (places, trial)]
    _same(_corrected(places, trial, score=score, noise=noise), _corrected(*mixed, score=score, noise=noise))


@given(seed=seeds, score=scores, noise=noises, scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
@light
def test_another_unit_of_outcome_and_map_scales_everything(
    seed: int, score: str, noise: str, scale: float, shift: float
) -> None:
    places, trial = _tables(seed)
    moved = [
        one.assign(map=shift + scale * one["map"], truth=shift + scale * one["truth"])
        for one in (places, trial)
    ]
    plain = _corrected(places, trial, score=score, noise=noise)
    _same(plain, _corrected(*moved, score=score, noise=noise), times=scale, rel=1e-5)


@given(seed=seeds, score=scores, scale=st.floats(0.2, 1.9), shift=st.floats(-5, 5))
@light
def test_another_unit_of_the_map_alone_leaves_corrected_effects(
    seed: int, score: str, scale: float, shift: float
) -> None:
    # recalibration undoes it
    places, trial = _tables(seed)
    moved = [one.assign(map=shift + scale * one["map"]) for one in (places, trial)]
    plain = _corrected(places, trial, score=score)
    _same(plain, _corrected(*moved, score=score), times=np.array([scale, 1.0, 1.0]), rel=1e-5)


@given(seed=seeds, times=st.floats(0.01, 100))
@light
def test_only_ratios_of_weights_matter(seed: int, times: float) -> None:
    places, trial = _tables(seed)
    moved = [one.assign(w=times * one["w"]) for one in (places, trial)]
    _same(_corrected(places, trial), _corrected(*moved))


@given(seed=seeds)
@light
def test_a_weight_of_two_is_a_row_twice(seed: int) -> None:
    places, trial = _tables(seed)
    rng = np.random.default_rng(seed)
    counts = [rng.integers(1, 3, len(one)) for one in (places, trial)]
    weighed = [one.assign(w=count.astype(float)) for one, count in zip((places, trial), counts)]
    twice = []
    for one, count in zip((places, trial), counts):
        rows = one.loc[one.index.repeat(count)].assign(w=1.0)
        twice.append(rows.set_index(np.array([f"{name} {row}" for row, name in enumerate(rows.index)])))
    one, other = _corrected(*weighed, score="gaussian"), _corrected(*twice, score="gaussian")
    np.testing.assert_allclose(one.estimate[:2], other.estimate[:2], rtol=1e-10)
    # the variance of the noise counts what rows are worth in its degrees of freedom
    np.testing.assert_allclose(one.estimate[2], other.estimate[2], rtol=5e-3)
    # whole clusters keep their sums; factors count rows
    np.testing.assert_allclose(one.std_error, other.std_error, rtol=0.01)


@given(seed=seeds, level=st.floats(0.5, 0.999))
@light
def test_bounds_hold_both_ends_and_grow_with_the_level(seed: int, level: float) -> None:
    found = _corrected(*_tables(seed), score="gaussian")
    low, high = found.bounds(level)
    ends = found.estimate[[0, 2]]
    assert low <= ends.min()
    assert ends.max() <= high
    wider = found.bounds(0.9995)
    assert wider[0] <= low
    assert high <= wider[1]
    intervals = found.ci(level)[[0, 2]]
    assert low >= intervals.min() - 1e-9
    assert high <= intervals.max() + 1e-9


@given(seed=seeds)
@light
def test_a_map_without_error_needs_no_correction(seed: int) -> None:
    places, trial = _tables(seed)
    rng = np.random.default_rng(seed)
    exact = places.assign(truth=places["map"] + 1e-6 * rng.normal(size=len(places)))
    found = _corrected(exact, trial)
    assert found.estimate == pytest.approx(np.repeat(found.estimate[0], 3), rel=1e-5)
