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
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, *, covariates: FloatArray
) -> ScoredEstimate:
    """Return the fully interacted regression adjustment of Lin (2013).

    The covariates (n, p) are centred at their weighted mean and interacted with treatment, which equals one
    least-squares fit for each arm averaged over all units. The influence values include the sampling of the
    covariate mean (Negi and Wooldridge 2021, Econometric Reviews 40), so the standard error is for the
    population, as in Stata's ``teffects ra``. The covariates must have full rank in each arm.

    Lin, W. (2013), Annals of Applied Statistics 7, section 3.
    """
    n, n_covariates = covariates.shape
    rows = np.column_stack([np.ones(n), covariates])
    centre = weights @ rows / weights.sum()
    share = weights / weights.mean()
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
