"""`policy_value`: what treating the units with the highest predicted effects is worth."""

from __future__ import annotations

import numbers

import numpy as np
import numpy.typing as npt

from eocausal.effects.cate import Cate
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.judged import estimate_on, judged_effects, require_cate
from eocausal.evaluate.policy_result import PolicyValue, share_terms
from eocausal.evaluate.priorities import finite
from eocausal.evaluate.toc import DEFAULT_GRID
from eocausal.evaluate.top_shares import top_totals

FloatArray = npt.NDArray[np.float64]


def policy_value(
    cate: Cate, *, shares: npt.ArrayLike | None = None, cost: float = 0.0, effects: str = "sequential"
) -> PolicyValue:
    """Estimate what it is worth to treat those with the highest predicted effects, by the share that is treated.

    The value of treating the first share ``q`` of a ranking is the mean over all units of the effect less the cost
    of those treated. It is compared with treating nobody, everybody, and the same share at random; the last is
    ``q`` times the TOC curve of :func:`eocausal.rate`.

    Parameters
    ----------
    cate : Cate
    shares : array-like, optional
        Rising, above 0 and at most 1; 1 is added. Default 0.1, 0.2, ..., 1.
    cost : float
        Of treating one unit, in units of the outcome.
    effects : {"sequential", "out_of_fold"}
        By which predictions units are ranked, within their fold: those by a model of earlier folds only, or those
        by models of all other folds, whose tests against treating at random reject a true null too often.

    Returns
    -------
    PolicyValue

    Raises
    ------
    EvaluationError
        Not a Cate, shares that do not rise within (0, 1], a cost that is no number, or unknown ``effects``.

    Notes
    -----
    Standard errors hold that the ranks, and hence who is above the cut, are estimated. They take the share as
    chosen beforehand: the best of several shares looks better than it is, which the band of all shares allows for.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * 2 * table["age"] + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> effects = ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3))
    >>> bool(ec.policy_value(effects, shares=[0.5]).against("random").p_value() < 0.01)
    True
    """
    judged = judged_effects(require_cate(cate, "policy_value"), effects)
    grid, price = _shares(shares), _cost(cost)
    totals = top_totals(
        cate.dr_scores[judged.rows] - price,
        judged.effects,
        weights=judged.weights,
        folds=judged.folds,
        shares=grid,
    )
    values = estimate_on(
        cate.average,
        totals.values,
        totals.scores,
        rows=judged.rows,
        estimand="value of treating the top, against nobody",
        method="sequential folds" if effects == "sequential" else "out-of-fold effects",
        terms=share_terms(grid),
        assumptions=judged.assumptions,
        warnings=judged.warnings,
        diagnostics={"cost": price, "effects": effects},
    )
    return PolicyValue(values, grid, price)


def _shares(shares: npt.ArrayLike | None) -> FloatArray:
    grid = DEFAULT_GRID if shares is None else finite("shares", np.atleast_1d(shares), np.size(shares))
    if not (np.diff(grid) > 0).all() or grid[0] <= 0 or grid[-1] > 1:
        raise EvaluationError(
            explain("shares is not a rising list above 0 and at most 1.", fix="shares=[0.1, 0.2, 0.5]")
        )
    return grid if grid[-1] == 1 else np.append(grid, 1.0)


def _cost(cost: object) -> float:
    if isinstance(cost, bool) or not isinstance(cost, numbers.Real) or not np.isfinite(float(cost)):
        raise EvaluationError(
            explain(
                f"cost={cost!r}.",
                rule="a number, in units of the outcome, for each unit treated",
                fix="cost=0.5",
            )
        )
    return float(cost)
