"""Calibration tables and metrics of fine-tuned networks against hand and other people's code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from eocausal.training._calibration import outcome_metrics, platt, reliability, sigmoid, treatment_metrics


def test_reliability_of_shares_by_hand() -> None:
    # ten bins of two units; the first bin holds (0.00, 0.05), treated 0 and 1, and so on
    predicted = np.arange(20) / 20
    observed = np.tile([0.0, 1.0], 10)
    table = reliability(predicted, observed, np.ones(20), np.arange(20), shares=True)
    assert table["bin"].tolist() == list(range(1, 11))
    assert table["n"].tolist() == [2] * 10
    np.testing.assert_allclose(table["predicted"], np.arange(10) / 10 + 0.025)
    assert (table["observed"] == 0.5).all()
    low, high = proportion_confint(1, 2, method="wilson")
    np.testing.assert_allclose(table[["conf_low", "conf_high"]], [[low, high]] * 10, rtol=1e-10)


def test_units_of_one_group_count_once_in_an_interval() -> None:
    # one bin: nine units in three groups of three, weights 1; effective number 9^2 / (3 * 3^2) = 3
    observed = np.repeat([1.0, 1.0, 0.0], 3)
    table = reliability(np.full(9, 0.4), observed, np.ones(9), np.repeat([4, 5, 6], 3), shares=True)
    (row,) = table.to_dict("records")
    assert (row["n"], row["n_groups"], row["predicted"]) == (9, 3, pytest.approx(0.4))
    low, high = proportion_confint(2, 3, method="wilson")
    assert (row["conf_low"], row["conf_high"]) == (pytest.approx(low), pytest.approx(high))


def test_reliability_of_outcomes_is_the_t_interval_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    observed = rng.normal(size=12)
    (row,) = reliability(np.zeros(12), observed, np.ones(12), np.arange(12), shares=False).to_dict("records")
    low, high = stats.t.interval(0.95, 11, loc=observed.mean(), scale=stats.sem(observed))
    np.testing.assert_allclose([row["conf_low"], row["conf_high"]], [low, high], rtol=1e-10)


def test_weights_enter_means_and_the_effective_number() -> None:
    weights, observed = np.array([3.0, 1.0]), np.array([1.0, 0.0])
    (row,) = reliability(np.array([0.2, 0.2]), observed, weights, np.arange(2), shares=True).to_dict(
        "records"
    )
    assert row["observed"] == 0.75
    low, high = proportion_confint(0.75 * 1.6, 1.6, method="wilson")  # 4^2 / (3^2 + 1^2) = 1.6 observations
    assert (row["conf_low"], row["conf_high"]) == (pytest.approx(low), pytest.approx(high))


def test_recalibration_is_platts_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=200) + 1
    treatment = (rng.uniform(size=200) < sigmoid(0.4 * logits - 1)).astype(float)
    weights = rng.uniform(0.5, 2, size=200)
    slope, intercept = platt(logits, treatment, weights)
    share = weights / weights.mean()
    treated, control = share @ treatment, share @ (1 - treatment)
    wanted = np.where(treatment == 1, (treated + 1) / (treated + 2), 1 / (control + 2))
    # a share as a target is that share of a treated and the rest of a control unit
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
        np.tile(logits, 2)[:, None],
        np.repeat([1, 0], 200),
        sample_weight=np.append(share * wanted, share * (1 - wanted)),
    )
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(model.intercept_[0], rel=1e-3)


def test_recalibration_never_turns_the_order_round_and_survives_separation() -> None:
    logits, treatment = np.arange(10.0), np.repeat([1.0, 0.0], 5)
    slope, intercept = platt(logits, treatment, np.ones(10))
    assert slope == 0
    assert sigmoid(np.array(intercept)) == pytest.approx(0.5)
    assert platt(logits, treatment, np.ones(10), falling=True)[0] < 0
    slope, _ = platt(logits, 1 - treatment, np.ones(10))
    assert 0 < slope < 100


def test_metrics_by_hand() -> None:
    probability, treatment = np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.0, 1.0, 1.0, 0.0])
    weights, folds = np.array([1.0, 1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    found = treatment_metrics(probability, treatment, weights, folds)
    # pairs within folds: 0.6 beats 0.2 and 0.5 loses to 0.9; across folds it would be three of four
    assert found["auc"] == 0.5
    assert found["log_loss"] == pytest.approx(
        -(np.log(0.8) + np.log(0.6) + np.log(0.5) + 2 * np.log(0.1)) / 5
    )
    assert found["brier"] == pytest.approx((0.04 + 0.16 + 0.25 + 2 * 0.81) / 5)
    rng = np.random.default_rng(2)
    share, arm = rng.uniform(size=50), rng.integers(2, size=50).astype(float)
    one_fold = treatment_metrics(share, arm, np.ones(50), np.zeros(50, dtype=int))
    assert one_fold["auc"] == pytest.approx(roc_auc_score(arm, share))


def test_probabilities_that_are_too_extreme_have_a_slope_below_one() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=4000)
    treatment = (rng.uniform(size=4000) < sigmoid(logits)).astype(float)
    folds, weights = np.zeros(4000, dtype=int), np.ones(4000)
    slopes = [treatment_metrics(sigmoid(k * logits), treatment, weights, folds)["slope"] for k in (1, 2)]
    assert slopes[0] == pytest.approx(1, abs=0.12)
    assert slopes[1] == pytest.approx(slopes[0] / 2, rel=1e-3)


def test_outcome_metrics_are_those_of_a_weighted_regression() -> None:
    rng = np.random.default_rng(4)
    predicted, weights = rng.normal(size=60), rng.uniform(0.5, 2, size=60)
    observed = 2 + 0.5 * predicted + rng.normal(size=60)
    found = outcome_metrics(predicted, observed, weights)
    assert found["slope"] == pytest.approx(np.polyfit(predicted, observed, 1, w=np.sqrt(weights))[0])
    assert found["rmse"] == pytest.approx(np.sqrt(np.average((observed - predicted) ** 2, weights=weights)))


def test_bins_are_the_tenths_of_pandas() -> None:
    rng = np.random.default_rng(5)
    predicted, observed = rng.uniform(size=173), rng.integers(2, size=173).astype(float)
    table = reliability(predicted, observed, np.ones(173), np.arange(173), shares=True)
    expected = pd.Series(observed).groupby(pd.qcut(predicted, 10)).agg(["size", "mean"])
    assert table["n"].tolist() == expected["size"].tolist()
    np.testing.assert_allclose(table["observed"], expected["mean"])
