"""A store gives back the chips it was written from, to the byte, and nothing that is not whole."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.warp import transform

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import _zarr_layout
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

pytest.importorskip("zarr")

POINTS = [(10.0, 10.0), (40.3, 30.0), (2.0, 2.0), (70.0, 200.0), (30.5, 60.2), (55.0, 5.0), (20.0, 70.0)]


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """Chips of two sizes in ranges of two keys: whole ones, partial ones, and one outside."""
    monkeypatch.setattr(_zarr_layout, "MOST_CHIPS_PER_SHARD", 2)
    scene = write_scene(tmp_path / "scene.tif", numbered(), descriptions=("red", "nir"))
    return ec.chips(units_on(POINTS), scene, size_m=[300, 120], date="2007-06-30", pixel_unit="dn")


def assert_same(one, two):
    assert one.keys.tolist() == two.keys.tolist()
    assert list(one.pixels) == list(two.pixels)
    for block in one.pixels:
        assert one.pixels[block].dtype == two.pixels[block].dtype == np.float32
        assert one.pixels[block].tobytes() == two.pixels[block].tobytes()
        assert one.mask[block].tobytes() == two.mask[block].tobytes()
        assert one.status[block].tolist() == two.status[block].tolist()
        assert one.valid_fraction[block].tolist() == two.valid_fraction[block].tolist()


def test_what_is_read_back_is_what_was_written(cut, tmp_path):
    read = read_all(cut)
    assert set(read.status["300m"]) == {"ok", "partial", "outside"}
    assert np.isnan(read.pixels["300m"]).any()
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), cut.units)
    assert_same(read_all(opened), read)
    backwards = cut.keys[::-2]
    assert_same(read_all(opened, keys=backwards), read_all(cut, keys=backwards))
    assert (opened.blocks, opened.bands, opened.date) == (cut.blocks, ("red", "nir"), "2007-06-30")
    assert opened.pixel_unit == "dn"
    assert opened.recipe() == cut.recipe()
    pd.testing.assert_frame_equal(opened.table(), cut.table())
    assert np.array_equal(opened.thumbnails(["u0", "u1"]), cut.thumbnails(["u0", "u1"]))


def test_features_from_the_store_are_those_of_the_chips(cut, tmp_path):
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), cut.units)
    settings = {"encoder": ec.RandomFeatures(8, patch_px=(3,)), "device": "cpu", "progress": False}
    assert ec.embed(opened, **settings).fingerprint == ec.embed(cut, **settings).fingerprint


def test_converted_pixels_are_stored_once_converted_and_their_origin_is_known(tmp_path):
    scene = write_scene(tmp_path / "s2.tif", numbered(1).astype("uint16") // 4)
    said = ec.Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=False)
    cut = ec.chips(units_on(POINTS[:3]), scene, size_m=120, pixel_unit=said)
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), cut.units)
    assert_same(read_all(opened), read_all(cut))
    assert (opened.pixel_unit, opened.radiometry) == ("reflectance", said)
    pd.testing.assert_frame_equal(opened.account(), cut.account())
    assert set(opened.account()["scenes"]) == {"s2.tif"}
    assert set(opened.account()["offset_added"]) == {-1000.0}


def test_whole_numbers_as_keys_and_pixels_without_place(tmp_path):
    table = pd.DataFrame({"household": [1, 2, 3, 4], "village": [30, 10, 30, 20]})
    units = ec.read_units(table, id="household", image_key="village")
    pictures = np.arange(2 * 8 * 8 * 3, dtype="uint16").reshape(2, 8, 8, 3)
    cut = ec.chips_from_arrays(units, pictures, keys=[10, 30], nodata=7)
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), units)
    assert opened.keys.tolist() == [30, 10, 20]
    assert_same(read_all(opened), read_all(cut))
    assert read_all(opened).status["8px"].tolist() == ["ok", "partial", "missing"]
    more = ec.read_units(pd.DataFrame({"village": [10, 99]}), id="village", image_key="village")
    batch = read_all(ec.open_chips(tmp_path / "store", more))
    assert batch.status["8px"].tolist() == ["partial", "missing"]
    assert np.isnan(batch.pixels["8px"][1]).all()
    assert batch.pixels["8px"][0].tobytes() == read_all(cut, keys=[10]).pixels["8px"][0].tobytes()


def test_the_layout_can_be_read_by_other_programs(cut, tmp_path):
    import zarr

    folder = cut.write(tmp_path / "store", progress=False)
    root = zarr.open_group(folder, mode="r")
    pixels = root["120m/pixels"]
    assert (pixels.shape, pixels.dtype, pixels.shards[0]) == ((7, 1, 2, 4, 4), np.float32, 2)
    assert pixels.metadata.dimension_names == ("chip", "date", "band", "y", "x")
    assert root["300m/status"].attrs["flag_meanings"].split()[0] == "ok"
    keys = root.attrs["keys"]
    assert sorted(keys) == sorted(cut.keys.tolist())
    row = keys.index("u0")
    # 4 pixels around (10, 10): from row and column 8 on, so 240 m from the scene's corner.
    assert (root["120m/west"][row], root["120m/north"][row]) == (WEST + 240, NORTH - 240)
    assert pixels[row, 0, 0, 0, 0] == 10_000 + 808
    codecs = json.loads((folder / "120m/pixels/zarr.json").read_text())["codecs"][0]["configuration"]
    assert "crc32c" in [codec["name"] for codec in codecs["codecs"]]


def test_writing_again_changes_nothing_and_other_chips_are_refused(cut, tmp_path):
    folder = cut.write(tmp_path / "store", progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("c/**/*") if path.is_file()}
    cut.write(folder, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    other = ec.chips(cut.units, tmp_path / "scene.tif", size_m=[300, 150], date="2007-06-30")
    with pytest.raises(ImageryError, match=r"holds other chips[\s\S]*chips\.sizes\.120m: 120\.0 -> absent"):
        other.write(folder, progress=False)


def test_every_flipped_byte_is_found_and_mended(cut, tmp_path):
    whole = cut.write(tmp_path / "store", progress=False)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    sizes = np.array([(whole / name).stat().st_size for name in files])
    rng = np.random.default_rng(0)
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    for _ in range(30):
        place = int(rng.integers(sizes.sum()))
        index = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        file = folder / files[index]
        content = bytearray(file.read_bytes())
        content[place - int(sizes[:index].sum())] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        with pytest.raises(ImageryError, match=r"chips\.write\('"):
            ec.open_chips(folder, cut.units)
        if files[index].name != "manifest.json" or rng.random() < 0.5:
            cut.write(folder, progress=False)
        else:
            file.write_bytes((whole / files[index]).read_bytes())
        assert file.read_bytes() == (whole / files[index]).read_bytes()
    assert_same(read_all(ec.open_chips(folder, cut.units)), read_all(cut))


def test_a_flipped_bit_in_the_manifest_is_mended_by_writing_again(cut, tmp_path):
    folder = cut.write(tmp_path / "store", progress=False)
    whole = (folder / "manifest.json").read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        broken = bytearray(whole)
        broken[place] ^= 4
        (folder / "manifest.json").write_bytes(broken)
        with pytest.raises(ImageryError, match=r"manifest\.json is damaged[\s\S]*chips\.write"):
            ec.open_chips(folder, cut.units)
        cut.write(folder, progress=False)
        assert (folder / "manifest.json").read_bytes() == whole


def test_checksums_guard_chips_even_when_damage_comes_after_opening(cut, tmp_path):
    folder = cut.write(tmp_path / "store", progress=False)
    opened = ec.open_chips(folder, cut.units)
    shard = folder / "300m/pixels/c/1/0/0/0/0"
    whole = shard.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.choice(len(whole), 30, replace=False):
        broken = bytearray(whole)
        broken[int(place)] ^= 1
        shard.write_bytes(broken)
        with pytest.raises(ImageryError, match="Range 1 of the store"):
            read_all(opened)
    shard.unlink()
    with pytest.raises(ImageryError, match=r"Range 1 of the store .* 300m/pixels/c/1/0/0/0/0 is gone"):
        read_all(opened)
    shard.write_bytes(whole)
    assert_same(read_all(opened), read_all(cut))


def test_geotiff_files_lie_where_the_scene_has_their_pixels(cut, tmp_path):
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), cut.units)
    for chips, name in ((cut, "direct"), (opened, "stored")):
        folder = chips.export(tmp_path / name)
        assert sorted(path.name for path in (folder / "300m").iterdir()) == [f"u{i}.tif" for i in range(7)]
        with (
            rasterio.open(folder / "120m" / "u1.tif") as file,
            rasterio.open(tmp_path / "scene.tif") as scene,
        ):
            assert file.crs == scene.crs
            assert file.descriptions == ("red", "nir")
            assert file.tags()["id"] == "u1"
            window = scene.window(*file.bounds)
            assert np.array_equal(file.read(), scene.read(window=window))
            assert np.isnan(file.nodata)
    with rasterio.open(tmp_path / "direct/300m/u2.tif") as file:
        assert np.isnan(file.read(1)[:3]).all()
        assert (file.bounds.left, file.bounds.top) == (WEST - 90, NORTH + 90)


def test_chips_that_are_resampled_are_exported_in_their_own_utm_zone(tmp_path):
    scene = write_scene(
        tmp_path / "degrees.tif", numbered(), crs="EPSG:4326", corner=(33.0, 1.0), pixel=0.0003
    )
    table = pd.DataFrame({"id": ["a/b", ".."], "lon": [33.01, 33.012], "lat": [0.991, 0.99]})
    cut = ec.chips(ec.read_units(table, id="id", lon="lon", lat="lat"), scene, size_m=300)
    folder = cut.export(tmp_path / "out")
    assert sorted(path.name for path in (folder / "300m").iterdir()) == ["...tif", "a%2Fb.tif"]
    with rasterio.open(folder / "300m" / "a%2Fb.tif") as file:
        assert file.crs.to_epsg() == 32636
        middle = (file.bounds.left + file.bounds.right) / 2, (file.bounds.bottom + file.bounds.top) / 2
        lon, lat = transform(file.crs, "EPSG:4326", [middle[0]], [middle[1]])
        assert (lon[0], lat[0]) == pytest.approx((33.01, 0.991), abs=1e-9)


def test_without_zarr_the_line_that_installs_it_is_named(cut, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImageryError, match=r'pip install "eocausal\[cubes\]"'):
        cut.write(tmp_path / "store")
    with pytest.raises(ImageryError, match=r'pip install "eocausal\[cubes\]"'):
        ec.open_chips(tmp_path / "store", cut.units)


def test_shards_are_small_enough_to_encode_in_memory(tmp_path):
    table = pd.DataFrame({"id": [0, 1]})
    units = ec.read_units(table.assign(key=table["id"]), id="id", image_key="key")
    cut = ec.chips_from_arrays(units, np.zeros((2, 224, 224, 10), dtype="uint8"), keys=[0, 1])
    layout = _zarr_layout.lay_out(cut)
    # 224 x 224 x 10 x 4 bytes are 1.9 MiB: 32 of them stay below 64 MiB.
    assert (layout.per_shard, layout.per_chunk) == (32, 1)
