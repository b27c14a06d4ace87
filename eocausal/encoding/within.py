"""What is asked of every encoder within an encoder: to refuse chips early, and to work at another precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

from eocausal._checks import one_of
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.pretrained import PRECISIONS
from eocausal.encoding.protocol import ChipSource, Encoder
from eocausal.encoding.sequence import Sequence
from eocausal.errors import EncoderError, explain

__all__ = ["at_precision", "check_chips"]


@runtime_checkable
class ChecksChips(Protocol):
    """An encoder that can refuse chips before anything is fetched or read."""

    def check(self, chips: ChipSource) -> None:
        """Raise EncoderError for chips that it cannot read."""


@runtime_checkable
class HasPrecision(Protocol):
    """An encoder whose network can work at more than one precision."""

    def at_precision(self, precision: str) -> Encoder:
        """Return the same encoder at another precision."""


def check_chips(encoder: Encoder, chips: ChipSource) -> None:
    """Let an encoder, and every encoder within it, refuse chips by their bands and unit."""
    for inner in _inner(encoder):
        check_chips(inner, chips)
    if isinstance(encoder, ChecksChips):
        encoder.check(chips)


def at_precision(encoder: Encoder, precision: str) -> Encoder:
    """Return the encoder with its network at a precision, whatever it stands in.

    Raises
    ------
    EncoderError
        When the precision is not known, or the encoder has no other than ``fp32``.

    Examples
    --------
    >>> from eocausal.encoding.pretrained import Pretrained
    >>> at_precision(Sequence(Pretrained("dinov2-base"), pool="mean"), "bf16").inner.precision
    'bf16'
    """
    one_of(precision, PRECISIONS, argument="precision", error=EncoderError)
    if isinstance(encoder, MultiScale):
        # a protocol's method is not known to give the same class, so the type is told
        return cast(Encoder, encoder.with_encoders(lambda inner: at_precision(inner, precision)))
    if isinstance(encoder, Sequence):
        return cast(Encoder, replace(encoder, encoder=at_precision(encoder.inner, precision)))
    if isinstance(encoder, HasPrecision):
        return encoder.at_precision(precision)
    if precision == "fp32":
        return encoder
    raise EncoderError(
        explain(
            f"Encoder {encoder.name!r} works in fp32 alone, not in {precision}.",
            rule="precision is of networks; sums over pixels gain nothing from fewer digits",
            fix='precision="fp32", or leave it out',
        )
    )


def _inner(encoder: Encoder) -> list[Encoder]:
    if isinstance(encoder, Sequence):
        return [encoder.inner]
    if isinstance(encoder, MultiScale):
        return [inner for inner, _ in encoder.groups_of(encoder.blocks or ())]
    return []
