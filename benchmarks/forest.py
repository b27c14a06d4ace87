"""Effects, intervals and time of the compiled causal forest against econml's, and grf's where R has it.

Simulated trials and observational studies with known effects. All engines get the true expectations of outcome and
treatment, so that only forests are compared, and as many candidate features a cut. One thread each, time of the
processor. ``r2`` is of the true effects of 2,000 fresh units, ``coverage`` of their 95% intervals. The last line is
``name=value`` pairs; ratios are their time a tree over ours, so that above 1 is faster.

    python benchmarks/forest.py --quick
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

QUICK = [("iid", "rct", 2_000, 20), ("embed", "rct", 2_000, 100)]
FULL = [
    (kind, study, n, p)
    for n in (2_000, 10_000)
    for p in (20, 100)
    for kind in ("iid", "embed")
    for study in ("rct", "observational")
]
FRESH = 2_000
Units = dict[str, np.ndarray]
# effects farther apart in R2 than this are not of the same method
MOST_APART = 0.02

R_SCRIPT = """
args <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(grf))
read <- function(name, width) {
  path <- file.path(args[1], name)
  values <- readBin(path, "double", n = file.size(path) / 8)
  if (width == 1) values else matrix(values, ncol = width, byrow = TRUE)
}
width <- as.integer(args[2]); trees <- as.integer(args[3]); mtry <- as.integer(args[4])
began <- proc.time()
forest <- causal_forest(read("columns", width), read("outcome", 1), read("treatment", 1),
  Y.hat = read("expected", 1), W.hat = read("propensity", 1), num.trees = trees, mtry = mtry,
  num.threads = 1, seed = 1, compute.oob.predictions = FALSE)
spent <- sum((proc.time() - began)[1:2])
found <- predict(forest, read("fresh", width), estimate.variance = TRUE, num.threads = 1)
writeBin(c(spent, found$predictions, sqrt(found$variance.estimates)), file.path(args[1], "found"))
"""


def study(kind: str, assigned: str, n: int, p: int, *, seed: int) -> dict[str, np.ndarray]:
    """Return units whose effects depend on the first two of four signals, in columns or behind all of them."""
    rng = np.random.default_rng(seed)
    if kind == "iid":
        columns = rng.normal(size=(n, p))
        signal = columns[:, :4]
    else:
        mixing = np.random.default_rng(77).normal(size=(10, p)) / np.sqrt(10)
        behind = rng.normal(size=(n, 10))
        signal, columns = behind[:, :4], behind @ mixing + 0.5 * rng.normal(size=(n, p))
    effect = 0.5 + 0.6 * signal[:, 0] + 0.6 * np.maximum(signal[:, 1], 0)
    base = np.maximum(signal[:, 2], 0) + 0.5 * signal[:, 3] + 0.3 * signal[:, 0] * signal[:, 1]
    propensity = np.full(n, 0.5)
    if assigned == "observational":
        propensity = np.clip(1 / (1 + np.exp(-0.8 * signal[:, 0] - 0.8 * signal[:, 2])), 0.05, 0.95)
    treatment = (rng.uniform(size=n) < propensity).astype(float)
    outcome = base + treatment * effect + rng.normal(size=n)
    return {
        "columns": columns, "effect": effect, "expected": base + propensity * effect, "propensity": propensity,
        "treatment": treatment, "outcome": outcome,
    }  # fmt: skip


def ours(units: Units, fresh: np.ndarray, trees: int, candidates: int) -> tuple:
    """Return seconds, effects and standard errors of the compiled forest."""
    from eocausal.forests.causal_trees import TreeRules, grow_causal_trees

    began = time.process_time()
    forest = grow_causal_trees(
        units["columns"],
        units["outcome"] - units["expected"],
        units["treatment"] - units["propensity"],
        rules=TreeRules(trees=trees, candidates=candidates, threads=1),
    )
    spent = time.process_time() - began
    return spent, *forest.predict(fresh)


def econml(units: Units, fresh: np.ndarray, trees: int, candidates: int) -> tuple:
    """Return the same of econml's forest."""
    from econml.grf import CausalForest

    forest = CausalForest(n_estimators=trees, max_features=candidates, n_jobs=1, random_state=1)
    began = time.process_time()
    residuals = units["treatment"] - units["propensity"], units["outcome"] - units["expected"]
    forest.fit(units["columns"], *residuals)
    spent = time.process_time() - began
    effect, variance = forest.predict_and_var(fresh)
    return spent, effect[:, 0], np.sqrt(np.maximum(variance[:, 0, 0], 0))


def grf(units: Units, fresh: np.ndarray, trees: int, candidates: int) -> tuple | None:
    """Return the same of grf, or nothing where R does not have it."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, values in {**units, "fresh": fresh}.items():
            np.ascontiguousarray(values, float).tofile(Path(folder, name))
        script = Path(folder, "forest.R")
        script.write_text(R_SCRIPT, encoding="utf-8")
        asked = ["Rscript", str(script), folder, str(fresh.shape[1]), str(trees), str(candidates)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"grf: {done.stderr.strip().splitlines()[-1:]}")
            return None
        found = np.fromfile(Path(folder, "found"))
    return found[0], found[1 : 1 + len(fresh)], found[1 + len(fresh) :]


ENGINES = {"ours": ours, "econml": econml, "grf": grf}


def main() -> None:
    """Print a row for each case and engine, and all ratios on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two small cases")
    parser.add_argument("--trees", type=int, default=None)
    parser.add_argument("--all", action="store_true", help="all features are candidates, not sqrt(p) + 20")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    trees = asked.trees or (200 if asked.quick else 400)
    warm = study("iid", "rct", 400, 5, seed=0)
    ours(warm, warm["columns"], 4, 5)
    ratios: dict[str, list[float]] = {"econml": [], "grf": []}
    worst = -np.inf
    for kind, assigned, n, p in QUICK if asked.quick else FULL:
        units, fresh = (
            study(kind, assigned, n, p, seed=asked.seed),
            study(kind, assigned, FRESH, p, seed=asked.seed + 1000),
        )
        candidates = p if asked.all else min(p, int(np.ceil(np.sqrt(p) + 20)))
        spent, r2 = {}, {}
        for name, engine in ENGINES.items():
            found = engine(units, fresh["columns"], trees, candidates)
            if found is None:
                continue
            spent[name] = 1000 * found[0] / trees
            r2[name] = 1 - np.mean((found[1] - fresh["effect"]) ** 2) / np.var(fresh["effect"])
            coverage = np.mean(np.abs(found[1] - fresh["effect"]) < 1.96 * found[2])
            case = f"{kind:5} {assigned:13} {n:6} x {p:3} ({candidates})"
            print(
                f"{case} {name:6} {spent[name]:8.2f} ms a tree  r2 {r2[name]:.3f}  coverage {coverage:.3f}",
                flush=True,
            )
        for name, values in ratios.items():
            if name in spent:
                values.append(spent[name] / spent["ours"])
        worst = max(worst, max(r2.values()) - r2["ours"])
    print(
        f"largest R2 of another engine above ours: {worst:.3f}"
        + (" (too much)" if worst > MOST_APART else "")
    )
    figures = {name: min(values) if values else float("nan") for name, values in ratios.items()}
    print(f"fast_vs_econml={figures['econml']:.2f} fast_vs_grf={figures['grf']:.2f} r2_behind={worst:.3f}")


if __name__ == "__main__":
    main()
