"""Pictures that carry nothing: zeros that stand for no data without a file saying so, and one value everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SUSPECT_SHARE", "constant", "zero_counts", "zero_heavy"]

Bools = npt.NDArray[np.bool_]

SUSPECT_SHARE = 0.05
"""Zeros in all bands are rare on the ground: beyond this share of the valid pixels they likely mean no data."""

# Pixels along a side that are looked at before all are.
_GLANCE = 8


def zero_heavy(pixels: npt.NDArray[Any]) -> float:
    """Return the share of valid pixels that are exactly zero in all bands.

    Scenes are stored on a rectangle that is larger than what the satellite saw, and blocks that were never
    written read as zero. Where the file does not name zero as its nodata value, both count as valid.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (..., bands, height, width); NaN in any band where a pixel is not valid.

    Returns
    -------
    float
        Between 0 and 1; 0 when no pixel is valid. Above ``SUSPECT_SHARE`` it is worth telling.

    Examples
    --------
    >>> pixels = np.array([[[0.0, 0.0, 3.0, np.nan]], [[0.0, 5.0, 4.0, np.nan]]])
    >>> round(zero_heavy(pixels), 3)
    0.333
    """
    zeros, valid = zero_counts(pixels)
    return zeros / valid if valid else 0.0


def zero_counts(pixels: npt.NDArray[Any]) -> tuple[int, int]:
    """Return how many valid pixels are exactly zero in all bands, and how many are valid; sums over batches.

    Examples
    --------
    >>> zero_counts(np.array([[[0.0, 1.0, np.nan]]]))
    (1, 2)
    """
    valid = ~np.isnan(pixels).any(axis=-3)
    zeros = (pixels == 0).all(axis=-3)
    return int(zeros.sum()), int(valid.sum())


def constant(pixels: npt.NDArray[Any]) -> Bools:
    """Tell which chips hold one value in every band, over two valid pixels or more.

    Parameters
    ----------
    pixels : numpy.ndarray
        Shape (chips, dates, bands, height, width); NaN where not valid.

    Returns
    -------
    numpy.ndarray
        bool, shape (chips,). Chips without a valid pixel are not constant: their status says so already.

    Examples
    --------
    >>> constant(np.array([[[[[7.0, 7.0, np.nan]]]], [[[[7.0, 8.0, 7.0]]]]])).tolist()
    [True, False]
    """
    alike = np.zeros(len(pixels), dtype=bool)
    if 0 in pixels.shape:
        return alike
    # most chips differ among a few pixels already
    steps = [max(1, side // _GLANCE) for side in pixels.shape[-2:]]
    lowest, highest, _ = _ends(pixels[..., :: steps[0], :: steps[1]])
    rest = np.flatnonzero(~(lowest < highest).any(axis=1))
    lowest, highest, several = _ends(pixels[rest])
    alike[rest] = several & (lowest == highest).all(axis=1)
    return alike


def _ends(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Bools]:
    """Return the lowest and highest value of each band, (chips, bands), and which chips have two valid pixels."""
    valid = ~np.isnan(pixels).any(axis=2, keepdims=True)
    lowest = np.where(valid, pixels, np.inf).min(axis=(1, 3, 4))
    highest = np.where(valid, pixels, -np.inf).max(axis=(1, 3, 4))
    return lowest, highest, valid.sum(axis=(1, 2, 3, 4)) > 1
