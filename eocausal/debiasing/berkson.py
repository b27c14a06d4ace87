"""What corrections take for granted of the error of predictions, checked: pure arrays.

Tweedie's correction takes the error to be Berkson's: ``truth = prediction + error``, the error independent of
the prediction and normal. The linear correction needs only that the mean prediction at a given truth is
linear in it. A check fails where a departure is both beyond chance (p below 0.05) and large enough to matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.debiasing.contrasts import Pairs
from eocausal.errors import EstimationError
from eocausal.inference.least_squares import LeastSquares, hc3_matrix, least_squares, rests_on_one

FloatArray = npt.NDArray[np.float64]

SLOPE, MEAN, LINE, SPREAD = (
    "slope of truth on prediction", "mean residual", "residual mean bends", "residual variance",
)  # fmt: skip
SKEWNESS, KURTOSIS, LINEAR = "residual skewness", "residual excess kurtosis", "prediction given truth bends"
_LEVEL = 0.05
# Residuals of less than this share of the variance of the truth are rounding.
_ROUNDING = 1e-20
# A unit with less than this left of its residual decides a coefficient alone.
_LEAST_LEFT = 1e-10
BINS = 10


@dataclass(frozen=True)
class Check:
    """One thing that a correction takes for granted.

    Attributes
    ----------
    check : str
    value, expected, tolerance : float
        What was found, what is taken for granted, and how far from it does no harm.
    std_error, p_value : float
        The error is NaN where several coefficients are tested at once.
    needed_by : str
    """

    check: str
    value: float
    expected: float
    tolerance: float
    std_error: float
    p_value: float
    needed_by: str

    @property
    def holds(self) -> bool:
        """Whether what was found is within the tolerance, or no more than chance would make it."""
        return abs(self.value - self.expected) <= self.tolerance or self.p_value >= _LEVEL


def berkson_checks(pairs: Pairs) -> tuple[Check, ...]:
    """Return the checks, in the order of the names above.

    * slope of truth on prediction: 1; then the slope of the prediction on the truth is the R2.
    * mean residual: 0, in standard deviations of the truth.
    * residual mean bends: what a cubic in the prediction adds to the line, root mean square, in the same unit.
    * residual variance: how far it is from constant, as the slope of the squared residual, relative to its mean, on
      the standardised prediction and its square, together (Koenker 1981, Journal of Econometrics 17, with the
      robust variance); the value is the root mean square of what they explain, over the mean.
    * residual skewness and excess kurtosis: with the standard errors of a normal sample.
    * prediction given truth bends: what a cubic in the truth adds to the line, root mean square, over the slope and
      in standard deviations of the truth: the error that the linear correction leaves in typical places.
    """
    prediction, truth = (
        _standardised(pairs.prediction, pairs.weights),
        _standardised(pairs.truth, pairs.weights),
    )
    spread = _sd(pairs.truth, pairs.weights)
    fit = _fit(pairs, pairs.truth, prediction[:, None])
    residual = pairs.truth - pairs.prediction
    left = fit.residuals
    mean_fit = least_squares(residual, np.ones((residual.size, 1)), pairs.weights)
    mean_error, df = _error(pairs, mean_fit, 0)
    slope_error, _ = _error(pairs, fit, 1)
    unit = _sd(pairs.prediction, pairs.weights)
    slope = float(fit.coefficients[1]) / unit
    mean = float(mean_fit.coefficients[0])
    bend, bend_p = _added(pairs, pairs.truth, prediction)
    noise = float(np.average(left**2, weights=pairs.weights))
    squares = left**2 / noise if noise > _ROUNDING * spread**2 else np.zeros_like(left)
    moved, moved_p = _explained(pairs, squares, np.column_stack([prediction, prediction**2]))
    curve, curve_p = _added(pairs, pairs.prediction, truth)
    k = float(_fit(pairs, pairs.prediction, truth[:, None]).coefficients[1])
    skewness, kurtosis = _shape(left, pairs.weights)
    nan = float("nan")
    return (
        Check(SLOPE, slope, 1.0, 0.05, slope_error / unit, _p(slope - 1, slope_error / unit, df), "tweedie"),
        Check(MEAN, mean / spread, 0.0, 0.05, mean_error / spread, _p(mean, mean_error, df), "tweedie"),
        Check(LINE, bend / spread, 0.0, 0.05, nan, bend_p, "tweedie"),
        Check(SPREAD, moved, 0.0, 0.25, nan, moved_p, "tweedie"),
        Check(SKEWNESS, skewness, 0.0, 0.5, *_of_normal(skewness, 6, pairs.weights), "tweedie"),
        Check(KURTOSIS, kurtosis, 0.0, 1.0, *_of_normal(kurtosis, 24, pairs.weights), "tweedie"),
        Check(LINEAR, curve / abs(k) if k else nan, 0.0, 0.1, nan, curve_p, "lcc"),
    )


def bins_by(pairs: Pairs, along: str) -> pd.DataFrame:
    """Return means in tenths of the ``prediction`` or the ``truth``.

    Columns ``n prediction truth residual std_error residual_sd``; the residual is the truth less the
    prediction, the standard error that of its mean, and ``residual_sd`` its spread within the tenth.
    """
    of: FloatArray = getattr(pairs, along)
    edges = np.unique(np.quantile(of, np.linspace(0, 1, BINS + 1)[1:-1]))
    codes = np.unique(np.searchsorted(edges, of, side="left"), return_inverse=True)[1]
    residual, weights = pairs.truth - pairs.prediction, pairs.weights
    total = np.bincount(codes, weights)
    means = {
        name: np.bincount(codes, weights * values) / total
        for name, values in (("prediction", pairs.prediction), ("truth", pairs.truth), ("residual", residual))
    }
    apart = residual - means["residual"][codes]
    sd = np.sqrt(np.bincount(codes, weights * apart**2) / total)
    error = np.sqrt(np.bincount(codes, (weights * apart) ** 2)) / total
    return pd.DataFrame({"n": np.bincount(codes), **means, "std_error": error, "residual_sd": sd})


def _fit(pairs: Pairs, of: FloatArray, columns: FloatArray) -> LeastSquares:
    return least_squares(of, np.column_stack([np.ones(of.size), columns]), pairs.weights)


def _error(pairs: Pairs, fit: LeastSquares, position: int) -> tuple[float, float]:
    return pairs.error_of(fit.scores[:, position], n_params=fit.columns.shape[1])


def _added(pairs: Pairs, of: FloatArray, along: FloatArray) -> tuple[float, float]:
    """Return what square and cube add to a line, root mean square, and the p-value that it is nothing."""
    beside = along[:, None]
    bent = np.column_stack([_fit(pairs, along**power, beside).residuals for power in (2, 3)])
    return _explained(pairs, of, bent, beside=beside)


def _explained(
    pairs: Pairs, of: FloatArray, columns: FloatArray, *, beside: FloatArray | None = None
) -> tuple[float, float]:
    """Return the spread that columns explain, less that by chance, and the Wald test (HC3) that it is none."""
    asked = columns if beside is None else np.column_stack([beside, columns])
    try:
        fit = _fit(pairs, of, asked)
    except EstimationError:
        # two or three distinct values have no bend
        return 0.0, 1.0
    covariance = _hc3(fit, pairs)
    if covariance is None:
        return 0.0, 1.0
    width = columns.shape[1]
    value, matrix = fit.coefficients[-width:], covariance[-width:, -width:]
    df = of.size - fit.columns.shape[1] if pairs.clusters is None else np.unique(pairs.clusters).size - 1
    centred = columns - np.average(columns, axis=0, weights=pairs.weights)
    moments = (centred * pairs.weights[:, None]).T @ centred / pairs.weights.sum()
    size = float(value @ moments @ value - np.trace(moments @ matrix))
    statistic = float(value @ np.linalg.pinv(matrix) @ value) / width
    return float(np.sqrt(max(size, 0.0))), float(stats.f.sf(statistic, width, df))


def _hc3(fit: LeastSquares, pairs: Pairs) -> FloatArray | None:
    """Return the covariance of coefficients by HC3; None where one unit, or one cluster, alone decides one."""
    if pairs.clusters is not None:
        return None if rests_on_one(fit, pairs.clusters) else hc3_matrix(fit, pairs.clusters)
    # of single units it needs their leverages alone
    left = 1 - fit.weights * np.einsum("ij,jk,ik->i", fit.columns, fit.inverse_gram, fit.columns)
    if left.min() < _LEAST_LEFT:
        return None
    moved = fit.scores / (left * left.size)[:, None]
    return np.asarray(moved.T @ moved)


def _p(value: float, error: float, df: float) -> float:
    return float(2 * stats.t.sf(abs(value) / error, df)) if error > 0 else float(value == 0)


def _of_normal(value: float, factor: float, weights: FloatArray) -> tuple[float, float]:
    """Return standard error and p-value of a skewness (6) or kurtosis (24) of independent normal draws."""
    error = float(np.sqrt(factor * (weights**2).sum())) / float(weights.sum())
    return error, float(2 * stats.norm.sf(abs(value) / error))


def _sd(values: FloatArray, weights: FloatArray) -> float:
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _standardised(values: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray((values - np.average(values, weights=weights)) / _sd(values, weights))


def _shape(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return skewness and excess kurtosis; none where nothing varies."""
    if _sd(values, weights) == 0:
        return 0.0, 0.0
    z = _standardised(values, weights)
    return float(np.average(z**3, weights=weights)), float(np.average(z**4, weights=weights)) - 3
