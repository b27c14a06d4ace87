"""Learners of effects on given nuisances against least squares by hand, statsmodels, scikit-learn and econml."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold

import eocausal as ec
from eocausal.nuisance.models import RIDGE_PENALTIES
from tests.effect_samples import residuals, sample, standardised, table

FINE = {"rtol": 1e-10, "atol": 1e-10}


def _ridge_by_hand(made, penalty, rows=None):
    """Minimise the R-loss, its weights at mean 1, plus a penalty on all but the intercept."""
    rows = np.arange(len(made)) if rows is None else rows
    outcome, treatment = residuals(made)
    index = np.column_stack([np.ones(len(made)), standardised(made)])
    weights = made["weight"].to_numpy() * treatment**2
    weights = made["weight"].to_numpy() / weights.mean()
    regressors = treatment[:, None] * index
    gram = (regressors[rows] * weights[rows, None]).T @ regressors[rows]
    right = (regressors[rows] * weights[rows, None]).T @ outcome[rows]
    return index @ np.linalg.solve(gram + penalty * np.diag([0.0, 1, 1, 1]), right)


def test_the_r_learner_with_ridge_is_penalised_weighted_least_squares() -> None:
    made = table()
    model = ec.RLearner(Ridge(7.0)).fit(sample(made), seed=0)
    effects, errors = model.predict(sample(made).design)
    np.testing.assert_allclose(effects, _ridge_by_hand(made, 7.0), **FINE)
    assert np.isnan(errors).all()


def test_the_ridge_of_the_r_learner_has_the_penalty_with_the_least_r_loss_on_whole_villages() -> None:
    made = table(90, n_villages=9)
    outcome, treatment = residuals(made)
    weights = made["weight"].to_numpy() * treatment**2
    ratio = outcome / treatment
    losses = np.zeros(len(RIDGE_PENALTIES))
    for train, test in GroupKFold(4).split(made, groups=made["village"]):
        centre = np.average(ratio[test], weights=weights[test])
        for number, penalty in enumerate(RIDGE_PENALTIES):
            effects = _ridge_by_hand(made, penalty, train)
            loss = weights[test] @ (ratio[test] - effects[test]) ** 2
            losses[number] += loss / (weights[test] @ (ratio[test] - centre) ** 2)
    best = RIDGE_PENALTIES[losses.argmin()]
    assert RIDGE_PENALTIES[0] < best < RIDGE_PENALTIES[-1]
    effects, _ = ec.RLearner("ridge").fit(sample(made), seed=0).predict(sample(made).design)
    np.testing.assert_allclose(effects, _ridge_by_hand(made, best), rtol=1e-8)


def _scores(made):
    e, grant, income = (made[name].to_numpy() for name in ("e", "grant", "income"))
    own = np.where(grant == 1, made["treated"], made["control"])
    return (
        made["treated"].to_numpy() - made["control"].to_numpy() + (grant - e) / (e * (1 - e)) * (income - own)
    )


def test_the_dr_learner_regresses_doubly_robust_scores() -> None:
    made = table()
    effects, _ = ec.DRLearner(LinearRegression()).fit(sample(made), seed=0).predict(sample(made).design)
    index = np.column_stack([np.ones(len(made)), standardised(made)])
    fit = sm.WLS(_scores(made), index, weights=made["weight"]).fit()
    np.testing.assert_allclose(effects, fit.fittedvalues, **FINE)


def _gains(made):
    """Return the effects that the controls and that the treated show, by least squares in each arm."""
    columns, weights = standardised(made), made["weight"].to_numpy()
    treated = made["grant"].to_numpy() == 1
    gains = np.where(treated, made["income"] - made["control"], made["treated"] - made["income"])
    return [
        LinearRegression().fit(columns[arm], gains[arm], weights[arm]).predict(columns)
        for arm in (~treated, treated)
    ]


def test_the_x_learner_mixes_the_gains_of_both_arms_by_the_known_propensity() -> None:
    made = table()
    effects, _ = ec.XLearner(LinearRegression()).fit(sample(made), seed=0).predict(sample(made).design)
    of_controls, of_treated = _gains(made)
    e = made["e"].to_numpy()
    np.testing.assert_allclose(effects, e * of_controls + (1 - e) * of_treated, **FINE)


@pytest.mark.parametrize("known", [True, False])
def test_a_propensity_that_the_design_does_not_know_mixes_as_columns_predict_it(known: bool) -> None:
    made = table(600)
    learned = sample(made, known=known)
    effects, _ = (
        ec.XLearner(LinearRegression()).fit(learned, seed=0).predict(sample(made, known=False).design)
    )
    of_controls, of_treated = _gains(made)
    share = (effects - of_treated) / (of_controls - of_treated)
    apart = np.abs(of_controls - of_treated) > 1e-3
    columns, odds = standardised(made)[apart], np.log(share[apart] / (1 - share[apart]))
    line = LinearRegression().fit(columns, odds)
    np.testing.assert_allclose(line.predict(columns), odds, atol=1e-8)
    true = np.log(made["e"] / (1 - made["e"]))
    given = LinearRegression().fit(standardised(made), true, made["weight"])
    np.testing.assert_allclose(line.coef_, given.coef_, atol=0.01)
    assert line.intercept_ == pytest.approx(given.intercept_, abs=0.01)


@pytest.mark.parametrize("clustered", [True, False])
def test_linear_effects_and_their_errors_are_those_of_statsmodels(clustered: bool) -> None:
    made = table()
    given = sample(made, cluster="village" if clustered else None)
    model = ec.LinearEffects().fit(given, seed=0)
    outcome, treatment = residuals(made)
    index = np.column_stack([np.ones(len(made)), standardised(made)])
    how = {"cov_type": "HC1"}
    if clustered:
        how = {"cov_type": "cluster", "cov_kwds": {"groups": made["village"].to_numpy()}}
    fit = sm.WLS(outcome, treatment[:, None] * index, weights=made["weight"]).fit(**how)
    np.testing.assert_allclose(model.coefficients.values, fit.params, **FINE)
    np.testing.assert_allclose(model.coefficients.std_error, fit.bse, rtol=1e-9)
    assert model.coefficients.terms == ("average unit", "age", "wealth", "rain")
    effects, errors = model.predict(given.design)
    np.testing.assert_allclose(effects, index @ fit.params, **FINE)
    np.testing.assert_allclose(
        errors, np.sqrt(np.einsum("ij,jk,ik->i", index, fit.cov_params(), index)), rtol=1e-9
    )


class _Given(BaseEstimator):
    """Predictions by row, whose number is the last column of what it is asked about."""

    def __init__(self, values=None):
        self.values = values

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.values[X[:, -1].astype(int)]


class _GivenShare(_Given):
    def predict_proba(self, X):
        treated = self.predict(X)
        return np.column_stack([1 - treated, treated])


class _GivenByArm(_Given):
    """Outcomes by arm: the last column is the treatment and the one before it the number of the row."""

    def predict(self, X):
        return self.values[X[:, -2].astype(int), X[:, -1].astype(int)]


def test_linear_effects_are_those_of_econml_with_the_same_nuisances() -> None:
    from econml.dml import LinearDML

    made = table()
    given = sample(made, cluster=None, weights=None)
    outcome, _ = residuals(made)
    columns, rows = standardised(made), np.arange(len(made))[:, None]
    reference = LinearDML(
        model_y=_Given(made["income"].to_numpy() - outcome), model_t=_Given(made["e"].to_numpy()), cv=2
    ).fit(made["income"].to_numpy(), made["grant"].to_numpy().astype(float), X=columns, W=rows)
    effects, errors = ec.LinearEffects().fit(given, seed=0).predict(given.design)
    inference = reference.effect_inference(columns)
    np.testing.assert_allclose(effects, inference.point_estimate.ravel(), rtol=1e-8)
    np.testing.assert_allclose(errors, inference.stderr.ravel(), rtol=1e-8)


def test_the_dr_learner_is_that_of_econml_with_the_same_nuisances() -> None:
    from econml.dr import LinearDRLearner

    made = table()
    given = sample(made, cluster=None, weights=None)
    columns, rows = standardised(made), np.arange(len(made))[:, None]
    reference = LinearDRLearner(
        model_propensity=_GivenShare(made["e"].to_numpy()),
        model_regression=_GivenByArm(made[["control", "treated"]].to_numpy()),
        cv=2,
    ).fit(made["income"].to_numpy(), made["grant"].to_numpy(), X=columns, W=rows)
    effects, _ = ec.DRLearner(LinearRegression()).fit(given, seed=0).predict(given.design)
    np.testing.assert_allclose(effects, reference.effect(columns).ravel(), rtol=1e-8)
