"""Sharp bounds of the mean of an arm whose odds of treatment may be off by a factor. Pure arrays.

Odds that are off by chance of the unseen are right on average among units that look alike. So the factors ``z`` of
:mod:`eocausal.sensitivities.zsb_bounds` are 1 on average, and balance every function of the columns. Dorn and Guo
(2023), JASA 118, 2645-2657, show that it is enough to balance a quantile of the outcome given the columns, at level
``L / (L + 1)`` for the largest mean and ``1 / (L + 1)`` for the smallest. The linear programme that balances ones
and this quantile has as its dual a weighted quantile regression of the outcome on the two; with ``h`` the weights
that move and ``rho`` the check loss, the largest mean is

``mean at L = 1  +  (L - 1 / L) min over (a, b) of sum h rho(y - a - b q) / sum of all weights``

and the smallest likewise below. The loss has its minimum in two numbers, which is found with a proven gap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.forests._compiled import compiled

FloatArray = npt.NDArray[np.float64]

# The least loss is known to this share of itself.
GAP = 1e-8
_STEPS = 80


def levels_of(bound: float) -> tuple[float, float]:
    """Return the levels of the quantiles that the smallest and the largest mean balance.

    Examples
    --------
    >>> levels_of(3.0)
    (0.25, 0.75)
    """
    return 1 / (bound + 1), bound / (bound + 1)


def sharp_means(
    outcome: FloatArray,
    fixed: FloatArray,
    moving: FloatArray,
    *,
    bound: float,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
) -> tuple[float, float]:
    """Return the smallest and the largest mean of an arm for one bound on the odds.

    Parameters
    ----------
    outcome, fixed, moving : array of shape (m,)
        As in :func:`eocausal.sensitivities.zsb_bounds.extreme_means`, in any order.
    bound : float
    low, high : array of shape (m,), optional
        Quantiles of the outcome given the columns at ``1 / (bound + 1)`` and ``bound / (bound + 1)``. Default: an
        end without its quantile is not computed, and is NaN.

    Examples
    --------
    >>> y, ones = np.array([0.0, 0, 1, 1]), np.ones(4)
    >>> sharp_means(y, ones, ones, bound=2.0, low=np.zeros(4), high=np.ones(4))
    (0.375, 0.625)
    """
    total = float((fixed + moving).sum())
    mean = float((fixed + moving) @ outcome) / total
    if bound == 1 or not moving.any():
        return (mean if low is not None else np.nan), (mean if high is not None else np.nan)
    below, above = levels_of(bound)
    width = (bound - 1 / bound) / total
    least = np.nan if low is None else mean - width * least_loss(outcome, low, moving, below)
    most = np.nan if high is None else mean + width * least_loss(outcome, high, moving, above)
    return float(least), float(most)


def least_loss(outcome: FloatArray, quantile: FloatArray, weights: FloatArray, level: float) -> float:
    """Return the least weighted check loss at a level over all lines in the quantile.

    Examples
    --------
    Half of the sum of absolute deviations from the median:

    >>> least_loss(np.array([1.0, 2.0, 6.0]), np.zeros(3), np.ones(3), 0.5)
    2.5
    """
    return float(_least_loss(outcome, quantile, weights, level))


@compiled
def _select(values: FloatArray, weights: FloatArray, wanted: float) -> float:
    """Return the smallest value up to which the weights reach ``wanted``; reorders both arrays."""
    start, stop, before = 0, values.size - 1, 0.0
    while start < stop:
        middle = (start + stop) // 2
        a, b, c = values[start], values[middle], values[stop]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j, k = start, start, stop
        smaller, equal = 0.0, 0.0
        while j <= k:
            here, weight = values[j], weights[j]
            if here < pivot:
                values[j], weights[j] = values[i], weights[i]
                values[i], weights[i] = here, weight
                smaller += weight
                i += 1
                j += 1
            elif here > pivot:
                values[j], weights[j] = values[k], weights[k]
                values[k], weights[k] = here, weight
                k -= 1
            else:
                equal += weight
                j += 1
        if before + smaller >= wanted and i > start:
            stop = i - 1
        elif before + smaller + equal >= wanted or k == stop:
            return float(pivot)
        else:
            before += smaller + equal
            start = k + 1
    return float(values[start])


@compiled
def _on_line(
    slope: float,
    outcome: FloatArray,
    quantile: FloatArray,
    weights: FloatArray,
    level: float,
    total: float,
    values: FloatArray,
    copies: FloatArray,
) -> tuple[float, float]:
    """Return the least loss for a slope over all intercepts, and a subgradient in the slope."""
    m = outcome.size
    for i in range(m):
        values[i] = outcome[i] - slope * quantile[i]
        copies[i] = weights[i]
    at = _select(values, copies, level * total)
    loss, above, below, none = 0.0, 0.0, 0.0, 0.0
    pull_above, pull_below, pull_none = 0.0, 0.0, 0.0
    for i in range(m):
        left, weight = outcome[i] - slope * quantile[i] - at, weights[i]
        if left > 0:
            loss += level * weight * left
            above += weight
            pull_above += weight * quantile[i]
        elif left < 0:
            loss += (level - 1) * weight * left
            below += weight
            pull_below += weight * quantile[i]
        else:
            none += weight
            pull_none += weight * quantile[i]
    shared = ((1 - level) * below - level * above) / none if none > 0 else 0.0
    return loss, -(level * pull_above + (level - 1) * pull_below + shared * pull_none)


@compiled
def _least_loss(outcome: FloatArray, quantile: FloatArray, weights: FloatArray, level: float) -> float:
    m = outcome.size
    values, copies = np.empty(m), np.empty(m)
    total, mean = 0.0, 0.0
    for i in range(m):
        total += weights[i]
        mean += weights[i] * quantile[i]
    mean /= total
    # about its mean the quantile loses no digits
    centred, spread, widest = np.empty(m), 0.0, 0.0
    for i in range(m):
        centred[i] = quantile[i] - mean
        spread = max(spread, abs(centred[i]))
        widest = max(widest, abs(outcome[i] - mean))
    if spread <= 1e-12 * widest + 1e-14 * abs(mean):
        return _on_line(0.0, outcome, centred, weights, level, total, values, copies)[0]
    here, far = 1.0, 1.0
    loss, pull = _on_line(here, outcome, centred, weights, level, total, values, copies)
    best = loss
    if pull == 0:
        return best
    # walk downhill until the slope of the loss turns
    step = -0.05 if pull > 0 else 0.05
    other, far_pull = loss, pull
    for _ in range(40):
        far = here + step
        other, far_pull = _on_line(far, outcome, centred, weights, level, total, values, copies)
        best = min(best, other)
        if far_pull == 0 or (far_pull > 0) != (pull > 0):
            break
        here, loss, pull = far, other, far_pull
        step *= 3
    for turn in range(_STEPS):
        if far_pull == 0 or pull == 0 or (far_pull > 0) == (pull > 0):
            break
        # the tangents at both ends meet below the loss
        meet = (other - loss + pull * here - far_pull * far) / (pull - far_pull)
        if best - (loss + pull * (meet - here)) <= GAP * best:
            break
        at = meet if turn % 2 == 0 else here - pull * (far - here) / (far_pull - pull)
        new, new_pull = _on_line(at, outcome, centred, weights, level, total, values, copies)
        best = min(best, new)
        if (new_pull > 0) == (pull > 0):
            here, loss, pull = at, new, new_pull
        else:
            far, other, far_pull = at, new, new_pull
    return best
