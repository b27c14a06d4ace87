"""The mean outcome at a dose, and the density of doses that they need. Pure arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eocausal.inference.scores import ScoredEstimate, mean_of_scores

FloatArray = npt.NDArray[np.float64]
Density = Callable[[FloatArray], FloatArray]

# Points at which a density is reckoned; between them it is a straight line.
GRID = 1024
# Bandwidths of the normal reference rule for the Epanechnikov kernel, in standard deviations times n^(-1/5).
NORMAL_REFERENCE = 2.34


def epanechnikov(distance: FloatArray, bandwidth: float) -> FloatArray:
    """Return the kernel ``0.75 (1 - (d / h)^2) / h`` within the bandwidth, 0 beyond.

    Examples
    --------
    >>> epanechnikov(np.array([0.0, 1.0, 2.0]), 2.0).tolist()
    [0.375, 0.28125, 0.0]
    """
    scaled = distance / bandwidth
    return np.asarray(0.75 * np.maximum(1 - scaled**2, 0.0) / bandwidth)


def undersmoothed(dose: FloatArray) -> float:
    """Return a bandwidth for doses (n,): ``2.34 sd n^(-1/4)``.

    The bias of a kernel mean shrinks as the square of the bandwidth ``h``, its standard error as
    ``(n h)^(-1/2)``. At the rate ``n^(-1/5)`` that makes the mean square error least both are of one size, and an
    interval is off its centre; at ``n^(-1/4)`` the bias is the smaller by ``n^(-1/8)``.

    Examples
    --------
    >>> round(undersmoothed(np.repeat([-1.0, 1.0], 5000)), 3)
    0.234
    """
    return float(NORMAL_REFERENCE * dose.std() * dose.size**-0.25)


def dose_mean(
    outcome: FloatArray,
    dose: FloatArray,
    weights: FloatArray,
    *,
    at: float,
    bandwidth: float,
    predicted: FloatArray,
    predicted_own: FloatArray,
    density_own: FloatArray,
) -> tuple[ScoredEstimate, FloatArray]:
    """Return the doubly robust mean outcome at a dose, and what each unit weighs in its correction (n,).

    The mean of ``predicted``, the outcome expected of each unit at the dose, plus the mean of what predictions
    missed, ``outcome - predicted_own``, with weights ``K_h(dose - at) / density_own``: the kernel over the density
    of the dose that a unit got, given what is known of it. The weights are 0 where the kernel is.

    Colangelo and Lee (2020), Double debiased machine learning nonparametric inference with continuous treatments,
    arXiv 2004.03036, section 2, take prediction and density at ``at`` in the correction, and do not divide by the
    sum of the weights. To first order all are one. Taken at the dose a unit got, only what the prediction misses
    is smoothed, not the whole outcome: with a right prediction a bandwidth of any size leaves no bias. Divided by
    their sum (Hajek), a few huge weights cannot carry the mean beyond what was missed anywhere.

    Examples
    --------
    >>> one = np.array([1.0, 1.0])
    >>> found, weights = dose_mean(np.array([3.0, 9.0]), np.array([1.0, 5.0]), one, at=1.0, bandwidth=2.0,
    ...                            predicted=one, predicted_own=one, density_own=np.array([0.5, 0.5]))
    >>> found.estimate, weights.tolist()
    (3.0, [0.75, 0.0])
    """
    kernel = epanechnikov(dose - at, bandwidth)
    near = kernel > 0
    own = np.zeros(dose.size)
    own[near] = weights[near] * kernel[near] / density_own[near]
    base, missed, total = mean_of_scores(predicted, weights), outcome - predicted_own, float(own.sum())
    lift = float(own @ missed / total)
    scores = base.scores + dose.size * own * (missed - lift) / total
    return ScoredEstimate(base.estimate + lift, scores, 1), own


def kernel_density(values: FloatArray, weights: FloatArray | None = None) -> Density:
    """Return the density of values (m,) as a function, by normal kernels that are wider where values are few.

    The width is ``0.9 min(sd, IQR / 1.34) m^(-1/5)``, Silverman (1986), Density Estimation, equation (3.31), times
    the square root of the geometric mean of the densities at all values over that at the value, his section 5.3: a
    density that falls off too fast in its tails would give the units there weights beyond all measure.

    Examples
    --------
    >>> density = kernel_density(np.random.default_rng(0).normal(size=4000))
    >>> bool(abs(density(np.zeros(1))[0] - 0.399) < 0.04)
    True
    """
    spread = values.std()
    quarters = np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34
    width = 0.9 * (min(spread, quarters) if quarters > 0 else spread) * values.size**-0.2
    share = np.full(values.size, 1 / values.size) if weights is None else weights / weights.sum()
    grid = np.linspace(values.min() - 10 * width, values.max() + 10 * width, GRID)
    pilot = np.interp(values, grid, _height(grid, values, np.full(values.size, width), share))
    widths = width * np.sqrt(np.exp(np.log(pilot).mean()) / pilot)
    low, high = (values - 8 * widths).min(), (values + 8 * widths).max()
    grid = np.linspace(low, high, GRID)
    height = _height(grid, values, widths, share)
    return lambda at: np.interp(at, grid, height, left=0.0, right=0.0)


def _height(grid: FloatArray, values: FloatArray, widths: FloatArray, share: FloatArray) -> FloatArray:
    """Return the sum of normal kernels around values, each with its width and share, at the points of a grid."""
    height = np.zeros(grid.size)
    for start in range(0, values.size, 4096):
        part = slice(start, start + 4096)
        scaled = (grid[:, None] - values[None, part]) / widths[None, part]
        height += np.exp(-0.5 * scaled**2) @ (share[part] / widths[part])
    return np.asarray(height / np.sqrt(2 * np.pi))
