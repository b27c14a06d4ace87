"""A result of least squares as the regression that it is: outcome, treatment and controls as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr

from eocausal._study_columns import covariate_of
from eocausal.effects.coefficients import model_columns
from eocausal.errors import SensitivityError, explain
from eocausal.inference.within import take_out_effects
from eocausal.panels.fixed_effects import event_columns, treatment_column
from eocausal.sensitivities.benchmarks import Benchmark, coordinate_columns
from eocausal.sensitivities.subject import is_panel, origin_of, settings_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Columns of a regression that are of no covariate and of no block of features: the intercept, other treatments.
OWN = ""
# Of a column of length 1, so little left by others is rounding.
_DEPENDENT = 1e-9


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Outcome on treatment and controls, all times the root of the weights and without effects that are absorbed.

    So that plain least squares of these arrays is the regression.

    Attributes
    ----------
    outcome, treatment : array of shape (n,)
    columns : array of shape (n, p)
        Controls, the intercept among them where no effects are absorbed.
    of : tuple of str, length p
        The covariate, or the block of features, that each column was read from; empty for the intercept.
    df : int
        Residual degrees of freedom, absorbed effects counted.
    roots : array of shape (n,)
        Roots of the weights, 1 on average of their squares.
    coordinates : array of shape (n, 2) or None
    absorbed : bool
        Whether unit and period effects were taken out.
    """

    outcome: FloatArray
    treatment: FloatArray
    columns: FloatArray
    of: tuple[str, ...]
    df: int
    roots: FloatArray
    coordinates: FloatArray | None = None
    absorbed: bool = False

    def members(self, benchmark: Benchmark, blocks: tuple[str, ...]) -> Mask:
        """Return which columns (p,) a benchmark is made of; ``blocks`` are all blocks of features there are."""
        names = {*benchmark.covariates, *benchmark.blocks, *(blocks if benchmark.features else ())}
        return np.array([one in names for one in self.of], dtype=bool)

    def with_coordinates(self) -> LinearModel:
        """Return the regression with a smooth surface over places among its controls, called ``coordinates``."""
        if self.coordinates is None:
            raise SensitivityError(
                explain("The design knows no coordinates.", fix="lon=, lat= in read_units")
            )
        surface = coordinate_columns(self.coordinates) * self.roots[:, None]
        names = (*self.of, *("coordinates" for _ in surface.T))
        return replace(
            self, columns=np.column_stack([self.columns, surface]), of=names, df=self.df - surface.shape[1]
        )

    def residuals(self, values: FloatArray, keep: Mask | None = None) -> FloatArray:
        """Return what the controls, or those of a mask, leave of values (n,) or (n, m)."""
        columns = self.columns if keep is None else self.columns[:, keep]
        lengths = np.sqrt((columns**2).sum(axis=0))
        columns = columns[:, lengths > 0] / lengths[lengths > 0]
        if not columns.shape[1]:
            return values
        # a surface over places may follow from covariates: what rounding leaves of a column is no direction
        basis, upper, _ = qr(columns, mode="economic", pivoting=True)
        size = np.abs(np.diag(upper))
        basis = basis[:, : int((size > _DEPENDENT * size[0]).sum())]
        return np.asarray(values - basis @ (basis.T @ values))


def linear_model(estimate: Estimate) -> LinearModel:
    """Return the regression that an estimate of one term is the coefficient of.

    Raises
    ------
    SensitivityError
        The estimate is not the coefficient of one regression.
    """
    reader = _READERS.get(origin_of(estimate).options["method"])
    if reader is None:
        fix = "ec.ate(design, method='ols'), or kind='dml' for learned nuisances"
        raise SensitivityError(
            explain(
                f"method={estimate.method!r} is no coefficient of one regression.",
                rule=f"methods that are: {', '.join(_READERS)}",
                fix="ec.panel(design, method='twfe'), or kind='placebo'" if is_panel(estimate) else fix,
            )
        )
    return reader(estimate)


def _ols(estimate: Estimate) -> LinearModel:
    origin = origin_of(estimate)
    design = origin.entered
    found = model_columns(design, settings_of(origin))
    blocks = design.table.feature_blocks
    of = tuple(_column_of(name, design.covariates, blocks) for name in found.names)
    return _cross_section(design, found.values, of)


def _column_of(name: str, covariates: Any, blocks: Any) -> str:
    """Return the covariate or the block of features that a column of ``model_columns`` is of."""
    block = next((one for one in blocks if name.startswith((f"{one} column ", f"{one} component "))), None)
    known = covariate_of(name, covariates)
    return known if known in covariates or block is None else block


def _regression(estimate: Estimate) -> LinearModel:
    """Return the interacted regression; columns times treatment are controls too."""
    origin = origin_of(estimate)
    table = origin.entered.table
    treatment = table.treatment
    target = {"ate": np.ones_like(treatment), "att": treatment, "atc": 1 - treatment}[
        origin.options["estimand"]
    ]
    of = tuple(covariate_of(name, origin.entered.covariates) for name in table.covariate_names)
    centred = table.covariates - np.average(table.covariates, axis=0, weights=table.weights * target)
    both = np.column_stack([centred, centred * treatment[:, None]])
    return _cross_section(origin.entered, both, (*of, *of))


def _difference(estimate: Estimate) -> LinearModel:
    design = origin_of(estimate).entered
    return _cross_section(design, np.zeros((len(design), 0)), ())


def _cross_section(design: Any, columns: FloatArray, of: tuple[str, ...]) -> LinearModel:
    table = design.table
    roots = np.sqrt(table.weights / table.weights.mean())
    controls = np.column_stack([np.ones(len(design)), columns]) * roots[:, None]
    return LinearModel(
        table.outcome * roots,
        table.assigned * roots,
        controls,
        (OWN, *of),
        len(design) - controls.shape[1] - 1,
        roots,
        table.coordinates,
    )


def _panel(estimate: Estimate) -> LinearModel:
    """Return the regression on what unit and period effects leave; other terms of an event study are controls."""
    origin = origin_of(estimate)
    design, options = origin.entered, origin.options
    event = options["method"] == "event_study"
    found = event_columns(design, window=options.get("window")) if event else treatment_column(design)
    table, rows = design.table, found.rows
    place = found.terms.index(estimate.terms[0])
    everything = np.column_stack([table.outcome, found.columns, table.covariates])[rows]
    units = np.unique(table.unit_codes[rows], return_inverse=True)[1]
    left = take_out_effects(everything, units, table.steps[rows], table.weights[rows])
    covariates = tuple(covariate_of(name, design.covariates) for name in table.covariate_names)
    of = (*(OWN for _ in found.terms), *covariates)
    others = [one for one in range(len(of)) if one != place]
    n_effects = int(units.max()) + np.unique(table.steps[rows]).size
    weights = table.weights[rows]
    return LinearModel(
        left[:, 0],
        left[:, 1 + place],
        left[:, 1:][:, others],
        tuple(of[one] for one in others),
        int(rows.sum()) - len(of) - n_effects,
        np.sqrt(weights / weights.mean()),
        absorbed=True,
    )


_READERS: dict[str, Callable[[Estimate], LinearModel]] = {
    "ols": _ols,
    "regression": _regression,
    "difference": _difference,
    "twfe": _panel,
    "event_study": _panel,
}
METHODS = tuple(_READERS)
