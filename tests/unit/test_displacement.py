"""Displaced points follow the published law, and their features come back to one row per image."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from scipy import stats

import eocausal as ec
from eocausal.imagery.displacement import draw_displacements
from eocausal.imagery.draw_average import _spread
from tests.scenes import numbered, read_all, write_scene

GROUND = pyproj.Geod(ellps="WGS84")


def draw(urban: bool, *, points=400, draws=100, seed=3, **more):
    """Return azimuth and metres of draws around points over the globe, shape (draws, points)."""
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(-179.99, 179.99, points), rng.uniform(-60, 70, points)
    kind = np.full(points, urban)
    places = draw_displacements(
        longitude, latitude, kind, keys=np.arange(points), draws=draws, seed=seed, **more
    )
    assert places.shape == (draws, points, 2)
    here = np.broadcast_to(longitude, places.shape[:2]), np.broadcast_to(latitude, places.shape[:2])
    azimuth, _, metres = GROUND.inv(*here, places[..., 0], places[..., 1])
    return np.asarray(azimuth), np.asarray(metres)


def villages(**more) -> ec.Units:
    table = {"cluster": [7, 3, 9], "lon": [33.0, 33.3, 33.6], "lat": [1.0, 1.1, 1.2], "type": ["U", "R", "R"]}
    return ec.read_units(pd.DataFrame({**table, **more}), id="cluster", lon="lon", lat="lat")


def test_urban_distances_are_uniform_to_two_kilometres_in_every_direction():
    azimuth, metres = draw(True)
    assert metres.max() <= 2_000 + 1e-3
    assert stats.kstest(metres.ravel() / 2_000, "uniform").pvalue > 0.001
    assert stats.kstest((azimuth.ravel() % 360) / 360, "uniform").pvalue > 0.001
    # Uniform in distance, not in area: half of the draws lie within half the radius (in area: a quarter).
    assert np.mean(metres < 1_000) == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(azimuth.ravel(), metres.ravel())[0, 1]) < 0.02


def test_rural_distances_are_uniform_to_five_kilometres_and_a_hundredth_to_ten():
    azimuth, metres = draw(False)
    n = metres.size
    assert 5_000 < metres.max() <= 10_000 + 1e-3
    # Beyond 5 km lies half of the far hundredth.
    assert np.mean(metres > 5_000) == pytest.approx(0.005, abs=5 * np.sqrt(0.005 / n))
    # 0.99 x 2,500 + 0.01 x 5,000 = 2,525 m.
    assert metres.mean() == pytest.approx(2_525, abs=5 * metres.std() / np.sqrt(n))

    def law(distance):
        return 0.99 * np.clip(distance / 5_000, 0, 1) + 0.01 * np.clip(distance / 10_000, 0, 1)

    assert stats.kstest(metres.ravel(), law).pvalue > 0.001
    assert stats.kstest((azimuth.ravel() % 360) / 360, "uniform").pvalue > 0.001


def test_draws_depend_on_seed_and_key_and_not_on_rows():
    units = villages()
    moved = ec.displace(units, urban="type", draws=4)
    swapped = ec.displace(units.take([2, 0, 1]), urban="type", draws=4)
    alone = ec.displace(units.take([1]), urban="type", draws=4)
    place = {name: (lon, lat) for name, lon, lat in zip(moved.ids, moved.longitude, moved.latitude)}
    for other in (swapped, alone):
        for name, lon, lat in zip(other.ids, other.longitude, other.latitude):
            assert place[name] == (lon, lat)
    again = ec.displace(units, urban="type", draws=4, seed=1)
    assert not np.isclose(again.longitude, moved.longitude, rtol=0, atol=1e-7).any()
    assert len(set(moved.longitude)) == 12


def test_rows_of_displaced_units_say_where_they_come_from():
    dates = villages(begun=["2001-02-03", "2002-02-03", None]).frame
    units = ec.read_units(dates, id="cluster", lon="lon", lat="lat", date="begun")
    moved = ec.displace(units, urban="type", draws=2)
    assert moved.ids.tolist() == ["7#0", "7#1", "3#0", "3#1", "9#0", "9#1"]
    assert moved.image_keys.tolist() == moved.ids.tolist() == moved.frame["cluster"].tolist()
    assert moved.frame["displaced_from"].tolist() == [7, 7, 3, 3, 9, 9]
    assert moved.frame["draw"].tolist() == [0, 1] * 3
    assert moved.frame["displacement_limit_m"].tolist() == [2_000] * 2 + [5_000] * 4
    assert moved.dates.tolist()[:2] == units.dates[[0, 0]].tolist()
    assert units.ids.tolist() == [7, 3, 9]
    assert "2 draws" in moved.notes[-1]


def test_units_of_one_image_move_together():
    table = pd.DataFrame(
        {
            "household": [1, 2, 3],
            "village": ["a", "a", "b"],
            "lon": [33.0, 33.0, 33.5],
            "lat": 1.0,
            "u": [1, 1, 0],
        }
    )
    units = ec.read_units(table, id="household", lon="lon", lat="lat", image_key="village")
    moved = ec.displace(units, urban="u", draws=3)
    assert moved.image_keys.tolist() == [f"{key}#{k}" for key in "aab" for k in range(3)]
    assert moved.ids.tolist()[:4] == ["1#0", "1#1", "1#2", "2#0"]
    assert moved.longitude[:3].tolist() == moved.longitude[3:6].tolist()


@pytest.mark.parametrize("codes", [[True, False], [1, 0], ["U", "R"], ["urban", "Rural "], [1.0, 0.0]])
def test_urban_can_be_written_in_several_ways(codes):
    units = villages(code=[codes[0], codes[1], codes[1]])
    moved = ec.displace(units, urban="code", draws=1)
    assert moved.frame["displacement_limit_m"].tolist() == [2_000, 5_000, 5_000]


def test_draws_that_leave_the_polygon_are_drawn_again():
    west, east = shapely.box(32.0, 0.0, 33.31, 2.0), shapely.box(33.31, 0.0, 34.0, 2.0)
    districts = geopandas.GeoDataFrame(geometry=[east, west], crs="EPSG:4326").to_crs("EPSG:32636")
    units = villages()
    free = ec.displace(units, urban="type", draws=400)
    kept = ec.displace(units, urban="type", draws=400, within=districts)
    middle = kept.frame["displaced_from"].to_numpy() == 3  # 1.1 km west of the border
    assert (free.longitude[middle] > 33.31).sum() > 50
    assert (kept.longitude[middle] <= 33.31 + 1e-6).all()
    stayed = free.longitude <= 33.31
    others = ~middle
    assert np.array_equal(kept.longitude[others], free.longitude[others])
    assert np.array_equal(kept.longitude[middle & stayed], free.longitude[middle & stayed])
    alone = ec.displace(units.take([1]), urban="type", draws=400, within=districts)
    assert np.array_equal(alone.longitude, kept.longitude[middle])
    # What is left of the law: draws within 5 km west of the border keep their distances to the west uniform.
    lon, lat = kept.longitude[middle], kept.latitude[middle]
    _, _, metres = GROUND.inv(np.full(lon.size, 33.3), np.full(lon.size, 1.1), lon, lat)
    assert metres.max() > 4_000


def test_chips_and_features_of_draws_come_back_to_one_row_per_image(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", numbered(1, 900, 900), corner=(486_000, 165_000), pixel=100.0)
    units = villages()
    moved = ec.displace(units, urban="type", draws=5)
    cut = ec.chips(moved, scene, size_m=[1_000, 22_000])
    assert len(cut) == 15
    features = ec.embed(cut, encoder="image_stats", device="cpu", progress=False)
    averaged = ec.average_draws(features, units=moved)
    table = averaged.embeddings
    assert table.keys.tolist() == [7, 3, 9]
    assert table.rows_for(units.image_keys).tolist() == [0, 1, 2]
    by_hand = np.stack(
        [features.take([f"{key}#{k}" for k in range(5)]).values.mean(axis=0) for key in (7, 3, 9)]
    )
    np.testing.assert_allclose(table.values, by_hand, rtol=1e-5)
    assert table.info["status"].isin(["ok", "partial"]).all()
    assert averaged.warnings == (
        "Chips of block image_stats_1000m are smaller than twice the displacement (10,000 m) for 3 images: a chip "
        "around one draw need not show the true place.",
    )
    assert list(averaged.spread) == ["cluster", "draws_used", "image_stats_1000m", "image_stats_22000m"]
    # A large chip hardly notices where in it the point lies.
    assert averaged.spread["image_stats_1000m"].mean() > 0
    batch = read_all(cut)
    assert batch.keys.tolist() == moved.ids.tolist()


def test_spread_is_the_share_of_variance_within_images():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(40, 6, 3)) + 2 * rng.normal(size=(40, 1, 3))
    means = draws.mean(axis=1)
    spread = _spread(draws, means)
    between = means.var(axis=0).sum() / draws.reshape(-1, 3).var(axis=0).sum()
    assert np.mean(spread**2) + between == pytest.approx(1)
    first = np.sqrt(
        np.square(draws[0] - means[0]).sum(axis=1).mean() / draws.reshape(-1, 3).var(axis=0).sum()
    )
    assert spread[0] == pytest.approx(first)


def test_draws_without_features_are_left_out_and_told():
    units = villages()
    moved = ec.displace(units, urban="type", draws=2)
    found = pd.DataFrame({"cluster": moved.ids, "f": [1.0, np.nan, np.nan, np.nan, 2.0, 4.0]})
    averaged = ec.average_draws(ec.read_embeddings(found, key="cluster"), units=moved)
    values = averaged.embeddings.to_frame()
    assert values["f"].tolist()[::2] == [1.0, 3.0]
    assert np.isnan(values["f"][1])
    assert values["status"].tolist() == ["partial", "missing", "ok"]
    assert averaged.spread["draws_used"].tolist() == [1, 0, 2]
    # Total variance of 1, 2, 4 is 14/9; the draws 2 and 4 lie 1 from their mean.
    assert averaged.spread["features"][2] == pytest.approx(np.sqrt(9 / 14))
    assert averaged.spread["features"][:2].isna().all()
    assert averaged.warnings == ("2 images have draws without features; their mean is over the others.",)
    assert averaged.embeddings.recipe["within_share"] == {"features": pytest.approx(9 / 14, abs=1e-6)}
