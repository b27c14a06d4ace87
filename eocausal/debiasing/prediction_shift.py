"""Whether predictions of a trial look like those that a correction was learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.given_numbers import given_array, given_numbers
from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]

# Shares of units, and ratios of variances, from which on it is said.
MANY_OUTSIDE, SAME_VARIANCE = 0.02, (0.8, 1.25)
# Upper 5% of the limit of the Kolmogorov-Smirnov distance, times the root of the effective number of units.
_KS_AT_5_PERCENT = 1.358


@dataclass(frozen=True)
class PredictionShift:
    """How predictions of a trial differ from those of its calibration. Made by :func:`transport_checks`.

    Attributes
    ----------
    n_calibration, n_trial : int
    share_outside : float
        Units of the trial whose prediction lies outside of what the calibration saw.
    mean_shift : float
        Difference in means, in standard deviations of the calibration.
    variance_ratio : float
        Variance in the trial over that in the calibration.
    variance_differs : bool
        Whether it is outside of 0.8 to 1.25 by more than chance.
    ks, ks_by_chance : float
        Largest distance between the two distribution functions, and what chance exceeds in one of twenty
        samples of independent units.
    k, k_if_error_stays : float or None
        Slope of the prediction on the truth in the calibration, and what it would be in the trial if the
        error about predictions has the same variance there.
    sentences : tuple of str
        What this means for corrections.
    """

    n_calibration: int
    n_trial: int
    share_outside: float
    mean_shift: float
    variance_ratio: float
    variance_differs: bool
    ks: float
    ks_by_chance: float
    k: float | None
    k_if_error_stays: float | None
    sentences: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a reader must know of; none where predictions are alike."""
        return self.sentences if self.variance_differs else self.sentences[:-1]

    def __repr__(self) -> str:
        """One line."""
        return (
            f"PredictionShift(outside {self.share_outside:.1%}, variance ratio {self.variance_ratio:.2f}, "
            f"mean shift {self.mean_shift:+.2f} SD, KS {self.ks:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {**asdict(self), "sentences": list(self.sentences)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PredictionShift:
        """Rebuild what ``to_dict`` wrote."""
        return cls(**{**content, "sentences": tuple(content["sentences"])})


def transport_checks(
    calibration: npt.ArrayLike,
    trial: npt.ArrayLike,
    *,
    calibration_weights: npt.ArrayLike | None = None,
    trial_weights: npt.ArrayLike | None = None,
    support: tuple[float, float] | None = None,
    slopes: tuple[float, float] | None = None,
) -> PredictionShift:
    """Compare predictions of a trial with those of the calibration.

    Parameters
    ----------
    calibration, trial : array of shape (m,), array of shape (n,)
        Predictions, of all arms together.
    calibration_weights, trial_weights : array, optional
        Positive.
    support : (float, float), optional
        What the calibration counts as seen; default its smallest and largest prediction.
    slopes : (float, float), optional
        Of the prediction on the truth (``k``) and of the truth on the prediction (``b``), in the calibration.

    Raises
    ------
    DebiasError
        Missing or infinite predictions, fewer than two, predictions of one value, weights that do not fit.

    Examples
    --------
    >>> found = transport_checks(np.linspace(0, 1, 101), np.linspace(0, 2, 101))
    >>> found
    PredictionShift(outside 49.5%, variance ratio 4.00, mean shift +1.71 SD, KS 0.495)
    """
    seen, w_seen = _values(calibration, calibration_weights, "calibration")
    new, w_new = _values(trial, trial_weights, "trial")
    low, high = (float(seen.min()), float(seen.max())) if support is None else support
    outside = float(w_new[(new < low) | (new > high)].sum())
    mean, spread = _moments(seen, w_seen)
    mean_new, spread_new = _moments(new, w_new)
    ratio = spread_new / spread
    error = np.hypot(_log_variance_error(seen, w_seen), _log_variance_error(new, w_new))
    differs = _differs(ratio, float(error))
    effective = 1 / float((w_seen**2).sum() + (w_new**2).sum())
    k = k_new = None
    if slopes is not None:
        k, k_new = slopes[0], _slope_if_error_stays(*slopes, ratio)
    shift = (mean_new - mean) / float(np.sqrt(spread))
    return PredictionShift(
        n_calibration=seen.size,
        n_trial=new.size,
        share_outside=outside,
        mean_shift=shift,
        variance_ratio=ratio,
        variance_differs=differs,
        ks=_distance(seen, w_seen, new, w_new),
        ks_by_chance=_KS_AT_5_PERCENT / float(np.sqrt(effective)),
        k=k,
        k_if_error_stays=k_new,
        sentences=tuple(_sentences(outside, ratio, differs, k, k_new)),
    )


def spread_told(
    trial: FloatArray, weights: FloatArray, *, sd: float, n: int, slopes: tuple[float, float]
) -> tuple[float, list[str]]:
    """Return how many times as much predictions of a trial vary as those of a calibration, and what that means.

    For a calibration that is known by the standard deviation ``sd`` of its ``n`` predictions alone; that these are
    spread like those of the trial is taken for what chance makes of it.

    Parameters
    ----------
    trial, weights : array of shape (n,)
    sd : float
    n : int
    slopes : (float, float)
        As in :func:`transport_checks`.
    """
    new, share = _values(trial, weights, "trial")
    _, spread = _moments(new, share)
    ratio = spread / sd**2
    own = _log_variance_error(new, share)
    differs = _differs(ratio, float(np.hypot(own, own * np.sqrt(new.size / n))))
    return ratio, _of_spread(ratio, slopes[0], _slope_if_error_stays(*slopes, ratio)) if differs else []


def _differs(ratio: float, error: float) -> bool:
    """Tell whether a ratio of variances is beyond what is called the same, and beyond chance."""
    return not SAME_VARIANCE[0] <= ratio <= SAME_VARIANCE[1] and bool(abs(np.log(ratio)) > 1.96 * error)


def _slope_if_error_stays(k: float, b: float, ratio: float) -> float:
    """Return the slope where predictions vary ``ratio`` times as much and the error about them as before.

    With ``r2 = k b``, predictions recalibrated explain ``ratio r2`` beside ``1 - r2`` of error.

    Examples
    --------
    >>> _slope_if_error_stays(0.5, 1.0, 3.0)
    0.75
    """
    r2 = k * b
    return ratio * r2 / (ratio * r2 + 1 - r2) / b


def _sentences(
    outside: float, ratio: float, differs: bool, k: float | None, k_new: float | None
) -> list[str]:
    told = []
    if outside > MANY_OUTSIDE:
        told.append(
            f"{outside:.1%} of the trial has predictions that the calibration did not see: corrections are "
            "extrapolated there"
        )
    if not differs:
        told.append(
            "predictions vary as much in the trial as in the calibration, so nothing speaks for lcc or Tweedie here"
        )
        return told
    return told + _of_spread(ratio, k, k_new)


def _of_spread(ratio: float, k: float | None, k_new: float | None) -> list[str]:
    slope = (
        "" if k is None or k_new is None else f", and its slope on the truth {k_new:.2f} instead of {k:.2f}"
    )
    return [
        f"predictions vary {ratio:.2f} times as much in the trial as in the calibration (variance): lcc and "
        "Tweedie cannot both be right",
        f"Tweedie is right if the error about a prediction is as in the calibration{slope}; lcc is right if the "
        "mean prediction at a given truth is; the calibration alone cannot tell which, labels in the trial can",
    ]


def _values(given: npt.ArrayLike, weights: npt.ArrayLike | None, name: str) -> tuple[FloatArray, FloatArray]:
    """Return predictions and weights that sum to one."""
    values = _numbers(given, f"prediction of the {name}")
    if values.size < 2:
        raise DebiasError(explain(f"The {name} has {values.size} predictions.", rule="two or more"))
    if np.ptp(values) == 0:
        raise DebiasError(explain(f"Predictions of the {name} are all {values[0]:g}."))
    share = np.ones(values.size) if weights is None else _numbers(weights, f"weights of the {name}")
    if share.shape != values.shape or not (share > 0).all():
        raise DebiasError(
            explain(f"weights of the {name} do not fit.", rule="a positive number for each prediction")
        )
    return values, share / share.sum()


def _numbers(given: npt.ArrayLike, name: str) -> FloatArray:
    values = pd.Series(given_array(given, name))
    return given_numbers(values, values.index.to_numpy(), name)


def _moments(values: FloatArray, share: FloatArray) -> tuple[float, float]:
    mean = float(share @ values)
    return mean, float(share @ (values - mean) ** 2)


def _log_variance_error(values: FloatArray, share: FloatArray) -> float:
    mean, spread = _moments(values, share)
    return float(np.sqrt((share**2) @ ((values - mean) ** 2 / spread - 1) ** 2))


def _distance(first: FloatArray, w_first: FloatArray, second: FloatArray, w_second: FloatArray) -> float:
    """Return the largest distance between two weighted distribution functions."""
    values = np.concatenate([first, second])
    steps = np.concatenate([w_first, -w_second])
    order = np.argsort(values, kind="stable")
    apart = np.cumsum(steps[order])
    last = np.append(np.diff(values[order]) > 0, True)
    return float(np.abs(apart[last]).max())
