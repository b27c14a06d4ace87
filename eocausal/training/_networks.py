"""Small networks of the library transformers, for any bands and size, with a linear head."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PRESETS", "Body", "Model", "need_transformers", "over_frames", "with_head"]

_SMALLEST_SPREAD = 1e-3
INSTALL = 'pip install "eocausal[encoders]"'


@dataclass(frozen=True)
class Body:
    """A network without head; pictures are padded with zeros (not valid) to sides that are multiples."""

    module: Any
    vectors: Callable[[Tensor], Tensor]
    width: int
    multiple: int = 1

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the vector of each picture, (n, bands, height, width) to (n, width)."""
        from torch.nn.functional import pad

        down, right = (-side % self.multiple for side in pictures.shape[2:])
        padded = pad(pictures, (0, right, 0, down)) if down or right else pictures
        return self.vectors(padded)


@dataclass(frozen=True)
class Model:
    """A body and a linear head on ``[vector of the picture, covariates of the unit]``."""

    body: Body
    head: Any

    def vectors(self, pictures: Tensor) -> Tensor:
        """Return the vectors of pictures, (n, width)."""
        return self.body(pictures)

    def outputs(self, vectors: Tensor, covariates: Tensor) -> Tensor:
        """Return the outputs, (n, outputs), from vectors (n, width) and covariates (n, p)."""
        import torch

        found: Tensor = self.head(torch.cat([vectors, covariates], dim=1))
        return found

    def groups(self, decay: float) -> list[dict[str, Any]]:
        """Return the weights for an optimiser; scales and offsets are not pulled to zero."""
        weights = [*self.body.module.parameters(), *self.head.parameters()]
        return [
            {"params": [one for one in weights if one.ndim > 1], "weight_decay": decay},
            {"params": [one for one in weights if one.ndim <= 1], "weight_decay": 0.0},
        ]

    def train(self, on: bool) -> None:
        """Switch between training and prediction."""
        self.body.module.train(on)

    def state(self) -> list[dict[str, Tensor]]:
        """Return a copy of all weights."""
        return [
            {name: value.detach().clone() for name, value in part.state_dict().items()}
            for part in (self.body.module, self.head)
        ]

    def restore(self, state: list[dict[str, Tensor]]) -> None:
        """Put weights back that ``state`` gave."""
        for part, values in zip((self.body.module, self.head), state):
            part.load_state_dict(values)


def need_transformers() -> None:
    """Raise EncoderError with the line that installs it unless transformers can be imported."""
    if importlib.util.find_spec("transformers") is None:
        text = "The networks of finetune are those of transformers, which is not installed."
        raise EncoderError(explain(text, fix=INSTALL))


def with_head(body: Body, start: npt.NDArray[np.float64], device: str) -> Model:
    """Return a network whose outputs do not depend on pictures until it is trained.

    Until then they are the regressions ``start`` (outputs, 1 + covariates): intercepts and coefficients.
    """
    import torch

    head = torch.nn.Linear(body.width + start.shape[1] - 1, len(start))
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:, body.width :] = torch.from_numpy(start[:, 1:])
        head.bias.copy_(torch.from_numpy(start[:, 0]))
    body.module.to(device)
    return Model(body, head.to(device))


def over_frames(body: Body, frames: int) -> Body:
    """Return a body for pictures of several dates, whose bands stand one date after the other.

    The same network sees each date. The vector of the sequence is the mean of those of its dates, their trend (the
    sum of deviations from the mean, weighted from -1 at the first date to 1 at the last) and their spread.
    """
    if frames == 1:
        return body

    def vectors(pictures: Tensor) -> Tensor:
        import torch

        n, stacked, *sides = pictures.shape
        found = body.vectors(pictures.reshape(n * frames, stacked // frames, *sides)).reshape(n, frames, -1)
        mean = found.mean(dim=1)
        away = found - mean[:, None]
        steps = torch.linspace(-1, 1, frames, device=found.device)
        trend = (away * steps[:, None]).sum(dim=1) / (steps**2).sum()
        # the root of nothing has no slope
        spread = ((away**2).mean(dim=1) + _SMALLEST_SPREAD**2).sqrt()
        return torch.cat([mean, trend, spread], dim=1)

    return Body(body.module, vectors, 3 * body.width, body.multiple)


def _body(module: Any, vector: Callable[[Any], Tensor], width: int, multiple: int = 1) -> Body:
    return Body(module, lambda pictures: vector(module(pixel_values=pictures)), width, multiple)


def _flat(output: Any) -> Tensor:
    pooled: Tensor = output.pooler_output.flatten(1)
    return pooled


def _mean_of_patches(output: Any) -> Tensor:
    mean: Tensor = output.last_hidden_state[:, 1:].mean(dim=1)
    return mean


def _resnet(bands: int, height: int, width: int) -> Body:
    from transformers import ResNetConfig, ResNetModel

    sizes = [16, 32, 64]
    config = ResNetConfig(
        num_channels=bands, embedding_size=16, hidden_sizes=sizes, depths=[1, 1, 1], layer_type="basic"
    )
    return _body(ResNetModel(config), _flat, sizes[-1])


def _convnext(bands: int, height: int, width: int) -> Body:
    from transformers import ConvNextConfig, ConvNextModel

    # the scale of the layers starts at 1: the published 1e-6 is for networks many times deeper
    sizes, first = [16, 32, 64], 4 if min(height, width) >= 64 else 2
    config = ConvNextConfig(
        num_channels=bands, patch_size=first, num_stages=3, hidden_sizes=sizes, depths=[1, 1, 1],
        layer_scale_init_value=1.0,
    )  # fmt: skip
    return _body(ConvNextModel(config), _flat, sizes[-1], multiple=4 * first)


def _vit(bands: int, height: int, width: int) -> Body:
    from transformers import ViTConfig, ViTModel

    # about eight patches along a side, of 2 to 16 pixels
    patch = int(np.clip(2 ** round(np.log2(max(height, width) / 8)), 2, 16))
    padded = tuple(side + -side % patch for side in (height, width))
    config = ViTConfig(
        num_channels=bands, image_size=padded, patch_size=patch, hidden_size=64, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=128,
    )  # fmt: skip
    return _body(ViTModel(config, add_pooling_layer=False), _mean_of_patches, 64, multiple=patch)


PRESETS: Mapping[str, Callable[[int, int, int], Body]] = MappingProxyType(
    {"resnet-tiny": _resnet, "convnext-tiny": _convnext, "vit-tiny": _vit}
)
"""Networks by name, with random weights from torch's generator, which the caller seeds and restores. A new one is
one function of bands, height and width, and one row."""
