"""A mixture of types of images with effects of their own, fitted by variational EM. Pure arrays.

An image has a latent type. Units of type k have outcomes ``mu0 + noise`` without treatment and ``mu0 + effect_k +
noise`` with it, ``mu0`` a Bayesian ridge in the columns and the variance of the noise one for each arm, or for each
arm and type. All units of an image share its type, so their likelihoods multiply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.effects.type_gate import curvature, fit_gate, gate_precision, log_normalised, log_softmax

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Prior SD of the effect of a type around its centre, in SDs of the outcome.
EFFECT_SD = 1.0
# Variances are learned as if so many units had been seen in each arm of each type, with the variance of their arm.
SEEN_BEFORE = 10.0
# The precision of a coefficient that nothing shrinks, and the squared slope of a column seen before any other.
_FREE = 1e-6
_SLOPE = 0.01


@dataclass(frozen=True, eq=False)
class TypeSample:
    """What types are learned from: units, and the images that they share.

    Attributes
    ----------
    outcome, treatment, weights : array of shape (n,)
        Weights count: 2 is the same as two rows.
    columns : array of shape (n, p)
        What the outcome without treatment depends on; the first is 1.
    shrunk : bool array of shape (p,)
        Whose coefficients are.
    image : array of shape (n,)
        Code of the unit's image, 0 to J - 1.
    gate : array of shape (J, q)
        What types depend on; the first column is 1, the others have unit variance.
    centre : float
        What effects are expected to be near, in the unit of the outcome.
    by_type : bool
        Whether types differ in variances too, and not in effects alone.
    """

    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    columns: FloatArray
    shrunk: npt.NDArray[np.bool_]
    image: Codes
    gate: FloatArray
    centre: float
    by_type: bool = True


class Priors(NamedTuple):
    """Means and scales that the sample itself suggests; ``variances`` (2,) are those of the arms."""

    level: float
    scale: float
    variances: FloatArray


@dataclass(frozen=True, eq=False)
class State:
    """What is believed at one step, of outcomes that are standardised.

    Attributes
    ----------
    memberships : array of shape (J, K)
        Probability of each image's type given its features and the outcomes of its units.
    gate : array of shape (K, q)
    mean : array of shape (p + K,)
        Coefficients of the columns, then effects of types.
    covariance : array of shape (p + K, p + K)
    variances : array of shape (2, K)
        By arm and type.
    shrinkage : float
        Precision of the coefficients that are shrunk.
    """

    memberships: FloatArray
    gate: FloatArray
    mean: FloatArray
    covariance: FloatArray
    variances: FloatArray
    shrinkage: float


def standardised(sample: TypeSample) -> tuple[TypeSample, Priors]:
    """Return the sample with an outcome of mean 0 and SD 1, and what its priors are."""
    share = sample.weights / sample.weights.sum()
    level = float(share @ sample.outcome)
    scale = float(np.sqrt(share @ (sample.outcome - level) ** 2)) or 1.0
    outcome = (sample.outcome - level) / scale
    made = replace(sample, outcome=outcome, centre=sample.centre / scale)
    return made, Priors(level, scale, one_type_variances(made))


def one_type_variances(sample: TypeSample) -> FloatArray:
    """Return the variance of what one type leaves unexplained, in each arm (2,)."""
    variances = np.ones((2, 1))
    alone = np.ones((len(sample.gate), 1))
    shrinkage = 1.0
    for _ in range(10):
        mean, covariance = coefficients_given(sample, alone, variances, shrinkage)
        squared = squared_residuals(sample, mean, covariance, 1)[:, 0]
        for arm in (0, 1):
            weight = sample.weights * (sample.treatment == arm)
            variances[arm] = max(float(weight @ squared / weight.sum()), 1e-6)
        shrinkage = shrinkage_given(sample, mean, covariance)
    return variances[:, 0]


def coefficients_given(
    sample: TypeSample, memberships: FloatArray, variances: FloatArray, shrinkage: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean and covariance of the coefficients of the columns and the effects of types.

    Given how likely each image is of each type it is a normal regression with weights, in closed form.
    """
    arm = sample.treatment.astype(int)
    each = sample.weights[:, None] * memberships[sample.image] / variances[arm]
    treated = each * sample.treatment[:, None]
    columns, width = sample.columns, sample.columns.shape[1]
    centre, prior = prior_of(sample, memberships.shape[1], shrinkage)
    precision = np.diag(prior)
    of_unit = each @ np.ones(each.shape[1])
    precision[:width, :width] += (columns * of_unit[:, None]).T @ columns
    precision[:width, width:] = columns.T @ treated
    precision[width:, :width] = precision[:width, width:].T
    precision[width:, width:] += np.diag(treated.sum(axis=0))
    with_outcome = np.r_[columns.T @ (of_unit * sample.outcome), treated.T @ sample.outcome]
    covariance = np.linalg.inv(precision)
    covariance = (covariance + covariance.T) / 2
    return covariance @ (with_outcome + prior * centre), covariance


def prior_of(sample: TypeSample, types: int, shrinkage: float) -> tuple[FloatArray, FloatArray]:
    """Return prior mean and precision (p + K,) of coefficients and effects."""
    centre = np.r_[np.zeros(sample.shrunk.size), np.full(types, sample.centre)]
    precision = np.r_[np.where(sample.shrunk, shrinkage, _FREE), np.full(types, EFFECT_SD**-2)]
    return centre, precision


def shrinkage_given(sample: TypeSample, mean: FloatArray, covariance: FloatArray) -> float:
    """Return the precision of the shrunk coefficients that suits their expected squares."""
    own = np.flatnonzero(sample.shrunk)
    squares = float((mean[own] ** 2 + covariance[own, own]).sum())
    return (own.size + 1) / (squares + _SLOPE)


def squared_residuals(sample: TypeSample, mean: FloatArray, covariance: FloatArray, types: int) -> FloatArray:
    """Return the expected squared residual (n, K) of each unit were it of each type."""
    gap, spread = residuals(sample, mean, types), spread_of(sample, covariance, types)
    return np.asarray(gap**2 + spread)


def residuals(sample: TypeSample, mean: FloatArray, types: int) -> FloatArray:
    """Return the outcome less what is expected of each unit were it of each type (n, K)."""
    width = sample.columns.shape[1]
    level = sample.columns @ mean[:width]
    effects = mean[width : width + types]
    return np.asarray((sample.outcome - level)[:, None] - sample.treatment[:, None] * effects)


def spread_of(sample: TypeSample, covariance: FloatArray, types: int) -> FloatArray:
    """Return the variance (n, K) of what is expected of each unit were it of each type."""
    columns, treatment = sample.columns, sample.treatment[:, None]
    width = columns.shape[1]
    own = np.einsum("ij,ij->i", columns @ covariance[:width, :width], columns)[:, None]
    mixed = 2 * treatment * (columns @ covariance[:width, width : width + types])
    return np.asarray(own + mixed + treatment * np.diag(covariance)[width : width + types])


def image_log_likelihoods(sample: TypeSample, squared: FloatArray, variances: FloatArray) -> FloatArray:
    """Return the log likelihood (J, K) of all units of an image were it of each type."""
    of_unit = variances[sample.treatment.astype(int)]
    each = -0.5 * sample.weights[:, None] * (np.log(2 * np.pi * of_unit) + squared / of_unit)
    return sum_by_image(each, sample)


def sum_by_image(values: FloatArray, sample: TypeSample) -> FloatArray:
    """Return the sums (J, d) over the units of each image of values (n, d)."""
    images = len(sample.gate)
    return np.column_stack([np.bincount(sample.image, column, images) for column in values.T])


def first_state(sample: TypeSample, priors: Priors, memberships: FloatArray) -> State:
    """Return a state whose images have the given memberships (J, K)."""
    types = memberships.shape[1]
    variances = np.repeat(priors.variances[:, None], types, axis=1)
    gate = np.zeros((types, sample.gate.shape[1]))
    return _learned(sample, priors, memberships, gate=gate, variances=variances, shrinkage=1.0)


def joint_log(sample: TypeSample, state: State) -> FloatArray:
    """Return the expected log probability (J, K) of each type together with the outcomes of its image."""
    squared = squared_residuals(sample, state.mean, state.covariance, state.memberships.shape[1])
    return image_log_likelihoods(sample, squared, state.variances) + log_softmax(sample.gate, state.gate)


def step(sample: TypeSample, priors: Priors, state: State, joint: FloatArray) -> State:
    """Return the next state: types given all else, then all else given types; the bound never falls.

    ``joint`` (J, K) is :func:`joint_log` of the state, which its bound needs too.
    """
    memberships = np.exp(log_normalised(joint))
    return _learned(
        sample, priors, memberships, gate=state.gate, variances=state.variances, shrinkage=state.shrinkage
    )


def _learned(
    sample: TypeSample,
    priors: Priors,
    memberships: FloatArray,
    *,
    gate: FloatArray,
    variances: FloatArray,
    shrinkage: float,
) -> State:
    """Learn gate, coefficients, shrinkage and variances, each the best for the bound given the others."""
    types, width = memberships.shape[1], sample.gate.shape[1]
    if types > 1:
        gate = fit_gate(sample.gate, memberships, gate, gate_precision(width))
    mean, covariance = coefficients_given(sample, memberships, variances, shrinkage)
    squared = squared_residuals(sample, mean, covariance, types)
    each = sample.weights[:, None] * memberships[sample.image]
    variances = np.empty((2, types))
    for arm in (0, 1):
        own = each * (sample.treatment == arm)[:, None]
        errors = SEEN_BEFORE * priors.variances[arm] + (own * squared).sum(axis=0)
        units = SEEN_BEFORE + own.sum(axis=0)
        variances[arm] = errors / units if sample.by_type else errors.sum() / units.sum()
    return State(memberships, gate, mean, covariance, variances, shrinkage_given(sample, mean, covariance))


def bound(sample: TypeSample, priors: Priors, state: State, joint: FloatArray) -> float:
    """Return the lower bound of the log probability of outcomes and of what is learned at its mode.

    Expected log likelihood of outcomes and types (``joint``), entropy of the types, divergence of the coefficients
    from their prior, and log priors of gate, variances and shrinkage, up to constants.
    """
    types = state.memberships.shape[1]
    known = np.where(state.memberships > 0, state.memberships, 1.0)
    value = float((state.memberships * (joint - np.log(known))).sum())
    value -= 0.5 * float((gate_precision(sample.gate.shape[1]) * state.gate**2).sum())
    centre, precision = prior_of(sample, types, state.shrinkage)
    far = state.mean - centre
    value -= 0.5 * float(precision @ (far**2 + np.diag(state.covariance)))
    value += 0.5 * float(np.log(precision).sum() + np.linalg.slogdet(state.covariance)[1])
    value += 0.5 * (np.log(state.shrinkage) - _SLOPE * state.shrinkage)
    ratio = priors.variances[:, None] / state.variances
    return float(value - 0.5 * SEEN_BEFORE * (np.log(state.variances) + ratio).sum())


def information(sample: TypeSample, state: State) -> FloatArray:
    """Return the covariance of coefficients, effects and gate (p + K + Kq,), by Laplace's method at the mode.

    What would be known of them were types seen, less what is lost because they are not (Louis 1982, Journal of the
    Royal Statistical Society B 44). No direction is left with less precision than its prior has.
    """
    types = state.memberships.shape[1]
    probability = np.exp(log_softmax(sample.gate, state.gate))
    precision = gate_precision(sample.gate.shape[1])
    if types == 1:
        return state.covariance
    size, own = state.mean.size, state.gate.size
    complete = np.zeros((size + own, size + own))
    complete[:size, :size] = np.linalg.inv(state.covariance)
    complete[size:, size:] = curvature(sample.gate, probability, precision)
    slopes = np.concatenate([_outcome_slopes(sample, state), _gate_slopes(sample, probability)], axis=2)
    slopes = slopes - np.einsum("jk,jkd->jd", state.memberships, slopes)[:, None]
    weighted = (slopes * np.sqrt(state.memberships)[:, :, None]).reshape(-1, size + own)
    _, of_mean = prior_of(sample, types, state.shrinkage)
    scale = np.sqrt(np.r_[of_mean, np.tile(precision, types)])
    relative = (complete - weighted.T @ weighted) / np.outer(scale, scale)
    values, vectors = np.linalg.eigh((relative + relative.T) / 2)
    found = (vectors / np.maximum(values, 1.0)) @ vectors.T
    return np.asarray(found / np.outer(scale, scale))


def _outcome_slopes(sample: TypeSample, state: State) -> FloatArray:
    """Return by image and type how the log likelihood moves with coefficients and effects (J, K, p + K)."""
    types, width = state.memberships.shape[1], sample.columns.shape[1]
    pull = residuals(sample, state.mean, types) / state.variances[sample.treatment.astype(int)]
    pull *= sample.weights[:, None]
    found = np.zeros((len(sample.gate), types, width + types))
    for one in range(types):
        found[:, one, :width] = sum_by_image(sample.columns * pull[:, one, None], sample)
        found[:, one, width + one] = np.bincount(
            sample.image, sample.treatment * pull[:, one], len(sample.gate)
        )
    return found


def _gate_slopes(sample: TypeSample, probability: FloatArray) -> FloatArray:
    """Return by image and type how the log probability of the type moves with the gate (J, K, K q)."""
    types = probability.shape[1]
    pull = np.eye(types)[None] - probability[:, None]
    made = pull[:, :, :, None] * sample.gate[:, None, None, :]
    return np.asarray(made.reshape(len(sample.gate), types, -1))
