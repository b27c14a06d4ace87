"""A mixture of types fitted from several starts: the best by the bound, and what it says of other images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eocausal.effects.type_gate import log_normalised, log_softmax
from eocausal.effects.type_mixture import (
    Priors,
    State,
    TypeSample,
    bound,
    first_state,
    image_log_likelihoods,
    information,
    joint_log,
    squared_residuals,
    standardised,
    step,
)

FloatArray = npt.NDArray[np.float64]

# Random starts beside the two that look at the data, steps of each before the best go on, and how many these are.
RANDOM_STARTS = 6
FIRST_STEPS = 30
FINALISTS = 2
MOST_STEPS = 2000
# The bound is of all units together, so a gain this small in it is nothing.
ENOUGH = 1e-6
# Draws of the gate that probabilities of types are averaged over.
DRAWS = 400
# How sharply images are parted by predicted effects where the fit starts.
_SHARPNESS = 3.0


@dataclass(frozen=True, eq=False)
class TypeMixture:
    """A fitted mixture, in the unit of the outcome; types are in the order of their effects, the smallest first.

    Attributes
    ----------
    effects, effect_errors : array of shape (K,)
        Posterior mean and SD.
    variances : array of shape (2, K)
        Of the outcome around what is expected of it, by arm and type.
    gate : array of shape (K, q)
    gate_covariance : array of shape (K q, K q)
    memberships : array of shape (J, K)
        Of the images that it was learned from, given their outcomes.
    bounds : tuple of float
        The bound after each step of the fit that was kept.
    starts : tuple of float
        The bound that each start had reached when the finalists were chosen.
    converged : bool
    state, priors
        The fit itself, of standardised outcomes.
    """

    effects: FloatArray
    effect_errors: FloatArray
    variances: FloatArray
    gate: FloatArray
    gate_covariance: FloatArray
    memberships: FloatArray
    bounds: tuple[float, ...]
    starts: tuple[float, ...]
    converged: bool
    state: State
    priors: Priors

    @property
    def types(self) -> int:
        """How many types there are."""
        return int(self.effects.size)

    def probabilities(self, gate: FloatArray, *, seed: int) -> tuple[FloatArray, FloatArray]:
        """Return the probability of each type and its posterior SD for images, each (J, K), from draws of the gate.

        ``gate`` (J, q) are the columns of the images.
        """
        if self.types == 1:
            return np.ones((len(gate), 1)), np.zeros((len(gate), 1))
        values, vectors = np.linalg.eigh(self.gate_covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        half = np.random.default_rng(seed).standard_normal((DRAWS // 2, values.size)) @ root.T
        first, second = np.zeros((len(gate), self.types)), np.zeros((len(gate), self.types))
        # each draw and its mirror image, so that means are exact where probabilities are linear in the gate
        for draw in np.vstack([half, -half]):
            drawn = np.exp(log_softmax(gate, self.gate + draw.reshape(self.gate.shape)))
            first += drawn
            second += drawn**2
        mean = first / DRAWS
        return mean, np.sqrt(np.maximum(second / DRAWS - mean**2, 0.0))

    def image_log_likelihood(self, sample: TypeSample, probability: FloatArray) -> FloatArray:
        """Return the log likelihood (J,) of the outcomes of other images, in their own unit."""
        scale = self.priors.scale
        outcome = (sample.outcome - self.priors.level) / scale
        held = replace(sample, outcome=outcome)
        state = self.state
        squared = squared_residuals(held, state.mean, state.covariance, self.types)
        joint = image_log_likelihoods(held, squared, state.variances) + np.log(
            np.maximum(probability, 1e-300)
        )
        top = joint.max(axis=1)
        total = np.zeros(len(sample.gate))
        np.add.at(total, sample.image, sample.weights)
        return np.asarray(top + np.log(np.exp(joint - top[:, None]).sum(axis=1)) - total * np.log(scale))


def fit_types(sample: TypeSample, types: int, *, seed: int) -> TypeMixture:
    """Fit a mixture of so many types from several starts, and keep the one whose bound is highest.

    Parameters
    ----------
    sample : TypeSample
    types : int
        1 or more.
    seed : int
        Of the random starts.
    """
    sample, priors = standardised(sample)
    if types == 1:
        runs = [_run(sample, priors, np.ones((len(sample.gate), 1)), MOST_STEPS)]
        starts: tuple[float, ...] = (runs[0].bounds[-1],)
    else:
        tried = [_run(sample, priors, one, FIRST_STEPS) for one in _starts(sample, types, seed)]
        starts = tuple(one.bounds[-1] for one in tried)
        best = np.argsort(starts, kind="stable")[::-1][:FINALISTS]
        runs = [_go_on(sample, priors, tried[place], MOST_STEPS) for place in best]
    kept = max(runs, key=lambda one: one.bounds[-1])
    return _in_order(sample, priors, kept, starts)


@dataclass(frozen=True, eq=False)
class _Run:
    state: State
    bounds: tuple[float, ...]
    converged: bool = False


def _run(sample: TypeSample, priors: Priors, memberships: FloatArray, steps: int) -> _Run:
    state = first_state(sample, priors, memberships)
    first = bound(sample, priors, state, joint_log(sample, state))
    return _go_on(sample, priors, _Run(state, (first,)), steps)


def _go_on(sample: TypeSample, priors: Priors, run: _Run, steps: int) -> _Run:
    """Take steps until the bound hardly rises, every third one a leap along the last two where that raises it."""
    state, bounds = run.state, list(run.bounds)
    path = [joint_log(sample, state)]
    for _ in range(steps):
        if len(path) == 3:
            # EM creeps where types overlap
            far = step(sample, priors, state, _beyond(*path))
            joint = joint_log(sample, far)
            reached = bound(sample, priors, far, joint)
            path = path[2:]
            if reached > bounds[-1]:
                state, path = far, [joint]
                bounds.append(reached)
                continue
        state = step(sample, priors, state, path[-1])
        path.append(joint_log(sample, state))
        bounds.append(bound(sample, priors, state, path[-1]))
        if bounds[-1] - bounds[-2] < ENOUGH:
            return _Run(state, tuple(bounds), True)
    return _Run(state, tuple(bounds), False)


def _beyond(first: FloatArray, second: FloatArray, third: FloatArray) -> FloatArray:
    """Return log probabilities (J, K) as far along as three of them in a row point to.

    Squared extrapolation (Varadhan and Roland 2008, Scandinavian Journal of Statistics 35), of log memberships.
    """
    start, then, last = (log_normalised(one) for one in (first, second, third))
    moved = then - start
    bent = last - then - moved
    length = max(float(np.linalg.norm(moved)) / max(float(np.linalg.norm(bent)), 1e-300), 1.0)
    return np.asarray(start + 2 * length * moved + length**2 * bent)


def _starts(sample: TypeSample, types: int, seed: int) -> Iterator[FloatArray]:
    """Yield memberships (J, K) to start from: by a linear effect, by likeness of images, by random directions."""
    rng = np.random.default_rng(seed)
    width = sample.gate.shape[1]
    yield _along(_linear_effects(sample), types)
    yield _alike(sample.gate[:, 1:], types, rng)
    for _ in range(RANDOM_STARTS):
        yield _along(sample.gate[:, 1:] @ rng.standard_normal(width - 1), types)


def _linear_effects(sample: TypeSample) -> FloatArray:
    """Return for each image (J,) the effect by a ridge in which it is linear in the columns of the gate."""
    own = sample.gate[sample.image]
    columns = np.column_stack([sample.columns, sample.treatment[:, None] * own])
    penalty = np.r_[np.where(sample.shrunk, 1.0, 1e-6), 1e-6, np.full(own.shape[1] - 1, 1.0)]
    weighted = columns * sample.weights[:, None]
    size = float(np.sqrt(sample.weights.sum()))
    found = np.linalg.solve(weighted.T @ columns + size * np.diag(penalty), weighted.T @ sample.outcome)
    return np.asarray(sample.gate @ found[sample.columns.shape[1] :])


def _along(index: FloatArray, types: int) -> FloatArray:
    """Return memberships (J, K) of types that follow one another along an index (J,)."""
    ranks = (np.argsort(np.argsort(index, kind="stable"), kind="stable") + 0.5) / index.size
    middles = (np.arange(types) + 0.5) / types
    far = -_SHARPNESS * types * np.abs(ranks[:, None] - middles)
    made = np.exp(far - far.max(axis=1, keepdims=True))
    return np.asarray(made / made.sum(axis=1, keepdims=True))


def _alike(columns: FloatArray, types: int, rng: np.random.Generator) -> FloatArray:
    """Return memberships (J, K) that are near one for the images nearest to one another, by k-means."""
    from scipy.cluster.vq import kmeans2

    if len(columns) < types:
        return _along(columns[:, 0], types)
    _, nearest = kmeans2(columns, types, minit="++", rng=rng, missing="warn")
    made = np.full((len(columns), types), 0.1 / types)
    made[np.arange(len(columns)), nearest] += 0.9
    return made


def _in_order(sample: TypeSample, priors: Priors, run: _Run, starts: tuple[float, ...]) -> TypeMixture:
    """Return the fit in the unit of the outcome, with its types in the order of their effects."""
    state, types = run.state, run.state.memberships.shape[1]
    width = sample.columns.shape[1]
    order = np.argsort(state.mean[width:], kind="stable")
    coefficients = np.r_[np.arange(width), width + order]
    ordered = State(
        state.memberships[:, order],
        state.gate[order],
        state.mean[coefficients],
        state.covariance[np.ix_(coefficients, coefficients)],
        state.variances[:, order],
        state.shrinkage,
    )
    covariance = information(sample, ordered)
    effects = slice(width, width + types)
    return TypeMixture(
        effects=priors.scale * ordered.mean[effects],
        effect_errors=priors.scale * np.sqrt(np.diag(covariance)[effects]),
        variances=priors.scale**2 * ordered.variances,
        gate=ordered.gate,
        gate_covariance=covariance[width + types :, width + types :],
        memberships=ordered.memberships,
        bounds=run.bounds,
        starts=starts,
        converged=run.converged,
        state=ordered,
        priors=priors,
    )
