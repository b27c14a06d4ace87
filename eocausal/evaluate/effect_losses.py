"""`effect_losses`: which model's predicted effects are nearest to the true ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.effects.cate import Cate
from eocausal.effects.effect_learners import beyond_single_effects
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.effect_groups import groups
from eocausal.evaluate.effect_losses_result import CONSTANT, EffectLosses, loss_terms
from eocausal.evaluate.judged import estimate_on, require_cate

FloatArray = npt.NDArray[np.float64]

OF_THESE_MODELS = (
    "losses are those of these folds' models, averaged; intervals leave out how models would differ on other data, "
    "and are too short where two models are nearly the same"
)
_SAME = ("ids", "weights", "folds")
_NUISANCES = ("centred_outcome", "centred_treatment", "propensity", "dr_scores")


def effect_losses(cates: Mapping[str, Cate], *, nuisances_of: str | None = None) -> EffectLosses:
    """Compare predicted effects of several models on the same units by their out-of-fold losses.

    The R-loss is the mean square of the outcome less what is expected of it and less the predicted effect times the
    treatment less its propensity. The DR-loss is the mean square of the doubly robust score less the predicted
    effect. Each is, but for a constant that is the same for all models, how far predictions are from true effects:
    weighted by ``e (1 - e)``, with ``e`` the propensity, in the R-loss, and evenly in the DR-loss, which is
    noisier. One effect for all, the average of the other folds, stands beside the models.

    Parameters
    ----------
    cates : dict of str to Cate
        By name, of the same units in the same folds.
    nuisances_of : str, optional
        Name of the Cate whose predicted outcomes and propensities all are judged by, where they differ, as they do
        where designs have other features.

    Returns
    -------
    EffectLosses
        Losses, their paired differences with joint standard errors, and a table.

    Raises
    ------
    EvaluationError
        No Cates, other units, weights or folds, or nuisances that differ and no ``nuisances_of``.

    Notes
    -----
    R-loss: Nie and Wager (2021), Biometrika 108. DR-loss: Kennedy (2023), Electronic Journal of Statistics 17. What
    intervals of cross-validated losses mean: Bayle, Bayle, Janson and Mackey (2020), NeurIPS 33.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * 2 * table["age"] + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> forest = ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3))
    >>> ec.effect_losses({"forest": forest}).table()["model"].tolist()
    ['forest', 'one effect for all']
    """
    first = _checked(cates, nuisances_of)
    judge = cates[first if nuisances_of is None else nuisances_of]
    predictions = {name: cate.effect_values for name, cate in cates.items()} | {CONSTANT: _constant(judge)}
    columns = [
        *[(judge.centred_outcome - judge.centred_treatment * one) ** 2 for one in predictions.values()],
        *[(judge.dr_scores - one) ** 2 for one in predictions.values()],
    ]
    squares = np.column_stack(columns)
    share = judge.weights / judge.weights.sum()
    values = share @ squares
    scores = judge.ids.size * share[:, None] * (squares - values)
    names = tuple(predictions)
    told = dict.fromkeys(text for cate in cates.values() for text in beyond_single_effects(cate.warnings))
    losses = estimate_on(
        judge.average,
        values,
        scores,
        estimand="loss of predicted effects",
        method="out of fold",
        terms=loss_terms(names),
        assumptions=(*judge.assumptions[:1], OF_THESE_MODELS),
        warnings=tuple(told),
        diagnostics={"models": len(cates)} | ({} if nuisances_of is None else {"nuisances_of": nuisances_of}),
    )
    fits = {name: groups(cate, effects="out_of_fold").calibration_r2 for name, cate in cates.items()}
    return EffectLosses(losses, names, fits)


def _constant(cate: Cate) -> FloatArray:
    """Return for each unit the average effect in the other folds (n,)."""
    found = np.zeros(cate.ids.size)
    for fold in np.unique(cate.folds):
        inside = cate.folds == fold
        # of a single fold there are no others
        others = inside if inside.all() else ~inside
        found[inside] = np.average(cate.dr_scores[others], weights=cate.weights[others])
    return found


def _checked(cates: Mapping[str, Cate], nuisances_of: str | None) -> str:
    """Return the first name, or raise where Cates cannot be compared."""
    if not isinstance(cates, Mapping) or not cates:
        fix = "ec.effect_losses({'forest': ec.cate(design)})"
        raise EvaluationError(explain("effect_losses() got no mapping of names to Cates.", fix=fix))
    for cate in cates.values():
        require_cate(cate, "effect_losses")
    strange = [name for name in cates if not isinstance(name, str) or name == CONSTANT]
    if strange:
        raise EvaluationError(
            explain(
                "Some Cates have no name of their own.",
                where=strange,
                rule=f"text, and not {CONSTANT!r}, which stands beside them anyway",
                fix="{'forest': ec.cate(design)}",
            )
        )
    first = next(iter(cates))
    if nuisances_of is not None:
        one_of(nuisances_of, tuple(cates), argument="nuisances_of", error=EvaluationError)
    checks = (*_SAME, *(() if nuisances_of is not None else _NUISANCES))
    for part in checks:
        other = [
            name
            for name, cate in cates.items()
            if not _equal(getattr(cate, part), getattr(cates[first], part))
        ]
        if other:
            raise EvaluationError(_text(part, first, other))
    arms = [name for name, cate in cates.items() if not _same_arms(cate, cates[first])]
    if arms:
        raise EvaluationError(_text("treatments", first, arms))
    return first


def _same_arms(one: Cate, other: Cate) -> bool:
    mine, theirs = one.average.arms, other.average.arms
    return mine is None or theirs is None or bool(np.array_equal(mine.treatment, theirs.treatment))


def _equal(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-10, atol=1e-12))
    return bool((one == other).all())


def _text(part: str, first: str, other: list[str]) -> str:
    fixes = {
        "ids": "make them from one table, in the same order of rows",
        "weights": "the same weights= in both designs",
        "folds": "the same folds= and seed= in ec.cate()",
        "treatments": "one treatment and one outcome",
    }
    fix = fixes.get(
        part, f"nuisances_of={first!r} judges all by one, where outcome and treatment are the same"
    )
    return explain(
        f"Other {part.replace('_', ' ')} than those of {first!r}.",
        where=other,
        rule="losses are compared on the same units, folds and nuisances",
        fix=fix,
    )
