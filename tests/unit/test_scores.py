"""Point estimates and influence values against loops, statsmodels and the jackknife."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from eocausal.inference import scores
from eocausal.inference.variance import score_variance


def _draw(seed: int, n: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(n, 2)) + np.array([3.0, -1.0])
    propensity = rng.uniform(0.2, 0.8, size=n)
    treatment = (rng.uniform(size=n) < propensity).astype(float)
    treatment[:6] = [0, 1, 0, 1, 0, 1]
    outcome = covariates @ [1.0, -2.0] + treatment * covariates[:, 0] + rng.normal(size=n)
    return {
        "outcome": outcome, "treatment": treatment, "weights": rng.uniform(0.5, 2, size=n),
        "propensity": propensity, "covariates": covariates,
    }  # fmt: skip


def _looped_hajek(y, t, w, e) -> tuple[float, list[float]]:
    n = len(y)
    top, bottom = [0.0, 0.0], [0.0, 0.0]
    for i in range(n):
        arm = int(t[i])
        weight = w[i] / (e[i] if arm else 1 - e[i])
        top[arm] += weight * y[i]
        bottom[arm] += weight
    means = [top[arm] / bottom[arm] for arm in (0, 1)]
    influence = []
    for i in range(n):
        arm = int(t[i])
        weight = w[i] / (e[i] if arm else 1 - e[i])
        influence.append((1 if arm else -1) * weight * (y[i] - means[arm]) / (bottom[arm] / n))
    return means[1] - means[0], influence


def _looped_regression(y, t, w, x) -> tuple[float, list[float]]:
    """Lin's estimator in its interacted form, and its influence by hand from the two arms' fits."""
    n, p = x.shape
    centre = [sum(w[i] * x[i, k] for i in range(n)) / sum(w) for k in range(p)]
    centred = np.array([[x[i, k] - centre[k] for k in range(p)] for i in range(n)])
    rows = np.column_stack([np.ones(n), t, centred, centred * t[:, None]])
    beta = np.linalg.lstsq(rows * np.sqrt(w)[:, None], y * np.sqrt(w))[0]
    # the influence of a weighted least-squares coefficient, plus that of the centre through the interaction
    bread = np.linalg.inv((rows * w[:, None]).T @ rows / n)
    influence = []
    for i in range(n):
        residual = y[i] - rows[i] @ beta
        own = bread[1] @ rows[i] * w[i] * residual
        moved = w[i] / (sum(w) / n) * sum(beta[2 + p + k] * centred[i, k] for k in range(p))
        influence.append(own + moved)
    return float(beta[1]), influence


@pytest.mark.parametrize("seed", range(3))
def test_difference_is_the_looped_difference_of_weighted_means(seed: int) -> None:
    d = _draw(seed)
    found = scores.difference(d["outcome"], d["treatment"], d["weights"])
    estimate, influence = _looped_hajek(d["outcome"], d["treatment"], d["weights"], np.full(40, 0.5))
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    np.testing.assert_allclose(found.scores, influence, rtol=1e-11, atol=1e-12)
    assert found.n_params == 2


@pytest.mark.parametrize("seed", range(3))
def test_hajek_is_the_looped_ratio(seed: int) -> None:
    d = _draw(seed)
    found = scores.hajek(d["outcome"], d["treatment"], d["weights"], propensity=d["propensity"])
    estimate, influence = _looped_hajek(d["outcome"], d["treatment"], d["weights"], d["propensity"])
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    np.testing.assert_allclose(found.scores, influence, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_regression_is_interacted_least_squares(seed: int) -> None:
    d = _draw(seed)
    found = scores.regression(d["outcome"], d["treatment"], d["weights"], covariates=d["covariates"])
    estimate, influence = _looped_regression(d["outcome"], d["treatment"], d["weights"], d["covariates"])
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    np.testing.assert_allclose(found.scores, influence, rtol=1e-9, atol=1e-10)
    assert found.n_params == 6


@pytest.mark.parametrize("seed", range(3))
def test_regression_agrees_with_statsmodels_interacted_fit(seed: int) -> None:
    d = _draw(seed)
    centred = d["covariates"] - d["covariates"].mean(axis=0)
    t = d["treatment"][:, None]
    fit = sm.OLS(d["outcome"], sm.add_constant(np.column_stack([t, centred, centred * t]))).fit()
    found = scores.regression(d["outcome"], d["treatment"], np.ones(40), covariates=d["covariates"])
    assert found.estimate == pytest.approx(fit.params[1], rel=1e-12)


@pytest.mark.parametrize("method", ["difference", "hajek", "regression"])
def test_the_standard_error_is_close_to_the_jackknife(method: str) -> None:
    d = _draw(11, n=400)

    def estimate(kept: np.ndarray) -> scores.ScoredEstimate:
        part = {name: values[kept] for name, values in d.items()}
        extra = {"hajek": "propensity", "regression": "covariates"}.get(method)
        given = {extra: part[extra]} if extra else {}
        return getattr(scores, method)(part["outcome"], part["treatment"], part["weights"], **given)

    whole = estimate(np.arange(400))
    leave_one = np.array([estimate(np.delete(np.arange(400), i)).estimate for i in range(400)])
    jackknife = np.sqrt(399 / 400 * ((leave_one - leave_one.mean()) ** 2).sum())
    assert np.sqrt(score_variance(whole.scores[:, None]).matrix[0, 0]) == pytest.approx(jackknife, rel=0.03)
    # unit by unit: the change from leaving a unit out is its influence over n
    np.testing.assert_allclose(
        400 * (whole.estimate - leave_one), whole.scores, atol=0.1 * whole.scores.std()
    )


def test_doubly_robust_scores_by_hand() -> None:
    found = scores.doubly_robust(
        np.array([3.0, 5.0]),
        np.array([0.0, 1.0]),
        propensity=np.array([0.2, 0.4]),
        outcome_control=np.array([2.0, 1.0]),
        outcome_treated=np.array([2.5, 4.0]),
    )
    # unit 1: 2.5 - 2 - (3 - 2) / 0.8; unit 2: 4 - 1 + (5 - 4) / 0.4
    np.testing.assert_allclose(found, [0.5 - 1.25, 3 + 2.5], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_doubly_robust_scores_in_a_loop(seed: int) -> None:
    d = _draw(seed)
    control, treated = np.random.default_rng(seed).normal(size=(2, 40))
    found = scores.doubly_robust(
        d["outcome"],
        d["treatment"],
        propensity=d["propensity"],
        outcome_control=control,
        outcome_treated=treated,
    )
    for i in range(40):
        expected = treated[i] - control[i]
        if d["treatment"][i] == 1:
            expected += (d["outcome"][i] - treated[i]) / d["propensity"][i]
        else:
            expected -= (d["outcome"][i] - control[i]) / (1 - d["propensity"][i])
        assert found[i] == pytest.approx(expected, rel=1e-12)


def test_with_no_outcome_model_it_is_horvitz_thompson() -> None:
    d = _draw(4)
    y, t, e = d["outcome"], d["treatment"], d["propensity"]
    zero = np.zeros(40)
    dr = scores.doubly_robust(y, t, propensity=e, outcome_control=zero, outcome_treated=zero)
    by_hand = sum(y[i] / e[i] if t[i] else -y[i] / (1 - e[i]) for i in range(40)) / 40
    assert scores.mean_of_scores(dr, np.ones(40)).estimate == pytest.approx(by_hand, rel=1e-12)


def test_an_exact_outcome_model_has_less_variance_than_none() -> None:
    rng = np.random.default_rng(0)
    e, base = np.full(500, 0.3), 5 * rng.normal(size=500)
    t = (rng.uniform(size=500) < e).astype(float)
    y = base + t
    exact = scores.doubly_robust(y, t, propensity=e, outcome_control=base, outcome_treated=base + 1)
    none = scores.doubly_robust(y, t, propensity=e, outcome_control=0 * base, outcome_treated=0 * base)
    assert exact.std() == pytest.approx(0, abs=1e-12)
    assert none.std() > 5


@pytest.mark.parametrize("seed", range(3))
def test_scores_average_to_zero(seed: int) -> None:
    d = _draw(seed)
    y, t, w = d["outcome"], d["treatment"], d["weights"]
    for found in (
        scores.difference(y, t, w),
        scores.hajek(y, t, w, propensity=d["propensity"]),
        scores.regression(y, t, w, covariates=d["covariates"]),
        scores.mean_of_scores(y, w),
    ):
        assert found.scores.mean() == pytest.approx(0, abs=1e-12)


def test_the_mean_of_scores_is_weighted() -> None:
    found = scores.mean_of_scores(np.array([1.0, 4.0, 7.0]), np.array([1.0, 1.0, 2.0]))
    assert found.estimate == pytest.approx(19 / 4, rel=1e-12)
    # w / mean(w) * (score - estimate)
    np.testing.assert_allclose(found.scores, [0.75 * -3.75, 0.75 * -0.75, 1.5 * 2.25], rtol=1e-12)
