"""Balance after weighting: by hand, by estimates and Series; and whether a model still tells the arms apart."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.balance import Balance
from eocausal.inference.smd import standardised_differences, variance_ratios, weighted_ks
from tests.studies import FAST, design, images, study


def _ks_by_points(x: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    share = [
        [w[(t == arm) & (x <= at)].sum() / w[t == arm].sum() for at in np.unique(x)] for arm in (0.0, 1.0)
    ]
    return max(abs(a - b) for a, b in zip(*share))


@pytest.mark.parametrize("seed", range(4))
def test_the_weighted_ks_is_the_largest_gap_at_any_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = np.round(rng.normal(size=(40, 2)), 1), np.arange(40) % 2 * 1.0
    w = rng.uniform(0, 2, size=40)
    found = weighted_ks(x, t, w)
    np.testing.assert_allclose(found, [_ks_by_points(x[:, k], t, w) for k in (0, 1)], atol=1e-12)
    plain = weighted_ks(x, t, np.ones(40))
    expected = [stats.ks_2samp(x[t == 1, k], x[t == 0, k]).statistic for k in (0, 1)]
    np.testing.assert_allclose(plain, expected, atol=1e-12)


def test_the_ks_of_shares_is_their_difference() -> None:
    t = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    x = np.array([[0.0], [0], [0], [1], [0], [1], [1], [1]])
    assert weighted_ks(x, t, np.ones(8)).tolist() == [0.5]
    assert weighted_ks(1 - x, t, np.ones(8)).tolist() == [0.5]


def test_the_yardstick_is_that_of_the_estimand() -> None:
    rng = np.random.default_rng(0)
    x, t, w = rng.normal(size=(50, 1)), np.arange(50) % 2 * 1.0, rng.uniform(0.5, 2, 50)
    gap = np.average(x[t == 1, 0], weights=w[t == 1]) - np.average(x[t == 0, 0], weights=w[t == 0])
    of_arm = [x[t == arm, 0].var(ddof=1) for arm in (0, 1)]
    for estimand, variance in (("ate", sum(of_arm) / 2), ("att", of_arm[1]), ("atc", of_arm[0])):
        found = standardised_differences(x, t, weights=w, estimand=estimand)
        assert found[0] == pytest.approx(gap / np.sqrt(variance), rel=1e-12)
    ratio = variance_ratios(x, t, np.ones(50))[0]
    assert ratio == pytest.approx(of_arm[1] / of_arm[0], rel=1e-12)


def test_the_columns_after_weighting_by_hand() -> None:
    table = study(selected=True)
    weights = pd.Series(np.random.default_rng(3).uniform(0.1, 2, 120), index=table.index)
    frame = ec.balance(design(table), weights=weights, classifier=False).to_frame().set_index("term")
    treated = (table["grant"] == 1).to_numpy()
    for name in ("age", "wealth"):
        x, w = table[name].to_numpy(), weights.to_numpy()
        means = [np.average(x[arm], weights=w[arm]) for arm in (treated, ~treated)]
        pooled = np.sqrt((x[treated].var(ddof=1) + x[~treated].var(ddof=1)) / 2)
        assert frame.loc[name, "smd_weighted"] == pytest.approx((means[0] - means[1]) / pooled, rel=1e-10)
        assert frame.loc[name, "mean_treated_weighted"] == pytest.approx(means[0], rel=1e-12)
        expected = _ks_by_points(x, treated * 1.0, w)
        assert frame.loc[name, "ks_weighted"] == pytest.approx(expected, abs=1e-12)


def test_entropy_balancing_leaves_no_difference_and_the_estimate_says_whose_yardstick() -> None:
    asked = design(study(200, selected=True))
    found = ec.balance(
        asked, weights=ec.ate(asked, method="entropy_balancing", estimand="att"), learners=FAST
    )
    assert found.diagnostics["yardstick"] == "att"
    assert found.to_frame()["smd_weighted"].abs().max() < 1e-6
    assert found.diagnostics["ess_treated"] == pytest.approx(asked.table.treatment.sum())
    weights = found.classifier
    assert weights is not None
    assert weights.terms == ("before weighting", "after weighting")


def test_units_that_trimming_left_out_weigh_zero_and_are_counted() -> None:
    table = study(300, selected=True)
    asked = design(table, propensity="p")
    trimmed = ec.ate(asked, method="ipw", trim=ec.Trim("fixed", low=0.3, high=0.7))
    found = ec.balance(asked, weights=trimmed, learners=FAST)
    out = ~table["p"].between(0.3, 0.7)
    treated = int(table.loc[out, "grant"].sum())
    said = f"leave out {out.sum()} units ({treated} treated, {out.sum() - treated} control)"
    assert any(said in text for text in found.warnings)
    kept = table[~out]
    arm = kept[kept["grant"] == 1]
    mean = np.average(arm["age"], weights=1 / arm["p"])
    row = found.to_frame().set_index("term").loc["age"]
    assert row["mean_treated_weighted"] == pytest.approx(mean, rel=1e-10)
    tested = found.classifier
    assert tested is not None
    assert (tested.scores.loc[table.index[out], "after weighting"] == 0).all()


def test_the_classifier_finds_selection_and_true_weights_hide_it() -> None:
    table = study(1500, selected=True)
    weights = pd.Series(
        np.where(table["grant"] == 1, 1 / table["p"], 1 / (1 - table["p"])), index=table.index
    )
    frame = ec.balance(design(table), weights=weights, learners=FAST).classifier_frame().set_index("term")
    assert frame.loc["before weighting", "p_value"] < 1e-6
    assert frame.loc["after weighting", "p_value"] > 0.01
    assert frame.loc["after weighting", "auc"] < 0.56


def test_a_model_that_still_tells_the_arms_apart_is_warned_of() -> None:
    table = study(400, selected=True)
    found = ec.balance(design(table), weights=pd.Series(1.0, index=table.index), learners=FAST)
    assert any("still tells the arms apart" in text for text in found.warnings)
    assert any("still differ by more than 0.1" in text for text in found.warnings)
    frame = found.classifier_frame()
    assert frame["auc"].iloc[0] == pytest.approx(frame["auc"].iloc[1], rel=1e-12)


def test_few_effective_units_are_warned_of() -> None:
    table = study(120)
    weights = pd.Series(np.where(np.arange(120) < 6, 100.0, 0.01), index=table.index)
    found = ec.balance(design(table), weights=weights, classifier=False)
    (text,) = [text for text in found.warnings if "effective sample size" in text]
    assert "treated units are worth" in text
    assert "control units are worth" in text


def test_indices_of_pictures_are_compared_by_unit_and_by_image() -> None:
    table = study()
    green = pd.DataFrame({"ndvi": table["age"] * 2 + 1}, index=table.index)
    frame = (
        ec.balance(design(table), indices=green.sample(frac=1, random_state=0)).to_frame().set_index("term")
    )
    assert frame.loc["ndvi", "kind"] == "index"
    assert frame.loc["ndvi", "smd"] == pytest.approx(frame.loc["age", "smd"], rel=1e-9)
    units = ec.read_units(table.reset_index(), id="id", image_key="village")
    by_image = ec.balance(design(units), indices=images(width=2)).to_frame().set_index("term")
    values = images(width=2).values[table["village"].to_numpy(), 1]
    assert by_image.loc["f1", "mean_treated"] == pytest.approx(values[table["grant"] == 1].mean(), rel=1e-6)


def test_a_weighted_balance_goes_through_json_and_is_drawn() -> None:
    import matplotlib.pyplot as plt

    asked = design(study(selected=True), features=images())
    found = ec.balance(asked, weights=ec.ate(asked, method="ipw", learners=FAST), learners=FAST)
    back = Balance.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    assert len(found.summary().splitlines()) <= 25
    assert "after weighting" in repr(found)
    axes = found.plot()
    rings, dots = (line for line in axes.lines if line.get_marker() == "o")
    drawn = found.worst(40)
    np.testing.assert_array_equal(rings.get_xdata(), drawn["smd"])
    np.testing.assert_array_equal(dots.get_xdata(), drawn["smd_weighted"])
    assert rings.get_markerfacecolor() == "white"
    plt.close("all")


BAD = {
    "not a Series": (lambda table: np.ones(120), r"weights is a ndarray[\s\S]*ec\.ate"),
    "strangers": (lambda table: pd.Series(1.0, index=[*table.index, 7]), r"does not have[\s\S]*7"),
    "negative": (
        lambda table: pd.Series(np.where(np.arange(120) == 3, -1.0, 1), index=table.index),
        "not negative",
    ),
    "missing": (
        lambda table: pd.Series(np.where(np.arange(120) == 3, np.nan, 1), index=table.index),
        "finite numbers",
    ),
    "repeated": (lambda table: pd.Series(1.0, index=[table.index[0]] * 120), "Ids repeat"),
    "one arm": (lambda table: pd.Series(table["grant"] * 1.0), "fewer than two units with a weight"),
}


@pytest.mark.parametrize("name", BAD)
def test_weights_that_cannot_be_used_are_refused(name: str) -> None:
    table = study()
    make, words = BAD[name]
    with pytest.raises(EvaluationError, match=words):
        ec.balance(design(table), weights=make(table))


def test_an_estimate_without_weights_and_indices_without_units_are_refused() -> None:
    table = study()
    asked = design(table)
    with pytest.raises(EvaluationError, match=r"weighs no units[\s\S]*ipw"):
        ec.balance(asked, weights=ec.ate(asked, method="regression"))
    with pytest.raises(EvaluationError, match=r"missing for some units[\s\S]*100"):
        ec.balance(asked, indices=pd.DataFrame({"ndvi": [0.5]}, index=[103]))
    with pytest.raises(EvaluationError, match="cannot be read"):
        ec.balance(asked, indices=pd.DataFrame({"ndvi": ["a"] * 120}, index=table.index))
    with pytest.raises(EvaluationError, match=r"estimand='all'[\s\S]*att"):
        ec.balance(asked, estimand="all")
    with pytest.raises(EvaluationError, match="nothing that a classifier"):
        ec.balance(design(table, covariates=[]), indices=table[["age"]], classifier=True)


def test_the_classifier_takes_the_folds_that_are_asked_for() -> None:
    table = study(200, selected=True)
    asked = design(table)
    weights = pd.Series(1.0, index=table.index)
    found = ec.balance(asked, weights=weights, learners=FAST, folds=ec.Folds(k=2))
    dealt = ec.Folds(k=2).assign(asked, seed=0)
    influence = found.classifier.scores["after weighting"].to_numpy()
    # of two folds the first teaches and the second is ranked
    assert (influence[dealt == 0] == 0).all()
    assert (influence[dealt == 1] != 0).any()


def test_a_column_that_parts_the_arms_is_neither_chance_nor_lost_on_disk() -> None:
    table = study()
    parts = pd.DataFrame({"trees": 3.0 + 2 * table["grant"], "same": 1.0}, index=table.index)
    weights = pd.Series(1.0, index=table.index)
    found = ec.balance(design(table), indices=parts, weights=weights, classifier=False)
    frame = found.to_frame().set_index("term")
    assert frame.loc["trees", ["smd", "smd_weighted"]].tolist() == [np.inf, np.inf]
    assert frame.loc["same", "smd"] == 0
    assert found.joint_p_value == 0.0
    back = Balance.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    pd.testing.assert_frame_equal(back.table, found.table)
    assert back.summary() == found.summary()
    alone = ec.balance(design(table), indices=parts[["same"]], classifier=False)
    assert alone.joint_p_value == pytest.approx(ec.balance(design(table)).joint_p_value, rel=1e-9)


def test_columns_of_one_name_are_told_apart() -> None:
    table = study().assign(longitude=np.linspace(30, 33, 120), latitude=np.linspace(1, 2, 120))
    units = ec.read_units(table.reset_index(), id="id", lon="longitude", lat="latitude")
    indices = pd.DataFrame(table[["age", "age"]].to_numpy(), index=table.index, columns=["age", "age"])
    found = ec.balance(design(units, covariates=["age", "longitude"]), indices=indices)
    assert found.table["term"].tolist() == [
        "age", "longitude", "age (index)", "age (index 2)", "longitude (place)", "latitude"
    ]  # fmt: skip
    assert found.terms == tuple(found.table["term"])


def test_a_small_arm_that_is_weighted_evenly_is_no_reason_to_warn() -> None:
    table = study(60)
    table["grant"] = (np.arange(60) % 3 == 0).astype(int)
    weights = pd.Series(1.0, index=table.index)
    assert ec.balance(design(table), weights=weights, classifier=False).diagnostics["ess_treated"] == 20
    few = "effective sample size"
    assert not any(
        few in one for one in ec.balance(design(table), weights=weights, classifier=False).warnings
    )
    weights[table.index[:3]] = 50.0
    told = ec.balance(design(table), weights=weights, classifier=False).warnings
    assert any(few in one and "20 treated units are worth 1." in one for one in told)
