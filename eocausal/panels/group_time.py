"""Effects by the period in which treatment began and the period in which they are measured. Pure arrays.

Callaway and Sant'Anna (2021), Journal of Econometrics 225, 200-230; Sant'Anna and Zhao (2020), Journal of
Econometrics 219, 101-122.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.parametric import dependent_columns, fit_propensity
from eocausal.inference.scores import ScoredEstimate

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


def change_difference(
    change: FloatArray,
    treated: FloatArray,
    weights: FloatArray,
    *,
    covariates: FloatArray,
    where: str,
    names: Sequence[str],
) -> tuple[ScoredEstimate, FloatArray]:
    """Return the doubly robust difference of a cohort's and its controls' changes, and the controls' propensity.

    The change of the outcome of the controls is predicted by least squares among them, the odds of being
    treated by a logit; the estimate is right if one of the two is. Without covariates it is the difference
    of two mean changes. Influence values include the fitting of both (Sant'Anna and Zhao 2020, section 3).

    Parameters
    ----------
    change : array of shape (m,)
        Outcome of the period measured minus that of the period before treatment.
    treated : array of shape (m,)
        1 in the cohort, 0 among its controls.
    weights : array of shape (m,)
    covariates : array of shape (m, p)
    where : str
        What the comparison is called in errors.
    names : sequence of str, length p
        Of the covariates.

    Examples
    --------
    >>> made, _ = change_difference(np.array([3.0, 5.0, 1.0, 2.0]), np.array([1.0, 1, 0, 0]), np.ones(4),
    ...                             covariates=np.zeros((4, 0)), where="2004 in 2005", names=[])
    >>> made.estimate
    2.5
    """
    fitted = fit_propensity(covariates, treated, weights, model="logit")
    if fitted is None:
        raise _no_logit(covariates, treated, where, names)
    rows, odds = fitted.rows, fitted.propensity / (1 - fitted.propensity)
    of_control = weights * (1 - treated)
    gram = (rows * of_control[:, None]).T @ rows / change.size
    _require_rank(gram, treated, where)
    coefficients = np.linalg.solve(gram, rows.T @ (of_control * change) / change.size)
    left = change - rows @ coefficients
    cohort, matched = weights * treated, of_control * odds
    mean_treated = float(cohort @ left / cohort.sum())
    mean_control = float(matched @ left / matched.sum())
    plain = cohort * (left - mean_treated) / cohort.mean() - matched * (left - mean_control) / matched.mean()
    # how far chance in the coefficients of the outcome and of the propensity moves the estimate
    pull = cohort @ rows / cohort.sum() - matched @ rows / matched.sum()
    by_outcome = (rows * (of_control * left)[:, None]) @ np.linalg.solve(gram, pull)
    by_odds = of_control / (1 - fitted.propensity) ** 2 * (left - mean_control) / matched.sum()
    scores = plain - by_outcome - fitted.carried(by_odds)
    return ScoredEstimate(mean_treated - mean_control, scores, 1), fitted.propensity[treated == 0]


def _no_logit(
    covariates: FloatArray, treated: FloatArray, where: str, names: Sequence[str]
) -> EstimationError:
    dependent = dependent_columns(covariates)
    if dependent:
        return EstimationError(
            explain(
                f"Covariates determine one another among the {treated.size} units that are compared for {where}.",
                where=[names[place] for place in dependent if place >= 0] or names,
                rule="in each comparison covariates vary, and none follows from the others",
                fix="fewer covariates",
            )
        )
    return EstimationError(
        explain(
            f"The covariates separate the {int(treated.sum())} treated from the {int((1 - treated).sum())} "
            f"controls of {where}, so that some have no counterpart.",
            rule="both groups occur at the same values of the covariates",
            fix="fewer covariates, or learners=ec.Learners() for penalised ones out of fold",
        )
    )


def _require_rank(gram: FloatArray, treated: FloatArray, where: str) -> None:
    scale = np.sqrt(np.diag(gram))
    values = np.linalg.eigvalsh(gram / np.outer(np.where(scale > 0, scale, 1), np.where(scale > 0, scale, 1)))
    if (scale <= 0).any() or values[0] < 1e-12 * values[-1]:
        raise EstimationError(
            explain(
                f"The {int((1 - treated).sum())} controls of {where} are too few, or too much alike, for "
                f"{len(gram) - 1} covariates.",
                fix="fewer covariates",
            )
        )


@dataclass(frozen=True)
class Cell:
    """The effect on one cohort in one period.

    Attributes
    ----------
    cohort, step : int
        Steps of the grid at which treatment began and at which the effect is measured.
    estimate : float
    scores : array of shape (N,)
        Centred influence values of all units; 0 for those that are not compared.
    """

    cohort: int
    step: int
    estimate: float
    scores: FloatArray

    @property
    def event(self) -> int:
        """Steps since treatment began."""
        return self.step - self.cohort


def spread_scores(scores: FloatArray, rows: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the influence values (N,) on all units of an estimate that some of them enter."""
    found = np.zeros(rows.size)
    found[rows] = scores * rows.size / rows.sum()
    return found


def average(cells: list[Cell], starts: Codes, weights: FloatArray) -> tuple[float, FloatArray]:
    """Return the average of cells, each weighing as many units as its cohort has, with influence values (N,).

    The shares of cohorts are estimated too, and their error is part of the influence values.

    Examples
    --------
    >>> cells = [Cell(1, 1, 2.0, np.zeros(4)), Cell(2, 2, 6.0, np.zeros(4))]
    >>> average(cells, np.array([1, 1, 1, 2]), np.ones(4))[0]
    3.0
    """
    member = np.column_stack([(starts == cell.cohort) * weights / weights.mean() for cell in cells])
    share = member.mean(axis=0)
    values = np.array([cell.estimate for cell in cells])
    total = share.sum()
    estimate = float(share @ values / total)
    scores = np.column_stack([cell.scores for cell in cells]) @ (share / total)
    return estimate, scores + (member - share) @ (values - estimate) / total


def plain_average(parts: list[tuple[float, FloatArray]]) -> tuple[float, FloatArray]:
    """Return the unweighted mean of estimates and of their influence values."""
    return float(np.mean([value for value, _ in parts])), np.mean([scores for _, scores in parts], axis=0)
