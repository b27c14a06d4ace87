"""`rate_over_splits`: the whole test of a ranking on one way of dealing units after another, and its median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import pandas as pd

from eocausal._checks import one_of
from eocausal.effects.effect_learners import effect_sample, require_columns
from eocausal.effects.known_learners import known_learner
from eocausal.effects.methods import ignorability
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import EvaluationError
from eocausal.evaluate.half_sample import Part, aggregate
from eocausal.evaluate.rate_settings import RateOptions, RateSettings
from eocausal.inference.repeats import median_over, middle_repeats
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings, provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectLearner
    from eocausal.evaluate.rate_result import Rate
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.learners import Learners

SPLITS = ("sequential", "half")
NAME = "predicted effect"
# how many ways of dealing units unless asked otherwise
REPEATS = 20


def rate_over_splits(
    design: Design,
    *,
    learner: str | EffectLearner = "causal_forest",
    folds: Folds | None = None,
    learners: Learners | None = None,
    split: Literal["sequential", "half"] = "sequential",
    progress: bool = False,
    **options: Unpack[RateOptions],
) -> Rate:
    """Test a learner's ranking on many ways of dealing units into folds, and show how much the dealing matters.

    What one deal of the units says is partly luck: on studies of a few hundred images the RATE ratio moves by about
    1 from deal to deal. Here models are fitted and judged anew for each, and results are medians over them.

    Parameters
    ----------
    design : Design
    learner : str or settings of a learner
        As in :func:`eocausal.cate`.
    folds : Folds, optional
        Default ``Folds(repeats=20)``. Clusters and shared images stay whole.
    learners : Learners, optional
        Of the nuisances.
    split : {"sequential", "half"}
        ``sequential``: in each deal every fold but the first is ranked by a model of the folds before it, as
        ``ec.rate(ec.cate(design))`` does. ``half``: a random half of the groups trains and the other is judged.
    progress : bool
        Show a progress bar.
    **options
        ``target, integration, std_errors, grid, replicates, seed`` as in :func:`eocausal.rate`. Deal ``r`` has the
        seed ``seed + r``.

    Returns
    -------
    Rate
        With ``splits``, a row for each deal, and ``plot_splits()``. Estimates are medians, and squared standard
        errors the median over deals of the squared standard error plus the squared distance from the median, so
        that they hold how much the dealing matters. ``p_over_splits()`` is twice the median of the deals' p-values.

    Raises
    ------
    EvaluationError
        Unknown options.
    EstimationError
        Unknown learner, or nothing to tell units apart by.

    Notes
    -----
    Estimate and standard error over deals: Chernozhukov et al. (2018), Econometrics Journal 21, definition 3.3.
    Twice the median of p-values that are each valid is valid, however they depend on one another: Chernozhukov,
    Demirer, Duflo and Fernandez-Val (2025), Econometrica 93. The page ``docs/rate.md`` says how often each rejects
    what is true.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 150), "age": rng.normal(size=300)})
    >>> table["income"] = table["grant"] * 2 * table["age"] + rng.normal(size=300)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> found = ec.rate_over_splits(design, learner="linear", folds=ec.Folds(k=3, repeats=4))
    >>> found.splits.query("estimand == 'AUTOC'")["seed"].tolist(), bool(found.p_over_splits() < 0.05)
    ([0, 1, 2, 3], True)
    """
    from tqdm import tqdm

    one_of(split, SPLITS, argument="split", error=EvaluationError)
    asked = RateSettings(**options)
    chosen = known_learner(learner)
    scheme = Folds(repeats=REPEATS) if folds is None else folds
    settings = settings_for(design, folds=scheme, learners=learners, seed=asked.seed, repeatable=True)
    design.require_binary("A ranking by effects")
    require_columns(design, chosen)
    judge = _sequential if split == "sequential" else _half
    seeds = [settings.seed + repeat for repeat in range(settings.folds.repeats)]
    once, rates = replace(settings.folds, repeats=1), []
    for one in tqdm(seeds, desc="ways of dealing units", unit="split", disable=not progress):
        own = Settings(once, settings.learners, one)
        rates.append(_told(judge(design, chosen, own, replace(asked, seed=one)), design, chosen, own, split))
    return median_of_splits(rates, seeds, design)


def median_of_splits(rates: Sequence[Rate], seeds: Sequence[int], design: Design) -> Rate:
    """Return the median of rates on several splits of one design, with the curve of the one in the middle."""
    joints = [_on_all_units(one.joint, design) for one in rates]
    if len(rates) == 1:
        return replace(rates[0], joint=joints[0])
    middle = middle_repeats(np.array([one.values for one in joints]))[0]
    return replace(rates[middle], joint=median_over(joints, seeds))


def _sequential(design: Design, learner: EffectLearner, own: Settings, asked: RateSettings) -> Rate:
    """Judge every fold but the first by a model of the folds before it."""
    fold_of = own.folds.assign(design, seed=own.seed)
    scores, table = doubly_robust_scores(design, own), design.table
    parts = []
    for fold in range(1, int(fold_of.max()) + 1):
        test = fold_of == fold
        model = learner.fit(effect_sample(design.take(fold_of < fold), own), seed=own.seed)
        effect, _ = model.predict(design, rows=test)
        own_scores, weights, groups = scores.scores[test], table.weights[test], design.groups[test]
        parts.append(Part(table.ids[test], own_scores, weights, groups, {NAME: effect}))
    trained = f"the {int((fold_of == 0).sum())} units of the first fold only train; the rest is judged"
    return _with_warnings(aggregate(parts, asked), (*table.notes, *scores.warnings, trained))


def _half(design: Design, learner: EffectLearner, own: Settings, asked: RateSettings) -> Rate:
    """Judge a random half of the groups by a model of the other."""
    train, test = design.split(0.5, seed=own.seed)
    scores, table = doubly_robust_scores(test, own), test.table
    effect, _ = learner.fit(effect_sample(train, own), seed=own.seed).predict(test)
    part = Part(table.ids, scores.scores, table.weights, test.groups, {NAME: effect})
    return _with_warnings(aggregate([part], asked), (*design.table.notes, *scores.warnings))


def _with_warnings(rate: Rate, warnings: tuple[str, ...]) -> Rate:
    return replace(rate, joint=replace(rate.joint, warnings=(*warnings, *rate.joint.warnings)))


def _told(rate: Rate, design: Design, learner: EffectLearner, own: Settings, split: str) -> Rate:
    """Return a rate with how it was made."""
    told: dict[str, Any] = {
        "method": "sequential folds" if split == "sequential" else "halves",
        "assumptions": (
            ignorability(design, design.table.propensity is not None, own.learners),
            "the rate is an average over models trained on "
            + ("growing shares of the folds" if split == "sequential" else "half of the units"),
        ),
        "diagnostics": {**rate.joint.diagnostics, **learner.describe()},
        "provenance": {**provenance(design, own), "rate_seed": own.seed},
    }
    return replace(rate, joint=replace(rate.joint, **told))


def _on_all_units(joint: Estimate, design: Design) -> Estimate:
    """Return an estimate on all units of a design; those that were not judged have no influence."""
    table, groups = design.table, design.groups
    rows = pd.Index(table.ids).get_indexer(pd.Index(joint.ids))
    scores = np.zeros((table.ids.size, len(joint.terms)))
    scores[rows] = joint.score_values * (table.ids.size / joint.ids.size)
    return replace(
        joint,
        ids=table.ids,
        score_values=scores,
        groups={"groups": groups} if joint.groups else {},
        coordinates=table.coordinates,
    )
