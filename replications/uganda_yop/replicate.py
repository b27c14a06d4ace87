"""The Uganda Youth Opportunities trial: one effect by every method, with tables, with images, with both.

python replications/uganda_yop/replicate.py --data ../shared --out out/uganda_yop
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked, find_data, forest, line, predicted
from uganda_yop import texts

import eocausal as ec

FILES = ["units.csv", "chips.npz", "embeddings_clip_rsicd.parquet"]
TABLES = ["x2", "x4", "x6"]
CUTOFFS_KM = (5, 10, 25, 50, 100, 200)
# The authors' image folder is named for the year 2000; the day is not known.
PICTURES = "2000-01-01"
# Difference in means, and least squares without and with ten components of the features, as the data's note has
# them; the errors are clustered by picture.
NOTED = {"difference": (0.7415, 0.0755), "tables": (0.7472, 0.0768), "tables and images": (0.7358, 0.0754)}


def main() -> None:
    """Read, estimate, and write tables, figures and a report."""
    options = asked("The Uganda Youth Opportunities trial", "uganda_yop")
    folder = find_data(options.data, [f"uganda_yop/{name}" for name in FILES], texts.SOURCES) / "uganda_yop"
    units, clip, chips = read(folder, quick=options.quick)
    book = Book(options.out, "The Uganda Youth Opportunities trial")
    book.say(texts.INTRODUCTION)
    features = {"clip": clip, "rcf": _embedded(chips, quick=options.quick)}
    designs = {
        "nothing": design_of(units),
        "tables": design_of(units, tabular=True),
        "images (CLIP)": design_of(units, features=clip),
        "images (random features)": design_of(units, features=features["rcf"]),
        "tables and images (CLIP)": design_of(units, tabular=True, features=clip),
        "tables and images (random features)": design_of(units, tabular=True, features=features["rcf"]),
    }
    found = _effects(book, designs)
    _against_note(book, units, clip, found)
    _errors(book, found["tables and images (CLIP)", "aipw", "ate"])
    _assignment(book, designs)
    both = designs["tables and images (CLIP)"]
    balances = _balance(book, both, found)
    shown = [units, both, balances, ec.overlap(both), *_of(found, "tables and images (CLIP)")]
    ec.report(
        shown,
        options.out / "report.html",
        title="Uganda Youth Opportunities trial",
        overwrite=True,
        progress=False,
    )
    book.close()


def read(folder: Path, *, quick: bool) -> tuple[ec.Units, ec.Embeddings, ec.Chips]:
    """Return units, published features and pictures; all joined by image key."""
    table = pd.read_csv(folder / "units.csv")
    if quick:
        keys = np.sort(table["image_key"].unique())[::2]
        table = table[table["image_key"].isin(keys)].reset_index(drop=True)
    units = ec.read_units(table, id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key")
    published = pd.read_parquet(folder / "embeddings_clip_rsicd.parquet")
    clip = ec.read_embeddings(published, key="image_key", date=PICTURES)
    bands = ["red", "green", "blue"]
    chips = ec.chips_from_arrays(units, folder / "chips.npz", keys="image_key", bands=bands, date=PICTURES)
    return units, clip, chips


def _embedded(chips: ec.Chips, *, quick: bool) -> ec.Embeddings:
    encoder = ec.RandomFeatures(n_features=64 if quick else 512, seed=0)
    return ec.embed(chips, encoder=encoder, progress=False)


def design_of(units: ec.Units, *, tabular: bool = False, features: ec.Embeddings | None = None) -> ec.Design:
    """Return the design; only ``x2``, ``x4`` and ``x6`` were measured before treatment."""
    return ec.Design(
        units,
        outcome="outcome",
        treatment="treated",
        covariates=TABLES if tabular else [],
        features=features,
        cluster="image_key",
        missing="drop",
    )


Found = dict[tuple[str, str, str], ec.Estimate]


def _effects(book: Book, designs: dict[str, ec.Design]) -> Found:
    """Estimate the effect by every method that a design allows."""
    asked_of = {
        "nothing": [("difference", "ate")],
        "tables": [("regression", "ate"), ("aipw", "ate")],
        "images (CLIP)": [("aipw", "ate")],
        "images (random features)": [("aipw", "ate")],
        "tables and images (random features)": [("aipw", "ate")],
        "tables and images (CLIP)": [
            ("aipw", "ate"), ("aipw", "att"), ("aipw", "ato"), ("ipw", "ate"), ("ipw", "ato"),
            ("entropy_balancing", "ate"), ("entropy_balancing", "att"),
        ],
    }  # fmt: skip
    found = {
        (label, method, estimand): ec.ate(designs[label], method=method, estimand=estimand)
        for label, ways in asked_of.items()
        for method, estimand in ways
    }
    book.say("## Effects", texts.EFFECTS)
    rows = [line(label, one, iid=one.with_vcov("iid").std_error) for (label, _, _), one in found.items()]
    table = book.table("effects", rows, digits=4)
    book.figure("effects", forest(table, axis="standardised index", reference=None), "Effects by method")
    return found


def _of(found: Found, label: str) -> list[ec.Estimate]:
    return [one for (name, _, _), one in found.items() if name == label]


def _against_note(book: Book, units: ec.Units, clip: ec.Embeddings, found: Found) -> None:
    """Put ours beside what the note of the data has."""
    table = units.frame.set_index("unit_id")
    complete = table.dropna(subset=TABLES)
    parts = _components(clip, complete["image_key"].to_numpy(), width=10)
    with_parts = pd.concat([complete, parts.set_index(complete.index)], axis=1)
    plain = found["nothing", "difference", "ate"]
    ours = {
        "difference": plain,
        "tables": _least_squares(complete, TABLES),
        "tables and images": _least_squares(with_parts, [*TABLES, *parts]),
    }
    rows = [
        {
            "row": name,
            "ours": one.estimate,
            "noted": NOTED[name][0],
            "difference": one.estimate - NOTED[name][0],
            "our_error": one.std_error,
            "noted_error": NOTED[name][1],
        }
        for name, one in ours.items()
    ]
    book.say("## Against the note of the data", texts.NOTE)
    book.table("against_note", rows, digits=4)


def _least_squares(table: pd.DataFrame, columns: list[str]) -> ec.Estimate:
    """Return Lin's regression, clustered by picture."""
    asked_of = ec.Design(
        table, outcome="outcome", treatment="treated", covariates=columns, cluster="image_key"
    )
    return ec.ate(asked_of, method="regression")


def _components(clip: ec.Embeddings, keys: np.ndarray, *, width: int) -> pd.DataFrame:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(clip.values[clip.rows_for(keys)])
    made = PCA(width, svd_solver="full").fit_transform(rows)
    return pd.DataFrame(made, columns=[f"pc{number}" for number in range(width)])


def _errors(book: Book, found: ec.Estimate) -> None:
    """Show the standard errors of one estimate, and Conley's against the cutoff."""
    from matplotlib.figure import Figure

    ways: dict[str, Any] = {"iid": "iid", "HC1": "hetero", "clustered by picture": {"cluster": "image_key"}}
    ways |= {f"Conley {km} km": {"conley": f"{km}km"} for km in CUTOFFS_KM}
    rows = []
    for label, way in ways.items():
        again = found.with_vcov(way)
        rows.append({"errors": label, "std_error": again.std_error, "t": again.estimate / again.std_error})
    book.say("## Standard errors", texts.ERRORS)
    book.table("standard_errors", rows, digits=4)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ec.conley_curve(found, [f"{km}km" for km in CUTOFFS_KM]).plot(figure.subplots())
    book.figure("conley", figure, "Conley standard errors against the cutoff; dashed: clustered by picture")


def _assignment(book: Book, designs: dict[str, ec.Design]) -> None:
    """Ask whether treatment can be told from tables and pictures; in a trial it cannot."""
    found = {
        name: ec.assignment(designs[f"tables and images ({name})"], folds=ec.Folds())
        for name in ("CLIP", "random features")
    }
    book.say("## Can treatment be predicted?", texts.ASSIGNMENT)
    book.table(
        "assignment", [predicted(f"images ({name}), beside tables", one) for name, one in found.items()]
    )
    book.figure(
        "assignment", found["CLIP"].plot(), "Treatment predicted from tables, CLIP features, and both"
    )


def _balance(book: Book, both: ec.Design, found: Found) -> ec.evaluate.balance_result.Balance:
    """Compare the arms before and after entropy balancing; return the comparison for the report."""
    from matplotlib.figure import Figure

    weighed = found["tables and images (CLIP)", "entropy_balancing", "ate"]
    made = ec.balance(both, weights=weighed)
    book.say("## Balance", texts.BALANCE)
    book.table("balance", made.to_frame().to_dict("records"))
    figure = Figure(figsize=(6, 5), layout="constrained")
    made.plot(figure.subplots())
    book.figure("balance", figure, "Differences between the arms before and after weighting")
    return made


if __name__ == "__main__":
    main()
