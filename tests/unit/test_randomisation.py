"""Randomisation inference: enumerations by hand, scipy, and fits done again for every assignment."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.effects.permutations import all_ways, how_many, random_ways
from eocausal.errors import DesignError, EstimationError
from tests.unit.test_bootstrap import trial


def asked(table: pd.DataFrame, **options: object) -> ec.Design:
    return ec.Design(table, outcome="income", treatment="grant", **options)


def units(n: int, treated: int, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"grant": (rng.permutation(n) < treated).astype(int), "age": rng.normal(size=n)})
    return table.assign(income=table["grant"] + table["age"] + rng.normal(size=n))


@pytest.mark.parametrize(("right", "as_far"), [(4, 2), (3, 34), (2, 70)])
@pytest.mark.parametrize("studentised", [True, False])
def test_the_lady_tasting_tea(right: int, as_far: int, studentised: bool) -> None:
    # of 70 choices of four cups of eight, 1 has four right, 16 three, 36 two; as many are wrong the other way round
    milk = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    said = np.array([1] * right + [0] * (4 - right) + [1] * (4 - right) + [0] * right)
    cups = pd.DataFrame({"grant": milk, "income": said})
    found = ec.randomisation_test(asked(cups), studentised=studentised)
    assert (found.exact, found.possible) == (True, 70)
    assert found.p_value() == as_far / 70


@pytest.mark.parametrize("seed", range(3))
def test_units_one_by_one_as_scipy(seed: int) -> None:
    table = units(10, 4, seed=seed)
    arms = [table.loc[table["grant"] == arm, "income"].to_numpy() for arm in (1, 0)]

    def gap(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(one.mean(axis=axis) - other.mean(axis=axis))

    def welch(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        spread = one.var(axis=axis) / one.shape[axis] + other.var(axis=axis) / other.shape[axis]
        return gap(one, other, axis) / np.sqrt(spread)

    for studentised, statistic in ((False, gap), (True, welch)):
        scipy = stats.permutation_test(
            arms, statistic, alternative="greater", n_resamples=np.inf, vectorized=True
        )
        found = ec.randomisation_test(asked(table), studentised=studentised)
        assert found.possible == 210
        assert found.p_value() == pytest.approx(scipy.pvalue, rel=1e-12)


def test_the_statistic_is_the_clustered_t_of_the_estimate() -> None:
    table = trial(20, 8)
    for method, covariates in (("difference", []), ("regression", ["age"])):
        design = asked(table, cluster="village", covariates=covariates)
        made = ec.ate(design, method=method, vcov="cluster")
        found = ec.randomisation_test(design, method=method, draws=99)
        assert found.estimate == pytest.approx(made.estimate, rel=1e-12)
        assert found.std_error == pytest.approx(made.std_error, rel=1e-9)
        assert found.statistic == pytest.approx(made.estimate / made.std_error, rel=1e-9)
    alone = units(40, 15)
    found = ec.randomisation_test(asked(alone), draws=99)
    assert found.std_error == pytest.approx(
        ec.ate(asked(alone), method="difference", vcov="hetero").std_error, rel=1e-9
    )


@pytest.mark.parametrize("method", ["difference", "regression"])
@pytest.mark.parametrize("null", [0.0, 0.9])
def test_clusters_with_every_assignment_fitted_again(method: str, null: float) -> None:
    table = trial(6, 3, seed=1).assign(weight=lambda t: 0.5 + np.arange(len(t)) % 3)
    options = {
        "cluster": "village",
        "weights": "weight",
        "covariates": ["age"] if method == "regression" else [],
    }

    def t_of(some: pd.DataFrame) -> float:
        made = ec.ate(asked(some, **options), method=method)
        return made.estimate / made.std_error

    without = table["income"] - null * table["grant"]
    drawn = [
        t_of(table.assign(income=without, grant=table["village"].isin(chosen).astype(int)))
        for chosen in combinations(range(6), 3)
    ]
    found = t_of(table.assign(income=without))
    by_hand = np.mean(np.abs(drawn) >= abs(found) * (1 - 1e-9))
    test = ec.randomisation_test(asked(table, **options), method=method)
    assert test.p_value(null) == by_hand
    if null == 0:
        np.testing.assert_allclose(np.sort(test.draws), np.sort(drawn), rtol=1e-7, atol=1e-9)


def test_the_interval_holds_what_is_not_rejected() -> None:
    test = ec.randomisation_test(asked(trial(16, 8), cluster="village"), draws=999)
    low, high = test.ci(0.9)
    assert low < test.estimate < high
    for inside, outside in ((low + 1e-7, low - 1e-7), (high - 1e-7, high + 1e-7)):
        assert test.p_value(inside) > 0.1
        assert test.p_value(outside) <= 0.1 + 1e-12


def test_an_effect_added_to_the_treated_moves_the_interval_along() -> None:
    table = trial(16, 8)
    first = ec.randomisation_test(asked(table, cluster="village"), draws=499)
    moved = ec.randomisation_test(
        asked(table.assign(income=table["income"] + 3 * table["grant"]), cluster="village"), draws=499
    )
    np.testing.assert_allclose(np.subtract(moved.ci(), first.ci()), [3, 3], atol=1e-6)
    assert moved.p_value(3) == first.p_value()


def test_strata_keep_their_numbers_of_treated() -> None:
    treated, strata = np.array([1.0, 0, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert how_many(treated, strata) == 9
    ways = np.concatenate(list(all_ways(treated, strata)))
    assert len({tuple(way) for way in ways.tolist()}) == 9
    for drawn in (ways, np.concatenate(list(random_ways(treated, strata, draws=50, seed=0)))):
        assert drawn[:, :3].sum(axis=1).tolist() == [1] * len(drawn)
        assert drawn[:, 3:].sum(axis=1).tolist() == [2] * len(drawn)


def test_random_assignments_are_all_alike_likely() -> None:
    treated, strata = np.array([1.0, 1, 0, 0, 0]), np.zeros(5, dtype=int)
    drawn = np.concatenate(list(random_ways(treated, strata, draws=20_000, seed=1)))
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 0.001


def test_strata_by_column_and_by_series() -> None:
    table = trial(12, 6).assign(region=lambda t: t["village"] // 6)
    design = asked(table, cluster="village")
    found = ec.randomisation_test(design, strata="region")
    by_region = table.groupby("region")["village"].nunique()
    treated = table[table["grant"] == 1].groupby("region")["village"].nunique()
    assert found.possible == np.prod([comb(n, k) for n, k in zip(by_region, treated)])
    assert found.n_strata == 2
    assert found.assumptions[0] == (
        "whole clusters of 'village' were assigned at random within each of 2 strata, 6 of 12 to treatment"
    )
    series = table["region"].map({0: "north", 1: "south"}).sample(frac=1, random_state=0)
    assert ec.randomisation_test(design, strata=series).p_value() == found.p_value()


def test_the_same_seed_gives_the_same_bytes() -> None:
    design = asked(trial(30, 12), cluster="village")
    first, again, other = (ec.randomisation_test(design, draws=199, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert json.dumps(first.to_dict(scores=True)) == json.dumps(again.to_dict(scores=True))
    assert first != other
    least = 1 / 200
    assert first.p_value(1e9) >= least


def test_what_it_prints() -> None:
    import matplotlib

    matplotlib.use("Agg")
    test = ec.randomisation_test(asked(trial(30, 12), cluster="village"), draws=199, seed=3)
    assert "199 of 86,493,225 assignments, seed 3" in repr(test)
    summary = test.summary()
    assert "estimate over standard error" in summary
    assert "assumes: whole clusters of 'village' were assigned at random, 12 of 30" in summary
    row = test.to_frame().iloc[0]
    assert (row["p_value"], row["conf_low"], row["n_clusters"]) == (test.p_value(), test.ci()[0], 30)
    ax = test.plot()
    assert sum(patch.get_height() for patch in ax.patches) == 199
    assert sorted(line.get_xdata()[0] for line in ax.lines) == [-abs(test.statistic), abs(test.statistic)]
    matplotlib.pyplot.close(ax.figure)
    json.dumps(test.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("n_treated", "told"), [(2, True), (3, True), (4, False)])
def test_too_few_assignments_are_told(n_treated: int, told: bool) -> None:
    # two of five, three of six, four of eight: 10, 20 and 70 assignments; of the last two each has its mirror image
    n = {2: 5, 3: 6, 4: 8}[n_treated]
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"grant": np.arange(n) < n_treated, "income": rng.normal(size=n)}).astype(float)
    found = ec.randomisation_test(ec.Design(table, outcome="income", treatment="grant"))
    assert bool(np.isinf(found.ci()).any()) is told
    said = [text for text in found.warnings if "too few for a p-value" in text]
    assert [text.split(" assignments")[0] for text in said] == [f"there are {found.possible}"] * told


def test_strata_of_one_arm_are_told() -> None:
    table = trial(12, 6).assign(region=lambda t: np.minimum(t["village"] // 4, 1))
    table.loc[table["region"] == 0, "grant"] = 1
    found = ec.randomisation_test(asked(table, cluster="village"), strata="region")
    assert found.warnings == (
        "1 strata have one arm only: their assignment stays as it is and tells nothing",
    )


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            {"village": lambda t: t["village"] // 6},
            {"cluster": "village"},
            r"varies within clusters of 'village'[\s\S]*strata=",
        ),
        ({}, {"strata": "county"}, r"strata='county' is not a column"),
        ({}, {"strata": 3}, r"strata=3 is not a column"),
        ({}, {"strata": pd.Series([1, 2], index=[0, 1])}, r"have no stratum"),
        ({}, {"strata": pd.Series([1, 2, 2], index=[0, 1, 1])}, r"several labels for some units"),
        (
            {"half": lambda t: np.arange(len(t)) % 2},
            {"cluster": "village", "strata": "half"},
            "Strata part clusters",
        ),
        ({"arm": lambda t: t["grant"]}, {"strata": "arm"}, "Every stratum has one arm only"),
        (
            {"e": lambda t: 0.2 + 0.1 * (t.index % 3)},
            {"propensity": "e"},
            r"propensity varies within 1 strata",
        ),
        ({}, {"method": "aipw"}, r"method='aipw' is not known"),
        ({}, {"draws": 10}, r"draws=10[\s\S]*at least 99"),
    ],
)
def test_tests_that_cannot_be(change: dict[str, object], options: dict[str, object], words: str) -> None:
    table = trial(12, 6).assign(**change)
    of_design = {name: options[name] for name in ("cluster", "propensity") if name in options}
    rest = {name: value for name, value in options.items() if name not in of_design}
    with pytest.raises(EstimationError, match=words):
        ec.randomisation_test(asked(table, **of_design), **rest)


def test_other_things_than_designs_of_two_arms() -> None:
    table = units(30, 10)
    with pytest.raises(EstimationError, match=r"got a DataFrame[\s\S]*ec.Design"):
        ec.randomisation_test(table)
    table["arm"] = np.tile(["none", "a", "b"], 10)
    several = ec.Design(
        table, outcome="income", treatment="arm", treatment_type="categorical", control="none"
    )
    with pytest.raises(DesignError, match="randomisation_test"):
        ec.randomisation_test(several)


def test_units_that_share_a_picture_are_assigned_one_by_one() -> None:
    from tests.studies import images, study

    table = study(40, n_villages=8)
    pictured = ec.Design(table, outcome="income", treatment="grant", features=images(8))
    found = ec.randomisation_test(pictured, draws=199)
    assert (found.n_groups, found.assigned_by) == (40, None)
    plain = ec.Design(table, outcome="income", treatment="grant")
    assert found.p_value() == ec.randomisation_test(plain, draws=199).p_value()


def test_a_covariate_of_few_is_refused_with_the_reason() -> None:
    table = units(12, 6).assign(rare=lambda t: (np.arange(12) == 0).astype(float))
    with pytest.raises(EstimationError, match=r"collinear within an arm[\s\S]*method='difference'"):
        ec.randomisation_test(asked(table, covariates=["rare"]), method="regression", draws=99)
