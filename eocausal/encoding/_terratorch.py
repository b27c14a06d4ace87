"""The adapter of terratorch: Prithvi, which reads several dates, and TerraMind, built from its registry by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, import_library
from eocausal.encoding._building import DTYPES, fill, read_weights, undisturbed
from eocausal.encoding._spec_checks import check_bands, check_loader, check_one_date, check_pooling
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER", "FAMILIES"]

_HLS = ("blue", "green", "red", "nir08", "swir16", "swir22")
_SENTINEL_2 = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16",
    "swir22",
)  # fmt: skip


@dataclass(frozen=True)
class _Family:
    """How networks of a kind are built, given pictures and pooled, and which parts of a checkpoint are theirs.

    ``own`` are beginnings of names of the encoder's parts, ``patch_px`` pixels a side that become one token.
    """

    bands: tuple[str, ...]
    pools: Mapping[str, Callable[[Tensor], Tensor]]
    own: tuple[str, ...]
    several: bool = False
    build: Mapping[str, Any] = field(default_factory=dict)
    patch_px: int = 16


def _class_token(tokens: Tensor) -> Tensor:
    return tokens[:, 0]


def _mean_after_class(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].mean(dim=1)


def _mean(tokens: Tensor) -> Tensor:
    return tokens.mean(dim=1)


def _prithvi(patch_px: int = 16) -> _Family:
    pools = {"cls": _class_token, "mean": _mean_after_class}
    return _Family(_HLS, pools, own=("",), several=True, patch_px=patch_px)


# a checkpoint holds embeddings of all kinds of input; the encoder of one kind has its own alone
_TERRAMIND = _Family(
    _SENTINEL_2, {"mean": _mean}, own=("encoder.", "encoder_norm."), build={"modalities": ["S2L2A"]}
)

FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "prithvi_eo_v1_100": _prithvi(),
        "prithvi_eo_v2_tiny_tl": _prithvi(),
        "prithvi_eo_v2_100_tl": _prithvi(),
        "prithvi_eo_v2_300": _prithvi(),
        "prithvi_eo_v2_300_tl": _prithvi(),
        "prithvi_eo_v2_600": _prithvi(14),
        "prithvi_eo_v2_600_tl": _prithvi(14),
        "terramind_v1_tiny": _TERRAMIND,
        "terramind_v1_small": _TERRAMIND,
        "terramind_v1_base": _TERRAMIND,
        "terramind_v1_large": _TERRAMIND,
    }
)
"""Networks by their name in terratorch's registry of backbones."""


def _check(spec: EncoderSpec) -> None:
    check_loader(spec, FAMILIES)
    family = FAMILIES[spec.loader]
    check_pooling(spec, family.pools)
    check_bands(spec, family.bands)
    if not family.several:
        check_one_date(spec)
    if (spec.native_px or 0) % family.patch_px:
        text = f"native_px={spec.native_px} of encoder {spec.name!r} does not go with {spec.loader!r}."
        raise EncoderError(explain(text, rule=f"a multiple of {family.patch_px}, the side of a patch"))


def _load(asked: Loading) -> LoadedNetwork:
    """Build the network by its name in the registry, without fetching anything, and fill it from the folder."""
    import torch

    spec, family = asked.spec, FAMILIES[asked.spec.loader]
    with undisturbed():
        import_library("terratorch.models.backbones", "terratorch")  # fills the registry
        registry = import_library("terratorch.registry", "terratorch").TERRATORCH_BACKBONE_REGISTRY
        network = registry.build(spec.loader, pretrained=False, **family.build)
    state = read_weights(spec, asked.folder)
    if family.several:
        state = _encoder_of_prithvi(state, network)
    fill(network, state, spec=spec, folder=asked.folder, own=family.own)
    dtype = getattr(torch, DTYPES[asked.precision])
    network = network.eval().to(asked.device, dtype)
    if family.several:
        _hold_codes_at(network, dtype)
    pool = family.pools[asked.pool]

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        given = _by_date(pictures) if family.several else pictures
        return pool(network(given.to(dtype))[-1])

    return LoadedNetwork(network, vectors)


def _by_date(pictures: Tensor) -> Tensor:
    """Return pictures as (n, bands, dates, px, px), whether of one date or of several."""
    dates = pictures if pictures.ndim == 5 else pictures[:, None]
    return dates.transpose(1, 2)


def _encoder_of_prithvi(state: Mapping[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Return the tensors of the encoder by the names that the library gives them.

    Checkpoints hold the decoder too, version 2 puts names of the encoder under ``encoder.``, and position codes are
    of as many dates as training had: they are not learned but computed for the dates that there are.
    """
    found = {}
    for name, tensor in state.items():
        plain = name.replace("_timm_module.", "").removeprefix("encoder.")
        if not ("decoder" in plain or "_dec" in plain or plain == "mask_token"):
            found[plain] = tensor
    return {**found, "pos_embed": network.pos_embed}


def _hold_codes_at(network: Any, dtype: Any) -> None:
    """Have position codes at the precision of the network: the library computes them anew in float32."""
    codes = network.interpolate_pos_encoding
    network.interpolate_pos_encoding = lambda shape: codes(shape).to(dtype)


ADAPTER = Adapter("terratorch", ("terratorch", "torch", "timm"), _check, _load)
