"""Propensities made to mean shares treated, from predictions that were made out of fold. Pure arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.reliability import Reliability, logistic_coefficients, reliability

__all__ = ["CALIBRATORS", "Calibrator", "Reliability", "isotonic", "platt", "reliability"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# From propensities (m,) to calibrated ones (m,), and which of these were moved away from 0 or 1.
Calibrator = Callable[[FloatArray], tuple[FloatArray, BoolArray]]


def isotonic(predicted: FloatArray, treatment: FloatArray, weights: FloatArray) -> Calibrator:
    """Return the calibrator that never decreases: isotonic regression of treatment on the prediction.

    Where no unit was treated, or every one, the regression says 0 or 1, and no weight could be made of that. With
    ``m`` units there, the calibrator says ``0.5 / (m + 1)``, or one minus that, though no more than the next level
    allows; the units that this concerns are reported.

    Zadrozny and Elkan (2002), KDD, 694-699.

    Parameters
    ----------
    predicted, treatment, weights : array of shape (n,)

    Examples
    --------
    >>> learned = isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1, 0, 1]), np.ones(4))
    >>> calibrated, moved = learned(np.array([0.1, 0.25, 0.9]))
    >>> calibrated.tolist(), moved.tolist()
    ([0.25, 0.5, 0.75], [True, False, True])
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    fitted.fit(predicted, treatment, sample_weight=weights)
    places, levels = fitted.X_thresholds_, fitted.y_thresholds_
    reached = fitted.predict(predicted)
    low, high = _bounds(reached)
    inside = np.where(levels <= 0, low, np.where(levels >= 1, high, levels))

    def calibrate(values: FloatArray) -> tuple[FloatArray, BoolArray]:
        raw = fitted.predict(values)
        return np.interp(values, places, inside), (raw <= 0) | (raw >= 1)

    return calibrate


def platt(predicted: FloatArray, treatment: FloatArray, weights: FloatArray) -> Calibrator:
    """Return the calibrator that is a logit in the log odds of the prediction.

    The line does not fall: where it would, the prediction is worth nothing, and all get the share treated.
    Treatment enters as Platt's smoothed targets, ``(T + 1) / (T + 2)`` and ``1 / (C + 2)`` with ``T`` treated and
    ``C`` controls, so that there is a solution even where the prediction tells the arms apart.

    Platt (1999), Advances in Large Margin Classifiers, 61-74.

    Parameters
    ----------
    predicted, treatment, weights : array of shape (n,)

    Raises
    ------
    EstimationError
        A prediction of 0 or 1, which has no log odds, or predictions that are all equal.
    """
    from scipy.special import expit

    n_treated, n_control = float(weights @ treatment), float(weights @ (1 - treatment))
    target = np.where(treatment == 1, (n_treated + 1) / (n_treated + 2), 1 / (n_control + 2))
    odds = _log_odds(predicted)
    found = logistic_coefficients(np.column_stack([np.ones(odds.size), odds]), target, weights)
    if found is None:
        raise EstimationError(
            explain(
                "calibration='platt' found no line: within the training folds the propensity is the same for all.",
                fix="leave calibration= out",
            )
        )

    if found[1] < 0:
        share = float(weights @ target / weights.sum())
        found = np.array([np.log(share / (1 - share)), 0.0])

    def calibrate(values: FloatArray) -> tuple[FloatArray, BoolArray]:
        return np.asarray(expit(found[0] + found[1] * _log_odds(values))), np.zeros(values.size, dtype=bool)

    return calibrate


CALIBRATORS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], Calibrator]] = {
    "isotonic": isotonic,
    "platt": platt,
}


def _bounds(reached: FloatArray) -> tuple[float, float]:
    """Return what stands for a share of 0 and for one of 1, from the levels that the units reached."""
    inner = reached[(reached > 0) & (reached < 1)]
    low = 0.5 / (1 + (reached <= 0).sum())
    high = 1 - 0.5 / (1 + (reached >= 1).sum())
    if inner.size:
        low, high = min(low, inner.min()), max(high, inner.max())
    return float(low), float(high)


def _log_odds(propensity: FloatArray) -> FloatArray:
    wrong = ~((propensity > 0) & (propensity < 1))
    if wrong.any():
        raise EstimationError(
            explain(
                f"The propensity learner predicts exactly 0 or 1 for {int(wrong.sum())} of {wrong.size} units, and "
                "calibration='platt' works on log odds.",
                fix="calibration='isotonic', or a smoother learner",
            )
        )
    return np.asarray(np.log(propensity) - np.log1p(-propensity))
