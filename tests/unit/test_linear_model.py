"""Each estimate is the coefficient of the regression it is read as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.sensitivities.benchmarks import Benchmark
from eocausal.sensitivities.linear_model import METHODS, LinearModel, linear_model
from eocausal.sensitivities.subject import one_estimate
from tests.studies import by_village, design, images, study

ROLES = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}


def _panel(**options: Any) -> ec.PanelDesign:
    table = ec.simulate_panel(n_regions=15, units_per_region=2, effect=0.6, seed=4).frame
    rng = np.random.default_rng(1)
    table = table.assign(rain=rng.normal(size=len(table)), weight=rng.uniform(0.5, 2, size=len(table)))
    # a panel with holes
    return ec.PanelDesign(table.drop(index=[3, 17, 40]), **{**ROLES, "covariates": ["rain"], **options})


def _coefficient(model: LinearModel) -> tuple[float, float]:
    """The coefficient and its classical error, with the degrees of freedom that the model says."""
    fit = sm.OLS(model.outcome, np.column_stack([model.treatment, model.columns])).fit()
    return float(fit.params[0]), float(np.sqrt(fit.ssr / model.df * fit.normalized_cov_params[0, 0]))


CASES: dict[str, Any] = {
    "ols": lambda: ec.ate(design(study(), weights="weight"), method="ols"),
    "ols with features": lambda: ec.ate(design(by_village(), features=images(width=14)), method="ols"),
    "difference": lambda: ec.ate(design(study(), weights="weight"), method="difference"),
    "regression": lambda: ec.ate(design(study(), weights="weight"), method="regression"),
    "regression, att": lambda: ec.ate(design(study()), method="regression", estimand="att"),
    "regression, atc": lambda: ec.ate(design(study(), weights="weight"), method="regression", estimand="atc"),
    "twfe": lambda: ec.panel(_panel(), method="twfe"),
    "twfe, weights": lambda: ec.panel(_panel(weights="weight"), method="twfe"),
}


@pytest.mark.parametrize("name", [*CASES])
def test_least_squares_of_the_arrays_gives_the_estimate(name: str) -> None:
    estimate = CASES[name]()
    model = linear_model(estimate)
    assert _coefficient(model)[0] == pytest.approx(estimate.estimate, rel=1e-9)
    assert (model.roots**2).mean() == pytest.approx(1.0)
    assert len(model.of) == model.columns.shape[1]


@pytest.mark.parametrize("term", ["event -2", "event 0", "event 1"])
def test_other_terms_of_an_event_study_are_controls(term: str) -> None:
    estimate = ec.panel(_panel(weights="weight"), method="event_study")
    one = one_estimate(estimate, term)
    model = linear_model(one)
    assert _coefficient(model)[0] == pytest.approx(estimate.values[estimate.terms.index(term)], rel=1e-9)
    assert model.of.count("") == len(estimate.terms) - 1
    assert model.of[-1] == "rain"


def test_a_window_is_kept() -> None:
    estimate = ec.panel(_panel(), method="event_study", window=(-2, 1))
    one = one_estimate(estimate, "event >= 1")
    assert _coefficient(linear_model(one))[0] == pytest.approx(one.estimate, rel=1e-9)


@pytest.mark.parametrize("weights", [None, "weight"])
def test_degrees_of_freedom_and_errors_are_those_of_the_regression_on_dummies(weights: str | None) -> None:
    estimate = ec.panel(_panel(weights=weights), method="twfe")
    model, table = linear_model(estimate), estimate.origin.entered.table
    labels = pd.DataFrame({"unit": table.unit_codes, "step": table.steps}).astype(str)
    dummies = pd.get_dummies(labels, drop_first=True, dtype=float)
    columns = np.column_stack([np.ones(len(table.unit)), table.treatment, table.covariates, dummies])
    fit = sm.WLS(table.outcome, columns, weights=table.weights).fit()
    assert model.df == fit.df_resid
    assert _coefficient(model) == pytest.approx((fit.params[1], fit.bse[1]), rel=1e-8)
    assert model.absorbed


def test_degrees_of_freedom_of_cross_sections() -> None:
    asked = design(by_village(), features=images(width=14), weights="weight")
    expected = {"ols": 120 - 2 - 2 - 10, "regression": 120 - 2 - 4, "difference": 120 - 2}
    for method, df in expected.items():
        model = linear_model(ec.ate(asked, method=method))
        assert model.df == df
        assert not model.absorbed


def test_columns_know_what_they_were_read_from() -> None:
    table = by_village()
    # names that begin alike, levels of text, and a name that looks like a component
    table["region"] = np.resize(["north", "south", "west"], 120)
    table["region[2]"] = np.arange(120.0) ** 2
    table["f component 1"] = np.random.default_rng(4).normal(size=120)
    asked = design(
        table, covariates=["age", "region", "region[2]", "f component 1"], features=images(width=3)
    )
    estimate = ec.ate(asked, method="ols")
    model = linear_model(estimate)
    (block,) = asked.table.feature_blocks
    assert model.of == ("", "age", "region", "region", "region[2]", "f component 1", *[block] * 3)
    assert model.members(Benchmark("region", ("region",)), (block,)).nonzero()[0].tolist() == [2, 3]
    assert model.members(Benchmark("features", features=True), (block,)).nonzero()[0].tolist() == [6, 7, 8]
    assert model.members(Benchmark("f", blocks=(block,)), (block,)).sum() == 3


def test_columns_that_follow_from_others_leave_residuals_alone() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(50, 3))
    doubled = np.column_stack([columns, columns[:, 0] - 2 * columns[:, 1], np.zeros(50)])
    values = rng.normal(size=(50, 2))
    one, other = (
        LinearModel(values[:, 0], values[:, 1], part, ("",) * part.shape[1], 40, np.ones(50))
        for part in (columns, doubled)
    )
    direct = values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    np.testing.assert_allclose(one.residuals(values), direct, atol=1e-12)
    np.testing.assert_allclose(other.residuals(values), direct, atol=1e-12)
    np.testing.assert_allclose(one.residuals(values, np.zeros(3, dtype=bool)), values)


def test_other_methods_are_no_regression() -> None:
    estimate = ec.ate(design(study(), propensity="p"), method="ipw")
    with pytest.raises(SensitivityError, match=rf"'ipw'(.|\n)*{', '.join(METHODS)}(.|\n)*method='ols'"):
        linear_model(estimate)


def test_without_places_there_is_no_surface() -> None:
    model = linear_model(ec.ate(design(study()), method="ols"))
    with pytest.raises(SensitivityError, match="knows no coordinates"):
        model.with_coordinates()
