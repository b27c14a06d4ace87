"""What stands between this package and the libraries that hold networks: one adapter for each library.

An adapter refuses what its library cannot be asked for, and loads a network as one function from pictures to
vectors. All else (bands, units, sizes, scaling, which frames count) is done before, and the same for every library.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

    from eocausal.encoding._wavelengths import ReadBand
    from eocausal.encoding.spec import EncoderSpec

__all__ = [
    "INSTALL", "LIBRARIES", "Adapter", "LoadedNetwork", "Loading", "Look", "Vectors", "adapter_of",
    "import_library", "lacks_python", "need",
]  # fmt: skip


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


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network as its library built it, and the function that runs pictures through it."""

    module: Any
    vectors: Vectors


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
    ``dated`` networks are told the day of each frame.
    """

    module: str
    packages: tuple[str, ...]
    check: Callable[[EncoderSpec], None]
    load: Callable[[Loading], LoadedNetwork]
    dated: bool = False


LIBRARIES: Mapping[str, str] = MappingProxyType(
    {
        "transformers": "eocausal.encoding._transformers",
        "timm": "eocausal.encoding._timm",
        "torchgeo": "eocausal.encoding._torchgeo",
        "terratorch": "eocausal.encoding._terratorch",
        "olmoearth": "eocausal.encoding._olmoearth",
        "open_clip": "eocausal.encoding._open_clip",
    }
)
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


def lacks_python(spec: EncoderSpec) -> str:
    """Return which Python an encoder needs where this is an older one, else nothing.

    Examples
    --------
    >>> from eocausal.encoding.catalogue import find_spec
    >>> lacks_python(find_spec("dinov2-base"))
    ''
    """
    if spec.python is None:
        return ""
    least = tuple(int(part) for part in spec.python.removeprefix(">=").split("."))
    return "" if sys.version_info[: len(least)] >= least else f"needs Python {spec.python}"


def need(module: str, library: str) -> None:
    """Raise EncoderError with the line that installs a library unless it can be imported."""
    if importlib.util.find_spec(module) is None:
        text = f"Encoders of {library} need {module}, which is not installed."
        raise EncoderError(explain(text, fix=INSTALL.get(library, f"pip install {module}")))


def import_library(module: str, library: str) -> Any:
    """Return a module of a library, or say why it cannot be imported: not there, not built for this torch, broken.

    Raises
    ------
    EncoderError
        With what to install.
    """
    need(module.split(".")[0], library)
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError, AttributeError) as cause:
        raise EncoderError(_why_no_import(module, library, cause)) from cause


def _why_no_import(module: str, library: str, cause: Exception) -> str:
    import torch

    ours, theirs = _build(torch.__version__), _build(_version_of_torchvision())
    if ours and theirs and ours != theirs:
        return explain(
            f"torchvision was built for {theirs}, torch for {ours}: encoders of {library} cannot be imported.",
            rule="torch and torchvision are built in pairs",
            fix="install the pair that belongs together, both from one index: pip install --force-reinstall "
            f"torch torchvision --index-url https://download.pytorch.org/whl/{torch.__version__.partition('+')[2]}",
        )
    told = f"{type(cause).__name__}: {str(cause)[:300]}"
    fix = f"install it anew: {INSTALL.get(library, library)}"
    return explain(f"{module} is installed and cannot be imported ({told}).", fix=fix)


def _version_of_torchvision() -> str:
    """Return the version that torchvision's own file states, without importing it; empty where there is none."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return ""
    stated = Path(found.origin).parent / "version.py"
    text = stated.read_text(encoding="utf-8") if stated.is_file() else ""
    version = re.search(r"__version__\s*=\s*['\"]([^'\"]+)", text)
    return "" if version is None else version[1]


def _build(version: str) -> str:
    """Return what a version of torch or torchvision was built for; empty where it does not say.

    Examples
    --------
    >>> _build("2.13.0+cpu"), _build("0.28.0+cu130"), _build("2.13.0")
    ('the CPU', 'CUDA', '')
    """
    local = version.partition("+")[2]
    return "the CPU" if local == "cpu" else "CUDA" if local.startswith("cu") else ""
