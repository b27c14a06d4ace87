"""Boosted trees whose number is chosen on splits that keep groups whole. Pure arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.nuisance.folds import group_splits
from eocausal.nuisance.models import INNER_SPLITS, Predictor, Sample, fit_weighted, two_class_splits

FloatArray = npt.NDArray[np.float64]

# Small trees in small steps. With 400 rows and 60 columns, more leaves or longer steps predicted worse; with
# 80,000 rows and 20 columns these made no difference.
LEAVES, STEP, MOST_TREES, SMALLEST_LEAF, L2 = 6, 0.1, 150, 20, 1.0
# Above this many rows one split says well enough how many trees are best.
ONE_SPLIT_ABOVE = 10_000


def boosted_mean(sample: Sample, *, trees: int | None = None) -> Predictor:
    """Fit boosted regression trees; ``trees`` is chosen where it is not given."""
    trees = best_trees(sample, treatment=False) if trees is None else trees
    fitted = _fitted(sample, sample.target, trees, treatment=False)
    return lambda columns: np.asarray(fitted.predict(columns), dtype=float)


def boosted_probability(sample: Sample, *, trees: int | None = None) -> Predictor:
    """Fit boosted classification trees; ``trees`` is chosen where it is not given."""
    trees = best_trees(sample, treatment=True) if trees is None else trees
    fitted = _fitted(sample, sample.target, trees, treatment=True)
    return lambda columns: np.asarray(fitted.predict_proba(columns)[:, 1], dtype=float)


def best_trees(sample: Sample, *, treatment: bool) -> int:
    """Return the number of trees that predicts best on the parts left out of splits by group."""
    splits = two_class_splits(sample) if treatment else group_splits(sample.groups, k=INNER_SPLITS)
    if sample.target.size > ONE_SPLIT_ABOVE:
        splits = splits[:1]
    losses = np.zeros(MOST_TREES)
    for train, test in splits:
        learned = sample.rows(train)
        model = _fitted(learned, learned.target, MOST_TREES, treatment=treatment)
        weights = np.ones(test.size) if sample.weights is None else sample.weights[test]
        stages = model.staged_predict_proba if treatment else model.staged_predict
        loss = _log_loss if treatment else _squared
        losses += [weights @ loss(one, sample.target[test]) for one in stages(sample.columns[test])]
    return int(np.argmin(losses)) + 1


def _fitted(sample: Sample, target: FloatArray, trees: int, *, treatment: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if treatment else HistGradientBoostingRegressor
    model = kind(
        learning_rate=STEP,
        max_iter=trees,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=SMALLEST_LEAF,
        l2_regularization=L2,
        early_stopping=False,  # its own split would part groups
        random_state=sample.seed,
    )
    return fit_weighted(model, sample, target.astype(int) if treatment else target)


def _squared(predicted: FloatArray, target: FloatArray) -> FloatArray:
    return np.asarray((target - predicted) ** 2)


def _log_loss(probabilities: FloatArray, target: FloatArray) -> FloatArray:
    return np.asarray(-np.log(probabilities[np.arange(target.size), target.astype(int)]))
