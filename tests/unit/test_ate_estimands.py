"""Whose average effect: what methods answer, refuse and say; entropy balancing on designs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects.ate import METHODS
from eocausal.errors import EstimationError
from eocausal.inference import scores
from eocausal.nuisance.cross_fit import ColumnReducer, cross_fit
from tests.studies import FAST, THREE, by_village, design, images, study

ANSWERS = [(name, estimand) for name, row in METHODS.items() for estimand in row.estimands]
REFUSALS = {
    ("difference", "att"): "same probability of treatment, and there all four averages are one",
    ("difference", "atc"): "all four averages are one",
    ("difference", "ato"): "method= one of aipw, ipw",
    ("partially_linear", "ate"): r"average effect in the overlap[\s\S]*estimand='ato'",
    ("partially_linear", "att"): "only where effects are equal for all",
    ("partially_linear", "atc"): "method= one of aipw, regression, ipw",
    ("regression", "ato"): "weighs units by their propensity, and this method has none",
    ("ols", "ate"): r"method='regression' has the average over all[\s\S]*estimand='ols coefficient'",
    ("ols", "att"): "averages effects by the variance of treatment that the columns leave",
    ("ols", "atc"): "method= one of aipw, regression, ipw",
    ("ols", "ato"): "method= one of aipw, ipw, horvitz_thompson, partially_linear",
    ("entropy_balancing", "ato"): r"this method has none[\s\S]*estimand='ate', or method= one of aipw, ipw",
}


@pytest.mark.parametrize(("method", "estimand"), ANSWERS)
def test_every_answer_has_its_name_and_influence_values(method: str, estimand: str) -> None:
    asked = design(study(selected=True), weights="weight", cluster="village")
    found = ec.ate(asked, method=method, estimand=estimand, learners=FAST, folds=THREE)
    assert (found.estimand, found.method) == (estimand, method)
    assert found.vcov == "cluster(village)"
    assert found.score_values.mean() == pytest.approx(0, abs=1e-10)
    assert found.to_frame()["estimand"].tolist() == [estimand]
    assert found.with_vcov("hetero").estimate == found.estimate


@pytest.mark.parametrize(("method", "estimand"), list(REFUSALS))
def test_what_a_method_cannot_answer_is_refused_with_the_reason(method: str, estimand: str) -> None:
    with pytest.raises(EstimationError, match=REFUSALS[method, estimand]):
        ec.ate(design(study()), method=method, estimand=estimand)


def test_every_pair_is_answered_or_refused() -> None:
    # the coefficient of one regression is an average of its own
    assert len(ANSWERS) + len(REFUSALS) == 4 * len(METHODS) + 1
    assert not set(ANSWERS) & set(REFUSALS)
    with pytest.raises(EstimationError, match="estimand='atu' is not known"):
        ec.ate(design(study()), estimand="atu")


@pytest.mark.parametrize("estimand", ["att", "atc", "ato"])
def test_aipw_by_hand_from_its_nuisances(estimand: str) -> None:
    asked = design(study(selected=True), weights="weight")
    found = ec.ate(asked, estimand=estimand, learners=FAST, folds=THREE, seed=4)
    nuisance = cross_fit(asked, THREE.assign(asked, seed=4), FAST, seed=4)
    top = bottom = 0.0
    table = asked.table
    for i in range(120):
        t, y, w, e = table.treatment[i], table.outcome[i], table.weights[i], nuisance.propensity[i]
        m0, m1 = nuisance.outcome_control[i], nuisance.outcome_treated[i]
        if estimand == "att":
            top += w * (t - (1 - t) * e / (1 - e)) * (y - m0)
            bottom += w * t
        elif estimand == "atc":
            top += w * (t * (1 - e) / e - (1 - t)) * (y - m1)
            bottom += w * (1 - t)
        else:
            top += w * (t - e) * (y - e * m1 - (1 - e) * m0)
            bottom += w * (t - e) ** 2
    assert found.estimate == pytest.approx(top / bottom, rel=1e-11)


@pytest.mark.parametrize("estimand", ["ate", "att", "atc", "ato"])
def test_ipw_by_hand_from_the_known_propensity(estimand: str) -> None:
    table = study(selected=True)
    found = ec.ate(design(table, propensity="p", weights="weight"), method="ipw", estimand=estimand)
    p, t, w = table["p"].to_numpy(), table["grant"].to_numpy() == 1, table["weight"].to_numpy()
    treated = {"ate": 1 / p, "att": 1 + 0 * p, "atc": (1 - p) / p, "ato": 1 - p}[estimand]
    control = {"ate": 1 / (1 - p), "att": p / (1 - p), "atc": 1 + 0 * p, "ato": p}[estimand]
    income = table["income"].to_numpy()
    by_hand = np.average(income[t], weights=(w * treated)[t]) - np.average(
        income[~t], weights=(w * control)[~t]
    )
    assert found.estimate == pytest.approx(by_hand, rel=1e-12)


def test_entropy_balancing_of_one_indicator_is_by_cells_with_the_samples_weights() -> None:
    table = study(200, selected=True).assign(old=lambda t: (t["age"] > 0).astype(int))
    asked = design(table, covariates=["old"], weights="weight")
    sizes, gaps = np.zeros((2, 2)), np.zeros(2)
    for (old, arm), cell in table.groupby(["old", "grant"]):
        sizes[old, arm] = cell["weight"].sum()
        gaps[old] += (2 * arm - 1) * np.average(cell["income"], weights=cell["weight"])
    of = {"ate": sizes.sum(axis=1), "att": sizes[:, 1], "atc": sizes[:, 0]}
    for estimand, size in of.items():
        found = ec.ate(asked, method="entropy_balancing", estimand=estimand)
        assert found.estimate == pytest.approx(np.average(gaps, weights=size), rel=1e-8)


@pytest.mark.parametrize("method", ["aipw", "ipw", "regression", "entropy_balancing"])
def test_averages_over_arms_differ_as_they_should(method: str) -> None:
    """Effects rise with age, and so does treatment: 1 + age / 2, with the treated older."""
    table = study(6000, seed=5, selected=True, n_villages=3000)
    asked = design(table, propensity="p")
    gain, p = 1 + 0.5 * table["age"], table["p"]
    tilts = {"ate": np.ones(len(p)), "att": p, "atc": 1 - p, "ato": p * (1 - p)}
    for estimand in METHODS[method].estimands:
        found = ec.ate(asked, method=method, estimand=estimand, learners=FAST)
        truth = np.average(gain, weights=tilts[estimand])
        assert abs(found.estimate - truth) < 3.5 * found.std_error
        assert found.std_error < 0.08
    assert np.average(gain, weights=p) - np.average(gain, weights=1 - p) > 0.25


def test_extremes_are_told_where_the_estimand_weighs_them() -> None:
    table = study(200, selected=True)
    p = table["p"].to_numpy().copy()
    treated, control = np.flatnonzero(table["grant"] == 1), np.flatnonzero(table["grant"] == 0)
    p[treated[:2]], p[control[:3]] = 0.004, 0.997
    asked = design(table.assign(p=p), propensity="p")
    words = {
        "ate": "2 treated and 3 control units have a propensity outside [0.05, 0.95]; nothing was trimmed",
        "att": "0 treated and 3 control units have a propensity above 0.95; nothing was trimmed",
        "atc": "2 treated and 0 control units have a propensity below 0.05; nothing was trimmed",
    }
    for estimand in ("ate", "att", "atc", "ato"):
        told = [
            text
            for text in ec.ate(asked, method="ipw", estimand=estimand).warnings
            if "have a propensity" in text
        ]
        assert told == ([words[estimand]] if estimand in words else [])


def test_effective_sizes_are_of_the_estimands_weights() -> None:
    asked = design(study(selected=True), propensity="p")
    p, t = asked.table.propensity, asked.table.treatment
    said = ec.ate(asked, method="ipw", estimand="att").diagnostics
    w = (p / (1 - p))[t == 0]
    assert said["ess_treated"] == pytest.approx(t.sum(), rel=1e-12)
    assert said["ess_control"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)


def test_assumptions_say_whose_overlap() -> None:
    asked = design(study(), features=images())
    said = {"att": "every treated unit could have been a control", "atc": "every control could have been"}
    for estimand, words in said.items():
        assert (
            words in ec.ate(asked, method="ipw", estimand=estimand, learners=FAST, folds=THREE).assumptions[0]
        )
    balanced = ec.ate(asked, method="entropy_balancing").assumptions[0]
    assert "covariates and leading components of the image features" in balanced
    assert "either the outcome is linear in them" in balanced


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_entropy_balancing_makes_means_exactly_equal(estimand: str) -> None:
    """The effect on each covariate, put in the outcome's place, is zero in the balanced sample."""
    table = study(300, selected=True)
    for name in ("age", "wealth"):
        found = ec.ate(
            design(table.assign(copy=table[name] + 1e-4 * table["income"]), outcome="copy"),
            method="entropy_balancing",
            estimand=estimand,
        )
        income = ec.ate(design(table), method="entropy_balancing", estimand=estimand)
        assert found.estimate == pytest.approx(1e-4 * income.estimate, abs=1e-9)


def test_entropy_balancing_of_features_balances_their_leading_components() -> None:
    asked = design(by_village(480, n_villages=96), features=images(96, width=30))
    found = ec.ate(asked, method="entropy_balancing")
    assert found.diagnostics["balanced_columns"] == 12
    assert found.diagnostics["pca"] == 10
    more = ec.ate(asked, method="entropy_balancing", learners=ec.Learners(pca=15))
    assert more.diagnostics["balanced_columns"] == 17
    # a component in the outcome's place has no effect left
    rows = np.arange(len(asked))
    component = ColumnReducer(pca=10, seed=0).fit(asked, rows).transform(asked, rows)[:, 4]
    frame = asked.data.assign(one=pd.Series(component, index=asked.table.ids) + 1e-4 * asked.data["income"])
    left = ec.ate(design(frame, outcome="one", features=images(96, width=30)), method="entropy_balancing")
    assert left.estimate == pytest.approx(1e-4 * found.estimate, abs=1e-9)


def test_entropy_balancing_is_exact_where_the_outcome_is_linear() -> None:
    table = study(200, selected=True)
    table["income"] = 3 + 2 * table["age"] - table["wealth"] + 1.5 * table["grant"]
    found = ec.ate(design(table), method="entropy_balancing")
    assert found.estimate == pytest.approx(1.5, abs=1e-8)
    assert found.std_error == pytest.approx(0, abs=1e-7)


def test_few_effective_units_are_told() -> None:
    table = study(200, selected=True)
    table["age"] = table["age"] + table["grant"]
    found = ec.ate(design(table), method="entropy_balancing", estimand="att")
    assert found.diagnostics["ess_control"] < 30
    assert any("units are worth" in text and " control" in text for text in found.warnings)
    even = ec.ate(design(study(200)), method="entropy_balancing", estimand="att")
    assert not any("units are worth" in text for text in even.warnings)


def test_means_out_of_reach_are_refused_by_name() -> None:
    table = study(200)
    table["age"] = np.abs(table["age"]) * np.where(table["grant"] == 1, 1.0, -1.0) + 0.01 * table["wealth"]
    asked = design(table)
    words = r"No weights of the \d+ control units give the 2 columns[\s\S]*1 \(age\)[\s\S]*aipw"
    with pytest.raises(EstimationError, match=words):
        ec.ate(asked, method="entropy_balancing", estimand="att")


def test_nothing_to_balance_is_refused() -> None:
    with pytest.raises(EstimationError, match=r"no covariates and no features to balance"):
        ec.ate(design(study(), covariates=[]), method="entropy_balancing")


def test_the_effect_on_the_treated_of_two_arms_that_are_alike_is_the_difference() -> None:
    """With the same covariates in both arms there is nothing to weigh, whatever the estimand."""
    half = study(100)
    table = pd.concat([half.assign(grant=0), half.assign(grant=1, income=half["income"] + 2)])
    table = table.reset_index(drop=True)
    for method in ("regression", "entropy_balancing"):
        for estimand in ("ate", "att", "atc"):
            found = ec.ate(design(table), method=method, estimand=estimand)
            assert found.estimate == pytest.approx(2, abs=1e-9)


def test_results_on_two_estimands_compare() -> None:
    asked = design(study(300, selected=True), propensity="p")
    treated, controls = (ec.ate(asked, method="ipw", estimand=one) for one in ("att", "atc"))
    both = ec.compare(treated=treated, controls=controls)
    assert both.estimand == "att, atc"
    gap = treated - controls
    stacked = treated.score_values[:, 0] - controls.score_values[:, 0]
    assert gap.std_error == pytest.approx(np.sqrt(300 / 299 * (stacked**2).sum()) / 300, rel=1e-10)


def test_the_ate_score_is_the_doubly_robust_score() -> None:
    rng = np.random.default_rng(0)
    y, m0, m1 = rng.normal(size=(3, 30))
    t, e = (np.arange(30) % 2).astype(float), rng.uniform(0.2, 0.8, size=30)
    options = {"propensity": e, "outcome_control": m0, "outcome_treated": m1}
    numerator, share = scores.augmented(y, t, estimand="ate", **options)
    np.testing.assert_array_equal(numerator, scores.doubly_robust(y, t, **options))
    np.testing.assert_array_equal(share, np.ones(30))


@pytest.mark.parametrize("method", ["difference", "ipw", "aipw", "entropy_balancing"])
def test_results_hold_what_each_unit_weighs_in_its_arm(method: str) -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"age": rng.normal(size=200), "w": rng.uniform(1, 3, 200)})
    table["grant"] = (table["age"] + rng.logistic(size=200) > 0).astype(int)
    table["income"] = table["grant"] + table["age"] + rng.normal(size=200)
    design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], weights="w")
    result = ec.ate(design, method=method)
    assert result.weights is not None
    means = []
    for arm in (0, 1):
        chosen = (table["grant"] == arm).to_numpy()
        assert result.weights[chosen].mean() == pytest.approx(1.0)
        means.append(np.average(table["income"][chosen], weights=result.weights[chosen]))
    if method != "aipw":  # which adds to the weighted gap what predictions say
        assert means[1] - means[0] == pytest.approx(result.estimate, abs=1e-10)
    assert ec.Estimate.from_dict(result.to_dict(scores=True)) == result


def test_aipw_and_ipw_tell_when_weights_leave_few_units() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"age": rng.normal(size=2000)})
    chance = 1 / (1 + np.exp(-3.5 * table["age"] - 4))
    table["grant"] = (rng.uniform(size=2000) < chance).astype(int)
    table["income"] = rng.normal(size=2000)
    table["chance"] = chance
    wide = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity="chance")
    for method in ("aipw", "ipw"):
        told = ec.ate(wide, method=method).warnings
        assert any("control units are worth" in text for text in told)
    even = ec.Design(table.assign(grant=np.tile([0, 1], 1000)), outcome="income", treatment="grant")
    assert not any("units are worth" in text for text in ec.ate(even).warnings)


def test_verbs_without_a_median_refuse_repeats() -> None:
    for verb in (ec.overlap, ec.cate):
        with pytest.raises(EstimationError, match="only average effects are a median over repeated folds"):
            verb(design(study()), folds=ec.Folds(repeats=2))
