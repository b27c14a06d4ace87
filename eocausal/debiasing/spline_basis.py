"""Natural cubic splines by their values at knots: cubic between knots, straight beyond the outer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

FloatArray = npt.NDArray[np.float64]


def spline_columns(knots: FloatArray, places: FloatArray, order: int = 0) -> FloatArray:
    """Return the natural splines that are 1 at one knot and 0 at the others, or their derivatives.

    Coefficients on these columns are values of the function at the knots. The columns add up to 1, so that they
    hold the constant.

    Parameters
    ----------
    knots : ndarray, shape (k,)
        Rising.
    places : ndarray, shape (n,)
        Where; beyond the outer knots columns go on as straight lines.
    order : {0, 1, 2}
        Which derivative.

    Returns
    -------
    ndarray, shape (n, k)

    Examples
    --------
    >>> knots = np.array([0.0, 1.0, 2.0, 3.0])
    >>> line = spline_columns(knots, np.array([-1.0, 0.5, 4.0])) @ (10 + 2 * knots)
    >>> line.round(9).tolist()
    [8.0, 11.0, 18.0]
    """
    spline = _spline(knots)
    width = float(knots[-1] - knots[0])
    scaled = (np.asarray(places, dtype=float) - knots[0]) / width
    inside = np.clip(scaled, 0.0, 1.0)
    columns = np.asarray(spline(inside, order)) / width**order
    if order == 0:
        columns = columns + (scaled - inside)[:, None] * np.asarray(spline(inside, 1))
    elif order == 2:
        columns[scaled != inside] = 0.0
    return columns


def _spline(knots: FloatArray) -> CubicSpline:
    """Return all cardinal splines at once, over knots brought to 0 and 1."""
    from scipy.interpolate import CubicSpline

    scaled = (knots - knots[0]) / (knots[-1] - knots[0])
    return CubicSpline(scaled, np.eye(knots.size), bc_type="natural")
