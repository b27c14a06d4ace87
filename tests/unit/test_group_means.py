"""Means of groups: closed forms, errors of sampling taken off, corrected means as far off as they say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.group_means_result import GroupMeans
from eocausal.errors import DebiasError, DesignError


def _units(
    n_groups: int = 150,
    per: int = 6,
    *,
    seed: int = 0,
    k: float = 0.7,
    within: float = 0.0,
    noise: float = 1.5,
) -> pd.DataFrame:
    """Units of districts; the map follows levels by k, and what units differ by within districts by ``within``."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), per)
    level = rng.normal(10, 1, size=n_groups)
    own = noise * rng.normal(size=group.size)
    wealth = level[group] + own
    mapped = 2 + k * level[group] + 0.2 * rng.normal(size=n_groups)[group] + within * own
    frame = {
        "district": [f"d{one:03d}" for one in group],
        "wealth": wealth,
        "map": mapped,
        "level": level[group],
    }
    return pd.DataFrame(frame)


def _found(units: pd.DataFrame, **options: object) -> GroupMeans:
    return ec.group_means(units, by="district", prediction="map", truth="wealth", **options)


def test_the_slope_is_the_moment_estimator_by_hand() -> None:
    units = _units(within=0.3)
    by = units.groupby("district")
    means, n = by[["map", "wealth"]].mean(), by.size()
    noise = (by["wealth"].var() / n).mean()
    shared = (by.apply(lambda one: np.cov(one["map"], one["wealth"])[0, 1], include_groups=False) / n).mean()
    moments = np.cov(means["map"], means["wealth"])
    k = (moments[0, 1] - shared) / (moments[1, 1] - noise)
    found = _found(units)
    assert found.estimate[0] == pytest.approx(k, rel=1e-10)
    assert found.estimate[1] == pytest.approx(means["map"].mean() - k * means["wealth"].mean(), rel=1e-10)
    assert found.diagnostics["k_with_sampling_error"] == pytest.approx(
        moments[0, 1] / moments[1, 1], rel=1e-10
    )
    assert found.diagnostics["reliability"] == pytest.approx(1 - noise / moments[1, 1], rel=1e-10)
    assert found.groups["truth_var"].to_numpy() == pytest.approx(
        (by["wealth"].var() / n).to_numpy(), rel=1e-10
    )


def test_error_of_sampling_is_taken_off_and_units_shrink_more() -> None:
    """Levels vary by 1, units in a district by 2.25: means of six as they are give 0.7 / 1.375."""
    found = _found(_units(n_groups=4000))
    assert found.estimate[0] == pytest.approx(0.7, abs=0.03)
    assert found.diagnostics["k_with_sampling_error"] == pytest.approx(0.7 / 1.375, abs=0.02)
    assert found.diagnostics["k_of_units"] == pytest.approx(0.7 / 3.25, abs=0.02)
    assert found.label_noise_var == pytest.approx(2.25 / 6, abs=0.03)
    assert found.spread == pytest.approx(0.04, abs=0.015)


def test_predictions_of_the_measured_units_share_their_error_of_sampling() -> None:
    """Where the map follows units too, k without the covariance would be ``0.7 + 0.5 * 0.375``."""
    found = _found(_units(n_groups=4000, within=0.5))
    assert found.estimate[0] == pytest.approx(0.7, abs=0.03)
    assert (found.groups["prediction_var"] > 0).all()


def test_means_that_are_handed_in_give_what_units_give() -> None:
    units = _units()
    plain = _found(units)
    by = units.groupby("district")
    means = by[["map", "wealth"]].mean().assign(v=by["wealth"].var() / by.size()).reset_index()
    handed = _found(means.sample(frac=1, random_state=0), noise_var="v")
    assert handed.fit.values == pytest.approx(plain.fit.values, rel=1e-10)
    assert handed.fit.variance.matrix == pytest.approx(plain.fit.variance.matrix, rel=1e-10)
    assert "k_of_units" not in handed.diagnostics
    assert handed.table()["corrected"].to_numpy() == pytest.approx(plain.table()["corrected"].to_numpy())


def test_the_corrector_of_debias_has_the_same_slope() -> None:
    found = _found(_units(within=0.2))
    made = ec.debias(
        found.calibration, prediction="prediction", truth="truth", method="lcc",
        label_noise_var=found.label_noise_var,
    )  # fmt: skip
    assert made.k == pytest.approx(found.estimate[0], rel=1e-10)


def test_the_slope_covers_and_corrected_means_are_as_far_off_as_they_say() -> None:
    covered, away = [], []
    for seed in range(150):
        low, high = _found(_units(n_groups=80, seed=seed, within=0.2)).ci()[0]
        covered.append(low <= 0.7 <= high)
    for seed in range(10):
        units = _units(n_groups=1000, seed=seed, within=0.2)
        made = _found(units).table()
        truth = units.groupby("district")["level"].first()
        away.append(((made["corrected"] - truth) / made["std_error"]).to_numpy())
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)
    z = np.concatenate(away)
    assert z.mean() == pytest.approx(0.0, abs=0.05)
    assert z.std() == pytest.approx(1.0, abs=0.06)
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.02)


def test_order_of_rows_unit_of_measure_and_weights() -> None:
    units = _units().assign(w=3.0)
    plain = _found(units)
    assert _found(units.sample(frac=1, random_state=1)).fit.values == pytest.approx(
        plain.fit.values, rel=1e-10
    )
    assert _found(units, weights="w").fit.values == pytest.approx(plain.fit.values, rel=1e-12)
    scaled = _found(units.assign(map=1 + 4 * units["map"], wealth=1 + 4 * units["wealth"]))
    assert scaled.estimate[0] == pytest.approx(plain.estimate[0], rel=1e-10)
    assert scaled.std_error[0] == pytest.approx(plain.std_error[0], rel=1e-10)
    assert scaled.table()["std_error"].to_numpy() == pytest.approx(4 * plain.table()["std_error"].to_numpy())
    heavy = _found(units.assign(w=np.where(np.arange(len(units)) % 6 == 0, 4.0, 1.0)), weights="w")
    own = units.iloc[:6]["wealth"].to_numpy()
    assert heavy.groups["truth"].iloc[0] == pytest.approx((4 * own[0] + own[1:].sum()) / 9)


def test_groups_with_one_unit_take_the_variance_of_the_others() -> None:
    units = _units(n_groups=40)
    units = units[~((units["district"] == "d000") & units.duplicated("district"))]
    found = _found(units)
    by = units.groupby("district")["wealth"]
    assert found.groups["n"].iloc[0] == 1
    assert found.groups["truth_var"].iloc[0] == pytest.approx(by.var().mean())


def test_districts_without_measurements_are_corrected() -> None:
    found = _found(_units())
    k, m = found.fit.values
    made = found.correct(pd.Series([8.0, 9.0], index=["x", "y"]))
    assert made["corrected"].tolist() == pytest.approx([(8 - m) / k, (9 - m) / k])
    assert made.index.tolist() == ["x", "y"]
    noisy = found.correct([8.0], sampling_var=[0.5])
    assert noisy["std_error"][0] ** 2 - made["std_error"].iloc[0] ** 2 == pytest.approx(0.5 / k**2)
    with pytest.raises(DebiasError, match="missing, infinite or negative"):
        found.correct([np.nan])
    with pytest.raises(DebiasError, match="missing, infinite or negative"):
        found.correct([1.0], sampling_var=-1.0)


def test_the_result_has_all_members_and_survives_a_file() -> None:
    found = _found(_units(n_groups=25))
    assert any("25 groups" in text for text in found.warnings)
    assert "\n" not in repr(found)
    assert repr(found).startswith("GroupMeans(line of group means")
    assert len(found.summary().splitlines()) <= 25
    again = GroupMeans.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    assert "groups" not in found.to_dict()
    regions = pd.Series(np.arange(25) % 12, index=found.groups.index, name="region")
    clustered = found.with_vcov({"cluster": regions})
    assert clustered.n_clusters == 12
    assert clustered.table()["std_error"].iloc[0] != found.table()["std_error"].iloc[0]
    from matplotlib import pyplot as plt

    ax = found.plot()
    assert "measured mean of district" in ax.get_xlabel()
    plt.close(ax.figure)


@pytest.mark.parametrize(("change", "options", "error", "words"), [
    (lambda u: u.drop(columns="map"), {}, DebiasError, "Column 'map' is not in the data"),
    (lambda u: u.assign(map=u["map"].where(u["map"] > 9)), {}, DebiasError, "'map' is missing in some rows"),
    (lambda u: u.assign(district=u["district"].where(u["map"] > 9)), {}, DebiasError, "'district' is missing"),
    (lambda u: u.iloc[:50], {}, DebiasError, "9 groups"),
    (lambda u: u.drop_duplicates("district"), {}, DebiasError, "No group has two units"),
    (lambda u: u.assign(v=0.1), {"noise_var": "v"}, DebiasError, "some groups have several rows"),
    (lambda u: u.drop_duplicates("district").assign(v=-0.1), {"noise_var": "v"}, DebiasError, "negative"),
    (lambda u: u.drop_duplicates("district").assign(v=100.0), {"noise_var": "v"}, DebiasError, "error of sampling"),
    (lambda u: u.assign(v=0.1), {"noise_var": "v", "weights": "v"}, DebiasError, "weights= are of units"),
    (lambda u: u.assign(map=20 - u["map"]), {}, DebiasError, "hardly follow"),
    (lambda u: u.assign(wealth=1.1), {}, DebiasError, "'wealth' has the same value everywhere"),
    (lambda u: u.assign(map=1.1), {}, DebiasError, "'map' has the same value everywhere"),
    (lambda u: u.assign(wealth="rich"), {}, DesignError, "not numeric"),
    (lambda u: u.assign(w=-1.0), {"weights": "w"}, DesignError, "must be positive"),
    (lambda u: u.to_dict(), {}, DebiasError, "data is a dict"),
    (lambda u: u.assign(district=[[1]] * len(u)), {}, DebiasError, "cannot be told apart or sorted"),
])  # fmt: skip
def test_what_cannot_be_estimated_says_why(
    change: object, options: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _found(change(_units()), **options)


@pytest.mark.parametrize(("predictions", "variances", "words"), [
    ([0.1, 0.2], [0.1, 0.2, 0.3], r"shape \(2,\) and variances of shape \(3,\)"),
    (np.ones((2, 2)), 0.0, r"shape \(2, 2\)"),
    (pd.Series([0.1, 0.2], index=["a", "b"]), pd.Series([0.3, 0.4], index=["b", "a"]), "another order"),
    ([0.1, np.nan], 0.0, "missing, infinite or negative"),
    ([0.1, 0.2], -1.0, "missing, infinite or negative"),
    (np.ma.array([0.1, 9e9], mask=[False, True]), 0.0, r"missing, infinite or negative[\s\S]*1 \(1\)"),
    (["a"], 0.0, "predictions are not numbers"),
    ([0.1], ["a"], "sampling_var are not numbers"),
])  # fmt: skip
def test_predictions_that_cannot_be_corrected_say_why(
    predictions: object, variances: object, words: str
) -> None:
    found = _found(_units())
    with pytest.raises(DebiasError, match=words):
        found.correct(predictions, sampling_var=variances)


def test_predictions_in_another_unit_are_told() -> None:
    units = _units()
    assert not any("same unit" in text for text in _found(units).warnings)
    assert any("same unit" in text for text in _found(units.assign(map=1000 * units["map"])).warnings)
