"""A world in which officials act on a pattern in pictures, and the same pattern moves the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.errors import ImageryError, UnitsError, explain
from eocausal.units import Units, read_units

__all__ = ["KernelWorld", "gaussian_naive_bias", "simulate_kernel_confounding"]

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]

WIDTHS_PX = (1, 2, 4, 8, 16, 32)
"""Widths of kernels in the published design."""

_MARGIN_PX = max(WIDTHS_PX) // 2
_POOLS = ("max", "mean", "centre")
# Pictures are convolved so many at once, so that memory does not grow with the number of units.
_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class KernelWorld:
    """Units, their pictures, and all that is hidden from an analyst.

    Attributes
    ----------
    units : Units
        ``unit``, ``income_before`` (the tabular covariate), ``treated`` and ``outcome``, and the truth that no
        analysis may use: ``confounder`` (what the kernel sees) and ``propensity`` (the probability of treatment).
    pixels : ndarray of float32, shape (n, 1, size, size)
        One picture for each unit in the order of ``units``, ready for :func:`eocausal.chips_from_arrays`.
    kernel_px : int
        Width of the kernel that officials see.
    pool : str
        How its answers over a picture become one number.
    true_ate : float
        The effect, the same for all units.
    naive_bias : float
        Bias of the difference in means if the confounder were normal; see :func:`gaussian_naive_bias`.
    """

    units: Units
    pixels: Pixels = field(repr=False)
    kernel_px: int
    pool: str
    true_ate: float
    naive_bias: float

    def feature(self, kernel_px: int, *, coarsen_px: int = 1) -> Floats:
        """Return what an analyst sees who looks with a kernel of some width, at some resolution.

        Parameters
        ----------
        kernel_px : int
            Width of the kernel in pixels of the pictures, at most 32. The world's own, at full resolution,
            gives back the confounder.
        coarsen_px : int
            Pictures are first averaged over squares of so many pixels; the kernel then is
            ``kernel_px / coarsen_px`` coarse pixels wide, rounded down, at least one.

        Returns
        -------
        ndarray, shape (n,)
            Pooled as the world pools, mean 0 and SD 1 over units.
        """
        width = _width(kernel_px)
        step = whole_number(coarsen_px, argument="coarsen_px", error=ImageryError, least=1)
        side = self.pixels.shape[2]
        if side % step:
            raise ImageryError(
                explain(
                    f"Pictures of {side} pixels cannot be averaged over squares of {step}.",
                    rule="coarsen_px divides the side of a picture",
                )
            )
        shape = (len(self.pixels), side // step, step, side // step, step)
        coarse = self.pixels[:, 0].reshape(shape).mean(axis=(2, 4))
        return _seen(coarse, max(1, width // step), pool=self.pool, margin=_MARGIN_PX // step)


def simulate_kernel_confounding(
    textures: npt.NDArray[Any] | Sequence[npt.NDArray[Any]] | None = None,
    *,
    n_units: int = 500,
    size_px: int = 128,
    kernel_px: int = 8,
    pool: str = "max",
    effect: float = 1.0,
    tabular: float = 0.0,
    noise_sd: float = 0.1,
    seed: int = 1,
) -> KernelWorld:
    """Draw a world whose treatment and outcome both follow a pattern in pictures.

    The pattern is an anti-diagonal stripe ``kernel_px`` wide. With ``U`` how strongly a picture answers to it
    (mean 0, SD 1), ``X`` a covariate, and ``e`` and ``v`` noise, treatment has probability
    ``sigmoid(U + tabular X + e)`` and the outcome is ``U + tabular X + effect x treated + v``. Who adjusts for a
    stripe of another width, or of coarser pictures, adjusts for something else.

    Parameters
    ----------
    textures : ndarray or list of ndarray, optional
        What pictures are cut from: arrays (rows, columns) of one band, or one array (scenes, rows, columns).
        Squares are taken at random places, where no pixel is NaN; they may overlap. Default: noise smoothed by
        a Gaussian of one pixel, new for each unit.
    n_units : int
        At least 20.
    size_px : int
        Side of a picture; at least 40, and a multiple of 8.
    kernel_px : int
        Width of the stripe, from 1 to 32. The published design has 1, 2, 4, 8, 16 and 32.
    pool : {"max", "mean", "centre"}
        The strongest answer in a picture, the average, or the answer at its centre (a picture around each pixel:
        the design without pooling). Answers within 16 pixels of the edge do not count.
    effect : float
        The true effect.
    tabular : float
        How much the covariate ``income_before`` moves treatment and outcome beside the picture; 0: not at all.
    noise_sd : float
        SD of ``e`` and of ``v``.
    seed : int
        Pictures, and all that is not ``U``, are the same for the same seed whatever the kernel.

    Returns
    -------
    KernelWorld

    Raises
    ------
    ImageryError
        When sizes do not fit, or textures have no square without missing pixels or show nothing.
    UnitsError
        When there are too few units.

    Notes
    -----
    The design is that of Jerzak, Johansson and Daoud (2023), Integrating Earth Observation Data into Causal
    Inference, arXiv 2301.12985: kernel, standardisation, pooling and noise as described there.

    Examples
    --------
    >>> import eocausal as ec
    >>> world = ec.simulate_kernel_confounding(n_units=60, size_px=40, kernel_px=2, seed=3)
    >>> world.pixels.shape
    (60, 1, 40, 40)
    >>> chips = ec.chips_from_arrays(world.units, world.pixels)
    >>> table = world.units.frame.assign(pattern=world.feature(kernel_px=2)).set_index("unit")
    >>> design = ec.Design(table, outcome="outcome", treatment="treated", covariates=["pattern"])
    >>> round(ec.ate(design, method="regression").estimate, 1)
    1.0
    """
    _check(n_units, size_px, kernel_px, pool)
    _check_numbers(effect=effect, tabular=tabular, noise_sd=noise_sd)
    whole_number(seed, argument="seed", error=UnitsError)
    for_pictures, for_units = np.random.default_rng(seed).spawn(2)
    pictures = (
        _smooth_noise(for_pictures, n_units, size_px)
        if textures is None
        else _cut(for_pictures, textures, n_units, size_px)
    )
    pictures = ((pictures - pictures.mean()) / (0.01 + pictures.std())).astype(np.float32)
    confounder = _seen(pictures, kernel_px, pool=pool, margin=_MARGIN_PX)
    covariate = for_units.standard_normal(n_units)
    common = confounder + tabular * covariate
    propensity = 1 / (1 + np.exp(-common - noise_sd * for_units.standard_normal(n_units)))
    treated = (for_units.uniform(size=n_units) < propensity).astype(int)
    outcome = common + effect * treated + noise_sd * for_units.standard_normal(n_units)
    table = pd.DataFrame(
        {
            "unit": np.arange(n_units),
            "income_before": covariate,
            "treated": treated,
            "outcome": outcome,
            "confounder": confounder,
            "propensity": propensity,
        }
    )
    pictures.flags.writeable = False
    return KernelWorld(
        units=read_units(table, id="unit", image_key="unit"),
        pixels=pictures[:, None],
        kernel_px=int(kernel_px),
        pool=pool,
        true_ate=float(effect),
        naive_bias=gaussian_naive_bias(noise_sd=noise_sd, tabular=tabular),
    )


def gaussian_naive_bias(*, noise_sd: float = 0.1, tabular: float = 0.0) -> float:
    """Return the bias of the difference in means where the confounder is normal.

    By Stein's lemma it is ``4 s E[p (1 - p)]`` with ``p = sigmoid(V)``, ``V`` normal with variance
    ``s + noise_sd^2``, and ``s = 1 + tabular^2`` the variance of what moves both treatment and outcome.

    Parameters
    ----------
    noise_sd : float
        SD of what else moves treatment.
    tabular : float
        Slope of the covariate.

    Returns
    -------
    float

    Examples
    --------
    >>> round(gaussian_naive_bias(), 6), round(gaussian_naive_bias(noise_sd=0), 6)
    (0.825239, 0.826484)
    """
    common = 1 + tabular**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    share = 1 / (1 + np.exp(-nodes * np.sqrt(common + noise_sd**2)))
    return float(4 * common * np.average(share * (1 - share), weights=weights))


def stripe_kernel(width: int) -> Floats:
    """Return the anti-diagonal stripe of some width: of sum 0 and unit-like norm beyond one pixel."""
    kernel = np.fliplr(np.eye(width))
    if width == 1:
        return kernel
    spread = np.sqrt(0.001 + kernel.var() * width**2)
    return np.asarray((kernel - kernel.mean()) / spread)


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        finite = isinstance(value, (int, float, np.number)) and np.isfinite(value)
        if not finite or (name == "noise_sd" and value < 0):
            rule = "a finite number" + (", not negative" if name == "noise_sd" else "")
            raise UnitsError(explain(f"{name}={value!r}.", rule=rule))


def _check(n_units: int, size_px: int, kernel_px: int, pool: str) -> None:
    whole_number(n_units, argument="n_units", error=UnitsError, least=20)
    whole_number(size_px, argument="size_px", error=ImageryError, least=40)
    _width(kernel_px)
    one_of(pool, _POOLS, argument="pool", error=ImageryError)
    rules = (
        (size_px % 8 == 0, f"size_px={size_px}", "a multiple of 8, so that pictures can be made coarser"),
    )
    for passed, what, rule in rules:
        if not passed:
            raise ImageryError(explain(f"{what} cannot be used.", rule=rule))


def _width(kernel_px: int) -> int:
    width = whole_number(kernel_px, argument="kernel_px", error=ImageryError, least=1)
    if width > max(WIDTHS_PX):
        raise ImageryError(
            explain(f"kernel_px={kernel_px} cannot be used.", rule=f"at most {max(WIDTHS_PX)} pixels")
        )
    return width


def _smooth_noise(rng: np.random.Generator, n_units: int, size: int) -> Pixels:
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal((n_units, size, size), dtype=np.float32)
    return np.asarray(gaussian_filter(noise, sigma=(0, 1, 1), mode="wrap"), dtype=np.float32)


def _cut(
    rng: np.random.Generator,
    textures: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    n_units: int,
    size: int,
) -> Pixels:
    """Return squares at random places of random scenes, without missing pixels."""
    scenes = _scenes(textures)
    corners = [_whole_squares(scene, size) for scene in scenes]
    usable = [position for position, found in enumerate(corners) if len(found)]
    if not usable:
        shapes = ", ".join(sorted({f"{scene.shape[0]} x {scene.shape[1]}" for scene in scenes}))
        raise ImageryError(
            explain(
                f"No texture holds a square of {size} pixels without missing ones; they are of {shapes}.",
                fix="a smaller size_px=, or larger textures",
            )
        )
    pictures = np.empty((n_units, size, size), dtype=np.float32)
    for unit, position in enumerate(rng.choice(usable, size=n_units)):
        row, column = corners[position][rng.integers(len(corners[position]))]
        pictures[unit] = scenes[position][row : row + size, column : column + size]
    if np.ptp(pictures) == 0:
        raise ImageryError(
            explain("The textures are of one value, so pictures show nothing.", rule="pixels that differ")
        )
    return pictures


def _scenes(textures: npt.NDArray[Any] | Sequence[npt.NDArray[Any]]) -> list[Pixels]:
    one = isinstance(textures, np.ndarray) and textures.ndim == 2
    scenes = [np.asarray(scene) for scene in ([textures] if one else textures)]
    wrong = [
        position for position, scene in enumerate(scenes) if scene.ndim != 2 or scene.dtype.kind not in "fiub"
    ]
    if wrong or not scenes:
        raise ImageryError(
            explain(
                "Textures are not arrays of one band.",
                where=wrong,
                rule="numbers of shape (rows, columns), or (scenes, rows, columns)",
                fix="with rasterio.open(path) as file: textures = [file.read(1, masked=True).filled(nan)]",
            )
        )
    return [scene.astype(np.float32) for scene in scenes]


def _whole_squares(scene: Pixels, size: int) -> npt.NDArray[np.intp]:
    """Return the corners (k, 2) of squares without missing pixels."""
    if min(scene.shape) < size:
        return np.empty((0, 2), dtype=np.intp)
    missing = np.zeros((scene.shape[0] + 1, scene.shape[1] + 1), dtype=np.int64)
    missing[1:, 1:] = (~np.isfinite(scene)).cumsum(axis=0).cumsum(axis=1)
    within = missing[size:, size:] - missing[:-size, size:] - missing[size:, :-size] + missing[:-size, :-size]
    return np.argwhere(within == 0)


def _seen(pictures: Pixels, width: int, *, pool: str, margin: int) -> Floats:
    """Return the pooled answer of each picture to the stripe, with mean 0 and SD 1 over pictures."""
    from scipy.signal import oaconvolve

    kernel = stripe_kernel(width).astype(np.float32)[None]
    inside = slice(margin, pictures.shape[1] - margin)
    answers = []
    for start in range(0, len(pictures), _AT_ONCE):
        part = oaconvolve(pictures[start : start + _AT_ONCE], kernel, mode="same", axes=(1, 2))
        answers.append(_pooled(part[:, inside, inside], pool))
    found = np.concatenate(answers).astype(np.float64)
    if found.std() < 1e-9:
        raise ImageryError(
            explain(f"No picture differs from the others in what a kernel of {width} pixels sees.")
        )
    return np.asarray((found - found.mean()) / found.std())


def _pooled(answers: Pixels, pool: str) -> npt.NDArray[Any]:
    if pool == "centre":
        return answers[:, answers.shape[1] // 2, answers.shape[2] // 2]
    return np.asarray(answers.max(axis=(1, 2)) if pool == "max" else answers.mean(axis=(1, 2)))
