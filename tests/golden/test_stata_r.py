"""Average effects against Stata, statsmodels and published numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.inference import scores
from eocausal.inference.variance import score_variance
from tests.known_tables import SMOKING, WEIGHT, WITH_ZEROS, births, lalonde


@pytest.fixture(scope="module")
def birthweight() -> pd.DataFrame:
    return births()


def _design(table: pd.DataFrame, covariates: list[str], **options) -> ec.Design:
    return ec.Design(table, outcome="bweight", treatment="smoke", covariates=covariates, **options)


def test_difference_agrees_with_the_published_mean_difference(birthweight: pd.DataFrame) -> None:
    result = ec.ate(_design(birthweight, SMOKING), method="difference")
    assert result.estimate == pytest.approx(-275.2519, abs=1e-4)


def test_regression_agrees_with_stata_teffects_ra(birthweight: pd.DataFrame) -> None:
    result = ec.ate(_design(birthweight, WEIGHT), method="regression")
    assert result.estimate == pytest.approx(-239.639211, abs=1e-5)
    # Stata divides by n, where iid has n / (n - 1)
    n = len(birthweight)
    assert result.std_error * np.sqrt((n - 1) / n) == pytest.approx(23.824021, rel=1e-4)


def test_ipw_with_a_probit_propensity_agrees_with_stata_teffects_ipw(birthweight: pd.DataFrame) -> None:
    import statsmodels.api as sm

    rows = sm.add_constant(birthweight[SMOKING].astype(float))
    table = birthweight.assign(e=sm.Probit(birthweight["smoke"], rows).fit(disp=False).predict(rows))
    result = ec.ate(_design(table, SMOKING, propensity="e"), method="ipw")
    assert result.estimate == pytest.approx(-230.688638, abs=1e-3)
    # Stata's 25.815 adds the estimation of the probit; with the propensity taken as known it is larger here
    assert result.std_error > 25.815


def test_aipw_with_stata_nuisances_agrees_with_stata_teffects_aipw(birthweight: pd.DataFrame) -> None:
    import statsmodels.api as sm

    rows = sm.add_constant(birthweight[SMOKING].astype(float)).to_numpy()
    treatment = birthweight["smoke"].to_numpy(dtype=float)
    outcome = birthweight["bweight"].to_numpy(dtype=float)
    propensity = np.asarray(sm.Probit(treatment, rows).fit(disp=False).predict(rows))
    columns = sm.add_constant(birthweight[WEIGHT].astype(float)).to_numpy()
    arms = [treatment == 0, treatment == 1]
    fitted = [columns @ np.linalg.lstsq(columns[arm], outcome[arm])[0] for arm in arms]
    dr_scores = scores.doubly_robust(
        outcome, treatment, propensity=propensity, outcome_control=fitted[0], outcome_treated=fitted[1]
    )
    scored = scores.mean_of_scores(dr_scores, np.ones(outcome.size))
    assert scored.estimate == pytest.approx(-230.989201, abs=1e-3)
    error = np.sqrt(score_variance(scored.scores[:, None]).matrix[0, 0])
    # Stata's 26.210565 stacks the estimation of the nuisances, to which AIPW is insensitive only where both
    # models are right; the influence values alone give 25.386 here
    assert error == pytest.approx(26.210565, rel=0.04)


@pytest.mark.parametrize(("vcov", "options"), [("hetero", {"cov_type": "HC1"}), ("cluster", None)])
def test_difference_has_the_standard_errors_of_statsmodels_ols(
    birthweight: pd.DataFrame, vcov: str, options: dict | None
) -> None:
    import statsmodels.api as sm

    table = birthweight.assign(age_group=birthweight["mage"].astype(int))
    design = ec.Design(table, outcome="bweight", treatment="smoke", cluster="age_group")
    result = ec.ate(design, method="difference", vcov=vcov)
    ols = sm.OLS(table["bweight"], sm.add_constant(table["smoke"].astype(float)))
    options = options or {"cov_type": "cluster", "cov_kwds": {"groups": table["age_group"]}}
    fit = ols.fit(**options)
    assert result.estimate == pytest.approx(fit.params["smoke"], rel=1e-10)
    assert result.std_error == pytest.approx(fit.bse["smoke"], rel=1e-10)


def test_lalonde_experiment_gives_the_published_benchmark(shared: Path) -> None:
    table = pd.read_csv(shared / "data/lalonde/lalonde.csv")
    design = ec.Design(table[table["sample"] == "nsw_dw"], outcome="re78", treatment="treat")
    result = ec.ate(design, method="difference", vcov="hetero")
    assert result.estimate == pytest.approx(1794.34, abs=0.01)
    assert result.std_error == pytest.approx(670.82, abs=0.5)


def test_regression_outcome_model_agrees_with_the_published_lalonde_estimate(shared: Path) -> None:
    table = lalonde(shared, "cps_controls")
    rows = table[WITH_ZEROS].to_numpy(dtype=float)
    treatment = table["treat"].to_numpy(dtype=float)
    # the published estimate averages over the treated: centre the covariates there by giving the rest no pull
    weights = np.where(treatment == 1, 1.0, 1e-9)
    scored = scores.regression(
        table["re78"].to_numpy(dtype=float),
        treatment,
        weights,
        covariates=(rows - rows.mean(0)) / rows.std(0),
    )
    assert scored.estimate == pytest.approx(1133.275, abs=0.5)


def test_ldw_naive_difference_agrees_with_the_published_one(shared: Path) -> None:
    design = ec.Design(lalonde(shared, "cps_controls"), outcome="re78", treatment="treat")
    result = ec.ate(design, method="difference", vcov="hetero")
    assert result.estimate == pytest.approx(-8497.516, abs=0.01)
    assert result.std_error == pytest.approx(581.916, abs=0.1)


def test_uganda_difference_agrees_with_the_reference(shared: Path) -> None:
    table = pd.read_csv(shared / "data/uganda_yop/units.csv").set_index("unit_id")
    design = ec.Design(table, outcome="outcome", treatment="treated", cluster="image_key")
    clustered = ec.ate(design, method="difference")
    assert clustered.estimate == pytest.approx(0.7415, abs=5e-5)
    assert clustered.std_error == pytest.approx(0.0755, abs=5e-5)
    assert clustered.with_vcov("hetero").std_error == pytest.approx(0.0615, abs=5e-5)
    adjusted = ec.Design(
        table, outcome="outcome", treatment="treated", cluster="image_key", covariates=["x2", "x4", "x6"],
        missing="drop",
    )  # fmt: skip
    result = ec.ate(adjusted, method="regression")
    # uninteracted OLS gives 0.7472 (0.0768)
    assert result.estimate == pytest.approx(0.7472, abs=0.002)
    assert result.std_error == pytest.approx(0.0768, abs=0.001)
    assert result.n == 2075
