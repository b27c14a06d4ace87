"""What stands between this package and the libraries that hold networks: one adapter for each library.

An adapter refuses what its library cannot be asked for, and loads a network as one function from pictures to
vectors. All else (bands, units, sizes, scaling, which frames count) is done before, and the same for every library.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

    from eocausal.encoding.spec import EncoderSpec

__all__ = ["INSTALL", "LIBRARIES", "Adapter", "Loading", "Vectors", "adapter_of", "need"]

Vectors = Callable[["Tensor"], "Tensor"]
"""From scaled pictures (n, bands, px, px) to vectors (n, dim); networks of several dates are given
(n, frames, bands, px, px), earliest first, all of them valid."""

INSTALL: Mapping[str, str] = MappingProxyType(
    {
        "transformers": 'pip install "eocausal[encoders]"',
        "huggingface_hub": 'pip install "eocausal[encoders]"',
        "timm": 'pip install "eocausal[timm]"',
        "torchgeo": 'pip install "eocausal[torchgeo]"',
        "terratorch": 'pip install "eocausal[terratorch]"',
        "olmoearth": 'pip install "eocausal[olmoearth]"',
        "open_clip": 'pip install "eocausal[open-clip]"',
    }
)
"""Library to the line that installs it."""


@dataclass(frozen=True)
class Loading:
    """What an adapter is told to load.

    ``folder`` holds the files of :func:`eocausal.encoding._weights.weight_files`. ``wavelengths`` are those of the
    bands in their order, micrometres, for networks that read any bands; None for all others.
    """

    spec: EncoderSpec
    folder: Path
    pool: str
    precision: str
    device: str
    wavelengths: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Adapter:
    """One library: the name it is imported by, the packages that determine vectors, how it checks and loads.

    ``check`` raises EncoderError for families and poolings that there are not, without importing the library.
    """

    module: str
    packages: tuple[str, ...]
    check: Callable[[EncoderSpec], None]
    load: Callable[[Loading], Vectors]


LIBRARIES: Mapping[str, str] = MappingProxyType({"transformers": "eocausal.encoding._transformers"})
"""Library of a specification to the module that holds its ``ADAPTER``."""


def adapter_of(spec: EncoderSpec) -> Adapter:
    """Return the adapter of a specification's library, or raise EncoderError where there is none."""
    if spec.library not in LIBRARIES or spec.status != "ready":
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} is of {spec.library} and cannot be loaded by Pretrained.",
                rule=f"loaders there are: {', '.join(LIBRARIES)}; ec.encoders(loadable=True) lists what they load",
            )
        )
    found: Adapter = importlib.import_module(LIBRARIES[spec.library]).ADAPTER
    return found


def need(module: str, library: str) -> None:
    """Raise EncoderError with the line that installs a library unless it can be imported."""
    if importlib.util.find_spec(module) is None:
        text = f"Encoders of {library} need {module}, which is not installed."
        raise EncoderError(explain(text, fix=INSTALL.get(library, f"pip install {module}")))
