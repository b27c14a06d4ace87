"""The adapter of open_clip: the half of a CLIP network that sees pictures, by the name of its configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, import_library
from eocausal.encoding._building import DTYPES, fill, read_weights, undisturbed
from eocausal.encoding._spec_checks import check_one_date, check_pooling
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER"]

# of a checkpoint, the half that sees pictures
_VISUAL = "visual."


def _check(spec: EncoderSpec) -> None:
    check_pooling(spec, ("projected",), why=", where pictures meet text")
    if spec.common_names != ("red", "green", "blue"):
        text = f"Encoder {spec.name!r} does not read red, green, blue."
        raise EncoderError(
            explain(text, where=spec.common_names or ("any",), rule="networks of open_clip read pictures")
        )
    check_one_date(spec)


def _load(asked: Loading) -> LoadedNetwork:
    """Build the network without fetching anything, keep its half for pictures, and fill that from the folder."""
    import torch

    spec = asked.spec
    with undisturbed():
        network = _build(spec, import_library("open_clip", "open_clip"))
    state = {
        name.removeprefix(_VISUAL): tensor
        for name, tensor in read_weights(spec, asked.folder).items()
        if name.startswith(_VISUAL)
    }
    fill(network, state, spec=spec, folder=asked.folder)
    dtype = getattr(torch, DTYPES[asked.precision])
    network = network.eval().to(asked.device, dtype)

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        projected: Tensor = network(pictures.to(dtype))
        return projected

    return LoadedNetwork(network, vectors)


def _build(spec: EncoderSpec, open_clip: Any) -> Any:
    known = open_clip.list_models()
    if spec.loader not in known:
        near = [name for name in known if name[:4].lower() == spec.loader[:4].lower()][:5] or known[:5]
        text = f"open_clip has no network {spec.loader!r}, which encoder {spec.name!r} names as its loader."
        raise EncoderError(
            explain(text, fix=f"open_clip.list_models() names them, such as {', '.join(near)}")
        )
    with _without_a_word():
        network = open_clip.create_model(
            spec.loader, pretrained=None, pretrained_text=False, force_image_size=spec.native_px
        )
    return network.visual


@contextmanager
def _without_a_word() -> Iterator[None]:
    """Drop what open_clip logs about weights that are filled in later; its first word would set up logging."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(_not_of_open_clip)
    try:
        yield
    finally:
        root.removeFilter(_not_of_open_clip)
        root.removeHandler(handler)


def _not_of_open_clip(record: logging.LogRecord) -> bool:
    return "open_clip" not in record.pathname


ADAPTER = Adapter("open_clip", ("open_clip_torch", "torch"), _check, _load)
