"""What a reader must know of the propensity behind an estimate: range, extremes, and whether it fits the arms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# Propensities outside these bounds are counted in the warnings.
EXTREME_PROPENSITY = (0.05, 0.95)
# A known propensity this many standard errors from the share treated was not the one used.
FAR_FROM_SHARE = 4.0


def propensity_diagnostics(propensity: FloatArray, treatment: FloatArray, known: bool) -> dict[str, Any]:
    """Return the range of the propensity and the effective sample size of each arm."""
    weight = np.where(treatment == 1, 1 / propensity, 1 / (1 - propensity))
    sizes = {
        name: float(weight[arm].sum() ** 2 / (weight[arm] ** 2).sum())
        for name, arm in (("ess_treated", treatment == 1), ("ess_control", treatment == 0))
    }
    return {
        "propensity": "known" if known else "learned out of fold",
        "propensity_min": float(propensity.min()),
        "propensity_max": float(propensity.max()),
        **sizes,
    }


def extreme_propensities(propensity: FloatArray, treatment: FloatArray) -> list[str]:
    """Return a warning with counts by arm when propensities lie near 0 or 1."""
    low, high = EXTREME_PROPENSITY
    extreme = (propensity < low) | (propensity > high)
    if not extreme.any():
        return []
    return [
        f"{int(extreme[treatment == 1].sum())} treated and {int(extreme[treatment == 0].sum())} control units "
        f"have a propensity outside [{low}, {high}]; nothing was trimmed"
    ]


def propensity_warnings(design: Design, propensity: FloatArray, known: bool) -> list[str]:
    """Return warnings: extremes by arm, and a known propensity that the share of treated units belies."""
    treatment = design.table.treatment
    warnings = extreme_propensities(propensity, treatment)
    # units tied by cluster or image were assigned together at best, so they count once
    share = np.bincount(design.groups, weights=treatment) / np.bincount(design.groups)
    expected = np.bincount(design.groups, weights=propensity) / np.bincount(design.groups)
    error = np.sqrt((expected * (1 - expected)).sum()) / share.size
    if known and abs(share.mean() - expected.mean()) > FAR_FROM_SHARE * error:
        warnings.append(
            f"the known propensity is {propensity.mean():.3f} on average, but {treatment.mean():.3f} of the units "
            "are treated: more than chance explains; check that it is the one used in the randomisation"
        )
    return warnings
