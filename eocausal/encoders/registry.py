"""Encoders by name. A new encoder is one row here and one module with its configuration."""

from __future__ import annotations

import importlib
from typing import cast

from eocausal._checks import did_you_mean
from eocausal.encoders.protocol import Encoder
from eocausal.errors import EncoderError, explain

# Name -> module and configuration class; modules are imported when their encoder is asked for.
_ENCODERS = {
    "image_stats": ("eocausal.encoders.image_stats", "ImageStats"),
    "pixel_mean": ("eocausal.encoders.pixel_mean", "PixelMean"),
    "rcf": ("eocausal.encoders.random_features", "RandomFeatures"),
}


def encoder_names() -> tuple[str, ...]:
    """Return the names that :func:`get_encoder` knows."""
    return tuple(_ENCODERS)


def get_encoder(encoder: str | Encoder) -> Encoder:
    """Return an encoder by name with its default settings, or the configuration itself.

    Parameters
    ----------
    encoder : str or Encoder
        A name such as ``"rcf"``, or a configuration such as ``RandomFeatures(n_features=1024)``.

    Returns
    -------
    Encoder
        The frozen configuration.

    Raises
    ------
    EncoderError
        When the name is not known, or the object is not an encoder.

    Examples
    --------
    >>> get_encoder("image_stats").name
    'image_stats'
    """
    if isinstance(encoder, str):
        if encoder not in _ENCODERS:
            raise EncoderError(
                explain(f"encoder={encoder!r} is not known.", fix=did_you_mean(encoder, list(_ENCODERS)))
            )
        module, name = _ENCODERS[encoder]
        return cast(Encoder, getattr(importlib.import_module(module), name)())
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
