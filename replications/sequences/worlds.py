"""Pictures of several years whose level, trend or volatility an effect follows, and their features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import eocausal as ec
from eocausal.encoding.sequence import FittedSequence

FRAMES, SIDE, BLOCK = 6, 9, "9px"
DRIVERS = ("level", "trend", "volatility")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures in memory, (n, frames, bands, side, side), read as chips are."""

    pixels: np.ndarray
    bands: tuple[str, ...] = ("red", "nir")
    key_name: str = "place"
    date: str | None = None
    pixel_unit: str | None = None

    @property
    def keys(self) -> np.ndarray:
        """Return the places by number."""
        return np.arange(len(self.pixels))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Return the name of the one size."""
        return (BLOCK,)

    @property
    def frames(self) -> tuple[str, ...]:
        """Return the years by number."""
        return tuple(str(year) for year in range(self.pixels.shape[1]))

    def batches(self, *, size: int = 64, keys: Any = None) -> Iterator[Any]:
        """Return all pixels valid, ``size`` places at a time."""
        rows = self.keys if keys is None else np.asarray(keys)
        for start in range(0, len(rows), size):
            own = rows[start : start + size]
            pixels = self.pixels[own]
            mask = np.ones((len(own), pixels.shape[1], SIDE, SIDE), dtype=bool)
            status, share = np.full(len(own), "ok"), np.ones(len(own))
            yield SimpleNamespace(
                keys=own, pixels={BLOCK: pixels}, mask={BLOCK: mask}, status={BLOCK: status},
                valid_fraction={BLOCK: share},
            )  # fmt: skip

    def reading_order(self) -> np.ndarray:
        """Return the keys as they lie."""
        return self.keys

    def last_dates(self, keys: Any) -> np.ndarray:
        """Return that no days are known."""
        return np.full(len(keys), None, dtype=object)

    def recipe(self) -> dict[str, Any]:
        """Return what they are."""
        return {"source": "drawn"}

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class World:
    """Places with their pictures and what effects may follow, each with mean 0 and variance 1."""

    pictures: Pictures
    drivers: dict[str, np.ndarray]


def world(n: int, *, seed: int) -> World:
    """Draw places: near infrared stands apart from red by a series of its own, over ground that stays as it is.

    The series is a level, a straight line through the years and deviations from both that are larger in some places
    than in others; the three are independent. What effects follow is measured on the series as drawn.
    """
    rng = np.random.default_rng(seed)
    turns = np.arange(FRAMES) - (FRAMES - 1) / 2
    level, slope = rng.standard_normal(n), rng.standard_normal(n)
    spread = np.exp(0.6 * rng.standard_normal(n))
    line = np.stack([np.ones(FRAMES), turns], axis=1)
    apart = rng.standard_normal((n, FRAMES))
    apart -= apart @ line @ np.linalg.pinv(line)
    apart /= apart.std(axis=1, ddof=2, keepdims=True)
    series = level[:, None] + 0.4 * slope[:, None] * turns + 0.7 * spread[:, None] * apart
    ground = rng.standard_normal((n, 1, 1, SIDE, SIDE))
    noise = 0.5 * rng.standard_normal((n, FRAMES, 2, SIDE, SIDE))
    pixels = np.broadcast_to(ground, noise.shape) + noise
    pixels[:, :, 1] += series[:, :, None, None]
    drivers = {"level": level, "trend": slope, "volatility": spread}
    scaled = {name: (one - one.mean()) / one.std() for name, one in drivers.items()}
    return World(Pictures(pixels.astype(np.float32)), scaled)


def encoders(widths: tuple[int, ...]) -> dict[str, Any]:
    """Return encoders that nothing was trained for: the means of bands, and random features of growing width."""
    return {
        "pixel mean, 2": ec.PixelMean(),
        **{
            f"random, {width}": ec.RandomFeatures(n_features=width, patch_px=(3,), seed=0) for width in widths
        },
    }


def aggregated(pictures: Pictures, encoder: Any) -> dict[str, np.ndarray]:
    """Return features (n, d) by way of bringing the years together; every picture is encoded once."""
    fitted = ec.Sequence(encoder).fit(pictures)
    batch = next(pictures.batches(size=len(pictures)))
    values, used = fitted.by_frame(batch.pixels[BLOCK], batch.mask[BLOCK], BLOCK)

    def pool(name: str) -> np.ndarray:
        return FittedSequence(replace(fitted.config, pool=name), fitted.frames).pooled(values, used)

    mean = pool("mean")
    return {
        "mean": mean,
        "mean, last - first": np.hstack([mean, pool("last-first")]),
        "mean, SD": pool("mean+sd"),
        "all years side by side": values.reshape(len(values), -1),
    }
