"""Pictures of two sizes, the four ways in which they are changed, and their features."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

import eocausal as ec

FACTORS = ("rotation", "blob", "contrast", "edge")
LARGE, SMALL, KEPT = 256, 32, 64
# Of CLIP-RSICD features of 327 Ugandan villages: length of the mean row, mean distance of rows from it.
COMMON, APART = 10.0, 3.9
Variant = tuple[int, int, int, int]


def landscapes(n: int, *, seed: int) -> np.ndarray:
    """Draw pictures (n, 256, 256, 3) of whole numbers 0 to 255: clouds of several grains, like in all bands."""
    rng = np.random.default_rng(seed)
    steps = np.hypot(np.fft.fftfreq(LARGE)[:, None], np.fft.rfftfreq(LARGE)[None, :])
    steps[0, 0] = 1.0
    found = np.empty((n, LARGE, LARGE, 3), np.uint8)
    for chip in range(n):
        grain = rng.uniform(0.8, 1.4)
        drawn = rng.standard_normal((3, LARGE, LARGE // 2 + 1)) + 1j * rng.standard_normal(
            (3, LARGE, LARGE // 2 + 1)
        )
        clouds = np.fft.irfft2(drawn / steps**grain, s=(LARGE, LARGE))
        clouds /= clouds.std(axis=(1, 2), keepdims=True)
        bands = (np.eye(3) + rng.uniform(0.3, 0.8)) @ clouds.reshape(3, -1)
        found[chip] = stretched(bands.T.reshape(LARGE, LARGE, 3))
    return found


def stretched(picture: np.ndarray) -> np.ndarray:
    """Bring a picture to 0 to 255, over all bands together, as the published code does."""
    low, high = picture.min(), picture.max()
    return np.round((picture - low) / max(high - low, 1e-9) * 255).astype(np.uint8)


def changed(picture: np.ndarray, variant: Variant) -> np.ndarray:
    """Change a picture: a black square of 3 pixels, dark edges (of the large picture alone), a turn, contrast."""
    rotation, blob, contrast, edge = variant
    out = picture.astype(np.float32)
    side = len(out)
    if blob:
        middle = side // 2
        out[middle - 1 : middle + 2, middle - 1 : middle + 2] = 0
    if edge and side == LARGE:
        place = np.linspace(-1, 1, side, dtype=np.float32)
        out *= np.clip(1 - 0.5 * np.hypot(place[:, None], place[None, :]), 0, 1)[:, :, None]
    if rotation:
        out = np.rot90(out)
    if contrast:
        grey = float(np.round((out @ np.array([0.299, 0.587, 0.114], np.float32)).mean()))
        out = np.clip(grey + 1.8 * (out - grey), 0, 255)
    return out


def encoded(
    pictures: np.ndarray, flags: np.ndarray, *, n_features: int, seed: int
) -> dict[str, dict[Variant, np.ndarray]]:
    """Return features (n, d) by size and variant; a picture that a factor does not change is the same without it.

    ``flags`` (n, 4) say which pictures a factor changes where it is active.
    """
    middle = slice((LARGE - SMALL) // 2, (LARGE + SMALL) // 2)
    small = np.stack([stretched(one) for one in pictures[:, middle, middle].astype(np.float32)])
    return {
        "32 px": _by_variant(small, flags, n_features=n_features, seed=seed),
        "256 px": _by_variant(pictures, flags, n_features=n_features, seed=seed),
    }


def _by_variant(
    pictures: np.ndarray, flags: np.ndarray, *, n_features: int, seed: int
) -> dict[Variant, np.ndarray]:
    fitted = _encoder(pictures, n_features=n_features, seed=seed)
    known: dict[tuple[int, Variant], np.ndarray] = {}
    found = {}
    for variant in product((0, 1), repeat=4):
        own = [tuple(int(one) for one in row) for row in flags & np.array(variant)]
        todo = [chip for chip, one in enumerate(own) if (chip, one) not in known]
        for first in range(0, len(todo), 128):
            chips = todo[first : first + 128]
            rows = fitted(np.stack([_kept(changed(pictures[chip], own[chip])) for chip in chips]))
            known |= {(chip, own[chip]): row for chip, row in zip(chips, rows)}
        found[variant] = np.stack([known[chip, one] for chip, one in enumerate(own)])
    plain = found[0, 0, 0, 0]
    mean, spread = plain.mean(axis=0), plain.std(axis=0) + 1e-9
    scale = APART / np.linalg.norm((plain - mean) / spread, axis=1).mean()
    common = mean * (COMMON / np.linalg.norm(mean))
    return {variant: common + scale * (values - mean) / spread for variant, values in found.items()}


def _encoder(pictures: np.ndarray, *, n_features: int, seed: int):
    """Return what turns pictures (n, side, side, 3) into features, with windows of the pictures as they were."""
    plain = np.stack([_kept(one.astype(np.float32)) for one in pictures])
    keys = np.arange(len(plain))
    units = ec.read_units(pd.DataFrame({"place": keys}), id="place", image_key="place")
    chips = ec.chips_from_arrays(units, plain, keys=keys)
    fitted = ec.RandomFeatures(n_features=n_features, patch_px=(3,), seed=seed).fit(chips)
    (block,) = chips.blocks

    def encode(some: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(some.transpose(0, 3, 1, 2)[:, None], dtype=np.float32)
        return fitted.encode(pixels, np.ones(pixels.shape[:2] + pixels.shape[3:], bool), block)

    return encode


def _kept(picture: np.ndarray) -> np.ndarray:
    """Bring large pictures to 64 pixels a side by averaging, small ones stay."""
    times = len(picture) // KEPT
    if times < 2:
        return picture
    return picture.reshape(KEPT, times, KEPT, times, 3).mean(axis=(1, 3))
