"""What must hold for average effects, designs and their results whatever the data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.inference.smd import standardised_differences
from tests.studies import FAST, THREE, design, study

METHODS = ["difference", "regression", "ipw", "aipw"]
some = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10_000)
each_method = pytest.mark.parametrize("method", METHODS)


def _table(seed: int) -> pd.DataFrame:
    return study(60, seed=seed, n_villages=15, selected=True)


def _ate(table: pd.DataFrame, method: str, **options: object) -> ec.Estimate:
    asked = {"propensity": "p", "covariates": ["age", "wealth"], **options}
    return ec.ate(design(table, **asked), method=method, learners=FAST, folds=THREE, seed=3)


def _same(found: ec.Estimate, expected: ec.Estimate, *, sign: float = 1.0, tolerance: float = 1e-10) -> None:
    assert found.estimate == pytest.approx(sign * expected.estimate, rel=tolerance, abs=tolerance)
    assert found.std_error == pytest.approx(expected.std_error, rel=tolerance, abs=tolerance)


@each_method
@some
@given(seed=seeds, known=st.booleans(), clustered=st.booleans())
def test_rows_in_another_order(method: str, seed: int, known: bool, clustered: bool) -> None:
    table = _table(seed)
    order = np.random.default_rng(seed).permutation(60)
    options = {
        "propensity": "p" if known else None,
        "cluster": "village" if clustered else None,
        "weights": "weight",
    }
    _same(_ate(table.iloc[order], method, **options), _ate(table, method, **options))


@each_method
@some
@given(seed=seeds, by=st.sampled_from(["shift", "stretch", "text"]))
def test_ids_with_other_names_in_the_same_order(method: str, seed: int, by: str) -> None:
    table = _table(seed)
    renamed = {
        "shift": table.index - 5000,
        "stretch": table.index**2,
        "text": [f"u{label:06d}" for label in table.index],
    }
    _same(_ate(table.set_axis(renamed[by]), method), _ate(table, method))


@each_method
@some
@given(seed=seeds, shift=st.floats(-1e3, 1e3))
def test_outcome_plus_a_constant(method: str, seed: int, shift: float) -> None:
    table = _table(seed)
    _same(_ate(table.assign(income=table["income"] + shift), method), _ate(table, method), tolerance=1e-8)


@each_method
@some
@given(seed=seeds, factor=st.floats(0.01, 1e4), negative=st.booleans())
def test_outcome_times_a_constant(method: str, seed: int, factor: float, negative: bool) -> None:
    table = _table(seed)
    factor = -factor if negative else factor
    base, found = _ate(table, method), _ate(table.assign(income=factor * table["income"]), method)
    assert found.estimate == pytest.approx(factor * base.estimate, rel=1e-9)
    assert found.std_error == pytest.approx(abs(factor) * base.std_error, rel=1e-9)
    assert found.p_value() == pytest.approx(base.p_value(), rel=1e-6, abs=1e-12)


@each_method
@some
@given(seed=seeds)
def test_arms_exchanged(method: str, seed: int) -> None:
    table = _table(seed)
    swapped = table.assign(grant=1 - table["grant"], p=1 - table["p"])
    _same(_ate(swapped, method), _ate(table, method), sign=-1, tolerance=1e-9)


@each_method
@some
@given(seed=seeds, factor=st.floats(1e-4, 1e4))
def test_weights_times_a_constant(method: str, seed: int, factor: float) -> None:
    table = _table(seed)
    for options in ({"weights": "weight"}, {"weights": "weight", "propensity": None}):
        scaled = _ate(table.assign(weight=factor * table["weight"]), method, **options)
        _same(scaled, _ate(table, method, **options), tolerance=1e-8)


@pytest.mark.parametrize("method", ["difference", "regression", "ipw"])
@some
@given(seed=seeds)
def test_whole_weights_are_repeated_rows(method: str, seed: int) -> None:
    table = _table(seed)
    times = np.random.default_rng(seed).integers(1, 5, size=60)
    repeated = table.loc[table.index.repeat(times)].reset_index(drop=True)
    weighted = _ate(table.assign(weight=times), method, weights="weight")
    assert _ate(repeated, method).estimate == pytest.approx(weighted.estimate, rel=1e-10)


@pytest.mark.parametrize("method", ["difference", "regression", "ipw"])
@some
@given(seed=seeds, times=st.integers(2, 5))
def test_copies_within_a_cluster_add_nothing(method: str, seed: int, times: int) -> None:
    table = _table(seed)
    copied = table.loc[table.index.repeat(times)].assign(unit=lambda t: t.index).reset_index(drop=True)
    once = _ate(table.assign(unit=table.index), method, cluster="unit")
    many = _ate(copied, method, cluster="unit")
    assert many.estimate == pytest.approx(once.estimate, rel=1e-10)
    plain = [result.std_error / np.sqrt(result.variance.factor) for result in (once, many)]
    assert plain[1] == pytest.approx(plain[0], rel=1e-10)
    assert many.variance.df == once.variance.df == 59


@each_method
@some
@given(seed=seeds, a=st.floats(0.01, 100), b=st.floats(-100, 100), c=st.floats(-3, 3))
def test_covariates_in_other_units(method: str, seed: int, a: float, b: float, c: float) -> None:
    table = _table(seed)
    changed = table.assign(age=a * table["age"] + b)
    if method != "aipw":  # a penalty knows directions, least squares does not
        changed["wealth"] = table["wealth"] + c * table["age"]
    # a spread of 0.01 around 91 leaves least squares some ten digits
    _same(_ate(changed, method), _ate(table, method), tolerance=1e-6)


@each_method
@some
@given(seed=seeds)
def test_columns_in_another_order(method: str, seed: int) -> None:
    table = _table(seed)
    _same(_ate(table, method, covariates=["wealth", "age"]), _ate(table, method), tolerance=1e-9)


@each_method
@some
@given(seed=seeds, vcov=st.sampled_from(["iid", "hetero", "cluster"]))
def test_scores_average_to_zero_and_make_the_standard_error(method: str, seed: int, vcov: str) -> None:
    found = _ate(_table(seed), method, cluster="village", weights="weight").with_vcov(vcov)
    scores = found.score_values[:, 0]
    assert scores.mean() == pytest.approx(0, abs=1e-10 * max(1.0, np.abs(scores).max()))
    total = scores if vcov != "cluster" else np.bincount(_table(seed)["village"], weights=scores)
    assert found.std_error == pytest.approx(np.sqrt(found.variance.factor * (total**2).sum()) / 60, rel=1e-10)


@some
@given(seed=seeds, levels=st.tuples(st.floats(0.01, 0.999), st.floats(0.01, 0.999)), null=st.floats(-3, 3))
def test_intervals_nest_and_agree_with_p_values(seed: int, levels: tuple[float, float], null: float) -> None:
    found = _ate(_table(seed), "difference", cluster="village")
    narrow, wide = found.ci(min(levels)), found.ci(max(levels))
    assert wide[0] <= narrow[0] <= found.estimate <= narrow[1] <= wide[1]
    for level in levels:
        low, high = found.ci(level)
        p = found.p_value(null)
        if abs(p - (1 - level)) > 1e-9:
            assert (p < 1 - level) == (not low <= null <= high)


@each_method
@some
@given(seed=seeds)
def test_estimates_go_through_json(method: str, seed: int) -> None:
    found = _ate(_table(seed), method, cluster="village")
    assert ec.Estimate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))) == found


@some
@given(seed=seeds, k=st.integers(2, 6), shared=st.integers(1, 20))
def test_folds_part_the_units(seed: int, k: int, shared: int) -> None:
    table = _table(seed).assign(place=lambda t: np.random.default_rng(seed).integers(0, 8 + shared, size=60))
    asked = design(table, cluster="place")
    folds = ec.Folds(k=k).assign(asked, seed=seed)
    np.testing.assert_array_equal(ec.Folds(k=k).assign(asked, seed=seed), folds)
    assert sorted(set(folds.tolist())) == list(range(k))
    assert (pd.Series(folds).groupby(table["place"].to_numpy()).agg(np.ptp) == 0).all()


@some
@given(seed=seeds, start=st.integers(0, 40))
def test_a_difference_of_estimates_is_antisymmetric_and_stacks(seed: int, start: int) -> None:
    table = _table(seed)
    first = _ate(table, "difference")
    second = _ate(table.iloc[: 60 - start] if start else table, "ipw")
    gap, back = first - second, second - first
    assert back.estimate == pytest.approx(-gap.estimate, rel=1e-12, abs=1e-14)
    assert back.std_error == pytest.approx(gap.std_error, rel=1e-12)
    stacked = (first.scores["grant"] / first.n).sub(second.scores["grant"] / second.n, fill_value=0)
    assert gap.std_error == pytest.approx(np.sqrt(60 / 59 * (stacked**2).sum()), rel=1e-9)


@some
@given(seed=seeds, a=st.floats(0.01, 1e6), b=st.floats(-1e6, 1e6))
def test_smd_has_a_sign_and_no_units(seed: int, a: float, b: float) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(40, 2)), np.arange(40) % 2 * 1.0
    w = rng.uniform(0.5, 2, size=40)
    base = standardised_differences(x, t, weights=w)
    np.testing.assert_allclose(standardised_differences(a * x + b, t, weights=w), base, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(standardised_differences(x, 1 - t, weights=w), -base, rtol=1e-12)
    same = np.repeat(x[:20], 2, axis=0)
    np.testing.assert_allclose(standardised_differences(same, t, weights=np.ones(40)), 0, atol=1e-12)


@some
@given(seed=seeds)
def test_balance_and_overlap_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    table = _table(seed)
    order = np.random.default_rng(seed).permutation(60)
    one, two = design(table), design(table.iloc[order])
    first, second = ec.balance(one), ec.balance(two)
    np.testing.assert_allclose(second.to_frame()["smd"], first.to_frame()["smd"], rtol=1e-9)
    assert second.joint_p_value == pytest.approx(first.joint_p_value, rel=1e-8)
    left = ec.overlap(one, learners=FAST, folds=THREE)
    right = ec.overlap(two, learners=FAST, folds=THREE)
    assert right.estimate == pytest.approx(left.estimate, abs=1e-12)
    assert right.std_error == pytest.approx(left.std_error, rel=1e-9)
