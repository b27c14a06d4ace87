"""Trials and worlds whose answer is known: printed differences, clustered errors, true effects, an experiment.

Numbers come with the data: Bruhn et al. (2016) schools in Brazil as in grf, Banerjee et al. (2015) households in
Pakistan, Hill's (2011) ihdp, and Dehejia and Wahba's sample of the NSW experiment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from tests.known_tables import WITH_ZEROS, lalonde


@pytest.fixture(scope="module")
def students(shared: Path) -> pd.DataFrame:
    table = pd.read_parquet(shared / "data/schoolrct_brazil/students.parquet")
    return table.assign(
        score=table["outcome_test_score"].astype(float), trained=table["treatment"].astype(int)
    )


def _schools(table: pd.DataFrame, **options: object) -> ec.Design:
    return ec.Design(table, outcome="score", treatment="trained", cluster="school", **options)


def test_students_of_one_school_are_not_independent(students: pd.DataFrame) -> None:
    found = ec.ate(_schools(students), method="difference")
    assert (found.n, found.n_clusters) == (17_299, 851)
    assert found.estimate == pytest.approx(4.330, abs=5e-4)
    assert found.std_error == pytest.approx(0.580, abs=5e-4)
    alone = found.with_vcov("iid")
    assert alone.std_error == pytest.approx(0.222, abs=5e-4)
    assert found.std_error / alone.std_error == pytest.approx(2.6, abs=0.05)


def test_the_clustered_error_is_that_of_statsmodels(students: pd.DataFrame) -> None:
    found = ec.ate(_schools(students), method="difference")
    columns = sm.add_constant(students[["trained"]].astype(float))
    groups = students["school"].astype(int)
    fitted = sm.OLS(students["score"], columns).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert found.estimate == pytest.approx(fitted.params["trained"], rel=1e-10)
    assert found.std_error == pytest.approx(fitted.bse["trained"], rel=1e-10)


def test_answers_before_training_narrow_the_interval_within_the_trial(students: pd.DataFrame) -> None:
    names = [name for name in students.columns if name not in ("outcome_test_score", "treatment", "school")]
    names = [name for name in names if name not in ("score", "trained")]
    assert len(names) == 13
    complete = students.dropna(subset=names)
    complete = complete.assign(**{name: complete[name].astype(float) for name in names})
    plain = ec.ate(_schools(complete), method="difference")
    asked = _schools(complete, covariates=names, propensity=0.5)
    for method in ("regression", "aipw"):
        found = ec.ate(asked, method=method)
        gap = found - plain
        assert abs(gap.estimate) < 2.5 * gap.std_error
        assert found.std_error < plain.std_error
    left = _schools(students.assign(**{name: students[name].astype(float) for name in names}), covariates=names,
                    missing="drop")  # fmt: skip
    assert len(left) == len(complete)
    assert any("left out" in text for text in ec.ate(left, method="regression").warnings)


PAKISTAN = {
    "asset_index_end": (0.3581, 0.0744),
    "asset_index_fup": (0.2427, 0.0756),
    "ctotal_pcmonth_end": (12.287, 3.753),
    "ctotal_pcmonth_fup": (6.014, 3.616),
    "index_foodsecurity_end": (0.084, 0.0665),
}


@pytest.mark.parametrize("outcome", PAKISTAN)
def test_the_graduation_programme_had_its_printed_effects(shared: Path, outcome: str) -> None:
    table = pd.read_csv(shared / "data/graduation_pakistan/households.csv", index_col="id_hh")
    found = ec.ate(ec.Design(table, outcome=outcome, treatment="treatment"), method="difference")
    estimate, std_error = PAKISTAN[outcome]
    assert (found.n, found.diagnostics["n_treated"]) == (854, 446)
    digits = 10.0 ** -len(str(estimate).partition(".")[2])
    assert found.estimate == pytest.approx(estimate, abs=0.6 * digits)
    # theirs divides by n - 1 within each arm, ours by n there and by n - 1 once
    arms = table.groupby("treatment")[outcome]
    assert np.sqrt((arms.var(ddof=1) / arms.size()).sum()) == pytest.approx(std_error, abs=0.6 * digits)
    ours = np.sqrt((arms.var(ddof=0) / arms.size()).sum() * 854 / 853)
    assert found.std_error == pytest.approx(ours, rel=1e-9)
    before = outcome.rsplit("_", 1)[0] + "_bsl"
    asked = ec.Design(table, outcome=outcome, treatment="treatment", covariates=[before], propensity=0.5)
    for method in ("regression", "aipw"):
        gap = ec.ate(asked, method=method) - found
        assert abs(gap.estimate) < 3 * gap.std_error


@pytest.fixture(scope="module")
def replications(shared: Path) -> pd.DataFrame:
    """For each world of ihdp: its truth, the difference in means, and two adjusted estimates."""
    table = pd.read_parquet(shared / "data/ihdp/ihdp_npci.parquet")
    rows = []
    for rep, part in table.groupby("rep"):
        part = part.set_index("unit_id")
        names = [f"x{k}" for k in range(1, 26)]
        asked = ec.Design(part, outcome="y_factual", treatment="treatment", covariates=names)
        row = {"rep": rep, "truth": float((part["mu1"] - part["mu0"]).mean())}
        for method in ("aipw", "regression"):
            found = ec.ate(asked, method=method)
            row |= {method: found.estimate, f"{method}_se": found.std_error}
        row["difference"] = ec.ate(asked, method="difference").estimate
        rows.append(row)
    return pd.DataFrame(rows).set_index("rep")


def test_ihdp_has_its_printed_truths(replications: pd.DataFrame) -> None:
    truths = [4.016, 4.051, 4.099, 4.274, 4.162, 4.004, 3.991, 3.854, 10.466]
    plain = [4.021, 4.081, 4.194, 4.272, 4.229, 4.131, 3.840, 3.657, 12.099]
    assert replications["truth"].round(3).tolist() == truths
    assert replications["difference"].round(3).tolist() == plain


@pytest.mark.parametrize("method", ["aipw", "regression"])
def test_adjusted_effects_hold_the_truth_of_ihdp(replications: pd.DataFrame, method: str) -> None:
    error = replications[method] - replications["truth"]
    covered = error.abs() <= 1.963 * replications[f"{method}_se"]
    print(replications.assign(error=error, covered=covered).round(3).to_string())
    # nine draws: 99.7% of the time seven or more intervals of 95% cover
    assert covered.sum() >= 7
    assert (error.abs() / replications[f"{method}_se"]).max() < 3.5
    plain = (replications["difference"] - replications["truth"]).abs()
    assert error.abs().mean() < plain.mean()


def test_the_experiment_gives_its_printed_difference(shared: Path) -> None:
    table = pd.read_csv(shared / "data/lalonde/lalonde.csv")
    for sample, estimate, std_error in (("nsw", 886.30, 488.20), ("nsw_dw", 1794.34, 671.00)):
        part = table[table["sample"] == sample].reset_index(drop=True)
        found = ec.ate(ec.Design(part, outcome="re78", treatment="treat"), method="difference")
        assert found.estimate == pytest.approx(estimate, abs=0.006)
        assert found.std_error == pytest.approx(std_error, rel=0.002)


@pytest.mark.parametrize("controls", ["cps_controls", "psid_controls"])
def test_aipw_on_the_treated_comes_nearer_to_the_experiment(shared: Path, controls: str) -> None:
    table = pd.read_csv(shared / "data/lalonde/lalonde.csv")
    trial = table[table["sample"] == "nsw_dw"].reset_index(drop=True)
    part = lalonde(shared, controls)
    truth = ec.ate(ec.Design(trial, outcome="re78", treatment="treat"), method="difference")
    asked = ec.Design(part, outcome="re78", treatment="treat", covariates=WITH_ZEROS)
    found = ec.ate(asked, estimand="att")
    naive = ec.ate(asked, method="difference")
    print(f"{controls}: naive {naive.estimate:.0f} aipw att {found.estimate:.0f} ({found.std_error:.0f}) "
          f"experiment {truth.estimate:.0f} ({truth.std_error:.0f})")  # fmt: skip
    assert naive.estimate < -8000
    assert abs(found.estimate - truth.estimate) < 0.2 * abs(naive.estimate - truth.estimate)
    # weighted like the treated, the 2,490 controls of the PSID are worth a dozen, and the result tells of it
    scarce = controls == "psid_controls"
    assert (found.diagnostics["ess_control"] < 30) == scarce
    assert any("propensity above 0.95" in text for text in found.warnings) == scarce
    low, high = found.ci()
    assert low < truth.estimate < high
