"""How many units weighted rows are worth, where some are drawn again and others rounded. Pure arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.smd import effective_size

FloatArray = npt.NDArray[np.float64]

# rows with the same value are one unit seen again unless values repeat on average more often than this
MOST_REPEATS = 4
# a value of more rows than this is a spike of the map; fewer come by drawing rows again
MOST_DRAWN = 12
# values on even steps are rounded ones, where steps are no more than so many for each value that is taken
STEPS_A_VALUE = 100


def units_worth(values: npt.NDArray[Any], weights: FloatArray | None) -> float:
    """Return how many equally weighted units carry as much information, rows with the same value taken together.

    A row twice with half its weight is so worth what it was. Predictions that repeat because they are rounded or
    stop at a bound, such as 0, are not taken together.

    Examples
    --------
    >>> once = np.sqrt(np.arange(12.0))
    >>> units_worth(once, np.ones(12)), units_worth(np.repeat(once, 2), np.full(24, 0.5))
    (12.0, 12.0)
    """
    if weights is None:
        return float(values.size)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    if starts.size * MOST_REPEATS < values.size or _rounded(ranked[starts].astype(float)):
        return effective_size(weights)
    sums = np.add.reduceat(weights[order], starts)
    apart = np.add.reduceat(weights[order] ** 2, starts)
    drawn_again = np.diff(np.append(starts, values.size)) <= MOST_DRAWN
    return float(sums.sum() ** 2 / np.where(drawn_again, sums**2, apart).sum())


def even_places(found: FloatArray) -> tuple[float, FloatArray] | None:
    """Return the step between different values (k,), which rise, and how many steps each is from the first.

    None where they do not lie on even steps.

    Examples
    --------
    >>> step, places = even_places(np.array([0.1, 0.2, 0.4]))
    >>> round(step, 3), places.round().tolist(), even_places(np.array([0.0, 1.0, 2.3]))
    (0.1, [0.0, 1.0, 3.0], None)
    """
    step = float(np.diff(found).min())
    places = (found - found[0]) / step
    return None if np.abs(places - places.round()).max() > 1e-2 else (step, places)


def _rounded(found: FloatArray) -> bool:
    """Say whether different values (k,), which rise, are rounded ones, unless steps are those of the numbers."""
    even = even_places(found) if found.size > 1 else None
    return even is not None and even[1][-1] < STEPS_A_VALUE * found.size
