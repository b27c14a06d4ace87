"""Whatever learner is named, no unit's outcome or treatment enters its own prediction, and rows have no order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

import eocausal as ec
from eocausal.nuisance import boosting, stacking
from eocausal.nuisance.arm_nuisance import cross_fit_arms
from eocausal.nuisance.cross_fit import cross_fit
from eocausal.nuisance.dose_nuisance import densities, outcomes_at
from eocausal.nuisance.pooled import expected_out_of_fold, outcome_over_arms
from eocausal.nuisance.training_folds import TrainingFold
from tests.studies import FAST, design, images, study

NAMED = {
    "ridge and penalised logit": ec.Learners(),
    "boosting": ec.Learners(outcome="boosting", propensity="boosting", calibration="isotonic"),
    "stacking": ec.Learners(outcome="stacking", propensity="stacking", calibration="platt"),
    "logit": ec.Learners(outcome=FAST.outcome, propensity="logit", pca=3),
    "probit on covariates": ec.Learners(outcome=FAST.outcome, propensity="probit", columns="covariates"),
    "features alone": ec.Learners(columns="features", pca=3),
}
EACH = pytest.mark.parametrize("name", NAMED)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "MOST_TREES", 12)
    monkeypatch.setattr(stacking, "best_trees", lambda sample, treatment: 4)


def _asked(table: object) -> ec.Design:
    return design(table, features=images(60), cluster="village")


def _table() -> object:
    return study(240, selected=True, n_villages=60)


@EACH
def test_outcome_and_treatment_of_a_fold_do_not_move_its_own_predictions(name: str) -> None:
    table = _table()
    folds = ec.Folds(k=2).assign(_asked(table), seed=1)
    before = cross_fit(_asked(table), folds, NAMED[name], seed=0)
    own, rng = folds == 1, np.random.default_rng(3)
    changed = table.assign(
        grant=np.where(own, rng.permutation(table["grant"]), table["grant"]),
        income=table["income"] + 50 * np.sin(np.arange(240)) * own,
    )
    after = cross_fit(_asked(changed), folds, NAMED[name], seed=0)
    for one in ("propensity", "outcome_control", "outcome_treated"):
        np.testing.assert_array_equal(getattr(after, one)[own], getattr(before, one)[own])
        assert (getattr(after, one)[~own] != getattr(before, one)[~own]).mean() > 0.5


@EACH
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    table = _table()
    asked = _asked(table)
    folds = ec.Folds(k=2).assign(asked, seed=1)
    order = np.random.default_rng(5).permutation(240)
    straight = cross_fit(asked, folds, NAMED[name], seed=0)
    shuffled = cross_fit(_asked(table.iloc[order]), folds[order], NAMED[name], seed=0)
    for one in ("propensity", "outcome_control", "outcome_treated"):
        np.testing.assert_allclose(getattr(shuffled, one), getattr(straight, one)[order], atol=2e-5)


@EACH
def test_the_unit_of_sampling_weights_does_not_matter(name: str) -> None:
    table = _table()
    folds = ec.Folds(k=2).assign(_asked(table), seed=1)
    options = {"features": images(60), "cluster": "village", "weights": "weight"}
    one = cross_fit(design(table, **options), folds, NAMED[name], seed=0)
    two = cross_fit(
        design(table.assign(weight=1000 * table["weight"]), **options), folds, NAMED[name], seed=0
    )
    np.testing.assert_allclose(two.propensity, one.propensity, atol=2e-5)
    np.testing.assert_allclose(two.outcome_treated, one.outcome_treated, atol=2e-4)


def test_the_same_seed_gives_the_same_bytes() -> None:
    asked = _asked(_table())
    folds = ec.Folds(k=2).assign(asked, seed=1)
    one, two = (cross_fit(asked, folds, NAMED["stacking"], seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.propensity, two.propensity)
    np.testing.assert_array_equal(one.outcome_treated, two.outcome_treated)


MEMORY = ec.Learners(outcome=KNeighborsRegressor(1), propensity=KNeighborsClassifier(1), pca=3)
SEVERAL = {
    "ridge and penalised logit": NAMED["ridge and penalised logit"],
    "boosting": NAMED["boosting"],
    "stacking": NAMED["stacking"],
}


def _shaken(table: pd.DataFrame, own: np.ndarray, column: str) -> pd.DataFrame:
    """Give units of a fold other outcomes, and one another's treatments."""
    rng = np.random.default_rng(3)
    changed = table[column].to_numpy().copy()
    changed[own] = rng.permutation(changed[own])
    return table.assign(**{column: changed, "income": table["income"] + 50 * np.sin(np.arange(240)) * own})


@pytest.mark.parametrize("name", SEVERAL)
def test_outcome_and_arm_of_a_fold_do_not_move_its_own_predictions(name: str) -> None:
    table = _table().assign(arm=np.random.default_rng(1).choice(["none", "roads", "wells"], 240))
    options = {"treatment": "arm", "treatment_type": "categorical", "control": "none", "weights": "weight"}
    options |= {"features": images(60), "cluster": "village"}
    asked = design(table, **options)
    folds = ec.Folds(k=2).assign(asked, seed=1)
    how = {"seed": 0, "groups": asked.groups}
    before = cross_fit_arms(asked, folds, SEVERAL[name], **how)
    own = folds == 1
    after = cross_fit_arms(design(_shaken(table, own, "arm"), **options), folds, SEVERAL[name], **how)
    for one in ("propensities", "outcomes"):
        np.testing.assert_array_equal(getattr(after, one)[own], getattr(before, one)[own])
        assert (getattr(after, one)[~own] != getattr(before, one)[~own]).mean() > 0.5


@pytest.mark.parametrize("name", [*SEVERAL, "memory"])
def test_outcome_and_dose_of_a_fold_do_not_move_its_own_predictions(name: str) -> None:
    learners = {**SEVERAL, "memory": MEMORY}[name]
    table = _table().assign(dose=np.random.default_rng(1).normal(size=240))
    options = {
        "treatment": "dose",
        "treatment_type": "continuous",
        "features": images(60),
        "cluster": "village",
    }
    asked = design(table, **options)
    folds = ec.Folds(k=2).assign(asked, seed=1)
    own, how = folds == 1, {"seed": 0, "groups": asked.groups}
    changed = design(_shaken(table, own, "dose"), **options)

    def predicted(of: ec.Design) -> list[np.ndarray]:
        expected = expected_out_of_fold(of, of.table.assigned, folds, learners, **how)
        return [expected, outcomes_at(of, [-1.0, 0.5], folds, learners, **how)[0]]

    for before, after in zip(predicted(asked), predicted(changed)):
        np.testing.assert_array_equal(after[own], before[own])
        assert (after[~own] != before[~own]).mean() > 0.5


def test_the_density_at_a_unit_knows_of_its_fold_nothing_but_the_unit_itself() -> None:
    table = _table().assign(dose=np.random.default_rng(1).normal(size=240))
    options = {
        "treatment": "dose",
        "treatment_type": "continuous",
        "features": images(60),
        "cluster": "village",
    }
    asked = design(table, **options)
    folds = ec.Folds(k=2).assign(asked, seed=1)
    unit = int(np.flatnonzero(folds == 1)[0])
    others = (folds == 1) & (np.arange(240) != unit)
    changed = design(_shaken(table, others, "dose"), **options)
    how = {"seed": 0, "groups": asked.groups, "spread": "columns"}
    before, after = (densities(of, folds, MEMORY, **how) for of in (asked, changed))
    assert after[unit] == before[unit]
    assert (after[others] != before[others]).mean() > 0.5


@pytest.mark.parametrize("name", [*NAMED, "memory"])
def test_predictions_over_both_arms_do_not_see_the_outcomes_of_their_fold(name: str) -> None:
    learners, table = {**NAMED, "memory": MEMORY}[name], _table()
    asked = _asked(table)
    folds = ec.Folds(k=2).assign(asked, seed=1)
    own = folds == 1
    how = {"seed": 0, "groups": asked.groups, "propensity": np.full(240, 0.5)}
    before = outcome_over_arms(asked, folds, learners, **how)[0]
    after = outcome_over_arms(_asked(_shaken(table, own, "grant")), folds, learners, **how)[0]
    np.testing.assert_array_equal(after[own], before[own])
    assert (after[~own] != before[~own]).mean() > 0.5


@pytest.mark.parametrize("name", ["stacking", "boosting"])
def test_within_the_training_folds_no_group_is_calibrated_by_what_has_seen_it(name: str) -> None:
    asked = _asked(_table())
    rows = ec.Folds(k=2).assign(asked, seed=1) != 0
    part = TrainingFold(asked, 0, rows, groups=asked.groups, learners=NAMED[name], seed=0)
    for inner in part.inner:
        assert not set(asked.groups[inner.train]) & set(asked.groups[inner.test])
        assert not (inner.train & ~rows).any()
        assert not (inner.test & ~rows).any()
    assert sum(inner.test.astype(int) for inner in part.inner).tolist() == rows.astype(int).tolist()
