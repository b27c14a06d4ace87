"""Scores of the mean outcome at a dose, and the density of doses that they need. Pure arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

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


def dose_scores(
    outcome: FloatArray,
    dose: FloatArray,
    *,
    at: float,
    bandwidth: float,
    predicted: FloatArray,
    predicted_own: FloatArray,
    density_own: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the doubly robust scores (n,) of the mean outcome at a dose, and the kernel weights (n,) in them.

    ``predicted + K_h(dose - at) / density_own (outcome - predicted_own)`` with ``predicted`` the outcome expected
    of each unit at that dose, ``predicted_own`` that at the dose it got, and ``density_own`` the density of the
    dose it got, both given what is known of the unit. The weights are 0 where the kernel is, whatever the density.

    Colangelo and Lee (2020), Double debiased machine learning nonparametric inference with continuous treatments,
    arXiv 2004.03036, section 2, take prediction and density at ``at`` in the correction too. To first order both
    are one. Taken at the dose a unit got, the weights average to 1 at any bandwidth, and only what the prediction
    misses is smoothed, not the whole outcome: with a right prediction a bandwidth of any size leaves no bias.

    Examples
    --------
    >>> one = np.array([1.0, 1.0])
    >>> scores, weights = dose_scores(np.array([3.0, 9.0]), np.array([1.0, 5.0]), at=1.0, bandwidth=2.0,
    ...                               predicted=one, predicted_own=one, density_own=np.array([0.5, 0.5]))
    >>> scores.tolist(), weights.tolist()
    ([2.5, 1.0], [0.75, 0.0])
    """
    kernel = epanechnikov(dose - at, bandwidth)
    near = kernel > 0
    weights = np.zeros(dose.size)
    weights[near] = kernel[near] / density_own[near]
    return predicted + weights * (outcome - predicted_own), weights


def kernel_density(values: FloatArray, weights: FloatArray | None = None) -> Density:
    """Return the density of values (m,) as a function, by normal kernels of Silverman's width.

    The width is ``0.9 min(sd, IQR / 1.34) m^(-1/5)``: Silverman (1986), Density Estimation, equation (3.31).

    Examples
    --------
    >>> density = kernel_density(np.random.default_rng(0).normal(size=4000))
    >>> bool(abs(density(np.zeros(1))[0] - 0.399) < 0.04)
    True
    """
    spread = values.std()
    quarters = np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34
    width = 0.9 * (min(spread, quarters) if quarters > 0 else spread) * values.size**-0.2
    grid = np.linspace(values.min() - 8 * width, values.max() + 8 * width, GRID)
    share = np.full(values.size, 1 / values.size) if weights is None else weights / weights.sum()
    height = np.zeros(GRID)
    for start in range(0, values.size, 4096):
        part = slice(start, start + 4096)
        height += np.exp(-0.5 * ((grid[:, None] - values[None, part]) / width) ** 2) @ share[part]
    height /= width * np.sqrt(2 * np.pi)
    return lambda at: np.interp(at, grid, height, left=0.0, right=0.0)
