"""Out-of-fold predictions of outcome and treatment from covariates and image features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.calibration import reliability
from eocausal.nuisance.columns import ColumnReducer, has_columns, require_columns_asked
from eocausal.nuisance.fitting import fitted_outcome, fitted_propensity, mean_weights
from eocausal.nuisance.learners import Learners, OutOfFold
from eocausal.nuisance.training_folds import TrainingFold, require_rows, training_folds

if TYPE_CHECKING:
    from eocausal.design import Design

__all__ = [
    "LEADING_COMPONENTS",
    "ColumnReducer",
    "Learners",
    "Nuisance",
    "OutOfFold",
    "Propensities",
    "cross_fit",
    "outcomes_out_of_fold",
    "propensities",
]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Image features are described by, and balanced on, this many components of each block.
LEADING_COMPONENTS = 10


@dataclass(frozen=True)
class Propensities:
    """The propensity of each unit, and what a reader must know of it.

    Attributes
    ----------
    values : array of shape (n,)
    known : bool
        By design, not learned.
    warnings : tuple of str
    diagnostics : mapping
        Weights of a stack, reliability before and after calibration.
    """

    values: FloatArray
    known: bool
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Nuisance:
    """Predictions for each unit from models that did not see its fold.

    Attributes
    ----------
    outcome_control, outcome_treated : array of shape (n,)
    propensity : array of shape (n,)
    folds : array of shape (n,)
    known_propensity : bool
    warnings : tuple of str
    diagnostics : mapping
        Weights of stacks, reliability of the propensity.
    """

    outcome_control: FloatArray
    outcome_treated: FloatArray
    propensity: FloatArray
    folds: Codes
    known_propensity: bool
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome_mean(self) -> FloatArray:
        """The outcome expected of each unit before its treatment is known (n,)."""
        return self.propensity * self.outcome_treated + (1 - self.propensity) * self.outcome_control


def cross_fit(
    design: Design,
    folds: Codes,
    learners: Learners,
    *,
    seed: int,
    groups: Codes | None = None,
    known: bool = True,
) -> Nuisance:
    """Return all nuisance predictions on the same folds.

    ``groups`` (n,) are units that inner splits keep together, ``Folds.groups``; by default those of the design.
    With ``known=False`` a propensity that the design knows is set aside, and one is learned.
    """
    parts = _parts(design, folds, learners, seed=seed, groups=groups)
    learned = _propensities(design, folds, learners, parts, known=known)
    (control, treated), stacks = _outcomes(design, folds, learners, parts)
    return Nuisance(
        control,
        treated,
        learned.values,
        folds,
        learned.known,
        learned.warnings,
        {**learned.diagnostics, **stacks},
    )


def outcomes_out_of_fold(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the predicted outcome under control and under treatment, each (n,), out of fold."""
    parts = _parts(design, folds, learners, seed=seed, groups=groups)
    (control, treated), _ = _outcomes(design, folds, learners, parts)
    return control, treated


def propensities(
    design: Design,
    folds: Codes,
    learners: Learners,
    *,
    seed: int,
    groups: Codes | None = None,
    known: bool = True,
) -> Propensities:
    """Return the propensity of each unit: known ones first, else out of fold.

    Without covariates and features it is the weighted share of treated units outside the fold. With
    ``known=False`` a propensity that the design knows is set aside, and one is learned.

    Raises
    ------
    EstimationError
        A predicted propensity is exactly 0 or 1, or not finite.
    """
    parts = _parts(design, folds, learners, seed=seed, groups=groups)
    return _propensities(design, folds, learners, parts, known=known)


def _parts(
    design: Design, folds: Codes, learners: Learners, *, seed: int, groups: Codes | None
) -> list[TrainingFold]:
    own = design.groups if groups is None else groups
    return training_folds(design, folds, learners, seed=seed, groups=own)


@one_blas_thread()
def _outcomes(
    design: Design, folds: Codes, learners: Learners, parts: Sequence[TrainingFold]
) -> tuple[FloatArray, dict[str, Any]]:
    """Return the predicted outcomes (2, n) by arm, and the weights of the stacks."""
    if isinstance(learners.outcome, OutOfFold):
        return learners.outcome.out_of_fold(design, folds).T, {}
    require_columns_asked(design, learners.columns)
    predictions = np.zeros((2, len(design)))
    mixed: tuple[list[Mapping[str, float]], ...] = ([], [])
    for part in parts:
        columns = part.reducer.transform(design, ~part.rows)
        for arm in (0, 1):
            rows = part.rows & (design.table.treatment == arm)
            require_rows(rows, part.fold, arm)
            model = fitted_outcome(part, rows)
            predictions[arm, ~part.rows] = model.predict(columns)
            mixed[arm].append(model.weights)
    names = ("stack_outcome_control", "stack_outcome_treated")
    return predictions, {name: mean_weights(one) for name, one in zip(names, mixed) if one[0]}


@one_blas_thread()
def _propensities(
    design: Design, folds: Codes, learners: Learners, parts: Sequence[TrainingFold], *, known: bool
) -> Propensities:
    table = design.table
    if known and table.propensity is not None:
        return Propensities(table.propensity, True, _set_aside(learners))
    if isinstance(learners.propensity, OutOfFold):
        found = Propensities(learners.propensity.out_of_fold(design, folds)[:, 0], False)
    else:
        found = _learned(design, learners, parts)
    bad = ~((found.values > 0) & (found.values < 1))
    if bad.any():
        raise EstimationError(
            explain(
                "The propensity learner predicts exactly 0 or 1, so these units have no counterpart.",
                where=table.ids[bad],
                rule="0 < propensity < 1",
                fix="use a smoother learner (the default logit), or leave these units out: design.take(rows)",
            )
        )
    given = isinstance(learners.propensity, OutOfFold)
    if np.ptp(found.values) == 0 or not (given or has_columns(design, learners.columns)):
        return found
    curve = reliability(found.values, table.treatment, table.weights).to_dict()
    return replace(found, diagnostics={"reliability": curve, **found.diagnostics})


def _learned(design: Design, learners: Learners, parts: Sequence[TrainingFold]) -> Propensities:
    require_columns_asked(design, learners.columns)
    treatment = design.table.treatment
    plain, values, moved = np.zeros(len(design)), np.zeros(len(design)), np.zeros(len(design), dtype=bool)
    mixed: list[Mapping[str, float]] = []
    for part in parts:
        for arm in (0, 1):
            require_rows(part.rows & (treatment == arm), part.fold, arm)
        model, own = fitted_propensity(part), ~part.rows
        plain[own] = values[own] = model.predict(part.reducer.transform(design, own))
        if model.calibrate is not None:
            values[own], moved[own] = model.calibrate(plain[own])
        mixed.append(model.weights)
    diagnostics: dict[str, Any] = {"stack_propensity": mean_weights(mixed)} if mixed[0] else {}
    if model.calibrate is not None:
        diagnostics["reliability_before"] = reliability(plain, treatment, design.table.weights).to_dict()
    return Propensities(values, False, _moved_inside(values, moved, treatment), diagnostics)


def _moved_inside(values: FloatArray, moved: npt.NDArray[np.bool_], treatment: FloatArray) -> tuple[str, ...]:
    """Return a warning with counts by arm where calibration said 0 or 1."""
    if not moved.any():
        return ()
    at = values[moved]
    return (
        f"isotonic calibration gives {int((moved & (treatment == 1)).sum())} treated and "
        f"{int((moved & (treatment == 0)).sum())} control units a propensity of 0 or 1, because none or all of the "
        f"training units at their level were treated; it was set to values from {at.min():.4f} to {at.max():.4f}",
    )


def _set_aside(learners: Learners) -> tuple[str, ...]:
    """Return a warning where a propensity learner was chosen and the design knows the propensity."""
    if not learners.chosen_propensity:
        return ()
    said = learners.describe()
    how = f", calibration={learners.calibration!r}" if learners.calibration else ""
    return (
        f"the design knows the propensity, so the propensity learner asked for was not used "
        f"({said['propensity_learner']}{how}); to learn it, make the design without propensity=",
    )
