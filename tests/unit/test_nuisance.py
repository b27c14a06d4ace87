"""Nuisances are out of fold: what a prediction has not seen cannot move it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.nuisance.cross_fit import (
    ColumnReducer,
    cross_fit,
    outcomes_out_of_fold,
    propensities,
)
from tests.studies import FAST, by_village, design, images, study


def _folds(asked: ec.Design, k: int = 3) -> np.ndarray:
    return ec.Folds(k=k).assign(asked, seed=1)


def test_outcomes_are_those_of_a_loop_over_folds_and_arms() -> None:
    asked = design(study())
    folds = _folds(asked)
    control, treated = outcomes_out_of_fold(asked, folds, FAST, seed=0)
    x, t, y = asked.table.covariates, asked.table.treatment, asked.table.outcome
    for fold in range(3):
        train = folds != fold
        scaler = StandardScaler().fit(x[train])
        for arm, found in ((0, control), (1, treated)):
            rows = train & (t == arm)
            model = Ridge(10.0).fit(scaler.transform(x[rows]), y[rows])
            np.testing.assert_allclose(
                found[folds == fold], model.predict(scaler.transform(x[folds == fold])), rtol=1e-10
            )


def test_propensities_are_those_of_a_loop_over_folds() -> None:
    asked = design(study(selected=True))
    folds = _folds(asked)
    made = propensities(asked, folds, FAST, seed=0)
    found, known = made.values, made.known
    assert not known
    x, t = asked.table.covariates, asked.table.treatment
    for fold in range(3):
        train = folds != fold
        scaler = StandardScaler().fit(x[train])
        model = LogisticRegression(C=1.0).fit(scaler.transform(x[train]), t[train])
        np.testing.assert_allclose(
            found[folds == fold], model.predict_proba(scaler.transform(x[folds == fold]))[:, 1], rtol=1e-10
        )


@pytest.mark.parametrize("learners", [FAST, ec.Learners(pca=2)])
def test_the_outcomes_of_a_fold_do_not_move_its_own_predictions(learners: ec.Learners) -> None:
    table = study()
    options = {"features": images(), "covariates": ["age"]}
    asked = design(table, **options)
    folds = _folds(asked)
    before = cross_fit(asked, folds, learners, seed=0)
    changed = table.assign(income=table["income"] + 50 * np.sin(np.arange(len(table))) * (folds == 1))
    after = cross_fit(design(changed, **options), folds, learners, seed=0)
    own = folds == 1
    np.testing.assert_array_equal(after.outcome_control[own], before.outcome_control[own])
    np.testing.assert_array_equal(after.outcome_treated[own], before.outcome_treated[own])
    assert (after.outcome_control[~own] != before.outcome_control[~own]).all()
    np.testing.assert_array_equal(after.propensity, before.propensity)


def test_components_are_learned_on_the_training_rows_only() -> None:
    table, features = study(), images(width=8)
    asked = design(table, features=features, covariates=["age"])
    train = np.arange(120) < 70
    reducer = ColumnReducer(pca=3, seed=0).fit(asked, train)
    found = reducer.transform(asked, ~train)
    block = asked.table.features.astype(float)
    scaler = StandardScaler().fit(block[train])
    pca = PCA(3, svd_solver="full").fit(scaler.transform(block[train]))
    age = asked.table.covariates[:, 0]
    expected = np.column_stack(
        [(age[~train] - age[train].mean()) / age[train].std(), pca.transform(scaler.transform(block[~train]))]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_block_no_wider_than_asked_is_left_as_it_is() -> None:
    asked = design(study(), features=images(width=4), covariates=[])
    found = ColumnReducer(pca=4, seed=0).fit(asked, np.arange(120)).transform(asked, np.arange(120))
    block = asked.table.features.astype(float)
    np.testing.assert_allclose(found, (block - block.mean(0)) / block.std(0), rtol=1e-10)


def test_the_known_propensity_is_passed_on_as_it_is() -> None:
    asked = design(study(selected=True), propensity="p")
    made = propensities(asked, _folds(asked), FAST, seed=0)
    found, known = made.values, made.known
    assert known
    np.testing.assert_array_equal(found, asked.table.propensity)


def test_without_columns_the_propensity_is_the_weighted_share_outside_the_fold() -> None:
    asked = design(study(), covariates=[], weights="weight")
    folds = _folds(asked)
    found = propensities(asked, folds, FAST, seed=0).values
    control, _ = outcomes_out_of_fold(asked, folds, FAST, seed=0)
    table = asked.table
    for i in range(len(asked)):
        others = [j for j in range(len(asked)) if folds[j] != folds[i]]
        treated = sum(table.weights[j] for j in others if table.treatment[j] == 1)
        assert found[i] == pytest.approx(treated / sum(table.weights[j] for j in others), rel=1e-12)
        arm = [j for j in others if table.treatment[j] == 0]
        mean = sum(table.weights[j] * table.outcome[j] for j in arm) / sum(table.weights[j] for j in arm)
        assert control[i] == pytest.approx(mean, rel=1e-12)


def test_default_penalties_come_from_folds_that_keep_clusters_whole() -> None:
    asked = design(by_village(), cluster="village")
    found = cross_fit(asked, _folds(asked), ec.Learners(), seed=0)
    assert ((found.propensity > 0) & (found.propensity < 1)).all()
    fitted = 1 - np.var(asked.table.outcome - found.outcome_control * (1 - asked.table.treatment)
                        - found.outcome_treated * asked.table.treatment) / np.var(asked.table.outcome)  # fmt: skip
    assert fitted > 0.5


def test_learners_are_cloned_and_left_unfitted() -> None:
    outcome, propensity = Ridge(10.0), LogisticRegression()
    asked = design(study())
    cross_fit(asked, _folds(asked), ec.Learners(outcome=outcome, propensity=propensity), seed=0)
    assert not hasattr(outcome, "coef_")
    assert not hasattr(propensity, "coef_")


def test_weights_reach_the_learners() -> None:
    asked = design(study(), weights="weight")
    folds = _folds(asked)
    found, _ = outcomes_out_of_fold(asked, folds, ec.Learners(outcome=LinearRegression()), seed=0)
    table, train = asked.table, (folds != 0) & (asked.table.treatment == 0)
    rows = np.column_stack([np.ones(120), table.covariates])
    root = np.sqrt(table.weights[train])
    beta = np.linalg.lstsq(rows[train] * root[:, None], table.outcome[train] * root)[0]
    np.testing.assert_allclose(found[folds == 0], rows[folds == 0] @ beta, rtol=1e-9)


class _Wide(Ridge):
    def predict(self, X):
        return np.zeros((len(X), 2))


class _Lost(Ridge):
    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize("learner", [_Wide(), _Lost()])
def test_predictions_of_a_wrong_shape_or_without_value_are_refused(learner: Ridge) -> None:
    asked = design(study())
    with pytest.raises(
        EstimationError, match=r"outcome learner _(Wide|Lost) predicted[\s\S]*one finite number"
    ):
        outcomes_out_of_fold(asked, _folds(asked), ec.Learners(outcome=learner), seed=0)


class _Sureness(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, 1]


class _Doubt(LogisticRegression):
    def predict_proba(self, X):
        return np.full((len(X), 2), np.nan)


@pytest.mark.parametrize("learner", [_Sureness(), _Doubt()])
def test_probabilities_of_a_wrong_shape_or_without_value_are_refused(learner: LogisticRegression) -> None:
    asked = design(study())
    with pytest.raises(
        EstimationError,
        match=r"propensity learner _(Sureness|Doubt) predicted[\s\S]*two finite probabilities",
    ):
        propensities(asked, _folds(asked), ec.Learners(propensity=learner), seed=0)


def test_learners_without_weights_are_named_when_there_are_weights() -> None:
    asked = design(study(), weights="weight")
    with pytest.raises(EstimationError, match="KNeighborsRegressor takes no sample weights"):
        outcomes_out_of_fold(asked, _folds(asked), ec.Learners(outcome=KNeighborsRegressor()), seed=0)


def test_propensities_of_zero_or_one_are_refused_and_counted() -> None:
    asked = design(study(selected=True))
    with pytest.raises(EstimationError, match=r"exactly 0 or 1[\s\S]*Where: \d+ \(\d+[\s\S]*default logit"):
        propensities(asked, _folds(asked), ec.Learners(propensity=DecisionTreeClassifier()), seed=0)


def test_an_arm_that_is_missing_outside_a_fold_is_named() -> None:
    asked = design(study())
    folds = np.where(asked.table.treatment == 1, 0, 1)
    with pytest.raises(EstimationError, match=r"Outside fold 0 there are 0 treated units[\s\S]*Folds\(k=2\)"):
        outcomes_out_of_fold(asked, folds, FAST, seed=0)
    with pytest.raises(EstimationError, match="Outside fold 0 there are 0 treated units"):
        propensities(asked, folds, FAST, seed=0)


def test_a_model_is_not_asked_about_other_columns() -> None:
    table = study()
    table["region"] = np.where(np.arange(120) < 60, "north", "south")
    other = table.assign(region=np.where(np.arange(120) < 60, "east", "west"))
    reducer = ColumnReducer(pca=None, seed=0).fit(design(table, covariates=["region"]), np.arange(120))
    with pytest.raises(
        EstimationError, match=r"region\[west\][\s\S]*fitted on \['region\[south\]'\][\s\S]*split"
    ):
        reducer.transform(design(other, covariates=["region"]), np.arange(120))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outcome": Ridge}, r"outcome learner is a class[\s\S]*Learners\(outcome=Ridge\(\)\)"),
        ({"propensity": LinearRegression()}, r"propensity learner LinearRegression has no predict_proba\(\)"),
        ({"outcome": "ridges"}, r"outcome learner 'ridges' is not known[\s\S]*Did you mean 'ridge'"),
        ({"pca": 0}, "pca=0"),
        ({"pca": 2.5}, "pca=2.5"),
    ],
)
def test_learners_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.Learners(**options)


def test_rare_levels_and_constant_columns_of_a_fold_do_no_harm() -> None:
    table = study()
    table["rare"] = (np.arange(120) < 2).astype(float)
    asked = design(table, covariates=["age", "rare"])
    folds = np.where(np.arange(120) < 2, 0, 1 + np.arange(120) % 2)
    found = cross_fit(asked, folds, FAST, seed=0)
    for values in (found.outcome_control, found.outcome_treated, found.propensity):
        assert np.isfinite(values).all()
    assert isinstance(pd.Series(found.propensity).describe()["mean"], float)


def test_a_pipeline_hands_the_weights_to_its_last_step() -> None:
    asked = design(study(120, selected=True), weights="weight")
    plain = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(C=1.0))
    piped = ec.Learners(
        outcome=make_pipeline(FunctionTransformer(), plain.outcome),
        propensity=make_pipeline(FunctionTransformer(), plain.propensity),
    )
    one, two = (ec.ate(asked, learners=learners) for learners in (plain, piped))
    assert two.estimate == pytest.approx(one.estimate, rel=1e-12)
    deaf = ec.Learners(outcome=make_pipeline(FunctionTransformer(), KNeighborsRegressor()))
    with pytest.raises(EstimationError, match="Pipeline takes no sample weights"):
        ec.ate(asked, learners=deaf)
