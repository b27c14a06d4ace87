"""The middle of chips: pixels, masks, states and places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.cropping import Cropping, cropped


def _chips(pixels: np.ndarray) -> ec.Chips:
    units = ec.read_units(
        pd.DataFrame({"village": np.arange(len(pixels))}), id="village", image_key="village"
    )
    return ec.chips_from_arrays(units, pixels)


def test_the_middle_is_cut_and_judged_anew() -> None:
    pixels = np.random.default_rng(0).random((3, 7, 7, 2)).astype("float32")
    pixels[0, 0, 0] = np.nan
    pixels[1, 2, 2] = np.nan
    pixels[2, 2:4, 2:4] = np.nan
    whole, middle = (next(chips.batches()) for chips in (_chips(pixels), cropped(_chips(pixels), 2)))
    # seven less two leaves five: two in the north and the west, three in the south and the east
    np.testing.assert_array_equal(middle.pixels["7px"], whole.pixels["7px"][..., 2:4, 2:4])
    np.testing.assert_array_equal(middle.mask["7px"], whole.mask["7px"][..., 2:4, 2:4])
    assert whole.status["7px"].tolist() == ["partial"] * 3
    assert middle.status["7px"].tolist() == ["ok", "partial", "nodata"]
    np.testing.assert_allclose(middle.valid_fraction["7px"], [1, 0.75, 0])


def test_the_middle_knows_where_it_lies() -> None:
    corners = {
        "crs": np.array(["EPSG:32736"]),
        "west": np.array([500_000.0]),
        "north": np.array([9_000_000.0]),
        "x_size": np.array([10.0]),
        "y_size": np.array([10.0]),
    }
    found = Cropping({"960m": 96}, 32).corners(corners, "960m")
    assert (found["west"][0], found["north"][0]) == (500_320.0, 8_999_680.0)
    assert found["x_size"] is corners["x_size"]


def test_crops_are_told_apart_by_their_recipes() -> None:
    pixels = np.random.default_rng(0).random((2, 8, 8, 1))
    hashes = {str(cropped(_chips(pixels), side).recipe()) for side in (4, 6, 8)}
    assert len(hashes) == 3
    assert cropped(_chips(pixels), 4).sides == {"8px": 4}


@pytest.mark.parametrize(
    ("side", "words"), [(9, r"larger than chips[\s\S]*8px \(8 pixels\)"), (0, "crop_px=0"), (2.5, "crop_px=2.5")]
)  # fmt: skip
def test_sides_that_cannot_be_are_refused(side: float, words: str) -> None:
    with pytest.raises(ImageryError, match=words):
        cropped(_chips(np.zeros((1, 8, 8, 1))), side)
