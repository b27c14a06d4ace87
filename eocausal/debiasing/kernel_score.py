"""A density by a Gaussian kernel over cells: the ratio of two convolutions, no finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.binning import Binned
from eocausal.debiasing.even_table import CELLS, EvenTable
from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]

BANDWIDTHS = ("silverman", "scott")
# the score is constant beyond the quantiles at this share, or those that this many rows lie beyond
TAIL_SHARE = 0.001
TAIL_ROWS = 5
# and at least the middle half is not constant, however few rows there are
MOST_TAIL = 0.25
# a kernel is 0 so many bandwidths from its middle
REACH = 9.0
# densities under this share of the largest are too thin for a ratio: there the score falls to 0
FLOOR = 1e-10
# a bandwidth has at least so many cells
CELLS_A_BANDWIDTH = 4
# places whose shares of the rows stand for the density in its error: two a bandwidth
FEWEST_PLACES, MOST_PLACES = 24, 120


@dataclass(frozen=True, eq=False)
class KernelDensity:
    """A kernel density, as its score on even points and as shares of rows at places.

    Parameters
    ----------
    bandwidth : float
        Standard deviation of the kernel, in units of the predictions.
    scores : EvenTable
        The score from ``low`` to ``high``, beyond which it is constant.
    by_bandwidth : EvenTable
        Derivative of the score by the logarithm of the bandwidth; 0 where the bandwidth was given.
    first, last : float
        The first and the last of the even places that shares belong to.
    shares : ndarray, shape (places,)
        Of rows, each shared by the two places around it.
    spread : tuple
        What the bandwidth follows: ``("sd", mean, variance)``, ``("iqr", q25, q75, density at q25, at q75)`` or
        ``("given",)``.
    """

    bandwidth: float
    scores: EvenTable
    by_bandwidth: EvenTable
    first: float
    last: float
    shares: FloatArray
    spread: tuple[Any, ...]

    @property
    def low(self) -> float:
        """Where the score becomes constant below."""
        return self.scores.low

    @property
    def high(self) -> float:
        """Where the score becomes constant above."""
        return self.scores.high

    def table(self) -> EvenTable:
        """Return the score and its slope."""
        return self.scores

    def columns(self, places: FloatArray) -> FloatArray:
        """Return the derivative of the score by the shares and the logarithm of the bandwidth (n, places + 1)."""
        inside = np.clip(places, self.low, self.high)
        away = (inside[:, None] - np.linspace(self.first, self.last, self.shares.size)) / self.bandwidth
        kernel = np.exp(-0.5 * away**2)
        density = kernel @ self.shares
        density = density + FLOOR * density.max(initial=1e-300)
        slope = -(away / self.bandwidth) * kernel
        score = (slope @ self.shares) / density
        by_share = (slope - score[:, None] * kernel) / density[:, None]
        return np.column_stack([by_share, self.by_bandwidth.at(inside)])

    def influence(self, sample: FloatArray) -> FloatArray:
        """Return influence values of the shares and of the logarithm of the bandwidth (m, places + 1)."""
        count = self.shares.size
        place = (sample - self.first) * ((count - 1) / (self.last - self.first))
        cell = np.clip(place.astype(np.int64), 0, count - 2)
        within = place - cell
        found = np.zeros((sample.size, count + 1))
        rows = np.flatnonzero((sample >= self.first) & (sample <= self.last))
        found[rows, cell[rows]] = 1 - within[rows]
        found[rows, cell[rows] + 1] = within[rows]
        found[:, :-1] -= self.shares
        found[:, -1] = _INFLUENCE[self.spread[0]](sample, *self.spread[1:])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content: a few thousand numbers, however many rows there were."""
        tables = {
            name: {
                "low": table.low,
                "high": table.high,
                "values": table.values.tolist(),
                "slopes": table.slopes.tolist(),
            }
            for name, table in (("scores", self.scores), ("by_bandwidth", self.by_bandwidth))
        }
        plain = {"bandwidth": self.bandwidth, "first": self.first, "last": self.last}
        return {**plain, "shares": self.shares.tolist(), "spread": list(self.spread), **tables}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> KernelDensity:
        """Rebuild what ``to_dict`` wrote."""
        tables = {
            name: EvenTable(
                content[name]["low"],
                content[name]["high"],
                np.asarray(content[name]["values"], dtype=float),
                np.asarray(content[name]["slopes"], dtype=float),
            )
            for name in ("scores", "by_bandwidth")
        }
        shares, spread = np.asarray(content["shares"], dtype=float), tuple(content["spread"])
        return cls(**{**content, **tables, "shares": shares, "spread": spread})


def fit_kernel(binned: Binned, *, bandwidth: str | float = "silverman") -> KernelDensity | None:
    """Fit a Gaussian kernel density to predictions in cells, and its score where there are rows enough.

    Rows are shared by the two edges of their cell and summed with the kernel and its derivatives by the fast
    Fourier transform; the score is the derivative's sum over the kernel's. The variance that sharing adds is taken
    off the kernel's. Beyond the density's quantiles at 0.001, or five rows where these are more, the
    score is constant.

    Parameters
    ----------
    binned : Binned
        Predictions in cells.
    bandwidth : {"silverman", "scott"} or float
        0.9 times the smaller of the standard deviation and IQR / 1.34, or the standard deviation, times n^(-1/5);
        or the bandwidth itself, in units of the predictions.

    Returns
    -------
    KernelDensity or None
        None where most predictions lie so near to one another, and some so far away, that cells are wider than a
        quarter of the bandwidth by rule.

    Raises
    ------
    DebiasError
        A bandwidth that is no number above 0, or is given and too small for the cells.

    Examples
    --------
    >>> from eocausal.debiasing.binning import bin_values
    >>> draws = np.random.default_rng(0).normal(size=20000)
    >>> fitted = fit_kernel(bin_values(draws))
    >>> bool(np.allclose(fitted.table().at([-1.0, 0.0, 1.0]), [1, 0, -1], atol=0.2))
    True
    """
    chosen, spread = _chosen(binned, bandwidth)
    most = chosen * binned.counts.size / CELLS_A_BANDWIDTH
    if binned.high - binned.low > most:
        if isinstance(bandwidth, str):
            return None
        raise DebiasError(
            explain(
                f"The bandwidth {chosen:.3g} is too small for {binned.low:.4g} to {binned.high:.4g}.",
                rule=f"a range of at most {most:.4g}",
                fix="score='lindsey', or look for places that share one prediction",
            )
        )
    tail = min(max(TAIL_SHARE, TAIL_ROWS / binned.n_effective), MOST_TAIL)
    low, high = _quantiles(binned, chosen, (tail, 1 - tail))
    scores, _ = _score_table(binned, chosen, low, high)
    by_bandwidth = _by_bandwidth(binned, chosen, low, high, scores, given=spread[0] == "given")
    if spread[0] == "iqr":
        spread = (*spread, *_density_at(binned, chosen, spread[1:]))
    shares = _shares(binned, chosen)
    return KernelDensity(chosen, scores, by_bandwidth, binned.low, binned.high, shares, spread)


def _chosen(binned: Binned, bandwidth: str | float) -> tuple[float, tuple[Any, ...]]:
    """Return the bandwidth and what it follows."""
    if not isinstance(bandwidth, str):
        if not (math.isfinite(bandwidth) and bandwidth > 0):
            raise DebiasError(explain(f"bandwidth={bandwidth!r}.", rule="above 0, or silverman or scott"))
        return float(bandwidth), ("given",)
    rate = binned.n_effective**-0.2
    sd = math.sqrt(binned.variance)
    by_sd = ("sd", binned.mean, binned.variance)
    if bandwidth == "scott":
        return sd * rate, by_sd
    q25, q75 = binned.quantile(0.25), binned.quantile(0.75)
    robust = (q75 - q25) / 1.34
    return (0.9 * sd * rate, by_sd) if sd <= robust else (0.9 * robust * rate, ("iqr", q25, q75))


def _sums(binned: Binned, bandwidth: float, orders: int) -> list[FloatArray]:
    """Return the density at the edges of cells and its first derivatives."""
    from scipy import fft

    nodes = binned.nodes() / binned.total
    # rows between two edges, shared by them, vary by a sixth of the squared width of cells more than they do
    narrowed = math.sqrt(bandwidth**2 - binned.width**2 / 6)
    reach = min(math.ceil(REACH * narrowed / binned.width), nodes.size)
    away = np.arange(-reach, reach + 1) * (binned.width / narrowed)
    kernel = np.exp(-0.5 * away**2) / (narrowed * math.sqrt(2 * math.pi))
    kernels = [kernel, -away / narrowed * kernel, (away**2 - 1) / narrowed**2 * kernel]
    length = fft.next_fast_len(nodes.size + 2 * reach, real=True)
    turned = fft.rfft(nodes, length)
    return [
        np.asarray(fft.irfft(turned * fft.rfft(one, length), length)[reach : reach + nodes.size])
        for one in kernels[:orders]
    ]


def _score_table(binned: Binned, bandwidth: float, low: float, high: float) -> tuple[EvenTable, FloatArray]:
    """Return the score with its slope from ``low`` to ``high``, and the density at the edges of cells."""
    density, first, second = _sums(binned, bandwidth, 3)
    held = np.maximum(density, 0.0) + FLOOR * density.max()
    score = first / held
    fine = EvenTable(binned.low, binned.high, score, second / held - score**2)
    grid = np.linspace(low, high, CELLS + 1)
    return EvenTable(low, high, fine.at(grid), fine.slope(grid)), density


def _by_bandwidth(
    binned: Binned, bandwidth: float, low: float, high: float, scores: EvenTable, *, given: bool
) -> EvenTable:
    """Return by how much the score moves with the logarithm of the bandwidth."""
    if given:
        none = np.zeros(2)
        return EvenTable(low, high, none, none)
    step = 1e-3
    wider, _ = _score_table(binned, bandwidth * math.exp(step), low, high)
    tighter, _ = _score_table(binned, bandwidth * math.exp(-step), low, high)
    return EvenTable(
        low, high, (wider.values - tighter.values) / (2 * step), (wider.slopes - tighter.slopes) / (2 * step)
    )


def _quantiles(binned: Binned, bandwidth: float, levels: tuple[float, float]) -> tuple[float, float]:
    """Return quantiles of the smooth density, which do not jump from row to row as weights change."""
    from scipy.special import ndtr

    density = np.maximum(_sums(binned, bandwidth, 1)[0], 0.0)
    edges = np.linspace(binned.low, binned.high, density.size)
    nodes = binned.nodes() / binned.total
    before = binned.below / binned.total + float(nodes @ ndtr((binned.low - edges) / bandwidth))
    steps = (density[1:] + density[:-1]) * (binned.width / 2)
    reached = before + np.concatenate([[0.0], np.cumsum(steps)])
    low, high = np.interp(levels, reached, edges)
    return float(low), float(high)


def _density_at(binned: Binned, bandwidth: float, places: tuple[Any, ...]) -> tuple[float, ...]:
    density = _sums(binned, bandwidth, 1)[0]
    edges = np.linspace(binned.low, binned.high, density.size)
    return tuple(float(np.interp(place, edges, density)) for place in places)


def _shares(binned: Binned, bandwidth: float) -> FloatArray:
    """Return shares of rows at few even places, each row shared by the two around it."""
    width = binned.high - binned.low
    count = int(np.clip(math.ceil(2 * width / bandwidth), FEWEST_PLACES, MOST_PLACES)) + 1
    nodes = binned.nodes() / binned.total
    place = np.linspace(0.0, count - 1.0, nodes.size)
    cell = np.minimum(place.astype(np.int64), count - 2)
    within = place - cell
    shares = np.bincount(cell, nodes * (1 - within), count) + np.bincount(cell + 1, nodes * within, count)
    return np.asarray(shares, dtype=float)


def _by_given(sample: FloatArray) -> FloatArray:
    return np.zeros(sample.size)


def _by_sd(sample: FloatArray, mean: float, variance: float) -> FloatArray:
    """Return influence values of the logarithm of a standard deviation."""
    return ((sample - mean) ** 2 - variance) / (2 * variance)


def _by_iqr(sample: FloatArray, q25: float, q75: float, density25: float, density75: float) -> FloatArray:
    """Return influence values of the logarithm of the distance between the quartiles."""
    upper = (0.75 - (sample <= q75)) / density75
    lower = (0.25 - (sample <= q25)) / density25
    return np.asarray((upper - lower) / (q75 - q25), dtype=float)


_INFLUENCE: dict[str, Callable[..., FloatArray]] = {"given": _by_given, "sd": _by_sd, "iqr": _by_iqr}
