"""Time of prediction-powered least squares against ppi_py, on the same units and with the same coefficients.

Both choose lambda by themselves and give coefficients with intervals; ours reads and checks a table first and gives
the regressions of predictions alone and of labels alone as well. What ppi_py compiles is compiled before the clock
starts. Coefficients at one lambda are compared before figures are printed. Times are of the processor, one thread.
`benchmarks/debias.py` prints the ratio too: theirs over ours, so that above 1 is faster.

    python benchmarks/ppi_ols.py --quick
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

COVARIATES = [f"x{number}" for number in range(1, 5)]
UNITS = {"quick": 200_000, "full": 1_000_000}
N_LABELLED = 2_000
INSTALL = "is not installed: python -m pip install ppi-python==0.2.3"


def study(n: int) -> pd.DataFrame:
    """Return units with predictions, covariates and a truth that the first of them have."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(n, len(COVARIATES)))
    truth = 1 + columns @ np.linspace(0.5, 2, len(COVARIATES)) + rng.normal(size=n)
    table = pd.DataFrame(columns, columns=COVARIATES)
    table["predicted"] = 0.9 * truth + 0.5 * rng.normal(size=n)
    table["truth"] = np.where(np.arange(n) < N_LABELLED, truth, np.nan)
    return table


def ours(table: pd.DataFrame, method: str | float = "ppi++") -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and 90% intervals from the table."""
    import eocausal as ec

    found = ec.ppi_regression(
        table, prediction="predicted", truth="truth", covariates=COVARIATES, method=method
    )
    return found.estimate, found.ci(0.9)


def theirs(table: pd.DataFrame, lam: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and 90% intervals of ppi_py."""
    from ppi_py import ppi_ols_ci, ppi_ols_pointestimate

    columns = np.column_stack([np.ones(len(table)), table[COVARIATES].to_numpy()])
    truth, predicted = table["truth"].to_numpy()[:N_LABELLED], table["predicted"].to_numpy()
    parts = (
        columns[:N_LABELLED], truth, predicted[:N_LABELLED], columns[N_LABELLED:], predicted[N_LABELLED:],
    )  # fmt: skip
    low, high = ppi_ols_ci(*parts, lam=lam, alpha=0.1)
    point = (low + high) / 2 if lam is None else ppi_ols_pointestimate(*parts, lam=lam)
    return point, np.column_stack([low, high])


def seconds(run: Callable[[pd.DataFrame], object], table: pd.DataFrame, rounds: int) -> float:
    """Return the median processor time of some runs, after one on a few units."""
    run(table.iloc[: 2 * N_LABELLED])
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        run(table)
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def ppi_ols_speedup(quick: bool) -> float:
    """Print both times and return theirs over ours; NaN where ppi_py is not installed."""
    from threadpoolctl import threadpool_limits

    n = UNITS["quick" if quick else "full"]
    print(
        f"prediction-powered least squares, {n:,} units, {N_LABELLED:,} labels, {len(COVARIATES)} covariates"
    )
    table = study(n)
    with threadpool_limits(1):
        own = seconds(ours, table, 5)
        print(f"  eocausal   {own:8.2f} s  from a table to three regressions")
        if importlib.util.find_spec("ppi_py") is None:
            print(f"  ppi_py     {INSTALL}")
            return math.nan
        other = seconds(theirs, table, 1 if quick else 2)
        print(f"  ppi_py     {other:8.2f} s  from arrays to one, after compiling")
        apart = np.abs(ours(table, 0.5)[0] - theirs(table, 0.5)[0]).max()
    if apart > 1e-9:
        raise SystemExit(f"coefficients at lambda 0.5 differ by {apart:.2g}")
    return round(other / own, 2)


def main() -> None:
    """Print both times, then the ratio on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{UNITS['quick']:,} units")
    print(f"ppi_ols_speedup={ppi_ols_speedup(parser.parse_args().quick)}")


if __name__ == "__main__":
    main()
