"""Who gains in trials without pictures, and how near predicted effects are where the truth is known.

python replications/other_trials/replicate.py --data ../shared --out out/other_trials
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked, find_data
from other_trials import texts

import eocausal as ec
from eocausal.evaluate.calibration_result import DIFFERENCES

FILES = ["graduation_pakistan/households.csv", "schoolrct_brazil/students.parquet", "ihdp/ihdp_npci.parquet"]
# Outcomes two years after, by what they are called here.
GRADUATION = {
    "graduation: assets": "asset_index_end",
    "graduation: consumption": "ctotal_pcmonth_end",
    "graduation: food": "index_foodsecurity_end",
}
WORLDS = 9
CONSTANT = "one effect for all"


def main() -> None:
    """Read, learn, judge, and write tables, figures and a report."""
    options = asked("Who gains in trials without pictures", "other_trials")
    folder = find_data(options.data, FILES, texts.SOURCES)
    book = Book(options.out, "Who gains in trials without pictures")
    book.say(texts.INTRODUCTION)
    designs = trials(folder, quick=options.quick)
    first = _trials(book, designs, quick=options.quick)
    _known(book, pd.read_parquet(folder / "ihdp/ihdp_npci.parquet"), quick=options.quick)
    title = "Who gains in trials without pictures"
    ec.report(first, options.out / "report.html", title=title, overwrite=True, progress=False)
    book.close()


# ---- trials


def trials(folder: Path, *, quick: bool) -> dict[str, ec.Design]:
    """Return a design for each outcome of each trial, with answers from before treatment."""
    households = pd.read_csv(folder / "graduation_pakistan/households.csv", index_col="id_hh")
    before = [name for name in households if name.endswith("_bsl")]
    pupils = pd.read_parquet(folder / "schoolrct_brazil/students.parquet").astype(float)
    if quick:
        pupils = pupils[pupils["school"].isin(np.sort(pupils["school"].unique())[::8])].reset_index(drop=True)
    answers = [name for name in pupils if name not in ("outcome_test_score", "treatment", "school")]
    found = {
        label: ec.Design(
            households, outcome=outcome, treatment="treatment", covariates=before,
            propensity=float(households["treatment"].mean()),
        )
        for label, outcome in GRADUATION.items()
    }  # fmt: skip
    found["schools: test score"] = ec.Design(
        pupils, outcome="outcome_test_score", treatment="treatment", covariates=answers, cluster="school",
        propensity=float(pupils["treatment"].mean()), missing="keep",
    )  # fmt: skip
    return found


def _trials(book: Book, designs: dict[str, ec.Design], *, quick: bool) -> list[Any]:
    """Judge a forest in every trial; return what the report shows of the first."""
    rows, parts, shown = [], [], []
    for label, design in designs.items():
        wide = len(design) > 5000
        forest = ec.Forest(trees=80 if quick else 400 if wide else 1000, min_leaf=20 if wide else 5)
        cate = ec.cate(design, learner=forest)
        over = ec.rate_over_splits(
            design, learner=forest, folds=ec.Folds(repeats=2 if quick else 3 if wide else 10), replicates=200
        )
        tested, sorted_by = ec.calibration(cate), ec.groups(cate, k=4)
        rows.append(trial_row(label, cate, over, tested, sorted_by))
        parts.append(sorted_by.table().assign(trial=label))
        shown = shown or [design, cate, ec.rate(cate), tested, sorted_by]
    book.say("## Trials", texts.TRIALS)
    table = book.table("trials", rows)
    book.say(*[concluded(row) for row in table.to_dict("records")])
    kept = ["trial", "group", "predicted", "estimate", "std_error", "conf_low", "conf_high"]
    book.table("groups", pd.concat(parts)[kept].to_dict("records"))
    book.figure(
        "groups", by_quarter(parts), "Average effects of quarters by predicted effect, with 95% intervals"
    )
    return shown


def trial_row(label: str, cate: ec.Cate, over: Any, tested: Any, sorted_by: Any) -> dict[str, Any]:
    """Return what is found in one trial as a row."""
    ratios = over.splits.groupby("estimand")["ratio"]
    slope = tested.to_frame().set_index("term").loc[DIFFERENCES]
    gap = sorted_by.to_frame().iloc[-1]
    rates = over.to_frame().set_index("estimand")
    row: dict[str, Any] = {
        "trial": label, "n": cate.n, "clusters": cate.n_clusters,
        "effect": cate.estimate, "std_error": cate.std_error,
    }  # fmt: skip
    for target in ("AUTOC", "QINI"):
        row |= {
            target: rates.loc[target, "estimate"],
            f"{target} ratio": ratios.mean()[target],
            f"{target} ratio, least": ratios.min()[target],
            f"{target} ratio, most": ratios.max()[target],
            f"{target} p over deals": over.of(target).p_over_splits(),
        }
    return {
        **row, "slope": slope["estimate"], "slope std_error": slope["std_error"],
        "slope p": tested.tests()["p_value"][1],
        "most less least": gap["estimate"], "most less least, std_error": gap["std_error"],
    }  # fmt: skip


def concluded(row: dict[str, Any]) -> str:
    """Say in one sentence what may be said of a trial."""
    told = [target for target in ("AUTOC", "QINI") if row[f"{target} p over deals"] < 0.05]
    said = "no ranking is told from chance"
    if told:
        more = row[told[0]] > 0
        said = f"units that are predicted to gain more gain {'more' if more else 'less'}"
    return (
        f"{row['trial']}: the effect is {row['effect']:.3g} ({row['std_error']:.2g}) on average, and {said} "
        f"(p over deals {row['AUTOC p over deals']:.2g} by AUTOC, {row['QINI p over deals']:.2g} by QINI)."
    )


def by_quarter(parts: list[pd.DataFrame]) -> Any:
    """Draw average against predicted effects of quarters, a panel for each trial."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(parts), 3.2), layout="constrained")
    for ax, part in zip(np.atleast_1d(figure.subplots(1, len(parts))), parts):
        spread = [part["estimate"] - part["conf_low"], part["conf_high"] - part["estimate"]]
        ax.errorbar(part["predicted"], part["estimate"], yerr=spread, fmt="o", color="#1f4e79", capsize=3)
        ends = [part["predicted"].min(), part["predicted"].max()]
        ax.plot(ends, ends, color="0.6", linewidth=0.8, linestyle="--")
        ax.set_title(part["trial"].iloc[0], fontsize=10)
        ax.set_xlabel("mean predicted effect of the quarter")
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("average effect; dashed: as predicted")
    return figure


# ---- where effects are known


def learners(*, quick: bool) -> dict[str, Any]:
    """Return learners of effects by name."""
    return {
        "forest": ec.Forest(trees=80 if quick else 500),
        "R-learner (ridge)": ec.RLearner(),
        "DR-learner (ridge)": ec.DRLearner(),
        "X-learner (ridge)": ec.XLearner(),
        "linear": ec.LinearEffects(),
        CONSTANT: None,
    }


def _known(book: Book, table: pd.DataFrame, *, quick: bool) -> None:
    """Measure predicted effects against true ones, world by world."""
    rows = []
    for world in range(1, 3 if quick else WORLDS + 1):
        part = table[table["rep"] == world].set_index("unit_id")
        names = [f"x{number}" for number in range(1, 26)]
        design = ec.Design(part, outcome="y_factual", treatment="treatment", covariates=names)
        effect = (part["mu1"] - part["mu0"]).loc[design.table.ids].to_numpy()
        rows += [{"world": world, **row} for row in world_rows(design, effect, learners(quick=quick))]
    by_world = pd.DataFrame(rows)
    alone = by_world[by_world["learner"] == CONSTANT].set_index("world")["root mean squared error"]
    share = by_world["root mean squared error"] / by_world["world"].map(alone)
    by_world.insert(5, "error over that of one for all", share)
    middle = by_world.drop(columns="world").groupby("learner", sort=False).median().reset_index()
    book.say("## Where effects are known", texts.KNOWN)
    found = book.table("ihdp", middle.to_dict("records"))
    book.table("ihdp_by_world", by_world.to_dict("records"))
    best = found.loc[found["error over that of one for all"].idxmin()]
    book.say(
        f"The {best['learner']} comes nearest to true effects: its error is "
        f"{best['error over that of one for all']:.2f} times that of one effect for all (median over "
        f"{by_world['world'].nunique()} worlds)."
    )
    book.figure(
        "ihdp", errors(by_world), "Root mean squared error of predicted effects, over that of one for all"
    )


def world_rows(design: ec.Design, effect: np.ndarray, asked_of: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how near the effects of each learner are to true ones in one world."""
    rows = []
    for name, learner in asked_of.items():
        cate = ec.cate(design, learner="linear" if learner is None else learner)
        constant = np.full(effect.size, cate.estimate)
        predicted = constant if learner is None else cate.effect_values
        square = ((predicted - effect) ** 2).mean()
        row = {
            "learner": name, "effect": float(cate.estimate), "truth": float(effect.mean()),
            "root mean squared error": float(np.sqrt(square)), "R2": 1 - float(square / effect.var()),
        }  # fmt: skip
        if learner is not None:
            best, own = (
                ec.rate_from_scores(effect, rank, std_errors="influence").estimate
                for rank in (effect, predicted)
            )
            tested = ec.calibration(cate, effects="out_of_fold").to_frame().set_index("term")
            row |= {
                "slope": float(np.cov(effect, predicted)[0, 1] / predicted.var(ddof=1)),
                "calibration": float(tested.loc[DIFFERENCES, "estimate"]),
                "AUTOC share": own / best,
                "AUTOC ratio": ec.rate(cate, replicates=200).ratio,
            }
        rows.append(row)
    return rows


def errors(rows: pd.DataFrame) -> Any:
    """Draw the error of every learner in every world, over that of one effect for all."""
    from matplotlib.figure import Figure

    learned = rows[rows["learner"] != CONSTANT]
    share = learned.pivot_table("error over that of one for all", "world", "learner", sort=False)
    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    ax = figure.subplots()
    for height, name in enumerate(reversed(list(share))):
        ax.plot(share[name], [height] * len(share), "o", color="#1f4e79", alpha=0.6)
        ax.plot([share[name].median()] * 2, [height - 0.3, height + 0.3], color="#b5651d", linewidth=2.5)
    ax.set_yticks(range(share.shape[1]), list(reversed(list(share))))
    ax.axvline(1, color="0.6", linewidth=0.8, linestyle="--")
    ax.set_xlabel("error over that of one effect for all; points: worlds, line: median")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


if __name__ == "__main__":
    main()
