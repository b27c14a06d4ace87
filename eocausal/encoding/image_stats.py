"""Simple statistics of each band: the floor that every other encoder has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from eocausal.encoding._windows import mean_over_dates, valid_windows
from eocausal.encoding.protocol import ChipSource, Keys, Mask, Pixels, State, check_input
from eocausal.errors import EncoderError, explain

_LOCAL_PX = 3


@dataclass(frozen=True)
class ImageStats:
    """Mean, spread, quantiles and texture of each band over valid pixels.

    Texture is the mean absolute difference of neighbours to the east (``grad_h``) and to the south
    (``grad_v``), over pairs that are both valid, and the mean standard deviation in 3 x 3 windows that are
    wholly valid (``local_sd``). With several dates the statistics of each date are averaged; dates without
    a valid window are left out, and a chip without any is NaN.

    Parameters
    ----------
    quantiles : tuple of float
        Quantiles of each band, between 0 and 1.

    Raises
    ------
    EncoderError
        When a quantile is outside [0, 1] or repeated.

    Examples
    --------
    >>> ImageStats(quantiles=(0.5,)).recipe()
    {'encoder': 'image_stats', 'quantiles': [0.5], 'local_px': 3}
    """

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    name: ClassVar[str] = "image_stats"

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", tuple(float(q) for q in self.quantiles))
        wrong = [q for q in self.quantiles if not 0 <= q <= 1]
        if wrong or len(set(self.quantiles)) < len(self.quantiles):
            raise EncoderError(
                explain(
                    f"quantiles={self.quantiles} cannot be used.",
                    where=wrong,
                    rule="shares between 0 and 1, each once",
                    fix="quantiles=(0.1, 0.5, 0.9)",
                )
            )

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {"encoder": self.name, "quantiles": list(self.quantiles), "local_px": _LOCAL_PX}

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedImageStats:
        """Return the encoder for these bands; nothing is learned, and NumPy computes it on any device."""
        return FittedImageStats(self.quantiles, tuple(chips.bands))

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedImageStats:
        """Return the encoder for these bands; there is no state."""
        return self.fit(chips)


@dataclass(frozen=True)
class FittedImageStats:
    """Image statistics for known bands."""

    quantiles: tuple[float, ...]
    bands: tuple[str, ...]

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``image_stats_960m_red_mean``, band by band."""
        names = [
            "mean",
            "sd",
            *(f"q{100 * q:g}".replace(".", "_") for q in self.quantiles),
            *("grad_h", "grad_v", "local_sd"),
        ]
        return tuple(f"{ImageStats.name}_{block}_{band}_{name}" for band in self.bands for name in names)

    def state(self) -> State:
        """Return nothing: nothing is learned."""
        return {}

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the statistics of each chip, shape (n, bands x statistics)."""
        check_input(pixels, mask, bands=len(self.bands), encoder=ImageStats.name)
        if min(pixels.shape[-2:]) < _LOCAL_PX:
            raise EncoderError(
                explain(
                    f"Chips of block {block!r} are {pixels.shape[-2]} x {pixels.shape[-1]} pixels.",
                    rule=f"texture needs {_LOCAL_PX} x {_LOCAL_PX}",
                    fix="read larger chips (size_m= or size_px=)",
                )
            )
        width = len(self.bands) * (5 + len(self.quantiles))
        rows = [mean_over_dates(list(self._dates(chip, valid)), width) for chip, valid in zip(pixels, mask)]
        return np.asarray(rows, dtype=np.float32).reshape(len(pixels), width)

    def _dates(self, chip: Pixels, mask: Mask) -> Iterator[npt.NDArray[np.float64] | None]:
        for scene, valid in zip(chip, mask):
            windows = valid_windows(valid, _LOCAL_PX)
            yield self._scene(scene.astype(np.float64), valid, windows) if windows.any() else None

    def _scene(self, scene: npt.NDArray[np.float64], valid: Mask, windows: Mask) -> npt.NDArray[np.float64]:
        inside = scene[:, valid]
        mean = inside.mean(axis=1)
        scene = np.where(
            valid, scene - mean[:, None, None], 0.0
        )  # centred, so that squares keep their digits
        east, south = valid[:, 1:] & valid[:, :-1], valid[1:] & valid[:-1]
        statistics = [
            mean,
            inside.std(axis=1),
            *np.quantile(inside, self.quantiles, axis=1),
            np.abs(scene[:, :, 1:] - scene[:, :, :-1])[:, east].mean(axis=1),
            np.abs(scene[:, 1:] - scene[:, :-1])[:, south].mean(axis=1),
            _local_sd(scene)[:, windows].mean(axis=1),
        ]
        return np.stack(statistics, axis=1).ravel()


def _local_sd(scene: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    views = np.lib.stride_tricks.sliding_window_view(scene, (_LOCAL_PX, _LOCAL_PX), axis=(1, 2))
    return np.asarray(views.std(axis=(-2, -1)))
