"""Cubes that cannot be placed, dated or opened safely are refused in words that help."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

import eocausal as ec
from eocausal.errors import ImageryError
from tests.unit.test_cubes import _cube

UTM = {"crs": "EPSG:32636"}


def _bent() -> xr.Dataset:
    y = _cube()["y"].values.copy()
    y[30] -= 6
    return _cube().assign_coords(y=y)


def _typed(kind: str) -> xr.Dataset:
    return _cube().assign(red=_cube()["red"].astype(kind))


BAD = {
    "a list": (lambda: [1, 2], UTM, r"cannot be read from a list[\s\S]*xarray\.Dataset"),
    "no axes": (lambda: _cube().rename(y="a", x="b"), UTM, r"no axes that say where[\s\S]*cube\.rename"),
    "axes without numbers": (
        lambda: _cube().drop_vars("y"),
        UTM,
        r"Axis 'y' of the cube has no coordinates[\s\S]*assign",
    ),
    "uneven": (_bent, UTM, r"Axis 'y' is not evenly spaced: it is up to 0\.2 of a pixel off[\s\S]*interp"),
    "one row": (lambda: _cube().isel(y=[3]), UTM, r"Axis 'y' has 1 pixel, so its spacing is not known"),
    "no system": (_cube, {}, r"does not say what its coordinates are[\s\S]*crs=\"EPSG:32636\""),
    "two systems": (
        lambda: _cube().assign_attrs(crs="EPSG:32637"),
        UTM,
        r"more than one reference system[\s\S]*2 \(EPSG:32637",
    ),
    "unreadable system": (_cube, {"crs": "EPSG:99999999"}, r"cannot be read from crs="),
    "metres as degrees": (_cube, {"crs": "EPSG:4326"}, r"x=600000, y=200000, which are no degrees"),
    "no dates": (lambda: _cube().assign_coords(time=[1, 2, 3]), UTM, r"Axis 'time' holds int64 and no dates"),
    "time without numbers": (lambda: _cube().drop_vars("time"), UTM, r"Axis 'time' of the cube has no dates"),
    "a missing date": (
        lambda: _cube().assign_coords(time=np.array(["2018-01-01", "NaT", "2018-02-01"], "M8[ns]")),
        UTM,
        r"steps without a date[\s\S]*1 \(1\)",
    ),
    "another axis": (
        lambda: _cube().expand_dims(level=2),
        UTM,
        r"an axis 'level' that is neither time nor place[\s\S]*isel\(level=0\)",
    ),
    "bands of two shapes": (
        lambda: _cube().assign(slope=_cube()["red"].isel(time=0, drop=True)),
        UTM,
        r"Bands 'red' and 'slope' of the cube have different axes[\s\S]*bands=\['red', 'nir'\]",
    ),
    "text": (lambda: _typed("U4"), UTM, r"Band 'red' of the cube holds <U4 and no numbers"),
    "complex": (lambda: _typed("c8"), UTM, r"Band 'red' of the cube holds complex64"),
    "unknown band": (_cube, {**UTM, "bands": ["nirr"]}, r"no band 'nirr'[\s\S]*Did you mean 'nir'"),
    "fill that is text": (lambda: _cube(nodata="none"), UTM, r"Attribute nodata of band 'red' is 'none'"),
    "a path that is not there": (lambda: "absent.nc", {}, r"absent\.nc"),
    "remote": (
        lambda: "https://example.org/cube.zarr",
        {},
        r"is remote[\s\S]*ec\.cube_scenes\(xarray\.open_zarr",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case) -> None:
    make, options, words = BAD[case]
    with pytest.raises(ImageryError, match=words):
        ec.cube_scenes(make(), **options)


def _zarr(tmp_path, version: int = 2):
    folder = tmp_path / "cube.zarr"
    _cube().to_zarr(folder, zarr_format=version, consolidated=False)
    return folder


def test_a_codec_that_unpickles_is_never_run(tmp_path) -> None:
    folder = _zarr(tmp_path)
    file = folder / "red" / ".zarray"
    metadata = json.loads(file.read_text())
    metadata["filters"] = [{"id": "pickle"}]
    file.write_text(json.dumps(metadata))
    with pytest.raises(
        ImageryError, match=r"'red/\.zarray' of cube 'cube\.zarr' uses a codec[\s\S]*1 \(pickle\)"
    ):
        ec.cube_scenes(folder, **UTM)


def test_codecs_within_shards_are_looked_at_too(tmp_path) -> None:
    folder = _zarr(tmp_path, 3)
    file = folder / "red" / "zarr.json"
    metadata = json.loads(file.read_text())
    inner = [*metadata["codecs"], {"name": "numcodecs.pickle"}]
    shards = {"chunk_shape": [1, 60, 80], "codecs": inner, "index_codecs": [{"name": "bytes"}]}
    metadata["codecs"] = [{"name": "sharding_indexed", "configuration": shards}]
    file.write_text(json.dumps(metadata))
    with pytest.raises(ImageryError, match=r"uses a codec[\s\S]*1 \(pickle\)"):
        ec.cube_scenes(folder, **UTM)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [3, 60, 10**9]}, r"has the shape \[3, 60, 1000000000\][\s\S]*at most 2,097,152"),
        ({"shape": 7}, r"has the shape 7"),
        ({"chunks": [1, "60", 80]}, r"in chunks of \[1, '60', 80\][\s\S]*whole numbers"),
        ({"chunks": [0, 60, 80]}, r"in chunks of \[0, 60, 80\]"),
        ({"chunks": [3, 2**20, 2**20]}, r"in chunks of[\s\S]*at most 512 MiB"),
        ({"shape": [3, 2**20, 2**20], "chunks": [3, 2**20, 2**20]}, r"in chunks of[\s\S]*at most 512 MiB"),
    ],
)
def test_metadata_that_claims_any_size(tmp_path, change, words) -> None:
    folder = _zarr(tmp_path)
    file = folder / "red" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ImageryError, match=words):
        ec.cube_scenes(folder, **UTM)


def test_folders_that_are_no_cube_or_lead_elsewhere(tmp_path) -> None:
    with pytest.raises(ImageryError, match=r"is no Zarr cube[\s\S]*zarr\.json"):
        ec.cube_scenes(tmp_path)
    folder = _zarr(tmp_path)
    (folder / "red" / "0.0.0").unlink()
    (folder / "red" / "0.0.0").symlink_to("/etc/passwd")
    with pytest.raises(ImageryError, match=r"link to another place[\s\S]*0\.0\.0"):
        ec.cube_scenes(folder, **UTM)
    (folder / "red" / "0.0.0").unlink()
    (folder / "red" / ".zarray").write_text("{")
    with pytest.raises(ImageryError, match=r"is not JSON"):
        ec.cube_scenes(folder, **UTM)


def test_a_damaged_chunk_names_the_cube_and_the_day(tmp_path) -> None:
    folder = _zarr(tmp_path)
    file = folder / "red" / "0.0.0"
    file.write_bytes(file.read_bytes()[:40])
    scenes = ec.cube_scenes(folder, bands="red", **UTM)
    with pytest.raises(ImageryError, match=r"Cube 'cube\.zarr 2018-07-01' cannot be read at rows"):
        scenes.tiles[1].raster.open().read([0], (0, 10), (0, 10))


def test_netcdf_of_other_kinds_and_drawing_on_other_files(tmp_path) -> None:
    h5py = pytest.importorskip("h5py")
    old = tmp_path / "old.nc"
    old.write_bytes(b"CDF\x01" + bytes(60))
    with pytest.raises(ImageryError, match=r"no NetCDF 4 file[\s\S]*nccopy -k nc4"):
        ec.cube_scenes(old)
    named = tmp_path / "cube.hdf"
    named.write_bytes(b"")
    with pytest.raises(ImageryError, match=r"not of an accepted kind[\s\S]*\.nc"):
        ec.cube_scenes(named)
    cut = tmp_path / "cut.nc"
    cut.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    with pytest.raises(ImageryError, match=r"damaged"):
        ec.cube_scenes(cut)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4800))
    outside = tmp_path / "outside.nc"
    with h5py.File(outside, "w") as made:
        made.create_dataset("red", shape=(60, 80), dtype="u1", external=[(str(secret), 0, 4800)])
        made["link"] = h5py.ExternalLink("other.nc", "/x")
    with pytest.raises(
        ImageryError, match=r"draws on other files[\s\S]*2 \(/link, /red\)|2 \(//link, /red\)"
    ):
        ec.cube_scenes(outside)


def test_groups_that_hold_themselves_end(tmp_path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "loop.nc"
    with h5py.File(path, "w") as made:
        made.create_group("a")["b"] = made["/"]
    with pytest.raises(ImageryError):
        ec.cube_scenes(path)
