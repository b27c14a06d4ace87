"""`fit_noise`: the variance of the error of predictions, one number or a smooth curve over the predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.debiasing.binning import checked_sample
from eocausal.debiasing.even_table import CELLS, EvenTable
from eocausal.debiasing.spline_basis import spline_columns
from eocausal.debiasing.units_worth import units_worth
from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]

KINDS = ("constant", "spline")
FEWEST_FOR_SPLINE = 100
# quantiles of the predictions at which the curve has its knots
KNOT_SHARES = (0.02, 0.26, 0.5, 0.74, 0.98)
# beyond the quantiles at this share, or those that this many rows lie beyond, the variance is constant
TAIL_SHARE, TAIL_ROWS = 0.001, 5
# knots nearer than this share of their range make cliffs of chance, as of predictions in two heaps
NEAREST_KNOTS = 1e-3
MOST_STEPS = 100


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Variance ``V(u)`` of the error of predictions ``u``, above 0 everywhere, and its slope.

    Parameters
    ----------
    kind : {"constant", "spline"}
        One number, or a curve over the predictions.
    coefficients : ndarray, shape (p,)
        The variance itself; or, for the curve, logarithms at the knots of the variance with label noise in it.
    names : tuple of str
        Of the coefficients.
    low, high : float
        Beyond these predictions the variance is constant.
    knots : ndarray, shape (p,) or (0,)
        Predictions at which the curve has its knots.
    label_noise_var : float
        Variance of the noise in the measured outcomes, which was subtracted.
    scale : float
        What the mean of squared residuals was multiplied with, for degrees of freedom.
    n : int
        Residuals with a weight above 0.

    Examples
    --------
    >>> noise = fit_noise(np.arange(16.0), [2.0, -2.0] * 8)
    >>> noise, noise.at([3.0, 99.0]).tolist(), noise.slope([3.0]).tolist()
    (NoiseModel(constant, n=16, sd 2), [4.0, 4.0], [0.0])
    """

    kind: str
    coefficients: FloatArray
    names: tuple[str, ...]
    low: float
    high: float
    knots: FloatArray
    label_noise_var: float
    scale: float
    n: int

    def at(self, places: npt.ArrayLike) -> FloatArray:
        """Return the variance at predictions of any shape, in squared units of the outcome."""
        return self.table().at(places)

    def slope(self, places: npt.ArrayLike) -> FloatArray:
        """Return the derivative of the variance by the prediction; 0 where the variance is constant."""
        return self.table().slope(places)

    def columns(self, places: npt.ArrayLike) -> FloatArray:
        """Return the derivative of the variance at predictions (n,) by the coefficients (n, p)."""
        array = np.asarray(places, dtype=float).reshape(-1)
        if self.kind == "constant":
            return np.ones((array.size, 1))
        inside = np.clip(array, self.low, self.high)
        columns = spline_columns(self.knots, inside)
        return np.asarray(self._with_labels(columns)[:, None] * columns, dtype=float)

    def slope_columns(self, places: npt.ArrayLike) -> FloatArray:
        """Return the derivative of the variance's slope at predictions (n,) by the coefficients (n, p)."""
        array = np.asarray(places, dtype=float).reshape(-1)
        if self.kind == "constant":
            return np.zeros((array.size, 1))
        inside = np.clip(array, self.low, self.high)
        columns, slopes = (spline_columns(self.knots, inside, order) for order in (0, 1))
        rise = (slopes @ self.coefficients)[:, None]
        found = self._with_labels(columns)[:, None] * (slopes + rise * columns)
        found[inside != array] = 0.0
        return np.asarray(found, dtype=float)

    def influence(
        self, values: npt.ArrayLike, residuals: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> FloatArray:
        """Return influence values (m, p) of the coefficients for the sample (m,) that the noise was fitted to.

        The error of the coefficients is their weighted mean over the sample. Knots and degrees of freedom are held
        as given; that the mean of the residuals is taken off is part of it.
        """
        y, e = (np.asarray(one, dtype=float).reshape(-1) for one in (values, residuals))
        share = np.full(y.size, 1 / y.size) if weights is None else np.asarray(weights, dtype=float)
        share = share / share.sum()
        centred = e - share @ e
        if self.kind == "constant":
            total = self.coefficients[0] + self.label_noise_var
            return np.asarray((self.scale * centred**2 - total)[:, None], dtype=float)
        columns = spline_columns(self.knots, np.clip(y, self.low, self.high))
        total = self._with_labels(columns)
        ratio = self.scale * centred**2 / total
        bend = (columns * (share * ratio)[:, None]).T @ columns
        by_mean = -2 * self.scale * (columns.T @ (share * centred / total))
        moments = columns * (ratio - 1)[:, None] + centred[:, None] * by_mean
        return np.asarray(np.linalg.solve(bend, moments.T).T, dtype=float)

    def table(self) -> EvenTable:
        """Return the variance and its slope at even points."""
        if self.kind == "constant":
            return EvenTable(self.low, self.high, np.repeat(self.coefficients, 2), np.zeros(2))
        grid = np.linspace(self.low, self.high, CELLS + 1)
        columns = spline_columns(self.knots, grid)
        total = self._with_labels(columns)
        slopes = total * (spline_columns(self.knots, grid, 1) @ self.coefficients)
        return EvenTable(self.low, self.high, total - self.label_noise_var, slopes)

    def _with_labels(self, columns: FloatArray) -> FloatArray:
        return np.asarray(np.exp(columns @ self.coefficients), dtype=float)

    def __repr__(self) -> str:
        spread = np.sqrt(self.table().values)
        shown = f"sd {spread[0]:.4g}"
        if self.kind == "spline":
            shown = f"sd {spread.min():.4g} to {spread.max():.4g}"
        return f"NoiseModel({self.kind}, n={self.n:,}, {shown})"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content: no residual of a unit."""
        plain = {
            name: getattr(self, name) for name in ("kind", "low", "high", "label_noise_var", "scale", "n")
        }
        arrays = {"coefficients": self.coefficients.tolist(), "knots": self.knots.tolist()}
        return {"type": "NoiseModel", **plain, **arrays, "names": list(self.names)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> NoiseModel:
        """Rebuild what ``to_dict`` wrote."""
        plain = {name: value for name, value in content.items() if name != "type"}
        arrays = {name: np.asarray(content[name], dtype=float) for name in ("coefficients", "knots")}
        return cls(**{**plain, **arrays, "names": tuple(content["names"])})


def fit_noise(
    values: npt.ArrayLike,
    residuals: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    kind: str = "constant",
    label_noise_var: float = 0.0,
    ddof: int = 0,
) -> NoiseModel:
    """Fit the variance of the error of predictions from residuals, whose mean is taken off.

    Parameters
    ----------
    values : array-like, shape (n,)
        Predictions.
    residuals : array-like, shape (n,)
        Measured outcomes less what predictions say, held out.
    weights : array-like, shape (n,), optional
        Of rows, 0 or above; only their ratios matter.
    kind : {"constant", "spline"}
        ``constant``: the mean of squared residuals. ``spline``: their mean as a smooth curve over the predictions
        whose logarithm is a natural spline with five knots, by quasi-likelihood (variance of a squared residual as
        the square of its mean); straight lines carry the logarithm to the outermost predictions.
    label_noise_var : float
        Variance of the noise in the measured outcomes, which is part of residuals but not of the predictions'
        error; it is subtracted.
    ddof : int
        Coefficients that the residuals are left over from, such as 2 after a fitted line; the variance is
        multiplied with ``n / (n - ddof)``, of weighted rows with the units they are worth.

    Returns
    -------
    NoiseModel

    Raises
    ------
    DebiasError
        Missing values, fewer than ten rows or than 100 for a curve, no residual but 0, or label noise that leaves
        no variance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> u = rng.normal(size=5000)
    >>> noise = fit_noise(u, rng.normal(size=5000) * np.exp(u / 4), kind="spline")
    >>> bool(np.allclose(noise.at([-1.0, 0.0, 1.0]), np.exp([-0.5, 0.0, 0.5]), atol=0.15))
    True
    """
    one_of(kind, KINDS, argument="kind", error=DebiasError)
    y, e, share, worth = _sample(values, residuals, weights)
    if not (math.isfinite(label_noise_var) and label_noise_var >= 0):
        raise DebiasError(explain(f"label_noise_var={label_noise_var!r}.", rule="a variance, 0 or above"))
    if not 0 <= ddof < worth - 1:
        raise DebiasError(
            explain(f"ddof={ddof} with {worth:,.0f} units.", rule="0 or above, under the units")
        )
    scale = worth / (worth - ddof)
    squared = scale * (e - share @ e) ** 2
    low, high = _range(y, share, worth)
    knots, coefficients = _FITS[kind](y, squared, share, (low, high))
    total = float(share @ squared)
    if kind == "constant":
        _require_left(total, total - label_noise_var, label_noise_var)
        coefficients = coefficients - label_noise_var
    names = ("noise",) if kind == "constant" else tuple(f"log noise at {knot:.4g}" for knot in knots)
    model = NoiseModel(kind, coefficients, names, low, high, knots, float(label_noise_var), scale, y.size)
    _require_left(total, float(model.table().values.min()), label_noise_var)
    return model


def _sample(
    values: npt.ArrayLike, residuals: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return predictions, residuals, weights that add up to 1, and the units that rows are worth."""
    if np.shape(values) != np.shape(residuals):
        raise DebiasError(
            explain(
                f"There are {np.size(values):,} predictions and {np.size(residuals):,} residuals.",
                rule="one each",
            )
        )
    y, given = checked_sample(values, weights)
    e, _ = checked_sample(residuals, weights, what="residuals")
    worth = units_worth(y, given)
    share = np.full(y.size, 1 / y.size) if given is None else given / given.sum()
    centred = e - share @ e
    if not np.any(np.abs(centred) > 1e-12 * max(float(np.abs(e).max()), 1e-300)):
        raise DebiasError(
            explain(
                "All residuals are the same: the predictions hold the outcome without error.",
                rule="residuals that differ",
                fix="nothing has to be corrected; check that predictions are not the truth itself",
            )
        )
    return y.astype(float), e.astype(float), share, worth


def _range(values: FloatArray, share: FloatArray, worth: float) -> tuple[float, float]:
    """Return between which predictions the variance may change."""
    tail = max(TAIL_SHARE, min(TAIL_ROWS / worth, 0.05))
    low, high = _quantiles(values, share, (tail, 1 - tail))
    if low < high:
        return float(low), float(high)
    return float(values.min()), float(values.max()) if values.max() > values.min() else float(
        values.min()
    ) + 1.0


def _quantiles(values: FloatArray, share: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Return weighted quantiles that lie between rows too: each value in the middle of its own weight."""
    found, codes = np.unique(values, return_inverse=True)
    weight = np.bincount(codes, share)
    return np.asarray(np.interp(levels, np.cumsum(weight) - weight / 2, found), dtype=float)


def _constant(
    values: FloatArray, squared: FloatArray, share: FloatArray, ends: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    return np.empty(0), np.array([share @ squared])


def _spline(
    values: FloatArray, squared: FloatArray, share: FloatArray, ends: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return knots and logarithms of the mean of squared residuals there, by Newton's steps."""
    if values.size < FEWEST_FOR_SPLINE:
        raise DebiasError(
            explain(
                f"{values.size} residuals are too few for noise='spline'.",
                rule=f"at least {FEWEST_FOR_SPLINE}",
                fix="noise='constant'",
            )
        )
    knots = _quantiles(values, share, KNOT_SHARES)
    if np.diff(knots).min() <= NEAREST_KNOTS * (knots[-1] - knots[0]):
        raise DebiasError(
            explain(
                "Too many predictions share one value, or lie in heaps, for a curve of their noise.",
                where=knots.tolist(),
                rule="quantiles that lie apart at " + ", ".join(f"{level:g}" for level in KNOT_SHARES),
                fix="noise='constant'",
            )
        )
    return knots, _quasi_likelihood(spline_columns(knots, np.clip(values, *ends)), squared, share)


def _quasi_likelihood(columns: FloatArray, squared: FloatArray, share: FloatArray) -> FloatArray:
    """Return coefficients of the logarithm of the mean whose gamma likelihood is the largest."""

    def loss(coefficients: FloatArray) -> float:
        linear = columns @ coefficients
        return float(share @ (linear + squared * np.exp(np.minimum(-linear, 700.0))))

    found = np.full(columns.shape[1], math.log(float(share @ squared)))
    for _ in range(MOST_STEPS):
        ratio = squared * np.exp(-(columns @ found))
        gradient = columns.T @ (share * (ratio - 1))
        bend = (columns * (share * ratio)[:, None]).T @ columns
        step = np.linalg.solve(bend, gradient)
        if float(gradient @ step) < 1e-24:
            return np.asarray(found + step, dtype=float)
        before, size = loss(found), 1.0
        while size > 1e-6 and loss(found + size * step) > before + 1e-13 * (1 + abs(before)):
            size /= 2
        found = found + size * step
    raise DebiasError(explain("The curve of the noise does not settle.", fix="noise='constant'"))


_FITS: dict[str, Callable[..., tuple[FloatArray, FloatArray]]] = {
    "constant": _constant,
    "spline": _spline,
}


def _require_left(total: float, least: float, label_noise_var: float) -> None:
    """Raise where label noise takes all variance, of all residuals or of those at some predictions."""
    if least > 0:
        return
    raise DebiasError(
        explain(
            f"label_noise_var={label_noise_var:g} leaves no variance to the predictions' error: residuals have "
            f"{total:.4g} on average and {least + label_noise_var:.4g} where they have least.",
            rule="label noise under the variance of the residuals, at all predictions",
            fix="a smaller label_noise_var, or noise='constant' where the curve alone falls short",
        )
    )
