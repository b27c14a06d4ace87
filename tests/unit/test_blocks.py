"""Cells of the grid are as large in metres everywhere, and blocks of units stay whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.blocks import cells
from eocausal.inference.spatial import EARTH_RADIUS_M
from eocausal.nuisance.training_folds import TrainingFold
from tests.studies import study


def _placed(n: int = 240, *, seed: int = 0, **options: object) -> ec.Design:
    """A study of units around twelve towns, each at least 300 km from the next."""
    rng = np.random.default_rng(seed)
    table = study(n, seed=seed).reset_index()
    town = np.arange(n) % 12
    table["lon"] = 10 + 4 * (town % 4) + rng.uniform(-0.05, 0.05, n)
    table["lat"] = 40.5 + 4 * (town // 4) + rng.uniform(-0.05, 0.05, n)
    table["town"], table["round"] = town, np.arange(n) // 12 % 2
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    return ec.Design(units, outcome="income", treatment="grant", covariates=["age"], **options)


@pytest.mark.parametrize("latitude", [-60.0, 0.0, 45.0, 70.0])
@pytest.mark.parametrize("block_m", [5_000, 250_000])
def test_a_cell_is_as_wide_and_as_tall_as_asked(latitude: float, block_m: float) -> None:
    rng = np.random.default_rng(3)
    span = 4 * block_m / 111_000
    lat = latitude + rng.uniform(-span, span, 4000)
    lon = 20 + rng.uniform(-span, span, 4000) / np.cos(np.radians(latitude))
    codes = cells(np.column_stack([lon, lat]), block_m=block_m)
    metres = np.radians(1) * EARTH_RADIUS_M
    for code in np.unique(codes):
        own = codes == code
        middle = (lat[own].max() + lat[own].min()) / 2
        assert np.ptp(lat[own]) * metres <= block_m * 1.01
        # the row's middle is at most half a cell away, which matters where cells are large and far north
        slack = 1.01 + 0.5 * block_m / EARTH_RADIUS_M * abs(np.tan(np.radians(middle)))
        assert np.ptp(lon[own]) * metres * np.cos(np.radians(middle)) <= block_m * slack
    # 64 cells lie in the square of eight by eight; those at its edge are cut
    assert 60 <= np.unique(codes).size <= 110


def test_cells_cover_the_globe_evenly() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60_000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    where = np.degrees(np.column_stack([np.arctan2(points[:, 1], points[:, 0]), np.arcsin(points[:, 2])]))
    codes = cells(where, block_m=1_000_000)
    counts = np.bincount(np.unique(codes, return_inverse=True)[1])
    area = 4 * np.pi * EARTH_RADIUS_M**2 / 1e12
    assert counts.size == pytest.approx(area, rel=0.05)
    # of 500 cells with about 118 points each, equal areas give a spread of about 11
    assert counts.std() < 2 * np.sqrt(counts.mean())


def test_the_meridian_and_the_poles_are_places_like_others() -> None:
    same = cells(np.array([[180.0, 10.2], [-180.0, 10.2], [540.0, 10.2]]), block_m=10_000)
    assert np.unique(same).size == 1
    assert np.unique(cells(np.array([[0.0, 90.0], [120.0, 90.0]]), block_m=2_000_000)).size <= 2
    everything = cells(np.array([[0.0, -90.0], [120.0, 90.0], [-70.0, 0.0]]), block_m=50_000_000)
    assert np.unique(everything).size == 1


def test_codes_do_not_depend_on_other_places() -> None:
    where = np.random.default_rng(1).uniform(-60, 60, size=(50, 2))
    order = np.random.default_rng(2).permutation(50)
    np.testing.assert_array_equal(cells(where, block_m=1e5)[order], cells(where[order], block_m=1e5))


def test_folds_keep_blocks_whole_and_clusters_too() -> None:
    asked = _placed()
    folds = ec.Folds(kind="block", k=3, block_m=400_000)
    by_town = pd.Series(folds.assign(asked, seed=0)).groupby(asked.data.frame["town"].to_numpy())
    assert (by_town.agg(np.ptp) == 0).all()
    plain = pd.Series(ec.Folds(k=3).assign(asked, seed=0)).groupby(asked.data.frame["town"].to_numpy())
    assert (plain.agg(np.ptp) > 0).any()
    clustered = _placed(cluster="village")
    groups = folds.groups(clustered)
    assert (pd.Series(groups).groupby(clustered.table.clusters).agg(np.ptp) == 0).all()
    assert groups.max() <= folds.groups(asked).max()


def test_blocks_reach_the_inner_splits_of_every_fold() -> None:
    asked = _placed()
    scheme = ec.Folds(kind="block", k=3, block_m=400_000)
    folds, groups = scheme.assign(asked, seed=0), scheme.groups(asked)
    for fold in range(3):
        part = TrainingFold(asked, fold, folds != fold, groups=groups, learners=ec.Learners(), seed=0)
        seen = np.zeros(len(asked), dtype=int)
        for inner in part.inner:
            assert not set(groups[inner.train]) & set(groups[inner.test])
            assert not (inner.train & (folds == fold)).any()
            seen += inner.test
        np.testing.assert_array_equal(seen, (folds != fold).astype(int))
        assert set(part.sample(part.rows, asked.table.outcome).groups) == set(groups[folds != fold])


def test_a_result_says_how_it_was_blocked() -> None:
    asked = _placed()
    found = ec.ate(asked, folds=ec.Folds(kind="block", k=3, block_m=400_000))
    groups = int(ec.Folds(kind="block", block_m=400_000).groups(asked).max()) + 1
    assert found.provenance["folds"] == {"kind": "block", "k": 3, "block_m": 400_000.0, "groups": groups}
    assert ec.ate(asked, folds=ec.Folds(k=3)).provenance["folds"] == {"kind": "cluster", "k": 3}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "block"}, r"block_m=None[\s\S]*goes with kind='block'[\s\S]*block_m=100_000"),
        ({"block_m": 1000}, r"kind='cluster' with block_m=1000"),
        ({"kind": "block", "block_m": -1}, r"block_m=-1 is not the side of a cell[\s\S]*positive metres"),
        ({"kind": "block", "block_m": "50km"}, r"block_m='50km' is not the side"),
        ({"repeats": 0}, r"repeats=0[\s\S]*at least 1"),
        ({"repeats": 1.5}, r"repeats=1.5"),
        ({"kind": "blocks"}, r"Did you mean 'block'"),
    ],
)
def test_schemes_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.Folds(**options)


def test_units_without_places_cannot_be_blocked() -> None:
    asked = ec.Design(study(), outcome="income", treatment="grant")
    with pytest.raises(EstimationError, match=r"needs to know where units are[\s\S]*read_units"):
        ec.Folds(kind="block", block_m=1000).assign(asked, seed=0)


def test_too_few_blocks_are_counted() -> None:
    with pytest.raises(
        EstimationError, match=r"5 folds.*lie in 1 cells? of 40,000,000 m[\s\S]*1 group\.[\s\S]*smaller cells"
    ):
        ec.Folds(kind="block", block_m=40_000_000).assign(_placed(), seed=0)
    with pytest.raises(EstimationError, match=r"tie into 1 group\."):
        ec.Folds(kind="block", block_m=400_000).assign(_placed(cluster="round"), seed=0)


def test_the_text_of_a_scheme_is_the_call_that_makes_it() -> None:
    assert repr(ec.Folds()) == "Folds(kind='cluster', k=5)"
    for made in (ec.Folds(k=3, repeats=5), ec.Folds(kind="block", block_m=1000)):
        assert eval(repr(made), {"Folds": ec.Folds}) == made
