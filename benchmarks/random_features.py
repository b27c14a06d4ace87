"""Chips per second of our random features against conv2d, ReLU and mean written out in plain PyTorch.

Both compute the same two-sided features of the same chips on one thread; the results are compared before the clock
starts. The first case has the settings of torchgeo's ``RCF``: 1,024 features of 3 x 3 patches, 64 chips in a batch.
The last line is ``name=value`` pairs.

    python benchmarks/random_features.py --quick
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from eocausal.encoding.random_features import FittedRandomFeatures, RandomFeatures

BANDS = 4
# Pixels a side, features, patches, chips, and the batches that PyTorch is given.
CASES = (
    (64, 1024, (3,), 64, (1, 64)),
    (64, 512, (3, 5), 48, (1, 8)),
    (128, 512, (3, 5), 16, (1, 8)),
)


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
    sizes = sorted(int(name.rpartition("_")[2]) for name in state if "/filters_" in name)
    mean, sd = (state[f"block/{part}"][:, None, None] for part in ("mean", "sd"))
    rows = []
    for start in range(0, len(pixels), batch):
        images = (torch.from_numpy(pixels[start : start + batch, 0]) - mean) / sd
        responses = [torch.nn.functional.conv2d(images, state[f"block/filters_{k}"]) for k in sizes]
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


def difference(fitted: FittedRandomFeatures, chips: Chips, batch: int) -> float:
    """Return the largest difference between the two ways, as a share of the largest feature; stop above 1e-4."""
    ours = fitted.encode(chips.pixels, chips.mask, "block")
    plain = plain_torch(fitted, chips.pixels, batch)
    worst = float(np.abs(ours - plain).max() / np.abs(plain).max())
    if worst > 1e-4:
        raise SystemExit(f"features differ by {worst:.1e} of the largest one")
    return worst


def race(
    fitted: FittedRandomFeatures, chips: Chips, batches: tuple[int, ...], budget_s: float
) -> dict[str, float]:
    """Return chips a second of our features and of PyTorch with each size of batch."""
    mask = chips.mask
    work: dict[str, Callable[[], object]] = {"ours": lambda: fitted.encode(chips.pixels, mask, "block")}
    for batch in batches:
        work[f"conv2d_{batch}"] = lambda batch=batch: plain_torch(fitted, chips.pixels, batch)
    return chips_per_second(work, len(chips), budget_s)


def main() -> None:
    """Print a table, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for side_px, features, patches, count, batches in CASES:
        chips = random_chips(count, side_px)
        fitted = RandomFeatures(n_features=features, patch_px=patches).fit(chips)
        worst = difference(fitted, chips, batches[-1])
        rates = race(fitted, chips, batches, 5.0 if quick else 60.0)
        case = f"{side_px}px_{features}"
        print(
            f"{side_px} px, {features} features of patches {patches}, one thread, largest difference {worst:.0e}"
        )
        for name, rate in rates.items():
            print(f"  {name:12s} {rate:8.1f} chips/s")
            figures[f"rcf_{case}_{name}"] = round(rate, 2)
        for batch in batches:
            figures[f"rcf_{case}_speedup_{batch}"] = round(rates["ours"] / rates[f"conv2d_{batch}"], 2)
            print(f"  {figures[f'rcf_{case}_speedup_{batch}']:6.1f} x conv2d with batches of {batch}")
    print(" ".join(f"{name}={value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
