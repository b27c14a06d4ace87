"""Propensities with coefficients on a design: which columns they are of, what these are called, what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.parametric import FittedPropensity, dependent_columns, fit_propensity
from eocausal.nuisance.columns import ColumnReducer, require_columns_asked
from eocausal.nuisance.likelihood import NO_SPREAD

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

# With fewer units of the smaller arm for each coefficient than this, a logit by maximum likelihood is not reliable.
UNITS_A_COLUMN = 10
# So many names are shown in a warning.
SHOWN = 5


@dataclass(frozen=True)
class ModelColumns:
    """Standardised covariates and leading components of a design's units, with their names.

    ``idle`` are the names of those that were left out because they do not vary among the units.
    """

    values: FloatArray
    names: tuple[str, ...]
    idle: tuple[str, ...] = ()


def model_columns(design: Design, settings: Settings) -> ModelColumns:
    """Return the columns that a model of all units at once sees: covariates, then features block by block."""
    rows, learners = np.arange(len(design)), settings.learners
    require_columns_asked(design, learners.columns)
    reducer = ColumnReducer(pca=learners.pca, seed=settings.seed, by_block=True, columns=learners.columns)
    reducer = reducer.fit(design, rows)
    values, names = reducer.transform(design, rows), _names(design, reducer)
    # what is left of a component that images do not have is rounding, and to scale it up would make noise of it
    varies = values.std(axis=0) > NO_SPREAD
    kept = tuple(name for name, own in zip(names, varies) if own)
    return ModelColumns(values[:, varies], kept, tuple(name for name in names if name not in kept))


def idle_columns(columns: ModelColumns) -> list[str]:
    """Return a warning of the columns that were left out.

    Examples
    --------
    >>> idle_columns(ModelColumns(np.ones((2, 1)), ("age",), ("rcf component 4", "rcf component 5")))[0]
    '2 columns do not vary among the units and were left out: rcf component 4, rcf component 5'
    """
    if not columns.idle:
        return []
    more = ", ..." if len(columns.idle) > SHOWN else ""
    one = len(columns.idle) == 1
    return [
        f"{len(columns.idle)} column{'s do' if not one else ' does'} not vary among the units and "
        f"{'was' if one else 'were'} left out: {', '.join(columns.idle[:SHOWN])}{more}"
    ]


def fitted_propensity(
    design: Design, columns: ModelColumns, *, model: str, what: str, fix: str
) -> FittedPropensity:
    """Fit a propensity to all units; raise where columns depend on one another or there is no solution.

    ``what`` says in the error what has no solution, ``fix`` how to mend it.
    """
    table = design.table
    dependent = dependent_columns(columns.values)
    if dependent:
        raise EstimationError(
            explain(
                f"Columns of the propensity are collinear ({len(design)} units).",
                where=[columns.names[position] if position >= 0 else "(intercept)" for position in dependent],
                rule="covariates and components have full rank",
                fix="leave these covariates out, of indicators of categories leave one out; of features take fewer "
                "components: Learners(pca=5)",
            )
        )
    fitted = fit_propensity(columns.values, table.treatment, table.weights, model=model)
    if fitted is not None:
        return fitted
    raise EstimationError(
        explain(
            f"{what} with {len(columns.names)} columns and {int(table.treatment.sum())} treated and "
            f"{int((1 - table.treatment).sum())} control units has no solution.",
            where=separating(columns, table.treatment),
            rule="no combination of the columns tells the arms apart",
            fix=fix,
        )
    )


def separating(columns: ModelColumns, treatment: FloatArray) -> list[str]:
    """Return the names of columns whose ranges in the two arms have at most a point in common."""
    control, treated = columns.values[treatment == 0], columns.values[treatment == 1]
    apart = (control.max(axis=0) <= treated.min(axis=0)) | (treated.max(axis=0) <= control.min(axis=0))
    return [name for name, alone in zip(columns.names, apart) if alone]


def many_coefficients(columns: ModelColumns, treatment: FloatArray) -> list[str]:
    """Return a warning when there are few units of the smaller arm for each coefficient."""
    smaller = int(min(treatment.sum(), (1 - treatment).sum()))
    if len(columns.names) * UNITS_A_COLUMN <= smaller:
        return []
    return [
        f"{len(columns.names)} columns in the propensity for {smaller} units in the smaller arm: with fewer than "
        f"{UNITS_A_COLUMN} units for a column, its coefficients and this standard error are not reliable; "
        "Learners(pca=10) makes features fewer"
    ]


def _names(design: Design, reducer: ColumnReducer) -> list[str]:
    """Return what the columns are called: covariates, then features or components block by block."""
    table = design.table
    names = list(table.covariate_names)[: reducer.n_covariates]
    for block, (_, components) in reducer.block_steps.items():
        start, stop = table.feature_blocks[block]
        wide = stop - start if components is None else int(components.n_components_)
        word = "column" if components is None else "component"
        names += [f"{block} {word} {position + 1}" for position in range(wide)]
    return names
