"""From what bound on the odds a curve reaches zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

# Where to look beyond what is known already, each about half as far again as the one before.
_BEYOND = (1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 32.0, 50.0, 100.0)


def first_crossing(
    curve: Callable[[float], float], known: Mapping[float, float], *, most: float, share: float
) -> float:
    """Return the smallest bound at which a curve that begins on one side of zero reaches it.

    Parameters
    ----------
    curve : callable
        Of a bound on the odds.
    known : mapping of float to float
        Values of the curve, that at 1 among them.
    most : float
        Bounds beyond are not looked at.
    share : float
        The bound is right to this share of it.

    Returns
    -------
    float
        NaN where the curve does not reach zero.

    Examples
    --------
    >>> round(first_crossing(lambda bound: 3 - bound, {1.0: 2.0}, most=100.0, share=1e-9), 6)
    3.0
    """
    from scipy.optimize import brentq

    side = np.sign(known[1.0])
    if side == 0:
        return 1.0
    last = 1.0
    for bound in sorted({*known, *(one for one in _BEYOND if one > max(known)), most}):
        value = known[bound] if bound in known else curve(bound)
        if side * value <= 0:
            found = brentq(
                lambda log: side * curve(float(np.exp(log))),
                np.log(last),
                np.log(bound),
                xtol=share,
                rtol=1e-12,
            )
            return float(np.exp(found))
        last = bound
    return float("nan")
