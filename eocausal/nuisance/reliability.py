"""Do propensities mean shares treated: the reliability curve and what sums it up. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import EstimationError, explain

FloatArray = npt.NDArray[np.float64]

BINS = 10
# Where the smooth curve may bend, as quantiles of the log odds: Harrell's places for four knots.
KNOTS = (0.05, 0.35, 0.65, 0.95)
# A Newton step that moves no coefficient by more than this share is the last one; what is left is its square.
STILL, STEPS, HALVINGS = 1e-8, 100, 30
# A likelihood that falls by no more than this share falls by rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Reliability:
    """How shares treated compare with propensities.

    Attributes
    ----------
    predicted, treated, std_error : array of shape (bins,)
        Mean propensity and share treated in bins of like numbers of units, and the share's standard error.
    counts : array of shape (bins,)
        Units in each bin.
    ici : float or None
        Integrated calibration index: the mean distance between propensities and a smooth curve of the share treated
        (Austin and Steyerberg 2019, Statistics in Medicine 38, 4051-4065, here with a natural cubic spline in the
        log odds). 0 is perfect.
    slope, intercept : float or None
        Of the logit of treatment on the log odds of the propensity (Cox 1958, Biometrika 45): 1 and 0 are perfect,
        a slope below 1 says that propensities are too extreme.
    in_the_large : float
        Share treated minus mean propensity.

    ``ici``, ``slope`` and ``intercept`` are None where a propensity of 0 or 1 has no log odds, where all
    propensities are equal, or where they tell the arms apart without error.
    """

    predicted: FloatArray
    treated: FloatArray
    std_error: FloatArray
    counts: npt.NDArray[np.intp]
    ici: float | None
    slope: float | None
    intercept: float | None
    in_the_large: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per bin."""
        return pd.DataFrame(
            {
                "predicted": self.predicted,
                "treated": self.treated,
                "n": self.counts,
                "std_error": self.std_error,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {
            "ici": self.ici,
            "slope": self.slope,
            "intercept": self.intercept,
            "in_the_large": self.in_the_large,
            "bins": {name: column.tolist() for name, column in self.to_frame().items()},
        }


def reliability(
    propensity: FloatArray, treatment: FloatArray, weights: FloatArray | None = None, *, bins: int = BINS
) -> Reliability:
    """Compare propensities with shares treated.

    Parameters
    ----------
    propensity : array of shape (n,)
        From 0 to 1, made without the unit's own treatment.
    treatment : array of shape (n,)
        0 or 1.
    weights : array of shape (n,), optional
        Sampling weights. Default: equal ones.
    bins : int
        Most bins; equal propensities share one.

    Raises
    ------
    EstimationError
        Arrays of unequal length, propensities outside 0 to 1, or treatment that is not 0 or 1.

    Examples
    --------
    >>> found = reliability(np.repeat([0.25, 0.5], 4), np.array([0.0, 0, 0, 1, 0, 0, 1, 1]))
    >>> found.treated.tolist(), found.in_the_large
    ([0.25, 0.5], 0.0)
    """
    weights = np.ones(propensity.size) if weights is None else weights
    _require_comparable(propensity, treatment, weights)
    whole_number(bins, argument="bins", error=EstimationError, least=1)
    edges = np.unique(np.quantile(propensity, np.arange(1, bins) / bins))
    codes = np.unique(np.searchsorted(edges, propensity, side="right"), return_inverse=True)[1]
    total = np.bincount(codes, weights=weights)
    treated = np.bincount(codes, weights=weights * treatment) / total
    error = np.sqrt(np.bincount(codes, weights=(weights * (treatment - treated[codes])) ** 2)) / total
    share = weights / weights.sum()
    line = _cox_line(propensity, treatment, share)
    return Reliability(
        predicted=np.bincount(codes, weights=weights * propensity) / total,
        treated=treated,
        std_error=error,
        counts=np.bincount(codes),
        ici=_distance_from_smooth(propensity, treatment, share),
        slope=None if line is None else float(line[1]),
        intercept=None if line is None else float(line[0]),
        in_the_large=float(share @ (treatment - propensity)),
    )


def logistic_coefficients(rows: FloatArray, target: FloatArray, weights: FloatArray) -> FloatArray | None:
    """Return the coefficients (p,) of a logit by maximum likelihood, or None where there is no maximum.

    ``target`` (n,) may be any share from 0 to 1; ``rows`` (n, p) hold the intercept.

    Examples
    --------
    >>> logistic_coefficients(np.ones((4, 1)), np.array([0.0, 0, 0, 1]), np.ones(4)).round(6).tolist()
    [-1.098612]
    """
    from scipy.special import expit

    beta = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        probability = expit(rows @ beta)
        hessian = (rows * (weights * probability * (1 - probability))[:, None]).T @ rows
        gradient = rows.T @ (weights * (target - probability))
        if np.linalg.matrix_rank(hessian, hermitian=True) < beta.size:
            return None
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() <= STILL * (1 + np.abs(beta).max()):
            return np.asarray(beta + step)
        before, size = _likelihood(rows, beta, target, weights), 1.0
        for _ in range(HALVINGS):
            if _likelihood(rows, beta + size * step, target, weights) >= before - ROUNDING * abs(before):
                break
            size /= 2
        beta = beta + size * step
    return None


def _likelihood(rows: FloatArray, beta: FloatArray, target: FloatArray, weights: FloatArray) -> float:
    index = rows @ beta
    return float(weights @ (target * index - np.logaddexp(0, index)))


def _cox_line(propensity: FloatArray, treatment: FloatArray, share: FloatArray) -> FloatArray | None:
    """Return intercept and slope of treatment on the log odds, or None where there are none."""
    odds = _log_odds(propensity)
    if odds is None or np.ptp(odds) == 0:
        return None
    return logistic_coefficients(np.column_stack([np.ones(odds.size), odds]), treatment, share)


def _distance_from_smooth(propensity: FloatArray, treatment: FloatArray, share: FloatArray) -> float | None:
    from scipy.special import expit

    odds = _log_odds(propensity)
    if odds is None:
        return None
    rows = natural_spline(odds)
    beta = logistic_coefficients(rows, treatment, share)
    return None if beta is None else float(share @ np.abs(expit(rows @ beta) - propensity))


def natural_spline(values: FloatArray) -> FloatArray:
    """Return columns (n, 1 to 4) that span natural cubic splines: linear beyond the outer knots.

    Knots are at quantiles of the values; equal ones count once. With fewer than three it is a straight line, with
    values that are all equal a constant.
    """
    knots = np.unique(np.quantile(values, KNOTS))
    columns = [np.ones(values.size)]
    if np.ptp(values) > 0:
        columns.append((values - values.mean()) / values.std())
    if knots.size >= 3:
        last, width = knots[-1], knots[-1] - knots[0]
        tail = _bend(values, knots[-2], last)
        columns += [(_bend(values, one, last) - tail) / width**2 for one in knots[:-2]]
    return np.column_stack(columns)


def _bend(values: FloatArray, knot: float, last: float) -> FloatArray:
    """Return the part of a natural cubic spline that bends from a knot to the last one."""
    cubes = np.maximum(values - knot, 0) ** 3 - np.maximum(values - last, 0) ** 3
    return np.asarray(cubes / (last - knot))


def _log_odds(propensity: FloatArray) -> FloatArray | None:
    if not ((propensity > 0) & (propensity < 1)).all():
        return None
    return np.asarray(np.log(propensity) - np.log1p(-propensity))


def _require_comparable(propensity: FloatArray, treatment: FloatArray, weights: FloatArray) -> None:
    if (
        not propensity.shape == treatment.shape == weights.shape
        or propensity.ndim != 1
        or not propensity.size
    ):
        raise EstimationError(
            explain(
                f"propensity, treatment and weights have shapes {propensity.shape}, {treatment.shape} and "
                f"{weights.shape}.",
                rule="one number for each unit",
            )
        )
    for name, wrong, rule in (
        ("propensity", ~((propensity >= 0) & (propensity <= 1)), "0 <= propensity <= 1"),
        ("treatment", ~np.isin(treatment, (0, 1)), "0 = control, 1 = treated"),
        ("weights", ~(np.isfinite(weights) & (weights > 0)), "positive and finite"),
    ):
        if wrong.any():
            raise EstimationError(
                explain(f"{name} has values out of range.", where=np.flatnonzero(wrong), rule=rule)
            )
