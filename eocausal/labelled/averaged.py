"""What is averaged: outcomes by arm, or doubly robust scores of each arm, of truths and of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.effects.methods import RANDOMISED, ignorability
from eocausal.effects.restated import restated
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import DebiasError, explain
from eocausal.labelled.powered import Block
from eocausal.nuisance.cross_fit import outcomes_out_of_fold
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.labelled.asked import Aipw
    from eocausal.labelled.labels import Labelled
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

_SIGNS = (("treated", 1.0, 1), ("control", -1.0, 0))


@dataclass(frozen=True, eq=False)
class Averaged:
    """The means that an estimand is made of, and what a reader must know of them."""

    blocks: list[Block]
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None


def plain(study: Labelled, estimand: str) -> Averaged:
    """Return the outcomes of both arms, or of all units for a mean."""
    truth, prediction = study.truth, study.prediction
    if estimand == "mean":
        every = np.ones(truth.size, dtype=bool)
        return Averaged([Block("all", 1.0, every, every, truth, prediction)])
    treatment = study.design.table.treatment
    arms = [(name, sign, treatment == arm) for name, sign, arm in _SIGNS]
    blocks = [Block(name, sign, rows, rows, truth, prediction) for name, sign, rows in arms]
    return Averaged(blocks, (RANDOMISED,))


def doubly_robust(study: Labelled, asked: Aipw) -> Averaged:
    """Return doubly robust scores of each arm, with predictions of truths learned from labelled units alone.

    Predictions of predictions are learned from all units, and so is the propensity. All are out of fold.
    """
    design, labelled = study.design, study.labelled
    settings = settings_for(design, folds=asked.folds, learners=asked.learners, seed=asked.seed)
    _require_arms(study)
    made = doubly_robust_scores(design, settings)
    nuisance = made.nuisance
    control, treated = _of_labelled(study, settings, nuisance.folds)
    every = np.ones(labelled.size, dtype=bool)
    blocks = []
    for name, sign, arm in _SIGNS:
        share = nuisance.propensity if arm else 1 - nuisance.propensity
        members = design.table.treatment == arm
        weight = members / share
        expected = nuisance.outcome_treated if arm else nuisance.outcome_control
        own = treated if arm else control
        truth = np.full(labelled.size, np.nan)
        truth[labelled] = own + weight[labelled] * (study.truth[labelled] - own)
        prediction = expected + weight * (study.prediction - expected)
        blocks.append(Block(name, sign, every, members, truth, prediction))
    return Averaged(
        blocks,
        (ignorability(design, nuisance.known_propensity, settings.learners),),
        made.warnings,
        dict(made.diagnostics),
        provenance(design, settings),
    )


def _of_labelled(
    study: Labelled, settings: Settings, folds: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """Return truths of labelled units as labelled units of other folds predict them, by arm."""
    rows = study.labelled
    known = restated(study.design.take(rows), outcome=study.truth[rows])
    # folds that hold no label are skipped: what is left is counted from 0
    own = np.unique(folds[rows], return_inverse=True)[1].astype(np.intp)
    _require_outside(known.table.treatment, own)
    groups = np.unique(settings.folds.groups(study.design)[rows], return_inverse=True)[1].astype(np.intp)
    return outcomes_out_of_fold(known, own, settings.learners, seed=settings.seed, groups=groups)


def _require_outside(treatment: FloatArray, folds: npt.NDArray[np.intp]) -> None:
    """Raise where labels of other folds, treatment and folds both of labelled units, teach nothing of an arm."""
    for fold in np.unique(folds):
        counts = {name: int(((treatment == arm) & (folds != fold)).sum()) for name, _, arm in _SIGNS}
        few = [name for name, count in counts.items() if count < 2]
        if few:
            told = " and ".join(f"{counts[name]} {name}" for name in few)
            raise DebiasError(
                explain(
                    f"adjust='aipw' learns outcomes from labels of other folds, and one fold is left with {told}.",
                    rule="at least 2 labelled units of each arm outside of each fold",
                    fix="adjust='difference', ec.Aipw(folds=ec.Folds(k=2)), or labels of more units and clusters",
                )
            )


def _require_arms(study: Labelled) -> None:
    treatment = study.design.table.treatment
    for name, _, arm in _SIGNS:
        count = int((study.labelled & (treatment == arm)).sum())
        if count < 2:
            of = int((treatment == arm).sum())
            text = f"Labels are missing for an arm: {name} has {count} labelled of {of} units."
            fix = "measure outcomes in every arm"
            raise DebiasError(explain(text, rule="at least 2 labelled units in each arm", fix=fix))
