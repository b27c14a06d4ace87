"""Logit and probit by maximum likelihood, out of fold, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_ndtr
from sklearn.linear_model import LogisticRegression

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.likelihood import logit, probit, separates
from eocausal.nuisance.models import Sample
from tests.studies import design, images, study


def _sample(n: int = 200, p: int = 3, *, seed: int = 0, weighted: bool = False) -> Sample:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, p))
    target = (columns[:, 0] + rng.logistic(size=n) > 0).astype(float)
    weights = rng.integers(1, 4, size=n) / 2.0 if weighted else None
    return Sample(columns, target, weights, np.arange(n), np.arange(n), 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_logit_is_that_of_scikit_learn_without_penalty(weighted: bool) -> None:
    sample = _sample(weighted=weighted)
    model = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky")
    model.fit(sample.columns, sample.target, sample_weight=sample.weights)
    asked = _sample(seed=5).columns
    np.testing.assert_allclose(logit(sample)(asked), model.predict_proba(asked)[:, 1], rtol=1e-5)


def test_probit_maximises_its_likelihood() -> None:
    sample = _sample(weighted=True)
    rows = np.column_stack([np.ones(200), sample.columns])
    sign = 2 * sample.target - 1

    def loss(beta: np.ndarray) -> float:
        return float(-sample.weights @ log_ndtr(sign * (rows @ beta)))

    beta = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    from scipy.stats import norm

    np.testing.assert_allclose(probit(sample)(sample.columns), norm.cdf(rows @ beta), atol=1e-5)


def test_columns_without_spread_do_no_harm() -> None:
    sample = _sample()
    rng = np.random.default_rng(3)
    noise = 1e-9 * rng.normal(size=(200, 2))
    padded = Sample(
        np.column_stack([noise, sample.columns]), sample.target, None, sample.groups, sample.ids, 0
    )
    asked = _sample(seed=5).columns
    wide = np.column_stack([np.ones((200, 2)), asked])
    np.testing.assert_allclose(logit(padded)(wide), logit(sample)(asked), rtol=1e-9)


@pytest.mark.parametrize("n", [20, 60])
def test_separation_is_found_exactly_where_it_is(n: int) -> None:
    rng = np.random.default_rng(n)
    columns = rng.normal(size=(n, 2))
    index = columns @ [1.0, -2.0]
    assert separates(columns, (index > 0.1).astype(float))
    mixed = (index > 0.1).astype(float)
    # one unit of each arm on the other's side, far from the border
    mixed[[index.argmax(), index.argmin()]] = [0, 1]
    assert not separates(columns, mixed)
    # quasi-complete: a dummy that only treated units have
    rare = np.zeros(n)
    rare[:3] = 1
    noise = rng.integers(0, 2, size=n).astype(float)
    noise[:3], noise[3:7] = 1, [0, 1, 0, 1]
    assert separates(rare[:, None], noise)


@pytest.mark.parametrize("name", ["logit", "probit"])
def test_separated_arms_are_refused(name: str) -> None:
    table = study()
    table["grant"] = (table["age"] > 0).astype(int)
    asked = design(table.assign(age=table["age"].round(1) + 0.01 * table["wealth"]))
    folds = ec.Folds(k=3).assign(asked, seed=0)
    words = rf"apart without error, so propensity='{name}' has no solution[\s\S]*penalised_logit"
    with pytest.raises(EstimationError, match=words):
        propensities(asked, folds, ec.Learners(propensity=name), seed=0)


def test_extreme_but_overlapping_arms_are_fitted() -> None:
    rng = np.random.default_rng(1)
    x = np.r_[rng.normal(size=200), 40.0, -40.0]
    target = (x + rng.logistic(size=202) > 0).astype(float)
    sample = Sample(x[:, None], target, None, np.arange(202), np.arange(202), 0)
    fitted = logit(sample)(x[:, None])
    assert fitted[200] > 1 - 1e-9
    assert not separates(x[:, None], target)


def test_too_many_columns_are_refused() -> None:
    asked = design(study(), features=images(width=12))
    folds = ec.Folds(k=3).assign(asked, seed=0)
    with pytest.raises(
        EstimationError, match=r"has 14 columns for \d+ units[\s\S]*one column for 10[\s\S]*Learners\(pca="
    ):
        propensities(asked, folds, ec.Learners(propensity="logit", pca=None), seed=0)
    found = propensities(asked, folds, ec.Learners(propensity="logit", pca=2), seed=0)
    assert ((found.values > 0) & (found.values < 1)).all()
    assert not found.known
