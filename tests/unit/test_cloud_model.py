"""Clouds found by a model: what becomes not valid, and how the library is called, without its weights."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery import cloud_model
from eocausal.imagery.cloud_model import CLASSES, CloudModel
from tests.scenes import units_on, write_scene


def by_red(pixels: np.ndarray) -> np.ndarray:
    """Read the class from the first band: 1.x is class 1 and so on; NaN is called clear."""
    return np.nan_to_num(pixels[:, 0]).astype(int)


def stand_in(**options) -> CloudModel:
    return CloudModel(["red"], library="by_red", predict=by_red, **options)


def frames(values: list[float], *, bands: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return one chip of one row of pixels, NaN where not valid, and its mask."""
    row = np.array(values, dtype=np.float32)
    pixels = np.broadcast_to(row, (1, 1, bands, 1, len(row))).copy()
    return pixels, ~np.isnan(pixels[:, :, 0])


def test_classes_to_drop_are_not_clear_and_what_is_not_valid_stays_so() -> None:
    pixels, mask = frames([0, 1, 2, 3, np.nan])
    assert stand_in().clear(pixels, mask, positions=[0]).ravel().tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]
    thick = stand_in(drop=["thick_cloud"])
    assert thick.clear(pixels, mask, positions=[0]).ravel().tolist() == [True, False, True, True, False]
    nothing = stand_in(drop=[])
    np.testing.assert_array_equal(nothing.clear(pixels, mask, positions=[0]), mask)


def test_the_model_sees_its_bands_in_its_order_and_only_pictures_with_pixels() -> None:
    seen: list[np.ndarray] = []

    def look(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels)
        return np.zeros((len(pixels), *pixels.shape[2:]), dtype=np.uint8)

    pixels = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 2, 2)
    mask = np.ones((2, 3, 2, 2), dtype=bool)
    mask[0, 1] = False
    pixels[0, 1] = np.nan
    model = CloudModel(["nir", "red"], library="look", predict=look)
    clear = model.clear(pixels, mask, positions=[3, 1])
    np.testing.assert_array_equal(clear, mask)
    expected = [pixels[n, d][[3, 1]] for n, d in [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]]
    np.testing.assert_array_equal(seen[0], expected)
    mask[:] = False
    assert not model.clear(pixels, mask, positions=[3, 1]).any()
    assert len(seen) == 1


class Library(types.ModuleType):
    """What stands in for the library: cloud where red is above 100, and a note of how it was called."""

    def __init__(self) -> None:
        super().__init__("omnicloudmask")
        self.calls: list[dict] = []

    def predict_from_array(self, picture: np.ndarray, **options) -> np.ndarray:
        self.calls.append({"shape": picture.shape, **options})
        return (picture[:1] > 100).astype(np.uint8)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    module = Library()
    monkeypatch.setitem(sys.modules, "omnicloudmask", module)
    return module


def test_the_library_is_called_picture_by_picture(library: Library) -> None:
    pixels = np.full((2, 2, 3, 40, 40), 50, dtype=np.float32)
    pixels[1, 0, 2, :5] = 200
    pixels[0, 1, :, :, :20] = np.nan
    mask = ~np.isnan(pixels[:, :, 0])
    model = CloudModel(("B4", "B3", "B8"), weights="somewhere", device="cpu", version=4.0)
    clear = model.clear(pixels, mask, positions=[2, 1, 0])
    expected = mask.copy()
    expected[1, 0, :5] = False
    np.testing.assert_array_equal(clear, expected)
    common = {"inference_device": "cpu", "destination_model_dir": "somewhere", "model_version": 4.0}
    for call, overlap in zip(library.calls, [0, 10, 0, 0], strict=True):
        # one part a picture; where the library would halve it for lack of pixels, the halves overlap
        assert np.isnan(call.pop("no_data_value"))
        assert call == {"shape": (3, 40, 40), "patch_size": 40, "patch_overlap": overlap, **common}


def test_large_pictures_are_predicted_in_overlapping_parts(library: Library) -> None:
    pixels = np.zeros((1, 1, 3, 1200, 1200), dtype=np.float32)
    assert CloudModel().clear(pixels, np.ones((1, 1, 1200, 1200), bool), positions=[0, 1, 2]).all()
    assert (library.calls[0]["patch_size"], library.calls[0]["patch_overlap"]) == (1000, 300)


def test_the_recipe_holds_versions_or_the_name_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_model.metadata, "version", {"omnicloudmask": "1.8.1"}.__getitem__)
    assert CloudModel(("B4", "B3", "B8A"), drop=["thin_cloud"]).recipe() == {
        "library": "omnicloudmask",
        "bands": ["B4", "B3", "B8A"],
        "drop": ["thin_cloud"],
        "library_version": "1.8.1",
        "weights_version": 4.0,
    }
    assert stand_in().recipe() == {
        "library": "by_red",
        "bands": ["red"],
        "drop": list(CLASSES[1:]),
        "predict": "by_red",
    }


def test_settings_are_frozen_and_named_once() -> None:
    model = stand_in(drop=["thin_cloud", "thin_cloud"])
    assert model.drop == ("thin_cloud",)
    with pytest.raises(AttributeError):
        model.library = "other"
    assert ec.CloudModel is CloudModel


def _clouds(folder: Path) -> Path:
    """Write class in band 1 (thick cloud in columns 10 to 14, shadow in rows 40 to 59) and 7 in band 2."""
    classes = np.zeros((60, 80), dtype="float32")
    classes[:, 10:15], classes[40:] = 1, 3
    return write_scene(folder / "clouds.tif", np.stack([classes, np.full((60, 80), 7, "float32")]))


def test_chips_are_screened_by_the_largest_size(tmp_path: Path) -> None:
    units = units_on([(20, 12), (20, 40), (52, 40), (38, 40), (-500, 0)])
    shapes: list[tuple[int, ...]] = []

    def look(pixels: np.ndarray) -> np.ndarray:
        shapes.append(pixels.shape)
        return by_red(pixels)

    model = CloudModel(["band1"], library="look", predict=look)
    cut = ec.chips(units, _clouds(tmp_path), size_px=[4, 11], quality=model)
    (batch,) = cut.batches()
    assert shapes == [(4, 1, 11, 11)]
    assert batch.pixels["11px"].shape == (5, 1, 2, 11, 11)
    # columns 7 to 17 hold five of cloud; rows 33 to 43 hold four of shadow; 4 px: columns 10 to 13, rows 36 to 39
    np.testing.assert_allclose(batch.valid_fraction["11px"], [6 / 11, 1, 0, 7 / 11, 0])
    np.testing.assert_allclose(batch.valid_fraction["4px"], [0, 1, 0, 1, 0])
    assert batch.status["11px"].tolist() == ["partial", "ok", "cloudy", "partial", "outside"]
    assert batch.status["4px"].tolist() == ["cloudy", "ok", "cloudy", "ok", "outside"]
    for block in ("4px", "11px"):
        mask = batch.mask[block]
        np.testing.assert_array_equal(batch.pixels[block][:, :, 1], np.where(mask, np.float32(7), np.nan))
    assert cut.recipe()["quality"]["library"] == "look"


def test_clouds_are_dropped_day_by_day_before_the_median(tmp_path: Path) -> None:
    days = {"2005-01-01": (0, 10), "2005-02-01": (1, 90), "2005-03-01": (0, 30)}
    files = []
    for day, (cloud, value) in days.items():
        bands = np.stack([np.full((60, 80), cloud, "float32"), np.full((60, 80), value, "float32")])
        files.append(write_scene(tmp_path / f"s_{day}.tif", bands))
    model = CloudModel(["band1"], library="stand_in", predict=by_red)
    scenes = ec.scenes(files, pattern="s_{date:%Y-%m-%d}.tif", quality=model)
    cut = ec.chips(units_on([(30, 40)]), scenes, size_px=4, frames=ec.Frames(["2005"]))
    (batch,) = cut.batches()
    assert (batch.pixels["4px"][0, 0, 1] == 20).all()
    assert batch.observations["4px"].tolist() == [[2.0]]


def test_the_models_bands_must_be_among_those_asked_for(tmp_path: Path) -> None:
    model = CloudModel(["band1"], library="stand_in", predict=by_red)
    with pytest.raises(ImageryError, match=r"band1[\s\S]*bands="):
        ec.chips(units_on([(30, 40)]), _clouds(tmp_path), size_px=4, bands=["band2"], quality=model)


def test_chips_too_small_for_the_library_are_refused_before_reading(tmp_path: Path) -> None:
    pixels = np.ones((3, 60, 80), "float32")
    file = write_scene(tmp_path / "rgb.tif", pixels, descriptions=("red", "green", "nir"))
    with pytest.raises(ImageryError, match="too small for omnicloudmask"):
        ec.chips(units_on([(30, 40)]), file, size_px=16, quality=CloudModel())
