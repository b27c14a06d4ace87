"""Learners of effects over many draws: how near the truth, how often intervals cover, whether rankings hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

pytestmark = pytest.mark.slow

LEARNERS = {
    "forest": ec.Forest(engine="fast", trees=500, n_jobs=1),
    "r ridge": ec.RLearner(),
    "r boosting": ec.RLearner("boosting"),
    "dr ridge": ec.DRLearner(),
    "dr boosting": ec.DRLearner("boosting"),
    "x ridge": ec.XLearner(),
    "x boosting": ec.XLearner("boosting"),
    "linear": ec.LinearEffects(),
}
WIDTH = 128


def world(
    seed: int, *, n: int = 1500, effect: str = "linear", selected: bool = False, per_village: int = 1
) -> tuple[ec.Design, np.ndarray]:
    """Villages whose 128 features mix five factors; the effect follows the first, in a line or in a step.

    ``selected``: treatment follows the first factor too, up to propensities of 0.05 and 0.95.
    """
    rng = np.random.default_rng(seed)
    n_villages = n // per_village
    factors = rng.normal(size=(n_villages, 5)) * np.array([2, 1.5, 1, 1, 1])
    mix = rng.normal(size=(5, WIDTH)) / np.sqrt(5)
    features = (factors @ mix + 0.5 * rng.normal(size=(n_villages, WIDTH))).astype(np.float32)
    village = np.arange(n) // per_village
    first = factors[village, 0] / 2
    truth = 0.5 + (0.5 * first if effect == "linear" else np.where(first > 0.7, 1.0, 0.0))
    e = np.clip(1 / (1 + np.exp(-1.5 * first)), 0.05, 0.95) if selected else np.full(n, 0.5)
    age, shock = rng.normal(size=n), 0.5 * rng.normal(size=n_villages)
    if per_village > 1:
        grant = rng.permutation(np.arange(n_villages) % 2)[village]
    else:
        grant = (rng.uniform(size=n) < e).astype(int)
    income = factors[village, 1] / 2 + 0.5 * age + grant * truth + shock[village] + rng.normal(size=n)
    table = pd.DataFrame({"village": village, "grant": grant, "age": age, "income": income})
    columns = pd.DataFrame(features, columns=[f"f{k}" for k in range(WIDTH)]).assign(
        village=np.arange(n_villages)
    )
    design = ec.Design(
        table, outcome="income", treatment="grant", covariates=["age"],
        features=ec.read_embeddings(columns, key="village"), cluster="village" if per_village > 1 else None,
        propensity=None if selected else 0.5,
    )  # fmt: skip
    return design, truth


@cache
def studies(kind: str, name: str, draws: int = 3) -> pd.DataFrame:
    """R2 of effects, share of intervals that cover, and t of the rate, by draw."""
    options = {
        "trial, linear": {},
        "trial, step": {"effect": "step"},
        "selected, linear": {"selected": True},
        "villages, linear": {"per_village": 5},
    }[kind]
    rows = []
    for seed in range(draws):
        design, truth = world(seed, **options)
        found = ec.cate(design, learner=LEARNERS[name], seed=seed)
        rates = ec.rate(found, replicates=100)
        rows.append(
            {
                "r2": 1 - np.mean((found.effect_values - truth) ** 2) / truth.var(),
                "covered": np.mean(np.abs(found.effect_values - truth) < 1.96 * found.effect_errors),
                "t": rates.estimate / rates.std_error,
            }
        )
    return pd.DataFrame(rows)


KINDS = ("trial, linear", "trial, step", "selected, linear", "villages, linear")


def _r2(kind: str, name: str) -> float:
    return float(studies(kind, name)["r2"].mean())


@pytest.mark.parametrize(("kind", "name", "least"), [
    ("trial, linear", "r ridge", 0.75), ("trial, linear", "dr ridge", 0.75), ("trial, linear", "x ridge", 0.75),
    ("trial, linear", "linear", 0.6), ("trial, linear", "r boosting", 0.45),
    ("trial, step", "r boosting", 0.4), ("trial, step", "x boosting", 0.4),
    ("selected, linear", "r ridge", 0.5), ("selected, linear", "dr ridge", 0.5),
    ("selected, linear", "x ridge", 0.65), ("villages, linear", "r ridge", 0.7),
])  # fmt: skip
def test_effects_are_found_and_their_ranking_holds(kind: str, name: str, least: float) -> None:
    found = studies(kind, name)
    assert found["r2"].mean() > least
    assert found["t"].mean() > 2.5
    assert (found["t"] > 0).all()


def test_lines_are_found_better_by_regressions_and_steps_by_forests() -> None:
    for kind in ("trial, linear", "selected, linear", "villages, linear"):
        assert _r2(kind, "r ridge") > _r2(kind, "forest")
    assert _r2("trial, step", "forest") > _r2("trial, step", "r boosting") > _r2("trial, step", "r ridge")


@pytest.mark.parametrize("kind", ["trial, linear", "villages, linear"])
def test_intervals_of_linear_effects_cover_where_effects_are_linear(kind: str) -> None:
    assert 0.87 < studies(kind, "linear")["covered"].mean() < 0.99
    assert studies("trial, step", "linear")["covered"].mean() < 0.85


@pytest.mark.parametrize("name", ["r ridge", "dr ridge", "x ridge", "linear"])
def test_effects_of_ihdp_are_nearer_the_truth_than_their_average_is(shared: Path, name: str) -> None:
    table = pd.read_parquet(shared / "data/ihdp/ihdp_npci.parquet")
    for _, part in table[table["rep"] <= 4].groupby("rep"):
        part = part.set_index("unit_id")
        names = [f"x{k}" for k in range(1, 26)]
        design = ec.Design(part, outcome="y_factual", treatment="treatment", covariates=names)
        found, truth = ec.cate(design, learner=LEARNERS[name]), (part["mu1"] - part["mu0"]).to_numpy()
        assert np.mean((found.effect_values - truth) ** 2) < np.mean((found.estimate - truth) ** 2)
