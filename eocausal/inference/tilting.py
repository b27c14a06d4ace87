"""Whom an average effect speaks of, as a tilt of the population by its propensity. Pure arrays.

An average effect is a weighted mean of effects, with weights ``h(e)`` of the propensity ``e``: Li, Morgan and
Zaslavsky (2018), JASA 113, 390-400, table 1.

============ ============== =================================================================
estimand     ``h(e)``       whose effect
============ ============== =================================================================
``ate``      1              all units
``att``      e              the treated
``atc``      1 - e          the controls
``ato``      e (1 - e)      the overlap: units that could well have been in either arm
============ ============== =================================================================
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TILTS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "ate": np.ones_like,
    "att": lambda propensity: propensity,
    "atc": lambda propensity: 1 - propensity,
    "ato": lambda propensity: propensity * (1 - propensity),
}
ESTIMANDS = tuple(TILTS)


def balancing_weights(treatment: FloatArray, propensity: FloatArray, estimand: str) -> FloatArray:
    """Return the weight of each unit, ``h(e) / e`` when treated and ``h(e) / (1 - e)`` when control.

    Li, Morgan and Zaslavsky (2018), table 1.

    Examples
    --------
    >>> balancing_weights(np.array([1.0, 0.0]), np.array([0.2, 0.2]), "att").tolist()
    [1.0, 0.25]
    >>> balancing_weights(np.array([1.0, 0.0]), np.array([0.2, 0.2]), "ato").round(12).tolist()
    [0.8, 0.2]
    """
    return TILTS[estimand](propensity) / np.where(treatment == 1, propensity, 1 - propensity)
