"""Guards against information about treatment or outcome in the wrong place. Pure arrays.

A covariate or image feature that was made from the treatment ruins every estimate in silence: adjusting for
it adjusts the effect away. What gives such a column away is that it follows the arms more closely than any
randomisation could have brought about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

FloatArray = npt.NDArray[np.float64]

# A pattern that random assignment brings about less often than this was made from the treatment.
IMPROBABLE = 1e-6


def function_of_treatment(
    column: FloatArray,
    treatment: FloatArray,
    *,
    groups: npt.NDArray[np.intp],
    others: Mapping[str, FloatArray] | None = None,
) -> str | None:
    """Say how a column follows from the treatment, or return None when it does not.

    Parameters
    ----------
    column : array of shape (n,)
        A covariate or feature without missing values.
    treatment : array of shape (n,)
        0/1.
    groups : array of shape (n,)
        Codes of the groups that were assigned together (units, if none were): the probability of a pattern is
        reckoned over them, so that a trait of two villages is not taken for a leak.
    others : mapping of str to array, optional
        Other numeric columns, to name the one that was multiplied by the treatment.

    Returns
    -------
    str or None

    Examples
    --------
    >>> treated = np.repeat([0.0, 1.0], 50)
    >>> age = np.arange(100.0)
    >>> function_of_treatment(2 - 3 * treated, treated, groups=np.arange(100))
    'equals the treatment up to scale'
    >>> function_of_treatment(treated * age, treated, groups=np.arange(100), others={"age": age})
    "equals the treatment times 'age'"
    >>> function_of_treatment(age % 7, treated, groups=np.arange(100)) is None
    True
    """
    arms = [column[treatment == 0], column[treatment == 1]]
    varies = [bool(np.ptp(arm) > 0) for arm in arms]
    if not any(varies):
        differs = arms[0][0] != arms[1][0]
        return "equals the treatment up to scale" if differs else None
    if not all(varies):
        flat = 0 if not varies[0] else 1
        if _chance_of_flat_arm(column, treatment, groups, flat_arm=flat) > IMPROBABLE:
            return None
        for name, other in (others or {}).items():
            if other is not column and np.allclose(column, treatment * other, equal_nan=True):
                return f"equals the treatment times {name!r}"
        where = "treated" if flat else "controls"
        return f"is constant among the {where} and varies in the other arm: made from it, or no overlap"
    if arms[0].max() < arms[1].min() or arms[1].max() < arms[0].min():
        return (
            "separates the arms completely" if _chance_of_separation(treatment, groups) < IMPROBABLE else None
        )
    return None


def leaking_features(
    features: FloatArray, treatment: FloatArray, *, groups: npt.NDArray[np.intp]
) -> dict[int, str]:
    """Return the feature columns that follow from the treatment, with the reason for each.

    Only columns that are constant in an arm or separate the arms are looked at one by one, so that wide
    embeddings cost one pass.
    """
    low_0, high_0 = features[treatment == 0].min(axis=0), features[treatment == 0].max(axis=0)
    low_1, high_1 = features[treatment == 1].min(axis=0), features[treatment == 1].max(axis=0)
    constant = (low_0 == high_0) & (low_1 == high_1) & (low_0 == low_1)
    suspect = ((low_0 == high_0) | (low_1 == high_1) | (high_0 < low_1) | (high_1 < low_0)) & ~constant
    reasons = {
        int(column): function_of_treatment(features[:, column], treatment, groups=groups)
        for column in np.flatnonzero(suspect)
    }
    return {column: reason for column, reason in reasons.items() if reason is not None}


def equal_up_to_scale(column: npt.NDArray[Any], target: FloatArray) -> bool:
    """Return whether a column is the target times a factor plus a constant."""
    if np.ptp(column) == 0 or np.ptp(target) == 0:
        return False
    return bool(abs(np.corrcoef(column, target)[0, 1]) > 1 - 1e-12)


def _chance_of_flat_arm(
    column: FloatArray, treatment: FloatArray, groups: npt.NDArray[np.intp], *, flat_arm: int
) -> float:
    """Chance that no group with a different value falls in one arm, when groups are assigned at random."""
    in_arm = treatment == flat_arm
    deviating = column != column[in_arm][0]
    n_groups = np.unique(groups).size
    n_deviating = np.unique(groups[deviating]).size
    n_other_arm = np.unique(groups[~in_arm]).size
    # hypergeometric: all deviating groups are among those of the other arm
    n_deviating = min(n_deviating, n_other_arm)
    return float(np.exp(_log_choose(n_other_arm, n_deviating) - _log_choose(n_groups, n_deviating)))


def _chance_of_separation(treatment: FloatArray, groups: npt.NDArray[np.intp]) -> float:
    n_groups = np.unique(groups).size
    n_treated = np.unique(groups[treatment == 1]).size
    return float(2 * np.exp(-_log_choose(n_groups, min(n_treated, n_groups))))


def _log_choose(n: int, k: int) -> float:
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
