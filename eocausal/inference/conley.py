"""Conley's variance: units near one another vary together, and rows of one unit over time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.how import Variance, Vcov
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.projected import project
from eocausal.inference.serial import ALL_PERIODS, panel_sum, shortest_step
from eocausal.inference.spatial import kernel_sum

FloatArray = npt.NDArray[np.float64]

NO_PLACES = "this result does not know where its units are."
GIVE_PLACES = "pass units with coordinates to Design: ec.read_units(table, id=..., lon=..., lat=...)"


def conley_variance(
    scores: FloatArray,
    how: Vcov,
    coordinates: FloatArray | None,
    *,
    n_params: int,
    panel: PanelIndex | None = None,
) -> tuple[Variance, float]:
    """Return Conley's variance, which may not be positive, and how many separate places it sees.

    The second is ``n^2`` over the sum of the weights of all pairs: the number of clusters of equal size that would
    have as many pairs of dependent units. Of a panel all rows of a place count as near one another, whatever their
    period: years do not make places more.
    """
    if coordinates is None or how.cutoff_m is None or how.kernel is None:
        raise EstimationError(
            explain("Conley standard errors were asked for, but " + NO_PLACES, fix=GIVE_PLACES)
        )
    n = len(scores)
    places = coordinates if how.crs is None else project(coordinates, how.crs)
    near: dict[str, Any] = {"cutoff_m": how.cutoff_m, "kernel": how.kernel, "plane": how.crs is not None}
    notes: tuple[str, ...] = ()
    if panel is None:
        _require_no_serial(how)
        both = kernel_sum(np.column_stack([scores, np.ones(n)]), places, **near)
        total, pairs = both[:-1, :-1], float(both[-1, -1])
    else:
        how = replace(how, serial=ALL_PERIODS) if how.serial is None else how
        total = panel_sum(scores, places, panel, serial=cast("int | str", how.serial), **near)
        there, times = np.unique(places, axis=0, return_counts=True)
        pairs = kernel_sum(times[:, None].astype(float), there, **near).item()
        notes = _short_serial(how, panel)
    factor = (n - 1) / (n - n_params)
    made = Variance(factor * total / n**2, float(n - n_params), factor, None, how, notes)
    return made, n**2 / pairs


def _require_no_serial(how: Vcov) -> None:
    if how.serial is not None:
        raise EstimationError(
            explain(
                f"serial={how.serial!r} was asked for, but this result is not of a panel.",
                fix="leave serial out: units that have one row have no other period",
            )
        )


def _short_serial(how: Vcov, panel: PanelIndex) -> tuple[str, ...]:
    step = shortest_step(panel)
    if isinstance(how.serial, str) or how.serial is None or step <= how.serial or np.isinf(step):
        return ()
    return (
        f"serial {how.serial} reaches no two periods, which are at least {step:g} apart: rows of one unit are "
        "taken as independent",
    )
