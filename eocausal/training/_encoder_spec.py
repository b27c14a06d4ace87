"""The specification of an encoder that was trained here, as the registry reads it from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from eocausal.encoding._bands import match_bands, meanings
from eocausal.encoding._wavelengths import RANGES, bands_of_chips
from eocausal.encoding.spec import BandSpec, EncoderSpec, Step, Zscore, parse_spec
from eocausal.errors import EncoderError
from eocausal.training._objectives import Objective, Shape
from eocausal.training._pictures import Moments

__all__ = ["bands_to_name", "own_bands", "own_spec", "spec_text", "with_scale"]


def own_bands(names: tuple[str, ...]) -> tuple[BandSpec, ...]:
    """Return the bands of chips as an encoder names them: common name and centre where their own tell these."""
    commons = _commons(names)
    return tuple(
        BandSpec(name=name, common_name=common, wavelength_um=_wavelength(name, common, names))
        for name, common in commons.items()
    )


def bands_to_name(names: tuple[str, ...]) -> dict[str, str]:
    """Return the bands that have to be named when these very chips are encoded; empty where names tell all."""
    pairs = [(band.name, band.common_name) for band in own_bands(names)]
    try:
        if match_bands(pairs, names, encoder="") == tuple(range(len(names))):
            return {}
    except EncoderError:
        pass
    unclear = [name for name, (_, common) in zip(names, pairs) if _unclear(name, common, names)]
    return {name: name for name in (unclear or names)}


def own_spec(
    name: str, names: tuple[str, ...], unit: str, *, objective: Objective, shape: Shape, dim: int, title: str
) -> EncoderSpec:
    """Return the specification of an encoder of chips with these bands and unit, before any scaling is known."""
    about: dict[str, Any] = {
        "spec_version": 1,
        "name": name,
        "title": title,
        "library": "transformers",
        "loader": objective.loader,
        "weights": "weights",
        "licence": "not stated: trained on the user's own chips, whose terms apply",
        "commercial_ok": False,
        "bands": [band.model_dump(exclude_none=True) for band in own_bands(names)],
        "pixel_unit": unit,
        "native_px": shape.px,
        "frames_min": shape.frames,
        "frames_max": shape.frames,
        "frames_step": shape.tubelet,
        "pooling": list(objective.pooling),
        "dim": dim,
        "citation": "own training",
    }
    return parse_spec(_text(about), Path(f"{name}.yaml"))


def with_scale(spec: EncoderSpec, scale: Moments, *, notes: str) -> EncoderSpec:
    """Return the specification with mean and sd of each band, and what is known of the training."""
    z = Zscore(mean=tuple(scale.mean.tolist()), std=tuple(scale.sd.tolist()))
    return spec.model_copy(update={"scaling": (Step(z=z),), "notes": notes})


def spec_text(spec: EncoderSpec) -> str:
    """Return the text of the file, read back once so that it is known to say what it should."""
    text = _text(spec.model_dump(mode="json", exclude_none=True))
    if parse_spec(text, Path("encoder.yaml")) != spec:
        raise RuntimeError("a specification reads back as another one")
    return text


def _text(about: dict[str, Any]) -> str:
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _commons(names: tuple[str, ...]) -> dict[str, str]:
    """Return the common name of each band, and its own where that is not known or could be two."""
    return {name: next(iter(found)) if len(found) == 1 else name for name, found in meanings(names).items()}


def _wavelength(name: str, common: str, names: tuple[str, ...]) -> float | None:
    if common not in RANGES:
        return None
    try:
        ((_, band),) = bands_of_chips(names, encoder="", named={common: name})
    except EncoderError:
        return None
    return band.wavelength_um


def _unclear(name: str, common: str, names: tuple[str, ...]) -> bool:
    try:
        return match_bands([(name, common)], names, encoder="") != (names.index(name),)
    except EncoderError:
        return True
