"""`scale_search`: do pictures of two sizes find who gains better than those of one, once the search is paid for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal.effects.known_learners import known_learner
from eocausal.effects.methods import ignorability
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.rate_influence import rate_influence
from eocausal.evaluate.scale_result import ScaleSearch
from eocausal.evaluate.scale_sets import CONTROL, NOISE, PAIR, SINGLE, ScaleSet, second_views, sets_of
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
from eocausal.evaluate.sources import Sources, given_columns, read_sources
from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc
from eocausal.inference.assemble import assemble
from eocausal.inference.repeats import median_over
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.variance import sum_within
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectLearner
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.folds import Folds
    from eocausal.nuisance.learners import Learners
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

FEWEST_FOLDS = 3
SEQUENTIAL = "rates are averages over models trained on growing shares of the folds"
GAIN, CONTROL_GAIN = "gain", "control gain"


def scale_search(
    design: Design,
    scales: Mapping[str, Embeddings],
    *,
    pairs: bool | Sequence[Sequence[str]] = True,
    control: bool | Mapping[str, Embeddings] = True,
    target: str = "AUTOC",
    learner: str | EffectLearner | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
    progress: bool = False,
) -> ScaleSearch:
    """Search sizes of pictures, alone and in pairs, for the one that finds who gains, and pay for the search.

    The gain of two scales over one is the largest ratio of RATE to its standard error over pairs, less the largest
    over single scales. Taken where it is searched, it is above zero by the search alone: of six scales that rank
    nobody, were they independent, 0.6. Beside it stands a gain whose scales were chosen beforehand: each fold is
    judged with the pair and the single scale that did best in earlier folds.

    Parameters
    ----------
    design : Design
        What outcome and treatment are adjusted for; nuisances see these columns and are shared by all sets. Effects
        are told apart by the scales alone.
    scales : dict of str to Embeddings
        At least two. A scale joined with itself says what the scale says and is in every search.
    pairs : True or list of pairs of names
    control : bool or dict of str to Embeddings
        A control arm that joins two views of one scale, which shows what more columns do that hold nothing new.
        A dict gives a second view of scales by name, such as features of displaced chips. ``True`` makes copies with
        noise of half the spread of each feature, as many as there are pairs, which takes about as long as the pairs.
    target : {"AUTOC", "QINI"}
        Choose before looking.
    learner : optional
        As in :func:`eocausal.cate`. Default ``Forest(engine="fast", trees=200)``.
    folds : Folds, optional
        Default five. The first only trains, the second only chooses. With ``Folds(repeats=10)`` units are dealt anew
        ten times, results are medians, and :attr:`ScaleSearch.splits` shows how much the dealing matters.
    learners : Learners, optional
        Of the nuisances.
    seed : int
    progress : bool
        Show a progress bar.

    Returns
    -------
    ScaleSearch

    Raises
    ------
    EvaluationError
        Fewer than two scales or three folds, pairs or second views of what is no scale, units without an image.

    Notes
    -----
    The search: Zhu, Jerzak and Daoud (2025), PMLR 275. That each fold is judged by what was learned and chosen before
    it makes folds a martingale: Luedtke and van der Laan (2016), Annals of Statistics 44. Averages over folds weigh
    them by their units. The page ``docs/comparing_features.md`` has more.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"place": np.arange(300), "grant": np.tile([0, 1], 150)}).set_index("place", drop=False)
    >>> near, far = rng.normal(size=(2, 300, 2))
    >>> table["income"] = table["grant"] * (near[:, 0] + far[:, 0]) + rng.normal(size=300)
    >>> table.index.name = "id"
    >>> scales = {
    ...     name: ec.read_embeddings(pd.DataFrame({"place": table["place"], "f0": f[:, 0], "f1": f[:, 1]}), key="place")
    ...     for name, f in {"near": near, "far": far}.items()
    ... }
    >>> design = ec.Design(table, outcome="income", treatment="grant", propensity=0.5)
    >>> found = ec.scale_search(design, scales, learner=ec.Forest(engine="fast", trees=40), control=False)
    >>> found.to_frame()["set"].tolist()
    ['near', 'far', 'near + far']
    """
    one_of(target, TARGETS, argument="target", error=EvaluationError)
    asked = _asked(scales, pairs, control, seed=seed)
    chosen = known_learner(_default_learner() if learner is None else learner)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed, repeatable=True)
    if settings.folds.k < FEWEST_FOLDS:
        raise EvaluationError(
            explain(
                f"Folds(k={settings.folds.k}).",
                rule="at least 3 folds: one to train on, one to choose in, one to judge in",
                fix="Folds(k=5)",
            )
        )
    read = read_sources(design, asked.sources)
    seeds = [settings.seed + repeat for repeat in range(settings.folds.repeats)]
    found = [_one_split(read, asked, chosen, replace(settings, seed=one), target, progress) for one in seeds]
    kinds = np.array([one.kind for one in asked.sets])
    return ScaleSearch(
        rates=_over([one.rates for one in found], seeds),
        gain=_over([one.gain for one in found], seeds),
        sets=_sets_frame(asked, read),
        splits=pd.DataFrame([{"seed": own, **one.row} for own, one in zip(seeds, found)]),
        target=target,
        ratios=np.array([one.ratios for one in found]),
        searched=int((kinds != CONTROL).sum()) + int((kinds == SINGLE).sum()),
    )


def _default_learner() -> EffectLearner:
    from eocausal.effects.forest import Forest

    return Forest(engine="fast", trees=200)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is searched: sources by name, and sets of them."""

    sources: dict[str, Any]
    sets: list[ScaleSet]
    made_up: bool

    def places(self, kind: str) -> npt.NDArray[np.intp]:
        return np.array([number for number, one in enumerate(self.sets) if one.kind == kind], dtype=np.intp)


def _asked(
    scales: Mapping[str, Embeddings],
    pairs: bool | Sequence[Sequence[str]],
    control: bool | Mapping[str, Embeddings],
    *,
    seed: int,
) -> _Asked:
    if not isinstance(scales, Mapping) or len(scales) < 2:
        raise EvaluationError(
            explain(
                "A search of scales needs at least two, by name.",
                fix='{"480 m": ec.embed(near), "7.7 km": ec.embed(far)}',
            )
        )
    wrong = [name for name, one in scales.items() if not isinstance(one, Embeddings)]
    if wrong:
        raise EvaluationError(
            explain(
                "Scales are features by name.", where=wrong, fix="ec.read_embeddings(table, key='image_key')"
            )
        )
    plain = sets_of(list(scales), pairs=pairs, views={})
    n_pairs = sum(one.kind == PAIR for one in plain)
    views, of = second_views(scales, control, n_pairs=n_pairs, seed=seed)
    sets = sets_of(list(scales), pairs=pairs, views=of)
    return _Asked({**scales, **views}, sets, control is True)


class _Split(NamedTuple):
    """What one way of dealing the folds yields."""

    rates: Estimate
    gain: Estimate
    ratios: FloatArray
    row: dict[str, Any]


def _one_split(
    read: Sources, asked: _Asked, learner: EffectLearner, settings: Settings, target: str, progress: bool
) -> _Split:
    base = read.base
    fold_of = settings.folds.assign(base, seed=settings.seed)
    priorities = sequential_effects(
        read.designs, {one.name: one.sources for one in asked.sets}, shared_samples(base, settings), learner, fold_of,
        seed=settings.seed, progress=progress,
    )  # fmt: skip
    judged = Judged(
        base, doubly_robust_scores(base, replace(settings, folds=replace(settings.folds, repeats=1))), fold_of
    )
    rates, influence = _fold_rates(judged, priorities, target)
    ratios = rates.ratios()
    singles, pairs, control = (asked.places(kind) for kind in (SINGLE, PAIR, CONTROL))
    n_groups = int(np.unique(base.groups[fold_of > 0]).size)
    df = float(n_groups - len(rates.values))
    found = best(ratios, singles, pairs)
    naive = naive_gain(ratios, singles, pairs)
    expected, share = gain_by_chance(
        rates.average()[1], singles, pairs, found=naive, df=df, seed=settings.seed
    )
    gains = {GAIN: _chosen(rates, singles, pairs)}
    names = [one.name for one in asked.sets]
    row: dict[str, Any] = {
        "best_single": names[found.single], "best_pair": names[found.pair], "naive_gain": naive,
        "gain_by_chance": expected, "p_by_chance": share, "gain": gains[GAIN].gain, "std_error": gains[GAIN].std_error,
    }  # fmt: skip
    if control.size:
        gains[CONTROL_GAIN] = _chosen(rates, singles, control)
        row |= {
            "control_naive_gain": naive_gain(ratios, singles, control),
            "control_gain": gains[CONTROL_GAIN].gain,
            "control_std_error": gains[CONTROL_GAIN].std_error,
        }
    return _Split(
        _rates_estimate(
            judged, rates, influence, names, target, _notes(asked, judged, settings, learner, read)
        ),
        _gain_estimate(
            judged, rates, influence, gains, target, _notes(asked, judged, settings, learner, read)
        ),
        ratios,
        row,
    )


def _chosen(rates: FoldRates, singles: npt.NDArray[np.intp], pairs: npt.NDArray[np.intp]) -> ChosenGain:
    return chosen_gain(rates, choices_beforehand(rates, singles, pairs))


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
        moved = np.column_stack(
            [rate_influence(one, part.dr_scores, part.weights)[:, column] for one in rankings]
        )
        codes = np.unique(part.groups, return_inverse=True)[1]
        n_groups = int(codes.max()) + 1
        sums = sum_within(moved, codes)
        covariances.append(sums.T @ sums * n_groups / max(n_groups - 1, 1) / part.ids.size**2)
        weights.append(part.weights.sum())
        influence.append(moved)
    shares = np.array(weights) / np.sum(weights)
    return FoldRates(np.array(values), np.array(covariances), shares), influence


def _notes(
    asked: _Asked, judged: Judged, settings: Settings, learner: EffectLearner, read: Sources
) -> dict[str, Any]:
    """Return what stands with both estimates: assumptions, warnings, diagnostics, provenance."""
    known = judged.design.table.propensity is not None
    copies = (
        [f"the control arm joins scales with copies that hold noise of {NOISE:g} standard deviations: it shows what "
         "more columns do, not what another picture of the same size would"]
        if asked.made_up and asked.places(CONTROL).size
        else []
    )  # fmt: skip
    return {
        "method": "sequential folds",
        "assumptions": (ignorability(judged.design, known, settings.learners), SEQUENTIAL),
        "warnings": [*read.notes, *judged.scores.warnings, *copies],
        "diagnostics": {
            **learner.describe(), **given_columns(judged.design), "scales": int(asked.places(SINGLE).size),
            "pairs": int(asked.places(PAIR).size), "folds": settings.folds.k,
        },
        "provenance": {**provenance(judged.design, settings), "sources": read.fingerprints()},
    }  # fmt: skip


def _rates_estimate(
    judged: Judged,
    rates: FoldRates,
    influence: list[FloatArray],
    names: list[str],
    target: str,
    notes: dict[str, Any],
) -> Estimate:
    scored = np.zeros((judged.fold_of.size, len(names)))
    for fold, (share, own) in enumerate(zip(rates.shares, influence), start=1):
        rows = judged.fold_of == fold
        scored[rows] = own * share * (judged.fold_of.size / rows.sum())
    return _assembled(judged, rates.average()[0], scored, estimand=target, terms=tuple(names), **notes)


def _gain_estimate(
    judged: Judged,
    rates: FoldRates,
    influence: list[FloatArray],
    gains: Mapping[str, ChosenGain],
    target: str,
    notes: dict[str, Any],
) -> Estimate:
    scored = np.zeros((judged.fold_of.size, len(gains)))
    for fold, own in enumerate(influence, start=1):
        rows = judged.fold_of == fold
        weights = np.column_stack([one.weights[fold - 1] for one in gains.values()])
        scored[rows] = own @ weights * (judged.fold_of.size / rows.sum())
    values = np.array([one.gain for one in gains.values()])
    estimand = f"gain in {target} ratio, chosen beforehand"
    return _assembled(judged, values, scored, estimand=estimand, terms=tuple(gains), **notes)


def _assembled(judged: Judged, values: FloatArray, scores: FloatArray, **named: Any) -> Estimate:
    """Return estimates on all units; those of the first fold, which only trains, have no influence."""
    groups = judged.design.groups
    tied = int(groups.max()) + 1 < groups.size
    labels = pd.Series(groups, index=judged.design.table.ids, name="groups")
    scored = [ScoredEstimate(float(value), own, 1) for value, own in zip(values, scores.T)]
    return assemble(judged.design, scored, vcov={"cluster": labels} if tied else "iid", **named)


def _over(results: list[Estimate], seeds: list[int]) -> Estimate:
    return results[0] if len(results) == 1 else median_over(results, seeds)


def _sets_frame(asked: _Asked, read: Sources) -> pd.DataFrame:
    width = {name: int(one.table.features.shape[1]) for name, one in read.designs.items()}
    return pd.DataFrame(
        [
            {
                "set": one.name, "kind": one.kind, "first": one.sources[0], "second": one.sources[-1],
                "features": sum(width[name] for name in one.sources),
            }
            for one in asked.sets
        ]
    )  # fmt: skip
