"""Weights on shares by which a TOC curve is averaged, other than those of AUTOC and QINI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EvaluationError, explain

if TYPE_CHECKING:
    from scipy.interpolate import CubicHermiteSpline

FloatArray = npt.NDArray[np.float64]

NAMED = ("AUTOC", "QINI")
# cells are narrow near 0, where what is integrated goes as 1/q, and never wider than a thousandth
SMALLEST_SHARE = 1e-12
EDGES = np.unique(np.r_[np.geomspace(SMALLEST_SHARE, 1.0, 2800), np.linspace(0.001, 1.0, 1000)])
# a cell is halved while its integral and that of its halves differ by more, as a share of the largest weight
CLOSE = 1e-14
MOST_CELLS = 50_000
MOST_HALVINGS = 48
FIX = "finite weights of shares in (0, 1], such as ec.Weighting('first fifth', lambda q: (q <= 0.2) / 0.2)"


@dataclass(frozen=True)
class Weighting:
    """A rank-weighted average effect of one's own: the integral over shares ``q`` of ``alpha(q) TOC(q)``.

    Give it to :func:`eocausal.rate` as ``target``; AUTOC (``alpha = 1``) and QINI (``alpha = q``) stand beside it.

    Parameters
    ----------
    name : str
        How tables call it.
    alpha : callable
        Weight of shares: an array (m,) of values in (0, 1] in, as many finite numbers or one out. It may jump, and
        need not integrate to one. Fix it before looking at results.

    Raises
    ------
    EvaluationError
        A name that is taken, or weights that are not finite, zero throughout, or without bound near 0.

    Notes
    -----
    Yadlowsky et al. (2025), JASA 120, definition 2. Integrals are tabulated once, in cells that are halved until
    they no longer change, also where ``alpha`` jumps.

    Examples
    --------
    The mean of the curve over the first fifth:

    >>> import eocausal as ec
    >>> first = ec.Weighting("first fifth", lambda q: (q <= 0.2) / 0.2)
    >>> found = ec.rate_from_scores([3.0, -1.0, 2.0, 0.5], [4, 3, 2, 1], target=first)
    >>> found.targets, round(found.estimate, 9)
    (('first fifth', 'AUTOC', 'QINI'), 1.875)
    """

    name: str
    alpha: Callable[[FloatArray], Any]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or ": " in self.name or self.name in NAMED:
            raise EvaluationError(
                explain(
                    f"{self.name!r} cannot name a weighting.",
                    rule=f"text other than {' and '.join(NAMED)}, without a colon",
                    fix="ec.Weighting('first fifth', ...)",
                )
            )
        if not callable(self.alpha):
            raise EvaluationError(
                explain(f"alpha of weighting {self.name!r} is a {type(self.alpha).__name__}.", fix=FIX)
            )
        found = np.abs(self.values(EDGES))
        if not found.any():
            raise EvaluationError(explain(f"Weighting {self.name!r} is zero at every share.", fix=FIX))
        nearer = self.values(np.array([SMALLEST_SHARE, 1000 * SMALLEST_SHARE]))
        if abs(nearer[0]) > 1.5 * abs(nearer[1]) and abs(nearer[0]) > 10 * np.median(found):
            raise EvaluationError(
                explain(
                    f"Weighting {self.name!r} grows without bound as the share goes to 0: {nearer[0]:.3g} at "
                    f"{SMALLEST_SHARE:g}.",
                    rule="bounded, or growing no faster than a logarithm",
                    fix="bound it: lambda q: 1 / np.maximum(q, 0.05)",
                )
            )

    def values(self, shares: FloatArray) -> FloatArray:
        """Return the weights (m,) of shares, or raise where they are no finite numbers."""
        flat = np.ravel(shares)
        try:
            found = np.asarray(self.alpha(flat), dtype=float)
        except (TypeError, ValueError) as error:
            raise EvaluationError(
                explain(
                    f"alpha of weighting {self.name!r} cannot take an array of shares ({error}).",
                    fix="write it in NumPy: lambda q: np.where(q <= 0.2, 5.0, 0.0)",
                )
            ) from error
        if found.shape not in ((), flat.shape):
            raise EvaluationError(
                explain(
                    f"alpha of weighting {self.name!r} gave shape {found.shape} for {flat.size} shares.",
                    fix=FIX,
                )
            )
        found = np.broadcast_to(found, flat.shape)
        wrong = ~np.isfinite(found)
        if wrong.any():
            raise EvaluationError(
                explain(f"Weighting {self.name!r} is not finite at some shares.", where=flat[wrong], fix=FIX)
            )
        return found.reshape(np.shape(shares))

    def heights(self, reached: FloatArray) -> FloatArray:
        """Return ``H`` of shares (m,): what a group's mean score is weighed by is its step over the group."""
        found: FloatArray = self._curve(np.clip(reached, 0.0, 1.0))
        return found

    @cached_property
    def _curve(self) -> CubicHermiteSpline:
        """``H(c)``, ``c`` times the integral of ``alpha(q) / q`` from ``c`` to 1, plus that of ``alpha`` to ``c``.

        Less ``c`` times the whole integral of ``alpha``: a straight line does not matter, since scores are centred.
        """
        from scipy.interpolate import CubicHermiteSpline

        edges, cells = self._cells()
        first = self._over(np.zeros(1), edges[:1])[0, 0]
        below = first + np.r_[0.0, np.cumsum(cells[0])]
        above = np.r_[np.cumsum(cells[1][::-1])[::-1], 0.0]
        heights, slopes = edges * above + below - edges * below[-1], above - below[-1]
        return CubicHermiteSpline(
            np.r_[0.0, edges], np.r_[0.0, heights], np.r_[heights[0] / edges[0], slopes]
        )

    def _cells(self) -> tuple[FloatArray, FloatArray]:
        """Return edges (m + 1,) of cells and the integrals (2, m) of ``alpha`` and ``alpha(q) / q`` over them."""
        close = CLOSE * float(np.abs(self.values(EDGES)).max())
        low, high = EDGES[:-1], EDGES[1:]
        whole = self._over(low, high)
        starts, found = [], []
        for halving in range(MOST_HALVINGS):
            middle = (low + high) / 2
            left, right = self._over(low, middle), self._over(middle, high)
            rough = np.abs(left + right - whole).max(axis=0) > close
            if halving == MOST_HALVINGS - 1 or int(rough.sum()) > MOST_CELLS:
                break
            starts.append(low[~rough])
            found.append((left + right)[:, ~rough])
            if not rough.any():
                order = np.argsort(np.concatenate(starts))
                return np.r_[np.concatenate(starts)[order], 1.0], np.concatenate(found, axis=1)[:, order]
            low, middle, high = low[rough], middle[rough], high[rough]
            low, high = np.r_[low, middle], np.r_[middle, high]
            whole = np.concatenate([left[:, rough], right[:, rough]], axis=1)
        raise EvaluationError(
            explain(
                f"Weighting {self.name!r} cannot be integrated: it keeps changing however near one looks.",
                fix="a function with a few jumps at most",
            )
        )

    def _over(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return integrals (2, m) of ``alpha`` and ``alpha(q) / q`` over cells by eight points each."""
        points, weights = np.polynomial.legendre.leggauss(8)
        half = (high - low) / 2
        shares = (low + half)[:, None] + half[:, None] * points
        values = self.values(shares)
        return np.stack([half * (values @ weights), half * ((values / shares) @ weights)])
