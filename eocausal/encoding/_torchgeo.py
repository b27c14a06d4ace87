"""The adapter of torchgeo: networks of Sentinel-1 and 2, of Landsat, of any bands, built by its own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, import_library
from eocausal.encoding._building import fill, read_weights, undisturbed
from eocausal.encoding._spec_checks import (
    check_bands,
    check_loader,
    check_named_bands,
    check_one_date,
    check_pooling,
)
from eocausal.encoding._wavelengths import RADAR, ReadBand
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER", "FAMILIES"]

State = dict[str, "Tensor"]

_SENTINEL_2 = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16",
    "swir22",
)  # fmt: skip


@dataclass(frozen=True)
class _Given:
    """What a network is given: pictures, their bands, and the metres that a pixel covers where that is known."""

    pictures: Tensor
    bands: tuple[ReadBand, ...]
    pixel_m: float | None


_Pool = Callable[[Any, _Given], "Tensor"]


def _as_it_is(state: State, network: Any) -> State:
    return state


def _whole(network: Any) -> Any:
    return network


@dataclass(frozen=True)
class _Family:
    """How networks of a kind are built, filled and pooled, and what they can read.

    ``build`` are arguments of torchgeo's function, by the specification. ``fitted`` brings names of a checkpoint to
    those of the network, ``inside`` is the part that they are of. ``absent`` are parts that checkpoints may lack,
    because the library starts them at the same numbers always; ``aside`` begins the names of parts of a checkpoint
    that no vector needs. ``bands`` are the only ones that it reads, None for those that the specification names.
    """

    build: Callable[[EncoderSpec], dict[str, Any]]
    pools: Mapping[str, _Pool]
    patch_px: int
    fitted: Callable[[State, Any], State] = _as_it_is
    inside: Callable[[Any], Any] = _whole
    absent: tuple[str, ...] = ()
    aside: tuple[str, ...] = ("head.",)
    bands: tuple[str, ...] | None = None
    any_bands: bool = False
    only_px: int | None = None
    needs_metres: bool = False


def _vit(patch_px: int) -> _Family:
    return _Family(
        build=lambda spec: {
            "in_chans": len(spec.bands or ()), "img_size": spec.native_px, "num_classes": 0,
        },
        pools={
            "cls": lambda network, given: network.forward_features(given.pictures)[:, 0],
            "mean": lambda network, given: network.forward_features(given.pictures)[:, 1:].mean(dim=1),
        },
        patch_px=patch_px,
        # torchgeo itself takes checkpoints without the last normalisation, which then has no weights of its own
        absent=("norm.weight", "norm.bias"),
    )  # fmt: skip


def _dofa_pool(network: Any, given: _Given) -> Tensor:
    # its authors stand 3.75 for both polarisations of radar, which have no wavelength of light
    centres = [3.75 if band.common_name in RADAR else band.wavelength_um for band in given.bands]
    pooled: Tensor = network.forward_features(given.pictures, centres)
    return pooled


def _panopticon_input(given: _Given) -> dict[str, Tensor]:
    """Return pictures with what each band is: nanometres, or the number of a polarisation, orbit not known."""
    import torch

    numbers = [
        -1.0 - _POLARISATIONS.index(band.common_name)
        if band.common_name in RADAR
        else 1000 * (band.wavelength_um or 0.0)
        for band in given.bands
    ]
    ids = torch.tensor(numbers, device=given.pictures.device).expand(len(given.pictures), -1)
    return {"imgs": given.pictures, "chn_ids": ids.clone()}


_POLARISATIONS = ("vv", "vh", "hh", "hv")


def _panopticon_state(state: State, network: Any) -> State:
    """Return the state with its position codes, which are of 518 pixels, at the network's size."""
    if "pos_embed" not in state:
        return state
    layers = import_library("timm.layers", "torchgeo")
    codes = layers.resample_abs_pos_embed(
        state["pos_embed"], new_size=list(network.patch_embed.grid_size), num_prefix_tokens=1
    )
    return {**state, "pos_embed": codes}


def _optical(network: Any, given: _Given, part: str) -> Tensor:
    found: Tensor = network(x_optical=given.pictures)[part]
    return found


_CROMA = _Family(
    build=lambda spec: {"modalities": ["optical"], "image_size": spec.native_px},
    pools={
        "mean": lambda network, given: _optical(network, given, "optical_encodings").mean(dim=1),
        "projected": lambda network, given: _optical(network, given, "optical_GAP"),
    },
    patch_px=8,
    # distances between patches, which are computed and not learned
    absent=("attn_bias",),
    aside=("s1_encoder.", "s1_GAP_FFN.", "joint_encoder."),
    bands=_SENTINEL_2,
)
_DOFA = _Family(
    build=lambda spec: {"img_size": spec.native_px, "num_classes": 0},
    pools={"mean": _dofa_pool},
    patch_px=16,
    # made anew for each task; it starts as a normalisation without weights of its own
    absent=("fc_norm.weight", "fc_norm.bias"),
    any_bands=True,
    only_px=224,
)
_PANOPTICON = _Family(
    build=lambda spec: {"img_size": spec.native_px},
    pools={
        "cls": lambda network, given: network(_panopticon_input(given)),
        "mean": lambda network, given: network.model.forward_features(_panopticon_input(given))[:, 1:].mean(
            dim=1
        ),
    },
    patch_px=14,
    fitted=_panopticon_state,
    inside=lambda network: network.model,
    aside=("head.", "mask_token"),
    any_bands=True,
)


def _at_resolution(network: Any, given: _Given) -> Tensor:
    network.res = given.pixel_m
    tokens: Tensor = network.forward_features(given.pictures)
    return tokens


_SCALE_MAE = _Family(
    build=lambda spec: {"img_size": spec.native_px, "num_classes": 0},
    pools={
        "mean": lambda network, given: _at_resolution(network, given)[:, 1:].mean(dim=1),
        "cls": lambda network, given: _at_resolution(network, given)[:, 0],
    },
    patch_px=16,
    aside=("head.", "decoder", "mask_token"),
    bands=("red", "green", "blue"),
    needs_metres=True,
)

FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "vit_small_patch14_dinov2": _vit(14),
        "vit_base_patch14_dinov2": _vit(14),
        "vit_small_patch16_224": _vit(16),
        "vit_base_patch16_224": _vit(16),
        "vit_large_patch16_224": _vit(16),
        "dofa_base_patch16_224": _DOFA,
        "dofa_large_patch16_224": _DOFA,
        "panopticon_vitb14": _PANOPTICON,
        "croma_base": _CROMA,
        "croma_large": _CROMA,
        "scalemae_large_patch16": _SCALE_MAE,
    }
)
"""Networks by the name of the function of ``torchgeo.models`` that builds them."""


def _check(spec: EncoderSpec) -> None:
    check_loader(spec, FAMILIES)
    family = FAMILIES[spec.loader]
    check_pooling(spec, family.pools)
    if family.any_bands and spec.bands is not None:
        text = f"Encoder {spec.name!r} names bands, and {spec.loader!r} reads any by wavelength."
        raise EncoderError(explain(text, fix="bands: any"))
    if not family.any_bands:
        check_named_bands(spec)
    if family.bands is not None:
        check_bands(spec, family.bands)
    _check_size(spec, family)


def _check_size(spec: EncoderSpec, family: _Family) -> None:
    px = spec.native_px or 0
    only = family.only_px
    if (only is not None and px != only) or px % family.patch_px:
        rule = (
            f"a multiple of {family.patch_px}" if only is None else f"its pictures have {only} pixels a side"
        )
        text = f"native_px={spec.native_px} of encoder {spec.name!r} does not go with {spec.loader!r}."
        raise EncoderError(explain(text, rule=rule))
    check_one_date(spec)


def _load(asked: Loading) -> LoadedNetwork:
    """Build the network by torchgeo's function without weights, and fill it from the folder."""
    spec, family = asked.spec, FAMILIES[asked.spec.loader]
    if family.needs_metres and not asked.pixel_m:
        raise _no_metres(spec, "any block")
    with undisturbed():
        models = import_library("torchgeo.models", "torchgeo")
        network = getattr(models, spec.loader)(**family.build(spec))
    _fill(network, asked, family)
    network = network.eval().to(asked.device)
    pool = family.pools[asked.pool]

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        import torch

        if family.needs_metres and look.block not in asked.pixel_m:
            raise _no_metres(spec, f"block {look.block!r}")
        given = _Given(pictures, asked.bands, asked.pixel_m.get(look.block))
        # weights stay as they are: parts of these networks compute in float32 whatever they are given
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=asked.precision == "bf16"):
            return pool(network, given)

    return LoadedNetwork(network, vectors)


def _fill(network: Any, asked: Loading, family: _Family) -> None:
    part = family.inside(network)
    state = {
        name: tensor
        for name, tensor in read_weights(asked.spec, asked.folder).items()
        if not name.startswith(family.aside)
    }
    started = part.state_dict()
    state = {**{name: started[name] for name in family.absent if name in started}, **state}
    fill(part, family.fitted(state, part), spec=asked.spec, folder=asked.folder)


def _no_metres(spec: EncoderSpec, block: str) -> EncoderError:
    return EncoderError(
        explain(
            f"Encoder {spec.name!r} reads how many metres a pixel covers, and {block} does not tell.",
            rule="its positions are in metres",
            fix="make chips with size_m, so that blocks have names such as '960m'",
        )
    )


ADAPTER = Adapter("torchgeo", ("torchgeo", "timm", "torch"), _check, _load)
