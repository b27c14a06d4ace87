"""Units per CPU-second of ``chips`` against one rasterio window per unit and size, and against decoding alone.

Makes a tiled scene (uint16, deflate with predictor 2, blocks of 512), scatters clustered units on it, and cuts
squares of three sizes around each: in a loop, one boundless window with its mask per unit and size, in the
units' order; and with ``chips(...)`` in its reading order. The limit is reading each distinct block once. Pixels
are compared on a sample before the figures are printed. The last line is ``name=value`` pairs.

    python benchmarks/chips.py --quick
    python benchmarks/chips.py --memory
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from tqdm import tqdm

import eocausal as ec

WEST, NORTH, PIXEL_M, BLOCK, BANDS = 600_000, 200_000, 10, 512, 4
SIDES_PX = (64, 32, 16)
# Name, whether windows may reach beyond the scene, whether only some units, and the cache if not 5% of memory.
LOOPS = (
    ("loop*", True, True, None),
    ("clipped", False, False, None),
    ("clipped, 64 MB cache*", False, True, 64),
)


def write_scene(file: Path, side_px: int) -> None:
    """Write a scene like a satellite's: smooth ground with noise, a corner without data."""
    rng = np.random.default_rng(0)
    place = from_origin(WEST, NORTH, PIXEL_M, PIXEL_M)
    shape = {"width": side_px, "height": side_px, "count": BANDS, "dtype": "uint16", "nodata": 0}
    tiled = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel"}
    packed = {"compress": "deflate", "predictor": 2, "zlevel": 1, "num_threads": "all_cpus"}
    with rasterio.open(
        file, "w", driver="GTiff", crs="EPSG:32636", transform=place, **shape, **tiled, **packed
    ) as out:
        column = np.arange(side_px)
        for top in range(0, side_px, BLOCK):
            row = np.arange(top, min(top + BLOCK, side_px))[:, None]
            ground = 2000 + 900 * np.sin(row / 150) * np.cos(column / 210)
            noise = rng.integers(0, 250, size=(BANDS, *ground.shape), dtype=np.uint16)
            pixels = (ground * np.arange(1, BANDS + 1)[:, None, None] / 2).astype(np.uint16) + noise
            pixels[:, row + column < side_px // 4] = 0
            out.write(pixels, window=Window(0, top, side_px, len(row)))


def clustered_units(count: int, side_px: int) -> tuple[ec.Units, np.ndarray]:
    """Return units in random order around random towns, and their continuous row and column."""
    rng = np.random.default_rng(1)
    towns = rng.uniform(0, side_px, size=(max(count // 100, 1), 2))
    spots = towns[rng.integers(len(towns), size=count)] + rng.normal(0, 60, size=(count, 2))
    spots = spots.clip(0, side_px)
    x, y = WEST + PIXEL_M * spots[:, 1], NORTH - PIXEL_M * spots[:, 0]
    table = pd.DataFrame({"unit": np.arange(count), "x": x, "y": y})
    return ec.read_units(table, id="unit", lon="x", lat="y", crs="EPSG:32636"), spots


def first_pixels(spots: np.ndarray, side: int) -> np.ndarray:
    """Return the row and column at which the window whose middle is nearest to each unit begins."""
    return np.floor(spots - side / 2 + 0.5).astype(int)


def loop(file: Path, spots: np.ndarray, *, boundless: bool = True) -> Iterator[list[np.ma.MaskedArray]]:
    """Read one window with its mask per unit and size, in the units' order; beyond the edge if boundless."""
    starts = {side: first_pixels(spots, side).tolist() for side in SIDES_PX}
    with rasterio.open(file) as scene:
        for unit in range(len(spots)):
            yield [
                scene.read(
                    window=Window(starts[side][unit][1], starts[side][unit][0], side, side),
                    boundless=boundless,
                    masked=True,
                )
                for side in SIDES_PX
            ]


def limit(file: Path, spots: np.ndarray, side_px: int) -> int:
    """Read each block that any chip touches once; return how many there are."""
    first = first_pixels(spots, max(SIDES_PX))
    ends = [
        (corner // BLOCK).clip(0, (side_px - 1) // BLOCK) for corner in (first, first + max(SIDES_PX) - 1)
    ]
    blocks = {
        (row, column)
        for (top, left), (bottom, right) in zip(*(end.tolist() for end in ends))
        for row in range(top, bottom + 1)
        for column in range(left, right + 1)
    }
    with rasterio.open(file) as scene:
        for row, column in sorted(blocks):
            wide, high = min(BLOCK, side_px - column * BLOCK), min(BLOCK, side_px - row * BLOCK)
            scene.read(window=Window(column * BLOCK, row * BLOCK, wide, high))
    return len(blocks)


def ours(file: Path, units: ec.Units) -> int:
    """Cut all chips in the reading order, planning included."""
    chips = ec.chips(units, file, size_px=list(SIDES_PX))
    return sum(len(batch) for batch in chips.batches(order="reading"))


def compare(file: Path, units: ec.Units, spots: np.ndarray) -> int:
    """Stop unless pixels and masks of a sample of chips are those of the loop, NaN where masked."""
    sample = np.random.default_rng(2).choice(len(spots), size=200, replace=False)
    chips = ec.chips(units, file, size_px=list(SIDES_PX))
    by_key = {}
    for batch in chips.batches(keys=chips.keys[sample]):
        for row, key in enumerate(batch.keys.tolist()):
            by_key[key] = {block: batch.pixels[block][row, 0] for block in chips.blocks}
    for key, windows in zip(chips.keys[sample].tolist(), loop(file, spots[sample])):
        for block, window in zip(chips.blocks, windows):
            plain = np.where(window.mask.any(axis=0), np.nan, window.data.astype(np.float32))
            if not np.array_equal(plain, by_key[key][block], equal_nan=True):
                raise SystemExit(f"chip {key} of {block} differs from its window")
    return len(sample)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time that a call takes, in all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def race(folder: Path, side_px: int, count: int, looped: int) -> dict[str, float]:
    """Compare the ways on one scene; loops, which cost the same for every unit, on some of the units."""
    file = folder / "scene.tif"
    write_scene(file, side_px)
    units, spots = clustered_units(count, side_px)
    sampled, blocks = compare(file, units, spots), limit(file, spots, side_px)
    spent: dict[str, list[float]] = {"limit": [], "eocausal": []}
    for _ in range(3):
        spent["limit"].append(cpu_seconds(lambda: limit(file, spots, side_px)))
        spent["eocausal"].append(cpu_seconds(lambda: ours(file, units)))
    seconds = {name: float(np.median(times)) for name, times in spent.items()}
    for name, boundless, some, cache_mb in LOOPS:
        some = looped if some else count
        windows = loop(file, spots[:some], boundless=boundless)
        bar = tqdm(windows, total=some, desc=name, unit="unit", disable=None, leave=False)
        with rasterio.Env(**({"GDAL_CACHEMAX": cache_mb * 2**20} if cache_mb else {})):
            seconds[name] = cpu_seconds(lambda bar=bar: sum(1 for _ in bar)) * count / some
    size = file.stat().st_size / 2**20
    print(f"scene {side_px:,} x {side_px:,} x {BANDS} ({size:,.0f} MiB), {count:,} units, sides {SIDES_PX}")
    print(f"  {blocks} blocks touched; pixels of {sampled} units are the same both ways")
    print(f"  loops with a * run over {looped:,} units and are scaled to all")
    for name, taken in seconds.items():
        print(f"  {name:22s} {taken:7.2f} CPU-s {count / taken:9,.0f} units a CPU-s")
    return {
        "speedup_vs_clipped": seconds["clipped"] / seconds["eocausal"],
        "speedup_vs_clipped_64mb": seconds["clipped, 64 MB cache*"] / seconds["eocausal"],
        "speedup_vs_loop": seconds["loop*"] / seconds["eocausal"],
        "time_vs_limit": seconds["eocausal"] / seconds["limit"],
    }


def peaks(file: Path, side_px: int, count: int) -> tuple[int, int]:
    """Return the peak memory of a fresh process that cuts so many chips: before it reads, and at its end."""
    call = [sys.executable, __file__, "--iterate", str(file), str(side_px), str(count)]
    planned, read = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-2:]
    return int(planned), int(read)


def memory(folder: Path, side_px: int) -> dict[str, float]:
    """Return the peaks for a hundred thousand and a million units, and what reading adds to each."""
    file = folder / "scene.tif"
    write_scene(file, side_px)
    found = {power: peaks(file, side_px, 10**power) for power in (5, 6)}
    for power, (planned, read) in found.items():
        print(f"  1e{power} units: {planned} MiB with units and plan, {read} MiB after reading")
    return {
        **{f"reading_mib_1e{power}": read - planned for power, (planned, read) in found.items()},
        **{f"peak_mib_1e{power}": read for power, (_, read) in found.items()},
    }


def peak_mib() -> int:
    """Return the peak memory of this process; where the system tells, without what its parent had at the start."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def iterate(file: Path, side_px: int, count: int) -> None:
    """Cut a small chip around each of so many units and print peak memory: with units and plan, and at the end."""
    chips = ec.chips(clustered_units(count, side_px)[0], file, size_px=8)
    planned = peak_mib()
    with tqdm(total=count, unit="chip", disable=None) as bar:
        for batch in chips.batches(size=512, order="reading"):
            bar.update(len(batch))
    print(planned, peak_mib())


def main() -> None:
    """Print what was measured, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the scene, under 50 s")
    parser.add_argument("--memory", action="store_true", help="peak memory for 1e5 and 1e6 units instead")
    parser.add_argument("--iterate", nargs=3, metavar=("FILE", "SIDE", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.iterate:
        iterate(Path(options.iterate[0]), int(options.iterate[1]), int(options.iterate[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        if options.memory:
            figures = memory(Path(name), 5_490)
        elif options.quick:
            figures = race(Path(name), 5_490, 5_000, looped=1_000)
        else:
            figures = race(Path(name), 10_980, 20_000, looped=4_000)
    print(" ".join(f"{name}={value:.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
