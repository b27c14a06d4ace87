"""AIPW and the partially linear model against econml on the same folds, learners and predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eocausal as ec
from eocausal.nuisance.cross_fit import cross_fit, propensities
from eocausal.nuisance.pooled import outcome_over_arms
from tests.studies import FAST, THREE, design, study


class Remembered(RegressorMixin, BaseEstimator):
    """Predicts what it was told for each unit, whose position is the first column; treatment is the last."""

    def __init__(self, by_arm: np.ndarray) -> None:
        self.by_arm = by_arm

    def fit(self, rows: np.ndarray, target: np.ndarray) -> Remembered:
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.by_arm[rows[:, 0].astype(int), rows[:, -1].astype(int)]


class RememberedChances(ClassifierMixin, BaseEstimator):
    def __init__(self, chances: np.ndarray) -> None:
        self.chances = chances

    def fit(self, rows: np.ndarray, target: np.ndarray) -> RememberedChances:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        treated = self.chances[rows[:, 0].astype(int)]
        return np.column_stack([1 - treated, treated])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return (self.predict_proba(rows)[:, 1] > 0.5).astype(int)


def _asked() -> tuple[pd.DataFrame, ec.Design, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    table = study(600, selected=True, n_villages=600)
    asked = design(table)
    folds = THREE.assign(asked, seed=2)
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(3)]
    return table, asked, folds, splits


def test_aipw_is_the_estimate_of_econml_with_the_same_predictions() -> None:
    from econml.dr import LinearDRLearner

    table, asked, folds, splits = _asked()
    nuisance = cross_fit(asked, folds, FAST, seed=2)
    model = LinearDRLearner(
        model_propensity=RememberedChances(nuisance.propensity),
        model_regression=Remembered(np.column_stack([nuisance.outcome_control, nuisance.outcome_treated])),
        cv=splits,
    )
    position = np.arange(600.0)[:, None]
    model.fit(table["income"].to_numpy(), table["grant"].to_numpy(), W=position, inference="statsmodels")
    ours = ec.ate(asked, learners=FAST, folds=THREE, seed=2)
    assert ours.estimate == pytest.approx(float(model.const_marginal_ate()[0]), rel=1e-12)
    # theirs has the factor n / (n - 1) too
    error = float(np.ravel(model.intercept__inference(T=1).stderr)[0])
    assert ours.std_error == pytest.approx(error, rel=1e-12)


def test_the_partially_linear_model_is_that_of_econml_with_the_same_folds_and_learners() -> None:
    from econml.dml import LinearDML

    table, asked, _, splits = _asked()
    outcome, chance = LinearRegression(), LogisticRegression(C=1.0, tol=1e-10, max_iter=1000)
    model = LinearDML(
        model_y=make_pipeline(StandardScaler(), outcome),
        model_t=make_pipeline(StandardScaler(), chance),
        discrete_treatment=True,
        cv=splits,
    )
    model.fit(
        table["income"].to_numpy(), table["grant"].to_numpy(), W=table[["age", "wealth"]].to_numpy(),
        inference="statsmodels",
    )  # fmt: skip
    ours = ec.ate(
        asked, method="partially_linear", learners=ec.Learners(outcome=outcome, propensity=chance),
        folds=THREE, seed=2,
    )  # fmt: skip
    assert ours.estimand == "ato"
    assert ours.estimate == pytest.approx(float(model.const_marginal_ate()[0]), rel=1e-12)
    error = float(np.ravel(model.intercept__inference().stderr)[0])
    assert ours.std_error == pytest.approx(error, rel=1e-12)


def test_the_partially_linear_model_by_the_closed_form() -> None:
    """Slope and variance of Chernozhukov et al. (2018), their equation (4.4) and theorem 4.1, from residuals."""
    _, asked, folds, _ = _asked()
    options = {"learners": FAST, "seed": 2, "groups": asked.groups}
    e = propensities(asked, folds, **options).values
    predicted, _ = outcome_over_arms(asked, folds, **options, propensity=e)
    u, v = asked.table.outcome - predicted, asked.table.treatment - e
    slope = (u @ v) / (v @ v)
    ours = ec.ate(asked, method="partially_linear", learners=FAST, folds=THREE, seed=2)
    assert ours.estimate == pytest.approx(slope, rel=1e-12)
    variance = np.mean(((u - slope * v) * v) ** 2) / np.mean(v**2) ** 2 / 600
    assert ours.std_error == pytest.approx(np.sqrt(variance * 600 / 599), rel=1e-12)
