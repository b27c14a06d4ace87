"""From effects by cohort and period to the averages that are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.inference.periods import Grid
from eocausal.panels.group_time import Cell, average, plain_average

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


class Averages(NamedTuple):
    """Named estimates (k), their influence values (N, k), and the time since treatment that each is of."""

    terms: tuple[str, ...]
    values: FloatArray
    scores: FloatArray
    events: tuple[int | None, ...]


_Part = tuple[str, tuple[float, FloatArray], int | None]


def simple(cells: list[Cell], starts: Codes, weights: FloatArray, grid: Grid) -> Averages:
    """Average over all treated unit-periods."""
    return _collected([("att", average([cell for cell in cells if cell.event >= 0], starts, weights), None)])


def dynamic(cells: list[Cell], starts: Codes, weights: FloatArray, grid: Grid) -> Averages:
    """Average by time since treatment began; overall the mean of those from 0 on."""
    events = sorted({cell.event for cell in cells})
    parts: list[_Part] = [
        (f"event {event}", average([cell for cell in cells if cell.event == event], starts, weights), event)
        for event in events
    ]
    overall = plain_average([made for _, made, event in parts if event is not None and event >= 0])
    return _collected([("overall", overall, None), *parts])


def group(cells: list[Cell], starts: Codes, weights: FloatArray, grid: Grid) -> Averages:
    """Average by the period in which treatment began; overall weighs cohorts by their number of units."""
    after = [cell for cell in cells if cell.event >= 0]
    parts: list[_Part] = []
    means = []
    for cohort in sorted({cell.cohort for cell in after}):
        made = plain_average([(cell.estimate, cell.scores) for cell in after if cell.cohort == cohort])
        means.append(Cell(cohort, cohort, *made))
        parts.append((f"group {grid.text(cohort)}", made, None))
    return _collected([("overall", average(means, starts, weights), None), *parts])


def calendar(cells: list[Cell], starts: Codes, weights: FloatArray, grid: Grid) -> Averages:
    """Average by period over the units treated by then; overall the mean of the periods."""
    after = [cell for cell in cells if cell.event >= 0]
    parts: list[_Part] = [
        (
            f"period {grid.text(step)}",
            average([cell for cell in after if cell.step == step], starts, weights),
            None,
        )
        for step in sorted({cell.step for cell in after})
    ]
    return _collected([("overall", plain_average([made for _, made, _ in parts]), None), *parts])


def by_cell(cells: list[Cell], starts: Codes, weights: FloatArray, grid: Grid) -> Averages:
    """Every cohort in every period."""
    return _collected(
        [
            (
                f"att({grid.text(cell.cohort)}, {grid.text(cell.step)})",
                (cell.estimate, cell.scores),
                cell.event,
            )
            for cell in cells
        ]
    )


def _collected(parts: list[_Part]) -> Averages:
    return Averages(
        tuple(name for name, _, _ in parts),
        np.array([made[0] for _, made, _ in parts]),
        np.column_stack([made[1] for _, made, _ in parts]),
        tuple(event for _, _, event in parts),
    )


# A new average is one function and one row here.
AGGREGATES: dict[str, Callable[[list[Cell], Codes, FloatArray, Grid], Averages]] = {
    "simple": simple,
    "dynamic": dynamic,
    "group": group,
    "calendar": calendar,
    "cells": by_cell,
}
