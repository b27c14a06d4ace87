"""Trials whose outcome is seen through a random network, and maps that learn to read it back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

import eocausal as ec

# Widths of what is seen of one outcome, and what is lost on the way.
WIDTHS = (1, 50, 50, 50, 100)
DROPPED, NOISE = 0.2, 0.3
HIDDEN = (64, 32, 32)
RATE, SHRINKAGE, BATCH, PATIENCE, EPOCHS = 1e-3, 1e-2, 256, 8, 100
# The published program seeds with this inside its training, before each network.
PUBLISHED_SEED = 42


@dataclass(frozen=True)
class View:
    """A random network that turns outcomes into what is seen: weights and offsets by layer."""

    layers: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def drawn(cls, seed: int) -> View:
        """Draw a network as torch starts layers."""
        return cls._next(_generator(seed))

    @classmethod
    def published(cls) -> View:
        """Return the network of the published program: the one drawn after a map was, from the same seed."""
        generator = _generator(PUBLISHED_SEED)
        _network(WIDTHS[-1], generator)
        return cls._next(generator)

    @classmethod
    def _next(cls, generator: Any) -> View:
        layers = [_linear(wide, out, generator) for wide, out in pairwise(WIDTHS)]
        return cls([tuple(part.detach().double().numpy() for part in one.parameters()) for one in layers])

    def of(self, outcome: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return what is seen (n, 100) of outcomes (n,): units of hidden layers drop out at random, always."""
        values = outcome[:, None]
        for weights, offsets in self.layers[:-1]:
            values = np.maximum(values @ weights.T + offsets, 0)
            values *= (rng.random(values.shape) >= DROPPED) / (1 - DROPPED)
        weights, offsets = self.layers[-1]
        values = values @ weights.T + offsets
        return values + NOISE * rng.standard_normal(values.shape)


def places(effect: float, n: int, view: View, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ``place treated need outcome``, and what is seen of each place (n, 100)."""
    need = rng.standard_normal(n)
    treated = (rng.random(n) < 1 / (1 + np.exp(-need))).astype(int)
    outcome = effect * treated + need + rng.standard_normal(n)
    table = pd.DataFrame({"place": np.arange(n), "treated": treated, "need": need, "outcome": outcome})
    return table, view.of(outcome, rng)


class Map:
    """A network of three hidden layers that predicts outcomes from what is seen."""

    def __init__(self, seed: int, *, penalty: float = 0.0) -> None:
        self.seed, self.penalty = seed, penalty

    def fit(self, seen: np.ndarray, outcome: np.ndarray, held: np.ndarray) -> Map:
        """Learn from all places but those held out (boolean, n), by which training is stopped."""
        import torch

        self.centre, self.scale = seen.mean(axis=0), seen.std(axis=0)
        columns = self._columns(seen)
        truth = torch.tensor(outcome, dtype=torch.float32)
        train, test = (torch.tensor(np.flatnonzero(one)) for one in (~held, held))
        generator = _generator(self.seed)
        self.network = _network(columns.shape[1], generator)
        loss = _loss(truth[train], self.penalty)
        steps = torch.optim.Adam(self.network.parameters(), lr=RATE, weight_decay=SHRINKAGE)
        best, kept, waited = np.inf, self.network.state_dict(), 0
        for _ in range(EPOCHS):
            for rows in torch.randperm(train.numel(), generator=generator).split(BATCH):
                steps.zero_grad()
                loss(self.network(columns[train[rows]]).squeeze(1), truth[train[rows]]).backward()
                steps.step()
            with torch.no_grad():
                missed = float(loss(self.network(columns[test]).squeeze(1), truth[test]))
            waited += 1
            if missed < best:
                best, waited = missed, 0
                kept = {name: one.clone() for name, one in self.network.state_dict().items()}
            if waited == PATIENCE:
                break
        self.network.load_state_dict(kept)
        return self

    def predict(self, seen: np.ndarray) -> np.ndarray:
        """Return predictions (n,)."""
        import torch

        with torch.no_grad():
            return self.network(self._columns(seen)).squeeze(1).double().numpy()

    def _columns(self, seen: np.ndarray) -> Any:
        import torch

        return torch.tensor((seen - self.centre) / self.scale, dtype=torch.float32)


def _loss(truth: Any, penalty: float) -> Any:
    """Return the mean squared error, or with a penalty the loss that holds errors by fifths of the outcome down."""
    import torch

    if not penalty:
        return torch.nn.functional.mse_loss
    return ec.RatledgeLoss(truth.numpy(), weight=penalty)


def _network(wide: int, generator: Any) -> Any:
    import torch

    layers: list[Any] = []
    for out in HIDDEN:
        layers += [_linear(wide, out, generator), torch.nn.ReLU()]
        wide = out
    return torch.nn.Sequential(*layers, _linear(wide, 1, generator))


def _linear(wide: int, out: int, generator: Any) -> Any:
    """Return a layer as torch starts one, from a generator of its own."""
    import torch

    layer = torch.nn.utils.skip_init(torch.nn.Linear, wide, out)
    torch.nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
    torch.nn.init.uniform_(layer.bias, -(wide**-0.5), wide**-0.5, generator=generator)
    return layer


def _generator(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)
