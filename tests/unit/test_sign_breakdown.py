"""When the sign is in doubt: closed forms against unseen variables that are searched for, and grids of effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from test_proportional_selection import population, random_moments

from eocausal.sensitivities.proportional_selection import Moments, delta_of
from eocausal.sensitivities.sign_breakdown import breakdown_strength, effects_within, flip


def built(seed: int) -> tuple[Moments, np.ndarray]:
    """Return random moments with a positive estimate, and the joint covariance."""
    moments, joint = random_moments(seed)
    if moments.long < 0:
        joint[0] *= -1
        joint[:, 0] *= -1
        moments = Moments(
            *(moments.values() * [1, 1, -1, 1, 1, -1, 1]),
        )
    return moments, joint


class Unseen:
    """An unseen variable of variance 1, by its covariances with outcome, treatment and controls."""

    def __init__(self, joint: np.ndarray, free: np.ndarray) -> None:
        self.joint = joint
        self.with_all = np.linalg.cholesky(joint) @ (free / np.sqrt(1 + free @ free))

    def _coefficients(self, first: int) -> np.ndarray:
        """Return those of the variable before ``first`` on all from ``first`` on and the unseen."""
        own, with_own = self.joint[first:, first:], self.with_all[first:]
        both = np.block([[own, with_own[:, None]], [with_own[None], np.ones((1, 1))]])
        return np.linalg.solve(both, np.r_[self.joint[first - 1, first:], self.with_all[first - 1]])

    @property
    def effect(self) -> float:
        return float(self._coefficients(1)[0])

    @property
    def strength(self) -> float:
        found = self._coefficients(2)
        return float(abs(found[-1]) / np.sqrt(found[:-1] @ self.joint[2:, 2:] @ found[:-1]))

    @property
    def correlation(self) -> float:
        return float(np.sqrt(self.with_all[2:] @ np.linalg.solve(self.joint[2:, 2:], self.with_all[2:])))


def weakest(joint: np.ndarray, null: float, correlation: float, starts: int = 5) -> float:
    """Return the least strength of an unseen variable that brings the effect to ``null``, by search."""
    rng, best = np.random.default_rng(0), np.inf
    limits = [{"type": "ineq", "fun": lambda free: null - Unseen(joint, free).effect}]
    if correlation < 1:
        room = correlation + 1e-9
        limits.append({"type": "ineq", "fun": lambda free: room - Unseen(joint, free).correlation})
    for _ in range(starts):
        found = minimize(
            lambda free: np.log(Unseen(joint, free).strength),
            rng.normal(size=len(joint)) * 2,
            constraints=limits,
            method="SLSQP",
            options={"maxiter": 300},
        )
        one = Unseen(joint, found.x)
        if one.effect <= null + 1e-6 and one.correlation <= correlation + 1e-6:
            best = min(best, one.strength)
    return best


@pytest.mark.parametrize(("seed", "null"), [(0, 0.0), (1, 0.0), (2, -0.3)])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_strength_is_that_of_the_weakest_unseen_variable(seed, null, correlation):
    moments, joint = built(seed)
    expected = weakest(joint, null, correlation)
    found = breakdown_strength(moments, null=null, correlation=correlation)
    assert found == pytest.approx(expected, rel=2e-3)
    assert found <= expected * (1 + 1e-5)  # nothing that was found is weaker


@pytest.mark.parametrize("seed", range(4))
def test_no_unseen_variable_leaves_the_set_of_effects(seed):
    moments, joint = built(seed)
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(400):
        one = Unseen(joint, rng.normal(size=len(joint)) * rng.choice([0.2, 1.0, 3.0]))
        for correlation in (one.correlation, 1.0):
            low, high = effects_within(moments, one.strength, correlation=correlation)
            assert low - 1e-9 <= one.effect <= high + 1e-9
        inside += np.isfinite(low)
    assert inside > 50  # not all sets were without end


def test_the_set_of_effects_reaches_the_null_at_the_breakdown():
    moments, _ = built(1)
    for correlation in (0.0, 0.25, 0.6, 1.0):
        null = moments.long - 0.1
        strength = breakdown_strength(moments, null=null, correlation=correlation)
        assert effects_within(moments, strength, correlation=correlation)[0] == pytest.approx(null)


def test_more_room_for_correlation_needs_less_strength_and_widens_the_set():
    moments, _ = built(3)
    strengths = [breakdown_strength(moments, correlation=one) for one in np.linspace(0, 1, 21)]
    assert (np.diff(strengths) <= 1e-12).all()
    assert strengths[-1] < 1
    assert strengths[0] > strengths[-1]
    sets = [effects_within(moments, one) for one in np.linspace(0, 0.9, 10)]
    assert sets[0] == pytest.approx((moments.long, moments.long))
    assert (np.diff([low for low, _ in sets if np.isfinite(low)]) < 0).all()


def test_strength_as_printed_in_the_paper():
    """sqrt(p / (r / (1 - r) + p)) with p the partial R2 of outcome and treatment, r the R2 of the treatment."""
    moments, _ = random_moments(5)
    p, r = moments.partial_r2(), moments.r2_treatment
    assert breakdown_strength(moments) == pytest.approx(np.sqrt(p / (r / (1 - r) + p)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("null", [0.0, 0.2])
def test_flip_is_the_least_delta_of_all_effects_beyond(seed, null):
    moments, _ = built(seed)
    r2_max = (1 + moments.r2_long) / 2
    found = flip(moments, r2_max=r2_max, null=null)
    side = np.sign(moments.long - null)
    beyond = null - side * np.r_[1e-9, np.geomspace(1e-4, 1e7, 4000)]
    sizes = np.abs([delta_of(moments, beta=one, r2_max=r2_max) for one in beyond])
    assert found.delta <= sizes.min() + 1e-9
    assert found.delta == pytest.approx(sizes.min(), rel=1e-2)
    assert found.delta <= 1
    limit = 1.7 * abs(moments.long - null)
    limited = flip(moments, r2_max=r2_max, null=null, bias_max=limit)
    within = np.abs(beyond - moments.long) <= limit
    assert limited.delta == pytest.approx(sizes[within].min(), rel=2e-2)
    assert limited.delta >= found.delta


def test_the_sign_can_turn_before_the_effect_is_zero():
    """By Masten and Poirier: zero takes a delta of many, the other sign less than 1."""
    moments, _ = built(17)
    r2_max = moments.usual_r2_max
    assert delta_of(moments, r2_max=r2_max) > 5
    assert flip(moments, r2_max=r2_max).delta < 1


@pytest.mark.parametrize("controls", [1, 2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_less_room_for_bias_takes_no_less(seed, controls):
    moments, _ = random_moments(seed, controls)
    r2_max = (1 + moments.r2_long) / 2
    limits = [*(np.array([1.01, 1.5, 3.0, 10.0, 100.0]) * abs(moments.long)), np.inf]
    deltas = [flip(moments, r2_max=r2_max, bias_max=one).delta for one in limits]
    assert (np.diff(deltas) <= 1e-9).all()


def test_of_one_control_next_to_nothing_turns_the_sign_where_its_coefficient_would_be_zero():
    """Y = 0.4 X - 1.5 W + ..., X = W + ...: were the effect -1.1, W would do nothing."""
    treatment, left, effect, of_control = 2.0, 1.0, 0.4, -1.5
    cross, cross_left = effect * treatment + of_control, effect * left
    outcome = effect**2 * treatment + 2 * effect * of_control + of_control**2 + 1
    moments = Moments(outcome, outcome, cross, treatment, effect**2 * left + 1, cross_left, left)
    assert moments.long == pytest.approx(effect)
    r2_max = (1 + moments.r2_long) / 2
    # the control has nothing to do where effect + (-1.5) = beta
    assert flip(moments, r2_max=r2_max) == pytest.approx((0.0, effect + of_control))
    near = abs(delta_of(moments, beta=effect + of_control + 1e-4, r2_max=r2_max))
    assert near < 1e-3
    assert flip(moments, r2_max=r2_max, bias_max=1.2).delta > 0


def test_no_flip_within_too_small_a_bias():
    moments, r2_max = population(1.0, 1.0)
    assert flip(moments, r2_max=r2_max, bias_max=0.9 * moments.long).delta == np.inf


def test_of_a_negative_estimate_it_is_the_same():
    moments, r2_max = population(2.0, 1.0)
    mirrored = Moments(*(moments.values() * [1, 1, -1, 1, 1, -1, 1]))
    one, other = (flip(part, r2_max=r2_max, bias_max=4.0) for part in (moments, mirrored))
    assert one.delta == pytest.approx(other.delta)
    assert one.effect == pytest.approx(-other.effect)
