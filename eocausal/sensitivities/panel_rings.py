"""Spillovers in a panel: who is treated around a unit in each period, with unit and period effects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.within import take_out_effects, within_fit
from eocausal.panels.results import Scored, assemble, row_entries
from eocausal.sensitivities.ring_shares import RingsFit, apart_from, ring_names, share_treated
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]


def panel_regression(estimate: Estimate, edges: list[float]) -> RingsFit:
    """Regress the outcome on treatment in each period and shares treated around, with unit and period effects.

    The method is that of ``twfe`` whatever the estimate was made by: exposure has no cohorts.
    """
    design = origin_of(estimate).entered
    table = design.table
    shares, units = _shares_by_period(design, edges)
    own = np.column_stack([table.treatment, table.covariates])
    effects = take_out_effects(np.column_stack([shares, own]), table.unit_codes, table.steps, table.weights)
    moving = _moving(shares, effects[:, : shares.shape[1]])
    kept, warnings = apart_from(moving, effects[:, shares.shape[1] :], ring_names(edges))
    names = [design.treatment, *(ring_names(edges)[one] for one in kept)]
    made = _fitted(estimate, np.column_stack([table.treatment, shares[:, kept]]), names)
    plain = _fitted(estimate, table.treatment[:, None], names[:1])
    return RingsFit(
        made, plain, [edges[one] for one in kept], units[:, kept].mean(axis=0).tolist(),
        shares[:, kept].mean(axis=0).tolist(), table.covariates.shape[1], warnings,
    )  # fmt: skip


def _shares_by_period(design: Any, edges: list[float]) -> tuple[FloatArray, FloatArray]:
    table = design.table
    shares, units = (np.zeros((len(design), len(edges))) for _ in range(2))
    for step in np.unique(table.steps):
        rows = table.steps == step
        apart = None if table.clusters is None else table.clusters[rows]
        means, count = share_treated(table.coordinates[rows], table.treatment[rows, None], edges, apart)
        shares[rows], units[rows] = means[:, :, 0], count
    return shares, units


def _moving(shares: FloatArray, left: FloatArray) -> FloatArray:
    """Return what effects leave of shares, and nothing where that is rounding."""
    size = np.sqrt((shares**2).mean(axis=0))
    rounding = np.sqrt((left**2).mean(axis=0)) <= 1e-9 * np.where(size > 0, size, 1.0)
    return np.where(rounding, 0.0, left)


def _fitted(estimate: Estimate, columns: FloatArray, names: list[str]) -> Estimate:
    origin = origin_of(estimate)
    design = origin.entered
    table = design.table
    fit = within_fit(
        table.outcome,
        np.column_stack([columns, table.covariates]),
        names=[*names, *table.covariate_names],
        units=table.unit_codes,
        periods=table.steps,
        weights=table.weights,
    )
    count = columns.shape[1]
    scored = Scored(
        tuple(names),
        fit.coefficients[:count],
        fit.scores[:, :count],
        "rings",
        n_params=fit.coefficients.size + fit.n_periods,
        unit_effects=fit.n_units - 1,
    )
    called = replace(origin, options={**origin.options, "method": "twfe", "vcov": None})
    made = assemble(design, row_entries(design, np.ones(len(design), dtype=bool)), scored, origin=called)
    return replace(made, origin=None)
