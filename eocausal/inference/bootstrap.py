"""Bootstraps of influence values by clusters: draws of the t statistic. Pure arrays.

Nothing is fitted again. An estimate's error is to first order the mean of its influence values, and a draw is what
that mean becomes when whole clusters are drawn anew, or have their influence values multiplied by random weights.
In each draw the standard error is made again, of influence values that are recentred as the estimate would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.inference.reference import Reference

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Random weights by name: mean 0 and variance 1, Mammen's and none of the others with a third moment, of 1.
_GOLDEN = np.sqrt(5)
WEIGHTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "rademacher": ((-1.0, 1.0), (0.5, 0.5)),
    "webb": (
        tuple(float(sign * np.sqrt(size)) for sign in (-1, 1) for size in (1.5, 1.0, 0.5)),
        (1 / 6,) * 6,
    ),
    "mammen": (
        ((1 - _GOLDEN) / 2, (1 + _GOLDEN) / 2),
        ((_GOLDEN + 1) / (2 * _GOLDEN), (_GOLDEN - 1) / (2 * _GOLDEN)),
    ),
}
# With no more clusters than this, two-point weights make too few different draws (Webb 2023).
FEW_FOR_TWO_POINTS = 12
_CELLS_AT_ONCE = 2**22


def usual_weights(n_clusters: int) -> str:
    """Return the name of the random weights that so many clusters are multiplied by unless others are asked for."""
    return "webb" if n_clusters <= FEW_FOR_TWO_POINTS else "rademacher"


@dataclass(frozen=True, eq=False)
class Recentring:
    """Which influence values (n,) are recentred together, and what each weighs there.

    A weighted mean is recentred as a whole, a difference of weighted means arm by arm: then the draws are those of
    the regression on the arms, fitted again.
    """

    part: npt.NDArray[Any]
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class _Parts:
    """By cluster and part: sums of influence values (G, r, k), shares of weight (G, r), slopes in the null."""

    sums: FloatArray
    shares: FloatArray
    slopes: FloatArray
    n: int


def wild(
    scores: FloatArray,
    clusters: Codes,
    *,
    recentring: Recentring,
    factor: float,
    weights: str,
    draws: int,
    seed: int,
) -> Reference:
    """Return the reference distribution of the wild cluster bootstrap of scores, with the null imposed.

    Each cluster's influence values are multiplied by one random weight. For a difference of means it is the wild
    cluster restricted bootstrap of Cameron, Gelbach and Miller (2008), for a weighted mean likewise; elsewhere the
    score bootstrap of Kline and Santos (2012), which takes what else was fitted as given.

    Parameters
    ----------
    scores : array of shape (n, k)
        Centred influence values.
    clusters : array of shape (n,)
        Codes from 0 to G - 1.
    recentring : Recentring
    factor : float
        Finite-sample factor of the clustered variance.
    weights : {"rademacher", "webb", "mammen"}
    draws : int
        Where ``rademacher`` has no more than this many different draws, ``2^G``, each is taken once.
    seed : int
    """
    parts = _parts(scores, clusters, recentring)
    n_clusters = len(parts.sums)
    exact = weights == "rademacher" and 2**n_clusters <= draws
    made = _all_signs(n_clusters) if exact else _random_weights(n_clusters, weights, draws, seed)
    pieces = [_wild_draws(parts, drawn, factor) for drawn in made]
    rise, square = (np.concatenate(one) for one in zip(*pieces))
    return Reference(rise, square, exact)


def resampled(
    scores: FloatArray, clusters: Codes, *, recentring: Recentring, factor: float, draws: int, seed: int
) -> tuple[FloatArray, Reference]:
    """Return the covariance (k, k) and the reference distribution when clusters are drawn with replacement.

    The covariance is that of the draws times the factor of clusters, and the distribution that of t statistics.
    Parameters are those of :func:`wild`.
    """
    parts = _parts(scores, clusters, recentring)
    generator = np.random.default_rng(seed)
    n_clusters, k = parts.sums.shape[0], parts.sums.shape[2]
    even = np.full(n_clusters, 1 / n_clusters)
    pieces = [
        _resampled_draws(parts, generator.multinomial(n_clusters, even, size=size).astype(float), factor)
        for size in _chunks(draws, n_clusters)
    ]
    rise, square = (np.concatenate(one) for one in zip(*pieces))
    matrix = factor * rise.T @ rise / draws
    none = np.zeros((draws, k))
    return matrix, Reference(np.stack([rise, none], axis=2), np.stack([square, none, none], axis=2))


def _parts(scores: FloatArray, clusters: Codes, recentring: Recentring) -> _Parts:
    n, k = scores.shape
    labels, part = np.unique(recentring.part, return_inverse=True)
    n_clusters, n_parts = int(clusters.max()) + 1, labels.size
    cell = clusters * n_parts + part
    sums = np.zeros((n_clusters * n_parts, k))
    np.add.at(sums, cell, scores)
    weight = np.bincount(cell, weights=recentring.weight, minlength=n_clusters * n_parts)
    total = np.bincount(part, weights=recentring.weight)
    shares = weight.reshape(n_clusters, n_parts) / total
    # a part without influence on an estimate does not move with its null
    moved = np.array([np.abs(scores[part == one]).sum(axis=0) > 0 for one in range(n_parts)])
    moved |= ~moved.any(axis=0)
    # least squares under the null moves each mean by its variance, which falls with the weight of the part
    toward = moved / total[:, None]
    slopes = n * shares[:, :, None] * (toward / toward.sum(axis=0))
    return _Parts(sums.reshape(n_clusters, n_parts, k), shares, slopes, n)


@one_blas_thread()
def _wild_draws(parts: _Parts, drawn: FloatArray, factor: float) -> tuple[FloatArray, FloatArray]:
    """Return rise (b, k, 2) and square (b, k, 3) of weights (b, G)."""
    shares, together = parts.shares, parts.shares.T @ parts.shares
    rise, square = [], []
    for term in range(parts.sums.shape[2]):
        fixed, moving = parts.sums[:, :, term], parts.slopes[:, :, term]
        of, to = fixed.sum(axis=1), moving.sum(axis=1)
        mean, slope = drawn @ fixed, drawn @ moving
        with_mean, with_slope = drawn @ (of[:, None] * shares), drawn @ (to[:, None] * shares)
        products = drawn**2 @ np.column_stack([of**2, 2 * of * to, to**2])
        spread = np.column_stack(
            [
                -2 * (mean * with_mean).sum(axis=1) + ((mean @ together) * mean).sum(axis=1),
                -2 * (mean * with_slope + slope * with_mean).sum(axis=1)
                + 2 * ((mean @ together) * slope).sum(axis=1),
                -2 * (slope * with_slope).sum(axis=1) + ((slope @ together) * slope).sum(axis=1),
            ]
        )
        rise.append(drawn @ np.column_stack([of, to]) / parts.n)
        square.append(factor * (products + spread) / parts.n**2)
    return np.stack(rise, axis=1), np.stack(square, axis=1)


@one_blas_thread()
def _resampled_draws(parts: _Parts, times: FloatArray, factor: float) -> tuple[FloatArray, FloatArray]:
    """Return errors (b, k) and squared standard errors (b, k) where clusters are drawn ``times`` (b, G)."""
    shares, n_parts = parts.shares, parts.shares.shape[1]
    pairs = (shares[:, :, None] * shares[:, None, :]).reshape(len(shares), -1)
    together = (times @ pairs).reshape(-1, n_parts, n_parts)
    rise, square = [], []
    for term in range(parts.sums.shape[2]):
        sums = parts.sums[:, :, term]
        of = sums.sum(axis=1)
        mean = times @ sums
        spread = times @ of**2 - 2 * (mean * (times @ (of[:, None] * shares))).sum(axis=1)
        spread += np.einsum("br,brs,bs->b", mean, together, mean)
        rise.append(times @ of / parts.n)
        square.append(factor * spread / parts.n**2)
    return np.stack(rise, axis=1), np.stack(square, axis=1)


def _all_signs(n_clusters: int) -> Iterator[FloatArray]:
    yield np.array(list(product((1.0, -1.0), repeat=n_clusters)))


def _random_weights(n_clusters: int, weights: str, draws: int, seed: int) -> Iterator[FloatArray]:
    generator = np.random.default_rng(seed)
    values, chances = WEIGHTS[weights]
    for size in _chunks(draws, n_clusters):
        yield generator.choice(np.array(values), size=(size, n_clusters), p=chances)


def _chunks(draws: int, n_clusters: int) -> list[int]:
    """Return sizes of runs of draws that hold a bounded number of cells, in all ``draws``."""
    step = max(1, _CELLS_AT_ONCE // n_clusters)
    return [min(step, draws - start) for start in range(0, draws, step)]
