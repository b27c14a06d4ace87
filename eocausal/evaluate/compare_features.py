"""`compare_features`: which source of columns finds who gains, on the same folds and the same nuisances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal.effects.known_learners import known_learner
from eocausal.effects.methods import ignorability
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import EvaluationError
from eocausal.evaluate.compare_result import SourceComparison
from eocausal.evaluate.half_sample import aggregate
from eocausal.evaluate.rate_settings import RateSettings
from eocausal.evaluate.rate_splits import median_of_splits
from eocausal.evaluate.source_effects import Judged, effects_by_source, shared_samples
from eocausal.evaluate.sources import Sources, given_columns, read_sources
from eocausal.evaluate.toc import TARGETS
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectLearner, OutOfFoldEffects
    from eocausal.evaluate.rate_result import Rate
    from eocausal.evaluate.sources import Source
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.folds import Folds
    from eocausal.nuisance.learners import Learners
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

GROWING = "rates are averages over models trained on growing shares of the folds"


def compare_features(
    design: Design,
    sources: Mapping[str, Source],
    *,
    reference: str | None = None,
    target: str = "AUTOC",
    learner: str | EffectLearner | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SourceComparison:
    """Compare sources of columns by how well effects learned from each rank those who gain.

    Folds, nuisances and doubly robust scores are made once, from the columns of the design, and shared: sources
    differ in nothing but the columns that effects are told apart by. The effects of each are judged by RATE on
    folds that its models did not see, all sources together, so that differences have paired standard errors.

    Parameters
    ----------
    design : Design
        What outcome and treatment are adjusted for. In a trial with a known propensity these columns make the
        comparison more precise and no more.
    sources : dict of str to source
        A source is an :class:`Embeddings`; ``None`` or ``"covariates"`` for the covariates of the design; the name
        of another source; or a list of these, put side by side.
    reference : str, optional
        The source that others are compared with. Default the first.
    target : {"AUTOC", "QINI"}
        What is judged by; choose before looking. Both are in the table.
    learner : optional
        As in :func:`eocausal.cate`. Default ``Forest(engine="fast")``.
    folds : Folds, optional
        Default five. With ``Folds(repeats=10)`` units are dealt anew ten times, results are medians, and
        :attr:`SourceComparison.splits` shows how much the dealing matters.
    learners : Learners, optional
        Of the nuisances.
    seed : int
    progress : bool
        Show a progress bar for each source.

    Returns
    -------
    SourceComparison

    Raises
    ------
    EvaluationError
        No sources, names that cannot be used, what is no source, units without an image in a source (unless the
        design leaves such units out), or images that tie units which the design holds to be independent.

    Notes
    -----
    RATE: Yadlowsky et al. (2025), JASA 120. Priorities come from models of earlier folds alone, as in
    :func:`eocausal.rate`. Simultaneous intervals: the largest of all t statistics, drawn with their joint
    covariance. The page ``docs/comparing_features.md`` has more.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"place": np.arange(300), "grant": np.tile([0, 1], 150), "age": rng.normal(size=300)})
    >>> seen = rng.normal(size=300)
    >>> table["income"] = table["grant"] * 2 * seen + rng.normal(size=300)
    >>> image = ec.read_embeddings(pd.DataFrame({"place": table["place"], "f0": seen}), key="place")
    >>> units = table.set_index(pd.Index(np.arange(300), name="id"))
    >>> design = ec.Design(units, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> found = ec.compare_features(
    ...     design, {"tabular": None, "image": image, "both": ["covariates", "image"]},
    ...     learner=ec.Forest(engine="fast", trees=40), folds=ec.Folds(k=3),
    ... )
    >>> found.to_frame()["source"].tolist()
    ['tabular', 'image', 'both']
    >>> bool(found.to_frame().set_index("source").loc["image", "difference_low"] > 0)
    True
    """
    one_of(target, TARGETS, argument="target", error=EvaluationError)
    chosen = known_learner(_default_learner() if learner is None else learner)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed, repeatable=True)
    read = read_sources(design, sources)
    first = next(iter(sources)) if reference is None else reference
    one_of(first, tuple(sources), argument="reference", error=EvaluationError)
    seeds = [settings.seed + repeat for repeat in range(settings.folds.repeats)]
    splits = [_one_split(read, chosen, replace(settings, seed=one), target, progress) for one in seeds]
    rates = [rate for rate, _, _ in splits]
    _, judged, effects = splits[0]
    columns = list(read.designs)
    return SourceComparison(
        rate=rates[0] if len(rates) == 1 else median_of_splits(rates, seeds, read.base),
        columns=read.columns(),
        reference=first,
        splits=_splits_frame(rates, seeds),
        ids=read.base.table.ids,
        folds=judged.fold_of,
        effect_values=np.column_stack([effects[name].effects for name in columns]),
        sequential_values=np.column_stack([effects[name].sequential for name in columns]),
    )


def _default_learner() -> EffectLearner:
    from eocausal.effects.forest import Forest

    return Forest(engine="fast")


def _one_split(
    read: Sources, learner: EffectLearner, settings: Settings, target: str, progress: bool
) -> tuple[Rate, Judged, dict[str, OutOfFoldEffects]]:
    """Return rates of all sources on one way of dealing the folds, with the effects that were judged."""
    base = read.base
    once = replace(settings, folds=replace(settings.folds, repeats=1))
    fold_of = once.folds.assign(base, seed=settings.seed)
    effects = effects_by_source(
        read.designs, shared_samples(base, once), learner, fold_of, seed=settings.seed, progress=progress
    )
    judged = Judged(base, doubly_robust_scores(base, once), fold_of)
    priorities = {name: one.sequential for name, one in effects.items()}
    rate = aggregate(list(judged.parts(priorities)), RateSettings(target=target, seed=settings.seed))
    return (
        replace(rate, joint=replace(rate.joint, **_notes(rate.joint, read, judged, learner, once))),
        judged,
        effects,
    )


def _notes(
    joint: Estimate, read: Sources, judged: Judged, learner: EffectLearner, settings: Settings
) -> dict[str, Any]:
    table = judged.design.table
    trained = int((judged.fold_of == 0).sum())
    places = None
    if table.coordinates is not None:
        places = table.coordinates[pd.Index(table.ids).get_indexer(pd.Index(joint.ids))]
    return {
        "method": "sequential folds",
        "coordinates": places,
        "assumptions": (ignorability(judged.design, table.propensity is not None, settings.learners), GROWING),
        "warnings": (
            *table.notes, *read.notes, *judged.scores.warnings,
            f"the {trained} units of the first fold only train; the rest is judged", *joint.warnings,
        ),
        "diagnostics": {**joint.diagnostics, **learner.describe(), **given_columns(judged.design)},
        "provenance": {**provenance(judged.design, settings), "sources": read.fingerprints()},
    }  # fmt: skip


def _splits_frame(rates: list[Rate], seeds: list[int]) -> pd.DataFrame:
    """Return rate and ratio by seed, source and target."""
    frames = []
    for seed, one in zip(seeds, rates):
        frame = one.to_frame()
        own = frame[frame["term"].isin(one.toc["priority"])]
        named = own.rename(columns={"term": "source", "statistic": "ratio"})
        frames.append(named[["source", "estimand", "estimate", "std_error", "ratio"]].assign(seed=seed))
    return pd.concat(frames, ignore_index=True)[
        ["seed", "source", "estimand", "estimate", "std_error", "ratio"]
    ]
