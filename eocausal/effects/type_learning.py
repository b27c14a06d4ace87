"""Types of images learned from the units of a design, and said of images that were not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.effects.type_fit import TypeMixture, fit_types
from eocausal.effects.type_mixture import TypeSample
from eocausal.inference.scores import hajek
from eocausal.nuisance.columns import ColumnReducer
from eocausal.nuisance.cross_fit import OutOfFold, outcomes_out_of_fold, propensities

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# folds within a training set on which propensity and outcome are predicted, where there are so many groups
INNER_FOLDS = 3
_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class TypesAsked:
    """How types are learned.

    Attributes
    ----------
    settings : Settings
        Folds, learners and seed.
    pca : int or None
        Components of a wide block of features.
    orthogonalise : bool
        Whether what covariates predict of the outcome is taken from it.
    variances : {"type", "arm"}
        Whether types differ in variances too.
    """

    settings: Settings
    pca: int | None
    orthogonalise: bool
    variances: str = "type"


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of each unit out of fold: its propensity, and what its outcome is taken less, each (n,)."""

    propensity: FloatArray
    offset: FloatArray


def expected(design: Design, folds: Codes, asked: TypesAsked) -> Expected:
    """Predict the propensity of each unit and, where asked for, its outcome without treatment from covariates."""
    settings = asked.settings
    given: dict[str, Any] = {"seed": settings.seed, "groups": settings.folds.groups(design)}
    learners = settings.learners
    # predictions that were made beforehand are of the folds outside, and none can be made within
    if isinstance(learners.propensity, OutOfFold):
        learners = replace(learners, propensity=None, calibration=None)
    if isinstance(learners.outcome, OutOfFold):
        learners = replace(learners, outcome=None)
    propensity = propensities(design, folds, learners, **given).values
    if not asked.orthogonalise:
        return Expected(propensity, np.zeros(len(design)))
    tabular = replace(learners, columns="covariates", propensity=None, calibration=None)
    return Expected(propensity, outcomes_out_of_fold(design, folds, tabular, **given)[0])


@dataclass(frozen=True, eq=False)
class TypeColumns:
    """How features of images and columns of units become what a mixture reads; learned on training units."""

    features: ColumnReducer
    middle: FloatArray
    spread: FloatArray
    covariates: ColumnReducer | None
    propensity: tuple[float, float] | None
    variances: str

    def of_images(self, design: Design) -> tuple[npt.NDArray[Any], Codes, FloatArray]:
        """Return the image keys (J,), the code of each unit's image (n,), and the columns of the gate (J, q)."""
        keys, first, codes = np.unique(design.table.image_keys, return_index=True, return_inverse=True)
        components = (self.features.transform(design, first) - self.middle) / self.spread
        return keys, codes, np.column_stack([np.ones(keys.size), components])

    def sample(self, design: Design, known: Expected) -> TypeSample:
        """Return what a mixture is learned from, or judged by."""
        table = design.table
        _, codes, gate = self.of_images(design)
        columns = [gate[codes]]
        if self.covariates is not None:
            columns.append(self.covariates.transform(design, np.arange(len(design))))
        width = sum(one.shape[1] for one in columns)
        if self.propensity is not None:
            middle, spread = self.propensity
            columns.append(((known.propensity - middle) / spread)[:, None])
        made = np.column_stack(columns)
        shrunk = np.arange(made.shape[1]) < width
        shrunk[0] = False
        outcome, weights = table.outcome - known.offset, table.weights / table.weights.mean()
        centre = hajek(outcome, table.treatment, weights, propensity=known.propensity).estimate
        by_type = self.variances == "type"
        return TypeSample(outcome, table.treatment, weights, made, shrunk, codes, gate, centre, by_type)


def type_columns(design: Design, known: Expected, asked: TypesAsked) -> TypeColumns:
    """Learn means, components and scales from the units of a training set."""
    everyone = np.arange(len(design))
    _, first = np.unique(design.table.image_keys, return_index=True)
    reducer = ColumnReducer(pca=asked.pca, seed=asked.settings.seed, by_block=True, columns="features")
    components = reducer.fit(design, everyone).transform(design, first)
    spread = components.std(axis=0)
    tabular = None
    if design.table.covariate_names and not asked.orthogonalise:
        tabular = ColumnReducer(pca=None, seed=asked.settings.seed, columns="covariates").fit(
            design, everyone
        )
    scale = float(known.propensity.std())
    return TypeColumns(
        reducer,
        components.mean(axis=0),
        np.where(spread > _NO_SPREAD, spread, 1.0),
        tabular,
        (float(known.propensity.mean()), scale) if scale > _NO_SPREAD else None,
        asked.variances,
    )


@dataclass(frozen=True, eq=False)
class TypeModel:
    """A mixture with the columns that it reads."""

    columns: TypeColumns
    mixture: TypeMixture
    seed: int

    def probabilities(self, design: Design) -> tuple[FloatArray, FloatArray]:
        """Return the probability of each type and its posterior SD for the units of a design, each (n, K)."""
        _, codes, gate = self.columns.of_images(design)
        mean, spread = self.mixture.probabilities(gate, seed=self.seed)
        return mean[codes], spread[codes]

    def log_likelihoods(self, design: Design, known: Expected) -> FloatArray:
        """Return the log likelihood (J,) of the outcomes of all units of each image, in the order of their keys."""
        sample = self.columns.sample(design, known)
        probability, _ = self.mixture.probabilities(sample.gate, seed=self.seed)
        return self.mixture.image_log_likelihood(sample, probability)


@one_blas_thread()
def learn_types(design: Design, asked: TypesAsked, numbers: Sequence[int]) -> tuple[TypeModel, ...]:
    """Learn mixtures of several numbers of types from all units of a design.

    Units are taken in the order of their ids, so that a fit does not depend on how the table was sorted.
    """
    design = design.take(np.argsort(design.table.ids, kind="stable"))
    settings = asked.settings
    scheme = settings.folds
    n_groups = int(scheme.groups(design).max()) + 1
    dealt = replace(scheme, k=min(INNER_FOLDS, n_groups), repeats=1).assign(design, seed=settings.seed)
    known = expected(design, dealt, asked)
    columns = type_columns(design, known, asked)
    sample = columns.sample(design, known)
    return tuple(
        TypeModel(columns, fit_types(sample, types, seed=settings.seed), settings.seed) for types in numbers
    )
