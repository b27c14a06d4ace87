"""The variance of the predictions' error: closed forms, the slope that unequal noise needs, and refits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eocausal.debiasing.density_score import fit_density_score
from eocausal.debiasing.noise import NoiseModel, fit_noise
from eocausal.errors import DebiasError


def world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return normal predictions, and errors whose variance is 0.3 + 0.15 tanh."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=n)
    return u, rng.normal(size=n) * np.sqrt(0.3 + 0.15 * np.tanh(u))


def test_one_variance_is_the_mean_of_squares_about_the_mean() -> None:
    residuals = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.0, 2.0, -3.0, 1.5, 0.5])
    noise = fit_noise(np.arange(10.0), residuals)
    assert noise.coefficients.tolist() == [pytest.approx(residuals.var())]
    assert noise.at([[-5.0, 3.0], [99.0, 0.0]]) == pytest.approx(residuals.var())
    assert noise.slope([-5.0, 3.0]).tolist() == [0.0, 0.0]
    assert noise.columns([1.0, 2.0]).tolist() == [[1.0], [1.0]]
    assert noise.slope_columns([1.0, 2.0]).tolist() == [[0.0], [0.0]]
    assert fit_noise(np.arange(10.0), residuals, ddof=2).coefficients[0] == pytest.approx(
        residuals.var() * 10 / 8
    )


def test_weights_count_rows_and_their_units_the_degrees_of_freedom() -> None:
    u, e = world(200)
    weights = np.random.default_rng(1).uniform(0.5, 2, size=200)
    mean = np.average(e, weights=weights)
    worth = weights.sum() ** 2 / (weights**2).sum()
    noise = fit_noise(u, e, weights=weights, ddof=2)
    expected = np.average((e - mean) ** 2, weights=weights) * worth / (worth - 2)
    assert noise.coefficients[0] == pytest.approx(expected, rel=1e-12)


def test_label_noise_is_taken_off() -> None:
    u, e = world(4000)
    for kind in ("constant", "spline"):
        whole = fit_noise(u, e, kind=kind)
        part = fit_noise(u, e, kind=kind, label_noise_var=0.05)
        places = np.linspace(-2, 2, 9)
        assert np.allclose(part.at(places), whole.at(places) - 0.05, atol=1e-9)
        assert np.allclose(part.slope(places), whole.slope(places))
        assert np.allclose(part.columns(places), whole.columns(places))


def test_a_curve_finds_the_variance_that_made_the_errors() -> None:
    u, e = world(200_000)
    noise = fit_noise(u, e, kind="spline")
    places = np.linspace(-2, 2, 41)
    assert np.abs(noise.at(places) - (0.3 + 0.15 * np.tanh(places))).max() < 0.012
    assert np.abs(noise.slope(places) - 0.15 / np.cosh(places) ** 2).max() < 0.04


def test_tweedie_keeps_the_mean_only_with_the_slope_of_the_variance() -> None:
    """E[V'] is 0.0909 for V = 0.3 + 0.15 tanh(u) and u ~ N(0, 1): by so much the short formula is off."""
    u, e = world(400_000, seed=2)
    noise, score = fit_noise(u, e, kind="spline"), fit_density_score(u)
    short = u - noise.at(u) * score.at(u)
    whole = short - noise.slope(u)
    truth = u + e
    assert whole.mean() == pytest.approx(truth.mean(), abs=0.004)
    assert short.mean() - truth.mean() == pytest.approx(0.0909, abs=0.006)
    # and the corrected predictions follow the truth one to one, and in all tenths of it
    assert np.cov(whole, truth)[0, 1] / truth.var() == pytest.approx(1, abs=0.01)
    tenth = np.searchsorted(np.quantile(truth, np.arange(1, 10) / 10), truth)
    off = [np.mean((whole - truth)[tenth == place]) for place in range(10)]
    assert np.abs(off).max() < 0.05


@pytest.mark.parametrize("kind", ["constant", "spline"])
def test_columns_are_derivatives_by_the_coefficients(kind: str) -> None:
    u, e = world(2000)
    noise = fit_noise(u, e, kind=kind, label_noise_var=0.02)
    places = np.array([-9.0, -2.0, -0.3, 0.8, 2.1, 9.0])
    step = 1e-6
    for number in range(noise.coefficients.size):
        moved = []
        for sign in (1, -1):
            changed = noise.coefficients.copy()
            changed[number] += sign * step
            moved.append(NoiseModel.from_dict({**noise.to_dict(), "coefficients": changed.tolist()}))
        by_value = (moved[0].at(places) - moved[1].at(places)) / (2 * step)
        by_slope = (moved[0].slope(places) - moved[1].slope(places)) / (2 * step)
        assert np.allclose(noise.columns(places)[:, number], by_value, atol=1e-6)
        assert np.allclose(noise.slope_columns(places)[:, number], by_slope, atol=1e-6)


@pytest.mark.parametrize("kind", ["constant", "spline"])
@pytest.mark.parametrize("label_noise_var", [0.0, 0.05])
def test_influence_is_what_a_row_moves_the_fit_by(
    kind: str, label_noise_var: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where knots stay: they move with the rows, which influence values do not follow."""
    u, e = world(600)
    monkeypatch.setattr("eocausal.debiasing.noise._quantiles", lambda v, s, levels: np.quantile(u, levels))
    e = e + 0.1  # the mean is taken off, and is part of the error
    how = {"kind": kind, "label_noise_var": label_noise_var, "ddof": 2}
    noise = fit_noise(u, e, **how)
    influence = noise.influence(u, e)
    assert np.abs(influence.mean(axis=0)).max() < 1e-9
    for row in (0, 100, 333, 599):
        moved = []
        for sign in (1, -1):
            weights = np.ones(600)
            weights[row] += sign * 1e-4
            moved.append(fit_noise(u, e, weights=weights, **how).coefficients)
        assert np.allclose((moved[0] - moved[1]) / 2e-4 * 600, influence[row], rtol=2e-3, atol=2e-3)


def test_influence_of_weighted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    u, e = world(600)
    monkeypatch.setattr("eocausal.debiasing.noise._quantiles", lambda v, s, levels: np.quantile(u, levels))
    weights = np.random.default_rng(3).uniform(0.5, 2, size=600)
    for kind in ("constant", "spline"):
        noise = fit_noise(u, e, weights=weights, kind=kind)
        influence = noise.influence(u, e, weights)
        assert np.abs(weights @ influence).max() < 1e-9 * 600
        row = 17
        moved = []
        for sign in (1, -1):
            changed = weights.copy()
            changed[row] += sign * 1e-4 * weights.sum() / 600
            moved.append(fit_noise(u, e, weights=changed, kind=kind).coefficients)
        # the places beyond which the curve is constant move a little with what the weights are worth
        assert np.allclose((moved[0] - moved[1]) / 2e-4 * 600, influence[row], rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("kind", ["constant", "spline"])
def test_order_doubling_and_units_change_what_they_must(kind: str) -> None:
    u, e = world(500)
    places = np.linspace(-2, 2, 9)
    plain = fit_noise(u, e, kind=kind, ddof=2).at(places)
    order = np.random.default_rng(4).permutation(500)
    assert np.allclose(fit_noise(u[order], e[order], kind=kind, ddof=2).at(places), plain, rtol=1e-9)
    twice = fit_noise(np.repeat(u, 2), np.repeat(e, 2), weights=np.full(1000, 0.5), kind=kind, ddof=2)
    assert np.allclose(twice.at(places), plain, rtol=1e-7)
    other = fit_noise(32 - 1.8 * u, -1.8 * e, kind=kind, ddof=2)
    assert np.allclose(other.at(32 - 1.8 * places), 1.8**2 * plain, rtol=1e-7)


@pytest.mark.parametrize("kind", ["constant", "spline"])
def test_variance_is_above_zero_and_constant_beyond_what_was_seen(kind: str) -> None:
    u, e = world(400)
    noise = fit_noise(u, e, kind=kind)
    far = noise.at([-1e9, noise.low, noise.high, 1e9])
    assert far.min() > 0
    assert far[0] == pytest.approx(far[1])
    assert far[2] == pytest.approx(far[3])
    assert noise.slope([-1e9, 1e9]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["constant", "spline"])
def test_noise_survives_json(kind: str) -> None:
    u, e = world(400)
    noise = fit_noise(u, e, kind=kind, label_noise_var=0.01)
    again = NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict(), allow_nan=False)))
    assert np.array_equal(again.at(u), noise.at(u))
    assert np.array_equal(again.influence(u, e), noise.influence(u, e))
    assert (again.names, repr(again)) == (noise.names, repr(noise))
    assert len(again.names) == again.coefficients.size


U, E = world(400)


@pytest.mark.parametrize(
    ("values", "residuals", "how", "match"),
    [
        (U, np.full(400, 0.7), {}, "All residuals are the same"),
        (U, np.zeros(400), {}, "without error"),
        (U, E[:-1], {}, "400 predictions and 399 residuals"),
        (U, np.where(U > 1, np.nan, E), {}, "residuals are missing or infinite"),
        (np.where(U > 1, np.inf, U), E, {}, "predictions are missing or infinite"),
        (U, E, {"kind": "linear"}, "kind='linear' is not known"),
        (U, E, {"label_noise_var": -1.0}, "a variance, 0 or above"),
        (U, E, {"label_noise_var": float("nan")}, "a variance, 0 or above"),
        (U, E, {"label_noise_var": 0.5}, "leaves no variance to the predictions' error"),
        (U, E, {"label_noise_var": 0.25, "kind": "spline"}, "where they have least"),
        (U, E, {"ddof": 400}, "ddof=400"),
        (U[:60], E[:60], {"kind": "spline"}, "too few for noise='spline'"),
        (np.where(U < 0.5, 0.0, U), E, {"kind": "spline"}, "share one value"),
        (np.where(U < 0.5, 0.0, 1e4) + U, E, {"kind": "spline"}, "lie in heaps"),
        (U, E, {"weights": -np.ones(400)}, "400 weights are negative"),
    ],
)
def test_what_no_variance_can_be_fitted_to_is_refused(
    values: np.ndarray, residuals: np.ndarray, how: dict[str, object], match: str
) -> None:
    with pytest.raises(DebiasError, match=match):
        fit_noise(values, residuals, **how)


@pytest.mark.parametrize("kind", ["constant", "spline"])
def test_influence_gives_the_spread_over_samples(kind: str) -> None:
    places = np.array([-1.5, 0.0, 1.5])
    drawn = np.array([fit_noise(*world(1000, seed), kind=kind).at(places) for seed in range(200)])
    u, e = world(1000, 999)
    noise = fit_noise(u, e, kind=kind)
    effects = noise.columns(places) @ noise.influence(u, e).T
    assert np.all(np.abs(effects.std(axis=1) / np.sqrt(1000) / drawn.std(axis=0) - 1) < 0.3)


def test_a_bound_where_many_predictions_lie_costs_no_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(3000) < 0.5, 0.0, rng.normal(size=3000))
    errors = rng.normal(size=3000)
    weighted = fit_noise(values, errors, weights=np.ones(3000), ddof=2)
    assert weighted.coefficients[0] == pytest.approx(errors.var() * 3000 / 2998, rel=1e-3)
