"""The mixture of types: closed forms, a bound that rises, an independent maximum, its covariance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special, stats

from eocausal.effects import type_fit
from eocausal.effects.type_fit import fit_types
from eocausal.effects.type_gate import LOGIT_SD, fit_gate, gate_objective, gate_precision, log_softmax
from eocausal.effects.type_mixture import (
    EFFECT_SD,
    SEEN_BEFORE,
    Priors,
    State,
    TypeSample,
    bound,
    coefficients_given,
    first_state,
    image_log_likelihoods,
    information,
    joint_log,
    standardised,
    step,
)

TRUE = (0.0, 2.0)


def sample(
    seed: int = 0, *, units: int = 400, images: int = 100, width: int = 3, noise: float = 1.0
) -> TypeSample:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, width))
    image = np.arange(units) % images
    kind = rng.random(images) < special.expit(2 * features[:, 0])
    treatment = (rng.random(units) < 0.5).astype(float)
    gate = np.column_stack([np.ones(images), (features - features.mean(axis=0)) / features.std(axis=0)])
    outcome = 1 + 0.5 * gate[image, -1] + np.where(kind, TRUE[1], TRUE[0])[image] * treatment
    outcome = outcome + noise * rng.normal(size=units)
    shrunk = np.arange(width + 1) > 0
    return TypeSample(outcome, treatment, np.ones(units), gate[image], shrunk, image, gate, 1.0)


def level_only(
    outcome: np.ndarray, treatment: np.ndarray, image: np.ndarray, *, centre: float = 0.0
) -> TypeSample:
    images = int(image.max()) + 1
    ones = np.ones((outcome.size, 1))
    gate = np.column_stack([np.ones(images), np.linspace(-1, 1, images)])
    return TypeSample(outcome, treatment, np.ones(outcome.size), ones, np.array([False]), image, gate, centre)


def test_with_one_type_and_a_level_the_effect_is_a_normal_posterior() -> None:
    outcome = np.array([1.0, 2.0, 3.0, 6.0, 4.0, 8.0])
    treatment = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    asked = level_only(outcome, treatment, np.arange(6), centre=-1.0)
    variances = np.array([[0.5], [2.0]])
    mean, covariance = coefficients_given(asked, np.ones((6, 1)), variances, 1.0)
    # a free level leaves the difference in means, 4, with variance 0.5 / 3 + 2 / 3; the prior is N(-1, 1)
    error = 0.5 / 3 + 2.0 / 3
    precision = 1 / error + EFFECT_SD**-2
    assert mean[1] == pytest.approx((4 / error - 1) / precision, rel=1e-5)
    assert covariance[1, 1] == pytest.approx(1 / precision, rel=1e-5)


def test_with_one_type_it_is_a_bayesian_ridge() -> None:
    asked = sample(1)
    variances, shrinkage = np.array([[0.7], [1.3]]), 5.0
    mean, covariance = coefficients_given(asked, np.ones((100, 1)), variances, shrinkage)
    # least squares on rows scaled by their SD, with rows more for the prior
    rows = np.column_stack([asked.columns, asked.treatment])
    scale = np.sqrt(variances[asked.treatment.astype(int), 0])
    prior = np.sqrt(np.r_[1e-6, np.full(3, shrinkage), EFFECT_SD**-2])
    stacked = np.vstack([rows / scale[:, None], np.diag(prior)])
    target = np.r_[asked.outcome / scale, prior * np.r_[np.zeros(4), asked.centre]]
    expected = np.linalg.lstsq(stacked, target, rcond=None)[0]
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    np.testing.assert_allclose(covariance, np.linalg.inv(stacked.T @ stacked), rtol=1e-8)


def test_with_types_that_are_known_each_effect_is_a_weighted_normal_posterior() -> None:
    rng = np.random.default_rng(2)
    image = np.arange(40) // 4
    treatment = np.tile([0.0, 1.0], 20)
    outcome = rng.normal(size=40) + treatment * (image % 2) * 3
    known = np.eye(2)[np.arange(10) % 2]
    variances = np.array([[1.0, 1.0], [0.5, 2.0]])
    asked = level_only(outcome, treatment, image)
    mean, _ = coefficients_given(asked, known, variances, 1.0)
    level = mean[0]
    for number, variance in enumerate((0.5, 2.0)):
        own = (image % 2 == number) & (treatment == 1)
        weight = own.sum() / variance
        posterior = weight * (outcome[own] - level).mean() / (weight + EFFECT_SD**-2)
        assert mean[1 + number] == pytest.approx(posterior, rel=1e-9)


@pytest.mark.parametrize("by_type", [True, False])
@pytest.mark.parametrize("types", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bound_never_falls(seed: int, types: int, by_type: bool) -> None:
    rng = np.random.default_rng(seed)
    asked, priors = standardised(replace(sample(seed, noise=2.0), by_type=by_type))
    asked = replace(asked, weights=rng.uniform(0.5, 2.0, 400))
    state = first_state(asked, priors, rng.dirichlet(np.ones(types), 100))
    bounds = []
    for _ in range(40):
        joint = joint_log(asked, state)
        bounds.append(bound(asked, priors, state, joint))
        state = step(asked, priors, state, joint)
    assert np.diff(bounds).min() > -1e-9 * abs(bounds[-1])
    assert bounds[-1] > bounds[0]


@pytest.fixture(scope="module")
def settled() -> tuple[TypeSample, Priors, State]:
    asked, priors = standardised(sample(3))
    state = first_state(asked, priors, np.random.default_rng(0).dirichlet(np.ones(2), 100))
    for _ in range(2000):
        state = step(asked, priors, state, joint_log(asked, state))
    return asked, priors, state


@pytest.mark.parametrize("part", ["mean", "covariance", "variances", "shrinkage", "memberships", "gate"])
def test_no_small_change_of_a_fit_raises_its_bound(
    settled: tuple[TypeSample, Priors, State], part: str
) -> None:
    asked, priors, state = settled
    reached = bound(asked, priors, state, joint_log(asked, state))
    rng = np.random.default_rng(1)
    for _ in range(20):
        value = np.asarray(getattr(state, part))
        if part in ("mean", "gate"):
            moved = value + 0.02 * rng.normal(size=value.shape)
        elif part == "memberships":
            moved = 0.95 * value + 0.05 * rng.dirichlet(np.ones(2), 100)
        else:
            moved = value * float(np.exp(rng.choice([-0.05, 0.05])))
        other = replace(state, **{part: float(moved) if part == "shrinkage" else moved})
        assert bound(asked, priors, other, joint_log(asked, other)) < reached


def _log_posterior(theta: np.ndarray, asked: TypeSample, arms: np.ndarray, shrinkage: float) -> float:
    """The exact log posterior of two types, one image a row, written without the package."""
    level, slope, first, second = theta[:4]
    variances = np.exp(theta[4:8]).reshape(2, 2)
    gate = theta[8:].reshape(2, 2)
    x, w, y = asked.gate[:, 1], asked.treatment.astype(int), asked.outcome
    effects = np.array([first, second])
    logits = gate[:, 0] + np.outer(x, gate[:, 1])
    logs = special.log_softmax(logits, axis=1)
    for kind in (0, 1):
        where = level + slope * x + effects[kind] * w
        logs[:, kind] += stats.norm.logpdf(y, where, np.sqrt(variances[w, kind]))
    value = special.logsumexp(logs, axis=1).sum()
    value -= 0.5 * (shrinkage * slope**2 + 1e-6 * level**2)
    value -= 0.5 * EFFECT_SD**-2 * ((effects - asked.centre) ** 2).sum()
    value -= 0.5 * (2 / LOGIT_SD**2) * (gate**2).sum()
    for arm in (0, 1):
        value -= 0.5 * SEEN_BEFORE * (np.log(variances[arm]) + arms[arm] / variances[arm]).sum()
    return float(value)


@pytest.fixture(scope="module")
def one_dimension() -> tuple[TypeSample, np.ndarray, float, np.ndarray, object]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=1500)
    x = (x - x.mean()) / x.std()
    kind = rng.random(1500) < special.expit(2.5 * x)
    treatment = (rng.random(1500) < 0.5).astype(float)
    outcome = 0.3 * x + np.where(kind, 3.0, 0.0) * treatment + rng.normal(size=1500)
    gate = np.column_stack([np.ones(1500), x])
    raw = TypeSample(
        outcome, treatment, np.ones(1500), gate, np.array([False, True]), np.arange(1500), gate, 1.5
    )
    fitted = fit_types(raw, 2, seed=0)
    asked, priors = standardised(raw)
    start = np.r_[fitted.state.mean, np.log(fitted.state.variances).ravel(), fitted.gate.ravel()]
    start = start + 0.1 * rng.normal(size=start.size)
    shrinkage = fitted.state.shrinkage
    found = optimize.minimize(
        lambda theta: -_log_posterior(theta, asked, priors.variances, shrinkage), start, method="BFGS"
    )
    return asked, priors.variances, shrinkage, found.x, fitted


def test_the_fit_is_at_the_maximum_of_the_exact_posterior(one_dimension: tuple) -> None:
    asked, _, _, best, fitted = one_dimension
    state = fitted.state
    # mean field leaves the spread of coefficients in, which is small with 1,500 images
    np.testing.assert_allclose(state.mean, best[:4], atol=0.01)
    np.testing.assert_allclose(np.log(state.variances).ravel(), best[4:8], atol=0.03)
    gate = best[8:].reshape(2, 2)
    exact = special.softmax(gate[:, 0] + np.outer(asked.gate[:, 1], gate[:, 1]), axis=1)
    np.testing.assert_allclose(np.exp(log_softmax(asked.gate, state.gate)), exact, atol=0.02)


def test_the_covariance_is_that_of_the_exact_posterior_at_its_mode(one_dimension: tuple) -> None:
    asked, arms, shrinkage, best, fitted = one_dimension
    kept = np.r_[0:4, 8:12]

    def of_kept(part: np.ndarray) -> float:
        theta = best.copy()
        theta[kept] = part
        return -_log_posterior(theta, asked, arms, shrinkage)

    size, h = kept.size, 1e-3
    hessian = np.zeros((size, size))
    for one in range(size):
        for other in range(size):
            a, b = h * np.eye(size)[one], h * np.eye(size)[other]
            at = best[kept]
            corners = of_kept(at + a + b) - of_kept(at + a - b) - of_kept(at - a + b) + of_kept(at - a - b)
            hessian[one, other] = corners / (4 * h * h)
    exact = np.sqrt(np.diag(np.linalg.inv(hessian)))
    ours = np.sqrt(np.diag(information(asked, fitted.state)))
    np.testing.assert_allclose(ours, exact, rtol=0.03)
    # an effect is less sure than were types seen
    assert (ours[2:4] > 1.05 * np.sqrt(np.diag(fitted.state.covariance)[2:4])).all()


def test_types_come_in_the_order_of_their_effects_and_find_who_gains() -> None:
    asked = sample(5, units=1200, images=200)
    fitted = fit_types(asked, 2, seed=0)
    assert fitted.converged
    np.testing.assert_allclose(fitted.effects, TRUE, atol=0.35)
    probability, spread = fitted.probabilities(asked.gate, seed=0)
    truth = special.expit(2 * asked.gate[:, 1])
    assert np.corrcoef(probability[:, 1], truth)[0, 1] > 0.95
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert ((spread > 0) & (spread < 0.5)).all()
    three = fit_types(asked, 3, seed=0)
    assert (np.diff(three.effects) >= 0).all()
    np.testing.assert_allclose(three.memberships.sum(axis=1), 1)


def test_the_names_of_types_are_of_no_consequence() -> None:
    asked, priors = standardised(sample(6))
    start = np.random.default_rng(0).dirichlet(np.ones(3), 100)
    one, other = first_state(asked, priors, start), first_state(asked, priors, start[:, [2, 0, 1]])
    for _ in range(30):
        one = step(asked, priors, one, joint_log(asked, one))
        other = step(asked, priors, other, joint_log(asked, other))
    np.testing.assert_allclose(other.gate, one.gate[[2, 0, 1]], atol=1e-7)
    assert bound(asked, priors, one, joint_log(asked, one)) == pytest.approx(
        bound(asked, priors, other, joint_log(asked, other)), abs=1e-7
    )


def test_the_best_start_is_kept() -> None:
    fitted = fit_types(sample(7, noise=2.5), 2, seed=0)
    assert len(fitted.starts) == type_fit.RANDOM_STARTS + 2
    assert fitted.bounds[-1] >= max(fitted.starts) - 1e-9


@pytest.mark.parametrize("types", [2, 3])
def test_leaps_end_where_steps_end_and_are_fewer(types: int) -> None:
    asked, priors = standardised(replace(sample(7, noise=2.5), by_type=False))
    start = np.random.default_rng(1).dirichlet(np.ones(types), 100)
    state, bounds = first_state(asked, priors, start), [-np.inf]
    while len(bounds) < 3 or bounds[-1] - bounds[-2] > type_fit.ENOUGH:
        joint = joint_log(asked, state)
        bounds.append(bound(asked, priors, state, joint))
        state = step(asked, priors, state, joint)
    run = type_fit._run(asked, priors, start, 2000)
    assert run.converged
    assert np.diff(run.bounds).min() > -1e-9
    assert len(run.bounds) < len(bounds) / 2
    assert run.bounds[-1] == pytest.approx(bounds[-1], abs=2e-3)
    np.testing.assert_allclose(run.state.mean, state.mean, atol=0.02)


def test_a_weight_of_two_is_two_rows() -> None:
    asked = sample(8)
    twice = np.r_[np.arange(400), np.arange(0, 400, 3)]
    weighted = replace(asked, weights=1.0 + (np.arange(400) % 3 == 0))
    repeated = TypeSample(
        asked.outcome[twice], asked.treatment[twice], np.ones(twice.size), asked.columns[twice], asked.shrunk,
        asked.image[twice], asked.gate, asked.centre,
    )  # fmt: skip
    one, other = fit_types(weighted, 2, seed=0), fit_types(repeated, 2, seed=0)
    np.testing.assert_allclose(other.effects, one.effects, rtol=1e-6)
    np.testing.assert_allclose(other.effect_errors, one.effect_errors, rtol=1e-6)
    np.testing.assert_allclose(other.gate, one.gate, atol=1e-6)


def test_likelihoods_of_the_units_of_an_image_multiply() -> None:
    asked = level_only(np.array([1.0, 2.0, 5.0]), np.array([0.0, 1.0, 1.0]), np.array([0, 0, 1]))
    variances = np.array([[1.0, 2.0], [3.0, 4.0]])
    squared = np.array([[1.0, 0.0], [4.0, 9.0], [0.25, 1.0]])
    found = image_log_likelihoods(asked, squared, variances)
    first = stats.norm.logpdf(1, 0, 1) + stats.norm.logpdf(2, 0, np.sqrt(3))
    second = stats.norm.logpdf(0, 0, np.sqrt(2)) + stats.norm.logpdf(3, 0, 2)
    np.testing.assert_allclose(found[0], [first, second])
    np.testing.assert_allclose(found[1], stats.norm.logpdf([0.5, 1.0], 0, np.sqrt([3.0, 4.0])))


def test_the_gate_is_at_the_maximum_that_an_optimiser_finds() -> None:
    rng = np.random.default_rng(9)
    columns = np.column_stack([np.ones(80), rng.normal(size=(80, 2))])
    memberships = rng.dirichlet(np.full(3, 0.4), 80)
    precision = gate_precision(3)
    found = np.zeros((3, 3))
    for _ in range(20):
        found = fit_gate(columns, memberships, found, precision)
    best = optimize.minimize(
        lambda flat: -gate_objective(columns, flat.reshape(3, 3), memberships, precision),
        np.zeros(9),
        tol=1e-12,
    )
    np.testing.assert_allclose(found, best.x.reshape(3, 3), atol=1e-4)
    # the prior of the difference of two logits of an image whose columns are 1: level and both components
    assert 2 / precision[0] == pytest.approx(LOGIT_SD**2)
    assert (2 / precision[1:]).sum() == pytest.approx(LOGIT_SD**2)


def test_probabilities_average_the_draws_of_the_gate() -> None:
    asked = sample(10, units=300, images=60)
    fitted = fit_types(asked, 2, seed=0)
    mean, spread = fitted.probabilities(asked.gate[:5], seed=1)
    # the logit of two types is normal, so integrals over it are one-dimensional
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    row = np.concatenate([-asked.gate[:5], asked.gate[:5]], axis=1)
    middle = row @ fitted.gate.ravel()
    scale = np.sqrt(np.einsum("jd,de,je->j", row, fitted.gate_covariance, row))
    drawn = special.expit(middle[:, None] + scale[:, None] * nodes)
    exact = drawn @ weights
    np.testing.assert_allclose(mean[:, 1], exact, atol=0.02)
    np.testing.assert_allclose(spread[:, 1], np.sqrt(drawn**2 @ weights - exact**2), atol=0.02)
    np.testing.assert_array_equal(fitted.probabilities(asked.gate[:5], seed=1)[0], mean)


def test_held_out_likelihoods_are_in_the_unit_of_the_outcome() -> None:
    asked = sample(11)
    fitted = fit_types(asked, 1, seed=0)
    own = fitted.image_log_likelihood(asked, np.ones((100, 1)))
    state, priors = fitted.state, fitted.priors
    rows = np.column_stack([asked.columns, asked.treatment])
    spread = np.einsum("nd,de,ne->n", rows, state.covariance, rows)
    variance = state.variances[asked.treatment.astype(int), 0]
    gap = (asked.outcome - priors.level) / priors.scale - rows @ state.mean
    each = -0.5 * (np.log(2 * np.pi * variance) + (gap**2 + spread) / variance) - np.log(priors.scale)
    np.testing.assert_allclose(own, np.bincount(asked.image, each), rtol=1e-9)
    # in another unit the density is that much smaller
    tenfold = replace(asked, outcome=10 * asked.outcome, centre=10 * asked.centre)
    again = fit_types(tenfold, 1, seed=0).image_log_likelihood(tenfold, np.ones((100, 1)))
    np.testing.assert_allclose(again, own - 4 * np.log(10), rtol=1e-6)
