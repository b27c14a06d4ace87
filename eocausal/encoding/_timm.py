"""The adapter of timm: any of its networks of pictures, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, import_library
from eocausal.encoding._building import DTYPES, fill, read_weights, undisturbed
from eocausal.encoding._spec_checks import check_named_bands, check_one_date, check_pooling
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER", "POOLS"]


def _class_token(network: Any, pictures: Tensor) -> Tensor:
    if not getattr(network, "num_prefix_tokens", 0):
        text = f"{type(network).__name__} has no class token."
        raise EncoderError(explain(text, fix="pooling: mean"))
    tokens: Tensor = network.forward_features(pictures)[:, 0]
    return tokens


def _mean(network: Any, pictures: Tensor) -> Tensor:
    """Return the mean of the tokens of the picture, or what networks without tokens make of their maps."""
    features = network.forward_features(pictures)
    axes = getattr(features, "ndim", 0)
    if axes == 3 and hasattr(network, "num_prefix_tokens"):
        tokens: Tensor = features[:, network.num_prefix_tokens :].mean(dim=1)
        return tokens
    if axes != 4 and getattr(network, "global_pool", None) != "avg":
        text = f"{type(network).__name__} does not say which of its tokens are of the picture."
        raise EncoderError(explain(text, rule="pooling mean leaves out class tokens", fix="another network"))
    made: Tensor = network.forward_head(features, pre_logits=True)
    return made


POOLS: Mapping[str, Callable[[Any, Tensor], Tensor]] = MappingProxyType({"cls": _class_token, "mean": _mean})
"""How vectors are made of what a network gives."""


def _check(spec: EncoderSpec) -> None:
    check_pooling(spec, POOLS)
    check_named_bands(spec)
    check_one_date(spec)


def _load(asked: Loading) -> LoadedNetwork:
    """Build the network by its name without fetching anything, and fill it from the folder."""
    import torch

    spec = asked.spec
    with undisturbed():
        network = _build(spec, import_library("timm", "timm"))
    heads = _heads(network)
    state = read_weights(spec, asked.folder)
    fill(
        network,
        {name: tensor for name, tensor in state.items() if not name.startswith(heads)},
        spec=spec,
        folder=asked.folder,
    )
    dtype = getattr(torch, DTYPES[asked.precision])
    network = network.eval().to(asked.device, dtype)
    pool = POOLS[asked.pool]

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        return pool(network, pictures.to(dtype))

    return LoadedNetwork(network, vectors)


def _build(spec: EncoderSpec, timm: Any) -> Any:
    name = spec.loader.partition(".")[0]
    if not timm.is_model(name):
        near = timm.list_models(f"{name.split('_')[0]}*")[:5]
        text = f"timm has no network {spec.loader!r}, which encoder {spec.name!r} names as its loader."
        raise EncoderError(
            explain(text, fix=f"timm.list_models() names them{', such as ' if near else ''}{', '.join(near)}")
        )
    about = timm.get_pretrained_cfg(spec.loader)
    made: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": len(spec.bands or ())}
    # position codes stay at the size of the checkpoint, and are brought to that of the pictures as they come
    if about.fixed_input_size and tuple(about.input_size[1:]) != (spec.native_px, spec.native_px):
        made["dynamic_img_size"] = True
    try:
        return timm.create_model(spec.loader, **made)
    except (TypeError, RuntimeError, ValueError) as cause:
        size = f"{len(spec.bands or ())} bands of {spec.native_px} pixels a side"
        text = f"timm cannot build {spec.loader!r} for {size}: {str(cause)[:200]}"
        raise EncoderError(explain(text)) from cause


def _heads(network: Any) -> tuple[str, ...]:
    """Return how names of the classifier of a network begin, which is not built here."""
    named = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    found = (named,) if isinstance(named, str) else tuple(named)
    return tuple(f"{one}." for one in found) or ("head.",)


ADAPTER = Adapter("timm", ("timm", "torch", "safetensors"), _check, _load)
