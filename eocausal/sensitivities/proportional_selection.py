"""Selection on the unseen in proportion to that on the seen, from seven second moments: pure formulas, all roots.

``Y = beta X + index of the seen + index of the unseen + error``, the two indices uncorrelated, and ``delta`` how
much more the treatment goes with the unseen index than with the seen one, per unit of variance of each. With ``nu``
the bias, the estimate less ``beta``, and ``t_xx`` the variance of the treatment that all controls leave,

    delta = [nu t_xx / (m + nu^2 t_xx)] * V / C,    m = (r2_max - r2_long) * variance of the outcome

where ``V`` is the variance of the seen index and ``C`` its covariance with the treatment at that ``beta``. Both are
polynomials in ``nu``, which makes ``delta`` a ratio of two cubics: the formula of Oster (2019), Journal of Business
& Economic Statistics 37, proposition 2.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Oster's convention: if all were seen, 1.3 times as much of the outcome would be explained.
R2_TIMES = 1.3
# An imaginary part, or a variance, this small a share of what it is compared with is rounding.
ROUNDING = 1e-7


@dataclass(frozen=True)
class Moments:
    """Second moments of an outcome and a treatment before and after controls.

    Attributes
    ----------
    total : float
        Variance of the outcome, which every R2 is a share of.
    outcome, cross, treatment : float
        Variance of the outcome, covariance with the treatment and its variance, after controls that are always in.
    outcome_left, cross_left, treatment_left : float
        The same after all controls.
    """

    total: float
    outcome: float
    cross: float
    treatment: float
    outcome_left: float
    cross_left: float
    treatment_left: float

    @classmethod
    def of_regressions(
        cls,
        *,
        short: tuple[float, float],
        long: tuple[float, float],
        outcome: float,
        treatment: float,
        treatment_left: float,
    ) -> Self:
        """Return the moments behind two published regressions.

        Parameters
        ----------
        short, long : (coefficient, R2)
            Of the treatment, without the controls and with them.
        outcome, treatment : float
            Their variances.
        treatment_left : float
            The variance of the treatment that the controls leave.

        Examples
        --------
        >>> found = Moments.of_regressions(short=(5 / 3, 25 / 33), long=(1.4, 0.781818181818), outcome=8.25,
        ...                                treatment=2.25, treatment_left=1.25)
        >>> betas(found, delta=0.5, r2_max=29 / 33).round(6).tolist()
        [1.0, 2.0, 3.0]
        """
        (before, r2_before), (after, r2_after) = short, long
        return cls(
            total=outcome,
            outcome=outcome * (1 - r2_before) + before**2 * treatment,
            cross=before * treatment,
            treatment=treatment,
            outcome_left=outcome * (1 - r2_after) + after**2 * treatment_left,
            cross_left=after * treatment_left,
            treatment_left=treatment_left,
        )

    @property
    def short(self) -> float:
        """Coefficient without the controls."""
        return self.cross / self.treatment

    @property
    def long(self) -> float:
        """Coefficient with the controls."""
        return self.cross_left / self.treatment_left

    @property
    def r2_short(self) -> float:
        """Share of the outcome's variance that the regression without the controls explains."""
        return 1 - (self.outcome - self.cross * self.short) / self.total

    @property
    def r2_long(self) -> float:
        """Share of the outcome's variance that the regression with the controls explains."""
        return 1 - (self.outcome_left - self.cross_left * self.long) / self.total

    @property
    def usual_r2_max(self) -> float:
        """1.3 times the R2 of the long regression, at most 1."""
        return min(1.0, R2_TIMES * self.r2_long)

    def ceiling(self, r2_max: float | None) -> float:
        """Return the share of the outcome that everything together would explain: as asked, else as usual."""
        return self.usual_r2_max if r2_max is None else r2_max

    @property
    def r2_treatment(self) -> float:
        """Share of the treatment's variance that the controls explain, given those that are always in."""
        return 1 - self.treatment_left / self.treatment

    def partial_r2(self, null: float = 0.0) -> float:
        """Share that treatment explains of outcome less ``null`` times treatment, after all controls."""
        gap = self.long - null
        left = self.outcome_left / self.treatment_left - self.long**2
        return gap**2 / (gap**2 + left)

    def values(self) -> FloatArray:
        """Return the seven moments, in the order of the fields."""
        return np.array(astuple(self), dtype=float)


class Ratio(NamedTuple):
    """``delta`` as a ratio of two polynomials in the bias ``nu``, lowest power first, both (4,)."""

    above: FloatArray
    below: FloatArray


def ratio(moments: Moments, r2_max: float) -> Ratio:
    """Return the polynomials of which ``delta`` is the ratio."""
    room = (r2_max - moments.r2_long) * moments.total
    left, explained = moments.treatment_left, moments.treatment - moments.treatment_left
    # covariance of treatment and seen index at nu = 0, and variance of that index there
    pull = moments.cross - moments.long * moments.treatment
    index = index_variance(moments, moments.long)
    return Ratio(
        np.array([0.0, left * index, 2 * left * pull, left * explained]),
        np.array([room * pull, room * explained, left * pull, left * explained]),
    )


def index_variance(moments: Moments, beta: float) -> float:
    """Return the variance of the index of the seen controls if the effect were ``beta``."""
    gone = np.array([
        moments.outcome - moments.outcome_left,
        moments.cross - moments.cross_left,
        moments.treatment - moments.treatment_left,
    ])  # fmt: skip
    return float(gone @ [1.0, -2 * beta, beta**2])


def delta_of(moments: Moments, *, beta: float = 0.0, r2_max: float) -> float:
    """Return the ``delta`` at which the effect would be ``beta``; infinite where none is large enough.

    Examples
    --------
    >>> found = Moments.of_regressions(short=(5 / 3, 25 / 33), long=(1.4, 0.781818181818), outcome=8.25,
    ...                                treatment=2.25, treatment_left=1.25)
    >>> round(delta_of(found, r2_max=29 / 33), 6)
    1.076923
    """
    above, below = ratio(moments, r2_max)
    powers = (moments.long - beta) ** np.arange(4)
    top, bottom = float(above @ powers), float(below @ powers)
    if bottom == 0:
        return np.nan if top == 0 else np.inf
    return top / bottom


def betas(moments: Moments, *, delta: float = 1.0, r2_max: float) -> FloatArray:
    """Return every effect that a ``delta`` allows, in rising order: one to three of them."""
    above, below = ratio(moments, r2_max)
    unit = bias_unit(moments)
    # in units of the bias, so that what counts as rounding does not depend on how outcomes are measured
    equation = (above - delta * below) * unit ** np.arange(4)
    return np.sort(moments.long - unit * real_roots(equation))


def bias_unit(moments: Moments) -> float:
    """Return one standard deviation of the outcome per standard deviation of the treatment."""
    return float(np.sqrt(moments.total / moments.treatment))


def real_roots(polynomial: FloatArray) -> FloatArray:
    """Return real roots of a polynomial, lowest power first; a pair that rounding made complex counts as two."""
    size = np.abs(polynomial).max()
    kept = polynomial if size == 0 else np.where(np.abs(polynomial) < 1e-14 * size, 0.0, polynomial)
    found = np.roots(np.trim_zeros(kept[::-1], "f"))
    real = np.abs(found.imag) <= ROUNDING * np.maximum(np.abs(found), 1.0)
    return np.asarray(found[real].real, dtype=float)


def is_empty_index(moments: Moments, beta: float) -> bool:
    """Whether at this effect the seen controls would do nothing for the outcome, so that any ``delta`` fits."""
    scale = moments.outcome - moments.outcome_left + beta**2 * (moments.treatment - moments.treatment_left)
    return index_variance(moments, beta) <= ROUNDING * abs(scale)


def usual_root(moments: Moments, roots: FloatArray, delta: float = 1.0) -> float:
    """Return the root that software usually picks: the nearest one on the side to which the controls moved it.

    Where no root lies on that side it is the nearest of all. It need not be the true one.
    """
    towards = np.sign(moments.long - moments.short) * (1 if delta >= 0 else -1)
    allowed = roots[np.sign(roots - moments.long) == towards]
    allowed = allowed if allowed.size else roots
    return float(allowed[np.argmin(np.abs(allowed - moments.long))])


def linear_approximation(moments: Moments, *, delta: float = 1.0, r2_max: float) -> float:
    """Return the effect by proportion of R2, which is exact only in special cases with ``delta`` 1."""
    gained = moments.r2_long - moments.r2_short
    moved = moments.short - moments.long
    return moments.long - delta * moved * (r2_max - moments.r2_long) / gained
