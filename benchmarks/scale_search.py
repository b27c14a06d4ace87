"""Time of a search over scales and all their pairs against one fit of econml's default causal forest.

A made-up trial with a known propensity and pictures of eight sizes, of 64 features each: eight single scales and
36 pairs, those of a scale with itself among them, each learned on four growing training sets and judged. The other
side is one ``CausalForestDML()`` as it comes, on the same units, with the components of one pair as its columns
(``econml``) and, in the full form, with the 128 features of that pair (``econml_wide``). Time of the processor. The
last line is ``name=value`` pairs: time of the search over that of the one fit, so that below 8 is within the bound;
``control`` adds the control arm, as many sets again as there are pairs.

    python benchmarks/scale_search.py --quick
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import eocausal as ec

WIDTH = 64
COMPONENTS = 10


def trial(n: int, scales: int, *, seed: int = 1) -> tuple[ec.Design, dict[str, ec.Embeddings]]:
    """Return a trial whose effects lie in two of the scales, and features of all of them."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, scales))
    frame = pd.DataFrame({"place": np.arange(n), "grant": rng.integers(0, 2, n)})
    effect = 0.6 * signal[:, 0] + 0.6 * signal[:, -1]
    frame["income"] = frame["grant"] * effect + rng.normal(size=n)
    found = {}
    for scale in range(scales):
        hidden = np.column_stack([signal[:, scale], rng.normal(size=(n, 7))])
        values = hidden @ rng.normal(size=(8, WIDTH)) + rng.normal(size=(n, WIDTH))
        columns = pd.DataFrame(values, columns=[f"f{k}" for k in range(WIDTH)])
        found[f"{240 * 2**scale} m"] = ec.read_embeddings(frame[["place"]].join(columns), key="place")
    design = ec.Design(frame, outcome="income", treatment="grant", propensity=0.5)
    return design, found


def searched(design: ec.Design, scales: dict[str, ec.Embeddings], *, control: bool) -> tuple[float, object]:
    """Return seconds of a whole search, and what it found."""
    began = time.process_time()
    found = ec.scale_search(design, scales, control=control)
    return time.process_time() - began, found


def econml(design: ec.Design, columns: np.ndarray) -> float:
    """Return seconds of one fit."""
    from econml.dml import CausalForestDML

    table = design.table
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CausalForestDML(random_state=1).fit(table.outcome, table.treatment, X=columns)
    return time.process_time() - began


def main() -> None:
    """Print times, and their ratios on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="1,000 units, without control arm and wide columns"
    )
    asked = parser.parse_args()
    warm, few = trial(120, 2)
    ec.scale_search(warm, few, control=False, learner=ec.Forest(engine="fast", trees=4))
    design, scales = trial(1_000 if asked.quick else 2_000, 8)
    spent, found = searched(design, scales, control=False)
    print(f"{found!r}\nsearch   {spent:7.1f} s", flush=True)
    pair = np.column_stack(
        [scales[name].values.astype(float) for name in (next(iter(scales)), next(reversed(scales)))]
    )
    centred = (pair - pair.mean(axis=0)) / pair.std(axis=0)
    components = np.column_stack(
        [
            np.linalg.svd(half, full_matrices=False)[0][:, :COMPONENTS]
            for half in (centred[:, :WIDTH], centred[:, WIDTH:])
        ]
    )
    one = econml(design, components)
    print(f"econml   {one:7.1f} s", flush=True)
    figures = {"grid_vs_econml": spent / one}
    if not asked.quick:
        with_control, _ = searched(design, scales, control=True)
        wide = econml(design, pair)
        print(f"control  {with_control:7.1f} s\neconml_wide {wide:4.1f} s", flush=True)
        figures = {"control_vs_econml": with_control / one, "grid_vs_econml_wide": spent / wide, **figures}
    print(" ".join(f"{name}={value:.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
