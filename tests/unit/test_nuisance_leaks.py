"""Whatever learner is named, no unit's outcome or treatment enters its own prediction, and rows have no order."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from eocausal.nuisance import boosting, stacking
from eocausal.nuisance.cross_fit import cross_fit
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
