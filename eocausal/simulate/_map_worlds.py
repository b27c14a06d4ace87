"""Maps and outcomes drawn together, and what corrections of such maps tend to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Graded", "LinkedDraws", "Population", "Shifted", "World", "heteroscedastic", "mixture"]

_Array = npt.NDArray[np.float64]

# Points of the sums that stand for integrals: over predictions, a normal covariate, normal errors.
_GRID, _COVARIATE_STEPS, _NODES = 2001, 401, 96
_REACH = 9.0
# Of a mixture whose parts 2 and 4 are the treated; the parts' shares, means and SDs of predictions.
_SHARES, _MEANS, _SDS = (0.64, 0.16, 0.16, 0.04), (5.0, 7.2, 13.0, 14.2), (1.0, 2.0, 4.0, 5.0)
_TREATED_PARTS = (1, 3)
# How steeply treatment follows the outcome where errors are heteroscedastic, in SDs of the outcome.
_STEEPNESS = 2.0


@dataclass(frozen=True)
class Population:
    """What a world's map is like in a sample without end.

    ``error_variance`` is that of the outcome about its regression on the prediction, ``slope`` that of the
    regression of the prediction on the outcome. ``naive``, ``lcc`` and ``tweedie`` are what the difference in
    predictions and both corrections tend to, where predictions are recalibrated first and labels are exact.
    """

    true_effect: float
    prediction_variance: float
    outcome_variance: float
    error_variance: float
    slope: float
    naive: float
    lcc: float
    tweedie: float


class World(Protocol):
    """Draws of predictions and outcomes, and their population."""

    def draw(self, draws: LinkedDraws) -> dict[str, _Array]:
        """Return ``prediction``, ``outcome``, ``treatment`` and, where there is one, ``covariate``."""
        ...

    def population(self) -> Population:
        """Return the world's closed forms."""
        ...


@dataclass
class LinkedDraws:
    """Normal numbers that units of a cluster have in common in part; each alone is standard normal."""

    rng: np.random.Generator
    cluster: npt.NDArray[np.int_]
    icc: float

    def normal(self) -> _Array:
        """Return (n,) numbers with a share ``icc`` of their variance between clusters."""
        own = self.rng.normal(size=self.cluster.size)
        return np.asarray(np.sqrt(self.icc) * self.common() + np.sqrt(1 - self.icc) * own)

    def common(self) -> _Array:
        """Return (n,) numbers that are the same within a cluster."""
        return np.asarray(self.rng.normal(size=int(self.cluster.max()) + 1)[self.cluster])


@dataclass(frozen=True)
class Shifted:
    """Treatment moves the outcome (or, with ``surrogate``, the prediction) by ``effect``; errors are normal.

    Half of the variance without treatment is a covariate ``C``, and treatment has probability
    ``1 / (1 + exp(-confounding C))``.
    """

    effect: float
    confounding: float
    variance: float
    error_variance: float | None = None
    proxy_variance: float | None = None
    surrogate: bool = False

    @property
    def _loading(self) -> float:
        return float(np.sqrt(self.variance / 2))

    @property
    def _moved_variance(self) -> float:
        """Variance of what treatment moves, treated and untreated units together."""
        nodes, weights = _standard_normal_steps()
        covariance = float(weights @ (nodes * _chance(self.confounding * nodes)))
        return self.variance + self.effect**2 / 4 + 2 * self.effect * self._loading * covariance

    def _slope_and_error(self) -> tuple[float, float]:
        moved = self._moved_variance
        if self.surrogate:
            error = float(self.error_variance or 0.0)
            return moved / (moved + error), error
        if self.proxy_variance is not None:
            slope = moved / (moved + self.proxy_variance)
            return slope, moved * (1 - slope)
        error = float(self.error_variance or 0.0)
        return (moved - error) / moved, error

    def draw(self, draws: LinkedDraws) -> dict[str, _Array]:
        """Return columns of a sample; units of a cluster share treatment and covariate."""
        from scipy.special import ndtr

        covariate, own = draws.common(), draws.normal()
        treatment = (ndtr(draws.common()) < _chance(self.confounding * covariate)).astype(float)
        moved = self._loading * (covariate + own) + self.effect * treatment
        slope, error = self._slope_and_error()
        if self.surrogate:
            outcome, prediction = moved + np.sqrt(error) * draws.normal(), moved
        else:
            mean = self.effect / 2
            outcome = moved
            prediction = mean + slope * (moved - mean) + np.sqrt(error * slope) * draws.normal()
        return {
            "prediction": prediction,
            "outcome": outcome,
            "treatment": treatment,
            "covariate": covariate,
        }

    def population(self) -> Population:
        """Return closed forms; the limit of Tweedie's correction is an integral over predictions."""
        slope, error = self._slope_and_error()
        moved, mean = self._moved_variance, self.effect / 2
        pulled = 1.0 if self.surrogate else slope
        # of predictions, what is left of errors once outcomes are given
        extra = 0.0 if self.surrogate else error * slope
        nodes, weights = _standard_normal_steps()
        chance = _chance(self.confounding * nodes)
        centres = [mean + pulled * (self._loading * nodes + self.effect * arm - mean) for arm in (1, 0)]
        pooled = _NormalMixture(
            np.concatenate([weights * chance, weights * (1 - chance)]),
            np.concatenate(centres),
            np.full(2 * nodes.size, np.sqrt(pulled**2 * self.variance / 2 + extra)),
        )
        spread = np.sqrt(pulled**2 * self.variance + extra)
        at = np.linspace(-_REACH, _REACH, _GRID)
        normal = np.exp(-(at**2) / 2)
        normal /= normal.sum()
        arms = [mean + pulled * (self.effect * arm - mean) + spread * at for arm in (1, 0)]
        corrected = [float(normal @ (arm - error * pooled.score(arm))) for arm in arms]
        naive = pulled * self.effect
        return Population(
            true_effect=self.effect,
            prediction_variance=pulled**2 * moved + extra,
            outcome_variance=moved + error if self.surrogate else moved,
            error_variance=error,
            slope=slope,
            naive=naive,
            lcc=naive / slope,
            tweedie=corrected[0] - corrected[1],
        )


@dataclass(frozen=True)
class Graded:
    """Outcomes are predictions plus an error; who is treated depends on the outcome and on nothing else.

    That is the same as arms drawn by lot whose outcomes have the distributions of the treated and of the others,
    with predictions that follow from outcomes. ``dispersion`` stretches predictions about their mean.
    """

    predictions: _NormalMixture
    error_variance: Callable[[_Array], _Array] = field(repr=False)
    error_slope: Callable[[_Array], _Array] = field(repr=False)
    grade: Callable[[_Array], _Array] = field(repr=False)
    effect: float
    dispersion: float = 1.0

    def draw(self, draws: LinkedDraws) -> dict[str, _Array]:
        """Return columns of a sample."""
        from scipy.special import ndtr

        part = np.searchsorted(np.cumsum(self.predictions.weights)[:-1], ndtr(draws.normal()))
        calibrated = self.predictions.means[part] + self.predictions.sds[part] * draws.normal()
        outcome = calibrated + np.sqrt(self.error_variance(calibrated)) * draws.normal()
        share, strength = self._share, self.effect / self.largest_effect
        chance = share + strength * (self.grade(outcome) - share)
        treatment = (ndtr(draws.common()) < chance).astype(float)
        mean = float(self.predictions.weights @ self.predictions.means)
        prediction = mean + self.dispersion * (calibrated - mean)
        return {"prediction": prediction, "outcome": outcome, "treatment": treatment}

    @property
    def largest_effect(self) -> float:
        """The contrast of outcomes where treatment follows them as closely as here is possible."""
        return self._contrasts[0]

    def population(self) -> Population:
        """Return closed forms, integrals among them."""
        at, weight = self._grid()
        mean = float(weight @ at)
        _, naive, tweedie = (self.effect / self.largest_effect * contrast for contrast in self._contrasts)
        variance = float(weight @ (at - mean) ** 2)
        error = float(weight @ self.error_variance(at))
        slope = self.dispersion * variance / (variance + error)
        return Population(
            true_effect=self.effect,
            prediction_variance=self.dispersion**2 * variance,
            outcome_variance=variance + error,
            error_variance=error,
            slope=slope,
            naive=self.dispersion * naive,
            lcc=self.dispersion * naive / slope,
            tweedie=tweedie,
        )

    def _grid(self) -> tuple[_Array, _Array]:
        low = float((self.predictions.means - _REACH * self.predictions.sds).min())
        high = float((self.predictions.means + _REACH * self.predictions.sds).max())
        at = np.linspace(low, high, _GRID)
        weight = self.predictions.density(at)
        return at, np.asarray(weight / weight.sum())

    def _errors(self, at: _Array) -> tuple[_Array, _Array]:
        """Return outcomes (m, q) that go with predictions (m,), and their weights (q,)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        return at[:, None] + np.sqrt(self.error_variance(at))[:, None] * nodes, weights / weights.sum()

    @cached_property
    def _share(self) -> float:
        at, weight = self._grid()
        outcomes, chances = self._errors(at)
        return float(weight @ (self.grade(outcomes) @ chances))

    @cached_property
    def _contrasts(self) -> tuple[float, float, float]:
        """Differences between arms of outcomes, predictions and Tweedie's, at the largest effect."""
        at, weight = self._grid()
        outcomes, chances = self._errors(at)
        graded = self.grade(outcomes)
        share = float(weight @ (graded @ chances))
        away = graded - share
        own, by_outcome = away @ chances, (away * outcomes) @ chances
        tweedie = at - self.error_variance(at) * self.predictions.score(at) - self.error_slope(at)
        scale = share * (1 - share)
        return (
            float(weight @ by_outcome) / scale,
            float(weight @ (own * at)) / scale,
            float(weight @ (own * tweedie)) / scale,
        )


def mixture(effect: float, *, error_sd: float, dispersion: float = 1.0) -> Graded:
    """Return the world of four normal parts of which the second and the fourth are the treated."""
    weights, means, sds = (np.array(one) for one in (_SHARES, _MEANS, _SDS))
    wide = np.sqrt(sds**2 + error_sd**2)
    treated = np.isin(np.arange(weights.size), _TREATED_PARTS)

    def grade(outcome: _Array) -> _Array:
        # exponents apart from the largest, for far out all densities are zero
        logs = -(((outcome[..., None] - means) / wide) ** 2) / 2 + np.log(weights / wide)
        parts = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return np.asarray(parts[..., treated].sum(axis=-1) / parts.sum(axis=-1))

    return Graded(
        predictions=_NormalMixture(weights, means, sds),
        error_variance=lambda at: np.full(at.shape, error_sd**2),
        error_slope=np.zeros_like,
        grade=grade,
        effect=effect,
        dispersion=dispersion,
    )


def heteroscedastic(effect: float) -> Graded:
    """Return the world whose errors have variance ``0.3 + 0.15 tanh(u)`` at prediction ``u``, normal itself."""
    from scipy.special import ndtr

    sd = np.sqrt(1.3)
    return Graded(
        predictions=_NormalMixture(np.ones(1), np.zeros(1), np.ones(1)),
        error_variance=lambda at: 0.3 + 0.15 * np.tanh(at),
        error_slope=lambda at: 0.15 / np.cosh(at) ** 2,
        grade=lambda outcome: ndtr(_STEEPNESS * outcome / sd),
        effect=effect,
    )


@dataclass(frozen=True)
class _NormalMixture:
    """A density made of normal parts."""

    weights: _Array
    means: _Array
    sds: _Array

    def density(self, at: _Array) -> _Array:
        apart = (at[:, None] - self.means) / self.sds
        return np.asarray(np.exp(-(apart**2) / 2) @ (self.weights / self.sds))

    def score(self, at: _Array) -> _Array:
        """Return the derivative of the log density at (m,) values."""
        apart = (at[:, None] - self.means) / self.sds
        logs = -(apart**2) / 2
        parts = np.exp(logs - logs.max(axis=1, keepdims=True)) * (self.weights / self.sds)
        return np.asarray(-(parts * apart / self.sds).sum(axis=1) / parts.sum(axis=1))


def _standard_normal_steps() -> tuple[_Array, _Array]:
    nodes = np.linspace(-_REACH, _REACH, _COVARIATE_STEPS)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, np.asarray(weights / weights.sum())


def _chance(index: _Array) -> _Array:
    from scipy.special import expit

    return np.asarray(expit(index))
