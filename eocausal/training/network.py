"""`Network`: which network is trained on chips, and how."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from eocausal._checks import one_of, whole_number
from eocausal.errors import EncoderError, explain
from eocausal.training._networks import PRESETS

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """A network that :func:`eocausal.finetune` trains, and how it trains it.

    The networks are those of the library transformers, with random weights drawn from the seed, for any number of
    bands and any size of chips. They are small, because studies have hundreds or thousands of pictures.

    Parameters
    ----------
    name : {"resnet-tiny", "convnext-tiny", "vit-tiny"}
        A convolutional network with batch normalisation (79 thousand weights), one with layer normalisation (60
        thousand), a vision transformer (105 thousand and more); for three bands.
    epochs : int
        Passes over the training pictures at most.
    patience : int
        Passes without a smaller validation loss after which training stops. The weights of the best pass count.
    batch_size : int
        Pictures in one step, at least 2.
    learning_rate : float
        Of AdamW.
    augment : bool
        Whether pictures are flipped and turned by quarters at random while training. What lies north or south of a
        place can then not be learned.
    calibrate : bool
        Whether the probabilities of treatment are recalibrated (Platt) on the validation part of the same training
        folds. Figures before and after are reported either way.
    block : str, optional
        The size of the chips; needed where they have several.

    Raises
    ------
    EncoderError
        When the network is not known or a setting is out of range.

    Examples
    --------
    >>> Network("vit-tiny", epochs=20).patience
    10
    """

    name: str = "resnet-tiny"
    _: KW_ONLY
    epochs: int = 60
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    augment: bool = True
    calibrate: bool = False
    block: str | None = None

    def __post_init__(self) -> None:
        one_of(self.name, tuple(PRESETS), argument="network", error=EncoderError)
        for argument, least in (("epochs", 1), ("patience", 1), ("batch_size", 2)):
            value = whole_number(getattr(self, argument), argument=argument, error=EncoderError, least=least)
            object.__setattr__(self, argument, value)
        rate = self.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise EncoderError(explain(f"learning_rate={rate!r}.", rule="a number above 0, such as 0.001"))
        for switch in ("augment", "calibrate"):
            if not isinstance(getattr(self, switch), bool):
                raise EncoderError(explain(f"{switch}={getattr(self, switch)!r}.", rule="True or False"))

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return asdict(self)
