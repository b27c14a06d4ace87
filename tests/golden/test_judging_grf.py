"""Best linear projection, test of calibration and averages against grf 2.6.1, from the outputs of its forests.

Estimates agree to 1e-8 and standard errors to 1e-6, both relative. Not compared are grf's averages of treated and
controls: it divides its correction by the sum of the weights in each arm, which the score of ``ec.ate`` does not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.inference.least_squares import hc3_matrix, least_squares
from tests.judged import given_cate

CASES = ["plain", "weights", "clusters", "weights_clusters", "clusters_equalized"]
# HC0 differs from HC1 by a factor of counts alone
PROJECTIONS = {
    "blp_HC3_none": (None, "all", "HC3"),
    "blp_HC3_X1_X2": (["X1", "X2"], "all", "HC3"),
    "blp_HC1_X1_X2": (["X1", "X2"], "all", "HC1"),
    "blp_HC3_X1_X2_overlap": (["X1", "X2"], "overlap", "HC3"),
}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "rate_grf"


def _table(golden: Path, case: str) -> pd.DataFrame:
    table = pd.read_csv(golden / f"forest_{case}.csv").rename(columns={"W": "treatment", "Y": "outcome"})
    if case == "clusters_equalized":
        table["weight"] = 1 / table.groupby("cluster")["id"].transform("size")
    return table.set_index("id")


def _cate(table: pd.DataFrame, case: str) -> ec.Cate:
    """Return outputs of grf as effects by unit in one fold, which makes them those of one sample, as in grf."""
    return given_cate(
        table,
        effects=table["tau_hat"].to_numpy(),
        outcome_mean=table["y_hat"].to_numpy(),
        propensity=table["w_hat"].to_numpy(),
        weights="weight",
        **({"cluster": "cluster"} if "clusters" in case else {}),
    )


def _expected(golden: Path, case: str, quantity: str) -> pd.DataFrame:
    found = pd.read_csv(golden / "forest_expected.csv")
    found = found[(found["case"] == case) & (found["quantity"] == quantity)]
    assert len(found)
    return found


def _hc1(case: str) -> str:
    return "cluster" if "clusters" in case else "hetero"


def _agree(estimate: np.ndarray, error: np.ndarray, expected: pd.DataFrame) -> None:
    np.testing.assert_allclose(estimate, expected["estimate"], rtol=1e-8)
    np.testing.assert_allclose(error, expected["std_err"], rtol=1e-6)


@pytest.mark.parametrize("quantity", list(PROJECTIONS))
@pytest.mark.parametrize("case", CASES)
def test_best_linear_projection_agrees_with_grf(golden: Path, case: str, quantity: str) -> None:
    cate = _cate(_table(golden, case), case)
    on, whom, kind = PROJECTIONS[quantity]
    found = ec.best_linear_projection(cate, on=on, whom=whom, vcov=kind if kind == "HC3" else _hc1(case))
    _agree(np.atleast_1d(found.estimate), np.atleast_1d(found.std_error), _expected(golden, case, quantity))


@pytest.mark.parametrize("case", CASES)
def test_projection_of_some_units_agrees_with_grf(golden: Path, case: str) -> None:
    table = _table(golden, case)
    found = ec.best_linear_projection(_cate(table[table["X5"] > 0], case), on=["X1", "X2"])
    _agree(found.estimate, found.std_error, _expected(golden, case, "blp_HC3_X1_X2_subset_X5_gt_0"))


@pytest.mark.parametrize("kind", ["HC3", "HC1"])
@pytest.mark.parametrize("case", CASES)
def test_calibration_agrees_with_grf(golden: Path, case: str, kind: str) -> None:
    cate = _cate(_table(golden, case), case)
    vcov = kind if kind == "HC3" else _hc1(case)
    found = ec.calibration(cate, effects="out_of_fold", vcov=vcov)
    expected = _expected(golden, case, f"calibration_{kind}")
    _agree(found.estimate, found.std_error, expected)
    if "clusters" not in case:
        # grf's p-values are one-sided, with the same degrees of freedom where there are no clusters
        assert found.tests()["p_value"][1] == pytest.approx(expected["p_value"].iloc[1], rel=1e-6)
    assert found.diagnostics["regressions"] == 1


@pytest.mark.parametrize("case", CASES)
def test_averages_agree_with_grf(golden: Path, case: str) -> None:
    table = _table(golden, case)
    expected = _expected(golden, case, "ate_aipw").set_index("term")
    for term, rows in (("all", table), ("all [X5 > 0]", table[table["X5"] > 0])):
        average = _cate(rows, case).average
        assert average.estimate == pytest.approx(expected["estimate"][term], rel=1e-8)
        assert average.std_error == pytest.approx(expected["std_err"][term], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_average_of_the_overlap_agrees_with_grf(golden: Path, case: str) -> None:
    table = _table(golden, case)
    weights = table["weight"].to_numpy(dtype=float)
    outcome, treatment = (table["outcome"] - table["y_hat"]), (table["treatment"] - table["w_hat"])
    # grf's residuals on residuals have a constant
    columns = np.column_stack([np.ones(len(table)), treatment])
    fit = least_squares(outcome.to_numpy(), columns, weights)
    expected = _expected(golden, case, "ate_aipw").set_index("term").loc["overlap"]
    assert fit.coefficients[1] == pytest.approx(expected["estimate"], rel=1e-8)
    if "clusters" in case:
        from eocausal.inference.variance import score_variance

        labels = table["cluster"].to_numpy()
        matrix = score_variance(fit.scores, vcov="cluster", clusters=labels, n_params=2).matrix
    else:
        matrix = hc3_matrix(fit)
    assert np.sqrt(matrix[1, 1]) == pytest.approx(expected["std_err"], rel=1e-6)
