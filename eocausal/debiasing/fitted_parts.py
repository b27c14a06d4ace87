"""What a correction is made of, fitted to a calibration sample: two lines and the noise, with influence values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.changes import changes_of
from eocausal.debiasing.linear_fit import Line, line
from eocausal.debiasing.noise import NoiseModel, fit_noise

FloatArray = npt.NDArray[np.float64]

# Share of a standard deviation by which a slope is moved to see how the noise follows it.
_STEP = 1e-4


class FittedParts(NamedTuple):
    """Lines and noise of a calibration.

    Attributes
    ----------
    prediction, truth : array of shape (n,)
        What was fitted: levels, or what unit and period effects leave of them.
    shrunk, back : Line
        The prediction on the truth (k, m), and the truth on the prediction (b, a).
    noise : NoiseModel
    scores : array of shape (n, 4 + p)
        Influence values of k, m, a, b and the coefficients of the noise; the error of each is their mean.
    n_params : int
        Coefficients that count in the finite-sample factor.
    """

    prediction: FloatArray
    truth: FloatArray
    shrunk: Line
    back: Line
    noise: NoiseModel
    scores: FloatArray
    n_params: int = 1


def fitted_parts(
    sample: CalibrationSample, options: Mapping[str, Any], label_noise_var: float
) -> FittedParts:
    """Fit lines and noise to a sample, of levels or of changes.

    Parameters
    ----------
    sample : CalibrationSample
    options : mapping
        ``recalibrate`` and ``noise`` of :func:`eocausal.debias`.
    label_noise_var : float
    """
    y, truth, w, n_params, noisy = sample.prediction, sample.truth, sample.weights, 1, label_noise_var
    if sample.panel is not None:
        y, truth, n_params, left = changes_of(sample, sample.panel)
        noisy = label_noise_var * left
    shrunk = line(y, truth, w, noise_in_on=noisy)
    back, free = _recalibration(y, truth, w, recalibrate=options["recalibrate"])
    how: dict[str, Any] = {
        "weights": w, "kind": options["noise"], "label_noise_var": noisy, "ddof": free,
    }  # fmt: skip
    residuals = back.residuals(truth, y)
    noise = fit_noise(y, residuals, **how)
    share = (w / w.mean())[:, None]
    by_noise = share * noise.influence(y, residuals, w)
    if options["recalibrate"] and noise.kind != "constant":
        # least squares leaves nothing of the slope in the mean of squares, but does in a curve of them
        step = _STEP * residuals.std() / y.std()
        apart = [fit_noise(y, residuals - side * step * y, **how).coefficients for side in (1, -1)]
        by_noise = by_noise + back.scores[:, :1] * (apart[0] - apart[1]) / (2 * step)
    scores = np.column_stack([shrunk.scores, back.scores[:, ::-1], by_noise])
    return FittedParts(y, truth, shrunk, back, noise, scores, n_params)


def _recalibration(y: FloatArray, truth: FloatArray, w: FloatArray, *, recalibrate: bool) -> tuple[Line, int]:
    """Return the line of the truth on the prediction and its degrees of freedom, or the prediction as it is."""
    if recalibrate:
        return line(truth, y, w), 2
    return Line(1.0, 0.0, np.zeros((y.size, 2))), 1
