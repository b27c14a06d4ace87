"""What must hold for every panel: of unit and period effects, scale, order and coding."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec

ROLES = {
    "outcome": "outcome",
    "treatment": "treated",
    "unit": "unit",
    "period": "period",
    "cluster": "region",
}
METHODS = st.sampled_from(["twfe", "event_study", "did"])
SEEDS = st.integers(0, 10_000)


def _frame(seed: int) -> pd.DataFrame:
    return ec.simulate_panel(n_regions=12, units_per_region=2, growth=0.3, seed=seed).frame


def _made(frame: pd.DataFrame, method: str) -> ec.Estimate:
    return ec.panel(ec.PanelDesign(frame, **ROLES), method=method)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, method=METHODS, scale=st.floats(0.01, 100))
def test_unit_and_period_effects_change_nothing_and_scale_scales(
    seed: int, method: str, scale: float
) -> None:
    frame = _frame(seed)
    rng = np.random.default_rng(seed + 1)
    by_unit = dict(zip(frame["unit"].unique(), rng.normal(size=24)))
    by_period = dict(zip(frame["period"].unique(), rng.normal(size=4)))
    moved = frame["outcome"] + frame["unit"].map(by_unit) + frame["period"].map(by_period)
    first, second = _made(frame, method), _made(frame.assign(outcome=scale * moved), method)
    np.testing.assert_allclose(second.values, scale * first.values, rtol=1e-8, atol=1e-9 * scale)
    np.testing.assert_allclose(second.std_error, scale * np.asarray(first.std_error), rtol=1e-7)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, method=METHODS, start=st.integers(-50, 3000), step=st.integers(1, 40))
def test_order_and_coding_of_time_change_nothing(seed: int, method: str, start: int, step: int) -> None:
    frame = _frame(seed)
    coded = frame.assign(period=start + step * ((frame["period"] - 2003) // 3)).sample(
        frac=1, random_state=seed
    )
    first, second = _made(frame, method), _made(coded, method)
    assert first.terms == second.terms
    np.testing.assert_allclose(second.values, first.values, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(second.variance.matrix, first.variance.matrix, rtol=1e-8, atol=1e-12)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, method=METHODS, effect=st.floats(-5, 5))
def test_an_effect_that_is_the_same_everywhere_is_found_as_it_is(
    seed: int, method: str, effect: float
) -> None:
    frame = _frame(seed)
    added = frame.assign(outcome=frame["outcome"] + effect * frame["treated"])
    first, second = _made(frame, method), _made(added, method)
    after = np.array([not term.startswith("event -") for term in first.terms])
    np.testing.assert_allclose(second.values - first.values, effect * after, atol=1e-8)
