"""Clouds found by a trained model instead of a quality band: which pixels are clear.

The model is a library's, or any function from pixels to classes; nothing of it is loaded before it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean, one_of
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import Bools, Pixels

__all__ = ["CLASSES", "LIBRARIES", "CloudModel"]

# From pixels (n, bands, height, width), float32 with NaN where not valid, to classes (n, height, width).
Predictor = Callable[[Pixels], npt.NDArray[Any]]

# A class of a pixel is its place here.
CLASSES = ("clear", "thick_cloud", "thin_cloud", "cloud_shadow")


@dataclass(frozen=True)
class Library:
    """A library that finds clouds.

    Attributes
    ----------
    install : str
        What pip installs it by.
    n_bands : int
        Bands it reads: red, green and near infrared.
    least_px : int
        Smallest side of a picture that it takes.
    pixel_m : tuple of float
        Smallest and largest pixel, in metres, that it is made for.
    start : callable
        From the settings to a predictor.
    """

    install: str
    n_bands: int
    least_px: int
    pixel_m: tuple[float, float]
    start: Callable[[CloudModel], Predictor]


@dataclass(frozen=True)
class CloudModel:
    """A trained model that finds clouds and their shadows, and what of it makes a pixel not valid.

    OmniCloudMask reads red, green and near infrared of any optical sensor with pixels of 5 to 50 m. It scales
    every band of every picture by its own mean and spread, so stored numbers and reflectance do alike. It is
    installed with ``pip install "omnicloudmask>=1.8"`` and fetches its weights when it is first used.

    Parameters
    ----------
    bands : sequence of int or str
        The bands that the model reads, in its order, by 1-based number or by name.
    drop : sequence of {"thick_cloud", "thin_cloud", "cloud_shadow"}
        Classes that make a pixel not valid.
    library : str
        ``omnicloudmask``; with ``predict`` the name by which provenance calls the model.
    version : float
        Version of the library's weights.
    weights : str or Path, optional
        Folder of the weights, where they are put when they are fetched. Default: the library's own.
    device : str, optional
        Where to compute, such as ``cpu`` or ``cuda``. Default: a GPU when there is one.
    predict : callable, optional
        A model of your own: from pixels, float32 (n, bands, height, width) with NaN where not valid, to
        classes, whole numbers (n, height, width): 0 clear, 1 thick cloud, 2 thin cloud, 3 cloud shadow.

    Raises
    ------
    ImageryError
        When the library or a class is unknown, or the bands are not as many as the library reads.

    References
    ----------
    Wright, N., Duncan, J. M. A., Callow, J. N., Thompson, S. E., and George, R. J. (2025). Training
    sensor-agnostic deep learning models for remote sensing: Achieving state-of-the-art cloud and cloud shadow
    identification with OmniCloudMask. Remote Sensing of Environment 322, 114694.

    Examples
    --------
    >>> CloudModel(("B4", "B3", "B8A")).drop
    ('thick_cloud', 'thin_cloud', 'cloud_shadow')

    A model of one's own, here every pixel that is bright in red:

    >>> model = CloudModel(["red"], library="bright_red", predict=lambda pixels: (pixels[:, 0] > 0.5) * 1)
    >>> pixels = np.array([0.1, 0.9, np.nan], dtype=np.float32).reshape(1, 1, 1, 1, 3)
    >>> model.clear(pixels, ~np.isnan(pixels[:, :, 0]), positions=[0]).tolist()
    [[[[True, False, False]]]]
    """

    bands: Sequence[int | str] = ("red", "green", "nir")
    _: KW_ONLY
    drop: Sequence[str] = CLASSES[1:]
    library: str = "omnicloudmask"
    version: float = 4.0
    weights: str | Path | None = None
    device: str | None = None
    predict: Predictor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.predict is None:
            one_of(self.library, list(LIBRARIES), argument="library", error=ImageryError)
        elif not callable(self.predict) or not isinstance(self.library, str) or not self.library:
            rule = "predict is a function of pixels, and library= its name"
            raise ImageryError(explain("The model cannot be called, or has no name.", rule=rule))
        if (
            isinstance(self.bands, (str, int))
            or len(set(self.bands)) < len(self.bands)
            or not len(self.bands)
        ):
            rule = "different bands, such as ('red', 'green', 'nir')"
            raise ImageryError(explain(f"bands={self.bands!r} is not a list of bands.", rule=rule))
        known = LIBRARIES.get(self.library)
        if known is not None and len(self.bands) != known.n_bands:
            rule = f"{self.library} reads {known.n_bands} bands: red, green and near infrared, in this order"
            raise ImageryError(explain(f"bands={list(self.bands)!r} are {len(self.bands)}.", rule=rule))
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "drop", _classes(self.drop))

    def check(self, side: int, *, pixel_m: float | None = None) -> None:
        """Raise ImageryError when chips are too small for the model, or their pixels not of its size.

        Parameters
        ----------
        side : int
            Pixels a side of the chips.
        pixel_m : float, optional
            Metres a side of a pixel.
        """
        known = LIBRARIES.get(self.library)
        if known is None:
            return
        if side < known.least_px:
            text = f"Chips of {side} x {side} pixels are too small for {self.library}."
            fix = "Ask for a larger size_m= or size_px=, or use a quality band: Quality(...)"
            raise ImageryError(
                explain(text, rule=f"at least {known.least_px} x {known.least_px} pixels", fix=fix)
            )
        least, most = known.pixel_m
        if pixel_m is not None and not least <= pixel_m <= most:
            text = f"Pixels of {pixel_m:g} m are not what {self.library} is made for."
            fix = "Use a quality band: Quality(...)"
            raise ImageryError(explain(text, rule=f"{least:g} to {most:g} m", fix=fix))

    def clear(self, pixels: Pixels, mask: Bools, *, positions: Sequence[int]) -> Bools:
        """Return which pixels are valid and none of the classes to drop.

        Parameters
        ----------
        pixels : numpy.ndarray
            float32, shape (n, dates, bands, height, width), NaN where not valid.
        mask : numpy.ndarray
            bool, shape (n, dates, height, width).
        positions : sequence of int
            Where the model's bands are among those of ``pixels``, from 0.

        Returns
        -------
        numpy.ndarray
            bool, shape (n, dates, height, width); False wherever ``mask`` is.

        Raises
        ------
        ImageryError
            When chips are too small, the library is missing or cannot get its weights, or what it returns are
            not classes.
        """
        height, width = mask.shape[-2:]
        self.check(min(height, width))
        frames = pixels[:, :, list(positions)].reshape(-1, len(positions), height, width)
        valid = mask.reshape(-1, height, width)
        some = np.flatnonzero(valid.any(axis=(1, 2)))
        found = np.zeros_like(valid)
        if len(some):
            predict = LIBRARIES[self.library].start(self) if self.predict is None else self.predict
            classes = np.asarray(predict(frames[some]))
            _check_classes(classes, (len(some), height, width), self.library)
            dropped = [CLASSES.index(name) for name in self.drop]
            found[some] = valid[some] & ~np.isin(classes, dropped)
        return found.reshape(mask.shape)

    def recipe(self) -> dict[str, Any]:
        """Return what determines the mask, versions of library and weights among it."""
        about: dict[str, Any] = {"library": self.library, "bands": list(self.bands), "drop": list(self.drop)}
        if self.predict is not None:
            return {
                **about,
                "predict": getattr(self.predict, "__qualname__", type(self.predict).__qualname__),
            }
        try:
            installed = metadata.version(self.library)
        except metadata.PackageNotFoundError as cause:
            raise _missing(self.library) from cause
        return {**about, "library_version": installed, "weights_version": float(self.version)}


def _classes(drop: Sequence[str]) -> tuple[str, ...]:
    if isinstance(drop, str):
        raise ImageryError(explain("drop is text, not a list of classes.", fix=f"drop=[{drop!r}]"))
    for name in drop:
        if name not in CLASSES[1:]:
            text = f"A cloud model has no class {name!r} to drop."
            raise ImageryError(explain(text, fix=did_you_mean(str(name), CLASSES[1:])))
    return tuple(dict.fromkeys(drop))


def _check_classes(classes: npt.NDArray[Any], shape: tuple[int, ...], name: str) -> None:
    """Raise ImageryError when a model returned something that is not one class for every pixel."""
    known = classes.shape == shape and classes.dtype.kind in "iub"
    if not known or (classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < len(CLASSES)):
        among = np.unique(classes)[:8].tolist()
        rule = f"whole numbers of the shape {shape}: " + ", ".join(f"{i} {c}" for i, c in enumerate(CLASSES))
        text = f"{name} returned {classes.dtype} of the shape {classes.shape}, with values {among}."
        raise ImageryError(explain(text, rule=rule))


# Pictures larger than this are predicted in overlapping parts, as the library does by itself.
_PART_PX, _OVERLAP_PX = 1000, 300
# Where more than this share is not valid, the library halves the parts.
_HALVED_ABOVE = 0.3


def _start_omnicloudmask(model: CloudModel) -> Predictor:
    """Return OmniCloudMask as a predictor; each picture is predicted on its own."""
    try:
        library = importlib.import_module("omnicloudmask")
    except ImportError as cause:
        raise _missing("omnicloudmask") from cause
    except RuntimeError as cause:
        fix = "torch and torchvision must be of one build: pip install --force-reinstall torch torchvision"
        text = "omnicloudmask is installed but cannot be imported."
        raise ImageryError(explain(text, rule=str(cause)[:200], fix=fix)) from cause

    def predict(pixels: Pixels) -> npt.NDArray[Any]:
        try:
            return np.stack([one(picture) for picture in pixels])
        except (OSError, ValueError) as cause:
            fix = "At first use it fetches its weights. Offline: weights= a folder that holds them."
            text = "omnicloudmask could not find clouds."
            said = " ".join(str(part)[:200] for part in (cause, cause.__cause__) if part is not None)
            raise ImageryError(explain(text, rule=f"it says: {said}", fix=fix)) from cause

    def one(picture: Pixels) -> npt.NDArray[Any]:
        side = min(picture.shape[1:])
        halved = float(np.isnan(picture).mean()) > _HALVED_ABOVE
        overlap = side // 4 if halved else 0
        found: npt.NDArray[Any] = library.predict_from_array(
            picture,
            patch_size=min(side, _PART_PX),
            patch_overlap=overlap if side <= _PART_PX else _OVERLAP_PX,
            inference_device=model.device,
            no_data_value=float("nan"),
            destination_model_dir=model.weights,
            model_version=model.version,
        )
        classes: npt.NDArray[Any] = found[0]
        return classes

    return predict


def _missing(library: str) -> ImageryError:
    install = LIBRARIES[library].install
    text = f"{library} is not installed."
    return ImageryError(
        explain(text, rule="CloudModel uses it to find clouds", fix=f'pip install "{install}"')
    )


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {"omnicloudmask": Library("omnicloudmask>=1.8", 3, 32, (5.0, 50.0), _start_omnicloudmask)}
)
"""Every library by its name."""
