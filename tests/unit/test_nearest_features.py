"""Features of places joined to units: distances by hand, ties, years, files in parts."""

from __future__ import annotations

import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shapely.geometry import Point, box

import eocausal as ec
from eocausal import _nearest_places, nearest_features
from eocausal._place_tables import open_places
from tests.places import grid, tiles, units_at

DEGREE = 6_371_008.8 * math.pi / 180


def test_each_unit_takes_its_cell_on_a_grid_like_that_of_mosaiks():
    # cell (row 2, column 3) is number 13; the second unit is in cell 0, near its corner
    units = units_at([34.0372, 34.0001, 34.0549], [1.0291, 1.0001, 1.0051])
    found = ec.embeddings_at(units, grid(), year=2019)
    assert found.keys.tolist() == ["v0", "v1", "v2"]
    assert found.columns == ("X_0", "X_1")
    np.testing.assert_array_equal(found.values[:2], [[13, 169], [0, 0]])
    # 0.0099 degrees east of the last place, where a cell ends after 0.005
    assert found.info["status"].tolist() == ["ok", "ok", "outside"]
    assert np.isnan(found.values[2]).all()
    assert found.info["valid_fraction"].isna().tolist() == [True, True, False]
    assert found.date == "2019-12-31"
    assert found.recipe["max_distance_m"] == "half the diagonal of a cell of 0.01 x 0.01 degrees"
    assert found.recipe["units"] == {"count": 3, "outside": 1}
    assert found.recipe["notes"] == ["1 of 3 units have no place in the table"]


def test_distance_is_along_the_sphere_and_the_bound_is_kept():
    units = units_at([10.0, 20.0], [60.0, 0.5])
    table = pd.DataFrame({"lon": [10.01, 20.0], "lat": [60.0, 0.51], "f": [1.0, 2.0]})
    # a hundredth of a degree of longitude at 60 degrees is half of one of latitude
    near, far = 0.01 * DEGREE * math.cos(math.radians(60)), 0.01 * DEGREE
    found = ec.embeddings_at(units, table, max_distance_m=far + 0.01)
    assert found.info["status"].tolist() == ["ok", "ok"]
    assert found.recipe["distance_m"]["largest"] == pytest.approx(far, abs=0.01)
    assert found.recipe["distance_m"]["median"] == pytest.approx((near + far) / 2, abs=0.01)
    found = ec.embeddings_at(units, table, max_distance_m=far - 0.01)
    assert found.info["status"].tolist() == ["ok", "outside"]
    assert found.recipe["max_distance_m"] == far - 0.01


def test_the_antimeridian_is_no_edge():
    units = units_at([179.999], [0.5])
    table = pd.DataFrame({"lon": [-179.999, 179.0], "lat": [0.5, 0.5], "f": [1.0, 2.0]})
    assert ec.embeddings_at(units, table, max_distance_m=300).values.tolist() == [[1.0]]


@pytest.mark.parametrize("seed", range(4))
def test_of_equally_near_places_the_southernmost_then_westernmost_is_taken(seed):
    units = units_at([34.02], [1.03])  # the corner of four cells: rows 2 and 3, columns 1 and 2
    table = grid().sample(frac=1, random_state=seed)
    assert ec.embeddings_at(units, table, columns=["X_0"]).values.tolist() == [[11]]


def test_parts_of_any_size_give_the_same(monkeypatch, tmp_path):
    rng = np.random.default_rng(5)
    units = units_at(34 + 0.05 * rng.random(60), 1 + 0.05 * rng.random(60))
    table = grid().sample(frac=1, random_state=1)
    file = tmp_path / "mosaiks.parquet"
    table.to_parquet(file, row_group_size=4)
    table.to_csv(tmp_path / "mosaiks.csv")  # with its row numbers, as the Parquet file has them too
    whole = ec.embeddings_at(units, table)
    monkeypatch.setattr(_nearest_places, "_AT_ONCE", 3)
    monkeypatch.setattr(nearest_features, "_AT_ONCE", 4)
    for source in (table, file, tmp_path / "mosaiks.csv"):
        found = ec.embeddings_at(units, source)
        np.testing.assert_array_equal(found.values, whole.values)
        assert found.recipe["distance_m"] == whole.recipe["distance_m"]
    assert list(found.blocks) == ["mosaiks"]
    assert found.recipe["source"] == "mosaiks.csv"
    assert len(found.recipe["sha256"]) == 64


def test_only_row_groups_and_columns_that_are_needed_are_read(tmp_path):
    file = tmp_path / "a.parquet"
    grid().to_parquet(file, row_group_size=5)
    opened = open_places(file)
    parts = list(opened.parts(["X_1"], 100, np.array([6, 23])))
    assert [start for start, _ in parts] == [5, 20]
    assert [part.columns.tolist() for _, part in parts] == [["X_1"], ["X_1"]]


def test_units_that_share_a_picture_share_a_row():
    table = pd.DataFrame(
        {"hh": [1, 2, 3], "village": ["b", "a", "b"], "lon": [34.015, 34.005, 34.015], "lat": 1.005}
    )
    units = ec.read_units(table, id="hh", lon="lon", lat="lat", image_key="village")
    found = ec.embeddings_at(units, grid())
    assert found.key_name == "village"
    assert found.keys.tolist() == ["b", "a"]
    assert found.values[:, 0].tolist() == [1, 0]


def test_a_year_is_taken_from_several_and_named_when_it_is_the_only_one():
    years = pd.concat([grid().assign(year=2018), grid().assign(year=2019, X_0=-grid()["X_0"])])
    units = units_at([34.015], [1.005])
    assert ec.embeddings_at(units, years, year=2018, columns="X_0").values.tolist() == [[1]]
    found = ec.embeddings_at(units, years, year=2019, columns="X_0")
    assert found.values.tolist() == [[-1]]
    assert found.date == "2019-12-31"
    dates = grid().assign(seen="2018-07-04")
    assert ec.embeddings_at(units, dates, year_column="seen", columns="X_").date == "2018-12-31"
    assert ec.embeddings_at(units, grid().assign(year=2017)).columns == ("X_0", "X_1")
    unknown = ec.embeddings_at(units, grid())
    assert unknown.date is None
    assert "year is not known" in unknown.recipe["notes"][0]


def test_design_refuses_features_of_the_year_of_treatment():
    rng = np.random.default_rng(0)
    lon, lat = 34 + 0.05 * rng.random(40), 1 + 0.05 * rng.random(40)
    columns = {"y": rng.normal(size=40), "took": [0, 1] * 20}
    late = units_at(lon, lat, date=["2018-01-01"] * 39 + ["2017-12-31"], **columns)
    features = ec.embeddings_at(late, grid(), year=2017)
    with pytest.raises(
        ec.errors.LeakError, match=r"2017-12-31 was taken on or after treatment[\s\S]*1 \(v39\)"
    ):
        ec.Design(late, outcome="y", treatment="took", features=features)
    early = units_at(lon, lat, date=["2018-01-01"] * 40, **columns)
    assert ec.Design(early, outcome="y", treatment="took", features=features).features is features


def test_places_without_features_have_no_data():
    table = grid()
    table.loc[1, ["X_0", "X_1"]] = np.nan
    found = ec.embeddings_at(units_at([34.015, 34.005], [1.005, 1.005]), table)
    assert found.info["status"].tolist() == ["nodata", "ok"]


@pytest.mark.parametrize("kind", ["frame", "geoparquet", "utm", "plain WKB"])
def test_the_polygon_whose_middle_is_nearest_gives_its_vector(kind, tmp_path):
    # the first unit is in the first tile alone; the second in both, nearer to the middle of the second
    units = units_at([34.002, 34.017, 34.05, 34.03], [1.001, 1.01, 1.01, 1.0])
    file = tmp_path / "tiles.parquet"
    table = tiles()
    if kind == "utm":
        table = table.to_crs("EPSG:32636")
        units = units.take([0, 1, 2])
    if kind == "plain WKB":
        plain = pd.DataFrame(
            {"embeddings": table["embeddings"].map(list), "geometry": table.geometry.to_wkb()}
        )
        pq.write_table(pa.Table.from_pandas(plain), file)
    elif kind != "frame":
        table.to_parquet(file)
    found = ec.embeddings_at(units, table if kind == "frame" else file, year=2021)
    assert found.columns == ("embeddings_000", "embeddings_001", "embeddings_002")
    assert found.info["status"].tolist()[:3] == ["ok", "ok", "outside"]
    np.testing.assert_array_equal(found.values[:2], [[1, 2, 3], [4, 5, 6]])
    assert found.recipe["join"] == "polygon that covers the unit"
    if kind != "utm":  # the corner of a tile belongs to it
        assert found.values[3].tolist() == [4, 5, 6]


def test_points_of_geometry_are_points(tmp_path):
    table = gpd.GeoDataFrame({"f": [1.0, 2.0]}, geometry=[Point(34.0, 1.0), Point(34.1, 1.0)], crs=4326)
    table.to_crs("EPSG:32636").to_parquet(tmp_path / "p.parquet")
    found = ec.embeddings_at(units_at([34.09, 34.2], [1.0, 1.0]), tmp_path / "p.parquet", max_distance_m=1500)
    assert found.values[:, 0].tolist()[0] == 2
    assert found.info["status"].tolist() == ["ok", "outside"]
    assert found.recipe["join"] == "nearest point on the sphere"


def test_named_coordinates_come_before_geometry():
    table = tiles().assign(centre_lon=[34.01, 34.02], centre_lat=1.01)
    found = ec.embeddings_at(
        units_at([34.05], [1.01]),
        table,
        lon="centre_lon",
        lat="centre_lat",
        columns="embeddings",
        max_distance_m=4e3,
    )
    assert found.values.tolist() == [[4, 5, 6]]


def test_only_what_units_need_stays_in_memory(tmp_path):
    import tracemalloc

    count, width = 20_000, 64
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((count, width), dtype="f4"), columns=[f"X_{i}" for i in range(width)])
    table["lon"], table["lat"] = (
        30 + 0.01 * (np.arange(count) % 200),
        0.005 + 0.01 * (np.arange(count) // 200),
    )
    table.to_parquet(tmp_path / "large.parquet", row_group_size=1000)
    units = units_at([30.5, 31.2], [0.105, 0.255])
    ec.embeddings_at(units, table.head(50), max_distance_m=1e6)  # imports
    tracemalloc.start()
    found = ec.embeddings_at(units, tmp_path / "large.parquet")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(
        found.values, table.iloc[[10 * 200 + 50, 25 * 200 + 120], :width].to_numpy()
    )
    # all features are 5 MB; coordinates and their search tree are less
    assert peak < 4_000_000


def test_written_and_read_again(tmp_path):
    found = ec.embeddings_at(units_at([34.015], [1.005]), grid(), year=2019)
    again = ec.read_embeddings(found.write(tmp_path / "f.parquet"), key="village")
    assert again.recipe == found.recipe
    assert again.date == "2019-12-31"


def test_numbers_may_be_names_of_columns_and_days_tell_the_year(tmp_path):
    table = grid().rename(columns={"X_0": 0, "X_1": 1})
    assert ec.embeddings_at(units_at([34.015], [1.005]), table).columns == ("0", "1")
    # as Clay stores its vectors: days, lists, a row number of pandas, and another ending
    days = [pd.Timestamp(day).date() for day in ("2017-05-19", "2018-07-03")]
    clay = gpd.GeoDataFrame(
        {"date": days, "embeddings": [[1.0, 2.0], [3.0, 4.0]]},
        geometry=[box(34, 1, 34.1, 1.1)] * 2, crs="OGC:CRS84", index=[0, 822],
    )  # fmt: skip
    clay.to_parquet(tmp_path / "32VLM_v01.gpq", index=True)
    found = ec.embeddings_at(
        units_at([34.01], [1.01]), tmp_path / "32VLM_v01.gpq", year=2018, year_column="date"
    )
    assert found.values.tolist() == [[3, 4]]
    assert found.date == "2018-12-31"
