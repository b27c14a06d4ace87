"""Small windows of pixels: which of them are valid, and the mean over dates that have any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def valid_windows(mask: npt.NDArray[np.bool_], size_px: int) -> npt.NDArray[np.bool_]:
    """Return for each window of ``size_px`` squared whether all its pixels are valid.

    The last two axes shrink by ``size_px - 1``; window (i, j) has its north-west corner at pixel (i, j).

    Examples
    --------
    >>> mask = np.array([[True, True, False], [True, True, True]])
    >>> valid_windows(mask, 2)
    array([[ True, False]])
    """
    height, width = mask.shape[-2] - size_px + 1, mask.shape[-1] - size_px + 1
    rows = mask[..., :, :width].copy()
    for shift in range(1, size_px):
        rows &= mask[..., :, shift : shift + width]
    both = rows[..., :height, :].copy()
    for shift in range(1, size_px):
        both &= rows[..., shift : shift + height, :]
    return both


def mean_over_dates(by_date: Sequence[npt.NDArray[np.float64] | None], width: int) -> npt.NDArray[np.float64]:
    """Return the mean of the dates that gave features, each date weighing the same; NaN where none did."""
    found = [features for features in by_date if features is not None]
    return np.mean(found, axis=0) if found else np.full(width, np.nan)
