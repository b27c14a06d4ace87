"""`calibration`: whether predicted effects are right on average, and differ as the true ones do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.effects.cate import Cate
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.calibration_result import DIFFERENCES, MEAN, Calibration
from eocausal.evaluate.judged import (
    HC3,
    JudgedEffects,
    estimate_on,
    hc3_clusters,
    judged_effects,
    require_cate,
    with_hc3,
)
from eocausal.inference.least_squares import hc3_matrix, least_squares, rests_on_one

if TYPE_CHECKING:
    from eocausal.inference.vcov import VcovChoice

FloatArray = npt.NDArray[np.float64]

# Predictions that spread less than this, relative to their size, are one number.
_CONSTANT = 1e-10
_ESTIMAND = "calibration"


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The regression on one part: coefficients (2,), covariance (2, 2), scores (m, 2); no error where left out."""

    rows: npt.NDArray[np.bool_]
    values: FloatArray
    matrix: FloatArray
    scores: FloatArray
    df: float


def calibration(cate: Cate, *, effects: str = "sequential", vcov: VcovChoice = HC3) -> Calibration:
    """Test whether predicted effects are right on average, and whether they differ as true effects do.

    The outcome less what is expected of it is regressed, without a constant, on the treatment less its propensity
    times the mean predicted effect, and times each unit's departure from that mean. Both coefficients are 1 where
    predictions are right. A coefficient of the second above 0 says that effects differ, and as predicted.

    Parameters
    ----------
    cate : Cate
    effects : {"sequential", "out_of_fold"}
        Which predictions are judged. ``sequential``: those for each fold by a model of earlier folds only; each
        fold is a regression of its own, and these are averaged with weights inverse to their standard errors. A
        test of them holds its size. ``out_of_fold``: those by models of all other folds, less their mean in the
        fold, in one regression of all units. With one fold it is grf's ``test_calibration``; with several, a true
        null is rejected too often, because the folds' models have learned from one another.
    vcov : str or mapping
        ``"HC3"``, which grf takes too, of whole clusters where units share clusters or images; or any choice that
        :meth:`eocausal.Estimate.with_vcov` takes.

    Returns
    -------
    Calibration
        Two coefficients; their hypotheses are in :meth:`Calibration.tests`: the first is 1 (two-sided), the second
        is 0 or less (one-sided).

    Raises
    ------
    EvaluationError
        Not a Cate, unknown ``effects``, or predicted effects that are the same for all units of every fold.
    EstimationError
        Unknown ``vcov``.

    Notes
    -----
    The regression is the best linear predictor of Chernozhukov, Demirer, Duflo and Fernández-Val (2025),
    Econometrica 93, on residuals as in Athey and Wager (2019), Observational Studies 5. Since each fold counts by
    its own standard error, the statistic is an average of the folds' t statistics, and HC3 has the degrees of
    freedom of the smallest fold: one less than its clusters, or two less than its units. Where the mean predicted
    effect of a fold is near zero, its first coefficient is uncertain and counts little.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * (1 + 2 * table["age"]) + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> found = ec.calibration(ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3)))
    >>> bool(found.tests()["p_value"][1] < 0.01)
    True
    """
    judged = judged_effects(require_cate(cate, "calibration"), effects)
    outcome, treatment = cate.centred_outcome[judged.rows], cate.centred_treatment[judged.rows]
    parts = [
        _fit(cate, judged, outcome, treatment, rows, mean, apart)
        for rows, mean, apart in _parts(judged, effects)
    ]
    _require_differences(parts)
    shares = _shares(parts)
    values = sum(share * part.values for share, part in zip(shares, parts))
    scores = np.zeros((outcome.size, 2))
    for share, part in zip(shares, parts):
        scores[part.rows] = share * part.scores * (outcome.size / int(part.rows.sum()))
    matrix = sum(np.outer(share, share) * part.matrix for share, part in zip(shares, parts))
    no_mean = [part for part in parts if part.matrix[0, 0] == 0]
    constant = [part for part in parts if part.matrix[1, 1] == 0]
    warnings = [*judged.warnings]
    if constant:
        warnings.append(
            f"{len(constant)} folds do not count for the differences: they have one predicted effect for all "
            "units, or for all clusters but one"
        )
    if no_mean:
        warnings.append(
            f"{len(no_mean)} of {len(parts)} regressions do not count for the mean effect: their mean predicted "
            "effect is zero, or one cluster alone tells it"
        )
    fit = estimate_on(
        cate.average,
        np.asarray(values),
        scores,
        rows=judged.rows,
        n_params=2 * len(parts),
        estimand=_ESTIMAND,
        method="sequential folds" if effects == "sequential" else "out-of-fold effects",
        terms=(MEAN, DIFFERENCES),
        assumptions=judged.assumptions,
        warnings=warnings,
        diagnostics={"effects": effects, "regressions": len(parts)},
    )
    if vcov == HC3:
        fit = with_hc3(fit, np.asarray(matrix), df=min(part.df for part in parts))
    else:
        fit = fit.with_vcov(vcov)
    return Calibration(fit, _by_fold(parts, judged, shares))


def _parts(judged: JudgedEffects, effects: str) -> list[tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]]:
    """Return the regressions: rows, mean predicted effect and departure from it, these (m,) of all units."""
    mean_of_fold, everyone = np.zeros(judged.effects.size), np.ones(judged.effects.size, dtype=bool)
    for fold in np.unique(judged.folds):
        rows = judged.folds == fold
        mean_of_fold[rows] = np.average(judged.effects[rows], weights=judged.weights[rows])
    apart = judged.effects - mean_of_fold
    if effects == "sequential":
        return [(judged.folds == fold, mean_of_fold, apart) for fold in np.unique(judged.folds)]
    mean = np.average(judged.effects, weights=judged.weights)
    return [(everyone, np.full(judged.effects.size, mean), apart)]


def _fit(
    cate: Cate,
    judged: JudgedEffects,
    outcome: FloatArray,
    treatment: FloatArray,
    rows: npt.NDArray[np.bool_],
    mean: FloatArray,
    apart: FloatArray,
) -> _Fitted:
    """Regress one part, on those of the two columns that tell something, and not by one cluster alone."""
    size = np.abs(judged.effects[rows]).max()
    told = np.array([np.abs(mean[rows]).max(), np.abs(apart[rows]).max()]) > _CONSTANT * max(size, 1e-300)
    values, matrix, scores = np.zeros(2), np.zeros((2, 2)), np.zeros((int(rows.sum()), 2))
    clusters = hc3_clusters(cate, judged.rows)
    labels = None if clusters is None else clusters[rows]
    columns = treatment[rows, None] * np.column_stack([mean[rows], apart[rows]])
    for tried in (told, told & [True, False]):
        if not tried.any():
            continue
        fit = least_squares(outcome[rows], columns[:, tried], judged.weights[rows])
        if rests_on_one(fit, labels):
            continue
        values[tried], scores[:, tried] = fit.coefficients, fit.scores
        matrix[np.ix_(tried, tried)] = hc3_matrix(fit, labels)
        break
    df = int(rows.sum()) - 2 if labels is None else np.unique(labels).size - 1
    return _Fitted(rows, values, matrix, scores, float(df))


def _shares(parts: list[_Fitted]) -> FloatArray:
    """Return how much each part counts for each coefficient (parts, 2): inverse to its standard error."""
    errors = np.sqrt(np.array([np.diag(part.matrix) for part in parts]))
    inverse = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    total = inverse.sum(axis=0)
    return np.asarray(inverse / np.where(total > 0, total, 1.0))


def _require_differences(parts: list[_Fitted]) -> None:
    if all(part.matrix[1, 1] == 0 for part in parts):
        raise EvaluationError(
            explain(
                "All units of each fold, or all but one cluster, have one predicted effect, so there are no "
                "differences to test.",
                fix="another learner of effects or more features: ec.cate(design, learner=...); fewer "
                "folds where a fold has two or three clusters",
            )
        )


def _by_fold(parts: list[_Fitted], judged: JudgedEffects, shares: FloatArray) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for part, share in zip(parts, shares):
        folds = np.unique(judged.folds[part.rows])
        for term, name in enumerate((MEAN, DIFFERENCES)):
            rows.append(
                {
                    "fold": int(folds[0]) if folds.size == 1 else "all",
                    "n": int(part.rows.sum()),
                    "term": name,
                    "estimate": float(part.values[term]),
                    "std_error": float(np.sqrt(part.matrix[term, term])),
                    "share": float(share[term]),
                }
            )
    return pd.DataFrame(rows)
