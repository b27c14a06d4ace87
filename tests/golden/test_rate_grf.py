"""RATE and TOC against grf 2.6.1 on given scores and on forests' doubly robust scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

ODD_GRID = [0.0007, 0.013, 0.05, 1 / 3, 0.5, 0.777, 1]
REPLICATES = 2000
# Monte Carlo error of a standard error from R draws: 1 / sqrt(2 R) relative; four of them
MC_TOLERANCE = 4 / np.sqrt(2 * REPLICATES)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "rate_grf"


def _case(golden: Path, case: str, target: str) -> tuple[ec.evaluate.rate_result.Rate, pd.DataFrame]:
    scores = pd.read_csv(golden / "scores.csv")
    expected = pd.read_csv(golden / "scores_rate_expected.csv")
    expected = expected[(expected["case"] == case) & (expected["target"] == target)]
    names = [name for name in expected["priority"] if " - " not in name]
    result = ec.rate_from_scores(
        scores["dr_score"],
        {name: scores[name] for name in names},
        weights=scores["weight"] if expected["weights"].iloc[0] else None,
        clusters=scores["cluster"] if expected["clusters"].iloc[0] else None,
        target=target,
        grid=ODD_GRID if case.endswith("oddq") else None,
        integration="grf",
        std_errors="half_sample",
        replicates=REPLICATES,
        seed=1,
    )
    return result, expected.set_index("priority")


CASES = [
    "plain", "plain_oddq", "ties", "ties_oddq", "binary", "constant", "weights", "weights_oddq", "clusters",
    "weights_clusters_ties", "two", "two_weights_clusters_ties",
]  # fmt: skip


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
@pytest.mark.parametrize("case", CASES)
def test_estimates_and_toc_agree_with_grf(golden: Path, case: str, target: str) -> None:
    result, expected = _case(golden, case, target)
    estimates = result.rates.to_frame().set_index("term")["estimate"]
    assert len(estimates) == len(expected)
    for name, row in expected.iterrows():
        assert estimates[name] == pytest.approx(row["estimate"], abs=1e-10)
    toc = pd.read_csv(golden / "scores_toc_expected.csv")
    toc = toc[(toc["case"] == case) & (toc["target"] == target)]
    for name, curve in result.toc.groupby("priority"):
        reference = toc[toc["priority"] == name]["estimate"].to_numpy()
        np.testing.assert_allclose(curve["estimate"], reference, atol=1e-10)


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
@pytest.mark.parametrize("case", CASES)
def test_standard_errors_agree_with_grf_within_monte_carlo_error(
    golden: Path, case: str, target: str
) -> None:
    result, expected = _case(golden, case, target)
    errors = result.rates.to_frame().set_index("term")["std_error"]
    for name, row in expected.iterrows():
        assert errors[name] == pytest.approx(row["std_err_R20000"], rel=MC_TOLERANCE, abs=1e-12)
    toc = pd.read_csv(golden / "scores_toc_expected.csv")
    toc = toc[(toc["case"] == case) & (toc["target"] == target)]
    for name, curve in result.toc.groupby("priority"):
        reference = toc[toc["priority"] == name]["std_err_R20000"].to_numpy()
        np.testing.assert_allclose(curve["std_error"], reference, rtol=MC_TOLERANCE, atol=1e-12)


@pytest.mark.parametrize("case", ["plain", "weights", "clusters", "weights_clusters", "clusters_equalized"])
def test_forest_scores_give_grf_average_effect_and_rate(golden: Path, case: str) -> None:
    table = pd.read_csv(golden / f"forest_{case}.csv")
    expected = pd.read_csv(golden / "forest_expected.csv")
    expected = expected[expected["case"] == case]
    weights = table["weight"].to_numpy(dtype=float)
    if case == "clusters_equalized":
        weights = 1 / table.groupby("cluster")["id"].transform("size").to_numpy()
    clustered = "clusters" in case

    from eocausal.inference.scores import doubly_robust, mean_of_scores
    from eocausal.inference.variance import score_variance

    centred = table["w_hat"] * table["tau_hat"]
    control = (table["y_hat"] - centred).to_numpy()
    dr_scores = doubly_robust(
        table["Y"].to_numpy(),
        table["W"].to_numpy(dtype=float),
        propensity=table["w_hat"].to_numpy(),
        outcome_control=control,
        outcome_treated=control + table["tau_hat"].to_numpy(),
    )
    np.testing.assert_allclose(dr_scores, table["dr_score"], atol=1e-11)

    scored = mean_of_scores(dr_scores, weights)
    variance = score_variance(
        scored.scores[:, None],
        vcov="cluster" if clustered else "iid",
        clusters=table["cluster"].to_numpy() if clustered else None,
    )
    reference = expected[(expected["quantity"] == "ate_aipw") & (expected["term"] == "all")].iloc[0]
    assert scored.estimate == pytest.approx(reference["estimate"], abs=1e-11)
    assert np.sqrt(variance.matrix[0, 0]) == pytest.approx(reference["std_err"], rel=1e-9)

    for target in ("AUTOC", "QINI"):
        rows = expected[expected["quantity"] == f"rate_{target}_R2000"].set_index("term")
        result = ec.rate_from_scores(
            dr_scores,
            {"priority": table["priority"], "risk": table["risk"]},
            weights=weights,
            clusters=table["cluster"] if clustered else None,
            target=target,
            integration="grf",
            std_errors="half_sample",
            replicates=REPLICATES,
        )
        frame = result.rates.to_frame().set_index("term")
        for name in ("priority", "risk", "priority - risk"):
            assert frame["estimate"][name] == pytest.approx(rows["estimate"][name], abs=1e-10)
            assert frame["std_error"][name] == pytest.approx(rows["std_err"][name], rel=1.5 * MC_TOLERANCE)


def test_analytic_standard_error_is_close_to_the_half_sample_one(golden: Path) -> None:
    for case in ("plain", "weights", "clusters", "ties"):
        result, expected = _case(golden, case, "QINI")
        rates = result.rates.with_vcov("cluster" if case == "clusters" else "iid")
        assert rates.std_error == pytest.approx(expected["std_err_R20000"].iloc[0], rel=0.05)
