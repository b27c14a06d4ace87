"""Draws of t statistics that stand in place of the t distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# A draw that equals what was found, as the draw that changes no sign does, is no smaller for rounding.
_TIE = 1e-9
# Of a square, against what it is compared with: t statistics beyond ten million are infinite.
_ROUNDING = 1e-14
# Beyond this many standard errors no bound is looked for.
_FARTHEST = 2.0**24


@dataclass(frozen=True, eq=False)
class Reference:
    """Distribution of the t statistic of each of k estimates, by draws of a bootstrap.

    Under the hypothesis that the estimate is off by ``gap``, the t statistic of a draw is
    ``(rise_0 + rise_1 gap) / sqrt(square_0 + square_1 gap + square_2 gap^2)``. Where the hypothesis was not imposed
    on the draws, all but ``rise_0`` and ``square_0`` are zero.

    Attributes
    ----------
    rise : array of shape (draws, k, 2)
    square : array of shape (draws, k, 3)
    exact : bool
        Whether the draws are all there are. Else what was found counts as one draw more.
    """

    rise: FloatArray
    square: FloatArray
    exact: bool = False

    @property
    def draws(self) -> int:
        """Number of draws."""
        return int(self.rise.shape[0])

    def p_values(self, gaps: FloatArray, std_errors: FloatArray) -> FloatArray:
        """Return for each estimate the share of draws whose |t| is at least that found, as its p-value."""
        each = enumerate(zip(gaps, std_errors))
        return np.array([self._share(term, float(gap), float(error)) for term, (gap, error) in each])

    def bounds(self, values: FloatArray, std_errors: FloatArray, *, level: float) -> FloatArray:
        """Return intervals of shape (k, 2): the values that a test at ``1 - level`` does not reject.

        A side on which no value is rejected is infinite.
        """
        each = enumerate(zip(values, std_errors))
        return np.array(
            [
                # a larger null is a gap below zero
                (
                    value - self._farthest(term, error, 1.0, level),
                    value + self._farthest(term, error, -1.0, level),
                )
                for term, (value, error) in each
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {"rise": self.rise.tolist(), "square": self.square.tolist(), "exact": self.exact}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        return cls(np.array(content["rise"]), np.array(content["square"]), content["exact"])

    def statistics(self, term: int, gap: float) -> FloatArray:
        """Return the t statistic of each draw (draws,), infinite where a draw has no spread, of one estimate."""
        rise = self.rise[:, term] @ np.array([1.0, gap])
        square = self.square[:, term] @ np.array([1.0, gap, gap**2])
        # what is left of a spread by rounding is none, and so is what is left of a rise
        spread = np.where(square > _ROUNDING * rise**2, np.sqrt(np.maximum(square, 0.0)), 0.0)
        none = np.abs(rise) <= np.sqrt(_ROUNDING) * (np.abs(gap) + np.abs(self.rise[:, term, 0]).max())
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(none, 0.0, rise / spread))

    def _share(self, term: int, gap: float, error: float) -> float:
        if gap == 0:
            return 1.0
        found = np.inf if error**2 <= _ROUNDING * gap**2 else abs(gap) / error
        # what rounding leaves of a square grows with the square of the statistic
        tie = min(_TIE + 8 * np.finfo(float).eps * found**2, 0.5) if np.isfinite(found) else _TIE
        many = int((np.abs(self.statistics(term, gap)) >= found * (1 - tie)).sum())
        return many / self.draws if self.exact else (1 + many) / (1 + self.draws)

    def _farthest(self, term: int, error: float, side: float, level: float) -> float:
        """Return how far from the estimate, on one side, the last value that is not rejected lies."""
        alpha = (1 - level) * (1 + _TIE)
        scale = error or float(np.abs(self.rise[:, term, 0]).max())
        if scale == 0:
            return 0.0
        inside, outside = 0.0, scale
        while self._share(term, side * outside, error) > alpha:
            inside, outside = outside, 2 * outside
            if outside > _FARTHEST * scale:
                return np.inf
        for _ in range(50):
            middle = (inside + outside) / 2
            if self._share(term, side * middle, error) > alpha:
                inside = middle
            else:
                outside = middle
        return inside
