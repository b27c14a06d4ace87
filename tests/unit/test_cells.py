"""Kept cells: what they give is what the file holds, each is decoded once, and memory is bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.imagery import cells as kept
from eocausal.imagery import sources
from eocausal.imagery.cells import Cells, panel_width, reading_keys, sorted_by
from eocausal.imagery.sources import read_tiles
from eocausal.imagery.tiles import OpenRasters
from tests.scenes import numbered, read_all, units_on, write_scene

HEIGHT, WIDTH, CELL = 700, 900, 256


def tiled(folder: Path, **options: object) -> tuple[Path, np.ndarray]:
    """Write a scene in blocks of 64, which makes cells of 256, with a hole across four cells."""
    pixels = numbered(2, HEIGHT, WIDTH)
    pixels[:, 250:260, 500:520] = -1
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "nodata": -1}
    file = write_scene(folder / "tiled.tif", pixels, **{**layout, **options})
    return file, np.where(pixels == -1, np.nan, pixels)


@pytest.fixture
def decoded(monkeypatch) -> list[tuple]:
    """Return what is decoded from now on: rows and columns of every read."""
    found: list[tuple] = []
    read = OpenRasters.read

    def counting(self, tile, bands, rows, columns):
        found.append((tile.name, rows, columns))
        return read(self, tile, bands, rows, columns)

    monkeypatch.setattr(OpenRasters, "read", counting)
    return found


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ((0, 1), (0, 1)),
        ((255, 257), (511, 513)),
        ((0, 700), (0, 900)),
        ((690, 700), (890, 900)),
        ((3, 250), (7, 9)),
    ],
)
def test_windows_are_those_of_the_file(tmp_path, rows, columns):
    file, whole = tiled(tmp_path)
    (tile,) = read_tiles(file)
    assert tile.cell == (CELL, CELL)
    with OpenRasters() as rasters:
        found, valid = Cells(rasters, (1, 0)).read(tile, rows, columns)
    if valid is not None:
        found = np.where(valid, found, np.nan)
    np.testing.assert_array_equal(found, whole[::-1, rows[0] : rows[1], columns[0] : columns[1]])


@pytest.mark.parametrize(
    ("layout", "cell"),
    [
        ({"blockxsize": 512, "blockysize": 512}, (512, 512)),
        ({"blockxsize": 16, "blockysize": 64}, (256, 256)),
        # Strips of one row: as many as make 256 rows, and no more than there are columns.
        ({"tiled": False, "blockxsize": None, "blockysize": 1}, (256, WIDTH)),
    ],
)
def test_a_cell_is_whole_blocks(tmp_path, layout, cell):
    options = {name: value for name, value in layout.items() if value is not None}
    file = write_scene(tmp_path / "s.tif", numbered(1, HEIGHT, WIDTH), **{"tiled": True, **options})
    assert read_tiles(file)[0].cell == cell


def scattered(count: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(4)
    return list(zip(rng.uniform(0, HEIGHT, count), rng.uniform(0, WIDTH, count)))


def test_in_reading_order_each_cell_is_decoded_once_whatever_the_batches(tmp_path, decoded):
    file, whole = tiled(tmp_path)
    units = units_on(scattered(300))
    chips = ec.chips(units, file, size_px=[33, 8])
    order = chips.reading_order()
    assert sorted(order.tolist()) == sorted(chips.keys.tolist())
    found = {}
    for batch in chips.batches(keys=order, size=7):
        found |= dict(zip(batch.keys.tolist(), batch.pixels["33px"][:, 0]))
    # 3 x 4 cells of 256 in 700 x 900 pixels.
    assert len(decoded) == len(set(decoded)) == 12
    everything = read_all(chips)
    for key, pixels in zip(everything.keys.tolist(), everything.pixels["33px"][:, 0]):
        np.testing.assert_array_equal(pixels, found[key])
    assert np.nanmax(everything.pixels["33px"]) <= np.nanmax(whole)


def test_the_table_is_in_the_order_of_keys_and_decodes_each_cell_once(tmp_path, decoded):
    file, _ = tiled(tmp_path)
    chips = ec.chips(units_on([*scattered(200), (255.0, 510.0)]), file, size_px=9)
    table = chips.table()
    assert len(decoded) == 12
    batch = read_all(chips)
    assert table["id"].tolist() == batch.keys.tolist()
    assert table["status"].tolist() == batch.status["9px"].tolist()
    assert table["valid_fraction"].tolist() == batch.valid_fraction["9px"].tolist()
    assert table["status"].iloc[-1] == "nodata"


def test_with_little_memory_pixels_are_the_same_and_no_more_is_kept(tmp_path, monkeypatch):
    file, _ = tiled(tmp_path)
    chips = ec.chips(units_on(scattered(60)), file, size_px=[40, 11])
    want = read_all(chips)
    one_cell = 4 * 2 * CELL * CELL
    monkeypatch.setattr(kept, "KEPT_BYTES", 3 * one_cell)
    monkeypatch.setattr(kept, "_LARGEST_SHARE", 1 / 3)
    most = []
    fill = Cells.fill

    def watched(self, *args):
        valid = fill(self, *args)
        most.append(sum(pixels.nbytes + getattr(flags, "nbytes", 0) for pixels, flags in self._kept.values()))
        return valid

    monkeypatch.setattr(Cells, "fill", watched)
    found = read_all(ec.chips(units_on(scattered(60)), file, size_px=[40, 11]))
    for block in chips.blocks:
        np.testing.assert_array_equal(found.pixels[block], want.pixels[block])
    assert one_cell <= max(most) <= 3 * one_cell


def test_cells_too_large_to_keep_are_read_window_by_window(tmp_path, monkeypatch, decoded):
    file, _ = tiled(tmp_path)
    chips = ec.chips(units_on([(100.0, 100.0), (101.0, 101.0)]), file, size_px=4)
    want = read_all(chips)
    decoded.clear()
    monkeypatch.setattr(kept, "KEPT_BYTES", 4 * 2 * CELL * CELL)
    found = read_all(chips)
    assert [read[1:] for read in decoded] == [((98, 102), (98, 102)), ((99, 103), (99, 103))]
    np.testing.assert_array_equal(found.pixels["4px"], want.pixels["4px"])


def test_what_gdal_holds_is_handed_back(tmp_path, monkeypatch):
    file, _ = tiled(tmp_path)
    opened = []
    real = sources.open_dataset
    monkeypatch.setattr(sources, "open_dataset", lambda path: opened.append(path) or real(path))
    chips = ec.chips(units_on(scattered(100)), file, size_px=5)
    opened.clear()
    list(chips.batches(keys=chips.reading_order()))
    assert len(opened) == 1
    # Two bands of float32 in cells of 256: half a MiB each, so the file is closed after every second.
    monkeypatch.setattr(sources, "_HELD_BY_GDAL", 2**19)
    opened.clear()
    list(chips.batches(keys=chips.reading_order()))
    assert len(opened) == 6


def test_panels_are_as_wide_as_memory_allows(tmp_path, monkeypatch):
    file, _ = tiled(tmp_path)
    tiles = read_tiles(file)
    monkeypatch.setattr(kept, "KEPT_BYTES", 8 * 4 * 2 * CELL * CELL)
    # Chips of 100 pixels reach one cell further: 8 cells are 2 rows of 4, of which 2 are spared.
    assert panel_width(tiles[0], 2, 100) == 2
    rows = np.array([10.0, 10, 10, 10, 400, 400, 400, 400])
    columns = np.array([60.0, 350, 600, 890, 60, 350, 600, 890])
    home = np.zeros(8, dtype=np.int64)
    order = sorted_by(reading_keys(tiles, home, rows, columns, bands=2, side=100))
    # The panel of the first two cells from north to south, then the panel of the others.
    assert order.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    monkeypatch.setattr(kept, "KEPT_BYTES", 256 * 2**20)
    wide = reading_keys(tiles, home, rows, columns, bands=2, side=100)
    assert sorted_by(wide).tolist() == list(range(8))


def test_chips_come_raster_by_raster_and_those_outside_are_kept(tmp_path):
    first = write_scene(tmp_path / "a.tif", numbered(), corner=(600_000, 200_000))
    second = write_scene(tmp_path / "b.tif", numbered(), corner=(600_000 + 80 * 30, 200_000))
    units = units_on([(10, 120), (10, 20), (500, 500), (30, 130), (30, 30)])
    order = ec.chips(units, [first, second], size_px=4).reading_order()
    place = {key: turn for turn, key in enumerate(order.tolist())}
    assert sorted(place) == ["u0", "u1", "u2", "u3", "u4"]
    assert max(place["u1"], place["u4"]) < min(place["u0"], place["u3"])


def test_keys_too_many_for_one_number_are_sorted_all_the_same():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 5, size=(200, 6)).astype(np.int32)
    few = sorted_by(keys)
    assert few.tolist() == np.lexsort(keys.T[::-1]).tolist()
    # the same order from numbers whose product does not fit
    assert sorted_by(keys * 2**20).tolist() == few.tolist()
