"""One regression on treatment, covariates and components: statsmodels' figures, doses, weights, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from eocausal.effects.coefficients import model_columns
from eocausal.errors import EstimationError
from eocausal.nuisance.settings import Settings
from tests.studies import by_village, design, images, study


def _direct(asked: ec.Design, columns: np.ndarray | None = None) -> Any:
    table = asked.table
    columns = table.covariates if columns is None else columns
    everything = np.column_stack([np.ones(len(asked)), table.assigned, columns])
    return sm.WLS(table.outcome, everything, weights=table.weights)


@pytest.mark.parametrize("weights", [None, "weight"])
def test_coefficient_and_errors_are_those_of_statsmodels(weights: str | None) -> None:
    asked = design(study(150, selected=True), weights=weights, cluster="village")
    fit, found = _direct(asked), ec.ate(asked, method="ols")
    plain = fit.fit()
    assert found.estimate == pytest.approx(plain.params[1], rel=1e-10)
    assert found.estimand == "ols coefficient"
    hetero = found.with_vcov("hetero")
    assert hetero.std_error == pytest.approx(fit.fit(cov_type="HC1").bse[1], rel=1e-9)
    assert hetero.variance.df == 150 - 4
    # iid keeps rows independent with the factor n / (n - 1), and does not take their errors as alike
    hc0 = fit.fit(cov_type="HC0").bse[1]
    assert found.with_vcov("iid").std_error == pytest.approx(hc0 * np.sqrt(150 / 149), rel=1e-9)
    codes = asked.table.clusters
    clustered = fit.fit(cov_type="cluster", cov_kwds={"groups": codes}).bse[1]
    assert found.std_error == pytest.approx(clustered, rel=1e-9)
    assert found.vcov == "cluster(village)"
    assert found.diagnostics["r2"] == pytest.approx(plain.rsquared, rel=1e-9)


def test_features_enter_as_leading_components() -> None:
    asked = design(by_village(), features=images(width=14))
    columns = model_columns(asked, Settings(ec.Folds(), ec.Learners(pca=10), 0)).values
    assert columns.shape == (120, 12)
    found = ec.ate(asked, method="ols", vcov="hetero")
    assert found.estimate == pytest.approx(_direct(asked, columns).fit().params[1], rel=1e-10)
    assert found.std_error == pytest.approx(_direct(asked, columns).fit(cov_type="HC1").bse[1], rel=1e-9)
    assert found.diagnostics["columns"] == 12
    assert found.diagnostics["pca"] == 10
    # of components made by hand, the same
    features = asked.table.features.astype(float)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    by_hand = np.linalg.svd(scaled, full_matrices=False)
    parts = by_hand[0][:, :10] * by_hand[1][:10]
    direct = _direct(asked, np.column_stack([asked.table.covariates, parts])).fit()
    assert found.estimate == pytest.approx(direct.params[1], rel=1e-7)
    few = ec.ate(asked, method="ols", learners=ec.Learners(pca=3))
    assert few.diagnostics["columns"] == 5


def test_a_dose_has_the_coefficient_of_one_more_unit() -> None:
    table = study(200, seed=3)
    rng = np.random.default_rng(2)
    table["grant"] = table["age"] + rng.normal(size=200)
    table["income"] = 0.7 * table["grant"] + table["wealth"] + 0.1 * rng.normal(size=200)
    asked = design(table, treatment_type="continuous")
    found = ec.ate(asked, method="ols")
    assert found.estimate == pytest.approx(_direct(asked).fit().params[1], rel=1e-10)
    assert found.estimate == pytest.approx(0.7, abs=0.05)
    assert found.estimand == "ols coefficient"


def test_where_effects_differ_it_weighs_them_by_the_variance_that_is_left() -> None:
    """Two strata with known shares: the coefficient is the average by share times (1 - share)."""
    stratum = np.repeat([0.0, 1.0], [100, 100])
    grant = np.concatenate([np.arange(100) < 50, np.arange(100) < 10]).astype(int)
    income = stratum + grant * np.where(stratum == 1, 5.0, 1.0)
    table = pd.DataFrame({"income": income, "grant": grant, "stratum": stratum})
    found = ec.ate(
        ec.Design(table, outcome="income", treatment="grant", covariates=["stratum"]), method="ols"
    )
    weights = np.array([0.5 * 0.5, 0.1 * 0.9])
    assert found.estimate == pytest.approx(weights @ [1, 5] / weights.sum(), rel=1e-10)
    assert any("weights the variance of treatment" in text for text in found.assumptions)


def test_without_columns_it_is_the_difference_in_means() -> None:
    asked = design(study(150), covariates=[], weights="weight")
    one, other = (ec.ate(asked, method=method) for method in ("ols", "difference"))
    assert one.estimate == pytest.approx(other.estimate, rel=1e-10)
    np.testing.assert_allclose(one.score_values, other.score_values, atol=1e-10)


def test_columns_that_do_not_vary_are_left_out_and_named() -> None:
    table = by_village()
    frame = pd.DataFrame(
        {"village": np.arange(24), "f0": 1.0, "f1": np.arange(24.0), "f2": np.arange(24.0) ** 2}
    )
    pictures = ec.read_embeddings(frame, key="village")
    found = ec.ate(design(table, features=pictures), method="ols")
    assert any("1 column does not vary among the units and was left out" in text for text in found.warnings)
    assert found.diagnostics["columns"] == 4


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            lambda table: table.assign(twice=2 * table["age"]),
            {"covariates": ["age", "wealth", "twice"]},
            r"collinear \(120 units\)(.|\n)*Where: 1 \((age|twice)\)",
        ),
        (
            lambda table: table.assign(same=table["grant"] + table["age"]),
            {"covariates": ["age", "same"]},
            r"leave nothing of 'grant' to compare \(120 units\)",
        ),
    ],
)
def test_columns_that_follow_from_others_are_refused(
    change: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.ate(design(change(study()), **options), method="ols")


def test_more_components_than_the_pictures_tell_apart_are_refused_or_left_out() -> None:
    asked = design(by_village(120, n_villages=24), features=images(width=40))
    with pytest.raises(EstimationError, match=r"leave nothing of 'grant'(.|\n)*pca=5"):
        ec.ate(asked, method="ols", learners=ec.Learners(pca=23))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"estimand": "att"}, r"no estimand='att'(.|\n)*variance of treatment"),
        ({"trim": ec.Trim("fixed", low=0.1, high=0.9)}, "no propensity to trim by"),
        ({"folds": ec.Folds(repeats=3)}, "makes no out-of-fold predictions"),
    ],
)
def test_what_it_does_not_have_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.ate(design(study()), method="ols", **options)


def test_several_arms_have_no_one_coefficient() -> None:
    table = study()
    table["grant"] = np.tile(["none", "small", "large"], 40)
    with pytest.raises(EstimationError, match="not defined for a treatment that is categorical"):
        ec.ate(design(table, treatment_type="categorical", control="none"), method="ols")
