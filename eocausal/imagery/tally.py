"""What is counted while every chip is read once: status, valid shares, and pictures that carry nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import Bools, ChipBatch, Pixels, Rows
from eocausal.imagery.zeros import constant, zero_counts

__all__ = ["Tally", "tally"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted of one block, in the order of the chips' keys.

    ``status``, ``valid_fraction`` and ``constant`` (one value everywhere) are of shape (chips,), ``by_frame``
    (valid share) and ``observations`` of shape (chips, frames), the last None where they are not known.
    ``zeros`` of the ``valid`` pixels are zero in all bands; ``largest`` is the largest magnitude of any value.
    """

    status: npt.NDArray[np.str_]
    valid_fraction: Floats
    by_frame: Floats
    observations: Floats | None
    constant: Bools
    zeros: int
    valid: int
    largest: float


def tally(batches: Iterable[ChipBatch], order: Rows, *, told: Callable[[int], object]) -> dict[str, Tally]:
    """Count all chips, block by block.

    ``order`` are their positions in the order in which they come; ``told`` is called with the number of chips
    that were counted, batch by batch.
    """
    back = np.argsort(order)
    parts: dict[str, list[Tally]] = {}
    for batch in batches:
        for block in batch.status:
            parts.setdefault(block, []).append(_count(batch, block))
        told(len(batch))
    return {block: _together(some, back) for block, some in parts.items()}


def _count(batch: ChipBatch, block: str) -> Tally:
    pixels = batch.pixels[block]
    zeros, valid = zero_counts(pixels)
    share = batch.valid_fraction[block]
    return Tally(
        status=batch.status[block],
        valid_fraction=share,
        by_frame=share_by_frame(batch.mask[block], share),
        observations=batch.observations.get(block),
        constant=constant(pixels),
        zeros=zeros,
        valid=valid,
        largest=_largest(pixels),
    )


def share_by_frame(mask: Bools, share: Floats) -> Floats:
    """Return the valid share of each frame, (chips, frames), given that of each chip.

    Of how many pixels, the chip's share tells: those inside the polygon, where chips have one.

    Examples
    --------
    >>> mask = np.array([[[[True, False]], [[True, True]]]])
    >>> share_by_frame(mask, np.array([0.75])).tolist(), share_by_frame(mask[:, :, :, :1], np.array([1.0])).tolist()
    ([[0.5, 1.0]], [[1.0, 1.0]])
    """
    kept = mask.sum(axis=(2, 3))
    total = kept.sum(axis=1)
    pixels = np.rint(total / np.where(share > 0, share, 1.0)) / max(mask.shape[1], 1)
    found: Floats = kept / np.maximum(pixels, 1)[:, None]
    return found


def _largest(pixels: Pixels) -> float:
    if not pixels.size:
        return 0.0
    ends = [np.fmin.reduce(pixels, axis=None), np.fmax.reduce(pixels, axis=None)]
    return float(np.nan_to_num(np.abs(ends)).max())


def _together(parts: list[Tally], back: Rows) -> Tally:
    seen = [part.observations for part in parts]
    known = [found for found in seen if found is not None]
    return Tally(
        status=np.concatenate([part.status for part in parts])[back],
        valid_fraction=np.concatenate([part.valid_fraction for part in parts])[back],
        by_frame=np.concatenate([part.by_frame for part in parts])[back],
        observations=np.concatenate(known)[back] if len(known) == len(parts) else None,
        constant=np.concatenate([part.constant for part in parts])[back],
        zeros=sum(part.zeros for part in parts),
        valid=sum(part.valid for part in parts),
        largest=max(part.largest for part in parts),
    )
