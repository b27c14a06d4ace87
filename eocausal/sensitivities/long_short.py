"""How far omitted confounders can move an average effect, from what is left of outcome and treatment. Pure arrays.

Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis (2022), "Long story short: omitted variable bias in causal
machine learning", arXiv 2112.13398. An effect is ``E[alpha Y]`` with ``alpha`` its Riesz representer: the weight,
positive for the treated and negative for controls, that turns outcomes into the effect. With
``sigma2 = E[(Y - g)^2]`` what the regression ``g`` leaves of the outcome, and ``nu2 = E[alpha^2]``, confounders
move the effect by at most

``|rho| sqrt(sigma2 nu2) sqrt(r2_outcome r2_treatment / (1 - r2_treatment))``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.inference import scores
from eocausal.inference.tilting import SHARES, TILTS
from eocausal.sensitivities.strengths import bias_factor

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LongShort:
    """What bounds the bias of one estimate.

    Attributes
    ----------
    estimate : float
    sigma2 : float
        Mean square of what is left of the outcome.
    nu2 : float
        Mean square of the Riesz representer.
    sigma2_scores, nu2_scores : array of shape (n,)
        Centred influence values of the two.
    plain : bool
        Whether ``nu2`` is the plain mean square, because its debiased form was not positive.
    """

    estimate: float
    sigma2: float
    nu2: float
    sigma2_scores: FloatArray
    nu2_scores: FloatArray
    plain: bool = False

    @property
    def scale(self) -> float:
        """``sqrt(sigma2 nu2)``: the bias of confounders whose strengths multiply to 1."""
        return float(np.sqrt(self.sigma2 * self.nu2))

    @property
    def scale_scores(self) -> FloatArray:
        """Influence values (n,) of the scale."""
        moved = self.sigma2 * self.nu2_scores + self.nu2 * self.sigma2_scores
        return np.asarray(moved / (2 * self.scale)) if self.scale > 0 else np.zeros_like(moved)


def of_residuals(
    outcome: FloatArray,
    treatment: FloatArray,
    *,
    outcome_mean: FloatArray,
    treatment_mean: FloatArray,
    weights: FloatArray,
) -> LongShort:
    """Return the pieces of the partially linear model: with ``v`` what is left of treatment, alpha is v / E[v^2].

    Examples
    --------
    >>> y, t, zero = np.array([1.0, -2.0, 2.0, -1.0]), np.array([0.5, -0.5, 0.5, -0.5]), np.zeros(4)
    >>> found = of_residuals(y, t, outcome_mean=zero, treatment_mean=zero, weights=np.ones(4))
    >>> found.estimate, found.sigma2, found.nu2, found.scale
    (3.0, 0.25, 4.0, 1.0)
    """
    left, moved = outcome - outcome_mean, treatment - treatment_mean
    slope = scores.partially_linear(left, moved, weights).estimate
    sigma2, sigma2_scores = _mean((left - slope * moved) ** 2, weights)
    spread, spread_scores = _mean(moved**2, weights)
    return LongShort(slope, sigma2, 1 / spread, sigma2_scores, -spread_scores / spread**2)


def of_arms(
    outcome: FloatArray,
    treatment: FloatArray,
    *,
    estimand: str,
    propensity: FloatArray,
    outcome_control: FloatArray,
    outcome_treated: FloatArray,
    weights: FloatArray,
) -> LongShort:
    """Return the pieces of an average effect by outcomes of both arms and a propensity.

    The representer is ``h(e) / E[h] (t / e - (1 - t) / (1 - e))`` with ``h`` the tilt of the estimand
    (:mod:`eocausal.inference.tilting`), and ``nu2`` is ``E[2 m(alpha) - alpha^2]``, which errors of the propensity
    move to second order only; ``m(alpha)`` is the effect's formula with the representer in place of the outcomes.
    Influence values hold that ``E[h]`` is estimated by the share of the treated, or of the controls. The ``ato``
    has the pieces of the partially linear model, as its score has.
    """
    if estimand == "ato":
        expected = propensity * outcome_treated + (1 - propensity) * outcome_control
        return of_residuals(
            outcome, treatment, outcome_mean=expected, treatment_mean=propensity, weights=weights
        )
    numerator, share = scores.augmented(
        outcome,
        treatment,
        estimand=estimand,
        propensity=propensity,
        outcome_control=outcome_control,
        outcome_treated=outcome_treated,
    )
    estimate = scores.ratio_of_means(numerator, share, weights).estimate
    predicted = np.where(treatment == 1, outcome_treated, outcome_control)
    sigma2, sigma2_scores = _mean((outcome - predicted) ** 2, weights)
    tilt = TILTS[estimand](propensity)
    representer = tilt * (treatment / propensity - (1 - treatment) / (1 - propensity))
    applied = SHARES[estimand](treatment, propensity)[0] * tilt / (propensity * (1 - propensity))
    square, square_scores = _mean(2 * applied - representer**2, weights)
    plain = square <= 0
    if plain:
        square, square_scores = _mean(representer**2, weights)
    total, total_scores = _mean(share, weights)
    nu2 = square / total**2
    nu2_scores = square_scores / total**2 - 2 * nu2 * total_scores / total
    return LongShort(estimate, sigma2, nu2, sigma2_scores, nu2_scores, plain)


def strength(r2_outcome: float, r2_treatment: float, rho: float = 1.0) -> float:
    """Return by how many scales confounders of given strength move an estimate at most.

    Examples
    --------
    >>> round(strength(0.2, 0.2), 12), strength(0.5, 0.5, rho=0.5), strength(0.1, 1.0)
    (0.22360679775, 0.353..., inf)
    """
    if r2_treatment >= 1:
        return 0.0 if r2_outcome == 0 else float("inf")
    return abs(rho) * bias_factor(r2_treatment, r2_outcome)


@dataclass(frozen=True)
class Gain:
    """What some columns add: to the outcome, to the treatment, and how the two go together.

    ``rho`` is the correlation of what they change in both, with the sign of ``change``: the estimate without the
    columns less that with them. Strengths are negative where columns make a prediction worse.
    """

    r2_outcome: float
    r2_treatment: float
    rho: float
    change: float


def gain(long: Sequence[LongShort], short: Sequence[LongShort], *, inside: bool = True) -> Gain:
    """Return what columns add, the median over repeats: ``long`` with them, ``short`` without, first with first.

    Parameters
    ----------
    long, short : sequence of LongShort
    inside : bool
        Whether the estimate adjusts for the columns. A confounder is then as strong as they are when it explains as
        much beside them: ``r2_outcome`` is by how much they lower the mean square that is left of the outcome, over
        what is left with them; ``r2_treatment`` by how much they raise that of the representer, over what it is
        without them, which in linear models is ``r2 / (1 - r2)`` of their partial R2 with the treatment. Columns
        that the estimate does not adjust for are themselves omitted, and the strengths are theirs.

    Examples
    --------
    >>> none = np.zeros(1)
    >>> with_them, without = LongShort(1.0, 2.0, 5.0, none, none), LongShort(1.5, 2.5, 4.0, none, none)
    >>> found = gain([with_them], [without])
    >>> found.r2_outcome, found.r2_treatment, round(found.rho, 6)
    (0.25, 0.25, 0.707107)
    >>> omitted = gain([with_them], [without], inside=False)
    >>> round(omitted.r2_outcome, 6), round(omitted.r2_treatment, 6)
    (0.2, 0.2)
    """
    found = []
    for much, one in zip(long, short):
        left, precision = one.sigma2 - much.sigma2, much.nu2 - one.nu2
        over = (much.sigma2, one.nu2) if inside else (one.sigma2, much.nu2)
        found.append(
            (left / over[0], precision / over[1], _correlation(much, one), one.estimate - much.estimate)
        )
    return Gain(*(float(value) for value in np.median(found, axis=0)))


def times_needed(needed: float, r2_outcome: float, r2_treatment: float, rho: float = 1.0) -> float:
    """Return how many times stronger in both ways confounders must be to move an estimate ``needed`` scales.

    The share of the outcome ends at 1, and only that of the treatment grows from there. Infinite where one of the
    strengths is not positive.

    Examples
    --------
    >>> times = times_needed(0.3, 0.02, 0.01)
    >>> round(strength(0.02 * times, 0.01 * times), 12)
    0.3
    """
    if needed == 0:
        return 0.0
    if min(r2_outcome, r2_treatment) <= 0:
        return float("inf")
    f2 = (needed / rho) ** 2
    half = f2 * r2_treatment / 2
    # the positive root of k^2 r2_outcome r2_treatment + k f2 r2_treatment - f2
    times = f2 / (half + np.sqrt(half**2 + r2_outcome * r2_treatment * f2))
    if times * r2_outcome > 1:
        times = f2 / ((1 + f2) * r2_treatment)
    return float(times)


def _correlation(long: LongShort, short: LongShort) -> float:
    """Return the signed correlation that a change of the estimate speaks for, within -1 and 1."""
    change = short.estimate - long.estimate
    room = (short.sigma2 - long.sigma2) * (long.nu2 - short.nu2)
    if short.sigma2 <= long.sigma2 or long.nu2 <= short.nu2:
        return float(np.sign(change))
    return float(np.clip(change / np.sqrt(room), -1.0, 1.0))


def _mean(values: FloatArray, weights: FloatArray) -> tuple[float, FloatArray]:
    """Return a weighted mean and its influence values (n,)."""
    found = float(weights @ values / weights.sum())
    return found, np.asarray(weights / weights.mean() * (values - found))
