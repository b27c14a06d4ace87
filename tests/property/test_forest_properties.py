"""What must hold of effects by forest whatever the data: order of rows, units of the outcome, scale of columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.effects.forest_engines import ENGINES, TreeSample
from tests.studies import FAST, THREE

SEEDS = st.integers(0, 2**16)
SLOWLY = settings(max_examples=5, deadline=None)
BOTH = pytest.mark.parametrize("engine", ["fast", "econml"])


def _study(seed: int, *, n: int = 150, gaps: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["age", "land"])
    table["grant"] = rng.permutation(np.arange(n) % 2)
    table["income"] = table["grant"] * (1 + table["age"]) + table["land"] + rng.normal(size=n)
    if gaps:
        table["age"] = table["age"].mask(rng.uniform(size=n) < 0.2)
    return table


def _effects(table: pd.DataFrame, engine: str, **options: object) -> pd.DataFrame:
    design = ec.Design(
        table, outcome="income", treatment="grant", covariates=["age", "land"], propensity=0.5, missing="keep"
    )  # fmt: skip
    forest = ec.Forest(**{"trees": 16, "n_jobs": 1, "engine": engine, **options})
    return ec.cate(design, learner=forest, learners=FAST, folds=THREE).effects


@BOTH
@given(seed=SEEDS, gaps=st.booleans())
@SLOWLY
def test_the_order_of_rows_changes_no_effect(engine: str, seed: int, gaps: bool) -> None:
    table = _study(seed, gaps=gaps)
    turned = table.sample(frac=1, random_state=seed)
    found, again = _effects(table, engine), _effects(turned, engine)
    np.testing.assert_allclose(again.loc[found.index, "effect"], found["effect"], rtol=1e-6, atol=1e-8)


@BOTH
@given(seed=SEEDS, scale=st.sampled_from([-2.0, 0.5, 4.0]))
@SLOWLY
def test_effects_are_in_the_units_of_the_outcome(engine: str, seed: int, scale: float) -> None:
    table = _study(seed)
    found = _effects(table, engine)
    scaled = _effects(table.assign(income=scale * table["income"]), engine)
    np.testing.assert_allclose(scaled["effect"], scale * found["effect"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(scaled["std_error"], abs(scale) * found["std_error"], rtol=1e-6, atol=1e-8)


@given(seed=SEEDS, gaps=st.booleans())
@SLOWLY
def test_compiled_trees_see_the_order_of_values_alone(seed: int, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(300, 3))
    if gaps:
        columns[rng.uniform(size=300) < 0.2, 0] = np.nan
    treatment, outcome = rng.choice([-0.5, 0.5], 300), rng.normal(size=300)

    def predicted(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sample = TreeSample(seen, outcome, treatment, np.ones(300), np.arange(300))
        return ENGINES["fast"](sample, ec.Forest(trees=16, n_jobs=1), 0).predict(seen)

    bent = np.column_stack([np.exp(columns[:, 0]), columns[:, 1] ** 3, np.arctan(columns[:, 2])])
    for found, again in zip(predicted(columns), predicted(bent)):
        np.testing.assert_array_equal(again, found)


@given(seed=SEEDS, screen=st.integers(1, 4))
@SLOWLY
def test_screened_columns_do_not_depend_on_their_scale(seed: int, screen: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(150, 6))
    table = _study(seed).assign(place=np.arange(150))

    def found(seen: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(seen, columns=[f"f{k}" for k in range(6)]).assign(place=np.arange(150))
        design = ec.Design(
            table, outcome="income", treatment="grant", features=ec.read_embeddings(frame, key="place"),
            propensity=0.5,
        )  # fmt: skip
        forest = ec.Forest(trees=8, n_jobs=1, screen=screen)
        return ec.cate(design, learner=forest, learners=FAST, folds=THREE).effect_values

    np.testing.assert_allclose(found(values * 2.0 ** np.arange(6)), found(values), rtol=1e-5, atol=1e-7)
