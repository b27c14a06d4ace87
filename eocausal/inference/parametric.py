"""Propensities with coefficients, fitted to all units at once, and how far chance moves these. Pure arrays.

Each model is the minimum of a weighted sum of convex functions of a linear index, so one Newton method fits all:
the likelihood of a logit or a probit, and the functions whose first-order condition is that the weights of the
propensity balance the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# The function of the index (n,) and the 0/1 treatment (n,) that is summed, its first and its second derivative.
Loss = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]

# A Newton step that moves no unit's index by more than this is the last one.
STILL = 1e-9
NEWTON_STEPS = 200
# Columns count as dependent when what is left of one, given the others, is this small a share of the largest.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class FittedPropensity:
    """A propensity whose coefficients were estimated, and what carries their error into an estimate.

    Attributes
    ----------
    propensity : array of shape (n,)
    rows : array of shape (n, p)
        The columns of the index: one of ones, then the standardised columns.
    slopes : array of shape (n,)
        Derivative of the propensity with respect to the index.
    influence : array of shape (n, p)
        Centred influence values of the coefficients of ``rows``.
    """

    propensity: FloatArray
    rows: FloatArray
    slopes: FloatArray
    influence: FloatArray

    @property
    def n_params(self) -> int:
        """Number of coefficients."""
        return int(self.rows.shape[1])

    def carried(self, pull: FloatArray) -> FloatArray:
        """Return the influence values (n,) that the coefficients add to an estimate.

        ``pull`` (n,) is the derivative of the estimate with respect to the propensity of each unit.
        """
        return np.asarray(self.influence @ (self.rows.T @ (pull * self.slopes)))


def fit_propensity(
    columns: FloatArray, treatment: FloatArray, weights: FloatArray, *, model: str
) -> FittedPropensity | None:
    r"""Fit a propensity with an intercept to all units, or return None where there is no solution.

    The influence values are those of an M-estimator (Stefanski and Boos 2002, American Statistician 56, 29-38):
    minus the inverse of the mean second derivative times the first derivative of each unit.

    Parameters
    ----------
    columns : array of shape (n, p)
        Of full rank, with an intercept added.
    treatment, weights : array of shape (n,)
    model : str
        ``logit`` and ``probit`` by maximum likelihood. ``balance ate`` and the other estimands: the logit whose
        coefficients solve ``sum of w [t h(e) / e - (1 - t) h(e) / (1 - e)] x = 0``, with ``h`` the tilt of the
        estimand, so that the arms have equal weighted means of ``x``: the just-identified covariate balancing
        propensity score of Imai and Ratkovic (2014), JRSS B 76, 243-263, section 2. For the ``ato`` it is the
        logit by maximum likelihood (Li, Morgan and Zaslavsky 2018, JASA 113, theorem 3).

    Examples
    --------
    Without columns it is the share of treated units:

    >>> fitted = fit_propensity(np.zeros((4, 0)), np.array([1.0, 0, 0, 0]), np.ones(4), model="logit")
    >>> fitted.propensity.round(12).tolist()
    [0.25, 0.25, 0.25, 0.25]

    Arms that a column separates have no likelihood maximum:

    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> fit_propensity(x, np.array([0.0, 0, 1, 1]), np.ones(4), model="logit") is None
    True
    """
    rows = _standardised(columns, weights)
    share = weights / weights.sum()
    index = _least(rows, share, treatment, LOSSES[model])
    if index is None:
        return None
    _, slope, curvature = LOSSES[model](index, treatment)
    propensity, density = _probit_link(index) if model == "probit" else _logit_link(index)
    if not ((propensity > 0) & (propensity < 1)).all():
        return None
    hessian = (rows * (share * curvature)[:, None]).T @ rows
    influence = -np.linalg.solve(hessian, (rows * (index.size * share * slope)[:, None]).T).T
    return FittedPropensity(propensity, rows, density, influence)


def dependent_columns(columns: FloatArray) -> list[int]:
    """Return positions of columns that others and the intercept determine; -1 is the intercept.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(9, 1))
    >>> dependent_columns(np.column_stack([x, 2 * x + 1])) in ([0], [1])
    True
    """
    from scipy.linalg import qr

    rows = np.column_stack([np.ones(len(columns)), columns])
    scale = np.linalg.norm(rows, axis=0)
    _, upper, order = qr(rows / np.where(scale > 0, scale, 1.0), mode="economic", pivoting=True)
    size = np.abs(np.diag(upper))
    rank = int((size > DEPENDENT * size[0]).sum())
    return [int(position) - 1 for position in order[rank:]]


def _standardised(columns: FloatArray, weights: FloatArray) -> FloatArray:
    """Return a column of ones and the columns with weighted mean 0 and standard deviation 1."""
    centred = columns - np.average(columns, axis=0, weights=weights)
    scale = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    return np.column_stack([np.ones(len(columns)), centred / np.where(scale > 0, scale, 1.0)])


def _least(rows: FloatArray, share: FloatArray, treatment: FloatArray, loss: Loss) -> FloatArray | None:
    """Return the index (n,) of least loss by Newton's method, or None where steps do not come to rest."""
    index = np.zeros(len(rows))
    for _ in range(NEWTON_STEPS):
        value, slope, curvature = loss(index, treatment)
        gradient = (share * slope) @ rows
        hessian = (rows * (share * curvature)[:, None]).T @ rows
        try:
            step = rows @ np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(step).all():
            return None
        if np.abs(step).max() <= STILL:
            return np.asarray(index - step)
        size = _length(index, step, loss, treatment=treatment, share=share, now=float(share @ value))
        if size is None:
            return None
        index = index - size * step
    return None


def _length(
    index: FloatArray, step: FloatArray, loss: Loss, *, treatment: FloatArray, share: FloatArray, now: float
) -> float | None:
    """Return how much of a Newton step lessens the loss: all of it, a half, a quarter, and so on."""
    rounding = 1e-14 * (1 + abs(now))
    for halvings in range(60):
        size = 0.5**halvings
        value = float(share @ loss(index - size * step, treatment)[0])
        if value <= now + rounding:
            return size
    return None


def _logit(index: FloatArray, treatment: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    propensity, density = _logit_link(index)
    return np.logaddexp(0, index) - treatment * index, propensity - treatment, density


def _probit(index: FloatArray, treatment: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    from scipy.special import log_ndtr

    sign = 2 * treatment - 1
    logarithm = log_ndtr(sign * index)
    mills = np.exp(-(index**2) / 2 - np.log(2 * np.pi) / 2 - logarithm)
    return -logarithm, -sign * mills, mills * (mills + sign * index)


def _balance_ate(index: FloatArray, treatment: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    sign = 2 * treatment - 1
    with np.errstate(over="ignore"):
        odds_against = np.exp(-sign * index)  # of the arm that the unit is in
    return odds_against - sign * index, -sign * (odds_against + 1), odds_against


def _balance_att(index: FloatArray, treatment: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    with np.errstate(over="ignore"):
        odds = np.where(treatment == 1, 0.0, np.exp(np.where(treatment == 1, 0.0, index)))
    return odds - treatment * index, odds - treatment, odds


def _balance_atc(index: FloatArray, treatment: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    value, slope, curvature = _balance_att(-index, 1 - treatment)
    return value, -slope, curvature


def _logit_link(index: FloatArray) -> tuple[FloatArray, FloatArray]:
    from scipy.special import expit

    return np.asarray(expit(index)), np.asarray(expit(index) * expit(-index))


def _probit_link(index: FloatArray) -> tuple[FloatArray, FloatArray]:
    from scipy.special import ndtr

    return np.asarray(ndtr(index)), np.exp(-(index**2) / 2) / np.sqrt(2 * np.pi)


LOSSES: dict[str, Loss] = {
    "logit": _logit,
    "probit": _probit,
    "balance ate": _balance_ate,
    "balance att": _balance_att,
    "balance atc": _balance_atc,
    "balance ato": _logit,
}
