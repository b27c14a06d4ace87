"""Bring square chips to another number of pixels, anti-aliased, without what is not valid.

Shrinking takes the mean of what an output pixel covers, weighted by covered area; enlarging is bilinear. Both
are one small sparse matrix applied to rows and to columns of one picture at a time, so the result of a chip
does not depend on the chips that it is read with.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import whole_number
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import Bools, ChipBatch, ChipSource, Pixels, judge
from eocausal.imagery.changed import Corners, Work

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Resampling", "filter_name", "judge_again", "resample", "resample_classes"]

# Absorbs the rounding of sums of weights in the comparison with ``least``.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Resampling:
    """Chips are brought to other numbers of pixels.

    ``native`` are the sides of the blocks as they are read, ``sides`` those handed out; blocks that are not
    in ``sides`` stay as they are. ``categorical`` pixels are classes and are picked, not averaged.
    """

    native: Mapping[str, int]
    sides: Mapping[str, int]
    least: float = 0.5
    categorical: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.sides) - set(self.native))
        if unknown:
            fix = f"Choose from: {', '.join(self.native)}."
            raise ImageryError(
                explain("Sides are given for blocks that there are not.", where=unknown, fix=fix)
            )
        for side in (*self.native.values(), *self.sides.values()):
            _check_side(side)
        _check_least(self.least)

    def start(self, source: ChipSource) -> Work:
        """Return the resampling of a batch."""
        return lambda batch, rows: self._bring(batch)

    def corners(self, corners: Corners, block: str) -> Corners:
        """Return where chips lie, in pixels of the size that they are brought to."""
        stretch = self.stretch(block)
        return {**corners, **{name: corners[name] * stretch for name in ("x_size", "y_size")}}

    def recipe(self) -> dict[str, Any]:
        """Return sides and filters."""
        done = {
            block: {"from_px": self.native[block], "to_px": side, "filter": self._filter(block)}
            for block, side in self.sides.items()
        }
        return {"resampled": {"blocks": done, "least": self.least}}

    def stretch(self, block: str) -> float:
        """Return how many times as large a pixel of a block becomes."""
        return self.native[block] / self.sides.get(block, self.native[block])

    def _filter(self, block: str) -> str:
        return "nearest" if self.categorical else filter_name(self.native[block], self.sides[block])

    def _bring(self, batch: ChipBatch) -> ChipBatch:
        pixels, mask = dict(batch.pixels), dict(batch.mask)
        status, share = dict(batch.status), dict(batch.valid_fraction)
        for block, side in self.sides.items():
            found = batch.pixels[block].shape[-1]
            if found != self.native[block]:
                text = (
                    f"Chips of block {block!r} have {found} pixels a side, not {self.native[block]} as told."
                )
                raise ImageryError(explain(text, rule="native= holds the sides that are read"))
            if self.categorical:
                pixels[block], mask[block] = resample_classes(pixels[block], mask[block], side)
            else:
                pixels[block], mask[block] = resample(pixels[block], mask[block], side, least=self.least)
            status[block], share[block] = judge_again(mask[block], batch.status[block])
        return replace(batch, pixels=pixels, mask=mask, status=status, valid_fraction=share)


def judge_again(
    mask: Bools, before: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Return status and valid fraction of chips whose mask has changed; what had no pixels stays so."""
    absent = np.isin(before, ("outside", "cloudy", "missing"))
    judged, share = judge(mask, ~absent, "outside")
    return np.where(absent, before, judged), share


def filter_name(size: int, side: int) -> str:
    """Return the filter that brings ``size`` pixels to ``side``: ``none``, ``area`` or ``bilinear``."""
    if side == size:
        return "none"
    return "area" if side < size else "bilinear"


def resample(pixels: Pixels, mask: Bools, side: int, *, least: float = 0.5) -> tuple[Pixels, Bools]:
    """Bring square chips to ``side`` x ``side`` pixels, anti-aliased.

    When shrinking, an output pixel is the mean of the input pixels that it covers, weighted by covered area,
    exactly so for any ratio. When enlarging it is bilinear between pixel centres, which lie at k + 0.5, and
    beyond the outermost centres the outermost pixel. Pixels that are not valid have no weight, and the weights
    of the others are raised to sum to one.

    Parameters
    ----------
    pixels : numpy.ndarray
        float32, shape (n, dates, bands, size, size), NaN where not valid.
    mask : numpy.ndarray
        bool, shape (n, dates, size, size), True where valid.
    side : int
        Pixels a side of the result.
    least : float
        An output pixel is valid where at least this share of its weight is on valid pixels; above 0, at most 1.

    Returns
    -------
    pixels : numpy.ndarray
        float32, shape (n, dates, bands, side, side), NaN where not valid. Sums are float32: they err by less than
        1.2e-7 (size / side + 4) times the largest value that an output pixel covers.
    mask : numpy.ndarray
        bool, shape (n, dates, side, side).

    Raises
    ------
    ImageryError
        When chips are not square, shapes do not fit, pixels are NaN where the mask says valid, or ``side`` or
        ``least`` is out of range.

    Examples
    --------
    The last pixel is not valid; of three pixels to two, each output covers one and a half:

    >>> chip = np.array([[3.0, 6.0, 9.0]] * 3, dtype=np.float32).reshape(1, 1, 1, 3, 3)
    >>> valid = np.ones((1, 1, 3, 3), dtype=bool)
    >>> resample(chip, valid, 2)[0][0, 0, 0].tolist()
    [[4.0, 8.0], [4.0, 8.0]]
    >>> valid[..., 2] = False
    >>> resample(np.where(valid, chip, np.nan), valid, 2, least=0.3)[0][0, 0, 0, 0].tolist()
    [4.0, 6.0]
    """
    size = _check_shapes(pixels, mask)
    side = _check_side(side)
    _check_least(least)
    if side == size:
        return pixels, mask
    count, dates, bands = pixels.shape[:3]
    out = np.empty((count, dates, bands, side, side), dtype=np.float32)
    valid = np.empty((count, dates, side, side), dtype=bool)
    for place in np.ndindex(count, dates):
        out[place], valid[place] = _resample_frame(pixels[place], mask[place], side, least)
    lost: Bools = np.isnan(out).any(axis=2) & valid
    if lost.any():
        text = "Pixels are NaN or infinite where the mask says that they are valid."
        raise ImageryError(explain(text, fix="mask = mask & np.isfinite(pixels).all(axis=2)"))
    return out, valid


def resample_classes(pixels: Pixels, mask: Bools, side: int) -> tuple[Pixels, Bools]:
    """Bring square chips of classes to ``side`` x ``side`` pixels: the pixel under each output pixel's centre.

    A centre on the boundary of two pixels takes the higher one. No value is made that was not there.

    Parameters
    ----------
    pixels : numpy.ndarray
        float32, shape (n, dates, bands, size, size), NaN where not valid.
    mask : numpy.ndarray
        bool, shape (n, dates, size, size), True where valid.
    side : int
        Pixels a side of the result.

    Returns
    -------
    pixels, mask : numpy.ndarray
        Shapes (n, dates, bands, side, side) and (n, dates, side, side).

    Raises
    ------
    ImageryError
        As :func:`resample`.

    Examples
    --------
    >>> chip = np.arange(9, dtype=np.float32).reshape(1, 1, 1, 3, 3)
    >>> resample_classes(chip, np.ones((1, 1, 3, 3), dtype=bool), 2)[0][0, 0, 0].tolist()
    [[0.0, 2.0], [6.0, 8.0]]
    """
    size = _check_shapes(pixels, mask)
    side = _check_side(side)
    # whole numbers: the centre of output i is at (2 i + 1) size / (2 side)
    under = (2 * np.arange(side) + 1) * size // (2 * side)
    rows, columns = under[:, None], under[None, :]
    return pixels[..., rows, columns], mask[..., rows, columns]


def _resample_frame(pixels: Pixels, mask: Bools, side: int, least: float) -> tuple[Pixels, Bools]:
    """Return one picture of one date, (bands, side, side), and which of its pixels are valid."""
    single, double = _matrix(mask.shape[-1], side)
    if mask.all():
        return np.stack([_apply(single, band) for band in pixels]), np.ones((side, side), dtype=bool)
    if not mask.any():
        return np.full((len(pixels), side, side), np.nan, np.float32), np.zeros((side, side), dtype=bool)
    share = _apply(double, mask.astype(np.float64))
    valid: Bools = share >= least - _ROUNDING
    weight = np.where(valid, share, np.nan).astype(np.float32)
    filled = np.where(mask, pixels, np.float32(0))
    return np.stack([_apply(single, band) / weight for band in filled]), valid


def _apply(matrix: csr_array, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Apply the matrix to the rows of a picture, then to its columns."""
    done: npt.NDArray[Any] = (matrix @ (matrix @ picture).T).T
    return done


@lru_cache(maxsize=64)
def _matrix(size: int, side: int) -> tuple[csr_array, csr_array]:
    """Return the weights of ``size`` pixels in each of ``side``, (side, size), as float32 and as float64."""
    from scipy.sparse import csr_array

    exact = csr_array(_area(size, side) if side < size else _bilinear(size, side))
    return exact.astype(np.float32), exact


def _area(size: int, side: int) -> npt.NDArray[np.float64]:
    """Return the share of each input pixel in what each output pixel covers."""
    # in whole numbers: input pixel j spans j side to (j + 1) side, output pixel i spans i size to (i + 1) size
    first, last = np.arange(side)[:, None] * size, np.arange(1, side + 1)[:, None] * size
    left, right = np.arange(size) * side, np.arange(1, size + 1) * side
    covered: npt.NDArray[np.float64] = (
        np.clip(np.minimum(last, right) - np.maximum(first, left), 0, None) / size
    )
    return covered


def _bilinear(size: int, side: int) -> npt.NDArray[np.float64]:
    """Return the weights of the two nearest centres of each output centre."""
    # in units of 1 / (2 side) of an input pixel, counted from the centre of the first
    position = np.clip((2 * np.arange(side) + 1) * size - side, 0, 2 * side * (size - 1))
    lower, beyond = np.divmod(position, 2 * side)
    weights = np.zeros((side, size))
    weights[np.arange(side), lower] = 1 - beyond / (2 * side)
    weights[np.arange(side), np.minimum(lower + 1, size - 1)] += beyond / (2 * side)
    return weights


def _check_shapes(pixels: Pixels, mask: Bools) -> int:
    """Return the side of the chips, or raise ImageryError."""
    if pixels.ndim != 5 or pixels.shape[-1] != pixels.shape[-2] or pixels.shape[-1] == 0:
        text = f"Chips have the shape {pixels.shape}."
        raise ImageryError(explain(text, rule="(n, dates, bands, size, size): square"))
    expected = (*pixels.shape[:2], *pixels.shape[3:])
    if mask.shape != expected or mask.dtype != bool:
        text = f"The mask is {mask.dtype} of the shape {mask.shape}."
        raise ImageryError(explain(text, rule=f"bool of the shape {expected}, as the chips"))
    return int(pixels.shape[-1])


def _check_side(side: object) -> int:
    return whole_number(side, argument="side", error=ImageryError, least=1)


def _check_least(least: object) -> None:
    if isinstance(least, bool) or not isinstance(least, numbers.Real) or not 0 < float(least) <= 1:
        rule = "a share above 0 and at most 1"
        raise ImageryError(explain(f"least={least!r} is not a share of an output pixel.", rule=rule))
