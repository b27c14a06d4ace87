"""Every crafted leak is found, and no honest column is called one."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal import leaks
from eocausal.errors import LeakError
from tests.studies import by_village, design, images, study


def _with(**columns: object) -> pd.DataFrame:
    return study(selected=True).assign(**columns)


T = study(selected=True)["grant"].to_numpy(dtype=float)
AGE = study(selected=True)["age"].to_numpy()

LEAKS = {
    "copy": (T, "equals the treatment up to scale"),
    "scaled": (7 - 3 * T, "equals the treatment up to scale"),
    "float32": (T.astype(np.float32) * 0.1, "equals the treatment up to scale"),
    "boolean": (T == 0, "equals the treatment up to scale"),
    "times a column": (T * AGE, "equals the treatment times 'age'"),
    "times another": ((1 - T) * AGE, "constant among the treated and varies in the other arm"),
    "times and shifted": (T * AGE + 4, "constant among the controls and varies in the other arm"),
    "separated": (AGE + 100 * T, "separates the arms completely"),
    "separated downwards": (AGE - 100 * T, "separates the arms completely"),
    "endline of the treated": (T * np.exp(AGE), "constant among the controls"),
}


@pytest.mark.parametrize("name", list(LEAKS))
def test_a_covariate_made_from_the_treatment_is_refused_by_name(name: str) -> None:
    values, reason = LEAKS[name]
    with pytest.raises(LeakError, match=rf"'made' .*{reason}[\s\S]*c != 'made'"):
        design(_with(made=values), covariates=["age", "made"])


@pytest.mark.parametrize(("name", "feature"), [
    ("copy", T), ("scaled", 2 * T - 9), ("times", T * AGE), ("separated", AGE + 100 * T),
])  # fmt: skip
def test_a_feature_made_from_the_treatment_is_refused_by_name(name: str, feature: np.ndarray) -> None:
    table = study(selected=True)
    table["key"] = np.arange(len(table))
    frame = pd.DataFrame({"key": table["key"], "good": AGE, "bad": feature})
    with pytest.raises(LeakError, match=r"features follow from the treatment[\s\S]*1 \(bad "):
        design(table, features=ec.read_embeddings(frame, key="key"))


def test_the_outcome_is_refused_as_covariate_by_name_and_by_value() -> None:
    table = study()
    with pytest.raises(LeakError, match=r"outcome 'income' is among the covariates"):
        design(table, covariates=["age", "income"])
    with pytest.raises(LeakError, match=r"treatment 'grant' is among the covariates"):
        design(table, covariates=["grant"])
    with pytest.raises(LeakError, match=r"same column 'grant'"):
        design(table, outcome="grant")
    for values in (table["income"], 5 - 0.01 * table["income"], table["income"] * 1e9):
        with pytest.raises(LeakError, match=r"'copy' equals the outcome up to scale"):
            design(table.assign(copy=values), covariates=["age", "copy"])


def test_the_outcome_among_the_features_is_refused() -> None:
    table = study()
    table["key"] = np.arange(len(table))
    frame = pd.DataFrame({"key": table["key"], "good": table["age"], "paid": 3 - 2 * table["income"]})
    with pytest.raises(LeakError, match=r"features equal the outcome up to scale[\s\S]*1 \(paid\)"):
        design(table, features=ec.read_embeddings(frame, key="key"))


def test_text_that_determines_treatment_is_refused_by_the_name_of_its_column() -> None:
    table = study()
    one = np.where(table["grant"] == 1, "grant", "none")
    with pytest.raises(LeakError, match=r"'status\[none\]' equals the treatment[\s\S]*c != 'status'\]"):
        design(table.assign(status=one), covariates=["status"])
    four = np.where(table["grant"] == 1, "paid ", "unpaid ") + np.where(np.arange(120) % 2, "man", "woman")
    with pytest.raises(LeakError, match=r"'status\[paid woman\]'[\s\S]*c != 'status'\]"):
        design(table.assign(status=four.astype(object)), covariates=["status"])


def _units(dates: object) -> ec.Units:
    table = study().reset_index().assign(granted=dates, lon=34.0, lat=np.linspace(1, 2, 120))
    return ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village", date="granted")


def test_imagery_on_or_after_treatment_is_refused_with_units_and_count() -> None:
    dates = np.where(np.arange(120) < 7, "2008-01-01", "2008-06-30")
    for taken, late in (("2008-01-01", 7), ("2008-03-01", 7), ("2008-06-30", 120)):
        words = rf"imagery of {taken} was taken on or after treatment[\s\S]*Where: {late} \(100, 103, 106"
        with pytest.raises(LeakError, match=words):
            design(_units(dates), features=images(date=taken))
    assert len(design(_units(dates), features=images(date="2007-12-31"))) == 120
    assert len(design(_units(dates), features=images())) == 120


def test_units_never_treated_have_no_date_and_no_late_image() -> None:
    dates = np.where(study()["grant"] == 1, "2008-01-01", None)
    assert len(design(_units(dates), features=images(date="2007-01-01"))) == 120
    n_treated = int(study()["grant"].sum())
    with pytest.raises(LeakError, match=rf"Where: {n_treated} \("):
        design(_units(dates), features=images(date="2009-01-01"))


# No false alarms


@pytest.mark.parametrize("seed", range(10))
def test_traits_of_few_villages_pass_when_villages_were_assigned(seed: int) -> None:
    table = by_village(seed=seed)
    treated = sorted(set(table.loc[table["grant"] == 1, "village"]))
    for few in ([treated[0]], treated[:2], treated[:4]):
        hit = table["village"].isin(few)
        marked = table.assign(coast=hit.astype(float), yards=hit * table["age"])
        made = design(marked, cluster="village", covariates=["coast", "yards"])
        assert made.table.covariate_names == ("coast", "yards")


@pytest.mark.parametrize("seed", range(10))
def test_a_sparse_feature_of_a_big_place_passes_with_and_without_a_named_cluster(seed: int) -> None:
    table = by_village(480, seed=seed, n_villages=12)
    values = np.random.default_rng(seed).normal(size=(12, 3))
    values[:, 2] = 0
    values[int(table.loc[table["grant"] == 1, "village"].iloc[0]), 2] = 1.3
    frame = pd.DataFrame({"village": np.arange(12), **{f"f{k}": values[:, k] for k in range(3)}})
    features = ec.read_embeddings(frame, key="village")
    for options in ({}, {"cluster": "village"}):
        assert design(table, features=features, **options).table.features.shape == (480, 3)


@pytest.mark.parametrize("seed", range(20))
def test_rare_dummies_pass(seed: int) -> None:
    table = study(seed=seed)
    treated = np.flatnonzero(table["grant"] == 1)
    for count in (1, 3, 10):
        rare = np.zeros(120)
        rare[np.random.default_rng(seed).choice(treated, count, replace=False)] = 1
        assert design(table.assign(rare=rare), covariates=["rare"]).table.covariates.shape == (120, 1)


@pytest.mark.parametrize("n", [4, 6, 10])
def test_tiny_samples_pass_whatever_a_covariate_does(n: int) -> None:
    grant = np.arange(n) % 2
    for values in (np.arange(n), grant * np.arange(1.0, n + 1), 10 * grant + np.arange(n)):
        table = pd.DataFrame({"grant": grant, "x": values, "income": np.random.default_rng(n).normal(size=n)})
        assert len(ec.Design(table, outcome="income", treatment="grant", covariates=["x"])) == n


def test_dummies_of_villages_pass_with_the_cluster_and_say_what_to_do_without() -> None:
    table = by_village(480, n_villages=24).assign(place=lambda t: "v" + t["village"].astype(str))
    assert len(design(table, cluster="village", covariates=["place"]).table.covariate_names) == 23
    with pytest.raises(LeakError, match=r"'place\[v\d+\]'[\s\S]*needs cluster= in Design"):
        design(table, covariates=["place"])


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_columns_pass_in_wide_embeddings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = study(seed=seed).assign(key=np.arange(120))
    # like rectified features: many zeros, some alive in few images only
    values = np.maximum(rng.normal(size=(120, 500)) - rng.uniform(0, 2.5, size=500), 0)
    frame = pd.DataFrame({"key": np.arange(120), **{f"f{k}": values[:, k] for k in range(500)}})
    assert design(table, features=ec.read_embeddings(frame, key="key")).table.features.shape[1] == 500


def test_the_chance_of_a_flat_arm_is_the_share_of_assignments_that_bring_it_about() -> None:
    treatment = np.array([1.0, 1, 1, 1, 0, 0, 0])
    column = np.array([5.0, 6, 0, 0, 0, 0, 0])
    hits = [set(chosen) >= {0, 1} for chosen in itertools.combinations(range(7), 4)]
    chance = leaks._chance_of_flat_arm(column, treatment, np.arange(7), flat_arm=0)
    assert chance == pytest.approx(np.mean(hits), rel=1e-12)


def test_the_chance_of_separation_is_one_order_of_the_arms_either_way() -> None:
    chance = leaks._chance_of_separation(np.array([1.0, 1, 1, 0, 0, 0, 0]), np.arange(7))
    assert chance == pytest.approx(2 / 35, rel=1e-12)


def test_complete_separation_of_24_units_is_a_leak_and_of_22_is_not() -> None:
    # separation of n units in two equal arms: 2 / C(n, n / 2)
    for n, leak in ((22, False), (24, True)):
        treatment = np.repeat([0.0, 1.0], n // 2)
        column = np.arange(float(n))
        found = leaks.function_of_treatment(column, treatment, groups=np.arange(n))
        assert (found is not None) is leak


@pytest.mark.parametrize(("column", "equal"), [
    ([1.0, 2, 3], True), ([-2.0, -4, -6], True), ([1.0, 2, 3.001], False), ([1.0, 1, 1], False),
])  # fmt: skip
def test_equal_up_to_scale(column: list[float], equal: bool) -> None:
    assert leaks.equal_up_to_scale(np.array(column), np.array([10.0, 20, 30])) is equal
