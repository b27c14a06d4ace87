"""Effects of several arms: two arms are a special case, and every number has a second way to it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import eocausal as ec
from eocausal.effects.arms import extreme_arms
from eocausal.errors import EstimationError
from eocausal.inference import arm_scores, scores
from eocausal.nuisance import arm_nuisance
from eocausal.nuisance.arm_nuisance import arm_propensities, cross_fit_arms
from eocausal.nuisance.folds import group_splits
from eocausal.nuisance.models import INNER_SPLITS, LOGIT_INVERSE_PENALTIES, Sample
from tests.studies import FAST, THREE, images, study

ARMS = ("none", "China", "both")


def armed(n: int = 240, *, seed: int = 0) -> pd.DataFrame:
    """Three arms by age, effects of 1 and 3."""
    rng = np.random.default_rng(seed + 9)
    table = study(n, seed=seed)
    age = table["age"].to_numpy()
    index = np.column_stack([np.zeros(n), 0.5 * age, -0.3 - 0.5 * age])
    code = (index + rng.gumbel(size=(n, 3))).argmax(axis=1)
    table["aid"] = np.array(ARMS)[code]
    table["income"] = age + np.array([0.0, 1.0, 3.0])[code] + rng.normal(size=n)
    return table


def design_of(table: pd.DataFrame, **options: object) -> ec.Design:
    asked = {"treatment": "aid", "treatment_type": "categorical", "control": "none", "covariates": ["age"]}
    return ec.Design(table, outcome="income", **{**asked, **options})


@pytest.mark.parametrize("method", ["aipw", "ipw"])
@pytest.mark.parametrize("estimand", ["ate", "att"])
@pytest.mark.parametrize("options", [{}, {"weights": "weight", "cluster": "village", "features": images()}])
def test_two_named_arms_are_two_arms(method: str, estimand: str, options: dict[str, object]) -> None:
    table = study(240, selected=True)
    table["aid"] = np.where(table["grant"] == 1, "some", "none")
    two = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], **options)
    named = design_of(table, **options)
    learners = ec.Learners() if not options else FAST
    one, other = (
        ec.ate(design, method=method, estimand=estimand, learners=learners, folds=THREE)
        for design in (two, named)
    )
    assert other.terms == ("some",)
    assert other.estimate == pytest.approx(one.estimate, abs=1e-10)
    assert other.std_error == pytest.approx(one.std_error, abs=1e-10)
    assert np.abs(other.score_values - one.score_values).max() < 1e-10
    assert np.abs(other.weights - one.weights).max() < 1e-10


def test_two_named_arms_have_the_difference_in_means_of_two_arms() -> None:
    table = study(100).assign(aid=lambda t: t["grant"].map({0: "none", 1: "some"}))
    one = ec.ate(ec.Design(table, outcome="income", treatment="grant"), method="difference", vcov="hetero")
    other = ec.ate(design_of(table), method="difference", vcov="hetero")
    assert (other.estimate, other.std_error) == (one.estimate, one.std_error)


def test_differences_in_means_and_their_contrast_by_hand() -> None:
    table = armed()
    found = ec.ate(design_of(table), method="difference", vcov="hetero")
    means, errors = table.groupby("aid")["income"].mean(), table.groupby("aid")["income"].var(ddof=0)
    sizes = table["aid"].value_counts()
    factor = found.variance.factor
    for position, arm in enumerate(found.terms):
        assert found.estimate[position] == pytest.approx(means[arm] - means["none"])
        by_hand = factor * (errors[arm] / sizes[arm] + errors["none"] / sizes["none"])
        assert found.std_error[position] ** 2 == pytest.approx(by_hand)
    gap = ec.contrast(found, "both", against="China")
    assert gap.terms == ("both - China",)
    assert gap.estimate == pytest.approx(means["both"] - means["China"])
    # the control, which both effects share, is no part of the error of their difference
    by_hand = factor * (errors["both"] / sizes["both"] + errors["China"] / sizes["China"])
    assert gap.std_error**2 == pytest.approx(by_hand)
    joint = found.variance.matrix
    assert joint[0, 1] == pytest.approx(factor * errors["none"] / sizes["none"])


def test_saturated_aipw_is_the_mean_of_differences_within_strata() -> None:
    rng = np.random.default_rng(2)
    n = 300
    stratum, codes = rng.integers(0, 3, n), rng.integers(0, 3, n)
    outcome = rng.normal(size=n) + stratum * codes
    cells = [(stratum == s) & (codes == k) for s in range(3) for k in range(3)]
    means = np.array([outcome[cell].mean() for cell in cells]).reshape(3, 3)
    shares = np.array([cell.sum() for cell in cells]).reshape(3, 3) / np.bincount(stratum)[:, None]
    weight = np.bincount(stratum) / n
    for arm in (1, 2):
        numerator, share = arm_scores.augmented_contrast(
            outcome, codes, arm=arm, estimand="ate", propensities=shares[stratum], outcomes=means[stratum]
        )
        found = scores.ratio_of_means(numerator, share, np.ones(n))
        assert found.estimate == pytest.approx(weight @ (means[:, arm] - means[:, 0]))
        hajek = arm_scores.hajek_contrast(
            outcome, codes, np.ones(n), arm=arm, estimand="ate", propensities=shares[stratum]
        )
        assert hajek.estimate == pytest.approx(found.estimate)
        of_arm = np.bincount(stratum[codes == arm], minlength=3) / (codes == arm).sum()
        for way in (arm_scores.augmented_contrast, None):
            if way is None:
                att = arm_scores.hajek_contrast(
                    outcome, codes, np.ones(n), arm=arm, estimand="att", propensities=shares[stratum]
                )
            else:
                att = scores.ratio_of_means(
                    *way(outcome, codes, arm=arm, estimand="att", propensities=shares[stratum],
                         outcomes=means[stratum]),
                    np.ones(n),
                )  # fmt: skip
            assert att.estimate == pytest.approx(of_arm @ (means[:, arm] - means[:, 0]))


@pytest.mark.parametrize("right", ["outcomes", "propensities"])
def test_one_right_model_is_enough(right: str) -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    x = rng.normal(size=n)
    index = np.column_stack([np.zeros(n), 0.5 * x, -0.5 * x])
    chances = np.exp(index) / np.exp(index).sum(axis=1, keepdims=True)
    codes = (index + rng.gumbel(size=(n, 3))).argmax(axis=1)
    truth = np.column_stack([x, 1 + x, 3 + 2 * x])
    outcome = truth[np.arange(n), codes] + rng.normal(size=n)
    given = {"outcomes": np.zeros((n, 3)), "propensities": np.full((n, 3), 1 / 3)}
    given[right] = truth if right == "outcomes" else chances
    for arm, effect in ((1, 1.0), (2, 3.0)):
        numerator, share = arm_scores.augmented_contrast(outcome, codes, arm=arm, estimand="ate", **given)
        assert abs(scores.ratio_of_means(numerator, share, np.ones(n)).estimate - effect) < 0.03


def test_effects_are_near_the_truth_with_the_default_learners() -> None:
    found = ec.ate(design_of(armed(900)), folds=THREE)
    assert found.terms == ("China", "both")
    assert (np.abs(found.estimate - [1.0, 3.0]) < 3 * found.std_error).all()
    assert found.std_error.max() < 0.15


@pytest.mark.parametrize("learners", [
    ec.Learners(), ec.Learners(propensity=LogisticRegression(C=1.0)), ec.Learners(calibration="platt"),
])  # fmt: skip
def test_probabilities_sum_to_one_and_come_from_other_folds(learners: ec.Learners) -> None:
    design = design_of(armed())
    folds = THREE.assign(design, seed=0)
    options = {"seed": 0, "groups": design.groups}
    chances = arm_propensities(design, folds, learners, **options).values
    assert chances.shape == (240, 3)
    assert np.abs(chances.sum(axis=1) - 1).max() < 1e-12
    # what a unit got does not move its own fold's predictions
    swapped = armed()
    inside = np.flatnonzero(folds == 0)[:2]
    swapped.iloc[inside, swapped.columns.get_loc("aid")] = "both"
    moved = arm_propensities(design_of(swapped), folds, learners, **options).values
    assert np.abs(moved[folds == 0] - chances[folds == 0]).max() < 1e-12
    assert np.abs(moved[folds == 1] - chances[folds == 1]).max() > 1e-6


def test_nuisances_of_a_linear_learner_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    table = armed()
    design = design_of(table)
    folds = THREE.assign(design, seed=0)
    learners = ec.Learners(outcome=Ridge(2.0), propensity=LogisticRegression(C=0.5))
    found = cross_fit_arms(design, folds, learners, seed=0, groups=design.groups)
    train = folds != 1
    columns = StandardScaler().fit(table.loc[train, ["age"]].to_numpy()).transform(table[["age"]].to_numpy())
    for code, arm in enumerate(design.table.arms):
        own = train & (table["aid"] == arm).to_numpy()
        model = Ridge(2.0).fit(columns[own], table["income"].to_numpy()[own])
        assert found.outcomes[~train, code] == pytest.approx(model.predict(columns[~train]))
    logit = LogisticRegression(C=0.5).fit(columns[train], design.table.assigned[train].astype(int))
    assert found.propensities[~train] == pytest.approx(logit.predict_proba(columns[~train]))


def test_without_columns_probabilities_are_weighted_shares_of_other_folds() -> None:
    table = armed()
    design = design_of(table, covariates=[], weights="weight")
    folds = THREE.assign(design, seed=0)
    chances = arm_propensities(design, folds, ec.Learners(), seed=0, groups=design.groups).values
    others = table[folds != 2]
    share = others.groupby("aid")["weight"].sum() / others["weight"].sum()
    assert chances[folds == 2] == pytest.approx(
        np.tile(share[list(design.table.arms)], ((folds == 2).sum(), 1))
    )


def test_the_order_of_arms_and_the_control_only_rename() -> None:
    table = armed()
    first = ec.ate(design_of(table), learners=FAST, folds=THREE)
    other = ec.ate(design_of(table, control="China"), learners=FAST, folds=THREE)
    gap = ec.contrast(first, "both", against="China")
    same = ec.contrast(other, "both")
    assert gap.estimate == pytest.approx(same.estimate, abs=1e-8)
    assert gap.std_error == pytest.approx(same.std_error, rel=1e-6)


def test_weights_are_one_on_average_in_each_arm() -> None:
    design = design_of(armed())
    found = ec.ate(design, learners=FAST, folds=THREE)
    codes = design.table.assigned.astype(int)
    assert np.bincount(codes, weights=found.weights) / np.bincount(codes) == pytest.approx(np.ones(3))
    assert ec.ate(design, estimand="att", learners=FAST, folds=THREE).weights is None


def test_clusters_and_changes_of_standard_error_reach_every_term() -> None:
    found = ec.ate(design_of(armed(), cluster="village"), learners=FAST, folds=THREE)
    assert found.n_clusters == 24
    assert any("clusters with units of each arm" in text for text in found.warnings)
    plain = found.with_vcov("hetero")
    n = found.n
    by_hand = np.sqrt((found.score_values**2).sum(axis=0) / n**2 * plain.variance.factor)
    assert plain.std_error == pytest.approx(by_hand)
    gap = ec.contrast(found, "both", against="China").with_vcov("hetero")
    difference = found.scores["both"] - found.scores["China"]
    assert gap.std_error == pytest.approx(np.sqrt((difference**2).sum() / n**2 * gap.variance.factor))


def test_repeats_are_medians_of_contrasts() -> None:
    design = design_of(armed())
    found = ec.ate(design, learners=FAST, folds=ec.Folds(k=3, repeats=3))
    gap = ec.contrast(found, "both", against="China")
    each = [
        ec.contrast(ec.ate(design, learners=FAST, folds=THREE, seed=seed), "both", against="China").estimate
        for seed in range(3)
    ]
    assert gap.estimate == pytest.approx(np.median(each))


def test_trimming_takes_all_arms_and_counts_each() -> None:
    design = design_of(armed())
    whole = ec.ate(design, learners=FAST, folds=THREE)
    low = sorted(whole.diagnostics[f"propensity_min_{arm}"] for arm in ARMS)[0] + 0.03
    found = ec.ate(design, learners=FAST, folds=THREE, trim=ec.Trim("fixed", low=low, high=0.99))
    assert found.estimand == "ate (trimmed)"
    folds = THREE.assign(design, seed=0)
    chances = arm_propensities(design, folds, FAST, seed=0, groups=design.groups).values
    out = (chances < low).any(axis=1)
    assert 0 < out.sum() < 120
    assert found.n == 240 - out.sum()
    assert any(f"left out {design.table.by_arm(out)}" in text for text in found.warnings)


@pytest.mark.parametrize("method", ["aipw", "ipw"])
def test_what_calibration_moved_is_told_for_each_arm(method: str) -> None:
    learners = ec.Learners(
        outcome=FAST.outcome, propensity=KNeighborsClassifier(3), calibration="isotonic", pca=None
    )
    found = ec.ate(design_of(armed()), method=method, learners=learners, folds=THREE)
    told = [text for text in found.warnings if "isotonic calibration gives" in text]
    assert told
    assert all(text.startswith("arm '") and "' against all others: " in text for text in told)


def test_improbable_arms_are_counted_by_arm() -> None:
    chances = np.array([[0.90, 0.04, 0.06], [0.90, 0.04, 0.06], [0.02, 0.90, 0.08], [0.3, 0.3, 0.4]])
    codes = np.array([0, 1, 1, 2])
    found = extreme_arms(ARMS, codes, chances)
    assert found[0].startswith(
        "1 units (0 none, 1 China, 0 both) have a probability below 0.05 of arm 'none'"
    )
    assert found[1].startswith(
        "2 units (1 none, 1 China, 0 both) have a probability below 0.05 of arm 'China'"
    )
    assert len(found) == 2
    of_att = extreme_arms(ARMS, codes, chances, "att")
    assert len(of_att) == 1
    assert of_att[0].startswith("1 units (0 none, 1 China, 0 both)")


@pytest.mark.parametrize("weights", [None, "weight"])
def test_effective_sizes_are_told_by_arm(weights: str | None) -> None:
    design = design_of(armed(), weights=weights)
    found = ec.ate(design, learners=FAST, folds=THREE)
    folds = THREE.assign(design, seed=0)
    chances = arm_propensities(design, folds, FAST, seed=0, groups=design.groups).values
    for code, arm in enumerate(design.table.arms):
        own = design.table.assigned == code
        weight = design.table.weights[own] / chances[own, code]
        assert found.diagnostics[f"ess_{arm}"] == pytest.approx(weight.sum() ** 2 / (weight @ weight))
    assert found.diagnostics["n_China"] == (design.table.assigned == design.table.arms.index("China")).sum()


BAD = {
    "no such estimand": ({"estimand": "ato"}, r"no estimand='ato'[\s\S]*two arms: design.pair\(arm\)"),
    "trimming by crump": ({"trim": ec.Trim("crump")}, r"Trim\('crump'\)[\s\S]*fixed bounds"),
    "trimming an att": ({"trim": ec.Trim("fixed", low=0.1, high=0.9), "estimand": "att"}, r"of the att"),
    "trimming all": ({"trim": ec.Trim("fixed", low=0.4, high=0.6)}, r"too few units in some arms[\s\S]*none: "),
    "trimming means": ({"method": "difference", "trim": ec.Trim("crump")}, r"no propensity to trim by"),
    "certain learner": (
        {"learners": ec.Learners(propensity=KNeighborsClassifier(1))}, r"exactly 0 or 1 for an arm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_answered_is_refused(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(EstimationError, match=words):
        ec.ate(design_of(armed()), **{"learners": FAST, "folds": THREE, **options})


def test_an_arm_that_a_fold_lacks_is_refused_by_name() -> None:
    table = armed()
    table["village"] = np.where(table["aid"] == "both", 0, table["village"] + 1)
    with pytest.raises(EstimationError, match=r"Outside fold \d some arms[\s\S]*both: 0[\s\S]*Folds\(k=2\)"):
        ec.ate(design_of(table, cluster="village"), folds=THREE)


def test_contrasts_of_what_is_not_there_are_refused() -> None:
    found = ec.ate(design_of(armed()), method="difference")
    with pytest.raises(EstimationError, match=r"term='Chin' [\s\S]*'China'"):
        ec.contrast(found, "Chin")
    with pytest.raises(EstimationError, match=r"against='none'"):
        ec.contrast(found, "China", against="none")
    with pytest.raises(EstimationError, match="itself"):
        ec.contrast(found, "China", against="China")
    with pytest.raises(EstimationError, match=r"not of a dict"):
        ec.contrast({}, "China")


def test_contrasts_of_averages_over_different_units_say_so() -> None:
    found = ec.ate(design_of(armed()), estimand="att", learners=FAST, folds=THREE)
    gap = ec.contrast(found, "both", against="China")
    assert any("different units" in text for text in gap.warnings)
    assert not any("different units" in text for text in ec.contrast(found, "both").warnings)


def test_results_come_back_from_their_content() -> None:
    found = ec.ate(design_of(armed(), cluster="village"), learners=FAST, folds=THREE)
    again = ec.Estimate.from_dict(found.to_dict(scores=True))
    assert again == found
    assert "China" in found.summary()
    assert ec.contrast(again, "both", against="China") == ec.contrast(found, "both", against="China")


def test_the_penalty_of_the_probabilities_is_chosen_by_weighted_losses() -> None:
    rng = np.random.default_rng(5)
    columns = rng.normal(size=(160, 3))
    target = np.argmax(np.column_stack([np.zeros(160), 4 * columns[:, :2]]), axis=1)
    noise = rng.permutation(160) < 80
    target[noise] = rng.permutation(target[noise])
    every, ids = np.arange(160), np.arange(160)

    def chosen(weights: np.ndarray | None) -> tuple[float, float]:
        sample = Sample(columns, target.astype(float), weights, every, ids, 0)
        losses = []
        for penalty in LOGIT_INVERSE_PENALTIES:
            of_parts = []
            for train, test in group_splits(every, k=INNER_SPLITS):
                fitted = LogisticRegression(C=penalty, max_iter=1000, tol=1e-8).fit(
                    columns[train], target[train], None if weights is None else weights[train]
                )
                loss = -np.log(fitted.predict_proba(columns[test])[np.arange(test.size), target[test]])
                of_parts.append(np.average(loss, weights=None if weights is None else weights[test]))
            losses.append(np.mean(of_parts))
        return arm_nuisance._best_penalty(sample), LOGIT_INVERSE_PENALTIES[int(np.argmin(losses))]

    light = np.where(noise, 0.01, 1.99)
    for weights in (None, light):
        found, expected = chosen(weights)
        assert found == expected
    assert chosen(light)[0] > chosen(None)[0]
