"""What pretraining adds: features of a network that was pretrained, of the same network before, and of ``rcf``.

Crops of 32 pixels (320 m) of eight Sentinel-2 patches from eight places. Encoders see the four bands of 10 m; what
is predicted comes from a band that they never see, short-wave infrared (B12): how much it varies within a crop and
how bright it is; and which of the eight places a crop is of. Ridge and logistic regressions are fitted on three
quarters of every patch and judged on the fourth, in turn, so that neighbours are mostly in one fold. Pretraining
sees pictures alone, of all quarters. The last line is ``name=value`` pairs.

    python benchmarks/pretraining.py --quick
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import eocausal as ec

DATA = Path(os.environ.get("EOCAUSAL_SHARED", "../shared")) / "data" / "sentinel2_patches"
BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
SEEN = ["B02", "B03", "B04", "B08"]
UNSEEN = "B12"
SIDE_PX, PATCH_PX = 32, 256


@dataclass(frozen=True)
class Crops:
    """Crops of all patches: their chips, and what is known of each."""

    chips: ec.Chips
    texture: np.ndarray
    brightness: np.ndarray
    site: np.ndarray
    fold: np.ndarray


def crops(step_px: int) -> Crops:
    """Cut crops every so many pixels."""
    import rasterio

    pixels, rows = [], []
    for site, path in enumerate(sorted(DATA.glob("patch_*.tif"))):
        with rasterio.open(path) as patch:
            bands = dict(zip(BANDS, patch.read().astype(np.float32) / 10_000))
        for top in range(0, PATCH_PX - SIDE_PX + 1, step_px):
            for left in range(0, PATCH_PX - SIDE_PX + 1, step_px):
                crop = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
                pixels.append(np.stack([bands[name][crop] for name in SEEN]))
                south, east = top + SIDE_PX // 2 >= PATCH_PX // 2, left + SIDE_PX // 2 >= PATCH_PX // 2
                unseen = bands[UNSEEN][crop]
                rows.append((site, 2 * south + east, np.log(unseen.std()), unseen.mean()))
    site, fold, texture, brightness = (np.asarray(column) for column in zip(*rows))
    units = ec.read_units(pd.DataFrame({"crop": np.arange(len(rows))}), id="crop", image_key="crop")
    chips = ec.chips_from_arrays(
        units, np.stack(pixels), axes="nbhw", bands=SEEN, size_m=320, pixel_unit="reflectance"
    )
    return Crops(chips, texture, brightness, site, fold)


def scores(features: np.ndarray, known: Crops) -> dict[str, float]:
    """Return the R2 of texture and brightness and the share of places that are told right, all out of fold."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = {"texture": np.zeros(len(features)), "brightness": np.zeros(len(features))}
    means = {name: np.zeros(len(features)) for name in found}
    right = np.zeros(len(features))
    for fold in range(4):
        train, test = known.fold != fold, known.fold == fold
        for name, predicted in found.items():
            outcome = getattr(known, name)
            ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
            predicted[test] = ridge.fit(features[train], outcome[train]).predict(features[test])
            means[name][test] = outcome[train].mean()
        places = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        places.fit(features[train], known.site[train])
        right[test] = places.predict(features[test]) == known.site[test]
    r2 = {
        name: 1 - np.square(getattr(known, name) - predicted).sum()
        / np.square(getattr(known, name) - means[name]).sum()
        for name, predicted in found.items()
    }  # fmt: skip
    return {**r2, "site": float(right.mean())}


def trained(chips: ec.Chips, folder: str, seed: int, *, epochs: int | None, rate: float | None = None) -> str:
    """Pretrain, tell how the loss went, and return the path of the encoder."""
    start = time.perf_counter()
    settings = ec.PretrainSettings("tiny", epochs=epochs, learning_rate=rate)
    found = ec.pretrain(chips, preset=settings, out=folder, seed=seed, device="cpu", progress=False)
    if rate is None:
        took = time.perf_counter() - start
        losses = found.history["held_out_loss"]
        print(
            f"pretrained on {len(chips)} crops, {len(losses) - 1} epochs, {took:.0f} s, held-out loss "
            f"{losses.iloc[0]:.2f} -> {losses.iloc[-1]:.3f}"
        )
    return str(found.spec)


def main() -> None:
    """Print a table, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, masks and order")
    asked = parser.parse_args()
    if not DATA.is_dir():
        print(f"REFERENCE DATA MISSING: no folder {DATA}; set EOCAUSAL_SHARED to run this benchmark")
        return
    apart, dense = crops(SIDE_PX), crops(SIDE_PX // 2)
    with tempfile.TemporaryDirectory() as folder:
        # at a rate of nothing the weights stay those that the training of the same seed begins with
        random = trained(dense.chips, f"{folder}/random", asked.seed, epochs=1, rate=1e-30)
        mae = trained(dense.chips, f"{folder}/mae", asked.seed, epochs=6 if asked.quick else None)
        encoders: dict[str, object] = {
            "random": random,
            "random_cls": ec.Pretrained(random, pool="cls"),
            "mae": mae,
            "mae_cls": ec.Pretrained(mae, pool="cls"),
            "rcf": "rcf",
            "image_stats": "image_stats",
        }
        print(f"{len(apart.texture)} crops   numbers  texture R2  brightness R2  places told right")
        figures = {}
        for name, encoder in encoders.items():
            features = ec.embed(apart.chips, encoder=encoder, device="cpu", progress=False).values
            got = scores(features, apart)
            cells = (
                f"{features.shape[1]:8d} {got['texture']:11.3f} {got['brightness']:14.3f} {got['site']:18.3f}"
            )
            print(f"  {name:12s}{cells}")
            figures[f"{name}_score"] = got["texture"]
            figures |= {f"{name}_{task}": got[task] for task in ("brightness", "site")}
    print(" ".join(f"{name}={value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
