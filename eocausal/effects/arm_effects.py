"""Effects by unit of each of several arms against the control, out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.design import Design
from eocausal.effects.arms import extreme_arms, few_clusters
from eocausal.effects.effect_learners import (
    EffectLearner,
    EffectModel,
    effect_sample,
    effects_out_of_fold,
    require_columns,
    training_rows,
)
from eocausal.effects.known_learners import known_learner
from eocausal.effects.methods import ignorability
from eocausal.errors import EstimationError, explain
from eocausal.inference.arm_scores import augmented_contrast
from eocausal.inference.assemble import assemble
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.scores import mean_of_scores
from eocausal.nuisance.arm_nuisance import cross_fit_arms
from eocausal.nuisance.cross_fit import Learners
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import Settings, dealt, provenance, settings_for

FloatArray = npt.NDArray[np.float64]

_UNIT_FIELDS = ("ids", "effect_values", "sequential_values", "dr_scores", "folds", "weights", "group_codes")


@result_type
@dataclass(frozen=True, eq=False)
class ArmEffects:
    """Out-of-fold effects by unit of several arms against the control, with doubly robust scores.

    Made by :func:`eocausal.arm_effects`. ``estimate``, ``std_error`` and the other members of every result speak of
    the average effects of the arms.

    Attributes
    ----------
    average : Estimate
        The average effect of each arm from the doubly robust scores.
    arms : tuple of str, length K
        Names of the arms, without the control.
    ids : array of shape (n,)
    effect_values : array of shape (n, K)
        Predicted effects, from models that saw neither the unit nor its cluster or image.
    sequential_values : array of shape (n, K)
        Predicted effects from models trained on earlier folds only; NaN in fold 0.
    dr_scores : array of shape (n, K)
    folds, weights, group_codes : array of shape (n,)
    """

    average: Estimate
    arms: tuple[str, ...]
    ids: npt.NDArray[Any]
    effect_values: FloatArray
    sequential_values: FloatArray
    dr_scores: FloatArray
    folds: npt.NDArray[np.intp]
    weights: FloatArray
    group_codes: npt.NDArray[np.intp]

    estimand = Delegated("average")
    method = Delegated("average")
    terms = Delegated("average")
    n = Delegated("average")
    n_clusters = Delegated("average")
    estimate = Delegated("average")
    std_error = Delegated("average")
    ci = Delegated("average")
    p_value = Delegated("average")
    scores = Delegated("average")
    assumptions = Delegated("average")
    warnings = Delegated("average")
    diagnostics = Delegated("average")
    provenance = Delegated("average")
    to_frame = Delegated("average")
    summary = Delegated("average")

    @property
    def effects(self) -> pd.DataFrame:
        """One row per unit and one column per arm: its predicted effect out of fold."""
        frame = pd.DataFrame(self.effect_values, index=pd.Index(self.ids, name="id"), columns=list(self.arms))
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def __repr__(self) -> str:
        """One line: the average effect of each arm."""
        return repr(self.average).replace("Estimate(", "ArmEffects(", 1)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "ArmEffects",
            "arms": list(self.arms),
            "average": self.average.to_dict(scores=scores),
        }
        if scores:
            content |= {name: getattr(self, name).tolist() for name in _UNIT_FIELDS}
            # what no model of earlier folds predicts
            content["sequential_values"] = [
                [None if np.isnan(value) else value for value in row] for row in content["sequential_values"]
            ]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ArmEffects:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        arrays: dict[str, Any] = {name: np.array(content[name]) for name in _UNIT_FIELDS}
        arrays["sequential_values"] = np.array(content["sequential_values"], dtype=float)
        return cls(average=Estimate.from_dict(content["average"]), arms=tuple(content["arms"]), **arrays)


def arm_effects(
    design: Design,
    *,
    learner: str | EffectLearner = "causal_forest",
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
    progress: bool = False,
) -> ArmEffects:
    """Predict each unit's effect of each arm against the control, from models that did not see its fold.

    Each arm has models of its own, trained on the units of that arm and of the control.

    Parameters
    ----------
    design : Design
        With ``treatment_type="categorical"``.
    learner, folds, learners, seed, progress
        As in :func:`eocausal.cate`.

    Returns
    -------
    ArmEffects

    Raises
    ------
    EstimationError
        The treatment is binary or a dose, unknown learner, nothing to tell units apart by, or an arm with too few
        units in what some model learns from.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"aid": np.tile(["none", "cash", "training"], 100), "age": rng.normal(size=300)})
    >>> table["income"] = (table["aid"] == "cash") * table["age"] + rng.normal(size=300)
    >>> import eocausal as ec
    >>> design = ec.Design(table, outcome="income", treatment="aid", treatment_type="categorical", control="none",
    ...                    covariates=["age"])
    >>> ec.arm_effects(design, learner="linear", folds=ec.Folds(k=3)).arms
    ('cash', 'training')
    """
    chosen = known_learner(learner)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    if design.treatment_type != "categorical":
        dose = design.treatment_type == "continuous"
        raise EstimationError(
            explain(
                f"An effect of each arm was asked for, and this treatment is {'a dose' if dose else 'binary'}.",
                rule="treatment_type='categorical'",
                fix="ec.dose_response(design)" if dose else "ec.cate(design)",
            )
        )
    require_columns(design, chosen)
    fold_of = settings.folds.assign(design, seed=settings.seed)
    _require_arms_to_learn_from(design, fold_of)
    table, arms = design.table, design.table.arms[1:]
    found = []
    for arm in arms:

        def learn(rows: npt.NDArray[np.bool_], arm: str = arm) -> EffectModel:
            return chosen.fit(effect_sample(design.take(rows).pair(arm), settings), seed=settings.seed)

        found.append(effects_out_of_fold(design, fold_of, learn, progress=progress))
    dr_scores, said, notes = _scores(design, settings)
    return ArmEffects(
        average=assemble(
            design,
            [mean_of_scores(dr_scores[:, place], table.weights) for place in range(len(arms))],
            estimand="ate",
            method="aipw (folds of effects)",
            terms=arms,
            assumptions=(ignorability(design, False, settings.learners),),
            warnings=notes,
            diagnostics={**said, **chosen.describe()},
            provenance=provenance(design, settings),
        ),
        arms=arms,
        ids=table.ids,
        effect_values=np.column_stack([one.effects for one in found]),
        sequential_values=np.column_stack([one.sequential for one in found]),
        dr_scores=dr_scores,
        folds=fold_of,
        weights=table.weights,
        group_codes=design.groups,
    )


def _require_arms_to_learn_from(design: Design, fold_of: npt.NDArray[np.intp]) -> None:
    """Raise where some model would see fewer than two units of an arm."""
    codes, arms = design.table.assigned.astype(np.intp), design.table.arms
    counts = [np.bincount(codes[rows], minlength=len(arms)) for _, _, rows in training_rows(fold_of)]
    least = np.min(counts, axis=0)
    if least.min() < 2:
        raise EstimationError(
            explain(
                f"With {int(fold_of.max()) + 1} folds some model would learn from fewer than 2 units of an arm.",
                where=[f"{arm}: {count}" for arm, count in zip(arms, least) if count < 2],
                rule="at least 2 in a fold, since the first model of a ranking learns from one fold alone",
                fix="fewer folds: Folds(k=2), or put small arms together with others",
            )
        )


def _scores(design: Design, settings: Settings) -> tuple[FloatArray, dict[str, Any], list[str]]:
    """Return doubly robust scores (n, K) of the arms, diagnostics and warnings."""
    table = design.table
    nuisance = cross_fit_arms(design, **dealt(design, settings))
    codes = table.assigned.astype(np.intp)
    columns = [
        augmented_contrast(
            table.outcome, codes,
            arm=arm, estimand="ate", propensities=nuisance.propensities, outcomes=nuisance.outcomes,
        )[0]
        for arm in range(1, len(table.arms))
    ]  # fmt: skip
    notes = [
        *nuisance.warnings,
        *extreme_arms(table.arms, codes, nuisance.propensities),
        *few_clusters(design),
    ]
    return np.column_stack(columns), settings.learners.describe(), notes
