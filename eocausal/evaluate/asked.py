"""What a specification asks to be estimated, as designs, folds, learners and results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eocausal._checks import require_columns
from eocausal._tables import read_table
from eocausal.debiasing.corrected_result import Corrected
from eocausal.debiasing.corrector import Corrector
from eocausal.debiasing.debias import debias
from eocausal.design import Design
from eocausal.effects.ate import METHODS, ate
from eocausal.effects.cate import Cate, cate
from eocausal.effects.known_learners import LEARNERS
from eocausal.effects.methods import Asked, no_predictions, require_answerable
from eocausal.errors import DebiasError, EstimationError
from eocausal.evaluate.calibration import calibration
from eocausal.evaluate.calibration_result import Calibration
from eocausal.evaluate.effect_groups import groups
from eocausal.evaluate.effect_groups_result import EffectGroups
from eocausal.evaluate.rate import rate
from eocausal.evaluate.rate_result import Rate
from eocausal.inference.estimate import Estimate
from eocausal.inference.trim import Trim
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners
from eocausal.specs._rules import CATE_OPTIONS
from eocausal.specs.load import LoadedSpec, spec_error

if TYPE_CHECKING:
    from eocausal.effects.effect_learners import EffectLearner
    from eocausal.embeddings import Embeddings
    from eocausal.specs.effects import AteSpec, CateSpec
    from eocausal.specs.models import AnalysisSpec
    from eocausal.units import Units


def asked_design(spec: AnalysisSpec, units: Units, features: Embeddings) -> Design:
    """Return the design that a specification describes, on units and features that were read."""
    asked = spec.design
    return Design(
        units,
        outcome=asked.outcome,
        treatment=asked.treatment,
        features=features,
        covariates=asked.covariates,
        cluster=asked.cluster,
        weights=asked.weights,
        propensity=asked.propensity,
        missing=asked.missing,
        min_valid=asked.min_valid,
    )


def asked_average(one: AteSpec, spec: AnalysisSpec, design: Design) -> Estimate:
    """Return one of the average effects that a specification asks for."""
    found: Estimate = ate(design, **_options(one, spec))
    return found


def asked_corrected(spec: AnalysisSpec, design: Design, corrector: Corrector | None) -> Corrected | None:
    """Return the first average effect as it is and corrected, where the outcome is a prediction."""
    if corrector is None:
        return None
    found: Corrected = ate(design, correct=corrector, **_options(spec.effects.ate[0], spec))
    return found


def _options(one: AteSpec, spec: AnalysisSpec) -> dict[str, Any]:
    return {
        "method": one.method,
        "estimand": one.estimand,
        "trim": _trim(one),
        "folds": replace(asked_folds(spec), repeats=one.repeats),
        "learners": asked_learners(spec),
        "vcov": None if spec.effects.vcov is None else spec.effects.vcov.choice,
        "seed": spec.seed,
    }


def asked_corrector(
    spec: AnalysisSpec, read: Callable[[str], Corrector] = Corrector.from_json
) -> Corrector | None:
    """Return how the outcome is corrected: learned from places where it was measured, or ``read`` from a file."""
    asked = spec.debias
    if asked is None:
        return None
    if asked.calibration is None:
        return read(str(asked.corrector))
    keys = [one for one in (asked.id, asked.cluster) if one is not None]
    table = read_table(asked.calibration, key_columns=keys, error=DebiasError)
    if asked.id is not None:
        require_columns(table, [asked.id], table="calibration", error=DebiasError)
        table = table.set_index(asked.id)
    return debias(table, **asked.model_dump(exclude={"corrector", "calibration", "id"}))


def _trim(one: AteSpec) -> Trim | None:
    return None if one.trim is None else Trim(one.trim.rule, low=one.trim.low, high=one.trim.high)


def asked_learners(spec: AnalysisSpec) -> Learners | None:
    """Return what shall predict; None for the default of each method."""
    asked = spec.effects.learners
    return None if asked is None else Learners(**asked.model_dump())


def check_estimates(loaded: LoadedSpec) -> None:
    """Raise where a method cannot answer what is asked of it, before anything is read."""
    mistakes: list[tuple[tuple[str | int, ...], str]] = []
    for position, one in enumerate(loaded.spec.effects.ate):
        row = METHODS[one.method]
        try:
            asked = Asked(one.estimand or row.estimands[0], _trim(one))
            require_answerable(one.method, row, asked, METHODS)
        except EstimationError as error:
            mistakes.append((("effects", "ate", position), " ".join(str(error).split())))
        if one.repeats > 1 and row.still is no_predictions:
            text = (
                f"{one.method} makes no out-of-fold predictions, so there is nothing to repeat. Leave it out"
            )
            mistakes.append((("effects", "ate", position, "repeats"), text))
    if loaded.spec.debias is not None and loaded.spec.effects.ate[0].method == "horvitz_thompson":
        text = (
            "horvitz_thompson depends on where the outcome is zero, and is not corrected. Put another first"
        )
        mistakes.append((("effects", "ate", 0), text))
    if mistakes:
        raise spec_error(loaded.path, loaded.document, mistakes=mistakes)


def asked_folds(spec: AnalysisSpec) -> Folds:
    """Return the folds that are asked for."""
    asked = spec.effects.folds
    return Folds() if asked is None else Folds(kind=asked.kind, k=asked.k, block_m=asked.block_m)


def asked_learner(asked: CateSpec) -> EffectLearner:
    """Return the settings of what shall learn effects."""
    return LEARNERS[asked.learner](**asked.model_dump(include=set(CATE_OPTIONS[asked.learner])))


def asked_cate(spec: AnalysisSpec, design: Design, folds: Folds, progress: bool) -> Cate | None:
    """Return effects by unit, where they are asked for."""
    asked = spec.effects.cate
    if asked is None:
        return None
    learner = asked_learner(asked)
    return cate(
        design, learner=learner, folds=folds, learners=asked_learners(spec), seed=spec.seed, progress=progress
    )


def asked_judgements(spec: AnalysisSpec, found: Cate) -> dict[str, Calibration | EffectGroups]:
    """Return what else is asked of effects by unit, by the name it has in the specification."""
    asked = spec.effects
    judged: dict[str, Calibration | EffectGroups] = {}
    if asked.calibration:
        judged["calibration"] = calibration(found)
    if asked.groups is not None:
        judged["groups"] = groups(found, k=asked.groups.k)
    return judged


def asked_rates(spec: AnalysisSpec, found: Cate) -> dict[str, Rate]:
    """Return the test of the ranking by effect by the targets that are asked for, each with that target in front.

    All are one result: the first target is the one declared beforehand.
    """
    targets = spec.effects.rate
    if not targets:
        return {}
    made = rate(found, target=targets[0], seed=spec.seed)
    return {target: made.of(target) for target in targets}
