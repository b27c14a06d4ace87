"""`transport`: effects beyond the study area, how far places are from it, and the average effect of a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.effects.cate import Cate
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.sampling import PIECE, Both, Sampling, sampling_ratios, side_by_side
from eocausal.evaluate.support import COMPONENTS, Support, support
from eocausal.evaluate.target import Target, as_target, target_design
from eocausal.evaluate.transport_checks import (
    apart_by_classifier,
    balance_of_samples,
    classifier_told,
    outside_told,
    same_units_told,
    weights_told,
)
from eocausal.evaluate.transport_result import Transport
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.smd import effective_size
from eocausal.inference.tilting import balancing_weights
from eocausal.inference.transported import Transported, doubly_robust_transport, inverse_odds
from eocausal.nuisance.learners import Learners

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.vcov import VcovChoice

__all__ = ["Target", "Transport", "transport"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Shares of the target, its places nearest to the study, whose average effect is shown beside that of all of it.
NEAREST = (0.9, 0.75, 0.5)
DOUBLY_ROBUST, INVERSE_ODDS = "doubly robust", "inverse odds"
ODDS_GIVEN = (
    "the estimate by inverse odds takes the odds as given; with learned odds trust the interval of the doubly "
    "robust one"
)


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
    one_of(outside, ("keep", "leave_out"), argument="outside", error=EvaluationError)
    _check_level(level)
    whole_number(seed, argument="seed", error=EvaluationError)
    learners = Learners(pca=COMPONENTS) if learners is None else learners
    if not isinstance(learners, Learners):
        raise EvaluationError(explain(f"learners is a {type(learners).__name__}.", fix="ec.Learners(...)"))
    asked = as_target(target)
    there, told = target_design(study, asked)
    both = side_by_side(study, there, cate.folds, seed=seed)
    sampling = sampling_ratios(both, learners, seed=seed, progress=progress)
    seen = support(study, there, sampling.study, sampling.target, level=float(level), seed=seed)
    effects, errors = _predict(cate, both, progress=progress)
    carrying = _Carrying(cate, both, sampling, seen, effects, asked.sampled, vcov)
    everyone = outside == "keep"
    own = np.ones(len(study), dtype=bool) if everyone else seen.inside
    other = np.ones(len(there), dtype=bool) if everyone else seen.target_inside
    carrying.require_some(own, other)
    balance = balance_of_samples(both, carrying.weights * own, other, seed=seed)
    tested = apart_by_classifier(both, sampling, carrying.weights * own, other, learners, seed=seed)
    warnings = [
        *told,
        *same_units_told(both),
        *sampling.warnings,
        *outside_told(there.table.weights, seen, kept=everyone),
        *weights_told(carrying.weights * own, 1 / sampling.study, study, balance),
        *classifier_told(tested),
    ]
    average = carrying.average(own, other, everyone=everyone, warnings=warnings)
    weighted = carrying.weighted(own, everyone=everyone)
    return Transport(
        average=average,
        weighted=weighted,
        study=cate.average if vcov is None else cate.average.with_vcov(vcov),
        ids=there.table.ids,
        effect_values=effects,
        effect_errors=errors,
        ratios=sampling.target,
        distances=seen.target_distance,
        inside=seen.target_inside,
        weights=there.table.weights,
        odds=pd.Series(carrying.weights * own, index=pd.Index(cate.ids, name="id"), name="odds"),
        balance=balance,
        by_support=_by_support(carrying),
        classifier=tested,
        coordinates=there.table.coordinates,
        crs=getattr(asked.data, "crs", None),
    )


@dataclass(frozen=True, eq=False)
class _Carrying:
    """What average effects of a target, or of a part of it, are made from."""

    cate: Cate
    both: Both
    sampling: Sampling
    seen: Support
    effects: FloatArray
    sampled: bool
    vcov: VcovChoice | None

    @property
    def weights(self) -> FloatArray:
        """Odds of the target against the study times sampling weights (n,)."""
        return np.asarray(self.cate.weights / self.cate.weights.mean() / self.sampling.study)

    def require_some(self, own: BoolArray, other: BoolArray) -> None:
        """Raise where nothing is left to carry, or to carry it to."""
        counted = int(((self.weights > 0) & own).sum())
        if counted < 2 or other.sum() < 2:
            raise EvaluationError(
                explain(
                    f"{counted} study units and {int(other.sum())} target units would count.",
                    rule="at least 2 of each",
                    fix="outside='keep', a level nearer to 1, or a study that has seen such places",
                )
            )

    def average(
        self, own: BoolArray, other: BoolArray, *, everyone: bool, warnings: list[str] | None = None
    ) -> Estimate:
        """Return the doubly robust estimate of the average effect of some target units."""
        weights = self.weights * own
        target_weights = self.both.target.table.weights * other
        made = doubly_robust_transport(
            self.cate.dr_scores,
            self.cate.effect_values,
            weights,
            target_effects=self.effects,
            target_weights=target_weights,
        )
        predicted = float(target_weights @ self.effects / target_weights.sum())
        told = {**self._told(weights, other), "predicted": predicted, "correction": made.estimate - predicted}
        return self._estimate(
            made, weights, other, everyone=everyone, method=DOUBLY_ROBUST, warnings=warnings, told=told
        )

    def weighted(self, own: BoolArray, *, everyone: bool) -> Estimate:
        """Return the estimate by inverse odds alone."""
        weights, none = self.weights * own, np.zeros(len(self.both.target), dtype=bool)
        made = inverse_odds(self.cate.dr_scores, weights, n_target=none.size)
        return self._estimate(
            made, weights, none, everyone=everyone, method=INVERSE_ODDS, warnings=[ODDS_GIVEN], told={}
        )

    def _told(self, weights: FloatArray, other: BoolArray) -> dict[str, Any]:
        table = self.both.target.table
        inside = float(table.weights @ self.seen.target_inside / table.weights.sum())
        return {
            "n_target": int(other.sum()),
            "share_outside": 1 - inside,
            "ess_study": effective_size(weights),
            "largest_share": float(weights.max() / weights.sum()),
            "mean_weight": float(np.average(1 / self.sampling.study, weights=self.cate.weights)),
            "level": self.seen.level,
            **self.sampling.diagnostics,
        }

    def _estimate(
        self,
        made: Transported,
        weights: FloatArray,
        other: BoolArray,
        *,
        everyone: bool,
        method: str,
        warnings: list[str] | None,
        told: dict[str, Any],
    ) -> Estimate:
        study, table = self.both.study, self.both.target.table
        scores, second = made.scores, None
        if self.sampled and other.any():
            # a unit of both samples moves the estimate by both of its parts at once
            shared = other & (self.both.same >= 0)
            scores = scores.copy()
            np.add.at(scores, self.both.same[shared], scores.size * made.parts[shared])
            drawn = other & ~shared
            clusters = None if table.clusters is None else table.clusters[drawn]
            second = (
                SecondSample(table.ids[drawn], made.parts[drawn][:, None], clusters) if drawn.any() else None
            )
        arms = balancing_weights(study.table.treatment, self.cate.propensity, "ate")
        estimate = assemble(
            study,
            [ScoredEstimate(made.estimate, scores, 1)],
            vcov=self.vcov,
            estimand="ate (target)" if everyone else "ate (target, places like the study's)",
            method=method,
            terms=(study.treatment,),
            weights=weights * arms,
            assumptions=(*self.cate.assumptions[:1], *_assumptions(self.sampled)),
            warnings=warnings or [],
            diagnostics=told,
            provenance={**self.cate.provenance, "target_hash": self.both.target.fingerprint},
        )
        return estimate if second is None else _with_second(estimate, second)


def _with_second(estimate: Estimate, second: SecondSample) -> Estimate:
    variance = second.added(estimate.variance)
    new = tuple(note for note in variance.notes if note not in estimate.variance.notes)
    return replace(estimate, second=second, variance=variance, warnings=(*estimate.warnings, *new))


def _assumptions(sampled: bool) -> tuple[str, ...]:
    drawn = "are a sample, drawn independently of the study" if sampled else "are all that is asked about"
    return (
        "places of study and target that are alike in the columns have the same average effect, and every target "
        "place could have been in the study",
        f"target units {drawn}",
    )


def _by_support(carrying: _Carrying) -> pd.DataFrame:
    """Return the average effect of all places, of those inside, and of the nearest shares of them."""
    seen, weights = carrying.seen, carrying.both.target.table.weights
    own, there = np.ones(seen.distance.size, dtype=bool), np.ones(seen.target_distance.size, dtype=bool)
    cuts = [("all", own, there), ("inside", seen.inside, seen.target_inside)]
    order = np.argsort(seen.target_distance, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    for share in NEAREST:
        bound = seen.target_distance[order][int(np.searchsorted(reached, share - 1e-12))]
        cuts.append((f"nearest {100 * share:.0f}%", seen.distance <= bound, seen.target_distance <= bound))
    rows = []
    for name, mine, other in cuts:
        row: dict[str, Any] = {
            "places": name, "share": float(weights @ other / weights.sum()), "n_target": int(other.sum()),
        }  # fmt: skip
        if other.sum() >= 2 and ((carrying.weights > 0) & mine).sum() >= 2:
            made = carrying.average(mine, other, everyone=name == "all")
            low, high = made.ci()
            row |= {
                "estimate": made.estimate, "std_error": made.std_error, "conf_low": low, "conf_high": high,
                "ess_study": made.diagnostics["ess_study"],
            }  # fmt: skip
        rows.append(row)
    columns = ["estimate", "std_error", "conf_low", "conf_high", "ess_study"]
    return pd.DataFrame(rows).reindex(columns=["places", "share", "n_target", *columns])


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


def _check_level(level: object) -> None:
    number = isinstance(level, float | np.floating) and not isinstance(level, bool)
    if not number or not 0.5 <= float(str(level)) < 1:
        raise EvaluationError(
            explain(f"level={level!r}.", rule="a share of the study from 0.5 to below 1", fix="level=0.99")
        )
