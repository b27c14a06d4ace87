# ruff: noqa: E501 - a case is a line
"""TESSERA tiles become GeoTIFF that chips are cut from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import eocausal as ec
from eocausal.errors import ImageryError
from tests.scenes import NORTH, WEST, read_all, units_on, write_scene

NAME = "grid_34.05_1.75"


def tile(folder: Path, *, height=150, width=140, bands=6, per_band=False) -> tuple[np.ndarray, np.ndarray]:
    """Write a tile without one pixel on land and one with a scale; return what was stored."""
    rng = np.random.default_rng(4)
    stored = rng.integers(-127, 128, (height, width, bands)).astype("int8")
    scales = rng.uniform(0.01, 0.1, (height, width, bands) if per_band else (height, width)).astype("f4")
    stored[20, 30] = 0
    scales[21, 31] = np.nan
    np.save(folder / f"{NAME}.npy", stored)
    np.save(folder / f"{NAME}_scales.npy", scales)
    write_scene(folder / f"{NAME}.tiff", np.ones((1, height, width), "uint8"), pixel=10.0)
    return stored, scales


def convert(folder: Path, **options) -> Path:
    given = {"landmask": folder / f"{NAME}.tiff", "out": folder / "tessera_2017.tif", **options}
    return ec.tessera_to_geotiff(folder / f"{NAME}.npy", **given)


@pytest.mark.parametrize("per_band", [False, True])
def test_numbers_times_scales_stand_at_their_place(tmp_path, per_band):
    stored, scales = tile(tmp_path, per_band=per_band)
    with rasterio.open(convert(tmp_path)) as written:
        found = written.read()
        assert written.crs.to_epsg() == 32636
        assert written.transform == Affine(10, 0, WEST, 0, -10, NORTH)
        assert written.descriptions == tuple(f"tessera_00{band}" for band in range(6))
        assert np.isnan(written.nodata)
        assert written.dtypes[0] == "float32"
    wanted = stored.astype("f4") * (scales if per_band else scales[..., None])
    wanted[[20, 21], [30, 31]] = np.nan
    np.testing.assert_array_equal(found, np.moveaxis(wanted, 2, 0))


def test_chips_of_the_file_are_the_tile_around_each_unit(tmp_path):
    stored, scales = tile(tmp_path)
    units = units_on([(100, 60), (21, 31)], pixel=10.0)
    chips = ec.chips(units, convert(tmp_path), size_m=40, date="2017-12-31")
    batch = read_all(chips)
    window = stored[98:102, 58:62].astype("f4") * scales[98:102, 58:62, None]
    np.testing.assert_array_equal(batch.pixels["40m"][0, 0], np.moveaxis(window, 2, 0))
    assert batch.status["40m"].tolist() == ["ok", "partial"]
    assert batch.valid_fraction["40m"][1] == 14 / 16
    found = ec.embed(chips, encoder="pixel_mean", device="cpu", progress=False)
    np.testing.assert_allclose(found.values[0], window.reshape(-1, 6).mean(axis=0), rtol=1e-6)


def test_the_same_tile_gives_the_same_bytes_and_scales_may_lie_elsewhere(tmp_path):
    tile(tmp_path)
    first = convert(tmp_path).read_bytes()
    (tmp_path / f"{NAME}_scales.npy").rename(tmp_path / "s.npy")
    assert convert(tmp_path, scales=tmp_path / "s.npy").read_bytes() == first


def _save(name: str, array: np.ndarray):
    return lambda folder: np.save(folder / name, array)


def _cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def _objects(folder: Path) -> None:
    np.save(folder / f"{NAME}.npy", np.array([{}], dtype=object), allow_pickle=True)


BAD = {
    "not int8": (_save(f"{NAME}.npy", np.zeros((150, 140, 6))), {}, r"holds float64 of shape[\s\S]*int8 of shape"),
    "two axes": (_save(f"{NAME}.npy", np.zeros((150, 140), "i1")), {}, r"int8 of shape \(150, 140\)"),
    "scales of another tile": (_save(f"{NAME}_scales.npy", np.zeros((150, 141), "f4")), {}, r"shape \(150, 141\), .* \(150, 140, 6\)"),
    "scales that are whole": (_save(f"{NAME}_scales.npy", np.ones((150, 140), "i4")), {}, "holds int32"),
    "cut": (_cut(f"{NAME}.npy"), {}, "damaged or not a .npy array"),
    "objects": (_objects, {}, "damaged or not a .npy array"),
    "no scales": (lambda folder: (folder / f"{NAME}_scales.npy").unlink(), {}, r"_scales\.npy' is not there"),
    "no landmask": (lambda folder: None, {"landmask": "grid.tiff"}, "is not there"),
    "landmask of another tile": (lambda folder: write_scene(folder / f"{NAME}.tiff", np.ones((1, 9, 9), "uint8")), {}, "has 9 x 9 pixels, .* 150 x 140"),
    "landmask that is text": (lambda folder: (folder / f"{NAME}.tiff").write_text("no"), {}, "cannot be opened"),
    "landmask of another kind": (lambda folder: (folder / "m.vrt").write_text("<VRTDataset/>"), {"landmask": "m.vrt"}, "is not a GeoTIFF"),
    "out of another kind": (lambda folder: None, {"out": "tessera.nc"}, r"not a GeoTIFF[\s\S]*tessera\.tif"),
    "out is the landmask": (lambda folder: None, {"out": f"{NAME}.tiff"}, "is one of the files read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_tiles_that_do_not_fit_are_refused_and_nothing_is_written(case, tmp_path):
    change, options, words = BAD[case]
    tile(tmp_path)
    change(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageryError, match=words):
        convert(tmp_path, **{name: tmp_path / value for name, value in options.items()})
    assert sorted(tmp_path.iterdir()) == before
