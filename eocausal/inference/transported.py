"""The average effect in a target from scores of a study. Pure arrays: estimates and how each sample moves them.

The study has doubly robust scores, a predicted effect and the odds of the target against the study for each unit;
the target has predicted effects. Weights are normalised to sum to one, so odds matter up to a factor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Transported(NamedTuple):
    """An estimate, centred influence values of the study (n,), and what each target unit adds to the error (m,).

    The error is the mean of the influence values plus the sum of the parts.
    """

    estimate: float
    scores: FloatArray
    parts: FloatArray


def doubly_robust_transport(
    dr_scores: FloatArray,
    effects: FloatArray,
    weights: FloatArray,
    *,
    target_effects: FloatArray,
    target_weights: FloatArray,
) -> Transported:
    """Return the mean of predicted effects over the target, corrected by how the study's scores differ from them.

    ``sum of v_j tau_j over the target + sum of w_i (score_i - tau_i) over the study``, with ``v`` and ``w``
    normalised weights. ``weights`` (n,) are the odds of the target against the study, times sampling weights of the
    study. Where either the odds or the predicted effects are right, so is the estimate (the doubly robust form of
    Dahabreh et al. 2020, Statistics in Medicine 39, with normalised weights).

    Parameters
    ----------
    dr_scores : array of shape (n,)
    effects : array of shape (n,)
        Predicted effects of the study's units, by models that did not see them.
    weights : array of shape (n,)
        Zero for units that shall not count.
    target_effects, target_weights : array of shape (m,)

    Examples
    --------
    >>> one = np.ones(2)
    >>> doubly_robust_transport(np.array([1.0, 4.0]), np.array([1.0, 3.0]), one,
    ...                         target_effects=np.array([3.0, 5.0]), target_weights=one).estimate
    4.5
    """
    share, there = weights / weights.sum(), target_weights / target_weights.sum()
    predicted = float(there @ target_effects)
    residual = dr_scores - effects
    correction = float(share @ residual)
    scores = residual.size * share * (residual - correction)
    return Transported(predicted + correction, scores, there * (target_effects - predicted))


def inverse_odds(dr_scores: FloatArray, weights: FloatArray, *, n_target: int) -> Transported:
    """Return the mean of the study's scores, weighted by the odds of the target against the study.

    The odds are taken as given, so the target adds nothing to the error.

    Examples
    --------
    >>> inverse_odds(np.array([1.0, 4.0]), np.array([3.0, 1.0]), n_target=5).estimate
    1.75
    """
    share = weights / weights.sum()
    estimate = float(share @ dr_scores)
    return Transported(estimate, dr_scores.size * share * (dr_scores - estimate), np.zeros(n_target))
