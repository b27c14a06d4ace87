"""Leaving out units that hardly have a counterpart in the other arm, in the open."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.errors import EstimationError, explain

FloatArray = npt.NDArray[np.float64]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Trim:
    """Which propensities are too near 0 or 1 for a comparison; units outside are left out, and counted.

    Parameters
    ----------
    rule : {"fixed", "crump", "quantile"}
        ``fixed``: the bounds ``low`` and ``high`` themselves; Crump et al. advise 0.1 and 0.9. ``crump``: the
        bounds that give the average effect the least variance when the outcome is equally noisy everywhere
        (Crump, Hotz, Imbens and Mitnik 2009, Biometrika 96, 187-199, corollary 1); none where no unit is extreme.
        ``quantile``: from the quantile ``low`` of the treated units' propensities to the quantile ``high`` of the
        controls' (Stuermer, Rothman, Avorn and Glynn 2010, American Journal of Epidemiology 172).
    low, high : float, optional
        Propensities for ``fixed``, shares for ``quantile``, nothing for ``crump``.

    Raises
    ------
    EstimationError
        An unknown rule, or bounds that are missing, not in order, or not asked for.

    Examples
    --------
    >>> Trim("fixed", low=0.1, high=0.9)
    Trim(rule='fixed', low=0.1, high=0.9)
    """

    rule: str
    _: KW_ONLY
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        one_of(self.rule, tuple(_RULES), argument="rule", error=EstimationError)
        if self.rule == "crump":
            if self.low is not None or self.high is not None:
                raise EstimationError(
                    explain("Trim('crump') finds its bounds itself.", fix="leave low= and high= out")
                )
            return
        _given(self)

    def bounds(self, propensity: FloatArray, treatment: FloatArray) -> Bounds:
        """Return the lowest and the highest propensity that stays.

        Examples
        --------
        >>> e, t = np.array([0.01, 0.4, 0.5, 0.6]), np.array([0.0, 1.0, 0.0, 1.0])
        >>> low, high = Trim("crump").bounds(e, t)
        >>> 0.01 < low < 0.4
        True
        """
        return _RULES[self.rule](self, propensity, treatment)


def _given(trim: Trim) -> Bounds:
    """Return the bounds that were given, or raise."""
    low, high = (_number(bound) for bound in (trim.low, trim.high))
    if not 0 <= low < high <= 1:
        usual = _USUAL[trim.rule]
        raise EstimationError(
            explain(
                f"Trim({trim.rule!r}) got low={trim.low!r}, high={trim.high!r}.",
                rule="0 <= low < high <= 1",
                fix=f"Trim({trim.rule!r}, low={usual[0]}, high={usual[1]})",
            )
        )
    return low, high


def _number(value: object) -> float:
    """Return a number as a float, and what is none as not a number."""
    number = isinstance(value, float | int | np.number) and not isinstance(value, bool)
    return float(value) if number and isinstance(value, float | int | np.number) else math.nan


def _fixed(trim: Trim, propensity: FloatArray, treatment: FloatArray) -> Bounds:
    return _given(trim)


def _quantile(trim: Trim, propensity: FloatArray, treatment: FloatArray) -> Bounds:
    low, high = _given(trim)
    return float(np.quantile(propensity[treatment == 1], low)), float(
        np.quantile(propensity[treatment == 0], high)
    )


def _crump(trim: Trim, propensity: FloatArray, treatment: FloatArray) -> Bounds:
    """Return the bounds at the largest variance ``1 / (e (1 - e))`` within twice the mean of those up to it."""
    variance = np.sort(1 / (propensity * (1 - propensity)))
    twice_mean = 2 * np.cumsum(variance) / np.arange(1, variance.size + 1)
    if variance[-1] <= twice_mean[-1]:
        return 0.0, 1.0
    most = twice_mean[np.flatnonzero(variance <= twice_mean)[-1]]
    low = 0.5 - float(np.sqrt(0.25 - 1 / most))
    return low, 1 - low


_RULES: dict[str, Callable[[Trim, FloatArray, FloatArray], Bounds]] = {
    "fixed": _fixed,
    "crump": _crump,
    "quantile": _quantile,
}
_USUAL = {"fixed": (0.1, 0.9), "quantile": (0.01, 0.99)}
