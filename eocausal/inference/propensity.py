"""What a reader must know of the propensity behind an estimate: range, extremes, and whether it fits the arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.smd import effective_size
from eocausal.inference.tilting import balancing_weights

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# Propensities outside these bounds are counted in the warnings.
EXTREME_PROPENSITY = (0.05, 0.95)
# An arm says little when its weights leave it worth fewer units than this, and less than half of its own.
FEW_EFFECTIVE = 30
# A known propensity this many standard errors from the share treated was not the one used.
FAR_FROM_SHARE = 4.0
# Averages over one arm ask of the other arm only; an average over the overlap gives extreme units no weight.
EXTREME_FOR = {"ate": (True, True), "att": (False, True), "atc": (True, False), "ato": (False, False)}


def propensity_diagnostics(
    propensity: FloatArray, treatment: FloatArray, known: bool, estimand: str = "ate", *, weights: FloatArray
) -> dict[str, Any]:
    """Return the range of the propensity and the effective sample size of each arm under the estimand's weights.

    ``weights`` (n,) are sampling weights: units that count unequally are worth fewer.
    """
    weight = weights * balancing_weights(treatment, propensity, estimand)
    sizes = {
        name: effective_size(weight[arm])
        for name, arm in (("ess_treated", treatment == 1), ("ess_control", treatment == 0))
    }
    return {
        "propensity": "known" if known else "learned out of fold",
        "propensity_min": float(propensity.min()),
        "propensity_max": float(propensity.max()),
        **sizes,
    }


def few_effective(sizes: Mapping[str, Any], treatment: FloatArray) -> list[str]:
    """Return a warning where weights leave an arm worth few units: ``sizes`` holds ``ess_treated, ess_control``.

    Examples
    --------
    >>> arms = np.repeat([1.0, 0.0], 200)
    >>> few_effective({"ess_treated": 180.0, "ess_control": 12.5}, arms)[0][:60]
    'after weighting, 200 control units are worth 12.5 (effective'
    >>> few_effective({"ess_treated": 180.0, "ess_control": 150.0}, arms)
    []
    """
    counted = {"treated": int((treatment == 1).sum()), "control": int((treatment == 0).sum())}
    few = [
        f"{n} {arm} units are worth {sizes[f'ess_{arm}']:.1f}"
        for arm, n in counted.items()
        if sizes[f"ess_{arm}"] < min(n / 2, FEW_EFFECTIVE)
    ]
    if not few:
        return []
    return [
        f"after weighting, {' and '.join(few)} (effective sample size); the estimate rests on them, and its "
        f"standard error is too small (below {FEW_EFFECTIVE})"
    ]


def extreme_propensities(
    propensity: FloatArray, treatment: FloatArray, estimand: str = "ate", *, trimmed: bool = False
) -> list[str]:
    """Return a warning with counts by arm when propensities lie where the estimand's weights are large."""
    low, high = EXTREME_PROPENSITY
    below, above = EXTREME_FOR[estimand]
    extreme = ((propensity < low) & below) | ((propensity > high) & above)
    if not extreme.any():
        return []
    where = f"outside [{low}, {high}]" if below and above else f"below {low}" if below else f"above {high}"
    return [
        f"{int(extreme[treatment == 1].sum())} treated and {int(extreme[treatment == 0].sum())} control units "
        f"have a propensity {where}; {'the trimming kept them' if trimmed else 'nothing was trimmed'}"
    ]


def belied_propensity(design: Design, propensity: FloatArray, known: bool) -> list[str]:
    """Return a warning when a known propensity is not what the share of treated units says."""
    treatment = design.table.treatment
    # units tied by cluster or image were assigned together at best, so they count once
    share = np.bincount(design.groups, weights=treatment) / np.bincount(design.groups)
    expected = np.bincount(design.groups, weights=propensity) / np.bincount(design.groups)
    error = np.sqrt((expected * (1 - expected)).sum()) / share.size
    if not known or abs(share.mean() - expected.mean()) <= FAR_FROM_SHARE * error:
        return []
    return [
        f"the known propensity is {propensity.mean():.3f} on average, but {treatment.mean():.3f} of the units "
        "are treated: more than chance explains; check that it is the one used in the randomisation"
    ]
