"""Balance by loops and closed forms, whatever units a column is measured in."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.balance import Balance
from eocausal.inference.smd import standardised_differences, weighted_variance
from tests.studies import by_village, design, images, study


def _looped_smd(x, t, w, base) -> float:
    means, spread = [], []
    for arm in (0, 1):
        rows = [i for i in range(len(x)) if t[i] == arm]
        means.append(sum(w[i] * x[i] for i in rows) / sum(w[i] for i in rows))
        total = sum(base[i] for i in rows)
        centre = sum(base[i] * x[i] for i in rows) / total
        squares = sum(base[i] / total * (x[i] - centre) ** 2 for i in rows)
        spread.append(squares / (1 - sum((base[i] / total) ** 2 for i in rows)))
    return (means[1] - means[0]) / np.sqrt((spread[0] + spread[1]) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_smd_is_that_of_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(30, 3)) * [1, 50, 1e-4], np.arange(30) % 2 * 1.0
    w, base = rng.uniform(0.5, 2, size=(2, 30))
    found = standardised_differences(x, t, weights=w, base_weights=base)
    np.testing.assert_allclose(found, [_looped_smd(x[:, k], t, w, base) for k in range(3)], rtol=1e-11)
    plain = standardised_differences(x, t, weights=np.ones(30))
    by_hand = (x[t == 1].mean(0) - x[t == 0].mean(0)) / np.sqrt(
        (x[t == 1].var(0, ddof=1) + x[t == 0].var(0, ddof=1)) / 2
    )
    np.testing.assert_allclose(plain, by_hand, rtol=1e-12)


def test_equal_weights_give_the_ordinary_variance() -> None:
    x = np.random.default_rng(0).normal(size=(12, 2))
    np.testing.assert_allclose(weighted_variance(x, np.full(12, 7.0)), x.var(axis=0, ddof=1), rtol=1e-12)


def test_columns_without_spread_have_no_difference_or_an_infinite_one() -> None:
    rng = np.random.default_rng(0)
    t, weights = np.arange(241) % 2 * 1.0, rng.uniform(0.5, 2, size=241)
    # sums of these round, so that means of the arms differ in the last digit
    columns = np.column_stack([np.full(241, 30.1), np.full(241, 0.1), np.full(241, 1e9 / 3), t, 1 - t])
    assert (np.average(columns[t == 1, :3], axis=0) != columns[0, :3]).any()
    found = standardised_differences(columns, t, weights=weights, base_weights=weights)
    assert found.tolist() == [0, 0, 0, np.inf, -np.inf]


def test_the_table_by_hand() -> None:
    table = study()
    frame = ec.balance(design(table)).to_frame().set_index("term")
    treated = table["grant"] == 1
    for name in ("age", "wealth"):
        one, zero = table.loc[treated, name], table.loc[~treated, name]
        assert frame.loc[name, "mean_treated"] == pytest.approx(one.mean(), rel=1e-12)
        assert frame.loc[name, "mean_control"] == pytest.approx(zero.mean(), rel=1e-12)
        pooled = np.sqrt((one.var() + zero.var()) / 2)
        assert frame.loc[name, "smd"] == pytest.approx((one.mean() - zero.mean()) / pooled, rel=1e-11)
        assert frame.loc[name, "variance_ratio"] == pytest.approx(one.var() / zero.var(), rel=1e-11)
        error = np.sqrt(sum(((a - a.mean()) ** 2).sum() / len(a) ** 2 for a in (one, zero)) * 120 / 118)
        p = 2 * stats.t.sf(abs(one.mean() - zero.mean()) / error, 118)
        assert frame.loc[name, "p_value"] == pytest.approx(p, rel=1e-9)


def test_the_joint_p_value_is_hotellings() -> None:
    table = study()
    found = ec.balance(design(table))
    treated = (table["grant"] == 1).to_numpy()
    x = table[["age", "wealth"]].to_numpy()
    gap = x[treated].mean(0) - x[~treated].mean(0)
    spread = sum(
        (x[rows] - x[rows].mean(0)).T @ (x[rows] - x[rows].mean(0)) / rows.sum() ** 2
        for rows in (treated, ~treated)
    )
    wald = gap @ np.linalg.inv(spread * 120 / 118) @ gap
    expected = stats.f.sf(wald * (118 - 2 + 1) / (118 * 2), 2, 118 - 2 + 1)
    assert found.joint_p_value == pytest.approx(expected, rel=1e-9)


def test_one_column_has_the_p_value_of_its_t_test() -> None:
    found = ec.balance(design(study(), covariates=["age"]))
    assert found.joint_p_value == pytest.approx(found.to_frame()["p_value"].iloc[0], rel=1e-10)


@pytest.mark.parametrize("factor", [1e-9, 1e9, 1e15])
def test_units_of_measurement_do_not_matter(factor: float) -> None:
    table = study()
    options = {"covariates": ["age", "wealth", "weight"]}
    base = ec.balance(design(table, **options))
    scaled = ec.balance(design(table.assign(age=table["age"] * factor), **options))
    assert scaled.joint_p_value == pytest.approx(base.joint_p_value, rel=1e-6)
    for name in ("smd", "variance_ratio", "p_value"):
        np.testing.assert_allclose(scaled.to_frame()[name], base.to_frame()[name], rtol=1e-6)


def test_collinear_columns_count_once_in_the_joint_test() -> None:
    table = study()
    once = ec.balance(design(table))
    mixed = table.assign(sum=table["age"] - 2 * table["wealth"])
    thrice = ec.balance(design(mixed, covariates=["age", "wealth", "sum"]))
    assert thrice.joint_p_value == pytest.approx(once.joint_p_value, rel=1e-6)


def test_the_joint_test_has_its_size_and_finds_an_imbalance() -> None:
    rng = np.random.default_rng(0)
    ps = []
    for seed in range(200):
        table = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
        table["grant"], table["income"] = np.arange(60) % 2, rng.normal(size=60)
        made = ec.Design(table, outcome="income", treatment="grant", covariates=list("abcd"))
        ps.append(ec.balance(made, seed=seed).joint_p_value)
    # 99.9% binomial band of 0.05 with 200 draws
    assert 0.01 <= np.mean(np.array(ps) < 0.05) <= 0.105
    assert stats.kstest(ps, "uniform").pvalue > 0.001
    assert ec.balance(design(study(400, selected=True))).joint_p_value < 1e-4


def test_clusters_reach_every_p_value() -> None:
    table = by_village()
    table["height"] = np.random.default_rng(0).normal(size=24)[table["village"]]
    options = {"covariates": ["height", "age"]}
    alone = ec.balance(design(table, **options)).to_frame().set_index("term")
    found = ec.balance(design(table, cluster="village", **options))
    fit_by_hand = ec.ate(design(table.assign(income=table["height"]), cluster="village", covariates=[]),
                         method="difference")  # fmt: skip
    frame = found.to_frame().set_index("term")
    assert frame.loc["height", "p_value"] == pytest.approx(fit_by_hand.p_value(), rel=1e-9)
    assert frame.loc["height", "p_value"] > alone.loc["height", "p_value"]


def test_weights_reach_means_and_differences() -> None:
    table = study()
    frame = ec.balance(design(table, weights="weight")).to_frame().set_index("term")
    treated = table[table["grant"] == 1]
    assert frame.loc["age", "mean_treated"] == pytest.approx(
        np.average(treated["age"], weights=treated["weight"])
    )
    t, w = table["grant"].to_numpy(), table["weight"].to_numpy()
    assert frame.loc["age", "smd"] == pytest.approx(_looped_smd(table["age"].to_numpy(), t, w, w), rel=1e-10)


def test_features_and_places_are_compared_too() -> None:
    table = study().reset_index().assign(lon=np.linspace(30, 31, 120), lat=2.0)
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    frame = ec.balance(design(units, features=images(width=20)), n_components=3).to_frame()
    assert frame["kind"].tolist() == ["covariate"] * 2 + ["feature"] * 3 + ["place"] * 2
    assert frame["term"].tolist()[2:5] == [f"features component {k}" for k in (1, 2, 3)]
    same_latitude = frame[frame["term"] == "latitude"].iloc[0]
    assert (same_latitude["smd"], same_latitude["p_value"], same_latitude["mean_treated"]) == (
        0,
        1,
        pytest.approx(2),
    )


@pytest.mark.parametrize("n", [4, 6, 9])
def test_few_units_and_wide_features(n: int) -> None:
    table = pd.DataFrame({"village": np.arange(n), "grant": np.arange(n) % 2, "income": np.arange(n) ** 2.0})
    found = ec.balance(ec.Design(table, outcome="income", treatment="grant", features=images(n, width=8)))
    assert len(found.to_frame()) == 8
    back = Balance.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found


def test_a_result_goes_through_json() -> None:
    found = ec.balance(design(by_village(), cluster="village", features=images()))
    back = Balance.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    pd.testing.assert_frame_equal(back.to_frame(), found.to_frame())
    assert found != ec.balance(design(by_village()))


def test_the_worst_come_first_and_texts_are_short() -> None:
    found = ec.balance(design(study(selected=True), features=images(width=30)), n_components=10)
    worst = found.worst(3)
    assert worst["smd"].abs().is_monotonic_decreasing
    assert worst["smd"].abs().iloc[0] == found.to_frame()["smd"].abs().max()
    assert worst["term"].iloc[0] == "age"
    assert len(found.summary().splitlines()) <= 25
    assert "age" in repr(found)


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(EvaluationError, match=r"nothing to compare[\s\S]*covariates="):
        ec.balance(design(study(), covariates=[]))
