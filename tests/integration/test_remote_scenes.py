"""Raster files on a server give the chips that the same files give here."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from tests import stac_catalog as catalog
from tests.scenes import numbered, read_all, units_on, write_scene

UNITS = units_on([(30, 40), (3, 5)])
DAYS = ("20180601", "20180701")
TILED = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}


@pytest.fixture
def folder(tmp_path):
    for number, day in enumerate(DAYS):
        pixels = numbered() + 50_000 * number
        pixels[:, 20:30] = -1
        write_scene(tmp_path / f"LE07_{day}.tif", pixels, descriptions=("red", "nir"), nodata=-1, **TILED)
    return tmp_path


def test_the_same_chips_from_a_server(folder) -> None:
    pattern = "{sensor}_{date:%Y%m%d}.tif"
    here = ec.scenes(f"{folder}/*.tif", pattern=pattern)
    wanted = read_all(ec.chips(UNITS, here, size_m=[300, 900], frames=ec.Frames("each")))
    with catalog.served(catalog.files_of(folder)) as server:
        hrefs = [f"{server}/LE07_{day}.tif?token=secret" for day in DAYS]
        there = ec.scenes(hrefs, pattern=pattern, remote=True)
        found = read_all(ec.chips(UNITS, there, size_m=[300, 900], frames=ec.Frames("each")))
        table = pd.DataFrame({"file": hrefs, "day": ["2018-06-01", "2018-07-01"]})
        assert ec.scenes(table, date="day", remote=True).table()["date"].tolist() == [
            "2018-06-01",
            "2018-07-01",
        ]
    assert there.table()["sensor"].tolist() == ["LE07", "LE07"]
    pd.testing.assert_frame_equal(there.table(), here.table())
    for block in ("300m", "900m"):
        np.testing.assert_array_equal(found.pixels[block], wanted.pixels[block])
        np.testing.assert_array_equal(found.status[block], wanted.status[block])
    recipe = json.dumps([tile.recipe() for tile in there.tiles])
    assert "/LE07_20180601.tif" in recipe
    assert "secret" not in recipe


def test_what_is_refused(folder) -> None:
    address = "https://me:key@127.0.0.1:9/LE07.tif?sig=1"
    with pytest.raises(ImageryError, match=r"was not allowed[\s\S]*1 \(127\.0\.0\.1:9\)[\s\S]*remote=True"):
        ec.scenes(address)
    with pytest.raises(ImageryError, match=r"given together[\s\S]*1 \(https://127\.0\.0\.1:9/LE07\.tif\)"):
        ec.scenes([address, str(folder / "LE07_20180601.tif")], remote=True)
    with pytest.raises(ImageryError, match="more than once"):
        ec.scenes([address, address], remote=True)
    with pytest.raises(ImageryError, match=r"name ends in '\.vrt'"):
        ec.scenes("https://127.0.0.1:9/LE07.vrt", remote=True)
    with pytest.raises(ImageryError, match="begins with ftp:"):
        ec.scenes("ftp://127.0.0.1:9/LE07.tif", remote=True)
    (folder / "list.tif").write_text('<VRTDataset rasterXSize="2" rasterYSize="2"></VRTDataset>')
    write_scene(folder / "nowhere.tif", numbered(), crs=None)
    with catalog.served(catalog.files_of(folder)) as server:
        for name, words in {
            "absent.tif": "cannot be opened",
            "list.tif": "cannot be opened",
            "nowhere.tif": "'nowhere.tif' has no georeference",
        }.items():
            with pytest.raises(ImageryError, match=words) as refused:
                ec.scenes(f"{server}/{name}?key=secret", remote=True)
            assert "secret" not in str(refused.value)
        with pytest.raises(ImageryError, match=r"Tags of 'LE07_20180601\.tif'[\s\S]*pattern="):
            ec.scenes(f"{server}/LE07_20180601.tif", date="tags", remote=True)
