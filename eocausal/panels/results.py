"""From influence values of rows or of units to a result: groups, standard errors, warnings in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import versions
from eocausal.inference.arms import Arms
from eocausal.inference.estimate import Estimate
from eocausal.inference.origin import Origin
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.vcov import VcovChoice, resolve_vcov, variance_of
from eocausal.panels import guards

if TYPE_CHECKING:
    from eocausal.panels.design import PanelDesign

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """Estimates with their influence values, and what a reader must know of them.

    Attributes
    ----------
    terms : tuple of str, length k
    values : array of shape (k,)
    scores : array of shape (m, k)
        Centred influence values of rows of a panel, or of units.
    estimand : str
    n_params : int
        Fitted coefficients without those of unit effects.
    unit_effects : int
        Unit effects that were fitted too, beyond the first. They count where standard errors are not clustered by
        units or by groups of units.
    event_times : tuple of (int or None), length k
        Periods since treatment began that each term is of.
    """

    terms: tuple[str, ...]
    values: FloatArray
    scores: FloatArray
    estimand: str
    n_params: int = 1
    unit_effects: int = 0
    event_times: tuple[int | None, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entries:
    """What influence values are of: rows of a panel, or units."""

    ids: Labels
    groups: dict[str, Labels]
    coordinates: FloatArray | None
    treated: FloatArray
    index: PanelIndex | None


def row_entries(design: PanelDesign, rows: npt.NDArray[np.bool_]) -> _Entries:
    """Return the entries of some rows of a panel."""
    table = design.table
    ever = ~table.never[table.unit_codes]
    return _Entries(
        table.ids[rows],
        {name: labels[rows] for name, labels in design.labels().items()},
        None if table.coordinates is None else table.coordinates[rows],
        ever[rows].astype(float),
        PanelIndex(table.unit[rows], table.period[rows]),
    )


def unit_entries(design: PanelDesign, units: npt.NDArray[np.bool_]) -> _Entries:
    """Return the entries of some units; their place is that of their first row."""
    table = design.table
    first = table.first_rows[units]
    labels = {name: one[first] for name, one in design.labels().items() if name != design.period}
    return _Entries(
        table.units[units],
        labels,
        None if table.coordinates is None else table.coordinates[first],
        (~table.never[units]).astype(float),
        None,
    )


def assemble(design: PanelDesign, entries: _Entries, scored: Scored, *, origin: Origin) -> Estimate:
    """Make the result of a panel method, clustered by assignment, else by unit, unless asked otherwise."""
    vcov: VcovChoice | None = origin.options["vcov"]
    index = None if entries.index is None else replace(entries.index, unit_effects=scored.unit_effects)
    chosen, units = "cluster" if vcov is None else vcov, None if index is None else index.unit
    how, groups = resolve_vcov(chosen, groups=entries.groups, ids=entries.ids, units=units)
    arms = Arms(entries.treated, design.cluster or design.unit)
    variance = variance_of(
        scored.scores,
        how,
        groups=groups,
        coordinates=entries.coordinates,
        n_params=scored.n_params,
        panel=index,
        arms=arms,
    )
    imputed = design.outcome_imputed
    told = [] if imputed is None else imputed.warnings(with_features=design.features is not None)
    # clusters of standard errors are counted by arm in the notes of the variance
    few = [] if how.names else guards.few_treated(design.table, design.cluster)
    return Estimate(
        estimand=scored.estimand,
        method=origin.options["method"],
        terms=scored.terms,
        values=scored.values,
        ids=entries.ids,
        score_values=scored.scores,
        variance=variance,
        groups=groups,
        coordinates=entries.coordinates,
        panel=index,
        arms=arms,
        n_params=scored.n_params,
        origin=origin,
        assumptions=(*scored.assumptions, *([] if imputed is None else [imputed.assumption()])),
        warnings=tuple(dict.fromkeys([*told, *design.notes, *scored.warnings, *few, *variance.notes])),
        diagnostics={
            **guards.counts(design.table),
            **scored.diagnostics,
            **({} if not scored.event_times else {"event_times": list(scored.event_times)}),
            **({} if imputed is None else {"outcome_imputed_from": imputed.source()}),
        },
        provenance={
            "design": repr(design),
            "design_hash": design.fingerprint,
            "features_hash": None if design.features is None else design.features.recipe_hash,
            "seed": origin.options["seed"],
            "versions": versions(),
        },
    )
