"""`transport`: effects beyond the study area, how far places are from it, and the average effect of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.effects.cate import Cate
from eocausal.effects.corrected_effects import CARRIED_AS_GIVEN, without_calibration
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.sampling import PIECE, Both, sampling_ratios, side_by_side
from eocausal.evaluate.support import COMPONENTS, support
from eocausal.evaluate.target import Target, as_target, target_design
from eocausal.evaluate.target_average import Kept, TargetAverage, by_support
from eocausal.evaluate.transport_checks import (
    apart_by_classifier,
    balance_of_samples,
    classifier_told,
    outside_told,
    same_units_told,
    weights_told,
)
from eocausal.evaluate.transport_result import Transport
from eocausal.nuisance.learners import Learners

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.vcov import VcovChoice

__all__ = ["Target", "Transport", "transport"]

FloatArray = npt.NDArray[np.float64]


def transport(
    cate: Cate,
    target: Target | Embeddings,
    *,
    level: float = 0.99,
    outside: Literal["keep", "leave_out"] = "keep",
    vcov: VcovChoice | None = None,
    learners: Learners | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Transport:
    """Carry the effects of a study to other places: by place, and on average.

    Each place gets the effect that the models of the folds predict for it, and how far it is from what the study
    has seen. The average effect of the target is the mean of these predictions, corrected by what the study's
    doubly robust scores say of its own, weighted by the odds of the target against the study.

    Parameters
    ----------
    cate : Cate
        As :func:`eocausal.cate` made it; one that was read from a file holds no models.
    target : Target or Embeddings
        The places, with the covariates and features of the study. Embeddings alone do for a study without
        covariates.
    level : float
        A place is outside what the study has seen when its nearest study unit is farther than ``level`` of study
        units are from theirs, or when a model takes it to be less like the study than ``level`` of study units.
    outside : {"keep", "leave_out"}
        Whether such places count in the average. They are marked either way, and counted in the warnings.
    vcov : optional
        Standard errors of the study's part, as in :func:`eocausal.ate`. The target's part, where it is a sample, is
        by its own clusters, and is added.
    learners : Learners, optional
        What tells the study from the target, the propensity learner. Default a logit with ridge on covariates and
        10 components of each block of features, as many as effects are learned from: more make odds that rest on
        few units, and buy nothing that effects follow.
    seed : int
    progress : bool
        Show progress bars.

    Returns
    -------
    Transport
        ``estimate`` and ``std_error`` of the average effect of the target; ``places``, ``map()``,
        ``write_geoparquet()`` and ``write_geotiff()``; ``balance``, ``by_support`` and ``difference()``.

    Raises
    ------
    DesignError, EmbeddingsError
        The target lacks columns, holds missing values, or its features were made in another way.
    EvaluationError
        The ``Cate`` holds no models, or the target is so unlike the study that no weight brings one to the other.

    Notes
    -----
    The estimate is right where effects differ between study and target only by what the columns hold, and either
    the odds or the predicted effects are right. Its interval asks for both: with wrong odds it is too short.
    Dahabreh, Robertson, Steingrimsson, Stuart and Hernan (2020), Statistics in Medicine 39; weights are normalised,
    and predictions are out of fold as in Chernozhukov et al. (2018), Econometrics Journal 21.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> study = pd.DataFrame({"age": rng.normal(size=300), "grant": np.tile([0, 1], 150)})
    >>> study["income"] = study["grant"] * (1 + study["age"]) + rng.normal(size=300)
    >>> design = ec.Design(study, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> effects = ec.cate(design, learner=ec.Forest(trees=40, n_jobs=1), folds=ec.Folds(k=3))
    >>> older = pd.DataFrame({"age": rng.normal(0.5, 1.0, size=500)})
    >>> carried = ec.transport(effects, ec.Target(older))
    >>> bool(carried.estimate > effects.estimate), carried.places.shape[0]
    (True, 500)
    """
    study = _study_of(cate)
    learners = _checked(outside, level, learners, seed)
    asked = as_target(target)
    there, told = target_design(study, asked)
    both = side_by_side(study, there, cate.folds, seed=seed)
    sampling = sampling_ratios(both, learners, seed=seed, progress=progress)
    seen = support(study, there, sampling.study, sampling.target, level=float(level), seed=seed)
    effects, errors = _predict(cate, both, progress=progress)
    carrying = TargetAverage(cate, both, sampling, seen, effects, asked.sampled, vcov)
    kept = Kept.of(seen, everyone=outside == "keep")
    carrying.require_some(kept)
    odds = carrying.weights * kept.study
    balance = balance_of_samples(both, odds, kept.target, seed=seed)
    tested = apart_by_classifier(both, sampling, odds, kept.target, learners, seed=seed)
    warnings = [
        *told,
        *same_units_told(both),
        *sampling.warnings,
        *outside_told(there.table.weights, seen, kept=kept.everyone),
        *weights_told(odds, 1 / sampling.study, study, balance),
        *classifier_told(tested),
        *([CARRIED_AS_GIVEN] if cate.average.second is not None else []),
    ]
    average = without_calibration(cate.average)
    return Transport(
        average=carrying.doubly_robust(kept, warnings=warnings),
        weighted=carrying.inverse_odds(kept),
        study=average if vcov is None else average.with_vcov(vcov),
        ids=there.table.ids,
        effect_values=effects,
        effect_errors=errors,
        ratios=sampling.target,
        distances=seen.target_distance,
        inside=seen.target_inside,
        weights=there.table.weights,
        odds=pd.Series(odds, index=pd.Index(cate.ids, name="id"), name="odds"),
        balance=balance,
        by_support=by_support(carrying),
        classifier=tested,
        coordinates=there.table.coordinates,
        crs=getattr(asked.data, "crs", None),
    )


def _predict(cate: Cate, both: Both, *, progress: bool) -> tuple[FloatArray, FloatArray]:
    """Return the effect of each target unit, mean over the models of the folds, and its standard error.

    A unit that is of the study gets the prediction of the model that did not see it.
    """
    from tqdm import tqdm

    m = len(both.target)
    effects, squares = np.zeros(m), np.zeros(m)
    with tqdm(total=m, desc="effects of places", unit="place", disable=not progress) as bar:
        for start in range(0, m, PIECE):
            rows = np.arange(start, min(start + PIECE, m))
            for model in cate.models:
                effect, error = model.predict(both.target, rows=rows)
                effects[rows] += effect / len(cate.models)
                # models of the folds share most of what they learned from, so that their mean is hardly surer
                squares[rows] += error**2 / len(cate.models)
            bar.update(rows.size)
    errors = np.sqrt(squares)
    shared = both.same >= 0
    effects[shared] = cate.effect_values[both.same[shared]]
    errors[shared] = cate.effect_errors[both.same[shared]]
    return effects, errors


def _study_of(cate: Cate) -> Design:
    if not isinstance(cate, Cate):
        raise EvaluationError(explain(f"cate is a {type(cate).__name__}.", fix="ec.cate(design)"))
    if cate.design is None or not cate.models:
        raise EvaluationError(
            explain(
                "This Cate was read from a file and holds neither models nor the columns of its units.",
                fix="run ec.cate(design) again",
            )
        )
    return cate.design


def _checked(outside: str, level: object, learners: Learners | None, seed: int) -> Learners:
    """Check what was asked, and return the learners with the default filled in."""
    one_of(outside, ("keep", "leave_out"), argument="outside", error=EvaluationError)
    number = isinstance(level, float | np.floating) and not isinstance(level, bool)
    if not number or not 0.5 <= float(str(level)) < 1:
        raise EvaluationError(
            explain(f"level={level!r}.", rule="a share of the study from 0.5 to below 1", fix="level=0.99")
        )
    whole_number(seed, argument="seed", error=EvaluationError)
    learners = Learners(pca=COMPONENTS) if learners is None else learners
    if not isinstance(learners, Learners):
        raise EvaluationError(explain(f"learners is a {type(learners).__name__}.", fix="ec.Learners(...)"))
    return learners
