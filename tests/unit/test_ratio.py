"""Fieller's set: what a scan of all ratios finds, of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocausal.inference.ratio import FiellerSet, fieller, ratio_loadings

CASES = {
    "interval": (1.0, 2.0, np.array([[0.04, 0.01], [0.01, 0.09]])),
    "rays": (3.0, 0.2, np.array([[0.04, 0.0], [0.0, 0.09]])),
    "line": (0.1, 0.2, np.array([[0.04, 0.01], [0.01, 0.09]])),
}


def _held(ratio: np.ndarray, top: float, bottom: float, matrix: np.ndarray, critical: float) -> np.ndarray:
    away = (top - ratio * bottom) ** 2
    error = matrix[0, 0] - 2 * ratio * matrix[0, 1] + ratio**2 * matrix[1, 1]
    return away <= critical**2 * error


@pytest.mark.parametrize("kind", CASES)
def test_it_holds_the_ratios_that_a_scan_does(kind: str) -> None:
    top, bottom, matrix = CASES[kind]
    found = fieller(top, bottom, matrix, critical=1.96)
    assert found.kind == kind
    ratios = np.linspace(-200, 200, 40_001)
    assert [found.holds(one) for one in ratios] == _held(ratios, top, bottom, matrix, 1.96).tolist()


def test_with_a_known_denominator_it_is_the_usual_interval() -> None:
    found = fieller(1.0, 2.0, np.array([[0.04, 0.0], [0.0, 0.0]]), critical=2.0)
    assert (found.low, found.high) == pytest.approx(((1 - 0.4) / 2, (1 + 0.4) / 2))


def test_all_ratios_hold_where_nothing_is_known() -> None:
    assert fieller(0.0, 0.0, np.zeros((2, 2)), critical=2.0) == FiellerSet(-np.inf, np.inf, "line")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.booleans())
def test_units_of_both_parts_and_their_signs_do_not_matter(seed: int, scale: float, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    top, bottom = rng.normal(size=2)
    root = 0.5 * rng.normal(size=(2, 2))
    matrix = root @ root.T
    sign = -1.0 if turned else 1.0
    plain = fieller(top, bottom, matrix, critical=1.96)
    other = fieller(sign * scale * top, sign * scale * bottom, scale**2 * matrix, critical=1.96)
    assert other.kind == plain.kind
    assert (other.low, other.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


def test_loadings_are_the_slopes_of_a_ratio() -> None:
    step = 1e-6
    by_hand = [((1.2 + step) / 0.4 - 3) / step, (1.2 / (0.4 + step) - 3) / step]
    assert ratio_loadings(1.2, 0.4).ravel() == pytest.approx(by_hand, rel=1e-4)
