"""`scale_search`: do two sizes of pictures find who gains better than one, once the search is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eocausal._checks import one_of
from eocausal.effects.known_learners import known_learner
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.scale_result import ScaleSearch
from eocausal.evaluate.scale_sets import CONTROL, PAIR, SINGLE, second_views, sets_of
from eocausal.evaluate.scale_split import Search, one_split
from eocausal.evaluate.sources import Sources, read_sources
from eocausal.evaluate.toc import TARGETS
from eocausal.inference.repeats import median_over
from eocausal.nuisance.settings import settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectLearner
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.folds import Folds
    from eocausal.nuisance.learners import Learners

FEWEST_FOLDS = 3


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
        A dict gives a second view of scales by name, such as features of displaced chips. ``True`` makes copies
        with noise of half the spread of each feature, as many as there are pairs, and takes as long as they do.
    target : {"AUTOC", "QINI"}
        Choose before looking.
    learner : optional
        As in :func:`eocausal.cate`. Default ``Forest(engine="fast", trees=200)``.
    folds : Folds, optional
        Default five. The first only trains, the second only chooses. With ``Folds(repeats=10)`` units are
        dealt anew ten times, results are medians, and ``result.splits`` shows how much that matters.
    learners : Learners, optional
        Of the nuisances.
    seed : int

    Returns
    -------
    ScaleSearch

    Raises
    ------
    EvaluationError
        Fewer than two scales or three folds, pairs or second views of what is no scale, units without an image.

    Notes
    -----
    The search: Zhu, Jerzak and Daoud (2025), PMLR 275. That each fold is judged by what was learned and chosen
    before it makes folds a martingale: Luedtke and van der Laan (2016), Annals of Statistics 44. Averages over
    folds weigh them by their units. The page ``docs/comparing_features.md`` has more.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> near, far = rng.normal(size=(2, 300))
    >>> table = pd.DataFrame({"place": np.arange(300), "grant": np.tile([0, 1], 150)})
    >>> table["income"] = table["grant"] * (near + far) + rng.normal(size=300)
    >>> scales = {
    ...     name: ec.read_embeddings(pd.DataFrame({"place": table["place"], "f0": seen}), key="place")
    ...     for name, seen in {"near": near, "far": far}.items()
    ... }
    >>> design = ec.Design(table, outcome="income", treatment="grant", propensity=0.5)
    >>> found = ec.scale_search(design, scales, learner=ec.Forest(engine="fast", trees=40), control=False)
    >>> found.to_frame()["set"].tolist()
    ['near', 'far', 'near + far']
    """
    one_of(target, TARGETS, argument="target", error=EvaluationError)
    chosen = known_learner(_default_learner() if learner is None else learner)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed, repeatable=True)
    asked = _asked(scales, pairs, control, seed=settings.seed)
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
    found = [one_split(read, asked, chosen, replace(settings, seed=one), target) for one in seeds]
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


def _asked(
    scales: Mapping[str, Embeddings],
    pairs: bool | Sequence[Sequence[str]],
    control: bool | Mapping[str, Embeddings],
    *,
    seed: int,
) -> Search:
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
    names = pd.Index([one.name for one in sets])
    if names.has_duplicates:
        raise EvaluationError(
            explain(
                "A scale has the name of two scales side by side.",
                where=names[names.duplicated()],
                fix="names without ' + '",
            )
        )
    return Search({**scales, **views}, sets, control is True)


def _over(results: list[Estimate], seeds: list[int]) -> Estimate:
    return results[0] if len(results) == 1 else median_over(results, seeds)


def _sets_frame(asked: Search, read: Sources) -> pd.DataFrame:
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
