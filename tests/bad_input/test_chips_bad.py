# ruff: noqa: E501 - a case is a line
"""Rasters, windows and arrays that must be refused, and the words that help."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.zeros import constant
from tests.scenes import NORTH, WEST, numbered, units_lonlat, units_on, write_scene

VRT = (
    '<VRTDataset rasterXSize="80" rasterYSize="60"><SRS>EPSG:32636</SRS>'
    f"<GeoTransform>{WEST},30,0,{NORTH},0,-30</GeoTransform>"
    '<VRTRasterBand dataType="Byte" band="1"%s</VRTRasterBand></VRTDataset>'
)


def put(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def scene(folder: Path, name: str = "scene.tif", **options: object) -> Path:
    return write_scene(folder / name, numbered(), **options)


def vrt_of(source: str) -> str:
    return VRT % f'><SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename></SimpleSource>'


def classes(folder: Path) -> Path:
    file = write_scene(folder / "classes.tif", numbered(1).astype("uint8"), crs="EPSG:4326",
                       transform=Affine(3e-4, 0, 33.89, 0, -3e-4, 1.81))  # fmt: skip
    import rasterio

    with rasterio.open(file, "r+") as out:
        out.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    return file


class Opened:
    """As a dataset of rasterio, neither a path nor a list."""


# What makes the rasters, what else is said, and the words that the error must hold.
RASTERS: dict[str, tuple[Callable[[Path], object], dict[str, object], list[str]]] = {
    "not there": (lambda f: (scene(f), f / "scenes.tif")[1], {}, ["scenes.tif", "Did you mean", "scene.tif"]),
    "no match": (lambda f: str(f / "landsat_*.tif"), {}, ["No file matches", "landsat_*.tif"]),
    "no rasters at all": (lambda f: None, {}, ["from a NoneType", "a path, a pattern"]),
    "a mapping": (lambda f: {"june": scene(f)}, {}, ["from a dict", "a list of paths"]),
    "an open raster": (lambda f: Opened(), {}, ["from a Opened", "a list of paths"]),
    "a folder": (lambda f: f, {}, ["is a folder", "*.tif"]),
    "a name too long": (lambda f: f / ("x" * 300 + ".tif"), {}, ["No file can have this name", "255 characters"]),
    "an image as mask": (lambda f: (put(f, "scene.tif.msk", "P5"), scene(f))[1], {}, ["Beside raster 'scene.tif'", "'scene.tif.msk'", "not a TIFF"]),
    "vrt of a warp": (lambda f: put(f, "s.vrt", VRT % "><GDALWarpOptions/>"), {}, ["holds 'GDALWarpOptions'", "warping"]),
    "no rasters": (lambda f: [], {}, ["No rasters are given"]),
    "twice": (lambda f: [scene(f), f / "scene.tif"], {}, ["more than once", "scene.tif"]),
    "remote": (lambda f: "https://example.org/scene.tif", {}, ["remote", "remote=True"]),
    "in an archive": (lambda f: "/vsizip/a.zip/scene.tif", {}, ["inside an archive"]),
    "an array": (lambda f: [numbered()], {}, ["from a ndarray", "chips_from_arrays"]),
    "another format": (lambda f: put(f, "scene.nc", "CDF"), {}, ["'scene.nc'", "accepted endings: .tif", "gdal_translate"]),
    "zero bytes": (lambda f: put(f, "scene.tif", b""), {}, ["'scene.tif' is empty"]),
    "not a raster": (lambda f: put(f, "scene.tif", "hello, world"), {}, ["not what its name says", "hello, world", "GTiff only"]),
    "vrt named tif": (lambda f: put(f, "scene.tif", vrt_of("a.tif")), {}, ["not what its name says", "<VRTDataset", "GTiff only"]),
    "header only": (lambda f: put(f, "scene.tif", b"II*\x00\x08\x00\x00\x00"), {}, ["'scene.tif' cannot be opened"]),
    "vrt with raw band": (lambda f: put(f, "s.vrt", VRT % ' subClass="VRTRawRasterBand">'), {}, ["VRTRawRasterBand", "no raw bands"]),
    "vrt of a remote file": (lambda f: put(f, "s.vrt", vrt_of("/vsicurl/http://example.org/a.tif")), {}, ["draws on '/vsicurl", "local"]),
    "vrt of another file": (lambda f: put(f, "s.vrt", vrt_of("secret.txt")), {}, ["draws on 'secret.txt'", "local .tif"]),
    "vrt of a false tif": (lambda f: (put(f, "a.tif", vrt_of("b.tif")), put(f, "s.vrt", vrt_of("a.tif")))[1], {}, ["'a.tif' is not what its name says"]),
    "vrt of nothing": (lambda f: put(f, "s.vrt", vrt_of("gone.tif")), {}, ["not there", "gone.tif"]),
    "vrt that is not xml": (lambda f: put(f, "s.vrt", "<VRTDataset"), {}, ["'s.vrt' is not XML"]),
    "no georeference": (lambda f: scene(f, crs=None), {}, ["no georeference", "gdal_edit.py"]),
    "south-up in pixels": (lambda f: scene(f, transform=Affine(30, 0, WEST, 0, 30, NORTH - 1800)), {"size_px": 3}, ["south-up", "gdalwarp", "size_m="]),
    "bands differ": (lambda f: [scene(f), write_scene(f / "b.tif", numbered(3))], {}, ["'scene.tif' has 2", "'b.tif' has 3"]),
    "pixel sizes differ": (lambda f: [scene(f), scene(f, "b.tif", pixel=10.0)], {}, ["30 x 30", "10 x 10", "gdalwarp -tr 30 30"]),
    "all outside": (lambda f: scene(f, corner=(WEST, NORTH + 500_000)), {}, ["All 2 chips fall outside", "units 33.9", "rasters 33.9", "lon= and lat="]),
    "classes in degrees": (classes, {}, ["classes", "cannot be interpolated", "-r near"]),
    "no such band name": (lambda f: scene(f, descriptions=("red", "nir")), {"bands": ["rde"]}, ["no band 'rde'", "Did you mean 'red'"]),
    "no such band": (scene, {"bands": [0, 1]}, ["no band 0", "numbered 1 to 2"]),
    "band twice": (scene, {"bands": [1, 1]}, ["names a band twice"]),
    "no size": (scene, {"size_m": None}, ["exactly one of size_m= and size_px="]),
    "both sizes": (scene, {"size_px": 3}, ["exactly one of size_m= and size_px="]),
    "negative size": (scene, {"size_m": [-90]}, ["size_m=[-90] is not a size", "positive metres"]),
    "half a pixel": (scene, {"size_m": None, "size_px": 2.5}, ["size_px=2.5", "whole numbers"]),
    "text size": (scene, {"size_m": "960"}, ["size_m='960' is not a size"]),
    "size twice": (scene, {"size_m": [90, 90.0]}, ["names a size twice"]),
    "below a pixel": (scene, {"size_m": [300, 10]}, ["smaller than half a pixel", "30 m", "1 (10m)"]),
    "sizes alike": (scene, {"size_m": [90, 95]}, ["same number of pixels", "'90m': 3"]),
    "kilometres as metres": (scene, {"size_m": 960_000}, ["32,000 x 32,000 pixels", "GiB", "smaller size"]),
    "a date in words": (scene, {"date": "June 2007"}, ["date='June 2007' is not a date", "ISO 8601"]),
}  # fmt: skip


@pytest.mark.parametrize("name", RASTERS)
def test_rasters_are_refused_before_any_pixel_is_read(name, tmp_path):
    make, options, words = RASTERS[name]
    sizes = {} if options.get("size_px") == 3 and name != "both sizes" else {"size_m": 90}
    with pytest.raises(ImageryError, match=re.escape(words[0])) as caught:
        ec.chips(units_on([(30, 40), (10, 10)]), make(tmp_path), **{**sizes, **options})
    for word in words[1:]:
        assert word in str(caught.value)


def test_units_of_one_image_must_lie_together(tmp_path):
    units = units_on([(30, 40), (30, 44), (10, 10)], key=["a", "a", "b"])
    with pytest.raises(
        ImageryError, match=r"share a 'key' but lie up to 120 m apart.\n.*1 \(a\)\n.*1 m\n.*image_key="
    ):
        ec.chips(units, scene(tmp_path), size_m=90)


def test_units_in_another_reference_system_are_brought_to_the_raster(tmp_path):
    """Entry 25: the same places in the next zone, and in degrees, give the same pixels."""
    here = units_on([(30.5, 40.5), (10.5, 10.5)])
    east, north = pyproj.Transformer.from_crs(4326, 32635, always_xy=True).transform(
        here.longitude, here.latitude
    )
    table = pd.DataFrame({"id": here.ids, "x": east, "y": north})
    next_zone = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32635")
    degrees = units_lonlat(here.longitude.tolist(), here.latitude.tolist())
    # Pixels say 10000 band + 100 row + column.
    for units in (here, next_zone, degrees):
        (batch,) = ec.chips(units, scene(tmp_path), size_px=1).batches()
        np.testing.assert_array_equal(batch.pixels["1px"].ravel(), [13040, 23040, 11010, 21010])


def test_units_outside_and_at_the_edge_are_counted_by_arm(tmp_path):
    """Entries 31 and 32: nothing is dropped; the account says what became of each unit, and of each arm."""
    units = units_on([(30, 40), (30, 1000), (1000, 40), (0, 0)], treated=[1, 1, 0, 0])
    chips = ec.chips(units, scene(tmp_path), size_px=4)
    table = chips.account("treated")
    assert table["status"].tolist() == ["ok", "outside", "outside", "partial"]
    # Of the 4 x 4 window around the corner a quarter lies on the raster.
    assert table["valid_fraction"].tolist() == [1.0, 0.0, 0.0, 0.25]
    said = "\n".join(chips.report("treated").warnings)
    assert re.search(r"2 units \(1 treated, 1 control\).*no usable 4px chip", said)


def test_chips_without_a_valid_pixel_are_named(tmp_path):
    """Entries 43 and 44: NaN that no tag declares is not valid, and the account names the chips of nothing else."""
    pixels = numbered()
    pixels[:, 28:33, 38:43] = np.nan
    pixels[:, 8:13, 8:13] = 5
    units = units_on([(30.5, 40.5), (10.5, 10.5), (50.5, 60.5)])
    chips = ec.chips(units, write_scene(tmp_path / "scene.tif", pixels), size_px=5)
    table = chips.table()
    assert table.loc[table["status"] == "nodata", "id"].tolist() == ["u0"]
    (batch,) = chips.batches()
    assert constant(batch.pixels["5px"]).tolist() == [False, True, False]


def test_units_need_coordinates(tmp_path):
    units = ec.read_units(pd.DataFrame({"id": [1], "key": [1]}), id="id", image_key="key")
    with pytest.raises(ImageryError, match=r"no coordinates.*\n.*lon="):
        ec.chips(units, scene(tmp_path), size_m=90)


def test_utm_is_refused_at_the_pole(tmp_path):
    world = write_scene(tmp_path / "w.tif", np.ones((1, 180, 360), dtype="uint8"), crs="EPSG:4326",
                        transform=Affine(1, 0, -180, 0, -1, 90))  # fmt: skip
    with pytest.raises(ImageryError, match=r"UTM is not defined(.|\n)*1 \(88 N\)(.|\n)*gdalwarp"):
        ec.chips(units_lonlat([10, 10], [88, 0]), world, size_m=500_000)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_raises_while_reading_and_is_named(tmp_path, share):
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (1, 400, 400)).astype("uint8")
    file = write_scene(
        tmp_path / "scene.tif", noise, compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    whole = file.read_bytes()
    chips = ec.chips(units_on([(30, 40), (390, 390)]), file, size_px=9)
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        ImageryError, match=r"'scene.tif' (cannot be read at rows .* damaged|cannot be opened)"
    ):
        list(chips.batches())


ASKED: dict[str, tuple[Callable[[ec.Chips], object], str]] = {
    "unknown key": (
        lambda chips: chips.batches(keys=["u9"]),
        r"no chips with these keys.\n.*1 \(u9\)\n.*'u0'",
    ),
    "key of another type": (lambda chips: chips.thumbnails([1]), r"no chips with these keys.\n.*\(1\)"),
    "no keys": (lambda chips: chips.thumbnails([]), r"No keys are asked for"),
    "unknown block": (
        lambda chips: chips.thumbnails(["u0"], block="91m"),
        r"block='91m' is not known.\n.*'90m'",
    ),
    "two bands": (lambda chips: chips.thumbnails(["u0"], bands=[1, 2]), r"bands=\[1, 2\] are 2 bands"),
    "no batch": (lambda chips: chips.batches(size=0), r"size=0 is not a number of chips"),
}


@pytest.mark.parametrize("name", ASKED)
def test_questions_without_an_answer(name, tmp_path):
    ask, words = ASKED[name]
    with pytest.raises(ImageryError, match=words):
        ask(ec.chips(units_on([(30, 40), (10, 10)]), scene(tmp_path), size_m=90))


PIXELS = np.zeros((3, 4, 4, 2), dtype="uint8")


def npz(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "chips.npz", **arrays)
    return folder / "chips.npz"


def lying_npz(folder: Path) -> Path:
    """Write an archive whose array claims 80 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(folder / "chips.npz", "w") as archive:
        archive.writestr("chips.npy", header.getvalue())
    return folder / "chips.npz"


ARRAYS: dict[str, tuple[Callable[[Path], object], dict[str, object], list[str]]] = {
    "three axes": (lambda f: PIXELS[..., 0], {}, ["shape (3, 4, 4)", "four axes", "np.newaxis"]),
    "text pixels": (lambda f: PIXELS.astype(str), {}, ["real numbers"]),
    "order unclear": (lambda f: np.zeros((3, 4, 4, 4)), {}, ["cannot be told from shape (3, 4, 4, 4)", 'axes="nhwc"']),
    "unknown order": (lambda f: PIXELS, {"axes": "hwcn"}, ["axes='hwcn' is not known", "nhwc, nbhw"]),
    "no keys": (lambda f: PIXELS, {"keys": None}, ["3 chips and no keys", "keys="]),
    "keys by name": (lambda f: PIXELS, {"keys": "cell"}, ["not in an .npz file"]),
    "too few keys": (lambda f: PIXELS, {"keys": [1, 2]}, ["3 chips, but keys have shape (2,)"]),
    "repeated keys": (lambda f: PIXELS, {"keys": [1, 2, 2]}, ["more than once", "1 (2)", "one chip per image key"]),
    "text keys": (lambda f: PIXELS, {"keys": ["1", "2", "3"]}, ["'cell' is whole numbers (1)", "text ('1')", "astype(np.int64)"]),
    "float keys": (lambda f: PIXELS, {"keys": [1.0, 2.0, 3.0]}, ["'cell' is whole numbers", "float64", "astype(np.int64)"]),
    "no match": (lambda f: PIXELS, {"keys": [7, 8, 9]}, ["No chip has a key of the units", "units have 1, 2", "chips have 7, 8, 9"]),
    "band names": (lambda f: PIXELS, {"bands": ["red"]}, ["bands=['red']", "2 bands"]),
    "keys that are missing": (lambda f: PIXELS, {"keys": [1, None, 3]}, ["keys holds", "NoneType", "all numbers or all text"]),
    "nodata as text": (lambda f: PIXELS, {"nodata": "0"}, ["nodata='0' is not a number"]),
    "a name too long": (lambda f: f / ("x" * 300 + ".npz"), {}, ["No file can have this name", "255 characters"]),
    "size": (lambda f: PIXELS, {"size_m": -1}, ["size_m=-1 is not a size"]),
    "date": (lambda f: PIXELS, {"date": "2007"}, ["date='2007' is not a date"]),
    "not there": (lambda f: f / "chips.npz", {}, ["chips.npz' is not there"]),
    "not npz": (lambda f: put(f, "chips.h5", "x"), {}, ["'chips.h5' is not an .npz file", "savez_compressed"]),
    "damaged": (lambda f: put(f, "chips.npz", "PK no"), {}, ["damaged or not an .npz"]),
    "objects": (lambda f: npz(f, chips=PIXELS, cell=np.array([1, "a", None], dtype=object)), {}, ["Python objects", "run code"]),
    "claims too much": (lying_npz, {}, ["'chips.npy'", "not as large as its shape (10000000000000,)"]),
    "no such key array": (lambda f: npz(f, chips=PIXELS, cells=[1, 2, 3]), {"keys": "cell"}, ["no array 'cell'", "Did you mean 'cells'"]),
    "several arrays": (lambda f: npz(f, a=PIXELS, b=PIXELS, cell=[1, 2, 3]), {"keys": "cell"}, ["2 arrays that could be the chips", "2 (a, b)", 'np.load('] ),
}  # fmt: skip


@pytest.mark.parametrize("units", [pd.DataFrame({"id": [1]}), "units.csv", None])
def test_units_that_were_not_read_are_refused(units):
    with pytest.raises(ImageryError, match=r"units is a (DataFrame|str|NoneType)(.|\n)*ec.read_units"):
        ec.chips_from_arrays(units, PIXELS)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_refused(name, tmp_path):
    make, options, words = ARRAYS[name]
    units = ec.read_units(pd.DataFrame({"id": [5, 6], "cell": [1, 2]}), id="id", image_key="cell")
    with pytest.raises(ImageryError, match=re.escape(words[0])) as caught:
        ec.chips_from_arrays(units, make(tmp_path), **{"keys": [1, 2, 3], **options})
    for word in words[1:]:
        assert word in str(caught.value)
