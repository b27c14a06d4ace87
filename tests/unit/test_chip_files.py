"""Chips go out as files and come back as they were: pixels, masks, places, reference systems."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio

import eocausal as ec
from eocausal.imagery.chip_files import chips_from_files
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

POINTS = [(10.0, 10.0), (40.3, 30.0), (2.0, 2.0), (30.5, 60.2), (55.0, 5.0)]


@pytest.fixture
def cut(tmp_path):
    pixels = numbered()
    pixels[:, 28:33, 58:61] = -1
    scene = write_scene(tmp_path / "scene.tif", pixels, descriptions=("red", "nir"), nodata=-1)
    table = units_on(POINTS).frame.assign(id=["a/b", "..", "ü x", "100%", "u_4"])
    units = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636")
    return ec.chips(units, scene, size_m=[120, 300], date="2007-06-30")


@pytest.mark.parametrize("format", ["geotiff", "cog"])
def test_chips_come_back_as_they_went_out(cut, tmp_path, format):
    folder = cut.export(tmp_path / "out", format=format)
    back = chips_from_files(cut.units, folder, date="2007-06-30")
    one, two = read_all(back), read_all(cut)
    assert set(two.status["300m"]) == {"ok", "partial"}
    assert (back.blocks, back.bands, back.keys.tolist()) == (cut.blocks, cut.bands, cut.keys.tolist())
    for block in cut.blocks:
        assert one.pixels[block].dtype == np.float32
        assert one.pixels[block].tobytes() == two.pixels[block].tobytes()
        assert one.mask[block].tobytes() == two.mask[block].tobytes()
        assert one.status[block].tolist() == two.status[block].tolist()
        assert one.valid_fraction[block].tolist() == two.valid_fraction[block].tolist()
        here, there = back.source.corners(block), cut.source.corners(block)
        for name in there:
            assert np.array_equal(here[name], there[name]), name
    pd.testing.assert_frame_equal(back.table(), cut.table())
    assert repr(back) == "Chips(5 keys, 120m 300m, 2 bands, 10 files)"

    again = back.export(tmp_path / "again", format=format)
    for file in sorted(folder.rglob("*.tif")):
        with rasterio.open(file) as before, rasterio.open(again / file.relative_to(folder)) as after:
            assert (before.crs, before.transform) == (after.crs, after.transform)
            assert np.array_equal(before.read(), after.read(), equal_nan=True)


@pytest.mark.parametrize(("side", "overviews"), [(40, []), (600, [2, 4])])
def test_cog_files_are_cloud_optimised(tmp_path, side, overviews):
    pixels = np.random.default_rng(0).random((4, 620, 620)).astype("float32")
    pixels[:, 300, 300:] = -1
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=-1)
    cut = ec.chips(units_on([(310.0, 310.0)]), scene, size_px=side)
    file = cut.export(tmp_path / "out", format="cog") / f"{side}px" / "u0.tif"
    with rasterio.open(file) as made:
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert made.profile["tiled"]
        assert made.block_shapes == [(256, 256)] * 4
        assert made.overviews(1) == overviews
        assert np.array_equal(made.read(), read_all(cut).pixels[f"{side}px"][0, 0], equal_nan=True)
        assert np.isnan(made.nodata)
        assert made.transform.c == WEST + 30 * (310 - side / 2)
        assert made.transform.f == NORTH - 30 * (310 - side / 2)
        if overviews:
            half = made.read(1, out_shape=(side // 2, side // 2))
            whole = made.read(1).reshape(side // 2, 2, side // 2, 2)
            # the mean of the valid pixels under each
            assert np.allclose(half, np.nanmean(whole, axis=(1, 3)), atol=1e-6)


def write_flat(folder, names, *, pixels=None, west=WEST, **options):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        image = np.full((2, 6, 6), number + 1, dtype="uint8") if pixels is None else pixels
        write_scene(folder / name, image, corner=(west, NORTH), **options)
    return folder


def plain_units(keys, **columns):
    table = pd.DataFrame({"id": np.arange(len(keys)), "key": keys, **columns})
    return ec.read_units(table, id="id", image_key="key")


def test_names_are_read_as_they_are_said_to_be(tmp_path):
    folder = write_flat(tmp_path / "flat", ["chip_7.tif", "chip_12.tif", "chip_99.tif", "other.tif"])
    chips = chips_from_files(plain_units([12, 7, 12, 5]), folder, name="chip_{key}.tif")
    assert chips.keys.tolist() == [12, 7, 5]
    batch = read_all(chips)
    assert batch.pixels["6px"][:2, 0, 0, 0, 0].tolist() == [2.0, 1.0]
    assert batch.status["6px"].tolist() == ["ok", "ok", "missing"]
    assert np.isnan(batch.pixels["6px"][2]).all()
    assert repr(chips) == "Chips(3 keys, 6px, 2 bands, 2 files, 1 more without a unit)"
    assert chips_from_files(plain_units([7]), folder, name="chip_{key}.tif", size_m=180).blocks == ("180m",)
    assert chips.account()["scenes"].tolist() == ["chip_12.tif", "chip_7.tif", ""]


def test_a_key_may_have_one_size_and_not_the_other(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_flat(folder / "1920m", ["1.tif", "2.tif"])
    write_flat(folder / "960m", ["2.tif"], pixels=np.full((2, 3, 3), 9, dtype="uint8"))
    chips = chips_from_files(plain_units([1, 2]), folder)
    assert chips.blocks == ("960m", "1920m")
    batch = read_all(chips)
    assert batch.status["960m"].tolist() == ["missing", "ok"]
    assert batch.status["1920m"].tolist() == ["ok", "ok"]
    assert batch.pixels["960m"].shape == (2, 1, 2, 3, 3)
    assert chips.table()["crs"].tolist() == ["EPSG:32636"] * 4


def test_what_a_file_says_is_not_valid_is_not(tmp_path):
    image = np.arange(72, dtype="uint8").reshape(2, 6, 6)
    folder = write_flat(tmp_path / "nodata", ["1.tif"], pixels=image, nodata=7)
    batch = read_all(chips_from_files(plain_units([1]), folder))
    assert np.argwhere(~batch.mask["6px"][0, 0]).tolist() == [[1, 1]]
    assert np.isnan(batch.pixels["6px"][0, 0, :, 1, 1]).all()
    masked = write_flat(tmp_path / "masked", ["1.tif"], pixels=image, mask=np.eye(6, dtype=bool))
    batch = read_all(chips_from_files(plain_units([1]), masked, bands=[2]))
    assert np.array_equal(batch.mask["6px"][0, 0], np.eye(6, dtype=bool))
    assert batch.pixels["6px"][0, 0, 0, 2, 2] == 36 + 14


def test_alpha_is_validity_and_no_band(tmp_path):
    image = np.full((4, 6, 6), 50, dtype="uint8")
    image[3] = 255
    image[3, :, :2] = 0
    folder = write_flat(tmp_path / "rgba", ["1.tif"], pixels=image, photometric="RGB", alpha="yes")
    chips = chips_from_files(plain_units([1]), folder)
    assert chips.bands == ("band1", "band2", "band3")
    assert read_all(chips).mask["6px"][0, 0].sum(axis=0).tolist() == [0, 0, 6, 6, 6, 6]


def test_files_without_a_place_are_chips_without_a_place(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    shape = {"width": 3, "height": 3, "count": 1, "dtype": "uint8"}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(folder / "u0.tif", "w", driver="GTiff", **shape) as out,
    ):
        out.write(np.full((1, 3, 3), 4, dtype="uint8"))
    chips = chips_from_files(units_on([(3.0, 3.0), (9.0, 3.0)]), folder)
    assert read_all(chips).pixels["3px"][0].max() == 4
    assert "crs" not in chips.table()
    with pytest.raises(ec.errors.ImageryError, match="do not say where they are"):
        chips.export(tmp_path / "out")


def test_pixels_are_typed_and_converted_as_those_cut_from_scenes(tmp_path):
    image = np.full((2, 6, 6), 2000, dtype="uint16")
    folder = write_flat(tmp_path / "typed", ["1.tif"], pixels=image)
    said = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=False)
    chips = chips_from_files(plain_units([1]), folder, pixel_unit=said)
    assert read_all(chips).pixels["6px"][0, 0, 0, 0, 0] == pytest.approx(0.1)
    assert chips.recipe()["radiometry"]["unit"] == "s2_l2a_dn"


def test_the_recipe_follows_the_content_of_the_files(tmp_path):
    folder = write_flat(tmp_path / "flat", ["1.tif", "2.tif"])
    before = chips_from_files(plain_units([1, 2]), folder).recipe()
    assert before == chips_from_files(plain_units([1, 2]), folder).recipe()
    write_flat(folder, ["1.tif"], pixels=np.full((2, 6, 6), 5, dtype="uint8"))
    assert before != chips_from_files(plain_units([1, 2]), folder).recipe()


def test_files_are_stored_and_more_of_them_appended(tmp_path):
    pytest.importorskip("zarr")
    folder = write_flat(tmp_path / "flat", ["1.tif", "2.tif"])
    chips_from_files(plain_units([1, 2]), folder).write(tmp_path / "store", progress=False)
    write_scene(folder / "3.tif", np.full((2, 6, 6), 3, dtype="uint8"), corner=(WEST, NORTH))
    more = chips_from_files(plain_units([3, 2, 1]), folder)
    more.write(tmp_path / "store", append=True, progress=False)
    opened = ec.open_chips(tmp_path / "store", more.units)
    assert read_all(opened).pixels["6px"].tobytes() == read_all(more).pixels["6px"].tobytes()
    assert read_all(opened).pixels["6px"][:, 0, 0, 0, 0].tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("format", ["geotiff", "cog"])
def test_sequences_come_back_with_their_frames(tmp_path, format):
    for day in ("20050601", "20060601"):
        write_scene(tmp_path / f"scene_{day}.tif", numbered() + int(day) % 7, descriptions=("red", "nir"))
    scenes = ec.scenes(str(tmp_path / "scene_*.tif"), pattern="scene_{date:%Y%m%d}.tif")
    for frames in (["2005", "2006"], ["2005"]):
        cut = ec.chips(units_on(POINTS), scenes, size_m=300, frames=ec.Frames(frames))
        back = chips_from_files(cut.units, cut.export(tmp_path / f"out{len(frames)}", format=format))
        assert (back.frames, back.bands) == (tuple(frames), ("red", "nir"))
        one, two = read_all(back), read_all(cut)
        assert one.pixels["300m"].tobytes() == two.pixels["300m"].tobytes()
        assert one.mask["300m"].tobytes() == two.mask["300m"].tobytes()
    with rasterio.open(tmp_path / "out2" / "300m" / "u0.tif") as file:
        assert file.descriptions == ("red 2005", "nir 2005", "red 2006", "nir 2006")


def test_several_frames_of_a_file_come_back_as_frames(tmp_path):
    image = np.arange(4 * 9, dtype="float32").reshape(4, 3, 3)
    image[3, 0, 0] = np.nan
    folder = tmp_path / "frames"
    folder.mkdir()
    with rasterio.open(
        folder / "1.tif", "w", driver="GTiff", width=3, height=3, count=4, dtype="float32",
        crs="EPSG:32636", transform=rasterio.transform.from_origin(WEST, NORTH, 30, 30),
    ) as out:  # fmt: skip
        out.write(image)
        out.descriptions = ("red 2005", "nir 2005", "red 2006", "nir 2006")
        out.update_tags(frames='["2005", "2006"]')
    chips = chips_from_files(plain_units([1]), folder, bands=["nir"])
    batch = read_all(chips)
    assert (chips.bands, chips.frames) == (("nir",), ("2005", "2006"))
    assert batch.pixels["3px"].shape == (1, 2, 1, 3, 3)
    assert batch.pixels["3px"][0, 0, 0].tolist() == image[1].tolist()
    # what is not valid in one frame is valid in the other
    assert batch.mask["3px"][0, :, 0, 0].tolist() == [True, False]
