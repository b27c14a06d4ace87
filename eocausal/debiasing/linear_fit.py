"""How predictions follow the truth, and the truth predictions: two lines with influence values. Pure arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]


class Line(NamedTuple):
    """A line, and influence values (n, 2) of its slope and intercept, in this order."""

    slope: float
    intercept: float
    scores: FloatArray

    def residuals(self, of: FloatArray, on: FloatArray) -> FloatArray:
        """Return what is left of ``of`` (n,) once the line in ``on`` (n,) is taken off."""
        return of - self.intercept - self.slope * on


def line(of: FloatArray, on: FloatArray, weights: FloatArray, *, noise_in_on: float = 0.0) -> Line:
    """Fit ``of`` (n,) on ``on`` (n,) with weights (n,) by least squares.

    Parameters
    ----------
    of, on, weights : array of shape (n,)
    noise_in_on : float
        Variance of what is added to ``on`` by measurement. It is taken off the variance of ``on``, so that the
        slope is that on what was to be measured: the errors-in-variables estimate for a known error variance
        (Fuller 1987, Measurement Error Models, equation 1.2.13).

    Raises
    ------
    DebiasError
        As much noise as there is variance.

    Examples
    --------
    >>> fit = line(np.array([1.5, 1.5, 3.5, 3, 4.5]), np.array([1.0, 2, 3, 4, 6]), np.ones(5))
    >>> round(fit.slope, 10), round(fit.intercept, 10)
    (0.6216216216, 0.8108108108)
    """
    share = weights / weights.mean()
    mean_of, mean_on = float((share * of).mean()), float((share * on).mean())
    of, centred = of - mean_of, on - mean_on
    spread = float((share * centred**2).mean())
    signal = spread - noise_in_on
    if signal <= 0:
        raise DebiasError(
            explain(
                f"The measured outcomes vary by {spread:.4g}, and label_noise_var={noise_in_on:.4g} of that is "
                "said to be noise.",
                rule="less noise than variance",
                fix="the variance of the error of one measured outcome, in its unit squared",
            )
        )
    slope = float((share * of * centred).mean()) / signal
    residual = of - slope * centred
    by_slope = share * (centred * residual + slope * noise_in_on) / signal
    by_intercept = share * residual - mean_on * by_slope
    return Line(slope, mean_of - slope * mean_on, np.column_stack([by_slope, by_intercept]))
