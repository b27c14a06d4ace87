"""What must hold of every average effect, whatever the data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.effects.ate import METHODS
from eocausal.inference.entropy import EXACT, out_of_reach, tilted_weights
from eocausal.inference.tilting import balancing_weights
from tests.studies import FAST, THREE, design, study

some = settings(max_examples=8, deadline=None)
seeds = st.integers(0, 10_000)
NEW = [
    (method, estimand)
    for method, row in METHODS.items()
    for estimand in row.estimands
    if (method, estimand) != ("difference", "ate")
]
each = pytest.mark.parametrize(("method", "estimand"), NEW)
# methods whose predictions of the outcome hang on how units are dealt into folds
PREDICTS = ("aipw", "partially_linear")
MIRROR = {"ate": "ate", "att": "atc", "atc": "att", "ato": "ato"}
ALONE = {"ols coefficient": "ols coefficient"}


def _table(seed: int) -> pd.DataFrame:
    return study(80, seed=seed, n_villages=20, selected=True)


def _ate(table: pd.DataFrame, method: str, estimand: str, **options: object) -> ec.Estimate:
    asked = {"propensity": "p", **options}
    return ec.ate(
        design(table, **asked), method=method, estimand=estimand, learners=FAST, folds=THREE, seed=3
    )


def _same(found: ec.Estimate, expected: ec.Estimate, *, sign: float = 1.0) -> None:
    assert found.estimate == pytest.approx(sign * expected.estimate, rel=1e-7, abs=1e-7)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-6, abs=1e-7)


@each
@some
@given(seed=seeds, known=st.booleans())
def test_rows_in_another_order(method: str, estimand: str, seed: int, known: bool) -> None:
    table = _table(seed)
    order = np.random.default_rng(seed).permutation(80)
    options = {"propensity": "p" if known else None, "cluster": "village", "weights": "weight"}
    _same(_ate(table.iloc[order], method, estimand, **options), _ate(table, method, estimand, **options))


@each
@some
@given(seed=seeds, shift=st.floats(-1e3, 1e3), factor=st.floats(0.01, 1e3), negative=st.booleans())
def test_outcome_in_other_units(
    method: str, estimand: str, seed: int, shift: float, factor: float, negative: bool
) -> None:
    table, factor = _table(seed), -factor if negative else factor
    # only means of an arm move with the outcome's zero as the arm does
    shift = 0.0 if method == "horvitz_thompson" else shift
    base = _ate(table, method, estimand)
    found = _ate(table.assign(income=shift + factor * table["income"]), method, estimand)
    room = 1e-7 * (abs(shift) + abs(factor))
    assert found.estimate == pytest.approx(factor * base.estimate, rel=1e-6, abs=room)
    assert found.std_error == pytest.approx(abs(factor) * base.std_error, rel=1e-6, abs=room)


@each
@some
@given(seed=seeds)
def test_arms_exchanged_exchange_the_treated_and_the_controls(method: str, estimand: str, seed: int) -> None:
    table = _table(seed)
    swapped = table.assign(grant=1 - table["grant"], p=1 - table["p"])
    _same(_ate(swapped, method, {**MIRROR, **ALONE}[estimand]), _ate(table, method, estimand), sign=-1)


@each
@some
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_weights_times_a_constant(method: str, estimand: str, seed: int, factor: float) -> None:
    table = _table(seed)
    scaled = _ate(table.assign(weight=factor * table["weight"]), method, estimand, weights="weight")
    _same(scaled, _ate(table, method, estimand, weights="weight"))


@pytest.mark.parametrize(("method", "estimand"), [pair for pair in NEW if pair[0] not in PREDICTS])
@some
@given(seed=seeds)
def test_whole_weights_are_repeated_rows(method: str, estimand: str, seed: int) -> None:
    table = _table(seed)
    times = np.random.default_rng(seed).integers(1, 4, size=80)
    repeated = table.loc[table.index.repeat(times)].assign(unit=lambda t: t.index).reset_index(drop=True)
    weighted = _ate(
        table.assign(weight=times, unit=table.index), method, estimand, weights="weight", cluster="unit"
    )
    found = _ate(repeated, method, estimand, cluster="unit")
    assert found.estimate == pytest.approx(weighted.estimate, rel=1e-8, abs=1e-8)
    # copies in one cluster are one unit with its weight, but for the stated finite-sample factor
    plain = [result.std_error / np.sqrt(result.variance.factor) for result in (found, weighted)]
    assert plain[0] == pytest.approx(plain[1], rel=1e-6)


@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
@some
@given(seed=seeds, a=st.floats(0.01, 100), b=st.floats(-100, 100), c=st.floats(-3, 3))
def test_balanced_covariates_in_other_units(estimand: str, seed: int, a: float, b: float, c: float) -> None:
    table = _table(seed)
    changed = table.assign(age=a * table["age"] + b, wealth=table["wealth"] + c * table["age"])
    for method in ("entropy_balancing", "cbps"):
        _same(_ate(changed, method, estimand), _ate(table, method, estimand))


@pytest.mark.parametrize("model", ["logit", "probit"])
@pytest.mark.parametrize("method", ["ipw", "horvitz_thompson"])
@some
@given(seed=seeds, a=st.floats(0.01, 100), c=st.floats(-3, 3), estimand=st.sampled_from(list(MIRROR)))
def test_fitted_propensities_of_covariates_in_other_units(
    model: str, method: str, seed: int, a: float, c: float, estimand: str
) -> None:
    table, learners = _table(seed), ec.Learners(propensity=model)
    changed = table.assign(age=a * table["age"] + 3, wealth=table["wealth"] + c * table["age"])
    found, base = (
        ec.ate(design(one), method=method, estimand=estimand, learners=learners) for one in (changed, table)
    )
    _same(found, base)


@pytest.mark.parametrize("estimand", list(MIRROR))
@some
@given(seed=seeds, shift=st.floats(-1e3, 1e3))
def test_only_normalised_weights_do_not_feel_the_zero_of_the_outcome(
    estimand: str, seed: int, shift: float
) -> None:
    table = _table(seed)
    moved = table.assign(income=table["income"] + shift)
    for method in ("ipw", "horvitz_thompson"):
        base, found = (_ate(one, method, estimand) for one in (table, moved))
        e, t = table["p"].to_numpy(), table["grant"].to_numpy()
        weight = balancing_weights(t, e, estimand)
        size = {"ate": 80, "att": t.sum(), "atc": (1 - t).sum(), "ato": (e * (1 - e)).sum()}[estimand]
        uneven = 0.0 if method == "ipw" else ((2 * t - 1) * weight).sum() / size
        assert found.estimate - base.estimate == pytest.approx(shift * uneven, abs=1e-9 * (1 + abs(shift)))


@each
@some
@given(seed=seeds)
def test_results_go_through_json(method: str, estimand: str, seed: int) -> None:
    found = _ate(_table(seed), method, estimand, cluster="village")
    assert ec.Estimate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))) == found


@some
@given(seed=seeds, width=st.integers(1, 6), far=st.floats(0, 2))
def test_weights_are_exact_or_the_programme_finds_none(seed: int, width: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(30, width)) + far * rng.normal(size=width)
    weights = tilted_weights(columns, rng.uniform(0.5, 2, size=30))
    if weights is None:
        assert out_of_reach(columns).any()
    else:
        assert np.abs(weights @ columns).max() <= EXACT
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, rel=1e-12)
        assert not out_of_reach(columns).any()


@some
@given(
    seed=seeds, low=st.floats(0.2, 0.35), width=st.floats(0.3, 0.5), estimand=st.sampled_from(list(MIRROR))
)
def test_wider_trimming_keeps_more_and_all_of_the_narrower(
    seed: int, low: float, width: float, estimand: str
) -> None:
    asked = design(study(150, seed=seed, selected=True), propensity="p")

    def kept(by: float) -> set[int]:
        trim = ec.Trim("fixed", low=max(low - by, 0), high=min(low + width + by, 1))
        return set(ec.ate(asked, method="ipw", estimand=estimand, trim=trim).ids.tolist())

    narrow, wide = kept(0.0), kept(0.05)
    assert narrow <= wide
    p = dict(zip(asked.table.ids.tolist(), asked.table.propensity))
    assert narrow == {unit for unit, value in p.items() if low <= value <= low + width}
