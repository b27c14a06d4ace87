"""Scores of effects of several arms against one of them. Pure arrays.

``codes`` (n,) holds the arm of each unit, 0 for the control; ``propensities`` (n, K) the probability of each arm
given what is known of the unit, and ``outcomes`` (n, K) its predicted outcome in each. With two arms all here
equals :mod:`eocausal.inference.scores`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Averages that several arms have: over all units, or over the units of the arm itself.
ARM_ESTIMANDS = ("ate", "att")


def augmented_contrast(
    outcome: FloatArray,
    codes: Codes,
    *,
    arm: int,
    estimand: str,
    propensities: FloatArray,
    outcomes: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return numerators and shares (n,) of the efficient score of one arm against the control.

    With ``e_k`` the probability of arm k, ``m_k`` its predicted outcome and ``d_k`` whether the unit is in it

    * ``ate``: ``m_k - m_0 + d_k (y - m_k) / e_k - d_0 (y - m_0) / e_0``, share 1: the difference of two of the
      efficient influence functions of Cattaneo (2010), Journal of Econometrics 155, 138-154, theorem 2.
    * ``att``: ``d_k (y - m_0) - d_0 (e_k / e_0) (y - m_0)``, share ``d_k``: the average over the units of arm k.
      Hahn (1998), Econometrica 66, among the units of the two arms.

    Examples
    --------
    >>> m, e = np.zeros((3, 3)), np.array([[0.5, 0.25, 0.25]] * 3)
    >>> numerator, _ = augmented_contrast(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]), arm=2, estimand="ate",
    ...                                   propensities=e, outcomes=m)
    >>> numerator.tolist()
    [-2.0, 0.0, 12.0]
    """
    mine, control = (codes == arm).astype(float), (codes == 0).astype(float)
    residual = control * (outcome - outcomes[:, 0])
    if estimand == "att":
        odds = propensities[:, arm] / propensities[:, 0]
        return mine * (outcome - outcomes[:, 0]) - odds * residual, mine
    gap = outcomes[:, arm] - outcomes[:, 0]
    own = mine * (outcome - outcomes[:, arm]) / propensities[:, arm]
    return gap + own - residual / propensities[:, 0], np.ones_like(mine)


def hajek_contrast(
    outcome: FloatArray,
    codes: Codes,
    weights: FloatArray,
    *,
    arm: int,
    estimand: str,
    propensities: FloatArray,
) -> ScoredEstimate:
    """Return the difference of two means weighted by inverse probabilities, each normalised in its arm.

    The influence values take the probabilities as given. With equal probabilities for all units it is the
    difference of the weighted means of the arms.
    """
    n, estimate, scores = outcome.size, 0.0, np.zeros(outcome.size)
    for sign, code in ((1.0, arm), (-1.0, 0)):
        own = weights * arm_weights(codes, code, of=arm, estimand=estimand, propensities=propensities)
        total = float(own.sum())
        mean = float(own @ outcome / total)
        estimate += sign * mean
        scores += sign * n * own * (outcome - mean) / total
    return ScoredEstimate(estimate, scores, 1)


def arm_weights(
    codes: Codes, code: int, *, of: int | None = None, estimand: str = "ate", propensities: FloatArray
) -> FloatArray:
    """Return what units weigh in the mean of an arm (n,), 0 outside it; ``of`` is the arm of an ``att``.

    Examples
    --------
    >>> e = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    >>> arm_weights(np.array([0, 2]), 2, propensities=e).round(3).tolist()
    [0.0, 1.667]
    >>> arm_weights(np.array([0, 2]), 0, of=2, estimand="att", propensities=e).tolist()
    [0.5, 0.0]
    """
    tilt = propensities[:, of] if estimand == "att" and of is not None else np.ones(codes.size)
    return np.asarray((codes == code) * tilt / propensities[:, code])


def effective_sizes(codes: Codes, propensities: FloatArray, weights: FloatArray) -> FloatArray:
    """Return how many equally weighted units each arm (K,) is worth in an average over all units.

    Examples
    --------
    >>> effective_sizes(np.array([0, 0, 1]), np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), np.ones(3)).tolist()
    [2.0, 1.0]
    """
    own = [
        weights * arm_weights(codes, code, propensities=propensities) for code in range(propensities.shape[1])
    ]
    return np.array([one.sum() ** 2 / (one @ one) for one in own])
