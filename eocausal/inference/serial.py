"""Sums over pairs of rows of a panel: of one unit over time, of one period over space. Pure arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.spatial import kernel_sum

FloatArray = npt.NDArray[np.float64]

# Every two periods of a unit may vary together, however far apart.
ALL_PERIODS = "all"


def panel_sum(
    values: FloatArray,
    coordinates: FloatArray,
    panel: PanelIndex,
    *,
    cutoff_m: float,
    kernel: str,
    serial: int | str,
    plane: bool = False,
) -> FloatArray:
    """Return the weighted sum of products of rows of a panel that lie near in space or, of one unit, in time.

    Rows of one period are weighted by distance, and rows of one unit by the time between them; rows that differ in
    both are not paired. A row with itself counts once.

    Parameters
    ----------
    values : array of shape (n, m)
    coordinates : array of shape (n, 2)
        As in :func:`eocausal.inference.spatial.kernel_sum`.
    panel : PanelIndex
    cutoff_m : float
    kernel : {"uniform", "bartlett"}
    serial : int or "all"
        Weight of two rows of a unit that are ``d`` periods apart: ``1 - d / (serial + 1)`` down to zero (Newey and
        West 1987), or 1 for all.

    Returns
    -------
    array of shape (m, m)

    Examples
    --------
    One unit in 2000, 2001 and 2003:

    >>> panel = PanelIndex(np.array([1, 1, 1]), np.array([2000, 2001, 2003]))
    >>> place = np.zeros((3, 2))
    >>> panel_sum(np.ones((3, 1)), place, panel, cutoff_m=1000.0, kernel="uniform", serial=1).item()
    4.0
    """
    total = within_units(values, panel, serial=serial) - values.T @ values
    for period in np.unique(panel.period):
        rows = panel.period == period
        total += kernel_sum(values[rows], coordinates[rows], cutoff_m=cutoff_m, kernel=kernel, plane=plane)
    return total


def within_units(values: FloatArray, panel: PanelIndex, *, serial: int | str) -> FloatArray:
    """Return the sum of products of rows of the same unit, weighted by the time between them.

    Examples
    --------
    >>> panel = PanelIndex(np.array([1, 1, 2]), np.array([1, 4, 1]))
    >>> [within_units(np.ones((3, 1)), panel, serial=lag).item() for lag in (2, 3, "all")]
    [3.0, 3.5, 5.0]
    """
    unit = np.unique(panel.unit, return_inverse=True)[1]
    if isinstance(serial, str):
        sums = np.zeros((int(unit.max()) + 1, values.shape[1]))
        np.add.at(sums, unit, values)
        return np.asarray(sums.T @ sums)
    order = np.lexsort((panel.period, unit))
    unit, period, values = unit[order], panel.period[order], values[order]
    total = values.T @ values
    for step in range(1, len(unit)):
        apart = period[step:] - period[:-step]
        near = (unit[step:] == unit[:-step]) & (apart <= serial)
        if not near.any():
            break
        weight = (1 - apart[near] / (serial + 1))[:, None]
        both = (values[:-step][near] * weight).T @ values[step:][near]
        total += both + both.T
    return np.asarray(total)


def shortest_step(panel: PanelIndex) -> float:
    """Return the least time between two periods of one unit, infinite where every unit has one period.

    Examples
    --------
    >>> shortest_step(PanelIndex(np.array([1, 1, 2]), np.array([2003, 2006, 2004])))
    3.0
    """
    unit = np.unique(panel.unit, return_inverse=True)[1]
    order = np.lexsort((panel.period, unit))
    same = np.diff(unit[order]) == 0
    return float(np.diff(panel.period[order])[same].min()) if same.any() else float("inf")
