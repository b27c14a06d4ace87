# ruff: noqa: E501 - a case is a line
"""Tables of places that must be refused, and the words that help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import LineString, Point, Polygon, box

import eocausal as ec
from eocausal.errors import EmbeddingsError
from tests.places import grid, tiles, units_at

Case = tuple[Callable[[], object], dict[str, object], str]


def changed(**columns: object) -> Callable[[], pd.DataFrame]:
    return lambda: grid().assign(**columns)


def with_value(row: int, column: str, value: object) -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        table = grid()
        table[column] = table[column].astype(object) if isinstance(value, str) else table[column]
        table.loc[row, column] = value
        return table

    return make


def swapped() -> pd.DataFrame:
    return grid().rename(columns={"lon": "lat", "lat": "lon"})


def shapes(*geometry: object, crs: str | None = "EPSG:4326") -> Callable[[], gpd.GeoDataFrame]:
    return lambda: gpd.GeoDataFrame({"f": np.arange(float(len(geometry)))}, geometry=list(geometry), crs=crs)


def scattered() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"lon": 34 + 0.05 * rng.random(30), "lat": 1 + 0.05 * rng.random(30), "f": 1.0})


TILE = box(34.0, 1.0, 34.02, 1.02)
BOW = Polygon([(34, 1), (34.02, 1.02), (34.02, 1), (34, 1.02)])

CASES: dict[str, Case] = {
    "swapped": (swapped, {}, r"No unit has a place[\s\S]*look swapped in one of the two: exchange lon= and lat="),
    "swapped beyond 90": (lambda: swapped().assign(lat=120.0), {}, r"look swapped \('lon' up to 1\.045, 'lat' up to 120\)[\s\S]*lon='lat', lat='lon'"),
    "metres": (changed(lon=600_000.0, lat=110_000.0), {}, "are not in degrees .*'lon' up to 600000"),
    "elsewhere": (changed(lat=40.0 + np.arange(25)), {"max_distance_m": 500}, r"places at lon 34\.005 to 34\.045, lat 40 to 64[\s\S]*within 500 m; the nearest is 4,3"),
    "same place twice": (lambda: pd.concat([grid(), grid()]), {}, r"several rows of the place[\s\S]*1 \(v0\)[\s\S]*drop_duplicates[\s\S]*year_column="),
    "same place twice in a year": (lambda: pd.concat([grid().assign(year=2019)] * 2), {"year": 2019}, r"one row of features per place and year"),
    "no such lon": (lambda: grid().rename(columns={"lon": "Long"}), {}, r"Column 'lon' is not in the table of places[\s\S]*'Long'"),
    "no such lat": (grid, {"lon": "lon", "lat": "latt"}, r"Column 'latt' is not in[\s\S]*'lat'"),
    "lon alone": (grid, {"lon": "lon"}, "Only one of lon= and lat="),
    "no such feature": (grid, {"columns": ["X_0", "x_2"]}, r"Column 'x_2' is not in[\s\S]*Did you mean 'X_"),
    "no such prefix": (grid, {"columns": "Y_"}, r"no numeric column that starts with it[\s\S]*X_"),
    "coordinate as feature": (grid, {"columns": ["lon"]}, r"cannot be features[\s\S]*without coordinates and year"),
    "same feature twice": (grid, {"columns": ["X_0", "X_0"]}, "different columns of numbers"),
    "nothing but places": (lambda: grid()[["lon", "lat"]], {}, "has no features"),
    "NaN feature": (with_value(6, "X_1", np.nan), {}, r"Features in 1 columns \(X_1\) are missing \(NaN\)[\s\S]*1 \(v0\)"),
    "infinite feature": (with_value(6, "X_0", np.inf), {}, r"\(X_0\) are infinite[\s\S]*1 \(v0\)"),
    "too large a feature": (with_value(6, "X_0", 1e300), {}, "too large for float32"),
    "text feature": (with_value(6, "X_0", "low"), {"columns": ["X_0"]}, r"cannot be features[\s\S]*X_0"),
    "NaN place": (with_value(3, "lat", np.nan), {}, r"'lat' of the table has missing or infinite coordinates[\s\S]*1 \(3\)"),
    "text place": (with_value(3, "lon", "34E"), {}, r"'lon' of the table holds text[\s\S]*pd\.to_numeric"),
    "several years": (lambda: pd.concat([grid().assign(year=y) for y in (2018, 2019)]), {}, r"2 years \(2018, 2019\) and year= is not given[\s\S]*year=2018"),
    "another year": (changed(year=2019), {"year": 2018}, r"no features of year=2018[\s\S]*'year': 2019"),
    "no year column": (grid, {"year_column": "yr"}, "Column 'yr' is not in the table of places"),
    "words for years": (changed(year="first"), {}, r"neither years nor dates: \['first'"),
    "half a year": (changed(year=2018.5), {}, "neither years nor dates"),
    "year as text": (grid, {"year": "2019"}, r"year='2019'[\s\S]*whole number"),
    "year of two digits": (grid, {"year": 19}, "at least 1900"),
    "no bound and no grid": (scattered, {}, r"max_distance_m= is not given, and the points .* not a regular grid"),
    "bound of nothing": (grid, {"max_distance_m": 0}, r"max_distance_m=0 is not a distance"),
    "bound as text": (grid, {"max_distance_m": "1km"}, "'1km' is not a distance"),
    "bound with polygons": (tiles, {"max_distance_m": 100.0}, r"holds polygons[\s\S]*Leave it out"),
    "outside all polygons": (shapes(box(10, 1, 11, 2)), {}, r"No unit has a place[\s\S]*a polygon covers the unit"),
    "polygons twice": (shapes(TILE, TILE), {}, r"several rows of the place"),
    "points and polygons": (shapes(Point(34, 1), TILE), {}, "neither all points nor all polygons"),
    "lines": (shapes(LineString([(34, 1), (35, 2)])), {}, "neither all points nor all polygons"),
    "crossed polygon": (shapes(TILE, BOW), {}, r"is invalid[\s\S]*1 \(1\)[\s\S]*make_valid"),
    "missing polygon": (shapes(TILE, None), {}, r"missing or empty[\s\S]*1 \(1\)"),
    "no reference system": (shapes(TILE, crs=None), {}, r"no reference system that is known[\s\S]*set_crs"),
    "lists and numbers": (lambda: tiles().assign(cloud=[1.0, 2.0]), {}, r"numbers \(cloud\) and of lists \(embeddings\)[\s\S]*columns='embeddings'"),
    "empty": (lambda: grid().head(0), {}, "the table has no rows"),
    "columns twice": (lambda: pd.concat([grid(), grid()[["X_0"]]], axis=1), {}, r"names appear more than once[\s\S]*X_0"),
    "no table": (lambda: [1, 2], {}, "Places cannot be read from a list"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(case):
    make, options, words = CASES[case]
    # the unit lies in cell 6 of the grid, and in both tiles
    with pytest.raises(EmbeddingsError, match=words):
        ec.embeddings_at(units_at([34.0151], [1.0151]), make(), **options)


def test_units_without_a_place_or_with_several():
    table = pd.DataFrame({"id": [1, 2], "v": ["a", "a"], "lon": [34.0, 34.1], "lat": [1.0, 1.0]})
    with pytest.raises(EmbeddingsError, match=r"The units have no coordinates[\s\S]*lon="):
        ec.embeddings_at(ec.read_units(table[["id", "v"]], id="id", image_key="v"), grid())
    apart = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="v")
    with pytest.raises(
        EmbeddingsError, match=r"share a 'v' but lie up to 11,1.. m apart[\s\S]*leave out image_key="
    ):
        ec.embeddings_at(apart, grid())


def test_vectors_of_two_lengths():
    table = tiles().assign(embeddings=[[1.0, 2.0, 3.0], [1.0]])
    with pytest.raises(EmbeddingsError, match=r"no one length[\s\S]*2 \(1, 3\)"):
        ec.embeddings_at(units_at([34.002, 34.028], [1.01, 1.01]), table)


def put(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


FILES: dict[str, tuple[bytes, str, str]] = {
    "not parquet": (b"lon,lat,X_0\n", "a.parquet", "'a.parquet' is damaged or not a Parquet file"),
    "not text": (b"lon,lat\n\xff\xfe,1\n", "a.csv", "not a CSV table of UTF-8 text"),
    "empty file": (b"", "a.csv", "not a CSV table"),
    "semicolons": (b"lon;lat;X_0\n34;1;2\n", "a.csv", r"Column 'lon' is not in"),
    "text further down": (b"lon,lat,X_0\n" + b"34,1,2\n" * 2000 + b"34.0151,1.0151,low\n", "a.csv", r"of a\.csv hold text[\s\S]*X_0"),
    "another kind": (b"", "a.xlsx", r"not of a kind[\s\S]*\.csv, \.parquet, \.geoparquet, \.gpq"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_not_tables(case, tmp_path):
    content, name, words = FILES[case]
    with pytest.raises(EmbeddingsError, match=words):
        ec.embeddings_at(units_at([34.0151], [1.0151]), put(tmp_path, name, content), max_distance_m=900)


def test_a_file_that_is_not_there_and_one_that_is_cut(tmp_path):
    file = tmp_path / "tiles.parquet"
    tiles().to_parquet(file)
    with pytest.raises(EmbeddingsError, match=r"is not there[\s\S]*tiles\.parquet"):
        ec.embeddings_at(units_at([34.0151], [1.0151]), tmp_path / "tile.parquet")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(EmbeddingsError, match="is damaged or not a Parquet file"):
        ec.embeddings_at(units_at([34.0151], [1.0151]), file)
