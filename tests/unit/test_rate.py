"""RATE by loops from its definition, its errors, and what it refuses to rank by."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.half_sample_draws import drawn_halves
from eocausal.evaluate.rate_influence import rate_influence
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc
from tests.studies import FAST, FOREST, THREE, by_village, design, images, study


def by_grf(ranking, scores, weights, target, grid=DEFAULT_GRID, integration="grf"):
    """TOC and one rate."""
    rates, toc = rates_and_toc(ranking, scores, weights, grid=grid, integration=integration)
    return toc, rates[TARGETS.index(target)]


def looped(scores, priority, weights, target, grid):
    """TOC and rate straight from the definition: ties share, a fraction of the straddling unit counts."""
    n = len(scores)
    shared = []
    for i in range(n):
        tied = [j for j in range(n) if priority[j] == priority[i]]
        shared.append(sum(weights[j] * scores[j] for j in tied) / sum(weights[j] for j in tied))
    order = sorted(range(n), key=lambda i: (-priority[i], i))
    total = sum(weights)
    average = sum(weights[i] * scores[i] for i in range(n)) / total

    def toc(q: float) -> float:
        left, gathered = q * total, 0.0
        for i in order:
            used = min(left, weights[i])
            gathered += used * shared[i]
            left -= used
            if left <= 0:
                break
        return gathered / (q * total) - average

    rate, so_far = 0.0, 0.0
    for i in order:
        so_far += weights[i]
        factor = 1.0 if target == "AUTOC" else so_far / total
        rate += weights[i] * factor * toc(so_far / total) / total
    return [toc(q) for q in grid], rate


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [0, 6, 2])
@pytest.mark.parametrize("seed", range(3))
def test_toc_and_rate_are_those_of_the_loop(seed: int, levels: int, weighted: bool, target: str) -> None:
    rng = np.random.default_rng(seed)
    n = 37
    scores = rng.normal(size=n)
    priority = rng.integers(0, levels, size=n).astype(float) if levels else rng.normal(size=n)
    weights = rng.uniform(0.2, 3, size=n) if weighted else np.ones(n)
    grid = np.array([0.001, 0.02, 0.1, 1 / 3, 0.5, 0.77, 1.0])
    toc, rate = by_grf(rank(priority), scores, weights, target, grid)
    expected_toc, expected = looped(scores, priority, weights, target, grid)
    np.testing.assert_allclose(toc, expected_toc, atol=1e-12)
    assert rate == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
def test_zero_weight_leaves_a_unit_out(target: str) -> None:
    rng = np.random.default_rng(1)
    scores, priority = rng.normal(size=(2, 30))
    priority = np.round(priority)
    weights = np.where(np.arange(30) % 4 == 0, 0.0, rng.uniform(0.5, 2, size=30))
    kept = weights > 0
    whole = by_grf(rank(priority), scores, weights, target)
    part = by_grf(rank(priority[kept]), scores[kept], weights[kept], target)
    np.testing.assert_allclose(whole[0], part[0], atol=1e-12)
    assert whole[1] == pytest.approx(part[1], abs=1e-12)


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_influence_is_the_derivative_of_the_rate_in_the_weight_of_a_unit(
    target: str, weighted: bool
) -> None:
    rng = np.random.default_rng(2)
    n = 3000
    priority = rng.normal(size=n)
    scores = priority + rng.normal(size=n)
    weights = rng.uniform(0.5, 2, size=n) if weighted else np.ones(n)
    ranking = rank(priority)
    influence = rate_influence(ranking, scores, weights)[:, TARGETS.index(target)]
    assert influence.mean() == pytest.approx(0, abs=1e-12)

    def rate(w: np.ndarray) -> float:
        return by_grf(ranking, scores, w, target, integration="exact")[1]

    # unit i counted a little more: the rate moves by its influence over n, up to terms of 1 over its rank
    for i in np.argsort(-priority)[[200, 700, 1500, 2300, 2990]]:
        step = 1e-4
        more = weights.copy()
        more[i] *= 1 + step
        slope = (rate(more) - rate(weights)) / step * n
        assert slope == pytest.approx(influence[i], abs=0.02 * influence.std())


def _key(seed: int, part: int = 0, parts: int = 1) -> int:
    return int(np.random.default_rng(seed).spawn(parts)[part].integers(0, 2**63))


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
def test_half_sample_errors_by_hand(target: str) -> None:
    rng = np.random.default_rng(0)
    scores, priority = rng.normal(size=(2, 60))
    clusters = np.array([f"v{k}" for k in rng.integers(0, 15, size=60)])
    options = {"integration": "grf", "std_errors": "half_sample", "replicates": 120, "seed": 5}
    found = ec.rate_from_scores(scores, priority, clusters=clusters, target=target, **options)
    names = sorted(set(clusters))
    draws = []
    for kept in drawn_halves(len(names), replicates=120, key=_key(5)):
        chosen = {names[k] for k in np.flatnonzero(kept)}
        half = [i for i in range(60) if clusters[i] in chosen]
        draws.append(looped(scores[half], priority[half], np.ones(len(half)), target, [1.0])[1])
    assert found.std_error == pytest.approx(np.std(draws, ddof=1), rel=1e-10)
    assert found.n_clusters == len(names)
    assert found.rates.variance.df == len(names) - 1


def test_clusters_of_one_unit_are_no_clusters() -> None:
    scores, priority = np.random.default_rng(0).normal(size=(2, 40))
    alone = ec.rate_from_scores(scores, priority, clusters=np.arange(40))
    assert alone == ec.rate_from_scores(scores, priority)
    assert alone.n_clusters is None


@pytest.mark.parametrize("std_errors", ["influence", "half_sample"])
def test_differences_of_priorities_are_of_the_same_units(std_errors: str) -> None:
    rng = np.random.default_rng(0)
    scores, a = rng.normal(size=(2, 80))
    made = {"std_errors": std_errors}
    found = ec.rate_from_scores(scores, {"a": a, "same": a, "b": scores, "flat": np.zeros(80)}, **made)
    table = found.rates.to_frame().set_index("term")
    assert table.loc["a - same", ["estimate", "std_error", "p_value"]].tolist() == [0, 0, 1]
    assert table.loc["flat", ["estimate", "std_error", "p_value"]].tolist() == [0, 0, 1]
    assert table.loc["a - flat", "estimate"] == table.loc["a", "estimate"]
    assert table.loc["a - flat", "std_error"] == pytest.approx(table.loc["a", "std_error"], rel=1e-10)
    swapped = ec.rate_from_scores(scores, {"b": scores, "a": a}, **made).rates.to_frame().set_index("term")
    for name in ("estimate", "std_error"):
        sign = -1 if name == "estimate" else 1
        assert swapped.loc["b - a", name] == pytest.approx(sign * table.loc["a - b", name], rel=1e-10)


def test_a_perfect_ranking_is_found_and_its_reverse_is_negative() -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(size=500)
    scores = effect + rng.normal(size=500)
    assert ec.rate_from_scores(scores, effect).p_value() < 1e-4
    up, down = (ec.rate_from_scores(scores, sign * effect, target="QINI").estimate for sign in (1, -1))
    assert down == pytest.approx(-up, abs=2 / 500)


# fold by fold


@pytest.fixture(scope="module")
def asked() -> ec.Design:
    return design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)


@pytest.fixture(scope="module")
def found(asked: ec.Design) -> ec.Cate:
    return ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE, seed=2)


def test_sequential_rates_are_folds_evaluated_alone_and_averaged_by_inverse_error(found: ec.Cate) -> None:
    options = {"integration": "grf", "std_errors": "half_sample"}
    result = ec.rate(found, replicates=100, seed=3, **options)
    values, errors = [], []
    for fold in (1, 2):
        rows = found.folds == fold
        codes = np.unique(found.group_codes[rows], return_inverse=True)[1]
        dr, priority = found.dr_scores[rows], found.sequential_values[rows]
        values.append(looped(dr, priority, np.ones(rows.sum()), "AUTOC", [1.0])[1])
        draws = []
        for half in drawn_halves(codes.max() + 1, replicates=100, key=_key(3, fold - 1, 2)):
            kept = half[codes]
            draws.append(looped(dr[kept], priority[kept], np.ones(kept.sum()), "AUTOC", [1.0])[1])
        errors.append(np.std(draws, ddof=1))
    share = (1 / np.array(errors)) / (1 / np.array(errors)).sum()
    assert result.estimate == pytest.approx(share @ values, rel=1e-9)
    assert result.std_error == pytest.approx(np.sqrt((share**2) @ np.square(errors)), rel=1e-9)
    by_fold = result.by_fold[result.by_fold["estimand"] == "AUTOC"]
    np.testing.assert_allclose(by_fold["estimate"], values, rtol=1e-9)
    np.testing.assert_allclose(by_fold["std_error"], errors, rtol=1e-9)
    assert by_fold["n"].sum() == result.n == (found.folds > 0).sum()
    assert result.method == "sequential folds"


def test_a_priority_fixed_beforehand_is_evaluated_on_all_units(asked: ec.Design, found: ec.Cate) -> None:
    age = asked.data["age"]
    result = ec.rate(found, priority=age, replicates=60)
    by_hand = ec.rate_from_scores(found.dr_scores, age.to_numpy(), clusters=found.group_codes, replicates=60)
    assert result.n == 240
    assert result.estimate == by_hand.estimate
    shuffled = ec.rate(found, priority=age.sample(frac=1, random_state=1), replicates=60)
    assert shuffled.estimate == result.estimate


def test_own_and_given_priorities_are_compared_on_the_same_folds(asked: ec.Design, found: ec.Cate) -> None:
    result = ec.rate(found, priority={"forest": found, "age": asked.data["age"]}, replicates=60)
    assert result.terms == ("forest", "age", "forest - age")
    assert result.rates.values[0] == pytest.approx(ec.rate(found, replicates=60).estimate, rel=1e-12)


def test_a_model_of_one_half_is_judged_on_the_other(asked: ec.Design) -> None:
    train, test = asked.split(0.5, seed=0)
    trained = ec.cate(train, learner=FOREST, learners=FAST, folds=THREE)
    result = ec.rate(test, priority=trained, replicates=60)
    assert result.n == len(test)
    assert result.method == "held-out sample"
    column = ec.rate(test, priority="age", replicates=60)
    assert column.estimate == ec.rate(test, priority=test.data["age"], replicates=60).estimate


def test_the_result_is_the_same_for_the_same_seed(found: ec.Cate) -> None:
    drawn = {"std_errors": "half_sample", "replicates": 60}
    assert ec.rate(found, seed=1, **drawn) == ec.rate(found, seed=1, **drawn)
    assert ec.rate(found, seed=1, **drawn).std_error != ec.rate(found, seed=2, **drawn).std_error
    # influence values are not drawn
    first, second = (
        ec.rate(found, std_errors="influence", seed=seed).joint.variance.matrix for seed in (1, 2)
    )
    assert first.tolist() == second.tolist()


def test_a_result_goes_through_json(found: ec.Cate) -> None:
    drawn = ec.rate(found, replicates=60, std_errors="half_sample")
    for result in (ec.rate(found), drawn, ec.rate_from_scores([1.0, 2, 3, 4], [4, 3, 2, 1])):
        back = Rate.from_dict(json.loads(json.dumps(result.to_dict(scores=True), allow_nan=False)))
        assert back == result
        pd.testing.assert_frame_equal(back.toc, result.toc)
        pd.testing.assert_frame_equal(back.by_fold, result.by_fold)


def test_few_groups_warn(asked: ec.Design) -> None:
    scores, priority = np.random.default_rng(0).normal(size=(2, 40))
    result = ec.rate_from_scores(scores, priority, clusters=np.arange(40) // 4)
    assert any("as few as 10 clusters" in text for text in result.warnings)
    assert not ec.rate_from_scores(scores, priority).warnings


def test_a_plot_draws_every_curve() -> None:
    import matplotlib.pyplot as plt

    scores, a = np.random.default_rng(0).normal(size=(2, 50))
    found = ec.rate_from_scores(scores, {"a": a, "b": -a})
    texts = [text.get_text().split("\n") for text in found.plot().get_legend().get_texts()]
    assert [text[0] for text in texts] == ["a", "b"]
    row = found.to_frame().iloc[0]
    assert texts[0][1].startswith(f"AUTOC {row['estimate']:.3g} (se")
    assert texts[0][1].endswith(f"ratio {row['statistic']:.2f})")
    assert texts[0][2].startswith("QINI")
    plt.close("all")


# what may not be ranked by

POOLED = {
    "Series": lambda c: c.effects["effect"],
    "Series turned round": lambda c: -c.effects["effect"],
    "Series in other units": lambda c: 3 * c.effects["effect"] + 1,
    "ranks": lambda c: c.effects["effect"].rank(),
    "lower bounds": lambda c: c.effects["conf_low"],
    "array": lambda c: c.effect_values,
    "array turned round": lambda c: -c.effect_values,
    "array transformed": lambda c: np.exp(c.effect_values),
    "Series without marks": lambda c: pd.Series(c.effect_values.copy(), index=c.ids),
    "list": lambda c: c.effect_values.tolist(),
    "deciles": lambda c: pd.qcut(c.effect_values, 10, labels=False),
    "upper half": lambda c: (c.effect_values > np.median(c.effect_values)).astype(float),
    "the scores themselves": lambda c: c.dr_scores,
}


@pytest.mark.parametrize("made", list(POOLED))
def test_pooled_cross_fitted_predictions_are_refused(found: ec.Cate, made: str) -> None:
    with pytest.raises(
        EvaluationError, match=r"cross-fitted on the units[\s\S]*fold by fold[\s\S]*design.split"
    ):
        ec.rate(found, priority=POOLED[made](found))
    with pytest.raises(EvaluationError, match=r"'bad' is made of predictions that were cross-fitted"):
        ec.rate(found, priority={"own": found, "bad": POOLED[made](found)})


@pytest.mark.parametrize("made", ["Series", "Series turned round", "ranks", "lower bounds"])
def test_marked_predictions_are_refused_on_the_design_too(
    asked: ec.Design, found: ec.Cate, made: str
) -> None:
    with pytest.raises(EvaluationError, match="cross-fitted on the units"):
        ec.rate(asked, priority=POOLED[made](found))


def test_an_independent_ranking_is_not_taken_for_a_prediction(asked: ec.Design, found: ec.Cate) -> None:
    for priority in (
        asked.data["age"],
        asked.data["wealth"],
        (asked.data["age"] > 0).astype(float),
        np.zeros(240),
    ):
        assert np.isfinite(ec.rate(found, priority=priority, replicates=50).estimate)


def test_a_model_that_saw_units_is_refused_with_count_and_ids(asked: ec.Design) -> None:
    trained = ec.cate(asked.take(np.arange(0, 200)), learner=FOREST, learners=FAST, folds=THREE)
    test = asked.take(np.arange(190, 240))
    first = ", ".join(str(unit) for unit in test.table.ids[:5])
    with pytest.raises(EvaluationError, match=rf"units it would be judged on[\s\S]*10 \({first}[\s\S]*split"):
        ec.rate(test, priority=trained)
    with pytest.raises(EvaluationError, match="another Cate; its predictions saw these units"):
        ec.rate(ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE, seed=5), priority=trained)


def _halves(asked: ec.Design, labels: np.ndarray) -> tuple[ec.Cate, ec.Design]:
    """Train on one unit of each label and evaluate on the other."""
    first = ~pd.Series(labels).duplicated().to_numpy()
    return ec.cate(asked.take(first), learner=FOREST, learners=FAST, folds=THREE), asked.take(~first)


@pytest.mark.parametrize("in_units", [True, False])
def test_a_model_that_saw_the_images_is_refused(in_units: bool) -> None:
    table = study(120, n_villages=60)
    data = table.reset_index().assign(lon=34.0, lat=1.0) if in_units else table
    if in_units:
        data = ec.read_units(data, id="id", lon="lon", lat="lat", image_key="village")
    trained, test = _halves(design(data, features=images(60), propensity=0.5), table["village"].to_numpy())
    with pytest.raises(
        EvaluationError, match=r"same '(image|village)'[\s\S]*Where: 60 \(0, 1, 2[\s\S]*no image"
    ):
        ec.rate(test, priority=trained)


def test_a_model_that_saw_the_clusters_is_refused() -> None:
    table = study(120, n_villages=60)
    trained, test = _halves(design(table, cluster="village", propensity=0.5), table["village"].to_numpy())
    with pytest.raises(
        EvaluationError, match=r"same 'village'[\s\S]*Where: 60 \(0, 1, 2[\s\S]*design.split\(\)"
    ):
        ec.rate(test, priority=trained)


def test_a_table_of_effects_is_told_to_be_a_column(found: ec.Cate) -> None:
    with pytest.raises(EvaluationError, match=re.escape("Priority 'priority' is a table")):
        ec.rate(found, priority=found.effects)


def test_rates_know_where_their_units_are_and_have_standard_errors_by_distance() -> None:
    from tests.unit.test_estimate import located

    whole = located(study(200), propensity="p")
    judged = ec.rate(whole, priority="age", replicates=50)
    np.testing.assert_allclose(judged.rates.coordinates, whole.table.coordinates)
    found = judged.with_vcov({"conley": "30km"})
    column, row = np.arange(200) % 11, np.arange(200) // 11
    near = np.abs(column[:, None] - column) + np.abs(row[:, None] - row) <= 1
    scores = judged.rates.score_values[:, 0]
    assert found.std_error == pytest.approx(np.sqrt(scores @ near @ scores) / 200, rel=1e-9)
    assert (found.estimate, found.rates.vcov) == (judged.estimate, "conley(30 km, uniform)")
    assert found.toc.equals(judged.toc)
    drawn = judged.with_vcov({"bootstrap": "block", "block": "60km", "draws": 199})
    assert drawn.rates.vcov == "bootstrap(blocks of 60 km, 199 draws, seed 0)"
    assert 0.4 < drawn.std_error / found.std_error < 2.5


def test_sequential_rates_take_the_places_of_the_units_that_were_judged() -> None:
    from tests.unit.test_estimate import located

    whole = located(study(120), propensity="p")
    effects = ec.cate(whole, learner=ec.Forest(trees=20, n_jobs=1), folds=ec.Folds(k=3))
    judged = ec.rate(effects, replicates=50).rates
    where = {unit: tuple(place) for unit, place in zip(whole.table.ids, whole.table.coordinates)}
    assert judged.n < 120
    assert [tuple(place) for place in judged.coordinates] == [where[unit] for unit in judged.ids]
