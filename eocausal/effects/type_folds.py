"""Types of images out of fold: probabilities by models that saw neither the image nor its cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.effects.effect_learners import training_rows
from eocausal.effects.type_learning import Expected, TypeModel, TypesAsked, expected, learn_types

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class OutOfFoldTypes:
    """What models of a number of types say of units that they were not learned from.

    Attributes
    ----------
    probability, error : array of shape (n, K)
        From models of all other folds: posterior mean and SD.
    earlier : array of shape (n, K)
        From models of earlier folds only; NaN in fold 0.
    predicted : array of shape (n,)
        Effect expected of the unit: probabilities times effects of the model.
    log_likelihood : array of shape (n,)
        Of the outcomes of the unit's image, shared equally among its units.
    models : tuple of TypeModel
        The model of all folds but the first, but the second, ...
    """

    probability: FloatArray
    error: FloatArray
    earlier: FloatArray
    predicted: FloatArray
    log_likelihood: FloatArray
    models: tuple[TypeModel, ...]


def types_out_of_fold(
    design: Design, fold_of: Codes, asked: TypesAsked, numbers: Sequence[int], *, progress: bool
) -> dict[int, OutOfFoldTypes]:
    """Learn mixtures of several numbers of types from the other folds, and from the earlier ones."""
    from tqdm import tqdm

    n, last = len(design), int(fold_of.max())
    known = expected(design, fold_of, asked)
    found = {types: _Gathered(n, types) for types in numbers}
    for seen, fold, rows in tqdm(
        training_rows(fold_of), desc="types of images", unit="model", disable=not progress
    ):
        test = fold_of == fold
        held = design.take(test)
        of_held = Expected(known.propensity[test], known.offset[test])
        for types, model in zip(numbers, learn_types(design.take(rows), asked, numbers)):
            gathered = found[types]
            probability, error = model.probabilities(held)
            if seen == "others":
                gathered.probability[test], gathered.error[test] = probability, error
                gathered.predicted[test] = probability @ model.mixture.effects
                gathered.log_likelihood[test] = _by_unit(model.log_likelihoods(held, of_held), held)
                gathered.models.append(model)
            if seen == "earlier" or fold == last:
                gathered.earlier[test] = probability
    return {types: one.done() for types, one in found.items()}


class _Gathered:
    def __init__(self, n: int, types: int) -> None:
        self.probability, self.error = np.zeros((n, types)), np.zeros((n, types))
        self.earlier = np.full((n, types), np.nan)
        self.predicted, self.log_likelihood = np.zeros(n), np.zeros(n)
        self.models: list[TypeModel] = []

    def done(self) -> OutOfFoldTypes:
        return OutOfFoldTypes(
            self.probability,
            self.error,
            self.earlier,
            self.predicted,
            self.log_likelihood,
            tuple(self.models),
        )


def _by_unit(of_images: FloatArray, design: Design) -> FloatArray:
    """Return what belongs to images (J,), in the order of their keys, shared equally among their units (n,)."""
    _, codes, counts = np.unique(design.table.image_keys, return_inverse=True, return_counts=True)
    return np.asarray((of_images / counts)[codes])


def choice_of(
    found: dict[int, OutOfFoldTypes],
    *,
    groups: Codes,
    weights: FloatArray,
    centred_outcome: FloatArray,
    centred_treatment: FloatArray,
) -> tuple[int, pd.DataFrame]:
    """Return the number of types whose held-out likelihood is as good as the best, and the table behind it.

    It is the smallest number whose log likelihood of outcomes not learned from is within one standard error, over
    groups of units, of the highest. The table has one row for each number of types: ``k log_likelihood`` (mean over
    units), ``below_best`` with its ``std_error``, and ``r_loss``, the mean squared error of
    ``outcome - (treatment - propensity) x predicted effect``, all centred.
    """
    total = float(weights.sum())
    mean = {types: float(one.log_likelihood.sum()) / total for types, one in found.items()}
    best = max(mean, key=lambda types: mean[types])
    rows = []
    for types, one in found.items():
        gap = found[best].log_likelihood - one.log_likelihood
        sums = np.bincount(groups, gap)
        size = sums.size
        error = float(np.sqrt(size / (size - 1) * ((sums - sums.mean()) ** 2).sum())) / total
        loss = weights @ (centred_outcome - centred_treatment * one.predicted) ** 2 / total
        rows.append(
            {
                "k": types,
                "log_likelihood": mean[types],
                "below_best": mean[best] - mean[types],
                "std_error": error,
                "r_loss": float(loss),
            }
        )
    table = pd.DataFrame(rows)
    good = table[table["below_best"] <= table["std_error"]]
    chosen = int(good["k"].min())
    table["chosen"] = table["k"] == chosen
    return chosen, table
