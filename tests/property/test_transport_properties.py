"""What must hold of every transported average: order of rows, scale, weights as copies, places counted twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.evaluate.transport_result import Transport
from eocausal.inference.transported import doubly_robust_transport, inverse_odds
from tests.transport_worlds import BLIND, FITTED, effects, study, target


@st.composite
def samples(draw: st.DrawFn) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m = draw(st.integers(3, 40)), draw(st.integers(2, 40))
    return {
        "scores": rng.normal(size=n), "predicted": rng.normal(size=n), "odds": rng.uniform(0.01, 5, size=n),
        "there": rng.normal(size=m), "weights": rng.integers(1, 5, size=m).astype(float),
    }  # fmt: skip


def _robust(one: dict[str, np.ndarray]):
    return doubly_robust_transport(
        one["scores"],
        one["predicted"],
        one["odds"],
        target_effects=one["there"],
        target_weights=one["weights"],
    )


@given(samples())
@settings(max_examples=60, deadline=None)
def test_a_weight_of_a_place_is_as_many_copies_of_it(one: dict[str, np.ndarray]) -> None:
    copies = one["weights"].astype(int)
    many = {**one, "there": np.repeat(one["there"], copies), "weights": np.ones(copies.sum())}
    assert _robust(many).estimate == pytest.approx(_robust(one).estimate, abs=1e-10)
    added = np.add.reduceat(_robust(many).parts, np.r_[0, np.cumsum(copies)[:-1]])
    np.testing.assert_allclose(added, _robust(one).parts, atol=1e-10)


@given(samples(), st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_scale_and_shift_of_effects_go_through(
    one: dict[str, np.ndarray], shift: float, scale: float
) -> None:
    moved = {**one, **{name: scale * one[name] + shift for name in ("scores", "predicted", "there")}}
    assert _robust(moved).estimate == pytest.approx(scale * _robust(one).estimate + shift, abs=1e-9)
    np.testing.assert_allclose(_robust(moved).scores, scale * _robust(one).scores, atol=1e-9)


@given(samples())
@settings(max_examples=60, deadline=None)
def test_influence_values_and_parts_sum_to_zero(one: dict[str, np.ndarray]) -> None:
    made = _robust(one)
    assert made.scores.sum() == pytest.approx(0, abs=1e-9)
    assert made.parts.sum() == pytest.approx(0, abs=1e-10)
    plain = inverse_odds(one["scores"], one["odds"], n_target=3)
    assert one["scores"].min() - 1e-12 <= plain.estimate <= one["scores"].max() + 1e-12


@given(samples())
@settings(max_examples=60, deadline=None)
def test_predictions_that_are_one_value_leave_inverse_odds(one: dict[str, np.ndarray]) -> None:
    flat = {**one, "predicted": np.full_like(one["predicted"], 3.0), "there": np.full_like(one["there"], 3.0)}
    expected = inverse_odds(one["scores"], one["odds"], n_target=1).estimate
    assert _robust(flat).estimate == pytest.approx(expected, abs=1e-10)


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return effects(study(120))


@pytest.fixture(scope="module")
def carried(cate: ec.Cate) -> Transport:
    return ec.transport(cate, ec.Target(target(90)), learners=FITTED)


def test_the_order_of_places_does_not_matter_where_the_odds_do_not(cate: ec.Cate) -> None:
    one = ec.transport(cate, ec.Target(target(90)), learners=BLIND)
    turned = ec.transport(cate, ec.Target(target(90).sample(frac=1, random_state=3)), learners=BLIND)
    assert turned.estimate == pytest.approx(one.estimate, abs=1e-12)
    assert turned.std_error == pytest.approx(one.std_error, rel=1e-12)


def test_the_order_of_places_moves_nothing(cate: ec.Cate, carried: Transport) -> None:
    turned = ec.transport(cate, ec.Target(target(90).sample(frac=1, random_state=3)), learners=FITTED)
    assert turned.estimate == pytest.approx(carried.estimate, abs=1e-9)
    assert turned.std_error == pytest.approx(carried.std_error, rel=1e-9)
    same = turned.places.loc[carried.ids]
    np.testing.assert_allclose(same["distance"], carried.distances, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(same["outside"], ~carried.inside)


def test_the_order_of_the_study_moves_nothing(carried: Transport) -> None:
    cate = effects(study(120).sample(frac=1, random_state=1))
    turned = ec.transport(cate, ec.Target(target(90)), learners=FITTED)
    assert turned.estimate == pytest.approx(carried.estimate, abs=1e-9)
    assert turned.std_error == pytest.approx(carried.std_error, rel=1e-9)


def test_the_scale_of_the_outcome_goes_through(carried: Transport) -> None:
    table = study(120)
    found = ec.transport(
        effects(table.assign(income=10 * table["income"] + 7)), ec.Target(target(90)), learners=FITTED
    )
    assert found.estimate == pytest.approx(10 * carried.estimate, rel=1e-5)
    assert found.std_error == pytest.approx(10 * carried.std_error, rel=1e-5)
    np.testing.assert_allclose(found.odds, carried.odds)


def test_places_twice_are_surer_of_the_target_and_say_the_same(cate: ec.Cate) -> None:
    table = target(90)
    other = table.set_axis([f"u{name}" for name in table.index])

    one = ec.transport(cate, ec.Target(table), learners=BLIND)
    twice = ec.transport(cate, ec.Target(pd.concat([table, other])), learners=BLIND)
    assert twice.estimate == pytest.approx(one.estimate, abs=1e-12)
    drawn = pd.concat([table, other]).assign(drawn=np.tile(np.arange(90), 2))
    together = ec.transport(cate, ec.Target(drawn, cluster="drawn"), learners=BLIND)
    assert together.std_error == pytest.approx(one.std_error, rel=1e-9)
    assert twice.std_error < one.std_error
