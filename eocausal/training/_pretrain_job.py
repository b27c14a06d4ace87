"""What is asked of `pretrain`, checked before anything is read at length."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import __version__
from eocausal._checks import did_you_mean, one_of, whole_number
from eocausal._device import resolve_device
from eocausal._feature_tables import as_keys
from eocausal._provenance import hash_arrays
from eocausal.encoding._adapters import need
from eocausal.encoding.protocol import ChipSource, Keys
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain
from eocausal.training._encoder_spec import own_spec
from eocausal.training._objectives import OBJECTIVES, Shape
from eocausal.training.pretrain_settings import PRESETS, PretrainSettings

__all__ = ["PretrainJob", "pretrain_job"]

_NAME = r"[a-z0-9][a-z0-9._-]*"
_TITLES = {
    "mae": "ViT, trained to fill in hidden patches of chips",
    "video-mae": "VideoMAE, trained to fill in hidden patches of frames",
}


@dataclass(frozen=True, eq=False)
class PretrainJob:
    """One training, checked; ``run`` is all that determines its bytes."""

    chips: ChipSource
    block: str
    keys: npt.NDArray[Any]
    shape: Shape
    side_px: int
    objective: str
    settings: PretrainSettings
    spec: EncoderSpec
    seed: int
    device: str
    run: dict[str, Any]


def pretrain_job(
    chips: ChipSource,
    objective: str,
    preset: str | PretrainSettings,
    keys: Keys | None,
    name: str | None,
    seed: int,
    device: str,
) -> PretrainJob:
    """Check all that can be checked without reading more than one chip."""
    one_of(objective, list(OBJECTIVES), argument="objective", error=EncoderError)
    settings = _settings(preset)
    whole_number(seed, argument="seed", error=EncoderError)
    called = _name(name, objective, settings)
    if not len(chips):
        raise EncoderError(explain("There are no chips to learn from.", fix="check the table of units"))
    used = _keys(chips, keys)
    block = _block(chips, settings.block)
    side, shape = _shape(chips, block, used, objective, settings)
    need("transformers", "transformers")
    chosen = resolve_device(device, error=EncoderError)
    way = OBJECTIVES[objective]
    unit = _unit(chips)
    dim = settings.sizes().hidden
    spec = own_spec(
        called, tuple(chips.bands), unit, objective=way, shape=shape, dim=dim, title=_TITLES[objective]
    )
    run = {
        "chips": chips.recipe(),
        "keys": {"name": chips.key_name, "count": len(used), "hash": hash_arrays(used)},
        "block": block,
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "objective": objective,
        "settings": _told(settings),
        "seed": int(seed),
        "device": chosen.partition(":")[0],
        "versions": {
            "eocausal": __version__,
            "numpy": np.__version__,
            **{one: metadata.version(one) for one in ("torch", "transformers", "safetensors")},
        },
    }
    return PretrainJob(chips, block, used, shape, side, objective, settings, spec, int(seed), chosen, run)


def _settings(preset: str | PretrainSettings) -> PretrainSettings:
    if isinstance(preset, PretrainSettings):
        return preset
    one_of(preset, list(PRESETS), argument="preset", error=EncoderError)
    return PretrainSettings(preset)


def _told(settings: PretrainSettings) -> dict[str, Any]:
    """Return settings with the numbers of their preset, so that a preset that changes is another run."""
    return {**dataclasses.asdict(settings), "sizes": dataclasses.asdict(settings.sizes())}


def _name(name: str | None, objective: str, settings: PretrainSettings) -> str:
    called = f"{objective}-{settings.preset}" if name is None else str(name)
    if not re.fullmatch(_NAME, called):
        raise EncoderError(
            explain(
                f"name={called!r} cannot be the name of an encoder.",
                rule="small letters, digits, points, hyphens and underscores, a letter or digit first",
            )
        )
    return called


def _keys(chips: ChipSource, keys: Keys | None) -> npt.NDArray[Any]:
    """Return the keys that are used, sorted, so that their order does not matter."""
    known = as_keys(chips.keys, chips.key_name)
    if keys is None:
        return np.unique(known)
    wanted = np.unique(as_keys(keys, chips.key_name))
    strangers = wanted[pd.Index(known).get_indexer(pd.Index(wanted)) < 0]
    if not len(wanted):
        raise EncoderError(explain("keys is empty.", rule="a network learns from two or more chips"))
    if len(strangers):
        raise EncoderError(
            explain(
                f"{len(strangers)} of the {len(wanted)} keys are not {chips.key_name!r} of the chips.",
                where=strangers,
                fix="pass some of chips.keys, of the same type (numbers or text)",
            )
        )
    return wanted


def _block(chips: ChipSource, block: str | None) -> str:
    if block is None and len(chips.blocks) == 1:
        return chips.blocks[0]
    if block is None:
        raise EncoderError(
            explain(
                f"The chips have {len(chips.blocks)} sizes: {', '.join(chips.blocks)}.",
                rule="a network learns from one size",
                fix=f"preset=ec.PretrainSettings(block={chips.blocks[0]!r})",
            )
        )
    if block not in chips.blocks:
        text = f"The chips have no block {block!r}."
        raise EncoderError(explain(text, fix=did_you_mean(str(block), list(chips.blocks))))
    return block


def _shape(
    chips: ChipSource, block: str, keys: npt.NDArray[Any], objective: str, settings: PretrainSettings
) -> tuple[int, Shape]:
    """Return the side of the chips, and the pictures that are made of them, by the first chip."""
    (first,) = chips.batches(size=1, keys=keys[:1])
    _, frames, bands, height, width = first.pixels[block].shape
    if height != width:
        text = f"Chips of block {block!r} have {height} x {width} pixels."
        raise EncoderError(explain(text, rule="networks of patches read squares", fix="cut squares"))
    several = OBJECTIVES[objective].several_frames
    if several and frames == 1:
        fix = 'objective="mae", or cut chips with frames='
        text = f"The chips have one frame, and objective={objective!r} learns from several."
        raise EncoderError(explain(text, fix=fix))
    if not several and frames > 1:
        fix = (
            'pretrain on chips of one frame and encode all frames with ec.Sequence("encoder.yaml"), '
            'or objective="video-mae"'
        )
        text = f"The chips have {frames} frames, and objective={objective!r} learns from single pictures."
        raise EncoderError(explain(text, fix=fix))
    patch = settings.patch_of(height)
    shape = Shape(frames, bands, patch * max(2, round(height / patch)), patch)
    if int(shape.grid**2 * (1 - settings.mask_ratio)) < 1:
        text = f"mask_ratio={settings.mask_ratio} hides all {shape.grid**2} patches of a picture."
        raise EncoderError(
            explain(text, rule="at least one is shown", fix="a smaller mask_ratio or patch_px")
        )
    return height, shape


def _unit(chips: ChipSource) -> str:
    if chips.pixel_unit is None:
        raise EncoderError(
            explain(
                "The chips do not say what a pixel is, and the encoder could not say what it reads.",
                rule="the wrong scale gives vectors without meaning and no error",
                fix='declare it where chips are made: pixel_unit="reflectance", or "dn" where nobody knows',
            )
        )
    return chips.pixel_unit
