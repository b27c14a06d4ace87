"""`Network`: which network is trained on chips, and how."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from eocausal._checks import one_of, whole_number
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError, explain
from eocausal.training._networks import PRESETS
from eocausal.training._start import refuse_untrainable

__all__ = ["Network"]

# Steps of AdamW from random weights, and from weights that know something already.
_RATE, _RATE_FROM_WEIGHTS = 1e-3, 1e-4


@dataclass(frozen=True)
class Network:
    """A network that :func:`eocausal.finetune` trains, and how it trains it.

    The networks by name are small ones of the library transformers, with random weights drawn from the seed, for
    any number of bands and any size of chips: studies have hundreds or thousands of pictures.

    Parameters
    ----------
    name : str, Path or Pretrained
        ``"resnet-tiny"`` (convolutions with batch normalisation, 79 thousand weights for three bands),
        ``"convnext-tiny"`` (with layer normalisation, 60 thousand) or ``"vit-tiny"`` (a vision transformer, 105
        thousand and more). Or weights to start from: ``ec.Pretrained("dinov2-base", white=0.3)``, or the path of
        the ``encoder.yaml`` that :func:`eocausal.pretrain` wrote; networks of transformers for one date.
    epochs : int
        Passes over the training pictures at most.
    patience : int
        Passes without a smaller validation loss after which training stops. The weights of the best pass count.
    batch_size : int
        The fewest pictures in one step, at least 2. Steps of a pass are of like size, so that none is a small
        remainder: 63 pictures and ``batch_size=32`` make one step of 63, 64 make two of 32.
    learning_rate : float, optional
        Of AdamW; by default 0.001, and 0.0001 where training starts from weights.
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
        When the network is not known, cannot be trained here, or a setting is out of range.

    Examples
    --------
    >>> Network("vit-tiny", epochs=20).patience
    10
    """

    name: str | Path | Pretrained = "resnet-tiny"
    _: KW_ONLY
    epochs: int = 60
    patience: int = 10
    batch_size: int = 32
    learning_rate: float | None = None
    augment: bool = True
    calibrate: bool = False
    block: str | None = None
    start: str | Pretrained = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _start(self.name))
        for argument, least in (("epochs", 1), ("patience", 1), ("batch_size", 2)):
            value = whole_number(getattr(self, argument), argument=argument, error=EncoderError, least=least)
            object.__setattr__(self, argument, value)
        rate = self.learning_rate
        wrong = isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf
        if rate is not None and wrong:
            raise EncoderError(explain(f"learning_rate={rate!r}.", rule="a number above 0, such as 0.001"))
        for switch in ("augment", "calibrate"):
            if not isinstance(getattr(self, switch), bool):
                raise EncoderError(explain(f"{switch}={getattr(self, switch)!r}.", rule="True or False"))

    @property
    def label(self) -> str:
        """What the network is called."""
        return self.start if isinstance(self.start, str) else self.start.name

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        usual = _RATE if isinstance(self.start, str) else _RATE_FROM_WEIGHTS
        return usual if self.learning_rate is None else float(self.learning_rate)

    def recipe(self) -> dict[str, Any]:
        """Return the settings and the hashes of weights, JSON-like."""
        settings = ("epochs", "patience", "batch_size", "augment", "calibrate", "block")
        return {
            "name": self.label,
            "weights": None if isinstance(self.start, str) else self.start.recipe(),
            "learning_rate": self.rate,
            **{name: getattr(self, name) for name in settings},
        }


def _start(name: object) -> str | Pretrained:
    if isinstance(name, str) and not name.endswith((".yaml", ".yml")):
        return one_of(name, tuple(PRESETS), argument="network", error=EncoderError)
    if isinstance(name, str | Path):
        name = Pretrained(str(name))
    if not isinstance(name, Pretrained):
        text = f"network is a {type(name).__name__}."
        raise EncoderError(explain(text, fix=f"one of {', '.join(PRESETS)}, or ec.Pretrained(...)"))
    refuse_untrainable(name)
    return name
