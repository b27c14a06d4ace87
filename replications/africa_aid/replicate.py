"""Aid projects and the wealth of villages near them: what adjusting for tables, places and the past does.

python replications/africa_aid/replicate.py --data ../shared --out out/africa_aid
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from africa_aid import studies, texts
from africa_aid.studies import COORDINATES, OUTCOME, PREDICTED, TABLES, TREATMENT
from common import Book, asked, find_data, forest, line, predicted

import eocausal as ec

FUNDERS = {"CH": "China", "WB": "World Bank"}
# What the codes of aid stand for (OECD, Creditor Reporting System).
SECTORS = {
    110: "education", 120: "health", 130: "population", 140: "water", 150: "government", 160: "other social",
    210: "transport", 220: "communications", 230: "energy", 240: "banking", 250: "business",
    310: "farming", 320: "industry", 330: "trade, tourism", 410: "environment", 430: "several sectors",
}  # fmt: skip
CUTOFFS_KM = (10, 25, 50, 100, 200, 400)
# What the earlier survey asked nearby, and what was made of pictures of its time.
ASKED = [f"before_{OUTCOME}", "before_villages"]
PICTURED = [f"before_{name}" for name in PREDICTED]
BEFORE = [*ASKED, *PICTURED]
AXIS = "wealth index (SD 0.82)"

Studies = dict[str, dict[str, pd.DataFrame]]


def main() -> None:
    """Read, estimate, and write tables, figures and reports."""
    options = asked("Aid projects and the wealth of villages near them", "africa_aid")
    folder = find_data(
        options.data, ["africa_aid/projects.csv", "africa_wealth/clusters.parquet"], texts.SOURCES
    )
    villages, projects = studies.read(folder)
    if options.quick:
        villages = villages[villages["country"].isin(["malawi", "lesotho"])].iloc[::2].reset_index(drop=True)
    made = {
        funder: {
            maker.__name__: maker(villages, projects[projects["funder"] == funder])
            for maker in (studies.placement, studies.placebo, studies.later_wave)
        }
        for funder in FUNDERS
    }
    book = Book(options.out, "Aid projects and the wealth of villages")
    book.say(texts.INTRODUCTION, "## Who is compared", texts.WHO)
    book.table("who", [_counts(funder, name, study) for funder, name, study in _each(made)])
    chosen = _placement(book, made, quick=options.quick)
    _errors(book, chosen, made)
    _placebo(book, made)
    _assignment(book, made)
    _past(book, made)
    arms = studies.four_arms(villages, projects)
    if len(arms):
        _arms(book, arms)
    if not options.quick:
        _sectors(book, villages, projects)
    refused = refusal(made["CH"]["placement"])
    book.say("## What may not be adjusted for", texts.TRAP, f"```text\n{refused}\n```")
    book.close()


def _each(made: Studies) -> list[tuple[str, str, pd.DataFrame]]:
    return [(funder, name, study) for funder, found in made.items() for name, study in found.items()]


def _counts(funder: str, name: str, study: pd.DataFrame) -> dict[str, Any]:
    treated = study[study[TREATMENT] == 1]
    return {
        "funder": FUNDERS[funder],
        "study": name,
        "villages": len(study),
        "treated": len(treated),
        "country_years": study["country_year"].nunique(),
        "cells": study["cell"].nunique(),
        "cells_with_treated": treated["cell"].nunique(),
    }


def design_of(study: pd.DataFrame, covariates: list[str], *, seen: list[str] | None = None) -> ec.Design:
    """Return the design, with folds and standard errors by cells of half a degree; ``seen`` are its features."""
    units = ec.read_units(study, id="cluster_id", lon="lon", lat="lat")
    varying = [name for name in covariates if len(study[name].unique()) > 1]
    features = None if seen is None else ec.read_embeddings(study[["cluster_id", *seen]], key="cluster_id")
    return ec.Design(
        units, outcome=OUTCOME, treatment=TREATMENT, covariates=varying, features=features, cluster="cell"
    )


def _placement(book: Book, made: Studies, *, quick: bool) -> dict[str, ec.Estimate]:
    """Estimate the effects of placement; return the estimate of each funder that errors are shown for."""
    book.say("## Placement effects", texts.PLACEMENT)
    rows, chosen = [], {}
    for funder, name in FUNDERS.items():
        study = made[funder]["placement"]
        tabled, placed = design_of(study, TABLES), design_of(study, TABLES + COORDINATES)
        balanced = ec.ate(placed, method="entropy_balancing", estimand="att")
        chosen[funder] = ec.ate(placed)
        found = [
            ("nothing", ec.ate(design_of(study, []), method="difference")),
            ("tables", ec.ate(tabled, method="regression")),
            ("tables", ec.ate(tabled)),
            ("tables, coordinates", chosen[funder]),
            ("tables, coordinates", ec.ate(placed, estimand="att")),
            ("tables, coordinates", ec.ate(placed, estimand="ato")),
            ("tables, coordinates", balanced),
        ]
        if not quick:
            found.append(("tables, coordinates, trees", ec.ate(placed, learners=_trees())))
        rows += [line(f"{name}: {label}", one) for label, one in found]
        shown = [placed.data, placed, ec.balance(placed, weights=balanced), ec.overlap(placed)]
        ec.report(
            [*shown, *_distinct(one for _, one in found[3:])],
            book.folder / f"report_{funder}.html",
            title=f"Villages near projects of {name}",
            question=f"Are villages wealthier for projects of {name}? Read the placebo in results.md first.",
            overwrite=True,
            progress=False,
        )
    table = book.table("placement", rows)
    book.figure("placement", forest(table, axis=AXIS), "Placement effects by specification")
    return chosen


def _trees() -> ec.Learners:
    """Return learners that find places of any shape on a map."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    shape = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 30}
    return ec.Learners(
        outcome=HistGradientBoostingRegressor(**shape, random_state=0),
        propensity=HistGradientBoostingClassifier(**shape, random_state=0),
    )


def _distinct(found: Any) -> list[ec.Estimate]:
    """Return estimates that a table can tell apart, by method and estimand; the first of each."""
    kept: dict[tuple[str, str], ec.Estimate] = {}
    for one in found:
        kept.setdefault((one.method, one.estimand), one)
    return list(kept.values())


def _errors(book: Book, chosen: dict[str, ec.Estimate], made: Studies) -> None:
    """Show the standard errors that one estimate has, by what villages are taken to share."""
    from matplotlib.figure import Figure

    book.say("## How t falls with what villages share", texts.ERRORS)
    rows = []
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for ax, (funder, found) in zip(figure.subplots(1, 2, sharey=True), chosen.items(), strict=True):
        labels = made[funder]["placement"].set_index("cluster_id")
        ways: dict[str, Any] = {
            "iid": "iid",
            "cells of half a degree": {"cluster": "cell"},
            "country-years": {"cluster": labels["country_year"]},
            "countries": {"cluster": labels["country"]},
            **{f"Conley {km} km": {"conley": f"{km}km"} for km in CUTOFFS_KM},
        }
        rows += [
            {"funder": FUNDERS[funder], "errors": label, **_brief(found, way)} for label, way in ways.items()
        ]
        ec.conley_curve(found, [f"{km}km" for km in CUTOFFS_KM]).plot(ax)
        ax.set_title(FUNDERS[funder])
    book.table("standard_errors", rows, digits=4)
    book.figure("conley", figure, "Conley standard errors against the cutoff; dashed: clustered by cells")


def _brief(found: ec.Estimate, way: Any) -> dict[str, Any]:
    try:
        again = found.with_vcov(way)
    except ec.errors.EstimationError as reason:
        return {"estimate": found.estimate, "note": str(reason).splitlines()[0]}
    few = again.n_clusters is not None and again.n_clusters < 30
    return {
        "estimate": again.estimate,
        "std_error": again.std_error,
        "t": again.estimate / again.std_error,
        "n_clusters": again.n_clusters,
        "note": "few clusters" if few else "",
    }


def _placebo(book: Book, made: Studies) -> None:
    book.say("## Placebo: projects that had not begun", texts.PLACEBO)
    rows = []
    for funder, name in FUNDERS.items():
        study = made[funder]["placebo"]
        for label, columns in (("tables", TABLES), ("tables, coordinates", TABLES + COORDINATES)):
            asked_of = design_of(study, columns)
            for estimand in ("ato", "att"):
                rows.append(line(f"{name}: {label}", ec.ate(asked_of, estimand=estimand)))
    table = book.table("placebo", rows)
    book.figure("placebo", forest(table, axis=AXIS), "Effects of projects that had not begun")


def _assignment(book: Book, made: Studies) -> None:
    """Say how well officials' choices are predicted in places not learned from, and from what."""
    survey = [*TABLES, "aid_before"]
    sets = {
        "coordinates, beside tables": ("placement", TABLES, COORDINATES),
        "earlier pictures, beside tables": ("later_wave", survey, PICTURED),
        "earlier pictures, beside tables and the earlier survey": ("later_wave", [*survey, *ASKED], PICTURED),
    }
    rows, drawn = [], {}
    for funder, name in FUNDERS.items():
        for label, (which, covariates, seen) in sets.items():
            study = made[funder][which].dropna(subset=seen)
            drawn[funder] = ec.assignment(design_of(study, covariates, seen=seen))
            rows.append(predicted(f"{name}: {label}", drawn[funder]))
    book.say("## How are places chosen?", texts.ASSIGNMENT)
    book.table("assignment", rows)
    for funder, name in FUNDERS.items():
        caption = f"{name}: treatment predicted from tables and the earlier survey, and from earlier pictures"
        book.figure(f"assignment_{funder}", drawn[funder].plot(), caption)


def _past(book: Book, made: Studies) -> None:
    """Adjust for what earlier surveys and pictures said of the neighbourhood, in countries surveyed twice."""
    rows, left = [], []
    for funder, name in FUNDERS.items():
        study = made[funder]["later_wave"]
        known = study.dropna(subset=BEFORE)
        lacking = study.loc[study[BEFORE].isna().any(axis=1), TREATMENT]
        left.append(f"{name}: {int(lacking.sum())} treated, {int((1 - lacking).sum())} control")
        sets = {
            "tables": TABLES,
            "tables, aid before": [*TABLES, "aid_before"],
            "tables, aid before, coordinates": [*TABLES, "aid_before", *COORDINATES],
            "tables, aid before, the past": [*TABLES, "aid_before", *BEFORE],
            "all of them": [*TABLES, "aid_before", *COORDINATES, *BEFORE],
        }
        rows.append(line(f"{name}: nothing", ec.ate(design_of(known, []), method="difference")))
        for label, columns in sets.items():
            asked_of = design_of(known, columns)
            rows += [line(f"{name}: {label}", ec.ate(asked_of, estimand=one)) for one in ("ate", "ato")]
    book.say("## Adjusting for the past of the neighbourhood", texts.PAST.format(left="; ".join(left)))
    table = book.table("past", rows)
    book.figure("past", forest(table, axis=AXIS), "Effects of new projects, countries surveyed twice")


def _arms(book: Book, study: pd.DataFrame) -> None:
    """Compare villages near projects of one funder, of the other, and of both, with villages near none."""
    units = ec.read_units(study, id="cluster_id", lon="lon", lat="lat")
    asked_of = ec.Design(
        units,
        outcome=OUTCOME,
        treatment="funders",
        treatment_type="categorical",
        control="none",
        covariates=TABLES + COORDINATES,
        cluster="cell",
    )
    counts = ", ".join(f"{name} {count}" for name, count in study["funders"].value_counts().items())
    book.say("## Four arms", texts.ARMS.format(counts=counts, country_years=study["country_year"].nunique()))
    book.table("arms", ec.ate(asked_of).to_frame().to_dict("records"))


def _sectors(
    book: Book, villages: pd.DataFrame, projects: pd.DataFrame, *, least: int = 30, least_cells: int = 15
) -> None:
    """Estimate the effect on the treated of each funder and sector."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from statsmodels.stats.multitest import multipletests

    fixed = ec.Learners(outcome=Ridge(1.0), propensity=LogisticRegression(C=1.0, max_iter=500))
    rows, skipped = [], 0
    for (funder, sector), part in projects.groupby(["funder", "sector_code"]):
        study = studies.placement(villages, part)
        arms = [study[study[TREATMENT] == arm] for arm in (0, 1)]
        if min(len(arm) for arm in arms) < least or min(arm["cell"].nunique() for arm in arms) < least_cells:
            skipped += 1
            continue
        found = ec.ate(design_of(study, TABLES + COORDINATES), estimand="att", learners=fixed)
        named = f"{SECTORS.get(int(sector), 'sector')} ({sector})"
        row = line(f"{FUNDERS[str(funder)]}: {named}", found, group=part["sector_group"].iloc[0])
        rows.append({**row, "treated": int(study[TREATMENT].sum()), "p_value": found.p_value()})
    book.say("## Sectors", texts.SECTORS, f"{skipped} funder-sector pairs have too few.")
    table = pd.DataFrame(rows)
    table["p_holm"] = multipletests(table["p_value"], method="holm")[1]
    made = book.table("sectors", table.to_dict("records"))
    book.figure("sectors", forest(made, axis=AXIS), "Effects on the treated by funder and sector")


def refusal(study: pd.DataFrame) -> str:
    """Return what the package says when pictures of the years of the outcome are to be adjusted for."""
    started = study["started"].dt.strftime("%Y-%m-%d")
    units = ec.read_units(
        study.assign(started=started), id="cluster_id", lon="lon", lat="lat", date="started"
    )
    pictures = study[["cluster_id", *PREDICTED]].rename(columns=lambda name: name.replace("ooc_", "picture_"))
    # the pictures of a survey are composites of three years, the last of them no earlier than its own
    features = ec.read_embeddings(pictures, key="cluster_id", date=f"{study['year'].min()}-12-31")
    try:
        ec.Design(units, outcome=OUTCOME, treatment=TREATMENT, features=features)
    except ec.errors.LeakError as reason:
        return str(reason)
    raise AssertionError("pictures from after treatment were let through")


if __name__ == "__main__":
    main()
