"""Data cubes give the chips that GeoTIFF files of the same numbers give."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from tests.scenes import NORTH, WEST, numbered, read_all, units_lonlat, units_on, write_scene

DAYS = pd.to_datetime(["2018-06-01", "2018-07-01", "2018-08-01"])
UNITS = units_on([(30, 40), (3, 5), (58.4, 70.2), (-20, 10)])


def _pixels(days: int = 3) -> np.ndarray:
    """Return pixels (days, bands, rows, columns) that say where they are."""
    return np.stack([numbered() + 50_000 * day for day in range(days)])


def _cube(pixels: np.ndarray | None = None, *, rising: bool = False, **attrs: object) -> xr.Dataset:
    pixels = _pixels() if pixels is None else pixels
    height, width = pixels.shape[-2:]
    y = NORTH - 15 - 30.0 * np.arange(height)
    x = WEST + 15 + 30.0 * np.arange(width)
    made = xr.Dataset(
        {name: (("time", "y", "x"), pixels[:, i], attrs) for i, name in enumerate(("red", "nir"))},
        {"time": DAYS[: len(pixels)], "y": y, "x": x},
    )
    return made.isel(y=slice(None, None, -1)) if rising else made


def _files(folder, pixels: np.ndarray | None = None, **options: object) -> ec.Scenes:
    pixels = _pixels() if pixels is None else pixels
    paths = [
        write_scene(folder / f"{day:%Y%m%d}.tif", one, descriptions=("red", "nir"), **options)
        for day, one in zip(DAYS, pixels)
    ]
    return ec.scenes(paths, pattern="{date:%Y%m%d}.tif")


def _same(ours: ec.Scenes, theirs: ec.Scenes, units: ec.Units = UNITS, **options: object) -> None:
    cut = [ec.chips(units, scenes, frames=ec.Frames("each"), **options) for scenes in (ours, theirs)]
    assert cut[0].bands == cut[1].bands
    assert cut[0].frames == cut[1].frames
    found, wanted = (read_all(one) for one in cut)
    for block in wanted.pixels:
        np.testing.assert_array_equal(found.pixels[block], wanted.pixels[block])
        np.testing.assert_array_equal(found.status[block], wanted.status[block])
    assert np.isfinite(wanted.pixels[block]).any()


@pytest.mark.parametrize("rising", [False, True])
def test_a_dataset_gives_the_chips_of_files_in_metres_and_in_pixels(tmp_path, rising) -> None:
    scenes = ec.cube_scenes(_cube(rising=rising), crs="EPSG:32636")
    files = _files(tmp_path)
    _same(scenes, files, size_m=[300, 900])
    _same(scenes, files, size_px=7)
    assert scenes.table()["scene"].tolist() == [f"cube {day:%Y-%m-%d}" for day in DAYS]


def test_columns_that_run_from_east_to_west_are_turned_too(tmp_path) -> None:
    turned = _cube().isel(x=slice(None, None, -1))
    _same(ec.cube_scenes(turned, crs="EPSG:32636"), _files(tmp_path), size_m=[300, 900])


def test_a_known_pixel_stands_where_its_coordinates_say() -> None:
    cut = ec.chips(units_on([(30.5, 40.5)]), ec.cube_scenes(_cube(rising=True), crs="EPSG:32636"), size_px=1,
                   frames=ec.Frames(["2018-07"]))  # fmt: skip
    assert read_all(cut).pixels["1px"].ravel().tolist() == [63_040.0, 73_040.0]


def test_an_array_with_bands_and_one_of_a_single_day() -> None:
    array = _cube().to_dataarray("band").transpose("time", "band", "y", "x")
    _same(ec.cube_scenes(array, crs="EPSG:32636"), ec.cube_scenes(_cube(), crs="EPSG:32636"), size_px=4)
    one = _cube()["nir"].isel(time=0)
    scenes = ec.cube_scenes(one, crs="EPSG:32636", sensor="LE07")
    assert scenes.table()[["date", "sensor"]].values.tolist() == [["2018-06-01", "LE07"]]
    unnamed = one.drop_vars("time").rename(None)
    assert ec.cube_scenes(unnamed, crs="EPSG:32636").table()["scene"].tolist() == ["cube"]
    numbers = _cube().to_dataarray("band").assign_coords(band=[4, 5])
    assert ec.cube_scenes(numbers, crs="EPSG:32636").tiles[0].names == ("band4", "band5")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("rising", [False, True])
def test_zarr(tmp_path, version, rising) -> None:
    pixels = _pixels()
    pixels[1, :, 20:35, 30:45] = -1
    kept = {"_FillValue": -1.0}
    cube = _cube(pixels, rising=rising)
    cube = cube.assign_coords(spatial_ref=((), 0, {"crs_wkt": _wkt(32636)}))
    cube.to_zarr(tmp_path / "cube.zarr", zarr_format=version, consolidated=False,
                 encoding={name: {**kept, "chunks": (1, 16, 32)} for name in ("red", "nir")})  # fmt: skip
    assert ec.cube_scenes(tmp_path / "cube.zarr").tiles[0].names == ("nir", "red")
    scenes = ec.cube_scenes(tmp_path / "cube.zarr", bands=["red", "nir"])
    assert scenes.tiles[0].cell == (60, 80)
    _same(scenes, _files(tmp_path, pixels, nodata=-1), size_m=[300, 900])


def test_netcdf_with_its_own_scale_is_scaled_once(tmp_path) -> None:
    pytest.importorskip("h5py")
    pixels = (_pixels() / 4).astype("uint16")
    pixels[0, :, 25:32] = 65_535
    packed = {"dtype": "uint16", "scale_factor": 0.5, "add_offset": -10.0, "_FillValue": 65_535}
    real = np.where(pixels == 65_535, np.nan, pixels * 0.5 - 10.0).astype("float32")
    cube = _cube(real).assign_coords(spatial_ref=((), 0, {"crs_wkt": _wkt(32636)}))
    cube.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf", encoding={"red": packed, "nir": packed})
    scenes = ec.cube_scenes(str(tmp_path / "cube.nc"))
    _same(scenes, _files(tmp_path, real), size_m=300)
    assert scenes.tiles[0].recipe()["scales"] == {"red": (0.5, -10.0), "nir": (0.5, -10.0)}
    # opened by xarray, which scales too, it is the same
    _same(ec.cube_scenes(xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf")), scenes, size_m=300)
    raw = xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf", mask_and_scale=False)
    with pytest.raises(
        ImageryError, match=r"scale_factor=0\.5 and add_offset=-10 of band 'red'[\s\S]*decode_cf"
    ):
        ec.cube_scenes(raw)


def test_degrees_are_interpolated_as_files_in_degrees_are(tmp_path) -> None:
    step = 0.00025
    place = Affine(step, 0, 34.0, 0, -step, 1.0)
    names = {"y": "latitude", "x": "longitude"}
    cube = (
        _cube()
        .assign_coords(y=1.0 - step * (np.arange(60) + 0.5), x=34.0 + step * (np.arange(80) + 0.5))
        .rename(names)
    )
    units = units_lonlat([34.01, 34.0001], [0.992, 0.9995])
    scenes = ec.cube_scenes(cube.isel(latitude=slice(None, None, -1)))
    assert scenes.tiles[0].lattice.crs == "EPSG:4326"
    files = _files(tmp_path, crs="EPSG:4326", transform=place)
    found, wanted = (
        read_all(ec.chips(units, one, size_m=300, frames=ec.Frames("each"))).pixels["300m"]
        for one in (scenes, files)
    )
    assert np.isfinite(wanted).sum() > 500
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_degrees_in_single_precision_are_even_enough() -> None:
    step = 0.00025
    cube = _cube().assign_coords(
        y=(1.0 - step * np.arange(60)).astype("f4"), x=(114.0 + step * np.arange(80)).astype("f4")
    )
    (first, *_) = ec.cube_scenes(cube, crs="EPSG:4326").tiles
    assert first.lattice.a == pytest.approx(step, rel=1e-3)


def test_dask_loads_only_the_chunks_of_a_window() -> None:
    import dask.array as da

    read = []

    def block(block_info: dict) -> np.ndarray:
        place = block_info[None]
        read.append(tuple(place["chunk-location"]))
        return np.full(place["chunk-shape"], 7.0, dtype="f4")

    values = da.map_blocks(
        block, chunks=((1, 1, 1), (300,) * 4, (300,) * 4), dtype="f4", meta=np.empty(0, "f4")
    )
    cube = xr.DataArray(values, dims=("time", "y", "x"), name="red").assign_coords(
        time=DAYS, y=NORTH - 15 - 30.0 * np.arange(1200), x=WEST + 15 + 30.0 * np.arange(1200)
    )
    scenes = ec.cube_scenes(cube, crs="EPSG:32636")
    assert scenes.tiles[0].cell == (300, 300)
    cut = ec.chips(units_on([(450, 750)]), scenes, size_px=10, frames=ec.Frames(["2018-07"]))
    assert (read_all(cut).pixels["10px"] == 7).all()
    assert set(read) == {(1, 1, 2)}
    assert "graph" in scenes.tiles[0].recipe()


def test_fill_values_nan_and_a_quality_band() -> None:
    pixels = _pixels(1)
    pixels[0, 0, 10, 10], pixels[0, 1, 12, 12], pixels[0, 0, 14, 14] = np.nan, -9999, np.inf
    flags = np.full((1, 60, 80), 4, "uint8")
    flags[0, 16, 16] = 9
    cube = _cube(pixels, nodata=-9999.0).assign(SCL=(("time", "y", "x"), flags))
    quality = ec.Quality("SCL", scheme="sentinel2_scl")
    scenes = ec.cube_scenes(cube, crs="EPSG:32636", bands=["nir"], quality=quality)
    assert scenes.tiles[0].names == ("nir", "SCL")
    mask = read_all(ec.chips(units_on([(15, 15)]), scenes, size_px=12)).mask["12px"][0, 0]
    assert [tuple(place) for place in np.argwhere(~mask) + 9] == [(12, 12), (16, 16)]
    mask = read_all(
        ec.chips(units_on([(15, 15)]), ec.cube_scenes(cube, crs="EPSG:32636", quality=quality), size_px=12)
    ).mask["12px"][0, 0]
    assert [tuple(place) for place in np.argwhere(~mask) + 9] == [(10, 10), (12, 12), (14, 14), (16, 16)]


def test_steps_of_one_day_keep_their_order() -> None:
    pixels = _pixels(2)
    pixels[0, :, 20:] = np.nan
    cube = _cube(pixels).assign_coords(time=pd.to_datetime(["2018-06-01T08:00", "2018-06-01T08:05"]))
    scenes = ec.cube_scenes(cube, crs="EPSG:32636")
    assert [tile.name for tile in scenes.tiles] == ["cube 2018-06-01", "cube 2018-06-01 #2"]
    red = read_all(ec.chips(units_on([(20, 40)]), scenes, size_px=2)).pixels["2px"][0, 0, 0]
    assert red.tolist() == [[11_939, 11_940], [62_039, 62_040]]


def test_composites_over_the_steps_of_a_cube() -> None:
    cut = ec.chips(units_on([(30, 40)]), ec.cube_scenes(_cube(), crs="EPSG:32636"), size_px=2,
                   frames=ec.Frames(["2018"]))  # fmt: skip
    batch = read_all(cut)
    assert batch.pixels["2px"][0, 0, 0].tolist() == [[62_939, 62_940], [63_039, 63_040]]
    assert batch.observations["2px"].tolist() == [[3.0]]


def test_the_reference_system_is_found_where_tools_write_it() -> None:
    cube = _cube()
    for said in (
        cube.assign_coords(spatial_ref=((), 0, {"spatial_ref": _wkt(32636)})),
        cube.assign_coords(crs=((), 0, {"grid_mapping_name": "transverse_mercator", **_cf(32636)})),
        cube.assign_attrs(crs="EPSG:32636"),
        cube.assign(red=cube["red"].assign_attrs(crs="+init=epsg:32636")),
    ):
        assert ec.cube_scenes(said).tiles[0].lattice.crs == "EPSG:32636"


def test_what_is_recorded_follows_the_pixels_and_not_the_folder(tmp_path) -> None:
    recipes = [tile.recipe() for tile in ec.cube_scenes(_cube(), crs="EPSG:32636").tiles]
    assert recipes == [tile.recipe() for tile in ec.cube_scenes(_cube(), crs="EPSG:32636").tiles]
    changed = _pixels()
    changed[1, 0, 59, 79] += 1
    others = [tile.recipe() for tile in ec.cube_scenes(_cube(changed), crs="EPSG:32636").tiles]
    assert [a == b for a, b in zip(recipes, others)] == [True, False, True]
    for folder in ("a", "b"):
        _cube().to_zarr(tmp_path / folder / "cube.zarr", consolidated=False)
    told = [ec.cube_scenes(tmp_path / f / "cube.zarr", crs="EPSG:32636").tiles[0].recipe() for f in "ab"]
    assert told[0] == told[1]
    assert str(tmp_path) not in json.dumps(told)


def _wkt(code: int) -> str:
    import pyproj

    return pyproj.CRS.from_epsg(code).to_wkt()


def _cf(code: int) -> dict:
    import pyproj

    return pyproj.CRS.from_epsg(code).to_cf()


def test_a_composite_is_dated_by_the_last_day_that_it_covers() -> None:
    edges = pd.to_datetime(["2018-06-01", "2018-07-01", "2018-08-01", "2018-09-01"]).values
    cube = _cube().assign_coords(time_bnds=(("time", "nv"), np.stack([edges[:-1], edges[1:]], axis=1)))
    cube["time"].attrs["bounds"] = "time_bnds"
    days = ec.cube_scenes(cube, crs="EPSG:32636").table()["date"].tolist()
    assert days == ["2018-06-30", "2018-07-31", "2018-08-31"]


def test_classes_are_not_interpolated() -> None:
    cube = _cube().isel(time=0)
    cube["red"].attrs["flag_values"] = [1, 2, 3]
    degrees = cube.assign_coords(y=1 - 0.0003 * np.arange(60), x=34 + 0.0003 * np.arange(80))
    scenes = ec.cube_scenes(degrees, crs="EPSG:4326")
    with pytest.raises(ImageryError, match=r"classes .*cannot be interpolated"):
        ec.chips(units_lonlat([34.01], [0.992]), scenes, size_m=300)
    quality = ec.Quality("red", scheme="sentinel2_scl")
    assert not ec.cube_scenes(degrees, crs="EPSG:4326", quality=quality).tiles[0].categorical


def test_longitudes_from_0_to_360_are_the_same_places() -> None:
    values = np.arange(180 * 360, dtype="f4").reshape(180, 360)
    globe = xr.DataArray(values, dims=("lat", "lon"), name="t").assign_coords(
        lat=89.5 - np.arange(180), lon=0.5 + np.arange(360)
    )
    cut = ec.chips(units_lonlat([-59.5, 10.5], [0.5, 0.5]), ec.cube_scenes(globe), size_px=1)
    assert read_all(cut).pixels["1px"].ravel().tolist() == [89 * 360 + 300, 89 * 360 + 10]
