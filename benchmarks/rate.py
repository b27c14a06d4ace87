"""Time of half-sample standard errors of RATE against grf's own, where R has it, and against NumPy.

Given scores and one ranking, 200 random halves of the units, each with its AUTOC, its QINI and its TOC at ten
shares. The peer in NumPy does as grf does and sorts the units of each draw, but makes both targets of it; grf makes
one target a call. One thread each, time of the processor. Before figures are printed, estimates are compared with
those of the peers, and standard errors within what so many draws leave to chance. The last line is ``name=value``
pairs; ratios are their time over ours, so that above 1 is faster.

    python benchmarks/rate.py --quick
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

DRAWS = 200
GRID = np.arange(1, 11) / 10
# processor seconds of grf 2.6.1 for 200 draws of 100,000 units and one target, as measured on another machine
GRF_SECONDS = (3.1, 4.0)
# standard errors of 200 draws vary by 1 / sqrt(400); four of them, of a difference of two
MOST_APART = 4 * math.sqrt(2 / (2 * DRAWS))

R_SCRIPT = """
args <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(grf))
read <- function(name) {
  path <- file.path(args[1], name)
  readBin(path, "double", n = file.size(path) / 8)
}
clusters <- read("clusters")
given <- if (length(clusters) > 0) as.integer(clusters) else NULL
found <- c()
for (target in c("AUTOC", "QINI")) {
  began <- proc.time()
  made <- rank_average_treatment_effect.fit(read("scores"), read("priority"), target = target, R = 200,
    clusters = given)
  found <- c(found, sum((proc.time() - began)[1:2]), made$estimate, made$std.err)
}
writeBin(found, file.path(args[1], "found"))
"""


def study(n: int, n_clusters: int, levels: int) -> dict[str, np.ndarray]:
    """Return scores, a ranking that finds some of them, with ties or without, and clusters."""
    rng = np.random.default_rng(0)
    priority = rng.normal(size=n)
    scores = 0.2 * priority + rng.normal(size=n)
    if levels:
        priority = np.floor(levels * (np.argsort(np.argsort(priority)) / n))
    clusters = rng.integers(0, n_clusters, size=n) if n_clusters else np.zeros(0)
    return {"scores": scores, "priority": priority, "clusters": clusters.astype(float)}


def ours(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return AUTOC and QINI in grf's form, their standard errors, and seconds for the default form."""
    import eocausal as ec

    def run(integration: str) -> tuple[np.ndarray, np.ndarray, float]:
        clusters = data["clusters"] if data["clusters"].size else None
        began = time.process_time()
        found = ec.rate_from_scores(
            data["scores"], data["priority"], clusters=clusters, integration=integration,
            std_errors="half_sample", replicates=DRAWS, grid=GRID,
        )  # fmt: skip
        spent = time.process_time() - began
        frame = found.to_frame()
        return frame["estimate"].to_numpy(), frame["std_error"].to_numpy(), spent

    estimate, error, _ = run("grf")
    return estimate, error, run("exact")[2]


def by_numpy(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the same by NumPy: the units of each half sorted, ties at the mean of their group, sums over units."""
    began = time.process_time()
    scores, priority = data["scores"], data["priority"]
    n = scores.size
    codes = np.unique(data["clusters"], return_inverse=True)[1] if data["clusters"].size else np.arange(n)
    n_groups = int(codes.max()) + 1
    rng = np.random.default_rng(0)

    def rates(rows: np.ndarray) -> np.ndarray:
        order = rows[np.argsort(-priority[rows], kind="stable")]
        starts = np.flatnonzero(np.r_[True, np.diff(priority[order]) != 0])
        sizes = np.diff(np.r_[starts, order.size])
        mean = np.repeat(np.add.reduceat(scores[order], starts) / sizes, sizes)
        reached = np.arange(1, order.size + 1) / order.size
        gathered = np.cumsum(mean) / order.size
        toc = gathered / reached - gathered[-1]
        np.interp(GRID, reached, gathered)
        return np.array([toc.mean(), (toc * reached).mean()])

    draws = np.empty((DRAWS, 2))
    for draw in range(DRAWS):
        half = np.zeros(n_groups, dtype=bool)
        half[rng.permutation(n_groups)[: n_groups // 2]] = True
        draws[draw] = rates(np.flatnonzero(half[codes]))
    return rates(np.arange(n)), draws.std(axis=0, ddof=1), time.process_time() - began


def by_grf(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return the same by grf and its seconds for one target, or None where R has it not."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, values in data.items():
            values.astype(float).tofile(Path(folder) / name)
        script = Path(folder) / "rate.R"
        script.write_text(R_SCRIPT, encoding="utf-8")
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            ["Rscript", str(script), folder], env=one_thread, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"  grf did not run: {done.stderr.strip().splitlines()[-1]}")
            return None
        found = np.fromfile(Path(folder) / "found").reshape(2, 3)
    return found[:, 1], found[:, 2], float(found[:, 0].mean())


def race(title: str, data: dict[str, np.ndarray], rounds: int) -> dict[str, float]:
    """Print seconds of each way, and return our time and the ratios."""
    n = data["scores"].size
    print(f"{title}: {n:,} units, {DRAWS} draws, one thread, processor time")
    runs = [(ours(data), by_numpy(data)) for _ in range(rounds)]
    grf = by_grf(data)
    (estimate, error, _), peer = runs[0]
    for name, other in (("numpy", peer), ("grf", grf)):
        if other is None:
            continue
        apart = float(np.abs(other[1] / error - 1).max())
        if np.abs(other[0] - estimate).max() > 1e-8 or apart > MOST_APART:
            raise SystemExit(f"{name} and eocausal do not agree")
    seconds = float(np.median([one[0][2] for one in runs]))
    numpy_seconds = float(np.median([one[1][2] for one in runs]))
    shown = "absent" if grf is None else f"{grf[2]:.2f} s a target"
    print(f"  eocausal {seconds:.3f} s (both targets)   numpy {numpy_seconds:.2f} s   grf {shown}")
    return {
        "ours": seconds,
        "rate_vs_grf": math.nan if grf is None else grf[2] / seconds,
        "rate_vs_numpy": numpy_seconds / seconds,
    }


def main() -> None:
    """Print tables, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    asked = parser.parse_args()
    rounds = 1 if asked.quick else 3
    ours(study(2_000, 0, 0))  # compiles
    plain = race("ranked without ties", study(100_000, 0, 0), rounds)
    low, high = (seconds / plain["ours"] for seconds in GRF_SECONDS)
    quoted = f"{GRF_SECONDS[0]}-{GRF_SECONDS[1]} s that grf 2.6.1 took elsewhere"
    print(f"  against the {quoted}: {low:.0f} to {high:.0f}")
    extra = {}
    if not asked.quick:
        tied = race("in 50 groups of ties, 2,000 clusters", study(100_000, 2_000, 50), rounds)
        extra = {f"{name}_ties_clusters": round(tied[name], 1) for name in ("rate_vs_grf", "rate_vs_numpy")}
    million = ours(study(1_000_000, 0, 0))[2]
    print(f"  1,000,000 units: {million:.2f} s")
    figures = {
        **{name: round(plain[name], 1) for name in ("rate_vs_grf", "rate_vs_numpy")},
        "rate_s_100000": round(plain["ours"], 3),
        "rate_s_1000000": round(million, 2),
        **extra,
    }
    print(" ".join(f"{name}={value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
