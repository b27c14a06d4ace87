"""Bootstraps of influence values: against fits done again, by hand, and by every draw there is."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.arms import Arms
from eocausal.inference.bootstrap import WEIGHTS, Recentring, resampled, wild
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.reference import Reference
from eocausal.inference.variance import score_variance
from tests.studies import FAST, THREE, by_village, design, study


def trial(clusters: int, treated: int, *, seed: int = 0) -> pd.DataFrame:
    """Units in clusters of unequal size, some clusters treated, with shocks common to a cluster."""
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 9, clusters)
    village = np.repeat(np.arange(clusters), size)
    grant = (rng.permutation(clusters) < treated).astype(int)[village]
    income = 0.4 * grant + rng.normal(size=clusters)[village] + rng.normal(size=village.size)
    age = rng.normal(size=village.size)
    return pd.DataFrame({"village": village, "grant": grant, "income": income + age, "age": age})


def refitted_t(rows: np.ndarray, outcome: np.ndarray, village: np.ndarray, null: float) -> float:
    """Clustered t statistic of the second coefficient by least squares, with Stata's factor."""
    fit = sm.OLS(outcome, rows).fit(cov_type="cluster", cov_kwds={"groups": village}, use_t=True)
    return float((fit.params[1] - null) / fit.bse[1])


def restricted_wild_p(table: pd.DataFrame, null: float, covariates: tuple[str, ...] = ()) -> float:
    """The wild cluster restricted bootstrap, all changes of sign, every draw fitted again."""
    village = table["village"].to_numpy()
    grant = table["grant"].to_numpy(dtype=float)
    rows = np.column_stack([np.ones(len(table)), grant, table[list(covariates)].to_numpy()])
    income = table["income"].to_numpy()
    others = rows[:, [0, *range(2, rows.shape[1])]]
    coefficients = np.linalg.lstsq(others, income - null * grant, rcond=None)[0]
    fitted = null * grant + others @ coefficients
    residual = income - fitted
    found = abs(refitted_t(rows, income, village, null))
    signs = list(product([1.0, -1.0], repeat=int(village.max()) + 1))
    drawn = [refitted_t(rows, fitted + np.array(sign)[village] * residual, village, null) for sign in signs]
    return float(np.mean(np.abs(drawn) >= found * (1 - 1e-9)))


@pytest.mark.parametrize(("clusters", "treated"), [(6, 3), (7, 2), (8, 5)])
@pytest.mark.parametrize("null", [0.0, 1.3])
def test_of_a_difference_the_wild_bootstrap_is_the_restricted_one_with_every_draw_fitted_again(
    clusters: int, treated: int, null: float
) -> None:
    table = trial(clusters, treated)
    made = ec.ate(
        ec.Design(table, outcome="income", treatment="grant", cluster="village"),
        method="difference",
        vcov={"bootstrap": "wild", "weights": "rademacher"},
    )
    assert made.variance.reference is not None
    assert (made.variance.reference.exact, made.variance.reference.draws) == (True, 2**clusters)
    assert made.p_value(null) == restricted_wild_p(table, null)
    assert made.std_error == made.with_vcov("cluster").std_error


def test_of_a_mean_the_wild_bootstrap_fits_the_mean_again() -> None:
    rng = np.random.default_rng(2)
    village = np.repeat(np.arange(6), [2, 4, 3, 5, 3, 3])
    values = rng.normal(size=20) + rng.normal(size=6)[village] + 0.4
    rows = np.ones((20, 1))

    def t_of(outcome: np.ndarray) -> float:
        fit = sm.OLS(outcome, rows).fit(cov_type="cluster", cov_kwds={"groups": village}, use_t=True)
        return float(fit.params[0] / fit.bse[0])

    drawn = [t_of(np.array(sign)[village] * values) for sign in product([1.0, -1.0], repeat=6)]
    by_hand = np.mean(np.abs(drawn) >= abs(t_of(values)) * (1 - 1e-9))
    estimate = values.mean()
    plain = score_variance((values - estimate)[:, None], vcov="cluster", clusters=village)
    reference = wild(
        (values - estimate)[:, None], village, recentring=Recentring(np.zeros(20), np.ones(20)),
        factor=plain.factor, weights="rademacher", draws=64, seed=0,
    )  # fmt: skip
    found = reference.p_values(np.array([estimate]), np.sqrt(np.diag(plain.matrix)))
    assert found.tolist() == [by_hand]


def test_of_a_regression_it_is_near_the_restricted_one() -> None:
    # what the score bootstrap takes as given, the slopes of covariates, moves p-values a little
    gaps = []
    for seed in range(6):
        table = trial(8, 4, seed=seed)
        asked = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], cluster="village")
        found = ec.ate(asked, method="regression", vcov={"bootstrap": "wild", "weights": "rademacher"})
        gaps.append(found.p_value() - restricted_wild_p(table, 0.0, ("age",)))
    print("score bootstrap less restricted, p-values:", np.round(gaps, 3))
    assert np.abs(gaps).max() < 0.06


def test_of_units_before_and_after_it_is_the_restricted_one_with_every_draw_fitted_again() -> None:
    # fixed effects of 24 units and 4 periods; 3 of 8 clusters begin treatment in the third
    for seed in range(3):
        rng = np.random.default_rng(seed)
        village = np.repeat(np.arange(8), 12)
        unit, period = np.repeat(np.arange(24), 4), np.tile(np.arange(4), 24)
        grant = ((village < 3) & (period >= 2)).astype(float)
        shock = rng.normal(size=(8, 4))[village, period]
        income = rng.normal(size=24)[unit] + 0.5 * shock + 0.3 * grant + rng.normal(size=96)
        dummies = np.column_stack([np.eye(24)[unit], np.eye(4)[period][:, 1:]])
        project = dummies @ np.linalg.pinv(dummies)
        inner = grant - project @ grant
        estimate = inner @ income / (inner @ inner)
        rest = income - grant * estimate
        scores = (96 * inner * (rest - project @ rest) / (inner @ inner))[:, None]
        plain = score_variance(scores, vcov="cluster", clusters=village)
        panel = PanelIndex(unit, period)
        made = wild(
            scores, village, recentring=Arms(grant).recentring(None, panel), factor=plain.factor,
            weights="rademacher", draws=256, seed=0,
        )  # fmt: skip
        error = np.sqrt(plain.matrix[0])
        null = income - project @ income
        drawn = np.array(list(product([1.0, -1.0], repeat=8)))[:, village] * null
        drawn -= drawn @ project
        found = drawn @ inner / (inner @ inner)
        left = (drawn - found[:, None] * inner) * inner
        sums = np.array([left[:, village == one].sum(axis=1) for one in range(8)])
        t = found / (np.sqrt(plain.factor * (sums**2).sum(axis=0)) / (inner @ inner))
        by_hand = np.mean(np.abs(t) >= abs(estimate / error[0]) * (1 - 1e-9))
        assert made.p_values(np.array([estimate]), error)[0] == by_hand


@pytest.mark.parametrize("vcov", [
    {"bootstrap": "wild"}, {"bootstrap": "wild", "weights": "webb", "draws": 499}, {"bootstrap": "cluster"},
])  # fmt: skip
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_an_interval_holds_what_a_test_does_not_reject(vcov: dict[str, object], level: float) -> None:
    asked = ec.Design(trial(14, 6), outcome="income", treatment="grant", cluster="village")
    made = ec.ate(asked, method="difference", vcov=vcov)
    low, high = made.ci(level)
    width = high - low
    assert low < made.estimate < high
    for inside in (low + 1e-6 * width, high - 1e-6 * width):
        assert made.p_value(inside) > 1 - level
    for outside in (low - 1e-6 * width, high + 1e-6 * width):
        assert made.p_value(outside) <= 1 - level + 1e-12
    row = made.to_frame(level).iloc[0]
    assert (row["conf_low"], row["conf_high"], row["p_value"]) == (low, high, made.p_value())


def test_with_few_draws_that_differ_no_value_is_rejected_and_the_interval_is_endless() -> None:
    asked = ec.Design(trial(4, 2), outcome="income", treatment="grant", cluster="village")
    made = ec.ate(asked, method="difference", vcov={"bootstrap": "wild", "weights": "rademacher"})
    # of 16 changes of sign, two give the t statistic that was found: 1/8 is the least p-value
    assert made.p_value(1e6) >= 2 / 16
    assert made.ci() == (-np.inf, np.inf)
    assert (
        "16 changes of sign give no p-value below 0.125, so that 95% intervals have no end"
        in made.warnings[-1]
    )
    assert not any("changes of sign" in one for one in made.with_vcov("cluster").warnings)


def test_drawing_clusters_again_by_hand() -> None:
    rng = np.random.default_rng(5)
    village = np.repeat(np.arange(5), [1, 2, 3, 2, 2])
    scores = rng.normal(size=(10, 1))
    scores -= scores.mean()
    matrix, reference = resampled(
        scores, village, recentring=Recentring(np.zeros(10), np.ones(10)), factor=1.5, draws=99, seed=3
    )
    times = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=99)
    rise, square = np.zeros(99), np.zeros(99)
    for draw in range(99):
        drawn = np.concatenate(
            [np.flatnonzero(village == one) for one in np.repeat(np.arange(5), times[draw])]
        )
        rise[draw] = scores[drawn].sum() / 10
        for one in np.repeat(np.arange(5), times[draw]):
            rows = village == one
            square[draw] += 1.5 * ((scores[rows, 0] - rise[draw]).sum() / 10) ** 2
    np.testing.assert_allclose(reference.rise[:, 0, 0], rise, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(reference.square[:, 0, 0], square, rtol=1e-9)
    assert matrix.item() == pytest.approx(1.5 * np.mean(rise**2), rel=1e-12)


def test_many_draws_of_clusters_have_the_clustered_standard_error() -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference")
    drawn = made.with_vcov({"bootstrap": "cluster", "draws": 40_000})
    assert drawn.std_error == pytest.approx(made.std_error, rel=0.015)
    assert (drawn.n_clusters, drawn.variance.factor) == (24, made.variance.factor)


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_random_weights_have_mean_zero_and_variance_one(name: str) -> None:
    values, chances = (np.array(one) for one in WEIGHTS[name])
    assert chances.sum() == pytest.approx(1, rel=1e-12)
    assert values @ chances == pytest.approx(0, abs=1e-12)
    assert values**2 @ chances == pytest.approx(1, rel=1e-12)
    assert values**3 @ chances == pytest.approx(1 if name == "mammen" else 0, abs=1e-12)


def test_weights_are_webbs_when_clusters_are_few() -> None:
    for clusters, expected in ((12, "webb"), (13, "rademacher")):
        asked = ec.Design(trial(clusters, 6), outcome="income", treatment="grant", cluster="village")
        made = ec.ate(asked, method="difference", vcov={"bootstrap": "wild"})
        assert made.vcov == f"wild(village, {expected}, 1999 draws, seed 0)"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference")
    for kind in ("wild", "cluster"):
        first, again, other = (
            made.with_vcov({"bootstrap": kind, "seed": seed}).to_dict(scores=True) for seed in (1, 1, 2)
        )
        assert json.dumps(first) == json.dumps(again)
        assert first["variance"]["reference"] != other["variance"]["reference"]


def test_labels_say_draws_and_seed_and_results_go_through_json() -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference")
    for vcov, label in (
        ({"bootstrap": "wild"}, "wild(village, rademacher, 1999 draws, seed 0)"),
        ({"bootstrap": "cluster", "draws": 299, "seed": 4}, "bootstrap(village, 299 draws, seed 4)"),
    ):
        found = made.with_vcov(vcov)
        assert found.vcov == label
        assert f"{label}, factor" in found.summary()
        assert "draws of t" in found.summary()
        back = ec.Estimate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
        assert back == found
        assert (back.ci(), back.p_value()) == (found.ci(), found.p_value())
        assert (found.to_dict()["variance"]["how"]["draws"], "reference" in found.to_dict()["variance"]) == (
            found.variance.how.draws,
            False,
        )
        assert found.with_vcov("cluster") == made


def test_a_difference_of_two_results_is_drawn_jointly() -> None:
    asked = design(by_village(), cluster="village")
    first, second = (
        ec.ate(asked, method=method, vcov={"bootstrap": "wild"}) for method in ("difference", "regression")
    )
    gap = first - second
    plain = first.with_vcov("cluster") - second.with_vcov("cluster")
    assert gap.std_error == plain.std_error
    assert gap.vcov == first.vcov
    assert 0.3 < gap.p_value() / plain.p_value() < 3
    both = ec.compare(a=first, b=second)
    assert both.p_value()[0] == first.p_value()


@pytest.mark.parametrize("method", ["aipw", "ipw", "regression", "entropy_balancing"])
def test_every_estimator_has_them(method: str) -> None:
    table = by_village(240, n_villages=60)
    made = ec.ate(
        design(table, cluster="village", propensity=0.5 if method == "ipw" else None),
        method=method, learners=FAST, folds=THREE,
    )  # fmt: skip
    found = made.with_vcov({"bootstrap": "wild"})
    assert found.std_error == made.std_error
    # with many clusters both agree
    np.testing.assert_allclose(np.diff(found.ci()), np.diff(made.ci()), rtol=0.12)


def test_blocks_are_cells_of_a_grid() -> None:
    table = study().reset_index()
    cell = np.arange(120) // 10
    table["lon"], table["lat"] = 33.05 + cell % 4, 0.5 + cell // 4
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    made = ec.ate(ec.Design(units, outcome="income", treatment="grant"), method="difference")
    found = made.with_vcov({"bootstrap": "block", "block": "20km", "draws": 999})
    assert found.vcov == "bootstrap(blocks of 20 km, 999 draws, seed 0)"
    labels = pd.Series(cell, index=made.ids, name="cell")
    again = made.with_vcov({"bootstrap": "cluster", "cluster": labels})
    assert found.std_error == pytest.approx(again.std_error, rel=1e-9)
    assert found.n_clusters == 12
    assert (found - found).std_error == 0
    halves = [ec.ate(ec.Design(units, outcome="income", treatment="grant").take(rows), method="difference",
                     vcov={"bootstrap": "block", "block": "20km"})
              for rows in (np.arange(80), np.arange(40, 120))]  # fmt: skip
    gap = halves[0] - halves[1]
    assert (gap.vcov, gap.n_clusters) == (found.vcov, 12)
    drawn = made.with_vcov({"bootstrap": "wild", "block": "20km"})
    # with twelve blocks or fewer, signs make too few different draws
    assert drawn.vcov == "wild(blocks of 20 km, webb, 1999 draws, seed 0)"
    signs = made.with_vcov({"bootstrap": "wild", "block": "20km", "weights": "rademacher"})
    assert signs.vcov == "wild(blocks of 20 km, rademacher, 1999 draws, seed 0)"
    smaller = made.with_vcov({"bootstrap": "wild", "cluster": pd.Series(np.arange(120) // 4, made.ids)})
    assert "rademacher" in smaller.vcov


def test_a_reference_without_error() -> None:
    none = Reference(np.zeros((9, 1, 2)), np.zeros((9, 1, 3)))
    assert none.p_values(np.array([0.0]), np.array([0.0])).tolist() == [1.0]
    # never less than what was found among the draws
    assert none.p_values(np.array([1.0]), np.array([0.0])).tolist() == [0.1]
    assert none.bounds(np.array([2.0]), np.array([0.0]), level=0.95).tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("vcov", "words"),
    [
        ({"bootstrap": "pairs"}, r"bootstrap='pairs' is not known[\s\S]*wild"),
        ({"bootstrap": "wild", "draws": 20}, r"draws=20[\s\S]*at least 99"),
        ({"bootstrap": "wild", "seed": -1}, r"seed=-1[\s\S]*at least 0"),
        ({"bootstrap": "wild", "weights": "normal"}, r"weights='normal' is not known[\s\S]*mammen"),
        ({"bootstrap": "cluster", "weights": "webb"}, r"do not go with 'cluster', which draws whole clusters"),
        ({"bootstrap": "cluster", "block": "5km"}, r"do not go with 'cluster'[\s\S]*1 \(block\)"),
        ({"bootstrap": "block", "cluster": "village"}, r"do not go with 'block'[\s\S]*1 \(cluster\)"),
        ({"bootstrap": "block"}, r"None is not the size of a block[\s\S]*'block', 'block': '50km'"),
        ({"bootstrap": "block", "block": "5km"}, r"bootstrap of blocks[\s\S]*read_units\(table"),
        ({"bootstrap": "wild", "cluster": ["village", "image"]}, r"'image' is not stored"),
        ({"bootstrap": "wild", "reps": 9}, r"options that are not known[\s\S]*1 \(reps\)[\s\S]*'draws'"),
    ],
)  # fmt: skip
def test_bootstraps_that_cannot_be(vcov: object, words: str) -> None:
    made = ec.ate(design(by_village(), cluster="village"), method="difference")
    with pytest.raises(EstimationError, match=words):
        made.with_vcov(vcov)


def test_without_clusters_none_are_drawn() -> None:
    made = ec.ate(design(study()), method="difference")
    with pytest.raises(EstimationError, match=r"the design has no clusters[\s\S]*cluster= in Design"):
        made.with_vcov({"bootstrap": "wild"})
    two = {"bootstrap": "wild", "cluster": [pd.Series(1, made.ids, name=name) for name in "ab"]}
    with pytest.raises(EstimationError, match=r"clusters of one kind[\s\S]*2 \(a, b\)"):
        made.with_vcov(two)


def test_draws_that_multiply_all_clusters_alike_stay_ties_however_far_the_hypothesis() -> None:
    made = ec.ate(design(study(60), covariates=[]), method="difference")
    labels = pd.Series(np.arange(60) // 10, index=made.ids)
    drawn = made.with_vcov({"bootstrap": "wild", "weights": "mammen", "cluster": labels})
    # of six clusters all have one weight in 14% + 0.04% of draws, whose t is that found
    far = [drawn.p_value(made.estimate + gap) for gap in (3.0, 300.0, 3e4, 3e6)]
    assert np.ptp(far) == 0
    assert 0.12 < far[0] < 0.17
    assert drawn.ci() == (-np.inf, np.inf)
    assert np.isfinite(drawn.ci(0.8)).all()
