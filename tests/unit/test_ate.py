"""Average effects: the methods by hand, their honesty, and what they leave alone."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec
from eocausal.nuisance.cross_fit import cross_fit
from tests.studies import FAST, FOREST, THREE, by_village, design, images, study

METHODS = ["aipw", "difference", "regression", "ipw"]


def test_aipw_by_hand_from_its_nuisances() -> None:
    asked = design(study(selected=True), weights="weight")
    found = ec.ate(asked, learners=FAST, folds=THREE, seed=4)
    nuisance = cross_fit(asked, THREE.assign(asked, seed=4), FAST, seed=4)
    t = asked.table
    dr = []
    for i in range(120):
        m1, m0, e = nuisance.outcome_treated[i], nuisance.outcome_control[i], nuisance.propensity[i]
        gap = (t.outcome[i] - m1) / e if t.treatment[i] else -(t.outcome[i] - m0) / (1 - e)
        dr.append(m1 - m0 + gap)
    estimate = sum(w * g for w, g in zip(t.weights, dr)) / sum(t.weights)
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    influence = t.weights / t.weights.mean() * (np.array(dr) - estimate)
    assert found.std_error == pytest.approx(np.sqrt(120 / 119 * (influence**2).sum()) / 120, rel=1e-12)


def test_ipw_by_hand_from_the_known_propensity() -> None:
    table = study(selected=True)
    found = ec.ate(design(table, propensity="p", weights="weight"), method="ipw")
    w = table["weight"] * np.where(table["grant"] == 1, 1 / table["p"], 1 / (1 - table["p"]))
    treated = table["grant"] == 1
    by_hand = np.average(table["income"][treated], weights=w[treated]) - np.average(
        table["income"][~treated], weights=w[~treated]
    )
    assert found.estimate == pytest.approx(by_hand, rel=1e-12)


def test_known_propensity_of_one_half_without_covariates_makes_ipw_the_difference() -> None:
    asked = design(study(), covariates=[], propensity=0.5)
    ipw, plain = ec.ate(asked, method="ipw"), ec.ate(asked, method="difference")
    assert ipw.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert ipw.std_error == pytest.approx(plain.std_error, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_near_the_truth_where_the_method_is_right(method: str) -> None:
    # known propensity, selection on age: the difference is off, the others are not
    table = study(4000, seed=3, selected=True)
    found = ec.ate(design(table, propensity="p"), method=method, learners=FAST)
    miss = abs(found.estimate - 1.0) / found.std_error
    assert miss > 8 if method == "difference" else miss < 4


def test_ignoring_the_selection_is_not_hidden_by_adjustment_for_something_else() -> None:
    table = study(4000, seed=3, selected=True)
    wrong = ec.ate(design(table, covariates=["wealth"]), learners=FAST)
    right = ec.ate(design(table), learners=FAST)
    assert abs(wrong.estimate - 1) > 0.3
    assert abs(right.estimate - 1) < 0.15


@pytest.mark.parametrize("method", METHODS)
def test_standard_errors_are_clustered_when_there_are_clusters(method: str) -> None:
    table = by_village()
    assert ec.ate(design(table), method=method, learners=FAST, folds=THREE).vcov == "iid"
    for options in ({"cluster": "village"}, {"features": images()}):
        found = ec.ate(design(table, **options), method=method, learners=FAST, folds=THREE)
        assert found.vcov == "cluster(village)"
        assert found.n_clusters == 24


@pytest.mark.parametrize("method", METHODS)
def test_few_clusters_warn_with_both_counts(method: str) -> None:
    found = ec.ate(design(by_village(), cluster="village"), method=method, learners=FAST, folds=THREE)
    assert any("12 clusters with treated and 12 with control units" in text for text in found.warnings)
    many = design(by_village(300, n_villages=75), cluster="village")
    assert not any(
        "clusters with treated" in text for text in ec.ate(many, method=method, learners=FAST).warnings
    )


def test_few_clusters_warn_in_every_clustered_result() -> None:
    asked = design(by_village(), cluster="village")
    for result in (ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE), ec.balance(asked),
                   ec.overlap(asked, learners=FAST, folds=THREE)):  # fmt: skip
        assert any("clusters with treated" in text for text in result.warnings)


def _extreme() -> tuple[ec.Design, np.ndarray]:
    table = study(selected=True)
    p = table["p"].to_numpy().copy()
    treated, control = np.flatnonzero(table["grant"] == 1), np.flatnonzero(table["grant"] == 0)
    p[treated[:2]], p[control[:3]] = 0.004, 0.997
    return design(table.assign(p=p), propensity="p"), p


def test_extreme_propensities_are_counted_by_arm_and_enter_as_they_are() -> None:
    asked, p = _extreme()
    words = "2 treated and 3 control units have a propensity outside [0.05, 0.95]; nothing was trimmed"
    for method in ("aipw", "ipw"):
        found = ec.ate(asked, method=method, learners=FAST, folds=THREE)
        assert words in found.warnings
        assert found.diagnostics["propensity_min"] == 0.004
        assert found.diagnostics["propensity_max"] == 0.997
    t = asked.table
    weight = t.treatment / p + (1 - t.treatment) / (1 - p)
    means = [np.average(t.outcome[t.treatment == arm], weights=weight[t.treatment == arm]) for arm in (0, 1)]
    assert ec.ate(asked, method="ipw").estimate == pytest.approx(means[1] - means[0], rel=1e-12)
    nuisance = cross_fit(asked, THREE.assign(asked, seed=0), FAST, seed=0)
    found = ec.ate(asked, learners=FAST, folds=THREE)
    i = int(np.argmin(p))
    m1, m0 = nuisance.outcome_treated[i], nuisance.outcome_control[i]
    expected = m1 - m0 + (t.outcome[i] - m1) / 0.004 - found.estimate
    assert found.score_values[i, 0] == pytest.approx(expected, rel=1e-10)


def test_no_warning_of_extreme_propensities_without_them() -> None:
    found = ec.ate(design(study(), propensity=0.5), learners=ec.Learners(outcome=Ridge(10.0)), folds=THREE)
    assert found.warnings == ()


def test_a_learned_propensity_and_lost_balance_warn_in_ipw() -> None:
    found = ec.ate(design(study(selected=True)), method="ipw", learners=FAST, folds=THREE)
    assert any("takes it as known" in text and "aipw" in text for text in found.warnings)
    blunt = ec.Learners(propensity=LogisticRegression(C=1e-6))
    lost = ec.ate(design(study(400, selected=True)), method="ipw", learners=blunt)
    assert any("largest standardised mean difference" in text for text in lost.warnings)
    assert lost.diagnostics["largest_smd_after_weighting"] > 0.1


def test_features_that_do_not_enter_and_wide_features_without_reduction_warn() -> None:
    asked = design(by_village(), features=images(width=20))
    assert any("covariates only" in text for text in ec.ate(asked, method="regression").warnings)
    raw = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(), pca=None)
    found = ec.ate(asked, learners=raw, folds=THREE)
    assert any(text.startswith("22 columns for") and "pca=" in text for text in found.warnings)
    assert not any("no reduction" in text for text in ec.ate(asked, learners=FAST, folds=THREE).warnings)


def test_arms_and_clusters_are_counted() -> None:
    table = by_village()
    table.loc[table.index[0], "grant"] = 1 - table["grant"].iloc[0]
    counts = ec.ate(design(table, cluster="village"), method="difference").diagnostics
    assert counts["n_treated"] == table["grant"].sum()
    assert counts["n_control"] == 120 - table["grant"].sum()
    assert counts["clusters_with_both_arms"] == 1
    assert counts["clusters_treated_only"] + counts["clusters_control_only"] == 23


def test_effective_sizes_are_those_of_the_weights() -> None:
    asked, p = _extreme()
    found = ec.ate(asked, method="ipw")
    w = 1 / p[asked.table.treatment == 1]
    assert found.diagnostics["ess_treated"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)


@pytest.mark.parametrize("method", ["aipw", "ipw", "horvitz_thompson", "cbps", "partially_linear"])
def test_sampling_weights_make_units_worth_fewer(method: str) -> None:
    table = study(120, selected=True).assign(weight=np.tile([1.0, 1.0, 1.0, 9.0], 30))
    found = ec.ate(design(table, weights="weight"), method=method, learners=FAST)
    # the weights in the result are those of each unit in the mean of its arm
    for name, arm in (("treated", 1), ("control", 0)):
        own = found.weights[found.arms.treatment == arm]
        assert found.diagnostics[f"ess_{name}"] == pytest.approx(own.sum() ** 2 / (own @ own), rel=1e-9)
        assert found.diagnostics[f"ess_{name}"] < 0.6 * own.size


def test_assumptions_say_what_was_used() -> None:
    table = study()
    said = {
        "known": (design(table, propensity=0.5), "known propensity"),
        "both": (design(table, features=images()), "covariates and image features"),
        "none": (design(table, covariates=[]), "randomised with the same probability"),
    }
    for asked, words in said.values():
        assert words in ec.ate(asked, learners=FAST, folds=THREE).assumptions[0]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    asked = design(study(), features=images())
    first = ec.ate(asked, learners=FAST, folds=THREE, seed=1)
    assert first == ec.ate(asked, learners=FAST, folds=THREE, seed=1)
    assert first == ec.ate(asked, learners=FAST, folds=THREE, seed=np.int64(1))
    assert first.estimate != ec.ate(asked, learners=FAST, folds=THREE, seed=2).estimate


def test_nothing_global_is_changed() -> None:
    import matplotlib as mpl

    def state() -> tuple[object, ...]:
        random = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
        return (
            tuple(random[1]), random[2], list(warnings.filters), dict(mpl.rcParams), dict(np.geterr()),
            logging.getLogger().level, list(logging.getLogger().handlers), dict(os.environ), os.getcwd(),
            sys.getrecursionlimit(),
        )  # fmt: skip

    asked = design(by_village(), features=images(), cluster="village")
    before = state()
    for method in METHODS:
        ec.ate(asked, method=method, learners=FAST, folds=THREE)
    found = ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE)
    ec.rate(found, replicates=50)
    ec.balance(asked)
    ec.overlap(asked, learners=FAST, folds=THREE)
    assert state() == before


def test_results_say_what_made_them() -> None:
    asked = design(study(), features=images())
    made = ec.ate(asked, learners=FAST, folds=THREE, seed=9).provenance
    assert made["seed"] == 9
    assert made["folds"] == {"kind": "cluster", "k": 3}
    assert made["design_hash"] == asked.fingerprint
    assert made["features_hash"] == images().recipe_hash
    assert made["versions"]["numpy"] == np.__version__


def test_plots_return_axes_and_do_not_show() -> None:
    import matplotlib.pyplot as plt

    result = ec.ate(design(study()), method="difference")
    axes = result.plot()
    assert axes.get_xlabel() == "estimate with 95% interval"
    assert result.plot(ax=axes) is axes
    plt.close("all")


def test_weights_in_other_units_change_nothing_with_the_default_learners_and_in_a_forest() -> None:
    table = study()
    asked = [design(table.assign(weight=c * table["weight"]), weights="weight") for c in (1.0, 1e4)]
    one, two = (ec.ate(made, folds=THREE) for made in asked)
    assert two.estimate == pytest.approx(one.estimate, rel=1e-9)
    assert two.std_error == pytest.approx(one.std_error, rel=1e-9)
    one, two = (ec.cate(made, learner=FOREST, learners=FAST, folds=THREE) for made in asked)
    np.testing.assert_allclose(two.effect_values, one.effect_values, rtol=1e-6)


@pytest.mark.parametrize(("propensity", "expected"), [(0.5, 0), (0.05, 1)])
def test_a_known_propensity_that_the_shares_belie_is_told(propensity: float, expected: int) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"treated": np.tile([0, 1], 50), "outcome": rng.normal(size=100)})
    result = ec.ate(
        ec.Design(table, outcome="outcome", treatment="treated", propensity=propensity), method="ipw"
    )
    told = [text for text in result.warnings if "more than chance explains" in text]
    assert len(told) == expected
