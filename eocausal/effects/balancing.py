"""Average effects by weights that balance the arms exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.effects.coefficients import ModelColumns, idle_columns, model_columns
from eocausal.effects.methods import OVERLAP, Asked, Fitted
from eocausal.errors import EstimationError, explain
from eocausal.inference.entropy import balanced_means, out_of_reach, tilted_weights
from eocausal.inference.propensity import few_effective
from eocausal.inference.smd import effective_size

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

ARMS = ("control", "treated")


def entropy_balancing(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the arms so that covariates and leading components have exactly the means of the units asked for."""
    table = design.table
    found = columns_to_balance(design, settings)
    columns, names = found.values, list(found.names)
    target = _target(table.treatment, asked.estimand)
    balanced = [
        _weights_of(arm, columns, names, target=target, treatment=table.treatment, weights=table.weights)
        for arm in (0, 1)
    ]
    scored = balanced_means(
        table.outcome, table.treatment, table.weights, columns=columns, target=target, balanced=balanced
    )
    sizes = {
        f"ess_{name}": effective_size(table.weights[table.treatment == arm] if made is None else made)
        for arm, (name, made) in enumerate(zip(ARMS, balanced))
    }
    said = {**sizes, "balanced_columns": len(names), "pca": settings.learners.pca}
    weights = table.weights.copy()
    for arm, made in enumerate(balanced):
        if made is not None:
            weights[table.treatment == arm] = made
    either = "the outcome is linear in them or the balancing weights have the right form (log-linear in them)"
    return Fitted(
        design, scored, (balancing_assumption(design, settings, asked.estimand, either=either),),
        (*idle_columns(found), *few_effective(sizes, table.treatment)), said, weights,
    )  # fmt: skip


def columns_to_balance(design: Design, settings: Settings) -> ModelColumns:
    """Return the columns whose means shall agree between the arms, with their names; raise where none are."""
    columns = model_columns(design, settings)
    if not columns.names:
        raise EstimationError(
            explain(
                "The design has no covariates and no features to balance.",
                fix="covariates=[...] or features= in Design, or method='difference'",
            )
        )
    return columns


def _target(treatment: FloatArray, estimand: str) -> FloatArray:
    return {"ate": np.ones_like(treatment), "att": treatment, "atc": 1 - treatment}[estimand]


def _weights_of(
    arm: int,
    columns: FloatArray,
    names: list[str],
    *,
    target: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
) -> FloatArray | None:
    """Return the balancing weights of an arm, None where the arm is the target; raise where there are none."""
    chosen = treatment == arm
    if np.array_equal(target == 1, chosen):
        return None
    of_target = weights * target
    gaps = columns[chosen] - of_target @ columns / of_target.sum()
    found = tilted_weights(gaps, weights[chosen])
    if found is not None:
        return found
    beyond = [name for name, out in zip(names, out_of_reach(gaps)) if out]
    raise EstimationError(
        explain(
            f"No weights of the {int(chosen.sum())} {ARMS[arm]} units give the {len(names)} columns the means of "
            "the units that the effect is for.",
            where=beyond,
            rule="the target means lie within the reach of both arms' units, not at its edge",
            fix="fewer components (learners=ec.Learners(pca=5)), leave these covariates out, estimand='att' or "
            "'atc' where one arm is small, or method='aipw', estimand='ato'",
        )
    )


def balancing_assumption(design: Design, settings: Settings, estimand: str, *, either: str) -> str:
    """Return what must hold for balanced means to compare like with like; ``either`` names two ways."""
    seen = settings.learners.columns
    used = ["covariates"] if design.table.covariate_names and seen != "features" else []
    if design.table.features.shape[1] and seen != "covariates":
        used.append("leading components of the image features")
    given = " and ".join(used)
    return f"given the {given}, treatment is as good as random, {OVERLAP[estimand]}, and either {either}"
