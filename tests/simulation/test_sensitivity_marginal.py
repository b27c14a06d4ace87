"""A confounder that moves the odds of treatment by exactly Lambda: how often bounds cover the true effect.

Treatment is likelier where the noise of the outcome is high: the odds are ``Lambda`` times those given the columns
above a quantile of the noise, and ``1 / Lambda`` times below, with the quantile such that they are right on
average. That is the confounder which makes the effect look as large as any can, so that the true effect lies at the
lower end of the sharp bounds: to cover it is to cover the bound.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

import eocausal as ec
from eocausal.sensitivities.marginal_checks import LAMBDAS
from eocausal.sensitivities.marginal_orthogonal import orthogonal
from eocausal.sensitivities.marginal_weighted import weighted

TRUTH = 1.0
STUDIES = 150


def confounded(
    rng: np.random.Generator, n: int, *, bound: float, pictures: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Units whose seen confounder is in columns or in pictures, and whose unseen one is in the noise."""
    seen = rng.normal(size=(n, 3))
    index = seen @ np.array([0.6, -0.5, 0.3])
    odds = np.exp(index)
    high, low = expit(np.log(bound * odds)), expit(np.log(odds / bound))
    share = (expit(index) - low) / (high - low)
    noise = rng.normal(size=n)
    lifted = noise > norm.ppf(1 - share)
    treatment = (rng.uniform(size=n) < np.where(lifted, high, low)).astype(int)
    outcome = seen @ np.array([0.8, 0.4, -0.6]) + TRUTH * treatment + noise
    table = pd.DataFrame(seen, columns=["age", "wealth", "rain"])
    table = table.assign(aid=treatment, income=outcome, place=np.arange(n))
    loadings = rng.normal(size=(3, pictures))
    return table, seen @ loadings + 0.02 * rng.normal(size=(n, pictures))


def design(table: pd.DataFrame, features: np.ndarray) -> ec.Design:
    """Columns where there are no features, else these alone."""
    asked = {"outcome": "income", "treatment": "aid"}
    if not features.shape[1]:
        return ec.Design(table, covariates=["age", "wealth", "rain"], **asked)
    made = pd.DataFrame(features.astype("float32"), columns=[f"f{one}" for one in range(features.shape[1])])
    pictures = ec.read_embeddings(made.assign(place=table["place"]), key="place")
    return ec.Design(table, features=pictures, **asked)


def coverage(
    studies: int, *, first: int = 0, n: int, bound: float, pictures: int, method: str, **options
) -> pd.DataFrame:
    """Return for each kind of bounds shares of studies whose interval covers, and mean ends."""
    learners = ec.Learners(propensity="logit", pca=3) if method == "ipw" else ec.Learners(pca=10)
    factors, rows = np.array([1.0, bound]), []
    for seed in range(first, first + studies):
        made = design(*confounded(np.random.default_rng(seed), n, bound=bound, pictures=pictures))
        estimate = ec.ate(made, method=method, learners=learners, seed=seed)
        asked = {"lambdas": np.array(LAMBDAS), "quantile": None, "level": 0.95, **options}
        if method == "ipw":
            more = {"draws": 200, "seed": seed, "progress": False}
            found = weighted(estimate, ("zsb", "sharp"), **{**more, **asked})
        else:
            found = orthogonal(estimate, **asked)
        for name in found.methods:
            (blind, _), (low, high) = found.interval(factors, name)
            ends = found.ends(bound, name)
            rows.append((name, low <= TRUTH <= high, *ends, blind <= TRUTH))
    frame = pd.DataFrame(rows, columns=["bounds", "covers", "low", "high", "covers_at_1"])
    return frame.groupby("bounds").mean()


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [0, 24])
@pytest.mark.parametrize("method", ["ipw", "aipw"])
def test_intervals_cover_where_the_confounder_is_as_strong_as_assumed(method, pictures):
    found = coverage(STUDIES, n=2000, bound=2.0, pictures=pictures, method=method)
    print(f"\n{method}, {pictures} features:\n{found.round(3)}")
    # at 95% fewer than 90% of 150 studies is out of chance's reach
    assert (found["covers"] >= 0.90).all()
    assert (found["covers_at_1"] < 0.2).all()
    sharp = found.loc["sharp" if method == "ipw" else "dvds"]
    # the truth is at the end of the sharp bounds
    assert abs(sharp["low"] - TRUTH) < 0.06
    if method == "ipw":
        assert found.loc["zsb", "low"] < sharp["low"]
