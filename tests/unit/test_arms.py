"""Clusters counted by arm for each choice of standard errors, and choices finer than the assignment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.inference.arms import OFFER, Arms, nested
from tests.studies import by_village, design, study

FEW = "with fewer than 30 in an arm, clustered standard errors are too small"


def test_counts_follow_the_clusters_that_are_chosen() -> None:
    table = by_village()
    made = ec.ate(design(table, cluster="village"), method="difference")
    treated = int(table.groupby("village")["grant"].first().sum())
    assert list(made.diagnostics)[:5] == [
        "n_treated", "n_control", "clusters_treated_only", "clusters_control_only", "clusters_with_both_arms",
    ]  # fmt: skip
    assert (made.diagnostics["clusters_treated_only"], made.diagnostics["clusters_with_both_arms"]) == (
        treated,
        0,
    )
    assert any(
        f"{treated} clusters with treated and {24 - treated} with control" in one for one in made.warnings
    )

    district = (table["village"] // 8).rename("district")
    wide = made.with_vcov({"cluster": district})
    assert (wide.diagnostics["clusters_treated_only"], wide.diagnostics["clusters_with_both_arms"]) == (0, 3)
    (few,) = [one for one in wide.warnings if FEW in one]
    assert few.startswith("3 clusters with treated and 3 with control units")
    assert few.endswith(f"too small; {OFFER}")
    assert not any("the design's cluster is" in one for one in wide.warnings)
    assert list(wide.diagnostics) == list(made.diagnostics)
    # and back again
    assert wide.with_vcov("cluster") == made.with_vcov({"cluster": district}).with_vcov("cluster")
    assert wide.with_vcov("cluster").diagnostics == made.diagnostics
    assert wide.with_vcov("cluster").warnings == made.warnings


def test_choices_finer_than_the_assignment_are_told_with_both_counts() -> None:
    table = by_village()
    made = ec.ate(design(table, cluster="village"), method="difference")
    treated = int(table.groupby("village")["grant"].first().sum())
    house = pd.Series(np.arange(120) // 2 + 1000 * table["village"].to_numpy(), table.index, name="house")
    n_houses = house.nunique()
    for choice, words in (
        ({"cluster": house}, f"but cluster(house) has {n_houses} clusters that part them"),
        ("iid", "but iid standard errors take 120 units as independent"),
        ("hetero", "but hetero standard errors take 120 units as independent"),
    ):
        found = made.with_vcov(choice)
        (told,) = [one for one in found.warnings if "the design's cluster is" in one]
        assert told.startswith(
            f"the design's cluster is 'village' (24 clusters, {treated} with treated units), {words}"
        )
        assert "with_vcov('cluster')" in told
    asked = ec.ate(design(table, cluster="village"), method="difference", vcov="iid")
    assert asked.warnings == made.with_vcov("iid").warnings
    both = made.with_vcov({"cluster": ["village", house]})
    assert not any("the design's cluster is" in one for one in both.warnings)


def test_without_counts_no_clusters_are_counted() -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference", vcov="iid")
    assert "clusters_treated_only" not in made.diagnostics
    assert made.with_vcov("cluster").diagnostics["clusters_with_both_arms"] == 0
    plain = ec.ate(design(study()), method="difference")
    assert not plain.warnings
    assert plain.arms is not None
    assert plain.arms.cluster is None


def test_the_summary_says_how_many_units_of_assignment_were_treated() -> None:
    table = by_village()
    treated = int(table.groupby("village")["grant"].first().sum())
    made = ec.ate(design(table, cluster="village"), method="difference")
    for result in (made, made.with_vcov("iid")):
        assert f"treated assignment units: {treated} of 24 (village)" in result.summary().splitlines()
    assert "treated assignment units" not in ec.ate(design(study()), method="difference").summary()


def test_bootstraps_of_few_clusters_say_so() -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference")
    (told,) = [
        one for one in made.with_vcov({"bootstrap": "wild"}).warnings if "clusters with treated" in one
    ]
    assert (
        "bootstraps too may reject too often; where treatment was randomised, see ec.randomisation_test"
        in told
    )


@pytest.mark.parametrize("kind", ["block", "wild"])
def test_few_blocks_and_blocks_that_part_clusters_say_so(kind: str) -> None:
    table = by_village(400, n_villages=80).reset_index()
    rng = np.random.default_rng(0)
    # villages half a degree apart in ten columns, houses within some seven km
    table["lon"] = 30 + table["village"] % 10 / 2 + rng.uniform(0.2, 0.3, 400)
    table["lat"] = table["village"] // 10 / 2 + rng.uniform(0.2, 0.3, 400)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    made = ec.ate(design(units, cluster="village"), method="difference")
    assert made.warnings == ()

    few = made.with_vcov({"bootstrap": kind, "block": "300km"})
    assert few.n_clusters < 12
    (told,) = [one for one in few.warnings if "clusters with treated" in one]
    assert told.startswith(f"{few.n_clusters} clusters with treated and {few.n_clusters} with control units")
    assert "bootstraps too may reject too often" in told

    fine = made.with_vcov({"bootstrap": kind, "block": "2km"})
    (told,) = fine.warnings
    assert told.startswith("the design's cluster is 'village' (80 clusters, 40 with treated units), but ")
    assert f"has {fine.n_clusters} clusters that part them" in told


def test_many_clusters_need_no_warning() -> None:
    made = ec.ate(design(by_village(400, n_villages=80), cluster="village"), method="difference")
    assert not made.warnings
    assert made.with_vcov({"bootstrap": "wild"}).warnings == ()


def test_repeats_of_folds_count_too() -> None:
    table = by_village()
    made = ec.ate(design(table, cluster="village"), folds=ec.Folds(k=3, repeats=2))
    district = (table["village"] // 8).rename("district")
    assert made.with_vcov({"cluster": district}).diagnostics["clusters_with_both_arms"] == 3


@pytest.mark.parametrize(
    ("inner", "outer", "expected"), [([1, 1, 2], [5, 5, 5], True), ([1, 1, 2], [5, 6, 6], False)]
)
def test_nested(inner: list[int], outer: list[int], expected: bool) -> None:
    assert nested(np.array(inner), np.array(outer)) is expected


def test_arms_of_several_kinds_count_the_treated_of_any() -> None:
    from eocausal.inference.how import Vcov

    arms = Arms(np.array([0.0, 1.0, 2.0, 0.0]))
    groups = {"g": np.array(["a", "a", "b", "c"])}
    assert arms.counts(Vcov("cluster", ("g",)), groups) == {
        "clusters_treated_only": 1, "clusters_control_only": 1, "clusters_with_both_arms": 1,
    }  # fmt: skip
    assert Arms.from_dict(arms.to_dict()).treatment.tolist() == [0.0, 1.0, 2.0, 0.0]


def test_without_arms_few_clusters_are_told_too() -> None:
    rng = np.random.default_rng(0)
    table = study(200).assign(dose=lambda t: t["age"] + rng.normal(size=200))
    asked = ec.Design(
        table, outcome="income", treatment="dose", covariates=["age"], cluster="village",
        treatment_type="continuous",
    )  # fmt: skip
    made = ec.ate(asked, method="partially_linear", folds=ec.Folds(k=3))
    n = table["village"].nunique()
    (told,) = [text for text in made.warnings if "clusters" in text]
    assert told.startswith(f"{n} clusters: with fewer than 30 clustered standard errors are too small")
    (told,) = [text for text in made.with_vcov({"bootstrap": "wild"}).warnings if "clusters" in text]
    assert told == f"{n} clusters: with fewer than 30 bootstraps too may reject too often"
    many = pd.Series(np.arange(200) // 5, index=table.index)
    for choice in ({"cluster": many}, {"bootstrap": "wild", "cluster": many}, "iid"):
        assert not any("with fewer than 30" in text for text in made.with_vcov(choice).warnings)
