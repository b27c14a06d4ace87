"""Tests of predictions on labelled units, against statsmodels and closed forms."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from eocausal.debiasing.label_tests import (
    PREDICTION_ON_TREATMENT,
    PREDICTION_ON_TRUTH,
    RESIDUAL_ON_TREATMENT,
    differential,
    label_tests,
    words_of,
)
from eocausal.errors import DebiasError


def world(seed=0, n=200, slope=0.5, seen=0.0):
    rng = np.random.default_rng(seed)
    treatment = np.tile([0.0, 1.0], n // 2)
    truth = treatment + rng.normal(size=n)
    prediction = slope * truth + seen * treatment + 0.3 * rng.normal(size=n)
    return prediction, truth, treatment


def test_coefficients_and_errors_are_those_of_statsmodels_hc3():
    prediction, truth, treatment = world()
    weights = np.random.default_rng(1).uniform(0.5, 2, truth.size)
    table = label_tests(prediction, truth, treatment, weights=weights).set_index("term")
    first = sm.WLS(truth - prediction, sm.add_constant(treatment), weights=weights).fit(cov_type="HC3")
    columns = sm.add_constant(np.column_stack([treatment, truth]))
    second = sm.WLS(prediction, columns, weights=weights).fit(cov_type="HC3")
    rows = (
        (RESIDUAL_ON_TREATMENT, first, 1),
        (PREDICTION_ON_TREATMENT, second, 1),
        (PREDICTION_ON_TRUTH, second, 2),
    )
    for term, fit, position in rows:
        assert table.loc[term, "estimate"] == pytest.approx(fit.params[position], rel=1e-10)
        assert table.loc[term, "std_error"] == pytest.approx(fit.bse[position], rel=1e-8)
    assert table["df"].tolist() == [198, 197, 197]


def test_clusters_leave_out_one_cluster_at_a_time():
    prediction, truth, treatment = world(n=60)
    clusters = np.repeat(np.arange(15), 4)
    table = label_tests(prediction, truth, treatment, clusters=clusters).set_index("term")
    found = table.loc[RESIDUAL_ON_TREATMENT, "estimate"]
    residual = truth - prediction

    def gap(rows):
        return residual[rows & (treatment == 1)].mean() - residual[rows & (treatment == 0)].mean()

    assert found == pytest.approx(gap(np.ones(60, dtype=bool)), rel=1e-12)
    left_out = np.array([gap(clusters != one) for one in range(15)])
    jackknife = np.sqrt(((left_out - found) ** 2).sum())
    assert table.loc[RESIDUAL_ON_TREATMENT, "std_error"] == pytest.approx(jackknife, rel=1e-9)
    assert table["n_clusters"].tolist() == [15, 15, 15]
    assert table["df"].tolist() == [14, 14, 14]


def test_the_two_poles_are_told_apart():
    # errors do not know the treatment given the truth: the plain difference is biased, undoing shrinkage is right
    assert differential(label_tests(*world(n=400))) == (True, False)
    # the outcome is the prediction and noise: the plain difference is right, undoing shrinkage is not
    rng = np.random.default_rng(3)
    treatment = np.tile([0.0, 1.0], 400)
    prediction = 0.5 * treatment + rng.normal(size=800)
    truth = prediction + 0.8 * rng.normal(size=800)
    tests = label_tests(prediction, truth, treatment)
    assert differential(tests) == (False, True)
    assert words_of(tests).startswith("labels reject the correction for shrinkage")


def test_both_or_neither_are_said():
    both = label_tests(*world(n=400, seen=2.0))
    assert differential(both) == (True, True)
    assert "reject both" in words_of(both)
    neither = label_tests(*world(n=40, slope=1.0))
    assert differential(neither) == (False, False)
    assert "reject neither" in words_of(neither)


def test_one_cluster_alone_has_no_standard_error():
    prediction, truth, treatment = world(n=20)
    table = label_tests(prediction, truth, treatment, clusters=treatment)
    assert np.isnan(table["std_error"]).all()
    assert np.isnan(table["p_value"]).all()
    assert "too few clusters" in words_of(table)


def test_a_perfect_prediction_rejects_nothing():
    _, truth, treatment = world(n=20)
    table = label_tests(truth.copy(), truth, treatment).set_index("term")
    assert table.loc[RESIDUAL_ON_TREATMENT, "estimate"] == 0
    assert table.loc[RESIDUAL_ON_TREATMENT, "p_value"] == 1


def test_order_and_scale_do_not_matter():
    prediction, truth, treatment = world()
    order = np.random.default_rng(5).permutation(truth.size)
    plain = label_tests(prediction, truth, treatment)
    moved = label_tests(
        3 * prediction[order] - 7, 3 * truth[order] - 7, treatment[order], weights=np.full(200, 9.0)
    )
    pd.testing.assert_series_equal(plain["p_value"], moved["p_value"], rtol=1e-8)
    assert moved["estimate"].to_numpy() == pytest.approx(plain["estimate"].to_numpy() * [3, 3, 1], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"truth": np.ones(5)}, "not of one length"),
        ({"truth": np.array([1.0, np.nan, 3, 4])}, "truth is missing or infinite"),
        ({"prediction": np.array([1.0, np.inf, 3, 4])}, "prediction is missing or infinite"),
        ({"treatment": np.ones(4)}, "All labelled units are of one arm"),
        ({"weights": np.array([1.0, 1, 0, 1])}, "weights are not positive"),
        ({"truth": np.array([0.0, 1, 0, 1])}, "does not vary"),
    ],
)
def test_what_is_refused(change, words):
    given = {
        "prediction": np.array([1.0, 2, 3, 4]),
        "truth": np.array([1.0, 2, 4, 3]),
        "treatment": np.array([0.0, 1, 0, 1]),
    }
    given |= change
    with pytest.raises(DebiasError, match=words):
        label_tests(given.pop("prediction"), given.pop("truth"), given.pop("treatment"), **given)


def test_coefficients_of_rounding_contradict_nothing() -> None:
    """A map that is half of the truth, exactly: the correction is right, and rounding says nothing else."""
    rng = np.random.default_rng(0)
    treatment = np.tile([0.0, 1.0], 100)
    truth = treatment + rng.normal(size=200)
    for scale in (1.0, 1e9):
        found = label_tests(0.5 * truth * scale, truth * scale, treatment)
        assert differential(found) == (True, False)
        assert found["p_value"][1] == 1.0
    assert differential(label_tests(truth, truth, treatment)) == (False, False)
