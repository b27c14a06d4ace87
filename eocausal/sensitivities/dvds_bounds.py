"""Doubly valid, doubly sharp bounds of an average effect: orthogonal scores. Pure arrays.

Dorn, Guo and Kallus (2024), arXiv 2112.11449. With ``Q`` a quantile of the outcome of an arm given the columns at
level ``L / (L + 1)``, its largest outcome among units of the other arm is the mean of

``R = Q + (y - Q) L`` where ``y`` is above ``Q``, ``Q + (y - Q) / L`` where it is below.

Any ``Q`` gives a valid bound, and the true one the smallest. With ``rho`` a prediction of ``R`` from the columns
and ``o`` the odds of the other arm, the score of a unit is ``rho`` in the other arm and ``o (R - rho)`` in its own,
as that of AIPW is with ``y`` and its prediction: to first order it does not move with errors of ``o``, ``rho`` or
``Q``, and at ``L = 1`` it is that of AIPW.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate, ratio_of_means
from eocausal.sensitivities.tail_quantiles import Tail

FloatArray = npt.NDArray[np.float64]

# Arms whose outcomes are not seen for all of the target, by what the average is over.
UNSEEN = {"ate": (0, 1), "att": (0,), "atc": (1,)}


@dataclass(frozen=True, eq=False)
class Predicted:
    """Outcome and treatment of units (n,), with what is predicted of them out of fold.

    Attributes
    ----------
    outcome, treatment, weights : array of shape (n,)
    propensity : array of shape (n,)
    means : (array of shape (n,), array of shape (n,))
        Outcomes predicted for control and for treatment.
    """

    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    propensity: FloatArray
    means: tuple[FloatArray, FloatArray]


def reweighed(outcome: FloatArray, quantile: FloatArray, bound: float, *, upper: bool) -> FloatArray:
    """Return what an outcome counts for among units of the other arm, at the largest or the smallest.

    Examples
    --------
    >>> reweighed(np.array([3.0, 0.0]), np.array([1.0, 1.0]), 2.0, upper=True).tolist()
    [5.0, 0.5]
    """
    left = outcome - quantile
    return np.asarray(quantile + left * np.where((left > 0) == upper, bound, 1 / bound))


def predicted_reweighed(mean: FloatArray, tail: Tail, bound: float, *, upper: bool) -> FloatArray:
    """Return the prediction of what :func:`reweighed` makes of outcomes, from that of outcomes and their tail.

    A share ``1 / bound`` of the mean, and of the rest the mean beyond the quantile (conditional value at risk).

    Examples
    --------
    >>> flat = Tail(np.array([1.0]), np.array([0.5]))
    >>> predicted_reweighed(np.array([1.0]), flat, 2.0, upper=True).tolist()
    [1.75]
    """
    sign = 1.0 if upper else -1.0
    beyond = tail.quantile + sign * (bound + 1) * tail.beyond
    return np.asarray(mean / bound + (1 - 1 / bound) * beyond)


def bounded_effect(
    units: Predicted, tails: dict[int, Tail], *, estimand: str, bound: float, upper: bool
) -> ScoredEstimate:
    """Return the lowest or the highest effect with centred influence values.

    Parameters
    ----------
    units : Predicted
    tails : mapping of int to Tail
        By arm, at the level of its end: the treated lie where the effect does, the controls at the other end.
        Not used at a bound of 1.
    estimand : {"ate", "att", "atc"}
    bound : float
    upper : bool
    """
    treated = units.treatment == 1
    share = {"ate": np.ones(treated.size), "att": treated * 1.0, "atc": ~treated * 1.0}[estimand]
    effect = np.zeros(treated.size)
    for arm, sign in ((0, -1.0), (1, 1.0)):
        own = treated if arm == 1 else ~treated
        effect += sign * share * own * units.outcome
        if arm not in UNSEEN[estimand]:
            continue
        side = upper if arm == 1 else not upper
        odds = units.propensity / (1 - units.propensity)
        odds = odds if arm == 0 else 1 / odds
        if bound == 1:
            counted, expected = units.outcome, units.means[arm]
        else:
            counted = reweighed(units.outcome, tails[arm].quantile, bound, upper=side)
            expected = predicted_reweighed(units.means[arm], tails[arm], bound, upper=side)
        effect += sign * np.where(own, odds * (counted - expected), expected)
    return ratio_of_means(effect, share, units.weights)
