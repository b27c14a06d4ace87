"""Boosted trees: how many is chosen on groups that are whole, and what they predict."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from eocausal.nuisance import boosting
from eocausal.nuisance.boosting import MOST_TREES, best_trees, boosted_mean, boosted_probability
from eocausal.nuisance.folds import group_splits
from eocausal.nuisance.models import INNER_SPLITS, Sample

HOW = {
    "learning_rate": boosting.STEP,
    "max_leaf_nodes": boosting.LEAVES,
    "min_samples_leaf": boosting.SMALLEST_LEAF,
    "l2_regularization": boosting.L2,
    "early_stopping": False,
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "MOST_TREES", 40)


def _sample(n: int = 240, *, seed: int = 0, groups: np.ndarray | None = None, noise: float = 0.3) -> Sample:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(n, 3))
    target = np.sin(2 * columns[:, 0]) + noise * rng.normal(size=n)
    groups = np.arange(n) if groups is None else groups
    return Sample(columns, target, rng.uniform(0.5, 2, size=n), groups, np.arange(n), 0)


def _binary(sample: Sample) -> Sample:
    return Sample(
        sample.columns, (sample.target > 0).astype(float), None, sample.groups, sample.ids, sample.seed
    )


def test_the_number_of_trees_by_a_loop() -> None:
    sample = _sample(noise=1.0)
    losses = []
    for trees in range(1, 41):
        loss = 0.0
        for train, test in group_splits(sample.groups, k=INNER_SPLITS):
            model = HistGradientBoostingRegressor(max_iter=trees, **HOW)
            model.fit(sample.columns[train], sample.target[train], sample_weight=sample.weights[train])
            loss += sample.weights[test] @ (sample.target[test] - model.predict(sample.columns[test])) ** 2
        losses.append(loss)
    assert best_trees(sample, treatment=False) == int(np.argmin(losses)) + 1
    assert 1 < np.argmin(losses) + 1 < 40


def test_predictions_are_those_of_scikit_learn() -> None:
    sample = _sample()
    model = HistGradientBoostingRegressor(max_iter=7, **HOW)
    model.fit(sample.columns, sample.target, sample_weight=sample.weights)
    np.testing.assert_array_equal(
        boosted_mean(sample, trees=7)(sample.columns), model.predict(sample.columns)
    )
    binary = _binary(sample)
    classes = HistGradientBoostingClassifier(max_iter=7, **HOW).fit(binary.columns, binary.target.astype(int))
    np.testing.assert_array_equal(
        boosted_probability(binary, trees=7)(sample.columns), classes.predict_proba(sample.columns)[:, 1]
    )


def test_nothing_to_learn_takes_few_trees_and_much_takes_many() -> None:
    rng = np.random.default_rng(2)
    sample = _sample(noise=0.05)
    shuffled = Sample(
        sample.columns, rng.permutation(sample.target), None, sample.groups, sample.ids, sample.seed
    )
    assert best_trees(sample, treatment=False) > 25
    assert best_trees(shuffled, treatment=False) < 10
    assert MOST_TREES > 100


def test_groups_are_not_parted_where_the_number_is_chosen() -> None:
    # eight units share each place; the target is a value of the place alone, and the columns only name the place
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(30), 8)
    columns = rng.normal(size=(30, 3))[place]
    target = rng.normal(size=30)[place] + 0.1 * rng.normal(size=240)
    whole = Sample(columns, target, None, place, np.arange(240), 0)
    alone = Sample(columns, target, None, np.arange(240), np.arange(240), 0)
    assert best_trees(whole, treatment=False) < 12
    assert best_trees(alone, treatment=False) > 30


def test_probabilities_stay_inside() -> None:
    binary = _binary(_sample(noise=0.0))
    found = boosted_probability(binary)(binary.columns)
    assert ((found > 0) & (found < 1)).all()


def test_many_rows_are_judged_on_one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    fitted = boosting._fitted
    monkeypatch.setattr(boosting, "_fitted", lambda *args, **how: fits.append(1) or fitted(*args, **how))
    monkeypatch.setattr(boosting, "ONE_SPLIT_ABOVE", 100)
    best_trees(_sample(), treatment=False)
    assert len(fits) == 1
