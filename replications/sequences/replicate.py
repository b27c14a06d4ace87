"""Pictures of several years: which way of bringing them together finds which kind of effects, and how wide.

python replications/sequences/replicate.py --out out/sequences
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked
from sequences import texts
from sequences.worlds import DRIVERS, World, aggregated, encoders, world

import eocausal as ec

PLACES, WIDTHS, DRAWS = 800, (8, 32, 128), 2
# Of effects, whose SD is 1, and of outcomes without treatment.
AVERAGE, NOISE = 1.0, 1.0


def main() -> None:
    """Draw, encode, learn, and write a table and a figure."""
    options = asked("Pictures of several years", "sequences")
    book = Book(options.out, "Pictures of several years")
    book.say(texts.INTRODUCTION)
    n, widths, draws = (300, (8, 32), 1) if options.quick else (PLACES, WIDTHS, DRAWS)
    rows = [row for seed in range(draws) for row in judged(world(n, seed=seed), widths, seed=seed)]
    keys = ["effects follow", "encoder", "years", "learner"]
    means = pd.DataFrame(rows).groupby(keys, sort=False).mean().reset_index()
    book.say("## What is found", texts.READ)
    ridge = means[means["learner"] == "ridge"].drop(columns="learner")
    book.table("by_ridge", ridge.to_dict("records"), digits=2)
    book.figure("explained", drawn(ridge), "Share of the variance of effects that is explained, by ridge")
    book.say("## By a forest", texts.FOREST)
    forest = means[means["learner"] == "forest"].drop(columns="learner")
    book.table("by_forest", forest.to_dict("records"), digits=2)
    book.say("## What is concluded", *concluded(ridge))
    book.close()


def judged(drawn_world: World, widths: tuple[int, ...], *, seed: int) -> list[dict[str, Any]]:
    """Return how well effects are found, by what they follow, encoder, way of bringing years together, learner."""
    sources = {
        (encoder, way): features
        for encoder, one in encoders(widths).items()
        for way, features in aggregated(drawn_world.pictures, one).items()
    }
    rows = []
    for driver in DRIVERS:
        effect = AVERAGE + drawn_world.drivers[driver]
        design = trial(effect, seed=seed)
        for learner, asked_of in learners().items():
            wanted = {
                key: one for key, one in sources.items() if learner == "ridge" or key[0] == last(widths)
            }
            given = {"; ".join(key): embeddings(one) for key, one in wanted.items()}
            found = ec.compare_features(design, given, learner=asked_of, seed=seed)
            for (encoder, way), told in zip(wanted, found.sources):
                rows.append(
                    {
                        "effects follow": driver, "encoder": encoder, "years": way, "learner": learner,
                        **measures(found, told, effect),
                    }
                )  # fmt: skip
    return rows


def last(widths: tuple[int, ...]) -> str:
    """Return the name of the widest encoder, which alone the forest is tried on."""
    return list(encoders(widths))[-1]


def learners() -> dict[str, Any]:
    """Return learners of effects by name."""
    return {"ridge": ec.RLearner(pca=None), "forest": ec.Forest(trees=200, pca=None)}


def trial(effect: np.ndarray, *, seed: int) -> ec.Design:
    """Return a trial by lot of places with such effects."""
    rng = np.random.default_rng([seed, 1])
    grant = rng.permutation(np.arange(effect.size) % 2)
    income = NOISE * rng.standard_normal(effect.size) + grant * effect
    table = pd.DataFrame({"place": np.arange(effect.size), "grant": grant, "income": income})
    return ec.Design(table, outcome="income", treatment="grant", propensity=0.5)


def embeddings(features: np.ndarray) -> ec.Embeddings:
    """Return features (n, d) as a table by place."""
    table = pd.DataFrame(features.astype(np.float32)).add_prefix("f").assign(place=np.arange(len(features)))
    return ec.read_embeddings(table, key="place", columns="f")


def measures(found: Any, source: str, effect: np.ndarray) -> dict[str, float]:
    """Return the share of variance explained, rates of the true effects, and ratios by outcomes alone.

    ``AUTOC`` and ``QINI`` are of true effects ranked by predicted ones, as shares of what perfect ranks would have.
    """
    predicted = found.effects[source].to_numpy()
    best, own = (
        ec.rate_from_scores(effect, rank, std_errors="influence").joint.values for rank in (effect, predicted)
    )
    ratios = found.splits.set_index(["source", "estimand"])["ratio"].loc[source]
    return {
        "R2": 1 - float(((predicted - effect) ** 2).sum() / ((effect - effect.mean()) ** 2).sum()),
        "AUTOC share": float(own[0] / best[0]),
        "QINI share": float(own[1] / best[1]),
        "AUTOC ratio": float(ratios["AUTOC"]),
        "QINI ratio": float(ratios["QINI"]),
    }


def drawn(rows: pd.DataFrame) -> Any:
    """Draw the share of variance explained against the encoder, a panel for each driver."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, len(DRIVERS), sharey=True)
    for ax, driver in zip(axes, DRIVERS):
        part = rows[rows["effects follow"] == driver]
        for way, curve in part.groupby("years", sort=False):
            ax.plot(curve["encoder"], curve["R2"], marker="o", label=str(way))
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.set_title(f"effects follow the {driver}")
        ax.spines[["top", "right"]].set_visible(False)
        names = [name.replace(", ", "\n") for name in part["encoder"].unique()]
        ax.set_xticks(range(len(names)), names, fontsize=8)
    axes[0].set_ylabel("share of variance of effects explained")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def concluded(rows: pd.DataFrame) -> list[str]:
    """Return one sentence for each driver: which way found most, what wider encoders add, what the mean found."""
    told = []
    for driver, part in rows.groupby("effects follow", sort=False):
        best = part.loc[part["R2"].idxmax()]
        same = part[(part["years"] == best["years"]) & part["encoder"].str.startswith("random")]
        by_width = ", ".join(f"{one['R2']:.2f} of {one['encoder']}" for one in same.to_dict("records"))
        mean = part[part["years"] == "mean"]["R2"].round(2) + 0.0
        told.append(
            f"Effects that follow the {driver}: most is explained by `{best['years']}` of {best['encoder']} "
            f"({best['R2']:.2f}; {by_width}); the mean of the years explains {mean.min():.2f} to {mean.max():.2f}."
        )
    return told


if __name__ == "__main__":
    main()
