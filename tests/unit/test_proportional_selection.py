"""Selection on the unseen in proportion to the seen: published values, population designs, built variables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocausal.sensitivities import proportional_selection as selection
from eocausal.sensitivities.proportional_selection import Moments

MTCARS = Moments.of_regressions(
    short=(-5.3444716, 0.7528328),
    long=(-4.3587972, 0.8347678),
    outcome=36.3241028,
    treatment=0.9573790,
    treatment_left=0.3783445,
)
# Both in X and Y with coefficient 1, the unseen in X with b: then delta = b. Columns: b, effect, all roots, delta
# for an effect of 0, linear approximation, the usual rule's choice.
DESIGNS = [
    (0.5, 1.0, (1.0, 2.0, 3.0), 1.076923, 0.866667, 1.0),
    (1.0, 1.0, (1.0, 2.0), 1.2, 1.0, 1.0),
    (2.0, 1.0, (1.0, 1.2, 2.0), 1.4, 1.266667, 1.2),
    (0.5, 0.0, (0.0, 1.0, 2.0), 0.5, -0.133333, 0.0),
]


def population(b: float, effect: float) -> tuple[Moments, float]:
    """Return the moments of X = W1 + b W2 + e, Y = effect X + W1 + W2 + noise, and the R2 with both in."""
    treatment, left = 2 + b**2, 1 + b**2
    outcome = effect**2 * treatment + 2 * effect * (1 + b) + 3
    outcome_left = effect**2 * left + 2 * effect * b + 2
    cross, cross_left = effect * treatment + 1 + b, effect * left + b
    moments = Moments(outcome, outcome, cross, treatment, outcome_left, cross_left, left)
    return moments, 1 - 1 / outcome


def oster_formula(moments: Moments, beta: float, r2_max: float) -> float:
    """Return delta as it is printed in the paper, by coefficients, R2 and variances."""
    d, nu = moments.short - moments.long, moments.long - beta
    rm = (r2_max - moments.r2_long) * moments.total
    rt = (moments.r2_long - moments.r2_short) * moments.total
    sx, tx = moments.treatment, moments.treatment_left
    cubic = nu**3 * (tx * sx - tx**2)
    above = nu * rt * tx + nu * sx * tx * d**2 + 2 * nu**2 * tx * d * sx + cubic
    return above / (rm * d * sx + nu * rm * (sx - tx) + nu**2 * tx * d * sx + cubic)


@pytest.mark.parametrize(("b", "effect", "roots", "zero", "linear", "usual"), DESIGNS)
def test_population_designs(b, effect, roots, zero, linear, usual):
    moments, r2_max = population(b, effect)
    found = selection.betas(moments, delta=b, r2_max=r2_max)
    assert found == pytest.approx(roots, abs=1e-9)
    assert selection.delta_of(moments, beta=effect, r2_max=r2_max) == pytest.approx(b)
    assert selection.delta_of(moments, r2_max=r2_max) == pytest.approx(zero, abs=1e-6)
    assert selection.linear_approximation(moments, delta=b, r2_max=r2_max) == pytest.approx(linear, abs=1e-6)
    assert selection.usual_root(moments, found, b) == pytest.approx(usual, abs=1e-9)


@pytest.mark.parametrize(("b", "effect", "roots"), [row[:3] for row in DESIGNS])
def test_one_root_of_one_control_is_no_solution(b, effect, roots):
    """With one control an effect at which its coefficient is zero solves the cubic, whatever delta is."""
    moments, r2_max = population(b, effect)
    empty = [one for one in roots if selection.is_empty_index(moments, one)]
    # X holds W1 once, and so does Y beyond the effect: with an effect larger by 1 nothing of W1 is left
    assert empty == pytest.approx([effect + 1])
    others = selection.betas(moments, delta=b + 0.3, r2_max=r2_max)
    assert np.abs(others - empty[0]).min() < 1e-6


def test_mtcars_as_printed():
    assert selection.delta_of(MTCARS, r2_max=0.9) == pytest.approx(1.15113633, abs=5e-6)
    assert selection.delta_of(MTCARS, r2_max=1.0) == pytest.approx(0.83412641, abs=5e-6)
    for delta, roots in ((1.0, (-7.01409514, -2.00018494)), (0.5, (-3.51362232,)), (2.0, (-6.40610686,))):
        assert selection.betas(MTCARS, delta=delta, r2_max=0.9) == pytest.approx(roots, abs=1e-5)
    both = selection.betas(MTCARS, r2_max=1.0)
    assert both == pytest.approx((-6.42862588, 3.30542196), abs=1e-5)
    assert selection.usual_root(MTCARS, selection.betas(MTCARS, r2_max=0.9)) == pytest.approx(
        -2.0002, abs=1e-4
    )


def random_moments(seed: int, controls: int = 3) -> tuple[Moments, np.ndarray]:
    """Return moments and the joint covariance of outcome, treatment and controls."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(controls + 2, controls + 2))
    joint = mixing @ mixing.T / 4 + 0.3 * np.eye(controls + 2)
    pair, across, own = joint[:2, :2], joint[:2, 2:], joint[2:, 2:]
    left = pair - across @ np.linalg.solve(own, across.T)
    return Moments(
        joint[0, 0], joint[0, 0], joint[0, 1], joint[1, 1], left[0, 0], left[0, 1], left[1, 1]
    ), joint


def test_the_usual_rule_goes_to_the_side_to_which_controls_moved_the_estimate():
    """Controls moved it up, from -5.3 to -4.4: up for a delta above 0, though the other is nearer, else down."""
    roots = selection.betas(MTCARS, r2_max=1.0)
    assert selection.usual_root(MTCARS, roots) == pytest.approx(3.30542, abs=1e-4)
    assert selection.usual_root(MTCARS, roots, -1.0) == pytest.approx(-6.42863, abs=1e-4)
    assert selection.usual_root(MTCARS, np.array([-9.0, -7.0])) == -7.0


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_formula_of_the_paper(seed):
    moments, _ = random_moments(seed)
    # controls that are always in leave less of the outcome than there was
    moments = Moments(*(moments.values() * [1.7, 1, 1, 1, 1, 1, 1]))
    r2_max = (1 + moments.r2_long) / 2
    for beta in (-3.0, 0.0, 0.4, 5.0):
        expected = oster_formula(moments, beta, r2_max)
        assert selection.delta_of(moments, beta=beta, r2_max=r2_max) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_roots_and_deltas_are_inverse(seed):
    moments, _ = random_moments(seed)
    r2_max = (1 + 2 * moments.r2_long) / 3
    for delta in (-1.5, -0.4, 0.3, 1.0, 2.5):
        roots = selection.betas(moments, delta=delta, r2_max=r2_max)
        assert 1 <= roots.size <= 3
        for root in roots:
            assert selection.delta_of(moments, beta=root, r2_max=r2_max) == pytest.approx(delta, rel=1e-6)


def test_every_root_is_an_unseen_variable_that_can_be_built():
    """Build, for each root, a variable with which least squares gives that effect, R2 and delta."""
    rng = np.random.default_rng(4)
    n, delta = 400, 0.8
    controls = rng.normal(size=(n, 2))
    treatment = controls @ [0.8, 0.3] + rng.normal(size=n)
    outcome = 0.7 * treatment + controls @ [0.5, -0.9] + rng.normal(size=n)
    columns = np.column_stack([np.ones(n), controls])

    def left(values: np.ndarray, on: np.ndarray) -> np.ndarray:
        return values - on @ np.linalg.lstsq(on, values, rcond=None)[0]

    pair = np.column_stack([outcome, treatment])
    centred, rest = pair - pair.mean(axis=0), left(pair, columns)
    before, after = centred.T @ centred / n, rest.T @ rest / n
    moments = Moments(
        before[0, 0], before[0, 0], before[0, 1], before[1, 1], after[0, 0], after[0, 1], after[1, 1]
    )
    r2_max = moments.r2_long + 0.6 * (1 - moments.r2_long)
    roots = selection.betas(moments, delta=delta, r2_max=r2_max)
    assert roots.size >= 1
    for root in roots:
        bias = moments.long - root
        unexplained = left(rest[:, 0], rest[:, [1]])
        share = (r2_max - moments.r2_long) / (1 - moments.r2_long)
        noise = left(rng.normal(size=n), np.column_stack([columns, rest]))
        noise *= np.sqrt(share * (1 - share) * (unexplained @ unexplained) / (noise @ noise))
        unseen = bias * rest[:, 1] + share * unexplained + noise
        full = np.column_stack([treatment, columns, unseen])
        fitted = np.linalg.lstsq(full, outcome, rcond=None)[0]
        assert fitted[0] == pytest.approx(root, rel=1e-6)
        error = outcome - full @ fitted
        assert 1 - error @ error / n / moments.total == pytest.approx(r2_max)
        seen = (columns @ fitted[1:4]) - (columns @ fitted[1:4]).mean()
        ratios = [one @ centred[:, 1] / (one @ one) for one in (fitted[4] * unseen, seen)]
        assert ratios[0] / ratios[1] == pytest.approx(delta, rel=1e-5)


def test_at_delta_zero_the_estimate_stays():
    moments, _ = random_moments(1)
    roots = selection.betas(moments, delta=0.0, r2_max=0.5 + moments.r2_long / 2)
    assert np.abs(roots - moments.long).min() < 1e-9


@given(
    seed=st.integers(0, 200),
    outcome=st.floats(1e-3, 1e4),
    treatment=st.floats(1e-3, 1e3),
    delta=st.floats(-3, 3),
)
def test_units_of_outcome_and_treatment_do_not_matter(seed, outcome, treatment, delta):
    moments, _ = random_moments(seed)
    r2_max = (1 + moments.r2_long) / 2
    squares = [outcome**2, outcome**2, outcome * treatment, treatment**2]
    scaled = Moments(*(moments.values() * [*squares, *squares[1:]]))
    assert selection.delta_of(scaled, r2_max=r2_max) == pytest.approx(
        selection.delta_of(moments, r2_max=r2_max), rel=1e-6
    )
    roots = selection.betas(moments, delta=delta, r2_max=r2_max) * outcome / treatment
    found = selection.betas(scaled, delta=delta, r2_max=r2_max)
    assert found.size == roots.size
    assert found == pytest.approx(roots, rel=1e-4)


def test_moments_of_two_regressions_are_those_moments():
    moments, _ = random_moments(3)
    again = Moments.of_regressions(
        short=(moments.short, moments.r2_short),
        long=(moments.long, moments.r2_long),
        outcome=moments.total,
        treatment=moments.treatment,
        treatment_left=moments.treatment_left,
    )
    assert again.values() == pytest.approx(moments.values())
    assert moments.usual_r2_max == pytest.approx(min(1.0, 1.3 * moments.r2_long))


def test_a_double_root_is_found():
    """(x - 1)^2 (x + 2), of which rounding makes a complex pair."""
    found = np.sort(selection.real_roots(np.array([2.0, -3.0, 0.0, 1.0])))
    assert found == pytest.approx([-2.0, 1.0, 1.0], abs=1e-6)
    assert selection.real_roots(np.array([1.0, 0.0, 1.0])).size == 0
