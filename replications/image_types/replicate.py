"""Types of images, found where the truth is known, and in the Uganda trial.

python replications/image_types/replicate.py --data ../shared --out out/image_types
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked, find_data
from image_types import texts
from uganda_yop.texts import SOURCES

import eocausal as ec

FILES = ["units.csv", "chips.npz", "embeddings_clip_rsicd.parquet"]
EFFECTS = np.array([0.0, 1.0])
STRIPE_PX, OTHER_PX, SLOPE = 8, 2, 2.0
WIDTHS_PX = (1, 2, 4, 8, 16, 32)
NOISE = (0.25, 0.5, 1.0, 2.0)
DRAWS, UNITS = 5, 1000
# Read off the figure of the paper.
PUBLISHED = (0.741, 0.95)
TABLES = ["x2", "x4", "x6"]


def main() -> None:
    """Read, simulate, estimate, and write tables, figures and a report."""
    options = asked("Types of images with different effects", "image_types")
    folder = find_data(options.data, [f"uganda_yop/{name}" for name in FILES], SOURCES) / "uganda_yop"
    book = Book(options.out, "Types of images with different effects")
    book.say(texts.INTRODUCTION)
    _recovery(book, quick=options.quick)
    _uganda(book, folder, quick=options.quick)
    book.close()


# ---- where the truth is known


def _recovery(book: Book, *, quick: bool) -> None:
    draws, units = (1, 200) if quick else (DRAWS, UNITS)
    noises = NOISE[1:2] if quick else NOISE
    found: list[dict[str, Any]] = []
    for seed in range(draws):
        world = ec.simulate_kernel_confounding(n_units=units, size_px=64, kernel_px=STRIPE_PX, seed=seed)
        for features, embedded in _features(world, quick=quick).items():
            for noise in noises:
                design, truth = _trial(world, embedded, noise=noise, seed=seed)
                for method, find in METHODS.items():
                    likely, effects = find(design, seed)
                    found.append(
                        {
                            "features": features,
                            "noise": noise,
                            "method": method,
                            "correlation": float(np.corrcoef(likely, truth)[0, 1]) if np.ptp(likely) else 0.0,
                            "error": float(np.abs(effects - EFFECTS).mean()),
                        }
                    )
    book.say("## Where the truth is known", texts.RECOVERY)
    frame = pd.DataFrame(found)
    keys = ["features", "noise", "method"]
    means = frame.groupby(keys, sort=False)[["correlation", "error"]].mean().reset_index()
    book.table("recovery", means.to_dict("records"))
    book.figure(
        "recovery", _drawn(means), "Correlation with the truth, and error of effects, against the noise"
    )
    book.say(texts.RECOVERY_READ)


def _features(world: Any, *, quick: bool) -> dict[str, ec.Embeddings]:
    answers = pd.DataFrame({f"width{width}": world.feature(width) for width in WIDTHS_PX})
    chips = ec.chips_from_arrays(world.units, world.pixels)
    encoder = ec.RandomFeatures(n_features=64 if quick else 256, seed=0)
    return {
        "stripes": ec.read_embeddings(answers.assign(unit=np.arange(len(answers))), key="unit"),
        "random": ec.embed(chips, encoder=encoder, progress=False),
    }


def _trial(world: Any, features: ec.Embeddings, *, noise: float, seed: int) -> tuple[ec.Design, np.ndarray]:
    """Return a trial in the world, and the true probability of type 2 by unit."""
    rng = np.random.default_rng(10_000 + seed)
    truth = 1 / (1 + np.exp(-SLOPE * world.feature(STRIPE_PX)))
    kind = (rng.random(truth.size) < truth).astype(int)
    treated = (rng.random(truth.size) < 0.5).astype(int)
    level = 0.5 * world.feature(OTHER_PX)
    outcome = level + EFFECTS[kind] * treated + noise * rng.normal(size=truth.size)
    table = world.units.frame[["unit"]].assign(treated=treated, outcome=outcome)
    units = ec.read_units(table, id="unit", image_key="unit")
    made = ec.Design(units, outcome="outcome", treatment="treated", features=features, propensity=0.5)
    return made, truth


def _mixture(variances: str) -> Callable[[ec.Design, int], tuple[np.ndarray, np.ndarray]]:
    def find(design: ec.Design, seed: int) -> tuple[np.ndarray, np.ndarray]:
        found = ec.image_types(design, k=2, variances=variances, seed=seed)
        return found.probabilities["type 2"].to_numpy(), found.model["effect"].to_numpy()

    return find


def _clusters(design: ec.Design, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(design.table.features)
    rows = PCA(min(10, rows.shape[1]), svd_solver="full").fit_transform(rows)
    return _parted(design, KMeans(2, n_init=10, random_state=seed).fit_predict(rows))


def _forest(design: ec.Design, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import KMeans

    found = ec.cate(design, learner=ec.Forest(trees=200, engine="fast"), seed=seed).effect_values
    return _parted(design, KMeans(2, n_init=10, random_state=seed).fit_predict(found[:, None]))


def _parted(design: ec.Design, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return membership of the part with the larger difference in means, and both differences."""
    outcome, treated = design.table.outcome, design.table.treatment
    gaps = np.array([
        outcome[(part == one) & (treated == 1)].mean() - outcome[(part == one) & (treated == 0)].mean()
        for one in (0, 1)
    ])  # fmt: skip
    return (part == int(gaps.argmax())).astype(float), np.sort(gaps)


METHODS: dict[str, Callable[[ec.Design, int], tuple[np.ndarray, np.ndarray]]] = {
    "mixture": _mixture("arm"),
    "mixture, variances by type": _mixture("type"),
    "k-means": _clusters,
    "forest, 2-means": _forest,
}


def _drawn(means: pd.DataFrame) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, (features, part) in enumerate(means.groupby("features", sort=False)):
        for row, measure in enumerate(("correlation", "error")):
            ax = axes[row, column]
            for method, curve in part.groupby("method", sort=False):
                ax.plot(curve["noise"], curve[measure], marker="o", label=str(method))
            ax.spines[["top", "right"]].set_visible(False)
            ax.set_ylabel(measure if column == 0 else "")
        axes[0, column].set_title(f"features: {features}")
        axes[1, column].set_xlabel("SD of the noise")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


# ---- the Uganda trial


def _uganda(book: Book, folder: Path, *, quick: bool) -> None:
    table = pd.read_csv(folder / "units.csv")
    if quick:
        keys = np.sort(table["image_key"].unique())[::2]
        table = table[table["image_key"].isin(keys)].reset_index(drop=True)
    units = ec.read_units(table, id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key")
    clip = ec.read_embeddings(pd.read_parquet(folder / "embeddings_clip_rsicd.parquet"), key="image_key")
    bands = ["red", "green", "blue"]
    chips = ec.chips_from_arrays(units, folder / "chips.npz", keys="image_key", bands=bands)
    plain = _design(units, clip)
    rows = ("raw", plain, {}), ("orthogonalised", _design(units, clip, tabular=True), {"orthogonalise": True})
    found = {
        (label, variances): ec.image_types(design, k=2, variances=variances, **more)
        for label, design, more in rows
        for variances in ("arm", "type")
    }
    book.say("## The Uganda trial", texts.UGANDA)
    published = [
        {"outcome": "published", "variances": "type", "type": f"type {number + 1}", "effect": effect}
        for number, effect in enumerate(PUBLISHED)
    ]
    book.table("uganda", published + _rows(found))
    book.say(texts.UGANDA_READ)
    book.table(
        "differences", [_difference(label, variances, one) for (label, variances), one in found.items()]
    )
    raw, orthogonal = found["raw", "arm"], found["orthogonalised", "arm"]
    both = raw.images.merge(orthogonal.images, on="image_key")
    alike = np.corrcoef(both["type 2_x"], both["type 2_y"])[0, 1]
    book.say(
        f"Types of the raw and of the orthogonalised outcome correlate by {alike:.2f} over pictures; the paper has "
        "about 0.85."
    )
    _dealings(book, plain, times=1 if quick else 10)
    _numbers(book, plain, quick=quick)
    book.say("## What the types look like", texts.LOOK)
    _figures(book, raw, chips)
    shown = [units, plain, raw.by_type]
    ec.report(
        shown, book.folder / "report.html", title="Types of images in Uganda", overwrite=True, progress=False
    )


def _design(units: ec.Units, clip: ec.Embeddings, *, tabular: bool = False) -> ec.Design:
    return ec.Design(
        units,
        outcome="outcome",
        treatment="treated",
        covariates=TABLES if tabular else [],
        features=clip,
        cluster="image_key",
        propensity=float(units.frame["treated"].mean()),
        missing="drop",
    )


def _rows(found: dict[tuple[str, str], ec.ImageTypes]) -> list[dict[str, Any]]:
    columns = ["type", "share", "effect", "std_error", "effect_if_certain", "std_error_if_certain"]
    columns += ["effect_by_model", "posterior_sd"]
    return [
        {"outcome": label, "variances": variances, **row}
        for (label, variances), one in found.items()
        for row in one.table[columns].to_dict("records")
    ]


def _difference(label: str, variances: str, found: ec.ImageTypes) -> dict[str, Any]:
    gap = found.difference()
    low, high = gap.ci()
    return {
        "outcome": label,
        "variances": variances,
        "difference": gap.estimate,
        "std_error": gap.std_error,
        "conf_low": low,
        "conf_high": high,
        "p_value": gap.p_value(),
        "alike": found.diagnostics["alike"],
    }


def _dealings(book: Book, design: ec.Design, *, times: int) -> None:
    """Show how far the difference depends on how units are dealt into folds."""
    rows = []
    for seed in range(times):
        found = ec.image_types(design, k=2, seed=seed)
        first, last = np.asarray(found.estimate)
        rows.append({"seed": seed, "type 1": first, "type 2": last} | _difference("raw", "arm", found))
    book.say("### Other dealings of the folds", texts.DEALINGS)
    book.table("dealings", rows)


def _numbers(book: Book, design: ec.Design, *, quick: bool) -> None:
    """Show what held-out outcomes say of the number of types."""
    most = (1, 2) if quick else (1, 2, 3, 4)
    rows = []
    for variances in ("arm",) if quick else ("arm", "type"):
        choice = ec.image_types(design, k=most, variances=variances).choice
        rows += [{"variances": variances, **row} for row in choice.to_dict("records")]
    book.say("### How many types", texts.NUMBERS)
    book.table("numbers", rows, digits=4)


def _figures(book: Book, found: ec.ImageTypes, chips: ec.Chips) -> None:
    from matplotlib.figure import Figure

    for name, draw, size, caption in (
        ("effects", found.plot, (6.8, 2.6), "Effects of types, with 95% intervals"),
        ("map", found.map, (6.4, 5.0), "Probability of the type with the larger effect, out of fold"),
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        book.figure(name, figure, caption)
    book.figure("gallery", found.gallery(chips), "Typical pictures of each type, and the most ambiguous ones")


if __name__ == "__main__":
    main()
