"""Small studies for tests, drawn from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec

# fixed penalties: fast, and the same whatever the data
FAST = ec.Learners(outcome=Ridge(10.0), propensity=LogisticRegression(C=1.0))
FOREST = ec.Forest(trees=20, n_jobs=1)
THREE = ec.Folds(k=3)


def study(n: int = 120, *, seed: int = 0, n_villages: int = 24, selected: bool = False) -> pd.DataFrame:
    """Units in villages, with a known propensity ``p``; treated at random, or by ``p`` when ``selected``."""
    rng = np.random.default_rng(seed)
    village = rng.permutation(np.arange(n) % n_villages)
    age, wealth = rng.normal(size=(2, n))
    p = 1 / (1 + np.exp(-0.8 * age)) * 0.8 + 0.1 if selected else np.full(n, 0.5)
    grant = (rng.uniform(size=n) < p).astype(int)
    grant[:4] = [0, 1, 0, 1]
    income = 2 + age - wealth + grant * (1 + 0.5 * age) + 0.5 * rng.normal(size=n_villages)[village]
    return pd.DataFrame(
        {
            "village": village,
            "age": age,
            "wealth": wealth,
            "p": p,
            "grant": grant,
            "income": income + rng.normal(size=n),
            "weight": rng.uniform(0.5, 2.0, size=n),
        },
        index=pd.Index(np.arange(n) * 3 + 100, name="id"),
    )


def by_village(n: int = 120, *, seed: int = 0, n_villages: int = 24) -> pd.DataFrame:
    """The same, with treatment assigned to half of the villages."""
    table = study(n, seed=seed, n_villages=n_villages)
    treated = np.random.default_rng(seed + 1).permutation(np.arange(n_villages) % 2)
    grant = treated[table["village"]]
    income = table["income"] + (grant - table["grant"]) * (1 + 0.5 * table["age"])
    return table.assign(grant=grant, income=income)


def images(n_villages: int = 24, *, width: int = 6, seed: int = 0, **options: object) -> ec.Embeddings:
    """Features of one image a village."""
    values = np.random.default_rng(seed + 7).normal(size=(n_villages, width))
    columns = {f"f{k}": values[:, k] for k in range(width)}
    frame = pd.DataFrame({"village": np.arange(n_villages), **columns})
    return ec.read_embeddings(frame, key="village", **options)


def design(table: pd.DataFrame, **options: object) -> ec.Design:
    """Income on grant, adjusting for age and wealth."""
    asked = {"outcome": "income", "treatment": "grant", "covariates": ["age", "wealth"], **options}
    return ec.Design(table, **asked)
