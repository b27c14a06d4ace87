"""Do predictions come true: reliability by bins, Platt's recalibration, losses beside the constant prediction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.evaluate.overlap import auc_with_influence

FloatArray = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]

BINS = 10
LEVEL = 0.95


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return probabilities of log odds, without overflow.

    Examples
    --------
    >>> sigmoid(np.array([-1e4, 0.0])).tolist()
    [0.0, 0.5]
    """
    from scipy.special import expit

    return np.asarray(expit(logits), dtype=np.float64)


def platt(
    logits: FloatArray, treatment: FloatArray, weights: FloatArray, *, falling: bool = False
) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of treatment on log odds.

    Targets are drawn in from 0 and 1 as Platt did, so that there is a solution where log odds separate the arms.
    The slope is at least 0 unless ``falling``: recalibration never turns the order of units round. Where all log
    odds are equal it is 0.

    Platt (1999), Probabilistic outputs for support vector machines, section 2.2.

    Examples
    --------
    >>> slope, intercept = platt(np.zeros(4), np.array([0.0, 1, 1, 1]), np.ones(4))
    >>> slope, round(float(sigmoid(np.array(intercept))), 3)
    (0.0, 0.683)
    """
    from scipy.optimize import minimize

    share = weights / weights.mean()
    treated, control = float(share @ treatment), float(share @ (1 - treatment))
    wanted = np.where(treatment == 1, (treated + 1) / (treated + 2), 1 / (control + 2))
    middle, spread = float(np.average(logits, weights=weights)), float(logits.std())
    if spread < 1e-9 * max(1.0, abs(middle)):
        overall = float(np.average(wanted, weights=weights))
        return 0.0, float(np.log(overall) - np.log1p(-overall))
    scaled = (logits - middle) / spread

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        at = line[0] * scaled + line[1]
        error = share * (sigmoid(at) - wanted)
        return float(share @ (np.logaddexp(0, at) - wanted * at)), np.array([error @ scaled, error.sum()])

    bounds = [(None if falling else 0.0, None), (None, None)]
    slope, intercept = minimize(loss, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(slope / spread), float(intercept - slope * middle / spread)


def reliability(
    predicted: FloatArray, observed: FloatArray, weights: FloatArray, groups: Groups, *, shares: bool
) -> pd.DataFrame:
    """Return, for each tenth of the predictions, what was predicted and what was observed.

    Parameters
    ----------
    predicted, observed, weights : array of shape (n,)
    groups : array of shape (n,)
        Codes of units that share a cluster or an image. They count as one observation in the intervals, with the
        effective number ``(sum of W)^2 / sum of W^2`` over weights W of groups.
    shares : bool
        Whether ``observed`` is 0 and 1 (Wilson intervals) or numbers (t intervals).

    Returns
    -------
    DataFrame
        ``bin n n_groups predicted observed conf_low conf_high``; bins with equal edges are one.
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, predicted, side="left")
    rows = []
    for place, one in enumerate(np.unique(bins)):
        inside = bins == one
        weight, values = weights[inside], observed[inside]
        of_group = np.bincount(np.unique(groups[inside], return_inverse=True)[1], weights=weight)
        mean = float(np.average(values, weights=weight))
        effective = float(of_group.sum() ** 2 / (of_group**2).sum())
        low, high = (
            _wilson(mean, effective)
            if shares
            else _interval_of_mean(mean, float(np.average((values - mean) ** 2, weights=weight)), effective)
        )
        rows.append(
            {
                "bin": place + 1, "n": int(inside.sum()), "n_groups": len(of_group),
                "predicted": float(np.average(predicted[inside], weights=weight)), "observed": mean,
                "conf_low": low, "conf_high": high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def treatment_metrics(
    probability: FloatArray, treatment: FloatArray, weights: FloatArray, folds: Groups
) -> dict[str, float]:
    """Return AUC within folds, log loss, Brier score and calibration slope.

    The AUC compares units of the same fold only, because each fold has a network of its own; it does not use
    weights. The slope is 1 when probabilities are neither too extreme (below 1) nor too timid.
    """
    pairs, won = 0.0, 0.0
    for fold in np.unique(folds):
        mine = treatment[folds == fold]
        both = float(mine.sum() * (1 - mine).sum())
        if both:
            pairs, won = pairs + both, won + both * auc_with_influence(probability[folds == fold], mine)[0]
    slope, _ = platt(_logit(probability), treatment, weights, falling=True)
    own = np.where(treatment == 1, probability, 1 - probability)
    return {
        "auc": won / pairs if pairs else float("nan"),
        "log_loss": float(np.average(-np.log(np.maximum(own, np.finfo(float).tiny)), weights=weights)),
        "brier": float(np.average((probability - treatment) ** 2, weights=weights)),
        "slope": slope,
    }


def outcome_metrics(predicted: FloatArray, observed: FloatArray, weights: FloatArray) -> dict[str, float]:
    """Return the root mean squared error and the slope of what was observed on what was predicted."""
    centred = predicted - np.average(predicted, weights=weights)
    variance = float(np.average(centred**2, weights=weights))
    covariance = float(np.average(centred * observed, weights=weights))
    return {
        "rmse": float(np.sqrt(np.average((observed - predicted) ** 2, weights=weights))),
        "slope": covariance / variance if variance > 0 else 0.0,
    }


def _logit(probability: FloatArray) -> FloatArray:
    from scipy.special import logit

    tiny = np.finfo(float).eps
    return np.asarray(logit(np.clip(probability, tiny, 1 - tiny)), dtype=np.float64)


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Return the interval of a share of n observations (Wilson 1927).

    Examples
    --------
    >>> tuple(round(bound, 4) for bound in _wilson(0.5, 100))
    (0.4038, 0.5962)
    """
    from scipy.stats import norm

    z2 = float(norm.ppf((1 + LEVEL) / 2)) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2) / (1 + z2 / n)
    return float(middle - half), float(middle + half)


def _interval_of_mean(mean: float, variance: float, n: float) -> tuple[float, float]:
    """Return the t interval of a mean of n observations; NaN for fewer than two."""
    from scipy.stats import t

    if n < 2:
        return float("nan"), float("nan")
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * np.sqrt(variance / (n - 1))
    return float(mean - half), float(mean + half)
