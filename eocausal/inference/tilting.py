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
# How the tilts move with the propensity.
TILT_SLOPES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "ate": np.zeros_like,
    "att": np.ones_like,
    "atc": lambda propensity: -np.ones_like(propensity),
    "ato": lambda propensity: 1 - 2 * propensity,
}
# How much of the group asked for a unit is, given treatment and propensity, and how that moves with the propensity.
# Who is treated is seen, so the treated are counted; how far a unit lies in the overlap is not.
SHARES: dict[str, Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]] = {
    "ate": lambda treatment, propensity: (np.ones_like(treatment), np.zeros_like(treatment)),
    "att": lambda treatment, propensity: (treatment, np.zeros_like(treatment)),
    "atc": lambda treatment, propensity: (1 - treatment, np.zeros_like(treatment)),
    "ato": lambda treatment, propensity: (TILTS["ato"](propensity), TILT_SLOPES["ato"](propensity)),
}


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


def balancing_slopes(treatment: FloatArray, propensity: FloatArray, estimand: str) -> FloatArray:
    """Return how fast the weight of each unit moves with its propensity: the derivative of its balancing weight.

    Examples
    --------
    >>> balancing_slopes(np.array([1.0, 0.0]), np.array([0.5, 0.5]), "ate").tolist()
    [-4.0, 4.0]
    >>> balancing_slopes(np.array([1.0, 0.0]), np.array([0.2, 0.2]), "ato").round(12).tolist()
    [-1.0, 1.0]
    """
    own = np.where(treatment == 1, propensity, 1 - propensity)
    sign = 2 * treatment - 1
    return np.asarray((TILT_SLOPES[estimand](propensity) - sign * TILTS[estimand](propensity) / own) / own)


def stabilised_weights(
    treatment: FloatArray, propensity: FloatArray, estimand: str, *, weights: FloatArray
) -> FloatArray:
    """Return balancing weights times the share of the arm over the mean tilt; for the ``ate`` ``p / e``.

    Their mean is 1 in each arm where the propensity is right, whatever the estimand, and is not made to be 1.
    Robins, Hernan and Brumback (2000), Epidemiology 11, 550-560.

    Examples
    --------
    >>> t, e = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.8, 0.5, 0.5, 0.2])
    >>> stabilised_weights(t, e, "ate", weights=np.ones(4)).tolist()
    [0.625, 1.0, 1.0, 0.625]
    """
    treated = np.average(treatment, weights=weights)
    arm = np.where(treatment == 1, treated, 1 - treated)
    tilt = np.average(TILTS[estimand](propensity), weights=weights)
    return np.asarray(balancing_weights(treatment, propensity, estimand) * arm / tilt)
