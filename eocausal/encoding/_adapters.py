"""What stands between this package and the libraries that hold networks: one adapter for each library.

An adapter refuses what its library cannot be asked for, and loads a network as one function from pictures to
vectors. All else (bands, units, sizes, scaling, which frames count) is done before, and the same for every library.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

    from eocausal.encoding.spec import EncoderSpec

__all__ = ["INSTALL", "LIBRARIES", "Adapter", "Loading", "Look", "ReadBand", "Vectors", "adapter_of", "need"]


@dataclass(frozen=True)
class Look:
    """What the pictures that go through a network together show: a size of chips, and which of their frames.

    ``block`` is the name of the size, ``frames`` are positions among the frames of the chips.
    """

    block: str
    frames: tuple[int, ...]


Vectors = Callable[["Tensor", Look], "Tensor"]
"""From scaled pictures (n, bands, px, px) to vectors (n, dim); networks of several dates are given
(n, frames, bands, px, px), earliest first, all of them valid. Most networks need not know what they look at."""

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
class ReadBand:
    """A band that a network is given: its common name, and its centre in micrometres where there is one."""

    common_name: str
    wavelength_um: float | None


@dataclass(frozen=True)
class Loading:
    """What an adapter is told to load.

    ``folder`` holds the files of :func:`eocausal.encoding._weights.weight_files`. ``bands`` are those of the
    pictures in their order. ``frames`` are names of the frames of the chips, such as ``2005-06``, and ``date`` the
    day of chips that are of one. ``pixel_m`` are the metres that a pixel of the pictures covers, by block, where
    the block tells its size.
    """

    spec: EncoderSpec
    folder: Path
    pool: str
    precision: str
    device: str
    bands: tuple[ReadBand, ...] = ()
    frames: tuple[str, ...] = ("",)
    date: str | None = None
    pixel_m: Mapping[str, float] = field(default_factory=dict)


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
