"""What may be asked of types of images, and what a reader must know of those that were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import EstimationError, explain
from eocausal.inference.contrast import contrast

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.type_learning import TypeModel, TypesAsked
    from eocausal.inference.estimate import Estimate

Codes = npt.NDArray[np.intp]

AUTO = (1, 2, 3, 4)
"""Numbers of types that ``k="auto"`` chooses from."""
# Images for each type that the smallest training set must have.
IMAGES_A_TYPE = 5
# Models of two folds whose probabilities are less alike than this have not found the same types.
ALIKE = 0.5
# A share of units at one value beyond which a normal outcome is far from the truth.
AT_ONE_VALUE = 0.3
# Types whose effects differ with a p-value above this are said not to.
DIFFERENT = 0.05


def numbers_of(k: int | str | Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of types to choose from."""
    if isinstance(k, str):
        if k != "auto":
            raise EstimationError(
                explain(f"k={k!r}.", rule="a whole number, several, or 'auto'", fix="k='auto'")
            )
        return AUTO
    given = list(k) if isinstance(k, Sequence | np.ndarray) else [k]
    if not given:
        raise EstimationError(
            explain("k is empty.", rule="a whole number, several, or 'auto'", fix="k='auto'")
        )
    numbers = [whole_number(one, argument="k", error=EstimationError, least=1) for one in given]
    return tuple(sorted(set(numbers)))


def that_folds_can_hold(design: Design, fold_of: Codes) -> tuple[int, ...]:
    """Return the numbers of ``AUTO`` that the smallest fold has images for; never fewer than one and two."""
    images = min(
        np.unique(design.table.image_keys[fold_of == fold]).size for fold in range(int(fold_of.max()) + 1)
    )
    return tuple(types for types in AUTO if types <= max(2, images // IMAGES_A_TYPE))


def require_types(design: Design, asked: TypesAsked, fold_of: Codes, most: int) -> None:
    """Raise where a design has nothing to learn types from."""
    design.require_binary("Types of images")
    table = design.table
    if not table.features.shape[1]:
        raise EstimationError(
            explain(
                "The design has no features, so images have no types.", fix="Design(..., features=embeddings)"
            )
        )
    if asked.orthogonalise and not table.covariate_names:
        raise EstimationError(
            explain(
                "orthogonalise=True, but the design has no covariates.", fix="Design(..., covariates=[...])"
            )
        )
    for fold in range(int(fold_of.max()) + 1):
        own = fold_of == fold
        images = np.unique(table.image_keys[own]).size
        if images < IMAGES_A_TYPE * most:
            raise EstimationError(
                explain(
                    f"Fold {fold} has {images} images, too few to tell {most} types apart.",
                    rule=f"at least {IMAGES_A_TYPE} images a type in a fold, since the first model learns from one",
                    fix="a smaller k, or fewer folds: Folds(k=3)",
                )
            )
        if np.unique(table.treatment[own]).size < 2:
            raise EstimationError(
                explain(
                    f"Fold {fold} has units of one arm only, so the first model would know no effect.",
                    fix="fewer folds: Folds(k=2)",
                )
            )


def likeness(models: tuple[TypeModel, ...], design: Design) -> float:
    """Return the least correlation, over units, of two folds' probabilities of the last type; NaN of one type."""
    if models[0].mixture.types == 1:
        return float("nan")
    each = [model.probabilities(design)[0][:, -1] for model in models]
    if min(float(np.ptp(one)) for one in each) == 0:
        return 0.0
    return min(float(np.corrcoef(one, other)[0, 1]) for one, other in combinations(each, 2))


def warnings_of(design: Design, model: TypeModel, models: tuple[TypeModel, ...], alike: float) -> list[str]:
    """Return what a reader must know of the model of all units and of those of the folds."""
    told = []
    slow = sum(not one.mixture.converged for one in (model, *models))
    if slow:
        told.append(f"{slow} of {len(models) + 1} mixtures had not converged when their steps were used up")
    if model.mixture.types > 1 and alike < ALIKE:
        told.append(
            f"models of different folds do not find the same types: their probabilities of the last type correlate "
            f"by as little as {alike:.2f}, so that averages mix types"
        )
    values, counts = np.unique(design.table.outcome, return_counts=True)
    share = counts.max() / len(design)
    if share > AT_ONE_VALUE and model.mixture.types > 1:
        told.append(
            f"{100 * share:.0f}% of the outcomes are {values[counts.argmax()]:.4g}: no normal outcome, so that "
            "types may differ in levels and spreads of outcomes rather than in effects"
        )
    return told


def of_choice(choice: pd.DataFrame | None, *, auto: bool) -> list[str]:
    """Return what a reader must know of the number of types that was chosen."""
    if choice is None:
        return []
    told = []
    if auto and len(choice) < len(AUTO):
        told.append(
            f"k='auto' chose from 1 to {choice['k'].max()} types: folds have too few images to tell more apart"
        )
    if choice.loc[choice["chosen"], "k"].iloc[0] > 1:
        told.append(
            "the number of types was chosen by outcomes that effects are averaged from, and tests take it as "
            "given: name k beforehand where a test is what matters"
        )
    return [*told, *_of_chosen(choice)]


def _of_chosen(choice: pd.DataFrame) -> list[str]:
    chosen, least = choice[choice["chosen"]].iloc[0], choice.iloc[int(choice["r_loss"].to_numpy().argmin())]
    if chosen["k"] == 1:
        return ["held-out outcomes are as likely under one type as under more: no types were found"]
    if chosen["r_loss"] <= choice["r_loss"].iloc[0] or choice["k"].iloc[0] != 1:
        return []
    return [
        f"{chosen['k']:.0f} types make held-out outcomes likelier and predict effects worse than {least['k']:.0f} "
        f"(R-loss {chosen['r_loss']:.4g} and {least['r_loss']:.4g}): they differ in spreads of outcomes, not in "
        "effects"
    ]


def with_difference(estimate: Estimate) -> Estimate:
    """Return an estimate that also warns where effects of its first and last type cannot be told apart."""
    if len(estimate.terms) == 1:
        return estimate
    apart = contrast(estimate, estimate.terms[-1], against=estimate.terms[0])
    if float(apart.p_value()) < DIFFERENT:
        return estimate
    told = (
        f"effects of the first and the last type cannot be told apart (difference {apart.estimate:.3g}, p "
        f"{apart.p_value():.2f})"
    )
    return replace(estimate, warnings=(*estimate.warnings, told))
