"""Cells, tables and spline columns that scores are made of, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from eocausal.debiasing.binning import bin_values
from eocausal.debiasing.even_table import EvenTable
from eocausal.debiasing.spline_basis import spline_columns
from eocausal.debiasing.units_worth import units_worth

SAMPLE = np.random.default_rng(0).gamma(3, 2, size=20_000)
WEIGHTS = np.random.default_rng(1).uniform(0, 3, size=20_000)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_and_moments_are_those_of_numpy(dtype: type, weighted: bool) -> None:
    sample, weights = SAMPLE.astype(dtype), WEIGHTS if weighted else None
    found = bin_values(sample, weights)
    exact = sample.astype(float)
    known, _ = np.histogram(exact, found.counts.size, range=(found.low, found.high), weights=weights)
    # a row on an edge may fall to either side of it
    assert np.abs(np.cumsum(found.counts - known)).max() <= 3
    assert found.coarse(120).shape == (120,)
    assert found.total == pytest.approx(20_000 if weights is None else weights.sum())
    assert found.mean == pytest.approx(np.average(exact, weights=weights), rel=1e-12)
    spread = np.average((exact - found.mean) ** 2, weights=weights)
    assert found.variance == pytest.approx(spread, rel=1e-10)


def test_edges_of_cells_hold_the_mean_of_the_rows() -> None:
    found = bin_values(SAMPLE)
    nodes = found.nodes()
    edges = np.linspace(found.low, found.high, nodes.size)
    assert nodes.sum() == pytest.approx(20_000)
    assert nodes @ edges / nodes.sum() == pytest.approx(SAMPLE.mean(), rel=1e-12)


def test_quantiles_are_those_of_the_rows_to_a_cell() -> None:
    found = bin_values(SAMPLE, WEIGHTS)
    for share in (0.001, 0.25, 0.5, 0.9, 0.999):
        known = np.quantile(SAMPLE, share, weights=WEIGHTS, method="inverted_cdf")
        assert abs(found.quantile(share) - known) < 5 * found.width


def test_a_far_row_does_not_take_the_cells() -> None:
    for far in (1e3, 1e6, -1e12):
        found = bin_values(np.append(SAMPLE, far))
        assert found.below + found.above >= 1
        assert found.high - found.low < 40
        assert found.total == 20_001
        assert (found.smallest, found.largest) == (min(far, SAMPLE.min()), max(far, SAMPLE.max()))
    whole = bin_values(SAMPLE)
    assert (whole.low, whole.high, whole.below, whole.above) == (SAMPLE.min(), SAMPLE.max(), 0, 0)


def test_units_that_rows_are_worth() -> None:
    values, weights = SAMPLE[:500], WEIGHTS[:500]
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert units_worth(values, None) == 500
    assert units_worth(values, weights) == pytest.approx(kish)
    assert units_worth(np.tile(values, 3), np.tile(weights / 3, 3)) == pytest.approx(kish)
    # rounded values repeat without being the same unit
    assert units_worth(values.round(), weights) == pytest.approx(kish)


@pytest.mark.parametrize("values", [
    np.round(30 * np.random.default_rng(3).normal(size=300)),
    np.round(np.random.default_rng(4).normal(size=300), 2),
    np.round(np.random.default_rng(4).normal(size=300), 2).astype(np.float32),
    np.where(np.arange(3000) % 2, 0.0, np.random.default_rng(5).normal(size=3000)),
    np.clip(np.random.default_rng(6).normal(50, 40, size=3000), 0, 100),
], ids=["integers", "cents", "float32", "half 0", "bounded"])  # fmt: skip
def test_rows_that_are_rounded_or_stop_at_a_bound_are_units_each(values: np.ndarray) -> None:
    assert units_worth(values, np.ones(values.size)) == pytest.approx(values.size, rel=0.01)


def test_rows_of_a_bootstrap_are_units_seen_again() -> None:
    rng = np.random.default_rng(7)
    times = np.bincount(rng.integers(0, 2000, size=2000), minlength=2000)
    drawn = np.repeat(SAMPLE[:2000], times)
    assert units_worth(drawn, np.ones(2000)) == pytest.approx(2000**2 / (times**2).sum())
    assert units_worth(drawn.astype(np.float32), np.ones(2000)) == pytest.approx(
        2000**2 / (times**2).sum(), rel=0.01
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 10_000))
def test_tables_are_hermite_cubics(points: int, low: float, width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, slopes = rng.normal(size=points), rng.normal(size=points) / width
    table = EvenTable(low, low + width, values, slopes)
    known = CubicHermiteSpline(table.grid, values, slopes)
    # not at the points, where rounding decides which of two cubics a place belongs to
    places = low + width * rng.uniform(0.001, 0.999, size=50)
    assert np.allclose(table.at(places), known(places), rtol=1e-6, atol=1e-6)
    assert np.allclose(table.slope(places) * width, known(places, 1) * width, rtol=1e-4, atol=1e-4 * points)
    far = np.array([low - width, low + 2 * width])
    assert table.at(far).tolist() == [values[0], values[-1]]
    assert table.slope(far).tolist() == [0.0, 0.0]


def test_tables_keep_shape_and_read_any_number() -> None:
    table = EvenTable(0.0, 1.0, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert table.at([[0, 1], [1, 0]]).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert float(table.at(0.25)) == 0.25
    assert table.at(np.float32([0.5, np.nan]))[0] == 0.5
    assert np.isnan(table.at([np.nan])).all()
    assert np.isnan(table.slope([np.nan])).all()
    assert table.at(np.array([])).shape == (0,)


def test_spline_columns_are_natural_splines_and_straight_beyond() -> None:
    knots = np.array([-2.0, 0.0, 0.5, 3.0, 7.0])
    heights = np.array([1.0, -2.0, 0.5, 4.0, 3.0])
    known = CubicSpline(knots, heights, bc_type="natural")
    places = np.linspace(-2, 7, 91)
    for order in (0, 1, 2):
        assert np.allclose(spline_columns(knots, places, order) @ heights, known(places, order), atol=1e-9)
    beyond = spline_columns(knots, np.array([-3.0, 9.0])) @ heights
    assert beyond == pytest.approx([heights[0] - known(-2.0, 1), heights[-1] + 2 * known(7.0, 1)])
    assert np.allclose(spline_columns(knots, np.array([-3.0, 9.0]), 1) @ heights, known([-2.0, 7.0], 1))
    assert not (spline_columns(knots, np.array([-3.0, 9.0]), 2) @ heights).any()
    assert np.allclose(spline_columns(knots, places).sum(axis=1), 1)
