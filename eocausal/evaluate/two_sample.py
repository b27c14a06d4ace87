"""Can a model still tell the arms apart? A classifier, held out, before and after weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._threads import one_blas_thread
from eocausal.effects.restated import restated
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.roc import auc_by_fold
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import ScoredEstimate
from eocausal.nuisance.fitting import fitted_propensity
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.settings import provenance
from eocausal.nuisance.training_folds import TrainingFold

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# The first two folds only teach.
FIRST_TESTED = 2
BEFORE, AFTER = "before weighting", "after weighting"
ESTIMAND = "AUC, held out"


def classifier_test(design: Design, settings: Settings, weights: FloatArray | None) -> Estimate:
    """Return the held-out AUC of a classifier of treatment, before weighting and, with weights, after it.

    The propensity learner is fitted with the weights on the folds before the one that it ranks, from the third fold
    on; the AUC is weighted likewise and compares units of one fold only. Where the weights make the arms alike, no
    classifier that has not seen a unit can do better than 0.5.

    Folds are taken one after the other, because with the usual crossing two folds teach each other: what they have
    in common enters both of their AUCs, and the standard error is too small by nearly the square root of two where
    there is nothing to find. So taken, the AUC of a fold is 0.5 on average whatever came before. Standard errors
    are those of given weights, clustered as the design is.

    Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, ICLR; here with weights, and the AUC in
    place of the accuracy.
    """
    learner = settings.learners.propensity
    if isinstance(learner, OutOfFold):
        raise EvaluationError(
            explain(
                "The classifier has to learn anew, and the propensity learner is predictions made beforehand.",
                fix="learners=ec.Learners(propensity='penalised_logit')",
            )
        )
    scored = [_held_out(design, settings, design.table.weights)]
    if weights is not None:
        scored.append(_held_out(design, settings, weights))
    return assemble(
        design,
        scored,
        estimand=ESTIMAND,
        method="classifier two-sample test",
        terms=(BEFORE, AFTER)[: len(scored)],
        diagnostics=settings.learners.describe(),
        provenance=provenance(design, settings, known=False),
    )


def _held_out(design: Design, settings: Settings, weights: FloatArray) -> ScoredEstimate:
    """Return the AUC with influence values of all units; those that weigh nothing neither teach nor count."""
    kept = weights > 0
    part = design if kept.all() else design.take(kept)
    part = restated(part, weights=weights[kept])
    groups = settings.folds.groups(part)
    folds = settings.folds.assign(part, seed=settings.seed)
    first = min(FIRST_TESTED, int(folds.max()))
    predicted = np.zeros(len(part))
    for fold in range(first, int(folds.max()) + 1):
        predicted[folds == fold] = _learned_before(part, folds, fold, groups, settings)
    tested = folds >= first
    found = auc_by_fold(predicted[tested], part.table.treatment[tested], folds[tested], weights[kept][tested])
    influence = np.zeros(len(design))
    influence[np.flatnonzero(kept)[tested]] = found.scores * len(design) / tested.sum()
    return ScoredEstimate(found.estimate, influence, 1)


@one_blas_thread()
def _learned_before(part: Design, folds: Codes, fold: int, groups: Codes, settings: Settings) -> FloatArray:
    """Return predictions for the units of a fold from a model of the folds before it."""
    before = folds < fold
    treated = int(part.table.treatment[before].sum())
    if min(treated, before.sum() - treated) < 2:
        raise EvaluationError(
            explain(
                f"The first {fold} folds hold {treated} treated and {before.sum() - treated} control units.",
                rule="at least 2 of each arm for a classifier to learn from",
                fix="classifier=False",
            )
        )
    training = TrainingFold(part, fold, before, groups=groups, learners=settings.learners, seed=settings.seed)
    model = fitted_propensity(training)
    return np.asarray(model.predict(training.reducer.transform(part, folds == fold)))


def classifier_frame(found: Estimate) -> pd.DataFrame:
    """Return one row for each AUC, with the p-value of the hypothesis that it is no more than 0.5.

    One-sided: weights that were fitted to these very units balance them better than chance would, and what is too
    much on one side of a fold is then too little on the other, which pulls the AUC below 0.5.
    """
    frame = found.to_frame()[["term", "estimate", "std_error", "conf_low", "conf_high"]]
    frame = frame.rename(columns={"estimate": "auc"})
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (frame["auc"] - 0.5) / frame["std_error"]
    return frame.assign(p_value=stats.t.sf(statistic, found.variance.df))
