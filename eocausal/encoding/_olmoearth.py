"""The adapter of OlmoEarth: up to twelve dates of Sentinel-2, each with its day, and a mask for those not there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, import_library
from eocausal.encoding._building import DTYPES, fill, read_weights, undisturbed
from eocausal.encoding._days import days_of
from eocausal.encoding._spec_checks import check_bands, check_loader, check_pooling
from eocausal.encoding._weights import CONFIG
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER", "FAMILIES"]

_PACKAGE = "olmoearth_pretrain_minimal"
_CODE = f"{_PACKAGE}.olmoearth_pretrain_v1"
# what the library's classes are called in configurations: its own name, that of its larger sister, and an old one
_OWN_CLASSES = (f"{_PACKAGE}.", "olmoearth_pretrain.", "helios.")
_CLASS, _INPUT = "_CLASS_", "sentinel2_l2a"

BANDS = (
    "blue", "green", "red", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "coastal",
    "nir09",
)  # fmt: skip
"""Bands of Sentinel-2 in the order of the library."""

# position codes, and whether pixels go through a layer of their own before they become patches
FAMILIES: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "olmoearth_v1": ("absolute", False),
        "olmoearth_v1_1": ("absolute", True),
        "olmoearth_v1_2": ("rope_3d_mixed", True),
    }
)
"""Versions of the network, and what in a configuration tells them apart."""


def _check(spec: EncoderSpec) -> None:
    check_loader(spec, FAMILIES)
    check_pooling(spec, ("mean",), why=", over the tokens that are there")
    check_bands(spec, BANDS)


def _load(asked: Loading) -> LoadedNetwork:
    """Build the encoder from the configuration beside the weights, and fill it from the file."""
    import torch

    spec = asked.spec
    days = days_of(asked.frames, asked.date, encoder=spec.name)
    with undisturbed():
        network = _built(spec, asked.folder)
    own = "encoder."
    state = read_weights(spec, asked.folder)
    parts = {name.removeprefix(own): one for name, one in state.items() if name.startswith(own)}
    fill(network, parts, spec=spec, folder=asked.folder)
    dtype = getattr(torch, DTYPES[asked.precision])
    network = network.eval().to(asked.device, dtype)
    # the library counts months from 0
    stamps = torch.tensor([(day.day, day.month - 1, day.year) for day in days], device=asked.device)
    mean = import_library(f"{_CODE}.nn.flexi_vit", "olmoearth").PoolingType.MEAN

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        found: Tensor = network(
            _sample(pictures.to(dtype), look, stamps),
            patch_size=network.max_patch_size,
            input_res=asked.pixel_m.get(look.block, _metres(spec)),
            # without anything to mask, the library leaves its mask out
            fast_pass=len(look.frames) == len(days),
        )["tokens_and_masks"].pool_unmasked_tokens(mean)
        return found

    return LoadedNetwork(network, vectors)


def _metres(spec: EncoderSpec) -> float:
    """Return the metres that a pixel is taken to cover where the size of the chips is not known."""
    return 10.0 if spec.native_gsd_m is None else spec.native_gsd_m[0]


def _sample(pictures: Tensor, look: Look, stamps: Tensor) -> Any:
    """Return pictures as the library's sample: each at the position of its frame, the other positions missing.

    The library takes what is missing out of each picture, and pads pictures of a batch that have less left with
    zeros that it does not mask; pictures that come here together lack the same frames.
    """
    import torch

    types = import_library(f"{_CODE}.utils.datatypes", "olmoearth")
    dates = pictures if pictures.ndim == 5 else pictures[:, None]
    n, _, bands, high, wide = dates.shape
    given = dates.new_zeros((n, high, wide, len(stamps), bands))
    given[..., list(look.frames), :] = dates.permute(0, 3, 4, 1, 2)
    mask = torch.full((n, high, wide, len(stamps), 1), types.MaskValue.MISSING.value, device=dates.device)
    mask[..., list(look.frames), :] = types.MaskValue.ONLINE_ENCODER.value
    mask = mask.expand(-1, -1, -1, -1, bands)  # the library looks up one a set of bands
    return types.MaskedOlmoEarthSample(
        timestamps=stamps.expand(n, -1, -1), sentinel2_l2a=given, sentinel2_l2a_mask=mask
    )


def _built(spec: EncoderSpec, folder: Path) -> Any:
    """Return the encoder that the configuration describes, with random weights."""
    about = _encoder_config(spec, folder)
    import_library(_PACKAGE, "olmoearth")
    classes = import_library(f"{_CODE}.nn.flexi_vit", "olmoearth")
    try:
        config = classes.EncoderConfig.from_dict(about)
        if not isinstance(config, classes.EncoderConfig):
            raise TypeError(f"it describes a {type(config).__name__}")
        config.use_flash_attn = False  # another library's, with other last digits
        network = config.build()
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError) as cause:
        text = f"{CONFIG!r} in {str(folder)!r} is not that of {spec.name!r}: {str(cause)[:200]}"
        raise EncoderError(explain(text, fix="fetch the folder again")) from cause
    _check_family(spec, config, folder)
    return network


def _encoder_config(spec: EncoderSpec, folder: Path) -> dict[str, Any]:
    """Return what is said of the encoder; it may name classes of the library and no other code."""
    path = folder / CONFIG
    if not path.is_file():
        text = f"The folder {str(folder)!r} does not hold {CONFIG!r}, which says how {spec.name!r} is built."
        raise EncoderError(explain(text, rule=f"{CONFIG} lies beside {spec.file}", fix="fetch it too"))
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]["encoder_config"]
        named = list(_classes_of(about))
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise EncoderError(explain(f"{str(path)!r} does not describe a network of OlmoEarth.")) from cause
    strange = [name for name in named if not name.startswith(_OWN_CLASSES)]
    if strange:
        text = f"{str(path)!r} names classes that are not of OlmoEarth, and is not followed."
        rule = "importing what a file names would run it"
        raise EncoderError(explain(text, where=strange, rule=rule, fix="fetch the file again"))
    return about


def _classes_of(about: Any) -> Iterator[str]:
    """Yield the names of all classes in a configuration."""
    if isinstance(about, dict):
        if _CLASS in about:
            yield str(about[_CLASS])
        about = list(about.values())
    if isinstance(about, list):
        for part in about:
            yield from _classes_of(part)


def _check_family(spec: EncoderSpec, config: Any, folder: Path) -> None:
    """Refuse a network of another version or length, or one that was not trained on such pictures."""
    found = (config.position_encoding, config.patch_embed_hidden_sizes is not None)
    version = next((name for name, one in FAMILIES.items() if one == found), "another version")
    wrong = []
    if version != spec.loader or config.attention_pooler_config is not None:
        wrong.append(f"of {version}, and the specification says {spec.loader}")
    if config.embedding_size != spec.dim:
        wrong.append(f"{config.embedding_size} numbers wide, and the specification says {spec.dim}")
    if _INPUT not in config.supported_modality_names:
        wrong.append(f"made for {', '.join(config.supported_modality_names)}, and not {_INPUT}")
    if (spec.native_px or 0) % config.max_patch_size:
        wrong.append(f"made for patches of {config.max_patch_size} pixels, and native_px is {spec.native_px}")
    if wrong:
        text = f"The network in {str(folder)!r} is {'; '.join(wrong)}."
        raise EncoderError(explain(text, rule="weights in the wrong network give vectors without meaning"))


ADAPTER = Adapter(_PACKAGE, ("olmoearth-pretrain-minimal", "torch"), _check, _load, dated=True)
