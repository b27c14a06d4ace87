"""Two sizes of pictures or one: the simulation of Zhu, Jerzak and Daoud (2025), as published and as effects.

python replications/multi_scale/replicate.py --out out/multi_scale
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import Book, asked
from multi_scale import texts
from multi_scale.pictures import FACTORS, Variant, encoded, landscapes

import eocausal as ec

# Of 1,392 in the paper.
PLACES = 400
MOVED_BY = {"rotation": -100.0, "blob": 100.0, "contrast": 100.0, "edge": 100.0}
NOISE = {"rotation": 10.0, "blob": 10.0, "contrast": 10.0, "edge": 0.0}
SEEDS = (10, 20)
EPOCHS = 100
SIZES = ("32 px", "256 px")
# Which changes of pictures move effects, and what is to be expected of the pair.
TRIALS = {
    "blob and edge: a signal at each size": (0, 1, 0, 1),
    "edge: a signal at one size": (0, 0, 0, 1),
    "contrast: one signal at both sizes": (0, 0, 1, 0),
    "nothing: no signal": (0, 0, 0, 0),
}
Features = dict[str, dict[Variant, np.ndarray]]


def main() -> None:
    """Draw, encode, learn, and write tables and a figure."""
    options = asked("Two sizes of pictures or one", "multi_scale")
    n = 240 if options.quick else PLACES
    rng = np.random.default_rng(42)
    flags = (rng.random((n, 4)) < 0.5).astype(int)
    features = encoded(landscapes(n, seed=1), flags, n_features=32 if options.quick else 128, seed=0)
    book = Book(options.out, "Two sizes of pictures or one")
    book.say(texts.INTRODUCTION, "## Outcomes, as published", texts.PARITY)
    cells = list(texts.PUBLISHED)[:: 5 if options.quick else 1]
    outcomes = {cell: outcome_of(cell, flags, rng) for cell in cells}
    network = [cell_row(cell, features, outcomes[cell], by_network) for cell in cells]
    book.table(
        "outcomes_by_network", [_beside(row, texts.PUBLISHED[cell]) for cell, row in zip(cells, network)]
    )
    book.say("## Outcomes, by ridge regression", texts.OPTIMISATION)
    ridge = [cell_row(cell, features, outcomes[cell], by_ridge) for cell in cells]
    book.table("outcomes_by_ridge", ridge)
    book.say("## Effects", texts.EFFECTS)
    rows, searches = effects(features, flags, rng, quick=options.quick)
    book.table("effects", rows)
    first = next(iter(searches))
    book.figure("search", searches[first].plot(), f"The search over sizes; {first}")
    book.close()


def outcome_of(cell: Variant, flags: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return outcomes (n,): what each active change adds to the places that it changes."""
    outcome = np.zeros(len(flags))
    for active, name, own in zip(cell, FACTORS, flags.T):
        added = MOVED_BY[name] + NOISE[name] * rng.standard_normal(len(flags))
        outcome += active * own * added
    return outcome


def cell_row(
    cell: Variant, features: Features, outcome: np.ndarray, learn: Callable[..., float]
) -> dict[str, Any]:
    """Return the share of variance explained from each size and from both, for one cell of factors."""
    one, other = (features[size][cell] for size in SIZES)
    found = [learn(columns, outcome) for columns in (one, other, np.hstack([one, other]))]
    return {**dict(zip(FACTORS, cell)), **_shares(found)}


def _shares(found: list[float] | tuple[float, ...], after: str = "") -> dict[str, float]:
    better = max(found[0], found[1])
    gain = found[2] / better - 1 if better > 0.02 else np.nan
    return dict(zip((f"32 px{after}", f"256 px{after}", f"both{after}", f"gain{after}"), (*found, gain)))


def _beside(row: dict[str, Any], published: tuple[float, ...]) -> dict[str, Any]:
    return {**row, **_shares(published, " (theirs)")}


def by_network(columns: np.ndarray, outcome: np.ndarray) -> float:
    """Return the share of variance explained by a small network, out of five folds, over two seeds."""
    return float(np.mean([_out_of_fold(columns, outcome, _Network(seed)) for seed in SEEDS]))


def by_ridge(columns: np.ndarray, outcome: np.ndarray) -> float:
    """Return the same of ridge regression on standardised columns."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _out_of_fold(columns, outcome, make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))))


def _out_of_fold(columns: np.ndarray, outcome: np.ndarray, model: Any) -> float:
    from sklearn.model_selection import KFold

    shares = []
    for train, test in KFold(5, shuffle=True, random_state=42).split(columns):
        left = outcome[test] - model.fit(columns[train], outcome[train]).predict(columns[test])
        shares.append(1 - (left**2).sum() / ((outcome[test] - outcome[test].mean()) ** 2).sum())
    return float(np.mean(shares))


class _Network:
    """Two hidden layers, 100 steps of Adam on all rows, raw targets."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, columns: np.ndarray, outcome: np.ndarray) -> _Network:
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        widths = (columns.shape[1], 128, 32, 1)
        self.weights = []
        for before, after in pairwise(widths):
            for shape in ((before, after), (after,)):
                drawn = (2 * torch.rand(shape, generator=generator) - 1) / before**0.5
                self.weights.append(drawn.requires_grad_())
        rows, wanted = torch.tensor(columns, dtype=torch.float32), torch.tensor(outcome, dtype=torch.float32)
        steps = torch.optim.Adam(self.weights, lr=1e-3)
        for _ in range(EPOCHS):
            steps.zero_grad()
            ((self._forward(rows) - wanted) ** 2).mean().backward()
            steps.step()
        return self

    def predict(self, columns: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self._forward(torch.tensor(columns, dtype=torch.float32)).numpy()

    def _forward(self, rows: Any) -> Any:
        first, a, second, b, last, c = self.weights
        hidden = ((rows @ first + a).relu() @ second + b).relu()
        return (hidden @ last + c)[:, 0]


def effects(
    features: Features, flags: np.ndarray, rng: np.random.Generator, *, quick: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return for each trial how well effects are found from each size and from both, and what a search gains."""
    rows, searches = [], {}
    keys = np.arange(len(flags))
    for name, cell in TRIALS.items():
        effect = (flags * np.array(cell)).sum(axis=1) * 2.0
        grant = rng.permutation(keys % 2)
        income = rng.standard_normal(len(keys)) * 2 + grant * effect
        table = pd.DataFrame({"place": keys, "grant": grant, "income": income})
        design = ec.Design(table, outcome="income", treatment="grant", propensity=0.5)
        scales = {
            size: ec.read_embeddings(
                pd.DataFrame(features[size][cell]).add_prefix("f").assign(place=keys),
                key="place",
                columns="f",
            )
            for size in SIZES
        }
        row: dict[str, Any] = {"trial": name}
        for label, learner in learners(quick).items():
            found = ec.compare_features(design, {**scales, "both": list(SIZES)}, learner=learner)
            for source in found.sources:
                row[f"R2 {label}, {source}"] = _explained(found.effects[source].to_numpy(), effect)
        folds = ec.Folds(k=5, repeats=1 if quick else 3)
        searched = ec.scale_search(design, scales, folds=folds, learner=learners(quick)["forest"])
        gains = searched.gains().set_index(["arm", "reckoning"])
        row |= {
            "naive gain": gains.loc[("pairs", "naive"), "gain"],
            "by chance": gains.loc[("pairs", "by chance alone"), "gain"],
            "chosen beforehand": gains.loc[("pairs", "chosen beforehand"), "gain"],
            "std_error": gains.loc[("pairs", "chosen beforehand"), "std_error"],
            "control, naive": gains.loc[("control", "naive"), "gain"],
            "control, beforehand": gains.loc[("control", "chosen beforehand"), "gain"],
        }
        rows.append(row)
        searches[name] = searched
    return rows, searches


def learners(quick: bool) -> dict[str, Any]:
    """Return the learners of effects by name: a forest, and linear effects of components."""
    return {"forest": ec.Forest(engine="fast", trees=60 if quick else 200), "linear": "linear"}


def _explained(found: np.ndarray, effect: np.ndarray) -> float:
    spread = ((effect - effect.mean()) ** 2).sum()
    return float(1 - ((found - effect) ** 2).sum() / spread) if spread > 0 else float("nan")


if __name__ == "__main__":
    main()
