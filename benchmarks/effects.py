"""Time and memory of AIPW against econml and DoubleML with the same learners, and of Conley's sum against a matrix.

AIPW in five folds with every feature as it is: ridge for the outcome and penalised logit for the treatment, their
penalties chosen by four-fold cross-validation. Each contender runs in a process of its own, on one thread, on the
same units and folds. All have run once on a few units before the clock starts, and estimates are compared before
figures are printed. Times are of the processor. The last line is ``name=value`` pairs; ratios are our time over
theirs, so that below 1 is faster.

    python benchmarks/effects.py --quick
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ESTIMATORS = {"ours": "eocausal", "econml": "econml", "doubleml": "doubleml"}
# Estimates farther apart than this share of their standard error are not of the same thing. econml has one outcome
# regression for both arms, so that its estimate is a little different.
MOST_APART = {"ours": 0.0, "econml": 0.5, "doubleml": 0.02}
FOLDS, INNER_SPLITS, CUTOFF_M = 5, 4, 50_000.0
# Bytes that a matrix of all pairs may take, by mode.
DENSE_BYTES = {"quick": 2**30, "full": 8 * 2**30}


def study(n: int, width: int) -> dict[str, np.ndarray]:
    """Return units with features like those of images, a few directions that matter and noise, and their folds.

    The effect is the same for all, so that econml's one regression for both arms fits as well as two.
    """
    import eocausal as ec

    rng = np.random.default_rng(0)
    behind = rng.normal(size=(n, 20)).astype(np.float32)
    features = behind @ rng.normal(size=(20, width)).astype(np.float32) / np.sqrt(20)
    features += rng.standard_normal((n, width), dtype=np.float32)
    chance = 1 / (1 + np.exp(-behind[:, 0] + 0.5 * behind[:, 1]))
    treatment = (rng.uniform(size=n) < chance).astype(int)
    outcome = behind[:, :3].sum(axis=1) + treatment + rng.normal(size=n)
    table = pd.DataFrame({"outcome": outcome, "treatment": treatment})
    folds = ec.Folds(k=FOLDS).assign(ec.Design(table, outcome="outcome", treatment="treatment"), seed=0)
    return {"features": features, "treatment": treatment, "outcome": outcome, "folds": folds}


def towns(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return influence values (n, 1) and places (n, 2) around towns of a large country."""
    rng = np.random.default_rng(1)
    centres = rng.uniform((30, -5), (42, 7), size=(300, 2))
    return rng.normal(size=(n, 1)), centres[rng.integers(0, 300, size=n)] + rng.normal(scale=0.1, size=(n, 2))


def learners() -> tuple[Any, Any]:
    """Return what the default learners are, in scikit-learn."""
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from eocausal.nuisance.models import LOGIT_INVERSE_PENALTIES, RIDGE_PENALTIES

    logit = LogisticRegressionCV(
        Cs=LOGIT_INVERSE_PENALTIES,
        cv=INNER_SPLITS,
        solver="newton-cholesky",
        scoring="neg_log_loss",
        max_iter=1000,
    )
    ridge = RidgeCV(RIDGE_PENALTIES, cv=INNER_SPLITS)
    return make_pipeline(StandardScaler(), ridge), make_pipeline(StandardScaler(), logit)


def prepared_ours(data: dict[str, np.ndarray]) -> Callable[[], tuple[float, float]]:
    """Return a call from a table of units and their features to an estimate."""
    import eocausal as ec

    ids = np.arange(len(data["outcome"]))
    table = pd.DataFrame(
        {"outcome": data["outcome"], "treatment": data["treatment"]}, index=pd.Index(ids, name="id")
    )
    frame = pd.DataFrame(data["features"], columns=[f"f{k}" for k in range(data["features"].shape[1])])
    features = ec.read_embeddings(frame.assign(id=ids), key="id")

    def run() -> tuple[float, float]:
        design = ec.Design(table, outcome="outcome", treatment="treatment", features=features)
        found = ec.ate(design, learners=ec.Learners(pca=None), folds=ec.Folds(k=FOLDS)).to_frame()
        return float(found["estimate"].iloc[0]), float(found["std_error"].iloc[0])

    return run


def prepared_econml(data: dict[str, np.ndarray]) -> Callable[[], tuple[float, float]]:
    """Return econml's doubly robust learner with a constant effect, features as controls."""
    from econml.dr import LinearDRLearner

    outcome, propensity = learners()
    splits = [(np.flatnonzero(data["folds"] != k), np.flatnonzero(data["folds"] == k)) for k in range(FOLDS)]

    def run() -> tuple[float, float]:
        model = LinearDRLearner(
            model_propensity=propensity, model_regression=outcome, cv=splits, min_propensity=1e-6
        )
        model.fit(data["outcome"], data["treatment"], X=None, W=data["features"])
        return float(model.intercept_(T=1)), float(model.intercept__inference(T=1).stderr)

    return run


def prepared_doubleml(data: dict[str, np.ndarray]) -> Callable[[], tuple[float, float]]:
    """Return DoubleML's interactive regression model."""
    import doubleml

    outcome, propensity = learners()
    splits = [(np.flatnonzero(data["folds"] != k), np.flatnonzero(data["folds"] == k)) for k in range(FOLDS)]

    def run() -> tuple[float, float]:
        backend = doubleml.DoubleMLData.from_arrays(data["features"], data["outcome"], data["treatment"])
        model = doubleml.DoubleMLIRM(
            backend, ml_g=outcome, ml_m=propensity, n_folds=FOLDS, draw_sample_splitting=False
        )
        model.set_sample_splitting(splits)
        model.fit()
        return float(model.coef[0]), float(model.se[0])

    return run


def prepared_conley(n: int) -> Callable[[], tuple[float, float]]:
    """Return our sum over pairs of units within the cutoff."""
    from eocausal.inference.spatial import kernel_sum

    values, places = towns(n)
    return lambda: (kernel_sum(values, places, cutoff_m=CUTOFF_M).item(), 1.0)


def prepared_dense(n: int) -> Callable[[], tuple[float, float]]:
    """Return the same sum by a matrix of all pairs."""
    from eocausal.inference.spatial import EARTH_RADIUS_M

    values, places = towns(n)

    def run() -> tuple[float, float]:
        lon, lat = np.radians(places).T
        points = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        near = points @ points.T >= math.cos(CUTOFF_M / EARTH_RADIUS_M)
        return float((values.T @ (near @ values)).item()), 1.0

    return run


PREPARED = {"ours": prepared_ours, "econml": prepared_econml, "doubleml": prepared_doubleml}
PREPARED_PAIRS = {"conley": prepared_conley, "dense": prepared_dense}


def measure(name: str, size: str) -> dict[str, float]:
    """Run one contender in this process: a few units first, then all of them against the clock."""
    warnings.simplefilter("ignore")
    if name in PREPARED:
        with np.load(size) as stored:
            data = {key: stored[key] for key in stored.files}
        PREPARED[name]({key: array[:2000] for key, array in data.items()})()
        run = PREPARED[name](data)
    else:
        PREPARED_PAIRS[name](1000)()
        run = PREPARED_PAIRS[name](int(size))
    before = _resident_mib()
    start = time.process_time()
    estimate, std_error = run()
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"estimate": estimate, "std_error": std_error, "seconds": spent, "mib": max(peak - before, 0.0)}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def in_its_own_process(name: str, size: str) -> dict[str, float]:
    """Return what :func:`measure` finds in a fresh process on one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, "--measure", name, size],
        env={**os.environ, **threads},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def race(n: int, width: int, rounds: int) -> dict[str, float]:
    """Print time and memory of each way to AIPW; return ratios."""
    print(f"AIPW, {FOLDS} folds, {n:,} units x {width} features, one thread, processor time")
    there = [name for name, package in ESTIMATORS.items() if importlib.util.find_spec(package)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "study.npz")
        np.savez(path, **study(n, width))
        runs = [{name: in_its_own_process(name, path) for name in there} for _ in range(rounds)]
    ours = runs[0]["ours"]
    figures = {"aipw_vs_econml": math.nan, "aipw_vs_doubleml": math.nan}
    seconds = {name: float(np.median([one[name]["seconds"] for one in runs])) for name in there}
    for name in ESTIMATORS:
        if name not in there:
            print(f"  {name:10s} is not installed: python -m pip install -c constraints.txt -e '.[bench]'")
            continue
        found = runs[0][name]
        apart = abs(found["estimate"] - ours["estimate"]) / ours["std_error"]
        print(
            f"  {name:10s} {seconds[name]:8.2f} s  {found['mib']:7.0f} MiB more  estimate {found['estimate']:.4f} "
            f"({found['std_error']:.4f}), {apart:.3f} standard errors from ours"
        )
        if apart > MOST_APART[name] or abs(found["std_error"] / ours["std_error"] - 1) > 0.1:
            raise SystemExit(f"{name} and eocausal do not estimate the same")
        if name != "ours":
            figures[f"aipw_vs_{name}"] = round(seconds["ours"] / seconds[name], 3)
    mib = {f"aipw_mib_{name}": round(max(one[name]["mib"] for one in runs)) for name in there}
    return {**figures, **{f"aipw_s_{name}": round(value, 2) for name, value in seconds.items()}, **mib}


def pairs(most_bytes: int, n_large: int) -> dict[str, float]:
    """Print time and memory of Conley's sum as we do it and by a matrix; return figures."""
    # eight bytes a pair for the distance, then one for whether it is near and eight while that is multiplied
    n = int(math.sqrt(most_bytes / 9) // 1000 * 1000)
    print(
        f"Conley, within {CUTOFF_M / 1000:.0f} km, uniform: largest matrix within {most_bytes / 2**30:.0f} GiB"
    )
    contenders = (("dense", n), ("conley", n), ("conley", n_large))
    dense, ours, large = found = [in_its_own_process(name, str(size)) for name, size in contenders]
    for (name, size), one in zip(contenders, found):
        print(f"  {name:10s} {size:8,} units {one['seconds']:8.2f} s  {one['mib']:7.0f} MiB more")
    if abs(ours["estimate"] / dense["estimate"] - 1) > 1e-9:
        raise SystemExit("the two sums over pairs differ")
    return {
        "conley_vs_dense": round(ours["seconds"] / dense["seconds"], 3),
        "conley_dense_units": n,
        "conley_mib_dense": round(dense["mib"]),
        "conley_mib": round(ours["mib"]),
        f"conley_s_{n_large}": round(large["seconds"], 2),
        f"conley_mib_{n_large}": round(large["mib"]),
    }


def main() -> None:
    """Print tables, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "SIZE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(*asked.measure)))
        return
    n, width, rounds = (8_000, 256, 1) if asked.quick else (100_000, 256, 2)
    figures = race(n, width, rounds)
    figures |= pairs(DENSE_BYTES["quick" if asked.quick else "full"], 100_000)
    first = ("aipw_vs_econml", "aipw_vs_doubleml", "conley_vs_dense")
    figures = {**{name: figures[name] for name in first}, **figures}
    print(" ".join(f"{name}={value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
