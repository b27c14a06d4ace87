"""What the replications share: where their data are, and how tables and figures are written."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._io import write_atomically, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eocausal import Estimate
    from eocausal.evaluate.assignment_result import Assignment

COLOURS = ("#1f4e79", "#b5651d")
METHODS = {"aipw": "AIPW", "ipw": "weighting", "entropy_balancing": "entropy balancing"}
SOURCES = ("covariates", "features", "both")
NO_DATA = """\
{missing} is not there.

Say where the data are, by --data FOLDER or the environment variable EOCAUSAL_SHARED.
FOLDER, or FOLDER/data, holds
{folders}

They are public:
{sources}
"""


def asked(description: str, out: str) -> argparse.Namespace:
    """Read ``--data``, ``--out`` and ``--quick`` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="folder with the data; default: EOCAUSAL_SHARED")
    parser.add_argument("--out", type=Path, default=Path("out") / out, help="folder for tables and figures")
    parser.add_argument("--quick", action="store_true", help="a part of the data, to see that all runs")
    return parser.parse_args()


def find_data(data: Path | None, files: Sequence[str], sources: str) -> Path:
    """Return the folder that holds all files, or stop and say where they can be had."""
    given = data if data is not None else Path(os.environ.get("EOCAUSAL_SHARED", "../shared"))
    for folder in (given, given / "data"):
        if all((folder / name).is_file() for name in files):
            return folder
    lacking = next(name for name in files if not (given / "data" / name).is_file())
    listed = "\n".join(f"  {name}" for name in files)
    sys.stderr.write(NO_DATA.format(missing=given / lacking, folders=listed, sources=sources))
    raise SystemExit(2)


@dataclass
class Book:
    """A folder of results: rows of tables, then paragraphs, written as CSV, Markdown and PNG."""

    folder: Path
    title: str
    pages: list[str] = field(default_factory=list)

    def say(self, *paragraphs: str) -> None:
        """Add paragraphs to the page."""
        self.pages += paragraphs

    def table(self, name: str, rows: Sequence[dict[str, Any]], *, digits: int = 3) -> pd.DataFrame:
        """Write rows as ``name.csv``, add them to the page, and show them."""
        frame = pd.DataFrame(rows)
        write_atomically(self.folder / f"{name}.csv", lambda path: frame.to_csv(path, index=False))
        self.pages.append(markdown(frame.round(digits)))
        sys.stdout.write(f"{name}\n{frame.round(digits).to_string(index=False)}\n\n")
        sys.stdout.flush()
        return frame

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Write ``name.png`` and put it on the page."""
        write_atomically(
            self.folder / f"{name}.png", lambda path: figure.savefig(path, format="png", dpi=150)
        )
        self.pages.append(f"![{caption}]({name}.png)")

    def close(self) -> Path:
        """Write the page and say where it is."""
        page = write_text(self.folder / "results.md", "\n\n".join([f"# {self.title}", *self.pages]) + "\n")
        sys.stdout.write(f"written: {self.folder}\n")
        return page


def markdown(frame: pd.DataFrame) -> str:
    """Return a table in Markdown; missing cells stay empty."""
    cells = frame.astype(object).where(frame.notna(), "").astype(str)
    lines = [list(cells.columns), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def line(label: str, found: Estimate, **more: Any) -> dict[str, Any]:
    """Return an estimate as a row of a table."""
    low, high = found.ci()
    return {
        "specification": label,
        "method": found.method,
        "estimand": found.estimand,
        **more,
        "estimate": found.estimate,
        "std_error": found.std_error,
        "t": found.estimate / found.std_error,
        "conf_low": low,
        "conf_high": high,
        "n": found.n,
        "n_clusters": found.n_clusters,
    }


def predicted(label: str, found: Assignment) -> dict[str, Any]:
    """Return how well treatment is predicted, and what features add to covariates, as a row of a table."""
    measures = found.to_frame().set_index(["source", "measure"])
    added = measures.loc["features given covariates", "auc"]
    return {
        "specification": label,
        **{f"auc_{source}": measures.loc[(source, "auc"), "estimate"] for source in SOURCES},
        "auc_added": added["estimate"],
        "conf_low": added["conf_low"],
        "conf_high": added["conf_high"],
        "r2_covariates": measures.loc[("covariates", "outcome_r2"), "estimate"],
        "r2_both": measures.loc[("both", "outcome_r2"), "estimate"],
        "n": found.arms[0].ids.size,
    }


def forest(rows: pd.DataFrame, *, axis: str, reference: float | None = 0.0) -> Figure:
    """Draw estimates with their 95% intervals, one line each."""
    from matplotlib.figure import Figure

    # what stands before the colon is who is meant; each has its colour and stands apart
    heads = rows["specification"].str.extract("^([^:]+):")[0].fillna("")
    change = heads.ne(heads.shift()).cumsum().to_numpy()
    height = -(np.arange(len(rows)) + 0.8 * (change - 1))
    figure = Figure(figsize=(8.5, 0.7 - 0.27 * height[-1]), layout="constrained")
    ax = figure.subplots()
    for number in np.unique(change):
        part, at = rows[change == number], height[change == number]
        spread = [part["estimate"] - part["conf_low"], part["conf_high"] - part["estimate"]]
        ax.errorbar(part["estimate"], at, xerr=spread, fmt="o", color=COLOURS[(number - 1) % len(COLOURS)])
    ways = rows["method"].map(lambda name: METHODS.get(name, name)) + ", " + rows["estimand"].str.upper()
    ax.set_yticks(height, rows["specification"] + "  (" + ways + ")", fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if reference is not None:
        ax.axvline(reference, color="0.5", linewidth=0.8, linestyle="--")
    ax.set_xlabel(f"{axis}, with 95% interval")
    return figure
