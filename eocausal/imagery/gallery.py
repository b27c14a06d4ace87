"""Look at chips: thumbnails that can be compared, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._figures import new_figure
from eocausal.imagery.batches import Bools, Pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The grey of pixels that are not valid, and the percentiles that span dark to light.
NOT_VALID = 235
STRETCH = (2.0, 98.0)
_NATURAL = (("red", "green", "blue"), ("B04", "B03", "B02"), ("B4", "B3", "B2"))


def natural_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Return positions of red, green, blue when bands are named so; else the first three, or the first.

    Examples
    --------
    >>> natural_bands(["blue", "green", "red", "nir"])
    (2, 1, 0)
    """
    lower = [name.lower() for name in names]
    for triple in _NATURAL:
        if all(name.lower() in lower for name in triple):
            return tuple(lower.index(name.lower()) for name in triple)
    return (0, 1, 2) if len(names) >= 3 else (0,)


def stretch(pixels: Pixels, mask: Bools) -> npt.NDArray[np.uint8]:
    """Turn chips into pictures with one stretch per band for all of them.

    Parameters
    ----------
    pixels : numpy.ndarray
        float32, shape (n, bands, height, width), with one band or three.
    mask : numpy.ndarray
        bool, shape (n, height, width).

    Returns
    -------
    numpy.ndarray
        uint8, shape (n, height, width, 3); pixels that are not valid are light grey.
    """
    pictures = np.full((*mask.shape, 3), NOT_VALID, dtype=np.uint8)
    for channel in range(3):
        values = pixels[:, channel if pixels.shape[1] == 3 else 0][mask]
        if values.size:
            low, high = np.percentile(values, STRETCH)
            share = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
            pictures[..., channel][mask] = np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return pictures


def contact_sheet(pictures: npt.NDArray[np.uint8], titles: Sequence[Any], *, columns: int) -> Figure:
    """Draw pictures side by side with a title each; nothing is shown."""
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    figure = new_figure(1.6 * columns, 1.8 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, picture, title in zip(axes.ravel(), pictures, titles):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(str(title), fontsize=8)
    return figure
