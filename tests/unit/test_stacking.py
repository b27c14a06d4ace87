"""Stacks mix learners by what they predict of rows that they have not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.nuisance import stacking
from eocausal.nuisance.cross_fit import cross_fit, propensities
from eocausal.nuisance.models import Predictor, Sample
from eocausal.nuisance.stacking import simplex_weights, stacked
from eocausal.nuisance.training_folds import TrainingFold
from tests.studies import FAST, by_village, design, images, study

FEW_TREES = 3


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosted trees without a search for their number."""
    monkeypatch.setattr(stacking, "best_trees", lambda sample, treatment: FEW_TREES)


def _part(asked: ec.Design, learners: ec.Learners = FAST) -> TrainingFold:
    folds = ec.Folds(k=3).assign(asked, seed=1)
    return TrainingFold(asked, 0, folds != 0, groups=asked.groups, learners=learners, seed=0)


def _loss(mix: np.ndarray, predicted: np.ndarray, target: np.ndarray, treatment: bool) -> float:
    value = predicted @ mix
    if treatment:
        return float(-np.mean(np.log(np.where(target == 1, value, 1 - value))))
    return float(np.mean((target - value) ** 2))


@pytest.mark.parametrize("treatment", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_weights_are_the_best_on_a_grid_of_all_mixtures(seed: int, treatment: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=80)
    raw = truth[:, None] * [0.3, 0.8, 0.1] + rng.normal(size=(80, 3)) * [0.3, 0.8, 0.5]
    predicted = 1 / (1 + np.exp(-raw)) if treatment else raw
    target = (rng.uniform(size=80) < 1 / (1 + np.exp(-truth))).astype(float) if treatment else truth
    found = simplex_weights(predicted, target, weights=np.ones(80), treatment=treatment)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found >= 0).all()
    steps = np.linspace(0, 1, 101)
    grid = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1 + 1e-12]
    best = min(_loss(mix, predicted, target, treatment) for mix in grid)
    assert _loss(found, predicted, target, treatment) <= best + 1e-12
    nearest = min(grid, key=lambda mix: _loss(mix, predicted, target, treatment))
    np.testing.assert_allclose(found, nearest, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 5), treatment=st.booleans())
def test_no_exchange_between_two_learners_lowers_the_loss(seed: int, k: int, treatment: bool) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0.05, 0.95, size=(40, k))
    target = rng.integers(0, 2, size=40).astype(float)
    weights = rng.uniform(0.5, 2, size=40)
    mix = simplex_weights(predicted, target, weights=weights, treatment=treatment)
    share = weights / weights.sum()
    value = predicted @ mix
    slope = share * (value - target) / (value * (1 - value) if treatment else 1.0)
    gradient = predicted.T @ slope
    # at the best mixture the learners in use have one slope, and no other has a smaller one
    used = mix > 1e-4
    np.testing.assert_allclose(gradient[used], gradient[used].min(), atol=2e-4)
    assert (gradient >= gradient[used].min() - 2e-4).all()


def test_sampling_weights_count_rows_as_copies_do() -> None:
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(size=(30, 2)), rng.normal(size=30)
    copies = rng.integers(1, 4, size=30)
    weighted = simplex_weights(predicted, target, weights=copies.astype(float), treatment=False)
    rows = np.repeat(np.arange(30), copies)
    repeated = simplex_weights(predicted[rows], target[rows], weights=np.ones(rows.size), treatment=False)
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)


def test_units_of_measurement_do_not_move_the_weights() -> None:
    rng = np.random.default_rng(1)
    target = rng.normal(size=60)
    predicted = target[:, None] + rng.normal(size=(60, 3))
    plain = simplex_weights(predicted, target, weights=np.ones(60), treatment=False)
    in_cents = simplex_weights(1e6 * predicted, 1e6 * target, weights=np.ones(60), treatment=False)
    np.testing.assert_allclose(in_cents, plain, atol=1e-7)


def _memorising(sample: Sample) -> Predictor:
    """Knows by heart what it has seen, and is as sure of the rest, at random."""
    known = {row.tobytes(): value for row, value in zip(sample.columns, sample.target)}

    def recall(row: np.ndarray) -> float:
        return known.get(row.tobytes(), float(int(1e6 * abs(row[0])) % 2))

    return lambda columns: np.array([0.9 * recall(row) + 0.05 for row in columns])


def test_a_learner_that_memorises_gets_no_weight(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "boosted_probability", lambda sample, trees: _memorising(sample))
    asked = design(study(300, selected=True), features=None)
    folds = ec.Folds(k=3).assign(asked, seed=1)
    found = propensities(asked, folds, ec.Learners(propensity="stacking"), seed=0)
    weights = found.diagnostics["stack_propensity"]
    assert list(weights) == ["linear on covariates", "boosting on covariates"]
    # in sample it would be perfect, and get all of the weight
    assert weights["boosting on covariates"] < 0.2


def test_units_of_one_image_are_not_parted_so_an_image_cannot_be_memorised(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacking, "boosted_probability", lambda sample, trees: _memorising(sample))
    # treatment by village, one image a village: who knows the image knows the treatment
    asked = design(by_village(360, n_villages=60), covariates=[], features=images(60), cluster="village")
    found = stacked(
        (part := _part(asked)), part.rows, asked.table.treatment,
        whole=part.sample(part.rows, asked.table.treatment), treatment=True,
    )  # fmt: skip
    assert found.weights["boosting on features"] < 0.35
    # parted unit by unit the memory is worth everything
    alone = TrainingFold(asked, 0, part.rows, groups=np.arange(360), learners=FAST, seed=0)
    leaking = stacked(
        alone, alone.rows, asked.table.treatment,
        whole=alone.sample(alone.rows, asked.table.treatment), treatment=True,
    )  # fmt: skip
    assert leaking.weights["boosting on features"] > 0.9


def test_a_stack_is_its_learners_by_their_weights(quick: None) -> None:
    asked = design(study(), features=images())
    part, outcome = _part(asked), asked.table.outcome
    rows = part.rows & (asked.table.treatment == 1)
    whole = part.sample(rows, outcome)
    found = stacked(part, rows, outcome, whole=whole, treatment=False)
    bases = stacking._bases(whole, part.reducer.n_covariates, treatment=False)
    assert [base.name for base in bases] == [
        "linear on covariates", "linear on features", "linear on both", "boosting on both",
    ]  # fmt: skip
    columns = part.reducer.transform(asked, ~part.rows)
    mean = sum(
        found.weights[base.name] * base.fit(whole.only(base.columns))(columns[:, base.columns])
        for base in bases
    )
    np.testing.assert_allclose(found.predict(columns), mean, rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(found.inner), ~rows)


def test_weights_and_inner_predictions_by_a_loop(quick: None) -> None:
    asked = design(study(selected=True))
    part, treatment = _part(asked), asked.table.treatment
    found = stacked(part, part.rows, treatment, whole=part.sample(part.rows, treatment), treatment=True)
    held_out = np.full((120, 2), np.nan)
    for inner in part.inner:
        sample = part.sample(inner.train, treatment, inner.reducer)
        columns = inner.reducer.transform(asked, inner.test)
        held_out[inner.test, 0] = stacking.penalised_logit(sample)(columns)
        held_out[inner.test, 1] = stacking.boosted_probability(sample, trees=FEW_TREES)(columns)
    rows = part.rows
    mix = simplex_weights(held_out[rows], treatment[rows], weights=np.ones(rows.sum()), treatment=True)
    np.testing.assert_allclose(list(found.weights.values()), mix, atol=1e-9)
    first = part.inner[0].test
    others = rows & ~first
    mix = simplex_weights(held_out[others], treatment[others], weights=np.ones(others.sum()), treatment=True)
    np.testing.assert_allclose(found.inner[first], held_out[first] @ mix, atol=1e-9)


def test_weights_of_a_result_are_means_over_folds_and_sum_to_one(quick: None) -> None:
    asked = design(study(), features=images())
    found = ec.ate(
        asked, folds=ec.Folds(k=3), learners=ec.Learners(outcome="stacking", propensity="stacking", pca=3)
    )
    for name in ("stack_propensity", "stack_outcome_control", "stack_outcome_treated"):
        assert sum(found.diagnostics[name].values()) == pytest.approx(1, abs=1e-9)
    assert ec.Estimate.from_dict(found.to_dict(scores=True)) == found


def test_each_source_is_stacked_alone_where_it_is_alone(quick: None) -> None:
    asked = design(study(), features=images())
    folds = ec.Folds(k=3).assign(asked, seed=1)
    for columns in ("covariates", "features"):
        learners = ec.Learners(outcome="stacking", propensity=FAST.propensity, columns=columns)
        found = cross_fit(asked, folds, learners, seed=0)
        assert list(found.diagnostics["stack_outcome_treated"]) == [
            f"linear on {columns}", f"boosting on {columns}",
        ]  # fmt: skip


def test_too_few_groups_to_part_again_are_named() -> None:
    table = by_village(24, n_villages=4)
    asked = design(table, cluster="village")
    folds = np.where(table["village"] == 0, 0, 1).astype(np.intp)
    one = TrainingFold(asked, 1, folds != 1, groups=asked.groups, learners=FAST, seed=0)
    with pytest.raises(EstimationError, match=r"Outside fold 1 all units are tied[\s\S]*more folds"):
        one.inner  # noqa: B018 - asking is the point
    # without one of the two treated villages there is one left, and the inner fold that it is in leaves none
    left_out = int(table.loc[table["grant"] == 1, "village"].iloc[0])
    folds = np.where(table["village"] == left_out, 0, 1).astype(np.intp)
    calibrated = ec.Learners(propensity=FAST.propensity, calibration="platt")
    with pytest.raises(EstimationError, match=r"an inner fold leaves 0 units of an arm"):
        propensities(asked, folds, calibrated, seed=0)
