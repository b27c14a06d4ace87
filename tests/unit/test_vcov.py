"""A user's choice of standard errors: what it means, how it is printed, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eocausal.errors import EstimationError
from eocausal.inference.variance import Vcov
from eocausal.inference.vcov import read_cutoff, resolve_vcov

IDS = np.array(["a", "b", "c", "d"])
GROUPS = {"village": np.array([1, 1, 2, 2]), "image": np.array([7, 8, 8, 9])}


def test_clusters_by_name_and_by_series_are_kept_by_name() -> None:
    year = pd.Series([3, 2, 1, 0], index=list("dcba"), name="year")
    how, groups = resolve_vcov({"cluster": ["village", year]}, groups=GROUPS, ids=IDS)
    assert how == Vcov("cluster", ("village", "year"))
    assert list(groups) == ["village", "image", "year"]
    assert groups["year"].tolist() == [0, 1, 2, 3]
    assert "year" not in GROUPS


def test_labels_by_unit_reach_every_row_of_a_panel() -> None:
    rows = np.array(["a 1", "a 2", "b 1", "b 2"])
    units = np.array(["a", "a", "b", "b"])
    by_unit = pd.Series(["n", "s", "t"], index=["a", "b", "z"], name="region")
    by_row = pd.Series([1, 2, 1, 2], index=rows, name="year")
    for choice in ({"cluster": [by_unit, by_row]}, {"cluster": (by_unit, by_row)}):
        how, groups = resolve_vcov(choice, groups={}, ids=rows, units=units)
        assert how.names == ("region", "year")
        assert groups["region"].tolist() == ["n", "n", "s", "s"]
        assert groups["year"].tolist() == [1, 2, 1, 2]
    drawn, _ = resolve_vcov({"bootstrap": "wild", "cluster": by_unit}, groups={}, ids=rows, units=units)
    assert drawn.names == ("region",)
    with pytest.raises(EstimationError, match=r"missing for some units[\s\S]*b 1"):
        resolve_vcov({"cluster": by_unit[["a"]]}, groups={}, ids=rows, units=units)


def test_labels_do_not_take_the_place_of_others_of_their_name() -> None:
    finer = pd.Series([1, 2, 3, 4], index=IDS, name="village")
    for choice in ({"cluster": finer}, {"bootstrap": "wild", "cluster": finer}):
        with pytest.raises(EstimationError, match=r"'village', as clusters[\s\S]*rename"):
            resolve_vcov(choice, groups=GROUPS, ids=IDS)
    same = pd.Series(list("xxyy"), index=IDS, name="village")
    assert resolve_vcov({"cluster": same}, groups=GROUPS, ids=IDS)[0].names == ("village",)
    unnamed = {"given": np.array([1, 1, 1, 2])}
    assert resolve_vcov({"cluster": finer.rename(None)}, groups=unnamed, ids=IDS)[1]["given"].tolist() == [
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize(
    ("choice", "label"),
    [
        ("iid", "iid"),
        ("hetero", "hetero"),
        ("cluster", "cluster(village)"),
        ({"cluster": "image"}, "cluster(image)"),
        ({"cluster": ["image"]}, "cluster(image)"),
        ({"cluster": ["village", "image"]}, "cluster(village & image)"),
        ({"cluster": pd.Series([1, 2, 3, 4], index=IDS)}, "cluster(given)"),
        ({"conley": "50km"}, "conley(50 km, uniform)"),
        ({"conley": 50_000, "kernel": "bartlett"}, "conley(50 km, bartlett)"),
        ({"kernel": "uniform", "conley": np.float64(250)}, "conley(250 m, uniform)"),
        ({"conley": " 33.3 km "}, "conley(33.3 km, uniform)"),
    ],
)
def test_labels(choice: object, label: str) -> None:
    assert resolve_vcov(choice, groups=GROUPS, ids=IDS)[0].label == label


@pytest.mark.parametrize(
    ("text", "metres"), [("1m", 1), ("0.5 km", 500), (20_000, 20_000), ("33.3km", 33_300)]
)
def test_cutoffs(text: object, metres: float) -> None:
    assert read_cutoff(text) == metres


@pytest.mark.parametrize(
    "cutoff",
    ["50", "50 miles", "-5km", "1e3km", "5,0km", "", 0, -1.0, np.nan, np.inf, True, None, "30000km", ["5km"]],
)
def test_cutoffs_that_are_none(cutoff: object) -> None:
    with pytest.raises(EstimationError, match=r"is not a cutoff[\s\S]*'50km'"):
        resolve_vcov({"conley": cutoff}, groups=GROUPS, ids=IDS)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, r"vcov=\{\} is not known[\s\S]*\{'conley': '50km'\}"),
        (None, "vcov=None is not known"),
        ({"cluster": []}, "names no cluster"),
        ({"cluster": ["village", "village"]}, r"named twice[\s\S]*rename"),
        ({"cluster": ["village", 3]}, r"cluster is a int[\s\S]*a list of these"),
        ({"cluster": ["village", "county"]}, r"'county' is not stored[\s\S]*\['image', 'village'\]"),
        ({"cluster": "village", "kernel": "uniform"}, r"options that are not known[\s\S]*kernel"),
        ({"conley": "50km", "lag": 2}, r"options that are not known[\s\S]*1 \(lag\)[\s\S]*only 'kernel'"),
        ({"conley": "50km", "kernel": "bartlet"}, r"kernel='bartlet' is not known[\s\S]*'bartlett'"),
        ({"cluster": pd.Series([1, "x", 2, 3], index=IDS)}, r"holds int, str[\s\S]*astype\(str\)"),
    ],
)
def test_choices_that_cannot_be(choice: object, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        resolve_vcov(choice, groups=GROUPS, ids=IDS)
