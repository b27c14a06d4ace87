"""`fit_density_score`: the score of the density of predictions, d/du log p(u), with what its error rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.debiasing.binning import Binned, bin_values
from eocausal.debiasing.even_table import EvenTable
from eocausal.debiasing.kernel_score import BANDWIDTHS, KernelDensity, fit_kernel
from eocausal.debiasing.lindsey_score import LEAST_KEPT, MOST_KEPT, LindseyDensity, fit_lindsey
from eocausal.debiasing.repeated_values import Stepped, even_steps, spikes
from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]

KINDS = ("lindsey", "kde", "gaussian")
# under so many units a spline has nothing to hold on to
FEWEST_FOR_SPLINE = 200
# scores that make the correction smaller or larger by more than this share are told
MOST_LOST = 0.1
# a density that is still so high at its end, as a share of its peak, was cut there
HIGH_END = 0.25


class Density(Protocol):
    """A fitted density: where it was seen, and how its score follows its parameters."""

    def columns(self, places: FloatArray) -> FloatArray:
        """Return the derivative of the score by the parameters (n, q)."""
        ...

    def influence(self, sample: FloatArray) -> FloatArray:
        """Return influence values of the parameters (m, q)."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        ...


@dataclass(frozen=True, eq=False)
class GaussianDensity:
    """A normal density: its score is a straight line, inside the range that was seen and beyond.

    Examples
    --------
    >>> GaussianDensity(1.0, 4.0).columns(np.array([3.0])).tolist()
    [[0.25, 0.125]]
    """

    mean: float
    variance: float

    def columns(self, places: FloatArray) -> FloatArray:
        """Return the derivative of the score by mean and variance (n, 2)."""
        return np.column_stack(
            [np.full(places.size, 1 / self.variance), (places - self.mean) / self.variance**2]
        )

    def influence(self, sample: FloatArray) -> FloatArray:
        """Return influence values of mean and variance (m, 2)."""
        away = sample - self.mean
        return np.column_stack([away, away**2 - self.variance])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {"mean": self.mean, "variance": self.variance}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GaussianDensity:
        """Rebuild what ``to_dict`` wrote."""
        return cls(**content)


@dataclass(frozen=True, eq=False)
class DensityScore:
    """The score of a density of predictions: how steeply its logarithm rises.

    Parameters
    ----------
    kind : {"lindsey", "kde", "gaussian"}
        What was fitted.
    asked : {"lindsey", "kde", "gaussian"}
        What was asked for; another kind than ``kind`` where units were too few for it.
    n : int
        Predictions with a weight above 0.
    n_effective : float
        Equally weighted units that carry as much information.
    mean, sd : float
        Of the predictions, in their units; ``sd`` without a correction for small samples.
    low, high : float
        Where predictions were seen; beyond, the scores of ``lindsey`` and ``kde`` are constant.
    df : int or None
        Degrees of freedom of Lindsey's spline.
    misfit : float or None
        Its misfit to the counts, about 1 where it fits, told where it is above 1.5.
    bandwidth : float or None
        Of the kernel, in units of the predictions.
    kept : float
        Minus the mean of the score times the distance from the mean, which is 1 for the score of any density that
        vanishes at its ends. With noise of variance ``V`` in predictions of variance ``v``, corrected predictions
        rise by ``(v + kept V) / (v + V)`` with the truth: what smoothing leaves of Tweedie's correction.
    warnings : tuple of str
        What a reader of results must know.
    density : object
        The fitted density.

    Examples
    --------
    >>> score = fit_density_score(np.random.default_rng(0).normal(10, 2, size=4000), kind="gaussian")
    >>> score
    DensityScore(gaussian, n=4,000, mean 9.97, sd 2)
    >>> score.at([6.0, 10.0]).round(2).tolist(), score.slope([6.0]).round(2).tolist()
    ([1.0, -0.01], [-0.25])
    """

    kind: str
    asked: str
    n: int
    n_effective: float
    mean: float
    sd: float
    low: float
    high: float
    df: int | None
    misfit: float | None
    bandwidth: float | None
    kept: float
    warnings: tuple[str, ...]
    density: Density
    _scores: EvenTable | None

    @property
    def table(self) -> tuple[FloatArray, FloatArray]:
        """Even points from ``low`` to ``high`` and the scores there, to draw or to keep."""
        if self._scores is not None:
            return self._scores.grid, self._scores.values
        grid = np.linspace(self.low, self.high, 101)
        return grid, self.at(grid)

    def at(self, places: npt.ArrayLike) -> FloatArray:
        """Return the score at places of any shape, one over the units of the predictions."""
        if self._scores is not None:
            return self._scores.at(places)
        return -(np.asarray(places, dtype=float) - self.mean) / self.sd**2

    def slope(self, places: npt.ArrayLike) -> FloatArray:
        """Return the derivative of the score at places of any shape; 0 where the score is constant."""
        if self._scores is not None:
            return self._scores.slope(places)
        array = np.asarray(places, dtype=float)
        return np.where(np.isnan(array), np.nan, -1 / self.sd**2)

    def inside(self, places: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which places lie where predictions were seen."""
        array = np.asarray(places)
        return np.asarray((array >= self.low) & (array <= self.high))

    def columns(self, places: npt.ArrayLike) -> FloatArray:
        """Return the derivative of the score at places (n,) by the parameters of the density (n, q).

        These are values of the logarithm of the density at the knots for ``lindsey`` (df + 1 of them, up to a
        constant), mean and variance for ``gaussian``, and for ``kde`` shares of rows at up to 121 places with the
        logarithm of the bandwidth; of those columns a million rows fill a gigabyte.
        """
        return self.density.columns(np.asarray(places, dtype=float).reshape(-1))

    def influence(self, sample: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
        """Return influence values (m, q) of the parameters for the sample (m,) that the density was fitted to.

        The error of the parameters is the mean of these over the sample, with the weights of the fit. Which
        degrees of freedom, range and knots were taken is held as given. ``weights`` change nothing here: a row
        moves the parameters as its weight times its influence value.
        """
        return self.density.influence(np.asarray(sample, dtype=float).reshape(-1))

    def __repr__(self) -> str:
        extra = "" if self.df is None else f", df {self.df}"
        extra += "" if self.bandwidth is None else f", bandwidth {self.bandwidth:.3g}"
        return f"DensityScore({self.kind}, n={self.n:,}, mean {self.mean:.4g}, sd {self.sd:.3g}{extra})"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content: no prediction of a unit."""
        content: dict[str, Any] = {"type": "DensityScore", **{name: getattr(self, name) for name in _PLAIN}}
        return {**content, "warnings": list(self.warnings), "density": self.density.to_dict()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> DensityScore:
        """Rebuild what ``to_dict`` wrote."""
        density = _KINDS[content["kind"]].from_dict(content["density"])
        plain = {
            name: value for name, value in content.items() if name not in ("type", "warnings", "density")
        }
        return cls(**plain, warnings=tuple(content["warnings"]), density=density, _scores=_table_of(density))


_PLAIN = (
    "kind", "asked", "n", "n_effective", "mean", "sd", "low", "high", "df", "misfit", "bandwidth", "kept",
)  # fmt: skip
_KINDS: dict[str, type[LindseyDensity] | type[KernelDensity] | type[GaussianDensity]] = {
    "lindsey": LindseyDensity,
    "kde": KernelDensity,
    "gaussian": GaussianDensity,
}


def fit_density_score(
    values: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    kind: str = "lindsey",
    df: int | None = None,
    bins: int = 120,
    bandwidth: str | float = "silverman",
) -> DensityScore:
    """Fit the score of the density of predictions, one pass over them for any kind.

    Parameters
    ----------
    values : array-like, shape (n,)
        Predictions, float32 or float64; of both arms together.
    weights : array-like, shape (n,), optional
        Of rows, 0 or above; only their ratios matter.
    kind : {"lindsey", "kde", "gaussian"}
        ``lindsey`` (default): Poisson regression of counts on a natural spline (Lindsey 1974; Efron 2010,
        Large-Scale Inference). ``kde``: Gaussian kernel over cells. ``gaussian``: a straight line through the mean.
        Where units are under 200 (``lindsey`` without ``df``), a tenth of the weight is at one value, there are
        fewer than 20 values or no spline follows the density, it is ``gaussian`` and says so.
    df : int, optional
        Degrees of freedom of the spline; by default 7, and up to 15 while it misses the counts. In a bootstrap give
        the ``df`` of the first fit, because repeated rows look like misfit.
    bins : int
        Bins that Lindsey's method counts in, 30 to 1,000.
    bandwidth : {"silverman", "scott"} or float
        Of the kernel: 0.9 min(sd, IQR / 1.34) n^(-1/5), sd n^(-1/5) as scipy has it, or a number.

    Returns
    -------
    DensityScore

    Raises
    ------
    DebiasError
        Predictions that are missing, infinite, constant or fewer than ten; weights or settings that are none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mixed = np.concatenate([rng.normal(-2, 1, 5000), rng.normal(2, 1, 5000)])
    >>> score = fit_density_score(mixed)
    >>> score.kind, score.at([-4.0, 4.0]).round(1).tolist()
    ('lindsey', [2.2, -2.1])
    """
    one_of(kind, KINDS, argument="kind", error=DebiasError)
    whole_number(bins, argument="bins", error=DebiasError, least=30)
    if bins > 1000:
        raise DebiasError(explain(f"bins={bins}.", rule="at most 1000"))
    if isinstance(bandwidth, str):
        one_of(bandwidth, BANDWIDTHS, argument="bandwidth", error=DebiasError)
    binned = bin_values(values, weights, bins=bins)
    if kind == "gaussian":
        return _gaussian(binned, asked=kind)
    # who gives df has seen that a spline fits, as where rows of a first sample are drawn again
    if kind == "lindsey" and df is None and binned.n_effective < FEWEST_FOR_SPLINE:
        few = f"{binned.n_effective:,.0f} units are too few for a spline (it takes {FEWEST_FOR_SPLINE})."
        return _straight(binned, few, asked=kind)
    refused, told = spikes(binned, values, weights)
    steps = even_steps(binned, values, weights, bins=bins) or Stepped(binned, bins, "", ())
    if refused or steps.refused:
        return _straight(binned, refused or steps.refused, asked=kind)
    warnings = (*told, *steps.warnings, *_told(binned))
    if kind == "kde":
        return _kernel(binned, bandwidth, warnings)
    return _lindsey(steps, df, warnings)


def _lindsey(steps: Stepped, df: int | None, warnings: tuple[str, ...]) -> DensityScore:
    binned = steps.binned
    fitted = fit_lindsey(binned, df=df, bins=steps.bins)
    plain = None
    if fitted is not None:
        plain = _plain(binned, "lindsey", "lindsey", fitted.density, binned.low, binned.high)
    if fitted is None or plain is None or _lost(plain):
        why = f"No spline follows the density of the predictions from {binned.low:.4g} to {binned.high:.4g}."
        return _straight(binned, why, asked="lindsey", warnings=warnings)
    return replace(
        plain, df=fitted.df, misfit=fitted.misfit, warnings=(*warnings, *fitted.warnings, *plain.warnings)
    )


def _straight(binned: Binned, why: str, *, asked: str, warnings: tuple[str, ...] = ()) -> DensityScore:
    """Return the score of a normal density in place of what was asked for."""
    told = (
        f"{why} The density of the predictions is taken as normal: Tweedie's correction is a straight line."
    )
    return replace(_gaussian(binned, asked=asked), warnings=(told, *warnings))


def _kernel(binned: Binned, bandwidth: str | float, warnings: tuple[str, ...]) -> DensityScore:
    fitted = fit_kernel(binned, bandwidth=bandwidth)
    plain = None if fitted is None else _plain(binned, "kde", "kde", fitted, fitted.low, fitted.high)
    if fitted is None or plain is None or _lost(plain):
        why = f"No kernel follows the density of the predictions from {binned.low:.4g} to {binned.high:.4g}."
        return _straight(binned, why, asked="kde", warnings=warnings)
    return replace(plain, bandwidth=fitted.bandwidth, warnings=(*warnings, *plain.warnings))


def _lost(score: DensityScore) -> bool:
    """Say whether a score would turn Tweedie's correction round, or make it far too large, over the cells."""
    return not LEAST_KEPT < score.kept < MOST_KEPT


def _gaussian(binned: Binned, *, asked: str) -> DensityScore:
    density = GaussianDensity(binned.mean, binned.variance)
    return _plain(binned, "gaussian", asked, density, binned.smallest, binned.largest)


def _plain(binned: Binned, kind: str, asked: str, density: Any, low: float, high: float) -> DensityScore:
    scores = _table_of(density)
    kept = 1.0 if scores is None else _kept(binned, scores)
    return DensityScore(
        kind=kind,
        asked=asked,
        n=binned.n,
        n_effective=binned.n_effective,
        mean=binned.mean,
        sd=float(np.sqrt(binned.variance)),
        low=low,
        high=high,
        df=None,
        misfit=None,
        bandwidth=None,
        kept=kept,
        warnings=_told_of_kept(kept, kind),
        density=density,
        _scores=scores,
    )


def _table_of(density: Any) -> EvenTable | None:
    """Return the table that scores are looked up in; a straight line needs none."""
    return None if isinstance(density, GaussianDensity) else density.table()


def _kept(binned: Binned, scores: EvenTable) -> float:
    """Return minus the mean of the score times the distance from the mean, over what lies within the cells."""
    weights = binned.nodes()
    places = np.linspace(binned.low, binned.high, weights.size)
    mean = float(weights @ places / weights.sum())
    return -float(weights @ (scores.at(places) * (places - mean)) / weights.sum())


def _told_of_kept(kept: float, kind: str) -> tuple[str, ...]:
    if abs(kept - 1) <= MOST_LOST:
        return ()
    fix = "; score='lindsey' keeps more" if kind == "kde" and kept < 1 else ""
    return (
        f"With this score Tweedie's correction has {kept:.0%} of its size{fix}: the density is smoothed, or stops "
        "at a bound.",
    )


def _told(binned: Binned) -> tuple[str, ...]:
    """Return what the cells show that Tweedie's formula does not allow for."""
    told = []
    beyond = (binned.below + binned.above) / binned.total
    if beyond > 0:
        told.append(
            f"{beyond:.2%} of the predictions lie far beyond most others (outside {binned.low:.6g} to "
            f"{binned.high:.6g}) and have no part in the density: its score is constant there. Look for "
            "fill values."
        )
    told.extend(_cut_ends(binned))
    return tuple(told)


def _cut_ends(binned: Binned) -> list[str]:
    heights = np.add.reduceat(binned.counts, np.arange(0, binned.counts.size, binned.counts.size // 40))[:40]
    ends = {"lower": (heights[0], binned.low), "upper": (heights[-1], binned.high)}
    return [
        f"The density of the predictions is high at its {name} end ({place:.6g}: {height / heights.max():.0%} of "
        "its peak): they seem to stop at a bound, and Tweedie's correction is biased near it."
        for name, (height, place) in ends.items()
        if height > HIGH_END * heights.max()
    ]
