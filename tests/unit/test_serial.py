"""Conley's variance of panels, flat distances, and the index of a panel, against loops and limits."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyproj
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.conley import conley_variance
from eocausal.inference.estimate import Estimate
from eocausal.inference.how import Vcov
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.projected import project, read_crs
from eocausal.inference.serial import panel_sum, shortest_step, within_units
from eocausal.inference.spatial import EARTH_RADIUS_M, kernel_sum
from eocausal.inference.variance import score_variance


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, PanelIndex]:
    """Scores, places and index of 9 units over years with gaps, some rows missing, in mixed order."""
    rng = np.random.default_rng(1)
    years = np.array([2001, 2002, 2004, 2007])
    unit, year = np.repeat(np.arange(9), 4), np.tile(years, 9)
    kept = rng.permutation(36)[:30]
    unit, year = unit[kept], year[kept]
    places = rng.uniform([33.0, 0.0], [35.0, 2.0], size=(9, 2))[unit]
    scores = rng.normal(size=(30, 2)) + rng.normal(size=(9, 2))[unit]
    return scores - scores.mean(axis=0), places, PanelIndex(np.array(list("abcdefghi"))[unit], year)


def kilometres(places: np.ndarray) -> np.ndarray:
    """Great circles by the haversine formula."""
    lon, lat = np.radians(places).T
    half = np.sin((lat[:, None] - lat) / 2) ** 2
    half = half + np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_M / 1000 * np.arcsin(np.sqrt(half))


@pytest.mark.parametrize("kernel", ["uniform", "bartlett"])
@pytest.mark.parametrize("serial", [0, 1, 2, 4, "all"])
def test_pairs_of_one_period_by_distance_and_of_one_unit_by_time(
    rows: tuple[np.ndarray, np.ndarray, PanelIndex], kernel: str, serial: int | str
) -> None:
    scores, places, panel = rows
    km = kilometres(places)
    expected = np.zeros((2, 2))
    for i in range(30):
        for j in range(30):
            apart = abs(panel.period[i] - panel.period[j])
            weight = 0.0
            if panel.unit[i] == panel.unit[j]:
                weight = 1.0 if serial == "all" else max(0.0, 1 - apart / (serial + 1))
            elif apart == 0:
                weight = float(km[i, j] <= 80) if kernel == "uniform" else max(0.0, 1 - km[i, j] / 80)
            expected += weight * np.outer(scores[i], scores[j])
    found = panel_sum(scores, places, panel, cutoff_m=80_000, kernel=kernel, serial=serial)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_an_endless_cutoff_and_all_of_time_is_clustering_by_unit_and_period(
    rows: tuple[np.ndarray, np.ndarray, PanelIndex],
) -> None:
    scores, places, panel = rows
    # means of units and periods stay in, so that the terms do not cancel
    how = Vcov("conley", cutoff_m=2_000_000.0, kernel="uniform", serial="all")
    found, _ = conley_variance(scores, how, places, n_params=1, panel=panel)
    labels = [panel.unit, panel.period]
    total = sum(scores[one == label].sum(axis=0)[:, None] * scores[one == label].sum(axis=0)
                for one in labels for label in np.unique(one))  # fmt: skip
    np.testing.assert_allclose(found.matrix / found.factor, (total - scores.T @ scores) / 30**2, rtol=1e-9)
    both = score_variance(scores + 1.0, vcov="cluster", clusters=labels)
    wide, _ = conley_variance(scores + 1.0, how, places, n_params=1, panel=panel)
    np.testing.assert_allclose(wide.matrix / wide.factor, both.matrix / both.factor, rtol=1e-9)


def test_places_apart_and_all_of_time_is_clustering_by_unit(
    rows: tuple[np.ndarray, np.ndarray, PanelIndex],
) -> None:
    scores, places, panel = rows
    how = Vcov("conley", cutoff_m=1.0, kernel="uniform")
    found = score_variance(scores, vcov=how, coordinates=places, panel=panel)
    clustered = score_variance(scores, vcov="cluster", clusters=panel.unit)
    np.testing.assert_allclose(found.matrix / found.factor, clustered.matrix / clustered.factor, rtol=1e-9)
    # what was not asked is all of time, and that is told; and there are no more places than units
    assert found.how.label == "conley(1 m, uniform, serial all)"
    assert "as if there were 9 separate places" in found.notes[0]


def test_gaps_count_by_their_years(rows: tuple[np.ndarray, np.ndarray, PanelIndex]) -> None:
    scores, places, panel = rows
    coded = PanelIndex(panel.unit, np.searchsorted([2001, 2002, 2004, 2007], panel.period))
    by_year, by_row = (within_units(scores, one, serial=1) for one in (panel, coded))
    assert not np.allclose(by_year, by_row)
    shifted = PanelIndex(panel.unit, panel.period + 100)
    np.testing.assert_array_equal(within_units(scores, shifted, serial=1), by_year)
    every_third = PanelIndex(panel.unit, 3 * coded.period)
    how = Vcov("conley", cutoff_m=1000.0, kernel="uniform", serial=2)
    found = score_variance(scores, vcov=how, coordinates=places, panel=every_third)
    assert "serial 2 reaches no two periods, which are at least 3 apart" in found.notes[-1]
    np.testing.assert_allclose(found.matrix / found.factor, scores.T @ scores / 30**2, rtol=1e-9)


def test_rows_in_any_order_give_the_same(rows: tuple[np.ndarray, np.ndarray, PanelIndex]) -> None:
    scores, places, panel = rows
    order = np.random.default_rng(0).permutation(30)
    options = {"cutoff_m": 90_000.0, "kernel": "bartlett", "serial": 3}
    np.testing.assert_allclose(
        panel_sum(scores[order], places[order], panel.take(order), **options),
        panel_sum(scores, places, panel, **options),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip


def result(rows: tuple[np.ndarray, np.ndarray, PanelIndex], panel: PanelIndex | None) -> Estimate:
    scores, places, _ = rows
    made = score_variance(scores)
    return Estimate(
        estimand="ate", method="twfe", terms=("a", "b"), values=np.array([1.0, 2.0]), ids=np.arange(30),
        score_values=scores, variance=made, coordinates=places, panel=panel,
    )  # fmt: skip


def test_results_of_panels_go_through_json_and_keep_their_index(
    rows: tuple[np.ndarray, np.ndarray, PanelIndex],
) -> None:
    found = result(rows, rows[2]).with_vcov({"conley": "80km", "serial": 2})
    assert found.vcov == "conley(80 km, uniform, serial 2)"
    by_hand = panel_sum(rows[0], rows[1], rows[2], cutoff_m=80_000, kernel="uniform", serial=2)
    np.testing.assert_allclose(found.variance.matrix, by_hand / 30**2, rtol=1e-9)
    back = Estimate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    again = back.with_vcov({"conley": "80km", "serial": "all"})
    np.testing.assert_array_equal(again.std_error, found.with_vcov({"conley": "80km"}).std_error)


def test_serial_is_for_panels(rows: tuple[np.ndarray, np.ndarray, PanelIndex]) -> None:
    with pytest.raises(EstimationError, match=r"serial=2 was asked for, but this result is not of a panel"):
        result(rows, None).with_vcov({"conley": "80km", "serial": 2})
    with pytest.raises(EstimationError, match=r"serial=-1[\s\S]*at least 0"):
        result(rows, rows[2]).with_vcov({"conley": "80km", "serial": -1})
    with pytest.raises(EstimationError, match=r"serial='every'"):
        result(rows, rows[2]).with_vcov({"conley": "80km", "serial": "every"})


@pytest.mark.parametrize(
    ("unit", "period", "words"),
    [
        ([1, 1], [1], r"unit has shape \(2,\) and period has shape \(1,\)"),
        ([1, 1], [1.0, np.nan], "no finite number"),
        ([1, 1], ["2001", "2002"], "no finite number"),
        ([1, 1, 2], [2001, 2001, 2001], r"1 rows have a unit and a period[\s\S]*1 in 2001"),
    ],
)
def test_indices_that_are_none(unit: list[object], period: list[object], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        PanelIndex(np.array(unit), np.array(period))


def test_labels_of_two_kinds_are_no_units() -> None:
    with pytest.raises(EstimationError, match=r"unit holds int, str"):
        PanelIndex(np.array([1, "a"], dtype=object), np.array([1, 2]))


def test_one_row_a_unit_has_no_step() -> None:
    assert shortest_step(PanelIndex(np.arange(3), np.array([1, 2, 3]))) == np.inf


@pytest.mark.parametrize("kernel", ["uniform", "bartlett"])
def test_flat_distances_by_hand(kernel: str) -> None:
    rng = np.random.default_rng(2)
    places = rng.uniform([32.0, 0.0], [34.0, 2.0], size=(300, 2))
    values = rng.normal(size=(300, 2))
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32636", always_xy=True)
    east, north = to_utm.transform(*places.T)
    metres = np.hypot(east[:, None] - east, north[:, None] - north)
    weight = (metres <= 40_000).astype(float) if kernel == "uniform" else np.maximum(1 - metres / 40_000, 0)
    found = kernel_sum(values, project(places, "EPSG:32636"), cutoff_m=40_000, kernel=kernel, plane=True)
    np.testing.assert_allclose(found, values.T @ weight @ values, rtol=1e-9)
    # the scale of a zone is 0.9996 at its middle, so that a circle is nearly as large
    round_earth = kernel_sum(values, places, cutoff_m=40_000, kernel=kernel)
    np.testing.assert_allclose(np.diag(found), np.diag(round_earth), rtol=0.05)


def test_flat_distances_in_a_result() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"id": range(200), "lon": rng.uniform(32, 34, 200), "lat": rng.uniform(0, 2, 200)})
    table = table.assign(grant=rng.integers(0, 2, 200), income=rng.normal(size=200))
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    made = ec.ate(ec.Design(units, outcome="income", treatment="grant"), method="difference")
    flat = made.with_vcov({"conley": "20km", "crs": "EPSG:32636"})
    assert flat.vcov == "conley(20 km, uniform, EPSG:32636)"
    assert flat.std_error == pytest.approx(made.with_vcov({"conley": "20km"}).std_error, rel=0.05)
    assert flat.std_error == made.with_vcov({"conley": "20km", "crs": 32636}).std_error
    with pytest.raises(EstimationError, match=r"outside of the area of EPSG:25832[\s\S]*leave crs out"):
        made.with_vcov({"conley": "20km", "crs": "EPSG:25832"})


@pytest.mark.parametrize(
    ("crs", "words"),
    [
        ("EPSG:4326", r"is in degrees[\s\S]*UTM zone"),
        ("EPSG:2263", r"is in .*foot[\s\S]*distances are in metres"),
        ("nowhere", r"crs='nowhere' is not a reference system for distances"),
    ],
)
def test_reference_systems_without_metres(crs: str, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        read_crs(crs)


def test_a_system_across_the_180th_meridian_holds_both_sides() -> None:
    # New Zealand's shelf, from 160.6 east to 171.2 west
    places = np.array([[179.5, -40.0], [-179.5, -40.0]])
    metres = project(places, "EPSG:3851")
    assert np.linalg.norm(metres[0] - metres[1]) == pytest.approx(kilometres(places)[0, 1] * 1000, rel=0.01)
    with pytest.raises(EstimationError, match=r"1 \(0\)"):
        project(np.array([[10.0, -40.0], [175.0, -40.0]]), "EPSG:3851")
