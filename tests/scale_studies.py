"""Trials whose effects lie in pictures of several sizes, for tests of comparing sources and searching scales."""

from __future__ import annotations

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.evaluate.selection import FoldRates

FAST_FOREST = ec.Forest(engine="fast", trees=40, n_jobs=1)


def table_of(signals: np.ndarray, effect: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """Units at places of their own; half are treated by lot."""
    rng = np.random.default_rng(seed)
    n = len(signals)
    grant = rng.permutation(np.arange(n) % 2)
    age = rng.normal(size=n)
    income = age + grant * effect + rng.normal(size=n)
    return pd.DataFrame(
        {"place": np.arange(n), "age": age, "grant": grant, "income": income},
        index=pd.Index(np.arange(n) * 2 + 10, name="id"),
    )


def features(values: np.ndarray, *, keys: np.ndarray | None = None, key: str = "place") -> ec.Embeddings:
    """Features (n, d) by place."""
    places = np.arange(len(values)) if keys is None else keys
    columns = {f"f{k}": values[:, k] for k in range(values.shape[1])}
    return ec.read_embeddings(pd.DataFrame({key: places, **columns}), key=key)


def trial(n: int = 240, *, scales: int = 2, strength: float = 1.5, width: int = 2, seed: int = 0) -> tuple[
    ec.Design, dict[str, ec.Embeddings]
]:  # fmt: skip
    """A trial with features of several scales; each holds a signal of its own that moves the effect."""
    rng = np.random.default_rng(seed + 100)
    signals = rng.normal(size=(n, scales))
    found = {}
    for scale in range(scales):
        rest = rng.normal(size=(n, width - 1))
        found[f"s{scale}"] = features(np.column_stack([signals[:, scale], rest]))
    table = table_of(signals, strength * signals.sum(axis=1), seed=seed)
    design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    return design, found


def before(rates: FoldRates) -> list[FoldRates]:
    """Rates of the folds before each but the first, where nothing of a fold depends on later ones."""
    found = []
    for fold in range(1, len(rates.values)):
        share = rates.shares[:fold]
        found.append(FoldRates(rates.values[:fold], rates.covariances[:fold], share / share.sum()))
    return found
