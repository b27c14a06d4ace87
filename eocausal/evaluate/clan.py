"""Averages of columns by group of predicted effect, with the difference of the last and the first group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import EvaluationError
from eocausal.evaluate.clan_result import Clan
from eocausal.evaluate.effect_groups import means_by_rank, most_least
from eocausal.evaluate.judged import estimate_on
from eocausal.evaluate.unit_tables import unit_columns
from eocausal.inference.contrast import combinations
from eocausal.inference.smd import weighted_variance

if TYPE_CHECKING:
    from eocausal.evaluate.effect_groups_result import EffectGroups
    from eocausal.evaluate.unit_tables import UnitTable

_FIXED = (
    "columns are compared one by one: that they differ between groups does not say that they "
    "make effects differ"
)


def compare_groups(groups: EffectGroups, table: UnitTable, *, by: str | None, seed: int) -> Clan:
    """Return what the groups look like; see :meth:`EffectGroups.clan`."""
    whole_number(seed, argument="seed", error=EvaluationError)
    columns = unit_columns(table, groups, by=by, argument="table", first_level=True)
    values = columns.to_numpy(dtype=float)
    means = np.zeros((values.shape[1], groups.k))
    everyone = values[0].copy()
    differences, scores = np.zeros(values.shape[1]), np.zeros(values.shape)
    for place in range(values.shape[1]):
        column = values[:, place]
        centre = np.average(column, weights=groups.weights)
        if np.ptp(column) == 0:
            # no rounding may make a column differ that is the same for all
            means[place] = column[0]
            continue
        everyone[place] = centre
        # centred, so that large numbers keep their digits
        found, influence = means_by_rank(
            column - centre,
            priority=groups.effects,
            weights=groups.weights,
            folds=groups.folds,
            count=groups.k,
        )
        means[place] = found + centre
        gap, moved = combinations(found, influence, most_least(groups.k))
        differences[place], scores[:, place] = gap[0], moved[:, 0]
    names = [str(name) for name in columns]
    frame = pd.DataFrame(
        {
            "column": names,
            "all": everyone,
            "sd": np.sqrt(weighted_variance(values, groups.weights)),
            **{term: means[:, place] for place, term in enumerate(groups.terms[: groups.k])},
        }
    )
    made = estimate_on(
        groups.gates,
        differences,
        scores,
        estimand="difference in means, most less least affected",
        method=groups.method,
        terms=tuple(names),
        assumptions=(_FIXED,),
        warnings=groups.warnings,
        diagnostics={"groups": groups.k},
    )
    return Clan(made, frame, seed)
