"""How often spatial tests of an estimate find what is not there, and what is."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from tests.spatial_studies import on_the_map, scattered, shocks, table

pytestmark = pytest.mark.slow

UNITS = 300


def _draws(
    count: int, *, method: str, seed: int, **world: float
) -> list[tuple[ec.Estimate, dict[str, float]]]:
    coordinates = scattered(UNITS, seed=seed)
    made = []
    for draw in range(count):
        design = on_the_map(table(coordinates, seed=seed + 1 + draw, **world))
        estimate = ec.ate(design, method=method)
        result = ec.sensitivity(estimate, kind="spatial", rings=["10km", "20km"], buffers=["5km", "10km"])
        made.append((result.estimates["rings"], dict(result.numbers)))
    return made


def test_nothing_is_found_where_units_are_independent() -> None:
    draws = _draws(200, method="ols", seed=100)
    share = {
        name: np.mean([numbers[name] < 0.05 for _, numbers in draws])
        for name in (
            "moran_residuals_p",
            "moran_influence_p",
            "buffers_joint_p",
            "buffer_difference_p",
            "rings_joint_p",
        )
    }
    # Monte Carlo standard error 0.015
    assert all(0.005 <= one <= 0.105 for one in share.values()), share


def test_likeness_is_found_where_treatment_and_shocks_are_alike() -> None:
    draws = _draws(60, method="ols", seed=200, reach_km=25.0)
    found = (
        np.array([[numbers["moran_residuals_p"], numbers["moran_influence_p"]] for _, numbers in draws])
        < 0.05
    )
    assert found[:, 0].mean() > 0.95
    assert found[:, 1].mean() > 0.5
    grown = np.array([numbers["conley_ratio"] for _, numbers in draws])
    assert np.median(grown) > 1.1


def test_rings_recover_the_spillover_that_buffers_show() -> None:
    draws = _draws(100, method="ols", seed=300, spillover=1.0)
    inside = [one.ci()[1][0] <= 1.0 <= one.ci()[1][1] for one, _ in draws]
    own = [one.ci()[0][0] <= 0.5 <= one.ci()[0][1] for one, _ in draws]
    # Monte Carlo standard error 0.022
    assert np.mean(inside) > 0.88
    assert np.mean(own) > 0.88
    assert np.mean([one.values[1] for one, _ in draws]) == pytest.approx(1.0, abs=0.08)
    assert np.mean([numbers["rings_joint_p"] < 0.05 for _, numbers in draws]) > 0.8
    assert np.mean([numbers["buffer_difference"] for _, numbers in draws]) > 0.05


@pytest.mark.parametrize("by_lot", [True, False])
def test_rings_are_found_too_often_where_shocks_are_alike_and_that_is_told(by_lot: bool) -> None:
    rejected, told = [], []
    for draw in range(100):
        coordinates = scattered(UNITS, seed=draw)
        frame = table(coordinates, seed=draw, reach_km=0.0 if by_lot else 25.0)
        if by_lot:
            shock = shocks(coordinates, reach_km=25.0, count=1, rng=np.random.default_rng(draw + 77))[:, 0]
            frame["income"] = 1 + 0.5 * frame["grant"] + 0.5 * frame["age"] + shock
        result = ec.sensitivity(
            ec.ate(on_the_map(frame), method="ols"), kind="spatial", tests=["moran", "rings"]
        )
        rejected.append(result.numbers["rings_joint_p"] < 0.05)
        told.append(any(text.startswith("rings are found too often") for text in result.warnings))
    # nothing spills over; Monte Carlo standard error 0.045
    assert 0.1 < np.mean(rejected) < 0.45
    assert np.mean(told) > 0.95
