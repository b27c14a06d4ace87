"""Entropy balancing: weights that make the means of an arm exactly those of a target. Pure arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate

FloatArray = npt.NDArray[np.float64]

# Largest gap between a weighted mean and its target, in standard deviations of the column, that counts as none.
EXACT = 1e-8
# Newton steps that follow the optimiser, to bring the gap from its tolerance to rounding.
POLISH = 20


def tilted_weights(columns: FloatArray, base: FloatArray) -> FloatArray | None:
    """Return weights that sum to 1 and make every column's mean zero, or None where there are none.

    Among such weights they are the nearest to ``base`` in relative entropy, ``base exp(columns @ multipliers)``,
    found by the convex dual, the logarithm of the sum of these. Hainmueller (2012), Political Analysis 20, 25-46,
    section 3.

    Parameters
    ----------
    columns : array of shape (n, p)
        Columns of the arm minus the target means, of roughly unit scale.
    base : array of shape (n,)
        Positive weights to stay near.

    Examples
    --------
    >>> tilted_weights(np.array([[-1.0], [0.0], [3.0]]), np.ones(3)) @ np.array([-1.0, 0.0, 3.0])
    np.float64(...)
    >>> tilted_weights(np.array([[1.0], [2.0]]), np.ones(2)) is None
    True
    """
    from scipy.optimize import minimize

    if columns.shape[1] == 0:
        return np.asarray(base / base.sum())
    log_base = np.log(base)

    def weigh(multipliers: FloatArray) -> tuple[float, FloatArray]:
        exponent = log_base + columns @ multipliers
        top = float(exponent.max())
        weights = np.exp(exponent - top)
        total = float(weights.sum())
        return top + float(np.log(total)), weights / total

    def curvature(multipliers: FloatArray) -> FloatArray:
        weights = weigh(multipliers)[1]
        mean = weights @ columns
        return np.asarray((columns * weights[:, None]).T @ columns - np.outer(mean, mean))

    def objective(multipliers: FloatArray) -> tuple[float, FloatArray]:
        value, weights = weigh(multipliers)
        return value, weights @ columns

    found = minimize(
        objective,
        np.zeros(columns.shape[1]),
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": EXACT, "maxiter": 500},
    )
    multipliers = np.asarray(found.x, dtype=float)
    weights = weigh(multipliers)[1]
    for _ in range(POLISH):
        gap = weights @ columns
        if not np.abs(gap).max() > EXACT / 100:
            break
        step = np.linalg.lstsq(curvature(multipliers), gap)[0]
        candidate = weigh(multipliers - step)[1]
        if not np.abs(candidate @ columns).max() < np.abs(gap).max():
            break
        multipliers, weights = multipliers - step, candidate
    return weights if np.abs(weights @ columns).max() <= EXACT else None


def out_of_reach(columns: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which columns (p,) no weighting of the rows brings to zero, while it brings the others there.

    The weights, at least 0 with sum 1, that miss zero by the least sum of absolute gaps: a linear programme. No
    column stands out where weights exist but only at the very edge, with nearly all units at weight 0.

    Examples
    --------
    >>> out_of_reach(np.array([[1.0, -1.0], [2.0, 1.0]])).tolist()
    [True, False]
    """
    from scipy.optimize import linprog

    n, width = columns.shape
    equal = np.block(
        [[columns.T, np.eye(width), -np.eye(width)], [np.ones((1, n)), np.zeros((1, 2 * width))]]
    )
    cost = np.concatenate([np.zeros(n), np.ones(2 * width)])
    found = linprog(cost, A_eq=equal, b_eq=np.append(np.zeros(width), 1.0), bounds=(0, None), method="highs")
    weights = np.asarray(found.x, dtype=float)[:n]
    return np.abs(weights @ columns) > 1e-7


def balanced_means(
    outcome: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    *,
    columns: FloatArray,
    target: FloatArray,
    balanced: Sequence[FloatArray | None],
) -> ScoredEstimate:
    r"""Return the difference of the arms' means under balancing weights, with influence values.

    The influence values are those of the stacked estimating equations of the target means ``c``, of the multipliers
    ``l`` and of each arm's mean ``m``,

    ``r (x - c) = 0``, ``k (x - c) = 0``, ``k (y - m) = 0``, with ``k = 1(arm) exp(l' (x - c))``,

    solved as for any M-estimator (Stefanski and Boos 2002, American Statistician 56, 29-38). Solved for ``m``:

    ``k (y - m - b' (x - c)) / mean(k) + r b' (x - c) / mean(r)``

    where ``b`` is the slope of the outcome on the columns in the arm, weighted by ``k``. The estimate is right when
    either the outcome is linear in the columns or the weights have the form above (Zhao and Percival 2017, Journal
    of Causal Inference 5, for ``att``; Chan, Yam and Zhang 2016, JRSS B 78, for ``ate``).

    Parameters
    ----------
    columns : array of shape (n, p)
    target : array of shape (n,)
        1 for the units whose average effect is asked for, else 0.
    balanced : two of array or None
        Balancing weights of controls and of treated, in their order; None for an arm that is the target itself.
    """
    of_target = weights * target
    gaps = columns - of_target @ columns / of_target.sum()
    estimate, n_params = 0.0, 0
    scores = np.zeros(outcome.size)
    for sign, arm, found in ((-1.0, treatment == 0, balanced[0]), (1.0, treatment == 1, balanced[1])):
        share = np.zeros(outcome.size)
        share[arm] = weights[arm] / weights[arm].sum() if found is None else found
        mean = float(share @ outcome)
        estimate += sign * mean
        n_params += 1
        residual = outcome - mean
        if found is not None:
            weighted = gaps * share[:, None]
            slope = np.linalg.lstsq(weighted.T @ gaps, weighted.T @ residual)[0]
            residual = residual - gaps @ slope
            scores += sign * of_target / of_target.mean() * (gaps @ slope)
            n_params += columns.shape[1]
        scores += sign * outcome.size * share * residual
    return ScoredEstimate(estimate, scores, n_params)
