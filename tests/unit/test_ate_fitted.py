"""Fitted propensities, Horvitz-Thompson, the balancing logit and the partially linear model on designs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference import scores
from eocausal.inference.parametric import fit_propensity
from eocausal.inference.stacked import expanded_difference, normalised_difference, stack
from eocausal.inference.tilting import ESTIMANDS
from eocausal.nuisance.pooled import expected_out_of_fold, outcome_over_arms
from tests.studies import FAST, THREE, by_village, design, images, study

LOGIT, PROBIT = ec.Learners(propensity="logit"), ec.Learners(propensity="probit")
DIFFERENCES = {"ipw": normalised_difference, "horvitz_thompson": expanded_difference}


def _warned(found: ec.Estimate, words: str) -> bool:
    return any(words in text for text in found.warnings)


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("learners", [LOGIT, PROBIT], ids=["logit", "probit"])
@pytest.mark.parametrize("method", ["ipw", "horvitz_thompson"])
def test_fitted_propensities_enter_with_their_error(
    method: str, learners: ec.Learners, estimand: str
) -> None:
    asked = design(study(300, selected=True), weights="weight", cluster="village")
    table = asked.table
    found = ec.ate(asked, method=method, estimand=estimand, learners=learners)
    fitted = fit_propensity(table.covariates, table.treatment, table.weights, model=learners.parametric)
    scored, pull = DIFFERENCES[method](
        table.outcome, table.treatment, table.weights, propensity=fitted.propensity, estimand=estimand
    )
    assert found.estimate == pytest.approx(scored.estimate, rel=1e-9)
    np.testing.assert_allclose(
        found.score_values[:, 0], stack(scored, pull, fitted).scores, rtol=1e-6, atol=1e-9
    )
    assert np.abs(found.score_values[:, 0] - scored.scores).max() > 1e-3
    assert found.n_params == 4
    assert found.diagnostics["propensity"].startswith(learners.parametric)
    assert any("is the right form of the propensity" in text for text in found.assumptions)
    assert not _warned(found, "takes it as known")
    for vcov in ("iid", "hetero", "cluster", {"cluster": "village"}):
        assert found.with_vcov(vcov).std_error > 0


def test_a_learned_propensity_still_warns_and_names_both_ways_out() -> None:
    asked = design(study(selected=True))
    for method in DIFFERENCES:
        found = ec.ate(asked, method=method, learners=FAST, folds=THREE)
        told = [text for text in found.warnings if "no valid interval in general" in text]
        assert len(told) == 1
        assert "method='aipw'" in told[0]
        assert "Learners(propensity='logit')" in told[0]
        assert found.diagnostics["propensity"] == "learned out of fold"


def test_a_known_propensity_is_used_whatever_the_learner() -> None:
    asked = design(study(selected=True), propensity="p")
    plain, fitted = ec.ate(asked, method="ipw"), ec.ate(asked, method="ipw", learners=LOGIT)
    assert fitted.estimate == plain.estimate
    assert fitted.diagnostics["propensity"] == "known"
    assert _warned(fitted, "the design knows the propensity")


def test_without_covariates_a_fitted_propensity_is_the_share_and_all_weighting_the_difference() -> None:
    asked = design(study(), covariates=[])
    plain = ec.ate(asked, method="difference")
    for method in DIFFERENCES:
        found = ec.ate(asked, method=method, learners=LOGIT)
        assert found.estimate == pytest.approx(plain.estimate, rel=1e-12)
        # the stacked error is that of the difference in means, whose arms have sizes that were drawn
        np.testing.assert_allclose(found.score_values, plain.score_values, rtol=1e-9, atol=1e-9)


def test_features_become_components_and_learners_may_see_only_some_columns() -> None:
    asked = design(study(selected=True), features=images())
    seen = {"both": 9, "covariates": 3, "features": 7}
    for columns, n_coefficients in seen.items():
        found = ec.ate(asked, method="ipw", learners=ec.Learners(propensity="logit", columns=columns))
        assert found.n_params == 1 + n_coefficients
        said = found.assumptions[0]
        assert ("covariates" in said, "image features" in said) == (
            columns != "features",
            columns != "covariates",
        )
        balanced = ec.ate(asked, method="cbps", learners=ec.Learners(columns=columns))
        assert balanced.diagnostics["balanced_columns"] == n_coefficients - 1
        entropy = ec.ate(asked, method="entropy_balancing", learners=ec.Learners(columns=columns))
        assert entropy.diagnostics["balanced_columns"] == n_coefficients - 1


def test_many_coefficients_warn() -> None:
    asked = design(study(selected=True), features=images(width=8))
    words = "columns in the propensity for"
    assert _warned(ec.ate(asked, method="ipw", learners=LOGIT), words)
    assert not _warned(ec.ate(design(study(selected=True)), method="ipw", learners=LOGIT), words)


@pytest.mark.parametrize(("method", "learners"), [("ipw", LOGIT), ("ipw", PROBIT), ("cbps", None)])
def test_collinear_covariates_are_refused_by_name(method: str, learners: ec.Learners | None) -> None:
    table = study(selected=True).assign(older=lambda t: 2 * t["age"] + t["wealth"])
    asked = design(table, covariates=["age", "wealth", "older"])
    with pytest.raises(EstimationError, match=r"collinear[\s\S]*1 \((age|wealth|older)\)[\s\S]*leave"):
        ec.ate(asked, method=method, learners=learners)


@pytest.mark.parametrize(
    ("method", "learners", "words"),
    [
        ("ipw", LOGIT, r"The logit with 2 columns[\s\S]*1 \(age\)[\s\S]*penalised_logit"),
        ("horvitz_thompson", PROBIT, r"The probit with 2 columns[\s\S]*no combination of the columns tells"),
        ("cbps", None, r"The balancing logit with 2 columns[\s\S]*1 \(age\)[\s\S]*aipw"),
    ],
)
def test_arms_that_a_column_tells_apart_are_refused_by_name(
    method: str, learners: ec.Learners | None, words: str
) -> None:
    table = study(200)
    table["age"] = table["grant"] + (table["age"] > 0)  # 0 or 1 for controls, 1 or 2 for treated
    with pytest.raises(EstimationError, match=words):
        ec.ate(design(table), method=method, learners=learners)


def test_columns_that_only_together_tell_the_arms_apart_are_refused() -> None:
    table = study(200)
    table["age"] = np.where(table["grant"] == 1, 1.0, -1.0) * (0.1 + np.abs(table["age"])) - table["wealth"]
    with pytest.raises(EstimationError, match="no combination of the columns tells the arms apart"):
        ec.ate(design(table), method="ipw", learners=LOGIT)


def test_after_trimming_the_propensity_is_fitted_again_to_those_kept() -> None:
    table = study(400, selected=True)
    table["age"] = 1.5 * table["age"]
    asked, trim = design(table), ec.Trim("fixed", low=0.25, high=0.75)
    found = ec.ate(asked, method="ipw", learners=LOGIT, trim=trim)
    assert found.estimand == "ate (trimmed)"
    assert found.n < 400
    kept = np.isin(asked.table.ids, found.ids)
    once = fit_propensity(asked.table.covariates, asked.table.treatment, asked.table.weights, model="logit")
    np.testing.assert_array_equal(kept, (once.propensity >= 0.25) & (once.propensity <= 0.75))
    again = ec.ate(asked.take(kept), method="ipw", learners=LOGIT)
    assert found.estimate == pytest.approx(again.estimate, rel=1e-10)
    assert found.std_error == pytest.approx(again.std_error, rel=1e-10)
    assert any("fitted again to the units that trimming kept" in text for text in found.assumptions)
    assert _warned(found, "trimming (fixed) left out")


def test_horvitz_thompson_by_hand_with_weights_that_are_not_normalised() -> None:
    table = study(selected=True)
    found = ec.ate(design(table, propensity="p", weights="weight"), method="horvitz_thompson")
    t, p, y, w = (table[name].to_numpy() for name in ("grant", "p", "income", "weight"))
    by_hand = (w * (t / p - (1 - t) / (1 - p)) * y).sum() / w.sum()
    assert found.estimate == pytest.approx(by_hand, rel=1e-12)
    uneven = (w * (t / p - (1 - t) / (1 - p))).sum() / w.sum()
    assert _warned(found, f"adding 1 to every outcome would move this estimate by {uneven:.3f}")
    assert not _warned(ec.ate(design(table, propensity="p"), method="ipw"), "adding 1")
    share = np.average(t, weights=w)
    stabilised = np.where(t == 1, share / p, (1 - share) / (1 - p))
    assert found.diagnostics["stabilised_weight_mean"] == pytest.approx(np.average(stabilised, weights=w))
    assert found.diagnostics["stabilised_weight_max"] == pytest.approx(stabilised.max())


def test_horvitz_thompson_is_hajek_where_totals_agree() -> None:
    table = study(selected=True).assign(old=lambda t: (t["age"] > 0).astype(int))
    asked = design(table, covariates=["old"])
    # a saturated logit weighs each arm to all units
    found = [ec.ate(asked, method=method, learners=LOGIT) for method in DIFFERENCES]
    assert found[0].estimate == pytest.approx(found[1].estimate, rel=1e-10)
    np.testing.assert_allclose(found[0].score_values, found[1].score_values, rtol=1e-7, atol=1e-8)
    assert not _warned(found[1], "adding 1")


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_balancing_logit_balances_what_it_is_given(estimand: str) -> None:
    asked = design(
        by_village(480, n_villages=96), features=images(96, width=30), weights="weight", cluster="village"
    )
    found = ec.ate(asked, method="cbps", estimand=estimand)
    assert found.diagnostics["balanced_columns"] == 12
    assert found.diagnostics["pca"] == 10
    assert found.diagnostics["largest_smd_after_weighting"] < 1e-12
    assert found.diagnostics["ess_treated"] <= found.diagnostics["n_treated"]
    table = asked.table
    gaps = [
        np.average(
            table.covariates[table.treatment == arm], axis=0, weights=found.weights[table.treatment == arm]
        )
        for arm in (0, 1)
    ]
    np.testing.assert_allclose(gaps[0], gaps[1], atol=1e-12)
    assert found.n_clusters == 96


def test_balancing_logit_is_exact_where_the_outcome_is_linear() -> None:
    table = study(200, selected=True)
    table["income"] = 3 + 2 * table["age"] - table["wealth"] + 1.5 * table["grant"]
    for estimand in ESTIMANDS:
        found = ec.ate(design(table), method="cbps", estimand=estimand)
        assert found.estimate == pytest.approx(1.5, abs=1e-10)
        assert found.std_error == pytest.approx(0, abs=1e-9)


def test_balancing_logit_of_the_overlap_is_the_likelihoods() -> None:
    asked = design(study(selected=True), weights="weight")
    found = ec.ate(asked, method="cbps", estimand="ato")
    weighted = ec.ate(asked, method="ipw", estimand="ato", learners=LOGIT)
    assert found.estimate == pytest.approx(weighted.estimate, rel=1e-12)
    np.testing.assert_allclose(found.score_values, weighted.score_values, rtol=1e-9, atol=1e-12)
    assert found.n_params == weighted.n_params


def test_balancing_logit_on_the_treated_is_entropy_balancing() -> None:
    asked = design(study(300, selected=True), weights="weight", cluster="village")
    for estimand in ("att", "atc"):
        found = ec.ate(asked, method="cbps", estimand=estimand)
        entropy = ec.ate(asked, method="entropy_balancing", estimand=estimand)
        assert found.estimate == pytest.approx(entropy.estimate, rel=1e-9)
        np.testing.assert_allclose(found.score_values, entropy.score_values, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found.weights, entropy.weights, rtol=1e-6)


def test_the_balancing_logit_refuses_what_it_cannot() -> None:
    with pytest.raises(EstimationError, match="no covariates and no features to balance"):
        ec.ate(design(study(), covariates=[]), method="cbps")
    with pytest.raises(EstimationError, match=r"all units balance[\s\S]*leave trim= out"):
        ec.ate(design(study()), method="cbps", trim=ec.Trim("crump"))


def test_few_effective_units_are_told_by_the_balancing_logit_too() -> None:
    table = study(200, selected=True)
    table["age"] = table["age"] + table["grant"]
    found = ec.ate(design(table), method="cbps", estimand="att")
    assert found.diagnostics["ess_control"] < 30
    assert _warned(found, "units are worth")


def test_partially_linear_means_the_overlap_unless_told() -> None:
    asked = design(study(300, selected=True), weights="weight", cluster="village")
    found = ec.ate(asked, method="partially_linear", learners=FAST, folds=THREE)
    assert found.estimand == "ato"
    assert found == ec.ate(asked, method="partially_linear", estimand="ato", learners=FAST, folds=THREE)
    assert any("their average has weights e (1 - e)" in text for text in found.assumptions)
    assert 0 < found.diagnostics["r2_outcome"] < 1
    aipw = ec.ate(asked, estimand="ato", learners=FAST, folds=THREE)
    assert found.estimate == pytest.approx(aipw.estimate, abs=0.5 * aipw.std_error)
    np.testing.assert_allclose(found.weights, aipw.weights)


def test_partially_linear_with_a_known_propensity_and_nothing_to_predict_from() -> None:
    table = study()
    found = ec.ate(design(table, covariates=[], propensity=0.5), method="partially_linear", folds=THREE)
    folds = THREE.assign(design(table), seed=0)
    income = table["income"].to_numpy()
    predicted = np.array([income[folds != fold].mean() for fold in folds])
    left = table["grant"].to_numpy() - 0.5
    assert found.estimate == pytest.approx(4 * np.mean((income - predicted) * left), rel=1e-12)
    assert found.diagnostics["propensity"] == "known"


def test_partially_linear_trims_in_the_open() -> None:
    asked = design(study(400, selected=True), propensity="p")
    found = ec.ate(asked, method="partially_linear", trim=ec.Trim("fixed", low=0.3, high=0.7), folds=THREE)
    assert found.estimand == "ato (trimmed)"
    assert found.n == int(((asked.table.propensity >= 0.3) & (asked.table.propensity <= 0.7)).sum())


def test_the_outcome_is_predicted_as_it_is_for_doses() -> None:
    asked = design(study(), features=images(), weights="weight")
    options = {"learners": ec.Learners(), "seed": 3, "groups": asked.groups}
    folds = THREE.assign(asked, seed=3)
    found, _ = outcome_over_arms(asked, folds, **options, propensity=np.full(120, 0.5))
    np.testing.assert_array_equal(found, expected_out_of_fold(asked, asked.table.outcome, folds, **options))


def test_slope_of_residuals_takes_treatments_of_any_kind() -> None:
    rng = np.random.default_rng(0)
    dose, weights = rng.normal(size=200), rng.uniform(0.5, 2, size=200)
    outcome = 3 * dose + rng.normal(size=200)
    found = scores.partially_linear(outcome, dose, weights)
    by_hand = (weights * outcome * dose).sum() / (weights * dose**2).sum()
    assert found.estimate == pytest.approx(by_hand, rel=1e-12)
    expected = weights * dose * (outcome - by_hand * dose) / (weights * dose**2).mean()
    np.testing.assert_allclose(found.scores, expected, rtol=1e-10)
    # ten times the dose, a tenth of the slope and of its error
    tenth = scores.partially_linear(outcome, 10 * dose, weights)
    np.testing.assert_allclose(10 * tenth.scores, found.scores, rtol=1e-10)


def test_predictions_made_by_arm_are_averaged_by_the_propensity() -> None:
    class Given:
        target, fingerprint = "outcome", "made before"

        def out_of_fold(self, asked: ec.Design, folds: np.ndarray) -> np.ndarray:
            return np.column_stack([asked.table.outcome * 0 + 1, asked.table.outcome * 0 + 3])

    asked = design(study(), propensity="p")
    learners = replace(ec.Learners(), outcome=Given())
    found = ec.ate(asked, method="partially_linear", learners=learners, folds=THREE)
    table = asked.table
    u, v = table.outcome - (1 + 2 * table.propensity), table.treatment - table.propensity
    assert found.estimate == pytest.approx((u @ v) / (v @ v), rel=1e-12)


def test_fitted_weights_know_what_they_are_for_balance_tables() -> None:
    table = study(300, selected=True)
    found = ec.ate(design(table), method="horvitz_thompson", learners=LOGIT)
    assert isinstance(found.weights, np.ndarray)
    means = pd.Series(found.weights).groupby(table["grant"].to_numpy()).mean()
    np.testing.assert_allclose(means, 1, rtol=1e-12)


def test_features_that_do_not_vary_are_left_out_in_the_open() -> None:
    table = study(120, selected=True)
    values = np.random.default_rng(2).normal(size=(24, 2))
    frame = pd.DataFrame({"village": np.arange(24), "f0": 1.0, "f1": values[:, 0], "f2": values[:, 1]})
    dead, alive = (
        ec.read_embeddings(one, key="village")
        for one in (frame, frame.drop(columns="f0").rename(columns={"f1": "f0", "f2": "f1"}))
    )
    for method, learners in (("cbps", None), ("entropy_balancing", None), ("ipw", LOGIT)):
        found, expected = (
            ec.ate(design(table, features=one), method=method, learners=learners) for one in (dead, alive)
        )
        assert found.estimate == pytest.approx(expected.estimate, rel=1e-9)
        assert found.std_error == pytest.approx(expected.std_error, rel=1e-9)
        told = [text for text in found.warnings if "does not vary among the units and was left out" in text]
        assert told[0].endswith("features column 1")
        assert len(found.warnings) == len(expected.warnings) + 1


def test_components_that_pictures_do_not_have_are_rounding_and_do_not_enter() -> None:
    rng = np.random.default_rng(4)
    thin = rng.normal(size=(24, 2)) @ rng.normal(size=(2, 30))
    frame = pd.DataFrame({"village": np.arange(24), **{f"f{k}": thin[:, k] for k in range(30)}})
    asked = design(study(120, selected=True), features=ec.read_embeddings(frame, key="village"))
    two = ec.Learners(pca=2)
    for method in ("cbps", "entropy_balancing"):
        found, expected = ec.ate(asked, method=method), ec.ate(asked, method=method, learners=two)
        assert found.estimate == pytest.approx(expected.estimate, rel=1e-5)
        assert found.diagnostics["balanced_columns"] == 4
        assert any("8 columns do not vary" in text for text in found.warnings)


WEIGHED = [(method, estimand, LOGIT) for method in ("ipw", "horvitz_thompson") for estimand in ESTIMANDS]
WEIGHED += [("ipw", "ate", PROBIT), *(("cbps", estimand, None) for estimand in ESTIMANDS)]
WEIGHED += [
    (method, one, None) for method in ("regression", "entropy_balancing") for one in ("ate", "att", "atc")
]


@pytest.mark.parametrize(("method", "estimand", "learners"), [*WEIGHED, ("difference", "ate", None)])
def test_influence_values_are_how_the_estimate_moves_with_a_units_weight(
    method: str, estimand: str, learners: ec.Learners | None
) -> None:
    table = study(100, selected=True)

    def found(weights: np.ndarray) -> ec.Estimate:
        asked = design(table.assign(weight=weights), weights="weight")
        return ec.ate(asked, method=method, estimand=estimand, learners=learners)

    base, step = table["weight"].to_numpy(), 1e-4
    influence = found(base).score_values[:, 0]
    for unit in (0, 33, 99):
        up, down = (
            found(base * np.where(np.arange(100) == unit, 1 + sign * step, 1)).estimate for sign in (1, -1)
        )
        assert 100 * (up - down) / (2 * step) == pytest.approx(influence[unit], rel=1e-5, abs=1e-7)
