"""What training starts from: a small network with random weights, or a published one with its own preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.encoding._adapters import Look
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError, explain
from eocausal.training._fold_pixels import ChipTable, Pictures
from eocausal.training._networks import PRESETS, Body, over_frames

if TYPE_CHECKING:
    from eocausal.encoding.protocol import ChipSource

__all__ = ["Start", "refuse_untrainable", "start_of"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Start:
    """A network without head, and how chips (by position) become the pictures that it reads."""

    body: Body
    pictures: Callable[[Rows], Pictures]


def start_of(
    network: str | Pretrained, table: ChipTable, source: ChipSource, *, learn: Rows, device: str
) -> Start:
    """Return what the training of one fold starts from; scales are learned from the chips ``learn`` alone."""
    if isinstance(network, Pretrained):
        return _published(network, table, source, learn=learn, device=device)
    scale = table.scale(learn)
    stacked, height, width = table.pixels.shape[1:]
    body = PRESETS[network](stacked // table.frames, height, width)
    return Start(over_frames(body, table.frames), lambda rows: table.pictures(rows, scale))


def refuse_untrainable(encoder: Pretrained) -> None:
    """Raise EncoderError for encoders that cannot be trained further here."""
    spec = encoder.spec
    reasons = {
        f"it is of {spec.library}, and networks of transformers are trained": spec.library != "transformers",
        "it reads several dates, and networks are trained on one": spec.frames_max > 1,
        f"precision={encoder.precision!r}, and training is in fp32": encoder.precision != "fp32",
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise EncoderError(explain(f"Encoder {spec.name!r} cannot be fine-tuned: {'; '.join(found)}."))


def _published(
    encoder: Pretrained, table: ChipTable, source: ChipSource, *, learn: Rows, device: str
) -> Start:
    fitted = encoder.fit(source, keys=table.keys[learn], device=device)
    look = Look(table.block, (0,))

    def pictures(rows: Rows) -> Pictures:
        stacked = table.pixels[rows]
        pixels = stacked.reshape(len(stacked), table.frames, -1, *stacked.shape[2:])
        valid = np.asarray(np.isfinite(pixels).all(axis=2))
        made, _ = fitted.prepared.frames(pixels, valid, table.block)
        return made.reshape(len(made), -1, *made.shape[3:])

    network = fitted.network
    network.module.requires_grad_(True)
    body = Body(network.module, lambda given: network.vectors(given, look), int(encoder.spec.dim or 0))
    return Start(over_frames(body, table.frames), pictures)
