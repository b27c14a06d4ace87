"""How well predictions rank units of one arm above those of the other: AUC with weights, by fold, with its error.

Pure arrays. The influence values are those of given predictions: they say how far the AUC of these predictions
would move on other units, and nothing of how the predictions themselves would move.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


def auc_with_influence(
    score: FloatArray, label: FloatArray, weights: FloatArray | None = None
) -> tuple[float, FloatArray]:
    """Return the area under the ROC curve and its influence values (n,), ties counting one half.

    With weights a pair of units counts as much as the product of their weights. Unweighted it is that of DeLong,
    DeLong and Clarke-Pearson (1988), Biometrics 44.

    Parameters
    ----------
    score, label : array of shape (n,)
        Predictions, and 1 or 0.
    weights : array of shape (n,), optional
        Not negative; zero leaves a unit out. Taken as known.

    Examples
    --------
    >>> score, label = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0, 1, 1])
    >>> auc_with_influence(score, label)[0]
    0.75
    >>> auc_with_influence(score, label, np.array([1.0, 1, 3, 1]))[0]
    0.625
    """
    weight = np.ones(score.size) if weights is None else weights
    positive = label == 1
    own = {True: np.where(positive, weight, 0.0), False: np.where(positive, 0.0, weight)}
    total = {arm: float(values.sum()) for arm, values in own.items()}
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    tied = np.repeat(np.arange(starts.size), np.diff(np.r_[starts, score.size]))
    below = {}
    for arm, values in own.items():
        at = np.add.reduceat(values[order], starts)
        below[arm] = np.empty(score.size)
        below[arm][order] = (np.cumsum(at) - at / 2)[tied] / total[arm]
    placement = np.where(positive, below[False], 1 - below[True])
    auc = float(own[True] @ placement / total[True])
    share = np.where(positive, total[True], total[False]) / score.size
    return auc, weight * (placement - auc) / share


def auc_by_fold(
    score: FloatArray, label: FloatArray, folds: Codes, weights: FloatArray | None = None
) -> ScoredEstimate:
    """Return the AUC among units of one fold, averaged over folds by their pairs, with influence values (n,).

    Each fold has a model of its own, and where chance puts many treated units into a fold, the model of that fold
    has seen few: predictions of different folds are not on one scale, and comparing them pulls the AUC of a model
    that knows nothing below 0.5. A fold with units of one arm only says nothing and is passed over.

    Examples
    --------
    >>> score, label = np.array([0.1, 0.4, 0.8, 0.9]), np.array([0.0, 1, 0, 1])
    >>> auc_by_fold(score, label, np.array([0, 0, 1, 1])).estimate
    1.0
    """
    weight = np.ones(score.size) if weights is None else weights
    pairs, values, influence = [], [], np.zeros(score.size)
    for fold in range(int(folds.max()) + 1):
        rows = folds == fold
        treated, control = weight[rows] @ label[rows], weight[rows] @ (1 - label[rows])
        if not (treated > 0 and control > 0):
            continue
        value, of_fold = auc_with_influence(score[rows], label[rows], weight[rows])
        pairs.append(treated * control)
        values.append(value)
        influence[rows] = of_fold * pairs[-1] * score.size / rows.sum()
    if not pairs:
        return ScoredEstimate(float("nan"), influence, 1)
    total = float(np.sum(pairs))
    return ScoredEstimate(float(np.dot(pairs, values) / total), influence / total, 1)
