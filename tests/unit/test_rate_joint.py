"""Both targets and several rankings at once: the joint result, its parts, simultaneous intervals, halves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.half_sample_draws import drawn_halves, half_sample_draws
from eocausal.evaluate.rate_influence import rate_influence, toc_influence
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.toc import DEFAULT_GRID, INTEGRATIONS, TARGETS, heights, rank, rates_and_toc
from tests.studies import FAST, by_village, design, images


def world(n: int = 200, seed: int = 0, clusters: int = 0) -> tuple[np.ndarray, dict, np.ndarray]:
    rng = np.random.default_rng(seed)
    gain = rng.normal(size=n)
    group = np.arange(n) % clusters if clusters else np.arange(n)
    return gain + rng.normal(size=n), {"gain": gain, "noise": rng.normal(size=n)}, group


# both targets


def test_both_targets_stand_in_one_table_with_that_declared_first() -> None:
    scores, priorities, _ = world()
    found = ec.rate_from_scores(scores, priorities, target="QINI")
    table = found.to_frame()
    assert table["estimand"].tolist() == ["QINI"] * 3 + ["AUTOC"] * 3
    assert table["term"].tolist() == ["gain", "noise", "gain - noise"] * 2
    assert found.terms == ("gain", "noise", "gain - noise")
    assert found.estimate.tolist() == table["estimate"].tolist()[:3]
    np.testing.assert_allclose(found.ratio, table["statistic"][:3])
    np.testing.assert_allclose(table["statistic"], table["estimate"] / table["std_error"])
    other = found.of("AUTOC")
    assert other.estimand == "AUTOC"
    assert other.estimate.tolist() == table["estimate"].tolist()[3:]
    assert other.of("QINI") == found
    assert repr(found).startswith("Rate(QINI by given scores: gain ")


@pytest.mark.parametrize("std_errors", ["influence", "half_sample"])
def test_each_target_is_what_it_is_alone(std_errors: str) -> None:
    scores, priorities, clusters = world(clusters=40)
    options = {"clusters": clusters, "std_errors": std_errors, "seed": 4}
    both = ec.rate_from_scores(scores, priorities, **options)
    for name, values in priorities.items():
        for target in TARGETS:
            alone = ec.rate_from_scores(scores, values, target=target, **options)
            place = both.joint.terms.index(f"{target}: {name}")
            assert both.joint.values[place] == alone.estimate
            assert np.sqrt(both.joint.variance.matrix[place, place]) == pytest.approx(
                alone.std_error, rel=1e-12
            )


@pytest.mark.parametrize("std_errors", ["influence", "half_sample"])
def test_the_covariance_of_targets_and_rankings_is_that_of_their_sum(std_errors: str) -> None:
    scores, priorities, _ = world()
    found = ec.rate_from_scores(scores, priorities, std_errors=std_errors, replicates=400)
    matrix = found.joint.variance.matrix
    difference = np.array([1.0, -1, 0, 0, 0, 0])
    assert matrix[2, 2] == pytest.approx(difference @ matrix @ difference, rel=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12
    # AUTOC and QINI of one ranking move together
    assert 0.7 < matrix[0, 3] / np.sqrt(matrix[0, 0] * matrix[3, 3]) < 1


def test_covariance_by_hand_from_influence_values() -> None:
    scores, priorities, clusters = world(clusters=25)
    found = ec.rate_from_scores(scores, priorities, clusters=clusters, std_errors="influence")
    columns = [rate_influence(rank(one), scores, np.ones(200)) for one in priorities.values()]
    stacked = np.column_stack([columns[0][:, 0], columns[1][:, 0], columns[0][:, 1], columns[1][:, 1]])
    sums = np.array([stacked[clusters == one].sum(axis=0) for one in range(25)])
    expected = 25 / 24 * sums.T @ sums / 200**2
    found_matrix = found.joint.variance.matrix[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])]
    np.testing.assert_allclose(found_matrix, expected, rtol=1e-10)
    assert found.with_vcov("cluster").std_error == pytest.approx(found.std_error, rel=1e-10)


def test_parts_have_the_factor_of_their_own_clusters() -> None:
    asked = design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)
    cate = ec.cate(asked, learner=ec.Forest(trees=20, n_jobs=1), learners=FAST, folds=ec.Folds(k=3))
    found = ec.rate(cate, std_errors="influence")
    own = found.by_fold[found.by_fold["estimand"] == "AUTOC"]
    share = (1 / own["std_error"]) / (1 / own["std_error"]).sum()
    assert found.std_error == pytest.approx(np.sqrt(((share * own["std_error"]) ** 2).sum()), rel=1e-10)
    assert found.with_vcov("cluster").std_error == pytest.approx(found.std_error, rel=1e-10)
    assert found.rates.vcov == "cluster(groups)"


# influence values


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [0, 7])
def test_influence_values_are_what_taking_a_unit_out_does(levels: int, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    n = 200
    scores = rng.normal(size=n) + 4
    priority = rng.integers(0, levels, n).astype(float) if levels else rng.normal(size=n)
    weights = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    ranking = rank(priority)
    found = rate_influence(ranking, scores, weights)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    whole = rates_and_toc(ranking, scores, weights, grid=DEFAULT_GRID)[0]
    without = np.empty((n, 2))
    for unit in range(n):
        others = np.where(np.arange(n) == unit, 0, weights)
        left = rates_and_toc(ranking, scores, others, grid=DEFAULT_GRID)[0]
        without[unit] = (whole - left) * n * (1 - weights[unit] / weights.sum())
    assert ((found - without).std(axis=0) < (0.07 if weighted else 0.02) * without.std(axis=0)).all()


@pytest.mark.parametrize("n", [1000, 4000])
def test_influence_values_are_derivatives_in_the_weight_of_a_unit_where_units_are_many(n: int) -> None:
    rng = np.random.default_rng(5)
    scores, weights = rng.normal(size=n) + 4, rng.uniform(0.5, 2, n)
    ranking, step = rank(rng.integers(0, 7, n).astype(float)), 1e-6
    found = rate_influence(ranking, scores, weights)
    for unit in range(0, n, n // 20):
        up, down = weights.copy(), weights.copy()
        up[unit] *= 1 + step
        down[unit] *= 1 - step
        by = [rates_and_toc(ranking, scores, one, grid=DEFAULT_GRID)[0] for one in (up, down)]
        np.testing.assert_allclose(found[unit], n * (by[0] - by[1]) / (2 * step), atol=3 / n)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("places", [20, 80, 200])
def test_errors_of_a_ranking_by_noise_are_no_smaller_than_the_truth_nor_much_larger(
    places: int, size: int
) -> None:
    """Units of a place share place and score: with scores of variance 1 both variances are sums over places."""
    n = places * size
    place = np.repeat(np.arange(places), size)
    ranking, mean_of = rank(-place.astype(float)), np.diff(heights(np.linspace(0, 1, places + 1)))
    truth = (mean_of**2).sum(axis=1) - mean_of.sum(axis=1) ** 2 / places
    # influence values are linear in scores, so their expected squares are those of unit vectors
    said = np.zeros(2)
    for one in range(places):
        scores = (place == one).astype(float)
        sums = np.add.reduceat(
            rate_influence(ranking, scores, np.ones(n), clusters=places), np.arange(0, n, size)
        )
        said += places / (places - 1) * (sums**2).sum(axis=0) / n**2
    assert (said >= 0.99 * truth).all()
    assert (said <= [1.2 * truth[0] if places < 80 else 1.07 * truth[0], 1.01 * truth[1]]).all()


def test_toc_influence_is_the_derivative_in_large_groups_of_ties() -> None:
    rng = np.random.default_rng(6)
    n, grid = 400, np.array([0.125, 0.375, 0.6, 1.0])
    priority = rng.permutation(np.repeat(np.arange(4.0), n // 4))
    scores, weights, step = rng.normal(size=n), rng.uniform(0.9, 1.1, n), 1e-6
    ranking = rank(priority)
    found = toc_influence(ranking, scores, weights, grid=grid)
    for unit in range(0, n, 23):
        more = weights.copy()
        more[unit] *= 1 + step
        moved = rates_and_toc(ranking, scores, more, grid=grid)[1]
        slope = n * (moved - rates_and_toc(ranking, scores, weights, grid=grid)[1]) / step
        # shares in the middle of a group, where the mean around the edge is that of the group
        np.testing.assert_allclose(found[unit], slope, atol=2e-3)


def test_the_toc_has_the_error_of_its_draws() -> None:
    curves, errors = [], []
    grid = [0.1, 0.3, 0.6, 1.0]
    for seed in range(250):
        scores, priorities, _ = world(400, seed)
        found = ec.rate_from_scores(scores, priorities["gain"], std_errors="influence", grid=grid).toc
        curves.append(found["estimate"])
        errors.append(found["std_error"])
    spread = np.std(curves, axis=0)
    # a standard deviation of 250 draws has a relative error of 0.045
    np.testing.assert_allclose(np.mean(errors, axis=0)[:3], spread[:3], rtol=0.15)
    assert spread[3] == 0
    assert np.max(errors, axis=0)[3] < 1e-12


# compiled halves


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [0, 6])
def test_compiled_draws_are_those_of_weights_of_zero_and_one(
    levels: int, weighted: bool, integration: str
) -> None:
    rng = np.random.default_rng(levels)
    n = 203
    priority = rng.integers(0, levels, n).astype(float) if levels else rng.normal(size=n)
    scores, weights = rng.normal(size=n) + 3, rng.uniform(0.3, 2, n) if weighted else np.full(n, 2.0)
    codes = np.unique(rng.integers(0, 71, n), return_inverse=True)[1]
    ranking, grid = rank(priority), np.array([0.003, 0.1, 1 / 3, 0.9, 1.0])
    rates, toc = half_sample_draws(
        ranking, scores, weights, codes, grid=grid, integration=integration, replicates=20, key=11
    )
    for draw, kept in enumerate(drawn_halves(int(codes.max()) + 1, replicates=20, key=11)):
        expected = rates_and_toc(ranking, scores, weights * kept[codes], grid=grid, integration=integration)
        np.testing.assert_allclose(rates[draw], expected[0], atol=1e-12)
        np.testing.assert_allclose(toc[draw], expected[1], atol=1e-11)


@pytest.mark.parametrize("n_groups", [2, 5, 64, 65, 129])
def test_halves_hold_half_of_the_clusters_each_as_often(n_groups: int) -> None:
    kept = drawn_halves(n_groups, replicates=4000, key=n_groups)
    assert set(kept.sum(axis=1)) == {n_groups // 2}
    half = n_groups // 2
    one = half / n_groups
    assert np.abs(kept.mean(axis=0) - one).max() < 5 * np.sqrt(one * (1 - one) / 4000)
    together = kept[:, :1] & kept[:, 1:]
    both = one * (half - 1) / (n_groups - 1)
    assert np.abs(together.mean(axis=0) - both).max() < 5 * np.sqrt(max(both, 0.01) / 4000)


def test_all_subsets_are_as_likely() -> None:
    kept = drawn_halves(6, replicates=20_000, key=9)
    counts = np.unique(kept @ 2 ** np.arange(6), return_counts=True)[1]
    assert counts.size == 20
    assert stats.chisquare(counts).pvalue > 1e-3


def test_draws_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    scores, priorities, _ = world()
    priority = priorities["gain"]
    first = ec.rate_from_scores(scores, priority, seed=1)
    assert first == ec.rate_from_scores(scores, priority, seed=1)
    assert first.std_error != ec.rate_from_scores(scores, priority, seed=2).std_error
    clusters = np.array([f"c{unit:03d}" for unit in range(200)])
    order = np.random.default_rng(0).permutation(200)
    moved = ec.rate_from_scores(scores[order], priority[order], clusters=clusters[order], seed=1)
    assert moved.std_error == pytest.approx(
        ec.rate_from_scores(scores, priority, clusters=clusters, seed=1).std_error, rel=1e-9
    )


# several at once


def test_simultaneous_intervals_are_wider_and_hold_one_alone_to_its_own() -> None:
    scores, priorities, _ = world()
    found = ec.rate_from_scores(scores, priorities, std_errors="influence")
    alone = found.simultaneous(terms=["gain"], targets=["AUTOC"])
    table = found.to_frame()
    row = table.iloc[0]
    assert alone["conf_low"].iloc[0] == pytest.approx(row["conf_low"], abs=0.02 * row["std_error"])
    assert alone["p_adjusted"].iloc[0] == pytest.approx(row["p_value"], abs=1e-3)
    several = found.simultaneous()
    assert several[["estimand", "term"]].to_numpy().tolist() == [
        ["AUTOC", "gain"], ["AUTOC", "noise"], ["QINI", "gain"], ["QINI", "noise"],
    ]  # fmt: skip
    assert (several["p_adjusted"] >= several["p_value"]).all()
    factor = (several["conf_high"] - several["estimate"]) / several["std_error"]
    np.testing.assert_allclose(factor, factor.iloc[0])
    assert stats.t.ppf(0.975, 199) < factor.iloc[0] < stats.norm.ppf(1 - 0.025 / 4) + 0.1
    both = found.simultaneous(0.9, terms=["gain", "gain - noise"])
    assert both["term"].tolist() == ["gain", "gain - noise"] * 2


def test_what_cannot_be_asked_of_several_is_told() -> None:
    scores, priorities, _ = world(60)
    found = ec.rate_from_scores(scores, priorities)
    for call, words in (
        (lambda: found.simultaneous(95), "level=95 is not a confidence level"),
        (lambda: found.simultaneous(terms=["gian"]), "terms='gian'"),
        (lambda: found.simultaneous(targets=["AUC"]), "targets='AUC'"),
        (lambda: found.of("AUC"), "target='AUC'"),
        (lambda: found.p_over_splits(), "one deal of the units"),
        (lambda: found.plot_splits(), "one deal of the units"),
    ):
        with pytest.raises(EvaluationError, match=words):
            call()
    assert found.splits.empty


def test_the_uniform_band_holds_the_pointwise_one() -> None:
    scores, priorities, _ = world()
    for std_errors in ("influence", "half_sample"):
        toc = ec.rate_from_scores(scores, priorities, std_errors=std_errors).toc
        assert (toc["band_low"] <= toc["conf_low"] + 1e-12).all()
        inner = toc[toc["q"] < 1]
        wide = (inner["band_high"] - inner["estimate"]) / (inner["conf_high"] - inner["estimate"])
        assert ((wide > 1.1) & (wide < 1.6)).all()


def test_the_band_covers_the_whole_curve() -> None:
    from scipy.stats import norm

    grid = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
    truth = norm.pdf(norm.ppf(1 - grid)) / grid
    held, pointwise = 0, 0
    for seed in range(200):
        scores, priorities, _ = world(500, seed)
        toc = ec.rate_from_scores(scores, priorities["gain"], grid=grid, replicates=300).toc
        inside = (toc["band_low"] <= truth + 1e-9) & (truth <= toc["band_high"] + 1e-9)
        held += bool(inside.all())
        at_each = (toc["conf_low"] <= truth + 1e-9) & (truth <= toc["conf_high"] + 1e-9)
        pointwise += bool(at_each.all())
    assert held / 200 >= 0.90
    assert pointwise < held


# what is said


def test_results_with_both_targets_go_through_json() -> None:
    scores, priorities, clusters = world(clusters=30)
    for made in ("influence", "half_sample"):
        found = ec.rate_from_scores(scores, priorities, clusters=clusters, std_errors=made)
        back = Rate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
        assert back == found
        assert back.simultaneous().equals(found.simultaneous())


def test_the_bootstrap_of_a_rate_keeps_both_targets() -> None:
    scores, priorities, clusters = world(clusters=30)
    found = ec.rate_from_scores(scores, priorities, clusters=clusters)
    wild = found.with_vcov({"bootstrap": "wild", "draws": 199})
    table = wild.to_frame()
    assert wild.of("QINI").p_value().tolist() == table["p_value"].tolist()[3:]
    assert wild.p_value().tolist() == table["p_value"].tolist()[:3]


def test_clusters_below_twenty_warn() -> None:
    scores, priorities, clusters = world(clusters=12)
    few = ec.rate_from_scores(scores, priorities, clusters=clusters)
    assert any("as few as 12 clusters" in text and "below 20" in text for text in few.warnings)
    scores, priorities, clusters = world(clusters=20)
    assert not ec.rate_from_scores(scores, priorities, clusters=clusters).warnings


def test_shared_images_are_clusters_of_the_rate_without_being_named() -> None:
    table = by_village(240, n_villages=48).reset_index().assign(lon=34.0, lat=1.0)
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    asked = design(units, features=images(48), propensity=0.5)
    found = ec.rate(asked, priority="age")
    assert found.n_clusters == 48
    labels = table.set_index("id")["village"].reindex(found.joint.ids)
    groups = found.joint.groups["groups"]
    assert len({*zip(labels, groups)}) == 48
    cate = ec.cate(asked, learner=ec.Forest(trees=20, n_jobs=1), learners=FAST, folds=ec.Folds(k=3))
    assert ec.rate(cate).n_clusters == 32
