"""Draw small windows from chips at random, and whiten them into filters.

Which windows are drawn depends on the seed, the block and the *set* of keys; neither the order of the keys
nor the batches in which chips are read play a part.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.encoding._windows import valid_windows
from eocausal.encoding.protocol import ChipSource, check_input
from eocausal.errors import EncoderError, explain

CANDIDATES = 32
"""Windows drawn from a chip for one filter: the first becomes the filter, all enter the whitening."""
_WHICH_CHIP, _WHICH_WINDOW = 1, 2
_TINY = 1e-6

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BlockPatches:
    """What was drawn for one block: moments of the bands (b,) and windows (filters, candidates, b, k, k)."""

    mean: npt.NDArray[np.float64]
    sd: npt.NDArray[np.float64]
    windows: dict[int, Array]


@dataclass(eq=False)
class _Draw:
    """The filters of one block and patch size that still need a chip, and the chips they may come from."""

    block: str
    size_px: int
    seed: int
    pool: npt.NDArray[np.intp]
    found: dict[int, Array] = field(default_factory=dict)
    assigned: dict[int, list[int]] = field(default_factory=dict)

    def rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*purpose, self.seed, zlib.crc32(self.block.encode()), self.size_px])

    def assign(self, filters: int, turn: int) -> None:
        """Give each filter without a window a chip, drawn evenly from the pool."""
        pending = [slot for slot in range(filters) if slot not in self.found]
        chosen = self.rng(_WHICH_CHIP, turn).choice(self.pool, size=len(pending))
        self.assigned = {}
        for slot, chip in zip(pending, chosen):
            self.assigned.setdefault(int(chip), []).append(slot)

    def cut(self, chip: int, pixels: Array, mask: Array, turn: int) -> bool:
        """Cut the windows of the filters assigned to a chip; return False when it has none to give."""
        dates, rows, columns = np.nonzero(valid_windows(mask, self.size_px))
        views = np.lib.stride_tricks.sliding_window_view(pixels, (self.size_px, self.size_px), axis=(2, 3))
        given = False
        for slot in self.assigned[chip] if len(dates) else []:
            at = self.rng(_WHICH_WINDOW, turn, slot).integers(0, len(dates), size=CANDIDATES)
            windows = views[dates[at], :, rows[at], columns[at]]
            varies = (windows.max(axis=(2, 3)) > windows.min(axis=(2, 3))).any(axis=1)
            if varies.any():  # a window without any variation has no direction to look for
                order = np.argsort(~varies, kind="stable")
                self.found[slot] = windows[order].copy()
                given = True
        return given


def draw_patches(
    chips: ChipSource, keys: Array, *, sizes_px: tuple[int, ...], filters: int, seed: int
) -> dict[str, BlockPatches]:
    """Draw ``filters`` windows of each size for each block from the chips of ``keys`` alone.

    A chip is drawn evenly from the keys for each filter, then a window evenly from the wholly valid windows
    of that chip. Chips without one are left out of the draw and others drawn instead. Band means and
    standard deviations are over all valid pixels of the chips that gave windows.
    """
    ordered = np.unique(keys)
    draws = [_Draw(block, size, seed, np.arange(len(ordered))) for block in chips.blocks for size in sizes_px]
    moments: dict[str, dict[int, Array]] = {block: {} for block in chips.blocks}
    seen: dict[str, dict[int, str]] = {block: {} for block in chips.blocks}
    turn = 0
    while any(len(draw.found) < filters for draw in draws):
        for draw in draws:
            if not len(draw.pool):
                raise _no_windows(draw, seen[draw.block], chips)
            draw.assign(filters, turn)
        needed = sorted({chip for draw in draws for chip in draw.assigned})
        _read(chips, ordered, needed, draws, moments, seen, turn)
        turn += 1
    return {
        block: BlockPatches(
            *_mean_and_sd(moments[block]),
            {
                draw.size_px: np.stack([draw.found[slot] for slot in range(filters)])
                for draw in draws
                if draw.block == block
            },
        )
        for block in chips.blocks
    }


def _read(
    chips: ChipSource,
    ordered: Array,
    needed: list[int],
    draws: list[_Draw],
    moments: dict[str, dict[int, Array]],
    seen: dict[str, dict[int, str]],
    turn: int,
) -> None:
    """Read the chips needed and let every draw cut its windows from them."""
    position = {key: chip for chip, key in zip(needed, ordered[needed].tolist())}
    for batch in chips.batches(keys=ordered[needed]):
        for block in chips.blocks:
            check_input(batch.pixels[block], batch.mask[block], bands=len(chips.bands), encoder="rcf")
        for row, key in enumerate(batch.keys.tolist()):
            chip = position[key]
            for draw in draws:
                if chip in draw.assigned:
                    pixels, mask = batch.pixels[draw.block][row], batch.mask[draw.block][row]
                    seen[draw.block][chip] = str(batch.status[draw.block][row])
                    _refuse_small(draw, pixels)
                    if draw.cut(chip, pixels, mask, turn):
                        moments[draw.block].setdefault(chip, _moments(pixels, mask))
                    else:
                        draw.pool = draw.pool[draw.pool != chip]


def _refuse_small(draw: _Draw, pixels: Array) -> None:
    if min(pixels.shape[-2:]) < draw.size_px:
        raise EncoderError(
            explain(
                f"patch_px={draw.size_px} does not fit in chips of block {draw.block!r} "
                f"({pixels.shape[-2]} x {pixels.shape[-1]} pixels).",
                fix="RandomFeatures(patch_px=(3,)), or read larger chips (size_m= or size_px=)",
            )
        )


def _no_windows(draw: _Draw, seen: dict[int, str], chips: ChipSource) -> EncoderError:
    counts = ", ".join(f"{status} {count}" for status, count in sorted(Counter(seen.values()).items()))
    return EncoderError(
        explain(
            f"No chip of block {draw.block!r} has a wholly valid {draw.size_px} x {draw.size_px} window that "
            f"varies; chips by status: {counts}.",
            rule=f"random features are drawn from valid pixels of the {chips.key_name!r} they are fitted on",
            fix="check that the rasters cover the units, their nodata value, and fit_keys=",
        )
    )


def _moments(pixels: Array, mask: Array) -> Array:
    """Return count, mean and sum of squared deviations of each band of one chip, shape (3, b)."""
    inside = pixels.swapaxes(0, 1)[:, mask].astype(np.float64)
    mean = inside.mean(axis=1)
    return np.stack([np.full(len(mean), inside.shape[1]), mean, ((inside - mean[:, None]) ** 2).sum(axis=1)])


def _mean_and_sd(moments: dict[int, Array]) -> tuple[Array, Array]:
    """Pool the moments of chips, in the order of their keys; a band without variation gets SD 1."""
    counts, means, squares = np.stack([moments[chip] for chip in sorted(moments)], axis=1)
    total = counts.sum(axis=0)
    mean = (counts * means).sum(axis=0) / total
    sd = np.sqrt((squares + counts * (means - mean) ** 2).sum(axis=0) / total)
    return mean, np.where(sd > 0, sd, 1.0)


def whitened_filters(patches: BlockPatches, size_px: int, *, whitening: float) -> npt.NDArray[np.float32]:
    """Return filters (f, b, k, k): standardised, centred, unit-norm windows, ZCA-whitened.

    The response of a filter is the inner product of its window with the one it meets, both whitened, so the
    whitening matrix enters twice: as the inverse of the covariance, with ``whitening`` added to its
    eigenvalues.
    """
    windows = (patches.windows[size_px] - patches.mean[:, None, None]) / patches.sd[:, None, None]
    filters, candidates = windows.shape[:2]
    flat = windows.reshape(filters * candidates, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.maximum(norms, _TINY)
    pool = unit[norms[:, 0] > _TINY]
    eigenvalues, vectors = np.linalg.eigh(pool.T @ pool / len(pool))
    inverse = (vectors / (np.maximum(eigenvalues, 0.0) + whitening)) @ vectors.T
    first = unit.reshape(filters, candidates, -1)[:, 0]
    return np.asarray((first @ inverse).reshape(filters, *windows.shape[2:]), dtype=np.float32)
