"""Keys are added to a store without touching what is in it, and read back as if all had been written at once."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import _store_append, _zarr_layout
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

pytest.importorskip("zarr")

POINTS = [(10.0, 10.0), (40.3, 30.0), (2.0, 2.0), (70.0, 200.0), (30.5, 60.2), (55.0, 5.0), (20.0, 70.0)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(_zarr_layout, "MOST_CHIPS_PER_SHARD", 2)


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path / "scene.tif", numbered(), descriptions=("red", "nir"))


def cut_first(count, scene):
    return ec.chips(units_on(POINTS[:count]), scene, size_m=[300, 120], date="2007-06-30")


def states(folder):
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_same(one, two):
    assert one.keys.tolist() == two.keys.tolist()
    for block in one.pixels:
        for part in ("pixels", "mask", "valid_fraction"):
            assert getattr(one, part)[block].tobytes() == getattr(two, part)[block].tobytes()
        assert one.status[block].tolist() == two.status[block].tolist()


def test_a_second_wave_is_added_and_what_was_there_is_not_touched(scene, tmp_path):
    folder = cut_first(3, scene).write(tmp_path / "store", progress=False)
    before = states(folder)
    both = cut_first(7, scene)
    both.write(folder, append=True, progress=False)
    after = states(folder)
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    assert all(name.startswith("part00001/") for name in after.keys() - before.keys())

    opened = ec.open_chips(folder, both.units)
    assert_same(read_all(opened), read_all(both))
    assert opened.recipe() == both.recipe()
    pd.testing.assert_frame_equal(opened.account(), both.account())
    backwards = both.keys[::-2]
    assert_same(read_all(opened, keys=backwards), read_all(both, keys=backwards))
    # in the order of the store the first wave comes first
    assert set(opened.reading_order()[:3]) == {"u0", "u1", "u2"}
    # the units of either wave alone open it too
    first = cut_first(3, scene)
    assert_same(read_all(ec.open_chips(folder, first.units)), read_all(first))
    exported = opened.export(tmp_path / "out")
    assert len(list(exported.rglob("*.tif"))) == 14

    both.write(folder, append=True, progress=False)
    assert states(folder) == after


def test_the_second_wave_alone_can_be_appended_and_a_third(scene, tmp_path):
    folder = cut_first(2, scene).write(tmp_path / "store", append=True, progress=False)
    for some in (slice(2, 5), slice(5, 7)):
        table = units_on(POINTS).frame.iloc[some]
        wave = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636")
        ec.chips(wave, scene, size_m=[300, 120], date="2007-06-30").write(folder, append=True, progress=False)
    assert sorted(path.name for path in folder.glob("part*")) == ["part00001", "part00002"]
    whole = cut_first(7, scene)
    assert_same(read_all(ec.open_chips(folder, whole.units)), read_all(whole))


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_however_keys_come_the_store_reads_as_if_written_at_once(cuts, seed, tmp_path_factory):
    ids = np.arange(12)
    rng = np.random.default_rng(seed)
    pictures = rng.normal(size=(12, 6, 6, 2)).astype("float32")
    pictures[rng.random((12, 6, 6)) < 0.1] = np.nan
    order = rng.permutation(ids)
    folder = tmp_path_factory.mktemp("stores") / "store"

    def first(count):
        some = order[:count]
        units = ec.read_units(pd.DataFrame({"id": some, "key": some}), id="id", image_key="key")
        return ec.chips_from_arrays(units, pictures[some], keys=some)

    for count in [*sorted(cuts), 12]:
        first(count).write(folder, append=True, progress=False)
    assert_same(read_all(ec.open_chips(folder, first(12).units)), read_all(first(12)))
    assert len(list(folder.glob("part*"))) == len(set(cuts))


def sequence(folder, count):
    """Two frames of scenes that show different units, so that the last day depends on which there are."""
    for day, corner in (("20050601", 0), ("20060601", 0), ("20060901", 1200)):
        pixels = numbered() + int(day) % 7
        pixels[:, 9:11, 9:11] = np.nan if day == "20050601" else pixels[:, 9:11, 9:11]
        file = folder / f"scene_{day}.tif"
        if not file.exists():
            write_scene(file, pixels, corner=(WEST + 30 * corner, NORTH), descriptions=("red", "nir"))
    scenes = ec.scenes(sorted(map(str, folder.glob("scene_*.tif"))), pattern="scene_{date:%Y%m%d}.tif")
    units = units_on([(10.0, 10.0), (40.3, 30.0), (2.0, 2.0), (20.0, 1230.0)][:count])
    return ec.chips(units, scenes, size_m=300, frames=ec.Frames(["2005", "2006"]))


def test_sequences_keep_their_frames_days_and_counts_of_observations(tmp_path):
    import zarr

    both = sequence(tmp_path, 4)
    assert both.frames == ("2005", "2006")
    read = read_all(both)
    assert read.pixels["300m"].shape == (4, 2, 2, 10, 10)
    assert set(read.status["300m"]) == {"ok", "partial"}
    for name, first in (("at_once", 4), ("appended", 3)):
        folder = sequence(tmp_path, first).write(tmp_path / name, progress=False)
        both.write(folder, append=True, progress=False)
        opened = ec.open_chips(folder, both.units)
        assert (opened.frames, opened.date, opened.bands) == (both.frames, "2006-09-01", ("red", "nir"))
        assert opened.recipe() == both.recipe()
        assert_same(read_all(opened), read)
        assert read_all(opened).observations["300m"].tolist() == read.observations["300m"].tolist()
        pd.testing.assert_frame_equal(opened.account(), both.account())
        root = zarr.open_group(folder, mode="r")
        assert root.attrs["frames"] == ["2005", "2006"]
        assert root["300m/observations"].metadata.dimension_names == ("chip", "date")
    assert opened.account()["last_date"].tolist() == ["2006-06-01"] * 3 + ["2006-09-01"]
    assert (tmp_path / "appended" / "part00001").is_dir()


def test_other_frames_are_not_appended(tmp_path):
    folder = sequence(tmp_path, 3).write(tmp_path / "store", progress=False)
    scenes = ec.scenes(sorted(map(str, tmp_path.glob("scene_*.tif"))), pattern="scene_{date:%Y%m%d}.tif")
    other = ec.chips(units_on(POINTS[:4]), scenes, size_m=300, frames=ec.Frames(["2006", "2007"]))
    with pytest.raises(ImageryError, match=r"(?s)cannot be appended.*frames: \[\"2005\", \"2006\"\] -> "):
        other.write(folder, append=True, progress=False)


def test_damage_of_an_appended_part_is_named_and_mended_by_appending_again(scene, tmp_path):
    folder = cut_first(3, scene).write(tmp_path / "store", progress=False)
    both = cut_first(7, scene)
    both.write(folder, append=True, progress=False)
    whole = {name: content for name, (_, content) in states(folder).items()}
    for name in (
        "part00001/300m/pixels/c/1/0/0/0/0",
        "part00001/zarr.json",
        "part00001/manifest.json",
        "part00001/ranges/00000.json",
        "part00001/longitude/c/0",
        "300m/mask/c/0/0/0/0",
    ):
        (folder / name).write_bytes(whole[name][:-1] + bytes([whole[name][-1] ^ 1]))
        again = r"append=True\)" if name.startswith("part") else rf"chips\.write\('{folder}'\)"
        with pytest.raises(ImageryError, match=rf"(?s){name.split('/')[0]}.*{again}"):
            ec.open_chips(folder, both.units)
        both.write(folder, append=True, progress=False)
        assert {name: content for name, (_, content) in states(folder).items()} == whole, name
    shutil.rmtree(folder / "part00001")
    with pytest.raises(
        ImageryError, match=r"part00001/manifest\.json.* is damaged or gone[\s\S]*append=True\)"
    ):
        ec.open_chips(folder, both.units)


def test_a_part_that_is_whole_but_not_named_yet_is_named_by_the_next_call(scene, tmp_path, monkeypatch):
    first, both = cut_first(3, scene), cut_first(7, scene)
    folder = first.write(tmp_path / "store", progress=False)
    before = (folder / "manifest.json").read_bytes()
    with monkeypatch.context() as dying:
        dying.setattr(_store_append, "_list_parts", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            both.write(folder, append=True, progress=False)
    assert (folder / "manifest.json").read_bytes() == before
    assert read_all(ec.open_chips(folder, both.units)).status["300m"].tolist().count("missing") == 4
    whole = states(folder / "part00001")
    both.write(folder, append=True, progress=False)
    assert states(folder / "part00001") == whole
    assert_same(read_all(ec.open_chips(folder, both.units)), read_all(both))


def test_a_part_of_which_only_the_folder_was_made_is_filled(scene, tmp_path):
    first, both = cut_first(3, scene), cut_first(7, scene)
    folder = first.write(tmp_path / "store", progress=False)
    (folder / "part00001").mkdir()
    assert len(ec.open_chips(folder, first.units)) == 3
    # nothing to append: the folder is left as it is
    first.write(folder, append=True, progress=False)
    both.write(folder, append=True, progress=False)
    assert_same(read_all(ec.open_chips(folder, both.units)), read_all(both))


def test_a_store_whose_manifest_is_lost_keeps_its_parts_when_it_is_mended(scene, tmp_path):
    first, both = cut_first(3, scene), cut_first(7, scene)
    folder = first.write(tmp_path / "store", progress=False)
    both.write(folder, append=True, progress=False)
    whole = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(whole[:-5])
    first.write(folder, progress=False)
    assert (folder / "manifest.json").read_bytes() == whole
    # writing the first wave again changes nothing
    first.write(folder, progress=False)
    assert_same(read_all(ec.open_chips(folder, both.units)), read_all(both))
