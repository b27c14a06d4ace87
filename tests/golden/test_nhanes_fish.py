"""Fish and mercury: bounds to the digits that the R package bootsens prints for the same people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.quantile_regression import QuantReg

import eocausal as ec
from eocausal.sensitivities.kinds import sensitivity
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.sharp_bounds import levels_of, sharp_means
from eocausal.sensitivities.subject import origin_of

COVARIATES = [
    "gender", "age", "income", "income_missing", "race", "education", "smoking_ever", "smoking_now",
]  # fmt: skip
LAMBDAS = (1, 1.25, 2, 3, float(np.exp(2)))
ZSB = {
    "ate": [
        (1.855352, 1.855352), (1.618607, 2.088877), (1.132344, 2.552053), (0.733998, 2.931164),
        (-0.099984, 3.783661),
    ],
    "att": [
        (2.093223, 2.093223), (1.875258, 2.302234), (1.385669, 2.708618), (0.924084, 3.021113),
        (-0.054362, 3.431156),
    ],
}  # fmt: skip
# Bounds that balance quantiles by linear regression, found elsewhere by linear programmes: the quantile regressions
# leave out income_missing, which the logit has. At 2 the level times the size of an arm is a whole number, and the
# regression has many solutions.
BALANCED = {2: (1.236744, 2.505526), 3: (0.923786, 2.823012)}
# Ours, and those of a linear programme with the quantiles of another solver.
OURS = {2: (1.2439, 2.5043), 3: (0.913441, 2.818047)}


def fish_estimate(estimand: str) -> ec.Estimate:
    table = pd.read_csv(Path(__file__).parents[1] / "data" / "nhanes_fish.csv", dtype={"race": str})
    table["log_mercury"] = np.log2(table["mercury"])
    design = ec.Design(table, outcome="log_mercury", treatment="high_fish", covariates=COVARIATES)
    return ec.ate(design, method="ipw", estimand=estimand, learners=ec.Learners(propensity="logit"))


def fish(estimand: str, **options: object) -> Sensitivity:
    result = fish_estimate(estimand)
    asked = {"lambdas": LAMBDAS, "draws": 100, "benchmark": [], **options}
    return sensitivity(result, kind="marginal", **asked)


@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_bounds_are_those_printed(estimand):
    found = fish(estimand, bounds="zsb")
    np.testing.assert_allclose(found.frame[["low", "high"]], ZSB[estimand], atol=6e-7)
    assert found.n == 1107
    # the sign of the bound changes between 3 and the square of e
    assert 3 < found.numbers["breakdown"] < np.exp(2)


def balanced(bound: float) -> tuple[float, float]:
    """Bounds of the ate with quantiles by linear regression on all columns but income_missing."""
    design = origin_of(fish_estimate("ate")).design
    table, propensity = design.table, origin_of(fish_estimate("ate")).predicted[0]["propensity"]
    kept = [place for place, name in enumerate(table.covariate_names) if name != "income_missing"]
    rows = np.column_stack([np.ones(len(design)), table.covariates[:, kept]])
    means = {}
    for arm, chance in ((1, propensity), (0, 1 - propensity)):
        own = table.treatment == arm
        y, odds = table.outcome[own], (1 - chance[own]) / chance[own]
        low, high = (
            QuantReg(y, rows[own]).fit(q=level, max_iter=5000).predict(rows[own])
            for level in levels_of(bound)
        )
        means[arm] = sharp_means(y, np.ones(own.sum()), odds, bound=bound, low=low, high=high)
    return means[1][0] - means[0][1], means[1][1] - means[0][0]


def test_quantile_balanced_bounds_are_those_printed():
    np.testing.assert_allclose(balanced(3), BALANCED[3], atol=2e-5)
    np.testing.assert_allclose(balanced(2), BALANCED[2], atol=6e-4)


def test_bounds_with_quantiles_on_all_columns_are_near_and_ours():
    frame = fish("ate", bounds="sharp", quantile="linear").frame.set_index("lambda")
    for bound, expected in BALANCED.items():
        np.testing.assert_allclose(frame.loc[bound, ["low", "high"]].astype(float), expected, atol=0.011)
    np.testing.assert_allclose(frame.loc[3, ["low", "high"]].astype(float), OURS[3], atol=2e-6)
    np.testing.assert_allclose(frame.loc[2, ["low", "high"]].astype(float), OURS[2], atol=0.006)
    assert frame.loc[1, "low"] == pytest.approx(1.855352, abs=6e-7)


def test_no_breakdown_is_put_down_to_chance():
    found = fish("ate", bounds="zsb")
    limit, point = found.numbers["breakdown_interval"], found.numbers["breakdown"]
    assert 4 < limit < point
    assert f"factor of {point:.2f}" in found.sentence
