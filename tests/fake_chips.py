"""Chips in memory for tests: the same members as the real ones, and nothing read from disk."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np


@dataclass
class FakeBatch:
    keys: np.ndarray
    pixels: dict
    mask: dict
    status: dict
    valid_fraction: dict


@dataclass
class FakeChips:
    keys: np.ndarray
    pixels: dict  # block -> (n, dates, bands, h, w)
    mask: dict
    status: dict = field(default_factory=dict)
    bands: tuple = ("red", "nir")
    key_name: str = "village"
    date: str | None = "2007-06-30"
    pixel_unit: str | None = None
    pause_s: float = 0.0
    read: list = field(default_factory=list)
    order: np.ndarray | None = None  # positions in the order of reading
    frames: tuple | None = None

    def __post_init__(self):
        if self.frames is None:
            count = next(iter(self.mask.values())).shape[1]
            self.frames = ("",) if count == 1 else tuple(f"t{turn}" for turn in range(count))
        for block, mask in self.mask.items():
            share = mask.mean(axis=(1, 2, 3))
            found = np.where(share == 1, "ok", np.where(share == 0, "nodata", "partial")).astype(object)
            self.status.setdefault(block, found)

    @property
    def blocks(self):
        return tuple(self.pixels)

    def batches(self, *, size=64, keys=None):
        row_of = {key: row for row, key in enumerate(self.keys.tolist())}
        rows = np.array([row_of[key] for key in (self.keys if keys is None else np.asarray(keys)).tolist()])
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            time.sleep(self.pause_s * len(some))
            self.read.append(self.keys[some].tolist())
            yield FakeBatch(
                self.keys[some],
                {
                    block: np.where(self.mask[block][some][:, :, None], self.pixels[block][some], np.nan)
                    for block in self.blocks
                },
                {block: self.mask[block][some] for block in self.blocks},
                {block: self.status[block][some] for block in self.blocks},
                {block: self.mask[block][some].mean(axis=(1, 2, 3)) for block in self.blocks},
            )

    def reading_order(self):
        return self.keys if self.order is None else self.keys[self.order]

    def last_dates(self, keys):
        return np.full(len(keys), self.date, dtype=object)

    def recipe(self):
        return {"source": "fake", "bands": list(self.bands), "date": self.date}

    def __len__(self):
        return len(self.keys)


def fake_chips(n=10, *, px=12, dates=1, bands=2, blocks=("960m",), seed=0, keys=None, holes=(), **more):
    """Return smooth random chips; ``holes`` are rows without a valid pixel."""
    rng = np.random.default_rng(seed)
    pixels, mask = {}, {}
    for block in blocks:
        noise = rng.normal(size=(n, dates, bands, px + 1, px + 1)).astype(np.float32)
        smooth = noise[..., 1:, 1:] + noise[..., :-1, 1:] + 0.5 * noise[..., 1:, :-1]
        pixels[block] = 100 + 20 * smooth * np.arange(1, bands + 1, dtype=np.float32)[:, None, None]
        mask[block] = np.ones((n, dates, px, px), dtype=bool)
        mask[block][list(holes)] = False
    names = tuple(f"b{i}" for i in range(bands))
    return FakeChips(np.arange(100, 100 + n) if keys is None else keys, pixels, mask, bands=names, **more)
