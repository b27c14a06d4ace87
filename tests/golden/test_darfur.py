"""The printed figures of Cinelli and Hazlett's study of Darfur, from the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.sensitivities.linear_model import linear_model
from eocausal.sensitivities.strengths import adjusted_std_error, robustness_value

COVARIATES = ["age", "farmer_dar", "herder_dar", "pastvoted", "hhsize_darfur", "female"]


@pytest.fixture(scope="module")
def darfur(shared: Path) -> ec.Design:
    table = pd.read_csv(shared / "data" / "darfur" / "darfur.csv")
    villages = pd.get_dummies(table["village"], drop_first=True, dtype=float)
    villages.columns = [f"village {place}" for place in range(villages.shape[1])]
    return ec.Design(
        pd.concat([table, villages], axis=1),
        outcome="peacefactor",
        treatment="directlyharmed",
        covariates=[*COVARIATES, *villages.columns],
        cluster="village",
    )


@pytest.fixture(scope="module")
def estimate(darfur: ec.Design) -> ec.Estimate:
    return ec.ate(darfur, method="ols", vcov="iid")


def test_the_regression(estimate: ec.Estimate) -> None:
    model = linear_model(estimate)
    found = ec.sensitivity(estimate, benchmark="female").numbers
    assert (estimate.n, model.df) == (1276, 783)
    assert estimate.estimate == pytest.approx(0.09731582, abs=5e-9)
    assert found["estimate"] == estimate.estimate
    assert found["std_error_classical"] == pytest.approx(0.02325654, abs=5e-9)
    assert found["estimate"] / found["std_error_classical"] == pytest.approx(4.18445, abs=5e-6)


def test_robustness_values(estimate: ec.Estimate) -> None:
    found = ec.sensitivity(estimate, benchmark="female").numbers
    assert found["partial_r2"] == pytest.approx(0.021873, abs=5e-7)
    assert found["extreme_robustness_value"] == pytest.approx(0.021873, abs=5e-7)
    assert found["robustness_value"] == pytest.approx(0.138776, abs=5e-7)
    # found by another programme in a search
    assert found["robustness_value"] == pytest.approx(0.13877654, abs=3e-7)
    assert found["robustness_value_two_sided_classical"] == pytest.approx(0.076258, abs=5e-7)
    half = ec.sensitivity(estimate, benchmark="female", q=0.5).numbers
    assert half["robustness_value"] == pytest.approx(0.072027, abs=5e-7)
    f = found["estimate"] / found["scale"]
    assert f**2 == pytest.approx(0.0223622, abs=5e-8)
    assert robustness_value(f) == found["robustness_value"]


def test_bounds_by_a_covariate(estimate: ec.Estimate) -> None:
    found = ec.sensitivity(estimate, benchmark="female")
    yardstick = found.curves["yardsticks"].iloc[0]
    assert yardstick["r2_treatment"] == pytest.approx(0.00908107, abs=5e-9)
    assert yardstick["r2_outcome"] == pytest.approx(0.10903392, abs=5e-9)
    printed = pd.DataFrame(
        [
            (0.009164287, 0.124640923, 0.075220271, 0.021873328, 3.438904, 0.032282966, 0.11815758),
            (0.018328573, 0.249324064, 0.052915172, 0.020350062, 2.600246, 0.012968035, 0.09286231),
            (0.027492860, 0.374050471, 0.030396023, 0.018670065, 1.628062, -0.006253282, 0.06704533),
        ],
        columns=["r2_treatment", "r2_outcome", "estimate", "error", "t", "low", "high"],
    )
    made = found.to_frame()
    assert made["times"].tolist() == [1, 2, 3]
    for name in ("r2_treatment", "r2_outcome", "estimate"):
        np.testing.assert_allclose(made[name], printed[name], rtol=0, atol=5.1e-10)
    np.testing.assert_allclose(made["std_error_classical"], printed["error"], rtol=0, atol=5.1e-10)
    statistic = made["estimate"] / made["std_error_classical"]
    np.testing.assert_allclose(statistic, printed["t"], rtol=0, atol=5.1e-7)
    # the printed intervals count a degree of freedom that the omitted variable takes
    printed_half = stats.t.ppf(0.975, 783) * made["std_error_classical"]
    np.testing.assert_allclose(made["estimate"] - printed_half, printed["low"], rtol=0, atol=5.1e-9)
    np.testing.assert_allclose(made["estimate"] + printed_half, printed["high"], rtol=0, atol=5.1e-9)
    half = stats.t.ppf(0.975, 782) * made["std_error_classical"]
    np.testing.assert_allclose(made["conf_low_classical"], made["estimate"] - half, rtol=1e-12)
    np.testing.assert_allclose(made["conf_high_classical"], printed["high"], rtol=0, atol=2e-7)


def test_both_directions_are_those_of_the_long_story(estimate: ec.Estimate) -> None:
    row = ec.sensitivity(estimate, benchmark="female").to_frame().iloc[0]
    assert row["estimate"] == pytest.approx(0.07522027, abs=5e-9)
    assert row["estimate_away"] == pytest.approx(0.11941137, abs=5e-9)


def test_errors_by_village_are_wider_and_change_no_bound(estimate: ec.Estimate) -> None:
    plain = ec.sensitivity(estimate, benchmark="female")
    by_village = ec.sensitivity(estimate.with_vcov("cluster"), benchmark="female")
    for name in ("robustness_value", "robustness_value_two_sided_classical", "scale", "times_female"):
        assert by_village.numbers[name] == plain.numbers[name]
    assert by_village.numbers["robustness_value_two_sided"] == pytest.approx(0.0539194, abs=5e-7)
    assert by_village.numbers["robustness_value_two_sided"] < plain.numbers["robustness_value_two_sided"]
    assert by_village.sentence == (
        "To bring the estimate to zero, unobserved confounders would have to explain 13.9% of what is left of both "
        "treatment and outcome, or 4.3 times as much of each as female does. From 5.4% of both on, or 1.7 times "
        "as much of each as female does, its 95% interval, clustered by village, would hold zero."
    )


def test_the_real_covariate_left_out_is_within_its_own_bound(darfur: ec.Design) -> None:
    """Without female, the bound by what female is moves the estimate by at least as much as female does."""
    short = ec.ate(darfur.without(["female"]), method="ols", vcov="iid")
    long = ec.ate(darfur, method="ols", vcov="iid")
    model = linear_model(long)
    yardstick = ec.sensitivity(long, benchmark="female").curves["yardsticks"].iloc[0]
    shares = {"r2_treatment": yardstick["r2_treatment"], "r2_outcome": yardstick["r2_outcome"]}
    found = ec.sensitivity(short, **shares).to_frame()
    row = found[found["benchmark"] == "given"].iloc[0]
    # one omitted column: its bias is known exactly, its sign aside
    assert min(abs(row["estimate"] - long.estimate), abs(row["estimate_away"] - long.estimate)) < 1e-10
    error = adjusted_std_error(
        ec.sensitivity(short, **shares).numbers["std_error_classical"], *shares.values(), df=model.df + 1
    )
    assert row["std_error_classical"] == pytest.approx(error, rel=1e-12)
    long_error = ec.sensitivity(long, benchmark="female").numbers["std_error_classical"]
    assert error == pytest.approx(long_error, rel=1e-9)
