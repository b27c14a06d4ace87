"""Chips per second from a GeoTIFF to a table in Parquet, as a share of what the bare network does.

Writes a ViT-S/16 with random weights and a scene of three bands, cuts chips of 224 pixels around random places, and
embeds them with everything on: reading, masks, checks, scaling, shards with checksums. The bare network is the same
one on pictures that lie in memory ready to be used, one at a time or eight, whichever is faster: in two processes
against two workers, and in its full form in this process by itself, where both take turns.
Vectors are compared before the figures are printed. Then random convolutional features against conv2d with two
ReLUs and pooling, as in ``random_features.py``. The last line is ``name=value`` pairs.

    python benchmarks/embed.py --quick
    python benchmarks/embed.py --device cuda
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import rasterio
import torch
from joblib.externals.loky import get_reusable_executor
from random_features import CASES, difference, race, random_chips
from rasterio.transform import from_origin

import eocausal as ec
from eocausal.encoding.protocol import ChipBatch

WEST, NORTH, PIXEL_M, SIDE_PX = 600_000, 200_000, 10, 224
SIZES = {
    "vit-s16": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536},
    "vit-b16": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "vit-l16": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}  # fmt: skip
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SPEC = """\
spec_version: 1
name: {name}
title: A network with random weights
library: transformers
loader: vit
weights: {name}
licence: MIT
commercial_ok: true
bands:
  - {{name: B04, common_name: red, wavelength_um: 0.665}}
  - {{name: B03, common_name: green, wavelength_um: 0.560}}
  - {{name: B02, common_name: blue, wavelength_um: 0.490}}
pixel_unit: reflectance_x10000
scaling:
  - z: {{mean: [2000, 2000, 2000], std: [1000, 1000, 1000]}}
native_px: 224
pooling: [mean]
dim: {dim}
citation: none
"""


def write_encoder(folder: Path, name: str) -> Path:
    """Write a network with random weights, and what describes it; return the latter's path."""
    import transformers
    from transformers import ViTConfig, ViTModel

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    ViTModel(ViTConfig(**SIZES[name], image_size=SIDE_PX, patch_size=16)).save_pretrained(folder / name)
    described = folder / f"{name}.yaml"
    described.write_text(SPEC.format(name=name, dim=SIZES[name]["hidden_size"]))
    return described


def write_scene(file: Path, side_px: int) -> None:
    """Write a scene as archives hold them: uint16, tiled, compressed."""
    rng = np.random.default_rng(0)
    shape = {"width": side_px, "height": side_px, "count": 3, "dtype": "uint16", "nodata": 0}
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    ground = 2000 + 900 * np.sin(np.arange(side_px) / 150)[:, None] * np.cos(np.arange(side_px) / 210)
    with rasterio.open(
        file, "w", driver="GTiff", crs="EPSG:32636", transform=from_origin(WEST, NORTH, PIXEL_M, PIXEL_M),
        **shape, **tiled, zlevel=1,
    ) as out:  # fmt: skip
        out.descriptions = ("red", "green", "blue")
        for band in (1, 2, 3):
            noise = rng.integers(0, 250, size=ground.shape, dtype=np.uint16)
            out.write((ground * band / 2).astype(np.uint16) + noise, band)


def cut(scene: Path, count: int, side_px: int) -> ec.Chips:
    """Return chips of 224 pixels around random places, none beyond the edge."""
    inside = np.random.default_rng(1).uniform(SIDE_PX, side_px - SIDE_PX, size=(count, 2)) * PIXEL_M
    table = pd.DataFrame({"unit": np.arange(count), "x": WEST + inside[:, 0], "y": NORTH - inside[:, 1]})
    units = ec.read_units(table, id="unit", lon="x", lat="y", crs="EPSG:32636")
    bands = ["red", "green", "blue"]
    return ec.chips(
        units,
        scene,
        size_m=SIDE_PX * PIXEL_M,
        bands=bands,
        pixel_unit="reflectance_x10000",
        date="2020-06-30",
    )


def clocks() -> np.ndarray:
    """Return seconds by the clock, and those that all threads of this process have used."""
    return np.array([time.perf_counter(), time.process_time()])


class Bare:
    """The network on pictures in the memory of the device, scaled already."""

    def __init__(self, folder: Path, name: str, precision: str, device: str, pictures: np.ndarray) -> None:
        from transformers import ViTModel

        dtype = DTYPES[precision]
        loaded = ViTModel.from_pretrained(folder / name, add_pooling_layer=False, dtype=dtype)
        self.network = loaded.eval().to(device)
        self.pictures = torch.from_numpy(pictures).to(device, dtype=dtype)

    def vectors(self, count: int, at_once: int) -> np.ndarray:
        """Return vectors of so many pictures, which are taken again and again."""
        found = []
        with torch.inference_mode():
            for start in range(0, count, at_once):
                rows = torch.arange(start, min(start + at_once, count)) % len(self.pictures)
                tokens = self.network(pixel_values=self.pictures[rows]).last_hidden_state
                found.append(tokens[:, 1:].mean(dim=1).float())
        return torch.cat(found).cpu().numpy()

    def seconds(self, count: int, at_once: int) -> np.ndarray:
        """Return seconds by the clock and of the processor."""
        began = clocks()
        self.vectors(count, at_once)
        return clocks() - began


def first_pictures(chips: ec.Chips, count: int) -> np.ndarray:
    """Return the first chips, scaled by hand."""
    batch: ChipBatch = next(iter(chips.batches(size=count, keys=chips.keys[:count])))
    ((_, pixels),) = batch.pixels.items()
    return ((pixels[:, 0] - 2000) / 1000).astype(np.float32)


def turns(
    chips: ec.Chips, encoder: ec.Pretrained, bare: Bare, folder: Path, device: str, rounds: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield seconds of the bare network and of everything, in turn, each in its best setting."""
    count = len(chips)
    sizes = (1, 8) if device == "cpu" else (64, 256)
    best = min(sizes, key=lambda size: bare.seconds(max(8, count // 8), size)[1])
    for _ in range(rounds):
        before = bare.seconds(count // 2, best)
        shutil.rmtree(folder, ignore_errors=True)
        began = clocks()
        table = ec.embed(chips, encoder=encoder, out=folder, device=device, workers=1, progress=False)
        ours = clocks() - began
        after = bare.seconds(count - count // 2, best)
        difference_to(bare, table, encoder.precision)
        yield before + after, ours


def bare_seconds(folder: str, name: str, precision: str, count: int, at_once: int) -> float:
    """Return seconds by the clock for so many pictures, in a process of its own."""
    import transformers

    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    pictures = np.random.default_rng(0).normal(size=(8, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
    bare = Bare(Path(folder), name, precision, "cpu", pictures)
    bare.seconds(8, at_once)
    return float(bare.seconds(count, at_once)[0])


def turns_of_processes(
    chips: ec.Chips, encoder: ec.Pretrained, bare: Bare, folder: Path, processes: int
) -> tuple[float, float]:
    """Return chips per second of bare networks in so many processes at a time, and of everything in as many."""
    name, each = encoder.spec.name, len(chips) // processes
    best = min((1, 8), key=lambda size: bare.seconds(8, size)[1])
    run = joblib.Parallel(n_jobs=processes)
    asked = joblib.delayed(bare_seconds)(str(folder), name, encoder.precision, each, best)
    alone = processes * each / max(run([asked] * processes))
    get_reusable_executor().shutdown(wait=True)  # the next processes begin as those of a user would
    shutil.rmtree(folder / "run", ignore_errors=True)
    # once before, so that the processes are there and have loaded libraries
    few = {"encoder": encoder, "device": "cpu", "workers": processes, "progress": False}
    ec.embed(cut(folder / "scene.tif", 64, 2048), **few)
    began = time.perf_counter()
    table = ec.embed(chips, out=folder / "run", **few)
    rate = len(chips) / (time.perf_counter() - began)
    difference_to(bare, table, encoder.precision)
    return alone, rate


def difference_to(bare: Bare, table: ec.Embeddings, precision: str) -> None:
    """Stop unless the vectors are those of the bare network."""
    few = bare.vectors(len(bare.pictures), 1)
    gap = np.abs(table.values[: len(few)] - few).max() / few.std()
    if gap > (1e-3 if precision == "fp32" else 0.1):
        raise SystemExit(f"vectors differ by {gap:.1e} standard deviations")


def peak_flops(precision: str, device: str) -> float:
    """Return multiplications and additions per second of a large matrix product, measured."""
    side = 8192
    left = torch.randn(side, side, device=device, dtype=DTYPES[precision])
    for _ in range(3):
        left @ left
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        left @ left
    torch.cuda.synchronize()
    return 20 * 2 * side**3 / (time.perf_counter() - began)


def flops_of(name: str) -> float:
    """Return multiplications and additions of one picture: products with weights, and attention."""
    size, tokens = SIZES[name], (SIDE_PX // 16) ** 2 + 1
    width, inner = size["hidden_size"], size["intermediate_size"]
    layer = 2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * tokens**2 * width
    return size["num_hidden_layers"] * layer + 2 * tokens * width * 3 * 16**2


def race_networks(folder: Path, *, device: str, quick: bool) -> dict[str, float]:
    """Return share of the bare network's rate by network and precision, and the rates."""
    side_px = 2048 if quick else 5490
    write_scene(folder / "scene.tif", side_px)
    figures: dict[str, float] = {}
    names = ["vit-s16"] if device == "cpu" else list(SIZES)
    cases = [] if quick and device == "cpu" else [("fp32", 256), ("bf16", 512)]
    for name in names:
        described = write_encoder(folder, name)
        for precision, count in cases:
            count = count if device == "cpu" else 20 * count
            chips = cut(folder / "scene.tif", count, side_px)
            encoder = ec.Pretrained(str(described), precision=precision)
            bare = Bare(folder, name, precision, device, first_pictures(chips, min(count, 64)))
            # once before, so that no turn has to load libraries
            ec.embed(cut(folder / "scene.tif", 2, side_px), encoder=encoder, device=device, progress=False)
            got = list(turns(chips, encoder, bare, folder / "run", device, 1 if quick else 3))
            alone, ours = (np.median(side, axis=0) for side in zip(*got))
            share, of_processor = alone / ours
            case = f"{name.replace('-', '')}_{precision}"
            figures |= {
                f"share_{case}": share,
                f"share_cpu_{case}": of_processor,
                f"rate_{case}": count / ours[0],
            }
            print(
                f"{name} {precision} on {device}: {count / ours[0]:.1f} chips/s of {count / alone[0]:.1f}, "
                f"share {share:.3f} by the clock and {of_processor:.3f} by processor time"
            )
    if device == "cpu":
        encoder = ec.Pretrained(str(folder / "vit-s16.yaml"))
        chips = cut(folder / "scene.tif", 128 if quick else 1024, side_px)
        bare = Bare(folder, "vit-s16", "fp32", "cpu", first_pictures(chips, 16))
        alone, rate = turns_of_processes(chips, encoder, bare, folder, 2)
        figures |= {"share_two_processes": rate / alone, "rate_two_processes": rate}
        print(f"vit-s16 fp32 in two processes: {rate:.1f} chips/s of {alone:.1f}, share {rate / alone:.3f}")
    return figures


def race_random_features(*, quick: bool) -> dict[str, float]:
    """Return how many times faster our random features are, at the settings of torchgeo's RCF."""
    side_px, features, patches, count, _ = CASES[0]
    chips = random_chips(count, side_px)
    fitted = ec.RandomFeatures(n_features=features, patch_px=patches).fit(chips)
    difference(fitted, chips, 64)
    rates = race(fitted, chips, (1, 64), 3.0 if quick else 60.0)
    print(
        f"rcf, {features} features, {side_px} px: {rates['ours']:.0f} chips/s; conv2d {rates['conv2d_64']:.0f}"
    )
    return {
        "rcf_speedup": rates["ours"] / rates["conv2d_64"],
        "rcf_speedup_one_by_one": rates["ours"] / rates["conv2d_1"],
    }


def main() -> None:
    """Print each race, then the figures on one line."""
    logging.disable(logging.WARNING)  # what transformers says of parts that are left out
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = race_networks(Path(folder), device=asked.device, quick=asked.quick)
    main_share = figures["share_two_processes" if asked.device == "cpu" else "share_vits16_bf16"]
    figures = {"share_of_model": main_share, **race_random_features(quick=asked.quick), **figures}
    print(" ".join(f"{name}={value:.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
