"""What a cloud model refuses, and the words that tell a user what to do."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from eocausal.errors import ImageryError
from eocausal.imagery.cloud_model import CloudModel

CHIP = np.zeros((1, 1, 3, 40, 40), dtype=np.float32)
VALID = np.ones((1, 1, 40, 40), dtype=bool)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"library": "omnicloudmsk"}, "library='omnicloudmsk' is not known.*Did you mean 'omnicloudmask'"),
        ({"library": "", "predict": len}, "has no name"),
        ({"library": "mine", "predict": "model.pt"}, "cannot be called.*predict is a function"),
        ({"drop": "thin_cloud"}, r"drop is text.*drop=\['thin_cloud'\]"),
        ({"drop": ["thincloud"]}, "no class 'thincloud' to drop.*Did you mean 'thin_cloud'"),
        ({"drop": ["clear"]}, "no class 'clear' to drop"),
        ({"bands": "red"}, "bands='red' is not a list of bands.*'nir'"),
        ({"bands": 3}, "bands=3 is not a list"),
        ({"bands": ()}, r"bands=\(\) is not a list"),
        ({"bands": ("red", "red", "nir")}, "different bands"),
        ({"bands": ("red", "green")}, r"are 2\..*reads 3 bands: red, green and near infrared"),
    ],
)
def test_settings_that_are_wrong(settings, words) -> None:
    with pytest.raises(ImageryError, match=f"(?s){words}"):
        CloudModel(**settings)


def test_chips_that_are_too_small_or_too_coarse_are_refused_with_the_bound() -> None:
    with pytest.raises(
        ImageryError, match=r"31 x 31 pixels are too small[\s\S]*at least 32 x 32[\s\S]*size_m="
    ):
        CloudModel().check(31)
    with pytest.raises(ImageryError, match="too small"):
        CloudModel().clear(CHIP[..., :16, :16], VALID[..., :16, :16], positions=[0, 1, 2])
    for metres in (1.0, 60.0):
        with pytest.raises(ImageryError, match=rf"Pixels of {metres:g} m are not[\s\S]*5 to 50 m"):
            CloudModel().check(64, pixel_m=metres)
    CloudModel().check(32, pixel_m=30)
    CloudModel(["red"], library="mine", predict=len).check(1, pixel_m=1000)


def test_without_the_library_the_line_for_pip_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "omnicloudmask", None)
    line = r'omnicloudmask is not installed[\s\S]*pip install "omnicloudmask>=1.8"'
    with pytest.raises(ImageryError, match=line):
        CloudModel().clear(CHIP, VALID, positions=[0, 1, 2])


def _library(predict) -> types.ModuleType:
    module = types.ModuleType("omnicloudmask")
    module.predict_from_array = predict
    return module


def test_weights_that_cannot_be_fetched_are_told_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(picture, **options):
        try:
            raise ConnectionError("no route to the hub")
        except ConnectionError as cause:
            raise ValueError("Force download failed.") from cause

    monkeypatch.setitem(sys.modules, "omnicloudmask", _library(offline))
    words = r"could not find clouds[\s\S]*Force download failed\. no route to the hub[\s\S]*weights= a folder"
    with pytest.raises(ImageryError, match=words):
        CloudModel().clear(CHIP, VALID, positions=[0, 1, 2])


def test_a_library_that_breaks_on_import_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from eocausal.imagery import cloud_model

    def broken(name: str):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(cloud_model.importlib, "import_module", broken)
    with pytest.raises(ImageryError, match=r"cannot be imported[\s\S]*nms does not exist[\s\S]*of one build"):
        CloudModel().clear(CHIP, VALID, positions=[0, 1, 2])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.zeros((1, 3, 40, 40), dtype=int), r"shape \(1, 3, 40, 40\)[\s\S]*of the shape \(1, 40, 40\)"),
        (np.full((1, 40, 40), 0.5), r"float64[\s\S]*values \[0.5\][\s\S]*whole numbers"),
        (np.full((1, 40, 40), 4), r"values \[4\][\s\S]*3 cloud_shadow"),
        (np.full((1, 40, 40), -1), r"values \[-1\]"),
    ],
)
def test_what_is_not_a_class_for_every_pixel_is_refused(answer, words) -> None:
    model = CloudModel(["red"], library="mine", predict=lambda pixels: answer)
    with pytest.raises(ImageryError, match=rf"mine returned [\s\S]*{words}"):
        model.clear(CHIP, VALID, positions=[0])
