"""The held-out classifier has its size with true weights, and features that carry nothing are not found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec

FAST = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(C=1.0))


def _selected(seed: int, n: int = 400) -> tuple[ec.Design, pd.Series]:
    """Treatment follows two of three covariates; the weights are of the true propensity."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    p = np.clip(1 / (1 + np.exp(-(table["a"] - 0.5 * table["b"]))), 0.05, 0.95)
    table["grant"] = (rng.uniform(size=n) < p).astype(int)
    table["income"] = rng.normal(size=n)
    weights = pd.Series(np.where(table["grant"] == 1, 1 / p, 1 / (1 - p)), index=table.index)
    return ec.Design(table, outcome="income", treatment="grant", covariates=list("abc")), weights


@pytest.mark.slow
def test_with_true_weights_the_classifier_rejects_as_often_as_it_says() -> None:
    ps, before = [], []
    for seed in range(300):
        design, weights = _selected(seed)
        frame = ec.balance(design, weights=weights, learners=FAST, seed=seed).classifier_frame()
        before.append(frame["p_value"].iloc[0])
        ps.append(frame["p_value"].iloc[1])
    rejected = np.mean(np.array(ps) < 0.05)
    # 99.9% binomial band of 0.05 with 300 draws; 0.053 was found
    assert 0.013 <= rejected <= 0.097
    assert stats.kstest(ps, "uniform").pvalue > 0.001
    assert np.mean(np.array(before) < 0.05) > 0.99


def _pictures_of_nothing(seed: int, *, spatial: bool, n: int = 500) -> ec.Design:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"id": np.arange(n), "age": rng.normal(size=n)})
    table["lon"], table["lat"] = 33 + rng.uniform(0, 2, n), 1 + rng.uniform(0, 1.4, n)
    field = (np.sin(3 * table["lon"]) + np.cos(4 * table["lat"])) * spatial
    chance = 1 / (1 + np.exp(-table["age"] - 0.7 * field))
    table["grant"] = (rng.uniform(size=n) < chance).astype(int)
    table["income"] = table["age"] + field + rng.normal(size=n)
    pictures = pd.DataFrame(rng.normal(size=(n, 10)), columns=[f"f{k}" for k in range(10)])
    features = ec.read_embeddings(pictures.assign(id=np.arange(n)), key="id")
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    return ec.Design(units, outcome="income", treatment="grant", covariates=["age"], features=features)


@pytest.mark.slow
@pytest.mark.parametrize("spatial", [False, True])
def test_pictures_that_carry_nothing_are_not_said_to_add_anything(spatial: bool) -> None:
    learners = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(C=0.1))
    found, warned, alone = 0, 0, []
    draws = 60
    for seed in range(draws):
        result = ec.assignment(
            _pictures_of_nothing(seed, spatial=spatial), learners=learners, replicates=100, seed=seed
        )
        frame = result.to_frame().set_index(["source", "measure"])
        found += int(frame.loc[("features given covariates", "auc"), "conf_low"] > 0)
        warned += int(any("instrument" in text for text in result.warnings))
        alone.append(frame.loc[("features", "auc"), "estimate"])
    # none of 120 was found in either world; 4 of 60 would be the upper end of the 97.5th percentile of 0.025
    assert found <= 4
    assert warned <= 4
    assert abs(np.mean(alone) - 0.5) < 0.02
