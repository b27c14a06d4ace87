"""Point estimates and influence values of average effects. Pure arrays, so they compare with R to ten digits.

Every function takes the outcome ``outcome`` (n,), the 0/1 ``treatment`` (n,) and positive sample ``weights``
(n,), and returns the estimate with centred influence values: estimate minus truth is, to first order, the
mean of the influence values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class ScoredEstimate(NamedTuple):
    """An estimate, its influence values (n,), and how many coefficients were fitted for it."""

    estimate: float
    scores: FloatArray
    n_params: int


def difference(outcome: FloatArray, treatment: FloatArray, weights: FloatArray) -> ScoredEstimate:
    """Return the difference of weighted arm means.

    Examples
    --------
    >>> y, t = np.array([1.0, 3.0, 5.0, 9.0]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> difference(y, t, np.ones(4)).estimate
    5.0
    """
    return hajek(outcome, treatment, weights, propensity=np.full(outcome.size, 0.5))._replace(n_params=2)


def hajek(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, *, propensity: FloatArray
) -> ScoredEstimate:
    """Return the normalised (Hajek) inverse-probability-weighted difference, for a given propensity.

    The influence values take the propensity as known. Hajek (1971), comment on Basu, in Foundations of
    Statistical Inference; Lunceford and Davidian (2004), Statistics in Medicine 23, their normalised form.
    """
    n = outcome.size
    estimate = 0.0
    scores = np.zeros(n)
    for sign, arm_weight in (
        (1.0, weights * treatment / propensity),
        (-1.0, weights * (1 - treatment) / (1 - propensity)),
    ):
        total = arm_weight.sum()
        mean = float(arm_weight @ outcome / total)
        estimate += sign * mean
        scores += sign * n * arm_weight * (outcome - mean) / total
    return ScoredEstimate(estimate, scores, 1)


def regression(
    outcome: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    *,
    covariates: FloatArray,
    target: FloatArray | None = None,
) -> ScoredEstimate:
    """Return the fully interacted regression adjustment of Lin (2013).

    The covariates (n, p) are centred at their weighted mean and interacted with treatment, which equals one
    least-squares fit for each arm averaged over all units. The influence values include the sampling of the
    covariate mean (Negi and Wooldridge 2021, Econometric Reviews 40), so the standard error is for the
    population, as in Stata's ``teffects ra``. The covariates must have full rank in each arm.

    ``target`` (n,) is 1 for the units whose average effect is asked for, else 0: the treated for ``att``, as in
    Stata's ``teffects ra, atet``. Default: all units.

    Lin, W. (2013), Annals of Applied Statistics 7, section 3.
    """
    n, n_covariates = covariates.shape
    rows = np.column_stack([np.ones(n), covariates])
    of_target = weights if target is None else weights * target
    centre = of_target @ rows / of_target.sum()
    share = of_target / of_target.mean()
    estimate = 0.0
    scores = np.zeros(n)
    for sign, arm in ((1.0, treatment == 1), (-1.0, treatment == 0)):
        weighted_rows = rows[arm] * weights[arm, None]
        gram = weighted_rows.T @ rows[arm]
        coefficients = np.linalg.solve(gram, weighted_rows.T @ outcome[arm])
        mean = float(centre @ coefficients)
        residual = outcome[arm] - rows[arm] @ coefficients
        estimate += sign * mean
        scores += sign * share * (rows @ coefficients - mean)
        scores[arm] += sign * n * (weighted_rows @ np.linalg.solve(gram, centre)) * residual
    return ScoredEstimate(estimate, scores, 2 * (1 + n_covariates))


def doubly_robust(
    outcome: FloatArray,
    treatment: FloatArray,
    *,
    propensity: FloatArray,
    outcome_control: FloatArray,
    outcome_treated: FloatArray,
) -> FloatArray:
    """Return the doubly robust (AIPW) score of each unit.

    ``m1 - m0 + t (y - m1) / e - (1 - t) (y - m0) / (1 - e)`` with ``m0, m1`` the predicted outcomes and
    ``e`` the propensity. Robins, Rotnitzky and Zhao (1994), JASA 89, 846-866.

    Examples
    --------
    With no outcome model it is the Horvitz-Thompson contrast:

    >>> zero, half = np.zeros(2), np.full(2, 0.5)
    >>> doubly_robust(np.array([1.0, 4.0]), np.array([0.0, 1.0]), propensity=half,
    ...               outcome_control=zero, outcome_treated=zero).tolist()
    [-2.0, 8.0]
    """
    treated_part = treatment * (outcome - outcome_treated) / propensity
    control_part = (1 - treatment) * (outcome - outcome_control) / (1 - propensity)
    return outcome_treated - outcome_control + treated_part - control_part


def mean_of_scores(dr_scores: FloatArray, weights: FloatArray) -> ScoredEstimate:
    """Return the weighted mean of doubly robust scores, the AIPW estimate.

    Examples
    --------
    >>> mean_of_scores(np.array([1.0, 3.0]), np.array([1.0, 1.0])).estimate
    2.0
    """
    estimate = float(weights @ dr_scores / weights.sum())
    return ScoredEstimate(estimate, weights / weights.mean() * (dr_scores - estimate), 1)


def augmented(
    outcome: FloatArray,
    treatment: FloatArray,
    *,
    estimand: str,
    propensity: FloatArray,
    outcome_control: FloatArray,
    outcome_treated: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return numerators and shares (n,) of the orthogonal score of an average effect.

    The estimate is the mean of the numerators over the mean of the shares. With ``h`` the tilt of the estimand
    (:mod:`eocausal.inference.tilting`), ``e`` the propensity and ``m0, m1`` the predicted outcomes

    ``share     = h(e) + h'(e) (t - e)``
    ``numerator = share (m1 - m0) + h(e) [t (y - m1) / e - (1 - t) (y - m0) / (1 - e)]``

    The term in ``h'`` is how the estimand moves with the propensity. With it the score is insensitive to first
    order to errors in the propensity and in both outcomes, whatever the tilt. What it comes to:

    * ``ate``: the doubly robust score, share 1.
    * ``att``: ``t (y - m0) - (1 - t) e / (1 - e) (y - m0)``, share ``t``. Hahn (1998), Econometrica 66;
      Chernozhukov et al. (2018), Econometrics Journal 21, equation (5.4).
    * ``atc``: its mirror image, share ``1 - t``.
    * ``ato``: ``(t - e) (y - m)`` with ``m = e m1 + (1 - e) m0``, share ``(t - e)^2``: the partially linear model
      of Robinson (1988), Econometrica 56, in the form of Chernozhukov et al. (2018), equation (4.4).

    Examples
    --------
    >>> numerator, share = augmented(
    ...     np.array([5.0, 2.0]), np.array([1.0, 0.0]), estimand="att", propensity=np.array([0.5, 0.2]),
    ...     outcome_control=np.array([1.0, 1.0]), outcome_treated=np.array([4.0, 4.0]))
    >>> numerator.tolist(), share.tolist()
    ([4.0, -0.25], [1.0, 0.0])
    """
    gap, e = outcome_treated - outcome_control, propensity
    if estimand == "ate":
        effects = doubly_robust(
            outcome, treatment,
            propensity=e, outcome_control=outcome_control, outcome_treated=outcome_treated,
        )  # fmt: skip
        return effects, np.ones_like(e)
    residual_control = (1 - treatment) * (outcome - outcome_control)
    residual_treated = treatment * (outcome - outcome_treated)
    if estimand == "att":
        return treatment * gap + residual_treated - e / (1 - e) * residual_control, treatment
    if estimand == "atc":
        return (1 - treatment) * gap + (1 - e) / e * residual_treated - residual_control, 1 - treatment
    share = (treatment - e) ** 2
    return share * gap + (1 - e) * residual_treated - e * residual_control, share


def ratio_of_means(numerator: FloatArray, share: FloatArray, weights: FloatArray) -> ScoredEstimate:
    """Return the weighted mean of the numerators over that of the shares; with shares of 1 the AIPW estimate.

    Examples
    --------
    >>> ratio_of_means(np.array([4.0, -0.25]), np.array([1.0, 0.0]), np.ones(2)).estimate
    3.75
    """
    total = float(weights @ share)
    estimate = float(weights @ numerator) / total
    return ScoredEstimate(estimate, share.size * weights * (numerator - estimate * share) / total, 1)


def partially_linear(
    outcome_residual: FloatArray, treatment_residual: FloatArray, weights: FloatArray
) -> ScoredEstimate:
    """Return the slope of the outcome's residuals on those of the treatment, both from out-of-fold predictions.

    The partially linear model of Robinson (1988), Econometrica 56, by the score of Chernozhukov et al. (2018),
    Econometrics Journal 21, equation (4.4): ``(u - slope v) v`` with ``u`` the outcome less its prediction from all
    columns but the treatment, and ``v`` the treatment, of any kind, less its own. Where effects differ the slope is
    their average with weights ``v^2``: for a 0/1 treatment the ``ato``.

    Examples
    --------
    >>> partially_linear(np.array([1.0, -3.0]), np.array([0.5, -0.5]), np.ones(2)).estimate
    4.0
    """
    return ratio_of_means(outcome_residual * treatment_residual, treatment_residual**2, weights)
