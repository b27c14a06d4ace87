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

    def _share(self, term: int, gap: float, error: float) -> float:
        if gap == 0:
            return 1.0
        if error == 0:
            return 0.0
        rise = np.abs(self.rise[:, term] @ np.array([1.0, gap]))
        square = np.maximum(self.square[:, term] @ np.array([1.0, gap, gap**2]), 0.0)
        # as products, so that a draw without spread counts as far out and one without anything does not
        reached = rise >= abs(gap) / error * np.sqrt(square) * (1 - _TIE)
        many = int((reached & (rise > 0)).sum())
        return many / self.draws if self.exact else (1 + many) / (1 + self.draws)

    def _farthest(self, term: int, error: float, side: float, level: float) -> float:
        """Return how far from the estimate, on one side, the last value that is not rejected lies."""
        alpha = (1 - level) * (1 + _TIE)
        inside, outside = 0.0, error
        if error == 0:
            return 0.0
        while self._share(term, side * outside, error) > alpha:
            inside, outside = outside, 2 * outside
            if outside > _FARTHEST * error:
                return np.inf
        for _ in range(50):
            middle = (inside + outside) / 2
            if self._share(term, side * middle, error) > alpha:
                inside = middle
            else:
                outside = middle
        return inside
