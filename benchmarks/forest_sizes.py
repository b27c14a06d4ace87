"""Time a tree and memory of the compiled causal forest, econml's and grf's, by numbers of units and of features.

Simulated trials, each engine in a process of its own, on one thread. Few trees at large sizes: what this says of
time and memory, ``forest.py`` says of effects. Candidates at each cut are sqrt(p) + 20, grf's default, or all,
econml's. Memory is by how much the peak of the process rises while the forest is grown, over that of the columns in
bins (one byte each). The last line is ``name=value`` pairs, the least of each ratio over all sizes.

    python benchmarks/forest_sizes.py --quick
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from forest import econml, grf, ours, study

SIZES = [(n, p) for n in (2_000, 10_000, 50_000) for p in (20, 100, 768)]
ENGINES = {"ours": ours, "econml": econml, "grf": grf}
# trees times units times candidates that take some seconds
WORK = {"ours": 2e8, "econml": 1.2e7, "grf": 3e7}
MOST_TREES = 400


def few(p: int) -> int:
    """Return how many candidates grf takes at a cut."""
    return min(p, int(np.ceil(np.sqrt(p) + 20)))


def held_kib() -> int:
    """Return how much memory the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def grow(name: str, n: int, p: int, candidates: int, trees: int) -> None:
    """Grow one forest; print milliseconds a tree, and the bytes that it adds to the peak over those of the bins."""
    warm = study("iid", "rct", 400, 5, seed=0)
    if name != "grf":
        ENGINES[name](warm, warm["columns"][:5], 4, 5)
    units, fresh = study("iid", "rct", n, p, seed=1), study("iid", "rct", 50, p, seed=2)["columns"]
    # what was freed before is filled again, so that nothing is taken unseen
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = np.ones(max(0, peak - held_kib()) * 128)
    found = ENGINES[name](units, fresh, trees, candidates)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    kept[:] = 0
    print(np.nan if found is None else 1000 * found[0] / trees, added * 1024 / (n * p))


def measured(name: str, n: int, p: int, candidates: int) -> tuple[float, float]:
    """Return what one engine needs, from a process of its own."""
    trees = int(min(MOST_TREES, max(4, WORK[name] / n / candidates))) // 4 * 4
    asked = [sys.executable, __file__, "--one", name, *map(str, (n, p, candidates, trees))]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1:])
        return np.nan, np.nan
    time, memory = done.stdout.split()[-2:]
    return float(time), float(memory)


def main() -> None:
    """Print a row for each size and engine, and the least ratios on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smallest size alone")
    parser.add_argument("--most", type=int, default=50_000, help="no more units than this")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        grow(asked.one[0], *map(int, asked.one[1:]))
        return
    ratios: dict[str, list[float]] = {"econml": [], "grf": [], "econml_all": []}
    largest = 0.0
    for n, p in SIZES[:1] if asked.quick else [size for size in SIZES if size[0] <= asked.most]:
        for candidates in sorted({few(p), p}):
            found = {
                name: measured(name, n, p, candidates)
                for name in ENGINES
                if name != "grf" or candidates == few(p)
            }
            for name, (time, memory) in found.items():
                print(
                    f"{n:6} x {p:3} ({candidates:3}) {name:6} {time:9.2f} ms a tree  memory {memory:5.1f}",
                    flush=True,
                )
            largest = max(largest, found["ours"][1])
            for name, values in ratios.items():
                engine = name.removesuffix("_all")
                if engine in found and candidates == (few(p) if name == engine else p):
                    values.append(found[engine][0] / found["ours"][0])
    least = {f"fast_vs_{name}": f"{min(values):.2f}" for name, values in ratios.items() if values}
    print(" ".join(f"{name}={value}" for name, value in least.items()), f"memory_over_bins={largest:.1f}")


if __name__ == "__main__":
    main()
