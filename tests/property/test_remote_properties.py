"""What must hold of every recovered effect and line of groups: influence values are slopes, copies are weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.group_moments import GroupSums, group_line, group_sums
from eocausal.labelled.pooled_units import PooledUnits
from eocausal.labelled.remote_moments import recovery

SEEDS = st.integers(0, 2**32 - 1)


def _drawn(seed: int, n_levels: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    levels = np.concatenate([np.arange(n_levels), rng.integers(0, n_levels, size=60)])
    truth = 2.0 * levels + rng.uniform(size=levels.size)
    mapped = 0.7 * truth + rng.normal(size=levels.size)
    bends = np.quantile(mapped, np.arange(1, n_levels - 1) / (n_levels - 1))
    columns = np.column_stack([mapped, np.maximum(mapped[:, None] - bends, 0)])
    return rng.normal(size=n_levels - 1), columns, truth, levels, rng.uniform(0.5, 2, size=levels.size)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_parts_are_the_slopes_of_the_effect_in_the_weights(seed: int, n_levels: int) -> None:
    effects, columns, truth, levels, weights = _drawn(seed, n_levels)
    made = recovery(effects, columns, truth, levels, weights)
    step = 1e-6
    for unit in (0, 1, levels.size - 1):
        heavier = weights.copy()
        heavier[unit] *= 1 + step
        moved = recovery(effects, columns, truth, levels, heavier).loadings - made.loadings
        assert effects @ moved / step == pytest.approx(
            made.parts[unit], rel=1e-3, abs=1e-6 + 1e-4 * abs(made.parts).max()
        )
    assert made.parts.sum() == pytest.approx(0.0, abs=1e-8 * (1 + np.abs(made.parts).sum()))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_a_labelled_unit_of_weight_two_is_two_units(seed: int, n_levels: int) -> None:
    effects, columns, truth, levels, weights = _drawn(seed, n_levels)
    twice = np.concatenate([np.arange(levels.size), [3]])
    heavier = weights.copy()
    heavier[3] *= 2
    one = recovery(effects, columns, truth, levels, heavier)
    two = recovery(effects, columns[twice], truth[twice], levels[twice], weights[twice])
    assert one.loadings == pytest.approx(two.loadings, rel=1e-8)
    assert one.parts[3] == pytest.approx(2 * two.parts[3], rel=1e-6, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.1, 10), st.floats(-5, 5))
def test_the_unit_of_the_truth_is_the_unit_of_the_effect_and_that_of_predictions_does_not_matter(
    seed: int, scale: float, shift: float
) -> None:
    effects, columns, truth, levels, weights = _drawn(seed, 3)
    plain = recovery(effects, columns, truth, levels, weights)
    other = recovery(effects, columns, shift + scale * truth, levels, weights)
    assert other.loadings == pytest.approx(scale * plain.loadings, rel=1e-8)
    assert other.parts == pytest.approx(scale * plain.parts, rel=1e-6, abs=1e-9)
    mapped = recovery(scale * effects, shift + scale * columns, truth, levels, weights)
    assert scale * effects @ mapped.loadings == pytest.approx(effects @ plain.loadings, rel=1e-8)
    assert mapped.parts == pytest.approx(plain.parts, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans(), st.booleans())
def test_all_of_the_error_of_labelled_units_stays_whoever_they_are(
    seed: int, own: bool, theirs: bool
) -> None:
    """Sums over clusters of both samples are those of one table in which they stand together."""
    rng = np.random.default_rng(seed)
    ids, seen = np.arange(20), rng.normal(size=20)
    labelled_ids = np.concatenate([rng.choice(20, size=6, replace=False), np.arange(100, 110)])
    mapped = np.concatenate([seen[labelled_ids[:6]], rng.normal(size=10)])
    village = rng.integers(0, 5, size=20)
    place = np.concatenate([village[labelled_ids[:6]], rng.integers(0, 9, size=10)])
    sample = CalibrationSample(labelled_ids, mapped, mapped, np.ones(16), place if theirs else None)
    units = PooledUnits.of(ids, village if own else None, seen, sample)
    parts = rng.normal(size=(16, 2))
    scores, second = units.by_sample(parts)
    whole = scores.sum(axis=0) / 20 + (0 if second is None else second.parts.sum(axis=0))
    assert whole == pytest.approx(parts.sum(axis=0))
    assert int(units.groups.max()) + 1 == np.unique(units.groups).size
    if own and theirs:
        sums = np.zeros((9, 2))
        np.add.at(sums, village, scores / 20)
        if second is not None:
            np.add.at(sums, second.clusters, second.parts)
        together = np.zeros((9, 2))
        np.add.at(together, place, parts)
        assert sums == pytest.approx(together)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_influence_values_of_groups_are_what_leaving_one_out_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.repeat(np.arange(400), 2), rng.integers(0, 400, size=800)])
    level = rng.normal(size=400)
    truth = level[codes] + rng.normal(size=codes.size)
    mapped = 0.6 * level[codes] + 0.3 * rng.normal(size=codes.size)
    sums = group_sums(mapped, truth, np.ones(codes.size), codes)
    made = group_line(sums)
    assert made.scores.sum(axis=0) == pytest.approx([0, 0], abs=1e-8)
    for out in (0, 7, 399):
        left = group_line(GroupSums(*(np.delete(one, out) for one in sums)))
        moved = 399 * np.array([made.k - left.k, made.m - left.m])
        assert moved == pytest.approx(made.scores[out], rel=0.15, abs=0.15)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_a_trial_that_is_the_survey_has_the_difference_of_the_truth(seed: int) -> None:
    """Treatment that is the truth moves all units from 0 to 1, whatever the map says."""
    rng = np.random.default_rng(seed)
    poor = np.tile([0, 1], 40)
    frame = pd.DataFrame({"poor": poor, "grant": poor, "seen": poor + rng.normal(size=80)})
    design = ec.Design(frame, outcome="seen", treatment="grant")
    if frame.groupby("poor")["seen"].mean().diff().iloc[1] <= 0.3:
        return
    found = ec.remote_outcome(design, frame[["poor", "seen"]], truth="poor", method="difference")
    assert found.estimate == pytest.approx(1.0, rel=1e-10)
    assert found.std_error == pytest.approx(0.0, abs=1e-10)
