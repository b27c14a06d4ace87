"""E-values against published ones, and against confounders that are built."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocausal.sensitivities import association_ratios as ratios
from eocausal.sensitivities.association_ratios import EValue, Ratio


@pytest.mark.parametrize(
    ("ratio", "point", "limit"),
    [
        (Ratio(3.9, 1.8, 8.7), 7.263034, 3.0),
        (Ratio(10.72978, 8.017457, 14.4), 20.947333, 15.518268),
        (Ratio(0.80, 0.71, 0.91), 1.8090170, 1.4285714),
        (Ratio(1.1, 0.9, 1.3), 1.4316625, 1.0),
    ],
)
def test_published_risk_ratios(ratio, point, limit):
    found = ratios.evalue_of_interval(ratio)
    assert found == pytest.approx((point, limit), abs=2e-6)


def test_a_risk_ratio_of_two():
    assert ratios.evalue_of_ratio(2.0) == pytest.approx(3.4142136, abs=1e-7)
    assert ratios.evalue_of_ratio(1.0) == 1.0


def test_a_published_hazard_ratio():
    ratio = Ratio(*(ratios.of_hazards(one) for one in (0.56, 0.46, 0.69)))
    assert ratio.value == pytest.approx(0.670084, abs=1e-6)
    assert ratio.high == pytest.approx(0.773527, abs=1e-6)
    assert ratios.evalue_of_interval(ratio) == pytest.approx((2.349531, 1.908004), abs=1e-6)
    assert ratios.of_hazards(0.56, rare=True) == 0.56
    assert ratios.of_hazards(1.0) == pytest.approx(1.0)


def test_odds_ratios():
    assert ratios.of_odds(4.0) == 2.0
    assert ratios.of_odds(4.0, rare=True) == 4.0


def test_a_published_difference():
    """0.5 standard deviations with standard error 0.25, of which the source takes 1.78 in place of 0.91 x 1.96."""
    value = ratios.of_difference(0.5, 1.0)
    off = np.exp(1.78 * 0.25)
    ratio = Ratio(value, value / off, value * off)
    assert ratio == pytest.approx((1.576173, 1.010050, 2.459603), abs=1e-6)
    assert ratios.evalue_of_interval(ratio) == pytest.approx((2.529142, 1.110803), abs=1e-6)


def confounded(with_treatment: float, with_outcome: float) -> float:
    """Return the observed risk ratio where treatment does nothing and one rare cause does all, at its worst."""
    # nobody untreated has the cause more often than one in `with_treatment` of the treated, all of whom have it
    treated = with_outcome
    untreated = 1 + (with_outcome - 1) / with_treatment
    return treated / untreated


@pytest.mark.parametrize("ratio", [1.2, 2.0, 3.9, 10.7])
def test_a_confounder_of_that_strength_explains_it_away(ratio):
    joint = ratios.evalue_of_ratio(ratio)
    assert confounded(joint, joint) == pytest.approx(ratio)
    assert float(ratios.moved_by(joint, joint)) == pytest.approx(ratio)
    weaker = 0.99 * joint
    assert confounded(weaker, weaker) < ratio


@given(
    share_treated=st.floats(0.01, 1),
    share_control=st.floats(0.01, 1),
    with_outcome=st.floats(1.0, 20),
)
def test_no_binary_confounder_moves_more_than_its_bound(share_treated, share_control, with_outcome):
    """Ding and VanderWeele's bound, over confounders of any share in both arms."""
    observed = (1 + share_treated * (with_outcome - 1)) / (1 + share_control * (with_outcome - 1))
    with_treatment = max(
        share_treated / share_control, (1 - share_treated) / max(1 - share_control, 1e-12), 1.0
    )
    assert observed <= float(ratios.moved_by(with_treatment, with_outcome)) + 1e-9


@given(ratio=st.floats(0.05, 20), null=st.floats(0.2, 5))
def test_coding_treatment_the_other_way_round_changes_nothing(ratio, null):
    assert ratios.evalue_of_ratio(1 / ratio, 1 / null) == pytest.approx(ratios.evalue_of_ratio(ratio, null))
    assert ratios.evalue_of_ratio(ratio * null, null) == pytest.approx(
        ratios.evalue_of_ratio(ratio), rel=1e-6
    )


def test_pairs_that_are_enough_are_enough():
    across = np.array([4.0, 7.0, 50.0])
    up = ratios.enough_with(across, 3.9)
    assert ratios.moved_by(across, up) == pytest.approx(3.9)
    assert float(ratios.enough_with(np.array([7.263034]), 3.9)[0]) == pytest.approx(7.263034, abs=1e-4)


def test_larger_ratios_have_larger_evalues():
    values = [ratios.evalue_of_ratio(one) for one in np.linspace(1, 10, 40)]
    assert (np.diff(values) > 0).all()
    assert isinstance(ratios.evalue_of_interval(Ratio(2.0, 1.5, 3.0)), EValue)
