"""What must hold for every learner of effects by regression, whatever the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

import eocausal as ec
from tests.effect_samples import sample, table
from tests.studies import FAST, THREE, design, images, study

some = settings(max_examples=8, deadline=None)
few = settings(max_examples=4, deadline=None)
seeds = st.integers(0, 10_000)
LEARNERS = {
    "r": ec.RLearner(),
    "dr": ec.DRLearner(),
    "x": ec.XLearner(),
    "r boosted": ec.RLearner("boosting"),
    "linear": ec.LinearEffects(components=2),
}
UNPENALISED = {
    "r": ec.RLearner(LinearRegression()),
    "dr": ec.DRLearner(LinearRegression()),
    "x": ec.XLearner(LinearRegression()),
    "linear": ec.LinearEffects(),
}
each = pytest.mark.parametrize("name", list(LEARNERS))


def _cate(made: pd.DataFrame, name: str) -> ec.Cate:
    asked = design(made, propensity="p", weights="weight", cluster="village", features=images(15))
    return ec.cate(asked, learner=LEARNERS[name], learners=FAST, folds=THREE, seed=3)


def _study(seed: int) -> pd.DataFrame:
    return study(150, seed=seed, n_villages=15, selected=True)


@each
@few
@given(seed=seeds)
def test_rows_in_another_order(name: str, seed: int) -> None:
    made = _study(seed)
    plain = _cate(made, name).effects[["effect", "std_error"]]
    turned = _cate(made.sample(frac=1, random_state=seed), name).effects[["effect", "std_error"]]
    pd.testing.assert_frame_equal(turned.loc[plain.index], plain, rtol=1e-9, atol=1e-10)


@each
@few
@given(seed=seeds, factor=st.floats(0.01, 1e4), shift=st.floats(-100, 100), negative=st.booleans())
def test_outcome_in_other_units(name: str, seed: int, factor: float, shift: float, negative: bool) -> None:
    made, factor = _study(seed), -factor if negative else factor
    plain = _cate(made, name)
    moved = _cate(made.assign(income=factor * made["income"] + shift), name)
    scale = np.abs(plain.effect_values).max()
    np.testing.assert_allclose(moved.effect_values / factor, plain.effect_values, atol=1e-6 * scale)
    np.testing.assert_allclose(moved.effect_errors / abs(factor), plain.effect_errors, rtol=1e-6)


@pytest.mark.parametrize("name", list(UNPENALISED))
@some
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_weights_count_rows_and_have_no_unit(name: str, seed: int, factor: float) -> None:
    made = table(60, seed=seed, n_villages=15)
    asked = sample(made).design
    plain = UNPENALISED[name].fit(sample(made), seed=0).predict(asked)
    scaled = UNPENALISED[name].fit(sample(made.assign(weight=factor * made["weight"])), seed=0).predict(asked)
    np.testing.assert_allclose(scaled, plain, rtol=1e-7, atol=1e-9)
    repeated = made.loc[made.index.repeat(made["weight"].astype(int))].reset_index(drop=True)
    counted = UNPENALISED[name].fit(sample(repeated, weights=None), seed=0).predict(asked)
    np.testing.assert_allclose(counted[0], plain[0], rtol=1e-7, atol=1e-9)
    if name == "linear":
        # clusters sum rows and their copies alike; only the factor counts rows
        factors = [(rows - 1) / (rows - 4) for rows in (len(repeated), len(made))]
        np.testing.assert_allclose(
            counted[1] / np.sqrt(factors[0]), plain[1] / np.sqrt(factors[1]), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("name", ["r", "dr", "linear"])
@some
@given(seed=seeds)
def test_arms_exchanged(name: str, seed: int) -> None:
    made = table(60, seed=seed, n_villages=15)
    swapped = made.assign(
        grant=1 - made["grant"], e=1 - made["e"], control=made["treated"], treated=made["control"]
    )
    plain, _ = UNPENALISED[name].fit(sample(made), seed=0).predict(sample(made).design)
    turned, _ = UNPENALISED[name].fit(sample(swapped), seed=0).predict(sample(made).design)
    np.testing.assert_allclose(turned, -plain, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", list(UNPENALISED))
@some
@given(seed=seeds, a=st.floats(0.01, 100), b=st.floats(-100, 100), c=st.floats(-3, 3))
def test_covariates_in_other_units(name: str, seed: int, a: float, b: float, c: float) -> None:
    made = table(60, seed=seed, n_villages=15)
    moved = made.assign(age=a * made["age"] + b, rain=made["rain"] + c * made["wealth"])
    plain = UNPENALISED[name].fit(sample(made), seed=0).predict(sample(made).design)
    other = UNPENALISED[name].fit(sample(moved), seed=0).predict(sample(moved).design)
    np.testing.assert_allclose(other, plain, rtol=1e-6, atol=1e-8)
