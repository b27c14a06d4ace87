"""The coefficient of treatment in one regression on treatment, covariates and leading components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.effects.coefficients import idle_columns, model_columns
from eocausal.effects.methods import Asked, Fitted
from eocausal.errors import EstimationError, explain
from eocausal.inference.least_squares import least_squares
from eocausal.inference.parametric import dependent_columns
from eocausal.inference.scores import ScoredEstimate

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.coefficients import ModelColumns
    from eocausal.nuisance.settings import Settings

COEFFICIENT = "ols coefficient"
LINEAR = (
    "given the columns of the regression, treatment is as good as random, and the outcome is linear in treatment "
    "and columns"
)
AVERAGED = (
    "where effects differ, their average has as weights the variance of treatment that the columns leave, if "
    "treatment is linear in them"
)


def ols(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Regress the outcome on treatment, covariates and the leading components of each block of features."""
    table = design.table
    columns = model_columns(design, settings)
    _require_full_rank(design, columns)
    everything = np.column_stack([table.assigned, np.ones(len(design)), columns.values])
    fit = least_squares(table.outcome, everything, table.weights)
    total = table.outcome - np.average(table.outcome, weights=table.weights)
    left = table.weights @ fit.residuals**2 / (table.weights @ total**2)
    return Fitted(
        design,
        ScoredEstimate(float(fit.coefficients[0]), fit.scores[:, 0], everything.shape[1]),
        (LINEAR, AVERAGED),
        tuple(idle_columns(columns)),
        {"r2": 1 - float(left), "columns": len(columns.names), "pca": settings.learners.pca},
    )


def _require_full_rank(design: Design, columns: ModelColumns) -> None:
    """Raise with the names of columns that follow from others, or that leave nothing of the treatment."""
    table = design.table
    dependent = dependent_columns(columns.values)
    if dependent:
        names = ["(intercept)", *columns.names]
        raise EstimationError(
            explain(
                f"Columns of the regression are collinear ({len(design)} units).",
                where=[names[position + 1] for position in dependent],
                rule="covariates and components have full rank",
                fix="leave these covariates out; of features take fewer components: Learners(pca=5)",
            )
        )
    if dependent_columns(np.column_stack([columns.values, table.assigned])):
        raise EstimationError(
            explain(
                f"The {len(columns.names)} columns of the regression leave nothing of {design.treatment!r} to "
                f"compare ({len(design)} units).",
                rule="treatment differs between units that are alike in the columns",
                fix="fewer covariates or components: Learners(pca=5)",
            )
        )
