"""Small studies and targets whose effects are known, and learners that are right or wrong about them on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec

# fixed penalties: fast, and the same whatever the data
FITTED = ec.Learners(outcome=Ridge(1e-3), propensity=LogisticRegression(C=1e3))
# takes study and target to be alike everywhere, which is wrong where they are not
BLIND = ec.Learners(propensity=DummyClassifier(strategy="prior"))
THREE = ec.Folds(k=3)
SHIFT = 0.7


@dataclass(frozen=True)
class Linear:
    """Effects that are linear in the columns: right in these worlds."""

    def fit(self, sample, *, seed):
        table = sample.design.table
        score = sample.centred_outcome * sample.centred_treatment
        rows = np.column_stack([np.ones(len(sample.design)), table.covariates, table.features])
        weight = sample.centred_treatment**2
        gram = (rows * (table.weights * weight)[:, None]).T @ rows
        return LinearModel(np.linalg.solve(gram, rows.T @ (table.weights * score)))

    def describe(self):
        return {"learner": "linear"}


@dataclass(frozen=True)
class LinearModel:
    coefficients: np.ndarray

    def predict(self, design, *, rows=None):
        table = design.table
        asked = np.arange(len(design)) if rows is None else rows
        columns = np.column_stack([table.covariates[asked], table.features[asked]])
        effect = self.coefficients[0] + columns @ self.coefficients[1:]
        return effect, np.full(effect.size, 0.1)


@dataclass(frozen=True)
class Same:
    """One effect for all: wrong in these worlds."""

    value: float = -1.0

    def fit(self, sample, *, seed):
        return self

    def describe(self):
        return {"learner": "one value"}

    def predict(self, design, *, rows=None):
        n = len(np.arange(len(design)) if rows is None else np.arange(len(design))[rows])
        return np.full(n, self.value), np.zeros(n)


def study(n: int = 240, *, seed: int = 0, n_villages: int | None = None) -> pd.DataFrame:
    """Units with the effect 1 + age; wealth moves nothing."""
    rng = np.random.default_rng(seed)
    age, wealth = rng.normal(size=(2, n))
    village = np.arange(n) % (n_villages or n)
    grant = rng.permutation(np.arange(n) % 2)
    shock = 0.0 if n_villages is None else 0.6 * rng.normal(size=n_villages)[village]
    income = 1 + age + grant * (1 + age + shock) + rng.normal(size=n)
    columns = {"age": age, "wealth": wealth, "village": village, "grant": grant, "income": income}
    return pd.DataFrame(columns, index=pd.Index([f"s{i:04d}" for i in range(n)], name="id"))


def target(m: int = 300, *, seed: int = 1, shift: float = SHIFT) -> pd.DataFrame:
    """Places that are older: their average effect is 1 + ``shift``."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.normal(shift, 1.0, size=m), "wealth": rng.normal(size=m), "people": rng.uniform(1, 5, size=m),
        "district": np.arange(m) % 40,
    }  # fmt: skip
    return pd.DataFrame(columns, index=pd.Index([f"t{i:04d}" for i in range(m)], name="id"))


def effects(table: pd.DataFrame, learner: object = None, *, seed: int = 0, **options: object) -> ec.Cate:
    asked = {"outcome": "income", "treatment": "grant", "covariates": ["age", "wealth"], **options}
    if "propensity" not in asked:
        asked["propensity"] = 0.5
    design = ec.Design(table, **asked)
    chosen = Linear() if learner is None else learner
    return ec.cate(design, learner=chosen, folds=THREE, learners=FITTED, seed=seed)
