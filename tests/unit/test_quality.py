"""Quality bands: every bit and class of the three schemes, written out from the guides a second time."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.errors import ImageryError
from eocausal.imagery.quality import SCHEMES, Quality, clear, flagged

# Values as the guides print them, by flag; a confidence is two bits, so its values are exact under its mask.
LANDSAT_BITS = {
    "fill": 0, "dilated_cloud": 1, "cirrus": 2, "cloud": 3, "cloud_shadow": 4, "snow": 5, "clear": 6, "water": 7,
}  # fmt: skip
LANDSAT_PAIRS = {
    "cloud_confidence_none": (8, 0b00), "cloud_confidence_low": (8, 0b01), "cloud_confidence_medium": (8, 0b10),
    "cloud_confidence_high": (8, 0b11), "cloud_shadow_confidence_none": (10, 0b00),
    "cloud_shadow_confidence_low": (10, 0b01), "cloud_shadow_confidence_high": (10, 0b11),
    "snow_confidence_none": (12, 0b00), "snow_confidence_low": (12, 0b01), "snow_confidence_high": (12, 0b11),
    "cirrus_confidence_none": (14, 0b00), "cirrus_confidence_low": (14, 0b01),
    "cirrus_confidence_high": (14, 0b11),
}  # fmt: skip
SCL = {
    "no_data": [0], "saturated_or_defective": [1], "dark_area": [2], "cloud_shadow": [3], "vegetation": [4],
    "not_vegetated": [5], "water": [6], "unclassified": [7], "cloud_medium_probability": [8],
    "cloud_high_probability": [9], "cirrus": [10], "snow": [11], "cloud": [8, 9],
}  # fmt: skip
FMASK_BITS = {"cirrus": 0, "cloud": 1, "adjacent_cloud": 2, "cloud_shadow": 3, "snow": 4, "water": 5}
FMASK_PAIRS = {
    "aerosol_climatology": (6, 0b00), "aerosol_low": (6, 0b01), "aerosol_moderate": (6, 0b10),
    "aerosol_high": (6, 0b11),
}  # fmt: skip


def _every(scheme: str) -> np.ndarray:
    return np.arange(SCHEMES[scheme].largest + 1)


@pytest.mark.parametrize(
    ("scheme", "bits", "pairs"),
    [("landsat_qa_pixel", LANDSAT_BITS, LANDSAT_PAIRS), ("hls_fmask", FMASK_BITS, FMASK_PAIRS)],
)
def test_every_bit_of_every_value(scheme, bits, pairs) -> None:
    assert set(SCHEMES[scheme].flags) == {*bits, *pairs}
    values = _every(scheme)
    for name, position in bits.items():
        np.testing.assert_array_equal(flagged(values, scheme, name), values // 2**position % 2 == 1)
    for name, (position, level) in pairs.items():
        np.testing.assert_array_equal(flagged(values, scheme, name), values // 2**position % 4 == level)


def test_every_class_of_the_scene_classification() -> None:
    assert set(SCHEMES["sentinel2_scl"].flags) == set(SCL)
    for name, classes in SCL.items():
        assert np.flatnonzero(flagged(_every("sentinel2_scl"), "sentinel2_scl", name)).tolist() == classes


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        # values that the USGS guide lists for Landsat 8 and 9, with what they mean there
        (1, False),  # fill
        (21_824, True),  # clear, low confidences
        (21_888, True),  # clear water
        (21_762, False),  # dilated cloud over land
        (22_280, False),  # high confidence cloud
        (23_888, False),  # high confidence cloud shadow
        (30_048, True),  # high confidence snow or ice
        (54_596, False),  # high confidence cirrus
    ],
)
def test_landsat_values_of_the_guide(value: int, wanted: bool) -> None:
    assert clear(np.array(value), "landsat_qa_pixel").tolist() is wanted


@pytest.mark.parametrize(
    ("scheme", "wanted"),
    [
        ("sentinel2_scl", [2, 4, 5, 6, 7, 11]),
        ("hls_fmask", [value for value in range(255) if value % 16 == 0]),
        ("landsat_qa_pixel", [value for value in range(65_536) if value % 32 == 0]),
    ],
)
def test_default_drops_clouds_their_surroundings_and_fill(scheme, wanted) -> None:
    assert np.flatnonzero(clear(_every(scheme), scheme)).tolist() == wanted


@pytest.mark.parametrize(("scheme", "fill"), [("sentinel2_scl", [0]), ("hls_fmask", [255]),
                                              ("landsat_qa_pixel", list(range(1, 65_536, 2)))])  # fmt: skip
def test_fill_is_never_clear(scheme, fill) -> None:
    assert np.flatnonzero(~clear(_every(scheme), scheme, drop=[])).tolist() == fill


def test_what_is_dropped_can_be_chosen() -> None:
    values = np.array([4, 6, 9, 11])
    assert clear(values, "sentinel2_scl", drop=["snow", "water"]).tolist() == [True, False, True, False]
    assert Quality(3, scheme="sentinel2_scl", drop=["snow", "snow"]).drop == ("snow",)
    assert Quality(3, scheme="sentinel2_scl", drop=["snow"]).clear(values).tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert Quality("SCL", scheme="sentinel2_scl").recipe() == {
        "band": "SCL",
        "scheme": "sentinel2_scl",
        "drop": ["saturated_or_defective", "cloud_shadow", "cloud", "cirrus"],
    }


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "float32", "float64"])
def test_kinds_of_numbers_and_shapes(kind: str) -> None:
    values = np.array([[[4, 9], [0, 5]]], dtype=kind)
    assert clear(values, "sentinel2_scl").tolist() == [[[True, False], [False, True]]]


def test_what_was_not_read_is_not_clear() -> None:
    values = np.array([21_824, np.nan], dtype=np.float32)
    assert clear(values, "landsat_qa_pixel").tolist() == [True, False]
    assert flagged(values, "landsat_qa_pixel", "cloud_confidence_none").tolist() == [False, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Quality("QA", scheme="landsat_qa"),
            r"scheme='landsat_qa' is not known[\s\S]*'landsat_qa_pixel'",
        ),
        (lambda: clear(np.ones(1), "scl"), r"scheme='scl' is not known[\s\S]*sentinel2_scl"),
        (
            lambda: Quality("QA", scheme="landsat_qa_pixel", drop=["clouds"]),
            r"'landsat_qa_pixel' has no flag 'clouds'[\s\S]*'cloud'",
        ),
        (lambda: clear(np.ones(1), "hls_fmask", drop=["no_data"]), r"no flag 'no_data'[\s\S]*adjacent_cloud"),
        (lambda: flagged(np.ones(1), "sentinel2_scl", "snow_ice"), r"no flag 'snow_ice'[\s\S]*'snow'"),
        (lambda: Quality("QA", scheme="hls_fmask", drop="cloud"), r"drop is text[\s\S]*drop=\['cloud'\]"),
        (lambda: Quality(["a"], scheme="hls_fmask"), r"band=\['a'\] is not one band"),
        (lambda: Quality(True, scheme="hls_fmask"), "band=True is not one band"),
        (
            lambda: clear(np.array([4, 12, 30]), "sentinel2_scl"),
            r"does not have[\s\S]*2 \(12, 30\)[\s\S]*0 to 11",
        ),
        (lambda: clear(np.array([-9999]), "landsat_qa_pixel"), r"-9999[\s\S]*0 to 65535"),
        (lambda: clear(np.array([np.inf]), "hls_fmask"), "quality band holds values"),
        (
            lambda: clear(np.array([4.0, 4.5]), "sentinel2_scl"),
            r"interpolated[\s\S]*1 \(4\.5\)[\s\S]*-r near",
        ),
        (lambda: clear(np.array([True]), "sentinel2_scl"), "not whole numbers"),
    ],
)
def test_bad_input_says_what_to_mend(call, words) -> None:
    with pytest.raises(ImageryError, match=words):
        call()
