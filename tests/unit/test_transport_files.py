"""Places as files: read back by rasterio and geopandas, lattices found, what is no lattice refused; and maps."""

from __future__ import annotations

from pathlib import Path

import geopandas
import matplotlib
import numpy as np
import pandas as pd
import pytest
import rasterio

import eocausal as ec
from eocausal.errors import EocausalError, EvaluationError
from eocausal.evaluate.transport_files import BANDS, lattice_of
from eocausal.evaluate.transport_result import Transport
from tests.transport_worlds import FITTED, effects, study, target

matplotlib.use("Agg")

ROWS, COLUMNS = 5, 7


def _cells(*, crs: str = "EPSG:32636", step: float = 600.0, drop: int = 3) -> ec.Units:
    """A lattice without its first cells, in shuffled order, with ages that rise from west to east."""
    east, north = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    west, south = (414_000.0, 252_000.0) if crs != "EPSG:4326" else (32.1, 2.3)
    table = pd.DataFrame({"x": west + step * east.ravel(), "y": south + step * north.ravel()})
    table["age"], table["wealth"] = east.ravel() / 3.0, 0.0
    table["cell"] = [f"c{i:03d}" for i in range(len(table))]
    table.loc[table.index[-1], "age"] = 40.0  # the north-eastern cell is like no study unit
    table = table.iloc[drop:].sample(frac=1, random_state=0)
    return ec.read_units(table, id="cell", lon="x", lat="y", crs=crs)


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return effects(study())


@pytest.fixture(scope="module")
def carried(cate: ec.Cate) -> Transport:
    return ec.transport(cate, ec.Target(_cells()), learners=FITTED)


def test_a_raster_is_read_back_cell_by_cell(carried: Transport, tmp_path: Path) -> None:
    file = carried.write_geotiff(tmp_path / "new" / "effects.tif")
    with rasterio.open(file) as source:
        assert source.crs.to_epsg() == 32636
        assert (source.height, source.width, source.count) == (ROWS, COLUMNS, 5)
        assert source.descriptions == BANDS
        assert np.isnan(source.nodata)
        assert source.res == (600.0, 600.0)
        assert tuple(source.bounds) == (413_700.0, 251_700.0, 417_900.0, 254_700.0)
        units, places = _cells(), carried.places
        x, y = units.frame["x"], units.frame["y"]
        for number, band in enumerate(BANDS, start=1):
            found = np.array([value[0] for value in source.sample(zip(x, y), indexes=number)])
            np.testing.assert_allclose(found, places[band].to_numpy(dtype=float), rtol=1e-6)
        cells = source.read(1)
        assert np.isnan(cells).sum() == 3
        # the cells that were left out are the first of the southernmost row
        assert np.isnan(cells[-1, :3]).all()
        assert source.read(5)[0, -1] == 1.0
    assert sorted(one.name for one in file.parent.iterdir()) == ["effects.tif"]


def test_a_lattice_of_degrees_is_a_raster_of_degrees(cate: ec.Cate, tmp_path: Path) -> None:
    found = ec.transport(cate, ec.Target(_cells(crs="EPSG:4326", step=0.05)), learners=FITTED)
    with rasterio.open(found.write_geotiff(tmp_path / "a.tif")) as source:
        assert source.crs.to_epsg() == 4326
        assert source.res == pytest.approx((0.05, 0.05), abs=1e-12)
        assert source.bounds.left == pytest.approx(32.075, abs=1e-9)


def test_another_reference_system_has_no_such_lattice(carried: Transport, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"centres of a regular lattice in EPSG:3035"):
        carried.write_geotiff(tmp_path / "a.tif", crs="EPSG:3035")
    with pytest.raises(EocausalError, match="not a known reference system"):
        carried.write_geotiff(tmp_path / "a.tif", crs="EPSG:1")
    assert list(tmp_path.iterdir()) == []


def test_points_are_read_back(carried: Transport, tmp_path: Path) -> None:
    file = carried.write_geoparquet(tmp_path / "effects.parquet")
    found = geopandas.read_parquet(file)
    assert found.crs.to_epsg() == 4326
    assert found["id"].tolist() == carried.ids.tolist()
    np.testing.assert_array_equal(found["effect"], carried.effect_values)
    np.testing.assert_array_equal(found["outside"], ~carried.inside)
    np.testing.assert_allclose(np.column_stack([found.geometry.x, found.geometry.y]), carried.coordinates)
    moved = found.to_crs("EPSG:32636")
    np.testing.assert_allclose(moved.geometry.x, _cells().frame["x"], atol=1e-3)


def test_without_places_there_are_no_files_and_no_map(cate: ec.Cate, tmp_path: Path) -> None:
    found = ec.transport(cate, ec.Target(target(30)), learners=FITTED)
    for call in (
        lambda: found.write_geotiff(tmp_path / "a.tif"),
        lambda: found.write_geoparquet(tmp_path / "a.parquet"),
        lambda: found.map(),
    ):
        with pytest.raises(EvaluationError, match="The target knows no coordinates"):
            call()


@pytest.mark.parametrize("step", [30.0, 0.01, 1 / 3])
def test_lattices_are_found_whatever_the_step(step: float) -> None:
    rng = np.random.default_rng(0)
    column, row = rng.permutation(40)[:25], rng.integers(0, 30, size=25)
    column[0], row[0], column[1], row[1] = 0, 0, 1, 1
    places = np.column_stack([33.3 + step * column, 1.7 + step * row])
    found = lattice_of(places, np.arange(25), "here")
    np.testing.assert_array_equal(found.columns, column - column.min())
    np.testing.assert_array_equal(found.rows, row.max() - row)
    assert (found.width, found.height) == pytest.approx((step, step), rel=1e-9)
    assert found.north == pytest.approx(places[:, 1].max() + step / 2)


def test_coordinates_that_were_rounded_are_still_a_lattice() -> None:
    east, north = np.meshgrid(np.arange(200), np.arange(100))
    places = np.column_stack([30 + east.ravel() / 120, 1 + north.ravel() / 120]).round(6)
    found = lattice_of(places, np.arange(len(places)), "EPSG:4326")
    assert found.shape == (100, 200)
    assert found.width == pytest.approx(1 / 120, rel=1e-5)


def test_one_row_of_places_has_square_cells() -> None:
    found = lattice_of(np.array([[0.0, 5.0], [10.0, 5.0], [20.0, 5.0]]), np.arange(3), "here")
    assert (found.shape, found.width, found.height) == ((1, 3), 10.0, 10.0)


NO_LATTICE = {
    "scattered": (np.random.default_rng(0).uniform(size=(50, 2)), "centres of a regular lattice in here"),
    "one place": (np.array([[1.0, 2.0]]), "One place is no lattice"),
    "twice": (np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), "Several places lie in one cell"),
    "far apart": (
        np.array([[0.0, 0.0], [1.0, 1.0], [400.0, 300.0]]), "301 rows and 401 columns for 3 places",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(NO_LATTICE))
def test_what_is_no_lattice_is_refused(case: str) -> None:
    places, words = NO_LATTICE[case]
    with pytest.raises(EvaluationError, match=words):
        lattice_of(places, np.arange(len(places)), "here")


def test_a_map_shows_effects_and_greys_what_lies_outside(carried: Transport) -> None:
    ax = carried.map()
    grey, coloured = ax.collections[:2]
    inside = carried.inside
    assert len(grey.get_offsets()) == (~inside).sum() > 0
    np.testing.assert_array_equal(coloured.get_array(), carried.effect_values[inside])
    assert "outside what the study has seen" in ax.get_legend().get_texts()[0].get_text()
    assert carried.map(show="distance").get_legend() is None
    with pytest.raises(EvaluationError, match="show='effects' is not known"):
        carried.map(show="effects")
    given = matplotlib.figure.Figure().subplots()
    assert carried.map(given, show="like_study") is given
    assert len(carried.plot().get_yticklabels()) == 3


def test_many_places_are_drawn_as_means_of_cells(carried: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eocausal.evaluate.transport_map.MANY", 10)
    ax = carried.map()
    mean = ax.collections[1].get_array()
    kept = np.asarray(mean[~np.ma.getmaskarray(mean)]).ravel()
    assert np.isfinite(kept).sum() == carried.inside.sum()
    np.testing.assert_allclose(
        np.sort(kept[np.isfinite(kept)]), np.sort(carried.effect_values[carried.inside])
    )
