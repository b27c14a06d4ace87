"""`groups`: average effects of units sorted by predicted effect."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from eocausal._checks import whole_number
from eocausal.effects.cate import Cate
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.effect_groups_result import MOST_LEAST, EffectGroups, group_terms
from eocausal.evaluate.judged import JudgedEffects, estimate_on, judged_effects, require_cate
from eocausal.evaluate.top_shares import top_totals
from eocausal.inference.contrast import combinations

FloatArray = npt.NDArray[np.float64]

# Groups of fewer units than this in a fold say little.
_FEW = 10


def groups(cate: Cate, *, k: int = 5, effects: str = "sequential") -> EffectGroups:
    """Sort units by predicted effect into groups of equal size, and estimate the average effect of each (GATES).

    Units are sorted within their fold, so that no cut mixes the predictions of different models, and tied units
    share their place. Averages are of doubly robust scores, with joint influence values that hold that the cuts are
    estimated. Few group averages can be learned well where effects of single units cannot: make claims from them.

    Parameters
    ----------
    cate : Cate
    k : int
        Number of groups, from 2 on.
    effects : {"sequential", "out_of_fold"}
        By which predictions units are sorted. ``sequential``: those by a model of earlier folds only; the first
        fold only trains. ``out_of_fold``: those by models of all other folds, for all units; tests of differences
        between groups then reject a true null too often.

    Returns
    -------
    EffectGroups
        A term for each group and one for ``most - least``; ``clan(table)`` says what the groups look like.

    Raises
    ------
    EvaluationError
        Not a Cate, unknown ``effects``, fewer than two groups, or fewer units in a fold than groups.

    Notes
    -----
    Chernozhukov, Demirer, Duflo and Fernández-Val (2025), Econometrica 93: sorted group average treatment effects.
    They take medians over many splits in two halves, at the price of intervals of level ``1 - 2 alpha``. Sequential
    folds use most units for both purposes, at the stated level; the dealing of folds still matters, and another
    ``seed`` of :func:`eocausal.cate` shows by how much.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * (1 + 2 * table["age"]) + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> found = ec.groups(ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3)), k=3)
    >>> found.terms
    ('group 1 (least)', 'group 2', 'group 3 (most)', 'most - least')
    >>> found.clan(table[["age"]]).to_frame()["estimate"].gt(1).tolist()
    [True]
    """
    judged = judged_effects(require_cate(cate, "groups"), effects)
    count = whole_number(k, argument="k", error=EvaluationError, least=2)
    smallest = int(np.bincount(judged.folds)[np.unique(judged.folds)].min())
    if smallest < count:
        raise EvaluationError(
            explain(f"A fold has {smallest} units for {count} groups.", rule="a unit a group", fix="k=2")
        )
    sort = partial(
        means_by_rank, priority=judged.effects, weights=judged.weights, folds=judged.folds, count=count
    )
    (values, scores), (predicted, _) = sort(cate.dr_scores[judged.rows]), sort(judged.effects)
    gap, gap_scores = combinations(values, scores, most_least(count))
    gates = estimate_on(
        cate.average,
        np.append(values, gap),
        np.column_stack([scores, gap_scores]),
        rows=judged.rows,
        estimand="average effects of groups",
        method="sequential folds" if effects == "sequential" else "out-of-fold effects",
        terms=(*group_terms(count), MOST_LEAST),
        assumptions=judged.assumptions,
        warnings=[*judged.warnings, *_notes(judged, count, smallest)],
        diagnostics={"groups": count, "effects": effects, "folds": int(np.unique(judged.folds).size)},
    )
    return EffectGroups(
        gates,
        predicted,
        judged.effects,
        judged.folds,
        judged.weights,
        cate.image_keys[judged.rows],
        cate.design,
    )


def most_least(count: int) -> FloatArray:
    """Return the weights (count, 1) of the last of ``count`` groups less the first."""
    weights = np.zeros((count, 1))
    weights[0], weights[-1] = -1.0, 1.0
    return weights


def means_by_rank(
    values: FloatArray,
    *,
    priority: FloatArray,
    weights: FloatArray,
    folds: npt.NDArray[np.intp],
    count: int,
) -> tuple[FloatArray, FloatArray]:
    """Return means of a column (n,) in ``count`` groups of equal weight, lowest first, with scores (n, count)."""
    totals = top_totals(
        values, priority, weights=weights, folds=folds, shares=np.arange(1, count + 1) / count
    )
    means = count * np.diff(totals.values, prepend=0.0)[::-1]
    scores = count * np.diff(totals.scores, prepend=0.0, axis=1)[:, ::-1]
    return means, scores


def _notes(judged: JudgedEffects, count: int, smallest: int) -> list[str]:
    folds = np.unique(judged.folds)
    constant = sum(float(np.ptp(judged.effects[judged.folds == fold])) == 0 for fold in folds)
    notes = []
    if constant:
        notes.append(
            f"{constant} folds have one predicted effect for all units, who count in all groups alike"
        )
    if smallest < _FEW * count:
        notes.append(
            f"as few as {smallest / count:.0f} units in a group of a fold; fewer groups are steadier"
        )
    return notes
