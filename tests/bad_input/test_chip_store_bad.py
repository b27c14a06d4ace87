"""What a store of chips refuses, and the words that tell a user what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import _zarr_layout
from tests.scenes import numbered, units_on, write_scene

pytest.importorskip("zarr")

POINTS = [(10.0, 10.0), (40.0, 30.0), (20.0, 20.0), (30.0, 60.0), (50.0, 5.0)]


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(_zarr_layout, "MOST_CHIPS_PER_SHARD", 2)
    scene = write_scene(tmp_path / "scene.tif", numbered())
    cut = ec.chips(units_on(POINTS), scene, size_m=300)
    return cut, cut.write(tmp_path / "store", progress=False)


@pytest.mark.parametrize(
    "array", ["pixels/c/2/0/0/0/0", "mask/c/2/0/0/0", "status/c/2", "valid_fraction/c/2"]
)
def test_a_chunk_that_is_gone_is_named_with_its_keys(stored, array):
    cut, folder = stored
    (folder / "300m" / array).unlink()
    order = cut.source.reading_order()
    with pytest.raises(ImageryError) as caught:
        ec.open_chips(folder, cut.units)
    text = str(caught.value)
    assert "Range 2 of the store" in text
    assert f"300m/{array} is damaged or gone" in text
    assert f"1 ({cut.keys[order[4]]})" in text
    assert f"chips.write({str(folder)!r}), with the chips it was made from, writes this range again" in text


def test_a_header_or_a_record_that_is_gone_is_named(stored):
    cut, folder = stored
    for name, words in (
        ("300m/pixels/zarr.json", "describes all chips"),
        ("ranges/00001.json", "Range 1"),
        ("longitude/c/0", "describes all chips"),
    ):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(ImageryError, match=rf"(?s){words}.*chips\.write"):
            ec.open_chips(folder, cut.units)
        (folder / name).write_bytes(content)
    ec.open_chips(folder, cut.units)


def test_an_unfinished_store_is_refused(stored, tmp_path, monkeypatch):
    cut, _ = stored

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_zarr_layout.Encoder, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        cut.write(tmp_path / "half", progress=False)
    first = ", ".join(cut.keys[cut.source.reading_order()[:2]])
    with pytest.raises(ImageryError) as caught:
        ec.open_chips(tmp_path / "half", cut.units)
    assert "is not finished: 0 of 3 ranges are written; range 0" in str(caught.value)
    assert f"2 ({first})" in str(caught.value)
    assert "chips.write(" in str(caught.value)
    assert not (tmp_path / "half" / "lock").exists()


def test_folders_that_are_no_store_are_left_alone(stored, tmp_path):
    cut, _ = stored
    home = tmp_path / "home"
    home.mkdir()
    (home / ".thesis.partial").write_text("ten years")
    with pytest.raises(ImageryError, match=r"something else than a store[\s\S]*chips\.zarr"):
        cut.write(home, progress=False)
    assert [path.name for path in home.iterdir()] == [".thesis.partial"]
    with pytest.raises(ImageryError, match="is a file"):
        cut.write(tmp_path / "scene.tif", progress=False)
    with pytest.raises(ImageryError, match=r"is not a store of chips: it has no manifest\.json"):
        ec.open_chips(home, cut.units)
    run = ec.embed(cut, encoder="image_stats", out=tmp_path / "run", progress=False)
    assert len(run) == 5
    with pytest.raises(ImageryError, match="something else than a store"):
        cut.write(tmp_path / "run", progress=False)


def test_units_of_other_keys_or_places_are_refused(stored):
    _, folder = stored
    elsewhere = units_on([(row + 5, column) for row, column in POINTS])
    with pytest.raises(ImageryError, match=r"up to 150 m from the chips stored under their keys"):
        ec.open_chips(folder, elsewhere)
    numbers = ec.read_units(pd.DataFrame({"id": [1, 2], "key": [1, 2]}), id="id", image_key="key")
    with pytest.raises(ImageryError, match=r"No chip in .* has a key of the units: 'key' has 1, 2"):
        ec.open_chips(folder, numbers)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size_m": 360}, r"chips\.sizes\.300m: 300\.0 -> absent"),
        ({"bands": [1]}, r"chips\.bands: \[\"band1\", \"band2\"\] -> \[\"band1\"\]"),
        ({"date": "2009-01-01"}, r"chips\.date: null -> \"2009-01-01\""),
        ({"pixel_unit": "dn"}, r"chips\.pixel_unit: null -> \"dn\""),
        ({"content": 1}, r"chips\.rasters: "),
    ],
)
def test_only_keys_can_be_appended(stored, tmp_path, changed, words):
    _, folder = stored
    before = (folder / "manifest.json").read_bytes()
    if changed.pop("content", 0):
        write_scene(tmp_path / "scene.tif", numbered() + 1)
    more = ec.chips(units_on([*POINTS, (15.0, 33.0)]), tmp_path / "scene.tif", **{"size_m": 300, **changed})
    with pytest.raises(ImageryError, match=rf"(?s)cannot be appended.*{words}.*only keys are added"):
        more.write(folder, append=True, progress=False)
    assert (folder / "manifest.json").read_bytes() == before
    assert not list(folder.glob("part*"))


def test_a_stored_key_that_moved_is_not_appended_over(stored, tmp_path):
    _, folder = stored
    moved = [(row, column + (2 if row == 40 else 0)) for row, column in POINTS]
    with pytest.raises(
        ImageryError, match=r"up to 60 m from the chips stored[\s\S]*1 \(u1\)[\s\S]*another key"
    ):
        ec.chips(units_on(moved), tmp_path / "scene.tif", size_m=300).write(folder, append=True)
    # writing more keys without append says what would add them
    more = ec.chips(units_on([*POINTS, (15.0, 33.0)]), tmp_path / "scene.tif", size_m=300)
    with pytest.raises(ImageryError, match=r"holds other chips[\s\S]*append=True\) adds keys"):
        more.write(folder, progress=False)


def test_arrays_that_are_appended_must_be_those_stored(tmp_path):
    def arrays(count, change=0.0, text=False):
        ids = np.arange(count).astype(str if text else int)
        units = ec.read_units(pd.DataFrame({"id": ids, "key": ids}), id="id", image_key="key")
        pictures = np.random.default_rng(0).random((9, 4, 4, 1))[:count].copy()
        pictures[1, 2, 3] += change
        return ec.chips_from_arrays(units, pictures, keys=ids)

    folder = arrays(3).write(tmp_path / "arrays", progress=False)
    with pytest.raises(ImageryError, match=r"differ from those stored under their keys[\s\S]*1 \(1\)"):
        arrays(5, change=0.5).write(folder, append=True, progress=False)
    with pytest.raises(ImageryError, match=r"keys are text \('0'\), those in .* whole numbers \(0\)"):
        arrays(5, text=True).write(folder, append=True, progress=False)
    assert not list(folder.glob("part*"))
    arrays(5).write(folder, append=True, progress=False)
    assert len(ec.open_chips(folder, arrays(5).units)) == 5


def test_another_append_does_not_overwrite_what_one_began(stored, tmp_path, monkeypatch):
    cut, folder = stored
    more = ec.chips(units_on([*POINTS, (15.0, 33.0)]), tmp_path / "scene.tif", size_m=300)
    other = ec.chips(units_on([*POINTS, (16.0, 33.0)]), tmp_path / "scene.tif", size_m=300)
    with monkeypatch.context() as broken:
        broken.setattr(_zarr_layout.Encoder, "encode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            more.write(folder, append=True, progress=False)
    assert len(ec.open_chips(folder, cut.units)) == 5
    with pytest.raises(ImageryError, match=r"holds other chips[\s\S]*append first what was begun, or delete"):
        other.write(folder, append=True, progress=False)
    more.write(folder, append=True, progress=False)
    assert len(ec.open_chips(folder, more.units)) == 6


def test_export_needs_a_place_and_a_known_format(stored, tmp_path):
    cut, _ = stored
    with pytest.raises(ImageryError, match=r"format='geotif' is not known[\s\S]*geotiff"):
        cut.export(tmp_path / "out", format="geotif")
    units = ec.read_units(pd.DataFrame({"id": [1, 2], "key": [1, 2]}), id="id", image_key="key")
    arrays = ec.chips_from_arrays(units, np.zeros((2, 4, 4, 1)), keys=[1, 2])
    with pytest.raises(ImageryError, match=r"Chips from arrays do not say where they are[\s\S]*chips\.write"):
        arrays.export(tmp_path / "out")
    with pytest.raises(ImageryError, match="is a file"):
        cut.export(tmp_path / "scene.tif")
    assert not (tmp_path / "out").exists()
