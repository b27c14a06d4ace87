"""What a growing budget gains when each unit may get one of several arms that differ in cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import whole_number
from eocausal.effects.arm_effects import ArmEffects
from eocausal.effects.cate import Cate
from eocausal.effects.effect_learners import beyond_single_effects
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.budget_path import BudgetPath, budget_path
from eocausal.evaluate.half_sample import FEW_GROUPS
from eocausal.evaluate.judged import GROWING
from eocausal.evaluate.multi_arm_qini_result import MultiArmQini

FloatArray = npt.NDArray[np.float64]

# half of fewer clusters is one alone, within which a plan of whole clusters gains nothing
FEWEST_GROUPS = 4
# budgets of the curve, where none are asked for
STEPS = 20


def multi_arm_qini(
    source: ArmEffects | Cate,
    *,
    cost: Mapping[str, float] | pd.DataFrame | None = None,
    budgets: npt.ArrayLike | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> MultiArmQini:
    """Draw what is gained as the budget grows, when predicted effects decide who gets which arm.

    At each budget (a mean cost by unit) the plan that predicts the largest gain is judged by the doubly robust
    scores of units that its models have not seen: those of each fold by models of earlier folds only, as in
    :func:`eocausal.rate`. Beside it stands the plan that knows arms only by their mean predicted effect and deals
    them at random; the difference is what targeting is worth.

    Parameters
    ----------
    source : ArmEffects or Cate
        A ``Cate`` is one arm.
    cost : mapping of arm to number, or DataFrame by unit id with a column for each arm, optional
        Positive; default 1 for each arm.
    budgets : array-like of shape (b,), optional
        Positive mean costs by unit; default 20 even steps up to what the whole plan costs.
    replicates : int
        Draws of half of the clusters for the standard errors.
    seed : int

    Returns
    -------
    MultiArmQini

    Raises
    ------
    EvaluationError
        Costs that are missing, not positive, or of other arms; budgets that are not positive; no unit with a
        predicted gain.

    Notes
    -----
    With one arm of cost 1 the gain at budget ``q`` is ``q`` times the sum of the TOC at ``q`` and the average
    effect, and the area between the two plans is QINI, as far as all units have a predicted gain. Steps of equal
    predicted gain by cost are taken together. Sverdrup, Wu, Athey and Wager (2025), Journal of Computational and
    Graphical Statistics 34; standard errors by half-samples as there, within folds, with the degrees of freedom of
    the smallest fold.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"aid": np.tile(["none", "cash", "training"], 100), "age": rng.normal(size=300)})
    >>> table["income"] = (table["aid"] == "cash") * table["age"] + rng.normal(size=300)
    >>> import eocausal as ec
    >>> design = ec.Design(table, outcome="income", treatment="aid", treatment_type="categorical", control="none",
    ...                    covariates=["age"])
    >>> effects = ec.arm_effects(design, learner="linear", folds=ec.Folds(k=3))
    >>> found = ec.multi_arm_qini(effects, cost={"cash": 1, "training": 2}, budgets=[0.1, 0.4], replicates=50)
    >>> found.curve["budget"].tolist()
    [0.1, 0.4]
    """
    whole_number(replicates, argument="replicates", error=EvaluationError, least=50)
    whole_number(seed, argument="seed", error=EvaluationError)
    judged = _judged(source)
    costs = _costs(cost, judged)
    parts = _parts(judged, costs)
    asked = _budgets(budgets, parts)
    values, draws = _evaluated(parts, asked, replicates, seed)
    fewest = min(part.n_groups for part in parts)
    few = (
        f"as few as {fewest} clusters in an evaluation fold: half-sample standard errors are rough below "
        f"{FEW_GROUPS}"
    )
    return MultiArmQini(
        arms=judged.arms,
        n=int(sum(part.weights.size for part in parts)),
        curve=_curve(asked, values, draws, df=fewest - 1),
        area=_area(asked, values, draws, df=fewest - 1),
        assumptions=(*source.assumptions[:1], GROWING),
        warnings=(
            *beyond_single_effects(source.warnings),
            f"the {int((source.folds == 0).sum())} units of the first fold only train; the rest is judged",
            *((few,) if fewest < FEW_GROUPS else ()),
        ),
        provenance={**source.provenance, "replicates": replicates, "qini_seed": seed},
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """Predicted effects by earlier folds and scores of all units, a column for each arm."""

    arms: tuple[str, ...]
    ids: npt.NDArray[Any]
    predicted: FloatArray
    scores: FloatArray
    folds: npt.NDArray[np.intp]
    weights: FloatArray
    groups: npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Part:
    """One fold: the plan of its units, the plan that deals arms at random, and what judges both."""

    targeted: BudgetPath
    untargeted: BudgetPath
    scores: FloatArray
    weights: FloatArray
    groups: npt.NDArray[np.intp]

    @property
    def n_groups(self) -> int:
        """How many clusters its units are of."""
        return int(self.groups.max()) + 1

    def gains(self, weights: FloatArray, budgets: FloatArray) -> FloatArray:
        """Return the gain of both plans at each budget (2, b)."""
        alone = np.ones(1)
        means = np.average(self.scores, axis=0, weights=weights)[None, :]
        return np.array(
            [
                self.targeted.gains(self.scores, weights, budgets)[0],
                self.untargeted.gains(means, alone, budgets)[0],
            ]
        )


def _judged(source: ArmEffects | Cate) -> _Judged:
    if isinstance(source, ArmEffects):
        arms, predicted, scores = source.arms, source.sequential_values, source.dr_scores
    elif isinstance(source, Cate):
        arms, predicted, scores = (
            source.average.terms,
            source.sequential_values[:, None],
            source.dr_scores[:, None],
        )
    else:
        raise EvaluationError(
            explain(
                f"multi_arm_qini() got a {type(source).__name__}.",
                fix="ec.multi_arm_qini(ec.arm_effects(design), cost={'arm': 2.0, ...})",
            )
        )
    return _Judged(arms, source.ids, predicted, scores, source.folds, source.weights, source.group_codes)


def _costs(cost: object, judged: _Judged) -> FloatArray:
    """Return costs (n, K), checked."""
    shape = (judged.ids.size, len(judged.arms))
    if cost is None:
        return np.ones(shape)
    if not isinstance(cost, Mapping | pd.DataFrame):
        raise EvaluationError(explain(f"cost is a {type(cost).__name__}.", fix="cost={'arm': 2.0, ...}"))
    given = [str(arm) for arm in cost]
    if sorted(given) != sorted(judged.arms):
        raise EvaluationError(
            explain(
                f"Costs are of {given}.",
                rule=f"one for each of {list(judged.arms)}",
                fix="cost={'arm': 2.0, ...}",
            )
        )
    if isinstance(cost, pd.DataFrame):
        _require_rows(cost, judged.ids)
        columns: Any = cost.set_axis(given, axis=1).loc[judged.ids]
    else:
        columns = {arm: np.repeat(np.array(cost[key]), shape[0]) for arm, key in zip(given, cost)}
    values = np.column_stack([_numbers(f"The cost of {arm!r}", columns[arm]) for arm in judged.arms])
    bad = ~(np.isfinite(values) & (values > 0)).all(axis=1)
    if bad.any():
        raise EvaluationError(
            explain("Costs that are missing, infinite, zero or less.", where=judged.ids[bad], rule="cost > 0")
        )
    return values


def _require_rows(cost: pd.DataFrame, ids: npt.NDArray[Any]) -> None:
    missing = ~np.isin(ids, cost.index.to_numpy())
    if missing.any() or cost.index.has_duplicates:
        raise EvaluationError(
            explain(
                "The table of costs has no row, or several, for some units.",
                where=ids[missing] if missing.any() else cost.index[cost.index.duplicated()],
                fix="index it by unit id, one row each",
            )
        )


def _numbers(what: str, values: Any) -> FloatArray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            explain(f"{what} is not numeric.", fix="numbers, such as cost={'arm': 2.0} or budgets=[0.1, 0.5]")
        ) from error


def _parts(judged: _Judged, costs: FloatArray) -> list[_Part]:
    parts = []
    for fold in range(1, int(judged.folds.max()) + 1):
        rows = judged.folds == fold
        predicted, cost, weights = judged.predicted[rows], costs[rows], judged.weights[rows]
        mean_effect, mean_cost = (
            np.average(values, axis=0, weights=weights)[None, :] for values in (predicted, cost)
        )
        groups = np.unique(judged.groups[rows], return_inverse=True)[1]
        parts.append(
            _Part(
                budget_path(predicted, cost),
                budget_path(mean_effect, mean_cost),
                judged.scores[rows],
                weights,
                groups,
            )
        )
    if not any(part.targeted.unit.size for part in parts):
        raise EvaluationError(
            explain("No arm is predicted to gain anything for any unit, so that no budget would be spent.",
                    fix="an outcome of which more is better: turn its sign")
        )  # fmt: skip
    few = [fold for fold, part in enumerate(parts, start=1) if part.n_groups < FEWEST_GROUPS]
    if few:
        raise EvaluationError(
            explain(
                f"Some folds have fewer than {FEWEST_GROUPS} clusters, so that half of them is one cluster alone.",
                where=few,
                rule=f"at least {FEWEST_GROUPS}, better {FEW_GROUPS} or more",
                fix="fewer folds: ec.arm_effects(design, folds=ec.Folds(k=2))",
            )
        )
    return parts


def _budgets(budgets: npt.ArrayLike | None, parts: list[_Part]) -> FloatArray:
    if budgets is None:
        whole = max(
            float(part.targeted.gains(part.scores, part.weights, np.array([np.inf]))[1][0]) for part in parts
        )
        return np.linspace(whole / STEPS, whole, STEPS)
    asked = np.sort(np.atleast_1d(_numbers("budgets", budgets)))
    if asked.ndim != 1 or not asked.size or not (np.isfinite(asked) & (asked > 0)).all():
        raise EvaluationError(
            explain(
                "budgets are not positive numbers.", rule="mean costs by unit", fix="budgets=[0.1, 0.5, 1.0]"
            )
        )
    return asked


def _evaluated(
    parts: list[_Part], budgets: FloatArray, replicates: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return the gains of both plans (2, b), folds averaged by their weight, and half-sample draws (R, 2, b)."""
    from eocausal.evaluate.half_sample_draws import drawn_halves

    share = np.array([part.weights.sum() for part in parts])
    share = share / share.sum()
    values = np.tensordot(share, [part.gains(part.weights, budgets) for part in parts], 1)
    draws = np.zeros((replicates, 2, budgets.size))
    generator = np.random.default_rng(seed)
    for weight, part in zip(share, parts):
        key = int(generator.integers(0, 2**63))
        for draw, kept in enumerate(drawn_halves(part.n_groups, replicates=replicates, key=key)):
            draws[draw] += weight * part.gains(part.weights * kept[part.groups], budgets)
    return np.asarray(values), draws


def _curve(budgets: FloatArray, values: FloatArray, draws: FloatArray, *, df: int) -> pd.DataFrame:
    half = stats.t.ppf(0.975, df)
    columns: dict[str, FloatArray] = {"budget": budgets}
    for name, value, drawn in (
        ("gain", values[0], draws[:, 0]),
        ("untargeted", values[1], draws[:, 1]),
        ("difference", values[0] - values[1], draws[:, 0] - draws[:, 1]),
    ):
        error = drawn.std(axis=0, ddof=1)
        columns |= {name: value, f"{name}_std_error": error}
        columns |= {f"{name}_conf_low": value - half * error, f"{name}_conf_high": value + half * error}
    return pd.DataFrame(columns)


def _area(budgets: FloatArray, values: FloatArray, draws: FloatArray, *, df: int) -> pd.Series:
    """Return the mean difference of the plans over budgets from zero to the last, with its standard error."""
    from_zero = np.r_[0.0, budgets]

    def mean(difference: FloatArray) -> FloatArray:
        padded = np.concatenate([np.zeros((*difference.shape[:-1], 1)), difference], axis=-1)
        return np.asarray(np.trapezoid(padded, from_zero, axis=-1) / budgets[-1])

    estimate = float(mean(values[0] - values[1]))
    error = float(mean(draws[:, 0] - draws[:, 1]).std(ddof=1))
    p_value = float(2 * stats.t.sf(abs(estimate) / error, df)) if error > 0 else float("nan")
    return pd.Series({"estimate": estimate, "std_error": error, "p_value": p_value}, name="area")
