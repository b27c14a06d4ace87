"""Averages of the TOC curve by weights of one's own: closed forms, numeric integration, and what is refused."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.rate_influence import rate_influence
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.toc import DEFAULT_GRID, grouped, heights, rank, rates_and_toc, toc_of

SHARES = np.r_[0.0, np.geomspace(1e-6, 1, 4001)]
AS_AUTOC = ec.Weighting("all alike", lambda q: 1.0)
AS_QINI = ec.Weighting("by share", lambda q: q)


def first(share: float) -> ec.Weighting:
    """The mean of the curve up to a share."""
    return ec.Weighting(f"first {share:g}", lambda q: (q <= share) / share)


def world(n: int, *, levels: int = 0, weighted: bool = False, seed: int = 0):
    rng = np.random.default_rng(seed)
    priority = rng.integers(0, levels, n).astype(float) if levels else rng.normal(size=n)
    weights = rng.uniform(0.4, 2, n) if weighted else np.ones(n)
    return priority, 0.5 * priority + rng.normal(size=n) + 2, weights


@pytest.mark.parametrize(("weighting", "row"), [(AS_AUTOC, 0), (AS_QINI, 1)])
def test_weights_of_autoc_and_qini_have_their_heights(weighting: ec.Weighting, row: int) -> None:
    np.testing.assert_allclose(weighting.heights(SHARES), heights(SHARES)[row], atol=1e-10)


@pytest.mark.parametrize("share", [0.2, 0.123456789, 0.5, 1e-3, 0.99])
def test_heights_of_a_step_are_exact_at_and_around_its_jump(share: float) -> None:
    near = share + np.array([-1e-4, -1e-9, 0, 1e-9, 1e-4])
    shares = np.r_[SHARES, near[near <= 1]]
    logs = np.log(share / np.maximum(shares, 1e-300))
    expected = np.where(shares < share, shares / share * (1 + logs), 1.0) - shares
    np.testing.assert_allclose(first(share).heights(shares), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        # effects uniform on (0, 1) and ranked perfectly: TOC(q) = (1 - q) / 2
        (ec.Weighting("square", lambda q: q**2), 1 / 24),
        (ec.Weighting("minus log", lambda q: -np.log(q)), 3 / 8),
        (first(0.2), 1 / 2 - 0.2 / 4),
        (first(0.37), 1 / 2 - 0.37 / 4),
        (ec.Weighting("middle", lambda q: (q > 0.25) & (q < 0.75)), 1 / 8),
        (ec.Weighting("falls", lambda q: 1 - 2 * q), 1 / 12),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_uniform_effects_have_the_closed_form(weighting: ec.Weighting, expected: float) -> None:
    n = 20_000
    effects = (np.arange(n) + 0.5) / n
    for integration, near in (("exact", 1e-7), ("grf", 3e-4)):
        rates, _ = rates_and_toc(
            rank(effects), effects, np.ones(n),
            grid=DEFAULT_GRID, integration=integration, weighting=weighting,
        )  # fmt: skip
        assert rates[2] == pytest.approx(expected, abs=near)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize(
    "weighting", [first(0.31), ec.Weighting("wave", lambda q: np.cos(6 * q) + 0.3)], ids=lambda one: one.name
)
def test_it_is_the_integral_of_the_curve(weighting: ec.Weighting, levels: int, weighted: bool) -> None:
    priority, scores, weights = world(23, levels=levels, weighted=weighted)
    groups = grouped(rank(priority), scores, weights)
    found = rates_and_toc(rank(priority), scores, weights, grid=DEFAULT_GRID, weighting=weighting)[0][2]
    edges = np.unique(np.r_[groups.reached, 0.31])

    def under(q: float) -> float:
        return float(toc_of(groups, np.array([q]))[0] * weighting.values(np.array([q]))[0])

    # between two edges the curve is smooth
    expected = sum(
        quad(under, low + 1e-13, high - 1e-13, epsabs=1e-12)[0] for low, high in itertools.pairwise(edges)
    )
    assert found == pytest.approx(expected, abs=1e-9)


def test_sums_over_units_weigh_each_point_of_the_curve() -> None:
    # curve after 1, 2, 3, 4 units: 1.875, -0.125, 5 / 24, 0
    weighting = ec.Weighting("twice, then once", lambda q: np.where(q <= 0.25, 2.0, 1.0))
    found = ec.rate_from_scores([3.0, -1, 2, 0.5], [4, 3, 2, 1], target=weighting, integration="grf")
    assert found.estimate == pytest.approx((2 * 1.875 - 0.125 + 5 / 24) / 4)


@pytest.mark.parametrize("std_errors", ["half_sample", "influence"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("weighting", "same"), [(AS_AUTOC, "AUTOC"), (AS_QINI, "QINI")])
def test_the_result_is_that_of_the_named_target(
    weighting: ec.Weighting, same: str, weighted: bool, std_errors: str
) -> None:
    priority, scores, weights = world(300, weighted=weighted)
    found = ec.rate_from_scores(
        scores, {"a": priority, "b": priority**2}, weights=weights, clusters=np.arange(300) // 3,
        target=weighting, std_errors=std_errors, replicates=200,
    )  # fmt: skip
    assert found.targets == (weighting.name, "AUTOC", "QINI")
    named = found.of(same)
    np.testing.assert_allclose(found.estimate, named.estimate, atol=1e-8)
    np.testing.assert_allclose(found.std_error, named.std_error, rtol=1e-6)
    np.testing.assert_allclose(found.scores, named.scores, atol=1e-5)
    alone = ec.rate_from_scores(
        scores, {"a": priority, "b": priority**2}, weights=weights, clusters=np.arange(300) // 3,
        target=same, std_errors=std_errors, replicates=200,
    )  # fmt: skip
    np.testing.assert_array_equal(named.std_error, alone.std_error)
    pd.testing.assert_frame_equal(found.simultaneous(targets=[same]), alone.simultaneous(targets=[same]))


def test_values_of_units_are_what_a_small_weight_more_moves() -> None:
    priority, scores, weights = world(400, levels=20, weighted=True)
    weighting, ranking, step = first(0.3), rank(priority), 1e-5
    found = rate_influence(ranking, scores, weights, weighting)[:, 2]
    assert found.mean() == pytest.approx(0, abs=1e-10)
    slopes = []
    for unit in range(0, 400, 19):
        by = []
        for sign in (1, -1):
            more = weights.copy()
            more[unit] *= 1 + sign * step
            by.append(rates_and_toc(ranking, scores, more, grid=DEFAULT_GRID, weighting=weighting)[0][2])
        slopes.append(400 * (by[0] - by[1]) / (2 * step))
    # the slope at a boundary is taken over one place of the ranking
    np.testing.assert_allclose(found[::19][: len(slopes)], slopes, atol=0.03 * found.std())


def test_both_standard_errors_are_near_the_spread_of_estimates() -> None:
    weighting, made = first(0.3), []
    for seed in range(150):
        priority, scores, _ = world(300, seed=seed)
        both = [
            ec.rate_from_scores(scores, priority, target=weighting, std_errors=kind, replicates=100)
            for kind in ("half_sample", "influence")
        ]
        made.append([both[0].estimate, both[0].std_error, both[1].std_error])
    values = np.array(made)
    # a standard deviation of 150 draws has a relative error of 0.058
    np.testing.assert_allclose(values[:, 1:].mean(axis=0), values[:, 0].std(), rtol=0.17)


def test_a_design_and_its_deals_take_it_and_it_goes_through_json() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"grant": np.tile([0, 1], 100), "age": rng.normal(size=200)})
    table["income"] = table["grant"] * table["age"] + 0.3 * rng.normal(size=200)
    design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    found = ec.rate(design, priority="age", target=first(0.2), replicates=100)
    assert found.to_frame()["estimand"].tolist() == ["first 0.2", "AUTOC", "QINI"]
    again = Rate.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert (again.estimate, again.std_error) == (found.estimate, found.std_error)
    over = ec.rate_over_splits(
        design, learner="linear", folds=ec.Folds(k=3, repeats=2), target=first(0.2), replicates=100
    )
    assert set(over.splits["estimand"]) == {"first 0.2", "AUTOC", "QINI"}


@pytest.mark.parametrize(
    ("name", "alpha", "says"),
    [
        ("QINI", lambda q: q, "cannot name a weighting"),
        ("", lambda q: q, "cannot name a weighting"),
        ("a: b", lambda q: q, "cannot name a weighting"),
        ("x", 3, "is a int"),
        ("x", lambda q: 0 * q, "zero at every share"),
        ("x", lambda q: 1 / q, "without bound"),
        ("x", lambda q: q**-0.5, "without bound"),
        ("x", lambda q: np.where(q > 0.5, np.inf, 1.0), "not finite"),
        ("x", lambda q: 1 if q < 0.2 else 0, "cannot take an array"),
        ("x", lambda q: q[:2], "gave shape"),
        ("x", lambda q: np.sin(1e9 * q), "keeps changing"),
    ],
)
def test_what_is_no_weighting_is_refused(name: str, alpha: object, says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        ec.Weighting(name, alpha).heights(SHARES)


def test_a_bare_function_is_told_to_be_named() -> None:
    with pytest.raises(EvaluationError, match=r"ec\.Weighting"):
        ec.rate_from_scores([3.0, -1.0, 2.0], [3, 2, 1], target=lambda q: q)
