"""Time of the scores of a million predictions against the path of their authors, and against two NumPy calls.

Timed is the score of the density of predictions with its values at all of them; from it Tweedie's correction is one
subtraction. The authors' path is scipy's `gaussian_kde`, evaluated a little above and below every prediction: it is
quadratic, so it is timed on fewer and carried to a million by the square of their number, and both are printed.
The other yardstick is `numpy.histogram` in 120 bins with one `numpy.interp` over the same array. Before figures are
printed, the kernel score is compared with the authors' at their bandwidth. Times are of the processor, one thread;
the last line is ``name=value`` pairs. What `ppi_ols_speedup` means stands in ppi_ols.py.

    python benchmarks/debias.py --quick
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from ppi_ols import ppi_ols_speedup

from eocausal.debiasing.density_score import fit_density_score

MILLION = 1_000_000
PEER_ROWS = {"quick": 5_000, "full": 20_000}
# a step of the authors' differences, as a share of the standard deviation
STEP = 1e-3
MOST_APART = 2e-3


def predictions(n: int) -> np.ndarray:
    """Return draws of the authors' mixture of four normals."""
    rng = np.random.default_rng(0)
    part = rng.choice(4, n, p=[0.64, 0.16, 0.16, 0.04])
    return rng.normal(np.array([5, 7.2, 13, 14.2])[part], np.array([1, 2, 4, 5.0])[part])


def ours(values: np.ndarray, **how: object) -> np.ndarray:
    """Return the scores of all predictions."""
    return fit_density_score(values, **how).at(values)


def authors(values: np.ndarray) -> np.ndarray:
    """Return them as the authors do: central differences of the logarithm of scipy's kernel density."""
    from scipy.stats import gaussian_kde

    density, step = gaussian_kde(values), STEP * values.std()
    return (np.log(density(values + step)) - np.log(density(values - step))) / (2 * step)


def two_calls(values: np.ndarray) -> np.ndarray:
    """Return a histogram read at every value."""
    counts, edges = np.histogram(values, 120)
    return np.interp(values, (edges[1:] + edges[:-1]) / 2, counts)


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the median of processor seconds."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def require_same(values: np.ndarray) -> None:
    """Stop where the kernel score is not the authors' at the same bandwidth."""
    width = values.std(ddof=1) * values.size**-0.2
    found = fit_density_score(values, kind="kde", bandwidth=float(width))
    inside = found.inside(values)
    apart = np.abs(found.at(values) - authors(values))[inside].max()
    print(
        f"largest difference from the authors' score at their bandwidth, {inside.mean():.1%} of rows: {apart:.1e}"
    )
    if apart > MOST_APART:
        raise SystemExit("the scores do not agree")


def copies_needed(n: int) -> float:
    """Return the peak of what is allocated by fit and scores, over the size of the predictions."""
    values = predictions(n)
    tracemalloc.start()
    ours(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / values.nbytes


def race(*, quick: bool) -> dict[str, float]:
    """Print seconds of each way, and return the ratios."""
    rounds = 5 if quick else 15
    values = predictions(MILLION)
    ours(values[:1000])  # compiles
    ours(values[:1000].astype(np.float32), kind="kde")
    require_same(values[:2000])
    n_peer = PEER_ROWS["quick" if quick else "full"]
    peer = seconds(lambda: authors(values[:n_peer]), 1 if not quick else 2)
    carried = peer * (MILLION / n_peer) ** 2
    # in turn, so that what else the machine does falls on both
    pairs = [(seconds(lambda: ours(values), 1), seconds(lambda: two_calls(values), 1)) for _ in range(rounds)]
    own, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    kernel = seconds(lambda: ours(values, kind="kde"), rounds)
    single = seconds(lambda: ours(values.astype(np.float32)), rounds)
    print(f"{MILLION:,} predictions, fit and scores at all of them, one thread, processor time")
    print(f"  eocausal, Lindsey        {own:10.4f} s   kernel {kernel:.4f} s   float32 {single:.4f} s")
    print(f"  histogram and interp     {plain:10.4f} s")
    print(f"  gaussian_kde, {n_peer:6,} rows {peer:9.2f} s   carried to {MILLION:,}: {carried:,.0f} s")
    return {"score_vs_kde": round(carried / own), "pass_ratio": round(own / plain, 3)}


def main() -> None:
    """Print tables, then the figures on one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    quick = parser.parse_args().quick
    figures = race(quick=quick)
    copies = copies_needed(10 * MILLION)
    print(f"  peak at {10 * MILLION:,} predictions: {copies:.2f} times their array")
    figures["peak_copies"] = round(copies, 2)
    figures["ppi_ols_speedup"] = ppi_ols_speedup(quick)
    print(" ".join(f"{name}={value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
