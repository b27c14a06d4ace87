"""Spillovers: the outcome on own treatment and on how many of the units around were treated, ring by ring.

Exposure is made of the treatment of others, so it is no covariate of a design: those are fixed before treatment. It
enters a regression here as what it is, a second treatment, with an effect and a standard error of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.effects.coefficients import model_columns
from eocausal.errors import EstimationError, SensitivityError, explain
from eocausal.inference.assemble import assemble
from eocausal.inference.how import Vcov
from eocausal.inference.least_squares import least_squares
from eocausal.inference.parametric import dependent_columns
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.simultaneous import equality_p
from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.nuisance.cross_fit import LEADING_COMPONENTS
from eocausal.sensitivities.near_places import Places, distance_of_share, places_of
from eocausal.sensitivities.panel_rings import panel_regression
from eocausal.sensitivities.ring_shares import RingsFit, apart_from, ring_names, share_treated
from eocausal.sensitivities.spatial_parts import (
    Part,
    counts_of,
    read_distances,
    ring_edges,
    row_of,
)
from eocausal.sensitivities.subject import is_panel, origin_of, settings_of

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.spatial_parts import Distances

FloatArray = npt.NDArray[np.float64]

ADDITIVE = (
    "rings: given own treatment, covariates and how much treatment was to be expected around, who else was treated "
    "is as good as random, and the outcome is linear in the share treated in each ring"
)


@dataclass(frozen=True, eq=False)
class Rings:
    """What rings hold: shares (n, b) of treated units, and what the regression must hold beside them (n, c)."""

    names: tuple[str, ...]
    shares: FloatArray
    beside: FloatArray
    units: FloatArray


def rings_part(estimate: Estimate, rings: Distances, neighbours: object, *, level: float) -> Part:
    """Return effects of the share treated in rings around each unit, and the own effect with and without them.

    Raises
    ------
    SensitivityError
        No ring in which the share of treated units can be told apart from own treatment and controls.
    """
    panel = is_panel(estimate)
    coordinates = _all_places(estimate)
    places = places_of(coordinates)
    if len(places.points) < FEW_CLUSTERS:
        text = f"Rings around {len(places.points)} places say nothing of spillovers."
        raise SensitivityError(explain(text, rule=f"at least {FEW_CLUSTERS} places"))
    edges = ring_edges(places, neighbours)
    edges = edges if rings is None else read_distances(rings, argument="rings")
    found = panel_regression(estimate, edges) if panel else _regression(estimate, edges)
    how = _errors(estimate, places, edges[-1])
    made, plain, noted = _both_with_errors(found, estimate, how)
    count = len(made.terms) - 1
    joint = equality_p(
        np.append(made.values[1:], 0.0), np.pad(made.variance.matrix[1:, 1:], (0, 1)), df=made.variance.df
    )
    rows = [
        {
            **row_of(plain, test="rings", what="own treatment, without rings", level=level),
            **counts_of(estimate),
        }
    ]
    rows += [row_of(made, test="rings", what="own treatment, with rings", level=level)]
    told = [
        row_of(made, test="rings", what=made.terms[1 + one], level=level, place=1 + one)
        for one in range(count)
    ]
    rows += [{**one, "distance_km": at / 1000} for one, at in zip(told, found.edges)]
    rows += [{"test": "rings", "what": "no effect of any ring (joint test)", "p_value": joint}]
    curve = pd.DataFrame(told).drop(columns="test").rename(columns={"what": "ring"})
    starts = [0.0, *edges[:-1]]
    curve["from_km"] = [starts[edges.index(at)] / 1000 for at in found.edges]
    curve["to_km"] = [at / 1000 for at in found.edges]
    curve["units_in_ring"], curve["share_treated"] = found.units, found.shares
    most = int(np.argmax(np.abs(curve["estimate"] / curve["std_error"])))
    numbers = {
        "rings_joint_p": joint, "rings_estimate": float(made.values[0]),
        "rings_estimate_error": float(np.sqrt(made.variance.matrix[0, 0])), "rings_without": float(plain.values[0]),
        "ring_effect": float(curve["estimate"][most]), "ring_effect_p": float(curve["p_value"][most]),
        "ring_from_km": float(curve["from_km"][most]), "ring_to_km": float(curve["to_km"][most]),
        "rings_reach_km": float(curve["to_km"].max()),
    }  # fmt: skip
    assumptions = () if panel else (ADDITIVE,)
    if np.isnan(joint):
        noted = (*noted, f"rings: {made.vcov} is too few to test {count} rings together")
    return Part(
        tuple(rows), numbers, {"rings": curve}, {"rings": made}, assumptions,
        (*found.warnings, *noted, *(f"rings: {text}" for text in made.variance.notes)),
        {"rings_vcov": made.vcov, "rings_columns": found.columns},
    )  # fmt: skip


def _all_places(estimate: Estimate) -> FloatArray:
    table = origin_of(estimate).entered.table
    if not is_panel(estimate):
        return np.asarray(table.coordinates)
    return np.asarray(table.coordinates[table.first_rows])


def _regression(estimate: Estimate, edges: list[float]) -> RingsFit:
    """Regress the outcome on treatment, shares in rings, covariates and leading components, and expected shares."""
    entered, source, rows = _units(estimate)
    columns = _columns(source, estimate)
    rings = _rings(source, columns, edges)
    table = entered.table
    controls = _apart(np.column_stack([columns, rings.beside])[rows])
    kept, warnings = apart_from(rings.shares[rows], np.column_stack([table.assigned, controls]), rings.names)
    shares, units = rings.shares[rows][:, kept], rings.units[rows][:, kept]
    names = (entered.treatment, *(rings.names[one] for one in kept))
    ones = np.ones((len(entered), 1))
    made = _fitted(entered, np.column_stack([table.assigned, shares, ones, controls]), names, estimate)
    plain = _fitted(entered, np.column_stack([table.assigned, ones, controls]), names[:1], estimate)
    return RingsFit(
        made, plain, [edges[one] for one in kept], units.mean(axis=0).tolist(),
        shares.mean(axis=0).tolist(), controls.shape[1], warnings,
    )  # fmt: skip


def _apart(columns: FloatArray) -> FloatArray:
    """Return columns standardised, without those that do not vary or follow from others."""
    scale = columns.std(axis=0)
    varies = scale > 1e-9 * np.maximum(np.abs(columns).max(axis=0, initial=0.0), 1e-300)
    # centred first, so that an intercept follows from none of them
    left = (columns[:, varies] - columns[:, varies].mean(axis=0)) / scale[varies]
    return np.asarray(np.delete(left, [one for one in dependent_columns(left) if one >= 0], axis=1))


def _units(estimate: Estimate) -> tuple[Design, Design, npt.NDArray[np.intp]]:
    """Return the design of units that entered, that of all around, and the rows of the first in the second."""
    origin = origin_of(estimate)
    entered, whole = origin.entered, origin.design
    source = entered if len(entered) >= len(whole) else whole
    order = np.argsort(source.table.ids)
    return entered, source, order[np.searchsorted(source.table.ids[order], entered.table.ids)]


def _columns(source: Design, estimate: Estimate) -> FloatArray:
    settings = settings_of(origin_of(estimate))
    learners = settings.learners
    learners = learners if learners.pca is not None else replace(learners, pca=LEADING_COMPONENTS)
    return model_columns(source, replace(settings, learners=learners)).values


def _rings(source: Design, columns: FloatArray, edges: list[float]) -> Rings:
    """Return shares treated in rings; beside them what shares were to be expected, and who has nobody in a ring.

    Expected is the mean of the linear projection of treatment on the columns. Given that, exposure varies by who
    happened to be treated and not by where one lives (Borusyak and Hull 2023, Econometrica 91).
    """
    table = source.table
    everything = np.column_stack([np.ones(len(source)), columns])
    expected = everything @ np.linalg.lstsq(everything, table.assigned, rcond=None)[0]
    means, units = share_treated(
        np.asarray(table.coordinates), np.column_stack([table.assigned, expected]), edges, table.clusters
    )
    nobody = (units == 0).astype(float)
    dose = table.treatment_type == "continuous"
    return Rings(
        ring_names(edges, dose=dose), means[:, :, 0], np.column_stack([means[:, :, 1], nobody]), units
    )


def _fitted(design: Design, columns: FloatArray, terms: tuple[str, ...], estimate: Estimate) -> Estimate:
    fit = least_squares(design.table.outcome, columns, design.table.weights)
    scored = [
        ScoredEstimate(float(fit.coefficients[one]), fit.scores[:, one], columns.shape[1])
        for one in range(len(terms))
    ]
    return assemble(
        design,
        scored,
        vcov="iid",
        estimand="rings",
        method="ols",
        terms=terms,
        provenance=estimate.provenance,
    )


def _errors(estimate: Estimate, places: Places, edge_m: float) -> Vcov:
    """Return the estimate's own way; Conley's where that takes units as independent, since exposure is shared.

    Up to twice the outer edge, at which two units have no neighbours in common, but never so far that too few
    separate places are left.
    """
    how = estimate.variance.how
    if how.kind not in ("iid", "hetero"):
        return how
    cutoff = max(min(2 * edge_m, distance_of_share(places, 1 / FEW_CLUSTERS)), 1.0)
    return Vcov("conley", cutoff_m=cutoff, kernel="bartlett")


def _both_with_errors(
    found: RingsFit, estimate: Estimate, how: Vcov
) -> tuple[Estimate, Estimate, tuple[str, ...]]:
    """Return the regressions with and without rings with these errors, by Bartlett's kernel where uniform fails."""
    try:
        return _with_errors(found.made, estimate, how), _with_errors(found.plain, estimate, how), ()
    except EstimationError:
        if how.kernel != "uniform":
            raise
    smooth = replace(how, kernel="bartlett")
    made, plain = (_with_errors(one, estimate, smooth) for one in (found.made, found.plain))
    return made, plain, (f"rings: the variance by {how.label} is not positive; errors are {smooth.label}",)


def _with_errors(made: Estimate, estimate: Estimate, how: Vcov) -> Estimate:
    known = {**made.groups}
    if made.n == estimate.n:
        known |= dict(estimate.groups)
    return replace(made, groups=known).with_vcov(how)
