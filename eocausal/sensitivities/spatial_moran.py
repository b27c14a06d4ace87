"""Moran's I of residuals and of influence values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from eocausal.sensitivities.moran import (
    Moments,
    Weights,
    moran,
    residual_moments,
    signed_draws,
    uneven_moments,
)
from eocausal.sensitivities.spatial_entries import (
    INFLUENCE,
    RESIDUALS,
    Entries,
    influence,
    influence_by_cluster,
    residuals,
)
from eocausal.sensitivities.spatial_parts import Part, neighbour_weights

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

DRAWS = 999


@dataclass(frozen=True)
class Alike:
    """Moran's I of values, its moments where nothing is shared, p-values by these and by draws of signs."""

    found: float
    moments: Moments
    p_value: float
    p_draws: float


def alike(entries: Entries, weights: Weights, *, seed: int, draws: int = DRAWS) -> Alike:
    """Test whether values of neighbours are alike, on both sides.

    Residuals of one regression have the moments of Cliff and Ord for residuals with equal variances; other values
    those of independent values, each with its own variance; histories those of the draws.
    """
    values = entries.values
    found = moran(values, weights)
    drawn = signed_draws(values, weights, draws=draws, seed=seed, basis=entries.basis)
    middle = float(drawn.mean())
    as_far = int((np.abs(drawn - middle) >= abs(found - middle) - 1e-12).sum())
    if entries.basis is not None:
        moments = residual_moments(weights, entries.basis)
    elif values.ndim == 1:
        moments = uneven_moments(values, weights)
    else:
        moments = Moments(-1 / (len(values) - 1), float(drawn.var()))
    p_value = 2 * float(stats.norm.sf(abs(moments.statistic(found))))
    return Alike(found, moments, p_value, (1 + as_far) / (1 + draws))


def moran_part(estimate: Estimate, neighbours: object, *, seed: int) -> Part:
    """Return Moran's I of residuals, of influence values, and of their sums by cluster where there are clusters.

    Raises
    ------
    SensitivityError
        All units are at one place, or too few for so many neighbours.
    """
    by_unit = influence(estimate)
    rows: list[dict[str, Any]] = []
    numbers: dict[str, float] = {}
    warnings: list[str] = []
    diagnostics: dict[str, Any] = {}
    for name, entries in (
        (RESIDUALS, residuals(estimate)), (INFLUENCE, by_unit), ("clusters", influence_by_cluster(estimate)),
    ):  # fmt: skip
        if entries is None:
            continue
        if name == "clusters" and len(entries.values) <= _least(neighbours):
            warnings.append(
                f"{len(entries.values)} clusters are too few to look for likeness among neighbours"
            )
            continue
        weights, told = neighbour_weights(entries.places, neighbours)
        found = alike(entries, weights, seed=seed)
        rows.append(_row(entries.what, found))
        short = {RESIDUALS: "residuals", INFLUENCE: "influence"}.get(name, name)
        numbers |= {
            f"moran_{short}": found.found, f"moran_{short}_expected": found.moments.expected,
            f"moran_{short}_z": found.moments.statistic(found.found), f"moran_{short}_p": found.p_value,
        }  # fmt: skip
        lonely = int((weights.n_neighbours == 0).sum())
        if lonely and name == INFLUENCE:
            warnings.append(f"{lonely} units have no neighbour ({told}) and do not enter Moran's I")
        diagnostics[f"neighbours_{short}"] = f"{told}, {weights.n_neighbours.mean():.1f} on average"
    if by_unit.places.shared:
        diagnostics["units_that_share_a_place"] = by_unit.places.shared
        warnings.append(
            f"{by_unit.places.shared} of {len(by_unit.values)} units share their place with others, which are "
            "their neighbours at distance 0; where these alone are as many as were asked for, all of them count "
            "and nobody else"
        )
    assumed = (
        "Moran's I: without anything shared, values of different units are unrelated, however large each is"
    )
    return Part(
        tuple(rows), numbers, warnings=tuple(warnings), assumptions=(assumed,), diagnostics=diagnostics
    )


def _least(neighbours: object) -> int:
    return neighbours if isinstance(neighbours, int) else 2


def _row(what: str, found: Alike) -> dict[str, Any]:
    return {
        "test": "moran", "what": f"Moran's I of {what}", "estimate": found.found,
        "expected": found.moments.expected, "std_error": found.moments.variance**0.5,
        "p_value": found.p_value, "p_draws": found.p_draws,
    }  # fmt: skip
