"""Average effects by type from doubly robust scores and probabilities of types. Pure arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate, ratio_of_means

FloatArray = npt.NDArray[np.float64]

# Probabilities of types that move together more than this leave nothing to tell effects of pure types apart by.
_SINGULAR = 1e-8


def averages_by_type(
    dr_scores: FloatArray, probability: FloatArray, weights: FloatArray
) -> list[ScoredEstimate]:
    """Return for each type the average of the scores in which a unit counts by its probability of the type.

    Parameters
    ----------
    dr_scores, weights : array of shape (n,)
    probability : array of shape (n, K)

    Examples
    --------
    >>> sure = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> [one.estimate for one in averages_by_type(np.array([1.0, 3.0, 7.0]), sure, np.ones(3))]
    [2.0, 7.0]
    """
    return [ratio_of_means(share * dr_scores, share, weights) for share in probability.T]


def effects_of_pure_types(
    dr_scores: FloatArray, probability: FloatArray, weights: FloatArray
) -> list[ScoredEstimate] | None:
    """Return the effect of a unit that is certain of each type: scores regressed on probabilities, no constant.

    Where an image is of a type with the probability that is said, scores are on average the sum of probabilities
    times effects, so the coefficients are the effects of types. Averages by type are nearer to one another, since
    hardly an image is certain. None where probabilities vary too little.

    Examples
    --------
    >>> half = np.array([[0.75, 0.25], [0.25, 0.75]])
    >>> [round(one.estimate, 9) for one in effects_of_pure_types(half @ [1.0, 3.0], half, np.ones(2))]
    [1.0, 3.0]
    """
    n, types = probability.shape
    share = weights / weights.sum()
    gram = (probability * share[:, None]).T @ probability
    if np.linalg.eigvalsh(gram)[0] < _SINGULAR:
        return None
    inverse = np.linalg.inv(gram)
    effects = inverse @ (probability.T @ (share * dr_scores))
    residual = dr_scores - probability @ effects
    influence = n * (share * residual)[:, None] * (probability @ inverse)
    return [ScoredEstimate(float(effects[one]), influence[:, one], types) for one in range(types)]
