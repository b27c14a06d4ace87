"""Chips per second of our random features against conv2d, ReLU and mean written out in plain PyTorch.

Both compute the same 512 features (3 x 3 and 5 x 5 patches, two-sided) of the same chips on one thread; the
results are compared before the clock starts. The last line is ``name=value`` pairs.

    python benchmarks/random_features.py --quick
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from eocausal.encoders.random_features import FittedRandomFeatures, RandomFeatures

BANDS = 4


@dataclass(frozen=True)
class Chips:
    """Random chips in memory, all valid."""

    pixels: np.ndarray
    keys: np.ndarray
    key_name: str = "chip"
    blocks: tuple[str, ...] = ("block",)
    bands: tuple[str, ...] = tuple(f"b{i}" for i in range(BANDS))
    date: str | None = None

    @property
    def mask(self) -> np.ndarray:
        """All valid."""
        return np.ones((*self.pixels.shape[:2], *self.pixels.shape[3:]), dtype=bool)

    def batches(self, *, size: int = 64, keys: np.ndarray | None = None) -> Iterator[Batch]:
        """Cut the arrays into batches."""
        rows = self.keys if keys is None else np.asarray(keys)
        for start in range(0, len(rows), size):
            yield Batch(rows[start : start + size], self)

    def reading_order(self) -> np.ndarray:
        """Any order is as good."""
        return self.keys

    def recipe(self) -> dict[str, str]:
        """Return what made the chips."""
        return {"source": "random"}

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Batch:
    """Some of the chips."""

    keys: np.ndarray
    chips: Chips

    @property
    def pixels(self) -> dict[str, np.ndarray]:
        """Pixels by block."""
        return {"block": self.chips.pixels[self.keys]}

    @property
    def mask(self) -> dict[str, np.ndarray]:
        """Masks by block."""
        return {"block": self.chips.mask[self.keys]}

    @property
    def status(self) -> dict[str, np.ndarray]:
        """Status by block."""
        return {"block": np.full(len(self.keys), "ok")}

    @property
    def valid_fraction(self) -> dict[str, np.ndarray]:
        """Valid fraction by block."""
        return {"block": np.ones(len(self.keys))}


def random_chips(count: int, side_px: int) -> Chips:
    """Return smooth random chips."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(count, 1, BANDS, side_px + 1, side_px + 1)).astype(np.float32)
    return Chips(noise[..., 1:, 1:] + noise[..., :-1, :-1], np.arange(count))


def plain_torch(fitted: FittedRandomFeatures, pixels: np.ndarray, batch: int) -> np.ndarray:
    """Return the same features by conv2d, ReLU and mean over a batch."""
    state = {name: torch.from_numpy(array) for name, array in fitted.state().items()}
    mean, sd = (state[f"block/{part}"][:, None, None] for part in ("mean", "sd"))
    rows = []
    for start in range(0, len(pixels), batch):
        images = (torch.from_numpy(pixels[start : start + batch, 0]) - mean) / sd
        responses = [torch.nn.functional.conv2d(images, state[f"block/filters_{k}"]) for k in (3, 5)]
        above = [torch.relu(c).mean(dim=(2, 3)) for c in responses]
        below = [torch.relu(-c).mean(dim=(2, 3)) for c in responses]
        rows.append(torch.cat(above + below, dim=1))
    return torch.cat(rows).numpy()


def chips_per_second(work: dict[str, Callable[[], object]], count: int, budget_s: float) -> dict[str, float]:
    """Run the contenders in turn until the time is spent; return chips per second at the median run."""
    times: dict[str, list[float]] = {name: [] for name in work}
    until = time.perf_counter() + budget_s
    while time.perf_counter() < until or len(times[next(iter(work))]) < 3:
        for name, call in work.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: count / float(np.median(spent)) for name, spent in times.items()}


def main() -> None:
    """Print a table, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for side_px, count in ((64, 48), (128, 16)):
        chips = random_chips(count, side_px)
        fitted = RandomFeatures(n_features=512).fit(chips)
        mask = chips.mask
        ours, plain = fitted.encode(chips.pixels, mask, "block"), plain_torch(fitted, chips.pixels, 8)
        worst = float(np.abs(ours - plain).max() / np.abs(plain).max())
        if worst > 1e-4:
            raise SystemExit(f"features differ by {worst:.1e} of the largest one")
        work = {
            "ours": lambda fitted=fitted, chips=chips, mask=mask: fitted.encode(chips.pixels, mask, "block"),
            "conv2d_1": lambda fitted=fitted, chips=chips: plain_torch(fitted, chips.pixels, 1),
            "conv2d_8": lambda fitted=fitted, chips=chips: plain_torch(fitted, chips.pixels, 8),
        }
        rates = chips_per_second(work, count, 6.0 if quick else 60.0)
        rates["speedup"] = rates["ours"] / max(rates["conv2d_1"], rates["conv2d_8"])
        print(
            f"{side_px} px, 512 features, one thread, largest difference {worst:.0e} of the largest feature"
        )
        for name, rate in rates.items():
            print(
                f"  {name:10s} {rate:8.1f}" + (" chips/s" if name != "speedup" else " x the faster of conv2d")
            )
            figures[f"rcf_{side_px}px_{name}"] = round(rate, 2)
    print(" ".join(f"{name}={value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
