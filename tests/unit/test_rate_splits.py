"""`rate_over_splits`: each deal is the single test, and the median is over deals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EocausalError
from eocausal.evaluate.rate_result import Rate
from tests.studies import FAST, THREE, by_village, design, images, study

LINEAR = ec.LinearEffects()


@pytest.fixture(scope="module")
def asked() -> ec.Design:
    return design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)


@pytest.fixture(scope="module")
def over(asked: ec.Design) -> Rate:
    return ec.rate_over_splits(
        asked, learner=LINEAR, learners=FAST, folds=ec.Folds(k=3, repeats=3), replicates=100, seed=5
    )


def test_one_deal_is_the_sequential_test_of_a_cate(asked: ec.Design, over: Rate) -> None:
    for deal in (5, 6, 7):
        alone = ec.rate(
            ec.cate(asked, learner=LINEAR, learners=FAST, folds=THREE, seed=deal), replicates=100, seed=deal
        ).to_frame()
        own = over.splits[over.splits["seed"] == deal]
        np.testing.assert_allclose(own["estimate"], alone["estimate"], rtol=1e-9)
        np.testing.assert_allclose(own["std_error"], alone["std_error"], rtol=1e-9)
        np.testing.assert_allclose(own["ratio"], alone["statistic"], rtol=1e-9)
        np.testing.assert_allclose(own["p_value"], alone["p_value"], rtol=1e-6)


def test_the_result_is_the_median_with_the_dealing_in_its_error(over: Rate) -> None:
    for target in ("AUTOC", "QINI"):
        own = over.splits[over.splits["estimand"] == target]
        result = over.of(target)
        median = own["estimate"].median()
        assert result.estimate == pytest.approx(median, rel=1e-12)
        squares = own["std_error"] ** 2 + (own["estimate"] - median) ** 2
        assert result.std_error == pytest.approx(np.sqrt(squares.median()), rel=1e-12)
        assert result.p_over_splits() == pytest.approx(min(1.0, 2 * own["p_value"].median()), rel=1e-12)
        assert result.rates.repeats.values.shape == (3, 1)
    assert over.n == 240
    assert over.diagnostics["repeats"].startswith("median of 3")


def test_halves_train_on_one_half_and_are_judged_on_the_other(asked: ec.Design) -> None:
    options = {"std_errors": "influence", "target": "QINI"}
    over = ec.rate_over_splits(
        asked, learner=LINEAR, learners=FAST, folds=ec.Folds(k=3, repeats=2), split="half", seed=1, **options
    )
    train, test = asked.split(0.5, seed=1)
    priority = LINEAR.fit(
        _sample(train, seed=1), seed=1
    ).predict(test)[0]  # fmt: skip
    by_hand = ec.rate_from_scores(
        _scores(test, seed=1), priority, clusters=test.table.clusters, **options
    ).to_frame()
    first = over.splits[over.splits["seed"] == 1]
    np.testing.assert_allclose(first["estimate"], by_hand["estimate"], rtol=1e-9)
    np.testing.assert_allclose(first["std_error"], by_hand["std_error"], rtol=1e-9)
    assert over.method == "halves"
    assert over.target == "QINI"


def _settings(one: ec.Design, seed: int):
    from eocausal.nuisance.settings import settings_for

    return settings_for(one, folds=ec.Folds(k=3), learners=FAST, seed=seed)


def _sample(one: ec.Design, seed: int):
    from eocausal.effects.effect_learners import effect_sample

    return effect_sample(one, _settings(one, seed))


def _scores(one: ec.Design, seed: int) -> np.ndarray:
    from eocausal.effects.weighting import doubly_robust_scores

    return doubly_robust_scores(one, _settings(one, seed)).scores


def test_other_standard_errors_are_made_deal_by_deal(over: Rate) -> None:
    found = over.with_vcov("cluster")
    values, scores = over.joint.repeats.values[:, 0], over.joint.repeats.score_values[:, :, 0]
    labels = over.joint.groups["groups"]
    sums = np.array([[one[labels == label].sum() for label in np.unique(labels)] for one in scores])
    squares = 48 / 47 * (sums**2).sum(axis=1) / 240**2 + (values - np.median(values)) ** 2
    assert found.std_error == pytest.approx(np.sqrt(np.median(squares)), rel=1e-9)
    assert found.estimate == over.estimate


def test_deals_go_through_json_and_into_a_figure(over: Rate) -> None:
    import matplotlib.pyplot as plt

    back = Rate.from_dict(json.loads(json.dumps(over.to_dict(scores=True), allow_nan=False)))
    assert back == over
    pd.testing.assert_frame_equal(back.splits, over.splits)
    axes = over.plot_splits()
    own = over.splits[over.splits["estimand"] == "AUTOC"]["ratio"]
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert texts[1] == f"AUTOC\nmean {own.mean():.2f}, SD {own.std(ddof=1):.2f}"
    plt.close("all")


def test_the_same_seed_gives_the_same_result_in_any_order_of_rows(asked: ec.Design, over: Rate) -> None:
    order = np.random.default_rng(0).permutation(240)
    moved = ec.rate_over_splits(
        asked.take(order),
        learner=LINEAR,
        learners=FAST,
        folds=ec.Folds(k=3, repeats=3),
        replicates=100,
        seed=5,
    )
    np.testing.assert_allclose(moved.joint.values, over.joint.values, rtol=1e-8)
    np.testing.assert_allclose(moved.splits["std_error"], over.splits["std_error"], rtol=1e-8)


def test_one_deal_alone_has_no_distribution(asked: ec.Design) -> None:
    one = ec.rate_over_splits(asked, learner=LINEAR, learners=FAST, folds=ec.Folds(k=3, repeats=1))
    assert one.splits.empty
    with pytest.raises(EocausalError, match="one deal of the units"):
        one.p_over_splits()


@pytest.mark.parametrize(("options", "words"), [
    ({"split": "thirds"}, "split='thirds'"),
    ({"learner": "forrest"}, "learner='forrest'"),
    ({"target": "AUC"}, "target='AUC'"),
    ({"folds": 5}, "folds is 5"),
    ({"seed": -1}, "seed=-1"),
])  # fmt: skip
def test_what_cannot_be_asked_is_told(asked: ec.Design, options: dict, words: str) -> None:
    with pytest.raises(EocausalError, match=words):
        ec.rate_over_splits(asked, **options)


def test_a_design_without_columns_is_refused() -> None:
    with pytest.raises(EocausalError, match="no covariates and no features"):
        ec.rate_over_splits(design(study(80), covariates=[], propensity=0.5))
