"""What data can say of the assumptions behind outcomes that were sensed remotely. Pure arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from eocausal.inference.least_squares import least_squares
from eocausal.inference.variance import sum_within
from eocausal.labelled.remote_moments import level_means

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

MIXTURE, DIRECT = "mixture", "no direct effect"
MEANINGS = {
    MIXTURE: "predictions in each arm are spread as a mixture of those of labelled units with truth 0 and 1",
    DIRECT: "among labelled units with the same truth, predictions do not depend on treatment",
}
_QUARTERS = (0.25, 0.5, 0.75)
_NOTHING = 1e-9


def mixture_test(
    trial: Mapping[str, Any], labelled: Mapping[str, Any], groups: Codes
) -> dict[str, Any] | None:
    """Test that predictions in either arm are a mixture of those of labelled units with truth 0 and 1.

    That is what predictions that depend on the truth alone, in the same way in both samples, must be: the share
    of the mixture is known from the mean prediction, and the shares of predictions above each quartile have to
    follow from it.

    Parameters
    ----------
    trial, labelled : mapping
        ``prediction``, ``weights`` and ``level`` (arm or truth, 0 and 1), each (n,) or (m,).
    groups : array of shape (n + m,)
        Rows that were drawn together.

    Returns
    -------
    dict or None
        None where predictions have too few values to tell.
    """
    cuts = np.unique(np.quantile(np.concatenate([trial["prediction"], labelled["prediction"]]), _QUARTERS))
    above = [(np.asarray(one["prediction"])[:, None] > cuts).astype(float) for one in (trial, labelled)]
    by_truth = level_means(
        np.column_stack([labelled["prediction"], above[1]]), labelled["level"], labelled["weights"]
    )
    by_arm = level_means(np.column_stack([trial["prediction"], above[0]]), trial["level"], trial["weights"])
    step = by_truth.means[1] - by_truth.means[0]
    share = (by_arm.means[:, 0] - by_truth.means[0, 0]) / step[0]
    slope = step[1:] / step[0]
    rest = [
        above[0] - np.outer(trial["prediction"], slope),
        above[1] - np.outer(labelled["prediction"], slope),
    ]
    means = [
        level_means(rest[0], trial["level"], trial["weights"]),
        level_means(rest[1], labelled["level"], labelled["weights"]),
    ]
    moments, parts = [], []
    for arm in (0, 1):
        moments.append(means[0].means[arm] - means[1].means[0])
        of_trial = (trial["level"] == arm) * means[0].shares
        weight = np.where(labelled["level"] == 1, share[arm], 1 - share[arm]) * means[1].shares
        left = [rest[0] - means[0].means[trial["level"]], rest[1] - means[1].means[labelled["level"]]]
        parts.append(np.concatenate([of_trial[:, None] * left[0], -weight[:, None] * left[1]]))
    return _wald(np.concatenate(moments), sum_within(np.column_stack(parts), groups), MIXTURE)


def direct_test(
    values: FloatArray, truth: FloatArray, treatment: FloatArray, weights: FloatArray, groups: Codes
) -> dict[str, Any] | None:
    """Test that predictions (m,) of labelled units do not depend on treatment (m,) given the truth (m,)."""
    kinds = {tuple(one) for one in np.column_stack([truth, treatment]).tolist()}
    if len(kinds) < 4 or not set(treatment.tolist()) <= {0.0, 1.0}:
        return None
    columns = np.column_stack([np.ones(truth.size), truth, treatment])
    fit = least_squares(values, columns, weights)
    parts = sum_within(fit.scores[:, 2:] / truth.size, groups)
    return _wald(fit.coefficients[2:], parts, DIRECT)


def _wald(moments: FloatArray, sums: FloatArray, test: str) -> dict[str, Any] | None:
    """Return an F test of moments (r,) that are zero, from parts of their error by independent group (G, r)."""
    n_groups = len(sums)
    matrix = n_groups / (n_groups - 1) * sums.T @ sums
    values, vectors = np.linalg.eigh(matrix)
    kept = values > _NOTHING * max(float(values[-1]), 1e-300)
    rank = int(kept.sum())
    if values[-1] <= 1e-20 or n_groups <= rank:
        return None
    statistic = float((((moments @ vectors[:, kept]) ** 2) / values[kept]).sum())
    scaled = statistic * (n_groups - rank) / (rank * (n_groups - 1))
    return {
        "test": test,
        "statistic": scaled,
        "df": float(rank),
        "df_residual": float(n_groups - rank),
        "p_value": float(stats.f.sf(scaled, rank, n_groups - rank)),
    }
