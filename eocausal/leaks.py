"""Guards against information about treatment or outcome in the wrong place. Pure arrays.

A covariate or image feature that was made from the treatment ruins every estimate in silence: adjusting for
it adjusts the effect away. What gives such a column away is that it follows the arms more closely than any
randomisation could have brought about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

FloatArray = npt.NDArray[np.float64]

# A pattern that random assignment brings about less often than this was made from the treatment.
IMPROBABLE = 1e-6
# Chatterjee's rank correlation above which a column follows the dose as only a function of it does; two normal
# variables reach it when they are correlated by more than 0.998.
FUNCTION_OF_DOSE = 0.95
# With more groups than this features are screened by half as many pairs of neighbours before they are looked at one
# by one; what the sample takes for less of a function than this is none.
SCREENED = 5000
LEAST_SCREENED = 0.7
FIRST_ROWS = 50


def function_of_assignment(
    column: FloatArray,
    assigned: FloatArray,
    *,
    arms: Sequence[str],
    groups: npt.NDArray[np.intp],
    others: Mapping[str, FloatArray] | None = None,
) -> str | None:
    """Say how a column follows from what was assigned: two arms, several arms, or a dose (no ``arms``).

    With several arms each is compared with all others in turn. Parameters are those of
    :func:`function_of_treatment`; ``assigned`` (n,) holds codes from 0, or doses.

    Examples
    --------
    >>> arm = np.repeat([0.0, 1.0, 2.0], 40)
    >>> price = np.array([0.0, 7.0, 5.0])[arm.astype(int)]
    >>> function_of_assignment(price, arm, arms=("none", "roads", "wells"), groups=np.arange(120))
    'has one value in each arm'
    """
    if not arms:
        return function_of_dose(column, assigned, groups=groups, others=others)
    if len(arms) == 2:
        return function_of_treatment(column, assigned, groups=groups, others=others)
    spreads = [float(np.ptp(column[assigned == arm])) for arm in range(len(arms))]
    if not any(spreads) and np.ptp(column) > 0:
        return "has one value in each arm"
    for code, arm in enumerate(arms):
        indicator = (assigned == code).astype(float)
        reason = function_of_treatment(column, indicator, groups=groups, others=others)
        if reason is not None:
            return f"{reason}, with arm {arm!r} as the treated and all others as controls"
    return None


def function_of_dose(
    column: FloatArray,
    dose: FloatArray,
    *,
    groups: npt.NDArray[np.intp],
    others: Mapping[str, FloatArray] | None = None,
) -> str | None:
    """Say how a column follows from a dose (n,), or return None when it does not.

    A column that is any function of the dose, bent or stepped, moves little between units of near doses. The rank
    correlation of Chatterjee (2021), JASA 116, 2009-2022, which is 1 in the limit for functions and for nothing
    else, finds it. Both are averaged over the groups that were assigned together.

    Examples
    --------
    >>> dose = np.linspace(-2, 2, 80)
    >>> function_of_dose(dose**2, dose, groups=np.arange(80))
    'follows from the dose as only a function of it does: made from it, or no overlap'
    >>> function_of_dose(np.tile([0.0, 1.0, 2.0, 5.0], 20), dose, groups=np.arange(80)) is None
    True
    """
    if equal_up_to_scale(column, dose):
        return "equals the dose up to scale"
    for name, other in (others or {}).items():
        # of many columns most differ in the first rows
        if not np.allclose(column[:FIRST_ROWS], dose[:FIRST_ROWS] * other[:FIRST_ROWS], equal_nan=True):
            continue
        if other is not column and np.ptp(column) > 0 and np.allclose(column, dose * other, equal_nan=True):
            return f"equals the dose times {name!r}"
    if _follows(_averages(column, groups), _averages(dose, groups)):
        return "follows from the dose as only a function of it does: made from it, or no overlap"
    return None


def _averages(values: FloatArray, groups: npt.NDArray[np.intp]) -> FloatArray:
    """Return the means of values (n,) over groups."""
    codes = np.unique(groups, return_inverse=True)[1]
    return np.asarray(np.bincount(codes, weights=values) / np.bincount(codes))


def _follows(column: FloatArray, dose: FloatArray) -> bool:
    """Return whether a column is a function of the dose: in steps, in step with it, or bent."""
    n, n_levels = column.size, np.unique(column).size
    if n_levels <= n / 5:
        return _in_few_runs(column, dose)
    # a function that bends once reaches 1 - 6 / n at the most
    smooth = n >= 20 and rank_dependence(column, dose) > FUNCTION_OF_DOSE - 4 / n
    return smooth or _in_step(column, dose)


def _in_few_runs(column: FloatArray, dose: FloatArray) -> bool:
    """Return whether a column of few values has each in one stretch of doses, one of them in two at the most.

    The chance of so few runs is bounded by the ways to part the doses into runs and to give them values, over the
    ways to order the column.
    """
    n, (_, codes, counts) = column.size, np.unique(column, return_inverse=True, return_counts=True)
    in_order = codes[_by_dose(dose)]
    most, n_levels = counts.size + 1, counts.size
    if n_levels < 2 or 1 + int((np.diff(in_order) != 0).sum()) > most:
        return False
    ways = np.log(n_levels) + n_levels * np.log(max(n_levels - 1, 1)) + _log_choose(n - 1, n_levels)
    orders = float(gammaln(n + 1) - gammaln(counts + 1).sum())
    return bool(ways - orders < np.log(IMPROBABLE))


def _by_dose(dose: FloatArray) -> npt.NDArray[np.intp]:
    """Return positions in the order of doses; units of equal dose come in an order that no column has a part in."""
    shuffled = np.random.default_rng(0).permutation(dose.size)
    return np.asarray(shuffled[np.argsort(dose[shuffled], kind="stable")])


def rank_dependence(column: FloatArray, dose: FloatArray) -> float:
    """Return Chatterjee's rank correlation of a column with a dose, 0 for a constant column.

    Examples
    --------
    >>> round(rank_dependence(np.array([1.0, 4.0, 9.0, 16.0]), np.array([1.0, 2.0, 3.0, 4.0])), 3)
    0.4
    """
    n = column.size
    in_order = column[_by_dose(dose)]
    ordered = np.sort(in_order)
    at_most = np.searchsorted(ordered, in_order, side="right")
    at_least = n - np.searchsorted(ordered, in_order, side="left")
    spread = float((at_least * (n - at_least)).sum())
    return 1 - n * float(np.abs(np.diff(at_most)).sum()) / (2 * spread) if spread > 0 else 0.0


def _in_step(column: FloatArray, dose: FloatArray) -> bool:
    """Return whether both rise, or one rises as the other falls, from each group to the next without exception."""
    n = column.size
    if np.unique(column).size < n or np.unique(dose).size < n or 2 * np.exp(-gammaln(n + 1)) > IMPROBABLE:
        return False
    steps = np.diff(column[np.argsort(dose)])
    return bool((steps > 0).all() or (steps < 0).all())


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


def features_of_assignment(
    features: FloatArray, assigned: FloatArray, *, arms: Sequence[str], groups: npt.NDArray[np.intp]
) -> dict[int, str]:
    """Return the feature columns that follow from arms or dose, with the reason for each."""
    if not arms:
        reasons = {
            int(column): function_of_dose(features[:, column], assigned, groups=groups)
            for column in _near_doses_near_values(features, assigned, groups)
        }
        return {column: reason for column, reason in reasons.items() if reason is not None}
    if len(arms) == 2:
        return leaking_features(features, assigned, groups=groups)
    found: dict[int, str] = {}
    for arm in range(len(arms)):
        of_arm = leaking_features(features, (assigned == arm).astype(float), groups=groups)
        found |= {column: reason for column, reason in of_arm.items() if column not in found}
    return found


def _near_doses_near_values(
    features: FloatArray, dose: FloatArray, groups: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return the columns that may be functions of the dose; of many groups, by a sample of neighbouring doses.

    A column that has nothing to do with the dose has a rank correlation of 0, give or take 0.02 in the sample; one
    that is to be found has one above ``FUNCTION_OF_DOSE``, or few runs.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(codes)
    if sizes.size <= SCREENED:
        return np.arange(features.shape[1])
    in_order = _by_dose(np.bincount(codes, weights=dose) / sizes)
    places = np.sort(np.random.default_rng(0).choice(sizes.size - 1, SCREENED // 2, replace=False))
    found = []
    for number in range(features.shape[1]):
        column = (np.bincount(codes, weights=features[:, number]) / sizes)[in_order]
        here, there = column[places], column[places + 1]
        ordered = np.sort(here)
        steps = np.searchsorted(ordered, there) - np.searchsorted(ordered, here)
        if 3 * np.abs(steps).mean() / here.size < 1 - LEAST_SCREENED:
            found.append(number)
    return np.array(found, dtype=np.intp)


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
