"""What networks learn without outcomes: to fill in patches of pictures that were hidden from them.

The networks are the library's; here they are sized, given their masks, and asked only about valid pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.training.pretrain_settings import Preset

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["OBJECTIVES", "Objective", "Shape", "masked_loss", "patches"]


@dataclass(frozen=True)
class Shape:
    """Pictures and how they are parted into patches."""

    frames: int
    bands: int
    px: int
    patch: int

    @property
    def tubelet(self) -> int:
        """Frames that a patch spans: two, as VideoMAE has it, where their number is even."""
        return 2 if self.frames > 1 and self.frames % 2 == 0 else 1

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.px // self.patch


@dataclass(frozen=True)
class Objective:
    """One way of learning.

    ``build`` makes the library's network for pretraining; ``fill_in`` hides patches by a generator of random
    numbers and returns what the network puts there, (n, patches, numbers), with the hidden patches as bool
    (n, patches); ``encoder`` returns the part that is kept, as the library's class that ``loader`` names.
    """

    loader: str
    pooling: tuple[str, ...]
    several_frames: bool
    build: Callable[[Shape, Preset, float], Any]
    fill_in: Callable[[Any, Tensor, Shape, float, Generator], tuple[Tensor, Tensor]]
    encoder: Callable[[Any], Any]


def patches(pictures: Tensor, shape: Shape) -> Tensor:
    """Part pictures (n, frames, bands, px, px) into (n, patches, numbers), in the library's order of both.

    Patches go by frame, row and column; the numbers of one go by frame, row, column and band.
    """
    n, grid, patch, tubelet = len(pictures), shape.grid, shape.patch, shape.tubelet
    parted = pictures.reshape(
        n, shape.frames // tubelet, tubelet, pictures.shape[2], grid, patch, grid, patch
    )
    return parted.permute(0, 1, 4, 6, 2, 5, 7, 3).reshape(n, (shape.frames // tubelet) * grid**2, -1)


def masked_loss(
    filled: Tensor, hidden: Tensor, pictures: Tensor, valid: Tensor, shape: Shape
) -> tuple[Tensor, Tensor]:
    """Return the mean squared error over valid pixels of hidden patches, and how many numbers it is over.

    Parameters
    ----------
    filled : Tensor, shape (n, patches, numbers)
    hidden : Tensor of bool, shape (n, patches)
    pictures : Tensor, shape (n, frames, bands, px, px)
        Scaled; what stands where not valid does not matter as long as it is finite.
    valid : Tensor of bool, shape (n, frames, px, px)
    shape : Shape
    """
    counted = patches(valid[:, :, None].expand_as(pictures).to(pictures.dtype), shape) * hidden[..., None]
    count = counted.sum()
    squares = (filled.float() - patches(pictures, shape)) ** 2 * counted
    return squares.sum() / count.clamp(min=1), count


def _positions(count: int, width: int) -> Tensor:
    """Return sines and cosines of row and column for a square grid, (1, 1 + count**2, width); 0 for the class.

    Half of the numbers tell the row and half the column, each at ``width / 4`` frequencies.
    """
    import torch

    slow = 10_000.0 ** -(np.arange(width // 4) / (width // 4))
    angles = np.arange(count)[:, None] * slow
    along = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    rows, columns = np.repeat(along, count, axis=0), np.tile(along, (count, 1))
    table = np.concatenate([np.zeros((1, width)), np.concatenate([columns, rows], axis=1)])
    return torch.from_numpy(table.astype(np.float32))[None]


def _common(shape: Shape, sizes: Preset) -> dict[str, Any]:
    return {
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": 4 * sizes.hidden,
        "image_size": shape.px,
        "patch_size": shape.patch,
        "num_channels": shape.bands,
    }


def _decoder(sizes: Preset) -> dict[str, int]:
    return {
        "decoder_hidden_size": sizes.decoder_hidden,
        "decoder_num_hidden_layers": sizes.decoder_layers,
        "decoder_num_attention_heads": sizes.decoder_heads,
        "decoder_intermediate_size": 4 * sizes.decoder_hidden,
    }


def _build_mae(shape: Shape, sizes: Preset, mask_ratio: float) -> Any:
    import torch
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(**_common(shape, sizes), **_decoder(sizes), mask_ratio=mask_ratio)
    network = ViTMAEForPreTraining(config)
    with torch.no_grad():
        # Some versions of the library leave these fixed tables at 0 in a network that is made new, and a network
        # without places cannot learn to fill in what is where.
        network.vit.embeddings.position_embeddings.copy_(_positions(shape.grid, sizes.hidden))
        network.decoder.decoder_pos_embed.copy_(_positions(shape.grid, sizes.decoder_hidden))
    return network


def _fill_in_mae(
    network: Any, pictures: Tensor, shape: Shape, mask_ratio: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    import torch

    noise = torch.rand(len(pictures), shape.grid**2, generator=generator).to(pictures.device)
    output = network(pictures[:, 0], noise=noise)
    return output.logits, output.mask.bool()


def _encoder_mae(network: Any) -> Any:
    """Return a ViT with the weights of the encoder: the library's ViTMAE hides patches whenever it is asked."""
    import torch
    from transformers import ViTConfig, ViTModel

    about = network.config
    same = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
            "layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias")  # fmt: skip
    config = ViTConfig(**{name: getattr(about, name) for name in same})
    # it draws weights of its own first, from the one generator that a process has
    with torch.random.fork_rng(devices=[]):
        encoder = ViTModel(config, add_pooling_layer=False)
    encoder.load_state_dict(network.vit.state_dict(), strict=True)
    return encoder


def _build_video(shape: Shape, sizes: Preset, mask_ratio: float) -> Any:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    config = VideoMAEConfig(
        **_common(shape, sizes),
        **_decoder(sizes),
        num_frames=shape.frames,
        tubelet_size=shape.tubelet,
        # so that the encoder ends in a normalisation of its own
        use_mean_pooling=False,
    )
    return VideoMAEForPreTraining(config)


def _fill_in_video(
    network: Any, pictures: Tensor, shape: Shape, mask_ratio: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Hide the same places in all frames, as VideoMAE does: else a place is read off its neighbour in time."""
    import torch

    places = shape.grid**2
    shown = max(1, int(places * (1 - mask_ratio)))
    ranks = torch.rand(len(pictures), places, generator=generator).argsort(dim=1).argsort(dim=1)
    hidden = (ranks >= shown).repeat(1, shape.frames // shape.tubelet).to(pictures.device)
    logits = network(pictures, bool_masked_pos=hidden).logits
    filled = torch.zeros(*hidden.shape, logits.shape[-1], dtype=logits.dtype, device=logits.device)
    filled[hidden] = logits.reshape(-1, logits.shape[-1])
    return filled, hidden


def _encoder_video(network: Any) -> Any:
    return network.videomae


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "mae": Objective("vit", ("mean", "cls"), False, _build_mae, _fill_in_mae, _encoder_mae),
        "video-mae": Objective("videomae", ("mean",), True, _build_video, _fill_in_video, _encoder_video),
    }
)
"""Ways of learning by name."""
