"""Encoders as a specification asks for them, and its mistakes about them told at their line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eocausal.encoding.catalogue import find_spec, plug_in, refuse_planned
from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.pixel_mean import PixelMean
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.random_features import RandomFeatures
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.sequence import Sequence
from eocausal.encoding.spec import EncoderSpec as NetworkSpec
from eocausal.errors import EncoderError
from eocausal.specs._encoder_names import is_encoder_file
from eocausal.specs.encoders import BySizeSpec, MultiScaleSpec, PretrainedSpec
from eocausal.specs.load import LoadedSpec, spec_error

if TYPE_CHECKING:
    from eocausal.encoding.protocol import Encoder
    from eocausal.specs.encoders import EncoderSpec
    from eocausal.specs.yaml_text import Place

__all__ = ["asked_encoder", "check_encoder"]

_WRAPPERS = {"sequence", "multi_scale"}
_BUILT_IN: Mapping[str, Callable[..., Any]] = {
    "rcf": RandomFeatures,
    "image_stats": ImageStats,
    "pixel_mean": PixelMean,
}


class _MisplacedError(EncoderError):
    """An encoder that cannot be, and the place in the specification that asks for it."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place


def check_encoder(loaded: LoadedSpec) -> None:
    """Refuse, at its line, an encoder that cannot be made: planned, pooled in a way that it has not, and so on.

    Files of encoders are read; no network is loaded and nothing is fetched.

    Raises
    ------
    SpecError
        With the place in the specification, or with the lines of an encoder's own file that are wrong.
    """
    if loaded.spec.encoder is None:
        return
    try:
        asked_encoder(loaded.spec.encoder)
    except _MisplacedError as cause:
        raise spec_error(loaded.path, loaded.document, mistakes=[(cause.place, str(cause))]) from cause


def asked_encoder(asked: EncoderSpec | None) -> Encoder:
    """Return the encoder that the block of a specification describes."""
    if asked is None:
        raise ValueError("a specification with imagery has an encoder")
    scales = asked.multi_scale
    place: Place = ("encoder",)
    if scales is None:
        return _of_one_size(asked, place)
    one: Any
    if scales.encoders is None:
        one = _of_one_size(asked, place)
    else:
        one = {
            _size(size): _of_one_size(inner, (*place, "multi_scale", "encoders", size))
            for size, inner in scales.encoders.items()
        }
    with _at((*place, "multi_scale")):
        return MultiScale(one, size_m=scales.size_m, side_px=_sides(scales), reduce=scales.reduce)


def _of_one_size(asked: EncoderSpec, place: Place) -> Encoder:
    if isinstance(asked, BySizeSpec):
        raise _MisplacedError(place, "several sizes cannot be inside one size")
    inner = _pretrained(asked, place) if isinstance(asked, PretrainedSpec) else _built_in(asked)
    if asked.sequence is None:
        return inner
    with _at((*place, "sequence")):
        return Sequence(inner, **asked.sequence.model_dump())


def _built_in(asked: Any) -> Encoder:
    made: Encoder = _BUILT_IN[asked.name](**asked.model_dump(exclude={"name", *_WRAPPERS}))
    return made


def _pretrained(asked: PretrainedSpec, place: Place) -> Encoder:
    settings = asked.model_dump(exclude={"name", *_WRAPPERS}, exclude_defaults=True)
    with _at((*place, "name")):
        added = None if is_encoder_file(asked.name) else plug_in(asked.name)
        if added is not None and not isinstance(added, NetworkSpec):
            return _without_settings(asked.name, settings)
        spec = find_spec(asked.name)
        refuse_planned(spec)
        Pretrained(spec)
    with _at((*place, "pool") if asked.pool is not None else place):
        return Pretrained(spec, **settings)


def _without_settings(name: str, settings: Mapping[str, Any]) -> Encoder:
    """Return the configuration that a plug-in adds, which has its settings already."""
    if settings:
        left = ", ".join(settings)
        raise EncoderError(
            f"{name!r} is a configuration of a plug-in, with settings of its own. Leave out {left}"
        )
    return get_encoder(name)


def _sides(scales: MultiScaleSpec) -> int | dict[str, int] | None:
    """Return sides by names of blocks, as chips call them."""
    if not isinstance(scales.side_px, dict):
        return scales.side_px
    sizes = {size: _size(size) for size in scales.side_px}
    names = {size: one if isinstance(one, str) else f"{one:.10g}m" for size, one in sizes.items()}
    return {names[size]: side for size, side in scales.side_px.items()}


def _size(written: str) -> float | str:
    """Return metres where a size is written as a number, else the name of a block."""
    try:
        return float(written)
    except ValueError:
        return written


@contextmanager
def _at(place: Place) -> Iterator[None]:
    """Say of what cannot be where it was asked for."""
    try:
        yield
    except EncoderError as cause:
        raise _MisplacedError(place, str(cause)) from cause
