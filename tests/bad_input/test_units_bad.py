# ruff: noqa: E501 - a case is a line
"""Tables of units that must be refused, and the words that help."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

import eocausal as ec
from eocausal.errors import UnitsError


def table(**columns: object) -> pd.DataFrame:
    good = {"id": ["a", "b", "c"], "lon": [34.1, 34.2, 34.3], "lat": [1.3, 1.4, 1.5]}
    return pd.DataFrame({**good, **columns})


def shapes(*geometry: object, crs: str | None = "EPSG:4326") -> geopandas.GeoDataFrame:
    frame = {"id": [f"u{i}" for i in range(len(geometry))]}
    return geopandas.GeoDataFrame(frame, geometry=list(geometry), crs=crs)


POINT = shapely.Point(34, 1)
BOW_TIE = shapely.Polygon([(34, 1), (35, 2), (35, 1), (34, 2)])

# What is passed, what else is said, and the words that the error must hold.
CASES: dict[str, tuple[object, dict[str, object], list[str]]] = {
    "missing column": (table(), {"lon": "long"}, ["'long' is not in the units", "Did you mean 'lon'"]),
    "missing id column": (table(), {"id": "identifier"}, ["'identifier'", "units"]),
    "repeated column": (
        pd.concat([table(), table()[["lat"]]], axis=1),
        {},
        ["more than once", "1 (lat)", "frame.columns.duplicated()"],
    ),
    "column renamed by pandas": (table(**{"id.1": [1, 2, 3]}), {}, ["renamed by pandas", "id.1", "drop"]),
    "duplicate ids": (table(id=["a", "b", "a"]), {}, ["'id' holds duplicate", "1 (a)", "Aggregate"]),
    "missing id": (table(id=["a", None, "c"]), {}, ["'id' is missing or blank", "1 (row 1)", "notna()"]),
    "blank id": (table(id=["a", "  ", "c"]), {}, ["missing or blank", "row 1"]),
    "float ids": (table(id=[1.0, 2.0, 3.0]), {}, ["'id' holds floats: 1.0, 2.0, 3.0", 'astype("int64")']),
    "float ids by a gap": (table(id=[1, None, 3]), {}, ["turns whole numbers into floats", "row 1"]),
    "mixed ids": (table(id=["a", 2, "c"]), {}, ["'id' holds int, str", "astype(str)"]),
    "missing image key": (
        table(key=["x", None, "y"]),
        {"image_key": "key"},
        ["'key' is missing or blank", "row 1"],
    ),
    "missing coordinate": (table(lat=[1.3, np.nan, 1.5]), {}, ["'lat' has missing", "1 (b)", "np.isfinite"]),
    "infinite coordinate": (table(lon=[34.1, np.inf, np.inf]), {}, ["'lon' has missing or infinite", "2 (b, c)"]),
    "decimal comma": (table(lon=["34,1", "34,2", "34.3"]), {}, ["'lon' holds text", "34,1", "2 (a, b)", "replace"]),
    "numbers as text": (table(lon=["34.1", "34.2", "34.3"]), {}, ["'lon' holds text", "astype(float)"]),
    "swapped": (
        table(lon=[1.3, 1.4, 1.5], lat=[134.1, 134.2, 60.0]),
        {},
        ["look swapped", "2 (a, b)", "lon='lat', lat='lon'"],
    ),
    "longitude from 0 to 360": (table(lon=[34.1, 290.0, 34.3]), {}, ["out of range", "1 (b)", "+ 180) % 360 - 180"]),
    "metres without crs": (
        table(lon=[500_000.0] * 3, lat=[1e5] * 3),
        {},
        ["out of range", "metres", "crs="],
    ),
    "null island": (table(lon=[34.1, 0.0, 0.0], lat=[1.3, 0.0, 0.0]), {}, ["(0, 0)", "2 (b, c)", "missing place"]),
    "unknown crs": (table(), {"crs": "EPSG:99999999"}, ["EPSG:99999999", "not a known reference system"]),
    "crs without surface": (table(), {"crs": "EPSG:4978"}, ["EPSG:4978", "neither geographic nor projected"]),
    "degrees called metres": (table(), {"crs": "EPSG:32636"}, ["look like degrees", "EPSG:32636", "EPSG:4326"]),
    "crs without coordinates": (table(), {"lon": None, "lat": None, "crs": 4326, "image_key": "id"}, ["crs=4326", "without coordinates"]),
    "complex numbers": (table(lon=[34 + 1j, 34.2, 34.3]), {}, ["'lon' holds complex128", "real numbers"]),
    "true and false": (table(lat=[True, False, True]), {}, ["'lat' holds bool", "real numbers"]),
    "id by position": (table(), {"id": 0}, ["id=0 is not the name of a column", "astype(str)"]),
    "id of several columns": (table(), {"id": ["id", "lon"]}, ["id=['id', 'lon'] is not the name of a column"]),
    "half a coordinate": (table(), {"lat": None}, ["Only one of lon= and lat="]),
    "no place at all": (table(), {"lon": None, "lat": None}, ["neither coordinates nor an image_key", "lon="]),
    "empty": (table().iloc[:0], {}, ["empty"]),
    "wrong type": ([1, 2, 3], {}, ["from a list", "pandas DataFrame"]),
    "geometry and columns": (shapes(POINT).assign(lon=34.0, lat=1.0), {}, ["geometry column", "lon= and lat= are given"]),
    "geometry without crs": (shapes(POINT, crs=None), {"lon": None, "lat": None}, ["no reference system (CRS)", 'crs="EPSG:4326"']),
    "two crs": (shapes(POINT), {"lon": None, "lat": None, "crs": "EPSG:32636"}, ["EPSG:32636", "EPSG:4326", "to_crs"]),
    "null geometry": (shapes(POINT, None), {"lon": None, "lat": None}, ["Geometry is missing", "1 (u1)", "notna()"]),
    "empty geometry": (shapes(POINT, shapely.Point()), {"lon": None, "lat": None}, ["Geometry is empty", "1 (u1)"]),
    "invalid geometry": (shapes(BOW_TIE, POINT), {"lon": None, "lat": None}, ["invalid", "1 (u0)", "make_valid()"]),
    "lines": (shapes(shapely.LineString([(34, 1), (35, 2)])), {"lon": None, "lat": None}, ["neither point nor polygon (LineString)", "centroid"]),
    "half the world": (shapes(POINT, shapely.box(-100, 10, 90, 20)), {"lon": None, "lat": None}, ["half around the world", "1 (u1)", "180 degrees", "representative_point()"]),
    "unreadable dates": (table(start=["30/06/2007", "2007-06-30", "soon"]), {"date": "start"}, ["'start'", "'30/06/2007', 'soon'", "2 (a, c)", "pd.to_datetime"]),
    "years as numbers": (table(start=[2007, 2008, 2009]), {"date": "start"}, ["'start' holds numbers", "ISO 8601", '"-01-01"']),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused_with_the_words_that_help(name):
    source, options, words = CASES[name]
    call = {"id": "id", "lon": "lon", "lat": "lat", **options}
    with pytest.raises(UnitsError, match=re.escape(words[0])) as caught:
        ec.read_units(source, **{k: v for k, v in call.items() if v is not None})
    for word in words[1:]:
        assert word in str(caught.value)


def put(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


FILES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "not there": (lambda folder: (put("units.csv", "")(folder), folder / "unitz.csv")[1], ["unitz.csv", "Did you mean", "units.csv"]),
    "name too long": (lambda folder: folder / ("u" * 300 + ".csv"), ["No file can have this name", "255 characters"]),
    "no folder": (lambda folder: folder / "no" / "units.csv", ["is not there", "no folder"]),
    "unknown kind": (put("units.xlsx", "x"), ["units.xlsx", "accepted endings", ".dta"]),
    "repeated header": (put("u.csv", "id,lon,lat,id\n1,2,3,4\n"), ["more than once", "1 (id)"]),
    "semicolons": (put("u.csv", "id;lon;lat\n1;2;3\n"), ["separated by ';'", "sep=';'"]),
    "not utf-8": (put("u.csv", "id,lon,lat,name\n1,2,3,Per\u00fa\n".encode("latin-1")), ["not UTF-8", "latin-1"]),
    "floats in csv": (put("u.csv", "id,lon,lat\n1.0,2,3\n2.0,3,4\n"), ["holds floats: 1.0, 2.0"]),
    "header only": (put("u.csv", "id,lon,lat\n"), ["empty"]),
    "nothing": (put("u.csv", ""), ["not a CSV table"]),
    "false parquet": (put("u.parquet", b"id,lon,lat\n"), ["not a Parquet file"]),
    "false geopackage": (put("u.gpkg", "<OGRVRTDataSource>"), ["not a .gpkg file", "<OGRVRTDataSour"]),
    "false stata": (put("u.dta", b"id,lon,lat\n"), ["not a Stata file"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_are_refused_by_name(name, tmp_path):
    make, words = FILES[name]
    with pytest.raises(UnitsError, match=re.escape(words[0])) as caught:
        ec.read_units(make(tmp_path), id="id", lon="lon", lat="lat")
    for word in words[1:]:
        assert word in str(caught.value)


def test_several_layers_are_named(tmp_path):
    for layer in ("north", "south"):
        shapes(POINT).to_file(tmp_path / "u.gpkg", layer=layer)
    with pytest.raises(UnitsError, match=r"several layers") as caught:
        ec.read_units(tmp_path / "u.gpkg", id="id")
    assert "2 (north, south)" in str(caught.value)


METHODS: dict[str, tuple[Callable[[ec.Units], object], str]] = {
    "near column": (lambda units: units.column("lom"), r"'lom' is not in the units.\n.*Did you mean 'lon'"),
    "row out of range": (lambda units: units.take([0, 3]), r"out of range.\n.*1 \(3\)\n.*0 <= row < 3"),
    "row twice": (lambda units: units.take([1, 1]), r"duplicate ids.\n.*1 \(b\)"),
    "mask too short": (lambda units: units.take(np.array([True])), r"mask has shape \(1,\)"),
    "no rows": (lambda units: units.take([]), r"No units would be left"),
    "wrong length": (lambda units: units.with_columns(x=[1, 2]), r"'x' has shape \(2,\), the units are 3"),
    "id replaced": (lambda units: units.with_columns(id=[1, 2, 3]), r"cannot be replaced.\n.*1 \(id\)"),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_refuse(name):
    call, words = METHODS[name]
    with pytest.raises(UnitsError, match=words):
        call(ec.read_units(table(), id="id", lon="lon", lat="lat"))
