"""What read_units keeps, and where it says units are."""

from __future__ import annotations

from pathlib import Path

import geopandas
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import shapely

import eocausal as ec
from eocausal._coordinates import shared_across_arms, utm_epsg


def villages(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(
        {"village": [11, 12, 13], "lon": [34.1, 34.2, 34.3], "lat": [1.3, 1.4, 1.5], **columns}
    )


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "units.csv").write_text(text, encoding="utf-8")
    return tmp_path / "units.csv"


def test_coordinates_and_keys_are_those_of_the_table():
    units = ec.read_units(
        villages(cell=["a", "a", "b"]), id="village", lon="lon", lat="lat", image_key="cell"
    )
    assert repr(units) == "Units(3 units, 2 images, EPSG:4326)"
    assert units.ids.tolist() == [11, 12, 13]
    assert units.image_keys.tolist() == ["a", "a", "b"]
    np.testing.assert_array_equal(units.longitude, [34.1, 34.2, 34.3])
    np.testing.assert_array_equal(units.latitude, [1.3, 1.4, 1.5])
    assert units.frame.columns.tolist() == ["village", "lon", "lat", "cell"]


def test_the_input_frame_is_never_changed():
    frame = villages().set_index(pd.Index([7, 8, 9]))
    before = frame.copy()
    units = ec.read_units(frame, id="village", lon="lon", lat="lat")
    units.with_columns(lon=[0, 0, 0])
    units.frame.loc[0, "lat"] = 99.0
    pd.testing.assert_frame_equal(frame, before)
    assert units.frame.index.tolist() == [0, 1, 2]


def test_leading_zeros_and_country_na_survive_csv(tmp_path):
    file = written(tmp_path, "id,key,country,score,lon,lat\n001,07,NA,1.5,15,-22\n002,08,UG,NA,16,-23\n")
    units = ec.read_units(file, id="id", lon="lon", lat="lat", image_key="key")
    assert units.ids.tolist() == ["001", "002"]
    assert units.image_keys.tolist() == ["07", "08"]
    assert units.frame["country"].tolist() == ["NA", "UG"]
    # Among numbers, NA is how R writes a missing value.
    np.testing.assert_array_equal(units.frame["score"], [1.5, np.nan])


def test_csv_ids_without_leading_zeros_are_numbers_and_huge_ones_stay_text(tmp_path):
    file = written(tmp_path, "id,key,lon,lat\n1,9007199254740993123,15,-22\n20,3,16,-23\n")
    units = ec.read_units(file, id="id", lon="lon", lat="lat", image_key="key")
    assert units.ids.tolist() == [1, 20]
    assert units.image_keys.tolist() == ["9007199254740993123", "3"]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".dta"])
def test_tables_read_the_same_from_every_plain_format(tmp_path, ending):
    file = tmp_path / f"units{ending}"
    frame = villages(village=np.array([11, 12, 13], dtype="int32"))
    {".csv": frame.to_csv, ".parquet": frame.to_parquet}.get(
        ending, lambda path, index: frame.to_stata(path, write_index=index)
    )(file, index=False)
    units = ec.read_units(file, id="village", lon="lon", lat="lat")
    assert units.ids.dtype == np.int64
    assert units.fingerprint == ec.read_units(villages(), id="village", lon="lon", lat="lat").fingerprint


def test_stata_ids_stored_as_float_are_whole_again_and_labels_stay_codes(tmp_path):
    frame = villages(village=np.array([11.0, 12.0, 13.0]), arm=pd.Categorical(["no", "yes", "no"]))
    frame.to_stata(tmp_path / "units.dta", write_index=False)
    units = ec.read_units(tmp_path / "units.dta", id="village", lon="lon", lat="lat")
    assert units.ids.tolist() == [11, 12, 13]
    assert units.frame["arm"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".geoparquet", ".parquet"])
def test_geometry_files_bring_their_own_reference_system(tmp_path, ending):
    file = tmp_path / f"units{ending}"
    points = geopandas.points_from_xy([34.1, 34.2, 34.3], [1.3, 1.4, 1.5], crs="EPSG:4326")
    frame = geopandas.GeoDataFrame({"village": [11, 12, 13]}, geometry=points)
    # GeoJSON is in degrees by definition; the others hold metres.
    frame = frame if ending == ".geojson" else frame.to_crs("EPSG:32636")
    frame.to_parquet(file) if "parquet" in ending else frame.to_file(file)
    units = ec.read_units(file, id="village")
    assert units.crs == ("EPSG:4326" if ending == ".geojson" else "EPSG:32636")
    np.testing.assert_allclose(units.longitude, [34.1, 34.2, 34.3], atol=1e-9)
    np.testing.assert_allclose(units.latitude, [1.3, 1.4, 1.5], atol=1e-9)
    assert "geometry" not in units.frame.columns
    assert units.to_geodataframe().crs == units.crs


def test_easting_and_northing_with_a_projected_crs():
    # On the central meridian of zone 36 (33 E) easting is 500 km; at the equator northing is 0.
    frame = pd.DataFrame({"id": ["a", "b"], "e": [500_000.0, 500_000.0], "n": [1.0, 110_573.0]})
    units = ec.read_units(frame, id="id", lon="e", lat="n", crs="EPSG:32636")
    np.testing.assert_allclose(units.longitude, [33, 33], atol=1e-9)
    # One degree of latitude at the equator is 110,574 m on the ellipsoid, times 0.9996 in UTM.
    np.testing.assert_allclose(units.latitude[1], 110_573 / (110_574.4 * 0.9996), atol=1e-5)


def test_polygons_are_placed_at_their_centroid_in_metres():
    square = shapely.box(500_000, 100_000, 502_000, 104_000)
    half = shapely.Polygon([(500_000, 100_000), (503_000, 100_000), (500_000, 103_000)])
    frame = geopandas.GeoDataFrame({"id": [1, 2]}, geometry=[square, half], crs="EPSG:32636")
    units = ec.read_units(frame.to_crs("EPSG:4326"), id="id")
    expected = geopandas.GeoSeries.from_xy([501_000, 501_000], [102_000, 101_000], crs="EPSG:32636")
    expected = expected.to_crs("EPSG:4326")
    np.testing.assert_allclose(units.longitude, expected.x, atol=1e-7)
    np.testing.assert_allclose(units.latitude, expected.y, atol=1e-7)
    assert units.notes == ("2 of 2 units are polygons: their place is the centroid.",)


def test_dates_are_days_and_may_be_missing_for_the_never_treated():
    frame = villages(start=["2007-06-30", None, "2007-07"])
    units = ec.read_units(frame, id="village", lon="lon", lat="lat", date="start")
    assert units.dates.dtype == "datetime64[D]"
    assert units.dates[[0, 2]].tolist() == [pd.Timestamp(d).date() for d in ("2007-06-30", "2007-07-01")]
    assert np.isnat(units.dates[1])
    assert units.notes == ("1 of 3 units have no 'start' (never treated).",)


def test_the_day_of_a_time_is_the_one_written_whatever_its_zone():
    """Half past eleven at night in Lima is the next day in Greenwich, and still the day that was written."""
    times = [
        "2007-06-30T23:30:00-05:00",
        "2007-07-01T00:30:00+03",
        "2007-07-01 00:30:00Z",
        "2007-06-30",
        None,
    ]
    frame = pd.DataFrame({"id": range(5), "key": range(5), "start": times})
    expected = np.array(
        ["2007-06-30", "2007-07-01", "2007-07-01", "2007-06-30", "NaT"], dtype="datetime64[D]"
    )
    read = ec.read_units(frame, id="id", image_key="key", date="start")
    np.testing.assert_array_equal(read.dates, expected)
    lima = pd.to_datetime(frame["start"][:1]).dt.tz_convert("America/Lima")
    for column in (lima, lima.astype(object)):
        read = ec.read_units(frame[:1].assign(start=column), id="id", image_key="key", date="start")
        assert read.dates.tolist() == expected[:1].tolist()


def test_units_without_coordinates_need_an_image_key():
    units = ec.read_units(villages().drop(columns=["lon", "lat"]), id="village", image_key="village")
    assert units.longitude is None
    assert repr(units) == "Units(3 units, 3 images, no coordinates)"


def test_take_by_position_and_by_mask_keeps_everything_aligned():
    units = ec.read_units(villages(start="2007-01-01"), id="village", lon="lon", lat="lat", date="start")
    last_first = units.take([2, 0])
    assert last_first.ids.tolist() == [13, 11]
    assert last_first.frame["village"].tolist() == [13, 11]
    assert last_first.longitude.tolist() == [34.3, 34.1]
    assert len(last_first.dates) == 2
    assert units.take(np.array([True, False, True])).ids.tolist() == [11, 13]
    assert units.take([0, 1, 2]).fingerprint == units.fingerprint != last_first.fingerprint


def test_with_columns_adds_by_position_whatever_the_index():
    units = ec.read_units(villages(), id="village", lon="lon", lat="lat")
    more = units.with_columns(score=pd.Series([3.0, 2.0, 1.0], index=[2, 1, 0]))
    assert more.column("score").tolist() == [3.0, 2.0, 1.0]
    assert "score" not in units.frame.columns


def test_fingerprint_sees_every_part():
    base = ec.read_units(villages(), id="village", lon="lon", lat="lat")
    moved = ec.read_units(villages(lat=[1.3, 1.4, 1.50001]), id="village", lon="lon", lat="lat")
    keyed = ec.read_units(villages(key=[1, 1, 2]), id="village", lon="lon", lat="lat", image_key="key")
    assert len({base.fingerprint, moved.fingerprint, keyed.fingerprint}) == 3


def test_utm_zones_at_the_edges():
    lon = np.array([-180.0, -174.0001, 179.9999, 180.0, 33.0, 3.0])
    lat = np.array([1.0, -1.0, 1.0, 1.0, -0.0, 50.0])
    assert utm_epsg(lon, lat).tolist() == [32601, 32701, 32660, 32660, 32636, 32631]


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        # Bergen and Stavanger are in 32V, which begins at 3 E instead of 6 E, from 56 N up to 64 N.
        (5.32, 60.39, 32632),
        (5.73, 58.97, 32632),
        (3.0, 56.0, 32632),
        (2.99, 60.0, 32631),
        (5.32, 55.99, 32631),
        (5.32, 64.0, 32631),
        (10.75, 59.91, 32632),
        (12.0, 60.0, 32633),
        (5.32, -60.39, 32731),
        # Svalbard from 72 N: 31X to 9 E, 33X to 21 E, 35X to 33 E, 37X to 42 E. Ny-Alesund, Longyearbyen.
        (8.99, 79.0, 32631),
        (11.93, 78.92, 32633),
        (15.63, 78.22, 32633),
        (20.99, 72.0, 32633),
        (21.0, 78.0, 32635),
        (32.99, 84.0, 32635),
        (33.0, 80.0, 32637),
        (41.99, 80.0, 32637),
        (42.0, 80.0, 32638),
        (34.0, 71.99, 32636),
        (-0.01, 78.0, 32630),
    ],
)
def test_utm_zones_of_norway_and_svalbard(lon, lat, zone):
    assert utm_epsg(np.array([lon]), np.array([lat])).tolist() == [zone]


# Taveuni in Fiji lies on both sides of 180 E.
TAVEUNI = {
    "split": shapely.MultiPolygon(
        [shapely.box(179.9, -17.0, 180.0, -16.8), shapely.box(-180.0, -17.0, -179.8, -16.8)]
    ),
    "whole": shapely.Polygon([(179.9, -17.0), (-179.8, -17.0), (-179.8, -16.8), (179.9, -16.8)]),
}


@pytest.mark.parametrize("how", TAVEUNI)
def test_polygons_across_the_180th_meridian_stay_there(how):
    east = shapely.box(179.9, -17.0, 180.0, -16.8)
    frame = geopandas.GeoDataFrame({"id": [1, 2]}, geometry=[TAVEUNI[how], east], crs="EPSG:4326")
    units = ec.read_units(frame, id="id")
    # From 179.9 E to 179.8 W the middle is 179.95 W, not the mean of 179.9 and -179.8.
    np.testing.assert_allclose(units.longitude, [-179.95, 179.95], atol=1e-4)
    np.testing.assert_allclose(units.latitude, [-16.9, -16.9], atol=1e-3)


def test_projected_polygons_across_the_180th_meridian_stay_there():
    # The Pacific's Mercator has its meridian at 150 E, on a sphere of 6,378,137 m: 180 E is 30 degrees east.
    middle = 6_378_137 * np.radians(30)
    box = shapely.box(middle - 5_000, -1_900_000, middle + 15_000, -1_890_000)
    units = ec.read_units(geopandas.GeoDataFrame({"id": [1]}, geometry=[box], crs="EPSG:3832"), id="id")
    # 5 km east of the meridian
    np.testing.assert_allclose(units.longitude, [-180 + np.degrees(5_000 / 6_378_137)], atol=1e-4)


def test_units_of_both_arms_at_one_place_share_their_picture():
    """Two survey rounds at one well: treated and control there cannot be told apart by its picture."""
    lon = np.array([34.1, 34.1, 34.1, 34.2, 34.2, 34.3, 180.0, -180.0])
    lat = np.array([1.0, 1.0, 1.00001, 1.0, 1.0, 1.0, 5.0, 5.0])
    treated = np.array([1, 0, 1, 1, 1, 0, 0, 1])
    # The third lies a metre off the first two; the fourth and fifth are of one arm; 180 and -180 are one meridian.
    assert shared_across_arms(lon, lat, treated).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
        True,
        True,
    ]


def test_plot_draws_every_unit_with_degrees_of_equal_length():
    mpl.use("Agg")
    units = ec.read_units(
        villages(lat=[60.0, 60.0, 60.0], score=[1, 2, 3]), id="village", lon="lon", lat="lat"
    )
    ax = units.plot(color="score")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.c_[units.longitude, units.latitude])
    # A degree of longitude at 60 N is half as long as one of latitude.
    assert ax.get_aspect() == pytest.approx(2.0)
    assert ax.get_xlabel() == "longitude"


def test_plot_colours_text_by_its_labels():
    mpl.use("Agg")
    units = ec.read_units(villages(arm=["yes", "no", "yes"]), id="village", lon="lon", lat="lat")
    ax = units.plot(color="arm")
    assert ax.collections[0].get_array().tolist() == [1, 0, 1]
    bar = ax.figure.axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["no", "yes"]
