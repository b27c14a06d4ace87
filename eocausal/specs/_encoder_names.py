"""Names that an encoder may be asked for by, so that a wrong one is told at its line.

Specifications may not import encoders; their names are those of the files of the catalogue, and of plug-ins.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from pathlib import Path

__all__ = ["BUILT_IN", "HUB", "encoder_names", "is_encoder_file"]

BUILT_IN = ("image_stats", "pixel_mean", "rcf")
"""Encoders with settings of their own."""

HUB = "hf:"
"""How a name on the Hugging Face Hub begins."""

_CATALOGUE = Path(__file__).parents[1] / "encoding" / "catalog"
_GROUP = "eocausal.encoders"


def is_encoder_file(name: str) -> bool:
    """Whether a name is the path of an encoder's YAML file."""
    return name.lower().endswith((".yaml", ".yml"))


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders of the package and of plug-ins, in order of the alphabet."""
    added = (point.name for point in metadata.entry_points(group=_GROUP))
    return tuple(sorted({*_packaged(), *added}))


@lru_cache(maxsize=1)
def _packaged() -> tuple[str, ...]:
    return tuple(path.stem for path in _CATALOGUE.glob("*.yaml"))
