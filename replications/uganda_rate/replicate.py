"""Who gains in the Uganda trial, as pictures tell it: RATE beside R's grf, sizes of pictures, groups.

python replications/uganda_rate/replicate.py --data ../shared --out out/uganda_rate
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked, find_data
from uganda_rate import anchors, texts
from uganda_rate.anchors import ALL, DEALS, HALVES, OWN, RAW, Columns
from uganda_yop.texts import SOURCES

import eocausal as ec

FILES = ["units.csv", "chips.npz", "embeddings_clip_rsicd.parquet"]
TABLES = ["x2", "x4", "x6"]
SIDES_PX = (8, 16, 35)
JUDGED_DEALS, SEARCHED_DEALS = 5, 3
# At p features grf tries so many at a cut: the square root of p, and 20.
TRIED = {RAW: 43, OWN: 28, ALL: 28}


def main() -> None:
    """Read, judge, search, and write tables, figures and a report."""
    options = asked("Who gains in the Uganda trial", "uganda_rate")
    folder = find_data(options.data, [f"uganda_yop/{name}" for name in FILES], SOURCES) / "uganda_yop"
    units, clip = read(folder, quick=options.quick)
    book = Book(options.out, "Who gains in the Uganda trial")
    book.say(texts.INTRODUCTION)
    kinds = anchors.kinds(units, clip, trees=80 if options.quick else 2000)
    _beside_grf(book, kinds, quick=options.quick)
    judged = _judged(book, kinds[OWN], quick=options.quick)
    crops = features_by_side(units, folder, n_features=32 if options.quick else 128)
    _sources(book, units, clip, crops, quick=options.quick)
    _sizes(book, units, crops, quick=options.quick)
    shown = [units, kinds[OWN].design, *judged]
    title = "Who gains in the Uganda trial"
    ec.report(shown, options.out / "report.html", title=title, overwrite=True, progress=False)
    book.close()


def read(folder: Path, *, quick: bool) -> tuple[ec.Units, ec.Embeddings]:
    """Return units and published features, joined by image key."""
    table = pd.read_csv(folder / "units.csv")
    if quick:
        keys = np.sort(table["image_key"].unique())[::2]
        table = table[table["image_key"].isin(keys)].reset_index(drop=True)
    units = ec.read_units(table, id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key")
    return units, ec.read_embeddings(
        pd.read_parquet(folder / "embeddings_clip_rsicd.parquet"), key="image_key"
    )


def features_by_side(units: ec.Units, folder: Path, *, n_features: int) -> dict[str, ec.Embeddings]:
    """Return random convolutional features of the middle of the pictures, by its side in pixels."""
    with np.load(folder / "chips.npz", allow_pickle=False) as file:
        keys, chips = file["image_key"], file["chips"]
    shown = np.isin(keys, units.image_keys)
    encoder = ec.RandomFeatures(n_features=n_features, seed=0)
    found = {}
    for side in SIDES_PX:
        start = (chips.shape[1] - side) // 2
        middle = chips[shown, start : start + side, start : start + side]
        cut = ec.chips_from_arrays(units, middle, keys=keys[shown], bands=["red", "green", "blue"])
        found[f"{side} px"] = ec.embed(cut, encoder=encoder, progress=False)
    return found


# ---- beside grf


def _beside_grf(book: Book, kinds: dict[str, Columns], *, quick: bool) -> None:
    """Put ours beside grf's, for each kind of columns."""
    repeats, deals = (2, 2) if quick else (HALVES, DEALS)
    splits, deal, ours = {}, {}, {}
    for name, one in kinds.items():
        own = replace(one, learner=replace(one.learner, candidates=TRIED[name]))
        splits[name] = anchors.halves(own, repeats=repeats)
        ours[name] = {**anchors.of_halves(splits[name]), **anchors.of_bag(own)}
        if name != RAW:
            deal[name] = anchors.sequential(own, repeats=deals)
            ours[name] |= anchors.of_sequential(deal[name])
    book.say("## Beside grf", texts.ANCHORS)
    table = book.table("beside_grf", anchors.beside(ours))
    book.say(_within(table))
    book.say("### Every candidate at every cut", texts.CANDIDATES)
    book.table("all_candidates", _all_candidates(kinds, splits, repeats=repeats, quick=quick))
    both = {f"halves: {name}": one for name, one in splits.items()}
    both |= {f"folds: {name}": one for name, one in deal.items()}
    ratios_of = [one.set_index(["estimand", "seed"])["ratio"].rename(name) for name, one in both.items()]
    book.table("splits", pd.concat(ratios_of, axis=1).sort_index().reset_index().to_dict("records"), digits=2)
    book.figure("ratios", ratios(splits), "RATE ratios of 20 splits into halves, and grf's means within 0.3")


def _within(table: pd.DataFrame) -> str:
    """Say in words which means of ratios are within 0.3 of grf's."""
    own = table[table["quantity"].str.contains("ratio, .*: mean")].set_index("quantity")
    told = []
    for kind, theirs in ((RAW, "grf: 512"), (OWN, "grf: 50 components"), (ALL, "grf: 50 components")):
        gap = (own[kind] - own[theirs]).dropna()
        listed = "; ".join(f"{name.split(': ')[0]} {value:+.2f}" for name, value in gap.items())
        near = int((gap.abs() <= anchors.WITHIN).sum())
        told.append(f"{kind}: ours less grf's {listed} ({near} of {gap.size} within {anchors.WITHIN}).")
    return " ".join(told)


def _all_candidates(
    kinds: dict[str, Columns], splits: dict[str, pd.DataFrame], *, repeats: int, quick: bool
) -> list[dict[str, Any]]:
    """Return mean ratios where each cut draws columns as grf does, and where it may take any column."""
    rows = []
    for name in (RAW, OWN):
        learner = replace(kinds[name].learner, trees=80 if quick else 500)
        any_column = anchors.halves(replace(kinds[name], learner=learner), repeats=repeats)
        for tried, found in ((f"{TRIED[name]} drawn", splits[name]), ("all", any_column)):
            measured = anchors.of_halves(found)
            kept = {key.replace(", 20 halves", ""): one for key, one in measured.items() if "ratio" in key}
            rows.append({"columns": name, "candidates": tried, **kept})
    return rows


def ratios(splits: dict[str, pd.DataFrame]) -> Any:
    """Draw the ratio of every split, a panel for each target, and grf's mean within 0.3 as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.0), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, target in zip(axes, ("AUTOC", "QINI")):
        anchor = anchors.GRF[f"{target} ratio, 20 halves: mean"]
        for row, (name, found) in enumerate(splits.items()):
            mean = anchor[0] if name == RAW else anchor[1]
            own = found.loc[found["estimand"] == target, "ratio"].to_numpy()
            near = mean - anchors.WITHIN, mean + anchors.WITHIN
            ax.fill_betweenx([-row - 0.35, -row + 0.35], *near, color="0.85")
            # points apart where they would hide one another
            height = -row + 0.25 * (np.arange(own.size) * 0.618 % 1 - 0.5)
            ax.plot(own, height, "o", color="#1f4e79", alpha=0.6, ms=4)
            ax.plot([own.mean()] * 2, [-row - 0.3, -row + 0.3], color="#b5651d", linewidth=2.5)
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.set_xlabel(f"{target} over its standard error")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(
        [-row for row in range(len(splits))], [name.replace(" of ", "\nof ") for name in splits]
    )
    axes[0].set_title("points: splits; line: their mean; grey: grf's mean within 0.3", fontsize=9, loc="left")
    return figure


# ---- what may be claimed


def _judged(book: Book, columns: Columns, *, quick: bool) -> list[Any]:
    """Test calibration and groups by sequential folds, which hold their size, on one deal after another."""
    learner = replace(columns.learner, trees=80 if quick else 500, candidates=TRIED[OWN])
    rows, tables, first = [], [], []
    for seed in range(2 if quick else JUDGED_DEALS):
        cate = ec.cate(columns.design, learner=learner, seed=seed)
        tested, sorted_by = ec.calibration(cate), ec.groups(cate, k=4)
        slope, gap = tested.to_frame().iloc[1], sorted_by.to_frame().iloc[-1]
        rows.append(
            {
                "deal": seed, "slope": slope["estimate"], "slope std_error": slope["std_error"],
                "slope p": tested.tests()["p_value"][1], "most less least": gap["estimate"],
                "gap std_error": gap["std_error"], "gap p": gap["p_value"], "all alike p": sorted_by.equality_p,
            }
        )  # fmt: skip
        tables.append(sorted_by.table().assign(deal=seed))
        first = first or [cate, ec.rate(cate), tested, sorted_by]
    book.say("## Calibration and groups", texts.JUDGED)
    middle = book.table("calibration", rows).median(numeric_only=True)
    groups = pd.concat(tables)
    kept = ["predicted", "estimate", "std_error"]
    book.table("groups", groups.groupby("group", sort=False)[kept].median().reset_index().to_dict("records"))
    book.say(
        f"Medians over deals: slope {middle['slope']:.2f}, most less least {middle['most less least']:.2f}; twice "
        f"the median p-value is {min(1, 2 * middle['slope p']):.2f} of the slope and "
        f"{min(1, 2 * middle['gap p']):.2f} of the groups."
    )
    book.figure("groups", quarters(groups), "Average effects of quarters by predicted effect, deal by deal")
    return first


def quarters(groups: pd.DataFrame) -> Any:
    """Draw the average effect of every quarter against its predicted effect, a line for each deal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    ax = figure.subplots()
    for _, own in groups.groupby("deal"):
        ax.plot(own["predicted"], own["estimate"], "o-", color="#1f4e79", alpha=0.35, ms=4)
    middle = groups.groupby("group", sort=False)[["predicted", "estimate", "std_error"]].median()
    half = 1.96 * middle["std_error"]
    ax.errorbar(middle["predicted"], middle["estimate"], half, fmt="o", color="#b5651d", capsize=3, zorder=3)
    ends = [groups["predicted"].min(), groups["predicted"].max()]
    ax.plot(ends, ends, color="0.6", linewidth=0.8, linestyle="--")
    ax.set_xlabel("mean predicted effect of the quarter (dashed: as predicted)")
    ax.set_ylabel("average effect")
    ax.set_title("lines: deals; brown: medians with 95% intervals", fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


# ---- sources and sizes


def _plain_design(units: ec.Units) -> ec.Design:
    share = float(units.frame["treated"].mean())
    return ec.Design(
        units, outcome="outcome", treatment="treated", covariates=TABLES, cluster="image_key", propensity=share,
        missing="drop",
    )  # fmt: skip


def _sources(
    book: Book, units: ec.Units, clip: ec.Embeddings, crops: dict[str, ec.Embeddings], *, quick: bool
) -> None:
    """Compare sources of columns on the same folds."""
    sources: dict[str, Any] = {
        "three covariates": None, "CLIP-RSICD": clip, **crops, "all sizes": list(crops),
        "CLIP-RSICD and covariates": ["covariates", clip],
    }  # fmt: skip
    book.say("## Sources of columns", texts.COMPARED)
    found = ec.compare_features(
        _plain_design(units),
        sources,
        learner=ec.Forest(trees=80 if quick else 200, pca=50),
        folds=ec.Folds(repeats=2 if quick else SEARCHED_DEALS),
    )
    middle = found.splits.pivot_table("ratio", "source", "estimand", aggfunc=["mean", "std"], sort=False)
    middle.columns = [f"{target} ratio, {what}" for what, target in middle.columns]
    kept = ["source", "autoc", "autoc_std_error", "qini", "qini_std_error", "p_adjusted"]
    kept += ["difference", "difference_low", "difference_high"]
    rows = found.to_frame()[kept].merge(middle.reset_index(), on="source")
    book.table("sources", rows.to_dict("records"))
    book.say(f"{found.best}")
    book.figure("sources", found.plot(), "RATE by source of columns")


def _sizes(book: Book, units: ec.Units, crops: dict[str, ec.Embeddings], *, quick: bool) -> None:
    """Search sizes alone and in pairs, as the paper does, on features as they are and on components."""
    book.say("## Sizes of pictures", texts.SIZES)
    rows, searches = [], {}
    for label, pca in (("components (50)", 50), ("raw", None)):
        learner = ec.Forest(trees=80 if quick else 200, pca=pca)
        folds = ec.Folds(repeats=2 if quick else SEARCHED_DEALS)
        found = ec.scale_search(_plain_design(units), crops, learner=learner, folds=folds)
        searches[label] = found
        gains = found.gains().set_index(["arm", "reckoning"])
        best = found.to_frame().set_index("set")["ratio"]
        of_kind = {kind: part["set"] for kind, part in found.sets.groupby("kind")}
        single, pair = (best[of_kind[kind]].idxmax() for kind in ("single", "pair"))
        own = gains.loc[("pairs", "chosen beforehand")]
        theirs = texts.PUBLISHED[label]
        rows.append(
            {
                "features": label, "best single": single, "best pair": pair,
                "naive gain": gains.loc[("pairs", "naive"), "gain"],
                "by chance": gains.loc[("pairs", "by chance alone"), "gain"],
                "p by chance": gains.loc[("pairs", "by chance alone"), "p_value"],
                "chosen beforehand": own["gain"], "std_error": own["std_error"],
                "control, naive": gains.loc[("control", "naive"), "gain"],
                "control, beforehand": gains.loc[("control", "chosen beforehand"), "gain"],
                "gain (theirs)": theirs[0], "std_error (theirs)": theirs[1],
                "single / pair (theirs)": theirs[2],
            }
        )  # fmt: skip
    book.table("gains", rows)
    book.say(*[gain_in_words(row) for row in rows])
    sets = [one.to_frame().assign(features=label) for label, one in searches.items()]
    shown = ["features", "set", "kind", "estimate", "std_error", "ratio", "p_value", "p_adjusted"]
    book.table("sets", pd.concat(sets)[shown].to_dict("records"))
    book.figure("search", searches["components (50)"].plot(), "The search over sizes, on 50 components")


def gain_in_words(row: dict[str, Any]) -> str:
    """Say in one sentence what two sizes gain over one."""
    shown = "is" if row["chosen beforehand"] > 1.96 * row["std_error"] else "is not"
    return (
        f"{row['features'].capitalize()}: the naive gain of two sizes over one is {row['naive gain']:.2f}, where "
        f"chance alone makes {row['by chance']:.2f}; chosen beforehand it is {row['chosen beforehand']:.2f} "
        f"({row['std_error']:.2f}), so a gain {shown} shown."
    )


if __name__ == "__main__":
    main()
