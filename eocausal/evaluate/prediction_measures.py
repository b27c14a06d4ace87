"""How good out-of-fold predictions of treatment and outcome are: ranks, losses, calibration. Pure arrays, weighted.

Everything that does not change with the weights is prepared once, so that a bootstrap over weights is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Bins of predictions that the smooth calibration curve is made from, and the share of them that each point looks
# at: the span that Austin and Steyerberg use.
SMOOTH_BINS, SPAN = 200, 0.75
# Newton's steps that are tried whole, and then, where they lead astray, halved as need be.
WHOLE_STEPS, CAREFUL_STEPS, SMALLEST_SHARE = 8, 50, 1e-9
# Log odds that vary less than this are one prediction for all, and have no slope.
HARDLY_VARIES = 0.01
# Log odds beyond this are certainty to any weighting.
LARGEST_LOGIT = 30.0


@dataclass(frozen=True)
class Ranked:
    """Scores sorted once within folds, to find the AUC of pairs of one fold under any weights."""

    order: Codes
    starts: Codes
    fold_of_start: Codes
    label: FloatArray
    n_folds: int

    @classmethod
    def of(cls, score: FloatArray, label: FloatArray, folds: Codes) -> Ranked:
        """Sort by fold and score; units of one fold with one score are one step."""
        order = np.lexsort((score, folds))
        new = np.r_[True, (np.diff(score[order]) != 0) | (np.diff(folds[order]) != 0)]
        starts = np.flatnonzero(new)
        return cls(order, starts, folds[order][starts], label[order], int(folds.max()) + 1)

    def auc(self, weights: FloatArray) -> float:
        """Return the weighted share of pairs in order, one of each arm in one fold; ties count one half."""
        weight = weights[self.order]
        treated = np.add.reduceat(weight * self.label, self.starts)
        control = np.add.reduceat(weight, self.starts) - treated
        of_fold = np.bincount(self.fold_of_start, weights=control, minlength=self.n_folds)
        before_fold = np.r_[0.0, np.cumsum(of_fold)[:-1]][self.fold_of_start]
        below = np.cumsum(control) - control / 2 - before_fold
        treated_of_fold = np.bincount(self.fold_of_start, weights=treated, minlength=self.n_folds)
        pairs = float(treated_of_fold @ of_fold)
        return float(treated @ below) / pairs if pairs > 0 else float("nan")


def roc_curve(
    score: FloatArray, label: FloatArray, folds: Codes, weights: FloatArray, grid: FloatArray
) -> FloatArray:
    """Return the ROC curve (m,) on a grid of false positives, averaged over folds by their pairs.

    Its area is the AUC within folds.
    """
    curve, total = np.zeros(grid.size), 0.0
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        rows = rows[np.argsort(-score[rows], kind="stable")]
        last = np.r_[np.diff(score[rows]) != 0, True]
        found = np.cumsum(weights[rows] * label[rows])
        wrong = np.cumsum(weights[rows] * (1 - label[rows]))
        pairs = float(found[-1] * wrong[-1])
        if pairs > 0:
            x, y = np.r_[0.0, wrong[last] / wrong[-1]], np.r_[0.0, found[last] / found[-1]]
            curve += pairs * np.interp(grid, x, y)
            total += pairs
    return curve / total if total else np.full(grid.size, np.nan)


def logit(probability: FloatArray) -> FloatArray:
    """Return log odds, at most 30 in size."""
    from scipy.special import logit as log_odds

    return np.clip(np.asarray(log_odds(probability), dtype=np.float64), -LARGEST_LOGIT, LARGEST_LOGIT)


def log_loss(probability: FloatArray, treatment: FloatArray, weights: FloatArray) -> float:
    """Return the weighted mean of minus the log of the probability of what happened."""
    return float(np.average(_lost(probability, treatment), weights=weights))


def _lost(probability: FloatArray, treatment: FloatArray) -> FloatArray:
    """Return minus the log of the probability of what happened, by unit."""
    return np.asarray(-np.log(np.where(treatment == 1, probability, 1 - probability)), dtype=np.float64)


def recalibration(
    logits: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    *,
    start: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float]:
    """Return calibration intercept and slope.

    The slope is that of a logistic regression of treatment on the log odds: 1 when predictions are neither too
    extreme (below 1) nor too timid. The intercept is that with the slope held at 1: 0 when as many are treated as
    predicted. Cox (1958), Biometrika 45; Van Calster et al. (2019), BMC Medicine 17. ``start`` is a guess of both.
    NaN where there is none: predictions that part the arms, or, of the slope, that hardly differ.
    """
    begin, steep = (value if np.isfinite(value) else 0.0 for value in start)
    ones = np.ones((1, logits.size))
    intercept = _newton(ones, logits, treatment, weights, np.array([begin]))[0]
    middle, spread = float(logits.mean()), float(logits.std())
    if spread < HARDLY_VARIES:
        return float(intercept), float("nan")
    rows = np.stack([ones[0], (logits - middle) / spread])
    guess = np.array([begin + steep * middle, steep * spread])
    line = _newton(rows, np.zeros(logits.size), treatment, weights, guess)
    return float(intercept), float(line[1] / spread)


def _newton(
    rows: FloatArray, offset: FloatArray, treatment: FloatArray, weights: FloatArray, start: FloatArray
) -> FloatArray:
    """Return coefficients of a logistic regression on rows (p, n) with an offset, NaN where they run off."""
    found = _climb(rows, start @ rows + offset, treatment, weights, careful=False)
    if np.isfinite(found).all():
        return start + found
    # a whole step may leap over the maximum, and farther away each time
    return _climb(rows, offset, treatment, weights, careful=True)


def _climb(
    rows: FloatArray, log_odds: FloatArray, treatment: FloatArray, weights: FloatArray, *, careful: bool
) -> FloatArray:
    """Return the sum of Newton's steps up to the maximum, NaN where it is not reached."""
    from scipy.special import expit

    found = np.zeros(len(rows))
    for _ in range(CAREFUL_STEPS if careful else WHOLE_STEPS):
        mean = expit(log_odds)
        slope = rows @ (weights * (treatment - mean))
        curvature = rows * (weights * mean * (1 - mean)) @ rows.T
        if not np.isfinite(curvature).all() or not np.linalg.cond(curvature) < 1e12:
            break
        step = np.linalg.solve(curvature, slope)
        if np.abs(step).max() < 1e-6:
            return np.asarray(found + step, dtype=np.float64)
        if careful:
            step = step * _share(step @ rows, log_odds, treatment, weights)
        found, log_odds = found + step, log_odds + step @ rows
    return np.full(found.size, np.nan)


def _share(change: FloatArray, log_odds: FloatArray, treatment: FloatArray, weights: FloatArray) -> float:
    """Return the largest of 1, 1/2, 1/4, ... of a change of the log odds that makes the fit no worse."""
    side = np.where(treatment == 1, -1.0, 1.0)
    now, share = float(weights @ np.logaddexp(0, side * log_odds)), 1.0
    while share > SMALLEST_SHARE and weights @ np.logaddexp(0, side * (log_odds + share * change)) > now:
        share /= 2
    return share


@dataclass(frozen=True)
class Smoother:
    """A smooth curve of the share treated by the predicted probability, under any weights.

    Local straight lines with tricube weights over the nearest three quarters of the predictions, on means of up to
    200 bins of predictions, so that its cost hardly grows with the number of units.
    """

    bins: Codes
    at: FloatArray
    kernel: FloatArray
    predicted: FloatArray
    treatment: FloatArray

    @classmethod
    def of(cls, predicted: FloatArray, treatment: FloatArray) -> Smoother:
        """Bin predictions by their quantiles and fix who is near whom."""
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, SMOOTH_BINS + 1)[1:-1]))
        bins = np.unique(np.searchsorted(edges, predicted, side="left"), return_inverse=True)[1]
        count = np.bincount(bins)
        at = np.bincount(bins, weights=predicted) / count
        away = np.abs(at[:, None] - at[None, :])
        # how far the nearest three quarters of the units reach
        near = np.argsort(away, axis=1, kind="stable")
        covered = np.cumsum(count[near], axis=1) >= SPAN * predicted.size
        reach = np.take_along_axis(away, near, axis=1)[np.arange(at.size), covered.argmax(axis=1)]
        share = away / np.maximum(reach, 1e-12)[:, None]
        kernel = np.clip(1 - np.clip(share, 0, 1) ** 3, 0, None) ** 3
        return cls(bins.astype(np.intp), at, kernel, predicted, treatment)

    def curve(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean prediction, smoothed share treated and weight of each bin."""
        size = self.at.size
        total = np.bincount(self.bins, weights=weights, minlength=size)
        held = np.maximum(total, 1e-300)
        x = np.bincount(self.bins, weights=weights * self.predicted, minlength=size) / held
        y = np.bincount(self.bins, weights=weights * self.treatment, minlength=size) / held
        near = self.kernel * total
        mass = near.sum(axis=1)
        mean_x, mean_y = near @ x / mass, near @ y / mass
        spread = near @ x**2 / mass - mean_x**2
        joint = near @ (x * y) / mass - mean_x * mean_y
        slope = np.divide(joint, spread, out=np.zeros(size), where=spread > 1e-14)
        smooth = np.clip(mean_y + slope * (x - mean_x), 0, 1)
        return x, np.asarray(smooth, dtype=np.float64), np.asarray(total, dtype=np.float64)

    def ici(self, weights: FloatArray) -> float:
        """Return the integrated calibration index: the mean distance of the curve from the predictions.

        Austin and Steyerberg (2019), Statistics in Medicine 38.
        """
        x, smooth, total = self.curve(weights)
        return float(np.average(np.abs(smooth - x), weights=total))


@dataclass(frozen=True)
class Explained:
    """What predictions leave of the outcome, prepared to find its share of the variance under any weights."""

    arms: FloatArray
    centred: FloatArray
    left: FloatArray

    @classmethod
    def of(cls, outcome: FloatArray, predicted: FloatArray, treatment: FloatArray) -> Explained:
        """Set the outcome off from the plain mean of its arm, so that squares stay exact whatever its level."""
        arms = np.stack([treatment == 0, treatment == 1]).astype(float)
        centred = outcome - (arms @ outcome / arms.sum(axis=1)) @ arms
        return cls(arms, centred, (outcome - predicted) ** 2)

    def r2(self, weights: FloatArray) -> float:
        """Return the share of the variance within arms that predictions explain; negative where they harm."""
        weighted = self.arms * weights
        means = weighted @ self.centred / weighted.sum(axis=1)
        total = float(weights @ (self.centred - means @ self.arms) ** 2)
        return 1 - float(weights @ self.left) / total if total > 0 else float("nan")


def outcome_r2(
    outcome: FloatArray, predicted: FloatArray, treatment: FloatArray, weights: FloatArray
) -> float:
    """Return the share of the variance within arms that predictions explain; negative where they harm."""
    return Explained.of(outcome, predicted, treatment).r2(weights)


def measures_of(
    predicted: FloatArray,
    constant: FloatArray,
    treatment: FloatArray,
    folds: Codes,
    outcome: tuple[FloatArray, FloatArray],
) -> Callable[[FloatArray], dict[str, float]]:
    """Return a function from weights (n,) to all measures of one set of predictions.

    Parameters
    ----------
    predicted, constant : array of shape (n,)
        Probabilities of treatment out of fold, and those of a model that knows nothing of the units.
    treatment, folds : array of shape (n,)
    outcome : tuple of two arrays of shape (n,)
        The outcome, and its prediction in the unit's own arm.
    """
    ranked, smoother = Ranked.of(predicted, treatment, folds), Smoother.of(predicted, treatment)
    logits = logit(predicted)
    start = recalibration(logits, treatment, np.ones(treatment.size), start=(0.0, 0.0))
    explained = Explained.of(*outcome, treatment)
    own, plain = (_lost(one, treatment) for one in (predicted, constant))

    def measure(weights: FloatArray) -> dict[str, float]:
        intercept, slope = recalibration(logits, treatment, weights, start=start)
        total = float(weights.sum())
        loss = float(weights @ own) / total
        return {
            "auc": ranked.auc(weights),
            "log_loss": loss,
            "skill": 1 - loss / (float(weights @ plain) / total),
            "calibration_intercept": intercept,
            "calibration_slope": slope,
            "ici": smoother.ici(weights),
            "outcome_r2": explained.r2(weights),
        }

    return measure
