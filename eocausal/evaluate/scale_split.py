"""A search of scales on one way of dealing the folds: rates of all sets, the gain of those chosen beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.effects.methods import ignorability
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.half_sample import FEW_GROUPS
from eocausal.evaluate.rate_influence import rate_influence
from eocausal.evaluate.scale_sets import CONTROL, NOISE, PAIR, SINGLE, ScaleSet
from eocausal.evaluate.selection import (
    ChosenGain,
    FoldRates,
    best,
    choices_beforehand,
    chosen_gain,
    gain_by_chance,
    naive_gain,
)
from eocausal.evaluate.source_effects import Judged, sequential_effects, shared_samples
from eocausal.evaluate.sources import Sources, given_columns
from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.variance import sum_within
from eocausal.nuisance.settings import provenance

if TYPE_CHECKING:
    from eocausal.effects.effect_learners import EffectLearner, EffectSample
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

SEQUENTIAL = "rates are averages over models trained on growing shares of the folds"
MADE_UP = (
    f"the control arm joins scales with copies that hold noise of {NOISE:g} standard deviations: it shows what "
    "more columns do, not what another picture of the same size would"
)
GAIN, CONTROL_GAIN = "gain", "control gain"


@dataclass(frozen=True, eq=False)
class Search:
    """What is searched: sources by name, and sets of them."""

    sources: dict[str, Any]
    sets: list[ScaleSet]
    made_up: bool

    def places(self, kind: str) -> npt.NDArray[np.intp]:
        """Return where sets of one kind stand."""
        return np.array([number for number, one in enumerate(self.sets) if one.kind == kind], dtype=np.intp)


class Split(NamedTuple):
    """What one way of dealing the folds yields."""

    rates: Estimate
    gain: Estimate
    ratios: FloatArray
    row: dict[str, Any]


def one_split(read: Sources, asked: Search, learner: EffectLearner, settings: Settings, target: str) -> Split:
    """Learn from each set, judge all on the same folds, and choose in earlier folds what later ones judge."""
    base = read.base
    once = replace(settings, folds=replace(settings.folds, repeats=1))
    fold_of = once.folds.assign(base, seed=settings.seed)
    sets = {one.name: one.sources for one in asked.sets}
    samples = shared_samples(base, once)
    priorities = sequential_effects(read.designs, sets, samples, learner, fold_of, seed=settings.seed)
    judged = Judged(base, doubly_robust_scores(base, once), fold_of)
    rates, influence = _fold_rates(judged, priorities, target)
    singles, pairs, control = (asked.places(kind) for kind in (SINGLE, PAIR, CONTROL))
    before = _rates_before(judged, samples, priorities, target)
    arms = {GAIN: pairs, CONTROL_GAIN: control} if control.size else {GAIN: pairs}
    gains = {
        name: chosen_gain(rates, choices_beforehand(before, singles, places)) for name, places in arms.items()
    }
    notes = _notes(asked, judged, once, learner, read)
    return Split(
        _rates_estimate(judged, rates, influence, estimand=target, terms=tuple(sets), **notes),
        _gain_estimate(
            judged, influence, gains, estimand=f"gain in {target} ratio, chosen beforehand", **notes
        ),
        rates.ratios(),
        _row(asked, judged, rates, gains, seed=settings.seed),
    )


def _row(
    asked: Search, judged: Judged, rates: FoldRates, gains: Mapping[str, ChosenGain], *, seed: int
) -> dict[str, Any]:
    """Return what the search found and gained, as a row of the table of splits."""
    ratios, names = rates.ratios(), [one.name for one in asked.sets]
    singles, pairs, control = (asked.places(kind) for kind in (SINGLE, PAIR, CONTROL))
    found, naive = best(ratios, singles, pairs), naive_gain(ratios, singles, pairs)
    n_groups = int(np.unique(judged.design.groups[judged.fold_of > 0]).size)
    df = float(n_groups - len(rates.values))
    expected, share = gain_by_chance(rates.average()[1], singles, pairs, found=naive, df=df, seed=seed)
    row = {
        "best_single": names[found.single], "best_pair": names[found.pair], "naive_gain": naive,
        "gain_by_chance": expected, "p_by_chance": share, "gain": gains[GAIN].gain,
        "std_error": gains[GAIN].std_error,
    }  # fmt: skip
    if CONTROL_GAIN not in gains:
        return row
    own = gains[CONTROL_GAIN]
    return {
        **row, "control_naive_gain": naive_gain(ratios, singles, control), "control_gain": own.gain,
        "control_std_error": own.std_error,
    }  # fmt: skip


def _rates_before(
    judged: Judged,
    samples: Callable[[Rows], EffectSample],
    priorities: Mapping[str, FloatArray],
    target: str,
) -> list[FoldRates]:
    """Return for each fold that is judged with chosen sets the rates of the folds before it.

    Their scores have nuisances of these folds alone: those of all folds know outcomes of the fold that is judged.
    """
    found = []
    for fold in range(2, int(judged.fold_of.max()) + 1):
        rows = judged.fold_of < fold
        seen = samples(rows)
        design = judged.design.take(rows)
        # a sample is in the order of its ids
        own = pd.Index(seen.design.table.ids).get_indexer(pd.Index(design.table.ids))
        known = Judged(design, replace(judged.scores, scores=seen.dr_scores[own]), judged.fold_of[rows])
        found.append(_fold_rates(known, {name: one[rows] for name, one in priorities.items()}, target)[0])
    return found


def _fold_rates(
    judged: Judged, priorities: Mapping[str, FloatArray], target: str
) -> tuple[FoldRates, list[FloatArray]]:
    """Return rates of all sets in each fold, and their influence values (n, m) by fold."""
    column = TARGETS.index(target)
    values, covariances, weights, influence = [], [], [], []
    for part in judged.parts(priorities):
        rankings = [rank(one, ids=part.ids) for one in part.priorities.values()]
        values.append(
            [
                rates_and_toc(one, part.dr_scores, part.weights, grid=DEFAULT_GRID)[0][column]
                for one in rankings
            ]
        )
        codes = np.unique(part.groups, return_inverse=True)[1]
        n_groups = int(codes.max()) + 1
        moved = np.column_stack(
            [
                rate_influence(one, part.dr_scores, part.weights, clusters=n_groups)[:, column]
                for one in rankings
            ]
        )
        sums = sum_within(moved, codes)
        covariances.append(sums.T @ sums * n_groups / max(n_groups - 1, 1) / part.ids.size**2)
        weights.append(part.weights.sum())
        influence.append(moved)
    shares = np.array(weights) / np.sum(weights)
    return FoldRates(np.array(values), np.array(covariances), shares), influence


def _notes(
    asked: Search, judged: Judged, settings: Settings, learner: EffectLearner, read: Sources
) -> dict[str, Any]:
    """Return what stands with both estimates: assumptions, warnings, diagnostics, provenance."""
    known = judged.design.table.propensity is not None
    few = _few_groups(judged)
    copies = [MADE_UP] if asked.made_up and asked.places(CONTROL).size else []
    return {
        "method": "sequential folds",
        "assumptions": (ignorability(judged.design, known, settings.learners), SEQUENTIAL),
        "warnings": [*read.notes, *judged.scores.warnings, *few, *copies],
        "diagnostics": {
            **learner.describe(), **given_columns(judged.design), "scales": int(asked.places(SINGLE).size),
            "pairs": int(asked.places(PAIR).size), "folds": settings.folds.k,
        },
        "provenance": {**provenance(judged.design, settings), "sources": read.fingerprints()},
    }  # fmt: skip


def _few_groups(judged: Judged) -> list[str]:
    """Return a warning where folds hold few clusters; raise where one holds a single one."""
    groups, fold_of = judged.design.groups, judged.fold_of
    least = min(np.unique(groups[fold_of == fold]).size for fold in range(1, int(fold_of.max()) + 1))
    if least < 2:
        raise EvaluationError(
            explain(
                "All units of a fold share a cluster or an image.",
                rule="at least two clusters in a fold, better 20 or more",
                fix="fewer folds",
            )
        )
    if least >= FEW_GROUPS:
        return []
    return [f"as few as {least} clusters in a fold: standard errors are rough below {FEW_GROUPS}"]


def _rates_estimate(judged: Judged, rates: FoldRates, influence: list[FloatArray], **named: Any) -> Estimate:
    """Return the rates of all sets, averages over the folds that were judged."""
    scored = np.zeros((judged.fold_of.size, rates.values.shape[1]))
    for fold, (share, own) in enumerate(zip(rates.shares, influence), start=1):
        rows = judged.fold_of == fold
        scored[rows] = own * share * (judged.fold_of.size / rows.sum())
    return _assembled(judged, rates.average()[0], scored, **named)


def _gain_estimate(
    judged: Judged, influence: list[FloatArray], gains: Mapping[str, ChosenGain], **named: Any
) -> Estimate:
    """Return the gains of sets that were chosen beforehand."""
    scored = np.zeros((judged.fold_of.size, len(gains)))
    for fold, own in enumerate(influence, start=1):
        rows = judged.fold_of == fold
        weights = np.column_stack([one.weights[fold - 1] for one in gains.values()])
        scored[rows] = own @ weights * (judged.fold_of.size / rows.sum())
    values = np.array([one.gain for one in gains.values()])
    return _assembled(judged, values, scored, terms=tuple(gains), **named)


def _assembled(judged: Judged, values: FloatArray, scores: FloatArray, **named: Any) -> Estimate:
    """Return estimates on all units; those of the first fold, which only trains, have no influence."""
    groups = judged.design.groups
    tied = int(groups.max()) + 1 < groups.size
    labels = pd.Series(groups, index=judged.design.table.ids, name="groups")
    scored = [ScoredEstimate(float(value), own, 1) for value, own in zip(values, scores.T)]
    return assemble(judged.design, scored, vcov={"cluster": labels} if tied else "iid", **named)
