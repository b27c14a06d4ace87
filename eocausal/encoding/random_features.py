"""Random convolutional features: how strongly a chip answers to small windows cut from other chips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from eocausal.encoding._patches import CANDIDATES, draw_patches, whitened_filters
from eocausal.encoding._windows import mean_over_dates, valid_windows
from eocausal.encoding.protocol import ChipSource, Keys, Mask, Pixels, State, check_input, known_keys
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

# Windows that go into one matrix product: on the CPU the product then stays in cache, on a GPU it fills it.
_POSITIONS = {"cpu": 1024, "cuda": 65_536}


@dataclass(frozen=True)
class RandomFeatures:
    """Random convolutional features (MOSAIKS) of Rolf et al. (2021), written from the paper.

    Small windows are cut at random places from random chips, standardised by band, centred, scaled to unit
    norm, and ZCA-whitened; each is a filter. A chip's features are the means, over all windows of the chip
    that are wholly valid, of ``max(c - bias, 0)`` and of ``max(-c - bias, 0)``, where ``c`` is the response
    to a filter. With several dates the features of each date are averaged. Filters are drawn for each block
    by itself, and only from the chips of the keys they are fitted on.

    Because windows are centred, filters sum to almost nothing: a place that is brighter in all bands alike, by as
    many of their standard deviations, has nearly the same features. One band that is brighter than the others is
    seen. Where brightness itself may matter, put ``image_stats`` beside them.

    Parameters
    ----------
    n_features : int
        Features in each block: two for each filter, filters shared evenly by the patch sizes.
    patch_px : tuple of int
        Sizes of the windows, pixels.
    bias : float
        Subtracted from both halves of the response, in units of the whitened response.
    whitening : float
        Added to the eigenvalues of the covariance of unit-norm windows; positive.
    seed : int
        Seed of the draw. The same seed and set of keys give the same filters.

    Raises
    ------
    EncoderError
        When a setting is out of range.

    References
    ----------
    Rolf, E., Proctor, J., Carleton, T., Bolliger, I., Shankar, V., Ishihara, M., Recht, B. and Hsiang, S.
    (2021). A generalizable and accessible approach to machine learning with global satellite imagery.
    Nature Communications 12, 4392.

    Examples
    --------
    >>> RandomFeatures(n_features=64, patch_px=(3,), seed=1).recipe()["n_features"]
    64
    """

    n_features: int = 512
    patch_px: tuple[int, ...] = (3, 5)
    bias: float = 0.0
    whitening: float = 1e-3
    seed: int = 0
    name: ClassVar[str] = "rcf"

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_px", tuple(self.patch_px))
        sizes = self.patch_px
        step = 2 * max(len(sizes), 1)
        near = max(step, round(self.n_features / step) * step)
        checks = [
            (
                bool(sizes) and len(set(sizes)) == len(sizes) and all(_is_count(size, 2) for size in sizes),
                f"patch_px={sizes!r}",
                "distinct whole numbers of pixels, 2 or more, such as (3, 5)",
            ),
            (
                _is_count(self.n_features, 1) and self.n_features % step == 0,
                f"n_features={self.n_features!r}",
                f"a multiple of {step} (two features a filter, {len(sizes)} patch sizes), such as {near}",
            ),
            (bool(np.isfinite(self.bias)), f"bias={self.bias!r}", "a finite number"),
            (
                bool(np.isfinite(self.whitening)) and self.whitening > 0,
                f"whitening={self.whitening!r}",
                "positive and finite",
            ),
            (_is_count(self.seed, 0), f"seed={self.seed!r}", "a whole number, 0 or more"),
        ]
        for passed, setting, rule in checks:
            if not passed:
                raise EncoderError(explain(f"{setting} cannot be used.", rule=rule))

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like."""
        return {
            "encoder": self.name,
            "n_features": int(self.n_features),
            "patch_px": [int(size) for size in self.patch_px],
            "bias": float(self.bias),
            "whitening": float(self.whitening),
            "windows_per_filter": CANDIDATES,
            "seed": int(self.seed),
        }

    def fit(
        self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu"
    ) -> FittedRandomFeatures:
        """Draw filters from the chips of ``keys`` (default all), reading no others."""
        fit_keys = known_keys(chips, keys)
        per_size = self.n_features // (2 * len(self.patch_px))
        drawn = draw_patches(chips, fit_keys, sizes_px=self.patch_px, filters=per_size, seed=self.seed)
        state: State = {}
        for block, patches in drawn.items():
            state[f"{block}/mean"] = patches.mean.astype(np.float32)
            state[f"{block}/sd"] = patches.sd.astype(np.float32)
            for size in self.patch_px:
                filters = whitened_filters(patches, size, whitening=self.whitening)
                state[f"{block}/filters_{size}"] = filters
        return FittedRandomFeatures(self, state, device)

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedRandomFeatures:
        """Rebuild the fitted encoder of which ``state`` was saved, to the same bits."""
        parts = ("mean", "sd", *(f"filters_{size}" for size in self.patch_px))
        lacking = [
            f"{block}/{part}" for block in chips.blocks for part in parts if f"{block}/{part}" not in state
        ]
        if lacking:
            raise EncoderError(
                explain("The saved filters are not those of this encoder.", where=lacking, fix="fit it again")
            )
        return FittedRandomFeatures(self, dict(state), device)


@dataclass(frozen=True, eq=False)
class FittedRandomFeatures:
    """Random features whose filters are drawn."""

    config: RandomFeatures
    arrays: Mapping[str, npt.NDArray[Any]]
    device: str = "cpu"

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``rcf_960m_000``; feature i and i + d / 2 belong to one filter."""
        count = self.config.n_features
        digits = max(3, len(str(count - 1)))
        return tuple(f"{self.config.name}_{block}_{i:0{digits}d}" for i in range(count))

    def state(self) -> State:
        """Return band moments and filters by block."""
        return dict(self.arrays)

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the features of each chip, shape (n, n_features); chip by chip, whatever the batch."""
        if f"{block}/mean" not in self.arrays:
            fitted = sorted({name.split("/")[0] for name in self.arrays})
            raise EncoderError(
                explain(
                    f"The filters were not drawn for block {block!r}.", fix=f"blocks: {', '.join(fitted)}"
                )
            )
        mean, sd = (self.arrays[f"{block}/{part}"][:, None, None] for part in ("mean", "sd"))
        check_input(pixels, mask, bands=len(mean), encoder=self.config.name)
        filters = self._filters(block)
        width = self.config.n_features

        def row(chip: int) -> npt.NDArray[np.float64]:
            scenes = [
                np.where(valid, (scene - mean) / sd, 0) for scene, valid in zip(pixels[chip], mask[chip])
            ]
            by_date = [self._scene(scene, valid, filters) for scene, valid in zip(scenes, mask[chip])]
            return mean_over_dates(by_date, width)

        rows = _one_thread_a_chip(row, len(pixels)) if self.device == "cpu" else map(row, range(len(pixels)))
        return np.asarray(list(rows), dtype=np.float32).reshape(len(pixels), width)

    def _filters(self, block: str) -> dict[int, Tensor]:
        import torch

        arrays = {size: self.arrays[f"{block}/filters_{size}"] for size in self.config.patch_px}
        return {
            size: torch.tensor(array.reshape(len(array), -1), device=self.device)
            for size, array in arrays.items()
        }

    def _scene(
        self, scene: Pixels, valid: Mask, filters: dict[int, Tensor]
    ) -> npt.NDArray[np.float64] | None:
        """Return the features of one date, or None where a patch size has no valid window."""
        import torch

        image = torch.from_numpy(np.ascontiguousarray(scene, dtype=np.float32)).to(self.device)
        above, below = [], []
        for size, weights in filters.items():
            windows = valid_windows(valid, size) if min(valid.shape) >= size else np.zeros((0, 0), dtype=bool)
            if not windows.any():
                return None
            high, low = pooled_responses(image, weights, windows, bias=self.config.bias)
            above.append(high)
            below.append(low)
        return np.asarray(torch.cat(above + below).cpu().numpy(), dtype=np.float64)


def pooled_responses(image: Tensor, weights: Tensor, windows: Mask, *, bias: float) -> tuple[Tensor, Tensor]:
    """Return the means over valid windows of max(c - bias, 0) and max(-c - bias, 0), each shape (f,).

    The windows of a few rows are laid side by side as columns of a matrix, so that all responses are one
    product. ``sum(max(c - bias, 0))`` is computed as ``sum(max(c, bias)) - count x bias``, which needs no
    second copy of the responses; at bias 0 the other half is that sum less the sum of all responses.

    Parameters
    ----------
    image : Tensor of float32, shape (bands, height, width)
        Standardised pixels; what stands where not valid does not matter as long as it is finite.
    weights : Tensor of float32, shape (f, bands x size x size)
        Filters.
    windows : ndarray of bool, shape (height - size + 1, width - size + 1)
        Windows that are wholly valid.
    bias : float
        Subtracted from both halves.
    """
    import torch

    rows, width = windows.shape
    step = max(1, _POSITIONS[image.device.type] // width)
    columns = _columns(image, rows, width)
    high = torch.zeros(len(weights), dtype=torch.float64, device=image.device)
    low = torch.zeros_like(high)
    total = torch.zeros(weights.shape[1], dtype=torch.float64, device=image.device)
    for start in range(0, rows, step):
        inside = windows[start : start + step].ravel()
        if not inside.any():
            continue
        block = columns[:, :, :, start : start + step].reshape(weights.shape[1], -1)
        if not inside.all():
            block = block[:, torch.from_numpy(inside).to(image.device)]
        responses = weights @ block
        if bias == 0:
            total += block.sum(1)
        else:
            low += responses.clamp(max=-bias).sum(1)
        high += responses.clamp_(min=bias).sum(1)
    count = int(windows.sum())
    if bias == 0:
        low = weights.double() @ total - high
    # Rounding can leave the smallest sums a hair below the zero that bounds them.
    return (high / count - bias).clamp_(min=0), (-low / count - bias).clamp_(min=0)


def _one_thread_a_chip(
    row: Callable[[int], npt.NDArray[np.float64]], count: int
) -> list[npt.NDArray[np.float64]]:
    """Compute rows on as many threads as PyTorch may use, each row on one of them.

    A product for one chip is too small to share: two threads on it were many times slower than one when
    other work ran on the machine.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if min(threads, count) < 2:
            return [row(chip) for chip in range(count)]
        with ThreadPoolExecutor(min(threads, count)) as pool:
            return list(pool.map(row, range(count)))
    finally:
        torch.set_num_threads(threads)


def _columns(image: Tensor, rows: int, width: int) -> Tensor:
    """View an image as (bands, size, size, rows, width): the pixel of each window at each place in it."""
    bands, height = image.shape[:2]
    size = height - rows + 1
    band, south, east = image.stride()
    return image.as_strided((bands, size, size, rows, width), (band, south, east, south, east))


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least
