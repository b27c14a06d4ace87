"""Bounds under omitted confounders as a table, and what the figure is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eocausal.inference.tables import confidence_bounds
from eocausal.sensitivities.bounded import LOWER, UPPER, Bounded
from eocausal.sensitivities.dml_scenarios import Scenario
from eocausal.sensitivities.long_short import strength

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

# Lines of the grid of strengths that the figure interpolates, and where it ends.
GRID, MOST = 31, 0.99
ENDS = (
    "lower", "upper", "std_error_lower", "std_error_upper", "conf_low", "conf_high", "conf_low_one_sided",
    "conf_high_one_sided",
)  # fmt: skip
COLUMNS = (
    "benchmark", "times", "r2_treatment", "r2_outcome", "rho", *ENDS, "change", "rho_found", "note",
)  # fmt: skip


def table_of(
    scenarios: Sequence[Scenario], bounds: Sequence[Estimate | None], *, rho: float, level: float
) -> pd.DataFrame:
    """Return a row for each scenario, with its bounds; None where these are infinite."""
    rows = []
    for one, ends in zip(scenarios, bounds):
        gain = None if one.found is None else one.found.raw
        rows.append(
            {
                "benchmark": one.name,
                "times": one.times,
                "r2_treatment": one.r2_treatment,
                "r2_outcome": one.r2_outcome,
                "rho": rho,
                **_ends(ends, level),
                "change": np.nan if gain is None else gain.change,
                "rho_found": np.nan if gain is None else gain.rho,
                "note": one.note,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ends(bounds: Estimate | None, level: float) -> dict[str, float]:
    """Return bounds, their standard errors, and the outer ends of two-sided intervals, and of one-sided ones."""
    if bounds is None:
        infinite = (-np.inf, np.inf, np.nan, np.nan) + (-np.inf, np.inf) * 2
        return dict(zip(ENDS, infinite))
    errors = np.sqrt(np.diag(bounds.variance.matrix))
    found = [bounds.values[LOWER], bounds.values[UPPER], errors[LOWER], errors[UPPER]]
    # one side of a two-sided interval that leaves out twice as much
    for one in (level, 2 * level - 1):
        ends = confidence_bounds(
            bounds.values, errors, df=bounds.variance.df, level=one, reference=bounds.variance.reference
        )
        found += [ends[LOWER, 0], ends[UPPER, 1]]
    return dict(zip(ENDS, map(float, found)))


def points_of(scenarios: Sequence[Scenario]) -> pd.DataFrame:
    """Return the scenarios that the figure marks, those with finite bounds."""
    shown = [one for one in scenarios if one.bounding]
    return pd.DataFrame(
        {
            "name": [one.in_words for one in shown],
            "r2_treatment": np.array([one.r2_treatment for one in shown], dtype=float),
            "r2_outcome": np.array([one.r2_outcome for one in shown], dtype=float),
        }
    )


def limits_of(line: Bounded, numbers: Mapping[str, float], points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the two-sided confidence bound that faces the null over a grid of strengths, by the name ``limits``.

    Nothing where a bootstrap leaves intervals without an end.
    """
    side = LOWER if numbers["estimate"] >= numbers["null"] else UPPER
    needed, level = numbers["robustness_value"], numbers["level"]
    farthest = [max([needed, *points[name]]) for name in ("r2_treatment", "r2_outcome")]
    # bounds bend most where a strength is near zero, and go by one number alone
    treatment, outcome = (min(1.5 * one + 0.02, MOST) * np.linspace(0, 1, GRID) ** 2 for one in farthest)
    known = strength(outcome[-1], treatment[-1], numbers["rho"]) * np.linspace(0, 1, GRID)
    found = [line.confidence(float(c), side, level) for c in known]
    if not np.isfinite(found).all():
        return {}
    pairs = [(float(one), float(other)) for one in treatment for other in outcome]
    asked = [strength(other, one, numbers["rho"]) for one, other in pairs]
    treatments, outcomes = (np.array(column) for column in zip(*pairs))
    limit = np.interp(asked, known, found)
    return {"limits": pd.DataFrame({"r2_treatment": treatments, "r2_outcome": outcomes, "limit": limit})}
