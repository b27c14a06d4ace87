"""Time of sharp bounds under odds of treatment that may be off, against linear programmes in each draw.

Average effects by weighting with a logit: for each bootstrap draw the logit is fitted anew, and for each of five
factors the extremes of both arms under weights that balance a quantile of the outcome. The plain way fits the logit
of a draw by scikit-learn from nothing and hands each extreme to `linprog` of SciPy (HiGHS), for a draw or three, as
more would take long. Then one linear quantile regression of an arm against the same solver. Bounds of draws and the
loss of the quantile regression are compared before figures are printed. Ratios are the plain way's time over ours,
so that above 1 is faster. One thread; times are of the processor.

    python benchmarks/marginal_sensitivity.py --quick
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

FEATURES, DRAWS = 64, 200
FACTORS = (1.25, 1.5, 2.0, 3.0, 5.0)
SAME = 1e-5


def study(n: int):
    """Return a design whose features tell who was treated, and an estimate by weighting."""
    import eocausal as ec

    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, FEATURES)).astype("float32")
    index = features @ rng.normal(size=FEATURES) * 0.12
    treatment = (rng.uniform(size=n) < 1 / (1 + np.exp(-index))).astype(int)
    outcome = features @ rng.normal(size=FEATURES) * 0.2 + 0.5 * treatment + rng.normal(size=n)
    table = pd.DataFrame({"place": np.arange(n), "aid": treatment, "income": outcome})
    made = pd.DataFrame(features, columns=[f"f{one}" for one in range(FEATURES)]).assign(place=table["place"])
    design = ec.Design(
        table, outcome="income", treatment="aid", features=ec.read_embeddings(made, key="place")
    )
    return ec.ate(design, method="ipw", learners=ec.Learners(propensity="logit", pca=None))


def seconds(call):
    """Return what a call returns and how long the processor took."""
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def plainly(bounds, rows, treatment, counts) -> np.ndarray:
    """Return the bounds (5, 2) of one draw by a logit from nothing and four linear programmes for each factor."""
    from scipy.optimize import linprog
    from sklearn.linear_model import LogisticRegression

    from eocausal.sensitivities.sharp_bounds import levels_of

    used = counts > 0
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, fit_intercept=False)
    model.fit(rows[used], treatment[used], sample_weight=counts[used])
    index = rows @ model.coef_[0]
    found = np.empty((len(FACTORS), 2))
    for place, factor in enumerate(FACTORS):
        ends = np.empty((2, 2))
        for code, arm in enumerate(bounds.arms):
            fixed, moving = arm.weights(counts, index)
            for side, level in enumerate(levels_of(factor)):
                sign = 2 * side - 1
                balanced = np.array([moving, moving * bounds.quantile(code, level)])
                programme = linprog(
                    -sign * moving * arm.outcome, A_eq=balanced, b_eq=balanced.sum(axis=1),
                    bounds=(1 / factor, factor), method="highs",
                )  # fmt: skip
                weights = fixed + programme.x * moving
                ends[code, side] = weights @ arm.outcome / weights.sum()
        found[place] = ends[1, 0] - ends[0, 1], ends[1, 1] - ends[0, 0]
    return found


def race(n: int, peer_draws: int) -> dict[str, float]:
    """Return milliseconds a draw of both ways, all five factors, once they agree."""
    from eocausal.sensitivities.marginal_weighted import weighted
    from eocausal.sensitivities.propensity_draws import drawn

    estimate = study(n)
    table = estimate.origin.entered.table
    factors = np.array(FACTORS)
    asked = {"quantile": "linear", "level": 0.95, "seed": 0, "progress": False}
    made = weighted(estimate, ("sharp",), lambdas=factors, draws=20, **asked)
    for factor in FACTORS:
        made.bounds.at(factor, "sharp")  # the quantiles, which both take as they are
    propensity, codes = made.draws.propensity, made.draws.codes
    draws, refits = seconds(
        lambda: drawn(table.treatment, table.weights, propensity, codes, draws=DRAWS, seed=0)
    )
    found, solved = seconds(lambda: made.bounds.drawn(draws, factors, ("sharp",))[:, :, 0])
    ours = (refits + solved) / DRAWS
    theirs = 0.0
    for draw in range(peer_draws):
        counts = draws.counts[draw][codes].astype(float)
        plain, took = seconds(
            lambda counts=counts: plainly(made.bounds, propensity.rows, table.treatment, counts)
        )
        theirs += took / peer_draws
        if np.abs(plain - found[draw]).max() > SAME:
            raise SystemExit(f"draw {draw}: {plain} by linear programmes, {found[draw]} by eocausal")
    return {"draw_ms": 1000 * ours, "linprog_ms": 1000 * theirs, "draw_vs_linprog": theirs / ours}


def quantile_race(n: int) -> dict[str, float]:
    """Return seconds of one quantile regression of both ways."""
    from scipy.optimize import linprog

    from eocausal.sensitivities.quantile_regression import quantile_coefficients

    rng = np.random.default_rng(1)
    columns = np.column_stack([np.ones(n), rng.normal(size=(n, FEATURES))])
    outcome, weights, level = columns.sum(axis=1) + rng.standard_t(3, size=n), np.ones(n), 0.75
    mine, ours = seconds(lambda: quantile_coefficients(columns, outcome, weights, level))
    plain, theirs = seconds(
        lambda: linprog(
            -outcome, A_eq=columns.T, b_eq=(1 - level) * columns.sum(axis=0), bounds=(0, 1), method="highs"
        )
    )
    losses = [
        float(np.maximum(level * left, (level - 1) * left).sum())
        for left in (outcome - columns @ mine, outcome + columns @ plain.eqlin.marginals)
    ]
    if abs(losses[0] / losses[1] - 1) > SAME:
        raise SystemExit(f"losses of the quantile regression differ: {losses}")
    return {"quantile_ms": 1000 * ours, "quantile_vs_linprog": theirs / ours}


def main() -> None:
    """Read what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    quick = parser.parse_args().quick
    with threadpool_limits(1):
        run(quick)


def run(quick: bool) -> None:
    """Print tables, then the figures on one line."""
    from eocausal.sensitivities.kinds import sensitivity

    sensitivity(study(500), kind="marginal", draws=20, benchmark=[])  # compiles
    n = 4_000 if quick else 20_000
    figures = race(n, 1 if quick else 3)
    print(
        f"{n:,} units x {FEATURES} features, five factors: {figures['draw_ms']:.0f} ms a draw, by linear "
        f"programmes {figures['linprog_ms']:.0f} ms"
    )
    figures |= quantile_race(2_000 if quick else 10_000)
    estimate = study(n)
    for kind, options in (("sharp", {"bounds": "sharp"}), ("both", {"bounds": "both"})):
        began = time.perf_counter()
        _, spent = seconds(
            lambda options=options: sensitivity(
                estimate, kind="marginal", draws=DRAWS, benchmark=[], **options
            )
        )
        clock = time.perf_counter() - began
        print(
            f"{kind}: six factors, {DRAWS} draws, both breakdowns: {spent:.1f} s of the processor, {clock:.1f} s"
        )
        figures[f"{kind}_s_{n}"] = spent
        if quick:
            break
    print(" ".join(f"{name}={value:.4g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
