"""The adapter of transformers: families of networks, how each is pooled, and how it is loaded from safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, need
from eocausal.encoding._spec_checks import check_loader, check_named_bands, check_pooling
from eocausal.encoding._weights import CONFIG, hash_weights
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ADAPTER", "FAMILIES", "VIDEO", "family_of"]

_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def _tokens_after(skipped: Callable[[Any], int]) -> Callable[[Any, Any], Tensor]:
    """Return the mean over tokens of the picture, without the first ``skipped`` (class and registers)."""

    def mean(output: Any, config: Any) -> Tensor:
        tokens: Tensor = output.last_hidden_state[:, skipped(config) :].mean(dim=1)
        return tokens

    return mean


def _first_token(output: Any, config: Any) -> Tensor:
    token: Tensor = output.last_hidden_state[:, 0]
    return token


def _pooler(output: Any, config: Any) -> Tensor:
    pooled: Tensor = output.pooler_output
    return pooled


def _projected(output: Any, config: Any) -> Tensor:
    projected: Tensor = output.image_embeds
    return projected


def _whole(pictures: Tensor, config: Any) -> dict[str, Tensor]:
    return {"pixel_values": pictures}


def _first_frames(clips: Tensor, config: Any) -> dict[str, Tensor]:
    """Return clips with as many frames as the network has positions for; positions without a frame are masked.

    A masked autoencoder computes nothing from what is masked, so the frames that are there stand at the first
    positions as they would in a network made for that many.
    """
    import torch

    frames = clips.shape[1]
    lacking = config.num_frames - frames
    if not lacking:
        return {"pixel_values": clips}
    empty = clips.new_zeros((len(clips), lacking, *clips.shape[2:]))
    tokens = (config.image_size // config.patch_size) ** 2
    absent = torch.arange(config.num_frames // config.tubelet_size) >= frames // config.tubelet_size
    masked = absent.repeat_interleave(tokens).expand(len(clips), -1).to(clips.device)
    return {"pixel_values": torch.cat([clips, empty], dim=1), "bool_masked_pos": masked}


@dataclass(frozen=True)
class _Pool:
    """How a vector is made: by which class of the library, built how, given what, from which output.

    ``carried`` are settings that stand in the configuration of the whole network and not in that of its part.
    """

    model: str
    vector: Callable[[Any, Any], Tensor]
    build: Mapping[str, Any] = field(default_factory=dict)
    carried: tuple[str, ...] = ()
    given: Callable[[Tensor, Any], dict[str, Tensor]] = _whole


def _family(model: str, skipped: Callable[[Any], int], **build: Any) -> dict[str, _Pool]:
    return {
        "cls": _Pool(model, _first_token, build),
        "mean": _Pool(model, _tokens_after(skipped), build),
    }


def _one(config: Any) -> int:
    return 1


def _registers(config: Any) -> int:
    return 1 + int(config.num_register_tokens)


def _none(config: Any) -> int:
    return 0


FAMILIES: Mapping[str, Mapping[str, _Pool]] = MappingProxyType(
    {
        "clip": {
            "projected": _Pool("CLIPVisionModelWithProjection", _projected, carried=("projection_dim",)),
            "cls": _Pool("CLIPVisionModel", _pooler),
            "mean": _Pool("CLIPVisionModel", _tokens_after(_one)),
        },
        "vit": _family("ViTModel", _one, add_pooling_layer=False),
        "dinov2": _family("Dinov2Model", _one),
        "dinov2_with_registers": _family("Dinov2WithRegistersModel", _registers),
        "dinov3_vit": _family("DINOv3ViTModel", _registers),
        "swin": {"mean": _Pool("SwinModel", _tokens_after(_none), {"add_pooling_layer": False})},
        "swinv2": {"mean": _Pool("Swinv2Model", _tokens_after(_none), {"add_pooling_layer": False})},
        "videomae": {"mean": _Pool("VideoMAEModel", _tokens_after(_none), given=_first_frames)},
    }
)
"""Families of networks by the name that transformers gives their configuration, and how each is pooled."""

VIDEO = ("videomae",)
"""Families that read several dates as one clip; all others read one picture."""

# position codes of these are made for one size of picture; the others take any
_ONE_SIZE = ("clip", "vit", "videomae")

# Named here, because a configuration may name a kernel on the hub, which is code; and vectors must not depend on
# what a version of the library takes by default.
_ATTENTION = {"swin": "eager", "swinv2": "eager"}

# a file that the configuration names instead of the usual one, and an addition to weights, which peft follows
_OTHER_FILE, _ADAPTER = "transformers_weights", "adapter_config.json"

# a checkpoint of text and pictures says so, one of pictures alone is of this kind
_SAME_FAMILY = {"clip_vision_model": "clip"}


def family_of(model_type: str) -> str:
    """Return the family of a checkpoint by what its configuration calls itself; it need not be a known one."""
    return _SAME_FAMILY.get(model_type, model_type)


def _check(spec: EncoderSpec) -> None:
    check_loader(spec, FAMILIES)
    check_pooling(spec, FAMILIES[spec.loader])
    check_named_bands(spec)
    several = spec.loader in VIDEO
    if several != (spec.frames_max > 1):
        text = f"frames_max={spec.frames_max} of encoder {spec.name!r} does not go with {spec.loader!r}."
        rule = "networks of video read several dates as one clip" if several else "this family reads one date"
        fix = (
            "frames_max: 16, frames_step: 2"
            if several
            else "leave frames_max out; ec.Sequence pools over dates"
        )
        raise EncoderError(explain(text, rule=rule, fix=fix))


def _load(asked: Loading) -> LoadedNetwork:
    """Load the network from safetensors, or say what does not fit."""
    need("transformers", "transformers")
    import torch
    import transformers
    from safetensors import SafetensorError

    spec, folder = asked.spec, asked.folder
    pool = FAMILIES[spec.loader][asked.pool]
    about = _about(spec, folder)
    hash_weights(spec, folder)  # refuses an index that leads out of the folder
    dtype = getattr(torch, _DTYPES[asked.precision])
    try:
        with _Quiet(transformers):
            network, found = getattr(transformers, pool.model).from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                attn_implementation=_ATTENTION.get(spec.loader, "sdpa"),
                dtype=dtype,
                **pool.build,
                **{name: about[name] for name in pool.carried if name in about},
            )
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, SafetensorError) as cause:
        text = f"The weights in {str(folder)!r} cannot be loaded as {spec.name!r}: {str(cause)[:300]}"
        raise EncoderError(
            explain(text, fix="fetch the folder again, or check loader: in the file")
        ) from cause
    missing = sorted(found["missing_keys"]) + sorted(str(key) for key in found.get("mismatched_keys", ()))
    if missing:
        text = f"The weights in {str(folder)!r} lack parts of the network of {spec.name!r}."
        rule = "all weights come from the checkpoint; what it lacks would be random"
        raise EncoderError(explain(text, where=missing, rule=rule, fix="fetch the weights of this encoder"))
    network = network.eval().to(asked.device)
    config = network.config
    _check_sizes(spec, config)

    def vectors(pictures: Tensor, look: Look) -> Tensor:
        return pool.vector(network(**pool.given(pictures.to(dtype), config)), config)

    return LoadedNetwork(network, vectors)


def _check_sizes(spec: EncoderSpec, config: Any) -> None:
    """Refuse bands, sizes and dates of a specification that the network was not made for."""
    wrong = []
    if spec.bands is not None and config.num_channels != len(spec.bands):
        wrong.append(f"it names {len(spec.bands)} bands, and the network reads {config.num_channels}")
    if spec.loader in _ONE_SIZE and config.image_size != spec.native_px:
        wrong.append(f"native_px is {spec.native_px}, and the network reads {config.image_size}")
    if spec.loader in VIDEO and spec.frames_max > config.num_frames:
        wrong.append(f"frames_max is {spec.frames_max}, and the network reads {config.num_frames}")
    if spec.loader in VIDEO and spec.frames_step % config.tubelet_size:
        wrong.append(
            f"frames_step is {spec.frames_step}, and the network reads {config.tubelet_size} at a time"
        )
    if wrong:
        text = f"The specification of {spec.name!r} does not fit its weights: {'; '.join(wrong)}."
        raise EncoderError(explain(text, rule="config.json beside the weights says what the network reads"))


def _refuse_other_weights(about: Mapping[str, Any], folder: Path) -> None:
    """Refuse what leads the library to weights that are in no hash, of which some are pickles."""
    parts = {"": about, "vision_config.": about.get("vision_config")}
    found = [
        f"{CONFIG}: {part}{_OTHER_FILE}"
        for part, named in parts.items()
        if isinstance(named, Mapping) and named.get(_OTHER_FILE) is not None
    ]
    found += [_ADAPTER] if (folder / _ADAPTER).is_file() else []
    if found:
        text = f"The folder {str(folder)!r} leads to weights in other files."
        rule = "weights are those of model.safetensors or its index, whose hash is in the recipe"
        fix = "load and save them as one network, where you trust them, and leave these out"
        raise EncoderError(explain(text, where=found, rule=rule, fix=fix))


def _about(spec: EncoderSpec, folder: Path) -> dict[str, Any]:
    """Return the configuration beside the weights, or say that it is of another family."""
    try:
        about: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(about.get("model_type"))
    except (ValueError, AttributeError) as cause:
        raise EncoderError(explain(f"{str(folder / CONFIG)!r} is not JSON of a model.")) from cause
    if family_of(kind) != spec.loader:
        raise EncoderError(
            explain(
                f"The weights in {str(folder)!r} are of a {kind!r}, and {spec.name!r} is a {spec.loader!r}.",
                rule="weights in the wrong network give vectors without meaning",
                fix="loader: in the specification says the family",
            )
        )
    _refuse_other_weights(about, folder)
    return about


class _Quiet:
    """No bars and no table of unused weights while a network is loaded; what matters is checked here."""

    def __init__(self, library: Any) -> None:
        self.logging = library.utils.logging

    def __enter__(self) -> None:
        self.level = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.bars:
            self.logging.enable_progress_bar()


ADAPTER = Adapter("transformers", ("transformers", "torch", "safetensors"), _check, _load)
