"""What holds for every unit, size and raster."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

FOLDER = tempfile.TemporaryDirectory(prefix="eocausal-scenes-")
rng = np.random.default_rng(7)
HOLES = rng.random((60, 80)) < 0.2
PIXELS = numbered()
PIXELS[:, HOLES] = -1
SCENE = write_scene(Path(FOLDER.name) / "scene.tif", PIXELS, nodata=-1)

place = st.tuples(st.floats(-12, 72), st.floats(-12, 92))
places = st.lists(place, min_size=1, max_size=5)
sides = st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True)
light = settings(max_examples=40, deadline=None)


def cut(where: list[tuple[float, float]], file: Path, side: list[int], **options: object) -> object:
    # A unit in the middle keeps the call from being refused when all others lie outside.
    return read_all(ec.chips(units_on([(30.2, 40.2), *where]), file, size_px=side, **options))


@light
@given(places, sides)
def test_masks_say_what_is_valid_and_statuses_follow(where, side):
    batch = cut(where, SCENE, side)
    for block, pixels in batch.pixels.items():
        mask = batch.mask[block]
        np.testing.assert_array_equal(np.isnan(pixels), np.broadcast_to(~mask[:, :, None], pixels.shape))
        np.testing.assert_array_equal(batch.valid_fraction[block], mask.mean(axis=(1, 2, 3)))
        for status, share in zip(batch.status[block], batch.valid_fraction[block]):
            assert (
                status == "ok"
                if share == 1
                else status == "partial"
                if share
                else status in ("nodata", "outside")
            )


@light
@given(places, sides)
def test_pixels_are_where_they_say_and_the_unit_is_in_the_middle(where, side):
    batch = cut(where, SCENE, side)
    for block in batch.pixels:
        for chip, (row, column) in enumerate([(30.2, 40.2), *where]):
            valid = batch.mask[block][chip, 0]
            found = batch.pixels[block][chip, 0, 0][valid] - 10_000
            rows, columns = np.nonzero(valid)
            top, left = found // 100 - rows, found % 100 - columns
            if valid.any():
                assert np.ptp(top) == np.ptp(left) == 0
                middle = np.array([top[0], left[0]]) + int(block[:-2]) / 2
                assert np.abs(middle - (row, column)).max() <= 0.5002


@light
@given(places, st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_a_smaller_chip_is_cut_from_the_larger_around_the_same_middle(where, small, step, odd):
    large = small + 2 * step + odd
    batch = cut(where, SCENE, [large, small])
    alone = cut(where, SCENE, [small])
    np.testing.assert_array_equal(batch.pixels[f"{small}px"], alone.pixels[f"{small}px"])
    assert batch.status[f"{small}px"].tolist() == alone.status[f"{small}px"].tolist()
    if not odd:
        inner = batch.pixels[f"{large}px"][..., step : step + small, step : step + small]
        np.testing.assert_array_equal(batch.pixels[f"{small}px"], inner)


@settings(max_examples=15, deadline=None)
@given(places, st.integers(-2000, 2000), st.integers(-2000, 2000), st.integers(1, 12))
def test_raster_and_units_moved_together_give_the_same_chips(where, east, north, side):
    moved = write_scene(
        Path(FOLDER.name) / "moved.tif", PIXELS, nodata=-1, corner=(WEST + east, NORTH + north)
    )
    here = units_on([(30.2, 40.2), *where])
    table = here.frame.assign(x=here.frame["x"] + east, y=here.frame["y"] + north)
    there = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636")
    for options in ({"size_px": side}, {"size_m": 30.0 * side}):
        a, b = (read_all(ec.chips(units, file, **options)) for units, file in ((here, SCENE), (there, moved)))
        block = next(iter(a.pixels))
        np.testing.assert_array_equal(a.pixels[block], b.pixels[block])
        assert a.status[block].tolist() == b.status[block].tolist()


@light
@given(places)
def test_units_in_another_reference_system_give_the_same_chips(where):
    here = units_on([(30.2, 40.2), *where])
    table = here.frame.assign(lon=here.longitude, lat=here.latitude)
    there = ec.read_units(table, id="id", lon="lon", lat="lat")
    a, b = (read_all(ec.chips(units, SCENE, size_m=240)) for units in (here, there))
    np.testing.assert_array_equal(a.pixels["240m"], b.pixels["240m"])


@light
@given(places, st.permutations(range(6)))
def test_order_of_units_is_order_of_chips(where, order):
    units = units_on([(30.2, 40.2), *where])
    order = [row for row in order if row < len(units)]
    a, b = (read_all(ec.chips(u, SCENE, size_px=5)) for u in (units, units.take(order)))
    assert b.keys.tolist() == a.keys[order].tolist()
    np.testing.assert_array_equal(b.pixels["5px"], a.pixels["5px"][order])
