"""Moran's I: whether values of neighbours are alike, and how much of that is chance. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

# Numbers that draws of signs hold at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Weights:
    """Who is whose neighbour, and how much that counts: by place, as units of a place have the same neighbours.

    The weight of unit j for unit i is ``between[place_i, place_j]``; no unit is its own neighbour.

    Attributes
    ----------
    place : array of shape (n,)
        Code of the place of each unit, 0 to P - 1.
    between : sparse array of shape (P, P)
        Its diagonal holds the weight of other units of the same place.
    """

    place: Positions
    between: Any

    @cached_property
    def counts(self) -> FloatArray:
        """Number of units (P,) of each place."""
        return np.bincount(self.place, minlength=self.between.shape[0]).astype(float)

    @cached_property
    def symmetric(self) -> Weights:
        """The mean of the weights of both directions, which the statistic is the same with."""
        return Weights(self.place, ((self.between + self.between.T) / 2).tocsr())

    @property
    def _own(self) -> FloatArray:
        return np.asarray(self.between.diagonal())

    def times(self, values: FloatArray) -> FloatArray:
        """Return the weighted sums over neighbours of values (n, m)."""
        sums = self.between @ self.by_place(values)
        return np.asarray(sums[self.place] - self._own[self.place, None] * values)

    def by_place(self, values: FloatArray) -> FloatArray:
        """Return sums of values (n, m) by place (P, m)."""
        from scipy.sparse import csr_array

        shape = (self.between.shape[0], self.place.size)
        member = csr_array((np.ones(self.place.size), (self.place, np.arange(self.place.size))), shape=shape)
        return np.asarray(member @ values)

    @cached_property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.counts @ (self.between @ self.counts) - self._own @ self.counts)

    @cached_property
    def squares(self) -> float:
        """Sum of the squares of all weights."""
        squared = self.between.multiply(self.between)
        return float(self.counts @ (squared @ self.counts) - self._own**2 @ self.counts)

    @cached_property
    def n_neighbours(self) -> FloatArray:
        """How many neighbours each unit has (n,)."""
        there = (self.between != 0).astype(float)
        return np.asarray((there @ self.counts - (self._own != 0))[self.place])

    @property
    def row_sums(self) -> FloatArray:
        """Sum of the weights of both directions (n,)."""
        both = self.symmetric
        return 2 * both.times(np.ones((self.place.size, 1)))[:, 0]


@dataclass(frozen=True)
class Moments:
    """Mean and variance of Moran's I where nothing is shared among neighbours."""

    expected: float
    variance: float

    def statistic(self, found: float) -> float:
        """Return how many standard deviations a value lies from its mean; NaN where it cannot differ from it."""
        return (found - self.expected) / self.variance**0.5 if self.variance > 0 else float("nan")


def moran(values: FloatArray, weights: Weights) -> float:
    """Return Moran's I of values (n,), or of histories (n, m) by their inner products.

    ``n / S0 * sum_ij w_ij <v_i, v_j> / sum_i <v_i, v_i>`` with ``S0`` the sum of the weights. Values are taken as
    they are: centre them first, unless they are residuals.

    Examples
    --------
    Four places in a row, each alike to one neighbour and unlike the other:

    >>> from scipy.sparse import csr_array
    >>> row = csr_array(np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1))
    >>> round(moran(np.array([1.0, 1.0, -1.0, -1.0]), Weights(np.arange(4), row)), 6)
    0.333333
    """
    held = values.reshape(len(values), -1)
    return float(len(held) / weights.total * np.sum(held * weights.times(held)) / np.sum(held**2))


def normal_moments(weights: Weights) -> Moments:
    """Return mean and variance for independent normal values less their mean (Cliff and Ord 1981, 1.37)."""
    return residual_moments(weights, np.full((weights.place.size, 1), weights.place.size**-0.5))


def residual_moments(weights: Weights, basis: FloatArray) -> Moments:
    """Return mean and variance for residuals of a regression with independent, equally large normal errors.

    Parameters
    ----------
    weights : Weights
    basis : array of shape (n, k)
        Orthonormal basis of the columns of the regression: residuals are ``M v`` with ``M = I - basis basis'``.

    Notes
    -----
    Cliff and Ord (1981), Spatial Processes, 8.3. With ``S`` the symmetric weights the mean is ``n / S0 tr(M S) /
    (n - k)``, and the mean of the square ``(n / S0)^2 (2 tr(M S M S) + tr(M S)^2) / ((n - k) (n - k + 2))``.
    """
    both, (n, k) = weights.symmetric, basis.shape
    spread = both.times(basis)
    inner = basis.T @ spread
    left = -float(np.trace(inner))
    square = both.squares - 2 * float(np.sum(spread**2)) + float(np.sum(inner**2))
    scale, df = n / weights.total, n - k
    expected = scale * left / df
    return Moments(expected, scale**2 * (2 * square + left**2) / (df * (df + 2)) - expected**2)


def permuted_moments(values: FloatArray, weights: Weights) -> Moments:
    """Return mean and variance over all ways to deal centred values (n,) out (Cliff and Ord 1981, 2.4).

    Where the size of values, such as that of the influence of treated units, goes by place, neighbours are not
    exchangeable, and :func:`uneven_moments` stand on less.
    """
    n, total = values.size, weights.total
    kurtosis = n * float(np.sum(values**4)) / float(np.sum(values**2)) ** 2
    s1, s2 = 2 * weights.symmetric.squares, float(np.sum(weights.row_sums**2))
    expected = -1 / (n - 1)
    first = n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * total**2)
    second = kurtosis * ((n**2 - n) * s1 - 2 * n * s2 + 6 * total**2)
    square = (first - second) / ((n - 1) * (n - 2) * (n - 3) * total**2)
    return Moments(expected, square - expected**2)


def uneven_moments(values: FloatArray, weights: Weights) -> Moments:
    """Return mean and variance for independent centred values (n,), each with a variance of its own.

    The variance of ``sum_ij s_ij v_i v_j`` is then ``2 sum_ij s_ij^2 var_i var_j``, with squares of values for
    variances. The mean is that of centred values.
    """
    both = weights.symmetric
    squared = both.between.multiply(both.between).tocsr()
    size = values**2
    sums = 2 * float(size @ Weights(both.place, squared).times(size[:, None])[:, 0])
    return Moments(-1 / (values.size - 1), (values.size / weights.total / float(size.sum())) ** 2 * sums)


def signed_draws(
    values: FloatArray, weights: Weights, *, draws: int, seed: int, basis: FloatArray | None = None
) -> FloatArray:
    """Return Moran's I (draws,) of values (n,) or histories (n, m) with the sign of each unit drawn at random.

    That leaves the size of every value in its place and makes neighbours unrelated. Of residuals, with the
    ``basis`` (n, k) of a regression, the regression is run again on each draw.
    """
    rng = np.random.default_rng(seed)
    held = values.reshape(len(values), -1)
    found = np.empty(draws)
    step = max(1, _AT_ONCE // held.shape[0])
    for start in range(0, draws, step):
        count = min(step, draws - start)
        signs = rng.choice([-1.0, 1.0], size=(held.shape[0], count))
        over, under = np.zeros(count), np.zeros(count)
        for column in held.T:
            drawn = column[:, None] * signs
            drawn = drawn - (drawn.mean(axis=0) if basis is None else basis @ (basis.T @ drawn))
            over += np.sum(drawn * weights.times(drawn), axis=0)
            under += np.sum(drawn**2, axis=0)
        found[start : start + count] = len(held) / weights.total * over / under
    return found
