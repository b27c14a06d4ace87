"""Weighted differences whose weights come from a propensity, with how they move with it. Pure arrays.

Every function returns an estimate and its *pull* (n,): the derivative of the estimate with respect to the
propensity of each unit. Where the propensity is known the pull is of no use. Where its coefficients were estimated,
it carries their error into the estimate (:func:`stack`), as solving the stacked estimating equations of
coefficients and estimate does (Stefanski and Boos 2002, American Statistician 56; Lunceford and Davidian 2004,
Statistics in Medicine 23, section 3).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.parametric import FittedPropensity
from eocausal.inference.scores import ScoredEstimate, ratio_of_means
from eocausal.inference.tilting import SHARES, balancing_slopes, balancing_weights

FloatArray = npt.NDArray[np.float64]


def arm_mean(
    outcome: FloatArray, arm_weights: FloatArray, arm_slopes: FloatArray
) -> tuple[ScoredEstimate, FloatArray]:
    """Return the mean outcome of an arm under weights (n,) that are 0 outside it.

    ``arm_slopes`` (n,) are the derivatives of the weights with respect to the propensity.

    Examples
    --------
    >>> mean, pull = arm_mean(np.array([1.0, 4.0]), np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    >>> mean.estimate, pull.round(3).tolist()
    (3.0, [-0.0, 0.333])
    """
    total = arm_weights.sum()
    mean = float(arm_weights @ outcome / total)
    residual = outcome - mean
    scored = ScoredEstimate(mean, outcome.size * arm_weights * residual / total, 1)
    return scored, arm_slopes * residual / total


def normalised_difference(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, *, propensity: FloatArray, estimand: str
) -> tuple[ScoredEstimate, FloatArray]:
    """Return the difference of the arms' weighted means (Hajek), and its pull."""
    balancing = weights * balancing_weights(treatment, propensity, estimand)
    slopes = weights * balancing_slopes(treatment, propensity, estimand)
    treated, pull_treated = arm_mean(outcome, treatment * balancing, treatment * slopes)
    control, pull_control = arm_mean(outcome, (1 - treatment) * balancing, (1 - treatment) * slopes)
    scored = ScoredEstimate(treated.estimate - control.estimate, treated.scores - control.scores, 1)
    return scored, pull_treated - pull_control


def expanded_difference(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, *, propensity: FloatArray, estimand: str
) -> tuple[ScoredEstimate, FloatArray]:
    """Return the difference of the arms' weighted totals over the size of the group asked for, and its pull.

    Horvitz and Thompson (1952), JASA 47, 663-685. The weights of an arm need not sum to that size, so the estimate
    moves when a constant is added to the outcome.

    Examples
    --------
    >>> half = np.full(4, 0.5)
    >>> y, t = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 0.0])
    >>> expanded_difference(y, t, np.ones(4), propensity=half, estimand="ate")[0].estimate
    -3.0
    """
    sign = 2 * treatment - 1
    share, share_slope = SHARES[estimand](treatment, propensity)
    contrast = sign * balancing_weights(treatment, propensity, estimand) * outcome
    moved = sign * balancing_slopes(treatment, propensity, estimand) * outcome
    scored = ratio_of_means(contrast, share, weights)
    return scored, weights * (moved - scored.estimate * share_slope) / float(weights @ share)


def stack(scored: ScoredEstimate, pull: FloatArray, fitted: FittedPropensity) -> ScoredEstimate:
    """Return the estimate with influence values that hold the error of the propensity's coefficients too."""
    return ScoredEstimate(
        scored.estimate, scored.scores + fitted.carried(pull), scored.n_params + fitted.n_params
    )
