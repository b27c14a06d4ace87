"""One picture of several: the median of what is clear, or the first that is, and how many were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int16]

COMPOSITES = ("median", "latest", "earliest")


def count_clear(layers: Sequence[Pixels]) -> Counts:
    """Return in how many layers, each (bands, n, n) with NaN where not clear, each pixel is clear.

    Examples
    --------
    >>> nan = np.nan
    >>> a, b = (np.array([[row]], dtype=np.float32) for row in ([1.0, nan, nan], [3.0, 5.0, nan]))
    >>> count_clear([a, b]).tolist()
    [[2, 1, 0]]
    """
    counts: Counts = np.zeros(layers[0].shape[1:], dtype=np.int16)
    for layer in layers:
        counts += ~np.isnan(layer[0])
    return counts


def compose(layers: Sequence[Pixels], method: str, *, least: int = 1) -> tuple[Pixels, Counts]:
    """Put layers of one place, earliest first, into one picture.

    Parameters
    ----------
    layers : sequence of numpy.ndarray
        float32, each (bands, n, n), NaN in every band where a pixel is not clear.
    method : {"median", "latest", "earliest"}
        The median of the clear values, band by band (the mean of the middle two of an even number), or the
        value of the last or first layer that is clear there.
    least : int
        Clear layers that a pixel needs; with fewer it is not valid.

    Returns
    -------
    pixels : numpy.ndarray
        float32, shape (bands, n, n).
    counts : numpy.ndarray
        int16, shape (n, n): layers that are clear, whatever ``least`` is.

    Examples
    --------
    >>> nan = np.nan
    >>> rows = ([1.0, nan, 4.0], [3.0, 5.0, nan], [9.0, nan, nan])
    >>> layers = [np.array([[row]], dtype=np.float32) for row in rows]
    >>> pixels, counts = compose(layers, "median")
    >>> pixels.tolist(), counts.tolist()
    ([[[3.0, 5.0, 4.0]]], [[3, 1, 1]])
    >>> compose(layers, "latest")[0].tolist()
    [[[9.0, 5.0, 4.0]]]
    """
    counts = count_clear(layers)
    if len(layers) == 1:
        pixels = layers[0].copy()
    elif method == "median":
        pixels = _median(np.stack(layers), counts)
    else:
        ordered = layers if method == "earliest" else list(reversed(layers))
        pixels = ordered[0].copy()
        for layer in ordered[1:]:
            np.copyto(pixels, layer, where=np.isnan(pixels))
    if least > 1:
        pixels[:, counts < least] = np.nan
    return pixels, counts


def _median(stack: Pixels, counts: Counts) -> Pixels:
    """Return the median over the first axis of what is not NaN."""
    ordered = np.sort(stack, axis=0)  # NaN come last
    fewest, most = int(counts.min()), int(counts.max())
    if fewest == most > 0:
        low, high = ordered[(most - 1) // 2], ordered[most // 2]
        alike: Pixels = low if most % 2 else low * np.float32(0.5) + high * np.float32(0.5)
        return alike
    low, high = ((counts - 1) // 2).clip(min=0), counts // 2
    middle = [
        np.take_along_axis(ordered, index.astype(np.intp)[None, None], axis=0)[0]
        for index in (low, np.where(counts > 0, high, 0))
    ]
    odd = counts % 2 == 1
    # halves first, so that large numbers do not overflow
    median: Pixels = np.where(odd, middle[0], middle[0] * np.float32(0.5) + middle[1] * np.float32(0.5))
    return median
