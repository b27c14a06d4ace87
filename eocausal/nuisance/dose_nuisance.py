"""Out-of-fold predictions for doses: the outcome at each dose, and the density of doses.

What users name as outcome learner learns all of it: the outcome from columns and dose, and the dose from columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.inference.dose_scores import kernel_density
from eocausal.nuisance.columns import require_columns_asked
from eocausal.nuisance.fitting import fitted_outcome
from eocausal.nuisance.pooled import refuse_predictions_by_arm, with_columns
from eocausal.nuisance.training_folds import TrainingFold

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

# Learners that bend and mix columns by themselves; the others get powers of the dose and its products with columns.
BENDS = ("boosting",)
POWERS = 3
# Residuals smaller than this share of their spread have no useful logarithm.
SMALLEST_RESIDUAL = 1e-3


@dataclass(frozen=True)
class _How:
    """How predictions are made: learners, groups that inner splits keep whole, seed."""

    learners: Learners
    groups: Codes
    seed: int

    def part(self, design: Design, fold: int, rows: BoolArray) -> TrainingFold:
        return TrainingFold(design, fold, rows, groups=self.groups, learners=self.learners, seed=self.seed)


@one_blas_thread()
def outcomes_at(
    design: Design, doses: Sequence[float], folds: Codes, learners: Learners, *, seed: int, groups: Codes
) -> tuple[FloatArray, FloatArray]:
    """Return the outcome of each unit at each dose (n, d), and at the dose it got (n,), predicted out of fold.

    The columns of a fold are those made on its training rows. Linear learners see the dose, its square and its
    cube, and the products of the dose with every column; boosted trees and estimators of users see the dose itself.
    """
    refuse_predictions_by_arm(learners)
    require_columns_asked(design, learners.columns)
    table = design.table
    bends = not isinstance(learners.outcome, str) or learners.outcome in BENDS
    how = _How(replace(learners, columns="both"), groups, seed)
    predicted, own = np.zeros((len(design), len(doses))), np.zeros(len(design))
    for fold in range(int(folds.max()) + 1):
        train = folds != fold
        columns = (
            _How(learners, groups, seed)
            .part(design, fold, train)
            .reducer.transform(design, np.ones(len(design), dtype=bool))
        )
        centre, scale = table.assigned[train].mean(), table.assigned[train].std()

        def at(
            dose: FloatArray, columns: FloatArray = columns, by: tuple[float, float] = (centre, scale)
        ) -> Design:
            made = _with_dose(columns, (dose - by[0]) / by[1], bends=bends)
            names = tuple(f"column {position + 1}" for position in range(made.shape[1]))
            blank = np.zeros((len(design), 0), dtype=np.float32)
            return with_columns(
                design,
                covariates=made,
                covariate_names=names,
                missing=None,
                features=blank,
                feature_blocks={},
            )

        part = how.part(at(table.assigned), fold, train)
        model = fitted_outcome(part, train)
        own[~train] = model.predict(part.reducer.transform(part.design, ~train))
        for position, dose in enumerate(doses):
            shown = part.reducer.transform(at(np.full(len(design), dose)), ~train)
            predicted[~train, position] = model.predict(shown)
    return predicted, own


@one_blas_thread()
def densities(
    design: Design,
    folds: Codes,
    learners: Learners,
    *,
    seed: int,
    groups: Codes,
    spread: str,
) -> FloatArray:
    """Return the density of the dose that each unit got given what is known of it (n,), out of fold.

    The dose less its expectation, over its spread, has one density for all units: that of the residuals of the
    training rows, each predicted from other training rows, by normal kernels. With ``spread="columns"`` the
    logarithm of the size of these residuals is predicted too; with ``"constant"`` it is the same for all.
    """
    table, how = design.table, _How(learners, groups, seed)
    view = with_columns(design, outcome=table.assigned)
    found = np.zeros(len(design))
    for fold in range(int(folds.max()) + 1):
        part = how.part(view, fold, folds != fold)
        expected = _predicted(part, ~part.rows)
        residuals = _inner_residuals(part, how)
        scale = np.ones(len(design))
        if spread == "columns":
            scale = _scale(design, part, residuals, how)
        density = kernel_density(residuals[part.rows] / scale[part.rows], table.weights[part.rows])
        own = scale[~part.rows]
        found[~part.rows] = density((table.assigned[~part.rows] - expected) / own) / own
    return found


def _with_dose(columns: FloatArray, dose: FloatArray, *, bends: bool) -> FloatArray:
    """Return columns (n, p) with the dose (n,): by itself, or with its powers and its products with columns."""
    if bends:
        return np.column_stack([columns, dose])
    powers = [dose**power for power in range(1, POWERS + 1)]
    return np.column_stack([columns, *powers, columns * dose[:, None]])


def _predicted(part: TrainingFold, rows: BoolArray) -> FloatArray:
    return fitted_outcome(part, part.rows).predict(part.reducer.transform(part.design, rows))


def _inner_residuals(part: TrainingFold, how: _How) -> FloatArray:
    """Return target less prediction (n,) for the training rows, each predicted from other training rows."""
    residuals = np.zeros(part.rows.size)
    for inner in part.inner:
        learned = how.part(part.design, part.fold, inner.train)
        residuals[inner.test] = part.design.table.outcome[inner.test] - _predicted(learned, inner.test)
    return residuals


def _scale(design: Design, part: TrainingFold, residuals: FloatArray, how: _How) -> FloatArray:
    """Return the size of residuals that columns predict (n,), to a mean square of 1 on the training rows."""
    floor = SMALLEST_RESIDUAL * residuals[part.rows].std()
    view = with_columns(design, outcome=np.log(np.maximum(np.abs(residuals), floor)))
    everywhere = np.ones(len(design), dtype=bool)
    size = np.exp(_predicted(how.part(view, part.fold, part.rows), everywhere))
    return np.asarray(size / np.sqrt(np.mean(size[part.rows] ** 2)))
