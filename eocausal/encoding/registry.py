"""Encoders by name. A new built-in one is a row here and a module; a pretrained one is a YAML file."""

from __future__ import annotations

import importlib
from typing import Any, cast

from eocausal.encoding.catalogue import catalogue_names, find_spec, is_path, plug_in, refuse_planned
from eocausal.encoding.protocol import Encoder
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

# Built in: name -> module and configuration class; modules are imported when their encoder is asked for.
_ENCODERS = {
    "image_stats": ("eocausal.encoding.image_stats", "ImageStats"),
    "pixel_mean": ("eocausal.encoding.pixel_mean", "PixelMean"),
    "rcf": ("eocausal.encoding.random_features", "RandomFeatures"),
}


def encoder_names() -> tuple[str, ...]:
    """Return the names of encoders that are built in and need no download."""
    return tuple(_ENCODERS)


def get_encoder(encoder: str | Encoder) -> Encoder:
    """Return an encoder by name with its default settings, or the configuration itself.

    Parameters
    ----------
    encoder : str or Encoder
        A name of :func:`encoders` such as ``"rcf"``, the path of a YAML file that describes an encoder, or a
        configuration such as ``RandomFeatures(n_features=1024)``.

    Returns
    -------
    Encoder
        The frozen configuration.

    Raises
    ------
    EncoderError
        When the name is not known, the encoder is only planned, or the object is not an encoder.

    Examples
    --------
    >>> get_encoder("image_stats").name
    'image_stats'
    """
    if isinstance(encoder, str):
        return _by_name(encoder)
    return _checked(encoder)


def _by_name(name: str) -> Encoder:
    if name in _ENCODERS:
        return cast(Encoder, _import(*_ENCODERS[name])())
    if not is_path(name) and name not in catalogue_names():
        added = plug_in(name)
        if added is not None and not isinstance(added, EncoderSpec):
            return _checked(added)
    spec = find_spec(name)
    refuse_planned(spec)
    return cast(Encoder, _import("eocausal.encoding.pretrained", "Pretrained")(spec))


def _import(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _checked(encoder: Encoder) -> Encoder:
    lacking = [part for part in ("name", "recipe", "fit", "restore") if not hasattr(encoder, part)]
    if lacking or isinstance(encoder, type):
        raise EncoderError(
            explain(
                f"encoder={encoder!r} is not an encoder.",
                where=lacking,
                rule="a name, or a configuration with name, recipe, fit and restore",
                fix=f"pass one of {', '.join(map(repr, _ENCODERS))}, or an object such as RandomFeatures(seed=1)",
            )
        )
    return encoder
