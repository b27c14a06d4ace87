"""Networks that a library builds from its own code: built without a trace, every part from a file of tensors."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eocausal.encoding._weights import read_state, weight_files
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["DTYPES", "fill", "read_weights", "undisturbed"]

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
"""Precision to the name of torch."""

# lightly, which terratorch brings along, asks its maker for news when it is imported, unless this is set
_NO_QUESTIONS = "LIGHTLY_DID_VERSION_CHECK"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Import libraries and build networks so that random numbers and warnings are afterwards as they were.

    Some libraries add filters of warnings when they are imported and draw from Python's random numbers; a network
    is built with random weights from those of torch.
    """
    import torch

    drawn, asked = random.getstate(), os.environ.get(_NO_QUESTIONS)
    os.environ[_NO_QUESTIONS] = "True"
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(drawn)
        os.environ.pop(_NO_QUESTIONS)
        if asked is not None:
            os.environ[_NO_QUESTIONS] = asked


def read_weights(spec: EncoderSpec, folder: Path) -> dict[str, Tensor]:
    """Return the tensors of all files of weights of an encoder by name."""
    found: dict[str, Tensor] = {}
    for path in weight_files(spec, folder):
        if path.suffix != ".json":
            found.update(read_state(path, spec))
    return found


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    spec: EncoderSpec,
    folder: Path,
    own: tuple[str, ...] = ("",),
) -> None:
    """Put tensors into a network that was built; every part of it must be there, and in the right shape.

    Parameters
    ----------
    own : tuple of str
        How names of parts of the encoder itself begin: such a part that the network does not have is refused, all
        other parts (decoders, heads) are left aside. Default: every part must fit.

    Raises
    ------
    EncoderError
        When a part is missing, is of another shape, or is of another network.
    """
    try:
        left = network.load_state_dict(dict(state), strict=False)
    except RuntimeError as cause:
        text = f"The weights in {str(folder)!r} are of another network than {spec.name!r}: {str(cause)[:300]}"
        raise EncoderError(explain(text, fix="loader: in the specification says the network")) from cause
    if left.missing_keys:
        text = f"The weights in {str(folder)!r} lack parts of the network of {spec.name!r}."
        rule = "all weights come from the checkpoint; what it lacks would be random"
        fix = "fetch the weights of this encoder"
        raise EncoderError(explain(text, where=sorted(left.missing_keys), rule=rule, fix=fix))
    strange = sorted(name for name in left.unexpected_keys if name.startswith(own))
    if strange:
        text = f"The weights in {str(folder)!r} hold parts that the network of {spec.name!r} does not have."
        rule = "weights in the wrong network give vectors without meaning"
        fix = "loader: in the specification says the network"
        raise EncoderError(explain(text, where=strange, rule=rule, fix=fix))
