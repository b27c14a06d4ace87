"""By how much odds move without a benchmark, for each way to make a propensity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.sensitivities.benchmarks import Benchmark
from eocausal.sensitivities.odds_shifts import odds_shifts, propensity_without


def study() -> ec.Design:
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(150, 2)), columns=["age", "wealth"])
    made["aid"] = (rng.uniform(size=150) < 1 / (1 + np.exp(-made["age"]))).astype(int)
    made["income"] = made["age"] + made["aid"] + rng.normal(size=150)
    return ec.Design(made, outcome="income", treatment="aid", covariates=["age", "wealth"])


def test_a_learned_propensity_is_learned_again_on_the_same_folds():
    design = study()
    estimate = ec.ate(design, seed=3)
    found = propensity_without(estimate.origin, Benchmark("age", ("age",)))
    again = ec.ate(design.without(["age"]), seed=3).origin.predicted[0]["propensity"]
    np.testing.assert_allclose(found, again, atol=1e-12)


def test_a_balancing_logit_is_chosen_again():
    design = study()
    estimate = ec.ate(design, method="cbps", estimand="att")
    found = propensity_without(estimate.origin, Benchmark("wealth", ("wealth",)))
    again = ec.ate(design.without(["wealth"]), method="cbps", estimand="att").origin.predicted[0][
        "propensity"
    ]
    np.testing.assert_allclose(found, again, atol=1e-10)


def test_without_all_columns_it_is_the_share_treated():
    design = study()
    estimate = ec.ate(design, method="ipw", learners=ec.Learners(propensity="logit"))
    found = propensity_without(estimate.origin, Benchmark("covariates", ("age", "wealth")))
    np.testing.assert_allclose(found, design.table.treatment.mean())


def test_what_decides_treatment_moves_odds_more_than_what_does_not():
    estimate = ec.ate(study(), method="ipw", learners=ec.Learners(propensity="logit"))
    shifts = odds_shifts(estimate, [Benchmark("age", ("age",)), Benchmark("wealth", ("wealth",))])
    assert shifts["benchmark"].tolist() == ["age", "wealth"]
    assert shifts["percentile_95"][0] > 2 * shifts["percentile_95"][1]
    assert (shifts["median"] >= 1).all()
    assert odds_shifts(estimate, []).empty


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_shares_are_of_units(share):
    estimate = ec.ate(study(), method="ipw", learners=ec.Learners(propensity="logit"))
    one = Benchmark("age", ("age",))
    long, short = estimate.origin.predicted[0]["propensity"], propensity_without(estimate.origin, one)
    factor = np.exp(np.abs(np.log(long / (1 - long)) - np.log(short / (1 - short))))
    row = odds_shifts(estimate, [one]).iloc[0]
    at = row["median"] if share == 0.5 else row["percentile_95"]
    assert abs((factor <= at + 1e-12).mean() - share) <= 1 / 150
