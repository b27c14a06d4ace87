"""Maps that shrink effects, and corrections of them: the simulation of Pettersson, Jerzak and Daoud (2025).

python replications/one_map_many_trials/replicate.py --out out/one_map_many_trials
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked
from one_map_many_trials import texts
from one_map_many_trials.worlds import Map, View, places

import eocausal as ec

PLACES, EFFECTS, LABELLED, REDRAWN = 10_000, 50, 100, 4
QUICK_PLACES, QUICK_EFFECTS = 3_000, 7
PENALTY = 4.0
BY_WEIGHTS = {"method": "ipw", "learners": ec.Learners(propensity="logit")}
COLOURS = {"naive": "#b5651d", "lcc": "#1f4e79", "tweedie": "#5b8c5a", "ppi++": "0.65"}


def main() -> None:
    """Draw, map, correct, and write tables and a figure."""
    options = asked("One map, many trials", "one_map_many_trials")
    n, count, redrawn = (QUICK_PLACES, QUICK_EFFECTS, 2) if options.quick else (PLACES, EFFECTS, REDRAWN)
    effects = np.linspace(-2, 2, count)
    book = Book(options.out, "One map, many trials")
    book.say(texts.INTRODUCTION, "## One way of seeing outcomes, 50 effects", texts.ONE)
    one = [study(effect, seed, View.published(), n, penalty=PENALTY) for seed, effect in enumerate(effects)]
    estimates = pd.concat([made for made, _ in one])
    book.table("slopes", lines(estimates, beside=True))
    book.figure(
        "estimates", drawn(estimates), "Estimated against true effects, and 95% intervals of Tweedie's"
    )
    book.say("## Coverage", texts.COVERAGE)
    again = [
        found
        for seed, (effect, (_, learned)) in enumerate(zip(effects, one))
        for found in redraw(effect, seed, learned, n, redrawn)
    ]
    book.table("coverage", covered(pd.concat(again)))
    book.say("## A way of seeing of its own for each effect", texts.FRESH)
    fresh = [study(effect, seed, View.drawn(seed), n)[0] for seed, effect in enumerate(effects)]
    book.table("slopes_fresh", lines(pd.concat(fresh), beside=False))
    book.close()


def study(
    effect: float, seed: int, view: View, n: int, *, penalty: float = 0.0
) -> tuple[pd.DataFrame, tuple[View, Map]]:
    """Return estimates of one trial by method, and how outcomes were seen and read back.

    With a penalty, also on a map that was trained on the loss of Ratledge et al.
    """
    rng = np.random.default_rng([seed, 2025])
    train, seen = places(effect, n, view, rng)
    held = np.zeros(n, dtype=bool)
    held[rng.permutation(n)[: n // 5]] = True
    outcome = train["outcome"].to_numpy()
    learned = Map(seed).fit(seen, outcome, held)
    calibration = pd.DataFrame({"mapped": learned.predict(seen[held]), "outcome": outcome[held]})
    trial, seen_there = places(effect, n, view, rng)
    trial["mapped"] = learned.predict(seen_there)
    rows = estimated(trial, calibration, rng)
    if penalty:
        other = trial.assign(mapped=Map(seed, penalty=penalty).fit(seen, outcome, held).predict(seen_there))
        rows["Ratledge loss"] = ec.ate(design(other, "mapped"), **BY_WEIGHTS)
    return framed(rows, effect), (view, learned)


def redraw(effect: float, seed: int, made: tuple[View, Map], n: int, times: int) -> list[pd.DataFrame]:
    """Return estimates of further trials on a map, each with labelled places of its own."""
    view, learned = made
    found = []
    for time in range(times):
        rng = np.random.default_rng([seed, time, 41])
        labelled, seen = places(effect, n // 5, view, rng)
        trial, seen_there = places(effect, n, view, rng)
        trial["mapped"] = learned.predict(seen_there)
        labelled["mapped"] = learned.predict(seen)
        found.append(framed(estimated(trial, labelled, rng), effect))
    return found


def estimated(trial: pd.DataFrame, calibration: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """Return estimates of a trial by method."""
    fix = ec.debias(calibration, prediction="mapped", truth="outcome", method="tweedie")
    corrected = ec.ate(design(trial, "mapped"), correct=fix, **BY_WEIGHTS)
    surveyed = np.isin(np.arange(len(trial)), rng.permutation(len(trial))[:LABELLED])
    measured = trial.assign(surveyed=trial["outcome"].where(surveyed))
    powered = ec.ppi(design(measured, "mapped"), truth="surveyed", adjust="aipw")
    return {
        "true outcome": ec.ate(design(trial, "outcome"), **BY_WEIGHTS),
        **{term: (corrected, term) for term in ("naive", "lcc", "tweedie")},
        "ppi++": (powered, "ppi++"),
    }


def design(trial: pd.DataFrame, outcome: str) -> ec.Design:
    """Return the trial with the need as its covariate."""
    return ec.Design(trial, outcome=outcome, treatment="treated", covariates=["need"])


def framed(found: dict[str, Any], effect: float) -> pd.DataFrame:
    """Return a row for each method: estimate, standard error, interval and the true effect."""
    rows = []
    for method, result in found.items():
        result, term = result if isinstance(result, tuple) else (result, None)
        frame = result.to_frame()
        row = frame.iloc[0] if term is None else frame.set_index("term").loc[term]
        kept = {name: row[name] for name in ("estimate", "std_error", "conf_low", "conf_high")}
        rows.append({"method": method, "effect": effect, **kept})
    return pd.DataFrame(rows)


def lines(estimates: pd.DataFrame, *, beside: bool) -> list[dict[str, Any]]:
    """Return the line of estimates on true effects by method, beside what was published."""
    from scipy.stats import f as f_distribution

    rows = []
    for method, part in estimates.groupby("method", sort=False):
        effect, found = part["effect"].to_numpy(), part["estimate"].to_numpy()
        columns = np.column_stack([effect, np.ones(effect.size)])
        slope, intercept = np.linalg.lstsq(columns, found, rcond=None)[0]
        left = float(((found - columns @ [slope, intercept]) ** 2).sum())
        variance = left / (effect.size - 2)
        joint = (float(((found - effect) ** 2).sum()) - left) / 2 / variance
        row = {
            "method": method,
            "slope": slope,
            "slope SE": np.sqrt(variance / ((effect - effect.mean()) ** 2).sum()),
            "intercept": intercept,
            "MAE": np.abs(found - effect).mean(),
            "F": joint,
            "p": f_distribution.sf(joint, 2, effect.size - 2),
        }
        if beside:
            names = ("slope", "slope SE", "intercept", "MAE")
            row |= {f"{name} (theirs)": value for name, value in zip(names, texts.PUBLISHED[str(method)])}
        rows.append(row)
    return rows


def covered(estimates: pd.DataFrame) -> list[dict[str, Any]]:
    """Return coverage of intervals by method, and the size of standard errors."""
    rows = []
    for method, part in estimates.groupby("method", sort=False):
        away = part["estimate"] - part["effect"]
        within = part["effect"].between(part["conf_low"], part["conf_high"])
        # what is common to the trials of one effect is bias, the rest is spread
        spread = np.sqrt((away - away.groupby(part["effect"]).transform("mean")).pow(2).sum() / _free(part))
        rows.append(
            {
                "method": method,
                "coverage": within.mean(),
                "coverage, |effect| < 1": within[part["effect"].abs() < 1].mean(),
                "mean bias": away.mean(),
                "se / sd": np.sqrt(part["std_error"].pow(2).mean()) / spread,
                "trials": len(part),
            }
        )
    return rows


def _free(part: pd.DataFrame) -> int:
    return len(part) - part["effect"].nunique()


def drawn(estimates: pd.DataFrame) -> Any:
    """Draw estimates against true effects by method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    ax = figure.subplots()
    ax.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
    for method, colour in reversed(COLOURS.items()):
        part = estimates[estimates["method"] == method]
        ax.plot(part["effect"], part["estimate"], "o", color=colour, markersize=4, label=method)
    part = estimates[estimates["method"] == "tweedie"]
    ax.vlines(part["effect"], part["conf_low"], part["conf_high"], color=COLOURS["tweedie"], linewidth=1)
    ax.set_xlabel("true effect")
    ax.set_ylabel("estimate")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
