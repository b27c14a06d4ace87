"""When omitted variables could turn the sign of a coefficient: pure formulas.

Two measures. By ``delta`` of Oster (2019) an effect of the other sign can need much less than one of exactly zero,
and never more than 1: Masten and Poirier (2026), American Economic Review, arXiv 2208.00552. By the strength of
Diegert, Masten and Poirier (arXiv 2206.02303) the unseen may be correlated with the controls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.sensitivities.proportional_selection import (
    Moments,
    bias_unit,
    is_empty_index,
    ratio,
    real_roots,
)

FloatArray = npt.NDArray[np.float64]


class Flip(NamedTuple):
    """The smallest size of ``delta`` at which the sign can turn, and the effect there."""

    delta: float
    effect: float


def flip(moments: Moments, *, r2_max: float, null: float = 0.0, bias_max: float = np.inf) -> Flip:
    """Return the smallest ``|delta|`` that allows an effect on the other side of ``null``.

    It is the lower end of ``|delta|`` over effects beyond ``null``. As the effect goes off without end, ``delta``
    tends to 1: without a bound on the bias it is never above 1.

    Parameters
    ----------
    moments : Moments
    r2_max : float
    null : float
    bias_max : float
        The largest bias that is thought possible, in units of the effect.

    Returns
    -------
    Flip
        Infinite where no bias up to ``bias_max`` reaches ``null``. Zero where an effect beyond ``null`` would leave
        the controls nothing to do with the outcome, as a single control or collinear ones are there:
        next to nothing is enough when compared with nothing.
    """
    gap = moments.long - null
    side, unit = (1.0 if gap >= 0 else -1.0), bias_unit(moments)
    nearest, farthest = abs(gap) / unit, bias_max / unit
    if farthest <= nearest:
        return Flip(np.inf, np.nan)
    idle = _idle_bias(moments)
    if is_empty_index(moments, moments.long - idle) and nearest <= side * idle / unit <= farthest:
        return Flip(0.0, moments.long - idle)
    # in units of the bias, counted towards the null
    scale = (side * unit) ** np.arange(4)
    above, below = (np.polynomial.Polynomial(one * scale) for one in ratio(moments, r2_max))
    turning = real_roots(np.asarray((above.deriv() * below - above * below.deriv()).coef, dtype=float))
    inside = turning[(turning > nearest) & (turning < farthest)]
    at = np.array([nearest, *inside, *([farthest] if np.isfinite(farthest) else [])])
    size = np.abs(above(at)) / np.maximum(np.abs(below(at)), np.finfo(float).tiny)
    best = int(np.argmin(size))
    if not np.isfinite(farthest) and size[best] >= 1:
        return Flip(1.0, -side * np.inf)
    return Flip(float(size[best]), float(moments.long - side * unit * at[best]))


def _idle_bias(moments: Moments) -> float:
    """Return the bias at which the index of the controls varies least."""
    explained = moments.treatment - moments.treatment_left
    return (moments.long * moments.treatment - moments.cross) / explained


def breakdown_strength(moments: Moments, *, null: float = 0.0, correlation: float = 1.0) -> float:
    """Return how strongly the unseen must move the treatment, relative to the controls, for an effect of ``null``.

    ``sd(pi_2 W_2) / sd(pi_1' W_1)`` in the regression of the treatment on controls and unseen, whatever the unseen
    does to the outcome. With ``p`` the partial R2 of treatment and outcome, ``r`` the R2 of the treatment by the
    controls and ``q = (1 - r) p``, it is ``sqrt(q / (r + q))`` where the unseen may be correlated with the controls
    in any way, and where the R of that correlation is at most ``c < sqrt(q / (r + q))``

        ``sqrt(q) / (sqrt(r (1 - c^2)) + c sqrt(q))``.

    Examples
    --------
    Of two variables as strong as one another, one unseen, half of the treatment explained:

    >>> half = Moments(total=3.0, outcome=3.0, cross=2.0, treatment=2.0, outcome_left=2.0, cross_left=1.0,
    ...                treatment_left=1.0)
    >>> round(breakdown_strength(half), 6), round(breakdown_strength(half, correlation=0.0), 6)
    (0.57735, 0.707107)
    """
    explained = moments.r2_treatment
    root = np.sqrt((1 - explained) * moments.partial_r2(null))
    least = root / np.sqrt(explained + root**2) if root > 0 else 0.0
    if correlation >= least:
        return float(least)
    return float(root / (np.sqrt(explained * (1 - correlation**2)) + correlation * root))


def effects_within(moments: Moments, strength: float, *, correlation: float = 1.0) -> tuple[float, float]:
    """Return the lowest and highest effect with the unseen at most so strong, whatever it does to the outcome.

    ``long ± sqrt(z D / (1 - r - z))`` with ``D`` what controls and treatment leave of the outcome's variance over
    what controls leave of the treatment's, ``r`` the R2 of the treatment by the controls, and ``z`` the most that
    the unseen can add to it; without end from ``z = 1 - r`` on.
    """
    explained = moments.r2_treatment
    used = min(correlation, strength)
    if strength * used >= 1:
        return -np.inf, np.inf
    added = explained * strength**2 * (1 - used**2) / (1 - strength * used) ** 2
    if added >= 1 - explained:
        return -np.inf, np.inf
    left = moments.outcome_left / moments.treatment_left - moments.long**2
    off = float(np.sqrt(added * left / (1 - explained - added)))
    return moments.long - off, moments.long + off
