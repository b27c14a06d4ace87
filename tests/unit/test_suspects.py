"""What the report says of pixels that are likely not what they seem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.imagery.batches import ChipBatch
from eocausal.imagery.tally import share_by_frame, tally
from tests.scenes import numbered, units_on, write_scene


def bordered() -> np.ndarray:
    """Return pixels whose columns 0 to 19 of 80 were never seen."""
    pixels = numbered()
    pixels[:, :, :20] = 0
    return pixels


@pytest.mark.parametrize(
    ("nodata", "columns", "words"),
    [
        # half of the first of two chips is border
        (None, (20, 60), "25.0% of the valid pixels of 20px chips are zero in all bands, and scene.tif does not "
                         "say what stands for no data: if zero does, gdal_edit.py -a_nodata 0 scene.tif"),
        (0, (20, 60), None),
        # a file that names another value has a way of saying it, and has not said it of zero
        (-1, (20, 60), None),
        (None, (45, 60), None),
    ],
)  # fmt: skip
def test_zeros_of_files_that_do_not_say_what_no_data_is(
    tmp_path: Path, nodata: int | None, columns: tuple[int, int], words: str | None
) -> None:
    file = write_scene(tmp_path / "scene.tif", bordered(), nodata=nodata)
    cut = ec.chips(units_on([(30, column) for column in columns]), file, size_px=20)
    assert cut.report().warnings == (() if words is None else (words,))


def test_zeros_are_told_of_by_the_store_too_and_names_are_few(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    files = [
        write_scene(tmp_path / f"{n}.tif", bordered(), corner=(600_000.0 + 2400 * n, 200_000.0))
        for n in range(5)
    ]
    cut = ec.chips(units_on([(30, 20 + 80 * n) for n in range(4)]), files, size_px=20)
    (text,) = cut.report().warnings
    assert "50.0% of the valid pixels" in text
    assert "0.tif, 1.tif, 2.tif, ... do not say" in text
    opened = ec.open_chips(cut.write(tmp_path / "store", progress=False), cut.units)
    assert opened.report().warnings == (text,)


def test_classes_may_be_zero(tmp_path: Path) -> None:
    import rasterio

    file = write_scene(tmp_path / "classes.tif", (bordered()[:1] % 7).astype("uint8"))
    with rasterio.open(file, "r+") as out:
        out.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    assert ec.chips(units_on([(30, 20), (30, 60)]), file, size_px=20).report().warnings == ()


def test_zeros_of_arrays() -> None:
    units = units_on([(0, 0), (0, 1)])
    array = np.random.default_rng(0).random((2, 8, 8, 3))
    array[0, :2] = 0
    (text,) = ec.chips_from_arrays(units, array).report().warnings
    assert text == (
        "12.5% of the valid pixels of 8px chips are zero in all bands, and the array does not say what stands for "
        "no data: if zero does, nodata=0"
    )
    assert ec.chips_from_arrays(units, array, nodata=0).report().warnings == ()
    assert ec.chips_from_arrays(units, array, pixel_unit="s2_l2a_dn").pixel_unit == "s2_l2a_dn"


def test_chips_of_one_value_are_counted_and_named() -> None:
    units = units_on([(0, n) for n in range(6)])
    array = np.random.default_rng(0).random((6, 8, 8, 3))
    array[[0, 2, 3, 5]] = [7, 8, 9]
    assert ec.chips_from_arrays(units, array, axes="nhwc").report().warnings == (
        "4 of the 6 8px chips hold one value everywhere, and tell nothing apart: u0, u2, u3, ...",
    )


@pytest.mark.parametrize(("value", "told"), [(2**24 - 1, False), (2**24 + 1, True), (-(2**31), True)])
def test_whole_numbers_that_float32_rounds(tmp_path: Path, value: int, told: bool) -> None:
    pixels = numbered(1).astype("int32")
    pixels[0, 30, 40] = value
    file = write_scene(tmp_path / "codes.tif", pixels)
    found = ec.chips(units_on([(30, 40)]), file, size_px=6).report().warnings
    assert bool(found) is told
    if found:
        assert f"values of 6px chips reach {abs(value):.6g}" in found[0]
        assert "whole numbers beyond 16,777,216 are rounded" in found[0]


def test_places_that_units_of_both_arms_share_are_told_of(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", numbered())
    units = units_on([(30, 20), (30, 20), (30, 60), (30, 60), (20, 40)])
    chips = ec.chips(units, file, size_px=4)
    assert chips.report(pd.Series([0, 1, 1, 1, 0], index=units.ids)).warnings == (
        "2 of 5 units (40.0%) lie where a unit of the other arm lies too: their pictures are the same, so features "
        "cannot tell them apart",
    )
    assert chips.report(pd.Series([0, 0, 1, 1, 0], index=units.ids)).warnings == ()


def test_chips_are_counted_in_the_order_of_their_keys() -> None:
    mask = np.array([[[[True, False]], [[True, True]]], [[[True, True]], [[True, True]]]])
    pixels = np.where(mask[:, :, None], np.arange(8.0).reshape(2, 2, 1, 1, 2), np.nan).astype(np.float32)
    batch = ChipBatch(
        np.array(["b", "a"]), {"2px": pixels}, {"2px": mask}, {"2px": np.array(["partial", "ok"])},
        {"2px": np.array([0.75, 1.0])}, {"2px": np.array([[0.5, 1.0], [1.0, 1.0]])},
    )  # fmt: skip
    told: list[int] = []
    found = tally([batch], np.array([1, 0]), told=told.append)["2px"]
    assert told == [2]
    assert found.status.tolist() == ["ok", "partial"]
    assert found.by_frame.tolist() == [[1.0, 1.0], [0.5, 1.0]]
    assert found.observations is not None
    assert found.observations.tolist() == [[1.0, 1.0], [0.5, 1.0]]
    assert (found.zeros, found.valid, found.largest) == (1, 7, 7.0)


def test_shares_of_frames_are_those_of_the_pixels_inside_a_polygon() -> None:
    # a polygon holds 3 of 4 pixels; the first frame has them all, the second one of them
    mask = np.array([[[[True, True], [True, False]], [[True, False], [False, False]]]])
    assert share_by_frame(mask, np.array([4 / 6])).tolist() == [[1.0, 1 / 3]]
    assert share_by_frame(mask & False, np.array([0.0])).tolist() == [[0.0, 0.0]]
