"""Epochs of pretraining: order, masks and rates follow from the seed and the number of the epoch alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EncoderError, explain
from eocausal.runner.ahead import read_ahead
from eocausal.training._objectives import Objective, Shape, masked_loss
from eocausal.training._pictures import Moments, Pictures, Rows
from eocausal.training.pretrain_settings import PretrainSettings

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["Learner", "Plan", "start"]

_WARM_UP = 0.1
_DECAY = 0.05
_BETAS = (0.9, 0.95)
_LARGEST_GRADIENT = 1.0
# What random numbers are drawn for, so that no two purposes share a stream.
_WEIGHTS, _ORDER, _MASKS, _HELD_OUT = range(4)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the epochs of one run are determined by."""

    pictures: Pictures
    scale: Moments
    train: Rows
    held_out: Rows
    shape: Shape
    objective: Objective
    settings: PretrainSettings
    epochs: int
    seed: int
    device: str


@dataclass(frozen=True, eq=False)
class Learner:
    """A network and its optimiser; :meth:`state` and :meth:`restore` carry both through a killed run."""

    plan: Plan
    network: Any
    optimiser: Any

    def epoch(self, number: int) -> float:
        """Go through all training chips once and return the mean loss; the first epoch is number 1."""
        import torch

        plan, done, numbers = self.plan, 0.0, 0.0
        rng = np.random.default_rng([plan.seed, _ORDER, number])
        generator = _generator(plan.seed, _MASKS, number)
        updates = math.ceil(len(plan.train) / plan.settings.chips_an_update())
        self.network.train()
        ready = self._ready(rng.permutation(plan.train), rng)
        for update, (pictures, valid) in enumerate(read_ahead(ready)):
            for group in self.optimiser.param_groups:
                group["lr"] = _rate(plan, (number - 1) * updates + update, plan.epochs * updates)
            loss, count = self._loss(pictures, valid, generator)
            if not bool(torch.isfinite(loss)):
                raise EncoderError(
                    explain(
                        f"The loss is not finite in epoch {number}: training has diverged.",
                        fix=f"PretrainSettings(learning_rate={plan.settings.rate() / 10:.0e})",
                    )
                )
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
            self.optimiser.step()
            done, numbers = done + float(loss.detach()) * float(count), numbers + float(count)
        return done / max(numbers, 1.0)

    def held_out_loss(self) -> float:
        """Return the loss of the held-out chips, behind the same masks each time."""
        import torch

        plan, done, numbers = self.plan, 0.0, 0.0
        generator = _generator(plan.seed, _HELD_OUT, 0)
        self.network.eval()
        with torch.no_grad():
            for pictures, valid in read_ahead(self._ready(plan.held_out)):
                loss, count = self._loss(pictures, valid, generator)
                done, numbers = done + float(loss) * float(count), numbers + float(count)
        return done / max(numbers, 1.0)

    def state(self) -> dict[str, Tensor]:
        """Return weights and moments of the optimiser, by name."""
        found = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, kept in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser/{number}/{name}": tensor for name, tensor in kept.items()}
        return found

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that was saved."""
        prefix = "network/"
        weights = {name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)}
        self.network.load_state_dict(weights, strict=True)
        kept: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if not name.startswith(prefix):
                _, number, part = name.split("/")
                kept.setdefault(int(number), {})[part] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": kept, "param_groups": groups})

    def _ready(self, rows: Rows, rng: np.random.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of scaled pictures with what is valid in them, turned at random where there is ``rng``."""
        import torch

        size = self.plan.settings.chips_an_update()
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            scaled, seen = self.plan.pictures.scaled(some, self.plan.scale)
            pictures, valid = torch.from_numpy(scaled), torch.from_numpy(seen)
            if rng is not None:
                turns = rng.integers(8, size=len(some))
                pictures, valid = _turned(pictures, turns), _turned(valid, turns)
            yield pictures, valid

    def _loss(self, pictures: Tensor, valid: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        plan = self.plan
        pictures, valid = pictures.to(plan.device), valid.to(plan.device)
        ratio = plan.settings.mask_ratio
        with _precision(plan.device):
            filled, hidden = plan.objective.fill_in(self.network, pictures, plan.shape, ratio, generator)
        return masked_loss(filled, hidden, pictures, valid, plan.shape)


def start(plan: Plan) -> Learner:
    """Return a new network with random weights by the seed, and its optimiser.

    The library draws weights from the one generator that a process has; it is put back as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_stream(plan.seed, _WEIGHTS, 0))
        network = plan.objective.build(plan.shape, plan.settings.sizes(), plan.settings.mask_ratio)
    network = network.to(plan.device)
    learned = [one for one in network.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in learned if one.ndim > 1], "weight_decay": _DECAY},
        {"params": [one for one in learned if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return Learner(plan, network, torch.optim.AdamW(groups, lr=plan.settings.rate(), betas=_BETAS))


def _rate(plan: Plan, update: int, updates: int) -> float:
    """Return the learning rate: up in a straight line, then down along a cosine."""
    warm = max(1, round(_WARM_UP * updates))
    if update < warm:
        return plan.settings.rate() * (update + 1) / warm
    share = (update - warm) / max(1, updates - warm)
    return plan.settings.rate() * 0.5 * (1 + math.cos(math.pi * share))


def _turned(pictures: Tensor, turns: npt.NDArray[Any]) -> Tensor:
    """Return each picture in one of the eight ways that a square can lie; from above, none is upright."""
    import torch

    made = pictures.clone()
    for turn in range(8):
        rows = torch.from_numpy(np.flatnonzero(turns == turn))
        some = torch.rot90(pictures[rows], turn % 4, dims=(-2, -1))
        made[rows] = some.flip(-1) if turn >= 4 else some
    return made


def _precision(device: str) -> AbstractContextManager[Any]:
    """Return bfloat16 products on a GPU, and nothing of the kind on a CPU."""
    import torch

    on_gpu: Callable[..., AbstractContextManager[Any]] = torch.autocast
    kind = device.partition(":")[0]
    return on_gpu(kind, dtype=torch.bfloat16, enabled=kind == "cuda")


def _generator(seed: int, purpose: int, number: int) -> Generator:
    import torch

    return torch.Generator().manual_seed(_stream(seed, purpose, number))


def _stream(seed: int, purpose: int, number: int) -> int:
    drawn = np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)
    return int(drawn[0] >> np.uint64(1))
